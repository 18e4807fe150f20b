# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the benchmarks run: clips at a camera's size, prompts, segmenters, and one step's cost."""

from __future__ import annotations

from collections.abc import Sequence
import json
from subprocess import Popen
from time import perf_counter, process_time
from typing import Any, NamedTuple, TypeVar

import cv2
import numpy as np
from record import frames_of_clip

from vos_ros.backends import BACKENDS
from vos_ros.config import RuntimeConfig, SegmenterConfig
from vos_ros.datatypes import Frame, Prompt
from vos_ros.engine.segmenter import VideoSegmenter
from vos_ros.errors import VosError
from vos_ros.sequences import open_davis

STAGES = ('preprocess', 'encode', 'segment', 'labels', 'memorize')

Clip = tuple[list[Frame], np.ndarray[Any, Any]]
Camera = tuple[int, int]  # height, width
T = TypeVar('T')


class Variant(NamedTuple):
    """What runs the network, and on how many threads."""

    backend: str
    precision: str
    threads: int


class Cost(NamedTuple):
    """One frame, in ms, without and with memorising, and the time the cores worked on it."""

    latency: float
    step: float
    cores: float


def ask(process: Popen[str], name: str, line: str) -> dict[str, Any]:
    """
    Send a line to a process and return its answer, one line of JSON.

    :param process: started with pipes, as text.
    :param name: of it, for the error.
    :raises VosError: it has ended.
    """
    if process.stdin is None or process.stdout is None:
        raise RuntimeError('started with pipes')
    process.stdin.write(f'{line}\n')
    process.stdin.flush()
    said = process.stdout.readline()
    if not said:
        raise VosError(f'{name} has ended; its own message is above')
    answer: dict[str, Any] = json.loads(said)
    return answer


def open_with(model: str, size: int, threads: int) -> VideoSegmenter:
    """Open a model on the processor, or on whatever `auto` takes."""
    return VideoSegmenter.open(
        model, config=SegmenterConfig(input_size=size), runtime=RuntimeConfig(threads=threads)
    )


def open_variants(
    model: str,
    size: int,
    thread_counts: Sequence[int],
    backends: Sequence[str] = ('cpu', *(n for n in BACKENDS if n != 'cpu')),
) -> dict[Variant, VideoSegmenter]:
    """Open every backend, in every precision, with each number of threads; say what fails."""
    found = {}
    for name in backends:
        for precision in BACKENDS[name].precisions:
            for threads in thread_counts:
                runtime = RuntimeConfig(backend=name, precision=precision, threads=threads)
                config = SegmenterConfig(input_size=size)
                try:
                    opened = VideoSegmenter.open(model, config=config, runtime=runtime)
                except VosError as error:
                    print(f'left out: {error}')
                    break
                found[Variant(name, precision, threads)] = opened
    return found


def read_clip(davis: str, sequence: str, length: int) -> Clip:
    """
    Return frames and the label map of the first one: of DAVIS, else of the demo.

    :param davis: root of a data set; '' = the demo's clip.
    :param sequence: of the data set; '' = its first.
    :param length: most frames.
    """
    if not davis:
        clip = frames_of_clip(length)
        return [Frame(image) for image, _ in clip], clip[0][1]
    found = next(iter(open_davis(davis, names=(sequence,) if sequence else ())))
    frames = [frame for frame, _ in zip(found, range(length))]
    labels = found.label_map(0)
    if labels is None:
        raise VosError(f'{found.name} has no mask for its first frame; take another sequence')
    return frames, labels


def fit_clip(clip: Clip, camera: Camera) -> Clip:
    """Resize a clip to a camera's size."""
    frames, labels = clip
    resized = [
        Frame(cv2.resize(f.image, camera[::-1], interpolation=cv2.INTER_AREA)) for f in frames
    ]
    return resized, cv2.resize(labels, camera[::-1], interpolation=cv2.INTER_NEAREST)


def prompt_for(labels: np.ndarray[Any, Any], objects: int) -> Prompt:
    """Cut what is labelled into so many objects of about equal area, by vertical cuts."""
    columns = np.cumsum((labels > 0).sum(axis=0), dtype=np.int64)
    strips = np.minimum((columns - 1) * objects // columns[-1] + 1, objects)
    parts = np.where(labels > 0, strips[None, :], 0).astype(np.uint8)
    if len(np.unique(parts)) != objects + 1:
        raise VosError(f'the mask is too narrow to be cut into {objects} objects; take a larger')
    return Prompt(parts)


def turns(variants: Sequence[T], number: int) -> list[T]:
    """Return the order of one round: there, and back in the next one."""
    return list(variants) if number % 2 else list(reversed(variants))


def start(segmenter: VideoSegmenter, clip: Clip, objects: int) -> None:
    """Begin with the clip's first frame."""
    segmenter.start(clip[0][0], prompt_for(clip[1], objects))
    segmenter.memorize()


def costs_of(segmenter: VideoSegmenter, frames: Sequence[Frame]) -> list[Cost]:
    """Segment and memorise frames; the first one only warms the caches and is not counted."""
    costs = []
    for frame in frames:
        cores, began = process_time(), perf_counter()
        latency = segmenter.segment(frame).timing.latency_ms
        segmenter.memorize()
        costs.append(Cost(latency, 1e3 * (perf_counter() - began), 1e3 * (process_time() - cores)))
    return costs[1:]


def block(clip: Clip, number: int, length: int) -> list[Frame]:
    """Return the frames of one round: `length` counted ones and one before them."""
    frames = clip[0]
    first = 1 + number * length % (len(frames) - length - 1)
    return frames[first : first + length + 1]


def model_line(segmenter: VideoSegmenter) -> str:
    """Return name and hash of the model."""
    return f'Model {segmenter.manifest.name} ({segmenter.manifest.sha256[:12]})'


def size_text(size: tuple[int, int]) -> str:
    """Return WIDTHxHEIGHT of (H, W)."""
    return f'{size[1]}x{size[0]}'
