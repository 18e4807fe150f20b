# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a sequence of frames offers, wherever it comes from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from vos_ros.datatypes import Frame, LabelMap


class Sequence(Protocol):
    """Frames in order of time; every iteration starts at the first one again."""

    @property
    def name(self) -> str:
        """Name for reports and for the folder of its masks."""

    @property
    def frame_names(self) -> tuple[str, ...]:
        """One per frame, without a suffix: what its mask file is called."""

    def __len__(self) -> int:
        """Count the frames; of a video this is what its header claims."""

    def __iter__(self) -> Iterator[Frame]:
        """Read the frames, as rgb8."""


class OverFrames:
    """A sequence whose frames are those of another one; what it adds to them is up to it."""

    def __init__(self, frames: Sequence) -> None:
        """
        Take the frames; none is read yet.

        :param frames: a folder or a video.
        """
        self._frames = frames

    @property
    def name(self) -> str:
        """Name of the frames."""
        return self._frames.name

    @property
    def frame_names(self) -> tuple[str, ...]:
        """Names of the frames, without a suffix."""
        return self._frames.frame_names

    def __len__(self) -> int:
        """Count the frames."""
        return len(self._frames)

    def __iter__(self) -> Iterator[Frame]:
        """Read the frames, as rgb8."""
        return iter(self._frames)


class LabelledSequence(Sequence, Protocol):
    """A sequence with true label maps on some or all frames."""

    def label_map(self, index: int) -> LabelMap | None:
        """
        Read the true ids, (H, W) uint8 or uint16; None where a frame is not annotated.

        :param index: of the frame, from 0.
        """
