# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What objects_3d gives away; computed only where somebody subscribes. Executor's thread only."""

from collections.abc import Sequence
from typing import Any

from geometry_msgs.msg import PoseStamped
import numpy as np
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header

from vos_ros.config import Objects3dConfig
from vos_ros.datatypes import LabelMap
from vos_ros.ros import space_messages
from vos_ros.ros.conversions import to_depth_msg
from vos_ros.ros.qos import profile, QosWatch
from vos_ros.space.depth import without_objects
from vos_ros.space.objects import ObjectInSpace

_PER_OBJECT = {'points': PointCloud2, 'pose': PoseStamped}


class SpaceOutputs:
    """
    The publishers of objects_3d.

    :param watch: makes them.
    :param vision: the module vision_msgs.msg, None where it is not installed.
    :param tf2: the module tf2_msgs.msg, likewise.
    """

    def __init__(self, watch: QosWatch, vision: Any | None, tf2: Any | None) -> None:
        self._watch = watch
        self._vision = vision
        self._tf2 = tf2
        self._tf: Any = None
        self._of_object: dict[int, dict[str, Any]] = {}
        self._seen_s: dict[int, float] = {}
        self._publishers = {
            'centers': watch.advertise(PointCloud2, '~/centers', profile(2)),
            'depth': watch.advertise(Image, '~/depth_without_objects', profile(2)),
            # Where image_transport looks for that of the depth image.
            'camera_info': watch.advertise(CameraInfo, '~/camera_info', profile(2)),
        }
        if vision is not None:
            kind = vision.Detection3DArray
            self._publishers['objects'] = watch.advertise(kind, '~/objects_3d', profile(2))

    @property
    def object_ids(self) -> tuple[int, ...]:
        """Ids that have topics at present."""
        return tuple(sorted(self._of_object))

    @property
    def is_depth_wanted(self) -> bool:
        """Whether somebody wants the depth image without the objects."""
        return self._is_wanted(self._publishers['depth'])

    def publish_depth(
        self, stored: np.ndarray, encoding: str, labels: LabelMap, dilate_px: int, header: Header
    ) -> None:
        """
        Publish the depth image without the objects.

        :param stored: (H, W) as it came.
        :param encoding: of the message, as it came.
        :param labels: (H, W), of the same size.
        :param dilate_px: how much wider than the masks.
        :param header: the depth image's.
        """
        cut = without_objects(stored, labels, dilate_px)
        self._publishers['depth'].publish(to_depth_msg(cut, encoding, header))

    def publish_camera_info(self, info: CameraInfo, header: Header) -> None:
        """
        Publish the camera_info of the depth image without the objects.

        :param info: as it came; its header is replaced, and it is not used any further.
        :param header: the depth image's.
        """
        if self._is_wanted(self._publishers['camera_info']):
            info.header = header
            self._publishers['camera_info'].publish(info)

    def publish(
        self, objects: Sequence[ObjectInSpace], header: Header, config: Objects3dConfig
    ) -> None:
        """
        Publish objects in space.

        :param objects: of one depth image.
        :param header: its header.
        :param config: at present.
        """
        if self._is_wanted(self._publishers['centers']):
            msg = space_messages.to_centers_msg(objects, header)
            self._publishers['centers'].publish(msg)
        detections = self._publishers.get('objects')
        if self._is_wanted(detections):
            detections.publish(space_messages.to_detections_msg(self._vision, objects, header))
        for each in objects:
            publishers = self._of_object.get(each.object_id, {})
            if self._is_wanted(publishers.get('points')):
                publishers['points'].publish(space_messages.to_cloud_msg(each.points, header))
            if each.center is not None and self._is_wanted(publishers.get('pose')):
                publishers['pose'].publish(space_messages.to_pose_msg(each, header))
        self._broadcast([each for each in objects if each.center is not None], header, config)

    def match_objects(self, object_ids: Sequence[int], now_s: float, config: Any) -> None:
        """
        Make topics for new objects, and destroy those of objects that are gone for long.

        :param object_ids: on the newest labels.
        :param now_s: a steady clock.
        :param config: says how long topics stay, and of how many objects.
        """
        self._seen_s |= dict.fromkeys(object_ids, now_s)
        absent = sorted(set(self._of_object) - set(object_ids), key=lambda i: self._seen_s[i])
        # Ids that only noise has had make room first.
        excess = len(self._of_object) + len(set(object_ids) - set(self._of_object))
        excess -= config.max_objects
        for number, object_id in enumerate(absent):
            if number < excess or now_s - self._seen_s[object_id] > config.keep_topics_s:
                for publisher in self._of_object.pop(object_id).values():
                    self._watch.release(publisher)
        for object_id in object_ids:
            if object_id not in self._of_object:
                self._of_object[object_id] = {
                    name: self._watch.advertise(kind, f'~/object_{object_id}/{name}', profile(2))
                    for name, kind in _PER_OBJECT.items()
                }
        self._seen_s = {i: s for i, s in self._seen_s.items() if i in self._of_object}

    def _broadcast(
        self, objects: Sequence[ObjectInSpace], header: Header, config: Objects3dConfig
    ) -> None:
        if not config.tf.enabled or self._tf2 is None:
            return
        if self._tf is None:
            self._tf = self._watch.advertise(self._tf2.TFMessage, '/tf', profile(100))
        transforms = [
            space_messages.to_transform_msg(each, header, config.tf.prefix) for each in objects
        ]
        if transforms:
            self._tf.publish(self._tf2.TFMessage(transforms=transforms))

    @staticmethod
    def _is_wanted(publisher: Any) -> bool:
        return publisher is not None and publisher.get_subscription_count() > 0
