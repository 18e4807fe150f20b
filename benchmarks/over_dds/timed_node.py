# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The segmenter node as it is, which also writes down when each frame came and went.

Started by node.py; VOS_BENCH_TIMES names the file, JSON lines. The lines are kept in memory
and written at the end.
"""

from __future__ import annotations

from dataclasses import asdict
import json
import os
from pathlib import Path
import sys
import time
from typing import Any

from vos_ros.datatypes import Segmentation
from vos_ros.ros import node, vos_node
from vos_ros.ros.conversions import CameraFrame
from vos_ros.ros.publishing import Outputs


class TimedOutputs(Outputs):
    """Outputs that note when labels are published."""

    lines: list[dict[str, Any]] = []  # noqa: RUF012  there is one node in this process

    def publish_labels(self, segmentation: Segmentation, frame: CameraFrame) -> None:
        """Publish, and note the clock before and after it."""
        began_ns, began = time.time_ns(), time.perf_counter()
        super().publish_labels(segmentation, frame)
        ended = time.perf_counter()
        self.lines.append(
            {
                'stamp_ns': segmentation.stamp_ns,
                'arrived_ns': began_ns - int(1e9 * (began - frame.arrived)),
                'publish_ns': began_ns,
                'published_ns': began_ns + int(1e9 * (ended - began)),
                **asdict(segmentation.timing),
            }
        )


def main() -> int:
    """Run the node with the outputs above, then write the file."""
    vos_node.Outputs = TimedOutputs
    try:
        return node.main()
    finally:
        text = ''.join(json.dumps(line) + '\n' for line in TimedOutputs.lines)
        Path(os.environ['VOS_BENCH_TIMES']).write_text(text)


if __name__ == '__main__':
    sys.exit(main())
