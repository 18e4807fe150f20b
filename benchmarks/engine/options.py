# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Settings of onnxruntime on the processor, each against those in use.

python benchmarks options [--model M] [--threads N] [--objects K] [--rounds N]

The variants take turns, in an order that turns round; each is compared with the settings in use
of the same round. 'as it is, again' says how far from 1 chance alone leads.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
import sys
from typing import Any

import numpy as np
import onnxruntime as ort
from record import parse_args, save, table
from workload import block, costs_of, prompt_for, read_clip, turns

from vos_ros.backends import load_manifest
from vos_ros.backends.base import Job
from vos_ros.backends.onnx_backend import open_cpu, Registry
from vos_ros.config import RuntimeConfig, SegmenterConfig
from vos_ros.engine.segmenter import VideoSegmenter

Change = Callable[[ort.SessionOptions], None]
BLOCK = 3


def entry(key: str, value: str) -> Change:
    """Return what sets an entry of the session's configuration."""
    return lambda options: options.add_session_config_entry(key, value)


def attribute(name: str, value: object) -> Change:
    """Return what sets an attribute of the session's options."""
    return lambda options: setattr(options, name, value)


def spin_and_stop(options: ort.SessionOptions) -> None:
    """Let threads spin during a run only."""
    options.add_session_config_entry('session.intra_op.allow_spinning', '1')
    options.add_session_config_entry('session.force_spinning_stop', '1')


CHANGES: dict[str, Change] = {
    'as it is': lambda options: None,
    'spinning threads': entry('session.intra_op.allow_spinning', '1'),
    'spinning, stopped between runs': spin_and_stop,
    'no memory arena': attribute('enable_cpu_mem_arena', False),
    'no memory pattern': attribute('enable_mem_pattern', False),
    'denormals as zero': entry('session.set_denormal_as_zero', '1'),
    'weights not packed in advance': entry('session.disable_prepacking', '1'),
    'as it is, again': lambda options: None,
}


def open_with(args: argparse.Namespace, change: Change) -> VideoSegmenter:
    """Open the model with changed options."""

    def open_session(path: str, options: ort.SessionOptions, **kwargs: Any) -> Any:
        change(options)
        return ort.InferenceSession(path, options, **kwargs)

    manifest = load_manifest(args.model)
    runtime = RuntimeConfig(threads=args.threads)
    config = SegmenterConfig()
    registry = Registry(open_session=open_session)
    return VideoSegmenter(
        manifest,
        lambda size: open_cpu(Job(manifest, runtime, size, config.max_objects), registry),
        config,
    )


def main() -> int:
    """Measure, print and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('--model', default=RuntimeConfig().model, help='name or folder')
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--objects', type=int, default=1)
    parser.add_argument('--rounds', type=int, default=9, help='blocks of each variant')
    args = parse_args(parser)

    clip = read_clip('', '', 4 * BLOCK + 2)
    frames, labels = clip
    variants = {name: open_with(args, change) for name, change in CHANGES.items()}
    prompt = prompt_for(labels, args.objects)
    maps = [s.step(frames[0], prompt) and s.step(frames[1]) for s in variants.values()]
    if any((m.label_map != maps[0].label_map).any() for m in maps):
        print('the variants do not agree, so their times mean nothing', file=sys.stderr)
        return 1

    times: dict[str, list[tuple[float, float]]] = {name: [] for name in variants}
    for number in range(args.rounds):
        for name in turns(list(variants), number):
            costs = costs_of(variants[name], block(clip, number, BLOCK))
            times[name] += [(cost.step, cost.cores) for cost in costs]
    base = np.array(times['as it is'])
    rows, raw = [], {}
    for name, costs in times.items():
        low, middle, high = np.percentile(np.array(costs) / base, (25, 50, 75), axis=0).round(2)
        raw[name] = {'clock': middle[0], 'core_time': middle[1]}
        rows.append([name, middle[0], f'{low[0]} .. {high[0]}', middle[1]])
    manifest = load_manifest(args.model)
    text = (
        f'Model {manifest.name} ({manifest.sha256[:12]}), {args.threads} thread(s), '
        f'{args.objects} object(s), {args.rounds} rounds of {BLOCK} frames.\n\n'
        + table(['settings', 'time, of pairs', 'quartiles', 'core time'], rows)
    )
    print(text)
    command = f'python benchmarks options --model {manifest.name}'
    command += f' --threads {args.threads} --objects {args.objects} --rounds {args.rounds}'
    print(save('options', command, text, {'model': manifest.sha256, 'variants': raw}))
    return 0


if __name__ == '__main__':
    sys.exit(main())
