# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Hands that point at an object whose mask is known: boxes, clicks, lines, scribbles, brush strokes.

What the prompt network is trained with and what it is measured with. All take a mask (H, W), of
any size, with at least one pixel, and a random generator; another seed is another hand.
"""

from __future__ import annotations

from collections.abc import Callable
import math
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from vos_ros.formats.boxes import Box, Points
from vos_ros.formats.marks import Marks

Mask = npt.NDArray[np.uint8]
Place = tuple[float, float]

#: A hand sets a box this much off, as a share of its side (standard deviation of each edge).
_BOX_SLIP = 0.03
#: A click goes to where the object is at least this share as thick as at its thickest place.
_CLICK_DEPTH = 0.4
#: A line may leave the object for this share of its length.
_MOST_OUTSIDE = 0.05
_TRIES = 40


def depth_of(mask: Mask) -> npt.NDArray[np.float32]:
    """
    Return how far each pixel of a mask is from what is not the object, px.

    The image's border counts as its end.
    """
    framed = cv2.copyMakeBorder((mask > 0).astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT)
    depth = cv2.distanceTransform(framed, cv2.DIST_L2, 3)[1:-1, 1:-1]
    return depth.astype(np.float32)


def place_in(mask: Mask, rng: np.random.Generator, depth: float = _CLICK_DEPTH) -> Place:
    """
    Choose a place on the object: anywhere but near its edge.

    :param depth: share of the thickest place's depth that it has at least, 0..1.
    """
    return places_in(mask, rng, 1, depth)[0]


def places_in(
    mask: Mask, rng: np.random.Generator, count: int, depth: float = _CLICK_DEPTH
) -> list[Place]:
    """Choose several such places, each for itself."""
    depths = depth_of(mask)
    rows, columns = np.nonzero(depths >= max(1e-6, depth * float(depths.max())))
    chosen = rng.integers(len(rows), size=count)
    return [(float(columns[k]), float(rows[k])) for k in chosen]


def box(mask: Mask, rng: np.random.Generator, slip: float = _BOX_SLIP) -> Box:
    """Set a box around the object, a little off."""
    x, y, width, height = cv2.boundingRect((mask > 0).astype(np.uint8))
    off = rng.normal(0, slip, 4).clip(-3 * slip, 3 * slip) * (width, height, width, height)
    left, top, right, bottom = np.array([x, y, x + width, y + height]) - 0.5 + off
    width, height = max(right - left, 4.0), max(bottom - top, 4.0)
    return Box((left + right) / 2, (top + bottom) / 2, width, height)


def clicks(mask: Mask, rng: np.random.Generator, count: int = 1) -> Points:
    """Click on the object; each further click far from those before."""
    places = [place_in(mask, rng)]
    while len(places) < count:
        others = places_in(mask, rng, 8, 0.25)
        places.append(max(others, key=lambda p: min(math.dist(p, q) for q in places)))
    return Points(tuple(places))


def ends_of_line(mask: Mask, rng: np.random.Generator) -> tuple[Place, Place]:
    """Return the ends of a long line that lies on the object."""
    best: tuple[float, Place, Place] | None = None
    places = _any_places(mask, rng, 2 * _TRIES)
    for start, end in zip(places[::2], places[1::2]):
        length = math.dist(start, end)
        if (best is None or length > best[0]) and _outside(mask, start, end) <= _MOST_OUTSIDE:
            best = length, start, end
    if best is None:
        at = place_in(mask, rng)
        return at, at
    return best[1:]


def any_place(mask: Mask, rng: np.random.Generator) -> Place:
    """Choose any pixel of the object."""
    return _any_places(mask, rng, 1)[0]


def _any_places(mask: Mask, rng: np.random.Generator, count: int) -> list[Place]:
    flat = np.flatnonzero(mask)
    chosen = flat[rng.integers(len(flat), size=count)]
    return [(float(k % mask.shape[1]), float(k // mask.shape[1])) for k in chosen]


def _outside(mask: Mask, start: Place, end: Place) -> float:
    steps = max(2, int(math.dist(start, end)))
    along = np.linspace(0, 1, steps)[:, None]
    places = np.round(np.array(start) * (1 - along) + np.array(end) * along).astype(int)
    return float((mask[places[:, 1], places[:, 0]] == 0).mean())


def line(mask: Mask, rng: np.random.Generator, thickness: float = 3.0) -> Marks:
    """
    Draw one thin line along the object.

    :param thickness: px.
    """
    return Marks(_drawn(mask, [*ends_of_line(mask, rng)], thickness))


def scribble(mask: Mask, rng: np.random.Generator, thickness: float = 3.0) -> Marks:
    """
    Scribble over the object: three to five places, joined as they come.

    :param thickness: px.
    """
    places = [place_in(mask, rng, 0.2)]
    wanted = int(rng.integers(3, 6))
    for place in _any_places(mask, rng, _TRIES):
        if _outside(mask, places[-1], place) <= 2 * _MOST_OUTSIDE:
            places.append(place)
        if len(places) == wanted:
            break
    return Marks(_drawn(mask, places, thickness))


def brush(mask: Mask, rng: np.random.Generator, share: float = 0.5) -> Marks:
    """
    Paint along the object with a brush, away from its edge.

    :param share: of the brush's width, of the object's where it is thickest.
    """
    depths = depth_of(mask)
    thickness = max(1.0, share * 2 * float(depths.max()))
    core: Mask = (depths >= _CLICK_DEPTH * float(depths.max())).astype(np.uint8)
    return Marks(_drawn(mask, [*ends_of_line(core, rng)], thickness))


def _drawn(mask: Mask, places: list[Place], thickness: float) -> Mask:
    drawn: Mask = np.zeros(mask.shape, np.uint8)
    path = np.round(places if len(places) > 1 else 2 * places).astype(np.int32)
    cv2.polylines(drawn, [path[:, None]], False, 1, max(1, round(thickness)))
    return drawn


#: The hands that results speak of, by name.
HANDS: dict[str, Callable[[Mask, np.random.Generator], Any]] = {
    'brush': brush,
    'scribble': scribble,
    'line': line,
    'box': box,
    'click': clicks,
    '2 clicks': lambda mask, rng: clicks(mask, rng, 2),
}
