# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
What Nav2's semantic segmentation layer makes of our topics.

`SemanticLayer` computes what `SegmentationBuffer`, `SegmentationTileMap` and `updateBounds` of
ros-navigation/semantic_segmentation_layer (b269885, May 2026) do. `LayerOfNav2` is the layer's own
code, where VOS_NAV2_LAYER names a checkout of it and there is a compiler. Transforms are left out:
the cloud is given in the costmap's frame, with the camera at its origin.
"""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass, field
import os
from pathlib import Path
import shutil
import struct
import subprocess
from typing import Any

import numpy as np

FREE = 0
LETHAL = 254


@dataclass(frozen=True)
class Cost:
    """The parameters of a class_type."""

    base: int = LETHAL
    most: int = LETHAL
    mark_confidence: int = 0
    samples: int = 0
    is_dominant: bool = False


UNKNOWN = Cost(0, 0)
Tile = tuple[int, int]


@dataclass
class Observations:
    """What was seen on one tile: queues of (stamp, confidence) by class, and which one counts."""

    queues: dict[int, deque[tuple[float, int]]] = field(default_factory=lambda: defaultdict(deque))
    dominant: int = -1
    count: int = 0

    def push(self, class_id: int, stamp_s: float, confidence: int, is_dominant: bool) -> None:
        self.queues[class_id].append((stamp_s, confidence))
        count = len(self.queues[class_id])
        if is_dominant or count > self.count:
            if self.dominant not in (-1, class_id):
                self.queues = defaultdict(deque, {class_id: self.queues[class_id]})
            self.dominant, self.count = class_id, count

    def purge(self, now_s: float, decay_s: float) -> None:
        for class_id, queue in [*self.queues.items()]:
            while queue and now_s - queue[0][0] > decay_s:
                queue.popleft()
            if not queue:
                del self.queues[class_id]
        if self.dominant not in self.queues:
            self.dominant = max(self.queues, key=lambda c: len(self.queues[c]), default=-1)
        self.count = len(self.queues[self.dominant]) if self.dominant != -1 else 0


class SemanticLayer:
    """
    One observation source of the layer.

    :param classes: name -> cost, as `class_types` and `classes` give them.
    """

    resolution = 0.05
    nearest, farthest = 0.3, 5.0
    decay_s = 5.0

    def __init__(self, classes: dict[str, Cost]) -> None:
        self.classes = classes
        self.warnings: list[str] = []
        self._ids: dict[str, int] = {}
        self._costs: dict[int, Cost] | None = None
        self._tiles: dict[Tile, Observations] = defaultdict(Observations)

    def on_label_info(self, info: Any) -> None:
        """Take vision_msgs/LabelInfo: a name has one id, the last; names not listed have none."""
        self._ids = {
            each.class_name: each.class_id % 256
            for each in info.class_map
            if each.class_name in self.classes
        }
        self._costs = {i: self.classes[name] for name, i in self._ids.items()}

    def on_images(self, segmentation: Any, cloud: np.ndarray, confidence: Any = None) -> None:
        """
        Take a segmentation and the cloud of the same pixels.

        :param segmentation: sensor_msgs/Image, of which the first height * width bytes are read.
        :param cloud: (H, W, 3) m; NaN where nothing is.
        :param confidence: sensor_msgs/Image, None = 255 everywhere.
        """
        assert self._costs is not None, 'the layer reads a null pointer: no label_info has come'
        if segmentation.width * segmentation.height != cloud.shape[0] * cloud.shape[1]:
            self.warnings.append('sizes differ')
            return
        if not self._costs:
            self.warnings.append('no class is known')
            return
        data = np.frombuffer(bytes(segmentation.data), np.uint8)
        sure = (
            np.full(data.size, 255) if confidence is None else np.frombuffer(confidence.data, 'u1')
        )
        stamp_s = segmentation.header.stamp.sec + segmentation.header.stamp.nanosec / 1e9
        best: dict[Tile, int] = {}
        points = cloud.reshape(-1, 3)
        with np.errstate(invalid='ignore'):
            distances = np.linalg.norm(points, axis=1)
            is_near = (distances > self.nearest) & (distances < self.farthest)
        for pixel in np.flatnonzero(is_near).tolist():
            tile = self.tile_of(points[pixel, 0], points[pixel, 1])
            known = best.setdefault(tile, pixel)
            costs = [self._costs.get(int(data[p]), UNKNOWN).most for p in (pixel, known)]
            if costs[0] > costs[1]:
                best[tile] = pixel
        for tile, pixel in best.items():
            class_id = int(data[pixel])
            if class_id in self._costs:
                is_dominant = self._costs[class_id].is_dominant
                self._tiles[tile].push(class_id, stamp_s, int(sure[pixel]), is_dominant)

    def costmap(self, now_s: float) -> dict[Tile, int]:
        """Return what each tile costs now; one without a class has no entry."""
        found = {}
        for tile, seen in self._tiles.items():
            seen.purge(now_s, self.decay_s)
            if seen.dominant != -1:
                cost = (self._costs or {}).get(seen.dominant, UNKNOWN)
                mean = sum(c for _, c in seen.queues[seen.dominant]) / seen.count
                is_most = seen.count >= cost.samples and mean > cost.mark_confidence
                found[tile] = cost.most if is_most else cost.base
        return found

    def tile_of(self, x: float, y: float) -> Tile:
        """Return the tile of a point in the costmap's frame."""
        return int(np.floor(x / self.resolution)), int(np.floor(y / self.resolution))


