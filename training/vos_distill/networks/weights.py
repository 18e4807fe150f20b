# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A trained network, wherever it is kept: `student.pt` of a run, or an exported model's folder."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vos_distill.networks.checkpoint import load_checkpoint
from vos_distill.networks.presets import build_network, build_student
from vos_distill.networks.student import Student
from vos_ros.backends.base import GRAPHS


def student_from_model(folder: Path) -> Student:
    """
    Read the weights back out of an exported model: to train it further, or to compare with it.

    :param folder: with `manifest.json` and the graphs.
    :raises ValueError: not a model of ours, or one whose graphs were optimised since.
    """
    import onnx
    from onnx import numpy_helper

    try:
        manifest = json.loads((folder / 'manifest.json').read_text())
        preset = manifest['preset']
        graphs = [onnx.load(str(folder / f'{name}.onnx')) for name in GRAPHS]
    except (OSError, KeyError, json.JSONDecodeError) as error:
        raise ValueError(f'{folder}: not an exported model ({error})') from error
    if 'fixed' in manifest:
        raise ValueError(
            f'{folder}: exported with --fixed, which leaves out what a network is rebuilt from; '
            'take its student.pt, or the folder of an export without --fixed'
        )
    student = build_student(preset)
    # How many batches BatchNorm saw is in no graph, and nothing here asks for it.
    weights = {k: v for k, v in student.state_dict().items() if k.endswith('num_batches_tracked')}
    for graph in graphs:
        for tensor in graph.graph.initializer:
            array = numpy_helper.to_array(tensor).astype(np.float32)
            weights[_name_of(tensor.name)] = torch.from_numpy(array)
        # Of tensors that are alike (BatchNorms at rest) the exporter keeps one, with two names.
        for node in graph.graph.node:
            if node.op_type == 'Identity' and _name_of(node.input[0]) in weights:
                weights.setdefault(_name_of(node.output[0]), weights[_name_of(node.input[0])])
    missing = sorted(set(student.state_dict()) - set(weights))
    if missing:
        raise ValueError(f'{folder}: the graphs do not hold {", ".join(missing[:3])}')
    student.load_state_dict({name: weights[name] for name in student.state_dict()})
    return student.eval()


def _name_of(tensor: str) -> str:
    return tensor.removesuffix('_fp16').removeprefix('student.')


def load_network(path: Path) -> tuple[Student, dict[str, Any]]:
    """
    Build the student or teacher that a file or a folder holds, in eval mode.

    :param path: `student.pt` of a run directory, or the folder of an exported model.
    :return: the network, and what is known of it: preset, step, seconds, recipe (a dict of its
        keys, or text) and whatever else a checkpoint holds.
    :raises ValueError: not a readable checkpoint or model, or of another architecture.
    """
    if path.is_dir():
        return student_from_model(path), _state_of_manifest(path)
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


def _state_of_manifest(folder: Path) -> dict[str, Any]:
    manifest = json.loads((folder / 'manifest.json').read_text())
    training = manifest.get('training') or {}
    return {
        'preset': manifest['preset'],
        'step': training.get('steps') or 0,
        'seconds': 3600 * float(training.get('hours') or 0),
        'recipe': manifest.get('recipe', ''),
    }
