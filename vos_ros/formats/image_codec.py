# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Image messages to arrays, whoever has deserialised them: rclpy for the node, rosbags for a bag.

Only the fields of a message are used, never its type, so that no ROS is needed. Own conversion
instead of cv_bridge, which is wrong for a padded `step` that is no multiple of the pixel size,
breaks on big-endian images with NumPy 2, and is missing on a machine without ROS.
"""

from __future__ import annotations

from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from vos_ros.datatypes import Encoding, Image, LabelMap
from vos_ros.errors import VosError
from vos_ros.formats.encoded import check_encoded, check_pixels, decode, OF_FILES, PROMISED
from vos_ros.formats.grey import GreyRange

# encoding -> (dtype, channels, cv2 conversion to bgr8 or None, encoding of the result)
_CAMERA_ENCODINGS: dict[str, tuple[Any, int, int | None, Encoding]] = {
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
    'rgb16': (np.uint16, 3, None, 'rgb8'),
    'bgr16': (np.uint16, 3, None, 'bgr8'),
    '16UC3': (np.uint16, 3, None, 'bgr8'),
    'rgba16': (np.uint16, 4, cv2.COLOR_RGBA2BGR, 'bgr8'),
    'bgra16': (np.uint16, 4, cv2.COLOR_BGRA2BGR, 'bgr8'),
    '16UC4': (np.uint16, 4, cv2.COLOR_BGRA2BGR, 'bgr8'),
    'yuv422': (np.uint8, 2, cv2.COLOR_YUV2BGR_UYVY, 'bgr8'),
    'uyvy': (np.uint8, 2, cv2.COLOR_YUV2BGR_UYVY, 'bgr8'),
    'yuv422_yuy2': (np.uint8, 2, cv2.COLOR_YUV2BGR_YUY2, 'bgr8'),
    'yuyv': (np.uint8, 2, cv2.COLOR_YUV2BGR_YUY2, 'bgr8'),
    # OpenCV names a Bayer pattern by its second row, ROS by its first.
    'bayer_rggb8': (np.uint8, 1, cv2.COLOR_BayerBG2BGR, 'bgr8'),
    'bayer_bggr8': (np.uint8, 1, cv2.COLOR_BayerRG2BGR, 'bgr8'),
    'bayer_gbrg8': (np.uint8, 1, cv2.COLOR_BayerGR2BGR, 'bgr8'),
    'bayer_grbg8': (np.uint8, 1, cv2.COLOR_BayerGB2BGR, 'bgr8'),
    'bayer_rggb16': (np.uint16, 1, cv2.COLOR_BayerBG2BGR, 'bgr8'),
    'bayer_bggr16': (np.uint16, 1, cv2.COLOR_BayerRG2BGR, 'bgr8'),
    'bayer_gbrg16': (np.uint16, 1, cv2.COLOR_BayerGR2BGR, 'bgr8'),
    'bayer_grbg16': (np.uint16, 1, cv2.COLOR_BayerGB2BGR, 'bgr8'),
}
# A plane of luma, then at half size, interleaved, one of the two chromas each.
_SEMIPLANAR: dict[str, int] = {
    'nv12': cv2.COLOR_YUV2BGR_NV12,
    'nv21': cv2.COLOR_YUV2BGR_NV21,
}
_MASK_ENCODINGS: dict[str, Any] = {
    'mono8': np.uint8,
    '8UC1': np.uint8,
    'mono16': np.uint16,
    '16UC1': np.uint16,
    '32SC1': np.int32,
}


class ImageFields(Protocol):
    """What is used of a sensor_msgs/Image."""

    height: Any
    width: Any
    encoding: Any
    is_bigendian: Any
    step: Any
    data: Any


class CompressedFields(Protocol):
    """What is used of a sensor_msgs/CompressedImage."""

    format: Any
    data: Any


def decode_image(msg: ImageFields, grey: GreyRange | None = None) -> tuple[Image, Encoding]:
    """
    Read a camera image; rgb8 and bgr8 are views of the message, others are converted to bgr8.

    :param msg: of any encoding in the table above; `step` and `is_bigendian` are honoured.
    :param grey: the camera's stretch of 16 bits to 8; None = one for this image alone.
    :return: (H, W, 3) uint8, and its encoding.
    :raises VosError: the encoding is unknown, or size, step and data do not fit together.
    """
    pixels = check_image(msg)
    if msg.encoding in _SEMIPLANAR:
        planes = np.ascontiguousarray(pixels)
        return np.asarray(cv2.cvtColor(planes, _SEMIPLANAR[msg.encoding])), 'bgr8'
    dtype, _, code, encoding = _CAMERA_ENCODINGS[msg.encoding]
    if dtype is np.uint16:
        pixels = (grey or GreyRange())(pixels)
    if code is not None:
        pixels = np.asarray(cv2.cvtColor(np.ascontiguousarray(pixels), code))
    return pixels, encoding


def check_image(msg: ImageFields) -> npt.NDArray[Any]:
    """
    Find out whether a camera image can be read, without converting it.

    :param msg: as in :func:`decode_image`.
    :return: its pixels as they are stored: (H, W) or (H, W, C), nv12 and nv21 (3 H / 2, W).
    :raises VosError: the encoding is unknown, or size, step and data do not fit together.
    """
    height, width = int(msg.height), int(msg.width)
    if msg.encoding in _SEMIPLANAR:
        _check(width % 2 == height % 2 == 0, f'an {msg.encoding} image needs even sides')
        return view_pixels(msg, np.dtype(np.uint8), 1, rows=height + height // 2)
    if msg.encoding not in _CAMERA_ENCODINGS:
        known = ', '.join(sorted([*_CAMERA_ENCODINGS, *_SEMIPLANAR]))
        raise VosError(f"image encoding '{msg.encoding}' is not supported; use one of {known}")
    dtype, channels, _, _ = _CAMERA_ENCODINGS[msg.encoding]
    pixels = view_pixels(msg, np.dtype(dtype), channels)
    if channels == 2:
        _check(width % 2 == 0, f'a {msg.encoding} image needs an even width')
    return pixels


def decode_compressed_image(msg: CompressedFields, grey: GreyRange | None = None) -> Image:
    """
    Decode a jpeg or png camera image.

    :param msg: as image_transport's compressed plugin publishes it.
    :param grey: the camera's stretch of 16 bits to 8; None = one for this image alone.
    :return: (H, W, 3) uint8 bgr8.
    :raises VosError: another format, cut off, damaged, or too large.
    """
    name = f"compressed image (format '{msg.format}')"
    return decode_picture(msg.data, name, grey)


def decode_picture(
    data: Any, name: str, grey: GreyRange | None, *, of_file: bool = False
) -> Image:
    """
    Decode a colour or grey picture.

    :param data: bytes, or what gives a view of them.
    :param name: what to call it in an error.
    :param grey: the stretch of 16 bits to 8; None = one for this image alone.
    :param of_file: bmp, tiff, webp, ppm and pgm are taken, too.
    :return: (H, W, 3) uint8 bgr8.
    :raises VosError: another format, cut off, damaged, or too large.
    """
    kinds = OF_FILES if of_file else PROMISED
    header = check_encoded(data, name, kinds)
    is_deep = header.depth > 8 and header.kind != 'jpeg'
    flags = cv2.IMREAD_COLOR | (cv2.IMREAD_ANYDEPTH if is_deep else 0)
    pixels = decode(data, name, flags, header)
    if pixels.dtype == np.uint16:
        pixels = (grey or GreyRange())(pixels)
    if pixels.dtype != np.uint8:
        raise VosError(f'{name} holds {pixels.dtype} numbers; use images of 8 or 16 bits')
    return np.asarray(pixels, np.uint8)


def decode_labels(msg: ImageFields, what: str) -> LabelMap:
    """
    Read the numbers of a label image, as they are stored.

    :param msg: mono8, 8UC1, mono16, 16UC1 or 32SC1.
    :param what: name for errors, such as 'init mask'.
    :return: (H, W) uint8 or uint16, in memory of its own.
    :raises VosError: another encoding, sizes that do not fit, ids outside 0 to 65535.
    """
    if msg.encoding not in _MASK_ENCODINGS:
        known = ', '.join(_MASK_ENCODINGS)
        raise VosError(f"{what} encoding '{msg.encoding}' is not supported; use one of {known}")
    stored = view_pixels(msg, np.dtype(_MASK_ENCODINGS[msg.encoding]), 1)
    low, high = int(stored.min()), int(stored.max())
    if low < 0 or high > np.iinfo(np.uint16).max:
        raise VosError(f'{what} holds ids from {low} to {high}; ids go from 0 to 65535')
    labels: LabelMap = stored.astype(np.uint8 if stored.itemsize == 1 else np.uint16)
    return labels


def view_pixels(
    msg: ImageFields, dtype: np.dtype[Any], channels: int, rows: int = 0
) -> npt.NDArray[Any]:
    """
    View a message's data as (H, W) or (H, W, C), read-only, without the padding of its rows.

    :param msg: the image.
    :param dtype: of one channel, in this machine's byte order.
    :param channels: 1 gives two dimensions.
    :param rows: that are stored, where it is not the height.
    """
    height, width, step = rows or int(msg.height), int(msg.width), int(msg.step)
    row = width * channels * dtype.itemsize
    what = f'{msg.encoding} image of {width}x{int(msg.height)}'
    _check(height > 0 and width > 0, f'{what} is empty')
    _check(step >= row, f'{what} has step {step}, needs at least {row}')
    data = np.frombuffer(msg.data, np.uint8)
    # The last row's padding may be missing: some drivers cut it off.
    needed = (height - 1) * step + row
    _check(data.size >= needed, f'{what} with step {step} needs {needed} bytes, has {data.size}')
    check_pixels(height, width, f'the {msg.encoding} image')
    # rclpy's array is writeable and belongs to the message: nobody may scribble into it.
    data.flags.writeable = False
    shape: tuple[int, ...] = (height, width)
    strides: tuple[int, ...] = (step, channels * dtype.itemsize)
    if channels > 1:
        shape, strides = (*shape, channels), (*strides, dtype.itemsize)
    order = dtype.newbyteorder('>' if msg.is_bigendian else '<')
    pixels: npt.NDArray[Any] = np.ndarray(shape, order, data, strides=strides)
    return pixels if pixels.dtype.isnative else pixels.astype(dtype)


def _check(fits: bool, problem: str) -> None:
    if not fits:
        raise VosError(problem)
