# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Pipeline: what is done with each frame, prompt and command; no thread and no lock."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
import logging
import time
from typing import Generic, Literal, TypeVar

import numpy as np

from vos_ros.config import InitConfig
from vos_ros.datatypes import Frame, Prompt, Segmentation
from vos_ros.engine.labels import keep_ids
from vos_ros.engine.preprocess import fit_label_map
from vos_ros.engine.segmenter import VideoSegmenter
from vos_ros.errors import VosError
from vos_ros.formats.masks import ids_in
from vos_ros.latency import Stopwatch
from vos_ros.stream.backlog import Backlog, Turn
from vos_ros.stream.catch_up import CatchUp, stride
from vos_ros.stream.overload import OverloadController, OverloadLimits, OverloadStatus
from vos_ros.stream.repairs import Repairs
from vos_ros.stream.timeline import TimeJump

T = TypeVar('T')
R = TypeVar('R')
Job = Callable[[], object]
#: What an error ended: a frame that gets no labels, a prompt that is not followed, neither.
Failed = Literal['frame', 'prompt', 'other']

#: Warnings of late prompts kept for the next result; a camera that is silent may never send it.
_MOST_WARNINGS = 32

_LOGGER = logging.getLogger(__name__)


class Pipeline(Generic[T]):
    """
    Serves a backlog, one job at a time: `while job := next_job(): do(job)`.

    :param segmenter: used by nobody else meanwhile.
    :param backlog: what waits; what becomes of it is noted there.
    :param to_frame: converts what was submitted; may raise VosError.
    :param on_result: called with each result and its frame, before it is memorised.
    :param on_error: called with each error and what it ended.
    :param init: what prompts do.
    :param limits: what a frame may cost; may be replaced at any time.
    :param age_ms_of: age now, ms, of what was submitted.
    :param on_time_jump: called once the policy at a jump of the stamps was followed.
    """

    def __init__(
        self,
        segmenter: VideoSegmenter,
        backlog: Backlog[T],
        *,
        to_frame: Callable[[T], Frame],
        on_result: Callable[[Segmentation, Frame], None],
        on_error: Callable[[Exception, Failed], None],
        init: InitConfig,
        limits: OverloadLimits,
        age_ms_of: Callable[[T], float],
        on_time_jump: Callable[[TimeJump], None],
    ) -> None:
        self.limits = limits
        self._segmenter = segmenter
        self._backlog = backlog
        self._to_frame = to_frame
        self._on_result = on_result
        self._on_error = on_error
        self._init = init
        self._age_ms_of = age_ms_of
        self._on_time_jump = on_time_jump
        self._overload = OverloadController(limits, segmenter.short_sides)
        self._overload_status = self._overload.status
        self._repairs = Repairs(init)
        self._catch_up: CatchUp | None = None
        self._replayed: T | None = None  # newest frame that the catch-up has seen
        self._catch_up_end_s = 0.0  # monotonic
        self._is_live_turn = False  # a live frame comes before the next one replayed
        self._drawn_ns: dict[int, int] = {}  # by object, stamp of the frame of its newest mask
        self._warnings: deque[str] = deque(maxlen=_MOST_WARNINGS)  # for the next result

    @property
    def overload(self) -> OverloadStatus:
        """What the overload policy does, as of the last frame; from any thread."""
        return self._overload_status

    def next_job(self) -> Job | None:
        """Return what to do now; None = there is nothing."""
        jump = self._backlog.take_jump()
        if jump is not None:
            return partial(self._cross, jump)
        turn = self._backlog.take_request(prompts_wait=self._catch_up is not None)
        if turn is not None:
            return self._job_of(turn)
        if self._catch_up is not None and not (self._is_live_turn and self._backlog.has_frame):
            # Without objects, a live frame would be answered with nothing: it rather waits.
            self._is_live_turn = bool(self._segmenter.object_ids)
            return self._step_catch_up
        item = self._backlog.take_frame()
        if item is None:
            return None
        self._is_live_turn = False
        return partial(self._process, item, ())

    def _job_of(self, turn: Turn[T]) -> Job:
        if turn.act is not None:
            return turn.act
        if turn.refusal:
            return partial(self._refuse, VosError(turn.refusal))
        if turn.note:
            self._warnings.append(turn.note)
        serve = self._process if turn.is_live else self._begin_catch_up
        return partial(serve, turn.item, turn.prompts)  # type: ignore[arg-type]

    def do(self, job: Job) -> None:
        """Do what next_job() gave; whatever fails is reported."""
        try:
            job()
        except Exception as error:  # whatever it is, the next frame must be served
            self._fail(error, 'frame' if self._backlog.settle('frames_failed') else 'other')

    def finish(self) -> None:
        """Do what was granted already: commands that wait, and late objects join."""
        for job in (*self._backlog.take_commands(), self._end_catch_up):
            self.do(job)

    def _process(self, item: T, prompts: Sequence[Prompt]) -> None:
        """Segment one live frame and give the result away, then memorise it."""
        # Too old, or one too many? Prompts are worth any frame.
        limits = self.limits
        age_before_ms = self._age_ms_of(item) if limits.max_age_ms > 0 else 0.0
        self._overload.set_limits(limits)
        if not prompts and self._is_left_out(age_before_ms):
            return

        # Message -> frame; is its stamp of this time?
        watch, size = Stopwatch(), self._segmenter.input_size
        frame = self._read(item, prompts)
        use, lost = self._backlog.use(item, prompts)
        self._refuse_lost(lost, 'a command came before the prompt; send it again')
        if use == 'jump':
            return
        if use == 'odd':
            self._answer_odd(frame)
            return

        # Frame -> labels, with what is prompted on it; they are published.
        result = self._apply(frame, prompts) or self._segmenter.segment(frame)
        self._deliver(result, frame)

        # What it cost; then the memory, for which no subscriber waits.
        cost_ms = watch.lap_ms()
        if self._overload.limits.is_missed(cost_ms):
            self._backlog.count('deadline_misses')
        age_after_ms = self._age_ms_of(item) if limits.max_age_ms > 0 else 0.0
        self._segmenter.memorize(may_search=self._has_time(cost_ms))
        self._repairs.note(result)
        if size == self._segmenter.input_size:  # else the camera changed, which cost extra
            self._note(cost_ms, age_before_ms, age_after_ms)

    def _has_time(self, cost_ms: float) -> bool:
        """Return whether an extra pass of the network fits into the deadline."""
        deadline_ms = self._overload.limits.deadline_ms
        return deadline_ms <= 0 or cost_ms + self._segmenter.last_search_ms <= deadline_ms

    def _is_left_out(self, age_ms: float) -> bool:
        if self._overload.is_too_old(age_ms):
            self._backlog.settle('skipped_late')
        elif self._overload.is_paced_out():
            self._backlog.settle('skipped_paced')
        else:
            return False
        self._overload_status = self._overload.status
        return True

    def _read(self, item: T, prompts: Sequence[Prompt]) -> Frame:
        """Convert a frame; where that fails, its prompts wait for the next one or are refused."""
        try:
            return self._to_frame(item)
        except Exception:
            lost = self._backlog.cannot_use(item, prompts)
            self._refuse_lost(
                lost, 'the frame of the prompt cannot be read; send it for another one'
            )
            raise

    def _answer_odd(self, frame: Frame) -> None:
        """Answer a frame of another time, of which nothing is remembered: it may be a mistake."""
        result = self._segmenter.segment(replace(frame, stamp_ns=0))
        self._deliver(replace(result, stamp_ns=frame.stamp_ns), frame)

    def _note(self, cost_ms: float, age_before_ms: float, age_after_ms: float) -> None:
        """Let the overload policy act on what the last frame cost."""
        self._overload.note(cost_ms, age_before_ms, age_after_ms)
        before = self._segmenter.level
        try:
            if self._segmenter.set_level(self._overload.shrink_level):
                self._backlog.count('shrinks' if self._segmenter.level > before else 'grows')
        except Exception as error:
            self._overload.stay_at(before)
            self._fail(error)
        self._overload_status = self._overload.status

    # --- prompts ---

    def _apply(self, frame: Frame, prompts: Sequence[Prompt]) -> Segmentation | None:
        """Return the result of prompts on their frame; None when there is none to apply."""
        merges = self._init.mode == 'merge' or self._repairs.is_on
        adds = merges and bool(self._segmenter.object_ids)
        begin = self._segmenter.add_objects if adds else self._segmenter.start
        return self._prompted(frame, prompts, lambda prompt: begin(frame, prompt))

    def _begin_catch_up(self, item: T, prompts: Sequence[Prompt]) -> None:
        """Apply prompts to a frame that has been passed; nothing is published of it."""
        self._catch_up_end_s = time.monotonic() + self._init.catch_up_ms / 1e3
        frame = self._read(item, prompts)
        replaces = self._init.mode == 'replace' and not self._repairs.is_on
        begin = partial(CatchUp, self._segmenter, frame, replaces=replaces)
        self._catch_up = self._prompted(frame, prompts, begin)
        if self._catch_up is None:
            return
        self._replayed = item
        self._is_live_turn = False
        self._warnings += self._catch_up.warnings
        self._backlog.count('catch_up_frames')

    def _prompted(
        self, frame: Frame, prompts: Sequence[Prompt], begin: Callable[[Prompt], R]
    ) -> R | None:
        """
        Begin something with prompts; what cannot be used of them is refused.

        :param begin: given all prompts as one.
        :return: what it gave; None = no prompt can be used.
        """
        try:
            fitting = self._without_newer(frame, self._fitting(frame, prompts))
            prompt = self._combine(fitting) if fitting else None
            if prompt is not None:
                prompt = self._repairs.choose(frame, prompt, self._segmenter.object_ids)
                if prompt is None:
                    self._backlog.count('prompts_unneeded', len(prompts))
            if prompt is None:
                return None
            begun = begin(prompt)
            self._note_drawn(frame, prompt, fitting)
            return begun
        except VosError as error:
            self._refuse(error)
            return None
        except Exception:
            self._backlog.count('prompts_rejected', len(prompts))
            raise

    def _fitting(self, frame: Frame, prompts: Sequence[Prompt]) -> list[Prompt]:
        """Return prompts at the size of their frame, that of the newest image last."""
        fitting: list[Prompt] = []
        for prompt in prompts:
            try:
                label_map = fit_label_map(prompt.label_map, frame.size)
            except VosError as error:
                self._refuse(error)
            else:
                fitting.append(replace(prompt, label_map=label_map))
        fitting.sort(key=lambda prompt: _drawn_on(prompt, frame))
        return fitting[-1:] if self._init.mode == 'replace' else fitting

    def _without_newer(self, frame: Frame, prompts: Sequence[Prompt]) -> list[Prompt]:
        """Take objects out of prompts whose mask is of a newer image already; it came before."""
        drawn = {k: self._drawn_ns.get(k, 0) for k in self._segmenter.object_ids}
        replaces = self._init.mode == 'replace' and not self._repairs.is_on
        left: list[Prompt] = []
        for prompt in prompts:
            own_ns = _drawn_on(prompt, frame)
            if not own_ns or own_ns >= max(drawn.values(), default=0):
                left.append(prompt)
                continue
            ids = frozenset(ids_in(prompt.label_map))
            newer = {k for k, at_ns in drawn.items() if at_ns > own_ns and (replaces or k in ids)}
            if not newer:
                left.append(prompt)
                continue
            age_s = (max(drawn[k] for k in newer) - own_ns) / 1e9
            line = (
                f'objects {sorted(newer)} keep the mask of a newer image: this one came later, '
                f'but is of an image {age_s:.3f} s before'
            )
            kept = frozenset() if replaces else ids - newer
            if not kept:
                self._refuse(VosError(line))
                continue
            self._warnings.append(line)
            label_map = keep_ids(prompt.label_map, sorted(kept))
            left.append(replace(prompt, label_map=label_map))
        return left

    def _combine(self, fitting: Sequence[Prompt]) -> Prompt:
        """Lay several prompts over each other, the later on top."""
        combined, unsure, made = fitting[0].label_map, fitting[0].unsure_ids, fitting[0].made_ids
        for prompt in fitting[1:]:
            # An object is where its newest mask says, and nowhere else.
            label_map, newer = prompt.label_map, frozenset(ids_in(prompt.label_map))
            kept = set(ids_in(combined)).difference(newer)
            combined = np.where(label_map > 0, label_map, keep_ids(combined, sorted(kept)))
            unsure, made = unsure - newer | prompt.unsure_ids, made - newer | prompt.made_ids
            if covered := sorted(kept.difference(ids_in(combined))):
                self._warnings.append(
                    f'objects {covered} are left out: a later mask for the same frame covers all '
                    'of them; send both in one mask'
                )
        return Prompt(combined, fitting[-1].stamp_ns, unsure, made)

    def _note_drawn(self, frame: Frame, prompt: Prompt, fitting: Sequence[Prompt]) -> None:
        """Remember the image of each object's mask; what nobody knows any more is dropped."""
        known, ids = self._segmenter.object_ids, ids_in(prompt.label_map)
        self._drawn_ns = {k: at_ns for k, at_ns in self._drawn_ns.items() if k in known}
        self._drawn_ns |= dict.fromkeys(ids, _drawn_on(fitting[-1], frame))
        for one in fitting if len(fitting) > 1 else ():  # an object's newest mask comes last
            at_ns = _drawn_on(one, frame)
            self._drawn_ns |= {k: at_ns for k in ids_in(one.label_map) if k in ids}

    def _step_catch_up(self) -> None:
        """Follow late objects to a newer one of the frames kept; at the newest, they join."""
        catch_up = self._catch_up
        if catch_up is None or self._replayed is None:
            return
        pending = self._backlog.pending(self._replayed)
        left_ms = (self._catch_up_end_s - time.monotonic()) * 1e3
        if pending:
            item = self._replayed = pending[stride(len(pending), left_ms, catch_up.cost_ms) - 1]
            catch_up.replay(self._to_frame(item))
            self._backlog.count('catch_up_frames')
        if left_ms <= 0 or not self._backlog.pending(self._replayed):
            self._end_catch_up()

    def _end_catch_up(self) -> None:
        catch_up, self._catch_up, self._replayed = self._catch_up, None, None
        if catch_up is not None:
            self._warnings += catch_up.finish()

    # --- commands ---

    def remove(self, object_ids: frozenset[int]) -> None:
        """Forget these objects, those that catch up as well."""
        self._segmenter.remove_objects(object_ids)
        for object_id in object_ids:
            self._drawn_ns.pop(object_id, None)
        if self._catch_up is not None:
            self._catch_up.remove(object_ids)
            if not self._catch_up.object_ids:
                self._catch_up = self._replayed = None

    def forget(self) -> None:
        """Forget all objects, those that catch up as well."""
        self._segmenter.reset()
        self._repairs.clear()
        self._drawn_ns.clear()
        self._catch_up = self._replayed = None

    def _cross(self, jump: TimeJump) -> None:
        """Follow the policy at a jump of the stamps."""
        if jump.policy == 'reset':
            self.forget()
        else:
            self._end_catch_up()
            self._segmenter.forget_time()
            self._drawn_ns.clear()
        self._on_time_jump(jump)

    # --- what comes out ---

    def _deliver(self, result: Segmentation, frame: Frame) -> None:
        if self._backlog.is_closed:  # whoever closed it may have closed what on_result writes to
            self._backlog.settle('frames_dropped')
            return
        self._backlog.settle('frames_done')
        if self._warnings:
            result = replace(result, warnings=(*self._warnings, *result.warnings))
            self._warnings.clear()
        try:
            self._on_result(result, frame)
        except Exception as error:  # a frame that cannot be published is still memorised
            self._fail(error)

    def _refuse_lost(self, lost: int, reason: str) -> None:
        for _ in range(lost):
            self._refuse(VosError(reason))

    def _refuse(self, error: VosError) -> None:
        self._backlog.count('prompts_rejected')
        self.report(error, 'prompt')

    def _fail(self, error: Exception, what: Failed = 'other') -> None:
        self._backlog.count('errors')
        self.report(error, what)

    def report(self, error: Exception, what: Failed) -> None:
        """Give an error to on_error, whatever that does."""
        try:
            self._on_error(error, what)
        except Exception:  # nobody is left to tell, and the thread must live
            _LOGGER.exception('on_error failed while reporting: %s', error)


def _drawn_on(prompt: Prompt, frame: Frame) -> int:
    """
    Return the stamp of the image that a mask is of; it may be older than the frame it gets.

    0 = neither has one: it is of the next image, and so newer than all before.
    """
    return min(filter(None, (prompt.stamp_ns, frame.stamp_ns)), default=0)
