# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Training on a drawn data set: it learns, it resumes to the step, its export runs."""

import logging
from pathlib import Path
from types import SimpleNamespace

import pytest

torch = pytest.importorskip('torch', reason='the training package needs torch')
pytest.importorskip('lightning_fabric', reason='training needs lightning-fabric')
pytest.importorskip('onnx', reason='the export needs onnx')

import cv2  # noqa: E402
import numpy as np  # noqa: E402
from tiny_run import start, tiny_recipe, train_command, write_stills  # noqa: E402
from typer.testing import CliRunner  # noqa: E402

from vos_distill.cli import app  # noqa: E402
from vos_distill.data import ClipConfig  # noqa: E402
from vos_distill.loop.train import (  # noqa: E402
    build_optimiser,
    load_data,
    prepare_network,
    rate_at,
    train,
)
from vos_distill.networks.checkpoint import load_checkpoint  # noqa: E402
from vos_distill.networks.weights import load_network  # noqa: E402
from vos_distill.recipe import Recipe  # noqa: E402


@pytest.fixture(scope='module')
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp('data')
    write_stills(root)
    return root


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


def test_a_run_with_adam_and_steps_goes_on_as_if_nothing_had_happened(
    data: Path, tmp_path: Path
) -> None:
    recipe = tiny_recipe(optimiser='adam', step_at=[0.25, 0.75], step_factor=0.5, warmup=0)
    train(recipe, data, tmp_path / 'whole')
    train(recipe, data, tmp_path / 'halves', stop_at=5)
    train(recipe, data, tmp_path / 'halves')
    one, two = (load_checkpoint(tmp_path / r / 'last.pt') for r in ('whole', 'halves'))
    for name, value in one['student_live'].items():
        assert torch.equal(value, two['student_live'][name]), name
    for index, state in one['optimiser']['state'].items():
        for name, value in state.items():
            assert torch.equal(value, two['optimiser']['state'][index][name]), (index, name)
    assert one['optimiser']['param_groups'][0]['lr'] == pytest.approx(3e-3 * 0.25)


def test_adam_is_that_of_stcn(data: Path) -> None:
    """The L2 term is part of the gradient, and of all weights, biases too."""
    recipe = tiny_recipe(optimiser='adam', backbone_rate=1.0, weight_decay=0.5)
    ours, theirs = (prepare_network(recipe, data) for _ in range(2))
    steps = [
        build_optimiser(ours, recipe),
        torch.optim.Adam(theirs.parameters(), lr=recipe.rate, weight_decay=0.5),
    ]
    for _ in range(3):
        for network, optimiser in zip((ours, theirs), steps, strict=True):
            optimiser.zero_grad()
            sum(p.square().sum() + p.sum() for p in network.parameters()).backward()
            optimiser.step()
    for (name, weight), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(weight, other, msg=name)


def test_the_recipe_says_how_many_files_may_be_bad(tmp_path: Path) -> None:
    write_stills(tmp_path)
    (tmp_path / 'static' / 'ecssd' / 'labels' / '0.png').unlink()
    with pytest.raises(ValueError, match='1 of 8 images cannot be used, at most 10%'):
        train(tiny_recipe(steps=1), tmp_path, tmp_path / 'run')
    train(tiny_recipe(steps=1, max_bad_share=0.2), tmp_path, tmp_path / 'run')


