# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Every name of rclpy that is private, or that moved between ROS 2 distributions.

`test/ros/test_compat.py` holds what is imported from rclpy against the names that Humble, Jazzy,
Kilted and Rolling have; a private name stands nowhere but here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, ExitStack
from types import MappingProxyType
from typing import Any

from rclpy.exceptions import InvalidHandle
from rclpy.impl.implementation_singleton import rclpy_implementation as _rclpy

try:
    from rclpy.event_handler import (
        PublisherEventCallbacks,
        SubscriptionEventCallbacks,
        UnsupportedEventTypeError,
    )
except ImportError:  # Humble
    from rclpy.qos_event import (  # type: ignore[no-redef]
        PublisherEventCallbacks,
        SubscriptionEventCallbacks,
        UnsupportedEventTypeError,
    )

__all__ = [
    'guard_change_state',
    'parameter_overrides',
    'PublisherEventCallbacks',
    'SubscriptionEventCallbacks',
    'take',
    'UnsupportedEventTypeError',
    'WaitSet',
]

_NONE: Mapping[str, Any] = MappingProxyType({})


def parameter_overrides(node: Any) -> Mapping[str, Any]:
    """
    Read what the command line and parameter files give, declared or not.

    :param node: of rclpy.
    :return: name -> Parameter; empty where this rclpy does not tell.
    """
    return getattr(node, '_parameter_overrides', _NONE)


def guard_change_state(node: Any, on_error: Callable[[Any, Exception], None]) -> None:
    """
    Keep a transition that is unknown or impossible from ending spin().

    rclpy's own callback lets it raise, so that any stray service call could stop the node. Where
    this rclpy keeps the service under another name, nothing changes.

    :param node: a LifecycleNode.
    :param on_error: gets the request and what it raised; the answer is "no success".
    """
    service = getattr(node, '_service_change_state', None)
    if service is None:
        return
    inner = service.callback

    def change_state(request: Any, response: Any) -> Any:
        try:
            return inner(request, response)
        except Exception as error:
            response.success = False
            on_error(request, error)
            return response

    service.callback = change_state


class WaitSet:
    """
    Waits for messages and events of a few subscriptions, without an executor.

    :param context: of rclpy.
    :param wake: a GuardCondition that ends a wait.
    :param subscriptions: those destroyed meanwhile are left out.
    """

    def __init__(self, context: Any, wake: Any, subscriptions: Sequence[Any]) -> None:
        self._wake = wake
        self.subscriptions = list(subscriptions)
        self._events = [event for each in self.subscriptions for event in each.event_handlers]
        self._native = _rclpy.WaitSet(
            len(self.subscriptions), 1, 0, 0, 0, len(self._events), context.handle
        )

    @classmethod
    @contextmanager
    def open(cls, context: Any, wake: Any, subscriptions: Sequence[Any]) -> Iterator[WaitSet]:
        """Make one; what it waits for is not destroyed before the end of the block."""
        with ExitStack() as in_use:
            alive = []
            for subscription in subscriptions:
                try:
                    in_use.enter_context(subscription.handle)
                except InvalidHandle:
                    continue
                alive.append(subscription)
            made = cls(context, wake, alive)
            for event in made._events:
                in_use.enter_context(event)
            yield made

    def wait(self, timeout_ns: int) -> list[Any]:
        """
        Wait for a message or an event.

        :param timeout_ns: at most so long.
        :return: the subscriptions that have a message.
        """
        native = self._native
        native.clear_entities()
        native.add_guard_condition(self._wake.handle)
        for subscription in self.subscriptions:
            native.add_subscription(subscription.handle)
        for event in self._events:
            event.add_to_wait_set(native)
        native.wait(timeout_ns)
        ready = native.get_ready_entities('subscription')
        return [each for each in self.subscriptions if each.handle.pointer in ready]

    def serve_events(self) -> None:
        """Call the callbacks of the events that the last wait has found."""
        for event in self._events:
            if event.is_ready(self._native):
                event.callback(event.take_data())


def take(subscription: Any) -> tuple[Any, Mapping[str, Any]] | None:
    """
    Take a message that waits.

    :param subscription: of rclpy.
    :return: message (bytes for a raw subscription) and its info, or None.
    """
    taken: tuple[Any, Mapping[str, Any]] | None = subscription.handle.take_message(
        subscription.msg_type, subscription.raw
    )
    return taken
