# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Objects3dNode: labels and depth in, objects in space out. Wiring only.

One thread: each callback takes a few milliseconds, and what comes meanwhile waits in the
middleware. The matching is in `space/matching`, the geometry in `space/objects`.
"""

from collections import deque
from collections.abc import Callable
from copy import copy
import time
from typing import Any, NamedTuple

from diagnostic_msgs.msg import DiagnosticArray
import numpy as np
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, Image

from vos_ros.config import from_settings, Objects3dConfig, settings
from vos_ros.errors import VosError
from vos_ros.formats.image_codec import decode_labels
from vos_ros.ros import parameters
from vos_ros.ros.conversions import stamp_ns_of
from vos_ros.ros.guard import ErrorLog, guarded, in_words, SilenceLog, tidy
from vos_ros.ros.qos import BEST_EFFORT, LATCHED, profile, QosWatch, RELIABLE, VOLATILE
from vos_ros.ros.raw_image import frame_id_of, nbytes_of, read_image
from vos_ros.ros.space_health import CAMERA_INFO, DEPTH, LABELS, SpaceHealth
from vos_ros.ros.space_messages import find_messages
from vos_ros.ros.space_outputs import SpaceOutputs
from vos_ros.space.camera import Camera, read_camera
from vos_ros.space.depth import fit_labels, read_depth
from vos_ros.space.matching import Match, Matcher
from vos_ros.space.objects import areas_of, locate_all

#: Topic of the labels: the segmenter's, as it is called where nobody renames it.
LABELS_TOPIC = 'vos/labels'
#: Pairs of labels and depth image that wait for the first camera_info.
_MOST_EARLY = 4
#: How often to look whether labels have waited long enough.
_POLL_S = 0.01
_NAMES = [name for name, _ in settings(Objects3dConfig)]
_ONLY_AT_START = [n for n, item in settings(Objects3dConfig) if not item.metadata['live']]
_TYPES = {
    DEPTH: 'sensor_msgs/msg/Image',
    LABELS: 'sensor_msgs/msg/Image',
    CAMERA_INFO: 'sensor_msgs/msg/CameraInfo',
}


class _Depth(NamedTuple):
    """
    A depth image that waits.

    :param msg: RawImage or Image.
    :param stored: (H, W) uint16 or float32, a view of it where it can be.
    """

    msg: Any
    stored: np.ndarray


class _Pair(NamedTuple):
    """
    Labels with their depth image.

    :param depth: of the labels.
    :param fitted: (H, W) ids, at its size.
    :param offset_ms: stamp of the depth image less that of the labels.
    :param spent_ms: on them so far; what they wait for camera_info is not the node's time.
    """

    depth: _Depth
    fitted: np.ndarray
    offset_ms: float
    spent_ms: float


class Objects3dNode(Node):
    """
    Places the segmenter's objects in space.

    :param name: default name, usually remapped by a launch file.
    :param kwargs: for rclpy's Node.
    :raises VosError: a parameter override is invalid.
    """

    def __init__(self, name: str = 'objects_3d', **kwargs: Any) -> None:
        super().__init__(name, **kwargs)
        self._health = SpaceHealth()
        self.error_log = ErrorLog(self.get_logger(), self._health.error, self.context.ok)
        self._silence_log = SilenceLog(self.error_log)
        self._watch = QosWatch(self)
        parameters.declare(self, (Objects3dConfig,), _ONLY_AT_START)
        self._config = self._read()
        self.add_on_set_parameters_callback(self._on_set_parameters)
        self._matcher = Matcher(self._config.sync)
        self._vision, self._tf2 = find_messages('vision_msgs'), find_messages('tf2_msgs')
        self._outputs = SpaceOutputs(self._watch, self._vision, self._tf2)
        self._info: Any = None  # as it came last
        self._camera: Camera | None = None
        self._fitted: Camera | None = None  # to the size of the depth image
        self._early: deque[_Pair] = deque()  # came before camera_info
        self._notes: dict[str, str] = {}  # what is odd at present, by kind
        self._subscribe()
        # A simulated clock may stand still or go back: no timer may.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._poll = self.create_timer(_POLL_S, self._on_poll, clock=steady)
        self._poll.cancel()
        self._reports = self.create_publisher(DiagnosticArray, '/diagnostics', 10)
        self.create_timer(self._config.report.period_s, self._on_report, clock=steady)
        if self._vision is None:
            self.get_logger().info(
                'vision_msgs is not installed: ~/objects_3d is off; ~/centers says the same'
            )
        self._check_tf()
        topics = [each.topic_name for each in self._inputs.values()]
        self.get_logger().info(f'listening to {", ".join(topics)}')

    def close(self) -> bool:
        """Return at once: there is no thread to end."""
        return True

    def _subscribe(self) -> None:
        reliability = RELIABLE if self._config.depth_qos == 'reliable' else BEST_EFFORT
        overridable = {'qos_overriding_options': QoSOverridingOptions.with_default_policies()}
        self._inputs = {
            DEPTH: self._watch.subscribe(
                Image, DEPTH, self._on_depth, profile(5, reliability), raw=True, **overridable
            ),
            LABELS: self._watch.subscribe(
                Image, LABELS_TOPIC, self._on_labels, profile(5), raw=True, **overridable
            ),
            CAMERA_INFO: self._watch.subscribe(
                CameraInfo, CAMERA_INFO, self._on_camera_info, profile(1, BEST_EFFORT, VOLATILE)
            ),
        }
        self._latched_info: Any = None

    # Parameters

    def _read(self, changes: dict[str, Any] | None = None) -> Objects3dConfig:
        values = {name: self.get_parameter(name).value for name in _NAMES}
        return from_settings(Objects3dConfig, values | (changes or {}))

    def _on_set_parameters(self, given: list[Parameter]) -> SetParametersResult:
        changes = {each.name: each.value for each in given if each.name in _NAMES}
        try:
            config = self._read(changes)
            if 'distortion' in changes and self._info is not None:
                self._camera_from(self._info, config)  # it must be one that can be used
        except VosError as error:
            return SetParametersResult(successful=False, reason=str(error))
        self._config = config
        self._matcher.config = self._config.sync
        self._check_tf()
        if 'distortion' in changes and self._info is not None:
            self._take_camera(self._info)
        return SetParametersResult(successful=True)

    def _check_tf(self) -> None:
        if self._config.tf.enabled and self._tf2 is None:
            self._notes['tf'] = 'tf.enabled is set, but tf2_msgs is not installed: no frames'
            self.error_log.warn(self._notes['tf'])
        else:
            self._notes.pop('tf', None)

    # Input

    @guarded
    def _on_depth(self, serialized: bytes) -> None:
        self._health.arrived(DEPTH)
        read = self._take(DEPTH, lambda: self._read_depth(serialized))
        if read is not None:
            self._matcher.add_depth(stamp_ns_of(read.msg), read, nbytes_of(read.msg))
            self._process()

    @staticmethod
    def _read_depth(serialized: bytes) -> _Depth:
        msg = read_image(serialized)
        return _Depth(msg, read_depth(msg))

    @guarded
    def _on_labels(self, serialized: bytes) -> None:
        self._health.arrived(LABELS)
        msg = self._take(LABELS, lambda: read_image(serialized))
        if msg is not None:
            stamp_ns, size = stamp_ns_of(msg), nbytes_of(msg)
            for match in self._matcher.add_labels(stamp_ns, msg, size, time.monotonic()):
                self._place(match)
            self._process()

    @guarded
    def _on_camera_info(self, msg: CameraInfo) -> None:
        self._health.arrived(CAMERA_INFO)
        self._take(CAMERA_INFO, lambda: self._take_camera(msg))

    def _take(self, name: str, read: Callable[[], Any]) -> Any | None:
        """Read a message; None, counted and told, where nothing can be made of it."""
        try:
            return read()
        except VosError as error:
            self._health.unusable(name, in_words(error))
            self.error_log.log(error)
            return None

    def _camera_from(self, msg: CameraInfo, config: Objects3dConfig) -> Camera:
        topic = self._inputs[DEPTH].topic_name
        is_rectified = config.distortion == 'none' or (
            config.distortion == 'auto' and 'rect' in topic
        )
        return read_camera(msg, is_rectified=is_rectified)

    def _take_camera(self, msg: CameraInfo) -> None:
        topic = self._inputs[DEPTH].topic_name
        camera = self._camera_from(msg, self._config)
        self._info = msg
        if camera == self._camera:  # with its table of rays, which takes a while to make
            return
        self._camera, self._fitted = camera, None
        if camera.is_distorted:
            self.get_logger().warning(
                f'camera_info of {topic} has distortion, which is undone for every point: right '
                'for a depth image registered to a camera that is not rectified; if it is '
                'rectified, set distortion to none',
                once=True,
            )
        early, self._early = self._early, deque()
        for pair in early:
            self._take(LABELS, lambda pair=pair: self._locate(pair))

    # Work

    @guarded
    def _on_poll(self) -> None:
        self._process()

    def _process(self) -> None:
        for match in self._matcher.ready(time.monotonic()):
            self._place(match)
        if self._matcher.is_waiting:
            self._poll.reset()
        else:
            self._poll.cancel()

    def _place(self, match: Match) -> None:
        if match.depth is None:
            self._health.missing(DEPTH)
            return
        self._take(LABELS, lambda: self._publish(match))

    def _publish(self, match: Match) -> None:
        began = time.perf_counter()
        (msg, stored), config = match.depth, self._config
        labels = decode_labels(match.labels, 'labels')
        self._compare_frames(match.labels, msg)
        fitted = fit_labels(labels, stored.shape)
        if self._outputs.is_depth_wanted:
            self._outputs.publish_depth(
                stored, msg.encoding, fitted, config.mapping.dilate_px, msg.header
            )
        spent_ms = (time.perf_counter() - began) * 1e3
        pair = _Pair(match.depth, fitted, match.offset_ms, spent_ms)
        if self._camera is None:
            self._hold(pair)
        else:
            self._locate(pair)

    def _hold(self, pair: _Pair) -> None:
        """Keep the newest few until camera_info is there: it may come after the first images."""
        self.error_log.warn(
            f'no camera_info on {self._inputs[CAMERA_INFO].topic_name}: objects cannot be '
            'placed; remap camera_info to that of the depth image'
        )
        self._early.append(pair)
        most, early = self._config.sync.buffer_mib * 2**20, self._early
        while len(early) > 1 and (len(early) > _MOST_EARLY or self._early_bytes > most):
            early.popleft()
            self._health.missing(CAMERA_INFO)

    @property
    def _early_bytes(self) -> int:
        return sum(nbytes_of(each.depth.msg) + each.fitted.nbytes for each in self._early)

    def _locate(self, pair: _Pair) -> None:
        began = time.perf_counter()
        (msg, stored), config = pair.depth, self._config
        camera = self._take(CAMERA_INFO, lambda: self._camera_of(stored.shape))
        if camera is None:
            self._health.missing(CAMERA_INFO)
            return
        self._outputs.publish_camera_info(copy(self._info), msg.header)
        limit = config.max_objects
        objects = locate_all(pair.fitted, stored, camera, config.geometry, limit)
        found = tuple(each.object_id for each in objects)
        self._note_excess(pair.fitted, len(found), limit)
        self._outputs.match_objects(found, time.monotonic(), config)
        self._outputs.publish(objects, msg.header, config)
        latency_ms = pair.spent_ms + (time.perf_counter() - began) * 1e3
        self._health.located(objects, pair.offset_ms, latency_ms)

    def _camera_of(self, shape: tuple[int, int]) -> Camera:
        """Return the camera for images of (height, width)."""
        assert self._camera is not None, 'pairs wait until there is one'
        if self._fitted is None or (self._fitted.height, self._fitted.width) != shape:
            self._fitted = self._camera.scaled(shape[1], shape[0])
        return self._fitted

    def _compare_frames(self, labels: Any, depth: Any) -> None:
        """Warn where the frames differ: depth in another camera's pixels fits no mask."""
        names = {LABELS: frame_id_of(labels), DEPTH: frame_id_of(depth)}
        if self._info is not None:
            names[CAMERA_INFO] = str(self._info.header.frame_id)
        given = {name: frame for name, frame in names.items() if frame}
        if len(set(given.values())) < 2:
            self._notes.pop('frames', None)
            return
        listed = ', '.join(f"{name} '{tidy(frame, 64)}'" for name, frame in given.items())
        line = (
            f'frames differ: {listed}; the depth image must be registered to the camera of the '
            'labels (depth_image_proc register, or aligned_depth of the driver)'
        )
        if self._notes.get('frames') != line:
            self._notes['frames'] = line
            self.error_log.warn(line)

    def _note_excess(self, labels: np.ndarray, placed: int, limit: int) -> None:
        known = len(areas_of(labels)) if placed == limit else placed
        self._notes.pop('excess', None)
        if known > placed:
            line = f'{known} objects on the labels, the largest {limit} are placed (max_objects)'
            self._notes['excess'] = line
            self.error_log.warn(line)

    # Output

    def _subscribe_to_latched_info(self) -> None:
        """
        Subscribe once more where camera_info was published once, for whoever comes late.

        Not from the start: every other driver would log that nothing passes between the two.
        """
        if self._camera is not None or self._latched_info is not None:
            return
        topic = self._inputs[CAMERA_INFO].topic_name
        offers = [each.qos_profile for each in self.get_publishers_info_by_topic(topic)]
        if any(offer.durability == LATCHED for offer in offers):
            self._latched_info = self._watch.subscribe(
                CameraInfo, CAMERA_INFO, self._on_camera_info, profile(1, RELIABLE, LATCHED)
            )

    @guarded
    def _on_report(self) -> None:
        self._subscribe_to_latched_info()
        silent = self._health.silent(
            self._config.report.silence_s,
            {name: self._why_silent(name) for name in self._inputs},
            has_camera=self._camera is not None,
        )
        self._silence_log.tell(silent)
        msg = DiagnosticArray()
        msg.header.stamp = self.get_clock().now().to_msg()
        parts = {
            'input': self._health.input_status(
                self._matcher,
                self._camera,
                early=len(self._early),
                silent=silent,
                mismatches=self._watch.mismatches(),
                notes=[*self._notes.values()],
            ),
            'objects': self._health.objects_status(),
        }
        for part, status in parts.items():
            status.name = f'{self.get_fully_qualified_name()[1:]}: {part}'
            status.hardware_id = 'objects_3d'
            msg.status.append(status)
        self._reports.publish(msg)

    def _why_silent(self, name: str) -> str:
        """Say what may keep an input away, as far as the graph tells."""
        topic = self._inputs[name].topic_name
        types = {each.topic_type for each in self.get_publishers_info_by_topic(topic)}
        if not types:
            return f'nobody publishes {topic}'
        wrong = sorted(types - {_TYPES[name]})
        if not wrong:
            return ''
        line = f'{topic} carries {", ".join(wrong)}, not {_TYPES[name]}'
        if 'compressedDepth' in topic or wrong == ['sensor_msgs/msg/CompressedImage']:
            line += ': republish it as raw (image_transport republish compressedDepth raw)'
        return line
