# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""States with hysteresis, and masks that are not believed; a frame lasts 0.1 s."""

from collections.abc import Iterable

import numpy as np
import pytest

from vos_ros.config import LostConfig
from vos_ros.datatypes import ObjectState
from vos_ros.engine.tracking import advance, begin, Doubt, look, Sight, Track

TRACKED, OCCLUDED, LOST = ObjectState.TRACKED, ObjectState.OCCLUDED, ObjectState.LOST
_AREA = 0.1
_LIMITS = LostConfig(
    occluded_after_frames=3, lost_after_s=0.95, recover_after_frames=2, min_area=0.1
)
_GONE = Sight(0.0, 0.0, at_border=False)


def _sight(area: float = _AREA, score: float = 0.9, *, at_border: bool = False) -> Sight:
    return Sight(score, area, at_border)


def _run(
    sights: Iterable[Sight], limits: LostConfig = _LIMITS, seconds: float = 0.1
) -> tuple[list[ObjectState], list[Doubt | None], Track]:
    track = begin(_sight())
    states, doubts = [], []
    for sight in sights:
        track, doubt = advance(track, sight, seconds, limits, min_score=0.55)
        states.append(track.state)
        doubts.append(doubt)
    return states, doubts, track


def test_look_measures_score_area_and_border() -> None:
    prob = np.zeros((3, 4, 5), np.float32)
    prob[1, 1:3, 1:3] = 0.8  # 4 cells inside
    prob[2, 3, 4] = 0.6  # one in the corner
    prob[0] = 1 - prob[1:].sum(axis=0)
    first, second = look(prob)
    assert (first.area, first.at_border) == (4 / 20, False)
    assert first.score == pytest.approx(0.8)
    assert (second.area, second.at_border) == (1 / 20, True)
    prob[2] = 0
    assert look(prob)[1] == Sight(0.0, 0.0, at_border=False)


def test_score_is_the_mean_over_the_pixels_that_an_object_wins() -> None:
    prob = np.zeros((3, 1, 4), np.float32)
    prob[:, 0, 0] = (0.1, 0.8, 0.1)
    prob[:, 0, 1] = (0.2, 0.6, 0.2)
    prob[:, 0, 2:] = np.array([[0.9, 0.0, 0.1]]).T
    assert [sight.score for sight in look(prob)] == pytest.approx([0.7, 0.0])


def test_object_is_occluded_then_lost_then_tracked_again() -> None:
    states, _, _ = _run([_sight(), *[_GONE] * 12, _sight(), _sight(), _sight()])
    assert states[0] is TRACKED
    assert states[1:3] == [TRACKED] * 2  # a frame or two are nothing
    assert states[3:10] == [OCCLUDED] * 7
    assert states[10:13] == [LOST] * 3  # from the tenth frame without it
    assert states[13:] == [LOST, TRACKED, TRACKED]


def test_a_glimpse_ends_neither_occlusion_nor_the_way_to_lost() -> None:
    states, _, _ = _run([*[_GONE] * 5, _sight(), *[_GONE] * 6])
    assert states[5] is OCCLUDED
    assert states[-1] is LOST


def test_a_single_frame_without_it_changes_nothing() -> None:
    states, _, track = _run([_GONE, _sight()] * 20)
    assert set(states) == {TRACKED}
    assert track.unseen_s == 0.0


def test_states_follow_time_and_not_the_number_of_frames() -> None:
    assert _run([_GONE] * 3, seconds=0.5)[0] == [TRACKED, TRACKED, LOST]


@pytest.mark.parametrize(
    'sight',
    [_sight(score=0.3), _sight(area=0.002)],
    ids=['low score', 'a sliver of its usual area'],
)
def test_uncertain_or_tiny_counts_as_not_seen(sight: Sight) -> None:
    assert _run([sight] * 3)[0][-1] is OCCLUDED


def test_limits_of_zero_and_one_are_off_and_strict() -> None:
    off = LostConfig(min_score=0.0, min_area=0.0, occluded_after_frames=1)
    assert _run([_sight(area=0.0005, score=0.2)] * 5, off)[0] == [TRACKED] * 5
    strict = LostConfig(min_score=1.0, occluded_after_frames=1)
    assert _run([_sight()], strict)[0] == [OCCLUDED]


@pytest.mark.parametrize(
    ('sight', 'doubt'),
    [
        (_GONE, Doubt.EMPTY),
        (_sight(score=0.5), Doubt.LOW_SCORE),
        (_sight(area=_AREA / 6), Doubt.COLLAPSED),
        (_sight(area=_AREA / 6, at_border=True), None),  # it may be leaving the frame
        (_sight(area=_AREA * 5), Doubt.EXPLODED),
        (_sight(area=_AREA * 3), None),
        (_sight(area=_AREA / 4), None),
    ],
)
def test_wrong_masks_are_doubted(sight: Sight, doubt: Doubt | None) -> None:
    assert _run([sight])[1] == [doubt]


def test_doubts_about_size_can_be_switched_off() -> None:
    off = LostConfig(max_shrink=0.0, max_growth=0.0)
    assert _run([_sight(area=_AREA / 50), _sight(area=_AREA * 9)], off)[1] == [None, None]


@pytest.mark.parametrize('factor', [1 / 6, 6.0])
def test_a_change_that_lasts_is_believed(factor: float) -> None:
    _, doubts, _ = _run([_sight(area=_AREA * factor)] * 10)
    assert doubts[0] is not None
    assert doubts[-1] is None


@pytest.mark.parametrize('rate', [0.8, 1.25])
def test_steady_growth_and_shrinking_are_never_doubted(rate: float) -> None:
    """A robot that drives up to an object sees it grow; 25 % per frame of 0.1 s is very fast."""
    assert set(_run([_sight(area=_AREA * rate**n) for n in range(10)])[1]) == {None}


def test_after_a_gap_in_time_nothing_is_sudden() -> None:
    assert _run([_sight(area=_AREA * 9)], seconds=2.0)[1] == [None]


def test_a_few_cells_more_or_less_are_no_explosion() -> None:
    track = begin(_sight(area=1 / 19200))
    assert advance(track, _sight(area=7 / 19200), 0.1, _LIMITS, 0.55)[1] is None


def test_advance_changes_nothing_in_place() -> None:
    track = begin(_sight())
    first = advance(track, _GONE, 0.1, _LIMITS, 0.55)
    assert advance(track, _GONE, 0.1, _LIMITS, 0.55) == first
    assert track == begin(_sight())
