# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
What holds for every image and every mask, whatever its size, padding and byte order.

The expected values come from NumPy, pixel by pixel, and not from what is tested. The examples are
the same in every run.
"""

from __future__ import annotations

from contextlib import suppress
import io
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip('hypothesis', reason='hypothesis is not installed: pip install hypothesis')

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from vos_ros.datatypes import LabelMap
from vos_ros.errors import VosError
from vos_ros.formats.grey import GreyRange
from vos_ros.formats.image_codec import (
    decode_compressed_image,
    decode_image,
    decode_labels,
)
from vos_ros.formats.label_png import decode_label_png, encode_label_png
from vos_ros.formats.masks import read_prompt

settings.register_profile('repeatable', derandomize=True, deadline=None, database=None)
settings.load_profile('repeatable')

Array = npt.NDArray[Any]
#: encoding -> places of blue, green and red in a stored pixel
ORDERS = {
    **dict.fromkeys(('rgb8', 'rgb16'), (2, 1, 0)),
    **dict.fromkeys(('bgr8', '8UC3', 'bgr16', '16UC3'), (0, 1, 2)),
    **dict.fromkeys(('rgba8', 'rgba16'), (2, 1, 0)),
    **dict.fromkeys(('bgra8', '8UC4', 'bgra16', '16UC4'), (0, 1, 2)),
    **dict.fromkeys(('mono8', '8UC1', 'mono16', '16UC1'), (0, 0, 0)),
}
COLOURS_8 = [name for name in ORDERS if '16' not in name]
COLOURS_16 = [name for name in ORDERS if '16' in name]
PATTERNS = {  # place in a 2x2 cell -> channel of bgr
    'rggb': ((2, 1), (1, 0)),
    'bggr': ((0, 1), (1, 2)),
    'gbrg': ((1, 0), (2, 1)),
    'grbg': ((1, 2), (0, 1)),
}

sides = st.integers(1, 17)
seeds = st.integers(0, 2**32 - 1)
paddings = st.integers(0, 9)


def channels_of(encoding: str) -> int:
    if encoding.startswith(('mono', '8UC1', '16UC1')):
        return 1
    return 4 if 'a' in encoding or encoding.endswith('C4') else 3


def message(
    stored: Array,
    encoding: str,
    *,
    padding: int = 0,
    is_big: bool = False,
    cuts_end: bool = False,
    height: int = 0,
) -> SimpleNamespace:
    """Make an image message, row by row; what stands in its padding is noise."""
    ordered = stored.astype(stored.dtype.newbyteorder('>' if is_big else '<'))
    noise = bytes((37 * k + 91) % 256 for k in range(padding))
    rows = [row.tobytes() + noise for row in ordered.reshape(len(stored), -1)]
    data = b''.join(rows)
    return SimpleNamespace(
        height=height or len(stored),
        width=stored.shape[1],
        encoding=encoding,
        is_bigendian=int(is_big),
        step=len(rows[0]),
        data=data[: len(data) - padding] if cuts_end else data,
    )


def noise(seed: int, shape: tuple[int, ...], most: int = 255) -> Array:
    dtype = np.uint8 if most < 256 else np.uint16
    return np.random.default_rng(seed).integers(0, most + 1, shape, dtype)


def bgr_of(msg: Any, grey: GreyRange | None = None) -> Array:
    pixels, encoding = decode_image(msg, grey)
    return pixels if encoding == 'bgr8' else pixels[..., ::-1]


# Images


@given(st.sampled_from(COLOURS_8), sides, sides, paddings, st.booleans(), st.booleans(), seeds)
def test_colours_of_8_bits_are_what_is_stored(
    encoding: str, height: int, width: int, padding: int, is_big: bool, cuts: bool, seed: int
) -> None:
    stored = noise(seed, (height, width, channels_of(encoding)))
    msg = message(stored, encoding, padding=padding, is_big=is_big, cuts_end=cuts)
    np.testing.assert_array_equal(bgr_of(msg), stored[..., ORDERS[encoding]])


@given(
    st.sampled_from(COLOURS_16),
    *(sides, sides, paddings, st.booleans(), seeds),
    st.integers(0, 65000),
    st.integers(1, 65535),
)
@example('mono16', 4, 1, 0, False, 0, 0, 1)  # OpenCV takes it for one pixel of four channels
def test_colours_of_16_bits_are_stretched_between_the_limits(
    encoding: str,
    height: int,
    width: int,
    padding: int,
    is_big: bool,
    seed: int,
    low: int,
    span: int,
) -> None:
    high = min(65535, low + span)
    stored = noise(seed, (height, width, channels_of(encoding)), 65535)
    msg = message(stored, encoding, padding=padding, is_big=is_big)
    expected = ((stored.astype(float) - low) * 255 / (high - low)).clip(0, 255)
    found = bgr_of(msg, GreyRange((low, high))).astype(float)
    np.testing.assert_allclose(found, expected[..., ORDERS[encoding]], atol=0.5001)


@given(st.integers(1, 9), st.integers(1, 9), paddings, seeds)
def test_yuv_of_any_order_and_padding_is_one_picture(
    height: int, half_width: int, padding: int, seed: int
) -> None:
    width = 2 * half_width
    luma, chroma = noise(seed, (height, width)), noise(seed + 1, (height, width))
    uyvy = np.stack([chroma, luma], axis=-1)
    pictures = [
        bgr_of(message(stored, encoding, padding=gap))
        for gap in (0, padding)
        for stored, encoding in (
            *((uyvy, name) for name in ('yuv422', 'uyvy')),
            *((uyvy[..., ::-1], name) for name in ('yuv422_yuy2', 'yuyv')),
        )
    ]
    for picture in pictures[1:]:
        np.testing.assert_array_equal(picture, pictures[0])
    grey = bgr_of(message(np.stack([np.full_like(luma, 128), luma], axis=-1), 'uyvy'))
    expected = ((luma.astype(float) - 16) * 255 / 219).clip(0, 255)
    np.testing.assert_allclose(grey, expected[..., None].repeat(3, -1), atol=1.0)


@given(st.integers(1, 8), st.integers(1, 8), paddings, seeds)
def test_nv12_and_nv21_are_one_picture(
    half_height: int, half_width: int, padding: int, seed: int
) -> None:
    height, width = 2 * half_height, 2 * half_width
    luma, chroma = noise(seed, (height, width)), noise(seed + 1, (half_height, half_width, 2))
    swapped = chroma[..., ::-1]
    nv12 = np.vstack([luma, chroma.reshape(half_height, width)])
    nv21 = np.vstack([luma, swapped.reshape(half_height, width)])
    first = bgr_of(message(nv12, 'nv12', height=height))
    assert first.shape == (height, width, 3)
    for stored, encoding in ((nv12, 'nv12'), (nv21, 'nv21')):
        msg = message(stored, encoding, padding=padding, height=height)
        np.testing.assert_array_equal(bgr_of(msg), first)


@given(
    st.sampled_from(sorted(PATTERNS)),
    st.booleans(),
    st.integers(3, 8),
    st.integers(3, 8),
    paddings,
    st.booleans(),
    st.tuples(*[st.integers(0, 255)] * 3),
)
def test_a_bayer_pattern_of_one_colour_shows_that_colour(
    pattern: str,
    is_deep: bool,
    half_height: int,
    half_width: int,
    padding: int,
    is_big: bool,
    colour: tuple[int, int, int],
) -> None:
    cell = np.array(colour)[np.array(PATTERNS[pattern])]
    stored = np.tile(cell, (half_height, half_width)).astype(np.uint16 if is_deep else np.uint8)
    if is_deep:
        stored = np.multiply(stored, 257, dtype=np.uint16)
    encoding = f'bayer_{pattern}{16 if is_deep else 8}'
    msg = message(stored, encoding, padding=padding, is_big=is_big)
    inner = bgr_of(msg, GreyRange((0, 65535)))[2:-2, 2:-2].astype(int)
    assert np.abs(inner - colour).max() <= 1


@given(st.integers(1, 17), st.integers(1, 17), seeds)
def test_a_png_from_a_topic_is_what_was_encoded(height: int, width: int, seed: int) -> None:
    stored = noise(seed, (height, width, 3))
    data = cv2.imencode('.png', stored)[1].tobytes()
    found = decode_compressed_image(SimpleNamespace(data=data, format='png'))
    np.testing.assert_array_equal(found, stored)
    deep = noise(seed, (height, width), 65535)
    data = cv2.imencode('.png', deep)[1].tobytes()
    limits = (1000, 50_000)
    found = decode_compressed_image(SimpleNamespace(data=data, format='png'), GreyRange(limits))
    expected = bgr_of(message(deep, 'mono16'), GreyRange(limits))
    np.testing.assert_array_equal(found, expected)


@given(
    st.sampled_from([*COLOURS_8, *COLOURS_16, 'yuyv', 'nv12', 'bayer_rggb8', '32FC1', '']),
    *[st.one_of(st.integers(0, 40), st.sampled_from([2**16, 2**31, 2**32 - 1]))] * 3,
    st.integers(0, 4000),
    st.integers(0, 255),
)
def test_fields_that_do_not_fit_are_refused_and_nothing_else_happens(
    encoding: str, height: int, width: int, step: int, length: int, is_big: int
) -> None:
    msg = SimpleNamespace(
        height=height,
        width=width,
        step=step,
        encoding=encoding,
        is_bigendian=is_big,
        data=bytes(length),
    )
    with suppress(VosError):
        pixels, _ = decode_image(msg)
        assert pixels.shape == (height, width, 3)
        assert length >= (height - 1) * step + width
    with suppress(VosError):
        assert decode_labels(msg, 'a mask').shape == (height, width)


# Masks


@st.composite
def ids_on(draw: Any, most: int) -> LabelMap:
    """Draw rectangles of at most eleven ids: no shades, whatever their order."""
    height, width = draw(st.integers(2, 24)), draw(st.integers(2, 24))
    labels: LabelMap = np.zeros((height, width), np.uint8 if most < 256 else np.uint16)
    for object_id in draw(st.lists(st.integers(1, most), min_size=1, max_size=11)):
        top, left = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
        bottom, right = draw(st.integers(top, height)), draw(st.integers(left, width))
        labels[top : bottom + 1, left : right + 1] = object_id
    return labels


ENCODINGS = {'mono8': 'u1', '8UC1': 'u1', 'mono16': 'u2', '16UC1': 'u2', '32SC1': 'i4'}


@given(st.data(), st.sampled_from(sorted(ENCODINGS)), paddings, st.booleans(), st.booleans())
def test_ids_on_a_topic_are_what_is_stored(
    data: Any, encoding: str, padding: int, is_big: bool, cuts: bool
) -> None:
    kind = np.dtype(ENCODINGS[encoding])
    labels = data.draw(ids_on(249 if kind.itemsize == 1 else 60_000))
    stored = labels.astype(kind)
    msg = message(stored, encoding, padding=padding, is_big=is_big, cuts_end=cuts)
    found = read_prompt(decode_labels(msg, 'the mask'), 'the mask')
    np.testing.assert_array_equal(found, labels)
    assert found.dtype == (np.uint8 if labels.max() < 255 else np.uint16)


@given(ids_on(249), st.integers(0, 23), st.integers(0, 23), st.integers(1, 6))
def test_255_beside_ids_is_void(labels: LabelMap, top: int, left: int, side: int) -> None:
    """Ids lie in areas of eight pixels at least, and are more than what is void."""
    height, width = labels.shape
    top, left = top % height, left % width
    labels[top : top + side, left : left + side] = 255
    low, void = np.count_nonzero((labels > 0) & (labels < 255)), np.count_nonzero(labels == 255)
    assume(low > void)
    labels = np.kron(labels, np.ones((8, 8), np.uint8)).astype(np.uint8)
    found = read_prompt(decode_labels(message(labels, 'mono8'), 'the mask'), 'the mask')
    np.testing.assert_array_equal(found, np.where(labels == 255, 0, labels))


@given(
    st.sampled_from([('mono8', 255), ('mono16', 255), ('mono16', 65535), ('32SC1', 65535)]),
    st.integers(1, 20),
    st.integers(1, 20),
    st.integers(1, 65535),
    st.booleans(),
    seeds,
)
def test_nothing_but_0_and_full_scale_is_one_object(
    kind: tuple[str, int], height: int, width: int, object_id: int, is_big: bool, seed: int
) -> None:
    encoding, full = kind
    inside = noise(seed, (height, width), 1)
    assume(inside.any())
    stored = (inside.astype(np.int64) * full).astype(ENCODINGS[encoding])
    msg = message(stored, encoding, is_big=is_big)
    found = read_prompt(decode_labels(msg, 'the mask'), 'the mask', object_id)
    np.testing.assert_array_equal(found, inside.astype(np.int64) * object_id)


@given(st.one_of(ids_on(255), ids_on(65535)))
def test_a_png_of_ids_is_written_and_read_without_a_change(labels: LabelMap) -> None:
    found = decode_label_png(encode_label_png(labels), 'a mask')
    np.testing.assert_array_equal(found, labels)


@given(ids_on(255), seeds)
def test_an_indexed_png_gives_its_indices_whatever_its_colours(
    labels: LabelMap, seed: int
) -> None:
    pillow = pytest.importorskip('PIL.Image', reason='needs Pillow')
    picture = pillow.fromarray(labels.astype(np.uint8), mode='P')
    picture.putpalette(noise(seed, (768,)).tolist())
    sink = io.BytesIO()
    picture.save(sink, 'PNG')
    np.testing.assert_array_equal(decode_label_png(sink.getvalue(), 'a mask'), labels)


@given(
    st.integers(8, 25),
    st.floats(0.6, 2.5),
    st.integers(30, 90),
    st.integers(30, 130),
    st.sampled_from(['mono8', 'mono16', '32SC1']),
)
def test_a_soft_edge_is_one_object_cut_at_the_half(
    radius: int, sigma_px: float, y: int, x: int, encoding: str
) -> None:
    hard = np.zeros((120, 160), np.uint8)
    cv2.circle(hard, (x, y), radius, 255, -1)
    soft = cv2.GaussianBlur(hard, (0, 0), sigma_px).astype(ENCODINGS[encoding])
    found = read_prompt(decode_labels(message(soft, encoding), 'the mask'), 'the mask', 7)
    np.testing.assert_array_equal(found, (soft >= 128) * 7)
