# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A replay's result as one HTML page: no script, no network, no file beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from vos_ros.bag.replay import FrameRecord, Outcome
from vos_ros.bag.report import OFFLINE, ROS
from vos_ros.evaluation import page
from vos_ros.evaluation.plot import COLOURS, Line, object_line, plot

# More would make the page heavy and show nothing more: the plots are 850 px wide.
_MOST_POINTS = 1700
_BLUE, _VIOLET = COLOURS[0], COLOURS[2]
_CLOCKS = {
    'offline': 'every frame was segmented',
    'realtime': 'on a simulated clock',
    'ros': 'through the segmenter node, over ROS 2 topics',
}
_LATENCIES = {
    'offline': 'Latency: what the label map cost the network. Nobody waits for it in this mode.',
    'realtime': 'Latency: from the stamp of the image to its label map, on the simulated clock.',
    'ros': 'Latency: from the stamp that the player gave the image to the arrival of the label '
    'map in the recording process, through DDS both ways.',
}


def build(
    report: dict[str, Any],
    outcome: Outcome,
    figures: Sequence[page.Figure],
    *,
    per_frame: bool = False,
    video: str = '',
) -> str:
    """
    Return the page.

    :param report: content of report.json.
    :param outcome: what it was made from.
    :param figures: frames to be shown.
    :param per_frame: show each mask on its own image, not at each stamp the newest one.
    :param video: file name of an overlay video, beside the page; empty = there is none.
    """
    names = list(report['sequences'])
    scored = report['overall']['jf'] is not None
    title = names[0].partition('#')[0]
    notes = [_LATENCIES[report['mode']]]
    if report['mode'] == OFFLINE and scored:
        notes.append('J and F: of each frame with its own mask; first and last are left out.')
    if scored and report['without_mask']:
        notes.append('Before the first mask, an object that is to be seen scores 0.')
    if report['mode'] != OFFLINE:
        notes.append(
            'Age: at the stamp of each image, how old the image of the newest mask was. Streaming '
            'J&F: at each stamp, the newest mask against the truth. J&F: each mask against the '
            'truth of its own image. First and last frame are left out.'
        )
    mask = 'its mask' if per_frame else 'newest mask'
    return page.build(
        title=f'vos_ros: {title}, {report["mode"]}',
        lead=f'{report["frames"]} images of {report["bag"]["image"]}, {_CLOCKS[report["mode"]]}.',
        cards=_cards(report, per_frame),
        plots=_plots(report, outcome, per_frame),
        notes=notes,
        figures=figures,
        figures_title=(
            f'The worst frames: camera, {mask}, truth (green) against mask (white)'
            if scored
            else f'Frames: camera, {mask}'
        ),
        facts=_facts(report),
        video=video,
    )


def _cards(report: dict[str, Any], per_frame: bool) -> list[tuple[str, str]]:
    latency, age = report['latency_ms'], report['age_ms']
    kinds = [(report['overall'], 'streaming '), (report, '')]
    if report['mode'] == OFFLINE:
        kinds = kinds[1:]
    cards = []
    for place, (scores, kind) in enumerate(kinds[::-1] if per_frame else kinds):
        if scores['jf'] is not None:
            cards.append((f'{scores["jf"]:.3f}', f'{kind}J&F'))
        if scores['jf'] is not None and place == 0:
            cards.append((f'{scores["j"]:.3f}', 'J (overlap)'))
            cards.append((f'{scores["f"]:.3f}', 'F (contour)'))
    if latency is not None:
        cards += [(f'{latency[k]:.0f} ms', f'latency {k}') for k in ('p50', 'p99')]
    if age is not None and report['mode'] != OFFLINE:
        cards.append((f'{age["p50"]:.0f} ms', 'age p50 of the newest mask'))
    cards.append((f'{report["dropped"]} of {report["frames"]}', 'frames dropped'))
    if report['without_mask']:
        early = f'{report["without_mask"]} of {report["frames"]}'
        cards.append((early, 'frames before the first mask'))
    cards.append((f'{report["deadline_misses"]}', f'later than {report["deadline_ms"]:.0f} ms'))
    if report['bag']['rate_hz'] is not None:
        cards.append((f'{report["bag"]["rate_hz"]:.4g} Hz', 'images sent'))
    return cards