class LayerOfNav2:
    """
    The same, computed by the layer's own code, unmodified.

    :param program: as `build` makes it.
    :param classes: as above.
    """

    def __init__(self, program: Path, classes: dict[str, Cost]) -> None:
        self._program = program
        self._input = struct.pack('<I', len(classes))
        for name, cost in classes.items():
            numbers = cost.base, cost.most, cost.mark_confidence, cost.samples, cost.is_dominant
            self._input += _text(name) + struct.pack('<BBBi?', *numbers)
        ours = SemanticLayer
        reach = ours.nearest, ours.farthest
        self._input += struct.pack('<4d', ours.resolution, ours.decay_s, *reach)

    def on_label_info(self, info: Any) -> None:
        """Take vision_msgs/LabelInfo."""
        self._input += b'i' + struct.pack('<I', len(info.class_map))
        for each in info.class_map:
            self._input += struct.pack('<H', each.class_id) + _text(each.class_name)

    def on_images(self, segmentation: Any, cloud: np.ndarray, confidence: Any = None) -> None:
        """Take a segmentation and the cloud of the same pixels."""
        stamp, pixels = segmentation.header.stamp, segmentation.height * segmentation.width
        head = segmentation.height, segmentation.width, stamp.sec, stamp.nanosec
        given = b'\xff' * pixels if confidence is None else bytes(confidence.data)
        points = cloud.astype('<f4').tobytes()
        self._input += b's' + struct.pack('<IIiI', *head) + bytes(segmentation.data)[:pixels]
        self._input += given + points

    def costmap(self, now_s: float) -> dict[Tile, int]:
        """Return what each tile costs now."""
        given = self._input + b'e' + struct.pack('<d', now_s)
        done = subprocess.run([self._program], input=given, capture_output=True, check=True)
        rows = [[int(word) for word in line.split()] for line in done.stdout.splitlines()]
        return {(x, y): cost for x, y, cost in rows}


def _text(text: str) -> bytes:
    return struct.pack('<I', len(text.encode())) + text.encode()


def build(folder: Path) -> Path | None:
    """Compile the layer's own code into a folder; None without a checkout or a compiler."""
    checkout, compiler = os.environ.get('VOS_NAV2_LAYER', ''), shutil.which('g++')
    if not checkout or compiler is None:
        return None
    here = Path(__file__).parent / 'nav2'
    sources = [here / 'layer.cpp', Path(checkout) / 'src' / 'segmentation_buffer.cpp']
    headers = Path(checkout) / 'include'
    # Each header of ROS that it includes is the one file of stand-ins.
    for source in (sources[1], *headers.rglob('*.hpp')):
        for line in source.read_text().splitlines():
            name = (
                line.partition('"')[2].partition('"')[0] if line.startswith('#include "') else ''
            )
            if name and not (headers / name).exists():
                stub = folder / 'stubs' / name
                stub.parent.mkdir(parents=True, exist_ok=True)
                stub.write_text(f'#include "{here / "stubs.hpp"}"\n')
    program = folder / 'layer'
    command = [compiler, '-std=c++17', '-O1', '-w', f'-I{folder / "stubs"}', f'-I{headers}']
    subprocess.run([*command, *map(str, sources), '-o', str(program)], check=True)
    return program
