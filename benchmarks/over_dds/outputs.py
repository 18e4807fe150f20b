# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
What the node's outputs cost per frame, alone and where nobody subscribes.

python benchmarks outputs [--frames N] [--objects K] [--nobody]

The outputs of the node are made in this process and given the same result again and again; a
subscription in this process makes one of them wanted. Processor time of the calling thread, ms:
that of the worker, which a frame waits for. It stays what it is on a busy machine, latency does
not.
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

import numpy as np
from record import parse_args, percentiles, save, table
from workload import fit_clip, prompt_for, read_clip, size_text

from vos_ros.config import NodeConfig, OverlayConfig
from vos_ros.datatypes import Segmentation, StepTiming

CAMERAS = ((480, 640), (720, 1280))  # height, width
NOBODY = 'nobody'


def measure(
    node: Any, camera: tuple[int, int], args: argparse.Namespace
) -> dict[str, list[float]]:
    """Return ms per frame for each output that somebody wants, and for none."""
    from rclpy.callback_groups import ReentrantCallbackGroup
    from sensor_msgs.msg import CompressedImage, Image

    from vos_ros.ros import conversions, guard
    from vos_ros.ros.camera_info import CameraInfoRelay
    from vos_ros.ros.publishing import Outputs
    from vos_ros.ros.qos import QosWatch

    frames, labels = fit_clip(read_clip('', '', 2), camera)
    label_map = prompt_for(labels, args.objects).label_map
    ids = tuple(range(1, args.objects + 1))
    prob = np.full((args.objects + 1, camera[0] // 4, camera[1] // 4), 0.5, np.float32)
    result = Segmentation(label_map, ids, dict.fromkeys(ids, 1.0), 7, '', StepTiming(), prob)
    frame = conversions.CameraFrame(frames[0].image, source=Image())
    watch = QosWatch(node)
    infos = CameraInfoRelay(
        node,
        watch,
        NodeConfig(),
        group=ReentrantCallbackGroup(),
        error_log=guard.ErrorLog(node.get_logger(), lambda: None, lambda: False),
        ask=lambda: None,
        on_topics_changed=lambda: None,
    )
    outputs = Outputs(watch, NodeConfig(), None, lambda: None, infos)
    topics: dict[str, type] = {
        'labels': Image,
        'labels/compressed': CompressedImage,
        'class_labels': Image,
        'object_1/mask': Image,
        'confidence': Image,
        'overlay': Image,
        'overlay/compressed': CompressedImage,
    }

    def publish() -> float:
        began = time.thread_time()
        outputs.publish_labels(result, frame)
        outputs.publish_rest(result, frame, {}, OverlayConfig(max_rate_hz=0.0))
        return (time.thread_time() - began) * 1e3

    publish()
    outputs.match_objects()
    found = {NOBODY: [publish() for _ in range(args.frames)]}
    for topic, kind in topics.items() if args.others else ():
        reader = node.create_subscription(kind, f'outputs/{topic}', lambda msg: None, 1)
        publisher = next(p for p in node.publishers if p.topic_name == f'/outputs/{topic}')
        while publisher.get_subscription_count() == 0:
            time.sleep(0.05)
        found[topic] = [publish() for _ in range(args.frames)]
        node.destroy_subscription(reader)
        while publisher.get_subscription_count() > 0:
            time.sleep(0.05)
    outputs.close()
    infos.close()
    return found


def main() -> int:
    """Measure, print and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('--frames', type=int, default=300, help='for each output')
    parser.add_argument('--objects', type=int, default=2)
    parser.add_argument('--nobody', dest='others', action='store_false', help='that row alone')
    args = parse_args(parser)
    import rclpy

    rclpy.init()
    node = rclpy.create_node('outputs')
    rows, raw = [], {}
    for camera in CAMERAS:
        for topic, values in measure(node, camera, args).items():
            summary = percentiles(values)
            raw[f'{size_text(camera)} {topic}'] = summary
            rows.append([size_text(camera), topic, *(f'{summary[p]:.3f}' for p in ('p50', 'p99'))])
            print(*rows[-1], flush=True)
    node.destroy_node()
    rclpy.shutdown()
    text = (
        f'{args.objects} objects, {args.frames} frames each; processor time of the thread that '
        'publishes, ms per frame, all that nobody wants included.\n\n'
        + table(['camera', 'wanted', 'p50', 'p99'], rows)
    )
    command = f'python benchmarks outputs --frames {args.frames} --objects {args.objects}'
    print(save('outputs', command, text, {'outputs': raw}))
    return 0


if __name__ == '__main__':
    sys.exit(main())
