# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Which depth image belongs to which labels: by stamp, the same or the nearest one.

Labels come after their image by the time of the segmenter, depth by that of its driver; either may
be first. Nothing here knows a clock or a thread.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np

from vos_ros.config import SyncConfig

_NS_PER_MS = 1e6
#: Stamp differences that the period of a stream is the median of.
_PERIODS = 15
#: Longest tolerance that is learned, and the one until something is: of slow cameras, a thing may
#: be far from its mask by then.
_MOST_MS, _FIRST_MS = 50.0, 16.0
#: Stamps that go back so far are a jump (bag loop, simulator reset), not two images that overtook
#: each other.
_JUMP_NS = 1_000_000_000
#: Labels that wait, beside the bytes that they may take.
_MOST_LABELS = 16


@dataclass(frozen=True)
class _Waiting:
    """
    One message.

    :param stamp_ns: of its header.
    :param item: the message.
    :param nbytes: that it keeps in memory.
    :param arrived_s: by a steady clock.
    """

    stamp_ns: int
    item: Any
    nbytes: int
    arrived_s: float


@dataclass(frozen=True)
class Match:
    """
    Labels whose turn has come.

    :param labels: as given.
    :param depth: as given; None = there is none for them.
    :param offset_ms: stamp of the depth image less that of the labels.
    """

    labels: Any
    depth: Any | None
    offset_ms: float = 0.0


class Matcher:
    """
    Two bounded queues, joined by stamp.

    :param config: limits; may be replaced at any time.
    """

    def __init__(self, config: SyncConfig) -> None:
        self.config = config
        self.matched = 0
        self.depth_missing = 0  # labels for which no depth image came
        self.depth_dropped = 0  # depth images that gave way before their labels came
        self.jumps = 0
        self._depth: deque[_Waiting] = deque()
        self._labels: deque[_Waiting] = deque()
        self._steps_ns: dict[str, deque[int]] = {
            'depth': deque(maxlen=_PERIODS),
            'labels': deque(maxlen=_PERIODS),
        }
        self._last_ns: dict[str, int] = {}

    @property
    def nbytes(self) -> int:
        """Bytes of all that waits."""
        return sum(each.nbytes for each in (*self._depth, *self._labels))

    @property
    def is_waiting(self) -> bool:
        """Whether labels wait for their depth image."""
        return bool(self._labels)

    @property
    def learned_ms(self) -> float | None:
        """Half of the time between two images, by the faster stream; None = not known yet."""
        periods = [float(np.median(steps)) for steps in self._steps_ns.values() if steps]
        return min(min(periods) / 2 / _NS_PER_MS, _MOST_MS) if periods else None

    @property
    def tolerance_ms(self) -> float:
        """How far apart stamps may be at present."""
        return self.config.tolerance_ms or self.learned_ms or _FIRST_MS

    def add_depth(self, stamp_ns: int, item: Any, nbytes: int) -> None:
        """
        Take a depth image.

        :param stamp_ns: of its header.
        :param item: handed back in a match.
        :param nbytes: that it keeps in memory.
        """
        if stamp_ns - self._last_ns.get('depth', stamp_ns) < -_JUMP_NS:
            self.jumps += 1
            self._forget()
        self._learn('depth', stamp_ns)
        self._depth.append(_Waiting(stamp_ns, item, nbytes, 0.0))
        most = self.config.buffer_mib * 2**20
        held = sum(each.nbytes for each in self._depth)
        while held > most and len(self._depth) > 1:
            held -= self._depth.popleft().nbytes
            self.depth_dropped += 1

    def add_labels(self, stamp_ns: int, item: Any, nbytes: int, now_s: float) -> list[Match]:
        """
        Take labels.

        :param stamp_ns: of their header.
        :param item: handed back in a match.
        :param nbytes: that they keep in memory.
        :param now_s: a steady clock.
        :return: those that gave way, without depth.
        """
        self._learn('labels', stamp_ns)
        self._labels.append(_Waiting(stamp_ns, item, nbytes, now_s))
        most = self.config.buffer_mib * 2**20
        gone = []
        while len(self._labels) > 1 and (
            len(self._labels) > _MOST_LABELS or sum(e.nbytes for e in self._labels) > most
        ):
            gone.append(self._conclude(self._labels.popleft(), None))
        return gone

    def ready(self, now_s: float) -> list[Match]:
        """
        Give the labels whose depth image is known by now, or has not come in time.

        :param now_s: a steady clock.
        :return: in the order in which they came.
        """
        done, waiting = [], deque[_Waiting]()
        for labels in self._labels:
            nearest = min(
                self._depth, key=lambda each: abs(each.stamp_ns - labels.stamp_ns), default=None
            )
            off_ms = np.inf
            if nearest is not None:
                off_ms = abs(nearest.stamp_ns - labels.stamp_ns) / _NS_PER_MS
            if self._is_decided(labels, off_ms, now_s):
                found = nearest if off_ms <= self.tolerance_ms else None
                done.append(self._conclude(labels, found))
            else:
                waiting.append(labels)
        self._labels = waiting
        return done

    def _is_decided(self, labels: _Waiting, off_ms: float, now_s: float) -> bool:
        # Within half a period there is no nearer one.
        if off_ms <= min(self.learned_ms or 0.0, self.tolerance_ms):
            return True
        # The next images of the stream are only farther away. The one that came last, not the
        # newest stamp: that may be a mistake of one message.
        if self._depth and self._depth[-1].stamp_ns >= labels.stamp_ns:
            return True
        return now_s - labels.arrived_s >= self.config.wait_ms / 1e3

    def _conclude(self, labels: _Waiting, depth: _Waiting | None) -> Match:
        if depth is None:
            self.depth_missing += 1
            return Match(labels.item, None)
        self.matched += 1
        # Later labels want later images. By arrival, or a jump of the stamps would keep old ones.
        while self._depth and self._depth[0] is not depth:
            self._depth.popleft()
        return Match(labels.item, depth.item, (depth.stamp_ns - labels.stamp_ns) / _NS_PER_MS)

    def _learn(self, stream: str, stamp_ns: int) -> None:
        last_ns = self._last_ns.get(stream)
        self._last_ns[stream] = stamp_ns
        if last_ns is not None and 0 < stamp_ns - last_ns < _JUMP_NS:
            self._steps_ns[stream].append(stamp_ns - last_ns)

    def _forget(self) -> None:
        self.depth_dropped += len(self._depth)
        self._depth.clear()
