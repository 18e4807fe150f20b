# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Trained networks: read from checkpoints and model folders alike, or refused by name."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='the training package needs torch')
pytest.importorskip('lightning_fabric', reason='training needs lightning-fabric')
pytest.importorskip('onnx', reason='the export needs onnx')

from tiny_run import tiny_recipe, write_stills  # noqa: E402
from typer.testing import CliRunner, Result  # noqa: E402

from vos_distill.cli import app, main  # noqa: E402
from vos_distill.export.onnx_export import export_model  # noqa: E402
from vos_distill.loop.train import train  # noqa: E402
from vos_distill.losses.objective import Teacher  # noqa: E402
from vos_distill.networks.backbones import BACKBONES, load_imagenet  # noqa: E402
from vos_distill.networks.presets import build_student  # noqa: E402
from vos_distill.networks.weights import load_network  # noqa: E402


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(one) for one in arguments])


def student_pt(path: Path, **entries: Any) -> Path:
    torch.manual_seed(0)
    state = {'student': build_student('tiny').state_dict(), 'preset': 'tiny', **entries}
    torch.save(state, path)
    return path


@pytest.fixture(scope='module')
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('models') / 'tiny'
    torch.manual_seed(0)
    card = {'recipe': {'memory': 'finite'}, 'training': {'steps': 7, 'hours': 0.5}}
    export_model(
        build_student('tiny'), folder, name='tiny', preset='tiny', short_side=64,
        card={**card, 'format': 7, 'input': 'mine'},
    )  # fmt: skip
    return folder


def test_a_card_does_not_change_what_the_export_knows(model: Path) -> None:
    manifest = json.loads((model / 'manifest.json').read_text())
    assert manifest['format'] == 1
    assert manifest['input']['short_side'] == 64


def test_a_model_folder_is_a_network_and_a_teacher(model: Path, tmp_path: Path) -> None:
    network, state = load_network(model)
    assert (state['preset'], state['step'], state['seconds']) == ('tiny', 7, 1800.0)
    teacher = Teacher.load(model)
    assert not teacher.is_infinite
    assert not any(p.requires_grad for p in teacher.network.parameters())
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, teacher.network.state_dict()[name])
    write_stills(tmp_path)
    train(tiny_recipe(teacher=str(model), steps=1), tmp_path, tmp_path / 'run')


def test_a_network_with_a_text_for_a_recipe_is_a_teacher(tmp_path: Path) -> None:
    path = student_pt(tmp_path / 'a.pt', recipe='narrowed from fast_mb')
    assert not Teacher.load(path).is_infinite


@pytest.mark.parametrize(
    ('content', 'said'),
    [
        ({'conv.weight': torch.zeros(1)}, 'lacks student, preset'),
        ([torch.zeros(1)], 'holds a list'),
        (torch.zeros(1), 'holds a Tensor'),
        ({'student': {}, 'preset': 'tiny'}, 'do not fit preset tiny'),
        ({'student': 3, 'preset': 'tiny'}, 'do not fit preset tiny'),
        ({'student': {}, 'preset': ['tiny']}, 'unknown preset'),
    ],
)
def test_any_other_torch_file_is_refused_by_name(
    tmp_path: Path, content: object, said: str
) -> None:
    path = tmp_path / 'x.pth'
    torch.save(content, path)
    with pytest.raises(ValueError, match=said) as error:
        load_network(path)
    assert str(error.value).startswith(f'{path}: ')
    for command in ('eval', 'export', 'narrow'):
        more = {
            'eval': [tmp_path], 'export': ['--out', tmp_path / 'm'],
            'narrow': ['--preset', 'tiny', '--out', tmp_path / 'n.pt'],
        }[command]  # fmt: skip
        assert isinstance(run(command, path, *more).exception, ValueError)


@pytest.mark.parametrize(
    ('card', 'said'),
    [
        ('measured: 2026-11-22', 'measured cannot be written as JSON'),
        ('[data]', 'must be keys and values'),
        ('words', 'must be keys and values'),
        ('data: [', 'not valid YAML'),
        ('training: long', 'training must be a dict'),
        ('data: static', 'data must be a list'),
    ],
)
def test_a_card_that_no_manifest_can_hold_is_refused(tmp_path: Path, card: str, said: str) -> None:
    (tmp_path / 'card.yaml').write_text(card)
    weights = student_pt(tmp_path / 'a.pt')
    out = tmp_path / 'm'
    error = run('export', weights, '--out', out, '--card', tmp_path / 'card.yaml').exception
    assert isinstance(error, ValueError)
    assert said in str(error)
    assert str(error).startswith(f'{tmp_path}/card.yaml: ')
    assert not out.exists()


