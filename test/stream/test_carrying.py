# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Every image is answered at once, whatever the network does, and nothing ends the thread."""

from collections.abc import Iterator
import queue
import threading

import numpy as np
import pytest

from vos_ros.datatypes import Frame, LabelMap
from vos_ros.errors import VosError
from vos_ros.stream.carrying import Carrying

_PERIOD_NS = 33_000_000
_PATIENCE_S = 60.0
_IMAGE = np.random.default_rng(0).integers(0, 255, (64, 96, 3), np.uint8)
_LABELS: LabelMap = np.zeros((64, 96), np.uint8)
_LABELS[20:40, 30:60] = 3


class Desk:
    """Images in, labels out."""

    def __init__(self, max_age_ms: float = 1e4) -> None:
        self.answers: queue.Queue[tuple[LabelMap, int]] = queue.Queue()
        self.errors: queue.Queue[Exception] = queue.Queue()
        self.gate = threading.Event()
        self.gate.set()
        self.carrying: Carrying[int] = Carrying(
            self._to_frame,
            lambda label_map, frame: self.answers.put((label_map, frame.stamp_ns)),
            self.errors.put,
            max_age_ms,
        )
        self.carrying.start()

    def _to_frame(self, number: int) -> Frame:
        self.gate.wait(_PATIENCE_S)
        if number < 0:
            raise VosError('no image')
        return Frame(_IMAGE, 'rgb8', number * _PERIOD_NS, 'camera')

    def begin(self) -> None:
        """Show the first image and its labels."""
        self.carrying.put_image(1)
        self.carrying.put_image(-1)
        assert str(self.errors.get(timeout=_PATIENCE_S)) == 'no image'  # the first was looked at
        self.carrying.put_labels(_LABELS, _PERIOD_NS)

    def answer(self) -> tuple[LabelMap, int]:
        label_map, stamp_ns = self.answers.get(timeout=_PATIENCE_S)
        return label_map, stamp_ns // _PERIOD_NS


@pytest.fixture
def desk() -> Iterator[Desk]:
    made = Desk()
    yield made
    made.gate.set()
    assert made.carrying.stop(_PATIENCE_S)


def test_each_image_is_answered_with_the_newest_labels(desk: Desk) -> None:
    desk.begin()
    for number in (2, 3, 4):
        desk.carrying.put_image(number)
        label_map, answered = desk.answer()
        assert answered == number
        np.testing.assert_array_equal(label_map, _LABELS)  # nothing has moved
    assert desk.answers.empty()


def test_labels_that_are_there_before_their_image_was_looked_at_are_not_lost(desk: Desk) -> None:
    """Nor do they count for the image before it: a network may be faster than this thread."""
    desk.gate.clear()
    desk.carrying.put_image(1)
    desk.carrying.put_image(2)
    desk.carrying.put_labels(_LABELS, 2 * _PERIOD_NS)
    desk.gate.set()
    label_map, answered = desk.answer()
    assert answered == 2
    assert label_map is _LABELS
    assert desk.answers.empty()


def test_images_that_come_too_fast_are_left_out_the_oldest_first(desk: Desk) -> None:
    desk.begin()
    desk.gate.clear()
    for number in range(2, 10):
        desk.carrying.put_image(number)
    desk.gate.set()
    answered = [desk.answer()[1]]
    while answered[-1] != 9:
        answered.append(desk.answer()[1])
    assert answered[-3:] == [7, 8, 9]


def test_a_thread_that_was_never_started_stops() -> None:
    carrying: Carrying[int] = Carrying(
        lambda number: Frame(_IMAGE), lambda label_map, frame: None, print, 1.0
    )
    assert carrying.stop(0.0)


@pytest.mark.parametrize(
    ('object_ids', 'left'), [(None, set()), ({3}, {4}), ({4}, {3}), ({9}, {3, 4})]
)
def test_what_is_forgotten_is_not_carried_even_if_its_labels_come_later(
    desk: Desk, object_ids: set[int] | None, left: set[int]
) -> None:
    label_map = _LABELS.copy()
    label_map[50:60, 5:25] = 4
    desk.begin()
    desk.carrying.put_labels(label_map, _PERIOD_NS, arrived=10.0)
    desk.carrying.put_image(2)
    assert set(np.unique(desk.answer()[0])) == {0, 3, 4}
    desk.carrying.forget(object_ids, now=12.0)
    desk.carrying.put_image(3)
    answered, number = desk.answer()
    assert (set(np.unique(answered)) - {0}, number) == (left, 3)
    # the network was at an image that came before
    desk.carrying.put_labels(label_map, 3 * _PERIOD_NS, arrived=11.0)
    desk.carrying.put_image(4)
    assert set(np.unique(desk.answer()[0])) - {0} == left
    # given again since
    desk.carrying.put_labels(label_map, 4 * _PERIOD_NS, arrived=13.0)
    desk.carrying.put_image(5)
    assert set(np.unique(desk.answer()[0])) == {0, 3, 4}
    assert set(np.unique(label_map)) == {0, 3, 4}
