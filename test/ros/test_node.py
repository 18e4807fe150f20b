# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One running node, as a camera, a detector and a listener see it. Each test starts from reset."""

from collections.abc import Iterator
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs rclpy')

from lifecycle_msgs.msg import Transition
from rclpy.qos import qos_profile_sensor_data
from rclpy.serialization import serialize_message
from robot import HEIGHT, image_msg, MASK, Robot, ROOT, SCENE, to_array, WIDTH
from sensor_msgs.msg import Image
from std_msgs.msg import UInt16MultiArray
from std_srvs.srv import SetBool


@pytest.fixture(scope='module')
def running(client, start_node) -> Robot:
    settings = {
        'diagnostics.period_s': 0.1,
        'max_objects': 3,
        'init.wait_s': 60.0,
        'diagnostics.no_image_s': 0.5,
    }
    return Robot(client, start_node(model=ROOT / 'test' / 'data' / 'tiny', **settings))


@pytest.fixture
def robot(running) -> Iterator[Robot]:
    assert running.reset().success
    yield running
    assert running.process.process.poll() is None, running.process.log


def resident_bytes(robot: Robot) -> int:
    pages = Path(f'/proc/{robot.process.process.pid}/statm').read_text().split()[1]
    return int(pages) * os.sysconf('SC_PAGE_SIZE')


def test_labels_carry_the_image_s_header(robot: Robot) -> None:
    for stamp, frame_id in [
        ((1, 999_999_999), 'front/left eye'),
        ((-5, 7), ''),
        ((2**31 - 1, 1), 'é'),
    ]:
        header = robot.segment(stamp=stamp, frame_id=frame_id).header
        assert (header.stamp.sec, header.stamp.nanosec) == stamp
        assert header.frame_id == frame_id


def test_without_a_mask_labels_are_background(robot: Robot) -> None:
    labels = robot.segment()
    assert (labels.encoding, labels.height, labels.width) == ('mono8', HEIGHT, WIDTH)
    assert not to_array(labels).any()


def test_a_mask_is_applied_to_the_image_that_it_was_drawn_on(robot: Robot) -> None:
    assert np.array_equal(to_array(robot.prompt()), MASK)
    assert set(np.unique(to_array(robot.segment()))) <= {0, 1, 4}
    assert robot.fresh('objects')['count'] == '2'


@pytest.mark.parametrize('padding', [0, 3], ids=['tight', 'padded'])
@pytest.mark.parametrize('big_endian', [False, True], ids=['little', 'big'])
def test_ids_beyond_254_come_back_as_mono16(robot: Robot, big_endian: bool, padding: int) -> None:
    mask = MASK.astype(np.uint16) * 300
    labels = robot.prompt(mask, 'mono16', padding=padding, big_endian=big_endian)
    assert labels.encoding == 'mono16'
    assert np.array_equal(to_array(labels), mask)


def test_a_binary_mask_is_object_1(robot: Robot) -> None:
    labels = robot.prompt((MASK > 0).astype(np.uint8) * np.uint8(255))
    assert np.array_equal(to_array(labels), MASK > 0)


@pytest.mark.parametrize(
    ('mask', 'encoding', 'reason'),
    [
        (np.ones((HEIGHT, WIDTH + 32), np.uint8), 'mono8', f'{WIDTH}'),
        (SCENE, 'rgb8', 'rgb8'),
        (np.full((HEIGHT, WIDTH), -3, np.int32), '32SC1', '-3'),
    ],
    ids=['other size', 'colour', 'negative ids'],
)
def test_a_useless_mask_is_reported_and_nothing_dies(robot: Robot, mask, encoding, reason) -> None:
    rejected = int(robot.fresh('objects')['masks_rejected'])
    errors = robot.status('inference')['errors']
    assert not to_array(robot.prompt(mask, encoding)).any()
    report = robot.fresh('objects')
    assert int(report['masks_rejected']) == rejected + 1
    assert reason in report['last_rejection']
    assert report['level'] == b'\x01'
    assert report['last_rejection'] in robot.process.log
    assert robot.status('inference')['errors'] == errors
    assert 'Traceback' not in robot.process.log


