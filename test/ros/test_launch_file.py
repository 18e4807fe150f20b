# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The launch files read as documentation and start nodes with what they were given."""

from collections.abc import Iterator
from contextlib import contextmanager
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

import cv2
from launch.actions import ExecuteProcess, LogInfo
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.utilities import perform_substitutions
from launch_ros.actions import LifecycleNode, Node
from lifecycle_msgs.msg import Transition
from robot import image_msg, MASK, PATIENCE_S, ROOT, SCENE, to_array
from sensor_msgs.msg import Image

from launch import LaunchContext

FOLDER = ROOT / 'launch'
FAST_DDS = (
    'FASTRTPS_DEFAULT_PROFILES_FILE',
    'FASTDDS_DEFAULT_PROFILES_FILE',
    'FASTDDS_BUILTIN_TRANSPORTS',
)


def description(name: str = 'segment'):
    source = PythonLaunchDescriptionSource(str(FOLDER / f'{name}.launch.py'))
    return source.get_launch_description(LaunchContext())


def visit_all(entities, context: LaunchContext) -> list:
    """Visit as launch does, depth first, and give all actions; nothing is executed."""
    found = []
    for entity in entities:
        if isinstance(entity, LifecycleNode) or type(entity).__name__ == 'PlayWhenActive':
            found.append(entity)
        else:
            found += visit_all(entity.visit(context) or [], context)
    return found


def started(monkeypatch: pytest.MonkeyPatch, file: str = 'segment', /, **arguments: str):
    """Give the processes that the launch file would start, and the context that it made."""
    context = LaunchContext()
    context.launch_configurations.update(arguments)
    return visit_all(description(file).entities, context), context


def names_of(name: str) -> set[str]:
    return {argument.name for argument in description(name).get_launch_arguments()}


@pytest.mark.parametrize('name', ['segment', 'multi_camera', 'objects_3d'])
def test_every_argument_has_a_description_and_a_default(name: str) -> None:
    for argument in description(name).get_launch_arguments():
        assert len(argument.description) > 8
        assert argument.default_value is not None


