# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A folder of images as a sequence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
import logging
from pathlib import Path
import re

import cv2

from vos_ros.datatypes import Frame, Image
from vos_ros.errors import VosError
from vos_ros.formats.encoded import check_encoded, OF_FILES
from vos_ros.formats.files import read_bytes, real
from vos_ros.formats.grey import GreyRange
from vos_ros.formats.image_codec import decode_picture

_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp', '.ppm', '.pgm')
_NS = 1_000_000_000
_log = logging.getLogger(__name__)
#: The fraction of a decimal number, a number, or what is none.
_PARTS = re.compile(r'(?<=[0-9])\.[0-9]+|[0-9]+|[^0-9.]+|\.')
#: Longer numbers are told apart by their text.
_MOST_DIGITS = 4000


class FolderSequence:
    """The images of one folder, in natural order of their names: 2.jpg before 10.jpg."""

    def __init__(
        self,
        path: Path | str,
        *,
        name: str = '',
        rate_hz: float = 30.0,
        without: Iterable[Path] = (),
        image_range: tuple[int, int] | None = None,
    ) -> None:
        """
        List the images; none is read yet.

        :param path: of the folder.
        :param name: for reports; the folder's name if empty.
        :param rate_hz: from which the frames' stamps are made.
        :param without: files that are no frames, such as the mask that lies beside them.
        :param image_range: counts of 16 bit images that become black and white; None = by the
            first image.
        :raises VosError: no such folder, no image in it, or two images of one name.
        """
        self.path = Path(path)
        self.name = printable(name or real(self.path).name)
        self.rate_hz = rate_hz
        self.image_range = image_range
        self.without = tuple(without)
        others = {real(file) for file in self.without}
        self.files = tuple(
            file for file in list_images(self.path) if not others or real(file) not in others
        )
        if not self.files:
            raise VosError(
                f'there is no image in {self.path}; images end in {", ".join(_SUFFIXES)}'
            )
        _refuse_twins(self.files)

    @property
    def frame_names(self) -> tuple[str, ...]:
        """The names of the files, without their suffix."""
        return tuple(file.stem for file in self.files)

    def __len__(self) -> int:
        """Count the images."""
        return len(self.files)

    def __iter__(self) -> Iterator[Frame]:
        """
        Read image after image, as rgb8; VosError names a file that cannot be read.

        The first has a stamp of one period, for 0 means unknown.
        """
        grey = GreyRange(self.image_range, str(self.path))
        for index, file in enumerate(self.files):
            yield Frame(read_image(file, grey), stamp_ns=round((index + 1) * _NS / self.rate_hz))


def list_images(path: Path) -> tuple[Path, ...]:
    """
    List the image files directly in a folder, in natural order; hidden ones are left out.

    :param path: of a folder.
    :raises VosError: the folder cannot be read.
    """
    try:
        entries = list(path.iterdir())
    except OSError as error:
        raise VosError(f'cannot read the folder {path}: {error.strerror}') from error
    images = [
        entry
        for entry in entries
        if entry.suffix.lower() in _SUFFIXES and not entry.name.startswith('.')
    ]
    return tuple(sorted(images, key=natural_key))


@lru_cache(maxsize=64)
def _warn_turned(folder: str, orientation: int) -> None:
    """Say once of a folder: a mask of the same size, drawn on the picture as stored, is wrong."""
    _log.warning(
        'images in %s are turned as their Exif orientation (%d) says; a mask must be drawn on the '
        'turned picture, as viewers show it',
        folder,
        orientation,
    )


def printable(name: str) -> str:
    """
    Replace the bytes of a name that are no UTF-8.

    :param name: of a file, as Python reads it.
    """
    return name.encode('utf-8', 'surrogateescape').decode('utf-8', 'replace')


def _refuse_twins(files: tuple[Path, ...]) -> None:
    """Refuse images that differ in their suffix only: their masks would have one name."""
    seen: dict[str, Path] = {}
    for file in files:
        other = seen.setdefault(file.stem, file)
        if other is not file:
            raise VosError(
                f'{other.name} and {file.name} in {file.parent} are two images of one name, so '
                'their masks would be one file; keep one of each'
            )


def natural_key(path: Path) -> tuple[tuple[int, int, str], ...]:
    """
    Order names as people do, numbers by their value, decimal ones too: 1.25 before 1.5.

    :param path: only its name counts.
    """
    key: list[tuple[int, int, str]] = []
    for part in _PARTS.findall(path.stem):
        if part[0] == '.' and part[1:].isdecimal():
            key.append((3, 0, part))  # behind its whole number alone; digits count one by one
        elif part.isdecimal():
            key.append((0, int(part[:_MOST_DIGITS]), part))
        else:
            key.append((1, 0, part))
    return (*key, (2, 0, path.suffix))


def read_image(path: Path, grey: GreyRange | None = None) -> Image:
    """
    Read one image.

    :param path: of a jpeg, png, bmp, tiff, webp, ppm or pgm file.
    :param grey: the stretch of 16 bits to 8; None = one for this image alone.
    :return: (H, W, 3) uint8 rgb8.
    :raises VosError: missing, no image, cut off, damaged, or too large; names the path.
    """
    data = read_bytes(path, 'image')
    pixels = decode_picture(data, f'the image {path}', grey, of_file=True)
    header = check_encoded(data, f'the image {path}', OF_FILES)
    if header.orientation > 1:
        _warn_turned(str(path.parent), header.orientation)
    image: Image = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)  # type: ignore[assignment]
    return image
