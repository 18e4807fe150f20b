# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import os
from pathlib import Path
import shutil
import signal
import subprocess
import sys
import time

import cv2
from davis_factory import label_map, moving, write_image, write_sequence
import numpy as np
import pytest

from vos_ros import __version__
from vos_ros.commands import cli
from vos_ros.commands.cli import main
from vos_ros.datatypes import Frame, Prompt, Segmentation
from vos_ros.engine.segmenter import VideoSegmenter
from vos_ros.formats import encoded
from vos_ros.formats.label_png import read_label_png, write_label_png

TINY = str(Path(__file__).parents[1] / 'data' / 'tiny')
FAST = ['--model', TINY, '--size', '64', '--threads', '1']
Captured = pytest.CaptureFixture[str]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make frames/, first.png for them, and change into an empty working directory."""
    write_sequence(tmp_path, 'car', moving(1, 5))
    (tmp_path / 'JPEGImages/480p/car').rename(tmp_path / 'frames')
    labels = moving(1, 1)[0]
    assert labels is not None
    write_label_png(tmp_path / 'first.png', labels)
    return tmp_path


@pytest.fixture
def davis(tmp_path: Path) -> Path:
    root = tmp_path / 'davis'
    write_sequence(root, 'car', moving(255, 5))
    write_sequence(root, 'dog', moving(255, 6))
    return root


def run(folder: Path, *options: str, source: str = 'frames', mask: str = 'first.png') -> int:
    paths = [str(folder / source), '--mask', str(folder / mask), '--out', str(folder / 'out')]
    return main(['run', *paths, *FAST, *options])


def assert_one_line(capsys: Captured, *words: str) -> None:
    captured = capsys.readouterr()
    assert captured.out == ''
    lines = captured.err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith('vos: ')
    for word in words:
        assert word in lines[0]


def test_run_writes_masks_and_a_video_that_plays(folder: Path, capsys: Captured) -> None:
    assert run(folder) == 0
    names = sorted(file.name for file in (folder / 'out/masks').iterdir())
    assert names == [f'{i:05d}.png' for i in range(5)]
    first = read_label_png(folder / 'out/masks/00000.png')
    assert np.array_equal(first, read_label_png(folder / 'first.png'))
    capture = cv2.VideoCapture(str(folder / 'out/overlay.mp4'))
    assert capture.read()[0]
    shown = capsys.readouterr().out
    assert '5 frames' in shown
    assert 'p99' in shown


def test_run_says_what_ran_and_warns_once(folder: Path, capsys: Captured) -> None:
    assert run(folder, '--precision', 'fp16', '--no-overlay') == 0
    captured = capsys.readouterr()
    assert 'tiny on cpu fp32, short side 64 px' in captured.out
    assert captured.err.count('fp16') == 1


def test_a_shorter_run_leaves_no_mask_of_the_one_before(folder: Path, capsys: Captured) -> None:
    assert run(folder) == 0
    for name in ('00003.jpg', '00004.jpg'):
        (folder / 'frames' / name).unlink()
    (folder / 'out' / 'notes.txt').write_text('mine')
    assert run(folder, '--no-overlay') == 0
    assert len(list((folder / 'out/masks').iterdir())) == 3
    assert not (folder / 'out/overlay.mp4').exists()
    assert (folder / 'out' / 'notes.txt').exists()
    assert 'deleted 6 files of an earlier run' in capsys.readouterr().err


def test_run_does_not_write_among_masks_of_somebody_else(folder: Path, capsys: Captured) -> None:
    drawn = folder / 'out/masks/00000.png'
    drawn.parent.mkdir(parents=True)
    shutil.copy(folder / 'first.png', drawn)
    assert run(folder, mask='out/masks/00000.png') == 2
    assert_one_line(capsys, str(drawn), '--out')
    assert list(drawn.parent.iterdir()) == [drawn]


def test_run_takes_a_video(folder: Path) -> None:
    writer = cv2.VideoWriter(
        str(folder / 'clip.mp4'), cv2.VideoWriter.fourcc(*'mp4v'), 20.0, (96, 64)
    )
    for _ in range(4):
        writer.write(np.random.default_rng(0).integers(0, 255, (64, 96, 3), np.uint8))
    writer.release()
    assert run(folder, '--no-overlay', source='clip.mp4') == 0
    assert sorted(f.name for f in (folder / 'out/masks').iterdir())[3] == '00003.png'
    assert not (folder / 'out/overlay.mp4').exists()


def test_run_json_is_all_of_stdout(folder: Path, capsys: Captured) -> None:
    assert run(folder, '--json') == 0
    result = json.loads(capsys.readouterr().out)
    assert (result['frames'], result['objects'], result['input_size']) == (5, [1], 64)
    assert {'p50', 'p95', 'p99', 'max'} <= set(result['latency_ms'])
    assert set(result['model']) == {'name', 'sha256', 'preset'}


def test_16_bit_mask_is_taken_as_ids(folder: Path) -> None:
    labels = read_label_png(folder / 'first.png').astype(np.uint16) * 300
    write_label_png(folder / 'wide.png', labels)
    assert run(folder, '--no-overlay', mask='wide.png') == 0
    assert np.array_equal(read_label_png(folder / 'out/masks/00000.png'), labels)


def test_mask_of_another_size_is_refused(folder: Path, capsys: Captured) -> None:
    write_label_png(folder / 'big.png', label_map((1, 9, 9, 9, 9), size=(100, 200)))
    assert run(folder, mask='big.png') == 2
    assert_one_line(capsys, 'big.png', '200x100', '96x64')


def test_empty_mask_is_refused(folder: Path, capsys: Captured) -> None:
    write_label_png(folder / 'empty.png', label_map())
    assert run(folder, mask='empty.png') == 2
    assert_one_line(capsys, 'empty.png is empty')


def test_jpeg_mask_is_refused(folder: Path, capsys: Captured) -> None:
    write_image(folder / 'mask.jpg', np.zeros((64, 96, 3), np.uint8))
    assert run(folder, mask='mask.jpg') == 2
    assert_one_line(capsys, 'mask.jpg', 'PNG')


def test_boxes_and_points_stand_for_a_mask(folder: Path, capsys: Captured) -> None:
    out = folder / 'out'
    hints = ['--box', '10,10,30,30', '--point', '70,40', '--prompt-model', '']  # GrabCut
    given = [str(folder / 'frames'), '--out', str(out), '--no-overlay', *FAST]
    assert main(['run', *given, *hints]) == 0
    first = read_label_png(out / 'masks/00000.png')
    assert set(np.unique(first)) == {0, 1, 2}
    assert not first[45:, :50].any()


def test_a_mask_made_of_a_box_is_told_apart_from_a_given_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[frozenset[int]] = []
    start = VideoSegmenter.start

    def note(self: VideoSegmenter, frame: Frame, prompt: Prompt) -> Segmentation:
        seen.append(prompt.made_ids)
        return start(self, frame, prompt)

    monkeypatch.setattr(VideoSegmenter, 'start', note)
    given = [str(folder / 'frames'), '--out', str(folder / 'out'), '--no-overlay', *FAST]
    assert main(['run', *given, '--box', '10,10,30,30', '--prompt-model', '']) == 0
    assert seen[-1] == {1}
    assert run(folder) == 0
    assert seen[-1] == set()


@pytest.mark.parametrize('port', ['-1', '65536'])
def test_a_port_that_there_cannot_be_is_refused(folder: Path, capsys: Captured, port: str) -> None:
    assert main(['page', str(folder / 'frames'), '--port', port]) == 2
    told = capsys.readouterr().err
    assert "Invalid value for '--port'" in told
    assert 'Traceback' not in told


@pytest.mark.parametrize(
    ('hints', 'word'),
    [
        ([], '--box'),
        (['--mask', 'first.png', '--box', '1,1,9,9'], 'not both'),
        (['--box', '1,2,3'], 'X,Y,W,H'),
        (['--point', 'left'], 'X,Y'),
        (['--box', '500,500,20,20'], 'outside'),
        (['--point', '500,500'], 'outside'),
    ],
)
def test_wrong_hints_are_refused_in_one_line(
    folder: Path, capsys: Captured, hints: list[str], word: str
) -> None:
    given = [str(folder / 'frames'), '--out', str(folder / 'out'), *FAST]
    assert main(['run', *given, *hints]) == 2
    assert_one_line(capsys, word)


def test_missing_mask_and_missing_source_are_refused(folder: Path, capsys: Captured) -> None:
    assert run(folder, mask='nothing.png') == 2
    assert_one_line(capsys, 'nothing.png')
    assert run(folder, source='nothing.mp4') == 2
    assert_one_line(capsys, 'nothing.mp4')


def test_unreadable_video_is_refused(folder: Path, capsys: Captured) -> None:
    (folder / 'bad.mp4').write_bytes(b'no video')
    assert run(folder, source='bad.mp4') == 2
    assert_one_line(capsys, 'bad.mp4 cannot be opened')


def test_damaged_frame_in_the_middle_is_named(folder: Path, capsys: Captured) -> None:
    (folder / 'frames/00003.jpg').write_bytes(b'no image')
    assert run(folder) == 2
    assert_one_line(capsys, '00003.jpg')
    assert len(list((folder / 'out/masks').iterdir())) == 3


def test_unknown_and_corrupt_models_are_refused(folder: Path, capsys: Captured) -> None:
    assert run(folder, '--model', 'no_such_model') == 2
    assert_one_line(capsys, 'no_such_model')
    shutil.copytree(TINY, folder / 'broken')
    graph = folder / 'broken' / 'segment.onnx'
    graph.write_bytes(graph.read_bytes()[:-1] + b'x')
    assert run(folder, '--model', str(folder / 'broken')) == 2
    assert_one_line(capsys, 'segment.onnx', 'sha256')


def test_folder_that_cannot_be_written_is_refused_at_once(folder: Path, capsys: Captured) -> None:
    (folder / 'out').write_text('a file')
    assert run(folder) == 2
    assert_one_line(capsys, 'out', '--out')


@pytest.mark.parametrize(
    'arguments',
    [['run'], ['run', 'x'], ['run', 'x', '--mask', 'y', '--frobnicate'], ['fly'], ['eval']],
    ids=' '.join,
)
def test_wrong_use_is_exit_code_2(arguments: list[str], capsys: Captured) -> None:
    assert main(arguments) == 2
    assert capsys.readouterr().out == ''


@pytest.mark.parametrize('size', ['5', '-1', '99999'])
def test_size_out_of_range_is_refused(folder: Path, capsys: Captured, size: str) -> None:
    assert run(folder, '--size', size) == 2
    assert_one_line(capsys, '--size must be 0 or more' if size == '-1' else 'input_size')


@pytest.mark.parametrize('command', ['run', 'eval', 'demo', 'doctor'])
def test_help_has_an_example(command: str, capsys: Captured) -> None:
    assert main([command, '--help']) == 0
    assert f'Example: vos {command}' in capsys.readouterr().out


def test_version(capsys: Captured) -> None:
    assert main(['--version']) == 0
    assert capsys.readouterr().out == f'vos_ros {__version__}\n'


def test_eval_writes_what_it_promises(davis: Path, tmp_path: Path, capsys: Captured) -> None:
    out = tmp_path / 'out'
    options = ['--out', str(out), '--save-masks', '--overlay', *FAST]
    assert main(['eval', str(davis), *options]) == 0
    report = json.loads((out / 'report.json').read_text())
    assert set(report['sequences']) == {'car', 'dog'}
    assert set(report['baselines']) == {'copy_first', 'flow_warp'}
    for scores in (report['overall'], *report['baselines'].values()):
        assert 0 <= scores['jf'] <= 1
    assert report['model']['name'] == 'tiny'
    assert report['input_size'] == 64
    assert len(list((out / 'masks/dog').iterdir())) == 6
    first = read_label_png(out / 'masks/car/00000.png')
    assert np.array_equal(first, moving(1, 1)[0])  # type: ignore[arg-type]
    assert cv2.imread(str(out / 'worst_frames.png')) is not None
    assert (out / 'overlays/car.mp4').stat().st_size > 0
    shown = capsys.readouterr().out
    for word in (
        'car',
        'dog',
        'overall, tiny',
        'overall, copy_first',
        'overall, flow_warp',
        'p99',
    ):
        assert word in shown


def test_eval_without_masks_leaves_none_of_the_one_before(davis: Path, tmp_path: Path) -> None:
    options = ['--out', str(tmp_path / 'out'), '--no-baselines', *FAST]
    assert main(['eval', str(davis), '--save-masks', '--overlay', *options]) == 0
    assert main(['eval', str(davis), *options]) == 0
    names = {path.name for path in (tmp_path / 'out').iterdir()}
    assert names == {'report.json', 'worst_frames.png', '.written_by_vos'}


def test_baselines_in_the_table_are_those_of_the_report(davis: Path, tmp_path: Path) -> None:
    assert main(['eval', str(davis), '--out', str(tmp_path), *FAST]) == 0
    report = json.loads((tmp_path / 'report.json').read_text())
    # The box moves 2 px a frame and is 24 px wide: J after k frames is (24 - 2k) / (24 + 2k).
    j = [(24 - 2 * k) / (24 + 2 * k) for k in range(1, 5)]
    expected = (sum(j[:3]) / 3 + sum(j) / 4) / 2
    assert report['baselines']['copy_first']['j'] == pytest.approx(expected)


def test_eval_json_is_the_report(davis: Path, tmp_path: Path, capsys: Captured) -> None:
    options = ['--out', str(tmp_path), '--json', '--no-baselines', '--sequences', 'dog', *FAST]
    assert main(['eval', str(davis), *options]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((tmp_path / 'report.json').read_text())
    assert list(printed['sequences']) == ['dog']
    assert printed['baselines'] == {}


def test_eval_takes_settings_and_says_so(davis: Path, tmp_path: Path, capsys: Captured) -> None:
    options = ['--no-baselines', '--out', str(tmp_path), *FAST]
    assert main(['eval', str(davis), '--set', 'redetect.enabled=true', *options]) == 0
    report = json.loads((tmp_path / 'report.json').read_text())
    assert report['settings'] == ['redetect.enabled=true']
    capsys.readouterr()
    assert main(['eval', str(davis), '--set', 'redetect.enabeld=true', *options]) == 2
    assert 'unknown setting' in capsys.readouterr().err


def test_eval_without_score_still_runs(tmp_path: Path, capsys: Captured) -> None:
    write_sequence(tmp_path / 'd', 'car', [label_map((1, 9, 9, 20, 20)), None, None])
    out = tmp_path / 'out'
    assert main(['eval', str(tmp_path / 'd'), '--out', str(out), '--save-masks', *FAST]) == 0
    assert json.loads((out / 'report.json').read_text())['overall']['jf'] is None
    assert len(list((out / 'masks/car').iterdir())) == 3
    assert not (out / 'worst_frames.png').exists()
    assert 'car' in capsys.readouterr().out


def test_eval_refuses_what_is_no_data_set(tmp_path: Path, davis: Path, capsys: Captured) -> None:
    assert main(['eval', str(tmp_path / 'nothing'), *FAST]) == 2
    assert_one_line(capsys, 'nothing', 'DAVIS layout')
    assert main(['eval', str(davis), '--split', 'test', *FAST]) == 2
    assert_one_line(capsys, "'test'")
    assert main(['eval', str(davis), '--sequences', 'car,cat', *FAST]) == 2
    assert_one_line(capsys, "'cat'", 'car, dog')


def test_doctor_names_a_missing_model_and_fails(capsys: Captured) -> None:
    assert main(['doctor', '--model', 'no_such_model', '--json']) == 1
    result = json.loads(capsys.readouterr().out)
    assert result['ok'] is False
    failed = {check['name'] for check in result['checks'] if check['status'] == 'fail'}
    assert failed == {'model', 'inference'}


def test_doctor_passes_with_a_model(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, 'argv', ['doctor', '--model', TINY])
    assert cli.doctor_main() == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith('ok') and 'ms per frame' in line for line in lines)


@pytest.mark.slow
def test_ctrl_c_leaves_a_video_that_plays(folder: Path) -> None:
    for index in range(5, 4000):
        shutil.copy(folder / 'frames/00000.jpg', folder / f'frames/{index:05d}.jpg')
    command = [sys.executable, '-m', 'vos_ros.commands.cli', 'run', str(folder / 'frames')]
    options = ['--mask', str(folder / 'first.png'), '--out', str(folder / 'out'), '--model', TINY]
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, 'PYTHONPATH': f'{root}:{os.environ.get("PYTHONPATH", "")}'}
    process = subprocess.Popen(
        [*command, *options], stderr=subprocess.PIPE, text=True, env=environment
    )
    masks = folder / 'out/masks'
    deadline = time.monotonic() + 60
    while len(list(masks.glob('*.png'))) < 5:
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors == 'vos: interrupted\n'
    assert 5 <= len(list(masks.glob('*.png'))) < 400
    assert cv2.VideoCapture(str(folder / 'out/overlay.mp4')).read()[0]


def test_command_line_starts_without_heavy_imports() -> None:
    code = (
        'import sys, vos_ros.commands.cli, vos_ros.commands.doctor\n'
        'print(*sorted({"rclpy", "torch", "cv2", "onnxruntime"} & set(sys.modules)))'
    )
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, 'PYTHONPATH': f'{root}:{os.environ.get("PYTHONPATH", "")}'}
    done = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.strip() == ''


def test_a_mask_beside_the_frames_is_no_frame(folder: Path) -> None:
    (folder / 'first.png').rename(folder / 'frames/00000.png')
    given = read_label_png(folder / 'frames/00000.png')
    assert run(folder, '--no-overlay', mask='frames/00000.png') == 0
    written = sorted((folder / 'out/masks').iterdir())
    assert [file.name for file in written] == [f'{i:05d}.png' for i in range(5)]
    assert np.array_equal(read_label_png(written[0]), given)


def test_a_mask_one_pixel_off_is_taken_as_the_node_takes_it(folder: Path) -> None:
    height, width = read_label_png(folder / 'first.png').shape
    near = label_map((1, 9, 9, 20, 20), size=(4 * height, 4 * width - 1))
    write_label_png(folder / 'near.png', near)
    assert run(folder, '--no-overlay', mask='near.png') == 0
    assert read_label_png(folder / 'out/masks/00000.png').shape == (height, width)


def test_eval_takes_truth_one_pixel_off(davis: Path, tmp_path: Path) -> None:
    for file in (davis / 'Annotations/480p/car').iterdir():
        stored = read_label_png(file)
        near = np.kron(stored, np.ones((4, 4), np.uint8))[:, :-1]
        write_label_png(file, near)
    out = str(tmp_path / 'out')
    assert main(['eval', str(davis), *FAST, '--no-baselines', '--out', out]) == 0


def test_as_many_objects_are_followed_as_the_mask_holds(folder: Path, capsys: Captured) -> None:
    boxes = [(k + 1, 2 + 14 * (k % 4), 2 + 20 * (k // 4), 10, 10) for k in range(12)]
    write_label_png(folder / 'first.png', label_map(*boxes))
    assert run(folder, '--no-overlay', '--json') == 0
    assert json.loads(capsys.readouterr().out)['objects'] == [*range(1, 13)]
    assert run(folder, '--no-overlay', '--json', '--max-objects', '3') == 0
    assert json.loads(capsys.readouterr().out)['objects'] == [1, 2, 3]


def test_eval_holds_as_many_objects_as_the_truth(tmp_path: Path, capsys: Captured) -> None:
    boxes = [(k + 1, 2 + 14 * (k % 4), 2 + 20 * (k // 4), 10, 10) for k in range(12)]
    write_sequence(tmp_path / 'data', 'crowd', [label_map(*boxes)] * 4)
    arguments = [str(tmp_path / 'data'), *FAST, '--no-baselines', '--json']
    assert main(['eval', *arguments, '--out', str(tmp_path / 'out')]) == 0
    report = json.loads(capsys.readouterr().out)
    assert not any('refused' in line for line in report['sequences']['crowd']['warnings'])


@pytest.mark.parametrize(
    'command', [['run'], ['eval'], ['bag', 'eval'], ['demo']], ids=lambda command: command[-1]
)
def test_every_command_that_follows_objects_says_how_many(
    command: list[str], capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('COLUMNS', '200')
    assert main([*command, '--help']) == 0
    assert '--max-objects' in capsys.readouterr().out


@pytest.mark.parametrize('name', ['[link=x]car', '[bold]', 'a\nb', 'a\udcff', 'straße'])
def test_a_sequence_may_have_any_name(tmp_path: Path, capsys: Captured, name: str) -> None:
    write_sequence(tmp_path / 'data', 'plain', moving(1, 4))
    for part in ('JPEGImages', 'Annotations'):
        (tmp_path / 'data' / part / '480p/plain').rename(tmp_path / 'data' / part / '480p' / name)
    arguments = ['eval', str(tmp_path / 'data'), *FAST, '--no-baselines', '--save-masks']
    for _ in range(2):  # the second run deletes what the first one wrote
        assert main([*arguments, '--out', str(tmp_path / 'out')]) == 0
    printed = capsys.readouterr().out
    assert name.split('\n')[0].replace('\udcff', '\N{REPLACEMENT CHARACTER}') in printed
    assert len(list((tmp_path / 'out/masks').rglob('*.png'))) == 4


def test_a_full_disk_is_one_line(folder: Path) -> None:
    code = (
        'import resource, sys\n'
        'from vos_ros.commands.cli import main\n'
        'resource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048))\n'
        'sys.exit(main(sys.argv[1:]))\n'
    )
    bag = ['bag', 'make', str(folder / 'frames'), '--out', str(folder / 'bag')]
    video = ['run', str(folder / 'frames'), '--mask', str(folder / 'first.png'), *FAST]
    for command in (bag, [*video, '--out', str(folder / 'out')]):
        done = subprocess.run(
            [sys.executable, '-c', code, *command], capture_output=True, text=True
        )
        assert done.returncode in (1, 2), done
        assert 'Traceback' not in done.stderr
        assert done.stderr.startswith('vos: ')


@pytest.fixture
def pixel_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put back what a command sets for the whole process."""
    monkeypatch.setattr(encoded, 'MOST_PIXELS', encoded.MOST_PIXELS)


