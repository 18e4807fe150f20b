# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a replay is scored against, and the masks that it starts from."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
import itertools
import logging
from pathlib import Path
import statistics
from typing import Protocol

from vos_ros.bag.messages import Message
from vos_ros.bag.reader import BagReader
from vos_ros.datatypes import Frame, LabelMap, Prompt
from vos_ros.errors import VosError
from vos_ros.evaluation.evaluate import prompt_for_new
from vos_ros.formats.grey import GreyRange
from vos_ros.formats.label_png import read_label_png, read_prompt_png
from vos_ros.formats.masks import (
    EmptyMaskError,
    read_prompt,
    Reading,
    reading_of,
    to_ids,
    warn_soft,
)
from vos_ros.sequences.folder import list_images
from vos_ros.stream.timeline import ROUNDING_NS, TOLERANCE_NS

_NS = 1_000_000_000
_LOGGER = logging.getLogger(__name__)
# A number this large is a stamp in ns, not an index: 10^15 ns are 11 days after 1970.
_LEAST_STAMP = 10**15
# The camera's period is the median of so many.
_STEPS = 31
_END: tuple[int, Message | None] = (0, None)


@dataclass(eq=False)
class BagFrame:
    """
    One camera image of a bag, decoded when it is first looked at.

    :param index: from 0.
    :param message: as it was recorded.
    :param origin_ns: stamp of the first image.
    :param grey: the camera's stretch of 16 bits to 8.
    :param near_ns: stamps that mean this image: half a period either side, but none that is nearer
        to another image; first included, last excluded.
    :param number: of its message on the topic, from 0: as `index`, but those left out count.
    """

    index: int
    message: Message
    origin_ns: int
    grey: GreyRange | None = None
    near_ns: tuple[int, int] = (0, 0)
    number: int = 0

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

    As the node does, those are left out that are not newer than one before, by up to 0.1 s, and
    those that are damaged; how many is logged.

    :param bag: to read from.
    :param topic: of the images.
    :param image_range: counts of 16 bit images that become black and white; None = by the first.
    :raises VosError: the bag is damaged, the stamps go back, or no image can be read.
    """
    grey = GreyRange(image_range, topic)
    messages = _usable(bag, topic)
    steps: deque[int] = deque(maxlen=_STEPS)
    before_ns: int | None = None
    number, message = next(messages, _END)
    origin_ns = 0 if message is None else message.stamp_ns
    for index in itertools.count():
        if message is None:
            return
        stamp_ns = message.stamp_ns
        next_number, later = next(messages, _END)
        if later is not None:
            steps.append(later.stamp_ns - stamp_ns)
        half_ns = statistics.median_low(steps) // 2 if steps else ROUNDING_NS
        low_ns, high_ns = stamp_ns - half_ns, stamp_ns + half_ns
        if before_ns is not None:
            low_ns = max(low_ns, (before_ns + stamp_ns) // 2)
        if later is not None:
            high_ns = min(high_ns, (stamp_ns + later.stamp_ns) // 2)
        yield BagFrame(index, message, origin_ns, grey, (low_ns, high_ns), number)
        before_ns, number, message = stamp_ns, next_number, later


def _usable(bag: BagReader, topic: str) -> Iterator[tuple[int, Message | None]]:
    """Leave out, from numbered messages, what is no image of its own time; say how much it was."""
    used = left_out = newest_ns = 0
    damaged = Damaged(topic, 'images')
    for number, message in enumerate(bag.messages([topic])):
        if not damaged.passes(message, is_image=True):
            continue
        stamp_ns = message.stamp_ns
        if used and newest_ns - TOLERANCE_NS <= stamp_ns <= newest_ns:
            left_out += 1
            continue
        if used and stamp_ns < newest_ns:
            raise VosError(
                f'{topic}: the stamp of image {number}, {stamp_ns / _NS:.6f} s, is not later than '
                f'the one before, {newest_ns / _NS:.6f} s; a bag must hold one drive, without '
                'loops: cut it'
            )
        newest_ns = stamp_ns
        used += 1
        yield number, message
    damaged.conclude(used)
    if left_out and left_out >= used:
        raise VosError(
            f'{topic}: the stamps of {left_out} of {left_out + used} images are not later than '
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


class Damaged:
    """
    Counts the messages of a topic that cannot be read: one of them is no reason to stop.

    :param topic: its name.
    :param what: its messages are, in words.
    """

    def __init__(self, topic: str, what: str) -> None:
        self._topic, self._what = topic, what
        self._count = 0
        self._first = ''

    def passes(self, message: Message, *, is_image: bool = False) -> bool:
        """
        Tell whether a message can be read, as far as shows without decoding it.

        :param is_image: it is one of the camera's.
        """
        try:
            message.check(is_image=is_image)
        except VosError as error:
            self.note(error)
            return False
        return True

    def note(self, error: VosError) -> None:
        """Take note of one that cannot be read."""
        self._count += 1
        self._first = self._first or str(error)

    def conclude(self, used: int) -> None:
        """
        Log how many they were.

        :param used: messages that could be read.
        :raises VosError: there was no other.
        """
        if not self._count:
            return
        if not used:
            raise VosError(
                f'not one of {self._count} {self._what} of {self._topic} can be read; the first '
                f'one: {self._first}'
            )
        _LOGGER.warning(
            '%s: %d of %d %s are damaged and were left out; the first one: %s',
            self._topic,
            self._count,
            self._count + used,
            self._what,
            self._first,
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
    Label images in the bag itself; each belongs to the image of its stamp, or nearest to it.

    Both streams are read side by side, so that none has to be held. Those that are damaged, or
    within half a period of no image, are left out; how many is logged.

    :param bag: to read from.
    :param topic: of the label images.
    :raises VosError: there is no such topic.
    """

    def __init__(self, bag: BagReader, topic: str) -> None:
        bag.require(topic, 'ground truth', '--gt')
        self._topic = topic
        self._messages = bag.messages([topic])
        self._damaged = Damaged(topic, 'true masks')
        self._next: Message | None = self._after()
        self._to_ids = _Ids(f'the ground truth {topic}')
        self._found = self._left_out = 0

    def at(self, frame: BagFrame) -> LabelMap | None:
        """See Truth."""
        low_ns, high_ns = frame.near_ns
        nearest: Message | None = None
        while self._next is not None and self._next.stamp_ns < high_ns:
            candidate, self._next = self._next, self._after()
            if candidate.stamp_ns >= low_ns and nearest is None:
                nearest = candidate
                continue
            self._left_out += 1
            if nearest is not None and _off(candidate, frame) < _off(nearest, frame):
                nearest = candidate
        if nearest is None:
            return None
        try:
            labels = self._to_ids(nearest.to_labels())
        except VosError as error:
            self._damaged.note(error)
            return None
        self._found += 1
        return labels

    def _after(self) -> Message | None:
        return next((m for m in self._messages if self._damaged.passes(m)), None)

    def close(self) -> None:
        """See Truth."""
        self._damaged.conclude(self._found)
        self._left_out += self._next is not None
        self._left_out += sum(1 for _ in self._messages)
        if self._found and self._left_out:
            _LOGGER.warning(
                '%s: %d true masks were left out, as no image has their stamp, or another one is '
                'nearer to it',
                self._topic,
                self._left_out,
            )
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
        number = _nearest(self._files, frame) if by_stamp else frame.number
        file = self._files.get(number)
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


