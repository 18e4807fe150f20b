# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace

import pytest

from vos_ros.config import NodeConfig, OverloadConfig
from vos_ros.stream.overload import OverloadController, OverloadLimits

_LADDER = (480, 384, 320, 256)


def _controller(
    policy: str, deadline_ms: float = 50.0, max_age_ms: float = 0.0
) -> OverloadController:
    return OverloadController(OverloadLimits(deadline_ms, max_age_ms, policy), _LADDER)


def _feed(controller: OverloadController, cost_ms: float, frames: int) -> list[int]:
    levels = []
    for _ in range(frames):
        controller.note(cost_ms, 0.0, 0.0)
        levels.append(controller.level)
    return levels


def test_limits_come_from_the_node_s_settings() -> None:
    config = NodeConfig(deadline_ms=40.0, max_age_ms=90.0, overload=OverloadConfig('shrink'))
    assert OverloadLimits.of(config) == OverloadLimits(40.0, 90.0, 'shrink')


@pytest.mark.parametrize('policy', ['skip', 'shrink', 'error'])
def test_without_limits_nothing_happens(policy: str) -> None:
    controller = _controller(policy, deadline_ms=0.0)
    assert set(_feed(controller, 10_000.0, 500)) == {0}
    assert not controller.is_too_old(1e9)
    assert not controller.is_paced_out()


@pytest.mark.parametrize('policy', ['skip', 'shrink', 'error'])
def test_single_slow_frames_are_no_overload(policy: str) -> None:
    controller = _controller(policy)
    for _ in range(50):
        assert set(_feed(controller, 60.0, 7)) == {0}
        assert set(_feed(controller, 40.0, 1)) == {0}


def test_a_deadline_is_missed_beyond_it_and_never_where_there_is_none() -> None:
    assert [OverloadLimits(50.0).is_missed(cost) for cost in (49.0, 50.0, 51.0)] == [0, 0, 1]
    assert not OverloadLimits().is_missed(1e9)


@pytest.mark.parametrize(('policy', 'deepest'), [('skip', 3), ('shrink', 3), ('error', 1)])
def test_level_rises_step_by_step_to_its_end(policy: str, deepest: int) -> None:
    levels = _feed(_controller(policy), 100.0, 100)
    assert levels[:7] == [0] * 7
    assert levels[7] == 1
    assert sorted(set(levels)) == list(range(deepest + 1))
    assert levels == sorted(levels)


def test_level_falls_only_when_the_larger_size_would_fit() -> None:
    controller = _controller('shrink')
    _feed(controller, 60.0, 8)
    assert controller.shrink_level == 1
    # 35 ms at 384 are 55 ms at 480: no room, however long it goes on.
    assert set(_feed(controller, 35.0, 1000)) == {1}
    # 25 ms at 384 are 39 ms at 480, below 0.8 of the deadline.
    levels = _feed(controller, 25.0, 60)
    assert levels[:59] == [1] * 59
    assert levels[59] == 0


def _frames_until_calm(controller: OverloadController) -> int:
    frames = 0
    while controller.level:
        controller.note(10.0, 0.0, 0.0)
        frames += 1
    return frames


def test_level_swings_more_and_more_slowly() -> None:
    """A load that comes back as soon as there is room must not make the size flap."""
    controller = _controller('shrink')
    waits = []
    for _ in range(8):
        _feed(controller, 60.0, 8)
        assert controller.level == 1
        waits.append(_frames_until_calm(controller))
    assert waits == [60, 120, 240, 480, 960, 960, 960, 960]
    _feed(controller, 10.0, 2000)  # long calm is forgiving
    _feed(controller, 60.0, 8)
    assert _feed(controller, 10.0, 60)[-1] == 0


def test_skipping_ends_within_two_seconds_of_a_camera() -> None:
    """Taking one more frame costs nothing that had to be paid back, so it is tried soon."""
    controller = _controller('skip')
    _feed(controller, 60.0, 24)
    assert controller.level == 3
    frames = 0  # that came, skipped ones included
    while controller.level:
        frames += 1
        if not controller.is_paced_out():
            controller.note(20.0, 0.0, 0.0)
    assert frames <= 2 * 30


@pytest.mark.parametrize('policy', ['skip', 'shrink', 'error'])
def test_taking_the_limits_away_ends_the_overload_at_once(policy: str) -> None:
    controller = _controller(policy)
    _feed(controller, 60.0, 24)
    controller.set_limits(OverloadLimits(0.0, 0.0, policy))
    assert (controller.level, controller.shrink_level) == (0, 0)
    assert not controller.is_paced_out()


def test_frames_too_old_are_left_out() -> None:
    controller = _controller('skip', max_age_ms=100.0)
    ages = (50.0, 150.0, 101.0, 100.0)
    assert [controller.is_too_old(age) for age in ages] == [False, True, True, False]


def test_frames_that_all_come_too_late_are_processed_and_that_is_said() -> None:
    controller = _controller('skip', max_age_ms=100.0)
    left_out = [controller.is_too_old(500.0) for _ in range(40)]
    assert left_out == [True] * 10 + [False] * 30
    assert controller.status.is_late_at_arrival
    # Their age is no reason to do less.
    for _ in range(40):
        controller.note(10.0, 500.0, 510.0)
    assert controller.status.level == 0
    # One frame in time, and the rule holds again.
    assert [controller.is_too_old(age) for age in (20.0, 500.0)] == [False, True]
    assert replace(controller.status, is_late_at_arrival=False) == controller.status


def test_results_that_become_too_old_in_work_are_misses_of_the_level() -> None:
    controller = _controller('shrink', deadline_ms=0.0, max_age_ms=100.0)
    for _ in range(8):
        controller.note(90.0, 40.0, 130.0)
    assert controller.level == 1


def test_pacing_takes_every_next_frame_but_one() -> None:
    controller = _controller('skip')
    assert not any(controller.is_paced_out() for _ in range(9))
    _feed(controller, 60.0, 8)
    assert [controller.is_paced_out() for _ in range(6)] == [True, False] * 3
    _feed(controller, 60.0, 8)
    assert [controller.is_paced_out() for _ in range(6)].count(False) == 2


@pytest.mark.parametrize('policy', ['shrink', 'error'])
def test_other_policies_do_not_pace(policy: str) -> None:
    controller = _controller(policy)
    _feed(controller, 60.0, 100)
    assert not any(controller.is_paced_out() for _ in range(9))


def test_policy_error_changes_nothing() -> None:
    controller = _controller('error', max_age_ms=100.0)
    _feed(controller, 60.0, 100)
    assert (controller.level, controller.shrink_level) == (1, 0)
    assert not controller.is_too_old(1e6)


def test_other_limits_act_at_once_and_another_policy_begins_anew() -> None:
    controller = _controller('shrink')
    _feed(controller, 60.0, 8)
    controller.set_limits(OverloadLimits(200.0, 0.0, 'shrink'))
    assert controller.level == 1
    controller.set_limits(OverloadLimits(200.0, 0.0, 'skip'))
    assert (controller.level, controller.shrink_level) == (0, 0)


def test_step_that_failed_is_not_tried_again() -> None:
    controller = _controller('shrink')
    _feed(controller, 60.0, 16)
    assert controller.level == 2
    controller.stay_at(1)
    assert set(_feed(controller, 60.0, 100)) == {1}
    assert controller.status.max_level == 1
    assert _feed(controller, 5.0, 60)[-1] == 0
