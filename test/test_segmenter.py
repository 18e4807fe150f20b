# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
from collections.abc import Sequence
from pathlib import Path

from colour_backend import ColourBackend, MakeSegmenter
import cv2
import numpy as np
import pytest

from vos_ros.config import MemoryConfig, RuntimeConfig, SegmenterConfig
from vos_ros.datatypes import Frame, Image, LabelMap, Prompt, Segmentation
from vos_ros.errors import VosError
from vos_ros.segmenter import VideoSegmenter

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
    backend = segmenter._backend
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


def test_another_aspect_midway_is_refused_and_works_after_reset(
    make_segmenter: MakeSegmenter,
) -> None:
    segmenter = make_segmenter()
    segmenter.step(_frame(_START), Prompt(_labels(_START, (1,))))
    square = Frame(np.zeros((64, 64, 3), np.uint8))
    prompt = Prompt(np.ones((64, 64), np.uint8))
    with pytest.raises(VosError, match=r'64x64.*reset'):
        segmenter.segment(square)
    with pytest.raises(VosError, match=r'64x64.*reset'):
        segmenter.add_objects(square, prompt)
    assert segmenter.step(_frame(_START)).object_ids == (1,)
    assert segmenter.start(square, prompt).label_map.shape == (64, 64)
    segmenter.reset()
    assert segmenter.segment(_frame(_START)).label_map.shape == _SIZE


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
