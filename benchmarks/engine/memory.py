# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Memory: the bytes of the memory bank, and what a process holds, by size and number of objects.

python benchmarks memory [--model M] [--frames N]

Every row is a process of its own: what one leaves behind must not count for the next. The bank is
allocated for `max_objects` at the start, however many are followed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from typing import Any

from record import FOLDER, frames_of_clip, parse_args, resident_mib, save, table
from workload import model_line, prompt_for

from vos_ros.config import RuntimeConfig, SegmenterConfig
from vos_ros.datatypes import Frame
from vos_ros.engine.segmenter import VideoSegmenter

SIZES = (480, 384, 320, 256)
MAX_OBJECTS = (1, 3, 5, 10)
CLIP = 20


def measure(model: str, size: int, objects: int, frames: int) -> dict[str, Any]:
    """Follow so many objects for so many frames, in this process."""
    clip = frames_of_clip(CLIP)
    images = [Frame(image) for image, _ in clip]
    before = resident_mib()
    config = SegmenterConfig(input_size=size, max_objects=objects)
    segmenter = VideoSegmenter.open(model, config=config)
    opened = resident_mib()
    at_start = segmenter.memory.nbytes
    most = 0.0
    for number in range(frames):
        prompt = None if number else prompt_for(clip[0][1], objects)
        segmenter.step(images[number % CLIP], prompt)
        if number == frames // 2:
            half = resident_mib()
        most = max(most, resident_mib())
    if segmenter.memory.nbytes != at_start:
        raise AssertionError('the memory bank has grown')
    return {
        'bank_bytes': at_start,
        'before_mib': round(before, 1),
        'opened_mib': round(opened, 1),
        'half_mib': round(half, 1),
        'end_mib': round(resident_mib(), 1),
        'most_mib': round(most, 1),
        'model': model_line(segmenter),
    }


def main() -> int:
    """Measure, print and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('--model', default=RuntimeConfig().model, help='name or folder')
    parser.add_argument('--frames', type=int, default=40, help='how long objects are followed')
    parser.add_argument('--only', type=int, nargs=2, metavar=('SIZE', 'OBJECTS'))
    args = parse_args(parser)
    if args.only:
        print(json.dumps(measure(args.model, *args.only, args.frames)))
        return 0

    rows, raw = [], {}
    for size in SIZES:
        for objects in MAX_OBJECTS:
            command = [sys.executable, str(FOLDER), 'memory', '--model', args.model, '--frames']
            command += [str(args.frames), '--only', str(size), str(objects)]
            made = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
            found = json.loads(made)
            rows.append(
                [
                    *(size, objects, found['bank_bytes'], f'{found["bank_bytes"] / 2**20:.1f}'),
                    *(found[f'{when}_mib'] for when in ('before', 'opened', 'half', 'end')),
                ]
            )
            raw[f'size={size}, objects={objects}'] = found
            print(*rows[-1], flush=True)
    head = ['short side', 'max_objects, all followed', 'bank, bytes', 'bank, MiB']
    head += ['process before the model, MiB', 'model loaded', f'frame {args.frames // 2}']
    head += [f'frame {args.frames}']
    text = f'{found["model"]}, camera 640x480, backend auto.\n\n' + table(head, rows)
    command_line = f'python benchmarks memory --model {args.model} --frames {args.frames}'
    print(save('memory', command_line, text, {'variants': raw}))
    return 0


if __name__ == '__main__':
    sys.exit(main())
