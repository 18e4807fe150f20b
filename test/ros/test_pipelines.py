# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The recipes of docs/pipelines.md: what the other side does with our topics, over DDS.

The filters are ROS 2's own message_filters, with queues and slop as the peers set them. What a
peer computes by CUDA is not run; what it asks of a message before that is checked.
"""

from collections.abc import Callable

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs rclpy')

from nav2_layer import Cost, LETHAL, SemanticLayer
from rclpy.qos import DurabilityPolicy, qos_profile_sensor_data, QoSProfile
from robot import ground, HEIGHT, image_msg, label_info, MASK, Robot, ROOT, SCENE, to_array, WIDTH
from sensor_msgs.msg import CameraInfo, Image
import yaml

DEPTH = np.full((HEIGHT, WIDTH), 1500, np.uint16)


@pytest.fixture(scope='module')
def running(client, start_node) -> Robot:
    settings = {'diagnostics.period_s': 0.1, 'init.wait_s': 60.0}
    return Robot(client, start_node(model=ROOT / 'test' / 'data' / 'tiny', **settings))


@pytest.fixture
def camera(robot: Robot) -> Callable[[], tuple[int, int]]:
    """Publish image, depth and both camera_infos with one stamp, as an RGB-D driver does."""
    node = robot.client.node
    publish = {
        'depth': node.create_publisher(Image, '/depth/image', 10),
        'depth_info': node.create_publisher(CameraInfo, '/depth/camera_info', 10),
        'info': node.create_publisher(CameraInfo, '/camera_info', 10),
    }

    def shoot() -> tuple[int, int]:
        stamp = robot.client.next_stamp()
        info = CameraInfo(width=WIDTH, height=HEIGHT)
        info.header.stamp.sec, info.header.stamp.nanosec = stamp
        info.header.frame_id = 'camera'
        publish['info'].publish(info)
        publish['depth_info'].publish(info)
        publish['depth'].publish(image_msg(DEPTH, '16UC1', stamp))
        robot.segment(stamp=stamp)
        return stamp

    return shoot


def stamp_of(msg) -> tuple[int, int]:
    return msg.header.stamp.sec, msg.header.stamp.nanosec


def test_objects_of_a_mask_are_obstacles_for_nav2(robot: Robot) -> None:
    client = robot.client
    heard = client.listen(Image, f'{robot.name}/class_labels', qos_profile_sensor_data)
    confidences = client.listen(Image, f'{robot.name}/confidence', qos_profile_sensor_data)
    client.wait(lambda: robot.segment() and heard and confidences, 'the first of them')
    labels = robot.prompt()

    def answer(messages: list) -> Image:
        return client.wait(
            lambda: [m for m in messages if stamp_of(m) == stamp_of(labels)], 'an answer'
        )[0]

    layer, cloud = SemanticLayer({'object': Cost(mark_confidence=128)}), ground(HEIGHT, WIDTH)
    layer.on_label_info(classes_of(robot))
    layer.on_images(answer(heard), cloud, answer(confidences))
    costs = layer.costmap(now_s=robot.client.stamp_s + 1)
    assert layer.warnings == []
    for object_id in (1, 4):
        middle = tuple(np.argwhere(object_id == MASK).mean(axis=0).astype(int))
        assert costs[layer.tile_of(*cloud[middle][:2])] == LETHAL
    assert layer.tile_of(*cloud[5, 5, :2]) not in costs


def classes_of(robot: Robot):
    """Give ~/class_info, or what it says before anything has a name."""
    try:
        from vision_msgs.msg import LabelInfo
    except ImportError:
        return label_info({0: 'background', 1: 'object'})
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    heard = robot.client.listen(LabelInfo, f'{robot.name}/class_info', latched)
    return robot.client.wait(lambda: heard, 'the classes')[-1]


def test_two_persons_of_a_detector_are_obstacles_for_nav2(robot: Robot) -> None:
    vision = pytest.importorskip('vision_msgs.msg', reason='needs vision_msgs, without a wheel')
    client = robot.client
    before = classes_of(robot)
    assert [(c.class_id, c.class_name) for c in before.class_map][:2] == [
        (0, 'background'),
        (1, 'object'),
    ]
    boxes = vision.Detection2DArray()
    boxes.header.stamp.sec, boxes.header.stamp.nanosec = stamp = client.next_stamp()
    for x, y, name in ((30, 40, 'person'), (95, 65, 'person')):
        detection = vision.Detection2D()
        detection.bbox.center.position.x, detection.bbox.center.position.y = float(x), float(y)
        detection.bbox.size_x = detection.bbox.size_y = 40.0
        result = vision.ObjectHypothesisWithPose()
        result.hypothesis.class_id, result.hypothesis.score = name, 0.9
        detection.results = [result]
        boxes.detections.append(detection)
    heard = client.listen(Image, f'{robot.name}/class_labels', qos_profile_sensor_data)
    send = client.publisher(vision.Detection2DArray, 'init_boxes')
    # SCENE is noise, in which GrabCut finds nothing: two plain boxes on it.
    picture = SCENE // 8
    picture[24:56, 14:46] = (220, 40, 40)
    picture[49:81, 79:111] = (40, 40, 220)
    send.publish(boxes)
    robot.segment(stamp=stamp, image=picture)
    both = client.wait(
        lambda: (
            robot.segment(image=picture)
            and heard
            and (to_array(heard[-1])[[40, 65], [30, 95]] > 1).all()
            and heard[-1]
        ),
        'both persons',
    )
    layer, cloud = SemanticLayer({'person': Cost()}), ground(HEIGHT, WIDTH)
    layer.on_label_info(classes_of(robot))
    layer.on_images(both, cloud)
    costs = layer.costmap(now_s=client.stamp_s + 1)
    assert costs[layer.tile_of(*cloud[40, 30, :2])] == LETHAL
    assert costs[layer.tile_of(*cloud[65, 95, :2])] == LETHAL


def test_the_aggregator_finds_what_the_node_reports(robot: Robot) -> None:
    """As GenericAnalyzer does: by prefix, and each name that is expected."""
    config = yaml.safe_load((ROOT / 'config' / 'diagnostic_aggregator.yaml').read_text())
    group = config['analyzers']['ros__parameters']['segmenter']
    robot.fresh('node')
    names = {status.name for status in robot.reports[-1].status}
    (prefix,) = group['find_and_remove_prefix']
    assert all(name.startswith(prefix) for name in names)
    assert set(group['expected']) <= names


def test_foundationpose_gets_image_depth_mask_and_camera_of_one_stamp(
    robot: Robot, camera: Callable
) -> None:
    filters = pytest.importorskip('message_filters', reason='needs message_filters, of ROS 2')
    node, sets = robot.client.node, []
    robot.prompt()
    # Selector: ExactTime, queue of 20, reliable.
    topics = {
        '/image': Image,
        '/depth/image': Image,
        f'{robot.name}/object_1/mask': Image,
        '/camera_info': CameraInfo,
    }
    subscribers = [filters.Subscriber(node, kind, topic) for topic, kind in topics.items()]
    sync = filters.TimeSynchronizer(subscribers, 20)
    sync.registerCallback(lambda *found: sets.append(found))
    robot.client.wait(lambda: camera() and len(sets) >= 3, 'three sets')
    image, depth, mask, _ = sets[-1]
    assert {stamp_of(m) for m in sets[-1]} == {stamp_of(image)}
    # What it works on: a mono8 mask of the size of both pictures.
    assert mask.encoding == 'mono8'
    assert (mask.height, mask.width) == (image.height, image.width) == (depth.height, depth.width)
    assert {*np.unique(to_array(mask)).tolist()} == {0, 255}


def test_nvblox_gets_mask_and_camera_info_with_depth_and_colour(
    robot: Robot, camera: Callable
) -> None:
    filters = pytest.importorskip('message_filters', reason='needs message_filters, of ROS 2')
    node, with_depth, with_colour = robot.client.node, [], []
    robot.prompt()

    def subscribe(kind: type, topic: str):
        return filters.Subscriber(node, kind, topic, qos_profile=qos_profile_sensor_data)

    mask = subscribe(Image, f'{robot.name}/class_labels')
    mask_info = subscribe(CameraInfo, f'{robot.name}/camera_info')
    # nvblox_node.cpp: approximate with depth, exact with colour, queues of 10.
    depth = [subscribe(Image, '/depth/image'), subscribe(CameraInfo, '/depth/camera_info')]
    approximate = filters.ApproximateTimeSynchronizer([*depth, mask, mask_info], 10, 0.05)
    approximate.registerCallback(lambda *found: with_depth.append(found))
    colour = [subscribe(Image, '/image'), subscribe(CameraInfo, '/camera_info')]
    exact = filters.TimeSynchronizer([*colour, mask, mask_info], 10)
    exact.registerCallback(lambda *found: with_colour.append(found))
    robot.client.wait(
        lambda: camera() and len(with_depth) >= 3 and len(with_colour) >= 3, 'three sets each'
    )
    for found in (with_depth[-1], with_colour[-1]):
        first, info, masked, its_info = found
        assert {stamp_of(m) for m in found} == {stamp_of(first)}
        assert masked.encoding == 'mono8'  # or it says "Invalid mask image encoding"
        # Else CHECK ends its process.
        assert (masked.height, masked.width) == (its_info.height, its_info.width)
        assert (masked.height, masked.width) == (info.height, info.width)
    assert to_array(with_depth[-1][2]).any()  # what is not 0 is cut out of the map


def test_a_consumer_of_depth_pairs_it_with_labels_that_come_later(
    robot: Robot, camera: Callable
) -> None:
    filters = pytest.importorskip('message_filters', reason='needs message_filters, of ROS 2')
    node, pairs = robot.client.node, []
    robot.prompt()
    labels = filters.Subscriber(node, Image, f'{robot.name}/labels')
    depth = filters.Subscriber(node, Image, '/depth/image', qos_profile=qos_profile_sensor_data)
    sync = filters.ApproximateTimeSynchronizer([labels, depth], 30, 0.02)
    sync.registerCallback(lambda *found: pairs.append(found))
    robot.client.wait(lambda: camera() and len(pairs) >= 5, 'five pairs')
    for found, measured in pairs:
        assert stamp_of(found) == stamp_of(measured)
        assert (to_array(measured)[to_array(found) > 0] == 1500).all()
        assert to_array(found).any()
