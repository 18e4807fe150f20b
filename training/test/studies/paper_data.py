# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Drawn data in the tree of `docs/paper_table.md`: a disc or two before a patchwork of colours."""

import json
from pathlib import Path

import cv2
import numpy as np

from vos_ros.formats.label_png import write_label_png

WIDTH_PX, HEIGHT_PX = 112, 80
FLAT_SETS = ('BIG_small', 'HRSOD_small', 'DUTS-TR', 'DUTS-TE', 'ecssd')
STILLS = 2  # in each of them
FSS_CLASSES = ('bird', 'cup')
YOUTUBE, UNCLEAN = ('0a1b', '0c2d', '0e3f'), '0c2d'
_Image = np.ndarray


def draw_paper_data(root: Path) -> None:
    """Write `static`, `davis2017`, `youtube2019`, `yv_subset.txt` and `BL30K` below a folder."""
    rng = np.random.default_rng(0)
    folders = [*(n for n in FLAT_SETS for _ in range(STILLS)), *(f'fss/{c}' for c in FSS_CLASSES)]
    for number, folder in enumerate(folders):
        image, label = _frames(rng, 1)[0]
        path = root / 'static' / folder / f'{number}.jpg'
        _write_image(path, image)
        # as the sets have it: grey, with soft edges
        shades = cv2.GaussianBlur((label > 0) * np.uint8(255), (0, 0), 1.0)
        cv2.imwrite(str(path.with_suffix('.png')), shades)
    for name in ('bear', 'dog', 'goat'):
        _write_clip(root / 'davis2017', '480p/' + name, _frames(rng, 12))
    lists = root / 'davis2017' / 'ImageSets' / '2017'
    lists.mkdir(parents=True)
    (lists / 'train.txt').write_text('bear\ndog\n')
    (lists / 'val.txt').write_text('goat\n')
    for name in ('scene_0', 'scene_1'):
        _write_clip(root / 'BL30K', name, _frames(rng, 12))
    videos = {}
    for name in YOUTUBE:
        stems = _write_clip(root / 'youtube2019' / 'train', name, _frames(rng, 9), step=5)
        objects = {str(k): {'category': 'disc', 'frames': stems} for k in (1, 2)}
        videos[name] = {'objects': objects}
    (root / 'youtube2019' / 'train' / 'meta.json').write_text(json.dumps({'videos': videos}))
    clean = [name for name in YOUTUBE if name != UNCLEAN]
    (root / 'yv_subset.txt').write_text('\n'.join(clean) + '\n')


def _frames(rng: np.random.Generator, count: int) -> list[tuple[_Image, _Image]]:
    patches = rng.integers(0, 255, (5, 7, 3), dtype=np.uint8)
    scene = cv2.resize(patches, (WIDTH_PX, HEIGHT_PX), interpolation=cv2.INTER_CUBIC)
    colours = rng.integers(0, 255, (2, 3)).tolist()
    places, speeds = rng.uniform(0.25, 0.75, (2, 2)), rng.normal(0, 0.02, (2, 2))
    frames = []
    for t in range(count):
        image, label = scene.copy(), np.zeros(scene.shape[:2], np.uint8)
        for index in (0, 1):
            x, y = places[index] + t * speeds[index]
            centre = (round(x * WIDTH_PX), round(y * HEIGHT_PX))
            cv2.circle(image, centre, 16 - 3 * index, colours[index], -1)
            cv2.circle(label, centre, 16 - 3 * index, index + 1, -1)
        frames.append((image, label))
    return frames


def _write_image(path: Path, image: _Image) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)


def _write_clip(
    root: Path, name: str, frames: list[tuple[_Image, _Image]], step: int = 1
) -> list[str]:
    stems = [f'{number * step:05d}' for number in range(len(frames))]
    for stem, (image, label) in zip(stems, frames, strict=True):
        _write_image(root / 'JPEGImages' / name / f'{stem}.jpg', image)
        write_label_png(root / 'Annotations' / name / f'{stem}.png', label)
    return stems
