# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Training clips: composed from stills, cut from videos, and both together.

A clip is a stack of layers (a background that moves as a whole, cut-out objects on paths of
their own, occluders in front), rendered frame by frame with OpenCV. Composition is our own
code because it is what the student learns from: augmentation libraries warp one image, they
do not move objects behind each other.

Light, colour and sharpness are a few lines here too and not albumentations 2.0.8 (the last release
under the MIT licence): with one call for all frames (`images=`) it took 15 to 21 % more processor
time and gives every frame the same state, even the same grain, where a video has light that drifts
and grain that changes; its ReplayCompose took two to three times as long
(benchmarks/bench_photometric.py; 4.6, 6.1 and 8.9 ms a clip of five frames at 224, 256 and 320 px
for what is here).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from scipy.interpolate import RBFInterpolator

from vos_distill.datasets import Image, Still, Stills, UnusableError, Video
from vos_ros.formats.masks import VOID

Array = npt.NDArray[np.float32]
Matrix = npt.NDArray[Any]
Box = tuple[int, int, int, int]  # x, y, width, height
_SPLINE_GRID = 16
_CORNERS = np.array([[0, 0], [1, 0], [0, 1], [1, 1]], np.float64)  # so that none is far outside
_CROWDS = ('pascal_s', 'pennfudan', 'feral_cats')  # where all together may be one object
_BARE = 254  # marks where no layer covers a real video; never an id of a clip
_STARTS = 8  # draws of a start frame that shows an object, before another video is taken


@dataclass(frozen=True)
class ClipConfig:
    """
    What the clips look like. Lengths are fractions of the crop unless said otherwise.

    :param size: side of the square crop, px.
    :param frames: frames a clip.
    :param real: share of clips whose background is a real video.
    :param max_gap: frames between two neighbours of a real clip, at most. Frames of the camera:
        where a data set has a mask on every fifth one, the next one is 5 away.
    :param gap_schedule: `max_gap` over the run, as points (share of the run, frames) with straight
        lines between them; empty = `max_gap` from beginning to end.
    :param speed: standard deviation of an object's displacement a frame.
    :param bend: standard deviation of how far a smooth deformation moves a point in a frame.
    :param spline: share of the deformations that are thin-plate splines through points at random
        places; the others are smooth interpolations of a grid.
    :param jpeg: share of clips with the artefacts of JPEG, at one quality for all frames.
    :param twin: share of the clips without a pause in which an untracked copy of a tracked object
        moves about too: then only where it was tells the two apart.
    :param crossing: share of those twins that are tracked (as object 2, where there is none yet)
        and cross the way of the object they were copied from: ids must not be exchanged.
    :param beside: share of the crossing ones that stay beside it instead, in touch.
    :param turn: share of the cut-outs that turn: another side of them comes in beside the one that
        the first frame shows, and takes its place.
    :param reveal: share of the clips on whose first frame something hides a part of an object,
        which is seen from then on.
    :param enter: share of the cut-outs that come in over the border, so that the first frame shows
        a part of them.
    :param jump: share of clips with a long pause between frames 0 and 1, after which everything
        is elsewhere and looks different, as in the middle of a long video.
    :param max_jump: length of that pause in a real clip, frames at most.
    """

    size: int = 224
    frames: int = 4
    real: float = 0.3
    max_gap: int = 8
    gap_schedule: Sequence[Sequence[float]] = ()
    speed: float = 0.06
    camera_speed: float = 0.03
    rotation_deg: float = 8.0
    zoom: float = 0.06
    shear: float = 0.05
    bend: float = 0.015
    spline: float = 0.0
    paste_on_real: float = 0.4
    occluder: float = 0.45
    bars: float = 0.25
    blur: float = 0.15
    jpeg: float = 0.0
    twin: float = 0.0
    crossing: float = 0.0
    beside: float = 0.0
    turn: float = 0.0
    reveal: float = 0.0
    enter: float = 0.0
    jump: float = 0.0
    max_jump: int = 40

    def __post_init__(self) -> None:
        points = self.gap_schedule
        is_valid = all(len(p) == 2 and 0 <= p[0] <= 1 and p[1] >= 1 for p in points)
        if not is_valid or [p[0] for p in points] != sorted(p[0] for p in points):
            raise ValueError(
                f'clip.gap_schedule is {points}; every point is [share of the run 0..1, frames '
                'from 1], in order of the share'
            )

    def gap_at(self, progress: float) -> int:
        """Give the largest gap when so much of the run (0..1) is done, frames."""
        if not self.gap_schedule:
            return self.max_gap
        shares, gaps = zip(*self.gap_schedule, strict=True)
        return round(float(np.interp(progress, shares, gaps)))


def _object_ids(label: Image) -> list[int]:
    counts = cv2.calcHist([label], [0], None, [256], [0, 256]).ravel()
    return [int(i) for i in np.flatnonzero(counts[:VOID]) if i]


def _one_of(ids: Sequence[int] | Matrix) -> npt.NDArray[np.bool_]:
    """Give a table for labels: whether an id is one of these."""
    table = np.zeros(256, np.bool_)
    table[ids] = True
    return table


def pick_object(still: Still, rng: np.random.Generator) -> npt.NDArray[np.bool_] | None:
    """
    Choose an object of a photograph by what its ids mean in its data set.

    In a set that is not known by its name every id is an object.

    :return: (H, W) bool, or None where the choice is too small, too large or nothing.
    """
    ids = _object_ids(still.label)
    if not ids:
        return None
    if still.source == 'bsds500' or (
        still.source == 'ccp' and rng.random() < 0.5
    ):  # regions: a seed and what may belong to it
        chosen = rng.choice(ids, min(len(ids), int(rng.integers(1, 4))), replace=False)
    elif still.source == 'ccp' or (
        still.source in _CROWDS and rng.random() >= 0.8
    ):  # parts of one person, or a group that moves together
        chosen = np.array(ids)
    else:
        chosen = rng.choice(ids, 1)
    mask = _one_of(chosen)[still.label]
    return mask if 0.01 < float(mask.mean()) < 0.7 else None


