# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Image messages to and from arrays: pure functions, without a node.

What the pixels mean is read by `image_codec`, which needs no ROS. Messages are filled through
`array.array`: every other way costs 20 to 150 ms per image, with rclpy's field checks on or off.
"""

import array
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from builtin_interfaces.msg import Time
import cv2
import numpy as np
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from vos_ros.datatypes import Frame, Prompt, Segmentation
from vos_ros.formats.drawing import draw_ids, drawable
from vos_ros.formats.grey import GreyRange
from vos_ros.formats.image_codec import decode_compressed_image, decode_image, decode_labels
from vos_ros.formats.label_png import davis_palette, decode_label_png, read_prompt_png
from vos_ros.formats.masks import read_prompt
from vos_ros.ros.raw_image import frame_id_of, RawImage

_NS = 1_000_000_000
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_NO_NOTES: Mapping[int, str] = MappingProxyType({})


@dataclass(frozen=True, eq=False)
class CameraFrame(Frame):
    """
    A frame which remembers its message, so that the answer carries exactly the same header.

    :param source: the message; a stamp rebuilt from ns would lose an odd one.
    :param arrived: `time.perf_counter()` when the message came in, in s.
    """

    source: Any = None
    arrived: float = 0.0

    @property
    def header(self) -> Header:
        """The source's header."""
        header: Header = self.source.header
        return header


def to_stamp_ns(stamp: Time) -> int:
    """
    Read a message's stamp as nanoseconds.

    :param stamp: as in a header; seconds may be negative.
    """
    return int(stamp.sec) * _NS + int(stamp.nanosec)


def stamp_ns_of(msg: Any) -> int:
    """
    Read the stamp of an image of any kind as nanoseconds.

    :param msg: RawImage, Image or CompressedImage.
    """
    if isinstance(msg, RawImage):
        return msg.sec * _NS + msg.nanosec
    return to_stamp_ns(msg.header.stamp)


def to_frame(
    msg: Image | RawImage, arrived: float = 0.0, grey: GreyRange | None = None
) -> CameraFrame:
    """
    Read a camera image; rgb8 and bgr8 are views of the message, others are converted to bgr8.

    :param msg: of any encoding in the table above; `step` and `is_bigendian` are honoured.
    :param arrived: `time.perf_counter()` at its arrival.
    :param grey: the camera's stretch of 16 bits to 8; None = one for this image alone.
    :raises VosError: the encoding is unknown, or size, step and data do not fit together.
    """
    pixels, encoding = decode_image(msg, grey)
    return CameraFrame(
        image=pixels,
        encoding=encoding,
        stamp_ns=stamp_ns_of(msg),
        frame_id=frame_id_of(msg),
        source=msg,
        arrived=arrived,
    )


def to_frame_from_compressed(
    msg: CompressedImage, arrived: float = 0.0, grey: GreyRange | None = None
) -> CameraFrame:
    """
    Decode a jpeg or png camera image to bgr8.

    :param msg: as image_transport's compressed plugin publishes it.
    :param arrived: `time.perf_counter()` at its arrival.
    :param grey: the camera's stretch of 16 bits to 8; None = one for this image alone.
    :raises VosError: another format, cut off, damaged, or too large.
    """
    return CameraFrame(
        image=decode_compressed_image(msg, grey),
        encoding='bgr8',
        stamp_ns=stamp_ns_of(msg),
        frame_id=frame_id_of(msg),
        source=msg,
        arrived=arrived,
    )


class Arrival(NamedTuple):
    """
    An image message, not looked at yet.

    :param msg: RawImage, Image or CompressedImage.
    :param arrived: `time.perf_counter()` when it came, in s.
    :param stamp_ns: of its header.
    """

    msg: Any
    arrived: float
    stamp_ns: int


def to_any_frame(item: Arrival, grey: GreyRange | None = None) -> CameraFrame:
    """
    Read a camera image of either kind.

    :param item: as it arrived.
    :param grey: the camera's stretch of 16 bits to 8; None = one for this image alone.
    :raises VosError: it cannot be read.
    """
    if isinstance(item.msg, CompressedImage):
        return to_frame_from_compressed(item.msg, item.arrived, grey)
    return to_frame(item.msg, item.arrived, grey)