def _off(message: Message, frame: BagFrame) -> int:
    return abs(message.stamp_ns - frame.stamp_ns)


def _nearest(stamps: Iterable[int], frame: BagFrame) -> int:
    """Return the stamp that means a frame; -1 = none."""
    low_ns, high_ns = frame.near_ns
    near = [stamp for stamp in stamps if low_ns <= stamp < high_ns]
    return min(near, key=lambda stamp: abs(stamp - frame.stamp_ns), default=-1)


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

    def close(self) -> None:
        """Log what was left out; called after the last frame."""

    def missing(self) -> str:
        """Say what is wrong if no frame had one, and what to do."""


class TruthPrompts:
    """The true mask of each object on the frame where it first appears, as `vos eval` does."""

    def __init__(self) -> None:
        self._known: set[int] = set()

    def at(self, frame: BagFrame, truth: LabelMap | None) -> Prompt | None:
        """See Prompts."""
        return None if truth is None else prompt_for_new(truth, self._known)

    def close(self) -> None:
        """See Prompts."""

    def missing(self) -> str:
        """See Prompts."""
        return (
            'no true mask holds any object, so there is nothing to follow; with --init first the '
            'ground truth must hold one, or start from --init topic or --init FILE.png'
        )


class TopicPrompts:
    """
    Init masks in the bag; each belongs to the image of its stamp, or nearest to it.

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
        self._damaged = Damaged(topic, 'init masks')
        self._used: set[int] = set()
        for message in bag.messages([topic]):
            if self._damaged.passes(message):
                self._messages[message.stamp_ns][message.data] = message

    def at(self, frame: BagFrame, truth: LabelMap | None) -> Prompt | None:
        """See Prompts; several masks for one frame are painted over each other."""
        combined: LabelMap | None = None
        for message in self._of(frame):
            try:
                labels = read_prompt(message.to_labels(), f'a mask of {self._topic}')
            except EmptyMaskError:
                continue
            except VosError as error:
                self._damaged.note(error)
                continue
            self._used.add(message.stamp_ns)
            if combined is None or combined.shape != labels.shape:
                combined = labels
            else:
                combined = combined.astype(labels.dtype)
                combined[labels > 0] = labels[labels > 0]
        return None if combined is None else Prompt(combined)

    def close(self) -> None:
        """See Prompts."""
        self._damaged.conclude(len(self._used))
        left_out = self._messages.keys() - self._used
        if self._used and left_out:
            _LOGGER.warning(
                '%s: %d init masks were left out: they are empty, damaged, or no image has their '
                'stamp within half a period',
                self._topic,
                len(left_out),
            )

    def _of(self, frame: BagFrame) -> list[Message]:
        """Return the masks for a frame, as recorded; those with stamp 0 are for the first."""
        return [
            message
            for stamp_ns, messages in self._messages.items()
            if frame.near_ns[0] <= stamp_ns < frame.near_ns[1] or not (stamp_ns or frame.index)
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

    def close(self) -> None:
        """See Prompts."""

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
