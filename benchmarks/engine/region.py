# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Whether small objects gain by a region of interest: the network sees a crop instead of the picture.

python benchmarks region --davis ROOT [--sequences A,B] [--model M] [--sizes 480,320]

An upper bound, for the crop knows the truth: the box of all true masks of the whole clip, grown,
with the picture's aspect, so it never moves and nothing is ever outside. Without these two gifts a
crop can only be worse. J&F at the size of the camera; processor time of a step, the variants in
turn on the same frames.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path
import sys
from time import thread_time
from typing import Any

import cv2
import numpy as np
from record import parse_args, save, table

from vos_ros.config import RuntimeConfig, SegmenterConfig
from vos_ros.datatypes import Frame, LabelMap
from vos_ros.engine.segmenter import VideoSegmenter
from vos_ros.evaluation.evaluate import prompt_for_new
from vos_ros.evaluation.metrics import SequenceScorer
from vos_ros.sequences import DavisSequence, open_davis

#: Sides of the crop, in sides of the box of all true masks.
MARGINS = (1.25, 1.5, 2.0)


@dataclass(frozen=True)
class Region:
    """
    A part of the picture, px.

    :param x: of its left column.
    :param y: of its top row.
    """

    x: int
    y: int
    width: int
    height: int

    def of(self, picture: np.ndarray) -> np.ndarray:
        """Cut it out of a picture (H, W, ...)."""
        part = picture[self.y : self.y + self.height, self.x : self.x + self.width]
        return np.ascontiguousarray(part)

    def put(self, labels: LabelMap, size: tuple[int, int]) -> LabelMap:
        """Put its labels into a picture of size (H, W), background elsewhere."""
        whole = np.zeros(size, labels.dtype)
        whole[self.y : self.y + self.height, self.x : self.x + self.width] = labels
        return whole


def region_of(sequence: DavisSequence, margin: float) -> Region:
    """Return the box of all true masks, grown by `margin` and to the aspect of the picture."""
    truths = [t for k in range(len(sequence)) if (t := sequence.label_map(k)) is not None]
    everywhere = np.max([t > 0 for t in truths], axis=0).astype(np.uint8)
    rows, columns = everywhere.shape
    x, y, width, height = cv2.boundingRect(everywhere)
    scale = min(1.0, max(margin * width / columns, margin * height / rows))
    wide, high = (max(16, round(scale * side)) for side in (columns, rows))
    left = min(max(0, round(x + width / 2 - wide / 2)), columns - wide)
    top = min(max(0, round(y + height / 2 - high / 2)), rows - high)
    return Region(left, top, wide, high)


@dataclass
class Variant:
    """
    One way to look at a clip.

    :param margin: of the crop; None = the whole picture.
    :param size: short side of the network's input, px.
    """

    margin: float | None
    size: int
    segmenter: VideoSegmenter
    jf: dict[str, float] = field(default_factory=dict)  # by sequence
    step_ms: list[float] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Say what it sees."""
        seen = 'whole picture' if self.margin is None else f'crop, {self.margin:g} of the box'
        return f'{seen}, {self.size} px'


def follow(variants: list[Variant], sequence: DavisSequence) -> None:
    """Follow one clip by all variants in turn."""
    height, width = next(iter(sequence)).size
    whole = Region(0, 0, width, height)
    regions = [whole if v.margin is None else region_of(sequence, v.margin) for v in variants]
    scorers = [SequenceScorer() for _ in variants]
    known: list[set[int]] = [set() for _ in variants]
    for variant in variants:
        variant.segmenter.reset()
    for number, frame in enumerate(sequence):
        gt = sequence.label_map(number)
        order = range(len(variants))
        for k in order if number % 2 else order[::-1]:
            variant, region = variants[k], regions[k]
            part = Frame(region.of(frame.image), stamp_ns=frame.stamp_ns)
            prompt = None if gt is None else prompt_for_new(region.of(gt), known[k])
            began = thread_time()
            result = variant.segmenter.step(part, prompt)
            if prompt is None:
                variant.step_ms.append(1e3 * (thread_time() - began))
            if gt is not None:
                scorers[k].feed(region.put(result.label_map, frame.size), gt)
    for variant, scorer in zip(variants, scorers):
        scores = scorer.conclude().values()
        variant.jf[sequence.name] = float(np.mean([score.jf for score in scores]))


def main() -> int:
    """Measure, print and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('--davis', type=Path, required=True, help='data set in DAVIS layout')
    parser.add_argument('--sequences', default='', help='only these, with commas between')
    parser.add_argument('--model', default=RuntimeConfig().model)
    parser.add_argument(
        '--sizes', default='480,320', help='short sides; the first is the baseline'
    )
    args = parse_args(parser)
    names = [name for name in args.sequences.split(',') if name]
    sequences = open_davis(args.davis, names=names)
    cv2.setNumThreads(1)

    variants = []
    for size in map(int, args.sizes.split(',')):
        for margin in (None, *MARGINS):
            config = SegmenterConfig(input_size=size)
            runtime = RuntimeConfig(threads=1)
            segmenter = VideoSegmenter.open(args.model, config=config, runtime=runtime)
            variants.append(Variant(margin, size, segmenter))
    for sequence in sequences:
        follow(variants, sequence)
        scores = (f'{v.name}: {v.jf[sequence.name]:.3f}' for v in variants)
        print(sequence.name, *scores, sep='\t', flush=True)

    rows: list[list[object]] = []
    raw: dict[str, Any] = {}
    base = variants[0]
    for variant in variants:
        jf, p50 = float(np.mean(list(variant.jf.values()))), float(np.median(variant.step_ms))
        gain = jf - float(np.mean(list(base.jf.values())))
        raw[variant.name] = {'jf': jf, 'sequences': variant.jf, 'step_p50_ms': p50}
        rows.append([
            variant.name, f'{jf:.3f}', f'{gain:+.3f}', f'{p50:.1f}',
            *(f'{score:.3f}' for score in variant.jf.values()),
        ])  # fmt: skip
    head = ['the network sees', 'J&F', 'gain', 'step p50 ms (processor)', *base.jf]
    text = table(head, rows)
    print(text)
    command = f'python benchmarks region --davis {args.davis.name} --sequences {",".join(base.jf)}'
    print(save('region', command, text, raw))
    return 0


if __name__ == '__main__':
    sys.exit(main())
