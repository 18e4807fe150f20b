# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Frame -> network input, and the geometry between camera and network."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2
import numpy as np

from vos_ros.datatypes import Float, Frame, Image, LabelMap
from vos_ros.errors import VosError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cv2.typing import MatLike

Size = tuple[int, int]  # height, width

# Cameras round their widths (854, 848), so equal aspects may differ by a few pixels.
ASPECT_TOLERANCE = 0.01
# Memory and time grow with the long side; a strip beyond this is a mistake, not a camera.
MAX_ASPECT = 8
#: The network's input is at most this many short sides long (16:9 has 1.78) ...
_MAX_LENGTH = 1.8
#: ... or has at most this area, in squares of the short side (4:3 has as much). Reading the memory
#: costs more than the square of the area: a strip of 512 pixels would take 37 times the time.
_MAX_AREA = 4 / 3
#: Bilinear interpolation leaves pixels out when it shrinks an image by more.
MAX_BILINEAR = 1.5
#: Short sides of the network's input below the model's own one, px; smaller loses the objects.
_LADDER = (384, 320, 256)


def network_size(camera_size: Size, short_side: int, multiple: int = 16) -> Size:
    """
    Return the network input (H, W) for a camera image: short side -> `short_side`.

    Images longer than 16:9 get smaller sides: those of the longest input there is, or of one with
    the area of 4:3, whichever is larger. Both sides are rounded to the nearest multiple, and the
    image is stretched onto it by at most half a multiple; nothing is padded, so no pixel is spent
    on a border.
    """
    if max(camera_size) > MAX_ASPECT * min(camera_size):
        raise VosError(
            f'a frame of {camera_size[1]}x{camera_size[0]} is longer than {MAX_ASPECT} times its '
            'width; crop it first'
        )
    scale = short_side / min(camera_size)
    aspect = max(camera_size) / min(camera_size)
    scale *= min(1.0, max(_MAX_LENGTH / aspect, math.sqrt(_MAX_AREA / aspect)))
    height, width = (
        max(multiple, int(side * scale / multiple + 0.5) * multiple) for side in camera_size
    )
    return height, width


def ladder(short_side: int) -> tuple[int, ...]:
    """
    Return the short sides of the network's input to step down, px, the given one first.

    :param short_side: the model's own, or the setting `input_size`; one at or below the
        smallest step cannot shrink.
    """
    return (short_side, *(side for side in _LADDER if side < short_side))


def resize_image(image: Image, size: Size) -> Image:
    """
    Resize (H0, W0, 3) uint8 to `size` (H, W): bilinear to 1, 2, 4, ... times it, then halved.

    Halving is the mean of 2x2 pixels, so fine texture does not alias. Both take OpenCV's fast
    paths: 0.7 to 3 ms where INTER_AREA takes 9 to 37 (1280x720 and 1920x1080 to 480, one thread).
    The robot and the scores of `vos eval` come through here; training clips are composed at the
    network's size and never resized.
    """
    for power in range(halvings_of((image.shape[0], image.shape[1]), size), -1, -1):
        image = _bilinear(image, (size[0] << power, size[1] << power))
    return image


def halvings_of(camera: Size, size: Size) -> int:
    """Return how often an image of (H, W) is halved on its way to `size`."""
    shrinks = min(camera[0] / size[0], camera[1] / size[1])
    halvings = 0
    while shrinks / 2**halvings > MAX_BILINEAR:
        halvings += 1
    return halvings


def _bilinear(image: Image, size: Size) -> Image:
    if image.shape[:2] == size:
        return image
    resized: Image = cv2.resize(  # type: ignore[assignment]
        image, size[::-1], interpolation=cv2.INTER_LINEAR
    )
    return resized


class Normalizer:
    """
    (x - mean) / std on the 0..255 scale.

    :param mean: per RGB channel.
    :param std: per RGB channel.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        self.mean = mean
        self.std = std
        self._planes: Sequence[MatLike] | None = None  # scratch, kept for images of the same size

    def __call__(self, image: Image, encoding: str, out: Float) -> Float:
        """
        Write the normalised RGB planes of `image` into `out`.

        :param image: (H, W, 3) uint8 in the order that `encoding` says.
        :param out: (1, 3, H, W) float32, overwritten and returned.
        """
        self._planes = cv2.split(image, self._planes)
        planes = self._planes if encoding == 'rgb8' else self._planes[::-1]
        for channel, plane in enumerate(planes):
            scale = 1.0 / self.std[channel]
            # The one call that scales, shifts and writes float in one pass. A product and a
            # difference pass twice over what no cache holds: 0.64 ms instead of 0.52 at 640x480.
            cv2.addWeighted(
                plane,
                scale,
                plane,
                0.0,
                -self.mean[channel] * scale,
                dst=out[0, channel],
                dtype=cv2.CV_32F,
            )
        return out

    @property
    def green(self) -> Image:
        """Green of the image that was normalised last, (H, W) uint8; overwritten by the next."""
        assert self._planes is not None
        return self._planes[1]  # type: ignore[return-value]


def halved(plane: Image, size: Size) -> Float:
    """
    Average a plane over cells.

    :param plane: (H, W) uint8.
    :param size: of the result (h, w): the plane's, halved some times.
    :return: (h, w) float32, 0..255.
    """
    cells: MatLike = plane
    while cells.shape[0] > size[0]:  # 0.06 ms at 640x480, INTER_AREA in one go 0.15
        half = (cells.shape[1] // 2, cells.shape[0] // 2)
        cells = cv2.resize(cells, half, interpolation=cv2.INTER_LINEAR)
    return np.asarray(cells, np.float32)


def prepare(frame: Frame, normalizer: Normalizer, out: Float) -> Float:
    """
    Resize and normalise a frame into the network input `out`.

    :param out: (1, 3, H, W) float32, overwritten and returned; its shape says the size.
    """
    size = (out.shape[2], out.shape[3])
    return normalizer(resize_image(frame.image, size), frame.encoding, out)


def fit_label_map(label_map: LabelMap, size: Size) -> LabelMap:
    """
    Return the label map at the frame's size; another aspect is refused with both sizes.

    :param label_map: (H, W) uint8 or uint16; resized by nearest neighbour, so no id is invented.
    :param size: height and width of the frame it belongs to.
    """
    height, width = label_map.shape
    if (height, width) == size:
        return label_map
    if abs(width * size[0] / (height * size[1]) - 1.0) > ASPECT_TOLERANCE:
        raise VosError(
            f'the mask is {width}x{height} but the frame is {size[1]}x{size[0]}, another aspect '
            'ratio; draw the mask on the frame as the camera sends it'
        )
    fitted: LabelMap = cv2.resize(  # type: ignore[assignment]
        label_map, size[::-1], interpolation=cv2.INTER_NEAREST
    )
    return fitted
