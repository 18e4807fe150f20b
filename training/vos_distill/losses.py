# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Small pure losses. Shapes: B clips, K objects, (h, w) the grid of the prediction."""

import torch
from torch import Tensor
import torch.nn.functional as F

EPS = 1e-6


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


def poly1_cross_entropy(prob: Tensor, epsilon: float) -> Tensor:
    """
    Give the cross entropy of each pixel, -log p + epsilon (1 - p) (PolyLoss, Leng et al. 2022).

    :param prob: probability of the true class, any shape.
    :param epsilon: 0 is the plain cross entropy; above, a doubtful pixel weighs more.
    """
    return -torch.log(prob.clamp(min=EPS)) + epsilon * (1 - prob)


def bootstrapped_cross_entropy(
    prob: Tensor, target: Tensor, share: float, ignore: int = 255, poly: float = 0.0
) -> Tensor:
    """
    Cross entropy over the hardest pixels of every frame (STCN's bootstrapping), mean over frames.

    :param prob: (B, C, h, w) probabilities which sum to 1.
    :param target: (B, h, w) int64 class of every pixel, `ignore` where there is none.
    :param share: 0..1, share of the pixels that count; 1 is the mean of those with a class.
    :param poly: epsilon of `poly1_cross_entropy`.
    """
    known = target != ignore
    picked = prob.gather(1, target.clamp(max=prob.shape[1] - 1)[:, None])[:, 0]
    loss = poly1_cross_entropy(picked, poly) * known
    flat = loss.flatten(1)
    if share >= 1.0:
        return (flat.sum(1) / known.flatten(1).sum(1).clamp(min=1)).mean()
    count = max(int(flat.shape[1] * share), 1)
    return flat.topk(count, dim=1, sorted=False).values.mean()


def dice(prob: Tensor, target: Tensor) -> Tensor:
    """
    Give 1 - Dice coefficient, smoothing 1 (XMem), mean over frames and objects.

    :param prob: (B, K, h, w) in [0, 1].
    :param target: (B, K, h, w) in [0, 1].
    """
    p, t = prob.flatten(2), target.flatten(2)
    score = (2 * (p * t).sum(2) + 1) / (p.sum(2) + t.sum(2) + 1)
    return (1 - score).mean()


def propagated_mask(prob: Tensor, target: Tensor) -> Tensor:
    """
    Cross entropy of a mask that was carried by the affinity alone.

    :param prob: (N, h4, w4), a weighted mean of the memory's masks.
    :param target: (N, h4, w4) in [0, 1], the area average of the true mask.
    """
    return F.binary_cross_entropy(prob.float().clamp(1e-4, 1 - 1e-4), target.float())
