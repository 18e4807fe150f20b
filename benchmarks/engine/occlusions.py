# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Whether objects that were away for long are found again, and nothing else is taken for them.

python benchmarks occlusions [--model M]... [--set redetect.enabled=true]...

Drawn clips with exact truth (`vos_ros/harness/occlusions.py`), three seeds of each kind. The
figures are those of `vos eval` (`vos_ros/evaluation/occlusion.py`). They compare methods; they are
no accuracy on anything else. Beside them: what is found by what makes a return difficult, and
whether, when the object came back, its mask was gone or on something else.

With `--set` every clip is followed without and with it, a frame here and the same frame there in
turn, so the times of a step compare, of those frames on which an object is out of sight: `labels`
is what a subscriber waits for, `step` has what follows. In processor time of this thread, for
other programs take the wall's. `--write DIR` writes the clips, in DAVIS layout, and measures
nothing.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
import sys
from time import thread_time
from typing import Any

import cv2
import numpy as np
from record import parse_args, percentiles, save, table

from vos_ros.config import from_settings, read_settings, RuntimeConfig, SegmenterConfig
from vos_ros.datatypes import Frame, LabelMap, Segmentation
from vos_ros.engine.segmenter import VideoSegmenter
from vos_ros.evaluation.evaluate import prompt_for_new
from vos_ros.evaluation.metrics import SequenceScorer
from vos_ros.evaluation.occlusion import AWAY_FRAMES, OcclusionFigures, OcclusionScorer
from vos_ros.formats.masks import ids_in
from vos_ros.harness.occlusions import KINDS, RATE_HZ, render, traits, write_clips

SEEDS = (0, 1, 2)
#: Share of the largest true area from which a mask is a claim.
_CLAIM = 0.1


@dataclass
class _Watched:
    """One object of a clip."""

    scorer: OcclusionScorer = field(default_factory=OcclusionScorer)
    largest: int = 0
    absent: int = 0  # frames in a row
    claimed: bool = False  # there was a mask on the frame before
    claimed_at_return: bool | None = None  # None = it never came back


@dataclass
class Followed:
    """
    One clip, followed by one segmenter.

    :param name: of the segmenter with its settings.
    """

    name: str
    segmenter: VideoSegmenter
    scorer: SequenceScorer = field(default_factory=SequenceScorer)
    objects: dict[int, _Watched] = field(default_factory=dict)
    known: set[int] = field(default_factory=set)
    labels_ms: list[float] = field(default_factory=list)  # while an object is out of sight
    step_ms: list[float] = field(default_factory=list)
    in_sight_ms: list[float] = field(default_factory=list)  # a step, all objects in sight

    def step(self, frame: Frame, gt: LabelMap) -> None:
        """Follow one more frame, and note what came of it."""
        prompt = prompt_for_new(gt, self.known)
        if prompt is not None:
            result = self.segmenter.step(frame, prompt)
        else:
            began = thread_time()
            result = self.segmenter.segment(frame)
            labels = thread_time()
            self.segmenter.memorize()
            done = thread_time()
            if any(each.absent for each in self.objects.values()):
                self.labels_ms.append(1e3 * (labels - began))
                self.step_ms.append(1e3 * (done - began))
            else:
                self.in_sight_ms.append(1e3 * (done - began))
        self.scorer.occlusion.feed(result.label_map, gt, frame.stamp_ns)
        self._watch(result, gt)

    def _watch(self, result: Segmentation, gt: LabelMap) -> None:
        for object_id in {*ids_in(gt), *self.objects}:
            each = self.objects.setdefault(object_id, _Watched())
            own = np.asarray(result.label_map == object_id, np.uint8)
            true = np.asarray(gt == object_id, np.uint8)
            each.scorer.feed(own, true, result.stamp_ns)
            if true.any() and each.absent >= AWAY_FRAMES and each.claimed_at_return is None:
                each.claimed_at_return = each.claimed
            each.largest = max(each.largest, int(true.sum()))
            each.absent = 0 if true.any() else each.absent + 1
            each.claimed = int(own.sum()) > _CLAIM * each.largest

    def returns(self) -> list[tuple[bool, bool]]:
        """Return of each object that came back: its mask was elsewhere then; it was found."""
        found = []
        for each in self.objects.values():
            figures = each.scorer.conclude()
            if figures.returns and each.claimed_at_return is not None:
                found.append((each.claimed_at_return, bool(figures.recovery_frames)))
        return found


