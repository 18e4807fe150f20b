# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The demo in space: segmenter and objects_3d as processes, over real ROS 2 topics, on a drawn scene.

The places of all things are known, so that the errors of the centres are measured. Depth has
noise, mixed pixels at edges and holes, and comes later than the image that it belongs to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
import json
from pathlib import Path
import sys
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.markup import escape

from vos_ros.backends import check_files, load_manifest
from vos_ros.config import GeometryConfig, RuntimeConfig, SegmenterConfig
from vos_ros.demo import choose_pace, clouds
from vos_ros.errors import VosError
from vos_ros.evaluation import page
from vos_ros.evaluation.evaluate import write_json
from vos_ros.evaluation.plot import Line, object_line, plot
from vos_ros.evaluation.results import writing
from vos_ros.formats.drawing import draw_ids, draw_overlay, write_image
from vos_ros.harness import scene
from vos_ros.harness.play import (
    check_ros,
    describe_ros_run,
    Engine,
    environment,
    NODE,
    own_namespace,
    PLAYBACK,
    print_failure,
    read_logs,
    RECORDING,
    watch,
)
from vos_ros.harness.processes import Children, ProcessError
from vos_ros.harness.recording import Recording
from vos_ros.harness.source import open_source
from vos_ros.space.depth import to_metres

_IN_SPACE = 'objects_3d'
_RESULTS = ('report.json', 'index.html', 'clouds.png', 'clip', 'logs')
#: Frames that are shown, evenly over the clip.
_FIGURES = 4
_NAMES = {scene.BALL: 'ball', scene.BOX: 'box'}

Float = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Seen:
    """
    One frame's centres as they arrived.

    :param number: of the frame.
    :param stamp_ns: of its depth image.
    :param latency_ms: from the stamp of the image to the arrival of the centres.
    :param centers: id -> (3,), m; NaN where there is no centre.
    :param used: id -> share of the mask with depth.
    """

    number: int
    stamp_ns: int
    latency_ms: float
    centers: Mapping[int, Float]
    used: Mapping[int, float]


def run(
    *,
    out: Path | str = 'demo3d_out',
    model: str | None = None,
    frames: int | None = None,
    rate_hz: float | None = None,
    late_ms: float = 8.0,
    holes: float = 0.05,
    runtime: RuntimeConfig | None = None,
) -> dict[str, Any] | None:
    """
    Run the demo and write report.json, index.html and clouds.png.

    :param out: folder for the results; made if it is missing.
    :param model: name or folder; None = the default.
    :param frames: the same motion in so many frames.
    :param rate_hz: of both cameras; None = the clip's, or what this machine can follow.
    :param late_ms: how much later depth is than its image, in its stamp and on its way.
    :param holes: share of the pixels without depth.
    :param runtime: backend, precision and threads; its model is not looked at.
    :return: content of report.json; None if a process failed, which has been printed.
    :raises VosError: what cannot be used; says what to do.
    """
    console = Console()
    check_ros()
    out = Path(out)
    manifest = load_manifest(model or RuntimeConfig().model)
    check_files(manifest)
    if frames is not None and frames < 2:
        raise VosError(f'a clip needs at least 2 frames, not {frames}')
    if not 0 <= holes < 1:
        raise VosError(f'--holes must lie in 0 .. 1, not {holes:g}: nothing would be left')
    engine = Engine(SegmenterConfig(), runtime or RuntimeConfig())
    with writing(out, _RESULTS, inputs=[manifest.folder]) as deleted:
        if deleted:
            console.print(f'deleted {deleted} files of an earlier demo in {escape(str(out))}')
        with console.status('drawing the scene'):
            clip = scene.write_clip(out / 'clip', frames or scene.FRAMES, holes)
        source = open_source(davis=out / 'clip')
        assert source is not None
        with console.status(f'measuring {manifest.name} on this machine'):
            pace = choose_pace(source, manifest, rate_hz or None, engine)
        # A sequence of single images has no rate of its own.
        hz = rate_hz or min(pace.rate_hz, clip.rate_hz)
        if late_ms > 500 / hz:  # depth would be matched with the labels of the next frame
            raise VosError(
                f'--late {late_ms:g} is more than half a period at {hz:g} Hz; take at most '
                f'{500 / hz:.0f}, or a lower --rate'
            )
        console.print(f'[b]{scene.NAME}[/b] with model [b]{manifest.name}[/b] at {hz:g} Hz')
        logs = out / 'logs'
        try:
            _play(
                logs, clip, hz, late_ms, {'model': manifest.folder.resolve(), **engine.parameters}
            )
        except ProcessError as error:
            print_failure(console, 'demo', error, logs)
            return None
        recording = read_logs(logs)
        seen = _read_centers(logs, recording, late_ms)
        if not seen:
            raise VosError(f'masks came back, but no centre did; see the logs in {logs}')
        report = _report(clip, seen, hz, late_ms, holes, logs)
        report['model'] = manifest.name
        figures, sheet = _pictures(clip, seen, recording, logs)
        write_image(out / 'clouds.png', sheet)
        write_json(out / 'report.json', report)
        (out / 'index.html').write_text(_page(report, clip, seen, figures))
        return report


