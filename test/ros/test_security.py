# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The access control that is shipped allows what the node does over DDS, and no more."""

from collections.abc import Callable
import re
from xml.etree import ElementTree

import pytest

pytest.importorskip('rclpy', reason='needs rclpy')

from robot import MASK, Robot, ROOT

POLICY = ROOT / 'config' / 'sros2_policy.xml'
#: Only where vision_msgs is installed.
VISION = {
    'subscribe': {'/init_boxes'},
    'publish': {'/vos/objects', '/vos/label_info', '/vos/class_info'},
}
#: Only with image_transport:=compressed, or use_sim_time, or while somebody wants ~/camera_info,
#: or where bondpy is installed; or what some versions of ROS ask for.
SOMETIMES = {'/image/compressed', '/clock', '/camera_info', '/bond', '/parameter_events'}


def allowed(kind: str) -> set[str]:
    """Return the full names that the node's profile allows: subscribe, publish or reply."""
    profile = ElementTree.parse(POLICY).getroot().find(".//profile[@node='vos']")
    assert profile is not None
    assert profile.get('ns') == '/'
    names = [item.text or '' for group in profile if kind in group.attrib for item in group]
    assert len(names) == len(set(names))
    return {'/vos' + n[1:] if n[0] == '~' else '/' + n.lstrip('/') for n in names}


def test_every_rule_is_an_allowance_that_sros2_knows() -> None:
    policy = ElementTree.parse(POLICY).getroot()
    assert (policy.tag, policy.get('version')) == ('policy', '0.2.0')
    assert [e.tag for e in policy] == ['enclaves']
    for enclave in policy.iter('enclave'):
        assert re.fullmatch(r'(/\w+)+', enclave.get('path', ''))
        for profile in enclave.iterfind('profiles/profile'):
            assert set(profile.attrib) == {'ns', 'node'}
            for group in profile:
                kinds = {'topics': ('publish', 'subscribe'), 'services': ('reply', 'request')}
                assert [*group.attrib.values()] == ['ALLOW']
                assert next(iter(group.attrib)) in kinds[group.tag]
                assert len(group) > 0
                assert {item.tag for item in group} == {group.tag[:-1]}


def test_the_policy_allows_what_the_node_uses_and_no_more(
    start_node: Callable, client, tiny_model
) -> None:
    # A busy machine may take long to bring the mask's own frame.
    node = start_node(autostart=True, model=tiny_model, **{'init.wait_s': 60.0})
    robot = Robot(client, node)
    robot.prompt(MASK)
    here = client.node
    ask = {
        'publish': here.get_publisher_names_and_types_by_node,
        'subscribe': here.get_subscriber_names_and_types_by_node,
        'reply': here.get_service_names_and_types_by_node,
    }

    def used(kind: str) -> set[str]:
        names = {name for name, _ in ask[kind]('vos', '/')}
        return {re.sub(r'/object_\d+/', '/object_*/', name) for name in names}

    for kind in ask:
        least = allowed(kind) - VISION.get(kind, set()) - SOMETIMES
        client.wait(lambda kind=kind, least=least: used(kind) >= least, f'all of {kind}: {least}')
        assert used(kind) <= allowed(kind)
