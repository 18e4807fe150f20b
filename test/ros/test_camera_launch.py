# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The launch files with a camera, and RViz beside the segmenter."""

import os
from pathlib import Path
import sys

import pytest

pytest.importorskip('rclpy', reason='needs rclpy')
pytest.importorskip('launch_ros', reason='needs launch_ros, which has no wheel')

from launch.actions import LogInfo
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_ros.actions import LifecycleNode, Node
from robot import PATIENCE_S, ROOT
from sensor_msgs.msg import CameraInfo, Image
from test_launch_file import launched

from launch import LaunchContext

#: In place of usb_cam: the same topics, parameters and camera_info, a grey picture.
WEBCAM = """\
import rclpy
from sensor_msgs.msg import CameraInfo, Image
rclpy.init()
node = rclpy.create_node('usb_cam')
size = [node.declare_parameter(f'image_{s}', 1).value for s in ('width', 'height')]
images = node.create_publisher(Image, 'image_raw', 10)
infos = node.create_publisher(CameraInfo, 'camera_info', 10)
def send():
    image = Image(encoding='mono8', width=size[0], height=size[1], step=size[0])
    image.header.stamp = node.get_clock().now().to_msg()
    image.data = bytes(size[0] * size[1])
    images.publish(image)
    infos.publish(CameraInfo(header=image.header, width=size[0], height=size[1]))
node.create_timer(0.1, send)
try:
    rclpy.spin(node)
except BaseException:
    pass
"""


