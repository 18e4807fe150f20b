# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
`prompt_page`: the page beside running segmenters, as a node of its own.

It finds segmenters, and the topics that each one is remapped to, in the graph. It listens to
images and labels only while somebody looks, best effort, so that it cannot hold back the node.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
import math
import os
import re
import sys
import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import ParameterDescriptor
import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header, UInt16MultiArray
from std_srvs.srv import SetBool, Trigger

from vos_ros.config import InitConfig
from vos_ros.datatypes import LabelMap
from vos_ros.engine.prompter import Prompter
from vos_ros.errors import VosError
from vos_ros.formats.image_codec import decode_labels
from vos_ros.interrupts import leave_no_more
from vos_ros.page.feed import Feed, Shot, to_ids
from vos_ros.page.server import PageServer
from vos_ros.ros.conversions import Arrival, stamp_ns_of, to_any_frame, to_label_msg
from vos_ros.ros.guard import shut_down, tidy, unless_stopped
from vos_ros.ros.qos import BEST_EFFORT, profile
from vos_ros.ros.raw_image import nbytes_of, read_image

_IMAGE, _COMPRESSED = 'sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage'
_IDS = 'std_msgs/msg/UInt16MultiArray'
_OBJECT_STATE = re.compile(r'object_([0-9]{1,9})_state')
_POLL_S = 1.0
#: After so long without a word, s, a camera or a node is silent.
_SILENT_S = 3.0
_LEVELS = ('ok', 'warn', 'error', 'error')

#: Level, message and values of each part of a node's diagnostics.
Report = dict[str, tuple[int, str, dict[str, str]]]


