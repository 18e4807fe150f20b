# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The paper's recipes: STCN's settings, and the whole way on small drawn data in its layouts."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip('torch', reason='the training package needs torch')
pytest.importorskip('lightning_fabric', reason='training needs lightning-fabric')
pytest.importorskip('onnx', reason='the export needs onnx')

import numpy as np  # noqa: E402
from paper_data import (  # noqa: E402
    draw_paper_data,
    FLAT_SETS,
    FSS_CLASSES,
    HEIGHT_PX,
    STILLS,
    WIDTH_PX,
)
from public_stcn import public_stcn  # noqa: E402
from tiny_run import loss_curve  # noqa: E402
from typer.testing import CliRunner  # noqa: E402

from vos_distill.cli import app  # noqa: E402
from vos_distill.data import check_data  # noqa: E402
from vos_distill.data.pack import pack, unpack  # noqa: E402
from vos_distill.data.real_clip import video_shares  # noqa: E402
from vos_distill.loop.train import load_data, rate_at  # noqa: E402
from vos_distill.recipe import Recipe  # noqa: E402
from vos_distill.studies.chain import read_chain  # noqa: E402
from vos_ros.datatypes import Prompt  # noqa: E402
from vos_ros.engine.segmenter import VideoSegmenter  # noqa: E402
from vos_ros.sequences import open_labelled  # noqa: E402

PAPER = Path(__file__).parents[2] / 'recipes' / 'paper'
ROWS = {
    'mobilenet_v2': ['static', 'main', 'distil'],
    'resnet18_bl30k': ['static', 'bl30k', 'main', 'distil'],
}
# stage by stage: steps, batch, step at which the rate falls, first and last step of hard pixels
SCHEDULES = {
    'mobilenet_v2/0_static': (300_000, 16, 150_000, 20_000, 70_000),
    'mobilenet_v2/3_main': (150_000, 8, 125_000, 20_000, 70_000),
    'mobilenet_v2/4_distil': (150_000, 8, 125_000, 20_000, 70_000),
    'resnet18_bl30k/0_static': (300_000, 16, 150_000, 20_000, 70_000),
    'resnet18_bl30k/1_bl30k': (500_000, 8, 400_000, 20_000, 70_000),
    'resnet18_bl30k/2_main': (300_000, 8, 250_000, 20_000, 70_000),
    'resnet18_bl30k/4_distil': (150_000, 8, 125_000, 20_000, 70_000),
}


@pytest.fixture(scope='module')
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp('paper') / 'data'
    draw_paper_data(root)
    return root


def reduced(recipe: Recipe) -> Recipe:
    """Give the same recipe with smaller sizes, and nothing else changed."""
    return replace(
        recipe, preset='tiny', imagenet='', steps=3, batch=2, workers=0, amp=False, pixels=64,
        log_every=1, clip=replace(recipe.clip, size=64),
    )  # fmt: skip


@pytest.mark.parametrize('row', ROWS)
def test_each_row_of_the_table_is_a_chain(row: str) -> None:
    stages = read_chain(PAPER / row)
    assert list(stages) == ROWS[row]
    before = dict(zip(ROWS[row][1:], ROWS[row][:-1], strict=True))
    assert {name: recipe.init for name, recipe in stages.items() if recipe.init} == before
    assert {recipe.preset for recipe in stages.values()} == {row.removesuffix('_bl30k')}
    assert [name for name, recipe in stages.items() if recipe.teacher] == ['distil']


def test_every_recipe_has_the_schedule_of_its_stage() -> None:
    found = {f'{p.parent.name}/{p.stem}': Recipe.read(p) for p in PAPER.rglob('*.yaml')}
    assert found.keys() == SCHEDULES.keys()
    for name, (steps, batch, fall, first, last) in SCHEDULES.items():
        recipe = found[name]
        assert (recipe.steps, recipe.batch, recipe.optimiser) == (steps, batch, 'adam'), name
        factors = [rate_at(step, recipe) for step in (0, fall - 1, fall, steps - 1)]
        assert factors == pytest.approx([1.0, 1.0, 0.1, 0.1]), name
        assert recipe.rate == pytest.approx(1e-5)
        assert recipe.hard_from * steps == pytest.approx(first, rel=2e-3), name
        assert recipe.hard_until * steps == pytest.approx(last, rel=2e-3), name


@pytest.mark.parametrize(
    ('stage', 'back'), [('mobilenet_v2/3_main', 0.9), ('resnet18_bl30k/1_bl30k', 0.8)]
)
def test_the_largest_gap_grows_and_shrinks_as_in_stcn(stage: str, back: float) -> None:
    gap_at = Recipe.read(PAPER / f'{stage}.yaml').clip.gap_at
    shares = (0.0, 0.09, 0.11, 0.21, 0.31, 0.41, back - 0.01, back + 0.01, 1.0)
    # STCN draws 1 to max_jump + 1 frames
    assert [gap_at(share) for share in shares] == [6, 6, 11, 16, 21, 26, 26, 6, 6]


