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
import shutil
from threading import Event

from ament_index_python.packages import get_package_prefix, PackageNotFoundError
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    LogInfo,
    OpaqueFunction,
    TimerAction,
)
from launch.events.process import ProcessExited
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode, Node
from launch_ros.ros_adapters import get_ros_node
from lifecycle_msgs.msg import State
from lifecycle_msgs.srv import GetState

from launch import Action, LaunchContext, LaunchDescription
from vos_ros.config import NodeConfig, RuntimeConfig, settings
from vos_ros.ros.parameters import misspelt

#: Installed as share/vos_ros/launch/; this also works from a source tree.
SHARE = Path(__file__).resolve().parent.parent
FROM_FILE = 'as in params_file'
FLAG = ['true', 'false']
#: Who has set one of these has decided how Fast DDS sends images; camera and node must agree.
#: Fast DDS 2 reads the first of them, Fast DDS 3 the second (Kilted's the first, too).
FAST_DDS = (
    'FASTRTPS_DEFAULT_PROFILES_FILE',
    'FASTDDS_DEFAULT_PROFILES_FILE',
    'FASTDDS_BUILTIN_TRANSPORTS',
)

BAG_HINT = 'apt install ros-$ROS_DISTRO-ros2bag ros-$ROS_DISTRO-rosbag2-storage-default-plugins'
RESPAWN_DELAY_S = 2.0


def choices(parameter: str) -> tuple:
    """Look up what a parameter may be: the config dataclasses are the only home of that."""
    known = (*settings(RuntimeConfig), *settings(NodeConfig))
    return next(item.metadata['choices'] for name, item in known if name == parameter)


