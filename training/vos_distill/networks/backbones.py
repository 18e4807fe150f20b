# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Image backbones with torchvision's parameter names, cut at stride 16.

They exist here, and not as an import of torchvision, because only the first stages are
needed, because the number of input channels varies (a value encoder sees RGB and masks),
and because a frozen BatchNorm is better folded away before training starts.
`load_imagenet` accepts a torchvision state dict (with BatchNorm) as well as an archive of
already folded weights (no BatchNorm, convolution biases instead).
"""

from collections.abc import Mapping
import itertools
from pathlib import Path

import numpy as np
import torch
from torch import nn, Tensor

BN_EPS = 1e-5
_BN_ENTRIES = ('weight', 'bias', 'running_mean', 'running_var')


def _norm(channels: int, folded: bool) -> nn.Module:
    return nn.Identity() if folded else nn.BatchNorm2d(channels, eps=BN_EPS)


def _shortcut(in_ch: int, out_ch: int, stride: int, folded: bool) -> nn.Module | None:
    """Make what fits a block's input to its output; None where it fits as it is."""
    if stride == 1 and in_ch == out_ch:
        return None
    return nn.Sequential(nn.Conv2d(in_ch, out_ch, 1, stride, bias=folded), _norm(out_ch, folded))


class BasicBlock(nn.Module):
    """ResNet's two-convolution block (He et al. 2016), names as in torchvision."""

    def __init__(self, in_ch: int, out_ch: int, stride: int, folded: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_ch, out_ch, 3, stride, 1, bias=folded)
        self.bn1 = _norm(out_ch, folded)
        self.conv2 = nn.Conv2d(out_ch, out_ch, 3, 1, 1, bias=folded)
        self.bn2 = _norm(out_ch, folded)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(in_ch, out_ch, stride, folded)

    def forward(self, x: Tensor) -> Tensor:
        skip = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(x)) + skip)


class ResNet18(nn.Module):
    """
    ResNet18 up to layer3: strides 4, 8, 16 with 64, 128, 256 channels.

    :param in_channels: 3 for a key encoder; 5 (RGB, mask, other masks) for a value encoder.
    :param folded: no BatchNorm; its effect is inside the convolutions' weights and biases.
    """

    channels = (64, 128, 256)
    feature_std = (0.5, 0.28, 0.2)  # measured on a photograph, ImageNet weights

    def __init__(self, in_channels: int = 3, folded: bool = False) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 64, 7, 2, 3, bias=folded)
        self.bn1 = _norm(64, folded)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = nn.Sequential(BasicBlock(64, 64, 1, folded), BasicBlock(64, 64, 1, folded))
        self.layer2 = nn.Sequential(
            BasicBlock(64, 128, 2, folded), BasicBlock(128, 128, 1, folded)
        )
        self.layer3 = nn.Sequential(
            BasicBlock(128, 256, 2, folded), BasicBlock(256, 256, 1, folded)
        )

    def stages(self) -> list[list[nn.Module]]:
        """Modules by stage, in order, for freezing from the front."""
        return [[self.conv1, self.bn1], [self.layer1], [self.layer2], [self.layer3]]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """
        Features at strides 4, 8 and 16.

        :param x: (N, in_channels, H, W), H and W multiples of 16.
        """
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        f4 = self.layer1(x)
        f8 = self.layer2(f4)
        return f4, f8, self.layer3(f8)


class Bottleneck(nn.Module):
    """ResNet's three-convolution block, stride in the 3x3 one, names as in torchvision."""

    def __init__(self, in_ch: int, width: int, stride: int, folded: bool) -> None:
        super().__init__()
        out_ch = 4 * width
        self.conv1 = nn.Conv2d(in_ch, width, 1, bias=folded)
        self.bn1 = _norm(width, folded)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=folded)
        self.bn2 = _norm(width, folded)
        self.conv3 = nn.Conv2d(width, out_ch, 1, bias=folded)
        self.bn3 = _norm(out_ch, folded)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(in_ch, out_ch, stride, folded)

    def forward(self, x: Tensor) -> Tensor:
        skip = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        return self.relu(self.bn3(self.conv3(x)) + skip)


