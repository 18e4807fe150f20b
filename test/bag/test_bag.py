# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Bags: written and read, replayed on the simulated clock, scored; all of it without ROS."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
import json
from pathlib import Path
import shutil
import subprocess
import tracemalloc
from typing import Any

from colour_backend import MakeSegmenter
import cv2
from davis_factory import label_map, moving, write_sequence
import numpy as np
import pytest

pytest.importorskip('rosbags', reason='rosbags is not installed: pip install rosbags')

from vos_ros.bag.compare import compare
from vos_ros.bag.messages import (
    COMPRESSED,
    IMAGE,
    image_bytes,
    label_bytes,
    Message,
    STORE,
)
from vos_ros.bag.observe import LABELS, OVERLAY
from vos_ros.bag.reader import BagReader
from vos_ros.bag.replay import Cost, FrameRecord, Observers, Outcome, Published, replay
from vos_ros.bag.report import build, performance, Setting
from vos_ros.bag.run import open_input, simulate
from vos_ros.bag.sequence import CAMERA, INIT, SequenceBag, START_NS, TRUTH
from vos_ros.bag.truth import open_truth, read_frames
from vos_ros.bag.writer import BagWriter, make_bag
from vos_ros.commands import bag as bag_cli
from vos_ros.commands.cli import main
from vos_ros.datatypes import (
    Frame,
    LabelMap,
    ObjectState,
    Prompt,
    Segmentation,
    StepTiming,
)
from vos_ros.errors import VosError
from vos_ros.evaluation.evaluate import evaluate_sequence
from vos_ros.evaluation.metrics import region_similarity
from vos_ros.formats.label_png import write_label_png
from vos_ros.harness.recording import PlayedFrame, Recording
from vos_ros.harness.through_node import score
from vos_ros.sequences import DavisSequence, FolderSequence

TINY = str(Path(__file__).parents[1] / 'data' / 'tiny')
FAST = ['--model', TINY, '--size', '64', '--threads', '1']
CHROMIUM = next(
    filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None
)
HZ = 20.0
Captured = pytest.CaptureFixture[str]


def square(root: Path, frames: int = 16, step: int = 4) -> DavisSequence:
    """Make a sequence that a colour is enough for: a square that moves to the right."""
    for index in range(frames):
        image = np.full((96, 160, 3), 40, np.uint8)
        labels: LabelMap = np.zeros((96, 160), np.uint8)
        labels[30:62, 10 + step * index : 42 + step * index] = 1
        image[labels == 1] = (240, 200, 40)
        folder = root / 'JPEGImages' / 'square'
        folder.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(folder / f'{index:05d}.png'), image)
        write_label_png(root / 'Annotations' / 'square' / f'{index:05d}.png', labels)
    return DavisSequence(root, 'square')


