# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Record what objects_3d publishes, with the time of arrival. A process of the demo in space.

Centres become lines of `centers.jsonl`, points `clouds/<stamp_ns>_<id>.npy`, the newest
diagnostics `space_diagnostics.json`. Runs until SIGINT or SIGTERM.
"""

import argparse
import json
from pathlib import Path
import sys
import time

from diagnostic_msgs.msg import DiagnosticArray
import numpy as np
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import PointCloud2

from vos_ros.harness.recorder import record
from vos_ros.ros.conversions import to_stamp_ns
from vos_ros.ros.space_messages import read_centers

#: Points of a cloud that are kept: enough for a picture.
_MOST_POINTS = 6000


class SpaceRecorder(Node):
    """
    Takes the centres, and the points of some objects.

    :param source: name of the node to listen to.
    :param objects: whose points are kept.
    :param out: folder for the recording.
    :param namespace: of this node and of relative names.
    """

    def __init__(self, source: str, objects: list[int], out: Path, namespace: str) -> None:
        super().__init__('space_recorder', namespace=namespace)
        self._topic = f'{source}/centers'
        self._out = out
        self._diagnostics: dict = {}
        (out / 'clouds').mkdir(parents=True, exist_ok=True)
        self._lines = (out / 'centers.jsonl').open('w')
        reliable = QoSProfile(depth=30)
        self.create_subscription(PointCloud2, self._topic, self._on_centers, reliable)
        self.create_subscription(DiagnosticArray, 'diagnostics', self._on_diagnostics, 10)
        for each in objects:
            self.create_subscription(
                PointCloud2,
                f'{source}/object_{each}/points',
                lambda msg, each=each: self._on_points(msg, each),
                reliable,
            )

    def is_matched(self) -> bool:
        """Tell whether somebody publishes centres."""
        return self.count_publishers(self._topic) > 0

    def close(self) -> None:
        """Write what is still in memory."""
        self._lines.close()
        text = json.dumps(self._diagnostics, indent=1)
        (self._out / 'space_diagnostics.json').write_text(text + '\n')

    def _on_centers(self, msg: PointCloud2) -> None:
        received_ns = time.time_ns()
        rows = read_centers(msg)
        line = {
            'stamp_ns': to_stamp_ns(msg.header.stamp),
            'received_ns': received_ns,
            'objects': [{name: row[name].item() for name in rows.dtype.names} for row in rows],
        }
        self._lines.write(json.dumps(line) + '\n')
        self._lines.flush()

    def _on_points(self, msg: PointCloud2, object_id: int) -> None:
        points = np.frombuffer(bytes(msg.data), np.float32).reshape(-1, 3)
        kept = points[:: max(1, len(points) // _MOST_POINTS)]
        name = f'{to_stamp_ns(msg.header.stamp)}_{object_id}.npy'
        np.save(self._out / 'clouds' / name, kept)

    def _on_diagnostics(self, msg: DiagnosticArray) -> None:
        for status in msg.status:
            self._diagnostics[status.name.rpartition('/')[2]] = {
                'message': status.message,
                'values': {item.key: item.value for item in status.values},
            }


def main() -> int:
    """Run the process until it is told to stop."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('out', type=Path, help='folder for the recording')
    parser.add_argument('--source', default='objects_3d', help='name of the node to listen to')
    parser.add_argument('--objects', type=int, nargs='*', default=[], help='whose points to keep')
    parser.add_argument('--marker', type=Path, default=None, help='file to make when listening')
    parser.add_argument('--namespace', default='', help='of all topics')
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    record(lambda: SpaceRecorder(args.source, args.objects, args.out, args.namespace), args.marker)
    return 0


if __name__ == '__main__':
    sys.exit(main())
