# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
What a student learns from its teacher.

MobileVOS (Miles et al., CVPR 2023):

`representation_loss` is the paper's equation 1 and 2: knowledge distillation and supervised
contrastive learning are the same loss with another target matrix. Pixels are drawn at object
boundaries, where segmentation errors are. Where the paper is silent, the choice taken is
named in the docstring and in `docs/training.md`.

Distillation of deformable attention (Truong et al., arXiv 2401.13937): `attention_loss` compares
attention maps whatever they attend to, `intra_object_loss` and `inter_object_loss` compare class
distributions by their relations only (after DIST, Huang et al., NeurIPS 2022).
"""

from typing import Literal

import torch
from torch import Tensor
import torch.nn.functional as F

EPS = 1e-8
LOG_EPS = 1e-20  # keeps log(0) out and nothing else, see losses.EPS
VARIES = 1e-6  # variance of a teacher's probabilities from which they say something
Reduction = Literal['global', 'anchor']
Normalizer = Literal['none', 'rows', 'entries']


def gram(z: Tensor) -> Tensor:
    """
    Give the cosine similarity of all pairs of rows, in float32 under autocast too.

    :param z: (..., N, d) features of N pixels.
    :return: (..., N, N), the diagonal is 1.
    """
    z = F.normalize(z.float(), dim=-1, eps=EPS)
    with torch.autocast(z.device.type, enabled=False):  # it would multiply in bfloat16
        return z @ z.transpose(-1, -2)


def same_class(labels: Tensor) -> Tensor:
    """
    Give Y Y^T of one-hot labels: 1 where two pixels belong to the same object.

    :param labels: (..., N) integer ids.
    :return: (..., N, N).
    """
    return (labels[..., :, None] == labels[..., None, :]).float()


def representation_loss(
    student: Tensor,
    teacher: Tensor | None,
    labels: Tensor | None = None,
    *,
    omega: float = 1.0,
    reduction: Reduction = 'global',
    normalizer: Normalizer = 'rows',
) -> Tensor:
    """
    Match pixel-pair similarities: (log2 |C_s|^2 - log2 |C_s * T|^2) / n, equation 1.

    T = omega C_t + (1 - omega) Y Y^T, equation 2. omega = 1 is distillation only, omega = 0
    supervised contrastive learning only. With omega = 1 the bracket equals H2(T) - I2(S; T)
    of the matrix-based Renyi entropy of order 2, so minimising it maximises what the two
    representations share. The widths d_s and d_t may differ; N must be well above d_s
    (orthogonal rows give 0 for every target).

    :param student: (..., N, d_s).
    :param teacher: (..., N, d_t), gets no gradient; None is allowed for omega = 0.
    :param labels: (..., N) ids; None is allowed for omega = 1.
    :param reduction: `global`, one logarithm of the whole sum, as the paper's slide prints it;
        `anchor`, the mean over rows of a row's logarithm, the shape of SupCon.
    :param normalizer: what the slide's |C_s| is: 1, the N rows (default), or the N^2 entries.
    :return: (...) >= 0, a scalar for one set of pixels.
    """
    c_s = gram(student)
    target = torch.zeros_like(c_s)
    if omega > 0:
        if teacher is None:
            raise ValueError('omega > 0 needs the features of the teacher')
        with torch.no_grad():
            target = target + omega * gram(teacher)
    if omega < 1:
        if labels is None:
            raise ValueError('omega < 1 needs the labels of the pixels')
        target = target + (1 - omega) * same_class(labels)
    everything, matching = c_s.square(), (c_s * target).square()
    if reduction == 'anchor':
        rows = torch.log2(everything.sum(-1) + EPS) - torch.log2(matching.sum(-1) + EPS)
        return rows.mean(-1)
    whole, part = everything.sum((-2, -1)), matching.sum((-2, -1))
    loss = torch.log2(whole + EPS) - torch.log2(part + EPS)
    n = c_s.shape[-1]
    return loss / {'none': 1, 'rows': n, 'entries': n * n}[normalizer]


def boundary_band(labels: Tensor, radius: int = 1) -> Tensor:
    """
    Mark the pixels next to a change of label (morphological gradient).

    :param labels: (..., h, w) integer ids on the grid of the features.
    :param radius: half width of the window; 1 is 3x3.
    :return: (..., h, w) bool.
    """
    flat = labels.float().reshape(-1, 1, *labels.shape[-2:])
    size = 2 * radius + 1
    high = F.max_pool2d(flat, size, 1, radius)
    low = -F.max_pool2d(-flat, size, 1, radius)
    return (high > low).reshape(labels.shape)


def sample_pixels(
    mask: Tensor,
    count: int,
    *,
    radius: int = 1,
    boundary: bool = True,
    void: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Tensor | None:
    """
    Draw pixels of one object's mask, at its boundary first.

    :param mask: (h, w) bool, the object.
    :param count: pixels wanted; at most h * w.
    :param boundary: False draws from everywhere (for ablation).
    :param void: (h, w) bool, pixels without a class, of which none is drawn.
    :return: (n,) int64 indices into the flattened mask without repetition, both classes among
        them; None where the object is absent or fills the frame.
    """
    flat = mask.flatten()
    known = torch.ones_like(flat) if void is None else ~void.flatten()
    inside, outside = int((flat & known).sum()), int((~flat & known).sum())
    if inside == 0 or outside == 0:
        return None
    count = min(count, inside + outside)
    band = boundary_band(mask, radius).flatten() if boundary else torch.zeros_like(flat)
    order = torch.rand(flat.numel(), generator=generator).to(flat.device) + band.float()
    order = order.masked_fill(~known, -1.0)
    chosen = order.topk(count).indices
    picked = flat[chosen]
    if bool(picked.any()) and not bool(picked.all()):
        return chosen
    # so few were asked for that one class is missing: put one pixel of it in the last place
    missing = ~picked[0]
    candidates = ((flat == missing) & known).nonzero()[:, 0]
    at = int(torch.randint(len(candidates), (1,), generator=generator))
    chosen[-1] = candidates[at]
    return chosen


def logit_distillation(
    student: Tensor, teacher: Tensor, where: Tensor | None = None, temperature: float = 0.1
) -> Tensor:
    """
    Give KL(teacher || student) of the class distributions, mean over pixels, then over frames.

    A temperature below 1 sharpens, so the student follows the teacher's decision more than its
    doubt. The gradient scales with 1 / temperature; there is no temperature^2 factor.

    :param student: (B, C, h, w) probabilities after aggregation.
    :param teacher: (B, C, h, w), the same; gets no gradient.
    :param where: (B, h, w) bool, pixels that count (the boundary band); None is all.
    """
    log_s = (student.float().clamp_min(LOG_EPS).log() / temperature).log_softmax(1)
    with torch.no_grad():
        log_t = (teacher.float().clamp_min(LOG_EPS).log() / temperature).log_softmax(1)
    kl = (log_t.exp() * (log_t - log_s)).sum(1)
    if where is None:
        return kl.mean()
    kl = (kl * where).flatten(1).sum(1) / where.flatten(1).sum(1).clamp(min=1)
    return kl.mean()


def attention_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """
    Give 1 - CKA of two attention maps, mean over the batch (linear kernel).

    Centred kernel alignment (Kornblith et al., ICML 2019) compares how alike the queries are to
    each other, so the two may attend to different places and to different numbers of them:
    CKA = ||S' H T||^2 / (||S' H S|| ||T' H T||), H centres over the queries.

    :param student: (B, N, M_s) attention of N queries, rows sum to 1.
    :param teacher: (B, N, M_t); gets no gradient.
    :raises ValueError: another number of queries.
    """
    if student.shape[:2] != teacher.shape[:2]:
        raise ValueError(
            f'attention maps of {student.shape[1]} and {teacher.shape[1]} queries cannot be '
            'compared; train both at the same input size'
        )
    s = student.float() - student.float().mean(1, keepdim=True)
    with torch.autocast(s.device.type, enabled=False):  # it would multiply in bfloat16
        with torch.no_grad():
            t = teacher.float() - teacher.float().mean(1, keepdim=True)
            norm_t = (t.transpose(1, 2) @ t).flatten(1).norm(dim=1)
        norm_s = (s.transpose(1, 2) @ s).flatten(1).norm(dim=1)
        shared = (s.transpose(1, 2) @ t).flatten(1).square().sum(1)
    return (1 - shared / (norm_s * norm_t).clamp_min(EPS)).mean()


def pearson_distance(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """
    Give 1 - Pearson's correlation along the last dimension.

    :param student: (..., n).
    :param teacher: (..., n); gets no gradient.
    :return: distances (...) in 0..2, and bool (...): False where the teacher hardly varies, so
        that there is nothing to correlate with.
    """
    s = student.float() - student.float().mean(-1, keepdim=True)
    with torch.no_grad():
        t = teacher.float() - teacher.float().mean(-1, keepdim=True)
        varies = t.square().mean(-1) > VARIES
    scale = (s.square().sum(-1) * t.square().sum(-1)).clamp_min(EPS).sqrt()
    return 1 - (s * t).sum(-1) / scale, varies


def intra_object_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """
    Give the mean Pearson distance between both maps of an object, mean over clips.

    :param student: (B, C, h, w) probabilities after aggregation, background first.
    :param teacher: (B, C, h, w), the same; channels that hardly vary do not count.
    """
    distance, varies = pearson_distance(student.flatten(2), teacher.flatten(2))
    return ((distance * varies).sum(1) / varies.sum(1).clamp(min=1)).mean()


def inter_object_loss(student: Tensor, teacher: Tensor, exists: Tensor) -> Tensor:
    """
    Give the mean Pearson distance between both distributions over the objects, pixel by pixel.

    The mean over the pixels of a clip, then over clips. Only the background and the objects that
    the clip has take part. A clip with one object counts 0: two numbers that sum to 1 always
    correlate with +1 or -1.

    :param student: (B, C, h, w) probabilities after aggregation, background first.
    :param teacher: (B, C, h, w), the same.
    :param exists: (B, C - 1) 1 where the object slot is in use, else 0.
    """
    used = torch.cat([torch.ones_like(exists[:, :1]), exists], 1)[:, :, None] > 0  # (B, C, 1)
    channels = used.sum(1, keepdim=True)  # (B, 1, 1)

    def centred(prob: Tensor) -> Tensor:
        flat = prob.float().flatten(2) * used
        return (flat - flat.sum(1, keepdim=True) / channels) * used

    s = centred(student)
    with torch.no_grad():
        t = centred(teacher)
        norm_t = t.square().sum(1)
        # one object has no order: its two numbers always correlate with +1 or -1
        varies = (norm_t / channels[:, 0] > VARIES) & (channels[:, 0] > 2)
    scale = (s.square().sum(1) * norm_t).clamp_min(EPS).sqrt()
    distance = 1 - (s * t).sum(1) / scale  # (B, h * w)
    return ((distance * varies).sum(1) / varies.sum(1).clamp(min=1)).mean()
