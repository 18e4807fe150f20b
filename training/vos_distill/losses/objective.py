# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
What is minimised: the student's loss over a batch of clips, alone or beside a teacher.

Every loss is a mean over clips or is divided by a number that all processes share, so that equal
shares of a batch add up to the whole one.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn, Tensor
import torch.nn.functional as F

from vos_distill.data import VOID
from vos_distill.data.clips import Clips, torch_generator
from vos_distill.losses.distillation import (
    attention_loss,
    boundary_band,
    inter_object_loss,
    intra_object_loss,
    logit_distillation,
    representation_loss,
    sample_pixels,
)
from vos_distill.losses.mask_losses import (
    bootstrapped_cross_entropy,
    dice,
    first_object_iou,
    propagated_mask,
)
from vos_distill.networks.aggregation import one_hot
from vos_distill.networks.rollout import corrupt, leak, rollout, StepOutput
from vos_distill.networks.student import Student
from vos_distill.networks.teacher import infinite_rollout
from vos_distill.networks.weights import is_infinite, load_network
from vos_distill.processes.distributed import largest, mean
from vos_distill.recipe import Recipe, TRUTH

ATTENTION = ('attention_long', 'attention_short')
ATTENTION_WARMUP = 0.1  # share of the run; CKA of two networks that match nothing yet is noise
SURE = 0.7  # a teacher's probability from which its answer is a label


@dataclass
class Teacher:
    """
    A frozen network that shows how it is done.

    :param is_infinite: it keeps every frame, with the true masks.
    """

    network: Student
    is_infinite: bool

    @classmethod
    def load(cls, path: Path) -> 'Teacher':
        """
        Read `student.pt` of the run that trained it, or an exported model's folder.

        :raises ValueError: as `load_network`.
        """
        network, state = load_network(path)
        return cls(network.requires_grad_(False), is_infinite(state))

    @torch.no_grad()
    def outputs(
        self, images: Tensor, masks: Tensor, exists: Tensor, *, alone: bool = False
    ) -> list[StepOutput]:
        """
        Segment a batch of clips.

        :param images: (B, T, 3, S, S) uint8.
        :param masks: (B, T, K, S, S), true on every frame.
        :param alone: use the masks of frame 0 only.
        """
        normalised = self.network.normalise(images)
        if self.is_infinite:
            known = torch.full(images.shape[:2], not alone, device=images.device)
            return infinite_rollout(self.network, normalised, masks, known, exists)
        is_known = torch.full((len(images),), not alone, device=images.device)
        return rollout(
            self.network, normalised, masks[:, 0], exists, None, (is_known, masks[:, 1])
        )


def pseudo_labels(labels: Tensor, teacher_outputs: list[StepOutput], chosen: Tensor) -> Tensor:
    """
    Put the teacher's answer in the place of the labels; void where it is not sure.

    :param labels: (B, T, S, S); frame 0 stays.
    :param teacher_outputs: frames 1 to T - 1.
    :param chosen: (B,) bool, clips that this is done to.
    """
    labels = labels.clone()
    for teacher_out in teacher_outputs:
        prob = F.interpolate(
            teacher_out.prob, scale_factor=4, mode='bilinear', align_corners=False
        )
        sure, found = prob.max(1)
        found = torch.where(sure < SURE, VOID, found)
        labels[:, teacher_out.frame] = torch.where(
            chosen[:, None, None], found, labels[:, teacher_out.frame]
        )
    return labels


def truth_outputs(outputs: list[StepOutput], labels: Tensor) -> list[StepOutput]:
    """
    Give what a teacher would that is always right and always sure: the control of distillation.

    :param outputs: of the student; where the labels are void its own answer is taken, so that
        nothing is learnt there.
    :param labels: (B, T, S, S).
    """
    found = []
    for out in outputs:
        grid = labels[:, out.frame, 2::4, 2::4]
        void = grid == VOID
        sure = F.one_hot(torch.where(void, 0, grid), out.prob.shape[1]).movedim(-1, 1)
        prob = torch.where(void[:, None], out.prob.detach(), sure.to(out.prob.dtype))
        found.append(StepOutput(out.frame, out.logits.detach(), prob, {}))
    return found


