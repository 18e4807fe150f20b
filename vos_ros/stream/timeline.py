# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Timeline: stamps go forward; what else they do is a jump or a small disorder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: A stamp older than the newest one by up to this is a frame that was overtaken on its way.
TOLERANCE_NS = 100_000_000
#: A larger step forward is another clock, not a pause of the camera.
LONGEST_GAP_NS = 3_600_000_000_000

Step = Literal['next', 'overtaken', 'jump']


@dataclass(frozen=True)
class TimeJump:
    """
    The stamps jumped: a bag looped, a simulator was reset, a clock was set.

    :param before_ns: newest stamp before it.
    :param after_ns: first stamp after it.
    :param policy: what is done, 'reset' (objects are forgotten) or 'ignore'.
    """

    before_ns: int
    after_ns: int
    policy: str


class Timeline:
    """Judges each stamp by the one before; not locked."""

    def __init__(self) -> None:
        self.newest_ns = 0

    def judge(self, stamp_ns: int) -> Step:
        """
        Say what a stamp is after the ones before, and remember it unless it was overtaken.

        :param stamp_ns: 0 = unknown, which is always the next one and not remembered.
        """
        if stamp_ns == 0:
            return 'next'
        newest_ns = self.newest_ns
        step = stamp_ns - newest_ns
        if newest_ns and -TOLERANCE_NS <= step < 0:
            return 'overtaken'
        self.newest_ns = stamp_ns
        if newest_ns and not 0 <= step <= LONGEST_GAP_NS:
            return 'jump'
        return 'next'
