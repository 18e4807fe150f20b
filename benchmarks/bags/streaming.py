# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Accuracy against the cost of a frame: streaming J&F of recorded sequences, on a simulated clock.

python benchmarks streaming DAVIS [--sequences a,b] [--size N] [--costs 0,20,...]

Each sequence becomes a bag at its camera's rate. Each cost is a replay (`vos bag eval --mode
realtime --cost-ms`): masks are computed for real, late masks and dropped frames come from the
given cost alone, so the result is the same on every machine.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
import sys
import tempfile

from record import parse_args, save, table

from vos_ros.bag.replay import Observers, Outcome
from vos_ros.bag.report import REALTIME
from vos_ros.bag.run import open_input, simulate
from vos_ros.bag.writer import make_bag
from vos_ros.config import RuntimeConfig, SegmenterConfig
from vos_ros.engine.segmenter import VideoSegmenter
from vos_ros.evaluation.metrics import summarize
from vos_ros.evaluation.plot import COLOURS, Line, plot
from vos_ros.sequences import DavisSequence, open_davis

PLOT = 'streaming.svg'


@dataclass(frozen=True)
class Point:
    """One replay: what a frame costs, and what comes out."""

    cost_ms: float
    jf: float
    dropped: int
    frames: int
    age_p50_ms: float


def measure(bag: Path, segmenter: VideoSegmenter, cost_ms: float) -> Point:
    """Replay a bag at one cost."""
    given = open_input(bag)
    outcome = simulate(given, segmenter, mode=REALTIME, cost_ms=cost_ms, observers=Observers())
    return to_point(cost_ms, outcome)


def to_point(cost_ms: float, outcome: Outcome) -> Point:
    """Sum a replay up."""
    ages = sorted(r.age_ms for r in outcome.records if r.age_ms is not None)
    summary = summarize(outcome.loops[0].values())
    return Point(
        cost_ms,
        float('nan') if summary is None else summary.jf,
        sum(r.latency_ms is None for r in outcome.records),
        len(outcome.records),
        ages[len(ages) // 2] if ages else float('nan'),
    )


def draw(curves: dict[str, list[Point]]) -> str:
    """Return the plot as an SVG file: J&F over the cost, one line per sequence."""
    lines = [
        Line(name, colour, [(p.cost_ms, p.jf) for p in points])
        for (name, points), colour in zip(curves.items(), COLOURS)
    ]
    x_max = max(p.cost_ms for points in curves.values() for p in points)
    return plot(lines, y_max=1.0, y_label='J&F', x_max=x_max, x_label='cost, ms:')


def main() -> int:
    """Measure, print and write the report and the plot."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('root', type=Path, help='data set in DAVIS layout')
    parser.add_argument('--sequences', default='', help='only these, separated by commas')
    parser.add_argument('--model', default=RuntimeConfig().model, help='name or folder')
    parser.add_argument('--size', type=int, default=256, help='short side of the network input')
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--costs', default='0,20,40,60,80,120,160,240,320,480', help='ms')
    args = parse_args(parser)

    costs = [float(cost) for cost in args.costs.split(',')]
    names = [name for name in args.sequences.split(',') if name]
    segmenter = VideoSegmenter.open(
        args.model,
        config=SegmenterConfig(input_size=args.size),
        runtime=RuntimeConfig(model=args.model, threads=args.threads),
    )
    curves: dict[str, list[Point]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for sequence in open_davis(args.root, names=names):
            curves[sequence.name] = follow(sequence, Path(folder), segmenter, costs)
    rows = [
        [
            name,
            f'{p.cost_ms:g}',
            f'{p.jf:.3f}',
            f'{p.dropped} of {p.frames}',
            f'{p.age_p50_ms:.0f}',
        ]
        for name, points in curves.items()
        for p in points
    ]
    head = ['sequence', 'cost of a frame, ms', 'streaming J&F', 'dropped', 'age p50, ms']
    manifest = segmenter.manifest
    text = (
        f'Model {manifest.name} ({manifest.sha256[:12]}), short side {args.size} px, cameras of '
        f'24 Hz, simulated clock.\n\n![J&F over the cost of a frame]({PLOT})\n\n'
        + table(head, rows)
    )
    print(text)
    command = 'python benchmarks streaming DAVIS'
    command += f' --sequences {",".join(curves)} --model {manifest.name} --size {args.size}'
    raw = {name: [vars(p) for p in points] for name, points in curves.items()}
    where = save('streaming', command, text, {'model': manifest.sha256, 'curves': raw})
    (where / PLOT).write_text(draw(curves))
    print(where / PLOT)
    return 0


def follow(
    sequence: DavisSequence, folder: Path, segmenter: VideoSegmenter, costs: list[float]
) -> list[Point]:
    """Make a sequence's bag and replay it at every cost."""
    bag = folder / sequence.name
    make_bag(sequence, bag, rate_hz=sequence.rate_hz)
    points = []
    for cost_ms in costs:
        points.append(measure(bag, segmenter, cost_ms))
        print(f'{sequence.name}: {points[-1]}', file=sys.stderr)
    return points


if __name__ == '__main__':
    sys.exit(main())
