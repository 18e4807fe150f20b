# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Drawn clips in which objects are away for long: hidden, out of the picture, and with look-alikes.

Each kind is drawn by any seed: the seed chooses outline, texture, look-alike, background and side.
The last eight kinds are hard ones: what comes back is far from where it left, larger, turned and
beside a look-alike at once, or the look-alike has its very colours. Objects are shapes cut out of
photographs inside scikit-image, so nothing is downloaded and the truth is exact. Two bystanders
are in each of them. A benchmark of finding objects again, not of outlines: shapes move, grow and
turn in the plane only, or show their other side.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from vos_ros.errors import VosError
from vos_ros.formats.label_png import write_label_png
from vos_ros.harness.clip import Cutout, Pose

WIDTH_PX, HEIGHT_PX = 320, 240
FRAMES = 90
RATE_HZ = 10.0
_PATCH_PX = 128  # side of the picture that an object is cut out of
_SCALE = 0.45  # of it on the canvas
_JPEG_QUALITY = 95

Image = npt.NDArray[np.uint8]
Float = npt.NDArray[np.float32]
#: When (0..1 over the clip), x and y (0..1 over the picture), size, turn in degrees.
Key = tuple[float, float, float, float, float]


@dataclass(frozen=True)
class _Actor:
    """
    What moves.

    :param path: where it is, between these in straight lines.
    :param object_id: on the labels; 0 = a look-alike that nobody asks for.
    :param look: 'own'; 'alike', the same in other colours or another piece of the same photograph;
        'same_colours', another shape and pattern.
    :param turns: when it shows its other side, and when the first one again.
    :param mirrored_from: from then on it is seen in a mirror.
    """

    path: Sequence[Key]
    object_id: int = 1
    look: str = 'own'
    turns: Sequence[float] = ()
    mirrored_from: float = 2.0


@dataclass(frozen=True)
class _Plan:
    """
    One kind of clip.

    :param actors: from the back to the front.
    :param panels: left and right end of what stands before all of them, 0..1.
    :param dark_from: from then on there is half of the light.
    :param pan: how far the camera turns while the object is away, in widths of the picture.
    """

    actors: Sequence[_Actor]
    panels: Sequence[tuple[float, float]] = ()
    dark_from: float = 2.0
    pan: float = 0.0


def _leaves(
    *,
    back: float = 1.3,
    scale: float = 1.0,
    turn: float = 0.0,
    y: float = 0.5,
    size: float = 1.0,
    returns: bool = True,
) -> list[Key]:
    """Leave to the right by 0.3; from 0.62 on come back from `back`, larger or turned."""
    path: list[Key] = [
        (0, 0.35, y, size, 0),
        (0.12, 0.45, y - 0.05, size, 8),
        (0.3, 1.3, y, size, 0),
    ]
    if not returns:
        return path
    end = 0.45 if back > 1 else 0.55
    there = size * scale
    return [
        *path,
        (0.301, back, 0.5, there, turn),
        (0.62, back, 0.5, there, turn),
        (0.78, end, 0.55, there, turn),
        (1.0, end + 0.1, 0.45, there, turn + 10),
    ]


def _between(y: float = 0.5) -> list[Key]:
    """Leave and come back from the left, with time to be seen from both sides before."""
    return [(0, 0.35, y, 1, 0), (0.26, 0.5, y - 0.05, 1, 8), *_leaves(back=-0.3, y=y)[2:]]


def _enters(until: float = 2.0, y: float = 0.4) -> list[Key]:
    """Come from the left while the object is away, at 0.38."""
    path: list[Key] = [(0, -0.3, y, 1, 0), (0.38, -0.3, y, 1, 0), (0.5, 0.2, y, 1, 0)]
    if until < 1:
        return [*path, (until, 0.28, y, 1, 5), (until + 0.12, -0.3, y, 1, 0)]
    return [*path, (1, 0.26, y + 0.05, 1, 5)]


def _behind(first: float, last: float, until: float = 0.64) -> list[Key]:
    """Go behind the panel at `first` by 0.3 and come out of the one at `last`."""
    return [
        (0, first - 0.33, 0.5, 1, 0),
        (0.12, first - 0.3, 0.48, 1, 8),
        (0.3, first, 0.5, 1, 0),
        (0.301, last, 0.5, 1, 0),
        (until, last, 0.5, 1, 0),
        (0.78, last + 0.27, 0.52, 1, 0),
        (1, last + 0.3, 0.46, 1, 10),
    ]


