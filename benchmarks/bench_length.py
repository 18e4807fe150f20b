# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Whether a frame costs the same after 20 frames and after 1000, and whether memory grows.

python benchmarks/bench_length.py [--model M] [--size S] [--frames N]

Two segmenters take turns on the same frames: the old one runs through, the young one is started
anew every 20 frames. Old / young, frame by frame, is then free of what else the machine does.
Before that, both must agree where they can: just after the start.
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np
from record import frames_of_clip, percentiles, resident_mib, save, table

from vos_ros.config import RuntimeConfig, SegmenterConfig
from vos_ros.datatypes import Frame, Prompt
from vos_ros.segmenter import VideoSegmenter

CLIP = 120
YOUNG_FOR = 20
WARM_UP = 20


def main() -> int:
    """Measure, print and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('--model', default=RuntimeConfig().model, help='name or folder')
    parser.add_argument('--size', type=int, default=0, help="short side; 0 = the model's own")
    parser.add_argument('--frames', type=int, default=1000, help='how old the old one gets')
    args = parser.parse_args()

    clip = frames_of_clip(CLIP)
    # There and back again: motion without a jump, for any number of frames.
    order = [*range(CLIP), *range(CLIP - 2, 0, -1)]
    config = SegmenterConfig(input_size=args.size)
    old, young = (VideoSegmenter.open(args.model, config=config) for _ in range(2))

    def step(segmenter: VideoSegmenter, number: int, *, restart: bool) -> tuple[float, np.ndarray]:
        image, labels = clip[order[number % len(order)]]
        prompt = Prompt(labels) if restart else None
        if restart:
            segmenter.reset()
        start = time.perf_counter()
        result = segmenter.step(Frame(image), prompt)
        return (time.perf_counter() - start) * 1e3, result.label_map

    old_ms, young_ms, resident, bank = [], [], [], []
    for number in range(args.frames):
        restart = number % YOUNG_FOR == 0
        young_cost, young_map = step(young, number, restart=restart)
        old_cost, old_map = step(old, number, restart=number == 0)
        if number < YOUNG_FOR and (old_map != young_map).any():
            print(f'frame {number}: the same start gives other masks', file=sys.stderr)
            return 1
        # A prompted frame costs something else; neither counts then, or pairs would be unequal.
        if not restart:
            old_ms.append((number, old_cost))
            young_ms.append((number, young_cost))
        if (number >= WARM_UP and number % 100 == 20) or number == args.frames - 1:
            resident.append((number, round(resident_mib(), 1)))
            bank.append((number, old.memory.nbytes))

    rows = []
    for low in range(0, args.frames, max(args.frames // 5, 1)):
        high = min(low + max(args.frames // 5, 1), args.frames)
        pairs = [
            (a, b) for (n, a), (_, b) in zip(old_ms, young_ms) if max(low, WARM_UP) <= n < high
        ]
        if not pairs:
            continue
        ratio = float(np.median([a / b for a, b in pairs]))
        olds = percentiles([a for a, _ in pairs])
        youngs = percentiles([b for _, b in pairs])
        rows.append(
            [f'{low}..{high - 1}', olds['p50'], olds['p99'], youngs['p50'], f'{ratio:.3f}']
        )
    late = [(a, b) for (n, a), (_, b) in zip(old_ms, young_ms) if n >= 0.8 * args.frames]
    ratio = float(np.median([a / b for a, b in late]))
    head = ['frames', 'old p50 ms', 'old p99 ms', 'young p50 ms', 'old / young, median of pairs']
    manifest = old.manifest
    text = (
        f'Model {manifest.name} ({manifest.sha256[:12]}), two objects, camera 640x480; step(), '
        f'memorising included. Over the last fifth a frame costs {ratio:.3f} times what it costs '
        f'within {YOUNG_FOR} frames of a start.\n\n{table(head, rows)}\n\n'
        f'Memory bank: {bank[0][1]} bytes at frame {bank[0][0]}, {bank[-1][1]} at {bank[-1][0]}. '
        f'Process: {resident[0][1]} MiB at frame {resident[0][0]}, {resident[-1][1]} MiB at '
        f'{resident[-1][0]}.'
    )
    print(text)
    raw = {
        'model': manifest.sha256,
        'ratio': ratio,
        'old_ms': [round(a, 3) for _, a in old_ms],
        'young_ms': [round(a, 3) for _, a in young_ms],
        'resident_mib': resident,
        'bank_bytes': bank,
    }
    command = f'python benchmarks/bench_length.py --model {manifest.name} --frames {args.frames}'
    print(save('length', command, text, raw))
    return 0


if __name__ == '__main__':
    sys.exit(main())
