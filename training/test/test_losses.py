# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Losses and aggregation: values that can be worked out by hand."""

import math

import pytest

torch = pytest.importorskip('torch', reason='the training package needs torch')

from vos_distill.losses import (  # noqa: E402
    bootstrapped_cross_entropy,
    dice,
    poly1_cross_entropy,
    propagated_mask,
    soft_aggregate,
)


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


def test_dice_is_zero_for_the_same_mask_and_high_for_a_disjoint_one() -> None:
    mask = torch.zeros(1, 1, 10, 10)
    mask[..., :5] = 1
    assert float(dice(mask, mask)) == pytest.approx(0.0, abs=1e-6)
    assert float(dice(1 - mask, mask)) == pytest.approx(1 - 1 / 101, rel=1e-5)


def test_propagated_mask_is_finite_for_saturated_input() -> None:
    ones, zeros = torch.ones(1, 4, 4), torch.zeros(1, 4, 4)
    assert float(propagated_mask(ones, zeros)) == pytest.approx(-math.log(1e-4), rel=1e-3)


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