def test_the_data_of_a_recipe_are_those_of_the_stage(data: Path) -> None:
    assert check_data(data) == []
    stages = read_chain(PAPER / 'resnet18_bl30k')
    stills, videos = load_data(stages['static'], data)
    sources = [stills[index].source for index in range(len(stills))]
    times = {'BIG_small': 5, 'HRSOD_small': 5}
    expected = {name: STILLS * times.get(name, 1) for name in FLAT_SETS}
    expected['fss'] = len(FSS_CLASSES)
    assert {name: sources.count(name) for name in sources} == expected
    assert not videos
    assert [v.name for v in load_data(stages['bl30k'], data)[1]] == ['scene_0', 'scene_1']
    stills, videos = load_data(stages['main'], data)
    assert not len(stills)
    # the clip to measure on is left out, and so is the one that the list leaves out
    assert [v.name for v in videos] == ['bear', 'dog', '0a1b', '0e3f']
    assert [v.stride for v in videos] == [1, 1, 5, 5]
    shares = video_shares(videos, stages['main'].families)
    assert shares[:2].sum() == pytest.approx(5 * 60 / (5 * 60 + 3464))


def test_packed_data_hold_the_list_of_clean_clips(data: Path, tmp_path: Path) -> None:
    pack(data, tmp_path / 'data.tar', short_side=64)
    stages = read_chain(PAPER / 'mobilenet_v2')
    again = unpack(tmp_path / 'data.tar', tmp_path / 'again')
    assert [v.name for v in load_data(stages['main'], again)[1]] == ['bear', 'dog', '0a1b', '0e3f']
    assert len(load_data(stages['static'], again)[0]) == len(load_data(stages['static'], data)[0])


@pytest.fixture(scope='module')
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Give a teacher imported from random weights by the names of a public checkpoint."""
    folder = tmp_path_factory.mktemp('teacher')
    public, path = folder / 'stcn.pth', folder / 'teacher.pt'
    torch.save(public_stcn(), public)
    told = CliRunner().invoke(app, ['import-stcn', str(public), '--out', str(path)])
    assert told.exit_code == 0, told.output
    yield path
    public.unlink()  # these are large, and pytest keeps what tests leave
    path.unlink()


@pytest.mark.slow
def test_the_whole_way_on_drawn_data(
    data: Path, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    From photographs to a model that the robot's engine follows a clip with.

    The row with BL30K has all stages of the other one.
    """
    # processes of their own are tested with another chain; starting eight takes most of a minute
    monkeypatch.setattr('vos_distill.studies.chain.isolated', lambda work, *given: work(*given))
    row = 'resnet18_bl30k'
    recipes, out = tmp_path / 'recipes', tmp_path / 'out'
    recipes.mkdir()
    for path in (PAPER / row).glob('*.yaml'):
        reduced(Recipe.read(path)).write(recipes / path.name)
    told = CliRunner().invoke(
        app,
        ['chain', str(recipes), '--data', str(data), '--val', str(data / 'davis2017'),
         '--teacher', str(teacher), '--out', str(out), '--short-side', '64'],
    )  # fmt: skip
    assert told.exit_code == 0, told.output
    previous = ''
    for stage in ROWS[row]:
        assert Recipe.read(out / stage / 'recipe.yaml').init == previous
        previous = str(out / stage / 'student.pt')
        rows = loss_curve(out / stage)
        assert [one['step'] for one in rows] == [1, 2, 3]
        assert all(np.isfinite(one['ce']) and one['ce'] > 0 for one in rows)
        assert all((one['distil'] > 0) == (stage == 'distil') for one in rows)
        # half of three steps, or more of them, is the third one
        assert [one['rate'] for one in rows] == pytest.approx([1.0, 1.0, 0.1])
    segmenter = VideoSegmenter.open(str(out / 'model'))
    (goat,) = open_labelled(data / 'davis2017')
    given = goat.label_map(0)
    assert set(np.unique(given)) == {0, 1, 2}
    for index, frame in enumerate(goat):
        answer = segmenter.step(frame, Prompt(given) if index == 0 else None)
        if index == 0:
            np.testing.assert_array_equal(answer.label_map, given)
        assert answer.label_map.shape == (HEIGHT_PX, WIDTH_PX)
        assert set(np.unique(answer.label_map)) <= {0, 1, 2}
        assert answer.object_ids == (1, 2)
        assert all(np.isfinite(score) for score in answer.scores.values())
