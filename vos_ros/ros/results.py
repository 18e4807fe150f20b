# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What becomes of what the worker and the box drawer call back with: topics, counts and log."""

from collections.abc import Callable, Mapping
import time
from typing import Any

from vos_ros.config import OverlayConfig
from vos_ros.datatypes import Segmentation
from vos_ros.engine.segmenter import VideoSegmenter
from vos_ros.errors import VosError
from vos_ros.ros import diagnostics
from vos_ros.ros.conversions import CameraFrame
from vos_ros.ros.guard import ErrorLog, in_words, shortened
from vos_ros.ros.publishing import Outputs
from vos_ros.stream.pipeline import Failed
from vos_ros.stream.timeline import TimeJump

#: Lines about objects that come and go are this far apart at least.
_LOG_PERIOD_S = 0.5


class ObjectLog:
    """
    Logs which objects came and went: who sent a mask wants to know that it was taken.

    :param logger: rclpy's, of the node.
    """

    def __init__(self, logger: Any) -> None:
        self._logger = logger
        self._object_ids: tuple[int, ...] = ()  # as last logged
        self._logged_at = float('-inf')

    def note(self, object_ids: tuple[int, ...]) -> None:
        """
        Log what has changed.

        :param object_ids: of all that are followed.
        """
        now = time.perf_counter()
        # A detector may give new ids with every image: what changes in between is logged together.
        if object_ids == self._object_ids or now - self._logged_at < _LOG_PERIOD_S:
            return
        came = sorted(set(object_ids).difference(self._object_ids))
        went = sorted(set(self._object_ids).difference(object_ids))
        self._object_ids, self._logged_at = object_ids, now
        parts = [f'objects {came} are followed now'] if came else []
        parts += [f'objects {went} no longer'] if went else []
        self._logger.info(shortened('; '.join(parts)))


class Results:
    """
    Publishes, counts and logs, from configure to clean-up.

    Called in the threads of the worker and of the box drawer.

    :param node: for its clock and context.
    :param segmenter: its memory is reported.
    :param outputs: the topics.
    :param health: counts.
    :param error_log: logs.
    :param object_log: logs which objects came and went.
    :param overlay: how to paint; may be replaced at any time.
    :param on_reset: called from the worker's thread with the jump of the stamps, where all is
        forgotten for it.
    """

    def __init__(
        self,
        node: Any,
        segmenter: VideoSegmenter,
        outputs: Outputs,
        *,
        health: diagnostics.Health,
        error_log: ErrorLog,
        object_log: ObjectLog,
        overlay: OverlayConfig,
        on_reset: Callable[[TimeJump], Any],
    ) -> None:
        self.overlay = overlay
        self.prompted_frames = 0  # in the memory bank, as of the newest result
        self._node = node
        self._segmenter = segmenter
        self._outputs = outputs
        self._health = health
        self._error_log = error_log
        self._object_log = object_log
        self._on_reset = on_reset

    def publish(
        self, segmentation: Segmentation, frame: CameraFrame, names: Mapping[int, str]
    ) -> None:
        """
        Publish one result.

        :param segmentation: what was found.
        :param frame: on it.
        :param names: object id -> name, for those that were named.
        """
        if not self._node.context.ok():
            return
        self._outputs.publish_labels(segmentation, frame)
        latency_ms = (time.perf_counter() - frame.arrived) * 1e3
        self._health.published(segmentation, latency_ms, self._age_ms(segmentation.stamp_ns))
        for line in map(shortened, segmentation.warnings):
            self.note(line)
        self._outputs.publish_rest(segmentation, frame, names, self.overlay)
        self.prompted_frames = self._segmenter.memory.prompted_frames
        self._object_log.note(segmentation.object_ids)

    def age_ms(self, stamp_ns: int) -> float:
        """
        Return the age of an image as the limits see it: 0 where the camera has another clock.

        :param stamp_ns: of its header.
        """
        age_ms = self._age_ms(stamp_ns)
        return 0.0 if diagnostics.is_clock_other(age_ms) else age_ms

    def _age_ms(self, stamp_ns: int) -> float:
        """Return the age by the node's clock, which may be simulated; 0 where it is unknown."""
        now_ns = self._node.get_clock().now().nanoseconds
        if stamp_ns == 0 or now_ns == 0:  # without /clock, simulated time is 0
            return 0.0
        return (now_ns - stamp_ns) / 1e6

    def failed(self, error: Exception, what: Failed) -> None:
        """
        Log what went wrong in the worker.

        :param error: a VosError is the user's, all else ours.
        :param what: it ended.
        """
        if not isinstance(error, VosError):
            self._error_log.report(error)
        elif what == 'frame':
            self._health.image_failed(in_words(error))
            self._error_log.log(error)
        elif what == 'prompt':
            self.reject(error)
        else:
            self._error_log.report(error)

    def reject(self, error: Exception) -> None:
        """
        Log why a prompt is not followed.

        :param error: the reason.
        """
        self._health.mask_rejected(in_words(error))
        self._error_log.log(error)

    def note(self, line: str) -> None:
        """
        Log what the sender of a prompt should know although it is followed.

        :param line: what it is.
        """
        self._health.noticed(line)
        self._error_log.warn(line)

    def time_jumped(self, jump: TimeJump) -> None:
        """
        Log that the stamps have jumped.

        :param jump: and what becomes of the objects.
        """
        seconds = (jump.after_ns - jump.before_ns) / 1e9
        self._health.time_jumped(seconds)
        does = 'objects are forgotten' if jump.policy == 'reset' else 'objects are kept'
        line = f'the stamps of the images jumped by {seconds:+.3f} s: {does}'
        self._error_log.warn(line, numbers_count=True)
        if jump.policy == 'reset':
            self._on_reset(jump)
