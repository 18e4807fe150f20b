# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Simulated hands point at the object, each as its name says, and another seed is another hand."""

from typing import Any

import cv2
import numpy as np
import pytest

from vos_ros.evaluation.hands import HANDS
from vos_ros.formats.boxes import Box, Points
from vos_ros.formats.marks import Marks


def _bean() -> Any:
    mask = np.zeros((120, 160), np.uint8)
    cv2.ellipse(mask, (80, 60), (55, 30), 20, 0, 360, 1, cv2.FILLED)
    mask[60:, 70:90] = 0
    return mask


def _pixel() -> Any:
    mask = np.zeros((120, 160), np.uint8)
    mask[7, 9] = 1
    return mask


@pytest.mark.parametrize('kind', HANDS)
@pytest.mark.parametrize('mask', [_bean(), _pixel()], ids=['bean', 'pixel'])
def test_a_hand_is_the_same_for_the_same_seed_and_another_for_another(
    kind: str, mask: Any
) -> None:
    def drawn(seed: int) -> bytes:
        hint = HANDS[kind](mask, np.random.default_rng(seed))
        return hint.on.tobytes() if isinstance(hint, Marks) else repr(hint).encode()

    assert drawn(1) == drawn(1)
    if mask.sum() > 1:
        assert len({drawn(seed) for seed in range(6)}) > 1


@pytest.mark.parametrize('kind', HANDS)
@pytest.mark.parametrize('seed', range(5))
def test_a_hand_is_on_the_object(kind: str, seed: int) -> None:
    mask = _bean()
    hint = HANDS[kind](mask, np.random.default_rng(seed))
    if isinstance(hint, Points):
        assert all(mask[round(y), round(x)] for x, y in hint.places)
        assert len(hint.places) == (2 if kind == '2 clicks' else 1)
    elif isinstance(hint, Box):
        x, _, width, height = cv2.boundingRect(mask)
        assert abs(hint.x - x - width / 2) < 0.1 * width
        assert abs(hint.height - height) < 0.2 * height
    else:
        assert (hint.on & mask).sum() > 0.7 * hint.on.sum()


@pytest.mark.parametrize('seed', range(30))
def test_a_scribble_that_finds_no_way_is_a_dot(seed: int) -> None:
    mask = np.zeros((60, 60), np.uint8)
    mask[::7, ::7] = 1
    assert HANDS['scribble'](mask, np.random.default_rng(seed)).on.any()


def test_a_brush_is_wider_than_a_line() -> None:
    mask = _bean()
    areas = {
        kind: HANDS[kind](mask, np.random.default_rng(0)).on.sum() for kind in ('line', 'brush')
    }
    assert areas['brush'] > 2 * areas['line'] > 0
