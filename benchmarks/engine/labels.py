# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Probabilities to labels: what the labeler does, against deciding every pixel.

python benchmarks labels [--rounds N]

Discs with noisy outlines stand for objects. Pixels that differ are counted first: where two are
equally probable, rounding decides. Between two measurements other memory is gone through, as
the network does between two frames, so that caches are cold for both.
"""

from __future__ import annotations

import argparse
from functools import partial
import statistics
import sys
import time
from typing import TYPE_CHECKING

import cv2
import numpy as np
from record import parse_args, save, table
from workload import size_text

from vos_ros.datatypes import Float
from vos_ros.engine.labels import aggregate, Labeler
from vos_ros.engine.preprocess import network_size

if TYPE_CHECKING:
    from collections.abc import Callable

CAMERAS = ((480, 640), (480, 854), (720, 1280), (1080, 1920), (2160, 3840))  # height, width
OBJECTS = (1, 2, 5, 10)


def discs(objects: int, cells: tuple[int, int], rng: np.random.Generator) -> Float:
    """Return (K + 1, h, w) probabilities of discs that may cover each other."""
    rows, columns = np.mgrid[: cells[0], : cells[1]]
    logits = np.empty((objects, *cells), np.float32)
    for plane in logits:
        y, x = rng.uniform(10, cells[0] - 10), rng.uniform(10, cells[1] - 10)
        inside = rng.uniform(8, 25) - np.hypot(rows - y, (columns - x) * rng.uniform(0.5, 1.5))
        plane[:] = np.clip(1.2 * inside + 0.3 * rng.standard_normal(cells), -10, 10)
    return aggregate(logits)


def main() -> int:
    """Measure, print and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('--rounds', type=int, default=30)
    args = parse_args(parser)
    cv2.setNumThreads(1)  # as in the node
    rng = np.random.default_rng(0)
    other = rng.random(4_000_000)

    def cold_ms(job: Callable[[], object]) -> float:
        np.add(other, 1.0, out=other)
        began = time.perf_counter()
        job()
        return (time.perf_counter() - began) * 1e3

    rows, raw = [], {}
    for camera in CAMERAS:
        height, width = network_size(camera, 480)
        for objects in OBJECTS:
            prob, ids = discs(objects, (height // 4, width // 4), rng), range(1, objects + 1)
            labeler, whole = Labeler(), Labeler()
            differing = int((labeler(prob, ids, camera) != whole._decide(prob, ids, camera)).sum())
            every, ours = [], []
            for _ in range(args.rounds):
                every.append(cold_ms(partial(whole._decide, prob, ids, camera)))
                ours.append(cold_ms(partial(labeler, prob, ids, camera)))
            every_ms, ours_ms = statistics.median(every), statistics.median(ours)
            name = f'{size_text(camera)}, {objects}'
            raw[name] = {'every': every_ms, 'labeler': ours_ms, 'differing': differing}
            cells = [f'{every_ms:.2f}', f'{ours_ms:.2f}', f'{every_ms / ours_ms:.1f}', differing]
            rows.append([size_text(camera), objects, *cells])
            print(*rows[-1], flush=True)
    text = f'One thread, medians of {args.rounds} in turns, short side 480, stride 4.\n\n' + table(
        ['camera', 'objects', 'every pixel, ms', 'labeler, ms', 'ratio', 'pixels that differ'],
        rows,
    )
    print(save('labels', f'python benchmarks labels --rounds {args.rounds}', text, raw))
    return 0


if __name__ == '__main__':
    sys.exit(main())
