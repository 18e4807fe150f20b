# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A sequence of images that is read as a bag, message by message, though none is written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from collections.abc import Sequence as Strings
from itertools import islice
from pathlib import Path

import numpy as np

from vos_ros.bag.messages import (
    COMPRESSED,
    compressed_bytes,
    IMAGE,
    image_bytes,
    label_bytes,
    Message,
)
from vos_ros.bag.reader import BagReader, Topic
from vos_ros.datatypes import Frame, LabelMap
from vos_ros.errors import VosError
from vos_ros.evaluation.evaluate import fit_mask, prompt_for_new
from vos_ros.sequences import DavisSequence, Sequence

CAMERA, TRUTH, INIT = '/camera/image_raw', '/gt/labels', '/init_mask'
FRAME_ID = 'camera'
#: Of the first image, so that the same sequence gives the same messages.
START_NS = 1_700_000_000_000_000_000
COMPRESSIONS = ('', 'jpeg', 'png')
_NS = 1_000_000_000


class SequenceBag(BagReader):
    """
    Images, and where there are true masks, these and the init masks; see `make_bag`.

    Messages of one frame have the same header. /init_mask holds each object once, on the frame
    where it first appears.

    :param sequence: frames; true masks are taken from a DavisSequence.
    :param path: where it lies.
    :param rate_hz: of the stamps; 0 = those of the sequence, of a video those in the file.
    :param compressed: 'jpeg' or 'png' = as CompressedImage on /camera/image_raw/compressed.
    :param first_mask: (H, W) ids on the first frame, for a sequence without true masks.
    :param limit: only so many frames; None = all.
    :raises VosError: rate or compression is none.
    """

    def __init__(
        self,
        sequence: Sequence,
        path: Path,
        *,
        rate_hz: float,
        compressed: str = '',
        first_mask: LabelMap | None = None,
        limit: int | None = None,
    ) -> None:
        if rate_hz and not 0.01 <= rate_hz <= 10_000:
            raise VosError(f'the rate must lie in 0.01 .. 10000 Hz, not {rate_hz}')
        if compressed not in COMPRESSIONS:
            raise VosError(f'compressed images are jpeg or png, not {compressed!r}')
        self.path = path
        self.sequence, self.rate_hz, self.limit = sequence, rate_hz, limit
        self._compressed, self._first_mask = compressed, first_mask
        #: Topic of the images.
        self.camera = f'{CAMERA}/compressed' if compressed else CAMERA
        frames = len(sequence) if limit is None else min(len(sequence), limit)
        counts = {self.camera: frames}
        if isinstance(sequence, DavisSequence):
            counts |= {TRUTH: frames, INIT: 1}  # at most, and at least
        elif first_mask is not None:
            counts[INIT] = 1
        kinds = {self.camera: COMPRESSED if compressed else IMAGE}
        self.topics = {t: Topic(t, kinds.get(t, IMAGE), count) for t, count in counts.items()}

    @property
    def name(self) -> str:
        """Name for reports."""
        return self.sequence.name

    def messages(self, topics: Strings[str]) -> Iterator[Message]:
        """See BagReader; images are read only where they are wanted."""
        wanted = self.topics.keys() & topics
        frames: Iterable[Frame | None] = self.sequence
        if self.camera not in wanted and self.rate_hz:
            frames = [None] * len(self.sequence)
        known: set[int] = set()
        origin_ns = 0
        for index, frame in enumerate(islice(frames, self.limit)):
            if self.rate_hz:
                stamp_ns = START_NS + round(index * _NS / self.rate_hz)
            else:
                assert frame is not None
                origin_ns = frame.stamp_ns if index == 0 else origin_ns
                stamp_ns = START_NS + frame.stamp_ns - origin_ns
            if frame is not None and self.camera in wanted:
                yield self._image(frame, stamp_ns)
            truth = self._truth(index) if wanted - {self.camera} else None
            if truth is None:
                continue
            if frame is not None:
                name = f'{self.sequence.name}: the mask of frame {index}'
                truth = fit_mask(truth, frame.size, name)
            if TRUTH in wanted:
                yield _labels(TRUTH, truth, stamp_ns)
            prompt = prompt_for_new(truth, known) if INIT in wanted else None
            if prompt is not None:
                yield _labels(INIT, prompt.label_map, stamp_ns)

    def _truth(self, index: int) -> LabelMap | None:
        if isinstance(self.sequence, DavisSequence):
            return self.sequence.label_map(index)
        return None if index else self._first_mask

    def _image(self, frame: Frame, stamp_ns: int) -> Message:
        if self._compressed:
            data = compressed_bytes(frame.image, self._compressed, stamp_ns, FRAME_ID)
            return Message(self.camera, COMPRESSED, stamp_ns, data)
        data = image_bytes(frame.image, frame.encoding, stamp_ns, FRAME_ID)
        return Message(self.camera, IMAGE, stamp_ns, data)


def _labels(topic: str, label_map: LabelMap, stamp_ns: int) -> Message:
    data = label_bytes(np.ascontiguousarray(label_map), stamp_ns, FRAME_ID)
    return Message(topic, IMAGE, stamp_ns, data)
