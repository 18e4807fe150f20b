# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
from collections.abc import Callable
import dataclasses

import numpy as np
import pytest

from vos_ros.datatypes import Frame, Prompt, StepTiming
from vos_ros.errors import VosError


@pytest.mark.parametrize(
    ('make', 'part'),
    [
        pytest.param(lambda: Frame(np.zeros((4, 4), np.uint8)), '(4, 4) uint8', id='grey'),
        pytest.param(lambda: Frame(np.zeros((4, 4, 3))), 'float64', id='float'),  # type: ignore[arg-type]
        pytest.param(lambda: Frame(np.zeros((0, 4, 3), np.uint8)), 'empty', id='no rows'),
        pytest.param(
            lambda: Frame(np.zeros((4, 4, 3), np.uint8), 'yuv'),  # type: ignore[arg-type]
            "'yuv'",
            id='encoding',
        ),
        pytest.param(lambda: Prompt(np.zeros((4, 4), np.int32)), 'int32', id='int mask'),
        pytest.param(lambda: Prompt(np.zeros((4, 4, 3), np.uint8)), '(4, 4, 3)', id='rgb mask'),
        pytest.param(lambda: Prompt(np.zeros((4, 0), np.uint8)), 'pixel', id='no columns'),
        pytest.param(
            lambda: Prompt([[0, 1]]),  # type: ignore[arg-type]
            'the mask must be a numpy array, not list',
            id='mask of lists',
        ),
        pytest.param(
            lambda: Frame('a.png'),  # type: ignore[arg-type]
            'the image must be a numpy array, not str',
            id='path',
        ),
    ],
)
def test_bad_arrays_are_refused_with_what_they_are(make: Callable[[], object], part: str) -> None:
    with pytest.raises(VosError) as caught:
        make()
    assert part in str(caught.value)
    assert '\n' not in str(caught.value)


def test_frame_is_a_view_and_cannot_be_exchanged() -> None:
    image = np.zeros((4, 6, 3), np.uint8)
    frame = Frame(image, 'bgr8', 7, 'camera')
    assert frame.image is image
    assert frame.size == (4, 6)
    with pytest.raises(dataclasses.FrozenInstanceError):
        frame.stamp_ns = 8  # type: ignore[misc]


def test_latency_leaves_out_what_comes_after_publishing() -> None:
    assert StepTiming(1.0, 2.0, 3.0, 4.0, memorize_ms=100.0).latency_ms == 10.0
