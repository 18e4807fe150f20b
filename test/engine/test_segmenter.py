# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
from collections.abc import Callable, Sequence
import copy
from pathlib import Path
import pickle
from typing import Any

from colour_backend import ColourBackend, MakeSegmenter
import cv2
import numpy as np
import numpy.typing as npt
import pytest

from vos_ros.backends.base import Manifest
from vos_ros.config import LostConfig, MemoryConfig, RuntimeConfig, SegmenterConfig
from vos_ros.datatypes import Float, Frame, Image, LabelMap, ObjectState, Prompt, Segmentation
from vos_ros.engine.segmenter import VideoSegmenter
from vos_ros.engine.tracking import Doubt, look, Sight
from vos_ros.errors import VosError

_SIZE = (64, 96)
_COLOURS = {1: (250, 20, 20), 2: (20, 250, 20), 3: (20, 20, 250), 4: (250, 250, 20)}
_Boxes = dict[int, tuple[int, int]]  # object -> (row, column) of its 16x16 square
_START: _Boxes = {1: (8, 8), 2: (8, 40), 3: (40, 8), 4: (40, 40)}


def _frame(boxes: _Boxes, stamp_ns: int = 0, size: tuple[int, int] = _SIZE) -> Frame:
    image: Image = np.full((*_SIZE, 3), 128, np.uint8)
    for object_id, (row, column) in boxes.items():
        image[row : row + 16, column : column + 16] = _COLOURS[object_id]
    if size != _SIZE:
        image = cv2.resize(image, size[::-1], interpolation=cv2.INTER_NEAREST)  # type: ignore[assignment]
    return Frame(image, 'rgb8', stamp_ns, 'camera')


def _labels(boxes: _Boxes, ids: Sequence[int]) -> LabelMap:
    label_map = np.zeros(_SIZE, np.uint8)
    for object_id in ids:
        row, column = boxes[object_id]
        label_map[row : row + 16, column : column + 16] = object_id
    return label_map


def _moved(boxes: _Boxes, step: int) -> _Boxes:
    return {k: (row, column + 4 * step) for k, (row, column) in boxes.items()}


def _assert_found(found: LabelMap, expected: LabelMap) -> None:
    """Bilinear upsampling rounds the corners of a square by one pixel each, and no more."""
    ids = set(np.unique(expected))
    assert set(np.unique(found)) == ids
    different = found != expected
    assert np.count_nonzero(different) <= 4 * (len(ids) - 1)
    for object_id in ids - {0}:
        inside = cv2.erode((expected == object_id).astype(np.uint8), np.ones((3, 3), np.uint8))
        assert not different[inside > 0].any()


def _calls(segmenter: VideoSegmenter) -> list[str]:
    backend = segmenter._work.backend
    assert isinstance(backend, ColourBackend)
    calls, backend.calls = backend.calls, []
    return calls


def _bits(segmenter: VideoSegmenter, ids: Sequence[int]) -> dict[int, bytes]:
    return {k: segmenter.memory.value(k).tobytes() for k in ids}


def test_label_map_of_start_is_the_prompt_itself(make_segmenter: MakeSegmenter) -> None:
    prompt = np.zeros((61, 91), np.uint8)
    prompt[3:31, 5:44] = 7
    prompt[17, 80] = 200
    result = make_segmenter().start(
        Frame(np.zeros((61, 91, 3), np.uint8), 'bgr8', 5, 'c'), Prompt(prompt)
    )
    np.testing.assert_array_equal(result.label_map, prompt)
    assert result.label_map.dtype == np.uint8
    assert result.object_ids == (7, 200)
    assert result.scores == {7: 1.0, 200: 1.0}
    assert (result.stamp_ns, result.frame_id, result.warnings) == (5, 'c', ())
    assert result.prob.shape == (3, 16, 24)
    np.testing.assert_allclose(result.prob.sum(axis=0), 1.0, atol=1e-6)


@pytest.mark.parametrize('ids', [(1,), (3,), (1, 2, 3, 4)])
def test_objects_are_followed_where_they_go(
    make_segmenter: MakeSegmenter, ids: tuple[int, ...]
) -> None:
    segmenter = make_segmenter()
    segmenter.step(_frame(_START), Prompt(_labels(_START, ids)))
    for step in range(1, 8):
        boxes = _moved(_START, step)
        result = segmenter.step(_frame(boxes, stamp_ns=step))
        _assert_found(result.label_map, _labels(boxes, ids))
        assert result.stamp_ns == step
        assert min(result.scores.values()) > 0.9


def test_label_map_comes_at_the_size_of_the_camera(make_segmenter: MakeSegmenter) -> None:
    segmenter = make_segmenter()
    segmenter.step(_frame(_START, size=(128, 192)), Prompt(_labels(_START, (1, 2))))
    for size in ((64, 96), (128, 192), (480, 720), (50, 75)):
        result = segmenter.step(_frame(_START, size=size))
        assert result.label_map.shape == size
        expected = cv2.resize(_labels(_START, (1, 2)), size[::-1], interpolation=cv2.INTER_NEAREST)
        assert np.mean(result.label_map != expected) < 0.03


def test_a_result_can_be_pickled_and_copied(make_segmenter: MakeSegmenter) -> None:
    segmenter = make_segmenter()
    segmenter.step(_frame(_START), Prompt(_labels(_START, (1, 2))))
    result = segmenter.step(_frame(_START))
    for other in (pickle.loads(pickle.dumps(result)), copy.deepcopy(result)):
        np.testing.assert_array_equal(other.label_map, result.label_map)
        assert other.scores == dict(result.scores)
        assert other.states == dict(result.states)


def test_segment_leaves_the_memory_alone(make_segmenter: MakeSegmenter) -> None:
    segmenter = make_segmenter()
    segmenter.step(_frame(_START), Prompt(_labels(_START, (1, 2))))
    before = _bits(segmenter, (1, 2))
    segmenter.segment(_frame(_moved(_START, 1)))
    assert _bits(segmenter, (1, 2)) == before


