# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from davis_factory import label_map, SIZE, textured
import numpy as np
import pytest

from vos_ros.datatypes import Frame, Prompt
from vos_ros.errors import VosError
from vos_ros.evaluation.baselines import CopyFirstMask, FlowWarp
from vos_ros.evaluation.metrics import region_similarity

BOTH = pytest.mark.parametrize('method', [CopyFirstMask, FlowWarp])
FRAME = Frame(textured(label_map((1, 20, 20, 20, 20))), stamp_ns=5, frame_id='camera')
ONE = label_map((1, 20, 20, 20, 20))


@BOTH
def test_prompted_frame_answers_with_the_prompt(method: type[CopyFirstMask]) -> None:
    answer = method().step(FRAME, Prompt(ONE))
    assert (answer.label_map == ONE).all()
    assert (answer.object_ids, answer.stamp_ns, answer.frame_id) == ((1,), 5, 'camera')
    assert answer.prob.shape == (2, 16, 24)
    assert (answer.prob.sum(axis=0) == 1).all()


@BOTH
def test_still_frames_keep_the_mask(method: type[CopyFirstMask]) -> None:
    segmenter = method()
    segmenter.step(FRAME, Prompt(ONE))
    for _ in range(5):
        answer = segmenter.step(FRAME)
    assert region_similarity(answer.label_map, ONE) > 0.98


@BOTH
def test_results_do_not_change_afterwards(method: type[CopyFirstMask]) -> None:
    segmenter = method()
    first = segmenter.step(FRAME, Prompt(ONE)).label_map
    segmenter.step(FRAME, Prompt(label_map((2, 0, 0, 64, 96))))
    assert (first == ONE).all()


@BOTH
def test_new_object_is_added(method: type[CopyFirstMask]) -> None:
    segmenter = method()
    segmenter.step(FRAME, Prompt(ONE))
    answer = segmenter.step(FRAME, Prompt(label_map((7, 45, 60, 10, 20))))
    assert answer.object_ids == (1, 7)
    expected = label_map((1, 20, 20, 20, 20), (7, 45, 60, 10, 20))
    assert np.array_equal(answer.label_map == 7, expected == 7)
    assert region_similarity(answer.label_map, expected) > 0.98


@BOTH
def test_prompt_pixels_win_and_old_pixels_of_its_object_go(method: type[CopyFirstMask]) -> None:
    segmenter = method()
    segmenter.step(FRAME, Prompt(label_map((1, 20, 20, 20, 20), (2, 45, 60, 10, 20))))
    answer = segmenter.step(FRAME, Prompt(label_map((2, 10, 30, 20, 30))))
    expected = label_map((1, 20, 20, 20, 20), (2, 10, 30, 20, 30))
    assert np.array_equal(answer.label_map == 2, expected == 2)
    assert region_similarity(answer.label_map == 1, expected == 1) > 0.98


@BOTH
def test_ids_beyond_a_byte_survive(method: type[CopyFirstMask]) -> None:
    wide = ONE.astype(np.uint16) * 300
    segmenter = method()
    segmenter.step(FRAME, Prompt(wide))
    assert set(np.unique(segmenter.step(FRAME).label_map)) == {0, 300}
    mixed = segmenter.step(FRAME, Prompt(label_map((2, 50, 50, 9, 9)))).label_map
    assert mixed.dtype == np.uint16
    assert set(np.unique(mixed)) == {0, 2, 300}


def test_flow_follows_what_copying_loses() -> None:
    scores = {}
    for method in (CopyFirstMask, FlowWarp):
        segmenter = method()
        for index in range(9):
            truth = label_map((1, 20, 10 + 3 * index, 24, 24))
            frame = Frame(textured(truth, shift=3 * index))
            answer = segmenter.step(frame, None if index else Prompt(truth))
        scores[method.name] = region_similarity(answer.label_map, truth)
    assert scores['copy_first'] == 0
    assert scores['flow_warp'] > 0.6


@BOTH
def test_wrong_use_is_refused(method: type[CopyFirstMask]) -> None:
    segmenter = method()
    with pytest.raises(VosError, match='no object yet'):
        segmenter.step(FRAME)
    segmenter.reset()
    with pytest.raises(VosError, match='draw the mask on the frame'):
        segmenter.step(FRAME, Prompt(ONE[:30]))
    segmenter.reset()
    segmenter.step(FRAME, Prompt(ONE))
    with pytest.raises(VosError, match='reset'):
        segmenter.step(Frame(FRAME.image[:30]))


@BOTH
def test_reset_forgets(method: type[CopyFirstMask]) -> None:
    segmenter = method()
    segmenter.step(FRAME, Prompt(ONE))
    segmenter.reset()
    answer = segmenter.step(FRAME, Prompt(label_map((2, 0, 0, 9, 9))))
    assert (answer.object_ids, int((answer.label_map == 1).sum())) == ((2,), 0)


@BOTH
@pytest.mark.parametrize('size', [(1, 1), (7, 33), SIZE, (481, 641)])
def test_any_frame_size_works(method: type[CopyFirstMask], size: tuple[int, int]) -> None:
    segmenter = method()
    labels = np.ones(size, np.uint8)
    for _ in range(2):
        answer = segmenter.step(Frame(np.zeros((*size, 3), np.uint8)), Prompt(labels))
    assert answer.label_map.shape == size
