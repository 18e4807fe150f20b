# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Backlog: what waits for the worker, and what became of every frame; for any thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
import threading
import time
from typing import Generic, TypeVar

from vos_ros.config import InitConfig
from vos_ros.datatypes import Prompt
from vos_ros.errors import VosError
from vos_ros.stream.mailbox import FrameRing, Mailbox
from vos_ros.stream.requests import QUEUE_NBYTES, Requests
from vos_ros.stream.timeline import LONG_STEP_NS, TimeJump, Timeline, Use

T = TypeVar('T')
R = TypeVar('R')

#: Frames with odd stamps that are kept until a second one confirms the first: a network that takes
#: half a second a frame confirms it with the second that it looks at, and masks are for the first.
_SUSPECTS = 16


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
    :param prompts_unneeded: left out by init.when: they agreed, or nothing was to be repaired.
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
    prompts_unneeded: int = 0
    errors: int = 0


@dataclass(frozen=True, eq=False)
class Turn(Generic[T]):
    """
    A request whose turn it is.

    :param act: a command; None for prompts.
    :param refusal: why the prompt is not applied, '' = it is.
    :param item: the frame that the prompts are for.
    :param prompts: all for this frame, so that they cost one prompted frame.
    :param is_live: the frame is the newest one; else it was passed already.
    :param note: what the sender should know although it is applied.
    """

    act: Callable[[], object] | None = None
    refusal: str = ''
    item: T | None = None
    prompts: tuple[Prompt, ...] = ()
    is_live: bool = False
    note: str = ''


@dataclass(frozen=True, eq=False)
class _Suspect(Generic[T]):
    """A frame of another time, or of a mistake; `came_s` monotonic."""

    came_s: float
    item: T


