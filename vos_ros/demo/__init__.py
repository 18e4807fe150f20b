# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The demo: camera, node and recorder as processes of their own, over real ROS 2 topics.

Nothing in it is simulated but the camera: the node is the one that runs on a robot, frames cross
process borders through DDS, and what is scored is what a subscriber received.
"""

from __future__ import annotations

from dataclasses import dataclass
import itertools
from pathlib import Path
import time
from typing import Any

import cv2
import numpy as np
from rich.console import Console
from rich.markup import escape

from vos_ros.backends import check_files, load_manifest
from vos_ros.backends.base import Manifest
from vos_ros.bag.observe import PageFrames
from vos_ros.bag.replay import FrameRecord, Observers, Published, Scored
from vos_ros.bag.report import ROS, Setting
from vos_ros.bag.run import LOGS, open_input, PAGE, REPORT, write_results
from vos_ros.bag.sequence import TRUTH
from vos_ros.config import RuntimeConfig, SegmenterConfig
from vos_ros.datatypes import Image, LabelMap, Prompt
from vos_ros.engine.segmenter import VideoSegmenter
from vos_ros.errors import VosError
from vos_ros.evaluation.evaluate import objects_for
from vos_ros.evaluation.results import writing
from vos_ros.evaluation.video import OverlayVideo
from vos_ros.formats.drawing import draw_ids, draw_overlay, drawable, to_rgb
from vos_ros.formats.label_png import write_label_png
from vos_ros.formats.masks import ids_in
from vos_ros.harness import through_node
from vos_ros.harness.play import check_ros, Engine, print_failure
from vos_ros.harness.processes import ProcessError
from vos_ros.harness.source import make_source, open_source, Source

_VIDEO = 'overlay.mp4'
# All that the demo writes into its folder.
_RESULTS = (REPORT, PAGE, _VIDEO, 'masks', 'clip', LOGS)
# The camera is slowed down where the machine could not follow: the demo shows masks, and a node
# that drops most frames shows little. What part of a frame's time the network may take alone;
# player, recorder and transport need the rest.
_BUSY = 0.6
_LEAST_RATE_HZ = 3.0
_PROBE_FRAMES = 6
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
    max_objects: int = 0,
    runtime: RuntimeConfig | None = None,
) -> dict[str, Any] | None:
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
    :param max_objects: followed at once; 0 = as many as the first mask holds, at least 10.
    :param runtime: backend, precision and threads; its model is not looked at.
    :return: content of report.json; None if a process failed, which has been printed.
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
    check_files(manifest)  # a corrupt one shows here as one line, not in the node's log
    # Everything is looked at before anything that an earlier demo left is deleted.
    given = open_source(video=paths[0], mask=paths[1], davis=paths[2], frames=frames)
    first = [] if given is None else ids_in(given.first)
    config = SegmenterConfig(input_size=size, max_objects=max_objects or objects_for(len(first)))
    engine = Engine(config, runtime or RuntimeConfig())
    inputs = [path for path in (*paths, manifest.folder) if path is not None]
    with writing(out, _RESULTS, inputs=inputs) as deleted:
        if deleted:
            console.print(f'deleted {deleted} files of an earlier demo in {escape(str(out))}')
        with console.status('preparing the clip'):
            source = given or make_source(out / 'clip', frames)
        with console.status(f'measuring {manifest.name} on this machine'):
            pace = choose_pace(source, manifest, rate_hz, engine)
        console.print(
            f'[b]{escape(source.name)}[/b] with model [b]{manifest.name}[/b] at {pace.reason}'
        )
        try:
            return _play(source, pace, manifest, engine, out, console)
        except ProcessError as error:
            print_failure(console, 'demo', error, out / LOGS)
            return None


def _play(
    source: Source, pace: Pace, manifest: Manifest, engine: Engine, out: Path, console: Console
) -> dict[str, Any]:
    """Do what `vos bag eval --mode ros` does with a bag of the clip, and make a film of it."""
    bag = source.bag(pace.rate_hz)
    gt = TRUTH if TRUTH in bag.topics else 'none'
    given = open_input(bag, gt=gt, init='topic')
    setting = Setting(bag.name, given.image, gt, 'topic', ROS)
    masks, names = out / 'masks' / bag.name, source.sequence.frame_names
    with OverlayVideo(out / _VIDEO, rate_hz=min(pace.rate_hz, 30.0)) as film:
        pictures = _Pictures(masks, names, film, given.frames)
        observers = Observers([pictures.on_frame], [pictures.on_mask])
        outcome, run = through_node.play(given, manifest, engine, out, observers, console=console)
    clip = {
        'name': source.name,
        'rate_hz': pace.rate_hz,
        'rate_reason': pace.reason,
        'step_ms': None if pace.step_ms is None else round(pace.step_ms, 2),
    }
    figures = pictures.page_frames.figures()
    run = {**run, 'clip': clip}
    return write_results(given, setting, outcome, run, figures, out, per_frame=True, video=_VIDEO)


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
        segmenter.step(frame, None if number else Prompt(source.first))
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


class _Pictures:
    """Draws and writes the masks that arrived, each on its own image; looks on at a replay."""

    def __init__(self, folder: Path, names: tuple[str, ...], film: OverlayVideo, frames: int):
        self.page_frames = PageFrames(frames)
        self._folder = folder
        self._names = names
        self._film = film
        self._newest: LabelMap | None = None

    def on_mask(self, mask: Published) -> None:
        """Write a mask; it comes before its frame does."""
        self._newest = mask.label_map
        index = mask.frame.index
        # A video may hold more frames than its header says.
        name = self._names[index] if index < len(self._names) else f'{index:05d}'
        write_label_png(self._folder / f'{name}.png', mask.label_map)

    def on_frame(self, seen: Scored) -> None:
        """Draw a frame with its mask, or where it was dropped, with the newest before it."""
        image = to_rgb(seen.frame.image)
        labels = self._newest
        if labels is None:
            labels = np.zeros(image.shape[:2], np.uint8)
        self._film.write_image(_film_image(image, labels, seen.record))
        if seen.record.latency_ms is not None:
            self.page_frames.offer(seen, labels, seen.record.per_frame_j)


def _film_image(image: Image, labels: LabelMap, record: FrameRecord) -> Image:
    picture: Any = draw_ids(draw_overlay(image, labels), labels)
    height, width = picture.shape[:2]
    if width > _VIDEO_WIDTH_PX:
        height, width = round(height * _VIDEO_WIDTH_PX / width), _VIDEO_WIDTH_PX
        picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    text = f'{record.index:4d}  '
    if record.latency_ms is None:
        text += 'dropped: the newest mask before it'
    else:
        text += f'{record.latency_ms:.0f} ms'
    text += '' if record.per_frame_j is None else f'   J {record.per_frame_j:.2f}'
    scale = height / 480 * 0.5
    for colour, thickness in (((0, 0, 0), 3), ((255, 255, 255), 1)):
        at = (round(10 * scale * 2), round(20 * scale * 2))
        font = cv2.FONT_HERSHEY_SIMPLEX
        cv2.putText(picture, drawable(text), at, font, scale, colour, thickness, cv2.LINE_AA)
    drawn: Image = picture
    return drawn
