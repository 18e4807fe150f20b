# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""`segmenter` and `objects_3d` on a machine without ROS, torch and cv_bridge."""

import os
from pathlib import Path
import signal
import subprocess
import sys

import pytest

ROOT = Path(__file__).resolve().parents[1]
# None in sys.modules makes an import fail as if the package were not there.
WITHOUT = """
import sys
for name in ('rclpy', 'torch', 'cv_bridge', 'sensor_msgs', 'onnxruntime'):
    sys.modules[name] = None
from vos_ros.ros.node import main
sys.exit(main())
"""
IN_SPACE = WITHOUT.replace('ros.node', 'ros.objects_3d')


def start(*arguments: str, code: str = WITHOUT) -> 'subprocess.CompletedProcess[str]':
    command = [sys.executable, '-c', code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60)


def test_help_shows_an_example_and_every_parameter() -> None:
    done = start('--help')
    assert done.returncode == 0
    assert 'ros2 run vos_ros segmenter' in done.stdout
    assert 'memory.max_prompted_frames = 4 [frames]' in done.stdout
    assert 'overlay.alpha* = 0.5' in done.stdout


def test_help_ends_quietly_where_nobody_reads_on() -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, '-c', WITHOUT, '--help'],
        stdout=write,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        timeout=60,
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (0, b'')


def test_missing_ros_is_one_clear_line() -> None:
    done = start()
    assert done.returncode == 1
    assert done.stderr.startswith('segmenter: ROS 2 is not found')
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ('broken', 'said'),
    [
        ("sys.modules['cv2'] = None", 'cv2'),
        ("sys.modules['sensor_msgs'] = None", 'sensor_msgs'),
    ],
)
def test_another_package_that_is_missing_is_named_and_not_ros(broken: str, said: str) -> None:
    code = f'import sys\n{broken}\nfrom vos_ros.ros.node import main\nsys.exit(main())'
    pytest.importorskip('rclpy', reason='needs rclpy')
    done = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, cwd=ROOT, timeout=60
    )
    assert done.returncode == 1
    assert said in done.stderr
    assert 'ROS 2 is not found' not in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_an_rclpy_that_lacks_a_name_says_which(tmp_path: Path) -> None:
    (tmp_path / 'rclpy').mkdir()
    (tmp_path / 'rclpy' / '__init__.py').write_text('')
    (tmp_path / 'rclpy' / 'exceptions.py').write_text('')
    code = 'from vos_ros.ros.node import main; raise SystemExit(main())'
    done = subprocess.run(
        [sys.executable, '-c', code],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, 'PYTHONPATH': str(tmp_path)},
        timeout=60,
    )
    assert done.returncode == 1
    assert 'ParameterException' in done.stderr
    assert 'vos doctor' in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_an_unknown_argument_is_refused() -> None:
    done = start('--modle', 'x')
    assert done.returncode == 2
    assert "'--modle'" in done.stderr


def test_objects_3d_shows_its_own_help_and_misses_ros_in_one_line() -> None:
    done = start('--help', code=IN_SPACE)
    assert done.returncode == 0
    assert 'ros2 run vos_ros objects_3d' in done.stdout
    assert 'geometry.min_depth_m* = 0.05 [m]' in done.stdout
    assert 'backend' not in done.stdout
    done = start(code=IN_SPACE)
    assert done.returncode == 1
    assert done.stderr.startswith('objects_3d: ROS 2 is not found')


def test_the_page_says_what_is_missing_and_has_help_without_ros() -> None:
    code = WITHOUT.replace('vos_ros.ros.node', 'vos_ros.page.program')
    for arguments, status in ((['--help'], 0), ([], 1)):
        done = subprocess.run(
            [sys.executable, '-c', code, *arguments],
            capture_output=True,
            text=True,
            cwd=ROOT,
            timeout=60,
        )
        assert done.returncode == status, done.stderr
        assert 'Traceback' not in done.stderr
        assert (done.stdout if status == 0 else done.stderr).startswith(
            'usage: prompt_page' if status == 0 else 'prompt_page: ROS 2 is not found'
        )


@pytest.mark.parametrize('name', ['segmenter', 'objects_3d', 'prompt_page'])
@pytest.mark.parametrize('loading', ['numpy', 'rclpy'])
def test_an_interrupt_while_it_loads_ends_it_with_0(
    tmp_path: Path, name: str, loading: str
) -> None:
    if name == 'prompt_page':
        pytest.importorskip('diagnostic_msgs', reason='needs the messages of ROS: loaded first')
    (tmp_path / f'{loading}.py').write_text(
        'import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nprint("went on", flush=True)\n'
    )
    done = subprocess.run(
        [sys.executable, ROOT / 'scripts' / name],
        capture_output=True,
        text=True,
        env={**os.environ, 'PYTHONPATH': f'{tmp_path}{os.pathsep}{ROOT}'},
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, '', '')


def test_tests_that_interrupt_can_be_run_in_the_background() -> None:
    case = 'test_an_interrupt_while_it_loads_ends_it_with_0[numpy-segmenter]'
    done = subprocess.run(
        [sys.executable, '-m', 'pytest', '-q', f'{__file__}::{case}'],
        capture_output=True,
        text=True,
        cwd=ROOT,
        # Colcon's are for the run around this one.
        env={**os.environ, 'PYTEST_ADDOPTS': ''},
        timeout=120,
        # As a shell starts what stands before a `&`.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )
    assert done.returncode == 0, done.stdout
