# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What training clips look like: the part `clip` of a recipe."""

from collections.abc import Sequence
from dataclasses import dataclass
import math

import numpy as np

from vos_ros.config import setting

SHARE = (0.0, 1.0)
FROM_0 = (0.0, math.inf)
FROM_1 = (1, math.inf)
LEAST = math.ulp(0.0)  # the smallest number above 0
ABOVE_0 = (LEAST, math.inf)


@dataclass(frozen=True)
class ClipConfig:
    """What the clips look like. Lengths are fractions of the crop unless said otherwise."""

    size: int = setting(
        224,
        'side of the square crop, px',
        limits=(32, math.inf),
    )
    frames: int = setting(
        4,
        'frames a clip',
        limits=(2, math.inf),
    )
    real: float = setting(
        0.3,
        'share of clips whose background is a real video',
        limits=SHARE,
    )
    max_gap: int = setting(
        8,
        'frames between two neighbours of a real clip, at most. Frames of the camera: where a '
        'data set has a mask on every fifth one, the next one is 5 away',
        limits=FROM_1,
    )
    #: `max_gap` over the run, as points (share of the run, frames) with straight lines
    #: between them; empty = `max_gap` from beginning to end.
    gap_schedule: Sequence[Sequence[float]] = ()
    speed: float = setting(
        0.06,
        "standard deviation of an object's displacement a frame",
        limits=FROM_0,
    )
    camera_speed: float = setting(
        0.03,
        "standard deviation of the camera's displacement a frame",
        limits=FROM_0,
    )
    rotation_deg: float = setting(
        8.0,
        'standard deviation of a rotation a frame, degrees',
        limits=FROM_0,
    )
    zoom: float = setting(
        0.06,
        'standard deviation of a change of scale a frame',
        limits=FROM_0,
    )
    shear: float = setting(
        0.05,
        'standard deviation of a shear a frame',
        limits=FROM_0,
    )
    bend: float = setting(
        0.015,
        'standard deviation of how far a smooth deformation moves a point in a frame',
        limits=FROM_0,
    )
    spline: float = setting(
        0.0,
        'share of the deformations that are thin-plate splines through points at random '
        'places; the others are smooth interpolations of a grid',
        limits=SHARE,
    )
    paste_on_real: float = setting(
        0.4,
        'share of the real clips that cut-outs are pasted on',
        limits=SHARE,
    )
    occluder: float = setting(
        0.45,
        'share of clips with an object that covers others and is not tracked',
        limits=SHARE,
    )
    bars: float = setting(
        0.25,
        'share of clips with posts that cover what is behind',
        limits=SHARE,
    )
    blur: float = setting(
        0.15,
        'share of clips that are blurred',
        limits=SHARE,
    )
    jpeg: float = setting(
        0.0,
        'share of clips with the artefacts of JPEG, at one quality for all frames',
        limits=SHARE,
    )
    twin: float = setting(
        0.0,
        'share of the clips without a pause in which an untracked copy of a tracked object '
        'moves about too: then only where it was tells the two apart',
        limits=SHARE,
    )
    crossing: float = setting(
        0.0,
        'share of those twins that are tracked (as object 2, where there is none yet) and '
        'cross the way of the object they were copied from: ids must not be exchanged',
        limits=SHARE,
    )
    beside: float = setting(
        0.0,
        'share of the crossing ones that stay beside it instead, in touch',
        limits=SHARE,
    )
    linger: float = setting(
        0.0,
        'share of the crossing ones that stay before or behind it for up to half of the clip, '
        'and then come out on the other side',
        limits=SHARE,
    )
    turn: float = setting(
        0.0,
        'share of the cut-outs that turn: another side of them comes in beside the one that '
        'the first frame shows, and takes its place',
        limits=SHARE,
    )
    reveal: float = setting(
        0.0,
        'share of the clips on whose first frame something hides a part of an object, which '
        'is seen from then on',
        limits=SHARE,
    )
    enter: float = setting(
        0.0,
        'share of the cut-outs that come in over the border, so that the first frame shows a '
        'part of them',
        limits=SHARE,
    )
    redrawn: float = setting(
        0.0,
        'share of the clips whose masks are all drawn tighter or looser than the objects are: '
        'then the first mask tells where an outline is',
        limits=SHARE,
    )
    redrawn_by: float = setting(
        0.015,
        'how far inside or outside of the edge that is, at most',
        limits=FROM_0,
    )
    jump: float = setting(
        0.0,
        'share of clips with a long pause between frames 0 and 1, after which everything is '
        'elsewhere and looks different, as in the middle of a long video',
        limits=SHARE,
    )
    max_jump: int = setting(
        40,
        'length of that pause in a real clip, frames at most',
        limits=FROM_1,
    )

    def __post_init__(self) -> None:
        points = self.gap_schedule
        is_valid = all(len(p) == 2 and 0 <= p[0] <= 1 and p[1] >= 1 for p in points)
        if not is_valid or [p[0] for p in points] != sorted(p[0] for p in points):
            raise ValueError(
                f'clip.gap_schedule is {points}; every point is [share of the run 0..1, frames '
                'from 1], in order of the share'
            )

    def gap_at(self, progress: float) -> int:
        """Give the largest gap when so much of the run (0..1) is done, frames."""
        if not self.gap_schedule:
            return self.max_gap
        shares, gaps = zip(*self.gap_schedule, strict=True)
        return round(float(np.interp(progress, shares, gaps)))
