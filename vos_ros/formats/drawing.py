# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Pictures for people: objects, their ids and the truth drawn over camera images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from vos_ros.datatypes import Frame, Image, LabelMap
from vos_ros.errors import VosError
from vos_ros.formats.label_png import davis_palette
from vos_ros.formats.masks import ids_in

_PALETTE = davis_palette()
_CONTOUR = (255, 255, 255)
_TRUTH = (0, 255, 0)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
#: An id is placed on one of so many rows or columns; every pixel of a large image would cost ms.
_PLACES = 240


def draw_overlay(
    image: Image, label_map: LabelMap, *, alpha: float = 0.5, contour: bool = True
) -> Image:
    """
    Colour the objects of an image by DAVIS's palette, with a line around each.

    :param image: (H, W, 3) uint8 rgb8; not changed.
    :param label_map: (H, W) uint8 or uint16; ids above 255 share the colours of id % 255.
    :param alpha: opacity of the colours, 0..1.
    :param contour: draw the outlines.
    :return: (H, W, 3) uint8 rgb8.
    """
    ids = ids_in(label_map)
    result: Image = np.array(image, np.uint8, order='C')
    if not ids:
        return result
    top, bottom, left, right = _bounds(label_map)
    # Only where objects are, and the line may lie around them.
    rows, cols = slice(max(top - 2, 0), bottom + 3), slice(max(left - 2, 0), right + 3)
    labels, part = label_map[rows, cols], result[rows, cols]
    inside = labels != 0
    colours = _PALETTE[_palette_rows(labels)]
    blended = cv2.addWeighted(part, 1 - alpha, colours, alpha, 0)
    np.copyto(part, blended, where=inside[..., None])
    if contour:
        for object_id in ids:
            # Lighter than the object's colour, which is dark for most ids.
            light = tuple(255 - (255 - c) // 2 for c in colour_of(object_id))
            _draw_contour(part, labels == object_id, light)
    return result


def draw_ids(image: Image, label_map: LabelMap) -> Image:
    """
    Write the id of each object onto it, for colours alone do not say which one is which.

    :param image: (H, W, 3) uint8; not changed.
    :param label_map: (H, W) uint8 or uint16.
    :return: (H, W, 3) uint8, white on black in any order of channels.
    """
    result: Image = np.array(image, np.uint8, order='C')
    scale = max(0.4, label_map.shape[0] / 800)
    step = max(1, min(label_map.shape) // _PLACES)
    coarse = label_map[::step, ::step]
    for object_id in ids_in(label_map):
        rows, cols = (step * at for at in np.nonzero(coarse == object_id))
        if not len(rows):  # it lies between those
            rows, cols = np.nonzero(label_map == object_id)
        # The pixel nearest the centre: the centre itself may lie outside, as a ring's does.
        nearest = np.argmin((rows - rows.mean()) ** 2 + (cols - cols.mean()) ** 2)
        text = str(object_id)
        (width, height), _ = cv2.getTextSize(text, _FONT, scale, 1)
        at = (int(cols[nearest]) - width // 2, int(rows[nearest]) + height // 2)
        for ink, thickness in (((0, 0, 0), 3), ((255, 255, 255), 1)):
            cv2.putText(result, text, at, _FONT, scale, ink, thickness, cv2.LINE_AA)
    return result


def colour_of(object_id: int) -> tuple[int, int, int]:
    """
    Give an object's colour, RGB 0..255.

    :param object_id: 1 or more.
    """
    row = int(_palette_rows(np.array(object_id)))
    red, green, blue = (int(c) for c in _PALETTE[row])
    return red, green, blue


def draw_truth(image: Image, pred: LabelMap, gt: LabelMap) -> Image:
    """
    Draw the true objects, tinted and with a green outline, where the prediction's is white.

    :param image: (H, W, 3) uint8 rgb8; not changed.
    :param pred: (H, W) predicted ids.
    :param gt: (H, W) true ids.
    """
    result = draw_overlay(image, gt, alpha=0.35, contour=False)
    for object_id in ids_in(gt):
        _draw_contour(result, gt == object_id, _TRUTH)
    for object_id in ids_in(pred):
        _draw_contour(result, pred == object_id, _CONTOUR)
    return result


def to_rgb(frame: Frame) -> Image:
    """
    Give a frame's image as rgb8, as a view.

    :param frame: rgb8 or bgr8.
    """
    return frame.image if frame.encoding == 'rgb8' else frame.image[..., ::-1]


def drawable(text: str) -> str:
    """
    Replace what OpenCV cannot draw: it knows ASCII, and dies of what is no text at all.

    :param text: such as the name of a file.
    """
    return text.encode('ascii', 'replace').decode()


def write_image(path: Path, image: Image) -> None:
    """
    Write a picture, and the folders above it where they are missing.

    :param path: its suffix chooses the format.
    :param image: (H, W, 3) uint8 rgb8.
    :raises VosError: the file cannot be written.
    """
    _, data = cv2.imencode(path.suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.tobytes())
    except OSError as error:
        raise VosError(f'cannot write {path}: {error.strerror}; choose another folder') from error


def _palette_rows(labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Colour row of each id; ids beyond the palette go round, and never become black."""
    return labels if labels.dtype == np.uint8 else np.where(labels > 255, labels % 255 + 1, labels)


def _bounds(label_map: LabelMap) -> tuple[int, int, int, int]:
    rows = np.flatnonzero(label_map.any(axis=1))
    cols = np.flatnonzero(label_map.any(axis=0))
    return int(rows[0]), int(rows[-1]), int(cols[0]), int(cols[-1])


def _draw_contour(
    image: npt.NDArray[np.uint8], mask: npt.NDArray[np.bool_], colour: tuple[int, ...]
) -> None:
    """Paint the mask's inner rim, one pixel (two on large pictures), in place."""
    binary = mask.astype(np.uint8)
    thick = 5 if image.shape[1] > 1000 else 3
    inner = cv2.erode(binary, np.ones((thick, thick), np.uint8))
    image[cv2.bitwise_xor(binary, inner).astype(bool)] = colour
