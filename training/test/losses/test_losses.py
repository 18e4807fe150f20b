# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Losses and aggregation: values that can be worked out by hand."""

import math

import pytest

torch = pytest.importorskip('torch', reason='the training package needs torch')

from vos_distill.losses.mask_losses import (  # noqa: E402
    bootstrapped_cross_entropy,
    dice,
    first_object_iou,
    mean_of_objects,
    poly1_cross_entropy,
    propagated_mask,
)
from vos_distill.networks.aggregation import soft_aggregate  # noqa: E402


def test_aggregation_sums_to_one_and_ignores_the_order_of_objects() -> None:
    torch.manual_seed(0)
    logits = torch.randn(2, 3, 4, 5)
    prob = soft_aggregate(logits)
    torch.testing.assert_close(prob.sum(1), torch.ones(2, 4, 5))
    swapped = soft_aggregate(logits[:, [2, 0, 1]])
    torch.testing.assert_close(swapped[:, 1:], prob[:, [3, 1, 2]])


def test_aggregation_of_one_object_keeps_the_side_of_the_decision() -> None:
    logits = torch.linspace(-4, 4, 9).view(1, 1, 1, 9)
    prob = soft_aggregate(logits)[0, 1, 0]
    assert bool(((prob > 0.5) == (logits[0, 0, 0] > 0))[torch.arange(9) != 4].all())


def test_bootstrapping_takes_the_hardest_pixels_only() -> None:
    prob = torch.tensor([0.9, 0.8, 0.5, 0.1]).view(1, 1, 2, 2)
    prob = torch.cat([1 - prob, prob], dim=1)
    target = torch.ones(1, 2, 2, dtype=torch.int64)
    hardest = bootstrapped_cross_entropy(prob, target, 0.25)
    assert float(hardest) == pytest.approx(-math.log(0.1), rel=1e-4)
    plain = bootstrapped_cross_entropy(prob, target, 1.0)
    expected = -sum(math.log(p) for p in (0.9, 0.8, 0.5, 0.1)) / 4
    assert float(plain) == pytest.approx(expected, rel=1e-4)


def test_void_pixels_do_not_count() -> None:
    prob = torch.full((1, 2, 1, 2), 0.5)
    prob[0, :, 0, 1] = torch.tensor([1.0, 0.0])
    target = torch.tensor([[[1, 255]]])
    loss = bootstrapped_cross_entropy(prob, target, 1.0)
    assert float(loss) == pytest.approx(math.log(2), rel=1e-4)


def test_the_hardest_share_is_one_of_the_pixels_with_a_class() -> None:
    """Half of the frame is void: a half of the rest is one pixel, not two."""
    prob = torch.tensor([0.9, 0.1, 0.5, 0.5]).view(1, 1, 2, 2)
    prob = torch.cat([1 - prob, prob], dim=1)
    target = torch.tensor([[[1, 1], [255, 255]]])
    loss = bootstrapped_cross_entropy(prob, target, 0.5)
    assert float(loss) == pytest.approx(-math.log(0.1), rel=1e-4)
    nothing = bootstrapped_cross_entropy(prob, torch.full((1, 2, 2), 255), 0.5)
    assert float(nothing) == 0.0


@pytest.mark.parametrize('logit', [4.0, 10.0, 15.0])
def test_a_pixel_that_is_wrong_and_sure_of_it_has_its_gradient(logit: float) -> None:
    """The cross entropy of two classes with logits x and -x: its gradient goes to 2, not to 0."""
    logits = torch.full((1, 1, 1, 1), logit, requires_grad=True)
    background = torch.zeros(1, 1, 1, dtype=torch.int64)
    bootstrapped_cross_entropy(soft_aggregate(logits), background, 1.0).backward()
    assert logits.grad is not None
    expected = 2 * torch.sigmoid(torch.tensor(2 * logit))
    # 1 - p of a sure pixel has few digits in float32
    assert float(logits.grad) == pytest.approx(float(expected), rel=0.25)


@pytest.mark.parametrize('share', [0.1, 0.5, 1.0])
def test_the_hardest_pixels_are_those_of_a_sort(share: float) -> None:
    draw = torch.Generator().manual_seed(0)
    prob = torch.rand(4, 3, 32, 32, generator=draw).softmax(1).requires_grad_()
    target = torch.randint(0, 3, (4, 32, 32), generator=draw)
    target[0, :7], target[1, 2:] = 255, 255
    frames = []
    for one, truth in zip(prob, target, strict=True):
        known = truth[truth != 255]
        entropy = -one[:, truth != 255].gather(0, known[None])[0].log()
        frames.append(entropy.sort(descending=True).values[: int(len(known) * share)].mean())
    expected = torch.stack(frames).mean()
    loss = bootstrapped_cross_entropy(prob, target, share)
    torch.testing.assert_close(loss, expected, rtol=0, atol=1e-6)
    slopes = [torch.autograd.grad(one, prob)[0] for one in (loss, expected)]
    torch.testing.assert_close(*slopes, rtol=0, atol=1e-6)


@pytest.mark.parametrize('channels', [2, 3, 5])
def test_the_logged_iou_is_that_of_argmax(channels: int) -> None:
    draw = torch.Generator().manual_seed(0)
    # so few values that there are equal ones
    prob = torch.randint(0, 4, (3, channels, 16, 16), generator=draw) / 4
    target = torch.randint(0, channels, (3, 16, 16), generator=draw)
    target[:, :3] = 255
    found, truth = (prob.argmax(1) == 1) & (target != 255), target == 1
    both, union = (x.flatten(1).sum(1) for x in (found & truth, found | truth))
    assert first_object_iou(prob, target) == pytest.approx(float((both / union).mean()), abs=1e-7)


