# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
What the prompt network is trained on: windows of images, and what a hand would draw on them.

Windows are those of the engine (`vos_ros.engine.window`), hands those that results are measured
with (`vos_ros.evaluation.hands`).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from vos_distill.clip_config import ClipConfig
from vos_distill.data.files import Image, UnusableError
from vos_distill.data.objects import object_ids, pick_object
from vos_distill.data.photometric import photometric
from vos_distill.data.stills import Stills
from vos_distill.data.videos import Video
from vos_ros.datatypes import Float
from vos_ros.engine.window import (
    BEFORE,
    cut,
    draw_clicks,
    Hint,
    MAPS,
    maps_of,
    OFF,
    ON,
    SIDE,
    Window,
    window_at,
)
from vos_ros.evaluation import hands

#: Prompts that are drawn on each window: the backbone is run once for all of them.
PROMPTS = 2
_FROM_VIDEO = 0.35
_PASTED, _PASTED_IS_MEANT = 0.3, 0.7
#: Share of the windows that fit the object, as around a box; the others are as around a click.
_FITTING = 0.5
_LEAST_PIXELS = 40  # of an object in a window
_WHOLE = Window(0, 0, SIDE)
_LIGHT = ClipConfig(size=SIDE, jpeg=0.3, blur=0.1)
_PARTS = ('bsds500', 'ccp')  # their ids are parts: no single click can tell which one is meant

_FIT_KINDS = {'box': 0.4, 'click': 0.2, 'clicks': 0.1, 'brush': 0.15, 'line': 0.15}
_WIDE_KINDS = {'click': 0.5, 'clicks': 0.2, 'brush': 0.15, 'line': 0.15}
_PART_KINDS = {'box': 0.4, 'brush': 0.3, 'line': 0.3}
_WIDE_PART_KINDS = {'brush': 0.6, 'line': 0.4}


@dataclass
class WindowBatch:
    """
    Windows with their prompts; B windows, K = PROMPTS.

    :param images: (B, 3, SIDE, SIDE) float32 RGB, 0..255.
    :param masks: (B, SIDE, SIDE) uint8, 1 = object.
    :param seen: (B,) share of the object that lies in the window, 0..1.
    :param maps: (B, K, MAPS, SIDE, SIDE) float32.
    """

    images: Float
    masks: Image
    seen: Float
    maps: Float


