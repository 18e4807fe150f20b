# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Many prompts at once, as detectors send them; through the worker."""

import numpy as np
import pytest
from worker_rig import MakeRig, PATIENCE_S, Rig, until

from vos_ros.config import InitConfig
from vos_ros.datatypes import LabelMap, Prompt
from vos_ros.errors import VosError
from vos_ros.formats.masks import ids_in
from vos_ros.stream import requests as requests_module
from vos_ros.stream.mailbox import FrameRing
from vos_ros.stream.requests import QUEUE_CAPACITY, Requests

_S = 1_000_000_000


def _mask(
    object_id: int, left: int, stamp_ns: int = 0, size: tuple[int, int] = (64, 96)
) -> Prompt:
    """An object 8 wide, as high as the picture; `left` as in a picture that is 96 wide."""
    label_map: LabelMap = np.zeros(size, np.uint8)
    scale = size[1] // 96
    label_map[:, left * scale : (left + 8) * scale] = object_id
    return Prompt(label_map, stamp_ns)


@pytest.mark.parametrize('scale', [1, 2], ids=['of one size', 'of two sizes'])
def test_an_object_is_where_its_newest_mask_says_and_nowhere_else(
    make_rig: MakeRig, scale: int
) -> None:
    rig = make_rig()
    both = Prompt(_mask(1, 8).label_map + _mask(2, 24).label_map)
    rig.worker.submit_prompt(both)
    rig.worker.submit_prompt(_mask(1, 60, size=(64 * scale, 96 * scale)))
    rig.send_each(1)
    expected = _mask(1, 60).label_map + _mask(2, 24).label_map
    np.testing.assert_array_equal(rig.results[0].label_map, expected)
    assert rig.errors == []


def test_of_the_masks_before_the_camera_the_newest_counts(make_rig: MakeRig) -> None:
    rig = make_rig()
    count = 3 * QUEUE_CAPACITY
    for at in range(count):
        rig.worker.submit_prompt(_mask(1 + at % 2, at, stamp_ns=1 + at))
    rig.send_each(_S)
    expected = _mask(1, count - 2).label_map
    expected[:, count - 1 : count + 7] = 2  # the later one is on top
    np.testing.assert_array_equal(rig.results[0].label_map, expected)
    assert rig.errors == []
    assert rig.worker.stats.prompts_superseded == count - 2


def test_masks_that_wait_are_bounded_in_bytes_and_one_always_may(make_rig: MakeRig) -> None:
    first = _mask(1, 0, stamp_ns=1)
    options = {'queue_nbytes': 2 * first.label_map.nbytes}
    rig = make_rig(start=False, options=options)
    rig.worker.submit_prompt(first)
    rig.worker.submit_prompt(_mask(2, 8, stamp_ns=2))
    with pytest.raises(VosError, match='2 prompts for other objects wait already'):
        rig.worker.submit_prompt(_mask(3, 16, stamp_ns=3))
    rig.worker.submit_prompt(_mask(1, 24, stamp_ns=4))  # in place of the first one
    large = _mask(4, 0, stamp_ns=5, size=(640, 960))
    with pytest.raises(VosError, match='wait already'):
        rig.worker.submit_prompt(large)
    alone = make_rig(start=False, options=options)
    alone.worker.submit_prompt(large)
    assert alone.worker.stats.prompts_rejected == 0
    assert (rig.worker.stats.prompts_superseded, rig.worker.stats.prompts_rejected) == (1, 2)


def test_late_masks_that_were_applied_keep_no_new_one_out(make_rig: MakeRig) -> None:
    rig = make_rig(options={'queue_nbytes': _mask(1, 0).label_map.nbytes})
    rig.send_each(_S)
    for number in range(1, 7):
        rig.worker.submit_prompt(_mask(number, 8 * number, stamp_ns=_S - number))
        rig.send_each(_S + number)
    assert rig.worker.stats.prompts_rejected == 0


def test_masks_for_frames_to_come_do_not_supersede_each_other(make_rig: MakeRig) -> None:
    rig = make_rig(wait_s=PATIENCE_S)
    rig.send_each(1)
    for stamp_ns in (2, 3, 4):
        rig.worker.submit_prompt(_mask(1, 10 * stamp_ns, stamp_ns))
    rig.send_each(2, 3, 4)
    for result in rig.results[1:]:
        expected = _mask(1, 10 * result.stamp_ns).label_map
        np.testing.assert_array_equal(result.label_map, expected)
    assert rig.worker.stats.prompts_superseded == 0


