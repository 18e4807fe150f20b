# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Finite-memory students: the memory holds the prompted frame and the most recent frame.

All families answer the same three calls, which become the three graphs that `vos_ros` runs
(`docs/model_contract.md`). Shapes: B clips, K objects, (H, W) a multiple of 16, h4 = H/4,
h16 = H/16, N = h16 * w16 tokens.

* `encode_image`: (B, 3, H, W) -> dict with `key` (B, Ck, h16, w16) and private features.
* `encode_mask`: features, masks (B, K, h4, w4), others (B, K, h4, w4) -> (B, K, Cv, N).
* `segment`: features, memory key (B, 2, Ck, N), memory value (B, K, 2, Cv, N) -> logits
  (B, K, h4, w4), each object against its own background, before aggregation. Row 0 of the
  memory is the prompted frame, row 1 the most recent one.
"""

from abc import ABC, abstractmethod

import torch
from torch import nn, Tensor
import torch.nn.functional as F

from vos_distill.networks.attention import attend, closeness
from vos_distill.networks.backbones import BACKBONES

Features = dict[str, Tensor]
#: (x, y) of the query's tokens (2, N) and of the memory's (2, M), in cells from the grid's centre.
Places = tuple[Tensor, Tensor]


def per_object(x: Tensor, objects: int) -> Tensor:
    """
    Repeat a per-frame map for every object, (B, C, h, w) -> (B * K, C, h, w).

    One clip (always so in the exported graphs) needs no copy: broadcasting does it.
    """
    return x if x.shape[0] == 1 else x.repeat_interleave(objects, dim=0)


class ResBlock(nn.Module):
    """Pre-activation residual block, 3x3 - 3x3, 3x3 skip when widths differ (STCN)."""

    def __init__(self, in_ch: int, out_ch: int, hidden: int = 0) -> None:
        super().__init__()
        hidden = hidden or out_ch
        self.conv1 = nn.Conv2d(in_ch, hidden, 3, 1, 1)
        self.conv2 = nn.Conv2d(hidden, out_ch, 3, 1, 1)
        self.skip = nn.Identity() if in_ch == out_ch else nn.Conv2d(in_ch, out_ch, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.skip(x) + self.conv2(F.relu(self.conv1(F.relu(x))))


def _same_width(width: int) -> nn.Module:
    return ResBlock(width, width)


class SeparableBlock(nn.Module):
    """`ResBlock` of the same width with depthwise 3x3 and pointwise convolutions (MobileNet)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.depth1 = nn.Conv2d(width, width, 3, 1, 1, groups=width)
        self.point1 = nn.Conv2d(width, width, 1)
        self.depth2 = nn.Conv2d(width, width, 3, 1, 1, groups=width)
        self.point2 = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.point1(self.depth1(F.relu(x)))
        return x + self.point2(self.depth2(F.relu(inner)))


def _pooled(tokens: Tensor, h: int, w: int) -> Tensor:
    """Halve rows and columns, (B, R, C, h * w) -> (B, R, C, ceil(h / 2) * ceil(w / 2))."""
    maps = tokens.flatten(0, 1).unflatten(2, (h, w))
    pooled = F.avg_pool2d(maps, 3, 2, 1, count_include_pad=False)  # h and w may be odd
    return pooled.flatten(2).unflatten(0, tokens.shape[:2])


def cell_grid(h: int, w: int, like: Tensor) -> Tensor:
    """Give the centre-relative (x, y) of every token in cells of the stride, (2, h * w)."""
    y = torch.arange(h, device=like.device, dtype=torch.float32) - (h - 1) / 2
    x = torch.arange(w, device=like.device, dtype=torch.float32) - (w - 1) / 2
    zero = torch.zeros(h, w, device=like.device)  # broadcasting exports with free h and w
    return torch.stack([zero + x, zero + y[:, None]]).flatten(1)


