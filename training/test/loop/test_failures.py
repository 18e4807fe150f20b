# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What can go wrong while training: each ends it with one line that says what to do."""

import math
import os
from pathlib import Path
import resource
import signal
import subprocess
from typing import Any

import pytest

torch = pytest.importorskip('torch', reason='the training package needs torch')
pytest.importorskip('lightning_fabric', reason='training needs lightning-fabric')
pytest.importorskip('onnx', reason='the export needs onnx')

from lightning_fabric import Fabric  # noqa: E402
from lightning_fabric.plugins.precision.amp import MixedPrecision  # noqa: E402
from tiny_run import (  # noqa: E402
    children_of,
    loss_curve,
    start,
    tiny_recipe,
    train_command,
    wait_for_step,
)

from vos_distill.cli import main  # noqa: E402
from vos_distill.data import clips  # noqa: E402
from vos_distill.data.clips import worker_count  # noqa: E402
from vos_distill.loop import train as training  # noqa: E402
from vos_distill.loop.train import DivergedError, train, train_step  # noqa: E402
from vos_distill.networks.checkpoint import load_checkpoint  # noqa: E402
from vos_distill.processes.distributed import start_fabric  # noqa: E402
from vos_distill.recipe import Recipe  # noqa: E402

pytestmark = pytest.mark.timeout(300)


def gradients(monkeypatch: pytest.MonkeyPatch, norms: list[float]) -> None:
    """Let the steps report these norms."""
    left = iter(norms)

    def reported(*arguments: Any) -> tuple[float, dict[str, float]]:
        return next(left), train_step(*arguments)[1]

    monkeypatch.setattr(training, 'train_step', reported)


