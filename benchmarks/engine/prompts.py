# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
How good a first mask is, and what becomes of it: boxes, clicks and strokes against the true mask.

python benchmarks prompts --davis NAME=ROOT [--davis ...] [--model M] [--prompt-model P]
    [--sample 30] [--parts DIR --minutes 8]

Several hands are simulated on the true masks of the first frame of each sequence
(`vos_ros/evaluation/hands.py`; a seed is a hand). J first: of the mask that they give, over all
objects and all hands of `--hands`. J of the track: the segmenter follows the masks of all objects
of a sequence, with `--tracked` hands; the first frame does not count. Rows: the prompt network,
GrabCut (strokes: the painted pixels themselves) and the true mask. The time is that of one find,
on one thread.

All tracks of a sequence go through it side by side, so that each frame is read and encoded once.
`--sample N` takes every second, third ... frame of what is longer than N frames. With `--parts`,
what is measured of a sequence is kept in a file and not measured again: repeat the command with
`--minutes` until nothing is left; the table is then of all parts.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
import json
from pathlib import Path
import sys
import time
from typing import Any

import numpy as np
from record import check_tree, parse_args, percentiles, save, table

from vos_ros.backends import load_manifest, open_backend
from vos_ros.backends.base import Backend, Features, Size
from vos_ros.config import RuntimeConfig, SegmenterConfig
from vos_ros.datatypes import Float, Frame, LabelMap, Prompt
from vos_ros.engine.prompter import Hint, Prompter
from vos_ros.engine.segmenter import VideoSegmenter
from vos_ros.errors import VosError
from vos_ros.evaluation.evaluate import write_json
from vos_ros.evaluation.hands import HANDS
from vos_ros.evaluation.metrics import region_similarity
from vos_ros.formats.masks import ids_in
from vos_ros.sequences import DavisSequence, open_davis

#: Smaller objects cannot be pointed at, px of the image.
_LEAST_PIXELS = 30
TRUE = 'mask'
#: Who answers; GrabCut takes strokes as the pixels painted, as *Brush* on the page does.
NETWORK, GRABCUT = 'network', 'GrabCut'

#: Row of the table -> hand -> object id -> J.
Rows = dict[str, dict[str, dict[str, float]]]


