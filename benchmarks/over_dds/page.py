# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
What an open page costs the node: latency with and without it, in turns, and the page's own rate.

python benchmarks page --rounds 6 --seconds 15 [--viewer socket] [--size 256]

Starts a segmenter, the page and the system's chromium, which shows the page in every other part
of a round; the camera (30 Hz) runs in this process. The browser is on the same processors here,
so that it costs, too: `--viewer socket` takes all pictures as a page does, but draws none, as if
the browser were on another machine. The ratio is that of p99 with the page open and closed in the
same round. All processes use the Fast DDS profile that is shipped; without it images are lost on
the way, to the node and to the page.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
import os
from pathlib import Path
import re
import subprocess
import sys
import tempfile
import time
from typing import Any

import numpy as np
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import qos_profile_sensor_data
from record import parse_args, percentiles, save, table
from sensor_msgs.msg import Image

from vos_ros.config import RuntimeConfig
from vos_ros.harness.clip import render
from vos_ros.harness.play import environment
from vos_ros.ros.conversions import stamp_ns_of, to_color_msg, to_label_msg

_SHOW = Path(__file__).with_name('page_viewer.py')


class Viewer:
    """
    A process that opens and closes the page when told.

    :param kind: 'browser' or 'socket'.
    :param url: of the page.
    """

    def __init__(self, kind: str, url: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(_SHOW), kind, url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        self.tell('ready')

    def tell(self, what: str) -> int:
        """Say something and wait until it is done; see `begin` and `answer`."""
        self.begin(what)
        return self.answer()

    def begin(self, what: str) -> None:
        """Say 'open', 'count' or 'closed', and do not wait."""
        assert self.process.stdin is not None
        self.process.stdin.write(f'{what}\n')
        self.process.stdin.flush()

    def answer(self) -> int:
        """Wait for what was begun; return how many pictures came since the page was opened."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError('the viewer has ended')
        return int(line)


def main() -> int:
    """Measure both in turns, print a line for each, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('--rounds', type=int, default=6)
    parser.add_argument('--seconds', type=float, default=15.0, help='of each half of a round')
    parser.add_argument('--model', default=RuntimeConfig().model)
    parser.add_argument('--size', type=int, default=0, help="short side, px; 0 = the model's")
    parser.add_argument('--hz', type=float, default=30.0, help='of the camera')
    parser.add_argument('--viewer', choices=('browser', 'socket'), default='browser')
    args = parse_args(parser)
    with tempfile.TemporaryDirectory() as folder, _programs(args, Path(folder)) as log:
        rounds = _measure(args, log)
    ratios = [r['open']['p99'] / r['closed']['p99'] for r in rounds]
    medians = [r['open']['p50'] / r['closed']['p50'] for r in rounds]
    rows: list[list[object]] = []
    for number, (r, ratio) in enumerate(zip(rounds, ratios), 1):
        ms = (f'{r[way][p]:.0f}' for way in ('closed', 'open') for p in ('p50', 'p99'))
        rates = f'{r["open"]["labels_hz"]:.1f}', f'{r["page_hz"]:.1f}'
        rows.append([number, *ms, f'{ratio:.2f}', *rates])
    page_hz = np.median([r['page_hz'] for r in rounds])
    head = ['round', 'p50 closed', 'p99 closed', 'p50 open', 'p99 open', 'ratio of p99']
    size = f'{args.size} px' if args.size else "the model's size"
    text = (
        f'{args.model}, {size}; camera 640x480 at {args.hz:g} Hz; viewer: {args.viewer}; '
        f'{args.seconds:g} s each. From publishing an image to the arrival of its labels, ms.\n\n'
        + table([*head, 'labels/s, open', 'page, Hz'], rows)
        + f'\n\nMedian of the ratios: p99 {np.median(ratios):.2f}, p50 {np.median(medians):.2f}; '
        f'page {page_hz:.1f} Hz.'
    )
    print(text)
    command = f'python benchmarks page --rounds {args.rounds} --seconds {args.seconds:g}'
    command += f' --viewer {args.viewer} --size {args.size} --hz {args.hz:g}'
    print(save(f'page_{args.viewer}_{args.size}', command, text, {'rounds': rounds}))
    return 0


@contextmanager
def _programs(args: argparse.Namespace, folder: Path) -> Iterator[Path]:
    """Run the segmenter and the page; give the file that the page writes its lines to."""
    log = folder / 'page.txt'
    os.environ.update(environment(folder))  # rclpy reads it from there, in this process too
    given = [f'model:={args.model}', *([f'input_size:={args.size}'] if args.size else [])]
    options = [part for each in given for part in ('-p', each)]
    started = [
        subprocess.Popen([sys.executable, '-m', 'vos_ros.ros.node', '--ros-args', *options]),
        subprocess.Popen(
            [sys.executable, '-m', 'vos_ros.page.program', '--ros-args', '-p', 'port:=0'],
            stderr=log.open('wb'),
        ),
    ]
    try:
        yield log
    finally:
        for each in started:
            each.terminate()
            each.wait(20)


class Camera:
    """Publishes the clip of the demo and listens to the labels."""

    def __init__(self, hz: float) -> None:
        rclpy.init()
        self.node = rclpy.create_node('bench_camera')
        self._images = self.node.create_publisher(Image, 'image', qos_profile_sensor_data)
        self._masks = self.node.create_publisher(Image, 'init_mask', 1)
        self.node.create_subscription(Image, 'vos/labels', self._on_labels, 2)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)
        self._clip = list(render(30))
        self._period_s, self._number = 1 / hz, 0
        self._sent: dict[int, float] = {}
        self.delays_ms: list[float] = []

    def wait(self) -> None:
        """Wait for the segmenter."""
        while not (self._masks.get_subscription_count() and self._images.get_subscription_count()):
            self._executor.spin_once(0.1)

    def play(self, seconds: float, *, marks: bool = False) -> None:
        """
        Publish for some time.

        :param marks: publish the mask of the first image, too.
        """
        self._sent.clear()
        self.delays_ms.clear()
        end, due = time.monotonic() + seconds, time.monotonic()
        self._number = 0 if marks else self._number
        while time.monotonic() < end:
            image, labels = self._clip[self._number % len(self._clip)]
            msg = to_color_msg(image, 'rgb8', Image().header)
            msg.header.stamp = self.node.get_clock().now().to_msg()
            if marks and self._number == 0:
                self._masks.publish(to_label_msg(labels, msg.header))
            self._sent[stamp_ns_of(msg)] = time.perf_counter()
            self._images.publish(msg)
            self._number += 1
            due += self._period_s
            while time.monotonic() < due:
                self._executor.spin_once(max(0.0, due - time.monotonic()))

    def _on_labels(self, msg: Image) -> None:
        at = self._sent.pop(stamp_ns_of(msg), None)
        if at is not None:
            self.delays_ms.append((time.perf_counter() - at) * 1e3)


