# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

from davis_factory import label_map
import numpy as np
import numpy.typing as npt
import pytest

from vos_ros.errors import VosError
from vos_ros.evaluation.metrics import (
    contour_accuracy,
    mask_to_boundary,
    region_similarity,
    SequenceScorer,
    Statistics,
    summarize,
    tolerance_px,
)

Bool = npt.NDArray[np.bool_]
EMPTY = np.zeros((100, 100), bool)


def box(top: int, left: int, height: int, width: int) -> Bool:
    mask = EMPTY.copy()
    mask[top : top + height, left : left + width] = True
    return mask


def reference_f(pred: Bool, gt: Bool) -> float:
    """Compute F from its definition, pixel by pixel."""

    def contour(mask: Bool) -> list[tuple[int, int]]:
        rows, cols = mask.shape
        found = []
        for y in range(rows):
            for x in range(cols):
                near = [(y, x + 1), (y + 1, x), (y + 1, x + 1)]
                inside = [mask[p] for p in near if p[0] < rows and p[1] < cols]
                if any(v != mask[y, x] for v in inside):
                    found.append((y, x))
        return found

    def share(some: list[tuple[int, int]], others: list[tuple[int, int]]) -> float:
        radius = math.ceil(0.008 * math.hypot(*pred.shape))
        return sum(any(math.dist(p, q) <= radius for q in others) for p in some) / len(some)

    a, b = contour(pred), contour(gt)
    precision, recall = share(a, b), share(b, a)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


@pytest.mark.parametrize('shift', [0, 3, 10, 20])
def test_j_of_a_shifted_square_is_known(shift: int) -> None:
    expected = (20 - shift) / (20 + shift)
    assert region_similarity(box(10, 10, 20, 20), box(10, 10 + shift, 20, 20)) == expected


@pytest.mark.parametrize(
    ('pred', 'gt', 'j', 'f'),
    [
        pytest.param(EMPTY, EMPTY, 1.0, 1.0, id='both empty'),
        pytest.param(EMPTY, box(10, 10, 5, 5), 0.0, 0.0, id='prediction empty'),
        pytest.param(box(10, 10, 5, 5), EMPTY, 0.0, 0.0, id='truth empty'),
        pytest.param(~EMPTY, ~EMPTY, 1.0, 1.0, id='both full, so without contour'),
        pytest.param(box(10, 10, 5, 5), box(60, 60, 5, 5), 0.0, 0.0, id='apart: P + R = 0'),
    ],
)
def test_empty_cases(pred: Bool, gt: Bool, j: float, f: float) -> None:
    assert region_similarity(pred, gt) == j
    assert contour_accuracy(pred, gt) == f


def test_contour_is_where_right_lower_or_diagonal_neighbour_differs() -> None:
    mask = np.zeros((5, 5), bool)
    mask[2, 2] = True
    assert np.argwhere(mask_to_boundary(mask)).tolist() == [[1, 1], [1, 2], [2, 1], [2, 2]]


def test_contour_at_the_last_row_and_column_looks_only_along_them() -> None:
    mask = np.zeros((4, 4), bool)
    mask[3, 2] = mask[0, 3] = True
    found = np.argwhere(mask_to_boundary(mask)).tolist()
    assert found == [[0, 2], [0, 3], [2, 1], [2, 2], [3, 1], [3, 2]]


def test_tolerance_is_8_px_at_480p() -> None:
    assert tolerance_px((480, 854)) == 8
    assert tolerance_px((100, 100)) == 2
    assert tolerance_px((100, 100), 5) == 5


@pytest.mark.parametrize(
    ('shift', 'f'), [(0, 1.0), (2, 1.0), (3, 0.0)], ids=['same', 'within 2 px', 'beyond 2 px']
)
def test_f_of_two_half_planes_is_all_or_nothing(shift: int, f: float) -> None:
    assert contour_accuracy(box(0, 0, 100, 50 + shift), box(0, 0, 100, 50)) == f


def test_f_weighs_precision_and_recall() -> None:
    stripe, half = box(0, 50, 100, 20), box(0, 50, 100, 50)
    # One of the stripe's two edges lies on the only edge of the half plane: P = 1/2, R = 1.
    assert contour_accuracy(stripe, half) == pytest.approx(2 / 3)
    assert contour_accuracy(half, stripe) == pytest.approx(2 / 3)


