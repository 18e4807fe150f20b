# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a replay is scored against, and the masks that it starts from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
import logging
from pathlib import Path
from typing import Protocol

from vos_ros.bag.messages import Message
from vos_ros.bag.reader import BagReader
from vos_ros.datatypes import Frame, LabelMap, Prompt
from vos_ros.errors import VosError
from vos_ros.evaluation.evaluate import prompt_for_new
from vos_ros.formats.grey import GreyRange
from vos_ros.formats.label_png import read_label_png, read_prompt_png
from vos_ros.formats.masks import read_prompt, Reading, reading_of, to_ids, warn_soft
from vos_ros.sequences.folder import list_images
from vos_ros.stream.matching import ROUNDING_NS
from vos_ros.stream.timeline import TOLERANCE_NS

_NS = 1_000_000_000
_LOGGER = logging.getLogger(__name__)
# A number this large is a stamp in ns, not an index: 10^15 ns are 11 days after 1970.
_LEAST_STAMP = 10**15


@dataclass(eq=False)
class BagFrame:
    """
    One camera image of a bag, decoded when it is first looked at.

    :param index: from 0.
    :param message: as it was recorded.
    :param origin_ns: stamp of the first image.
    :param grey: the camera's stretch of 16 bits to 8.
    """

    index: int
    message: Message
    origin_ns: int
    grey: GreyRange | None = None

    @property
    def stamp_ns(self) -> int:
        """Stamp in its header."""
        return self.message.stamp_ns

    @property
    def time_ns(self) -> int:
        """Time since the first image, by the stamps."""
        return self.stamp_ns - self.origin_ns

    @cached_property
    def image(self) -> Frame:
        """
        The picture, with the stamp of its header.

        :raises VosError: it cannot be read.
        """
        return self.message.to_frame(self.grey)


def read_frames(
    bag: BagReader, topic: str, image_range: tuple[int, int] | None = None
) -> Iterator[BagFrame]:
    """
    Read the camera's images in order; none is kept.

    An image that is not newer than one before, by up to 0.1 s, is left out as the node does with
    images that were overtaken; how many is logged.

    :param bag: to read from.
    :param topic: of the images.
    :param image_range: counts of 16 bit images that become black and white; None = by the first.
    :raises VosError: the bag is damaged, or the stamps go back.
    """
    left_out = index = 0
    origin_ns = newest_ns = 0
    grey = GreyRange(image_range, topic)
    for number, message in enumerate(bag.messages([topic])):
        stamp_ns = message.stamp_ns
        if number == 0:
            origin_ns = stamp_ns
        elif newest_ns - TOLERANCE_NS <= stamp_ns <= newest_ns:
            left_out += 1
            continue
        elif stamp_ns < newest_ns:
            raise VosError(
                f'{topic}: the stamp of image {number}, {stamp_ns / _NS:.6f} s, is not later than '
                f'the one before, {newest_ns / _NS:.6f} s; a bag must hold one drive, without '
                'loops: cut it'
            )
        newest_ns = stamp_ns
        yield BagFrame(index, message, origin_ns, grey)
        index += 1
    if left_out and left_out >= index:
        raise VosError(
            f'{topic}: the stamps of {left_out} of {left_out + index} images are not later than '
            'those before; the driver must stamp each image anew, and a bag hold one drive, '
            'without loops'
        )
    if left_out:
        _LOGGER.warning(
            '%s: %d images were left out, whose stamp is that of the image before or up to 0.1 s '
            'older: the driver stamps them wrongly, or they were overtaken',
            topic,
            left_out,
        )


class Truth(Protocol):
    """True label maps, asked for frame by frame, in order."""

    def at(self, frame: BagFrame) -> LabelMap | None:
        """
        Give the true ids, (H, W) uint8 or uint16, without void; None where there is none.

        :raises VosError: it cannot be read.
        """

    def close(self) -> None:
        """
        End.

        :raises VosError: not one frame had a true label map.
        """


class NoTruth:
    """There is nothing to score against."""

    def at(self, frame: BagFrame) -> LabelMap | None:
        """Give None."""
        return None

    def close(self) -> None:
        """Do nothing."""


class _Ids:
    """
    Stored numbers -> ids; the first map with an object tells what the numbers of all mean.

    :param name: of the ground truth, for a warning.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._reading = Reading.EMPTY

    def __call__(self, stored: LabelMap) -> LabelMap:
        if self._reading is Reading.EMPTY:
            self._reading = reading_of(stored)
            if self._reading is Reading.SOFT:
                warn_soft(self._name)
        return to_ids(stored, self._reading)


class TopicTruth:
    """
    Label images in the bag itself; they belong to the image with the same stamp.

    Both streams are read side by side, so that none has to be held.

    :param bag: to read from.
    :param topic: of the label images.
    :raises VosError: there is no such topic.
    """

    def __init__(self, bag: BagReader, topic: str) -> None:
        bag.require(topic, 'ground truth', '--gt')
        self._topic = topic
        self._messages = bag.messages([topic])
        self._next: Message | None = next(self._messages, None)
        self._to_ids = _Ids(f'the ground truth {topic}')
        self._found = 0

    def at(self, frame: BagFrame) -> LabelMap | None:
        """See Truth."""
        while self._next is not None and self._next.stamp_ns < frame.stamp_ns - ROUNDING_NS:
            self._next = next(self._messages, None)
        if self._next is None or self._next.stamp_ns > frame.stamp_ns + ROUNDING_NS:
            return None
        self._found += 1
        return self._to_ids(self._next.to_labels())

    def close(self) -> None:
        """See Truth."""
        if not self._found:
            raise VosError(
                f'no message of {self._topic} has the stamp of an image, so nothing can be '
                'scored; ground truth needs the header of the image that it belongs to'
            )


class FolderTruth:
    """
    PNG files in a folder, found by stamp or by index.

    A file whose name is a number of 10^15 or more belongs to the image with this stamp in ns; a
    smaller number is the image's index, from 0. Other names count in their natural order.

    :param folder: of the files.
    :raises VosError: there is no PNG in it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        files = [file for file in list_images(folder) if file.suffix.lower() == '.png']
        if not files:
            raise VosError(f'no ground truth: there is no PNG file in {folder}')
        numbers = [int(file.stem) if file.stem.isdecimal() else None for file in files]
        if None in numbers:
            self._files = dict(enumerate(files))
        else:
            self._files = {int(file.stem): file for file in files}
        self._to_ids = _Ids(f'the ground truth in {folder}')
        self._found = 0

    def at(self, frame: BagFrame) -> LabelMap | None:
        """See Truth."""
        by_stamp = max(self._files) >= _LEAST_STAMP
        file = self._files.get(frame.stamp_ns if by_stamp else frame.index)
        if file is None:
            return None
        self._found += 1
        return self._to_ids(read_label_png(file))

    def close(self) -> None:
        """See Truth."""
        if not self._found:
            raise VosError(
                f'no file in {self._folder} is named after a stamp (in ns) or an index (from 0) '
                'of an image, so nothing can be scored'
            )


