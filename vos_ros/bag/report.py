# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
report.json of a replay.

`j`, `f` and `jf` on top are of the masks themselves: each against the truth of its own image, the
dropped frames left out. `overall` and `sequences` are as the mode scores: with *realtime* and
*ros*, at the stamp of each image, the newest mask (streaming J&F); with *offline* both are one.

Speed has the names of NVIDIA's ros2_benchmark (r2b), `BasicPerformanceMetrics.*`, where it has
one, in its units (ms, Hz), so that both can be put side by side. It leaves the best and the worst
of several runs out before averaging; here all loops count.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from vos_ros.bag.replay import FrameRecord, Outcome
from vos_ros.evaluation.evaluate import (
    describe_run,
    EvalReport,
    Latency,
    SequenceReport,
    Speed,
)
from vos_ros.evaluation.metrics import ObjectScore
from vos_ros.evaluation.occlusion import OcclusionFigures

OFFLINE, REALTIME, ROS = MODES = ('offline', 'realtime', 'ros')
_NS_PER_MS = 1_000_000
_PREFIX = 'BasicPerformanceMetrics.'


@dataclass(frozen=True)
class Setting:
    """
    What was asked for, as the report repeats it.

    :param name: of the bag.
    :param image: topic of the camera.
    :param gt: topic or folder of the ground truth; 'none'.
    :param init: 'first', 'topic' or a file.
    :param mode: one of MODES.
    :param cost_ms: given cost of a frame; None = measured.
    :param rate: how many times faster than recorded it was played; only with *ros*.
    :param loops: how often it was played; only with *ros*.
    :param deadline_ms: a later mask is a miss; 0 = the camera's period.
    """

    name: str
    image: str
    gt: str
    init: str
    mode: str = OFFLINE
    cost_ms: float | None = None
    rate: float = 1.0
    loops: int = 1
    deadline_ms: float = 0.0


def build(
    setting: Setting, outcome: Outcome, hashes: Mapping[str, str | None], run: Mapping[str, Any]
) -> dict[str, Any]:
    """
    Return the content of report.json.

    :param setting: what was asked for.
    :param outcome: what came out.
    :param hashes: of bag and model; that of the masks is added.
    :param run: what is to be said of model and backend.
    """
    records = outcome.records
    loops = [[r for r in records if r.loop == k] for k in range(len(outcome.loops))]
    period_ms = _period_ms(loops[0])
    deadline_ms = setting.deadline_ms or period_ms
    answered = [r.latency_ms for r in records if r.latency_ms is not None]
    clocked = setting.mode != OFFLINE
    sequences = _sequences(setting.name, outcome.loops, outcome.speed, loops, outcome.occlusion)
    scores = EvalReport(sequences).to_dict()
    per_frame = EvalReport(
        _sequences(setting.name, outcome.per_frame, outcome.speed, loops)
    ).to_dict()
    network = outcome.speed.to_dict() if outcome.speed.frames else None
    return {
        **per_frame['overall'],
        'overall': scores['overall'],
        'occlusion': scores['occlusion'],
        'sequences': {
            name: {k: v for k, v in part.items() if k not in ('fps', 'latency_ms', 'warnings')}
            for name, part in scores['sequences'].items()
        },
        'mode': setting.mode,
        'frames': len(records),
        'answered': len(answered),
        'dropped': len(records) - len(answered),
        'latency_ms': _percentiles(answered),
        'age_ms': _percentiles(r.age_ms for r in records if r.age_ms is not None),
        'without_mask': sum(map(_count_before_masks, loops)),
        'deadline_ms': deadline_ms,
        'deadline_misses': sum(ms > deadline_ms for ms in answered),
        'lost': outcome.lost,
        'recovered': outcome.recovered,
        'unknown_stamps': outcome.unknown,
        **_join([performance(loop, clocked=clocked) for loop in loops]),
        'network': network,
        'bag': {
            'image': setting.image,
            'gt': setting.gt,
            'init': setting.init,
            'rate_hz': 1e3 / period_ms if period_ms else None,
        },
        'cost_ms': setting.cost_ms,
        'rate': setting.rate,
        'loops': setting.loops,
        'hashes': {**hashes, 'masks': outcome.mask_hash or None},
        'warnings': list(outcome.warnings),
        **describe_run(),
        **run,
    }


