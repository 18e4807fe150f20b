# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Endurance: a node at 30 Hz while everything around it changes, at random but seeded.

python benchmarks endurance [--minutes 10] [--seed 1] [--model M] [--input-size 128]

A camera that changes its size, masks that come in time, late, without a stamp, empty or broken,
objects that are removed, resets, images nobody can read, subscribers that come and go, pauses,
deactivations and clean-ups. What must hold at the end: every image sent is answered or in one of
the counters, every mask is in one, no stamp was answered twice, and memory, threads and open
files do not grow.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Mapping
import os
from pathlib import Path
import random
import sys
import tempfile
import time
from typing import Any

import cv2
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
import numpy as np
from over_dds.rig import add_network, network_of, plot_resident, Rig, SETTLE_S
from record import frames_of_clip, parse_args, percentiles, save, table
from sensor_msgs.msg import Image
from std_srvs.srv import SetBool, Trigger

from vos_ros.datatypes import Image as Pixels
from vos_ros.datatypes import LabelMap

CLIP = 60
RATE_HZ = 30.0
#: Cameras, height and width.
SIZES = ((480, 640), (360, 640), (240, 320), (640, 480), (480, 480))
IDS = 40
#: How often each thing happens, per minute.
EVENTS_PER_MINUTE = {
    'size': 4,
    'mask': 40,
    'late mask': 20,
    'mask without a stamp': 6,
    'empty mask': 6,
    'broken mask': 10,
    'broken image': 20,
    'remove': 20,
    'reset': 2,
    'subscribe': 12,
    'pause': 2,
    'deactivate': 1,
    'clean up': 0.5,
}
SAMPLE_S = 1.0
#: An image that is not answered after this time, with nothing else to do, was not heard.
INTRODUCTION_S = 2.0
#: Caches, pools, engines of all sizes have filled after this share of the time.
WARM_UP = 0.3
#: An allocator's pages come and go by that much.
MOST_GROWTH_MIB = 24.0


class Endurance(Rig):
    """A rig whose node is paused, deactivated, cleaned up and listened to at random."""

    def __init__(self, folder: Path, parameters: Mapping[str, object]) -> None:
        super().__init__(folder, parameters)
        self._clients: dict[str, Any] = {}

    def change_state(self, transition: int) -> None:
        """Ask for a transition and wait until it is made."""
        self._call(ChangeState, 'change_state', ChangeState.Request(transition=_t(transition)))

    def enable(self, is_enabled: bool) -> None:
        """Pause or resume."""
        self._call(SetBool, 'enable', SetBool.Request(data=is_enabled))

    def reset(self) -> None:
        """Let all objects be forgotten."""
        self._call(Trigger, 'reset', Trigger.Request())

    def _call(self, kind: type, name: str, request: object) -> None:
        if name not in self._clients:
            # Once: the answer to a client that the node has not found yet is lost.
            self._clients[name] = self._node.create_client(kind, f'vos/{name}')
            self.wait(self._clients[name].service_is_ready, f'the service {name}')
            time.sleep(SETTLE_S)
        future = self._clients[name].call_async(request)
        self.wait(future.done, f'the answer of {name}')
        if not future.result().success:
            raise RuntimeError(f'{name} was refused: {future.result()}')

    def subscribe(self, topic: str) -> Callable[[], None]:
        """Listen to a topic of the node; what is returned ends it."""
        made = self._node.create_subscription(Image, f'vos/{topic}', lambda msg: None, 2)
        return lambda: self._node.destroy_subscription(made)

    def send_broken(self, stamp_ns: int, encoding: str) -> None:
        """Publish an image that cannot be used."""
        msg = Image(encoding=encoding, height=4, width=4, step=4)
        msg.header.stamp.sec, msg.header.stamp.nanosec = divmod(stamp_ns, 10**9)
        self._images.publish(msg)

    def is_heard(self) -> bool:
        """Tell whether the node listens to the camera, and to what says what to follow."""
        publishers = (self._images, self._masks, self._removals)
        return all(publisher.get_subscription_count() for publisher in publishers)

    def process(self) -> tuple[float, int, int]:
        """Return what the node's process holds: resident MiB, threads, open files."""
        folder = Path('/proc') / str(self._process.pid)
        threads = len(os.listdir(folder / 'task'))
        return self.resident_mib(), threads, len(os.listdir(folder / 'fd'))


