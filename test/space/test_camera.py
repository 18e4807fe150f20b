# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Pixels to rays and back, with the numbers of camera_info."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from vos_ros.errors import VosError
from vos_ros.space.camera import Camera, read_camera

PINHOLE = Camera(640, 480, 525.0, 530.0, 319.5, 239.5)
#: Of a wide-angle lens.
BENT = (-0.28, 0.07, 0.0002, -0.0001, 0.0)


def info(**more: Any) -> SimpleNamespace:
    """Make the fields of a CameraInfo; K, P and D of a lens that bends."""
    fields = {
        'width': 640,
        'height': 480,
        'k': [500.0, 0, 320, 0, 501, 240, 0, 0, 1],
        'p': [450.0, 0, 310, 0, 0, 451, 230, 0, 0, 0, 1, 0],
        'd': list(BENT),
        'distortion_model': 'plumb_bob',
        'binning_x': 0,
        'binning_y': 0,
        'roi': SimpleNamespace(width=0, height=0, x_offset=0, y_offset=0),
    }
    return SimpleNamespace(**(fields | more))


def pixels_of(camera: Camera) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    rows, columns = np.mgrid[0 : camera.height : 37, 0 : camera.width : 41]
    return rows.ravel(), columns.ravel()


@pytest.mark.parametrize(
    ('model', 'distortion'),
    [
        ('plumb_bob', ()),
        ('plumb_bob', BENT),
        ('rational_polynomial', (-0.1, 0.02, 0.001, 0.0, 0.001, 0.05, 0.01, 0.0)),
        ('equidistant', (0.01, -0.003, 0.001, 0.0)),
    ],
)
def test_a_ray_goes_through_its_own_pixel(model: str, distortion: tuple[float, ...]) -> None:
    camera = Camera(640, 480, 525.0, 530.0, 319.5, 239.5, model, distortion)
    rows, columns = pixels_of(camera)
    rays = camera.rays(rows, columns)
    points = np.concatenate([rays, np.ones((len(rays), 1))], 1) * 1.7
    found = camera.project(points)
    assert np.abs(found - np.stack([columns, rows], 1)).max() < 0.1


def test_distortion_moves_the_corner_and_not_the_middle() -> None:
    bent = Camera(640, 480, 525.0, 530.0, 320.0, 240.0, 'plumb_bob', BENT)
    straight = Camera(640, 480, 525.0, 530.0, 320.0, 240.0)
    rows, columns = np.array([240, 0]), np.array([320, 0])
    difference = np.abs(bent.rays(rows, columns) - straight.rays(rows, columns)).max(1)
    assert difference[0] < 1e-6
    assert difference[1] > 0.03  # at 1 m, more than 3 cm


def test_half_the_size_sees_the_same_rays() -> None:
    half = PINHOLE.scaled(320, 240)
    # The middle of a pixel of the small image is the corner of four of the large one.
    rows, columns = np.array([10, 100]), np.array([7, 250])
    four = np.mean(
        [PINHOLE.rays(2 * rows + y, 2 * columns + x) for x in (0, 1) for y in (0, 1)], axis=0
    )
    assert np.abs(half.rays(rows, columns) - four).max() < 1e-6


def test_another_aspect_is_refused_with_both_sizes() -> None:
    with pytest.raises(VosError, match=r'640x480.*1280x720'):
        PINHOLE.scaled(1280, 720)


def test_a_rectified_image_has_p_and_no_distortion_any_other_k_and_d() -> None:
    rectified = read_camera(info(), is_rectified=True)
    assert (rectified.fx, rectified.fy, rectified.cx, rectified.cy) == (450, 451, 310, 230)
    assert not rectified.is_distorted
    as_it_is = read_camera(info(), is_rectified=False)
    assert (as_it_is.fx, as_it_is.fy, as_it_is.cx, as_it_is.cy) == (500, 501, 320, 240)
    assert as_it_is.distortion == BENT


def test_a_driver_that_leaves_p_empty_still_has_k() -> None:
    assert read_camera(info(p=[0.0] * 12), is_rectified=True).fx == 500


def test_binning_and_region_of_interest_move_the_principal_point() -> None:
    roi = SimpleNamespace(width=320, height=240, x_offset=100, y_offset=50)
    camera = read_camera(info(roi=roi, binning_x=2, binning_y=2), is_rectified=False)
    assert (camera.width, camera.height, camera.fx) == (160, 120, 250)
    # The same ray: pixel (320, 240) of the sensor is (220, 190) of the region.
    column, row = (220 + 0.5) / 2 - 0.5, (190 + 0.5) / 2 - 0.5
    assert (camera.cx, camera.cy) == (column, row)


@pytest.mark.parametrize(
    ('change', 'complaint'),
    [
        ({'k': [0.0] * 9}, 'not calibrated'),
        ({'k': [float('nan')] * 9}, 'not calibrated'),
        ({'width': 0}, '0x480'),
        ({'distortion_model': 'mystery'}, 'mystery.*set distortion to none'),
        ({'d': [0.1, 0.2, 0.3]}, '3 coefficients'),
    ],
)
def test_what_no_camera_has_is_refused(change: dict[str, Any], complaint: str) -> None:
    with pytest.raises(VosError, match=complaint):
        read_camera(info(**change), is_rectified=False)


def test_an_unknown_model_without_coefficients_is_a_pinhole() -> None:
    camera = read_camera(info(distortion_model='mystery', d=[0.0] * 5), is_rectified=False)
    assert not camera.is_distorted
