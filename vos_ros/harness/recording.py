# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the logs of player and recorder say: which frames were answered, and how soon."""

from __future__ import annotations

from dataclasses import dataclass
import json
from pathlib import Path

from vos_ros.datatypes import LabelMap
from vos_ros.errors import VosError
from vos_ros.formats.label_png import read_label_png


@dataclass(frozen=True)
class PlayedFrame:
    """
    One frame on its way.

    :param number: from 0.
    :param stamp_ns: with which it left the camera.
    :param latency_ms: from that stamp until its label map arrived; None = no map for it.
    """

    number: int
    stamp_ns: int
    latency_ms: float | None


@dataclass(frozen=True)
class Recording:
    """
    Both logs, joined by the stamp.

    :param folder: of the label maps.
    :param frames: every frame that was played, in order.
    :param unknown: label maps whose stamp no frame has.
    """

    folder: Path
    frames: tuple[PlayedFrame, ...]
    unknown: int

    def labels(self, frame: PlayedFrame) -> LabelMap | None:
        """Read the label map of a frame; None if none came."""
        if frame.latency_ms is None:
            return None
        return read_label_png(self.folder / f'{frame.stamp_ns}.png')


def read_recording(playback: Path, recording: Path, labels: Path) -> Recording:
    """
    Join what was sent and what arrived.

    :param playback: JSON lines of the player: frame, stamp_ns.
    :param recording: JSON lines of the recorder: stamp_ns, received_ns.
    :param labels: folder of <stamp_ns>.png.
    :raises VosError: nothing was sent, or nothing came back.
    """
    arrived: dict[int, int] = {}
    for line in _lines(recording):
        # The first arrival counts; a second map for one frame would be the node's fault.
        arrived.setdefault(line['stamp_ns'], line['received_ns'])
    frames = []
    for line in _lines(playback):
        received_ns = arrived.pop(line['stamp_ns'], None)
        latency_ms = None if received_ns is None else (received_ns - line['stamp_ns']) * 1e-6
        frames.append(PlayedFrame(line['frame'], line['stamp_ns'], latency_ms))
    if not frames:
        raise VosError(f'no frame was played; see the logs in {playback.parent}')
    if all(frame.latency_ms is None for frame in frames):
        raise VosError(
            f'{len(frames)} frames were played and not one mask came back; the reason is in '
            f'{playback.parent / "node.log"}, or images do not arrive (docs/troubleshooting.md)'
        )
    return Recording(labels, tuple(frames), unknown=len(arrived))


def _lines(path: Path) -> list[dict[str, int]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