def test_frame_is_encoded_once_and_a_group_decoded_once(make_segmenter: MakeSegmenter) -> None:
    segmenter = make_segmenter()
    segmenter.step(_frame(_START), Prompt(_labels(_START, (1, 2, 3))))
    _calls(segmenter)
    segmenter.step(_frame(_START))
    assert _calls(segmenter) == ['encode_image', 'segment 3', 'encode_mask 3']


def test_memorize_writes_a_frame_once(make_segmenter: MakeSegmenter) -> None:
    segmenter = make_segmenter()
    segmenter.step(_frame(_START), Prompt(_labels(_START, (1,))))
    segmenter.segment(_frame(_START))
    _calls(segmenter)
    segmenter.memorize()
    segmenter.memorize()
    assert _calls(segmenter) == ['encode_mask 1']


def test_only_every_nth_frame_is_memorised(make_segmenter: MakeSegmenter) -> None:
    segmenter = make_segmenter(mem_every=3)
    segmenter.step(_frame(_START), Prompt(_labels(_START, (1,))))
    _calls(segmenter)
    for _ in range(9):
        segmenter.step(_frame(_START))
    assert _calls(segmenter).count('encode_mask 1') == 3


def test_lost_object_is_not_memorised_and_found_again(make_segmenter: MakeSegmenter) -> None:
    segmenter = make_segmenter()
    segmenter.step(_frame(_START), Prompt(_labels(_START, (1, 2))))
    for _ in range(3):
        segmenter.step(_frame(_START))
    gone = {k: box for k, box in _START.items() if k != 1}
    for _ in range(5):
        result = segmenter.step(_frame(gone))
        assert result.scores[1] == 0.0
        assert set(np.unique(result.label_map)) == {0, 2}
    prompted, recent = segmenter.memory.value(1)
    np.testing.assert_array_equal(prompted, recent)
    result = segmenter.step(_frame(_START))
    _assert_found(result.label_map, _labels(_START, (1, 2)))


def test_known_masks_are_memorised_in_place_of_those_that_were_found(
    make_segmenter: MakeSegmenter,
) -> None:
    """Whatever was found on the frame, the memory is as if it had been these."""
    corrected, plain = make_segmenter(), make_segmenter()
    for segmenter in (corrected, plain):
        segmenter.step(_frame(_START), Prompt(_labels(_START, (1, 2))))
    moved = _moved(_START, 1)
    plain.segment(_frame(moved))
    plain.memorize()
    gone = {k: box for k, box in moved.items() if k != 1}
    corrected.segment(_frame(moved))
    corrected.memorize(_labels(gone, (2,)))
    prompted, recent = corrected.memory.value(1)
    np.testing.assert_array_equal(prompted, recent, 'it has no pixel there')
    np.testing.assert_allclose(corrected.memory.value(2), plain.memory.value(2), atol=1e-3)
    for segmenter in (corrected, plain):
        segmenter.segment(_frame(moved))
    corrected.memorize(_labels(_moved(_START, 2), (1, 2)))
    plain.memorize()
    assert not np.array_equal(corrected.memory.value(1), plain.memory.value(1))


@pytest.mark.parametrize(
    ('instead', 'why'),
    [
        (np.zeros((30, 40), np.uint8), 'of 40x30 was given to memorise; the image has 96x64'),
        (np.zeros((2, 16, 24), np.float32), '2 rows of probabilities'),
        (np.full((3, 16, 24), 8, np.float32), 'are these logits'),
        (np.full((3, 16, 24), np.nan, np.float32), 'must be 0 to 1'),
        (np.zeros((3, 0, 0), np.float32), 'takes a label map'),
        (np.zeros((1, 3, 16, 24), np.float32), 'takes a label map'),
        (np.zeros(4, np.uint8), 'takes a label map'),
        (np.full(_SIZE, 0.5, np.float32), 'takes a label map'),
    ],
)
def test_a_wrong_correction_is_refused_and_a_right_one_still_counts(
    make_segmenter: MakeSegmenter, instead: npt.NDArray[Any], why: str
) -> None:
    wrong, right = make_segmenter(), make_segmenter()
    moved = _moved(_START, 1)
    for segmenter in (wrong, right):
        segmenter.step(_frame(_START), Prompt(_labels(_START, (1, 2))))
        segmenter.segment(_frame(moved))
    before = _bits(wrong, (1, 2))
    with pytest.raises(VosError, match=why):
        wrong.memorize(instead)
    assert _bits(wrong, (1, 2)) == before
    known = _labels(_moved(_START, 2), (1, 2))
    for segmenter in (wrong, right):
        segmenter.memorize(known)
    assert _bits(wrong, (1, 2)) == _bits(right, (1, 2)) != before


def test_a_correction_may_be_of_one_image_of_another_size(make_segmenter: MakeSegmenter) -> None:
    segmenter = make_segmenter()
    segmenter.step(_frame(_START), Prompt(_labels(_START, (1, 2))))
    found = segmenter.segment(_frame(_START, size=(128, 192)))
    assert found.label_map.shape == (128, 192)
    segmenter.memorize(found.label_map)
    assert segmenter.step(_frame(_START)).object_ids == (1, 2)


def test_a_correction_of_no_frame_is_refused(make_segmenter: MakeSegmenter) -> None:
    segmenter = make_segmenter()
    segmenter.memorize(_labels(_START, (1,)))  # nothing is followed: nothing to be corrected
    segmenter.step(_frame(_START), Prompt(_labels(_START, (1,))))
    with pytest.raises(VosError, match=r'step\(\) has memorised its frame already'):
        segmenter.memorize(_labels(_START, (1,)))


