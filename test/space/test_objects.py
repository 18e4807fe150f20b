# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Centres, boxes and clouds of things whose place is known, as a camera would see them."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import pytest

from vos_ros.config import GeometryConfig
from vos_ros.harness import scene
from vos_ros.space.camera import Camera
from vos_ros.space.objects import areas_of, belongs, locate, locate_all

CAMERA = Camera(640, 480, 525.0, 525.0, 319.5, 239.5)
LIMITS = GeometryConfig()
WALL_M = 3.0

Array: TypeAlias = 'np.ndarray[Any, Any]'


def ball(center: tuple[float, float, float], radius: float) -> tuple[Array, Array]:
    """Ray-trace a ball before a wall: depth (H, W) float32 in m, labels with 1 on the ball."""
    rows, columns = np.mgrid[: CAMERA.height, : CAMERA.width]
    rays = np.ones((CAMERA.height, CAMERA.width, 3))
    rays[..., 0] = (columns - CAMERA.cx) / CAMERA.fx
    rays[..., 1] = (rows - CAMERA.cy) / CAMERA.fy
    c = np.array(center)
    a, b = (rays**2).sum(-1), rays @ c
    root = b**2 - a * (c @ c - radius**2)
    hit = root > 0
    z = np.where(hit, (b - np.sqrt(np.maximum(root, 0))) / a, WALL_M)
    return z.astype(np.float32), hit.astype(np.uint8)


def plate(z_m: float, half_m: float) -> tuple[Array, Array]:
    """Depth and labels of a square plate that faces the camera, in the middle."""
    depth = np.full((480, 640), WALL_M, np.float32)
    labels = np.zeros((480, 640), np.uint8)
    side = half_m / z_m * 525
    left, right = round(319.5 - side), round(320.5 + side)
    part = np.s_[left - 80 : right - 80, left:right]
    depth[part], labels[part] = z_m, 1
    return depth, labels


@pytest.mark.parametrize('z_m', [0.5, 1.0, 2.0])
def test_the_centre_of_a_ball_is_that_of_its_front(z_m: float) -> None:
    radius = 0.08 * z_m
    center = np.array([0.15, -0.1, 1.0]) * z_m
    depth, labels = ball(tuple(center), radius)
    found = locate(labels, 1, depth, CAMERA, LIMITS)
    assert found.center is not None
    # Of a hemisphere seen from afar, the mean lies two thirds of the radius before the middle.
    front = center - center / np.linalg.norm(center) * radius * 2 / 3
    assert np.linalg.norm(found.center - front) < 0.01 * z_m
    assert found.low is not None
    assert found.high is not None
    assert (found.low < found.center).all()
    assert (found.center < found.high).all()
    width = (found.high - found.low)[:2]
    assert 1.6 * radius < width.min()
    assert width.max() < 2.0 * radius


def test_a_plate_is_where_it_is_to_the_millimetre_and_as_large() -> None:
    depth, labels = plate(1.0, 0.1)
    found = locate(labels, 1, depth, CAMERA, LIMITS)
    assert found.center == pytest.approx([0, 0, 1.0], abs=1e-3)
    assert found.high is not None
    assert found.low is not None
    assert found.high - found.low == pytest.approx([0.2, 0.2, 0.0], abs=0.006)
    assert (found.pixels, found.holes, found.edges, found.outliers) == (
        np.count_nonzero(labels),
        0,
        0,
        0,
    )
    assert len(found.points) == found.pixels
    assert found.share == 1.0


def test_millimetres_give_the_same_place() -> None:
    depth, labels = ball((0.1, 0.0, 1.0), 0.1)
    metres = locate(labels, 1, depth, CAMERA, LIMITS)
    stored = np.round(depth * 1000).astype(np.uint16)
    millimetres = locate(labels, 1, stored, CAMERA, LIMITS)
    assert metres.center == pytest.approx(millimetres.center, abs=1e-3)


def test_holes_noise_and_flying_pixels_move_the_centre_by_less_than_a_centimetre() -> None:
    rng = np.random.default_rng(4)
    depth, labels = ball((0.1, 0.05, 1.0), 0.1)
    clean = locate(labels, 1, depth, CAMERA, LIMITS)
    worn = depth + np.float32(0.004) * rng.standard_normal(depth.shape, np.float32)
    rim = (labels == 1) & (depth > np.quantile(depth[labels == 1], 0.97))
    worn[rim] = rng.uniform(1.0, WALL_M, np.count_nonzero(rim))
    worn[rng.random(depth.shape) < 0.05] = np.nan
    found = locate(labels, 1, worn, CAMERA, LIMITS)
    assert found.center is not None
    assert clean.center is not None
    assert np.linalg.norm(found.center - clean.center) < 0.01
    share = found.holes / found.pixels
    assert 0.03 < share < 0.07
    assert found.edges > 0
    assert found.points[:, 2].max() < 1.15  # nothing half-way to the wall


