# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Worker: one thread between the callbacks and the segmenter; no callback ever waits for it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
import logging
import threading
import time
from typing import Generic, TypeVar

import numpy as np

from vos_ros.config import InitConfig
from vos_ros.datatypes import Frame, LabelMap, Prompt, Segmentation
from vos_ros.errors import VosError
from vos_ros.mailbox import FrameRing, Mailbox
from vos_ros.preprocess import fit_label_map
from vos_ros.segmenter import VideoSegmenter

T = TypeVar('T')

_LOGGER = logging.getLogger(__name__)

# Prompts and commands that may wait at once; a person or a detector never comes near it.
QUEUE_CAPACITY = 16


@dataclass(frozen=True)
class WorkerStats:
    """
    Counters since the worker was made.

    :param frames_in: submitted.
    :param frames_dropped: replaced by a newer one before their turn came.
    :param frames_done: given to on_result.
    :param prompts_in: submitted.
    :param prompts_rejected: given to on_error, or refused because the queue was full.
    :param errors: frames and commands that failed.
    """

    frames_in: int = 0
    frames_dropped: int = 0
    frames_done: int = 0
    prompts_in: int = 0
    prompts_rejected: int = 0
    errors: int = 0


@dataclass(eq=False)
class _Command(Generic[T]):
    """One entry of the queue: a prompt, or something that needs no frame."""

    prompt: Prompt | None = None
    act: Callable[[], object] | None = None
    item: T | None = None  # the frame that the prompt is for, once it is there
    takes_next: bool = False  # any next frame will do
    deadline_s: float = float('inf')  # monotonic; waits for the frame of its stamp until then
    refusal: str = ''

    def is_ready(self, has_frame: bool) -> bool:
        waits = self.prompt is not None and self.item is None and not self.refusal
        return not waits or (self.takes_next and has_frame)


