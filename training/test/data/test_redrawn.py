# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Masks that are drawn tighter or looser than the object, the same way in all of a clip."""

import math

import cv2
import numpy as np
import pytest

from vos_distill.data import ClipComposer, ClipConfig, Still
from vos_distill.data.outlines import redraw_clip, redrawn


def disc(x: int = 50, radius: int = 20) -> np.ndarray:
    label = np.zeros((100, 100), np.uint8)
    cv2.circle(label, (x, 50), radius, 1, -1)
    return label


@pytest.mark.parametrize('pixels', [-6.0, -2.5, 0.0, 1.5, 4.0])
def test_an_outline_moves_so_many_pixels(pixels: float) -> None:
    area = float((redrawn(disc(), pixels) == 1).sum())
    assert math.sqrt(area / math.pi) == pytest.approx(20 + pixels, abs=0.8)


def test_an_object_takes_nothing_from_another_one_nor_from_void() -> None:
    label = disc(30)
    label[:, 50:] = 2  # in touch with object 1
    label[:, 80:] = 255
    loose, tight = redrawn(label, 3), redrawn(label, -3)
    assert (loose[label > 0] == label[label > 0]).all()
    assert (loose == 1).sum() > (label == 1).sum()
    assert ((tight == label) | (tight == 0)).all()
    assert (tight[50, 48:52] == 0).all()  # both draw back where they touch
    assert (tight[50, 78:] == label[50, 78:]).all()  # what is void may be object
    assert (tight[99, 60:70] == 2).all()  # and so may be what the picture does not show


def test_where_two_could_grow_the_nearer_one_does() -> None:
    label = np.zeros((9, 9), np.uint8)
    label[4, 1], label[4, 7] = 1, 2
    assert redrawn(label, 2)[4].tolist() == [1, 1, 1, 1, 0, 2, 2, 2, 2]


def test_what_is_thin_is_not_wiped_out() -> None:
    first = np.zeros((60, 60), np.uint8)
    first[10:50, 28:34] = 1
    labels = np.stack([first, np.roll(first, 3, axis=1)])
    tight = redraw_clip(labels, -4)
    assert all((one == 1).sum() >= 0.6 * (first == 1).sum() for one in tight)
    assert (redraw_clip(labels, 4) == 1).sum() > (labels == 1).sum()
    (same,) = redraw_clip(disc()[None], -3)
    assert (same == redrawn(disc(), -3)).all()


def test_all_frames_of_a_clip_are_redrawn_the_same_way() -> None:
    still = Still(cv2.cvtColor(disc() * 200, cv2.COLOR_GRAY2RGB), disc(), 'ecssd')
    ways = set()
    for seed in range(12):
        plain, other = (
            ClipComposer(
                [still] * 3, [], ClipConfig(size=96, real=0.0, redrawn=share, redrawn_by=0.05)
            ).compose(np.random.default_rng(seed))
            for share in (0.0, 1.0)
        )
        if plain is None or other is None:
            continue
        fewer = (other.labels == 0) & (plain.labels > 0)
        more = (other.labels > 0) & (plain.labels == 0)
        assert not (fewer.any() and more.any())
        ways.add('tight' if fewer.any() else 'loose' if more.any() else 'as it was')
    assert {'tight', 'loose'} <= ways
