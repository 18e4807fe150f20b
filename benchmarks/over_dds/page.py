# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
What an open page costs the node: latency with and without it, in turns, and the page's own rate.

python benchmarks page --rounds 3 --seconds 15

Starts a segmenter and the page as processes; the camera (30 Hz) and the viewer run in this one, so
that on few cores they cost, too. Set ROS_DOMAIN_ID to one of your own.
"""

import argparse
import asyncio
import json
from pathlib import Path
import re
import struct
import subprocess
import sys
import tempfile
import threading
import time

import aiohttp
import numpy as np
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image

from vos_ros.harness.clip import render
from vos_ros.ros.conversions import stamp_ns_of, to_color_msg, to_label_msg


async def view(url: str, name: str, seconds: float) -> int:
    """Look for some time as a page does; return how many pictures came."""
    pictures, end = 0, time.monotonic() + seconds
    async with aiohttp.ClientSession() as session, session.ws_connect(f'{url}ws') as ws:
        await ws.send_str(json.dumps({'type': 'watch', 'camera': name, 'width': 640}))
        while time.monotonic() < end:
            message = await ws.receive(timeout=30)
            if message.type == aiohttp.WSMsgType.BINARY:
                (length,) = struct.unpack_from('<I', message.data)
                head = json.loads(message.data[4 : 4 + length])
                pictures += 1
                await ws.send_str(json.dumps({'type': 'ack', 'sequence': head['sequence']}))
    return pictures


def _look(url: str, seconds: float, pictures: list[int]) -> None:
    pictures.append(asyncio.run(view(url, '/vos', seconds)))


def main() -> None:
    """Measure both in turns, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--seconds', type=float, default=15.0)
    parser.add_argument('--model', default='')
    parser.add_argument('--hz', type=float, default=30.0)
    args = parser.parse_args()
    model = ['-p', f'model:={args.model}'] if args.model else []
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / 'page.txt'
        started = [
            subprocess.Popen([sys.executable, '-m', 'vos_ros.ros.node', '--ros-args', *model]),
            subprocess.Popen(
                [sys.executable, '-m', 'vos_ros.page.program', '--ros-args', '-p', 'port:=0'],
                stderr=log.open('wb'),
            ),
        ]
        try:
            _measure(args, log)
        finally:
            for each in started:
                each.terminate()
                each.wait(20)


def _measure(args: argparse.Namespace, log: Path) -> None:
    rclpy.init()
    node = rclpy.create_node('bench_page')
    images = node.create_publisher(Image, 'image', qos_profile_sensor_data)
    masks = node.create_publisher(Image, 'init_mask', 1)
    sent: dict[int, float] = {}
    delays: list[float] = []

    def on_labels(msg: Image) -> None:
        at = sent.pop(stamp_ns_of(msg), None)
        if at is not None:
            delays.append((time.perf_counter() - at) * 1e3)

    node.create_subscription(Image, 'vos/labels', on_labels, 2)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    clip = list(render(30))

    def play(seconds: float, labels: np.ndarray | None = None) -> None:
        end = time.monotonic() + seconds
        due = time.monotonic()
        number = 0
        while time.monotonic() < end:
            msg = to_color_msg(clip[number % 30][0], 'rgb8', Image().header)
            msg.header.stamp = node.get_clock().now().to_msg()
            if labels is not None and number == 0:
                masks.publish(to_label_msg(labels, msg.header))
            sent[stamp_ns_of(msg)] = time.perf_counter()
            images.publish(msg)
            number += 1
            due += 1 / args.hz
            while time.monotonic() < due:
                executor.spin_once(max(0.0, due - time.monotonic()))

    while not (masks.get_subscription_count() and images.get_subscription_count()):
        executor.spin_once(0.1)
    play(3.0)
    play(3.0, clip[0][1])
    found = re.search(r'open (http\S+)', log.read_text())
    assert found is not None, log.read_text()
    for number in range(args.rounds):
        for is_open in (False, True) if number % 2 == 0 else (True, False):
            pictures: list[int] = []
            job = threading.Thread(target=_look, args=(found[1], args.seconds, pictures))
            if is_open:
                job.start()
            delays.clear()
            sent.clear()
            play(args.seconds)
            if is_open:
                job.join()
            p50, p99 = np.percentile(delays, [50, 99])
            rate = f', page {pictures[0] / args.seconds:.1f} Hz' if pictures else ''
            print(
                f'page {"open  " if is_open else "closed"}: p50 {p50:.0f} ms, p99 {p99:.0f} ms, '
                f'{len(delays) / args.seconds:.1f} labels/s{rate}',
                flush=True,
            )
    rclpy.try_shutdown()


if __name__ == '__main__':
    main()
