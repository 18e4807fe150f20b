# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Whether objects that were away for long are found again, and nothing else is taken for them.

python benchmarks occlusions [--model M]... [--set redetect.enabled=true]...

Drawn clips with exact truth (`vos_ros/harness/occlusions.py`): 20 kinds, three seeds each. The
figures are those of `vos eval` (`vos_ros/evaluation/occlusion.py`). They compare methods; they are
no accuracy on anything else. `--write DIR` writes the clips, in DAVIS layout, and measures
nothing. No time is measured.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
import json
from pathlib import Path
import sys
from typing import Any

from record import parse_args, save, table

from vos_ros.config import from_settings, RuntimeConfig, SegmenterConfig, settings
from vos_ros.datatypes import Frame, Prompt
from vos_ros.engine.segmenter import VideoSegmenter
from vos_ros.evaluation.evaluate import prompt_for_new
from vos_ros.evaluation.metrics import SequenceScorer
from vos_ros.evaluation.occlusion import OcclusionFigures
from vos_ros.harness.occlusions import KINDS, RATE_HZ, render, write_clips

SEEDS = (0, 1, 2)


def follow(segmenter: VideoSegmenter, kind: str, seed: int) -> OcclusionFigures:
    """Return the figures of one clip."""
    scorer, known = SequenceScorer(), set[int]()
    segmenter.reset()
    for number, (image, gt) in enumerate(render(kind, seed)):
        frame = Frame(image, stamp_ns=round((number + 1) * 1e9 / RATE_HZ))
        prompt: Prompt | None = prompt_for_new(gt, known)
        result = segmenter.step(frame, prompt)
        scorer.occlusion.feed(result.label_map, gt, frame.stamp_ns)
    return scorer.occlusion.conclude()


def setting_of(text: str) -> tuple[str, object]:
    """Read NAME=VALUE by the type of the setting's default."""
    name, _, value = text.partition('=')
    known = dict(settings(SegmenterConfig))
    kind = type(known[name].default) if name in known else str
    return name, kind(json.loads(value)) if kind is not str else value


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

    given = dict(map(setting_of, args.set))
    models = args.model or [RuntimeConfig().model]
    rows, raw, texts = [], {}, []
    for model in models:
        for changed in [{}, given] if given else [{}]:
            config = from_settings(SegmenterConfig, {'input_size': args.size, **changed})
            runtime = RuntimeConfig(threads=args.threads)
            segmenter = VideoSegmenter.open(model, config=config, runtime=runtime)
            name = ', '.join([segmenter.manifest.name, *(f'{k} {v}' for k, v in changed.items())])
            found: dict[str, list[OcclusionFigures]] = {}
            for kind in kinds:
                found[kind] = [follow(segmenter, kind, seed) for seed in seeds]
                print(name, kind, *cells(OcclusionFigures.of(found[kind])), sep='\t', flush=True)
            overall = OcclusionFigures.of(part for parts in found.values() for part in parts)
            rows.append([name, *cells(overall)])
            print(*rows[-1], sep='\t', flush=True)
            by_kind = [[k, *cells(OcclusionFigures.of(parts))] for k, parts in found.items()]
            texts.append(f'By kind, {name}:\n\n{table(HEAD, by_kind)}')
            raw[name] = {
                'overall': overall.to_dict(),
                **{k: [part.to_dict() for part in parts] for k, parts in found.items()},
            }
    text = (
        f'{len(kinds)} kinds, {args.seeds} clips of each, 90 frames of 320x240 at {RATE_HZ:.0f} '
        f'Hz.\n\n{table(HEAD, rows)}\n\n' + '\n\n'.join(texts)
    )
    given_as = ' '.join([*(f'--model {m}' for m in models), *(f'--set {s}' for s in args.set)])
    size = f' --size {args.size}' if args.size else ''
    print(save('occlusions', f'python benchmarks occlusions {given_as}{size}', text, raw))
    return 0


if __name__ == '__main__':
    sys.exit(main())
