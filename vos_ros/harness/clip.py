# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The demo's own clip: photographs moving over another photograph, with exact masks.

Nothing is downloaded: the three photographs lie inside the scikit-image package. Because we move
the objects ourselves, we know to the pixel where they are, so that the demo's J&F is a measured
figure and not an impression. The clip is the same on every machine, up to rounding in OpenCV.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from vos_ros.errors import VosError
from vos_ros.formats.label_png import write_label_png

NAME = 'coffee-break'
WIDTH_PX = 640
HEIGHT_PX = 480
FRAMES = 120
RATE_HZ = 10.0
# Any numbers do; the colours that DAVIS's palette has for these two stand out on this clip.
CUP, ASTRONAUT = 2, 4
_JPEG_QUALITY = 95

Image = npt.NDArray[np.uint8]
Float = npt.NDArray[np.float32]
Point = tuple[float, float]

# Outlines drawn by hand on the photographs, in their pixels (x, y).
_SAUCER = ((279.0, 217.5), (341.8, 404.1), 100.6)  # ellipse: centre, axes, angle in degrees
_CUP_AND_SPOON = (
    (168, 110), (172, 72), (192, 52), (207, 43), (225, 31), (257, 20), (285, 17), (325, 23),
    (354, 35), (373, 48), (392, 69), (404, 66), (413, 67), (422, 73), (423, 82), (417, 99),
    (412, 125), (380, 200), (240, 200),
)  # fmt: skip
_ASTRONAUT = (
    (201, 23), (185, 38), (174, 43), (163, 51), (156, 58), (153, 68), (154, 92), (157, 104),
    (167, 115), (170, 121), (174, 128), (182, 132), (182, 147), (153, 151), (140, 158),
    (123, 178), (117, 184), (113, 190), (113, 205), (107, 211), (90, 227), (76, 235), (65, 246),
    (44, 282), (40, 294), (34, 315), (26, 342), (24, 376), (24, 411), (23, 460), (26, 484),
    (24, 511), (511, 511), (511, 480), (506, 470), (500, 462), (497, 450), (493, 430),
    (486, 408), (476, 388), (463, 371), (448, 358), (430, 349), (408, 344), (385, 346),
    (372, 349), (364, 352), (361, 345), (360, 328), (357, 315), (356, 302), (352, 288),
    (345, 272), (340, 262), (330, 251), (319, 243), (303, 233), (299, 219), (289, 203),
    (275, 185), (257, 174), (256, 163), (264, 149), (266, 137), (275, 134), (290, 117),
    (296, 107), (300, 92), (299, 72), (296, 60), (288, 43), (276, 31), (262, 23), (248, 18),
    (227, 16), (214, 19),
)  # fmt: skip


@dataclass(frozen=True)
class Pose:
    """
    Where a picture is on the canvas.

    :param x: of the picture's pivot, in pixels of the canvas.
    :param y: likewise.
    :param scale: canvas pixels per pixel of the photograph.
    :param turn_deg: rotation in the picture plane.
    :param squeeze: width relative to height: a poor man's turn out of the plane.
    """

    x: float
    y: float
    scale: float
    turn_deg: float = 0.0
    squeeze: float = 1.0

    def matrix(self, pivot: Point) -> Float:
        """Return the (2, 3) affine matrix from the photograph to the canvas."""
        turn = math.radians(self.turn_deg)
        sx, sy = self.scale * self.squeeze, self.scale
        a, b = sx * math.cos(turn), -sy * math.sin(turn)
        c, d = sx * math.sin(turn), sy * math.cos(turn)
        px, py = pivot
        return np.array(
            [[a, b, self.x - a * px - b * py], [c, d, self.y - c * px - d * py]], np.float32
        )


class Cutout:
    """
    One object: its photograph, a soft outline and the point it turns about.

    :param photo: (h, w, 3) uint8 rgb.
    :param mask: (h, w) uint8, 255 inside the outline.
    :param pivot: (x, y) in the photograph.
    """

    def __init__(self, photo: Image, mask: Image, pivot: Point) -> None:
        # A hair narrower and soft: no rim of the old background, and an edge such as a lens makes.
        inside = cv2.erode(mask, np.ones((3, 3), np.uint8), borderType=cv2.BORDER_REPLICATE)
        self._alpha = cv2.GaussianBlur(inside, (0, 0), 1.2).astype(np.float32) / 255
        self._photo = photo
        self._pivot = pivot

    def place(
        self, pose: Pose, size: tuple[int, int] = (WIDTH_PX, HEIGHT_PX)
    ) -> tuple[Float, Float]:
        """
        Return colour (H, W, 3) float32 0..255 and coverage (H, W) float32 0..1.

        :param pose: where the pivot is.
        :param size: width and height of the canvas, px.
        """
        matrix = pose.matrix(self._pivot)
        # The colour may run on beyond the photograph's border, the coverage may not.
        colour = cv2.warpAffine(self._photo, matrix, size, borderMode=cv2.BORDER_REPLICATE)
        alpha = cv2.warpAffine(self._alpha, matrix, size)
        return colour.astype(np.float32), alpha.astype(np.float32)


def load_photographs() -> tuple[Image, Image, Image]:
    """
    Return the photographs: coffee cup, astronaut, motorcycle in a garage; (h, w, 3) uint8 rgb.

    Raises VosError when scikit-image is not installed.
    """
    data: Any
    try:
        from skimage import data
    except ImportError as error:
        raise VosError(
            'the demo clip is made from photographs inside scikit-image: pip install '
            'scikit-image, or give your own clip with --video and --mask, or --davis'
        ) from error
    return data.coffee(), data.astronaut(), data.stereo_motorcycle()[0]


