# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Requests: commands that wait for the worker, and prompts that wait for their frames."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass, replace
import time
from typing import Generic, TypeVar

from vos_ros.config import InitConfig
from vos_ros.datatypes import Prompt
from vos_ros.engine.labels import keep_ids
from vos_ros.errors import VosError
from vos_ros.formats.masks import ids_in
from vos_ros.stream.mailbox import FrameRing
from vos_ros.stream.matching import Match, named, passed
from vos_ros.stream.timeline import TimeJump

T = TypeVar('T')

#: Prompts that may wait at once.
QUEUE_CAPACITY = 16
#: Bytes of their masks, together: 16 of 3840x2160 with one byte a pixel are 127 MiB. One mask of
#: whatever size that could be decoded always may.
QUEUE_NBYTES = 128 << 20
#: Late prompts that are remembered, for they may belong to what comes after a jump of the stamps.
_MOST_LATE = 4
#: How long one of those is held that is to be refused.
_HOLD_S = 0.5
#: The same while it is in doubt whether the stamps have jumped. Where no further image comes, that
#: is never known, and whoever sent the prompt is still to hear of it.
_HOLD_IN_DOUBT_S = 10.0
#: Ids of one prompt that are looked at one by one, whatever max_objects is.
_MANY_IDS = 64


@dataclass(eq=False)
class Request(Generic[T]):
    """
    What the worker does next: a prompt, or something that needs no frame.

    :param ids: of the prompt: counting them takes longer than all that is done with them.
    :param act: what to do; None for a prompt.
    :param item: the frame that the prompt is for, once it is there.
    :param takes_next: any next frame will do.
    :param deadline_s: monotonic; until then the prompt waits for the frame of its stamp. It is
        infinite before the first frame: a camera may start long after the detector.
    :param refusal: why the prompt will not be applied.
    :param note: what the sender should know although it is applied.
    """

    prompt: Prompt | None = None
    ids: frozenset[int] = frozenset()
    act: Callable[[], object] | None = None
    item: T | None = None
    takes_next: bool = False
    deadline_s: float = float('inf')
    refusal: str = ''
    note: str = ''

    @property
    def nbytes(self) -> int:
        """Bytes of its mask."""
        return 0 if self.prompt is None else self.prompt.label_map.nbytes

    @property
    def has_turn(self) -> bool:
        """Whether its frame is there, or will be the next one."""
        return not self.refusal and (self.item is not None or self.takes_next)

    @classmethod
    def of(cls, prompt: Prompt, ids: Iterable[int] | None = None) -> Request[T]:
        """Make the request of a prompt; `ids` where they are known already."""
        return cls(prompt, frozenset(ids_in(prompt.label_map) if ids is None else ids))


@dataclass(frozen=True, eq=False)
class _Late(Generic[T]):
    """
    A prompt that was late, by the stamps so far.

    :param came_s: monotonic.
    :param had_frame: the image of its stamp was still there.
    """

    came_s: float
    request: Request[T]
    had_frame: bool

    @property
    def is_refused(self) -> bool:
        """Whether it is refused, though nobody was told yet."""
        return bool(self.request.refusal)