def test_options_out_of_range_are_refused(tmp_path: Path) -> None:
    weights = student_pt(tmp_path / 'a.pt')
    for size in ('0', '-5'):
        assert run('export', weights, '--out', tmp_path / 'm', '--short-side', size).exit_code == 2
    assert 'is for --fixed' in str(
        run('export', weights, '--out', tmp_path / 'm', '--objects', 2).exception
    )
    for options in (
        ('train', 'r', '--data', 'd', '--run', 'x', '--threads', -1),
        ('ablate', 's', '--data', 'd', '--out', 'o', '--val', 'a=b', '--seeds', 0),
        ('data', 'label', 't', 'c', '--out', 'o', '--sure', 7),
    ):
        assert run(*options).exit_code == 2


def test_a_run_goes_on_without_the_weights_that_it_began_with(tmp_path: Path) -> None:
    write_stills(tmp_path)
    begin = student_pt(tmp_path / 'begin.pt')
    recipe = tiny_recipe(init=str(begin), steps=2)
    train(recipe, tmp_path, tmp_path / 'run', stop_at=1)
    begin.unlink()
    train(recipe, tmp_path, tmp_path / 'run')
    assert load_network(tmp_path / 'run' / 'student.pt')[1]['step'] == 2


def test_backbone_weights_lie_beside_a_tar_as_beside_a_folder(tmp_path: Path) -> None:
    write_stills(tmp_path / 'data')
    weights = BACKBONES['plain']().state_dict()
    np.savez(tmp_path / 'plain.npz', **{name: w.numpy() for name, w in weights.items()})
    recipe = tiny_recipe(steps=1, imagenet='../plain.npz')
    recipe.write(tmp_path / 'recipe.yaml')
    packed = run('data', 'pack', tmp_path / 'data', '--out', tmp_path / 'data.tar')
    assert packed.exit_code == 0, packed.output
    for data in ('data', 'data.tar'):
        done = run(
            'train', tmp_path / 'recipe.yaml', '--data', tmp_path / data,
            '--run', tmp_path / f'run-{data}', '--threads', 1,
        )  # fmt: skip
        assert done.exit_code == 0, done.exception
    (tmp_path / 'plain.npz').unlink()
    gone = run(
        'train', tmp_path / 'recipe.yaml', '--data', tmp_path / 'data.tar', '--run', tmp_path / 'b'
    )
    assert str(gone.exception).startswith(f'{tmp_path}/plain.npz: there are no such backbone')


def test_backbone_weights_that_do_not_fit_are_named(tmp_path: Path) -> None:
    backbone = BACKBONES['plain']()
    path = tmp_path / 'a.npz'
    np.savez(path, other=np.zeros(1))
    with pytest.raises(ValueError, match=r'a\.npz: the weights have no convs\.0\.weight'):
        load_imagenet(backbone, path)
    path.write_bytes(b'PK broken')
    with pytest.raises(ValueError, match=r'a\.npz: not readable backbone weights'):
        load_imagenet(backbone, path)
    torch.save([1], tmp_path / 'a.pth')
    with pytest.raises(ValueError, match=r'a\.pth: holds a list'):
        load_imagenet(backbone, tmp_path / 'a.pth')


def test_a_file_where_a_folder_is_to_be_is_said(
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    weights = student_pt(tmp_path / 'student.pt')
    monkeypatch.setattr('sys.argv', ['vos-distill', 'export', str(weights), '--out', str(weights)])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    told = capsys.readouterr().err
    assert 'student.pt is a file, and a folder is needed there; choose another' in told
    assert 'Errno' not in told


def test_images_of_no_size_are_refused(model: Path, tmp_path: Path) -> None:
    told = run('one-graph', model, '--camera', '0x480', '--out', tmp_path / 'out')
    assert isinstance(told.exception, ValueError)
    assert '--camera must be WIDTHxHEIGHT' in str(told.exception)