def _outline(photo: Image, points: tuple[tuple[int, int], ...]) -> Image:
    mask = np.zeros(photo.shape[:2], np.uint8)
    cv2.fillPoly(mask, [np.array(points, np.int32)], 255)
    return mask


def _wave(t: float, period: float, phase: float = 0.0) -> float:
    return math.sin(2 * math.pi * (t / period + phase))


def cup_pose(t: float) -> Pose:
    """Return the pose of the cup at time t, 0..1 over the clip: left to right."""
    return Pose(
        x=150 + 350 * t + 12 * _wave(t, 0.31),
        y=250 - 55 * _wave(t, 1.15, 0.05) + 10 * _wave(t, 0.23),
        scale=0.46 + 0.12 * _wave(t, 1.3),
        turn_deg=24 * _wave(t, 0.9),
        squeeze=1.0 - 0.16 * (1 + _wave(t, 0.75, 0.25)) / 2,
    )


def astronaut_pose(t: float) -> Pose:
    """Return the pose of the astronaut: right to left, in front of the cup."""
    return Pose(
        x=505 - 375 * t + 9 * _wave(t, 0.37),
        y=395 + 12 * _wave(t, 0.19),
        scale=0.60 + 0.06 * _wave(t, 1.1, 0.4),
        turn_deg=7 * _wave(t, 0.55),
        squeeze=1.0 - 0.10 * (1 + _wave(t, 0.65)) / 2,
    )


def camera_pose(t: float) -> Pose:
    """Return the pose of the background: a camera that pans, rolls and zooms a little."""
    return Pose(
        x=WIDTH_PX / 2 + 70 * _wave(t, 1.6, 0.1),
        y=HEIGHT_PX / 2 + 25 * _wave(t, 0.8),
        scale=1.22 + 0.07 * _wave(t, 1.1),
        turn_deg=3 * _wave(t, 0.7),
    )


def render(frames: int = FRAMES, background: Image | None = None) -> Iterator[tuple[Image, Image]]:
    """
    Yield the clip: image (480, 640, 3) uint8 rgb and its exact label map (480, 640) uint8.

    Objects: the cup on its saucer, and the astronaut, who passes in front of it in mid-clip.

    :param frames: the same motion, in so many frames.
    :param background: (h, w, 3) uint8 rgb, another photograph than the motorcycle's.
    """
    coffee, astronaut, motorcycle = load_photographs()
    behind = motorcycle if background is None else background
    saucer = cv2.ellipse(np.zeros(coffee.shape[:2], np.uint8), _SAUCER, 255, -1)
    cup = Cutout(coffee, np.maximum(saucer, _outline(coffee, _CUP_AND_SPOON)), (278.0, 205.0))
    person = Cutout(astronaut, _outline(astronaut, _ASTRONAUT), (256.0, 300.0))
    middle = (behind.shape[1] / 2, behind.shape[0] / 2)
    noise = _Noise()
    for number in range(frames):
        t = number / frames
        canvas = cv2.warpAffine(
            behind,
            camera_pose(t).matrix(middle),
            (WIDTH_PX, HEIGHT_PX),
            borderMode=cv2.BORDER_REFLECT,
        ).astype(np.float32)
        labels = np.zeros((HEIGHT_PX, WIDTH_PX), np.uint8)
        for object_id, cutout, pose in (
            (CUP, cup, cup_pose(t)),
            (ASTRONAUT, person, astronaut_pose(t)),
        ):
            colour, alpha = cutout.place(pose)
            canvas += alpha[..., None] * (colour - canvas)
            labels[alpha > 0.5] = object_id
        # Light that changes, a lens that is not perfect, a sensor that is not silent.
        canvas *= 1.0 + 0.07 * _wave(t, 0.6)
        canvas = cv2.GaussianBlur(canvas, (0, 0), 0.7) + noise.field()
        yield np.clip(canvas, 0, 255).astype(np.uint8), labels


class _Noise:
    """Sensor noise: one field made once and looked at in another place for every frame."""

    _MARGIN_PX = 64

    def __init__(self) -> None:
        self._random = np.random.default_rng(7)
        shape = (HEIGHT_PX + self._MARGIN_PX, WIDTH_PX + self._MARGIN_PX, 3)
        self._field = self._random.normal(0.0, 2.0, shape).astype(np.float32)

    def field(self) -> Float:
        y, x = self._random.integers(0, self._MARGIN_PX, 2)
        return self._field[y : y + HEIGHT_PX, x : x + WIDTH_PX]


def write_clip(root: Path, frames: int = FRAMES) -> str:
    """
    Write the clip as a data set in DAVIS layout, on which `vos eval` runs too.

    :param root: folder of the data set; made if it is missing.
    :param frames: as in render.
    :return: name of its one sequence.
    """
    images = root / 'JPEGImages' / '480p' / NAME
    masks = root / 'Annotations' / '480p' / NAME
    images.mkdir(parents=True, exist_ok=True)
    for old in (*images.glob('*.jpg'), *masks.glob('*.png')):
        old.unlink()
    quality = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    for number, (image, labels) in enumerate(render(frames)):
        path = images / f'{number:05d}.jpg'
        if not cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR), quality):
            raise VosError(f'cannot write {path}; choose another folder')
        write_label_png(masks / f'{number:05d}.png', labels)
    return NAME
