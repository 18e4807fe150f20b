# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Label maps as PNG files: indexed, with the palette of DAVIS.

OpenCV can neither write an indexed PNG nor read one as indices (it gives
colours). But indices and grey values are stored alike: only the header says
what they mean. So the header is exchanged here and OpenCV does the rest,
which needs no further library.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
import struct
from typing import Any
import zlib

import cv2
import numpy as np
import numpy.typing as npt

from vos_ros.datatypes import LabelMap
from vos_ros.errors import VosError

#: Void in a label map of 8 bits, as in DAVIS: never an object. With 16 bits an id as any other.
VOID = 255
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
    id of each colour in DAVIS's palette (grey painted as RGB: its value).

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
    depth, kind = data[24], data[25]
    if kind == _INDEXED:
        data = _as_grey(data)
    pixels: Any = None
    if b'IEND' in data[-64:]:  # OpenCV may return a truncated file as a half black picture
        with suppress(cv2.error):
            pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise VosError(f'{name} is damaged and cannot be read; write the mask again')
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
    try:
        data = path.read_bytes()
    except OSError as error:
        raise VosError(f'cannot read the mask {path}: {error.strerror}') from error
    return decode_label_png(data, str(path))


def present_ids(label_map: LabelMap) -> tuple[int, ...]:
    """
    List the ids in a label map, ascending, without the background.

    :param label_map: (H, W) uint8 or uint16.
    """
    # Counting is some 30 times faster than sorting all pixels (np.unique).
    return tuple(int(k) for k in np.flatnonzero(np.bincount(label_map.ravel())) if k)


def is_binary(label_map: LabelMap) -> bool:
    """
    Tell a binary mask (0 and 255 only, as thresholding and DAVIS-2016 write it) from ids.

    A mask of 0 and 1 only is the same either way, and one without any object is not binary.

    :param label_map: (H, W) uint8 or uint16.
    """
    top = np.iinfo(label_map.dtype).max
    high, zeros = np.count_nonzero(label_map == top), np.count_nonzero(label_map == 0)
    return bool(high > 0 and high + zeros == label_map.size)


def to_object_ids(label_map: LabelMap, *, binary: bool) -> LabelMap:
    """
    Read stored numbers as object ids: a binary mask is object 1, else 255 of 8 bits is void, 0.

    :param label_map: (H, W) uint8 or uint16; not changed.
    :param binary: as :func:`is_binary` says of the file, or of the sequence.
    """
    labels: LabelMap
    if binary:
        labels = (label_map != 0).astype(np.uint8)
        return labels
    if label_map.dtype != np.uint8 or not (label_map == VOID).any():
        return label_map
    labels = label_map.copy()
    labels[labels == VOID] = 0
    return labels


def read_prompt_png(path: Path) -> LabelMap:
    """
    Read a mask that names objects: ids 1, 2, ... or one binary object.

    :param path: of a PNG file, 8 or 16 bit.
    :return: (H, W) uint8 or uint16, 0 = background, at least one object.
    :raises VosError: unreadable, or no object in it.
    """
    stored = read_label_png(path)
    labels = to_object_ids(stored, binary=is_binary(stored))
    if not labels.any():
        raise VosError(
            f'the mask {path} is empty: no pixel belongs to an object; paint at least one '
            'object with its id (1, 2, ...) or with 255'
        )
    return labels


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
    if pixels.dtype == np.uint8:
        colours = pixels[..., :3]
        if (colours == colours[..., :1]).all():
            return colours[..., 0].astype(np.uint8)
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
