# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
From a pixel to its ray.

Distortion is undone by OpenCV, whose models are those of camera_info; without it, the pinhole
model is two divisions.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
import math
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from vos_ros.errors import VosError

Float = npt.NDArray[np.float32]

#: Models of camera_info, and how many coefficients they may have.
PLUMB_BOB, RATIONAL, FISHEYE = 'plumb_bob', 'rational_polynomial', 'equidistant'
_COEFFICIENTS = {PLUMB_BOB: (4, 5), RATIONAL: (8, 12, 14), FISHEYE: (4,)}
#: Sides of an image whose ratios differ by more than this are not the same picture.
_SAME_ASPECT = 0.02


@dataclass(frozen=True)
class Camera:
    """
    A camera as camera_info describes it: z forward, x right, y down, in pixels.

    :param width: of the images that the numbers below are for.
    :param height: likewise.
    :param fx: focal length in pixels, above 0.
    :param fy: likewise.
    :param cx: the principal point; the middle of the upper left pixel is (0, 0).
    :param cy: likewise.
    :param model: of the distortion.
    :param distortion: its coefficients, in OpenCV's order; all 0 or none = rectified.
    :raises VosError: a number that no camera has, or an unknown model.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    model: str = PLUMB_BOB
    distortion: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what nothing can be computed with."""
        numbers = (self.fx, self.fy, self.cx, self.cy, *self.distortion)
        if not all(math.isfinite(n) for n in numbers) or min(self.fx, self.fy) <= 0:
            raise VosError(
                f'camera_info has fx {self.fx:g}, fy {self.fy:g}, cx {self.cx:g}, cy {self.cy:g}: '
                'the camera is not calibrated; fx and fy must be above 0'
            )
        if min(self.width, self.height) < 1:
            raise VosError(f'camera_info is for images of {self.width}x{self.height} pixels')
        if not self.is_distorted:
            return
        counts = _COEFFICIENTS.get(self.model)
        if counts is None:
            raise VosError(
                f"camera_info has the distortion model '{self.model}'; known are "
                f'{", ".join(_COEFFICIENTS)}: rectify the depth image, and set distortion to none'
            )
        if len(self.distortion) not in counts:
            raise VosError(
                f'camera_info has {len(self.distortion)} coefficients of distortion; '
                f'{self.model} has {" or ".join(map(str, counts))}'
            )

    @property
    def is_distorted(self) -> bool:
        """Whether straight lines are bent."""
        return any(self.distortion)

    def scaled(self, width: int, height: int) -> Camera:
        """
        Return the same camera for images of another size.

        :raises VosError: their aspect is another one, so that they are not the same picture.
        """
        if (width, height) == (self.width, self.height):
            return self
        x, y = width / self.width, height / self.height
        if abs(x / y - 1) > _SAME_ASPECT:
            raise VosError(
                f'camera_info is for {self.width}x{self.height}, the depth image has '
                f'{width}x{height}: another aspect, so it is the camera_info of another image'
            )
        # Borders of the picture stay borders, so middles of pixels are half a pixel off.
        return replace(
            self,
            width=width,
            height=height,
            fx=self.fx * x,
            fy=self.fy * y,
            cx=(self.cx + 0.5) * x - 0.5,
            cy=(self.cy + 0.5) * y - 0.5,
        )

    def rays(self, rows: npt.NDArray[np.intp], columns: npt.NDArray[np.intp]) -> Float:
        """
        Return where the rays through pixels meet the plane at 1 m.

        :param rows: (N,) 0 .. height - 1.
        :param columns: (N,) 0 .. width - 1.
        :return: (N, 2) x and y in m, at z = 1 m.
        """
        if self.is_distorted:
            return np.asarray(self._table[rows, columns])
        found = np.empty((len(rows), 2), np.float32)
        found[:, 0] = (columns - self.cx) / self.fx
        found[:, 1] = (rows - self.cy) / self.fy
        return found

    def project(self, points: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """
        Return the pixels of points, distortion included; the inverse of `rays`.

        :param points: (N, 3) in m, with z above 0.
        :return: (N, 2) column and row.
        """
        matrix, distortion = self._matrix, np.array(self.distortion or (0.0,) * 4)
        flat = np.asarray(points, np.float64).reshape(-1, 1, 3)
        project = cv2.fisheye.projectPoints if self.model == FISHEYE else cv2.projectPoints
        if not self.is_distorted:
            project = cv2.projectPoints
        pixels, _ = project(flat, np.zeros(3), np.zeros(3), matrix, distortion)
        return np.asarray(pixels, np.float64).reshape(-1, 2)

    @property
    def _matrix(self) -> npt.NDArray[np.float64]:
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1.0]])

    @cached_property
    def _table(self) -> Float:
        """(H, W, 2) rays of all pixels: iterations for each, so once per camera."""
        rows, columns = np.mgrid[: self.height, : self.width]
        pixels = np.stack([columns.ravel(), rows.ravel()], 1).astype(np.float64)[:, None]
        matrix, distortion = self._matrix, np.array(self.distortion)
        if self.model == FISHEYE:
            rays = cv2.fisheye.undistortPoints(pixels, matrix, distortion)
        else:  # cv2.undistortPoints stops after five steps, a fifth of a pixel short in corners
            none, enough = np.eye(3), (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 40, 1e-4)
            rays = cv2.undistortPointsIter(pixels, matrix, distortion, none, none, enough)
        return np.asarray(rays, np.float32).reshape(self.height, self.width, 2)


def read_camera(info: Any, *, is_rectified: bool) -> Camera:
    """
    Read a sensor_msgs/CameraInfo, binning and region of interest included.

    :param info: the message; its fields alone are looked at.
    :param is_rectified: the image is free of distortion, so that P holds; else K and D do.
    :return: the camera of the images that are sent.
    :raises VosError: not calibrated, or an unknown model.
    """
    k, p = [float(v) for v in info.k], [float(v) for v in info.p]
    if is_rectified and p[0] > 0:
        fx, fy, cx, cy = p[0], p[5], p[2], p[6]
    else:
        fx, fy, cx, cy = k[0], k[4], k[2], k[5]
    width, height = int(info.width), int(info.height)
    roi = info.roi
    if roi.width and roi.height:
        cx, cy = cx - float(roi.x_offset), cy - float(roi.y_offset)
        width, height = int(roi.width), int(roi.height)
    whole = Camera(
        width,
        height,
        fx,
        fy,
        cx,
        cy,
        str(info.distortion_model) or PLUMB_BOB,
        () if is_rectified else tuple(float(v) for v in info.d),
    )
    binning = max(1, int(info.binning_x)), max(1, int(info.binning_y))
    if binning == (1, 1):
        return whole
    x, y = binning
    return replace(
        whole,
        width=max(1, width // x),
        height=max(1, height // y),
        fx=fx / x,
        fy=fy / y,
        cx=(cx + 0.5) / x - 0.5,
        cy=(cy + 0.5) / y - 0.5,
    )
