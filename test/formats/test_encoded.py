# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Encoded images: whole, of a promised format, and of a size that a camera has."""

from __future__ import annotations

from collections.abc import Callable
import struct
from types import SimpleNamespace
from typing import Any
import zlib

import cv2
import numpy as np
import pytest

from vos_ros.errors import VosError
from vos_ros.formats.encoded import check_encoded, OF_FILES
from vos_ros.formats.image_codec import decode_compressed_image, decode_picture
from vos_ros.formats.label_png import decode_label_png

RNG = np.random.default_rng(0)
SCENE = np.asarray(
    cv2.GaussianBlur(RNG.integers(0, 255, (240, 320, 3), np.uint8), (0, 0), 3), np.uint8
)
KINDS = {
    'baseline': [cv2.IMWRITE_JPEG_QUALITY, 90],
    'optimised': [cv2.IMWRITE_JPEG_OPTIMIZE, 1],
    'progressive': [cv2.IMWRITE_JPEG_PROGRESSIVE, 1],
    'with restarts': [cv2.IMWRITE_JPEG_RST_INTERVAL, 5],
}
DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    'cut': lambda data: data[: len(data) * 6 // 10],
    'cut and ended': lambda data: data[: len(data) * 6 // 10] + b'\xff\xd9',
    'cut near its end and ended': lambda data: data[: len(data) * 98 // 100] + b'\xff\xd9',
}
INSIDE: dict[str, Callable[[bytes], bytes]] = {
    'a packet is missing': lambda data: data[: len(data) // 2] + data[len(data) // 2 + 2000 :],
    'a packet is zeros': lambda data: (
        data[: len(data) // 2] + bytes(2000) + data[len(data) // 2 + 2000 :]
    ),
}


def jpeg(pixels: Any, options: list[int]) -> bytes:
    _, data = cv2.imencode('.jpg', pixels, options)
    return data.tobytes()


def png(pixels: Any, suffix: str = '.png') -> bytes:
    _, data = cv2.imencode(suffix, pixels)
    return data.tobytes()


def compressed(data: bytes) -> SimpleNamespace:
    return SimpleNamespace(data=data, format='x')


@pytest.mark.parametrize('options', KINDS.values(), ids=KINDS)
@pytest.mark.parametrize('value', [0, 128, 255, None], ids=['black', 'grey', 'white', 'scene'])
def test_a_whole_jpeg_is_decoded(options: list[int], value: int | None) -> None:
    pixels = SCENE if value is None else np.full_like(SCENE, value)
    found = decode_compressed_image(compressed(jpeg(pixels, options) + b'padding'))
    assert np.abs(found.astype(int) - pixels).mean() < 3


@pytest.mark.parametrize('size', [(1, 1), (7, 9), (17, 33), (240, 321)])
def test_a_jpeg_of_any_size_is_decoded(size: tuple[int, int]) -> None:
    pixels = np.full((*size, 3), 128, np.uint8)
    assert decode_compressed_image(compressed(jpeg(pixels, []))).shape == (*size, 3)


@pytest.mark.parametrize('options', KINDS.values(), ids=KINDS)
@pytest.mark.parametrize('damage', DAMAGE.values(), ids=DAMAGE)
def test_a_cut_jpeg_is_refused(options: list[int], damage: Callable[[bytes], bytes]) -> None:
    with pytest.raises(VosError, match=r'cut off or damaged'):
        decode_compressed_image(compressed(damage(jpeg(SCENE, options))))


@pytest.mark.parametrize('kind', ['baseline', 'optimised', 'with restarts'])
@pytest.mark.parametrize('damage', INSIDE.values(), ids=INSIDE)
def test_a_jpeg_that_lost_a_packet_is_refused(kind: str, damage: Callable[[bytes], bytes]) -> None:
    with pytest.raises(VosError, match=r'cut off or damaged'):
        decode_compressed_image(compressed(damage(jpeg(SCENE, KINDS[kind]))))


def test_a_progressive_jpeg_without_its_last_scans_is_refused() -> None:
    data = jpeg(SCENE, KINDS['progressive'])
    third = [at for at in range(len(data)) if data.startswith(b'\xff\xda', at)][2]
    with pytest.raises(VosError, match='a scan is missing'):
        decode_compressed_image(compressed(data[:third] + b'\xff\xd9'))


@pytest.mark.parametrize('way', ['cut', 'cut and ended', 'one bit', 'a chunk is missing'])
def test_a_damaged_png_is_refused(way: str) -> None:
    data = png(SCENE)
    if way.startswith('cut'):
        data = data[: len(data) // 2] + (png(SCENE)[-12:] if way != 'cut' else b'')
    elif way == 'one bit':
        data = (
            data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :]
        )
    else:
        at = data.index(b'IDAT') - 4
        (length,) = struct.unpack_from('>I', data, at)
        data = data[:at] + data[at + 12 + length :]
    with pytest.raises(VosError, match=r'cut off or damaged'):
        decode_compressed_image(compressed(data))


@pytest.mark.parametrize('suffix', ['.bmp', '.tiff', '.webp', '.ppm', '.hdr', '.jp2'])
def test_a_topic_takes_jpeg_and_png_only(suffix: str) -> None:
    pixels = SCENE.astype(np.float32) if suffix == '.hdr' else SCENE
    with pytest.raises(VosError, match='use jpeg or png'):
        decode_compressed_image(compressed(png(pixels, suffix)))


def test_gif_and_text_are_named_or_not_known() -> None:
    with pytest.raises(VosError, match='is gif'):
        decode_compressed_image(compressed(b'GIF89a' + bytes(50)))
    with pytest.raises(VosError, match='no image of a known format'):
        decode_compressed_image(compressed(b'<svg xmlns="http://www.w3.org/2000/svg"/>'))


def test_compressed_depth_is_named() -> None:
    with pytest.raises(VosError, match='compressedDepth'):
        decode_compressed_image(compressed(bytes(12) + png(SCENE)))


@pytest.mark.parametrize('suffix', ['.bmp', '.tiff', '.webp', '.ppm', '.pgm', '.png', '.jpg'])
def test_a_file_may_be_of_more_formats(suffix: str) -> None:
    pixels = SCENE[..., 0] if suffix == '.pgm' else SCENE
    data = png(np.ascontiguousarray(pixels), suffix)
    header = check_encoded(data, 'x', OF_FILES)
    assert (header.height, header.width) == (240, 320)
    assert decode_picture(data, 'x', None, of_file=True).shape == (240, 320, 3)


def bomb(side: int) -> bytes:
    """Write a PNG of zeros, side x side, of which each row is in the file."""
    row = zlib.compressobj(9)
    body = b''.join(row.compress(bytes(side + 1)) for _ in range(side)) + row.flush()

    def chunk(kind: bytes, content: bytes) -> bytes:
        tail = struct.pack('>I', zlib.crc32(kind + content))
        return struct.pack('>I', len(content)) + kind + content + tail

    header = struct.pack('>IIBBBBB', side, side, 8, 0, 0, 0, 0)
    parts = [(b'IHDR', header), (b'IDAT', body), (b'IEND', b'')]
    return b'\x89PNG\r\n\x1a\n' + b''.join(chunk(*part) for part in parts)


def test_an_image_of_too_many_pixels_is_refused_before_it_is_decoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = bomb(8200)

    def never(*_: object) -> None:
        raise AssertionError('it was decoded')

    monkeypatch.setattr(cv2, 'imdecode', never)
    reads: list[Callable[[], object]] = [
        lambda: decode_compressed_image(compressed(data)),
        lambda: decode_label_png(data, 'the mask'),
        lambda: decode_picture(data, 'the image', None, of_file=True),
    ]
    for read in reads:
        with pytest.raises(VosError, match=r'is 8200x8200, larger than the 67\.1 million pixels'):
            read()


@pytest.mark.parametrize('suffix', ['.bmp', '.tiff', '.webp', '.ppm', '.png', '.jpg'])
def test_no_cut_makes_another_error_than_ours(suffix: str) -> None:
    data = png(SCENE, suffix)
    for length in [*range(60), *range(60, len(data), max(1, len(data) // 200))]:
        try:
            found = decode_picture(data[:length], 'x', None, of_file=True)
        except VosError:
            continue
        assert suffix in ('.bmp', '.tiff')
        assert found.shape == SCENE.shape
