# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the node has while it is configured, and what it has in addition while it is active."""

from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
import time
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CompressedImage, Image

from vos_ros.budget import Budget
from vos_ros.config import NodeConfig, parse_range
from vos_ros.datatypes import LabelMap, Prompt, Segmentation
from vos_ros.engine.prompter import Prompter
from vos_ros.engine.segmenter import VideoSegmenter
from vos_ros.errors import VosError
from vos_ros.formats.grey import GreyRange
from vos_ros.ros import conversions
from vos_ros.ros.box_drawer import BoxDrawer
from vos_ros.ros.cdr import read_message
from vos_ros.ros.conversions import Arrival, CameraFrame, stamp_ns_of
from vos_ros.ros.detections import BoxPrompt
from vos_ros.ros.diagnostics import Health
from vos_ros.ros.gaps import GapCounter
from vos_ros.ros.guard import ErrorLog, guarded, in_words
from vos_ros.ros.intake import Intake, IntakeGroup
from vos_ros.ros.prompts import PromptInputs
from vos_ros.ros.publishing import Outputs
from vos_ros.ros.qos import BEST_EFFORT, profile, QosWatch, RELIABLE
from vos_ros.ros.raw_image import check_texts, nbytes_of, read_image
from vos_ros.ros.reporting import image_topic
from vos_ros.ros.results import Results
from vos_ros.stream.carrying import Carrying
from vos_ros.stream.overload import OverloadLimits, OverloadStatus
from vos_ros.stream.pipeline import Failed
from vos_ros.stream.worker import Worker

#: How long a stop waits for the network.
_JOIN_S = 1.0


@dataclass(frozen=True, eq=False)
class Loaded:
    """
    What there is from configure to clean-up.

    :param closing: closes topics and timers.
    """

    segmenter: VideoSegmenter
    prompter: Prompter
    outputs: Outputs
    prompts: PromptInputs
    results: Results
    closing: ExitStack


class Session:
    """
    What there is from activate to deactivate: worker, box drawer, images and masks that come in.

    The worker and the box drawer run at once, so that prompts which were held can go first; images
    come after `listen`. What fails half way closes what was opened. Made, called and closed by the
    executor's thread, but for `submit_prompt` and the callbacks of images, which are the intake's.

    :param node: for its graph and context.
    :param config: of the node.
    :param loaded: what the session works with.
    :param watch: makes the subscription.
    :param health: counts.
    :param error_log: logs.
    :param group: of all subscriptions of the intake, those of the prompts as well.
    :param is_paused: whether images and prompts are ignored; may be changed at any time.
    """

    def __init__(
        self,
        node: Any,
        config: NodeConfig,
        loaded: Loaded,
        *,
        watch: QosWatch,
        health: Health,
        error_log: ErrorLog,
        group: IntakeGroup,
        is_paused: bool,
    ) -> None:
        self.is_paused = is_paused
        self.error_log = error_log
        self._node = node
        self._config = config
        self._prompts = loaded.prompts
        self._outputs = loaded.outputs
        self._watch = watch
        self._health = health
        self._group: CallbackGroup = group
        self._is_closed = False
        self._has_joined = True
        self._images: dict[Any, GapCounter] = {}  # the camera's subscription, once there is one
        carrying = self._carrying = _carrying(node.context, config, loaded, error_log)
        self._worker = _worker(config, loaded, carrying)
        self._intake = Intake(node.context, group)
        with ExitStack() as opened:
            results = loaded.results
            self._boxes = BoxDrawer(
                Budget.of(loaded.segmenter.config.memory).bound(config.init),
                loaded.prompter,
                self._worker.submit_prompt,
                partial(_reject, loaded.prompts, results),
                results.note,
            )
            opened.callback(self._join, self._boxes)
            self._worker.start()
            opened.callback(self._join, self._worker)
            opened.callback(self._boxes.stop, 0.0)  # it ends while the worker does
            if carrying is not None:
                opened.callback(self._join, carrying)
                carrying.start()
            self._opened = opened.pop_all()

    def listen(self) -> str:
        """
        Subscribe to the camera, and take images and masks by the intake's thread.

        :return: the resolved topic of the images.
        """
        config = self._config
        is_raw = config.image_transport != 'compressed'
        subscription = self._watch.subscribe(
            Image if is_raw else CompressedImage,
            image_topic(self._node, config),
            self._on_image if is_raw else self._on_compressed_image,
            profile(1, RELIABLE if config.image_qos == 'reliable' else BEST_EFFORT),
            on_lost=self._health.images_lost,
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            raw=True,
            callback_group=self._group,
        )
        self._opened.callback(self._watch.release, subscription)
        topic: str = subscription.topic_name
        self._images[subscription] = GapCounter(
            self._health.images_missed, lambda: int(self._node.count_publishers(topic))
        )
        for gaps in self._prompts.gaps.values():
            gaps.forget()  # until now the executor has taken masks
        self.follow_topics()
        self._intake.start()
        self._opened.callback(self._intake.stop, _JOIN_S)
        return topic

    def close(self) -> bool:
        """
        Stop listening, then the worker; the objects stay in the segmenter.

        :return: all threads have ended; False = the network did not return within a second.
        """
        try:
            self._opened.close()
        finally:
            # What refers back to this would keep the model until the garbage collector comes.
            self._images.clear()
            self._is_closed = True
        return self._has_joined

    def _join(self, thread: Worker | BoxDrawer | Carrying) -> None:
        self._has_joined = thread.stop(_JOIN_S) and self._has_joined

    @property
    def counts(self) -> dict[str, int]:
        """Counters of the worker by name, see WorkerStats."""
        return asdict(self._worker.stats)

    @property
    def overload(self) -> OverloadStatus:
        """What the overload policy does."""
        return self._worker.overload

    def set_limits(self, config: NodeConfig) -> None:
        """
        Change what a frame may cost.

        :param config: of the node, with the new limits.
        """
        self._worker.set_limits(OverloadLimits.of(config))

    def follow_topics(self) -> None:
        """Take what comes in on the topics that there are now."""
        # A mask that came before its image is taken before it.
        self._intake.follow(
            (*self._prompts.subscriptions, *self._outputs.subscriptions, *self._images),
            {**self._prompts.gaps, **self._images},
        )

    def submit_prompt(self, prompt: Prompt | BoxPrompt) -> bool:
        """
        Hand a prompt on.

        :param prompt: masks, boxes or points.
        :return: False = nobody can use it now.
        """
        if self.is_paused:
            return False
        if isinstance(prompt, Prompt):
            self._worker.submit_prompt(prompt)
        else:
            self._boxes.put_boxes(prompt)
        return True

    def remove_objects(self, object_ids: frozenset[int]) -> None:
        """
        Forget objects, those on their way as well.

        :param object_ids: of these.
        """
        self._boxes.remove(object_ids)
        self._worker.submit_remove(object_ids)
        if self._carrying is not None:
            self._carrying.forget(object_ids, time.perf_counter())

    def reset(self) -> None:
        """Forget all objects, those on their way as well."""
        self.clear_boxes()  # first: what was handed on before waits for the worker by now
        self._worker.submit_reset()
        if self._carrying is not None:
            self._carrying.forget(None, time.perf_counter())

    def clear_boxes(self, begin_ns: int | None = None) -> None:
        """
        Forget boxes that wait, and the images that they could be for.

        :param begin_ns: stamp of the first image that is kept; None = none is.
        """
        self._boxes.clear(begin_ns)

    @guarded
    def _on_image(self, serialized: bytes) -> None:
        arrived = time.perf_counter()
        try:
            msg = read_image(serialized)
        except VosError as error:
            self._refuse_image(error)
            return
        self._take(Arrival(msg, arrived, stamp_ns_of(msg)))

    @guarded
    def _on_compressed_image(self, serialized: bytes) -> None:
        arrived = time.perf_counter()
        try:
            msg = read_message(serialized, CompressedImage)
            check_texts(msg)
        except VosError as error:
            self._refuse_image(error)
            return
        self._take(Arrival(msg, arrived, stamp_ns_of(msg)))

    def _refuse_image(self, error: VosError) -> None:
        if self._is_closed or self.is_paused:
            self._health.image_ignored()
            return
        self._health.image_unreadable(in_words(error))
        self.error_log.log(error)

    def _take(self, item: Arrival) -> None:
        if self._is_closed or self.is_paused:
            self._health.image_ignored()
            return
        encoding = getattr(item.msg, 'encoding', '') or getattr(item.msg, 'format', '')
        self._health.image_arrived(encoding, item.stamp_ns)
        self._worker.submit_frame(item)
        self._boxes.put_image(item)
        if self._carrying is not None and self._outputs.is_wanted('carried_labels'):
            self._carrying.put_image(item)


