# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which prompts are new, and which have come through the other subscription already."""

import pytest

pytest.importorskip('rclpy', reason='needs rclpy')

from vos_ros.ros.prompts import Deliveries

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
