# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a model is on disk, and what a backend must be able to do with it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
import os
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from vos_ros.backends.machine import cpu_quota
from vos_ros.config import RuntimeConfig
from vos_ros.datatypes import Float
from vos_ros.errors import VosError

Size = tuple[int, int]  # height, width
T = TypeVar('T', bound=np.generic)


class Window(NamedTuple):
    """A part of the grid of tokens: rows top:bottom, columns left:right."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def area(self) -> int:
        """Tokens in it."""
        return (self.bottom - self.top) * (self.right - self.left)

    def cut(self, planes: npt.NDArray[T], grid: Size) -> npt.NDArray[T]:
        """
        Return what it shows of planes (..., h, w) that are so many times as fine as the grid.

        :param grid: rows and columns of tokens.
        """
        down, across = planes.shape[-2] // grid[0], planes.shape[-1] // grid[1]
        rows = slice(self.top * down, self.bottom * down)
        return planes[..., rows, self.left * across : self.right * across]


@lru_cache(maxsize=16)
def token_places(rows: int, columns: int) -> Float:
    """
    Return (x, y) of each token of a grid, (2, rows, columns), in cells from the grid's centre.

    What a graph that can read a window is told in `place` and `memory_place`; not to be changed.
    """
    y, x = np.mgrid[:rows, :columns].astype(np.float32)
    places: Float = np.stack([x - (columns - 1) / 2, y - (rows - 1) / 2]).astype(np.float32)
    places.flags.writeable = False
    return places


# What encode_image found on one frame, by tensor name; 'image' and 'key' are always there.
Features = dict[str, Float]

GRAPHS = ('encode_image', 'segment', 'encode_mask')
OUTPUTS = {'encode_image': 'key', 'segment': 'logits', 'encode_mask': 'value'}
_MAX_AUTO_THREADS = 4


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
    :param objects_per_call: most objects that the graphs take at once; 0 = any number.
    :param fixed: the only (height, width, objects) that they take; None = all are free.
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
    objects_per_call: int = 0
    fixed: tuple[int, int, int] | None = None


class Backend(Protocol):
    """
    The network at one fixed input size.

    State goes in and comes out: the memory belongs to MemoryBank, the network
    remembers nothing. h4 = H/4, w4 = W/4, tokens = H/16 * W/16, all float32.
    """

    @property
    def name(self) -> str:
        """Name for reports, for instance 'cpu'."""

    @property
    def precision(self) -> str:
        """What it computes with: 'fp32', 'fp16' or 'bf16'."""

    fallbacks: tuple[str, ...]
    """Why something better is not used; empty when nothing better was expected."""

    takes_windows: bool
    """A part of a frame can be encoded, and `segment` and `encode_mask` be asked for a part."""

    def encode_image(self, image: Float) -> Features:
        """
        Encode one frame, once for all objects.

        :param image: (1, 3, H, W) normalised RGB; where it `takes_windows`, also any part of a
            frame that is whole tokens.
        :return: features; the caller's own where it `takes_windows`, else valid until the next
            call of encode_image.
        """

    def segment(
        self,
        features: Features,
        memory_key: Float,
        memory_value: Float,
        window: Window | None = None,
    ) -> Float:
        """
        Read the memory and decode all objects of one group.

        :param memory_key: (2, key_dim, tokens); row 0 the prompted frame, row 1 the recent one.
        :param memory_value: (objects, 2, value_dim, tokens).
        :param window: find them there only; None = on the whole frame. Only where
            `takes_windows`.
        :return: logits (objects, h4, w4), each object against its own background; of the window
            only, where there is one.
        """

    def encode_mask(
        self, features: Features, masks: Float, others: Float, window: Window | None = None
    ) -> Float:
        """
        Encode what is to be remembered of each object.

        :param masks: (objects, h4, w4) probability of each object, 0..1.
        :param others: (objects, h4, w4) sum of the other objects' probabilities, at most 1.
        :param window: encode these tokens only; None = the whole frame. Only where
            `takes_windows`.
        :return: values (objects, value_dim, tokens); of the window only, where there is one.
        """


class NamedInputs(ABC):
    """Two of a Backend's calls, for graphs that say by name which tensors they read."""

    _inputs: Mapping[str, Iterable[str]]
    """Per graph, the names of what it reads."""

    def segment(
        self,
        features: Features,
        memory_key: Float,
        memory_value: Float,
        window: Window | None = None,
    ) -> Float:
        """Read the memory and decode; see Backend."""
        rows, columns = features['key'].shape[2:]
        places = token_places(rows, columns)
        offered = {
            **self._seen('segment', {**features, 'place': places}, window),
            'memory_place': places.reshape(2, -1),
            'memory_key': memory_key,
            'memory_value': memory_value,
        }
        return self._run('segment', self._feeds('segment', offered))

    def encode_mask(
        self, features: Features, masks: Float, others: Float, window: Window | None = None
    ) -> Float:
        """Encode the objects for the memory; see Backend."""
        offered = {**features, 'masks': masks, 'others': others}
        seen = self._seen('encode_mask', offered, window)
        return self._run('encode_mask', self._feeds('encode_mask', seen))

    def _seen(self, graph: str, maps: Features, window: Window | None) -> Features:
        """Return those maps (..., h, w) that a graph reads, and of them what a window shows."""
        if window is None:
            return maps
        rows, columns = maps['key'].shape[2:]
        return {
            name: window.cut(maps[name], (rows, columns))
            for name in self._inputs[graph]
            if name in maps
        }

    def _feeds(self, graph: str, offered: Features) -> Features:
        return {name: np.ascontiguousarray(offered[name]) for name in self._inputs[graph]}

    @abstractmethod
    def _run(self, graph: str, feeds: Features) -> Float:
        """
        Run a graph that makes one tensor, which is `OUTPUTS[graph]`.

        :param feeds: by name, contiguous.
        """


