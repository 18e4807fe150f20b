# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Boxes -> masks, for detectors that give no outline.

GrabCut (Rother et al., SIGGRAPH 2004; OpenCV's) decides inside the box by the colours inside
against those around it. It is a guess: an object in the colours of its background, one that
fills its box to the corners, or two objects in one box come out wrong. Where it fails altogether,
the ellipse inside the box is taken. A mask from an instance segmenter is better than any of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
import math

import cv2
import numpy as np
import numpy.typing as npt

from vos_ros.datatypes import Frame, Image, LabelMap
from vos_ros.errors import VosError

#: GrabCut sees this share of the box's longer side around it: the background to compare with.
_MARGIN = 0.4
#: Longest side of the picture that GrabCut works on, px: its cost grows with the area.
_LONGEST = 256
_ITERATIONS = 4
#: A result below this share of the box is no object but noise.
_LEAST_SHARE = 0.08
#: Corners beyond this, px from the image, are as good as here.
_FAR = 2**14
#: A box must be this wide and high on the image, px.
_LEAST_SIDE = 4.0

Mask = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Box:
    """
    A rectangle on the image, in px; pixel centres lie at whole numbers.

    :param x: of its centre, to the right.
    :param y: of its centre, down.
    :param width: before it is turned.
    :param height: before it is turned.
    :param theta: how far it is turned about its centre, clockwise on the image, rad.
    """

    x: float
    y: float
    width: float
    height: float
    theta: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what is no rectangle, with the reason."""
        values = (self.x, self.y, self.width, self.height, self.theta)
        if not all(math.isfinite(value) for value in values):
            raise VosError(f'a box must hold finite numbers, not {values}')
        if min(self.width, self.height) < _LEAST_SIDE:
            raise VosError(
                f'a box of {self.width:g}x{self.height:g} px is too small to find an object in; '
                f'it needs {_LEAST_SIDE:g} px each way'
            )

    def corners(self) -> npt.NDArray[np.float64]:
        """Return the four corners (4, 2) as x, y."""
        sin, cos = math.sin(self.theta), math.cos(self.theta)
        half = 0.5 * np.array([self.width, self.height])
        signs = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
        turned = (signs * half) @ np.array([[cos, sin], [-sin, cos]])
        moved: npt.NDArray[np.float64] = turned + np.array([self.x, self.y])
        return moved


def draw_boxes(frame: Frame, boxes: Mapping[int, Box]) -> tuple[LabelMap, tuple[str, ...]]:
    """
    Draw a mask for each box; smaller boxes go on top of larger ones.

    :param frame: the image on which the boxes were drawn.
    :param boxes: object id -> box.
    :return: (H, W) uint8 or uint16 ids, and one line for each box that could not be drawn.
    """
    dtype = np.uint8 if max(boxes, default=0) < 255 else np.uint16
    label_map: LabelMap = np.zeros(frame.size, dtype)
    problems = []
    for object_id, box in sorted(boxes.items(), key=lambda b: -b[1].width * b[1].height):
        try:
            mask = draw_box(frame, box)
        except VosError as error:
            problems.append(f'object {object_id}: {error}')
            continue
        label_map[mask > 0] = object_id
    return label_map, tuple(problems)


def draw_box(frame: Frame, box: Box) -> Mask:
    """
    Return the mask of the object inside a box.

    :param frame: the image; only its colours are compared, so their order does not matter.
    :param box: may reach beyond the image.
    :return: (H, W) uint8, 1 = object.
    :raises VosError: the box lies outside of the image.
    """
    height, width = frame.size
    corners = box.corners()
    margin = _MARGIN * max(box.width, box.height)
    low = np.floor(corners.min(axis=0) - margin).astype(int).clip(0)
    high = np.ceil(corners.max(axis=0) + margin).astype(int) + 1
    high = np.minimum(high, (width, height))
    inside = np.zeros((max(0, high[1] - low[1]), max(0, high[0] - low[0])), np.uint8)
    if inside.size:
        _fill(inside, corners - low)
    if not inside.any():
        raise VosError(
            f'the box around ({box.x:g}, {box.y:g}) lies outside of the image of '
            f'{width}x{height}; was it drawn on another one?'
        )
    found = _grab_cut(frame.image[low[1] : high[1], low[0] : high[0]], inside)
    if found is None:
        found = _ellipse(inside.shape, box, low)
    mask: Mask = np.zeros(frame.size, np.uint8)
    mask[low[1] : high[1], low[0] : high[0]] = found & inside
    return mask


def _grab_cut(crop: Image, inside: Mask) -> Mask | None:
    """Return the object's pixels (H, W), or None where GrabCut finds nothing to be trusted."""
    scale = min(1.0, _LONGEST / max(inside.shape))
    size = tuple(max(1, round(side * scale)) for side in inside.shape[::-1])
    small = cv2.resize(crop, size, interpolation=cv2.INTER_AREA)
    seed = cv2.resize(inside, size, interpolation=cv2.INTER_NEAREST)
    decided = np.where(seed > 0, cv2.GC_PR_FGD, cv2.GC_BGD).astype(np.uint8)
    cv2.setRNGSeed(0)  # its first guess is random: the same box must give the same mask
    try:
        cv2.grabCut(
            small,
            decided,
            (0, 0, 0, 0),  # the mask says where, not a rectangle
            np.zeros((1, 65)),
            np.zeros((1, 65)),
            _ITERATIONS,
            cv2.GC_INIT_WITH_MASK,
        )
    except cv2.error:  # the box covers all that there is: no background to compare with
        return None
    found = _largest_part(((decided == cv2.GC_FGD) | (decided == cv2.GC_PR_FGD)).astype(np.uint8))
    if np.count_nonzero(found) < _LEAST_SHARE * np.count_nonzero(seed):
        return None
    smooth = cv2.resize(found * np.uint8(255), inside.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return (smooth > 127).astype(np.uint8)


def _largest_part(mask: Mask) -> Mask:
    count, parts, stats, _ = cv2.connectedComponentsWithStats(mask)
    if count < 3:  # background and at most one part
        return mask
    largest: Mask = (parts == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))).astype(np.uint8)
    return largest


def _ellipse(shape: tuple[int, ...], box: Box, low: npt.NDArray[np.int_]) -> Mask:
    """Fill the ellipse inside the box: nearer to most objects than the box itself."""
    rows, columns = np.indices(shape, np.float64)
    x, y = columns + low[0] - box.x, rows + low[1] - box.y
    sin, cos = math.sin(box.theta), math.cos(box.theta)
    along, across = (x * cos + y * sin) / box.width, (y * cos - x * sin) / box.height
    filled: Mask = (along**2 + across**2 <= 0.25).astype(np.uint8)
    return filled


def _fill(mask: Mask, corners: npt.NDArray[np.float64]) -> None:
    # OpenCV counts in 32 bits with 16 behind the point; so far outside, a corner may lie anywhere.
    corners = np.round(corners).clip(-_FAR, _FAR)
    cv2.fillConvexPoly(mask, corners.astype(np.int32), 1)
