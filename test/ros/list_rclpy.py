# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
List the names that rclpy has in a ROS 2 distribution: `rclpy_names.json` is made by it.

    python test/ros/list_rclpy.py --branch humble --source 'ros2/rclpy b488272b, 2024-11-25' \
        --tree rclpy_clone/rclpy

writes one distribution into the file and leaves the others. `--tree` is the folder `rclpy` of a
checkout of ros2/rclpy, with the Python files and the C++ of the extension. For an installed ROS,
run it by that ROS's own Python with `--installed` instead: it imports rclpy then.
"""

import argparse
import ast
from collections.abc import Iterator
import importlib
import inspect
import json
from pathlib import Path
import pkgutil
import re

HERE = Path(__file__).parent
NAMES = HERE / 'rclpy_names.json'
#: The extension's own name in the lists.
NATIVE = 'rclpy.impl._rclpy_pybind11'
#: Modules whose classes are listed with their members.
WITH_MEMBERS = (
    NATIVE,
    'rclpy.callback_groups',
    'rclpy.context',
    'rclpy.event_handler',
    'rclpy.guard_condition',
    'rclpy.lifecycle.node',
    'rclpy.node',
    'rclpy.publisher',
    'rclpy.qos_event',
    'rclpy.subscription',
)


def names_of_tree(tree: Path) -> dict[str, list[str]]:
    """
    List modules and their names from sources, without running them.

    :param tree: with the folders `rclpy` and `src/rclpy`.
    :return: module -> `Name` and `Class.member`, sorted.
    """
    found: dict[str, set[str]] = {}
    package = tree / 'rclpy'
    for path in sorted(package.rglob('*.py')):
        parts = ['rclpy', *path.relative_to(package).with_suffix('').parts]
        module = '.'.join(parts[:-1] if parts[-1] == '__init__' else parts)
        found[module] = set(_names_in(ast.parse(path.read_text('utf-8')).body))
    found[NATIVE] = set(_native_names(tree / 'src' / 'rclpy'))
    return {module: sorted(names) for module, names in found.items()}


def _names_in(body: list[ast.stmt]) -> Iterator[str]:
    for statement in body:
        match statement:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name
            case ast.ClassDef(name=name):
                yield name
                for member in _names_in(statement.body):
                    yield f'{name}.{member}'
                for attribute in _attributes(statement):
                    yield f'{name}.{attribute}'
            case ast.Import() | ast.ImportFrom():
                yield from (alias.asname or alias.name for alias in statement.names)
            case ast.Assign(targets=targets):
                for target in targets:
                    yield from (n.id for n in ast.walk(target) if isinstance(n, ast.Name))
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield name
            case ast.If() | ast.Try():
                yield from _names_in(statement.body)
                yield from _names_in(getattr(statement, 'orelse', []))


def _attributes(made: ast.ClassDef) -> Iterator[str]:
    """Yield what methods write to self."""
    for node in ast.walk(made):
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.ctx, ast.Store)
            and isinstance(node.value, ast.Name)
            and node.value.id == 'self'
        ):
            yield node.attr


def _native_names(sources: Path) -> Iterator[str]:
    for path in sorted(sources.rglob('*.cpp')):
        owner = ''
        # In the order of the text: a class, then what is defined on it.
        for made, on_module, member in re.findall(
            r'py::(?:class_|enum_)<[^;]*?\(\s*\w+\s*,\s*"(\w+)"'
            r'|\bm(?:odule)?\.def\(\s*"(\w+)"'
            r'|\.(?:def|def_property_readonly|def_property|def_readonly|def_readwrite|value)\(\s*"(\w+)"',
            path.read_text('utf-8'),
        ):
            if made:
                owner = made
                yield made
            elif on_module:
                owner = ''
                yield on_module
            else:
                yield f'{owner}.{member}' if owner else member


def names_installed() -> dict[str, list[str]]:
    """List modules and their names of the rclpy that this Python imports."""
    import rclpy

    found: dict[str, list[str]] = {}
    walk = pkgutil.walk_packages(rclpy.__path__, 'rclpy.')
    for name in ['rclpy', *(info.name for info in walk), NATIVE]:
        try:
            if name == NATIVE:
                from rclpy.impl.implementation_singleton import rclpy_implementation as module
            else:
                module = importlib.import_module(name)
        except ImportError:
            continue
        found[name] = sorted(set(_names_in_module(module)))
    return found


def _names_in_module(module: object) -> Iterator[str]:
    for name, value in vars(module).items():
        yield name
        if inspect.isclass(value) and value.__module__.startswith(('rclpy', '_rclpy')):
            yield from (f'{name}.{member}' for member in vars(value))
            try:
                body = ast.parse(inspect.getsource(value)).body[0]
            except (OSError, TypeError, SyntaxError):
                continue
            if isinstance(body, ast.ClassDef):
                yield from (f'{name}.{attribute}' for attribute in _attributes(body))


def main() -> None:
    """Write one distribution's names into the file."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[1])
    parser.add_argument('--branch', required=True, help='name of the distribution')
    parser.add_argument('--source', required=True, help='what was read, with its date')
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument('--tree', type=Path, help='folder rclpy of a checkout')
    where.add_argument('--installed', action='store_true', help='the rclpy of this Python')
    given = parser.parse_args()
    names = names_installed() if given.installed else names_of_tree(given.tree)
    known = json.loads(NAMES.read_text('utf-8')) if NAMES.exists() else {}
    known[given.branch] = {'source': given.source, 'modules': _wanted(names)}
    text = json.dumps(dict(sorted(known.items())), indent=0, sort_keys=False)
    NAMES.write_text(text + '\n', 'utf-8')


def _wanted(names: dict[str, list[str]]) -> dict[str, str]:
    """Leave out dunders, actions, and members of classes that no node of ours touches; join."""
    return {
        module: ' '.join(
            name
            for name in found
            if not name.rpartition('.')[2].startswith(('__', '_pybind'))
            and ('.' not in name or module in WITH_MEMBERS)
        )
        for module, found in sorted(names.items())
        if not module.startswith(('rclpy.action', 'rclpy.experimental'))
    }


if __name__ == '__main__':
    main()
