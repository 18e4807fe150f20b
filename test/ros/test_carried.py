# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""~/carried_labels: labels for every image at once, over real DDS."""

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs rclpy')

from robot import Robot, ROOT, SCENE, stamp_of, to_array
from sensor_msgs.msg import Image

from vos_ros.config import CarryConfig, NodeConfig
from vos_ros.ros.publishing import Outputs
from vos_ros.ros.qos import QosWatch


@pytest.fixture(scope='module')
def running(client, start_node) -> Robot:
    # Images of the tests are a second apart, by their stamps.
    settings = {
        'diagnostics.period_s': 0.1,
        'init.wait_s': 60.0,
        'max_objects': 3,
        'carry.max_age_ms': 5000.0,
    }
    return Robot(client, start_node(model=ROOT / 'test' / 'data' / 'tiny', **settings))


def test_every_image_is_answered_with_labels_of_its_own(robot: Robot) -> None:
    carried = robot.client.listen(Image, f'{robot.name}/carried_labels')
    robot.client.wait(lambda: robot.segment() and carried, 'the first of them')
    robot.prompt()
    before = robot.segment()
    assert to_array(before).any()
    for _ in range(3):
        moved = np.roll(SCENE, 2, axis=1)
        labels = robot.segment(image=moved)
        (answer,) = robot.client.wait(
            lambda labels=labels: [m for m in carried if stamp_of(m) == stamp_of(labels)],
            'its carried labels',
        )
        assert (answer.encoding, answer.header) == ('mono8', labels.header)
        assert (answer.height, answer.width) == (labels.height, labels.width)
        ids = set(np.unique(to_array(answer)).tolist())
        assert ids <= {0, 1, 4}
        assert ids & {1, 4}
    robot.reset()
    for _ in range(2):  # on the first, no labels of after the reset are there yet
        empty = robot.segment()
        answer = robot.client.wait(
            lambda empty=empty: [m for m in carried if stamp_of(m) == stamp_of(empty)],
            'empty labels',
        )[0]
        assert not to_array(answer).any()


def test_it_is_offered_unless_it_is_switched_off(client) -> None:
    watch = QosWatch(client.node)
    for enabled in (True, False):
        outputs = Outputs(
            watch, NodeConfig(carry=CarryConfig(enabled=enabled)), None, lambda: None
        )
        assert ('carried_labels' in outputs._publishers) == enabled
        assert not outputs.is_wanted('carried_labels')
        outputs.close()