def test_tolerance_is_a_disk_and_not_a_square() -> None:
    corner, moved = np.zeros((2, 100, 100), bool)
    corner[50, 50] = moved[52, 52] = True
    # The four contour pixels of one are 0, 1 or 2 diagonal steps from those of the other.
    assert contour_accuracy(moved, corner) == pytest.approx(reference_f(moved, corner))
    assert contour_accuracy(moved, corner) < 1


@pytest.mark.parametrize('seed', range(6))
def test_f_agrees_with_its_definition_on_random_blobs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    noise = rng.random((2, 24, 33))
    smooth = np.sum([np.roll(noise, (i, j), (1, 2)) for i in range(4) for j in range(4)], axis=0)
    pred, gt = (blob > np.quantile(blob, 0.6) for blob in smooth)
    assert 0 < contour_accuracy(pred, gt) < 1
    assert contour_accuracy(pred, gt) == pytest.approx(reference_f(pred, gt))


def test_different_sizes_are_refused() -> None:
    with pytest.raises(VosError, match='size of the image'):
        region_similarity(EMPTY, EMPTY[:50])
    with pytest.raises(VosError, match='size of the image'):
        contour_accuracy(EMPTY, EMPTY[:50])


def test_recall_counts_frames_above_one_half() -> None:
    assert Statistics.of([0.5, 0.51, 0.0, 1.0]).recall == 0.5


def test_decay_of_a_short_sequence_by_hand() -> None:
    # Bin edges round(linspace(1, 8, 5)) - 1 = 0, 2, 4, 5, 7; both ends belong to a bin.
    values = [1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3]
    assert Statistics.of(values).decay == pytest.approx(0.9 - 0.4)


def test_decay_of_300_frames_is_not_cut_at_255() -> None:
    values = [1 - i / 299 for i in range(300)]
    # Bins 0..75 and 224..299: their centres are 224 frames apart.
    assert Statistics.of(values).decay == pytest.approx(224 / 299)


def test_one_frame_has_no_decay() -> None:
    assert Statistics.of([0.25]) == Statistics(mean=0.25, recall=0.0, decay=0.0)


def test_first_and_last_frame_do_not_count() -> None:
    right, wrong = label_map((1, 10, 10, 20, 20)), label_map()
    scorer = SequenceScorer()
    for pred in (wrong, right, right, wrong):
        scorer.feed(pred, right)
    score = scorer.conclude()[1]
    assert (score.j.mean, score.f.mean, score.frames) == (1.0, 1.0, 2)


def test_each_object_counts_by_itself_and_a_missing_one_as_empty() -> None:
    gt = label_map((1, 10, 10, 20, 20), (2, 40, 50, 10, 30))
    pred = label_map((1, 10, 10, 20, 20), (7, 0, 60, 5, 5))
    scorer = SequenceScorer()
    for _ in range(3):
        scorer.feed(pred, gt)
    scores = scorer.conclude()
    assert {k: (s.j.mean, s.f.mean) for k, s in scores.items()} == {1: (1.0, 1.0), 2: (0.0, 0.0)}
    summary = summarize(scores.values())
    assert summary is not None
    assert (summary.j, summary.f, summary.jf, summary.objects) == (0.5, 0.5, 0.5, 2)


def test_late_object_counts_from_the_frame_after_it_appears() -> None:
    early = label_map((1, 10, 10, 20, 20))
    both = label_map((1, 10, 10, 20, 20), (2, 40, 50, 10, 9))
    scorer = SequenceScorer()
    for gt in (early, early, both, both, both):
        scorer.feed(early, gt)
    scores = scorer.conclude()
    assert (scores[1].frames, scores[2].frames) == (3, 1)


def test_object_that_never_counts_has_no_score() -> None:
    early = label_map((1, 10, 10, 20, 20))
    both = label_map((1, 10, 10, 20, 20), (2, 40, 50, 10, 9))
    scorer = SequenceScorer()
    for gt in (early, early, both):
        scorer.feed(gt, gt)
    assert list(scorer.conclude()) == [1]
    assert summarize([]) is None


def test_object_that_left_and_is_not_predicted_is_right() -> None:
    there, gone = label_map((1, 10, 10, 20, 20)), label_map()
    scorer = SequenceScorer()
    for gt in (there, gone, gone):
        scorer.feed(gone, gt)
    assert scorer.conclude()[1].j.mean == 1.0
