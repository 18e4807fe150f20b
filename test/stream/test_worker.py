# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
from collections.abc import Callable
import functools
import threading
import time

from colour_backend import ColourBackend, MakeSegmenter
import numpy as np
import pytest
from worker_rig import MakeRig, Message, PATIENCE_S, places, prompt, until

from vos_ros.datatypes import Prompt
from vos_ros.errors import VosError
from vos_ros.stream.overload import OverloadLimits
from vos_ros.stream.requests import QUEUE_CAPACITY
from vos_ros.stream.timeline import TimeJump


def _dot(object_id: int) -> Prompt:
    label_map = np.zeros((64, 96), np.uint8)
    label_map[object_id, object_id] = object_id
    return Prompt(label_map)


def test_latest_frame_wins_while_the_worker_is_busy(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.hold(1)
    dropped = [rig.worker.submit_frame(Message(stamp)) for stamp in (2, 3, 4)]
    rig.gate.set()
    until(lambda: len(rig.results) == 2)
    assert dropped == [None, Message(2), Message(3)]
    assert rig.converted == [1, 4]
    stats = rig.worker.stats
    assert (stats.frames_in, stats.frames_dropped, stats.frames_done) == (4, 2, 2)
    assert rig.threads.isdisjoint({threading.get_ident()})


def test_prompt_is_applied_to_the_frame_that_it_names(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.hold(1)
    rig.send(2, 3, 4)  # 2 and 3 are dropped from the mailbox, but still buffered
    rig.worker.submit_prompt(prompt(1, stamp_ns=2))
    rig.gate.set()
    until(lambda: len(rig.results) == 2)
    assert rig.tracked() == [(1, ()), (4, (1,))]
    assert rig.converted == [1, 2, 3, 4]
    assert rig.segmenter._key_frames[1].frame.stamp_ns == 2
    assert rig.worker.stats.catch_up_frames == 2


def test_prompt_for_the_frame_in_the_mailbox_processes_it_once(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.hold(1)
    rig.send(2)
    rig.worker.submit_prompt(prompt(1, stamp_ns=2))
    rig.gate.set()
    until(lambda: len(rig.results) == 2)
    rig.send(3)
    until(lambda: len(rig.results) == 3)
    assert rig.converted == [1, 2, 3]
    assert rig.tracked() == [(1, ()), (2, (1,)), (3, (1,))]


def test_late_prompt_does_not_publish_a_frame_again(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.send_each(1, 2, 3)
    rig.worker.submit_prompt(prompt(1, stamp_ns=2))
    until(lambda: rig.segmenter.object_ids == (1,))
    rig.send_each(4)
    assert rig.tracked() == [(1, ()), (2, ()), (3, ()), (4, (1,))]
    assert rig.converted == [1, 2, 3, 2, 3, 4]


def test_late_prompt_does_not_publish_a_tracked_frame_again(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.worker.submit_prompt(prompt(1))
    rig.send_each(1, 2, 3)
    rig.worker.submit_prompt(prompt(2, stamp_ns=2))
    until(lambda: rig.segmenter.object_ids == (1, 2))
    rig.send(4)
    until(lambda: len(rig.results) == 4)
    assert rig.tracked() == [(1, (1,)), (2, (1,)), (3, (1,)), (4, (1, 2))]


def test_prompt_that_is_early_waits_for_its_frame(make_rig: MakeRig) -> None:
    rig = make_rig(wait_s=PATIENCE_S)
    rig.worker.submit_prompt(prompt(1, stamp_ns=3))
    rig.send_each(1, 2, 3, 4)
    assert rig.tracked() == [(1, ()), (2, ()), (3, (1,)), (4, (1,))]


def test_prompt_before_the_first_image_waits_for_it(make_rig: MakeRig) -> None:
    rig = make_rig(start=False, wait_s=PATIENCE_S)
    rig.worker.submit_prompt(prompt(1, stamp_ns=3))
    rig.worker.start()
    rig.send_each(3)
    assert rig.tracked() == [(3, (1,))]


def test_camera_may_start_long_after_the_detector(make_rig: MakeRig) -> None:
    rig = make_rig(wait_s=0.0)
    rig.worker.submit_prompt(prompt(1, stamp_ns=3))
    rig.worker.submit_prompt(prompt(2, stamp_ns=9))
    rig.worker.submit_remove([7])  # served in between: the worker has looked at the prompts
    # Without an image, no wait for one begins; with the first, it does for those that are early.
    rig.send_each(4)
    assert rig.tracked() == [(4, (1,))]
    until(lambda: len(rig.errors) == 1)
    assert 'within 0.0 s' in str(rig.errors[0])


@pytest.mark.parametrize('stamp_ns', [0, 2], ids=['for the next frame', 'early'])
def test_removal_reaches_prompts_that_wait(make_rig: MakeRig, stamp_ns: int) -> None:
    rig = make_rig(wait_s=PATIENCE_S)
    rig.send_each(1)
    both = Prompt(prompt(1).label_map + prompt(3).label_map, stamp_ns)
    rig.worker.submit_prompt(both)
    rig.worker.submit_prompt(prompt(2, stamp_ns))
    rig.worker.submit_remove([1, 2])
    rig.send_each(2)
    assert rig.tracked() == [(1, ()), (2, (3,))]
    until(lambda: len(rig.errors) > 0)  # said after the labels are out
    assert 'removed before its turn came' in str(rig.errors[0])
    assert rig.worker.stats.prompts_rejected == len(rig.errors) == 1


def test_stop_says_which_prompts_were_never_served(make_rig: MakeRig) -> None:
    rig = make_rig(wait_s=PATIENCE_S)
    rig.worker.submit_prompt(prompt(1))
    rig.worker.submit_prompt(prompt(1, stamp_ns=5))
    assert rig.worker.stop(PATIENCE_S)
    assert ['2 prompts waited' in str(error) for error in rig.errors] == [True]
    assert rig.worker.stats.prompts_rejected == 2


def test_early_prompt_keeps_its_frame_however_long_the_worker_is_busy(make_rig: MakeRig) -> None:
    rig = make_rig(wait_s=PATIENCE_S, buffer_frames=2)
    rig.hold(1)
    rig.worker.submit_prompt(prompt(1, stamp_ns=3))
    rig.send(*range(2, 20))
    rig.gate.set()
    until(lambda: len(rig.results) == 2)
    assert rig.tracked() == [(1, ()), (19, (1,))]
    assert rig.segmenter._key_frames[1].frame.stamp_ns == 3


def test_prompt_whose_frame_never_comes_is_rejected_with_the_reason(make_rig: MakeRig) -> None:
    rig = make_rig(wait_s=0.01)
    rig.send(1)
    rig.worker.submit_prompt(prompt(1, stamp_ns=99))
    until(lambda: len(rig.errors) == 1)
    assert isinstance(rig.errors[0], VosError)
    assert 'within 0.01 s' in str(rig.errors[0])
    assert rig.worker.stats.prompts_rejected == 1


@pytest.mark.parametrize('is_early', [True, False], ids=['skipped by the camera', 'too old'])
def test_late_prompt_is_rejected_where_that_is_the_policy(
    make_rig: MakeRig, is_early: bool
) -> None:
    rig = make_rig(late_policy='reject', wait_s=PATIENCE_S)
    rig.send(10)
    until(lambda: len(rig.results) == 1)
    rig.worker.submit_prompt(prompt(1, stamp_ns=15 if is_early else 5))
    rig.send(20)
    until(lambda: len(rig.errors) == 1 and len(rig.results) == 2)
    assert 'init.late_policy' in str(rig.errors[0])
    assert rig.segmenter.object_ids == ()


@pytest.mark.parametrize('is_early', [True, False], ids=['skipped by the camera', 'too old'])
def test_late_prompt_is_applied_to_the_latest_frame(make_rig: MakeRig, is_early: bool) -> None:
    rig = make_rig(wait_s=PATIENCE_S)
    rig.hold(10)
    rig.worker.submit_prompt(prompt(1, stamp_ns=15 if is_early else 5))
    rig.send(20)
    rig.gate.set()
    until(lambda: (20, (1,)) in rig.tracked())
    assert rig.errors == []
    assert 'no image that is still buffered has the stamp' in rig.results[-1].warnings[0]


def test_prompt_without_a_stamp_waits_for_the_next_frame(make_rig: MakeRig) -> None:
    rig = make_rig(start=False)
    rig.worker.submit_prompt(prompt(1))
    rig.worker.start()
    rig.send(7)
    until(lambda: len(rig.results) == 1)
    assert rig.tracked() == [(7, (1,))]


def test_prompts_for_one_frame_share_it(make_rig: MakeRig) -> None:
    rig = make_rig(start=False)
    rig.send(1)
    rig.worker.submit_prompt(prompt(1, stamp_ns=1))
    rig.worker.submit_prompt(prompt(2, stamp_ns=1, size=(64, 64)))  # another aspect
    rig.worker.submit_prompt(prompt(3, stamp_ns=1, size=(128, 192)))
    rig.worker.start()
    until(lambda: len(rig.results) == 1)
    assert rig.results[0].object_ids == (1, 3)
    assert rig.segmenter.memory.prompted_frames == 1
    assert [('64x64' in str(error)) for error in rig.errors] == [True]


@pytest.mark.parametrize(('mode', 'ids'), [('merge', (1, 2)), ('replace', (2,))])
def test_second_prompt_merges_or_replaces(
    make_rig: MakeRig, mode: str, ids: tuple[int, ...]
) -> None:
    rig = make_rig(mode=mode)
    for stamp in (1, 2):
        rig.worker.submit_prompt(prompt(stamp))
        rig.send(stamp)
        until(lambda count=stamp: len(rig.results) == count)  # type: ignore[misc]
    assert rig.tracked() == [(1, (1,)), (2, ids)]


def test_bad_prompt_is_refused_and_its_frame_still_segmented(make_rig: MakeRig) -> None:
    rig = make_rig(start=False)
    rig.worker.submit_prompt(Prompt(np.zeros((64, 96), np.uint8)))
    rig.send(1)
    rig.worker.start()
    until(lambda: len(rig.results) == 1)
    assert 'empty mask' in str(rig.errors[0])
    assert rig.failed == ['prompt']
    stats = rig.worker.stats
    assert (stats.prompts_in, stats.prompts_rejected, stats.errors) == (1, 1, 0)


def test_remove_and_reset_wait_for_nobody_and_keep_their_order(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.worker.submit_prompt(prompt(1))
    rig.hold(1)
    rig.worker.submit_prompt(prompt(2, stamp_ns=1))
    rig.worker.submit_remove([1])
    assert rig.results == []  # both calls came back in the middle of a frame
    rig.gate.set()
    until(lambda: rig.segmenter.object_ids == (2,))
    rig.worker.submit_reset()
    until(lambda: rig.segmenter.object_ids == ())
    rig.send(2)
    until(lambda: rig.tracked()[-1] == (2, ()))


def test_reset_cancels_prompts_that_wait_and_says_so(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.worker.submit_prompt(prompt(1))
    rig.worker.submit_reset()
    until(lambda: len(rig.errors) == 1)
    assert 'cancelled by a reset' in str(rig.errors[0])
    rig.send(1)
    until(lambda: len(rig.results) == 1)
    assert rig.tracked() == [(1, ())]


def test_queue_is_bounded_and_never_drops_silently(make_rig: MakeRig) -> None:
    rig = make_rig(start=False)
    for object_id in range(1, QUEUE_CAPACITY + 1):
        rig.worker.submit_prompt(_dot(object_id))
    with pytest.raises(VosError, match='no image has come yet'):
        rig.worker.submit_prompt(_dot(QUEUE_CAPACITY + 1))
    stats = rig.worker.stats
    assert (stats.prompts_in, stats.prompts_rejected) == (QUEUE_CAPACITY + 1, 1)


def test_prompts_of_a_broken_frame_wait_for_the_next_one_or_are_refused(make_rig: MakeRig) -> None:
    rig = make_rig(wait_s=PATIENCE_S)
    rig.hold(1)
    rig.worker.submit_prompt(prompt(1))
    rig.worker.submit_prompt(prompt(2))
    rig.worker.submit_prompt(prompt(3, stamp_ns=2))
    rig.worker.submit_frame(Message(2, is_broken=True))
    rig.gate.set()
    until(lambda: rig.worker.stats.frames_failed == 1)
    rig.send_each(3)
    assert rig.tracked() == [(1, ()), (3, (1, 2))]
    until(lambda: rig.worker.stats.prompts_rejected == 1)
    said = {str(error): what for error, what in zip(rig.errors, rig.failed)}
    assert sorted(said.values()) == ['frame', 'prompt']
    refusal = next(line for line, what in said.items() if what == 'prompt')
    assert 'frame of the prompt cannot be read' in refusal


def test_reset_while_an_image_turns_out_broken_forgets_its_prompt_too(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.gate.clear()
    rig.entered.clear()
    rig.worker.submit_prompt(prompt(1))
    rig.worker.submit_frame(Message(1, is_broken=True))
    assert rig.entered.wait(PATIENCE_S)
    rig.worker.submit_reset()
    rig.gate.set()
    until(lambda: rig.worker.stats.prompts_rejected == 1)
    rig.send_each(2)
    assert rig.tracked() == [(2, ())]


def test_prompts_of_a_frame_that_fails_are_counted(make_rig: MakeRig) -> None:
    rig = make_rig()

    def fail(*_: object) -> None:
        raise RuntimeError('the device is gone')

    rig.segmenter.start = fail  # type: ignore[method-assign,assignment]
    rig.worker.submit_prompt(prompt(1))
    rig.worker.submit_prompt(prompt(2))
    rig.send(1)
    until(lambda: rig.worker.stats.frames_failed == 1)
    assert rig.worker.stats.prompts_rejected == 2


def test_of_masks_in_place_of_all_others_the_newest_that_fits_is_taken(make_rig: MakeRig) -> None:
    rig = make_rig(mode='replace')
    rig.worker.submit_prompt(prompt(1))
    rig.worker.submit_prompt(prompt(2, size=(64, 64)))
    rig.send_each(1)
    assert rig.tracked() == [(1, (1,))]
    assert rig.worker.stats.prompts_rejected == 1


def test_object_wholly_covered_by_a_later_mask_is_named(make_rig: MakeRig) -> None:
    rig = make_rig()
    whole = Prompt(np.full((32, 48), 2, np.uint8))
    rig.worker.submit_prompt(prompt(1))
    rig.worker.submit_prompt(whole)
    rig.send_each(1)
    assert rig.results[0].object_ids == (2,)
    assert 'objects [1] are left out' in rig.results[0].warnings[0]


@pytest.mark.parametrize('what', ['reset', 'remove'])
def test_what_was_granted_is_done_though_the_worker_stops(make_rig: MakeRig, what: str) -> None:
    rig = make_rig()
    rig.worker.submit_prompt(prompt(1))
    rig.send_each(1)
    rig.hold(2)
    if what == 'reset':
        rig.worker.submit_reset()
    else:
        rig.worker.submit_remove([1])
    assert rig.worker.stop(timeout_s=0.01) is False
    rig.gate.set()
    assert rig.worker.stop(PATIENCE_S) is True
    assert rig.segmenter.object_ids == ()


def test_broken_frame_does_not_end_the_thread(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.worker.submit_frame(Message(1, is_broken=True))
    until(lambda: len(rig.errors) == 1)
    assert 'check the camera' in str(rig.errors[0])
    assert rig.failed == ['frame']
    rig.send(2)
    until(lambda: len(rig.results) == 1)
    assert rig.worker.stats.errors == 1


def test_defect_in_inference_does_not_end_the_thread(
    make_rig: MakeRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = make_rig()
    monkeypatch.setattr(rig.segmenter, 'segment', lambda frame: 1 / 0)
    rig.send(1)
    until(lambda: len(rig.errors) == 1)
    assert isinstance(rig.errors[0], ZeroDivisionError)
    assert rig.failed == ['frame']
    monkeypatch.undo()
    rig.send(2)
    until(lambda: len(rig.results) == 1)


def test_callbacks_that_fail_do_not_end_the_thread(make_rig: MakeRig) -> None:
    rig = make_rig()

    failed: list[str] = []

    def fail(*arguments: object) -> None:
        failed.append(str(arguments[1]))
        raise RuntimeError('publisher is gone')

    rig.on_result = fail
    rig.worker._pipeline._on_error = fail
    rig.worker.submit_prompt(prompt(1))
    rig.send_each(1, 2)
    assert rig.worker.stats.errors == 2
    assert failed[1::2] == ['other', 'other'], 'the frames were segmented'


def test_frame_is_memorised_after_it_was_given_away(make_rig: MakeRig) -> None:
    rig = make_rig()
    seen: list[bool] = []
    rig.on_result = lambda result, frame: seen.append(rig.segmenter._newest is not None)
    rig.worker.submit_prompt(prompt(1))
    rig.send_each(1)
    rig.settle()
    assert seen == [True]
    assert rig.segmenter._newest is None


def test_stop_waits_for_the_frame_in_progress_and_publishes_no_more(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.hold(1)
    rig.send(2)
    assert rig.worker.stop(timeout_s=0.01) is False
    rig.gate.set()
    assert rig.worker.stop(PATIENCE_S) is True
    assert rig.worker.stop(PATIENCE_S) is True
    assert rig.results == []
    assert rig.converted == [1]
    assert rig.worker.submit_frame(Message(3)) is None
    with pytest.raises(VosError, match='stopped'):
        rig.worker.submit_prompt(prompt(1))


def test_stopped_worker_starts_again_and_a_running_one_does_not(make_rig: MakeRig) -> None:
    rig = make_rig()
    with pytest.raises(VosError, match='runs already'):
        rig.worker.start()
    assert rig.worker.stop(PATIENCE_S)
    rig.worker.start()
    rig.send(5)
    until(lambda: len(rig.results) == 1)


def test_worker_that_never_started_stops(make_rig: MakeRig) -> None:
    assert make_rig(start=False).worker.stop() is True


def test_idle_worker_sleeps(make_rig: MakeRig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig = make_rig(start=False)
    asked: list[int] = []
    next_job = rig.worker._pipeline.next_job

    def ask() -> Callable[[], object] | None:
        asked.append(1)
        return next_job()

    monkeypatch.setattr(rig.worker._pipeline, 'next_job', ask)
    rig.worker.start()
    rig.send(1)
    until(lambda: len(rig.results) == 1)
    time.sleep(0.2)
    assert len(asked) <= 4  # start, the frame, and empty after it


# Every frame in one place


def test_every_frame_is_accounted_for_at_any_time(make_rig: MakeRig) -> None:
    ages = iter(range(10**6))
    rig = make_rig(
        options={
            'limits': OverloadLimits(0.0001, 10.0, 'skip'),
            'age_ms_of': lambda message: 100.0 if next(ages) % 3 == 0 else 0.0,
        }
    )
    rig.worker.submit_prompt(prompt(1))
    step_ns = 10**7
    for number in range(1, 401):
        stamp_ns = number * step_ns - (5 * step_ns if number % 11 == 0 else 0)
        rig.worker.submit_frame(Message(stamp_ns, is_broken=number % 7 == 0))
        stats = rig.worker.stats
        assert stats.frames_in == number == places(stats)
        if number % 3 == 0:
            until(lambda: rig.worker.stats.frames_waiting == 0)
    until(lambda: rig.worker.stats.frames_waiting == 0)
    stats = rig.worker.stats
    assert stats.frames_in == 400 == places(stats)
    assert stats.frames_done == len(rig.results) > 0
    assert stats.overtaken == 36
    assert min(stats.skipped_late, stats.skipped_paced, stats.frames_failed) > 0
    assert stats.frames_failed == stats.errors == len(rig.errors)
    until(lambda: rig.worker.stats.deadline_misses == rig.worker.stats.frames_done)


def test_frames_waiting_at_stop_count_as_dropped(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.hold(1)
    rig.send(2)
    assert rig.worker.stats.frames_waiting == 2
    rig.worker.stop(0.01)
    rig.gate.set()
    assert rig.worker.stop(PATIENCE_S)
    stats = rig.worker.stats
    assert (stats.frames_in, stats.frames_dropped, stats.frames_waiting) == (2, 2, 0)


def test_overtaken_frame_is_left_out_and_given_back(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.send_each(2 * 10**8)
    late = Message(2 * 10**8 - 1)
    assert rig.worker.submit_frame(late) is late
    rig.send_each(2 * 10**8 + 1)
    assert [r.stamp_ns for r in rig.results] == [2 * 10**8, 2 * 10**8 + 1]
    assert rig.worker.stats.overtaken == 1


# Overload


def test_frames_too_old_are_not_published(make_rig: MakeRig) -> None:
    rig = make_rig(
        options={
            'limits': OverloadLimits(max_age_ms=50.0),
            'age_ms_of': lambda message: 100.0 if message.stamp_ns % 2 else 0.0,
        }
    )
    for stamp in (1, 2, 3, 4):
        rig.send(stamp)
        until(lambda: rig.worker.stats.frames_waiting == 0)
    assert [r.stamp_ns for r in rig.results] == [2, 4]
    assert rig.worker.stats.skipped_late == 2
    assert rig.converted == [2, 4]


def test_frame_of_a_prompt_is_never_left_out(make_rig: MakeRig) -> None:
    rig = make_rig(
        options={'limits': OverloadLimits(max_age_ms=50.0), 'age_ms_of': lambda message: 100.0}
    )
    rig.worker.submit_prompt(prompt(1))
    rig.send(1)
    until(lambda: len(rig.results) == 1)
    assert rig.tracked() == [(1, (1,))]


def test_source_that_is_always_late_is_served_and_told(make_rig: MakeRig) -> None:
    rig = make_rig(
        options={'limits': OverloadLimits(max_age_ms=50.0), 'age_ms_of': lambda message: 100.0}
    )
    for stamp in range(1, 21):
        rig.send(stamp)
        until(lambda: rig.worker.stats.frames_waiting == 0)
    stats = rig.worker.stats
    assert (stats.skipped_late, stats.frames_done) == (10, 10)
    assert rig.worker.overload.is_late_at_arrival


def test_missed_deadlines_shrink_the_network_and_objects_stay(
    make_rig: MakeRig, make_segmenter: MakeSegmenter
) -> None:
    rig = make_rig(
        segmenter=make_segmenter(input_size=320),
        options={'limits': OverloadLimits(0.0001, policy='shrink')},
    )
    rig.worker.submit_prompt(prompt(1))
    sizes = []
    rig.on_result = lambda result, frame: sizes.append(rig.segmenter.input_size)
    rig.send_each(*range(1, 31))
    # The first frame is not judged, as it brings another camera size.
    assert sizes == [(320, 480)] * 9 + [(256, 384)] * 21
    assert {r.object_ids for r in rig.results} == {(1,)}
    assert rig.worker.stats.shrinks == 1
    status = rig.worker.overload
    assert (status.policy, status.level, status.max_level) == ('shrink', 1, 1)
    # Room again, by a deadline that cannot be missed.
    rig.worker.set_limits(OverloadLimits(1e6, policy='shrink'))
    rig.send_each(*range(31, 100))
    assert rig.segmenter.input_size == (320, 480)
    assert rig.worker.stats.grows == 1
    assert rig.errors == []


def test_size_that_cannot_be_had_is_reported_once_and_work_goes_on(
    make_rig: MakeRig, make_segmenter: MakeSegmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    segmenter = make_segmenter(input_size=320)
    rig = make_rig(
        start=False,
        segmenter=segmenter,
        options={'limits': OverloadLimits(0.0001, policy='shrink')},
    )

    def refuse(size: tuple[int, int]) -> ColourBackend:
        if size[0] < 320:
            raise VosError('no memory on the device')
        return ColourBackend(size)

    monkeypatch.setattr(segmenter._sizes, '_open_for', refuse)
    rig.worker.start()
    rig.worker.submit_prompt(prompt(1))
    rig.send_each(*range(1, 41))
    until(lambda: rig.worker.stats.frames_waiting == 0)
    assert [str(error) for error in rig.errors] == ['no memory on the device']
    assert segmenter.level == 0


# Jumps in time

_S = 10**9


@pytest.mark.parametrize(('policy', 'ids'), [('reset', ()), ('ignore', (1,))])
@pytest.mark.parametrize('to_s', [5, 50_000], ids=['back', 'forward'])
def test_jump_in_time_resets_or_goes_on_and_nothing_freezes(
    make_rig: MakeRig, policy: str, ids: tuple[int, ...], to_s: int
) -> None:
    jumps: list[TimeJump] = []
    clocks: list[int] = []

    def note(jump: TimeJump) -> None:
        jumps.append(jump)
        clocks.append(rig.segmenter._stamp_ns)

    rig = make_rig(options={'time_jump_policy': policy, 'on_time_jump': note})
    rig.worker.submit_prompt(prompt(1))
    rig.send_each(*(100 * _S + k for k in range(5)))
    rig.send_each(*(to_s * _S + k for k in range(5)))
    # The first frame after it may be a mistake: it is answered, and not believed.
    assert [r.object_ids for r in rig.results] == [(1,)] * 6 + [ids] * 4
    assert [r.stamp_ns for r in rig.results[5:]] == [to_s * _S + k for k in range(5)]
    assert jumps == [TimeJump(100 * _S + 4, to_s * _S, policy)]
    assert clocks == [0]  # nothing may be held against the old time
    assert rig.worker.stats.time_jumps == 1


def test_prompt_sent_at_the_jump_is_applied_to_the_first_frame_after_it(
    make_rig: MakeRig,
) -> None:
    """What a node does with a latched init mask when a bag starts again."""

    def prompt_again(jump: TimeJump) -> None:
        rig.worker.submit_prompt(prompt(1, stamp_ns=5 * _S))

    rig = make_rig(options={'on_time_jump': prompt_again})
    for _ in range(3):
        rig.send_each(5 * _S, 6 * _S, 7 * _S)
    assert rig.tracked()[:4] == [(k * _S, ()) for k in (5, 6, 7, 5)]
    assert rig.tracked()[4:] == [(k * _S, (1,)) for k in (6, 7, 5, 6, 7)]
    assert {key.frame.stamp_ns for key in rig.segmenter._key_frames.values()} == {5 * _S}
    assert rig.worker.stats.time_jumps == 2
    assert rig.worker.stats.odd_stamps == 4  # the first and the one that confirmed it
    assert rig.errors == []


def _more_than(values: list[int], count: int) -> bool:
    return len(values) > count


@pytest.mark.parametrize('is_broken', [True, False], ids=['unusable', 'usable'])
@pytest.mark.parametrize(
    'stamp_ns',
    [1, 90 * _S, 3100 * _S, 20_000 * _S, 2**62],
    ids=['1970', 'back', '50 min', 'hours', 'end of time'],
)
def test_one_image_with_an_odd_stamp_makes_nothing_forgotten(
    make_rig: MakeRig, stamp_ns: int, *, is_broken: bool
) -> None:
    rig = make_rig()
    rig.worker.submit_prompt(prompt(1))
    rig.send_each(*(100 * _S + k * _S // 30 for k in range(5)))
    before = rig.segmenter.memory.value(1).copy()
    for number in range(3):
        known = len(rig.converted)
        rig.worker.submit_frame(Message(stamp_ns, is_broken))
        until(functools.partial(_more_than, rig.converted, known))
        rig.settle()
        if not number:
            assert rig.segmenter.memory.value(1).tobytes() == before.tobytes()
        rig.send_each(100 * _S + (5 + number) * _S // 30)
    assert [r.object_ids for r in rig.results if r.stamp_ns != stamp_ns] == [(1,)] * 8
    stats = rig.worker.stats
    assert stats.time_jumps == 0
    assert stats.odd_stamps == 3
    assert stats.frames_failed == (3 if is_broken else 0)
    assert stats.frames_done == (8 if is_broken else 11)
    assert places(stats) == stats.frames_in


def test_unusable_images_confirm_no_jump(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.worker.submit_prompt(prompt(1))
    rig.send_each(100 * _S)
    for stamp_ns in (5 * _S, 6 * _S, 7 * _S):
        known = len(rig.converted)
        rig.worker.submit_frame(Message(stamp_ns, is_broken=True))
        until(functools.partial(_more_than, rig.converted, known))
    rig.send_each(8 * _S)
    assert rig.tracked()[-1] == (8 * _S, (1,))
    rig.send_each(9 * _S)
    assert rig.tracked()[-1] == (9 * _S, ())


def test_a_prompt_for_the_next_frame_is_not_spent_on_an_odd_one(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.send_each(100 * _S)
    rig.worker.submit_prompt(prompt(1))
    rig.send_each(5 * _S, 6 * _S)
    assert rig.tracked()[1:] == [(5 * _S, ()), (6 * _S, (1,))]
    assert rig.errors == []


def test_a_pause_of_minutes_keeps_the_objects(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.worker.submit_prompt(prompt(1))
    rig.send_each(*(k * _S for k in (100, 101, 1000, 1001, 1002)))
    assert [r.object_ids for r in rig.results] == [(1,)] * 5
    assert rig.worker.stats.time_jumps == 0
    assert rig.worker._backlog._ring.stamps() == [k * _S for k in (100, 101, 1000, 1001, 1002)]


def test_frames_before_a_jump_are_forgotten(make_rig: MakeRig) -> None:
    rig = make_rig(late_policy='reject', wait_s=0.01)
    rig.send_each(100 * _S, 101 * _S, 5 * _S, 6 * _S)
    rig.worker.submit_prompt(prompt(1, stamp_ns=100 * _S))
    until(lambda: len(rig.errors) == 1)
    assert rig.segmenter.object_ids == ()


def test_prompt_for_a_frame_before_the_jump_does_not_outlive_it(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.hold(100 * _S)
    rig.worker.submit_prompt(prompt(1, stamp_ns=100 * _S))
    rig.send(5 * _S)
    rig.gate.set()
    until(lambda: len(rig.results) == 2)
    rig.send_each(6 * _S)
    assert rig.tracked()[-1] == (6 * _S, ())


@pytest.mark.parametrize(('policy', 'ids'), [('reset', ()), ('ignore', (1,))])
def test_jump_while_a_mask_catches_up(
    make_rig: MakeRig, policy: str, ids: tuple[int, ...]
) -> None:
    rig = make_rig(options={'time_jump_policy': policy}, catch_up_ms=10_000.0)
    rig.send_each(*(100 * _S + k for k in range(5)))
    rig.gate.clear()
    rig.entered.clear()
    rig.worker.submit_prompt(prompt(1, stamp_ns=100 * _S))
    assert rig.entered.wait(PATIENCE_S)
    rig.send(5 * _S)
    rig.gate.set()
    until(lambda: len(rig.results) == 6)
    rig.send_each(6 * _S)
    assert rig.tracked()[-1] == (6 * _S, ids)


def test_two_cameras_on_one_topic_are_no_reason_to_grow_or_to_forget(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.worker.submit_prompt(prompt(1))
    rig.send_each(_S)
    for number in range(1, 101):
        rig.send_each(100_000 * _S + number, _S + number)
    assert len(rig.worker._backlog._ring) == 30
    assert len(rig.worker._backlog._suspects) == 0
    assert rig.worker.stats.time_jumps == 0
    assert rig.worker.stats.odd_stamps == 100
    assert {r.object_ids for r in rig.results} == {(1,)}
    assert rig.errors == []