@dataclass
class Layer:
    """
    Something that moves.

    :param rgba: source (h, w, 4) uint8, not premultiplied; a background is (h, w, 3).
    :param label: (h, w) ids in the source, for a background with its own objects, or None:
        then every opaque pixel is `object_id`.
    :param maps: per frame, the 2x3 affine matrix from source to crop.
    :param views: per frame, what is drawn in place of `rgba` (of the same size), where it turns.
    """

    rgba: Image
    maps: list[Array]
    object_id: int = 0
    label: Image | None = None
    bend: list[Array | None] = field(default_factory=list)
    gain: list[Array] = field(default_factory=list)
    views: list[Image] = field(default_factory=list)


def _warp(
    source: Image, inverse: Matrix, points: Array | Box, nearest: bool, border: int
) -> Image:
    """
    Give what is seen of `source` in a part of the crop.

    :param inverse: (2, 3) from the crop to the source.
    :param points: (h, w, 2) x and y in the crop to look from, or, where nothing is bent, the box
        of the part, which is faster.
    :param border: of cv2; outside is black or mirrored.
    """
    how = cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR
    black = (0, 0, 0, 0)
    if isinstance(points, np.ndarray):
        where = cv2.transform(points, inverse)
        out = cv2.remap(source, where, None, how, borderMode=border, borderValue=black)  # type: ignore[call-overload]  # its stub does not know that one map of pairs will do
        return out.astype(np.uint8, copy=False)
    x, y, w, h = points
    shifted = inverse @ np.array([[1, 0, x], [0, 1, y], [0, 0, 1]], np.float64)
    how |= cv2.WARP_INVERSE_MAP
    out = cv2.warpAffine(source, shifted, (w, h), flags=how, borderMode=border, borderValue=black)
    return out.astype(np.uint8, copy=False)


def _affine(
    source_centre: tuple[float, float],
    scale: float,
    angle_deg: float,
    shear: float,
    flip: bool,
    target: Array,
) -> Array:
    """Map `source_centre` to `target` with rotation, scale, shear and mirror, (3, 3)."""
    a = np.deg2rad(angle_deg)
    rotate = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
    linear = scale * rotate @ np.array([[1, shear], [0, 1]]) @ np.diag([-1 if flip else 1, 1])
    out = np.eye(3)
    out[:2, :2] = linear
    out[:2, 2] = target - linear @ np.array(source_centre)
    return out.astype(np.float32)


def _in_the_colours_of(side: Image, front: Image, share: float) -> Image:
    """
    Bring the mean colour of one cut-out nearer to that of another, as sides of one thing are.

    :param side: (h, w, 4); changed in a copy.
    :param share: 0 leaves it, 1 gives it the mean of `front`.
    """
    means = [one[one[..., 3] > 127][:, :3].mean(0) for one in (side, front)]
    moved = side.copy()
    shifted = side[..., :3] + np.float32(share) * (means[1] - means[0]).astype(np.float32)
    moved[..., :3] = np.clip(shifted, 0, 255).astype(np.uint8)
    return moved


def _squeezed(face: Image, width: int, light: float) -> Image:
    """Give a side of something as it is seen at an angle: narrower and darker, (h, width, 4)."""
    out = cv2.resize(face, (width, face.shape[0]), interpolation=cv2.INTER_AREA)
    out[..., :3] = (out[..., :3] * np.float32(light)).astype(np.uint8)
    return out.astype(np.uint8, copy=False)


def _over(canvas: Image, face: Image, left: int) -> None:
    """Draw a cut-out over a canvas of the same height, in place."""
    part = canvas[:, left : left + face.shape[1]]
    alpha = face[..., 3:] * np.float32(1 / 255)
    part[..., :3] = (face[..., :3] * alpha + part[..., :3] * (1 - alpha)).astype(np.uint8)
    part[..., 3] = np.maximum(part[..., 3], face[..., 3])


def _seen_from(front: Image, side: Image, angle: float, width: int, leftwards: bool) -> Image:
    """
    Draw two sides of a thing that turns about its upright axis, as those of a box.

    They lie over each other by a quarter of the narrower one, so that they are one silhouette.

    :param front: (h, w, 4), all that is seen at angle 0.
    :param side: (h, w', 4), all that is seen at a right angle.
    :param angle: radians, 0 to pi / 2.
    :param width: of what is returned, px.
    :param leftwards: the side comes in from the right.
    :return: (h, width, 4), not premultiplied.
    """
    seen = [
        (face, max(round(face.shape[1] * share), 1), 0.7 + 0.3 * share)
        for face, share in ((front, np.cos(angle)), (side, np.sin(angle)))
    ]
    (_, w1, _), (_, w2, _) = seen
    lap = min(w1, w2) // 4
    canvas = np.zeros((front.shape[0], width, 4), np.uint8)
    start = (width - (w1 + w2 - lap)) // 2
    lefts = (start, start + w1 - lap) if leftwards else (start + w2 - lap, start)
    for (face, w, light), left in sorted(zip(seen, lefts, strict=True), key=lambda p: p[0][1]):
        _over(canvas, _squeezed(face, w, float(light)), left)
    return canvas


