# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Each combination of reliability and durability works, or diagnostics and log name it."""

from collections.abc import Callable
import itertools

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs rclpy')

from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from robot import image_msg, MASK, Robot, ROOT, SCENE, to_array
from sensor_msgs.msg import Image

TINY = ROOT / 'test' / 'data' / 'tiny'
RELIABLE, BEST_EFFORT = ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT
VOLATILE, LATCHED = DurabilityPolicy.VOLATILE, DurabilityPolicy.TRANSIENT_LOCAL
MATRIX = list(itertools.product([RELIABLE, BEST_EFFORT], [VOLATILE, LATCHED]))
NAMES = ['reliable volatile', 'reliable latched', 'best effort volatile', 'best effort latched']


@pytest.fixture(scope='module')
def start(client, start_node) -> Callable[..., Robot]:
    """Start a node in a namespace, once each."""
    running: dict[str, Robot] = {}

    def once(namespace: str, **settings: object) -> Robot:
        if namespace not in running:
            settings |= {'diagnostics.period_s': 0.1, 'diagnostics.no_image_s': 0.5}
            node = start_node('-r', f'__ns:={namespace}', model=TINY, **settings)
            running[namespace] = Robot(client, node, namespace)
        assert running[namespace].reset().success
        return running[namespace]

    return once


def wait_for_mismatch(robot: Robot, *words: str) -> None:
    """Wait until the report names the topic and the policy, then look for it in the log."""
    report = robot.client.wait(
        lambda: (
            all(word in robot.fresh('input')['incompatible_qos'] for word in words)
            and robot.status('input')
        ),
        f'{words} in the report',
    )
    assert report['level'] == b'\x02'
    assert 'incompatible QoS on' in report['message']
    assert robot.process.log.count(f'incompatible QoS on {words[0]}') == 1


def wait_until_healed(robot: Robot, topic: str) -> None:
    robot.client.wait(
        lambda: topic not in robot.fresh('input')['incompatible_qos'], 'the end of the mismatch'
    )


@pytest.mark.parametrize(('reliability', 'durability'), MATRIX, ids=NAMES)
def test_the_default_listens_to_every_camera(start, reliability, durability) -> None:
    robot = start('/any_camera')
    camera = robot.client.publisher(
        Image,
        '/any_camera/image',
        QoSProfile(depth=1, reliability=reliability, durability=durability),
    )
    stamp = robot.client.next_stamp()

    def labels() -> list:
        # Best effort: one image may be lost, the stream is not.
        camera.publish(image_msg(SCENE, 'rgb8', stamp))
        return robot.answers(stamp)

    robot.client.wait(labels, 'labels')
    report = robot.client.wait(
        lambda: robot.fresh('input')['offered_qos'].count(';') == 1 and robot.status('input'),
        'both offers',
    )
    offered = f'test_qos_matrix: {reliability.name.lower()} {durability.name.lower()}'
    assert offered in report['offered_qos']
    assert report['incompatible_qos'] == ''
    robot.client.node.destroy_publisher(camera)


@pytest.mark.parametrize(('reliability', 'durability'), MATRIX, ids=NAMES)
def test_a_camera_that_must_be_reliable_works_or_is_named(start, reliability, durability) -> None:
    robot = start('/reliable_camera', image_qos='reliable')
    topic = '/reliable_camera/image'
    camera = robot.client.node.create_publisher(
        Image, topic, QoSProfile(depth=1, reliability=reliability, durability=durability)
    )
    stamp = robot.client.next_stamp()
    if reliability == RELIABLE:

        def labels() -> list:
            camera.publish(image_msg(SCENE, 'rgb8', stamp))
            return robot.answers(stamp)

        robot.client.wait(labels, 'labels')
        assert robot.fresh('input')['incompatible_qos'] == ''
    else:
        kind = 'best_effort ' + durability.name.lower()
        wait_for_mismatch(robot, f'{topic}: reliability', kind)
        assert not camera.get_subscription_count()
    robot.client.node.destroy_publisher(camera)
    wait_until_healed(robot, topic)


@pytest.mark.parametrize(('reliability', 'durability'), MATRIX, ids=NAMES)
def test_a_detector_of_any_kind_is_heard_or_named(start, reliability, durability) -> None:
    robot = start('/detector')
    topic = '/detector/init_mask'
    masks = robot.client.node.create_publisher(
        Image, topic, QoSProfile(depth=1, reliability=reliability, durability=durability)
    )
    if reliability == RELIABLE:
        readers = 1 if durability == VOLATILE else 2
        robot.client.wait(lambda: masks.get_subscription_count() >= readers, 'the node')
        masks.publish(image_msg(MASK, 'mono8'))

        def is_applied() -> bool:
            return np.array_equal(to_array(robot.segment()), MASK)

        robot.client.wait(is_applied, 'the mask')
        assert topic not in robot.fresh('input')['incompatible_qos']
    else:
        wait_for_mismatch(robot, f'{topic}: reliability', 'best_effort ' + durability.name.lower())
        assert not masks.get_subscription_count()
    robot.client.node.destroy_publisher(masks)
    wait_until_healed(robot, topic)


def test_a_subscriber_that_asks_for_too_much_is_named(start) -> None:
    robot = start('/subscriber')
    wish = QoSProfile(depth=1, durability=LATCHED)
    reader = robot.client.node.create_subscription(
        Image, '/subscriber/vos/labels', lambda msg: None, wish
    )
    wait_for_mismatch(robot, '/subscriber/vos/labels: durability', 'reliable transient_local')
    robot.client.node.destroy_subscription(reader)
    wait_until_healed(robot, 'labels')
