# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
from vos_ros.stream.timeline import Timeline

_S = 1_000_000_000


def _judge(*seconds: float) -> list[str]:
    """Return what becomes of images that can all be used."""
    timeline = Timeline()
    found = []
    for value in seconds:
        stamp_ns = round(value * _S)
        step: str = timeline.judge(stamp_ns)
        found.append(step if step == 'overtaken' else timeline.use(stamp_ns))
    return found


def test_stamps_go_on() -> None:
    assert _judge(5, 5.03, 5.03, 9, 60) == ['next'] * 5


def test_frame_that_was_overtaken_does_not_move_the_present() -> None:
    assert _judge(5, 4.95, 4.93, 4.91, 5.01) == ['next', *['overtaken'] * 3, 'next']


def test_bag_loop_and_simulator_reset_are_jumps_and_time_goes_on_after_them() -> None:
    assert _judge(50, 1, 1.03, 60, 2, 2.1) == ['next', 'odd', 'jump', 'next', 'odd', 'jump']


def test_an_hour_forward_is_a_jump_and_a_pause_is_not() -> None:
    assert _judge(1, 3500, 3501) == ['next', 'odd', 'pause']
    assert _judge(1, 3602, 3603) == ['next', 'odd', 'jump']


def test_one_odd_stamp_is_nothing_whatever_it_is() -> None:
    for odd in (-5, 1, 90, 3100, 10**9):
        assert _judge(100, odd, 100.03, odd, 100.07) == ['next', 'odd'] * 2 + ['next']


def test_odd_stamps_that_do_not_agree_are_no_jump() -> None:
    assert _judge(100, 1, 5000, 20, 7000) == ['next', *['odd'] * 4]
    assert _judge(100, 1, 1) == ['next', 'odd', 'odd']  # the same image twice


def test_a_slow_camera_is_no_series_of_pauses() -> None:
    assert _judge(0.1, 300, 600, 900, 1200, 1500) == ['next', 'odd', 'pause', *['next'] * 3]


def test_unknown_stamps_say_nothing() -> None:
    assert _judge(0, 7000, 0, 0, 7000.1) == ['next'] * 5


def test_stamps_of_images_that_cannot_be_used_do_not_move_the_present() -> None:
    timeline = Timeline()
    timeline.use(5 * _S)
    for stamp_ns in (5 * _S + 50_000_000, 30 * _S):
        assert timeline.judge(stamp_ns) == 'next'
        timeline.fail(stamp_ns)
        assert timeline.judge(5 * _S + 33_000_000) == 'next'


def test_a_mask_of_the_same_stamp_confirms_the_first_image_after_a_pause() -> None:
    timeline = Timeline()
    timeline.use(5 * _S)
    assert timeline.use(500 * _S, is_prompted=True) == 'pause'
    assert timeline.use(501 * _S) == 'next'
    assert timeline.use(2 * _S, is_prompted=True) == 'odd'  # back in time takes two images