def _play(
    logs: Path, clip: scene.Clip, hz: float, late_ms: float, segmenter: Mapping[str, object]
) -> None:
    """Run both nodes, two recorders and the cameras until everything has been answered."""
    logs.mkdir(parents=True)
    namespace, env, python = own_namespace(), environment(logs), [sys.executable, '-m']
    ros = ['--ros-args', '-r', f'__ns:={namespace}', '-r', '/diagnostics:=diagnostics']
    given = [part for key, value in segmenter.items() for part in ('-p', f'{key}:={value}')]
    markers = [logs / 'recorder.ready', logs / 'space_recorder.ready']
    ids = [str(i) for i in _NAMES]
    commands = {
        'node': ['vos_ros.ros.node', *ros, '-p', 'autostart:=true', *given],
        'objects_3d': ['vos_ros.ros.objects_3d', *ros],
        'recorder': [
            *('vos_ros.harness.recorder', str(logs), '--segmenter', NODE),
            *('--marker', str(markers[0]), '--namespace', namespace),
        ],
        'space_recorder': [
            *('vos_ros.harness.space_recorder', str(logs), '--source', _IN_SPACE),
            *('--marker', str(markers[1]), '--namespace', namespace, '--objects', *ids),
        ],
        'player': [
            *('vos_ros.harness.depth_player', str(clip.root), '--hz', str(hz)),
            *('--late-ms', str(late_ms), '--log', str(logs / PLAYBACK), '--segmenter', NODE),
            *(part for marker in markers for part in ('--marker', str(marker))),
            *('--namespace', namespace),
        ],
    }
    with Children() as children:
        started = {
            name: children.start(name, [*python, *rest], env=env, log=logs / f'{name}.log')
            for name, rest in commands.items()
        }
        watch(
            children,
            started['player'],
            logs / PLAYBACK,
            logs / RECORDING,
            len(clip),
            Console(),
        )
        for name in ('recorder', 'space_recorder'):
            started[name].stop()  # they write what they still hold


def _read_centers(logs: Path, recording: Recording, late_ms: float) -> list[Seen]:
    """Join the frames that were sent with the centres that arrived, by stamp."""
    late_ns = round(late_ms * 1e6)
    numbers = {frame.stamp_ns + late_ns: frame for frame in recording.frames}
    seen = []
    for text in (logs / 'centers.jsonl').read_text().splitlines():
        line = json.loads(text)
        frame = numbers.get(line['stamp_ns'])
        if frame is not None:
            objects = line['objects']
            seen.append(
                Seen(
                    frame.number,
                    line['stamp_ns'],
                    (line['received_ns'] - frame.stamp_ns) * 1e-6,
                    {o['id']: np.array([o['x'], o['y'], o['z']]) for o in objects},
                    {o['id']: o['used'] / o['pixels'] for o in objects},
                )
            )
    return sorted(seen, key=lambda each: each.number)


