# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a model is on disk, and what a backend must be able to do with it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from vos_ros.datatypes import Float

Size = tuple[int, int]  # height, width

# What encode_image found on one frame, by tensor name; 'image' and 'key' are always there.
Features = dict[str, Float]

GRAPHS = ('encode_image', 'segment', 'encode_mask')


@dataclass(frozen=True)
class Graph:
    """
    One file of a model.

    :param path: where it lies.
    :param sha256: what its content must hash to.
    """

    path: Path
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """
    A model folder: ``manifest.json``, read and checked; the only contract with training.

    :param name: of the model.
    :param sha256: of manifest.json, which holds those of the graphs: it identifies the model.
    :param key_dim: channels of a key.
    :param value_dim: channels of a value.
    :param short_side: px, the input size that it was trained for.
    :param multiple: both input sides are multiples of this.
    :param mean: per RGB channel, on the 0..255 scale.
    :param std: per RGB channel, on the 0..255 scale.
    :param graphs: one per name in GRAPHS.
    :param content: all of manifest.json, for reports.
    """

    name: str
    folder: Path
    sha256: str
    stride: int
    mask_stride: int
    key_dim: int
    value_dim: int
    short_side: int
    multiple: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    graphs: dict[str, Graph]
    content: dict[str, Any]


class Backend(Protocol):
    """
    The network at one fixed input size.

    State goes in and comes out: the memory belongs to MemoryBank, the network
    remembers nothing. h4 = H/4, w4 = W/4, tokens = H/16 * W/16, all float32.
    """

    @property
    def name(self) -> str:
        """Name for reports, for instance 'cpu'."""

    def encode_image(self, image: Float) -> Features:
        """
        Encode one frame, once for all objects.

        :param image: (1, 3, H, W) normalised RGB.
        :return: features, valid until the next call of encode_image.
        """

    def segment(self, features: Features, memory_key: Float, memory_value: Float) -> Float:
        """
        Read the memory and decode all objects of one group.

        :param memory_key: (2, key_dim, tokens); row 0 the prompted frame, row 1 the recent one.
        :param memory_value: (objects, 2, value_dim, tokens).
        :return: logits (objects, h4, w4), each object against its own background.
        """

    def encode_mask(self, features: Features, masks: Float, others: Float) -> Float:
        """
        Encode what is to be remembered of each object.

        :param masks: (objects, h4, w4) probability of each object, 0..1.
        :param others: (objects, h4, w4) sum of the other objects' probabilities, at most 1.
        :return: values (objects, value_dim, tokens).
        """
