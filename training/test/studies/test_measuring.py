# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Measuring: the torch stepper with infinite memory, ablation tables, chains."""

from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from vos_distill.cli import app
from vos_distill.data.generate import generate
from vos_distill.evaluation.evaluate import InfiniteStepper, TrueRecent
from vos_distill.networks.aggregation import one_hot
from vos_distill.networks.presets import build_student
from vos_distill.networks.teacher import infinite_rollout
from vos_distill.studies.ablation import ablate, Study, table
from vos_distill.studies.chain import read_chain, run_chain
from vos_distill.studies.study_plot import study_svg
from vos_ros.backends import load_manifest
from vos_ros.datatypes import Frame, Prompt, Segmentation
from vos_ros.evaluation.baselines import CopyFirstMask
from vos_ros.evaluation.evaluate import evaluate_sequence
from vos_ros.formats.label_png import read_label_png, write_label_png
from vos_ros.sequences import open_labelled


def frames(count: int) -> list[Frame]:
    rng = np.random.default_rng(0)
    scene = rng.integers(0, 255, (96, 160, 3), np.uint8)
    shifted = [np.roll(scene, 2 * i, axis=1).copy() for i in range(count)]
    return [Frame(image, stamp_ns=i * 33_000_000) for i, image in enumerate(shifted)]


def prompt() -> Prompt:
    label_map = np.zeros((96, 160), np.uint8)
    label_map[30:70, 40:90] = 1
    label_map[10:40, 100:140] = 2
    return Prompt(label_map)


def test_infinite_memory_equals_the_rollout_of_training() -> None:
    torch.manual_seed(0)
    student = build_student('tiny').eval()
    stepper = InfiniteStepper(student, 96, every=1)
    clip = frames(4)
    stepped = [
        stepper.step(frame, prompt() if index == 0 else None).prob
        for index, frame in enumerate(clip)
    ]
    images = torch.from_numpy(np.stack([frame.image for frame in clip])).permute(0, 3, 1, 2)
    first = one_hot(torch.from_numpy(prompt().label_map).long(), 2)
    with torch.inference_mode():
        expected = infinite_rollout(
            student, student.normalise(images)[None], first.expand(4, -1, -1, -1)[None]
        )
    for out in expected:
        np.testing.assert_allclose(stepped[out.frame], out.prob[0].numpy(), atol=1e-4)


