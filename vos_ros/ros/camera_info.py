# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
~/camera_info: that of the camera, with the header of each mask.

nvblox takes a mask together with a camera_info of the same stamp, and image_transport looks for
one beside every image. Nothing is listened to until somebody asks for it.
"""

from collections.abc import Callable
import time
from typing import Any

from rclpy.callback_groups import CallbackGroup
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from vos_ros.config import NodeConfig
from vos_ros.errors import VosError
from vos_ros.ros.cdr import read_message
from vos_ros.ros.guard import ErrorLog, guarded
from vos_ros.ros.qos import BEST_EFFORT, LATCHED, profile, QosWatch, RELIABLE, VOLATILE
from vos_ros.ros.reporting import image_topic

#: How often to look for what does not come.
_POLL_S = 1.0
#: Largest message that is kept and read with each frame; a camera's has some hundred bytes.
_MOST_NBYTES = 16384


def camera_info_topic(image: str) -> str:
    """
    Name the camera_info that belongs to an image, as image_transport does: it is beside it.

    :param image: resolved name of the topic, raw or compressed.
    """
    return image.removesuffix('/compressed').rpartition('/')[0] + '/camera_info'


def size_of(info: CameraInfo) -> tuple[int, int]:
    """
    Return (height, width) of the images that a camera_info is for.

    :param info: binning and region of interest are honoured.
    """
    width, height = info.width, info.height
    if info.roi.width and info.roi.height:
        width, height = info.roi.width, info.roi.height
    return height // max(1, info.binning_y), width // max(1, info.binning_x)


class CameraInfoRelay:
    """
    Publishes ~/camera_info, from configure to clean-up.

    The worker's thread publishes, that of the executor listens and stops to, and messages come by
    the intake's.

    :param node: for its graph.
    :param watch: makes publisher and subscriptions.
    :param config: of the node: where images come from.
    :param group: of the subscriptions.
    :param error_log: logs.
    :param request_match: called from the worker's thread when `match` is to be called from the
        executor's.
    :param on_topics_changed: called when `subscriptions` has changed.
    """

    def __init__(
        self,
        node: Any,
        watch: QosWatch,
        config: NodeConfig,
        *,
        group: CallbackGroup,
        error_log: ErrorLog,
        request_match: Callable[[], Any],
        on_topics_changed: Callable[[], None],
    ) -> None:
        self.subscriptions: tuple[Any, ...] = ()
        self._node = node
        self._watch = watch
        self._group = group
        self.error_log = error_log
        self._request_match = request_match
        self._on_topics_changed = on_topics_changed
        self._topic = camera_info_topic(node.resolve_topic_name(image_topic(node, config)))
        self._publisher = watch.advertise(CameraInfo, '~/camera_info', profile(2))
        self._newest: bytes | None = None  # serialised
        self._polled_at = float('-inf')

    def close(self) -> None:
        """Destroy the topics; from the executor's thread, while no worker runs."""
        self._listen(())
        self._watch.release(self._publisher)

    def publish(self, header: Header, shape: tuple[int, int]) -> None:
        """
        Publish the newest one, where somebody wants it; in the worker's thread.

        :param header: of the image.
        :param shape: (height, width) of its masks.
        """
        is_wanted, newest = self._publisher.get_subscription_count() > 0, self._newest
        if is_wanted and newest is not None:
            self._send(newest, header, shape)
        elif is_wanted or self.subscriptions:
            now = time.monotonic()
            if now - self._polled_at > _POLL_S:
                self._polled_at = now
                self._request_match()

    def match(self) -> None:
        """Listen while somebody wants it; in the executor's thread."""
        if self._publisher.get_subscription_count() == 0:
            self._listen(())
            self._newest = None
        elif not self.subscriptions:
            self._listen((VOLATILE,))
        elif self._newest is None:
            # What was published once comes only to who asks for that, which does not match others.
            offers = self._node.get_publishers_info_by_topic(self._topic)
            is_latched = any(offer.qos_profile.durability == LATCHED for offer in offers)
            if is_latched and len(self.subscriptions) == 1:
                self._listen((VOLATILE, LATCHED))
            else:
                self.error_log.warn(
                    f'~/camera_info is asked for, but nothing comes on {self._topic}: remap that '
                    'to the camera_info of the images, or let the camera publish it'
                )

    def _listen(self, durabilities: tuple[Any, ...]) -> None:
        before, self.subscriptions = self.subscriptions, tuple(map(self._subscribe, durabilities))
        if before or self.subscriptions:
            self._on_topics_changed()
        for subscription in before:
            self._watch.release(subscription)

    def _subscribe(self, durability: Any) -> Any:
        reliability = RELIABLE if durability == LATCHED else BEST_EFFORT
        return self._watch.subscribe(
            CameraInfo,
            self._topic,
            self._on_info,
            profile(1, reliability, durability),
            raw=True,
            callback_group=self._group,
        )

    @guarded
    def _on_info(self, serialized: bytes) -> None:
        if len(serialized) <= _MOST_NBYTES:
            self._newest = serialized
            return
        self.error_log.log(
            VosError(
                f'{self._topic}: a message of {len(serialized)} bytes is refused, {_MOST_NBYTES} '
                'at most; is its sender a camera?'
            )
        )

    def _send(self, newest: bytes, header: Header, shape: tuple[int, int]) -> None:
        try:
            info = read_message(newest, CameraInfo)
        except VosError as error:
            self.error_log.log(VosError(f'{self._topic}: {error}'))
            return
        size = size_of(info)
        if size != shape:
            self.error_log.warn(
                f'{self._topic} is for images of {size[1]}x{size[0]}, they have '
                f'{shape[1]}x{shape[0]}: ~/camera_info is not published; remap {self._topic} to '
                'that of these images'
            )
            return
        info.header = header
        self._publisher.publish(info)
