# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Messages as a bag stores them: CDR bytes, read no further than needed."""

from __future__ import annotations

from dataclasses import dataclass
import struct
from typing import Any

import cv2
import numpy as np
from rosbags.typesys import get_typestore, Stores

from vos_ros.datatypes import Frame, Image, LabelMap
from vos_ros.errors import VosError
from vos_ros.formats.encoded import check_encoded
from vos_ros.formats.grey import GreyRange
from vos_ros.formats.image_codec import (
    check_image,
    decode_compressed_image,
    decode_image,
    decode_labels,
)
from vos_ros.formats.label_png import decode_label_png

IMAGE, COMPRESSED = 'sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage'
# Image, CompressedImage and Header are the same in every ROS 2 distribution, so the definitions in
# a bag need not be read: one of an unrelated topic which cannot be parsed does no harm then.
STORE = get_typestore(Stores.ROS2_HUMBLE)
_NS = 1_000_000_000
# A header comes first in both messages, and its stamp first in it, after 4 bytes of encapsulation.
_STAMP = struct.Struct('<iI')
_STAMP_AT = 4
_JPEG_QUALITY = 95


@dataclass(frozen=True, eq=False)
class Message:
    """
    One message with a header, not deserialised yet.

    :param topic: its name.
    :param kind: its type: IMAGE or COMPRESSED.
    :param log_ns: when it was recorded.
    :param data: CDR.
    """

    topic: str
    kind: str
    log_ns: int
    data: bytes

    @property
    def stamp_ns(self) -> int:
        """
        Read the stamp of its header.

        :raises VosError: it is too short.
        """
        if len(self.data) < _STAMP_AT + _STAMP.size:
            raise VosError(f'a message of {self.topic} has only {len(self.data)} bytes')
        if self.data[0] or self.data[1] > 1:
            kind = bytes(self.data[:2]).hex()
            raise VosError(f'a message of {self.topic} is no plain CDR, but of kind {kind}')
        layout = '<iI' if self.data[1] else '>iI'
        sec, nanosec = struct.unpack_from(layout, self.data, _STAMP_AT)
        return int(sec) * _NS + int(nanosec)

    def check(self, *, is_image: bool = False) -> None:
        """
        Find out whether it can be read, without decoding pixels.

        :param is_image: it is one of the camera's: its encoding, sizes and data must fit, too.
        :raises VosError: it cannot; names topic and time.
        """
        _ = self.stamp_ns
        msg = self._deserialized()
        if not is_image:
            return
        try:
            if self.kind == COMPRESSED:
                check_encoded(msg.data, f"compressed image (format '{msg.format}')")
            else:
                check_image(msg)
        except VosError as error:
            raise self._named(error) from error

    def restamped(self, stamp_ns: int) -> bytes:
        """
        Return the data with another stamp; nothing else changes.

        :param stamp_ns: 0 or more.
        """
        data = bytearray(self.data)
        layout = '<iI' if self.data[1] else '>iI'
        struct.pack_into(layout, data, _STAMP_AT, *divmod(stamp_ns, _NS))
        return bytes(data)

    def to_frame(self, grey: GreyRange | None = None) -> Frame:
        """
        Decode a camera image.

        :param grey: the camera's stretch of 16 bits to 8; None = one for this image alone.
        :raises VosError: it cannot be read; names topic and stamp.
        """
        msg = self._deserialized()
        try:
            if self.kind == COMPRESSED:
                return Frame(decode_compressed_image(msg, grey), 'bgr8', self.stamp_ns, _id(msg))
            pixels, encoding = decode_image(msg, grey)
        except VosError as error:
            raise self._named(error) from error
        return Frame(pixels, encoding, self.stamp_ns, _id(msg))

    def to_labels(self) -> LabelMap:
        """
        Decode a label image: the numbers as they are stored.

        :return: (H, W) uint8 or uint16.
        :raises VosError: it cannot be read; names topic and stamp.
        """
        msg = self._deserialized()
        try:
            if self.kind == COMPRESSED:
                return decode_label_png(bytes(msg.data), 'the compressed label image')
            return decode_labels(msg, 'label image')
        except VosError as error:
            raise self._named(error) from error

    def _deserialized(self) -> Any:
        try:
            return STORE.deserialize_cdr(self.data, self.kind)
        except Exception as error:  # whatever damaged bytes make of the parser
            raise self._named(VosError(f'damaged message: {error}')) from error

    def _named(self, error: VosError) -> VosError:
        return VosError(f'{self.topic} at {self.stamp_ns / _NS:.6f} s: {error}')


def image_bytes(pixels: Image | LabelMap, encoding: str, stamp_ns: int, frame_id: str) -> bytes:
    """
    Serialise a raw image.

    :param pixels: (H, W) uint8 or uint16, or (H, W, 3) uint8.
    :param encoding: as sensor_msgs names it.
    :param stamp_ns: of the header.
    :param frame_id: of the header.
    """
    pixels = np.ascontiguousarray(pixels)
    message = STORE.types[IMAGE](
        header=_header(stamp_ns, frame_id),
        height=pixels.shape[0],
        width=pixels.shape[1],
        encoding=encoding,
        is_bigendian=0,
        step=pixels.strides[0],
        data=pixels.reshape(-1).view(np.uint8),
    )
    return bytes(STORE.serialize_cdr(message, IMAGE))


def label_bytes(label_map: LabelMap, stamp_ns: int, frame_id: str) -> bytes:
    """
    Serialise ids per pixel, as the node publishes them.

    :param label_map: (H, W) uint8 -> mono8, uint16 -> mono16.
    :param stamp_ns: of the header.
    :param frame_id: of the header.
    """
    encoding = 'mono8' if label_map.dtype == np.uint8 else 'mono16'
    return image_bytes(label_map, encoding, stamp_ns, frame_id)


def compressed_bytes(image: Image, kind: str, stamp_ns: int, frame_id: str) -> bytes:
    """
    Serialise a compressed image.

    :param image: (H, W, 3) uint8 rgb8.
    :param kind: 'jpeg' (quality 95) or 'png' (exact).
    :param stamp_ns: of the header.
    :param frame_id: of the header.
    """
    options = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY] if kind == 'jpeg' else []
    _, data = cv2.imencode(f'.{kind}', cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    message = STORE.types[COMPRESSED](
        header=_header(stamp_ns, frame_id),
        format=f'rgb8; {kind} compressed bgr8',
        data=np.asarray(data, np.uint8).reshape(-1),
    )
    return bytes(STORE.serialize_cdr(message, COMPRESSED))


def _id(msg: Any) -> str:
    return str(msg.header.frame_id)


def _header(stamp_ns: int, frame_id: str) -> Any:
    sec, nanosec = divmod(stamp_ns, _NS)
    stamp = STORE.types['builtin_interfaces/msg/Time'](sec=sec, nanosec=nanosec)
    return STORE.types['std_msgs/msg/Header'](stamp=stamp, frame_id=frame_id)
