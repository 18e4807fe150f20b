# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The demo: its clip, its bookkeeping, its page, and all of it over real DDS."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
import re
import signal
import subprocess
import sys
import time
from typing import Any
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest

from vos_ros import demo
from vos_ros.bag.sequence import CAMERA, INIT
from vos_ros.commands import doctor
from vos_ros.commands.cli import main
from vos_ros.errors import VosError
from vos_ros.evaluation import page
from vos_ros.evaluation.plot import DROPPED, Line, plot, ticks
from vos_ros.evaluation.results import writing
from vos_ros.formats.label_png import read_label_png, write_label_png
from vos_ros.harness import clip, play
from vos_ros.harness.processes import Children, ProcessError
from vos_ros.harness.recording import read_recording
from vos_ros.harness.source import make_source, open_source
from vos_ros.sequences import VideoSequence

TINY = Path(__file__).parents[1] / 'data' / 'tiny'


@pytest.fixture(scope='module')
def short_clip() -> list[tuple[clip.Image, clip.Image]]:
    pytest.importorskip('skimage')
    return list(clip.render(12))


class TestClip:
    def test_both_objects_are_on_every_frame(self, short_clip: list[Any]) -> None:
        for image, labels in short_clip:
            assert image.shape == (clip.HEIGHT_PX, clip.WIDTH_PX, 3)
            assert image.dtype == labels.dtype == np.uint8
            assert set(np.unique(labels)) == {0, clip.CUP, clip.ASTRONAUT}
            assert min(np.count_nonzero(labels == k) for k in (clip.CUP, clip.ASTRONAUT)) > 5_000

    def test_it_is_the_same_every_time(self, short_clip: list[Any]) -> None:
        for (image, labels), (again, labels_again) in zip(short_clip, clip.render(12)):
            assert (image == again).all()
            assert (labels == labels_again).all()

    def test_objects_move_turn_and_one_hides_the_other(self, short_clip: list[Any]) -> None:
        maps = [labels for _, labels in short_clip]
        # A mask that is only copied must fail, or the clip would show nothing.
        overlap = [
            np.count_nonzero((maps[0] == k) & (maps[-1] == k)) / np.count_nonzero(maps[0] == k)
            for k in (clip.CUP, clip.ASTRONAUT)
        ]
        assert max(overlap) < 0.2
        around = cv2.dilate((maps[6] == clip.ASTRONAUT).astype(np.uint8), np.ones((3, 3)))
        assert np.count_nonzero((around != 0) & (maps[6] == clip.CUP)) > 50

    def test_masks_lie_on_the_objects(self, short_clip: list[Any]) -> None:
        image, labels = short_clip[0]
        red, green, blue = (image[..., c].astype(int) for c in range(3))
        saucer = (red > 120) & (green < 70) & (blue < 60) & (labels == clip.CUP)
        suit = (
            (red > 180) & (green > 70) & (green < 140) & (blue < 110) & (labels == clip.ASTRONAUT)
        )
        assert np.count_nonzero(saucer) > 0.2 * np.count_nonzero(labels == clip.CUP)
        assert np.count_nonzero(suit) > 0.2 * np.count_nonzero(labels == clip.ASTRONAUT)

    def test_written_as_a_data_set_it_reads_back(self, tmp_path: Path) -> None:
        pytest.importorskip('skimage')
        assert open_source(frames=3) is None
        source = make_source(tmp_path, frames=3)
        assert len(list(source.frames())) == 3
        assert set(np.unique(source.first)) == {0, clip.CUP, clip.ASTRONAUT}


@pytest.fixture
def video(tmp_path: Path) -> Path:
    folder = tmp_path / 'video'
    folder.mkdir()
    for number in range(3):
        cv2.imwrite(str(folder / f'{number}.png'), np.full((48, 64, 3), 20 * number, np.uint8))
    return folder


