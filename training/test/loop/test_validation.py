# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a run measures of itself: in the engine, and without a trace in what is learnt."""

import csv
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip('torch', reason='the training package needs torch')
pytest.importorskip('lightning_fabric', reason='training needs lightning-fabric')
pytest.importorskip('onnx', reason='the export needs onnx')

import cv2  # noqa: E402
from tiny_run import loss_curve, tiny_recipe  # noqa: E402

from vos_distill.data.generate import generate  # noqa: E402
from vos_distill.evaluation.evaluate import evaluate_finite  # noqa: E402
from vos_distill.loop import validation  # noqa: E402
from vos_distill.loop.train import train  # noqa: E402
from vos_distill.loop.validation import parse_sets, Validation, Validator  # noqa: E402
from vos_distill.networks.checkpoint import load_checkpoint  # noqa: E402
from vos_distill.processes.distributed import Interrupted  # noqa: E402
from vos_ros.errors import VosError  # noqa: E402

pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope='module')
def val(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp('drawn')
    generate(root)
    return root / 'val' / 'davis2016'


def rows(run: Path) -> list[dict[str, str]]:
    with (run / 'val.csv').open(newline='') as file:
        return list(csv.DictReader(file))


@pytest.mark.integration
@pytest.mark.slow
def test_a_run_that_is_validated_and_resumed_learns_what_it_learns_alone(
    data: Path, val: Path, tmp_path: Path
) -> None:
    recipe = tiny_recipe(steps=5, log_every=1, drop_recent=0.4, workers=1)
    alone, watched = tmp_path / 'alone', tmp_path / 'watched'
    train(recipe, data, alone)
    sets = Validation({'drawn': val}, every=2, short_side=64, nth=2, keep=2)
    train(recipe, data, watched, stop_at=3, validation=sets)
    train(recipe, data, watched, validation=sets)

    assert loss_curve(watched) == loss_curve(alone)
    one, two = (load_checkpoint(run / 'last.pt') for run in (alone, watched))
    for kind in ('student', 'student_live'):
        assert all(torch.equal(value, two[kind][name]) for name, value in one[kind].items())

    found = rows(watched)
    assert [row['step'] for row in found] == ['2', '4', '5']
    best = max(found, key=lambda row: float(row['mean']))
    assert load_checkpoint(watched / 'best.pt')['step'] == int(best['step'])
    numbered = [path.name for path in sorted(watched.glob('student-*.pt'))]
    assert numbered == ['student-000004.pt', 'student-000005.pt']
    picture = cv2.imread(str(watched / 'val' / '000005.jpg'))
    assert picture is not None
    assert picture.shape[1] >= 2 * 288
    pytest.importorskip('tensorboard')
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = EventAccumulator(str(watched / 'tensorboard')).Reload()
    assert [one.step for one in board.Scalars('val/drawn')] == [2, 4, 5]
    assert board.Images('val/sheet')


@pytest.mark.slow
def test_the_figure_is_that_of_eval(data: Path, val: Path, tmp_path: Path) -> None:
    weights = train(tiny_recipe(steps=1), data, tmp_path / 'run')
    sets = Validation({'drawn': val}, short_side=64)
    scores = validation.measure(weights, sets, 1, tmp_path / 'sheet.jpg')
    report = evaluate_finite(weights, val, short_side=64, threads=1)
    assert report.overall is not None
    assert scores == {'drawn': report.overall.jf}


@pytest.fixture
def begun(data: Path, tmp_path: Path) -> Path:
    run = tmp_path / 'run'
    train(tiny_recipe(steps=1), data, run)
    return run


def measuring(monkeypatch: pytest.MonkeyPatch, answers: list[Any]) -> None:
    def answer(*_arguments: object) -> dict[str, float]:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return dict(answer)

    monkeypatch.setattr(validation, 'isolated', answer)


def test_the_best_is_that_of_the_highest_mean_over_the_same_sets(
    begun: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = [{'a': 0.9, 'b': 0.1}, {'a': 0.3, 'b': 0.8}, {'a': 0.5, 'b': 0.5}, {'a': 0.4}]
    measuring(monkeypatch, list(pairs))
    validator = Validator(begun, Validation({'a': begun, 'b': begun}, every=10, keep=2), 0)
    kept = []
    for step in (10, 20, 30):
        (begun / 'student.pt').write_bytes(b'%d' % step)
        validator.validate(step, 1)
        kept.append((begun / 'best.pt').read_bytes())
    assert kept == [b'10', b'20', b'20']
    assert min(path.stem for path in begun.glob('student-*')) == 'student-000020'

    other = Validator(begun, Validation({'a': begun}, every=10), 30)
    assert other.is_due(30, 99), 'it was measured on other sets'
    other.validate(40, 1)
    assert (begun / 'best.pt').read_bytes() == b'30', 'alone on its sets it is the best'
    assert [(row['step'], row['a'], row['b'], row['mean']) for row in rows(begun)][2:] == [
        ('30', '0.5000', '0.5000', '0.5000'),
        ('40', '0.4000', '', '0.4000'),
    ]


def test_rows_after_the_checkpoint_are_written_again(
    begun: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measuring(monkeypatch, [{'a': 0.5}] * 3)
    sets = Validation({'a': begun}, every=10)
    for step in (10, 20):
        Validator(begun, sets, step).validate(step, 1)
    resumed = Validator(begun, sets, 15)
    assert [row['step'] for row in rows(begun)] == ['10']
    assert not resumed.is_due(10, 99)
    assert resumed.is_due(20, 99)
    assert not resumed.is_due(25, 99)
    assert resumed.is_due(99, 99)
    assert not resumed.is_due(0, 99)


def test_a_validation_that_fails_is_said_and_the_run_goes_on(
    data: Path, val: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    measuring(monkeypatch, [VosError('x.png: damaged'), {'drawn': 0.5}])
    sets = Validation({'drawn': val}, every=1)
    train(tiny_recipe(steps=2), data, tmp_path / 'run', validation=sets)
    assert 'step 1: not validated, the training goes on: x.png: damaged' in caplog.text
    assert [row['step'] for row in rows(tmp_path / 'run')] == ['2']


def test_a_signal_while_validating_ends_the_run_and_the_next_call_validates_again(
    data: Path, val: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / 'run'
    sets = Validation({'drawn': val}, every=2)
    measuring(monkeypatch, [Interrupted('stopped', 15), {'drawn': 0.5}])
    with pytest.raises(Interrupted) as stopped:
        train(tiny_recipe(steps=2), data, run, validation=sets)
    assert stopped.value.number == 15
    train(tiny_recipe(steps=2), data, run, validation=sets)
    assert [row['step'] for row in rows(run)] == ['2']


def test_a_set_that_cannot_be_measured_is_refused_before_the_first_step(
    data: Path, tmp_path: Path
) -> None:
    sets = Validation({'mine': tmp_path / 'nothing'})
    with pytest.raises(ValueError, match=r'--val mine: .*nothing'):
        train(tiny_recipe(), data, tmp_path / 'run', validation=sets)
    assert not (tmp_path / 'run').exists()


def test_sets_are_named_by_their_folder_or_by_the_user(tmp_path: Path) -> None:
    root = tmp_path / 'a=b'
    root.mkdir()
    assert parse_sets(['val/davis2016/', f'x={root}', str(root)]) == {
        'davis2016': Path('val/davis2016'), 'x': root, 'a=b': root
    }  # fmt: skip
    with pytest.raises(ValueError, match='another set is named davis2016'):
        parse_sets(['val/davis2016', 'more/davis2016'])
    with pytest.raises(ValueError, match='give ROOT, or NAME=ROOT'):
        parse_sets(['mean=val'])
