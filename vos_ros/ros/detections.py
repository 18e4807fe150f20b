# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
vision_msgs to boxes, and objects to vision_msgs; the package is optional.

Functions that read a message look only at its fields; those that build one get the package's
`msg` module from their caller.
"""

from collections import deque
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
import importlib
from types import MappingProxyType
from typing import Any

import cv2
import numpy as np
from std_msgs.msg import Header

from vos_ros.config import InitConfig
from vos_ros.datatypes import LabelMap, ObjectState, Segmentation
from vos_ros.errors import VosError
from vos_ros.formats.boxes import Box, Points
from vos_ros.ros.conversions import to_stamp_ns
from vos_ros.ros.guard import tidy

#: What an object is called until somebody names it.
_DEFAULT_NAME = 'object_{}'
_MAX_ID = 65535
#: Characters of a name that a detector gives.
_LONGEST_NAME = 64
#: Boxes that overlap so much (intersection over union) are of one object whatever it is called: a
#: detector may waver between two names. Below, a cyclist is not the bicycle.
_SAME_BY_ANY_NAME = 0.7
#: Results whose boxes are kept, and for how long the last place of an object counts.
_SIGHTINGS, _LAST_PLACE_NS = 64, 2_000_000_000
_NOWHERE: Mapping[int, Box] = MappingProxyType({})
_NAMELESS: Mapping[int, str] = MappingProxyType({})


def find_vision_msgs() -> Any | None:
    """Return the module vision_msgs.msg, None where it is not installed."""
    try:
        return importlib.import_module('vision_msgs.msg')
    except ImportError:
        return None


@dataclass(frozen=True)
class BoxPrompt:
    """
    Boxes or points that say where objects are on one frame.

    :param boxes: object id -> box, or points.
    :param names: object id -> what the detector calls it.
    :param stamp_ns: of the frame on which they were found; 0 = the newest one.
    :param unsure_ids: those that the detector did not give, and no known object has.
    """

    boxes: Mapping[int, Box | Points]
    names: Mapping[int, str]
    stamp_ns: int = 0
    unsure_ids: frozenset[int] = frozenset()

    @property
    def what(self) -> str:
        """What they are, for messages."""
        are_points = any(isinstance(hint, Points) for hint in self.boxes.values())
        return 'init points' if are_points else 'init boxes'


def to_boxes(
    msg: Any,
    known: tuple[int, ...] = (),
    places: Mapping[int, Box] = _NOWHERE,
    names_of: Mapping[int, str] = _NAMELESS,
    least: float = InitConfig().same_overlap,
) -> tuple[BoxPrompt, tuple[str, ...]]:
    """
    Read a Detection2DArray.

    A detection's `id` is the object's id where it is a number from 1 to 65535. Else it is the
    known object that its box overlaps most: detectors without a tracker leave `id` empty, and see
    the same object in every message. To one of another name it must be all but equal. One that
    overlaps none gets the smallest id that is free. Its best hypothesis names it.

    :param msg: vision_msgs/Detection2DArray.
    :param known: ids in use.
    :param places: where objects were when the detector looked.
    :param names_of: objects that have a name.
    :param least: overlap from which a detection is a known object, see `init.same_overlap`.
    :return: the boxes, and one line for each detection that is refused.
    :raises VosError: no detection can be used.
    """
    boxes: dict[int, Box] = {}
    names: dict[int, str] = {}
    problems = []
    found: dict[int, tuple[Box, str]] = {}  # by number of the detection
    for number, detection in enumerate(msg.detections):
        box = detection.bbox
        try:
            read = Box(
                box.center.position.x,
                box.center.position.y,
                box.size_x,
                box.size_y,
                box.center.theta,
            )
        except VosError as error:
            problems.append(f'detection {number}: {error}')
            continue
        best = max(detection.results, key=lambda r: r.hypothesis.score, default=None)
        name = '' if best is None else tidy(best.hypothesis.class_id, _LONGEST_NAME)
        found[number] = read, name
    given = {number: _given_id(detection) for number, detection in enumerate(msg.detections)}
    matched = _matched(
        {number: each for number, each in found.items() if not given[number]},
        {i: box for i, box in places.items() if i not in given.values()},
        names_of,
        least,
    )
    for number, (read, name) in found.items():
        taken = {*known, *given.values(), *matched.values(), *boxes}
        object_id = given[number] or matched.get(number) or _free_id(taken)
        boxes[object_id] = read
        if name:
            names[object_id] = name
    if not boxes:
        raise VosError('; '.join(problems) or 'init boxes are empty: there is no detection')
    unsure = frozenset(boxes).difference(known, given.values())
    return BoxPrompt(boxes, names, to_stamp_ns(msg.header.stamp), unsure), tuple(problems)


def _matched(
    found: Mapping[int, tuple[Box, str]],
    places: Mapping[int, Box],
    names_of: Mapping[int, str],
    least: float,
) -> dict[int, int]:
    """
    Say which detection is which known object, the best overlaps first, each of them once.

    :param found: number of the detection -> its box and its name, '' = none.
    :param places: object id -> where it is.
    :param names_of: object id -> name, of those that have one.
    :param least: overlap that is enough.
    :return: number of the detection -> object id.
    """
    overlaps = [
        (overlap, number, object_id)
        for number, (box, name) in found.items()
        for object_id, place in places.items()
        if (overlap := _overlap(box, place))
        >= (
            max(least, _SAME_BY_ANY_NAME)
            if name != names_of.get(object_id, name) and name
            else least
        )
    ]
    matched: dict[int, int] = {}
    for _, number, object_id in sorted(overlaps, key=lambda each: -each[0]):
        if number not in matched and object_id not in matched.values():
            matched[number] = object_id
    return matched


def _overlap(one: Box, other: Box) -> float:
    """Return intersection over union of what two boxes span along the image's axes."""
    spans = [(box.corners().min(axis=0), box.corners().max(axis=0)) for box in (one, other)]
    (low, high), (low_other, high_other) = spans
    shared = np.prod(np.clip(np.minimum(high, high_other) - np.maximum(low, low_other), 0, None))
    areas = np.prod(high - low) + np.prod(high_other - low_other)
    return float(shared / (areas - shared))