def open_truth(bag: BagReader, given: str) -> Truth:
    """
    Find the ground truth.

    :param bag: that is replayed.
    :param given: name of a topic, path of a folder of PNG files, or 'none'.
    :raises VosError: there is none.
    """
    if given == 'none':
        return NoTruth()
    # A topic's name looks like an absolute path: what the bag has comes first.
    if given not in bag.topics and Path(given).is_dir():
        return FolderTruth(Path(given))
    try:
        return TopicTruth(bag, given)
    except VosError as error:
        raise VosError(
            f'{error}; or a folder of PNG files, or --gt none to measure latency only'
        ) from error


class Prompts(Protocol):
    """Masks that objects are started from, asked for frame by frame, in order."""

    def at(self, frame: BagFrame, truth: LabelMap | None) -> Prompt | None:
        """Give the mask that was drawn on this frame, if there is one."""

    def missing(self) -> str:
        """Say what is wrong if no frame had one, and what to do."""


class TruthPrompts:
    """The true mask of each object on the frame where it first appears, as `vos eval` does."""

    def __init__(self) -> None:
        self._known: set[int] = set()

    def at(self, frame: BagFrame, truth: LabelMap | None) -> Prompt | None:
        """See Prompts."""
        return None if truth is None else prompt_for_new(truth, self._known)

    def missing(self) -> str:
        """See Prompts."""
        return (
            'no true mask holds any object, so there is nothing to follow; with --init first the '
            'ground truth must hold one, or start from --init topic or --init FILE.png'
        )


class TopicPrompts:
    """
    Init masks in the bag; each belongs to the image with its stamp.

    They are few, so all of them are held. One that was recorded twice, as a latched topic's is,
    counts once.

    :param bag: to read from.
    :param topic: of the masks.
    :raises VosError: there is no such topic.
    """

    def __init__(self, bag: BagReader, topic: str) -> None:
        bag.require(topic, 'init masks', '--init-topic')
        self._topic = topic
        self._messages: dict[int, dict[bytes, Message]] = defaultdict(dict)
        for message in bag.messages([topic]):
            self._messages[message.stamp_ns][message.data] = message

    def at(self, frame: BagFrame, truth: LabelMap | None) -> Prompt | None:
        """See Prompts; several masks for one frame are painted over each other."""
        combined: LabelMap | None = None
        for message in self._of(frame):
            labels = read_prompt(message.to_labels(), f'a mask of {self._topic}')
            if combined is None or combined.shape != labels.shape:
                combined = labels
            else:
                combined = combined.astype(labels.dtype)
                combined[labels > 0] = labels[labels > 0]
        return None if combined is None else Prompt(combined)

    def _of(self, frame: BagFrame) -> list[Message]:
        """Return the masks for a frame, as recorded: stamps may be rounded, 0 is for the first."""
        return [
            message
            for stamp_ns, messages in self._messages.items()
            if abs(stamp_ns - frame.stamp_ns) <= ROUNDING_NS or not (stamp_ns or frame.index)
            for message in messages.values()
        ]

    def missing(self) -> str:
        """See Prompts."""
        return (
            f'no init mask of {self._topic} has the stamp of an image, so there is nothing to '
            'follow; start from --init first or --init FILE.png'
        )


class FilePrompt:
    """
    A PNG for the first frame.

    :param path: of it.
    :raises VosError: it cannot be read, or holds no object.
    """

    def __init__(self, path: Path) -> None:
        self._prompt = Prompt(read_prompt_png(path))

    def at(self, frame: BagFrame, truth: LabelMap | None) -> Prompt | None:
        """See Prompts."""
        return None if frame.index else self._prompt

    def missing(self) -> str:
        """See Prompts."""
        return 'the bag has no image for the mask'


def open_prompts(bag: BagReader, init: str, topic: str) -> Prompts:
    """
    Find the masks to start from.

    :param bag: that is replayed.
    :param init: 'first', 'topic' or the path of a PNG.
    :param topic: of the init masks.
    :raises VosError: there is none.
    """
    if init == 'first':
        return TruthPrompts()
    if init == 'topic':
        return TopicPrompts(bag, topic)
    return FilePrompt(Path(init))
