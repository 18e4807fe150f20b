# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Which parts of a frame the network has to look at, and for which objects together.

An object can only be within its reach (`motion`), so elsewhere the memory need not be read, nor
the object decoded. Neighbours share a window where one call costs less than two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial, reduce

import numpy as np
import numpy.typing as npt

from vos_ros.backends.base import Size, Window
from vos_ros.datatypes import Float
from vos_ros.engine.motion import Reach

#: Tokens around the reach, so that the border of a window, where convolutions see zeros, does not
#: show inside of it.
MARGIN = 2
#: Sides grow to multiples of so many tokens: few shapes, for each of which a runtime plans once.
_STEP = 2
#: What a call costs, what a token costs in it whatever the objects, and what each object adds to
#: that, in units of the last. `fast_mb_slim` at 864x480 on two threads: 20 ms with one object on
#: the whole frame, 56 ms with five, 1.7 ms with one in a window of 8x8 tokens.
_CALL, _TOKEN, _OBJECT = 120.0, 1.25, 1.0
#: A window that is only so little smaller is not worth that it may take a second look.
_WORTH = 0.9
#: After an object came to the border of its window it is looked for in its reach for so long; by
#: then `motion` knows that it goes farther than it did.
_WARY_FRAMES = 5


@dataclass(frozen=True)
class Call:
    """
    One call of the network.

    :param window: None = the whole frame.
    :param object_ids: who is looked for in it.
    """

    window: Window | None
    object_ids: tuple[int, ...]


def whole(grid: Size) -> Window:
    """Return the window that is the whole grid of tokens."""
    return Window(0, 0, *grid)