class Requests(Generic[T]):
    """
    Commands, which go first, and prompts in order of arrival; not locked, the backlog does that.

    A command is not counted and waits for no prompt: what is removed is taken out of all prompts
    that wait. Of prompts whose turn has come, a later one takes the place of the former ones for
    the same objects, so that a detector which sends a mask for every frame holds up nothing.

    :param init: what becomes of prompts that are early or late.
    :param ring: the frames kept.
    :param most_nbytes: of all masks that wait; one always may.
    """

    def __init__(
        self, init: InitConfig, ring: FrameRing[T], most_nbytes: int = QUEUE_NBYTES
    ) -> None:
        self.superseded = 0  # prompts whose place a later one took
        self._init = init
        self._ring = ring
        self._most_nbytes = most_nbytes
        self._reach_s = reach_s(init)
        self._acts: deque[Request[T]] = deque()
        self._waiting: deque[Request[T]] = deque()
        self._late: deque[_Late[T]] = deque()

    def add_prompt(self, prompt: Prompt, ids: Iterable[int] | None = None, note: str = '') -> None:
        """
        Queue a prompt for the frame that its stamp names, 0 = the next one.

        VosError when the queue is full, in number or in bytes, of prompts that this one does not
        supersede.

        :param ids: of the prompt, where they are known already.
        :param note: what the sender should know once it is applied.
        """
        request = Request[T].of(prompt, ids)
        request.note = note
        self._make_room_for(request)
        newest = self._ring.newest()
        if prompt.stamp_ns == 0:
            request.takes_next = True
        elif newest is None:
            pass  # the wait begins with the first frame
        elif prompt.stamp_ns <= newest[0]:
            self._pass_by(request)
        elif not self._give(request, named(self._ring, prompt.stamp_ns, is_over=False)):
            request.deadline_s = self._deadline_s()
        if request.refusal:
            if any(late.request is request for late in self._late):
                return
            raise VosError(request.refusal)
        self._waiting.append(request)
        self._supersede()

    def add_act(self, act: Callable[[], object]) -> None:
        """Queue something to do in the worker's thread, before all prompts."""
        self._acts.append(Request(act=act))

    def frame_came(self, stamp_ns: int, item: T) -> None:
        """Give the frame that was just kept to the prompts that it is for, or that it passed."""
        since_s = time.monotonic() - self._reach_s
        # No jump will be so soon after those that they could be meant for what comes after it.
        self._late = deque(x for x in self._late if x.is_refused or x.came_s >= since_s)
        waited = [
            request
            for request in self._waiting
            if request.prompt is not None and not request.has_turn and not request.refusal
        ]
        for request in waited:
            assert request.prompt is not None
            if stamp_ns == request.prompt.stamp_ns:
                self._give(request, Match(item))
            elif stamp_ns > request.prompt.stamp_ns:
                self._pass_by(request)
            elif self._give(request, named(self._ring, request.prompt.stamp_ns, is_over=False)):
                continue
            elif request.deadline_s == float('inf'):
                request.deadline_s = self._deadline_s()
        refused = {id(late.request) for late in self._late if late.is_refused}
        self._waiting = deque(r for r in self._waiting if id(r) not in refused)
        if any(request.has_turn for request in waited):
            self._supersede()

    def time_jumped(self, jump: TimeJump) -> None:
        """
        Let prompts that came just before a jump of the stamps wait for the frames after it.

        A mask may overtake the first image of a bag that begins again; by the old stamps it was
        late, and given to a frame that is now forgotten, or about to be refused.

        :param jump: that has just become certain; its frames come next.
        """
        for late in list(self._late):
            prompt = late.request.prompt
            if prompt is not None and jump.is_meant(
                prompt.stamp_ns, late.came_s, self._reach_s, had_frame=late.had_frame
            ):
                # Where it was not applied yet, it is not refused with the forgotten frame either.
                self._late.remove(late)
                self._waiting = deque(r for r in self._waiting if r is not late.request)
                if prompt.made_ids:
                    continue  # of a picture before the jump; who made it makes it anew
                again = Request[T].of(prompt, late.request.ids)
                again.deadline_s = self._deadline_s()
                self._waiting.append(again)
        self._settle_late()

    def remove(self, object_ids: Set[int]) -> None:
        """
        Take objects out of the prompts that wait.

        Those would otherwise bring back what was removed after they were sent.
        """
        self._settle_late()
        for request in self._waiting:
            if not request.refusal and not _keep_others(request, object_ids):
                request.refusal = 'the objects of the prompt were removed before its turn came'

    def refuse(self, reason: str, *, only_bound: bool = False) -> None:
        """
        Let the prompts that wait be reported as refused.

        :param only_bound: those only whose frame is there.
        """
        self._settle_late()
        for request in self._waiting:
            if not request.refusal and (request.item is not None or not only_bound):
                request.refusal = reason

    def clear(self) -> int:
        """Forget all prompts, but no command: those were granted; return their number."""
        prompts = len(self._waiting) + sum(late.is_refused for late in self._late)
        self._waiting.clear()
        self._late.clear()
        return prompts

    def put_back(self, prompts: Sequence[Prompt]) -> None:
        """Let prompts for the next frame wait for the one after it, before all others."""
        for prompt in reversed(prompts):
            request = Request[T].of(prompt)
            request.takes_next = True
            self._waiting.appendleft(request)

    @property
    def has_acts(self) -> bool:
        """Whether a command waits."""
        return bool(self._acts)

    def take_acts(self) -> list[Callable[[], object]]:
        """Return all commands that wait."""
        acts = [request.act for request in self._acts if request.act is not None]
        self._acts.clear()
        return acts

    def take_ready(
        self, *, has_frame: bool, prompts_wait: bool, is_in_doubt: bool = False
    ) -> Request[T] | None:
        """
        Return the first request whose turn it is; None = there is none.

        :param has_frame: a next frame is there.
        :param prompts_wait: no prompt may begin now.
        :param is_in_doubt: the stamps may have jumped, which will soon be known.
        """
        if self._acts:
            return self._acts.popleft()
        now_s = time.monotonic()
        if any(end_s <= now_s for end_s in self._holds_end_s(is_in_doubt)):
            self._settle_late()
        for request in self._waiting:
            if request.item is None and request.deadline_s <= now_s and not request.refusal:
                self._give_up(request)
            has_item = request.item is not None or (request.takes_next and has_frame)
            if request.refusal or (has_item and not prompts_wait):
                self._waiting.remove(request)
                return request
        return None

    def awaits(self, stamp_ns: int) -> bool:
        """Say whether a prompt waits for the image of this very stamp."""
        return any(r.prompt is not None and r.prompt.stamp_ns == stamp_ns for r in self._waiting)

    def take_sharing(self, first: Request[T], item: T | None) -> list[Prompt]:
        """Return the prompts next in the queue that are for the same frame as `first`."""
        prompts = []
        while self._waiting:
            other = self._waiting[0]
            shares = other.item is item or (other.takes_next and first.takes_next)
            if other.prompt is None or other.refusal or not shares:
                break
            prompts.append(other.prompt)
            self._waiting.popleft()
        return prompts

    def wait_s(self, *, is_in_doubt: bool = False) -> float | None:
        """
        Return the time until the first prompt gives up waiting, None = no such.

        :param is_in_doubt: see `take_ready`.
        """
        ends = [r.deadline_s for r in self._waiting if r.item is None]
        ends += self._holds_end_s(is_in_doubt)
        first = min(ends, default=float('inf'))
        return None if first == float('inf') else max(0.0, first - time.monotonic())

    def _holds_end_s(self, is_in_doubt: bool) -> list[float]:
        hold_s = _HOLD_IN_DOUBT_S if is_in_doubt else _HOLD_S
        return [late.came_s + hold_s for late in self._late if late.is_refused]

    def _deadline_s(self) -> float:
        return time.monotonic() + self._init.wait_s

    def _make_room_for(self, new: Request[T]) -> None:
        """Let the oldest prompts that this one supersedes give way where the queue is full."""
        for late in [late for late in self._late if not late.is_refused]:
            if self._nbytes() + new.nbytes <= self._most_nbytes:
                break
            self._late.remove(late)  # it was applied already; a second chance is all that goes
        giving_way: list[Request[T]] = []
        for request in self._waiting:
            if self._has_room_for(new, giving_way):
                break
            if (
                request.prompt is not None
                and new.prompt is not None
                and not request.refusal
                and request.prompt.stamp_ns <= new.prompt.stamp_ns
                and request.ids <= new.ids
            ):
                giving_way.append(request)
        if self._has_room_for(new, giving_way):
            for request in giving_way:
                self._waiting.remove(request)
            self.superseded += len(giving_way)
            return
        cause = (
            'send them more slowly, stamped like the images that they were drawn on'
            if self._ring.newest()
            else 'and no image has come yet: is the camera running, and is its topic the one?'
        )
        raise VosError(
            f'{len(self._waiting)} prompts for other objects wait already, of '
            f'{self._nbytes() >> 20} MiB (at most {QUEUE_CAPACITY}, '
            f'{self._most_nbytes >> 20} MiB); {cause}'
        )

    def _nbytes(self, without: Sequence[Request[T]] = ()) -> int:
        """Count the bytes of the masks that are kept: those that wait, and late ones."""
        kept = {id(r): r for r in (*self._waiting, *(late.request for late in self._late))}
        return sum(request.nbytes for request in kept.values() if request not in without)

    def _has_room_for(self, new: Request[T], without: Sequence[Request[T]]) -> bool:
        """Tell whether one more may wait once those in `without` are gone."""
        if len(self._waiting) - len(without) >= QUEUE_CAPACITY:
            return False
        nbytes = self._nbytes(without)
        return nbytes == 0 or nbytes + new.nbytes <= self._most_nbytes

    def _supersede(self) -> None:
        """Take out of the prompts whose turn has come what a later one tells anew."""
        ready = [request for request in self._waiting if request.has_turn]
        for at, old in enumerate(ready):
            later = frozenset[int]().union(*(r.ids for r in ready[at + 1 :] if _is_later(r, old)))
            if later and (self._init.mode == 'replace' or not _keep_others(old, later)):
                self._waiting.remove(old)
                self.superseded += 1

    def _give(self, request: Request[T], match: Match[T] | None) -> bool:
        """Let a prompt have what was found for it, if anything was."""
        if match is None:
            return False
        request.item, request.refusal = match.item, match.refusal
        request.note = '; '.join(filter(None, (request.note, match.note)))
        return True

    def _pass_by(self, request: Request[T]) -> None:
        """Decide about a prompt whose time has passed."""
        assert request.prompt is not None
        match = passed(self._ring, request.prompt.stamp_ns, self._init)
        self._give(request, match)
        refused = [late for late in self._late if late.is_refused]
        if match.refusal and len(refused) >= _MOST_LATE:
            return  # it is refused at once
        if len(self._late) - len(refused) >= _MOST_LATE and not match.refusal:
            self._late.remove(next(late for late in self._late if not late.is_refused))
        self._late.append(_Late(time.monotonic(), request, not match.is_late))

    def _give_up(self, request: Request[T]) -> None:
        """Decide about a prompt that has waited for its frame in vain."""
        assert request.prompt is not None
        if not self._give(request, named(self._ring, request.prompt.stamp_ns, is_over=True)):
            request.refusal = (
                f'no frame with the stamp of the prompt came within {self._init.wait_s} s; '
                'stamp the prompt like the image that it was drawn on'
            )

    def _settle_late(self) -> None:
        """Give up on late prompts: those that are to be refused are, now."""
        self._waiting.extend(late.request for late in self._late if late.is_refused)
        self._late.clear()


