# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The rooms of training: imports point down only, and the robot's package knows none of them."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2]
_PACKAGE = _ROOT / 'training' / 'vos_distill'
# A room, a folder or a module on top, may import itself and the rows above its own.
_LAYERS: tuple[tuple[str, ...], ...] = (
    ('clip_config', 'processes'),
    ('recipe',),
    ('data', 'networks'),
    ('losses', 'export', 'labelling'),
    ('evaluation',),
    ('loop',),
    ('studies',),
    ('commands',),
    ('cli',),
)
_LAYER_OF = {room: layer for layer, rooms in enumerate(_LAYERS) for room in rooms}
_FILES = sorted(p for p in _PACKAGE.rglob('*.py') if p != _PACKAGE / '__init__.py')


def _imports(path: Path) -> Iterator[tuple[int, str]]:
    """List (line, module) of every import, wherever it stands in the file."""
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):  # relative ones are refused by the linter
            yield from ((node.lineno, f'{node.module}.{part.name}') for part in node.names)


@pytest.mark.parametrize('path', _FILES, ids=lambda p: str(p.relative_to(_PACKAGE)))
def test_imports_point_down_only(path: Path) -> None:
    room = path.relative_to(_PACKAGE).parts[0].removesuffix('.py')
    assert room in _LAYER_OF, f'{room} has no place in the table of rooms'
    wrong = []
    for line, module in _imports(path):
        head, _, rest = module.partition('.')
        target = rest.split('.')[0]
        if head == 'vos_distill' and target != room:
            assert target in _LAYER_OF, f'{path}:{line}: {module} has no place in the table'
            if _LAYER_OF[target] >= _LAYER_OF[room]:
                wrong.append(f'{path.relative_to(_ROOT)}:{line} imports {module}')
    assert wrong == []


def test_the_robot_s_package_does_not_import_training() -> None:
    strangers = [
        f'{path.relative_to(_ROOT)}:{line}'
        for path in sorted((_ROOT / 'vos_ros').rglob('*.py'))
        for line, module in _imports(path)
        if module.split('.')[0] == 'vos_distill'
    ]
    assert strangers == []
