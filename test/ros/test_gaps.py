# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Gaps in what publishers number: of one, of several, of one that starts again."""

import pytest

pytest.importorskip('rclpy', reason='needs rclpy')

from vos_ros.ros.gaps import GapCounter


def _missed(*numbers: object, publishers: int = 1) -> int:
    found: list[int] = []
    counter = GapCounter(found.append, lambda: publishers)
    for number in numbers:
        counter.note({'publication_sequence_number': number})
    return sum(found)


def test_what_lies_between_two_numbers_was_missed() -> None:
    assert _missed(7, 8, 11, 12, 20) == 2 + 7
    assert _missed(1, 5000) == 4998


def test_nothing_before_the_first_message_is_counted() -> None:
    assert _missed(1000) == 0


def test_what_somebody_else_has_taken_was_not_missed() -> None:
    found: list[int] = []
    counter = GapCounter(found.append, lambda: 1)
    counter.note({'publication_sequence_number': 3})
    counter.forget()
    counter.note({'publication_sequence_number': 9})
    assert not found
    counter.note({'publication_sequence_number': 11})
    assert found == [1]


def test_a_publisher_that_starts_again_has_missed_nothing() -> None:
    assert _missed(50, 51, 1, 2, 4, 5) == 1


@pytest.mark.parametrize('far', [10, 1000])
def test_two_publishers_are_told_apart(far: int) -> None:
    numbers = [n for k in range(1, 50) for n in (k, far * 7 + k) if k % 10]
    # Each of them has left out four numbers.
    assert _missed(*numbers, publishers=2) in range(8, 8 + far * 7)
    if far > 100:
        assert _missed(*numbers, publishers=2) == 8


def test_a_middleware_without_numbers_counts_nothing() -> None:
    assert _missed(None, 2**64 - 1, None) == 0
    counter = GapCounter(lambda count: pytest.fail('counted'), lambda: 1)
    counter.note({'source_timestamp': 1})
    counter.note(object())
