# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The tracker of the labelling process: the engine of the robot, whose memory may be put right."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from vos_distill.data.files import Image
from vos_distill.labelling.salient import Map
from vos_ros.config import MemoryConfig, RuntimeConfig, SegmenterConfig
from vos_ros.datatypes import Frame, Prompt
from vos_ros.engine.segmenter import VideoSegmenter


class Tracker(Protocol):
    """What the labelling process asks of a tracker; a better VOS network takes its place."""

    def start(self, image: Image, label: Image) -> None:
        """
        Forget everything and follow the objects of a mask.

        :param image: (H, W, 3) RGB uint8.
        :param label: (H, W) uint8 ids.
        """

    def look(self, image: Image) -> Map:
        """
        Find the objects on the next frame.

        :return: (K + 1, H, W), row 0 the background; the rows after it in the order of the ids.
        """

    def remember(self, prob: Map | None = None) -> None:
        """
        Memorise the frame looked at last.

        :param prob: (K + 1, H, W), in place of what was found.
        """


class StudentTracker:
    """
    A student with its finite memory.

    :param model: name or folder.
    :param short_side: of the network's input, px; 0 = the model's own.
    """

    def __init__(self, model: str | Path | None, short_side: int = 0, threads: int = 0) -> None:
        # the segmenter puts masks right: the engine's own doubts would only keep it from that
        self._segmenter = VideoSegmenter.open(
            model,
            config=SegmenterConfig(
                input_size=short_side,
                max_objects=16,
                memory=replace(MemoryConfig(), min_score=0.0),
            ),
            runtime=RuntimeConfig(threads=threads),
        )

    def start(self, image: Image, label: Image) -> None:
        """See `Tracker`."""
        self._segmenter.start(Frame(image), Prompt(label))
        self._segmenter.memorize()

    def look(self, image: Image) -> Map:
        """See `Tracker`."""
        found = self._segmenter.segment(Frame(image))
        return upsampled(found.prob, image.shape[:2])

    def remember(self, prob: Map | None = None) -> None:
        """See `Tracker`."""
        self._segmenter.memorize(prob)


class Interruptible:
    """
    A tracker that stops the labelling before the next frame, once it is asked to.

    :param check: raises what is to end it.
    """

    def __init__(self, tracker: Tracker, check: Callable[[], None]) -> None:
        self._tracker, self._check = tracker, check

    def start(self, image: Image, label: Image) -> None:
        """See `Tracker`."""
        self._check()
        self._tracker.start(image, label)

    def look(self, image: Image) -> Map:
        """See `Tracker`."""
        self._check()
        return self._tracker.look(image)

    def remember(self, prob: Map | None = None) -> None:
        """See `Tracker`."""
        self._tracker.remember(prob)


def upsampled(prob: Map, size: Sequence[int]) -> Map:
    """Give probabilities (K, h, w) at another size (H, W)."""
    planes = [cv2.resize(one, (size[1], size[0]), interpolation=cv2.INTER_LINEAR) for one in prob]
    return np.stack(planes).astype(np.float32)
