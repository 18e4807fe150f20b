# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The second family: gated propagation with deformable attention, all objects in one pass.

After DeAOT (Yang and Yang, NeurIPS 2022) and "distillation learning of deformable attention"
(Truong et al., arXiv 2401.13937). Two streams run over the stride-16 grid, one of what things look
like and one of which object they are; both are read from the memory with the same attention map.
Objects enter as the sum of an embedding each, so that ten cost about as much as one.

What differs from the sources, and why, is in `docs/training.md` (Deformable attention).
"""

from dataclasses import dataclass

import torch
from torch import nn, Tensor
import torch.nn.functional as F

from vos_distill.networks.attention import attend, closeness
from vos_distill.networks.student import cell_grid, Features, per_object, ResBlock, Student

MAX_OBJECTS = 10
_PATCH = 16  # pixels of the stride-4 mask in a cell of the stride-16 grid


class ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of a map (B, C, h, w), each position by itself."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class OffsetNetwork(nn.Module):
    """
    Where to look in a memory frame, told from the query map (DAT, Xia et al., CVPR 2022).

    Zero at the start of training: the plain grid.

    :param channels: of the query.
    :param stride: one point for every `stride` x `stride` cells.
    :param reach: largest offset, cells of the stride-16 grid.
    """

    def __init__(self, channels: int, stride: int, reach: float) -> None:
        super().__init__()
        self.stride, self.reach = stride, reach
        self.depthwise = nn.Conv2d(channels, channels, 5, stride, 2, groups=channels)
        self.norm = ChannelNorm(channels)
        self.point = nn.Conv2d(channels, 2, 1, bias=False)
        nn.init.zeros_(self.point.weight)

    def forward(self, query: Tensor) -> Tensor:
        """
        Give the points to sample.

        :param query: (B, C, h, w).
        :return: (B, 2, hg, wg) x and y in cells, 0 = the centre of the map, float32; a point's
            own place is the centre of its `stride` x `stride` block.
        """
        offset = self.point(F.gelu(self.norm(self.depthwise(query)))).float()
        hg, wg = offset.shape[-2:]
        h, w = query.shape[-2:]
        own = cell_grid(hg, wg, query).unflatten(1, (hg, wg)) * self.stride
        # blocks start at the first cell: with sizes that the stride does not divide, the centre
        # of all blocks lies beside that of the map
        beside = (_half(wg * self.stride - w, query), _half(hg * self.stride - h, query))
        return own + torch.stack(beside).view(2, 1, 1) + self.reach * torch.tanh(offset)


def _half(cells: int | Tensor, like: Tensor) -> Tensor:
    return torch.zeros((), device=like.device) + cells / 2


@dataclass
class MemoryRows:
    """
    What one layer reads of the memory, on the stride-16 grid.

    :param key: (B, R, Ck, h, w).
    :param value: (B, R, C, h, w): the visual value, the identity value, and the masks of the
        objects, (..., K * 16), one after the other.
    """

    key: Tensor
    value: Tensor

    def take(self, rows: slice) -> 'MemoryRows':
        """Keep some rows."""
        return MemoryRows(self.key[:, rows], self.value[:, rows])


class GatedAttention(nn.Module):
    """
    One branch of gated propagation: read at deformed points, gate, mix, project.

    A = softmax(-|q - k~|^2 / sqrt(Ck) - (distance / scale)^2),
    output = W_o DWConv5x5(A v~ * gate), with k~ and v~ sampled bilinearly at the grid plus
    offsets. The squared distance of keys is STCN's affinity, in place of DeAOT's product.

    :param width: of each stream.
    :param value_width: of the visual value, and of the identity value.
    :param offsets: where to sample; None = on every cell, plain attention.
    :param is_near: objects seldom jump: far points count less (learned).
    """

    def __init__(
        self,
        width: int,
        key_dim: int,
        value_width: int,
        offsets: OffsetNetwork | None,
        *,
        is_near: bool,
    ) -> None:
        super().__init__()
        self.offsets = offsets
        self.temper = key_dim**-0.25
        self.nearness = nn.Parameter(torch.tensor([1 / 6])) if is_near else None
        self.depthwise = nn.Conv2d(
            2 * value_width, 2 * value_width, 5, 1, 2, groups=2 * value_width
        )
        self.project = nn.Conv2d(2 * value_width, 2 * width, 1)

    def read(self, query: Tensor, memory: MemoryRows) -> tuple[Tensor, Tensor]:
        """
        Attend.

        :param query: (B, Ck, h, w).
        :return: read-out (B, C, h, w) of all channels of the value, and the attention map
            (B, N, R * points), whose rows sum to 1.
        """
        rows = memory.key.shape[1]
        h, w = query.shape[-2:]
        with torch.autocast(query.device.type, enabled=False):
            query = query.float()
            key, value = memory.key.float(), memory.value
            place = cell_grid(h, w, query)[None]
            if self.offsets is None:
                key, value, points = key.flatten(3), value.flatten(3), place
            else:
                at = self.offsets(query)  # (B, 2, hg, wg)
                # of the query, not of the memory: the exporter takes a reshaped map's for fixed
                half = torch.stack([_half(w, query), _half(h, query)])
                sampled = _sample(torch.cat([key, value.float()], dim=2), at, half)
                key = sampled[:, :, : key.shape[2]]
                value = sampled[:, :, key.shape[2] :].to(memory.value.dtype)
                points = at.flatten(2)
            q, k = query.flatten(2) * self.temper, key * self.temper
            if self.nearness is not None:
                q = torch.cat([q, (self.nearness * place).expand(len(q), -1, -1)], dim=1)
                near = (self.nearness * points)[:, None].expand(len(k), rows, -1, -1)
                k = torch.cat([k, near], dim=2)
            dot = closeness(q[:, None].expand(-1, rows, -1, -1), k)
            attention = attend(dot.transpose(1, 2).flatten(2))
        value = value.transpose(1, 2).flatten(2)  # (B, C, R * points)
        readout = value @ attention.to(value.dtype).transpose(1, 2)
        return readout.unflatten(2, (h, w)), attention

    def forward(self, readout: Tensor, gate: Tensor) -> Tensor:
        """Give both streams' updates (B, 2 * width, h, w) from read-out and gate."""
        return self.project(self.depthwise(readout * gate))


