# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Requests: prompts and commands that wait for the worker, each prompt for its frame."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
import time
from typing import Generic, TypeVar

from vos_ros.config import InitConfig
from vos_ros.datatypes import Prompt
from vos_ros.errors import VosError
from vos_ros.labels import ids_in, keep_ids
from vos_ros.mailbox import FrameRing

T = TypeVar('T')

# Prompts and commands that may wait at once; a person or a detector never comes near it.
QUEUE_CAPACITY = 16


@dataclass(eq=False)
class Request(Generic[T]):
    """
    One entry of the queue: a prompt, or something that needs no frame.

    :param act: what to do; None for a prompt.
    :param item: the frame that the prompt is for, once it is there.
    :param takes_next: any next frame will do.
    :param deadline_s: monotonic; until then the prompt waits for the frame of its stamp. It is
        infinite before the first frame: a camera may start long after the detector.
    :param refusal: why the prompt will not be applied.
    """

    prompt: Prompt | None = None
    act: Callable[[], object] | None = None
    item: T | None = None
    takes_next: bool = False
    deadline_s: float = float('inf')
    refusal: str = ''


class Requests(Generic[T]):
    """
    A bounded queue in order of arrival; not locked, the worker holds its condition.

    :param init: what becomes of prompts that are early or late.
    :param ring: the frames kept.
    """

    def __init__(self, init: InitConfig, ring: FrameRing[T]) -> None:
        self._init = init
        self._ring = ring
        self._waiting: deque[Request[T]] = deque()

    def add_prompt(self, prompt: Prompt) -> None:
        """Queue a prompt for the frame that its stamp names, 0 = the next one."""
        request = Request[T](prompt)
        newest = self._ring.newest()
        if prompt.stamp_ns == 0:
            request.takes_next = True
        elif newest is None:
            pass  # the wait begins with the first frame
        elif prompt.stamp_ns > newest[0]:
            request.deadline_s = self._deadline_s()
        else:
            request.item = self._ring.find(prompt.stamp_ns)
            if request.item is None:
                self._apply_late_policy(request, newest[1])
        self._add(request)

    def add_act(self, act: Callable[[], object]) -> None:
        """Queue something to do in the worker's thread, after what waits already."""
        self._add(Request(act=act))

    def frame_came(self, stamp_ns: int, item: T) -> None:
        """Give the frame just submitted to the prompts that it is for, or that it passed by."""
        for request in self._waiting:
            prompt = request.prompt
            if (
                prompt is None
                or not prompt.stamp_ns
                or request.refusal
                or request.item is not None
            ):
                continue
            if stamp_ns == prompt.stamp_ns:
                request.item = item
            elif stamp_ns > prompt.stamp_ns:
                self._apply_late_policy(request, item)
            elif request.deadline_s == float('inf'):
                request.deadline_s = self._deadline_s()

    def remove(self, object_ids: Collection[int]) -> None:
        """
        Take objects out of the prompts whose frame has not come yet.

        Those would otherwise bring back what was removed after they were sent.
        """
        for request in self._waiting:
            prompt = request.prompt
            if prompt is None or request.item is not None or request.refusal:
                continue
            found = ids_in(prompt.label_map)
            kept = [k for k in found if k not in object_ids]
            if not kept:
                request.refusal = 'the objects of the prompt were removed before its frame came'
            elif len(kept) < len(found):
                request.prompt = replace(prompt, label_map=keep_ids(prompt.label_map, kept))

    def refuse(self, reason: str, *, only_bound: bool = False) -> None:
        """
        Let the prompts that wait be reported as refused.

        :param only_bound: those only whose frame is there.
        """
        for request in self._waiting:
            if request.prompt is not None and (request.item is not None or not only_bound):
                request.refusal = reason

    def clear(self) -> int:
        """Forget all that waits; return the number of prompts among it."""
        prompts = sum(request.prompt is not None for request in self._waiting)
        self._waiting.clear()
        return prompts

    def take_ready(self, *, has_frame: bool, prompts_wait: bool) -> Request[T] | None:
        """
        Return the first request whose turn it is; None = there is none.

        :param has_frame: a next frame is there.
        :param prompts_wait: no prompt may begin now, nor anything that came after one that could.
        """
        now_s = time.monotonic()
        for request in self._waiting:
            if request.item is None and request.deadline_s <= now_s and not request.refusal:
                request.refusal = (
                    f'no frame with the stamp of the prompt came within {self._init.wait_s} s; '
                    'stamp the prompt like the image that it was drawn on'
                )
            has_item = request.item is not None or (request.takes_next and has_frame)
            if request.act is not None or request.refusal:
                self._waiting.remove(request)
                return request
            if has_item and prompts_wait:
                return None
            if has_item:
                self._waiting.remove(request)
                return request
        return None

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

    def wait_s(self) -> float | None:
        """Return the time until the first prompt gives up waiting, None = no such."""
        first = min((r.deadline_s for r in self._waiting if r.item is None), default=float('inf'))
        return None if first == float('inf') else max(0.0, first - time.monotonic())

    def _deadline_s(self) -> float:
        return time.monotonic() + self._init.wait_s

    def _add(self, request: Request[T]) -> None:
        if len(self._waiting) >= QUEUE_CAPACITY:
            raise VosError(f'{QUEUE_CAPACITY} requests wait already; send them more slowly')
        self._waiting.append(request)

    def _apply_late_policy(self, request: Request[T], newest: T) -> None:
        if self._init.late_policy == 'apply_to_latest':
            request.item = newest
            return
        request.refusal = (
            'the frame of the prompt is not (or no longer) buffered; send the prompt sooner, '
            'raise init.buffer_frames or set init.late_policy to apply_to_latest'
        )