class Student(nn.Module, ABC):
    """What every family shares: the input's normalisation and the dimensions of its memory."""

    key_dim: int
    value_dim: int
    max_objects: int = 0  # in one call of `segment`; 0 = any number
    segment_features: tuple[str, ...] = ()  # what `segment` reads beside the key
    takes_places: bool = False  # `segment` can be told where its tokens lie, see FastStudent
    mask_features: tuple[str, ...] = ()  # what `encode_mask` reads
    mean: tuple[float, float, float] = (123.675, 116.28, 103.53)
    std: tuple[float, float, float] = (58.395, 57.12, 57.375)

    @abstractmethod
    def encode_image(self, image: Tensor) -> Features:
        """See the module."""

    @abstractmethod
    def encode_mask(self, features: Features, masks: Tensor, others: Tensor) -> Tensor:
        """See the module."""

    @abstractmethod
    def segment(
        self, features: Features, memory_key: Tensor, memory_value: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """
        Read the memory and decode.

        :return: logits (B, K, h4, w4) and a dict of training-only extras: `decoder` the last
            features (B * K, C, h4, w4); where the family has them `propagated` and the attention
            maps (B, N query, M) `attention_long` over the prompted frame and `attention_short`
            over later ones.
        """

    def segment_groups(
        self, features: Features, keys: Tensor, value: Tensor, member: Tensor
    ) -> Tensor:
        """
        Read and decode objects that do not all read the same two frames; one clip.

        :param keys: (G, 2, Ck, N), the two frames of each group.
        :param value: (K, 2, Cv, N).
        :param member: (G, K), 1 where an object is in a group; it is in one at most.
        :return: logits (K, h4, w4); those of an object in no group mean nothing.
        """
        found = torch.zeros(())
        for key, chosen in zip(keys, member, strict=True):
            logits = self.segment(features, key[None], value[None])[0][0]
            found = torch.where(chosen[:, None, None] > 0, logits, found)
        return found

    def take_backbone(self, name: str) -> tuple[int, int, int]:
        """Use a backbone with BatchNorm folded; give its channels at stride 4, 8 and 16."""
        backbone = BACKBONES[name](folded=True)
        self.backbone = backbone
        if name == 'mobilenet_v2':
            self.mean = self.std = (127.5, 127.5, 127.5)
        # Brings the backbone's features to unit scale. Without it the keys of MobileNetV2
        # start so far apart that the affinity is one-hot and gets no gradient.
        self.feature_scale = tuple(1 / std for std in backbone.feature_std)
        channels: tuple[int, int, int] = backbone.channels
        return channels

    def backbone_features(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Give the features of a normalised image at stride 4, 8 and 16, at unit scale."""
        f4, f8, f16 = (
            f * scale for f, scale in zip(self.backbone(image), self.feature_scale, strict=True)
        )
        return f4, f8, f16

    def draw(self, generators: list[torch.Generator]) -> None:
        """Draw what is random in the next training batch; one generator for each clip."""

    def normalise(self, image: Tensor) -> Tensor:
        """
        Bring an image to the range the backbone was trained on.

        :param image: (..., 3, H, W) RGB, 0..255, any dtype.
        """
        mean = torch.tensor(self.mean, device=image.device).view(3, 1, 1)
        std = torch.tensor(self.std, device=image.device).view(3, 1, 1)
        return (image.float() - mean) / std


class FastStudent(Student):
    """
    The student with the cost structure for small computers.

    Differences from the paper's STCN-shaped student, all for cost or for fast training:

    * One trunk only. The value encoder sees the mask at stride 4 and adds the frame's own
      features, so a further object costs a few small convolutions, not a second backbone.
    * Everything that does not depend on the object is computed once per frame.
    * The stride-4 mask, folded to 16 channels at stride 16, is appended to the value. Reading
      the memory then also propagates a fine mask; an auxiliary loss on it trains the affinity
      directly.
    * The two memory frames are normalised separately, and the decoder sees both read-outs
      together with how well each one matched. After an occlusion the prompted frame is then
      not outvoted by the background of the most recent one.
    * For the most recent frame the squared distance between positions is added to the squared
      distance between keys (learned scale), as objects seldom jump between frames. Not for the
      prompted frame: it ages, and where the object was then says nothing about now.

    :param value_width: of the value encoder.
    :param stored_width: channels of a value in the memory, beside the folded mask; 0 =
        `value_width`, without a projection. Reading costs in proportion.
    :param fuse_width: hidden width of the value encoder's last block; 0 = `value_width`.
    :param readout_kernel: of the first convolution over both read-outs; 1 costs a ninth of 3.
    :param separable: depthwise and pointwise convolutions in the decoder at stride 8 and 4.
    :param finest: stride of the decoder's last block, 4 or 8; the logits are at 4 in any case.
    :param sees_edges: the value encoder sees the picture at stride 4, too, and so where the mask's
        outline is beside the edge that is seen.
    :param pooled: what is read with half as many rows and columns: the 'prompted' frame, 'both'
        frames, or '' for none.
    """

    segment_features: tuple[str, ...] = ('d16', 's8', 's4')
    mask_features: tuple[str, ...] = ('frame_value',)

    def __init__(
        self,
        backbone: str = 'resnet18',
        key_dim: int = 64,
        value_width: int = 128,
        decoder: tuple[int, int, int] = (128, 64, 32),
        mask_width: tuple[int, int] = (24, 64),
        stored_width: int = 0,
        fuse_width: int = 0,
        readout_kernel: int = 3,
        separable: bool = False,
        finest: int = 4,
        pooled: str = '',
        sees_edges: bool = False,
    ) -> None:
        super().__init__()
        c4, c8, c16 = self.take_backbone(backbone)
        d16, d8, d4 = decoder
        self.key_dim = key_dim
        self.sees_edges = sees_edges
        self.takes_places = not pooled  # pooling needs the whole grid
        self.stored_width = stored_width or value_width
        self.value_dim = self.stored_width + 16
        self.key_proj = nn.Conv2d(c16, key_dim, 3, 1, 1)
        nn.init.orthogonal_(self.key_proj.weight)
        nn.init.zeros_(self.key_proj.bias)  # type: ignore[arg-type]
        self.value_proj = nn.Conv2d(c16, value_width, 3, 1, 1)
        self.frame_proj = nn.Conv2d(c16, d16, 3, 1, 1)
        self.skip8 = nn.Conv2d(c8, d8, 1)
        self.finest, self.pooled = finest, pooled
        if finest == 4:
            self.skip4 = nn.Conv2d(c4, d4, 1)
        self.mask_encoder = nn.Sequential(
            nn.Conv2d(2, mask_width[0], 3, 2, 1),
            nn.ReLU(),
            nn.Conv2d(mask_width[0], mask_width[1], 3, 2, 1),
            nn.ReLU(),
            nn.Conv2d(mask_width[1], value_width, 3, 1, 1),
        )
        if sees_edges:
            self.mask_features = ('frame_value', 'frame_edges')
            self.edge_proj = nn.Conv2d(c4, mask_width[0], 3, 2, 1)
        self.value_fuse = ResBlock(value_width, value_width, fuse_width)
        self.store = nn.Conv2d(value_width, stored_width, 1) if stored_width else nn.Identity()
        self.position_scale = nn.Parameter(torch.tensor([1 / 6]))  # a jump of 6 cells costs 1
        self.readout_conv = nn.Conv2d(
            2 * self.value_dim + 2, d16, readout_kernel, padding=readout_kernel // 2
        )
        self.block16 = ResBlock(d16, d16)
        self.up8 = nn.Conv2d(d16, d8, 1)
        block = SeparableBlock if separable else _same_width
        self.block8 = block(d8)
        if finest == 8:
            self.segment_features = ('d16', 's8')
            self.propagated_conv = nn.Conv2d(2, d8, 3, 2, 1)
            self.predict = nn.Conv2d(d8, 1, 3, 1, 1)
            return
        self.up4 = nn.Conv2d(d8, d4, 1)
        self.propagated_conv = nn.Conv2d(2, d4, 3, 1, 1)
        self.block4 = block(d4)
        self.predict = nn.Conv2d(d4, 1, 3, 1, 1)

    def encode_image(self, image: Tensor) -> Features:
        """See the module; `image` is normalised already."""
        f4, f8, f16 = self.backbone_features(image)
        return {
            'key': self.key_proj(f16),
            'frame_value': self.value_proj(f16),
            'd16': self.frame_proj(f16),
            's8': self.skip8(f8),
            **({'s4': self.skip4(f4)} if self.finest == 4 else {}),
            **({'frame_edges': self.edge_proj(f4)} if self.sees_edges else {}),
        }

    def encode_mask(self, features: Features, masks: Tensor, others: Tensor) -> Tensor:
        """See the module."""
        b, k, _h4, _w4 = masks.shape
        x = torch.stack([masks, others], dim=2).flatten(0, 1)
        x = self.mask_encoder[0](x)
        if self.sees_edges:
            x = x + per_object(features['frame_edges'], k)
        x = self.mask_encoder[1:](x) + per_object(features['frame_value'], k)
        x = self.store(self.value_fuse(x))
        fine = F.pixel_unshuffle(masks.flatten(0, 1)[:, None], 4)
        return torch.cat([x, fine.to(x.dtype)], dim=1).flatten(2).unflatten(0, (b, k))

    def _dot(
        self,
        key: Tensor,
        memory_key: Tensor,
        scale: Tensor,
        pooled: bool,
        places: Places | None = None,
    ) -> tuple[Tensor, Tensor]:
        """
        Compare every query token with every memory token.

        :param scale: (R,) weight of the distance between positions.
        :param places: where the tokens lie; None = both on the same whole grid.
        :return: (B, R, N query, N memory), |q|^2 minus the squared distance; |q|^2 (B, R, N).
        """
        b, rows = memory_key.shape[:2]
        h, w = key.shape[-2:]
        temper = self.key_dim**-0.25  # methods: squared distance / sqrt(Ck)
        query = key.flatten(2).float() * temper
        memory = memory_key.float() * temper
        here, there = places or (cell_grid(h, w, key),) * 2
        position = (scale.view(1, rows, 1, 1) * here).expand(b, -1, -1, -1)
        query = torch.cat([query[:, None].expand(-1, rows, -1, -1), position], dim=2)
        if here is not there:
            position = (scale.view(1, rows, 1, 1) * there).expand(b, -1, -1, -1)
        memory = torch.cat([memory, position], dim=2)
        if pooled:
            memory = _pooled(memory, h, w)
        return closeness(query, memory), query.square().sum(2)

    def affinity(
        self, key: Tensor, memory_key: Tensor, places: Places | None = None
    ) -> tuple[Tensor, Tensor]:
        """
        Attention of every query token over the prompted frame, and over all later frames together.

        :param key: (B, Ck, h16, w16).
        :param places: see `segment`.
        :param memory_key: (B, R, Ck, N); row 0 the prompted frame, then R - 1 >= 1 later ones:
            one, the most recent, in a student, all of them in a teacher with infinite memory.
        :return: affinity (B, R, N query, N memory): row 0 sums to 1 over the memory, so do all
            later rows together; match (B, 2, N) in (0, 1], exp(-smallest squared distance) to
            the prompted frame and to the later ones.
        """
        rows = memory_key.shape[1]
        scale = torch.cat(
            [torch.zeros_like(self.position_scale), self.position_scale.expand(rows - 1)]
        )
        dot, square = self._dot(key, memory_key, scale, self.pooled == 'both', places)
        best = dot.amax(dim=-1)
        if rows == 2:
            affinity = attend(dot, best)
        else:
            later = attend(dot[:, 1:].transpose(1, 2).flatten(2))
            later = later.unflatten(2, (rows - 1, -1)).transpose(1, 2)
            affinity = torch.cat([attend(dot[:, :1], best[:, :1]), later], dim=1)
            best = torch.stack([best[:, 0], best[:, 1:].amax(dim=1)], dim=1)
        return affinity, torch.exp(-(square[:, :2] - best).clamp(min=0))

    def _read(
        self, key: Tensor, memory_key: Tensor, values: Tensor, places: Places | None = None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """
        Read the memory.

        :param values: (B, R, K * Cv, N), all objects in one product for each row: a fifth faster
            than one product an object.
        :return: what was read (B, 2, K * Cv, N) of the prompted and of the later frames; `match`
            as from `affinity`; the attention (B, N, M) over the prompted frame and over the later
            ones.
        """
        h, w = key.shape[-2:]
        if self.pooled == 'prompted':
            return self._read_pooled_and_later(key, memory_key, values)
        with torch.autocast(key.device.type, enabled=False):
            affinity, match = self.affinity(key, memory_key, places)
        if self.pooled == 'both':
            values = _pooled(values, h, w)
        readout = values @ affinity.to(values.dtype).transpose(2, 3)
        if readout.shape[1] > 2:  # all later frames share one softmax, hence one read-out
            readout = torch.stack([readout[:, 0], readout[:, 1:].sum(1)], dim=1)
        return readout, match, affinity[:, 0], affinity[:, 1:].transpose(1, 2).flatten(2)

    def _read_pooled_and_later(
        self, key: Tensor, memory_key: Tensor, values: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """See `_read`; the rows differ in length here, so each is read by itself."""
        h, w = key.shape[-2:]
        with torch.autocast(key.device.type, enabled=False):
            still = torch.zeros_like(self.position_scale)
            dot, square = self._dot(key, memory_key[:, :1], still, True)
            long, far = attend(dot[:, 0]), square - dot.amax(dim=-1)
            scale = self.position_scale.expand(memory_key.shape[1] - 1)
            dot, square = self._dot(key, memory_key[:, 1:], scale, False)
            dot = dot.transpose(1, 2).flatten(2)
            short, near = attend(dot), square[:, :1] - dot.amax(dim=-1)[:, None]
            match = torch.exp(-torch.cat([far, near], dim=1).clamp(min=0))
        prompted = _pooled(values[:, :1], h, w)[:, 0]
        later = values[:, 1:].transpose(1, 2).flatten(2)
        read = [
            prompted @ long.to(values.dtype).transpose(1, 2),
            later @ short.to(values.dtype).transpose(1, 2),
        ]
        return torch.stack(read, dim=1), match, long, short

    def segment(
        self,
        features: Features,
        memory_key: Tensor,
        memory_value: Tensor,
        places: Places | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """
        See the base class.

        :param places: for features that are a window of a frame: where the tokens of the key and
            those of the memory lie.
        """
        b, k = memory_value.shape[:2]
        h, w = features['key'].shape[-2:]
        values = memory_value.transpose(1, 2).flatten(2, 3)
        readout, match, long, short = self._read(features['key'], memory_key, values, places)
        readout = readout.unflatten(2, (k, self.value_dim)).transpose(1, 2)
        match_map = match.unflatten(-1, (h, w)).to(memory_value.dtype)
        if b == 1:
            match_map = match_map.expand(k, -1, -1, -1)
        else:
            match_map = match_map.repeat_interleave(k, dim=0)
        logits, x, propagated = self._decode(features, readout, match_map, b, k)
        return logits, {
            'decoder': x,
            'propagated': propagated.unflatten(0, (b, k)),
            'attention_long': long,
            'attention_short': short,
        }

    def segment_groups(
        self, features: Features, keys: Tensor, value: Tensor, member: Tensor
    ) -> Tensor:
        """See the base class; reads once for each group, decodes once."""
        k = value.shape[0]
        h, w = features['key'].shape[-2:]
        values = value.transpose(0, 1).flatten(1, 2)[None]
        readout, match_map = torch.zeros(()), torch.zeros(())
        for key, chosen in zip(keys, member, strict=True):
            read, match, _long, _short = self._read(features['key'], key[None], values)
            read = read.unflatten(2, (k, self.value_dim)).transpose(1, 2)[0]
            chosen = chosen[:, None, None, None] > 0
            readout = torch.where(chosen, read, readout)
            match_map = torch.where(chosen, match.unflatten(-1, (h, w)), match_map)
        return self._decode(features, readout[None], match_map, 1, k)[0][0]

    def _decode(
        self, features: Features, readout: Tensor, match_map: Tensor, b: int, k: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """
        Decode what was read of each object.

        :param readout: (B, K, 2, Cv, N).
        :param match_map: (B * K, 2, h, w).
        :param b: B, and
        :param k: K, as an input of the graph has them: read from `readout`, which was shaped by
            them, they would be the constants of the export.
        :return: logits (B, K, h4, w4), decoder and propagated features (B * K, ...).
        """
        readout = readout.unflatten(-1, match_map.shape[-2:])  # (B, K, 2, Cv, h, w)
        fine = readout[:, :, :, self.stored_width :].flatten(0, 2)
        propagated = F.pixel_shuffle(fine, 4).unflatten(0, (b * k, 2))[:, :, 0]
        x = torch.cat([readout.flatten(0, 1).flatten(1, 2), match_map], dim=1)
        x = self.block16(self.readout_conv(x) + per_object(features['d16'], k))
        x = F.interpolate(self.up8(x), scale_factor=2, mode='bilinear', align_corners=False)
        x = x + per_object(features['s8'], k)
        if self.finest == 8:
            x = F.relu(self.block8(x + self.propagated_conv(propagated)))
            logits, x = (
                F.interpolate(y, scale_factor=2, mode='bilinear', align_corners=False)
                for y in (self.predict(x), x)
            )
        else:
            x = self.up4(self.block8(x))
            x = F.interpolate(x, scale_factor=2, mode='bilinear', align_corners=False)
            x = x + per_object(features['s4'], k) + self.propagated_conv(propagated)
            x = F.relu(self.block4(x))
            logits = self.predict(x)
        return logits[:, 0].unflatten(0, (b, k)), x, propagated


class ChannelSpatialAttention(nn.Module):
    """CBAM (Woo et al. 2018): channel, then spatial attention; part of STCN's fuser."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        hidden = max(channels // reduction, 1)
        self.mlp = nn.Sequential(
            nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels)
        )
        self.spatial = nn.Conv2d(2, 1, 7, 1, 3)

    def forward(self, x: Tensor) -> Tensor:
        gate = self.mlp(x.mean((2, 3))) + self.mlp(x.amax((2, 3)))
        x = x * gate.sigmoid()[:, :, None, None]
        pooled = torch.cat([x.amax(1, keepdim=True), x.mean(1, keepdim=True)], dim=1)
        return x * self.spatial(pooled).sigmoid()


class FeatureFusion(nn.Module):
    """STCN's fuser: ResBlock, CBAM, ResBlock over [value trunk, key trunk] at stride 16."""

    def __init__(self, in_ch: int, out_ch: int) -> None:
        super().__init__()
        self.block1 = ResBlock(in_ch, out_ch)
        self.attention = ChannelSpatialAttention(out_ch)
        self.block2 = ResBlock(out_ch, out_ch)

    def forward(self, x: Tensor) -> Tensor:
        x = self.block1(x)
        return self.block2(x + self.attention(x))


class Aspp(nn.Module):
    """Atrous spatial pyramid pooling (DeepLabv3): 1x1, three dilated 3x3, image pooling."""

    def __init__(self, in_ch: int, out_ch: int, rates: tuple[int, ...]) -> None:
        super().__init__()
        self.point = nn.Conv2d(in_ch, out_ch, 1)
        self.dilated = nn.ModuleList(
            nn.Conv2d(in_ch, out_ch, 3, 1, rate, dilation=rate) for rate in rates
        )
        self.pool = nn.Conv2d(in_ch, out_ch, 1)
        self.project = nn.Conv2d(out_ch * (len(rates) + 2), out_ch, 1)

    def forward(self, x: Tensor) -> Tensor:
        pooled = F.relu(self.pool(x.mean((2, 3), keepdim=True))).expand(-1, -1, *x.shape[-2:])
        maps = [F.relu(self.point(x)), *(F.relu(conv(x)) for conv in self.dilated), pooled]
        return self.project(torch.cat(maps, dim=1))


class _UpsampleBlock(nn.Module):
    """STCN's decoder stage: 3x3 skip convolution, add the upsampled input, ResBlock."""

    def __init__(self, skip_ch: int, in_ch: int, out_ch: int) -> None:
        super().__init__()
        self.skip_conv = nn.Conv2d(skip_ch, in_ch, 3, 1, 1)
        self.block = ResBlock(in_ch, out_ch)

    def forward(self, skip: Tensor, x: Tensor, objects: int) -> Tensor:
        up = F.interpolate(x, scale_factor=2, mode='bilinear', align_corners=False)
        return self.block(per_object(self.skip_conv(skip), objects) + up)


class MobileVosStudent(Student):
    """
    MobileVOS (Miles et al., CVPR 2023): STCN's topology, shrunk, with a finite memory.

    The widths are derived from the published parameter counts (`docs/training.md`).

    :param backbone: of the key encoder; the value encoder is a second one of the same kind
        which sees RGB, the object's mask and the sum of the other objects' masks.
    :param value_backbone: another kind for the value encoder (STCN), or '' for the same.
    :param aspp: rates of an ASPP on [read-out, query value]; () for none.
    """

    segment_features = ('query_value', 'f8', 'f4')
    mask_features = ('image', 'f16')

    def __init__(
        self,
        backbone: str,
        key_dim: int = 64,
        value_dim: int = 64,
        decoder: tuple[int, int, int] = (64, 64, 64),
        aspp: tuple[int, ...] = (),
        value_backbone: str = '',
    ) -> None:
        super().__init__()
        if backbone == 'mobilenet_v2':
            self.mean = self.std = (127.5, 127.5, 127.5)
        self.backbone = BACKBONES[backbone](in_channels=3)
        self.value_backbone = BACKBONES[value_backbone or backbone](in_channels=5)
        c4, c8, c16 = self.backbone.channels
        fused = c16 + self.value_backbone.channels[2]
        self.key_dim = key_dim
        self.value_dim = value_dim
        self.key_proj = nn.Conv2d(c16, key_dim, 3, 1, 1)
        # Keys begin at unit scale, as in FastStudent. As it is, ResNet18's features are so small
        # that every token looks like every other (the entropy of the affinity is 6.35 of 6.36, and
        # 6.11 after 1000 steps), and MobileNetV2's so large that the affinity is one-hot.
        nn.init.orthogonal_(self.key_proj.weight, gain=1 / self.backbone.feature_std[2])
        nn.init.zeros_(self.key_proj.bias)  # type: ignore[arg-type]
        self.query_value = nn.Conv2d(c16, value_dim, 3, 1, 1)
        self.fuser = FeatureFusion(fused, value_dim)
        width = 2 * value_dim
        self.aspp = Aspp(width, width, aspp) if aspp else None
        self.compress = ResBlock(width, decoder[0])
        self.up8 = _UpsampleBlock(c8, decoder[0], decoder[1])
        self.up4 = _UpsampleBlock(c4, decoder[1], decoder[2])
        self.predict = nn.Conv2d(decoder[2], 1, 3, 1, 1)

    def encode_image(self, image: Tensor) -> Features:
        """See the module; `image` is normalised already and is part of the features."""
        f4, f8, f16 = self.backbone(image)
        return {
            'key': self.key_proj(f16),
            'query_value': self.query_value(f16),
            'f16': f16,
            'f8': f8,
            'f4': f4,
            'image': image,
        }

    def encode_mask(self, features: Features, masks: Tensor, others: Tensor) -> Tensor:
        """See the module; masks are brought to full resolution here."""
        b, k = masks.shape[:2]
        x = torch.stack([masks, others], dim=2).flatten(0, 1)
        x = F.interpolate(x, scale_factor=4, mode='bilinear', align_corners=False)
        image = features['image']
        image = image.expand(k, -1, -1, -1) if b == 1 else image.repeat_interleave(k, dim=0)
        f16 = features['f16']
        f16 = f16.expand(k, -1, -1, -1) if b == 1 else f16.repeat_interleave(k, dim=0)
        trunk = self.value_backbone(torch.cat([image, x.to(image.dtype)], dim=1))[2]
        value = self.fuser(torch.cat([trunk, f16], dim=1))
        return value.flatten(2).unflatten(0, (b, k))

    def affinity(self, key: Tensor, memory_key: Tensor) -> Tensor:
        """
        STCN's affinity over both memory frames together.

        :param key: (B, Ck, h16, w16).
        :param memory_key: (B, M, Ck, N).
        :return: (B, N query, M * N memory), rows sum to 1.
        """
        temper = self.key_dim**-0.25
        query = key.flatten(2).float() * temper
        memory = memory_key.float().transpose(1, 2).flatten(2) * temper
        return attend(closeness(query, memory))

    def segment(
        self, features: Features, memory_key: Tensor, memory_value: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """See the base class."""
        b, k = memory_value.shape[:2]
        h, w = features['key'].shape[-2:]
        with torch.autocast(features['key'].device.type, enabled=False):
            affinity = self.affinity(features['key'], memory_key)
        value = memory_value.transpose(2, 3).flatten(3)  # (B, K, Cv, M * N)
        readout = value @ affinity.to(value.dtype).transpose(1, 2)[:, None]
        readout = readout.unflatten(-1, (h, w)).flatten(0, 1)
        query_value = features['query_value']
        if b == 1:
            query_value = query_value.expand(k, -1, -1, -1)
        else:
            query_value = query_value.repeat_interleave(k, dim=0)
        x = torch.cat([readout, query_value.to(readout.dtype)], dim=1)
        if self.aspp is not None:
            x = self.aspp(x)
        x = self.compress(x)
        x = self.up8(features['f8'], x, k)
        x = F.relu(self.up4(features['f4'], x, k))
        logits = self.predict(x)[:, 0].unflatten(0, (b, k))
        return logits, {'decoder': x}
