# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The backends that are installed, beside each other: equal masks first, then time, then J&F.

python benchmarks backends [--davis ROOT [--sequence NAME]] [--rounds N] [--jf]

The variants take turns, a few frames each, in an order that turns round, and each is compared with
the processor (backend cpu) of the same round and threads: a ratio survives a busy machine, a time
does not. The time that the process really had on a core survives it best. --jf adds the J&F of
every variant over a data set in DAVIS layout.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import numpy as np
from record import parse_args, save, table
from workload import (
    block,
    Clip,
    Cost,
    costs_of,
    fit_clip,
    open_variants,
    prompt_for,
    read_clip,
    size_text,
    start,
    turns,
    Variant,
)

from vos_ros.config import RuntimeConfig
from vos_ros.engine.segmenter import VideoSegmenter
from vos_ros.errors import VosError
from vos_ros.evaluation.evaluate import evaluate_root

CAMERAS = ((480, 640), (480, 854))  # height, width
OBJECTS = (1, 3, 5)
BLOCK = 3  # frames in a row of one variant, after one that is not counted
LENGTH = 30  # frames of the closed loop


def compare(one: VideoSegmenter, other: VideoSegmenter, clip: Clip) -> tuple[float, float]:
    """Return the largest difference in probability over a closed loop, and in labels (share)."""
    frames, labels = clip
    prompt = prompt_for(labels, 2)
    worst, differing, pixels = 0.0, 0, 0
    for segmenter in (one, other):
        segmenter.reset()
    for number, frame in enumerate(frames):
        results = [s.step(frame, None if number else prompt) for s in (one, other)]
        worst = max(worst, float(np.abs(results[0].prob - results[1].prob).max()))
        differing += int((results[0].label_map != results[1].label_map).sum())
        pixels += results[0].label_map.size
    return worst, differing / pixels


def main() -> int:
    """Measure, print and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('--model', default=RuntimeConfig().model, help='name or folder')
    parser.add_argument('--size', type=int, default=0, help="short side; 0 = the model's own")
    parser.add_argument('--rounds', type=int, default=7, help='blocks of each variant')
    parser.add_argument('--threads', type=int, nargs='+', default=[1, 2], help='numbers of them')
    parser.add_argument('--davis', default='', help='data set in DAVIS layout; else the demo clip')
    parser.add_argument('--sequence', default='dog', help='of the data set, for the timing')
    parser.add_argument('--jf', action='store_true', help='J&F of every variant; needs --davis')
    args = parse_args(parser)
    if args.jf and not args.davis:
        parser.error('--jf needs --davis')
    try:
        clip = read_clip(args.davis, args.sequence, LENGTH)
        variants = open_variants(args.model, args.size, args.threads)
    except VosError as error:
        print(error, file=sys.stderr)
        return 1

    rows: list[list[object]] = []
    raw: dict[str, Any] = {}
    reference = variants[Variant('cpu', 'fp32', args.threads[0])]
    for camera in CAMERAS:
        fitted = fit_clip(clip, camera)
        equality = {
            variant: compare(reference, segmenter, fitted)
            for variant, segmenter in variants.items()
            if segmenter is not reference
        }
        for objects in OBJECTS:
            times = measure(variants, fitted, objects, args.rounds)
            for variant, costs in times.items():
                name, precision, threads = variant
                _, base, base_cores = np.array(times[Variant('cpu', 'fp32', threads)]).T
                _, clock, cores = np.array(costs).T
                ratios = clock / base
                low, middle, high = np.percentile(ratios, (25, 50, 75)).round(2).tolist()
                worst, differing = equality.get(variant, (0.0, 0.0))
                size = size_text(camera)
                entry = {
                    'p50_ms': round(float(np.median(clock)), 1),
                    'ratio_of_medians': round(float(np.median(clock) / np.median(base)), 2),
                    'ratio_p25': low,
                    'ratio_p50': middle,
                    'ratio_p75': high,
                    'ratio_core_time': round(float(np.median(cores / base_cores)), 2),
                    'max_prob_difference': worst,
                    'labels_differing': differing,
                }
                raw['{} {} threads={} camera={} objects={}'.format(*variant, size, objects)] = (
                    entry
                )
                cells = [f'{low} .. {high}', f'{worst:.1e}', f'{100 * differing:.3f} %']
                rows.append(
                    [
                        *(size, objects, threads, f'{name} {precision}'),
                        *(
                            entry['p50_ms'],
                            entry['ratio_of_medians'],
                            entry['ratio_core_time'],
                            *cells,
                        ),
                    ]
                )
                print(*rows[-1], flush=True)
    head = ['camera', 'objects', 'threads', 'backend', 'ms p50', 'to cpu: medians', 'core time']
    head += ['quartiles of pairs', 'max prob difference', 'labels differing']
    manifest = reference.manifest
    text = (
        f'Model {manifest.name} ({manifest.sha256[:12]}), {args.rounds} rounds of {BLOCK} frames '
        f'each, memorising included; closed loop of {len(clip[0])} frames with '
        f'two objects ({args.sequence if args.davis else "the demo clip"}).\n\n'
        + table(head, rows)
    )
    if args.jf:
        scores = score(args, variants)
        raw['jf'] = scores
        lines = [[name, *(f'{v:.4f}' for v in found)] for name, found in scores.items()]
        text += '\n\n' + table(['backend', 'J', 'F', 'J&F'], lines)
    print(text)
    data = f' --davis ROOT --sequence {args.sequence}' if args.davis else ''
    threads = ' '.join(map(str, args.threads))
    command = f'python benchmarks backends --model {manifest.name}{data}'
    command += f' --threads {threads} --rounds {args.rounds}' + (' --jf' if args.jf else '')
    print(save('backends', command, text, {'model': manifest.sha256, 'variants': raw}))
    return 0


def measure(
    variants: dict[Variant, VideoSegmenter], clip: Clip, objects: int, rounds: int
) -> dict[Variant, list[Cost]]:
    """Return the costs of frames per variant; the same frames in the same places for each."""
    for segmenter in variants.values():
        start(segmenter, clip, objects)
    costs: dict[Variant, list[Cost]] = {variant: [] for variant in variants}
    for number in range(rounds):
        for variant in turns(list(variants), number):
            costs[variant] += costs_of(variants[variant], block(clip, number, BLOCK))
    return costs


def score(
    args: argparse.Namespace, variants: dict[Variant, VideoSegmenter]
) -> dict[str, tuple[float, float, float]]:
    """Return (J, F, J&F) per backend and precision, with the last number of threads."""
    found = {}
    for (name, precision, threads), segmenter in variants.items():
        if threads != args.threads[-1]:
            continue
        summary = evaluate_root(args.davis, lambda s=segmenter: s).overall
        found[f'{name} {precision}'] = (summary.j, summary.f, summary.jf)
        print(f'{name} {precision}: {found[f"{name} {precision}"]}', flush=True)
    return found


if __name__ == '__main__':
    sys.exit(main())
