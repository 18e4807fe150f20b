# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Serialised messages are looked through before the middleware reads them."""

from __future__ import annotations

from contextlib import suppress
import random
from typing import Any

import pytest

pytest.importorskip('rclpy', reason='needs rclpy')

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rcl_interfaces.msg import ParameterEvent, ParameterValue
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2, PointField
from std_msgs.msg import MultiArrayDimension, MultiArrayLayout, UInt16MultiArray

from vos_ros.errors import VosError
from vos_ros.ros.cdr import read_message


def messages() -> list[Any]:
    """Make messages with every kind of field: texts, arrays, nested ones, all alignments."""
    image = Image(encoding='mono8', height=2, width=3, step=3)
    image.data.frombytes(bytes(6))
    compressed = CompressedImage(format='png')
    compressed.data.frombytes(bytes(range(7)))
    array = UInt16MultiArray(data=[1, 2, 65535])
    dimensions = [MultiArrayDimension(label=label, size=1, stride=2) for label in ('a', 'bcd')]
    array.layout = MultiArrayLayout(dim=dimensions, data_offset=3)
    values = [KeyValue(key='k' * n, value='') for n in range(4)]
    report = DiagnosticArray(status=[DiagnosticStatus(level=b'\x02', name='n', values=values)] * 2)
    camera = CameraInfo(distortion_model='plumb_bob', d=[0.1, 0.2, 0.3, 0.4, 0.5])
    cloud = PointCloud2(fields=[PointField(name='x'), PointField(name='yz', offset=4)])
    value = ParameterValue(bool_array_value=[True], double_array_value=[0.5], string_value='s')
    value.string_array_value = ['', 'abc']
    return [image, compressed, array, report, camera, cloud, value, ParameterEvent(node='/n')]


CASES = [pytest.param(msg, id=type(msg).__name__) for msg in messages()]


@pytest.mark.parametrize('msg', CASES)
def test_a_good_message_is_read_as_it_was_sent(msg: Any) -> None:
    assert read_message(bytes(serialize_message(msg)), type(msg)) == msg


@pytest.mark.parametrize('msg', CASES)
def test_a_message_that_is_cut_anywhere_is_refused_and_nothing_is_printed(
    msg: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    whole = bytes(serialize_message(msg))
    # The middleware pads the end to four bytes; what is cut of that is not missing.
    for length in range(len(whole) - 3):
        with pytest.raises(VosError, match=f'a message of {length} bytes is no '):
            read_message(whole[:length], type(msg))
    assert capfd.readouterr() == ('', '')


@pytest.mark.parametrize('msg', CASES)
def test_whatever_bytes_come_they_are_read_or_refused_and_nothing_is_printed(
    msg: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    rng = random.Random(5)
    whole = serialize_message(msg)
    for _ in range(300):
        data = bytearray(whole)
        for _ in range(rng.randrange(1, 4)):
            data[rng.randrange(len(data))] = rng.choice((0, 1, 127, 255, rng.randrange(256)))
        with suppress(VosError):
            assert isinstance(read_message(bytes(data), type(msg)), type(msg))
    assert capfd.readouterr() == ('', '')


def test_a_message_of_another_representation_is_named() -> None:
    whole = bytes(serialize_message(Image()))
    with pytest.raises(VosError, match=r'is no sensor_msgs/Image \(it begins with 0007, not as'):
        read_message(b'\x00\x07' + whole[2:], Image)
