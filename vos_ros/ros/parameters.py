# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
ROS parameters made from the config dataclasses, which stay the only home of every default.

Three kinds: live ones act at once, `autostart` is read once at start (read-only), and all others
act when the node is configured; while it is configured they are refused, for a value which is
stored but does nothing is worse than an error.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import Field
import difflib
from types import MappingProxyType
from typing import Any, NamedTuple

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node

from vos_ros.config import (
    check_value,
    from_settings,
    NodeConfig,
    RuntimeConfig,
    SegmenterConfig,
    settings,
)
from vos_ros.errors import VosError
from vos_ros.ros.compat import parameter_overrides

#: Acts before there is anyone who could set it.
_ONLY_AT_START = ('autostart',)
#: How alike two names must be for one to be a misspelt other, by difflib's ratio. A launch file
#: that includes ours has arguments of its own.
_MISSPELT = 0.8
#: May be text or a list of two numbers.
_RANGE = 'image_range'
_GROUPS: tuple[type, ...] = (RuntimeConfig, SegmenterConfig, NodeConfig)


class Configuration(NamedTuple):
    """All parameters of the node, as the layers below want them."""

    runtime: RuntimeConfig
    segmenter: SegmenterConfig
    node: NodeConfig


def all_settings() -> Iterator[tuple[str, Field[Any]]]:
    """Yield (parameter name, dataclass field) of every parameter, in the order of vos.yaml."""
    for group in _GROUPS:
        yield from settings(group)


def describe(
    name: str, item: Field[Any], only_at_start: Collection[str] = _ONLY_AT_START
) -> ParameterDescriptor:
    """
    Say about a parameter what `ros2 param describe` shows.

    :param name: dotted.
    :param item: the dataclass field with its metadata.
    :param only_at_start: names of those that are read once.
    """
    meta = item.metadata
    unit = f' [{meta["unit"]}]' if meta['unit'] else ''
    descriptor = ParameterDescriptor(
        name=name,
        description=f'{meta["description"]}{unit}',
        read_only=name in only_at_start,
        # So that 2 may be written for 2.0, and a list for a range; `check_value` refuses the rest.
        dynamic_typing=isinstance(item.default, float) or name == _RANGE,
    )
    constraints = []
    if meta['choices']:
        constraints.append('one of: ' + ', '.join(meta['choices']))
    if not meta['live'] and name not in only_at_start:
        constraints.append('acts when the node is configured')
    descriptor.additional_constraints = '; '.join(constraints)
    if meta['range'] is not None:
        low, high = meta['range']
        if isinstance(item.default, float):
            descriptor.floating_point_range = [
                FloatingPointRange(from_value=float(low), to_value=float(high))
            ]
        else:
            descriptor.integer_range = [IntegerRange(from_value=int(low), to_value=int(high))]
    return descriptor


def declare(
    node: Node,
    groups: Sequence[type] = _GROUPS,
    only_at_start: Collection[str] = _ONLY_AT_START,
) -> None:
    """
    Declare every parameter, with its default and descriptor, and name the misspelt overrides.

    :param node: whose overrides (parameter file, command line) have been read.
    :param groups: config dataclasses that hold them.
    :param only_at_start: names of those that are read once.
    :raises VosError: an override has the wrong type or lies outside its range.
    """
    declared = [each for group in groups for each in settings(group)]
    for name, item in declared:
        try:
            node.declare_parameter(name, item.default, describe(name, item, only_at_start))
            check_value(name, _value(node, name), item)
        except (InvalidParameterTypeException, InvalidParameterValueException) as error:
            # rclpy's own words name the value, ours the remedy; ours first where they apply.
            override = parameter_overrides(node).get(name)
            if override is not None:
                check_value(name, override.value, item)
            raise VosError(f'parameter {name}: {error}') from error
    _name_misspelt(node, [name for name, _ in declared])


def _name_misspelt(node: Node, known: Sequence[str]) -> None:
    # ROS ignores an override of a parameter that nobody declares: a typo in a parameter file
    # would silently leave the default in place.
    for name in parameter_overrides(node):
        if name.startswith('qos_overrides.') or node.has_parameter(name):
            continue
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean '{close[0]}'?" if close else ''
        node.get_logger().warning(f"parameter '{name}' does not exist and is ignored{hint}")


def misspelt(argv: Sequence[str], known: Collection[str]) -> list[str]:
    """
    Name arguments of a launch file that are nearly one of its own: launch ignores them in silence.

    :param argv: as typed, `name:=value` and whatever else.
    :param known: names of the arguments that there are.
    :return: one line each.
    """
    lines = []
    for name in (text.partition(':=')[0] for text in argv if ':=' in text):
        close = [] if name in known else difflib.get_close_matches(name, known, 1, _MISSPELT)
        lines += [
            f"launch argument '{name}' does not exist and is ignored; did you mean '{other}'?"
            for other in close
        ]
    return lines


def read(node: Node, changes: Mapping[str, Any] = MappingProxyType({})) -> Configuration:
    """
    Read all parameters into the config dataclasses.

    :param node: on which `declare` was called.
    :param changes: new values by name, which the node does not hold yet.
    :raises VosError: a value is invalid by a rule that spans more than its own range.
    """
    return Configuration(
        *(
            from_settings(group, {n: _given(node, n, changes) for n, _ in settings(group)})
            for group in _GROUPS
        )
    )


def check_change(node: Node, changes: Mapping[str, Any], *, is_configured: bool) -> None:
    """
    Refuse a change of a parameter which would not act, before it is made.

    :param node: with the present values.
    :param changes: new values by name, also those of other owners.
    :param is_configured: the node holds a model, so that only live parameters act.
    :raises VosError: why it is refused.
    """
    for name, item in all_settings():
        is_changed = _given(node, name, changes) != _value(node, name)
        if is_changed and is_configured and not item.metadata['live']:
            raise VosError(
                f'{name} acts only when the node is configured: deactivate and clean up '
                f'first (ros2 lifecycle set {node.get_fully_qualified_name()} cleanup)'
            )


def _value(node: Node, name: str) -> Any:
    return _given(node, name, {name: node.get_parameter(name).value})


def _given(node: Node, name: str, changes: Mapping[str, Any]) -> Any:
    """Return the value that a parameter has, or is about to have."""
    if name not in changes:
        return _value(node, name)
    value = changes[name]
    if name == _RANGE and not isinstance(value, (str, int, float)) and value is not None:
        return ','.join(str(number) for number in value)
    return value
