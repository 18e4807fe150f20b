# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Start a RealSense camera, the segmenter on its colour and objects_3d on its depth.

  ros2 launch vos_ros realsense.launch.py init_mask:=/detector/mask rviz:=true

Needs the package realsense2_camera. All arguments of segment.launch.py apply. Depth is registered
to colour and both are synchronised, as consumers of masks and depth want them.
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
#: As rs_launch.py names camera and namespace; the driver's topics are below both.
CAMERA = '/camera/camera'
ALIGNED = f'{CAMERA}/aligned_depth_to_color'

ARGUMENTS = [
    DeclareLaunchArgument(
        'profile',
        default_value='640x480x30',
        description='of colour and depth: width x height x rate',
    ),
    DeclareLaunchArgument(
        'serial_no', default_value='', description='of the camera, where there are several'
    ),
    DeclareLaunchArgument(
        'image', default_value=f'{CAMERA}/color/image_raw', description='colour of the camera'
    ),
    DeclareLaunchArgument(
        'depth', default_value=f'{ALIGNED}/image_raw', description='depth in pixels of colour'
    ),
    DeclareLaunchArgument(
        'camera_info', default_value=f'{ALIGNED}/camera_info', description='of that depth'
    ),
    DeclareLaunchArgument(
        'objects_3d',
        default_value='true',
        choices=['true', 'false'],
        description='place the objects in space by the depth',
    ),
]


def start_camera(context: LaunchContext) -> list:
    """Make the driver, with the same middleware settings as the segmenter."""
    spec = importlib.util.spec_from_file_location('segment_launch', SEGMENT)
    segment = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(segment)
    given = {a.name: LaunchConfiguration(a.name).perform(context) for a in ARGUMENTS}
    parameters = {
        'enable_color': True,
        'enable_depth': True,
        'enable_sync': True,
        'align_depth.enable': True,
        'rgb_camera.color_profile': given['profile'],
        'depth_module.depth_profile': given['profile'],
    }
    if given['serial_no']:
        # With the mark that keeps it text, as realsense2_camera wants it.
        parameters['serial_no'] = '_' + given['serial_no'].lstrip('_')
    camera = Node(
        package=segment.installed('realsense2_camera'),
        executable='realsense2_camera_node',
        namespace='camera',
        name='camera',
        parameters=[parameters],
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
