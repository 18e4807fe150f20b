# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Init masks as PNG, and boxes, over real topics to one running node."""

import cv2
import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs rclpy')

from geometry_msgs.msg import Point, PointStamped
from robot import HEIGHT, MASK, Robot, ROOT, SCENE, to_array, WIDTH
from sensor_msgs.msg import CompressedImage

from vos_ros.formats.label_png import encode_label_png

#: A red disc on green: what a box can be told apart on.
DISC = np.zeros((HEIGHT, WIDTH), np.uint8)
cv2.circle(DISC, (60, 45), 20, 1, -1)
PICTURE = np.where(DISC[..., None] > 0, (200, 30, 30), (20, 150, 40)).astype(np.uint8)


@pytest.fixture(scope='module')
def running(client, start_node) -> Robot:
    settings = {'diagnostics.period_s': 0.1, 'init.wait_s': 60.0, 'max_objects': 3}
    return Robot(client, start_node(model=ROOT / 'test' / 'data' / 'tiny', **settings))


def png_msg(data: bytes, stamp: tuple[int, int], kind: str = 'png') -> CompressedImage:
    msg = CompressedImage(format=kind)
    msg.header.stamp.sec, msg.header.stamp.nanosec = stamp
    msg.data.frombytes(data)
    return msg


def send(robot: Robot, publisher, msg) -> None:
    """Publish a prompt and wait until the node has it."""
    before = int(robot.fresh('objects')['masks_in'])
    publisher.publish(msg)
    robot.client.wait(lambda: int(robot.status('objects')['masks_in']) > before, 'the prompt')


@pytest.mark.parametrize(
    ('mask', 'encode'),
    [
        (MASK, lambda mask: cv2.imencode('.png', mask)[1].tobytes()),
        (MASK, encode_label_png),
        (MASK.astype(np.uint16) * 300, encode_label_png),
        ((MASK > 0).astype(np.uint8) * np.uint8(255), encode_label_png),
    ],
    ids=['8 bit grey', 'indexed with a palette', '16 bit', 'binary'],
)
def test_png_masks_give_the_objects_that_they_show(robot: Robot, mask, encode) -> None:
    masks = robot.client.publisher(CompressedImage, 'init_mask/compressed')
    stamp = robot.client.next_stamp()
    send(robot, masks, png_msg(encode(mask), stamp))
    expected = (mask > 0).astype(np.uint8) if mask.max() == 255 else mask
    assert np.array_equal(to_array(robot.segment(stamp=stamp)), expected)
    robot.client.node.destroy_publisher(masks)


def test_a_jpeg_mask_is_refused_with_the_reason(robot: Robot) -> None:
    masks = robot.client.publisher(CompressedImage, 'init_mask/compressed')
    jpeg = cv2.imencode('.jpg', MASK)[1].tobytes()
    send(robot, masks, png_msg(jpeg, robot.client.next_stamp(), 'jpeg'))
    why = robot.fresh('objects')['last_rejection']
    assert "format 'jpeg'" in why
    assert 'jpeg would change the ids' in why
    damaged = cv2.imencode('.png', MASK)[1].tobytes()[:-20]
    send(robot, masks, png_msg(damaged, robot.client.next_stamp()))
    assert 'damaged' in robot.fresh('objects')['last_rejection']
    assert not to_array(robot.segment()).any()
    robot.client.node.destroy_publisher(masks)


def boxes_msg(vision, stamp: tuple[int, int], *boxes: tuple[str, tuple, str]):
    """Make a Detection2DArray of (id, (x, y, width, height), class)."""
    msg = vision.Detection2DArray()
    msg.header.stamp.sec, msg.header.stamp.nanosec = stamp
    for object_id, (x, y, width, height), name in boxes:
        detection = vision.Detection2D(id=object_id)
        detection.bbox.center.position.x, detection.bbox.center.position.y = float(x), float(y)
        detection.bbox.size_x, detection.bbox.size_y = float(width), float(height)
        result = vision.ObjectHypothesisWithPose()
        result.hypothesis.class_id, result.hypothesis.score = name, 0.9
        detection.results = [result]
        msg.detections.append(detection)
    return msg


