# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The node as its own process in a DDS domain of its own, and a camera, detector and listener here.

What is measured through it is what a robot sees: messages that a subscriber received.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
import contextlib
import os
from pathlib import Path
import sys
import threading
import time
from typing import Any, NamedTuple

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
import numpy as np
import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image
from std_msgs.msg import Header, UInt16MultiArray
from std_srvs.srv import SetBool

from vos_ros.config import RuntimeConfig
from vos_ros.datatypes import Image as Pixels
from vos_ros.datatypes import LabelMap
from vos_ros.evaluation.plot import Line, plot
from vos_ros.harness.play import environment
from vos_ros.harness.processes import Children
from vos_ros.ros.conversions import to_color_msg, to_label_msg, to_stamp_ns

_NODE = 'vos'
#: Ends a hang; nothing waits this long when it works.
_PATIENCE_S = 120.0
#: After both sides say that they see each other, the first packets may still be lost.
SETTLE_S = 0.5


class Answer(NamedTuple):
    """
    One label map as it arrived.

    :param stamp_ns: of its image.
    :param arrived_ns: wall clock, ns since the epoch.
    :param labels: (H, W) uint8 or uint16; None where they are not kept.
    """

    stamp_ns: int
    arrived_ns: int
    labels: LabelMap | None

    @property
    def age_ms(self) -> float:
        """From the image's stamp to the arrival of its labels."""
        return (self.arrived_ns - self.stamp_ns) / 1e6


class Rig:
    """
    A running node with what belongs to it; a context.

    :param folder: for the logs.
    :param parameters: of the node.
    :param keeps_labels: whether `answers` hold the label maps.
    """

    #: What starts the node.
    node_command: Sequence[str] = (sys.executable, '-m', 'vos_ros.ros.node')

    def __init__(
        self, folder: Path, parameters: Mapping[str, object], *, keeps_labels: bool = False
    ) -> None:
        self.answers: list[Answer] = []
        self.service_ms: list[float] = []  # from asking to the answer
        self._keeps_labels = keeps_labels
        self.newest_report: dict[str, dict[str, str]] = {}  # part -> key -> value
        self._reports = 0
        self._changed = threading.Condition()
        self._stack = contextlib.ExitStack()
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        given = {'autostart': True, 'diagnostics.period_s': 0.2} | dict(parameters)
        self._arguments = [part for k, v in given.items() for part in ('-p', f'{k}:={_yaml(v)}')]

    def __enter__(self) -> Rig:
        """Start the node and wait until it is heard."""
        try:
            self._start()
        except BaseException:  # nothing may be left behind
            self._stack.close()
            raise
        return self

    def _start(self) -> None:
        env = environment(self._folder)
        os.environ.update(env)  # rclpy reads it from there
        children = self._stack.enter_context(Children())
        self._children = children
        command = [*self.node_command, '--ros-args', *self._arguments]
        self._process = children.start('node', command, env=env, log=self._folder / 'node.log')
        self._context = rclpy.Context()
        rclpy.init(context=self._context)
        self._stack.callback(self._context.try_shutdown)
        self._node = rclpy.create_node('benchmark', context=self._context)
        self._images = self._node.create_publisher(Image, 'image', 10)
        self._masks = self._node.create_publisher(Image, 'init_mask', 10)
        self._removals = self._node.create_publisher(UInt16MultiArray, 'remove_objects', 10)
        self._node.create_subscription(
            Image, f'{_NODE}/labels', self._on_labels, QoSProfile(depth=100)
        )
        self._enable = self._node.create_client(SetBool, f'{_NODE}/enable')
        self._node.create_subscription(DiagnosticArray, '/diagnostics', self._on_report, 10)
        executor = SingleThreadedExecutor(context=self._context)
        executor.add_node(self._node)
        thread = threading.Thread(target=_spin, args=(executor,), daemon=True)
        thread.start()
        self._stack.callback(thread.join, 5.0)
        self._stack.callback(executor.shutdown, 5.0)
        publishers = (self._images, self._masks, self._removals)
        self.wait(lambda: all(p.get_subscription_count() for p in publishers), 'the node')
        self.wait(lambda: self.newest_report, 'its diagnostics')
        time.sleep(SETTLE_S)

    def __exit__(self, *error: object) -> None:
        """End the node and leave the graph."""
        self._stack.close()

    def send(self, image: Pixels, stamp_ns: int | None = None) -> int:
        """
        Publish one camera image and return its stamp.

        :param image: (H, W, 3) uint8 rgb.
        :param stamp_ns: None = now.
        """
        msg = to_color_msg(image, 'rgb8', _header(0))
        stamp_ns = time.time_ns() if stamp_ns is None else stamp_ns
        msg.header = _header(stamp_ns)  # a driver has its buffer before it has the stamp
        self._images.publish(msg)
        return stamp_ns

    def send_mask(self, label_map: LabelMap, stamp_ns: int) -> None:
        """Publish an init mask, (H, W) of ids, for the image with this stamp."""
        self._masks.publish(to_label_msg(label_map, _header(stamp_ns)))

    def wait_for_masks(self, count: int) -> None:
        """Wait until so many init masks have come in since the start."""
        self.wait(
            lambda: int(self.newest_report['objects']['masks_in']) >= count, 'the mask to arrive'
        )

    def remove(self, object_ids: Sequence[int]) -> None:
        """Ask the node to forget objects."""
        self._removals.publish(UInt16MultiArray(data=list(object_ids)))

    def ask(self) -> None:
        """Call a service, without waiting; the time until its answer goes to `service_ms`."""
        start = time.monotonic()

        def note(_: Any) -> None:
            self.service_ms.append(1e3 * (time.monotonic() - start))

        self._enable.call_async(SetBool.Request(data=True)).add_done_callback(note)

    def answer(self, stamp_ns: int) -> Answer | None:
        """Return the answer to an image, None while there is none; the newest are looked at."""
        newest = reversed(self.answers[-50:])
        return next((a for a in newest if a.stamp_ns == stamp_ns), None)

    def segment(self, image: Pixels, stamp_ns: int | None = None) -> Answer:
        """Publish one image and wait for its labels."""
        stamp_ns = self.send(image, stamp_ns)
        found: Answer = self.wait(lambda: self.answer(stamp_ns), f'labels of {stamp_ns}')
        return found

    def report(self) -> dict[str, dict[str, str]]:
        """Return a report that was made after this call: part -> key -> value."""
        known = self._reports + 1  # the next one may be on its way already
        self.wait(lambda: self._reports > known, 'diagnostics')
        return self.newest_report

    def resident_mib(self) -> float:
        """Return what the node's process holds in memory now."""
        for line in Path(f'/proc/{self._process.pid}/status').read_text().splitlines():
            if line.startswith('VmRSS'):
                return int(line.split()[1]) / 1024
        raise RuntimeError('this system does not tell the resident memory of a process')

    def wait(self, condition: Callable[[], Any], what: str) -> Any:
        """Return what `condition` gives as soon as it is true; it is asked at every message."""
        end = time.monotonic() + _PATIENCE_S
        with self._changed:
            while not (found := condition()):
                self._children.check()
                if time.monotonic() > end:
                    raise TimeoutError(f'waited {_PATIENCE_S:.0f} s in vain for {what}')
                self._changed.wait(0.05)
        return found

    def _on_labels(self, msg: Any) -> None:
        arrived_ns = time.time_ns()
        labels = None
        if self._keeps_labels:
            dtype = np.uint8 if msg.encoding == 'mono8' else np.uint16
            labels = np.frombuffer(msg.data, dtype).reshape(msg.height, msg.width).copy()
        with self._changed:
            self.answers.append(Answer(to_stamp_ns(msg.header.stamp), arrived_ns, labels))
            self._changed.notify_all()

    def _on_report(self, msg: Any) -> None:
        report = {
            status.name.rpartition(': ')[2]: {v.key: v.value for v in status.values}
            for status in msg.status
        }
        with self._changed:
            self.newest_report = report
            self._reports += 1
            self._changed.notify_all()