ARGUMENTS = [
    DeclareLaunchArgument('image', default_value='image', description='camera topic, raw images'),
    DeclareLaunchArgument(
        'init_mask',
        default_value='init_mask',
        description='topic of the masks to start from; also <init_mask>/compressed',
    ),
    DeclareLaunchArgument(
        'init_boxes',
        default_value='init_boxes',
        description='topic of the boxes to start from, where vision_msgs is installed',
    ),
    DeclareLaunchArgument(
        'init_points',
        default_value='init_points',
        description='topic of the points to start from (geometry_msgs/PointStamped)',
    ),
    DeclareLaunchArgument(
        'init_click',
        default_value='init_click',
        description='topic of clicks (geometry_msgs/Point): <image>_mouse_left of rqt_image_view',
    ),
    DeclareLaunchArgument(
        'remove_objects',
        default_value='remove_objects',
        description='topic of the ids to forget',
    ),
    DeclareLaunchArgument(
        'init_mask_file',
        default_value=FROM_FILE,
        description='PNG with an id per pixel, applied to the first frame, not after a crash',
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
        description='bag to play with --clock once the node is active; sets use_sim_time',
    ),
    DeclareLaunchArgument(
        'use_sim_time',
        default_value=FROM_FILE,
        choices=[FROM_FILE, *FLAG],
        description='time comes from /clock',
    ),
    DeclareLaunchArgument(
        'objects_3d',
        default_value='false',
        choices=FLAG,
        description='start objects_3d too, which places the objects in space by a depth image',
    ),
    DeclareLaunchArgument(
        'depth',
        default_value='depth',
        description='for objects_3d: topic of the depth image, registered to the camera',
    ),
    DeclareLaunchArgument(
        'camera_info',
        default_value='camera_info',
        description='for objects_3d: topic of the camera_info of the depth image',
    ),
    DeclareLaunchArgument(
        'page',
        default_value='false',
        choices=[*FLAG, 'elsewhere'],
        description='serve the page that paints masks, http://127.0.0.1:8420; elsewhere = another '
        'launch file does, keep images for it',
    ),
    DeclareLaunchArgument(
        'rviz',
        default_value='false',
        choices=FLAG,
        description='open RViz with the picture of the objects, and their places with objects_3d',
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
# Who paints a mask takes seconds: so long its image is kept, and after that it is still taken.
FOR_PAINTING = {'init.buffer_frames': 256, 'init.buffer_mib': 512.0, 'init.max_late_s': 120.0}
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
    'use_sim_time': 'use_sim_time',
}


def typed(parameter: str, text: str) -> object:
    """Read an argument as the type that its parameter has; the node refuses what does not fit."""
    if parameter == 'max_objects' and text.lstrip('-').isdigit():
        return int(text)
    return text == 'true' if text in FLAG else text


def check_bag(bag: str) -> None:
    """Refuse what could not be played, before anything is started."""
    if shutil.which('ros2') is None:
        raise RuntimeError(f'bag:= needs the command ros2: {BAG_HINT}')
    if not Path(bag).exists():
        raise RuntimeError(f"bag:='{bag}' is neither a folder nor a file")


def check_player(event: ProcessExited, context: LaunchContext) -> None:
    """End the launch where the bag could not be played; a node that waits for it would wait on."""
    if event.returncode and not context.is_shutdown:
        raise RuntimeError(
            f'ros2 bag play ended with exit code {event.returncode}, its own line is above; if it '
            f'has no verb bag, or no plugin for this bag: {BAG_HINT}'
        )


class PlayWhenActive(Action):
    """
    Play a bag, once, as soon as the node is active.

    Loading a model takes seconds, in which the first images would be lost, and the one that a mask
    was drawn on with them. The node is asked for its state again and again, for its transition
    events do not arrive while DDS has not made both sides known to each other.
    """

    PERIOD_S = 0.5

    def __init__(self, node: LifecycleNode, bag: str) -> None:
        """
        Prepare it.

        :param node: to wait for; must be executed first.
        :param bag: folder or file.
        """
        super().__init__()
        self.cmd = ['ros2', 'bag', 'play', bag, '--clock']
        self._node = node
        self._is_active = Event()

    def execute(self, context: LaunchContext) -> list:
        """Begin to ask."""
        service = f'{self._node.node_name}/get_state'
        self._client = get_ros_node(context).create_client(GetState, service)
        return self._ask(context)

    def _ask(self, _context: LaunchContext) -> list:
        if self._is_active.is_set():
            return [ExecuteProcess(cmd=self.cmd, output='screen', on_exit=check_player)]
        if self._client.service_is_ready():
            self._client.call_async(GetState.Request()).add_done_callback(self._on_answer)
        return [TimerAction(period=self.PERIOD_S, actions=[OpaqueFunction(function=self._ask)])]

    def _on_answer(self, future) -> None:
        if future.result().current_state.id == State.PRIMARY_STATE_ACTIVE:
            self._is_active.set()


def middleware() -> tuple[list, dict]:
    """
    Let large images through to the node, unless somebody has decided about that.

    :return: what to log, and variables of the node alone: a launch file that includes this one
        keeps its own.
    """
    rmw = os.environ.get('RMW_IMPLEMENTATION', '') or 'rmw_fastrtps_cpp'
    if 'fastrtps' in rmw and not any(os.environ.get(name) for name in FAST_DDS):
        # Fast DDS 3 reads both variables, and complains of a file that is a link (colcon build
        # --symlink-install): it takes that for a second one.
        profile = str((SHARE / 'config' / 'fastdds_large_images.xml').resolve())
        variables = {name: profile for name in FAST_DDS if name.endswith('_FILE')}
        what = 'Fast DDS: 16 MiB of shared memory for images.'
    elif 'cyclonedds' in rmw and not os.environ.get('CYCLONEDDS_URI'):
        variables = {
            'CYCLONEDDS_URI': f'file://{SHARE / "config" / "cyclonedds_large_images.xml"}'
        }
        what = (
            'Cyclone DDS: a receive buffer of up to 16 MiB; the kernel must allow it (vos doctor).'
        )
    else:
        return [], {}
    same = ' '.join(f'{name}={value}' for name, value in variables.items())
    return [LogInfo(msg=f'{what} The camera driver needs the same: export {same}')], variables


def start_node(context: LaunchContext) -> list:
    """Make the actions once the arguments are known."""
    given = {a.name: LaunchConfiguration(a.name).perform(context) for a in ARGUMENTS}
    overrides = {
        parameter: typed(parameter, given[argument])
        for argument, parameter in OVERRIDES.items()
        if given[argument] != FROM_FILE
    }
    if given['bag']:
        check_bag(given['bag'])
        overrides['use_sim_time'] = True
    if given['page'] != 'false':
        overrides |= FOR_PAINTING
    actions, environment = middleware()
    actions += [LogInfo(msg=line) for line in misspelt(context.argv, given)]
    params_file = existing(given['params_file'])

    def segmenter(overrides: dict, **more: object) -> LifecycleNode:
        return segmenter_node(given, [params_file, overrides], environment, **more)

    def start_again(_event: ProcessExited, context: LaunchContext) -> list:
        # What is in front of the camera now is not what the mask was painted on.
        if context.is_shutdown:
            return []
        again = segmenter(
            {**overrides, 'init.mask_file': ''}, respawn=True, respawn_delay=RESPAWN_DELAY_S
        )
        return [TimerAction(period=RESPAWN_DELAY_S, actions=[again])]

    node = segmenter(overrides, on_exit=start_again if given['respawn'] == 'true' else None)
    actions.append(node)
    if given['objects_3d'] == 'true':
        actions.append(in_space(given, overrides.get('use_sim_time')))
    if given['page'] == 'true':
        actions.append(Node(package='vos_ros', executable='prompt_page', output='screen'))
    if given['rviz'] == 'true':
        actions.append(viewer(given))
    # After the node, whose full name is known only then.
    return [*actions, *([PlayWhenActive(node, given['bag'])] if given['bag'] else [])]


def existing(params_file: str) -> str:
    """Check the file of parameters: rcl would take one that is missing for an empty one."""
    path = Path(params_file).expanduser()
    if not path.is_file():
        raise RuntimeError(f"params_file:='{params_file}' is no file")
    return str(path)


def segmenter_node(
    given: dict, parameters: list, environment: dict, **more: object
) -> LifecycleNode:
    """Make the segmenter, with what the arguments say."""
    return LifecycleNode(
        package='vos_ros',
        executable='segmenter',
        name=given['name'],
        namespace=given['namespace'],
        parameters=[each for each in parameters if each],
        remappings=[
            ('image', given['image']),
            ('image/compressed', given['image'].removesuffix('/compressed') + '/compressed'),
            ('init_mask', given['init_mask']),
            (
                'init_mask/compressed',
                given['init_mask'].removesuffix('/compressed') + '/compressed',
            ),
            ('init_boxes', given['init_boxes']),
            ('init_points', given['init_points']),
            ('init_click', given['init_click']),
            ('remove_objects', given['remove_objects']),
        ],
        arguments=['--ros-args', '--log-level', given['log_level']],
        additional_env=environment,
        output='screen',
        **more,
    )


def in_space(given: dict, use_sim_time: object) -> Node:
    """Make objects_3d, for the labels of the segmenter beside it."""
    parameters = [str(SHARE / 'config' / 'objects_3d.yaml')]
    return Node(
        package='vos_ros',
        executable='objects_3d',
        name='objects_3d',
        namespace=given['namespace'],
        parameters=parameters
        if use_sim_time is None
        else [*parameters, {'use_sim_time': use_sim_time}],
        remappings=[
            ('depth', given['depth']),
            ('camera_info', given['camera_info']),
            ('vos/labels', f'{given["name"]}/labels'),
        ],
        arguments=['--ros-args', '--log-level', given['log_level']],
        output='screen',
        respawn=given['respawn'] == 'true',
        respawn_delay=RESPAWN_DELAY_S,
    )


def installed(package: str) -> str:
    """Give the name of a package that is installed; it is an error with what to do otherwise."""
    try:
        get_package_prefix(package)
    except PackageNotFoundError as error:
        apt = package.replace('_', '-')
        raise RuntimeError(
            f'{package} is not installed: sudo apt install ros-$ROS_DISTRO-{apt}'
        ) from error
    return package


def viewer(given: dict) -> Node:
    """Make RViz; what it shows has other names where the node has."""
    topics = ('overlay', 'overlay/compressed', 'confidence', 'class_labels', 'camera_info')
    return Node(
        package=installed('rviz2'),
        executable='rviz2',
        namespace=given['namespace'],
        arguments=['-d', str(SHARE / 'config' / 'vos.rviz')],
        remappings=[
            *((f'/vos/{topic}', f'{given["name"]}/{topic}') for topic in topics),
            ('/objects_3d/centers', 'objects_3d/centers'),
        ],
        output='log',
    )


def generate_launch_description() -> LaunchDescription:
    """Give launch the arguments and what to do with them."""
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=start_node)])
