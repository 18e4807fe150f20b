# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from vos_ros.datatypes import LabelMap
from vos_ros.evaluation.occlusion import (
    AWAY_FRAMES,
    FAILURE_FRAMES,
    OcclusionFigures,
    OcclusionScorer,
)

_PERIOD_NS = 100_000_000
Places = dict[int, int]  # id -> column of its 10x10 square


def _labels(places: Places) -> LabelMap:
    label_map = np.zeros((20, 60), np.uint8)
    for object_id, column in places.items():
        label_map[5:15, column : column + 10] = object_id
    return label_map


def _score(
    true: Sequence[Places], found: Sequence[Places], *, stamped: bool = True
) -> OcclusionFigures:
    scorer = OcclusionScorer()
    for number, (gt, mask) in enumerate(zip(true, found, strict=True)):
        stamp_ns = (number + 1) * _PERIOD_NS if stamped else 0
        scorer.feed(_labels(mask), _labels(gt), stamp_ns)
    # Asked in between, it must not change what comes after.
    assert scorer.conclude() == scorer.conclude()
    return scorer.conclude()


def _away(before: int = 4, gone: int = 8, after: int = 8) -> list[Places]:
    return [*[{1: 0}] * before, *[{}] * gone, *[{1: 20}] * after]


def test_an_object_that_comes_back_and_is_found_at_once() -> None:
    true = _away()
    figures = _score(true, true)
    assert (figures.returns, figures.recovery_frames, figures.recovery_s) == (1, (0,), (0.0,))
    assert (figures.false_recoveries, figures.false_frames, figures.id_swaps) == (0, 0, 0)
    assert figures.searched_frames == 8 + 3  # away, and until its mask was steady
    assert figures.until_failure == (1.0,)
    assert figures.hota == ((1.0, 1.0, 1.0),)
    assert figures.recovered_share == 1.0


@pytest.mark.parametrize('late', [1, 4])
def test_time_to_recovery_is_counted_from_its_return(late: int) -> None:
    true = _away()
    found = [*true[:12], *[{}] * late, *true[12 + late :]]
    figures = _score(true, found)
    assert figures.recovery_frames == (late,)
    assert figures.recovery_s[0] == pytest.approx(late * 0.1)
    assert _score(true, found, stamped=False).recovery_s == ()


def test_an_object_that_is_never_found_again() -> None:
    true = _away(after=FAILURE_FRAMES + 2)
    figures = _score(true, [*true[:12], *[{}] * (FAILURE_FRAMES + 2)])
    assert (figures.returns, figures.recovery_frames, figures.recovered_share) == (1, (), 0.0)
    assert figures.until_failure[0] == pytest.approx(3 / 15)  # the first frame is given


@pytest.mark.parametrize(('gone', 'returns'), [(AWAY_FRAMES - 1, 0), (AWAY_FRAMES, 1)])
def test_a_moment_out_of_sight_is_no_absence(gone: int, returns: int) -> None:
    true = _away(gone=gone)
    assert _score(true, true).returns == returns


@pytest.mark.parametrize(('after', 'returns'), [(2, 0), (3, 1)])
def test_a_return_too_short_for_a_steady_mask_is_none(after: int, returns: int) -> None:
    true = _away(after=after)
    assert _score(true, true[:12] + [{}] * after).returns == returns


@pytest.mark.parametrize(('frames', 'false'), [(2, 0), (3, 1), (6, 1)])
def test_a_mask_on_something_else_while_it_is_away(frames: int, false: int) -> None:
    true = _away()
    found = [*true[:5], *[{1: 40}] * frames, *true[5 + frames :]]
    figures = _score(true, found)
    assert (figures.false_recoveries, figures.false_frames) == (false, frames)
    assert figures.recovery_frames == (0,)


def test_a_mask_on_something_else_after_its_return_is_false_until_it_is_found() -> None:
    true = _away()
    figures = _score(true, [*true[:12], *[{1: 40}] * 4, *true[16:]])
    assert (figures.false_recoveries, figures.recovery_frames) == (1, (4,))


def test_a_wrong_mask_on_an_object_in_sight_that_was_never_away_is_no_false_recovery() -> None:
    figures = _score([{1: 0}] * 12, [*[{1: 0}] * 4, *[{1: 40}] * 8])
    assert (figures.false_recoveries, figures.searched_frames) == (0, 0)


def test_ids_that_are_exchanged_are_counted_once_for_each_object() -> None:
    true = [{1: 0, 2: 30}] * 10
    figures = _score(true, [*true[:4], *[{1: 30, 2: 0}] * 6])
    assert figures.id_swaps == 2
    ((hota, det_a, ass_a),) = figures.hota
    # Each true id is together with one found id on 3 frames and with the other on 6, of 9.
    assert det_a == 1.0
    assert ass_a == pytest.approx((3 * 3 / 15 + 6 * 6 / 12) / 9)
    assert hota == pytest.approx(ass_a**0.5)


def test_ids_that_the_truth_never_had_are_not_looked_at() -> None:
    true = [{1: 0}] * 6
    assert _score(true, [{1: 0, 7: 30}] * 6).hota == ((1.0, 1.0, 1.0),)


def test_sequences_are_put_together() -> None:
    true = _away()
    one, two = _score(true, true), _score(true, [*true[:12], *[{}] * 8])
    both = OcclusionFigures.of([one, two])
    assert (both.returns, both.recovered_share) == (2, 0.5)
    figures = both.to_dict()
    assert figures['recovered'] == 1
    assert figures['time_to_failure'] == 1.0  # 8 frames are too few to be a failure
    assert figures['hota'] == pytest.approx((one.hota[0][0] + two.hota[0][0]) / 2)


def test_without_truth_nothing_is_said() -> None:
    figures = OcclusionScorer().conclude().to_dict()
    assert figures['recovered_share'] is figures['hota'] is figures['time_to_failure'] is None