def boxes_of(label_map: LabelMap, object_ids: Iterable[int]) -> dict[int, Box]:
    """
    Return the box around each object that is seen and large enough for one.

    :param label_map: (H, W) ids.
    :param object_ids: of the objects.
    """
    boxes = {}
    for object_id in object_ids:
        x, y, width, height = cv2.boundingRect((label_map == object_id).astype(np.uint8))
        with suppress(VosError):  # a crumb is no place
            boxes[object_id] = Box(
                x + (width - 1) / 2, y + (height - 1) / 2, float(width), float(height)
            )
    return boxes


class Sightings:
    """
    Where each object was on the last images: as it was seen, or as a box asked for it.

    A detector looks at an image of some time ago: an object that has moved on by its own width
    would not be found where it is now. `note` may run in another thread than the rest.
    """

    def __init__(self) -> None:
        """Begin with nothing seen."""
        self._newest: Segmentation | None = None
        self._is_wanted = False  # nothing is worked out for a node that gets no boxes
        self._seen: deque[tuple[int, dict[int, Box]]] = deque(maxlen=_SIGHTINGS)
        self._requested: deque[tuple[int, dict[int, Box]]] = deque(maxlen=_SIGHTINGS)

    def note(self, result: Segmentation) -> None:
        """
        Take note of a result.

        :param result: the newest.
        """
        self._newest = result
        if self._is_wanted:
            self._seen.append((result.stamp_ns, boxes_of(result.label_map, result.object_ids)))

    def note_request(self, boxes: BoxPrompt) -> None:
        """
        Take note of boxes: until their masks are drawn, no result shows the objects.

        :param boxes: that are asked for.
        """
        newest = self._newest
        stamp_ns = boxes.stamp_ns or (newest.stamp_ns if newest is not None else 0)
        places = {i: box for i, box in boxes.boxes.items() if isinstance(box, Box)}
        self._requested.append((stamp_ns, places))

    def still_named(self, names: Mapping[int, str], known: Collection[int]) -> dict[int, str]:
        """
        Leave out names of objects that are not followed and were not asked for lately.

        A tracker may give a new id with every image, of which most are refused.

        :param names: object id -> name.
        :param known: ids of the objects.
        """
        recent = set(known).union(*(places for _, places in self._requested))
        return {object_id: name for object_id, name in names.items() if object_id in recent}

    def at(self, stamp_ns: int, known: Collection[int]) -> dict[int, Box]:
        """
        Return where objects were at a time.

        :param stamp_ns: of the image that somebody looked at; 0 = the newest.
        :param known: ids of the objects.
        :return: their boxes on the result nearest to that time; of one that was not seen there,
            its last place of the two seconds before.
        """
        newest = self._newest
        if newest is not None and not self._is_wanted:
            self._is_wanted = True
            self.note(newest)
        places = [
            (seen_ns, {i: box for i, box in boxes.items() if i in known})
            for seen_ns, boxes in list(self._seen)
        ]
        # What was seen counts for more than what was asked for.
        places = sorted([*self._requested, *places], key=lambda each: each[0])
        if not places:
            return {}
        stamp_ns = stamp_ns or places[-1][0]
        nearest = min(places, key=lambda each: abs(each[0] - stamp_ns))[0]
        found: dict[int, Box] = {}
        for seen_ns, boxes in places:
            if nearest - _LAST_PLACE_NS <= seen_ns <= nearest:
                found |= boxes
        return found

    def remove(self, object_ids: Collection[int]) -> None:
        """
        Forget objects that were removed.

        :param object_ids: of the objects.
        """
        for _, boxes in (*self._seen, *self._requested):
            for object_id in object_ids:
                boxes.pop(object_id, None)

    def clear(self) -> None:
        """Forget all: objects were forgotten, or the time has jumped."""
        self._newest = None
        self._seen.clear()
        self._requested.clear()


