# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The part of an image that the prompt network looks at, and how it is told what was drawn there.

Training uses these functions too, so that both see the same pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from vos_ros.backends.base import Size
from vos_ros.datatypes import Float
from vos_ros.formats.boxes import Box, Points
from vos_ros.formats.marks import Marks

Hint = Box | Points | Marks

#: Sides of the network's input, px.
SIDE = 192
#: What it is told beside the image: strokes on the object, strokes beside it, what lies outside of
#: the box, the mask found before (0..1 each).
MAPS = 4
ON, OFF, OUTSIDE, BEFORE = range(MAPS)
#: A click is drawn as a disc, px of the network's input.
CLICK_RADIUS = 3
#: The window of a box, as a share of its longer side.
BOX_WINDOW = 1.4
#: Around clicks and strokes the object may be large or small: these shares of the image's shorter
#: side bound the windows that are tried, and they are at least so much larger than the strokes.
_LEAST_SHARE, _AROUND_STROKES = 0.25, 1.3
#: From one window to the next; a window less is a third of the time.
_STEP = 2.1
_LEAST_SIDE = 24
_GREY = (127, 127, 127)  # what lies outside of the image
_UNLIKELY = -20.0  # logit
_FAR = 2**14


@dataclass(frozen=True)
class Window:
    """
    A square of the image; it may reach beyond it.

    :param x: of its left column, px.
    :param y: of its top row, px.
    :param side: px.
    """

    x: int
    y: int
    side: int

    def to_input(self, places: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """
        Turn places on the image into places on the network's input.

        :param places: (..., 2) x, y; pixel centres lie at whole numbers.
        """
        moved: npt.NDArray[np.float64] = (places - (self.x, self.y) + 0.5) * (
            SIDE / self.side
        ) - 0.5
        return moved


def window_at(x: float, y: float, side: float, size: Size) -> Window:
    """
    Return the window around a place, moved so that it holds as much of the image as it can.

    :param side: wanted, px.
    :param size: height and width of the image, px.
    """
    whole = max(_LEAST_SIDE, round(side))

    def start(centre: float, length: int) -> int:
        low, high = sorted((0, length - whole))
        return min(max(round(centre - whole / 2), low), high)

    return Window(start(x, size[1]), start(y, size[0]), whole)


def windows_of(hint: Hint, size: Size) -> list[Window]:
    """
    Return the windows in which an object is looked for, the smallest first.

    :param size: height and width of the image, px.
    """
    if isinstance(hint, Marks) and hint.box is not None:
        hint = hint.box
    if isinstance(hint, Box):
        # What of the box lies on the image: no window is to grow with a box of 1e300 px.
        corners = hint.corners().clip(-0.5, (size[1] - 0.5, size[0] - 0.5))
        low, high = corners.min(axis=0), corners.max(axis=0)
        x, y = (low + high) / 2
        return [window_at(x, y, BOX_WINDOW * float((high - low).max()), size)]
    left, top, right, bottom = extent_of(hint)
    least = max(_AROUND_STROKES * (max(right - left, bottom - top) + 1), _LEAST_SHARE * min(size))
    sides = [max(least, float(min(size)))]
    while sides[0] / _STEP >= 0.9 * least:
        sides.insert(0, max(least, sides[0] / _STEP))
    return [window_at((left + right) / 2, (top + bottom) / 2, side, size) for side in sides]


def extent_of(hint: Points | Marks) -> tuple[float, float, float, float]:
    """Return the box around what is on the object: left, top, right, bottom, px."""
    if isinstance(hint, Marks):
        return hint.extent()
    places = np.array(hint.places, np.float64)
    (left, top), (right, bottom) = places.min(axis=0), places.max(axis=0)
    return float(left), float(top), float(right), float(bottom)


def cut(picture: npt.NDArray[Any], window: Window) -> npt.NDArray[Any]:
    """
    Return what a window shows of an image or a map, at the size of the network's input.

    :param picture: (H, W) or (H, W, 3), uint8 or float32.
    :return: (SIDE, SIDE) or (SIDE, SIDE, 3); grey or 0 outside of the image.
    """
    height, width = picture.shape[:2]
    left, top = max(window.x, 0), max(window.y, 0)
    right, bottom = min(window.x + window.side, width), min(window.y + window.side, height)
    framed = cv2.copyMakeBorder(
        picture[top:bottom, left:right],
        top - window.y,
        window.y + window.side - bottom,
        left - window.x,
        window.x + window.side - right,
        cv2.BORDER_CONSTANT,
        value=_GREY if picture.ndim == 3 else 0,
    )
    way = cv2.INTER_AREA if window.side > SIDE else cv2.INTER_LINEAR
    shown: npt.NDArray[Any] = cv2.resize(framed, (SIDE, SIDE), interpolation=way)
    return shown


def maps_of(hint: Hint, window: Window, before: Float | None = None) -> Float:
    """
    Draw what the network is told.

    :param hint: on the image.
    :param before: (H, W) probability found before, 0..1.
    :return: (MAPS, SIDE, SIDE) float32, 0..1.
    """
    maps: Float = np.zeros((MAPS, SIDE, SIDE), np.float32)
    box = hint.box if isinstance(hint, Marks) else hint
    if isinstance(box, Box):
        maps[OUTSIDE] = 1.0
        corners = np.round(window.to_input(box.corners())).clip(-_FAR, _FAR)
        cv2.fillConvexPoly(maps[OUTSIDE], corners.astype(np.int32), 0.0)
    if isinstance(hint, Points):
        draw_clicks(maps[ON], window.to_input(np.array(hint.places, np.float64)))
        if hint.beside:
            draw_clicks(maps[OFF], window.to_input(np.array(hint.beside, np.float64)))
    elif isinstance(hint, Marks):
        maps[ON] = _strokes(hint.on, window)
        if hint.off is not None:
            maps[OFF] = _strokes(hint.off, window)
    if before is not None:
        maps[BEFORE] = cut(before, window)
    return maps


def draw_clicks(plane: Float, places: Sequence[Any] | npt.NDArray[np.float64]) -> None:
    """
    Draw a disc at each place.

    :param plane: (SIDE, SIDE); changed.
    :param places: x, y on the network's input.
    """
    for x, y in places:
        at = (round(max(-_FAR, min(x, _FAR))), round(max(-_FAR, min(y, _FAR))))
        cv2.circle(plane, at, CLICK_RADIUS, 1.0, cv2.FILLED)


def _strokes(drawn: npt.NDArray[np.uint8], window: Window) -> Float:
    shown: Float = cut((drawn > 0).astype(np.uint8) * np.uint8(255), window).astype(np.float32)
    return shown / np.float32(255)


def put_back(logits: Float, window: Window, size: Size) -> Float:
    """
    Bring what was found in a window back to the image.

    :param logits: (h, w), any square size.
    :param size: height and width of the image, px.
    :return: (H, W) logits; unlikely outside of the window.
    """
    whole: Float = np.full(size, _UNLIKELY, np.float32)
    grown = cv2.resize(logits, (window.side, window.side), interpolation=cv2.INTER_LINEAR)
    left, top = max(window.x, 0), max(window.y, 0)
    right, bottom = min(window.x + window.side, size[1]), min(window.y + window.side, size[0])
    whole[top:bottom, left:right] = grown[
        top - window.y : bottom - window.y, left - window.x : right - window.x
    ]
    return whole
