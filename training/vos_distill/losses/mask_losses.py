# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Small pure losses. Shapes: B clips, K objects, (h, w) the grid of the prediction."""

import torch
from torch import Tensor

# Only log(0) is kept out. `soft_aggregate` gives no probability below 1e-14, and a pixel that is
# wrong and sure of it must keep its gradient.
EPS = 1e-20


def poly1_cross_entropy(prob: Tensor, epsilon: float) -> Tensor:
    """
    Give the cross entropy of each pixel, -log p + epsilon (1 - p) (PolyLoss, Leng et al. 2022).

    :param prob: probability of the true class, any shape.
    :param epsilon: 0 is the plain cross entropy; above, a doubtful pixel weighs more.
    """
    return -torch.log(prob.clamp(min=EPS)) + epsilon * (1 - prob)


def bootstrapped_cross_entropy(
    prob: Tensor,
    target: Tensor,
    share: float,
    ignore: int = 255,
    poly: float = 0.0,
    weight: Tensor | None = None,
) -> Tensor:
    """
    Cross entropy over the hardest pixels of every frame (STCN's bootstrapping), mean over frames.

    :param prob: (B, C, h, w) probabilities which sum to 1.
    :param target: (B, h, w) int64 class of every pixel, `ignore` where there is none.
    :param share: 0..1, share of the pixels with a class that count; 1 is the mean of all of them.
    :param poly: epsilon of `poly1_cross_entropy`.
    :param weight: (B, h, w) in [0, 1], factor on the loss of each pixel; None is 1.
    """
    known = target != ignore
    picked = prob.gather(1, target.clamp(max=prob.shape[1] - 1)[:, None])[:, 0]
    loss = poly1_cross_entropy(picked, poly) * (known if weight is None else known * weight)
    flat, pixels = loss.flatten(1), known.flatten(1).sum(1).clamp(min=1)
    if share >= 1.0:
        return (flat.sum(1) / pixels).mean()
    most = max(int(flat.shape[1] * share), 1)
    counts = (pixels.double() * share).long().clamp(1, most).tolist()  # a frame; void is easiest
    # unsorted, as only the sum is needed: half of the time on a processor
    if min(counts) == most:
        return flat.topk(most, dim=1, sorted=False).values.mean()
    hardest = [frame.topk(n, sorted=False).values.mean() for frame, n in zip(flat, counts)]
    return torch.stack(hardest).mean()


def first_object_iou(prob: Tensor, target: Tensor, ignore: int = 255) -> float:
    """
    Give the IoU of object 1 where it is the likeliest, mean over clips; for the log.

    The channels are compared one by one, as `argmax` over so few takes many times as long.

    :param prob: (B, C, h, w).
    :param target: (B, h, w) int64 class of every pixel, `ignore` where there is none.
    """
    with torch.no_grad():
        first = prob[:, 1]
        is_first = first > prob[:, 0]  # of equal ones argmax takes the lowest
        for other in range(2, prob.shape[1]):
            is_first &= first >= prob[:, other]
        is_first &= target != ignore
        truth = target == 1
        union = (is_first | truth).flatten(1).sum(1)
        both = (is_first & truth).flatten(1).sum(1)
        return float((both / union.clamp(min=1)).mean())


def mean_of_objects(loss: Tensor, exists: Tensor) -> Tensor:
    """
    Give the mean over the objects of each clip, then over clips.

    So what a clip counts does not depend on how many objects its neighbours in the batch have.

    :param loss: (B, K).
    :param exists: (B, K) 1 where the object slot is in use, else 0.
    """
    return ((loss * exists).sum(1) / exists.sum(1).clamp(min=1)).mean()


def dice(prob: Tensor, target: Tensor, known: Tensor, exists: Tensor) -> Tensor:
    """
    Give 1 - Dice coefficient, smoothing 1 (XMem), the mean of `mean_of_objects`.

    :param prob: (B, K, h, w) in [0, 1].
    :param target: (B, K, h, w) in [0, 1].
    :param known: (B, h, w) 1 where a pixel has a class, 0 where it is void; between, how much
        it counts. What a frame counts is the mean of those that are not void.
    :param exists: (B, K) 1 where the object slot is in use, else 0.
    """
    counts = known[:, None]
    p, t = ((x * counts).flatten(2) for x in (prob, target))
    score = (2 * (p * target.flatten(2)).sum(2) + 1) / (p.sum(2) + t.sum(2) + 1)
    sure = known.flatten(1).sum(1) / (known > 0).flatten(1).sum(1).clamp(min=1)
    return mean_of_objects((1 - score) * sure[:, None], exists)


def propagated_mask(
    prob: Tensor,
    target: Tensor,
    known: Tensor,
    exists: Tensor,
    area: Tensor | None = None,
) -> Tensor:
    """
    Cross entropy of masks that were carried by the affinity alone, as `mean_of_objects`.

    Written out, as CUDA's autocast refuses `binary_cross_entropy` whatever the dtype.

    :param prob: (B, K, R, h4, w4), weighted means of the masks in R rows of the memory.
    :param target: (B, K, h4, w4) in [0, 1], the area average of the true mask (0 where void).
    :param known: (B, h4, w4) in [0, 1], the area of a cell that has a class.
    :param exists: (B, K) 1 where the object slot is in use, else 0.
    :param area: (B, h4, w4) in [0, 1]; where `target` and `known` are of pixels that count less
        than 1 each, the area with a class as it would be without that. None is `known`.
    """
    p = prob.float().clamp(1e-4, 1 - 1e-4)
    inside = target.float().unsqueeze(2)
    outside = known.float().unsqueeze(1).unsqueeze(1) - inside
    loss = -(inside * p.log() + outside * (1 - p).log()).mean(2).flatten(2).sum(2)
    cells = (known if area is None else area).float().flatten(1).sum(1).clamp(min=1)
    return mean_of_objects(loss / cells.unsqueeze(1), exists)
