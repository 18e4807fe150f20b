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
NOISE = 25.0
#: A cell that is more probably background is far from every outline.
_BACKGROUND = 0.9
#: Cells on a side of the window of one line, and from a line to the farthest cell it needs.
_WINDOW = (3, 3)
_MARGIN = 2


@dataclass(frozen=True, eq=False)
class Guide:
    """
    Brightness in pixels and cells, and what it does to the probabilities.

    :param image: (H, W, 3) uint8, the camera's, whose green counts; or (H, W), the green alone.
    :param planes: (2 * K + 1, h4, w4) float32, all that is upsampled: the probabilities of the K
        objects; their slopes, per step of brightness; the image's green in cells, 0..255. What is
        missing, the background's, is 1 and 0 less their sums.
    """

    image: Image
    planes: Float

    @classmethod
    def of(cls, prob: Float, image: Image, coarse: Float) -> Guide:
        """
        Fit the lines.

        :param prob: (K + 1, h4, w4) float32, sums to 1 over axis 0, row 0 = background.
        :param image: (H, W, 3) uint8, rgb or bgr; or (H, W), the green alone, which is faster.
        :param coarse: (h4, w4) float32, the image's green in the cells of `prob`.
        """
        count = len(prob) - 1
        planes = np.zeros((2 * count + 1, *coarse.shape), np.float32)
        planes[:count], planes[-1] = prob[1:], coarse
        guide = cls(image, planes)
        # Where all around is background for sure, there is no slope.
        left, top, width, height = cv2.boundingRect((prob[0] < _BACKGROUND).view(np.uint8))
        if not width:
            return guide
        rows = slice(max(0, top - _MARGIN), top + height + _MARGIN)
        columns = slice(max(0, left - _MARGIN), left + width + _MARGIN)
        part = planes[:, rows, columns]
        green = part[-1]
        mean = cv2.blur(green, _WINDOW)
        spread = cv2.blur(green * green, _WINDOW) - mean * mean + NOISE
        for probable, slope in zip(part[:count], part[count:-1]):
            shared = cv2.blur(green * probable, _WINDOW) - mean * cv2.blur(probable, _WINDOW)
            np.divide(shared, spread, out=slope)
        return guide

    def smoothed(self, rows: slice, columns: slice) -> npt.NDArray[np.uint8]:
        """
        Return the green of a part of the image without the noise of single pixels.

        With that noise a mask has 24 islands of 6 pixels or less (480p), without it 3.
        """
        fine = self.image[rows, columns]
        if fine.ndim == 3:
            fine = np.asarray(cv2.extractChannel(fine, 1), np.uint8)
        return np.asarray(cv2.GaussianBlur(fine, (3, 3), 0), np.uint8)