def test_a_mask_for_every_frame_that_has_passed_costs_one_catch_up(make_rig: MakeRig) -> None:
    rig = make_rig(catch_up_ms=10_000.0)
    rig.send_each(*range(1, 9))
    rig.hold(9)
    for stamp_ns in range(1, 9):
        rig.worker.submit_prompt(_mask(1, 8, stamp_ns))
    rig.gate.set()
    until(lambda: rig.segmenter.object_ids == (1,))
    rig.settle()
    assert rig.segmenter._key_frames[1].frame.stamp_ns == 8
    assert rig.worker.stats.catch_up_frames == 2  # 8 and 9
    assert rig.worker.stats.prompts_superseded == 7


def test_an_older_mask_that_comes_later_supersedes_nothing(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.send_each(1, 2)
    rig.hold(3)
    rig.worker.submit_prompt(_mask(1, 8, stamp_ns=2))
    rig.worker.submit_prompt(_mask(1, 8, stamp_ns=1))
    assert rig.worker.stats.prompts_superseded == 0
    rig.gate.set()


def test_removal_and_reset_go_ahead_of_a_full_queue(make_rig: MakeRig) -> None:
    rig = make_rig(wait_s=PATIENCE_S)
    rig.worker.submit_prompt(_mask(1, 8))
    rig.send_each(1)
    for at in range(QUEUE_CAPACITY):
        rig.worker.submit_prompt(_mask(2, 8, stamp_ns=2 * _S + at))
    rig.worker.submit_remove([1])
    rig.send_each(2)
    assert rig.results[-1].object_ids == ()
    rig.worker.submit_reset()
    until(lambda: len(rig.errors) == QUEUE_CAPACITY)
    assert {str(error) for error in rig.errors} == {
        'the prompt was cancelled by a reset; send it again'
    }


@pytest.mark.parametrize('is_now', ['applied', 'waiting', 'about to be refused'])
def test_mask_that_overtakes_the_first_image_after_a_jump_is_kept(
    make_rig: MakeRig, is_now: str
) -> None:
    rig = make_rig(wait_s=PATIENCE_S, max_late_s=5.0 if 'refused' in is_now else 0.0)
    rig.send_each(100 * _S, 101 * _S)
    if is_now != 'applied':
        rig.hold(102 * _S)
    rig.worker.submit_prompt(_mask(1, 8, stamp_ns=5 * _S))  # late, by the old clock
    if is_now == 'applied':
        until(lambda: rig.segmenter.object_ids == (1,))
    rig.send(5 * _S)
    rig.gate.set()
    until(lambda: rig.results[-1].stamp_ns == 5 * _S)
    rig.send_each(6 * _S)
    assert rig.results[-1].object_ids == (1,)
    assert rig.segmenter._key_frames[1].frame.stamp_ns == 5 * _S
    assert rig.errors == []


@pytest.mark.parametrize('comes', ['before its image', 'after its image'])
def test_a_mask_of_a_bag_that_loops_is_for_the_new_round_though_the_old_one_has_its_image(
    make_rig: MakeRig, comes: str
) -> None:
    rig = make_rig(wait_s=PATIENCE_S)
    rig.send_each(5 * _S, 6 * _S, 7 * _S)
    for _ in range(3):
        if comes == 'before its image':
            rig.worker.submit_prompt(_mask(1, 8, stamp_ns=5 * _S))
        rig.send_each(5 * _S)
        if comes == 'after its image':
            rig.worker.submit_prompt(_mask(1, 8, stamp_ns=5 * _S))
        rig.send_each(6 * _S, 7 * _S)
        assert rig.results[-1].object_ids == (1,)
        assert rig.segmenter._key_frames[1].frame.stamp_ns == 5 * _S
    assert rig.worker.stats.time_jumps == 3
    assert rig.errors == []


def test_a_mask_is_for_the_first_image_after_a_jump_though_a_slow_network_never_saw_that(
    make_rig: MakeRig,
) -> None:
    rig = make_rig(wait_s=PATIENCE_S, max_late_s=5.0)
    rig.send_each(100 * _S)
    rig.hold(101 * _S)
    rig.worker.submit_prompt(_mask(1, 8, stamp_ns=5 * _S))
    rig.send(*(5 * _S + k for k in range(6)))
    rig.gate.set()
    until(lambda: rig.results[-1].stamp_ns == 5 * _S + 5)
    rig.hold(5 * _S + 6)
    rig.send(5 * _S + 7)
    rig.gate.set()
    until(lambda: rig.results[-1].stamp_ns == 5 * _S + 7)
    rig.send_each(5 * _S + 8)
    assert rig.results[-1].object_ids == (1,)
    assert rig.segmenter._key_frames[1].frame.stamp_ns == 5 * _S
    assert rig.errors == []


def _with_a_late_mask_in_doubt(make_rig: MakeRig) -> Rig:
    """Give a mask for the one image that may be of another time."""
    rig = make_rig(wait_s=PATIENCE_S, max_late_s=5.0)
    rig.send_each(100 * _S, 5 * _S)
    rig.worker.submit_prompt(_mask(1, 8, stamp_ns=5 * _S))
    return rig


def test_a_late_mask_is_not_refused_while_it_is_in_doubt_whether_time_has_jumped(
    make_rig: MakeRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests_module, '_HOLD_S', 0.0)
    rig = _with_a_late_mask_in_doubt(make_rig)
    rig.settle()
    rig.settle()
    assert rig.errors == []
    rig.send_each(101 * _S)  # it was a mistake
    until(lambda: len(rig.errors) == 1)
    assert 'older than the newest image' in str(rig.errors[0])


def test_a_late_mask_is_refused_where_no_image_comes_that_would_end_the_doubt(
    make_rig: MakeRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests_module, '_HOLD_IN_DOUBT_S', 0.2)
    rig = _with_a_late_mask_in_doubt(make_rig)
    until(lambda: len(rig.errors) == 1)
    assert 'older than the newest image' in str(rig.errors[0])


def test_the_masks_of_a_robot_whose_clock_is_set_back_are_not_taken_twice(
    make_rig: MakeRig,
) -> None:
    rig = make_rig(wait_s=PATIENCE_S)
    for tenth in range(100, 110):
        rig.send_each(tenth * _S // 10)
        rig.worker.submit_prompt(_mask(1, 8, stamp_ns=tenth * _S // 10))
        rig.settle()
    until(lambda: rig.segmenter.object_ids == (1,))
    rig.send_each(*(tenth * _S // 10 + 7_654_321 for tenth in range(105, 115)))
    assert rig.worker.stats.time_jumps == 1
    assert rig.results[-1].object_ids == ()
    assert rig.errors == []


def test_mask_of_the_old_clock_does_not_outlive_a_jump(make_rig: MakeRig) -> None:
    rig = make_rig(wait_s=1.0)
    rig.send_each(100 * _S, 101 * _S)
    rig.worker.submit_prompt(_mask(1, 8, stamp_ns=99 * _S))
    until(lambda: rig.segmenter.object_ids == (1,))
    rig.send_each(5 * _S, 6 * _S)
    assert rig.results[-1].object_ids == ()
    rig.settle()
    assert rig.errors == []


# Stamps that are a little off


_RATE_NS = 33_333_333
_EPOCH_NS = 1_700_000_000_123_456_789


def _frame_for(
    stamp_ns: int, lost: tuple[int, ...] = (), last: int = 19, **init: object
) -> tuple[int | None, str]:
    """Return which of some frames at 30 Hz a mask goes to, and what is said of it."""
    ring: FrameRing[int] = FrameRing(30, 1, lambda item: 0)
    requests: Requests[int] = Requests(InitConfig(wait_s=0.0, **init), ring)  # type: ignore[arg-type]
    for number in range(last + 1):
        if number not in lost:
            ring.put(_EPOCH_NS + number * _RATE_NS, number)
    requests.add_prompt(Prompt(np.ones((4, 4), np.uint8), stamp_ns))
    request = requests.take_ready(has_frame=True, prompts_wait=False)
    return (None, 'waits') if request is None else (request.item, request.note or request.refusal)


@pytest.mark.parametrize('last', [19, 10], ids=['long ago', 'newest'])
@pytest.mark.parametrize('policy', ['apply_to_latest', 'reject'])
@pytest.mark.parametrize(
    'off_ns',
    [0, -238, 238, -500, 400_000, 3_000_000, -3_000_000, 16_000_000, -16_000_000],
)
def test_a_stamp_within_half_a_period_means_that_frame(
    off_ns: int, policy: str, last: int
) -> None:
    stamp_ns = _EPOCH_NS + 10 * _RATE_NS + off_ns
    item, note = _frame_for(stamp_ns, last=last, late_policy=policy)
    assert item == 10
    assert ('off that of the nearest image' in note) == (off_ns != 0)


@pytest.mark.parametrize('lost', [(10,), (9, 10), (9, 10, 11)])
def test_a_mask_whose_image_was_lost_goes_to_the_nearest_one(lost: tuple[int, ...]) -> None:
    item, note = _frame_for(_EPOCH_NS + 10 * _RATE_NS, lost)
    assert item in (8, 9, 11, 12)
    assert abs(item - 10) == min(abs(k - 10) for k in range(20) if k not in lost)
    assert 'applied to the nearest one' in note
    item, _ = _frame_for(_EPOCH_NS + 10 * _RATE_NS, lost, late_policy='reject')
    assert item is None


def test_a_mask_for_the_next_frame_is_not_given_to_the_one_before(make_rig: MakeRig) -> None:
    rig = make_rig(wait_s=PATIENCE_S)
    rig.send_each(*(_EPOCH_NS + k * _RATE_NS for k in range(3)))
    rig.worker.submit_prompt(_mask(1, 8, stamp_ns=_EPOCH_NS + 3 * _RATE_NS - 238))
    rig.send_each(_EPOCH_NS + 3 * _RATE_NS)
    np.testing.assert_array_equal(rig.results[-1].label_map, _mask(1, 8).label_map)
    assert rig.worker.stats.catch_up_frames == 0


def test_a_mask_of_long_ago_is_refused_with_its_age(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.send_each(100 * _S, 101 * _S)
    rig.worker.submit_prompt(_mask(1, 8, stamp_ns=88 * _S))
    until(lambda: bool(rig.errors))
    assert '13.000 s older than the newest image' in str(rig.errors[0])
    assert rig.segmenter.object_ids == ()
    assert rig.worker.stats.prompts_rejected == 1


def test_many_masks_of_long_ago_are_all_refused_and_hold_up_no_other(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.send_each(100 * _S, 101 * _S)
    refused: list[str] = []
    for number in range(3 * QUEUE_CAPACITY):
        try:
            rig.worker.submit_prompt(_mask(number % 8 + 1, 8, stamp_ns=_S + number))
        except VosError as error:
            refused.append(str(error))
    rig.worker.submit_prompt(_mask(9, 8, stamp_ns=101 * _S))
    until(lambda: rig.segmenter.object_ids == (9,))
    until(lambda: len(rig.errors) + len(refused) == 3 * QUEUE_CAPACITY)
    assert rig.worker.stats.prompts_rejected == 3 * QUEUE_CAPACITY
    reasons = [*refused, *map(str, rig.errors)]
    assert all('older than the newest image' in reason for reason in reasons)


# Work that does not grow


def test_ids_are_counted_once_per_mask_however_many_images_pass(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counted: list[int] = []

    def count(label_map: LabelMap) -> tuple[int, ...]:
        counted.append(label_map.size)
        return ids_in(label_map)

    monkeypatch.setattr(requests_module, 'ids_in', count)
    ring: FrameRing[int] = FrameRing(30, 1, lambda item: 0)
    requests: Requests[int] = Requests(InitConfig(), ring)
    ring.put(1, 0)
    for object_id in range(1, QUEUE_CAPACITY + 1):
        requests.add_prompt(_mask(object_id, 8, stamp_ns=1))
    for stamp_ns in range(2, 50):
        ring.put(stamp_ns, stamp_ns)
        requests.frame_came(stamp_ns, stamp_ns)
    requests.remove(frozenset(range(100, 60_000)))
    assert len(counted) == QUEUE_CAPACITY


def test_a_mask_of_noise_is_cut_to_what_can_be_followed_before_it_waits(
    make_rig: MakeRig,
) -> None:
    rig = make_rig()
    noise = Prompt(np.arange(64 * 96, dtype=np.uint16).reshape(64, 96))
    rig.worker.submit_prompt(noise)
    assert len(rig.worker._backlog._requests._waiting[0].ids) == rig.segmenter.config.max_objects
    rig.send_each(1)
    assert len(rig.results[0].object_ids) == rig.segmenter.config.max_objects
    assert '6133 objects, 11 to 6143, are refused' in rig.results[0].warnings[0]
