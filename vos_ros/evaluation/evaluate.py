# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Sequences -> segmenter -> J, F, latency -> report.

Nothing here knows which segmenter runs: whatever has `step` and `reset` can be
measured, so training and benchmarks use the same code and get the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timezone
from importlib import metadata
import json
from pathlib import Path
import platform
import subprocess
from time import perf_counter
from typing import Any, Protocol

import numpy as np

from vos_ros.backends.base import processors
from vos_ros.config import MOST_OBJECTS, SegmenterConfig
from vos_ros.datatypes import Frame, LabelMap, Prompt, Segmentation, StepTiming
from vos_ros.engine.preprocess import fit_label_map
from vos_ros.errors import VosError
from vos_ros.evaluation.metrics import (
    ObjectScore,
    SequenceScorer,
    Statistics,
    summarize,
    Summary,
)
from vos_ros.evaluation.occlusion import OcclusionFigures
from vos_ros.evaluation.video import OverlayVideo
from vos_ros.evaluation.worst import ScoredFrame, WorstFrames
from vos_ros.formats.drawing import to_rgb
from vos_ros.formats.label_png import write_label_png
from vos_ros.formats.masks import ids_in
from vos_ros.sequences import LabelledSequence, open_labelled
from vos_ros.sequences import Sequence as Frames
from vos_ros.sequences.base import OverFrames

STAGES = ('preprocess', 'encode', 'segment', 'labels', 'memorize')
_PACKAGES = ('numpy', 'onnxruntime', 'opencv-python-headless', 'opencv-python')


class Stepper(Protocol):
    """What is measured: VideoSegmenter, a baseline, or a network in training."""

    def step(self, frame: Frame, prompt: Prompt | None = None) -> Segmentation:
        """Segment one frame and remember it; `prompt` names objects on this frame."""

    def reset(self) -> None:
        """Forget all objects."""


@dataclass(frozen=True)
class Observation:
    """
    One frame as it was answered, for whoever wants to draw or store it.

    :param index: of the frame, from 0.
    :param name: of the frame: what its mask file is called.
    :param frame: the camera's image.
    :param label_map: (H, W) predicted ids; zero before the first object.
    :param gt: (H, W) true ids; None where the frame is not annotated.
    :param scores: J and F of each object that counts on this frame.
    """

    sequence: LabelledSequence
    index: int
    name: str
    frame: Frame
    label_map: LabelMap
    gt: LabelMap | None
    scores: Mapping[int, tuple[float, float]]


Observer = Callable[[Observation], None]


@dataclass(frozen=True)
class Latency:
    """Percentiles in ms, over frames that were segmented."""

    p50: float
    p95: float
    p99: float
    max: float

    @classmethod
    def of(cls, values_ms: Iterable[float]) -> Latency:
        """
        Sum up single times; all zero where there are none.

        :param values_ms: in any order.
        """
        values = list(values_ms) or [0.0]
        p50, p95, p99 = (float(p) for p in np.percentile(values, (50, 95, 99)))
        return cls(p50, p95, p99, max(values))


@dataclass(frozen=True)
class Speed:
    """
    What the frames cost.

    :param frames: all that went through the segmenter, prompted ones included.
    :param seconds: their processing time, memory encoding included, reading and scoring not.
    :param timings: per segmented frame; prompted frames are left out, since they are not
        segmented and the first one also pays for starting up.
    """

    frames: int = 0
    seconds: float = 0.0
    timings: tuple[StepTiming, ...] = field(default=(), repr=False)

    @classmethod
    def of(cls, parts: Iterable[Speed]) -> Speed:
        """
        Add up.

        :param parts: of several sequences.
        """
        parts = list(parts)
        return cls(
            sum(part.frames for part in parts),
            sum(part.seconds for part in parts),
            tuple(timing for part in parts for timing in part.timings),
        )

    @property
    def fps(self) -> float:
        """Frames per second, by the convention of STCN, XMem and AOT."""
        return self.frames / self.seconds if self.seconds else 0.0

    @property
    def latency(self) -> Latency:
        """From frame to label map."""
        return Latency.of(timing.latency_ms for timing in self.timings)

    def to_dict(self) -> dict[str, Any]:
        """Give fps and latency_ms, overall and per stage, as report.json has them."""
        stages = {
            stage: asdict(Latency.of(getattr(t, f'{stage}_ms') for t in self.timings))
            for stage in STAGES
        }
        return {'fps': self.fps, 'latency_ms': {**asdict(self.latency), 'stages': stages}}