def ignorant_from(draws: list[torch.Generator], images: Tensor, share: float) -> Tensor | None:
    """
    Draw the frames on which the prompted row holds the most recent frame.

    :param draws: B of them.
    :param images: (B, T, ...).
    :param share: of the clips, from a frame of theirs on to the last one.
    :return: (B, T) bool; None where there are none.
    """
    if share == 0:
        return None
    count = images.shape[1]
    chosen, start = torch.stack([torch.rand(2, generator=d) for d in draws]).unbind(1)
    first = 2 + (start * max(count - 2, 1)).long()
    rows = (torch.arange(count) >= first[:, None]) & (chosen < share)[:, None]
    return rows.to(images.device)


def confused_from(
    draws: list[torch.Generator], images: Tensor, exists: Tensor, share: float
) -> tuple[Tensor, Tensor] | None:
    """
    Draw how much the prompted rows of two objects are taken for each other.

    :param draws: B of them.
    :param images: (B, T, ...).
    :param exists: (B, K) 1 where the object slot is in use.
    :param share: of the clips, from a frame of theirs on to the last one.
    :return: as `rollout` takes it: (B, T) and (B, K); None where there are none.
    """
    if share == 0:
        return None
    count = images.shape[1]
    chosen, start, amount = torch.stack([torch.rand(3, generator=d) for d in draws]).unbind(1)
    first = 2 + (start * max(count - 2, 1)).long()
    rows = (torch.arange(count) >= first[:, None]) & (chosen < share)[:, None]
    partner = torch.arange(exists.shape[1]).repeat(len(draws), 1)
    for line, used in zip(partner, exists.cpu() > 0, strict=True):
        line[used] = line[used].roll(1)  # an object that is alone is its own
    return (rows * amount[:, None]).to(images.device), partner.to(images.device)


def relation_loss(
    outputs: list[StepOutput],
    teacher_outputs: list[StepOutput],
    exists: Tensor,
    recipe: Recipe,
    progress: float,
) -> Tensor:
    """
    Give the weighted sum of the losses on attention maps and on relations of probabilities.

    :param exists: (B, K) 1 where the object slot is in use.
    :param progress: 0..1, the share of the run that is done.
    :raises ValueError: attention is to be compared and one of both has no maps.
    """
    total = torch.zeros((), device=outputs[0].logits.device)
    warm = min(1.0, progress / ATTENTION_WARMUP)
    for student_out, teacher_out in zip(outputs, teacher_outputs, strict=True):
        if recipe.attention_weight:
            names = [n for n in ATTENTION if n in student_out.extras and n in teacher_out.extras]
            if not names:
                raise ValueError('attention_weight needs attention maps of student and teacher')
            parts = [attention_loss(student_out.extras[n], teacher_out.extras[n]) for n in names]
            total = total + warm * recipe.attention_weight * sum(parts) / len(parts)
        if recipe.intra_weight:
            total = total + recipe.intra_weight * intra_object_loss(
                student_out.prob, teacher_out.prob
            )
        if recipe.inter_weight:
            inter = inter_object_loss(student_out.prob, teacher_out.prob, exists)
            total = total + recipe.inter_weight * inter
    return total / len(outputs)


class Drawn(NamedTuple):
    """
    As many pixels of each of P objects.

    :param clip: (P,) and
    :param slot: (P,) say which objects.
    :param pixels: (P, N) indices into the flattened grid.
    :param labels: (P, N) 1 where a pixel is of the object, else 0.
    """

    clip: Tensor
    slot: Tensor
    pixels: Tensor
    labels: Tensor

    def of(self, features: Tensor) -> Tensor:
        """Pick from (B, K, d, h * w); gives (P, N, d)."""
        picked = features[self.clip, self.slot]  # (P, d, h * w)
        index = self.pixels[:, None].expand(-1, picked.shape[1], -1)
        return picked.gather(2, index).transpose(1, 2)


