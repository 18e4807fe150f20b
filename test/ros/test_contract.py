# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The topics and services in the table of the README are those of a running node."""

import importlib.util
import re

import pytest

pytest.importorskip('rclpy', reason='needs rclpy')

from robot import Robot, ROOT

TABLE = (ROOT / 'README.md').read_text().partition('## The contract')[2].partition('## Limits')[0]
ROWS = re.findall(r'^\| (in|out|service) \| (.*?)<br>', TABLE, re.M)
#: Only where vision_msgs is installed, and with image_transport: compressed.
VISION = {'init_boxes', '~/objects', '~/label_info', '~/class_info'}
COMPRESSED = {'image/compressed'}


def named(*kinds: str) -> set[str]:
    names = {name for kind, row in ROWS if kind in kinds for name in re.findall('`(.*?)`', row)}
    return names - COMPRESSED - (set() if importlib.util.find_spec('vision_msgs') else VISION)


@pytest.fixture(scope='module')
def robot(client, start_node) -> Robot:
    settings = {'model': ROOT / 'test' / 'data' / 'tiny', 'init.wait_s': 60.0}
    made = Robot(client, start_node(**settings))
    made.client.wait(made.segment, 'a first frame')
    made.prompt()
    return made


def resolve(name: str) -> str:
    return name.replace('~', '/vos').replace('<id>', '1') if name[0] in '~/' else f'/{name}'


def resolved(*kinds: str) -> set[str]:
    return {resolve(name) for name in named(*kinds)}


def test_the_node_publishes_the_topics_of_the_readme_and_no_others(robot: Robot) -> None:
    def own() -> set[str]:
        found = robot.client.node.get_publisher_names_and_types_by_node('vos', '/')
        return {re.sub(r'object_\d+', 'object_1', name) for name, _ in found}

    robot.client.wait(lambda: '/vos/object_1/mask' in own(), 'a topic for the object')
    others = {'/rosout', '/parameter_events', '/vos/transition_event', '/bond'}
    assert own() - others == resolved('out')


def test_the_node_subscribes_to_the_topics_of_the_readme_and_to_no_others(robot: Robot) -> None:
    found = robot.client.node.get_subscriber_names_and_types_by_node('vos', '/')
    assert {name for name, _ in found} - {'/parameter_events', '/bond'} == resolved('in')


def test_the_node_has_the_services_of_the_readme(robot: Robot) -> None:
    found = robot.client.node.get_service_names_and_types_by_node('vos', '/')
    assert resolved('service') <= {name for name, _ in found}
    assert len(resolved('service')) == 3
