# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A worker under test: what the camera sends, and what came out."""

from collections.abc import Callable
from dataclasses import dataclass, field
import functools
import threading
import time
from typing import Any, NamedTuple

import numpy as np

from vos_ros.config import InitConfig
from vos_ros.datatypes import Frame, Image, Prompt, Segmentation
from vos_ros.engine.segmenter import VideoSegmenter
from vos_ros.errors import VosError
from vos_ros.stream.backlog import WorkerStats
from vos_ros.stream.pipeline import Failed
from vos_ros.stream.worker import Worker

PATIENCE_S = 20.0  # fails instead of hanging; nothing here is a measurement


class Message(NamedTuple):
    """What a camera sends: converted in the worker's thread only."""

    stamp_ns: int
    is_broken: bool = False


@dataclass
class Rig:
    """A worker whose conversions can be held, so that a test knows what happens when."""

    segmenter: VideoSegmenter
    init: InitConfig = field(default_factory=InitConfig)
    options: dict[str, Any] = field(default_factory=dict)  # more arguments of the worker
    picture: Callable[[int], Image] = lambda stamp_ns: np.full((64, 96, 3), 200, np.uint8)
    results: list[Segmentation] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)
    failed: list[Failed] = field(default_factory=list)
    converted: list[int] = field(default_factory=list)
    threads: set[int] = field(default_factory=set)
    gate: threading.Event = field(default_factory=threading.Event)
    entered: threading.Event = field(default_factory=threading.Event)
    on_result: Callable[[Segmentation, Frame], None] | None = None

    def __post_init__(self) -> None:
        self.gate.set()
        self.worker: Worker[Message] = Worker(
            self.segmenter,
            to_frame=self._to_frame,
            stamp_of=lambda message: message.stamp_ns,
            on_result=self._take,
            on_error=self._note,
            init=self.init,
            **self.options,
        )

    def _note(self, error: Exception, what: Failed) -> None:
        self.failed.append(what)
        self.errors.append(error)  # what tests wait for

    def _to_frame(self, message: Message) -> Frame:
        self.entered.set()
        self.gate.wait(PATIENCE_S)
        self.threads.add(threading.get_ident())
        self.converted.append(message.stamp_ns)
        if message.is_broken:
            raise VosError('the image is broken; check the camera')
        return Frame(self.picture(message.stamp_ns), 'rgb8', message.stamp_ns, 'camera')

    def _take(self, result: Segmentation, frame: Frame) -> None:
        assert frame.stamp_ns == result.stamp_ns
        self.results.append(result)
        if self.on_result is not None:
            self.on_result(result, frame)

    def send(self, *stamps: int) -> None:
        for stamp_ns in stamps:
            self.worker.submit_frame(Message(stamp_ns))

    def send_each(self, *stamps: int) -> None:
        """Send frames, each one after the one before was answered."""
        for stamp_ns in stamps:
            expected = len(self.results) + 1
            self.send(stamp_ns)
            until(functools.partial(self._has_results, expected))

    def _has_results(self, count: int) -> bool:
        return len(self.results) >= count

    def hold(self, stamp_ns: int) -> None:
        """Send a frame and return when the worker is in the middle of it."""
        self.gate.clear()
        self.entered.clear()
        self.send(stamp_ns)
        assert self.entered.wait(PATIENCE_S)

    def settle(self) -> None:
        """Return when the worker has finished the frame that it is at, memorising included."""
        is_done = threading.Event()
        self.worker._backlog.add_command(is_done.set)
        assert is_done.wait(PATIENCE_S)

    def tracked(self) -> list[tuple[int, tuple[int, ...]]]:
        return [(r.stamp_ns, r.object_ids) for r in self.results]


def until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s, 'waited in vain'
        time.sleep(0.002)


def prompt(object_id: int, stamp_ns: int = 0, size: tuple[int, int] = (64, 96)) -> Prompt:
    label_map = np.zeros(size, np.uint8)
    label_map[8 * object_id : 8 * object_id + 8, 8:40] = object_id
    return Prompt(label_map, stamp_ns)


def places(stats: WorkerStats) -> int:
    """Add up where frames can be; equal to frames_in, always."""
    return (
        stats.frames_done
        + stats.frames_dropped
        + stats.skipped_late
        + stats.skipped_paced
        + stats.overtaken
        + stats.frames_failed
        + stats.frames_waiting
    )


MakeRig = Callable[..., Rig]
