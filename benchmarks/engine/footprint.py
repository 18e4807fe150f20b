# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Footprint: what a process really takes for the network, beside what is estimated before.

python benchmarks footprint [--models M ...] [--sizes S ...] [--most-mib MIB]

Every row is a process of its own, which follows objects for some frames; what is estimated must
not be less than what it took. Sizes estimated above --most-mib are left out.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys

import numpy as np
from record import DRAFT, FOLDER, parse_args, save, table

from vos_ros.backends import load_manifest
from vos_ros.budget import MIB
from vos_ros.config import MemoryConfig, RuntimeConfig, SegmenterConfig
from vos_ros.datatypes import Frame, Prompt
from vos_ros.engine.footprint import footprint, RUNTIME
from vos_ros.engine.preprocess import network_size
from vos_ros.engine.segmenter import VideoSegmenter

CAMERA = (480, 640)
OBJECTS = (1, 10)
FRAMES = 3
#: Enough for whatever is measured: nothing is refused.
PLENTY = MemoryConfig(budget_mib=2**20)


def highest_mib() -> float:
    """Return the most that this process has held so far."""
    with open('/proc/self/status') as status:
        line = next(line for line in status if line.startswith('VmHWM'))
    return int(line.split()[1]) / 1024


def measure(model: str, size: int, objects: int) -> float:
    """Return what the network took in this process, MiB."""
    before = highest_mib()
    config = SegmenterConfig(input_size=size, max_objects=objects, memory=PLENTY)
    runtime = RuntimeConfig(threads=1, backend='cpu')
    segmenter = VideoSegmenter.open(model, config=config, runtime=runtime)
    image = np.random.default_rng(0).integers(0, 256, (*CAMERA, 3), np.uint8)
    label_map = np.zeros(CAMERA, np.uint8)
    for k in range(objects):
        top, left = 20 + 240 * (k // 5), 10 + 126 * (k % 5)
        label_map[top : top + 90, left : left + 70] = k + 1
    segmenter.step(Frame(image), Prompt(label_map))
    for _ in range(FRAMES):
        segmenter.step(Frame(image))
    return highest_mib() - before


def main() -> int:
    """Measure, print and write the report; exit code 1 where the estimate is too low."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('--models', nargs='+', default=[RuntimeConfig().model], help='names')
    parser.add_argument('--sizes', nargs='+', type=int, default=[256, 480, 720, 1080])
    parser.add_argument('--most-mib', type=float, default=4096, help='largest estimate to try')
    parser.add_argument('--only', nargs=3, metavar=('MODEL', 'SIZE', 'OBJECTS'))
    args = parse_args(parser)
    if args.only:
        model, size, objects = args.only
        print(json.dumps(measure(model, int(size), int(objects))))
        return 0

    rows: list[list[object]] = []
    for model in args.models:
        manifest = load_manifest(model)
        for size in args.sizes:
            for objects in OBJECTS:
                net = network_size(CAMERA, size, manifest.multiple)
                config = SegmenterConfig(max_objects=objects)
                estimate = (RUNTIME + footprint(manifest, config, net)) / MIB
                if estimate > args.most_mib:
                    continue
                command = [sys.executable, str(FOLDER), 'footprint', *[DRAFT] * args.draft]
                command += ['--only', model, str(size), str(objects)]
                made = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
                taken = json.loads(made)
                rows.append(
                    [
                        *(model, f'{net[1]}x{net[0]}', objects, round(taken), round(estimate)),
                        f'{estimate / taken:.2f}',
                    ]
                )
                print(*rows[-1], flush=True)
    head = ['model', 'network input', 'objects', 'taken, MiB', 'estimated, MiB', 'ratio']
    text = 'Backend cpu, 1 thread, most resident memory of a process.\n\n' + table(head, rows)
    command_line = f'python benchmarks footprint --models {" ".join(args.models)}'
    print(save('footprint', command_line, text, {'rows': rows}))
    return int(any(float(str(row[-1])) < 1 for row in rows))


if __name__ == '__main__':
    sys.exit(main())
