# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The infinite-memory teacher: STCN (Cheng et al., NeurIPS 2021) and narrower relatives.

A teacher is the same network as a paper-shaped student, with larger encoders and with as many
memory frames as it is given: `segment` reads any number of rows.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn, Tensor
import torch.nn.functional as F

from vos_distill.networks.aggregation import others_of, soft_aggregate
from vos_distill.networks.rollout import StepOutput
from vos_distill.networks.student import Features, Student

# Prefixes of the public STCN checkpoint and of ours, in the order in which they are tried.
_STCN_NAMES = (
    ('key_encoder.res2.', 'backbone.layer1.'),
    ('key_encoder.', 'backbone.'),
    ('value_encoder.fuser.', 'fuser.'),
    ('value_encoder.', 'value_backbone.'),
    ('key_proj.key_proj.', 'key_proj.'),
    ('key_comp.', 'query_value.'),
    ('decoder.compress.', 'compress.'),
    ('decoder.up_16_8.out_conv.', 'up8.block.'),
    ('decoder.up_16_8.', 'up8.'),
    ('decoder.up_8_4.out_conv.', 'up4.block.'),
    ('decoder.up_8_4.', 'up4.'),
    ('decoder.pred.', 'predict.'),
)
_STCN_PARTS = (
    ('attention.ChannelGate.mlp.1.', 'attention.mlp.0.'),
    ('attention.ChannelGate.mlp.3.', 'attention.mlp.2.'),
    ('attention.SpatialGate.spatial.conv.', 'attention.spatial.'),
)


def from_stcn(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """
    Rename the entries of a public STCN checkpoint to ours.

    :param weights: the checkpoint's state dict.
    :return: a state dict for the teacher `stcn`.
    :raises ValueError: an entry is not known; it is named.
    """
    renamed = {}
    for name, tensor in weights.items():
        ours = ''
        for theirs, prefix in _STCN_NAMES:
            if name.startswith(theirs):
                ours = prefix + name.removeprefix(theirs)
                break
        if not ours:
            raise ValueError(f'{name} is not part of an STCN checkpoint')
        for theirs, part in _STCN_PARTS:
            ours = ours.replace(theirs, part)
        if ours.startswith(('fuser.', 'compress.', 'up8.', 'up4.')):
            ours = ours.replace('.downsample.', '.skip.')
        renamed[ours] = tensor
    return renamed


def load_stcn(teacher: nn.Module, path: Path) -> None:
    """
    Load a public STCN checkpoint (multi-object, `stcn.pth`) that the user has.

    :raises ValueError: not readable, or another architecture.
    """
    try:
        weights = torch.load(path, map_location='cpu', weights_only=True)
        teacher.load_state_dict(from_stcn(weights))
    except (OSError, RuntimeError) as error:
        raise ValueError(f'{path}: not an STCN checkpoint ({error})') from error


def infinite_rollout(
    teacher: Student,
    images: Tensor,
    masks: Tensor,
    known: Tensor | None = None,
    exists: Tensor | None = None,
) -> list[StepOutput]:
    """
    Segment frames 1..T-1 with all earlier frames in memory.

    The masks in memory are the true ones where they are known (cleaner targets for a student)
    and the teacher's own elsewhere.

    :param images: (B, T, 3, H, W), normalised for the teacher.
    :param masks: (B, T, K, H, W) true masks in [0, 1]; only frame 0 need be right.
    :param known: (B, T) bool, frames whose masks are true; None = frame 0 alone.
    :param exists: (B, K) 1 where the object slot is in use.
    """
    b, t, k = masks.shape[:3]
    every: Features = teacher.encode_image(images.flatten(0, 1))
    frames = [{n: x.unflatten(0, (b, t))[:, i] for n, x in every.items()} for i in range(t)]
    coarse = F.avg_pool2d(masks.flatten(0, 2)[:, None], 4)[:, 0].unflatten(0, (b, t, k))
    keys = [frames[0]['key'].flatten(2)]
    values = [teacher.encode_mask(frames[0], coarse[:, 0], others_of(coarse[:, 0]))]
    outputs = []
    for index in range(1, t):
        # before there is a later frame, the first one stands in for it, as on the robot
        later = slice(1 if index > 1 else 0, None)
        logits, extras = teacher.segment(
            frames[index],
            torch.stack([keys[0], *keys[later]], dim=1),
            torch.stack([values[0], *values[later]], dim=2),
        )
        if exists is not None:
            logits = logits.masked_fill(exists[:, :, None, None] == 0, -20.0)
        prob = soft_aggregate(logits)
        outputs.append(StepOutput(index, logits, prob, extras))
        object_prob = prob[:, 1:]
        if known is not None:
            object_prob = torch.where(
                known[:, index, None, None, None], coarse[:, index], object_prob
            )
        keys.append(frames[index]['key'].flatten(2))
        values.append(teacher.encode_mask(frames[index], object_prob, others_of(object_prob)))
    return outputs