def test_a_fork_that_does_not_fit_is_refused_and_nothing_has_changed(
    make_segmenter: MakeSegmenter,
) -> None:
    segmenter = make_segmenter(max_objects=2)
    segmenter.step(_frame(_START), Prompt(_labels(_START, (1, 4))))
    fork = segmenter.fork()
    fork.step(_frame(_START), Prompt(_labels(_START, (2, 4))))
    before = _bits(segmenter, (1, 4))
    with pytest.raises(VosError, match='max_objects = 2'):
        segmenter.adopt(fork)
    assert _bits(segmenter, (1, 4)) == before
    assert segmenter.step(_frame(_START)).object_ids == (1, 4)
    assert segmenter.remove_objects([1]) == (1,)
    segmenter.segment(_frame(_START))
    segmenter.adopt(fork)  # between a frame and its memorising
    segmenter.memorize()
    assert segmenter.step(_frame(_START)).object_ids == (2, 4)


def test_known_masks_are_believed_though_what_was_found_is_not(
    make_segmenter: MakeSegmenter,
) -> None:
    segmenter = make_segmenter(min_score=1.0)
    segmenter.step(_frame(_START), Prompt(_labels(_START, (1,))))
    before = _bits(segmenter, (1,))
    faded = _frame(_START).image.copy()
    faded[8:24, 8:24] = (230, 40, 40)
    segmenter.segment(Frame(faded))
    segmenter.memorize(_labels(_START, (1,)))
    assert _bits(segmenter, (1,)) != before


def test_score_below_the_minimum_is_not_memorised(make_segmenter: MakeSegmenter) -> None:
    segmenter = make_segmenter(min_score=1.0)
    segmenter.step(_frame(_START), Prompt(_labels(_START, (1,))))
    before = _bits(segmenter, (1,))
    faded = _frame(_START).image.copy()
    faded[8:24, 8:24] = (230, 40, 40)
    assert 0 < segmenter.step(Frame(faded)).scores[1] < 1.0
    assert _bits(segmenter, (1,)) == before


def test_object_added_midway_is_followed_beside_the_others(make_segmenter: MakeSegmenter) -> None:
    segmenter = make_segmenter()
    segmenter.step(_frame(_START), Prompt(_labels(_START, (1, 3))))
    segmenter.step(_frame(_START))
    before = _bits(segmenter, (1, 3))
    result = segmenter.add_objects(_frame(_START), Prompt(_labels(_START, (2,))))
    assert _bits(segmenter, (1, 3)) == before
    _assert_found(result.label_map, _labels(_START, (1, 2, 3)))
    assert result.object_ids == (1, 2, 3)
    segmenter.memorize()
    assert segmenter.memory.prompted_frames == 2
    boxes = _moved(_START, 2)
    _assert_found(segmenter.step(_frame(boxes)).label_map, _labels(boxes, (1, 2, 3)))


def test_prompt_wins_over_what_was_predicted(make_segmenter: MakeSegmenter) -> None:
    segmenter = make_segmenter()
    segmenter.step(_frame(_START), Prompt(_labels(_START, (1, 2))))
    stolen = np.zeros(_SIZE, np.uint8)
    stolen[8:24, 8:16] = 9  # the left half of object 1
    result = segmenter.step(_frame(_START), Prompt(stolen))
    expected = _labels(_START, (1, 2))
    expected[8:24, 8:16] = 9
    np.testing.assert_array_equal(result.label_map == 9, stolen == 9)
    _assert_found(result.label_map, expected)


def test_prompting_one_object_again_leaves_the_others_bit_by_bit(
    make_segmenter: MakeSegmenter,
) -> None:
    results: list[Segmentation] = []
    for prompts_again in (False, True):
        segmenter = make_segmenter()
        segmenter.step(_frame(_START), Prompt(_labels(_START, (1, 2, 3))))
        segmenter.step(_frame(_START))
        before = _bits(segmenter, (1, 3))
        prompt = np.zeros(_SIZE, np.uint8)
        prompt[10:22, 42:50] = 2
        if prompts_again:
            results.append(segmenter.add_objects(_frame(_START), Prompt(prompt)))
            assert segmenter.object_ids == (1, 2, 3)
            np.testing.assert_array_equal(results[-1].label_map == 2, prompt == 2)
        else:
            results.append(segmenter.segment(_frame(_START)))
        assert _bits(segmenter, (1, 3)) == before
    for object_id in (1, 3):
        plain, again = (result.label_map == object_id for result in results)
        np.testing.assert_array_equal(plain, again)
        covered = cv2.resize(prompt.astype(np.float32), (24, 16), interpolation=cv2.INTER_AREA)
        probs = [result.prob[object_id][covered == 0] for result in results]
        np.testing.assert_array_equal(probs[0], probs[1])


def test_removed_object_is_gone_and_the_ids_of_the_others_stay(
    make_segmenter: MakeSegmenter,
) -> None:
    segmenter = make_segmenter()
    segmenter.step(_frame(_START), Prompt(_labels(_START, (1, 2, 3))))
    segmenter.step(_frame(_START))
    before = _bits(segmenter, (1, 3))
    assert segmenter.remove_objects([2, 77]) == (2,)
    assert _bits(segmenter, (1, 3)) == before
    result = segmenter.step(_frame(_START))
    _assert_found(result.label_map, _labels(_START, (1, 3)))
    assert result.object_ids == (1, 3)


def test_object_removed_before_memorize_does_not_come_back(make_segmenter: MakeSegmenter) -> None:
    segmenter = make_segmenter()
    segmenter.step(_frame(_START), Prompt(_labels(_START, (1, 2))))
    segmenter.segment(_frame(_START))
    segmenter.remove_objects([1])
    segmenter.memorize()
    assert segmenter.object_ids == (2,)
    segmenter.segment(_frame(_START))
    segmenter.remove_objects([2])
    segmenter.memorize()
    assert len(segmenter.object_ids) == 0


