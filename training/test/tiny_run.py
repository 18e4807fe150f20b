# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A drawn data set and a recipe that a CPU trains on in seconds."""

import csv
import os
from pathlib import Path
import subprocess
import sys
import time
from typing import Any

import cv2
import numpy as np
import pytest

from vos_distill.data import ClipConfig
from vos_distill.recipe import Recipe


def write_stills(root: Path) -> None:
    rng = np.random.default_rng(0)
    for kind in ('images', 'labels'):
        (root / 'static' / 'ecssd' / kind).mkdir(parents=True)
    for index in range(8):
        image = cv2.resize(rng.integers(0, 255, (7, 7, 3), dtype=np.uint8), (96, 96))
        label = np.zeros((96, 96), np.uint8)
        cv2.ellipse(label, (48, 48), (20, 28), float(20 * index), 0, 360, 1, -1)
        image[label > 0] = rng.integers(0, 255, 3, dtype=np.uint8)
        cv2.imwrite(str(root / 'static' / 'ecssd' / 'images' / f'{index}.jpg'), image)
        cv2.imwrite(str(root / 'static' / 'ecssd' / 'labels' / f'{index}.png'), label)


def tiny_recipe(**changes: object) -> Recipe:
    settings: dict[str, object] = {
        'preset': 'tiny', 'videos': [], 'steps': 12, 'batch': 2, 'workers': 0, 'amp': False,
        'frozen_stages': 0, 'warmup': 2, 'save_every': 4, 'rate': 3e-3,
        'clip': ClipConfig(size=64, frames=3, real=0.0, occluder=0.0, bars=0.0),
    }  # fmt: skip
    return Recipe(**{**settings, **changes})  # type: ignore[arg-type]


def train_command(recipe: Path, data: Path, run: Path) -> list[str]:
    """Arguments after `python`, also for torchrun."""
    options = ['--data', str(data), '--run-dir', str(run), '--threads', '1']
    return ['-m', 'vos_distill.cli', 'train', str(recipe), *options]


def start(arguments: list[str], **options: Any) -> 'subprocess.Popen[str]':
    environment = {**os.environ, 'OMP_NUM_THREADS': '1'}
    return subprocess.Popen(
        [sys.executable, *arguments], env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options,
    )  # fmt: skip


def loss_curve(run: Path) -> list[dict[str, float]]:
    """Rows of metrics.csv without what depends on the clock."""
    with (run / 'metrics.csv').open(newline='') as file:
        rows = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]
    return [{k: v for k, v in r.items() if k not in ('seconds', 'data_wait')} for r in rows]


def wait_for_step(run: Path, step: int, process: 'subprocess.Popen[str]') -> None:
    """Return as soon as the metrics have the row of `step`."""
    while process.poll() is None:
        path = run / 'metrics.csv'
        if path.exists() and any(r['step'] >= step for r in loss_curve(run)):
            return
        time.sleep(0.01)
    pytest.fail(f'ended too early: {process.communicate()[0]}')


def children_of(pid: int) -> list[int]:
    return [int(x) for x in Path(f'/proc/{pid}/task/{pid}/children').read_text().split()]
