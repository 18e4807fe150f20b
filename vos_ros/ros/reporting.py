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
from vos_ros.ros.guard import ErrorLog, SilenceLog
from vos_ros.ros.parameters import Configuration
from vos_ros.ros.qos import BEST_EFFORT, QosWatch
from vos_ros.stream.overload import OverloadStatus

_COMPRESSED = '/compressed'
#: What a topic must carry, by the parameter image_transport.
_TYPES = {'raw': 'sensor_msgs/msg/Image', 'compressed': 'sensor_msgs/msg/CompressedImage'}


def compressed_topic(node: Any, base: str) -> str:
    """
    Name the compressed topic beside a raw one as image_transport does.

    That resolves the base with its remappings, then appends the transport; remappings of the
    whole name hold as well.

    :param node: whose remappings count.
    :param base: relative name of the raw topic; where it is remapped to one that ends with
        /compressed, that is the one.
    """
    resolved = str(node.resolve_topic_name(base))
    return resolved if resolved.endswith(_COMPRESSED) else resolved + _COMPRESSED


def image_topic(node: Any, config: NodeConfig) -> str:
    """
    Name the topic of the camera.

    :param node: whose remappings count.
    :param config: says in which form images come.
    """
    return compressed_topic(node, 'image') if config.image_transport == 'compressed' else 'image'


@dataclass(frozen=True)
class Snapshot:
    """
    The node as it is at present.

    :param state: label of the lifecycle state.
    :param failure: why it cannot be configured or activated, '' = nothing.
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
    failure: str
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
    :param error_log: of the node.
    """

    def __init__(
        self, node: Any, health: diagnostics.Health, watch: QosWatch, error_log: ErrorLog
    ) -> None:
        self._node = node
        self._health = health
        self._watch = watch
        self._silence_log = SilenceLog(error_log)
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
                now.failure,
                self._watch.other_publishers(self._node.resolve_topic_name('~/labels')),
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
        topic = self._node.resolve_topic_name(image_topic(self._node, now.config.node))
        is_expected, silence = now.is_active and not now.is_paused, ''
        if is_expected:
            hint = self._why_silent(now.config.node, topic)
            silence = self._health.silence(now.config.node, hint)
        self._silence_log.tell({topic: silence} if silence else {})
        return self._health.input_status(
            now.config.node,
            now.counts,
            is_expected=is_expected,
            # The clock of the host has begun long ago.
            is_clock_missing=self._node.get_clock().now().nanoseconds == 0,
            silence=silence,
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
            return f'nobody publishes {topic}{self._where_else(config, topic)}'
        wanted = _TYPES[config.image_transport]
        types = sorted({offer.topic_type for offer in offers})
        if wanted not in types:
            other = next((name for name, kind in _TYPES.items() if kind in types), '')
            remedy = f'set image_transport to {other}' if other else 'remap image to a camera'
            return f'{topic} carries {", ".join(types)}, not {wanted}: {remedy}'
        if config.image_qos == 'reliable' and all(
            offer.qos_profile.reliability == BEST_EFFORT for offer in offers
        ):
            return f'{topic} is published best effort, set image_qos to sensor_data'
        return (
            f'{topic} has {len(offers)} publisher(s); if it is on the same host, both sides need '
            'config/fastdds_large_images.xml'
        )

    def _where_else(self, config: NodeConfig, topic: str) -> str:
        """Say whether the camera offers the other form of image beside this topic."""
        is_raw = config.image_transport != 'compressed'
        beside = topic + _COMPRESSED if is_raw else topic.removesuffix(_COMPRESSED)
        if beside == topic or not self._node.count_publishers(beside):
            return ''
        other = 'compressed' if is_raw else 'raw'
        return f', but somebody publishes {beside}: set image_transport to {other}'