def _mask(path: Path, shape: tuple[int, int], value: int = 1) -> Path:
    labels = np.zeros(shape, np.uint8)
    labels[10:20, 10:20] = value
    write_label_png(path, labels)
    return path


class TestSource:
    def test_a_users_video_has_no_truth(self, tmp_path: Path, video: Path) -> None:
        mask = _mask(tmp_path / 'm.png', (48, 64), 255)
        source = open_source(video=video, mask=mask, frames=2)
        assert source is not None
        assert len(list(source.frames())) == 2
        assert list(source.bag(10.0).topics) == [CAMERA, INIT]
        assert set(np.unique(source.first)) == {0, 1}

    @pytest.mark.parametrize(
        ('arguments', 'says'),
        [
            pytest.param({'video': True}, '--mask', id='video-without-mask'),
            pytest.param({'mask': True}, '--video', id='mask-without-video'),
            pytest.param({'video': True, 'mask': True, 'davis': True}, 'not both', id='both'),
            pytest.param({'davis': True}, 'JPEGImages', id='not-a-davis-root'),
            pytest.param({'frames': 1}, 'at least 2', id='one-frame'),
        ],
    )
    def test_what_cannot_be_played_is_refused_in_one_line(
        self, tmp_path: Path, video: Path, arguments: dict[str, Any], says: str
    ) -> None:
        files: dict[str, Any] = {
            'video': video,
            'mask': _mask(tmp_path / 'm.png', (48, 64)),
            'davis': video,
        }
        given: dict[str, Any] = {k: files[k] if v is True else v for k, v in arguments.items()}
        with pytest.raises(VosError, match=re.escape(says)) as caught:
            open_source(**given)
        assert '\n' not in str(caught.value)

    def test_a_mask_of_another_shape_is_refused_with_both_sizes(
        self, tmp_path: Path, video: Path
    ) -> None:
        mask = _mask(tmp_path / 'm.png', (64, 48))
        with pytest.raises(VosError, match=r'48x64.*64x48'):
            open_source(video=video, mask=mask)


def _recording(folder: Path, sent: list[int], arrived: dict[int, float]) -> tuple[Path, Path]:
    """Write both logs: frame k leaves at stamp sent[k] and arrives so many ms later."""
    playback, recorded = folder / 'playback.jsonl', folder / 'recording.jsonl'
    lines = [json.dumps({'frame': k, 'stamp_ns': stamp}) for k, stamp in enumerate(sent)]
    playback.write_text(''.join(line + '\n' for line in lines))
    lines = [
        json.dumps({'stamp_ns': stamp, 'received_ns': stamp + round(ms * 1e6)})
        for stamp, ms in arrived.items()
    ]
    recorded.write_text(''.join(line + '\n' for line in lines))
    return playback, recorded


class TestRecording:
    def test_a_frame_without_a_map_was_dropped(self, tmp_path: Path) -> None:
        stamps = [100, 200, 300, 400, 500, 600]
        arrived = {100: 10.0, 200: 20.0, 400: 40.0, 500: 30.0, 600: 50.0}
        frames = read_recording(*_recording(tmp_path, stamps, arrived), tmp_path).frames
        assert [(frame.number, frame.stamp_ns) for frame in frames] == list(enumerate(stamps))
        assert frames[2].latency_ms is None
        latencies = [frame.latency_ms for frame in frames if frame.latency_ms is not None]
        assert latencies == pytest.approx([*arrived.values()])

    def test_a_map_for_a_frame_that_was_never_sent_is_noticed(self, tmp_path: Path) -> None:
        logs = _recording(tmp_path, [100, 200], {100: 1.0, 999: 1.0})
        assert read_recording(*logs, tmp_path).unknown == 1

    def test_no_mask_at_all_is_an_error_that_names_the_log(self, tmp_path: Path) -> None:
        with pytest.raises(VosError, match=r'node\.log'):
            read_recording(*_recording(tmp_path, [100, 200], {}), tmp_path)


