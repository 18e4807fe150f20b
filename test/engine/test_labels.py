# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
import cv2
import numpy as np
import pytest

from vos_ros.datatypes import Float, LabelMap
from vos_ros.engine import labels
from vos_ros.engine.labels import (
    aggregate,
    keep_ids,
    Labeler,
    masks_at_stride,
    override,
    paint,
    sum_of_others,
)
from vos_ros.formats.masks import ids_in


def _logits(objects: int, scale: float = 4.0) -> Float:
    rng = np.random.default_rng(objects)
    return (rng.standard_normal((objects, 12, 20)) * scale).astype(np.float32)


def _reference_aggregate(logits: Float) -> Float:
    """Compute the formula of STCN literally, in double precision."""
    p = 1.0 / (1.0 + np.exp(-logits.astype(np.float64)))
    p = np.concatenate([np.prod(1.0 - p, axis=0, keepdims=True), p])
    p = np.clip(p, 1e-7, 1.0 - 1e-7)
    odds = p / (1.0 - p)
    return np.asarray(odds / odds.sum(axis=0), np.float32)


@pytest.mark.parametrize('objects', [1, 2, 5])
@pytest.mark.parametrize('scale', [1.0, 4.0, 100.0])
def test_aggregation_is_the_formula_of_stcn(objects: int, scale: float) -> None:
    logits = _logits(objects, scale)
    prob = aggregate(logits)
    np.testing.assert_allclose(prob, _reference_aggregate(logits), atol=2e-6)
    np.testing.assert_allclose(prob.sum(axis=0), 1.0, atol=1e-6)
    assert prob.dtype == np.float32


def test_aggregation_does_not_depend_on_the_order_of_objects() -> None:
    logits = _logits(4)
    order = [2, 0, 3, 1]
    swapped = aggregate(logits[order])
    np.testing.assert_allclose(swapped[1:], aggregate(logits)[1:][order], atol=1e-6)


@pytest.mark.parametrize('bad', [np.nan, np.inf, -np.inf])
def test_what_is_not_a_number_stays_with_its_object(bad: float) -> None:
    logits = _logits(3)
    logits[1] = bad
    prob = aggregate(logits)
    assert np.isfinite(prob).all()
    np.testing.assert_allclose(prob.sum(axis=0), 1, atol=1e-6)
    if not bad > 0:
        expected = aggregate(logits[[0, 2]])
        np.testing.assert_allclose(prob[[0, 1, 3]], expected, atol=1e-5)


def test_aggregation_without_objects_is_all_background() -> None:
    prob = aggregate(np.empty((0, 3, 4), np.float32))
    np.testing.assert_allclose(prob, np.ones((1, 3, 4)), atol=1e-6)


def test_aggregation_leaves_the_logits_as_they_were() -> None:
    logits = _logits(2)
    before = logits.copy()
    aggregate(logits)
    np.testing.assert_array_equal(logits, before)


def _argmax(prob: Float, object_ids: tuple[int, ...], size: tuple[int, int]) -> LabelMap:
    stack = np.stack([cv2.resize(plane, size[::-1]) for plane in prob])
    label_map: LabelMap = np.array([0, *object_ids], np.uint16)[stack.argmax(axis=0)]
    return label_map


@pytest.mark.parametrize(
    'object_ids',
    [
        pytest.param((1,), id='one'),
        pytest.param((9,), id='one, another id'),
        pytest.param((2, 5, 254), id='three'),
        pytest.param((1, 255), id='void id needs 16 bit'),
        pytest.param((7, 300, 65535), id='large ids'),
    ],
)
@pytest.mark.parametrize('size', [(48, 80), (37, 61), (12, 20)])
def test_label_map_is_the_argmax_of_upsampled_probabilities(
    object_ids: tuple[int, ...], size: tuple[int, int]
) -> None:
    prob = aggregate(_logits(len(object_ids)))
    label_map = Labeler()(prob, object_ids, size)
    assert label_map.dtype == (np.uint16 if max(object_ids) > 254 else np.uint8)
    expected = _argmax(prob, object_ids, size)
    # with one object p > 0.5 decides, which may differ from argmax only where both are 0.5
    ties = np.abs(cv2.resize(prob[1], size[::-1]) - 0.5) < 1e-6
    assert ((label_map == expected) | ties).all()
    assert set(np.unique(label_map)) == {0, *object_ids}