def _carrying(
    context: Any, config: NodeConfig, loaded: Loaded, error_log: ErrorLog
) -> Carrying[Arrival] | None:
    """Make the thread that carries labels, if they are offered."""
    if not config.carry.enabled:
        return None
    outputs = loaded.outputs

    def on_carried(label_map: LabelMap, frame: CameraFrame) -> None:
        if context.ok():
            outputs.publish_carried(label_map, frame)

    def on_error(error: Exception) -> None:
        if not isinstance(error, VosError):  # what is wrong with an image is said by the worker
            error_log.report(error)

    grey = GreyRange(parse_range(config.image_range))
    to_frame = partial(conversions.to_any_frame, grey=grey)
    return Carrying(to_frame, on_carried, on_error, config.carry.max_age_ms)


def _reject(prompts: PromptInputs, results: Results, error: Exception) -> None:
    """Tell why a prompt is not followed; sent once more it is no second delivery."""
    prompts.refused()
    results.reject(error)


def _worker(
    config: NodeConfig, loaded: Loaded, carrying: Carrying[Arrival] | None
) -> Worker[Arrival]:
    """Make the worker; what it calls must not lead back to it, or the model would stay."""
    results, prompts = loaded.results, loaded.prompts
    grey = GreyRange(parse_range(config.image_range))
    budget = Budget.of(loaded.segmenter.config.memory)

    def on_result(result: Segmentation, frame: CameraFrame) -> None:
        # Before they are published: who has seen them must not get older ones carried.
        if carrying is not None:
            carrying.put_labels(result.label_map, result.stamp_ns, frame.arrived)
        results.publish(result, frame, prompts.names)
        prompts.sightings.note(result)

    def on_error(error: Exception, what: Failed) -> None:
        if what == 'prompt' and isinstance(error, VosError):
            _reject(prompts, results, error)
        else:
            results.failed(error, what)

    return Worker(
        loaded.segmenter,
        to_frame=partial(conversions.to_any_frame, grey=grey),
        stamp_of=lambda item: item.stamp_ns,
        on_result=on_result,
        on_error=on_error,
        init=budget.bound(config.init),
        queue_nbytes=budget.prompts,
        nbytes_of=lambda item: nbytes_of(item.msg),
        limits=OverloadLimits.of(config),
        age_ms_of=lambda item: results.age_ms(item.stamp_ns),
        time_jump_policy=config.on_time_jump,
        on_time_jump=results.time_jumped,
    )
