# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Image messages to and from arrays: pure functions, without a node.

Own conversion instead of cv_bridge, which is wrong for a padded `step` that is no multiple of the
pixel size, breaks on big-endian images with NumPy 2, and is missing on a machine without ROS.
Messages are filled through `array.array`: every other way costs 20 to 150 ms per image, with
rclpy's field checks on or off.
"""

import array
from dataclasses import dataclass, field
from pathlib import Path

from builtin_interfaces.msg import Time
import cv2
import numpy as np
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from vos_ros.datatypes import Frame, Prompt
from vos_ros.errors import VosError
from vos_ros.label_png import (
    davis_palette,
    is_binary,
    read_label_png,
    read_prompt_png,
    to_object_ids,
)

#: The largest id that labels of one byte hold (255 is void).
MAX_BYTE_ID = 254
_NS = 1_000_000_000

# encoding -> (dtype, channels, cv2 conversion to bgr8 or None, encoding of the result)
_CAMERA_ENCODINGS = {
    'rgb8': (np.uint8, 3, None, 'rgb8'),
    'bgr8': (np.uint8, 3, None, 'bgr8'),
    '8UC3': (np.uint8, 3, None, 'bgr8'),
    'rgba8': (np.uint8, 4, cv2.COLOR_RGBA2BGR, 'bgr8'),
    'bgra8': (np.uint8, 4, cv2.COLOR_BGRA2BGR, 'bgr8'),
    '8UC4': (np.uint8, 4, cv2.COLOR_BGRA2BGR, 'bgr8'),
    'mono8': (np.uint8, 1, cv2.COLOR_GRAY2BGR, 'bgr8'),
    '8UC1': (np.uint8, 1, cv2.COLOR_GRAY2BGR, 'bgr8'),
    'mono16': (np.uint16, 1, cv2.COLOR_GRAY2BGR, 'bgr8'),
    '16UC1': (np.uint16, 1, cv2.COLOR_GRAY2BGR, 'bgr8'),
    'yuv422': (np.uint8, 2, cv2.COLOR_YUV2BGR_UYVY, 'bgr8'),
    'uyvy': (np.uint8, 2, cv2.COLOR_YUV2BGR_UYVY, 'bgr8'),
    'yuv422_yuy2': (np.uint8, 2, cv2.COLOR_YUV2BGR_YUY2, 'bgr8'),
    'yuyv': (np.uint8, 2, cv2.COLOR_YUV2BGR_YUY2, 'bgr8'),
    # OpenCV names a Bayer pattern by its second row, ROS by its first.
    'bayer_rggb8': (np.uint8, 1, cv2.COLOR_BayerBG2BGR, 'bgr8'),
    'bayer_bggr8': (np.uint8, 1, cv2.COLOR_BayerRG2BGR, 'bgr8'),
    'bayer_gbrg8': (np.uint8, 1, cv2.COLOR_BayerGR2BGR, 'bgr8'),
    'bayer_grbg8': (np.uint8, 1, cv2.COLOR_BayerGB2BGR, 'bgr8'),
}
_MASK_ENCODINGS = {
    'mono8': np.uint8,
    '8UC1': np.uint8,
    'mono16': np.uint16,
    '16UC1': np.uint16,
    '32SC1': np.int32,
}


@dataclass(frozen=True, eq=False)
class CameraFrame(Frame):
    """
    A frame which remembers its message's header, so that the answer carries exactly the same.

    :param header: of the source image; a stamp rebuilt from ns would lose an odd one.
    :param arrived: `time.perf_counter()` when the message came in, in s.
    """

    header: Header = field(default_factory=Header)
    arrived: float = 0.0


def to_stamp_ns(stamp: Time) -> int:
    """
    Read a message's stamp as nanoseconds.

    :param stamp: as in a header; seconds may be negative.
    """
    return int(stamp.sec) * _NS + int(stamp.nanosec)


def to_frame(msg: Image, arrived: float = 0.0) -> CameraFrame:
    """
    Read a camera image; rgb8 and bgr8 are views of the message, others are converted to bgr8.

    :param msg: of any encoding in the table above; `step` and `is_bigendian` are honoured.
    :param arrived: `time.perf_counter()` at its arrival.
    :raises VosError: the encoding is unknown, or size, step and data do not fit together.
    """
    if msg.encoding not in _CAMERA_ENCODINGS:
        known = ', '.join(sorted(_CAMERA_ENCODINGS))
        raise VosError(f"image encoding '{msg.encoding}' is not supported; use one of {known}")
    dtype, channels, code, encoding = _CAMERA_ENCODINGS[msg.encoding]
    pixels = _pixels(msg, np.dtype(dtype), channels)
    if dtype is np.uint16:
        # The high byte: an automatic gain would make brightness jump from frame to frame.
        pixels = (pixels >> 8).astype(np.uint8)
    if code is not None:
        if channels == 2:
            _check(msg.width % 2 == 0, f'a {msg.encoding} image needs an even width')
        pixels = cv2.cvtColor(np.ascontiguousarray(pixels), code)
    return CameraFrame(
        image=pixels,
        encoding=encoding,
        stamp_ns=to_stamp_ns(msg.header.stamp),
        frame_id=msg.header.frame_id,
        header=msg.header,
        arrived=arrived,
    )


def to_frame_from_compressed(msg: CompressedImage, arrived: float = 0.0) -> CameraFrame:
    """
    Decode a jpeg or png camera image to bgr8.

    :param msg: as image_transport's compressed plugin publishes it.
    :param arrived: `time.perf_counter()` at its arrival.
    :raises VosError: the data are no image that OpenCV reads.
    """
    data = np.frombuffer(msg.data, np.uint8)
    pixels = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if pixels is None:
        raise VosError(
            f"compressed image (format '{msg.format}', {data.size} bytes) cannot be decoded; "
            'publish jpeg or png'
        )
    return CameraFrame(
        image=pixels,
        encoding='bgr8',
        stamp_ns=to_stamp_ns(msg.header.stamp),
        frame_id=msg.header.frame_id,
        header=msg.header,
        arrived=arrived,
    )


def to_label_map(msg: Image, binary_id: int = 1) -> np.ndarray:
    """
    Read an init mask: 0 = untouched, k = (re)initialise object k.

    A mask of two values, 0 and the highest there is (255 in mono8), is a binary one, as
    thresholding gives it; else 255 is void (DAVIS) and read as 0. The result owns its memory: a
    prompt outlives its message.

    :param msg: mono8, 8UC1, mono16, 16UC1 or 32SC1.
    :param binary_id: the object which a binary mask means.
    :return: (H, W) uint8 or uint16, with at least one object.
    :raises VosError: another encoding, sizes that do not fit, ids outside 0 to 65535, no object.
    """
    if msg.encoding not in _MASK_ENCODINGS:
        known = ', '.join(_MASK_ENCODINGS)
        raise VosError(f"init mask encoding '{msg.encoding}' is not supported; use one of {known}")
    stored = _pixels(msg, np.dtype(_MASK_ENCODINGS[msg.encoding]), 1)
    low, high = int(stored.min()), int(stored.max())
    if low < 0 or high > np.iinfo(np.uint16).max:
        raise VosError(f'init mask holds ids from {low} to {high}; ids go from 0 to 65535')
    stored = stored.astype(np.uint8 if stored.itemsize == 1 else np.uint16)
    is_one_object = is_binary(stored)
    labels = to_object_ids(stored, binary=is_one_object)
    if is_one_object and binary_id != 1:
        labels = _as_object(labels, binary_id)
    if not labels.any():
        raise VosError(
            'init mask is empty: no pixel belongs to an object; paint ids 1, 2, ... or 255'
        )
    return labels


def to_prompt_from_file(path: str, binary_id: int = 1) -> Prompt:
    """
    Read a mask file as a prompt for the first frame that comes.

    :param path: of a PNG, indexed or grey.
    :param binary_id: the object which a binary mask means.
    :raises VosError: unreadable, or no object in it.
    """
    labels = read_prompt_png(Path(path))
    if binary_id != 1 and is_binary(read_label_png(Path(path))):
        labels = _as_object(labels, binary_id)
    return Prompt(labels)


def to_label_msg(label_map: np.ndarray, header: Header) -> Image:
    """
    Publish ids per pixel.

    :param label_map: (H, W) uint8 -> mono8, or uint16 -> mono16.
    :param header: the source image's.
    """
    return _to_image(label_map, 'mono8' if label_map.dtype == np.uint8 else 'mono16', header)


def to_mask_msg(label_map: np.ndarray, object_id: int, header: Header) -> Image:
    """
    Publish one object as 0 / 255.

    :param label_map: (H, W) uint8 or uint16.
    :param object_id: the object.
    :param header: the source image's.
    """
    return _to_image((label_map == object_id).astype(np.uint8) * np.uint8(255), 'mono8', header)


def to_overlay(frame: Frame, label_map: np.ndarray, alpha: float) -> np.ndarray:
    """
    Paint the objects over the picture, in DAVIS's colours.

    :param frame: the camera image.
    :param label_map: (H, W) uint8 or uint16, of the same size.
    :param alpha: 0 = only the picture, 1 = only the colours.
    :return: (H, W, 3) uint8 in the frame's encoding.
    """
    palette = davis_palette()[:, :: 1 if frame.encoding == 'rgb8' else -1]
    rows, columns = np.nonzero(label_map)
    image = np.array(frame.image, order='C')
    if rows.size:
        # Only the objects' pixels: they are usually a small part of the picture.
        colors = palette[label_map[rows, columns] % 255].astype(np.float32)
        pixels = image[rows, columns]
        image[rows, columns] = (pixels + alpha * (colors - pixels)).astype(np.uint8)
    return image


def to_color_msg(image: np.ndarray, encoding: str, header: Header) -> Image:
    """
    Publish a colour picture.

    :param image: (H, W, 3) uint8.
    :param encoding: rgb8 or bgr8.
    :param header: the source image's.
    """
    return _to_image(image, encoding, header)


def _as_object(ones: np.ndarray, object_id: int) -> np.ndarray:
    return ones * np.array(object_id, np.uint8 if object_id <= MAX_BYTE_ID else np.uint16)


def _to_image(pixels: np.ndarray, encoding: str, header: Header) -> Image:
    pixels = np.ascontiguousarray(pixels)
    data = array.array('B')
    data.frombytes(pixels.data.cast('B') if pixels.size else b'')
    msg = Image()
    msg.header = header
    msg.height, msg.width = int(pixels.shape[0]), int(pixels.shape[1])
    msg.encoding = encoding
    msg.is_bigendian = int(pixels.dtype.byteorder == '>')
    msg.step = int(pixels.strides[0]) if pixels.size else 0
    msg.data = data
    return msg


def _pixels(msg: Image, dtype: np.dtype, channels: int) -> np.ndarray:
    """
    View a message's data as (H, W) or (H, W, C), read-only, without the padding of its rows.

    :param msg: the image.
    :param dtype: of one channel, in this machine's byte order.
    :param channels: 1 gives two dimensions.
    """
    height, width, step = int(msg.height), int(msg.width), int(msg.step)
    row = width * channels * dtype.itemsize
    what = f'{msg.encoding} image of {width}x{height}'
    _check(height > 0 and width > 0, f'{what} is empty')
    _check(step >= row, f'{what} has step {step}, needs at least {row}')
    data = np.frombuffer(msg.data, np.uint8)
    # The last row's padding may be missing: some drivers cut it off.
    needed = (height - 1) * step + row
    _check(data.size >= needed, f'{what} with step {step} needs {needed} bytes, has {data.size}')
    # rclpy's array is writeable and belongs to the message: nobody may scribble into it.
    data.flags.writeable = False
    shape: tuple[int, ...] = (height, width)
    strides: tuple[int, ...] = (step, channels * dtype.itemsize)
    if channels > 1:
        shape, strides = (*shape, channels), (*strides, dtype.itemsize)
    order = dtype.newbyteorder('>' if msg.is_bigendian else '<')
    pixels: np.ndarray = np.ndarray(shape, order, data, strides=strides)
    return pixels if pixels.dtype.isnative else pixels.astype(dtype)


def _check(fits: bool, complaint: str) -> None:
    if not fits:
        raise VosError(complaint)