@pytest.mark.parametrize('objects', [1, 2, 5])
@pytest.mark.parametrize('factor', [1, 2, 4, 8])
def test_part_with_objects_gives_what_the_whole_picture_gives(objects: int, factor: int) -> None:
    rng = np.random.default_rng(10 * factor + objects)
    rows, columns = np.mgrid[:20, :28]
    labeler = Labeler()
    for _ in range(20):
        logits = np.full((objects, 20, 28), -6.0, np.float32)
        for plane in logits[rng.random(objects) < 0.8]:  # some are nowhere
            y, x, radius = rng.uniform(-2, 22), rng.uniform(-2, 30), rng.uniform(0.2, 6)
            plane[:] = np.clip(2 * (radius - np.hypot(rows - y, columns - x)), -6, 6)
        prob = aggregate(logits)
        size = (20 * factor, 28 * factor)
        whole = np.stack([cv2.resize(p, size[::-1], interpolation=cv2.INTER_LINEAR) for p in prob])
        found = labeler(prob, range(1, objects + 1), size)
        clear = np.sort(whole, axis=0)[-1] - np.sort(whole, axis=0)[-2] > 1e-6
        np.testing.assert_array_equal(found[clear], whole.argmax(axis=0)[clear])
        assert clear.mean() > 0.99


@pytest.mark.parametrize('objects', [1, 3])
@pytest.mark.parametrize(
    'size', [(480, 640), (480, 854), (720, 1280), (1001, 777), (100, 140), (120, 160)]
)
def test_outlines_alone_give_what_the_whole_picture_gives(
    objects: int, size: tuple[int, int]
) -> None:
    rng = np.random.default_rng(objects)
    rows, columns = np.mgrid[:120, :160]
    labeler = Labeler()
    for _ in range(3):
        centres = rng.uniform(0, (120, 160), (objects, 2))
        logits = np.stack([12 - np.hypot(rows - y, columns - x) for y, x in centres])
        prob = aggregate((logits + rng.normal(0, 0.5, logits.shape)).astype(np.float32))
        found = labeler._along_outlines(prob, range(1, objects + 1), size)
        assert found is not None
        whole = np.stack([cv2.resize(p, size[::-1], interpolation=cv2.INTER_LINEAR) for p in prob])
        clear = np.sort(whole, axis=0)[-1] - np.sort(whole, axis=0)[-2] > 1e-6
        np.testing.assert_array_equal(found[clear], whole.argmax(axis=0)[clear])
        assert clear.mean() > 0.99
        assert len(np.unique(found)) == objects + 1


def test_outlines_are_decided_in_parts_where_they_are_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows, columns = np.mgrid[:120, :160]
    logits = np.stack([12 - np.hypot(rows - 40, columns - 50), 20 - np.hypot(rows, columns)])
    prob = aggregate(logits.astype(np.float32))
    whole = Labeler()._along_outlines(prob, (1, 2), (480, 640))
    monkeypatch.setattr(labels, '_SCRATCH', 1000)
    np.testing.assert_array_equal(Labeler()._along_outlines(prob, (1, 2), (480, 640)), whole)


def test_a_picture_that_is_all_outline_is_decided_as_a_whole() -> None:
    prob = aggregate(_logits(3))
    labeler = Labeler()
    assert labeler._along_outlines(prob, (1, 2, 3), (48, 80)) is None
    np.testing.assert_array_equal(
        labeler(prob, (1, 2, 3), (48, 80)), _argmax(prob, (1, 2, 3), (48, 80))
    )


def test_label_map_is_given_away_and_not_reused() -> None:
    labeler = Labeler()
    first = labeler(aggregate(_logits(2)), (1, 2), (48, 80))
    before = first.copy()
    labeler(aggregate(_logits(2)[::-1]), (1, 2), (48, 80))
    np.testing.assert_array_equal(first, before)


def test_round_trip_of_a_mask_is_exact_up_to_a_pixel_at_its_border() -> None:
    label_map = np.zeros((96, 160), np.uint8)
    label_map[20:60, 40:120] = 1
    masks = masks_at_stride(label_map, (1,), (24, 40))
    back = Labeler()(np.concatenate([1 - masks, masks]), (1,), (96, 160))
    different = back != label_map
    inside = cv2.erode(label_map, np.ones((5, 5)))
    outside = 1 - cv2.dilate(label_map, np.ones((5, 5)))
    assert not different[(inside > 0) | (outside > 0)].any()