class Shared:
    """A backend for segmenters that look at the same frames in turn: each is encoded once."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._image: Float | None = None
        self._features: Features = {}
        self.fallbacks, self.takes_windows = backend.fallbacks, backend.takes_windows
        self.segment, self.encode_mask = backend.segment, backend.encode_mask

    @property
    def name(self) -> str:
        """That of what runs."""
        return self._backend.name

    @property
    def precision(self) -> str:
        """That of what runs."""
        return self._backend.precision

    def encode_image(self, image: Float) -> Features:
        """Encode a frame, or give what was found on it the last time; see Backend."""
        if self._image is None or not np.array_equal(self._image, image):
            self._features = self._backend.encode_image(image)
            self._image = image.copy()
        return {name: seen.copy() for name, seen in self._features.items()}


def open_many(model: str, threads: int) -> Iterator[VideoSegmenter]:
    """Open segmenters of one model, as many as are taken, over one network."""
    manifest, runtime = load_manifest(model), RuntimeConfig(threads=threads)
    config = SegmenterConfig()
    backends: dict[Size, Shared] = {}

    def backend(size: Size) -> Shared:
        if size not in backends:
            backends[size] = Shared(open_backend(manifest, runtime, size, config.max_objects))
        return backends[size]

    while True:
        yield VideoSegmenter(manifest, backend, config)


def hints_of(truth: LabelMap, kind: str, seed: int) -> dict[int, Hint]:
    """Let a hand point at every object of a label map."""
    return {
        k: HANDS[kind]((truth == k).astype(np.uint8), np.random.default_rng((seed, k)))
        for k in pointed_at(truth)
    }


def pointed_at(truth: LabelMap) -> list[int]:
    """Return the ids of objects that are large enough."""
    return [k for k in ids_in(truth) if np.count_nonzero(truth == k) >= _LEAST_PIXELS]


def sampled(length: int, most: int) -> range:
    """
    Return the numbers of the frames that are taken, at an even stride, the first one among them.

    :param length: of the sequence, frames.
    :param most: that are followed after the first; 0 = all.
    """
    return range(0, length, -(-(length - 1) // most) if 0 < most < length - 1 else 1)


def follow(
    segmenters: Sequence[VideoSegmenter],
    sequence: DavisSequence,
    first: Sequence[LabelMap],
    numbers: Sequence[int],
    ids: Sequence[int],
) -> list[dict[str, float]]:
    """Follow first masks side by side; mean J of each object over the frames after the first."""
    sums: list[dict[int, list[float]]] = [defaultdict(list) for _ in first]
    lost = [not labels.any() for labels in first]
    wanted = set(numbers)
    for t, frame in enumerate(sequence):
        if t not in wanted:
            continue
        truth = sequence.label_map(t)
        for segmenter, labels, of_track, is_lost in zip(segmenters, first, sums, lost):
            if is_lost:
                continue
            result = segmenter.step(frame, Prompt(labels) if t == 0 else None)
            if t and truth is not None:
                for k in ids:
                    of_track[k].append(region_similarity(result.label_map == k, truth == k))
    return [
        {str(k): 0.0 if is_lost else float(np.mean(of_track[k])) for k in ids}
        for of_track, is_lost in zip(sums, lost)
    ]


def measure(
    args: argparse.Namespace,
    sequence: DavisSequence,
    prompters: Mapping[str, Prompter],
    segmenters: Iterator[VideoSegmenter],
    pool: list[VideoSegmenter],
) -> dict[str, Any]:
    """Measure one sequence: all rows, all hands."""
    frame: Frame = next(iter(sequence))
    truth = sequence.label_map(0)
    assert truth is not None
    ids = pointed_at(truth)
    first: Rows = defaultdict(dict)
    spent: dict[str, list[float]] = defaultdict(list)
    begun: list[tuple[str, int, LabelMap]] = [(TRUE, 0, truth)] if args.tracked else []
    for who, prompter in prompters.items():
        for kind in args.kinds.split(','):
            row = f'{kind}, {who}'
            for seed in range(args.hands):
                hints = hints_of(truth, kind, seed)
                label_map, found = draw(prompter, frame, hints, spent[row])
                first[row][str(seed)] = {
                    str(k): region_similarity(mask, truth == k) for k, mask in found.items()
                }
                if seed < args.tracked:
                    begun.append((row, seed, label_map))
    numbers = sampled(len(sequence), args.sample)
    while len(pool) < len(begun):
        pool.append(next(segmenters))
    for segmenter in pool:
        segmenter.reset()
    followed = follow(pool, sequence, [labels for _, _, labels in begun], numbers, ids)
    tracks: Rows = defaultdict(dict)
    for (row, seed, _), of_track in zip(begun, followed):
        tracks[row][str(seed)] = of_track
    return {
        'objects': len(ids),
        'stride': numbers.step,
        'frames': len(numbers) - 1,
        'first': first,
        'tracks': tracks,
        'ms': spent,
    }


def main() -> int:
    """Measure, print and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('--davis', action='append', required=True, help='NAME=ROOT; repeat it')
    parser.add_argument('--model', default=RuntimeConfig().model, help='what follows')
    parser.add_argument('--prompt-model', default='prompt_mb', help='name or folder')
    parser.add_argument('--kinds', default=','.join(HANDS), help='hands, by commas')
    parser.add_argument('--hands', type=int, default=5, help='seeds for the first frame')
    parser.add_argument('--tracked', type=int, default=2, help='of them are followed')
    parser.add_argument('--sample', type=int, default=0, help='frames at most, spread; 0 = all')
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--by', choices=('both', NETWORK, GRABCUT), default='both')
    parser.add_argument('--parts', type=Path, help='folder: a file for each sequence; goes on')
    parser.add_argument('--minutes', type=float, default=0, help='begin no sequence after that')
    args = parse_args(parser)

    settings = {
        'model': load_manifest(args.model).sha256,
        **{k: getattr(args, k) for k in ('prompt_model', 'kinds', 'hands', 'tracked', 'sample')},
        'by': args.by,
    }
    prompters = {}
    if args.by != GRABCUT:
        prompters[NETWORK] = Prompter.open(args.prompt_model)
    if args.by != NETWORK:
        prompters[GRABCUT] = Prompter(None)
    segmenters, pool = open_many(args.model, args.threads), list[VideoSegmenter]()
    parts: dict[str, dict[str, Any]] = {}
    left = 0
    began = time.monotonic()
    for given in args.davis:
        name, _, root = given.partition('=')
        for sequence in open_davis(Path(root)):
            key = f'{name}/{sequence.name}'
            path = args.parts and args.parts / f'{name}_{sequence.name}.json'
            if path and path.exists():
                parts[key] = read_part(path, settings)
                continue
            if args.minutes and time.monotonic() - began > 60 * args.minutes:
                left += 1
                continue
            part = measure(args, sequence, prompters, segmenters, pool)
            parts[key] = part | {'settings': settings, 'commit': check_tree(draft=args.draft)}
            if path:
                path.parent.mkdir(parents=True, exist_ok=True)
                write_json(path, parts[key])
            print(key, summary_of(part['tracks']), flush=True)

    names = [given.partition('=')[0] for given in args.davis]
    head = ['prompt', 'answered by', 'J first', *(f'J track, {n}' for n in names), 'all']
    head += ["share of the mask's", 'of sequences', 'hands', 'ms p50']
    spread = (
        f', every n-th frame so that at most {args.sample} are followed' if args.sample else ''
    )
    text = (
        f'{args.model}, short side 480; {len(parts)} sequences{spread}; {args.hands} hands on the '
        f'first frame, {args.tracked} of them followed; means over objects. Share of sequences: '
        'each sequence counts once. Hands: the lowest and the highest of the share. Commits: '
        f'{", ".join(sorted({str(part["commit"])[:7] for part in parts.values()}))}.\n\n'
        + table(head, report(names, parts))
    )
    print(text)
    if left:
        print(f'{left} sequences are left: run the same command again')
        return 0
    sets = ' '.join(f'--davis {n}=ROOT' for n in names)
    options = f'--kinds "{args.kinds}" --hands {args.hands} --tracked {args.tracked}'
    options += f' --sample {args.sample}' * bool(args.sample) + f' --by {args.by}'
    for part in parts.values():
        part['ms'] = {row: percentiles(values) for row, values in part['ms'].items()}
    section = 'prompts' if args.by == 'both' else f'prompts_{args.by.lower()}'
    print(save(section, f'python benchmarks prompts {sets} {options}', text, {'parts': parts}))
    return 0


