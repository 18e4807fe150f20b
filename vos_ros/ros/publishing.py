# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
All topics that the node gives away; what costs time is computed only where somebody subscribes.

Publishers are made and destroyed by the executor's thread and used by the worker's.
"""

from collections.abc import Callable, Collection, Mapping
import threading
import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from vos_ros.config import NodeConfig, OverlayConfig
from vos_ros.datatypes import Frame, LabelMap, ObjectState, Segmentation
from vos_ros.ros import conversions, detections, raw_image, states
from vos_ros.ros.camera_info import CameraInfoRelay
from vos_ros.ros.classes import ClassTable
from vos_ros.ros.events import Events
from vos_ros.ros.qos import LATCHED, profile, QosWatch, RELIABLE


class Outputs:
    """
    The node's outputs from configure to clean-up.

    :param watch: makes the publishers.
    :param config: of the node, with what is offered.
    :param vision: the module vision_msgs.msg, None where it is not installed.
    :param on_objects_changed: called from the worker's thread when other objects are known;
        `match_objects` is to be called from the executor's then.
    :param infos: gives the camera_info of the masks, if there is to be one.
    """

    def __init__(
        self,
        watch: QosWatch,
        config: NodeConfig,
        vision: Any | None,
        on_objects_changed: Callable[[], Any],
        infos: CameraInfoRelay | None = None,
    ) -> None:
        self._watch = watch
        self._vision = vision
        self._infos = infos
        self._classes = ClassTable()
        self._events = Events()
        self._has_object_masks = config.publish.object_masks
        self._on_objects_changed = on_objects_changed
        self._lock = threading.Lock()  # for the publishers of the objects
        self._object_publishers: dict[int, Any] = {}
        self._object_ids: tuple[int, ...] = ()
        self._named: dict[int, str] | None = None  # as last published
        self._overlay_at = float('-inf')
        # Reliable also for pictures: it matches RViz, rqt and every other reader.
        kinds = {
            'labels': (Image, 2),
            'labels/compressed': (CompressedImage, 2),
            'class_labels': (Image, 2),
            'confidence': (Image, 1),
            'object_states': (DiagnosticArray, 2),
            'events': (DiagnosticArray, 32),
        }
        if config.carry.enabled:
            kinds['carried_labels'] = (Image, 2)
        if config.overlay.enabled:
            kinds |= {'overlay': (Image, 1), 'overlay/compressed': (CompressedImage, 1)}
        self._publishers = {
            name: watch.advertise(kind, f'~/{name}', profile(depth))
            for name, (kind, depth) in kinds.items()
        }
        if vision is not None:
            self._publishers['objects'] = watch.advertise(
                vision.Detection2DArray, '~/objects', profile(2)
            )
            self._publishers['label_info'] = watch.advertise(
                vision.LabelInfo, '~/label_info', profile(1, RELIABLE, LATCHED)
            )
            self._publishers['class_info'] = watch.advertise(
                vision.LabelInfo, '~/class_info', profile(1, RELIABLE, LATCHED)
            )
            # Before any class_labels: Nav2's layer must know the classes first.
            self._publish_classes(Header())

    @property
    def object_ids(self) -> tuple[int, ...]:
        """Ids on the newest labels."""
        return self._object_ids

    @property
    def subscriptions(self) -> tuple[Any, ...]:
        """What is listened to for the sake of the outputs, at present."""
        return self._infos.subscriptions if self._infos is not None else ()

    @property
    def labels_topic(self) -> str:
        """Resolved name of ~/labels."""
        return self._publishers['labels'].topic_name

    def close(self) -> None:
        """Destroy all publishers; from the executor's thread, while no worker runs."""
        self._object_ids = ()
        self._match_publishers()
        for publisher in self._publishers.values():
            self._watch.release(publisher)
        self._publishers.clear()

    def publish_labels(self, segmentation: Segmentation, frame: conversions.CameraFrame) -> None:
        """
        Publish the label map, before all else; in the worker's thread.

        :param segmentation: what was found.
        :param frame: on it.
        """
        if self.is_wanted('labels'):
            self._publishers['labels'].publish(
                raw_image.write_labels(segmentation.label_map, frame.source)
            )

    def is_wanted(self, name: str) -> bool:
        """
        Return whether somebody subscribes.

        :param name: of a topic below the node's name; may be none that is offered.
        """
        publisher = self._publishers.get(name)
        return publisher is not None and publisher.get_subscription_count() > 0

    def forget(self, object_ids: Collection[int] | None, now: float) -> None:
        """
        Take what has these ids on images from now on for other objects.

        :param object_ids: that were removed; None = all.
        :param now: s of `time.perf_counter`.
        """
        self._events.forget(object_ids, now)

    def publish_carried(self, label_map: LabelMap, frame: conversions.CameraFrame) -> None:
        """
        Publish labels that were carried to an image; in the carrying thread.

        :param label_map: (H, W) uint8 or uint16.
        :param frame: the image.
        """
        self._publishers['carried_labels'].publish(raw_image.write_labels(label_map, frame.source))

    def publish_rest(
        self,
        segmentation: Segmentation,
        frame: conversions.CameraFrame,
        names: Mapping[int, str],
        overlay: OverlayConfig,
    ) -> None:
        """
        Publish everything else that somebody subscribes to; in the worker's thread.

        :param segmentation: what was found.
        :param frame: on it.
        :param names: object id -> name, for those that were named.
        :param overlay: how to paint, at present.
        """
        labels, header = segmentation.label_map, frame.header
        self._publish_names(segmentation, names, header)
        if self.is_wanted('class_labels'):
            classes = self._classes.to_class_map(labels)
            self._publishers['class_labels'].publish(raw_image.write_labels(classes, frame.source))
        if self.is_wanted('labels/compressed'):
            self._publishers['labels/compressed'].publish(conversions.to_png_msg(labels, header))
        if self._infos is not None:
            self._infos.publish(header, labels.shape)
        with self._lock:
            for object_id, publisher in self._object_publishers.items():
                if publisher.get_subscription_count() > 0:
                    publisher.publish(conversions.to_mask_msg(labels, object_id, header))
        if self.is_wanted('objects'):
            self._publishers['objects'].publish(
                detections.to_objects_msg(self._vision, segmentation, names, header)
            )
        if self.is_wanted('object_states'):
            self._publishers['object_states'].publish(
                states.to_states_msg(segmentation, names, header)
            )
        # Noted for nobody, too: whoever comes late must not hear of what was before.
        event = self._events.note(segmentation, names, header, frame.arrived)
        if event is not None and self.is_wanted('events'):
            self._publishers['events'].publish(event)
        if self.is_wanted('confidence'):
            self._publishers['confidence'].publish(
                conversions.to_mono_msg(conversions.to_confidence(segmentation), header)
            )
        self._publish_overlay(segmentation, frame, names, overlay)
        if segmentation.object_ids != self._object_ids:
            self._object_ids = segmentation.object_ids
            self._on_objects_changed()

    def match_objects(self) -> None:
        """Make and destroy topics: one for every known object, and those that they need."""
        if self._infos is not None:
            self._infos.match()
        self._match_publishers()

    def _match_publishers(self) -> None:
        wanted = self._object_ids if self._has_object_masks else ()
        with self._lock:
            gone = {i: p for i, p in self._object_publishers.items() if i not in wanted}
            for object_id in gone:
                del self._object_publishers[object_id]
        for publisher in gone.values():
            self._watch.release(publisher)
        for object_id in wanted:
            if object_id not in self._object_publishers:
                publisher = self._watch.advertise(Image, f'~/object_{object_id}/mask', profile(2))
                with self._lock:
                    self._object_publishers[object_id] = publisher

    def _publish_overlay(
        self,
        segmentation: Segmentation,
        frame: Frame,
        names: Mapping[int, str],
        overlay: OverlayConfig,
    ) -> None:
        wanted = [n for n in ('overlay', 'overlay/compressed') if self.is_wanted(n)]
        now = time.perf_counter()
        is_early = overlay.max_rate_hz > 0 and now - self._overlay_at < 1 / overlay.max_rate_hz
        if not wanted or is_early:
            return
        self._overlay_at = now
        notes = {
            object_id: f'{detections.name_of(object_id, names)}: {state.value}'
            for object_id, state in segmentation.states.items()
            if state != ObjectState.TRACKED
        }
        picture = conversions.to_overlay(frame, segmentation.label_map, overlay.alpha, notes)
        write = {
            'overlay': conversions.to_color_msg,
            'overlay/compressed': conversions.to_jpeg_msg,
        }
        for name in wanted:
            self._publishers[name].publish(write[name](picture, frame.encoding, frame.header))

    def _publish_names(
        self, segmentation: Segmentation, names: Mapping[int, str], header: Header
    ) -> None:
        named = {i: names.get(i, '') for i in segmentation.object_ids}
        if named == self._named:
            return
        self._named = named
        has_new = self._classes.assign(named)
        if self._vision is None:
            return
        called = {i: detections.name_of(i, names) for i in named}
        self._publishers['label_info'].publish(
            detections.to_label_info_msg(self._vision, called, header)
        )
        if has_new:
            self._publish_classes(header)

    def _publish_classes(self, header: Header) -> None:
        self._publishers['class_info'].publish(
            detections.to_label_info_msg(self._vision, self._classes.names, header)
        )
