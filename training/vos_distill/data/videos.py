# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Videos with masks: read at once where there is room, else frame by frame as needed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
import logging
from pathlib import Path
from typing import NoReturn, Protocol

import cv2
import numpy as np

from vos_distill.data.files import (
    bytes_of,
    Image,
    is_binary,
    MEMORY_BYTES,
    Pair,
    read_ahead,
    read_confidence,
    read_label,
    read_pair,
    reduce_to,
    UnusableError,
)
from vos_distill.data.findings import Findings, STRAY
from vos_distill.data.layouts import ClipFiles, clips_in_list, find_clips, name_no_clips
from vos_distill.recipe import MAX_BAD_SHARE
from vos_ros.formats.masks import VOID

log = logging.getLogger(__name__)


class Video(Protocol):
    """
    An annotated clip, wherever its frames are.

    `stride` is how many frames of the camera lie between two of its frames, for data sets that
    have a mask on every fifth one. `source` is the folder of its data set.
    """

    name: str
    stride: int
    source: str

    def __len__(self) -> int:
        """Count the frames."""

    def label(self, index: int) -> Image:
        """
        Give the ids of one frame, (H, W), 255 = void.

        :raises UnusableError: read from the disk, and it cannot be used.
        """

    def frame(self, index: int) -> tuple[Image, Image]:
        """
        Give image (H, W, 3) RGB and ids (H, W) of one frame.

        :raises UnusableError: as `label`.
        """

    def confidence(self, index: int) -> Image | None:
        """
        Tell how sure the ids of one frame are, (H, W), 255 = sure; None = all of them.

        :raises UnusableError: as `label`.
        """


@dataclass
class MemoryVideo:
    """A clip whose frames (H, W, 3) RGB, labels and confidences (H, W) are in memory."""

    name: str
    images: list[Image] = field(default_factory=list)
    labels: list[Image] = field(default_factory=list)
    stride: int = 1
    source: str = ''
    confidences: list[Image | None] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.images)

    def label(self, index: int) -> Image:
        return self.labels[index]

    def frame(self, index: int) -> tuple[Image, Image]:
        return self.images[index], self.labels[index]

    def confidence(self, index: int) -> Image | None:
        return self.confidences[index] if self.confidences else None


class FileVideo:
    """A clip whose frames are read from the disk whenever they are asked for."""

    def __init__(self, clip: ClipFiles, binary: bool, short_side: int, findings: Findings) -> None:
        self.name, self.stride = clip.name, clip.stride
        self.source = findings.root.name
        self._clip = clip
        self._binary = binary
        self._short_side = short_side
        self._findings = findings

    def __len__(self) -> int:
        return len(self._clip.pairs)

    def label(self, index: int) -> Image:
        image, mask = self._clip.pairs[index]
        try:
            stored = read_label(mask)
            confidence = _confidence(self._clip, image, stored.shape, self._short_side)
        except UnusableError as error:
            self._refuse(index, error)
        label = reduce_to(stored, self._short_side, cv2.INTER_NEAREST)
        return _ids(label, self._binary, confidence)

    def frame(self, index: int) -> tuple[Image, Image]:
        try:
            image, label, _ = _read_frame(
                self._clip, self._clip.pairs[index], self._binary, self._short_side
            )
        except UnusableError as error:
            self._refuse(index, error)
        return image, label

    def confidence(self, index: int) -> Image | None:
        image, mask = self._clip.pairs[index]
        if self._clip.confidence_of(image) is None:
            return None
        try:
            size = read_label(mask).shape
            return _confidence(self._clip, image, size, self._short_side)
        except UnusableError as error:
            self._refuse(index, error)

    def _refuse(self, index: int, error: UnusableError) -> NoReturn:
        self._findings.add(self._clip.pairs[index][0], str(error))
        self._findings.check()
        raise error


def _read_frame(
    clip: ClipFiles, pair: Pair, binary: bool, short_side: int
) -> tuple[Image, Image, Image | None]:
    """Give image, ids and confidence of a frame, reduced."""
    image, label = read_pair(*pair)
    confidence = _confidence(clip, pair[0], label.shape, short_side)
    label = reduce_to(label, short_side, cv2.INTER_NEAREST)
    return (
        reduce_to(image, short_side, cv2.INTER_AREA),
        _ids(label, binary, confidence),
        confidence,
    )


def _confidence(
    clip: ClipFiles, image: Path, size: tuple[int, ...], short_side: int
) -> Image | None:
    path = clip.confidence_of(image)
    if path is None:
        return None
    return reduce_to(read_confidence(path, size), short_side, cv2.INTER_AREA)