_STAYS = _Actor(
    [(0, 0.2, 0.25, 1, 0), (0.5, 0.24, 0.22, 1, 6), (1, 0.17, 0.27, 1, -4)], 0, 'alike'
)
_STAYS_RIGHT = _Actor([(0, 0.8, 0.22, 1, 0), (1, 0.76, 0.26, 1, 8)], 0, 'alike')
_STAYS_AMID = _Actor([(0, 0.48, 0.16, 1, 0), (1, 0.54, 0.14, 1, 8)], 0, 'alike')
_ENTERS = _Actor(_enters(), 0, 'alike')
_ENTERS_LOW = _Actor(_enters(y=0.75), 0, 'alike')
_LOW = 0.62
#: What happens, by name.
KINDS: Mapping[str, _Plan] = {
    'returns_elsewhere': _Plan([_Actor(_leaves(back=-0.3))]),
    'returns_larger_turned': _Plan([_Actor(_leaves(back=-0.3, scale=1.5, turn=-60))]),
    'returns_small': _Plan([_Actor(_leaves(size=0.7, scale=0.7))]),
    'returns_in_the_dark': _Plan([_Actor(_leaves())], dark_from=0.4),
    'hidden_camera_pans': _Plan([_Actor(_behind(0.5, 0.5))], panels=[(0.36, 0.64)], pan=0.5),
    'other_side_before': _Plan([_Actor(_leaves(back=-0.3), turns=[0.1])]),
    'other_side_between': _Plan([_Actor(_between(), turns=[0.08, 0.18, 0.4])]),
    'alike_stays': _Plan([_STAYS, _Actor(_leaves(y=_LOW))]),
    'alike_stays_other_side': _Plan(
        [_STAYS, _Actor(_between(_LOW), turns=[0.08, 0.18, 0.4])]
    ),
    'alike_enters': _Plan([_ENTERS, _Actor(_leaves(y=_LOW))]),
    'alike_enters_returns_larger': _Plan([_ENTERS, _Actor(_leaves(y=_LOW, scale=1.6))]),
    'alike_enters_returns_smaller': _Plan([_ENTERS, _Actor(_leaves(y=_LOW, scale=0.6))]),
    'alike_enters_returns_turned': _Plan([_ENTERS, _Actor(_leaves(y=_LOW, turn=75))]),
    'alike_enters_returns_mirrored': _Plan([_ENTERS, _Actor(_leaves(y=_LOW), mirrored_from=0.4)]),
    'alike_enters_hidden': _Plan([_ENTERS, _Actor(_behind(0.5, 0.5))], panels=[(0.36, 0.64)]),
    'two_alike_enter': _Plan([_ENTERS, _ENTERS_LOW, _Actor(_leaves(y=0.5))]),
    'alike_comes_and_goes': _Plan([_Actor(_enters(0.6), 0, 'alike'), _Actor(_leaves(back=-0.3))]),
    'alike_instead': _Plan([_ENTERS, _Actor(_leaves(returns=False))]),
    'alike_followed': _Plan([replace(_STAYS, object_id=2), _Actor(_leaves(y=_LOW, back=-0.3))]),
    'alike_followed_exchange_sides': _Plan([
        _Actor([(t, 1 - x, y + 0.15, s, a) for t, x, y, s, a in _leaves(back=-0.3)], 2, 'alike'),
        _Actor([(t, x, y - 0.15, s, a) for t, x, y, s, a in _leaves(back=-0.3)]),
    ]),
    # All at once, and colours that tell nothing. New ones go to the end: a kind's place is a seed.
    'returns_twice_as_large': _Plan([_Actor(_leaves(back=-0.3, size=0.8, scale=2))]),
    'alike_stays_returns_larger_turned': _Plan(
        [_STAYS, _Actor(_leaves(y=_LOW, back=-0.3, scale=1.5, turn=-75))]
    ),
    'alike_enters_returns_larger_turned': _Plan(
        [_ENTERS, _Actor(_leaves(y=_LOW, scale=1.7, turn=120))]
    ),
    'two_alike_stay_returns_larger_turned': _Plan(
        [_STAYS, _STAYS_RIGHT, _Actor(_leaves(y=_LOW, back=-0.3, scale=1.5, turn=90))]
    ),
    'alike_stays_hidden_comes_out_elsewhere': _Plan(
        [_STAYS_AMID, _Actor(_behind(0.8, 0.2))], panels=[(0.08, 0.32), (0.68, 0.92)]
    ),
    'same_colours_stays': _Plan(
        [replace(_STAYS, look='same_colours'), _Actor(_leaves(y=_LOW, back=-0.3))]
    ),
    'same_colours_enters': _Plan([replace(_ENTERS, look='same_colours'), _Actor(_leaves(y=_LOW))]),
    'same_colours_enters_returns_larger_turned': _Plan([
        replace(_ENTERS, look='same_colours'), _Actor(_leaves(y=_LOW, scale=1.5, turn=75)),
    ]),
}  # fmt: skip


