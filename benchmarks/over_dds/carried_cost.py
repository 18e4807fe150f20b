# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
What a subscriber of ~/carried_labels costs the node, and how soon it has them, over DDS.

python benchmarks carried_cost [--rounds 5] [--seconds 12] [--hz 30]

A camera (640x480) in this process; labels with and without a subscriber of the carried ones, in
turns. The ratio is that of p50 and of p99 of the labels' delay in the same round.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
import subprocess
import sys
import tempfile
import time
from typing import Any

import numpy as np
from over_dds.page import Camera
from record import parse_args, percentiles, save, table
from sensor_msgs.msg import Image

from vos_ros.config import RuntimeConfig
from vos_ros.harness.play import environment
from vos_ros.ros.conversions import to_stamp_ns


def measure(camera: Camera, rounds: int, seconds: float) -> list[dict[str, Any]]:
    """Return both halves of each round."""
    carried: list[float] = []

    def on_carried(msg: Image) -> None:
        carried.append((time.time_ns() - to_stamp_ns(msg.header.stamp)) / 1e6)

    found = []
    for number in range(rounds):
        halves: dict[str, Any] = {}
        for way in ('without', 'with') if number % 2 == 0 else ('with', 'without'):
            reader = None
            if way == 'with':
                reader = camera.node.create_subscription(
                    Image, 'vos/carried_labels', on_carried, 2
                )
            camera.play(2.0)  # until both sides know of each other
            carried.clear()
            camera.play(seconds)
            halves[way] = percentiles(camera.delays_ms) | {
                'labels_hz': len(camera.delays_ms) / seconds
            }
            if reader is not None:
                halves['carried'] = percentiles(carried) | {'hz': len(carried) / seconds}
                camera.node.destroy_subscription(reader)
        print(number + 1, halves, flush=True)
        found.append(halves)
    return found


def main() -> int:
    """Measure, print and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--seconds', type=float, default=12.0, help='of each half of a round')
    parser.add_argument('--model', default=RuntimeConfig().model)
    parser.add_argument('--hz', type=float, default=30.0, help='of the camera')
    args = parse_args(parser)
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(environment(Path(folder)))
        node = [
            sys.executable,
            '-m',
            'vos_ros.ros.node',
            '--ros-args',
            '-p',
            f'model:={args.model}',
        ]
        process = subprocess.Popen(node)
        try:
            camera = Camera(args.hz)
            camera.wait()
            camera.play(3.0)
            camera.play(3.0, marks=True)
            rounds = measure(camera, args.rounds, args.seconds)
        finally:
            process.terminate()
            process.wait(20)
    rows = []
    for number, halves in enumerate(rounds, 1):
        cells = [f'{halves[way][p]:.0f}' for way in ('without', 'with') for p in ('p50', 'p99')]
        rates = [f'{halves[way]["labels_hz"]:.1f}' for way in ('without', 'with')]
        own = halves['carried']
        rows.append(
            [number, *cells, *rates, f'{own["p50"]:.1f}', f'{own["p99"]:.1f}', f'{own["hz"]:.1f}']
        )
    ratios = {
        p: np.median([h['with'][p] / h['without'][p] for h in rounds]) for p in ('p50', 'p99')
    }
    head = ['round', 'p50 without', 'p99', 'p50 with', 'p99', 'labels/s without', 'with']
    text = (
        f'{args.model}; camera 640x480 at {args.hz:g} Hz; {args.seconds:g} s each. From '
        'publishing an image to the arrival of its labels, with and without a subscriber of the '
        'carried ones, and to the arrival of these, ms.\n\n'
        + table([*head, 'carried p50', 'p99', 'per s'], rows)
        + f'\n\nMedian of the ratios: p50 {ratios["p50"]:.2f}, p99 {ratios["p99"]:.2f}.'
    )
    print(text)
    command = f'python benchmarks carried_cost --rounds {args.rounds} --seconds {args.seconds:g}'
    print(save('carried_cost', f'{command} --hz {args.hz:g}', text, {'rounds': rounds}))
    return 0


if __name__ == '__main__':
    sys.exit(main())
