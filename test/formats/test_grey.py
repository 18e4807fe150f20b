# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Images of 16 bits: one stretch for a camera."""

from __future__ import annotations

import logging
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from vos_ros.config import NodeConfig, parse_range
from vos_ros.errors import VosError
from vos_ros.formats.grey import GreyRange, LEAST_LEVELS
from vos_ros.sequences import FolderSequence

RAMP = np.tile(np.linspace(0, 1, 320), (240, 1))


def ramp(low: int, high: int) -> npt.NDArray[np.uint16]:
    return (low + RAMP * (high - low)).astype(np.uint16)


@pytest.mark.parametrize(
    ('low', 'high'), [(3000, 3600), (500, 2500), (0, 1023), (0, 4095), (0, 65535)]
)
def test_a_part_of_the_range_gives_many_levels(low: int, high: int) -> None:
    shown = GreyRange()(ramp(low, high))
    assert len(np.unique(shown)) >= 200


def test_the_stretch_stays_when_something_hot_comes_into_view() -> None:
    grey = GreyRange()
    first = grey(ramp(3000, 3600))
    hot = ramp(3000, 3600)
    hot[:50] = 9000
    shown = grey(hot)
    np.testing.assert_array_equal(shown[50:], first[50:])
    assert (shown[:50] == 255).all()


def test_a_closed_shutter_does_not_set_it() -> None:
    grey = GreyRange()
    grey(np.full((240, 320), 3300, np.uint16))
    assert grey.limits is None
    assert len(np.unique(grey(ramp(3000, 3600)))) >= 200


def test_pixels_without_a_measurement_do_not_set_it() -> None:
    depth = ramp(500, 2500)
    depth[::2] = 0
    depth[1::8] = 65535
    assert len(np.unique(GreyRange()(depth))) >= 200


def test_a_range_that_is_given_is_used() -> None:
    shown = GreyRange((1000, 2000))(np.array([[0, 1000, 1500, 2000, 60000]], np.uint16))
    assert shown.tolist() == [[0, 0, 128, 255, 255]]


def test_few_levels_are_said_once(caplog: pytest.LogCaptureFixture) -> None:
    grey = GreyRange((0, 65535), 'the thermal camera')
    with caplog.at_level(logging.WARNING, 'vos_ros'):
        for _ in range(3):
            grey(ramp(3000, 3600))
    assert grey.levels < LEAST_LEVELS
    assert len(caplog.messages) == 1
    assert 'the thermal camera' in caplog.messages[0]
    assert 'image_range' in caplog.messages[0]


def test_a_folder_of_16_bit_files_has_one_stretch(tmp_path: Path) -> None:
    for index, low in enumerate((3000, 3100)):
        cv2.imwrite(str(tmp_path / f'{index}.png'), ramp(low, low + 400))
    first, second = (frame.image for frame in FolderSequence(tmp_path))
    assert len(np.unique(first)) >= 200
    # 3100 is a quarter up the first one, and the darkest of the second.
    assert abs(int(first[0, 80, 0]) - int(second[0, 0, 0])) <= 2


@pytest.mark.parametrize('text', ['3000,3600', '[3000, 3600]', '3000 3600', '3000:3600'])
def test_a_range_is_read(text: str) -> None:
    assert parse_range(text) == (3000, 3600)
    assert parse_range('auto') is None


@pytest.mark.parametrize('text', ['', '3000', '3600,3000', '-1,5', '0,70000', 'a,b'])
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(VosError, match='image_range must be auto or LOW,HIGH'):
        NodeConfig(image_range=text)
