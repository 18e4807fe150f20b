# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Start one segmenter per camera, each in the namespace of its camera.

  ros2 launch vos_ros multi_camera.launch.py cameras:='left right' image:=image_raw

gives /left/vos/labels from /left/image_raw and /left/init_mask, and the same for right. Each one
is a process of its own, with its own objects and ids; all arguments of segment.launch.py apply to
every one of them.
"""

import importlib.util
from pathlib import Path
import re

from launch.actions import (
    DeclareLaunchArgument,
    IncludeLaunchDescription,
    LogInfo,
    OpaqueFunction,
)
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration

from launch import LaunchContext, LaunchDescription
from vos_ros.ros.parameters import misspelt

ONE_CAMERA = Path(__file__).resolve().parent / 'segment.launch.py'


def _arguments_of_one() -> list:
    spec = importlib.util.spec_from_file_location('segment_launch', ONE_CAMERA)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return [argument for argument in module.ARGUMENTS if argument.name != 'namespace']


ARGUMENTS = [
    DeclareLaunchArgument(
        'cameras',
        default_value='left right',
        description='namespaces of the cameras, with spaces or commas between them',
    ),
    *_arguments_of_one(),
]


def start_nodes(context: LaunchContext) -> list:
    """Include segment.launch.py once for each camera."""
    cameras = re.split(r'[\s,]+', LaunchConfiguration('cameras').perform(context).strip(' ,'))
    if not all(cameras) or len(set(cameras)) < len(cameras):
        raise RuntimeError(
            f"cameras:='{' '.join(cameras)}' must name each camera once, for instance 'left right'"
        )
    names = [argument.name for argument in ARGUMENTS if argument.name != 'cameras']
    given = {name: LaunchConfiguration(name).perform(context) for name in names}
    if given['bag']:
        given['use_sim_time'] = 'true'
    # The others are looked at by the file that is included.
    actions = [LogInfo(msg=line) for line in misspelt(context.argv, ['cameras'])]
    for camera in cameras:
        source = PythonLaunchDescriptionSource(str(ONE_CAMERA))
        # One bag holds all cameras and is played once: when the node started last is active.
        bag = given['bag'] if camera == cameras[-1] else ''
        arguments = {**given, 'namespace': camera, 'bag': bag}
        if given['page'] == 'true' and camera != cameras[-1]:
            arguments['page'] = 'elsewhere'  # one page shows all cameras
        actions.append(IncludeLaunchDescription(source, launch_arguments=arguments.items()))
    return actions


def generate_launch_description() -> LaunchDescription:
    """Give launch the arguments and what to do with them."""
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=start_nodes)])
