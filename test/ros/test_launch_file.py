# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The launch files read as documentation and start nodes with what they were given."""

import os
from pathlib import Path
import re
import signal
import subprocess
import sys

import pytest

pytest.importorskip('rclpy', reason='needs rclpy')
# Not `launch`: this repository has a folder of that name, which Python takes for a package.
pytest.importorskip('launch_ros', reason='needs launch_ros, which has no wheel')

from launch.actions import ExecuteProcess
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.utilities import perform_substitutions
from launch_ros.actions import LifecycleNode
from robot import image_msg, ROOT, SCENE
from sensor_msgs.msg import Image

from launch import LaunchContext

FOLDER = ROOT / 'launch'


def description(name: str = 'segment'):
    source = PythonLaunchDescriptionSource(str(FOLDER / f'{name}.launch.py'))
    return source.get_launch_description(LaunchContext())


def visit_all(entities, context: LaunchContext) -> list:
    """Visit as launch does, depth first, and give all actions; nothing is executed."""
    found = []
    for entity in entities:
        if isinstance(entity, LifecycleNode) or 'Process' in type(entity).__name__:
            found.append(entity)
        else:
            found += visit_all(entity.visit(context) or [], context)
    return found


def started(monkeypatch: pytest.MonkeyPatch, name: str = 'segment', **arguments: str):
    """Give the processes that the launch file would start, and the context that it made."""
    monkeypatch.delenv('FASTRTPS_DEFAULT_PROFILES_FILE', raising=False)
    context = LaunchContext()
    context.launch_configurations.update(arguments)
    return visit_all(description(name).entities, context), context


def names_of(name: str) -> set[str]:
    return {argument.name for argument in description(name).get_launch_arguments()}


@pytest.mark.parametrize('name', ['segment', 'multi_camera'])
def test_every_argument_has_a_description_and_a_default(name: str) -> None:
    for argument in description(name).get_launch_arguments():
        assert len(argument.description) > 8
        assert argument.default_value is not None


def test_every_argument_that_the_interface_promises_is_there() -> None:
    promised = (
        'image init_mask init_mask_file namespace name params_file model backend precision '
        'max_objects image_transport image_qos overlay autostart bag use_sim_time log_level '
        'respawn'
    )
    assert names_of('segment') == set(promised.split())
    assert names_of('multi_camera') == {*promised.split(), 'cameras'} - {'namespace'}


def test_choices_of_arguments_are_those_of_the_parameters() -> None:
    from vos_ros.ros.parameters import all_settings

    arguments = {a.name: a for a in description().get_launch_arguments()}
    with_choices = [(n, f.metadata['choices']) for n, f in all_settings() if f.metadata['choices']]
    for name, choices in with_choices:
        if name in arguments:
            assert set(choices) < set(arguments[name].choices)


def test_the_shipped_dds_profile_is_set_for_the_node(monkeypatch: pytest.MonkeyPatch) -> None:
    _, context = started(monkeypatch)
    profile = context.environment['FASTRTPS_DEFAULT_PROFILES_FILE']
    assert profile == str(ROOT / 'config' / 'fastdds_large_images.xml')


def bags_of(actions: list, context: LaunchContext) -> list[list[str]]:
    return [
        [perform_substitutions(context, word) for word in action.cmd]
        for action in actions
        if not isinstance(action, LifecycleNode)
    ]


def test_it_starts_one_lifecycle_node_and_plays_a_bag(monkeypatch: pytest.MonkeyPatch) -> None:
    actions, context = started(monkeypatch, bag='some.mcap')
    nodes = [action for action in actions if isinstance(action, LifecycleNode)]
    assert [node.node_package for node in nodes] == ['vos_ros']
    assert bags_of(actions, context) == [['ros2', 'bag', 'play', 'some.mcap', '--clock']]


def test_each_camera_gets_a_node_in_its_namespace(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    monkeypatch.setattr(
        LifecycleNode,
        '__init__',
        lambda self, **given: made.append(given) or ExecuteProcess.__init__(self, cmd=['true']),
    )
    actions, context = started(
        monkeypatch, 'multi_camera', cameras='front, left rear', image='rgb', bag='some.mcap'
    )
    assert [node['namespace'] for node in made] == ['front', 'left', 'rear']
    assert {dict(node['remappings'])['image'] for node in made} == {'rgb'}
    assert all(node['parameters'][1]['use_sim_time'] for node in made)
    assert bags_of(actions, context) == [['ros2', 'bag', 'play', 'some.mcap', '--clock']]


@pytest.mark.parametrize('cameras', ['', 'left left'])
def test_cameras_must_have_names_of_their_own(monkeypatch, cameras: str) -> None:
    with pytest.raises(RuntimeError, match='must name each camera once'):
        started(monkeypatch, 'multi_camera', cameras=cameras)


def test_two_cameras_run_and_a_killed_node_is_started_again(client, tmp_path: Path) -> None:
    code = (
        'import sys; from launch import LaunchService, LaunchDescription\n'
        'from launch.actions import IncludeLaunchDescription as Include\n'
        'from launch.launch_description_sources import PythonLaunchDescriptionSource as Source\n'
        'service = LaunchService()\n'
        'arguments = [a.split(":=") for a in sys.argv[2:]]\n'
        'included = Include(Source(sys.argv[1]), launch_arguments=arguments)\n'
        'service.include_launch_description(LaunchDescription([included]))\n'
        'sys.exit(service.run())\n'
    )
    given = {'cameras': 'left right', 'model': str(ROOT / 'test/data/tiny'), 'respawn': 'true'}
    log = tmp_path / 'log.txt'
    with log.open('wb') as sink:
        launched = subprocess.Popen(
            [sys.executable, '-c', code, str(FOLDER / 'multi_camera.launch.py')]
            + [f'{name}:={value}' for name, value in given.items()],
            stdout=sink,
            stderr=subprocess.STDOUT,
            cwd=tmp_path,  # the folder `launch` of the repository would hide the package
            # What `ros2 run` starts is a script: it takes the first python3 that it finds.
            env=os.environ | {'PATH': f'{Path(sys.executable).parent}:{os.environ["PATH"]}'},
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
    try:
        labels = {}
        for camera in ('left', 'right'):
            labels[camera] = client.listen(Image, f'/{camera}/vos/labels')
            images = client.publisher(Image, f'/{camera}/image')
            client.wait(lambda c=camera, i=images: answered(client, labels[c], i), 'labels')
        pids = re.findall(r'process started with pid \[(\d+)\]', log.read_text())
        assert len(pids) == 2
        os.kill(int(pids[1]), signal.SIGKILL)
        client.wait(lambda: log.read_text().count('process started with pid') == 3, 'the restart')
        labels['right'].clear()
        client.wait(lambda: answered(client, labels['right'], images), 'labels')
    finally:
        launched.send_signal(signal.SIGINT)
        assert launched.wait(60) == 0, log.read_text()


def answered(client, labels: list, images) -> bool:
    images.publish(image_msg(SCENE, 'rgb8', client.next_stamp()))
    return bool(labels)