def _errors(clip: scene.Clip, seen: Sequence[Seen], object_id: int) -> list[tuple[int, float]]:
    """Return (frame, m) of each centre that came: how far it is from the true one."""
    found = []
    for each in seen:
        center = each.centers.get(object_id)
        if center is not None and np.isfinite(center).all():
            truth = clip.truth[each.number][object_id]['center']
            found.append((each.number, float(np.linalg.norm(center - truth))))
    return found


def _report(
    clip: scene.Clip, seen: Sequence[Seen], hz: float, late_ms: float, holes: float, logs: Path
) -> dict[str, Any]:
    objects = {}
    for object_id, name in _NAMES.items():
        errors = _errors(clip, seen, object_id)
        values = [error for _, error in errors]
        ranges = [
            float(np.linalg.norm(clip.truth[number][object_id]['center'])) for number, _ in errors
        ]
        shares = [e / r for e, r in zip(values, ranges)]
        objects[name] = {
            'id': object_id,
            'centres': len(values),
            'error_mm': _summary([1e3 * v for v in values]),
            'error_percent_of_range': _summary([100 * v for v in shares]),
            'range_m': [round(min(ranges), 3), round(max(ranges), 3)] if ranges else None,
        }
    diagnostics = json.loads((logs / 'space_diagnostics.json').read_text())
    parts = {
        part: diagnostics.get(f'{_IN_SPACE}: {part}', {}).get('values', {})
        for part in ('input', 'objects')
    }
    return {
        'clip': scene.NAME,
        'frames': len(clip),
        'frames_with_centres': len(seen),
        'rate_hz': hz,
        'depth_late_ms': late_ms,
        'holes': holes,
        'objects': objects,
        'stamp_to_centre_ms': _summary([each.latency_ms for each in seen]),
        'node_ms': {
            name: float(parts['objects'].get(f'latency_{name}_ms', 'nan'))
            for name in ('p50', 'p99', 'max')
        },
        'matched': parts['input'].get('matched'),
        'depth_missing': parts['input'].get('depth_missing'),
        **describe_ros_run(),
    }


def _summary(values: Sequence[float]) -> dict[str, float] | None:
    if not values:
        return None
    p50, p95, most = np.percentile(values, (50, 95, 100)).round(2).tolist()
    return {'median': p50, 'p95': p95, 'max': most}


def _pictures(
    clip: scene.Clip, seen: Sequence[Seen], recording: Recording, logs: Path
) -> tuple[list[page.Figure], Any]:
    """Draw some frames: image with masks, all points from the side, objects from above."""
    complete = [
        each
        for each in seen
        if all((logs / 'clouds' / f'{each.stamp_ns}_{i}.npy').exists() for i in _NAMES)
    ]
    places = np.linspace(0, len(complete) - 1, min(_FIGURES, len(complete))).round().astype(int)
    figures, rows = [], []
    for each in [complete[int(place)] for place in places]:
        number = each.number
        image = clip.image(number)
        points = {
            i: np.asarray(np.load(logs / 'clouds' / f'{each.stamp_ns}_{i}.npy')) for i in _NAMES
        }
        labels = recording.labels(recording.frames[number])
        overlay = image if labels is None else draw_ids(draw_overlay(image, labels), labels)
        metres = to_metres(clip.depth(number), GeometryConfig())
        lines, columns = np.nonzero(~np.isnan(metres))
        lines, columns = lines[::3], columns[::3]
        everything = np.ones((len(lines), 3), np.float32)
        everything[:, :2] = scene.CAMERA.rays(lines, columns)
        everything *= metres[lines, columns, None]
        good = {i: c for i, c in each.centers.items() if np.isfinite(c).all()}
        aside = clouds.from_the_side(everything, image[lines, columns], points, good)
        truth = {i: np.asarray(clip.truth[number][i]['center']) for i in _NAMES}
        above = clouds.from_above(points, good, truth)
        errors = ', '.join(
            f'{name} {1e3 * float(np.linalg.norm(good[i] - truth[i])):.1f} mm'
            for i, name in _NAMES.items()
            if i in good
        )
        figures.append(
            page.Figure(f'frame {number}: error of the centre {errors}', (overlay, aside, above))
        )
        rows.append(np.hstack([overlay, aside, above]))
    return figures, np.vstack(rows) if rows else np.zeros((8, 8, 3), np.uint8)


