# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""DDS of its own for this test run, node processes and a client in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
import os
from pathlib import Path
import random

import pytest

try:
    import rclpy
    from robot import Client, NodeProcess, Robot, ROOT
except ImportError:
    rclpy = None  # every module here then skips itself, with the reason


def pytest_collection_modifyitems(items: list) -> None:
    """Mark what is in this folder, so that `-m "not ros"` leaves it out."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.ros)


@pytest.fixture(scope='session')
def dds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep this run's DDS on this host and away from any other run's."""
    settings = {
        'ROS_DOMAIN_ID': str(random.SystemRandom().randint(1, 100)),
        'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
        'ROS_LOG_DIR': str(tmp_path_factory.mktemp('ros_log')),
        'ROS_PYTHON_CHECK_FIELDS': '1',
        # Fast DDS 2 reads the first, 3 the second.
        'FASTRTPS_DEFAULT_PROFILES_FILE': str(ROOT / 'config' / 'fastdds_large_images.xml'),
        'FASTDDS_DEFAULT_PROFILES_FILE': str(ROOT / 'config' / 'fastdds_large_images.xml'),
    }
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    rclpy.init()
    yield
    rclpy.try_shutdown()
    for name, value in before.items():
        if value is None:
            del os.environ[name]
        else:
            os.environ[name] = value


@pytest.fixture(scope='module')
def start_node(
    dds: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., NodeProcess]]:
    """Start segmenter processes; all of them end with the module."""
    started: list[NodeProcess] = []

    def start(*ros_args: str, **parameters: object) -> NodeProcess:
        if str(parameters.get('model', '')) == str(ROOT / 'test' / 'data' / 'tiny'):
            # It takes nearly the whole picture for the object. Where the object was away, that is
            # refused, and rightly so, but what these tests are about needs a mask.
            parameters.setdefault('redetect.enabled', False)
        log = tmp_path_factory.mktemp('node') / 'log.txt'
        started.append(NodeProcess(log, *ros_args, **parameters))
        return started[-1]

    start.nodes = started
    yield start
    for node in started:
        node.end()


@pytest.fixture
def robot(running: Robot) -> Iterator[Robot]:
    """Give the module's own `running` node without objects; it must still run afterwards."""
    assert running.reset().success
    yield running
    assert running.process.process.poll() is None, running.process.log


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Show what the nodes printed beside what failed."""
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        given = getattr(item, 'funcargs', {})
        starts = (given.get('start_node'), given.get('start_space'))
        for node in (node for start in starts for node in getattr(start, 'nodes', ())):
            asked = ' '.join(map(str, node.process.args[3:]))
            report.sections.append((f'node {asked}', node.log[-4000:]))


@pytest.fixture(scope='module')
def client(dds: None, request: pytest.FixtureRequest) -> Iterator[Client]:
    """Give the module its client."""
    name = request.module.__name__.rpartition('.')[2]
    made = Client(name)
    yield made
    made.close()
