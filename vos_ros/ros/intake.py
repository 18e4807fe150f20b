# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Images and masks in, by a thread that does nothing else.

rclpy's executor goes through all that it waits for before and after every message, some forty
services, timers and events of a lifecycle node, and holds the interpreter meanwhile: the worker
that an image has woken waits for it. A wait set with the few topics of the input has neither, and
no service call or report delays an image. Masks come the same way, or images would overtake them.
"""

from collections.abc import Mapping, Sequence
import logging
import threading
import time
from types import MappingProxyType
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.guard_condition import GuardCondition

from vos_ros.ros.compat import take, WaitSet
from vos_ros.ros.gaps import GapCounter
from vos_ros.ros.guard import in_words, THREADS

#: How often to look whether ROS still runs, in case nobody says so.
_POLL_NS = 500_000_000
#: After an image: whom it has woken would wait for the interpreter while the next wait is made,
#: a twentieth of a millisecond in each frame.
_YIELD_S = 0.001
_NO_GAPS: Mapping[Any, GapCounter] = MappingProxyType({})

_LOGGER = logging.getLogger(__name__)


class IntakeGroup(CallbackGroup):
    """
    The subscriptions that an intake serves while there is one, else the executor.

    Their QoS events go with them: they share a condition with the messages, so that an executor
    which waits for the events would be woken by every message that it must not take.
    """

    def __init__(self) -> None:
        """Begin with the executor."""
        super().__init__()
        self.is_taken = False

    def can_execute(self, entity: Any) -> bool:
        """
        Tell an executor whether it is its business.

        :param entity: a subscription or one of its events.
        """
        return not self.is_taken

    def beginning_execution(self, entity: Any) -> bool:
        """
        Tell an executor whether it is its business still.

        :param entity: as above.
        """
        return not self.is_taken

    def ending_execution(self, entity: Any) -> None:
        """
        Take note of nothing.

        :param entity: as above.
        """


class Intake:
    """
    Waits for the messages of some subscriptions and hands them on, in a thread of its own.

    Where this rclpy has no such wait set, or it fails, the executor goes on with them.

    :param context: of the node.
    :param group: of the subscriptions; taken from start to stop.
    """

    def __init__(self, context: Any, group: IntakeGroup) -> None:
        self._context = context
        self._group = group
        self._subscriptions: Sequence[Any] = ()
        self._gaps: Mapping[Any, GapCounter] = {}
        self._is_stopping = False
        self._wake = GuardCondition(None, None, context=context)
        self._thread = threading.Thread(target=self._run, name=f'{THREADS}intake', daemon=True)

    def start(self) -> None:
        """Begin; messages go to the subscriptions' own callbacks, which must not raise."""
        self._group.is_taken = True
        try:
            self._thread.start()
        except RuntimeError:  # no thread to be had
            self._group.is_taken = False
            raise

    def follow(
        self, subscriptions: Sequence[Any], gaps: Mapping[Any, GapCounter] = _NO_GAPS
    ) -> None:
        """
        Serve these from now on; what is left out may be destroyed.

        :param subscriptions: of the group; all that waits of one comes before the next one's, and
            one message at a time of the last: the camera's.
        :param gaps: who counts what did not come, by subscription.
        """
        self._gaps = gaps
        self._subscriptions = tuple(subscriptions)
        self._wake.trigger()

    def stop(self, timeout_s: float) -> bool:
        """
        End the thread after the message in progress.

        :param timeout_s: how long to wait for it.
        :return: it has ended.
        """
        self._is_stopping = True
        self._wake.trigger()
        self._thread.join(timeout_s)
        self._group.is_taken = False
        self._subscriptions, self._gaps = (), _NO_GAPS  # they lead back to who made this
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            with self._context.handle, self._wake.handle:
                while not self._is_stopping and self._context.ok():
                    self._serve(self._subscriptions)
        except Exception as error:
            self._group.is_taken = False
            if self._context.ok():
                _LOGGER.warning(
                    'the executor takes images and masks from now on, a little slower (%s)',
                    in_words(error),
                )

    def _serve(self, wanted: Sequence[Any]) -> None:
        """Serve these until others are wanted."""
        with WaitSet.open(self._context, self._wake, wanted) as waiting:
            while self._subscriptions is wanted and not self._is_stopping and self._context.ok():
                self._wait(waiting)

    def _wait(self, waiting: WaitSet) -> None:
        for subscription in waiting.wait(_POLL_NS):
            is_last = subscription is waiting.subscriptions[-1]
            most = 1 if is_last else max(1, subscription.qos_profile.depth)
            if self._take(subscription, most) and is_last:
                time.sleep(_YIELD_S)
        waiting.serve_events()

    def _take(self, subscription: Any, most: int) -> int:
        """Hand on what waits, up to so many, and return how many it were."""
        for number in range(most):
            if self._is_stopping:
                return number
            taken = take(subscription)
            if taken is None:
                return number
            msg, info = taken
            gaps = self._gaps.get(subscription)
            if gaps is not None:
                gaps.note(info)
            subscription.callback(msg)
        return most
