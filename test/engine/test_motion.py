# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The motion gate, on squares that move."""

import numpy as np
import numpy.typing as npt
import pytest

from vos_ros.datatypes import Float
from vos_ros.engine.motion import MotionGate

H, W = 40, 60
Mask = npt.NDArray[np.bool_]


def scene(*boxes: tuple[int, int, int], objects: int = 1) -> Float:
    """Give probabilities with squares of side 8: (object, row, column) of each."""
    prob = np.full((objects + 1, H, W), 0.02, np.float32)
    for slot, row, column in boxes:
        prob[slot, row : row + 8, column : column + 8] = 0.9
    prob[0] = 1 - prob[1:].sum(axis=0)
    return prob


def found(prob: Float, slot: int = 1) -> tuple[int, int]:
    """Return the corner of the only square left; fails if there is another number of them."""
    rows, columns = np.nonzero(prob[slot] > 0.5)
    assert len(rows) == 64
    return int(rows.min()), int(columns.min())


# 180 cells a second are 6 from frame to frame at 30 Hz.


def test_a_lookalike_out_of_reach_is_removed_and_the_sum_stays_one() -> None:
    gate = MotionGate(speed=180)
    gate.update(scene((1, 10, 10)), [1], prompted=[1])
    prob = scene((1, 12, 13), (1, 12, 45))
    gate.apply(prob, [1])
    assert found(prob) == (12, 13)
    np.testing.assert_allclose(prob.sum(axis=0), 1, atol=1e-6)


@pytest.mark.parametrize(('other', 'wins'), [(0.2, 2), (0.02, 0)])
def test_what_is_taken_goes_to_what_else_it_may_be(other: float, wins: int) -> None:
    gate = MotionGate(speed=180)
    gate.update(scene((1, 10, 10), (2, 12, 45), objects=2), [1, 2], prompted=[1, 2])
    prob = scene((1, 10, 10), (1, 12, 45), objects=2)  # all of the second is found to be the first
    there = np.s_[12:20, 45:53]
    prob[2][there] = other
    prob[1][there] = 0.98 - other - 0.01
    prob[0] = 1 - prob[1:].sum(axis=0)
    gate.apply(prob, [1, 2])
    assert (prob.argmax(axis=0)[there] == wins).all()
    np.testing.assert_allclose(prob.sum(axis=0), 1, atol=1e-6)


def test_an_object_that_moves_within_reach_is_followed_anywhere() -> None:
    gate = MotionGate(speed=180)
    gate.update(scene((1, 10, 2)), [1], prompted=[1])
    for column in range(6, 50, 4):
        prob = scene((1, 10, column))
        gate.apply(prob, [1])
        assert found(prob) == (10, column)
        gate.update(prob, [1])


def test_an_object_that_jumped_is_believed_when_it_is_gone_from_its_place() -> None:
    """Dropped frames and fast motion must not lose it."""
    gate = MotionGate(speed=180)
    gate.update(scene((1, 10, 2)), [1], prompted=[1])
    prob = scene((1, 10, 45))
    gate.apply(prob, [1])
    assert found(prob) == (10, 45)


def test_a_small_lookalike_does_not_replace_a_hidden_object() -> None:
    gate = MotionGate(speed=180)
    gate.update(scene((1, 10, 2)), [1], prompted=[1])
    prob = scene()
    prob[1, 30:34, 50:54] = 0.9
    prob[0] = 1 - prob[1]
    gate.apply(prob, [1])
    assert not (prob[1] > 0.5).any()


def test_reach_grows_while_the_object_is_hidden() -> None:
    gate = MotionGate(speed=180)
    gate.update(scene((1, 10, 2)), [1], prompted=[1])
    hidden = scene()
    for _ in range(3):
        gate.update(hidden, [1])
    prob = scene((1, 10, 22))
    prob[1, 14:18, 22:30] = 0.02  # half of it, which would not do as a jump if it were smaller
    prob[1, 10:14, 26:30] = 0.02
    prob[0] = 1 - prob[1]
    gate.apply(prob, [1])
    assert int((prob[1] > 0.5).sum()) == 16


def test_objects_have_a_reach_each() -> None:
    gate = MotionGate(speed=180)
    gate.update(scene((1, 10, 2), (2, 10, 40), objects=2), [4, 9], prompted=[4, 9])
    prob = scene((1, 10, 3), (2, 10, 41), (1, 28, 40), (2, 28, 2), objects=2)
    gate.apply(prob, [4, 9])
    assert found(prob, 1) == (10, 3)
    assert found(prob, 2) == (10, 41)


