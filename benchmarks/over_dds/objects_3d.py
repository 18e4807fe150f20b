# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
What objects_3d costs: its own time per frame, and whether the segmenter's masks come later for it.

python benchmarks objects_3d [--model M] [--rounds N] [--frames N]

First the geometry and the messages alone, in this process, by camera and number of objects. Then
over DDS: segmenter and objects_3d as processes of their own, camera and subscriber a third one, on
the drawn scene of `vos demo3d`. Blocks of frames with objects_3d running and without it alternate
in one run, in an order that is reversed each round; depth is published in both. Read the ratio.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
import os
from pathlib import Path
import sys
import tempfile
import time
from typing import Any

import numpy as np
from over_dds.rig import Rig
from rclpy.qos import qos_profile_sensor_data, QoSProfile
from record import parse_args, percentiles, save, table
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header

from vos_ros.config import GeometryConfig, RuntimeConfig
from vos_ros.harness import scene
from vos_ros.harness.clip import load_photographs
from vos_ros.harness.play import environment
from vos_ros.harness.processes import Children
from vos_ros.ros import space_messages
from vos_ros.ros.conversions import to_depth_msg, to_stamp_ns
from vos_ros.space.camera import Camera
from vos_ros.space.depth import without_objects
from vos_ros.space.objects import locate_all

SIZES = ((640, 480), (1280, 960))
OBJECTS = (1, 2, 5, 10)
VIEWS = 12
WARM_UP = 5
#: How long centres may take; depth is best effort.
_CENTERS_S = 3.0


def alone(repeats: int) -> tuple[list[list[object]], dict[str, Any]]:
    """Time the geometry and its messages in this process."""
    rows, raw = [], {}
    for width, height in SIZES:
        camera = scene.CAMERA.scaled(width, height)
        view = scene.look(0.0, camera=camera)
        stored = scene.sensed(view.depth, np.random.default_rng(1))
        for objects in OBJECTS:
            labels = cut(view.labels, objects)
            times: dict[str, list[tuple[float, float]]] = {}
            for _ in range(repeats):
                with timed(times, 'place'):
                    found = locate_all(labels, stored, camera, GeometryConfig(), objects)
                with timed(times, 'messages'):
                    space_messages.to_centers_msg(found, Header())
                    for each in found:
                        space_messages.to_cloud_msg(each.points, Header())
                with timed(times, 'cut out'):
                    without_objects(stored, labels, 2)
            for name, values in times.items():
                ms, cpu = (percentiles(list(column)) for column in zip(*values))
                raw[f'{width}x{height}, {objects} objects, {name}'] = {'wall': ms, 'cpu': cpu}
                cells = [f'{ms["p50"]:.2f}', f'{ms["p99"]:.2f}', f'{cpu["p50"]:.2f}']
                rows.append([f'{width}x{height}', objects, name, *cells])
    return rows, raw


@contextmanager
def timed(times: dict[str, list[tuple[float, float]]], name: str) -> Iterator[None]:
    """Add (ms on the wall, ms of this process) of what is done inside."""
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    spent = 1e3 * (time.perf_counter() - wall), 1e3 * (time.process_time() - cpu)
    times.setdefault(name, []).append(spent)


def cut(labels: np.ndarray, objects: int) -> np.ndarray:
    """Cut what is on the labels into so many parts of about the same area."""
    rows, columns = np.nonzero(labels)
    order = np.lexsort((rows, columns))
    made = np.zeros_like(labels)
    parts = np.arange(len(order)) * objects // len(order) + 1
    made[rows[order], columns[order]] = parts
    return made


