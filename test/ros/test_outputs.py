# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the node gives beside labels: confidence, pictures, detections, names, states."""

import cv2
import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs rclpy')

from diagnostic_msgs.msg import DiagnosticArray
import rclpy
from rclpy.qos import DurabilityPolicy, QoSProfile
from robot import HEIGHT, Robot, ROOT, SCENE, stamp_of, to_array, WIDTH
from sensor_msgs.msg import CompressedImage, Image

from vos_ros.config import NodeConfig, OverlayConfig
from vos_ros.datatypes import Segmentation, StepTiming
from vos_ros.ros import conversions, detections, raw_image, states
from vos_ros.ros.classes import ClassTable
from vos_ros.ros.publishing import Outputs
from vos_ros.ros.qos import QosWatch


@pytest.fixture(scope='module')
def running(client, start_node) -> Robot:
    settings = {
        'diagnostics.period_s': 0.1,
        'init.wait_s': 60.0,
        'overlay.max_rate_hz': 0.0,
        'overlay.alpha': 0.0,
        'max_objects': 3,
    }
    return Robot(client, start_node(model=ROOT / 'test' / 'data' / 'tiny', **settings))


def test_confidence_is_certain_where_a_mask_was_drawn_and_unsure_at_its_outline(
    robot: Robot,
) -> None:
    heard = robot.client.listen(Image, f'{robot.name}/confidence')
    robot.client.wait(lambda: robot.segment() and heard, 'confidence')
    assert (to_array(heard[-1]) == 255).all()  # no object: surely background
    heard.clear()
    labels = robot.prompt()
    confidence = robot.client.wait(
        lambda: [m for m in heard if stamp_of(m) == stamp_of(labels)], 'confidence of the mask'
    )[0]
    assert (confidence.encoding, confidence.header) == ('mono8', labels.header)
    values = to_array(confidence)
    assert values.shape == (HEIGHT, WIDTH)
    assert values[40, 30] == 255  # inside of object 1
    assert values[5, 5] == 255  # background
    assert values[20:60, 8:12].min() < 200  # across the left edge of object 1


