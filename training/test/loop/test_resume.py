# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A run that was killed, stopped or damaged: it goes on exactly, or says why it cannot."""

from dataclasses import replace
import os
from pathlib import Path
import signal

import pytest

torch = pytest.importorskip('torch', reason='the training package needs torch')
pytest.importorskip('lightning_fabric', reason='training needs lightning-fabric')
pytest.importorskip('onnx', reason='the export needs onnx')

from tiny_run import (  # noqa: E402
    loss_curve,
    start,
    tiny_recipe,
    train_command,
    wait_for_step,
)

from vos_distill.cli import main  # noqa: E402
from vos_distill.data import ClipConfig, load_stills  # noqa: E402
from vos_distill.data.clips import clip_loader  # noqa: E402
from vos_distill.loop import train as trainer  # noqa: E402
from vos_distill.loop.train import train  # noqa: E402
from vos_distill.networks.checkpoint import load_checkpoint  # noqa: E402
from vos_distill.recipe import Recipe  # noqa: E402

pytestmark = pytest.mark.timeout(300)
# every random choice of a step takes part: spoilt masks after a pause, dropped recent frames
RECIPE = tiny_recipe(
    steps=36, save_every=7, log_every=3, drop_recent=0.4,
    clip=ClipConfig(size=64, frames=3, real=0.0, occluder=0.3, bars=0.2, jump=0.5),
)  # fmt: skip