def add_network(parser: argparse.ArgumentParser, *, input_size: int) -> None:
    """Add what says which network a node runs, and how large; see `network_of`."""
    parser.add_argument('--model', default=RuntimeConfig().model, help='name or folder')
    parser.add_argument(
        '--input-size', type=int, default=input_size, help="short side, px; 0 = the model's own"
    )


def network_of(args: argparse.Namespace) -> dict[str, object]:
    """Return the node's parameters for it: on one thread, for the rig needs the other cores."""
    return {'model': args.model, 'input_size': args.input_size, 'threads': 1}


def plot_frames(line: Line, y_label: str) -> str:
    """Draw a line over the frame number, or the time, as SVG, with a little room above it."""
    y_max = 1.25 * max(y for _, y in line.points if y is not None)
    x_max = max(x for x, _ in line.points)
    return plot([line], y_max=y_max, y_label=y_label, x_max=x_max)


def plot_resident(points: Sequence[tuple[float, float]]) -> str:
    """Draw the resident memory of a process over frames or s, (x, MiB)."""
    return plot_frames(Line('resident, MiB', '#0b68cb', points), 'MiB')


def _yaml(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _header(stamp_ns: int) -> Header:
    sec, nanosec = divmod(stamp_ns, 1_000_000_000)
    return Header(stamp=Time(sec=sec, nanosec=nanosec), frame_id='camera')


def _spin(executor: SingleThreadedExecutor) -> None:
    with contextlib.suppress(ExternalShutdownException):
        executor.spin()
