# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
What a slow detector costs: masks that come late for the frame they were drawn on, over DDS.

python benchmarks late_mask [--late 0.5] [--davis ROOT/SEQUENCE] [--model M] [--input-size S]

The clip is played three times: the mask of its first frame comes in time; comes late and is
caught up through the buffered frames; comes late and is applied to the newest frame, as
`init.late_policy: apply_to_latest` has it where nothing is buffered. J is compared over the frames
after the late mask came, the same ones for all. The camera waits for each answer, so that no frame
is dropped and only the lateness differs; catching up has its usual budget of wall-clock time.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
import sys
import tempfile
from typing import Any, NamedTuple

import numpy as np
from over_dds.rig import add_network, network_of, Rig
from record import frames_of_clip, parse_args, save, table

from vos_ros.config import InitConfig
from vos_ros.datatypes import Image, LabelMap
from vos_ros.evaluation.metrics import region_similarity
from vos_ros.formats.masks import ids_in
from vos_ros.harness import clip as demo_clip
from vos_ros.sequences import DavisSequence

FRAMES = 60
_START_NS = 1_000_000_000_000
WAYS: dict[str, dict[str, object]] = {
    'in time': {},
    'late, caught up': {},
    'late, applied to the newest frame': {'init.buffer_frames': 1},
}


class Played(NamedTuple):
    """
    A clip to play.

    :param frames: image and label map of each.
    :param late: frames by which the mask is late.
    """

    name: str
    rate_hz: float
    frames: Sequence[tuple[Image, LabelMap]]
    late: int


def open_clip(path: Path | None, late_s: float) -> Played:
    """Open a DAVIS sequence (root/name), or the demo's own clip."""
    if path is None:
        frames = frames_of_clip(demo_clip.FRAMES)[:FRAMES]
        return Played('demo clip', demo_clip.RATE_HZ, frames, round(late_s * demo_clip.RATE_HZ))
    sequence = DavisSequence(path.parent, path.name)
    pairs = []
    for number, frame in enumerate(sequence):
        labels = sequence.label_map(number)
        if labels is None:
            raise ValueError(f'{path}: frame {number} has no mask; take an annotated sequence')
        image = frame.image if frame.encoding == 'rgb8' else frame.image[..., ::-1]
        pairs.append((np.ascontiguousarray(image), labels))
    return Played(
        sequence.name, sequence.rate_hz, pairs[:FRAMES], round(late_s * sequence.rate_hz)
    )


def mean_j(labels: LabelMap, truth: LabelMap) -> float:
    """Return J, mean over the objects that are on the frame."""
    scores = [region_similarity(labels == k, truth == k) for k in ids_in(truth)]
    return float(np.mean(scores)) if scores else 1.0


def play(rig: Rig, clip: Played, late: int) -> list[float]:
    """
    Play the clip, with its first mask after `late` frames.

    :return: J of each frame.
    """
    scores = []
    mask = clip.frames[0][1]
    for number, (image, truth) in enumerate(clip.frames):
        if number == late:
            rig.send_mask(mask, _START_NS)
            rig.wait_for_masks(1)
        stamp_ns = _START_NS + round(number * 1e9 / clip.rate_hz)
        labels = rig.segment(image, stamp_ns).labels
        if labels is None:
            raise RuntimeError('the rig keeps no labels')
        scores.append(mean_j(labels, truth))
        print(f'\r{number + 1}/{len(clip.frames)}', end='', file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return scores


def main() -> int:
    """Measure, print and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('--late', type=float, default=0.5, help='of the mask, s')
    parser.add_argument('--davis', type=Path, help="root/SEQUENCE; left out = the demo's own clip")
    add_network(parser, input_size=0)
    args = parse_args(parser)

    clip = open_clip(args.davis, args.late)
    base = network_of(args)
    found: dict[str, tuple[list[float], int]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for number, (way, parameters) in enumerate(WAYS.items()):
            print(f'{clip.name}, {way}', file=sys.stderr)
            with Rig(Path(folder) / str(number), base | parameters, keeps_labels=True) as rig:
                scores = play(rig, clip, 0 if way == 'in time' else clip.late)
                replayed = int(rig.report()['inference']['catch_up_frames'])
            found[way] = scores, replayed

    in_time = np.array(found['in time'][0])[clip.late :]
    rows: list[list[Any]] = []
    raw: dict[str, Any] = {'late_s': args.late, 'ways': {}}
    for way, (scores, replayed) in found.items():
        js = np.array(scores)[clip.late :]
        lost = float(in_time.mean() - js.mean())
        first = js[: max(1, round(clip.rate_hz))]
        rows.append([way, f'{js.mean():.3f}', f'{lost:+.3f}', f'{first.mean():.3f}', replayed])
        raw['ways'][way] = {'j': [round(j, 4) for j in scores], 'lost': lost}
    text = (
        f'{clip.name}, {len(clip.frames)} frames at {clip.rate_hz:g} Hz, the mask {args.late:g} s '
        f'({clip.late} frames) late; model {args.model}, input_size {args.input_size}, 1 thread, '
        f'init.catch_up_ms {InitConfig().catch_up_ms:g}.\n\n'
        + table(['mask', 'J after it came', 'lost', 'J, first second', 'frames replayed'], rows)
    )
    print(text)
    command = f'python benchmarks late_mask --late {args.late:g}'
    if args.davis is not None:
        command += f' --davis ROOT/{clip.name}'
    print(save(f'late mask, {clip.name}', command, text, raw))
    return 0


if __name__ == '__main__':
    sys.exit(main())
