# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
What ~/carried_labels gives: J&F of the labels at hand for each image, carried and as they are.

python benchmarks carried ROOT [ROOT ...] [--costs 40,65,100,150] [--hz 24] [--frames N]

On a simulated clock: the network takes the newest image whenever it is free, and so many ms for
it; masks are computed for real, on these images alone. For each image of the camera, 5 ms after it
came, the newest labels that are finished by then are scored against its true masks (streaming J&F,
after Li et al., ECCV 2020): as they are, and carried to it. So the result is the same on every
machine; what the carrying itself takes is measured beside it.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
import sys
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
from record import parse_args, percentiles, save, table
from workload import model_line

from vos_ros.config import CarryConfig, RuntimeConfig
from vos_ros.datatypes import Frame, LabelMap, Prompt
from vos_ros.engine.carry import Carrier
from vos_ros.engine.segmenter import VideoSegmenter
from vos_ros.evaluation.metrics import contour_accuracy, region_similarity
from vos_ros.formats.masks import ids_in
from vos_ros.sequences import DavisSequence, open_davis

READY_MS = 5.0  # after an image came; carrying takes less


class Score(NamedTuple):
    """Mean J&F over the images of a sequence."""

    as_they_are: float
    carried: float


def jf(found: LabelMap, truth: LabelMap, object_ids: Sequence[int]) -> float:
    """Return J&F, mean over objects."""
    pairs = [(found == k, truth == k) for k in object_ids]
    return float(np.mean([(region_similarity(*p) + contour_accuracy(*p)) / 2 for p in pairs]))


def follow(
    segmenter: VideoSegmenter,
    frames: Sequence[Frame],
    truth: Sequence[LabelMap],
    cost_ms: float,
    period_ms: float,
    times: list[float],
) -> Score:
    """
    Run a sequence at one cost.

    :param times: gets ms of each carrying: the flow to a new image, and its labels.
    """
    object_ids = ids_in(truth[0])
    segmenter.reset()
    carrier = Carrier(int(CarryConfig().max_age_ms * 1e6))
    done: list[tuple[float, int, LabelMap]] = []  # finished at, image, labels
    taken, free_at, newest = -1, 0.0, -1
    scores: list[Score] = []
    for number, frame in enumerate(frames):
        began = perf_counter()
        carrier.see(frame)
        spent = perf_counter() - began
        ready = number * period_ms + READY_MS
        # The network takes an image when it is free: this one now, or it was busy until later.
        while taken < number and free_at <= ready:
            starts = max(free_at, (taken + 1) * period_ms)
            taken = min(int(starts // period_ms), number)
            prompt = Prompt(truth[0], frames[0].stamp_ns) if taken == 0 else None
            result = segmenter.step(frames[taken], prompt)
            free_at = starts + cost_ms
            done.append((free_at, taken, result.label_map))
        at_hand = [entry for entry in done if entry[0] <= ready]
        if not at_hand:
            continue
        _, image, label_map = at_hand[-1]
        began = perf_counter()
        if image != newest:
            carrier.know(label_map, frames[image].stamp_ns)
            newest = image
        carried = carrier.carried()
        times.append(1e3 * (spent + perf_counter() - began))
        if 0 < number < len(frames) - 1:
            now = label_map if carried is None else carried
            scores.append(
                Score(jf(label_map, truth[number], object_ids), jf(now, truth[number], object_ids))
            )
    return Score(*np.mean(scores, axis=0).tolist())


def read(
    sequence: DavisSequence, most: int, period_ms: float
) -> tuple[list[Frame], list[LabelMap]]:
    """Return frames with the camera's stamps, and their true masks; [] where some have none."""
    frames = [
        replace(frame, stamp_ns=int((number + 1) * period_ms * 1e6))
        for number, frame in zip(range(most), sequence)
    ]
    truth = [sequence.label_map(number) for number in range(len(frames))]
    known = [labels for labels in truth if labels is not None]
    return (frames, known) if len(known) == len(frames) else ([], [])


def main() -> int:
    """Measure, print and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('roots', nargs='+', type=Path, metavar='ROOT', help='data set')
    parser.add_argument('--model', default=RuntimeConfig().model)
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--costs', default='40,65,100,150', help='of a frame of the network, ms')
    parser.add_argument('--hz', type=float, default=24.0, help='of the camera')
    parser.add_argument('--frames', type=int, default=60, help='of each sequence, at most')
    args = parse_args(parser)

    costs = [float(cost) for cost in args.costs.split(',')]
    runtime = RuntimeConfig(model=args.model, backend='cpu', threads=args.threads)
    segmenter = VideoSegmenter.open(args.model, runtime=runtime)
    period_ms = 1e3 / args.hz
    rows: list[list[str]] = []
    raw: dict[str, Any] = {}
    times: list[float] = []
    for root in args.roots:
        for sequence in open_davis(root):
            frames, truth = read(sequence, args.frames, period_ms)
            if len(frames) < 3:
                print(f'left out: {sequence.name} has not a mask for every frame')
                continue
            found = [follow(segmenter, frames, truth, c, period_ms, times) for c in costs]
            name = f'{root.name}/{sequence.name}'
            raw[name] = {f'{cost:g}': score._asdict() for cost, score in zip(costs, found)}
            rows.append([name, *(f'{s.as_they_are:.3f} > {s.carried:.3f}' for s in found)])
            print('  '.join(rows[-1]), flush=True)
    means = [
        [float(np.mean([of[f'{c:g}'][kind] for of in raw.values()])) for kind in Score._fields]
        for c in costs
    ]
    rows.append(['**mean**', *(f'**{a:.3f} > {b:.3f}**' for a, b in means)])
    spent = percentiles(times)
    text = (
        f'{model_line(segmenter)}, {args.hz:g} Hz, {READY_MS:g} ms after each image; labels '
        'as they are > carried to the image. Columns: ms that the network takes for a frame.\n\n'
        + table(['sequence', *(f'{cost:g}' for cost in costs)], rows)
        + f'\n\nCarrying itself, one thread: p50 {spent["p50"]:.1f}, p95 {spent["p95"]:.1f}, p99 '
        f'{spent["p99"]:.1f} ms.'
    )
    print(text)
    command = f'python benchmarks carried {" ".join(f"DATA/{root.name}" for root in args.roots)}'
    command += f' --costs {args.costs} --hz {args.hz:g} --frames {args.frames}'
    print(save('carried', command, text, {'sequences': raw, 'carrying_ms': spent}))
    return 0


if __name__ == '__main__':
    sys.exit(main())
