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
#: Where more of a frame is asked for, so many tokens of what was known of it are encoded again,
#: and as many more are only shown: a seam may be where an object is.
_SEAM = 3


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
        Encode as much of the newest frame as is needed, and what is known of it not again.

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
        window = _around(reduce(union, wanted), _MARGIN, everything, self._grid)
        if known is not None:
            window = in_steps(union(known, window), self._grid)
        if window.area >= _MOST * everything.area:
            window = everything
        parts = [(window, window)] if known is None else _beside(window, known, self._grid)
        if sum(shown.area for _, shown in parts) >= _MOST * window.area:
            parts = [(window, window)]
        for part, shown in parts:
            self._encode(image, part, shown)
        self._newest = window
        return self._features

    def _encode(self, image: Float, part: Window, shown: Window) -> None:
        """Make a part of the features new; the network sees of the image only what is shown."""
        if part == whole(self._grid):
            self._features = self._backend.encode_image(image)
            return
        piece = np.ascontiguousarray(shown.cut(image, self._grid))
        size = (shown.bottom - shown.top, shown.right - shown.left)
        rows, columns = shown.top, shown.left
        inside = Window(
            part.top - rows, part.left - columns, part.bottom - rows, part.right - columns
        )
        for name, seen in self._backend.encode_image(piece).items():
            if name != 'image':
                part.cut(self._features[name], self._grid)[:] = inside.cut(seen, size)
        self._features['image'] = image


def _beside(window: Window, known: Window, grid: Size) -> list[tuple[Window, Window]]:
    """
    Return the parts of a window that are not known, and what of the frame to show for each.

    :param known: within the window; its rim, where convolutions saw zeros, becomes new as well.
    """
    inner = Window(
        known.top + _SEAM * (known.top > window.top),
        known.left + _SEAM * (known.left > window.left),
        known.bottom - _SEAM * (known.bottom < window.bottom),
        known.right - _SEAM * (known.right < window.right),
    )
    if inner.top >= inner.bottom or inner.left >= inner.right:
        return [(window, window)]
    parts = (
        window._replace(bottom=inner.top),
        window._replace(top=inner.bottom),
        Window(inner.top, window.left, inner.bottom, inner.left),
        Window(inner.top, inner.right, inner.bottom, window.right),
    )
    return [(part, _around(part, _SEAM, window, grid)) for part in parts if part.area]


def _around(part: Window, tokens: int, within: Window, grid: Size) -> Window:
    """Return a part with so many tokens around it, as far as the other window goes."""
    wider = Window(
        max(part.top - tokens, within.top),
        max(part.left - tokens, within.left),
        min(part.bottom + tokens, within.bottom),
        min(part.right + tokens, within.right),
    )
    return in_steps(wider, grid)
