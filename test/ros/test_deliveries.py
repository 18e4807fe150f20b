# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which prompts are new, which came before already, and which are for what follows a jump."""

import time

import pytest

pytest.importorskip('rclpy', reason='needs rclpy')

from vos_ros.ros.deliveries import AroundJumps, Deliveries
from vos_ros.stream.timeline import TimeJump

LATCHED, VOLATILE = True, False


@pytest.mark.parametrize('first', [LATCHED, VOLATILE])
def test_what_comes_through_both_subscriptions_is_new_once_however_often_it_is_sent(
    first: bool,
) -> None:
    seen = Deliveries()
    for _ in range(3):
        assert seen.is_new(0, b'mask', first)
        assert not seen.is_new(0, b'mask', not first)


def test_what_is_sent_twice_before_anybody_listens_a_second_way_is_new_twice() -> None:
    seen = Deliveries()
    assert [seen.is_new(0, b'mask', VOLATILE) for _ in range(2)] == [True, True]
    # The newest of the two, latched.
    assert not seen.is_new(0, b'mask', LATCHED)
    assert seen.is_new(0, b'mask', VOLATILE)
    assert not seen.is_new(0, b'mask', LATCHED)


def test_what_has_the_stamp_of_an_image_is_new_once() -> None:
    seen = Deliveries()
    assert seen.is_new(7, b'mask', VOLATILE)
    assert not seen.is_new(7, b'mask', VOLATILE)
    assert not seen.is_new(7, b'mask', LATCHED)
    assert seen.is_new(8, b'mask', VOLATILE)
    assert seen.is_new(7, b'another', VOLATILE)


def test_only_the_newest_are_remembered_and_clear_forgets_all() -> None:
    seen = Deliveries()
    assert all(seen.is_new(stamp, b'mask', VOLATILE) for stamp in range(1, 34))
    assert seen.is_new(1, b'mask', VOLATILE)
    assert not seen.is_new(33, b'mask', VOLATILE)
    seen.clear()
    assert seen.is_new(33, b'mask', VOLATILE)


def test_what_was_refused_is_new_when_it_is_sent_again_but_not_when_it_comes_a_second_way() -> (
    None
):
    seen = Deliveries()
    assert seen.is_new(7, b'mask', VOLATILE)
    seen.may_come_again()
    assert not seen.is_new(7, b'mask', LATCHED)  # on its way all the time
    seen.may_come_again()
    assert seen.is_new(7, b'mask', VOLATILE)
    assert not seen.is_new(7, b'mask', LATCHED)
    assert not seen.is_new(7, b'mask', VOLATILE)


_S = 10**9


def _jump(to_s: float, later_s: float = 0.0) -> TimeJump:
    """Make a jump from 100 s; its first image comes so much later, the second after 0.1 s."""
    to_ns = int(to_s * _S)
    stamps = (to_ns, to_ns + _S // 10)
    return TimeJump(100 * _S, to_ns, 'reset', time.monotonic() + later_s, stamps)


@pytest.mark.parametrize(
    ('stamp_s', 'later_s', 'is_second', 'is_meant'),
    [
        (5.0, 0.0, True, True),
        (5.5, 0.0, True, True),  # whose image was lost, or is still to come
        (7.0, 0.0, True, False),
        (5.0, 3.0, True, False),  # long before
        (5.0, 0.0, False, True),
        (5.1, 0.0, False, True),
        # A clock that was set back: it was for an image before, and none after has its stamp.
        (5.5, 0.0, False, False),
        (5.05, 0.0, False, False),
        (5.5, -1.0, False, True),  # it came after the first image
        (0.0, 0.0, True, False),
    ],
)
def test_what_came_around_a_jump_is_taken_where_it_is_for_the_new_time(
    stamp_s: float, later_s: float, *, is_second: bool, is_meant: bool
) -> None:
    kept, taken = AroundJumps(1.0, 100), []
    kept.note(int(stamp_s * _S), lambda: taken.append(stamp_s), 1, is_second=is_second)
    for take in kept.take_meant(_jump(5.0, later_s)):
        take()
    assert bool(taken) is is_meant
    assert kept.take_meant(_jump(5.0, later_s)) == []


def test_what_is_kept_for_a_jump_is_bounded_and_taken_in_its_order() -> None:
    kept, taken = AroundJumps(1.0, 100), []
    for number in range(6):
        kept.note(5 * _S, lambda number=number: taken.append(number), 30, is_second=True)
    for take in kept.take_meant(_jump(5.0)):
        take()
    assert taken == [3, 4, 5]
    for _ in range(100):
        kept.note(5 * _S, lambda: None, 0, is_second=False)
    assert len(kept.take_meant(_jump(5.0))) == 32
    kept.note(5 * _S, lambda: None, 1000, is_second=True)  # too large to be kept
    kept.note(5 * _S, lambda: None, 1, is_second=True)
    assert len(kept.take_meant(_jump(5.0))) == 1
    kept.note(5 * _S, lambda: None, 1, is_second=True)
    kept.clear()
    assert kept.take_meant(_jump(5.0)) == []
