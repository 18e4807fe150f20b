# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What was sent and never came: gaps in the numbers that each publisher gives its messages."""

from collections.abc import Callable, Mapping
from typing import Any

#: What a middleware without such numbers says.
_UNKNOWN = 2**64 - 1
#: Publishers that are told apart; the one that was silent longest goes.
_MOST = 8
#: A gap so large may be another publisher that has begun long ago.
_LARGE = 100


class GapCounter:
    """
    Counts the messages between those that were taken.

    The middleware replaces what waits by what is newer (a queue of one holds the newest image) and
    tells nobody. rclpy gives the number of a message but not its publisher, so it is taken for the
    one with the nearest number below. What a publisher sent before its first message came is not
    counted; without numbers (before Jazzy) nothing is.

    :param on_missed: called with the length of each gap.
    :param publishers: says how many there are on the topic.
    """

    def __init__(self, on_missed: Callable[[int], None], publishers: Callable[[], int]) -> None:
        self._on_missed = on_missed
        self._publishers = publishers
        self._last: list[int] = []  # number by publisher, the one heard of last at the end

    def forget(self) -> None:
        """Begin anew: somebody else has taken messages meanwhile."""
        self._last.clear()

    def note(self, info: Any) -> None:
        """
        Note a message.

        :param info: as rclpy's take_message gives it.
        """
        number = info.get('publication_sequence_number') if isinstance(info, Mapping) else None
        if number is None or number == _UNKNOWN:
            return
        before = max((last for last in self._last if last < number), default=None)
        gap = 0 if before is None else number - before - 1
        if gap > _LARGE and self._publishers() > 1:
            before, gap = None, 0
        if before is not None:
            self._last.remove(before)
        self._last.append(number)
        del self._last[:-_MOST]
        if gap:
            self._on_missed(gap)