class ResNet50(ResNet18):
    """ResNet50 up to layer3: strides 4, 8, 16 with 256, 512, 1024 channels; for teachers."""

    channels = (256, 512, 1024)
    feature_std = (0.5, 0.5, 0.5)

    def __init__(self, in_channels: int = 3, folded: bool = False) -> None:
        super().__init__(in_channels, folded)
        width = 64
        for name, planes, blocks, stride in (
            ('layer1', 64, 3, 1),
            ('layer2', 128, 4, 2),
            ('layer3', 256, 6, 2),
        ):
            layer = []
            for index in range(blocks):
                layer.append(Bottleneck(width, planes, stride if index == 0 else 1, folded))
                width = 4 * planes
            setattr(self, name, nn.Sequential(*layer))


def _conv_norm_relu6(
    in_ch: int, out_ch: int, kernel: int, stride: int, groups: int, folded: bool
) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_ch, out_ch, kernel, stride, (kernel - 1) // 2, groups=groups, bias=folded),
        _norm(out_ch, folded),
        nn.ReLU6(inplace=True),
    )


class InvertedResidual(nn.Module):
    """MobileNetV2's block (Sandler et al. 2018), names as in torchvision."""

    def __init__(self, in_ch: int, out_ch: int, stride: int, expand: int, folded: bool) -> None:
        super().__init__()
        hidden = in_ch * expand
        layers: list[nn.Module] = []
        if expand != 1:
            layers.append(_conv_norm_relu6(in_ch, hidden, 1, 1, 1, folded))
        layers += [
            _conv_norm_relu6(hidden, hidden, 3, stride, hidden, folded),
            nn.Conv2d(hidden, out_ch, 1, bias=folded),
            _norm(out_ch, folded),
        ]
        self.conv = nn.Sequential(*layers)
        self.use_res_connect = stride == 1 and in_ch == out_ch

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.use_res_connect else self.conv(x)


class MobileNetV2(nn.Module):
    """
    MobileNetV2 1.0, features[0:14]: strides 4, 8, 16 with 24, 32, 96 channels.

    :param in_channels: as in `ResNet18`.
    :param folded: as in `ResNet18`.
    """

    channels = (24, 32, 96)
    feature_std = (5.8, 5.4, 3.9)  # measured on a photograph, ImageNet weights
    # (expansion, channels, repeats, stride), the table of the paper up to stride 16
    _settings = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1))

    def __init__(self, in_channels: int = 3, folded: bool = False) -> None:
        super().__init__()
        layers: list[nn.Module] = [_conv_norm_relu6(in_channels, 32, 3, 2, 1, folded)]
        width = 32
        for expand, out_ch, repeats, stride in self._settings:
            for index in range(repeats):
                layers.append(
                    InvertedResidual(width, out_ch, stride if index == 0 else 1, expand, folded)
                )
                width = out_ch
        self.features = nn.Sequential(*layers)

    def stages(self) -> list[list[nn.Module]]:
        """Modules by stage, in order, for freezing from the front."""
        f = list(self.features)
        return [f[:2], f[2:4], f[4:7], f[7:14]]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """
        Features at strides 4, 8 and 16.

        :param x: (N, in_channels, H, W), H and W multiples of 16.
        """
        taps = []
        for index, layer in enumerate(self.features):
            x = layer(x)
            if index in (3, 6, 13):
                taps.append(x)
        return taps[0], taps[1], taps[2]


class Plain(nn.Module):
    """Four strided convolutions, for tests: an untrained network that runs in a millisecond."""

    channels = (12, 16, 24)
    feature_std = (0.2, 0.2, 0.2)

    def __init__(self, in_channels: int = 3, folded: bool = True) -> None:
        super().__init__()
        widths = (in_channels, 8, *self.channels)
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 3, 2, 1) for a, b in itertools.pairwise(widths))

    def stages(self) -> list[list[nn.Module]]:
        """Modules by stage, in order, for freezing from the front."""
        return [[conv] for conv in self.convs]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features at strides 4, 8 and 16 of (N, in_channels, H, W)."""
        taps = []
        for conv in self.convs:
            x = torch.relu(conv(x))
            taps.append(x)
        return taps[1], taps[2], taps[3]


BACKBONES: dict[str, type[ResNet18] | type[MobileNetV2] | type[Plain]] = {
    'resnet18': ResNet18,
    'resnet50': ResNet50,
    'mobilenet_v2': MobileNetV2,
    'plain': Plain,
}


def norm_after(conv_name: str) -> str:
    """Give the name of the BatchNorm which follows a convolution, in torchvision's scheme."""
    head, _, last = conv_name.rpartition('.')
    if last.startswith('conv') and last != 'conv':  # conv1 -> bn1
        return f'{head}.bn{last[4:]}' if head else f'bn{last[4:]}'
    return f'{head}.{int(last) + 1}'  # Sequential: the next position


