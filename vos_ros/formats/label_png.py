# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Label maps as PNG files: indexed, with the palette of DAVIS.

OpenCV can neither write an indexed PNG nor read one as indices (it gives
colours). But indices and grey values are stored alike: only the header says
what they mean. So the header is exchanged here and OpenCV does the rest,
which needs no further library. Pillow can do both, but the robot would have to
install it, and at its usual compression it takes twice the time to write: the
chunks here are 20 lines.
"""

from __future__ import annotations

from pathlib import Path
import struct
from typing import Any
import zlib

import cv2
import numpy as np
import numpy.typing as npt

from vos_ros.datatypes import LabelMap
from vos_ros.errors import VosError
from vos_ros.formats.encoded import check_encoded, decode
from vos_ros.formats.files import read_bytes
from vos_ros.formats.masks import read_prompt, VOID

_SIGNATURE = b'\x89PNG\r\n\x1a\n'
_GREY, _INDEXED = 0, 3


def davis_palette() -> npt.NDArray[np.uint8]:
    """Give the palette of DAVIS (that of PASCAL VOC): (256, 3) uint8, RGB; row 0 is black."""
    ids = np.arange(256)
    colours = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            digit = (ids >> (3 * bit + channel)) & 1
            colours[:, channel] |= (digit << (7 - bit)).astype(np.uint8)
    return colours


def encode_label_png(label_map: LabelMap) -> bytes:
    """
    Encode a label map: indexed with DAVIS's palette, or 16 bit grey where an id exceeds 254.

    :param label_map: (H, W) uint8 or uint16.
    """
    if label_map.dtype != np.uint8 and int(label_map.max(initial=0)) < VOID:
        label_map = label_map.astype(np.uint8)
    done, data = cv2.imencode('.png', label_map)
    if not done:
        raise VosError(f'a label map of {label_map.shape} {label_map.dtype} cannot be written')
    png = bytes(data)
    if label_map.dtype != np.uint8:
        return png
    header, rest = png[16:29], png[33:]
    header = header[:9] + bytes([_INDEXED]) + header[10:]
    palette = _chunk(b'PLTE', davis_palette().tobytes())
    return _SIGNATURE + _chunk(b'IHDR', header) + palette + rest


def write_label_png(path: Path, label_map: LabelMap) -> None:
    """
    Write a label map, and the folders above it where they are missing.

    :param path: of the file, ending in .png.
    :param label_map: (H, W) uint8 or uint16.
    :raises VosError: the file cannot be written.
    """
    data = encode_label_png(label_map)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except OSError as error:
        raise VosError(f'cannot write {path}: {error.strerror}; choose another folder') from error


def decode_label_png(data: bytes, name: str) -> LabelMap:
    """
    Decode the numbers of a label image, as they are stored.

    Indexed images give their indices, grey ones their values, colour ones the
    id of each colour in DAVIS's palette (grey painted as RGB: its value). What
    is transparent is no object; one colour in which only the transparency
    differs is an object with the opacity as its shade.

    :param data: content of a PNG file.
    :param name: what to call it in an error.
    :return: (H, W) uint8 or uint16.
    :raises VosError: not a PNG, damaged, or colours which stand for no id.
    """
    if len(data) < 33 or not data.startswith(_SIGNATURE):
        raise VosError(
            f'{name} is not a PNG file; save the mask as PNG with an object id per pixel '
            '(jpeg would change the ids)'
        )
    header = check_encoded(data, name, ('png',))
    depth, kind = data[24], data[25]
    if kind == _INDEXED:
        data = _as_grey(data)
    pixels: Any = decode(data, name, cv2.IMREAD_UNCHANGED, header)
    if pixels.ndim == 3:
        return _from_colours(pixels, name)
    if kind == _INDEXED and depth < 8:
        pixels = pixels // (255 // ((1 << depth) - 1))  # the decoder spread them over 0..255
    labels: LabelMap = pixels
    return labels


def read_label_png(path: Path) -> LabelMap:
    """
    Read the numbers of a label image; see :func:`decode_label_png`.

    :param path: of a PNG file.
    :raises VosError: there is no such file, or it is no label image; names the path.
    """
    return decode_label_png(read_bytes(path, 'mask'), f'the mask {path}')


def read_prompt_png(path: Path, object_id: int = 1) -> LabelMap:
    """
    Read a mask that names objects: ids 1, 2, ... or one object, hard or soft.

    :param path: of a PNG file, 8 or 16 bit.
    :param object_id: the object which a mask of one object means.
    :return: (H, W) uint8 or uint16, 0 = background, at least one object.
    :raises VosError: unreadable, or no object in it.
    """
    return read_prompt(read_label_png(path), f'the mask {path}', object_id)


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack('>I', len(body)) + kind + body + struct.pack('>I', zlib.crc32(kind + body))


def _as_grey(data: bytes) -> bytes:
    """Rewrite an indexed PNG so that its indices are read as grey values."""
    header = data[16:25] + bytes([_GREY]) + data[26:29]
    kept = [_SIGNATURE, _chunk(b'IHDR', header)]
    at = 33
    while at + 12 <= len(data):
        (length,) = struct.unpack_from('>I', data, at)
        end = at + 12 + length
        if data[at + 4 : at + 8] in (b'IDAT', b'IEND'):
            kept.append(data[at:end])
        at = end
    return b''.join(kept)


def _from_colours(pixels: npt.NDArray[Any], name: str) -> LabelMap:
    """Find the ids of a label map that some tool has saved as a colour picture (BGR)."""
    colours = pixels[..., :3]
    opacity = pixels[..., 3] if pixels.shape[2] == 4 else None
    if opacity is not None and (opacity != opacity.flat[0]).any():
        painted = opacity > 0
        if (colours[painted] == colours[painted][:1]).all():
            ink = int(_ids_of(colours[painted][:1][None], name)[0, 0])
            if ink in (0, int(np.iinfo(pixels.dtype).max)):  # black or white, or anything
                return np.ascontiguousarray(opacity)
        full = np.iinfo(pixels.dtype).max
        colours = np.where((opacity > full // 2)[..., None], colours, np.zeros_like(colours))
    return _ids_of(colours, name)


def _ids_of(colours: npt.NDArray[Any], name: str) -> LabelMap:
    """Return the value of each grey pixel, or the id of each colour (BGR) in the palette."""
    if (colours == colours[..., :1]).all():
        return np.ascontiguousarray(colours[..., 0])
    if colours.dtype == np.uint8:
        weights = np.array([1 << 16, 1 << 8, 1])
        known = davis_palette()[:, ::-1] @ weights
        order = np.argsort(known)
        codes = colours @ weights
        place = np.searchsorted(known, codes, sorter=order).clip(max=255)
        ids = order[place]
        if (known[ids] == codes).all():
            found: LabelMap = ids.astype(np.uint8)
            return found
    raise VosError(
        f'{name} is a colour picture whose colours stand for no object ids; save the mask as '
        'a grey or indexed PNG with an object id per pixel'
    )