def fingerprint(msg: Any) -> bytes:
    """
    Give the content of a Detection2DArray in bytes, to tell a second delivery from a new one.

    :param msg: vision_msgs/Detection2DArray.
    """
    numbers = [
        (d.id, d.bbox.center.position.x, d.bbox.center.position.y, d.bbox.size_x, d.bbox.size_y)
        for d in msg.detections
    ]
    return repr(numbers).encode()


def name_of(object_id: int, names: Mapping[int, str]) -> str:
    """
    Say what an object is called.

    :param object_id: the object.
    :param names: those that are known.
    """
    return names.get(object_id, _DEFAULT_NAME.format(object_id))


def to_objects_msg(
    kinds: Any, segmentation: Segmentation, names: Mapping[int, str], header: Header
) -> Any:
    """
    Write one detection per object that is there: id, box, and its name with its score.

    One that is lost, or has no pixel on this image, is left out: a consumer may take whatever
    has the best score. ~/object_states tells of all.

    :param kinds: the module vision_msgs.msg.
    :param segmentation: what was found.
    :param names: of the objects.
    :param header: the source image's.
    """
    msg = kinds.Detection2DArray()
    msg.header = header
    for object_id in segmentation.object_ids:
        mask = (segmentation.label_map == object_id).astype(np.uint8)
        x, y, width, height = cv2.boundingRect(mask)
        if not width or segmentation.states.get(object_id) == ObjectState.LOST:
            continue
        detection = kinds.Detection2D()
        detection.header, detection.id = header, str(object_id)
        score = segmentation.scores.get(object_id, 0.0)
        detection.results = [_result(kinds, name_of(object_id, names), score)]
        # Pixel centres lie at whole numbers, as in boxes.Box.
        detection.bbox.center.position.x = x + (width - 1) / 2
        detection.bbox.center.position.y = y + (height - 1) / 2
        detection.bbox.size_x, detection.bbox.size_y = float(width), float(height)
        msg.detections.append(detection)
    return msg


def to_label_info_msg(kinds: Any, names: Mapping[int, str], header: Header) -> Any:
    """
    Write what each id on ~/labels is called.

    :param kinds: the module vision_msgs.msg.
    :param names: of all objects there are.
    :param header: of the first image with these objects.
    """
    msg = kinds.LabelInfo()
    msg.header = header
    msg.class_map = [
        kinds.VisionClass(class_id=object_id, class_name=name)
        for object_id, name in sorted(names.items())
    ]
    return msg


def _given_id(detection: Any) -> int:
    """Return the object id that a detection carries, 0 where it has none."""
    text = detection.id.strip()
    is_id = text.isascii() and text.isdigit() and len(text) <= 5
    return int(text) if is_id and 0 < int(text) <= _MAX_ID else 0


def _free_id(taken: set[int]) -> int:
    return next(i for i in range(1, _MAX_ID + 1) if i not in taken)


def _result(kinds: Any, class_id: str, score: float) -> Any:
    result = kinds.ObjectHypothesisWithPose()
    result.hypothesis.class_id, result.hypothesis.score = class_id, float(score)
    return result
