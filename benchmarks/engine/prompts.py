# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
How good a first mask is, and what becomes of it: boxes, clicks and strokes against the true mask.

python benchmarks prompts --davis NAME=ROOT [--davis ...] [--model M] [--prompt-model P]

Several hands are simulated on the true masks of the first frame of each sequence
(`vos_ros/evaluation/hands.py`; a seed is a hand). J first: of the mask that they give, over all
objects and all hands of `--hands`. J of the track: the segmenter follows the masks of all objects
of a sequence, with `--tracked` hands; the first frame does not count. Rows: the prompt network,
GrabCut (strokes: the painted pixels themselves) and the true mask. The time is that of one find,
on one thread.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path
import sys
import time
from typing import Any

import numpy as np
from record import parse_args, percentiles, save, table

from vos_ros.config import RuntimeConfig, SegmenterConfig
from vos_ros.datatypes import Frame, LabelMap, Prompt
from vos_ros.engine.prompter import Hint, Prompter
from vos_ros.engine.segmenter import VideoSegmenter
from vos_ros.errors import VosError
from vos_ros.evaluation.hands import HANDS
from vos_ros.evaluation.metrics import region_similarity
from vos_ros.formats.masks import ids_in
from vos_ros.sequences import DavisSequence, open_davis

#: Smaller objects cannot be pointed at, px of the image at 480.
_LEAST_PIXELS = 30
TRUE = 'mask'


def hints_of(truth: LabelMap, kind: str, seed: int) -> dict[int, Hint]:
    """Let a hand point at every object of a label map."""
    hints = {}
    for k in ids_in(truth):
        mask = (truth == k).astype(np.uint8)
        if mask.sum() >= _LEAST_PIXELS:
            hints[k] = HANDS[kind](mask, np.random.default_rng((seed, k)))
    return hints


def track(
    segmenter: VideoSegmenter, sequence: DavisSequence, first: LabelMap, frames: int
) -> dict[int, float]:
    """Follow a first mask; mean J of each object over the frames after the first."""
    truth = sequence.label_map(0)
    assert truth is not None
    ids = ids_in(truth)
    if not first.any():
        return dict.fromkeys(ids, 0.0)
    segmenter.reset()
    sums: dict[int, list[float]] = defaultdict(list)
    for t, frame in enumerate(sequence):
        if frames and t > frames:
            break
        result = segmenter.step(frame, Prompt(first) if t == 0 else None)
        truth = sequence.label_map(t)
        if t and truth is not None:
            for k in ids:
                sums[k].append(region_similarity(result.label_map == k, truth == k))
    return {k: float(np.mean(values)) for k, values in sums.items()}


def main() -> int:
    """Measure, print and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('--davis', action='append', required=True, help='NAME=ROOT; repeat it')
    parser.add_argument('--model', default=RuntimeConfig().model, help='what follows')
    parser.add_argument('--prompt-model', default='prompt_mb', help='name or folder')
    parser.add_argument('--kinds', default=','.join(HANDS), help='hands, by commas')
    parser.add_argument('--hands', type=int, default=5, help='seeds for the first frame')
    parser.add_argument('--tracked', type=int, default=2, help='of them are followed')
    parser.add_argument('--frames', type=int, default=0, help='followed at most; 0 = all')
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--no-grabcut', action='store_true', help='the network alone')
    args = parse_args(parser)
    kinds = args.kinds.split(',')

    prompters = {'network': Prompter.open(args.prompt_model)}
    if not args.no_grabcut:
        prompters['GrabCut'] = Prompter(None)
    segmenter = VideoSegmenter.open(
        args.model, config=SegmenterConfig(), runtime=RuntimeConfig(threads=args.threads)
    )
    first: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    tracks: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    spent: dict[str, list[float]] = defaultdict(list)
    raw: dict[str, Any] = {}
    for given in args.davis:
        name, _, root = given.partition('=')
        for sequence in open_davis(Path(root)):
            frame: Frame = next(iter(sequence))
            truth = sequence.label_map(0)
            assert truth is not None
            followed = {}
            if args.tracked:
                followed[TRUE] = track(segmenter, sequence, truth, args.frames)
                tracks[TRUE][name] += followed[TRUE].values()
            for who, prompter in prompters.items():
                for kind in kinds:
                    row = f'{kind}, {who}'
                    for seed in range(args.hands):
                        hints = hints_of(truth, kind, seed)
                        label_map, found = draw(prompter, frame, hints, spent[row])
                        for k, mask in found.items():
                            first[row][name].append(region_similarity(mask, truth == k))
                        if seed < args.tracked:
                            of_track = track(segmenter, sequence, label_map, args.frames)
                            tracks[row][name] += of_track.values()
                            followed.setdefault(f'{row}, {seed}', of_track)
            raw[f'{name}/{sequence.name}'] = followed
            told = {row: round(float(np.mean(list(v.values()))), 3) for row, v in followed.items()}
            print(f'{name}/{sequence.name}', told, flush=True)

    names = [given.partition('=')[0] for given in args.davis]
    rows = report(names, first, tracks, spent)
    head = ['prompt', 'answered by', 'J first', *(f'J track, {n}' for n in names), 'all']
    head += ["share of the mask's", 'ms p50']
    text = (
        f'{args.model}, short side 480; {args.hands} hands on the first frame, {args.tracked} of '
        f'them followed{f" for {args.frames} frames" if args.frames else ""}; means over objects.'
        '\n\n' + table(head, rows)
    )
    print(text)
    sets = ' '.join(f'--davis {n}=ROOT' for n in names)
    raw = {'tracks': raw, 'first': first, 'ms': {k: percentiles(v) for k, v in spent.items()}}
    print(save('prompts', f'python benchmarks prompts {sets}', text, raw))
    return 0


def draw(
    prompter: Prompter, frame: Frame, hints: dict[int, Hint], spent: list[float]
) -> tuple[LabelMap, dict[int, Any]]:
    """Find each object, timed; and all of them in one label map, as the node sends it."""
    found: dict[int, Any] = {}
    for k, hint in hints.items():
        began = time.perf_counter()
        try:
            found[k] = prompter.find(frame, hint)
        except VosError:  # nothing is there, says the network: counts as an empty mask
            found[k] = np.zeros(frame.size, np.uint8)
        spent.append(1000 * (time.perf_counter() - began))
    label_map: LabelMap = np.zeros(frame.size, np.uint8)
    for k in sorted(found, key=lambda k: -int(found[k].sum())):
        label_map[found[k] > 0] = k
    return label_map, found


def report(names: list[str], first: Any, tracks: Any, spent: Any) -> list[list[object]]:
    """Return the rows of the table."""

    def mean(values: dict[str, list[float]], *only: str) -> float:
        chosen = [v for n in (only or names) for v in values.get(n, [])]
        return float(np.mean(chosen)) if chosen else float('nan')

    base = mean(tracks[TRUE])
    each = [f'{mean(tracks[TRUE], n):.3f}' for n in names]
    rows: list[list[object]] = [['mask', 'itself', '1.000', *each, f'{base:.3f}', '1.00', '']]
    for row in first:
        kind, _, who = row.partition(', ')
        per_set = [f'{mean(tracks[row], n):.3f}' for n in names]
        total = mean(tracks[row])
        median = f'{np.median(spent[row]):.0f}'
        share = f'{total / base:.2f}'
        rows.append(
            [kind, who, f'{mean(first[row]):.3f}', *per_set, f'{total:.3f}', share, median]
        )
    return rows


if __name__ == '__main__':
    sys.exit(main())
