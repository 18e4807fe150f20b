# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""BagWriter, and `make_bag`: a sequence of images becomes a bag with ground truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
import struct
from types import TracebackType
from typing import Any, Final
from zlib import crc32

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

from vos_ros.bag.messages import STORE
from vos_ros.bag.sequence import INIT, SequenceBag
from vos_ros.datatypes import LabelMap
from vos_ros.errors import VosError
from vos_ros.sequences import Sequence

STORAGES = {'mcap': StoragePlugin.MCAP, 'sqlite3': StoragePlugin.SQLITE3}
# After opcode and length: the times of the first and last message, and the size.
_CRC_IN_CHUNK = 9 + 24
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
        _add_checksums(self._writer.storage)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Write the index and metadata.yaml; also after an error, so that the rest can be read."""
        try:
            self._writer.close()
        except OSError as failure:
            if error is None:
                raise VosError(f'cannot write {self.path}: {failure.strerror}') from failure

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

    Parameters as of `SequenceBag`.

    :param path: folder that is made.
    :param storage: 'mcap' or 'sqlite3'.
    :param on_frame: called after each frame.
    :raises VosError: bad input, or the bag cannot be written.
    """
    made = SequenceBag(
        sequence, path, rate_hz=rate_hz, compressed=compressed, first_mask=first_mask
    )
    first_ns = last_ns = frames = 0
    with BagWriter(path, storage=storage, latched=(INIT,)) as bag:
        for message in made.messages([*made.topics]):
            bag.write(message.topic, message.kind, message.log_ns, message.data)
            if message.topic == made.camera:
                first_ns = first_ns or message.log_ns
                last_ns, frames = message.log_ns, frames + 1
                on_frame()
    mean_hz = (frames - 1) * _NS / (last_ns - first_ns) if frames > 1 else 0.0
    return Made(dict(bag.counts), rate_hz or mean_hz)


def _add_checksums(storage: Any) -> None:
    """Let an mcap writer give each chunk its CRC, so that damage is found; rosbags writes none."""
    close_chunk = getattr(storage, 'close_chunk', None)
    if close_chunk is None:  # sqlite3
        return

    def close_with_checksum() -> None:
        start, checksum = storage.bio.tell(), crc32(storage.chunk.bio.getvalue())
        close_chunk()
        end = storage.bio.tell()
        storage.bio.seek(start + _CRC_IN_CHUNK)
        storage.bio.write(struct.pack('<I', checksum))
        storage.bio.seek(end)

    storage.close_chunk = close_with_checksum


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
