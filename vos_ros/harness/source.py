# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the demo plays: its own clip, a user's video, or a sequence of a data set."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
import itertools
from pathlib import Path
from typing import Any

import cv2

from vos_ros.bag.sequence import SequenceBag
from vos_ros.datatypes import Frame, LabelMap
from vos_ros.errors import VosError
from vos_ros.formats.label_png import read_prompt_png
from vos_ros.formats.masks import ids_in
from vos_ros.harness import clip
from vos_ros.sequences import (
    DavisSequence,
    FolderSequence,
    open_davis,
    open_sequence,
    VideoSequence,
)

_SAME_ASPECT = 0.01


@dataclass(frozen=True)
class Source:
    """
    A clip and the objects on its first frame.

    :param sequence: the frames.
    :param path: what the player process opens: video, folder, or root of the data set.
    :param first: (H, W) object ids on the first frame.
    :param rate_hz: of the camera that took it.
    :param limit: play so many frames at most; None = all.
    """

    sequence: DavisSequence | FolderSequence | VideoSequence
    path: Path
    first: LabelMap
    rate_hz: float
    limit: int | None

    @property
    def name(self) -> str:
        """Name for the report."""
        return self.sequence.name

    def frames(self) -> Iterator[Frame]:
        """Read the frames that are played."""
        return itertools.islice(iter(self.sequence), self.limit)

    def bag(self, rate_hz: float) -> SequenceBag:
        """Read it as a bag of this rate."""
        return SequenceBag(
            self.sequence, self.path, rate_hz=rate_hz, first_mask=self.first, limit=self.limit
        )


def open_source(
    *,
    video: Path | None = None,
    mask: Path | None = None,
    davis: Path | None = None,
    frames: int | None = None,
) -> Source | None:
    """
    Open what is to be played, and look whether it fits; nothing is written.

    :param video: video file or folder of images; needs `mask`.
    :param mask: PNG with the objects on the first frame.
    :param davis: root of a data set in DAVIS layout, or root/SEQUENCE.
    :param frames: only the first so many.
    :return: None = nothing was given, so it is the demo's own clip: see `make_source`.
    :raises VosError: contradictory arguments, or files that do not fit; says which.
    """
    if frames is not None and frames < 2:
        raise VosError(f'a clip needs at least 2 frames, not {frames}')
    if davis is not None:
        if video is not None or mask is not None:
            raise VosError('give either a video with its mask, or a DAVIS sequence, not both')
        return _open_davis(davis, frames)
    if video is not None:
        if mask is None:
            raise VosError('a video needs the objects on its first frame: --mask first.png')
        return _open_video(video, mask, frames)
    if mask is not None:
        raise VosError('a mask needs the video whose first frame it was drawn on: --video FILE')
    return None


def make_source(root: Path, frames: int | None = None) -> Source:
    """
    Make the demo's own clip.

    :param root: folder for it.
    :param frames: the same motion in so many frames; None = as many as it has.
    :raises VosError: it cannot be written.
    """
    sequence = DavisSequence(root, clip.write_clip(root, frames or clip.FRAMES))
    return _with_truth(sequence, clip.RATE_HZ, None)


def _open_davis(path: Path, limit: int | None) -> Source:
    if not (path / 'JPEGImages').is_dir() and (path.parent / 'JPEGImages').is_dir():
        sequence = DavisSequence(path.parent, path.name)
    else:
        sequence = open_davis(path)[0]
    return _with_truth(sequence, sequence.rate_hz, limit)


def _with_truth(sequence: DavisSequence, rate_hz: float, limit: int | None) -> Source:
    first = sequence.label_map(0)
    if first is None or not ids_in(first):
        raise VosError(f'the first frame of {sequence.name} has no object; take another sequence')
    return Source(sequence, sequence.root, first, rate_hz, limit)


def _open_video(video: Path, mask: Path, limit: int | None) -> Source:
    sequence = open_sequence(video, without=[mask])
    labels = read_prompt_png(mask)
    height, width = next(iter(sequence)).size
    ratio = (labels.shape[1] / labels.shape[0]) / (width / height)
    if abs(ratio - 1) > _SAME_ASPECT:
        raise VosError(
            f'the mask {mask} is {labels.shape[1]}x{labels.shape[0]}, the video {width}x{height}; '
            'draw the mask on the first frame of this video'
        )
    if labels.shape != (height, width):
        resized: Any = cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST)
        labels = resized
    return Source(sequence, video, labels, sequence.rate_hz, limit)