def read_part(path: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """
    Read what was measured of one sequence.

    :raises VosError: by other settings.
    """
    part: dict[str, Any] = json.loads(path.read_text())
    if part['settings'] != settings:
        raise VosError(f'{path} was measured by other settings; take another folder')
    return part


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


def values_of(
    parts: Iterable[Mapping[str, Any]], what: str, row: str, seed: str = ''
) -> list[Any]:
    """
    Collect J of all objects, sequence by sequence.

    :param what: 'first' or 'tracks'.
    :param seed: of one hand; '' = of all.
    :return: a list for each sequence.
    """
    found = []
    for part in parts:
        hands = part[what].get(row, {})
        chosen = [hands.get(seed, {})] if seed else hands.values()
        found.append([value for of_hand in chosen for value in of_hand.values()])
    return [values for values in found if values]


def mean(of_sequences: Sequence[Sequence[float]]) -> float:
    """Return the mean over objects; nan of nothing."""
    values = [value for of_sequence in of_sequences for value in of_sequence]
    return float(np.mean(values)) if values else float('nan')


def mean_of_sequences(of_sequences: Sequence[Sequence[float]]) -> float:
    """Return the mean over sequences of the mean over objects; nan of nothing."""
    return mean([[mean([values]) for values in of_sequences]])


def summary_of(tracks: Rows) -> dict[str, float]:
    """Return the mean J of each row."""
    return {
        row: round(mean([list(v.values()) for v in r.values()]), 3) for row, r in tracks.items()
    }


def report(names: Sequence[str], parts: Mapping[str, Any]) -> list[list[object]]:
    """Return the rows of the table."""
    everything = list(parts.values())
    of_set = {n: [p for key, p in parts.items() if key.startswith(f'{n}/')] for n in names}
    true = values_of(everything, 'tracks', TRUE)
    rows: list[list[object]] = []
    for row in (TRUE, *(everything[0]['first'] if everything else ())):
        kind, _, who = row.partition(', ')
        tracks = values_of(everything, 'tracks', row)
        first = values_of(everything, 'first', row)
        seeds = sorted({seed for part in everything for seed in part['tracks'].get(row, ())})
        shares = [mean(values_of(everything, 'tracks', row, s)) / mean(true) for s in seeds]
        spent = [ms for part in everything for ms in part['ms'].get(row, ())]
        rows.append(
            [
                kind,
                who or 'itself',
                f'{mean(first):.3f}' if first else '1.000',
                *(f'{mean(values_of(of_set[n], "tracks", row)):.3f}' for n in names),
                f'{mean(tracks):.3f}',
                f'{mean(tracks) / mean(true):.2f}',
                f'{mean_of_sequences(tracks) / mean_of_sequences(true):.2f}',
                f'{min(shares):.2f} to {max(shares):.2f}' if len(shares) > 1 else '',
                f'{np.median(spent):.0f}' if spent else '',
            ]
        )
    return rows


if __name__ == '__main__':
    sys.exit(main())