def follow(segmenters: Mapping[str, VideoSegmenter], kind: str, seed: int) -> dict[str, Followed]:
    """Follow one clip with several segmenters in turn; return what each of them did, by name."""
    found = {name: Followed(name, segmenter) for name, segmenter in segmenters.items()}
    for segmenter in segmenters.values():
        segmenter.reset()
    for number, (image, gt) in enumerate(render(kind, seed)):
        frame = Frame(image, stamp_ns=round((number + 1) * 1e9 / RATE_HZ))
        # Whose turn comes first changes, so that warm caches favour nobody.
        turns = list(found.values())
        for each in turns if number % 2 else turns[::-1]:
            each.step(frame, gt)
    return found


def cells(figures: OcclusionFigures) -> list[object]:
    """Return what a table shows of them."""
    part: Mapping[str, Any] = figures.to_dict()

    def number(name: str, digits: int = 3) -> str:
        return '-' if part[name] is None else f'{part[name]:.{digits}f}'

    return [
        f'{part["recovered"]} of {part["returns"]}',
        number('recovered_share'),
        number('recovery_s', 1),
        part['false_recoveries'],
        number('false_share'),
        part['id_swaps'],
        number('time_to_failure'),
        number('hota'),
        number('ass_a'),
    ]


HEAD = ['', 'found again', 'share', 'after s (median)', 'false recoveries', 'frames on something '
        'else', 'ids exchanged', 'time to failure', 'HOTA', 'AssA']  # fmt: skip


def figures_of(clips: Sequence[Followed]) -> OcclusionFigures:
    """Return the figures of several clips together."""
    return OcclusionFigures.of(clip.scorer.occlusion.conclude() for clip in clips)


def share(hits: Sequence[bool]) -> str:
    """Return how many of them are true, in words."""
    return f'{sum(hits)} of {len(hits)}' if hits else '-'


def by_trait(clips: Mapping[str, Mapping[str, Sequence[Followed]]]) -> str:
    """Return a table: found again by what makes a return difficult, and by where the mask was."""
    counts = Counter(trait for kind in next(iter(clips.values())) for trait in traits(kind))
    rows: list[list[object]] = []
    for trait in counts:
        some = {n: [c for k in of if trait in traits(k) for c in of[k]] for n, of in clips.items()}
        cells: list[object] = [trait]
        for each in some.values():
            figures = figures_of(each)
            cells += [f'{len(figures.recovery_frames)} of {figures.returns}',
                      figures.false_recoveries]  # fmt: skip
        rows.append(cells)
    head = ['the return is', *(c for n in clips for c in (f'{n}: found', 'false recoveries'))]
    rows_of_masks = []
    for name, of in clips.items():
        returns = [one for each in of.values() for clip in each for one in clip.returns()]
        gone = [found for elsewhere, found in returns if not elsewhere]
        wrong = [found for elsewhere, found in returns if elsewhere]
        rows_of_masks.append([name, share(gone), share(wrong)])
    masks = table(['when it came back, the mask was', 'gone: found', 'on something else: found'],
                  rows_of_masks)  # fmt: skip
    return f'{table(head, rows)}\n\n{masks}'


def times(clips: Mapping[str, Mapping[str, Sequence[Followed]]]) -> tuple[str, dict[str, Any]]:
    """Return a table and the numbers: processor time of the frames without an object in sight."""
    rows, raw = [], {}
    for name, of in clips.items():
        every = [clip for each in of.values() for clip in each]
        parts = {
            part: percentiles([ms for clip in every for ms in getattr(clip, part)])
            for part in ('labels_ms', 'step_ms', 'in_sight_ms')
        }
        raw[name] = parts
        rows.append([name, parts['step_ms']['n'], *(f'{part[p]:.1f}' for part in parts.values()
                                                    for p in ('p50', 'p95', 'p99'))])  # fmt: skip
    head = ['', 'frames', *(f'{part} {p} ms' for part in ('labels', 'step', 'in sight: step')
                            for p in ('p50', 'p95', 'p99'))]  # fmt: skip
    return table(head, rows), raw