def test_the_compressed_overlay_is_the_picture_as_jpeg(robot: Robot) -> None:
    heard = robot.client.listen(CompressedImage, f'{robot.name}/overlay/compressed')
    smooth = cv2.GaussianBlur(SCENE, (0, 0), 4)
    robot.client.wait(lambda: robot.segment(image=smooth) and heard, 'a compressed overlay')
    assert heard[-1].format.startswith('rgb8; jpeg')
    bgr = cv2.imdecode(np.frombuffer(heard[-1].data, np.uint8), cv2.IMREAD_COLOR)
    difference = np.abs(bgr[..., ::-1].astype(int) - smooth)
    assert difference.mean() < 4  # alpha is 0; swapped channels would be far off


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16], ids=['mono8', 'mono16'])
def test_labels_as_png_are_read_as_they_are_by_who_knows_nothing_of_palettes(dtype: type) -> None:
    labels = np.zeros((5, 7), dtype)
    labels[2, 3] = 254 if dtype is np.uint8 else 65535
    msg = conversions.to_png_msg(labels, Image().header)
    # As compressed_image_transport writes it for grey images, to the last space.
    assert msg.format == f'mono{8 * labels.itemsize}; png compressed '
    read = cv2.imdecode(np.frombuffer(msg.data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert (read.dtype, read.tolist()) == (labels.dtype, labels.tolist())


def test_compressed_labels_and_classes_have_the_header_of_their_image(robot: Robot) -> None:
    compressed = robot.client.listen(CompressedImage, f'{robot.name}/labels/compressed')
    classes = robot.client.listen(Image, f'{robot.name}/class_labels')
    robot.client.wait(lambda: robot.segment() and compressed and classes, 'the first of them')
    labels = robot.prompt()

    def answer(heard: list):
        found = lambda: [m for m in heard if stamp_of(m) == stamp_of(labels)]  # noqa: E731
        return robot.client.wait(found, 'an answer')[0]

    png, classed = answer(compressed), answer(classes)
    assert png.header == classed.header == labels.header
    read = cv2.imdecode(np.frombuffer(png.data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert (read == to_array(labels)).all()
    # Both objects have no name.
    assert (to_array(classed) == (to_array(labels) > 0)).all()
    assert to_array(classed).any()


def test_a_lost_object_says_so_in_the_overlay_its_state_and_in_diagnostics(robot: Robot) -> None:
    def live(**values: float) -> None:
        for name, value in values.items():
            assert robot.client.set_parameter(f'lost.{name}', value, robot.name).successful

    events = robot.client.listen(DiagnosticArray, f'{robot.name}/events')
    robot.prompt()
    robot.client.wait(lambda: robot.segment() and robot.overlays, 'an overlay')
    # Nothing is ever seen surely enough: live parameters act on the running segmenter.
    live(min_score=1.0, occluded_after_frames=1, lost_after_s=0.0)
    lost = robot.client.wait(
        lambda: robot.segment() and robot.fresh('objects')['object_1_state'] == 'lost', 'the loss'
    )
    assert lost
    robot.client.wait(lambda: robot.segment() and events, 'the event')
    said = [(each.name, each.message) for msg in events for each in msg.status]
    assert said.count(('1', 'lost')) == 1
    assert 'object 1 is lost' in robot.status('objects')['message']
    assert robot.status('objects')['level'] == b'\x01'
    robot.overlays.clear()
    robot.client.wait(lambda: robot.segment() and robot.overlays, 'an overlay')
    picture = np.frombuffer(robot.overlays[-1].data, np.uint8).reshape(HEIGHT, WIDTH, 3)
    changed = (picture != SCENE).any(axis=2)
    assert changed[:30].any()  # alpha is 0, so that this is the writing
    assert changed[40:].mean() < 0.1  # the ids on the objects
    heard = robot.client.listen(DiagnosticArray, f'{robot.name}/object_states')
    robot.client.wait(lambda: robot.segment() and heard, 'states')
    assert {each.name: each.message for each in heard[-1].status} == {'1': 'lost', '4': 'lost'}
    assert heard[-1].header.frame_id == 'camera'
    live(min_score=0.55, occluded_after_frames=3, lost_after_s=2.0)


def test_objects_and_names_as_vision_msgs(robot: Robot) -> None:
    vision = pytest.importorskip('vision_msgs.msg', reason='needs vision_msgs, without a wheel')
    heard = robot.client.listen(vision.Detection2DArray, f'{robot.name}/objects')
    robot.client.wait(lambda: robot.segment() and heard, 'objects')
    assert not heard[-1].detections
    labels = robot.prompt()
    found = robot.client.wait(
        lambda: [m for m in heard if stamp_of(m) == stamp_of(labels)], 'the objects'
    )[0]
    assert found.header == labels.header
    first, second = found.detections
    assert (first.id, second.id) == ('1', '4')
    # MASK: object 1 is rows 20:60, columns 10:50.
    centre = first.bbox.center.position
    assert (centre.x, centre.y, first.bbox.size_x, first.bbox.size_y) == (29.5, 39.5, 40.0, 40.0)
    (result,) = first.results
    assert (result.hypothesis.class_id, result.hypothesis.score) == ('object_1', 1.0)

    # Names are latched: somebody who comes late gets them.
    late = robot.client.listen(
        vision.LabelInfo,
        f'{robot.name}/label_info',
        QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL),
    )
    robot.client.wait(lambda: late, 'the names')
    assert [(c.class_id, c.class_name) for c in late[-1].class_map] == [
        (1, 'object_1'),
        (4, 'object_4'),
    ]


def test_without_vision_msgs_the_log_says_once_what_is_off(robot: Robot) -> None:
    try:
        import vision_msgs.msg  # noqa: F401

        expected = 0
    except ImportError:
        expected = 1
    assert robot.process.log.count('vision_msgs is not installed') == expected
    topics = dict(robot.client.node.get_topic_names_and_types())
    assert (f'{robot.name}/objects' in topics) == (expected == 0)


def test_nothing_is_computed_for_nobody(client, monkeypatch: pytest.MonkeyPatch) -> None:
    computed = set()
    for module, name in [
        (raw_image, 'write_labels'),
        (conversions, 'to_confidence'),
        (conversions, 'to_overlay'),
        (conversions, 'to_jpeg_msg'),
        (conversions, 'to_mask_msg'),
        (conversions, 'to_png_msg'),
        (ClassTable, 'to_class_map'),
        (detections, 'to_objects_msg'),
        (states, 'to_states_msg'),
    ]:

        def spy(*args, name=name, inner=getattr(module, name)):
            computed.add(name)
            return inner(*args)

        monkeypatch.setattr(module, name, spy)
    vision = detections.find_vision_msgs()
    node = rclpy.create_node('lazy')
    outputs = Outputs(QosWatch(node), NodeConfig(), vision, lambda: None)
    label_map = np.ones((8, 8), np.uint8)
    found = Segmentation(label_map, (1,), {1: 1.0}, 7, '', StepTiming(), np.ones((2, 2, 2), 'f4'))
    frame = conversions.CameraFrame(np.zeros((8, 8, 3), np.uint8), source=Image())

    def publish() -> set[str]:
        outputs.publish_labels(found, frame)
        outputs.publish_rest(found, frame, {}, OverlayConfig(max_rate_hz=0.0))
        outputs.match_objects()
        return computed

    assert publish() == publish() == set()
    heard = client.listen(Image, '/lazy/confidence')
    client.wait(publish, 'the first reader')
    client.wait(lambda: heard, 'confidence')
    assert computed == {'to_confidence'}
    client.listen(Image, '/lazy/labels')
    client.listen(CompressedImage, '/lazy/overlay/compressed')
    client.listen(Image, '/lazy/object_1/mask')
    client.listen(DiagnosticArray, '/lazy/object_states')
    client.listen(DiagnosticArray, '/lazy/events')
    client.listen(CompressedImage, '/lazy/labels/compressed')
    client.listen(Image, '/lazy/class_labels')
    expected = {'write_labels', 'to_confidence', 'to_overlay', 'to_jpeg_msg', 'to_mask_msg'}
    expected |= {'to_png_msg', 'to_class_map', 'to_states_msg'}
    if vision is not None:
        client.listen(vision.Detection2DArray, '/lazy/objects')
        expected.add('to_objects_msg')
    client.wait(lambda: publish() == expected, 'all readers')
    outputs.close()
    node.destroy_node()
