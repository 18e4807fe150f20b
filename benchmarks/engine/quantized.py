# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
What a second model costs beside a first one, per stage: a quantised one beside the float one.

python benchmarks quantized FIRST SECOND [--davis ROOT [--sequence NAME]] [--rounds N]

Both take turns, a few frames each, so that whatever else this machine does meets both alike; read
the ratios. Accuracy is what `vos eval` says: the two are not equal and need not be.
"""

from __future__ import annotations

import argparse
import sys

from record import parse_args, percentiles, save, table
from workload import open_with, prompt_for, read_clip, STAGES

BLOCK = 3  # frames in a row of one model, after one that is not counted: cold caches
OBJECTS = 2


def main() -> int:
    """Measure, print and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('models', nargs=2, metavar='MODEL', help='ratios are second to first')
    parser.add_argument('--davis', default='', help="a data set; default: the demo's clip")
    parser.add_argument('--sequence', default='', help='of the data set; default: its first')
    parser.add_argument('--objects', type=int, default=OBJECTS, help='to follow')
    parser.add_argument('--size', type=int, default=0, help="short side; 0 = the model's own")
    parser.add_argument('--rounds', type=int, default=12, help='blocks of each model')
    parser.add_argument('--threads', type=int, nargs='+', default=[1, 2])
    args = parse_args(parser)

    frames, labels = read_clip(args.davis, args.sequence, BLOCK + 2)
    prompt = prompt_for(labels, args.objects)
    rows, raw = [], {}
    for threads in args.threads:
        runners = [open_with(model, args.size, threads) for model in args.models]
        times: list[dict[str, list[float]]] = [{s: [] for s in STAGES} for _ in runners]
        for _ in range(args.rounds):
            for runner, seen in zip(runners, times):
                runner.start(frames[0], prompt)
                runner.memorize()
                for number, frame in enumerate(frames[1:]):
                    timing = runner.segment(frame).timing
                    runner.memorize()
                    if number:
                        for stage in STAGES[:-1]:
                            seen[stage].append(getattr(timing, f'{stage}_ms'))
                        seen['memorize'].append(runner.last_memorize_ms)
        for stage in STAGES:
            exact, rounded = (percentiles(seen[stage]) for seen in times)
            ratio = rounded['p50'] / exact['p50']
            rows.append(
                [threads, stage, f'{exact["p50"]:.1f}', f'{rounded["p50"]:.1f}', f'{ratio:.2f}']
            )
            raw[f'threads={threads}, {stage}'] = {'float': exact, 'quantized': rounded}
    names = [runner.manifest.name for runner in runners]
    size = 'x'.join(map(str, reversed(runners[0].input_size)))
    text = (
        f'{names[1]} beside {names[0]}, network input {size}, {args.objects} objects; p50 in ms, '
        f'n = {args.rounds * BLOCK}, taken in turns.\n\n'
        + table(['threads', 'stage', names[0], names[1], 'ratio'], rows)
    )
    print(text)
    command = f'python benchmarks quantized {names[0]} {names[1]} --rounds {args.rounds}'
    models = [runner.manifest.sha256 for runner in runners]
    print(save('quantized', command, text, {'models': models, 'size': size, 'times': raw}))
    return 0


if __name__ == '__main__':
    sys.exit(main())
