# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""BagReader: mcap and sqlite3 bags, message by message; no more than a chunk is in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
import hashlib
from pathlib import Path
import re
import struct

from rosbags.rosbag2 import Reader

from vos_ros.bag.messages import COMPRESSED, IMAGE, Message
from vos_ros.errors import VosError

_MCAP = b'\x89MCAP0\r\n'
_CDR = b'\x03\0\0\0cdr'
#: How a channel of an mcap names the encoding of its messages.
_OTHER_ENCODINGS = {
    'JSON': b'\x04\0\0\0json',
    'Protobuf': b'\x08\0\0\0protobuf',
    'FlatBuffers': b'\x0a\0\0\0flatbuffer',
    'ROS 1': b'\x04\0\0\0ros1',
}
_NO_STORAGE = re.compile(r"^\s*storage_identifier:\s*(''|\"\")?\s*$", re.MULTILINE)
_END = 1 << 20
_PARTS = ('.mcap', '.db3', '.yaml')
_LOGGED = struct.Struct('<qQ')


@dataclass(frozen=True)
class Topic:
    """A topic of a bag: its type and how many messages it has."""

    name: str
    kind: str
    count: int


class BagReader:
    """
    A recorded bag: a folder with metadata.yaml, or one .mcap or .db3 file.

    :param path: of it.
    :raises VosError: there is none, or it cannot be read.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        reader = self._open()
        try:
            self.topics = {
                name: Topic(name, info.msgtype or 'several types', info.msgcount)
                for name, info in reader.topics.items()
            }
        finally:
            reader.close()

    @property
    def name(self) -> str:
        """Name for reports."""
        return self.path.resolve().stem

    def require(self, topic: str, what: str, option: str) -> Topic:
        """
        Find a topic with images; the error lists those that would do.

        :param topic: its name.
        :param what: it is wanted for.
        :param option: of the command line that names it.
        :raises VosError: there is no such topic, it has another type, or no message.
        """
        found = self.topics.get(topic)
        usable = ', '.join(
            f'{t.name} ({t.kind.rsplit("/")[-1]}, {t.count})'
            for t in self.topics.values()
            if t.kind in (IMAGE, COMPRESSED)
        )
        hint = f'give {option} one of its image topics: {usable or "it has none"}'
        if found is None:
            raise VosError(f'{self.path} has no topic {topic} for {what}; {hint}')
        if found.kind not in (IMAGE, COMPRESSED):
            raise VosError(f'{topic} in {self.path} is {found.kind}, no image for {what}; {hint}')
        if not found.count:
            raise VosError(f'{topic} in {self.path} holds no message for {what}; {hint}')
        return found

    def messages(self, topics: Sequence[str]) -> Iterator[Message]:
        """
        Read messages in the order of recording; several such iterations may run at a time.

        :param topics: names of topics with images.
        :raises VosError: the bag is damaged.
        """
        reader = self._open()
        try:
            chosen = [c for c in reader.connections if c.topic in topics]
            stream = reader.messages(chosen) if chosen else iter(())
            while True:
                try:
                    connection, log_ns, data = next(stream)
                except StopIteration:
                    return
                except Exception as error:  # a damaged file can make any error in the parser
                    raise self._damaged(error) from error
                yield Message(connection.topic, connection.msgtype, log_ns, bytes(data))
        finally:
            reader.close()

    def digest(self, topics: Sequence[str]) -> str:
        """
        Return the BLAKE2b-128 of all messages of these topics, with their times of recording.

        The files themselves would differ after a copy by another name, or in another format.

        :param topics: in any order.
        :raises VosError: the bag is damaged.
        """
        parts = {topic: hashlib.blake2b(topic.encode(), digest_size=16) for topic in topics}
        for message in self.messages(topics):
            part = parts[message.topic]
            part.update(_LOGGED.pack(message.log_ns, len(message.data)))
            part.update(message.data)
        whole = hashlib.blake2b(digest_size=16)
        for topic in sorted(parts):
            whole.update(parts[topic].digest())
        return whole.hexdigest()

    def _open(self) -> Reader:
        if not self.path.exists():
            raise VosError(f'there is no bag {self.path}; check the path')
        if self.path.is_dir() and not (self.path / 'metadata.yaml').exists():
            raise VosError(
                f'{self.path} has no metadata.yaml, so it is no rosbag2 folder or its recording '
                'was cut off; name the .mcap or .db3 file in it, or run `ros2 bag reindex` on it'
            )
        self._refuse_pipes()
        self._refuse_other_kinds()
        try:
            reader = Reader(self.path)
            reader.open()
        except Exception as error:  # a damaged file can make any error in the parser
            raise self._damaged(error) from error
        return reader

    def _refuse_pipes(self) -> None:
        """Refuse what is neither file nor folder: reading it would never end."""
        parts = sorted(self.path.iterdir()) if self.path.is_dir() else [self.path]
        for part in parts:
            is_special = part.exists() and not (part.is_file() or part.is_dir())
            if is_special and (part.suffix in _PARTS or part == self.path):
                raise VosError(
                    f'{part} is no regular file; name a .mcap or .db3 file, or a folder'
                )

    def _refuse_other_kinds(self) -> None:
        """Name what is no rosbag2 of CDR messages, and how to make one of it."""
        if self.path.is_dir():
            text = _ends_of(self.path / 'metadata.yaml').decode('utf-8', 'replace')
            if _NO_STORAGE.search(text):
                raise VosError(
                    f'{self.path / "metadata.yaml"} does not name its storage '
                    '(storage_identifier is empty, as some versions of `ros2 bag reindex` leave '
                    'it): write mcap or sqlite3 there, or name the .mcap or .db3 file itself'
                )
            return
        ends = _ends_of(self.path)
        if ends.startswith(b'#ROSBAG'):
            raise VosError(
                f'{self.path} is a bag of ROS 1; convert it: rosbags-convert --src '
                f'{self.path.name} --dst {self.path.stem}'
            )
        found = next((name for name, mark in _OTHER_ENCODINGS.items() if mark in ends), '')
        if ends.startswith(_MCAP) and found and _CDR not in ends:
            raise VosError(
                f'{self.path} holds {found} messages, as Foxglove writes them, and no ROS 2 '
                'messages (CDR); record the topics with `ros2 bag record -s mcap`'
            )

    def _damaged(self, error: Exception) -> VosError:
        reason = ' '.join(str(error).split()) or type(error).__name__
        return VosError(
            f'the bag {self.path} is damaged, cut off or of a kind that is not supported '
            f'({reason.rstrip(".")}); try `mcap recover FILE.mcap` or `ros2 bag reindex`, or '
            'record it again'
        )


def _ends_of(path: Path) -> bytes:
    """Read the beginning and the end of a file; nothing where it cannot be read."""
    try:
        if not path.is_file():
            return b''
        with path.open('rb') as file:
            head = file.read(_END)
            file.seek(max(_END, path.stat().st_size - _END))
            return head + file.read(_END)
    except OSError:
        return b''