class Backlog(Generic[T]):
    """
    One frame that waits, the recent ones, prompts, commands and counters: none of it can grow.

    Every method may be called from any thread; none waits for inference.

    :param stamp_of: stamp in ns of what was submitted, 0 = unknown.
    :param init: what prompts do.
    :param nbytes_of: bytes of what was submitted, to bound the frames kept.
    :param time_jump_policy: setting `on_time_jump`: 'reset' or 'ignore'.
    :param queue_nbytes: most bytes of masks that wait; one always may.
    """

    def __init__(
        self,
        stamp_of: Callable[[T], int],
        init: InitConfig,
        nbytes_of: Callable[[T], int],
        time_jump_policy: str,
        queue_nbytes: int = QUEUE_NBYTES,
    ) -> None:
        self._stamp_of = stamp_of
        self._time_jump_policy = time_jump_policy
        self._changed = threading.Condition()
        self._is_closed = False
        self._mailbox: Mailbox[T] = Mailbox()
        most_nbytes = int(init.buffer_mib * 2**20)
        self._ring: FrameRing[T] = FrameRing(init.buffer_frames, most_nbytes, nbytes_of)
        self._requests: Requests[T] = Requests(init, self._ring, queue_nbytes)
        self._timeline = Timeline()
        # Frames of another time, until it is clear whether it is a mistake.
        self._suspects: FrameRing[_Suspect[T]] = FrameRing(
            _SUSPECTS, most_nbytes, lambda suspect: nbytes_of(suspect.item)
        )
        self._jump: TimeJump | None = None
        self._counts = dict.fromkeys(WorkerStats.__dataclass_fields__, 0)
        self._in_work = False  # a frame was taken and is not decided yet

    @property
    def stats(self) -> WorkerStats:
        """A snapshot of the counters."""
        with self._changed:
            gauges = {
                'frames_dropped': self._counts['frames_dropped'] + self._mailbox.dropped,
                'frames_waiting': len(self._mailbox) + self._in_work,
                'prompts_superseded': self._requests.superseded,
            }
            return WorkerStats(**self._counts | gauges)

    @property
    def is_closed(self) -> bool:
        """Whether nothing is taken in any more."""
        return self._is_closed

    @property
    def has_frame(self) -> bool:
        """Whether a frame waits."""
        return len(self._mailbox) > 0

    # --- what comes in ---

    def open(self) -> None:
        """Take in what is submitted, after close()."""
        with self._changed:
            self._is_closed = False

    def close(self) -> int:
        """Take in nothing more and drop all but commands; return the prompts that are lost."""
        with self._changed:
            self._is_closed = True
            self._counts['frames_dropped'] += self._mailbox.take() is not None
            self._ring.clear()
            self._suspects.clear()
            lost = self._requests.clear()
            self._counts['prompts_rejected'] += lost
            self._changed.notify_all()
        return lost

    def put_frame(self, item: T) -> T | None:
        """
        Take in the newest frame.

        :return: the frame that will not be segmented because of it: the one that it replaced, or
            itself where its stamp is older than one that came before; None if there is none.
        """
        stamp_ns = self._stamp_of(item)
        with self._changed:
            if self._is_closed:
                return None
            self._counts['frames_in'] += 1
            step = self._timeline.judge(stamp_ns)
            if step == 'overtaken':
                self._counts['overtaken'] += 1
                return item
            if step == 'odd' and self._timeline.is_pause(stamp_ns):
                # a mask drawn on this very image agrees with its stamp
                step = 'next' if self._requests.awaits(stamp_ns) else step
            if step == 'odd':
                self._counts['odd_stamps'] += 1
                self._suspects.put(stamp_ns, _Suspect(time.monotonic(), item))
            else:
                self._suspects.clear()
                self._keep(stamp_ns, item)
            dropped = self._mailbox.put(item)
            self._changed.notify_all()
            return dropped

    def add_prompt(self, prompt: Prompt, ids: Sequence[int], note: str) -> None:
        """
        Queue a prompt, see Requests.add_prompt.

        :raises VosError: the queue is full, or nothing is taken in.
        """
        with self._changed:
            self._counts['prompts_in'] += 1
            try:
                self._check_open()
                self._requests.add_prompt(prompt, ids, note)
            except VosError:
                self._counts['prompts_rejected'] += 1
                raise
            self._changed.notify_all()

    def add_command(
        self, act: Callable[[], object], *, removes: Set[int] | None = None, cancels: str = ''
    ) -> None:
        """
        Queue something to do before all prompts.

        :param act: called by the worker.
        :param removes: objects to be left out of the prompts that wait; None = it removes nothing.
        :param cancels: why the prompts that wait are refused; '' = they are not.
        :raises VosError: nothing is taken in.
        """
        with self._changed:
            if cancels:
                self._requests.refuse(cancels)
            self._check_open()
            self._requests.add_act(act)
            if removes is not None:
                self._requests.remove(removes)
            self._changed.notify_all()

    def _check_open(self) -> None:
        if self._is_closed:
            raise VosError('the worker is stopped; activate it and send this again')

    def _keep(self, stamp_ns: int, item: T) -> None:
        self._ring.put(stamp_ns, item)
        self._requests.frame_came(stamp_ns, item)

    # --- what goes out, to the worker ---

    def wait(self, take: Callable[[], R | None]) -> R | None:
        """
        Sleep until there is something to take.

        :param take: called with the lock held, whenever something may have changed.
        :return: what it gave; None = nothing is taken in any more.
        """
        with self._changed:
            while not self._is_closed:
                taken = take()
                if taken is not None:
                    return taken
                self._changed.wait(self._requests.wait_s(is_in_doubt=self._is_in_doubt))
        return None

    def take_jump(self) -> TimeJump | None:
        """Return the jump of the stamps that is to be crossed now."""
        with self._changed:
            jump, self._jump = self._jump, None
        return jump

    def take_request(self, *, prompts_wait: bool) -> Turn[T] | None:
        """
        Return the request whose turn it is; None = there is none.

        :param prompts_wait: no prompt may begin now.
        """
        with self._changed:
            newest = self._mailbox.peek()
            request = self._requests.take_ready(
                has_frame=self.has_frame,
                prompts_wait=prompts_wait,
                is_in_doubt=self._is_in_doubt,
            )
            if request is None:
                return None
            if request.act is not None or request.refusal:
                return Turn(request.act, request.refusal)
            item = newest if request.item is None else request.item
            if item is None:
                raise RuntimeError('a prompt is ready without a frame')
            prompts = [request.prompt, *self._requests.take_sharing(request, item)]
            if item is newest:
                self.take_frame()  # so that no frame is processed twice
            return Turn(
                item=item,
                prompts=tuple(prompt for prompt in prompts if prompt is not None),
                is_live=item is newest,
                note=request.note,
            )

    def take_frame(self) -> T | None:
        """Return the frame that waits; it is in work until it is settled."""
        with self._changed:
            item = self._mailbox.take()
            self._in_work = self._in_work or item is not None
        return item

    def take_commands(self) -> list[Callable[[], object]]:
        """Return all commands that wait: whoever sent them was told that they are done."""
        with self._changed:
            return self._requests.take_acts()

    def pending(self, item: T) -> list[T]:
        """Return the frames kept after this one, but for the one that waits as the next live."""
        with self._changed:
            live = self._mailbox.peek()
            return [later for later in self._ring.after(item) if later is not live]

    # --- what became of it ---

    def count(self, name: str, times: int = 1) -> None:
        """Add to a counter of WorkerStats."""
        with self._changed:
            self._counts[name] += times

    def settle(self, outcome: str) -> bool:
        """Decide what the frame in work counts as, and return whether there was one."""
        with self._changed:
            was_in_work, self._in_work = self._in_work, False
            self._counts[outcome] += was_in_work
        return was_in_work

    def use(self, item: T, prompts: Sequence[Prompt]) -> tuple[Use, int]:
        """
        Judge the stamp of a frame that can be used; a jump is crossed before the frame's turn.

        Prompts for the next frame that is good for them wait on.

        :return: what the stamp means, and how many prompts are lost as a command came since.
        """
        with self._changed:
            before_ns, suspect_ns = self._timeline.usable_ns, self._timeline.suspect_ns
            now_ns = self._stamp_of(item)
            is_prompted = any(prompt.stamp_ns == now_ns for prompt in prompts)
            use = self._timeline.use(now_ns, is_prompted=is_prompted)
            if use == 'next':
                return use, 0
            if use == 'odd':
                return use, self._put_back(prompts, prompts)
            confirmed = self._confirmed(suspect_ns)
            self._suspects.clear()
            if use == 'jump':
                self._note_jump(before_ns, suspect_ns, confirmed)
                self._in_work = False
                if self.has_frame:
                    self._counts['frames_dropped'] += 1
                else:
                    self._mailbox.put(item)
            for stamp_ns, suspect in confirmed:
                self._keep(stamp_ns, suspect.item)
            return use, 0 if use == 'pause' else self._put_back(prompts, prompts)

    def cannot_use(self, item: T, prompts: Sequence[Prompt]) -> int:
        """Forget a frame that cannot be read; return how many of its prompts are lost."""
        with self._changed:
            self._timeline.fail(self._stamp_of(item))
            return self._put_back(prompts, [p for p in prompts if p.stamp_ns == 0])

    def _put_back(self, prompts: Sequence[Prompt], again: Sequence[Prompt]) -> int:
        """Let some of the prompts wait for the next frame; return how many are lost."""
        # A command that came since may have meant these prompts, too.
        again = () if self._requests.has_acts else again
        self._requests.put_back(again)
        return len(prompts) - len(again)

    @property
    def _is_in_doubt(self) -> bool:
        """Whether the stamps may have jumped."""
        return len(self._suspects) > 0

    def _confirmed(self, suspect_ns: int) -> list[tuple[int, _Suspect[T]]]:
        """
        Return the frames of a time that is no mistake, in order of arrival.

        :param suspect_ns: stamp of the first of them that was looked at; those that led up to it
            were replaced by newer ones before.
        """
        kept = self._suspects.items()
        first = next((i for i, (stamp_ns, _) in enumerate(kept) if stamp_ns == suspect_ns), None)
        first_ns = suspect_ns
        while first and 0 < first_ns - kept[first - 1][0] <= LONG_STEP_NS:
            first -= 1
            first_ns = kept[first][0]
        return [entry for entry in kept[first or 0 :] if entry[0] >= first_ns]

    def _note_jump(
        self, before_ns: int, suspect_ns: int, confirmed: Sequence[tuple[int, _Suspect[T]]]
    ) -> None:
        """Forget the frames of another time; the rest is for the worker."""
        self._counts['time_jumps'] += 1
        self._ring.clear()
        jump = self._jump = TimeJump(
            before_ns,
            confirmed[0][0] if confirmed else suspect_ns,
            self._time_jump_policy,
            confirmed[0][1].came_s if confirmed else time.monotonic(),
            tuple(stamp_ns for stamp_ns, _ in confirmed),
        )
        if self._time_jump_policy == 'reset':
            self._requests.time_jumped(jump)
            self._requests.refuse(
                'the stamps jumped, and the frame of the prompt was forgotten; send it again',
                only_bound=True,
            )
