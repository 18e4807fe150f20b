# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""OverloadController: what to do when frames come faster than the machine can segment them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vos_ros.config import NodeConfig

#: Misses in a row until the level rises: a single slow frame is no overload.
_MISSES = 8
#: Frames in a row with room until the level falls; doubled when that proved too early. Another
#: network size costs encodings, so it is not tried lightly; taking one frame more costs nothing.
_ROOM = {'skip': 5, 'shrink': 60, 'error': 5}
_MOST_ROOM = 16  # times as many
#: There is room when a frame would take no more than this share of the deadline one level lower.
_MARGIN = 0.8
#: Levels of the policy `skip`: level n processes one frame in n + 1.
_SKIP_LEVELS = 3
#: Frames skipped in a row for their age until it is clear that newer ones are no younger.
_SKIPS = 10


@dataclass(frozen=True)
class OverloadLimits:
    """
    What a frame may cost.

    :param deadline_ms: from taking a frame to its published result; 0 = no limit.
    :param max_age_ms: from the stamp of a frame to its published result; 0 = no limit.
    :param policy: 'skip', 'shrink' or 'error', see the setting `overload.policy`.
    """

    deadline_ms: float = 0.0
    max_age_ms: float = 0.0
    policy: str = 'skip'

    @property
    def are_set(self) -> bool:
        """Whether there is any limit."""
        return self.deadline_ms > 0 or self.max_age_ms > 0

    def is_missed(self, cost_ms: float) -> bool:
        """Return whether a frame took longer than the deadline."""
        return 0 < self.deadline_ms < cost_ms

    @classmethod
    def of(cls, config: NodeConfig) -> OverloadLimits:
        """Take the limits out of the node's settings."""
        return cls(config.deadline_ms, config.max_age_ms, config.overload.policy)


@dataclass(frozen=True)
class OverloadStatus:
    """
    A snapshot for diagnostics.

    :param policy: in force.
    :param level: 0 = normal; skip: one frame in level + 1 is processed; shrink: steps down the
        ladder; error: 1 = overloaded, which is an ERROR.
    :param max_level: the most the policy can do; at it and still missing is the end of help.
    :param is_late_at_arrival: frames are older than max_age_ms already when they come, so that
        skipping does not help: slow transport, or clocks that differ. They are processed all the
        same.
    :param misses_in_a_row: frames over a limit, up to now.
    """

    policy: str
    level: int
    max_level: int
    is_late_at_arrival: bool
    misses_in_a_row: int


class OverloadController:
    """
    Decides by the cost of the frames so far; counts frames, so it needs no clock.

    Not locked; the worker uses it from its own thread.

    :param limits: may be replaced at any time by `set_limits`.
    :param short_sides: the ladder of network sizes, px, descending.
    """

    def __init__(self, limits: OverloadLimits, short_sides: Sequence[int]) -> None:
        self._short_sides = tuple(short_sides)
        self._cap = len(self._short_sides) - 1
        self.level = 0
        self._begin(limits)

    def _begin(self, limits: OverloadLimits) -> None:
        self._limits = limits
        self.level = 0
        self._misses = 0
        self._room = 0
        self._room_needed = _ROOM[limits.policy]
        self._has_just_fallen = False
        self._skips = 0
        self._is_late_at_arrival = False
        self._turn = 0

    @property
    def limits(self) -> OverloadLimits:
        """The limits in force."""
        return self._limits

    @property
    def max_level(self) -> int:
        """The highest level of the policy in force."""
        return {'skip': _SKIP_LEVELS, 'shrink': self._cap, 'error': 1}[self._limits.policy]

    @property
    def shrink_level(self) -> int:
        """Steps down the ladder that the network's input should be."""
        return self.level if self._limits.policy == 'shrink' else 0

    @property
    def status(self) -> OverloadStatus:
        """What diagnostics should know."""
        return OverloadStatus(
            self._limits.policy,
            self.level,
            self.max_level,
            self._is_late_at_arrival,
            self._misses,
        )

    def set_limits(self, limits: OverloadLimits) -> None:
        """Change the limits; another policy begins at level 0, and no limit ends there."""
        if limits == self._limits:
            return
        if limits.policy != self._limits.policy or not limits.are_set:
            self._begin(limits)
        else:
            self._limits = limits

    def stay_at(self, level: int) -> None:
        """Go back to this level, as another one could not be had; never try a deeper one again."""
        self._cap = level
        if self._limits.policy == 'shrink':  # else the level is not one of sizes
            self.level = level
        self._misses = self._room = 0

    def is_too_old(self, age_ms: float) -> bool:
        """
        Decide whether a frame is left out for its age before it is processed.

        After `_SKIPS` in a row nothing is left out any more until a frame is young enough again:
        when all frames come too late, dropping them would only blind the robot.

        :param age_ms: now.
        """
        limits = self._limits
        if limits.max_age_ms <= 0 or age_ms <= limits.max_age_ms:
            self._skips = 0
            self._is_late_at_arrival = False
            return False
        if limits.policy == 'error':
            return False
        self._is_late_at_arrival = self._is_late_at_arrival or self._skips >= _SKIPS
        self._skips += not self._is_late_at_arrival
        return not self._is_late_at_arrival

    def is_paced_out(self) -> bool:
        """Decide whether a frame is left out because every (level + 1)-th one only is taken."""
        if self._limits.policy != 'skip' or self.level == 0:
            return False
        self._turn = (self._turn + 1) % (self.level + 1)
        return self._turn != 0

    def note(self, cost_ms: float, age_before_ms: float, age_after_ms: float) -> None:
        """
        Take a processed frame into account.

        :param cost_ms: from taking it to its published result.
        :param age_before_ms: its age when it was taken; 0 = unknown.
        :param age_after_ms: its age when its result was published; 0 = unknown.
        """
        limits = self._limits
        # Whoever was too old before is not made younger by less work.
        is_late = age_before_ms <= limits.max_age_ms < age_after_ms and limits.max_age_ms > 0
        if limits.is_missed(cost_ms) or is_late:
            self._room = 0
            self._misses += 1
            if self._misses >= _MISSES and self.level < self.max_level:
                self._rise()
        else:
            self._misses = 0
            self._room = self._room + 1 if self._has_room(cost_ms) else 0
            if self._room >= self._room_needed:
                self._fall()

    def _rise(self) -> None:
        # Falling was too early: be slower the next time, or the level would swing for ever.
        if self._has_just_fallen:
            most = _MOST_ROOM * _ROOM[self._limits.policy]
            self._room_needed = min(2 * self._room_needed, most)
        self.level += 1
        self._misses = 0
        self._has_just_fallen = False

    def _fall(self) -> None:
        self._room = 0
        if self.level > 0:
            self.level -= 1
            self._has_just_fallen = True
        else:  # all was well for long: forget that it was not
            self._room_needed, self._has_just_fallen = _ROOM[self._limits.policy], False

    def _has_room(self, cost_ms: float) -> bool:
        if self.level == 0:
            return True
        if self._limits.policy == 'shrink':  # the cost grows with the number of pixels
            here, larger = (self._short_sides[k] for k in (self.level, self.level - 1))
            cost_ms *= (larger / here) ** 2
        return self._limits.deadline_ms <= 0 or cost_ms <= _MARGIN * self._limits.deadline_ms