def test_a_mask_that_is_too_wide_takes_nothing_of_the_wall() -> None:
    depth, labels = plate(1.0, 0.1)
    wide = np.zeros_like(labels)
    wide[180:300, 260:380] = 1  # 12 to 14 pixels more on every side
    found = locate(wide, 1, depth, CAMERA, LIMITS)
    assert found.points[:, 2].max() < 1.01
    assert found.center == pytest.approx([0, 0, 1.0], abs=2e-3)
    assert found.outliers > 0
    assert found.pixels == found.holes + found.edges + found.outliers + len(found.points)


def test_without_the_filters_the_wall_is_part_of_it() -> None:
    depth, labels = plate(1.0, 0.1)
    wide = np.zeros_like(labels)
    wide[180:300, 260:380] = 1
    found = locate(wide, 1, depth, CAMERA, GeometryConfig(edge_px=0, trim=0))
    assert found.points[:, 2].max() == pytest.approx(WALL_M)


def test_an_object_without_enough_depth_has_no_centre_but_is_counted() -> None:
    depth, labels = plate(1.0, 0.1)
    depth[labels == 1] = np.nan
    depth[240, 320] = 1.0
    found = locate(labels, 1, depth, CAMERA, LIMITS)
    assert found.center is None
    assert found.low is None
    assert len(found.points) == 1
    assert found.holes == found.pixels - 1
    nothing = locate(labels, 9, depth, CAMERA, LIMITS)
    assert (nothing.pixels, nothing.share, nothing.center) == (0, 0.0, None)


def test_one_pixel_in_the_corner_is_an_object_where_one_is_enough() -> None:
    depth, _ = plate(1.0, 0.1)
    labels = np.zeros((480, 640), np.uint8)
    labels[479, 639] = 7
    (found,) = locate_all(labels, depth, CAMERA, GeometryConfig(min_pixels=1), 5)
    x, y = (639 - 319.5) / 525, (479 - 239.5) / 525
    assert found.center == pytest.approx([x * WALL_M, y * WALL_M, WALL_M], abs=1e-3)


def test_ids_above_255_stay_apart_and_the_largest_objects_go_first() -> None:
    depth, _ = plate(1.0, 0.1)
    labels = np.zeros((480, 640), np.uint16)
    labels[0:10, 0:10] = 1
    labels[0:20, 20:40] = 257
    labels[0:30, 50:80] = 513
    assert areas_of(labels) == {1: 100, 257: 400, 513: 900}
    found = locate_all(labels, depth, CAMERA, LIMITS, 2)
    assert [(o.object_id, o.pixels) for o in found] == [(257, 400), (513, 900)]


def test_the_median_rules_while_outliers_are_fewer_than_half() -> None:
    values = np.full(1000, 1.0, np.float32)
    values[::3] = 2.0
    assert (belongs(values, LIMITS) == (values == 1.0)).all()
    assert belongs(values, GeometryConfig(trim=0)).all()
    assert len(belongs(values[:0], LIMITS)) == 0


@pytest.mark.parametrize('far', [1.3, 3.0])
def test_what_is_all_of_one_piece_keeps_its_ends(far: float) -> None:
    # The front of a box, near all of it, and its side up to `far`.
    z = np.concatenate([np.full(900, 1.0), np.linspace(1, far, 300)]).astype(np.float32)
    assert belongs(z, LIMITS).all()


def test_strays_make_no_bridge_to_the_wall() -> None:
    z = np.concatenate([np.full(9000, 1.0), np.full(2000, 2.0), np.linspace(1.1, 1.9, 40)])
    kept = belongs(z.astype(np.float32), LIMITS)
    assert kept[:9000].all()
    assert not kept[9000:11000].any()


def test_the_centre_of_a_box_seen_from_its_corner_is_between_its_faces() -> None:
    for t in (0.25, 0.375, 0.625):  # two of them behind the ball
        view = scene.look(t, camera=scene.CAMERA.scaled(320, 240))
        stored = scene.sensed(view.depth, np.random.default_rng(2))
        found = locate(view.labels, scene.BOX, stored, scene.CAMERA.scaled(320, 240), LIMITS)
        assert found.center is not None
        truth = view.centers[scene.BOX]
        assert np.linalg.norm(found.center - truth) < 0.01 * np.linalg.norm(truth)