def test_a_detector_that_found_nothing_is_no_error(robot: Robot) -> None:
    before = robot.fresh('objects')
    assert not to_array(robot.prompt(np.zeros((HEIGHT, WIDTH), np.uint8))).any()
    report = robot.fresh('objects')
    assert int(report['masks_empty']) == int(before['masks_empty']) + 1
    assert report['masks_rejected'] == before['masks_rejected']
    assert 'is empty' not in robot.process.log


def test_a_mask_with_soft_edges_is_one_object(robot: Robot) -> None:
    soft = cv2.GaussianBlur((MASK > 0).astype(np.uint8) * np.uint8(255), (0, 0), 1)
    assert np.array_equal(to_array(robot.prompt(soft)), soft >= 128)
    assert 'init mask has soft edges' in robot.process.log


def _short(stamp: tuple[int, int]) -> Image:
    msg = image_msg(SCENE, 'rgb8', stamp)
    msg.data = msg.data[:1000]
    return msg


@pytest.mark.parametrize(
    ('make', 'reason'),
    [
        (_short, 'needs 36864 bytes, has 1000'),
        (lambda stamp: image_msg(SCENE, 'nv24', stamp), "encoding 'nv24' is not supported"),
        (lambda stamp: serialize_message(image_msg(SCENE, 'rgb8', stamp))[:500], 'cannot be read'),
    ],
    ids=['short', 'encoding', 'cut off'],
)
def test_images_that_cannot_be_used_are_an_input_error_until_one_can(
    robot: Robot, make, reason: str
) -> None:
    before, errors = robot.fresh('input'), robot.status('inference')['errors']
    robot.images.publish(make(robot.client.next_stamp()))
    report = robot.client.wait(
        lambda: robot.fresh('input')['failed'] != before['failed'] and robot.fresh('input'),
        'the failure',
    )
    assert int(report['failed']) == int(before['failed']) + 1
    assert int(report['frames_in']) == int(before['frames_in']) + 1
    assert report['level'] == b'\x02'
    assert 'images cannot be used: ' in report['message']
    assert reason in report['message']
    robot.segment()
    robot.client.wait(lambda: robot.fresh('input')['level'] != b'\x02', 'the end of the error')
    # The camera's fault, and not the network's.
    assert robot.status('inference')['errors'] == errors
    assert reason in robot.process.log
    assert 'Traceback' not in robot.process.log


def test_images_with_a_frame_id_of_8_mb_are_refused_and_memory_does_not_grow(
    robot: Robot,
) -> None:
    robot.segment()
    before = resident_bytes(robot)
    for _ in range(40):
        robot.images.publish(
            image_msg(SCENE, 'rgb8', robot.client.next_stamp(), frame_id='f' * (8 << 20))
        )
        robot.segment()  # it came later, so the one before was looked at
    assert 'an image with a frame_id of 8388608 bytes is refused' in robot.process.log
    # Kept with their images they would be 8 MiB each, and twice that with the message.
    assert resident_bytes(robot) - before < 96 << 20


def test_the_same_mask_twice_is_applied_once(robot: Robot) -> None:
    stamp = robot.client.next_stamp()
    before = robot.fresh('objects')
    robot.offer(MASK, 'mono8', stamp)
    robot.offer(MASK, 'mono8', stamp)
    after = robot.fresh('objects')
    assert int(after['masks_in']) == int(before['masks_in']) + 1
    assert int(after['masks_duplicate']) == int(before['masks_duplicate']) + 1
    assert np.array_equal(to_array(robot.segment(stamp=stamp)), MASK)


