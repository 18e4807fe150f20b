# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
vision_msgs to boxes and back.

With stand-ins of the same fields where the package is not installed: it has no wheel.
"""

from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs rclpy')

from diagnostic_msgs.msg import DiagnosticStatus
from std_msgs.msg import Header

from vos_ros.datatypes import ObjectState, Segmentation, StepTiming
from vos_ros.errors import VosError
from vos_ros.formats.boxes import Box
from vos_ros.ros import detections, states


def stand_ins() -> SimpleNamespace:
    """Make classes with the fields of vision_msgs 4."""

    def result() -> SimpleNamespace:
        return SimpleNamespace(hypothesis=SimpleNamespace(class_id='', score=0.0))

    def detection() -> SimpleNamespace:
        position = SimpleNamespace(x=0.0, y=0.0)
        box = SimpleNamespace(
            center=SimpleNamespace(position=position, theta=0.0), size_x=0.0, size_y=0.0
        )
        return SimpleNamespace(header=Header(), results=[], bbox=box, id='')

    return SimpleNamespace(
        ObjectHypothesisWithPose=result,
        Detection2D=detection,
        Detection2DArray=lambda: SimpleNamespace(header=Header(), detections=[]),
        LabelInfo=lambda: SimpleNamespace(header=Header(), class_map=[], threshold=0.0),
        VisionClass=lambda **fields: SimpleNamespace(**fields),
    )


KINDS = [pytest.param(stand_ins(), id='stand-ins')]
installed = detections.find_vision_msgs()
if installed is not None:
    KINDS.append(pytest.param(installed, id='vision_msgs'))


def array_of(kinds, *given: tuple[str, float, dict[str, float]]):
    """Make detections of (id, side of the box, class -> score)."""
    msg = kinds.Detection2DArray()
    msg.header.stamp.sec = 7
    for object_id, side, classes in given:
        detection = kinds.Detection2D()
        detection.id = object_id
        detection.bbox.center.position.x, detection.bbox.center.position.y = 40.0, 30.0
        detection.bbox.center.theta = 0.5
        detection.bbox.size_x, detection.bbox.size_y = side, side
        for name, score in classes.items():
            result = kinds.ObjectHypothesisWithPose()
            result.hypothesis.class_id, result.hypothesis.score = name, score
            detection.results.append(result)
        msg.detections.append(detection)
    return msg


@pytest.mark.parametrize('kinds', KINDS)
def test_ids_are_kept_and_the_others_get_free_ones(kinds) -> None:
    msg = array_of(
        kinds,
        ('', 10.0, {}),
        ('3', 11.0, {'cup': 0.3, 'mug': 0.6}),
        ('track_9', 12.0, {'dog': 0.9}),
        ('70000', 13.0, {}),
    )
    prompt, problems = detections.to_boxes(msg, known=(1,))
    assert problems == ()
    assert {i: box.width for i, box in prompt.boxes.items()} == {2: 10, 3: 11, 4: 12, 5: 13}
    assert prompt.names == {3: 'mug', 4: 'dog'}
    assert prompt.stamp_ns == 7_000_000_000
    assert prompt.boxes[3].theta == 0.5


@pytest.mark.parametrize('kinds', KINDS)
def test_a_detection_without_an_id_is_the_known_object_that_it_overlaps(kinds) -> None:
    first, _ = detections.to_boxes(array_of(kinds, ('', 20.0, {'cup': 0.9})))
    assert list(first.boxes) == [1]
    for side in range(20, 26):
        msg = array_of(kinds, ('', float(side), {'cup': 0.9}))
        again, _ = detections.to_boxes(msg, (1,), first.boxes, first.names)
        assert list(again.boxes) == [1]
    renamed, _ = detections.to_boxes(
        array_of(kinds, ('', 20.0, {'mug': 0.9})), (1,), first.boxes, first.names
    )
    assert renamed.names == {1: 'mug'}  # the same box: the detector wavers
    other, _ = detections.to_boxes(
        array_of(kinds, ('', 14.0, {'dog': 0.9})), (1,), first.boxes, first.names
    )
    assert list(other.boxes) == [2]  # half of it, and of another name
    strict, _ = detections.to_boxes(
        array_of(kinds, ('', 14.0, {'cup': 0.9})), (1,), first.boxes, first.names, 0.6
    )
    assert list(strict.boxes) == [2]  # not as much as is asked for
    small, _ = detections.to_boxes(array_of(kinds, ('', 6.0, {})), (1,), first.boxes)
    assert list(small.boxes) == [2]  # hardly any overlap
    pair, _ = detections.to_boxes(
        array_of(kinds, ('', 24.0, {}), ('', 20.0, {})), (1,), first.boxes
    )
    assert {i: box.width for i, box in pair.boxes.items()} == {1: 20, 2: 24}  # the best one
    told, _ = detections.to_boxes(
        array_of(kinds, ('', 20.0, {}), ('1', 8.0, {})), (1,), first.boxes
    )
    assert {i: box.width for i, box in told.boxes.items()} == {1: 8, 2: 20}


def result(stamp_ns: int, boxes: dict[int, tuple[int, int]]) -> Segmentation:
    """Make a result with squares of 10 px: object id -> x, y of the top left corner."""
    label_map = np.zeros((60, 80), np.uint8)
    for object_id, (x, y) in boxes.items():
        label_map[y : y + 10, x : x + 10] = object_id
    prob = np.ones((1 + len(boxes), 2, 2), np.float32)
    return Segmentation(label_map, tuple(boxes), {}, stamp_ns, '', StepTiming(), prob)


def test_places_are_those_of_the_image_that_the_detector_looked_at() -> None:
    sightings = detections.Sightings()
    assert sightings.at(0, (1,)) == {}
    sightings.note(result(1, {1: (0, 0)}))
    assert sightings.at(1, (1, 2)) == {1: Box(4.5, 4.5, 10, 10)}
    for number in range(2, 6):
        sightings.note(result(number * 10**9, {1: (10 * number, 0), 7: (0, 40)}))
    assert sightings.at(3_100_000_000, (1,)) == {1: Box(34.5, 4.5, 10, 10)}
    assert sightings.at(0, (1,)) == {1: Box(54.5, 4.5, 10, 10)}
    # Hidden for a second, and for four.
    sightings.note(result(6 * 10**9, {7: (0, 40)}))
    assert sightings.at(0, (1, 7)) == {1: Box(54.5, 4.5, 10, 10), 7: Box(4.5, 44.5, 10, 10)}
    sightings.note(result(9 * 10**9, {7: (0, 40)}))
    assert sightings.at(0, (1, 7)) == {7: Box(4.5, 44.5, 10, 10)}
    sightings.clear()
    assert sightings.at(0, (7,)) == {}


def test_names_are_kept_of_what_is_followed_and_of_what_was_asked_for_lately() -> None:
    sightings, names = detections.Sightings(), dict[int, str]()
    for object_id in range(1, 1000):
        asked = detections.BoxPrompt({object_id: Box(9, 9, 9, 9)}, {object_id: 'mug'})
        sightings.note_request(asked)
        names = sightings.still_named(names, (1, 2)) | {**asked.names}
    assert {1, 2, 990, 999} <= names.keys()
    assert 3 not in names
    assert len(names) < 100


def test_an_object_is_where_it_is_seen() -> None:
    label_map = np.zeros((40, 60), np.uint16)
    label_map[10:20, 5:12] = 300
    label_map[0, 0] = 7
    boxes = detections.boxes_of(label_map, (7, 9, 300))
    assert boxes == {300: Box(8.0, 14.5, 7.0, 10.0)}


@pytest.mark.parametrize('kinds', KINDS)
def test_useless_detections_are_named_and_the_rest_goes_in(kinds) -> None:
    prompt, problems = detections.to_boxes(array_of(kinds, ('1', 0.0, {}), ('2', 10.0, {})))
    assert list(prompt.boxes) == [2]
    assert problems[0].startswith('detection 0: a box of 0x0 px is too small')
    with pytest.raises(VosError, match='there is no detection'):
        detections.to_boxes(array_of(kinds))
    with pytest.raises(VosError, match='too small'):
        detections.to_boxes(array_of(kinds, ('1', 0.0, {})))


@pytest.mark.parametrize('kinds', KINDS)
def test_another_box_is_no_second_delivery(kinds) -> None:
    prints = {
        detections.fingerprint(array_of(kinds, *given))
        for given in ([('1', 10.0, {})], [('1', 10.0, {})], [('1', 11.0, {})], [('2', 10.0, {})])
    }
    assert len(prints) == 3


@pytest.mark.parametrize('kinds', KINDS)
def some_objects() -> Segmentation:
    """Object 2 is lost and leaves a crumb, 5 has no pixel, 7 is occluded, 300 is there."""
    label_map = np.zeros((40, 60), np.uint16)
    label_map[10:20, 5:8] = 300
    label_map[0, 0] = 2
    label_map[30, 30:32] = 7
    return Segmentation(
        label_map,
        (2, 5, 7, 300),
        {2: 0.99, 5: 0.0, 7: 0.6, 300: 0.75},
        7,
        'camera',
        StepTiming(),
        np.ones((5, 2, 2), np.float32),
        states={
            2: ObjectState.LOST,
            5: ObjectState.TRACKED,
            7: ObjectState.OCCLUDED,
            300: ObjectState.TRACKED,
        },
    )


@pytest.mark.parametrize('kinds', KINDS)
def test_objects_that_are_there_carry_id_name_score_and_box(kinds) -> None:
    header = Header(frame_id='camera')
    msg = detections.to_objects_msg(kinds, some_objects(), {300: 'cup'}, header)
    # Whoever takes the best score must not get the lost one, nor an empty box.
    hidden, seen = msg.detections
    assert (msg.header, seen.header) == (header, header)
    assert [hidden.id, seen.id] == ['7', '300']
    assert [r.hypothesis.class_id for r in hidden.results] == ['object_7']
    assert [r.hypothesis.class_id for r in seen.results] == ['cup']
    assert [r.hypothesis.score for r in seen.results] == [0.75]
    centre = seen.bbox.center.position
    assert (centre.x, centre.y, seen.bbox.size_x, seen.bbox.size_y) == (6, 14.5, 3, 10)

    info = detections.to_label_info_msg(kinds, {300: 'cup', 2: 'object_2'}, header)
    assert [(c.class_id, c.class_name) for c in info.class_map] == [(2, 'object_2'), (300, 'cup')]


def test_states_tell_of_every_object_the_lost_ones_too() -> None:
    header = Header(frame_id='camera')
    msg = states.to_states_msg(some_objects(), {300: 'cup'}, header)
    assert msg.header == header
    assert [(each.name, each.message, each.level) for each in msg.status] == [
        ('2', 'lost', DiagnosticStatus.ERROR),
        ('5', 'tracked', DiagnosticStatus.OK),
        ('7', 'occluded', DiagnosticStatus.WARN),
        ('300', 'tracked', DiagnosticStatus.OK),
    ]
    values = [{value.key: value.value for value in each.values} for each in msg.status]
    assert values[3] == {'name': 'cup', 'score': '0.750', 'area': '30'}
    assert [each['area'] for each in values] == ['1', '0', '2', '30']
