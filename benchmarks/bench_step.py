# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
What one frame costs, per stage, by number of threads and of objects.

python benchmarks/bench_step.py [--model M] [--size S] [--rounds N]

The variants take turns, a few frames each, so that whatever else this machine does meets all of
them alike. Before anything is timed, the thread counts must give equal label maps: equal first,
fast second.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

import numpy as np
from record import frames_of_clip, percentiles, save, table

from vos_ros.config import RuntimeConfig, SegmenterConfig
from vos_ros.datatypes import Frame, Prompt, StepTiming
from vos_ros.segmenter import VideoSegmenter

STAGES = ('preprocess', 'encode', 'segment', 'labels', 'memorize')
BLOCK = 5  # frames in a row of one variant; the first of a block is not counted: cold caches
CLIP = 40


def open_with(model: str, size: int, threads: int) -> VideoSegmenter:
    """Open the model for one variant."""
    return VideoSegmenter.open(
        model, config=SegmenterConfig(input_size=size), runtime=RuntimeConfig(threads=threads)
    )


def prompt_for(labels: np.ndarray[Any, Any], objects: int) -> Prompt:
    """Cut the clip's two objects into so many parts, in vertical strips."""
    strips = (np.arange(labels.shape[1]) * objects // labels.shape[1] + 1).astype(np.uint8)
    return Prompt(np.where(labels > 0, strips[None, :], 0).astype(np.uint8))


def find_differences(
    runners: dict[int, VideoSegmenter], frames: list[Frame], prompt: Prompt
) -> int:
    """Return how many pixels of a rollout differ between the thread counts."""
    differing = 0
    for number, frame in enumerate(frames):
        maps = [r.step(frame, prompt if number == 0 else None).label_map for r in runners.values()]
        differing += sum(int((other != maps[0]).sum()) for other in maps[1:])
    return differing


def main() -> int:
    """Measure, print and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('--model', default=RuntimeConfig().model, help='name or folder')
    parser.add_argument('--size', type=int, default=0, help="short side; 0 = the model's own")
    parser.add_argument('--rounds', type=int, default=12, help='blocks of each variant')
    args = parser.parse_args()

    clip = frames_of_clip(CLIP)
    frames = [Frame(image) for image, _ in clip]
    cores = len(os.sched_getaffinity(0))
    threads = sorted({1, min(2, cores), min(4, cores)})
    runners = {count: open_with(args.model, args.size, count) for count in threads}
    differing = find_differences(runners, frames[:8], prompt_for(clip[0][1], 2))
    print(f'pixels that differ between {threads} threads over 8 frames: {differing}')
    if differing:
        print('the variants do not agree, so their times mean nothing', file=sys.stderr)
        return 1

    variants = [(count, objects) for count in threads for objects in (1, 3, 5)]
    timings: dict[tuple[int, int], list[StepTiming]] = {variant: [] for variant in variants}
    memorize_ms: dict[tuple[int, int], list[float]] = {variant: [] for variant in variants}
    for _ in range(args.rounds):
        for variant in variants:
            segmenter = runners[variant[0]]
            segmenter.start(frames[0], prompt_for(clip[0][1], variant[1]))
            for number, frame in enumerate(frames[1 : BLOCK + 2]):
                timing = segmenter.segment(frame).timing
                segmenter.memorize()
                if number:
                    timings[variant].append(timing)
                    memorize_ms[variant].append(segmenter.last_memorize_ms)

    rows, raw = [], {}
    for variant in variants:
        latency = percentiles([t.latency_ms for t in timings[variant]])
        stages = {
            stage: percentiles([getattr(t, f'{stage}_ms') for t in timings[variant]])['p50']
            for stage in STAGES[:-1]
        }
        stages['memorize'] = percentiles(memorize_ms[variant])['p50']
        cells = [f'{latency[p]:.1f}' for p in ('p50', 'p95', 'p99', 'max')]
        rows.append([*variant, *cells, *(f'{stages[stage]:.1f}' for stage in STAGES)])
        raw['threads={}, objects={}'.format(*variant)] = {'latency_ms': latency, 'stages': stages}
    head = ['threads', 'objects', 'p50', 'p95', 'p99', 'max', *(f'{s} p50' for s in STAGES)]
    any_runner = next(iter(runners.values()))
    manifest, size = any_runner.manifest, 'x'.join(map(str, reversed(any_runner.input_size)))
    text = (
        f'Model {manifest.name} ({manifest.sha256[:12]}), network input {size}, camera 640x480; '
        f'ms per frame, n = {len(timings[variants[0]])}. Latency is from image to label map; '
        'memorising comes after publishing. Label maps of all thread counts are equal.\n\n'
        + table(head, rows)
    )
    print(text)
    command = f'python benchmarks/bench_step.py --model {manifest.name} --rounds {args.rounds}'
    print(save('step', command, text, {'model': manifest.sha256, 'size': size, 'variants': raw}))
    return 0


if __name__ == '__main__':
    sys.exit(main())
