# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Two processes started by torchrun (gloo) learn what one process learns."""

from pathlib import Path
import signal

import pytest

torch = pytest.importorskip('torch', reason='the training package needs torch')
pytest.importorskip('lightning_fabric', reason='training needs lightning-fabric')
pytest.importorskip('onnx', reason='the export needs onnx')

from tiny_run import loss_curve, start, tiny_recipe, train_command, write_stills  # noqa: E402

from vos_distill.checkpoint import load_checkpoint  # noqa: E402
from vos_distill.clips import clip_loader  # noqa: E402
from vos_distill.data import ClipConfig, load_stills  # noqa: E402
from vos_distill.recipe import Recipe  # noqa: E402
from vos_distill.train import prepare_network, train  # noqa: E402

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(300)]
STEPS = 5


@pytest.fixture(scope='module')
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp('data')
    write_stills(root)
    return root


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