@pytest.mark.integration
def test_without_a_terminal_every_row_is_a_line_at_once(data: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe(steps=4000, log_every=2)
    recipe.write(tmp_path / 'recipe.yaml')
    process = start(train_command(tmp_path / 'recipe.yaml', data, tmp_path / 'run'))
    try:
        assert process.stdout is not None
        lines = (line for line in process.stdout if line.startswith('step '))
        first, second = next(lines), next(lines)
        assert process.poll() is None, 'the lines came at the end of the run'
    finally:
        process.kill()
        rest = process.communicate()[0]
    assert first.startswith('step 2/4000  ce ')
    assert second.startswith('step 4/4000  ce ')
    assert 'steps/s' in second
    assert '\x1b' not in first + second + rest


def test_the_rate_warms_up_and_ends_at_its_floor() -> None:
    recipe = tiny_recipe(steps=100, warmup=10, final_rate=0.05)
    assert rate_at(0, recipe) == pytest.approx(0.1)
    assert rate_at(10, recipe) == pytest.approx(1.0)
    assert rate_at(100, recipe) == pytest.approx(0.05)


def test_the_rate_falls_in_steps_where_the_recipe_says_so() -> None:
    recipe = tiny_recipe(steps=150_000, warmup=0, step_at=[0.5, 0.8333333], step_factor=0.1)
    factors = {step: rate_at(step, recipe) for step in (0, 74_999, 75_000, 124_999, 125_000)}
    assert list(factors.values()) == pytest.approx([1.0, 1.0, 0.1, 0.1, 0.01])
    warm = tiny_recipe(steps=100, warmup=10, step_at=[0.5])
    assert [rate_at(step, warm) for step in (0, 9, 10, 99)] == pytest.approx([0.1, 1.0, 1.0, 0.1])


def test_unknown_keys_of_a_recipe_are_refused(tmp_path: Path) -> None:
    path = tmp_path / 'recipe.yaml'
    path.write_text('preset: tiny\nstep: 5\nclip: {sise: 64}\n')
    with pytest.raises(ValueError, match=r'unknown clip\.sise, step|unknown step, clip\.sise'):
        Recipe.read(path)


RECIPES = sorted((Path(__file__).parents[2] / 'recipes').rglob('*.yaml'))


# a study holds recipes, it is none
@pytest.mark.parametrize(
    'path',
    [p for p in RECIPES if not p.stem.startswith('ablation')],
    ids=lambda p: f'{p.parent.name}/{p.stem}',
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
    for content in (weights.read_bytes()[:1000], b'', b'no checkpoint'):
        weights.write_bytes(content)
        with pytest.raises(ValueError, match=r'not a readable checkpoint \(\D'):
            load_network(weights)


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


def test_the_command_line_gives_the_teacher_of_a_recipe(data: Path, tmp_path: Path) -> None:
    path = tmp_path / 'recipe.yaml'
    tiny_recipe(steps=1, teacher='TEACHER', pixels=64).write(path)
    with pytest.raises(ValueError, match=r'teacher: TEACHER; give one: --teacher student\.pt'):
        train(Recipe.read(path), data, tmp_path / 'run')
    weights = train(tiny_recipe(steps=1, memory='infinite'), data, tmp_path / 'teacher')
    command = train_command(path, data, tmp_path / 'run')[2:]
    told = CliRunner().invoke(app, [*command, '--teacher', str(weights)])
    assert told.exit_code == 0, told.output
    assert Recipe.read(tmp_path / 'run' / 'recipe.yaml').teacher == str(weights)


def test_an_unknown_kind_of_memory_is_refused(tmp_path: Path) -> None:
    path = tmp_path / 'recipe.yaml'
    path.write_text('memory: endless\n')
    with pytest.raises(ValueError, match='one of finite, infinite'):
        Recipe.read(path)


def test_a_value_of_the_wrong_kind_is_named(tmp_path: Path) -> None:
    path = tmp_path / 'recipe.yaml'
    path.write_text('rate: 6e-4\n')
    with pytest.raises(ValueError, match=r"recipe\.yaml: rate must be float, not '6e-4'"):
        Recipe.read(path)
    path.write_text('clip: {size: 64.5}\n')
    with pytest.raises(ValueError, match=r'clip\.size must be int'):
        Recipe.read(path)


@pytest.mark.parametrize('frozen', [True, False])
def test_batch_norm_is_frozen_or_learns(data: Path, tmp_path: Path, frozen: bool) -> None:
    recipe = tiny_recipe(
        preset='mobilenet_v2_no_aspp', steps=2, frozen_bn=frozen, frozen_stages=2, ema=0.0
    )
    before = prepare_network(recipe, data).state_dict()
    after = load_checkpoint(train(recipe, data, tmp_path / 'run'))['student']
    for layer, is_free in (('1.conv.0.1', False), ('13.conv.0.1', True)):  # of 4 stages, 2 frozen
        name = f'backbone.features.{layer}.running_mean'
        is_same = bool(torch.equal(before[name].float(), after[name]))
        assert is_same == (frozen or not is_free)


def test_batch_norm_cannot_be_trained_where_there_is_none(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='preset tiny has no BatchNorm'):
        train(tiny_recipe(frozen_bn=False), data, tmp_path / 'run')


def test_mixed_precision_trains(data: Path, tmp_path: Path) -> None:
    state = load_checkpoint(train(tiny_recipe(steps=2, amp=True), data, tmp_path / 'run'))
    assert all(bool(torch.isfinite(v).all()) for v in state['student'].values())


def test_a_batch_that_cannot_be_shared_equally_is_refused(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = SimpleNamespace(world_size=2)
    monkeypatch.setattr('vos_distill.loop.train.start_fabric', lambda *_: two)
    with pytest.raises(ValueError, match='batch 3 cannot be shared equally by 2 processes'):
        train(tiny_recipe(batch=3), data, tmp_path / 'run')
    assert not (tmp_path / 'run').exists()


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Two clips of one's own and nothing else: `val` is listed for measuring."""
    rng = np.random.default_rng(0)
    for name in ('one', 'val'):
        for part in ('images', 'masks'):
            (tmp_path / 'mine' / name / part).mkdir(parents=True)
        for t in range(6):
            image = cv2.resize(rng.integers(0, 255, (9, 9, 3), dtype=np.uint8), (96, 96))
            label = np.zeros((96, 96), np.uint8)
            label[30:60, 20 + 4 * t : 50 + 4 * t] = 255
            image[label > 0] = (20, 220, 20)
            cv2.imwrite(str(tmp_path / 'mine' / name / 'images' / f'{t}.jpg'), image)
            cv2.imwrite(str(tmp_path / 'mine' / name / 'masks' / f'{t}.png'), label)
    (tmp_path / 'mine' / 'ImageSets').mkdir()
    (tmp_path / 'mine' / 'ImageSets' / 'val.txt').write_text('val\n')
    return tmp_path


def test_data_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='data: no such folder'):
        load_data(tiny_recipe(videos=['mine']), tmp_path / 'data')


@pytest.mark.slow
def test_own_clips_without_photographs_are_trained_on_and_measured(
    own: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recipe = tiny_recipe(
        steps=2,
        videos=['mine'],
        clip=ClipConfig(size=64, frames=3, real=0.4, reveal=1.0, turn=1.0),
    )
    with caplog.at_level(logging.INFO):
        weights = train(recipe, own, tmp_path / 'run')
    assert 'no photographs, so all clips are cut from videos' in caplog.text
    assert '0 stills, 1 videos' in caplog.text
    runner, root = CliRunner(), str(own / 'mine')
    told = runner.invoke(app, ['eval', str(weights), root, '--short-side', '64'])
    assert told.exit_code == 0, told.output
    assert told.output.startswith('val  ')
    assert 'one  ' not in told.output
    every = runner.invoke(
        app, ['eval', str(weights), root, '--short-side', '64', '--split', 'all']
    )
    assert 'one  ' in every.output
    assert 'val  ' in every.output
    both = runner.invoke(app, ['eval', str(weights), root, '--short-side', '64', '--true-recent'])
    assert both.exit_code == 0, both.output
    for line, plain in zip(both.output.splitlines(), told.output.splitlines(), strict=True):
        before, separator, after = line.partition('  true recent 0.')
        assert separator
        assert plain.startswith(before)
        assert '  gap ' in after


@pytest.mark.parametrize('is_absolute', [False, True])
def test_a_list_of_clips_lies_in_the_data_or_anywhere(
    own: Path, tmp_path: Path, is_absolute: bool
) -> None:
    (own / 'mine' / 'ImageSets' / 'val.txt').write_text('')  # both clips are for training
    listed = (tmp_path / 'elsewhere' if is_absolute else own) / 'clean.txt'
    listed.parent.mkdir(exist_ok=True)
    listed.write_text('val\n')
    path = str(listed) if is_absolute else 'clean.txt'
    recipe = tiny_recipe(videos=['mine'], subsets={'mine': path}, clip=ClipConfig(real=1.0))
    assert [video.name for video in load_data(recipe, own)[1]] == ['val']


def test_nothing_to_train_on_and_a_mistyped_folder_are_named(own: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r'neither photographs .* nor videos'):
        train(tiny_recipe(), own, tmp_path / 'run')
    with pytest.raises(ValueError, match='statik: no photographs'):
        train(tiny_recipe(stills='statik', videos=['mine']), own, tmp_path / 'run')
    assert not (tmp_path / 'run').exists()
