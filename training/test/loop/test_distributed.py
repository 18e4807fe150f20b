# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Two processes started by torchrun (gloo) learn what one process learns."""

import contextlib
from dataclasses import replace
import os
from pathlib import Path
import signal
import socket
import subprocess

import pytest

torch = pytest.importorskip('torch', reason='the training package needs torch')
pytest.importorskip('lightning_fabric', reason='training needs lightning-fabric')
pytest.importorskip('onnx', reason='the export needs onnx')

from tiny_run import (  # noqa: E402
    children_of,
    loss_curve,
    start,
    tiny_recipe,
    train_command,
    wait_for_step,
    write_stills,
)

from vos_distill.data import ClipConfig, load_stills  # noqa: E402
from vos_distill.data.clips import clip_loader  # noqa: E402
from vos_distill.loop.train import prepare_network, train  # noqa: E402
from vos_distill.networks.checkpoint import load_checkpoint  # noqa: E402
from vos_distill.recipe import Recipe  # noqa: E402

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(300)]
STEPS = 5


@pytest.fixture(scope='module')
def recipe(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    """Distillation with every random choice: all that could differ between the processes."""
    clip = ClipConfig(size=64, frames=3, real=0.0, jump=0.5)
    teacher = train(
        tiny_recipe(steps=2, clip=clip, seed=7), data, tmp_path_factory.mktemp('teacher')
    )
    return tiny_recipe(
        steps=STEPS, batch=4, clip=clip, log_every=1, save_every=2, teacher=str(teacher),
        drop_recent=0.4, pixels=64, rate=1e-3, poly=0.5,
    )  # fmt: skip


def torchrun(recipe: Recipe, data: Path, run: Path, folder: Path) -> tuple[int, str]:
    recipe.write(folder / 'recipe.yaml')
    command = train_command(folder / 'recipe.yaml', data, run)
    process = start(
        ['-m', 'torch.distributed.run', '--standalone', '--nproc-per-node', '2', *command]
    )
    try:
        said = process.communicate(timeout=200)[0]
    finally:
        process.send_signal(signal.SIGTERM)  # torchrun ends what it has started
    return process.returncode, said


def objects_of(labels: torch.Tensor) -> int:
    return 2 if bool((labels[:, 0] == 2).any()) else 1


def test_two_processes_learn_what_one_learns(data: Path, recipe: Recipe, tmp_path: Path) -> None:
    stills = load_stills(data / 'static')
    shares = [
        clip_loader(stills, [], recipe, range(STEPS), rank=rank, processes=2) for rank in (0, 1)
    ]
    counts = [(objects_of(one.labels), objects_of(two.labels)) for one, two in zip(*shares)]
    assert any(one != two for one, two in counts), 'the case that is hard does not occur'

    alone, together = tmp_path / 'alone', tmp_path / 'together'
    train(recipe, data, alone)
    code, said = torchrun(recipe, data, together, tmp_path)
    assert code == 0, said

    for row, expected in zip(loss_curve(together), loss_curve(alone), strict=True):
        assert row == pytest.approx(expected, abs=2e-3)
    one, two = (load_checkpoint(r / 'last.pt') for r in (alone, together))
    assert two['step'] == STEPS
    begin = prepare_network(recipe, data).state_dict()
    way = difference = 0.0
    for name, value in one['student_live'].items():
        way += float((value - begin[name]).square().sum())
        difference += float((value - two['student_live'][name]).square().sum())
    assert way > 0
    assert difference < 1e-4 * way  # 1 % of the way, squared


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port: int = probe.getsockname()[1]
        return port


def two_nodes(
    recipes: tuple[Path, Path], data: tuple[Path, Path], runs: tuple[Path, Path]
) -> list['subprocess.Popen[str]']:
    """Start a run on two machines that are this one, each with folders of its own."""
    port = str(free_port())
    return [
        start(
            [
                '-m', 'torch.distributed.run', '--nnodes', '2', '--node-rank', str(node),
                '--nproc-per-node', '1', '--master-addr', '127.0.0.1', '--master-port', port,
                *train_command(recipes[node], data[node], runs[node]),
            ]
        )
        for node in (0, 1)
    ]  # fmt: skip


def end(processes: list['subprocess.Popen[str]']) -> list[str]:
    """Give what they said, all of them ended."""
    try:
        return [process.communicate(timeout=120)[0] for process in processes]
    finally:
        for process in processes:
            if process.poll() is None:
                for pid in (*children_of(process.pid), process.pid):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)


