# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Queues between callbacks and the worker: none of them can grow."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar('T')


class Mailbox(Generic[T]):
    """
    Room for one item; the latest wins and the one it replaces is counted.

    A frame therefore waits for at most one inference, whatever the camera's rate.
    Not locked: the backlog holds its own condition around every call.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self._items: list[T] = []

    def __len__(self) -> int:
        """Return 0 or 1."""
        return len(self._items)

    def put(self, item: T) -> T | None:
        """Store `item`; return the one it replaced, if any."""
        replaced = self._items.pop() if self._items else None
        self._items.append(item)
        self.dropped += replaced is not None
        return replaced

    def peek(self) -> T | None:
        """Return the item without taking it."""
        return self._items[0] if self._items else None

    def take(self) -> T | None:
        """Return the item and leave the mailbox empty."""
        return self._items.pop() if self._items else None


class FrameRing(Generic[T]):
    """
    The most recent frames by stamp, for prompts that name one of them.

    Bounded in number and in bytes; the newest always stays.

    :param capacity: most frames kept.
    :param max_nbytes: most bytes kept.
    :param nbytes_of: bytes of one item.
    """

    def __init__(self, capacity: int, max_nbytes: int, nbytes_of: Callable[[T], int]) -> None:
        self._capacity = capacity
        self._max_nbytes = max_nbytes
        self._nbytes_of = nbytes_of
        self._items: deque[tuple[int, T, int]] = deque()
        self.nbytes = 0

    def __len__(self) -> int:
        """Return the number of frames kept."""
        return len(self._items)

    def put(self, stamp_ns: int, item: T) -> None:
        """Append the newest frame, forgetting the oldest ones beyond the bounds."""
        size = self._nbytes_of(item)
        self._items.append((stamp_ns, item, size))
        self.nbytes += size
        while len(self._items) > 1 and (
            len(self._items) > self._capacity or self.nbytes > self._max_nbytes
        ):
            self.nbytes -= self._items.popleft()[2]

    def find(self, stamp_ns: int) -> T | None:
        """Return the newest frame with exactly this stamp."""
        return next((item for stamp, item, _ in reversed(self._items) if stamp == stamp_ns), None)

    def nearest(self, stamp_ns: int) -> tuple[int, T] | None:
        """Return (stamp_ns, frame) nearest to a stamp, of equals the newest; None = none kept."""
        best: tuple[int, T] | None = None
        for stamp, item, _ in reversed(self._items):
            if best is None or abs(stamp - stamp_ns) < abs(best[0] - stamp_ns):
                best = stamp, item
        return best

    def items(self) -> list[tuple[int, T]]:
        """Return (stamp_ns, frame) of the frames kept, oldest first."""
        return [(stamp, item) for stamp, item, _ in self._items]

    def begin_at(self, stamp_ns: int) -> None:
        """Forget what came before the newest frame with this stamp; all if there is none."""
        at = max((i for i, kept in enumerate(self._items) if kept[0] == stamp_ns), default=None)
        for _ in range(len(self._items) if at is None else at):
            self.nbytes -= self._items.popleft()[2]

    def stamps(self) -> list[int]:
        """Return the stamps of the frames kept, ns, oldest first."""
        return [stamp for stamp, _, _ in self._items]

    def after(self, item: T) -> list[T]:
        """Return the frames that came after this one, oldest first; all if it is gone by now."""
        later: list[T] = []
        for _, kept, _ in reversed(self._items):
            if kept is item:
                break
            later.append(kept)
        return later[::-1]

    def newest(self) -> tuple[int, T] | None:
        """Return (stamp_ns, item) of the newest frame, None when there is none."""
        return self._items[-1][:2] if self._items else None

    def clear(self) -> None:
        """Forget all frames."""
        self._items.clear()
        self.nbytes = 0
