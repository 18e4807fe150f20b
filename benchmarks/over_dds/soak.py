# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Soak: many frames through the node over DDS, with objects that come and go all the time.

python benchmarks soak [--frames 10000] [--changes 500] [--model M] [--input-size 128]

The camera waits for the answer to each frame, but every 50th it sends three at once, so that some
are dropped (by the node, as its queue in the middleware is made deeper than the default of 1).
Every new object has an id never used before, and therefore topics of its own; half of the masks
come with their frame, half are late and catch up. What must hold at the end: no stamp was answered
twice, every image sent is accounted for, and the node's resident memory does not grow.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
import sys
import tempfile
import time

import numpy as np
from over_dds.rig import add_network, network_of, plot_resident, Rig
from record import frames_of_clip, parse_args, percentiles, save, table

from vos_ros.datatypes import LabelMap

CLIP = 60
#: Every so many frames, the camera does not wait.
BURST_EVERY, BURST = 50, 3
#: Objects at once that come and go, beside the one that stays.
AT_ONCE = 3
#: All need 16 bits, so that the label maps are of one size throughout.
FIRST_ID = 300
SAMPLE_EVERY = 50
#: Figures of memory begin after this share of the frames: buffers, pools and caches have filled.
WARM_UP = 0.2


@dataclass
class Soak:
    """What was seen."""

    sent: list[int] = field(default_factory=list)
    resident: list[tuple[int, float]] = field(default_factory=list)  # frame, MiB
    added: int = 0
    removed: int = 0
    seconds: float = 0.0


class Objects:
    """Adds and removes objects: squares at a place that depends on the id."""

    def __init__(self, rig: Rig, soak: Soak) -> None:
        self._rig, self._soak = rig, soak
        self._ids: list[int] = []
        self._next_id = FIRST_ID

    def add(self, shape: tuple[int, ...], stamp_ns: int) -> None:
        """Prompt a new object on the frame with this stamp."""
        label_map: LabelMap = np.zeros(shape, np.uint16)
        top, left = 40 * (self._next_id % 9), 60 * (self._next_id % 10)
        label_map[top : top + 60, left : left + 60] = self._next_id
        self._rig.send_mask(label_map, stamp_ns)
        self._ids.append(self._next_id)
        self._next_id += 1
        self._soak.added += 1

    def remove_oldest(self) -> None:
        """Let the node forget one, once there are too many."""
        if len(self._ids) >= AT_ONCE:
            self._rig.remove([self._ids.pop(0)])
            self._soak.removed += 1


def order(frames: int) -> Iterator[int]:
    """Yield clip positions there and back again: motion without a jump, for any length."""
    there_and_back = [*range(CLIP), *range(CLIP - 2, 0, -1)]
    for number in range(frames):
        yield there_and_back[number % len(there_and_back)]


def run(rig: Rig, frames: int, changes: int) -> Soak:
    """Send everything and return what was seen."""
    clip = frames_of_clip(CLIP)
    soak, start = Soak(), time.monotonic()
    objects = Objects(rig, soak)
    due = 0.0  # changes so far that there should have been
    burst = 0  # frames still to be sent without waiting
    for number, at in enumerate(order(frames)):
        image, labels = clip[at]
        stamp_ns = time.time_ns()
        is_change = int(due + changes / frames) > int(due) or number == 0
        due += changes / frames
        is_late = soak.added % 2 == 1
        if number == 0:
            rig.send_mask((labels > 0).astype(np.uint8), stamp_ns)
        elif is_change:
            objects.remove_oldest()
            if not is_late:
                objects.add(labels.shape, stamp_ns)
        burst = BURST if number % BURST_EVERY == BURST_EVERY - 1 else burst - 1
        soak.sent.append(rig.send(image, stamp_ns))
        if burst <= 1:
            rig.wait(lambda: rig.answer(stamp_ns), f'labels of frame {number}')  # noqa: B023
        if number and is_change and is_late:
            objects.add(labels.shape, stamp_ns)
        if number % SAMPLE_EVERY == 0:
            soak.resident.append((number, round(rig.resident_mib(), 2)))
            progress(number, frames, start, soak)
    soak.seconds = time.monotonic() - start
    return soak


def progress(number: int, frames: int, start: float, soak: Soak) -> None:
    """Print one line, in place."""
    rate = (number + 1) / max(time.monotonic() - start, 1e-3)
    line = f'{number}/{frames} frames, {rate:.1f}/s, {soak.resident[-1][1]:.0f} MiB'
    print(f'\r{line}', end='', file=sys.stderr, flush=True)


