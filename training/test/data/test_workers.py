# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Workers that make the clips: what they find wrong is told, and none is left behind."""

import os
from pathlib import Path
import re
import signal
import time

import pytest

torch = pytest.importorskip('torch', reason='the training package needs torch')
pytest.importorskip('lightning_fabric', reason='training needs lightning-fabric')
pytest.importorskip('onnx', reason='the export needs onnx')

import cv2  # noqa: E402
import numpy as np  # noqa: E402
from tiny_run import start, tiny_recipe, train_command, write_stills  # noqa: E402

from vos_distill.data import Still, UnusableError  # noqa: E402
from vos_distill.data.clips import clip_loader  # noqa: E402

pytestmark = pytest.mark.timeout(200)
STARTED = 100  # seconds that a busy machine may take to import torch


def write_specks(root: Path) -> None:
    """Write photographs whose objects are too small to be tracked."""
    write_stills(root)
    for path in (root / 'static' / 'ecssd' / 'labels').iterdir():
        label = np.zeros((96, 96), np.uint8)
        label[40:42, 40:42] = 1
        cv2.imwrite(str(path), label)


@pytest.mark.integration
def test_data_that_cannot_be_used_end_a_run_with_one_line(tmp_path: Path) -> None:
    write_specks(tmp_path)
    tiny_recipe(workers=1).write(tmp_path / 'recipe.yaml')
    process = start(train_command(tmp_path / 'recipe.yaml', tmp_path, tmp_path / 'run'))
    try:
        said = process.communicate(timeout=STARTED)[0]
    finally:
        process.kill()
    assert process.returncode == 2, said
    assert 'Traceback' not in said
    assert 'no usable clip in 100 draws from static' in said


class Unreadable:
    """Photographs on a disk that fails."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> Still:
        raise self.error


@pytest.mark.parametrize('workers', [0, 1])
@pytest.mark.parametrize(
    'error', [ValueError('static/duts: 3 of 4 cannot be used'), OSError('disk')], ids=repr
)
def test_what_a_worker_finds_wrong_is_raised_as_it_is(error: Exception, workers: int) -> None:
    assert not isinstance(error, UnusableError)
    batches = clip_loader(Unreadable(error), [], tiny_recipe(workers=workers), range(2))
    with pytest.raises(type(error)) as raised:
        next(batches)
    assert raised.value.args == error.args


@pytest.mark.parametrize('workers', [0, 1])
def test_a_long_run_begins_at_once(workers: int) -> None:
    error = OSError('disk')
    recipe = tiny_recipe(steps=10**12, workers=workers)
    batches = clip_loader(Unreadable(error), [], recipe, range(recipe.steps))
    with pytest.raises(OSError, match='disk'):
        next(batches)


STUCK = """
import os, sys, time
from torch.utils.data import get_worker_info
from tiny_run import tiny_recipe
from vos_distill.data.clips import clip_loader


class Stuck:
    def __init__(self):
        self.asked = 0

    def __len__(self):
        return 1

    def __getitem__(self, index):
        print(f'worker {os.getpid()}.', flush=True)
        if sys.argv[1] == 'defect' and get_worker_info().id == 0:
            raise RuntimeError('a defect')
        time.sleep(1000)  # as on a disk that does not answer


next(clip_loader(Stuck(), [], tiny_recipe(workers=2, batch=1), range(8)))
"""


def has_ended(pid: int) -> bool:
    """Tell whether a process is gone, or only waits for whoever has it now to notice."""
    try:
        return Path(f'/proc/{pid}/stat').read_text().rsplit(')', 1)[1].split()[0] == 'Z'
    except OSError:
        return True


def wait_until_ended(pid: int) -> None:
    until = time.monotonic() + 30
    while not has_ended(pid):
        assert time.monotonic() < until, f'worker {pid} is still there'
        time.sleep(0.05)


def script(tmp_path: Path, how: str) -> list[str]:
    (tmp_path / 'stuck.py').write_text(STUCK)
    return [str(tmp_path / 'stuck.py'), how]


@pytest.mark.integration
def test_a_defect_in_one_worker_ends_the_run_though_another_is_busy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('PYTHONPATH', str(Path(__file__).parents[1]), prepend=os.pathsep)
    process = start(script(tmp_path, 'defect'))
    try:
        said = process.communicate(timeout=STARTED)[0]
    finally:
        process.kill()
    assert process.returncode == 1, said
    assert 'a defect' in said


@pytest.mark.integration
@pytest.mark.parametrize('number', [signal.SIGKILL, signal.SIGTERM], ids=lambda s: s.name)
def test_workers_end_with_their_trainer_whatever_they_wait_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    monkeypatch.setenv('PYTHONPATH', str(Path(__file__).parents[1]), prepend=os.pathsep)
    process = start(script(tmp_path, 'wait'))
    try:
        assert process.stdout is not None
        # Both write to one pipe, a line now and then in one go; libraries may warn in between.
        said = ''
        while len(workers := [int(pid) for pid in re.findall(r'worker (\d+)\.', said)]) < 2:
            line = process.stdout.readline()
            assert line, said
            said += line
        for pid in workers:
            os.kill(pid, signal.SIGTERM)  # from elsewhere: it is not theirs to end
        time.sleep(0.5)
        assert not any(has_ended(pid) for pid in workers)
        process.send_signal(number)
        process.wait(timeout=STARTED)
        for pid in workers:
            wait_until_ended(pid)
    finally:
        process.kill()