def _object_one(label: Image) -> Image:
    return np.where(label == 1, np.uint8(255), np.uint8(0))


def _thin_plate_basis(points: Matrix) -> Matrix:
    """
    Give what moving each point by one does to a coarse grid, by a thin-plate spline.

    :param points: (N, 2), x and y as shares of the crop.
    :return: (16, 16, N).
    """
    middles = (np.arange(_SPLINE_GRID) + 0.5) / _SPLINE_GRID
    grid = np.stack(np.meshgrid(middles, middles), axis=-1)
    spline = RBFInterpolator(points, np.eye(len(points)), kernel='thin_plate_spline')
    moved: Matrix = spline(grid.reshape(-1, 2))
    return moved.reshape(_SPLINE_GRID, _SPLINE_GRID, len(points))


def _centroids(labels: Sequence[Image]) -> list[Matrix]:
    """Give (x, y) of object 1 on every frame; where it is hidden, where it was last."""
    found: list[Matrix] = []
    for label in labels:
        ys, xs = np.nonzero(label == 1)
        last = found[-1] if found else np.array(label.shape[::-1]) / 2
        found.append(np.array([xs.mean(), ys.mean()]) if len(xs) else last)
    return found


def video_shares(videos: Sequence[Video], families: Mapping[str, float]) -> Matrix:
    """
    Give how often each clip is taken, (N,), with sum 1.

    Clips of one family are alike (one scene cut into windows, say), so that many of them say
    little more than a few: a family's share does not depend on how many there are. In a family
    a clip counts by its length, up to 60 frames.

    :param families: weight of each family; its name is the begin of SET/CLIP, the longest one that
        fits counts. Clips in none are a family of their set, of weight 1. Empty = all clips
        are one family.
    """
    lengths = np.array([min(len(v), 60) for v in videos], np.float64)
    if not videos:
        return lengths
    if not families:
        return lengths / lengths.sum()
    names = [
        max((f for f in families if f'{v.source}/{v.name}'.startswith(f)), key=len, default='')
        or v.source
        for v in videos
    ]
    of_family = {n: sum(x for x, m in zip(lengths, names, strict=True) if m == n) for n in names}
    weights = np.array([families.get(n, 1.0) / of_family[n] for n in names]) * lengths
    if weights.sum() <= 0:
        raise ValueError('families: every clip has the weight 0')
    return weights / weights.sum()


