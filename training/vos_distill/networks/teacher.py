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
from vos_distill.networks.backbones import norm_after
from vos_distill.networks.checkpoint import load_checkpoint, save_checkpoint
from vos_distill.networks.presets import build_teacher, count_parameters
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
    Bring the entries of a public STCN checkpoint to our names.

    The convolutions of its value encoder have biases, each before a BatchNorm with fixed
    statistics. Ours have none: what a bias adds is taken from the mean that BatchNorm subtracts,
    which is the same network.

    :param weights: the checkpoint's state dict.
    :return: a state dict for the teacher `stcn`.
    :raises ValueError: an entry is not known, or the network is one of STCN's first stage, which
        takes a single object; it is named.
    """
    renamed = {}
    for name, tensor in weights.items():
        ours = ''
        for theirs, prefix in _STCN_NAMES:
            if name.startswith(theirs):
                ours = prefix + name.removeprefix(theirs)
                break
        if not ours or not isinstance(tensor, Tensor):
            raise ValueError(f'{name} is not part of an STCN checkpoint')
        for theirs, part in _STCN_PARTS:
            ours = ours.replace(theirs, part)
        if ours.startswith(('fuser.', 'compress.', 'up8.', 'up4.')):
            ours = ours.replace('.downsample.', '.skip.')
        renamed[ours] = tensor
    first = renamed.get('value_backbone.conv1.weight')
    if first is not None and first.shape[1] == 4:
        raise ValueError(
            "its value encoder takes one object: a network of STCN's stage 0 (static images); "
            'take one of a later stage, such as s03 or s012'
        )
    for name in [n for n in renamed if n.startswith('value_backbone.') and n.endswith('.bias')]:
        conv = name.removesuffix('.bias')
        weight = renamed.get(f'{conv}.weight')
        if weight is not None and weight.ndim == 4:  # else of a BatchNorm
            mean = f'{norm_after(conv)}.running_mean'
            if mean in renamed:
                renamed[mean] = renamed[mean] - renamed.pop(name)
    return renamed


def load_stcn(teacher: nn.Module, path: Path) -> None:
    """
    Load a public STCN checkpoint (multi-object, `stcn.pth`) that the user has.

    :param path: of a network that STCN's code has saved, or of a checkpoint to resume from, which
        holds one.
    :raises ValueError: not readable, or another architecture; one line that names the path.
    """
    state = load_checkpoint(path)
    network = state.get('network', state)
    try:
        renamed = from_stcn(network)
        _check_shapes(renamed, teacher.state_dict())
    except (ValueError, AttributeError) as error:
        raise ValueError(f'{path}: not an STCN checkpoint: {error}') from error
    teacher.load_state_dict(renamed, strict=False)


def _check_shapes(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Refuse weights that are not all of a network's, and no more."""
    for name, tensor in expected.items():
        # counts batches, which nothing reads; files from before torch 0.4.1 have none
        if name.endswith('num_batches_tracked'):
            continue
        if name not in found:
            raise ValueError(f'it lacks {name}')
        if found[name].shape != tensor.shape:
            raise ValueError(
                f'{name} is {tuple(found[name].shape)}, expected {tuple(tensor.shape)}'
            )
    if surplus := sorted(set(found) - set(expected)):
        raise ValueError(f'it has {surplus[0]} besides')


def import_stcn(path: Path, out: Path) -> int:
    """
    Make a public STCN checkpoint a file that `teacher:` in a recipe takes.

    :param path: see `load_stcn`.
    :param out: `student.pt`-like file to write.
    :return: number of parameters.
    :raises ValueError: as `load_stcn`.
    :raises OSError: it cannot be written.
    """
    teacher = build_teacher('stcn')
    load_stcn(teacher, path)
    state = {
        'student': teacher.state_dict(),
        'preset': 'stcn',
        'step': 0,
        'seconds': 0.0,
        # read by `is_infinite`
        'recipe': {'preset': 'stcn', 'memory': 'infinite', 'imported': path.name},
    }
    save_checkpoint(out, state)
    return count_parameters(teacher)


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
