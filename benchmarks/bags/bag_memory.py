# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
What `vos bag eval` holds in memory, over bags of growing length.

python benchmarks bag_memory [--frames 100,1800] [--folder DIR]

Each bag holds the demo's clip over and over, 640x480 raw, with ground truth: 1.23 MB a frame. It
is evaluated offline by a process of its own, masks.mcap included; the kernel tells its peak.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
import sys
import tempfile
import time

from record import frames_of_clip, parse_args, save, table

from vos_ros.bag.messages import IMAGE, image_bytes, label_bytes
from vos_ros.bag.sequence import CAMERA, START_NS, TRUTH
from vos_ros.bag.writer import BagWriter
from vos_ros.config import RuntimeConfig

CLIP = 40
PERIOD_NS = 33_333_333


def write_bag(path: Path, frames: int) -> int:
    """Write a bag and return its size in bytes."""
    clip = frames_of_clip(CLIP)
    with BagWriter(path) as bag:
        for index in range(frames):
            image, labels = clip[index % CLIP]
            stamp_ns = START_NS + index * PERIOD_NS
            bag.write(CAMERA, IMAGE, stamp_ns, image_bytes(image, 'rgb8', stamp_ns, 'camera'))
            bag.write(TRUTH, IMAGE, stamp_ns, label_bytes(labels, stamp_ns, 'camera'))
    return sum(file.stat().st_size for file in path.iterdir())


def evaluate(bag: Path, out: Path, model: str, size: int) -> tuple[float, float]:
    """Run `vos bag eval` and return the peak of its resident memory in MiB, and its seconds."""
    command = [
        sys.executable,
        '-m',
        'vos_ros.commands.cli',
        'bag',
        'eval',
        str(bag),
        '--out',
        str(out),
    ]
    command += ['--model', model, '--size', str(size), '--threads', '1']
    start = time.monotonic()
    pid = os.spawnv(os.P_NOWAIT, sys.executable, command)
    _, status, usage = os.wait4(pid, 0)
    if status:
        raise SystemExit(f'{" ".join(command)} failed')
    return usage.ru_maxrss / 1024, time.monotonic() - start


def main() -> int:
    """Measure, print and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('--frames', default='100,1800', help='length of each bag')
    parser.add_argument('--model', default=RuntimeConfig().model, help='name or folder')
    parser.add_argument('--size', type=int, default=64, help='short side of the network input')
    parser.add_argument('--folder', default=None, help='for the bags: twice the largest one')
    args = parse_args(parser)
    rows, raw = [], []
    for frames in map(int, args.frames.split(',')):
        with tempfile.TemporaryDirectory(dir=args.folder) as folder:
            size = write_bag(Path(folder) / 'bag', frames)
            peak_mib, seconds = evaluate(
                Path(folder) / 'bag', Path(folder) / 'out', args.model, args.size
            )
        rows.append([frames, f'{size / 1e9:.2f}', f'{peak_mib:.0f}', f'{seconds:.0f}'])
        raw.append({'frames': frames, 'bytes': size, 'peak_mib': peak_mib, 'seconds': seconds})
        print(rows[-1], file=sys.stderr)
    text = f'Model {args.model}, short side {args.size} px, mode offline, with masks.mcap.\n\n'
    text += table(['frames', 'bag, GB', 'peak of the process, MiB', 's'], rows)
    print(text)
    command = f'python benchmarks bag_memory --frames {args.frames} --size {args.size}'
    print(save('bag_memory', command, text, {'bags': raw}))
    return 0


if __name__ == '__main__':
    sys.exit(main())