def one_object(*shape: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Give `known` and `exists` of clips without void and without an unused slot."""
    b, k, h, w = shape
    return torch.ones(b, h, w), torch.ones(b, k)


def test_dice_is_zero_for_the_same_mask_and_high_for_a_disjoint_one() -> None:
    mask = torch.zeros(1, 1, 10, 10)
    mask[..., :5] = 1
    known, exists = one_object(1, 1, 10, 10)
    assert float(dice(mask, mask, known, exists)) == pytest.approx(0.0, abs=1e-6)
    assert float(dice(1 - mask, mask, known, exists)) == pytest.approx(1 - 1 / 101, rel=1e-5)


def test_propagated_mask_is_finite_for_saturated_input() -> None:
    ones, zeros = torch.ones(1, 1, 2, 4, 4), torch.zeros(1, 1, 4, 4)
    loss = propagated_mask(ones, zeros, *one_object(1, 1, 4, 4))
    assert float(loss) == pytest.approx(-math.log(1e-4), rel=1e-3)


def test_propagated_mask_is_the_binary_cross_entropy() -> None:
    draw = torch.Generator().manual_seed(0)
    prob, target = (
        torch.rand(2, 3, 2, 4, 4, generator=draw),
        torch.rand(2, 3, 4, 4, generator=draw),
    )
    expected = torch.nn.functional.binary_cross_entropy(prob, target[:, :, None].expand_as(prob))
    torch.testing.assert_close(propagated_mask(prob, target, *one_object(2, 3, 4, 4)), expected)


def test_what_is_predicted_where_there_is_void_changes_neither_dice_nor_carried_masks() -> None:
    draw = torch.Generator().manual_seed(0)
    known, exists = one_object(1, 2, 8, 8)
    known[:, 2:5, 2:5] = 0
    target = (torch.rand(1, 2, 8, 8, generator=draw) > 0.5).float() * known[:, None]
    prob = torch.rand(1, 2, 8, 8, generator=draw)
    other = torch.where(known[:, None] > 0, prob, torch.rand(1, 2, 8, 8, generator=draw))
    assert not torch.equal(prob, other)
    assert float(dice(prob, target, known, exists)) == float(dice(other, target, known, exists))
    rows, others = prob[:, :, None], other[:, :, None]
    torch.testing.assert_close(
        propagated_mask(rows, target, known, exists),
        propagated_mask(others, target, known, exists),
    )


def test_a_cell_that_is_partly_void_is_judged_by_the_rest_of_it() -> None:
    """Three quarters are void and the rest is the object: the best mask there is a full one."""
    inside = torch.full((1, 1, 1, 1), 0.25)
    known, exists = inside[:, 0], torch.ones(1, 1)
    full, quarter = (
        propagated_mask(torch.full((1, 1, 1, 1, 1), p), inside, known, exists) for p in (1.0, 0.25)
    )
    assert float(full) == pytest.approx(0.0, abs=1e-4)
    assert float(quarter) > 0.1


def test_the_loss_of_a_clip_does_not_depend_on_the_slots_its_neighbours_use() -> None:
    loss = torch.tensor([[0.8, 0.0], [0.4, 0.6]])
    exists = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    assert float(mean_of_objects(loss, exists)) == pytest.approx((0.8 + 0.5) / 2)
    assert float(mean_of_objects(loss[:1], torch.zeros(1, 2))) == 0.0


def test_poly1_is_the_cross_entropy_plus_a_part_of_the_doubt() -> None:
    prob = torch.tensor([1.0, 0.5, 0.1])
    plain = poly1_cross_entropy(prob, 0.0)
    torch.testing.assert_close(plain, -prob.log())
    torch.testing.assert_close(
        poly1_cross_entropy(prob, 2.0) - plain, torch.tensor([0.0, 1.0, 1.8])
    )


@pytest.mark.parametrize('share', [1.0, 0.25])
def test_the_loss_of_a_batch_is_the_mean_of_its_parts(share: float) -> None:
    """Otherwise two processes with half a batch each would learn something else than one."""
    prob = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0)).softmax(1)
    target = torch.randint(0, 3, (4, 8, 8), generator=torch.Generator().manual_seed(1))
    target[0, :6] = 255  # mostly void
    whole = bootstrapped_cross_entropy(prob, target, share)
    first = bootstrapped_cross_entropy(prob[:2], target[:2], share)
    second = bootstrapped_cross_entropy(prob[2:], target[2:], share)
    torch.testing.assert_close(whole, (first + second) / 2)


def test_propagated_mask_is_allowed_under_autocast_on_a_gpu() -> None:
    """
    Tensors without content, on a device that need not be there, go through CUDA's rules.

    Those refuse binary_cross_entropy, whatever the dtype: "unsafe to autocast".
    """
    from torch._subclasses.fake_tensor import FakeTensorMode

    enabled, dtype = torch.is_autocast_enabled('cuda'), torch.get_autocast_dtype('cuda')
    with FakeTensorMode(allow_non_fake_inputs=True):
        torch.set_autocast_enabled('cuda', True)
        torch.set_autocast_dtype('cuda', torch.bfloat16)
        try:
            rows = torch.empty(2, 2, 2, 8, 8, device='cuda')
            target, known = (torch.empty(*s, 8, 8, device='cuda') for s in ((2, 2), (2,)))
            assert (target @ target).dtype == torch.bfloat16, 'autocast is not at work'
            loss = propagated_mask(rows, target, known, torch.empty(2, 2, device='cuda'))
        finally:
            torch.set_autocast_enabled('cuda', enabled)
            torch.set_autocast_dtype('cuda', dtype)
    assert loss.dtype == torch.float32