def traits(kind: str) -> tuple[str, ...]:
    """
    Return what makes the return of the first object difficult; a clip may have several of them.

    :param kind: one of KINDS.
    """
    plan = KINDS[kind]
    actor = next(a for a in plan.actors if a.object_id == 1)
    t, x, _, size, turn = np.array(actor.path, float).T
    if t[-1] < 1:
        return ('never returns',)
    gone, back = int(np.searchsorted(t, 0.3)), int(np.searchsorted(t, 0.301))
    looks = {other.look for other in plan.actors} | {
        'alike' for other in plan.actors if other.object_id > 1
    }
    found = {
        'elsewhere': abs(x[gone] - x[back]) > 0.5 or plan.pan > 0,
        'same place': abs(x[gone] - x[back]) <= 0.5 and plan.pan == 0,
        'larger': size[-1] > 1.2 * size[0],
        'smaller': size[-1] < 0.8 * size[0],
        'turned': abs(turn[back] - turn[gone]) >= 45 or actor.mirrored_from < 1,
        'other side': bool(actor.turns),
        'darker': plan.dark_from < 1,
        'look-alike': 'alike' in looks,
        'look-alike of the same colours': 'same_colours' in looks,
    }
    found['all at once'] = (found['larger'] or found['turned']) and (
        found['look-alike'] or found['look-alike of the same colours']
    )
    return tuple(name for name, is_so in found.items() if is_so)


def render(kind: str, seed: int, frames: int = FRAMES) -> Iterator[tuple[Image, Image]]:
    """
    Yield images (240, 320, 3) uint8 rgb and their exact label maps (240, 320) uint8.

    :param kind: one of KINDS.
    :param seed: chooses all that is not said by the kind.
    :param frames: the same motion, in so many frames.
    :raises VosError: there is no such kind, or scikit-image is missing.
    """
    if kind not in KINDS:
        raise VosError(f'no kind of clip {kind!r}; known are {", ".join(KINDS)}')
    stage = _Stage(KINDS[kind], np.random.default_rng([list(KINDS).index(kind), seed]))
    for number in range(frames):
        yield stage.draw(number / frames)


