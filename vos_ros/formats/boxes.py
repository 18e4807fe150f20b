# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Boxes and points -> masks, for detectors and people that give no outline.

GrabCut (Rother et al., SIGGRAPH 2004; OpenCV's) decides inside the box by the colours inside
against those around it. It is a guess: an object in the colours of its background, one that
fills its box to the corners, or two objects in one box come out wrong. Where it fails altogether,
the ellipse inside the box is taken. A mask from an instance segmenter is better than any of it.

A point says less than a box: the object is looked for in a window around it, whose size is a
guess, too. It is rough, and meant for an object that stands out and fills about that window.
"""

from __future__ import annotations

from dataclasses import dataclass
import math

import cv2
import numpy as np
import numpy.typing as npt

from vos_ros.datatypes import Frame, Image
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
#: How far an object reaches from a point, as a share of the image's shorter side.
_REACH = 0.25
#: What lies within this share of that is the object's for certain.
_CERTAIN = 0.15

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
        """Return x and y of the four corners, (4, 2)."""
        sin, cos = math.sin(self.theta), math.cos(self.theta)
        half = 0.5 * np.array([self.width, self.height])
        signs = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
        turned = (signs * half) @ np.array([[cos, sin], [-sin, cos]])
        moved: npt.NDArray[np.float64] = turned + np.array([self.x, self.y])
        return moved


@dataclass(frozen=True)
class Points:
    """
    Places on one object, in px; pixel centres lie at whole numbers.

    :param places: x, y of each, at least one.
    :param reach: how far the object reaches from them; 0 = a quarter of the shorter side. For
        GrabCut alone: the prompt network finds out by itself.
    :param beside: x, y of places that are not on the object.
    """

    places: tuple[tuple[float, float], ...]
    reach: float = 0.0
    beside: tuple[tuple[float, float], ...] = ()

    def __post_init__(self) -> None:
        """Refuse what is no place, with the reason."""
        numbers = [value for place in (*self.places, *self.beside) for value in place]
        if not self.places or not all(math.isfinite(value) for value in (*numbers, self.reach)):
            raise VosError(f'points must be finite numbers, at least one pair, not {self.places}')
        if self.reach < 0:
            raise VosError(f'the reach of a point is a number of px, not {self.reach:g}')

    def check_inside(self, size: tuple[int, int]) -> None:
        """
        Refuse places beside the image; some count pixels from its corner, up to its width.

        :param size: height and width of the image, px.
        :raises VosError: one lies outside of it.
        """
        height, width = size
        for x, y in (*self.places, *self.beside):
            if not (-0.5 <= x < width and -0.5 <= y < height):
                raise VosError(
                    f'the point ({x:g}, {y:g}) lies outside of the image of {width}x{height}'
                )

    def window(self, size: tuple[int, int]) -> Box:
        """
        Return the box in which the object is looked for.

        :param size: height and width of the image, px.
        """
        reach = max(self.reach_in(size), _LEAST_SIDE)
        (x0, y0), (x1, y1) = (
            [choose(place[axis] for place in self.places) for axis in (0, 1)]
            for choose in (min, max)
        )
        return Box((x0 + x1) / 2, (y0 + y1) / 2, x1 - x0 + 2 * reach, y1 - y0 + 2 * reach)

    def reach_in(self, size: tuple[int, int]) -> float:
        """
        Return how far the object reaches, px.

        :param size: height and width of the image, px.
        """
        return self.reach or _REACH * min(size)


def parse_box(text: str) -> Box:
    """
    Read a box as a command line has it.

    :param text: 'X,Y,W,H': its left upper pixel, width and height, px.
    :raises VosError: it is something else.
    """
    numbers = _numbers(text)
    if len(numbers) != 4:
        raise VosError(f"a box is X,Y,W,H: left, top, width and height in px, not '{text}'")
    x, y, width, height = numbers
    return Box(x + (width - 1) / 2, y + (height - 1) / 2, width, height)


def parse_points(text: str) -> Points:
    """
    Read the points of one object as a command line has them.

    :param text: 'X,Y', or 'X,Y,X,Y,...' for several, px.
    :raises VosError: it is something else.
    """
    numbers = _numbers(text)
    if not numbers or len(numbers) % 2:
        raise VosError(f"a point is X,Y in px (several: X,Y,X,Y), not '{text}'")
    return Points(tuple(zip(numbers[::2], numbers[1::2])))


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(',')]
    except ValueError:
        return []


def draw_box(frame: Frame, box: Box) -> Mask:
    """
    Return the mask of the object inside a box.

    :param frame: the image; only its colours are compared, so their order does not matter.
    :param box: may reach beyond the image.
    :return: (H, W) uint8, 1 = object.
    :raises VosError: the box lies outside of the image.
    """
    crop, inside, low = _around(frame, box)
    found = _grab_cut(crop, inside)
    if found is None:
        found = _ellipse(inside.shape, box, low)
    return _placed(frame, found & inside, low)


def draw_points(frame: Frame, points: Points) -> Mask:
    """
    Return the mask of the object that points lie on: what is like them, in a window around them.

    :param frame: the image; only its colours are compared, so their order does not matter.
    :param points: on the object.
    :return: (H, W) uint8, 1 = object.
    :raises VosError: a point lies outside of the image.
    """
    points.check_inside(frame.size)
    window = points.window(frame.size)
    crop, inside, low = _around(frame, window)
    radius = max(1, round(_CERTAIN * points.reach_in(frame.size)))
    certain = np.zeros_like(inside)
    for x, y in points.places:
        cv2.circle(certain, (round(x - low[0]), round(y - low[1])), radius, 1, cv2.FILLED)
    found = _grab_cut(crop, inside, certain)
    if found is None:
        found = _ellipse(inside.shape, window, low)
    return _placed(frame, (found & inside) | certain, low)


def _around(frame: Frame, box: Box) -> tuple[Image, Mask, npt.NDArray[np.int_]]:
    """Return the picture around a box, 1 where the box is in it, and the x, y of its corner."""
    height, width = frame.size
    corners = box.corners()
    margin = _MARGIN * max(box.width, box.height)
    # Cut before they become whole: no integer holds 1e300.
    low = np.floor((corners.min(axis=0) - margin).clip(0, frame.size[::-1])).astype(int)
    high = np.ceil((corners.max(axis=0) + margin).clip(-1, frame.size[::-1])).astype(int) + 1
    high = np.minimum(high, (width, height))
    inside = np.zeros((max(0, high[1] - low[1]), max(0, high[0] - low[0])), np.uint8)
    if inside.size:
        _fill(inside, corners - low)
    if not inside.any():
        raise VosError(
            f'the box around ({box.x:g}, {box.y:g}) lies outside of the image of '
            f'{width}x{height}; was it drawn on another one?'
        )
    return frame.image[low[1] : high[1], low[0] : high[0]], inside, low


def _placed(frame: Frame, found: Mask, low: npt.NDArray[np.int_]) -> Mask:
    mask: Mask = np.zeros(frame.size, np.uint8)
    mask[low[1] : low[1] + found.shape[0], low[0] : low[0] + found.shape[1]] = found
    return mask


def _grab_cut(crop: Image, inside: Mask, certain: Mask | None = None) -> Mask | None:
    """
    Return the object's pixels (H, W), or None where GrabCut finds nothing to be trusted.

    :param certain: 1 = the object's, whatever its colour; what does not hang together with it is
        left out.
    """
    scale = min(1.0, _LONGEST / max(inside.shape))
    size = tuple(max(1, round(side * scale)) for side in inside.shape[::-1])
    small = cv2.resize(crop, size, interpolation=cv2.INTER_AREA)
    seed = cv2.resize(inside, size, interpolation=cv2.INTER_NEAREST)
    decided = np.where(seed > 0, cv2.GC_PR_FGD, cv2.GC_BGD).astype(np.uint8)
    if certain is not None:
        known = cv2.resize(certain, size, interpolation=cv2.INTER_NEAREST) > 0
        decided[known] = cv2.GC_FGD
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
    found = ((decided == cv2.GC_FGD) | (decided == cv2.GC_PR_FGD)).astype(np.uint8)
    found = _largest_part(found) if certain is None else _parts_with(found, known)
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


def _parts_with(mask: Mask, known: npt.NDArray[np.bool_]) -> Mask:
    """Keep the parts that hold a pixel that is known to be the object's."""
    _, parts = cv2.connectedComponents(mask)
    held = np.unique(parts[known & (mask > 0)])
    kept: Mask = np.isin(parts, held[held > 0]).astype(np.uint8)
    return kept


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
