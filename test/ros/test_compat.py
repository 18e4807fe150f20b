# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Names of rclpy: those that the package imports exist in every distribution that is alive.

`rclpy_names.json` is made by `list_rclpy.py`; it says what was read and when.
"""

import ast
from collections.abc import Iterator
import json
from pathlib import Path
import re
import subprocess
import sys

import pytest

import vos_ros

PACKAGE = Path(vos_ros.__file__).parent
COMPAT = PACKAGE / 'ros' / 'compat.py'
NAMES = {
    name: {module: set(found.split()) for module, found in known['modules'].items()}
    for name, known in json.loads(Path(__file__).with_name('rclpy_names.json').read_text()).items()
}
DISTRIBUTIONS = ('humble', 'jazzy', 'kilted', 'rolling')
#: A private attribute of anything but self and cls.
PRIVATE = re.compile(r"\b(?!self\b|cls\b|super\b)\w+\._(?!_)\w+|getattr\([^)]*'_")


def imports(path: Path) -> Iterator[tuple[int, str, str]]:
    """Yield line, module and name of everything that a file takes from rclpy."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or '').split('.')[0] == 'rclpy':
            for alias in node.names:
                yield node.lineno, node.module, alias.name
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split('.')[0] == 'rclpy':
                    yield node.lineno, alias.name, ''


def test_the_lists_are_of_all_that_are_alive():
    assert sorted(NAMES) == sorted(DISTRIBUTIONS)
    for name in DISTRIBUTIONS:
        assert len(NAMES[name]) > 30, name
        assert 'WaitSet.add_subscription' in NAMES[name]['rclpy.impl._rclpy_pybind11']


@pytest.mark.parametrize('distribution', DISTRIBUTIONS)
def test_every_imported_name_exists(distribution):
    known = NAMES[distribution]
    files = [path for path in PACKAGE.rglob('*.py') if path != COMPAT]
    missing = [
        f'{path.relative_to(PACKAGE)}:{line}: {module} {name}'
        for path in files
        for line, module, name in imports(path)
        if module not in known or (name and name not in known[module])
    ]
    assert sum(1 for path in files for _ in imports(path)) > 20
    assert missing == []


@pytest.mark.parametrize('distribution', DISTRIBUTIONS)
def test_what_compat_wants_is_there_by_one_name_or_the_other(distribution):
    known = NAMES[distribution]
    for wanted in (
        'PublisherEventCallbacks',
        'SubscriptionEventCallbacks',
        'UnsupportedEventTypeError',
    ):
        homes = [
            m for m in ('rclpy.event_handler', 'rclpy.qos_event') if wanted in known.get(m, ())
        ]
        assert homes, wanted
    assert 'rclpy_implementation' in known['rclpy.impl.implementation_singleton']
    assert 'Node._parameter_overrides' in known['rclpy.node']
    assert 'LifecycleNodeMixin._service_change_state' in known['rclpy.lifecycle.node']
    for member in ('event_handlers', 'handle', 'msg_type', 'raw', 'callback', 'qos_profile'):
        assert f'Subscription.{member}' in known['rclpy.subscription']
    native = known['rclpy.impl._rclpy_pybind11']
    for name in (
        'WaitSet.add_guard_condition',
        'WaitSet.add_subscription',
        'WaitSet.clear_entities',
        'WaitSet.get_ready_entities',
        'WaitSet.wait',
        'Subscription.take_message',
        'Subscription.pointer',
    ):
        assert name in native, name
    events = {**known, **{'': set()}}.get(
        'rclpy.event_handler', known.get('rclpy.qos_event', set())
    )
    for member in ('add_to_wait_set', 'is_ready', 'take_data', 'callback'):
        assert any(n.endswith(f'EventHandler.{member}') for n in events), member


def test_private_names_stand_in_one_file():
    found = []
    for path in [*(PACKAGE / 'ros').glob('*.py'), *(PACKAGE / 'harness').glob('*.py')]:
        if path == COMPAT:
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if PRIVATE.search(line) and 'os._exit' not in line:
                found.append(f'{path.relative_to(PACKAGE)}:{number}: {line.strip()}')
    assert found == []


def test_the_node_imports_where_events_have_their_old_home():
    """As on Humble: no rclpy.event_handler, the same names in rclpy.qos_event."""
    pytest.importorskip('rclpy', reason='needs rclpy')
    code = """
import sys, types
import rclpy.event_handler as new
import rclpy.lifecycle  # rclpy itself wants it too
old = types.ModuleType('rclpy.qos_event')
for name in ('PublisherEventCallbacks', 'SubscriptionEventCallbacks', 'UnsupportedEventTypeError'):
    setattr(old, name, getattr(new, name))
sys.modules['rclpy.event_handler'] = None  # importing it fails from now on
sys.modules['rclpy.qos_event'] = old
import vos_ros.ros.vos_node
from vos_ros.ros import compat
assert compat.SubscriptionEventCallbacks is old.SubscriptionEventCallbacks
print('imported')
"""
    done = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.strip() == 'imported', done.stderr
