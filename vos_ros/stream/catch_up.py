# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""CatchUp: a prompt for a past frame, followed to the present beside the live frames."""

from __future__ import annotations

from collections.abc import Iterable
import math

import numpy as np

from vos_ros.datatypes import Frame, Prompt
from vos_ros.engine.segmenter import VideoSegmenter
from vos_ros.formats.masks import ids_in
from vos_ros.latency import Stopwatch


def stride(pending: int, left_ms: float, cost_ms: float) -> int:
    """
    Return how many frames to step forward, so that an even choice of them fits into the time.

    :param pending: frames between the last one replayed and the present, at least 1.
    :param left_ms: time that is left.
    :param cost_ms: of one frame.
    :return: 1 .. pending; pending = go to the newest directly.
    """
    affordable = int(left_ms / max(cost_ms, 1e-3))
    return pending if affordable < 1 else math.ceil(pending / affordable)


class CatchUp:
    """
    Prompted objects on their way from their frame to the present, in a memory of their own.

    The objects that are followed already neither change nor are looked for on the frames that
    are replayed. finish() hands the new ones over, prompted on their own frame, recent on the
    last one replayed.

    :param segmenter: takes the objects over at the end.
    :param frame: that the prompt was drawn on.
    :param replaces: whether all objects known are forgotten when the new ones are taken over.
    :raises VosError: the prompt cannot be used at all.
    """

    def __init__(
        self, segmenter: VideoSegmenter, frame: Frame, prompt: Prompt, *, replaces: bool
    ) -> None:
        watch = Stopwatch()
        self._segmenter = segmenter
        self._replaces = replaces
        self._scratch = segmenter.fork()
        self._scratch.draws_outlines = False  # finish() may prompt with its labels
        known = () if replaces else segmenter.object_ids
        self._newest = (frame, self._scratch.start(frame, prompt, beside=known))
        self._scratch.memorize()
        self.warnings = self._newest[1].warnings
        self.cost_ms = watch.lap_ms()  # of one frame, as measured last

    @property
    def object_ids(self) -> tuple[int, ...]:
        """Ids that are on their way."""
        return self._scratch.object_ids

    def replay(self, frame: Frame) -> None:
        """Follow the objects to a newer frame."""
        watch = Stopwatch()
        self._newest = (frame, self._scratch.segment(frame))
        self._scratch.memorize()
        self.cost_ms = watch.lap_ms()

    def remove(self, object_ids: Iterable[int]) -> None:
        """Forget these objects."""
        self._scratch.remove_objects(object_ids)

    def finish(self) -> tuple[str, ...]:
        """
        Hand the objects over; this is used no more.

        Where there would be too many prompted frames, they start from the last frame replayed,
        together with the objects known, as with add_objects().

        :return: one line for each thing that went other than asked for.
        """
        segmenter, new = self._segmenter, self.object_ids
        if self._replaces:
            segmenter.reset()
        if segmenter.fits(new):
            segmenter.adopt(self._scratch)
            return ()
        frame, result = self._newest
        # Some may have been removed since that frame.
        known = np.isin(result.label_map, new)
        label_map = np.where(known, result.label_map, 0).astype(result.label_map.dtype)
        prompt = Prompt(label_map, made_ids=frozenset(new))
        warnings = segmenter.add_objects(frame, prompt).warnings
        segmenter.adopt_outlines(self._scratch)
        segmenter.memorize()
        gone = sorted(set(new) - set(ids_in(prompt.label_map)))
        if gone:
            warnings += (
                f'objects {gone} are refused: they were lost between the frame of the mask and '
                'the newest one; send the mask sooner or raise memory.max_prompted_frames',
            )
        return warnings
