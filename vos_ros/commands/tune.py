# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Which settings suit this machine: all that may help are measured, the simplest good one is named.

Settings take turns, a few frames each, so that whatever else the machine does meets all of them
alike. Those that may be the fastest are measured once more and longer. Of those that are nearly as
fast as the fastest then, the one that changes least is taken: a gain below the spread of a
measurement is none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import cv2
import numpy as np
import yaml

from vos_ros.backends import BACKENDS, known_models, load_manifest
from vos_ros.backends.base import NotInstalledError, thread_count
from vos_ros.config import RuntimeConfig, SegmenterConfig
from vos_ros.datatypes import Frame, LabelMap, Prompt
from vos_ros.engine.preprocess import ladder
from vos_ros.engine.segmenter import VideoSegmenter
from vos_ros.errors import VosError
from vos_ros.harness import clip

#: The advice is at most so many times as slow as the fastest setting: what is promised.
NEARLY = 1.05
#: A setting this much slower than the fastest, as measured, is as good; the rest of what is
#: promised is for the measurement, which is not exact.
_ALIKE = 1.025
#: After a first look the fastest is one of those within this of it: medians of 24 frames were up
#: to 8 % off on a machine that nobody else used.
_CONTENDS = 1.15
#: Those get so many times as many rounds.
_LONGER = 3
#: Of a camera's period: what is left is for the image's way in and the labels' way out.
SHARE = 0.8
_BLOCK = 4  # frames in a row of one setting, after one that is not counted
_CLIP = 24


@dataclass(frozen=True)
class Setting:
    """
    What can be set to be faster.

    :param model: name or folder.
    :param threads: of the network.
    :param input_size: short side of the network's input, px.
    """

    model: str
    backend: str
    precision: str
    threads: int
    input_size: int

    def runtime(self) -> RuntimeConfig:
        """Return the settings of what runs the network."""
        return RuntimeConfig(
            model=self.model,
            backend=self.backend,
            precision=self.precision,
            threads=self.threads,
        )

    def __str__(self) -> str:
        """Name it in a line."""
        return (
            f'{Path(self.model).name}, {self.backend} {self.precision}, {self.threads} thread(s), '
            f'{self.input_size} px'
        )


def settings(model: str, input_size: int, backends: Sequence[str]) -> list[Setting]:
    """
    Return what may be fastest at one size, the simplest first.

    :param model: name or folder; `<name>_int8` is tried, too, where there is one.
    :param input_size: short side, px.
    :param backends: to try.
    """
    known = known_models()
    models = [model, *(name for name in (f'{model}_int8',) if name in known)]
    return [
        Setting(name, backend, precision, threads, input_size)
        for backend in backends
        for precision in reversed(BACKENDS[backend].precisions)
        for name in models
        for threads in range(1, thread_count(0) + 1)
    ]


def measure(
    wanted: Sequence[Setting],
    camera: tuple[int, int],
    objects: int,
    rounds: int,
    note: Callable[[str], object],
) -> dict[Setting, list[float]]:
    """
    Return ms of frames with memorising, for every setting that runs here.

    :param camera: (H, W) of the images.
    :param objects: followed at once.
    :param rounds: blocks of each setting.
    :param note: called with a line for each setting that does not run.
    """
    frames, prompt = _clip(camera, objects)
    opened: dict[Setting, VideoSegmenter] = {}
    missing: set[tuple[str, str]] = set()
    for setting in wanted:
        if (setting.backend, setting.precision) in missing:
            continue
        config = SegmenterConfig(max_objects=objects, input_size=setting.input_size)
        try:
            opened[setting] = VideoSegmenter.open(config=config, runtime=setting.runtime())
        except NotInstalledError as error:
            missing.add((setting.backend, setting.precision))
            note(f'left out: {error}')
        except VosError as error:
            note(f'{setting}: left out: {error}')
    times: dict[Setting, list[float]] = {setting: [] for setting in opened}
    for number in range(rounds):
        order = list(opened) if number % 2 else list(reversed(opened))
        for setting in order:
            times[setting] += _block(opened[setting], frames, prompt)
    return times


def _block(segmenter: VideoSegmenter, frames: Sequence[Frame], prompt: Prompt) -> list[float]:
    segmenter.start(frames[0], prompt)
    segmenter.memorize()
    found = []
    for frame in frames[1 : _BLOCK + 2]:
        began = perf_counter()
        segmenter.segment(frame)
        segmenter.memorize()
        found.append(1e3 * (perf_counter() - began))
    return found[1:]


def _clip(camera: tuple[int, int], objects: int) -> tuple[list[Frame], Prompt]:
    """Return real pixels that move, at the camera's size, with so many objects."""
    pictures = list(clip.render(_CLIP))
    size = camera[::-1]
    frames = [
        Frame(
            np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8),
            stamp_ns=(number + 1) * 33_000_000,
        )
        for number, (image, _) in enumerate(pictures)
    ]
    labels = cv2.resize(pictures[0][1], size, interpolation=cv2.INTER_NEAREST)
    return frames, Prompt(_cut(np.asarray(labels, np.uint8), objects))