def performance(records: Sequence[FrameRecord], *, clocked: bool) -> dict[str, float]:
    """
    Return the metrics of r2b over one run, each by its full name.

    Offline, masks have no time of arrival; what needs one is left out.

    :param records: of all frames sent, in order.
    :param clocked: their latencies ran one after the other on a clock.
    """
    sent_ms = [r.sent_ns / _NS_PER_MS for r in records]
    latencies = [r.latency_ms for r in records if r.latency_ms is not None]
    values: dict[str, float] = {
        'NUM_FRAMES_SENT': float(len(records)),
        'NUM_MISSED_FRAMES': float(len(records) - len(latencies)),
    }
    if len(records) > 1:
        values['MEAN_PLAYBACK_FRAME_RATE'] = len(records) / (sent_ms[-1] - sent_ms[0]) * 1e3
    if latencies:
        values['FIRST_INPUT_LATENCY'], values['LAST_INPUT_LATENCY'] = latencies[0], latencies[-1]
        values['MAX_LATENCY'], values['MIN_LATENCY'] = max(latencies), min(latencies)
        values['MEAN_LATENCY'] = sum(latencies) / len(latencies)
    if clocked and latencies:
        values |= _arrivals(
            sent_ms,
            sorted(
                sent + record.latency_ms
                for sent, record in zip(sent_ms, records)
                if record.latency_ms is not None
            ),
        )
    return {_PREFIX + name: value for name, value in values.items()}


def _arrivals(sent_ms: Sequence[float], received_ms: Sequence[float]) -> dict[str, float]:
    duration_ms = received_ms[-1] - received_ms[0]
    values = {
        'RECEIVED_DURATION': duration_ms,
        'FIRST_SENT_RECEIVED_LATENCY': received_ms[0] - sent_ms[0],
        'LAST_SENT_RECEIVED_LATENCY': received_ms[-1] - sent_ms[-1],
    }
    if duration_ms > 0:
        values['MEAN_FRAME_RATE'] = len(received_ms) / duration_ms * 1e3
    if len(received_ms) > 2:
        jitters = np.abs(np.diff(np.diff(received_ms)))
        values['MAX_JITTER'], values['MIN_JITTER'] = float(jitters.max()), float(jitters.min())
        values['MEAN_JITTER'], values['STD_DEV_JITTER'] = (
            float(jitters.mean()),
            float(jitters.std()),
        )
    return values


def _join(loops: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Put loops together: the mean, but the extreme of what is one itself."""
    joined = {}
    for name in loops[0]:
        values = [loop[name] for loop in loops if name in loop]
        kind = name.removeprefix(_PREFIX)[:4]
        extreme = {'MAX_': max, 'MIN_': min}.get(kind)
        joined[name] = extreme(values) if extreme else sum(values) / len(values)
    return joined


def _sequences(
    name: str,
    scores: Sequence[dict[int, ObjectScore]],
    speed: Speed,
    loops: Sequence[Sequence[FrameRecord]],
    occlusion: Sequence[OcclusionFigures] = (),
) -> dict[str, SequenceReport]:
    names = [name] if len(loops) == 1 else [f'{name}#{k + 1}' for k in range(len(loops))]
    return {
        title: SequenceReport(title, len(records), objects, speed, occlusion=figures)
        for title, records, objects, figures in zip(
            names, loops, scores, occlusion or [OcclusionFigures()] * len(names)
        )
    }


def _count_before_masks(records: Sequence[FrameRecord]) -> int:
    for count, record in enumerate(records):
        if record.age_ms is not None and record.has_objects:
            return count
    return len(records)


def _period_ms(records: Sequence[FrameRecord]) -> float:
    """Return the median time between two images as they were sent; 0 for one image."""
    sent_ns = [r.sent_ns for r in records]
    return float(np.median(np.diff(sent_ns))) / _NS_PER_MS if len(sent_ns) > 1 else 0.0


def _percentiles(values_ms: Iterable[float]) -> dict[str, float] | None:
    values = list(values_ms)
    return asdict(Latency.of(values)) if values else None
