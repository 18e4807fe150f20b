# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Training on a drawn data set: it learns, it resumes to the step, its export runs."""

from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='the training package needs torch')
pytest.importorskip('onnx', reason='the export needs onnx')

from typer.testing import CliRunner  # noqa: E402

from vos_distill.checkpoint import load_checkpoint  # noqa: E402
from vos_distill.cli import app, load_student  # noqa: E402
from vos_distill.data import ClipConfig  # noqa: E402
from vos_distill.train import rate_at, Recipe, train  # noqa: E402


@pytest.fixture(scope='module')
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp('data')
    rng = np.random.default_rng(0)
    for kind in ('images', 'labels'):
        (root / 'static' / 'ecssd' / kind).mkdir(parents=True)
    for index in range(8):
        image = cv2.resize(rng.integers(0, 255, (7, 7, 3), dtype=np.uint8), (96, 96))
        label = np.zeros((96, 96), np.uint8)
        cv2.ellipse(label, (48, 48), (20, 28), float(20 * index), 0, 360, 1, -1)
        image[label > 0] = rng.integers(0, 255, 3, dtype=np.uint8)
        cv2.imwrite(str(root / 'static' / 'ecssd' / 'images' / f'{index}.jpg'), image)
        cv2.imwrite(str(root / 'static' / 'ecssd' / 'labels' / f'{index}.png'), label)
    return root


def tiny_recipe(**changes: object) -> Recipe:
    settings: dict[str, object] = {
        'preset': 'tiny', 'videos': [], 'steps': 12, 'batch': 2, 'workers': 0, 'amp': False,
        'frozen_stages': 0, 'warmup': 2, 'save_every': 4, 'rate': 3e-3,
        'clip': ClipConfig(size=64, frames=3, real=0.0, occluder=0.0, bars=0.0),
    }  # fmt: skip
    return Recipe(**{**settings, **changes})  # type: ignore[arg-type]


def test_the_loss_falls(data: Path, tmp_path: Path) -> None:
    train(tiny_recipe(steps=150, hard_from=1.0), data, tmp_path / 'run')
    rows = (tmp_path / 'run' / 'metrics.csv').read_text().splitlines()
    entropy = [float(row.split(',')[4]) for row in rows[1:]]
    assert entropy[-1] < 0.8 * entropy[0]


def test_a_resumed_run_goes_on_at_its_step_with_its_optimiser(data: Path, tmp_path: Path) -> None:
    run = tmp_path / 'run'
    recipe = tiny_recipe()
    train(recipe, data, run, stop_at=6)
    half = load_checkpoint(run / 'last.pt')
    assert half['step'] == 6
    train(recipe, data, run)
    done = load_checkpoint(run / 'last.pt')
    assert done['step'] == 12
    moments = done['optimiser']['state'][0]['step']
    assert float(moments) == 12.0


def test_the_rate_warms_up_and_ends_at_its_floor() -> None:
    recipe = tiny_recipe(steps=100, warmup=10, final_rate=0.05)
    assert rate_at(0, recipe) == pytest.approx(0.1)
    assert rate_at(10, recipe) == pytest.approx(1.0)
    assert rate_at(100, recipe) == pytest.approx(0.05)


def test_unknown_keys_of_a_recipe_are_refused(tmp_path: Path) -> None:
    path = tmp_path / 'recipe.yaml'
    path.write_text('preset: tiny\nstep: 5\nclip: {sise: 64}\n')
    with pytest.raises(ValueError, match=r'unknown clip\.sise, step|unknown step, clip\.sise'):
        Recipe.read(path)


@pytest.mark.parametrize(
    'path', sorted((Path(__file__).parents[1] / 'recipes').glob('*.yaml')), ids=lambda p: p.stem
)
def test_shipped_recipes_are_valid(path: Path) -> None:
    assert Recipe.read(path).steps > 0


def test_a_trained_checkpoint_exports_and_a_damaged_one_is_named(
    data: Path, tmp_path: Path
) -> None:
    weights = train(tiny_recipe(steps=4), data, tmp_path / 'run')
    runner = CliRunner()
    out = tmp_path / 'model'
    result = runner.invoke(app, ['export', str(weights), '--out', str(out), '--short-side', '64'])
    assert result.exit_code == 0, result.output
    assert (out / 'manifest.json').exists()
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ValueError, match='not a readable checkpoint'):
        load_student(weights)


def test_a_student_learns_from_an_infinite_teacher(data: Path, tmp_path: Path) -> None:
    """The whole chain in small: teacher, then distilled student; every term takes part."""
    clip = ClipConfig(size=64, frames=4, real=0.0)
    weights = train(
        tiny_recipe(preset='mobilenet_v2_no_aspp', memory='infinite', steps=2, clip=clip),
        data,
        tmp_path / 'teacher',
    )
    student = tmp_path / 'student'
    recipe = tiny_recipe(steps=50, teacher=str(weights), clip=clip, pixels=64)
    train(recipe, data, student)
    header, row = (student / 'metrics.csv').read_text().splitlines()
    values = dict(zip(header.split(','), row.split(',')))
    assert float(values['distil']) > 0


def test_an_unknown_kind_of_memory_is_refused(tmp_path: Path) -> None:
    path = tmp_path / 'recipe.yaml'
    path.write_text('memory: endless\n')
    with pytest.raises(ValueError, match='finite or infinite'):
        Recipe.read(path)
