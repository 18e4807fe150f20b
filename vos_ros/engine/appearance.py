# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
What an object looks like, apart from where it is, how large and how turned, and in what light.

The network's key says what belongs together on two frames; among things of one kind it takes any.
Measured on drawn look-alikes at 320 px (two thirds of them in other colours), the chance that a
look-alike is farther from the views kept than the object itself: means of the key 0.86, of the
feature maps 0.60 to 0.78, of colours 0.94. So colours decide, as a Gaussian: a dozen cells are
enough for one, and comparing two takes microseconds.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from vos_ros.datatypes import Float

Mask = npt.NDArray[np.bool_]
Array = npt.NDArray[np.float64]

#: Cells of a mask below which its colours tell nothing.
LEAST_CELLS = 12
#: Variance that is added: noise of a camera, and no two frames are equal.
_FLOOR = 3e-4
#: What brightness weighs against the shares of red and green.
_BRIGHTNESS = 0.1
#: What few cells may be apart for no reason, times their number.
_CHANCE = 1.0


@dataclass(frozen=True, eq=False)
class Look:
    """
    Colours of one view of an object.

    :param mean: (3,) share of red, share of green, 0.
    :param cov: (3, 3) of the same and of the brightness, relative to its own mean.
    :param cells: that it is of.
    """

    mean: Array
    cov: Array
    cells: int


def look_at(image: Float, mask: Mask, mean: Array, std: Array) -> Look | None:
    """
    Return what a mask shows of an object.

    :param image: (3, H, W) the network's input, RGB.
    :param mask: (H / 4, W / 4) cells.
    :param mean: (3,) that was subtracted, on the scale 0..255.
    :param std: (3,) that it was divided by, likewise.
    :return: None where it is too small to tell.
    """
    left, top, width, height = cv2.boundingRect(mask.view(np.uint8))
    inside = mask[top : top + height, left : left + width]
    cells = int(np.count_nonzero(inside))
    if cells < LEAST_CELLS:
        return None
    # The rim is a mixture with what is behind. Of a small object, half of the cells are rim.
    framed = cv2.copyMakeBorder(inside.view(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT)
    core = cv2.erode(framed, np.ones((3, 3), np.uint8))[1:-1, 1:-1] > 0
    inside = core if np.count_nonzero(core) >= LEAST_CELLS else inside
    part = image[:, 4 * top : 4 * (top + height), 4 * left : 4 * (left + width)]
    # The middle of each cell: four pixels.
    middle = sum(part[:, y::4, x::4] for y in (1, 2) for x in (1, 2))
    rgb = np.asarray(middle)[:, inside].astype(np.float64) / 4
    return look_of((rgb * std[:, None] + mean[:, None]) / 255)


def look_of(rgb: Array) -> Look:
    """
    Return what these colours look like.

    :param rgb: (3, n) 0..1, n at least LEAST_CELLS.
    """
    rgb = np.clip(rgb, 1 / 255, 1)
    total = rgb.sum(axis=0)
    brightness = _BRIGHTNESS * np.log(total)
    seen = np.stack([rgb[0] / total, rgb[1] / total, brightness - brightness.mean()])
    return Look(seen.mean(axis=1), np.cov(seen, bias=True), seen.shape[1])


def distance(one: Look, other: Look) -> float:
    """
    Return the Bhattacharyya distance of two looks: 0 = equal, 0.06 = alike, 1 = others.

    What chance, and a rim of background, make of few cells is taken off.
    """
    floor = _FLOOR * np.eye(3)
    first, second = one.cov + floor, other.cov + floor
    both, apart = (first + second) / 2, one.mean - other.mean
    spread = np.linalg.slogdet(np.stack([both, first, second]))[1]
    between = apart @ np.linalg.solve(both, apart) / 8
    apart_by = between + (spread[0] - (spread[1] + spread[2]) / 2) / 2
    return max(0.0, float(apart_by) - _CHANCE / min(one.cells, other.cells))


def closest_pair(looks: list[Look]) -> int:
    """
    Return which of several looks is missed least: the later one of the two that are most alike.

    The first is always kept: it is the prompt's.

    :param looks: at least two.
    """
    apart = [(distance(looks[i], looks[j]), j) for j in range(1, len(looks)) for i in range(j)]
    return min(apart)[1]
