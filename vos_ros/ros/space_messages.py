# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Objects in space to messages: pure functions, without a node.

Those for packages that are optional (vision_msgs, tf2_msgs) get the package's `msg` module from
their caller.
"""

import array
from collections.abc import Sequence
import importlib
from typing import Any

from geometry_msgs.msg import Point, PoseStamped, Quaternion, TransformStamped, Vector3
import numpy as np
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import Header

from vos_ros.space.objects import ObjectInSpace

#: What a point of ~/centers says.
CENTER = np.dtype(
    [
        *((name, '<f4') for name in ('x', 'y', 'z', 'size_x', 'size_y', 'size_z')),
        *((name, '<u4') for name in ('id', 'pixels', 'used')),
    ]
)
_KINDS = {'<f4': PointField.FLOAT32, '<u4': PointField.UINT32}
_XYZ = np.dtype([(name, '<f4') for name in 'xyz'])


def find_messages(package: str) -> Any | None:
    """
    Import the messages of a package that is optional.

    :param package: such as 'tf2_msgs'.
    :return: its module `msg`, None where it is not installed.
    """
    try:
        return importlib.import_module(f'{package}.msg')
    except ImportError:
        return None


def to_cloud_msg(points: np.ndarray, header: Header) -> PointCloud2:
    """
    Publish the points of one object.

    :param points: (N, 3) float32, m.
    :param header: the depth image's.
    """
    packed = np.ascontiguousarray(points, '<f4').reshape(-1, 3)
    return _to_cloud(packed.view(_XYZ)[:, 0] if len(packed) else np.empty(0, _XYZ), header)


def to_centers_msg(objects: Sequence[ObjectInSpace], header: Header) -> PointCloud2:
    """
    Publish one point per object, with all that is known of it in further fields.

    :param objects: x, y, z are NaN for those without a centre.
    :param header: the depth image's.
    """
    rows = np.zeros(len(objects), CENTER)
    for row, each in zip(rows, objects):
        row['id'], row['pixels'], row['used'] = each.object_id, each.pixels, len(each.points)
        size = size_of(each)
        for number, axis in enumerate('xyz'):
            row[axis] = np.nan if each.center is None else each.center[number]
            row[f'size_{axis}'] = size[number]
    return _to_cloud(rows, header)


def read_centers(msg: PointCloud2) -> np.ndarray:
    """
    Read what `to_centers_msg` wrote.

    :param msg: of ~/centers.
    :return: (N,) of CENTER.
    """
    return np.frombuffer(bytes(msg.data), CENTER)


def size_of(each: ObjectInSpace) -> np.ndarray:
    """
    Return the extents of an object's box.

    :param each: the object.
    :return: (3,) m; 0 where it has no centre.
    """
    return np.zeros(3) if each.low is None or each.high is None else each.high - each.low


def to_pose_msg(each: ObjectInSpace, header: Header) -> PoseStamped:
    """
    Publish where an object is.

    :param each: with a centre.
    :param header: the depth image's. The orientation is that of its frame: none is estimated.
    """
    msg = PoseStamped(header=header)
    msg.pose.position = _point(each.center)
    return msg


def to_transform_msg(each: ObjectInSpace, header: Header, prefix: str) -> TransformStamped:
    """
    Give an object a frame.

    :param each: with a centre.
    :param header: the depth image's.
    :param prefix: before object_<id>.
    """
    msg = TransformStamped(header=header, child_frame_id=f'{prefix}object_{each.object_id}')
    x, y, z = (float(v) for v in each.center)
    msg.transform.translation = Vector3(x=x, y=y, z=z)
    msg.transform.rotation = Quaternion(w=1.0)
    return msg


def to_detections_msg(vision: Any, objects: Sequence[ObjectInSpace], header: Header) -> Any:
    """
    Publish objects as Detection3DArray.

    Each has its id and a box along the axes of the frame. The score of its one result is the share
    of its mask that has depth. One without a centre has no result and a box of size 0.

    :param vision: the module vision_msgs.msg.
    :param objects: of one depth image.
    :param header: its header.
    """
    msg = vision.Detection3DArray()
    msg.header = header
    for each in objects:
        detection = vision.Detection3D()
        detection.header = header
        detection.id = str(each.object_id)
        if each.center is not None:
            result = vision.ObjectHypothesisWithPose()
            result.hypothesis.class_id = f'object_{each.object_id}'
            result.hypothesis.score = float(each.share)
            result.pose.pose.position = _point(each.center)
            result.pose.pose.orientation = Quaternion(w=1.0)
            detection.results.append(result)
            detection.bbox.center.position = _point((each.low + each.high) / 2)
            detection.bbox.center.orientation = Quaternion(w=1.0)
            x, y, z = (float(v) for v in size_of(each))
            detection.bbox.size = Vector3(x=x, y=y, z=z)
        msg.detections.append(detection)
    return msg


def _point(values: Any) -> Point:
    x, y, z = (float(v) for v in values)
    return Point(x=x, y=y, z=z)


def _to_cloud(rows: np.ndarray, header: Header) -> PointCloud2:
    kinds = [(name, *rows.dtype.fields[name][:2]) for name in rows.dtype.names]
    data = array.array('B')
    data.frombytes(rows.tobytes())
    return PointCloud2(
        header=header,
        height=1,
        width=len(rows),
        fields=[
            PointField(name=name, offset=int(offset), datatype=_KINDS[kind.str], count=1)
            for name, kind, offset in kinds
        ],
        is_bigendian=False,
        point_step=rows.dtype.itemsize,
        row_step=rows.dtype.itemsize * len(rows),
        data=data,
        is_dense=not len(rows) or bool(np.isfinite(rows['x']).all()),
    )
