# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
VosNode: transitions, services and parameters around the worker. Wiring only.

What comes in besides images is in `prompts`, what goes out in `publishing` and `reporting`.

Three threads. The executor's runs every callback that has no other note: it answers services,
reports and never waits for the network. The intake's, while the node is active, takes images and
masks and stores them. The worker's converts, segments and publishes. (A fourth one draws masks for
boxes, see `box_drawer`.)
"""

from collections import Counter
from dataclasses import asdict
from functools import partial
import logging
import time
from typing import Any

from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CompressedImage, Image
from std_srvs.srv import SetBool, Trigger

from vos_ros.config import parse_range
from vos_ros.datatypes import Frame, Prompt, Segmentation
from vos_ros.engine.segmenter import VideoSegmenter
from vos_ros.errors import VosError
from vos_ros.formats.boxes import Box
from vos_ros.formats.grey import GreyRange
from vos_ros.ros import conversions, detections, diagnostics, parameters
from vos_ros.ros.box_drawer import BoxDrawer
from vos_ros.ros.compat import guard_change_state
from vos_ros.ros.conversions import Arrival, stamp_ns_of
from vos_ros.ros.gaps import GapCounter
from vos_ros.ros.guard import Complaints, guarded, in_words, LogBridge, shortened, wait_for
from vos_ros.ros.intake import Intake, IntakeGroup
from vos_ros.ros.prompts import PromptInputs
from vos_ros.ros.publishing import Outputs
from vos_ros.ros.qos import BEST_EFFORT, profile, QosWatch, RELIABLE
from vos_ros.ros.raw_image import check_texts, nbytes_of, read_image
from vos_ros.ros.reporting import image_topic, Reporter, Snapshot
from vos_ros.stream.overload import OverloadLimits
from vos_ros.stream.timeline import TimeJump
from vos_ros.stream.worker import Failed, Worker, WorkerStats

#: How long a stop waits for the network.
_JOIN_S = 1.0
#: Lines about objects that come and go are this far apart at least.
_TELL_S = 0.5

SUCCESS = TransitionCallbackReturn.SUCCESS
FAILURE = TransitionCallbackReturn.FAILURE


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
        # With simulated time, the node's own clock may stand still or go back: no timer may.
        self.steady_clock = Clock(clock_type=ClockType.STEADY_TIME)
        self._health = diagnostics.Health()
        self.complain = Complaints(self.get_logger(), self._health.error, self.context.ok)
        self._log_bridge = LogBridge(self.get_logger())
        logging.getLogger('vos_ros').addHandler(self._log_bridge)
        self._watch = QosWatch(self)
        self._vision = detections.find_vision_msgs()
        self._prompts: PromptInputs | None = None
        self._outputs: Outputs | None = None
        self._boxes: BoxDrawer | None = None
        self._image_subscription: Any = None
        self._image_gaps: GapCounter | None = None
        self._input_group = IntakeGroup()
        self._intake: Intake | None = None
        self._segmenter: VideoSegmenter | None = None
        self._worker: Worker[Arrival] | None = None
        self._past: Counter[str] = Counter()  # counts of workers that have ended
        self._followed: tuple[int, ...] = ()  # as last told
        self._told_at = float('-inf')
        self._newest: Segmentation | None = None
        self._prompted_frames = 0
        self._load_s = 0.0
        self._is_paused = False
        self._complaint = ''

        parameters.declare(self)
        self._config = parameters.read(self)
        self.add_on_set_parameters_callback(self._on_set_parameters)
        guard_change_state(self, self._on_refused_transition)
        self._reporter = Reporter(self, self._health, self._watch)
        self.create_service(Trigger, '~/reset', self._on_reset)
        self.create_service(SetBool, '~/enable', self._on_enable)
        # From the worker's thread to the executor's, which alone makes and destroys topics.
        self._objects_changed = self.create_guard_condition(self._on_objects_changed)
        self._time_jumped = self.create_guard_condition(self._on_time_jumped)
        self._diagnostics_timer = self._start_diagnostics()
        self._start_timer = None
        if self._config.node.autostart:
            self._start_timer = self.create_timer(0.0, self._on_start, clock=self.steady_clock)
        if self._vision is None:
            self.get_logger().info(
                'vision_msgs is not installed: init_boxes, ~/objects and ~/label_info are off'
            )

    def close(self) -> bool:
        """
        Stop the worker, whatever state the node is in.

        :return: the worker has ended; False = the network did not return within a second.
        """
        logging.getLogger('vos_ros').removeHandler(self._log_bridge)
        self._stop_intake()
        return self._stop_worker()

    # Transitions

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the model; a failure is logged with its reason and can be mended and repeated."""
        try:
            self._configure()
        except Exception as error:
            self._complaint = f'cannot configure: {in_words(error)}'
            self.complain(error, f'{self._complaint}; mend it and configure again')
            self._release()
            return FAILURE
        return SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start the worker and listen to the camera."""
        try:
            self._activate()
        except Exception as error:
            self._complaint = f'cannot activate: {in_words(error)}'
            self.complain(error, self._complaint)
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
            self.complain(error)
        return SUCCESS

    def _configure(self) -> None:
        self._complaint = ''
        config = self._config = parameters.read(self)
        self._segmenter = wait_for(lambda: self._load(config), self.context.ok)
        self._outputs = Outputs(
            self._watch, config.node, self._vision, self._objects_changed.trigger
        )
        self._prompts = PromptInputs(
            self,
            self._watch,
            config.node.init,
            vision=self._vision,
            health=self._health,
            complain=self.complain,
            submit=self._submit_prompt,
            known_ids=self._known_ids,
            seen_at=self._seen_at,
            remove=self._remove_objects,
            group=self._input_group,
            on_topics_changed=self._follow_inputs,
        )
        self._prompts.take_file()
        self.destroy_timer(self._diagnostics_timer)
        self._diagnostics_timer = self._start_diagnostics()

    def _load(self, config: parameters.Configuration) -> VideoSegmenter:
        began = time.perf_counter()
        segmenter = VideoSegmenter.open(config=config.segmenter, runtime=config.runtime)
        if config.node.overload.policy == 'shrink':
            segmenter.open_sizes()
        self._load_s = time.perf_counter() - began
        for line in segmenter.fallbacks:
            self.get_logger().warning(f'fell back to {segmenter.backend_name}: {line}')
        self.get_logger().info(
            f'model {segmenter.manifest.name} runs on {segmenter.backend_name} '
            f'({segmenter.precision}), loaded in {self._load_s:.1f} s'
        )
        return segmenter

    def _activate(self) -> None:
        segmenter, outputs, prompts = self._segmenter, self._outputs, self._prompts
        if segmenter is None or outputs is None or prompts is None:
            raise VosError('no model is loaded; configure first')
        node = self._config.node
        self._health.restart()
        self._worker = Worker(
            segmenter,
            to_frame=partial(
                conversions.to_any_frame, grey=GreyRange(parse_range(node.image_range))
            ),
            stamp_of=lambda item: item.stamp_ns,
            on_result=self._publish,
            on_error=self._on_worker_error,
            init=node.init,
            nbytes_of=lambda item: nbytes_of(item.msg),
            limits=OverloadLimits.of(node),
            age_ms_of=lambda item: self._believable_age_ms(item.stamp_ns),
            time_jump_policy=node.on_time_jump,
            on_time_jump=self._on_time_jump,
        )
        self._worker.start()
        if self._vision is not None:
            self._boxes = BoxDrawer(
                node.init, self._submit_drawn, self._on_box_error, self._on_box_note
            )
        prompts.hand_over_held()
        is_raw = node.image_transport != 'compressed'
        self._image_subscription = self._watch.subscribe(
            Image if is_raw else CompressedImage,
            image_topic(self, node),
            self._on_serialized_image if is_raw else self._on_image,
            profile(1, RELIABLE if node.image_qos == 'reliable' else BEST_EFFORT),
            on_lost=self._health.images_lost,
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            raw=is_raw,
            callback_group=self._input_group,
        )
        topic = self._image_subscription.topic_name
        self._image_gaps = GapCounter(
            self._health.images_missed, lambda: int(self.count_publishers(topic))
        )
        self._intake = Intake(self.context, self._input_group)
        self._follow_inputs()
        self._intake.start()
        self.get_logger().info(
            f'active: {self._image_subscription.topic_name} in, {outputs.labels_topic} out'
        )

    def _deactivate(self) -> bool:
        self._stop_intake()
        if self._image_subscription is not None:
            self._watch.release(self._image_subscription)
            self._image_subscription = None
        return self._stop_worker()

    def _stop_intake(self) -> None:
        intake, self._intake = self._intake, None
        if intake is not None:
            intake.stop(_JOIN_S)

    def _stop_worker(self) -> bool:
        boxes, self._boxes = self._boxes, None
        if boxes is not None:
            boxes.stop(0.0)  # it ends while the worker does
        is_joined = True
        if self._worker is not None:
            is_joined = self._worker.stop(_JOIN_S)
            self._past.update(asdict(self._worker.stats))
            self._worker = None
        return (boxes is None or boxes.stop(_JOIN_S)) and is_joined

    def _release(self) -> None:
        self._segmenter = self._newest = None
        if self._outputs is not None:
            self._outputs.close()
            self._outputs = None
        if self._prompts is not None:
            self._prompts.close()
            self._prompts = None

    @guarded
    def _on_start(self) -> None:
        self.destroy_timer(self._start_timer)
        if self.trigger_configure() == SUCCESS:
            self.trigger_activate()

    def _on_refused_transition(self, request: Any, error: Exception) -> None:
        what = request.transition.label or request.transition.id
        self.get_logger().warning(f'transition {what} refused: {in_words(error)}')

    # Input

    def _follow_inputs(self) -> None:
        if self._intake is not None and self._prompts is not None:
            # A mask that came before its image is taken before it.
            self._intake.follow(
                (*self._prompts.subscriptions, self._image_subscription),
                {**self._prompts.gaps, self._image_subscription: self._image_gaps},
            )

    @guarded
    def _on_serialized_image(self, serialized: bytes) -> None:
        arrived = time.perf_counter()
        try:
            msg = read_image(serialized)
        except VosError as error:
            self._refuse_image(error)
            return
        self._take(Arrival(msg, arrived, stamp_ns_of(msg)))

    @guarded
    def _on_image(self, msg: Any) -> None:
        arrived = time.perf_counter()
        try:
            check_texts(msg)
        except VosError as error:
            self._refuse_image(error)
            return
        self._take(Arrival(msg, arrived, stamp_ns_of(msg)))

    def _refuse_image(self, error: VosError) -> None:
        if self._worker is not None and not self._is_paused:
            self._health.image_unreadable(in_words(error))
            self.complain.log(error)
        else:
            self._health.image_ignored()

    def _take(self, item: Arrival) -> None:
        """Hand an image on. Runs in the intake's thread."""
        worker, boxes, msg = self._worker, self._boxes, item.msg
        if worker is None or self._is_paused:
            self._health.image_ignored()
            return
        encoding = getattr(msg, 'encoding', '') or getattr(msg, 'format', '')
        self._health.image_arrived(encoding, item.stamp_ns)
        worker.submit_frame(item)
        if boxes is not None:
            boxes.put_image(item)

    def _submit_prompt(self, prompt: Prompt | detections.BoxPrompt) -> bool:
        """Hand a prompt on; False = nobody can use it now."""
        if self._worker is None or self._is_paused:
            return False
        if isinstance(prompt, Prompt):
            self._worker.submit_prompt(prompt)
        elif self._boxes is not None:
            self._boxes.put_boxes(prompt)
        return True

    def _submit_drawn(self, prompt: Prompt) -> None:
        """Hand on the masks of boxes. Runs in the box drawer's thread."""
        worker = self._worker
        if worker is not None:
            worker.submit_prompt(prompt)

    def _on_box_error(self, error: Exception) -> None:
        """Report boxes that are not followed. Runs in the box drawer's thread."""
        self._reject(error)

    def _on_box_note(self, line: str) -> None:
        """Report what became of boxes. Runs in the box drawer's thread."""
        self._health.noticed(line)
        self.complain.warn(line)

    def _reject(self, error: Exception) -> None:
        self._health.mask_rejected(in_words(error))
        self.complain.log(error)

    def _remove_objects(self, object_ids: frozenset[int]) -> None:
        if self._boxes is not None:
            self._boxes.remove(object_ids)
        if self._worker is not None:
            self._worker.submit_remove(object_ids)
        elif self._segmenter is not None:
            self._segmenter.remove_objects(object_ids)

    def _known_ids(self) -> tuple[int, ...]:
        return () if self._segmenter is None else self._segmenter.object_ids

    def _seen_at(self) -> dict[int, Box]:
        """Return the boxes around the objects on the newest result."""
        newest = self._newest
        if newest is None:
            return {}
        known = set(self._known_ids()).intersection(newest.object_ids)
        return detections.boxes_of(newest.label_map, sorted(known))

    def _on_time_jump(self, jump: TimeJump) -> None:
        """Tell that the stamps have jumped. Runs in the worker's thread."""
        seconds = (jump.after_ns - jump.before_ns) / 1e9
        self._health.time_jumped(seconds)
        does = 'objects are forgotten' if jump.policy == 'reset' else 'objects are kept'
        self.complain.warn(f'the stamps of the images jumped by {seconds:+.3f} s: {does}')
        if jump.policy == 'reset':
            self._time_jumped.trigger()

    @guarded
    def _on_time_jumped(self) -> None:
        """Begin again after a jump: latched masks and the mask file are meant again."""
        if self._boxes is not None:
            self._boxes.clear()
        if self._prompts is not None:
            self._prompts.repeat()

    # Services

    @guarded
    def _on_reset(self, request: Trigger.Request, response: Trigger.Response) -> Any:
        if self._segmenter is None or self._prompts is None:
            response.success, response.message = False, 'not configured, nothing to reset'
            return response
        known = len(self._known_ids())
        self._prompts.forget()
        if self._worker is not None:
            self._worker.submit_reset()
        else:
            self._segmenter.reset()
        if self._boxes is not None:
            self._boxes.clear()
        response.success = True
        response.message = f'{known} objects forgotten; send an init mask to start again'
        return response

    @guarded
    def _on_enable(self, request: SetBool.Request, response: SetBool.Response) -> Any:
        was_paused, self._is_paused = self._is_paused, not request.data
        if self._worker is None or self._prompts is None:
            response.success = True
            response.message = 'not active; will be ' + (
                'paused when activated' if self._is_paused else 'running when activated'
            )
            return response
        if was_paused and not self._is_paused:
            self._health.restart()
            self._prompts.hand_over_held()
        response.success = True
        response.message = 'paused: images are ignored' if self._is_paused else 'running'
        return response

    # Output

    def _publish(self, segmentation: Segmentation, frame: Frame) -> None:
        """Publish one result. Runs in the worker's thread."""
        outputs, prompts, segmenter = self._outputs, self._prompts, self._segmenter
        if not self.context.ok() or outputs is None or prompts is None or segmenter is None:
            return
        outputs.publish_labels(segmentation, frame)
        self._newest = segmentation
        latency_ms = (time.perf_counter() - frame.arrived) * 1e3
        self._health.published(segmentation, latency_ms, self._age_ms(segmentation.stamp_ns))
        for line in map(shortened, segmentation.warnings):
            self._health.noticed(line)
            self.complain.warn(line)
        outputs.publish_rest(segmentation, frame, prompts.names, self._config.node.overlay)
        self._prompted_frames = segmenter.memory.prompted_frames
        self._tell_followed(segmentation.object_ids)

    def _tell_followed(self, object_ids: tuple[int, ...]) -> None:
        """Log which objects came and went: who sent a mask wants to know that it was taken."""
        now = time.perf_counter()
        # A detector may give new ids with every image: what changes in between is told together.
        if object_ids == self._followed or now - self._told_at < _TELL_S:
            return
        came = sorted(set(object_ids).difference(self._followed))
        went = sorted(set(self._followed).difference(object_ids))
        self._followed, self._told_at = object_ids, now
        parts = [f'objects {came} are followed now'] if came else []
        parts += [f'objects {went} no longer'] if went else []
        self.get_logger().info(shortened('; '.join(parts)))

    def _age_ms(self, stamp_ns: int) -> float:
        """Return the age by the node's clock, which may be simulated; 0 where it is unknown."""
        now_ns = self.get_clock().now().nanoseconds
        if stamp_ns == 0 or now_ns == 0:  # without /clock, simulated time is 0
            return 0.0
        return (now_ns - stamp_ns) / 1e6

    def _believable_age_ms(self, stamp_ns: int) -> float:
        """Return the age as the limits see it: 0 where the camera has another clock."""
        age_ms = self._age_ms(stamp_ns)
        return 0.0 if diagnostics.is_clock_other(age_ms) else age_ms

    @guarded
    def _on_objects_changed(self) -> None:
        if self._outputs is not None:
            self._outputs.match_objects()

    # Health

    def _on_worker_error(self, error: Exception, what: Failed) -> None:
        """Log what went wrong with a frame or a mask. Runs in the worker's thread."""
        if not isinstance(error, VosError):
            self.complain(error)
        elif what == 'frame':
            self._health.image_failed(in_words(error))
            self.complain.log(error)
        elif what == 'prompt':
            self._reject(error)
        else:
            self.complain(error)

    def _start_diagnostics(self) -> Any:
        period_s = self._config.node.diagnostics.period_s
        return self.create_timer(period_s, self._on_diagnostics_timer, clock=self.steady_clock)

    @guarded
    def _on_diagnostics_timer(self) -> None:
        worker, prompts = self._worker, self._prompts
        stats = asdict(worker.stats if worker is not None else WorkerStats())
        self._reporter.report(
            Snapshot(
                state=self._state_machine.current_state[1],
                is_active=worker is not None,
                is_paused=self._is_paused,
                complaint=self._complaint,
                config=self._config,
                segmenter=self._segmenter,
                counts={name: self._past[name] + count for name, count in stats.items()},
                overload=worker.overload if worker is not None else None,
                names=prompts.names if prompts is not None else {},
                prompted_frames=self._prompted_frames,
                load_s=self._load_s,
            )
        )

    def _on_set_parameters(self, changes: list) -> SetParametersResult:
        try:
            values = {change.name: change.value for change in changes}
            parameters.check_change(self, values, is_configured=self._segmenter is not None)
            self._config = parameters.read(self, values)
            self._apply_live()
        except Exception as error:
            return SetParametersResult(successful=False, reason=in_words(error))
        return SetParametersResult(successful=True)

    def _apply_live(self) -> None:
        if self._segmenter is not None:
            self._segmenter.lost = self._config.segmenter.lost
        if self._worker is not None:
            self._worker.set_limits(OverloadLimits.of(self._config.node))
