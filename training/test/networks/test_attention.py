# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Attention by squared distance: what it computes, and that it is never full of denormals."""

import pytest
import torch

from vos_distill.networks.attention import attend, closeness
from vos_distill.networks.presets import build_student, PRESETS

DENORMAL = torch.finfo(torch.float32).tiny


def keys(spread: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Query (2, 8, 30) and memory (2, 8, 50)."""
    made = torch.Generator().manual_seed(1)
    return (
        spread * torch.randn(2, 8, 30, generator=made),
        spread * torch.randn(2, 8, 50, generator=made),
    )


def test_closeness_is_the_square_of_the_query_less_the_squared_distance() -> None:
    query, memory = keys(1.0)
    distance = torch.cdist(query.transpose(1, 2).double(), memory.transpose(1, 2).double())
    expected = query.square().sum(1)[..., None] - distance.square()
    torch.testing.assert_close(closeness(query, memory).double(), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize('spread', [0.1, 1.0, 5.0])
def test_attention_is_the_softmax(spread: float) -> None:
    query, memory = keys(spread)
    dot = closeness(query, memory).requires_grad_()
    torch.testing.assert_close(attend(dot), dot.softmax(-1), atol=1e-7, rtol=0)
    torch.testing.assert_close(attend(dot, dot.amax(-1)), attend(dot), atol=0, rtol=0)
    weight = torch.arange(50.0)
    (slope,) = torch.autograd.grad((attend(dot) * weight).sum(), dot)
    (plain,) = torch.autograd.grad((dot.softmax(-1) * weight).sum(), dot)
    torch.testing.assert_close(slope, plain, atol=1e-5, rtol=0)


def test_cells_that_are_far_apart_give_no_denormal_weights() -> None:
    dot = closeness(*keys(3.3))
    plain, weights = dot.softmax(-1), attend(dot)
    assert ((plain > 0) & (plain < DENORMAL)).any()  # else this would test nothing
    assert (weights >= DENORMAL).all()


@pytest.mark.parametrize('preset', sorted(PRESETS))
def test_no_student_reads_its_memory_with_denormal_weights(preset: str) -> None:
    """A wide picture whose cells differ: 8:1, as a line camera sends it."""
    student = build_student(preset).eval()
    seen: list[torch.Tensor] = []
    plain = torch.Tensor.softmax

    def looked_at(dot: torch.Tensor, dim: int) -> torch.Tensor:
        seen.append(plain(dot, dim))
        return seen[-1]

    image = torch.rand(1, 3, 32, 256, generator=torch.Generator().manual_seed(2))
    masks = torch.zeros(1, 2, 8, 64)
    masks[:, 0, :, :20], masks[:, 1, :, 40:50] = 1, 1
    with torch.no_grad(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.Tensor, 'softmax', looked_at)
        features = student.encode_image(image)
        features['key'] = features['key'] * 40  # far apart
        value = student.encode_mask(features, masks, masks.flip(1))
        key = features['key'].flatten(2)[:, None].expand(-1, 2, -1, -1)
        student.segment(features, key, value[:, :, None].expand(-1, -1, 2, -1, -1))
    assert seen
    for weights in seen:
        assert (weights >= DENORMAL).all()
