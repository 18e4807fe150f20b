# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Messages to arrays and back: every encoding, padded, big-endian, and broken."""

import array
from pathlib import Path
import struct
import zlib

import cv2
import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs rclpy')

from robot import image_msg, to_array
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import Header

from vos_ros.errors import VosError
from vos_ros.formats.grey import GreyRange
from vos_ros.formats.label_png import write_label_png
from vos_ros.ros import conversions

RNG = np.random.default_rng(7)
# Red left, green right: a swapped channel or a shifted row cannot hide.
COLORS = np.zeros((6, 8, 3), np.uint8)
COLORS[:, :4] = (200, 20, 40)
COLORS[:, 4:] = (10, 180, 60)
COLORS[0] = (5, 6, 7)


def rgb_of(frame) -> np.ndarray:
    return frame.image if frame.encoding == 'rgb8' else frame.image[..., ::-1]


@pytest.mark.parametrize('padding', [0, 1, 5], ids=['tight', 'padded by 1', 'padded by 5'])
@pytest.mark.parametrize('encoding', ['rgb8', 'bgr8', 'rgba8', 'bgra8'])
def test_colour_images_keep_their_colours_and_rows(encoding: str, padding: int) -> None:
    pixels = COLORS if encoding.startswith('rgb') else COLORS[..., ::-1]
    if encoding.endswith('a8'):
        pixels = np.dstack([pixels, np.full((6, 8), 77, np.uint8)])
    frame = conversions.to_frame(image_msg(pixels, encoding, (3, 4), padding=padding))
    assert np.array_equal(rgb_of(frame), COLORS)
    assert (frame.stamp_ns, frame.frame_id) == (3_000_000_004, 'camera')


@pytest.mark.parametrize('big_endian', [False, True], ids=['little', 'big'])
@pytest.mark.parametrize('padding', [0, 3], ids=['tight', 'padded by 3'])
def test_grey_of_16_bit_is_stretched(padding: int, big_endian: bool) -> None:
    grey = np.tile(np.linspace(3000, 3600, 70).astype(np.uint16), (50, 1))
    msg = image_msg(grey, 'mono16', padding=padding, big_endian=big_endian)
    shown = conversions.to_frame(msg, grey=GreyRange((3000, 3600))).image
    expected = np.round((grey - 3000.0) * 255 / 600)
    assert np.abs(shown - np.repeat(expected[..., None], 3, axis=2)).max() <= 1


@pytest.mark.parametrize('encoding', ['nv12', 'nv21'])
@pytest.mark.parametrize('padding', [0, 4], ids=['tight', 'padded by 4'])
def test_semiplanar_images_find_their_colour(encoding: str, padding: int) -> None:
    red = cv2.cvtColor(np.full((8, 8, 3), (0, 0, 200), np.uint8), cv2.COLOR_BGR2YUV_I420)
    luma, chroma = red[:8], [red[8:10].reshape(4, 4), red[10:].reshape(4, 4)]
    pair = np.dstack(chroma if encoding == 'nv12' else chroma[::-1]).reshape(4, 8)
    msg = image_msg(np.vstack([luma, pair]), 'mono8', padding=padding)
    msg.encoding, msg.height = encoding, 8
    found = conversions.to_frame(msg).image.reshape(-1, 3).astype(int)
    assert np.abs(found - (0, 0, 200)).max() <= 3


@pytest.mark.parametrize('encoding', ['rgb16', 'bgr16'])
def test_colours_of_16_bit_are_kept(encoding: str) -> None:
    pixels = (COLORS if encoding == 'rgb16' else COLORS[..., ::-1]).astype(np.uint16) * 16
    frame = conversions.to_frame(image_msg(pixels, encoding), grey=GreyRange((0, 255 * 16)))
    assert np.array_equal(rgb_of(frame), COLORS)


@pytest.mark.parametrize(
    ('pattern', 'where_red'),
    [('rggb', (0, 0)), ('bggr', (1, 1)), ('gbrg', (1, 0)), ('grbg', (0, 1))],
)
def test_bayer_patterns_of_16_bit_find_red(pattern: str, where_red: tuple[int, int]) -> None:
    mosaic = np.zeros((16, 16), np.uint16)
    mosaic[where_red[0] :: 2, where_red[1] :: 2] = 3200
    msg = image_msg(mosaic, f'bayer_{pattern}16')
    frame = conversions.to_frame(msg, grey=GreyRange((0, 4080)))
    assert rgb_of(frame)[8, 8].tolist() == [200, 0, 0]


def test_grey_of_8_bit_becomes_three_equal_channels() -> None:
    grey = RNG.integers(0, 256, (5, 7), dtype=np.uint8)
    frame = conversions.to_frame(image_msg(grey, 'mono8', padding=2))
    assert np.array_equal(frame.image, np.repeat(grey[..., None], 3, axis=2))