def _page(
    report: Mapping[str, Any],
    clip: scene.Clip,
    seen: Sequence[Seen],
    figures: Sequence[page.Figure],
) -> str:
    last = len(clip) - 1
    errors = {i: _errors(clip, seen, i) for i in _NAMES}
    most = max((1e3 * e for found in errors.values() for _, e in found), default=1.0)
    error_plot = plot(
        [
            _named(object_line(i, [(n, 1e3 * e) for n, e in found]), _NAMES[i])
            for i, found in errors.items()
        ],
        y_max=max(12.0, 1.15 * most),
        y_label='error of the centre, mm',
        x_max=last,
        levels=[('10 mm', 10.0)],
    )
    depths = []
    for i, name in _NAMES.items():
        true = [(n, float(frame[i]['center'][2])) for n, frame in enumerate(clip.truth)]
        depths.append(Line(f'{name}, true', '#9aa1ab', true))
        found = [(s.number, float(s.centers[i][2])) for s in seen if i in s.centers]
        depths.append(_named(object_line(i, found), name))
    depth_plot = plot(
        depths, y_min=0.6, y_max=1.8, y_label='distance of the centre, m', x_max=last
    )
    cards = [
        (f'{part["error_mm"]["median"]:.1f} mm', f'{name}: error of the centre, median')
        for name, part in report['objects'].items()
        if part['error_mm']
    ]
    cards += [
        (f'{part["error_percent_of_range"]["max"]:.2f} %', f'{name}: largest, of its distance')
        for name, part in report['objects'].items()
        if part['error_mm']
    ]
    cards += [
        (f'{report["node_ms"]["p50"]:.1f} ms', 'objects_3d, p50 per frame'),
        (f'{report["stamp_to_centre_ms"]["median"]:.0f} ms', 'image to centre, median'),
        (f'{report["frames_with_centres"]} of {report["frames"]}', 'frames with centres'),
    ]
    host = report['host']
    return page.build(
        title='vos_ros: found in space',
        lead='A drawn scene whose places are known. The segmenter follows ball and box from one '
        'mask; objects_3d places them by a depth image.',
        cards=cards,
        plots=[error_plot, depth_plot],
        notes=[
            'The true centre is the mean of the visible surface, by exact depth and exact masks. '
            'Errors of the masks, of depth and of objects_3d add up.',
            f'Depth: noise of 2 mm at 1 m, mixed pixels at edges, {report["holes"]:.0%} holes; '
            f'its stamps are {report["depth_late_ms"]:g} ms later than those of the images.',
            'From above: crosses are what was published, circles the truth.',
        ],
        figures=figures,
        figures_title='Frames: camera with masks, all points from the side, objects from above',
        facts=[
            ('model', str(report['model'])),
            ('rate', f'{report["rate_hz"]:g} Hz'),
            ('depth matched, missing', f'{report["matched"]}, {report["depth_missing"]}'),
            *((key, str(host[key])) for key in host),
            ('date', str(report['date'])),
        ],
    )


def _named(line: Line, name: str) -> Line:
    return Line(name, line.color, line.points)