def window_around(cells: npt.NDArray[np.bool_], grid: Size) -> Window:
    """
    Return the window that holds some cells, with a margin.

    :param cells: (h4, w4), of a grid some times as fine as that of the tokens.
    :param grid: rows and columns of tokens.
    """
    sides = []
    for axis, tokens in enumerate(grid):
        finer = cells.shape[axis] // tokens
        places = np.flatnonzero(cells.any(axis=1 - axis))
        if not len(places):
            return whole(grid)
        low = max(int(places[0]) // finer - MARGIN, 0)
        sides.append((low, min(int(places[-1]) // finer + 1 + MARGIN, tokens)))
    (top, bottom), (left, right) = sides
    return in_steps(Window(top, left, bottom, right), grid)


def union(a: Window, b: Window) -> Window:
    """Return the smallest window that holds both."""
    return Window(
        min(a.top, b.top), min(a.left, b.left), max(a.bottom, b.bottom), max(a.right, b.right)
    )


def in_steps(window: Window, grid: Size) -> Window:
    """Return the window, or one around it: sides are multiples of `_STEP`, or all there is."""
    sides = []
    for low, high, tokens in zip(window[:2], window[2:], grid):
        length = min(-(-(high - low) // _STEP) * _STEP, tokens)
        start = min(low, tokens - length)
        sides.append((start, start + length))
    (top, bottom), (left, right) = sides
    return Window(top, left, bottom, right)


def reaches_border(
    mask: npt.NDArray[np.bool_], window: Window, grid: Size, tokens: int = MARGIN
) -> bool:
    """
    Return whether a mask comes near a border of its window, so that it may go on beyond.

    :param mask: (h4, w4).
    :param window: where the object was looked for; the borders of the frame do not count.
    :param tokens: how near.
    """
    ring = tokens * (mask.shape[0] // grid[0])
    seen = window.cut(mask, grid)
    return bool(
        (window.top > 0 and seen[:ring].any())
        or (window.bottom < grid[0] and seen[-ring:].any())
        or (window.left > 0 and seen[:, :ring].any())
        or (window.right < grid[1] and seen[:, -ring:].any())
    )


class Lookout:
    """
    Decides where each object is looked for, and whether that was enough.

    An object that was seen as a whole is looked for near to where it was, another one within its
    reach, one that was not seen everywhere. One that comes to the border of its window is looked
    for once more at once if it may be cut off, and within its reach for some frames.

    :param grid: rows and columns of tokens.
    """

    def __init__(self, grid: Size) -> None:
        self._grid = grid
        self._wary: dict[int, int] = {}  # frames for which `near` is not believed

    def where(self, reaches: Mapping[int, Reach]) -> dict[int, Window]:
        """Return the windows of those that need not be looked for everywhere."""
        seen = {k: reach for k, reach in reaches.items() if not reach.is_hidden}
        self._wary = {k: left - 1 for k, left in self._wary.items() if left > 1 and k in reaches}
        return {k: self._window(k, reach) for k, reach in seen.items()}

    def _window(self, object_id: int, reach: Reach) -> Window:
        window = window_around(reach.cells, self._grid)
        if reach.near is None or object_id in self._wary:
            return window
        near = window_around(reach.near, self._grid)
        return near if near.area <= _WORTH * window.area else window

    def again(
        self,
        prob: Float,
        object_ids: Sequence[int],
        reaches: Mapping[int, Reach],
        windows: Mapping[int, Window],
    ) -> dict[int, Window]:
        """
        Return where to look once more for those that may be elsewhere, too.

        :param prob: (K + 1, h4, w4), row 0 = background: what was found.
        :param object_ids: of its other rows.
        :param windows: where each was looked for, as from `where`.
        """
        best = prob.max(axis=0)
        larger: dict[int, Window] = {}
        for object_id, plane in zip(object_ids, prob[1:]):
            window = windows.get(object_id)
            if window is None:
                continue
            mask, reach = plane >= best, reaches[object_id]
            if reach.is_left_by(mask):
                larger[object_id] = whole(self._grid)
            elif reaches_border(mask, window, self._grid):
                self._wary[object_id] = _WARY_FRAMES
                if reaches_border(mask, window, self._grid, tokens=1):
                    larger[object_id] = window_around(reach.cells, self._grid)
        return {k: window for k, window in larger.items() if window != windows[k]}


def plan(windows: Mapping[int, Window], grid: Size) -> list[Call]:
    """
    Share out objects among calls, so that all of them together cost little.

    Begins with a call for each object and joins the two whose union saves most, as long as any
    does. Where many large windows are left, of which no two are worth joining, all of them may
    be: so it never costs more than one call for everything.

    :param windows: where each object has to be looked for; those that read the same frames.
    :return: calls in no special order; every object is in one. In each, objects are in the order
        in which they were given.
    """
    everything, order = whole(grid), list(windows)
    if all(window == everything for window in windows.values()):
        return [Call(None, tuple(order))] if order else []
    calls: list[tuple[Window, tuple[int, ...]]] = []
    for object_id, window in windows.items():
        calls.append((window, (object_id,)))
    pairs = [(i, j) for j in range(len(calls)) for i in range(j)]
    savings = {(i, j): _saving(calls[i], calls[j], grid) for i, j in pairs}
    alive = set(range(len(calls)))
    while savings:
        (i, j), best = max(savings.items(), key=lambda item: item[1])
        if best <= 0:
            break
        calls.append(_joined(calls[i], calls[j], grid))
        alive -= {i, j}
        savings = {pair: s for pair, s in savings.items() if alive.issuperset(pair)}
        new = len(calls) - 1
        savings |= {(k, new): _saving(calls[k], calls[new], grid) for k in alive}
        alive.add(new)
    chosen = [calls[k] for k in sorted(alive)]
    together = reduce(partial(_joined, grid=grid), chosen)
    if _cost(*together) < sum(_cost(*call) for call in chosen):
        chosen = [together]
    return [
        Call(None if window == everything else window, tuple(sorted(ids, key=order.index)))
        for window, ids in chosen
    ]


def _joined(
    a: tuple[Window, tuple[int, ...]], b: tuple[Window, tuple[int, ...]], grid: Size
) -> tuple[Window, tuple[int, ...]]:
    (one, some), (other, more) = a, b
    return in_steps(union(one, other), grid), some + more


def _saving(
    a: tuple[Window, tuple[int, ...]], b: tuple[Window, tuple[int, ...]], grid: Size
) -> float:
    return _cost(*a) + _cost(*b) - _cost(*_joined(a, b, grid))


def _cost(window: Window, object_ids: tuple[int, ...]) -> float:
    return _CALL + window.area * (_TOKEN + _OBJECT * len(object_ids))
