# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Worker: one thread between the callbacks and the segmenter; no callback ever waits for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
import threading
from typing import Generic, TypeVar

from vos_ros.config import InitConfig
from vos_ros.datatypes import Frame, Prompt, Segmentation
from vos_ros.engine.segmenter import VideoSegmenter
from vos_ros.errors import VosError
from vos_ros.stream.backlog import Backlog, WorkerStats
from vos_ros.stream.overload import OverloadLimits, OverloadStatus
from vos_ros.stream.pipeline import Failed, Pipeline
from vos_ros.stream.requests import followable, QUEUE_NBYTES
from vos_ros.stream.timeline import TimeJump

T = TypeVar('T')


class Worker(Generic[T]):
    """
    Runs the segmenter in one thread: latest frame wins, commands go first, then prompts in order.

    Frames wait in a mailbox of one. A prompt is applied to the frame that its stamp names, found
    among the most recent frames or awaited. If that frame was passed already, its objects are
    followed through the frames after it, in turn with the live ones (before them where no object
    is known yet), and join when they have caught up. Whatever fails goes to `on_error` and the
    thread lives on.

    :param segmenter: run by the worker thread alone, from start() to stop(); other threads may
        read its properties meanwhile, as diagnostics do.
    :param to_frame: converts what was submitted, in the worker thread; may raise VosError.
    :param stamp_of: stamp in ns of what was submitted, 0 = unknown; called by submit_frame.
    :param on_result: called from the worker thread with the result and its frame, before the
        frame is memorised; with no object_ids while no object is known. Once per frame at most,
        stamps ascending but for jumps in time.
    :param on_error: called with an error and what it ended, from the worker thread, or the one
        that stops it; a VosError is one line for the user, all else a defect.
    :param init: what prompts do.
    :param nbytes_of: bytes of what was submitted, to bound the frames kept; without it only
        their number is bounded.
    :param limits: what a frame may cost, see OverloadLimits.of(config.node); set_limits() later.
    :param age_ms_of: age now, ms, of what was submitted, by the clock that its stamp is of;
        without it max_age_ms has no effect. Called from the worker thread.
    :param time_jump_policy: setting `on_time_jump`: 'reset' or 'ignore'.
    :param queue_nbytes: most bytes of masks that wait; one always may.
    :param on_time_jump: called from the worker thread when the stamps jumped, after objects and
        kept frames were forgotten (reset; with ignore the frames only) and before the second
        frame after the jump, which confirms it, is looked at: prompts submitted from within can
        still be for it, or for the first.
    """

    def __init__(
        self,
        segmenter: VideoSegmenter,
        *,
        to_frame: Callable[[T], Frame],
        stamp_of: Callable[[T], int],
        on_result: Callable[[Segmentation, Frame], None],
        on_error: Callable[[Exception, Failed], None],
        init: InitConfig = InitConfig(),
        nbytes_of: Callable[[T], int] | None = None,
        limits: OverloadLimits = OverloadLimits(),
        age_ms_of: Callable[[T], float] | None = None,
        time_jump_policy: str = 'reset',
        queue_nbytes: int = QUEUE_NBYTES,
        on_time_jump: Callable[[TimeJump], None] | None = None,
    ) -> None:
        self._segmenter = segmenter
        self._backlog = Backlog(
            stamp_of, init, nbytes_of or (lambda item: 0), time_jump_policy, queue_nbytes
        )
        self._pipeline = Pipeline(
            segmenter,
            self._backlog,
            to_frame=to_frame,
            on_result=on_result,
            on_error=on_error,
            init=init,
            limits=limits,
            age_ms_of=age_ms_of or (lambda item: 0.0),
            on_time_jump=on_time_jump or (lambda jump: None),
        )
        self._lock = threading.Lock()  # for the thread
        self._thread: threading.Thread | None = None

    @property
    def stats(self) -> WorkerStats:
        """A snapshot of the counters, from any thread."""
        return self._backlog.stats

    @property
    def overload(self) -> OverloadStatus:
        """What the overload policy does, as of the last frame; from any thread."""
        return self._pipeline.overload

    def start(self) -> None:
        """Start the thread; what was submitted before is served, unless stop() dropped it."""
        with self._lock:
            if self._thread is not None and self._thread.is_alive():
                raise VosError('the worker runs already; stop it first')
            self._backlog.open()
            thread = threading.Thread(target=self._run, name='vos_worker', daemon=True)
            thread.start()
            self._thread = thread

    def stop(self, timeout_s: float = 1.0) -> bool:
        """
        Stop after the frame in progress, drop what waits, and join; may be called twice.

        :param timeout_s: how long to wait for the frame in progress, s.
        :return: True when the thread has ended; False = still in inference, call again.
        """
        with self._lock:
            unserved = self._backlog.close()
            thread = self._thread
        if unserved:
            error = VosError(f'{unserved} prompts waited at the stop; send them again')
            self._pipeline.report(error, 'prompt')
        if thread is threading.current_thread():
            return False
        if thread is not None:
            thread.join(timeout_s)
        return thread is None or not thread.is_alive()

    def _run(self) -> None:
        while (job := self._backlog.wait(self._pipeline.next_job)) is not None:
            self._pipeline.do(job)
        self._pipeline.finish()

    # --- called from any thread; none of these waits for inference ---

    def submit_frame(self, item: T) -> T | None:
        """
        Hand over the newest frame.

        :return: the frame that will not be segmented because of it: the one that it replaced, or
            itself where its stamp is older than one that came before; None if there is none.
        """
        return self._backlog.put_frame(item)

    def submit_prompt(self, prompt: Prompt) -> None:
        """
        Queue a prompt for the frame that its stamp names (0 = the next one).

        A prompt that cannot be applied is reported to on_error; VosError when the queue is full.
        """
        # What takes time is done without the lock.
        most, known = self._segmenter.config.max_objects, self._segmenter.object_ids
        self._backlog.add_prompt(*followable(prompt, most, known))

    def submit_remove(self, ids: Iterable[int]) -> None:
        """Queue the removal of objects, also of those in the prompts that wait already."""
        object_ids = frozenset(ids)
        self._backlog.add_command(partial(self._pipeline.remove, object_ids), removes=object_ids)

    def submit_reset(self) -> None:
        """Queue forgetting all objects; prompts that wait are reported as cancelled."""
        self._backlog.add_command(
            self._pipeline.forget, cancels='the prompt was cancelled by a reset; send it again'
        )

    def set_limits(self, limits: OverloadLimits) -> None:
        """Change what a frame may cost, from the next frame on."""
        self._pipeline.limits = limits
