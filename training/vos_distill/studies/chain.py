# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
A chain of stages: a folder of recipes, trained in the order of their names.

`init` and `teacher` of a recipe may name an earlier stage (`init: student` in `3_distil.yaml`
means what `2_student.yaml` gave). The last stage is exported; all stages are measured.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vos_distill.evaluation.evaluate import evaluate_finite, evaluate_infinite
from vos_distill.export.onnx_export import export_model
from vos_distill.loop.train import train
from vos_distill.networks.presets import count_parameters
from vos_distill.networks.weights import load_network
from vos_distill.processes.isolation import isolated
from vos_distill.recipe import Recipe
from vos_ros.evaluation.baselines import CopyFirstMask
from vos_ros.evaluation.evaluate import evaluate_root


@dataclass(frozen=True)
class Score:
    """
    One row of the result.

    :param jf: mean J&F over the objects of the validation data.
    :param seconds: spent on training this stage.
    """

    name: str
    memory: str
    parameters: int
    steps: int
    seconds: float
    jf: float


def read_chain(folder: Path) -> dict[str, Recipe]:
    """
    Read the recipes of a chain, by the name of their stage.

    :param folder: with files like `1_teacher.yaml`; the number orders, the rest is the name.
    :raises ValueError: no recipe there, or a name that occurs twice.
    """
    stages: dict[str, Recipe] = {}
    for path in sorted(folder.glob('*.yaml')):
        name = path.stem.partition('_')[2] or path.stem
        if name in stages:
            raise ValueError(f'{path}: a stage named {name} is there already')
        stages[name] = Recipe.read(path)
    if not stages:
        raise ValueError(f'{folder}: holds no recipe (*.yaml)')
    return stages


def run_chain(
    stages: dict[str, Recipe],
    data: Path,
    val: Path,
    out: Path,
    *,
    short_side: int,
    threads: int = 0,
    on_score: Callable[[Score], None] | None = None,
) -> list[Score]:
    """
    Train every stage (or go on where it stopped), measure it, export the last one.

    :param val: data set in DAVIS layout, measured only.
    :param out: gets a run directory for each stage and `model`, the exported student.
    :param short_side: of the network's input when measured, px.
    :return: a score for each stage, and first of all for copying the first mask.
    """
    baseline = evaluate_root(val, CopyFirstMask).overall
    if baseline is None:
        raise ValueError(f'{val}: nothing to score')
    scores = [Score('copy the first mask', '', 0, 0, 0.0, baseline.jf)]
    if on_score is not None:
        on_score(scores[0])
    trained: dict[str, Path] = {}
    for name, recipe in stages.items():
        weights = {word: str(path) for word, path in trained.items()}
        recipe = replace(
            recipe,
            init=weights.get(recipe.init, recipe.init),
            teacher=weights.get(recipe.teacher, recipe.teacher),
        )
        trained[name] = isolated(train, recipe, data, out / name)
        scores.append(isolated(_measure, name, trained[name], recipe, val, short_side, threads))
        if on_score is not None:
            on_score(scores[-1])
    last = list(trained)[-1]
    student, state = load_network(trained[last])
    card: dict[str, Any] = {
        'license': 'unspecified',
        'data': [str(data.name)],
        'recipe': state['recipe'],
        'scores': {val.name: round(scores[-1].jf, 3)},
    }
    export_model(
        student,
        out / 'model',
        name=last,
        preset=state['preset'],
        short_side=short_side,
        card=card,
    )
    return scores


def _measure(
    name: str, weights: Path, recipe: Recipe, val: Path, short_side: int, threads: int
) -> Score:
    is_infinite = recipe.memory == 'infinite'
    if is_infinite:
        report = evaluate_infinite(weights, val, short_side=short_side)
    else:
        report = evaluate_finite(weights, val, short_side=short_side, threads=threads)
    network, state = load_network(weights)
    assert report.overall is not None  # the baseline has shown that there is something to score
    memory = 'infinite' if is_infinite else 'first and most recent'
    parameters = count_parameters(network)
    return Score(name, memory, parameters, state['step'], state['seconds'], report.overall.jf)


def table(scores: list[Score]) -> str:
    """Write the scores as a Markdown table."""
    lines = [
        '| stage | memory | parameters | steps | minutes | J&F |',
        '|---|---|---|---|---|---|',
    ]
    for one in scores:
        size = f'{one.parameters / 1e6:.2f} M' if one.parameters else ''
        lines.append(
            f'| {one.name} | {one.memory} | {size} | {one.steps or ""} '
            f'| {one.seconds / 60:.1f} | {one.jf:.3f} |'
        )
    return '\n'.join(lines) + '\n'
