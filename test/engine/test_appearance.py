# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
import cv2
import numpy as np
import pytest

from vos_ros.datatypes import Float
from vos_ros.engine.appearance import (
    closest_pair,
    distance,
    LEAST_CELLS,
    Look,
    look_at,
    look_of,
    Mask,
)

_ALIKE = 0.06
_MEAN = _STD = np.full(3, 127.5)


def _texture(hue: int, seed: int = 0) -> Float:
    """Return a lively picture (64, 64, 3) rgb of about one hue (0..179)."""
    rng = np.random.default_rng(seed)
    hls = np.empty((64, 64, 3), np.uint8)
    hls[..., 0] = hue + rng.integers(0, 12, (64, 64))
    hls[..., 1] = cv2.GaussianBlur(rng.integers(40, 220, (64, 64)).astype(np.float32), (0, 0), 2)
    hls[..., 2] = 180
    return cv2.cvtColor(hls, cv2.COLOR_HLS2RGB).astype(np.float32)


def _look(picture: Float, mask: Mask | None = None) -> Look:
    image = ((picture.transpose(2, 0, 1) - 127.5) / 127.5).astype(np.float32)
    cells = np.ones((16, 16), bool) if mask is None else mask
    look = look_at(image, cells, _MEAN, _STD)
    assert look is not None
    return look


@pytest.mark.parametrize(
    'seen',
    [
        pytest.param(lambda p: p[:, ::-1], id='mirrored'),
        pytest.param(lambda p: np.rot90(p), id='turned'),
        pytest.param(lambda p: cv2.resize(p[8:56, 8:56], (64, 64)), id='nearer'),
        pytest.param(lambda p: 0.5 * p, id='in half of the light'),
        pytest.param(lambda p: p + np.random.default_rng(1).normal(0, 4, p.shape), id='noise'),
    ],
)
def test_the_same_thing_looks_alike(seen: object) -> None:
    picture = _texture(20)
    changed = np.ascontiguousarray(seen(picture), np.float32)  # type: ignore[operator]
    assert distance(_look(picture), _look(changed)) < _ALIKE


def test_the_same_texture_in_another_colour_does_not() -> None:
    assert distance(_look(_texture(20)), _look(_texture(60))) > 4 * _ALIKE


def test_distance_is_symmetric_and_zero_to_itself() -> None:
    one, other = _look(_texture(20)), _look(_texture(40, seed=3))
    assert distance(one, one) == 0
    assert distance(one, other) == pytest.approx(distance(other, one))


@pytest.mark.parametrize('radius_px', [14, 30], ids=['38 cells', '170 cells'])
def test_what_is_behind_does_not_change_a_look_even_of_a_small_object(radius_px: int) -> None:
    picture, looks = _texture(20), []
    disc = np.zeros((64, 64), np.float32)
    cv2.circle(disc, (32, 32), radius_px, 1.0, -1)
    # As an image that was enlarged shows it: colours run into each other over some pixels.
    inside = cv2.GaussianBlur(disc, (0, 0), 1.5)[..., None]
    cells = disc.reshape(16, 4, 16, 4).mean(axis=(1, 3)) > 0.5
    for behind in ((250.0, 10.0, 10.0), (10.0, 10.0, 250.0)):
        around = (1 - inside) * np.array(behind, np.float32)
        looks.append(_look((inside * picture + around).astype(np.float32), cells))
    assert distance(*looks) < _ALIKE


def test_only_what_is_inside_the_mask_counts() -> None:
    picture = _texture(20)
    mask = np.zeros((16, 16), bool)
    mask[2:12, 3:13] = True
    beside = picture.copy()
    beside[:8], beside[48:], beside[:, :12], beside[:, 52:] = 255, 255, 0, 0
    assert distance(_look(picture, mask), _look(beside, mask)) == 0


def test_the_same_look_is_made_of_pixels_and_of_cells() -> None:
    picture = np.repeat(np.repeat(_texture(20)[::4, ::4], 4, axis=0), 4, axis=1)
    of_pixels = look_of(picture[1:-1:4, 1:-1:4].reshape(-1, 3).T / 255)
    assert distance(_look(picture), of_pixels) < 0.01


def test_a_few_cells_tell_nothing() -> None:
    mask = np.zeros((16, 16), bool)
    mask[0, : LEAST_CELLS - 1] = True
    assert look_at(np.zeros((3, 64, 64), np.float32), mask, _MEAN, _STD) is None


def test_of_many_looks_the_one_that_tells_least_goes_and_never_the_first() -> None:
    red, green, blue = (_look(_texture(hue)) for hue in (0, 60, 120))
    again = _look(_texture(60, seed=5))
    assert closest_pair([red, green, blue, again]) == 3
    assert closest_pair([red, red]) == 1
