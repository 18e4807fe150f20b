# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
from vos_ros.stream.timeline import Timeline

_S = 1_000_000_000


def _judge(*seconds: float) -> list[str]:
    timeline = Timeline()
    return [timeline.judge(round(value * _S)) for value in seconds]


def test_stamps_go_on() -> None:
    assert _judge(5, 5.03, 5.03, 9, 3600) == ['next'] * 5


def test_frame_that_was_overtaken_does_not_move_the_present() -> None:
    assert _judge(5, 4.95, 4.93, 4.91, 5.01) == ['next', *['overtaken'] * 3, 'next']


def test_bag_loop_and_simulator_reset_are_jumps_and_time_goes_on_after_them() -> None:
    assert _judge(50, 1, 1.03, 60, 59) == ['next', 'jump', 'next', 'next', 'jump']


def test_an_hour_forward_is_a_jump_and_a_pause_is_not() -> None:
    assert _judge(1, 3500, 3500 + 3601) == ['next', 'next', 'jump']


def test_unknown_stamps_say_nothing() -> None:
    assert _judge(0, 7000, 0, 0, 7000.1) == ['next'] * 5
