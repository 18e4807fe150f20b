# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The one place where encoded images come in: files, bags and topics alike.

The header is read first, so that a few hundred kilobytes which announce 400 million pixels cost
nothing. What was cut off or damaged on the way is refused: decoders show it as a picture that is
half grey, and the objects are lost on it.
"""

from __future__ import annotations

import re
import struct
from typing import Any, NamedTuple
import zlib

import cv2
import numpy as np
import numpy.typing as npt

from vos_ros.errors import VosError

#: What a topic or a bag may hold: the formats of image_transport's compressed plugin.
PROMISED = ('jpeg', 'png')
#: What a file may hold besides.
OF_FILES = (*PROMISED, 'bmp', 'tiff', 'webp', 'pnm')
#: Largest image that is decoded, px, unless :func:`limit_pixels` was called: twice an 8K camera's.
#: Decoded it takes 200 MB.
MOST_PIXELS = 1 << 26

_PNG = b'\x89PNG\r\n\x1a\n'
_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b'\xff\xd8\xff', 'jpeg'),
    (_PNG, 'png'),
    (b'BM', 'bmp'),
    (b'II*\0', 'tiff'),
    (b'MM\0*', 'tiff'),
    (b'GIF8', 'gif'),
    (b'\0\0\0\x0cjP  ', 'jpeg 2000'),
    (b'\xff\x4f\xff\x51', 'jpeg 2000'),
    (b'#?', 'hdr'),
    (b'v/1\x01', 'openexr'),
)
# The config header of image_transport's compressedDepth plugin stands before its PNG.
_DEPTH_HEADER = 12
_SOF = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_SOS, _EOI, _DRI, _APP1 = 0xDA, 0xD9, 0xDD, 0xE1
_PROGRESSIVE = {0xC2, 0xC6, 0xCA, 0xCE}
# Zeros in a row that only a lost packet leaves, or a flat picture.
_HOLE = bytes(32)
# Put before the end of a scan, it changes whatever had no data of its own.
_PROBE = bytes((37 * k + 11) % 251 for k in range(512))
_ORIENTATION = 0x0112


class Header(NamedTuple):
    """
    What an encoded image announces.

    :param kind: 'jpeg', 'png', 'bmp', 'tiff', 'webp' or 'pnm'.
    :param height: px.
    :param width: px.
    :param depth: bits of a channel; 0 = not looked up.
    :param orientation: by Exif, 1 = upright; the decoder turns the picture accordingly.
    """

    kind: str
    height: int
    width: int
    depth: int = 0
    orientation: int = 1


def limit_pixels(most: int) -> None:
    """
    Set how large an image may be that this process decodes, whatever brings it.

    Of the whole process, as its memory is.

    :param most: px.
    """
    global MOST_PIXELS
    MOST_PIXELS = most


def check_pixels(height: int, width: int, name: str) -> None:
    """
    Refuse an image that is larger than any camera's.

    :param height: px.
    :param width: px.
    :param name: what to call it in the error.
    :raises VosError: more than MOST_PIXELS, or none.
    """
    if height < 1 or width < 1:
        raise VosError(f'{name} is {width}x{height}: it is empty')
    if height * width > MOST_PIXELS:
        raise VosError(
            f'{name} is {width}x{height}, larger than the {MOST_PIXELS / 1e6:.3g} million pixels '
            'that are taken; make it smaller (memory.budget_mib limits it, too)'
        )


def check_encoded(data: Any, name: str, kinds: tuple[str, ...] = PROMISED) -> Header:
    """
    Read the header of an encoded image, and find out whether all of it is there.

    A JPEG may have lost data inside and still end as it should; that shows only when it is
    decoded, see :func:`decode`.

    :param data: bytes, or what gives a view of them.
    :param name: what to call it in an error.
    :param kinds: formats that are taken.
    :raises VosError: another format, cut off, damaged, or too large.
    """
    view = memoryview(data).cast('B')
    kind = _sniff(view)
    if kind not in kinds:
        raise VosError(_wrong_kind(view, kind, name, kinds))
    try:
        header = _READERS[kind](view)
    except (struct.error, ValueError, IndexError, RecursionError) as error:
        raise _damaged(name, len(view), str(error)) from None
    check_pixels(header.height, header.width, name)
    return header


def decode(data: Any, name: str, flags: int, header: Header) -> Any:
    """
    Decode an encoded image, and find out whether data are missing inside.

    :param data: bytes, or what gives a view of them.
    :param name: what to call it in an error.
    :param flags: OpenCV's.
    :param header: what :func:`check_encoded` said of it.
    :return: (H, W) or (H, W, C), as OpenCV gives it.
    :raises VosError: it cannot be decoded, or data are missing.
    """
    size = memoryview(data).nbytes
    pixels = _decoded(np.frombuffer(data, np.uint8), flags)
    if pixels is None:
        raise _damaged(name, size, 'it cannot be decoded')
    if header.kind == 'jpeg' and _has_gap(memoryview(data).cast('B'), pixels, flags):
        raise _damaged(name, size, 'data are missing inside')
    return pixels


def _decoded(data: npt.NDArray[np.uint8], flags: int) -> Any:
    try:
        return cv2.imdecode(data, flags)
    except cv2.error:
        return None


def _damaged(name: str, size: int, reason: str) -> VosError:
    return VosError(
        f'{name} is cut off or damaged and cannot be decoded ({reason}; {size} bytes); '
        'send or write it again'
    )


def _sniff(view: memoryview) -> str:
    head = bytes(view[:16])
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    if head.startswith(b'RIFF') and head[8:12] == b'WEBP':
        return 'webp'
    if re.match(rb'P[1-6]\s', head):
        return 'pnm'
    return ''


def _wrong_kind(view: memoryview, kind: str, name: str, kinds: tuple[str, ...]) -> str:
    known = f'{", ".join(kinds[:-1])} or {kinds[-1]}'
    if not len(view):
        return f'{name} is empty and cannot be decoded; {known} is wanted'
    if bytes(view[_DEPTH_HEADER : _DEPTH_HEADER + len(_PNG)]) == _PNG:
        return (
            f'{name} is compressedDepth and cannot be decoded; take the raw depth image '
            '(image_transport republish compressedDepth raw), or the compressed colour image'
        )
    what = f'is {kind}' if kind else 'is no image of a known format'
    return f'{name} {what} and cannot be decoded ({len(view)} bytes); use {known}'


# JPEG


def _jpeg(view: memoryview) -> Header:
    """Walk over the segments; ITU T.81, annex B."""
    at, size, frame, orientation = 2, len(view), 0, 1
    height = width = depth = interval = 0
    sampling: list[int] = []
    coverage: dict[int, set[int]] = {}
    while True:
        if view[at] != 0xFF:
            raise ValueError('no marker where one must stand')
        while view[at] == 0xFF:
            at += 1
        marker = view[at]
        at += 1
        if marker == _EOI:
            break
        (length,) = struct.unpack_from('>H', view, at)
        body = view[at + 2 : at + length]
        if length < 2 or len(body) < length - 2:
            raise ValueError('it is cut off')
        if marker in _SOF:
            frame = marker
            depth, height, width = struct.unpack_from('>BHH', body)
            sampling = [body[7 + 3 * k] for k in range(body[5])]
            _check_announced(height, width)
        elif marker == _DRI:
            (interval,) = struct.unpack_from('>H', body)
        elif marker == _APP1 and bytes(body[:6]) == b'Exif\0\0':
            orientation = _exif_orientation(body[6:])
        at += length
        if marker != _SOS:
            continue
        end, restarts = _scan_end(view, at)
        if end < 0:
            raise ValueError('it is cut off' if at < size else 'there are no pixels in it')
        if not frame:
            raise ValueError('a scan comes before its size')
        _note_scan(coverage, body)
        if interval and frame not in _PROGRESSIVE and body[0] == len(sampling):
            _check_restarts(restarts, interval, _mcus(height, width, sampling))
        at = end
    if not height or not coverage:
        raise ValueError('there are no pixels in it')
    if frame in _PROGRESSIVE and not all(len(got) == 64 for got in coverage.values()):
        raise ValueError('a scan is missing')
    if len(coverage) < len(sampling):
        raise ValueError('a colour is missing')
    return Header('jpeg', height, width, depth, orientation)


def _check_announced(height: int, width: int) -> None:
    # Said as a size, not as damage: nothing of the pixels needs to be looked at.
    if height * width > MOST_PIXELS:
        check_pixels(height, width, 'the image')


def _note_scan(coverage: dict[int, set[int]], body: memoryview) -> None:
    """Note which coefficients of which component came to their last bit."""
    count = body[0]
    first, last, bits = body[1 + 2 * count], body[2 + 2 * count], body[3 + 2 * count]
    for k in range(count):
        got = coverage.setdefault(body[1 + 2 * k], set())
        if bits & 15 == 0:
            got.update(range(first, last + 1))


def _mcus(height: int, width: int, sampling: list[int]) -> int:
    if len(sampling) == 1:
        return -(-width // 8) * -(-height // 8)
    across = 8 * max(s >> 4 for s in sampling)
    down = 8 * max(s & 15 for s in sampling)
    return -(-width // across) * -(-height // down)


def _scan_end(view: memoryview, at: int) -> tuple[int, list[int]]:
    """
    Find the marker that ends entropy-coded data.

    :param at: where they begin.
    :return: its place, -1 = there is none; and the numbers of the restart markers before it.
    """
    data = np.frombuffer(view, np.uint8, offset=at)
    places = np.flatnonzero(data[:-1] == 0xFF)
    after = data[places + 1]
    is_restart = (after & 0xF8) == 0xD0
    # Neither a stuffed zero, nor filling, nor a restart.
    ends = np.flatnonzero((after != 0) & (after != 0xFF) & ~is_restart)
    if not len(ends):
        return -1, []
    return at + int(places[ends[0]]), (after[: ends[0]][is_restart[: ends[0]]] & 7).tolist()


def _check_restarts(found: list[int], interval: int, mcus: int) -> None:
    wanted = -(-mcus // interval) - 1
    if len(found) != wanted or any(mark != k % 8 for k, mark in enumerate(found)):
        raise ValueError(f'{len(found)} of {wanted} restart markers are in their place')


def _exif_orientation(exif: memoryview) -> int:
    """Read the orientation; whatever is odd in there does not matter."""
    try:
        order = '<' if bytes(exif[:2]) == b'II' else '>'
        (at,) = struct.unpack_from(f'{order}I', exif, 4)
        (count,) = struct.unpack_from(f'{order}H', exif, at)
        for k in range(min(count, 64)):
            tag, _, _, value = struct.unpack_from(f'{order}HHIH', exif, at + 2 + 12 * k)
            if tag == _ORIENTATION and 1 <= value <= 8:
                return int(value)
    except struct.error:
        pass
    return 1


def _has_gap(view: memoryview, pixels: Any, flags: int) -> bool:
    """
    Find a scan that ended before its last block, or long after it.

    A decoder leaves blocks without data grey. Bytes put before the end would be their data, so
    such a picture then comes out another; a whole one stays as it is. And what is whole must
    change where its last bytes are others. To decode once more is for pictures that look like
    it: grey in the last block, or zeros in a row; and for those of several scans.
    """
    last = pixels[-1 - (pixels.shape[0] - 1) % 8 :, -1 - (pixels.shape[1] - 1) % 8 :]
    scans = _scans(view)
    begin, end = scans[-1]
    hole = any(bytes(view[a:b]).find(_HOLE) >= 0 for a, b in scans)
    if not (hole or len(scans) > 1 or (last == 128).all()):
        return False
    parts: list[memoryview | bytes] = []
    at = 0
    for _, stop in scans:
        parts += [view[at:stop], _PROBE]
        at = stop
    more = _decoded(_joined(*parts, view[at:]), flags)
    if more is None or not np.array_equal(more, pixels):
        return True
    if not hole:
        return False
    # Of a flat picture the code may know one symbol: then nothing can change it.
    kept = max(begin, end - max(64, (end - begin) // 64))
    less, none = (_decoded(_joined(view[:k], _PROBE, view[end:]), flags) for k in (kept, begin))
    return np.array_equal(less, pixels) and not np.array_equal(none, pixels)


def _joined(*parts: memoryview | bytes) -> npt.NDArray[np.uint8]:
    return np.frombuffer(b''.join(parts), np.uint8)


def _scans(view: memoryview) -> list[tuple[int, int]]:
    """Return where the entropy-coded data of each scan begin and end."""
    at = 2
    found: list[tuple[int, int]] = []
    while True:
        while view[at] == 0xFF:
            at += 1
        marker = view[at]
        at += 1
        if marker == _EOI:
            return found
        (length,) = struct.unpack_from('>H', view, at)
        at += length
        if marker == _SOS:
            end, _ = _scan_end(view, at)
            found.append((at, end))
            at = end


# PNG and what else a file may hold


def _png(view: memoryview) -> Header:
    """Check every chunk by its checksum; PNG specification, section 5."""
    at, header, has_pixels = len(_PNG), None, False
    while True:
        length, kind = struct.unpack_from('>I4s', view, at)
        if header is None:
            if kind != b'IHDR' or length != 13:
                raise ValueError('its header is missing')
            width, height, depth = struct.unpack_from('>IIB', view, at + 8)
            header = Header('png', height, width, depth)
            if height * width > MOST_PIXELS:
                return header
        (expected,) = struct.unpack_from('>I', view, at + 8 + length)
        if zlib.crc32(view[at + 4 : at + 8 + length]) != expected:
            raise ValueError('a checksum is wrong')
        has_pixels |= kind == b'IDAT' and length > 0
        at += 12 + length
        if kind == b'IEND':
            break
    if not has_pixels:
        raise ValueError('there are no pixels in it')
    return header


def _bmp(view: memoryview) -> Header:
    (size,) = struct.unpack_from('<I', view, 14)
    width, height = struct.unpack_from('<HH' if size == 12 else '<ii', view, 18)
    (offset,) = struct.unpack_from('<I', view, 10)
    if offset >= len(view):
        raise ValueError('it is cut off')
    return Header('bmp', abs(height), abs(width))


def _tiff(view: memoryview) -> Header:
    order = '<' if view[0] == ord('I') else '>'
    (at,) = struct.unpack_from(f'{order}I', view, 4)
    (count,) = struct.unpack_from(f'{order}H', view, at)
    found = {}
    for k in range(count):
        entry = at + 2 + 12 * k
        tag, kind = struct.unpack_from(f'{order}HH', view, entry)
        (found[tag],) = struct.unpack_from(f'{order}{"H" if kind == 3 else "I"}', view, entry + 8)
    if 256 not in found or 257 not in found:
        raise ValueError('its size is missing')
    depth = found.get(258, 8)
    return Header('tiff', found[257], found[256], depth if depth in (8, 16) else 0)


def _webp(view: memoryview) -> Header:
    (size,) = struct.unpack_from('<I', view, 4)
    if size + 8 > len(view):
        raise ValueError('it is cut off')
    kind = bytes(view[12:16])
    if kind == b'VP8 ':
        width, height = (side & 0x3FFF for side in struct.unpack_from('<HH', view, 26))
    elif kind == b'VP8L':
        (bits,) = struct.unpack_from('<I', view, 21)
        width, height = (bits & 0x3FFF) + 1, ((bits >> 14) & 0x3FFF) + 1
    else:
        width, height = (int.from_bytes(view[k : k + 3], 'little') + 1 for k in (24, 27))
    return Header('webp', height, width, 8)


def _pnm(view: memoryview) -> Header:
    head = re.sub(rb'#[^\n]*\n', b'', bytes(view[:1024]))
    numbers = re.match(rb'P([1-6])\s+(\d+)\s+(\d+)\s+(\d+)?', head)
    if numbers is None:
        raise ValueError('its size is missing')
    kind, width, height = (int(numbers[k]) for k in (1, 2, 3))
    top = int(numbers[4] or 1) if kind not in (1, 4) else 1
    depth = 16 if top > 255 else 8
    if kind in (5, 6) and height * width <= MOST_PIXELS:
        needed = height * width * (3 if kind == 6 else 1) * depth // 8
        if len(view) < needed:
            raise ValueError('it is cut off')
    return Header('pnm', height, width, depth)


_READERS = {
    'jpeg': _jpeg,
    'png': _png,
    'bmp': _bmp,
    'tiff': _tiff,
    'webp': _webp,
    'pnm': _pnm,
}
