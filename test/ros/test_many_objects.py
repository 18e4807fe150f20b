# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The model that takes ten objects in one pass, in the node: ten, twelve, and one less."""

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs rclpy')

from lifecycle_msgs.msg import Transition
from robot import HEIGHT, Robot, to_array, WIDTH
from std_msgs.msg import UInt16MultiArray


def grid(objects: int) -> np.ndarray:
    """Give each object a box of its own."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    for number in range(objects):
        top, left = 4 + 30 * (number // 4), 4 + 31 * (number % 4)
        mask[top : top + 24, left : left + 25] = number + 1
    return mask


@pytest.mark.parametrize('objects', [10, 12])
def test_many_objects_are_followed_at_once(client, start_node, objects: int) -> None:
    settings = {'diagnostics.period_s': 0.1, 'init.wait_s': 60.0, 'input_size': 96, 'threads': 1}
    name = f'/many_{objects}'  # all nodes of this module run until its end
    node = start_node('-r', f'__ns:={name}', model='deformable_mb', max_objects=12, **settings)
    robot = Robot(client, node, name)
    mask = grid(objects)
    assert np.array_equal(to_array(robot.prompt(mask)), mask)
    found = to_array(robot.segment())
    scores = [
        np.logical_and(found == k, mask == k).sum() / np.logical_or(found == k, mask == k).sum()
        for k in range(1, objects + 1)
    ]
    assert np.mean(scores) > 0.5, scores  # the same picture again: nothing has moved
    remove = client.publisher(UInt16MultiArray, f'{name}/remove_objects')
    remove.publish(UInt16MultiArray(data=[2]))
    client.wait(lambda: 2 not in np.unique(to_array(robot.segment())), 'the removal')


@pytest.mark.parametrize('is_active', [True, False])
def test_of_many_removals_at_once_none_is_lost(client, start_node, is_active: bool) -> None:
    settings = {'init.wait_s': 60.0, 'input_size': 96}  # whatever else is busy
    name = f'/burst_{is_active}'
    node = start_node('-r', f'__ns:={name}', max_objects=10, threads=1, **settings)
    robot = Robot(client, node, name)
    robot.prompt(grid(10))
    remove = client.publisher(UInt16MultiArray, f'{name}/remove_objects', 1000)
    if not is_active:
        client.change_state(Transition.TRANSITION_DEACTIVATE, robot.name)
    for _ in range(12):
        for object_id in range(1, 10):
            remove.publish(UInt16MultiArray(data=[object_id]))
    if not is_active:
        client.change_state(Transition.TRANSITION_ACTIVATE, robot.name)
    client.wait(
        lambda: robot.segment() and robot.fresh('objects')['count'] == '1', 'all of the removals'
    )
    assert 'object_10_score' in robot.status('objects')
