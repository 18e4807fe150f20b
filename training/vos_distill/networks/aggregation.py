# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Masks of several objects: which of them a pixel belongs to, and what the others cover."""

import torch
from torch import Tensor


def soft_aggregate(logits: Tensor) -> Tensor:
    """
    Merge per-object logits to one distribution a pixel (STCN; methods: p0 = prod(1 - pk)).

    :param logits: (B, K, h, w), each object against its own background.
    :return: probabilities (B, K + 1, h, w), channel 0 is the background; they sum to 1.
    """
    prob = logits.float().sigmoid()
    background = (1 - prob).prod(dim=1, keepdim=True)
    both = torch.cat([background, prob], dim=1).clamp(1e-7, 1 - 1e-7)
    return torch.logit(both).softmax(dim=1)


def others_of(masks: Tensor) -> Tensor:
    """Give, for each object, the sum of all other objects' masks, clipped to 1; (B, K, h, w)."""
    return (masks.sum(1, keepdim=True) - masks).clamp(0, 1)


def one_hot(labels: Tensor, objects: int) -> Tensor:
    """
    Split label maps into masks of the objects 1..K.

    :param labels: (..., H, W) integer ids.
    :return: (..., K, H, W) float32 in {0, 1}.
    """
    ids = torch.arange(1, objects + 1, device=labels.device).view(-1, 1, 1)
    return (labels.unsqueeze(-3) == ids).float()
