# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Late init masks: on an object that moves and changes its colour, they end up as if on time.

ColourBackend finds what has the mean colour of the prompted and the recent frame. The object's
colour drifts, so that whoever jumps from an old frame to the newest one does not find it.
"""

from collections.abc import Callable
from dataclasses import replace
import time

from colour_backend import ColourBackend, MakeSegmenter
import numpy as np
import pytest
from worker_rig import MakeRig, Message, Rig, until

from vos_ros.datatypes import Frame, Image, Prompt
from vos_ros.engine.segmenter import VideoSegmenter
from vos_ros.errors import VosError
from vos_ros.stream.catch_up import CatchUp, stride

_MS = 1_000_000
_STEP_NS = 33 * _MS
_FRAMES = 16  # half a second at 30 Hz
_STAMPS = [k * _STEP_NS for k in range(1, _FRAMES + 1)]
_LATE: dict[str, object] = {'catch_up_ms': 10_000.0}  # time for every frame on any machine


def _box(stamp_ns: int) -> tuple[slice, slice]:
    left = 4 + 4 * round(stamp_ns / _STEP_NS)
    return slice(8, 24), slice(left, left + 16)


def _picture(stamp_ns: int) -> Image:
    """Object 2 moves right and drifts from red to yellow; object 1 stands still and is blue."""
    image: Image = np.full((64, 96, 3), 128, np.uint8)
    image[40:56, 40:56] = (20, 20, 250)
    drift = min(round(6 * stamp_ns / _STEP_NS), 200)
    image[_box(stamp_ns)] = (250, 20 + drift, 20)
    return image


def _frame(stamp_ns: int) -> Frame:
    return Frame(_picture(stamp_ns), 'rgb8', stamp_ns)


def _mask(object_id: int, stamp_ns: int) -> Prompt:
    label_map = np.zeros((64, 96), np.uint8)
    where = (slice(40, 56), slice(40, 56)) if object_id == 1 else _box(stamp_ns)
    label_map[where] = object_id
    return Prompt(label_map, stamp_ns)


def _on_time(make_segmenter: MakeSegmenter) -> VideoSegmenter:
    segmenter = make_segmenter()
    segmenter.step(_frame(_STAMPS[0]), _mask(2, _STAMPS[0]))
    for stamp_ns in _STAMPS[1:]:
        segmenter.step(_frame(stamp_ns))
    return segmenter


def _calls(segmenter: VideoSegmenter) -> list[str]:
    backend = segmenter._work.backend
    assert isinstance(backend, ColourBackend)
    return backend.calls


@pytest.fixture
def make_late(make_rig: MakeRig) -> Callable[..., Rig]:
    """Send every frame, then a mask for the first one; return when its object is known."""

    def make(**init: object) -> Rig:
        rig = make_rig(picture=_picture, **init)
        rig.send_each(*_STAMPS)
        rig.worker.submit_prompt(_mask(2, _STAMPS[0]))
        until(lambda: rig.segmenter.object_ids == (2,))
        return rig

    return make


@pytest.mark.parametrize(
    ('pending', 'left_ms', 'cost_ms', 'step'),
    [
        (1, 500, 40, 1),
        (10, 500, 40, 1),
        (15, 500, 40, 2),
        (30, 500, 40, 3),
        (12, 80, 40, 6),
        (12, 79, 40, 12),
        (12, 39, 40, 12),
        (12, -5, 40, 12),
        (12, 0, 0, 12),
    ],
)
def test_frames_are_chosen_evenly_within_the_time(
    pending: int, left_ms: float, cost_ms: float, step: int
) -> None:
    assert stride(pending, left_ms, cost_ms) == step


@pytest.mark.parametrize('cost_ms', [10, 37, 90, 400])
def test_last_frame_chosen_is_the_newest(cost_ms: int) -> None:
    at, left_ms, seen = 0, 500.0, []
    while at < 30:
        at += stride(30 - at, left_ms, cost_ms)
        left_ms -= cost_ms
        seen.append(at)
    assert seen[-1] == 30
    assert len(seen) == min(30, max(1, 500 // cost_ms))
    steps = np.diff([0, *seen])
    assert steps.max() - steps.min() <= 2


def test_late_mask_ends_up_as_if_on_time(
    make_late: Callable[..., Rig], make_segmenter: MakeSegmenter
) -> None:
    expected = _on_time(make_segmenter)
    rig = make_late(**_LATE)
    assert rig.segmenter.memory.value(2).tobytes() == expected.memory.value(2).tobytes()
    assert rig.segmenter._tracks == expected._tracks
    stamp_ns = _STAMPS[-1] + _STEP_NS
    rig.send_each(stamp_ns)
    result = rig.results[-1]
    assert result.stamp_ns == stamp_ns
    found = expected.step(_frame(stamp_ns))
    np.testing.assert_array_equal(result.label_map, found.label_map)
    np.testing.assert_allclose(result.prob, found.prob, atol=1e-6)
    assert np.count_nonzero(result.label_map[_box(stamp_ns)]) > 200  # of 256
    assert rig.worker.stats.catch_up_frames == _FRAMES


@pytest.mark.parametrize('off_ns', [-238, 238, 400_000, -16_000_000])
def test_late_mask_whose_stamp_is_a_little_off_ends_up_as_if_on_time(
    make_rig: MakeRig, make_segmenter: MakeSegmenter, off_ns: int
) -> None:
    expected = _on_time(make_segmenter)
    rig = make_rig(picture=_picture, **_LATE)
    rig.send_each(*_STAMPS)
    rig.worker.submit_prompt(replace(_mask(2, _STAMPS[0]), stamp_ns=_STAMPS[0] + off_ns))
    until(lambda: rig.segmenter.object_ids == (2,))
    assert rig.segmenter.memory.value(2).tobytes() == expected.memory.value(2).tobytes()
    rig.send_each(_STAMPS[-1] + _STEP_NS)
    assert 'off that of the nearest image' in rig.results[-1].warnings[0]


def test_without_time_the_newest_frame_follows_the_mask_s(make_late: Callable[..., Rig]) -> None:
    """The counterpart: the test above needs the frames between."""
    rig = make_late(catch_up_ms=0.0)
    assert rig.worker.stats.catch_up_frames == 2
    assert rig.converted == [*_STAMPS, _STAMPS[0], _STAMPS[-1]]
    rig.send_each(_STAMPS[-1] + _STEP_NS)
    assert not rig.results[-1].label_map.any()


def test_no_frame_is_answered_twice(make_late: Callable[..., Rig]) -> None:
    rig = make_late(**_LATE)
    rig.send_each(_STAMPS[-1] + _STEP_NS)
    assert [r.stamp_ns for r in rig.results] == [*_STAMPS, _STAMPS[-1] + _STEP_NS]
    assert [bool(r.object_ids) for r in rig.results] == [False] * _FRAMES + [True]


def test_objects_known_do_not_change_by_a_bit(
    make_rig: MakeRig, make_segmenter: MakeSegmenter
) -> None:
    rig = make_rig(picture=_picture, **_LATE)
    rig.worker.submit_prompt(_mask(1, _STAMPS[0]))
    rig.send_each(*_STAMPS)
    rig.settle()
    before = rig.segmenter.memory.value(1).tobytes()
    tracks = dict(rig.segmenter._tracks)
    rig.worker.submit_prompt(_mask(2, _STAMPS[0]))
    until(lambda: rig.segmenter.object_ids == (1, 2))
    assert rig.segmenter.memory.value(1).tobytes() == before
    assert rig.segmenter._tracks[1] == tracks[1]
    assert rig.segmenter.memory.prompted_frames == 2
    stamp_ns = _STAMPS[-1] + _STEP_NS
    rig.send_each(stamp_ns)
    labels = rig.results[-1].label_map
    assert np.count_nonzero(labels[_box(stamp_ns)] == 2) > 200
    # Object 1 is where it is without the late mask.
    alone = make_segmenter()
    alone.step(_frame(_STAMPS[0]), _mask(1, _STAMPS[0]))
    for stamp in (*_STAMPS[1:], stamp_ns):
        found = alone.step(_frame(stamp)).label_map
    np.testing.assert_array_equal(labels == 1, found == 1)


def test_known_object_is_prompted_again_on_a_past_frame(make_rig: MakeRig) -> None:
    rig = make_rig(picture=_picture, **_LATE)
    both = _mask(1, _STAMPS[0]).label_map | _mask(2, _STAMPS[0]).label_map
    rig.worker.submit_prompt(Prompt(both, _STAMPS[0]))
    rig.send_each(*_STAMPS)
    rig.settle()
    before = rig.segmenter.memory.value(1).tobytes()
    rig.worker.submit_prompt(_mask(2, _STAMPS[3]))
    until(lambda: rig.segmenter.memory.prompted_frames == 2)
    assert rig.segmenter._key_frames[2].frame.stamp_ns == _STAMPS[3]
    assert rig.segmenter.memory.value(1).tobytes() == before


def test_live_frames_go_on_while_a_mask_catches_up(make_rig: MakeRig) -> None:
    rig = make_rig(picture=_picture, **_LATE)
    rig.worker.submit_prompt(_mask(1, _STAMPS[0]))
    rig.send_each(*_STAMPS[:8])
    rig.hold(_STAMPS[8])
    rig.worker.submit_prompt(_mask(2, _STAMPS[2]))
    order: list[int] = []
    plain = rig.worker._pipeline._to_frame

    def convert(message: Message) -> Frame:
        order.append(message.stamp_ns)
        if len(order) in (2, 4):  # a camera goes on whatever we do
            rig.send(_STAMPS[8 + len(order) // 2])
        return plain(message)

    rig.worker._pipeline._to_frame = convert
    rig.gate.set()
    until(lambda: rig.segmenter.object_ids == (1, 2))
    # In turn: the mask's frame and one after it, live, replayed, live, then the rest.
    expected = [_STAMPS[k] for k in (2, 3, 9, 4, 10, 5, 6, 7, 8, 9, 10)]
    assert order == expected
    assert [r.stamp_ns for r in rig.results] == _STAMPS[:11]


def test_without_other_objects_the_frame_that_waits_is_answered_with_the_late_ones(
    make_rig: MakeRig,
) -> None:
    rig = make_rig(picture=_picture, **_LATE)
    rig.hold(_STAMPS[0])
    rig.send(*_STAMPS[1:])
    rig.worker.submit_prompt(_mask(2, _STAMPS[0]))
    rig.gate.set()
    until(lambda: len(rig.results) == 2)
    assert rig.tracked() == [(_STAMPS[0], ()), (_STAMPS[-1], (2,))]
    assert rig.converted == [_STAMPS[0], *_STAMPS]


def test_replacing_forgets_the_others_when_the_new_ones_join(make_rig: MakeRig) -> None:
    rig = make_rig(picture=_picture, mode='replace', **_LATE)
    rig.worker.submit_prompt(_mask(1, _STAMPS[0]))
    rig.send_each(*_STAMPS)
    rig.worker.submit_prompt(_mask(2, _STAMPS[0]))
    until(lambda: rig.segmenter.object_ids == (2,))


@pytest.mark.parametrize('command', ['remove', 'reset'])
def test_objects_on_their_way_can_be_removed(make_rig: MakeRig, command: str) -> None:
    rig = make_rig(picture=_picture, **_LATE)
    rig.send_each(*_STAMPS)
    rig.gate.clear()
    rig.entered.clear()
    rig.worker.submit_prompt(_mask(2, _STAMPS[0]))
    assert rig.entered.wait(20.0)
    if command == 'remove':
        rig.worker.submit_remove([2])
    else:
        rig.worker.submit_reset()
    rig.gate.set()
    rig.send_each(_STAMPS[-1] + _STEP_NS)
    assert rig.tracked()[-1] == (_STAMPS[-1] + _STEP_NS, ())
    assert rig.segmenter.object_ids == ()


def test_prompts_wait_for_each_other_and_removals_for_none(make_rig: MakeRig) -> None:
    rig = make_rig(picture=_picture, **_LATE)
    rig.send_each(*_STAMPS)
    rig.gate.clear()
    rig.worker.submit_prompt(_mask(2, _STAMPS[0]))
    rig.worker.submit_prompt(_mask(1, _STAMPS[4]))
    rig.worker.submit_remove([1])
    rig.worker.submit_prompt(_mask(3, _STAMPS[6]))
    rig.gate.set()
    until(lambda: rig.segmenter.object_ids == (2, 3))
    until(lambda: len(rig.errors) > 0)
    assert [str(error) for error in rig.errors] == [
        'the objects of the prompt were removed before its turn came'
    ]


def test_beyond_the_cap_all_start_from_the_newest_frame_and_that_is_said(
    make_rig: MakeRig, make_segmenter: MakeSegmenter
) -> None:
    rig = make_rig(segmenter=make_segmenter(max_prompted_frames=1), picture=_picture, **_LATE)
    rig.worker.submit_prompt(_mask(1, _STAMPS[0]))
    rig.send_each(*_STAMPS)
    rig.worker.submit_prompt(_mask(2, _STAMPS[0]))
    until(lambda: rig.segmenter.object_ids == (1, 2))
    assert rig.segmenter.memory.prompted_frames == 1
    stamp_ns = _STAMPS[-1] + _STEP_NS
    rig.send_each(stamp_ns)
    assert 'max_prompted_frames = 1' in rig.results[-1].warnings[0]
    assert np.count_nonzero(rig.results[-1].label_map[_box(stamp_ns)] == 2) > 200


def test_object_removed_on_its_way_does_not_come_back_beyond_the_cap(
    make_segmenter: MakeSegmenter,
) -> None:
    segmenter = make_segmenter(max_prompted_frames=1)
    segmenter.step(_frame(_STAMPS[0]), _mask(1, _STAMPS[0]))
    label_map = _mask(2, _STAMPS[0]).label_map.copy()
    label_map[56:, 80:] = 3
    catch_up = CatchUp(segmenter, _frame(_STAMPS[0]), Prompt(label_map), replaces=False)
    catch_up.remove([3])
    catch_up.finish()
    assert segmenter.object_ids == (1, 2)


def test_too_many_objects_are_refused_on_a_past_frame_too(
    make_rig: MakeRig, make_segmenter: MakeSegmenter
) -> None:
    rig = make_rig(segmenter=make_segmenter(max_objects=1), picture=_picture, **_LATE)
    rig.worker.submit_prompt(_mask(1, _STAMPS[0]))
    rig.send_each(*_STAMPS)
    rig.worker.submit_prompt(_mask(2, _STAMPS[0]))
    until(lambda: len(rig.errors) == 1)
    assert 'max_objects = 1' in str(rig.errors[0])
    rig.worker.submit_remove([1])
    both = _mask(1, _STAMPS[0]).label_map | _mask(2, _STAMPS[0]).label_map
    rig.worker.submit_prompt(Prompt(both, _STAMPS[0]))
    until(lambda: rig.segmenter.object_ids == (1,))
    rig.send_each(_STAMPS[-1] + _STEP_NS)
    assert '[2]' in rig.results[-1].warnings[0]


def test_empty_mask_for_a_past_frame_is_refused(make_rig: MakeRig) -> None:
    rig = make_rig(picture=_picture)
    rig.send_each(*_STAMPS)
    rig.worker.submit_prompt(Prompt(np.zeros((64, 96), np.uint8), _STAMPS[0]))
    until(lambda: len(rig.errors) == 1)
    assert 'empty mask' in str(rig.errors[0])
    assert rig.worker.stats.prompts_rejected == 1


def test_broken_frame_on_the_way_is_passed_over(make_rig: MakeRig) -> None:
    rig = make_rig(picture=_picture, **_LATE)
    rig.send_each(*_STAMPS[:4])
    rig.worker.submit_frame(Message(_STAMPS[4], is_broken=True))
    until(lambda: len(rig.errors) == 1)
    rig.send_each(*_STAMPS[5:])
    rig.worker.submit_prompt(_mask(2, _STAMPS[0]))
    until(lambda: rig.segmenter.object_ids == (2,))
    assert rig.converted[-1] == _STAMPS[-1]
    assert rig.worker.stats.frames_failed == 1


def test_stop_hands_over_what_was_on_its_way(make_rig: MakeRig) -> None:
    rig = make_rig(picture=_picture, **_LATE)
    rig.send_each(*_STAMPS)
    rig.gate.clear()
    rig.entered.clear()
    rig.worker.submit_prompt(_mask(2, _STAMPS[0]))
    assert rig.entered.wait(20.0)
    rig.worker.stop(0.01)
    rig.gate.set()
    assert rig.worker.stop(20.0)
    assert rig.segmenter.object_ids == (2,)


def test_catching_up_ends_although_the_camera_is_faster(
    make_segmenter: MakeSegmenter, make_rig: MakeRig
) -> None:
    """Each replayed frame lets two new ones arrive; only the time can end it."""
    rig = make_rig(picture=_picture, catch_up_ms=200.0)
    rig.send_each(*_STAMPS[:3])
    newest = [_STAMPS[2]]
    plain = rig.worker._pipeline._to_frame

    def convert(message: Message) -> Frame:
        time.sleep(0.005)
        if rig.segmenter.object_ids == ():
            for _ in range(2):
                newest[0] += _STEP_NS
                rig.send(newest[0])
        return plain(message)

    rig.worker._pipeline._to_frame = convert
    rig.worker.submit_prompt(_mask(2, _STAMPS[0]))
    until(lambda: rig.segmenter.object_ids == (2,))


def test_catch_up_leaves_the_segmenter_alone_until_its_end(make_segmenter: MakeSegmenter) -> None:
    segmenter = make_segmenter()
    segmenter.step(_frame(_STAMPS[0]), _mask(1, _STAMPS[0]))
    segmenter.step(_frame(_STAMPS[1]))
    before = segmenter.memory.value(1).tobytes()
    catch_up = CatchUp(segmenter, _frame(_STAMPS[0]), _mask(2, _STAMPS[0]), replaces=False)
    catch_up.replay(_frame(_STAMPS[1]))
    assert catch_up.cost_ms > 0
    known = [segmenter.object_ids, catch_up.object_ids]
    assert catch_up.finish() == ()
    assert [*known, segmenter.object_ids] == [(1,), (2,), (1, 2)]
    assert segmenter.memory.value(1).tobytes() == before
    assert _calls(segmenter).count('encode_image') == 4
    with pytest.raises(VosError, match='aspect'):
        CatchUp(segmenter, _frame(0), Prompt(np.ones((64, 64), np.uint8)), replaces=False)


def test_object_that_caught_up_is_not_taken_for_its_twin(make_segmenter: MakeSegmenter) -> None:
    """The motion gate must know at once where the object is."""
    segmenter = make_segmenter()
    catch_up = CatchUp(segmenter, _frame(_STAMPS[0]), _mask(2, _STAMPS[0]), replaces=False)
    catch_up.replay(_frame(_STAMPS[1]))
    catch_up.finish()
    image = _picture(_STAMPS[2])
    image[40:56, 72:88] = image[12, _box(_STAMPS[2])[1].start + 4]
    labels = segmenter.segment(Frame(image, 'rgb8', _STAMPS[2])).label_map
    assert np.count_nonzero(labels[_box(_STAMPS[2])]) > 200
    assert not labels[40:56, 72:88].any()
