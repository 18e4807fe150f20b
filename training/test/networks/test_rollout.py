# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The rollout of training equals the memory of the robot: prompted frame and the one before."""

import pytest

torch = pytest.importorskip('torch', reason='the training package needs torch')

from vos_distill.networks.aggregation import (  # noqa: E402
    one_hot,
    others_of,
    soft_aggregate,
)
from vos_distill.networks.presets import build_student  # noqa: E402
from vos_distill.networks.rollout import leak, not_believed, rollout  # noqa: E402


def test_one_hot_splits_a_label_map() -> None:
    labels = torch.tensor([[0, 1], [2, 255]])
    masks = one_hot(labels, 2)
    assert masks.tolist() == [[[0, 1], [0, 0]], [[0, 0], [1, 0]]]


def test_others_of_one_object_is_the_sum_of_the_rest() -> None:
    masks = torch.tensor([0.2, 0.5, 0.7]).view(1, 3, 1, 1)
    torch.testing.assert_close(others_of(masks).flatten(), torch.tensor([1.0, 0.9, 0.7]))


@torch.no_grad()
def test_rollout_reads_the_first_and_the_previous_frame_only() -> None:
    torch.manual_seed(0)
    student = build_student('tiny').eval()
    images = torch.randn(1, 4, 3, 64, 64)
    first = (torch.rand(1, 2, 64, 64) > 0.5).float()
    outputs = rollout(student, images, first)
    frames = [student.encode_image(images[:, t]) for t in range(4)]
    masks = torch.nn.functional.avg_pool2d(first, 4)
    value = [student.encode_mask(frames[0], masks, others_of(masks))]
    for t in range(1, 4):
        keys = torch.stack([frames[0]['key'].flatten(2), frames[t - 1]['key'].flatten(2)], 1)
        logits, _ = student.segment(frames[t], keys, torch.stack([value[0], value[-1]], 2))
        prob = soft_aggregate(logits)
        torch.testing.assert_close(outputs[t - 1].prob, prob, rtol=1e-4, atol=1e-6)
        value.append(student.encode_mask(frames[t], prob[:, 1:], others_of(prob[:, 1:])))


@torch.no_grad()
def test_an_ignorant_prompted_row_holds_the_most_recent_frame() -> None:
    torch.manual_seed(0)
    student = build_student('tiny').eval()
    images = torch.randn(1, 4, 3, 64, 64)
    first = (torch.rand(1, 2, 64, 64) > 0.5).float()
    ignorant = torch.tensor([[False, False, False, True]])
    drop = torch.ones(1, 4, dtype=torch.bool)  # leaves an ignorant frame its recent row
    outputs = rollout(student, images, first, None, drop, None, ignorant)
    frames = [student.encode_image(images[:, t]) for t in (2, 3)]
    masks = outputs[1].prob[:, 1:]
    key, value = (
        frames[0]['key'].flatten(2),
        student.encode_mask(frames[0], masks, others_of(masks)),
    )
    logits, _ = student.segment(frames[1], torch.stack([key] * 2, 1), torch.stack([value] * 2, 2))
    torch.testing.assert_close(outputs[2].prob, soft_aggregate(logits), rtol=1e-4, atol=1e-6)


