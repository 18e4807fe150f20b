# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The one place where masks come in: what their numbers mean, by one rule for all ways.

Numbers are ids, or shades of one object: 255 where it is, 0 where it is not, and anything between
on a soft edge (a brush, antialiasing, a mask that was resized or went through JPEG) or in a map of
probabilities. Taken for ids, a soft edge becomes a hundred objects of a few pixels, and the object
itself void.
"""

from __future__ import annotations

from enum import Enum
from functools import lru_cache
import logging

import cv2
import numpy as np
import numpy.typing as npt

from vos_ros.datatypes import LabelMap
from vos_ros.errors import VosError

#: Void in a label map of 8 bits, as in DAVIS: never an object. With 16 bits an id as any other.
VOID = 255
_MOST_BYTE_ID = 254
#: The half of full scale: from here on a shade belongs to the object.
_HALF = 128
#: Shades that a network gives for "certainly" are full, too.
_FULL = 250
#: Shades between 0 and full scale that a map of probabilities has at least.
_SHADES = 12
#: A map whose ids have an inside (all 3x3 neighbours are the same) in a larger share is no picture
#: of shades.
_INSIDE = 0.3
#: Full pixels to one of the rim, where it is but noise that JPEG has left along the outline.
_MOSTLY_FULL = 8
#: Share of full pixels to those of a small object's rim, and of the rim that must be slope.
_LEAST_FULL, _ALL_RIM = 0.25, 0.9
_log = logging.getLogger(__name__)


class Reading(Enum):
    """
    What the stored numbers mean.

    EMPTY: nothing in it. IDS: an id per pixel. ONE: one object, 0 and full scale only. SOFT: one
    object with shades.
    """

    EMPTY = 'empty'
    IDS = 'ids'
    ONE = 'one object'
    SOFT = 'one object with soft edges'


class EmptyMaskError(VosError):
    """A mask without any object: nothing was found, and nothing is wrong."""


def reading_of(stored: LabelMap) -> Reading:
    """
    Tell ids from one object, by the numbers alone.

    One object: only 0 and 255 (or 65535 with 16 bits), or shades between that climb from one to
    the other, pixel by pixel. Ids have pixels whose neighbours are all of the same id, or are at
    least no step of a slope; 255 beside them is void.

    :param stored: (H, W) uint8 or uint16.
    """
    high = int(stored.max(initial=0))
    if not high:
        return Reading.EMPTY
    shades = to_shades(stored)
    counts = _histogram(shades)
    if not counts[1:VOID].any():
        is_one = high in (VOID, np.iinfo(stored.dtype).max) and bool(
            ((stored == 0) | (stored == high)).all()
        )
        return Reading.ONE if is_one else Reading.IDS
    rim, full = counts[1:_FULL].sum(), counts[_FULL:].sum()
    # One or two low numbers beside 255 are ids beside void, however thin they are, unless they
    # are next to nothing.
    has_shades = (
        np.count_nonzero(counts[1:VOID]) > 2
        or counts[_HALF // 4 : _FULL].any()
        or full >= _MOSTLY_FULL * rim
    )
    has_rim = bool(rim and full >= _LEAST_FULL * rim and has_shades)
    is_wide = counts[_HALF:].any() and np.count_nonzero(counts[1:VOID]) >= _SHADES
    if (has_rim or is_wide) and _is_soft(shades, has_rim):
        return Reading.SOFT
    return Reading.IDS


def to_shades(stored: LabelMap) -> npt.NDArray[np.uint8]:
    """
    Bring shades to 0..255.

    :param stored: (H, W) uint8, or uint16 with full scale at 255 or 65535.
    """
    if stored.dtype == np.uint8:
        return np.asarray(stored, np.uint8)
    wide = int(stored.max(initial=0)) > VOID
    # A shade that is not 0 stays so.
    shades = (stored >> 8) | ((stored > 0) & (stored < 256)) if wide else stored
    return shades.astype(np.uint8)


def to_ids(stored: LabelMap, reading: Reading, object_id: int = 1) -> LabelMap:
    """
    Read stored numbers as object ids.

    :param stored: (H, W) uint8 or uint16; not changed.
    :param reading: as :func:`reading_of` says of the mask, or of the first one of its sequence.
    :param object_id: the object which a mask of one object means.
    :return: (H, W) uint8, or uint16 where an id is above 254; 0 = no object.
    """
    labels: LabelMap
    if reading in (Reading.ONE, Reading.SOFT):
        shades = to_shades(stored)
        high = int(shades.max(initial=0))
        # A later mask of such a sequence may be of 0 and 1.
        inside = shades >= _HALF if high >= _HALF else (shades == high) & (shades > 0)
        dtype = np.uint8 if object_id <= _MOST_BYTE_ID else np.uint16
        labels = inside * np.array(object_id, dtype)
        return labels
    if stored.dtype == np.uint8:
        if not (stored == VOID).any():
            return stored
        labels = stored.copy()
        labels[labels == VOID] = 0
        return labels
    if int(stored.max(initial=0)) <= _MOST_BYTE_ID:
        return stored.astype(np.uint8)
    return stored


def read_prompt(stored: LabelMap, name: str, object_id: int = 1) -> LabelMap:
    """
    Read a mask that names objects to follow.

    :param stored: (H, W) uint8 or uint16.
    :param name: what to call it in an error or a warning.
    :param object_id: the object which a mask of one object means.
    :return: (H, W) uint8 or uint16 ids, 0 = untouched; at least one object.
    :raises EmptyMaskError: there is no object in it.
    """
    reading = reading_of(stored)
    if reading is Reading.SOFT:
        warn_soft(name)
    labels = to_ids(stored, reading, object_id)
    if not labels.any():
        raise EmptyMaskError(
            f'{name} is empty: no pixel belongs to an object; paint ids 1, 2, ... or 255'
        )
    return labels


@lru_cache(maxsize=256)
def warn_soft(name: str) -> None:
    """
    Say once of a mask, or of a sequence of them, that its shades are no ids.

    :param name: of it.
    """
    _log.warning(
        '%s has soft edges: read as one object where it is %d or more of 255; save ids without '
        'antialiasing for several objects',
        name,
        _HALF,
    )


def _histogram(shades: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    # A tenth of the time of np.bincount.
    counts = cv2.calcHist([np.ascontiguousarray(shades)], [0], None, [256], [0, 256])
    return np.asarray(counts, np.float32).reshape(-1)


def _is_soft(shades: npt.NDArray[np.uint8], has_rim: bool) -> bool:
    """
    Tell shades from ids.

    :param shades: (H, W).
    :param has_rim: so many pixels are of full scale that the others may be their rim.
    """
    if has_rim:
        # Steps on the way from 0 to full. A small object has more rim than inside, but then
        # there is nothing else.
        between = (shades > 0) & (shades < _FULL)
        wide = np.ones((5, 5), np.uint8)
        low, high = cv2.erode(shades, wide), cv2.dilate(shades, wide)
        on_slope = np.count_nonzero(between & (low < shades) & (shades < high))
        rim = np.count_nonzero(between)
        full = np.count_nonzero(shades >= _FULL)
        if on_slope >= (0.5 if full >= rim else _ALL_RIM) * rim:
            return True
        if full >= _MOSTLY_FULL * rim and not (between & _has_inside(shades)).any():
            return True
    # Else it is a map of probabilities: many shades up to high ones, few of them in areas.
    found = np.count_nonzero(_histogram(shades)[1:VOID])
    if found < _SHADES or int(shades.max()) < _HALF:
        return False
    in_areas = np.count_nonzero(_histogram(shades * _has_inside(shades))[1:VOID])
    return in_areas < _INSIDE * found


def _has_inside(shades: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Return where all 3x3 neighbours are the same."""
    small = np.ones((3, 3), np.uint8)
    same: npt.NDArray[np.bool_] = np.equal(cv2.erode(shades, small), cv2.dilate(shades, small))
    return same


def ids_in(label_map: LabelMap) -> tuple[int, ...]:
    """
    List the ids in a label map, ascending, without the background.

    :param label_map: (H, W) uint8 or uint16.
    """
    # OpenCV counts without a copy of 8 bytes per pixel: 0.6 ms at 1080p, bincount 3.5; sorting all
    # pixels (np.unique) takes some 30 times as long as counting.
    bins = int(np.iinfo(label_map.dtype).max) + 1
    counts = cv2.calcHist([np.ascontiguousarray(label_map)], [0], None, [bins], [0, bins])
    return tuple(int(k) for k in np.flatnonzero(counts) if k)
