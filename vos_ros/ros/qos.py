# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Quality of service: the profiles in use, and who on the other side does not match them."""

from collections.abc import Callable
from typing import Any

from rclpy.duration import Infinite
from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    qos_check_compatible,
    qos_policy_name_from_kind,
    QoSCompatibility,
    QoSProfile,
    ReliabilityPolicy,
)

from vos_ros.errors import VosError
from vos_ros.ros.compat import (
    parameter_overrides,
    PublisherEventCallbacks,
    SubscriptionEventCallbacks,
    UnsupportedEventTypeError,
)

RELIABLE, BEST_EFFORT = ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT
VOLATILE, LATCHED = DurabilityPolicy.VOLATILE, DurabilityPolicy.TRANSIENT_LOCAL


def profile(
    depth: int,
    reliability: ReliabilityPolicy = RELIABLE,
    durability: DurabilityPolicy = VOLATILE,
) -> QoSProfile:
    """
    Make a profile that keeps the last `depth` messages.

    :param depth: of the queue.
    :param reliability: with or without repeats.
    :param durability: with or without the last message for who comes late.
    """
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=reliability,
        durability=durability,
    )


class QosWatch:
    """
    Names topics whose two sides do not match, by policy: once in the log, and while it lasts.

    The graph tells who does not match and whether it lasts; the middleware's events replace
    rclpy's own warnings, which name neither, and complain of what another subscription gets.

    :param node: whose topics are watched.
    """

    def __init__(self, node: Any) -> None:
        self._node = node
        self._watched: list[tuple[Any, bool]] = []  # publisher or subscription, is it ours to read
        self._last_policy: dict[str, str] = {}  # topic -> policy that the middleware named last
        self._logged: set[str] = set()

    def subscribe(
        self,
        kind: type,
        topic: str,
        callback: Callable,
        qos: Any,
        on_lost: Callable[[int], None] | None = None,
        **more: Any,
    ) -> Any:
        """
        Make a subscription that is watched.

        :param kind: of message.
        :param topic: relative name.
        :param callback: gets the messages.
        :param qos: what is asked for.
        :param on_lost: called with the number of messages that the middleware lost on the way.
        :param more: for rclpy's create_subscription.
        :raises VosError: a parameter qos_overrides.* of this topic is invalid.
        """
        resolved = self._node.resolve_topic_name(topic)

        def events(with_lost: bool) -> SubscriptionEventCallbacks:
            return SubscriptionEventCallbacks(
                incompatible_qos=lambda event: self._on_incompatible(resolved, event),
                message_lost=(lambda event: on_lost(event.total_count_change))
                if with_lost and on_lost is not None
                else None,
            )

        try:
            made = self._node.create_subscription(
                kind, topic, callback, qos, event_callbacks=events(True), **more
            )
        except UnsupportedEventTypeError:  # not every middleware counts what it loses
            made = self._node.create_subscription(
                kind, topic, callback, qos, event_callbacks=events(False), **more
            )
        except Exception as error:  # rclpy has no type of its own for a bad override
            given = self._overrides(resolved)
            if not given:
                raise
            raise VosError(
                f'{resolved} cannot be subscribed to with {given}: {error}; give it values that '
                'rclpy.qos knows, such as reliable or best_effort, and start the node again'
            ) from error
        self._watched.append((made, True))
        return made

    def advertise(self, kind: type, topic: str, qos: Any) -> Any:
        """
        Make a publisher that is watched.

        :param kind: of message.
        :param topic: relative name.
        :param qos: what is offered.
        """
        resolved = self._node.resolve_topic_name(topic)
        events = PublisherEventCallbacks(
            incompatible_qos=lambda event: self._on_incompatible(resolved, event)
        )
        made = self._node.create_publisher(kind, topic, qos, event_callbacks=events)
        self._watched.append((made, False))
        return made

    def release(self, endpoint: Any) -> None:
        """
        Destroy what `subscribe` or `advertise` made.

        :param endpoint: a publisher or a subscription.
        """
        is_reader = next((reads for made, reads in self._watched if made is endpoint), None)
        self._watched = [pair for pair in self._watched if pair[0] is not endpoint]
        if is_reader:
            self._node.destroy_subscription(endpoint)
        else:
            self._node.destroy_publisher(endpoint)

    def mismatches(self) -> list[str]:
        """List the topics on which somebody does not match, with policy and who; log new ones."""
        found: dict[str, tuple[str, str]] = {}
        reading: dict[str, list[QoSProfile]] = {}
        for endpoint, reads in self._watched:
            topic, ours = endpoint.topic_name, endpoint.qos_profile
            if reads:
                reading.setdefault(topic, []).append(ours)
                continue
            for other in self._node.get_subscriptions_info_by_topic(topic):
                if not _match(ours, other.qos_profile):
                    what = self._policies(topic, ours, other.qos_profile)
                    found[topic] = what, _who(other)
        for topic, requests in reading.items():
            for other in self._node.get_publishers_info_by_topic(topic):
                # One of several subscriptions to a topic is enough to get its messages.
                if not any(_match(other.qos_profile, request) for request in requests):
                    what = self._policies(topic, other.qos_profile, requests[0])
                    found[topic] = what, _who(other)
        for what, who in found.values():
            if what not in self._logged:
                self._logged.add(what)
                self._node.get_logger().warning(
                    f'incompatible QoS on {what} ({who}); nothing passes between the two'
                )
        return [f'{what} ({who})' for what, who in found.values()]

    def offers(self, topic: str) -> list[str]:
        """
        Say what each publisher of a topic offers.

        :param topic: resolved name.
        """
        found = self._node.get_publishers_info_by_topic(topic)
        return [_who(other) for other in found]

    def other_publishers(self, topic: str) -> list[str]:
        """
        Name the nodes that publish a topic beside the publishers made here; none without such.

        :param topic: resolved name.
        """
        ours = sum(not reads and made.topic_name == topic for made, reads in self._watched)
        found = [_name(other) for other in self._node.get_publishers_info_by_topic(topic)]
        own_name = self._node.get_fully_qualified_name()
        # A second node may bear the same name: of those, as many are ours as were made here.
        own = found.count(own_name)
        if not ours:
            return []
        return [name for name in found if name != own_name] + [own_name] * max(0, own - ours)

    def _overrides(self, topic: str) -> str:
        """List the QoS parameters that were given for the subscription to a topic."""
        start = f'qos_overrides.{topic}.subscription.'
        return ', '.join(
            f'{name} = {override.value!r}'
            for name, override in parameter_overrides(self._node).items()
            if name.startswith(start)
        )

    def _policies(self, topic: str, offered: QoSProfile, requested: QoSProfile) -> str:
        policies = []
        if offered.reliability == BEST_EFFORT and requested.reliability == RELIABLE:
            policies.append('reliability')
        if offered.durability == VOLATILE and requested.durability == LATCHED:
            policies.append('durability')
        # Of the others, the middleware's event tells which one it is.
        policies = policies or [self._last_policy.get(topic, 'another policy')]
        return f'{topic}: {" and ".join(policies)}'

    def _on_incompatible(self, topic: str, event: Any) -> None:
        self._last_policy[topic] = qos_policy_name_from_kind(event.last_policy_kind).lower()


def _name(other: Any) -> str:
    return f'{other.node_namespace.rstrip("/")}/{other.node_name}'


def _who(other: Any) -> str:
    """Say who it is and with which QoS; the graph does not tell the depth."""
    qos = other.qos_profile
    return f'{other.node_name}: {qos.reliability.name.lower()} {qos.durability.name.lower()}'


def _match(offered: QoSProfile, requested: QoSProfile) -> bool:
    compatibility, _ = qos_check_compatible(_spelt_out(offered), _spelt_out(requested))
    return compatibility != QoSCompatibility.ERROR


def _spelt_out(given: QoSProfile) -> QoSProfile:
    """
    Write defaults as the graph tells them.

    rclpy has 0 for "no deadline" and the graph infinity, which do not match for its own check.
    """
    return QoSProfile(
        depth=1,
        reliability=given.reliability,
        durability=given.durability,
        deadline=given.deadline if given.deadline.nanoseconds else Infinite,
        liveliness_lease_duration=given.liveliness_lease_duration
        if given.liveliness_lease_duration.nanoseconds
        else Infinite,
        liveliness=given.liveliness,
    )