def test_a_new_prompt_forgets_where_the_object_was() -> None:
    gate = MotionGate(speed=180)
    gate.update(scene((1, 10, 2)), [1], prompted=[1])
    gate.update(scene((1, 10, 45)), [1], prompted=[1])
    prob = scene((1, 10, 2), (1, 10, 46))
    gate.apply(prob, [1])
    assert found(prob) == (10, 46)


@pytest.mark.parametrize('forget', ['clear', 'remove', 'off'])
def test_without_a_past_nothing_is_removed(forget: str) -> None:
    gate = MotionGate(speed=0 if forget == 'off' else 180)
    gate.update(scene((1, 10, 2)), [1], prompted=[1])
    if forget == 'clear':
        gate.clear()
    elif forget == 'remove':
        gate.remove([1])
    prob = scene((1, 10, 2), (1, 10, 45))
    expected = prob.copy()
    gate.apply(prob, [1])
    np.testing.assert_array_equal(prob, expected)


def test_reach_follows_the_time_between_frames() -> None:
    gate = MotionGate(speed=180)
    gate.update(scene((1, 10, 2)), [1], prompted=[1])
    near, far = scene((1, 10, 4), (1, 10, 30)), scene((1, 10, 4), (1, 10, 30))
    gate.apply(near, [1], seconds=1 / 30)
    gate.apply(far, [1], seconds=1 / 5)
    assert int((near[1] > 0.5).sum()) == 64
    assert int((far[1] > 0.5).sum()) == 128


def test_a_large_object_may_move_by_half_its_size() -> None:
    gate = MotionGate(speed=30)
    prob = np.full((2, H, W), 0.02, np.float32)
    prob[1, 4:28, 4:28] = 0.9
    gate.update(prob, [1], prompted=[1])
    prob[1], expected = 0.02, 24 * 24
    prob[1, 4:28, 15:39] = 0.9
    gate.apply(prob, [1])
    assert int((prob[1] > 0.5).sum()) == expected


def with_crumb(row: int = 30, column: int = 50) -> Float:
    """Give a body of 8x8 at the left and a part of 2x2 of the same object far away from it."""
    prob = scene((1, 10, 4))
    prob[1, row : row + 2, column : column + 2] = 0.9
    prob[0] = 1 - prob[1]
    return prob


def test_a_crumb_does_not_spread_over_what_it_lies_on() -> None:
    """A leak begins small; with the body's reach it would take its neighbour in some frames."""
    gate = MotionGate(speed=180)
    gate.update(scene((1, 10, 4)), [1], prompted=[1])
    gate.update(with_crumb(), [1])
    prob = scene((1, 10, 4), (1, 28, 46))  # the network now finds it on all of a neighbour
    gate.apply(prob, [1])
    left = prob[1] > 0.5
    assert left[10:18, 4:12].all()
    assert left[30:32, 50:52].all(), 'the crumb itself stays'
    assert int(left.sum()) - 64 <= 6 * 6


def test_a_part_that_was_prompted_has_the_reach_of_the_whole() -> None:
    gate = MotionGate(speed=180)
    gate.update(with_crumb(), [1], prompted=[1])
    prob = scene((1, 10, 4), (1, 28, 46))
    gate.apply(prob, [1])
    assert int((prob[1] > 0.5).sum()) == 2 * 64


def test_halves_on_both_sides_of_an_occluder_have_the_reach_of_the_whole() -> None:
    gate = MotionGate(speed=180)
    gate.update(scene((1, 10, 4)), [1], prompted=[1])
    gate.update(scene((1, 10, 4), (1, 10, 20)), [1])
    prob = scene((1, 10, 8), (1, 10, 25))
    gate.apply(prob, [1])
    assert int((prob[1] > 0.5).sum()) == 2 * 64


def test_crumbs_are_forgotten_when_they_are_gone() -> None:
    gate = MotionGate(speed=180)
    gate.update(scene((1, 10, 4)), [1], prompted=[1])
    gate.update(with_crumb(), [1])
    gate.update(scene((1, 10, 4)), [1])
    prob = with_crumb()
    gate.apply(prob, [1])
    assert found(prob) == (10, 4)


