# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Start a webcam and the segmenter on it.

  ros2 launch vos_ros usb_cam.launch.py init_mask_file:=first.png overlay:=true rviz:=true

Needs the package usb_cam. All arguments of segment.launch.py apply. Where there is no mask yet:
page:=true, and paint one.
"""

import importlib.util
from pathlib import Path

from launch.actions import (
    DeclareLaunchArgument,
    IncludeLaunchDescription,
    LogInfo,
    OpaqueFunction,
)
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from launch import LaunchContext, LaunchDescription
from vos_ros.ros.parameters import misspelt

SEGMENT = Path(__file__).resolve().parent / 'segment.launch.py'

ARGUMENTS = [
    DeclareLaunchArgument('video_device', default_value='/dev/video0', description='the webcam'),
    DeclareLaunchArgument('image_width', default_value='640', description='in pixels'),
    DeclareLaunchArgument('image_height', default_value='480', description='in pixels'),
    DeclareLaunchArgument('framerate', default_value='30.0', description='images per second'),
    DeclareLaunchArgument(
        'pixel_format',
        default_value='mjpeg2rgb',
        description='what usb_cam asks of the webcam, such as mjpeg2rgb or yuyv2rgb',
    ),
    DeclareLaunchArgument(
        'image', default_value='/camera/image_raw', description='where usb_cam publishes'
    ),
]


def number(given: dict, name: str, kind: type) -> int | float:
    """Read an argument that the driver wants as a number."""
    try:
        return kind(given[name])
    except ValueError:
        raise RuntimeError(
            f"{name}:='{given[name]}' must be {'a whole' if kind is int else 'a'} number"
        ) from None


def start_camera(context: LaunchContext) -> list:
    """Make the driver, with the same middleware settings as the segmenter."""
    spec = importlib.util.spec_from_file_location('segment_launch', SEGMENT)
    segment = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(segment)
    given = {a.name: LaunchConfiguration(a.name).perform(context) for a in ARGUMENTS}
    camera = Node(
        package=segment.installed('usb_cam'),
        executable='usb_cam_node_exe',
        name='usb_cam',
        parameters=[
            {
                'video_device': given['video_device'],
                'image_width': number(given, 'image_width', int),
                'image_height': number(given, 'image_height', int),
                'framerate': number(given, 'framerate', float),
                'pixel_format': given['pixel_format'],
                'frame_id': 'camera',
                'camera_name': 'camera',
            }
        ],
        remappings=[
            ('image_raw', given['image']),
            ('camera_info', f'{given["image"].rpartition("/")[0]}/camera_info'),
        ],
        additional_env=segment.middleware()[1],
        output='screen',
    )
    # The others are looked at by the file that is included.
    own = given.keys() - {a.name for a in segment.ARGUMENTS}
    return [*(LogInfo(msg=line) for line in misspelt(context.argv, own)), camera]


def generate_launch_description() -> LaunchDescription:
    """Give launch the arguments and what to do with them."""
    return LaunchDescription(
        [
            *ARGUMENTS,
            OpaqueFunction(function=start_camera),
            IncludeLaunchDescription(PythonLaunchDescriptionSource(str(SEGMENT))),
        ]
    )
