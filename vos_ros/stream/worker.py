# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Worker: one thread between the callbacks and the segmenter; no callback ever waits for it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
import functools
import logging
import threading
import time
from typing import Generic, Literal, TypeVar

import numpy as np

from vos_ros.config import InitConfig
from vos_ros.datatypes import Frame, LabelMap, Prompt, Segmentation
from vos_ros.engine.labels import ids_in, keep_ids
from vos_ros.engine.preprocess import fit_label_map
from vos_ros.engine.segmenter import VideoSegmenter
from vos_ros.errors import VosError
from vos_ros.latency import Stopwatch
from vos_ros.stream.catch_up import CatchUp, stride
from vos_ros.stream.mailbox import FrameRing, Mailbox
from vos_ros.stream.overload import OverloadController, OverloadLimits, OverloadStatus
from vos_ros.stream.requests import Request, Requests
from vos_ros.stream.timeline import TimeJump, Timeline, Use

T = TypeVar('T')
Job = Callable[[], object]
#: What an error ended: a frame that gets no labels, a prompt that is not followed, neither.
Failed = Literal['frame', 'prompt', 'other']

#: Warnings of late prompts kept for the next result; a camera that is silent may never send it.
_MOST_WARNINGS = 32
#: Ids of one prompt that are looked at one by one, whatever max_objects is.
_MANY_IDS = 64
#: Frames with odd stamps that are kept until a second one confirms the first.
_ASIDE = 4

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class WorkerStats:
    """
    Counters since the worker was made.

    Every frame that came in is in exactly one place, at any time: frames_in == frames_done +
    frames_dropped + skipped_late + skipped_paced + overtaken + frames_failed + frames_waiting.

    :param frames_in: submitted.
    :param frames_done: given to on_result.
    :param frames_dropped: replaced by a newer one before their turn came, or waiting at stop().
    :param skipped_late: left out, as they were older than max_age_ms when their turn came.
    :param skipped_paced: left out, as the deadline was missed again and again (policy skip).
    :param overtaken: came a little after a frame with a newer stamp, and were left out.
    :param frames_failed: could not be converted or segmented.
    :param frames_waiting: not decided yet: 0, 1 in the mailbox or in work, or 2.
    :param odd_stamps: frames whose stamp was far from the one before; counted above as what became
        of them. Two in a row are a jump (or a long pause).
    :param catch_up_frames: segmented once more, or at last, for a late prompt; never given to
        on_result, and counted above as what they were for the camera.
    :param deadline_misses: frames that took longer than deadline_ms.
    :param shrinks: steps down to a smaller network input.
    :param grows: steps back up.
    :param time_jumps: of the stamps, back or far forward.
    :param prompts_in: submitted.
    :param prompts_rejected: given to on_error, or refused because the queue was full.
    :param prompts_superseded: left out, as later ones for the same objects came before their turn.
    :param errors: frames, commands and callbacks that failed.
    """

    frames_in: int = 0
    frames_done: int = 0
    frames_dropped: int = 0
    skipped_late: int = 0
    skipped_paced: int = 0
    overtaken: int = 0
    frames_failed: int = 0
    frames_waiting: int = 0
    odd_stamps: int = 0
    catch_up_frames: int = 0
    deadline_misses: int = 0
    shrinks: int = 0
    grows: int = 0
    time_jumps: int = 0
    prompts_in: int = 0
    prompts_rejected: int = 0
    prompts_superseded: int = 0
    errors: int = 0


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
        on_time_jump: Callable[[TimeJump], None] | None = None,
    ) -> None:
        self._segmenter = segmenter
        self._to_frame = to_frame
        self._stamp_of = stamp_of
        self._on_result = on_result
        self._on_error = on_error
        self._init = init
        self._limits = limits
        self._age_ms_of = age_ms_of or (lambda item: 0.0)
        self._time_jump_policy = time_jump_policy
        self._on_time_jump = on_time_jump or (lambda jump: None)
        # Shared between threads, under the lock of the condition.
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._is_stopping = False
        self._mailbox: Mailbox[T] = Mailbox()
        self._ring: FrameRing[T] = FrameRing(
            init.buffer_frames, int(init.buffer_mib * 2**20), nbytes_of or (lambda item: 0)
        )
        self._requests: Requests[T] = Requests(init, self._ring)
        self._timeline = Timeline()
        # Frames of another time, until it is clear whether it is a mistake.
        self._aside: FrameRing[T] = FrameRing(
            _ASIDE, int(init.buffer_mib * 2**20), nbytes_of or (lambda item: 0)
        )
        self._jump: TimeJump | None = None
        self._counts = dict.fromkeys(WorkerStats.__dataclass_fields__, 0)
        self._in_work = False  # a frame was taken and is not decided yet
        # The worker thread's own.
        self._overload = OverloadController(limits, segmenter.short_sides)
        self._overload_status = self._overload.status
        self._catch_up: CatchUp | None = None
        self._replayed: T | None = None  # newest frame that the catch-up has seen
        self._catch_up_end_s = 0.0  # monotonic
        self._is_live_turn = False  # a live frame comes before the next one replayed
        self._warnings: deque[str] = deque(maxlen=_MOST_WARNINGS)  # for the next result

    @property
    def stats(self) -> WorkerStats:
        """A snapshot of the counters, from any thread."""
        with self._changed:
            dropped = self._counts['frames_dropped'] + self._mailbox.dropped
            waiting = len(self._mailbox) + self._in_work
            gauges = {
                'frames_dropped': dropped,
                'frames_waiting': waiting,
                'prompts_superseded': self._requests.superseded,
            }
            return WorkerStats(**self._counts | gauges)

    @property
    def overload(self) -> OverloadStatus:
        """What the overload policy does, as of the last frame; from any thread."""
        return self._overload_status

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
            self._counts['frames_dropped'] += self._mailbox.take() is not None
            self._ring.clear()
            self._aside.clear()
            unserved = self._requests.clear()
            self._counts['prompts_rejected'] += unserved
            self._changed.notify_all()
            thread = self._thread
        if unserved:
            error = VosError(f'{unserved} prompts waited at the stop; send them again')
            self._report(error, 'prompt')
        if thread is threading.current_thread():
            return False
        if thread is not None:
            thread.join(timeout_s)
        return thread is None or not thread.is_alive()

    def submit_frame(self, item: T) -> T | None:
        """
        Hand over the newest frame.

        :return: the frame that will not be segmented because of it: the one that it replaced, or
            itself where its stamp is older than one that came before; None if there is none.
        """
        stamp_ns = self._stamp_of(item)
        with self._changed:
            if self._is_stopping:
                return None
            self._counts['frames_in'] += 1
            step = self._timeline.judge(stamp_ns)
            if step == 'overtaken':
                self._counts['overtaken'] += 1
                return item
            if step == 'odd' and self._timeline.is_pause(stamp_ns):
                # a mask drawn on this very image agrees with its stamp
                step = 'next' if self._requests.names(stamp_ns) else step
            if step == 'odd':
                self._counts['odd_stamps'] += 1
                self._aside.put(stamp_ns, item)
            else:
                self._aside.clear()
                self._keep(stamp_ns, item)
            dropped = self._mailbox.put(item)
            self._changed.notify_all()
            return dropped

    def submit_prompt(self, prompt: Prompt) -> None:
        """
        Queue a prompt for the frame that its stamp names (0 = the next one).

        A prompt that cannot be applied is reported to on_error; VosError when the queue is full.
        """
        prompt, ids, note = self._capped(prompt)  # what takes time is done without the lock
        with self._changed:
            self._counts['prompts_in'] += 1
            try:
                self._check_runs()
                self._requests.add_prompt(prompt, ids, note)
            except VosError:
                self._counts['prompts_rejected'] += 1
                raise
            self._changed.notify_all()

    def _capped(self, prompt: Prompt) -> tuple[Prompt, Sequence[int], str]:
        """
        Leave out ids that can never be followed: a mask of noise costs no more than others.

        :return: the prompt, its ids, and what was left out in words.
        """
        ids = ids_in(prompt.label_map)
        most = self._segmenter.config.max_objects
        if len(ids) <= max(_MANY_IDS, 2 * most):
            return prompt, ids, ''
        known = set(self._segmenter.object_ids)
        kept = sorted(known.intersection(ids).union([k for k in ids if k not in known][:most]))
        refused = sorted(set(ids).difference(kept))
        return (
            replace(prompt, label_map=keep_ids(prompt.label_map, kept)),
            kept,
            f'{len(refused)} objects, {refused[0]} to {refused[-1]}, are refused, as '
            f'max_objects = {most}; is it a mask of ids per pixel?',
        )

    def submit_remove(self, ids: Iterable[int]) -> None:
        """Queue the removal of objects, also of those in the prompts that wait already."""
        object_ids = frozenset(ids)
        with self._changed:
            self._submit_act(functools.partial(self._remove, object_ids))
            self._requests.remove(object_ids)

    def submit_reset(self) -> None:
        """Queue forgetting all objects; prompts that wait are reported as cancelled."""
        with self._changed:
            self._requests.refuse('the prompt was cancelled by a reset; send it again')
            self._submit_act(self._forget)

    def set_limits(self, limits: OverloadLimits) -> None:
        """Change what a frame may cost, from the next frame on."""
        with self._changed:
            self._limits = limits

    def _submit_act(self, act: Job) -> None:
        with self._changed:  # reentrant
            self._check_runs()
            self._requests.add_act(act)
            self._changed.notify_all()

    # --- with the lock held ---

    def _check_runs(self) -> None:
        if self._is_stopping:
            raise VosError('the worker is stopped; activate it and send this again')

    def _keep(self, stamp_ns: int, item: T) -> None:
        self._ring.put(stamp_ns, item)
        self._requests.frame_came(stamp_ns, item)

    def _note_jump(self, before_ns: int, after_ns: int) -> None:
        """Forget the frames of another time; the rest is for the worker thread."""
        self._counts['time_jumps'] += 1
        self._ring.clear()
        if self._time_jump_policy == 'reset':
            self._requests.time_jumped(after_ns)
            self._requests.refuse(
                'the stamps jumped, and the frame of the prompt was forgotten; send it again',
                only_bound=True,
            )
        self._jump = TimeJump(before_ns, after_ns, self._time_jump_policy)

    def _next_job(self) -> Job | None:
        """Return what to do now; None = wait."""
        if self._jump is not None:
            jump, self._jump = self._jump, None
            return functools.partial(self._cross, jump)
        has_frame = len(self._mailbox) > 0
        request = self._requests.take_ready(
            has_frame=has_frame, prompts_wait=self._catch_up is not None
        )
        if request is not None:
            return self._job_of(request)
        if self._catch_up is not None and not (self._is_live_turn and has_frame):
            # Without objects, a live frame would be answered with nothing: it rather waits.
            self._is_live_turn = bool(self._segmenter.object_ids)
            return self._step_catch_up
        item = self._mailbox.take()
        if item is None:
            return None
        self._is_live_turn = False
        self._in_work = True
        return functools.partial(self._process, item, ())

    def _job_of(self, request: Request[T]) -> Job:
        if request.act is not None:
            return request.act
        if request.refusal:
            return functools.partial(self._refuse, VosError(request.refusal))
        if request.note:
            self._warnings.append(request.note)
        newest = self._mailbox.peek()
        item = newest if request.item is None else request.item
        # Prompts for the same frame become one, so that they cost one prompted frame.
        prompts = [request.prompt, *self._requests.take_sharing(request, item)]
        given = [prompt for prompt in prompts if prompt is not None]
        if item is None:
            raise RuntimeError('a prompt is ready without a frame')
        if item is newest:
            self._mailbox.take()  # so that no frame is processed twice
            self._in_work = True
            return functools.partial(self._process, item, given)
        return functools.partial(self._begin_catch_up, item, given)

    # --- in the worker thread, without the lock ---

    def _run(self) -> None:
        while (job := self._await_job()) is not None:
            self._do(job)
        with self._changed:
            acts = self._requests.take_acts()  # whoever sent them was told that they are done
        for job in (*acts, self._end_catch_up):
            self._do(job)

    def _do(self, job: Job) -> None:
        try:
            job()
        except Exception as error:  # whatever it is, the next frame must be served
            self._fail(error, 'frame' if self._settle('frames_failed') else 'other')

    def _await_job(self) -> Job | None:
        """Sleep until there is something to do; None = stop."""
        with self._changed:
            while not self._is_stopping:
                job = self._next_job()
                if job is not None:
                    return job
                self._changed.wait(self._requests.wait_s())
        return None

    def _process(self, item: T, prompts: Sequence[Prompt]) -> None:
        """Segment one live frame and give the result away, then memorise it."""
        limits = self._limits
        age_before_ms = self._age_ms_of(item) if limits.max_age_ms > 0 else 0.0
        self._overload.set_limits(limits)
        if not prompts and self._is_left_out(age_before_ms):
            return
        watch, size = Stopwatch(), self._segmenter.input_size
        frame = self._read(item, prompts)
        use = self._use(item, prompts)
        if use == 'jump':
            return
        if use == 'odd':
            self._answer_odd(frame)
            return
        result = self._apply(frame, prompts) or self._segmenter.segment(frame)
        self._deliver(result, frame)
        cost_ms = watch.lap_ms()
        if self._overload.limits.is_missed(cost_ms):
            self._count('deadline_misses')
        age_after_ms = self._age_ms_of(item) if limits.max_age_ms > 0 else 0.0
        self._segmenter.memorize()
        if size == self._segmenter.input_size:  # else the camera changed, which cost extra
            self._note(cost_ms, age_before_ms, age_after_ms)

    def _use(self, item: T, prompts: Sequence[Prompt]) -> Use:
        """
        Judge the stamp of a frame that can be used; a jump is crossed before the frame's turn.

        Prompts for the next frame that is good for them wait on.
        """
        with self._changed:
            before_ns, suspect_ns = self._timeline.usable_ns, self._timeline.suspect_ns
            now_ns = self._stamp_of(item)
            is_prompted = any(prompt.stamp_ns == now_ns for prompt in prompts)
            use = self._timeline.use(now_ns, is_prompted=is_prompted)
            if use == 'next':
                return use
            if use == 'jump':
                self._note_jump(before_ns, suspect_ns)
                self._in_work = False
                if len(self._mailbox):
                    self._counts['frames_dropped'] += 1
                else:
                    self._mailbox.put(item)
            if use in ('jump', 'pause'):
                for stamp_ns in self._aside.stamps():
                    kept = self._aside.find(stamp_ns)
                    if kept is not None and stamp_ns >= suspect_ns:
                        self._keep(stamp_ns, kept)
                self._aside.clear()
            again = prompts if use != 'pause' and not self._requests.has_acts else ()
            self._requests.put_back(again)
        if use != 'pause':
            for _ in range(len(prompts) - len(again)):
                self._refuse(VosError('a command came before the prompt; send it again'))
        return use

    def _answer_odd(self, frame: Frame) -> None:
        """Answer a frame of another time, of which nothing is remembered: it may be a mistake."""
        result = self._segmenter.segment(replace(frame, stamp_ns=0))
        self._deliver(replace(result, stamp_ns=frame.stamp_ns), frame)

    def _read(self, item: T, prompts: Sequence[Prompt]) -> Frame:
        """Convert a frame; where that fails, its prompts wait for the next one or are refused."""
        try:
            return self._to_frame(item)
        except Exception:
            with self._changed:
                self._timeline.fail(self._stamp_of(item))
                # A command that came since may have meant these prompts, too.
                is_last_word = not self._requests.has_acts
                again = [p for p in prompts if p.stamp_ns == 0 and is_last_word]
                self._requests.put_back(again)
            for _ in range(len(prompts) - len(again)):
                self._refuse(
                    VosError('the frame of the prompt cannot be read; send it for another one')
                )
            raise

    def _is_left_out(self, age_ms: float) -> bool:
        if self._overload.is_too_old(age_ms):
            self._settle('skipped_late')
        elif self._overload.is_paced_out():
            self._settle('skipped_paced')
        else:
            return False
        self._overload_status = self._overload.status
        return True

    def _note(self, cost_ms: float, age_before_ms: float, age_after_ms: float) -> None:
        """Let the overload policy act on what the last frame cost."""
        self._overload.note(cost_ms, age_before_ms, age_after_ms)
        before = self._segmenter.level
        try:
            if self._segmenter.set_level(self._overload.shrink_level):
                self._count('shrinks' if self._segmenter.level > before else 'grows')
        except Exception as error:
            self._overload.stay_at(before)
            self._fail(error)
        self._overload_status = self._overload.status

    def _apply(self, frame: Frame, prompts: Sequence[Prompt]) -> Segmentation | None:
        """Return the result of prompts on their frame; None when there is none to apply."""
        try:
            prompt = self._combine(frame, prompts)
            if prompt is None:
                return None
            if self._init.mode == 'merge' and self._segmenter.object_ids:
                return self._segmenter.add_objects(frame, prompt)
            return self._segmenter.start(frame, prompt)
        except VosError as error:
            self._refuse(error)
            return None
        except Exception:
            self._count('prompts_rejected', len(prompts))
            raise

    def _combine(self, frame: Frame, prompts: Sequence[Prompt]) -> Prompt | None:
        """Lay several prompts over each other, the later on top; bad ones are refused alone."""
        label_maps: list[LabelMap] = []
        for prompt in prompts:
            try:
                label_maps.append(fit_label_map(prompt.label_map, frame.size))
            except VosError as error:
                self._refuse(error)
        if not label_maps:
            return None
        if self._init.mode == 'replace':
            return Prompt(label_maps[-1])
        combined = label_maps[0]
        for label_map in label_maps[1:]:
            # An object is where its newest mask says, and nowhere else.
            kept = set(ids_in(combined)).difference(ids_in(label_map))
            combined = np.where(label_map > 0, label_map, keep_ids(combined, sorted(kept)))
            if covered := sorted(kept.difference(ids_in(combined))):
                self._warnings.append(
                    f'objects {covered} are left out: a later mask for the same frame covers all '
                    'of them; send both in one mask'
                )
        return Prompt(combined)

    def _begin_catch_up(self, item: T, prompts: Sequence[Prompt]) -> None:
        """Apply prompts to a frame that has been passed; nothing is published of it."""
        self._catch_up_end_s = time.monotonic() + self._init.catch_up_ms / 1e3
        replaces = self._init.mode == 'replace'
        frame = self._read(item, prompts)
        try:
            prompt = self._combine(frame, prompts)
            if prompt is None:
                return
            self._catch_up = CatchUp(self._segmenter, frame, prompt, replaces=replaces)
        except VosError as error:
            self._refuse(error)
            return
        except Exception:
            self._count('prompts_rejected', len(prompts))
            raise
        self._replayed = item
        self._is_live_turn = False
        self._warnings += self._catch_up.warnings
        self._count('catch_up_frames')

    def _step_catch_up(self) -> None:
        """Follow late objects to a newer one of the frames kept; at the newest, they join."""
        catch_up = self._catch_up
        if catch_up is None or self._replayed is None:
            return
        pending = self._pending(self._replayed)
        left_ms = (self._catch_up_end_s - time.monotonic()) * 1e3
        if pending:
            item = self._replayed = pending[stride(len(pending), left_ms, catch_up.cost_ms) - 1]
            catch_up.replay(self._to_frame(item))
            self._count('catch_up_frames')
        if left_ms <= 0 or not self._pending(self._replayed):
            self._end_catch_up()

    def _pending(self, item: T) -> list[T]:
        """Return the frames kept after this one, but for the one that waits as the next live."""
        with self._changed:
            live = self._mailbox.peek()
            return [later for later in self._ring.after(item) if later is not live]

    def _end_catch_up(self) -> None:
        catch_up, self._catch_up, self._replayed = self._catch_up, None, None
        if catch_up is not None:
            self._warnings += catch_up.finish()

    def _cross(self, jump: TimeJump) -> None:
        """Follow the policy at a jump of the stamps."""
        if jump.policy == 'reset':
            self._forget()
        else:
            self._end_catch_up()
            self._segmenter.forget_time()
        self._on_time_jump(jump)

    def _remove(self, object_ids: frozenset[int]) -> None:
        self._segmenter.remove_objects(object_ids)
        if self._catch_up is not None:
            self._catch_up.remove(object_ids)
            if not self._catch_up.object_ids:
                self._catch_up = self._replayed = None

    def _forget(self) -> None:
        self._segmenter.reset()
        self._catch_up = self._replayed = None

    def _deliver(self, result: Segmentation, frame: Frame) -> None:
        if self._is_stopping:  # whoever stopped us may have closed what on_result writes to
            self._settle('frames_dropped')
            return
        self._settle('frames_done')
        if self._warnings:
            result = replace(result, warnings=(*self._warnings, *result.warnings))
            self._warnings.clear()
        try:
            self._on_result(result, frame)
        except Exception as error:  # a frame that cannot be published is still memorised
            self._fail(error)

    def _settle(self, outcome: str) -> bool:
        """Decide what the frame in work counts as, and return whether there was one."""
        with self._changed:
            was_in_work, self._in_work = self._in_work, False
            self._counts[outcome] += was_in_work
        return was_in_work

    def _refuse(self, error: VosError) -> None:
        self._count('prompts_rejected')
        self._report(error, 'prompt')

    def _fail(self, error: Exception, what: Failed = 'other') -> None:
        self._count('errors')
        self._report(error, what)

    def _report(self, error: Exception, what: Failed) -> None:
        try:
            self._on_error(error, what)
        except Exception:  # nobody is left to tell, and the thread must live
            _LOGGER.exception('on_error failed while reporting: %s', error)

    def _count(self, name: str, times: int = 1) -> None:
        with self._changed:
            self._counts[name] += times
