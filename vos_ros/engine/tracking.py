# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Objects over time: tracked, occluded or lost, and whether a mask is to be believed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

import cv2
import numpy as np
import numpy.typing as npt

from vos_ros.config import LostConfig
from vos_ros.datatypes import Float, ObjectState

#: Time in which the usual area goes half of the way (in its logarithm) to a new one: an object
#: that stays small or large for seconds simply is.
_USUAL_HALF_LIFE_S = 2.0
#: The same for the area that is expected on the next frame. Short: a mask that stays large
#: although it was not memorised was found from the prompted frame alone, so it is believed.
_EXPECTED_HALF_LIFE_S = 0.25
#: After a longer gap nothing is sudden.
_SUDDEN_S = 0.5
#: Share of the frame below which an area is a matter of rounding: 8 cells of 120x160.
_LEAST = 8 / (120 * 160)


@dataclass(frozen=True)
class Sight:
    """
    What one frame shows of one object.

    :param score: mean probability over the cells that it wins, 0..1; 0 = wins none.
    :param area: share of the frame that it wins, 0..1; so that it means the same at every size.
    :param at_border: it touches the border of the frame, so that a part may be outside.
    """

    score: float
    area: float
    at_border: bool


class Doubt(str, Enum):
    """Why a mask is not memorised."""

    EMPTY = 'empty'
    LOW_SCORE = 'low_score'
    COLLAPSED = 'collapsed'
    EXPLODED = 'exploded'


@dataclass(frozen=True)
class Track:
    """
    One object so far.

    :param state: with hysteresis.
    :param usual: area of the last seconds, share of the frame.
    :param expected: area of the last frames, share of the frame.
    :param seen_frames: in a row.
    :param unseen_frames: in a row.
    :param unseen_s: since it was last tracked and seen.
    """

    state: ObjectState
    usual: float
    expected: float
    seen_frames: int = 0
    unseen_frames: int = 0
    unseen_s: float = 0.0


def look(prob: Float) -> list[Sight]:
    """
    Return what a frame shows of each object.

    :param prob: (K + 1, h, w), row 0 = background.
    """
    best = prob.max(axis=0)
    found = []
    for plane in prob[1:]:
        wins = (plane >= best).view(np.uint8)
        count = cv2.countNonZero(wins)
        score = cv2.mean(plane, wins)[0] if count else 0.0  # type: ignore[index]
        found.append(sight_of(wins, score))
    return found


def sight_of(wins: npt.NDArray[np.uint8], score: float) -> Sight:
    """
    Return what a frame shows of an object by the cells that it wins.

    :param wins: (h, w), 1 where it does.
    :param score: mean probability there; 0 = nowhere.
    """
    edges = (wins[0], wins[-1], wins[:, 0], wins[:, -1])
    at_border = any(bool(edge.any()) for edge in edges)
    return Sight(score, cv2.countNonZero(wins) / wins.size, at_border)


def begin(sight: Sight) -> Track:
    """Return the track of an object that was just prompted."""
    area = max(sight.area, _LEAST)
    return Track(ObjectState.TRACKED, area, area)


def advance(
    track: Track, sight: Sight, seconds: float, lost: LostConfig, min_score: float
) -> tuple[Track, Doubt | None]:
    """
    Take one more frame into account; nothing is changed in place.

    :param seconds: since the frame before.
    :param lost: the limits.
    :param min_score: below it a mask is not memorised.
    :return: the track with this frame in it; why the mask is not to be memorised, None = it is.
    """
    doubt = _doubt(track, sight, seconds, lost, min_score)
    is_seen = (
        sight.area > 0
        and sight.score >= lost.min_score
        and sight.area >= lost.min_area * track.usual
    )
    return _with_state(_with_area(track, sight, seconds), is_seen, seconds, lost), doubt


def _doubt(
    track: Track, sight: Sight, seconds: float, lost: LostConfig, min_score: float
) -> Doubt | None:
    if sight.area == 0:
        return Doubt.EMPTY
    if sight.score < max(min_score, 1e-6):
        return Doubt.LOW_SCORE
    if track.unseen_s + seconds > _SUDDEN_S:
        return None
    area, expected = max(sight.area, _LEAST), max(track.expected, _LEAST)
    if lost.max_growth and area > lost.max_growth * expected:
        return Doubt.EXPLODED
    if lost.max_shrink and not sight.at_border and lost.max_shrink * area < expected:
        return Doubt.COLLAPSED
    return None


def _with_area(track: Track, sight: Sight, seconds: float) -> Track:
    if sight.area == 0:
        return track
    return replace(
        track,
        usual=_towards(track.usual, sight.area, seconds / _USUAL_HALF_LIFE_S),
        expected=_towards(track.expected, sight.area, seconds / _EXPECTED_HALF_LIFE_S),
    )


def _towards(before: float, now: float, half_lives: float) -> float:
    """Return the geometric mean, `now` weighing more the longer the time."""
    weight = 1.0 - 0.5**half_lives
    mean: float = max(before, _LEAST) ** (1.0 - weight) * max(now, _LEAST) ** weight
    return mean


def _with_state(track: Track, is_seen: bool, seconds: float, lost: LostConfig) -> Track:
    if is_seen:
        seen = track.seen_frames + 1
        is_back = track.state is ObjectState.TRACKED or seen >= lost.recover_after_frames
        return replace(
            track,
            state=ObjectState.TRACKED if is_back else track.state,
            seen_frames=seen,
            unseen_frames=0,
            unseen_s=0.0 if is_back else track.unseen_s,
        )
    unseen, unseen_s = track.unseen_frames + 1, track.unseen_s + seconds
    state = track.state
    if state is ObjectState.TRACKED and unseen >= lost.occluded_after_frames:
        state = ObjectState.OCCLUDED
    if state is ObjectState.OCCLUDED and unseen_s >= lost.lost_after_s:
        state = ObjectState.LOST
    return replace(track, state=state, seen_frames=0, unseen_frames=unseen, unseen_s=unseen_s)
