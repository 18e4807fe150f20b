# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
How good the advice of `vos doctor --tune` is: beside the best of all settings, measured longer.

python benchmarks tune [--model M ...] [--objects K ...] [--times N] [--rounds N]

The advice is asked for several times, as a user would, before and after all settings are measured
with many more rounds. What counts is the advised setting's median in the long measurement, as a
multiple of the fastest setting's there; the advice promises 1.05.
"""

from __future__ import annotations

import argparse
import sys

from record import parse_args, save, table

from vos_ros.backends import load_manifest
from vos_ros.commands.tune import measure, median, NEARLY, Setting, settings, tune
from vos_ros.config import RuntimeConfig

CAMERA = (480, 640)
BACKENDS = ('cpu', 'openvino')


def main() -> int:
    """Ask, measure, print and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('--model', nargs='+', default=[RuntimeConfig().model])
    parser.add_argument('--objects', type=int, nargs='+', default=[1, 3])
    parser.add_argument('--size', type=int, default=0, help="short side; 0 = the model's own")
    parser.add_argument('--times', type=int, default=4, help='that the advice is asked for')
    parser.add_argument('--rounds', type=int, default=30, help='of the long measurement')
    args = parse_args(parser)
    texts, raw = [], {}
    for model in args.model:
        size = args.size or load_manifest(model).short_side
        for objects in args.objects:
            text, values = compare(model, size, objects, args.times, args.rounds)
            texts.append(f'{model}, {size} px, {objects} object(s), camera 640x480\n\n{text}')
            raw[f'{model} {objects}'] = values
            print(texts[-1], flush=True)
    command = f'python benchmarks tune --model {" ".join(args.model)} --objects '
    command += f'{" ".join(map(str, args.objects))} --size {args.size}'
    command += f' --times {args.times} --rounds {args.rounds}'
    print(save('tune', command, '\n\n'.join(texts), raw))
    return 0


def compare(
    model: str, size: int, objects: int, times: int, rounds: int
) -> tuple[str, dict[str, object]]:
    """Return a table of all settings with how often each was advised, and the figures."""
    asked: list[Setting] = []
    left_out: set[str] = set()

    def ask(count: int) -> None:
        for _ in range(count):
            advice = tune(
                model,
                camera=CAMERA,
                objects=objects,
                input_size=size,
                backends=BACKENDS,
                note=lambda line: None,
            )
            asked.append(advice.setting)

    ask(times // 2)
    long = measure(settings(model, size, BACKENDS), CAMERA, objects, rounds, left_out.add)
    ask(times - times // 2)
    medians = {setting: median(values) for setting, values in long.items()}
    fastest = min(medians.values())
    rows = [
        [str(setting), f'{ms:.1f}', f'{ms / fastest:.3f}', asked.count(setting)]
        for setting, ms in sorted(medians.items(), key=lambda item: item[1])
    ]
    worst = max(medians[setting] / fastest for setting in asked)
    text = table(['setting', 'ms', 'of the fastest', 'advised'], rows)
    text += f'\n\nWorst advice of {len(asked)}: {worst:.3f} of the fastest (promised: {NEARLY}).'
    text += ''.join(f'\n{line[0].upper()}{line[1:]}.' for line in sorted(left_out))
    values: dict[str, object] = {'ms': {str(s): v for s, v in medians.items()}}
    return text, values | {'advised': [str(setting) for setting in asked], 'worst': worst}


if __name__ == '__main__':
    sys.exit(main())