def to_label_map(msg: Image, binary_id: int = 1) -> np.ndarray:
    """
    Read an init mask: 0 = untouched, k = (re)initialise object k.

    What its numbers mean is told in `formats.masks`. The result owns its memory: a prompt outlives
    its message.

    :param msg: mono8, 8UC1, mono16, 16UC1 or 32SC1.
    :param binary_id: the object which a mask of one object means.
    :return: (H, W) uint8 or uint16, with at least one object.
    :raises VosError: another encoding, sizes that do not fit, ids outside 0 to 65535, no object.
    """
    return read_prompt(decode_labels(msg, 'init mask'), 'init mask', binary_id)


def to_label_map_from_compressed(msg: CompressedImage, binary_id: int = 1) -> np.ndarray:
    """
    Read an init mask that was sent as PNG, 8 or 16 bit, grey or indexed; the rules are the same.

    :param msg: png; jpeg is refused, for it changes ids.
    :param binary_id: the object which a mask of one object means.
    :return: (H, W) uint8 or uint16, with at least one object.
    :raises VosError: not a PNG, damaged, or no object in it.
    """
    name = f"the compressed init mask (format '{msg.format}', {len(msg.data)} bytes)"
    return read_prompt(decode_label_png(bytes(msg.data), name), 'init mask', binary_id)


def to_prompt_from_file(path: str, binary_id: int = 1) -> Prompt:
    """
    Read a mask file as a prompt for the first frame that comes.

    :param path: of a PNG, indexed or grey.
    :param binary_id: the object which a mask of one object means.
    :raises VosError: unreadable, or no object in it.
    """
    return Prompt(read_prompt_png(Path(path).expanduser(), binary_id))


def to_label_msg(label_map: np.ndarray, header: Header) -> Image:
    """
    Publish ids per pixel.

    :param label_map: (H, W) uint8 -> mono8, or uint16 -> mono16.
    :param header: the source image's.
    """
    return _to_image(label_map, 'mono8' if label_map.dtype == np.uint8 else 'mono16', header)


def to_mask_msg(label_map: np.ndarray, object_id: int, header: Header) -> Image:
    """
    Publish one object as 0 / 255.

    :param label_map: (H, W) uint8 or uint16.
    :param object_id: the object.
    :param header: the source image's.
    """
    return _to_image((label_map == object_id).astype(np.uint8) * np.uint8(255), 'mono8', header)


def to_confidence(segmentation: Segmentation) -> np.ndarray:
    """
    Compute how sure each pixel's label is: the probability of the winning one, 255 = certain.

    Upsampled before the maximum is taken, as the labels are: an outline is where two of them
    are near each other.

    :param segmentation: with `prob` at the network's stride.
    :return: (H, W) uint8 at the camera's size.
    """
    height, width = segmentation.label_map.shape
    best = np.zeros((height, width), np.float32)
    plane = np.empty_like(best)
    for row in segmentation.prob:
        cv2.resize(row, (width, height), dst=plane, interpolation=cv2.INTER_LINEAR)
        np.maximum(best, plane, out=best)
    return cv2.convertScaleAbs(best, alpha=255.0)


def to_mono_msg(pixels: np.ndarray, header: Header) -> Image:
    """
    Publish a grey picture.

    :param pixels: (H, W) uint8.
    :param header: the source image's.
    """
    return _to_image(pixels, 'mono8', header)


def to_depth_msg(stored: np.ndarray, encoding: str, header: Header) -> Image:
    """
    Publish a depth image.

    :param stored: (H, W) uint16 in mm or float32 in m.
    :param encoding: 16UC1, mono16 or 32FC1.
    :param header: the source image's.
    """
    return _to_image(stored, encoding, header)


