# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Small data sets in DAVIS's layout, drawn with known motion."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from vos_ros.datatypes import LabelMap
from vos_ros.formats.label_png import write_label_png

SIZE = (64, 96)


def label_map(*boxes: tuple[int, int, int, int, int], size: tuple[int, int] = SIZE) -> LabelMap:
    """Paint boxes (id, top, left, height, width) on a map."""
    labels: LabelMap = np.zeros(size, np.uint8)
    for object_id, top, left, height, width in boxes:
        labels[top : top + height, left : left + width] = object_id
    return labels


def textured(labels: LabelMap, shift: int = 0) -> npt.NDArray[np.uint8]:
    """Make an image in which every object carries a texture of its own, moved by shift px."""
    rng = np.random.default_rng(0)
    image = cv2.GaussianBlur(rng.integers(0, 90, (*labels.shape, 3), np.uint8), (0, 0), 1.0)
    pattern = cv2.GaussianBlur(rng.integers(60, 255, (*labels.shape, 3), np.uint8), (0, 0), 1.5)
    moved = np.roll(pattern, shift, axis=1)
    image[labels != 0] = moved[labels != 0]
    return np.asarray(image, np.uint8)


def write_image(path: Path, image: npt.NDArray[np.uint8]) -> None:
    """Write rgb."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))


def write_sequence(
    root: Path, name: str, maps: list[LabelMap | None], resolution: str = '480p'
) -> None:
    """Write one image per map, and the map where there is one."""
    known: LabelMap | None = None
    for index, labels in enumerate(maps):
        known = known if labels is None else labels
        assert known is not None
        image = textured(known, shift=2 * index)
        write_image(root / 'JPEGImages' / resolution / name / f'{index:05d}.jpg', image)
        if labels is not None:
            path = root / 'Annotations' / resolution / name / f'{index:05d}.png'
            write_label_png(path, labels)


def moving(object_id: int, frames: int, step: int = 2) -> list[LabelMap | None]:
    """Give a box that moves to the right."""
    return [label_map((object_id, 20, 10 + step * i, 20, 24)) for i in range(frames)]