def _plots(report: dict[str, Any], outcome: Outcome, per_frame: bool) -> list[str]:
    records = outcome.records
    x_max = max(len(records) - 1, 1)
    dropped = [float(x) for x, record in enumerate(records) if record.latency_ms is None]
    # Where most are dropped, the line shows it, and the ticks would hide it.
    marks = dropped if len(dropped) <= _MOST_POINTS // 4 else []
    plots = []
    ids = sorted({object_id for loop in outcome.loops for object_id in loop})
    if ids:
        lines = [
            object_line(k, _points(records, partial(_j_of, object_id=k, per_frame=per_frame), min))
            for k in ids
        ]
        plots.append(plot(lines, y_max=1.0, y_label='J', x_max=x_max, marks=marks))
    latency, age = report['latency_ms'], report['age_ms']
    lines = []
    if latency is not None:
        lines.append(Line('latency', _BLUE, _points(records, lambda r: r.latency_ms, max)))
    if age is not None and report['mode'] != OFFLINE:
        lines.append(Line('age', _VIOLET, _points(records, lambda r: r.age_ms, max)))
    tops = [part['max'] for part in (latency, age) if part is not None]
    if lines:
        plots.append(
            plot(
                lines,
                y_max=1.15 * max(*tops, 1e-3),
                y_label='ms',
                x_max=x_max,
                levels=[]
                if latency is None
                else [(f'p99 {latency["p99"]:.0f} ms', latency['p99'])],
                marks=marks,
            )
        )
    return plots


def _j_of(record: FrameRecord, object_id: int, per_frame: bool) -> float | None:
    scores = record.per_frame if per_frame else record.scores
    return scores[object_id][0] if object_id in scores else None


def _points(
    records: Sequence[FrameRecord],
    value: Callable[[FrameRecord], float | None],
    worst: Callable[[Iterable[float]], float],
) -> list[tuple[float, float | None]]:
    """Return (x, y) per frame; of a long bag the worst of every few frames."""
    step = -(-len(records) // _MOST_POINTS)
    points: list[tuple[float, float | None]] = []
    for start in range(0, len(records), step):
        values = [value(record) for record in records[start : start + step]]
        known = [v for v in values if v is not None]
        points.append((float(start), worst(known) if known else None))
    return points


def _facts(report: dict[str, Any]) -> list[tuple[str, str]]:
    bag = report['bag']
    facts = [
        ('images', bag['image']),
        ('ground truth', bag['gt']),
        ('started from', bag['init']),
        ('model', '{name}, sha256 of its manifest {sha256}'.format(**report['model'])),
        ('network input', f'short side {report["input_size"]} px'),
        ('backend', f'{report["backend"]}, {report["precision"]}'),
        ('hash of the bag', report['hashes']['bag']),
        ('hash of the masks', report['hashes']['masks'] or 'none: timing decides what is dropped'),
    ]
    if 'clip' in report:
        facts.append(('rate', report['clip']['rate_reason']))
    if report['mode'] == ROS:
        facts.append(('played', f'{report["loops"]} times at {report["rate"]:g} times its rate'))
    elif report['mode'] != OFFLINE:
        cost = report['cost_ms']
        facts.append(('cost of a frame', 'measured here' if cost is None else f'{cost:g} ms'))
    for name in ('lost', 'recovered'):
        if report[name] is not None:
            facts.append((f'objects {name}', str(report[name])))
    facts += [('warning', text) for text in report['warnings']]
    facts += [(str(name), str(value)) for name, value in report['host'].items()]
    return [*facts, ('date', report['date']), ('commit', str(report['commit']))]
