# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
A serialised sensor_msgs/Image, read without a copy of its pixels and written with one.

rclpy deserialises in two steps, each with a copy of all pixels, while it holds the interpreter: a
quarter of a millisecond for 640x480 in colour, several for 4K. Here the fields are read from the
bytes that the middleware gave, and the pixels are a view of them. Likewise it copies what it
publishes three times.
"""

from dataclasses import dataclass
import struct
from typing import Any

from builtin_interfaces.msg import Time
import numpy as np
from std_msgs.msg import Header

from vos_ros.errors import VosError
from vos_ros.ros.cdr import aligned, ENVELOPE, order_of

#: Longest frame_id or encoding, in bytes. Those of cameras have a few dozen; they are kept with
#: their image and sent with each answer.
_LONGEST_TEXT = 1024


# Not frozen: that makes it four times as slow to make, once per image.
@dataclass(eq=False)
class RawImage:
    """
    The fields of a sensor_msgs/Image.

    :param sec: of the stamp.
    :param nanosec: of the stamp.
    :param frame_id: of the header.
    :param data: a view of the serialised message.
    """

    sec: int
    nanosec: int
    frame_id: str
    height: int
    width: int
    encoding: str
    is_bigendian: int
    step: int
    data: memoryview

    @property
    def nbytes(self) -> int:
        """Bytes that it keeps in memory: the whole message, not its pixels alone."""
        return memoryview(self.data.obj).nbytes + len(self.frame_id) + len(self.encoding)

    @property
    def header(self) -> Header:
        """The header, made now: most images need none."""
        return Header(stamp=Time(sec=self.sec, nanosec=self.nanosec), frame_id=self.frame_id)


def frame_id_of(msg: Any) -> str:
    """
    Read the frame_id of an image of any kind.

    :param msg: RawImage, Image or CompressedImage.
    """
    return msg.frame_id if isinstance(msg, RawImage) else str(msg.header.frame_id)


def nbytes_of(msg: Any) -> int:
    """
    Count the bytes that an image of any kind keeps in memory.

    :param msg: RawImage, Image or CompressedImage.
    """
    if isinstance(msg, RawImage):
        return msg.nbytes
    texts = (msg.header.frame_id, getattr(msg, 'encoding', ''), getattr(msg, 'format', ''))
    return len(msg.data) + sum(map(len, texts))


def check_texts(msg: Any) -> None:
    """
    Refuse an image whose texts are no names.

    :param msg: RawImage, Image or CompressedImage.
    :raises VosError: its frame_id, encoding or format is longer than 1024 bytes.
    """
    for name in ('frame_id', 'encoding', 'format'):
        text = frame_id_of(msg) if name == 'frame_id' else getattr(msg, name, '')
        _check_length(name, len(text.encode()))


def _check_length(name: str, length: int) -> None:
    if length > _LONGEST_TEXT:
        raise VosError(
            f'an image with a {name} of {length} bytes is refused: {_LONGEST_TEXT} at most; is '
            'its sender a camera?'
        )


def write_labels(label_map: np.ndarray, source: Any) -> bytes:
    """
    Serialise ids per pixel as a sensor_msgs/Image with the header of its source.

    :param label_map: (H, W) uint8 -> mono8, or uint16 -> mono16.
    :param source: RawImage, or a message with a header.
    :return: plain CDR, little-endian, as `publish` takes it.
    """
    if isinstance(source, RawImage):
        sec, nanosec = source.sec, source.nanosec
    else:
        sec, nanosec = source.header.stamp.sec, source.header.stamp.nanosec
    name = frame_id_of(source).encode() + b'\0'
    little = np.ascontiguousarray(label_map, label_map.dtype.newbyteorder('<'))
    height, width = little.shape
    encoding = b'mono8\0' if little.itemsize == 1 else b'mono16\0'
    head = struct.pack(f'<iII{len(name)}s', sec, nanosec, len(name), name)
    head += bytes(-len(head) % 4)
    # After the encoding: is_bigendian, which is 0.
    head += struct.pack(f'<III{len(encoding)}sx', height, width, len(encoding), encoding)
    head += bytes(-len(head) % 4)
    head += struct.pack('<II', width * little.itemsize, little.nbytes)
    return b''.join((b'\x00\x01\x00\x00', head, little.data if little.size else b''))


def read_image(serialized: bytes) -> RawImage:
    """
    Read a serialised image.

    :param serialized: as a raw subscription gives it.
    :raises VosError: it is no plain CDR, ends too early, or its frame_id or encoding is longer
        than 1024 bytes.
    """
    try:
        return _read(memoryview(serialized)[ENVELOPE:], order_of(serialized))
    except (struct.error, ValueError) as error:
        raise VosError(
            f'an image message of {len(serialized)} bytes cannot be read ({error}); the camera '
            'and this node may have been built with different sensor_msgs'
        ) from error


def _read(body: memoryview, order: str) -> RawImage:
    sec, nanosec, length = struct.unpack_from(f'{order}iII', body, 0)
    frame_id, at = _text('frame_id', body, 12, length)
    height, width, length = struct.unpack_from(f'{order}III', body, at)
    encoding, at = _text('encoding', body, at + 12, length, 1)
    (is_bigendian,) = struct.unpack_from('B', body, at)
    at = aligned(at + 1)
    step, length = struct.unpack_from(f'{order}II', body, at)
    data = body[at + 8 : at + 8 + length]
    if len(data) < length:
        raise struct.error(f'{length} bytes of pixels are announced, {len(data)} are there')
    return RawImage(sec, nanosec, frame_id, height, width, encoding, is_bigendian, step, data)


def _text(
    name: str, body: memoryview, at: int, length: int, alignment: int = 4
) -> tuple[str, int]:
    """
    Return a string that ends with a zero byte, and where the next field begins.

    Bytes that are no UTF-8 are replaced, as rclpy does: the pixels are good whatever a driver
    calls its frame.
    """
    end = at + length
    if length < 1 or end > len(body):
        raise struct.error(f'a text of {length} bytes does not fit in')
    _check_length(name, length - 1)
    return str(body[at : end - 1], 'utf-8', 'replace'), aligned(end, alignment)