def report(clips: Mapping[str, Mapping[str, Sequence[Followed]]]) -> tuple[str, dict[str, Any]]:
    """Return the report's text and numbers on clips by segmenter and kind."""
    rows, texts = [], []
    timed, parts = times(clips)
    raw: dict[str, Any] = {'times': parts}
    for name, of in clips.items():
        overall = figures_of([clip for each in of.values() for clip in each])
        rows.append([name, *cells(overall)])
        by_kind = [[k, *cells(figures_of(each))] for k, each in of.items()]
        texts.append(f'By kind, {name}:\n\n{table(HEAD, by_kind)}')
        raw[name] = {
            'overall': overall.to_dict(),
            **{k: [figures_of([clip]).to_dict() for clip in each] for k, each in of.items()},
        }
    count = [len(each) for each in next(iter(clips.values())).values()]
    text = (
        f'{len(count)} kinds, {sum(count)} clips, 90 frames of 320x240 at {RATE_HZ:.0f} Hz.\n\n'
        f'{table(HEAD, rows)}'
    )
    away = f'While an object is out of sight:\n\n{timed}'
    return '\n\n'.join([text, by_trait(clips), away, *texts]), raw


def main() -> int:
    """Measure, print and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('--model', action='append', help='name or folder; may be repeated')
    parser.add_argument(
        '--set', action='append', default=[], metavar='NAME=VALUE', help='a setting beside none'
    )
    parser.add_argument('--size', type=int, default=0, help="short side; 0 = the model's own")
    parser.add_argument('--seeds', type=int, default=len(SEEDS), help='clips of each kind')
    parser.add_argument('--kinds', default='', help='only these, with commas between')
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--write', type=Path, help='write the clips to this folder, no more')
    args = parse_args(parser)
    kinds = [k for k in args.kinds.split(',') if k] or list(KINDS)
    seeds = range(args.seeds)
    if args.write is not None:
        print(f'{args.write}: {write_clips(args.write, seeds, kinds)} clips')
        return 0

    cv2.setNumThreads(1)
    given = read_settings(SegmenterConfig, args.set)
    models = args.model or [RuntimeConfig().model]
    segmenters = {}
    for model in models:
        for changed in [{}, given] if given else [{}]:
            config = from_settings(SegmenterConfig, {'input_size': args.size, **changed})
            runtime = RuntimeConfig(threads=args.threads)
            segmenter = VideoSegmenter.open(model, config=config, runtime=runtime)
            name = ', '.join([segmenter.manifest.name, *(f'{k} {v}' for k, v in changed.items())])
            segmenters[name] = segmenter
    clips: dict[str, dict[str, list[Followed]]] = {name: {} for name in segmenters}
    options = [*(f'--model {m}' for m in models), *(f'--set {s}' for s in args.set)]
    options += [f'--size {args.size}'] if args.size else []
    options += [f'--seeds {args.seeds}'] if args.seeds != len(SEEDS) else []
    for done, kind in enumerate(kinds, 1):
        for seed in seeds:
            for name, followed in follow(segmenters, kind, seed).items():
                clips[name].setdefault(kind, []).append(followed)
                print(kind, seed, name, *cells(figures_of([followed])), sep='\t', flush=True)
        text, raw = report(clips)
        only = [f'--kinds {",".join(kinds[:done])}'] if kinds[:done] != list(KINDS) else []
        command = ' '.join(['python benchmarks occlusions', *options, *only])
        # After each kind: a run that is ended loses nothing, and says what it has.
        folder = save('occlusions', command, text, raw)
    print(text, folder, sep='\n\n')
    return 0


if __name__ == '__main__':
    sys.exit(main())
