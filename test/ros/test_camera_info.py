# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""~/camera_info: that of the camera with the header of each mask, only while it is asked for."""

from collections.abc import Iterator

import pytest

pytest.importorskip('rclpy', reason='needs rclpy')

from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.serialization import serialize_message
from robot import HEIGHT, Robot, ROOT, WIDTH
from sensor_msgs.msg import CameraInfo

from vos_ros.ros.camera_info import camera_info_topic, size_of

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


@pytest.fixture(scope='module')
def running(client, start_node) -> Robot:
    settings = {'diagnostics.period_s': 0.1, 'init.wait_s': 60.0}
    return Robot(client, start_node(model=ROOT / 'test' / 'data' / 'tiny', **settings))


@pytest.fixture
def infos(robot: Robot) -> Iterator[list]:
    """Ask for ~/camera_info, and after the test no longer."""
    heard: list = []
    asking = robot.client.node.create_subscription(
        CameraInfo, f'{robot.name}/camera_info', heard.append, 10
    )
    yield heard
    robot.client.node.destroy_subscription(asking)
    robot.client.wait(lambda: robot.segment() and not listens(robot), 'the end of listening')


def listens(robot: Robot) -> bool:
    """Say whether the node listens to /camera_info."""
    found = robot.client.node.get_subscriber_names_and_types_by_node('vos', '/')
    return '/camera_info' in {name for name, _ in found}


def info_msg(width: int = WIDTH, height: int = HEIGHT, focal: float = 100.0) -> CameraInfo:
    msg = CameraInfo(width=width, height=height, distortion_model='plumb_bob', d=[0.1] * 5)
    msg.header.frame_id = 'another'
    msg.k = [focal, 0.0, width / 2, 0.0, focal, height / 2, 0.0, 0.0, 1.0]
    return msg


def test_nothing_is_listened_to_for_nobody(robot: Robot) -> None:
    robot.segment()
    robot.fresh('node')
    assert not listens(robot)


def test_each_mask_gets_the_camera_of_the_camera_with_its_own_header(
    robot: Robot, infos: list
) -> None:
    camera = robot.client.node.create_publisher(CameraInfo, '/camera_info', 10)

    def answered(focal: float) -> bool:
        camera.publish(info_msg(focal=focal))
        robot.segment()
        return bool(infos) and infos[-1].k[0] == focal

    for focal in (100.0, 120.0):  # a lens that zooms, too
        robot.client.wait(lambda focal=focal: answered(focal), 'its camera_info')
    labels = robot.segment()
    found = robot.client.wait(
        lambda: [m for m in infos if m.header.stamp == labels.header.stamp], 'its camera_info'
    )
    assert found[0].header == labels.header
    expected = info_msg(focal=120.0)
    expected.header = labels.header
    assert found[0] == expected
    robot.client.node.destroy_publisher(camera)


def test_one_that_was_published_once_is_found(robot: Robot, infos: list) -> None:
    camera = robot.client.node.create_publisher(CameraInfo, '/camera_info', LATCHED)
    camera.publish(info_msg(focal=77.0))
    robot.client.wait(lambda: robot.segment() and infos and infos[-1].k[0] == 77.0, 'it')
    robot.client.node.destroy_publisher(camera)


def test_one_of_other_images_is_refused_with_both_sizes(robot: Robot, infos: list) -> None:
    camera = robot.client.node.create_publisher(CameraInfo, '/camera_info', 10)
    line = f'/camera_info is for images of 1280x720, they have {WIDTH}x{HEIGHT}'

    def is_said() -> bool:
        camera.publish(info_msg(1280, 720))
        robot.segment()
        return line in robot.process.log

    robot.client.wait(is_said, 'a warning')
    assert infos == []
    robot.client.node.destroy_publisher(camera)


@pytest.mark.parametrize('broken', [True, False], ids=['cut off', 'huge'])
def test_one_that_is_no_cameras_is_refused(robot: Robot, infos: list, broken: bool) -> None:
    camera = robot.client.node.create_publisher(CameraInfo, '/camera_info', 10)
    msg = info_msg()
    msg.d = [] if broken else [0.0] * 4096
    sent = serialize_message(msg)[: 80 if broken else None]
    line = 'is no sensor_msgs/CameraInfo' if broken else 'bytes is refused, 16384 at most'

    def is_said() -> bool:
        camera.publish(sent)
        robot.segment()
        return line in robot.process.log

    robot.client.wait(is_said, 'a complaint')
    assert infos == []
    robot.client.node.destroy_publisher(camera)


def test_a_camera_without_one_is_named(robot: Robot, infos: list) -> None:
    line = '~/camera_info is asked for, but nothing comes on /camera_info'
    robot.client.wait(lambda: robot.segment() and line in robot.process.log, 'a warning')
    assert infos == []


@pytest.mark.parametrize(
    ('image', 'expected'),
    [
        ('/camera/color/image_raw', '/camera/color/camera_info'),
        ('/camera/color/image_raw/compressed', '/camera/color/camera_info'),
        ('/image', '/camera_info'),
    ],
)
def test_it_is_looked_for_where_image_transport_does(image: str, expected: str) -> None:
    assert camera_info_topic(image) == expected


def test_binning_and_region_of_interest_make_the_size() -> None:
    msg = info_msg(1280, 720)
    assert size_of(msg) == (720, 1280)
    msg.binning_x, msg.binning_y = 2, 4
    assert size_of(msg) == (180, 640)
    msg.roi.width, msg.roi.height = 640, 480
    assert size_of(msg) == (120, 320)
