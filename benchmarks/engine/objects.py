# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
What a further object costs, as a share of what a frame with one object costs.

python benchmarks objects [--model M] [--size S] [--threads N ...] [--rounds N]

The numbers of objects take turns on the same frames; the share is that of pairs of the same round
and frame, so it survives a busy machine. Objects of one prompt share the affinity with the memory,
those of different prompts do not: both are measured.
"""

from __future__ import annotations

import argparse
from pathlib import Path
import sys

import numpy as np
from record import parse_args, percentiles, save, table
from workload import (
    block,
    Clip,
    Cost,
    costs_of,
    fit_clip,
    model_line,
    open_with,
    prompt_for,
    read_clip,
    size_text,
    turns,
)

from vos_ros.config import RuntimeConfig
from vos_ros.datatypes import Prompt
from vos_ros.engine.segmenter import VideoSegmenter

CAMERA = (480, 854)
OBJECTS = (1, 3, 5, 10)
PROMPTS = (3,)  # numbers of objects that are also measured with one prompt each
BLOCK = 3
CLIP = 30


def begin(segmenter: VideoSegmenter, clip: Clip, objects: int, prompts: int) -> None:
    """Prompt all objects on the first frame, or each on a frame of its own."""
    frames, labels = clip
    parts = prompt_for(labels, objects).label_map
    segmenter.reset()
    for number in range(prompts):
        own = parts if prompts == 1 else np.where(parts == number + 1, parts, 0)
        segmenter.step(frames[number], Prompt(own.astype(np.uint8)))


def main() -> int:
    """Measure, print and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('--model', default=RuntimeConfig().model, help='name or folder')
    parser.add_argument('--size', type=int, default=0, help="short side; 0 = the model's own")
    parser.add_argument('--threads', type=int, nargs='+', default=[1, 2])
    parser.add_argument('--rounds', type=int, default=10, help='blocks of each variant')
    args = parse_args(parser)

    clip = fit_clip(read_clip('', '', CLIP), CAMERA)
    rows, raw = [], {}
    for threads in args.threads:
        variants = [(k, 1) for k in OBJECTS] + [(k, k) for k in PROMPTS]
        costs: dict[tuple[int, int], list[Cost]] = {variant: [] for variant in variants}
        segmenter = open_with(args.model, args.size, threads)
        for number in range(args.rounds):
            for variant in turns(variants, number):
                begin(segmenter, clip, *variant)
                costs[variant] += costs_of(segmenter, block(clip, number, BLOCK))
        one = np.array(costs[1, 1])
        for variant, seen in costs.items():
            ratios = np.array(seen) / one
            latency, step, cores = np.median(ratios, axis=0)
            objects, prompts = variant
            extra = [f'{(r - 1) / (objects - 1):.3f}' if objects > 1 else '' for r in
                     (latency, step, cores)]  # fmt: skip
            p50 = {part: percentiles([getattr(c, part) for c in seen])['p50'] for part in
                   Cost._fields}  # fmt: skip
            rows.append(
                [threads, objects, prompts, f'{p50["latency"]:.1f}', f'{p50["step"]:.1f}', *extra]
            )
            raw[f'threads={threads}, objects={objects}, prompts={prompts}'] = {
                'costs_ms': [[round(v, 3) for v in cost] for cost in seen],
                'extra_object': dict(zip(Cost._fields, extra)),
            }
            print(*rows[-1], flush=True)
    head = ['threads', 'objects', 'prompted frames', 'latency p50 ms', 'with memorising p50 ms']
    head += ['one more object: of latency', 'with memorising', 'of core time']
    text = (
        f'{model_line(segmenter)}, camera {size_text(CAMERA)}, network input '
        f'{size_text(segmenter.input_size)}; n = {args.rounds * BLOCK}. One more object: (median '
        'of the pairs to one object - 1) / (objects - 1).\n\n' + table(head, rows)
    )
    command = f'python benchmarks objects --model {args.model} --rounds {args.rounds}'
    print(save(f'objects, {Path(args.model).name}', command, text, {'variants': raw}))
    return 0


if __name__ == '__main__':
    sys.exit(main())