@dataclass(frozen=True)
class SequenceReport:
    """
    What came out on one sequence.

    :param frames: in the sequence.
    :param objects: score per object id; empty where there was nothing to compare with.
    :param warnings: what the segmenter complained about.
    :param occlusion: whether objects were found again.
    """

    name: str
    frames: int
    objects: dict[int, ObjectScore]
    speed: Speed
    warnings: tuple[str, ...] = ()
    occlusion: OcclusionFigures = field(default_factory=OcclusionFigures)

    @property
    def summary(self) -> Summary | None:
        """Mean over its objects; None if not scored."""
        return summarize(self.objects.values())

    def to_dict(self) -> dict[str, Any]:
        """Give what report.json has of a sequence."""
        objects = {str(k): _object_dict(score) for k, score in self.objects.items()}
        return {
            'objects': objects,
            **_summary_dict(self.summary),
            'frames': self.frames,
            'occlusion': self.occlusion.to_dict(),
            **self.speed.to_dict(),
            'warnings': list(self.warnings),
        }


@dataclass(frozen=True)
class EvalReport:
    """What came out on all sequences."""

    sequences: dict[str, SequenceReport]

    @property
    def overall(self) -> Summary | None:
        """Mean over all objects of all sequences; None if nothing could be scored."""
        return summarize(
            score for sequence in self.sequences.values() for score in sequence.objects.values()
        )

    @property
    def speed(self) -> Speed:
        """Cost over all sequences."""
        return Speed.of(sequence.speed for sequence in self.sequences.values())

    @property
    def occlusion(self) -> OcclusionFigures:
        """Whether objects were found again, over all sequences."""
        return OcclusionFigures.of(part.occlusion for part in self.sequences.values())

    def to_dict(self) -> dict[str, Any]:
        """Give overall, occlusion, sequences, fps and latency_ms as report.json has them."""
        return {
            'overall': _summary_dict(self.overall),
            'occlusion': self.occlusion.to_dict(),
            'sequences': {name: part.to_dict() for name, part in self.sequences.items()},
            **self.speed.to_dict(),
        }


def evaluate_sequence(
    segmenter: Stepper, sequence: LabelledSequence, *, observers: Iterable[Observer] = ()
) -> SequenceReport:
    """
    Run a segmenter over a sequence; each object is prompted where it first appears.

    The first prompted frame and the one after are run twice, the first time
    unmeasured: engines are built on their first frame, which is no cost of a frame.

    :param segmenter: is reset first.
    :param sequence: with the objects' masks on at least one frame.
    :param observers: called with every frame, in order, outside the measured time.
    :raises VosError: bad files, or masks of another size than the image.
    """
    segmenter.reset()
    observers = tuple(observers)
    scorer = SequenceScorer()
    meter = _Meter(segmenter)
    known: set[int] = set()
    warnings: dict[str, None] = {}
    frames = 0
    names = sequence.frame_names
    for index, frame in enumerate(sequence):
        # A video may hold more frames than its header says.
        name = names[index] if index < len(names) else f'{index:05d}'
        gt = sequence.label_map(index)
        if gt is not None:
            gt = fit_mask(gt, frame.size, f'{sequence.name}/{name}')
        is_first = not known
        prompt = None if gt is None else prompt_for_new(gt, known)
        if prompt is not None and isinstance(sequence, PromptedSequence):
            prompt = replace(prompt, made_ids=sequence.made_ids)
        label_map: LabelMap
        if known:
            if is_first and prompt is not None:
                meter.warm_up(frame, prompt)
            answer = meter.step(frame, prompt)
            label_map = answer.label_map
            warnings.update(dict.fromkeys(answer.warnings))
        else:
            label_map = np.zeros(frame.size, np.uint8)
        scores = {} if gt is None else scorer.feed(label_map, gt, frame.stamp_ns)
        for observe in observers:
            observe(Observation(sequence, index, name, frame, label_map, gt, scores))
        frames += 1
    if not known:
        raise VosError(f'{sequence.name}: no mask holds any object, so there is nothing to follow')
    return SequenceReport(
        sequence.name,
        frames,
        scorer.conclude(),
        meter.speed(),
        tuple(warnings),
        scorer.occlusion.conclude(),
    )


