# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Prompts as they were delivered: which are new, and which are meant for a new time."""

from collections import Counter, deque, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
import time

from vos_ros.stream.timeline import TimeJump

#: Prompts remembered so that a second delivery is told from a new one.
_SEEN = 32
#: How long before the first image after a jump a prompt may have come, and how long it may take
#: until the jump is certain: two images of the slowest camera, or network.
_KEPT_S = 10.0


class Deliveries:
    """
    Tells the second delivery of a prompt from a prompt that is meant anew.

    What is latched comes through two subscriptions, see `PromptInputs`. A prompt with a stamp is
    for one image, so the same one again says nothing new. One with stamp 0 is for the next image,
    and whoever starts the objects anew sends it again: it is a second delivery only where the
    other subscription has given it as often already.
    """

    def __init__(self) -> None:
        """Begin with nothing seen."""
        # (stamp, content) -> deliveries by subscription, those that came last at the end
        self._counts: OrderedDict[tuple[int, bytes], Counter[bool]] = OrderedDict()
        self._again: set[tuple[int, bytes]] = set()  # may be meant anew
        self._is_refused = False  # one was, by another thread

    def is_new(self, stamp_ns: int, content: bytes, is_latched: bool) -> bool:
        """
        Note a delivery.

        :param stamp_ns: of its header.
        :param content: its digest.
        :param is_latched: which of the two subscriptions gave it.
        :return: it is no second one.
        """
        key = stamp_ns, content
        if self._is_refused:
            self._is_refused, self._again = False, set(self._counts)
        is_first = key not in self._counts
        counts = self._counts.setdefault(key, Counter())
        self._counts.move_to_end(key)
        counts[is_latched] += 1
        if len(self._counts) > _SEEN:
            self._counts.popitem(last=False)
        if not is_first and (stamp_ns == 0 or key in self._again):
            is_first = counts[is_latched] > counts[not is_latched]
        self._again.discard(key)
        return is_first

    def may_come_again(self) -> None:
        """Note, from any thread, that one was refused: what is sent once more is meant anew."""
        self._is_refused = True

    def clear(self) -> None:
        """Forget all: what was seen may now be meant again."""
        self._counts.clear()
        self._again.clear()


@dataclass(frozen=True)
class _Delivery:
    """One delivery; see `AroundJumps.note`."""

    came_s: float
    stamp_ns: int
    take: Callable[[], object]
    nbytes: int
    is_second: bool


class AroundJumps:
    """
    Keeps the last deliveries, for a jump of the stamps may show that they were meant anew.

    A bag that loops sends the same mask in every round, shortly before or after its first image.
    Until the second one nobody knows that the time has begun again, and what is sent then looks
    like a second delivery.

    :param reach_s: how long before its image a prompt may come.
    :param most_nbytes: of all that is kept.
    """

    def __init__(self, reach_s: float, most_nbytes: int) -> None:
        """Begin with nothing."""
        self._reach_s = reach_s
        self._most_nbytes = most_nbytes
        self._kept: deque[_Delivery] = deque(maxlen=_SEEN)

    def note(
        self, stamp_ns: int, take: Callable[[], object], nbytes: int, *, is_second: bool
    ) -> None:
        """
        Keep a delivery.

        :param stamp_ns: of its header; without one it is for the next image, whatever that is of.
        :param take: takes it as if it came now.
        :param nbytes: of what that keeps.
        :param is_second: it was dropped, as the same came before.
        """
        self.expire()
        if stamp_ns == 0:
            return
        self._kept.append(_Delivery(time.monotonic(), stamp_ns, take, nbytes, is_second))
        while sum(kept.nbytes for kept in self._kept) > self._most_nbytes:
            self._kept.popleft()

    def expire(self) -> None:
        """Forget what came too long ago."""
        since_s = time.monotonic() - self._reach_s - _KEPT_S
        while self._kept and self._kept[0].came_s < since_s:
            self._kept.popleft()

    def clear(self) -> None:
        """Forget all."""
        self._kept.clear()

    def take_meant(self, jump: TimeJump) -> list[Callable[[], object]]:
        """
        Return what takes the prompts that are for the time after a jump, and forget all.

        :param jump: that has become certain.
        """
        kept = list(self._kept)
        self._kept.clear()
        return [
            delivery.take
            for delivery in kept
            if jump.is_meant(
                delivery.stamp_ns,
                delivery.came_s,
                self._reach_s,
                had_frame=not delivery.is_second,
            )
        ]
