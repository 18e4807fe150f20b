# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Layers of a clip, and how they are drawn over each other."""

from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
Array = npt.NDArray[np.float32]
Matrix = npt.NDArray[Any]
Box = tuple[int, int, int, int]  # x, y, width, height


@dataclass
class Layer:
    """
    Something that moves.

    :param rgba: source (h, w, 4) uint8, not premultiplied; a background is (h, w, 3).
    :param label: (h, w) ids in the source, for a background with its own objects, or None:
        then every opaque pixel is `object_id`.
    :param maps: per frame, the 2x3 affine matrix from source to crop.
    :param views: per frame, what is drawn in place of `rgba` (of the same size), where it turns.
    :param reveals: it shows more of an object later than on the first frame.
    """

    rgba: Image
    maps: list[Array]
    object_id: int = 0
    label: Image | None = None
    bend: list[Array | None] = field(default_factory=list)
    gain: list[Array] = field(default_factory=list)
    views: list[Image] = field(default_factory=list)
    reveals: bool = False


def affine(
    source_centre: tuple[float, float],
    scale: float,
    angle_deg: float,
    shear: float,
    flip: bool,
    target: Array,
) -> Array:
    """Map `source_centre` to `target` with rotation, scale, shear and mirror, (3, 3)."""
    a = np.deg2rad(angle_deg)
    rotate = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
    linear = scale * rotate @ np.array([[1, shear], [0, 1]]) @ np.diag([-1 if flip else 1, 1])
    out = np.eye(3)
    out[:2, :2] = linear
    out[:2, 2] = target - linear @ np.array(source_centre)
    return out.astype(np.float32)


def _warp(
    source: Image, inverse: Matrix, points: Array | Box, nearest: bool, border: int
) -> Image:
    """
    Give what is seen of `source` in a part of the crop.

    :param inverse: (2, 3) from the crop to the source.
    :param points: (h, w, 2) x and y in the crop to look from, or, where nothing is bent, the box
        of the part, which is faster.
    :param border: of cv2; outside is black or mirrored.
    """
    how = cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR
    black = (0, 0, 0, 0)
    if isinstance(points, np.ndarray):
        where = cv2.transform(points, inverse)
        out = cv2.remap(source, where, None, how, borderMode=border, borderValue=black)  # type: ignore[call-overload]  # its stub does not know that one map of pairs will do
        return out.astype(np.uint8, copy=False)
    x, y, w, h = points
    shifted = inverse @ np.array([[1, 0, x], [0, 1, y], [0, 0, 1]], np.float64)
    how |= cv2.WARP_INVERSE_MAP
    out = cv2.warpAffine(source, shifted, (w, h), flags=how, borderMode=border, borderValue=black)
    return out.astype(np.uint8, copy=False)


def draw_layer(
    layer: Layer, index: int, image: Image, label: Image, grid: Array
) -> tuple[Image, Image]:
    """Composite one layer over a frame, working only where the layer can reach."""
    matrix = layer.maps[index][:2].astype(np.float64)
    inverse = cv2.invertAffineTransform(matrix)
    bend = layer.bend[index] if layer.bend else None
    points: Array | Box
    if layer.label is not None:  # a background covers everything
        points = (0, 0, label.shape[1], label.shape[0]) if bend is None else grid + bend
        mirror = cv2.BORDER_REFLECT
        return (
            _warp(layer.rgba, inverse, points, False, mirror),
            _warp(layer.label, inverse, points, True, mirror),
        )
    source = layer.views[index] if layer.views else layer.rgba
    h, w = source.shape[:2]
    corners = np.array([[0, 0, 1], [w, 0, 1], [0, h, 1], [w, h, 1]], np.float64) @ matrix.T
    margin = 2 if bend is None else 2 + int(np.abs(bend).max())
    x0, y0 = (int(v) for v in np.maximum(np.floor(corners.min(0)) - margin, 0))
    x1, y1 = (int(v) for v in np.minimum(np.ceil(corners.max(0)) + margin, label.shape[::-1]))
    if x0 >= x1 or y0 >= y1:
        return image, label
    region = np.s_[y0:y1, x0:x1]
    points = (x0, y0, x1 - x0, y1 - y0) if bend is None else grid[region] + bend[region]
    rgba = _warp(source, inverse, points, False, cv2.BORDER_CONSTANT)
    colour = rgba[..., :3].astype(np.float32)
    if layer.gain:
        colour *= layer.gain[index]
        np.minimum(colour, 255, out=colour)
    below = image[region]
    colour -= below
    colour *= rgba[..., 3:] * np.float32(1 / 255)
    colour += below
    image[region] = colour
    label[region][rgba[..., 3] > 127] = layer.object_id
    return image, label
