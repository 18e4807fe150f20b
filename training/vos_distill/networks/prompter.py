# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The prompt network: a window of an image, and what a hand drew on it, to the mask that is meant.

Clicks, strokes, the box and the mask found before are maps, as in RITM (Sofiiuk, Petrov and
Konushin, ICIP 2022). The backbone sees the image alone, so it is run once for all prompts of a
window in training, and its first stages may stay frozen. Maps and image meet in a small stem; at
stride 16 every cell is compared with the mean of those under the strokes, and all cells look at
each other. Shapes: N windows, S = `vos_ros.engine.window.SIDE`.
"""

import torch
from torch import nn, Tensor
import torch.nn.functional as F

from vos_distill.networks.backbones import BACKBONES
from vos_ros.engine.window import MAPS, OFF, ON

_MEAN = _STD = 127.5
Taps = tuple[Tensor, Tensor, Tensor]


def _conv(in_ch: int, out_ch: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(in_ch, out_ch, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(out_ch),
    )


class _Block(nn.Module):
    """Depthwise and pointwise convolutions with a skip."""

    def __init__(self, width: int, kernel: int = 3, expand: int = 2) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _conv(width, width, kernel, groups=width),
            nn.Conv2d(width, expand * width, 1),
            nn.ReLU(),
            nn.Conv2d(expand * width, width, 1, bias=False),
            nn.BatchNorm2d(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.body(x)
        return out


class _Attention(nn.Module):
    """Let every cell look at all others; places are told by the depthwise blocks between."""

    def __init__(self, width: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        tokens = self.norm(x.flatten(2).transpose(1, 2))
        q, k, v = self.qkv(tokens).view(n, h * w, 3, self.heads, c // self.heads).unbind(2)
        q, k, v = (part.transpose(1, 2) for part in (q, k, v))
        weights = (q @ k.transpose(2, 3) * (c // self.heads) ** -0.5).softmax(-1)
        read = (weights @ v).transpose(1, 2).reshape(n, h * w, c)
        return x + self.out(read).transpose(1, 2).reshape(n, c, h, w)


class PromptNetwork(nn.Module):
    """
    See the module.

    :param widths: channels at stride 2 (of the stem alone), 4, 8 and 16.
    :param blocks: pairs of a convolution block and attention at stride 16.
    """

    def __init__(
        self,
        backbone: str = 'mobilenet_v2',
        widths: tuple[int, int, int, int] = (16, 32, 64, 128),
        blocks: int = 3,
    ) -> None:
        super().__init__()
        self.settings = {'backbone': backbone, 'widths': list(widths), 'blocks': blocks}
        self.backbone = BACKBONES[backbone](folded=True)
        self.feature_scale = tuple(1 / std for std in self.backbone.feature_std)
        c4, c8, c16 = self.backbone.channels
        w2, w4, w8, w16 = widths
        self.stem2 = _conv(3 + MAPS, w2, 3, 2)
        self.stem4 = _conv(w2, w4, 3, 2)
        self.stem8 = _conv(w4, w8, 3, 2)
        self.stem16 = _conv(w8, w16, 3, 2)
        self.side4, self.side8 = nn.Conv2d(c4, w4, 1), nn.Conv2d(c8, w8, 1)
        self.side16 = nn.Conv2d(c16, w16, 1)
        self.likeness = nn.Conv2d(c8 + c16, w8, 1)
        self.join = _conv(w16 + 2, w16, 1)
        body: list[nn.Module] = []
        for _ in range(blocks):
            body += [_Block(w16, 5), _Attention(w16)]
        self.body16 = nn.Sequential(*body, _Block(w16, 5))
        self.rough = nn.Conv2d(w16, 1, 1)
        self.up8, self.up4 = nn.Conv2d(w16, w8, 1), nn.Conv2d(w8, w4, 1)
        self.body8 = nn.Sequential(_Block(w8), _Block(w8))
        self.body4 = nn.Sequential(_Block(w4), _Block(w4))
        # Four pixels of stride 2 from each cell: a quarter cheaper than convolutions there.
        self.fine = nn.Conv2d(w4, 4, 3, 1, 1)
        self.judge = nn.Sequential(nn.Linear(2 * w16 + 1, 64), nn.ReLU(), nn.Linear(64, 1))

    def see(self, image: Tensor) -> Taps:
        """
        Give the backbone's features at stride 4, 8 and 16, at unit scale.

        :param image: (N, 3, S, S) RGB, 0..255.
        """
        taps = self.backbone((image - _MEAN) / _STD)
        f4, f8, f16 = (f * s for f, s in zip(taps, self.feature_scale, strict=True))
        return f4, f8, f16

    def decode(self, image: Tensor, taps: Taps, maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """
        Find the mask.

        :param image: as in `see`.
        :param taps: what `see` gave for it.
        :param maps: (N, MAPS, S, S), 0..1.
        :return: logits (N, S/2, S/2), rough ones (N, S/16, S/16) for training, and the logit of
            how much of the whole object the mask is thought to be (N,).
        """
        f4, f8, f16 = taps
        s2 = F.relu(self.stem2(torch.cat([(image - _MEAN) / _STD, maps], 1)))
        s4 = F.relu(self.stem4(s2))
        s8 = F.relu(self.stem8(s4))
        x = F.relu(self.side16(f16) + self.stem16(s8))
        x = self.body16(F.relu(self.join(torch.cat([x, self._alike(f8, f16, maps)], 1))))
        rough = self.rough(x)
        y8 = self.body8(F.relu(_doubled(self.up8(x)) + self.side8(f8) + s8))
        y4 = self.body4(F.relu(_doubled(self.up4(y8)) + self.side4(f4) + s4))
        logits = F.pixel_shuffle(self.fine(y4), 2)
        area = logits.detach().sigmoid().mean((2, 3))
        told = torch.cat([x.mean((2, 3)), x.amax((2, 3)), area], 1)
        return logits[:, 0], rough[:, 0], self.judge(told)[:, 0]

    def _alike(self, f8: Tensor, f16: Tensor, maps: Tensor) -> Tensor:
        """Compare each cell with the mean of those under the strokes (N, 2, S/16, S/16)."""
        cells = self.likeness(torch.cat([F.avg_pool2d(f8, 2), f16], 1))
        cells = cells / (cells.square().sum(1, keepdim=True) + 1e-6).sqrt()
        found = []
        for plane in (ON, OFF):
            weight = F.avg_pool2d(maps[:, plane : plane + 1], 16)
            total = weight.sum((2, 3), keepdim=True)
            mean = (cells * weight).sum((2, 3), keepdim=True) / (total + 1e-4)
            found.append((cells * mean).sum(1, keepdim=True))
        return torch.cat(found, 1)

    def forward(self, image: Tensor, maps: Tensor) -> tuple[Tensor, Tensor]:
        """
        Do all of it, as the exported graph does.

        :return: logits (N, S/2, S/2); quality (N,), 0..1.
        """
        logits, _, quality = self.decode(image, self.see(image), maps)
        return logits, quality.sigmoid()


def _doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode='bilinear', align_corners=False)