def test_twenty_bad_steps_one_after_the_other_end_a_run(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = math.nan
    gradients(monkeypatch, [*[bad] * 19, 1.0, *[bad] * 19, 1.0])
    train(tiny_recipe(steps=40), data, tmp_path / 'run')
    gradients(monkeypatch, [1.0, *[math.inf] * 40])
    with pytest.raises(DivergedError, match='not been finite for 20 steps, up to step 21;'):
        train(tiny_recipe(steps=40, save_every=5), data, tmp_path / 'other')
    assert load_checkpoint(tmp_path / 'other' / 'last.pt')['step'] == 20


def test_a_run_that_diverges_ends_with_exit_code_1_and_one_line(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    tiny_recipe(steps=40).write(tmp_path / 'recipe.yaml')
    gradients(monkeypatch, [math.nan] * 40)
    command = train_command(tmp_path / 'recipe.yaml', data, tmp_path / 'run')
    monkeypatch.setattr('sys.argv', ['vos-distill', *command[2:]])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    lines = [x for x in capsys.readouterr().err.splitlines() if x.startswith('vos-distill: ')]
    assert len(lines) == 1
    assert 'with a lower `rate`' in lines[0]


def ends_with_one_line(process: 'subprocess.Popen[str]', *, code: int = 2) -> str:
    try:
        said = process.communicate(timeout=120)[0]
    finally:
        process.kill()
    assert process.returncode == code, said
    assert 'Traceback' not in said, said
    (line,) = (x for x in said.splitlines() if x.startswith('vos-distill'))
    return line


@pytest.mark.integration
@pytest.mark.slow
def test_a_full_disk_ends_a_run_with_one_line_and_the_last_checkpoint_whole(
    data: Path, tmp_path: Path
) -> None:
    run = tmp_path / 'run'
    train(tiny_recipe(), data, run, stop_at=2)
    tiny_recipe().write(tmp_path / 'recipe.yaml')

    def allow_small_files_only() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    process = start(
        train_command(tmp_path / 'recipe.yaml', data, run), preexec_fn=allow_small_files_only
    )
    line = ends_with_one_line(process)
    assert f'{run / "last.pt"}: cannot be written (File too large)' in line
    assert load_checkpoint(run / 'last.pt')['step'] == 2
    assert not list(run.glob('*.partial'))
    train(tiny_recipe(), data, run)
    assert load_checkpoint(run / 'last.pt')['step'] == 12


@pytest.mark.integration
@pytest.mark.slow
def test_a_worker_that_dies_ends_a_run_with_one_line(data: Path, tmp_path: Path) -> None:
    run = tmp_path / 'run'
    tiny_recipe(steps=100_000, log_every=1, workers=1).write(tmp_path / 'recipe.yaml')
    process = start(train_command(tmp_path / 'recipe.yaml', data, run))
    wait_for_step(run, 5, process)
    (worker,) = children_of(process.pid)
    os.kill(worker, signal.SIGKILL)
    line = ends_with_one_line(process)
    # torch says the one or the other, by who notices first
    assert 'killed by signal: Killed' in line or 'exited unexpectedly' in line
    assert 'less `workers` helps; the same command goes on from the last checkpoint' in line
    assert load_checkpoint(run / 'last.pt')['step'] >= 4


def test_auto_takes_the_processors_that_are_free(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Recipe.of({'workers': 'auto'}, 'x').workers == 'auto'
    with pytest.raises(ValueError, match='workers must be int'):
        Recipe.of({'workers': 'many'}, 'x')

    def count(processors: int, processes: int, threads: int, *, on_gpu: bool) -> int:
        monkeypatch.setattr(clips.os, 'sched_getaffinity', lambda _: range(processors))
        monkeypatch.setenv('LOCAL_WORLD_SIZE', str(processes))
        monkeypatch.setattr(clips.torch, 'get_num_threads', lambda: threads)
        return worker_count('auto', on_gpu=on_gpu)

    assert count(2, 1, 1, on_gpu=False) == 1
    assert count(2, 1, 2, on_gpu=False) == 1
    assert count(8, 1, 2, on_gpu=False) == 6
    assert count(16, 4, 16, on_gpu=True) == 3
    assert count(64, 1, 1, on_gpu=True) == 8
    assert worker_count(0, on_gpu=True) == 0


def test_a_run_with_auto_workers_trains(data: Path, tmp_path: Path) -> None:
    train(tiny_recipe(steps=1, workers='auto'), data, tmp_path / 'run')
    assert Recipe.read(tmp_path / 'run' / 'recipe.yaml').workers == 'auto'


@pytest.mark.parametrize(
    ('given', 'why'),
    [
        ({'device': 'tpu'}, "device 'tpu': choose from auto, cpu, cuda"),
        ({'device': 'cpu:1'}, "device 'cpu:1': choose"),
        ({'device': 'cuda:x'}, "device 'cuda:x': choose"),
        ({'device': 'cuda:64'}, r'device cuda:64: torch finds \d+ GPU\(s\), 65 are needed'),
        ({'precision': 'fp8'}, "precision 'fp8': choose from auto, bf16, fp16"),
        ({'precision': 'fp16', 'device': 'cpu'}, 'fp16 is for GPUs'),
    ],
    ids=str,
)
def test_a_device_or_precision_that_is_not_there_is_named(given: dict[str, str], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        start_fabric(True, **given)


def test_the_device_and_the_precision_are_those_asked_for() -> None:
    fabric = start_fabric(True, 'cpu', 'fp32')
    assert fabric.device.type == 'cpu'
    assert fabric.strategy.precision.precision == '32-true'
    assert start_fabric(True, 'cpu').strategy.precision.precision == 'bf16-mixed'
    assert start_fabric(False, 'cpu').strategy.precision.precision == '32-true'


def test_fp16_finds_its_scale_and_keeps_it_over_a_resume(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a processor, with the scaler that GPUs have: its first scale is far too large."""
    largest = 2.0**30

    def fabric(*_: object) -> Fabric:
        scaler = torch.amp.GradScaler('cpu', init_scale=largest)
        return Fabric(accelerator='cpu', plugins=MixedPrecision('16-mixed', 'cpu', scaler))

    monkeypatch.setattr(training, 'start_fabric', fabric)
    run, recipe = tmp_path / 'run', tiny_recipe(steps=40, save_every=100)
    train(recipe, data, run, stop_at=35)
    saved = load_checkpoint(run / 'last.pt')
    assert 1.0 < saved['scaler']['scale'] < largest
    taken = float(saved['optimiser']['state'][0]['step'])
    assert 0 < taken < 35, 'steps with infinite gradients are left out, the others are not'
    train(recipe, data, run)
    again = load_checkpoint(run / 'last.pt')
    assert again['scaler']['scale'] <= saved['scaler']['scale']
    assert float(again['optimiser']['state'][0]['step']) > taken
    assert all(bool(torch.isfinite(v).all()) for v in again['student'].values())
    assert loss_curve(run) == []