def test_a_mask_with_stamp_0_starts_the_objects_anew_each_time(robot: Robot) -> None:
    for _ in range(2):
        before = robot.fresh('objects')
        robot.offer(MASK)
        after = robot.fresh('objects')
        assert int(after['masks_in']) == int(before['masks_in']) + 1
        assert after['masks_duplicate'] == before['masks_duplicate']
        # The very pixels that were drawn, on whatever image comes next.
        assert np.array_equal(to_array(robot.segment(image=SCENE[::-1])), MASK)
        robot.segment()


def test_a_mask_whose_stamp_is_a_little_off_goes_to_its_image_and_that_is_said(
    robot: Robot,
) -> None:
    robot.reset()
    robot.segment()
    second, nanosecond = robot.client.next_stamp()
    robot.segment(stamp=(second, nanosecond))
    robot.segment()
    before = int(robot.fresh('inference')['catch_up_frames'])
    robot.offer(MASK, stamp=(second, nanosecond - 238))
    robot.client.wait(lambda: robot.fresh('objects')['count'] == '2', 'the objects')
    assert int(robot.status('inference')['catch_up_frames']) == before + 2
    robot.segment()
    assert '-0.0002 ms off that of the nearest image' in robot.fresh('objects')['last_notice']


def test_a_mask_of_long_ago_is_refused_with_its_age(robot: Robot) -> None:
    robot.reset()
    robot.segment()
    robot.offer(MASK, stamp=(1, 0))
    reason = 'older than the newest image, more than init.max_late_s = 5'
    robot.client.wait(lambda: reason in robot.fresh('objects')['last_rejection'], 'the reason')
    assert not to_array(robot.segment()).any()


def test_too_many_objects_are_refused_and_the_rest_goes_in(robot: Robot) -> None:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    for object_id in range(1, 6):
        mask[:, object_id * 20 : object_id * 20 + 15] = object_id
    labels = to_array(robot.prompt(mask))
    assert np.array_equal(labels, np.where(mask <= 3, mask, 0))
    objects = robot.fresh('objects')
    assert 'objects [4, 5] are refused, as max_objects = 3' in objects['last_notice']
    assert objects['last_notice'] in objects['message']


def test_object_masks_are_the_labels_of_that_object(robot: Robot) -> None:
    robot.prompt()
    heard = {i: robot.client.listen(Image, f'/vos/object_{i}/mask') for i in (1, 4)}
    # A topic that is new to both sides: send images until they have found each other.
    robot.client.wait(lambda: robot.segment() and heard[1] and heard[4], "the objects' masks")
    for object_id, masks in heard.items():
        stamp = (masks[-1].header.stamp.sec, masks[-1].header.stamp.nanosec)
        labels = to_array(robot.answers(stamp)[0])
        assert np.array_equal(to_array(masks[-1]), (labels == object_id) * 255)
        assert masks[-1].encoding == 'mono8'


def test_reset_forgets_the_objects_and_their_topics(robot: Robot) -> None:
    robot.prompt()
    graph = robot.client.node
    robot.client.wait(lambda: graph.count_publishers('/vos/object_1/mask'), "an object's topic")
    answer = robot.reset()
    assert answer.success
    assert '2 objects' in answer.message
    assert not to_array(robot.segment()).any()
    robot.client.wait(
        lambda: not graph.count_publishers('/vos/object_1/mask'), "the end of the object's topic"
    )
    # The very same mask is meant again after a reset.
    assert np.array_equal(to_array(robot.prompt()), MASK)


def test_removing_an_object_leaves_the_other_its_id(robot: Robot) -> None:
    robot.prompt()
    remove = robot.client.publisher(UInt16MultiArray, 'remove_objects')
    remove.publish(UInt16MultiArray(data=[1, 999]))
    robot.client.wait(
        lambda: robot.segment() and robot.fresh('objects')['count'] == '1', 'the removal'
    )
    assert 'object_4_score' in robot.status('objects')
    assert set(np.unique(to_array(robot.segment()))) <= {0, 4}
    assert 'remove_objects: no object [999] is known' in robot.process.log
    assert 'objects [1, 4] are followed now' in robot.process.log
    robot.client.wait(
        lambda: robot.segment() and 'objects [1] no longer' in robot.process.log, 'the line'
    )


