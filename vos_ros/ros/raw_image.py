# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
A serialised sensor_msgs/Image, read without a copy of its pixels.

rclpy deserialises in two steps, each with a copy of all pixels, while it holds the interpreter: a
quarter of a millisecond for 640x480 in colour, several for 4K. Here the fields are read from the
bytes that the middleware gave, and the pixels are a view of them.
"""

from dataclasses import dataclass
import struct

from builtin_interfaces.msg import Time
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from vos_ros.errors import VosError

#: Representation identifiers of plain CDR (OMG DDS-XTYPES 7.6.2.1.2): byte order.
_PLAIN_CDR = {b'\x00\x00': '>', b'\x00\x01': '<'}
_ENVELOPE = 4  # bytes: identifier and options; alignment counts from after it


@dataclass(frozen=True, eq=False)
class RawImage:
    """The fields of a sensor_msgs/Image; `data` is a view of the serialised message."""

    header: Header
    height: int
    width: int
    encoding: str
    is_bigendian: int
    step: int
    data: memoryview


def read_image(serialized: bytes) -> RawImage | Image:
    """
    Read a serialised image.

    :param serialized: as a raw subscription gives it.
    :return: an Image where it is not plain CDR, from rclpy.
    :raises VosError: it ends too early.
    """
    order = _PLAIN_CDR.get(serialized[:2])
    if order is None:
        image: Image = deserialize_message(serialized, Image)
        return image
    try:
        return _read(memoryview(serialized)[_ENVELOPE:], order)
    except struct.error as error:
        raise VosError(
            f'an image message of {len(serialized)} bytes cannot be read ({error}); the camera '
            'and this node may have been built with different sensor_msgs'
        ) from error


def _read(body: memoryview, order: str) -> RawImage:
    sec, nanosec, length = struct.unpack_from(f'{order}iII', body, 0)
    frame_id, at = _text(body, 12, length)
    height, width, length = struct.unpack_from(f'{order}III', body, at)
    encoding, at = _text(body, at + 12, length, 1)
    (is_bigendian,) = struct.unpack_from('B', body, at)
    at = _aligned(at + 1)
    step, length = struct.unpack_from(f'{order}II', body, at)
    data = body[at + 8 : at + 8 + length]
    if len(data) < length:
        raise struct.error(f'{length} bytes of pixels are announced, {len(data)} are there')
    header = Header(stamp=Time(sec=sec, nanosec=nanosec), frame_id=frame_id)
    return RawImage(header, height, width, encoding, is_bigendian, step, data)


def _text(body: memoryview, at: int, length: int, alignment: int = 4) -> tuple[str, int]:
    """
    Return a string that ends with a zero byte, and where the next field begins.

    Bytes that are no UTF-8 are replaced, as rclpy does: the pixels are good whatever a driver
    calls its frame.
    """
    end = at + length
    if length < 1 or end > len(body):
        raise struct.error(f'a text of {length} bytes does not fit in')
    return str(body[at : end - 1], 'utf-8', 'replace'), _aligned(end, alignment)


def _aligned(at: int, alignment: int = 4) -> int:
    return -(-at // alignment) * alignment
