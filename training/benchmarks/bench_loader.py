# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Measure how many clips a second one process on one thread composes.

Example: python training/benchmarks/bench_loader.py DATA --videos davis2016 --clips 60
Without DATA it measures on the generated data set.
"""

import os

os.environ['OMP_NUM_THREADS'] = '1'

from pathlib import Path
import tempfile
import time
from typing import Annotated

import cv2
import numpy as np
import typer

from vos_distill.data import ClipComposer, ClipConfig, load_stills, load_videos
from vos_distill.data.generate import generate

WARM_UP = 5


def measure(composer: ClipComposer, clips: int) -> tuple[list[float], float]:
    """
    Time clips one by one, draws that were thrown away included.

    :return: ms of each clip, and ms of processor time a clip, which other work on the machine
        hardly changes.
    """
    source = composer.clips(0)
    for _ in range(WARM_UP):
        next(source)
    times = []
    processor = time.process_time()
    for _ in range(clips):
        began = time.perf_counter()
        next(source)
        times.append(1e3 * (time.perf_counter() - began))
    return times, 1e3 * (time.process_time() - processor) / clips


def main(
    data: Annotated[Path | None, typer.Argument(help='folder with static/ and videos')] = None,
    videos: Annotated[list[str] | None, typer.Option(help='data sets below it')] = None,
    clips: Annotated[int, typer.Option(help='composed at each size')] = 100,
    frames: Annotated[int, typer.Option(help='of a clip')] = 5,
    memory_mib: Annotated[int, typer.Option(help='0 = read every frame from the disk')] = 2048,
) -> None:
    """Print a table of sizes."""
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        if data is None:
            generate(Path(folder))
            data = Path(folder) / 'train'
        memory = memory_mib << 20
        stills = load_stills(data / 'static', memory=memory)
        real = load_videos([data / v for v in videos or ['davis2016']], memory=memory)
        print(f'{len(stills)} stills, {len(real)} videos, {frames} frames, 1 process, 1 thread')
        print(f'{"size":>6s}{"clips/s":>10s}{"p50 ms":>10s}{"p95 ms":>10s}{"CPU ms":>10s}')
        for size in (224, 256, 320):
            config = ClipConfig(size=size, frames=frames, real=0.45, jump=0.3, twin=0.4)
            times, processor = measure(ClipComposer(stills, real, config), clips)
            p50, p95 = np.percentile(times, (50, 95))
            print(f'{size:6d}{1e3 / np.mean(times):10.1f}{p50:10.1f}{p95:10.1f}{processor:10.1f}')


if __name__ == '__main__':
    typer.run(main)