def test_every_argument_that_the_interface_promises_is_there() -> None:
    promised = (
        'image init_mask init_mask_file init_boxes init_points init_click remove_objects '
        'namespace name params_file '
        'model backend precision max_objects image_transport image_qos overlay autostart bag '
        'use_sim_time objects_3d depth camera_info page rviz log_level respawn'
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


def told(monkeypatch: pytest.MonkeyPatch, file: str, *argv: str) -> list[str]:
    """Give what the launch file and those that it includes log, started with these arguments."""
    said: list[str] = []
    monkeypatch.setattr(
        LogInfo,
        'execute',
        lambda self, context: said.append(perform_substitutions(context, self.msg)),
    )
    context = LaunchContext(argv=argv)
    context.launch_configurations.update(text.split(':=', 1) for text in argv)
    visit_all(description(file).entities, context)
    return [line for line in said if 'launch argument' in line]


@pytest.mark.parametrize(
    ('file', 'typo', 'meant', 'times'),
    [
        ('segment', 'imge', 'image', 1),
        ('objects_3d', 'lables', 'labels', 1),
        ('multi_camera', 'camras', 'cameras', 1),
        ('multi_camera', 'init_maks', 'init_mask', 2),
    ],
)
def test_an_argument_that_is_misspelt_is_named(
    monkeypatch: pytest.MonkeyPatch, file: str, typo: str, meant: str, times: int
) -> None:
    monkeypatch.setattr(Node, 'execute', lambda self, context: [])
    assert told(monkeypatch, file, f'{typo}:=x') == times * [
        f"launch argument '{typo}' does not exist and is ignored; did you mean '{meant}'?"
    ]


@pytest.mark.parametrize('file', ['segment', 'objects_3d', 'multi_camera'])
def test_arguments_that_there_are_and_others_pass(
    monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    monkeypatch.setattr(Node, 'execute', lambda self, context: [])
    own = [
        f'{a.name}:={a.default_value and a.default_value[0].text}'
        for a in description(file).get_launch_arguments()
    ]
    assert told(monkeypatch, file, *own, 'arm:=left', 'my_params:=x') == []


def environment_of_node(
    monkeypatch: pytest.MonkeyPatch, name: str = 'segment', **variables: str
) -> dict[str, str]:
    """Give what the launch file adds to the environment of its node, started with these."""
    for variable in (*FAST_DDS, 'CYCLONEDDS_URI', 'RMW_IMPLEMENTATION'):
        monkeypatch.delenv(variable, raising=False)
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    before = dict(os.environ)
    nodes, context = started(monkeypatch, name)
    # A launch file that includes this one keeps its environment.
    assert {k: v for k, v in context.environment.items() if before.get(k) != v} == {}
    added = nodes[0].additional_env or []
    added = added.items() if isinstance(added, dict) else added
    return {
        perform_substitutions(context, [*key]): perform_substitutions(context, [*value])
        for key, value in added
    }


@pytest.mark.parametrize('name', ['segment', 'multi_camera'])
def test_the_shipped_dds_profile_is_set_for_the_node_alone(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    profile = str(ROOT / 'config' / 'fastdds_large_images.xml')
    assert environment_of_node(monkeypatch, name) == {
        'FASTRTPS_DEFAULT_PROFILES_FILE': profile,
        'FASTDDS_DEFAULT_PROFILES_FILE': profile,
    }


@pytest.mark.parametrize('variable', FAST_DDS)
def test_what_a_user_has_set_for_fast_dds_stays_alone(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    # With both, the node would not hear a camera that has LARGE_DATA only.
    assert environment_of_node(monkeypatch, **{variable: 'LARGE_DATA'}) == {}


def test_cyclone_dds_gets_its_own_file(monkeypatch: pytest.MonkeyPatch) -> None:
    config = ROOT / 'config' / 'cyclonedds_large_images.xml'
    cyclone = {'RMW_IMPLEMENTATION': 'rmw_cyclonedds_cpp'}
    assert environment_of_node(monkeypatch, **cyclone) == {'CYCLONEDDS_URI': f'file://{config}'}
    mine = {**cyclone, 'CYCLONEDDS_URI': 'file:///mine.xml'}
    assert environment_of_node(monkeypatch, **mine) == {}


def test_another_middleware_gets_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert environment_of_node(monkeypatch, RMW_IMPLEMENTATION='rmw_zenoh_cpp') == {}


def nodes_made(monkeypatch: pytest.MonkeyPatch, **arguments: str) -> list[dict]:
    made: list[dict] = []
    monkeypatch.setattr(
        LifecycleNode,
        '__init__',
        lambda self, **given: made.append(given) or ExecuteProcess.__init__(self, cmd=['true']),
    )
    started(monkeypatch, **arguments)
    return made


@pytest.mark.parametrize(
    ('arguments', 'expected'),
    [({}, None), ({'use_sim_time': 'true'}, True), ({'use_sim_time': 'false'}, False)],
    ids=['not given', 'true', 'false'],
)
def test_use_sim_time_is_left_to_the_file_unless_it_is_given(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    arguments: dict[str, str],
    expected: bool | None,
) -> None:
    mine = tmp_path / 'mine.yaml'
    mine.touch()
    (node,) = nodes_made(monkeypatch, params_file=str(mine), **arguments)
    overrides = node['parameters'][1:]
    assert node['parameters'][0] == str(mine)
    assert overrides == ([] if expected is None else [{'use_sim_time': expected}])


def test_every_topic_can_be_remapped(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {'image': 'a', 'init_mask': 'b', 'init_boxes': 'c', 'remove_objects': 'd'}
    given |= {'init_points': 'e', 'init_click': 'f'}
    (node,) = nodes_made(monkeypatch, **given)
    compressed = {'image/compressed': 'a/compressed', 'init_mask/compressed': 'b/compressed'}
    assert dict(node['remappings']) == {**given, **compressed}


def test_objects_3d_is_started_beside_the_segmenter_with_its_labels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[dict] = []
    monkeypatch.setattr(
        Node,
        '__init__',
        lambda self, **given: made.append(given) or ExecuteProcess.__init__(self, cmd=['true']),
    )
    given = {'name': 'seg', 'namespace': 'arm', 'objects_3d': 'true', 'use_sim_time': 'true'}
    monkeypatch.setattr(Node, 'execute', lambda self, context: [])
    nodes_made(monkeypatch, **given, depth='d', camera_info='i')
    (node,) = [each for each in made if each['executable'] == 'objects_3d']
    assert dict(node['remappings']) == {
        'depth': 'd',
        'camera_info': 'i',
        'vos/labels': 'seg/labels',
    }
    assert node['namespace'] == 'arm'
    assert node['parameters'][1:] == [{'use_sim_time': True}]
    made.clear()
    nodes_made(monkeypatch)
    assert [each for each in made if each['executable'] == 'objects_3d'] == []


def test_objects_3d_alone_takes_the_labels_that_it_is_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[dict] = []
    monkeypatch.setattr(
        Node,
        '__init__',
        lambda self, **given: made.append(given) or ExecuteProcess.__init__(self, cmd=['true']),
    )
    monkeypatch.setattr(Node, 'execute', lambda self, context: [])
    started(monkeypatch, 'objects_3d', labels='front/labels', distortion='none')
    assert dict(made[0]['remappings'])['vos/labels'] == 'front/labels'
    assert made[0]['parameters'][1:] == [{'distortion': 'none'}]


def bags_of(actions: list) -> list[list[str]]:
    return [action.cmd for action in actions if not isinstance(action, LifecycleNode)]


@pytest.fixture
def ros2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a `ros2` on the PATH that says what it was asked for; gives its file."""
    script = tmp_path / 'bin' / 'ros2'
    script.parent.mkdir()
    script.write_text('#!/bin/sh\necho "played: $*"\n')
    script.chmod(0o755)
    monkeypatch.setenv('PATH', f'{script.parent}:{os.environ["PATH"]}')
    return script


@pytest.fixture
def bag(tmp_path: Path) -> str:
    path = tmp_path / 'some.mcap'
    path.touch()
    return str(path)


def test_it_starts_one_lifecycle_node_and_plays_a_bag(
    monkeypatch: pytest.MonkeyPatch, ros2: Path, bag: str
) -> None:
    actions, _ = started(monkeypatch, bag=bag)
    nodes = [action for action in actions if isinstance(action, LifecycleNode)]
    assert [node.node_package for node in nodes] == ['vos_ros']
    assert bags_of(actions) == [['ros2', 'bag', 'play', bag, '--clock']]


def test_a_bag_that_cannot_be_played_ends_it_before_a_node_starts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ros2: Path
) -> None:
    with pytest.raises(RuntimeError, match="bag:='nowhere' is neither"):
        started(monkeypatch, bag='nowhere')
    monkeypatch.setenv('PATH', str(tmp_path))
    with pytest.raises(RuntimeError, match=r'needs the command ros2: apt install .*ros2bag'):
        started(monkeypatch, bag='nowhere')


@pytest.mark.parametrize('name', ['segment', 'multi_camera', 'objects_3d'])
def test_a_params_file_that_is_not_there_is_an_error(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    with pytest.raises(RuntimeError, match=r"params_file:='~/nowhere\.yaml' is no file"):
        started(monkeypatch, name, params_file='~/nowhere.yaml')


def test_each_camera_gets_a_node_in_its_namespace(
    monkeypatch: pytest.MonkeyPatch, ros2: Path, bag: str
) -> None:
    made = []
    monkeypatch.setattr(
        LifecycleNode,
        '__init__',
        lambda self, **given: made.append(given) or ExecuteProcess.__init__(self, cmd=['true']),
    )
    actions, _ = started(
        monkeypatch, 'multi_camera', cameras='front, left rear', image='rgb', bag=bag
    )
    assert [node['namespace'] for node in made] == ['front', 'left', 'rear']
    assert {dict(node['remappings'])['image'] for node in made} == {'rgb'}
    assert all(node['parameters'][1]['use_sim_time'] for node in made)
    assert bags_of(actions) == [['ros2', 'bag', 'play', bag, '--clock']]


@pytest.mark.parametrize('cameras', ['', 'left left'])
def test_cameras_must_have_names_of_their_own(monkeypatch, cameras: str) -> None:
    with pytest.raises(RuntimeError, match='must name each camera once'):
        started(monkeypatch, 'multi_camera', cameras=cameras)


def test_two_cameras_run_and_a_killed_node_is_started_again(client, tmp_path: Path) -> None:
    given = {'cameras': 'left right', 'model': str(ROOT / 'test/data/tiny'), 'respawn': 'true'}
    with launched(tmp_path, 'multi_camera', given) as log:
        labels = {}
        for camera in ('left', 'right'):
            labels[camera] = client.listen(Image, f'/{camera}/vos/labels')
            images = client.publisher(Image, f'/{camera}/image')
            client.wait(lambda c=camera, i=images: answered(client, labels[c], i), 'labels')
        assert len(pids_in(log)) == 2
        os.kill(pids_in(log)[1], signal.SIGKILL)
        client.wait(lambda: len(pids_in(log)) == 3, 'the restart')
        labels['right'].clear()
        client.wait(lambda: answered(client, labels['right'], images), 'labels')


def test_a_mask_file_is_not_put_on_an_image_after_a_crash(client, tmp_path: Path) -> None:
    mask = tmp_path / 'mask.png'
    cv2.imwrite(str(mask), MASK)
    params = tmp_path / 'params.yaml'
    params.write_text(f"/**:\n  ros__parameters:\n    init: {{mask_file: '{mask}'}}\n")
    given = {
        'name': 'masked',
        'model': str(ROOT / 'test/data/tiny'),
        'respawn': 'true',
        'params_file': str(params),
    }
    with launched(tmp_path, 'segment', given) as log:
        labels = client.listen(Image, '/masked/labels')
        images = client.publisher(Image, '/image')
        client.wait(lambda: answered(client, labels, images), 'labels')
        client.wait(lambda: 'objects [1, 4] are followed now' in log.read_text(), 'the objects')
        for times in (2, 3):
            os.kill(pids_in(log)[-1], signal.SIGKILL)
            client.wait(lambda n=times: len(pids_in(log)) == n, 'the restart')
            labels.clear()
            client.wait(lambda: answered(client, labels, images), 'labels')
            assert not to_array(labels[-1]).any()
    assert log.read_text().count('objects [1, 4] are followed now') == 1


def test_a_player_that_fails_ends_the_launch_with_its_reason(
    client, tmp_path: Path, ros2: Path, bag: str
) -> None:
    ros2.write_text('#!/bin/sh\necho "invalid choice: $1"; exit 2\n')
    given = {'model': str(ROOT / 'test/data/tiny'), 'bag': bag, 'name': 'unplayed'}
    with launched(tmp_path, 'segment', given, status=1) as log:
        client.wait(lambda: 'ended with exit code 2' in log.read_text(), 'the reason')
    assert 'invalid choice: bag' in log.read_text()


def test_a_bag_is_played_when_the_node_is_active_and_once(
    client, tmp_path: Path, ros2: Path, bag: str
) -> None:
    given = {'model': str(ROOT / 'test/data/tiny'), 'bag': bag, 'autostart': 'false'}
    with launched(tmp_path, 'segment', {**given, 'name': 'played'}) as log:
        client.wait(lambda: client.state('/played') == 'unconfigured', 'the node')
        assert client.change_state(Transition.TRANSITION_CONFIGURE, '/played')
        assert 'played: ' not in log.read_text()
        assert client.change_state(Transition.TRANSITION_ACTIVATE, '/played')
        client.wait(lambda: f'played: bag play {bag} --clock' in log.read_text(), 'the bag')
        assert client.change_state(Transition.TRANSITION_DEACTIVATE, '/played')
        assert client.change_state(Transition.TRANSITION_ACTIVATE, '/played')
    assert log.read_text().count('played: ') == 1


def pids_in(log: Path) -> list[int]:
    """Give all processes that a launch has started so far."""
    return [int(pid) for pid in re.findall(r'process started with pid \[(\d+)\]', log.read_text())]


@contextmanager
def launched(folder: Path, name: str, given: dict[str, str], status: int = 0) -> Iterator[Path]:
    """
    Launch a file in a process of its own, as `ros2 launch` does; gives its log.

    :param status: exit code; where it is not 0, the launch ends by itself.
    """
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
    log = folder / 'log.txt'
    path = f'{folder / "bin"}:{Path(sys.executable).parent}:{os.environ["PATH"]}'
    with log.open('wb') as sink:
        process = subprocess.Popen(
            [sys.executable, '-c', code, str(FOLDER / f'{name}.launch.py')]
            + [f'{key}:={value}' for key, value in given.items()],
            stdout=sink,
            stderr=subprocess.STDOUT,
            cwd=folder,  # the folder `launch` of the repository would hide the package
            # What `ros2 run` starts is a script: it takes the first python3 that it finds.
            env=os.environ | {'PATH': path},
        )
    try:
        yield log
    finally:
        if not status:
            process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == status, log.read_text()


def answered(client, labels: list, images) -> bool:
    images.publish(image_msg(SCENE, 'rgb8', client.next_stamp()))
    return bool(labels)
