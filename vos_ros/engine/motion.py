# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""MotionGate: an object is where it was, or near; what merely looks alike elsewhere is not it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
import math

import cv2
import numpy as np
import numpy.typing as npt

from vos_ros.datatypes import Float

#: Frames closer in time than this are treated as this far apart; also where stamps tell nothing.
LEAST_S = 1 / 30
#: An object may at least move this many of its own sizes (root of its area) a second. Measured at
#: 30 Hz: without it, a motorcycle on every 4th frame is cut off (J 0.74, with it 0.86, ungated
#: 0.89); with twice as much, a cyclist leaks onto a wall (J 0.52, with it 0.60).
_OWN_SIZES_PER_S = 15.0
#: Below this share of its usual area inside its reach, an object is hidden or gone from there.
_HIDDEN = 0.1
#: A mask outside the reach replaces a hidden one only with this share of its usual area.
_MOVED = 0.5
#: The usual area follows a shrinking object slowly, a growing one at once.
_DECAY = 0.97
#: Cells; a smaller mask is noise, unless the object is usually not much larger.
_LEAST = 8
#: A part with less than this share of the area of the largest one is a crumb. A leak begins as one
#: and spreads from there over the neighbour that looks alike.
_CRUMB = 0.2
#: Probability that must be left for anything else, or what is taken from an object is background.
LEAST_REST = 0.05
#: An object moves farther than this share of its reach in a frame only seldom, and seldom farther
#: than so many times as far as it went lately, by the prediction that it goes on as before.
_NEAR = 1 / 3
_FARTHER = 2.0
#: Cells that it may move in any case; less is noise of its outline.
_LEAST_NEAR = 4.0
#: How far it went lately is forgotten at this rate a frame.
_CALMS = 0.93
#: With this share of its usual area an object is seen as a whole.
_WHOLE = 0.7
#: Cells that a crumb may spread in a frame at least.
_LEAST_SPREAD = 1.5


@dataclass(frozen=True, eq=False)
class Reach:
    """
    Where an object can be on a frame, and when it is believed to be elsewhere all the same.

    :param cells: (h, w), the cells within reach.
    :param hidden_below: with fewer cells of its mask within reach it is hidden or gone from there,
    :param moved_from: and with so many outside, or more, it has moved.
    :param near: (h, w), where it is as good as always; None = it was not seen as large as usual on
        the last frame, so that parts of it may come into view anywhere within reach.
    :param is_hidden: it was not seen at all there.
    """

    cells: npt.NDArray[np.bool_]
    hidden_below: float
    moved_from: float
    near: npt.NDArray[np.bool_] | None = None
    is_hidden: bool = False

    def is_left_by(self, mask: npt.NDArray[np.bool_]) -> bool:
        """Return whether next to nothing of a mask (h, w) is within reach."""
        return int(np.count_nonzero(mask & self.cells)) < self.hidden_below


@dataclass
class _Track:
    distance: npt.NDArray[np.float32]  # (h, w) cells, from where the object was or was heading
    area: float  # cells that it usually covers
    centre: tuple[float, float] | None  # of the newest mask, row and column
    crumbs: npt.NDArray[np.float32] | None = None  # (h, w) cells, distance from them; None = none
    crumb: float = 0.0  # cells that the largest one covers
    seen: float = 0.0  # cells of the newest mask
    pace: float = math.inf  # cells a second that it went beyond what was predicted, lately


