# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Ablation: the same recipe with one thing changed at a time, over several seeds.

A study is a YAML file:

    base: {preset: fast_mb, steps: 400, ...}       # a recipe
    variants:
      ce: {}                                       # what each one changes
      logit: {teacher: TEACHER, representation_weight: 0}
    infinite: [ce]                                 # measured with infinite memory too

Every run is trained by `vos_distill.train`, exported, and measured through the engine of the
robot. What is finished is not done again, so a study that was killed goes on. The table gives the
mean over seeds and their spread; a difference smaller than the spread is called noise.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
import json
import logging
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
import yaml

from vos_distill.evaluate import evaluate_finite, evaluate_infinite
from vos_distill.isolation import isolated
from vos_distill.recipe import Recipe
from vos_distill.train import train
from vos_ros.evaluate import EvalReport

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Study:
    """
    What is compared.

    :param base: keys of a recipe.
    :param variants: per name, the keys that it changes; the first one is the reference.
    :param infinite: names of variants that are measured with infinite memory as well.
    """

    base: dict[str, Any]
    variants: dict[str, dict[str, Any]]
    infinite: tuple[str, ...]

    @classmethod
    def read(cls, path: Path, teacher: str = '') -> 'Study':
        """
        Read a study.

        :param teacher: what the word TEACHER stands for in it.
        :raises ValueError: a part is missing or not known; names the path.
        """
        raw = yaml.safe_load(path.read_text()) or {}
        known = {'base', 'variants', 'infinite'}
        if not isinstance(raw, dict) or set(raw) - known or not raw.get('variants'):
            raise ValueError(f'{path}: a study has base, variants and (if wished) infinite')
        variants = {name: dict(changes or {}) for name, changes in raw['variants'].items()}
        for changes in variants.values():
            if changes.get('teacher') == 'TEACHER':
                if not teacher:
                    raise ValueError(f'{path}: has variants with a teacher; give --teacher')
                changes['teacher'] = teacher
        strange = set(raw.get('infinite') or ()) - set(variants)
        if strange:
            raise ValueError(f'{path}: infinite names {", ".join(sorted(strange))}, no variant')
        study = cls(dict(raw.get('base') or {}), variants, tuple(raw.get('infinite') or ()))
        for name in variants:  # wrong keys are found before the first hour is spent
            study.recipe(name, 0)
        return study

    def recipe(self, variant: str, seed: int) -> Recipe:
        """Give the recipe of one run."""
        return Recipe.of({**self.base, **self.variants[variant], 'seed': seed}, variant)


def ablate(
    study: Study,
    data: Path,
    out: Path,
    roots: Mapping[str, Path],
    *,
    seeds: Sequence[int] = (0, 1),
    short_side: int = 256,
    threads: int = 0,
    settings: dict[str, object] | None = None,
    on_run: Callable[[str, int, dict[str, Any]], None] | None = None,
) -> dict[str, dict[int, dict[str, Any]]]:
    """
    Train and measure what is still missing, seed by seed, so that early results compare all.

    :param roots: data sets to measure on, by the name that the table shows.
    :param settings: of the engine.
    :return: per variant and seed: `<root>` J&F, `steps`, `seconds`; infinite memory is a variant
        of its own, named `<variant>, infinite memory`.
    """
    results: dict[str, dict[int, dict[str, Any]]] = {}
    for seed in seeds:
        for variant in study.variants:
            run = out / f'{variant.replace(" ", "_")}-{seed}'
            for is_infinite in (False, True) if variant in study.infinite else (False,):
                name = f'{variant}, infinite memory' if is_infinite else variant
                told = run / ('infinite.json' if is_infinite else 'finite.json')
                if not told.is_file():
                    student = isolated(train, study.recipe(variant, seed), data, run)
                    scores = isolated(
                        _measure, student, roots, is_infinite, short_side, threads, settings
                    )
                    told.write_text(json.dumps(scores, indent=1))
                results.setdefault(name, {})[seed] = json.loads(told.read_text())
                if on_run is not None:
                    on_run(name, seed, results[name][seed])
    return results


def _measure(
    student: Path,
    roots: Mapping[str, Path],
    is_infinite: bool,
    short_side: int,
    threads: int,
    settings: dict[str, object] | None,
) -> dict[str, Any]:
    state = torch.load(student, map_location='cpu', weights_only=True)
    scores: dict[str, Any] = {'steps': state['step'], 'seconds': round(state['seconds'])}
    for name, root in roots.items():
        report: EvalReport
        if is_infinite:
            report = evaluate_infinite(student, root, short_side=short_side)
        else:
            report = evaluate_finite(
                student, root, short_side=short_side, threads=threads, settings=settings
            )
        if report.overall is None:
            raise ValueError(f'{root}: nothing to score')
        scores[name] = report.overall.jf
    return scores


def table(results: Mapping[str, Mapping[int, Mapping[str, Any]]], roots: Sequence[str]) -> str:
    """
    Write the results as a Markdown table.

    For each data set: mean J&F over the seeds, half the range between the lowest and the highest
    seed (none for one seed), and the difference to the first variant, marked `noise` where it is
    smaller than twice its standard error. The variance between seeds is pooled over all variants.
    """
    reference = next(iter(results))
    head = ['variant', 'seeds', *(f'{root} | difference' for root in roots)]
    lines = [f'| {" | ".join(head)} |', '|---' * (2 + 2 * len(roots)) + '|']
    variance = {root: _variance(results, root) for root in roots}
    for name, runs in results.items():
        cells = [name, str(len(runs))]
        for root in roots:
            values = [run[root] for run in runs.values()]
            base = [run[root] for run in results[reference].values()]
            spread = f' ± {(max(values) - min(values)) / 2:.3f}' if len(values) > 1 else ''
            cells.append(f'{mean(values):.3f}{spread}')
            difference = mean(values) - mean(base)
            doubt = 2 * (variance[root] * (1 / len(values) + 1 / len(base))) ** 0.5
            is_noise = abs(difference) < doubt
            note = '' if name == reference else f'{difference:+.3f}{" noise" if is_noise else ""}'
            cells.append(note)
        lines.append(f'| {" | ".join(cells)} |')
    known = ', '.join(f'{root} {value**0.5:.3f}' for root, value in variance.items() if value > 0)
    lines.append('')
    lines.append(f'Standard deviation between seeds: {known or "one seed, unknown"}.')
    return '\n'.join(lines) + '\n'


def _variance(results: Mapping[str, Mapping[int, Mapping[str, Any]]], root: str) -> float:
    """Variance between seeds, pooled over the variants with several; 0 = unknown."""
    repeated = [[run[root] for run in runs.values()] for runs in results.values()]
    repeated = [values for values in repeated if len(values) > 1]
    freedom = sum(len(values) - 1 for values in repeated)
    total = sum(stdev(values) ** 2 * (len(values) - 1) for values in repeated)
    return total / freedom if freedom else 0.0