class WindowMaker:
    """
    Draws batches for ever.

    :param stills: photographs with masks.
    :param videos: clips with masks, each family of them (the name up to '_') as often as the
        square root of its clips.
    """

    def __init__(self, stills: Stills, videos: Sequence[Video]) -> None:
        self._stills, self._videos = stills, videos
        families = Counter(video.name.split('_')[0] for video in videos)
        weights = np.array([families[video.name.split('_')[0]] ** -0.5 for video in videos])
        self._of_video = weights / weights.sum() if len(weights) else weights

    def batch(self, windows: int, rng: np.random.Generator) -> WindowBatch:
        """
        Draw a batch.

        :param windows: in it.
        """
        made = [self._window(rng) for _ in range(windows)]
        images, masks, seen, maps = zip(*made, strict=True)
        return WindowBatch(
            np.stack([image.transpose(2, 0, 1) for image in images]).astype(np.float32),
            np.stack(masks),
            np.array(seen, np.float32),
            np.stack(maps),
        )

    def _window(self, rng: np.random.Generator) -> tuple[Image, Image, float, Float]:
        while True:
            image, mask, is_part = self._object(rng)
            if rng.random() < _PASTED:
                image, mask, is_part = self._pasted(image, mask, is_part, rng)
            total = int(np.count_nonzero(mask))
            if total < _LEAST_PIXELS:
                continue
            is_fitting = bool(rng.random() < _FITTING)
            window = _choose(mask, is_fitting, rng)
            shown = cut(mask * np.uint8(255), window) > 127
            area = float(shown.sum()) * (window.side / SIDE) ** 2
            if shown.sum() < _LEAST_PIXELS or shown.mean() > 0.95:
                continue
            seen = min(1.0, area / total)
            seen = 1.0 if seen > 0.97 else seen
            picture = cut(image, window)
            label = shown.astype(np.uint8)
            if rng.random() < 0.5:
                picture, label = picture[:, ::-1], np.ascontiguousarray(label[:, ::-1])
            picture = photometric(np.ascontiguousarray(picture)[None], _LIGHT, rng)[0]
            maps = [_draw(label, is_fitting, is_part, rng) for _ in range(PROMPTS)]
            return picture, label, seen, np.stack(maps)

    def _object(self, rng: np.random.Generator) -> tuple[Image, Image, bool]:
        """Give an image, the mask of an object (0, 1), and whether that is but a part."""
        while True:
            if self._videos and rng.random() < _FROM_VIDEO:
                video = self._videos[int(rng.choice(len(self._videos), p=self._of_video))]
                image, label = video.frame(int(rng.integers(len(video))))
                ids = object_ids(label)
                if ids:
                    return image, (label == rng.choice(ids)).astype(np.uint8), False
                continue
            try:
                still = self._stills[int(rng.integers(len(self._stills)))]
            except UnusableError:
                continue
            mask = pick_object(still, rng)
            if mask is None:
                continue
            is_whole = still.source == 'ccp' and bool((mask == (still.label > 0)).all())
            return still.image, mask.astype(np.uint8), still.source in _PARTS and not is_whole

    def _pasted(
        self, image: Image, mask: Image, is_part: bool, rng: np.random.Generator
    ) -> tuple[Image, Image, bool]:
        """Lay another object over the image: as what is meant, or in its way."""
        other, cutout, of_part = self._object(rng)
        x, y, width, height = cv2.boundingRect(cutout)
        scale = min(image.shape[:2]) * float(np.exp(rng.uniform(np.log(0.12), np.log(0.7))))
        scale /= max(width, height)
        size = (max(8, round(width * scale)), max(8, round(height * scale)))
        way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        piece = cv2.resize(other[y : y + height, x : x + width], size, interpolation=way)
        alpha = cv2.resize(cutout[y : y + height, x : x + width] * np.float32(1), size)
        alpha = cv2.GaussianBlur(alpha, (3, 3), 0)
        left = int(rng.integers(-size[0] // 3, image.shape[1] - 2 * size[0] // 3))
        top = int(rng.integers(-size[1] // 3, image.shape[0] - 2 * size[1] // 3))
        low = max(left, 0), max(top, 0)
        high = min(left + size[0], image.shape[1]), min(top + size[1], image.shape[0])
        if high[0] - low[0] < 4 or high[1] - low[1] < 4:
            return image, mask, is_part
        rows, columns = slice(low[1], high[1]), slice(low[0], high[0])
        part = slice(low[1] - top, high[1] - top), slice(low[0] - left, high[0] - left)
        weight = alpha[part][..., None]
        pasted = image.copy()
        pasted[rows, columns] = weight * piece[part] + (1 - weight) * pasted[rows, columns]
        covered = np.zeros_like(mask)
        covered[rows, columns] = alpha[part] > 0.5
        if rng.random() < _PASTED_IS_MEANT:
            return pasted, covered, of_part
        left_over = mask & (1 - covered)
        if left_over.sum() < 0.5 * mask.sum():
            return pasted, covered, of_part
        return pasted, left_over, is_part


def _choose(mask: Image, is_fitting: bool, rng: np.random.Generator) -> Window:
    size = mask.shape[0], mask.shape[1]
    x, y, width, height = cv2.boundingRect(mask)
    span = max(width, height)
    if is_fitting:
        at = np.array([x + width / 2, y + height / 2]) + rng.normal(0, 0.06, 2) * span
        return window_at(at[0], at[1], span * rng.uniform(1.15, 2.0), size)
    place = hands.any_place(mask, rng)
    side = span * float(np.exp(rng.uniform(np.log(0.6), np.log(7))))
    # As large as the engine's at most: little of a window lies outside of the image.
    return window_at(*place, min(side, max(min(size), 1.1 * span)), size)


def _draw(mask: Image, is_fitting: bool, is_part: bool, rng: np.random.Generator) -> Float:
    kinds = (
        (_PART_KINDS if is_fitting else _WIDE_PART_KINDS)
        if is_part
        else (_FIT_KINDS if is_fitting else _WIDE_KINDS)
    )
    kind = str(rng.choice(list(kinds), p=list(kinds.values())))
    hint: Hint
    if kind == 'box':
        hint = hands.box(mask, rng, float(rng.uniform(0, 0.05)))
    elif kind in ('click', 'clicks'):
        hint = hands.clicks(mask, rng, 1 if kind == 'click' else int(rng.integers(2, 4)))
    elif kind == 'brush':
        hint = hands.brush(mask, rng, float(rng.uniform(0.25, 0.7)))
    else:
        draw = hands.line if rng.random() < 0.6 else hands.scribble
        hint = draw(mask, rng, float(rng.uniform(2, 7)))
    maps = maps_of(hint, _WHOLE)
    if kind == 'box' and rng.random() < 0.15:
        draw_clicks(maps[ON], [hands.place_in(mask, rng)])
    if rng.random() < 0.2:
        draw_clicks(maps[OFF], _beside(mask, rng))
    if rng.random() < 0.15:
        maps[BEFORE] = _spoilt(mask, rng)
    assert maps.shape == (MAPS, SIDE, SIDE)
    return maps


def _beside(mask: Image, rng: np.random.Generator) -> list[tuple[float, float]]:
    """Choose one or two places that are not on the object, half of them near it."""
    near = int(rng.integers(6, 40))
    ring = (
        cv2.dilate(mask, np.ones((near, near), np.uint8)) if rng.random() < 0.5 else 1 - 0 * mask
    )
    free = (ring > 0) & (cv2.dilate(mask, np.ones((7, 7), np.uint8)) == 0)
    if not free.any():
        return []
    free_mask = free.astype(np.uint8)
    return [hands.any_place(free_mask, rng) for _ in range(int(rng.integers(1, 3)))]


def _spoilt(mask: Image, rng: np.random.Generator) -> Float:
    """Make a mask as a first look gives it: soft, a little off, parts too many or too few."""
    soft: Float = mask.astype(np.float32)
    span = max(cv2.boundingRect(mask)[2:])
    turn = cv2.getRotationMatrix2D((SIDE / 2, SIDE / 2), rng.normal(0, 4), rng.normal(1, 0.05))
    turn[:, 2] = turn[:, 2] + rng.normal(0, 0.03, 2) * span
    soft = cv2.warpAffine(soft, turn, (SIDE, SIDE)).astype(np.float32)
    for _ in range(int(rng.integers(0, 4))):
        near = cv2.dilate(mask, np.ones((15, 15), np.uint8)).astype(np.uint8)
        x, y = hands.any_place(near, rng)
        axes = tuple(max(2, int(rng.uniform(0.05, 0.25) * span)) for _ in range(2))
        angle, value = float(rng.uniform(0, 180)), float(rng.random() < 0.5)
        cv2.ellipse(soft, (int(x), int(y)), axes, angle, 0, 360, value, cv2.FILLED)
    spread = float(rng.uniform(1, 0.04 * span + 2))
    return cv2.GaussianBlur(soft, (0, 0), spread).astype(np.float32)


def next_click(mask: Image, prob: Float) -> tuple[int, tuple[float, float]] | None:
    """
    Choose where a hand would click next: in the middle of the largest mistake.

    :param mask: (SIDE, SIDE) the truth.
    :param prob: (SIDE, SIDE) what was found.
    :return: ON or OFF, and x, y; None where there is no mistake worth a click.
    """
    found = prob > 0.5
    best: tuple[float, int, tuple[float, float]] | None = None
    for plane, wrong in ((ON, (mask > 0) & ~found), (OFF, (mask == 0) & found)):
        depth = hands.depth_of(wrong.astype(np.uint8))
        row, column = np.unravel_index(int(depth.argmax()), depth.shape)
        deepest = float(depth[row, column])
        if deepest >= 3 and (best is None or deepest > best[0]):
            best = deepest, plane, (float(column), float(row))
    return None if best is None else best[1:]
