# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
AOT-T of a user's own clone as one ONNX graph on onnxruntime; used by peer_worker.py.

One run of the graph is one frame: an image and what is remembered go in, labels of every pixel and
the next short-term memory come out. Layers and weights are the clone's own; only its attention is
written anew, with the same result up to rounding, as the clone's neither exports nor is fast.
The size and the number of objects are fixed at export, which lets the graph leave out the channels
of ids that nobody has.

Tokens are (heads, H * W, channels per head), row by row of the grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
import tempfile
from typing import Any
import warnings

import onnxruntime as ort
import torch
from torch import nn
import torch.nn.functional as F

#: Added to the score of a key that may not be looked at, as AOT does.
OUT_OF_SIGHT = -1e8


def split_heads(tokens: torch.Tensor, heads: int) -> torch.Tensor:
    """Return (N, C) as (heads, N, C / heads)."""
    return tokens.unflatten(1, (heads, -1)).transpose(0, 1)


def join_heads(tokens: torch.Tensor) -> torch.Tensor:
    """Return (heads, N, C) as (N, heads * C)."""
    return tokens.transpose(0, 1).flatten(1)


def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Look at all keys; each (heads, N, C), scaled already."""
    return torch.softmax(query @ key.transpose(1, 2), dim=-1) @ value


class Tiles:
    """
    The grid cut into tiles, each with the keys that its queries may see.

    :param size: (H, W) of the grid.
    :param tile: (H, W) of a tile.
    :param reach: rows and columns to each side that a query sees.
    """

    def __init__(self, size: tuple[int, int], tile: tuple[int, int], reach: int) -> None:
        self.size, self.tile, self.reach = size, tile, reach
        self.grid = (-(-size[0] // tile[0]), -(-size[1] // tile[1]))
        self.seen = (tile[0] + 2 * reach, tile[1] + 2 * reach)
        padded = [count * side + 2 * reach for count, side in zip(self.grid, tile)]
        rows, columns = (
            torch.arange(count)[:, None] * side + torch.arange(seen)
            for count, side, seen in zip(self.grid, tile, self.seen)
        )
        where = rows[:, None, :, None] * padded[1] + columns[None, :, None, :]
        self._where = where.flatten(2).flatten(0, 1)  # tiles, keys of a tile
        below, right = (p - s - reach for p, s in zip(padded, size))
        self._margin = (0, 0, reach, right, reach, below)

    def keys(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return (heads, H * W, C) as (heads, tiles, keys of a tile, C), zeros outside."""
        grid = F.pad(tokens.unflatten(1, self.size), self._margin)
        return grid.flatten(1, 2)[:, self._where]

    def queries(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return (heads, H * W, C) as (heads, tiles, queries of a tile, C)."""
        (high, wide), (h, w) = self.grid, self.tile
        more = (0, 0, 0, wide * w - self.size[1], 0, high * h - self.size[0])
        grid = F.pad(tokens.unflatten(1, self.size), more)
        cut = grid.unflatten(2, (wide, w)).unflatten(1, (high, h)).transpose(2, 3)
        return cut.flatten(3, 4).flatten(1, 2)

    def together(self, tiles: torch.Tensor) -> torch.Tensor:
        """Return what `queries` gave as (heads, H * W, C)."""
        (high, wide), (h, w) = self.grid, self.tile
        cut = tiles.unflatten(2, (h, w)).unflatten(1, (high, wide)).transpose(2, 3)
        grid = cut.flatten(3, 4).flatten(1, 2)
        return grid[:, : self.size[0], : self.size[1]].flatten(1, 2)

    def outside(self) -> torch.Tensor:
        """Return (tiles, 1, keys): what to add to scores, for keys beyond the grid's edges."""
        inside = self.keys(torch.ones(1, self.size[0] * self.size[1], 1))[0]
        return (1 - inside).transpose(1, 2) * OUT_OF_SIGHT

    def by_position(self, windows: torch.Tensor, fill: float) -> torch.Tensor:
        """
        Place a window's values for each query of a tile among the tile's keys.

        :param windows: (heads, C, window, window).
        :return: (heads, queries of a tile, C, keys of a tile), `fill` outside of the window.
        """
        side = 2 * self.reach + 1
        (h, w), seen = self.tile, self.seen
        placed = windows.new_full((len(windows), h * w, windows.shape[1], *seen), fill)
        for y in range(h):
            for x in range(w):
                placed[:, y * w + x, :, y : y + side, x : x + side] = windows
        return placed.flatten(3)


class WindowAttention(nn.Module):
    """
    Attention to a window around each query, with embeddings of the relative position.

    A tile of queries looks at all keys that one of them may see, in one product, and what is out
    of a query's own window is masked. Embeddings become one more product, by position in the tile.

    :param key_weight: (heads, C, window, window), scores by a query and a relative position.
    :param key_bias: (heads, window, window).
    :param value: (heads, C, window, window), added to the values by relative position.
    :param size: (H, W) of the grid.
    :param tile: (H, W) of a tile; as set, the fastest of those that were tried on a processor.
    """

    key_weight: torch.Tensor
    key_bias: torch.Tensor
    value: torch.Tensor
    outside: torch.Tensor

    def __init__(
        self,
        key_weight: torch.Tensor,
        key_bias: torch.Tensor,
        value: torch.Tensor,
        size: tuple[int, int],
        tile: tuple[int, int] = (4, 6),
    ) -> None:
        super().__init__()
        self.tiles = Tiles(size, tile, reach=value.shape[-1] // 2)
        self.scale = key_weight.shape[1] ** -0.5
        by_position = self.tiles.by_position
        self.register_buffer('key_weight', by_position(key_weight, 0.0))
        self.register_buffer('key_bias', by_position(key_bias[:, None], OUT_OF_SIGHT))
        self.register_buffer('value', by_position(value, 0.0).transpose(2, 3).contiguous())
        self.register_buffer('outside', self.tiles.outside())

    def forward(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        """Return (heads, H * W, C) of the same; the query is not scaled yet."""
        tiles = self.tiles
        asking = tiles.queries(query)
        relative = asking.transpose(1, 2) @ self.key_weight + self.key_bias
        scores = (asking * self.scale) @ tiles.keys(key).transpose(2, 3)
        weights = torch.softmax(scores + self.outside + relative.transpose(1, 2), dim=-1)
        found = weights @ tiles.keys(value)
        return tiles.together(found + (weights.transpose(1, 2) @ self.value).transpose(1, 2))


def window_attention(source: Any, size: tuple[int, int]) -> WindowAttention:
    """Take the weights of AOT's short-term attention."""
    heads, side = source.num_head, source.window_size
    embed = source.relative_emb_k
    return WindowAttention(
        embed.weight.detach().reshape(heads, side, side, -1).permute(0, 3, 1, 2),
        embed.bias.detach().reshape(heads, side, side),
        source.relative_emb_v.detach().unflatten(2, (side, side)),
        size,
    )


class Frame(nn.Module):
    """
    One frame of AOT-T with its memory as tensors.

    :param network: the clone's model, with one layer of propagation.
    :param size: (H, W) of the images that go in.
    :param output: (H, W) of the labels that come out.
    :param objects: how many; their ids are 1 ... objects.
    """

    position: torch.Tensor
    ids: torch.Tensor
    rows: torch.Tensor
    columns: torch.Tensor

    def __init__(
        self, network: Any, size: tuple[int, int], output: tuple[int, int], objects: int
    ) -> None:
        super().__init__()
        if len(network.LSTT.layers) != 1:
            raise ValueError('only AOT-T, with one layer of propagation, is exported')
        self.network, self.layer = network, network.LSTT.layers[0]
        self.output, self.objects = output, objects
        features = network.encode_image(torch.zeros(1, 3, *size))[-1]
        self.grid = tuple(features.shape[-2:])
        self.register_buffer('position', network.get_pos_emb(features)[0].flatten(1).T)
        self.window = window_attention(self.layer.short_term_attn, self.grid)
        self.norm = network.LSTT.decoder_norms[-1]
        self.heads = self.layer.self_attn.num_head
        self.register_buffer('ids', torch.arange(objects + 1).view(1, -1, 1, 1))
        self.register_buffer('rows', nearest(output[0], size[0]))
        self.register_buffer('columns', nearest(output[1], size[1]))

    def forward(
        self,
        image: torch.Tensor,
        long_key: torch.Tensor,
        long_value: torch.Tensor,
        short_key: torch.Tensor,
        short_value: torch.Tensor,
    ) -> tuple[torch.Tensor, ...]:
        """Return labels (H, W), and key and value of the next short-term memory."""
        shortcuts = self.network.encode_image(image)
        tokens = shortcuts[-1][0].flatten(1).T
        tokens = self.look_at_itself(tokens)
        known = self.layer.norm2(tokens)
        asked = self.layer.linear_Q(known)
        tokens = tokens + self.look_back(asked, (long_key, long_value), (short_key, short_value))
        tokens = tokens + self.feed_forward(tokens)
        labels = self.decode(self.norm(tokens), shortcuts)
        value = self.layer.linear_V(known + self.identities(labels))
        return labels, split_heads(asked, self.heads), split_heads(value, self.heads)

    def look_at_itself(self, tokens: torch.Tensor) -> torch.Tensor:
        """Add self-attention to (N, C)."""
        attention = self.layer.self_attn
        known = self.layer.norm1(tokens)
        placed = known + self.position
        query, key, value = (
            split_heads(part, self.heads)
            for part in (
                attention.linear_Q(placed) / attention.T,
                attention.linear_K(placed),
                attention.linear_V(known),
            )
        )
        return tokens + attention.projection(join_heads(attend(query, key, value)))

    def look_back(
        self,
        asked: torch.Tensor,
        far: tuple[torch.Tensor, torch.Tensor],
        near: tuple[torch.Tensor, torch.Tensor],
    ) -> torch.Tensor:
        """Return (N, C), what both memories know of (N, C)."""
        query = split_heads(asked, self.heads)
        long, short = self.layer.long_term_attn, self.layer.short_term_attn
        from_far: torch.Tensor = long.projection(join_heads(attend(query / long.T, *far)))
        return from_far + short.projection(join_heads(self.window(query, *near)))

    def feed_forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return (N, C) of (N, C)."""
        layer = self.layer
        hidden = layer.linear1(layer.norm3(tokens))[:, None]
        found: torch.Tensor = layer.linear2(layer.activation(hidden, self.grid))
        return found[:, 0]

    def decode(self, tokens: torch.Tensor, shortcuts: list[torch.Tensor]) -> torch.Tensor:
        """Return labels (H, W) of (N, C) and the image's features."""
        decoded = self.network.decoder(
            [shortcuts[-1], tokens.T.reshape(1, -1, *self.grid)], shortcuts
        )
        logits = F.interpolate(
            decoded[:, : self.objects + 1], self.output, mode='bilinear', align_corners=True
        )
        return logits[0].argmax(dim=0)

    def identities(self, labels: torch.Tensor) -> torch.Tensor:
        """Return (N, C), the embedding of labels (H, W) for the memory."""
        fitted = labels[self.rows][:, self.columns]
        chosen = torch.eq(fitted, self.ids).float()
        bank = self.network.patch_wise_id_bank
        weight = bank.weight[:, : self.objects + 1]
        found = F.conv2d(chosen, weight, bank.bias, bank.stride, bank.padding)
        return found[0].flatten(1).T


def nearest(have: int, want: int) -> torch.Tensor:
    """Return the index of each of `want` pixels among `have`, as torch's nearest resizing."""
    index = torch.arange(have, dtype=torch.float32).view(1, 1, -1)
    return F.interpolate(index, want, mode='nearest').view(-1).long()


def export(frame: Frame, image: torch.Tensor, memory: Sequence[torch.Tensor]) -> bytes:
    """Return the ONNX model of one frame."""
    names = ['long_key', 'long_value', 'short_key', 'short_value']
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        # Of the exporter about itself; whether the graph is right, labels show.
        warnings.simplefilter('ignore')
        path = Path(folder) / 'frame.onnx'
        torch.onnx.export(
            frame.eval(),
            (image, *memory, *memory),
            str(path),
            dynamo=False,
            opset_version=17,
            input_names=['image', *names],
            output_names=['labels', 'next_key', 'next_value'],
        )
        return path.read_bytes()


class Runner:
    """
    A clip's memory and the graph that steps through it.

    :param model: of `export`.
    :param memory: key and value of the first frame, each (heads, N, C).
    :param threads: of onnxruntime.
    """

    def __init__(self, model: bytes, memory: Sequence[torch.Tensor], threads: int) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        self._session = ort.InferenceSession(model, options, providers=['CPUExecutionProvider'])
        key, value = (part.numpy() for part in memory)
        self._feed = {'long_key': key, 'long_value': value}
        self._feed |= {'short_key': key, 'short_value': value}

    def step(self, image: torch.Tensor) -> torch.Tensor:
        """Return labels (1, 1, H, W) and remember the frame."""
        labels, key, value = self._session.run(None, self._feed | {'image': image.numpy()})
        self._feed |= {'short_key': key, 'short_value': value}
        return torch.from_numpy(labels)[None, None]