def _pixels_of_objects(
    grid: Tensor, void: Tensor, slots: int, recipe: Recipe, draws: list[torch.Generator]
) -> list[Drawn]:
    """Draw pixels of every object of a frame; those with the same number of them together."""
    found: dict[int, list[tuple[int, int, Tensor, Tensor]]] = {}
    for clip, draw in enumerate(draws):
        for slot in range(slots):
            mask = grid[clip] == slot + 1
            chosen = sample_pixels(
                mask, recipe.pixels, boundary=recipe.boundary, void=void[clip], generator=draw
            )
            if chosen is not None:
                one = (clip, slot, chosen, mask.flatten()[chosen].long())
                found.setdefault(len(chosen), []).append(one)
    drawn = []
    for same in found.values():
        clips, of, pixels, labels = zip(*same)
        where = torch.tensor([clips, of], device=grid.device)
        drawn.append(Drawn(where[0], where[1], torch.stack(pixels), torch.stack(labels)))
    return drawn


def distillation_loss(
    outputs: list[StepOutput],
    teacher_outputs: list[StepOutput],
    labels: Tensor,
    recipe: Recipe,
    draws: list[torch.Generator],
) -> Tensor:
    """
    Give the weighted sum of boundary logit distillation and representation distillation.

    :param labels: (B, T, S, S); read at the stride of the features.
    :param draws: B of them, for the choice of pixels.
    """
    logit = representation = torch.zeros((), device=labels.device)
    pairs = 0
    for student_out, teacher_out in zip(outputs, teacher_outputs, strict=True):
        grid = labels[:, student_out.frame, 2::4, 2::4]
        void = grid == VOID
        grid = torch.where(void, 0, grid)
        where = boundary_band(grid) if recipe.boundary else None
        logit = logit + logit_distillation(
            student_out.prob, teacher_out.prob, where, recipe.temperature
        )
        if not recipe.representation_weight:
            continue
        b, k = student_out.logits.shape[:2]
        z_s = student_out.extras['decoder'].unflatten(0, (b, k)).flatten(3)
        z_t = teacher_out.extras['decoder'].unflatten(0, (b, k)).flatten(3)
        for drawn in _pixels_of_objects(grid, void, k, recipe, draws):
            pairs += len(drawn.clip)
            losses = representation_loss(
                drawn.of(z_s), drawn.of(z_t), drawn.labels, omega=recipe.omega, normalizer='none'
            )
            representation = representation + losses.sum()
    shared = mean({'pairs': pairs}, labels.device)['pairs']  # so that every pair weighs the same
    logit = recipe.logit_weight * logit / len(outputs)
    return logit + recipe.representation_weight * representation / (shared or 1.0)


