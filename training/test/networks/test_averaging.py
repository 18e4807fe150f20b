# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Averaging weights: the mean, of one preset only."""

from pathlib import Path

import pytest

torch = pytest.importorskip('torch', reason='the training package needs torch')

from vos_distill.networks.averaging import average  # noqa: E402
from vos_distill.networks.checkpoint import load_checkpoint, save_checkpoint  # noqa: E402
from vos_distill.networks.presets import build_student  # noqa: E402
from vos_distill.networks.weights import load_network  # noqa: E402

MODELS = Path(__file__).parents[3] / 'models'


def write(path: Path, seed: int, preset: str = 'tiny') -> Path:
    torch.manual_seed(seed)
    student = build_student(preset)
    told = {'preset': preset, 'step': 100, 'seconds': 5.0, 'recipe': f'r{seed}'}
    live = {'optimiser': {'state': torch.zeros(9)}}  # as the last.pt of a run has it
    save_checkpoint(path, {'student': student.state_dict(), **told, **live})
    return path


def test_average_is_the_mean_and_says_what_of(tmp_path: Path) -> None:
    paths = [write(tmp_path / f'{seed}.pt', seed) for seed in range(3)]
    average(paths, tmp_path / 'mean.pt')
    network, state = load_network(tmp_path / 'mean.pt')
    assert (state['step'], state['seconds']) == (300, 15.0)
    assert 'optimiser' not in load_checkpoint(tmp_path / 'mean.pt')
    assert state['averaged'] == ['r0', 'r1', 'r2']
    parts = [load_network(path)[0].state_dict() for path in paths]
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(tensor, sum(p[name] for p in parts) / 3)


def test_a_shipped_model_is_averaged_as_its_checkpoint_would_be(tmp_path: Path) -> None:
    run = write(tmp_path / 'run.pt', 0, 'fast_mb_slim')
    average([MODELS / 'fast_mb_slim', run], tmp_path / 'mean.pt')
    network, state = load_network(tmp_path / 'mean.pt')
    assert state['preset'] == 'fast_mb_slim'
    parts = [load_network(path)[0].state_dict() for path in (MODELS / 'fast_mb_slim', run)]
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(tensor, sum(p[name] for p in parts) / 2)


def test_only_networks_of_one_preset_are_averaged(tmp_path: Path) -> None:
    one = write(tmp_path / 'one.pt', 0)
    other = write(tmp_path / 'other.pt', 0, 'deformable_tiny')
    with pytest.raises(ValueError, match=r'deformable_tiny and .*tiny: only networks of one'):
        average([one, other], tmp_path / 'mean.pt')
    with pytest.raises(ValueError, match='two checkpoints or more'):
        average([one], tmp_path / 'mean.pt')
