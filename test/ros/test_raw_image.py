# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
import struct

import numpy as np
import pytest

from vos_ros.errors import VosError

pytest.importorskip('rclpy', reason='rclpy is not installed')

from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import CompressedImage, Image

from vos_ros.ros.conversions import stamp_ns_of, to_frame, to_label_msg
from vos_ros.ros.raw_image import check_texts, nbytes_of, RawImage, read_image, write_labels


def _image(frame_id: str, encoding: str, pixels: int = 5) -> Image:
    msg = Image(height=2, width=pixels, encoding=encoding, is_bigendian=1, step=3 * pixels)
    msg.header.frame_id = frame_id
    msg.header.stamp.sec, msg.header.stamp.nanosec = -3, 999_999_999
    msg.data = bytes(range(6 * pixels))
    return msg


@pytest.mark.parametrize('frame_id', ['', 'a', 'cam', 'came', 'kamera_ü'])
@pytest.mark.parametrize('encoding', ['rgb8', 'bgr8', 'mono8', '8UC3', 'mono16', ''])
def test_fields_are_those_that_rclpy_reads(frame_id: str, encoding: str) -> None:
    msg = _image(frame_id, encoding)
    read = read_image(serialize_message(msg))
    assert isinstance(read, RawImage)
    for field in ('header', 'height', 'width', 'encoding', 'is_bigendian', 'step'):
        assert getattr(read, field) == getattr(msg, field), field
    assert bytes(read.data) == bytes(msg.data)


def test_frame_is_the_same_and_its_pixels_are_no_copy() -> None:
    msg = _image('cam', 'rgb8')
    serialized = serialize_message(msg)
    frame = to_frame(read_image(serialized))
    expected = to_frame(msg)
    np.testing.assert_array_equal(frame.image, expected.image)
    assert (frame.encoding, frame.stamp_ns, frame.frame_id, frame.header) == (
        expected.encoding,
        expected.stamp_ns,
        expected.frame_id,
        expected.header,
    )
    assert np.shares_memory(frame.image, np.frombuffer(serialized, np.uint8))


def test_bytes_kept_are_those_of_the_whole_message() -> None:
    msg = _image('cam', 'rgb8')
    serialized = serialize_message(msg) + bytes(4096)  # more than its fields say
    assert nbytes_of(read_image(serialized)) >= len(serialized)
    compressed = CompressedImage(format='jpeg' * 200, data=bytes(10))
    compressed.header.frame_id = 'f' * 900
    assert nbytes_of(compressed) >= 10 + 800 + 900


@pytest.mark.parametrize('field', ['frame_id', 'encoding'])
def test_an_image_whose_texts_are_no_names_is_refused(field: str) -> None:
    for length, is_refused in ((1024, False), (1025, True), (8 << 20, True)):
        text = 'x' * length
        msg = _image(text, 'rgb8') if field == 'frame_id' else _image('cam', text)
        if is_refused:
            with pytest.raises(VosError, match=f'{field} of {length} bytes is refused'):
                read_image(serialize_message(msg))
            with pytest.raises(VosError, match=f'{field} of {length} bytes is refused'):
                check_texts(msg)
        else:
            read_image(serialize_message(msg))
            check_texts(msg)


@pytest.mark.parametrize('frame_id', ['', 'a', 'ab', 'abc', 'kamera_ü'])
@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
@pytest.mark.parametrize('is_raw', [True, False])
def test_labels_are_what_rclpy_would_have_sent(frame_id: str, dtype: type, is_raw: bool) -> None:
    msg = _image(frame_id, 'rgb8')
    msg.header.stamp.nanosec = 4_000_000_000  # odd, and still the same in the answer
    label_map = np.arange(35).astype(dtype).reshape(5, 7) * 7
    source = read_image(serialize_message(msg)) if is_raw else msg
    written = deserialize_message(write_labels(label_map, source), Image)
    assert written == to_label_msg(label_map, msg.header)
    # A part of a larger map, and the other order of bytes, are the same to a reader.
    cut = np.pad(label_map, 1)[1:-1, 1:-1]
    assert write_labels(cut, source) == write_labels(label_map, source)
    swapped = label_map.astype(label_map.dtype.newbyteorder('>'))
    assert write_labels(swapped, source) == write_labels(label_map, source)


@pytest.mark.parametrize('sec', [-3, 0, 2**31 - 1])
def test_stamp_is_the_header_s(sec: int) -> None:
    msg = _image('cam', 'rgb8')
    msg.header.stamp.sec = sec
    expected = sec * 10**9 + 999_999_999
    assert stamp_ns_of(msg) == stamp_ns_of(read_image(serialize_message(msg))) == expected


def test_big_endian_is_read() -> None:
    body = struct.pack('>iII', 7, 8, 4) + b'cam\0'
    body += struct.pack('>III', 1, 2, 6) + b'mono8\0' + b'\0' + b'\0' * 1
    body += struct.pack('>II', 2, 2) + b'\x05\x06'
    read = read_image(b'\x00\x00\x00\x00' + body)
    assert (read.header.stamp.sec, read.header.stamp.nanosec) == (7, 8)
    assert (read.header.frame_id, read.encoding) == ('cam', 'mono8')
    assert (read.height, read.width, read.step) == (1, 2, 2)
    assert bytes(read.data) == b'\x05\x06'


@pytest.mark.parametrize('length', [4, 11, 17, 24, 40, 60, 80])
def test_message_that_ends_too_early_is_named(length: int) -> None:
    serialized = serialize_message(_image('camera', 'rgb8'))
    assert length < len(serialized)
    with pytest.raises(VosError, match=f'an image message of {length} bytes cannot be read'):
        read_image(bytes(serialized[:length]))


def test_frame_id_that_is_no_utf_8_is_replaced_as_rclpy_does() -> None:
    serialized = serialize_message(_image('kamera', 'rgb8')).replace(b'kamera', b'kam\xe9ra')
    read = read_image(serialized)
    assert isinstance(read, RawImage)
    assert read.header.frame_id == 'kam\ufffdra'
    assert read.header == deserialize_message(serialized, Image).header
    assert bytes(read.data) == bytes(range(30))


def test_length_of_a_text_that_is_nonsense_is_named() -> None:
    body = struct.pack('<iII', 7, 8, 2**31)
    with pytest.raises(VosError, match='cannot be read'):
        read_image(b'\x00\x01\x00\x00' + body)
