# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Photographs with masks: SET/images/*.jpg and SET/labels/*.png."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
import logging
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from vos_distill.data.files import (
    bytes_of,
    Image,
    is_binary,
    MEMORY_BYTES,
    Pair,
    read_ahead,
    read_pair,
    reduce_to,
    UnusableError,
)
from vos_distill.data.findings import Findings, STRAY, stray_masks
from vos_distill.recipe import MAX_BAD_SHARE
from vos_ros.sequences.folder import list_images

log = logging.getLogger(__name__)


@dataclass
class Still:
    """One annotated photograph: image (H, W, 3) RGB, label (H, W) ids, source folder."""

    image: Image
    label: Image
    source: str


class Stills(Protocol):
    """Photographs: a list of them, or files that are read when they are asked for."""

    def __len__(self) -> int:
        """Count the photographs."""

    def __getitem__(self, index: int, /) -> Still:
        """
        Give one photograph.

        :raises UnusableError: read from the disk, and it cannot be used.
        """


class _StillFiles:
    def __init__(
        self, pairs: Sequence[Pair], short_side: int, findings: dict[str, Findings]
    ) -> None:
        self._pairs = pairs
        self._short_side = short_side
        self._findings = findings

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, index: int, /) -> Still:
        pair = self._pairs[index]
        try:
            return _read_still(pair, self._short_side)
        except UnusableError as error:
            findings = self._findings[_set_of(pair)]
            findings.add(pair[0], str(error))
            findings.check()
            raise


def _set_of(pair: Pair) -> str:
    return pair[0].parent.parent.name


def still_pairs(root: Path) -> list[Pair]:
    return [
        (image, folder.parent / 'labels' / f'{image.stem}.png')
        for folder in sorted(root.glob('*/images'))
        for image in list_images(folder)
    ]


def still_findings(
    root: Path,
    pairs: Sequence[Pair],
    max_bad_share: float = 1.0,
    on_message: Callable[[str], None] | None = None,
) -> dict[str, Findings]:
    sets = Counter(_set_of(pair) for pair in pairs)
    return {name: Findings(root / name, n, max_bad_share, on_message) for name, n in sets.items()}


def name_stray_labels(pairs: Sequence[Pair], findings: dict[str, Findings]) -> None:
    images: dict[Path, set[str]] = {}
    for image, label in pairs:
        images.setdefault(label.parent, set()).add(image.stem)
    for folder, stems in images.items():
        for stray in stray_masks(folder, stems):
            findings[folder.parent.name].add(stray, STRAY.format(stray), bad=0)


def _reduced_pair(image_path: Path, label_path: Path, short_side: int) -> tuple[Image, Image]:
    image, label = read_pair(image_path, label_path)
    return (
        reduce_to(image, short_side, cv2.INTER_AREA),
        reduce_to(label, short_side, cv2.INTER_NEAREST),
    )


def _read_still(pair: Pair, short_side: int) -> Still:
    image, label = _reduced_pair(*pair, short_side)
    if is_binary(label):
        label = (label > 0).astype(np.uint8)
    return Still(image, label, _set_of(pair))


def read_stills(
    pairs: Sequence[Pair], short_side: int, findings: dict[str, Findings]
) -> Iterator[Still]:
    def read(pair: Pair) -> Still:
        return _read_still(pair, short_side)

    for pair, found in read_ahead(read, pairs):
        if isinstance(found, UnusableError):
            findings[_set_of(pair)].add(pair[0], str(found))
        else:
            yield found


def load_stills(
    root: Path,
    short_side: int = 288,
    *,
    memory: int = MEMORY_BYTES,
    max_bad_share: float = MAX_BAD_SHARE,
) -> Stills:
    """
    Open the photographs `root/<set>/images/*` with `root/<set>/labels/*.png`.

    :param short_side: larger photographs are reduced to it, px.
    :param memory: bytes; what would take more is read from the disk each time.
    :param max_bad_share: of each set's photographs that may be unusable.
    :return: the photographs; where they are read from the disk, one that cannot be used raises
        UnusableError when it is asked for.
    :raises ValueError: nothing there, or too much of it unusable.
    """
    pairs = still_pairs(root)
    findings = still_findings(root, pairs, max_bad_share)
    name_stray_labels(pairs, findings)
    if bytes_of(pairs, short_side) > memory:
        log.info('%s: %d photographs are read from the disk as needed', root, len(pairs))
        return _StillFiles(pairs, short_side, findings)
    stills = list(read_stills(pairs, short_side, findings))
    for of_set in findings.values():
        of_set.check()
    if not stills:
        raise ValueError(
            f'{root}: no photographs; expected SET/images/*.jpg and SET/labels/*.png in it'
        )
    return stills
