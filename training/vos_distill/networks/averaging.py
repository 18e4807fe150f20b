# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
One network out of several: the mean of weights that were fine-tuned from a common ancestor.

Wortsman et al., "Model soups", ICML 2022: where the runs stay in one basin, the mean is often
better than each of them, and costs no more to run. Runs that started apart average to nothing.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from vos_distill.networks.checkpoint import load_checkpoint, save_checkpoint
from vos_distill.networks.weights import load_network


def average(checkpoints: Sequence[Path], out: Path) -> None:
    """
    Write the mean of several checkpoints, each of them counting alike.

    :param checkpoints: `student.pt` of runs with the same preset, or folders of exported models.
    :param out: a `student.pt` that `eval`, `export` and `train --init` take. Its steps and seconds
        are the sums, its recipe is the first one's, and `averaged` lists all recipes.
    :raises ValueError: fewer than two, not readable, or of different presets or shapes.
    """
    if len(checkpoints) < 2:
        raise ValueError('an average needs two checkpoints or more')
    states = [_state(path) for path in checkpoints]
    first = states[0]
    for path, state in zip(checkpoints, states, strict=True):
        if state['preset'] != first['preset']:
            raise ValueError(
                f'{path} holds {state["preset"]} and {checkpoints[0]} {first["preset"]}: only '
                'networks of one preset can be averaged'
            )
    weights = [state['student'] for state in states]
    mean: dict[str, Any] = {
        name: torch.stack([one[name].double() for one in weights]).mean(0).to(tensor.dtype)
        if tensor.is_floating_point()
        else tensor
        for name, tensor in weights[0].items()
    }
    meta = {
        'student': mean,
        'step': sum(state.get('step', 0) for state in states),
        'seconds': sum(state.get('seconds', 0.0) for state in states),
        'averaged': [state.get('recipe', '') for state in states],
    }
    # of the last.pt of a run only what its student.pt has
    kept: dict[str, Any] = {k: first[k] for k in ('preset', 'recipe') if k in first}
    save_checkpoint(out, {**kept, **meta})


def _state(path: Path) -> dict[str, Any]:
    if not path.is_dir():
        return load_checkpoint(path, 'student', 'preset')
    network, known = load_network(path)
    return {**known, 'student': network.state_dict()}
