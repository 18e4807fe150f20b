# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Our reader of images beside cv_bridge's, where that is installed."""

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs rclpy')
pytest.importorskip('cv_bridge', reason='needs cv_bridge, which has no wheel')

import cv_bridge
from robot import image_msg

from vos_ros.errors import VosError
from vos_ros.formats.image_codec import decode_image

#: Those of sensor_msgs/image_encodings.hpp: bytes of a channel, channels.
ENCODINGS = {
    **dict.fromkeys(('rgb8', 'bgr8'), (1, 3)),
    **dict.fromkeys(('rgba8', 'bgra8'), (1, 4)),
    **dict.fromkeys(('rgb16', 'bgr16'), (2, 3)),
    **dict.fromkeys(('rgba16', 'bgra16'), (2, 4)),
    **{f'bayer_{order}8': (1, 1) for order in ('rggb', 'bggr', 'gbrg', 'grbg')},
    **{f'bayer_{order}16': (2, 1) for order in ('rggb', 'bggr', 'gbrg', 'grbg')},
    **dict.fromkeys(('yuv422', 'yuv422_yuy2', 'uyvy', 'yuyv', 'nv21', 'nv24'), (1, 2)),
    **{f'{depth}UC{n}': (depth // 8, n) for depth in (8, 16) for n in (1, 2, 3, 4)},
    **{f'{depth}SC{n}': (depth // 8, n) for depth in (8, 16, 32) for n in (1, 2, 3, 4)},
    **{f'{depth}FC{n}': (depth // 8, n) for depth in (32, 64) for n in (1, 2, 3, 4)},
    'mono8': (1, 1),
    'mono16': (2, 1),
}


def picture(encoding: str):
    """Make an image of random bytes."""
    size, channels = ENCODINGS[encoding]
    dtype = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}[size]
    shape = (16, 24, channels) if channels > 1 else (16, 24)
    values = np.random.default_rng(5).integers(0, 256, shape).astype(dtype)
    return image_msg(values, encoding)


def by_cv_bridge(msg) -> np.ndarray | None:
    """Give the image in bgr8; None where cv_bridge refuses it."""
    try:
        return cv_bridge.CvBridge().imgmsg_to_cv2(msg, 'bgr8')
    except (cv_bridge.CvBridgeError, RuntimeError):
        return None


@pytest.mark.parametrize('encoding', ENCODINGS)
def test_what_cv_bridge_reads_is_read_and_the_same(encoding: str) -> None:
    msg = picture(encoding)
    expected = by_cv_bridge(msg)
    try:
        pixels, order = decode_image(msg)
    except VosError:
        assert expected is None  # else: hand such images to cv_bridge, or learn to read them
        return
    # Images of 16 bits are stretched here and cut to their high byte there; numbers without a
    # meaning (8UC3) are refused there.
    if expected is not None and ENCODINGS[encoding][0] == 1:
        assert np.array_equal(pixels[..., ::-1] if order == 'rgb8' else pixels, expected)
