# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from pathlib import Path

import cv2
from davis_factory import label_map, moving, write_sequence
import numpy as np
import pytest

from vos_ros.datatypes import Frame, LabelMap, Prompt, Segmentation, StepTiming
from vos_ros.errors import VosError
from vos_ros.evaluation import evaluate
from vos_ros.evaluation.baselines import CopyFirstMask
from vos_ros.evaluation.evaluate import (
    describe_run,
    evaluate_root,
    evaluate_sequence,
    Latency,
    MaskWriter,
    Observation,
    OverlayWriter,
    PromptedSequence,
    Speed,
    WorstFramesObserver,
    write_json,
)
from vos_ros.formats.label_png import read_label_png
from vos_ros.sequences import DavisSequence, FolderSequence


class Clock:
    """A clock that only moves when told to."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Oracle:
    """Answers with the truth of one sequence, and notes what it was asked."""

    def __init__(self, sequence: DavisSequence, clock: Clock | None = None) -> None:
        self.sequence = sequence
        self.calls: list[tuple[int, ...]] = []
        self.resets = 0
        self._clock = clock or Clock()

    def reset(self) -> None:
        self.resets += 1
        self.calls = []

    def step(self, frame: Frame, prompt: Prompt | None = None) -> Segmentation:
        # The first two frames are slow until the second reset: engines are built then.
        self._clock.now_s += 0.25 if self.resets > 1 else 100.0
        ids = () if prompt is None else tuple(int(k) for k in np.unique(prompt.label_map) if k)
        self.calls.append(ids)
        index = round(frame.stamp_ns * self.sequence.rate_hz / 1e9) - 1
        labels = self.sequence.label_map(index)
        assert labels is not None
        timing = StepTiming(1.0, 2.0, 3.0, 4.0, memorize_ms=5.0 * len(self.calls))
        return Segmentation(labels, ids, {}, frame.stamp_ns, '', timing, np.zeros((1, 1, 1), 'f4'))


def two_objects(frames: int, second_from: int) -> list[LabelMap | None]:
    maps: list[LabelMap | None] = []
    for index in range(frames):
        boxes = [(1, 5, 5 + index, 20, 20)]
        if index >= second_from:
            boxes.append((2, 40, 40, 15, 30))
        maps.append(label_map(*boxes))
    return maps


def test_truth_scores_1(tmp_path: Path) -> None:
    write_sequence(tmp_path, 'car', two_objects(6, 0))
    sequence = DavisSequence(tmp_path, 'car')
    report = evaluate_sequence(Oracle(sequence), sequence)
    assert {k: (s.j.mean, s.f.mean, s.frames) for k, s in report.objects.items()} == {
        1: (1.0, 1.0, 4),
        2: (1.0, 1.0, 4),
    }
    assert report.frames == 6


def test_objects_are_prompted_once_where_they_first_appear(tmp_path: Path) -> None:
    write_sequence(tmp_path, 'car', two_objects(6, 3))
    sequence = DavisSequence(tmp_path, 'car')
    oracle = Oracle(sequence)
    report = evaluate_sequence(oracle, sequence)
    assert oracle.calls == [(1,), (), (), (2,), (), ()]
    assert {k: s.frames for k, s in report.objects.items()} == {1: 4, 2: 1}


def test_frames_before_the_first_object_are_background(tmp_path: Path) -> None:
    write_sequence(tmp_path, 'car', [label_map(), label_map(), *two_objects(4, 0)])
    sequence = DavisSequence(tmp_path, 'car')
    oracle, seen = Oracle(sequence), []
    report = evaluate_sequence(oracle, sequence, observers=[lambda o: seen.append(o)])
    assert oracle.calls == [(1, 2), (), (), ()]
    assert [bool(o.label_map.any()) for o in seen] == [False, False, True, True, True, True]
    assert report.objects[1].j.mean == 1.0
    assert report.speed.frames == 4


def test_speed_counts_frames_alone_not_io_and_not_starting_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_sequence(tmp_path, 'car', moving(1, 5))
    sequence = DavisSequence(tmp_path, 'car')
    clock = Clock()
    monkeypatch.setattr(evaluate, 'perf_counter', clock)

    def draw(seen: Observation) -> None:
        clock.now_s += 1000.0

    report = evaluate_sequence(Oracle(sequence, clock), sequence, observers=[draw])
    assert (report.speed.frames, report.speed.seconds, report.speed.fps) == (5, 1.25, 4.0)
    content = report.speed.to_dict()['latency_ms']
    # Of five frames the prompted one is left out; memorising is no part of the latency.
    assert {k: content[k] for k in ('p50', 'p95', 'p99', 'max')} == dict.fromkeys(
        ('p50', 'p95', 'p99', 'max'), 10.0
    )
    assert content['stages']['encode']['p50'] == 2.0
    assert content['stages']['memorize'] == pytest.approx(
        {'p50': 17.5, 'p95': 24.25, 'p99': 24.85, 'max': 25.0}
    )


def test_nothing_measured_is_zero() -> None:
    assert Latency.of([]) == Latency(0.0, 0.0, 0.0, 0.0)
    assert Speed.of([]).fps == 0.0


def test_overall_is_the_mean_over_objects_and_not_over_sequences(tmp_path: Path) -> None:
    # 'a': three objects at rest, each 1.0 for a copied mask; 'b': one that leaves, 0.0.
    still = label_map((1, 5, 5, 9, 9), (2, 25, 5, 9, 9), (3, 45, 5, 9, 9))
    write_sequence(tmp_path, 'a', [still] * 4)
    write_sequence(tmp_path, 'b', [label_map((1, 5, 5 + 40 * (i > 0), 9, 9)) for i in range(4)])
    done = []
    report = evaluate_root(tmp_path, CopyFirstMask, on_sequence=lambda r: done.append(r.name))
    assert done == ['a', 'b']
    assert report.overall is not None
    assert (report.overall.j, report.overall.f, report.overall.objects) == (0.75, 0.75, 4)
    assert report.speed.frames == 8


def test_report_has_the_promised_keys(tmp_path: Path) -> None:
    write_sequence(tmp_path, 'car', moving(255, 5))
    report = {**evaluate_root(tmp_path, CopyFirstMask).to_dict(), **describe_run()}
    write_json(tmp_path / 'new' / 'report.json', report)
    read = json.loads((tmp_path / 'new' / 'report.json').read_text())
    assert set(read['overall']) == {'j', 'f', 'jf'}
    car = read['sequences']['car']
    assert {'j', 'f', 'jf'} <= set(car['objects']['1'])
    assert car['jf'] == pytest.approx((car['j'] + car['f']) / 2)
    assert car['frames'] == 5
    assert {'p50', 'p95', 'p99', 'max', 'stages'} == set(read['latency_ms'])
    stages = {'preprocess', 'encode', 'segment', 'labels', 'memorize'}
    assert set(read['latency_ms']['stages']) == stages
    assert {'cpu', 'cores', 'python', 'numpy'} <= set(read['host'])
    assert read['date'].startswith('20')


def test_only_the_first_frame_annotated_runs_without_score(tmp_path: Path) -> None:
    write_sequence(tmp_path, 'car', [label_map((1, 5, 5, 20, 20)), None, None])
    report = evaluate_root(tmp_path, CopyFirstMask)
    assert report.overall is None
    assert report.sequences['car'].frames == 3
    json.dumps(report.to_dict(), allow_nan=False)
    assert report.to_dict()['overall'] == {'j': None, 'f': None, 'jf': None}


def test_sparse_annotations_are_scored_where_they_are(tmp_path: Path) -> None:
    still = label_map((1, 5, 5, 20, 20))
    write_sequence(tmp_path, 'car', [still, None, still, None, still, None])
    assert evaluate_root(tmp_path, CopyFirstMask).sequences['car'].objects[1].frames == 1


def test_mask_of_another_size_is_named(tmp_path: Path) -> None:
    write_sequence(tmp_path, 'car', moving(1, 3))
    image = np.zeros((30, 40, 3), np.uint8)
    assert cv2.imwrite(str(tmp_path / 'JPEGImages/480p/car/00001.jpg'), image)
    with pytest.raises(VosError, match=r'car/00001: the mask is 96x64 but the frame is 40x30'):
        evaluate_root(tmp_path, CopyFirstMask)


def test_sequence_without_object_is_named(tmp_path: Path) -> None:
    write_sequence(tmp_path, 'car', [label_map(), label_map()])
    with pytest.raises(VosError, match='car: no mask holds any object'):
        evaluate_root(tmp_path, CopyFirstMask)


def test_masks_are_written_for_every_frame(tmp_path: Path) -> None:
    write_sequence(tmp_path, 'car', moving(1, 3))
    evaluate_root(tmp_path, CopyFirstMask, observers=[MaskWriter(tmp_path / 'masks')])
    files = sorted((tmp_path / 'masks' / 'car').iterdir())
    assert [file.name for file in files] == ['00000.png', '00001.png', '00002.png']
    for file in files:
        assert np.array_equal(read_label_png(file), moving(1, 3)[0])  # type: ignore[arg-type]


def test_overlays_are_written_per_sequence(tmp_path: Path) -> None:
    write_sequence(tmp_path, 'car', moving(1, 3))
    write_sequence(tmp_path, 'dog', moving(1, 4))
    overlays = OverlayWriter(tmp_path / 'overlays')
    evaluate_root(tmp_path, CopyFirstMask, observers=[overlays])
    overlays.close()
    for name, frames in (('car', 3), ('dog', 4)):
        capture = cv2.VideoCapture(str(tmp_path / 'overlays' / f'{name}.mp4'))
        count = 0
        while capture.read()[0]:
            count += 1
        assert count == frames


def test_worst_frames_leave_out_what_does_not_count(tmp_path: Path) -> None:
    write_sequence(tmp_path, 'car', moving(1, 9))
    worst = WorstFramesObserver()
    evaluate_root(tmp_path, CopyFirstMask, observers=[worst])
    titles = [shown.title for shown in worst.frames.worst()]
    assert titles == ['car/00007', 'car/00006', 'car/00004', 'car/00002']


def test_prompted_frames_need_no_annotations(tmp_path: Path) -> None:
    write_sequence(tmp_path, 'car', moving(1, 4))
    frames = FolderSequence(tmp_path / 'JPEGImages/480p/car')
    labels = label_map((3, 5, 5, 20, 20))
    seen: list[Observation] = []
    report = evaluate_sequence(
        CopyFirstMask(), PromptedSequence(frames, labels), observers=[seen.append]
    )
    assert (report.frames, report.objects) == (4, {})
    assert [o.name for o in seen] == ['00000', '00001', '00002', '00003']
    assert all((o.label_map == labels).all() for o in seen)
