# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Boxes become masks: on pictures whose objects are known, and where GrabCut cannot work."""

from __future__ import annotations

import math
import warnings

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from vos_ros.datatypes import Frame
from vos_ros.engine.prompter import Prompter
from vos_ros.errors import VosError
from vos_ros.formats.boxes import (
    Box,
    draw_box,
    parse_box,
    parse_points,
    Points,
)

HEIGHT, WIDTH = 240, 320
GRABCUT = Prompter(None)
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
    label_map, problems = GRABCUT.draw(frame, boxes)
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
    label_map, problems = GRABCUT.draw(
        frame, {1: Box(900, 900, 50, 50), 2: Box(150, 120, 150, 110)}
    )
    assert set(np.unique(label_map)) == {0, 2}
    assert problems[0].startswith('object 1: the box around (900, 900) lies outside')
    assert '320x240' in problems[0]


@pytest.mark.parametrize('place', [1e30, -1e30, 1e300])
def test_a_box_that_no_integer_holds_is_refused_without_a_warning(place: float) -> None:
    frame, _ = picture(((80, 60), (30, 20), 0.0))
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        _, problems = GRABCUT.draw(frame, {1: Box(place, 60.0, 20.0, 20.0)})
    assert 'lies outside' in problems[0]


def test_a_point_finds_what_is_like_it_in_its_window() -> None:
    frame, (truth, other) = picture(((150, 110), (60, 35), 25), ((290, 30), (20, 20), 0))
    prompt = GRABCUT.prompt_of(frame, {3: Points(((150, 110),), reach=80)})
    assert set(np.unique(prompt.label_map)) == {0, 3}
    found = (prompt.label_map == 3).astype(np.uint8)
    assert iou(found, truth) > 0.9
    assert not (found & other).any()


def test_points_of_one_object_lie_in_its_mask_whatever_their_colour() -> None:
    frame, _ = picture(((150, 110), (60, 35), 25))
    places = [(150.0, 110.0), (20.0, 200.0)]
    label_map = GRABCUT.from_points(frame, places).label_map
    assert all(label_map[round(y), round(x)] == 1 for x, y in places)


def test_the_prompt_of_a_box_is_its_mask_with_the_stamp_of_the_image() -> None:
    frame, (truth,) = picture(((150, 110), (60, 35), 0))
    frame = Frame(frame.image, stamp_ns=1_700_000_000_123_456_789)
    prompt = GRABCUT.from_box(frame, parse_box('80,60,140,100'), 300)
    assert prompt.stamp_ns == 1_700_000_000_123_456_789
    assert iou((prompt.label_map == 300).astype(np.uint8), truth) > 0.95


def test_boxes_and_points_are_drawn_in_one_map() -> None:
    frame, _ = picture(((100, 110), (40, 35), 0), ((250, 110), (20, 20), 0))
    prompt = GRABCUT.prompt_of(frame, {1: parse_box('50,65,100,90'), 2: parse_points('250,110')})
    assert set(np.unique(prompt.label_map)) == {0, 1, 2}


def test_a_box_of_the_command_line_covers_the_pixels_that_it_names() -> None:
    assert parse_box('10,20,30,40').corners()[0].tolist() == [9.5, 19.5]
    assert parse_box('10,20,30,40').corners()[2].tolist() == [39.5, 59.5]


@pytest.mark.parametrize('text', ['', '1,2,3', 'a,b,c,d', '1,2,nan,4', '1,2,1,1', '1,2,3,4,5'])
def test_what_is_no_box_is_refused(text: str) -> None:
    with pytest.raises(VosError):
        parse_box(text)


@pytest.mark.parametrize('text', ['', '1', '1,2,3', 'x,y', 'inf,1'])
def test_what_is_no_point_is_refused(text: str) -> None:
    with pytest.raises(VosError):
        parse_points(text)


def test_a_hint_outside_of_the_image_is_refused_with_its_size() -> None:
    frame, _ = picture(((100, 110), (40, 35), 0))
    for hint in (Points(((320.0, 10.0),)), Points(((10.0, -3.0),)), parse_box('400,10,20,20')):
        with pytest.raises(VosError, match='320x240'):
            GRABCUT.prompt_of(frame, {1: hint})
    for ids in (0, 65536):
        with pytest.raises(VosError, match='1 to 65535'):
            GRABCUT.prompt_of(frame, {ids: parse_points('100,110')})


@pytest.mark.parametrize('prompter', [GRABCUT, Prompter.open()], ids=['grabcut', 'network'])
@pytest.mark.parametrize('place', [(319.9, 239.9), (-0.5, -0.5), (319.9, -0.5)])
def test_a_click_into_the_last_pixel_is_taken(
    prompter: Prompter, place: tuple[float, float]
) -> None:
    frame, _ = picture(((100, 110), (40, 35), 0))
    hint = Points((place,), beside=((319.7, 100.0),))
    assert prompter.prompt_of(frame, {1: hint}).label_map.shape == frame.size
