# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Boxes become masks: on pictures whose objects are known, and where GrabCut cannot work."""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from vos_ros.datatypes import Frame
from vos_ros.errors import VosError
from vos_ros.formats.boxes import Box, draw_box, draw_boxes

HEIGHT, WIDTH = 240, 320
Mask = npt.NDArray[np.uint8]


def picture(*ellipses: tuple[tuple[int, int], tuple[int, int], float]) -> tuple[Frame, list[Mask]]:
    """Paint red ellipses (centre, half axes, degrees) on green noise; return their masks too."""
    rng = np.random.default_rng(1)
    image = rng.integers(0, 60, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    image[..., 1] += 120
    masks: list[Mask] = []
    for centre, axes, degrees in ellipses:
        mask = np.zeros((HEIGHT, WIDTH), np.uint8)
        cv2.ellipse(mask, centre, axes, degrees, 0, 360, 1, -1)
        image[mask > 0] = np.array((200, 40, 30)) + rng.integers(-25, 25, (int(mask.sum()), 3))
        masks.append(mask)
    return Frame(image), masks


def iou(a: Mask, b: Mask) -> float:
    return float(np.count_nonzero(a & b) / np.count_nonzero(a | b))


def test_an_object_in_a_loose_box_is_found_with_its_outline() -> None:
    frame, (truth,) = picture(((150, 110), (60, 35), 25))
    mask = draw_box(frame, Box(150, 110, 150, 120))
    assert iou(mask, truth) > 0.95
    again = draw_box(frame, Box(150, 110, 150, 120))
    assert np.array_equal(mask, again)


def test_a_turned_box_holds_only_what_lies_inside_of_it() -> None:
    frame, (truth, other) = picture(((150, 120), (90, 15), 45), ((220, 70), (12, 12), 0))
    mask = draw_box(frame, Box(150, 120, 200, 50, math.radians(45)))
    assert iou(mask, truth) > 0.9
    assert not (mask & other).any()


def test_two_boxes_keep_their_ids_and_the_smaller_lies_on_top() -> None:
    frame, _ = picture(((150, 120), (80, 60), 0), ((150, 120), (15, 15), 0))
    boxes = {300: Box(150, 120, 40, 40), 2: Box(150, 120, 190, 150)}
    label_map, problems = draw_boxes(frame, boxes)
    assert problems == ()
    assert label_map.dtype == np.uint16
    assert set(np.unique(label_map)) == {0, 2, 300}
    assert label_map[120, 150] == 300


@pytest.mark.parametrize(
    'box',
    [Box(160, 120, 400, 300), Box(60, 60, 40, 20)],
    ids=['larger than the image', 'on nothing but noise'],
)
def test_where_colours_do_not_tell_the_mask_is_still_within_the_box(box: Box) -> None:
    frame = Frame(np.full((HEIGHT, WIDTH, 3), 90, np.uint8))
    mask = draw_box(frame, box)
    rows, columns = np.nonzero(mask)
    assert mask.any()
    assert np.all(np.abs(columns - box.x) <= box.width / 2 + 1)
    assert np.all(np.abs(rows - box.y) <= box.height / 2 + 1)


def test_without_any_background_the_ellipse_in_the_box_is_taken() -> None:
    frame = Frame(np.full((60, 80, 3), 90, np.uint8))
    mask = draw_box(frame, Box(39.5, 29.5, 80, 60))
    assert mask.sum() == pytest.approx(math.pi / 4 * 80 * 60, rel=0.02)


def test_a_box_over_the_border_is_cut_there() -> None:
    frame, (truth,) = picture(((5, 100), (40, 30), 0))
    mask = draw_box(frame, Box(0, 100, 120, 90))
    assert iou(mask, truth) > 0.9


def test_bad_boxes_are_refused_with_the_reason_and_the_others_are_drawn() -> None:
    frame, _ = picture(((150, 120), (60, 40), 0))
    with pytest.raises(VosError, match='too small'):
        Box(10, 10, 2, 50)
    with pytest.raises(VosError, match='finite'):
        Box(math.nan, 10, 20, 50)
    label_map, problems = draw_boxes(frame, {1: Box(900, 900, 50, 50), 2: Box(150, 120, 150, 110)})
    assert set(np.unique(label_map)) == {0, 2}
    assert problems[0].startswith('object 1: the box around (900, 900) lies outside')
    assert '320x240' in problems[0]
