# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Images of 16 bits to 8: one stretch for all frames of a camera.

A thermal camera uses 600 of its 65536 counts, a depth image in mm 2000, a camera of 12 bits 4096:
of their high bytes alone a few grey levels would be left. A stretch anew for each frame would make
brightness jump whenever something hot comes into view. So it is set once, by the first frame that
shows something, or by the user.
"""

from __future__ import annotations

import logging
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from vos_ros.datatypes import Image

#: Below this many of 256 levels, outlines disappear.
LEAST_LEVELS = 32
# Counts that mean "nothing measured" (depth) or "more than can be measured".
_NOTHING, _TOO_MUCH = 0, 65535
# What is darkest and lightest, per cent, and how much room is left beyond, of the span.
_PERCENTILES = (0.5, 99.5)
_MARGIN = 0.125
# Values looked at per frame: percentiles of more change nothing.
_LOOK = 20_000
_log = logging.getLogger(__name__)


class GreyRange:
    """
    The stretch of one camera; not for several threads at once.

    :param given: lowest and highest count; None = by the first frame that shows something.
    :param name: of the camera, for a warning.
    """

    def __init__(self, given: tuple[int, int] | None = None, name: str = 'the camera') -> None:
        self.limits = given
        self.levels = 256  # of the last image
        self._name = name
        self._has_warned = False

    def __call__(self, pixels: npt.NDArray[np.uint16]) -> Image:
        """
        Convert one image.

        :param pixels: (H, W) or (H, W, C) uint16.
        :return: of the same shape, uint8; counts beyond the limits are black or white.
        """
        rows = np.ascontiguousarray(pixels).reshape(pixels.shape[0], -1)
        every = max(1, int((rows.size / _LOOK) ** 0.5))
        every |= 1  # odd, so that no colour of a mosaic is left out
        sample = rows[::every, ::every]
        limits = self.limits
        if limits is None:
            limits, is_usable = _limits_of(sample)
            if is_usable:
                self.limits = limits
                _log.info(
                    '%s: 16 bit images are stretched from %d to %d', self._name, *self.limits
                )
        low, high = limits
        # Not cv2.subtract: it takes an image of 4x1 pixels for four channels of one.
        shifted: Any = np.maximum(rows, np.uint16(low)) - np.uint16(low)
        grey = cv2.convertScaleAbs(shifted, alpha=255.0 / (high - low))
        self.levels = np.count_nonzero(
            np.bincount(grey[::every, ::every].reshape(-1), minlength=256)
        )
        if self.levels < LEAST_LEVELS and not self._has_warned:
            self._has_warned = True
            _log.warning(
                '%s: a 16 bit image shows only %d of 256 grey levels (it holds %d to %d, taken '
                'are %d to %d); set image_range to what the scene holds',
                self._name,
                self.levels,
                int(sample.min()),
                int(sample.max()),
                low,
                high,
            )
        found: Image = grey.reshape(pixels.shape)
        return found


def _limits_of(sample: npt.NDArray[np.uint16]) -> tuple[tuple[int, int], bool]:
    """Return the limits for an image, and whether it shows enough to keep them."""
    values = sample[(sample > _NOTHING) & (sample < _TOO_MUCH)]
    if not values.size:
        return (_NOTHING, _TOO_MUCH), False
    low, high = (float(value) for value in np.percentile(values, _PERCENTILES))
    margin = _MARGIN * (high - low)
    least = max(_NOTHING, round(low - margin))
    most = min(_TOO_MUCH, round(high + margin))
    return (least, max(most, least + 1)), high - low >= LEAST_LEVELS