class MotionGate:
    """
    Removes what is out of reach from the probabilities, before it enters labels and memory.

    The network compares appearance over the whole frame, so it leaks onto things that look like
    the object, and once such a leak is memorised it grows. Spatial gating (after TrickVOS, Goyal
    et al. 2023) stops that for the cost of a distance transform. Reach is the last mask, the same
    mask moved on as it moved last, and what lies so near to both that the object can be there by
    now; it grows with every frame on which the object is hidden. A small part by itself reaches
    no further than its own size allows, unless it was prompted. An object that is gone from its
    reach and found elsewhere at half its usual size is believed to have moved: fast motion and
    dropped frames must not lose it.

    :param speed: cells of the mask's grid that an object may move in a second, beyond going on as
        before; a large one may move faster (`_OWN_SIZES_PER_S`). 0 = off.
    """

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._tracks: dict[int, _Track] = {}

    def apply(
        self,
        prob: Float,
        object_ids: Sequence[int],
        seconds: float = LEAST_S,
        reaches: Mapping[int, Reach] | None = None,
    ) -> tuple[int, ...]:
        """
        Give what is out of an object's reach to whatever else it may be, in place.

        Nothing is stored. Background and the other objects share it in proportion; where they had
        next to nothing, it is background.

        :param prob: (K + 1, h, w), row 0 = background; still sums to 1 afterwards.
        :param object_ids: K ids, in the order of the rows; unknown ones are left alone.
        :param seconds: since the frame of the last `update`.
        :param reaches: those of `reaches` at that time, where they are known already.
        :return: objects that are gone from their reach and were found elsewhere.
        """
        reaches = self.reaches(object_ids, seconds) if reaches is None else reaches
        if not reaches:
            return ()
        moved = []
        best = prob.max(axis=0)
        taken = np.zeros_like(best)
        for object_id, plane in zip(object_ids, prob[1:]):
            reach = reaches.get(object_id)
            if reach is None:
                continue
            mask = plane >= best
            inside = int(np.count_nonzero(mask & reach.cells))
            elsewhere = int(np.count_nonzero(mask)) - inside
            if inside < reach.hidden_below and elsewhere >= reach.moved_from:
                moved.append(object_id)
                continue
            outside = np.where(reach.cells, np.float32(0.0), plane)
            taken += outside
            plane -= outside
        rest = 1 - taken
        is_known = rest > LEAST_REST
        np.divide(1, rest, out=rest, where=is_known)
        rest[~is_known] = 1
        prob *= rest
        taken[is_known] = 0
        prob[0] += taken
        return tuple(moved)

    def reach(self, object_id: int, seconds: float = LEAST_S) -> Reach | None:
        """
        Return where an object can be by now; None = anywhere.

        :param seconds: since the frame of the last `update`.
        """
        track = self._tracks.get(object_id)
        if track is None or self._speed <= 0:
            return None
        radius = self._radius(track.area, seconds)
        cells = track.distance <= radius
        near = None
        if track.seen >= _WHOLE * track.area:
            lately = max(_LEAST_NEAR, _FARTHER * track.pace * max(seconds, LEAST_S))
            near = track.distance <= min(_NEAR * radius, lately)
        if track.crumbs is not None:
            around = track.crumbs <= max(_LEAST_SPREAD, _own_speed(track.crumb, seconds))
            cells |= around
            if near is not None:
                near |= around
        return Reach(
            cells,
            _hidden_below(track.area),
            max(_LEAST, _MOVED * track.area),
            near,
            track.centre is None,
        )

    def reaches(self, object_ids: Iterable[int], seconds: float = LEAST_S) -> dict[int, Reach]:
        """Return where objects can be by now, of those that cannot be anywhere; see `reach`."""
        found = {k: self.reach(k, seconds) for k in object_ids}
        return {k: reach for k, reach in found.items() if reach is not None}

    def update(
        self,
        prob: Float,
        object_ids: Sequence[int],
        prompted: Iterable[int] = (),
        seconds: float = LEAST_S,
    ) -> None:
        """
        Remember where the objects are now.

        :param prob: as `apply` left it.
        :param prompted: ids whose mask is given, so that their past does not count.
        :param seconds: as for `apply`.
        """
        if self._speed <= 0:
            return
        best = prob.max(axis=0)
        masks = [(plane >= best) & (plane > 0) for plane in prob[1:]]
        self.update_masks(masks, object_ids, prompted, seconds)

    def update_masks(
        self,
        masks: Sequence[npt.NDArray[np.bool_]],
        object_ids: Sequence[int],
        prompted: Iterable[int] = (),
        seconds: float = LEAST_S,
    ) -> None:
        """
        Remember where the objects are now, by the cells (h, w) that each of them wins.

        :param masks: in the order of the ids; the rest as for `update`.
        """
        if self._speed <= 0:
            return
        self.remove(prompted)
        for object_id, mask in zip(object_ids, masks):
            area = float(np.count_nonzero(mask))
            track = self._tracks.get(object_id)
            if track is None:
                self._tracks[object_id] = _Track(
                    _distance_to(mask), area, _centre(mask), seen=area
                )
                continue
            track.area, track.seen = max(_DECAY * track.area, area), area
            if not area or area < _hidden_below(track.area):  # it may have begun with nothing
                track.distance = track.distance - np.float32(self._radius(track.area, seconds))
                track.centre = None
                continue
            body, crumbs, track.crumb = _parts(mask)
            went = float(track.distance[body].max()) / max(seconds, LEAST_S)
            track.pace = went if math.isinf(track.pace) else max(_CALMS * track.pace, went)
            track.crumbs = None if track.crumb == 0 else _distance_to(crumbs)
            centre = _centre(body)
            ahead = body if track.centre is None else body | _moved(body, track.centre, centre)
            track.distance, track.centre = _distance_to(ahead), centre

    def remove(self, object_ids: Iterable[int]) -> None:
        """Forget these objects."""
        for object_id in object_ids:
            self._tracks.pop(object_id, None)

    def clear(self) -> None:
        """Forget all objects."""
        self._tracks.clear()

    def _radius(self, area: float, seconds: float) -> float:
        return max(self._speed * max(seconds, LEAST_S), _own_speed(area, seconds))


def _own_speed(area: float, seconds: float) -> float:
    """Return how far something so large (cells) may move in this time, in cells."""
    return _OWN_SIZES_PER_S * math.sqrt(area) * max(seconds, LEAST_S)


def _hidden_below(usual: float) -> float:
    return max(min(_LEAST, 0.5 * usual), _HIDDEN * usual)


def _parts(
    mask: npt.NDArray[np.bool_],
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_], float]:
    """
    Split a mask (h, w) into body and crumbs.

    :return: body (h, w), crumbs (h, w), cells of the largest crumb, 0 = there is none.
    """
    _, parts, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    areas = stats[:, cv2.CC_STAT_AREA]
    areas[0] = 0  # the background
    is_crumb = (areas > 0) & (areas < _CRUMB * areas.max(initial=0))
    if not is_crumb.any():
        return mask, mask, 0.0
    crumbs = is_crumb[parts]
    return mask & ~crumbs, crumbs, float(areas[is_crumb].max())


def _distance_to(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    if not mask.any():
        return np.zeros(mask.shape, np.float32)  # nothing known: anywhere
    distance = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 3)
    return distance.astype(np.float32, copy=False)


def _centre(mask: npt.NDArray[np.bool_]) -> tuple[float, float]:
    rows, columns = np.nonzero(mask)
    return (float(rows.mean()), float(columns.mean())) if len(rows) else (0.0, 0.0)


def _moved(
    mask: npt.NDArray[np.bool_], before: tuple[float, float], now: tuple[float, float]
) -> npt.NDArray[np.bool_]:
    """Return the mask one such step further; what leaves the frame is gone."""
    step = np.array([[1, 0, now[1] - before[1]], [0, 1, now[0] - before[0]]], np.float32)
    size = (mask.shape[1], mask.shape[0])
    return cv2.warpAffine(mask.astype(np.uint8), step, size, flags=cv2.INTER_NEAREST) > 0
