# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Objects in space: what of an object the camera sees, as points, with a centre and a box.

A camera sees the front of things. The centre is that of the visible surface: of a ball it lies two
thirds of the radius in front of the ball's own. Nothing about the hidden side is guessed.
"""

from __future__ import annotations

from dataclasses import dataclass
import math
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from vos_ros.config import GeometryConfig
from vos_ros.datatypes import LabelMap
from vos_ros.space.camera import Camera
from vos_ros.space.depth import flying_pixels, to_metres

Float = npt.NDArray[np.float32]

#: Standard deviations of a normal distribution per median absolute deviation.
_SIGMA_PER_MAD = 1.4826
#: Depth nearer to the median than this share of it is never an outlier: a flat surface that faces
#: the camera has no deviation but the noise of its depth.
_FLAT = 0.01
#: Points that order statistics are taken over; more change them by less than the noise.
_MOST_SAMPLES = 5_000
#: Steps of depth on both sides of the median in which gaps are looked for.
_MOST_BINS = 1000
#: Share of an object's points that may be in a gap all the same: what is left of mixed pixels.
_STRAY = 0.002
#: A box reaches from this percentile of each axis to 100 less this.
_BOX_PERCENT = 1.0


@dataclass(frozen=True, eq=False)
class ObjectInSpace:
    """
    One object, in the frame of the depth camera: x right, y down, z forward, m.

    :param object_id: as on the labels.
    :param pixels: of its mask, at the size of the depth image.
    :param holes: of these, without depth.
    :param edges: of these, left out near an edge of depth.
    :param outliers: of these, left out for their depth.
    :param points: (N, 3) float32, what is left, row by row.
    :param center: (3,) float64 of the visible surface; None where there are too few points.
    :param low: (3,) float64, corner of the box around 98 % of the points; None likewise.
    :param high: (3,) float64, the opposite corner.
    """

    object_id: int
    pixels: int
    holes: int
    edges: int
    outliers: int
    points: Float
    center: npt.NDArray[np.float64] | None = None
    low: npt.NDArray[np.float64] | None = None
    high: npt.NDArray[np.float64] | None = None

    @property
    def share(self) -> float:
        """Share of the mask's pixels whose depth is used, 0..1."""
        return len(self.points) / self.pixels if self.pixels else 0.0


def areas_of(labels: LabelMap) -> dict[int, int]:
    """
    Count the pixels of each object.

    :param labels: (H, W) uint8 or uint16, 0 = background.
    :return: id -> pixels, of those that have any, by id.
    """
    bins = 1 << (8 * labels.itemsize)
    counts = cv2.calcHist([np.ascontiguousarray(labels)], [0], None, [bins], [0, bins]).ravel()
    return {int(i): int(counts[i]) for i in np.flatnonzero(counts) if i > 0}


def locate_all(
    labels: LabelMap,
    stored: npt.NDArray[Any],
    camera: Camera,
    limits: GeometryConfig,
    max_objects: int,
) -> tuple[ObjectInSpace, ...]:
    """
    Place every object in space.

    :param labels: (H, W) uint8 or uint16, at the size of the depth image.
    :param stored: (H, W) uint16 in mm or float32 in m, as `read_depth` gives it.
    :param camera: of the depth image.
    :param limits: which depth is believed.
    :param max_objects: the largest ones, if there are more.
    :return: by id.
    """
    areas = areas_of(labels)
    largest = sorted(areas, key=lambda i: -areas[i])[:max_objects]
    return tuple(locate(labels, i, stored, camera, limits) for i in sorted(largest))


def locate(
    labels: LabelMap,
    object_id: int,
    stored: npt.NDArray[Any],
    camera: Camera,
    limits: GeometryConfig,
) -> ObjectInSpace:
    """
    Place one object in space.

    :param labels: (H, W) uint8 or uint16, at the size of the depth image.
    :param object_id: which; may have no pixel.
    :param stored: (H, W) uint16 in mm or float32 in m.
    :param camera: of the depth image.
    :param limits: which depth is believed.
    """
    mask = (labels == object_id).view(np.uint8)
    left, top, width, height = cv2.boundingRect(mask)
    # Edges are looked for beside the mask, too.
    margin = limits.edge_px
    y, x = max(0, top - margin), max(0, left - margin)
    part = np.s_[y : top + height + margin, x : left + width + margin]
    inside = mask[part].view(bool)
    metres = to_metres(stored[part], limits)
    has_depth = inside & ~np.isnan(metres)
    flying = has_depth & flying_pixels(metres, limits)
    rows, columns = np.nonzero(has_depth & ~flying)
    z = metres[rows, columns]
    kept = belongs(z, limits)
    rows, columns, z = rows[kept] + y, columns[kept] + x, z[kept]
    points = np.empty((len(z), 3), np.float32)
    points[:, :2] = camera.rays(rows, columns) * z[:, None]
    points[:, 2] = z
    pixels, with_depth = int(np.count_nonzero(inside)), int(np.count_nonzero(has_depth))
    center, low, high = None, None, None
    if len(points) >= limits.min_pixels:
        center = points.mean(0, dtype=np.float64)
        sample = points[:: _stride(len(points))].astype(np.float64)
        low, high = np.percentile(sample, (_BOX_PERCENT, 100 - _BOX_PERCENT), axis=0)
    return ObjectInSpace(
        object_id=object_id,
        pixels=pixels,
        holes=pixels - with_depth,
        edges=int(np.count_nonzero(flying)),
        outliers=int(len(kept) - np.count_nonzero(kept)),
        points=points,
        center=center,
        low=low,
        high=high,
    )


def belongs(values: Float, limits: GeometryConfig) -> npt.NDArray[np.bool_]:
    """
    Tell an object's depth from what a mask that is too wide takes of the wall behind it.

    What is near the median belongs, as far as the median absolute deviation says; beyond that,
    what no gap divides from it. The deviation alone would cut off the second face of a box, which
    moved its centre by 3 cm.

    :param values: (N,) depth, m.
    :param limits: `trim`, how many standard deviations are near; `edge_jump`, how much is a gap.
    :return: (N,).
    """
    if limits.trim == 0 or not len(values):
        return np.ones(len(values), bool)
    sample = values[:: _stride(len(values))]
    median = float(np.median(sample))
    mad = float(np.median(np.abs(sample - median)))
    off = values - np.float32(median)
    is_near = np.abs(off) <= max(limits.trim * _SIGMA_PER_MAD * mad, _FLAT * median)
    step = limits.edge_jump * median
    bins = np.clip(np.floor(off / step + 0.5), -_MOST_BINS, _MOST_BINS).astype(np.intp)
    counts = np.bincount(bins + _MOST_BINS, minlength=2 * _MOST_BINS + 1)
    empty = np.flatnonzero(counts < max(1.0, _STRAY * len(values)))
    low = empty[empty < _MOST_BINS].max(initial=-1) - _MOST_BINS
    high = empty[empty > _MOST_BINS].min(initial=2 * _MOST_BINS + 1) - _MOST_BINS
    return np.asarray(is_near | ((bins > low) & (bins < high)))


def _stride(count: int) -> int:
    return max(1, math.ceil(count / _MOST_SAMPLES))
