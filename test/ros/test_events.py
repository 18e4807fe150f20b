# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Lost, found, in doubt: each said once."""

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs rclpy')

from diagnostic_msgs.msg import DiagnosticStatus
from std_msgs.msg import Header

from vos_ros.datatypes import ObjectState, Segmentation, StepTiming
from vos_ros.ros.events import Events

TRACKED, OCCLUDED, LOST = ObjectState.TRACKED, ObjectState.OCCLUDED, ObjectState.LOST


class Story:
    """Results that a test makes up, one each second, and what was said of them."""

    def __init__(self) -> None:
        self.events = Events()
        self.seconds = 0

    def tell(self, states: dict[int, ObjectState], likeness: dict[int, float] | None = None):
        self.seconds += 1
        ids = tuple(states)
        result = Segmentation(
            np.zeros((4, 4), np.uint8), ids, dict.fromkeys(ids, 0.9), self.seconds * 10**9, 'c',
            StepTiming(), np.ones((1, 1, 1), np.float32), states=states, likeness=likeness or {},
        )  # fmt: skip
        msg = self.events.note(result, {1: 'cup'}, Header(frame_id='c'))
        return [] if msg is None else msg.status


def said(statuses) -> list[tuple[str, str]]:
    return [(each.name, each.message) for each in statuses]


def values(status) -> dict[str, str]:
    return {each.key: each.value for each in status.values}


def test_an_object_is_lost_once_and_found_once_with_the_time_away() -> None:
    story = Story()
    assert not story.tell({1: TRACKED})
    assert not story.tell({1: OCCLUDED})
    (lost,) = story.tell({1: LOST})
    assert said([lost]) == [('1', 'lost')]
    assert lost.level == DiagnosticStatus.ERROR
    assert values(lost) == {
        'name': 'cup', 'away_s': '2.000', 'confidence': '0.000', 'score': '0.900'
    }  # fmt: skip
    assert not story.tell({1: LOST})
    (found,) = story.tell({1: TRACKED}, {1: 0.8})
    assert said([found]) == [('1', 'found')]
    assert (values(found)['away_s'], values(found)['confidence']) == ('4.000', '0.800')
    assert not story.tell({1: TRACKED})


def test_without_likeness_the_confidence_of_a_find_is_its_score() -> None:
    story = Story()
    story.tell({1: LOST})
    (found,) = story.tell({1: TRACKED})
    assert values(found)['confidence'] == '0.900'


def test_a_short_occlusion_is_no_event() -> None:
    story = Story()
    assert not any(story.tell({1: state}) for state in (TRACKED, OCCLUDED, TRACKED))


def test_a_refusal_is_a_doubt_once_until_the_object_is_back() -> None:
    story = Story()
    story.tell({1: LOST, 2: TRACKED})
    assert said(story.tell({1: LOST, 2: TRACKED}, {1: 0.1})) == [('1', 'in doubt')]
    assert not story.tell({1: LOST, 2: TRACKED}, {1: 0.1})
    assert said(story.tell({1: TRACKED, 2: TRACKED}, {1: 0.7})) == [('1', 'found')]
    story.tell({1: LOST, 2: TRACKED})
    assert said(story.tell({1: LOST, 2: TRACKED}, {1: 0.2})) == [('1', 'in doubt')]


def test_what_is_removed_is_forgotten() -> None:
    story = Story()
    story.tell({1: LOST})
    story.tell({})
    assert not story.tell({1: TRACKED})  # prompted anew: nothing was found


@pytest.mark.parametrize('forgotten', [None, [1], [2]])
def test_what_comes_under_the_id_of_a_removed_object_was_not_found(
    forgotten: list[int] | None,
) -> None:
    events = Events()

    def note(state: ObjectState, seconds: int) -> list[str]:
        result = Segmentation(
            np.zeros((4, 4), np.uint8), (1,), {1: 0.9}, seconds * 10**9, 'c', StepTiming(),
            np.zeros((2, 1, 1), np.float32), states={1: state},
        )  # fmt: skip
        said = events.note(result, {}, Header(), arrived=float(seconds))
        return [] if said is None else [status.message for status in said.status]

    note(TRACKED, 1)
    assert note(LOST, 2) == ['lost']
    events.forget(forgotten, now=3.5)
    assert note(LOST, 3) == []  # the network was at an image that came before
    assert note(TRACKED, 4) == (['found'] if forgotten == [2] else [])
    assert note(LOST, 5) == ['lost']
    assert note(TRACKED, 6) == ['found']