def to_overlay(
    frame: Frame, label_map: np.ndarray, alpha: float, notes: Mapping[int, str] = _NO_NOTES
) -> np.ndarray:
    """
    Paint the objects over the picture, in DAVIS's colours and with their ids.

    :param frame: the camera image.
    :param label_map: (H, W) uint8 or uint16, of the same size.
    :param alpha: 0 = only the picture, 1 = only the colours.
    :param notes: object id -> a line about it, written into the upper left corner beside a square
        of the object's colour.
    :return: (H, W, 3) uint8 in the frame's encoding.
    """
    palette = davis_palette()[:, :: 1 if frame.encoding == 'rgb8' else -1]
    rows, columns = np.nonzero(label_map)
    image = np.array(frame.image, order='C')
    if rows.size:
        # Only the objects' pixels: they are usually a small part of the picture.
        colors = palette[label_map[rows, columns] % 255].astype(np.float32)
        pixels = image[rows, columns]
        image[rows, columns] = (pixels + alpha * (colors - pixels)).astype(np.uint8)
    image = draw_ids(image, label_map)
    scale = max(0.4, frame.size[0] / 800)
    side = round(16 * scale)
    for number, (object_id, line) in enumerate(notes.items(), 1):
        color = [int(value) for value in palette[object_id % 255]]
        left, bottom = round(8 * scale), round(30 * scale * number)
        cv2.rectangle(image, (left, bottom - side), (left + side, bottom), color, cv2.FILLED)
        # Black below, so that it can be read on anything.
        for ink, thickness in (((0, 0, 0), 3), ((255, 255, 255), 1)):
            at = (left + 2 * side, bottom)
            cv2.putText(image, drawable(line), at, _FONT, scale, ink, thickness, cv2.LINE_AA)
    return image


def to_jpeg_msg(image: np.ndarray, encoding: str, header: Header) -> CompressedImage:
    """
    Publish a colour picture as jpeg, as image_transport's compressed plugin names it.

    :param image: (H, W, 3) uint8.
    :param encoding: rgb8 or bgr8.
    :param header: the source image's.
    """
    bgr = image[..., ::-1] if encoding == 'rgb8' else image
    _, jpeg = cv2.imencode('.jpg', np.ascontiguousarray(bgr), [cv2.IMWRITE_JPEG_QUALITY, 80])
    msg = CompressedImage(format=f'{encoding}; jpeg compressed bgr8')
    msg.header = header
    msg.data = array.array('B', jpeg.tobytes())
    return msg


def to_png_msg(label_map: np.ndarray, header: Header) -> CompressedImage:
    """
    Publish ids per pixel as PNG, as image_transport's compressed plugin does.

    Grey, not indexed: whoever decodes it by OpenCV would get colours for ids.

    :param label_map: (H, W) uint8 -> mono8, or uint16 -> mono16.
    :param header: the source image's.
    """
    encoding = 'mono8' if label_map.dtype == np.uint8 else 'mono16'
    # OpenCV's own settings: with any level named, flat areas take three times as long.
    _, png = cv2.imencode('.png', label_map)
    # The plugin names the encoding of colours behind the last word; grey has none.
    msg = CompressedImage(format=f'{encoding}; png compressed ')
    msg.header = header
    msg.data = array.array('B', png.tobytes())
    return msg


def to_color_msg(image: np.ndarray, encoding: str, header: Header) -> Image:
    """
    Publish a colour picture.

    :param image: (H, W, 3) uint8.
    :param encoding: rgb8 or bgr8.
    :param header: the source image's.
    """
    return _to_image(image, encoding, header)


def _to_image(pixels: np.ndarray, encoding: str, header: Header) -> Image:
    pixels = np.ascontiguousarray(pixels)
    data = array.array('B')
    data.frombytes(pixels.data.cast('B') if pixels.size else b'')
    msg = Image()
    msg.header = header
    msg.height, msg.width = int(pixels.shape[0]), int(pixels.shape[1])
    msg.encoding = encoding
    msg.is_bigendian = int(pixels.dtype.byteorder == '>')
    msg.step = int(pixels.strides[0]) if pixels.size else 0
    msg.data = data
    return msg
