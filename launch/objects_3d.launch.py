# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Start objects_3d beside a segmenter that runs already.

  ros2 launch vos_ros objects_3d.launch.py depth:=/camera/aligned_depth_to_color/image_raw \
      camera_info:=/camera/aligned_depth_to_color/camera_info

`segment.launch.py objects_3d:=true` starts both.
"""

from pathlib import Path

from launch.actions import DeclareLaunchArgument, LogInfo, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from launch import LaunchContext, LaunchDescription
from vos_ros.config import Objects3dConfig, settings
from vos_ros.ros.parameters import misspelt

#: Installed as share/vos_ros/launch/; this also works from a source tree.
SHARE = Path(__file__).resolve().parent.parent
FROM_FILE = 'as in params_file'
FLAG = ['true', 'false']
DISTORTION = dict(settings(Objects3dConfig))['distortion'].metadata['choices']

ARGUMENTS = [
    DeclareLaunchArgument(
        'depth',
        default_value='depth',
        description='topic of the depth image, registered to the camera of the segmenter',
    ),
    DeclareLaunchArgument(
        'camera_info',
        default_value='camera_info',
        description='topic of the camera_info of the depth image',
    ),
    DeclareLaunchArgument(
        'labels', default_value='vos/labels', description='topic of the labels of the segmenter'
    ),
    DeclareLaunchArgument('namespace', default_value='', description='namespace of the node'),
    DeclareLaunchArgument(
        'name',
        default_value='objects_3d',
        description='of the node; its topics are <name>/centers ...',
    ),
    DeclareLaunchArgument(
        'params_file',
        default_value=str(SHARE / 'config' / 'objects_3d.yaml'),
        description='parameters; copy the default one, which explains each of them',
    ),
    DeclareLaunchArgument(
        'distortion',
        default_value=FROM_FILE,
        choices=[FROM_FILE, *DISTORTION],
        description='of the depth image: none = it is rectified, undo = K and D hold',
    ),
    DeclareLaunchArgument(
        'use_sim_time',
        default_value=FROM_FILE,
        choices=[FROM_FILE, *FLAG],
        description='time comes from /clock',
    ),
    DeclareLaunchArgument(
        'log_level',
        default_value='info',
        choices=['debug', 'info', 'warn', 'error', 'fatal'],
        description='of the node',
    ),
    DeclareLaunchArgument(
        'respawn', default_value='false', choices=FLAG, description='start again after a crash'
    ),
]


def start_node(context: LaunchContext) -> list:
    """Make the node once the arguments are known."""
    given = {a.name: LaunchConfiguration(a.name).perform(context) for a in ARGUMENTS}
    params_file = Path(given['params_file']).expanduser()
    if not params_file.is_file():  # rcl would take it for an empty one
        raise RuntimeError(f"params_file:='{given['params_file']}' is no file")
    overrides: dict[str, object] = {}
    if given['distortion'] != FROM_FILE:
        overrides['distortion'] = given['distortion']
    if given['use_sim_time'] != FROM_FILE:
        overrides['use_sim_time'] = given['use_sim_time'] == 'true'
    return [
        *(LogInfo(msg=line) for line in misspelt(context.argv, given)),
        Node(
            package='vos_ros',
            executable='objects_3d',
            name=given['name'],
            namespace=given['namespace'],
            parameters=[str(params_file), *([overrides] if overrides else [])],
            remappings=[
                ('depth', given['depth']),
                ('camera_info', given['camera_info']),
                ('vos/labels', given['labels']),
            ],
            arguments=['--ros-args', '--log-level', given['log_level']],
            output='screen',
            respawn=given['respawn'] == 'true',
            respawn_delay=2.0,
        ),
    ]


def generate_launch_description() -> LaunchDescription:
    """Give launch the arguments and what to do with them."""
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=start_node)])
