# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Timeline: stamps go forward; what else they do is a jump, a small disorder or a mistake."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

#: What rounding makes of a stamp.
ROUNDING_NS = 1_000_000
#: A stamp older than the newest one by up to this is a frame that was overtaken on its way.
TOLERANCE_NS = 100_000_000
#: A larger step forward is another clock, not a pause of the camera.
LONGEST_GAP_NS = 3_600_000_000_000
#: A larger step forward needs a second image that confirms it; of slow cameras, so many steps.
LONG_STEP_NS = 60_000_000_000
_LONG_STEPS = 4

Step = Literal['next', 'overtaken', 'odd']
Use = Literal['next', 'odd', 'pause', 'jump']


@dataclass(frozen=True)
class TimeJump:
    """
    The stamps jumped: a bag looped, a simulator was reset, a clock was set.

    :param before_ns: newest stamp before it.
    :param after_ns: first stamp after it.
    :param policy: what is done, 'reset' (objects are forgotten) or 'ignore'.
    :param came_s: monotonic; when the first image after it came.
    :param stamps: of the images after it that came before it was certain, ns.
    """

    before_ns: int
    after_ns: int
    policy: str
    came_s: float = field(default=0.0, compare=False)
    stamps: tuple[int, ...] = field(default=(), compare=False)

    def is_meant(self, stamp_ns: int, came_s: float, reach_s: float, *, had_frame: bool) -> bool:
        """
        Say whether a prompt that came before the jump was certain is for the time after it.

        A bag that begins again sends the same mask shortly before or after its first image, and
        nobody knows of the new time yet.

        :param stamp_ns: of the prompt, not 0.
        :param came_s: monotonic; when it came.
        :param reach_s: how long before its image a prompt may come.
        :param had_frame: the time before the jump had an image with this stamp, too. Then one
            after it must have the very same, as in a bag: where a clock was set back, the prompts
            of the last moments are near to what is the present again, and not of it.
        """
        if came_s < self.came_s - reach_s:
            return False
        if any(abs(stamp_ns - other) <= ROUNDING_NS for other in self.stamps):
            return True
        is_safe = not had_frame or came_s >= self.came_s
        return is_safe and abs(stamp_ns - self.after_ns) <= reach_s * 1e9


class Timeline:
    """
    Judges each stamp by those before; not locked.

    A stamp far from the others is odd. Only images that could be used move the present, and a jump
    is one when a second of them, in a row, agrees with the first: one broken message, or one wrong
    stamp, must not make a robot forget what it follows.
    """

    def __init__(self) -> None:
        self.usable_ns = 0  # newest stamp of an image that could be used; 0 = none yet
        self.suspect_ns = 0  # of the last such image, if it was odd
        self._newest_ns = 0  # of any image, but odd ones
        self._before_ns = 0  # the newest one before that
        self._step_ns = 0  # from the usable image before the last one to that

    def judge(self, stamp_ns: int) -> Step:
        """
        Say what the stamp of an image that came is after the ones before.

        :param stamp_ns: 0 = unknown, which is always the next one and not remembered.
        """
        if stamp_ns == 0:
            return 'next'
        if self.usable_ns and self._is_far(stamp_ns, self.usable_ns):
            return 'odd'
        if any(
            before and -TOLERANCE_NS <= stamp_ns - before < 0
            for before in (self._newest_ns, self.usable_ns)
        ):
            return 'overtaken'
        self._before_ns, self._newest_ns = self._newest_ns, stamp_ns
        return 'next'

    def use(self, stamp_ns: int, *, is_prompted: bool = False) -> Use:
        """
        Say what the stamp of an image means that can be used, and remember it.

        :param stamp_ns: 0 = unknown, see `judge`.
        :param is_prompted: a mask was drawn on the image of this very stamp. A second message that
            agrees on it is as good as a second image, after a pause of the camera.
        :return: 'odd' = it stands alone so far; 'jump', 'pause' = it confirms the one before.
        """
        if stamp_ns == 0:
            return 'next'
        before_ns, suspect_ns = self.usable_ns, self.suspect_ns
        if not before_ns or not self._is_far(stamp_ns, before_ns):
            self._go_on(stamp_ns, max(0, stamp_ns - before_ns) if before_ns else 0)
            return 'next'
        if is_prompted and self.is_pause(stamp_ns):
            self._go_on(stamp_ns, 0)
            self._before_ns, self._newest_ns = 0, stamp_ns
            return 'pause'
        is_pause = 0 < suspect_ns - before_ns <= LONGEST_GAP_NS
        agrees = not self._is_far(stamp_ns, suspect_ns) or (
            is_pause and 0 < stamp_ns - suspect_ns <= LONGEST_GAP_NS
        )
        if not suspect_ns or stamp_ns == suspect_ns or not agrees:
            self.suspect_ns = stamp_ns
            return 'odd'
        self._go_on(stamp_ns, max(0, stamp_ns - suspect_ns))
        self._before_ns, self._newest_ns = 0, stamp_ns
        return 'pause' if is_pause else 'jump'

    def is_pause(self, stamp_ns: int) -> bool:
        """Say whether a stamp is later by what may be a pause of the camera."""
        return 0 < stamp_ns - self.usable_ns <= LONGEST_GAP_NS

    def fail(self, stamp_ns: int) -> None:
        """
        Forget the stamp of an image that cannot be used.

        :param stamp_ns: of the image.
        """
        if stamp_ns == self._newest_ns:
            self._newest_ns = max(self.usable_ns, self._before_ns)

    def _go_on(self, stamp_ns: int, step_ns: int) -> None:
        self.usable_ns, self.suspect_ns = stamp_ns, 0
        self._step_ns = step_ns or self._step_ns

    def _is_far(self, stamp_ns: int, before_ns: int) -> bool:
        most_ns = max(LONG_STEP_NS, _LONG_STEPS * self._step_ns)
        return not -TOLERANCE_NS <= stamp_ns - before_ns <= most_ns
