# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Record what a segmenter publishes, with the time of arrival. A process of the demo.

Every label map is written as `labels/<stamp_ns>.png`, with a line in `recording.jsonl`. Runs until
SIGINT or SIGTERM; then everything that arrived is on disk, the newest diagnostics too.
"""

import argparse
from collections.abc import Callable
import json
from pathlib import Path
import queue
import signal
import sys
import threading
import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
import numpy as np
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import Image

from vos_ros.formats.label_png import write_label_png
from vos_ros.ros.conversions import to_stamp_ns
from vos_ros.ros.guard import shut_down


class Recorder(Node):
    """
    Takes `<segmenter>/labels` and `diagnostics`, in its own namespace as the segmenter is.

    The callback only notes the time and hands the map on, so that encoding one PNG never
    delays the arrival time of the next.

    :param segmenter: name of the node to listen to.
    :param out: folder for the recording.
    :param namespace: of this node and of relative names.
    """

    def __init__(self, segmenter: str, out: Path, namespace: str = '') -> None:
        super().__init__('demo_recorder', namespace=namespace)
        self._topic = f'{segmenter}/labels'
        self._out = out
        self._arrived: queue.SimpleQueue = queue.SimpleQueue()
        self._diagnostics: dict = {}
        reliable = QoSProfile(depth=30, reliability=ReliabilityPolicy.RELIABLE)
        self.create_subscription(Image, self._topic, self._on_labels, reliable)
        self.create_subscription(DiagnosticArray, 'diagnostics', self._on_diagnostics, 10)
        self._writer = threading.Thread(target=self._write, daemon=True)
        self._writer.start()

    def is_matched(self) -> bool:
        """Tell whether somebody publishes labels."""
        return self.count_publishers(self._topic) > 0

    def close(self) -> None:
        """Write what is still in memory."""
        self._arrived.put(None)
        self._writer.join()
        text = json.dumps(self._diagnostics, indent=1)
        (self._out / 'diagnostics.json').write_text(text + '\n')

    def _on_labels(self, msg: Image) -> None:
        self._arrived.put((time.time_ns(), msg))

    def _on_diagnostics(self, msg: DiagnosticArray) -> None:
        for status in msg.status:
            # Without the namespace, which is another one in each run.
            self._diagnostics[status.name.rpartition('/')[2]] = {
                'level': int.from_bytes(status.level, 'little'),
                'message': status.message,
                'values': {item.key: item.value for item in status.values},
            }

    def _write(self) -> None:
        with (self._out / 'recording.jsonl').open('w') as lines:
            while (item := self._arrived.get()) is not None:
                received_ns, msg = item
                stamp_ns = to_stamp_ns(msg.header.stamp)
                # Our own node's maps: no padding between rows, this machine's byte order.
                dtype = np.uint16 if msg.encoding == 'mono16' else np.uint8
                labels = np.frombuffer(msg.data, dtype).reshape(msg.height, msg.width)
                write_label_png(self._out / 'labels' / f'{stamp_ns}.png', labels)
                line = {
                    'stamp_ns': stamp_ns,
                    'received_ns': received_ns,
                    'frame_id': msg.header.frame_id,
                }
                lines.write(json.dumps(line) + '\n')
                lines.flush()


def record(make: Callable[[], Any], marker: Path | None) -> None:
    """
    Spin a recorder until SIGINT or SIGTERM, and let it write what it still has.

    :param make: gives a node that has `is_matched()` and `close()`; called once rclpy runs.
    :param marker: file to make when the recorder is matched.
    """
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    recorder = make()
    executor = SingleThreadedExecutor()
    executor.add_node(recorder)
    try:
        while not stop.is_set():
            executor.spin_once(timeout_sec=0.05)
            if marker is not None and recorder.is_matched():
                marker.touch()
                marker = None
    finally:
        recorder.close()
        shut_down()


def main() -> int:
    """Run the process until it is told to stop."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('out', type=Path, help='folder for the recording')
    parser.add_argument('--segmenter', default='vos', help='name of the node to listen to')
    parser.add_argument('--marker', type=Path, default=None, help='file to make when listening')
    parser.add_argument('--namespace', default='', help='of all topics')
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    record(lambda: Recorder(args.segmenter, args.out, args.namespace), args.marker)
    return 0


if __name__ == '__main__':
    sys.exit(main())