def evaluate_root(
    root: Path | str,
    segmenter_factory: Callable[[], Stepper],
    *,
    split: str = '',
    names: Sequence[str] = (),
    observers: Iterable[Observer] = (),
    on_sequence: Callable[[SequenceReport], None] | None = None,
) -> EvalReport:
    """
    Run a segmenter over a data set in DAVIS layout, 2016 or 2017, or over one's own clips.

    :param root: of the data set.
    :param segmenter_factory: called once; the segmenter is reset before every sequence.
    :param split: see :func:`vos_ros.sequences.open_labelled`.
    :param names: only these sequences.
    :param observers: see :func:`evaluate_sequence`.
    :param on_sequence: called with each sequence's report as soon as it is there.
    :raises VosError: bad input.
    """
    return evaluate_sequences(
        open_labelled(root, split=split, names=names),
        segmenter_factory,
        observers=observers,
        on_sequence=on_sequence,
    )


def evaluate_sequences(
    sequences: Iterable[LabelledSequence],
    segmenter_factory: Callable[[], Stepper],
    *,
    observers: Iterable[Observer] = (),
    on_sequence: Callable[[SequenceReport], None] | None = None,
) -> EvalReport:
    """
    Run a segmenter over sequences from anywhere; parameters as in :func:`evaluate_root`.

    :param sequences: opened ones, each of a name of its own.
    """
    segmenter = segmenter_factory()
    observers = tuple(observers)
    reports = {}
    for sequence in sequences:
        reports[sequence.name] = evaluate_sequence(segmenter, sequence, observers=observers)
        if on_sequence is not None:
            on_sequence(reports[sequence.name])
    return EvalReport(reports)


class PromptedSequence(OverFrames):
    """Frames from anywhere with one mask on the first: to be segmented, with nothing to score."""

    def __init__(
        self, frames: Frames, mask: LabelMap, made_ids: frozenset[int] = frozenset()
    ) -> None:
        """
        Put both together.

        :param frames: a folder or a video.
        :param mask: (H, W) ids on its first frame.
        :param made_ids: see Prompt.
        """
        super().__init__(frames)
        self._mask = mask
        self.made_ids = made_ids

    def label_map(self, index: int) -> LabelMap | None:
        """Give the mask of the first frame, None for the others."""
        return None if index else self._mask


class MaskWriter:
    """Observer that writes every label map to FOLDER/SEQ/NAME.png, indexed, prompted ones too."""

    def __init__(self, folder: Path, *, flat: bool = False) -> None:
        """
        Choose where to write.

        :param folder: is made where missing.
        :param flat: leave SEQ out, for there is only one sequence.
        """
        self.folder = folder
        self._flat = flat

    def __call__(self, seen: Observation) -> None:
        """Write one frame's label map, at the camera's size."""
        folder = self.folder if self._flat else self.folder / seen.sequence.name
        write_label_png(folder / f'{seen.name}.png', seen.label_map)


class OverlayWriter:
    """Observer that writes one overlay video per sequence, FOLDER/SEQ.mp4; close it at the end."""

    def __init__(self, folder: Path, *, rate_hz: float = 24.0) -> None:
        """
        Choose where to write.

        :param folder: is made where missing.
        :param rate_hz: of the videos.
        """
        self.folder = folder
        self.codec = ''
        self._rate_hz = rate_hz
        self._video: OverlayVideo | None = None

    def __call__(self, seen: Observation) -> None:
        """Append one frame; the first frame of a sequence opens its video."""
        if seen.index == 0 or self._video is None:
            self.close()
            path = self.folder / f'{seen.sequence.name}.mp4'
            self._video = OverlayVideo(path, rate_hz=self._rate_hz)
        self._video.write(seen.frame, seen.label_map)
        self.codec = self._video.codec

    def close(self) -> None:
        """Finish the last video."""
        if self._video is not None:
            self._video.close()


class WorstFramesObserver:
    """Observer that collects the frames with the lowest mean J; `frames` draws them."""

    def __init__(self, count: int = 12) -> None:
        """
        Keep nothing yet.

        :param count: pictures on the sheet.
        """
        self.frames = WorstFrames(count)

    def __call__(self, seen: Observation) -> None:
        """Look at one frame; the last of a sequence does not count, so it is not shown."""
        last = seen.index == len(seen.sequence) - 1
        if last or not seen.scores or seen.gt is None:
            return
        j = sum(score[0] for score in seen.scores.values()) / len(seen.scores)
        title = f'{seen.sequence.name}/{seen.name}'
        scored = ScoredFrame(title, j, to_rgb(seen.frame), seen.label_map, seen.gt)
        self.frames.offer(seen.sequence.name, seen.index / len(seen.sequence), scored)