class TestPage:
    def test_a_line_is_interrupted_where_a_frame_was_dropped(self) -> None:
        line = Line('latency', 'blue', [(0, 1.0), (1, 2.0), (2, None), (3, 1.0), (4, 1.5)])
        svg = plot([line], y_max=2.0, y_label='ms', x_max=4, marks=[2])
        assert svg.count('<polyline') == 2
        assert svg.count(f'stroke="{DROPPED}"') == 1

    def test_a_plot_is_a_file_of_its_own_with_a_legend(self) -> None:
        line = Line('a<b', 'blue', [(0, 0.7), (3, None), (4, 0.8)], ['480', '', '256'])
        root = ElementTree.fromstring(plot([line], y_max=0.9, y_min=0.6, y_label='J&F', x_max=4))
        assert root.tag == '{http://www.w3.org/2000/svg}svg'
        words = [part.text for part in root.iter('{http://www.w3.org/2000/svg}text')]
        assert words[:2] == ['J&F', 'a<b']
        assert {'0.6', '0.9', '480', '256'} <= set(words)
        assert len(list(root.iter('{http://www.w3.org/2000/svg}circle'))) == 2

    @pytest.mark.parametrize('maximum', [0.001, 0.07, 1.0, 9.0, 59.0, 119.0, 243.0, 10_000.0])
    def test_axes_have_a_few_round_numbers(self, maximum: float) -> None:
        found = ticks(maximum, most=6)
        assert 3 <= len(found) <= 6
        assert found[0] == 0
        assert found[-1] <= maximum
        above = ticks(1.33 * maximum, 0.93 * maximum, most=6)
        assert 3 <= len(above) <= 6
        assert 0.93 * maximum <= above[0] < above[-1] <= 1.33 * maximum

    def test_the_page_needs_nothing_from_the_network_and_escapes_names(self) -> None:
        html = page.build(
            title='t',
            lead='<script>alert(1)</script>',
            cards=[('0.9', 'J&F')],
            plots=[],
            notes=[],
            figures=[page.Figure('a', [np.zeros((6, 8, 3), np.uint8)])],
            figures_title='f',
            facts=[('clip', 'a<b')],
            video='overlay.mp4',
        )
        assert '<script' not in html
        assert 'J&amp;F' in html
        assert re.findall(r'src="([^":]*)', html) == ['overlay.mp4', 'data']
        assert 'href' not in html


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != 'Z'


