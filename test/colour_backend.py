# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A network whose answers can be foreseen, for tests of everything around a network."""

from collections.abc import Callable

import cv2
import numpy as np

from vos_ros.backends.base import Features, Size, Window
from vos_ros.datatypes import Float
from vos_ros.engine.segmenter import VideoSegmenter
from vos_ros.engine.windows import whole


class ColourBackend:
    """
    A network that remembers the mean colour of each object and finds it wherever it is.

    Input sides are multiples of 16; a value is the colour, the same at every token.
    """

    name = 'colour'
    precision = 'fp32'

    def __init__(self, size: Size) -> None:
        self.fallbacks: tuple[str, ...] = ()
        self.takes_windows = False
        self.size = size
        self.calls: list[str] = []

    def encode_image(self, image: Float) -> Features:
        height, width = image.shape[2:]
        is_all = (height, width) == self.size
        self.calls.append(f'encode_image{"" if is_all else " in a window"}')
        assert self.takes_windows or is_all
        planes = image[0].transpose(1, 2, 0)
        small = cv2.resize(planes, (width // 4, height // 4), interpolation=cv2.INTER_AREA)
        key = cv2.resize(planes, (width // 16, height // 16), interpolation=cv2.INTER_AREA)
        return {
            'image': image,
            'key': np.ascontiguousarray(key.transpose(2, 0, 1)[None]),
            'small': np.ascontiguousarray(small.transpose(2, 0, 1)),
        }

    def segment(
        self,
        features: Features,
        memory_key: Float,
        memory_value: Float,
        window: Window | None = None,
    ) -> Float:
        self.calls.append(f'segment {len(memory_value)}{"" if window is None else " in a window"}')
        colours = memory_value.mean(axis=(1, 3))  # (objects, 3) over both rows and all tokens
        small = features['small']
        if window is not None:
            assert self.takes_windows
            small = window.cut(small, (self.size[0] // 16, self.size[1] // 16))
        difference = small[None] - colours[:, :, None, None]
        logits: Float = 10.0 - 40.0 * np.abs(difference).sum(axis=1)
        return logits.astype(np.float32)

    def encode_mask(
        self, features: Features, masks: Float, others: Float, window: Window | None = None
    ) -> Float:
        self.calls.append(f'encode_mask {len(masks)}{"" if window is None else " in a window"}')
        grid = (self.size[0] // 16, self.size[1] // 16)
        seen = whole(grid) if window is None else window
        assert self.takes_windows or window is None
        masks, small = seen.cut(masks, grid), seen.cut(features['small'], grid)
        weight = masks.sum(axis=(1, 2)) + 1e-6
        colours = np.einsum('khw,chw->kc', masks, small) / weight[:, None]
        return np.repeat(colours[:, :, None], seen.area, axis=2).astype(np.float32)


MakeSegmenter = Callable[..., VideoSegmenter]