def _t(transition: int) -> Transition:
    return Transition(id=transition)


class Day:
    """
    What happens to the node.

    :param rig: with the node.
    :param seed: of all that is random.
    """

    def __init__(self, rig: Endurance, seed: int) -> None:
        self.rig, self.random = rig, random.Random(seed)
        self.sent: list[int] = []
        self.unheard = 0  # images sent while nobody listened
        self.masks = 0
        self.happened: Counter[str] = Counter()
        self.samples: list[tuple[float, float, int, int]] = []
        self._clip = frames_of_clip(CLIP)
        self._camera = SIZES[0]
        self._scaled: dict[tuple[int, int], list[Pixels]] = {}
        self._recent: list[int] = []
        self._listening: list[Callable[[], None]] = []
        self._resume_at = 0.0
        self._acts: dict[str, Callable[[], None]] = {
            'size': self._change_camera,
            'mask': self._mask,
            'late mask': self._late_mask,
            'mask without a stamp': lambda: self._send_mask(0),
            'empty mask': self._empty_mask,
            'broken mask': self._broken_mask,
            'broken image': self._broken_image,
            'remove': self._remove,
            'reset': self.rig.reset,
            'subscribe': self._subscribe,
            'pause': self._pause,
            'deactivate': lambda: self._while_inactive(lambda: None),
            'clean up': self._clean_up,
        }
        self._next_s = {name: self._soon(name, 0.0) for name in EVENTS_PER_MINUTE}

    def run(self, seconds: float) -> None:
        """Send images at the camera's rate, and let things happen between them."""
        self._introduce()
        start = time.monotonic()
        number, sample_at, due = 0, start, start
        while (now := time.monotonic()) - start < seconds:
            stamp_ns = time.time_ns()
            self._image(number, stamp_ns)
            number += 1
            for name, at in self._next_s.items():
                if now - start >= at:
                    self._next_s[name] = self._soon(name, now - start)
                    self.happened[name] += 1
                    self._acts[name]()
            if self._resume_at and now >= self._resume_at:
                self._resume_at = 0.0
                self.rig.enable(True)
            if now >= sample_at:
                sample_at = now + SAMPLE_S
                self.samples.append((now - start, *self.rig.process()))
                self._tell(now - start, seconds)
            # A camera does not make up for what it could not send.
            due = max(due + 1 / RATE_HZ, time.monotonic() - 1 / RATE_HZ)
            time.sleep(max(0.0, due - time.monotonic()))
        if self._resume_at:
            self.rig.enable(True)
        for end in self._listening:
            end()
        self._calm(15)

    def _soon(self, name: str, now_s: float) -> float:
        return now_s + self.random.expovariate(EVENTS_PER_MINUTE[name] / 60)

    def _tell(self, now_s: float, seconds: float) -> None:
        mib, threads, files = self.samples[-1][1:]
        line = f'{now_s:.0f}/{seconds:.0f} s, {mib:.0f} MiB, {threads} threads, {files} files'
        print(f'\r{line}', end='', file=sys.stderr, flush=True)

    def _pictures(self) -> list[Pixels]:
        """Return the clip at the camera's size."""
        if self._camera not in self._scaled:
            self._scaled[self._camera] = [
                np.ascontiguousarray(cv2.resize(image, self._camera[::-1]))
                for image, _ in self._clip
            ]
        return self._scaled[self._camera]

    def _image(self, number: int, stamp_ns: int) -> None:
        there_and_back = number % (2 * CLIP - 2)
        at = there_and_back if there_and_back < CLIP else 2 * CLIP - 2 - there_and_back
        self.rig.send(self._pictures()[at], stamp_ns)
        self.sent.append(stamp_ns)
        self._recent = [*self._recent[-25:], stamp_ns]

    def _calm(self, images: int) -> None:
        """Send images that are waited for: all that came before them is decided then."""
        for number in range(images):
            stamp_ns = time.time_ns()
            self._image(number, stamp_ns)
            self.rig.wait(lambda: self.rig.answer(stamp_ns), 'an answer')  # noqa: B023

    # What happens

    def _change_camera(self) -> None:
        self._camera = self.random.choice(SIZES)
        self._recent = []

    def _send_mask(self, stamp_ns: int, label_map: LabelMap | None = None) -> None:
        if label_map is None:
            height, width = self._camera
            label_map = np.zeros(self._camera, np.uint8)
            top, left = self.random.randrange(height // 2), self.random.randrange(width // 2)
            label_map[top : top + height // 5, left : left + width // 5] = self._id()
        self.rig.send_mask(label_map, stamp_ns)
        self.masks += 1

    def _id(self) -> int:
        return self.random.randrange(1, IDS)

    def _mask(self) -> None:
        self._send_mask(self._recent[-1] if self._recent else 0)

    def _late_mask(self) -> None:
        self._send_mask(self.random.choice(self._recent) if self._recent else 0)

    def _empty_mask(self) -> None:
        self._send_mask(time.time_ns(), np.zeros(self._camera, np.uint8))

    def _broken_mask(self) -> None:
        self._send_mask(time.time_ns(), np.full((self._camera[1] + 7, 3), 5, np.uint8))

    def _broken_image(self) -> None:
        stamp_ns = time.time_ns()
        self.rig.send_broken(stamp_ns, self.random.choice(('rgb8', 'bogus', '', 'nv12')))
        self.sent.append(stamp_ns)

    def _remove(self) -> None:
        self.rig.remove([self._id() for _ in range(self.random.randrange(1, 20))])

    def _subscribe(self) -> None:
        if self._listening and self.random.random() < 0.5:
            self._listening.pop(self.random.randrange(len(self._listening)))()
        else:
            topics = ('overlay', 'confidence', 'labels', f'object_{self._id()}/mask')
            self._listening.append(self.rig.subscribe(self.random.choice(topics)))

    def _pause(self) -> None:
        if not self._resume_at:
            self.rig.enable(False)
            self._resume_at = time.monotonic() + self.random.uniform(0.5, 4.0)

    def _clean_up(self) -> None:
        def again() -> None:
            self.rig.change_state(Transition.TRANSITION_CLEANUP)
            self.rig.change_state(Transition.TRANSITION_CONFIGURE)

        self._while_inactive(again)

    def _while_inactive(self, act: Callable[[], None]) -> None:
        """Deactivate once all that was sent is decided, so that each image has one fate."""
        if self._resume_at:
            return
        self._calm(2)
        self.rig.change_state(Transition.TRANSITION_DEACTIVATE)
        self.rig.wait(lambda: not self.rig.is_heard(), 'the node to stop listening')
        for number in range(self.random.randrange(5)):
            stamp_ns = time.time_ns()
            self.rig.send(self._pictures()[number], stamp_ns)
            self.unheard += 1
        act()
        self.rig.change_state(Transition.TRANSITION_ACTIVATE)
        self.rig.wait(self.rig.is_heard, 'the node to listen again')
        self._recent = []
        self._introduce()

    def _introduce(self) -> None:
        """
        Send images until one is answered.

        The middleware introduces both sides one after the other: first packets may be lost, and
        no counter knows of an image before the first one that it has seen.
        """
        while True:
            stamp_ns = time.time_ns()
            self.rig.send(self._pictures()[0], stamp_ns)
            until = time.monotonic() + INTRODUCTION_S
            while time.monotonic() < until:
                if self.rig.answer(stamp_ns):
                    self.sent.append(stamp_ns)
                    return
                time.sleep(0.005)
            self.unheard += 1


def main() -> int:
    """Run, print, write the report; exit code 1 if a promise did not hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('--minutes', type=float, default=10.0, help='how long')
    parser.add_argument('--seed', type=int, default=1, help='of all that is random')
    add_network(parser, input_size=128)
    args = parse_args(parser)

    parameters = {
        **network_of(args),
        'image_qos': 'reliable',
        # The age of a mask is the time since its image was sent: those of long ago are refused.
        'init.max_late_s': 1.0,
    }
    with (
        tempfile.TemporaryDirectory() as folder,
        Endurance(Path(folder), parameters) as rig,
    ):
        day = Day(rig, args.seed)
        day.run(60 * args.minutes)
        time.sleep(1.0)  # what is on its way arrives
        report = rig.report()
        log = (Path(folder) / 'node.log').read_text(errors='replace')
    print(file=sys.stderr)

    def of_input(name: str) -> int:
        return int(report['input'][name])

    skipped = int(report['inference']['skipped'])
    came = of_input('frames_in')
    losses = {
        'waited, and a newer one came (dropped)': of_input('dropped'),
        'could not be used (failed)': of_input('failed'),
        'came after a newer one (overtaken)': of_input('overtaken'),
        'left out by the overload policy (skipped)': skipped,
    }
    unsettled = came - of_input('frames_out') - sum(losses.values())
    before = {
        'replaced in the queue of one, or lost on the way (missed)': of_input('missed'),
        'came while the node was paused (ignored)': of_input('ignored'),
    }
    uncounted = len(day.sent) - came - sum(before.values())
    masks = {name: int(report['objects'][f'masks_{name}']) for name in ('in', 'duplicate', 'lost')}
    uncounted_masks = day.masks - sum(masks.values())
    answered = Counter(answer.stamp_ns for answer in rig.answers)
    twice = sum(count > 1 for count in answered.values())
    unknown = len(answered.keys() - set(day.sent))

    warm = [sample for sample in day.samples if sample[0] >= WARM_UP * 60 * args.minutes]
    first, last = warm[: len(warm) // 4 or 1], warm[-(len(warm) // 4 or 1) :]
    growth = float(np.median([s[1] for s in last]) - np.median([s[1] for s in first]))
    threads, files = ([max(s[k] for s in part) for part in (first, last)] for k in (2, 3))
    lines = log.count('\n')
    ages = percentiles([answer.age_ms for answer in rig.answers])
    rows: list[list[object]] = [
        ['images sent to a node that listens', len(day.sent)],
        ['= came in', came],
        *([f'+ {name}', count] for name, count in before.items()),
        ['of those that came in: answered', of_input('frames_out')],
        *([f'+ {name}', count] for name, count in losses.items()),
        ['**images in no counter**', uncounted + abs(unsettled)],
        ['images sent while it was inactive', day.unheard],
        ['masks sent = in + second deliveries + lost on the way', day.masks],
        ['**masks in no counter**', uncounted_masks],
        ['labels received', len(rig.answers)],
        ['stamps answered twice / never sent', f'{twice} / {unknown}'],
        [
            'resident memory, median of the first and last quarter after the warm-up, MiB',
            ' / '.join(f'{np.median([s[1] for s in part]):.1f}' for part in (first, last)),
        ],
        ['threads, most in these quarters', ' / '.join(map(str, threads))],
        ['open files, most in these quarters', ' / '.join(map(str, files))],
        ['lines of log', lines],
        ['tracebacks', log.count('Traceback')],
    ]
    happened = ', '.join(f'{name} {count}' for name, count in sorted(day.happened.items()))
    text = (
        f'Model {args.model} ({report["inference"]["model_sha256"][:12]}), short side '
        f'{args.input_size} px, 1 thread, {RATE_HZ:.0f} Hz for {args.minutes:g} min, seed '
        f'{args.seed}. What happened: {happened}. From stamp to arrival of the labels: p50 '
        f'{ages["p50"]:.1f}, p99 {ages["p99"]:.1f}, max {ages["max"]:.1f} ms (other work ran on '
        f'this machine).\n\n'
        + table(['what', 'count'], rows)
        + '\n\n![resident memory of the node over the time](endurance.svg)'
    )
    print(text)
    raw = {'report': report, 'samples': day.samples, 'happened': dict(day.happened)}
    command = f'python benchmarks endurance --minutes {args.minutes:g} --seed {args.seed}'
    figure = plot_resident([(s[0], s[1]) for s in day.samples])
    print(save('endurance', command, text, raw, {'endurance.svg': figure}))
    broken = [uncounted, unsettled, uncounted_masks, twice, unknown, log.count('Traceback')]
    grew = growth > MOST_GROWTH_MIB or threads[1] > threads[0] + 1 or files[1] > files[0] + 2
    if any(broken) or grew:
        print(f'a promise does not hold; the end of the log:\n{log[-3000:]}', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