class ClipComposer:
    """
    An endless source of clips.

    Set `progress` (0..1, the share of the run that is done) before each clip where the recipe
    has a `gap_schedule`.

    :param stills: photographs with objects; where there are none, all clips are real ones.
    :param videos: real clips; may be empty.
    :param families: see `video_shares`.
    """

    def __init__(
        self,
        stills: Stills,
        videos: Sequence[Video],
        config: ClipConfig,
        seed: int = 0,
        families: Mapping[str, float] | None = None,
    ) -> None:
        if not len(stills):  # nothing to cut objects and posts out of
            config = replace(
                config, real=1.0, paste_on_real=0.0, occluder=0.0, bars=0.0, reveal=0.0
            )
        self.stills = stills
        self.videos = videos
        self.config = config
        self.rng = np.random.default_rng(seed)
        self.progress = 0.0
        self.jumped = False  # whether the clip composed last has the long pause
        self.revealed = False  # whether it shows more of an object than its first frame does
        # (T, S, S) uint8, how sure its labels are, 255 = sure; None = all of them
        self.confidence: Image | None = None
        self._sure: list[Image | None] = []  # of the frames that `_real_clip` chose
        self._video_weight = video_shares(videos, families or {})

    def __iter__(self) -> Iterator[tuple[Image, Image]]:
        while True:
            clip = self.compose()
            if clip is not None:
                yield clip

    # -- motion ---------------------------------------------------------------------------

    def _camera(self, factor: float = 1.0) -> list[Array]:
        """Give a smooth camera path as (3, 3) matrices in crop coordinates, first = identity."""
        c, rng = self.config, self.rng
        size = c.size
        quiet = rng.random() < 0.3
        factor = 0.15 * factor if quiet else factor
        velocity = rng.normal(0, c.camera_speed * size * factor, 2)
        turn, zoom = rng.normal(0, 2.0 * factor), rng.normal(0, 0.025 * factor)
        angle, scale = 0.0, 1.0
        position: npt.NDArray[np.float64] = np.full(2, size / 2)
        path = []
        for index in range(c.frames):
            if index == 1 and self.jumped:
                position = position + rng.normal(0, 0.15 * size, 2)
                angle += rng.normal(0, 8)
                scale *= np.exp(rng.normal(0, 0.15))
            path.append(
                _affine(
                    (size / 2, size / 2), scale, angle, 0.0, False, position.astype(np.float32)
                )
            )
            position = position + velocity + rng.normal(0, 0.004 * size * factor, 2)
            velocity = velocity + rng.normal(0, 0.3 * c.camera_speed * size * factor, 2)
            angle += turn
            scale *= np.exp(zoom)
        return path

    def _object_path(
        self,
        box: Box,
        extent: float,
        start: Array,
        speed: float,
        velocity: Matrix | None = None,
    ) -> list[Array]:
        """
        Give the path of a cut-out as (3, 3) matrices.

        :param box: x, y, width, height of the object in its source.
        :param extent: side of the object in the crop, px (root of its box's area).
        :param velocity: (x, y) at first, px a frame; None = drawn by `speed`.
        """
        c, rng = self.config, self.rng
        x, y, w, h = box
        centre = (x + w / 2, y + h / 2)
        scale = extent / np.sqrt(w * h)
        flip = bool(rng.random() < 0.5)
        drawn = rng.normal(0, speed * c.size, 2)
        velocity = drawn if velocity is None else velocity.copy()
        turn, zoom, skew = (
            rng.normal(0, c.rotation_deg),
            rng.normal(0, c.zoom),
            rng.normal(0, c.shear),
        )
        angle, shear = rng.normal(0, 8), rng.normal(0, 0.08)
        position = start.astype(np.float64)
        path = []
        for index in range(c.frames):
            if index == 1 and self.jumped:
                position = rng.uniform(0.1, 0.9, 2) * c.size
                angle += rng.normal(0, 20)
                shear += rng.normal(0, 0.15)
                scale *= np.exp(rng.normal(0, 0.3))
            path.append(_affine(centre, scale, angle, shear, flip, position.astype(np.float32)))
            position = position + velocity
            # turn round at the border more often than leave: a lost object teaches little
            for axis in range(2):
                outside = position[axis] < 0.05 * c.size or position[axis] > 0.95 * c.size
                if outside and rng.random() < 0.7:
                    velocity[axis] = -velocity[axis]
            velocity = velocity + rng.normal(0, 0.35 * speed * c.size, 2)
            angle += turn + rng.normal(0, 2)
            shear += skew
            scale *= np.exp(zoom + rng.normal(0, 0.01))
        return path

    def _bend(self, strength: float) -> list[Array | None]:
        """Give a random smooth deformation that grows and changes over the clip, px."""
        c, rng = self.config, self.rng
        if strength <= 0:
            return [None] * c.frames
        side = int(rng.integers(3, 6))
        shape: tuple[int, ...] = (side, side, 2)
        basis = None
        if c.spline > 0 and rng.random() < c.spline:
            points = np.concatenate([_CORNERS, rng.uniform(0.1, 0.9, (side, 2))])
            shape, basis = points.shape, _thin_plate_basis(points)
        state: Matrix = np.zeros(shape, np.float32)
        step = rng.normal(0, strength * c.size, shape)
        fields: list[Array | None] = []
        for index in range(c.frames):
            if index == 1 and self.jumped:
                state = state + 1.2 * step
            coarse = state if basis is None else basis @ state
            fields.append(
                cv2.resize(
                    coarse.astype(np.float32), (c.size, c.size), interpolation=cv2.INTER_CUBIC
                ).astype(np.float32)
            )
            state = state + step
            step = 0.7 * step + rng.normal(0, 0.6 * strength * c.size, shape)
        return fields

    def _gains(self, strength: float) -> list[Array]:
        """Give a colour gain per frame, (3,), a random walk."""
        rng = self.rng
        gain: npt.NDArray[np.float64] = np.ones(3)
        drift = rng.normal(0, strength, 1) + rng.normal(0, 0.3 * strength, 3)
        gains: list[Array] = []
        for index in range(self.config.frames):
            if index == 1 and self.jumped:
                gain = np.clip(gain + rng.normal(0, 0.12) + rng.normal(0, 0.04, 3), 0.4, 1.8)
            gains.append(gain.astype(np.float32))
            gain = np.clip(gain + drift + rng.normal(0, 0.3 * strength, 3), 0.4, 1.8)
        return gains

    # -- layers ---------------------------------------------------------------------------

    def _still(self) -> Still:
        while True:  # ends: too many unusable ones are an error
            try:
                return self.stills[int(self.rng.integers(len(self.stills)))]
            except UnusableError:
                continue

    def _cutout(
        self, object_id: int, start: Array | None = None, speed: float | None = None
    ) -> Layer | None:
        """Cut a random object out of a random photograph and give it a path."""
        c, rng = self.config, self.rng
        for _ in range(6):
            still = self._still()
            mask = pick_object(still, rng)
            if mask is None:
                continue
            x, y, w, h = cv2.boundingRect(mask.astype(np.uint8))
            pad = 3
            y0, x0 = max(y - pad, 0), max(x - pad, 0)
            region = np.s_[y0 : y + h + pad, x0 : x + w + pad]
            alpha = mask[region].astype(np.uint8) * 255
            if rng.random() < 0.5:
                alpha = cv2.GaussianBlur(alpha, (3, 3), 0.8).astype(np.uint8)
            rgba = np.dstack([still.image[region], alpha])
            if start is None:
                start = rng.uniform(0.15, 0.85, 2).astype(np.float32) * c.size
            extent = np.exp(rng.uniform(np.log(0.12), np.log(0.65))) * c.size
            quick = c.speed if speed is None else speed
            if rng.random() < 0.2:
                quick *= 2.0
            box: Box = (x - x0, y - y0, w, h)
            velocity, views = None, []
            if object_id and c.turn > 0 and rng.random() < c.turn:
                views = self._turning(rgba)
            if views:
                self.revealed = True
                rgba = views[0]
                box = cv2.boundingRect(rgba[..., 3])  # type: ignore[assignment]  # four integers
            if object_id and c.enter > 0 and rng.random() < c.enter:
                start, velocity = self._way_in(float(extent))
                self.revealed = True
            path = self._object_path(box, float(extent), start, quick, velocity)
            layer = Layer(rgba, path, object_id, views=views)
            if rng.random() < 0.6:
                layer.bend = self._bend(c.bend)
            layer.gain = self._gains(0.05)
            return layer
        return None

    def _turning(self, front: Image) -> list[Image]:
        """
        Give a cut-out another side, from another photograph, and turn it.

        What comes in is unknown to the first frame, and its own. Without such clips a student
        learns that what the first frame does not know is background.

        :param front: (h, w, 4).
        :return: per frame, (h, w', 4); none where no other side was found.
        """
        c, rng = self.config, self.rng
        still = self._still()
        mask = pick_object(still, rng)
        if mask is None:
            return []
        x, y, w, h = cv2.boundingRect(mask.astype(np.uint8))
        alpha = mask[y : y + h, x : x + w].astype(np.uint8) * 255
        side = np.dstack([still.image[y : y + h, x : x + w], alpha])
        height, width = front.shape[:2]
        wide = max(round(width * float(np.exp(rng.normal(0, 0.35)))), 2)
        side = cv2.resize(side, (wide, height), interpolation=cv2.INTER_AREA).astype(np.uint8)
        if (side[..., 3] > 127).any() and (front[..., 3] > 127).any():
            side = _in_the_colours_of(side, front, rng.uniform(0, 1))
        angle = rng.uniform(0, 0.25)
        whole = rng.uniform(0.5, np.pi / 2) - angle  # how far it turns in the clip
        steps = rng.dirichlet(np.full(c.frames - 1, 2.0)) * whole
        if self.jumped:
            steps[0] = max(steps[0], 0.5 * whole)
        angles = np.clip(angle + np.concatenate([[0], np.cumsum(steps)]), 0, np.pi / 2)
        leftwards = bool(rng.random() < 0.5)
        return [_seen_from(front, side, float(a), width + wide, leftwards) for a in angles]

    def _way_in(self, extent: float) -> tuple[Array, Matrix]:
        """
        Start at the border and move in.

        :param extent: side of the object, px.
        :return: (x, y) of its centre on the first frame and its velocity, px a frame.
        """
        c, rng = self.config, self.rng
        angle = rng.uniform(0, 2 * np.pi)
        inwards = np.array([np.cos(angle), np.sin(angle)])
        middle, half = np.full(2, c.size / 2), c.size / 2 + rng.uniform(-0.15, 0.15) * extent
        start = middle - inwards / np.abs(inwards).max() * half
        return start.astype(np.float32), inwards * extent * rng.uniform(0.15, 0.5)

    def _curtain(self, label: Image) -> Layer | None:
        """
        Hide a part of an object on the first frame by something that then goes away.

        :param label: (S, S) ids of the first frame, without it.
        """
        c, rng = self.config, self.rng
        ids = _object_ids(label)
        if not ids:
            return None
        x, y, w, h = cv2.boundingRect(_one_of(rng.choice(ids, 1))[label].astype(np.uint8))
        layer = self._cutout(0)
        if layer is None:
            return None
        angle = rng.uniform(0, 2 * np.pi)
        side = np.array([np.cos(angle), np.sin(angle)])
        body = float(np.sqrt(w * h))
        high, wide = layer.rgba.shape[:2]
        start = np.array([x + w / 2, y + h / 2]) + side * (w, h) * rng.uniform(0.2, 0.5)
        gone = float(rng.uniform(0.3, 1.0)) * body
        scale = float(np.exp(rng.normal(0.1, 0.3))) * body / np.sqrt(high * wide)
        turn = rng.normal(0, 8)
        layer.maps = [
            _affine(
                (wide / 2, high / 2), scale, turn, 0.0, False,
                (start + side * gone * (t + (1.5 if t and self.jumped else 0))).astype(np.float32),
            )
            for t in range(c.frames)
        ]  # fmt: skip
        return layer

    def _twin(self, rgb: Image, mask: Image, scale: float) -> Layer | None:
        """
        Copy an object as an untracked distractor with a path of its own.

        :param rgb: (h, w, 3), where the object is.
        :param mask: (h, w), above 127 where it is.
        :param scale: crop pixels for one of `rgb`.
        """
        c, rng = self.config, self.rng
        x, y, w, h = cv2.boundingRect((mask > 127).astype(np.uint8))
        if w < 4 or h < 4:
            return None
        region = np.s_[y : y + h, x : x + w]
        colour = rgb[region]
        if rng.random() < 0.5:
            tint = rng.normal(1, 0.12, 3).astype(np.float32)
            colour = np.clip(colour * tint, 0, 255).astype(np.uint8)
        extent = float(np.sqrt(w * h) * scale * np.exp(rng.normal(0, 0.2)))
        start = rng.uniform(0.0, 1.0, 2).astype(np.float32) * c.size
        path = self._object_path((0, 0, w, h), extent, start, c.speed)
        layer = Layer(np.dstack([colour, mask[region]]), path)
        layer.gain = self._gains(0.05)
        return layer

    def _twin_of_a_tracked_one(
        self, layers: list[Layer], real: tuple[list[Image], list[Image]] | None
    ) -> Layer | None:
        c, rng = self.config, self.rng
        if real is not None:
            images, labels = real
            mask = _object_one(labels[0])
            picture, scale = images[0], 1.0
            way = _centroids(labels)
            is_alone = not any((label == 2).any() for label in labels)
        else:
            tracked = [one for one in layers if one.object_id or one.label is not None]
            if not tracked:
                return None
            source = tracked[int(rng.integers(len(tracked)))]
            picture = source.rgba[..., :3]
            mask = source.rgba[..., 3] if source.label is None else _object_one(source.label)
            scale = float(np.sqrt(abs(np.linalg.det(source.maps[0][:2, :2]))))
            x, y, w, h = cv2.boundingRect((mask > 127).astype(np.uint8))
            way = [(m @ np.array([x + w / 2, y + h / 2, 1.0]))[:2] for m in source.maps]
            is_alone = True
        is_alone = is_alone and not any(one.object_id == 2 for one in layers)
        twin = self._twin(picture, mask, scale)
        if twin is not None and is_alone and rng.random() < c.crossing:
            twin.object_id = 2
            self._lead_across(twin, way)
        return twin

    def _lead_across(self, twin: Layer, way: Sequence[Matrix]) -> None:
        """
        Move a twin so that it starts beside what it was copied from and passes it, or stays there.

        :param way: per frame, (x, y) of the other.
        """
        c, rng = self.config, self.rng
        h, w = twin.rgba.shape[:2]
        here = np.array([w / 2, h / 2, 1.0])
        extent = float(np.sqrt(w * h * abs(np.linalg.det(twin.maps[0][:2, :2]))))
        angle = rng.uniform(0, 2 * np.pi)
        side = np.array([np.cos(angle), np.sin(angle)]) * extent
        meet = rng.uniform(1, c.frames - 1)  # the frame on which they meet
        apart = rng.uniform(1.0, 2.0)  # extents between them on the first frame
        miss = rng.normal(0, 0.25, 2) * extent
        stays = c.beside > 0 and rng.random() < c.beside
        for index, other in enumerate(way):
            share = 0.4 if stays else 1 - index / meet
            goal = other + side * apart * share + miss
            twin.maps[index] = twin.maps[index].copy()
            twin.maps[index][:2, 2] += (goal - (twin.maps[index] @ here)[:2]).astype(np.float32)

    def _still_background(self, track: bool) -> Layer:
        """Use a whole photograph as background; its own object is tracked on request."""
        c, rng = self.config, self.rng
        still = self._still()
        label = np.zeros(still.label.shape, np.uint8)
        focus = np.array([still.label.shape[1] / 2, still.label.shape[0] / 2])
        span = 1.0
        if track:
            for _ in range(8):
                mask = pick_object(still, rng)
                if mask is not None:
                    label = np.where(still.label == VOID, np.uint8(VOID), mask.astype(np.uint8))
                    x, y, w, h = cv2.boundingRect(mask.astype(np.uint8))
                    focus = np.array([x + w / 2, y + h / 2])
                    span = np.sqrt(w * h) / min(label.shape)
                    break
                still = self._still()
                label = np.zeros(still.label.shape, np.uint8)
        short = min(still.label.shape)
        # a crop of 0.5 to 1.1 of the short side, but never one which cuts most of the object
        crop = short * max(rng.uniform(0.5, 1.1), min(span * 1.1, 1.0))
        scale = c.size / crop
        target = np.full(2, c.size / 2) + rng.uniform(-0.2, 0.2, 2) * c.size
        base = _affine(
            (float(focus[0]), float(focus[1])), float(scale), rng.normal(0, 4), 0.0,
            bool(rng.random() < 0.5), target.astype(np.float32),
        )  # fmt: skip
        camera = self._camera(1.5 if track else 1.0)
        layer = Layer(still.image, [m @ base for m in camera], 0, label)
        if track or rng.random() < 0.3:
            layer.bend = self._bend(c.bend)
        return layer

    def _bars(self, camera: list[Array]) -> Layer | None:
        """Make trunks, posts and fences: thin stripes of some photograph, fixed in the scene."""
        c, rng = self.config, self.rng
        still = self._still()
        h, w = still.label.shape
        alpha = np.zeros((h, w), np.uint8)
        tilt = rng.normal(0, 0.25) + (np.pi / 2 if rng.random() < 0.8 else 0.0)
        width = max(int(rng.uniform(0.02, 0.14) * h), 2)
        for _ in range(int(rng.integers(1, 5))):
            p = rng.uniform(0.1, 0.9, 2) * (w, h)
            d = np.array([np.cos(tilt), np.sin(tilt)]) * (w + h)
            a, b = (p - d).astype(int), (p + d).astype(int)
            cv2.line(alpha, (int(a[0]), int(a[1])), (int(b[0]), int(b[1])), 255, width)
            tilt += rng.normal(0, 0.1)
        base = _affine(
            (w / 2, h / 2), 1.4 * c.size / min(h, w), 0.0, 0.0, False,
            np.full(2, c.size / 2, np.float32),
        )  # fmt: skip
        drift = rng.normal(0, 0.05 * c.size, 2)
        maps = []
        for index, move in enumerate(camera):
            shift = np.eye(3, dtype=np.float32)
            shift[:2, 2] = drift * index
            maps.append((shift @ move @ base).astype(np.float32))
        return Layer(np.dstack([still.image, alpha]), maps)

    def _real_indices(self, video: Video) -> Matrix:
        """Choose the frames of a real clip: forwards or backwards, with uneven gaps."""
        c, rng = self.config, self.rng
        count = len(video)
        widest = max(c.gap_at(self.progress) // video.stride, 1)
        gap = min(widest, max((count - 1) // (c.frames - 1), 1))
        steps = rng.integers(1, gap + 1, c.frames - 1)
        if self.jumped:
            longest = max(c.max_jump // video.stride, 1)
            rest = int(steps[1:].sum())
            steps[0] = rng.integers(1, max(min(longest, count - 1 - rest), 1) + 1)
        start = int(rng.integers(0, max(count - int(steps.sum()), 1)))
        indices = np.minimum(start + np.concatenate([[0], np.cumsum(steps)]), count - 1)
        return indices[::-1] if rng.random() < 0.5 else indices

    def _real_clip(self) -> tuple[list[tuple[Image, Image]], list[int]] | None:
        """
        Choose frames of a real video on whose first one an object is seen.

        :return: (image, label) of each frame and the object ids on the first one, at most two;
            None where no object was found, or a frame cannot be used.
        """
        rng = self.rng
        video = self.videos[int(rng.choice(len(self.videos), p=self._video_weight))]
        try:
            for _ in range(_STARTS):
                indices = self._real_indices(video)
                ids = _object_ids(video.label(int(indices[0])))
                if ids:
                    chosen = rng.choice(ids, min(2, len(ids)), replace=False)
                    self._sure = [video.confidence(int(i)) for i in indices]
                    return [video.frame(int(i)) for i in indices], [int(i) for i in chosen]
        except UnusableError:  # named when it was found
            pass
        return None

    def _real_background(self) -> tuple[list[Image], list[Image]] | None:
        """
        Cut a clip out of a real video: frames (S, S, 3), labels (S, S) with ids 1 (and 2).

        As STCN does, only what the first frame shows is tracked: objects that come later, and a
        third one, are background.
        """
        c, rng = self.config, self.rng
        self.confidence = None
        found = self._real_clip()
        if found is None:
            return None
        frames, ids = found
        first = frames[0][1]
        x, y, w, h = cv2.boundingRect(_one_of(ids)[first].astype(np.uint8))
        short = min(first.shape)
        crop = short * max(rng.uniform(0.45, 1.15), min(1.1 * np.sqrt(w * h) / short, 1.0))
        scale = c.size / crop
        target = (np.full(2, 0.5) + rng.uniform(-0.15, 0.15, 2)) * c.size
        base = _affine(
            (x + w / 2, y + h / 2), float(scale), rng.normal(0, 3), 0.0,
            bool(rng.random() < 0.5), target.astype(np.float32),
        )[:2]  # fmt: skip
        images, labels = [], []
        lut = np.zeros(256, np.uint8)
        lut[VOID] = VOID
        for slot, object_id in enumerate(ids):
            lut[object_id] = slot + 1
        for image, label in frames:
            images.append(
                cv2.warpAffine(
                    image, base, (c.size, c.size), flags=cv2.INTER_LINEAR,
                    borderMode=cv2.BORDER_REFLECT,
                ).astype(np.uint8)
            )  # fmt: skip
            labels.append(
                cv2.warpAffine(
                    lut[label], base, (c.size, c.size), flags=cv2.INTER_NEAREST,
                    borderMode=cv2.BORDER_REFLECT,
                ).astype(np.uint8)
            )  # fmt: skip
        if any(sure is not None for sure in self._sure):
            self.confidence = np.full((c.frames, c.size, c.size), 255, np.uint8)
            for target_map, sure in zip(self.confidence, self._sure, strict=True):
                if sure is not None:
                    cv2.warpAffine(
                        sure, base, (c.size, c.size), target_map, cv2.INTER_LINEAR,
                        cv2.BORDER_REFLECT,
                    )  # fmt: skip
        return images, labels

    # -- rendering ------------------------------------------------------------------------

    def _draw(
        self, layer: Layer, index: int, image: Image, label: Image, grid: Array
    ) -> tuple[Image, Image]:
        """Composite one layer over a frame, working only where the layer can reach."""
        matrix = layer.maps[index][:2].astype(np.float64)
        inverse = cv2.invertAffineTransform(matrix)
        bend = layer.bend[index] if layer.bend else None
        points: Array | Box
        if layer.label is not None:  # a background covers everything
            points = (0, 0, label.shape[1], label.shape[0]) if bend is None else grid + bend
            mirror = cv2.BORDER_REFLECT
            return (
                _warp(layer.rgba, inverse, points, False, mirror),
                _warp(layer.label, inverse, points, True, mirror),
            )
        source = layer.views[index] if layer.views else layer.rgba
        h, w = source.shape[:2]
        corners = np.array([[0, 0, 1], [w, 0, 1], [0, h, 1], [w, h, 1]], np.float64) @ matrix.T
        margin = 2 if bend is None else 2 + int(np.abs(bend).max())
        x0, y0 = (int(v) for v in np.maximum(np.floor(corners.min(0)) - margin, 0))
        x1, y1 = (int(v) for v in np.minimum(np.ceil(corners.max(0)) + margin, label.shape[::-1]))
        if x0 >= x1 or y0 >= y1:
            return image, label
        region = np.s_[y0:y1, x0:x1]
        points = (x0, y0, x1 - x0, y1 - y0) if bend is None else grid[region] + bend[region]
        rgba = _warp(source, inverse, points, False, cv2.BORDER_CONSTANT)
        colour = rgba[..., :3].astype(np.float32)
        if layer.gain:
            colour *= layer.gain[index]
            np.minimum(colour, 255, out=colour)
        below = image[region]
        colour -= below
        colour *= rgba[..., 3:] * np.float32(1 / 255)
        colour += below
        image[region] = colour
        label[region][rgba[..., 3] > 127] = layer.object_id
        return image, label

    def compose(self) -> tuple[Image, Image] | None:
        """
        Make one clip.

        :return: images (T, S, S, 3) uint8 RGB and labels (T, S, S) uint8 with ids 0, 1, 2 and
            255 for void; None where the draw did not give a usable clip. `jumped` and
            `confidence` are then those of this clip.
        """
        c, rng = self.config, self.rng
        size = c.size
        ys, xs = np.mgrid[0:size, 0:size].astype(np.float32)
        grid = np.dstack([xs, ys])
        layers: list[Layer] = []
        real = None
        self.jumped, self.revealed = bool(rng.random() < c.jump), False
        next_id = 1
        camera = [np.eye(3, dtype=np.float32)] * c.frames
        if len(self.videos) and rng.random() < c.real:
            real = self._real_background()
            if real is None:
                return None
            next_id = 1 + int(max(label[label != VOID].max(initial=0) for label in real[1]))
            pasted = int(rng.random() < c.paste_on_real)
        else:
            self.confidence = None
            track = bool(rng.random() < 0.45)
            background = self._still_background(track)
            layers.append(background)
            next_id = 2 if track and background.label is not None and background.label.any() else 1
            pasted = int(rng.integers(0, 3)) if next_id == 2 else int(rng.integers(1, 4))
            camera = self._camera(0.7)
        for _ in range(pasted):
            tracked = next_id <= 2 and (next_id == 1 or rng.random() < 0.6)
            layer = self._cutout(next_id if tracked else 0)
            if layer is None:
                continue
            if rng.random() < 0.5:
                layer.maps = [a @ b for a, b in zip(camera, layer.maps, strict=True)]
            next_id += int(tracked)
            layers.append(layer)
        if len(layers) > 2 and rng.random() < 0.5:
            tail = layers[1:]
            rng.shuffle(tail)  # type: ignore[arg-type]
            layers[1:] = tail
        if not self.jumped and rng.random() < c.twin:
            twin = self._twin_of_a_tracked_one(layers, real)
            if twin is not None:
                layers.insert(int(rng.integers(min(len(layers), 1), len(layers) + 1)), twin)
        if rng.random() < c.occluder:
            layer = self._cutout(0, speed=0.14)
            if layer is not None:
                layers.append(layer)
        if rng.random() < c.bars:
            bars = self._bars(camera)
            if bars is not None:
                layers.append(bars)
        images = np.empty((c.frames, size, size, 3), np.uint8)
        labels = np.empty((c.frames, size, size), np.uint8)
        for t in range(c.frames):
            if real is not None:
                image, label = real[0][t], real[1][t]
            else:
                image, label = np.zeros((size, size, 3), np.uint8), np.zeros((size,) * 2, np.uint8)
            under = label
            if self.confidence is not None:
                label = np.full_like(under, _BARE)
            for layer in layers:
                image, label = self._draw(layer, t, image, label, grid)
            if t == 0 and c.reveal > 0 and rng.random() < c.reveal:
                curtain = self._curtain(np.where(label == _BARE, under, label))
                if curtain is not None:
                    layers.append(curtain)
                    self.revealed = True
                    image, label = self._draw(curtain, t, image, label, grid)
            if self.confidence is not None:  # what was put over the video is sure
                self.confidence[t][label != _BARE] = 255
                label = np.where(label == _BARE, under, label)
            images[t], labels[t] = image, label
        if not self._settle_ids(labels):
            return None
        return self._photometric(images), labels

    def _settle_ids(self, labels: Image) -> bool:
        """Drop objects that the first frame hardly shows; ids become 1 (and 2)."""
        counts = [int((labels[0] == k).sum()) for k in (1, 2)]
        least = 0.004 * labels[0].size
        if counts[1] < least:
            labels[labels == 2] = 0
        if counts[0] < least:
            labels[labels == 1] = 0
            if counts[1] < least:
                return False
            labels[labels == 2] = 1
        return bool((labels[1:] == 1).sum() > 0)

    def _photometric(self, images: Image) -> Image:
        """Change light, colour and sharpness: one state a clip, a little more a frame."""
        c, rng = self.config, self.rng
        gamma = np.exp(rng.normal(0, 0.18))
        gain, offset = rng.normal(1, 0.12), rng.normal(0, 10)
        drift = rng.normal(0, 0.02, 2)
        saturation = 0.0 if rng.random() < 0.06 else float(np.clip(rng.normal(1, 0.25), 0, 2))
        hue = int(rng.normal(0, 4))
        low = rng.uniform(0.45, 0.9) if rng.random() < 0.2 else 1.0
        noise = rng.uniform(1, 7) if rng.random() < 0.25 else 0.0
        is_compressed = c.jpeg > 0 and rng.random() < c.jpeg
        quality = int(rng.integers(15, 70)) if is_compressed else 0
        ramp = np.arange(256, dtype=np.float32)
        hsv_table = np.stack(
            [(ramp + hue) % 180, np.clip(ramp * saturation, 0, 255), ramp], axis=1
        ).astype(np.uint8)[:, None]
        for t, image in enumerate(images):
            table = (
                255 * (ramp / 255) ** gamma * (gain + drift[0] * t) + offset + 40 * drift[1] * t
            )
            out = cv2.LUT(image, np.clip(table, 0, 255).astype(np.uint8))
            hsv = cv2.LUT(cv2.cvtColor(out, cv2.COLOR_RGB2HSV), hsv_table)
            out = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
            if low < 1:
                small = cv2.resize(out, None, fx=low, fy=low, interpolation=cv2.INTER_AREA)
                out = cv2.resize(small, (c.size, c.size), interpolation=cv2.INTER_LINEAR)
            if rng.random() < c.blur:
                out = self._motion_blur(out)
            if noise:
                grain = rng.standard_normal(out.shape, np.float32)
                grain *= noise
                grain += out
                out = np.clip(grain, 0, 255).astype(np.uint8)
            if quality:
                data = cv2.imencode('.jpg', out, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
                out = cv2.imdecode(data, cv2.IMREAD_COLOR)
            images[t] = out
        return images

    def _motion_blur(self, image: Matrix) -> Image:
        length = int(self.rng.integers(3, 12))
        kernel = np.zeros((length, length), np.float32)
        kernel[length // 2] = 1.0 / length
        turn = cv2.getRotationMatrix2D(
            ((length - 1) / 2, (length - 1) / 2), self.rng.uniform(0, 180), 1
        )
        kernel = cv2.warpAffine(kernel, turn, (length, length)).astype(np.float32)
        kernel /= max(float(kernel.sum()), 1e-6)
        return cv2.filter2D(image, -1, kernel).astype(np.uint8)