@dataclass(frozen=True)
class Job:
    """
    What a backend is opened for.

    :param manifest: its files have been checked.
    :param size: network input (H, W), multiples of `manifest.multiple`.
    :param max_objects: most objects in one call.
    :param precision: 'fp32', 'fp16' or 'bf16', already resolved.
    """

    manifest: Manifest
    runtime: RuntimeConfig
    size: Size
    max_objects: int
    precision: str = 'fp32'


Verify = Callable[[Backend], None]  # raises VosError when a backend computes something else


class NotInstalledError(VosError):
    """What a backend needs (package, provider, instructions) is not there, as on most machines."""


def check_roles(
    manifest: Manifest, inputs: Mapping[str, Iterable[str]], outputs: Mapping[str, Iterable[str]]
) -> None:
    """
    Refuse graphs that cannot work together before the first frame needs them.

    :param inputs: names of the tensors that each graph reads.
    :param outputs: names of the tensors that each graph makes.
    """
    features = {'image', *outputs['encode_image']}
    offered = {
        'encode_image': {'image'},
        'segment': features | {'memory_key', 'memory_value', 'place', 'memory_place'},
        'encode_mask': features | {'masks', 'others'},
    }
    for graph in GRAPHS:
        unknown = set(inputs[graph]) - offered[graph]
        if not unknown and OUTPUTS[graph] in outputs[graph]:
            continue
        problem = (
            f'wants {", ".join(sorted(unknown))}, which nothing makes'
            if unknown
            else f'does not make {OUTPUTS[graph]}'
        )
        raise VosError(
            f'model {manifest.name}: {manifest.graphs[graph].path} {problem}; '
            'export the model again'
        )


def object_shapes(
    manifest: Manifest, size: Size, objects: int
) -> dict[str, dict[str, tuple[int, ...]]]:
    """Return, per graph, the shapes of the inputs that grow with the number of objects."""
    height, width = size
    tokens = (height // manifest.stride) * (width // manifest.stride)
    plane = (objects, height // manifest.mask_stride, width // manifest.mask_stride)
    return {
        'encode_image': {},
        'segment': {'memory_value': (objects, 2, manifest.value_dim, tokens)},
        'encode_mask': {'masks': plane, 'others': plane},
    }


def processors(root: Path = Path('/')) -> int:
    """
    Return the number of processors this process may use (containers restrict them).

    A quota counts in whole processors, at least one: a thread more than it allows would be
    stopped in the middle of a frame.

    :param root: of the file system, where Linux tells the limits of containers.
    """
    try:
        count = len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        count = os.cpu_count() or 1
    quota = cpu_quota(root)
    return count if quota is None else max(1, min(count, int(quota)))


def thread_count(threads: int) -> int:
    """Resolve the setting `threads`: 0 = the processors there are, at most 4."""
    return threads or min(processors(), _MAX_AUTO_THREADS)


def first_line(error: Exception) -> str:
    """Return what a runtime's long message begins with."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
