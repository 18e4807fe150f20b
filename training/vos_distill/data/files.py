# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Images, masks and confidences, one file at a time, and what of them cannot be used.

A mask is a PNG with an object id for every pixel: 0 background, 1..254 objects in any order and
with gaps, 255 void (never an object, not judged). A mask of 0 and 255 alone is one object, which
gets id 1. 16 bit is accepted as long as no id is above 255, and so is a colour picture in DAVIS's
own palette. A grey picture (a mask with soft edges, a photograph) is refused.

Beside its mask a frame may have a confidence: a grey PNG, 255 = sure, 0 = void.

What cannot be used is named once with its path and left out. Where that is more than a share of a
set, or nothing is left, loading stops: it would train on something else than was asked for. Small
sets are read at once and checked in full. A set above the byte budget is read from the disk frame
by frame, and its frames are checked when they are first read.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from vos_ros.datatypes import LabelMap
from vos_ros.errors import VosError
from vos_ros.formats.label_png import read_label_png
from vos_ros.formats.masks import Reading, reading_of, to_ids, VOID
from vos_ros.sequences.folder import read_image

Image = npt.NDArray[np.uint8]
Pair = tuple[Path, Path]  # of an image and its mask
#: What a set may take in memory; a larger one is read from the disk as needed.
MEMORY_BYTES = 2 << 30
#: Suffixes of photographs that may have a mask beside them, which is a PNG of the same name.
JPEG = ('.jpg', '.jpeg')
_MOST_IDS = 100  # in one map; the regions of BSDS500 come to less than 60
_THREADS = 2
_T = TypeVar('_T')


class UnusableError(ValueError):
    """A file that cannot be used; the message names it and says why."""


def read_pair(
    image_path: Path, label_path: Path, read: Callable[[Path], Image] | None = None
) -> tuple[Image, Image]:
    """
    Read an image (RGB) and its label map (ids).

    :param read: what reads the label map; None = `read_label`.
    :raises UnusableError: a file is missing or corrupt, or the sizes differ; names the path.
    """
    image = read_photo(image_path)
    label = (read or read_label)(label_path)
    if label.shape != image.shape[:2]:
        raise UnusableError(
            f'{label_path}: is {label.shape[1]}x{label.shape[0]} but its image is '
            f'{image.shape[1]}x{image.shape[0]}'
        )
    return image, label


def read_photo(path: Path) -> Image:
    """
    Read an image, (H, W, 3) RGB.

    :raises UnusableError: missing, cut off or no image; names the path.
    """
    try:
        return read_image(path)
    except VosError as error:
        raise UnusableError(str(error)) from error


def is_binary(stored: LabelMap) -> bool:
    """
    Tell a mask of 0 and 255 alone from ids.

    :param stored: (H, W) uint8 or uint16.
    """
    return reading_of(stored) is Reading.ONE


def read_mask(path: Path) -> Image:
    """
    Read a mask of one object, (H, W) 0 or 1; shades are cut at half of full scale.

    :raises UnusableError: missing, damaged, or colours other than grey.
    """
    return to_ids(_stored(path), Reading.ONE).astype(np.uint8)


def _stored(path: Path) -> LabelMap:
    if not path.exists():
        raise UnusableError(f'{path}: there is no such mask')
    try:
        return read_label_png(path)
    except VosError as error:
        raise UnusableError(str(error)) from error


def read_label(path: Path) -> Image:
    """
    Read a label map as it is stored, (H, W): see the head of this module.

    :raises UnusableError: missing, damaged, not ids, or an id that 8 bits do not hold; a grey
        picture.
    """
    stored = _stored(path)
    if stored.dtype != np.uint8:
        if is_binary(stored):
            return (stored > 0) * np.uint8(VOID)
        if int(stored.max(initial=0)) > VOID:
            raise UnusableError(
                f'{path}: id {int(stored.max())} is out of range; ids are 1..254, 255 is void'
            )
    label = stored.astype(np.uint8)
    _refuse_grey(label, path)
    return label


def read_confidence(path: Path, size: tuple[int, ...] | None = None) -> Image:
    """
    Read how sure a mask is of each pixel, (H, W), 255 = sure, 0 = void.

    :param size: (H, W) of the mask; None = any.
    :raises UnusableError: damaged, not grey with 8 bits, or of another size; names the path.
    """
    stored = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if stored is None:
        raise UnusableError(f'{path}: damaged or no image')
    if stored.dtype != np.uint8 or stored.ndim != 2:
        raise UnusableError(f'{path}: a confidence must be a grey picture with 8 bits')
    if size is not None and stored.shape != size:
        raise UnusableError(
            f'{path}: is {stored.shape[1]}x{stored.shape[0]} but its mask is {size[1]}x{size[0]}'
        )
    return stored.astype(np.uint8)


def _refuse_grey(label: Image, path: Path) -> None:
    """
    Refuse what is no map of ids: far too many of them, or most without any inside.

    An object has a pixel whose neighbours are all its own; a shade in a soft edge has none. In the
    label maps of DAVIS, BSDS500, CCP and PASCAL-S at most two thirds of the ids had none.
    """
    ids = _ids_of(label)
    if len(ids) < 3:
        return
    square = np.ones((3, 3), np.uint8)
    inside = label[cv2.erode(label, square) == cv2.dilate(label, square)]
    thin = len(ids - _ids_of(inside))
    if len(ids) > _MOST_IDS or (thin >= 3 and thin >= 0.75 * len(ids)):
        raise UnusableError(
            f'{path}: looks like a grey picture or a mask with soft edges ({len(ids)} ids, {thin} '
            'of them only thin lines or dots); threshold it to 0 and 255, or save ids'
        )


def _ids_of(label: Image) -> set[int]:
    present = np.flatnonzero(np.bincount(label.ravel(), minlength=VOID)[:VOID])
    return set(present.tolist()) - {0}


def reduce_to(image: Image, short_side: int, interpolation: int) -> Image:
    """Reduce an image or a label map until its short side is so long; never enlarge, px."""
    scale = short_side / min(image.shape[:2])
    if scale >= 1:
        return image
    size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    return cv2.resize(image, size, interpolation=interpolation).astype(np.uint8)


def read_ahead(
    read: Callable[[Pair], _T], pairs: Sequence[Pair]
) -> Iterator[tuple[Pair, _T | UnusableError]]:
    """Read with a few threads; in order, errors as values."""

    def attempt(pair: Pair) -> _T | UnusableError:
        try:
            return read(pair)
        except UnusableError as error:
            return error

    with ThreadPoolExecutor(_THREADS) as pool:
        yield from zip(pairs, pool.map(attempt, pairs), strict=True)


def bytes_of(pairs: Sequence[Pair], short_side: int, planes: int = 4) -> int:
    """Estimate the size in memory, so many bytes a pixel, from the first readable image."""
    for image_path, _ in pairs:
        try:
            image = reduce_to(read_photo(image_path), short_side, cv2.INTER_NEAREST)
        except UnusableError:
            continue
        return len(pairs) * image.shape[0] * image.shape[1] * planes
    return 0
