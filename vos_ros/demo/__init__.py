# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The demo: camera, node and recorder as processes of their own, over real ROS 2 topics.

Nothing in it is simulated but the camera: the node is the one that runs on a robot, frames cross
process borders through DDS, and what is scored is what a subscriber received.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
import itertools
from pathlib import Path
import time
from typing import Any

import cv2
import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from vos_ros.backends import check_files, load_manifest
from vos_ros.backends.base import Manifest
from vos_ros.config import RuntimeConfig, SegmenterConfig
from vos_ros.datatypes import Image, LabelMap, Prompt
from vos_ros.engine.segmenter import VideoSegmenter
from vos_ros.errors import VosError
from vos_ros.evaluation import page
from vos_ros.evaluation.evaluate import write_json
from vos_ros.evaluation.results import writing
from vos_ros.evaluation.video import OverlayVideo
from vos_ros.formats.drawing import draw_ids, draw_overlay, draw_truth
from vos_ros.formats.label_png import write_label_png
from vos_ros.harness.play import (
    check_ros,
    describe_ros_run,
    Engine,
    play_through_node,
    print_failure,
    read_logs,
)
from vos_ros.harness.processes import ProcessError
from vos_ros.harness.score import Outcome, PlayedFrame, Recording, Scorer, walk
from vos_ros.harness.source import make_source, open_source, Source

LOGS = 'logs'
FIRST_MASK = 'first_mask.png'
# All that the demo writes into its folder.
_RESULTS = ('report.json', 'index.html', 'overlay.mp4', FIRST_MASK, 'masks', 'clip', LOGS)
# The camera is slowed down where the machine could not follow: the demo shows masks, and a node
# that drops most frames shows little. What part of a frame's time the network may take alone;
# player, recorder and transport need the rest.
_BUSY = 0.6
_LEAST_RATE_HZ = 3.0
_PROBE_FRAMES = 6
_WORST = 6
_WORST_APART = 6
_VIDEO_WIDTH_PX = 1280


@dataclass(frozen=True)
class Pace:
    """
    The camera's rate, and why.

    :param step_ms: what one frame costs the network alone, measured just before; None if not.
    """

    rate_hz: float
    reason: str
    step_ms: float | None = None


def run(
    *,
    out: Path | str = 'demo_out',
    video: Path | str | None = None,
    mask: Path | str | None = None,
    davis: Path | str | None = None,
    model: str | None = None,
    frames: int | None = None,
    rate_hz: float | None = None,
    size: int = 0,
    runtime: RuntimeConfig | None = None,
) -> int:
    """
    Run the demo and write report.json, overlay.mp4 and index.html.

    :param out: folder for the results; made if it is missing.
    :param video: the user's own video, or folder of images; needs `mask`.
    :param mask: PNG with the objects on its first frame: ids, or one object in white.
    :param davis: root of a data set in DAVIS layout, or root/SEQUENCE.
    :param model: name or folder; None = the default.
    :param frames: only so many.
    :param rate_hz: of the camera; None = the clip's, or what this machine can follow.
    :param size: short side of the network's input in px; 0 = the model's own.
    :param runtime: backend, precision and threads; its model is not looked at.
    :return: exit code: 0, or 1 if a process failed.
    :raises VosError: input that cannot be used; says what to do.
    :raises KeyboardInterrupt: Ctrl-C or SIGTERM; every process has been stopped by then.
    """
    console = Console()
    if rate_hz is not None and not 0.1 <= rate_hz <= 240:
        raise VosError(f'the rate must lie in 0.1 .. 240 Hz, not {rate_hz}')
    check_ros()
    out = Path(out)
    paths = [None if p is None else Path(p) for p in (video, mask, davis)]
    manifest = load_manifest(model or RuntimeConfig().model)
    engine = Engine(SegmenterConfig(input_size=size), runtime or RuntimeConfig())
    check_files(manifest)  # a corrupt one shows here as one line, not in the node's log
    # Everything is looked at before anything that an earlier demo left is deleted.
    given = open_source(video=paths[0], mask=paths[1], davis=paths[2], frames=frames)
    inputs = [path for path in (*paths, manifest.folder) if path is not None]
    with writing(out, _RESULTS, inputs=inputs) as deleted:
        if deleted:
            console.print(f'deleted {deleted} files of an earlier demo in {out}')
        with console.status('preparing the clip'):
            source = given or make_source(out / 'clip', frames)
        with console.status(f'measuring {manifest.name} on this machine'):
            pace = choose_pace(source, manifest, rate_hz, engine)
        console.print(f'[b]{source.name}[/b] with model [b]{manifest.name}[/b] at {pace.reason}')
        try:
            recording = record(source, manifest, pace, out, console, engine)
        except ProcessError as error:
            print_failure(console, 'demo', error, out / LOGS)
            return 1
        outcome = _finish(source, manifest, pace, recording, out, console)
    _print_summary(console, out, source, outcome)
    return 0


