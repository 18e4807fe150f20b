# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
STCN as its public checkpoints have it: their names and shapes, and what the network computes.

Written for the tests from the structure alone, on plain functions of torch, and so independent of
`vos_distill.networks`. The weights are random: no checkpoint is at hand here.
"""

from collections.abc import Iterator, Mapping
import math

import torch
from torch import Tensor
import torch.nn.functional as F

Weights = Mapping[str, Tensor]
_STRIDES = {'layer1': 1, 'res2': 1, 'layer2': 2, 'layer3': 2}


def _conv(
    name: str, out: int, into: int, kernel: int, *, bias: bool
) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f'{name}.weight', (out, into, kernel, kernel)
    if bias:
        yield f'{name}.bias', (out,)


def _norm(name: str, width: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    for entry in ('weight', 'bias', 'running_mean', 'running_var'):
        yield f'{name}.{entry}', (width,)
    yield f'{name}.num_batches_tracked', ()


def _encoder(
    name: str, into: int, layers: dict[str, tuple[int, int]], *, deep: bool
) -> Iterator[tuple[str, tuple[int, ...]]]:
    """The value encoder's convolutions have biases, the key encoder's are torchvision's."""
    bias = not deep
    yield from _conv(f'{name}.conv1', 64, into, 7, bias=bias)
    yield from _norm(f'{name}.bn1', 64)
    width = 64
    for layer, (planes, blocks) in layers.items():
        out = 4 * planes if deep else planes
        kernels = (1, 3, 1) if deep else (3, 3)
        for index in range(blocks):
            block = f'{name}.{layer}.{index}'
            widths = (width, *[planes] * (len(kernels) - 1), out)
            for n, kernel in enumerate(kernels):
                yield from _conv(
                    f'{block}.conv{n + 1}', widths[n + 1], widths[n], kernel, bias=bias
                )
                yield from _norm(f'{block}.bn{n + 1}', widths[n + 1])
            if index == 0 and (width != out or _STRIDES[layer] == 2):
                yield from _conv(f'{block}.downsample.0', out, width, 1, bias=bias)
                yield from _norm(f'{block}.downsample.1', out)
            width = out


