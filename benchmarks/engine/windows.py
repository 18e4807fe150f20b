# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
What it gives, and takes, to look for objects only near to where they were.

python benchmarks windows ROOT [ROOT ...] [--model M] [--threads N] [--objects 1 3 5] [--backend B]

J&F and latency of every sequence of data sets in DAVIS layout, each with `memory.windowed` and
without. Then steps with more objects, on the demo's clip and on the first sequence of each set,
where the first mask is cut into so many parts; both ways take turns.
"""

from __future__ import annotations

import argparse
from pathlib import Path
import sys
from typing import Any

import numpy as np
from record import parse_args, save, table
from workload import block, costs_of, fit_clip, model_line, read_clip, start, turns

from vos_ros.config import MemoryConfig, RuntimeConfig, SegmenterConfig
from vos_ros.engine.segmenter import VideoSegmenter
from vos_ros.errors import VosError
from vos_ros.evaluation.evaluate import evaluate_sequence
from vos_ros.sequences import open_davis

CAMERA = (480, 854)
CLIP, BLOCK = 40, 5
WAYS = {'near': True, 'everywhere': False}


def open_both(args: argparse.Namespace) -> dict[str, VideoSegmenter]:
    """Open the model with and without windows."""
    runtime = RuntimeConfig(backend=args.backend, precision=args.precision, threads=args.threads)
    return {
        name: VideoSegmenter.open(
            args.model,
            config=SegmenterConfig(memory=MemoryConfig(windowed=windowed)),
            runtime=runtime,
        )
        for name, windowed in WAYS.items()
    }


def score(
    segmenters: dict[str, VideoSegmenter], root: Path
) -> tuple[list[list[str]], dict[str, Any]]:
    """Return lines and figures of a data set."""
    lines, raw = [], {}
    for sequence in open_davis(root):
        found: dict[str, Any] = {}
        for name, segmenter in segmenters.items():
            report = evaluate_sequence(segmenter, sequence)
            latency, summary = report.speed.latency, report.summary
            found[name] = {
                'jf': None if summary is None else summary.jf,
                'p50': latency.p50,
                'p95': latency.p95,
                'p99': latency.p99,
            }
        near, everywhere = (found[name] for name in WAYS)
        lines.append(
            [
                f'{root.name}/{sequence.name}',
                *('-' if way['jf'] is None else f'{way["jf"]:.4f}' for way in (everywhere, near)),
                *(f'{near[p] / everywhere[p]:.2f}' for p in ('p50', 'p95', 'p99')),
            ]
        )
        print('  '.join(lines[-1]), flush=True)
        raw[sequence.name] = found
    return lines, raw


def step(
    segmenters: dict[str, VideoSegmenter], davis: str, objects: int, rounds: int
) -> dict[str, float]:
    """Return the median step of both ways, ms."""
    clip = fit_clip(read_clip(davis, '', CLIP), CAMERA)
    for segmenter in segmenters.values():
        start(segmenter, clip, objects)
    times: dict[str, list[float]] = {name: [] for name in segmenters}
    for number in range(rounds):
        for name in turns(list(segmenters), number):
            costs = costs_of(segmenters[name], block(clip, number, BLOCK))
            times[name] += [cost.step for cost in costs]
    return {name: float(np.median(values)) for name, values in times.items()}


def main() -> int:
    """Measure, print and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('roots', nargs='+', type=Path, metavar='ROOT', help='data set')
    parser.add_argument('--model', default=RuntimeConfig().model)
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--backend', default='cpu', choices=('cpu', 'openvino'))
    parser.add_argument('--precision', default='auto')
    parser.add_argument('--objects', type=int, nargs='+', default=[1, 3, 5])
    parser.add_argument('--rounds', type=int, default=8, help='blocks of each')
    args = parse_args(parser)

    segmenters = open_both(args)
    if not segmenters['near'].takes_windows:
        parser.error(f'{args.model} looks everywhere: export it again with this vos_distill')
    steps, raw_steps = [], []
    for davis in ('', *map(str, args.roots)):
        for objects in args.objects:
            try:
                found = step(segmenters, davis, objects, args.rounds)
            except VosError as error:  # too narrow to be cut
                print(f'left out: {error}')
                continue
            name = Path(davis).name or 'demo'
            ratio = found['near'] / found['everywhere']
            raw_steps.append({'clip': name, 'objects': objects, **found})
            steps.append(
                [name, str(objects), *(f'{found[way]:.1f}' for way in WAYS), f'{ratio:.2f}']
            )
            print('  '.join(steps[-1]), flush=True)
    lines: list[list[str]] = []
    raw: dict[str, Any] = {'steps': raw_steps, 'sets': {}}
    for root in args.roots:
        more, raw['sets'][root.name] = score(segmenters, root)
        lines += more
    model = next(iter(segmenters.values()))
    text = '\n\n'.join(
        [
            f'{model_line(model)}, {args.threads} threads, {model.backend_name} '
            f'{model.precision}. Ratios: near to where they were / '
            'everywhere.',
            table(['sequence', 'J&F everywhere', 'near', 'p50 ratio', 'p95', 'p99'], lines),
            'A step, 854x480, the first mask cut into so many objects:',
            table(['clip', 'objects', 'near ms', 'everywhere ms', 'ratio'], steps),
        ]
    )
    command = f'python benchmarks windows {" ".join(f"DATA/{root.name}" for root in args.roots)}'
    command += f' --threads {args.threads} --backend {args.backend}'
    name = 'windows' if args.backend == 'cpu' else f'windows-{args.backend}'
    print(save(name, command, text, raw))
    return 0


if __name__ == '__main__':
    sys.exit(main())
