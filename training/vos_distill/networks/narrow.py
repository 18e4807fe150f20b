# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
A narrower network out of a trained one: where its training starts, instead of from nothing.

Structured pruning by the norms of the weights (Li et al., "Pruning filters for efficient
ConvNets", ICLR 2017): of every stream that has to shrink, the channels stay whose producers times
consumers are largest. Where a stream is linear from writer to reader, as the values that pass
through the memory are, its directions are chosen by a singular value decomposition instead, which
loses least. The result needs training (a few hundred steps) before it is of use.
"""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn, Tensor

from vos_distill.networks.checkpoint import save_checkpoint
from vos_distill.networks.presets import build_student, count_parameters
from vos_distill.networks.student import FastStudent, ResBlock
from vos_distill.networks.weights import load_network


def _weight(layer: nn.Module) -> Tensor:
    assert isinstance(layer, nn.Conv2d)
    return layer.weight.data


def _bias(layer: nn.Module) -> Tensor:
    assert isinstance(layer, nn.Conv2d)
    assert layer.bias is not None
    return layer.bias.data


def _strongest(producers: list[Tensor], consumers: list[Tensor], keep: int) -> Tensor:
    """
    Choose channels: producers (C, ...), consumers (..., C, kh, kw), in ascending order.

    :return: (keep,) int64.
    """
    made = sum(p.flatten(1).square().sum(1) for p in producers)
    used = sum(c.transpose(0, 1).flatten(1).square().sum(1) for c in consumers)
    assert isinstance(made, Tensor)
    assert isinstance(used, Tensor)
    return (made * used).topk(keep).indices.sort().values


def _copy(to: nn.Module, weight: Tensor, bias: Tensor) -> None:
    assert weight.shape == _weight(to).shape, (weight.shape, _weight(to).shape)
    _weight(to).copy_(weight)
    _bias(to).copy_(bias)


def _narrow_block(wide: ResBlock, slim: ResBlock, stream: Tensor) -> None:
    """Take over a residual block whose stream keeps the channels `stream`."""
    first, second = _weight(wide.conv1)[:, stream], _weight(wide.conv2)[stream]
    hidden = _strongest([first], [second], _weight(slim.conv1).shape[0])
    _copy(slim.conv1, first[hidden], _bias(wide.conv1)[hidden])
    _copy(slim.conv2, second[:, hidden], _bias(wide.conv2)[stream])


def _narrow_memory(wide: FastStudent, slim: FastStudent) -> None:
    """
    Store fewer channels of a value: those directions that the first convolution reads most.

    The read-out is linear in the values, so storing P v and reading with W P^T comes as near to
    W v as its rank allows when the rows of P are the right singular vectors of W.
    """
    old, new = wide.stored_width, slim.stored_width
    weight = _weight(wide.readout_conv)
    size = weight.shape[-1]
    if _weight(slim.readout_conv).shape[-1] < size:  # neighbours read about the same
        weight = weight.sum((2, 3), keepdim=True)
    rows = weight[:, : 2 * wide.value_dim].unflatten(1, (2, wide.value_dim))
    value, fine = rows[:, :, :old], rows[:, :, old:]
    directions = torch.eye(old)  # (new, old)
    if new < old:
        flat = value.transpose(2, -1).flatten(0, -2)
        directions = torch.linalg.svd(flat, full_matrices=False).Vh[:new]
    if isinstance(slim.store, nn.Conv2d):
        store, bias = directions[:, :, None, None], torch.zeros(new)
        if isinstance(wide.store, nn.Conv2d):
            store, bias = torch.tensordot(directions, _weight(wide.store), 1), _bias(wide.store)
            bias = directions @ bias
        _copy(slim.store, store, bias)
    read = torch.einsum('orvhw,nv->ornhw', value, directions)
    read = torch.cat([read, fine], dim=2).flatten(1, 2)
    _copy(
        slim.readout_conv,
        torch.cat([read, weight[:, 2 * wide.value_dim :]], dim=1),
        _bias(wide.readout_conv),
    )


@torch.no_grad()
def narrow(wide: FastStudent, slim: FastStudent) -> None:
    """
    Overwrite the weights of `slim` by what it can hold of `wide`.

    :param slim: with the same backbone, keys, value encoder and stride-16 width; the stored
        width, the hidden width of the value encoder's last block, the first kernel and the widths
        at stride 8 and 4 may be smaller. Parts of another kind (a separable decoder, one that
        ends at stride 8) stay as they are.
    :raises ValueError: `slim` is wider somewhere, or differs where it must not.
    """
    same = (
        'backbone', 'key_proj', 'value_proj', 'frame_proj', 'mask_encoder', 'edge_proj',
        'block16', 'position_scale',
    )  # fmt: skip
    other_kind = {'propagated_conv', 'predict'} if slim.finest != wide.finest else set()
    theirs, ours = wide.state_dict(), slim.state_dict()
    for name in ours:
        known = theirs.get(name)
        if known is None or name.split('.')[0] in other_kind:
            continue
        if name.split('.')[0] in same and known.shape != ours[name].shape:
            raise ValueError(
                f'{name} is {tuple(known.shape)} in the trained network and '
                f'{tuple(ours[name].shape)} in the narrower one: this part cannot shrink'
            )
        if any(o > t for o, t in zip(ours[name].shape, known.shape, strict=True)):
            raise ValueError(f'{name}: {tuple(ours[name].shape)} is wider than what is there')
    slim.load_state_dict(
        {k: v for k, v in theirs.items() if k.split('.')[0] in same}, strict=False
    )
    width = _weight(wide.value_fuse.conv2).shape[0]
    _narrow_block(wide.value_fuse, slim.value_fuse, torch.arange(width))
    _narrow_memory(wide, slim)
    at8 = _strongest(
        [_weight(wide.up8), _weight(wide.skip8), *_last(wide.block8)],
        [*_first(wide.block8), _weight(wide.up4 if wide.finest == 4 else wide.predict)],
        _weight(slim.up8).shape[0],
    )
    for name in ('up8', 'skip8'):
        old, new = getattr(wide, name), getattr(slim, name)
        _copy(new, _weight(old)[at8], _bias(old)[at8])
    if isinstance(wide.block8, ResBlock) and isinstance(slim.block8, ResBlock):
        _narrow_block(wide.block8, slim.block8, at8)
    if wide.finest == slim.finest == 4:
        _narrow_stride4(wide, slim, at8)


def _narrow_stride4(wide: FastStudent, slim: FastStudent, at8: Tensor) -> None:
    at4 = _strongest(
        [_weight(wide.up4), _weight(wide.skip4), *_last(wide.block4)],
        [*_first(wide.block4), _weight(wide.predict)],
        _weight(slim.up4).shape[0],
    )
    for name in ('skip4', 'propagated_conv'):
        old, new = getattr(wide, name), getattr(slim, name)
        _copy(new, _weight(old)[at4], _bias(old)[at4])
    _copy(slim.up4, _weight(wide.up4)[at4][:, at8], _bias(wide.up4)[at4])
    if isinstance(wide.block4, ResBlock) and isinstance(slim.block4, ResBlock):
        _narrow_block(wide.block4, slim.block4, at4)
    _copy(slim.predict, _weight(wide.predict)[:, at4], _bias(wide.predict))


def _first(block: nn.Module) -> list[Tensor]:
    return [_weight(block.conv1)] if isinstance(block, ResBlock) else []


def _last(block: nn.Module) -> list[Tensor]:
    return [_weight(block.conv2)] if isinstance(block, ResBlock) else []


def narrow_checkpoint(source: Path, preset: str, out: Path) -> tuple[int, int]:
    """
    Write a `student.pt` of a narrower preset, for `train --init`.

    :param source: `student.pt` of a run, or the folder of an exported model.
    :return: parameters before and after.
    :raises ValueError: not of the same family, or wider.
    """
    return remade_checkpoint(source, preset, out, narrow, 'narrowed')


def remade_checkpoint(
    source: Path,
    preset: str,
    out: Path,
    remake: Callable[[FastStudent, FastStudent], None],
    done: str,
) -> tuple[int, int]:
    """
    Write a `student.pt` of another preset of the fast family.

    :param source: `student.pt` of a run, or the folder of an exported model.
    :param remake: given the trained network and the other one, whose weights it overwrites.
    :param done: what it does to a network, for messages.
    :return: parameters before and after.
    :raises ValueError: not of the same family, or what `remake` refuses.
    """
    old, _ = load_network(source)
    torch.manual_seed(0)  # of what stays as it was drawn
    new = build_student(preset)
    if not (isinstance(old, FastStudent) and isinstance(new, FastStudent)):
        raise ValueError(f'{source} to {preset}: only the fast family can be {done}')
    remake(old, new)
    meta = {'preset': preset, 'step': 0, 'seconds': 0.0, 'recipe': f'{done} from {source.name}'}
    save_checkpoint(out, {'student': new.state_dict(), **meta})
    return count_parameters(old), count_parameters(new)