def _res_block(name: str, into: int, out: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield from _conv(f'{name}.conv1', out, into, 3, bias=True)
    yield from _conv(f'{name}.conv2', out, out, 3, bias=True)
    if into != out:
        yield from _conv(f'{name}.downsample', out, into, 3, bias=True)


def _shapes(masks: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    deep = {'res2': (64, 3), 'layer2': (128, 4), 'layer3': (256, 6)}
    flat = {'layer1': (64, 2), 'layer2': (128, 2), 'layer3': (256, 2)}
    yield from _encoder('key_encoder', 3, deep, deep=True)
    yield from _encoder('value_encoder', 3 + masks, flat, deep=False)
    fuser = 'value_encoder.fuser'
    yield from _res_block(f'{fuser}.block1', 1280, 512)
    for place, out, into in ((1, 32, 512), (3, 512, 32)):
        yield f'{fuser}.attention.ChannelGate.mlp.{place}.weight', (out, into)
        yield f'{fuser}.attention.ChannelGate.mlp.{place}.bias', (out,)
    yield from _conv(f'{fuser}.attention.SpatialGate.spatial.conv', 1, 2, 7, bias=True)
    yield from _res_block(f'{fuser}.block2', 512, 512)
    yield from _conv('key_proj.key_proj', 64, 1024, 3, bias=True)
    yield from _conv('key_comp', 512, 1024, 3, bias=True)
    yield from _res_block('decoder.compress', 1024, 512)
    for name, skip, into, out in (('up_16_8', 512, 512, 256), ('up_8_4', 256, 256, 256)):
        yield from _conv(f'decoder.{name}.skip_conv', into, skip, 3, bias=True)
        yield from _res_block(f'decoder.{name}.out_conv', into, out)
    yield from _conv('decoder.pred', 1, 256, 3, bias=True)


def public_stcn(seed: int = 0, masks: int = 2) -> dict[str, Tensor]:
    """
    Draw a state dict with the names and shapes of a public checkpoint.

    :param masks: channels of the value encoder beside RGB; 1 is STCN's first stage.
    """
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for name, shape in _shapes(masks):
        drawn = torch.randn(shape, generator=generator)
        if name.endswith('num_batches_tracked'):
            drawn = torch.tensor(1000)
        elif name.endswith('running_var'):
            drawn = 0.5 + drawn.abs()
        elif len(shape) > 1:  # so that activations neither die nor explode
            drawn = drawn / math.sqrt(math.prod(shape[1:]))
        else:
            drawn = 0.3 * drawn + float(name.endswith('weight'))
        weights[name] = drawn
    return weights


def _filtered(w: Weights, name: str, x: Tensor, stride: int = 1) -> Tensor:
    kernel = w[f'{name}.weight']
    return F.conv2d(x, kernel, w.get(f'{name}.bias'), stride, kernel.shape[-1] // 2)


def _normed(w: Weights, name: str, x: Tensor) -> Tensor:
    mean, var, scale, shift = (
        w[f'{name}.{entry}'][:, None, None]
        for entry in ('running_mean', 'running_var', 'weight', 'bias')
    )
    return (x - mean) / (var + 1e-5).sqrt() * scale + shift


def _encoded(w: Weights, name: str, layers: tuple[str, ...], x: Tensor) -> list[Tensor]:
    x = _normed(w, f'{name}.bn1', _filtered(w, f'{name}.conv1', x, 2)).relu()
    x = F.max_pool2d(x, 3, 2, 1)
    taps = []
    for layer in layers:
        index = 0
        while f'{name}.{layer}.{index}.conv1.weight' in w:
            block = f'{name}.{layer}.{index}'
            stride = _STRIDES[layer] if index == 0 else 1
            count = 3 if f'{block}.conv3.weight' in w else 2
            inner = x
            for n in range(1, count + 1):
                # the stride is in the 3x3 convolution: the second of three, the first of two
                here = stride if n == count - 1 else 1
                inner = _normed(w, f'{block}.bn{n}', _filtered(w, f'{block}.conv{n}', inner, here))
                inner = inner.relu() if n < count else inner
            if f'{block}.downsample.0.weight' in w:
                x = _normed(
                    w, f'{block}.downsample.1', _filtered(w, f'{block}.downsample.0', x, stride)
                )
            x = (x + inner).relu()
            index += 1
        taps.append(x)
    return taps


def _residual(w: Weights, name: str, x: Tensor) -> Tensor:
    inner = _filtered(w, f'{name}.conv2', _filtered(w, f'{name}.conv1', x.relu()).relu())
    return inner + (
        _filtered(w, f'{name}.downsample', x) if f'{name}.downsample.weight' in w else x
    )


def _attention(w: Weights, name: str, x: Tensor) -> Tensor:
    def gate(pooled: Tensor) -> Tensor:
        mlp = f'{name}.ChannelGate.mlp'
        inner = F.linear(pooled, w[f'{mlp}.1.weight'], w[f'{mlp}.1.bias']).relu()
        return F.linear(inner, w[f'{mlp}.3.weight'], w[f'{mlp}.3.bias'])

    x = x * (gate(x.mean((2, 3))) + gate(x.amax((2, 3)))).sigmoid()[:, :, None, None]
    pooled = torch.cat([x.max(1, keepdim=True)[0], x.mean(1, keepdim=True)], 1)
    return x * _filtered(w, f'{name}.SpatialGate.spatial.conv', pooled).sigmoid()


def key_of(w: Weights, image: Tensor) -> dict[str, Tensor]:
    """Encode a normalised image (1, 3, H, W)."""
    f4, f8, f16 = _encoded(w, 'key_encoder', ('res2', 'layer2', 'layer3'), image)
    return {
        'key': _filtered(w, 'key_proj.key_proj', f16),
        'query_value': _filtered(w, 'key_comp', f16),
        'f16': f16, 'f8': f8, 'f4': f4,
    }  # fmt: skip


def value_of(w: Weights, image: Tensor, f16: Tensor, mask: Tensor, others: Tensor) -> Tensor:
    """Encode a frame with the mask of an object and that of the others, (1, 1, H, W) each."""
    x = torch.cat([image, mask, others], 1)
    x = _encoded(w, 'value_encoder', ('layer1', 'layer2', 'layer3'), x)[-1]
    x = _residual(w, 'value_encoder.fuser.block1', torch.cat([x, f16], 1))
    return _residual(
        w, 'value_encoder.fuser.block2', x + _attention(w, 'value_encoder.fuser.attention', x)
    )


def logits_of(
    w: Weights, query: dict[str, Tensor], keys: list[Tensor], values: list[Tensor]
) -> Tensor:
    """Read the memory and decode an object's logits, (1, 1, H / 4, W / 4)."""
    q = query['key'].flatten(2)
    k = torch.cat([key.flatten(2) for key in keys], 2)
    v = torch.cat([value.flatten(2) for value in values], 2)
    distance = (k[..., :, None] - q[..., None, :]).square().sum(1)  # (1, M, N)
    affinity = (-distance / math.sqrt(q.shape[1])).softmax(1)
    x = torch.cat([(v @ affinity).view_as(query['query_value']), query['query_value']], 1)
    x = _residual(w, 'decoder.compress', x)
    for name, skip in (('up_16_8', query['f8']), ('up_8_4', query['f4'])):
        x = F.interpolate(x, scale_factor=2, mode='bilinear', align_corners=False)
        x = _residual(
            w, f'decoder.{name}.out_conv', _filtered(w, f'decoder.{name}.skip_conv', skip) + x
        )
    return _filtered(w, 'decoder.pred', x.relu())
