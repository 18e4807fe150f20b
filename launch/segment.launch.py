# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Start the segmenter node on a camera topic.

  ros2 launch vos_ros segment.launch.py image:=/camera/image_raw init_mask:=/detector/mask

Topics are remapped here and parameters come from `params_file`; an argument that is given beats
the file, one that is not leaves the file's value alone.
"""

import os
from pathlib import Path

from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    LogInfo,
    OpaqueFunction,
    SetEnvironmentVariable,
)
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode

from launch import LaunchContext, LaunchDescription
from vos_ros.config import NodeConfig, RuntimeConfig, settings

#: Installed as share/vos_ros/launch/; this also works from a source tree.
SHARE = Path(__file__).resolve().parent.parent
FROM_FILE = 'as in params_file'
FLAG = ['true', 'false']


def choices(parameter: str) -> tuple:
    """Look up what a parameter may be: the config dataclasses are the only home of that."""
    known = (*settings(RuntimeConfig), *settings(NodeConfig))
    return next(item.metadata['choices'] for name, item in known if name == parameter)


ARGUMENTS = [
    DeclareLaunchArgument('image', default_value='image', description='camera topic, raw images'),
    DeclareLaunchArgument(
        'init_mask',
        default_value='init_mask',
        description='topic of the masks to start from',
    ),
    DeclareLaunchArgument(
        'init_mask_file',
        default_value=FROM_FILE,
        description='PNG with an id per pixel, applied to the first frame',
    ),
    DeclareLaunchArgument('namespace', default_value='', description='namespace of the node'),
    DeclareLaunchArgument(
        'name',
        default_value='vos',
        description='of the node; its topics are <name>/labels ...',
    ),
    DeclareLaunchArgument(
        'params_file',
        default_value=str(SHARE / 'config' / 'vos.yaml'),
        description='parameters; copy the default one, which explains each of them',
    ),
    DeclareLaunchArgument(
        'model',
        default_value=FROM_FILE,
        description='name of a shipped model, or a folder',
    ),
    DeclareLaunchArgument(
        'backend',
        default_value=FROM_FILE,
        choices=[FROM_FILE, *choices('backend')],
        description='what runs the network',
    ),
    DeclareLaunchArgument(
        'precision',
        default_value=FROM_FILE,
        choices=[FROM_FILE, *choices('precision')],
        description='what the network computes with',
    ),
    DeclareLaunchArgument(
        'max_objects', default_value=FROM_FILE, description='objects followed at once, 1 to 254'
    ),
    DeclareLaunchArgument(
        'image_transport',
        default_value=FROM_FILE,
        choices=[FROM_FILE, *choices('image_transport')],
        description='compressed listens to <image>/compressed',
    ),
    DeclareLaunchArgument(
        'image_qos',
        default_value=FROM_FILE,
        choices=[FROM_FILE, *choices('image_qos')],
        description='sensor_data (best effort) matches every camera',
    ),
    DeclareLaunchArgument(
        'overlay',
        default_value=FROM_FILE,
        choices=[FROM_FILE, *FLAG],
        description='offer ~/overlay, drawn only where someone subscribes',
    ),
    DeclareLaunchArgument(
        'autostart',
        default_value=FROM_FILE,
        choices=[FROM_FILE, *FLAG],
        description='configure and activate at start; false waits for a lifecycle manager',
    ),
    DeclareLaunchArgument(
        'bag',
        default_value='',
        description='bag to play with --clock; sets use_sim_time',
    ),
    DeclareLaunchArgument(
        'use_sim_time',
        default_value='false',
        choices=FLAG,
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
# launch argument -> parameter
OVERRIDES = {
    'model': 'model',
    'backend': 'backend',
    'precision': 'precision',
    'max_objects': 'max_objects',
    'image_transport': 'image_transport',
    'image_qos': 'image_qos',
    'overlay': 'overlay.enabled',
    'autostart': 'autostart',
    'init_mask_file': 'init.mask_file',
}


def typed(parameter: str, text: str) -> object:
    """Read an argument as the type that its parameter has; the node refuses what does not fit."""
    if parameter == 'max_objects' and text.lstrip('-').isdigit():
        return int(text)
    return text == 'true' if text in FLAG else text


def start_node(context: LaunchContext) -> list:
    """Make the actions once the arguments are known."""
    given = {a.name: LaunchConfiguration(a.name).perform(context) for a in ARGUMENTS}
    overrides = {
        parameter: typed(parameter, given[argument])
        for argument, parameter in OVERRIDES.items()
        if given[argument] != FROM_FILE
    }
    is_sim_time = bool(given['bag']) or given['use_sim_time'] == 'true'
    actions: list = []
    if 'FASTRTPS_DEFAULT_PROFILES_FILE' not in os.environ:
        profile = str(SHARE / 'config' / 'fastdds_large_images.xml')
        actions += [
            SetEnvironmentVariable('FASTRTPS_DEFAULT_PROFILES_FILE', profile),
            LogInfo(
                msg='Fast DDS: 16 MiB of shared memory for images. The camera driver needs the '
                f'same: export FASTRTPS_DEFAULT_PROFILES_FILE={profile}'
            ),
        ]
    actions.append(
        LifecycleNode(
            package='vos_ros',
            executable='segmenter',
            name=given['name'],
            namespace=given['namespace'],
            parameters=[given['params_file'], {**overrides, 'use_sim_time': is_sim_time}],
            remappings=[
                ('image', given['image']),
                ('image/compressed', given['image'] + '/compressed'),
                ('init_mask', given['init_mask']),
            ],
            arguments=['--ros-args', '--log-level', given['log_level']],
            output='screen',
            respawn=given['respawn'] == 'true',
            respawn_delay=2.0,
        )
    )
    if given['bag']:
        play = ['ros2', 'bag', 'play', given['bag'], '--clock']
        actions.append(ExecuteProcess(cmd=play, output='screen'))
    return actions


def generate_launch_description() -> LaunchDescription:
    """Give launch the arguments and what to do with them."""
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=start_node)])