def _ids(label: Image, binary: bool, confidence: Image | None = None) -> Image:
    ids = (label > 0).astype(np.uint8) if binary else label
    return ids if confidence is None else np.where(confidence == 0, VOID, ids).astype(np.uint8)


def start_of(clip: ClipFiles, findings: Findings) -> tuple[ClipFiles, bool]:
    """
    Leave out frames without a mask, and those before the first object is seen.

    :return: what remains, and whether masks are binary, which the first one tells.
    """
    pairs = []
    for image, mask in clip.pairs:
        if mask.exists():
            pairs.append((image, mask))
        else:
            findings.add(image, f'{mask}: there is no such mask')
    binary = False
    empty: list[Pair] = []
    while pairs:
        image, mask = pairs[0]
        try:
            label = read_label(mask)
        except UnusableError as error:
            findings.add(image, str(error))
        else:
            if ((label > 0) & (label < VOID)).any() or is_binary(label):
                binary = is_binary(label)
                break
            empty.append(pairs[0])
        del pairs[0]
    for image, mask in empty:  # before an object comes they are no fault of the data
        message = f'{mask}: no object yet; a clip starts with its first object'
        findings.add(image, message, bad=0 if pairs else 1)
    for mask in clip.stray:
        findings.add(mask, STRAY.format(mask), bad=0)
    if len(pairs) < 2:
        _name_short(clip, len(pairs), findings)
    return replace(clip, pairs=tuple(pairs)), binary


def read_video(
    clip: ClipFiles, binary: bool, short_side: int, findings: Findings
) -> MemoryVideo | None:
    """Read every frame of a clip that `start_of` has seen; None where too few can be used."""
    video = MemoryVideo(clip.name, stride=clip.stride, source=findings.root.name)

    def read(pair: Pair) -> tuple[Image, Image, Image | None]:
        return _read_frame(clip, pair, binary, short_side)

    for pair, found in read_ahead(read, clip.pairs):
        if isinstance(found, UnusableError):
            findings.add(pair[0], str(found))
        else:
            video.images.append(found[0])
            video.labels.append(found[1])
            video.confidences.append(found[2])
    if len(video) < 2:
        _name_short(clip, len(video), findings)
        return None
    return video


def _name_short(clip: ClipFiles, left: int, findings: Findings) -> None:
    """Name a clip that is left out; the frames that are lost with it count as unusable."""
    findings.add(clip.folder, f'{clip.folder}: fewer than two usable frames', bad=left)


def load_videos(
    roots: Sequence[Path],
    short_side: int = 384,
    *,
    memory: int = MEMORY_BYTES,
    max_bad_share: float = MAX_BAD_SHARE,
    subsets: Mapping[Path, Path] | None = None,
) -> list[Video]:
    """
    Open the clips of data sets in the layouts of `find_clips`.

    :param short_side: larger frames are reduced to it, px.
    :param memory: bytes for all of them together; a set that does not fit into what earlier ones
        left of it is read from the disk.
    :param max_bad_share: of each set's frames that may be unusable.
    :param subsets: lists of clips, by the root that they are of, see `clips_in_list`; without one
        a set is taken whole.
    :raises ValueError: nothing there, or too much of it unusable; a list that cannot be used.
    """
    lists = subsets or {}
    videos: list[Video] = []
    for root in roots:
        clips = find_clips(root)
        if root in lists:
            clips = clips_in_list(clips, lists[root])
        findings = Findings(root, sum(len(clip.pairs) for clip in clips), max_bad_share)
        name_no_clips(root, findings)
        planes = 5 if any(clip.confidences is not None for clip in clips) else 4
        size = bytes_of([pair for clip in clips for pair in clip.pairs], short_side, planes)
        unmasked = sum(clip.unmasked for clip in clips)
        if unmasked:
            log.info('%s: %d frames have no mask and need none', root, unmasked)
        is_small = size <= memory
        memory -= size if is_small else 0
        if not is_small:
            log.info('%s: %d clips are read from the disk as needed', root, len(clips))
        found: list[Video] = []
        for clip in clips:
            usable, binary = start_of(clip, findings)
            if len(usable.pairs) < 2:
                continue
            if is_small:
                video = read_video(usable, binary, short_side, findings)
                found += [video] if video is not None else []
            else:
                found.append(FileVideo(usable, binary, short_side, findings))
        findings.check()
        if not found:
            raise ValueError(f'{root}: no clip is left to train on; {findings.first()}')
        videos += found
    return videos
