# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Whether masks end where the given one did: J&F by `outline`, and of masks that are redrawn.

python benchmarks outlines ROOT [ROOT ...] [--model M] [--threads N] [--pixels -3 0 3]

Every true mask of data sets in DAVIS layout is redrawn by so many pixels (at 480) outwards, the
first one, which is given, as well as those that are compared with. Needs the training package.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
import sys
from typing import Any

import numpy as np
from record import parse_args, save, table
from workload import model_line

from vos_distill.data.outlines import redrawn
from vos_ros.config import RuntimeConfig, SegmenterConfig
from vos_ros.datatypes import Frame, LabelMap
from vos_ros.engine.outlines import EDGE, GIVEN, TIGHTER
from vos_ros.engine.segmenter import VideoSegmenter
from vos_ros.evaluation.evaluate import evaluate_sequence
from vos_ros.sequences import MaskedSequence, open_davis

WAYS = (EDGE, TIGHTER, GIVEN)


class Redrawn:
    """A sequence whose true masks are drawn tighter or looser than they are."""

    def __init__(self, frames: MaskedSequence, pixels: float) -> None:
        self._frames, self._pixels = frames, pixels

    def __getattr__(self, name: str) -> Any:
        return getattr(self._frames, name)

    def __len__(self) -> int:
        return len(self._frames)

    def __iter__(self) -> Iterator[Frame]:
        return iter(self._frames)

    def label_map(self, index: int) -> LabelMap | None:
        """Give the masks of a frame, by id."""
        labels = self._frames.label_map(index)
        if labels is None or not self._pixels:
            return labels
        return redrawn(labels, self._pixels * min(labels.shape) / 480)


def score(segmenter: VideoSegmenter, root: Path, pixels: float) -> dict[str, tuple[float, int]]:
    """Return J&F and the number of objects of each sequence."""
    found = {}
    for sequence in open_davis(root):
        report = evaluate_sequence(segmenter, Redrawn(sequence, pixels))  # type: ignore[arg-type]
        if report.summary is not None:
            found[sequence.name] = (report.summary.jf, len(report.objects))
    return found


def main() -> int:
    """Measure, print and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('roots', nargs='+', type=Path, metavar='ROOT', help='data set')
    parser.add_argument('--model', default=RuntimeConfig().model)
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--pixels', type=float, nargs='+', default=[-3.0, 0.0, 3.0])
    args = parse_args(parser)

    runtime = RuntimeConfig(backend='cpu', threads=args.threads)
    segmenters = {
        way: VideoSegmenter.open(args.model, config=SegmenterConfig(outline=way), runtime=runtime)
        for way in WAYS
    }
    lines, raw = [], {}
    for root in args.roots:
        for pixels in args.pixels:
            found = {way: score(one, root, pixels) for way, one in segmenters.items()}
            means = []
            for by_sequence in found.values():
                jf, objects = zip(*by_sequence.values())
                means.append(float(np.average(jf, weights=objects)))
            lines.append([root.name, f'{pixels:+g}', *(f'{mean:.3f}' for mean in means)])
            print('  '.join(lines[-1]), flush=True)
            raw[f'{root.name} {pixels:+g}'] = found
    model = segmenters[EDGE]
    text = '\n\n'.join(
        [
            f'{model_line(model)}, {args.threads} threads, {model.backend_name}. J&F, mean over '
            'objects; true masks, given and compared with, redrawn by so many pixels at 480:',
            table(['data set', 'px', *WAYS], lines),
        ]
    )
    names = ' '.join(f'DATA/{root.name}' for root in args.roots)
    print(save('outlines', f'python benchmarks outlines {names}', text, raw))
    return 0


if __name__ == '__main__':
    sys.exit(main())