def test_a_mask_that_was_removed_is_taken_when_it_is_sent_again(robot: Robot) -> None:
    stamp = robot.client.next_stamp()
    robot.offer(MASK, 'mono8', stamp)
    robot.segment(stamp=stamp)
    remove = robot.client.publisher(UInt16MultiArray, 'remove_objects')
    remove.publish(UInt16MultiArray(data=[1, 4]))
    robot.client.wait(lambda: robot.fresh('objects')['count'] == '0', 'the removal')
    robot.offer(MASK, 'mono8', stamp)
    robot.client.wait(
        lambda: robot.segment() and robot.fresh('objects')['count'] == '2', 'the objects'
    )


def test_no_image_is_answered_twice_and_all_are_accounted_for(robot: Robot) -> None:
    robot.prompt()
    before = robot.fresh('input')
    sent = [robot.send() for _ in range(40)]
    last = robot.client.wait(lambda: robot.answers(sent[-1]), 'the last labels')
    stamps = [(m.header.stamp.sec, m.header.stamp.nanosec) for m in robot.labels]
    answered = [stamp for stamp in stamps if stamp in sent]
    assert last
    assert len(answered) == len(set(answered))
    assert answered == sorted(answered)
    after = robot.fresh('input')
    came, dropped, out = (
        int(after[key]) - int(before[key]) for key in ('frames_in', 'dropped', 'frames_out')
    )
    assert came == dropped + out
    assert out == len(answered)


def test_every_image_sent_is_answered_or_in_one_counter(robot: Robot) -> None:
    """More than the intake's queue of one can hold: what it replaces is counted, too."""
    robot.prompt()
    robot.segment()
    before = robot.fresh('input')
    for _ in range(300):
        robot.send()
    last = robot.segment()
    after = robot.fresh('input')
    robot.client.wait(lambda: robot.fresh('input')['frames_out'] == after['frames_out'], 'quiet')
    after = robot.fresh('input')
    names = ('frames_in', 'missed', 'frames_out', 'dropped', 'overtaken', 'failed')
    came, missed, *places = (int(after[name]) - int(before[name]) for name in names)
    assert last
    assert came + missed == 301
    assert missed > 0
    skipped = int(robot.status('inference')['skipped'])
    assert sum(places) + skipped == came


def test_images_that_come_while_the_node_is_paused_are_counted_as_ignored(robot: Robot) -> None:
    robot.segment()
    enable = f'{robot.name}/enable'
    robot.client.call(SetBool, enable, SetBool.Request(data=False))
    before = int(robot.fresh('input')['ignored'])
    robot.send()
    robot.client.wait(lambda: int(robot.fresh('input')['ignored']) == before + 1, 'the image')
    robot.client.call(SetBool, enable, SetBool.Request(data=True))


def test_ten_masks_in_a_burst_all_arrive(robot: Robot) -> None:
    stamp = robot.client.next_stamp()
    robot.send(stamp=stamp)
    before = int(robot.fresh('objects')['masks_in'])
    for number in range(10):
        mask = np.zeros((HEIGHT, WIDTH), np.uint8)
        mask[9 * number : 9 * number + 8] = number % 3 + 1
        robot.masks.publish(image_msg(mask, 'mono8', stamp))
    robot.client.wait(lambda: int(robot.fresh('objects')['masks_in']) == before + 10, 'all masks')
    assert robot.status('objects')['masks_lost'] == '0'
    # Ten masks and three ids: the sender thinks of ten objects.
    assert 'give different pixels to objects' in robot.status('objects')['last_notice']
    assert 'several masks of one image' in robot.process.log