def test_prompted_frames_are_capped_and_the_move_is_said(make_segmenter: MakeSegmenter) -> None:
    segmenter = make_segmenter(max_prompted_frames=2)
    warnings = [
        segmenter.step(_frame(_START), Prompt(_labels(_START, (k,)))).warnings for k in _START
    ]
    assert [len(lines) for lines in warnings] == [0, 0, 1, 0]
    assert 'max_prompted_frames = 2' in warnings[2][0]
    assert '[1, 2]' in warnings[2][0]
    boxes = _moved(_START, 1)
    for _ in range(2):
        result = segmenter.step(_frame(boxes))
        _assert_found(result.label_map, _labels(boxes, tuple(_START)))


def test_objects_out_of_sight_are_forgotten_for_one_prompted_frame_only(
    make_segmenter: MakeSegmenter,
) -> None:
    segmenter = make_segmenter(max_prompted_frames=2)
    for k in (1, 2):
        segmenter.step(_frame({k: _START[k]}), Prompt(_labels(_START, (k,))))
    segmenter.step(_frame({}))
    hidden = segmenter.step(_frame({3: _START[3]}), Prompt(_labels(_START, (3,))))
    assert hidden.object_ids == segmenter.object_ids == (2, 3)
    assert 'objects [1], out of sight, are forgotten' in hidden.warnings[0]
    np.testing.assert_allclose(hidden.prob.sum(axis=0), 1, rtol=1e-5)
    back = segmenter.step(_frame(_START)).label_map
    _assert_found(back, _labels(_START, (2, 3)))