def _read_weights(path: Path) -> Mapping[str, Tensor]:
    """
    Read a .npz or a torch file.

    :raises ValueError: missing, damaged, or no weights by name; names the path.
    """
    try:
        if path.suffix == '.npz':
            with np.load(path) as archive:
                return {k: torch.from_numpy(archive[k]) for k in archive.files}
        weights = torch.load(path, map_location='cpu', weights_only=True)
    except FileNotFoundError as error:
        raise ValueError(
            f'{path}: there are no such backbone weights; how to make them is under "Backbone '
            'weights" in docs/training.md; without any, leave imagenet out of the recipe'
        ) from error
    except Exception as error:  # numpy and torch raise many kinds for a damaged file
        reason = (str(error).splitlines() or [''])[0]
        raise ValueError(f'{path}: not readable backbone weights ({reason})') from error
    if not isinstance(weights, Mapping):
        raise ValueError(f'{path}: holds a {type(weights).__name__}, not weights by their name')
    return weights


def load_imagenet(
    backbone: nn.Module, weights: Mapping[str, Tensor] | Path, *, keep_norm: bool = False
) -> list[str]:
    """
    Load ImageNet weights, with or without BatchNorm, into a backbone of either kind.

    Only the convolutions of `backbone` are looked up, so that surplus entries (later stages,
    classifier) are ignored. A first convolution with more than three input channels keeps its
    random weights for the surplus channels, scaled down, as STCN widens its value encoder.

    :param weights: a torchvision state dict, or the path of a .npz or .pth file of one.
    :param keep_norm: take BatchNorm over as it is in the weights, for a backbone which goes on
        training it; else its effect is folded into the convolutions.
    :return: names of the convolutions that were loaded.
    :raises ValueError: a file that cannot be read, a convolution is missing or has another shape,
        or there is no BatchNorm to keep.
    """
    if isinstance(weights, Path):
        stored = _read_weights(weights)
        try:
            return load_imagenet(backbone, stored, keep_norm=keep_norm)
        except ValueError as error:
            raise ValueError(f'{weights}: {error}') from error
    loaded = []
    modules = dict(backbone.named_modules())
    for name, conv in modules.items():
        if not isinstance(conv, nn.Conv2d):
            continue
        if f'{name}.weight' not in weights:
            raise ValueError(f'the weights have no {name}.weight: not this backbone?')
        weight = weights[f'{name}.weight'].float()
        bn = norm_after(name)
        if keep_norm:
            if f'{bn}.running_var' not in weights:
                raise ValueError(
                    f'the weights have no BatchNorm {bn} (folded already): it cannot be trained'
                )
            norm_state = {e: weights[f'{bn}.{e}'] for e in _BN_ENTRIES}
            modules[bn].load_state_dict(norm_state, strict=False)
            bias = torch.zeros(weight.shape[0])
        elif f'{bn}.running_var' in weights:
            scale = weights[f'{bn}.weight'] / (weights[f'{bn}.running_var'] + BN_EPS).sqrt()
            bias = weights[f'{bn}.bias'] - weights[f'{bn}.running_mean'] * scale
            weight = weight * scale[:, None, None, None]
        elif f'{name}.bias' in weights:
            bias = weights[f'{name}.bias'].float()
        else:
            raise ValueError(f'{name} has neither a BatchNorm nor a bias in the weights')
        if weight.shape[1] < conv.weight.shape[1]:
            surplus = conv.weight.data[:, weight.shape[1] :] * 0.1
            weight = torch.cat([weight, surplus], dim=1)
        if weight.shape != conv.weight.shape:
            raise ValueError(
                f'{name}.weight is {tuple(weight.shape)}, expected {tuple(conv.weight.shape)}'
            )
        conv.weight.data.copy_(weight)
        if conv.bias is not None:
            conv.bias.data.copy_(bias)
        elif not keep_norm:
            norm = modules[bn]
            assert isinstance(norm, nn.BatchNorm2d)
            norm.weight.data.fill_(1.0)
            norm.bias.data.copy_(bias)
            norm.running_mean.fill_(0.0)  # type: ignore[union-attr]
            norm.running_var.fill_(1.0 - BN_EPS)  # type: ignore[union-attr]
        loaded.append(name)
    return loaded