def test_the_true_mask_of_each_frame_is_remembered_after_it_was_answered(tmp_path: Path) -> None:
    """Of a frame without one, what was found is; the first frames have no object yet."""
    generate(tmp_path)
    (sequence,) = open_labelled(tmp_path / 'val' / 'davis2016')
    files = sorted((sequence.annotations).glob('*.png'))
    files[4].unlink()
    write_label_png(files[0], np.zeros_like(read_label_png(files[0])))
    (sequence,) = open_labelled(tmp_path / 'val' / 'davis2016')
    told: list[Any] = []

    class Listener(CopyFirstMask):
        object_ids: tuple[int, ...] = ()
        index = 0

        def start(self, frame: Frame, prompt: Prompt) -> Segmentation:
            return super().step(frame, prompt)

        def segment(self, frame: Frame) -> Segmentation:
            return super().step(frame)

        def memorize(self, instead: Any) -> None:
            told.append(instead)

    evaluate_sequence(TrueRecent(Listener(), sequence), sequence)  # type: ignore[arg-type]
    told = told[2:]  # without the warm-up
    truth = [sequence.label_map(index) for index in range(1, len(sequence))]
    assert len(told) == len(truth) == len(sequence) - 1
    for one, other in zip(told, truth, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            np.testing.assert_array_equal(one, other)
    assert told[3] is None


def test_infinite_memory_grows_and_is_forgotten() -> None:
    stepper = InfiniteStepper(build_student('tiny').eval(), 96, every=2)
    for index, frame in enumerate(frames(6)):
        stepper.step(frame, prompt() if index == 0 else None)
    assert len(stepper._kept) == 3
    with pytest.raises(ValueError, match='one prompt'):
        stepper.step(frames(1)[0], prompt())
    stepper.reset()
    assert not stepper._kept


def results(second: float) -> dict[str, dict[int, dict[str, float]]]:
    return {
        'CE': {0: {'val': 0.60}, 1: {'val': 0.62}},
        '+ logit': {0: {'val': second}, 1: {'val': second + 0.02}},
    }


def test_a_difference_inside_the_spread_is_called_noise() -> None:
    assert '+0.010 noise' in table(results(0.61), ['val'])
    clear = table(results(0.75), ['val'])
    assert '+0.150' in clear
    assert 'noise' not in clear
    assert '0.610 ± 0.010' in clear


def test_plot_of_a_study_shows_every_seed_where_it_belongs() -> None:
    results = {
        'labels & no more': {0: {'a': 0.50, 'b': 0.30}, 1: {'a': 0.60, 'b': 0.30}},
        'more': {0: {'a': 0.70, 'b': 0.40}},
    }
    svg = ElementTree.fromstring(study_svg(results, ['a', 'b']))
    name = '{http://www.w3.org/2000/svg}'
    dots = [float(dot.attrib['cx']) for dot in svg.iter(f'{name}circle')]
    bars = [float(b.attrib['x1']) for b in svg.iter(f'{name}line') if b.get('class') == 'mean']
    assert len(dots) == 6
    assert bars[0] == pytest.approx((dots[0] + dots[1]) / 2, abs=0.3)
    assert dots[1] - dots[0] == pytest.approx(dots[2] - dots[1], abs=0.3)  # 0.5, 0.6, 0.7
    assert any(text.text == 'labels & no more' for text in svg.iter(f'{name}text'))


def test_a_study_names_what_is_wrong_with_it(tmp_path: Path) -> None:
    path = tmp_path / 'study.yaml'
    path.write_text('base: {preset: tiny}\nvariants: {a: {}, b: {omga: 1}}\n')
    with pytest.raises(ValueError, match='omga'):
        Study.read(path)
    path.write_text('variants: {a: {teacher: TEACHER}}\n')
    with pytest.raises(ValueError, match='--teacher'):
        Study.read(path)
    path.write_text('variants: {a: {}}\ninfinite: [b]\n')
    with pytest.raises(ValueError, match='no variant'):
        Study.read(path)


@pytest.mark.parametrize(
    ('text', 'named'),
    [
        ('variants: [a, b]', 'variants must be keys'),
        ('variants: {a: {}}\nbase: tiny', 'base must be keys'),
        ('variants: {a: 3}', 'variant a must be keys'),
        ('variants: {1: {}}', 'variants must be keys'),
        ('variants: {a: {}}\ninfinite: a', 'infinite must be a list'),
        ('variants: {a: {steps: 0}}', 'variant a: steps must be 1 or more'),
        ('variants: {a: [}', 'not valid YAML'),
        ('word', 'must be keys and values'),
    ],
)
def test_a_broken_study_is_one_message_with_its_path(
    tmp_path: Path, text: str, named: str
) -> None:
    path = tmp_path / 'study.yaml'
    path.write_text(text)
    with pytest.raises(ValueError, match=named) as error:
        Study.read(path)
    assert str(error.value).startswith(f'{path}: ')


class Runs:
    """Stands in for the processes of a study; counts what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.jf = 0.5

    def __call__(self, function: Any, *args: Any) -> Any:
        if function.__name__ == 'train':
            run = args[2]
            self.asked.append(f'train {run.name}')
            (run / 'last.pt').touch()
            return run / 'student.pt'
        self.asked.append(f'measure {" ".join(args[1])}')
        return {'steps': 1, 'seconds': 1, **dict.fromkeys(args[1], self.jf)}


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Runs:
    fake = Runs()
    monkeypatch.setattr('vos_distill.studies.ablation.isolated', fake)
    return fake


def studied(folder: Path, *names: str, short_side: int = 64, **base: object) -> dict[str, Any]:
    (folder / 'teacher').mkdir(parents=True, exist_ok=True)
    teacher = folder / 'teacher' / 'student.pt'
    if not teacher.exists():
        teacher.write_text('first')
    keys = {'preset': 'tiny', 'teacher': str(teacher), **base}
    for name in names:
        (folder / name).mkdir(exist_ok=True)
    roots = {name: folder / name for name in names}
    study = Study(keys, {'a': {}}, ())
    out = ablate(study, folder / 'data', folder / 'out', roots, seeds=[0], short_side=short_side)
    return out['a'][0]


def test_what_a_study_has_measured_is_not_measured_again(tmp_path: Path, runs: Runs) -> None:
    first = studied(tmp_path, 'one')
    runs.asked.clear()
    assert studied(tmp_path, 'one') == first == {'steps': 1, 'seconds': 1, 'one': 0.5}
    assert not runs.asked
    runs.jf = 0.6
    assert studied(tmp_path, 'one', 'two') == {**first, 'two': 0.6}
    assert runs.asked == ['train a-0', 'measure two']
    assert studied(tmp_path, 'two') == {'steps': 1, 'seconds': 1, 'two': 0.6}


@pytest.mark.parametrize('change', [{'short_side': 96}, {'steps': 7}])
def test_what_was_measured_otherwise_is_measured_again(
    tmp_path: Path, runs: Runs, change: dict[str, Any]
) -> None:
    studied(tmp_path, 'one')
    runs.jf = 0.6
    assert studied(tmp_path, 'one', **change)['one'] == 0.6


@pytest.mark.parametrize('content', ['', '{"one": 0.4}', '[]', '{"by": {}'])
def test_scores_that_are_damaged_or_old_are_measured_again(
    tmp_path: Path, runs: Runs, content: str
) -> None:
    studied(tmp_path, 'one')
    (tmp_path / 'out' / 'a-0' / 'finite.json').write_text(content)
    runs.jf = 0.6
    assert studied(tmp_path, 'one')['one'] == 0.6


def test_a_run_from_another_teacher_is_refused(tmp_path: Path, runs: Runs) -> None:
    studied(tmp_path, 'one')
    (tmp_path / 'teacher' / 'student.pt').write_text('second')
    with pytest.raises(ValueError, match=r'a-0 was made from another teacher'):
        studied(tmp_path, 'one')
    (tmp_path / 'out' / 'a-0' / 'last.pt').unlink()  # as if it had been trained anew
    runs.jf = 0.6
    assert studied(tmp_path, 'one')['one'] == 0.6


def test_a_data_set_to_measure_on_must_be_there(tmp_path: Path, runs: Runs) -> None:
    with pytest.raises(ValueError, match='no such data set'):
        ablate(Study({}, {'a': {}}, ()), tmp_path, tmp_path, {'val': tmp_path / 'nowhere'})
    assert not runs.asked


def test_the_studies_and_chains_in_the_repository_can_be_read() -> None:
    recipes = Path(__file__).parents[2] / 'recipes'
    for path in recipes.glob('ablation*.yaml'):
        study = Study.read(path, 'teacher.pt')
        assert study.recipe(next(iter(study.variants)), 3).seed == 3
    stages = read_chain(recipes / 'chain')
    assert list(stages) == ['teacher', 'student', 'undistilled', 'distilled']
    assert stages['distilled'].teacher == 'teacher'


def test_a_chain_with_a_teacher_is_refused_without_one(tmp_path: Path) -> None:
    (tmp_path / '1_distil.yaml').write_text('teacher: TEACHER\n')
    told = CliRunner().invoke(app, ['chain', str(tmp_path), '--out', str(tmp_path / 'out')])
    assert 'has a stage with a teacher; give --teacher' in str(told.exception)
    assert not (tmp_path / 'out').exists()


def test_a_folder_without_recipes_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='holds no recipe'):
        read_chain(tmp_path)


def test_the_documented_chain_runs_on_the_drawn_data(tmp_path: Path) -> None:
    """In small: the stages of the repository, three steps each, end in a model that opens."""
    stages = {
        name: replace(recipe, steps=3, batch=2, workers=0)
        for name, recipe in read_chain(Path(__file__).parents[2] / 'recipes' / 'chain').items()
    }
    generate(tmp_path / 'drawn')
    scores = run_chain(
        stages, tmp_path / 'drawn' / 'train', tmp_path / 'drawn' / 'val' / 'davis2016',
        tmp_path / 'out', short_side=64, threads=1,
    )  # fmt: skip
    assert [one.name for one in scores] == ['copy the first mask', *stages]
    assert all(0 <= one.jf <= 1 for one in scores)
    assert load_manifest(tmp_path / 'out' / 'model').name == 'distilled'