def _measure(args: argparse.Namespace, log: Path) -> list[dict[str, Any]]:
    camera = Camera(args.hz)
    camera.wait()
    camera.play(3.0)
    camera.play(3.0, marks=True)
    found = re.search(r'open (http\S+)', log.read_text())
    assert found is not None, log.read_text()
    viewer = Viewer(args.viewer, found[1])
    rounds: list[dict[str, Any]] = []
    try:
        for number in range(args.rounds):
            halves: dict[str, Any] = {}
            for way in ('closed', 'open') if number % 2 == 0 else ('open', 'closed'):
                viewer.begin(way)
                camera.play(3.0)  # opening and closing is not measured
                viewer.answer()
                before = viewer.tell('count') if way == 'open' else 0
                began = time.monotonic()
                camera.play(args.seconds)
                passed = time.monotonic() - began
                values = percentiles(camera.delays_ms)
                halves[way] = values | {'labels_hz': len(camera.delays_ms) / passed}
                if way == 'open':
                    halves['page_hz'] = (viewer.tell('count') - before) / passed
                print(number + 1, way, halves, flush=True)
            rounds.append(halves)
    finally:
        viewer.process.terminate()
        viewer.process.wait(20)
        rclpy.try_shutdown()
    return rounds


if __name__ == '__main__':
    sys.exit(main())