@pytest.fixture(scope='module')
def uninterrupted(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp('uninterrupted')
    train(RECIPE, data, run)
    return run


def write(recipe: Recipe, path: Path) -> Path:
    recipe.write(path)
    return path


def assert_same(run: Path, other: Path) -> None:
    curves = loss_curve(run), loss_curve(other)
    assert len(curves[0]) == len(curves[1])
    for row, expected in zip(*curves, strict=True):
        assert row == pytest.approx(expected, abs=2e-3)
    one, two = (load_checkpoint(r / 'last.pt') for r in (run, other))
    assert one['step'] == two['step'] == RECIPE.steps
    for kind in ('student', 'student_live'):
        for name, value in one[kind].items():
            torch.testing.assert_close(value, two[kind][name], rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.integration
@pytest.mark.slow
def test_a_killed_run_goes_on_as_if_nothing_had_happened(
    data: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    run = tmp_path / 'run'
    recipe = write(replace(RECIPE, workers=2), tmp_path / 'recipe.yaml')
    process = start(train_command(recipe, data, run))
    wait_for_step(run, 12, process)  # a row after the checkpoint of step 7
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    done = load_checkpoint(run / 'last.pt')['step']
    assert 0 < done < RECIPE.steps
    assert loss_curve(run)[-1]['step'] < RECIPE.steps
    train(replace(RECIPE, workers=1), data, run)
    assert_same(run, uninterrupted)
    assert [r['step'] for r in loss_curve(run)] == list(range(3, RECIPE.steps + 1, 3))


@pytest.mark.integration
@pytest.mark.slow
@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT], ids=lambda s: s.name)
def test_a_signal_ends_a_run_with_a_checkpoint(
    data: Path, uninterrupted: Path, tmp_path: Path, number: signal.Signals
) -> None:
    run = tmp_path / 'run'
    recipe = write(replace(RECIPE, workers=2, save_every=1000), tmp_path / 'recipe.yaml')
    process = start(train_command(recipe, data, run), start_new_session=True)
    wait_for_step(run, 3, process)
    os.killpg(process.pid, number)  # Ctrl-C reaches the workers too
    said = process.communicate(timeout=60)[0]
    assert process.returncode == 128 + number, said
    assert 'the same command goes on from there' in said
    assert 'Traceback' not in said
    assert 3 <= load_checkpoint(run / 'last.pt')['step'] < RECIPE.steps
    train(RECIPE, data, run)
    assert_same(run, uninterrupted)


@pytest.fixture
def begun(data: Path, tmp_path: Path) -> Path:
    run = tmp_path / 'run'
    train(tiny_recipe(), data, run, stop_at=2)
    return run


def test_a_damaged_checkpoint_gives_one_clear_message(
    data: Path, begun: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    last = begun / 'last.pt'
    last.write_bytes(last.read_bytes()[:2000])
    recipe = write(tiny_recipe(), tmp_path / 'recipe.yaml')
    command = train_command(recipe, data, begun)
    monkeypatch.setattr('sys.argv', ['vos-distill', *command[2:]])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert str(last) in line
    assert 'delete it to start the run from step 0' in line


def test_a_checkpoint_of_another_kind_is_named(data: Path, begun: Path) -> None:
    (begun / 'student.pt').replace(begun / 'last.pt')
    with pytest.raises(ValueError, match=r'last\.pt: not a readable checkpoint \(lacks'):
        train(tiny_recipe(), data, begun)


def test_another_recipe_is_refused_and_its_keys_are_named(data: Path, begun: Path) -> None:
    recipe = tiny_recipe(rate=1e-3)
    recipe.clip = replace(recipe.clip, speed=0.5)
    with pytest.raises(ValueError, match=r'another recipe, not the same: rate, clip\.speed\.'):
        train(recipe, data, begun)
    assert load_checkpoint(begun / 'last.pt')['step'] == 2


def test_a_run_from_before_a_key_of_the_recipe_goes_on(data: Path, begun: Path) -> None:
    saved = torch.load(begun / 'last.pt', weights_only=True)
    for key in ('optimiser', 'step_at', 'step_factor', 'hard_until', 'subsets', 'still_side'):
        del saved['recipe'][key]
    torch.save(saved, begun / 'last.pt')
    train(tiny_recipe(steps=3), data, begun)
    assert load_checkpoint(begun / 'last.pt')['step'] == 3
    with pytest.raises(ValueError, match=r'another recipe, not the same: optimiser\.'):
        train(tiny_recipe(steps=4, optimiser='adam'), data, begun)


def test_length_and_number_of_workers_may_change(data: Path, begun: Path) -> None:
    train(tiny_recipe(steps=3, save_every=1, log_every=1, workers=1), data, begun)
    assert load_checkpoint(begun / 'last.pt')['step'] == 3
    assert Recipe.read(begun / 'recipe.yaml').steps == 3


def test_clips_do_not_depend_on_workers_processes_or_where_a_run_began(data: Path) -> None:
    recipe = tiny_recipe(batch=4)
    stills = load_stills(data / 'static')

    def clips(start_step: int, workers: int, processes: int) -> dict[int, torch.Tensor]:
        recipe.workers = workers
        found = {}
        for rank in range(processes):
            steps = range(start_step, 3)
            for batch in clip_loader(stills, [], recipe, steps, rank=rank, processes=processes):
                assert len(batch.number) == 4 // processes
                found.update(zip(batch.number.tolist(), batch.images, strict=True))
        return found

    whole = clips(0, 0, 1)
    assert sorted(whole) == list(range(12))
    assert len({image.numpy().tobytes() for image in whole.values()}) == 12
    for other in (clips(0, 2, 1), clips(2, 0, 1), clips(1, 1, 2)):
        assert other
        assert all(torch.equal(image, whole[number]) for number, image in other.items())


HOLDS = """
from pathlib import Path
import sys
import time
from vos_distill.processes.alone import hold

lock = hold(Path(sys.argv[1]))
print('held', flush=True)
time.sleep(1000)
"""


@pytest.mark.integration
def test_a_run_directory_is_for_one_process_at_a_time(data: Path, begun: Path) -> None:
    process = start(['-c', HOLDS, str(begun)])
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == 'held\n'
        with pytest.raises(ValueError, match='another process is training here'):
            train(tiny_recipe(), data, begun)
    finally:
        process.kill()
        process.communicate()
    assert load_checkpoint(begun / 'last.pt')['step'] == 2
    train(tiny_recipe(), data, begun)
    assert load_checkpoint(begun / 'last.pt')['step'] == tiny_recipe().steps


def test_a_run_directory_is_held_before_its_checkpoint_is_read(
    data: Path, begun: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Else it would go on from what another process, ending meanwhile, has gone beyond.
    steps: list[str] = []

    def read(*_: object) -> None:
        steps.append('read')
        raise ValueError('enough')

    monkeypatch.setattr(trainer, 'hold', lambda run: steps.append('held'))
    monkeypatch.setattr(trainer, 'read_progress', read)
    with pytest.raises(ValueError, match='enough'):
        train(tiny_recipe(), data, begun)
    assert steps == ['held', 'read']


def test_data_without_a_usable_object_are_an_error(data: Path, tmp_path: Path) -> None:
    from vos_distill.data.clips import ClipDataset

    class Barren:
        def compose(self, _rng: object, _progress: float) -> None:
            return None

    with pytest.raises(ValueError, match='no usable clip in 100 draws'):
        ClipDataset(Barren(), tiny_recipe())[0]  # type: ignore[arg-type]
