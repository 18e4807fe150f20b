# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Many prompts at once, as detectors send them; through the worker."""

import numpy as np
import pytest
from worker_rig import MakeRig, PATIENCE_S, until

from vos_ros.datatypes import LabelMap, Prompt
from vos_ros.stream.requests import QUEUE_CAPACITY

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


@pytest.mark.parametrize('is_applied', [True, False], ids=['applied', 'waits'])
def test_mask_that_overtakes_the_first_image_after_a_jump_is_kept(
    make_rig: MakeRig, *, is_applied: bool
) -> None:
    rig = make_rig(wait_s=PATIENCE_S)
    rig.send_each(100 * _S, 101 * _S)
    if not is_applied:
        rig.hold(102 * _S)
    rig.worker.submit_prompt(_mask(1, 8, stamp_ns=5 * _S))  # late, by the old clock
    if is_applied:
        until(lambda: rig.segmenter.object_ids == (1,))
    rig.send(5 * _S)
    rig.gate.set()
    until(lambda: rig.results[-1].stamp_ns == 5 * _S)
    np.testing.assert_array_equal(rig.results[-1].label_map, _mask(1, 8).label_map)
    assert rig.errors == []


def test_mask_of_the_old_clock_does_not_outlive_a_jump(make_rig: MakeRig) -> None:
    rig = make_rig(wait_s=1.0)
    rig.send_each(100 * _S, 101 * _S)
    rig.worker.submit_prompt(_mask(1, 8, stamp_ns=99 * _S))
    until(lambda: rig.segmenter.object_ids == (1,))
    rig.send_each(5 * _S)
    assert rig.results[-1].object_ids == ()
    rig.settle()
    assert rig.errors == []
