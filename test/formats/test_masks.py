# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One rule for masks: ids, one object, or one object with soft edges."""

from __future__ import annotations

from collections.abc import Callable
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
from davis_factory import label_map
import numpy as np
import pytest

from vos_ros.datatypes import LabelMap
from vos_ros.errors import VosError
from vos_ros.formats.image_codec import decode_labels
from vos_ros.formats.label_png import decode_label_png, read_prompt_png
from vos_ros.formats.masks import EmptyMaskError, read_prompt, Reading, reading_of, to_ids

HARD = np.zeros((120, 160), np.uint8)
cv2.circle(HARD, (60, 60), 25, 255, -1)
BOX = np.zeros((120, 160), np.uint8)
BOX[30:80, 40:120] = 255
SMALL = np.zeros((120, 160), np.uint8)
cv2.circle(SMALL, (60, 60), 4, 255, -1)
POLYGON = np.array([[20, 20], [140, 50], [70, 110]])


def antialiased(hard: LabelMap) -> LabelMap:
    drawn = np.zeros((120, 160), np.uint8)
    cv2.fillPoly(drawn, [POLYGON], (255,), cv2.LINE_AA)
    return np.where(hard > 0, hard, drawn)


def resized(hard: LabelMap, factor: int, way: int) -> LabelMap:
    small = cv2.resize(hard, (160 // factor, 120 // factor), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (160, 120), interpolation=way)  # type: ignore[return-value]


def through_jpeg(hard: LabelMap, quality: int) -> LabelMap:
    _, data = cv2.imencode('.jpg', hard, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)  # type: ignore[return-value]


def probability(hard: LabelMap, slope_px: float) -> LabelMap:
    inside = (hard > 0).astype(np.uint8)
    distance: Any = cv2.distanceTransform(inside, cv2.DIST_L2, 5)
    distance = distance - cv2.distanceTransform(1 - inside, cv2.DIST_L2, 5)
    climb = np.exp(-(distance - 0.5).clip(-50, 50) / slope_px)
    shades: LabelMap = (255 / (1 + climb)).astype(np.uint8)
    return shades


def blurred(hard: LabelMap, sigma_px: float) -> LabelMap:
    return cv2.GaussianBlur(hard, (0, 0), sigma_px)  # type: ignore[return-value]


SOFTENERS: dict[str, Callable[[LabelMap], LabelMap]] = {
    'antialiased': antialiased,
    'brush': lambda hard: blurred(hard, 1),
    'wide brush': lambda hard: blurred(hard, 4),
    'resized by 2': lambda hard: resized(hard, 2, cv2.INTER_LINEAR),
    'resized by 4': lambda hard: resized(hard, 4, cv2.INTER_CUBIC),
    'through jpeg': lambda hard: through_jpeg(hard, 90),
    'through a coarse jpeg': lambda hard: through_jpeg(hard, 50),
    'probability': lambda hard: probability(hard, 1),
    'flat probability': lambda hard: probability(hard, 3),
}


@pytest.mark.parametrize('hard', [HARD, BOX], ids=['disc', 'box'])
@pytest.mark.parametrize('soften', SOFTENERS.values(), ids=SOFTENERS)
@pytest.mark.parametrize('scale', [1, 257], ids=['8 bit', '16 bit'])
def test_a_mask_with_soft_edges_is_one_object(
    soften: Callable[[LabelMap], LabelMap], hard: LabelMap, scale: int
) -> None:
    shades = soften(hard)
    stored = shades if scale == 1 else shades.astype(np.uint16) * scale
    assert reading_of(stored) is Reading.SOFT
    labels = read_prompt(stored, 'mask')
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, shades >= 128)


def test_a_small_soft_object_is_one_object() -> None:
    assert reading_of(blurred(SMALL, 1)) is Reading.SOFT


@pytest.mark.parametrize(
    ('values', 'reading'),
    [
        ([0, 255], Reading.ONE),
        ([255], Reading.ONE),
        ([0, 1], Reading.IDS),
        ([0, 1, 255], Reading.IDS),
        ([0, 254], Reading.IDS),
        ([0], Reading.EMPTY),
    ],
)
def test_what_a_mask_means_is_told_from_its_values(values: list[int], reading: Reading) -> None:
    areas = np.repeat(np.array([values], np.uint8), 10, axis=1).repeat(10, axis=0)
    assert reading_of(areas) is reading
    assert reading_of(areas.astype(np.uint16)) is reading


def test_ids_with_void_around_them_stay_ids() -> None:
    ids = label_map((1, 3, 4, 20, 30), (2, 30, 40, 20, 20), (200, 5, 80, 9, 9))
    kernel = np.ones((5, 5), np.uint8)
    ids[cv2.erode(ids, kernel) != cv2.dilate(ids, kernel)] = 255
    assert reading_of(ids) is Reading.IDS
    assert np.unique(to_ids(ids, Reading.IDS)).tolist() == [0, 1, 2, 200]


@pytest.mark.parametrize('seed', range(10))
def test_many_ids_stay_ids(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ids = np.zeros((240, 320), np.uint8)
    for object_id in rng.choice(np.arange(1, 255), 100, replace=False):
        at = int(rng.integers(0, 320)), int(rng.integers(0, 240))
        cv2.circle(ids, at, int(rng.integers(3, 30)), int(object_id), -1)
    assert reading_of(ids) is Reading.IDS
    assert reading_of(ids.astype(np.uint16) * 200) is Reading.IDS


def test_0_and_255_in_16_or_32_bits_is_one_object_of_8() -> None:
    for encoding, dtype in (('mono16', np.uint16), ('32SC1', np.int32)):
        data = HARD.astype(dtype)
        msg = SimpleNamespace(
            height=120,
            width=160,
            encoding=encoding,
            is_bigendian=0,
            step=data.strides[0],
            data=data.tobytes(),
        )
        labels = read_prompt(decode_labels(msg, 'mask'), 'mask')
        assert labels.dtype == np.uint8  # labels must not become mono16 in mid-stream
        np.testing.assert_array_equal(labels, HARD // 255)


def test_one_object_may_have_any_id() -> None:
    labels = read_prompt(blurred(HARD, 2), 'mask', 300)
    assert labels.dtype == np.uint16
    assert np.unique(labels).tolist() == [0, 300]


def test_a_later_mask_of_0_and_1_in_a_sequence_of_one_object_is_that_object() -> None:
    np.testing.assert_array_equal(to_ids(HARD // 255, Reading.ONE), HARD // 255)


def test_ids_above_254_keep_16_bits() -> None:
    stored = np.array([[0, 300, 255]], np.uint16)
    np.testing.assert_array_equal(to_ids(stored, Reading.IDS), stored)


def test_a_mask_without_object_is_told_from_a_bad_one() -> None:
    with pytest.raises(EmptyMaskError, match='mask is empty'):
        read_prompt(np.zeros((4, 4), np.uint8), 'mask')


def test_soft_edges_are_said_once_a_name(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cv2.imwrite(str(tmp_path / 'soft.png'), cv2.GaussianBlur(HARD, (0, 0), 2))
    with caplog.at_level(logging.WARNING, 'vos_ros'):
        for _ in range(3):
            read_prompt_png(tmp_path / 'soft.png')
    assert [f'{tmp_path}/soft.png' in line for line in caplog.messages] == [True]


def test_soft_edges_as_colour_or_with_alpha_are_read_alike() -> None:
    soft = cv2.GaussianBlur(HARD, (0, 0), 2)
    ways = {
        'colour': np.dstack([soft] * 3),
        'alpha': np.dstack([np.full((120, 160, 3), 255, np.uint8), soft]),
    }
    for name, pixels in ways.items():
        _, data = cv2.imencode('.png', pixels)
        labels = read_prompt(decode_label_png(data.tobytes(), name), name)
        np.testing.assert_array_equal(labels, soft >= 128)


def test_an_error_names_the_mask() -> None:
    with pytest.raises(VosError, match='the third one'):
        read_prompt(np.zeros((4, 4), np.uint8), 'the third one')
