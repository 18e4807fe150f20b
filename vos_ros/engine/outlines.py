# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Where a mask ends beside the edge that the network sees: as it did in the mask that was given.

People and detectors differ in where they draw an outline; the network goes back to the edge that
it sees, whatever it is given. By how much they differ is measured once, on the prompted frame
itself: read with that frame as its own memory, the network draws the object as it always will, and
the distance by which that has to shrink or grow to fit the given mask best is the answer. It is
applied to the labels that are published, never to what is remembered, where it would add up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import cv2
import numpy as np
import numpy.typing as npt

from vos_ros.datatypes import Float, LabelMap

EDGE, TIGHTER, GIVEN = 'edge', 'tighter', 'given'

#: Share of the image's short side by which an outline may lie beside the edge: 6 px at 480. Who
#: draws farther off does not mean it.
_FARTHEST = 0.0125
#: Steps in which distances are tried, px.
_STEP = 0.5
#: Rims up to so many pixels are found quicker without distances (1080p, 2 px: 0.1 ms for 1.1).
_THIN = 4.5
#: Share of a mask that a tighter outline may take: an object that is far away by now must not go.
_MOST_TAKEN = 0.5
#: What the overlap (intersection over union) must gain.
_LEAST_GAIN = 0.02

Mask = npt.NDArray[np.bool_]


def _around(mask: Mask, margin: int) -> tuple[slice, slice]:
    """Return the part of an image around a mask; empty where there is none."""
    left, top, width, height = cv2.boundingRect(mask.view(np.uint8))
    if not width:
        return slice(0, 0), slice(0, 0)
    rows = slice(max(0, top - margin), top + height + margin)
    return rows, slice(max(0, left - margin), left + width + margin)


def _away(mask: Mask) -> Float:
    """Return how far each pixel of a mask is from what it is not; the image's border is not."""
    away = cv2.distanceTransform(mask.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
    return np.asarray(away, np.float32)


def _rim(mask: Mask, pixels: float) -> Mask:
    """Return the pixels of a mask that are so near to what it is not."""
    if pixels > _THIN:
        return mask & (_away(mask) <= pixels)
    reach = int(pixels)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disc = (x * x + y * y <= pixels * pixels).astype(np.uint8)
    rim: Mask = mask & (cv2.erode(mask.view(np.uint8), disc) == 0)
    return rim


def _spared(mask: Mask, pixels: float) -> Mask:
    """Return a rim of a mask, a narrower one where hardly anything would be left of it."""
    rim, area = _rim(mask, pixels), np.count_nonzero(mask)
    while pixels >= 1 and np.count_nonzero(rim) > _MOST_TAKEN * area:
        pixels /= 2
        rim = _rim(mask, pixels)
    return rim


def offset(found: Mask, given: Mask, most: float) -> float:
    """
    Return by how many pixels an outline has to move outwards so that a mask fits another one best.

    :param found: (H, W) as the network draws the object.
    :param given: (H, W) as it was given.
    :param most: px, either way.
    :return: below 0 = inwards; 0 where it would gain next to nothing, or is `most` and more.
    """
    if not found.any() or not given.any():
        return 0.0
    part = _around(found | given, int(most) + 2)
    found, given = np.ascontiguousarray(found[part]), given[part]
    # Outwards what lies just so far away is taken in, inwards what lies just so deep is left out.
    depth = np.where(found, _away(found) - np.float32(1e-3), -_away(~found))
    steps = np.arange(-(most // _STEP), most // _STEP + 1) * _STEP
    edges = np.concatenate([-steps[::-1], [np.inf]])
    # Pixels of the mask after each step: all, and those that were given.
    inside, shared = (
        np.histogram(some, edges)[0][::-1].cumsum() for some in (depth, depth[given])
    )
    overlap = shared / (inside + np.count_nonzero(given) - shared)
    now = np.count_nonzero(found & given) / np.count_nonzero(found | given)
    best = int(overlap.argmax())
    is_meant = 0 < best < len(steps) - 1 and overlap[best] - now >= _LEAST_GAIN
    return float(steps[best]) if is_meant else 0.0


class Outlines:
    """
    How far the outline of each object lies beside the edge.

    :param where: what masks follow: the edge, a given mask that was tighter, or any given mask.
    """

    def __init__(self, where: str) -> None:
        self._where = where
        self._shares: dict[int, float] = {}  # of the image's short side; only those that move

    @property
    def is_asked(self) -> bool:
        """Whether anything has to be measured."""
        return self._where != EDGE

    @property
    def shares(self) -> Mapping[int, float]:
        """How far outlines are moved, by id, as a share of the short side; below 0 = inwards."""
        return self._shares

    def measure(self, object_id: int, found: Mask, given: Mask) -> None:
        """
        Compare what the network draws with what was given.

        :param found: (H, W).
        :param given: (H, W).
        """
        short = min(found.shape)
        pixels = offset(found, given, _FARTHEST * short)
        if self._where == TIGHTER:
            pixels = min(pixels, 0.0)
        self.remove([object_id])
        if pixels:
            self._shares[object_id] = pixels / short

    def draw(self, label_map: LabelMap) -> LabelMap:
        """
        Move the outlines; an object grows over background alone.

        :param label_map: (H, W), changed in place.
        :return: the same one.
        """
        if not self._shares:
            return label_map
        pixels = {k: share * min(label_map.shape) for k, share in self._shares.items()}
        some = label_map if label_map.dtype == np.uint8 else label_map > 0
        # Only around all objects: to touch new memory costs more than what is done here.
        seen = label_map[_around(some.view(np.bool_), int(max(0.0, *pixels.values())) + 2)]
        for object_id, moved in pixels.items():
            mask = seen == object_id
            part = _around(mask, int(max(moved, 0.0)) + 2)
            mask = np.ascontiguousarray(mask[part])
            if not mask.any():
                continue
            if moved < 0:
                np.copyto(seen[part], 0, where=_spared(mask, -moved))
            else:
                free = seen[part] == 0
                np.copyto(seen[part], object_id, where=_rim(~mask, moved) & free)
        return label_map

    def adopt(self, other: Outlines, object_ids: Iterable[int]) -> None:
        """Take over objects of another one."""
        self.remove(object_ids)
        self._shares |= other._shares

    def remove(self, object_ids: Iterable[int]) -> None:
        """Forget these objects."""
        for object_id in object_ids:
            self._shares.pop(object_id, None)