@dataclass
class _Stage:
    """A plan with all that the seed chose."""

    plan: _Plan
    random: np.random.Generator
    sides: dict[str, tuple[Cutout, Cutout]] = field(init=False)  # front and back

    def __post_init__(self) -> None:
        photos, random = list(_photographs()), self.random
        random.shuffle(photos)
        own, other, behind, panel = photos[:4]
        self._behind, self._panel = behind, _tinted(panel, random, 60)
        outline = _outline(random)
        front, hue = _piece(own, outline, random)
        # A look-alike: another piece of the same photograph, or the same one in other colours.
        is_piece = random.random() < 0.4
        alike = _piece(own, outline, random, hue)[0] if is_piece else _tinted(front, random, 45)
        pictures = {'own': (front, _piece(other, outline, random)[0]), 'alike': (alike, alike)}
        self.sides = {
            name: (Cutout(one, outline, _MIDDLE), Cutout(two, outline, _MIDDLE))
            for name, (one, two) in pictures.items()
        }
        if any(actor.look == 'same_colours' for actor in self.plan.actors):
            shape = _outline(random)
            cutout = Cutout(
                _in_colours_of(front, outline, photos[6], shape, random), shape, _MIDDLE
            )
            self.sides['same_colours'] = cutout, cutout
        # Bystanders: things of the same kind of size that look like nothing else here.
        self._others: list[tuple[Cutout, tuple[float, float]]] = []
        for place in ((0.82, 0.8), (0.1, 0.85)):
            another = _outline(random)
            cutout = Cutout(
                _piece(photos[4 + len(self._others)], another, random)[0], another, _MIDDLE
            )
            self._others.append((cutout, place))
        self._mirrors = bool(random.random() < 0.5)  # the whole clip
        self._phase = random.random(4)
        self._noise = random.normal(0, 2.0, (HEIGHT_PX + 32, WIDTH_PX + 32, 3)).astype(np.float32)

    def draw(self, t: float) -> tuple[Image, Image]:
        plan, size = self.plan, (WIDTH_PX, HEIGHT_PX)
        away = np.clip((t - 0.32) / 0.25, 0, 1)
        pan = plan.pan * WIDTH_PX * float(away * away * (3 - 2 * away))
        camera = Pose(
            WIDTH_PX / 2 + 10 * _wave(t, 1.3, self._phase[0]) - pan,
            HEIGHT_PX / 2 + 6 * _wave(t, 0.9, self._phase[1]),
            0.85,
            2 * _wave(t, 1.1, self._phase[2]),
        )
        middle = (self._behind.shape[1] / 2, self._behind.shape[0] / 2)
        canvas = cv2.warpAffine(
            self._behind, camera.matrix(middle), size, borderMode=cv2.BORDER_REFLECT
        ).astype(np.float32)
        labels: Image = np.zeros((HEIGHT_PX, WIDTH_PX), np.uint8)
        for cutout, (x, y) in self._others:
            colour, alpha = cutout.place(self._pose(_Actor([(0, x, y, 0.9, 0)]), t, pan), size)
            canvas += alpha[..., None] * (colour - canvas)
        for actor in plan.actors:
            sides = self.sides[actor.look]
            turned = sum(t >= when for when in actor.turns) % 2
            colour, alpha = sides[turned].place(self._pose(actor, t, pan), size)
            canvas += alpha[..., None] * (colour - canvas)
            labels[alpha > 0.5] = actor.object_id
        for left, right in plan.panels:
            begin, end = (round(k * WIDTH_PX - pan) for k in (left, right))
            part = slice(max(0, begin), max(0, end))
            canvas[:, part] = self._panel[:HEIGHT_PX, :WIDTH_PX][:, part]
            labels[:, part] = 0
        canvas *= (0.5 if t >= plan.dark_from else 1.0) * (
            1 + 0.05 * _wave(t, 0.6, self._phase[3])
        )
        y, x = self.random.integers(0, 32, 2)
        noise = self._noise[y : y + HEIGHT_PX, x : x + WIDTH_PX]
        soft = cv2.GaussianBlur(canvas, (0, 0), 0.6) + noise
        image: Image = np.clip(soft, 0, 255).astype(np.uint8)
        if self._mirrors:
            image, labels = image[:, ::-1], labels[:, ::-1]
        return np.ascontiguousarray(image), np.ascontiguousarray(labels)

    def _pose(self, actor: _Actor, t: float, pan: float) -> Pose:
        when, *places = np.array(actor.path, float).T
        x, y, size, turn = (float(np.interp(t, when, place)) for place in places)
        # A side that turns is narrow in the middle of it.
        near = min((abs(t - k) for k in actor.turns), default=1.0)
        squeeze = min(1.0, 0.25 + near / 0.04)
        return Pose(
            x * WIDTH_PX + 2 * _wave(t, 0.21, self._phase[0]) - pan,
            y * HEIGHT_PX + 3 * _wave(t, 0.17, self._phase[1]),
            _SCALE * size,
            turn,
            -squeeze if t >= actor.mirrored_from else squeeze,
        )


_MIDDLE = (_PATCH_PX / 2, _PATCH_PX / 2)


def _wave(t: float, period: float, phase: float = 0.0) -> float:
    return math.sin(2 * math.pi * (t / period + phase))


@cache
def _photographs() -> tuple[Image, ...]:
    """Return photographs, (h, w, 3) uint8 rgb, each at least 240x320."""
    data: Any
    try:
        from skimage import data
    except ImportError as error:
        raise VosError(
            'these clips are made from photographs inside scikit-image: pip install scikit-image'
        ) from error
    names = ('astronaut', 'brick', 'chelsea', 'coffee', 'grass', 'gravel', 'rocket')
    found = [getattr(data, name)() for name in names] + [data.stereo_motorcycle()[0]]
    return tuple(
        np.ascontiguousarray(p if p.ndim == 3 else np.repeat(p[..., None], 3, axis=2))
        for p in found
    )