def slope_mib(resident: Sequence[tuple[int, float]], frames: int) -> float:
    """Return the growth in MiB per 1000 frames after the warm-up, by least squares."""
    late = [(n, mib) for n, mib in resident if n >= WARM_UP * frames]
    slope, _ = np.polyfit([n for n, _ in late], [mib for _, mib in late], 1)
    return 1000 * float(slope)


def main() -> int:
    """Measure, print, write the report; exit code 1 if a promise did not hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('--frames', type=int, default=10_000, help='sent')
    parser.add_argument('--changes', type=int, default=500, help='times an object is added')
    add_network(parser, input_size=128)
    args = parse_args(parser)

    parameters = {
        **network_of(args),
        # One more than there are: a mask may come before the removal that was sent before it.
        'max_objects': AT_ONCE + 2,
        'memory.max_prompted_frames': AT_ONCE + 2,
        'image_qos': 'reliable',
        # What a queue of one replaces inside the middleware, no node can count.
        'qos_overrides./image.subscription.depth': 20,
    }
    with tempfile.TemporaryDirectory() as folder, Rig(Path(folder), parameters) as rig:
        soak = run(rig, args.frames, args.changes)
        time.sleep(1.0)  # what is on its way arrives
        report = rig.report()
        log = (Path(folder) / 'node.log').read_text(errors='replace')
    print(file=sys.stderr)

    counts = {k: int(report['input'][k]) for k in ('frames_in', 'frames_out', 'dropped', 'lost')}
    sent = set(soak.sent)
    answered = Counter(a.stamp_ns for a in rig.answers)
    twice = sum(count > 1 for count in answered.values())
    unknown = sum(stamp not in sent for stamp in answered)
    uncounted = len(soak.sent) - counts['frames_in'] - counts['lost']
    unsettled = counts['frames_in'] - counts['frames_out'] - counts['dropped']
    slope = slope_mib(soak.resident, args.frames)
    late_mib = [mib for n, mib in soak.resident if n >= WARM_UP * args.frames]
    errors, rejected = int(report['inference']['errors']), int(report['objects']['masks_rejected'])
    rows: list[list[object]] = [
        ['frames sent', len(soak.sent)],
        ['objects added / removed', f'{soak.added} / {soak.removed}'],
        ['frames that came in', counts['frames_in']],
        ['answered', counts['frames_out']],
        ['dropped, counted by the node', counts['dropped']],
        ['lost on the way, counted by the middleware', counts['lost']],
        ['sent, but neither come in nor counted as lost', uncounted],
        ['come in, but neither answered nor counted', unsettled],
        ['labels received', len(rig.answers)],
        ['stamps answered twice', twice],
        ['answers with a stamp that was not sent', unknown],
        ['catch-up frames', report['inference']['catch_up_frames']],
        ['errors / masks rejected', f'{errors} / {rejected}'],
        ['resident at the end of the warm-up, MiB', late_mib[0]],
        ['resident at the end, MiB', late_mib[-1]],
        ['slope, MiB per 1000 frames', f'{slope:+.3f}'],
    ]
    ages = percentiles([a.age_ms for a in rig.answers])
    text = (
        f'Model {args.model} ({report["inference"]["model_sha256"][:12]}), network input '
        f'{report["inference"]["input_size"]}, 1 thread, camera 640x480 over DDS, '
        f'{len(soak.sent) / soak.seconds:.1f} frames/s for {soak.seconds / 60:.1f} min; one '
        f'object all the time and up to {AT_ONCE} that come and go, each with an id of its own. '
        f'From stamp to arrival of the labels: p50 {ages["p50"]:.1f}, p99 {ages["p99"]:.1f} ms. '
        f'The warm-up is the first {WARM_UP:.0%} of the frames.\n\n'
        + table(['what', 'count'], rows)
        + '\n\n![resident memory of the node over the frames](soak.svg)'
    )
    print(text)
    raw = {'counts': counts, 'slope_mib_per_1000': slope, 'resident_mib': soak.resident}
    command = f'python benchmarks soak --frames {args.frames} --changes {args.changes}'
    print(save('soak', command, text, raw, {'soak.svg': plot_resident(soak.resident)}))
    if twice or unknown or uncounted or unsettled or errors:
        print(f'a promise does not hold; the end of the log:\n{log[-3000:]}', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
