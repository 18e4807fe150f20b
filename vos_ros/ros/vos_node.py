# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
VosNode: topics, services and transitions around the worker. Wiring only.

Two threads. The executor's runs every callback of this file that has no other note: it stores
messages and answers services, never waits for the network. The worker's converts, segments and
publishes, the latter in `_publish`, the one function that uses publishers from there.

An exception that escapes a callback would end spin(), and with it the node: all are guarded.
"""

from collections import deque
from collections.abc import Callable
import functools
import hashlib
import threading
import time
import traceback
from typing import Any, NamedTuple

from diagnostic_msgs.msg import DiagnosticArray
import numpy as np
from rcl_interfaces.msg import SetParametersResult
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import UInt16MultiArray
from std_srvs.srv import SetBool, Trigger

from vos_ros.datatypes import Frame, Prompt, Segmentation
from vos_ros.errors import VosError
from vos_ros.ros import conversions, diagnostics, parameters
from vos_ros.segmenter import VideoSegmenter
from vos_ros.worker import Worker

#: Init masks that are kept while the node cannot use them (inactive, paused); the oldest go first.
_HELD_PROMPTS = 8
#: Init masks remembered so that a second delivery is told from a new mask.
_SEEN_PROMPTS = 32
#: How often to look whether somebody latches init masks.
_LATCHED_POLL_S = 0.25
#: A complaint that repeats with every frame is logged once in this time.
_REPEAT_S = 5.0
#: How long a stop waits for the network.
_JOIN_S = 1.0

SUCCESS = TransitionCallbackReturn.SUCCESS
FAILURE = TransitionCallbackReturn.FAILURE


class Arrival(NamedTuple):
    """An image message, not looked at yet, and when it came."""

    msg: Any
    arrived: float


def guarded(callback: Callable) -> Callable:
    """Keep whatever goes wrong in a callback inside of it: one log line, and the node lives."""

    @functools.wraps(callback)
    def run(self: 'VosNode', *args: Any) -> Any:
        try:
            return callback(self, *args)
        except Exception as error:
            self._complain(error)
            # Services must answer: the second argument is the response they were given.
            return args[1] if len(args) > 1 else None

    return run


class VosNode(LifecycleNode):
    """
    The segmenter as a managed node.

    unconfigured: parameters only. inactive: model loaded, init masks are held. active: images in,
    labels out. Objects survive deactivate and activate; clean up forgets model and objects.
    """

    def __init__(self, name: str = 'vos', **kwargs: Any) -> None:
        """
        Declare the parameters; with `autostart`, configure and activate from the first spin.

        :param name: default name, usually remapped by a launch file.
        :param kwargs: for rclpy's Node.
        :raises VosError: a parameter override is invalid.
        """
        super().__init__(name, **kwargs)
        self._lock = threading.Lock()  # publishers of the objects, shared with the worker
        self._object_publishers: dict[int, Any] = {}
        self._wanted_ids: tuple[int, ...] = ()
        self._publishers_by_name: dict[str, Any] = {}
        self._subscriptions_of_node: list[Any] = []
        self._image_subscription: Any = None
        self._durability_timer: Any = None
        self._segmenter: VideoSegmenter | None = None
        self._worker: Worker[Arrival] | None = None
        self._held: deque[Prompt] = deque(maxlen=_HELD_PROMPTS)
        self._seen: deque[tuple[int, bytes]] = deque(maxlen=_SEEN_PROMPTS)
        self._is_paused = False
        self._has_seen_stamp_0 = False
        self._overlay_at = float('-inf')
        self._rejected = 0  # masks that the worker refused, as last seen
        self._complaint = ''
        self._complained: dict[str, float] = {}
        self._health = diagnostics.Health()

        parameters.declare(self)
        self._config = parameters.read(self)
        self.add_on_set_parameters_callback(self._on_set_parameters)
        self._guard_change_state()
        self._diagnostics = self.create_publisher(DiagnosticArray, '/diagnostics', 10)
        self.create_service(Trigger, '~/reset', self._on_reset)
        self.create_service(SetBool, '~/enable', self._on_enable)
        self._objects_changed = self.create_guard_condition(self._match_object_publishers)
        period_s = self._config.node.diagnostics.period_s
        self._diagnostics_timer = self.create_timer(period_s, self._on_diagnostics_timer)
        self._start_timer = None
        if self._config.node.autostart:
            self._start_timer = self.create_timer(0.0, self._on_start)

    def close(self) -> bool:
        """
        Stop the worker, whatever state the node is in.

        :return: the worker has ended; False = the network did not return within a second.
        """
        return self._stop_worker()

    # Transitions

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the model; a failure is logged with its reason and can be mended and repeated."""
        try:
            self._configure()
        except Exception as error:
            self._complaint = f'cannot configure: {_in_words(error)}'
            self._complain(error, f'{self._complaint}; mend it and configure again')
            self._release()
            return FAILURE
        return SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start the worker and listen to the camera."""
        try:
            self._activate()
        except Exception as error:
            self._complaint = f'cannot activate: {_in_words(error)}'
            self._complain(error, self._complaint)
            self._deactivate()
            return FAILURE
        return SUCCESS

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop listening and publishing; the objects stay in memory."""
        if self._deactivate():
            return SUCCESS
        self.get_logger().error('the network did not return within a second; cleaning up')
        return TransitionCallbackReturn.ERROR

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Forget the model, the objects and all topics."""
        return self._leave('cleaned up')

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """End for good; the process goes on until it is interrupted, as ROS has it."""
        return self._leave('shut down')

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Go back to unconfigured, from where the node can be configured again."""
        return self._leave('cleaned up after an error')

    def _leave(self, what: str) -> TransitionCallbackReturn:
        try:
            self._deactivate()
            self._release()
            self.get_logger().info(what)
        except Exception as error:
            self._complain(error)
        return SUCCESS

    def _configure(self) -> None:
        self._complaint = ''
        config = self._config = parameters.read(self)
        began = time.perf_counter()
        self._segmenter = VideoSegmenter.open(config=config.segmenter, runtime=config.runtime)
        _probe(self._segmenter)
        manifest = self._segmenter.manifest
        self.get_logger().info(
            f'model {manifest.name} runs on {self._segmenter.backend_name}, loaded in '
            f'{time.perf_counter() - began:.1f} s'
        )
        reliable = _qos(2, ReliabilityPolicy.RELIABLE)
        self._publishers_by_name['labels'] = self.create_publisher(Image, '~/labels', reliable)
        if config.node.overlay.enabled:
            self._publishers_by_name['overlay'] = self.create_publisher(
                Image,
                '~/overlay',
                _qos(1, ReliabilityPolicy.RELIABLE),  # matches RViz and rqt
            )
        self._listen_for_masks(DurabilityPolicy.VOLATILE)
        self._durability_timer = self.create_timer(_LATCHED_POLL_S, self._on_durability_timer)
        self._subscriptions_of_node.append(
            self.create_subscription(
                UInt16MultiArray, 'remove_objects', self._on_remove_objects, reliable
            )
        )
        if config.node.init.mask_file:
            self._take_prompt(
                conversions.to_prompt_from_file(
                    config.node.init.mask_file, config.node.init.binary_id
                )
            )
        self.destroy_timer(self._diagnostics_timer)
        self._diagnostics_timer = self.create_timer(
            config.node.diagnostics.period_s, self._on_diagnostics_timer
        )

    def _listen_for_masks(self, durability: DurabilityPolicy) -> None:
        self._subscriptions_of_node.append(
            self.create_subscription(
                Image,
                'init_mask',
                self._on_init_mask,
                _qos(_HELD_PROMPTS, ReliabilityPolicy.RELIABLE, durability),
            )
        )

    @guarded
    def _on_durability_timer(self) -> None:
        """
        Listen a second way once somebody latches init masks.

        A volatile subscription matches every publisher, but the sample that was latched before is
        sent only to a transient_local one; and that one would not match volatile publishers, which
        log a warning about it. So it is made when it is of use, and `_is_new` drops what then
        comes through both.
        """
        offers = self.get_publishers_info_by_topic(self.resolve_topic_name('init_mask'))
        latched = DurabilityPolicy.TRANSIENT_LOCAL
        if any(offer.qos_profile.durability == latched for offer in offers):
            self.destroy_timer(self._durability_timer)
            self._durability_timer = None
            self._listen_for_masks(latched)

    def _activate(self) -> None:
        if self._segmenter is None:
            raise VosError('no model is loaded; configure first')
        node = self._config.node
        is_raw = node.image_transport == 'raw'
        self._health.restart()
        self._worker = Worker(
            self._segmenter,
            to_frame=_to_frame,
            stamp_of=lambda item: conversions.to_stamp_ns(item.msg.header.stamp),
            on_result=self._publish,
            on_error=self._on_worker_error,
            init=node.init,
            nbytes_of=lambda item: len(item.msg.data),
        )
        self._rejected = 0
        self._worker.start()
        self._hand_over_held()
        is_reliable = node.image_qos == 'reliable'
        self._image_subscription = self.create_subscription(
            Image if is_raw else CompressedImage,
            'image' if is_raw else 'image/compressed',
            self._on_image,
            _qos(1, ReliabilityPolicy.RELIABLE if is_reliable else ReliabilityPolicy.BEST_EFFORT),
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )
        self.get_logger().info(
            f'active: {self._image_subscription.topic_name} in, '
            f'{self._publishers_by_name["labels"].topic_name} out'
        )

    def _deactivate(self) -> bool:
        if self._image_subscription is not None:
            self.destroy_subscription(self._image_subscription)
            self._image_subscription = None
        return self._stop_worker()

    def _stop_worker(self) -> bool:
        worker, self._worker = self._worker, None
        return worker is None or worker.stop(_JOIN_S)

    def _release(self) -> None:
        self._segmenter = None
        self._wanted_ids = ()
        self._match_object_publishers()
        for subscription in self._subscriptions_of_node:
            self.destroy_subscription(subscription)
        self._subscriptions_of_node.clear()
        if self._durability_timer is not None:
            self.destroy_timer(self._durability_timer)
            self._durability_timer = None
        for publisher in self._publishers_by_name.values():
            self.destroy_publisher(publisher)
        self._publishers_by_name.clear()
        self._held.clear()
        self._seen.clear()

    @guarded
    def _on_start(self) -> None:
        self.destroy_timer(self._start_timer)
        if self.trigger_configure() == SUCCESS:
            self.trigger_activate()

    def _guard_change_state(self) -> None:
        # A transition that is unknown, or not possible in the present state, raises out of
        # rclpy's own callback and would end spin(): any stray service call could stop the node.
        service = getattr(self, '_service_change_state', None)
        if service is None:
            return
        inner = service.callback

        def change_state(request: Any, response: Any) -> Any:
            try:
                return inner(request, response)
            except Exception as error:
                response.success = False
                what = request.transition.label or request.transition.id
                self.get_logger().warning(f'transition {what} refused: {_in_words(error)}')
                return response

        service.callback = change_state

    # Input

    @guarded
    def _on_image(self, msg: Any) -> None:
        worker = self._worker
        if worker is None or self._is_paused:
            return
        replaced = worker.submit_frame(Arrival(msg, time.perf_counter()))
        self._health.image_arrived(
            getattr(msg, 'encoding', '') or getattr(msg, 'format', ''),
            dropped=replaced is not None,
        )

    @guarded
    def _on_init_mask(self, msg: Image) -> None:
        if not self._is_new(msg):
            self._health.mask_repeated()
            return
        self._health.mask_arrived()
        try:
            label_map = conversions.to_label_map(msg, self._config.node.init.binary_id)
        except VosError as error:
            self._health.mask_rejected(str(error))
            raise
        stamp_ns = conversions.to_stamp_ns(msg.header.stamp)
        if stamp_ns == 0 and not self._has_seen_stamp_0:
            self._has_seen_stamp_0 = True
            self.get_logger().warning(
                'init mask has stamp 0 and is applied to the next image; give it the stamp of the '
                'image that it was drawn on'
            )
        self._take_prompt(Prompt(label_map, stamp_ns))

    def _is_new(self, msg: Image) -> bool:
        digest = hashlib.blake2b(msg.data, digest_size=16)
        digest.update(f'{msg.encoding} {msg.width} {msg.height} {msg.step}'.encode())
        seen = (conversions.to_stamp_ns(msg.header.stamp), digest.digest())
        if seen in self._seen:
            return False
        self._seen.append(seen)
        return True

    def _take_prompt(self, prompt: Prompt) -> None:
        if self._worker is not None and not self._is_paused:
            self._submit_prompt(prompt)
            return
        self._held.append(prompt)
        self.get_logger().info('init mask is held until the node is active and enabled')

    def _hand_over_held(self) -> None:
        while self._held:
            self._submit_prompt(self._held.popleft())

    def _submit_prompt(self, prompt: Prompt) -> None:
        try:
            self._worker.submit_prompt(prompt)
        except VosError as error:
            self._health.mask_rejected(str(error))
            self._complain(error)

    @guarded
    def _on_remove_objects(self, msg: UInt16MultiArray) -> None:
        if self._worker is not None:
            self._worker.submit_remove(msg.data.tolist())
        elif self._segmenter is not None:
            self._segmenter.remove_objects(msg.data.tolist())

    def _known_ids(self) -> tuple[int, ...]:
        # While the worker runs, the segmenter is its alone; then the newest result tells.
        if self._worker is None and self._segmenter is not None:
            return self._segmenter.object_ids
        return self._wanted_ids

    # Services

    @guarded
    def _on_reset(self, request: Trigger.Request, response: Trigger.Response) -> Any:
        if self._segmenter is None:
            response.success, response.message = False, 'not configured, nothing to reset'
            return response
        known = len(self._known_ids())
        self._held.clear()
        self._seen.clear()  # the same mask may now be meant again
        if self._worker is not None:
            self._worker.submit_reset()
        else:
            self._segmenter.reset()
        response.success = True
        response.message = f'{known} objects forgotten; send an init mask to start again'
        return response

    @guarded
    def _on_enable(self, request: SetBool.Request, response: SetBool.Response) -> Any:
        was_paused, self._is_paused = self._is_paused, not request.data
        if self._worker is None:
            response.success = True
            response.message = 'not active; will be ' + (
                'paused when activated' if self._is_paused else 'running when activated'
            )
            return response
        if was_paused and not self._is_paused:
            self._health.restart()
            self._hand_over_held()
        response.success = True
        response.message = 'paused: images are ignored' if self._is_paused else 'running'
        return response

    # Output

    def _publish(self, segmentation: Segmentation, frame: Frame) -> None:
        """Publish one result. Runs in the worker's thread."""
        if not self.context.ok():
            return
        header = frame.header
        labels = self._publishers_by_name['labels']
        labels.publish(conversions.to_label_msg(segmentation.label_map, header))
        now = time.perf_counter()
        age_ms = (self.get_clock().now().nanoseconds - segmentation.stamp_ns) / 1e6
        node = self._config.node
        self._health.published(segmentation, (now - frame.arrived) * 1e3, age_ms, node.deadline_ms)
        with self._lock:
            for object_id, publisher in self._object_publishers.items():
                if publisher.get_subscription_count() > 0:
                    publisher.publish(
                        conversions.to_mask_msg(segmentation.label_map, object_id, header)
                    )
        self._publish_overlay(segmentation, frame, now)
        for line in segmentation.warnings:
            self._health.mask_rejected(line)
            self.get_logger().warning(line)
        if segmentation.object_ids != self._wanted_ids:
            self._wanted_ids = segmentation.object_ids
            self._objects_changed.trigger()

    def _publish_overlay(self, segmentation: Segmentation, frame: Frame, now: float) -> None:
        publisher = self._publishers_by_name.get('overlay')
        settings = self._config.node.overlay
        if publisher is None or publisher.get_subscription_count() == 0:
            return
        if settings.max_rate_hz > 0 and now - self._overlay_at < 1 / settings.max_rate_hz:
            return
        self._overlay_at = now
        picture = conversions.to_overlay(frame, segmentation.label_map, settings.alpha)
        publisher.publish(conversions.to_color_msg(picture, frame.encoding, frame.header))

    @guarded
    def _match_object_publishers(self) -> None:
        """Create and destroy publishers so that there is one for every known object."""
        wanted = self._wanted_ids if self._config.node.publish.object_masks else ()
        with self._lock:
            gone = {i: p for i, p in self._object_publishers.items() if i not in wanted}
            for object_id in gone:
                del self._object_publishers[object_id]
        for publisher in gone.values():
            self.destroy_publisher(publisher)
        for object_id in wanted:
            if object_id not in self._object_publishers:
                publisher = self.create_publisher(
                    Image, f'~/object_{object_id}/mask', _qos(2, ReliabilityPolicy.RELIABLE)
                )
                with self._lock:
                    self._object_publishers[object_id] = publisher

    # Health

    def _on_worker_error(self, error: Exception) -> None:
        """Log what went wrong with a frame or a mask. Runs in the worker's thread."""
        if not self.context.ok():
            return
        worker = self._worker
        rejected = worker.stats.prompts_rejected if worker is not None else self._rejected
        if rejected > self._rejected:
            self._rejected = rejected
            self._health.mask_rejected(str(error))
        self._complain(error)

    def _complain(self, error: Exception, line: str = '') -> None:
        """Log one line; the same one again only after a while. Runs in either thread."""
        line = line or _in_words(error)
        self._health.error()
        now = time.perf_counter()
        if now - self._complained.get(line, float('-inf')) < _REPEAT_S:
            return
        if len(self._complained) > 100:
            self._complained.clear()
        self._complained[line] = now
        self.get_logger().error(line)
        if not isinstance(error, VosError):
            self.get_logger().error(''.join(traceback.format_exception(error)))

    @guarded
    def _on_diagnostics_timer(self) -> None:
        segmenter, config = self._segmenter, self._config
        is_active = self._worker is not None
        state = self._state_machine.current_state[1]
        parts = {
            'node': diagnostics.node_status(
                'paused' if is_active and self._is_paused else state, self._complaint
            )
        }
        parts['input'] = self._health.input_status(
            config.node,
            is_expected=is_active and not self._is_paused,
            hint=self._why_silent() if is_active else '',
        )
        hardware = 'no model'
        if segmenter is not None:
            manifest = segmenter.manifest
            hardware = f'{segmenter.backend_name} {manifest.sha256[:12]}'
            parts['inference'] = self._health.inference_status(
                segmenter.backend_name, manifest.name, manifest.sha256
            )
            parts['objects'] = self._health.objects_status(
                self._known_ids(), config.segmenter.max_objects, segmenter.memory.nbytes
            )
        report = DiagnosticArray()
        report.header.stamp = self.get_clock().now().to_msg()
        for part, status in parts.items():
            status.name = f'{self.get_fully_qualified_name()[1:]}: {part}'
            status.hardware_id = hardware
            report.status.append(status)
        self._diagnostics.publish(report)

    def _why_silent(self) -> str:
        """Say what may keep images away, as far as the graph tells."""
        is_raw = self._config.node.image_transport == 'raw'
        topic = self.resolve_topic_name('image' if is_raw else 'image/compressed')
        offers = self.get_publishers_info_by_topic(topic)
        if not offers:
            return f'nobody publishes {topic}'
        best_effort = ReliabilityPolicy.BEST_EFFORT
        if self._config.node.image_qos == 'reliable' and all(
            offer.qos_profile.reliability == best_effort for offer in offers
        ):
            return f'{topic} is published best effort, set image_qos to sensor_data'
        return (
            f'{topic} has {len(offers)} publisher(s); if it is on the same host, both sides need '
            'config/fastdds_large_images.xml'
        )

    def _on_set_parameters(self, changes: list) -> SetParametersResult:
        try:
            values = {change.name: change.value for change in changes}
            parameters.check_change(self, values, is_configured=self._segmenter is not None)
            self._config = parameters.read(self, values)
        except Exception as error:
            return SetParametersResult(successful=False, reason=_in_words(error))
        return SetParametersResult(successful=True)


def _probe(segmenter: VideoSegmenter) -> None:
    """Run the model once: one that loads may still not run, and no frame should find that out."""
    frame = Frame(np.full((480, 640, 3), 128, np.uint8))
    label_map = np.zeros(frame.size, np.uint8)
    label_map[160:320, 200:440] = 1
    segmenter.step(frame, Prompt(label_map))
    result = segmenter.step(frame)
    segmenter.reset()
    if not np.isfinite(result.prob).all():
        raise VosError(
            f'model {segmenter.manifest.name} gives no finite numbers on '
            f'{segmenter.backend_name}; export it again or take another backend'
        )


def _to_frame(item: Arrival) -> Frame:
    if isinstance(item.msg, CompressedImage):
        return conversions.to_frame_from_compressed(item.msg, item.arrived)
    return conversions.to_frame(item.msg, item.arrived)


def _qos(
    depth: int,
    reliability: ReliabilityPolicy,
    durability: DurabilityPolicy = DurabilityPolicy.VOLATILE,
) -> QoSProfile:
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=reliability,
        durability=durability,
    )


def _in_words(error: Exception) -> str:
    if isinstance(error, VosError):
        return str(error)
    return f'{type(error).__name__}: {error}'
