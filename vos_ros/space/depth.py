# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Depth images to metres, as REP 118 has them: 16UC1 in mm with 0 = hole, 32FC1 in m with NaN.

Only the fields of a message are used, never its type, so that no ROS is needed.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from vos_ros.config import GeometryConfig
from vos_ros.datatypes import LabelMap
from vos_ros.errors import VosError
from vos_ros.formats.image_codec import view_pixels

Float = npt.NDArray[np.float32]

#: encoding -> dtype; mono16 is what some drivers call 16UC1.
_ENCODINGS: dict[str, Any] = {'16UC1': np.uint16, 'mono16': np.uint16, '32FC1': np.float32}
#: Where there is no limit: beyond that it is a number for "nothing came back", such as the largest
#: float.
_FARTHEST_M = 1e5
_M_PER_MM = np.float32(1e-3)


def read_depth(msg: Any) -> npt.NDArray[Any]:
    """
    Read a depth image as it is stored; `step` and `is_bigendian` are honoured.

    :param msg: sensor_msgs/Image, 16UC1 in mm or 32FC1 in m.
    :return: (H, W) uint16 or float32 of this machine's byte order, read-only; a view of the
        message where it can be.
    :raises VosError: another encoding, or size, step and data do not fit together.
    """
    if msg.encoding not in _ENCODINGS:
        hint = ''
        if 'compressedDepth' in str(msg.encoding):
            hint = ': republish it as raw (image_transport republish compressedDepth raw)'
        raise VosError(
            f"the depth image has the encoding '{msg.encoding}'; use 16UC1 (mm) or 32FC1 (m){hint}"
        )
    return view_pixels(msg, np.dtype(_ENCODINGS[msg.encoding]), 1)


def to_metres(stored: npt.NDArray[Any], limits: GeometryConfig) -> Float:
    """
    Give depth in metres, with NaN for every hole.

    :param stored: (H, W) uint16 in mm, 0 = hole; or float32 in m: 0, below 0, NaN, inf = hole.
    :param limits: `min_depth_m` and `max_depth_m`, beyond which a pixel is a hole.
    :return: (H, W) float32, m.
    """
    metres = (
        np.multiply(stored, _M_PER_MM, dtype=np.float32)
        if stored.itemsize == 2
        else (np.array(stored, np.float32))
    )
    most = limits.max_depth_m or _FARTHEST_M
    with np.errstate(invalid='ignore'):
        is_good = (metres >= limits.min_depth_m) & (metres <= most) & (metres > 0)
    metres[~is_good] = np.nan
    return metres


def flying_pixels(metres: Float, limits: GeometryConfig) -> npt.NDArray[np.bool_]:
    """
    Find pixels that are a mixture of an edge's both sides: clearly behind one, before the other.

    A depth camera averages over a pixel, stereo over a window, so at an edge there are points in
    the air. Both sides themselves are kept, the near one even where it is one pixel thin.

    :param metres: (H, W) with NaN for holes.
    :param limits: `edge_px`, how near; `edge_jump`, how much farther away, as a share.
    :return: (H, W), False for holes.
    """
    if limits.edge_px == 0:
        return np.zeros(metres.shape, bool)
    side = np.ones((2 * limits.edge_px + 1,) * 2, np.uint8)
    is_hole, border = np.isnan(metres), cv2.BORDER_REPLICATE
    nearest = cv2.erode(np.where(is_hole, np.float32(np.inf), metres), side, borderType=border)
    farthest = cv2.dilate(np.where(is_hole, np.float32(0), metres), side, borderType=border)
    factor = np.float32(1 + limits.edge_jump)
    with np.errstate(invalid='ignore'):
        return np.asarray((metres > nearest * factor) & (metres * factor < farthest))


def fit_labels(labels: LabelMap, shape: tuple[int, int]) -> LabelMap:
    """
    Bring labels to the size of the depth image, each pixel from the nearest one.

    :param labels: (h, w) uint8 or uint16.
    :param shape: (H, W) of the depth image.
    :return: (H, W); the same array where the size is the same.
    :raises VosError: another aspect, so that they are not of the same picture.
    """
    if labels.shape == shape:
        return labels
    (h, w), (height, width) = labels.shape, shape
    if abs((w / h) / (width / height) - 1) > 0.02:
        raise VosError(
            f'labels of {w}x{h} do not fit a depth image of {width}x{height}: another aspect; the '
            'depth must be registered to the colour camera'
        )
    # Not cv2.resize: its INTER_NEAREST is half a pixel off when it shrinks by a whole number.
    rows = ((np.arange(height) + 0.5) * (h / height)).astype(np.intp)
    columns = ((np.arange(width) + 0.5) * (w / width)).astype(np.intp)
    fitted: LabelMap = labels[rows[:, None], columns]
    return fitted


def without_objects(
    stored: npt.NDArray[Any], labels: LabelMap, dilate_px: int
) -> npt.NDArray[Any]:
    """
    Cut all objects out of a depth image.

    :param stored: (H, W) uint16 or float32, as it came.
    :param labels: (H, W) uint8 or uint16, 0 = background.
    :param dilate_px: how much wider than the masks.
    :return: a copy: 0 (uint16) or NaN (float32) on the objects, every other value as it came.
    """
    is_object = (labels > 0).view(np.uint8)
    if dilate_px > 0:
        side = 2 * dilate_px + 1
        is_object = np.asarray(cv2.dilate(is_object, np.ones((side, side), np.uint8)))
    cut = stored.copy()
    cut[is_object.view(bool)] = np.nan if stored.dtype == np.float32 else 0
    return cut