def test_a_box_becomes_the_mask_of_the_object_in_it(robot: Robot) -> None:
    vision = pytest.importorskip('vision_msgs.msg', reason='needs vision_msgs, without a wheel')
    boxes = robot.client.publisher(vision.Detection2DArray, 'init_boxes')
    # The image first: masks for a frame that has passed are followed up to the newest one.
    stamp = robot.client.next_stamp()
    send(robot, boxes, boxes_msg(vision, stamp, ('7', (60, 45, 56, 56), 'cup')))
    robot.segment(stamp=stamp, image=PICTURE)
    found = robot.client.wait(
        lambda: robot.segment(image=PICTURE) and robot.fresh('objects').get('object_7_name'),
        'the object',
    )
    assert found == 'cup'
    # Stamp 0: the newest image. A useless box is reported, and the other one gets a free id.
    send(
        robot,
        boxes,
        boxes_msg(vision, (0, 0), ('', (60, 45, 56, 56), 'mug'), ('', (9, 9, 1, 1), 'dot')),
    )
    robot.client.wait(
        lambda: robot.segment(image=PICTURE) and robot.fresh('objects').get('object_1_name'),
        'the second object',
    )
    assert 'too small' in robot.status('objects')['last_rejection']
    robot.client.node.destroy_publisher(boxes)


def test_boxes_without_an_image_are_reported(robot: Robot) -> None:
    vision = pytest.importorskip('vision_msgs.msg', reason='needs vision_msgs, without a wheel')
    boxes = robot.client.publisher(vision.Detection2DArray, 'init_boxes')
    send(robot, boxes, boxes_msg(vision, (0, 0)))
    assert 'init boxes are empty' in robot.fresh('objects')['last_rejection']
    robot.segment(image=SCENE)
    far = boxes_msg(vision, (0, 0), ('3', (5000, 45, 56, 56), 'far'))
    send(robot, boxes, far)
    robot.client.wait(
        lambda: 'lies outside of the image' in robot.fresh('objects')['last_rejection'],
        'the rejection',
    )
    robot.client.node.destroy_publisher(boxes)


def object_at(robot: Robot, x: int, y: int) -> int:
    """Give the id of a pixel of the picture, as it is segmented now."""
    return int(to_array(robot.segment(image=PICTURE))[y, x])


def test_a_point_becomes_the_mask_of_the_object_under_it(robot: Robot) -> None:
    points = robot.client.publisher(PointStamped, 'init_points')
    stamp = robot.client.next_stamp()
    msg = PointStamped()
    msg.header.stamp.sec, msg.header.stamp.nanosec = stamp
    msg.point.x, msg.point.y, msg.point.z = 60.0, 45.0, 7.0
    send(robot, points, msg)
    robot.segment(stamp=stamp, image=PICTURE)
    robot.client.wait(lambda: object_at(robot, 60, 45) == 7, 'the object under the point')
    msg.point.x, msg.point.z = 5000.0, 8.0
    send(robot, points, msg)
    robot.client.wait(
        lambda: 'lies outside of the image' in robot.fresh('objects')['last_rejection'],
        'the rejection',
    )
    robot.client.node.destroy_publisher(points)


def test_a_click_without_a_stamp_is_for_the_newest_image(robot: Robot) -> None:
    clicks = robot.client.publisher(Point, 'init_click')
    robot.segment(image=PICTURE)
    clicks.publish(Point(x=60.0, y=45.0))
    robot.client.wait(lambda: object_at(robot, 60, 45) == 1, 'the object under the click')
    clicks.publish(Point(x=60.0, y=45.0, z=0.5))
    robot.client.wait(
        lambda: 'z of a point' in robot.fresh('objects')['last_rejection'], 'the rejection'
    )
    robot.client.node.destroy_publisher(clicks)
