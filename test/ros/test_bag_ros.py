# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Mode ros: a bag is played to a real node over DDS, and what comes back is scored."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip('rclpy', reason='rclpy is not installed')
pytest.importorskip('rosbags', reason='rosbags is not installed: pip install rosbags')

from vos_ros.bag.observe import LABELS
from vos_ros.bag.reader import BagReader
from vos_ros.bag.sequence import CAMERA
from vos_ros.bag.writer import make_bag
from vos_ros.commands.cli import main
from vos_ros.formats.label_png import read_label_png, write_label_png
from vos_ros.sequences import DavisSequence

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]
TINY = str(Path(__file__).parents[1] / 'data' / 'tiny')
FRAMES = 8


@pytest.fixture(scope='module')
def sequence(tmp_path_factory) -> DavisSequence:
    """Make a bright square that moves."""
    root = tmp_path_factory.mktemp('davis')
    (root / 'JPEGImages' / 'square').mkdir(parents=True)
    for index in range(FRAMES):
        image = np.full((96, 128, 3), 40, np.uint8)
        labels = np.zeros((96, 128), np.uint8)
        labels[30:60, 10 + 4 * index : 40 + 4 * index] = 1
        image[labels == 1] = (240, 200, 40)
        cv2.imwrite(str(root / 'JPEGImages' / 'square' / f'{index:05d}.png'), image)
        write_label_png(root / 'Annotations' / 'square' / f'{index:05d}.png', labels)
    return DavisSequence(root, 'square')


def evaluate(bag: Path, out: Path, *options: str) -> dict:
    """Run `vos bag eval --mode ros` and read its report."""
    arguments = ['bag', 'eval', str(bag), '--mode', 'ros', '--model', TINY, '--size', '64']
    assert main([*arguments, '--threads', '1', '--out', str(out), *options]) == 0
    return json.loads((out / 'report.json').read_text())


def test_a_bag_goes_through_the_node_and_back(sequence: DavisSequence, tmp_path: Path) -> None:
    make_bag(sequence, tmp_path / 'b', rate_hz=5.0)
    report = evaluate(tmp_path / 'b', tmp_path / 'out')
    assert {'ros', 'rmw'} <= set(report['host'])
    assert report['mode'] == 'ros'
    assert (report['frames'], report['loops']) == (FRAMES, 1)
    assert report['answered'] + report['dropped'] == FRAMES
    assert report['BasicPerformanceMetrics.NUM_MISSED_FRAMES'] == report['dropped']
    assert 0 < report['latency_ms']['p50'] <= report['latency_ms']['max']
    assert report['age_ms']['p50'] > 0  # the newest mask is never that of the image just sent
    assert 0 <= report['overall']['jf'] <= 1
    assert (report['backend'], report['precision']) == ('cpu', 'fp32')
    assert report['hashes']['masks'] is None
    masks = BagReader(tmp_path / 'out' / 'masks' / 'masks.mcap')
    stamps = {m.stamp_ns: m.log_ns for m in masks.messages([CAMERA])}
    assert len(stamps) == FRAMES
    answers = list(masks.messages([LABELS]))
    assert len(answers) == report['answered'] > 0
    for answer in answers:
        assert answer.log_ns > stamps[answer.stamp_ns]
        assert answer.to_labels().shape == (96, 128)
    assert 'data:image/jpeg' in (tmp_path / 'out' / 'index.html').read_text()


def test_loops_start_anew_and_compressed_images_arrive(
    sequence: DavisSequence, tmp_path: Path
) -> None:
    make_bag(sequence, tmp_path / 'b', rate_hz=5.0, compressed='jpeg', storage='sqlite3')
    out = tmp_path / 'out'
    report = evaluate(tmp_path / 'b', out, '--loops', '2', '--rate', '2', '--init', 'topic')
    assert (report['frames'], report['loops'], report['rate']) == (2 * FRAMES, 2, 2.0)
    assert list(report['sequences']) == ['b#1', 'b#2']
    assert all(part['frames'] == FRAMES for part in report['sequences'].values())
    assert report['BasicPerformanceMetrics.NUM_FRAMES_SENT'] == FRAMES
    played = [json.loads(line) for line in (out / 'logs' / 'playback.jsonl').open()]
    assert [line['frame'] for line in played] == list(range(2 * FRAMES))
    # The node was told to forget in between, so it took the same mask as a new one, twice.
    diagnostics = json.loads((out / 'logs' / 'diagnostics.json').read_text())
    assert diagnostics['vos: objects']['values']['masks_in'] == '2'
    first = read_label_png(out / 'logs' / 'prompts' / '0.png')
    answers = [out / 'logs' / 'labels' / f'{played[k]["stamp_ns"]}.png' for k in (0, FRAMES)]
    # An image may be lost on a loaded machine; the mask of a first one is the prompt itself.
    for answer in (path for path in answers if path.exists()):
        assert np.array_equal(read_label_png(answer), first)


def test_what_cannot_be_played_is_refused_before_anything_is_started(
    sequence: DavisSequence, tmp_path: Path, capsys
) -> None:
    make_bag(sequence, tmp_path / 'b', rate_hz=5.0)
    arguments = ['bag', 'eval', str(tmp_path / 'b'), '--mode', 'ros', '--model', TINY]
    out = tmp_path / 'out'
    assert main([*arguments, '--out', str(out), '--image', '/gt/nothing']) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert main([*arguments[:-1], 'no_such_model', '--out', str(out)]) == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert 'no_such_model' in error
    assert main([*arguments, '--out', str(out), '--backend', 'abacus']) == 2
    assert 'abacus' in capsys.readouterr().err
    assert not (out / 'logs').exists()


def test_a_node_that_fails_gives_exit_code_1_and_its_log(
    sequence: DavisSequence, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_bag(sequence, tmp_path / 'b', rate_hz=5.0)
    arguments = ['bag', 'eval', str(tmp_path / 'b'), '--mode', 'ros', '--model', TINY]
    monkeypatch.setenv('RMW_IMPLEMENTATION', 'rmw_of_nobody')
    assert main([*arguments, '--out', str(tmp_path / 'out')]) == 1
    error = capsys.readouterr().err
    assert 'ended' in error
    assert 'rmw_of_nobody' in error
