# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Accuracy against time: J&F and ms per frame for every size, model and backend.

python benchmarks ladder --davis ROOT [--model M ...] [--sizes 480 384 320 256]

The times are taken first, in turns over the frames of one sequence, memorising included; J&F is
that of `vos eval` over the whole data set. Writes a table and a figure, ladder.svg: what lies on
the upper left edge (marked) is worth having, all else is beaten by something as fast.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
import sys

from record import parse_args, percentiles, save, table
from workload import block, Clip, Cost, costs_of, model_line, read_clip, size_text, start, turns

from vos_ros.config import RuntimeConfig, SegmenterConfig
from vos_ros.engine.segmenter import VideoSegmenter
from vos_ros.errors import VosError
from vos_ros.evaluation.evaluate import evaluate_root
from vos_ros.evaluation.plot import COLOURS, Line, plot

SIZES = (480, 384, 320, 256)
BLOCK = 4
CLIP = 30


@dataclass
class Point:
    """One size of one model on one backend."""

    name: str
    side: int
    ms: float
    cores_ms: float
    jf: float = 0.0
    j: float = 0.0
    f: float = 0.0
    is_best: bool = False  # nothing faster is as accurate


def open_all(args: argparse.Namespace) -> dict[tuple[str, int], VideoSegmenter]:
    """Open every model on the processor, and the first in bf16 on OpenVINO where it is there."""
    wanted = [(model, 'cpu', 'auto') for model in args.model]
    wanted.append((args.model[0], 'openvino', 'bf16'))
    found = {}
    for model, backend, precision in wanted:
        runtime = RuntimeConfig(backend=backend, precision=precision, threads=args.threads)
        for side in args.sizes:
            try:
                made = VideoSegmenter.open(
                    model, config=SegmenterConfig(input_size=side), runtime=runtime
                )
            except VosError as error:
                print(f'left out: {error}')
                break
            name = f'{made.manifest.name} {made.backend_name} {made.precision}'
            found[name, side] = made
    return found


def measure(
    runners: dict[tuple[str, int], VideoSegmenter], clip: Clip, rounds: int
) -> list[Point]:
    """Time one object in turns."""
    costs: dict[tuple[str, int], list[Cost]] = {key: [] for key in runners}
    for runner in runners.values():
        start(runner, clip, 1)
    for number in range(rounds):
        for key in turns(list(runners), number):
            costs[key] += costs_of(runners[key], block(clip, number, BLOCK))
    return [
        Point(
            *key,
            percentiles([cost.step for cost in seen])['p50'],
            percentiles([cost.cores for cost in seen])['p50'],
        )
        for key, seen in costs.items()
    ]


def mark_best(points: Sequence[Point]) -> None:
    """Mark what no faster point equals in J&F."""
    best = 0.0
    for point in sorted(points, key=lambda p: p.ms):
        point.is_best = point.jf > best
        best = max(best, point.jf)


def figure(points: Sequence[Point]) -> str:
    """Draw J&F over ms as SVG, one line per model and backend; * = the best for its time."""
    lines = []
    for name, colour in zip(dict.fromkeys(p.name for p in points), COLOURS):
        own = sorted((p for p in points if p.name == name), key=lambda p: p.ms)
        labels = [f'{p.side}{"*" * p.is_best}' for p in own]
        lines.append(Line(name, colour, [(p.ms, p.jf) for p in own], labels))
    return plot(
        lines,
        y_min=min(p.jf for p in points) - 0.02,
        y_max=max(p.jf for p in points) + 0.02,
        y_label='J&F',
        x_max=1.1 * max(p.ms for p in points),
        x_label='ms per frame:',
    )


def main() -> int:
    """Measure, print and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('--davis', required=True, help='data set in DAVIS layout')
    parser.add_argument('--sequences', nargs='+', default=(), help='only these')
    parser.add_argument('--model', nargs='+', default=[RuntimeConfig().model])
    parser.add_argument('--sizes', type=int, nargs='+', default=SIZES, help='short sides, px')
    parser.add_argument('--threads', type=int, default=0)
    parser.add_argument('--rounds', type=int, default=8, help='blocks of each, for the time')
    args = parse_args(parser)

    try:
        runners = open_all(args)
        first = args.sequences[0] if args.sequences else ''
        clip = read_clip(args.davis, first, CLIP)
        points = measure(runners, clip, args.rounds)
        for point in points:
            report = evaluate_root(
                args.davis,
                lambda p=point: runners[p.name, p.side],
                names=args.sequences,
            )
            found = report.overall
            point.jf, point.j, point.f = found.jf, found.j, found.f
            print(point, flush=True)
    except VosError as error:
        print(error, file=sys.stderr)
        return 1
    mark_best(points)
    rows = [
        [
            *(p.name, p.side, f'{p.ms:.1f}', f'{1e3 / p.ms:.0f}', f'{p.cores_ms:.1f}'),
            *(f'{p.j:.4f}', f'{p.f:.4f}', f'{p.jf:.4f}', 'yes' if p.is_best else ''),
        ]
        for p in points
    ]
    head = ['what', 'short side', 'p50 ms', 'frames/s', 'core time, ms', 'J', 'F', 'J&F']
    head += ['nothing faster is as good']
    sequences = ', '.join(args.sequences) or 'all sequences'
    text = (
        f'{model_line(next(iter(runners.values())))} and others; camera '
        f'{size_text(clip[0][0].size)}, one object for the times; J&F over {sequences}.\n\n'
        f'{table(head, rows)}\n\n![J&F against time](ladder.svg)'
    )
    print(text)
    command = f'python benchmarks ladder --davis ROOT --model {" ".join(args.model)}'
    raw = {f'{p.name} {p.side}': vars(p) for p in points}
    print(save('ladder', command, text, {'points': raw}, {'ladder.svg': figure(points)}))
    return 0


if __name__ == '__main__':
    sys.exit(main())
