# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Boxes find their image: early, late, never, and not after they were called off."""

from collections.abc import Callable, Iterator
import queue
import threading
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs rclpy')

from robot import image_msg, PATIENCE_S

from vos_ros.config import InitConfig
from vos_ros.datatypes import Prompt
from vos_ros.engine.prompter import Prompter
from vos_ros.formats.boxes import Box, Points
from vos_ros.ros.box_drawer import BoxDrawer
from vos_ros.ros.conversions import Arrival, to_stamp_ns
from vos_ros.ros.detections import BoxPrompt
from vos_ros.ros.session import Session

PICTURE = np.full((60, 80, 3), 40, np.uint8)
PICTURE[20:40, 30:50] = (250, 30, 30)


class Drawn:
    """A drawer, and in one queue what comes out of it: prompts and errors."""

    def __init__(self, **init: object) -> None:
        self.out: queue.Queue = queue.Queue()
        self.drawer = BoxDrawer(InitConfig(**init), Prompter(None), self.out.put, self.out.put)

    def image(self, seconds: int) -> None:
        msg = image_msg(PICTURE, 'rgb8', (seconds, 5))
        self.drawer.put_image(Arrival(msg, 0.0, to_stamp_ns(msg.header.stamp)))

    def boxes(self, stamp_ns: int, box: Box = Box(39.5, 29.5, 30, 30)) -> None:
        self.drawer.put_boxes(BoxPrompt({6: box}, {}, stamp_ns))

    def next(self) -> Prompt | Exception:
        return self.out.get(timeout=PATIENCE_S)


@pytest.fixture
def make() -> Iterator[Callable[..., Drawn]]:
    made: list[Drawn] = []

    def start(**init: object) -> Drawn:
        made.append(Drawn(**init))
        return made[-1]

    yield start
    for drawn in made:
        assert drawn.drawer.stop(PATIENCE_S)


def is_the_square(prompt: object) -> bool:
    truth = np.zeros((60, 80), np.uint8)
    truth[20:40, 30:50] = 6
    return isinstance(prompt, Prompt) and bool(np.mean(prompt.label_map == truth) > 0.99)


def test_boxes_that_come_before_their_image_wait_for_it(make) -> None:
    drawn = make(wait_s=60.0)
    drawn.image(1)
    drawn.boxes(2_000_000_005)
    drawn.image(2)
    prompt = drawn.next()
    assert is_the_square(prompt)
    assert prompt.stamp_ns == 2_000_000_005
    assert prompt.made_ids == {6}


def test_boxes_with_stamp_0_take_the_newest_image_or_wait_for_the_first(make) -> None:
    drawn = make()
    drawn.boxes(0)
    drawn.image(3)
    prompt = drawn.next()
    assert is_the_square(prompt)
    assert prompt.stamp_ns == 3_000_000_005


@pytest.mark.parametrize('policy', ['apply_to_latest', 'reject'])
def test_boxes_for_an_image_that_is_gone_follow_the_policy(make, policy: str) -> None:
    drawn = make(late_policy=policy, buffer_frames=1)
    drawn.image(1)
    drawn.image(2)
    drawn.boxes(1_000_000_005)
    result = drawn.next()
    if policy == 'reject':
        assert 'not (or no longer) buffered' in str(result)
    else:
        assert result.stamp_ns == 2_000_000_005


def test_boxes_whose_image_never_comes_are_reported(make) -> None:
    drawn = make(wait_s=0.0)
    drawn.boxes(2_000_000_000)
    assert drawn.out.empty()  # without an image, no wait for one begins
    drawn.image(1)
    assert 'no image with the stamp of the init boxes' in str(drawn.next())
    drawn.drawer.put_boxes(BoxPrompt({1: Points(((30.0, 30.0),))}, {}, 2_000_000_000))
    assert 'no image with the stamp of the init points' in str(drawn.next())


def test_removed_objects_are_not_drawn(make) -> None:
    drawn = make(wait_s=60.0)
    drawn.drawer.put_boxes(
        BoxPrompt({6: Box(39.5, 29.5, 30, 30), 7: Box(10, 10, 12, 12)}, {}, 2_000_000_005)
    )
    drawn.boxes(3_000_000_005)
    drawn.drawer.remove([7])  # the first is in progress, or still waits: both must do
    drawn.image(2)
    assert 7 not in drawn.next().label_map
    drawn.drawer.remove([6])
    drawn.image(3)
    drawn.boxes(3_000_000_005, Box(500, 500, 30, 30))
    assert 'lies outside of the image' in str(drawn.next())


@pytest.mark.parametrize('call_off', [lambda d: d.remove([6]), lambda d: d.clear()])
def test_what_is_handed_on_is_there_for_whoever_calls_it_off(
    call_off: Callable[[BoxDrawer], None],
) -> None:
    handing, may_end, steps = threading.Event(), threading.Event(), list[str]()

    def hand_on(_: Prompt) -> None:
        handing.set()
        may_end.wait(PATIENCE_S)
        steps.append('handed on')

    def run() -> None:
        call_off(drawer)
        steps.append('called off')

    drawer = BoxDrawer(InitConfig(), Prompter(None), hand_on, lambda error: None)
    msg = image_msg(PICTURE, 'rgb8', (1, 5))
    drawer.put_image(Arrival(msg, 0.0, to_stamp_ns(msg.header.stamp)))
    drawer.put_boxes(BoxPrompt({6: Box(39.5, 29.5, 30, 30)}, {}, 0))
    assert handing.wait(PATIENCE_S)
    caller = threading.Thread(target=run)
    caller.start()
    caller.join(0.1)
    may_end.set()
    caller.join(PATIENCE_S)
    assert steps == ['handed on', 'called off']
    assert drawer.stop(PATIENCE_S)


def test_a_reset_calls_boxes_off_before_it_is_queued() -> None:
    session, steps = object.__new__(Session), list[str]()
    session._boxes = SimpleNamespace(clear=lambda begin_ns: steps.append('boxes'))
    session._worker = SimpleNamespace(submit_reset=lambda: steps.append('worker'))
    session._carrying = None
    session.reset()
    assert steps == ['boxes', 'worker']


def test_too_many_boxes_at_once_are_not_dropped_silently(make) -> None:
    drawn = make()
    for _ in range(10):
        drawn.boxes(0)
    assert 'the oldest are dropped' in str(drawn.next())


def test_boxes_that_were_called_off_are_not_drawn(make) -> None:
    drawn = make(wait_s=60.0)
    drawn.boxes(2_000_000_005)
    drawn.drawer.clear()
    drawn.image(2)
    drawn.boxes(2_000_000_005, Box(500, 500, 30, 30))
    # The first thing to come out is of the second request.
    assert 'lies outside of the image' in str(drawn.next())