class Segmenter:
    """
    One segmenter as the page sees it.

    :param node: the page's.
    :param name: full name of the segmenter.
    :param run: runs a function in the executor's thread and gives its future.
    """

    def __init__(
        self, node: Node, name: str, run: Callable[[Callable[[], Any]], Future[Any]]
    ) -> None:
        self.name = name
        self._node, self._run = node, run
        self._feed = Feed()
        self._viewers = 0
        self._topics: dict[str, str] = {}
        self._subscriptions: list[Any] = []
        self._publishers: dict[str, Any] = {}
        self._report: Report = {}
        self._reported_at = time.monotonic()
        self._watched_at = time.monotonic()
        self._names: dict[int, str] = {}
        self._reset = node.create_client(Trigger, f'{name}/reset')
        self._enable = node.create_client(SetBool, f'{name}/enable')

    # From the web's thread

    def current(self) -> Shot | None:
        """Return the newest picture that has labels, or the newest one."""
        newest = self._feed.newest()
        if newest is None:
            return None
        stamp_ns, image, labels = newest
        read = None if labels is None else (lambda: decode_labels(labels, 'labels'))
        return Shot(stamp_ns, lambda: to_any_frame(Arrival(image, 0.0, stamp_ns)), read, image)

    def status(self) -> dict[str, Any]:
        """Say how it is, by its diagnostics and by what comes in here."""
        report = dict(self._report)
        objects = report.get('objects', (0, '', {}))[2]
        rows = []
        for i, state in _states(report):
            named = self._names.get(i) or objects.get(f'object_{i}_name', '')
            score = _number(objects.get(f'object_{i}_score'))
            rows.append({'id': i, 'state': state, 'score': score, 'name': named})
        inference = report.get('inference', (0, '', {}))[2]
        images = report.get('input', (0, '', {}))[2]
        return {
            'camera': self.name,
            'notices': self._notices(report),
            'objects': rows,
            'state': report.get('node', (0, 'unknown', {}))[1],
            'latency_ms': [inference.get(f'latency_{p}_ms') for p in ('p50', 'p99')],
            'rate_hz': images.get('rate_hz'),
            'dropped': images.get('dropped'),
            'rejected': objects.get('masks_rejected', '0'),
            'last_rejection': objects.get('last_rejection', ''),
            'last_notice': objects.get('last_notice', ''),
        }

    def prompt(self, shot: Shot, label_map: LabelMap, names: Mapping[int, str]) -> Future[str]:
        """Publish a mask with the header of its picture."""
        return self._run(lambda: self._publish_mask(shot, label_map, names))

    def act(self, what: str, values: Mapping[str, Any]) -> Future[str]:
        """Remove objects, reset, pause or go on."""
        if what == 'remove':
            ids = list(to_ids(values['ids']))
            return self._run(lambda: self._remove(ids))
        done: Future[str] = Future()
        request, client = {
            'reset': (Trigger.Request(), self._reset),
            'enable': (SetBool.Request(data=bool(values.get('on'))), self._enable),
        }.get(what, (None, None))
        if client is None:
            done.set_exception(VosError(f'a camera has no {what}'))
            return done
        if what == 'reset':
            self._names.clear()
        self._run(lambda: self._call(client, request, done))
        return done

    def watch(self, viewers: int) -> None:
        """Listen while somebody looks."""
        self._viewers = viewers
        self._run(self.follow)

    # From the executor's thread

    def follow(self) -> None:
        """Find the topics of the segmenter, and subscribe to them while somebody looks."""
        topics = self._find_topics()
        is_same = topics == self._topics and bool(self._subscriptions) == bool(self._viewers)
        if is_same:
            return
        for each in self._subscriptions:
            self._node.destroy_subscription(each)
        self._subscriptions.clear()
        if topics != self._topics:
            for publisher in self._publishers.values():
                self._node.destroy_publisher(publisher)
            self._publishers = {}
            for key, kind in (('init_mask', Image), ('remove_objects', UInt16MultiArray)):
                if key in topics:
                    made = self._node.create_publisher(kind, topics[key], profile(10))
                    self._publishers[key] = made
            self._topics = topics
        if not self._viewers:
            self._feed.clear()
            return
        self._watched_at = time.monotonic()
        listen = self._node.create_subscription
        qos = profile(1, BEST_EFFORT)
        if 'image' in topics:
            self._subscriptions.append(listen(Image, topics['image'], self._on_raw, qos, raw=True))
        if 'compressed' in topics:
            topic = topics['compressed']
            self._subscriptions.append(listen(CompressedImage, topic, self._on_image, qos))
        labels = f'{self.name}/labels'
        self._subscriptions.append(listen(Image, labels, self._on_labels, qos, raw=True))

    def close(self) -> None:
        """Leave the graph."""
        for each in self._subscriptions:
            self._node.destroy_subscription(each)
        for publisher in self._publishers.values():
            self._node.destroy_publisher(publisher)
        for client in (self._reset, self._enable):
            self._node.destroy_client(client)

    def take_report(self, parts: Mapping[str, Any]) -> None:
        """
        Take the node's diagnostics.

        :param parts: DiagnosticStatus by part, such as 'input': all that there are now.
        """
        self._reported_at = time.monotonic()
        before = self._reported_ids()
        self._report = {
            part: (
                min(int.from_bytes(status.level, 'little'), len(_LEVELS) - 1),
                tidy(status.message, 300),
                {value.key: tidy(value.value, 300) for value in status.values[:2000]},
            )
            for part, status in parts.items()
        }
        for i in before - self._reported_ids():  # the next one under this id is another object
            self._names.pop(i, None)

    def _reported_ids(self) -> set[int]:
        return {i for i, _ in _states(self._report)}

    def _find_topics(self) -> dict[str, str]:
        """
        Tell what the segmenter listens to, whatever it is remapped to.

        Its masks come in two forms, T and T/compressed; what else brings images is the camera.
        """
        space, _, base = self.name.rpartition('/')
        try:
            found = self._node.get_subscriber_names_and_types_by_node(base, space or '/')
        except RuntimeError:  # it has gone meanwhile
            return {}
        raw = {topic for topic, kinds in found if _IMAGE in kinds}
        packed = {topic for topic, kinds in found if _COMPRESSED in kinds}
        masks = {topic for topic in raw if f'{topic}/compressed' in packed}
        rest = packed - {f'{topic}/compressed' for topic in masks}
        removals = {topic for topic, kinds in found if _IDS in kinds}
        by_use = {
            'init_mask': masks,
            'image': raw - masks,
            'compressed': rest,
            'remove_objects': removals,
        }
        return {use: min(topics) for use, topics in by_use.items() if topics}

    def _on_raw(self, serialized: bytes) -> None:
        try:
            image = read_image(serialized)
        except VosError:
            return
        self._feed.put_image(stamp_ns_of(image), image, nbytes_of(image))

    def _on_image(self, msg: Any) -> None:
        self._feed.put_image(stamp_ns_of(msg), msg, nbytes_of(msg))

    def _on_labels(self, serialized: bytes) -> None:
        try:
            labels = read_image(serialized)
        except VosError:
            return
        self._feed.put_labels(stamp_ns_of(labels), labels)

    def _publish_mask(self, shot: Shot, label_map: LabelMap, names: Mapping[int, str]) -> str:
        publisher = self._publishers.get('init_mask')
        if publisher is None or not publisher.get_subscription_count():
            raise VosError(f'{self.name} does not listen to masks; is it configured?')
        # The page was shown this very image: its header is copied, no number is made anew.
        source = shot.source
        header: Header = source.header
        publisher.publish(to_label_msg(label_map, header))
        self._names.update(names)
        at = header.stamp
        return f'sent for the image of {at.sec}.{at.nanosec:09d}'

    def _remove(self, ids: list[int]) -> str:
        publisher = self._publishers.get('remove_objects')
        if publisher is None or not publisher.get_subscription_count():
            raise VosError(f'{self.name} does not listen; is it configured?')
        publisher.publish(UInt16MultiArray(data=ids))
        for i in ids:
            self._names.pop(i, None)
        return f'removed {", ".join(map(str, ids))}'

    def _call(self, client: Any, request: Any, done: Future[str]) -> None:
        if not client.service_is_ready():
            done.set_exception(VosError(f'{client.srv_name} is not there'))
            return

        def answered(future: Any) -> None:
            if done.done():
                return
            reply = future.result()
            if reply.success:
                done.set_result(reply.message)
            else:
                done.set_exception(VosError(reply.message))

        client.call_async(request).add_done_callback(answered)

    def _notices(self, report: Report) -> list[dict]:
        now = time.monotonic()
        notices = []
        silent = now - self._reported_at
        if silent > _SILENT_S:
            text = f'{self.name} has been silent for {silent:.0f} s: has it ended?'
            notices.append({'level': 'error', 'text': text})
        else:
            notices += [
                {'level': _LEVELS[level], 'text': f'{part}: {message}'}
                for part, (level, message, _) in report.items()
                if level and part != 'memory'
            ]
        state = report.get('node', (0, '', {}))[1]
        if silent <= _SILENT_S and state in ('unconfigured', 'inactive', 'finalized', 'paused'):
            notices.append({'level': 'warn', 'text': f'the segmenter is {state}'})
        image_s, _ = self._feed.ages_s()
        since = min(image_s, now - self._watched_at)
        if self._viewers and image_s > _SILENT_S and since > _SILENT_S:
            topic = self._topics.get('image') or self._topics.get('compressed')
            text = f'no image on {topic} for {since:.0f} s' if topic else 'it takes no images now'
            notices.append({'level': 'error', 'text': text})
        return notices