def _cut(labels: LabelMap, objects: int) -> LabelMap:
    """Cut what is labelled into so many objects of about equal area, by vertical cuts."""
    columns = np.cumsum((labels > 0).sum(axis=0), dtype=np.int64)
    strips = np.minimum((columns - 1) * objects // columns[-1] + 1, objects)
    found: LabelMap = np.where(labels > 0, strips[None, :], 0).astype(np.uint8)
    return found


def median(values: Sequence[float]) -> float:
    """Return the value in the middle."""
    return float(np.median(np.asarray(values, np.float64)))


def best_of(times: Mapping[Setting, Sequence[float]]) -> Setting:
    """
    Return the simplest setting whose median is within `_ALIKE` of the fastest's.

    :param times: ms of each, the simplest first.
    :raises VosError: nothing ran.
    """
    if not times:
        raise VosError('no setting runs on this machine; vos doctor says what is wrong')
    return _within(_ALIKE, times)[0]


def _within(share: float, times: Mapping[Setting, Sequence[float]]) -> list[Setting]:
    """Return the settings at most so many times as slow as the fastest, in their order."""
    medians = {setting: median(values) for setting, values in times.items()}
    fastest = min(medians.values(), default=0.0)
    return [setting for setting, ms in medians.items() if ms <= share * fastest]


@dataclass(frozen=True)
class Advice:
    """
    What to set.

    :param setting: to take.
    :param ms: median of a frame with it.
    :param keeps_up: it does for the camera's rate; True where none was given.
    :param fastest: at this size; the same, or not so simple and hardly faster.
    :param times: ms of all that was measured; what may be the fastest has more of them.
    """

    setting: Setting
    ms: float
    keeps_up: bool
    fastest: Setting
    times: dict[Setting, list[float]]


def tune(
    model: str,
    *,
    camera: tuple[int, int] = (480, 640),
    objects: int = 1,
    rate_hz: float = 0.0,
    input_size: int = 0,
    rounds: int = 6,
    backends: Sequence[str] = ('cpu', 'openvino'),
    note: Callable[[str], object] = print,
) -> Advice:
    """
    Measure settings at the model's size, and at smaller ones until the camera is kept up with.

    :param model: name or folder.
    :param camera: (H, W) of its images.
    :param objects: followed at once.
    :param rate_hz: of the camera; 0 = the model's size is kept, whatever it takes.
    :param input_size: short side to begin with, px; 0 = the model's own.
    :param rounds: of all settings; those that may be the fastest have more, afterwards.
    :param note: called with a line for what is measured and left out.
    :raises VosError: nothing runs.
    """
    said: set[str] = set()

    def note_once(line: str) -> None:  # what is missing is missing at every size
        if line not in said:
            said.add(line)
            note(line)

    manifest = load_manifest(model)
    sizes = (
        ladder(input_size or manifest.short_side)
        if manifest.fixed is None
        else (input_size or min(manifest.fixed[:2]),)
    )
    everything: dict[Setting, list[float]] = {}
    for size in sizes:
        times = measure(settings(model, size, backends), camera, objects, rounds, note_once)
        contenders = _within(_CONTENDS, times)
        finals = {setting: times[setting] for setting in contenders}
        if len(contenders) > 1:
            finals = measure(contenders, camera, objects, _LONGER * rounds, note_once)
            times |= finals
        everything |= times
        for setting, values in times.items():
            note(f'{setting}: {median(values):.1f} ms')
        chosen = best_of(finals)
        ms = median(finals[chosen])
        keeps_up = not rate_hz or ms <= SHARE * 1e3 / rate_hz
        if keeps_up:
            break
    fastest = min(finals, key=lambda s: median(finals[s]))
    return Advice(chosen, ms, keeps_up, fastest, everything)


def parameters(setting: Setting) -> str:
    """Return a parameters file of the node that sets what was advised, and nothing else."""
    values = {
        'model': setting.model,
        'backend': setting.backend,
        'precision': setting.precision,
        'threads': setting.threads,
        'input_size': setting.input_size,
    }
    text: str = yaml.safe_dump({'/**': {'ros__parameters': values}}, sort_keys=False)
    return f'# By vos doctor --tune; all else keeps its default (config/vos.yaml).\n{text}'


def check_new(path: Path) -> None:
    """
    Find out whether `write_parameters` can write there.

    :raises VosError: as it does.
    """
    _write_new(path, '')
    path.unlink()


def write_parameters(path: Path, setting: Setting) -> None:
    """
    Write the parameters file; one that is there is somebody's and stays.

    :raises VosError: it is there, or cannot be written.
    """
    _write_new(path, parameters(setting))


def _write_new(path: Path, text: str) -> None:
    try:
        with path.open('x') as file:
            file.write(text)
    except FileExistsError:
        raise VosError(f'{path} is there already; name another file') from None
    except OSError as error:
        raise VosError(f'cannot write {path}: {error.strerror}') from None


def lines(advice: Advice, rate_hz: float) -> Iterator[str]:
    """Say what was found, in words."""
    setting = advice.setting
    yield f'take: {setting}: {advice.ms:.1f} ms a frame, memorising included'
    fastest = min(advice.times, key=lambda s: median(advice.times[s]))
    if advice.fastest != setting:
        yield (
            f'{advice.fastest} took {median(advice.times[advice.fastest]):.1f} ms: no clear gain, '
            'so the simpler one is named'
        )
    if rate_hz and advice.keeps_up:
        yield f'that keeps up with {rate_hz:g} images a second, with time to spare'
    elif rate_hz:
        yield (
            f'nothing measured keeps up with {rate_hz:g} images a second ({fastest} is the '
            'fastest): images are left out then, the newest always counts'
        )
    if setting.model.endswith('_int8') or setting.precision == 'bf16':
        yield 'it computes with less than float32: docs/benchmarks.md has what that costs in J&F'
    if setting.input_size < max(s.input_size for s in advice.times):
        yield 'a smaller input loses thin parts and small objects: docs/benchmarks.md'