@pytest.mark.parametrize(
    ('pattern', 'where_red'),
    [('rggb', (0, 0)), ('bggr', (1, 1)), ('gbrg', (1, 0)), ('grbg', (0, 1))],
)
def test_bayer_patterns_find_red(pattern: str, where_red: tuple[int, int]) -> None:
    mosaic = np.zeros((16, 16), np.uint8)
    mosaic[where_red[0] :: 2, where_red[1] :: 2] = 200
    frame = conversions.to_frame(image_msg(mosaic, f'bayer_{pattern}8'))
    assert rgb_of(frame)[8, 8].tolist() == [200, 0, 0]


@pytest.mark.parametrize(('encoding', 'luma_at'), [('yuv422', 1), ('yuv422_yuy2', 0)])
def test_yuv_finds_luma(encoding: str, luma_at: int) -> None:
    packed = np.full((4, 6, 2), 128, np.uint8)
    packed[..., luma_at] = 235
    assert (conversions.to_frame(image_msg(packed, encoding)).image == 255).all()


def test_plain_images_are_views_that_nobody_can_write_through() -> None:
    msg = image_msg(COLORS, 'rgb8', padding=2)
    frame = conversions.to_frame(msg)
    assert np.shares_memory(frame.image, np.frombuffer(msg.data, np.uint8))
    assert not frame.image.flags.writeable


def broken(**changes: object):
    msg = image_msg(COLORS, 'rgb8')
    for name, value in changes.items():
        setattr(msg, name, value)
    return msg


@pytest.mark.parametrize(
    ('changes', 'reason'),
    [
        ({'encoding': 'nonsense'}, 'nonsense'),
        ({'encoding': ''}, 'not supported'),
        ({'height': 0}, 'is empty'),
        ({'width': 0}, 'is empty'),
        ({'step': 23}, 'needs at least 24'),
        ({'step': 0}, 'needs at least 24'),
        ({'height': 7}, 'needs 168 bytes, has 144'),
        ({'data': array.array('B')}, 'has 0'),
        ({'height': 2**32 - 1, 'width': 2**32 - 1, 'step': 2**32 - 1}, 'needs at least'),
        ({'height': 2**32 - 1}, 'has 144'),
    ],
)
def test_a_broken_image_is_refused_with_the_reason(changes: dict, reason: str) -> None:
    with pytest.raises(VosError, match=reason):
        conversions.to_frame(broken(**changes))


def test_an_image_whose_last_row_lacks_its_padding_is_read() -> None:
    msg = image_msg(COLORS, 'rgb8', padding=4)
    msg.data = msg.data[:-4]
    assert np.array_equal(conversions.to_frame(msg).image, COLORS)


@pytest.mark.parametrize('suffix', ['.png', '.jpg'])
def test_compressed_images_are_decoded(suffix: str) -> None:
    _, data = cv2.imencode(suffix, np.full((16, 24, 3), (10, 100, 200), np.uint8))
    msg = CompressedImage(format='x', data=array.array('B', data.tobytes()))
    frame = conversions.to_frame_from_compressed(msg)
    assert frame.encoding == 'bgr8'
    assert np.abs(frame.image.astype(int) - (10, 100, 200)).max() <= 3


def png_that_announces(side: int) -> bytes:
    """Write a PNG of side x side pixels whose data are those of one."""
    _, data = cv2.imencode('.png', np.zeros((1, 1), np.uint8))
    png = data.tobytes()
    header = png[12:16] + struct.pack('>II', side, side) + png[24:29]
    return png[:12] + header + struct.pack('>I', zlib.crc32(header)) + png[33:]


@pytest.mark.parametrize(
    'data', [b'', b'no image at all', b'\x89PNG\r\n\x1a\n', png_that_announces(8000)]
)
def test_compressed_rubbish_is_refused(data: bytes) -> None:
    with pytest.raises(VosError, match='cannot be decoded'):
        conversions.to_frame_from_compressed(
            CompressedImage(format='png', data=array.array('B', data))
        )


@pytest.mark.parametrize('big_endian', [False, True], ids=['little', 'big'])
@pytest.mark.parametrize('padding', [0, 3], ids=['tight', 'padded by 3'])
@pytest.mark.parametrize(
    ('encoding', 'dtype'),
    [
        ('mono8', np.uint8),
        ('8UC1', np.uint8),
        ('mono16', np.uint16),
        ('16UC1', np.uint16),
        ('32SC1', np.int32),
    ],
)
def test_ids_of_a_mask_survive(encoding: str, dtype: type, padding: int, big_endian: bool) -> None:
    ids = np.zeros((5, 9), dtype)
    ids[1:3, 2:5] = 3
    ids[4, 8] = 200 if dtype is np.uint8 else 1000
    msg = image_msg(ids, encoding, padding=padding, big_endian=big_endian)
    assert np.array_equal(conversions.to_label_map(msg), ids)