@pytest.fixture(scope='module')
def drive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a bag of the square at 20 Hz."""
    folder = tmp_path_factory.mktemp('drive')
    make_bag(square(folder / 'davis'), folder / 'drive', rate_hz=HZ)
    return folder / 'drive'


def play(
    path: Path,
    segmenter: Any,
    cost_ms: float | None = None,
    observers: Observers | None = None,
    **options: Any,
) -> Outcome:
    """Replay: offline, or in real time where a cost is given."""
    mode = 'offline' if cost_ms is None else 'realtime'
    given = open_input(path, **options)
    looking = observers or Observers()
    return simulate(given, segmenter, mode=mode, cost_ms=cost_ms, observers=looking)


def jf(outcome: Outcome) -> float:
    return outcome.loops[0][1].jf


def assert_refused(arguments: list[str], capsys: Captured, *words: str) -> None:
    """Check for exit code 2 and one line that holds the words."""
    assert main(['bag', *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ''
    lines = captured.err.splitlines()
    assert len(lines) == 1, captured.err
    assert lines[0].startswith('vos: ')
    for word in words:
        assert word in lines[0]


class TestFiles:
    @pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
    @pytest.mark.parametrize('compressed', ['', 'png', 'jpeg'])
    def test_a_sequence_comes_back_from_its_bag(
        self, tmp_path: Path, storage: str, compressed: str
    ) -> None:
        sequence = square(tmp_path / 'davis', frames=3)
        made = make_bag(
            sequence, tmp_path / 'b', rate_hz=10.0, compressed=compressed, storage=storage
        )
        topic = f'{CAMERA}/compressed' if compressed else CAMERA
        assert made.counts == {topic: 3, TRUTH: 3, INIT: 1}
        bag = BagReader(tmp_path / 'b')
        assert bag.topics[topic].kind == (COMPRESSED if compressed else IMAGE)
        frames = list(read_frames(bag, topic))
        assert [f.stamp_ns for f in frames] == [START_NS + k * 100_000_000 for k in range(3)]
        for frame, source in zip(frames, sequence):
            image = frame.image
            assert image.stamp_ns == frame.stamp_ns == START_NS + frame.index * 100_000_000
            assert image.frame_id == 'camera'
            rgb = image.image if image.encoding == 'rgb8' else image.image[..., ::-1]
            error = np.abs(rgb.astype(int) - source.image)
            assert error.mean() < 2 if compressed == 'jpeg' else not error.any()
        for message, index in zip(bag.messages([TRUTH]), range(3)):
            assert message.stamp_ns == frames[index].stamp_ns
            true = sequence.label_map(index)
            assert true is not None
            assert np.array_equal(message.to_labels(), true)

    @pytest.mark.parametrize('compressed', ['', 'jpeg'])
    def test_a_sequence_read_as_a_bag_is_the_bag_that_would_be_written(
        self, tmp_path: Path, compressed: str
    ) -> None:
        sequence = square(tmp_path / 'davis', frames=3)
        make_bag(sequence, tmp_path / 'b', rate_hz=10.0, compressed=compressed)
        read = SequenceBag(sequence, tmp_path, rate_hz=10.0, compressed=compressed)
        topics = list(BagReader(tmp_path / 'b').topics)
        assert list(read.topics) == topics
        assert read.digest(topics) == BagReader(tmp_path / 'b').digest(topics)
        for topic in topics:
            written = list(BagReader(tmp_path / 'b').messages([topic]))
            assert list(map(vars, read.messages([topic]))) == list(map(vars, written))
        cut = SequenceBag(sequence, tmp_path, rate_hz=10.0, limit=2)
        assert [len(list(cut.messages([t]))) for t in (CAMERA, TRUTH, INIT)] == [2, 2, 1]
        assert cut.topics[CAMERA].count == 2

    def test_init_masks_hold_each_object_where_it_first_appears(self, tmp_path: Path) -> None:
        first, both = (1, 20, 10, 20, 24), (2, 5, 60, 10, 20)
        maps: list[LabelMap | None] = [label_map(first), None, label_map(first, both)]
        write_sequence(tmp_path, 'car', maps)
        made = make_bag(DavisSequence(tmp_path, 'car'), tmp_path / 'b', rate_hz=10.0)
        assert made.counts == {CAMERA: 3, TRUTH: 2, INIT: 2}
        masks = [(m.stamp_ns, m.to_labels()) for m in BagReader(tmp_path / 'b').messages([INIT])]
        assert [np.unique(labels).tolist() for _, labels in masks] == [[0, 1], [0, 2]]
        assert [stamp - START_NS for stamp, _ in masks] == [0, 200_000_000]

    def test_the_same_sequence_gives_the_same_bag(self, tmp_path: Path) -> None:
        sequence = square(tmp_path / 'davis', frames=2)
        for name, storage in (('a', 'mcap'), ('b', 'mcap'), ('c', 'sqlite3')):
            make_bag(sequence, tmp_path / name, rate_hz=10.0, storage=storage)
        make_bag(sequence, tmp_path / 'd', rate_hz=11.0)
        first, *others = (open_input(tmp_path / name).digest() for name in 'abcd')
        assert [digest == first for digest in others] == [True, True, False]
        assert open_input(tmp_path / 'a', gt='none', init='topic').digest() != first

    @pytest.mark.parametrize('packed', [False, True])
    def test_a_changed_byte_is_found(self, tmp_path: Path, packed: bool) -> None:
        with BagWriter(tmp_path / 'b', packed=packed) as bag:
            pixels = np.random.default_rng(0).integers(0, 255, (64, 96, 3), np.uint8)
            bag.write(CAMERA, IMAGE, START_NS, image_bytes(pixels, 'rgb8', START_NS, 'c'))
        (file,) = (tmp_path / 'b').glob('*.mcap')
        whole = file.read_bytes()
        assert len(list(BagReader(file).messages([CAMERA]))) == 1
        file.write_bytes(whole[:9000] + bytes([whole[9000] ^ 1]) + whole[9001:])
        with pytest.raises(VosError, match='damaged'):
            list(BagReader(file).messages([CAMERA]))

    def test_a_bag_of_a_video_has_the_times_of_the_video(self, tmp_path: Path) -> None:
        frames = [
            Frame(np.zeros((64, 96, 3), np.uint8), stamp_ns=stamp)
            for stamp in (40_000_000, 70_000_000, 300_000_000)
        ]

        class Clip(FolderSequence):
            def __iter__(self) -> Iterator[Frame]:
                return iter(frames)

        square(tmp_path, frames=3)
        make_bag(Clip(tmp_path / 'JPEGImages/square'), tmp_path / 'b', rate_hz=0)
        stamps = [m.stamp_ns - START_NS for m in BagReader(tmp_path / 'b').messages([CAMERA])]
        assert stamps == [0, 30_000_000, 260_000_000]

    def test_other_kinds_of_bags_are_named_with_what_to_do(self, tmp_path: Path) -> None:
        (tmp_path / 'old.bag').write_bytes(b'#ROSBAG V2.0\n' + bytes(100))
        with pytest.raises(VosError, match=r'ROS 1; convert it: rosbags-convert --src old\.bag'):
            BagReader(tmp_path / 'old.bag')
        channel = b'\x0a\0\0\0jsonschema' + b'\x04\0\0\0json'
        (tmp_path / 'f.mcap').write_bytes(b'\x89MCAP0\r\n' + channel)
        with pytest.raises(VosError, match='JSON messages, as Foxglove writes'):
            BagReader(tmp_path / 'f.mcap')
        folder = _write(tmp_path / 'b', (CAMERA, IMAGE, START_NS, _image(START_NS)))
        metadata = folder / 'metadata.yaml'
        text = metadata.read_text().replace('storage_identifier: mcap', "storage_identifier: ''")
        metadata.write_text(text)
        with pytest.raises(VosError, match='does not name its storage'):
            BagReader(folder)

    def test_a_file_is_read_as_its_folder_is(self, drive: Path) -> None:
        (file,) = drive.glob('*.mcap')
        assert BagReader(file).topics == BagReader(drive).topics
        assert open_input(file).digest() == open_input(drive).digest()

    def test_a_stamp_is_read_and_changed_in_either_byte_order(self) -> None:
        data = label_bytes(label_map(), 5_000_000_007, 'camera')
        big = bytes([0, 0, 0, 0]) + (5).to_bytes(4, 'big') + (7).to_bytes(4, 'big')
        for message in (Message('/t', IMAGE, 0, data), Message('/t', IMAGE, 0, big)):
            assert message.stamp_ns == 5_000_000_007
            changed = replace(message, data=message.restamped(9_000_000_001))
            assert changed.stamp_ns == 9_000_000_001
            assert changed.data[12:] == message.data[12:]

    def test_reading_holds_a_few_messages_and_not_the_bag(self, tmp_path: Path) -> None:
        image = np.zeros((480, 640, 3), np.uint8)  # 0.9 MB

        def peak_of(count: int) -> int:
            path = tmp_path / str(count)
            with BagWriter(path) as bag:
                for index in range(count):
                    stamp_ns = START_NS + index * 10_000_000
                    bag.write(CAMERA, IMAGE, stamp_ns, image_bytes(image, 'rgb8', stamp_ns, 'c'))
            tracemalloc.start()
            try:
                for frame in read_frames(BagReader(path), CAMERA):
                    assert frame.image.size == (480, 640)
                return tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()

        few, many = peak_of(6), peak_of(36)
        assert many < few + image.nbytes  # 27 MB more lie in the bag


class TestReplay:
    def test_offline_scores_as_the_folder_does(
        self, tmp_path: Path, make_segmenter: MakeSegmenter
    ) -> None:
        sequence = square(tmp_path / 'davis')
        make_bag(sequence, tmp_path / 'b', rate_hz=sequence.rate_hz)
        folder = evaluate_sequence(make_segmenter(), sequence)
        outcome = play(tmp_path / 'b', make_segmenter())
        assert outcome.loops[0] == folder.objects
        assert outcome.loops[0][1].jf > 0.7
        assert all(record.age_ms == 0 for record in outcome.records)

    def test_offline_scores_as_vos_eval_with_objects_that_come_later(
        self, tmp_path: Path, capsys: Captured
    ) -> None:
        late = (2, 40, 60, 20, 20)
        maps: list[LabelMap | None] = []
        for index, labels in enumerate(moving(1, 8)):
            assert labels is not None
            maps.append(labels | label_map(late) if index > 2 else labels)
        maps[5] = None
        root = tmp_path / 'davis'
        write_sequence(root, 'car', maps)
        assert main(['bag', 'make', str(root), '--out', str(tmp_path / 'b')]) == 0
        capsys.readouterr()
        reports = []
        for command in (
            ['eval', str(root), '--no-baselines'],
            ['bag', 'eval', str(tmp_path / 'b')],
        ):
            assert main([*command, *FAST, '--out', str(tmp_path / 'o'), '--json']) == 0
            reports.append(json.loads(capsys.readouterr().out))
        folder, bag = (r['sequences'][n] for r, n in zip(reports, ('car', 'b')))
        assert set(folder['objects']) == {'1', '2'}
        for object_id, scores in folder['objects'].items():
            assert bag['objects'][object_id] == pytest.approx(scores, abs=1e-9)

    @pytest.mark.parametrize('mode', ['offline', 'realtime', 'ros'])
    def test_a_model_that_is_not_there_costs_no_results(
        self, drive: Path, tmp_path: Path, capsys: Captured, mode: str
    ) -> None:
        out = tmp_path / 'o'
        assert main(['bag', 'eval', str(drive), *FAST, '--out', str(out)]) == 0
        before = (out / 'report.json').read_bytes()
        options = ['--mode', mode, '--model', 'nope', '--out', str(out)]
        capsys.readouterr()
        assert main(['bag', 'eval', str(drive), *options]) == 2
        said = capsys.readouterr().err
        assert said.startswith("vos: unknown model 'nope'")
        assert len(said.splitlines()) == 1
        assert (out / 'report.json').read_bytes() == before

    def test_realtime_at_no_cost_is_offline(
        self, drive: Path, make_segmenter: MakeSegmenter
    ) -> None:
        offline, realtime = (play(drive, make_segmenter(), cost) for cost in (None, 0.0))
        assert realtime.mask_hash == offline.mask_hash
        assert realtime.loops == offline.loops
        assert [r.latency_ms for r in realtime.records] == [0.0] * 16

    def test_accuracy_falls_and_drops_grow_with_the_cost(
        self, drive: Path, make_segmenter: MakeSegmenter
    ) -> None:
        costs = (0.0, 30.0, 60.0, 120.0, 240.0, 400.0)
        outcomes = [play(drive, make_segmenter(), cost) for cost in costs]
        scores = [jf(outcome) for outcome in outcomes]
        drops = [sum(r.latency_ms is None for r in o.records) for o in outcomes]
        assert scores == sorted(scores, reverse=True)
        assert scores[0] > 0.7
        assert scores[0] - scores[1] > 0.03  # one period late is seen already
        assert scores[-1] < 0.4
        assert drops == sorted(drops)
        assert (drops[0], drops[1]) == (0, 0)
        assert drops[-1] > 8

    def test_late_masks_count_as_they_are_where_each_is_scored_on_its_own_image(
        self, drive: Path, make_segmenter: MakeSegmenter
    ) -> None:
        late = play(drive, make_segmenter(), 120.0)
        assert late.per_frame[0][1].jf == pytest.approx(
            play(drive, make_segmenter()).per_frame[0][1].jf, abs=0.02
        )
        assert late.per_frame[0][1].jf > jf(late) + 0.2
        dropped = [r.latency_ms is None for r in late.records]
        assert 0 < sum(dropped) < 16
        # No object is known before the first mask.
        assert [r.per_frame_j is None for r in late.records[1:]] == dropped[1:]

    def test_the_clock_is_the_nodes_one_waits_the_newest_wins(
        self, drive: Path, make_segmenter: MakeSegmenter
    ) -> None:
        outcome = play(drive, make_segmenter(), 120.0)
        # By hand, with an image every 50 ms: the one of 0 is worked on until 120, that of 100
        # (that of 50 was replaced) until 240, those of 200, 350, 450, 600, 700 after it.
        answered = {r.index: r.latency_ms for r in outcome.records if r.latency_ms is not None}
        assert list(answered) == [0, 2, 4, 7, 9, 12, 14, 15]
        assert list(answered.values())[:6] == pytest.approx([120, 140, 160, 130, 150, 120])
        ages = [r.age_ms for r in outcome.records[:10]]
        assert ages == [None, None, None, 150, 200, 150, 200, 250, 200, 250]

    def test_measured_cost_is_the_steps_own(
        self, drive: Path, make_segmenter: MakeSegmenter
    ) -> None:
        given = open_input(drive)
        outcome = simulate(
            given, make_segmenter(), mode='realtime', cost_ms=None, observers=Observers()
        )
        assert all(r.latency_ms is None or r.latency_ms > 0 for r in outcome.records)
        assert Cost(None).of(30.0, 10.0) == (20.0, 30.0)
        assert Cost(7.0).of(30.0, 10.0) == (7.0, 7.0)

    def test_the_same_bag_gives_the_same_hash_on_one_and_on_two_threads(
        self, drive: Path, tmp_path: Path, capsys: Captured
    ) -> None:
        hashes = []
        for threads in ('1', '1', '2'):
            options = [*FAST[:4], '--threads', threads, '--out', str(tmp_path), '--no-masks']
            assert main(['bag', 'eval', str(drive), *options, '--json']) == 0
            hashes.append(json.loads(capsys.readouterr().out)['hashes'])
        assert hashes[0] == hashes[1] == hashes[2]
        assert len(hashes[0]['masks']) == 32

    def test_the_hash_depends_on_stamps_and_masks(
        self, tmp_path: Path, make_segmenter: MakeSegmenter
    ) -> None:
        found = set()
        for name, step, rate_hz in (('a', 4, 20.0), ('b', 4, 10.0), ('c', 3, 20.0)):
            sequence = square(tmp_path / f'davis_{name}', frames=4, step=step)
            make_bag(sequence, tmp_path / name, rate_hz=rate_hz)
            found.add(play(tmp_path / name, make_segmenter()).mask_hash)
        assert len(found) == 3

    def test_init_masks_of_the_bag_or_of_a_file_start_the_same_objects(
        self, drive: Path, tmp_path: Path, make_segmenter: MakeSegmenter
    ) -> None:
        file = tmp_path / 'first.png'
        (mask,) = BagReader(drive).messages([INIT])
        write_label_png(file, mask.to_labels())
        hashes = {
            play(drive, make_segmenter(), init=init).mask_hash
            for init in ('first', 'topic', str(file))
        }
        assert len(hashes) == 1

    @pytest.mark.parametrize('by_stamp', [False, True])
    def test_ground_truth_may_lie_in_a_folder(
        self, drive: Path, tmp_path: Path, make_segmenter: MakeSegmenter, by_stamp: bool
    ) -> None:
        for index, message in enumerate(BagReader(drive).messages([TRUTH])):
            name = str(message.stamp_ns) if by_stamp else f'{index:05d}'
            write_label_png(tmp_path / 'gt' / f'{name}.png', message.to_labels())
        outcome = play(drive, make_segmenter(), gt=str(tmp_path / 'gt'))
        assert outcome.loops == play(drive, make_segmenter()).loops

    def test_without_truth_time_is_measured_alone(
        self, drive: Path, make_segmenter: MakeSegmenter
    ) -> None:
        outcome = play(drive, make_segmenter(), 60.0, gt='none', init='topic')
        assert outcome.loops == ({},)
        assert sum(r.latency_ms is not None for r in outcome.records) > 10

    def test_lost_and_recovered_objects_are_counted(self, drive: Path) -> None:
        states = [ObjectState.TRACKED] * 4 + [ObjectState.OCCLUDED] * 2 + [ObjectState.LOST] * 3
        states += [ObjectState.TRACKED] * 3 + [ObjectState.LOST] * 4
        outcome = play(drive, Scripted(states))
        assert (outcome.lost, outcome.recovered) == (2, 1)


class Scripted:
    """Answers with nothing but states, one after the other."""

    def __init__(self, states: list[ObjectState]) -> None:
        self._states = states
        self._left: Iterator[ObjectState] = iter(states)

    def reset(self) -> None:
        self._left = iter(self._states)

    def step(self, frame: Frame, prompt: Prompt | None = None) -> Segmentation:
        nothing: LabelMap = np.zeros(frame.size, np.uint8)
        states = {1: next(self._left)}
        prob = np.zeros((2, 1, 1), np.float32)
        scores = {1: 0.0}
        return Segmentation(
            nothing,
            (1,),
            scores,
            frame.stamp_ns,
            frame.frame_id,
            StepTiming(),
            prob,
            states=states,
        )


class TestReport:
    def test_figures_of_r2b(self) -> None:
        records = [
            FrameRecord(index, index * 100_000_000, None, {}, latency_ms)
            for index, latency_ms in enumerate([50.0, None, 70.0, 40.0])
        ]
        found = performance(records, clocked=True)
        found = {name.removeprefix('BasicPerformanceMetrics.'): v for name, v in found.items()}
        # Received at 50, 270 and 340 ms.
        assert found == pytest.approx(
            {
                'NUM_FRAMES_SENT': 4,
                'NUM_MISSED_FRAMES': 1,
                'MEAN_PLAYBACK_FRAME_RATE': 4 / 0.3,
                'FIRST_INPUT_LATENCY': 50,
                'LAST_INPUT_LATENCY': 40,
                'MAX_LATENCY': 70,
                'MIN_LATENCY': 40,
                'MEAN_LATENCY': 160 / 3,
                'RECEIVED_DURATION': 290,
                'FIRST_SENT_RECEIVED_LATENCY': 50,
                'LAST_SENT_RECEIVED_LATENCY': 40,
                'MEAN_FRAME_RATE': 3 / 0.29,
                'MAX_JITTER': 150,
                'MIN_JITTER': 150,
                'MEAN_JITTER': 150,
                'STD_DEV_JITTER': 0,
            }
        )
        offline = performance(records, clocked=False)
        assert not any('JITTER' in name or 'RECEIVED' in name for name in offline)

    def test_misses_drops_ages_and_loops(self) -> None:
        records = [
            FrameRecord(index, index * 100_000_000, age, {}, latency, loop)
            for loop in (0, 1)
            for index, (age, latency) in enumerate([(None, 120.0), (100.0, None), (200.0, 90.0)])
        ]
        setting = Setting('b', '/i', 'none', 'topic', mode='ros', loops=2)
        outcome = Outcome(tuple(records), ({}, {}), '')
        report = build(setting, outcome, {'bag': 'x'}, {'model': {}})
        assert (report['frames'], report['answered'], report['dropped']) == (6, 4, 2)
        assert (report['deadline_ms'], report['deadline_misses']) == (pytest.approx(100), 2)
        assert report['without_mask'] == 2
        assert report['age_ms']['max'] == 200
        assert list(report['sequences']) == ['b#1', 'b#2']
        assert report['BasicPerformanceMetrics.NUM_FRAMES_SENT'] == 3  # of one loop
        assert report['BasicPerformanceMetrics.MAX_LATENCY'] == 120
        assert report['overall']['jf'] is report['jf'] is None
        assert report['hashes'] == {'bag': 'x', 'masks': None}
        json.dumps(report, allow_nan=False)
        strict = build(replace(setting, deadline_ms=80.0), outcome, {}, {})
        assert strict['deadline_misses'] == 4


def evaluated(drive: Path, out: Path, *options: str) -> dict[str, Any]:
    assert main(['bag', 'eval', str(drive), *FAST, '--out', str(out), *options]) == 0
    report: dict[str, Any] = json.loads((out / 'report.json').read_text())
    return report


class TestOutput:
    def test_report_page_and_masks_are_written(self, drive: Path, tmp_path: Path) -> None:
        options = ('--mode', 'realtime', '--cost-ms', '120')
        report = evaluated(drive, tmp_path, *options)
        assert report['mode'] == 'realtime'
        assert report['BasicPerformanceMetrics.NUM_MISSED_FRAMES'] == report['dropped'] == 8
        assert report['hashes']['bag'] == open_input(drive).digest()
        assert {'cpu', 'cores', 'python'} <= set(report['host'])
        html = (tmp_path / 'index.html').read_text()
        assert '<script' not in html
        namespace = 'http://www.w3.org/2000/svg'  # a name, which nobody looks up
        assert 'http' not in html.replace('http-equiv', '').replace(namespace, '')
        assert html.count('<svg') == 2
        assert html.count('data:image/jpeg') >= 3
        assert report['hashes']['masks'] in html

        source = {m.stamp_ns: m for m in BagReader(drive).messages([CAMERA])}
        written = BagReader(tmp_path / 'masks' / 'masks.mcap')
        assert {t.name: t.count for t in written.topics.values()} == {
            CAMERA: 16,
            LABELS: 8,
            OVERLAY: 8,
        }
        for message in written.messages([CAMERA]):
            assert message.data == source[message.stamp_ns].data
        latencies = []
        for message in written.messages([LABELS]):
            image = source[message.stamp_ns]  # a mask has the stamp of its image
            latencies.append((message.log_ns - image.log_ns) / 1e6)
            assert message.to_labels().shape == (96, 160)
        assert latencies[:5] == [120, 140, 160, 130, 150]
        answer: Any = STORE.deserialize_cdr(message.data, IMAGE)
        assert answer.header.frame_id == 'camera'
        # Once more into the same folder: what an evaluation wrote, it may replace.
        assert evaluated(drive, tmp_path, *options)['dropped'] == 8

    @pytest.mark.integration
    @pytest.mark.skipif(CHROMIUM is None, reason='no Chromium on this machine')
    def test_a_browser_shows_plots_and_pictures(self, drive: Path, tmp_path: Path) -> None:
        assert CHROMIUM is not None
        evaluated(drive, tmp_path, '--no-masks', '--mode', 'realtime', '--cost-ms', '120')
        shot = tmp_path / 'page.png'
        flags = ['--headless', '--no-sandbox', '--disable-gpu', '--window-size=1100,1600']
        profile = f'--user-data-dir={tmp_path / "profile"}'
        page = (tmp_path / 'index.html').as_uri()
        command = [CHROMIUM, *flags, profile, f'--screenshot={shot}', page]
        subprocess.run(command, capture_output=True, timeout=120, check=True)
        picture = cv2.imread(str(shot))
        assert picture is not None
        blue, red, cyan = (0xF6, 0x82, 0x3B), (0x4D, 0x48, 0xE5), (240, 200, 40)  # BGR
        for colour, least in ((blue, 50), (red, 50), (cyan, 1000)):  # latency, drops, square
            near = np.abs(picture.astype(int) - colour).max(axis=2) < 12
            assert np.count_nonzero(near) > least, colour

    def test_masks_of_somebody_else_are_not_replaced(
        self, drive: Path, tmp_path: Path, capsys: Captured
    ) -> None:
        (tmp_path / 'masks').mkdir()
        (tmp_path / 'masks' / 'mine.txt').write_text('mine')
        arguments = ['eval', str(drive), *FAST, '--out', str(tmp_path)]
        assert_refused(arguments, capsys, 'masks/mine.txt', '--out')
        assert (tmp_path / 'masks' / 'mine.txt').read_text() == 'mine'

    def test_json_is_all_of_stdout(self, drive: Path, tmp_path: Path, capsys: Captured) -> None:
        report = evaluated(drive, tmp_path, '--json', '--no-masks')
        assert json.loads(capsys.readouterr().out) == report
        assert not (tmp_path / 'masks').exists()

    def test_a_page_without_truth_shows_frames_all_the_same(
        self, drive: Path, tmp_path: Path
    ) -> None:
        report = evaluated(drive, tmp_path, '--gt', 'none', '--init', 'topic', '--no-masks')
        assert report['overall'] == {'j': None, 'f': None, 'jf': None}
        html = (tmp_path / 'index.html').read_text()
        assert html.count('data:image/jpeg') == 12
        assert 'J&amp;F' not in html

    def test_gates_give_exit_code_1_and_say_why(
        self, drive: Path, tmp_path: Path, capsys: Captured
    ) -> None:
        common = ['bag', 'eval', str(drive), *FAST, '--out', str(tmp_path), '--no-masks']
        realtime = ['--mode', 'realtime', '--cost-ms', '40']
        assert main([*common, '--fail-under-jf', '0.999']) == 1
        assert '--fail-under-jf' in capsys.readouterr().err
        assert main([*common, *realtime, '--fail-over-p99-ms', '39']) == 1
        assert '40.0 ms' in capsys.readouterr().err
        assert main([*common, *realtime, '--fail-over-p99-ms', '41']) == 0
        assert main([*common, '--fail-under-jf', '0.000001']) == 0

    def test_executable_evaluate_bag_is_vos_bag_eval(
        self, drive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from vos_ros.commands.cli import evaluate_bag_main

        arguments = ['evaluate_bag', str(drive), *FAST, '--out', str(tmp_path), '--no-masks']
        monkeypatch.setattr('sys.argv', arguments)
        assert evaluate_bag_main() == 0
        assert (tmp_path / 'report.json').exists()

    def test_what_ran_and_frames_before_the_first_mask_are_shown(
        self, tmp_path: Path, capsys: Captured
    ) -> None:
        square(tmp_path / 'davis')
        for index in range(3):  # its object is on the image, but nobody has said so yet
            (tmp_path / f'davis/Annotations/square/{index:05d}.png').unlink()
        make_bag(DavisSequence(tmp_path / 'davis', 'square'), tmp_path / 'b', rate_hz=HZ)
        capsys.readouterr()
        report = evaluated(tmp_path / 'b', tmp_path / 'o', '--mode', 'realtime', '--cost-ms', '9')
        assert report['without_mask'] == 4
        shown = capsys.readouterr().out
        assert 'before the first mask' in shown
        assert '4 of 16 frames' in shown
        assert 'tiny on cpu fp32, short side 64 px' in shown
        page = (tmp_path / 'o' / 'index.html').read_text()
        assert '4 of 16</b><span class="dim">frames before the first mask' in page

    def test_an_offline_page_speaks_of_scores_only_where_there_are_any(
        self, drive: Path, tmp_path: Path
    ) -> None:
        for gt, is_scored in ((TRUTH, True), ('none', False)):
            evaluated(drive, tmp_path, '--gt', gt, '--init', 'topic', '--no-masks')
            assert ('its own mask' in (tmp_path / 'index.html').read_text()) is is_scored


class TestCompare:
    @pytest.fixture
    def report(self, drive: Path, tmp_path: Path) -> Path:
        evaluated(drive, tmp_path, '--no-masks', '--mode', 'realtime', '--cost-ms', '40')
        return tmp_path / 'report.json'

    @pytest.mark.parametrize(
        ('change', 'code', 'shown'),
        [
            pytest.param({}, 0, 'J&F', id='equal'),
            pytest.param({'jf': -0.004}, 0, 'J&F', id='J&F-within-tolerance'),
            pytest.param({'jf': -0.006}, 1, 'worse', id='J&F-lower'),
            pytest.param({'jf': 0.1}, 0, 'J&F', id='J&F-higher'),
            pytest.param({'p99': 7.0}, 0, 'latency p99', id='p99-within-tolerance'),
            pytest.param({'p99': 9.0}, 1, 'worse', id='p99-higher'),
            pytest.param({'p99': -9.0}, 0, 'latency p99', id='p99-lower'),
        ],
    )
    def test_exit_code(
        self, report: Path, capsys: Captured, change: dict[str, float], code: int, shown: str
    ) -> None:
        content = json.loads(report.read_text())
        content['overall']['jf'] += change.get('jf', 0.0)
        content['latency_ms']['p99'] += change.get('p99', 0.0)
        other = report.with_name('other.json')
        other.write_text(json.dumps(content))
        capsys.readouterr()
        assert main(['bag', 'compare', str(report), str(other)]) == code
        assert shown in capsys.readouterr().out

    def test_other_settings_are_shown(self, report: Path) -> None:
        before = json.loads(report.read_text())
        after = {**before, 'mode': 'ros', 'cost_ms': None}
        names = [row.name for row in compare(before, after, jf_drop=0, p99_growth=0)]
        assert names[:2] == ['mode', 'cost_ms']
        assert 'rate' not in names

    def test_what_cannot_be_compared_is_refused(self, report: Path, capsys: Captured) -> None:
        content = json.loads(report.read_text())
        content['hashes']['bag'] = '0' * 32
        other = report.with_name('other.json')
        other.write_text(json.dumps(content))
        capsys.readouterr()
        assert_refused(['compare', str(report), str(other)], capsys, 'of one bag with another --')
        mode = {**json.loads(report.read_text()), 'mode': 'offline'}
        other.write_text(json.dumps(mode))
        assert_refused(['compare', str(report), str(other)], capsys, 'realtime, offline')
        other.write_text('{}')
        assert_refused(['compare', str(report), str(other)], capsys, 'other.json', 'vos bag eval')
        other.write_text('{')
        assert_refused(['compare', str(report), str(other)], capsys, 'other.json', 'no JSON')
        assert_refused(['compare', str(report), '/no/such.json'], capsys, '/no/such.json')


def _write(path: Path, *messages: tuple[str, str, int, bytes]) -> Path:
    with BagWriter(path) as bag:
        for topic, kind, stamp_ns, data in messages:
            bag.write(topic, kind, stamp_ns, data)
    return path


def _labels(stamp_ns: int, *boxes: tuple[int, int, int, int, int]) -> bytes:
    return label_bytes(label_map(*boxes), stamp_ns, 'camera')


def _image(stamp_ns: int, encoding: str = 'rgb8') -> bytes:
    return image_bytes(np.zeros((64, 96, 3), np.uint8), encoding, stamp_ns, 'camera')


class TestRefused:
    @pytest.mark.parametrize(
        ('options', 'words'),
        [
            pytest.param(['--image', '/cam'], ['no topic /cam', '--image', CAMERA], id='topic'),
            pytest.param(['--gt', '/truth'], ['no topic /truth', '--gt none'], id='no-truth'),
            pytest.param(['--gt', 'none'], ['--init topic'], id='nothing-to-start-from'),
            pytest.param(
                ['--init', 'topic', '--init-topic', '/x'], ['/x', '--init-topic'], id='init-topic'
            ),
            pytest.param(['--init', 'no.png'], ['no.png'], id='init-file'),
            pytest.param(['--mode', 'live'], ['--mode', 'offline'], id='mode'),
            pytest.param(['--cost-ms', '3'], ['--mode realtime'], id='cost-offline'),
            pytest.param(['--loops', '2'], ['--mode ros'], id='loops-offline'),
            pytest.param(['--mode', 'ros', '--loops', '0'], ['--loops'], id='no-loop'),
            pytest.param(['--mode', 'ros', '--rate', '0'], ['--rate'], id='no-rate'),
            pytest.param(
                ['--gt', 'none', '--init', 'topic', '--fail-under-jf', '0.5'],
                ['--fail-under-jf'],
                id='gate-without-truth',
            ),
            pytest.param(['--backend', 'abacus'], ['backend', 'abacus'], id='backend'),
            pytest.param(['--model', 'no_such'], ['no_such'], id='model'),
        ],
    )
    def test_wrong_options(
        self, drive: Path, tmp_path: Path, capsys: Captured, options: list[str], words: list[str]
    ) -> None:
        arguments = ['eval', str(drive), *FAST, '--out', str(tmp_path), *options]
        assert_refused(arguments, capsys, *words)

    @pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
    @pytest.mark.parametrize('share', [0.02, 0.5, 0.98])
    def test_truncated_bag(
        self, tmp_path: Path, capsys: Captured, storage: str, share: float
    ) -> None:
        sequence = square(tmp_path / 'davis', frames=6)
        make_bag(sequence, tmp_path / 'b', rate_hz=HZ, storage=storage)
        (file,) = (f for f in (tmp_path / 'b').iterdir() if f.suffix != '.yaml')
        data = file.read_bytes()
        file.write_bytes(data[: int(len(data) * share)])
        capsys.readouterr()
        arguments = [*FAST, '--out', str(tmp_path / 'o')]
        assert_refused(['eval', str(tmp_path / 'b'), *arguments], capsys, 'damaged', 'recover')

    def test_no_bag_and_folder_without_metadata(self, tmp_path: Path, capsys: Captured) -> None:
        assert_refused(['eval', str(tmp_path / 'no')], capsys, 'there is no bag')
        assert_refused(['eval', str(tmp_path)], capsys, 'metadata.yaml', 'reindex')

    @pytest.mark.parametrize(
        'stamps', [(0, 33, 33, 99), (0, 66, 33, 99)], ids=['twice', 'swapped']
    )
    def test_one_bad_stamp_is_left_out_and_said_and_rounded_truth_is_found(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture, stamps: tuple[int, ...]
    ) -> None:
        with BagWriter(tmp_path / 'bag') as bag:
            for number, ms in enumerate(stamps):
                stamp_ns = 10**18 + ms * 10**6 + 1
                bag.write(CAMERA, IMAGE, 10**18 + number, _image(stamp_ns))
                labels = _labels(stamp_ns - 1, (1, 9, 9, 9, 9))
                bag.write(TRUTH, IMAGE, 10**18 + number, labels)
        reader = BagReader(tmp_path / 'bag')
        truth = open_truth(reader, TRUTH)
        frames = list(read_frames(reader, CAMERA))
        assert [frame.index for frame in frames] == [0, 1, 2]
        assert all(truth.at(frame) is not None for frame in frames)
        assert '1 images were left out' in caplog.text

    @pytest.mark.parametrize(
        ('messages', 'words'),
        [
            pytest.param(
                lambda s: [(CAMERA, IMAGE, s, _image(s, 'nv24')), (TRUTH, IMAGE, s, _labels(s))],
                ['nv24', 'not supported', CAMERA],
                id='unknown-encoding',
            ),
            pytest.param(
                lambda s: [(CAMERA, IMAGE, s, _image(s)), (TRUTH, IMAGE, s, _labels(s))],
                ['no true mask holds any object'],
                id='no-masks',
            ),
            pytest.param(
                lambda s: [
                    (CAMERA, IMAGE, s, _image(s)),
                    (TRUTH, IMAGE, s, _labels(s + 10**9, (1, 9, 9, 9, 9))),
                ],
                ['no message of', TRUTH, 'stamp'],
                id='truth-with-other-stamps',
            ),
            pytest.param(
                lambda s: [(CAMERA, IMAGE, s, _image(s)), (TRUTH, IMAGE, s, _image(s))],
                [TRUTH, 'rgb8', 'not supported'],
                id='truth-in-colours',
            ),
            pytest.param(
                lambda s: [
                    (CAMERA, IMAGE, s, _image(s)),
                    (TRUTH, IMAGE, s, label_bytes(label_map(size=(9, 9)), s, 'c')),
                ],
                ['9x9', '96x64'],
                id='truth-of-another-size',
            ),
            pytest.param(
                lambda s: [(CAMERA, IMAGE, s, _image(5)), (TRUTH, IMAGE, s, _labels(5))] * 2,
                ['not later than', 'loops'],
                id='stamps-that-stand-still',
            ),
            pytest.param(
                lambda s: [(CAMERA, IMAGE, s, _image(s)[:200]), (TRUTH, IMAGE, s, _labels(s))],
                [CAMERA],
                id='cut-message',
            ),
            pytest.param(
                lambda s: [(CAMERA, IMAGE, s, b'\0\1'), (TRUTH, IMAGE, s, _labels(s))],
                [CAMERA, '2 bytes'],
                id='message-without-header',
            ),
        ],
    )
    def test_messages_that_cannot_be_used(
        self,
        tmp_path: Path,
        capsys: Captured,
        messages: Callable[[int], list[tuple[str, str, int, bytes]]],
        words: list[str],
    ) -> None:
        path = _write(tmp_path / 'b', *messages(START_NS))
        arguments = ['eval', str(path), *FAST, '--out', str(tmp_path / 'o'), '--no-masks']
        assert_refused(arguments, capsys, *words)

    def test_init_masks_for_no_image(self, tmp_path: Path, capsys: Captured) -> None:
        s = START_NS
        path = _write(
            tmp_path / 'b',
            (CAMERA, IMAGE, s, _image(s)),
            (INIT, IMAGE, s, _labels(s + 10**9, (1, 9, 9, 9, 9))),
        )
        arguments = ['eval', str(path), *FAST, '--out', str(tmp_path / 'o'), '--no-masks']
        start = ['--gt', 'none', '--init', 'topic']
        assert_refused([*arguments, *start], capsys, INIT, 'stamp of an image')

    def test_making_a_bag_of_what_does_not_fit(self, tmp_path: Path, capsys: Captured) -> None:
        write_sequence(tmp_path, 'car', moving(1, 3))
        write_sequence(tmp_path, 'dog', moving(1, 3))
        root, out = str(tmp_path), ['--out', str(tmp_path / 'b')]
        assert_refused(['make', root, *out], capsys, '--sequence', 'car, dog')
        assert_refused(['make', root, *out, '--sequence', 'cat'], capsys, 'cat')
        car = ['make', root, *out, '--sequence', 'car']
        assert_refused([*car, '--rate', '-1'], capsys, 'rate', '-1')
        assert_refused([*car, '--compressed', 'gif'], capsys, 'gif', 'jpeg')
        assert_refused([*car, '--storage', 'zip'], capsys, 'zip', 'sqlite3')
        assert_refused([*car, '--mask', 'm.png'], capsys, '--mask')
        folder = str(tmp_path / 'JPEGImages' / '480p' / 'car')
        write_label_png(tmp_path / 'small.png', label_map((1, 1, 1, 3, 3), size=(9, 9)))
        mask = ['--mask', str(tmp_path / 'small.png')]
        assert_refused(['make', folder, *out, *mask], capsys, '9x9', '96x64')
        assert main(['bag', 'make', folder, '--out', str(tmp_path / 'c')]) == 0
        capsys.readouterr()
        again = ['make', folder, '--out', str(tmp_path / 'c')]
        assert_refused(again, capsys, 'there already')

    def test_without_rosbags_it_says_what_to_install(
        self, drive: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(bag_cli, 'find_spec', lambda name: None)
        assert_refused(['eval', str(drive)], capsys, 'pip install rosbags')


def test_replay_holds_a_few_frames_and_not_the_bag(tmp_path: Path) -> None:
    frames = (30, 90)
    peaks = []
    for count in frames:
        folder = tmp_path / str(count)
        (folder / 'images').mkdir(parents=True)
        image = np.zeros((240, 320, 3), np.uint8)
        assert cv2.imwrite(str(folder / 'images' / '0.png'), image)
        labels: LabelMap = np.zeros((240, 320), np.uint8)
        labels[50:90, 50:90] = 1
        with BagWriter(folder / 'b') as bag:
            for index in range(count):
                stamp_ns = START_NS + index * 50_000_000
                data = image_bytes(image, 'rgb8', stamp_ns, 'c')
                bag.write(CAMERA, IMAGE, stamp_ns, data)
                bag.write(TRUTH, IMAGE, stamp_ns, label_bytes(labels, stamp_ns, 'c'))
        given = open_input(folder / 'b')
        tracemalloc.start()
        try:
            replay(
                read_frames(given.bag, given.image),
                Scripted([ObjectState.TRACKED] * count),
                given.truth(),
                given.prompts(),
                Cost(70.0),
                Observers(),
            )
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    assert peaks[1] < peaks[0] + 2 * image.nbytes  # 18 MB more lie in the bag


def test_a_video_without_masks_becomes_a_bag_to_measure_time_on(tmp_path: Path) -> None:
    square(tmp_path / 'davis', frames=3)
    folder = FolderSequence(tmp_path / 'davis' / 'JPEGImages' / 'square')
    first: LabelMap = np.zeros((96, 160), np.uint8)
    first[30:62, 10:42] = 1
    made = make_bag(folder, tmp_path / 'b', rate_hz=10.0, first_mask=first)
    assert made.counts == {CAMERA: 3, INIT: 1}
    with pytest.raises(VosError, match='no topic /gt/labels'):
        open_input(tmp_path / 'b')
    assert open_input(tmp_path / 'b', gt='none', init='topic').frames == 3


@pytest.mark.parametrize(
    ('with_mask', 'says'), [(True, '--gt none --init topic'), (False, '--gt none --init FILE.png')]
)
def test_a_bag_without_truth_says_how_it_can_be_evaluated(
    tmp_path: Path, capsys: Captured, with_mask: bool, says: str
) -> None:
    square(tmp_path / 'davis', frames=3)
    source = str(tmp_path / 'davis' / 'JPEGImages' / 'square')
    mask = ['--mask', str(tmp_path / 'davis/Annotations/square/00000.png')] if with_mask else []
    assert main(['bag', 'make', source, '--out', str(tmp_path / 'b'), *mask]) == 0
    assert says in capsys.readouterr().out


class TestThroughNode:
    def test_a_frame_is_scored_with_the_newest_mask_that_had_arrived(self, drive: Path) -> None:
        given = open_input(drive)
        true = [message.to_labels() for message in BagReader(drive).messages([TRUTH])]
        # Sent every 50 ms; the masks of 0, 2 and 1 arrive in this order, no other one does.
        sent_ns = [7 * 10**18 + 50_000_000 * index for index in range(16)]
        latency_ms = {0: 40.0, 1: 140.0, 2: 60.0}
        folder = drive.parent / 'labels'
        for index in latency_ms:
            write_label_png(folder / f'{sent_ns[index]}.png', true[index])
        played = [PlayedFrame(k, sent_ns[k], latency_ms.get(k)) for k in range(16)]
        seen: list[Published] = []
        recording = Recording(folder, tuple(played), unknown=0)
        outcome = score(given, recording, 1, Observers(on_mask=[seen.append]))
        ages = [r.age_ms for r in outcome.records]
        assert ages[:6] == [None, 50, 100, 150, 100, 150]  # the mask of 1 came too late to matter
        assert ages[-1] == 50 * 13
        for record in outcome.records[1:5]:
            newest = 0 if record.index < 4 else 2
            expected = region_similarity(true[newest] == 1, true[record.index] == 1)
            assert record.scores[1][0] == pytest.approx(expected)
        assert [mask.frame.index for mask in seen] == [0, 1, 2]
        assert [(mask.at_ns - mask.frame.time_ns) / 1e6 for mask in seen] == [40, 140, 60]
        assert sum(r.latency_ms is None for r in outcome.records) == 13
        assert outcome.mask_hash == ''
        # The masks themselves are right; only the frames between the first and the last count.
        assert [r.per_frame_j for r in outcome.records[:4]] == [None, 1, 1, None]
        assert outcome.per_frame[0][1].jf == 1 > outcome.loops[0][1].jf

    def test_masks_of_one_loop_do_not_serve_the_next(self, drive: Path) -> None:
        given = open_input(drive)
        true = next(iter(BagReader(drive).messages([TRUTH]))).to_labels()
        folder = drive.parent / 'loops'
        sent_ns = [10**18 + 50_000_000 * index for index in range(32)]
        write_label_png(folder / f'{sent_ns[0]}.png', true)
        played = [PlayedFrame(k, t, 40.0 if k == 0 else None) for k, t in enumerate(sent_ns)]
        outcome = score(given, Recording(folder, tuple(played), 0), 2, Observers())
        assert [r.loop for r in outcome.records] == [0] * 16 + [1] * 16
        assert outcome.records[15].age_ms == 750
        assert all(r.age_ms is None for r in outcome.records[16:])
        assert outcome.loops[0][1].j.mean > outcome.loops[1][1].j.mean == 0