class SpaceRig(Rig):
    """A segmenter, and a depth camera beside the camera; objects_3d comes and goes."""

    def _start(self) -> None:
        self.centers: dict[int, int] = {}  # stamp -> arrival, ns
        self.own: dict[str, str] = {}
        super()._start()
        make = self._node.create_publisher
        self._depth = make(Image, 'depth', qos_profile_sensor_data)
        self._infos = make(CameraInfo, 'camera_info', 10)
        self._node.create_subscription(
            PointCloud2, 'objects_3d/centers', self._on_centers, QoSProfile(depth=100)
        )

    def _on_report(self, msg: Any) -> None:
        if not msg.status[0].name.startswith('objects_3d'):
            super()._on_report(msg)
            return
        values = {v.key: v.value for status in msg.status for v in status.values}
        with self._changed:
            self.own = values
            self._changed.notify_all()

    def _on_centers(self, msg: Any) -> None:
        with self._changed:
            self.centers[to_stamp_ns(msg.header.stamp)] = time.time_ns()
            self._changed.notify_all()

    @contextmanager
    def objects_3d(self) -> Iterator[None]:
        """Run objects_3d until the context is left."""
        env = environment(self._folder) | {'ROS_DOMAIN_ID': os.environ['ROS_DOMAIN_ID']}
        command = [sys.executable, '-m', 'vos_ros.ros.objects_3d']
        with Children() as children:
            log = self._folder / 'objects_3d.log'
            self.pid = children.start('objects_3d', command, env=env, log=log).pid
            self.wait(lambda: self._depth.get_subscription_count() > 0, 'objects_3d')
            time.sleep(1.0)
            yield
        self.wait(lambda: self._depth.get_subscription_count() == 0, 'objects_3d to go')

    def of_objects_3d(self) -> dict[str, str]:
        """Return what objects_3d last said of its own time."""
        self.own = {}
        found: dict[str, str] = self.wait(lambda: self.own, 'diagnostics of objects_3d')
        return found

    def core_ms(self) -> float:
        """Return the core time that objects_3d has taken since its start, in ms."""
        fields = Path(f'/proc/{self.pid}/stat').read_text().rpartition(')')[2].split()
        return 1e3 * (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')

    def wait_for_centers(self, stamp_ns: int) -> None:
        """Wait for the centres of an image, but not for ever: its depth may have been lost."""
        end = time.monotonic() + _CENTERS_S
        self.wait(lambda: stamp_ns in self.centers or time.monotonic() > end, 'centres')

    def send_depth(self, stored: np.ndarray, camera: Camera, stamp_ns: int) -> None:
        """Publish a depth image, (H, W) uint16 in mm, with its camera_info."""
        sec, nanosec = divmod(stamp_ns, 1_000_000_000)
        header = Header(frame_id='camera')
        header.stamp.sec, header.stamp.nanosec = sec, nanosec
        info = CameraInfo(header=header, width=camera.width, height=camera.height)
        info.k = [camera.fx, 0.0, camera.cx, 0.0, camera.fy, camera.cy, 0.0, 0.0, 1.0]
        self._infos.publish(info)
        self._depth.publish(to_depth_msg(stored, '16UC1', header))


def beside(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Time the segmenter with objects_3d beside it, and without."""
    coffee, astronaut, motorcycle = load_photographs()
    textures = {'wall': motorcycle, 'box': astronaut, 'floor': coffee}
    views = [scene.look(0.5 * n / VIEWS, textures) for n in range(VIEWS)]
    random = np.random.default_rng(3)
    frames = [(view.image, scene.sensed(view.depth, random)) for view in views]
    frames += frames[-2:0:-1]
    found: dict[str, Any] = {
        'without': [],
        'with': [],
        'centres': [],
        'missing': 0,
        'rounds': [],
        'core_ms': [],
    }
    with SpaceRig(folder, {'model': args.model, 'threads': args.threads}) as rig:
        stamp_ns = time.time_ns()
        rig.send_mask(views[0].labels, stamp_ns)
        rig.wait(lambda: int(rig.report()['objects']['masks_in']), 'the mask')
        rig.segment(frames[0][0], stamp_ns)
        count = 0

        def block(kind: str) -> list[float]:
            nonlocal count
            ages = []
            for number in range(args.frames + WARM_UP):
                count += 1
                image, depth = frames[count % len(frames)]
                stamp_ns = rig.send(image)
                rig.send_depth(depth, scene.CAMERA, stamp_ns)
                answer = rig.wait(lambda s=stamp_ns: rig.answer(s), 'labels')
                if kind == 'with':
                    rig.wait_for_centers(stamp_ns)
                time.sleep(args.pause / 1e3)
                if number >= WARM_UP:
                    ages.append(answer.age_ms)
                    if kind == 'with' and stamp_ns not in rig.centers:
                        found['missing'] += 1
                    elif kind == 'with':
                        late = (rig.centers[stamp_ns] - answer.arrived_ns) / 1e6
                        found['centres'].append(late)
            found[kind] += ages
            return ages

        for number in range(args.rounds):
            medians = {}
            for kind in ('without', 'with')[:: 1 if number % 2 == 0 else -1]:
                if kind == 'with':
                    with rig.objects_3d():
                        began_ms = rig.core_ms()
                        medians[kind] = float(np.median(block(kind)))
                        spent_ms = rig.core_ms() - began_ms
                        found['core_ms'].append(spent_ms / (args.frames + WARM_UP))
                        told = rig.of_objects_3d()
                else:
                    medians[kind] = float(np.median(block(kind)))
            found['rounds'].append(medians['with'] / medians['without'])
            print(f'round {number}: with / without {found["rounds"][-1]:.3f}', flush=True)
        found['own'] = told
    return found


def main() -> int:
    """Measure, print and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('--model', default=RuntimeConfig().model, help='name or folder')
    parser.add_argument('--rounds', type=int, default=12, help='pairs of blocks')
    parser.add_argument('--frames', type=int, default=20, help='per block, that count')
    parser.add_argument('--repeats', type=int, default=200, help='of the geometry alone')
    parser.add_argument('--pause', type=float, default=15.0, help='ms after each answer')
    parser.add_argument('--threads', type=int, default=1, help='of the network')
    args = parse_args(parser)

    rows, raw = alone(args.repeats)
    for row in rows:
        print(*row)
    with tempfile.TemporaryDirectory() as folder:
        found = beside(args, Path(folder))
    summaries = {name: percentiles(found[name]) for name in ('without', 'with', 'centres')}
    names = {
        'without': "image's stamp to labels, without objects_3d",
        'with': "image's stamp to labels, with objects_3d",
        'centres': 'labels to centres, at a subscriber of both',
    }
    over_dds = [
        [names[name], *(f'{ms[p]:.1f}' for p in ('p50', 'p95', 'p99', 'max'))]
        for name, ms in summaries.items()
    ]
    ratios = found['rounds']
    text = (
        f'Geometry alone, {args.repeats} repeats, ms:\n\n'
        + table(['camera', 'objects', 'step', 'p50', 'p99', 'p50 of core time'], rows)
        + f'\n\nOver DDS, 640x480, 2 objects, {args.rounds} rounds of {args.frames} frames, '
        'ms:\n\n'
        + table(['what', 'p50', 'p95', 'p99', 'max'], over_dds)
        + f'\n\nLatency with / without, median of a round: {np.median(ratios):.3f} '
        f'({min(ratios):.3f} to {max(ratios):.3f}); frames without centres: {found["missing"]}. '
        f'In the node, depth and labels to published: p50 {found["own"]["latency_p50_ms"]} ms, '
        f'p99 {found["own"]["latency_p99_ms"]} ms. Core time of the whole process: '
        f'{np.median(found["core_ms"]):.1f} ms a frame.'
    )
    print(text)
    command = f'python benchmarks objects_3d --model {args.model} --rounds {args.rounds}'
    parts = {
        'alone': raw,
        'over_dds': summaries,
        'ratios': ratios,
        'core_ms': found['core_ms'],
        'own': found['own'],
    }
    print(save('objects 3d', command, text, parts))
    return 0


if __name__ == '__main__':
    sys.exit(main())