def fit_mask(label_map: LabelMap, size: tuple[int, int], name: str) -> LabelMap:
    """
    Bring a mask to the size of its image, as the node does: of the same aspect, give or take 1 %.

    :param label_map: (H, W) ids.
    :param size: (H, W) of the image.
    :param name: what to call it in an error.
    :return: (H, W) of the image; no id is invented.
    :raises VosError: it is of another aspect.
    """
    try:
        return fit_label_map(label_map, size)
    except VosError as error:
        raise VosError(f'{name}: {error}') from error


def most_objects(sequences: Iterable[LabelledSequence]) -> int:
    """
    Count the objects that a segmenter must hold at once for any of these sequences.

    :param sequences: whose masks are all read.
    :return: at least the default of `max_objects`, at most what can be set.
    :raises VosError: a mask cannot be read.
    """
    most = 0
    for sequence in sequences:
        found: set[int] = set()
        for index in range(len(sequence)):
            label_map = sequence.label_map(index)
            if label_map is not None:
                found.update(ids_in(label_map))
        most = max(most, len(found))
    return objects_for(most)


def objects_for(count: int) -> int:
    """
    Give the setting `max_objects` that holds so many objects.

    :param count: of objects.
    """
    return max(SegmenterConfig().max_objects, min(count, MOST_OBJECTS))


def prompt_for_new(gt: LabelMap, known: set[int]) -> Prompt | None:
    """
    Cut the objects out of a true label map that were not there before, and note them.

    :param gt: (H, W) true ids; not changed.
    :param known: ids seen so far; the new ones are added.
    :return: None where there is no new object.
    """
    new = [object_id for object_id in ids_in(gt) if object_id not in known]
    if not new:
        return None
    known.update(new)
    label_map = gt.copy()
    label_map[~np.isin(gt, new)] = 0
    return Prompt(label_map)


def describe_run() -> dict[str, Any]:
    """Give what a number needs beside it to mean something: host, versions, date, commit."""
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        'host': {
            'cpu': _cpu_model(),
            'cores': processors(),
            'python': platform.python_version(),
            **versions,
        },
        'date': datetime.now(timezone.utc).isoformat(timespec='seconds'),
        'commit': _commit(),
    }


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """
    Write a report, and the folders above it where they are missing.

    :param path: of the file.
    :param content: plain values.
    :raises VosError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=2, allow_nan=False) + '\n')
    except OSError as error:
        raise VosError(f'cannot write {path}: {error.strerror}; choose another folder') from error


class _Meter:
    """Calls `step` with a watch running: reading, scoring and drawing are not in it."""

    def __init__(self, segmenter: Stepper) -> None:
        self._segmenter = segmenter
        self._frames = 0
        self._seconds = 0.0
        self._timings: list[StepTiming] = []

    def warm_up(self, frame: Frame, prompt: Prompt) -> None:
        self._segmenter.step(frame, prompt)
        self._segmenter.step(frame)
        self._segmenter.reset()

    def step(self, frame: Frame, prompt: Prompt | None) -> Segmentation:
        start = perf_counter()
        answer = self._segmenter.step(frame, prompt)
        self._seconds += perf_counter() - start
        self._frames += 1
        if prompt is None:
            self._timings.append(answer.timing)
        return answer

    def speed(self) -> Speed:
        return Speed(self._frames, self._seconds, tuple(self._timings))


def _summary_dict(summary: Summary | None) -> dict[str, float | None]:
    if summary is None:
        return {'j': None, 'f': None, 'jf': None}
    return {'j': summary.j, 'f': summary.f, 'jf': summary.jf}


def _object_dict(score: ObjectScore) -> dict[str, float]:
    def flat(letter: str, of: Statistics) -> dict[str, float]:
        return {letter: of.mean, f'{letter}_recall': of.recall, f'{letter}_decay': of.decay}

    return {**flat('j', score.j), **flat('f', score.f), 'jf': score.jf, 'frames': score.frames}


def _cpu_model() -> str:
    try:
        lines = Path('/proc/cpuinfo').read_text().splitlines()
    except OSError:
        lines = []
    names = (line.split(':', 1)[1].strip() for line in lines if line.startswith('model name'))
    return next(names, platform.processor() or platform.machine())


def _commit() -> str | None:
    """Name the commit of this code if it runs from a git checkout; '-dirty' = with changes."""
    here = Path(__file__).resolve().parent
    if not (here.parents[1] / '.git').exists():
        return None
    command = ['git', '-C', str(here), 'describe']
    try:
        described = subprocess.run(
            [*command, '--always', '--dirty', '--abbrev=40', '--exclude=*'],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return described.stdout.strip()
