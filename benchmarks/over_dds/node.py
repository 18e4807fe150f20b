# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
From the camera's stamp to the labels at a subscriber, over DDS, and what of it is the node's own.

python benchmarks node [--model M] [--frames N] [--objects K] [--pause MS]

The node runs as its own process; camera and subscriber are another one, as on a robot. The stamp
is the wall clock just before the camera publishes. The node writes down, for every frame, when
its message arrived, what each stage took and when the labels were published, all by the clocks of
this one machine; so every frame is cut into parts which add up to the whole. Inference is the
stages encode and segment. All else is overhead: serialising (the camera's too), DDS, queues,
conversion, resizing and normalising, upsampling to labels; it is summed up to where publish()
returns and up to where a subscriber has the labels. The camera waits for the labels and then for
--pause ms, in which the frame is memorised, so nothing waits in a queue.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
import sys
import tempfile
import time
from typing import Any

from over_dds.rig import Rig
from record import parse_args, percentiles, save, table
from workload import fit_clip, prompt_for, read_clip, size_text

from vos_ros.config import RuntimeConfig

CAMERAS = ((480, 640), (720, 1280))  # height, width
CLIP = 60
WARM_UP = 30
#: Parts of a frame in their order; the last three rows are sums, without the network where it says
#: "overhead".
PARTS = (
    'camera to node',
    'waits, reads message',
    'preprocess',
    'encode + segment',
    'labels',
    'publishes',
    'node to subscriber',
    'stamp to subscriber',
    'overhead, stamp to published',
    'overhead, stamp to subscriber',
)


class TimedRig(Rig):
    """The node with a note of when each frame came and went."""

    node_command = (sys.executable, str(Path(__file__).with_name('timed_node.py')))


def measure(
    folder: Path, camera: tuple[int, int], args: argparse.Namespace
) -> dict[str, list[float]]:
    """Run one node and return ms per part, one value per frame."""
    frames, labels = fit_clip(read_clip('', '', CLIP), camera)
    times = folder / f'times_{size_text(camera)}.jsonl'
    os.environ['VOS_BENCH_TIMES'] = str(times)
    there_and_back = [*frames, *frames[-2:0:-1]]
    with TimedRig(folder, {'model': args.model}) as rig:
        stamp_ns = time.time_ns()
        rig.send_mask(prompt_for(labels, args.objects).label_map, stamp_ns)
        rig.wait(lambda: int(rig.report()['objects']['masks_in']), 'the mask')
        rig.segment(frames[0].image, stamp_ns)
        for number in range(1, args.frames + WARM_UP):
            rig.segment(there_and_back[number % len(there_and_back)].image)
            time.sleep(args.pause / 1e3)
        arrived_ns = {answer.stamp_ns: answer.arrived_ns for answer in rig.answers}
    lines = [json.loads(line) for line in times.read_text().splitlines()]
    found: dict[str, list[float]] = {part: [] for part in PARTS}
    for line in [line for line in lines if line['stamp_ns'] in arrived_ns][-args.frames :]:
        for part, value in zip(PARTS, parts_of(line, arrived_ns[line['stamp_ns']])):
            found[part].append(value)
    return found


def parts_of(line: dict[str, Any], arrived_ns: int) -> list[float]:
    """Cut one frame into PARTS, ms."""
    network = line['encode_ms'] + line['segment_ms']
    inside = line['preprocess_ms'] + network + line['labels_ms']
    whole = (arrived_ns - line['stamp_ns']) / 1e6
    return [
        (line['arrived_ns'] - line['stamp_ns']) / 1e6,
        (line['publish_ns'] - line['arrived_ns']) / 1e6 - inside,
        line['preprocess_ms'],
        network,
        line['labels_ms'],
        (line['published_ns'] - line['publish_ns']) / 1e6,
        (arrived_ns - line['published_ns']) / 1e6,
        whole,
        (line['published_ns'] - line['stamp_ns']) / 1e6 - network,
        whole - network,
    ]


def main() -> int:
    """Measure, print and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('--model', default=RuntimeConfig().model, help='name or folder')
    parser.add_argument('--frames', type=int, default=2000, help='per camera, that count')
    parser.add_argument('--objects', type=int, default=2)
    parser.add_argument('--pause', type=float, default=15.0, help='ms after each answer')
    args = parse_args(parser)

    rows, raw = [], {}
    for camera in CAMERAS:
        with tempfile.TemporaryDirectory() as folder:
            found = measure(Path(folder), camera, args)
        for part, values in found.items():
            summary = percentiles(values)
            raw[f'{size_text(camera)} {part}'] = summary
            cells = [f'{summary[p]:.2f}' for p in ('p50', 'p95', 'p99', 'max')]
            rows.append([size_text(camera), part, *cells])
            print(*rows[-1], flush=True)
    text = (
        f'Model {args.model}, {args.objects} objects, {args.frames} frames, ms; subscriber and '
        'camera in one process, the node in another, rmw_fastrtps on this machine.\n\n'
        + table(['camera', 'part', 'p50', 'p95', 'p99', 'max'], rows)
    )
    command = f'python benchmarks node --model {args.model} --frames {args.frames}'
    print(save('node', command, text, {'parts': raw}))
    return 0


if __name__ == '__main__':
    sys.exit(main())
