# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
What one frame costs, per stage, by backend, number of threads, camera and number of objects.

python benchmarks step [--model M] [--size S ...] [--rounds N] [--backends NAME ...]

The variants take turns, a few frames each, so that whatever else this machine does meets all of
them alike. Before anything is timed, the variants of one backend must give equal label maps
whatever the number of threads: equal first, fast second.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

from record import parse_args, percentiles, save, table
from workload import (
    block,
    Clip,
    fit_clip,
    model_line,
    open_variants,
    prompt_for,
    read_clip,
    size_text,
    STAGES,
    start,
    turns,
    Variant,
)

from vos_ros.backends import BACKENDS
from vos_ros.config import RuntimeConfig
from vos_ros.engine.segmenter import VideoSegmenter

CAMERAS = ((480, 640), (480, 854), (720, 1280))  # height, width
OBJECTS = (1, 3, 5)
BLOCK = 5  # frames in a row of one variant, after one that is not counted
CLIP = 40


def find_differences(runners: dict[Variant, VideoSegmenter], clip: Clip) -> int:
    """Return how many pixels of a rollout differ between thread counts of the same backend."""
    frames, labels = clip
    prompt, differing = prompt_for(labels, 2), 0
    for number, frame in enumerate(frames):
        first: dict[tuple[str, str], Any] = {}
        for variant, runner in runners.items():
            found = runner.step(frame, None if number else prompt).label_map
            differing += int((first.setdefault(variant[:2], found) != found).sum())
    return differing


def measure(
    runners: dict[Variant, VideoSegmenter], clip: Clip, rounds: int
) -> dict[tuple[Variant, int], dict[str, list[float]]]:
    """Return ms per variant and number of objects, by stage and as latency."""
    variants = [(variant, objects) for variant in runners for objects in OBJECTS]
    found = {v: {part: [] for part in ('latency', *STAGES)} for v in variants}
    for number in range(rounds):
        for variant in turns(variants, number):
            segmenter, seen = runners[variant[0]], found[variant]
            start(segmenter, clip, variant[1])
            for position, frame in enumerate(block(clip, number, BLOCK)):
                timing = segmenter.segment(frame).timing
                segmenter.memorize()
                if not position:
                    continue
                seen['latency'].append(timing.latency_ms)
                seen['memorize'].append(segmenter.last_memorize_ms)
                for stage in STAGES[:-1]:
                    seen[stage].append(getattr(timing, f'{stage}_ms'))
    return found


def main() -> int:
    """Measure, print and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('--model', default=RuntimeConfig().model, help='name or folder')
    parser.add_argument('--size', type=int, default=0, help="short side; 0 = the model's own")
    parser.add_argument('--rounds', type=int, default=8, help='blocks of each variant')
    parser.add_argument('--backends', nargs='+', default=['cpu', 'openvino'], choices=BACKENDS)
    args = parse_args(parser)

    cores = len(os.sched_getaffinity(0))
    threads = sorted({1, min(2, cores), min(4, cores)})
    whole = read_clip('', '', CLIP)
    rows, raw = [], {}
    for camera in CAMERAS:
        clip = fit_clip(whole, camera)
        runners = open_variants(args.model, args.size, threads, args.backends)
        differing = find_differences(runners, (clip[0][:8], clip[1]))
        print(f'{size_text(camera)}: {differing} pixels differ between {threads} threads')
        if differing:
            print('the variants do not agree, so their times mean nothing', file=sys.stderr)
            return 1
        for (variant, objects), seen in measure(runners, clip, args.rounds).items():
            summary = {part: percentiles(values) for part, values in seen.items()}
            latency = [f'{summary["latency"][p]:.1f}' for p in ('p50', 'p95', 'p99')]
            stages = [f'{summary[stage]["p50"]:.1f}' for stage in STAGES]
            backend = f'{variant.backend} {variant.precision}'
            rows.append([size_text(camera), backend, variant.threads, objects, *latency, *stages])
            raw[f'{backend} threads={variant.threads} camera={rows[-1][0]} objects={objects}'] = (
                summary
            )
            print(*rows[-1], flush=True)
        line = model_line(next(iter(runners.values())))
    text = (
        f'{line}; ms per frame, n = {args.rounds * BLOCK}. Latency is from image to label map at '
        "the camera's size; memorising comes after publishing. Label maps of all thread counts "
        'are equal.\n\n'
        + table(
            [
                *('camera', 'backend', 'threads', 'objects', 'p50', 'p95', 'p99'),
                *(f'{stage} p50' for stage in STAGES),
            ],
            rows,
        )
    )
    command = f'python benchmarks step --model {args.model} --rounds {args.rounds}'
    print(save('step', command, text, {'size': args.size, 'variants': raw}))
    return 0


if __name__ == '__main__':
    sys.exit(main())
