# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the prompt network is shown: windows stay where they should, and lead back to the image."""

import numpy as np
import pytest

from vos_ros.engine.window import (
    BEFORE,
    cut,
    MAPS,
    maps_of,
    OFF,
    ON,
    OUTSIDE,
    put_back,
    SIDE,
    Window,
    window_at,
    windows_of,
)
from vos_ros.formats.boxes import Box, Points
from vos_ros.formats.marks import Marks

_SIZE = (480, 640)


@pytest.mark.parametrize(
    ('x', 'y', 'side'),
    [(320, 240, 100), (0, 0, 100), (639, 479, 333), (5, 470, 480), (320, 240, 600)],
)
def test_a_window_lies_inside_of_the_image_as_far_as_it_fits(x: int, y: int, side: int) -> None:
    window = window_at(x, y, side, _SIZE)

    assert window.side == side
    for start, length in ((window.x, 640), (window.y, 480)):
        if side <= length:
            assert 0 <= start <= length - side
        else:
            assert start <= 0
            assert start + side >= length


def test_the_window_of_a_box_holds_it_with_something_around() -> None:
    (window,) = windows_of(Box(300, 200, 80, 40, theta=0.5), _SIZE)
    corners = window.to_input(Box(300, 200, 80, 40, theta=0.5).corners())
    assert corners.min() > 0.05 * SIDE
    assert corners.max() < 0.95 * SIDE


@pytest.mark.parametrize('side', [3000.0, 1e300])
def test_the_window_of_a_box_beyond_the_image_is_no_larger_than_the_image(side: float) -> None:
    box = Box(600, 100, side, 50.0)
    (window,) = windows_of(box, _SIZE)
    assert window.side <= 1.4 * 640 + 1
    assert (maps_of(box, window)[OUTSIDE] == 0).any()


@pytest.mark.parametrize(
    ('places', 'count'),
    [
        pytest.param(((300.0, 200.0),), 3, id='one click'),
        pytest.param(((100.0, 100.0), (500.0, 300.0)), 1, id='far apart'),
        pytest.param(((300.0, 200.0), (420.0, 220.0)), 2, id='near'),
    ],
)
def test_clicks_are_looked_at_in_windows_that_hold_them_all(
    places: tuple[tuple[float, float], ...], count: int
) -> None:
    windows = windows_of(Points(places), _SIZE)

    assert len(windows) == count
    sides = [window.side for window in windows]
    assert sides == sorted(sides)
    for window in windows:
        at = window.to_input(np.array(places))
        assert at.min() >= 0
        assert at.max() <= SIDE - 1


@pytest.mark.parametrize('side', [60, 192, 400, 700])
def test_what_is_cut_and_put_back_is_where_it_was(side: int) -> None:
    mask = np.zeros(_SIZE, np.float32)
    mask[200:260, 300:380] = 1
    window = window_at(340, 230, side, _SIZE)

    back = put_back(cut(mask, window) * 20 - 10, window, _SIZE) > 0

    inside = np.zeros(_SIZE, bool)
    top, left = max(window.y, 0), max(window.x, 0)
    inside[top : window.y + side, left : window.x + side] = True
    differs = back != ((mask > 0) & inside)
    assert differs.sum() <= 4 * (60 + 80) * max(1.0, side / SIDE)


def test_outside_of_the_image_a_window_is_grey() -> None:
    shown = cut(np.zeros((20, 40, 3), np.uint8), Window(0, -10, 40))
    assert shown.shape == (SIDE, SIDE, 3)
    assert (shown[0] == 127).all()
    assert (shown[SIDE // 2] == 0).all()


def test_each_kind_of_hint_is_drawn_in_its_own_map() -> None:
    window = Window(0, 0, SIDE)
    points = maps_of(Points(((50.0, 60.0),), beside=((150.0, 20.0),)), window)
    box = maps_of(Box(96, 96, 40, 60), window)
    on, off = np.zeros((2, SIDE, SIDE), np.uint8)
    on[10:14, 20:90], off[100, 100] = 1, 1
    marks = maps_of(Marks(on, off), window, before=np.full((SIDE, SIDE), 0.5, np.float32))

    assert points.shape == (MAPS, SIDE, SIDE)
    assert points[ON, 60, 50] == points[OFF, 20, 150] == 1
    assert 20 < points[ON].sum() < 60
    assert not points[[OUTSIDE, BEFORE]].any()
    assert box[OUTSIDE, 96, 96] == 0
    assert box[OUTSIDE, 96, 120] == box[OUTSIDE, 60, 96] == 1
    assert abs((box[OUTSIDE] == 0).sum() - 40 * 60) < 120
    assert (marks[ON] == on).all()
    assert (marks[OFF] == off).all()
    assert (marks[BEFORE] == 0.5).all()
