# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""segment.launch.py reads as documentation and starts the node with what it was given."""

import pytest

pytest.importorskip('rclpy', reason='needs rclpy')
# Not `launch`: this repository has a folder of that name, which Python takes for a package.
pytest.importorskip('launch_ros', reason='needs launch_ros, which has no wheel')

from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.utilities import perform_substitutions
from launch_ros.actions import LifecycleNode
from robot import ROOT

from launch import LaunchContext

FILE = ROOT / 'launch' / 'segment.launch.py'


def description():
    return PythonLaunchDescriptionSource(str(FILE)).get_launch_description(LaunchContext())


def started(monkeypatch: pytest.MonkeyPatch, **arguments: str):
    """Give what the launch file would start, and the environment it sets for it."""
    monkeypatch.delenv('FASTRTPS_DEFAULT_PROFILES_FILE', raising=False)
    context = LaunchContext()
    context.launch_configurations.update(arguments)
    actions = []
    for entity in description().entities:
        actions += entity.visit(context) or []
    for action in actions:
        if not isinstance(action, LifecycleNode) and 'Process' not in type(action).__name__:
            action.visit(context)
    return actions, context


def test_every_argument_has_a_description_and_a_default() -> None:
    arguments = description().get_launch_arguments()
    names = {argument.name for argument in arguments}
    assert names >= {'image', 'init_mask', 'namespace', 'name', 'params_file', 'model', 'bag'}
    for argument in arguments:
        assert len(argument.description) > 8
        assert argument.default_value is not None


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


def test_it_starts_one_lifecycle_node_and_plays_a_bag(monkeypatch: pytest.MonkeyPatch) -> None:
    actions, context = started(monkeypatch, bag='some.mcap')
    nodes = [action for action in actions if isinstance(action, LifecycleNode)]
    assert [node.node_package for node in nodes] == ['vos_ros']
    bag = [a for a in actions if 'Process' in type(a).__name__]
    words = [perform_substitutions(context, word) for word in bag[0].cmd]
    assert words == ['ros2', 'bag', 'play', 'some.mcap', '--clock']
