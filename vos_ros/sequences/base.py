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


class LabelledSequence(Sequence, Protocol):
    """A sequence with true label maps on some or all frames."""

    def label_map(self, index: int) -> LabelMap | None:
        """
        Read the true ids, (H, W) uint8 or uint16; None where a frame is not annotated.

        :param index: of the frame, from 0.
        """