def description(name: str):
    source = PythonLaunchDescriptionSource(str(ROOT / 'launch' / f'{name}.launch.py'))
    return source.get_launch_description(LaunchContext())


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Visit a launch file as launch does, and give the nodes by executable; none is started."""
    index = tmp_path / 'share' / 'ament_index' / 'resource_index' / 'packages'
    index.mkdir(parents=True)
    monkeypatch.setenv('AMENT_PREFIX_PATH', str(tmp_path))
    for name in ('RMW_IMPLEMENTATION', 'FASTDDS_BUILTIN_TRANSPORTS'):
        monkeypatch.delenv(name, raising=False)
    for name in ('FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE'):
        monkeypatch.delenv(name, raising=False)
    nodes: dict[str, dict] = {}
    for kind in (Node, LifecycleNode):

        def note(self, *, kind=kind, **given) -> None:
            nodes[given['executable']] = given

        monkeypatch.setattr(kind, '__init__', note)

    def visit(entities, context: LaunchContext) -> None:
        for entity in entities:
            if not isinstance(entity, Node):
                visit(entity.visit(context) or [], context)

    def make(file: str, /, *installed: str, **arguments: str) -> dict[str, dict]:
        for package in installed:
            (index / package).touch()
        context = LaunchContext(argv=[f'{k}:={v}' for k, v in arguments.items()])
        context.launch_configurations.update(arguments)
        visit(description(file).entities, context)
        return nodes

    return make


@pytest.mark.parametrize('name', ['usb_cam', 'realsense'])
def test_every_argument_has_a_description_and_a_default(name: str) -> None:
    arguments = description(name).get_launch_arguments()
    for argument in arguments:
        assert len(argument.description) > 8
        assert argument.default_value is not None
    # Those of segment.launch.py are among them, so that --show-args lists all.
    names = {argument.name for argument in arguments}
    assert {a.name for a in description('segment').get_launch_arguments()} < names


def test_a_webcam_feeds_the_segmenter(made) -> None:
    nodes = made('usb_cam', 'usb_cam', framerate='15', video_device='/dev/video2')
    camera, segmenter = nodes['usb_cam_node_exe'], nodes['segmenter']
    assert camera['parameters'][0]['framerate'] == 15.0
    assert camera['parameters'][0]['video_device'] == '/dev/video2'
    assert dict(camera['remappings']) == {
        'image_raw': '/camera/image_raw',
        'camera_info': '/camera/camera_info',
    }
    assert dict(segmenter['remappings'])['image'] == '/camera/image_raw'
    # Both must agree on how images are sent.
    assert camera['additional_env'] == segmenter['additional_env'] != {}
    assert 'objects_3d' not in nodes


@pytest.mark.parametrize(
    ('name', 'value', 'what'),
    [('image_width', '640.5', 'a whole number'), ('framerate', '30fps', 'a number')],
)
def test_an_argument_of_the_webcam_that_is_no_number_is_named(
    made, name: str, value: str, what: str
) -> None:
    with pytest.raises(RuntimeError, match=f"{name}:='{value}' must be {what}"):
        made('usb_cam', 'usb_cam', **{name: value})


@pytest.mark.parametrize(
    ('file', 'package', 'typo', 'meant'),
    [
        ('usb_cam', 'usb_cam', 'vide_device', 'video_device'),
        ('realsense', 'realsense2_camera', 'serialno', 'serial_no'),
    ],
)
def test_an_argument_of_a_camera_that_is_misspelt_is_named(
    made, monkeypatch: pytest.MonkeyPatch, file: str, package: str, typo: str, meant: str
) -> None:
    said: list[str] = []
    monkeypatch.setattr(LogInfo, 'execute', lambda self, _: said.append(self.msg[0].text))
    made(file, package, **{typo: 'x', meant: 'y', 'model': 'z'})
    assert [line for line in said if 'launch argument' in line] == [
        f"launch argument '{typo}' does not exist and is ignored; did you mean '{meant}'?"
    ]


def test_a_realsense_feeds_segmenter_and_objects_3d_with_registered_depth(made) -> None:
    nodes = made('realsense', 'realsense2_camera', serial_no='831612071', init_mask='/mask')
    camera = nodes['realsense2_camera_node']
    assert (camera['namespace'], camera['name']) == ('camera', 'camera')
    assert camera['parameters'][0]['align_depth.enable'] is True
    assert camera['parameters'][0]['serial_no'] == '_831612071'
    topics = dict(nodes['segmenter']['remappings'])
    assert topics['image'] == '/camera/camera/color/image_raw'
    assert topics['init_mask'] == '/mask'
    space = dict(nodes['objects_3d']['remappings'])
    assert space['depth'] == '/camera/camera/aligned_depth_to_color/image_raw'
    assert space['camera_info'] == '/camera/camera/aligned_depth_to_color/camera_info'


@pytest.mark.parametrize(
    ('name', 'package'), [('usb_cam', 'usb-cam'), ('realsense', 'realsense2-camera')]
)
def test_a_driver_that_is_missing_is_named_with_what_to_do(made, name: str, package: str) -> None:
    with pytest.raises(RuntimeError, match=rf'apt install ros-\$ROS_DISTRO-{package}'):
        made(name)


def test_rviz_shows_the_topics_of_the_node_whatever_its_name(made) -> None:
    viewer = made('segment', 'rviz2', rviz='true', name='seg', namespace='arm')['rviz2']
    assert viewer['namespace'] == 'arm'
    assert viewer['arguments'] == ['-d', str(ROOT / 'config' / 'vos.rviz')]
    topics = dict(viewer['remappings'])
    assert topics['/vos/overlay'] == 'seg/overlay'
    shown = (ROOT / 'config' / 'vos.rviz').read_text()
    named = {line.split()[1] for line in shown.splitlines() if 'Value: /' in line}
    assert named <= topics.keys()


def test_without_rviz_the_launch_says_what_to_install(made) -> None:
    with pytest.raises(RuntimeError, match='rviz2 is not installed'):
        made('segment', rviz='true')


def test_a_webcam_is_started_and_its_masks_have_its_camera(
    client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    prefix = tmp_path / 'prefix'
    index = prefix / 'share' / 'ament_index' / 'resource_index' / 'packages'
    driver = prefix / 'lib' / 'usb_cam' / 'usb_cam_node_exe'
    for folder in (index, driver.parent):
        folder.mkdir(parents=True)
    (index / 'usb_cam').touch()
    driver.write_text(f'#!{sys.executable}\n{WEBCAM}')
    driver.chmod(0o755)
    before = os.environ.get('AMENT_PREFIX_PATH', '')
    monkeypatch.setenv('AMENT_PREFIX_PATH', f'{prefix}:{before}')
    given = {'model': str(ROOT / 'test/data/tiny'), 'image_width': '128', 'image_height': '96'}
    labels = client.listen(Image, '/vos/labels')
    infos = client.listen(CameraInfo, '/vos/camera_info')
    with launched(tmp_path, 'usb_cam', given):
        # Launch, driver and node start meanwhile.
        client.wait(lambda: labels and infos, 'masks and their camera', 3 * PATIENCE_S)
    assert (labels[-1].width, labels[-1].height) == (128, 96)
    assert (infos[-1].width, infos[-1].height) == (128, 96)
    assert infos[-1].header.stamp in [each.header.stamp for each in labels]