class Worker(Generic[T]):
    """
    Runs the segmenter in one thread: latest frame wins, prompts and commands in their order.

    Frames wait in a mailbox of one. A prompt is applied to the frame that its stamp names, found
    among the most recent frames or awaited; then the newest frame goes on. Whatever fails goes to
    `on_error` and the thread lives on.

    :param segmenter: used from the worker thread only, from start() to stop().
    :param to_frame: converts what was submitted, in the worker thread; may raise VosError.
    :param stamp_of: stamp in ns of what was submitted; called by submit_frame.
    :param on_result: called from the worker thread with the result and its frame, before the
        frame is memorised; with no object_ids while no object is known. A frame gets a second
        result only when a prompt for it came after it had been segmented without any object.
    :param on_error: called from the worker thread; a VosError is one line for the user, all else a
        defect.
    :param init: what prompts do.
    :param nbytes_of: bytes of what was submitted, to bound the frames kept; without it only
        their number is bounded.
    """

    def __init__(
        self,
        segmenter: VideoSegmenter,
        *,
        to_frame: Callable[[T], Frame],
        stamp_of: Callable[[T], int],
        on_result: Callable[[Segmentation, Frame], None],
        on_error: Callable[[Exception], None],
        init: InitConfig = InitConfig(),
        nbytes_of: Callable[[T], int] | None = None,
    ) -> None:
        self._segmenter = segmenter
        self._to_frame = to_frame
        self._stamp_of = stamp_of
        self._on_result = on_result
        self._on_error = on_error
        self._init = init
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._is_stopping = False
        self._mailbox: Mailbox[T] = Mailbox()
        self._ring: FrameRing[T] = FrameRing(
            init.buffer_frames, int(init.buffer_mib * 2**20), nbytes_of or (lambda item: 0)
        )
        self._commands: deque[_Command[T]] = deque()
        self._counts = dict.fromkeys(WorkerStats.__dataclass_fields__, 0)
        self._tracked_stamp_ns: int | None = None  # newest frame given away with objects on it

    @property
    def stats(self) -> WorkerStats:
        """A snapshot of the counters, from any thread."""
        with self._changed:
            return WorkerStats(**self._counts | {'frames_dropped': self._mailbox.dropped})

    # --- called from any thread; none of these waits for inference ---

    def start(self) -> None:
        """Start the thread; what was submitted before is served, unless stop() dropped it."""
        with self._changed:
            if self._thread is not None and self._thread.is_alive():
                raise VosError('the worker runs already; stop it first')
            self._is_stopping = False
            self._thread = threading.Thread(target=self._run, name='vos_worker', daemon=True)
            self._thread.start()

    def stop(self, timeout_s: float = 1.0) -> bool:
        """
        Stop after the frame in progress, drop what waits, and join; may be called twice.

        :param timeout_s: how long to wait for the frame in progress, s.
        :return: True when the thread has ended; False = still in inference, call again.
        """
        with self._changed:
            self._is_stopping = True
            self._mailbox.take()
            self._ring.clear()
            self._counts['prompts_rejected'] += sum(c.prompt is not None for c in self._commands)
            self._commands.clear()
            self._changed.notify_all()
            thread = self._thread
        if thread is threading.current_thread():
            return False
        if thread is not None:
            thread.join(timeout_s)
        return thread is None or not thread.is_alive()

    def submit_frame(self, item: T) -> T | None:
        """
        Hand over the newest frame.

        :return: the frame that it replaced, which will not be segmented; None if there was none.
        """
        stamp_ns = self._stamp_of(item)
        with self._changed:
            if self._is_stopping:
                return None
            self._counts['frames_in'] += 1
            self._ring.put(stamp_ns, item)
            for command in self._commands:
                if command.prompt is not None and command.prompt.stamp_ns:
                    self._bind_to_newest(command, stamp_ns, item)
            dropped = self._mailbox.put(item)
            self._changed.notify_all()
            return dropped

    def submit_prompt(self, prompt: Prompt) -> None:
        """
        Queue a prompt for the frame that its stamp names (0 = the next one).

        A prompt that cannot be applied is reported to on_error; VosError when the queue is full.
        """
        with self._changed:
            self._counts['prompts_in'] += 1
            command = _Command[T](prompt)
            newest = self._ring.newest()
            if prompt.stamp_ns == 0:
                command.takes_next = True
            elif newest is None or prompt.stamp_ns > newest[0]:
                command.deadline_s = time.monotonic() + self._init.wait_s
            else:
                command.item = self._ring.find(prompt.stamp_ns)
                if command.item is None:
                    self._apply_late_policy(command, newest[1])
            self._enqueue(command)

    def submit_remove(self, ids: Iterable[int]) -> None:
        """Queue the removal of objects, after the prompts that wait already."""
        chosen = tuple(ids)
        with self._changed:
            self._enqueue(_Command(act=lambda: self._segmenter.remove_objects(chosen)))

    def submit_reset(self) -> None:
        """Queue forgetting all objects; prompts that wait are reported as cancelled."""
        with self._changed:
            for command in self._commands:
                if command.prompt is not None:
                    command.refusal = 'the prompt was cancelled by a reset; send it again'
            self._enqueue(_Command(act=self._forget))

    # --- with the lock held ---

    def _enqueue(self, command: _Command[T]) -> None:
        if self._is_stopping or len(self._commands) >= QUEUE_CAPACITY:
            self._counts['prompts_rejected'] += command.prompt is not None
            if self._is_stopping:
                raise VosError('the worker is stopped; activate it and send this again')
            raise VosError(f'{QUEUE_CAPACITY} requests wait already; send them more slowly')
        self._commands.append(command)
        self._changed.notify_all()

    def _bind_to_newest(self, command: _Command[T], stamp_ns: int, item: T) -> None:
        """Give a waiting prompt the frame just submitted, if it is the one or came instead."""
        if command.prompt is None or command.item is not None or command.refusal:
            return
        if stamp_ns == command.prompt.stamp_ns:
            command.item = item
        elif stamp_ns > command.prompt.stamp_ns:
            self._apply_late_policy(command, item)

    def _apply_late_policy(self, command: _Command[T], newest: T) -> None:
        if self._init.late_policy == 'apply_to_latest':
            command.item = newest
            return
        command.refusal = (
            'the frame of the prompt is not (or no longer) buffered; send the prompt sooner, '
            'raise init.buffer_frames or set init.late_policy to apply_to_latest'
        )

    def _next_job(self) -> Callable[[], object] | None:
        """Return what to do now; None = wait."""
        now_s = time.monotonic()
        for command in self._commands:
            if command.item is None and command.deadline_s <= now_s and not command.refusal:
                command.refusal = (
                    f'no frame with the stamp of the prompt came within {self._init.wait_s} s; '
                    'stamp the prompt like the image that it was drawn on'
                )
            if command.is_ready(len(self._mailbox) > 0):
                self._commands.remove(command)
                return self._job_of(command)
        item = self._mailbox.take()
        if item is None:
            return None
        return lambda: self._process(item, (), True)

    def _job_of(self, command: _Command[T]) -> Callable[[], object]:
        if command.act is not None:
            return command.act
        if command.refusal:
            refusal = VosError(command.refusal)
            return lambda: self._refuse(refusal)
        newest = self._mailbox.peek()
        item = newest if command.item is None else command.item
        is_fresh = item is newest
        if is_fresh:
            self._mailbox.take()  # so that no frame is processed twice
        # Prompts for the same frame become one, so that they cost one prompted frame.
        prompts = [command.prompt]
        while self._commands and self._shares_frame(self._commands[0], command, item):
            prompts.append(self._commands.popleft().prompt)
        return lambda: self._process(item, [p for p in prompts if p is not None], is_fresh)

    def _shares_frame(self, other: _Command[T], command: _Command[T], item: T | None) -> bool:
        if other.prompt is None or other.refusal:
            return False
        return other.item is item or (other.takes_next and command.takes_next)

    def _wait_s(self) -> float | None:
        """Return the time until the first prompt gives up waiting, None = no such."""
        first = min((c.deadline_s for c in self._commands if c.item is None), default=float('inf'))
        return None if first == float('inf') else max(0.0, first - time.monotonic())

    # --- in the worker thread, without the lock ---

    def _run(self) -> None:
        while (job := self._await_job()) is not None:
            try:
                job()
            except Exception as error:  # whatever it is, the next frame must be served
                self._count('errors')
                self._report(error)

    def _await_job(self) -> Callable[[], object] | None:
        """Sleep until there is something to do; None = stop."""
        with self._changed:
            while not self._is_stopping:
                job = self._next_job()
                if job is not None:
                    return job
                self._changed.wait(self._wait_s())
        return None

    def _process(self, item: T | None, prompts: Sequence[Prompt], is_fresh: bool) -> None:
        """
        Segment one frame and give the result away, then memorise it.

        :param is_fresh: it was not processed before; otherwise it is here for its prompts only.
        """
        if item is None:
            raise RuntimeError('a job without a frame')
        frame = self._to_frame(item)
        result = self._apply(frame, prompts)
        if result is None:
            if not is_fresh:
                return
            result = self._segmenter.segment(frame)
        tracked = self._tracked_stamp_ns
        if is_fresh or tracked is None or frame.stamp_ns > tracked:
            if result.object_ids:
                self._tracked_stamp_ns = frame.stamp_ns
            self._deliver(result, frame)
        self._segmenter.memorize()
        if not is_fresh:
            self._continue_with_newest()

    def _apply(self, frame: Frame, prompts: Sequence[Prompt]) -> Segmentation | None:
        """Return the result of prompts on their frame; None when there is none to apply."""
        is_merging = self._init.mode == 'merge'
        try:
            prompt = self._combine(frame, prompts)
            if prompt is None:
                return None
            if is_merging and self._segmenter.object_ids:
                return self._segmenter.add_objects(frame, prompt)
            return self._segmenter.start(frame, prompt)
        except VosError as error:
            self._refuse(error)
            return None

    def _combine(self, frame: Frame, prompts: Sequence[Prompt]) -> Prompt | None:
        """Paint several prompts over each other, the later on top; bad ones are refused alone."""
        if len(prompts) <= 1 or self._init.mode == 'replace':
            return prompts[-1] if prompts else None
        combined: LabelMap | None = None
        for prompt in prompts:
            try:
                label_map = fit_label_map(prompt.label_map, frame.size)
            except VosError as error:
                self._refuse(error)
                continue
            if combined is None:
                combined = label_map
            else:
                combined = np.where(label_map > 0, label_map, combined)
        return None if combined is None else Prompt(combined)

    def _continue_with_newest(self) -> None:
        """Segment the newest frame again if it was given away before its objects were known."""
        with self._changed:
            newest, tracked = self._ring.newest(), self._tracked_stamp_ns
            if not len(self._mailbox) and newest and tracked is not None and newest[0] > tracked:
                self._mailbox.put(newest[1])

    def _forget(self) -> None:
        self._segmenter.reset()
        self._tracked_stamp_ns = None

    def _deliver(self, result: Segmentation, frame: Frame) -> None:
        if self._is_stopping:  # whoever stopped us may have closed what on_result writes to
            return
        self._count('frames_done')
        try:
            self._on_result(result, frame)
        except Exception as error:  # a frame that cannot be published is still memorised
            self._count('errors')
            self._report(error)

    def _refuse(self, error: VosError) -> None:
        self._count('prompts_rejected')
        self._report(error)

    def _report(self, error: Exception) -> None:
        try:
            self._on_error(error)
        except Exception:  # nobody is left to tell, and the thread must live
            _LOGGER.exception('on_error failed while reporting: %s', error)

    def _count(self, name: str) -> None:
        with self._changed:
            self._counts[name] += 1
