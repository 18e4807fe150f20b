# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Whether objects that look alike and cross keep their ids.

python benchmarks twins --data DATA --model fast_mb --model fast_mb_slim

Clips are composed as for training (`vos_distill.data.ClipComposer`, a seed that no recipe uses):
an object, and a copy of it, tinted in about every other clip, which crosses its way or stays
beside it.
With copies that are equal, hidden behind each other, nobody can always tell; the figures compare
models, they are no accuracy of anything else. Needs the training package; no time is measured.
"""

from __future__ import annotations

import argparse
from pathlib import Path
import sys
from typing import Any

import numpy as np
from record import parse_args, save, table

from vos_distill.data import ClipComposer, ClipConfig, load_stills, load_videos
from vos_ros.config import RuntimeConfig, SegmenterConfig
from vos_ros.datatypes import Frame, Prompt
from vos_ros.engine.segmenter import VideoSegmenter
from vos_ros.evaluation.metrics import SequenceScorer, summarize

SEED = 777
RATE_HZ = 24.0
CONFIG = ClipConfig(
    size=384, frames=24, real=0.3, max_gap=1, speed=0.03, camera_speed=0.015, occluder=0.3,
    twin=1.0, crossing=1.0, beside=0.3,
)  # fmt: skip
_SMALLEST, _LARGEST = 1500, 40_000  # px on the first frame
_LOST = 0.6

Image = np.ndarray[Any, np.dtype[np.uint8]]


def compose(data: Path, count: int) -> list[tuple[Image, Image]]:
    """Give images (T, 384, 384, 3) and label maps (T, 384, 384) of clips with two objects."""
    videos = load_videos([data / 'davis2016', data / 'davis2017'])
    clips = ClipComposer(load_stills(data / 'static'), videos, CONFIG).clips(SEED)
    found = []
    while len(found) < count:
        images, labels, *_ = next(clips)
        one, two = (int((labels[0] == k).sum()) for k in (1, 2))
        if two > _SMALLEST and _SMALLEST < one < _LARGEST:
            found.append((images, np.where(labels < 3, labels, 0).astype(np.uint8)))
    return found


def follow(segmenter: VideoSegmenter, images: Image, labels: Image) -> float:
    """Return J&F over both objects of one clip."""
    scorer = SequenceScorer()
    segmenter.reset()
    for t, (image, gt) in enumerate(zip(images, labels)):
        frame = Frame(image, stamp_ns=round((t + 1) * 1e9 / RATE_HZ))
        scorer.feed(segmenter.step(frame, Prompt(gt) if t == 0 else None).label_map, gt)
    summary = summarize(scorer.conclude().values())
    assert summary is not None
    return summary.jf


def main() -> int:
    """Measure, print and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('--data', required=True, type=Path, help='training data, see docs')
    parser.add_argument('--model', action='append', help='name or folder; may be repeated')
    parser.add_argument('--clips', type=int, default=24)
    parser.add_argument('--threads', type=int, default=1)
    args = parse_args(parser)

    clips = compose(args.data, args.clips)
    rows, raw = [], {}
    for model in args.model or [RuntimeConfig().model]:
        segmenter = VideoSegmenter.open(
            model, config=SegmenterConfig(), runtime=RuntimeConfig(threads=args.threads)
        )
        jf = np.array([follow(segmenter, *clip) for clip in clips])
        error = float(jf.std(ddof=1) / np.sqrt(len(jf))) if len(jf) > 1 else 0.0
        name = segmenter.manifest.name
        rows.append([name, f'{jf.mean():.3f}', f'{error:.3f}', int((jf < _LOST).sum())])
        raw[name] = jf.round(4).tolist()
        print(*rows[-1], flush=True)
    head = ['model', 'J&F', 'standard error', f'clips below {_LOST}']
    text = (
        f'{args.clips} clips of {CONFIG.frames} frames, 384x384 (network input 480x480): an '
        'object and its copy cross or stay side by side.\n\n' + table(head, rows)
    )
    models = ' '.join(f'--model {row[0]}' for row in rows)
    print(save('twins', f'python benchmarks twins --data DATA {models}', text, raw))
    return 0


if __name__ == '__main__':
    sys.exit(main())