def _turned(picture: Image, degrees: float) -> Image:
    """Turn the hue, and add colour, so that grey becomes one, too."""
    hls = cv2.cvtColor(picture, cv2.COLOR_RGB2HLS).astype(np.int32)
    hls[..., 0] = (hls[..., 0] + round(degrees / 2)) % 180
    hls[..., 2] = np.clip(hls[..., 2] + 40, 0, 255)
    return np.asarray(cv2.cvtColor(hls.astype(np.uint8), cv2.COLOR_HLS2RGB), np.uint8)


def _tinted(picture: Image, random: np.random.Generator, least: float) -> Image:
    """Turn the hue one way or the other by at least so many degrees."""
    return _turned(picture, random.uniform(least, 180) * random.choice([-1, 1]))


def _outline(random: np.random.Generator) -> Image:
    """Draw a smooth shape, (128, 128) uint8, 255 inside."""
    angles = np.linspace(0, 2 * np.pi, 96, endpoint=False)
    radius = np.ones_like(angles)
    for k in (2, 3, 5):
        radius += random.uniform(0.05, 0.16) * np.cos(k * angles + random.uniform(0, 2 * np.pi))
    radius *= 0.44 * _PATCH_PX / radius.max()
    points = _PATCH_PX / 2 + np.stack([radius * np.cos(angles), radius * np.sin(angles)], axis=1)
    mask = np.zeros((_PATCH_PX, _PATCH_PX), np.uint8)
    cv2.fillPoly(mask, [points.round().astype(np.int32)], 255)
    return mask


def _piece(
    photo: Image, outline: Image, random: np.random.Generator, hue: float | None = None
) -> tuple[Image, float]:
    """Choose a lively piece of a photograph, (128, 128, 3); return how its hue was turned, too."""
    hue = random.uniform(20, 340) if hue is None else hue
    tinted = _turned(photo, hue)
    rows, columns = photo.shape[0] - _PATCH_PX, photo.shape[1] - _PATCH_PX
    pieces = []
    for _ in range(8):
        y, x = random.integers(0, rows), random.integers(0, columns)
        pieces.append(tinted[y : y + _PATCH_PX, x : x + _PATCH_PX])
    best = max(pieces, key=lambda piece: float(piece[outline > 0].std(axis=0).mean()))
    return np.ascontiguousarray(best), hue


def _in_colours_of(
    front: Image, outline: Image, photo: Image, shape: Image, random: np.random.Generator
) -> Image:
    """Choose a piece (128, 128, 3) of another photograph; give it the colours of `front`."""
    piece = _piece(photo, shape, random)[0].astype(np.float64)
    own, other = front[outline > 0].astype(np.float64), piece[shape > 0]
    towards, away = (np.linalg.cholesky(np.cov(c.T) + 4 * np.eye(3)) for c in (own, other))
    moved = (piece - other.mean(axis=0)) @ np.linalg.inv(away).T @ towards.T + own.mean(axis=0)
    return np.asarray(np.clip(moved, 0, 255), np.uint8)


def write_clips(root: Path, seeds: Sequence[int], kinds: Sequence[str] = tuple(KINDS)) -> int:
    """
    Write clips as a data set in DAVIS layout, on which `vos eval` runs.

    :param root: folder of the data set; made if it is missing.
    :param seeds: of each kind one clip by each of them.
    :param kinds: of KINDS.
    :return: how many were written.
    :raises VosError: it cannot be written.
    """
    quality = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    for kind in kinds:
        for seed in seeds:
            name = f'{kind}-{seed}'
            images, masks = (
                root / folder / '480p' / name for folder in ('JPEGImages', 'Annotations')
            )
            images.mkdir(parents=True, exist_ok=True)
            for number, (image, labels) in enumerate(render(kind, seed)):
                path = images / f'{number:05d}.jpg'
                if not cv2.imwrite(str(path), image[..., ::-1], quality):
                    raise VosError(f'cannot write {path}; choose another folder')
                write_label_png(masks / f'{number:05d}.png', labels)
    return len(kinds) * len(seeds)
