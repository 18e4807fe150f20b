# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Replay through the real node: player, node and recorder as processes, over DDS.

What is scored is what a subscriber had: at the stamp of each image, the newest mask that had
arrived by then.
"""

from __future__ import annotations

from collections.abc import Sequence
import json
from pathlib import Path
from typing import Any

from rich.console import Console

from vos_ros.backends.base import Manifest
from vos_ros.bag.messages import COMPRESSED
from vos_ros.bag.reader import BagReader
from vos_ros.bag.replay import (
    FrameRecord,
    Observers,
    Outcome,
    Published,
    score_frame,
    Scored,
)
from vos_ros.bag.replay import score as score_mask
from vos_ros.bag.run import first_image, Input, LOGS
from vos_ros.bag.sequence import SequenceBag
from vos_ros.datatypes import LabelMap
from vos_ros.errors import VosError
from vos_ros.evaluation.metrics import ObjectScore, SequenceScorer
from vos_ros.evaluation.occlusion import OcclusionFigures
from vos_ros.formats.label_png import write_label_png
from vos_ros.harness.play import (
    check_ros,
    describe_ros_run,
    Engine,
    play_through_node,
    read_logs,
)
from vos_ros.harness.recording import PlayedFrame, Recording
from vos_ros.sequences import DavisSequence

_NS_PER_MS = 1_000_000


def play(
    given: Input,
    manifest: Manifest,
    engine: Engine,
    out: Path,
    observers: Observers,
    *,
    rate: float = 1.0,
    loops: int = 1,
    console: Console,
) -> tuple[Outcome, dict[str, Any]]:
    """
    Play a bag to a node that is started for it, and score what came back.

    :param given: what of which bag.
    :param manifest: of the model.
    :param engine: what the node runs it with.
    :param out: folder for the logs of the processes.
    :param observers: who looks on; of the first loop only.
    :param rate: how many times faster than recorded.
    :param loops: how often; the objects are forgotten and started again in between.
    :param console: for the bars.
    :return: what came out, and what a report says of model, engine and ROS.
    :raises VosError: bad input, or not one mask came back.
    :raises ProcessError: a process failed.
    """
    check_ros()
    first_image(given)
    logs = out / LOGS
    try:
        logs.mkdir(parents=True)
    except OSError as error:
        raise VosError(f'cannot write {logs}: {error.strerror}; choose another --out') from error
    _write_prompts(given, logs / 'prompts')
    compressed = given.bag.topics[given.image].kind == COMPRESSED
    parameters = {
        'model': manifest.folder.resolve(),
        'image_transport': 'compressed' if compressed else 'raw',
        'image_range': given.image_range,
        **engine.parameters,
    }
    play_through_node(
        logs,
        node=parameters,
        player=[
            *(*_where(given.bag), '--image', given.image, '--prompts', str(logs / 'prompts')),
            *('--rate', str(rate), '--loops', str(loops)),
        ],
        total=given.frames * loops,
        console=console,
    )
    console.print('scoring what came back')
    outcome = score(given, read_logs(logs), loops, observers)
    ran = _engine(logs / 'diagnostics.json')
    return outcome, {
        'model': {
            'name': manifest.name,
            'sha256': manifest.sha256,
            'preset': manifest.content.get('preset'),
        },
        'input_size': engine.config.input_size or manifest.short_side,
        'backend': ran.get('backend', engine.runtime.backend),
        'precision': ran.get('precision', engine.runtime.precision),
        'threads': engine.runtime.threads,
        **describe_ros_run(),
    }


def _where(bag: BagReader) -> list[str]:
    """Give the arguments by which the player opens the same bag."""
    if not isinstance(bag, SequenceBag):
        return [str(bag.path)]
    arguments = [str(bag.path), '--hz', str(bag.rate_hz)]
    if isinstance(bag.sequence, DavisSequence):
        arguments += ['--davis-sequence', bag.sequence.name]
    for file in getattr(bag.sequence, 'without', ()):
        arguments += ['--without', str(file)]
    if bag.limit is not None:
        arguments += ['--frames', str(bag.limit)]
    return arguments


def score(given: Input, recording: Recording, loops: int, observers: Observers) -> Outcome:
    """
    Score a recording.

    :param given: what was played.
    :param recording: what was sent and what arrived.
    :param loops: how often it was played.
    :param observers: who looks on; of the first loop only.
    :raises VosError: bad input.
    """
    records: list[FrameRecord] = []
    scores: list[dict[int, ObjectScore]] = []
    per_frame: list[dict[int, ObjectScore]] = []
    occlusion: list[OcclusionFigures] = []
    for loop in range(loops):
        played = recording.frames
        if loops > 1:  # else a video may have more frames than its header says
            played = played[loop * given.frames : (loop + 1) * given.frames]
        looking = Observers(observers.on_frame, [] if loop else observers.on_mask)
        streaming_scorer, per_frame_scorer = SequenceScorer(), SequenceScorer()
        records += _score_loop(
            given, recording, played, loop, looking, streaming_scorer, per_frame_scorer
        )
        scores.append(streaming_scorer.conclude())
        per_frame.append(per_frame_scorer.conclude())
        occlusion.append(streaming_scorer.occlusion.conclude())
    return Outcome(
        tuple(records),
        tuple(scores),
        '',
        per_frame=tuple(per_frame),
        unknown=recording.unknown,
        occlusion=tuple(occlusion),
    )


def _score_loop(
    given: Input,
    recording: Recording,
    played: Sequence[PlayedFrame],
    loop: int,
    observers: Observers,
    scorer: SequenceScorer,
    per_frame_scorer: SequenceScorer,
) -> list[FrameRecord]:
    truth = given.truth()
    arrivals = _Arrivals(recording, played)
    records = []
    for frame, sent in zip(given.images(), played):
        gt = truth.at(frame)
        record, mask = score_frame(frame, arrivals.newest(sent.stamp_ns), gt, scorer)
        record.sent_ns = sent.stamp_ns - played[0].stamp_ns
        record.latency_ms, record.loop = sent.latency_ms, loop
        records.append(record)
        labels = recording.labels(sent)
        if labels is not None and gt is not None:
            record.per_frame = score_mask(per_frame_scorer, frame, labels, gt)
        if labels is not None and sent.latency_ms is not None:
            at_ns = frame.time_ns + round(sent.latency_ms * _NS_PER_MS)
            for look in observers.on_mask:
                look(Published(frame, labels, at_ns, sent.latency_ms))
        for look_at in observers.on_frame:
            look_at(Scored(frame, mask, gt, record))
    truth.close()
    return records


class _Arrivals:
    """Masks in the order in which they arrived; one of them is in memory."""

    def __init__(self, recording: Recording, played: Sequence[PlayedFrame]) -> None:
        self._recording = recording
        answered = [(_received_ns(p), p.number, p) for p in played if p.latency_ms is not None]
        self._later = sorted(answered, key=lambda item: item[:2], reverse=True)
        self._frame: PlayedFrame | None = None
        self._labels: LabelMap | None = None

    def newest(self, now_ns: int) -> tuple[LabelMap, float] | None:
        """Return the mask of the newest image that has arrived by now, and its age in ms."""
        before = self._frame
        while self._later and self._later[-1][0] <= now_ns:
            arrived = self._later.pop()[2]
            if self._frame is None or arrived.stamp_ns > self._frame.stamp_ns:
                self._frame = arrived
        if self._frame is None:
            return None
        if self._frame is not before or self._labels is None:
            self._labels = self._recording.labels(self._frame)
        assert self._labels is not None
        return self._labels, (now_ns - self._frame.stamp_ns) / _NS_PER_MS


def _received_ns(played: PlayedFrame) -> int:
    return played.stamp_ns + round((played.latency_ms or 0.0) * _NS_PER_MS)


def _write_prompts(given: Input, folder: Path) -> None:
    """Find the init masks before anything is started: the player must not lose time with it."""
    truth, prompts = given.truth(), given.prompts()
    found = False
    for frame in given.images():
        prompt = prompts.at(frame, truth.at(frame))
        if prompt is not None:
            write_label_png(folder / f'{frame.index}.png', prompt.label_map)
            found = True
    truth.close()
    prompts.close()
    if not found:
        raise VosError(prompts.missing())


def _engine(diagnostics: Path) -> dict[str, str]:
    """Read what the node said of its engine; empty where it had no time to."""
    if not diagnostics.exists():
        return {}
    content: dict[str, Any] = json.loads(diagnostics.read_text())
    for name, status in content.items():
        if name.endswith('engine'):
            return dict(status['values'])
    return {}
