# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Where frames come from: a folder of images, a video, data sets in DAVIS's layout, own clips."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from vos_ros.errors import VosError
from vos_ros.sequences.base import LabelledSequence, Sequence
from vos_ros.sequences.davis import DavisSequence, MaskedSequence, open_davis
from vos_ros.sequences.folder import FolderSequence
from vos_ros.sequences.own import open_labelled
from vos_ros.sequences.video import VideoSequence

__all__ = [
    'DavisSequence',
    'FolderSequence',
    'LabelledSequence',
    'MaskedSequence',
    'Sequence',
    'VideoSequence',
    'open_davis',
    'open_labelled',
    'open_sequence',
]


def open_sequence(
    path: Path | str,
    *,
    without: Iterable[Path] = (),
    image_range: tuple[int, int] | None = None,
) -> FolderSequence | VideoSequence:
    """
    Open a folder of images or a video file, whichever `path` is.

    :param path: of a folder or a file.
    :param without: files in the folder that are no frames, such as the mask.
    :param image_range: counts of 16 bit images that become black and white; None = by the first.
    :raises VosError: nothing is there, or it holds no frame.
    """
    path = Path(path)
    if path.is_dir():
        return FolderSequence(path, without=without, image_range=image_range)
    if path.is_file():
        return VideoSequence(path)
    raise VosError(f'there is no video or folder {path}; check the path')