def choose_pace(source: Source, manifest: Manifest, rate_hz: float | None, engine: Engine) -> Pace:
    """
    Settle the camera's rate: as asked, else the clip's own, else what the machine can follow.

    :param rate_hz: what was asked for; None = nothing.
    :param engine: what the node will run with.
    """
    if rate_hz is not None:
        return Pace(rate_hz, f'{rate_hz:g} Hz, as asked')
    segmenter = VideoSegmenter.open(manifest.folder, config=engine.config, runtime=engine.runtime)
    steps_ms = []
    for number, frame in enumerate(itertools.islice(source.frames(), _PROBE_FRAMES)):
        start = time.perf_counter()
        segmenter.step(frame, _prompt(source.first, frame.size) if number == 0 else None)
        steps_ms.append((time.perf_counter() - start) * 1e3)
    step_ms = float(np.median(steps_ms[1:])) if len(steps_ms) > 1 else steps_ms[0]
    sustained_hz = _BUSY * 1e3 / step_ms
    if sustained_hz >= source.rate_hz:
        reason = f"{source.rate_hz:g} Hz, the clip's own rate ({step_ms:.0f} ms a frame alone)"
        return Pace(source.rate_hz, reason, step_ms)
    chosen = max(round(sustained_hz, 1), _LEAST_RATE_HZ)
    reason = (
        f'{chosen:g} Hz: a frame costs {step_ms:.0f} ms here, too much for the '
        f"clip's {source.rate_hz:g} Hz"
    )
    return Pace(chosen, reason, step_ms)


def _prompt(labels: LabelMap, size: tuple[int, int]) -> Prompt:
    if labels.shape != size:  # the same aspect, as open_source has checked
        resized = cv2.resize(labels, size[::-1], interpolation=cv2.INTER_NEAREST)
        return Prompt(resized)  # type: ignore[arg-type]
    return Prompt(labels)


def record(
    source: Source, manifest: Manifest, pace: Pace, out: Path, console: Console, engine: Engine
) -> Recording:
    """
    Run node, recorder and player until everything played has been answered.

    :raises ProcessError: a process failed.
    """
    logs, mask = out / LOGS, out / FIRST_MASK
    logs.mkdir()
    write_label_png(mask, source.first)
    total = len(source.sequence)
    play_through_node(
        logs,
        node={'model': manifest.folder.resolve(), **engine.parameters},
        player=['player', *source.player_arguments(mask), '--rate', str(pace.rate_hz)],
        total=total if source.limit is None else min(total, source.limit),
        console=console,
    )
    return read_logs(logs)


def _finish(
    source: Source,
    manifest: Manifest,
    pace: Pace,
    recording: Recording,
    out: Path,
    console: Console,
) -> Outcome:
    """Score, draw and write everything."""
    scorer, worst = Scorer(), _Worst()
    rate = min(pace.rate_hz, 30.0)
    names = source.sequence.frame_names
    with (
        Progress(console=console, transient=True) as progress,
        OverlayVideo(out / 'overlay.mp4', rate_hz=rate) as film,
    ):
        task = progress.add_task('scoring and drawing', total=len(recording.frames))
        for played, frame, labels in walk(source, recording):
            truth = source.truth(played.number)
            played = scorer.feed(played, labels, truth)
            film.write_image(_film_image(frame.image, labels, played))
            if played.number + 1 < len(recording.frames):  # the last one does not count
                worst.offer(played, frame.image, labels, truth)
            if played.latency_ms is not None:
                write_label_png(
                    out / 'masks' / source.name / f'{names[played.number]}.png', labels
                )
            progress.advance(task)
    outcome = scorer.conclude(recording.unknown)
    report = build_report(source, manifest, pace, outcome)
    write_json(out / 'report.json', report)
    (out / 'index.html').write_text(_page(source, report, outcome, worst))
    return outcome


