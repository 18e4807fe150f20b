# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which depth image labels get: by stamp, whichever comes first, in bounded memory."""

import pytest

from vos_ros.config import SyncConfig
from vos_ros.space.matching import Matcher

MS = 1_000_000
PERIOD = 33 * MS
START = 1_700_000_000 * 1000 * MS


def matcher(**config: float) -> Matcher:
    return Matcher(SyncConfig(**config))


def feed(made: Matcher, frames: range, offset_ms: float = 0.0, nbytes: int = 1000) -> None:
    for n in frames:
        made.add_depth(START + n * PERIOD + round(offset_ms * MS), f'depth {n}', nbytes)


def ask(made: Matcher, n: int, now_s: float = 0.0) -> list[tuple[str, str | None]]:
    made.add_labels(START + n * PERIOD, f'labels {n}', 100, now_s)
    return [(m.labels, m.depth) for m in made.ready(now_s)]


@pytest.mark.parametrize('offset_ms', [0.0, 8.0, -8.0, 16.0])
def test_labels_that_come_later_find_the_depth_of_their_image(offset_ms: float) -> None:
    made = matcher()
    feed(made, range(10), offset_ms)
    for n in (3, 4, 7):
        assert ask(made, n) == [(f'labels {n}', f'depth {n}')]
    assert (made.matched, made.depth_missing) == (3, 0)


@pytest.mark.parametrize('offset_ms', [0.0, 8.0])
def test_labels_wait_for_a_depth_image_that_comes_after_them(offset_ms: float) -> None:
    made = matcher()
    feed(made, range(5), offset_ms)
    assert ask(made, 5) == []
    assert made.is_waiting
    feed(made, range(5, 6), offset_ms)
    assert [m.depth for m in made.ready(0.01)] == ['depth 5']
    assert not made.is_waiting


def test_labels_without_a_depth_image_wait_no_longer_than_they_may() -> None:
    made = matcher(wait_ms=100)
    feed(made, range(3))
    assert ask(made, 5, now_s=1.0) == []
    assert made.ready(1.09) == []
    assert [m.depth for m in made.ready(1.11)] == [None]
    assert made.depth_missing == 1


def test_a_depth_image_that_was_lost_is_missing_at_once_when_the_next_is_there() -> None:
    made = matcher()
    feed(made, range(3))
    feed(made, range(4, 6))
    assert ask(made, 3) == [('labels 3', None)]
    assert ask(made, 4) == [('labels 4', 'depth 4')]


def test_the_offset_is_told_with_its_sign() -> None:
    made = matcher()
    feed(made, range(5), 8.0)
    made.add_labels(START + 2 * PERIOD, 'labels', 100, 0.0)
    assert made.ready(0.0)[0].offset_ms == pytest.approx(8.0)


def test_tolerance_is_half_a_period_of_the_faster_stream_or_what_was_given() -> None:
    made = matcher()
    assert made.learned_ms is None
    feed(made, range(6))
    assert made.tolerance_ms == pytest.approx(16.5)
    for n in range(0, 30, 3):  # labels of every third image
        made.add_labels(START + n * PERIOD, n, 1, 0.0)
    assert made.tolerance_ms == pytest.approx(16.5)
    made.config = SyncConfig(tolerance_ms=5)
    assert made.tolerance_ms == 5
    slow = matcher()
    slow.add_depth(0, 'a', 1)
    slow.add_depth(500 * MS, 'b', 1)
    assert slow.tolerance_ms == 50


def test_with_a_wide_tolerance_the_nearest_is_still_taken() -> None:
    made = matcher(tolerance_ms=100)
    feed(made, range(5), 20.0)  # of labels n: 20 ms after, the one before 13 ms before
    assert ask(made, 2) == [('labels 2', 'depth 1')]
    assert ask(made, 6) == []  # nearer ones may come, although one is near enough
    feed(made, range(5, 7), 20.0)
    assert [m.depth for m in made.ready(0.01)] == ['depth 5']


def test_waiting_depth_is_bounded_in_bytes_and_the_newest_stays() -> None:
    made = matcher(buffer_mib=1)
    for n in range(100):
        feed(made, range(n, n + 1), nbytes=300_000)
        assert made.nbytes <= 2**20
    assert made.depth_dropped == 97
    assert ask(made, 99) == [('labels 99', 'depth 99')]
    feed(made, range(100, 101), nbytes=2**24)
    assert ask(made, 100) == [('labels 100', 'depth 100')]


def test_waiting_labels_are_bounded_too() -> None:
    made = matcher(wait_ms=10000)
    gone = []
    for n in range(50):
        gone += made.add_labels(START + n * PERIOD, n, 100, 0.0)
    assert [match.labels for match in gone] == list(range(34))
    assert made.depth_missing == 34
    heavy = matcher(buffer_mib=1, wait_ms=10000)
    for n in range(5):
        heavy.add_labels(START + n * PERIOD, n, 600_000, 0.0)
        assert heavy.nbytes <= 2**20


def test_a_bag_that_begins_again_is_matched_again() -> None:
    made = matcher()
    feed(made, range(200, 210))
    assert ask(made, 205) == [('labels 205', 'depth 205')]
    feed(made, range(3))
    assert made.jumps == 1
    assert ask(made, 1) == [('labels 1', 'depth 1')]


def test_one_stamp_of_the_far_future_spoils_nothing() -> None:
    made = matcher()
    feed(made, range(3))
    made.add_depth(START + 3600 * 1000 * MS, 'nonsense', 1000)
    feed(made, range(3, 6))
    assert ask(made, 4) == [('labels 4', 'depth 4')]
    assert ask(made, 6) == []
    feed(made, range(6, 7))
    assert [m.depth for m in made.ready(0.01)] == ['depth 6']
