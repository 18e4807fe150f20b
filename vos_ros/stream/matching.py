# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Which frame a stamp means: one rule, for masks, boxes and bags.

A stamp is rarely wrong by much and often by a little: seconds in a float lose 200 ns, other
programs count in microseconds, and the image that a mask was drawn on may be lost on its way here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
import itertools
import statistics
from typing import Generic, TypeVar

from vos_ros.config import InitConfig
from vos_ros.stream.mailbox import FrameRing
from vos_ros.stream.timeline import ROUNDING_NS

T = TypeVar('T')


@dataclass(frozen=True, eq=False)
class Match(Generic[T]):
    """
    What was found for a stamp.

    :param item: the frame; None = refused.
    :param note: what the sender should know although there is one.
    :param refusal: why there is none.
    :param is_late: there was none near the stamp; it may be of another time.
    """

    item: T | None = None
    note: str = ''
    refusal: str = ''
    is_late: bool = False


def period_of(stamps: Sequence[int]) -> int:
    """
    Return the time between two frames, ns: the median; 0 = unknown.

    :param stamps: ns, in the order of arrival; what is out of order or unknown (0) is left out.
    """
    steps = [b - a for a, b in itertools.pairwise(stamps) if a and b > a]
    return int(statistics.median_low(steps)) if steps else 0


def named(ring: FrameRing[T], stamp_ns: int, *, is_over: bool) -> Match[T] | None:
    """
    Return the frame with this stamp, or the nearest one within half a period of it.

    :param ring: the frames kept.
    :param stamp_ns: not 0.
    :param is_over: no frame that is nearer can come any more; else only rounding is forgiven.
    """
    found = ring.nearest(stamp_ns)
    if found is None:
        return None
    off_ns = stamp_ns - found[0]
    if off_ns == 0:
        return Match(found[1])
    period_ns = period_of(ring.stamps())
    # Within what rounding makes of a stamp, nobody waits for a better frame.
    if 2 * abs(off_ns) >= (period_ns if is_over else min(period_ns // 2, 2 * ROUNDING_NS)):
        return None
    return Match(
        found[1],
        f'the stamp of the prompt is {off_ns / 1e6:+.4f} ms off that of the nearest image, for '
        'which it was taken; copy the header of the image as it is',
    )


def passed(ring: FrameRing[T], stamp_ns: int, init: InitConfig) -> Match[T]:
    """
    Return what a prompt is applied to whose time has passed.

    :param ring: the frames kept, one of them newer than the stamp.
    :param stamp_ns: not 0.
    :param init: what becomes of prompts that are late.
    """
    match = named(ring, stamp_ns, is_over=True)
    newest, nearest = ring.newest(), ring.nearest(stamp_ns)
    if match is not None or newest is None or nearest is None:
        return match or Match()
    late_s = (newest[0] - stamp_ns) / 1e9
    if 0 < init.max_late_s < late_s:
        return Match(
            refusal=f'the prompt is {late_s:.3f} s older than the newest image, more than '
            f'init.max_late_s = {init.max_late_s:g}: the objects may be elsewhere by now; send '
            'one for a recent image, or raise init.max_late_s (0 = take any)',
            is_late=True,
        )
    if init.late_policy != 'apply_to_latest':
        return Match(
            refusal='the frame of the prompt is not (or no longer) buffered; send the prompt '
            'sooner, raise init.buffer_frames or set init.late_policy to apply_to_latest',
            is_late=True,
        )
    if ring.stamps()[0] < stamp_ns:
        return Match(
            nearest[1],
            'no image that is still buffered has the stamp of the prompt: it was applied to the '
            f'nearest one, {(nearest[0] - stamp_ns) / 1e6:+.1f} ms away; stamp it like its image, '
            'or see to it that no image is lost',
            is_late=True,
        )
    return Match(
        newest[1],
        f'no image that is still buffered has the stamp of the prompt, which is {late_s:.3f} s '
        'older than the newest one: it was applied to that; stamp it like its image, send it '
        'sooner or raise init.buffer_frames',
        is_late=True,
    )