def test_one_mask_per_object_of_an_image_is_no_conflict(robot: Robot) -> None:
    stamp = robot.client.next_stamp()
    told = robot.process.log.count('several masks of one image')
    for object_id in (1, 4):
        robot.offer(np.where(object_id == MASK, MASK, 0), stamp=stamp)
    robot.offer(MASK, stamp=stamp)
    assert robot.process.log.count('several masks of one image') == told
    assert np.array_equal(to_array(robot.segment(stamp=stamp)), MASK)


def test_services_answer_while_images_pour_in(robot: Robot) -> None:
    robot.prompt()
    timer = robot.client.node.create_timer(0.002, robot.send)
    frames_in = int(robot.fresh('input')['frames_in'])
    for _ in range(10):
        assert robot.reset().success
        assert robot.client.state() == 'active'
    assert int(robot.fresh('input')['frames_in']) > frames_in
    robot.client.node.destroy_timer(timer)


def test_however_many_images_come_two_wait_at_most(robot: Robot) -> None:
    robot.prompt()
    timer = robot.client.node.create_timer(0.001, robot.send)
    frames_in = int(robot.fresh('input')['frames_in'])
    for _ in range(20):
        came, skipped = robot.fresh('input'), int(robot.status('inference')['skipped'])
        settled = ('frames_out', 'dropped', 'overtaken', 'failed')
        waiting = int(came['frames_in']) - skipped - sum(int(came[key]) for key in settled)
        assert 0 <= waiting <= 2  # one at work and one in the mailbox
    assert int(came['frames_in']) > frames_in
    robot.client.node.destroy_timer(timer)


def test_parameters_change_while_images_pour_in(robot: Robot) -> None:
    robot.prompt()
    timer = robot.client.node.create_timer(0.002, robot.send)
    errors = robot.fresh('inference')['errors']
    rounds: dict[str, tuple[object, ...]] = {
        'overload.policy': ('shrink', 'error', 'skip'),
        'deadline_ms': (0.001, 1000.0),
        'max_age_ms': (0.001, 0.0),
        'overlay.alpha': (0.2, 0.5),
        'overlay.max_rate_hz': (0.0, 10.0),
        'lost.min_score': (0.9, 0.55),
    }
    for number in range(12):
        for name, values in rounds.items():
            assert robot.client.set_parameter(name, values[number % len(values)]).successful
    assert robot.client.set_parameter('deadline_ms', 0.0).successful
    robot.client.node.destroy_timer(timer)
    robot.segment()
    assert robot.fresh('inference')['errors'] == errors
    assert robot.status('objects')['count'] == '2'


def test_enable_pauses_and_resumes(robot: Robot) -> None:
    def enable(on: bool):
        return robot.client.call(SetBool, '/vos/enable', SetBool.Request(data=on))

    assert enable(False).message == 'paused: images are ignored'
    frames_in = robot.fresh('input')['frames_in']
    robot.send()
    # Masks that come meanwhile are kept, which is said once.
    told = robot.process.log.count('is held until')
    robot.offer(MASK, 'mono8', robot.client.next_stamp())
    stamp = robot.client.next_stamp()
    robot.offer(MASK, 'mono8', stamp)
    assert robot.process.log.count('is held until') == told + 1
    assert robot.fresh('input')['frames_in'] == frames_in
    assert robot.status('node')['state'] == 'paused'
    assert enable(True).message == 'running'
    assert np.array_equal(to_array(robot.segment(stamp=stamp)), MASK)


def test_what_is_removed_from_a_mask_that_is_held_does_not_come_back(robot: Robot) -> None:
    def enable(on: bool):
        return robot.client.call(SetBool, '/vos/enable', SetBool.Request(data=on))

    robot.reset()
    enable(False)
    stamp = robot.client.next_stamp()
    robot.offer(MASK, 'mono8', stamp)
    told = robot.process.log.count('masks that wait lose them')
    robot.client.publisher(UInt16MultiArray, 'remove_objects').publish(UInt16MultiArray(data=[1]))
    robot.client.wait(
        lambda: robot.process.log.count('masks that wait lose them') > told, 'the removal'
    )
    enable(True)
    assert set(np.unique(to_array(robot.segment(stamp=stamp)))) == {0, 4}