@pytest.fixture
def loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('GLOO_SOCKET_IFNAME', 'lo')


@pytest.mark.usefixtures('loopback')
def test_a_resume_on_two_machines_goes_by_the_folder_of_the_first(
    data: Path, tmp_path: Path
) -> None:
    recipe = tiny_recipe(steps=STEPS, batch=4, log_every=1, drop_recent=0.4)
    alone, first, second = (tmp_path / name for name in ('alone', 'first', 'second'))
    train(recipe, data, alone)
    train(recipe, data, first, stop_at=3)
    path = tmp_path / 'recipe.yaml'
    recipe.write(path)
    processes = two_nodes((path, path), (data, data), (first, second))
    said = end(processes)
    assert [process.returncode for process in processes] == [0, 0], said
    assert not second.exists()
    for row, expected in zip(loss_curve(first), loss_curve(alone), strict=True):
        assert row == pytest.approx(expected, abs=2e-3)
    one, two = (load_checkpoint(run / 'last.pt')['student_live'] for run in (alone, first))
    for name, value in one.items():
        torch.testing.assert_close(value, two[name], rtol=1e-2, atol=1e-4, msg=name)


def lines_of(said: str) -> list[str]:
    return [line for line in said.splitlines() if line.startswith('vos-distill')]


@pytest.mark.usefixtures('loopback')
@pytest.mark.parametrize(
    ('what', 'why'),
    [
        ('recipe', 'vos-distill: the recipes of process 1 differ in rate; give all processes'),
        ('data', 'vos-distill: process 1: '),
        ('fewer', 'vos-distill: the data of process 1 differ in stills'),
    ],
)
def test_what_one_machine_lacks_ends_the_run_on_both_with_one_line(
    what: str, why: str, data: Path, tmp_path: Path
) -> None:
    recipe = tiny_recipe(batch=4, max_bad_share=0.5)
    paths = tmp_path / 'a.yaml', tmp_path / 'b.yaml'
    for path in paths:
        recipe.write(path)
    other = tmp_path / 'other'
    if what == 'recipe':
        replace(recipe, rate=1e-4).write(paths[1])
        other = data
    if what == 'fewer':
        write_stills(other)
        (other / 'static' / 'ecssd' / 'labels' / '0.png').unlink()
    processes = two_nodes(paths, (data, other), (tmp_path / 'one', tmp_path / 'two'))
    said = end(processes)
    assert all(process.returncode != 0 for process in processes)
    (line,) = lines_of(said[0])
    assert line.startswith(why), line
    assert lines_of(said[1]) == []
    assert not (tmp_path / 'one').exists()


@pytest.mark.usefixtures('loopback')
def test_a_machine_that_is_lost_ends_the_run_of_the_other_with_one_line(
    data: Path, tmp_path: Path
) -> None:
    path, run = tmp_path / 'recipe.yaml', tmp_path / 'run'
    tiny_recipe(steps=100_000, batch=4, log_every=1).write(path)
    processes = two_nodes((path, path), (data, data), (run, tmp_path / 'other'))
    wait_for_step(run, 5, processes[0])
    for pid in (*children_of(processes[1].pid), processes[1].pid):
        os.kill(pid, signal.SIGKILL)
    said = end(processes)
    (line,) = lines_of(said[0])
    assert 'another process of the run has ended or cannot be reached; the same command' in line
    assert load_checkpoint(run / 'last.pt')['step'] >= 4