_DEAF = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print('ready', flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(not Path('/proc').is_dir(), reason='looks into /proc')
class TestProcesses:
    def test_a_child_that_ignores_every_signal_is_still_ended(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr('vos_ros.harness.processes._GRACE_S', 0.2)
        log = tmp_path / 'log'
        pids = []

        def use() -> None:
            with Children() as children:
                code = [sys.executable, '-c', _DEAF]
                pids.append(children.start('deaf', code, env=os.environ, log=log).pid)
                while 'ready' not in log.read_text():
                    time.sleep(0.02)
                raise ZeroDivisionError  # whatever ends the block

        with pytest.raises(ZeroDivisionError):
            use()
        assert not _is_alive(pids[0])

    def test_a_child_that_fails_is_reported_with_its_last_words(self, tmp_path: Path) -> None:
        code = 'import sys; print("no model"); sys.exit(3)'
        with Children() as children:
            child = children.start(
                'node', [sys.executable, '-c', code], env=os.environ, log=tmp_path / 'log'
            )
            while child.exit_code is None:
                time.sleep(0.02)
            with pytest.raises(ProcessError, match=r'node ended \(3\)[^!]*no model'):
                children.check()


def test_without_rclpy_the_demo_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(play, 'find_spec', lambda name: None)
    with pytest.raises(VosError, match='make demo'):
        demo.run(out=tmp_path)


def test_the_demo_deletes_no_file_that_it_did_not_write(tmp_path: Path, video: Path) -> None:
    pytest.importorskip('rclpy')
    mask = _mask(tmp_path / 'masks' / 'first.png', (48, 64))  # a folder that the demo uses, too
    drawn = _mask(tmp_path / 'masks' / 'drawn_by_hand.png', (48, 64))
    wanted: tuple[dict[str, Any], ...] = ({}, {'video': video, 'mask': mask})
    for given in wanted:
        with pytest.raises(VosError, match='choose an empty --out'):
            demo.run(out=tmp_path, model=str(TINY), **given)
    assert mask.exists()
    assert drawn.exists()
    assert not (tmp_path / 'clip').exists()


def test_a_demo_that_cannot_start_leaves_the_results_of_the_last_one(
    tmp_path: Path, video: Path
) -> None:
    pytest.importorskip('rclpy')
    out = tmp_path / 'out'
    with writing(out, ['report.json', 'overlay.mp4']):
        (out / 'report.json').write_text('{}')
        (out / 'overlay.mp4').write_text('')
    wrong: list[dict[str, Any]] = [
        {'video': tmp_path / 'nothing.mp4', 'mask': _mask(tmp_path / 'm.png', (48, 64))},
        {'video': video},
        {'video': video, 'mask': _mask(tmp_path / 'tall.png', (64, 48))},
    ]
    for given in wrong:
        with pytest.raises(VosError):
            demo.run(out=out, model=str(TINY), **given)
    assert (out / 'report.json').exists()


def test_what_a_user_has_set_for_cameras_does_not_reach_the_demo_s_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('FASTDDS_BUILTIN_TRANSPORTS', 'LARGE_DATA')
    monkeypatch.setenv('FASTRTPS_DEFAULT_PROFILES_FILE', '/mine.xml')
    env = play.environment(tmp_path)
    assert 'FASTDDS_BUILTIN_TRANSPORTS' not in env
    assert env['FASTRTPS_DEFAULT_PROFILES_FILE'] == str(play.find_profile())


def test_a_profile_that_is_a_link_is_given_as_the_file_that_it_leads_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As colcon build --symlink-install has it; Fast DDS 3 would read it twice and complain.
    target = play.find_profile()
    share = tmp_path / 'share' / 'vos_ros'
    (share / play.PROFILE).parent.mkdir(parents=True)
    (share / play.PROFILE).symlink_to(target)
    monkeypatch.setenv('AMENT_PREFIX_PATH', str(tmp_path))
    monkeypatch.setattr(play, '__file__', str(tmp_path / 'lib' / 'vos_ros' / 'play.py'))
    assert play.find_profile() == target


def test_the_demo_s_processes_listen_on_loopback_alone(tmp_path: Path) -> None:
    pytest.importorskip('rclpy')
    if not Path('/proc/net/udp').exists():
        pytest.skip('this system does not tell which sockets are bound')
    env = play.environment(tmp_path)
    code = (
        "import rclpy, sys; rclpy.init(); node = rclpy.create_node('listener'); "
        "print('made', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, '-c', code], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b'made\n'
        bound = doctor.bound_udp_ports(process.pid, int(env['ROS_DOMAIN_ID']))
    finally:
        process.kill()
        process.communicate()
    assert bound
    assert {address for address, _ in bound} == {'127.0.0.1'}


def test_two_runs_in_one_domain_have_topics_of_their_own() -> None:
    drawn = {play.own_namespace() for _ in range(1000)}
    assert len(drawn) == 1000
    assert all(re.fullmatch('/[a-z][a-z0-9_]*', name) for name in drawn)


@pytest.fixture
def ros_clip(tmp_path: Path) -> Path:
    pytest.importorskip('rclpy')
    return _moving_square(tmp_path / 'data')


def _moving_square(root: Path) -> Path:
    """Make a data set of one sequence: a bright square on a dark, noisy ground."""
    random = np.random.default_rng(0)
    for number in range(10):
        image = random.integers(0, 60, (96, 128, 3), np.uint8)
        labels = np.zeros((96, 128), np.uint8)
        labels[30:60, 10 + 4 * number : 40 + 4 * number] = 1
        image[labels == 1] = (240, 200, 40)
        folder = root / 'JPEGImages' / '480p' / 'square'
        folder.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / f'{number:05d}.jpg'), image)
        write_label_png(root / 'Annotations' / '480p' / 'square' / f'{number:05d}.png', labels)
    return root


@pytest.mark.ros
@pytest.mark.integration
@pytest.mark.timeout(300)
def test_the_demo_measures_a_real_node_over_dds(ros_clip: Path, tmp_path: Path) -> None:
    out = tmp_path / 'out'
    arguments = ['--out', str(out), '--davis', str(ros_clip / 'square'), '--model', str(TINY)]
    engine = ['--backend', 'cpu', '--threads', '1', '--size', '64']
    assert main(['demo', *arguments, *engine, '--rate', '4']) == 0
    node = json.loads((out / 'logs' / 'diagnostics.json').read_text())
    (status,) = (part for name, part in node.items() if name.endswith('engine'))
    assert status['values']['backend'] == 'cpu'
    report = json.loads((out / 'report.json').read_text())
    assert report['frames'] == 10
    manifest = (TINY / 'manifest.json').read_bytes()
    assert report['model']['name'] == json.loads(manifest)['name']
    assert report['model']['sha256'] == hashlib.sha256(manifest).hexdigest()
    assert report['clip']['rate_hz'] == 4
    assert report['mode'] == 'ros'
    assert report['host']['ros'] != 'unknown'
    assert report['unknown_stamps'] == 0  # a mask always carries the stamp of its image
    assert set(report['latency_ms']) == {'p50', 'p95', 'p99', 'max'}
    assert 0 < report['latency_ms']['p50'] <= report['latency_ms']['max']
    # Random weights track nothing, but what was published was scored.
    assert 0 <= report['jf'] <= 1
    assert 0 <= report['overall']['jf'] <= 1
    masks = sorted((out / 'masks' / 'square').glob('*.png'))
    assert len(masks) == report['frames'] - report['dropped'] > 0
    assert read_label_png(masks[0]).shape == (96, 128)
    assert len(list(VideoSequence(out / 'overlay.mp4'))) == 10
    assert 'overlay.mp4' in (out / 'index.html').read_text()


@pytest.mark.ros
@pytest.mark.integration
@pytest.mark.timeout(300)
@pytest.mark.skipif(not Path('/proc').is_dir(), reason='looks into /proc')
@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM], ids=['ctrl-c', 'terminated'])
def test_an_interrupted_demo_leaves_no_process_behind(
    ros_clip: Path, tmp_path: Path, number: signal.Signals
) -> None:
    out = tmp_path / 'out'
    code = 'import sys; from vos_ros.commands.cli import main; sys.exit(main(sys.argv[1:]))'
    arguments = ['demo', '--out', out, '--davis', ros_clip / 'square', '--model', TINY]
    process = subprocess.Popen(
        [sys.executable, '-c', code, *map(str, arguments), '--rate', '0.2'],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        playback = out / 'logs' / 'playback.jsonl'
        while not playback.exists():
            assert process.poll() is None
            time.sleep(0.1)
        assert len(_processes_that_name(out)) >= 3
        process.send_signal(number)
        said, _ = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 130
    assert 'interrupted' in said
    assert not _processes_that_name(out)


def _processes_that_name(out: Path) -> list[int]:
    # All of them have its folder of logs in their environment.
    found = []
    for entry in Path('/proc').glob('[0-9]*'):
        try:
            env = (entry / 'environ').read_bytes()
        except OSError:
            continue
        if str(out / 'logs').encode() in env:
            found.append(int(entry.name))
    return found
