# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Photographs with masks, in one of three layouts for each set.

- `SET/images/*` and `SET/labels/*.png`;
- `SET/*.jpg` with `*.png` beside them, as STCN has DUTS, ECSSD, BIG and HRSOD;
- `SET/CLASS/*.jpg` with `*.png` beside them, as STCN has FSS-1000.

A mask beside its photograph is one object, cut at half of full scale, as STCN reads it: such
masks may have soft edges, or be colour pictures of a grey mask.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
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
    JPEG,
    MEMORY_BYTES,
    Pair,
    read_ahead,
    read_label,
    read_mask,
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
        self, root: Path, pairs: Sequence[Pair], short_side: int, findings: dict[str, Findings]
    ) -> None:
        self._root = root
        self._pairs = pairs
        self._short_side = short_side
        self._findings = findings

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, index: int, /) -> Still:
        pair = self._pairs[index]
        try:
            return _read_still(self._root, pair, self._short_side)
        except UnusableError as error:
            findings = self._findings[_set_of(self._root, pair)]
            findings.add(pair[0], str(error))
            findings.check()
            raise


def _set_of(root: Path, pair: Pair) -> str:
    return pair[0].relative_to(root).parts[0]


def still_pairs(root: Path) -> list[Pair]:
    """
    List image and mask of all photographs, set by set; a mask need not be there.

    :param root: holds a folder for each set, in one of the layouts of this module.
    """
    pairs: list[Pair] = []
    for folder in _folders(root):
        if (folder / 'images').is_dir():
            pairs += [
                (image, folder / 'labels' / f'{image.stem}.png')
                for image in list_images(folder / 'images')
            ]
            continue
        for one in (folder, *_folders(folder)):
            pairs += _side_by_side(one)
    return pairs


def _folders(root: Path) -> list[Path]:
    return sorted(p for p in root.iterdir() if p.is_dir()) if root.is_dir() else []


def _side_by_side(folder: Path) -> list[Pair]:
    """List the photographs of a folder that has masks beside them; else none."""
    images = [p for p in list_images(folder) if p.suffix.lower() in JPEG]
    pairs = [(image, image.with_suffix('.png')) for image in images]
    return pairs if any(mask.exists() for _, mask in pairs) else []


def still_findings(
    root: Path,
    pairs: Sequence[Pair],
    max_bad_share: float = 1.0,
    on_message: Callable[[str], None] | None = None,
) -> dict[str, Findings]:
    sets = Counter(_set_of(root, pair) for pair in pairs)
    return {name: Findings(root / name, n, max_bad_share, on_message) for name, n in sets.items()}


def name_stray_labels(root: Path, pairs: Sequence[Pair], findings: dict[str, Findings]) -> None:
    images: dict[Path, set[str]] = {}
    for image, label in pairs:
        images.setdefault(label.parent, set()).add(image.stem)
    for folder, stems in images.items():
        for stray in stray_masks(folder, stems):
            findings[folder.relative_to(root).parts[0]].add(stray, STRAY.format(stray), bad=0)


def _reduced_pair(image_path: Path, label_path: Path, short_side: int) -> tuple[Image, Image]:
    is_beside = image_path.parent == label_path.parent
    image, label = read_pair(image_path, label_path, read_mask if is_beside else read_label)
    return (
        reduce_to(image, short_side, cv2.INTER_AREA),
        reduce_to(label, short_side, cv2.INTER_NEAREST),
    )


def _read_still(root: Path, pair: Pair, short_side: int) -> Still:
    image, label = _reduced_pair(*pair, short_side)
    if is_binary(label):
        label = (label > 0).astype(np.uint8)
    return Still(image, label, _set_of(root, pair))


def read_stills(
    root: Path, pairs: Sequence[Pair], short_side: int, findings: dict[str, Findings]
) -> Iterator[Still]:
    def read(pair: Pair) -> Still:
        return _read_still(root, pair, short_side)

    for pair, found in read_ahead(read, pairs):
        if isinstance(found, UnusableError):
            findings[_set_of(root, pair)].add(pair[0], str(found))
        else:
            yield found


def load_stills(
    root: Path,
    short_side: int = 288,
    *,
    memory: int = MEMORY_BYTES,
    max_bad_share: float = MAX_BAD_SHARE,
    repeats: Mapping[str, int] | None = None,
) -> Stills:
    """
    Open the photographs of all sets in a folder, in the layouts of this module.

    :param short_side: larger photographs are reduced to it, px.
    :param memory: bytes; what would take more is read from the disk each time.
    :param max_bad_share: of each set's photographs that may be unusable.
    :param repeats: times that each photograph of a set is given, by the set's folder; 1 for the
        others.
    :return: the photographs; where they are read from the disk, one that cannot be used raises
        UnusableError when it is asked for.
    :raises ValueError: nothing there, or too much of it unusable; a set of `repeats` is not there.
    """
    pairs = still_pairs(root)
    findings = still_findings(root, pairs, max_bad_share)
    name_stray_labels(root, pairs, findings)
    times = repeats or {}
    if missing := sorted(set(times) - set(findings)):
        raise ValueError(
            f'{root}: still_repeats names {", ".join(missing)}, which is no set there; '
            f'there are {", ".join(findings) or "none"}'
        )
    if bytes_of(pairs, short_side) > memory:
        log.info('%s: %d photographs are read from the disk as needed', root, len(pairs))
        repeated = [p for p in pairs for _ in range(times.get(_set_of(root, p), 1))]
        return _StillFiles(root, repeated, short_side, findings)
    stills = list(read_stills(root, pairs, short_side, findings))
    for of_set in findings.values():
        of_set.check()
    if not stills:
        raise ValueError(
            f'{root}: no photographs; expected SET/images/*.jpg and SET/labels/*.png in it, or '
            'SET/*.jpg (SET/CLASS/*.jpg) with *.png beside them'
        )
    return [still for still in stills for _ in range(times.get(still.source, 1))]
