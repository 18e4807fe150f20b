# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Masks that are drawn tighter or looser than the object is, the same way on all frames of a clip.

People and detectors differ in where they draw an outline: some a few pixels inside of the edge
that is seen, some outside of it. A student that has only seen masks which end at the edge goes
back to the edge whatever it is given; from clips that are redrawn it can learn to follow.
"""

import cv2
import numpy as np
import numpy.typing as npt

from vos_distill.data.layers import Image
from vos_distill.data.objects import object_ids
from vos_ros.formats.masks import VOID

_LEAST_LEFT = 0.6  # of an object on the first frame: a tighter outline would leave out whole limbs


def _distance(cells: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    """Give how far each of some pixels is from the nearest other one; the border is none."""
    found = cv2.distanceTransform(cells.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
    return np.asarray(found, np.float32)


def redrawn(label: Image, pixels: float) -> Image:
    """
    Move the outlines of all objects.

    :param label: (H, W) uint8, 0 = background, 255 = void, which stays.
    :param pixels: outwards; below 0 inwards. Only between an object and the background, or inwards
        another object: none grows into another one.
    """
    out = label.copy()
    ids = object_ids(label)
    if pixels < 0:
        for k in ids:
            inside = label == k
            out[inside & (_distance(inside | (label == VOID)) <= -pixels)] = 0
    elif pixels > 0 and ids:
        away = np.stack([_distance(label != k) for k in ids])
        grown = (label == 0) & (away.min(0) <= pixels)
        out[grown] = np.array(ids, np.uint8)[away.argmin(0)[grown]]
    return out


def redraw_clip(labels: Image, pixels: float) -> Image:
    """
    Move the outlines of a clip, by less where the first frame's objects are too thin for it.

    :param labels: (T, H, W) uint8.
    :param pixels: see `redrawn`.
    """
    ids = object_ids(labels[0])
    areas = np.array([np.count_nonzero(labels[0] == k) for k in ids])
    while pixels < -0.5:
        first = redrawn(labels[0], pixels)
        if all(np.array([np.count_nonzero(first == k) for k in ids]) >= _LEAST_LEFT * areas):
            break
        pixels /= 2
    return np.stack([redrawn(label, pixels) for label in labels])
