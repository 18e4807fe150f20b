# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""`objects_3d`: the program around the node that places objects in space."""

from collections.abc import Callable
from functools import partial
import sys
from typing import Any

from vos_ros.config import Objects3dConfig
from vos_ros.ros.node import describe_settings, run_program

_USAGE = """\
usage: objects_3d [--help] [--ros-args ...]

Place the objects of the segmenter in space, by a depth image that is registered to its camera
(ROS 2 node 'objects_3d'). A process of its own, so that the segmenter's masks wait for nothing.

example:
  ros2 run vos_ros objects_3d --ros-args \\
      -r depth:=/camera/aligned_depth_to_color/image_raw \\
      -r camera_info:=/camera/aligned_depth_to_color/camera_info

in:   vos/labels (sensor_msgs/Image, ids per pixel);  depth (sensor_msgs/Image: 16UC1 in mm, 32FC1
      in m);  camera_info (sensor_msgs/CameraInfo, of the depth image)
out:  ~/centers, ~/object_<id>/points (sensor_msgs/PointCloud2);  ~/object_<id>/pose
      (geometry_msgs/PoseStamped);  ~/depth_without_objects (sensor_msgs/Image);  ~/objects_3d
      (vision_msgs/Detection3DArray, where installed);  /tf (tf2_msgs, if asked for);  /diagnostics

parameters (-p NAME:=VALUE, or --params-file; * = may change while it runs):
"""


def usage() -> str:
    """Write the help text, with every parameter as the config dataclass defines it."""
    return _USAGE + describe_settings(Objects3dConfig)


def _load() -> Callable[[], Any]:
    from vos_ros.ros.space_node import Objects3dNode

    return Objects3dNode


#: Runs the node as a program; see `run_program`.
main = partial(run_program, 'objects_3d', usage, _load)


if __name__ == '__main__':
    sys.exit(main())
