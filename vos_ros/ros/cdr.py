# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Serialised messages, looked through before rclpy reads them.

rclpy drops a broken one without a word; its error state makes the next one print nine lines to
stderr, and the middleware prints one of its own for each length that lies. So whatever a peer may
send is taken raw, and its lengths are followed here first.
"""

from functools import cache
import importlib
import struct
from typing import Any

from rclpy.serialization import deserialize_message
from rosidl_parser.definition import (
    AbstractNestedType,
    AbstractSequence,
    AbstractString,
    Array,
    BasicType,
    NamespacedType,
)

from vos_ros.errors import VosError

#: Representation identifiers of plain CDR, which ROS 2 sends (OMG DDS-XTYPES 7.6.2.1.2): order.
PLAIN_CDR = {b'\x00\x00': '>', b'\x00\x01': '<'}
#: Bytes of identifier and options; alignment counts from after them.
ENVELOPE = 4
_SIZES = {
    **dict.fromkeys(('boolean', 'octet', 'char', 'int8', 'uint8'), 1),
    **dict.fromkeys(('int16', 'uint16'), 2),
    **dict.fromkeys(('int32', 'uint32', 'float'), 4),
    **dict.fromkeys(('int64', 'uint64', 'double'), 8),
}


def read_message(serialized: bytes, kind: type) -> Any:
    """
    Read a serialised message of any kind.

    :param serialized: as a raw subscription gives it.
    :param kind: of message.
    :raises VosError: it is none: of another representation, cut off, or a length in it lies.
    """
    name = f'{kind.__module__.partition(".")[0]}/{kind.__name__}'
    try:
        order = order_of(serialized)
        _after_fields(memoryview(serialized)[ENVELOPE:], 0, order, kind)
    except ValueError as error:
        reason = str(error)
    except struct.error:
        reason = 'it is cut off, or a length in it is wrong'
    else:
        try:
            return deserialize_message(serialized, kind)
        except Exception as error:  # one of the middleware's, without a class of its own
            reason = str(error)
    raise VosError(
        f'a message of {len(serialized)} bytes is no {name} ({reason}); it is damaged, or its '
        'sender was built with another definition of it'
    )


def order_of(serialized: bytes) -> str:
    """
    Return the byte order of a message, as `struct` writes it.

    :param serialized: the message.
    :raises ValueError: it is no plain CDR.
    """
    order = PLAIN_CDR.get(serialized[:2])
    if order is None:
        raise ValueError(
            f'it begins with {serialized[:2].hex() or "nothing"}, not as plain CDR does'
        )
    return order


def aligned(at: int, alignment: int = 4) -> int:
    """Return the next place from `at` on that is a multiple of `alignment`."""
    return -(-at // alignment) * alignment


@cache
def _class_of(module: str, name: str) -> Any:
    return getattr(importlib.import_module(module), name)


def _after_fields(body: memoryview, at: int, order: str, kind: Any) -> int:
    """Return the place after all fields of a message."""
    for field in kind.SLOT_TYPES:
        at = _after(body, at, order, field)
    return at


def _after(body: memoryview, at: int, order: str, field: Any) -> int:
    """
    Return the place after a field.

    :raises struct.error: it does not fit in.
    """
    if isinstance(field, BasicType):
        size = _SIZES[field.typename]
        return _within(body, aligned(at, size) + size)
    if isinstance(field, NamespacedType):
        kind = _class_of('.'.join(field.namespaces), field.name)
        return _after_fields(body, at, order, kind)
    if isinstance(field, Array):
        return _after_items(body, at, order, field, field.size)
    at = aligned(at)
    (count,) = struct.unpack_from(f'{order}I', body, at)
    if isinstance(field, AbstractString):
        return _within(body, at + 4 + count)
    assert isinstance(field, AbstractSequence)
    return _after_items(body, at + 4, order, field, count)


def _after_items(
    body: memoryview, at: int, order: str, field: AbstractNestedType, count: int
) -> int:
    kind = field.value_type
    if isinstance(kind, BasicType):
        size = _SIZES[kind.typename]
        return _within(body, aligned(at, size) + size * count) if count else at
    for _ in range(count):  # each takes some bytes: a count that lies ends soon
        at = _after(body, at, order, kind)
    return at


def _within(body: memoryview, at: int) -> int:
    if at > len(body):
        raise struct.error(f'{at} bytes are announced, {len(body)} are there')
    return at