class PromptPage(Node):
    """Serves the page; parameters in the table below."""

    mode = 'live'

    def __init__(self, **kwargs: Any) -> None:
        super().__init__('prompt_page', **kwargs)
        given = {}
        for name, default, text in (
            ('host', '127.0.0.1', 'address to listen on; beyond loopback a token is needed'),
            ('port', 8420, '0 = any that is free'),
            ('token', '', 'empty = a random one'),
            ('max_rate_hz', 10.0, 'most pictures per second and page'),
            ('prompt_model', InitConfig().prompt_model, 'finds what boxes and strokes mean'),
            ('segmenters', [''], 'full names of segmenters to show; empty = all that there are'),
        ):
            descriptor = ParameterDescriptor(description=text, read_only=True)
            given[name] = self.declare_parameter(name, default, descriptor).value
        self._wanted = {name for name in given.pop('segmenters') if name}
        self._found: dict[str, Segmenter] = {}
        self._jobs: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._wake = self.create_guard_condition(self._work)
        self.create_subscription(DiagnosticArray, '/diagnostics', self._on_report, 10)
        self.create_timer(_POLL_S, self._find_segmenters)
        prompter = Prompter.open(given.pop('prompt_model'))
        self.server = PageServer(self, **given, prompter=prompter)

    def cameras(self) -> Mapping[str, Segmenter]:
        """Return the segmenters that are known by now."""
        return dict(self._found)

    def run(self, job: Callable[[], Any]) -> Future[Any]:
        """
        Run a function in the executor's thread, which alone makes and destroys topics.

        :param job: what it raises is the future's.
        """
        done: Future[Any] = Future()
        self._jobs.append((job, done))
        self._wake.trigger()
        return done

    def _work(self) -> None:
        while self._jobs:
            job, done = self._jobs.popleft()
            if not done.set_running_or_notify_cancel():
                continue
            try:
                done.set_result(job())
            except Exception as error:  # for whoever waits; the page goes on
                done.set_exception(error)

    def _find_segmenters(self) -> None:
        """Find segmenters: nodes that offer labels, reset and enable under their own name."""
        services = dict(self.get_service_names_and_types())
        names = {
            name[: -len('/reset')]
            for name, kinds in services.items()
            if name.endswith('/reset') and 'std_srvs/srv/Trigger' in kinds
        }
        names = {n for n in names if {f'{n}/enable', f'{n}/change_state'} <= services.keys()}
        if self._wanted:
            names &= self._wanted
        for name in sorted(names - self._found.keys()):
            self._found = {**self._found, name: Segmenter(self, name, self.run)}
            self.get_logger().info(f'found {name}')
        for segmenter in list(self._found.values()):
            segmenter.follow()

    def _on_report(self, msg: Any) -> None:
        reports: dict[str, dict[str, Any]] = {}
        for status in msg.status:
            name, _, part = status.name.rpartition(': ')
            reports.setdefault(f'/{name}', {})[part] = status
        for name in reports.keys() & self._found.keys():
            self._found[name].take_report(reports[name])


def _number(text: str | None) -> float | None:
    """Read a number that JSON can hold; whatever else a peer wrote is None."""
    try:
        number = float(text or 'nan')
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _states(report: Report) -> list[tuple[int, str]]:
    """Return id and state of each object in a report."""
    values = report.get('objects', (0, '', {}))[2]
    found = ((_OBJECT_STATE.fullmatch(key), state) for key, state in values.items())
    return [(int(match[1]), state) for match, state in found if match is not None]


def main() -> int:
    """Run until interrupted; exit code 0, or 2 with one line on stderr."""
    node = None
    try:
        rclpy.init(args=sys.argv)
        leave_no_more()
        with unless_stopped():
            node = PromptPage()
            node.server.start()
            node.get_logger().info(f'open {node.server.url}')
            executor = SingleThreadedExecutor()
            executor.add_node(node)
        executor.spin()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except (VosError, RuntimeError) as error:
        print(f'prompt_page: {error}', file=sys.stderr)
        return 2
    finally:
        if node is not None:
            node.server.stop()
        shut_down()
    sys.stderr.flush()
    os._exit(0)  # a thread inside native code would crash the interpreter's end
