# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
from pathlib import Path
import struct
import zlib

import cv2
from davis_factory import label_map
import numpy as np
import pytest

from vos_ros.errors import VosError
from vos_ros.formats.label_png import (
    davis_palette,
    decode_label_png,
    encode_label_png,
    read_label_png,
    read_prompt_png,
    write_label_png,
)
from vos_ros.formats.masks import ids_in

LABELS = label_map((1, 3, 4, 20, 30), (2, 30, 40, 20, 20), (200, 0, 0, 2, 2))


def chunks(png: bytes) -> dict[bytes, bytes]:
    found, at = {}, 8
    while at < len(png):
        (length,) = struct.unpack_from('>I', png, at)
        kind, body = png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        assert struct.unpack_from('>I', png, at + 8 + length)[0] == zlib.crc32(kind + body)
        found[kind] = body
        at += 12 + length
    return found


def indexed_png(rows: list[list[int]], depth: int) -> bytes:
    """Pack an indexed PNG of less than 8 bits, as image optimizers write it."""
    per_byte = 8 // depth
    raw = b''
    for row in rows:
        padded = row + [0] * (-len(row) % per_byte)
        packed = bytearray(len(padded) // per_byte)
        for x, value in enumerate(padded):
            packed[x // per_byte] |= value << (8 - depth * (x % per_byte + 1))
        raw += b'\0' + bytes(packed)

    def chunk(kind: bytes, body: bytes) -> bytes:
        tail = struct.pack('>I', zlib.crc32(kind + body))
        return struct.pack('>I', len(body)) + kind + body + tail

    header = struct.pack('>IIBBBBB', len(rows[0]), len(rows), depth, 3, 0, 0, 0)
    palette = bytes(davis_palette()[: 1 << depth].tobytes())
    parts = [(b'IHDR', header), (b'PLTE', palette), (b'IDAT', zlib.compress(raw)), (b'IEND', b'')]
    return b'\x89PNG\r\n\x1a\n' + b''.join(chunk(*part) for part in parts)


def test_palette_is_that_of_davis() -> None:
    first = [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0], [0, 0, 128]]
    assert davis_palette()[:5].tolist() == first
    assert davis_palette()[255].tolist() == [224, 224, 192]
    assert len({tuple(colour) for colour in davis_palette().tolist()}) == 256


def test_written_file_is_indexed_with_the_palette(tmp_path: Path) -> None:
    write_label_png(tmp_path / 'new' / '0.png', LABELS)
    data = (tmp_path / 'new' / '0.png').read_bytes()
    parts = chunks(data)
    assert struct.unpack('>IIBB', parts[b'IHDR'][:10]) == (96, 64, 8, 3)
    assert parts[b'PLTE'] == davis_palette().tobytes()
    shown = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert shown is not None
    assert (shown[..., ::-1] == davis_palette()[LABELS]).all()
    assert (read_label_png(tmp_path / 'new' / '0.png') == LABELS).all()


def test_ids_beyond_a_byte_are_written_as_16_bit() -> None:
    labels = LABELS.astype(np.uint16) * 300
    read = decode_label_png(encode_label_png(labels), 'mask')
    assert read.dtype == np.uint16
    assert (read == labels).all()
    small = decode_label_png(encode_label_png(LABELS.astype(np.uint16)), 'mask')
    assert small.dtype == np.uint8


@pytest.mark.parametrize('depth', [1, 2, 4])
def test_indices_of_few_bits_are_read_as_they_are(depth: int) -> None:
    rows = [[(x + y) % (1 << depth) for x in range(7)] for y in range(3)]
    assert decode_label_png(indexed_png(rows, depth), 'mask').tolist() == rows


def test_colours_of_the_palette_are_read_as_ids() -> None:
    done, data = cv2.imencode('.png', np.ascontiguousarray(davis_palette()[LABELS][..., ::-1]))
    assert done
    assert (decode_label_png(data.tobytes(), 'mask') == LABELS).all()


def test_grey_saved_as_colour_is_read_by_value() -> None:
    _, data = cv2.imencode('.png', np.repeat(LABELS[..., None], 3, axis=2))
    assert (decode_label_png(data.tobytes(), 'mask') == LABELS).all()


def test_other_colours_are_refused() -> None:
    _, data = cv2.imencode('.png', np.full((4, 4, 3), (1, 2, 3), np.uint8))
    with pytest.raises(VosError, match=r'mask.*no object ids'):
        decode_label_png(data.tobytes(), 'mask')


def test_jpeg_is_refused_with_the_reason() -> None:
    _, data = cv2.imencode('.jpg', LABELS)
    with pytest.raises(VosError, match='jpeg would change the ids'):
        decode_label_png(data.tobytes(), 'mask')


@pytest.mark.parametrize('kept', [40, 0.5, 0.95])
def test_cut_off_file_is_refused(kept: float) -> None:
    data = encode_label_png(np.random.default_rng(0).integers(0, 9, (64, 96), np.uint8))
    cut = int(kept) if kept > 1 else int(kept * len(data))
    with pytest.raises(VosError, match=r'mask.*damaged'):
        decode_label_png(data[:cut], 'mask')


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(VosError, match=r'nothing\.png'):
        read_label_png(tmp_path / 'nothing.png')


def test_prompt_of_16_bit_keeps_its_ids(tmp_path: Path) -> None:
    write_label_png(tmp_path / 'm.png', LABELS.astype(np.uint16) * 300)
    assert sorted(np.unique(read_prompt_png(tmp_path / 'm.png'))) == [0, 300, 600, 60000]


def test_prompt_without_object_is_refused(tmp_path: Path) -> None:
    write_label_png(tmp_path / 'm.png', label_map())
    with pytest.raises(VosError, match=r'm\.png is empty'):
        read_prompt_png(tmp_path / 'm.png')


def test_prompt_of_zero_and_255_is_object_1(tmp_path: Path) -> None:
    write_label_png(tmp_path / 'm.png', label_map((255, 1, 1, 9, 9)))
    assert (read_prompt_png(tmp_path / 'm.png') == label_map((1, 1, 1, 9, 9))).all()


def test_255_is_an_id_where_there_are_16_bits(tmp_path: Path) -> None:
    labels = np.array([[0, 1, 255], [0, 1, 255]], np.uint16)
    write_label_png(tmp_path / 'm.png', labels)
    stored = read_prompt_png(tmp_path / 'm.png')
    np.testing.assert_array_equal(stored, labels)


def test_ids_beyond_a_byte_are_found() -> None:
    labels = np.zeros((4, 4), np.uint16)
    labels[1, 1], labels[2, 2] = 300, 65535
    assert ids_in(labels) == (300, 65535)


def test_a_mask_in_the_alpha_channel_is_that_and_not_the_whole_image() -> None:
    shape = label_map((255, 10, 10, 20, 20))
    for ink in (0, 255):
        pixels = np.dstack([np.full((*shape.shape, 3), ink, np.uint8), shape])
        _, data = cv2.imencode('.png', pixels)
        np.testing.assert_array_equal(decode_label_png(data.tobytes(), 'mask'), shape)


def test_what_is_transparent_is_no_object() -> None:
    opacity = label_map((255, 1, 3, 20, 30))  # the second and third object are erased
    pixels = np.dstack([davis_palette()[LABELS][..., ::-1], opacity])
    _, data = cv2.imencode('.png', pixels)
    expected = np.where(opacity, LABELS, 0)
    np.testing.assert_array_equal(decode_label_png(data.tobytes(), 'mask'), expected)


def test_one_id_painted_on_nothing_keeps_its_id() -> None:
    opacity = label_map((255, 1, 3, 20, 30))
    pixels = np.dstack([np.full((*opacity.shape, 3), (0, 128, 0), np.uint8), opacity])
    _, data = cv2.imencode('.png', pixels)
    assert np.unique(decode_label_png(data.tobytes(), 'mask')).tolist() == [0, 2]


def test_damage_inside_is_refused() -> None:
    data = bytearray(encode_label_png(LABELS))
    data[-20] ^= 1
    with pytest.raises(VosError, match=r'mask.*damaged'):
        decode_label_png(bytes(data), 'mask')


def test_a_named_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / 'm.png')
    with pytest.raises(VosError, match=r'm\.png: it is no regular file'):
        read_label_png(tmp_path / 'm.png')