def build_report(
    source: Source, manifest: Manifest, pace: Pace, outcome: Outcome
) -> dict[str, Any]:
    """Return the content of report.json."""
    published = outcome.published.to_json()
    return {
        'j': published['j'],
        'f': published['f'],
        'jf': published['jf'],
        'frames': len(outcome.frames),
        'dropped': len(outcome.dropped),
        'latency_ms': outcome.latency_ms,
        'model': {'name': manifest.name, 'sha256': manifest.sha256},
        'objects': published['objects'],
        'held': outcome.held.to_json(),
        'dropped_frames': outcome.dropped,
        'unknown_stamps': outcome.unknown,
        'clip': {
            'name': source.name,
            'rate_hz': pace.rate_hz,
            'rate_reason': pace.reason,
            'step_ms': None if pace.step_ms is None else round(pace.step_ms, 2),
        },
        **describe_ros_run(),
    }


def _film_image(image: Image, labels: LabelMap, played: PlayedFrame) -> Image:
    picture: Any = draw_ids(draw_overlay(image, labels), labels)
    height, width = picture.shape[:2]
    if width > _VIDEO_WIDTH_PX:
        height, width = round(height * _VIDEO_WIDTH_PX / width), _VIDEO_WIDTH_PX
        picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    text = f'{played.number:4d}  '
    if played.latency_ms is None:
        text += 'dropped: the newest mask before it'
    else:
        text += f'{played.latency_ms:.0f} ms'
    text += '' if played.j is None else f'   J {played.j:.2f}'
    scale = height / 480 * 0.5
    for colour, thickness in (((0, 0, 0), 3), ((255, 255, 255), 1)):
        at = (round(10 * scale * 2), round(20 * scale * 2))
        font = cv2.FONT_HERSHEY_SIMPLEX
        cv2.putText(picture, text, at, font, scale, colour, thickness, cv2.LINE_AA)
    drawn: Image = picture
    return drawn