def test_a_mask_of_0_and_255_is_one_object() -> None:
    mask = np.zeros((4, 6), np.uint8)
    mask[1:3, 1:4] = 255
    assert np.array_equal(conversions.to_label_map(image_msg(mask, 'mono8')), mask // 255)
    labels = conversions.to_label_map(image_msg(mask, 'mono8'), binary_id=300)
    assert np.array_equal(labels, mask // np.uint16(255) * np.uint16(300))


@pytest.mark.parametrize(('encoding', 'found'), [('mono8', [0, 2]), ('mono16', [0, 2, 255])])
def test_255_in_a_label_map_of_8_bits_is_void(encoding: str, found: list[int]) -> None:
    ids = np.zeros((4, 6), np.uint8 if encoding == 'mono8' else np.uint16)
    ids[0], ids[1] = 255, 2
    labels = conversions.to_label_map(image_msg(ids, encoding))
    assert np.unique(labels).tolist() == found
    assert (labels[0] == (255 if encoding == 'mono16' else 0)).all()


@pytest.mark.parametrize(
    ('pixels', 'encoding', 'reason'),
    [
        (np.zeros((3, 4), np.uint8), 'mono8', 'empty'),
        (np.full((3, 4), -1, np.int32), '32SC1', 'from -1'),
        (np.full((3, 4), 70000, np.int32), '32SC1', '70000'),
        (np.zeros((3, 4, 3), np.uint8), 'rgb8', "'rgb8' is not supported"),
    ],
    ids=['empty', 'negative', 'too large', 'colour'],
)
def test_a_useless_mask_is_refused_with_the_reason(pixels, encoding: str, reason: str) -> None:
    with pytest.raises(VosError, match=reason):
        conversions.to_label_map(image_msg(pixels, encoding))


def test_a_mask_outlives_its_message() -> None:
    msg = image_msg(np.full((4, 4), 2, np.uint8), 'mono8')
    labels = conversions.to_label_map(msg)
    assert not np.shares_memory(labels, np.frombuffer(msg.data, np.uint8))


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
def test_labels_come_out_as_they_are(dtype: type) -> None:
    labels = RNG.integers(0, 255, (5, 7)).astype(dtype)
    header = Header(frame_id='left eye')
    msg = conversions.to_label_msg(labels, header)
    assert np.array_equal(to_array(msg), labels)
    assert (msg.header, msg.step) == (header, 7 * labels.itemsize)
    assert isinstance(msg.data, array.array)


def test_an_object_s_mask_is_0_or_255() -> None:
    labels = RNG.integers(0, 4, (5, 7), dtype=np.uint8)
    msg = conversions.to_mask_msg(labels, 2, Header())
    assert np.array_equal(to_array(msg), (labels == 2) * 255)
    assert msg.encoding == 'mono8'


@pytest.mark.parametrize('encoding', ['rgb8', 'bgr8'])
def test_the_overlay_colours_objects_names_them_and_nothing_else(encoding: str) -> None:
    pixels = np.full((120, 160, 3), 200, np.uint8)
    pixels[:, :, 0] = 90
    labels = np.zeros((120, 160), np.uint8)
    labels[20:100, 40:120] = 1
    frame = conversions.to_frame(image_msg(pixels, encoding))
    painted = conversions.to_overlay(frame, labels, 1.0)
    red = [128, 0, 0] if encoding == 'rgb8' else [0, 0, 128]
    number = (slice(50, 70), slice(70, 90))  # the id, in the middle of the object
    assert (painted[number] > 200).all(axis=-1).any()  # anti-aliased
    painted[number] = red
    assert (painted[labels == 1] == red).all()
    assert np.array_equal(painted[labels == 0], pixels[labels == 0])


@pytest.mark.parametrize('encoding', ['rgb8', 'bgr8'])
def test_a_note_is_white_beside_the_colour_of_its_object(encoding: str) -> None:
    pixels = np.full((120, 160, 3), 200, np.uint8)
    frame = conversions.to_frame(image_msg(pixels, encoding))
    empty = np.zeros((120, 160), np.uint8)
    painted = conversions.to_overlay(frame, empty, 0.5, {2: 'object 2: lost'})
    corner = painted[:20].reshape(-1, 3).tolist()
    assert [0, 128, 0] in corner  # green is in the middle either way
    assert (painted[:20] > 230).all(axis=-1).any()
    assert np.array_equal(painted[40:], pixels[40:])


def test_a_mask_file_may_be_binary_or_hold_ids(tmp_path: Path) -> None:
    mask = np.zeros((4, 6), np.uint8)
    mask[1:3] = 255
    cv2.imwrite(str(tmp_path / 'binary.png'), mask)
    prompt = conversions.to_prompt_from_file(str(tmp_path / 'binary.png'), binary_id=7)
    assert np.array_equal(prompt.label_map, mask // 255 * 7)
    write_label_png(tmp_path / 'ids.png', mask // 255 * np.uint8(3))
    prompt = conversions.to_prompt_from_file(str(tmp_path / 'ids.png'), binary_id=7)
    assert np.array_equal(prompt.label_map, mask // 255 * 3)
