# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Every example runs as its head says, as a user would start it."""

from __future__ import annotations

import os
from pathlib import Path
import re
import subprocess
import sys

import cv2
import numpy as np
import pytest

from vos_ros.formats.label_png import read_label_png, write_label_png

ROOT = Path(__file__).resolve().parents[1]
TINY = Path(__file__).parent / 'data' / 'tiny'
FRAMES = 4
HEIGHT, WIDTH = 60, 90  # no multiples of 16: masks must come back at this size all the same


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    images = tmp_path / 'images'
    images.mkdir()
    random = np.random.default_rng(0)
    for number in range(FRAMES):
        picture = random.integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
        cv2.imwrite(str(images / f'{number:03d}.png'), picture)
    return images


def _mask(path: Path, object_id: int) -> Path:
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    labels[10:40, 20 * object_id : 20 * object_id + 20] = object_id
    write_label_png(path, labels)
    return path


def _run(script: str, *arguments: Path | str) -> str:
    done = _start(script, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _start(script: str, *arguments: Path | str) -> subprocess.CompletedProcess[str]:
    # This checkout's package, also where another one is installed.
    path = os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')])
    return subprocess.run(
        [sys.executable, str(ROOT / 'examples' / script), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, 'PYTHONPATH': path},
    )


@pytest.mark.parametrize('script', ['segment_folder.py', 'add_object_midway.py'])
def test_what_is_not_there_is_one_line(script: str, tmp_path: Path) -> None:
    mask = _mask(tmp_path / 'first.png', 1)
    done = _start(script, tmp_path / 'none', mask, tmp_path / 'out', '--model', TINY)
    assert (done.returncode, done.stdout) == (1, '')
    assert done.stderr.count('\n') == 1
    assert 'none' in done.stderr


def test_segment_folder_writes_a_mask_per_image_and_keeps_the_first(
    folder: Path, tmp_path: Path
) -> None:
    mask = _mask(tmp_path / 'first.png', 1)
    said = _run('segment_folder.py', folder, mask, tmp_path / 'out', '--model', TINY)
    written = sorted((tmp_path / 'out').glob('*.png'))
    assert [path.stem for path in written] == [f'{n:03d}' for n in range(FRAMES)]
    assert all(read_label_png(path).shape == (HEIGHT, WIDTH) for path in written)
    assert (read_label_png(written[0]) == read_label_png(mask)).all()
    assert said.count('objects (1,)') == FRAMES


def test_add_object_midway_takes_up_the_second_and_lets_go_of_the_first(
    folder: Path, tmp_path: Path
) -> None:
    first, later = _mask(tmp_path / 'first.png', 1), _mask(tmp_path / 'later.png', 2)
    said = _run('add_object_midway.py', folder, first, later, '--at', '2', '--model', TINY)
    lines = said.splitlines()
    assert re.fullmatch(r'frame 1: pixels per object \{1: \d+\}', lines[1])
    assert '2: 600' in lines[2]  # what was painted is what comes out on that frame
    assert lines[-1] == 'removed (1,); still followed: (2,)'


def test_every_example_is_run_here_or_in_ros() -> None:
    shown = {path.name for path in (ROOT / 'examples').glob('*.py')}
    in_ros = {'publish_mask.py', 'detector_boxes.py'}
    assert shown == {'segment_folder.py', 'add_object_midway.py'} | in_ros