def reach_s(init: InitConfig) -> float:
    """
    Return how long before its image a prompt may come, where the stamps jump in between, s.

    :param init: what prompts do.
    """
    return max(init.wait_s, _HOLD_S)


def followable(
    prompt: Prompt, most: int, known_ids: Iterable[int]
) -> tuple[Prompt, Sequence[int], str]:
    """
    Leave out ids that can never be followed: a mask of noise costs no more than others.

    :param most: objects at once.
    :param known_ids: of those that are followed.
    :return: the prompt, its ids, and what was left out in words.
    """
    ids = ids_in(prompt.label_map)
    if len(ids) <= max(_MANY_IDS, 2 * most):
        return prompt, ids, ''
    known = set(known_ids)
    kept = sorted(known.intersection(ids).union([k for k in ids if k not in known][:most]))
    refused = sorted(set(ids).difference(kept))
    return (
        replace(prompt, label_map=keep_ids(prompt.label_map, kept)),
        kept,
        f'{len(refused)} objects, {refused[0]} to {refused[-1]}, are refused, as '
        f'max_objects = {most}; is it a mask of ids per pixel?',
    )


def _is_later(new: Request[T], old: Request[T]) -> bool:
    """Return whether what came later is for the same frame or one after it, in the same shape."""
    if new.prompt is None or old.prompt is None:
        return False
    if new.prompt.label_map.shape != old.prompt.label_map.shape:
        return False  # one of them may be refused: both are tried
    if new.prompt.stamp_ns == 0 or old.prompt.stamp_ns == 0:  # of the next image
        return new.prompt.stamp_ns == 0
    return new.prompt.stamp_ns >= old.prompt.stamp_ns


def _keep_others(request: Request[T], object_ids: Set[int]) -> bool:
    """Take objects out of a prompt; False = nothing would be left, and it is as it was."""
    prompt = request.prompt
    if prompt is None:
        return True
    kept = request.ids - object_ids
    if request.ids and not kept:
        return False
    if len(kept) < len(request.ids):
        request.ids = kept
        label_map = keep_ids(prompt.label_map, sorted(kept))
        request.prompt = replace(prompt, label_map=label_map)
    return True
