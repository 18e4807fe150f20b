# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Mosaic: features of the newest frame where objects can be, elsewhere of frames before.

To encode a frame is half of its cost, and the memory keeps whole frames. What lies far from every
object says next to nothing about it, so it need not be newer than when it was seen last.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import reduce

import numpy as np

from vos_ros.backends.base import Backend, Features, Size, Window
from vos_ros.datatypes import Float
from vos_ros.engine.windows import in_steps, union, whole

#: Tokens around what will be looked into, as convolutions see zeros beyond the border of what they
#: are given. With 0, 1 and 3 tokens J&F is 0.777, 0.778 and 0.778 on our val of DAVIS 2016 (0.778
#: for whole frames), at 0.65, 0.71 and 0.75 of the area.
_MARGIN = 1
#: From this share of the frame on, all of it is encoded: little is saved, and all of it is new.
_MOST = 0.9


class Mosaic:
    """
    The features of a whole frame, put together from as many frames as it takes.

    :param backend: that takes windows; else every frame is to be encoded as a whole.
    :param grid: rows and columns of tokens.
    """

    def __init__(self, backend: Backend, grid: Size) -> None:
        self._backend, self._grid = backend, grid
        self._features: Features = {}
        self._newest: Window | None = None
        self.number = 0  # of frames so far

    @property
    def newest(self) -> Window:
        """The part that is of the newest frame."""
        assert self._newest is not None, 'nothing of this frame was asked for yet'
        return self._newest

    def begin(self) -> None:
        """Take note that there is a new frame, of which nothing is known yet."""
        self._newest = None
        self.number += 1

    def forget(self) -> None:
        """Forget all frames: the next one is encoded as a whole."""
        self._features, self._newest = {}, None

    def see(self, image: Float, windows: Collection[Window]) -> Features:
        """
        Encode as much of the newest frame as is needed, in one call; nothing where that is known.

        :param image: (1, 3, H, W) normalised RGB, all of the newest frame.
        :param windows: what has to be known of it.
        :return: features of the whole frame, which are of the newest one in these windows and may
            be older elsewhere. Valid until the next call of `see`.
        """
        everything = whole(self._grid)
        known = self._newest
        wanted = [everything] if not self._features else list(windows)
        if known is not None and all(union(known, window) == known for window in wanted):
            return self._features
        window = reduce(union, wanted if known is None else [known, *wanted])
        window = self._widened(window)
        if window.area >= _MOST * everything.area:
            self._features = self._backend.encode_image(image)
            self._newest = everything
            return self._features
        part = np.ascontiguousarray(window.cut(image, self._grid))
        for name, seen in self._backend.encode_image(part).items():
            if name != 'image':
                window.cut(self._features[name], self._grid)[:] = seen
        self._features['image'] = image
        self._newest = window
        return self._features

    def _widened(self, window: Window) -> Window:
        rows, columns = self._grid
        wider = Window(
            max(window.top - _MARGIN, 0),
            max(window.left - _MARGIN, 0),
            min(window.bottom + _MARGIN, rows),
            min(window.right + _MARGIN, columns),
        )
        return in_steps(wider, self._grid)