def clip_loss(
    student: Student,
    clips: Clips,
    recipe: Recipe,
    progress: float,
    teacher: Teacher | None = None,
) -> tuple[Tensor, dict[str, float]]:
    """
    Roll the student out over a batch of clips and judge every predicted frame.

    :param progress: 0..1, the share of the run that is done.
    :param teacher: adds the distillation terms, up to `recipe.teacher_until`.
    :return: the loss, and its parts for the log.
    """
    if progress >= recipe.teacher_until:
        teacher = None
    images, labels = clips.images, clips.labels.long()
    weights = None
    if clips.confidence is not None and bool((clips.confidence != 255).any()):
        weights = clips.confidence.float() / 255  # (B, T, S, S)
    draws = [torch_generator(recipe.seed, int(number)) for number in clips.number]
    # as many slots as one process would have: BatchNorm sees the empty ones too
    first = torch.where(labels[:, 0] == VOID, 0, labels[:, 0])
    objects = largest(max(1, int(first.max())), labels.device)
    labels = torch.where((labels > objects) & (labels != VOID), 0, labels)
    masks = one_hot(labels, objects)  # (B, T, K, S, S)
    exists = (masks[:, 0].flatten(2).sum(2) > 0).float()
    student.draw(draws)
    if recipe.memory == 'infinite':
        outputs = infinite_rollout(student, student.normalise(images), masks, None, exists)
    else:
        spoilt = torch.cat([corrupt(m[None], d) for m, d in zip(masks[:, 1], draws, strict=True)])
        given = clips.jumped
        if recipe.spoil_revealed > 0:
            missed = torch.stack([torch.rand((), generator=d) for d in draws])
            missed = (missed < recipe.spoil_revealed).to(images.device)
            given = given | (clips.revealed & missed)
        if recipe.leak > 0:
            leaks = torch.stack([torch.rand((), generator=d) for d in draws]) < recipe.leak
            leaks = leaks.to(images.device) & (exists.sum(1) > 1)
            before = torch.where(given[:, None, None, None], spoilt, masks[:, 1])
            leaked = torch.stack([leak(m, d) for m, d in zip(before, draws, strict=True)])
            spoilt = torch.where(leaks[:, None, None, None], leaked, spoilt)
            given = given | leaks
        drop = torch.stack([torch.rand(images.shape[1], generator=d) for d in draws])
        outputs = rollout(
            student,
            student.normalise(images),
            masks[:, 0],
            exists,
            (drop < recipe.drop_recent).to(images.device),
            (given, spoilt),
            ignorant_from(draws, images, recipe.drop_prompted),
            recipe.fall_back,
            confused_from(draws, images, exists, recipe.confuse_prompted),
        )
    teacher_outputs: list[StepOutput] = []
    if teacher is not None:
        teacher_outputs = teacher.outputs(images, masks, exists, alone=recipe.labels != 'gt')
        if recipe.labels != 'gt':
            heads = torch.stack([torch.rand((), generator=d) for d in draws]).to(images.device)
            chosen = heads < (1.0 if recipe.labels == 'teacher' else 0.5)
            labels = pseudo_labels(labels, teacher_outputs, chosen)
            masks = one_hot(labels, objects)
    elif recipe.teacher == TRUTH and progress < recipe.teacher_until:
        teacher_outputs = truth_outputs(outputs, labels)
    ramp = (progress - recipe.hard_from) / max(recipe.hard_until - recipe.hard_from, 1e-6)
    share = 1.0 - (1.0 - recipe.hard_share) * min(max(ramp, 0.0), 1.0)
    entropy = overlap = carried = torch.zeros((), device=images.device)
    hits = 0.0
    for out in outputs:
        target = labels[:, out.frame]
        prob = F.interpolate(out.prob, scale_factor=4, mode='bilinear', align_corners=False)
        weight = None if weights is None else weights[:, out.frame]
        entropy = entropy + bootstrapped_cross_entropy(
            prob, target, share, VOID, recipe.poly, weight
        )
        known = has_class = (target != VOID).float()  # (B, S, S)
        truth = masks[:, out.frame]
        if weight is not None:
            known = known * weight
        overlap = overlap + dice(prob[:, 1:], truth, known, exists)
        if 'propagated' in out.extras:
            if weight is not None:
                truth = truth * weight[:, None]
            # (B, K, h4, w4), (B, h4, w4)
            coarse, *areas = (F.avg_pool2d(x, 4) for x in (truth, known, has_class))
            rows = out.extras['propagated']  # (B, K, 2, h4, w4)
            carried = carried + propagated_mask(rows, coarse, areas[0], exists, areas[1])
        hits += first_object_iou(prob.detach(), target, VOID)
    n = len(outputs)
    loss = (entropy + recipe.dice_weight * overlap + recipe.propagated_weight * carried) / n
    distilled = torch.zeros((), device=images.device)
    if teacher_outputs:
        distilled = distillation_loss(outputs, teacher_outputs, labels, recipe, draws)
        distilled = distilled + relation_loss(outputs, teacher_outputs, exists, recipe, progress)
        loss = recipe.segmentation_weight * loss + distilled
    return loss, {
        'distil': float(distilled.detach()),
        'ce': float(entropy.detach()) / n,
        'dice': float(overlap.detach()) / n,
        'carried': float(carried.detach()) / n,
        'iou': hits / n,
    }


class Objective(nn.Module):
    """
    The whole loss as one call of one module, which DistributedDataParallel can follow.

    :param teacher: no part of the module, as nothing of it is trained.
    """

    def __init__(self, student: Student, recipe: Recipe, teacher: Teacher | None) -> None:
        super().__init__()
        self.student, self.recipe, self.teacher = student, recipe, teacher

    def forward(self, clips: Clips, progress: float) -> tuple[Tensor, dict[str, float]]:
        """See `clip_loss`."""
        return clip_loss(self.student, clips, self.recipe, progress, self.teacher)