def test_the_overlay_shows_the_image_with_the_objects_painted(robot: Robot) -> None:
    robot.prompt()
    robot.client.wait(lambda: robot.segment() and robot.overlays, 'an overlay')
    picture = robot.overlays[-1]
    assert (picture.encoding, picture.height, picture.width) == ('rgb8', HEIGHT, WIDTH)


def test_large_best_effort_images_arrive_through_the_shipped_dds_profile(robot: Robot) -> None:
    camera = robot.client.publisher(Image, 'image', qos_profile_sensor_data)
    large = np.zeros((720, 1280, 3), np.uint8)
    # One by one, each answered: without the profile next to none of them arrives.
    for _ in range(8):
        stamp = robot.client.next_stamp()
        camera.publish(image_msg(large, 'bgr8', stamp))
        answer = robot.client.wait(lambda stamp=stamp: robot.answers(stamp), 'labels')[0]
        assert (answer.height, answer.width) == (720, 1280)
    robot.client.node.destroy_publisher(camera)


def test_another_resolution_of_the_same_shape_goes_on(robot: Robot) -> None:
    robot.prompt()
    large = robot.segment(image=SCENE.repeat(2, axis=0).repeat(2, axis=1))
    assert (large.height, large.width) == (2 * HEIGHT, 2 * WIDTH)


def test_live_parameters_act_at_once_and_others_are_refused_with_the_reason(
    robot: Robot,
) -> None:
    assert robot.client.set_parameter('deadline_ms', 0.0001).successful
    robot.segment()
    assert int(robot.fresh('inference')['deadline_misses']) > 0
    assert robot.client.set_parameter('deadline_ms', 0.0).successful
    for name, value, reason in [
        ('overlay.alpha', 1.5, 'alpha'),
        ('overlay.alpha', 'much', "must be float, not 'much'"),
        ('max_objects', 5, 'cleanup'),
        ('max_objects', 0, 'max_objects'),
        ('autostart', False, 'read-only'),
        ('no_such', 1, 'declared'),
    ]:
        result = robot.client.set_parameter(name, value)
        assert not result.successful
        assert reason in result.reason
    robot.segment()


def test_overload_is_said_with_its_level_and_ends(robot: Robot) -> None:
    def live(**values: object) -> None:
        for name, value in values.items():
            name = name.replace('__', '.')
            assert robot.client.set_parameter(name, value).successful

    def level() -> int:
        robot.send()
        return int(robot.fresh('inference')['overload_level'])

    live(deadline_ms=0.0001)
    robot.client.wait(lambda: level() > 0, 'the overload')
    skipping = robot.status('inference')
    assert skipping['level'] == b'\x01'
    assert 'overload: skip, level' in skipping['message']
    robot.client.wait(
        lambda: robot.send() and int(robot.fresh('inference')['skipped']) > 0, 'skipped frames'
    )
    live(overload__policy='error')
    robot.client.wait(
        lambda: level() == 1 and robot.status('inference')['overload_policy'] == 'error',
        'the overload',
    )
    assert robot.status('inference')['level'] == b'\x02'
    live(deadline_ms=0.0, overload__policy='skip')
    robot.client.wait(lambda: level() == 0, 'the end of it')


def test_stamp_0_is_a_warning_and_works(robot: Robot) -> None:
    before = int(robot.fresh('input')['stamp_0'])
    robot.segment(stamp=(0, 0))
    report = robot.fresh('input')
    assert int(report['stamp_0']) == before + 1
    assert (report['level'], report['age_ms']) == (b'\x01', '0.0')
    assert 'stamp 0' in report['message']