@torch.no_grad()
def test_an_object_that_is_not_believed_falls_back_to_its_prompted_frame_alone() -> None:
    torch.manual_seed(0)
    student = build_student('tiny').eval()
    images = torch.randn(2, 3, 3, 64, 64)
    first = (torch.rand(2, 2, 64, 64) > 0.5).float()
    known = torch.zeros(2, 2, 64, 64)
    known[:, 0, 8:40, 8:40] = 1
    known[0, 1, 48:60, 8:40] = 1  # the second clip has lost its object 2
    given = (torch.tensor([True, True]), known)
    plain = rollout(student, images, first, None, None, given)
    outputs = rollout(student, images, first, None, None, given, fall_back=True)
    torch.testing.assert_close(outputs[0].logits, plain[0].logits)
    same = outputs[1].logits == plain[1].logits
    assert same.flatten(2).all(2).tolist() == [[True, True], [True, False]]
    frames = [student.encode_image(images[1:, t]) for t in (0, 2)]
    masks = torch.nn.functional.avg_pool2d(first[1:], 4)
    key = frames[0]['key'].flatten(2)
    value = student.encode_mask(frames[0], masks, others_of(masks))
    logits, extras = student.segment(
        frames[1], torch.stack([key] * 2, 1), torch.stack([value] * 2, 2)
    )
    torch.testing.assert_close(outputs[1].logits[1, 1], logits[0, 1], rtol=1e-4, atol=1e-5)
    carried = outputs[1].extras['propagated'][1, 1]
    torch.testing.assert_close(carried, extras['propagated'][0, 1], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_a_confused_prompted_row_holds_the_other_objects_mask() -> None:
    torch.manual_seed(0)
    student = build_student('tiny').eval()
    images = torch.randn(1, 3, 3, 64, 64)
    first = (torch.rand(1, 2, 64, 64) > 0.5).float()
    plain = rollout(student, images, first)
    confused = (torch.tensor([[0.0, 1.0, 1.0]]), torch.tensor([[1, 0]]))
    outputs = rollout(student, images, first, confused=confused)
    torch.testing.assert_close(outputs[0].logits, plain[0].logits)  # begins after frame 1
    frames = [student.encode_image(images[:, t]) for t in range(3)]
    masks = torch.nn.functional.avg_pool2d(first, 4)
    value = student.encode_mask(frames[0], masks, others_of(masks)).flip(1)
    own = plain[0].prob[:, 1:]
    recent = student.encode_mask(frames[1], own, others_of(own))
    keys = torch.stack([frames[0]['key'].flatten(2), frames[1]['key'].flatten(2)], 1)
    logits, _ = student.segment(frames[2], keys, torch.stack([value, recent], 2))
    torch.testing.assert_close(outputs[1].logits, logits, rtol=1e-4, atol=1e-5)


def test_a_mask_is_believed_where_it_wins_cells_by_enough() -> None:
    prob = torch.zeros(1, 4, 4, 4)
    prob[:, 1, 0] = 0.9  # sure
    prob[:, 2, 1] = 0.5  # wins, by too little
    prob[:, 3] = 0.05  # wins nothing
    prob[:, 0] = 1 - prob[:, 1:].sum(1)
    prob[:, 0, 1] = 0.4
    assert not_believed(prob).tolist() == [[False, True, True]]


@torch.no_grad()
def test_an_unused_object_slot_gets_no_probability() -> None:
    torch.manual_seed(0)
    student = build_student('tiny').eval()
    images, first = torch.randn(1, 2, 3, 64, 64), torch.zeros(1, 2, 64, 64)
    first[0, 0, 8:40, 8:40] = 1
    (output,) = rollout(student, images, first, exists=torch.tensor([[1.0, 0.0]]))
    assert float(output.prob[:, 2].max()) < 1e-5


def two_squares() -> torch.Tensor:
    masks = torch.zeros(3, 20, 24)
    masks[0, 2:8, 2:8] = 1
    masks[2, 10:18, 10:18] = 1
    return masks


def test_leak_gives_a_part_of_one_visible_object_to_the_other() -> None:
    masks = two_squares()
    robbed = set()
    for seed in range(20):
        leaked = leak(masks, torch.Generator().manual_seed(seed))
        torch.testing.assert_close(leaked.sum(0), masks.sum(0))  # nothing appears or is lost
        assert not leaked[1].any(), 'a slot that shows nothing gets nothing'
        left = leaked.flatten(1).sum(1)
        assert left[0] != 36
        robbed.add(0 if left[0] < 36 else 2)
        share = float(left[0] / 36 if left[0] < 36 else left[2] / 64)
        assert 0.1 < share < 1
    assert robbed == {0, 2}


def test_leak_needs_two_objects() -> None:
    alone = two_squares()[:2]
    assert leak(alone, torch.Generator().manual_seed(0)) is alone
