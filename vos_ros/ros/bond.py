# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
A bond with Nav2's lifecycle manager, by bondpy; the package is optional.

While a node is active, the manager wants a heartbeat of it on the topic `bond`, as Nav2's own
nodes give it, and takes all of its nodes down where none comes.
"""

from collections.abc import Callable
import importlib
import inspect
from typing import Any

from vos_ros.ros.guard import ErrorLog, in_words

_TOPIC = 'bond'
#: As Nav2's nodes have it. Theirs do not watch the manager either: one that stalls must not lose
#: a node that is well.
_HEARTBEAT_PERIOD_S, _HEARTBEAT_TIMEOUT_S = 0.25, 86_400.0


def find_bondpy() -> Any | None:
    """Return the module that has the class Bond, None where it is not installed."""
    try:
        module = importlib.import_module('bondpy.bondpy')
    except ImportError:
        return None
    return module if hasattr(module, 'Bond') else None  # PyPI has another bondpy


def make_bond(module: Any, node: Any, topic: str, name: str) -> Any:
    """
    Make a Bond, whatever order its arguments have: that has changed between releases.

    :param module: see `find_bondpy`.
    :param node: of rclpy.
    :param topic: of the heartbeats.
    :param name: of the bond, the same on both sides.
    """
    known = inspect.signature(module.Bond).parameters
    return module.Bond(node=node, topic=topic, **{'bond_id' if 'bond_id' in known else 'id': name})


class _Publisher:
    """
    Publishes for a Bond until ROS ends.

    Its thread knows nothing of that, and would leave a traceback behind at each Ctrl-C.
    """

    def __init__(self, inner: Any, is_wanted: Callable[[], bool]) -> None:
        self.inner = inner
        self._is_wanted = is_wanted

    def publish(self, msg: Any) -> None:
        """Publish a heartbeat."""
        try:
            self.inner.publish(msg)
        except Exception:
            if self._is_wanted():
                raise

    def destroy(self) -> None:
        """Leave it to the node, whose list it is in."""


class ManagerBond:
    """
    The node's side of the bond: there while it is active.

    Whatever goes wrong in it is logged and no more: a node without a manager needs none.

    :param node: its name is that of the bond.
    :param error_log: logs.
    """

    def __init__(self, node: Any, error_log: ErrorLog) -> None:
        self._node = node
        self._error_log = error_log
        self._module = find_bondpy()
        self._bond: Any | None = None

    def form(self) -> None:
        """Begin to send heartbeats; where nobody answers within 10 s, they end."""
        if self._module is None or self._bond is not None:
            return
        try:
            bond = make_bond(self._module, self._node, _TOPIC, self._node.get_name())
            bond.pub = _Publisher(bond.pub, self._node.context.ok)
            bond.heartbeat_period = _HEARTBEAT_PERIOD_S
            bond.heartbeat_timeout = _HEARTBEAT_TIMEOUT_S
            bond.set_formed_callback(self._on_formed)
            bond.start()
            self._bond = bond
        except Exception as error:
            self._error_log.report(error, f'no bond for a lifecycle manager: {in_words(error)}')

    def end(self) -> None:
        """Tell the manager that the node stops, and send no more."""
        bond, self._bond = self._bond, None
        if bond is None:
            return
        try:
            bond.shutdown()
        except Exception as error:
            self._error_log.report(error, f'the bond did not end well: {in_words(error)}')
        # bondpy leaves what it destroys in the node's lists.
        self._node.destroy_subscription(bond.sub)
        self._node.destroy_publisher(bond.pub.inner)

    def _on_formed(self) -> None:
        self._node.get_logger().info('a lifecycle manager has a bond with this node')
