# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Imports point down only, and the core needs neither ROS nor torch."""

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path
import subprocess
import sys

import pytest

_ROOT = Path(__file__).resolve().parents[1]
_PACKAGE = _ROOT / 'vos_ros'

# The rooms, each a folder or a module on top. A room may import itself and the rows above its own.
# The package's own __init__ holds only the version.
_LAYERS: tuple[tuple[str, ...], ...] = (
    ('errors', 'interrupts'),
    ('datatypes', 'config', 'latency'),
    ('budget',),
    ('formats', 'backends'),
    ('engine', 'sequences', 'space'),
    ('stream',),
    ('evaluation', 'ros'),
    ('bag', 'page'),
    ('harness',),
    ('demo',),
    ('commands',),
)
_LAYER_OF = {room: layer for layer, rooms in enumerate(_LAYERS) for room in rooms}
# What the harness starts as processes of their own, beside the node.
_PROCESSES = (
    'harness/player.py',
    'harness/recorder.py',
    'harness/depth_player.py',
    'harness/space_recorder.py',
)
# The only places that may import a heavy or optional package.
_OWNERS = {
    'rclpy': ('ros', 'page/node.py', *_PROCESSES),
    'sensor_msgs': ('ros', 'page/node.py', *_PROCESSES),
    'geometry_msgs': ('ros',),
    'onnxruntime': ('backends/onnx_backend.py',),
    'openvino': ('backends/openvino_backend.py',),
    'torch': (),
    'cv_bridge': (),
    'aiohttp': ('page/server.py',),
    'rosbags': ('bag',),
    # Threads belong to the worker, the node and the page; engine and pipeline compute.
    'threading': (
        'stream/backlog.py',
        'stream/worker.py',
        'stream/carrying.py',
        'ros',
        'page',
        *_PROCESSES,
    ),
}


def _room(path: Path) -> str:
    return path.relative_to(_PACKAGE).parts[0].removesuffix('.py')


@cache
def _imports(path: Path) -> list[tuple[int, str]]:
    """List (line, absolute module) of every import, wherever it stands in the file."""
    return list(_walk(path))


def _walk(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f'{path}:{node.lineno}: relative import'
            if (node.module or '').split('.')[0] == 'vos_ros':  # each name may be a module
                yield from ((node.lineno, f'{node.module}.{part.name}') for part in node.names)
            else:
                yield node.lineno, node.module or ''


_FILES = sorted(p for p in _PACKAGE.rglob('*.py') if p != _PACKAGE / '__init__.py')


@pytest.mark.parametrize('path', _FILES, ids=lambda p: str(p.relative_to(_PACKAGE)))
def test_imports_point_down_only(path: Path) -> None:
    room = _room(path)
    assert room in _LAYER_OF, f'{room} has no place in the table of rooms'
    wrong = []
    for line, module in _imports(path):
        head, _, rest = module.partition('.')
        target = rest.split('.')[0]
        if head != 'vos_ros' or target in ('', '__version__', room):
            continue
        assert target in _LAYER_OF, f'{path}:{line}: {module} has no place in the table'
        if _LAYER_OF[target] >= _LAYER_OF[room]:
            wrong.append(f'{path.relative_to(_ROOT)}:{line} imports {module}')
    assert wrong == []


@pytest.mark.parametrize('room', [room for room in _LAYER_OF if (_PACKAGE / room).is_dir()])
def test_there_is_no_circle_inside_a_room(room: str) -> None:
    folder = _PACKAGE / room
    names = {p: f'vos_ros.{room}.{p.stem}' for p in folder.glob('*.py') if p.stem != '__init__'}
    arrows = {
        name: {
            other
            for other in names.values()
            for _, module in _imports(path)
            if other != name and f'{module}.'.startswith(f'{other}.')
        }
        for path, name in names.items()
    }
    TopologicalSorter(arrows).prepare()  # raises CycleError, which names the modules


@pytest.mark.parametrize('package', _OWNERS)
def test_optional_packages_have_one_home(package: str) -> None:
    homes = tuple(_PACKAGE / home for home in _OWNERS[package])
    strangers = [
        f'{path.relative_to(_ROOT)}:{line}'
        for path in _FILES
        if not any(path == home or home in path.parents for home in homes)
        for line, module in _imports(path)
        if module.split('.')[0] == package
    ]
    assert strangers == []


def test_scan_sees_imports_inside_functions(tmp_path: Path) -> None:
    path = tmp_path / 'example.py'
    path.write_text('def f():\n    from vos_ros import worker\n    import torch.nn\n')
    assert _imports(path) == [(2, 'vos_ros.worker'), (3, 'torch.nn')]


def test_core_is_imported_without_ros_and_torch() -> None:
    modules = (
        *(
            'engine.segmenter',
            'space.objects',
            'space.matching',
            'stream.worker',
            'evaluation.evaluate',
            'bag.run',
            'harness.play',
        ),
        *('page.feed', 'page.server', 'page.clip'),
        *('demo', 'commands.cli', 'commands.doctor'),
    )
    heavy = {'rclpy', 'torch', 'cv_bridge', 'onnxruntime', 'openvino'}
    code = (
        'import importlib, sys\n'
        f'for module in {modules}:\n'
        "    importlib.import_module(f'vos_ros.{module}')\n"
        f'    if found := {heavy} & set(sys.modules):\n'
        "        sys.exit(f'{module} imports {found}')\n"
    )
    done = subprocess.run(
        [sys.executable, '-c', code], cwd=_ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
