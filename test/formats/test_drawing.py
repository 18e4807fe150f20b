# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import cv2
from davis_factory import label_map, textured
import numpy as np
import pytest

from vos_ros.errors import VosError
from vos_ros.formats.drawing import colour_of, draw_ids, draw_overlay, draw_truth, write_image
from vos_ros.formats.label_png import davis_palette

LABELS = label_map((1, 10, 10, 30, 30), (2, 5, 60, 20, 20))
IMAGE = textured(LABELS)


def test_overlay_changes_objects_only_and_not_its_input() -> None:
    before = IMAGE.copy()
    drawn = draw_overlay(IMAGE, LABELS)
    assert (before == IMAGE).all()
    assert (drawn[LABELS == 0] == IMAGE[LABELS == 0]).all()
    assert (drawn[LABELS != 0] != IMAGE[LABELS != 0]).any(axis=1).mean() > 0.99


def test_inside_is_a_blend_with_the_palette() -> None:
    drawn = draw_overlay(IMAGE, LABELS, alpha=0.25, contour=False)
    expected = 0.75 * IMAGE[25, 25] + 0.25 * davis_palette()[1]
    assert np.abs(drawn[25, 25] - expected).max() <= 1
    assert colour_of(2) == (0, 128, 0)


def test_contour_is_the_rim_of_each_object() -> None:
    black = np.zeros_like(IMAGE)
    plain, lined = (draw_overlay(black, LABELS, contour=c) for c in (False, True))
    changed = (plain != lined).any(axis=2)
    rim = np.zeros_like(changed)
    for object_id in (1, 2):
        mask = np.where(object_id == LABELS, 1, 0).astype(np.uint8)
        inner = np.asarray(cv2.erode(mask, np.ones((3, 3), np.uint8)))
        rim |= mask != inner
    assert np.array_equal(changed, rim)


def test_empty_map_and_wide_ids_are_drawn() -> None:
    assert (draw_overlay(IMAGE, label_map()) == IMAGE).all()
    wide = LABELS.astype(np.uint16) * 510  # a multiple of 255 must not turn black
    assert colour_of(510) != (0, 0, 0)
    drawn = draw_overlay(np.zeros_like(IMAGE), wide, contour=False)
    assert (drawn[wide != 0].sum(axis=1) > 0).all()


def test_an_id_is_written_on_its_object_even_on_a_ring() -> None:
    ring = np.zeros((120, 160), np.uint8)
    cv2.circle(ring, (80, 60), 40, 7, 16)
    for labels, count in ((LABELS, 2), (ring, 1)):
        image = np.full((*labels.shape, 3), 128, np.uint8)
        drawn = draw_ids(image, labels)
        assert (image == 128).all()
        white = np.asarray((drawn > 170).all(axis=2), np.uint8)
        parts, _ = cv2.connectedComponents(np.asarray(cv2.dilate(white, np.ones((5, 5)))))
        assert parts - 1 == count
        assert (labels[white != 0] != 0).mean() > 0.6
    assert (draw_ids(IMAGE, label_map()) == IMAGE).all()


def test_truth_is_green_and_prediction_white() -> None:
    drawn = draw_truth(IMAGE, label_map((1, 40, 70, 20, 20)), LABELS)
    assert drawn[10, 20].tolist() == [0, 255, 0]
    assert drawn[40, 80].tolist() == [255, 255, 255]


def test_a_picture_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / 'file').write_text('')
    with pytest.raises(VosError, match='choose another folder'):
        write_image(tmp_path / 'file' / 'o.png', IMAGE)
