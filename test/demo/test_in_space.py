# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The demo in space: its scene, its pictures, and all of it over real DDS."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from vos_ros.commands.cli import main
from vos_ros.demo import clouds, in_space
from vos_ros.errors import VosError
from vos_ros.harness import scene

TINY = Path(__file__).parents[1] / 'data' / 'tiny'
SMALL = scene.CAMERA.scaled(320, 240)


@pytest.fixture(scope='module')
def views() -> list[scene.View]:
    return [scene.look(t, camera=SMALL) for t in (0.0, 0.3, 0.6, 0.9)]


class TestScene:
    def test_the_ball_is_a_ball_and_the_box_has_its_size(self, views: list[scene.View]) -> None:
        rows, columns = np.mgrid[:240, :320]
        rays = np.ones((240, 320, 3))
        rays[..., :2] = SMALL.rays(rows.ravel(), columns.ravel()).reshape(240, 320, 2)
        diagonal = np.linalg.norm(scene.BOX_HALF_M)
        for view in views:
            points = rays * view.depth[..., None]
            radii = np.linalg.norm(
                points[view.labels == scene.BALL] - view.middles[scene.BALL], axis=1
            )
            assert np.abs(radii - scene.BALL_RADIUS_M).max() < 1e-3
            radii = np.linalg.norm(
                points[view.labels == scene.BOX] - view.middles[scene.BOX], axis=1
            )
            assert radii.max() < diagonal + 1e-3
            assert radii.min() > min(scene.BOX_HALF_M) - 1e-3

    def test_the_true_centre_is_the_mean_of_what_is_seen(self, views: list[scene.View]) -> None:
        for view in views:
            for object_id, center in view.centers.items():
                on = view.labels == object_id
                assert center[2] == pytest.approx(view.depth[on].mean(), abs=1e-4)

    def test_the_box_passes_behind_the_ball(self, views: list[scene.View]) -> None:
        seen = [np.count_nonzero(view.labels == scene.BOX) for view in views]
        assert min(seen) < 0.4 * max(seen)
        around = cv2.dilate((views[2].labels == scene.BALL).astype(np.uint8), np.ones((3, 3)))
        assert np.count_nonzero((around > 0) & (views[2].labels == scene.BOX)) > 5

    def test_a_sensor_adds_noise_holes_and_mixed_pixels(self, views: list[scene.View]) -> None:
        depth = views[0].depth
        stored = scene.sensed(depth, np.random.default_rng(5), holes=0.05)
        assert stored.dtype == np.uint16
        holes = np.count_nonzero(stored == 0) / stored.size
        assert 0.03 < holes < 0.07
        inner = cv2.erode((views[0].labels == scene.BALL).astype(np.uint8), np.ones((9, 9))) > 0
        error = (stored / 1000 - depth)[inner & (stored > 0)]
        assert 0.001 < error.std() < 0.004
        exact = scene.sensed(depth, np.random.default_rng(5), holes=0, noise=0)
        mixed = np.abs(exact / 1000 - depth) > 0.02
        assert 100 < np.count_nonzero(mixed) < 0.05 * depth.size

    def test_what_was_written_is_read_again(self, tmp_path: Path) -> None:
        pytest.importorskip('skimage')
        written = scene.write_clip(tmp_path, 2)
        again = scene.read_clip(tmp_path)
        assert len(written) == len(again) == 2
        view = next(scene.render(2))
        assert (again.labels(0) == view.labels).all()
        assert again.depth(0).dtype == np.uint16
        assert again.image(0).shape == (480, 640, 3)
        found = again.truth[0][scene.BOX]['center']
        assert found == pytest.approx(view.centers[scene.BOX])


def test_pictures_show_the_objects_in_their_colours_and_crosses_where_they_are() -> None:
    rng = np.random.default_rng(0)
    points = (rng.random((500, 3)) * 0.1 + [0.2, 0.0, 1.2]).astype(np.float32)
    center = points.mean(0).astype(np.float64)
    above = clouds.from_above({1: points}, {}, {})
    red = (above[..., 0] > 200) & (above[..., 1] < 90)
    assert np.count_nonzero(red) > 200
    assert np.nonzero(red)[1].min() > clouds.WIDTH_PX / 2  # to the right
    crossed = clouds.from_above({1: points}, {1: center}, {1: center})
    column, row = round(320 + 380 * center[0]), round(480 - 380 * (center[2] - 0.7))
    assert crossed[row, column].min() > 200
    grey = np.full((500, 3), 200, np.uint8)
    aside = clouds.from_the_side(points + np.float32(0.3), grey, {1: points}, {1: center})
    assert aside.shape == (clouds.HEIGHT_PX, clouds.WIDTH_PX, 3)
    assert np.count_nonzero((aside[..., 0] > 200) & (aside[..., 1] < 90)) > 100


@pytest.mark.integration
@pytest.mark.slow
def test_the_demo_measures_where_things_are_over_dds(tmp_path: Path, capsys: Any) -> None:
    pytest.importorskip('rclpy', reason='needs rclpy')
    pytest.importorskip('skimage')
    out = tmp_path / 'out'
    code = main(
        ['demo3d', '--out', str(out), '--model', str(TINY), '--frames', '6', '--rate', '2']
    )
    assert code == 0, capsys.readouterr().out
    report = json.loads((out / 'report.json').read_text())
    assert report['frames_with_centres'] >= 1
    assert report['depth_missing'] == '0'
    # The network of this model is random; the first frame has the mask that was given.
    lines = [json.loads(t) for t in (out / 'logs' / 'centers.jsonl').read_text().splitlines()]
    truth = scene.read_clip(out / 'clip').truth[0]
    first = {o['id']: np.array([o['x'], o['y'], o['z']]) for o in lines[0]['objects']}
    for object_id, places in truth.items():
        distance = float(np.linalg.norm(places['center']))
        assert np.linalg.norm(first[object_id] - places['center']) < 0.01 * distance
    text = (out / 'index.html').read_text()
    assert 'found in space' in text
    assert text.count('<svg') == 2
    assert 'data:image/jpeg' in text
    sheet = cv2.imread(str(out / 'clouds.png'))
    assert sheet is not None
    assert sheet.shape[1] == 3 * clouds.WIDTH_PX


def test_depth_that_is_nearer_to_the_next_image_is_refused(tmp_path: Path) -> None:
    with pytest.raises(VosError, match='--late 400 is more than half a period at 10 Hz'):
        in_space.run(out=tmp_path / 'out', frames=2, rate_hz=10.0, late_ms=400.0)