def test_nothing_is_forgotten_for_a_prompt_that_fails(
    make_segmenter: MakeSegmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    segmenter = make_segmenter(max_prompted_frames=1)
    segmenter.step(_frame({1: _START[1]}), Prompt(_labels(_START, (1,))))
    segmenter.step(_frame({}))

    def fail(*_: object) -> None:
        raise RuntimeError('the device is gone')

    monkeypatch.setattr(segmenter._work, 'encode', fail)
    with pytest.raises(RuntimeError):
        segmenter.step(_frame({3: _START[3]}), Prompt(_labels(_START, (3,))))
    assert segmenter.object_ids == (1,)


def test_objects_beyond_the_maximum_are_refused_by_name(make_segmenter: MakeSegmenter) -> None:
    segmenter = make_segmenter(max_objects=2)
    result = segmenter.start(_frame(_START), Prompt(_labels(_START, (1, 2, 3))))
    assert result.object_ids == (1, 2)
    np.testing.assert_array_equal(result.label_map, _labels(_START, (1, 2)))
    assert '[3]' in result.warnings[0]
    assert 'max_objects = 2' in result.warnings[0]
    result = segmenter.add_objects(_frame(_START), Prompt(_labels(_START, (2, 4))))
    assert result.object_ids == (1, 2)
    assert '[4]' in result.warnings[0]


def test_large_ids_are_kept_and_need_sixteen_bits(make_segmenter: MakeSegmenter) -> None:
    prompt = _labels(_START, (1,)).astype(np.uint16) * 65535
    segmenter = make_segmenter()
    assert segmenter.start(_frame(_START), Prompt(prompt)).object_ids == (65535,)
    label_map = segmenter.step(_frame(_START)).label_map
    assert label_map.dtype == np.uint16
    _assert_found(label_map, prompt)


def test_empty_mask_cannot_start_and_changes_nothing(make_segmenter: MakeSegmenter) -> None:
    segmenter = make_segmenter()
    segmenter.step(_frame(_START), Prompt(_labels(_START, (1,))))
    with pytest.raises(VosError, match='empty mask'):
        segmenter.start(_frame(_START), Prompt(np.zeros(_SIZE, np.uint8)))
    assert segmenter.object_ids == (1,)


def test_empty_mask_midway_just_segments(make_segmenter: MakeSegmenter) -> None:
    segmenter = make_segmenter()
    segmenter.step(_frame(_START), Prompt(_labels(_START, (1,))))
    result = segmenter.step(_frame(_START), Prompt(np.zeros(_SIZE, np.uint8)))
    _assert_found(result.label_map, _labels(_START, (1,)))


@pytest.mark.parametrize(
    ('call', 'reason'),
    [
        (lambda s, frame, mask: s.segment(frame.image), 'pass Frame(image, "rgb8")'),
        (lambda s, frame, mask: s.step(frame.image), 'pass Frame(image, "rgb8")'),
        (lambda s, frame, mask: s.start(frame.image, Prompt(mask)), 'pass Frame(image, "rgb8")'),
        (lambda s, frame, mask: s.start(frame, mask), 'pass Prompt(mask)'),
        (lambda s, frame, mask: s.step(frame, mask), 'pass Prompt(mask)'),
        (lambda s, frame, mask: s.add_objects(frame, mask), 'pass Prompt(mask)'),
        (lambda s, frame, mask: s.add_objects(frame.image, Prompt(mask)), 'pass Frame(image'),
    ],
)
@pytest.mark.parametrize('known', [False, True])
def test_an_array_in_place_of_a_frame_or_prompt_is_refused_with_what_to_pass(
    make_segmenter: MakeSegmenter, call: Callable[..., object], reason: str, *, known: bool
) -> None:
    segmenter = make_segmenter()
    frame, mask = _frame(_START), _labels(_START, [1])
    if known:
        segmenter.step(frame, Prompt(mask))
    with pytest.raises(VosError) as caught:
        call(segmenter, frame, mask)
    assert reason in str(caught.value)
    assert 'not ndarray' in str(caught.value)
    assert segmenter.object_ids == ((1,) if known else ())


def test_mask_of_another_aspect_is_refused_with_both_sizes(make_segmenter: MakeSegmenter) -> None:
    segmenter = make_segmenter()
    with pytest.raises(VosError, match=r'96x96.*96x64'):
        segmenter.start(_frame(_START), Prompt(np.ones((96, 96), np.uint8)))
    assert len(segmenter.object_ids) == 0


def test_object_that_vanishes_in_resizing_is_named(make_segmenter: MakeSegmenter) -> None:
    prompt = np.repeat(np.repeat(_labels(_START, (1,)), 4, axis=0), 4, axis=1)
    prompt[255, 383] = 2
    result = make_segmenter().start(_frame(_START), Prompt(prompt))
    assert result.object_ids == (1,)
    assert 'objects [2]' in result.warnings[0]


@pytest.mark.parametrize('size', [(64, 96), (256, 384), (20, 30)])
def test_one_pixel_object_is_accepted(
    make_segmenter: MakeSegmenter, size: tuple[int, int]
) -> None:
    prompt = np.zeros(size, np.uint8)
    prompt[size[0] // 2, size[1] // 2] = 1
    segmenter = make_segmenter()
    segmenter.step(_frame(_START, size=size), Prompt(prompt))
    result = segmenter.step(_frame(_START, size=size))
    assert result.object_ids == (1,)
    assert np.isfinite(result.prob).all()


def test_without_objects_nothing_is_found_and_nothing_computed(
    make_segmenter: MakeSegmenter,
) -> None:
    segmenter = make_segmenter()
    result = segmenter.step(_frame(_START, stamp_ns=4))
    assert not result.label_map.any()
    assert result.label_map.shape == _SIZE
    assert (result.object_ids, result.scores, result.stamp_ns) == ((), {}, 4)
    np.testing.assert_array_equal(result.prob, np.ones((1, 16, 24)))
    assert _calls(segmenter) == []


def test_start_forgets_what_was_before(make_segmenter: MakeSegmenter) -> None:
    segmenter = make_segmenter()
    segmenter.step(_frame(_START), Prompt(_labels(_START, (1, 2))))
    segmenter.start(_frame(_START), Prompt(_labels(_START, (3,))))
    assert segmenter.object_ids == (3,)
    segmenter.reset()
    assert len(segmenter.object_ids) == 0


def test_input_size_replaces_the_one_of_the_model(make_segmenter: MakeSegmenter) -> None:
    segmenter = make_segmenter(input_size=100)
    segmenter.step(_frame(_START), Prompt(_labels(_START, (1,))))
    assert segmenter.input_size == (96, 144)


def test_states_tell_that_an_object_is_gone_and_back(make_segmenter: MakeSegmenter) -> None:
    segmenter = make_segmenter()
    gone = {k: box for k, box in _START.items() if k != 1}
    first = segmenter.step(_frame(_START), Prompt(_labels(_START, (1, 2))))
    assert first.states == {1: ObjectState.TRACKED, 2: ObjectState.TRACKED}
    results = [segmenter.step(_frame(gone)) for _ in range(70)]
    states = [result.states[1].value for result in results]
    assert [states.count(name) for name in ('tracked', 'occluded')] == [2, 57]  # 3 frames, 2 s
    assert states == sorted(states, key=['tracked', 'occluded', 'lost'].index)
    assert {result.states[2] for result in results} == {ObjectState.TRACKED}
    assert segmenter.doubts[Doubt.EMPTY.value] == 70
    back = [segmenter.step(_frame(_START)).states[1].value for _ in range(4)]
    assert back == ['lost', 'lost', 'tracked', 'tracked']


def test_limits_of_states_are_live(make_segmenter: MakeSegmenter) -> None:
    segmenter = make_segmenter()
    segmenter.step(_frame(_START), Prompt(_labels(_START, (1, 2))))
    segmenter.lost = LostConfig(occluded_after_frames=1, lost_after_s=0.0)
    assert segmenter.step(_frame({2: _START[2]})).states[1] is ObjectState.LOST


@pytest.mark.parametrize('forgets', [False, True])
def test_time_that_is_forgotten_does_not_make_objects_lost(
    make_segmenter: MakeSegmenter, forgets: bool
) -> None:
    segmenter = make_segmenter()
    segmenter.lost = LostConfig(occluded_after_frames=1)
    segmenter.step(_frame(_START, stamp_ns=10**9), Prompt(_labels(_START, (1, 2))))
    if forgets:
        segmenter.forget_time()
    result = segmenter.step(_frame({2: _START[2]}, stamp_ns=5000 * 10**9))
    assert result.states[1] is (ObjectState.OCCLUDED if forgets else ObjectState.LOST)


def test_states_survive_segmenting_twice(make_segmenter: MakeSegmenter) -> None:
    """Only a frame that is memorised counts."""
    segmenter = make_segmenter()
    segmenter.step(_frame(_START), Prompt(_labels(_START, (1, 2))))
    for _ in range(10):
        assert segmenter.segment(_frame({2: _START[2]})).states[1] is ObjectState.TRACKED
    assert segmenter.doubts == dict.fromkeys(('empty', 'low_score', 'collapsed', 'exploded'), 0)


@pytest.mark.parametrize(
    ('side', 'reason', 'is_written'),
    [(4, 'collapsed', False), (8, '', True), (48, 'exploded', False)],
)
def test_mask_of_a_sudden_size_is_not_memorised(
    make_segmenter: MakeSegmenter, side: int, reason: str, is_written: bool
) -> None:
    segmenter = make_segmenter(max_speed=0.0)
    segmenter.step(_frame(_START), Prompt(_labels(_START, (1,))))
    segmenter.step(_frame(_START))
    image = np.full((*_SIZE, 3), 128, np.uint8)
    image[8 : 8 + side, 8 : 8 + side] = (230, 40, 30)  # a shade that the memory would show
    result = segmenter.step(Frame(image))
    assert np.count_nonzero(result.label_map) > side**2 / 2
    prompted, recent = segmenter.memory.value(1)
    assert (not np.array_equal(prompted, recent)) == is_written
    assert {name for name, count in segmenter.doubts.items() if count} == {reason} - {''}


# The network's size


def _large(max_prompted_frames: int = 4) -> tuple[VideoSegmenter, list[tuple[int, int]]]:
    """Make a segmenter with a ladder of four sizes, and the list of what was opened."""
    manifest = Manifest(
        **{
            **{'name': 'colour', 'folder': Path(), 'sha256': '', 'stride': 16, 'mask_stride': 4},
            **{'key_dim': 3, 'value_dim': 3, 'short_side': 480, 'multiple': 16, 'graphs': {}},
            **{'mean': (0.0, 0.0, 0.0), 'std': (255.0, 255.0, 255.0), 'content': {}},
        }  # type: ignore[arg-type]
    )
    opened: list[tuple[int, int]] = []

    def open_for(size: tuple[int, int]) -> ColourBackend:
        opened.append(size)
        return ColourBackend(size)

    config = SegmenterConfig(memory=MemoryConfig(max_prompted_frames=max_prompted_frames))
    return VideoSegmenter(manifest, open_for, config), opened


def _vga(boxes: _Boxes, stamp_ns: int = 0) -> Frame:
    return _frame(boxes, stamp_ns, size=(480, 720))


def _assert_follows(segmenter: VideoSegmenter, ids: tuple[int, ...], boxes: _Boxes) -> None:
    result = segmenter.step(_vga(boxes))
    expected = cv2.resize(_labels(boxes, ids), (720, 480), interpolation=cv2.INTER_NEAREST)
    assert result.object_ids == ids
    assert np.mean(result.label_map != expected) < 0.01


def test_objects_stay_when_the_network_shrinks_and_grows() -> None:
    segmenter, _ = _large()
    segmenter.step(_vga(_START), Prompt(_labels(_START, (1, 2))))
    segmenter.step(_vga(_START), Prompt(_labels(_START, (3,))))
    sizes = []
    for step, level in enumerate((1, 2, 3, 3, 2, 0, 3, 9), 1):
        segmenter.set_level(level)
        sizes.append(segmenter.input_size)
        _assert_follows(segmenter, (1, 2, 3), _moved(_START, step % 3))
        assert segmenter.memory.prompted_frames == 2
    shapes = {0: (480, 720), 1: (384, 576), 2: (320, 480), 3: (256, 384)}
    assert sizes == [shapes[level] for level in (1, 2, 3, 3, 2, 0, 3, 3)]


def test_each_size_is_opened_once() -> None:
    segmenter, opened = _large()
    segmenter.step(_vga(_START), Prompt(_labels(_START, (1,))))
    for level in (1, 0, 1, 2, 3, 0, 3):
        segmenter.set_level(level)
        segmenter.step(_vga(_START))
    assert len(opened) == len(set(opened)) == 5  # the usual camera's, and the four steps
    assert set(segmenter._sizes._backends) == {(480, 720), (384, 576), (320, 480), (256, 384)}
    other, opened = _large()
    other.step(_vga(_START), Prompt(_labels(_START, (1,))))
    other.open_sizes()
    before = list(opened)
    other.set_level(3)
    assert opened == before


def test_change_of_size_costs_one_encoding_per_frame_in_memory() -> None:
    segmenter, _ = _large()
    segmenter.step(_vga(_START), Prompt(_labels(_START, (1, 2))))
    segmenter.step(_vga(_START), Prompt(_labels(_START, (3,))))
    segmenter.step(_vga(_START))
    assert segmenter.set_level(1)
    calls = _calls(segmenter)
    assert calls.count('encode_image') == 3
    assert not segmenter.set_level(1)
    assert _calls(segmenter) == []


def test_recent_frame_comes_along_but_for_objects_not_seen_on_it() -> None:
    segmenter, _ = _large()
    segmenter.step(_vga(_START), Prompt(_labels(_START, (1, 2))))
    for _ in range(2):
        faded = _frame({2: _START[2]}).image.copy()
        faded[8:24, 40:56] = (40, 230, 30)
        segmenter.step(Frame(faded.repeat(8, axis=0).repeat(8, axis=1)))
    segmenter.set_level(2)
    gone_prompted, gone_recent = segmenter.memory.value(1)
    prompted, recent = segmenter.memory.value(2)
    np.testing.assert_array_equal(gone_prompted, gone_recent)
    np.testing.assert_allclose(prompted[:, 0], np.array(_COLOURS[2]) / 255, atol=0.02)
    np.testing.assert_allclose(recent[:, 0], np.array((40, 230, 30)) / 255, atol=0.02)


def test_recent_frame_survives_two_changes_in_a_row() -> None:
    segmenter, _ = _large()
    segmenter.step(_vga(_START), Prompt(_labels(_START, (2,))))
    faded = _frame({}).image.copy()
    faded[8:24, 40:56] = (40, 230, 30)
    segmenter.step(Frame(faded.repeat(8, axis=0).repeat(8, axis=1)))
    segmenter.set_level(2)
    segmenter.set_level(1)
    _, recent = segmenter.memory.value(2)
    np.testing.assert_allclose(recent[:, 0], np.array((40, 230, 30)) / 255, atol=0.02)


def test_removed_object_does_not_come_back_with_another_size() -> None:
    segmenter, _ = _large()
    segmenter.step(_vga(_START), Prompt(_labels(_START, (1, 2))))
    segmenter.step(_vga(_START))
    segmenter.remove_objects([1])
    segmenter.set_level(1)
    assert segmenter.object_ids == (2,)
    _assert_follows(segmenter, (2,), _START)


def test_size_that_cannot_be_opened_leaves_all_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    segmenter, _ = _large()
    segmenter.step(_vga(_START), Prompt(_labels(_START, (1,))))
    before = segmenter.memory

    def refuse(size: tuple[int, int]) -> ColourBackend:
        raise VosError('no memory on the device')

    monkeypatch.setattr(segmenter._sizes, '_open_for', refuse)
    with pytest.raises(VosError, match='no memory'):
        segmenter.set_level(1)
    assert (segmenter.level, segmenter.input_size) == (0, (480, 720))
    assert segmenter.memory is before
    _assert_follows(segmenter, (1,), _START)


@pytest.mark.parametrize('size', [(480, 640), (480, 480), (720, 480), (1080, 1920)])
def test_camera_of_another_aspect_midway_keeps_the_objects(size: tuple[int, int]) -> None:
    segmenter, _ = _large()
    segmenter.step(_vga(_START), Prompt(_labels(_START, (1, 2))))
    segmenter.step(_vga(_START))
    for _ in range(2):
        result = segmenter.step(_frame(_START, size=size))
        expected = cv2.resize(_labels(_START, (1, 2)), size[::-1], interpolation=cv2.INTER_NEAREST)
        assert result.label_map.shape == size
        assert np.mean(result.label_map != expected) < 0.01
    added = segmenter.step(_frame(_START, size=size), Prompt(_resized(_START, (3,), size)))
    assert added.object_ids == (1, 2, 3)
    _assert_follows(segmenter, (1, 2, 3), _START)  # and back again
    assert len(segmenter._sizes._backends) <= 4


def test_one_image_of_another_shape_is_stretched_and_costs_no_more_than_others() -> None:
    segmenter, opened = _large()
    segmenter.step(_vga(_START), Prompt(_labels(_START, (1, 2))))
    before, memory = list(opened), segmenter.memory
    for _ in range(3):
        _assert_follows(segmenter, (1, 2), _START)
        _calls(segmenter)
        result = segmenter.step(_frame(_START, size=(480, 480)))
        assert 'an image of 480x480 after others of 720x480 is stretched' in result.warnings[0]
        expected = cv2.resize(_labels(_START, (1, 2)), (480, 480), interpolation=cv2.INTER_NEAREST)
        assert np.mean(result.label_map != expected) < 0.01
        assert _calls(segmenter).count('encode_image') == 1
    assert segmenter.memory is memory
    assert opened == before


def test_two_cameras_that_take_turns_have_the_model_loaded_once_each() -> None:
    segmenter, opened = _large()
    segmenter.step(_vga(_START), Prompt(_labels(_START, (1, 2))))
    for _ in range(3):
        for size in ((480, 480), (480, 720)):
            for _ in range(2):
                result = segmenter.step(_frame(_START, size=size))
            assert segmenter.input_size == size
            assert result.warnings == ()
    assert sorted(opened) == [(480, 480), (480, 640), (480, 720)]
    for size in ((480, 640), (480, 560)):
        for _ in range(2):
            segmenter.step(_frame(_START, size=size))
    assert set(segmenter._sizes._backends) == {(480, 640), (480, 560)}  # the last two


def test_after_a_reset_the_first_image_gives_the_shape() -> None:
    segmenter, _ = _large()
    segmenter.step(_vga(_START))
    segmenter.reset()
    segmenter.step(_frame(_START, size=(480, 480)))
    assert segmenter.input_size == (480, 480)


def test_images_too_long_for_the_network_are_said_once() -> None:
    segmenter, _ = _large()
    strips = [segmenter.step(_frame(_START, size=(160, 960))) for _ in range(3)]
    assert segmenter.input_size == (224, 1360)
    assert 'sees them at 1360x224' in strips[0].warnings[0]
    assert [len(strip.warnings) for strip in strips] == [1, 0, 0]


def _resized(boxes: _Boxes, ids: tuple[int, ...], size: tuple[int, int]) -> LabelMap:
    resized: LabelMap = cv2.resize(  # type: ignore[assignment]
        _labels(boxes, ids), size[::-1], interpolation=cv2.INTER_NEAREST
    )
    return resized


def test_one_pixel_object_survives_a_smaller_network() -> None:
    segmenter, _ = _large()
    prompt = np.zeros((480, 720), np.uint8)
    prompt[100, 100] = 1
    segmenter.step(_vga(_START), Prompt(prompt))
    segmenter.set_level(3)
    result = segmenter.step(_vga(_START))
    assert result.object_ids == (1,)
    assert np.isfinite(result.prob).all()


def test_prompted_images_are_copies_and_no_larger_than_the_network() -> None:
    segmenter, _ = _large(max_prompted_frames=2)
    image = _frame(_START, size=(960, 1440)).image.copy()
    segmenter.step(Frame(image), Prompt(_resized(_START, (1,), (960, 1440))))
    image[:] = 0
    for object_id in (2, 3, 4):
        segmenter.step(_vga(_START), Prompt(_labels(_START, (object_id,))))
    kept = {id(key): key for key in segmenter._key_frames.values()}
    assert len(kept) == segmenter.memory.prompted_frames <= 2
    assert all(key.frame.image.shape == (480, 720, 3) for key in kept.values())
    segmenter.set_level(1)
    _assert_follows(segmenter, (1, 2, 3, 4), _START)
    segmenter.remove_objects([1, 2, 3, 4])
    assert segmenter._key_frames == {}


def test_start_at_another_size_forgets_without_encoding() -> None:
    segmenter, _ = _large()
    segmenter.step(_vga(_START), Prompt(_labels(_START, (1, 2))))
    square = _frame(_START, size=(480, 480))
    segmenter.start(square, Prompt(_resized(_START, (3,), (480, 480))))
    assert segmenter.object_ids == (3,)
    # The last one compares the outline that was given.
    assert _calls(segmenter) == ['encode_image', 'encode_mask 1', 'segment 1']


def _tiny(tiny_model: Path, **memory: float) -> VideoSegmenter:
    config = SegmenterConfig(
        input_size=64,
        memory=MemoryConfig(**memory),  # type: ignore[arg-type]
    )
    return VideoSegmenter.open(tiny_model, config=config, runtime=RuntimeConfig(threads=1))


def _noise(count: int) -> list[Frame]:
    rng = np.random.default_rng(0)
    return [Frame(rng.integers(0, 256, (90, 140, 3), np.uint8)) for _ in range(count)]


def test_same_input_gives_the_same_bits(tiny_model: Path) -> None:
    prompt = np.zeros((90, 140), np.uint8)
    prompt[10:50, 10:60], prompt[30:80, 80:120] = 1, 2
    runs = []
    for _ in range(2):
        segmenter = _tiny(tiny_model, min_score=0.0)
        first, *rest = _noise(6)
        results = [segmenter.step(first, Prompt(prompt))]
        results += [segmenter.step(frame) for frame in rest]
        segmenter.reset()
        results += [segmenter.step(first, Prompt(prompt)), *map(segmenter.step, rest)]
        runs.append([(r.label_map.tobytes(), r.prob.tobytes()) for r in results])
    assert runs[0] == runs[1]
    assert runs[0][:6] == runs[0][6:]


def test_step_is_segment_then_memorize(tiny_model: Path) -> None:
    prompt = Prompt(np.pad(np.ones((40, 60), np.uint8), ((0, 50), (0, 80))))
    whole, parts = _tiny(tiny_model, min_score=0.0), _tiny(tiny_model, min_score=0.0)
    first, *rest = _noise(4)
    whole.step(first, prompt)
    parts.start(first, prompt)
    parts.memorize()
    for frame in rest:
        expected = whole.step(frame)
        result = parts.segment(frame)
        parts.memorize()
        np.testing.assert_array_equal(result.prob, expected.prob)
        assert expected.timing.memorize_ms == whole.last_memorize_ms > 0
        assert result.timing.memorize_ms == 0


def test_colour_order_of_the_camera_does_not_matter(tiny_model: Path) -> None:
    frames = _noise(2)
    prompt = Prompt(np.pad(np.ones((40, 60), np.uint8), ((0, 50), (0, 80))))
    probs = []
    for encoding, order in (('rgb8', 1), ('bgr8', -1)):
        segmenter = _tiny(tiny_model)
        first, second = (
            Frame(frame.image[..., ::order], encoding)  # type: ignore[arg-type]
            for frame in frames
        )
        segmenter.step(first, prompt)
        probs.append(segmenter.step(second).prob)
    np.testing.assert_array_equal(probs[0], probs[1])


def test_model_that_cannot_run_is_refused_at_open(tiny_model: Path) -> None:
    with pytest.raises(VosError, match='no_such_model'):
        VideoSegmenter.open('no_such_model')
    segmenter = VideoSegmenter.open(runtime=RuntimeConfig(model=str(tiny_model), threads=1))
    assert (segmenter.manifest.name, segmenter.backend_name) == ('tiny', 'cpu')


def test_labels_come_before_anybody_judges_them(
    make_segmenter: MakeSegmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    segmenter = make_segmenter()
    segmenter.step(_frame(_START), Prompt(_labels(_START, (1, 2))))
    looks: list[int] = []

    def counted(prob: Float) -> list[Sight]:
        looks.append(len(prob) - 1)
        return look(prob)

    monkeypatch.setattr('vos_ros.engine.segmenter.look', counted)
    result = segmenter.segment(_frame(_START))
    assert list(result.scores) == list(result.states) == [1, 2]
    assert not looks
    assert result.scores[1] > 0.9
    assert result.states == dict.fromkeys((1, 2), ObjectState.TRACKED)
    segmenter.memorize()
    assert looks == [2]
    # What is read late is of the frame that it belongs to.
    late = segmenter.segment(_frame(_START))
    segmenter.remove_objects([1])
    segmenter.memorize()
    for _ in range(5):
        segmenter.step(_frame({}))
    assert dict(late.states) == dict.fromkeys((1, 2), ObjectState.TRACKED)
    assert min(late.scores.values()) > 0.9


def _break(call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a call of the network fail, as a device does."""

    def fail(*_: object) -> Float:
        raise RuntimeError('the device is lost')

    monkeypatch.setattr(ColourBackend, call, fail)


@pytest.mark.parametrize('call', ['encode_image', 'encode_mask', 'segment'])
def test_a_network_that_fails_at_a_prompt_leaves_what_can_be_followed(
    make_segmenter: MakeSegmenter, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    segmenter = make_segmenter()
    with monkeypatch.context() as patch:
        _break(call, patch)
        with pytest.raises(RuntimeError, match='device'):
            segmenter.step(_frame(_START), Prompt(_labels(_START, (1, 2))))
    known = segmenter.object_ids
    assert known == ((1, 2) if call == 'segment' else ())
    # Another shape of camera, at which all that is known is encoded again.
    for _ in range(3):
        result = segmenter.step(_frame(_START, size=(96, 96)))
        assert result.object_ids == known
        assert set(np.unique(result.label_map)) == {0, *known}


def test_a_frame_is_not_memorised_once_another_one_was_begun(
    make_segmenter: MakeSegmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    segmenter = make_segmenter()
    segmenter.step(_frame(_START), Prompt(_labels(_START, (1,))))
    segmenter.segment(_frame(_START))
    before = _bits(segmenter, (1,))
    with monkeypatch.context() as patch:
        _break('encode_image', patch)
        with pytest.raises(RuntimeError, match='device'):
            segmenter.segment(_frame({}))
    segmenter.memorize()
    assert _bits(segmenter, (1,)) == before
    _assert_found(segmenter.step(_frame(_START)).label_map, _labels(_START, (1,)))


def test_probabilities_that_were_memorised_are_the_callers_to_use_again(
    make_segmenter: MakeSegmenter,
) -> None:
    found = []
    for value in (None, 0.0):
        segmenter = make_segmenter(input_size=512)
        segmenter.step(_frame(_START), Prompt(_labels(_START, (1,))))
        known = segmenter.segment(_frame(_START)).prob.copy()
        segmenter.memorize(known)
        if value is not None:
            known[:] = value
        assert segmenter.set_level(1)
        found.append(_bits(segmenter, (1,)))
    assert found[0] == found[1]
