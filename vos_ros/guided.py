# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
What the camera image tells of an outline between the cells of the network.

A guided filter (He, Sun and Tang, "Guided image filtering", PAMI 2013; "Fast guided filter",
arXiv 1505.00996) fits, around every cell, a line that gives the probability from the brightness.
Only its slope is taken here: the probabilities are upsampled as they are, and each pixel is moved
along the slope by how much it is brighter than the upsampled cells. So thin parts, which the
filter itself blurs away, stay.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from vos_ros.datatypes import Float, Image

#: Variance of brightness (0..255) below which it tells nothing: the noise of a sensor.
_NOISE = 25.0
#: A cell that is more probably background is far from every outline.
_BACKGROUND = 0.9
#: Cells on a side of the window of one line, and from a line to the farthest cell it needs.
_WINDOW = (3, 3)
_MARGIN = 2


@dataclass(frozen=True, eq=False)
class Guide:
    """
    Brightness in pixels and cells, and what it does to the probabilities.

    :param fine: bytes of the camera image; green is every `stride`-th from `first` on, row by row.
    :param planes: (2 * K + 1, h4, w4) float32, all that is upsampled: the probabilities of the K
        objects; their slopes, per step of brightness; the image's green in cells, 0..255. What is
        missing, the background's, is 1 and 0 less their sums.
    """

    fine: npt.NDArray[np.uint8]
    stride: int
    first: int
    planes: Float

    @classmethod
    def of(cls, prob: Float, image: Image, coarse: Float) -> Guide:
        """
        Fit the lines.

        :param prob: (K + 1, h4, w4) float32, sums to 1 over axis 0, row 0 = background.
        :param image: (H, W, 3) uint8, rgb or bgr.
        :param coarse: (h4, w4) float32, the image's green in the cells of `prob`.
        """
        count = len(prob) - 1
        planes = np.zeros((2 * count + 1, *coarse.shape), np.float32)
        planes[:count], planes[-1] = prob[1:], coarse
        if image.flags.c_contiguous:
            guide = cls(image.reshape(-1), 3, 1, planes)
        else:
            guide = cls(image[..., 1].reshape(-1), 1, 0, planes)
        # Where all around is background for sure, there is no slope.
        left, top, width, height = cv2.boundingRect((prob[0] < _BACKGROUND).view(np.uint8))
        if not width:
            return guide
        rows = slice(max(0, top - _MARGIN), top + height + _MARGIN)
        columns = slice(max(0, left - _MARGIN), left + width + _MARGIN)
        part = planes[:, rows, columns]
        green = part[-1]
        mean = cv2.blur(green, _WINDOW)
        spread = cv2.blur(green * green, _WINDOW) - mean * mean + _NOISE
        for probable, slope in zip(part[:count], part[count:-1]):
            shared = cv2.blur(green * probable, _WINDOW) - mean * cv2.blur(probable, _WINDOW)
            np.divide(shared, spread, out=slope)
        return guide

    def green(self, pixels: npt.NDArray[np.intp]) -> npt.NDArray[np.uint8]:
        """Return the green of pixels, which are counted row by row."""
        return self.fine.take(pixels * self.stride + self.first)
