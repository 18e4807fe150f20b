# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""BagWriter, and `make_bag`: a sequence of images becomes a bag with ground truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final

import numpy as np
from rosbags.interfaces import (
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.rosbag2.enums import CompressionFormat, CompressionMode

from vos_ros.bag.messages import (
    COMPRESSED,
    compressed_bytes,
    IMAGE,
    image_bytes,
    label_bytes,
    STORE,
)
from vos_ros.datatypes import LabelMap
from vos_ros.errors import VosError
from vos_ros.evaluation.evaluate import prompt_for_new
from vos_ros.sequences import DavisSequence, Sequence

CAMERA, TRUTH, INIT = '/camera/image_raw', '/gt/labels', '/init_mask'
FRAME_ID = 'camera'
#: Of the first image, so that the same command gives the same bag.
START_NS = 1_700_000_000_000_000_000
STORAGES = {'mcap': StoragePlugin.MCAP, 'sqlite3': StoragePlugin.SQLITE3}
COMPRESSIONS = ('', 'jpeg', 'png')
_NS = 1_000_000_000
# What Humble and Jazzy both read.
_VERSION: Final = 8
_FOREVER = QosTime(9223372036, 854775807)


class BagWriter:
    """
    Writes image messages; a context. A topic is there from its first message on.

    :param path: folder that is made for it.
    :param storage: 'mcap' or 'sqlite3'.
    :param latched: topics whose last message late subscribers get, too.
    :param packed: compress an mcap's chunks with zstd.
    :raises VosError: it is there already, or cannot be written.
    """

    def __init__(
        self,
        path: Path,
        *,
        storage: str = 'mcap',
        latched: tuple[str, ...] = (),
        packed: bool = False,
    ) -> None:
        if storage not in STORAGES:
            raise VosError(f'--storage must be one of {", ".join(STORAGES)}, not {storage!r}')
        if path.exists():
            raise VosError(f'{path} is there already; remove it or choose another name')
        self.path = path
        self.counts: dict[str, int] = {}
        self._latched = latched
        self._connections: dict[str, object] = {}
        self._writer = Writer(path, version=_VERSION, storage_plugin=STORAGES[storage])
        if packed:
            self._writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)

    def __enter__(self) -> BagWriter:
        """Make the folder."""
        try:
            self._writer.open()
        except OSError as error:
            raise VosError(f'cannot write {self.path}: {error.strerror}') from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Write the index and metadata.yaml; also after an error, so that the rest can be read."""
        self._writer.close()

    def write(self, topic: str, kind: str, log_ns: int, data: bytes) -> None:
        """
        Append a message.

        :param topic: its name.
        :param kind: its type.
        :param log_ns: time of recording.
        :param data: CDR.
        :raises VosError: the file cannot be written.
        """
        if topic not in self._connections:
            self._connections[topic] = self._writer.add_connection(
                topic, kind, typestore=STORE, offered_qos_profiles=[_qos(topic in self._latched)]
            )
        try:
            self._writer.write(self._connections[topic], log_ns, data)  # type: ignore[arg-type]
        except OSError as error:
            raise VosError(f'cannot write {self.path}: {error.strerror}') from error
        self.counts[topic] = self.counts.get(topic, 0) + 1


@dataclass(frozen=True)
class Made:
    """What is in a bag just made: messages per topic, and the camera's rate in Hz."""

    counts: dict[str, int]
    rate_hz: float


def make_bag(
    sequence: Sequence,
    path: Path,
    *,
    rate_hz: float,
    compressed: str = '',
    storage: str = 'mcap',
    first_mask: LabelMap | None = None,
    on_frame: Callable[[], None] = lambda: None,
) -> Made:
    """
    Write a sequence as a bag: images, and where it has true masks, these and the init masks.

    Messages of one frame have the same header. /init_mask holds each object once, on the frame
    where it first appears.

    :param sequence: frames; true masks are taken from a DavisSequence.
    :param path: folder that is made.
    :param rate_hz: of the stamps.
    :param compressed: 'jpeg' or 'png' = as CompressedImage on /camera/image_raw/compressed.
    :param storage: 'mcap' or 'sqlite3'.
    :param first_mask: (H, W) ids on the first frame, for a sequence without true masks.
    :param on_frame: called after each frame.
    :raises VosError: bad input, or the bag cannot be written.
    """
    if not 0.01 <= rate_hz <= 10_000:
        raise VosError(f'the rate must lie in 0.01 .. 10000 Hz, not {rate_hz}')
    if compressed not in COMPRESSIONS:
        raise VosError(f'compressed images are jpeg or png, not {compressed!r}')
    topic = f'{CAMERA}/compressed' if compressed else CAMERA
    known: set[int] = set()
    with BagWriter(path, storage=storage, latched=(INIT,)) as bag:
        for index, frame in enumerate(sequence):
            stamp_ns = START_NS + round(index * _NS / rate_hz)
            if compressed:
                data = compressed_bytes(frame.image, compressed, stamp_ns, FRAME_ID)
                bag.write(topic, COMPRESSED, stamp_ns, data)
            else:
                data = image_bytes(frame.image, frame.encoding, stamp_ns, FRAME_ID)
                bag.write(topic, IMAGE, stamp_ns, data)
            truth = first_mask if index == 0 else None
            if isinstance(sequence, DavisSequence):
                truth = sequence.label_map(index)
                if truth is not None:
                    _write_labels(bag, TRUTH, truth, stamp_ns)
            if truth is not None and truth.shape != frame.size:
                raise VosError(
                    f'{sequence.name}: the mask of frame {index} is '
                    f'{truth.shape[1]}x{truth.shape[0]} but the image '
                    f'{frame.size[1]}x{frame.size[0]}; draw the mask on that frame'
                )
            prompt = None if truth is None else prompt_for_new(truth, known)
            if prompt is not None:
                _write_labels(bag, INIT, prompt.label_map, stamp_ns)
            on_frame()
    return Made(dict(bag.counts), rate_hz)


def _write_labels(bag: BagWriter, topic: str, label_map: LabelMap, stamp_ns: int) -> None:
    data = label_bytes(np.ascontiguousarray(label_map), stamp_ns, FRAME_ID)
    bag.write(topic, IMAGE, stamp_ns, data)


def _qos(latched: bool) -> Qos:
    return Qos(
        history=QosHistory.KEEP_LAST,
        depth=10,
        reliability=QosReliability.RELIABLE,
        durability=QosDurability.TRANSIENT_LOCAL if latched else QosDurability.VOLATILE,
        deadline=_FOREVER,
        lifespan=_FOREVER,
        liveliness=QosLiveliness.AUTOMATIC,
        liveliness_lease_duration=_FOREVER,
        avoid_ros_namespace_conventions=False,
    )
