# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
VosNode: transitions, services and parameters around the worker. Wiring only.

What there is while it is active is in `session`. What comes in besides images is in `prompts`,
what goes out in `results`, `publishing` and `reporting`.

Three threads. The executor's runs every callback that has no other note: it answers services,
reports and never waits for the network. The intake's, while the node is active, takes images and
masks and stores them. The worker's converts, segments and publishes. (A fourth one finds masks for
boxes and points, see `box_drawer`.)
"""

from collections import Counter
from contextlib import ExitStack
from dataclasses import asdict
import logging
import time
from typing import Any

from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from std_srvs.srv import SetBool, Trigger

from vos_ros.budget import Budget
from vos_ros.datatypes import Prompt
from vos_ros.engine.prompter import Prompter
from vos_ros.engine.segmenter import VideoSegmenter
from vos_ros.errors import VosError
from vos_ros.formats.encoded import limit_pixels
from vos_ros.ros import detections, diagnostics, parameters
from vos_ros.ros.bond import ManagerBond
from vos_ros.ros.camera_info import CameraInfoRelay
from vos_ros.ros.compat import guard_change_state
from vos_ros.ros.guard import ErrorLog, guarded, in_words, LogBridge, wait_for
from vos_ros.ros.intake import IntakeGroup
from vos_ros.ros.prompts import PromptInputs
from vos_ros.ros.publishing import Outputs
from vos_ros.ros.qos import QosWatch
from vos_ros.ros.reporting import Reporter, Snapshot
from vos_ros.ros.results import ObjectLog, Results
from vos_ros.ros.session import Loaded, Session
from vos_ros.stream.backlog import WorkerStats
from vos_ros.stream.timeline import TimeJump

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
        self.error_log = ErrorLog(self.get_logger(), self._health.error, self.context.ok)
        self._log_bridge = LogBridge(self.get_logger())
        logging.getLogger('vos_ros').addHandler(self._log_bridge)
        self._watch = QosWatch(self)
        self._bond = ManagerBond(self, self.error_log)
        self._vision = detections.find_vision_msgs()
        self._object_log = ObjectLog(self.get_logger())
        self._input_group = IntakeGroup()
        self._loaded: Loaded | None = None  # from configure to clean-up
        self._session: Session | None = None  # from activate to deactivate
        self._past: Counter[str] = Counter()  # counts of workers that have ended
        self._load_s = 0.0
        self._is_paused = False
        self._failure = ''

        parameters.declare(self)
        self._config = parameters.read(self)
        self.add_on_set_parameters_callback(self._on_set_parameters)
        guard_change_state(self, self._on_refused_transition)
        self._reporter = Reporter(self, self._health, self._watch, self.error_log)
        self.create_service(Trigger, '~/reset', self._on_reset)
        self.create_service(SetBool, '~/enable', self._on_enable)
        # From the worker's thread to the executor's, which alone makes and destroys topics.
        self._objects_changed = self.create_guard_condition(self._on_objects_changed)
        self._jump: TimeJump | None = None  # newest
        self._time_jumped = self.create_guard_condition(self._on_time_jumped)
        self._diagnostics_timer = self._start_diagnostics()
        self._start_timer = None
        if self._config.node.autostart:
            self._start_timer = self.create_timer(0.0, self._on_start, clock=self.steady_clock)
        if self._vision is None:
            self.get_logger().info(
                'vision_msgs is not installed: init_boxes, ~/objects, ~/label_info and '
                '~/class_info are off'
            )

    def close(self) -> bool:
        """
        Stop the worker, whatever state the node is in.

        :return: the worker has ended; False = the network did not return within a second.
        """
        logging.getLogger('vos_ros').removeHandler(self._log_bridge)
        return self._deactivate()

    # Transitions

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the model; a failure is logged with its reason and can be mended and repeated."""
        try:
            self._configure()
        except Exception as error:
            self._failure = f'cannot configure: {in_words(error)}'
            self.error_log.report(error, f'{self._failure}; mend it and configure again')
            self._release()
            return FAILURE
        return SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start the worker and listen to the camera."""
        try:
            self._activate()
        except Exception as error:
            self._failure = f'cannot activate: {in_words(error)}'
            self.error_log.report(error, self._failure)
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
            self.error_log.report(error)
        return SUCCESS

    def _configure(self) -> None:
        self._failure = ''
        config = self._config = parameters.read(self)
        budget = Budget.of(config.segmenter.memory)
        limit_pixels(budget.pixels)
        segmenter, prompter = wait_for(lambda: self._load(config), self.context.ok)
        with ExitStack() as opened:
            infos = CameraInfoRelay(
                self,
                self._watch,
                config.node,
                group=self._input_group,
                error_log=self.error_log,
                request_match=self._objects_changed.trigger,
                on_topics_changed=self._on_topics_changed,
            )
            opened.callback(infos.close)
            outputs = Outputs(
                self._watch, config.node, self._vision, self._objects_changed.trigger, infos
            )
            opened.callback(outputs.close)
            prompts = PromptInputs(
                self,
                self._watch,
                config.node.init,
                vision=self._vision,
                health=self._health,
                error_log=self.error_log,
                submit=self._submit_prompt,
                known_ids=self._known_ids,
                remove=self._remove_objects,
                most_nbytes=budget.prompts,
                group=self._input_group,
                on_topics_changed=self._on_topics_changed,
            )
            opened.callback(prompts.close)
            results = Results(
                self,
                segmenter,
                outputs,
                health=self._health,
                error_log=self.error_log,
                object_log=self._object_log,
                overlay=config.node.overlay,
                on_reset=self._note_jump,
            )
            prompts.take_file()
            self._loaded = Loaded(segmenter, prompter, outputs, prompts, results, opened.pop_all())
        self.destroy_timer(self._diagnostics_timer)
        self._diagnostics_timer = self._start_diagnostics()

    def _load(self, config: parameters.Configuration) -> tuple[VideoSegmenter, Prompter]:
        began = time.perf_counter()
        prompter = Prompter.open(config.node.init.prompt_model)
        segmenter = VideoSegmenter.open(config=config.segmenter, runtime=config.runtime)
        if config.node.overload.policy == 'shrink':
            segmenter.open_sizes()
        self._load_s = time.perf_counter() - began
        for line in segmenter.fallbacks:
            self.get_logger().warning(f'fell back to {segmenter.backend_name}: {line}')
        self.get_logger().info(
            f'model {segmenter.manifest.name} runs on {segmenter.backend_name} '
            f'({segmenter.precision}), loaded in {self._load_s:.1f} s; boxes and points go '
            f'through {prompter.name}'
        )
        return segmenter, prompter

    def _activate(self) -> None:
        loaded = self._loaded
        if loaded is None:
            raise VosError('no model is loaded; configure first')
        self._health.restart()
        session = self._session = Session(
            self,
            self._config.node,
            loaded,
            watch=self._watch,
            health=self._health,
            error_log=self.error_log,
            group=self._input_group,
            is_paused=self._is_paused,
        )
        loaded.prompts.hand_over_held()
        topic = session.listen()
        self._bond.form()
        self.get_logger().info(f'active: {topic} in, {loaded.outputs.labels_topic} out')

    def _deactivate(self) -> bool:
        """Close the session, if there is one; False = the network did not return in time."""
        self._bond.end()
        session = self._session
        if session is None:
            return True
        try:
            return session.close()
        finally:
            self._past.update(session.counts)
            self._session = None

    def _release(self) -> None:
        loaded, self._loaded = self._loaded, None
        if loaded is not None:
            loaded.closing.close()

    @guarded
    def _on_start(self) -> None:
        self.destroy_timer(self._start_timer)
        if self.trigger_configure() == SUCCESS:
            self.trigger_activate()

    def _on_refused_transition(self, request: Any, error: Exception) -> None:
        what = request.transition.label or request.transition.id
        self.get_logger().warning(f'transition {what} refused: {in_words(error)}')

    # What prompts need. In the intake's thread while the node is active.

    def _submit_prompt(self, prompt: Prompt | detections.BoxPrompt) -> bool:
        """Hand a prompt on; False = nobody can use it now."""
        session = self._session
        return session is not None and session.submit_prompt(prompt)

    def _remove_objects(self, object_ids: frozenset[int]) -> None:
        loaded, session = self._loaded, self._session
        if loaded is not None:
            loaded.outputs.forget(object_ids, time.perf_counter())
        if session is not None:
            session.remove_objects(object_ids)
        elif loaded is not None:
            loaded.segmenter.remove_objects(object_ids)

    def _known_ids(self) -> tuple[int, ...]:
        loaded = self._loaded
        return () if loaded is None else loaded.segmenter.object_ids

    def _on_topics_changed(self) -> None:
        if self._session is not None:
            self._session.follow_topics()

    # What the worker's thread asks the executor's for

    def _note_jump(self, jump: TimeJump) -> None:
        self._jump = jump
        self._time_jumped.trigger()

    @guarded
    def _on_time_jumped(self) -> None:
        """Begin again after a jump: latched masks and the mask file are meant again."""
        jump = self._jump
        if jump is None:
            return
        if self._session is not None:
            self._session.clear_boxes(jump.after_ns)
        if self._loaded is not None:
            self._loaded.prompts.repeat(jump)

    @guarded
    def _on_objects_changed(self) -> None:
        if self._loaded is not None:
            self._loaded.outputs.match_objects()

    # Services

    @guarded
    def _on_reset(self, request: Trigger.Request, response: Trigger.Response) -> Any:
        loaded, session = self._loaded, self._session
        if loaded is None:
            response.success, response.message = False, 'not configured, nothing to reset'
            return response
        known = len(loaded.segmenter.object_ids)
        loaded.prompts.forget()
        loaded.outputs.forget(None, time.perf_counter())
        if session is not None:
            session.reset()
        else:
            loaded.segmenter.reset()
        response.success = True
        response.message = f'{known} objects forgotten; send an init mask to start again'
        return response

    @guarded
    def _on_enable(self, request: SetBool.Request, response: SetBool.Response) -> Any:
        was_paused, self._is_paused = self._is_paused, not request.data
        loaded, session = self._loaded, self._session
        if loaded is None or session is None:
            response.success = True
            response.message = 'not active; will be ' + (
                'paused when activated' if self._is_paused else 'running when activated'
            )
            return response
        session.is_paused = self._is_paused
        if was_paused and not self._is_paused:
            self._health.restart()
            loaded.prompts.hand_over_held()
        response.success = True
        response.message = 'paused: images are ignored' if self._is_paused else 'running'
        return response

    # Health

    def _start_diagnostics(self) -> Any:
        period_s = self._config.node.diagnostics.period_s
        return self.create_timer(period_s, self._on_diagnostics_timer, clock=self.steady_clock)

    @guarded
    def _on_diagnostics_timer(self) -> None:
        loaded, session = self._loaded, self._session
        counts = session.counts if session is not None else asdict(WorkerStats())
        self._reporter.report(
            Snapshot(
                state=self._state_machine.current_state[1],
                is_active=session is not None,
                is_paused=self._is_paused,
                failure=self._failure,
                config=self._config,
                segmenter=loaded.segmenter if loaded is not None else None,
                counts={name: self._past[name] + count for name, count in counts.items()},
                overload=session.overload if session is not None else None,
                names=loaded.prompts.names if loaded is not None else {},
                prompted_frames=loaded.results.prompted_frames if loaded is not None else 0,
                load_s=self._load_s,
            )
        )

    def _on_set_parameters(self, changes: list) -> SetParametersResult:
        try:
            values = {change.name: change.value for change in changes}
            parameters.check_change(self, values, is_configured=self._loaded is not None)
            self._config = parameters.read(self, values)
            self._apply_live()
        except Exception as error:
            return SetParametersResult(successful=False, reason=in_words(error))
        return SetParametersResult(successful=True)

    def _apply_live(self) -> None:
        config = self._config
        if self._loaded is not None:
            self._loaded.segmenter.lost = config.segmenter.lost
            self._loaded.results.overlay = config.node.overlay
        if self._session is not None:
            self._session.set_limits(config.node)