class _Worst:
    """
    The frames with the lowest J, some way apart; without a truth, frames of the whole clip.

    Holds a few candidates per stretch of the clip, so that a long video does not fill the memory.
    """

    def __init__(self) -> None:
        self._best: dict[int, tuple[float, PlayedFrame, Image, LabelMap, LabelMap | None]] = {}

    def offer(
        self, played: PlayedFrame, image: Image, labels: LabelMap, truth: LabelMap | None
    ) -> None:
        if played.latency_ms is None or (truth is not None and played.j is None):
            return
        # Without truth every stretch keeps its first frame.
        rank = played.j if played.j is not None else float(played.number)
        stretch = played.number // _WORST_APART
        if stretch not in self._best or rank < self._best[stretch][0]:
            self._best[stretch] = (rank, played, image, labels, truth)
        if len(self._best) > 4 * _WORST:
            self._thin_out()

    def _thin_out(self) -> None:
        if any(item[4] is not None for item in self._best.values()):
            del self._best[max(self._best, key=lambda k: self._best[k][0])]
        else:
            for key in sorted(self._best)[1::2]:
                del self._best[key]

    def figures(self) -> Iterator[page.Figure]:
        chosen = sorted(self._best.values(), key=lambda item: item[0])
        if chosen and chosen[0][4] is None:
            chosen = chosen[:: max(1, len(chosen) // _WORST)]
        for _, played, image, labels, truth in chosen[:_WORST]:
            caption = f'frame {played.number}'
            pictures = [image, draw_overlay(image, labels)]
            if truth is not None:
                scores = ', '.join(
                    f'object {k}: J {j:.3f}, F {f:.3f}' for k, (j, f) in played.scores.items()
                )
                caption += f' - {scores}'
                pictures.append(draw_truth(image, labels, truth))
            yield page.Figure(caption, pictures)


def _page(source: Source, report: dict[str, Any], outcome: Outcome, worst: _Worst) -> str:
    latency, clip = report['latency_ms'], report['clip']
    total, dropped = report['frames'], report['dropped']
    cards = [
        (f'{latency["p50"]:.0f} ms', 'latency p50'),
        (f'{latency["p95"]:.0f} ms', 'latency p95'),
        (f'{latency["p99"]:.0f} ms', 'latency p99'),
        (f'{dropped} of {total}', 'frames dropped'),
        (f'{clip["rate_hz"]:g} Hz', 'camera rate'),
    ]
    x_max = max(total - 1, 1)
    numbers = [frame.number for frame in outcome.frames]
    plots = []
    if report['jf'] is not None:
        cards = [
            (f'{report["jf"]:.3f}', 'J&F'),
            (f'{report["j"]:.3f}', 'J (overlap)'),
            (f'{report["f"]:.3f}', 'F (contour)'),
            *cards,
        ]
        lines = [
            page.object_line(
                k, [(f.number, f.scores[k][0] if k in f.scores else None) for f in outcome.frames]
            )
            for k in outcome.published.objects
        ]
        plots.append(page.plot(lines, y_max=1.0, y_label='J', x_max=x_max, marks=outcome.dropped))
    latencies = [frame.latency_ms for frame in outcome.frames]
    line = page.Line('camera stamp to mask received', '#3b82f6', list(zip(numbers, latencies)))
    y_max = 1.15 * max(latency['max'], latency['p99'], 1e-3)
    levels = [(f'p50 {latency["p50"]:.0f} ms', latency['p50'])]
    if latency['p99'] > 1.15 * latency['p50']:
        levels.append((f'p99 {latency["p99"]:.0f} ms', latency['p99']))
    plots.append(
        page.plot(
            [line], y_max=y_max, y_label='latency in ms', x_max=x_max, levels=levels,
            marks=outcome.dropped,
        )
    )  # fmt: skip
    notes = [
        'Latency: from the stamp that the camera process gave the image to the arrival of the '
        'label map in the recording process, through DDS both ways.',
    ]
    if report['jf'] is not None:
        held = report['held']['jf']
        notes.append(
            'J, F and J&F: over the frames that the node published, first and last left out, mean '
            'over the objects (DAVIS). With every dropped frame scored by the newest mask before '
            f'it, J&F is {held:.3f}.'
        )
    host = report['host']
    facts = [
        ('clip', f'{source.name}, {total} frames at {clip["rate_reason"]}'),
        ('model', '{name}, sha256 of its manifest {sha256}'.format(**report['model'])),
        *((str(name), str(value)) for name, value in host.items()),
        ('date', report['date']),
        ('commit', str(report['commit'])),
    ]
    has_truth = report['jf'] is not None
    return page.build(
        title='vos_ros demo',
        lead=(
            f'{source.name}: a camera process, the segmenter node and a recorder, talking over '
            'ROS 2 topics. The masks below are what the recorder received.'
        ),
        cards=cards,
        plots=plots,
        notes=notes,
        figures=list(worst.figures()),
        figures_title=(
            'The worst frames: camera, published mask, truth (green) against mask (white)'
            if has_truth
            else 'Frames: camera, published mask'
        ),
        facts=facts,
        video='overlay.mp4',
    )


def _print_summary(console: Console, out: Path, source: Source, outcome: Outcome) -> None:
    table = Table(title=f'{source.name}: what the recorder received', show_header=False)
    scores, latency = outcome.published, outcome.latency_ms
    if scores.jf is not None and scores.j is not None and scores.f is not None:
        table.add_row('J&F', f'[b]{scores.jf:.3f}[/b]   (J {scores.j:.3f}, F {scores.f:.3f})')
        for object_id, score in scores.objects.items():
            detail = f'J {score.j.mean:.3f}, F {score.f.mean:.3f}'
            table.add_row(f'  object {object_id}', detail)
    else:
        table.add_row('J&F', 'not scored: there are no true masks for this clip')
    figures = ', '.join(f'{name} {latency[name]:.0f}' for name in ('p50', 'p95', 'p99', 'max'))
    table.add_row('latency, ms', figures)
    table.add_row('frames', f'{len(outcome.frames)}, dropped {len(outcome.dropped)}')
    console.print(table)
    if outcome.dropped and outcome.held.jf is not None:
        console.print(f'with dropped frames scored by the newest mask: J&F {outcome.held.jf:.3f}')
    console.print(f'look at  {out / "index.html"}   {out / "overlay.mp4"}   {out / "report.json"}')
