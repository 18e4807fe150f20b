# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Run a student over a clip exactly as the robot will: memory = {first, most recent}."""

from dataclasses import dataclass
import math

import torch
from torch import Tensor
import torch.nn.functional as F

from vos_distill.networks.aggregation import others_of, soft_aggregate
from vos_distill.networks.student import Features, Student
from vos_ros.config import MemoryConfig

#: Mean probability below which the node does not memorise an object.
_MIN_SCORE = MemoryConfig().min_score


def corrupt(masks: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """
    Spoil masks the way a student does: too fat, too thin, a part missing, nothing at all.

    A student that has seen such a most recent frame learns to mend it from the prompted one.

    :param masks: (B, K, H, W) in [0, 1]; every clip is spoilt on its own, half of them not.
    """
    spoilt = masks.clone()
    h, w = masks.shape[-2:]
    for clip in spoilt:
        draw, size, y, x = torch.rand(4, generator=generator).tolist()
        if draw < 0.1:  # gone
            clip.zero_()
        elif draw < 0.3:  # a rectangle of it missing
            hh, ww = int((0.2 + 0.4 * size) * h), int((0.2 + 0.4 * size) * w)
            top, left = int(y * (h - hh)), int(x * (w - ww))
            clip[:, top : top + hh, left : left + ww] = 0
        elif draw < 0.5:  # fatter or thinner
            radius = 1 + int(size * 5)
            if y < 0.5:
                clip.copy_(F.max_pool2d(clip, 2 * radius + 1, 1, radius))
            else:
                clip.copy_(-F.max_pool2d(-clip, 2 * radius + 1, 1, radius))
    # fat masks may overlap; the smaller id wins, as no pixel belongs to two objects
    free = 1 - (spoilt.cumsum(1) - spoilt).clamp(0, 1)
    return spoilt * free


def leak(masks: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """
    Give a part of one object to another, as when an id creeps over a neighbour that looks alike.

    From such a most recent frame a student learns to take back what the prompted frame, or the
    rest of the body, says is not the other's.

    :param masks: (K, H, W) in [0, 1]; a clip with fewer than two visible objects stays as it is.
    """
    visible = (masks > 0.5).flatten(1).any(1).nonzero()[:, 0].tolist()
    if len(visible) < 2:
        return masks
    who, whom, angle, size = torch.rand(4, generator=generator).tolist()
    robbed = visible.pop(int(who * len(visible)))
    robber = visible[int(whom * len(visible))]
    # what lies beyond a straight line through the body
    y, x = (torch.arange(n, device=masks.device) for n in masks.shape[1:])
    turn = 2 * math.pi * angle
    along = math.cos(turn) * x + math.sin(turn) * y[:, None]
    line = along[masks[robbed] > 0.5].quantile(0.2 + 0.7 * size)
    part = masks[robbed] * (along > line)
    leaked = masks.clone()
    leaked[robbed] -= part
    leaked[robber] += part
    return leaked


@dataclass
class StepOutput:
    """
    One segmented frame.

    :param logits: (B, K, h4, w4) before aggregation.
    :param prob: (B, K + 1, h4, w4) after it.
    :param extras: what the student returned beside the logits.
    """

    frame: int
    logits: Tensor
    prob: Tensor
    extras: dict[str, Tensor]


def not_believed(prob: Tensor) -> Tensor:
    """
    Find the objects whose mask the node would not memorise, so that they fall back.

    :param prob: (B, K + 1, h4, w4), row 0 = background.
    :return: (B, K) bool: wins no cell, or those that it wins by too little.
    """
    plane = prob[:, 1:]
    wins = (plane >= prob.amax(1, keepdim=True)).to(prob.dtype)
    count = wins.sum((2, 3))
    return (plane * wins).sum((2, 3)) < _MIN_SCORE * count.clamp(min=1)


def _again_from_prompt(
    student: Student,
    features: Features,
    fell: Tensor,
    prompted: tuple[Tensor, Tensor],
    found: tuple[Tensor, dict[str, Tensor]],
) -> tuple[Tensor, dict[str, Tensor]]:
    """
    Segment some objects again with the prompted frame in both rows, as the node does.

    :param fell: (B, K) bool, those.
    :param prompted: key (B, Ck, N) and values (B, K, Cv, N).
    :param found: what `segment` gave for all.
    :return: the same, with theirs in it. Attention maps stay as they were.
    """
    logits, extras = found
    clip, slot = fell.nonzero(as_tuple=True)
    key, value = prompted[0][clip], prompted[1][clip, slot][:, None]
    alone, more = student.segment(
        {n: x[clip] for n, x in features.items()},
        torch.stack([key, key], dim=1),
        torch.stack([value, value], dim=2),
    )
    extras = dict(extras)
    if 'propagated' in more:
        extras['propagated'] = extras['propagated'].index_put(
            (clip, slot), more['propagated'][:, 0]
        )
    if 'decoder' in more:
        rows = clip * fell.shape[1] + slot
        extras['decoder'] = extras['decoder'].index_put((rows,), more['decoder'])
    return logits.index_put((clip, slot), alone[:, 0]), extras


def rollout(
    student: Student,
    images: Tensor,
    first_masks: Tensor,
    exists: Tensor | None = None,
    drop: Tensor | None = None,
    given: tuple[Tensor, Tensor] | None = None,
    ignorant: Tensor | None = None,
    fall_back: bool = False,
    confused: tuple[Tensor, Tensor] | None = None,
) -> list[StepOutput]:
    """
    Segment frames 1..T-1 of every clip with the student's own masks in its memory.

    :param images: (B, T, 3, H, W), normalised.
    :param first_masks: (B, K, H, W) masks of frame 0 in [0, 1].
    :param exists: (B, K) 1 where the object slot is in use; an unused one gets no probability.
    :param drop: (B, T) bool, frames on which the recent row holds the prompted frame instead,
        as the node's does for an object that it has lost.
    :param given: (B,) bool, clips whose frame 1 enters the memory with the masks (B, K, H, W)
        beside it, instead of with the student's own. Such a clip may have a long pause between
        frames 0 and 1, as if it had been running since.
    :param ignorant: (B, T) bool, frames on which the prompted row holds the most recent frame
        instead; such a frame's recent row is not dropped.
    :param fall_back: an object that is `not_believed` on a frame has the prompted frame in both
        rows on the next one, as in the node; the others keep the recent one.
    :param confused: (B, T) how much, 0..1, the prompted row of an object is mixed with that of
        another one, (B, K) which; as if the prompted frame took the one for the other.
    """
    b, t = images.shape[:2]
    every: Features = student.encode_image(images.flatten(0, 1))
    frames = [{n: x.unflatten(0, (b, t))[:, i] for n, x in every.items()} for i in range(t)]
    masks = F.avg_pool2d(first_masks, 4)
    first_key = frames[0]['key'].flatten(2)
    first_value = student.encode_mask(frames[0], masks, others_of(masks))
    recent_key, recent_value = first_key, first_value
    fell = None
    outputs = []
    for index in range(1, t):
        prompted_key, prompted_value = first_key, first_value
        if index > 1 and confused is not None:
            share = confused[0][:, index, None, None, None].to(first_value.dtype)
            partner = confused[1][:, :, None, None].expand_as(first_value)
            prompted_value = torch.lerp(first_value, first_value.gather(1, partner), share)
        if index > 1 and ignorant is not None:
            aged = ignorant[:, index]
            prompted_key = torch.where(aged[:, None, None], recent_key, first_key)
            prompted_value = torch.where(aged[:, None, None, None], recent_value, prompted_value)
        if index > 1 and drop is not None:
            lost = drop[:, index] if ignorant is None else drop[:, index] & ~ignorant[:, index]
            recent_key = torch.where(lost[:, None, None], first_key, recent_key)
            recent_value = torch.where(lost[:, None, None, None], first_value, recent_value)
        logits, extras = student.segment(
            frames[index],
            torch.stack([prompted_key, recent_key], dim=1),
            torch.stack([prompted_value, recent_value], dim=2),
        )
        if fell is not None and fell.any():
            prompted = (first_key, first_value)
            found = _again_from_prompt(student, frames[index], fell, prompted, (logits, extras))
            logits, extras = found
        if exists is not None:
            logits = logits.masked_fill(exists[:, :, None, None] == 0, -20.0)
        prob = soft_aggregate(logits)
        outputs.append(StepOutput(index, logits, prob, extras))
        if index + 1 < t:
            masks = prob[:, 1:]
            if index == 1 and given is not None:
                coarse = F.avg_pool2d(given[1], 4)
                masks = torch.where(given[0][:, None, None, None], coarse, masks)
            if fall_back:
                with torch.no_grad():
                    left = (1 - masks.sum(1, keepdim=True)).clamp(min=0)
                    fell = not_believed(torch.cat([left, masks], dim=1))
                    if exists is not None:
                        fell = fell & (exists > 0)
            recent_key = frames[index]['key'].flatten(2)
            recent_value = student.encode_mask(frames[index], masks, others_of(masks))
    return outputs
