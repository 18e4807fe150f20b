# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""/diagnostics: gathers what there is to say about the node and publishes it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus

from vos_ros.config import NodeConfig
from vos_ros.engine.segmenter import VideoSegmenter
from vos_ros.ros import diagnostics
from vos_ros.ros.parameters import Configuration
from vos_ros.ros.qos import BEST_EFFORT, QosWatch
from vos_ros.stream.overload import OverloadStatus


def image_topic(config: NodeConfig) -> str:
    """
    Name the topic of the camera, before remapping.

    :param config: says in which form images come.
    """
    return 'image/compressed' if config.image_transport == 'compressed' else 'image'


@dataclass(frozen=True)
class Snapshot:
    """
    The node as it is at present.

    :param state: label of the lifecycle state.
    :param complaint: why it cannot be configured or activated, '' = nothing.
    :param segmenter: None while not configured.
    :param counts: of all its workers, by name.
    :param overload: None while not active.
    :param names: object id -> name, of those that were named.
    :param prompted_frames: in the memory bank, as of the newest result.
    :param load_s: time to load the model.
    """

    state: str
    is_active: bool
    is_paused: bool
    complaint: str
    config: Configuration
    segmenter: VideoSegmenter | None
    counts: Mapping[str, int]
    overload: OverloadStatus | None
    names: Mapping[int, str]
    prompted_frames: int
    load_s: float


class Reporter:
    """
    Publishes /diagnostics.

    :param node: gives name, clock and graph.
    :param health: counts and recent figures.
    :param watch: knows who does not match.
    """

    def __init__(self, node: Any, health: diagnostics.Health, watch: QosWatch) -> None:
        self._node = node
        self._health = health
        self._watch = watch
        self._publisher = node.create_publisher(DiagnosticArray, '/diagnostics', 10)

    def report(self, now: Snapshot) -> None:
        """
        Publish one report.

        :param now: the node.
        """
        is_paused = now.is_active and now.is_paused
        parts = {
            'node': diagnostics.node_status(
                'paused' if is_paused else now.state,
                now.complaint,
                self._watch.rivals(self._node.resolve_topic_name('~/labels')),
            ),
            'input': self._input(now),
        }
        hardware = 'no model'
        if now.segmenter is not None:
            hardware = f'{now.segmenter.backend_name} {now.segmenter.manifest.sha256[:12]}'
            parts |= self._of_segmenter(now, now.segmenter)
        msg = DiagnosticArray()
        msg.header.stamp = self._node.get_clock().now().to_msg()
        for part, status in parts.items():
            status.name = f'{self._node.get_fully_qualified_name()[1:]}: {part}'
            status.hardware_id = hardware
            msg.status.append(status)
        self._publisher.publish(msg)

    def _input(self, now: Snapshot) -> DiagnosticStatus:
        topic = self._node.resolve_topic_name(image_topic(now.config.node))
        return self._health.input_status(
            now.config.node,
            now.counts,
            is_expected=now.is_active and not now.is_paused,
            # The clock of the host has begun long ago.
            is_clock_missing=self._node.get_clock().now().nanoseconds == 0,
            hint=self._why_silent(now.config.node, topic) if now.is_active else '',
            offers=self._watch.offers(topic) if now.is_active else (),
            mismatches=self._watch.mismatches(),
        )

    def _of_segmenter(
        self, now: Snapshot, segmenter: VideoSegmenter
    ) -> dict[str, DiagnosticStatus]:
        config = now.config
        return {
            'inference': self._health.inference_status(
                segmenter, config.node, now.counts, now.overload
            ),
            'objects': self._health.objects_status(
                segmenter.object_ids, config.segmenter.max_objects, now.names
            ),
            'memory': diagnostics.memory_status(segmenter, now.prompted_frames),
            'engine': diagnostics.engine_status(segmenter, config.runtime.backend, now.load_s),
        }

    def _why_silent(self, config: NodeConfig, topic: str) -> str:
        """Say what may keep images away, as far as the graph tells."""
        offers = self._node.get_publishers_info_by_topic(topic)
        if not offers:
            return f'nobody publishes {topic}'
        if config.image_qos == 'reliable' and all(
            offer.qos_profile.reliability == BEST_EFFORT for offer in offers
        ):
            return f'{topic} is published best effort, set image_qos to sensor_data'
        return (
            f'{topic} has {len(offers)} publisher(s); if it is on the same host, both sides need '
            'config/fastdds_large_images.xml'
        )
