# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
What the recording says: which frames were answered, how soon, and how well.

Two scores are given, since a camera does not wait. `published`: over the frames that the node
answered; how good its masks are. `held`: over all frames, an unanswered one being scored with
the newest mask published before it; what somebody who always uses the newest mask has.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
import json
from pathlib import Path

import numpy as np

from vos_ros.datatypes import Frame, LabelMap
from vos_ros.errors import VosError
from vos_ros.evaluation.metrics import ObjectScore, SequenceScorer, summarize
from vos_ros.formats.label_png import read_label_png
from vos_ros.harness.source import Source
from vos_ros.latency import LatencyWindow


@dataclass(frozen=True)
class PlayedFrame:
    """
    One frame on its way.

    :param number: from 0.
    :param stamp_ns: with which it left the camera.
    :param latency_ms: from that stamp until its label map arrived; None = no map for it.
    :param scores: J and F per object, where a map and a true one are there.
    """

    number: int
    stamp_ns: int
    latency_ms: float | None
    scores: dict[int, tuple[float, float]] = field(default_factory=dict)

    @property
    def j(self) -> float | None:
        """Mean J of its objects; None where it was not scored."""
        return _mean([j for j, _ in self.scores.values()])


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


@dataclass(frozen=True)
class Scores:
    """J, F and J&F, mean over objects, and per object; None without true masks."""

    j: float | None
    f: float | None
    jf: float | None
    objects: dict[int, ObjectScore]

    @classmethod
    def of(cls, scorer: SequenceScorer) -> Scores:
        """Sum up what the scorer was fed."""
        objects = scorer.conclude()
        summary = summarize(objects.values())
        if summary is None:
            return cls(None, None, None, {})
        return cls(summary.j, summary.f, summary.jf, objects)

    def to_json(self) -> dict[str, object]:
        """Return what report.json holds of it."""
        objects = {
            str(k): {'j': _round(o.j.mean), 'f': _round(o.f.mean)} for k, o in self.objects.items()
        }
        return {
            'j': _round(self.j),
            'f': _round(self.f),
            'jf': _round(self.jf),
            'objects': objects,
        }


@dataclass(frozen=True)
class Outcome:
    """All that the demo measured."""

    frames: tuple[PlayedFrame, ...]
    published: Scores
    held: Scores
    unknown: int

    @property
    def dropped(self) -> list[int]:
        """List the numbers of the frames without a mask."""
        return [frame.number for frame in self.frames if frame.latency_ms is None]

    @property
    def latency_ms(self) -> dict[str, float]:
        """Return p50, p95, p99 and max from the camera's stamp to the arrival of the mask."""
        window = LatencyWindow(capacity=max(len(self.frames), 1))
        for frame in self.frames:
            if frame.latency_ms is not None:
                window.add(frame.latency_ms)
        return {name: round(value, 3) for name, value in window.summary().items()}


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


def walk(source: Source, recording: Recording) -> Iterator[tuple[PlayedFrame, Frame, LabelMap]]:
    """
    Yield every played frame with its image and the newest label map known at its turn.

    Before the first label map that is an empty one. Frames come without scores.
    """
    newest: LabelMap | None = None
    for played, frame in zip(recording.frames, source.frames()):
        labels = recording.labels(played)
        if labels is not None:
            newest = labels
        if newest is None:
            newest = np.zeros(frame.size, np.uint8)
        yield played, frame, newest


class Scorer:
    """Scores frame after frame, both ways; see the head of this file."""

    def __init__(self) -> None:
        self._published = SequenceScorer()
        self._held = SequenceScorer()
        self._frames: list[PlayedFrame] = []

    def feed(self, played: PlayedFrame, labels: LabelMap, truth: LabelMap | None) -> PlayedFrame:
        """
        Score the next frame.

        :param labels: its own label map, or the newest before it.
        :param truth: the true one; None = nothing to score against.
        :return: the frame with its scores, if it has a map of its own.
        """
        if truth is not None:
            self._held.feed(labels, truth)
            if played.latency_ms is not None:
                scores = self._published.feed(labels, truth)
                played = PlayedFrame(played.number, played.stamp_ns, played.latency_ms, scores)
        self._frames.append(played)
        return played

    def conclude(self, unknown: int) -> Outcome:
        """
        Sum up.

        :param unknown: label maps whose stamp no frame has.
        """
        return Outcome(
            tuple(self._frames), Scores.of(self._published), Scores.of(self._held), unknown
        )


def _lines(path: Path) -> list[dict[str, int]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