def test_a_stray_transition_is_refused_and_nothing_dies(robot: Robot) -> None:
    for transition, label in [(99, ''), (0, 'nonsense'), (Transition.TRANSITION_CONFIGURE, '')]:
        assert not robot.client.change_state(transition, label=label)
    assert robot.client.state() == 'active'


def test_parameters_describe_themselves(robot: Robot) -> None:
    from rcl_interfaces.srv import DescribeParameters

    from vos_ros.ros.parameters import all_settings

    names = [name for name, _ in all_settings()]
    request = DescribeParameters.Request(names=names)
    answer = robot.client.call(DescribeParameters, '/vos/describe_parameters', request)
    for (name, item), found in zip(all_settings(), answer.descriptors, strict=True):
        assert found.name == name
        assert item.metadata['description'] in found.description
        ranges = [*found.integer_range, *found.floating_point_range]
        assert bool(ranges) == (item.metadata['range'] is not None)


def test_silence_of_the_camera_is_an_error_with_a_hint_and_heals(robot: Robot) -> None:
    robot.client.wait(lambda: robot.status('input')['level'] == b'\x02', 'the error')
    message = robot.status('input')['message']
    assert message.startswith('no image for')
    assert '/image has 1 publisher' in message
    # It heals to a warning: the stamps of these tests are of 1970.
    robot.client.wait(
        lambda: robot.segment() and 'no image' not in robot.status('input')['message'],
        'the end of it',
    )


def test_the_log_says_that_no_image_comes(robot: Robot) -> None:
    robot.client.wait(lambda: 'no image for ' in robot.process.log, 'the silence in the log')


def test_a_second_camera_on_the_same_topic_is_a_warning(robot: Robot) -> None:
    other = robot.client.node.create_publisher(Image, '/image', 1)
    message = robot.client.wait(
        lambda: (
            'publishers of images' in robot.fresh('input')['message']
            and robot.status('input')['message']
        ),
        'the warning',
    )
    assert '2 publishers of images (test_node: ' in message
    robot.client.node.destroy_publisher(other)
    robot.client.wait(
        lambda: 'publishers of images' not in robot.fresh('input')['message'], 'its end'
    )


def test_somebody_else_who_publishes_labels_is_a_warning(robot: Robot) -> None:
    assert robot.fresh('node')['level'] == b'\x00'
    other = robot.client.node.create_publisher(Image, '/vos/labels', 1)
    robot.client.wait(lambda: robot.fresh('node')['level'] == b'\x01', 'the warning')
    assert 'also published by /test_node;' in robot.status('node')['message']
    robot.client.node.destroy_publisher(other)
    robot.client.wait(lambda: robot.fresh('node')['level'] == b'\x00', 'its end')


def test_the_report_names_model_memory_and_percentiles(robot: Robot) -> None:
    robot.prompt()
    inference, objects = robot.fresh('inference'), robot.status('objects')
    assert (inference['backend'], inference['precision']) == ('cpu', 'fp32')
    assert inference['model'] == 'tiny'
    assert len(inference['model_sha256']) == 64
    figures = [float(inference[f'latency_{name}_ms']) for name in ('p50', 'p95', 'p99', 'max')]
    assert figures[0] > 0
    assert figures == sorted(figures)
    assert (objects['count'], objects['max']) == ('2', '3')
    assert (objects['object_1_state'], objects['object_4_state']) == ('tracked', 'tracked')
    memory, engine = robot.status('memory'), robot.status('engine')
    assert int(memory['resident_bytes']) > 0
    assert (memory['slots_used'], memory['slots_max']) == ('2', '3')
    assert (engine['asked'], engine['backend']) == ('auto', 'cpu')
    assert float(engine['load_s']) > 0
    for status in robot.reports[-1].status:
        assert status.hardware_id == f'cpu {inference["model_sha256"][:12]}'