@pytest.mark.usefixtures('pixel_limit')
def test_what_needs_more_memory_than_the_budget_is_one_line_with_the_figure(
    folder: Path, davis: Path, capsys: Captured
) -> None:
    size = ['--size', '2160', '--budget-mib', '4000']
    words = ('2880x2160', 'needs about', '(4000 MiB by memory.budget_mib)', 'take input_size')
    assert run(folder, *size) == 2
    assert_one_line(capsys, *words)
    assert not (folder / 'out/masks').exists()
    assert main(['eval', str(davis), *FAST, *size, '--out', str(folder / 'eval')]) == 2
    assert_one_line(capsys, *words)
    assert run(folder, '--budget-mib', '4000') == 0


@pytest.mark.usefixtures('pixel_limit')
def test_images_larger_than_the_budget_allows_are_refused_by_their_header(
    folder: Path, capsys: Captured
) -> None:
    assert run(folder, '--budget-mib', '0.1') == 2
    assert_one_line(capsys, 'larger than the', 'memory.budget_mib')


def test_links_that_lead_in_a_circle_are_one_line(folder: Path, capsys: Captured) -> None:
    (folder / 'frames/00005.png').symlink_to('00005.png')
    assert run(folder) == 2
    assert_one_line(capsys, '00005.png', 'Too many levels of symbolic links')
    (folder / 'mask.png').symlink_to('mask.png')
    assert run(folder, mask='mask.png') == 2
    assert_one_line(capsys, 'mask.png', 'Too many levels of symbolic links')


@pytest.mark.parametrize(
    'arguments',
    [
        ('run', 'LONG', '--mask', 'first.png'),
        ('run', 'frames', '--mask', 'LONG'),
        ('run', 'frames', '--mask', 'first.png', '--model', 'LONG'),
        ('eval', 'LONG'),
        ('page', 'frames', '--mask', 'LONG'),
        ('bag', 'eval', 'LONG'),
        ('doctor', '--model', 'LONG'),
    ],
)
def test_a_name_that_no_disk_takes_is_one_line(
    folder: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.chdir(folder)
    name = 'x' * 300
    assert main([name if each == 'LONG' else each for each in arguments]) != 0
    out, err = capsys.readouterr()
    assert 'Traceback' not in out + err
    assert 'ile name too long' in out + err or 'no ' in out + err