def test_ids_are_found_and_unwanted_ones_erased() -> None:
    label_map = np.array([[0, 3, 300], [9, 9, 0]], np.uint16)
    assert ids_in(label_map) == (3, 9, 300)
    kept = keep_ids(label_map, (3, 9))
    assert kept.dtype == np.uint8
    np.testing.assert_array_equal(kept, [[0, 3, 0], [9, 9, 0]])
    np.testing.assert_array_equal(keep_ids(label_map, (300,)), [[0, 0, 300], [0, 0, 0]])


@pytest.mark.parametrize('size', [(100, 160), (480, 854), (5, 8)])
def test_one_pixel_object_keeps_a_full_cell(size: tuple[int, int]) -> None:
    label_map = np.zeros(size, np.uint8)
    label_map[-1, -1] = 1
    mask = masks_at_stride(label_map, (1,), (24, 40))[0]
    assert mask.max() == 1.0
    row, column = np.unravel_index(mask.argmax(), mask.shape)
    assert row >= 23 - 24 // size[0]
    assert column >= 39 - 40 // size[1]


def test_mask_of_a_large_object_is_its_share_of_each_cell() -> None:
    label_map = np.zeros((16, 16), np.uint8)
    label_map[:8, :6] = 4
    mask = masks_at_stride(label_map, (4,), (4, 4))[0]
    np.testing.assert_allclose(mask[:2], [[1.0, 0.5, 0.0, 0.0]] * 2)
    assert not mask[2:].any()


@pytest.mark.parametrize('size', [(24, 40), (24, 41), (17, 23), (1, 40), (96, 160), (95, 159)])
@pytest.mark.parametrize('blocks', [(3, 4), (9, 7), (41, 67)])
def test_masks_are_what_opencv_averages(size: tuple[int, int], blocks: tuple[int, int]) -> None:
    rng = np.random.default_rng(7)
    drawn = rng.choice([0, 2, 300], blocks).astype(np.uint16)
    label_map = np.asarray(cv2.resize(drawn, (160, 96), interpolation=0), np.uint16)  # nearest
    for object_id, mask in zip((2, 300), masks_at_stride(label_map, (2, 300), size)):
        wins = (label_map == object_id).astype(np.float32)
        expected = cv2.resize(wins, size[::-1], interpolation=cv2.INTER_AREA)
        if expected.max() < 0.5:
            expected /= expected.max()
        np.testing.assert_allclose(mask, expected, atol=1e-5)


def test_prompt_takes_its_share_and_leaves_the_rest_in_proportion() -> None:
    prob = np.full((3, 1, 3), 1 / 3, np.float32)
    masks = np.array([[[1.0, 0.5, 0.0]]], np.float32)
    merged, object_ids = override(prob, (2, 8), masks, (5,))
    assert object_ids == (2, 5, 8)
    np.testing.assert_allclose(merged.sum(axis=0), 1.0, atol=1e-6)
    np.testing.assert_allclose(merged[2], masks[0])
    np.testing.assert_allclose(merged[1, 0], [0.0, 1 / 6, 1 / 3], atol=1e-6)


def test_old_mask_of_a_prompted_object_goes_to_the_background_only() -> None:
    prob = np.array([[[0.1]], [[0.6]], [[0.3]]], np.float32)
    merged, _ = override(prob, (1, 2), np.zeros((1, 1, 1), np.float32), (1,))
    np.testing.assert_allclose(merged.ravel(), [0.7, 0.0, 0.3], atol=1e-6)


def test_painted_prompt_is_exact_and_erases_what_the_object_had() -> None:
    predicted = np.array([[1, 1, 2, 2, 0]], np.uint8)
    prompt = np.array([[0, 0, 1, 0, 300]], np.uint16)
    painted = paint(predicted, prompt, (1, 300))
    np.testing.assert_array_equal(painted, [[0, 0, 1, 2, 300]])
    assert painted.dtype == np.uint16
    np.testing.assert_array_equal(predicted, [[1, 1, 2, 2, 0]])


def test_sum_of_others_leaves_out_object_and_background() -> None:
    prob = np.array([[[0.1]], [[0.2]], [[0.3]], [[0.4]]], np.float32)
    np.testing.assert_allclose(sum_of_others(prob, (1, 3)).ravel(), [0.7, 0.5], atol=1e-6)
