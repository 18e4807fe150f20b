# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Pictures of points in space, drawn with numpy and OpenCV: from the side, and from above."""

from __future__ import annotations

from collections.abc import Mapping
import math

import cv2
import numpy as np
import numpy.typing as npt

from vos_ros.datatypes import Image
from vos_ros.formats.drawing import colour_of

Float = npt.NDArray[np.float64]
Points = npt.NDArray[np.float32]

WIDTH_PX, HEIGHT_PX = 640, 480
_GROUND = (24, 27, 31)
_GRID = (62, 68, 76)
_INK = (225, 228, 232)
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def from_the_side(
    scene: Points,
    colours: npt.NDArray[np.uint8],
    clouds: Mapping[int, Points],
    centers: Mapping[int, Float],
) -> Image:
    """
    Draw all points in perspective, from beside and above the camera.

    :param scene: (N, 3) of everything, in the camera's frame, m.
    :param colours: (N, 3) uint8 rgb.
    :param clouds: object id -> (M, 3), drawn over it in the object's colour.
    :param centers: object id -> (3,), drawn as crosses.
    :return: (480, 640, 3) uint8 rgb.
    """
    parts = [(scene, (colours * 0.55).astype(np.uint8))]
    for object_id, points in clouds.items():
        parts.append((points, np.full((len(points), 3), _bright(object_id), np.uint8)))
    everything: Float = np.concatenate([p for p, _ in parts]).astype(np.float64)
    ink = np.concatenate([c for _, c in parts])
    pixels, depth = _seen_from_aside(everything)
    order = np.argsort(-depth)  # the nearest are drawn last
    image = np.full((HEIGHT_PX, WIDTH_PX, 3), _GROUND, np.uint8)
    for row_shift, column_shift in ((0, 0), (0, 1), (1, 0), (1, 1)):
        rows = np.round(pixels[order, 1]).astype(int) + row_shift
        columns = np.round(pixels[order, 0]).astype(int) + column_shift
        inside = (rows >= 0) & (rows < HEIGHT_PX) & (columns >= 0) & (columns < WIDTH_PX)
        inside &= depth[order] > 0.1
        image[rows[inside], columns[inside]] = ink[order][inside]
    for object_id, center in centers.items():
        at, _ = _seen_from_aside(np.asarray(center)[None])
        _cross(image, at[0], f'{object_id}: {center[2]:.2f} m')
    return image


def from_above(
    clouds: Mapping[int, Points], centers: Mapping[int, Float], truth: Mapping[int, Float]
) -> Image:
    """
    Draw the objects' points from above: the camera is below in the middle, a grid of 0.25 m.

    :param clouds: object id -> (M, 3) in the camera's frame, m.
    :param centers: object id -> (3,) as published, drawn as crosses.
    :param truth: object id -> (3,) as it is, drawn as circles.
    :return: (480, 640, 3) uint8 rgb.
    """
    px_per_m, bottom_m = 380.0, 0.7

    def at(x: float, z: float) -> tuple[float, float]:
        return WIDTH_PX / 2 + px_per_m * x, HEIGHT_PX - px_per_m * (z - bottom_m)

    image = np.full((HEIGHT_PX, WIDTH_PX, 3), _GROUND, np.uint8)
    for n in range(-4, 13):
        x, y = at(n * 0.25, n * 0.25)
        cv2.line(image, (round(x), 0), (round(x), HEIGHT_PX), _GRID, 1)
        if 0 <= y < HEIGHT_PX:
            cv2.line(image, (0, round(y)), (WIDTH_PX, round(y)), _GRID, 1)
            cv2.putText(image, f'{n * 0.25:g} m', (6, round(y) - 4), _FONT, 0.42, _INK, 1)
    for object_id, points in clouds.items():
        columns, rows = at(points[:, 0], points[:, 2])  # type: ignore[arg-type]
        r, c = np.round(rows).astype(int), np.round(columns).astype(int)
        inside = (r >= 0) & (r < HEIGHT_PX) & (c >= 0) & (c < WIDTH_PX)
        image[r[inside], c[inside]] = _bright(object_id)
    for place in truth.values():
        x, y = at(float(place[0]), float(place[2]))
        cv2.circle(image, (round(x), round(y)), 9, _INK, 1, cv2.LINE_AA)
    for object_id, place in centers.items():
        _cross(image, at(float(place[0]), float(place[2])), f'{object_id}')
    return image


def _seen_from_aside(points: Float) -> tuple[Float, Float]:
    """Return pixels (N, 2) and depth (N,) for an eye to the right of the camera and above it."""
    # Turned about the middle of the scene.
    middle = np.array([0.0, 0.0, 1.7])
    turn, tilt = math.radians(-32), math.radians(20)
    c, s = math.cos(turn), math.sin(turn)
    about_y = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    c, s = math.cos(tilt), math.sin(tilt)
    about_x = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    seen = (points - middle) @ about_y.T @ about_x.T + np.array([0.35, -0.1, 2.0])
    depth = seen[:, 2]
    focal = 500.0 / np.maximum(depth, 1e-3)
    pixels = np.stack([WIDTH_PX / 2 + focal * seen[:, 0], HEIGHT_PX / 2 + focal * seen[:, 1]], 1)
    return pixels, depth


def _cross(image: Image, at: tuple[float, float] | Float, text: str) -> None:
    x, y = round(float(at[0])), round(float(at[1]))
    for ink, thickness in (((0, 0, 0), 4), ((255, 255, 255), 2)):
        cv2.line(image, (x - 8, y), (x + 8, y), ink, thickness, cv2.LINE_AA)
        cv2.line(image, (x, y - 8), (x, y + 8), ink, thickness, cv2.LINE_AA)
        cv2.putText(image, text, (x + 12, y - 8), _FONT, 0.5, ink, thickness - 1, cv2.LINE_AA)


def _bright(object_id: int) -> tuple[int, int, int]:
    """Return the object's colour, light enough for a dark ground."""
    colour = colour_of(object_id)
    peak = max(max(colour), 1)
    r, g, b = (min(255, 60 + round(c * 195 / peak)) for c in colour)
    return r, g, b
