# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A trained network, wherever it is kept: `student.pt` of a run, or an exported model's folder."""

import json
from pathlib import Path
from typing import Any

from vos_distill.checkpoint import load_checkpoint
from vos_distill.export import student_from_model
from vos_distill.presets import build_network
from vos_distill.student import Student


def load_network(path: Path) -> tuple[Student, dict[str, Any]]:
    """
    Build the student or teacher that a file or a folder holds, in eval mode.

    :param path: `student.pt` of a run directory, or the folder of an exported model.
    :return: the network, and what is known of it: preset, step, seconds, recipe (a dict of its
        keys, or text) and whatever else a checkpoint holds.
    :raises ValueError: not a readable checkpoint or model, or of another architecture.
    """
    if path.is_dir():
        return student_from_model(path), _told_by_manifest(path)
    state = load_checkpoint(path, 'student', 'preset')
    try:
        network = build_network(str(state['preset']))
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from error
    try:
        network.load_state_dict(state.pop('student'))
    except (RuntimeError, TypeError, AttributeError) as error:
        raise ValueError(
            f'{path}: its weights do not fit preset {state["preset"]}; another program or '
            'version wrote it'
        ) from error
    return network.eval(), {'step': 0, 'seconds': 0.0, 'recipe': '', **state}


def is_infinite(state: dict[str, Any]) -> bool:
    """Tell from what `load_network` gives whether a network was trained to keep every frame."""
    recipe = state['recipe']
    return isinstance(recipe, dict) and recipe.get('memory') == 'infinite'


def _told_by_manifest(folder: Path) -> dict[str, Any]:
    manifest = json.loads((folder / 'manifest.json').read_text())
    training = manifest.get('training') or {}
    return {
        'preset': manifest['preset'],
        'step': training.get('steps') or 0,
        'seconds': 3600 * float(training.get('hours') or 0),
        'recipe': manifest.get('recipe', ''),
    }
