# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Depth images: what is stored, what is a hole, what is an edge, and what is cut out."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from vos_ros.config import GeometryConfig
from vos_ros.errors import VosError
from vos_ros.space.depth import (
    fit_labels,
    flying_pixels,
    read_depth,
    to_metres,
    without_objects,
)

LIMITS = GeometryConfig()


def message(pixels: np.ndarray[Any, Any], encoding: str, padding: int = 0, big: bool = False):  # type: ignore[no-untyped-def]
    rows = pixels.astype(pixels.dtype.newbyteorder('>' if big else '<'))
    data = b''.join(row.tobytes() + b'\xaa' * padding for row in rows)
    height, width = pixels.shape
    step = width * pixels.itemsize + padding
    return SimpleNamespace(
        height=height, width=width, encoding=encoding, is_bigendian=int(big), step=step, data=data
    )


@pytest.mark.parametrize('encoding', ['16UC1', 'mono16', '32FC1'])
@pytest.mark.parametrize('padding', [0, 3, 8])
@pytest.mark.parametrize('big', [False, True])
def test_depth_is_read_with_its_step_and_byte_order(
    encoding: str, padding: int, big: bool
) -> None:
    dtype = np.float32 if encoding == '32FC1' else np.uint16
    pixels = np.arange(12, dtype=dtype).reshape(3, 4) * 700
    found = read_depth(message(pixels, encoding, padding, big))
    assert found.dtype == dtype
    assert (found == pixels).all()
    assert found.dtype.isnative


def test_millimetres_and_metres_are_the_same_metres() -> None:
    thousands = np.array([[1000, 2500]], np.uint16)
    both = to_metres(thousands, LIMITS), to_metres(thousands.astype(np.float32) / 1000, LIMITS)
    for metres in both:
        assert metres == pytest.approx(np.array([[1.0, 2.5]]))


def test_every_kind_of_hole_is_one() -> None:
    stored = np.array([[0, -1, np.nan, np.inf, -np.inf, 0.01, 11, 1]], np.float32)
    assert np.isnan(to_metres(stored, LIMITS)).tolist() == [[True] * 7 + [False]]
    assert not np.isnan(to_metres(stored, GeometryConfig(max_depth_m=0)))[0, 6]
    assert np.isnan(to_metres(np.array([[0, 30, 65535]], np.uint16), LIMITS)).all()
    largest = np.array([[np.finfo(np.float32).max]])
    assert np.isnan(to_metres(largest.astype(np.float32), GeometryConfig(max_depth_m=0))).all()


@pytest.mark.parametrize(
    ('change', 'complaint'),
    [
        ({'encoding': 'rgb8'}, "'rgb8'.*16UC1"),
        ({'encoding': '16UC1; compressedDepth png'}, 'republish'),
        ({'step': 3}, 'step 3, needs at least 8'),
        ({'height': 0}, 'empty'),
        ({'data': b'123'}, 'needs 24 bytes, has 3'),
        ({'height': 2**31, 'width': 2**31}, 'step'),
    ],
)
def test_what_is_no_depth_image_is_refused_with_the_reason(
    change: dict[str, Any], complaint: str
) -> None:
    msg = message(np.ones((3, 4), np.uint16), '16UC1')
    with pytest.raises(VosError, match=complaint):
        read_depth(SimpleNamespace(**(vars(msg) | change)))


@pytest.mark.parametrize('far', [np.nan, 2.0])
def test_what_lies_between_both_sides_of_an_edge_is_doubted_and_the_sides_are_kept(
    far: float,
) -> None:
    metres = np.full((9, 20), 1.0, np.float32)
    metres[:, 10:] = 2.0
    metres[:, 10:12] = 1.4, 1.7  # mixtures
    metres[0, 0] = far
    found = flying_pixels(metres, GeometryConfig(edge_px=2))
    assert found[:, 10:12].all()
    found[:, 10:12] = False
    assert not found.any()
    assert not flying_pixels(metres, GeometryConfig(edge_px=0)).any()


def test_a_thin_thing_in_front_of_a_wall_is_kept() -> None:
    metres = np.full((9, 20), 2.0, np.float32)
    metres[:, 10] = 1.0
    assert not flying_pixels(metres, LIMITS)[:, 10].any()


def test_a_steep_slope_is_no_edge() -> None:
    # A floor under a camera 1 m above it, f 525 px, from 1 m to 6 m away.
    rows = np.arange(525 // 6, 525, dtype=np.float32)[::-1]
    floor = np.repeat((525 / rows)[:, None], 20, 1).astype(np.float32)
    near = floor < 4
    assert not flying_pixels(floor, LIMITS)[near].any()


def test_a_hole_beside_a_surface_makes_no_edge() -> None:
    metres = np.full((9, 9), 1.0, np.float32)
    metres[4, 4] = np.nan
    assert not flying_pixels(metres, LIMITS).any()


def test_labels_of_another_size_are_taken_from_the_nearest_pixel() -> None:
    labels = np.arange(16, dtype=np.uint16).reshape(4, 4)
    assert fit_labels(labels, (4, 4)) is labels
    assert (fit_labels(labels, (8, 8)) == np.kron(labels, np.ones((2, 2), int))).all()
    assert fit_labels(labels, (2, 2)).tolist() == [[5, 7], [13, 15]]
    with pytest.raises(VosError, match=r'4x4.*16x9.*registered'):
        fit_labels(labels, (9, 16))


@pytest.mark.parametrize('dtype', [np.uint16, np.float32])
def test_objects_are_cut_out_and_nothing_else_changes(dtype: type) -> None:
    rng = np.random.default_rng(1)
    stored: np.ndarray[Any, Any] = rng.integers(1, 3000, (30, 40)).astype(dtype)
    stored[3, 3] = 0
    labels = np.zeros((30, 40), np.uint16)
    labels[10:20, 10:20] = 300  # the low byte alone is 44, of 256 it would be 0
    labels[25, 35] = 256
    before = stored.copy()
    cut = without_objects(stored, labels, 0)
    assert (stored == before).all()
    assert (np.isnan(cut[labels > 0]) if dtype is np.float32 else cut[labels > 0] == 0).all()
    assert (cut[labels == 0] == before[labels == 0]).all()
    wider = without_objects(stored, labels, 2)
    gone = np.isnan(wider) if dtype is np.float32 else wider == 0
    assert gone[8:22, 8:22].all()
    assert not gone[:8, 10:20].any()