def _sample(maps: Tensor, at: Tensor, half: Tensor) -> Tensor:
    """
    Read maps bilinearly; beyond the border the nearest cell counts.

    :param maps: (B, R, C, h, w).
    :param at: (B, 2, hg, wg) in cells from the centre.
    :param half: (2,) w / 2 and h / 2.
    :return: (B, R, C, hg * wg).
    """
    rows = maps.shape[1]
    grid = (at / half.view(1, 2, 1, 1)).permute(0, 2, 3, 1)
    grid = grid[:, None].expand(-1, rows, -1, -1, -1).flatten(0, 1)
    read = F.grid_sample(maps.flatten(0, 1), grid, padding_mode='border', align_corners=False)
    return read.flatten(2).unflatten(0, (-1, rows))


class SelfPropagation(nn.Module):
    """Gated propagation of a frame within itself, over both streams (DeAOT)."""

    def __init__(self, width: int, key_dim: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(2 * width)
        self.key = nn.Conv2d(2 * width, key_dim, 1)
        self.value = nn.Conv2d(2 * width, 2 * width, 1)
        self.gate = nn.Conv2d(2 * width, 2 * width, 1)
        self.attention = GatedAttention(width, key_dim, width, None, is_near=False)

    def forward(self, x: Tensor) -> Tensor:
        """Give the update of both streams, (B, 2 * width, h, w)."""
        normed = self.norm(x)
        query = self.key(normed)
        memory = MemoryRows(query[:, None], F.silu(self.value(normed))[:, None])
        readout, _ = self.attention.read(query, memory)
        return self.attention(readout, F.silu(self.gate(normed)))


class GatedPropagation(nn.Module):
    """
    A gated propagation module: long-term and short-term memory, then the frame itself.

    :param width: of each of both streams.
    :param is_first: the identity stream is empty before it, and does not gate.
    :param strides: of the points in long-term and short-term memory.
    :param deformable: sample where the query tells; False = plain attention on every cell.
    """

    def __init__(
        self,
        width: int,
        key_dim: int,
        value_width: int,
        *,
        is_first: bool,
        deformable: bool,
        strides: tuple[int, int],
        self_propagation: bool,
    ) -> None:
        super().__init__()
        self.value_width = value_width
        self.norm = ChannelNorm(width)
        self.key = nn.Conv2d(width, key_dim, 1)
        self.value = nn.Conv2d(width, value_width, 1)
        self.gate = nn.Conv2d(width, value_width, 1)
        # untouched, the keys of all cells are much alike and nothing is matched at first
        nn.init.orthogonal_(self.key.weight)
        nn.init.zeros_(self.key.bias)  # type: ignore[arg-type]
        self.identity_norm = None if is_first else ChannelNorm(width)
        self.identity_gate = None if is_first else nn.Conv2d(width, value_width, 1)
        self.identity_value = nn.Conv2d(width if is_first else 2 * width, value_width, 1)

        def offsets(stride: int, reach: float) -> OffsetNetwork | None:
            return OffsetNetwork(key_dim, stride, reach) if deformable else None

        self.long = GatedAttention(
            width, key_dim, value_width, offsets(strides[0], 4.0), is_near=False
        )
        self.short = GatedAttention(
            width, key_dim, value_width, offsets(strides[1], 7.0), is_near=True
        )
        self.within = SelfPropagation(width, key_dim) if self_propagation else None

    def look(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Give key (also the query), visual value and visual gate of frames (B, width, h, w)."""
        normed = self.norm(x)
        return self.key(normed), F.silu(self.value(normed)), F.silu(self.gate(normed))

    def remember(self, identity: Tensor | None, embedding: Tensor) -> Tensor:
        """
        Give the identity value of frames whose masks are known.

        :param identity: (B, width, h, w) stream of that frame; None in the first layer.
        :param embedding: (B, width, h, w), the sum of the objects' embeddings.
        """
        if self.identity_norm is None or identity is None:
            return F.silu(self.identity_value(embedding))
        joined = torch.cat([self.identity_norm(identity), embedding], dim=1)
        return F.silu(self.identity_value(joined))

    def forward(
        self,
        streams: Tensor,
        query: Tensor,
        gate: Tensor,
        memory: MemoryRows,
    ) -> tuple[Tensor, tuple[Tensor, Tensor], dict[str, Tensor]]:
        """
        Propagate.

        :param streams: (B, 2 * width, h, w): visual, then identity.
        :param query: (B, Ck, h, w).
        :param gate: (B, value_width, h, w) of the visual stream.
        :param memory: the last row is the most recent frame; all others are long-term memory.
        :return: the streams; what the masks became in long-term and short-term read-out,
            (B, K * 16, h, w) each; the attention maps `long` and `short`.
        """
        if self.identity_norm is None or self.identity_gate is None:
            gate = torch.cat([gate, torch.ones_like(gate)], dim=1)
        else:
            identity = streams[:, streams.shape[1] // 2 :]
            gate = torch.cat(
                [gate, F.silu(self.identity_gate(self.identity_norm(identity)))], dim=1
            )
        width = 2 * self.value_width
        far, a_long = self.long.read(query, memory.take(slice(None, -1)))
        near, a_short = self.short.read(query, memory.take(slice(-1, None)))
        streams = streams + self.long(far[:, :width], gate) + self.short(near[:, :width], gate)
        if self.within is not None:
            streams = streams + self.within(streams)
        return (
            streams,
            (far[:, width:], near[:, width:]),
            {'long': a_long, 'short': a_short},
        )


class GatedStudent(Student):
    """
    Gated propagation over {first, most recent}; with more layers and rows, the teacher.

    What is stored of an object is its stride-4 mask, 16 numbers a cell. Which of the ten
    embeddings it gets is decided anew in every call, by its place in the batch, for both memory
    frames together: removing an object renumbers nothing that was stored.

    `key` holds the keys and the visual values of the one layer. With several layers it holds the
    visual stream instead, and a memory frame's own streams are propagated from itself, layer by
    layer, whenever they are read: simple, and slow, as befits a teacher.

    :param layers: gated propagation modules.
    :param decoder: channels at stride 16, 8, 4.
    """

    segment_features = ('stream', 'gate', 's8', 's4')
    mask_features = ()
    max_objects: int = MAX_OBJECTS

    def __init__(
        self,
        backbone: str = 'mobilenet_v2',
        width: int = 96,
        key_dim: int = 64,
        value_width: int = 96,
        decoder: tuple[int, int, int] = (96, 48, 32),
        *,
        layers: int = 1,
        deformable: bool = True,
        strides: tuple[int, int] = (2, 1),
        self_propagation: bool = True,
    ) -> None:
        super().__init__()
        c4, c8, c16 = self.take_backbone(backbone)
        d16, d8, d4 = decoder
        self.width = width
        self.query_dim = key_dim
        self.key_dim = key_dim + value_width if layers == 1 else width
        self.value_dim = _PATCH
        self.stream_proj = nn.Conv2d(c16, width, 1)
        self.layers = nn.ModuleList(
            GatedPropagation(
                width,
                key_dim,
                value_width,
                is_first=index == 0,
                deformable=deformable,
                strides=strides,
                self_propagation=self_propagation,
            )
            for index in range(layers)
        )
        # one embedding for each place in the batch: of 4x4 mask pixels at stride 16, of the two
        # propagated masks at stride 4, and what tells an object's pixels in the last features
        self.embedding = nn.Parameter(torch.randn(MAX_OBJECTS, width, _PATCH) * _PATCH**-0.5)
        self.embedding_norm = ChannelNorm(width)
        self.fine_embedding = nn.Parameter(torch.randn(MAX_OBJECTS, d4, 2) * 0.5)
        self.head = nn.Parameter(torch.randn(MAX_OBJECTS, d4) * 0.05)
        self.join16 = nn.Conv2d(2 * width, d16, 3, 1, 1)
        self.block16 = ResBlock(d16, d16)
        self.up8 = nn.Conv2d(d16, d8, 1)
        self.skip8 = nn.Conv2d(c8, d8, 1)
        self.block8 = ResBlock(d8, d8)
        self.up4 = nn.Conv2d(d8, d4, 1)
        self.skip4 = nn.Conv2d(c4, d4, 1)
        self.block4 = ResBlock(d4, d4)
        # against background; and how much both propagated masks count as they are
        self.background = nn.Conv2d(d4, 1, 1)
        self.trust = nn.Conv2d(d4, 2, 1)
        nn.init.zeros_(self.background.weight)
        nn.init.zeros_(self.trust.weight)
        nn.init.constant_(self.background.bias, 2.0)  # type: ignore[arg-type]
        nn.init.constant_(self.trust.bias, 2.0)  # type: ignore[arg-type]
        self._places: Tensor | None = None

    @property
    def propagation(self) -> list[GatedPropagation]:
        """The layers, with their type."""
        return [layer for layer in self.layers if isinstance(layer, GatedPropagation)]

    def draw(self, generators: list[torch.Generator]) -> None:
        """Let every clip of the next batch use other embeddings, so that all ten are trained."""
        self._places = torch.stack(
            [torch.randperm(MAX_OBJECTS, generator=generator) for generator in generators]
        )

    def _chosen(self, bank: Tensor, b: int, k: int) -> Tensor:
        """Give the entries of a bank (10, ...) for K objects, (B or 1, K, ...)."""
        # not `training`: that says whether BatchNorm keeps its statistics
        if self._places is None or len(self._places) != b or not torch.is_grad_enabled():
            return bank[None, :k]
        return bank[self._places[:, :k].to(bank.device)]

    def encode_image(self, image: Tensor) -> Features:
        """See the base class; `image` is normalised already."""
        f4, f8, f16 = self.backbone_features(image)
        stream = self.stream_proj(f16)
        query, value, gate = self.propagation[0].look(stream)
        key = torch.cat([query, value], dim=1) if len(self.layers) == 1 else stream
        return {
            'key': key,
            'stream': stream,
            'gate': gate,
            's8': self.skip8(f8),
            's4': self.skip4(f4),
        }

    def encode_mask(self, features: Features, masks: Tensor, others: Tensor) -> Tensor:
        """See the base class: the mask as it is, 4 x 4 pixels in a cell's channels."""
        return F.pixel_unshuffle(masks, 4).unflatten(1, (-1, _PATCH)).flatten(3)

    def segment(
        self, features: Features, memory_key: Tensor, memory_value: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """See the base class; at most `max_objects` objects."""
        b, k = memory_value.shape[:2]
        h, w = features['key'].shape[-2:]
        masks = memory_value.transpose(1, 2).flatten(2, 3)  # (B, R, K * 16, N)
        bank = self._chosen(self.embedding, b, k).transpose(1, 2).flatten(2)  # (., width, K * 16)
        embedding = (bank[:, None].to(masks.dtype) @ masks).unflatten(3, (h, w))
        embedding = self.embedding_norm(embedding.flatten(0, 1))  # (B * R, width, h, w)
        streams, propagated, maps = self._propagate(
            features, memory_key.unflatten(3, (h, w)), embedding, masks.unflatten(3, (h, w))
        )
        fine = torch.stack([F.pixel_shuffle(p, 4) for p in propagated], dim=2)  # (B, K, 2, h4, w4)
        x = self.block16(self.join16(streams))
        x = F.interpolate(self.up8(x), scale_factor=2, mode='bilinear', align_corners=False)
        x = self.block8(x + features['s8'])
        x = F.interpolate(self.up4(x), scale_factor=2, mode='bilinear', align_corners=False)
        h4, w4 = features['s4'].shape[-2:]
        code = self._chosen(self.fine_embedding, b, k).transpose(1, 2).flatten(2)  # (., d4, K * 2)
        coded = code.to(fine.dtype) @ fine.flatten(3).flatten(1, 2)
        x = F.relu(self.block4(x + features['s4'] + coded.unflatten(2, (h4, w4))))
        won = (self._chosen(self.head, b, k).to(x.dtype) @ x.flatten(2)).flatten(0, 1)
        # objects as the batch: OpenVINO fails where a free number of channels is broadcast to
        trusted = (per_object(self.trust(x), k) * fine.flatten(0, 1)).sum(1)
        ground = per_object(self.background(x), k)[:, 0]
        logits = (won.unflatten(1, (h4, w4)) + trusted - ground).unflatten(0, (b, k))
        extras = {
            'decoder': x.repeat_interleave(k, dim=0),
            'propagated': fine,
            'attention_long': maps['long'],
            'attention_short': maps['short'],
        }
        return logits, extras

    def _propagate(
        self, features: Features, memory_key: Tensor, embedding: Tensor, masks: Tensor
    ) -> tuple[Tensor, tuple[Tensor, Tensor], dict[str, Tensor]]:
        """
        Run the layers.

        :param memory_key: (B, R, Ck, h, w).
        :param embedding: (B * R, width, h, w) of the memory frames' masks.
        :param masks: (B, R, K * 16, h, w), read out beside the values.
        """
        b, rows = masks.shape[:2]
        stream = features['stream']
        streams = torch.cat([stream, torch.zeros_like(stream)], dim=1)
        first = self.propagation[0]
        if len(self.layers) == 1:
            key, value = memory_key.split([self.query_dim, first.value_width], dim=2)
            query = features['key'][:, : self.query_dim]
            own = first.remember(None, embedding).unflatten(0, (b, rows))
            memory = MemoryRows(key, torch.cat([value, own, masks.to(own.dtype)], dim=2))
            return first(streams, query, features['gate'], memory)
        seen = memory_key.flatten(0, 1)
        past = torch.cat([seen, torch.zeros_like(seen)], dim=1)  # streams of the memory frames
        for index, layer in enumerate(self.propagation):
            query, _value, gate = layer.look(streams[:, : self.width])
            key, value, past_gate = layer.look(past[:, : self.width])
            own = layer.remember(past[:, self.width :], embedding)
            value = torch.cat([value, own, masks.flatten(0, 1).to(own.dtype)], dim=1)
            memory = MemoryRows(key.unflatten(0, (b, rows)), value.unflatten(0, (b, rows)))
            streams, propagated, maps = layer(streams, query, gate, memory)
            if index + 1 < len(self.layers):
                # a memory frame knows its masks: it is its own past
                itself = MemoryRows(
                    torch.stack([key, key], dim=1), torch.stack([value, value], dim=1)
                )
                past = layer(past, key, past_gate, itself)[0]
        return streams, propagated, maps
