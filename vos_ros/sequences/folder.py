# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A folder of images as a sequence."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
import re

import cv2
import numpy as np

from vos_ros.datatypes import Frame, Image
from vos_ros.errors import VosError

_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp', '.ppm', '.pgm')
_JPEG_START_OF_SCAN, _JPEG_END = b'\xff\xda', b'\xff\xd9'
_NS = 1_000_000_000


class FolderSequence:
    """The images of one folder, in natural order of their names: 2.jpg before 10.jpg."""

    def __init__(self, path: Path | str, *, name: str = '', rate_hz: float = 30.0) -> None:
        """
        List the images; none is read yet.

        :param path: of the folder.
        :param name: for reports; the folder's name if empty.
        :param rate_hz: from which the frames' stamps are made.
        :raises VosError: no such folder, or no image in it.
        """
        self.path = Path(path)
        self.name = name or self.path.resolve().name
        self.rate_hz = rate_hz
        self.files = list_images(self.path)
        if not self.files:
            raise VosError(
                f'there is no image in {self.path}; images end in {", ".join(_SUFFIXES)}'
            )

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
        for index, file in enumerate(self.files):
            yield Frame(read_image(file), stamp_ns=round((index + 1) * _NS / self.rate_hz))


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


def natural_key(path: Path) -> tuple[tuple[int, int, str], ...]:
    """
    Order names as people do, numbers by their value.

    :param path: only its name counts.
    """
    parts = re.findall(r'[0-9]+|[^0-9]+', path.stem)
    key = tuple((0, int(p), p) if p.isdecimal() else (1, 0, p) for p in parts)
    return (*key, (2, 0, path.suffix))


def read_image(path: Path) -> Image:
    """
    Read one image.

    :param path: of any format that OpenCV reads.
    :return: (H, W, 3) uint8 rgb8.
    :raises VosError: missing, no image, or cut off; names the path.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise VosError(f'cannot read the image {path}: {error.strerror}') from error
    pixels = None
    if data and not _is_truncated(data):
        try:
            pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        except cv2.error:
            pixels = None
    if pixels is None:
        raise VosError(
            f'the image {path} is damaged or no image ({len(data)} bytes); replace or remove it'
        )
    image: Image = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)  # type: ignore[assignment]
    return image


def _is_truncated(data: bytes) -> bool:
    """Find files cut off in copying, which OpenCV would show as half grey pictures."""
    if data.startswith(b'\xff\xd8'):
        return data.rfind(_JPEG_END) < data.rfind(_JPEG_START_OF_SCAN)
    return data.startswith(b'\x89PNG') and b'IEND' not in data
