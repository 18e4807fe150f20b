# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Simulated time, bag loops and clocks that jump."""

import time

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs rclpy')

from geometry_msgs.msg import PointStamped
from rclpy.qos import DurabilityPolicy, QoSProfile
from robot import image_msg, MASK, Robot, ROOT, SCENE, to_array
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image

TINY = ROOT / 'test' / 'data' / 'tiny'
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


def start(client, start_node, namespace: str, **settings: object) -> Robot:
    settings |= {'diagnostics.period_s': 0.1}
    node = start_node('-r', f'__ns:={namespace}', model=TINY, **settings)
    return Robot(client, node, namespace)


def play(robot: Robot, first_s: int, count: int = 5) -> list:
    """Publish images at 10 Hz of stamps, each after the answer to the one before."""
    return [
        robot.segment(stamp=(first_s + tenth // 10, tenth % 10 * 100_000_000))
        for tenth in range(count)
    ]


def is_followed(robot: Robot) -> bool:
    return robot.fresh('objects')['count'] == '2'


def test_the_age_is_of_the_simulated_clock_and_nothing_waits_for_it(client, start_node) -> None:
    # Robot() waits for labels and status() for reports: both come without any /clock.
    robot = start(client, start_node, '/simulated', use_sim_time=True)
    assert robot.fresh('node')['state'] == 'active'
    robot.segment()
    report = robot.fresh('input')
    assert report['age_ms'] == '0.0'
    assert 'no /clock: use_sim_time is set' in report['message']
    clock = client.publisher(Clock, '/clock')
    now = Clock()
    now.clock.sec = 5000

    def age_ms(stamp: tuple[int, int]) -> str:
        clock.publish(now)
        robot.segment(stamp=stamp)
        return robot.fresh('input')['age_ms']

    client.wait(lambda: age_ms((4999, 750_000_000)) == '250.0', 'an age of 250 ms')
    assert 'no /clock' not in robot.status('input')['message']
    assert age_ms((5017, 500_000_000)) == '-17500.0'
    assert 'stamps lie 17.5 s in the future' in robot.status('input')['message']
    # The clock of a simulator that was reset goes back, and so does the node's.
    now.clock.sec = 100
    client.wait(lambda: age_ms((99, 500_000_000)) == '500.0', 'an age of 500 ms')
    assert robot.process.interrupt() == 0, robot.process.log


def test_after_a_jump_back_by_an_hour_the_latched_mask_is_applied_again(
    client, start_node
) -> None:
    robot = start(client, start_node, '/jumping')
    masks = client.publisher(Image, '/jumping/init_mask', LATCHED, readers=2)
    play(robot, 10_000)
    masks.publish(image_msg(MASK, 'mono8'))
    before = int(robot.fresh('input')['time_jumps'])
    stamps = iter(range(10_001, 20_000))
    client.wait(lambda: robot.segment(stamp=(next(stamps), 0)) and is_followed(robot), 'objects')

    robot.segment(stamp=(6400, 0))
    later = iter(range(6401, 20_000))
    # The very pixels that were drawn: applied anew, not followed through the jump.
    client.wait(
        lambda: np.array_equal(to_array(robot.segment(stamp=(next(later), 0))), MASK),
        'the mask, once more',
    )
    report = robot.fresh('input')
    assert int(report['time_jumps']) == before + 1
    assert report['level'] == b'\x01'
    assert 'the stamps jumped by -3' in report['message']
    assert robot.process.log.count('objects are forgotten') == before + 1
    assert robot.process.interrupt() == 0, robot.process.log


def test_a_looped_bag_with_a_latched_mask_is_segmented_in_every_round(client, start_node) -> None:
    robot = start(client, start_node, '/looping')
    masks = client.publisher(Image, '/looping/init_mask', LATCHED, readers=2)
    masks.publish(image_msg(MASK, 'mono8', (20_000, 0)))
    for round_number in range(3):
        jumps = int(robot.fresh('input')['time_jumps'])
        played = play(robot, 20_000)
        assert len(played) == 5
        if round_number:
            assert int(robot.fresh('input')['time_jumps']) == jumps + 1
        client.wait(lambda: is_followed(robot), f'the objects in round {round_number}')
    assert robot.process.interrupt() == 0, robot.process.log


def play_with_mask(robot: Robot, when: str, count: int) -> list:
    """Publish a round of a bag, the mask of its first image with it, and return the labels."""
    answers = []
    for number in range(count):
        stamp = (20_000 + number // 10, number % 10 * 100_000_000)
        if not number and when == 'before':
            robot.offer(MASK, 'mono8', stamp)
        answers.append(robot.segment(stamp=stamp))
        if not number and when == 'after':
            robot.offer(MASK, 'mono8', stamp)
        if number < 6:
            time.sleep(0.05)  # the pace of a bag: another thread takes the mask after the jump
    return answers


@pytest.mark.parametrize('count', [6, 40], ids=['still buffered', 'no longer buffered'])
@pytest.mark.parametrize('when', ['before', 'after'])
def test_a_looped_bag_that_sends_its_mask_in_every_round_is_segmented_in_every_round(
    client, start_node, when: str, count: int
) -> None:
    robot = start(client, start_node, f'/rounds_{when}_{count}')
    robot.segment(stamp=(19_999, 0))
    jumps = int(robot.fresh('input')['time_jumps'])
    for round_number in range(3):
        answers = play_with_mask(robot, when, count)
        assert is_followed(robot), round_number
        labels = [set(np.unique(to_array(msg)).tolist()) - {0} for msg in answers]
        # The first image comes before the jump is certain, and a mask that is late catches up.
        assert labels[-1], (round_number, labels)
    report, objects = robot.fresh('input'), robot.status('objects')
    assert int(report['time_jumps']) == jumps + 3
    assert objects['masks_rejected'] == '0', objects['last_rejection']
    # Each counts once, and once more where the jump has shown what it was for.
    assert int(objects['masks_in']) <= 3
    assert int(objects['masks_in']) + int(objects['masks_duplicate']) <= 6
    # Once more without a new round it says nothing new.
    robot.offer(MASK, 'mono8', (20_000, 0))
    later = robot.fresh('objects')
    assert later['masks_in'] == objects['masks_in']
    assert int(later['masks_duplicate']) == int(objects['masks_duplicate']) + 1
    assert robot.process.interrupt() == 0, robot.process.log


def test_a_looped_bag_with_a_point_is_segmented_in_every_round(client, start_node) -> None:
    robot = start(client, start_node, '/pointed')
    points = client.publisher(PointStamped, '/pointed/init_points')
    point = PointStamped()
    point.header.stamp.sec = 20_000
    point.point.x, point.point.y, point.point.z = 30.0, 40.0, 7.0
    # White on black: what a point can be told apart on.
    picture = np.where(MASK[..., None] == 1, np.uint8(255), np.zeros_like(SCENE))
    robot.segment(stamp=(19_999, 0), image=picture)
    for round_number in range(3):
        masks_in = int(robot.fresh('objects')['masks_in'])
        points.publish(point)
        for tenth in range(10):
            robot.segment(stamp=(20_000, tenth * 100_000_000), image=picture)
        client.wait(lambda: robot.fresh('objects')['count'] == '1', f'round {round_number}')
        # Before the jump was known, and once it was; the first one was taken as it came.
        assert int(robot.fresh('objects')['masks_in']) <= masks_in + 2
    robot.segment(stamp=(20_001, 0), image=picture)
    assert robot.fresh('objects')['masks_rejected'] == '0'
    assert robot.process.interrupt() == 0, robot.process.log


def test_a_mask_from_a_file_is_applied_again_after_a_jump(client, start_node, tmp_path) -> None:
    from vos_ros.formats.label_png import write_label_png

    write_label_png(tmp_path / 'mask.png', MASK)
    robot = start(client, start_node, '/filed', **{'init.mask_file': tmp_path / 'mask.png'})
    assert is_followed(robot)
    robot.segment(stamp=(100, 0))
    later = iter(range(101, 20_000))
    client.wait(
        lambda: np.array_equal(to_array(robot.segment(stamp=(next(later), 0))), MASK),
        'the mask, once more',
    )
    assert robot.process.interrupt() == 0, robot.process.log


def test_a_jump_that_is_ignored_keeps_the_objects(client, start_node) -> None:
    robot = start(client, start_node, '/ignoring', on_time_jump='ignore')
    robot.prompt()
    # The first image after the jump is answered, with the objects; the second confirms it.
    robot.segment(stamp=(5, 0))
    assert int(robot.fresh('input')['time_jumps']) == 0
    robot.segment(stamp=(6, 0))
    assert int(robot.fresh('input')['time_jumps']) == 1
    assert is_followed(robot)
    assert 'objects are kept' in robot.process.log
    assert robot.process.interrupt() == 0, robot.process.log


def test_an_image_that_cannot_be_used_makes_nothing_forgotten_whatever_its_stamp(
    client, start_node
) -> None:
    robot = start(client, start_node, '/odd')
    robot.prompt()
    for stamp in ((1, 0), (3000, 0), (90_000, 0), (2**31 - 1, 2**32 - 1), (-5, 0), (999, 0)):
        failed = int(robot.fresh('input')['failed'])
        msg = image_msg(SCENE, 'nonsense', stamp)
        robot.images.publish(msg)
        client.wait(
            lambda failed=failed: int(robot.fresh('input')['failed']) > failed, 'the failure'
        )
        robot.segment()
        assert is_followed(robot)
    assert robot.fresh('input')['time_jumps'] == '0'
    assert robot.process.interrupt() == 0, robot.process.log


def test_no_image_is_left_out_for_an_age_by_another_clock(client, start_node) -> None:
    # Seconds since the camera's start, as some drivers stamp: an age of decades.
    robot = start(client, start_node, '/since_boot', max_age_ms=50.0)
    for _ in range(15):
        robot.segment()
    report = robot.fresh('input')
    assert (
        'in the past; the clocks differ, and max_age_ms is off while they do' in report['message']
    )
    assert report['level'] == b'\x01'
    assert robot.status('inference')['skipped'] == '0'
    assert robot.process.interrupt() == 0, robot.process.log
