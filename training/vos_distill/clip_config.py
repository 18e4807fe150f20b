# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What training clips look like: the part `clip` of a recipe."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ClipConfig:
    """
    What the clips look like. Lengths are fractions of the crop unless said otherwise.

    :param size: side of the square crop, px.
    :param frames: frames a clip.
    :param real: share of clips whose background is a real video.
    :param max_gap: frames between two neighbours of a real clip, at most. Frames of the camera:
        where a data set has a mask on every fifth one, the next one is 5 away.
    :param gap_schedule: `max_gap` over the run, as points (share of the run, frames) with straight
        lines between them; empty = `max_gap` from beginning to end.
    :param speed: standard deviation of an object's displacement a frame.
    :param bend: standard deviation of how far a smooth deformation moves a point in a frame.
    :param spline: share of the deformations that are thin-plate splines through points at random
        places; the others are smooth interpolations of a grid.
    :param jpeg: share of clips with the artefacts of JPEG, at one quality for all frames.
    :param twin: share of the clips without a pause in which an untracked copy of a tracked object
        moves about too: then only where it was tells the two apart.
    :param crossing: share of those twins that are tracked (as object 2, where there is none yet)
        and cross the way of the object they were copied from: ids must not be exchanged.
    :param beside: share of the crossing ones that stay beside it instead, in touch.
    :param linger: share of the crossing ones that stay before or behind it for up to half of the
        clip, and then come out on the other side.
    :param turn: share of the cut-outs that turn: another side of them comes in beside the one that
        the first frame shows, and takes its place.
    :param reveal: share of the clips on whose first frame something hides a part of an object,
        which is seen from then on.
    :param enter: share of the cut-outs that come in over the border, so that the first frame shows
        a part of them.
    :param jump: share of clips with a long pause between frames 0 and 1, after which everything
        is elsewhere and looks different, as in the middle of a long video.
    :param max_jump: length of that pause in a real clip, frames at most.
    """

    size: int = 224
    frames: int = 4
    real: float = 0.3
    max_gap: int = 8
    gap_schedule: Sequence[Sequence[float]] = ()
    speed: float = 0.06
    camera_speed: float = 0.03
    rotation_deg: float = 8.0
    zoom: float = 0.06
    shear: float = 0.05
    bend: float = 0.015
    spline: float = 0.0
    paste_on_real: float = 0.4
    occluder: float = 0.45
    bars: float = 0.25
    blur: float = 0.15
    jpeg: float = 0.0
    twin: float = 0.0
    crossing: float = 0.0
    beside: float = 0.0
    linger: float = 0.0
    turn: float = 0.0
    reveal: float = 0.0
    enter: float = 0.0
    jump: float = 0.0
    max_jump: int = 40

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
