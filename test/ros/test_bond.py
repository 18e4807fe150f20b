# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A bond with a lifecycle manager, as Nav2's makes one: bondpy on both sides."""

import pytest

pytest.importorskip('rclpy', reason='needs rclpy')
pytest.importorskip('bondpy', reason='needs bondpy, which has no wheel')

from lifecycle_msgs.msg import Transition
from robot import ROOT

from vos_ros.ros.bond import find_bondpy, make_bond

TINY = ROOT / 'test' / 'data' / 'tiny'


class Manager:
    """The manager's side of a bond with the node `vos` of a namespace."""

    def __init__(self, client, namespace: str) -> None:
        self.bond = make_bond(find_bondpy(), client.node, f'{namespace}/bond', 'vos')
        self.told: list[str] = []
        self.bond.set_formed_callback(lambda: self.told.append('formed'))
        self.bond.set_broken_callback(lambda: self.told.append('broken'))
        self.bond.start()
        client.wait(lambda: self.told, 'the bond')

    def close(self, node) -> None:
        self.bond.shutdown()
        node.destroy_subscription(self.bond.sub)
        node.destroy_publisher(self.bond.pub)


def test_a_bond_is_there_while_the_node_is_active(client, start_node) -> None:
    node = start_node('-r', '__ns:=/bonded', model=TINY, autostart=False)
    assert client.change_state(Transition.TRANSITION_CONFIGURE, '/bonded/vos')
    for _ in range(2):
        assert client.change_state(Transition.TRANSITION_ACTIVATE, '/bonded/vos')
        manager = Manager(client, '/bonded')
        assert client.change_state(Transition.TRANSITION_DEACTIVATE, '/bonded/vos')
        client.wait(lambda m=manager: m.told == ['formed', 'broken'], 'the end of the bond')
        manager.close(client.node)
    assert node.log.count('a lifecycle manager has a bond') == 2
    # None is left over in the graph.
    client.wait(lambda: client.node.count_publishers('/bonded/bond') == 0, 'an empty topic')


def test_a_node_with_a_bond_ends_without_a_traceback(client, start_node) -> None:
    node = start_node('-r', '__ns:=/bonded_too', model=TINY)
    manager = Manager(client, '/bonded_too')
    assert node.interrupt() == 0
    assert 'Traceback' not in node.log
    manager.close(client.node)