@pytest.mark.parametrize('cells', [1, 4, 7, 8, 20])
def test_a_small_object_has_a_reach_too(cells: int) -> None:
    gate = MotionGate(speed=180)
    there: Mask = np.zeros((H, W), np.bool_)
    there[10:12, 2 : 2 + (cells + 1) // 2] = True
    there[11, 2 + cells // 2 :] = False

    def prob(mask: Mask) -> Float:
        plane = np.where(mask, 0.9, 0.02).astype(np.float32)
        return np.stack([1 - plane, plane])

    gate.update(prob(there), [1], prompted=[1])
    for _ in range(30):
        seen = prob(there)
        gate.apply(seen, [1])
        gate.update(seen, [1])
    leak = there | np.roll(there, 40, axis=1)
    seen = prob(leak)
    gate.apply(seen, [1])
    np.testing.assert_array_equal(seen[1] > 0.5, there)


def test_near_are_the_body_and_the_crumbs_of_an_object_that_is_seen_as_a_whole() -> None:
    gate = MotionGate(speed=180)  # six cells from frame to frame
    prob = scene((1, 10, 10))
    gate.update(prob, [1], prompted=[1])
    prob[1, 12, 40], prob[0, 12, 40] = 0.9, 0.1
    gate.update(prob, [1])
    reach = gate.reach(1)
    assert reach is not None
    assert reach.near is not None
    rows, columns = np.nonzero(reach.near & ~(np.indices((H, W))[1] > 30))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (8, 19, 8, 19)
    assert reach.near[12, 40]
    assert not (reach.near & ~reach.cells).any()


def test_nothing_is_near_where_a_part_is_missing() -> None:
    gate = MotionGate(speed=180)
    gate.update(scene((1, 10, 10)), [1], prompted=[1])
    half = scene((1, 10, 10))
    half[:, :, 14:] = np.array([1.0, 0.0])[:, None, None]
    gate.update(half, [1])
    reach = gate.reach(1)
    assert reach is not None
    assert reach.near is None
    assert not reach.is_hidden
    half[:] = np.array([1.0, 0.0])[:, None, None]
    gate.update(half, [1])
    hidden = gate.reach(1)
    assert hidden is not None
    assert hidden.is_hidden


def test_near_is_twice_as_far_as_it_went_lately() -> None:
    """By the prediction that it goes on as before; one that is calm is not looked for far away."""
    gate = MotionGate(speed=1800)  # a reach of 60 cells a frame, of which a third is 20

    def nearness() -> int:
        reach = gate.reach(1)
        assert reach is not None
        assert reach.near is not None
        return int(np.count_nonzero(reach.near[14]))

    gate.update(scene((1, 10, 10)), [1], prompted=[1])
    before = nearness()
    assert before == 10 + 8 + 20
    for step in range(1, 4):
        gate.update(scene((1, 10, 10 + step)), [1])
    assert nearness() < before
    calm = nearness()
    assert calm == 1 + 8 + 2 * 4  # where it was and is predicted, and four cells on both sides
    gate.update(scene((1, 10, 23)), [1])
    assert nearness() > calm + 8
    for _ in range(60):
        gate.update(scene((1, 10, 23)), [1])
    assert nearness() == 8 + 2 * 4


def test_an_object_that_begins_with_nothing_is_found_anywhere_and_followed_from_there() -> None:
    gate = MotionGate(speed=180)
    gate.update(scene(), [1], prompted=[1])  # its mask came late, and it is gone meanwhile
    gate.update(scene(), [1])
    prob = scene((1, 20, 30))
    gate.apply(prob, [1])
    assert found(prob) == (20, 30)
    gate.update(prob, [1])
    prob = scene((1, 21, 31), (1, 2, 2))
    gate.apply(prob, [1])
    gate.update(prob, [1])
    prob = scene((1, 22, 32), (1, 2, 50))
    gate.apply(prob, [1])
    assert found(prob) == (22, 32)


@pytest.mark.parametrize('seed', range(20))
def test_no_row_of_masks_stops_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    gate = MotionGate(speed=180)
    for index in range(30):
        masks = [rng.random((H, W)) < rng.choice([0, 0, 0.001, 0.05, 1]) for _ in range(3)]
        gate.update_masks(masks, [1, 2, 3], [1, 2, 3][: int(rng.integers(4))] if index else ())
        prob = np.full((4, H, W), 0.25, np.float32)
        gate.apply(prob, [1, 2, 3])
        np.testing.assert_allclose(prob.sum(axis=0), 1, atol=1e-5)
