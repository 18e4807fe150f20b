# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Whether a frame costs the same after 10, 1000 and 10 000 frames, and whether memory grows.

python benchmarks length [--model M] [--size S] [--frames N]

Two segmenters take turns on the same frames: the old one runs through, the young one is started
anew every 20 frames. Old / young, frame by frame, is then free of what else the machine does.
Before that, both must agree where they can: just after the start.
"""

from __future__ import annotations

import argparse
import sys
from time import perf_counter
from typing import NamedTuple

import numpy as np
from record import frames_of_clip, parse_args, percentiles, resident_mib, save, table
from workload import model_line, open_with, size_text

from vos_ros.config import RuntimeConfig
from vos_ros.datatypes import Frame, Image, LabelMap, Prompt
from vos_ros.engine.segmenter import VideoSegmenter

Clip = list[tuple[Image, Image]]  # image and label map

CLIP = 120
YOUNG_FOR = 20
WINDOW = 200  # frames around 10, 100, 1000, ... that one row is taken from; the first one is 10..


class Pair(NamedTuple):
    """The same frame for both, in ms; prompted frames are left out."""

    number: int
    old: float
    young: float


def step(
    segmenter: VideoSegmenter, clip: Clip, number: int, *, restart: bool
) -> tuple[float, LabelMap]:
    """Segment and memorise one frame of the clip played there and back again, without a jump."""
    there_and_back = [*range(CLIP), *range(CLIP - 2, 0, -1)]
    image, labels = clip[there_and_back[number % len(there_and_back)]]
    if restart:
        segmenter.reset()
    began = perf_counter()
    result = segmenter.step(Frame(image), Prompt(labels) if restart else None)
    return 1e3 * (perf_counter() - began), result.label_map


def row_of(pairs: list[Pair], low: int, high: int) -> list[object]:
    """Summarise the frames low..high - 1."""
    chosen = [pair for pair in pairs if low <= pair.number < high]
    old, young = (percentiles([getattr(p, who) for p in chosen]) for who in ('old', 'young'))
    ratio = float(np.median([p.old / p.young for p in chosen]))
    return [f'{low}..{high - 1}', f'{old["p50"]:.2f}', f'{old["p99"]:.2f}',
            f'{young["p50"]:.2f}', f'{ratio:.3f}']  # fmt: skip


def main() -> int:
    """Measure, print and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('--model', default=RuntimeConfig().model, help='name or folder')
    parser.add_argument('--size', type=int, default=0, help="short side; 0 = the model's own")
    parser.add_argument('--frames', type=int, default=1000, help='how old the old one gets')
    args = parse_args(parser)

    clip = frames_of_clip(CLIP)
    old, young = (open_with(args.model, args.size, 0) for _ in range(2))
    # written in full before the start, so that what grows is not the benchmark
    times = np.full((args.frames, 2), np.nan)
    resident: list[tuple[int, float]] = []
    bank: list[tuple[int, int]] = []
    for number in range(args.frames):
        restart = number % YOUNG_FOR == 0
        young_ms, young_map = step(young, clip, number, restart=restart)
        old_ms, old_map = step(old, clip, number, restart=number == 0)
        if number < YOUNG_FOR and (old_map != young_map).any():
            print(f'frame {number}: the same start gives other masks', file=sys.stderr)
            return 1
        if not restart:
            times[number] = old_ms, young_ms
        if number in (10, args.frames - 1) or (number and number % 500 == 0):
            resident.append((number, round(resident_mib(), 1)))
            bank.append((number, old.memory.nbytes))
            print(resident[-1], bank[-1], flush=True)

    pairs = [
        Pair(number, *map(float, both))
        for number, both in enumerate(times)
        if not np.isnan(both).any()
    ]
    ends = [10 + WINDOW] + [10**k for k in range(3, 9) if 10**k < args.frames] + [args.frames]
    rows = [row_of(pairs, end - WINDOW, end) for end in dict.fromkeys(ends) if end > WINDOW]
    ratio = rows[-1][-1]
    head = ['frames', 'old p50 ms', 'old p99 ms', 'young p50 ms', 'old / young, median of pairs']
    text = (
        f'{model_line(old)}, network input {size_text(old.input_size)}, two objects, camera '
        f'640x480; step(), memorising included. Over the last {WINDOW} of {args.frames} frames a '
        f'frame costs {ratio} times what it costs within {YOUNG_FOR} frames of a start.\n\n'
        f'{table(head, rows)}\n\n'
        f'Memory bank: {bank[0][1]} bytes at frame {bank[0][0]}, {bank[-1][1]} at {bank[-1][0]}. '
        f'Process, MiB by frame: {", ".join(f"{mib} at {n}" for n, mib in resident)}.'
    )
    print(text)
    raw = {
        'ratio': float(str(ratio)),
        'pairs_ms': [[p.number, round(p.old, 3), round(p.young, 3)] for p in pairs[:: max(
            1, len(pairs) // 2000)]],
        'resident_mib': resident,
        'bank_bytes': bank,
    }  # fmt: skip
    command = f'python benchmarks length --model {args.model} --size {args.size}'
    section = f'length {args.frames}'
    print(save(section, f'{command} --frames {args.frames}', text, raw))
    return 0


if __name__ == '__main__':
    sys.exit(main())
