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

Every run is trained by `vos_distill.loop.train`, exported, and measured through the engine of the
robot. What is finished is not done again, so a study that was killed goes on; what was measured in
another way is measured again, and a run on other data or from another teacher is refused. The
table gives the mean over seeds and their spread; a difference smaller than the spread is called
noise.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
import hashlib
import json
import logging
import os
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch

from vos_distill.evaluation.evaluate import evaluate_finite, evaluate_infinite
from vos_distill.loop.train import train
from vos_distill.processes.isolation import isolated
from vos_distill.recipe import GIVEN, read_yaml, Recipe, TRUTH
from vos_ros.evaluation.evaluate import EvalReport

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
        raw = read_yaml(path)
        known = {'base', 'variants', 'infinite'}
        if set(raw) - known or not raw.get('variants'):
            raise ValueError(f'{path}: a study has base, variants and (if wished) infinite')
        base = _keys(f'{path}: base', raw.get('base'))
        variants = {
            name: _keys(f'{path}: variant {name}', changes)
            for name, changes in _keys(f'{path}: variants', raw['variants']).items()
        }
        infinite = raw.get('infinite') or []
        if not isinstance(infinite, list):
            raise ValueError(f'{path}: infinite must be a list of variants, not {infinite!r}')
        for changes in variants.values():
            if changes.get('teacher') == GIVEN:
                if not teacher:
                    raise ValueError(f'{path}: has variants with a teacher; give --teacher')
                changes['teacher'] = teacher
        unknown = [str(name) for name in infinite if name not in variants]
        if unknown:
            raise ValueError(f'{path}: infinite names {", ".join(unknown)}, no variant')
        study = cls(base, variants, tuple(infinite))
        for name in variants:  # wrong keys are found before the first hour is spent
            try:
                study.recipe(name, 0)
            except ValueError as error:
                raise ValueError(f'{path}: variant {error}') from error
        return study

    def recipe(self, variant: str, seed: int) -> Recipe:
        """Give the recipe of one run."""
        return Recipe.of({**self.base, **self.variants[variant], 'seed': seed}, variant)


def _keys(name: str, raw: object) -> dict[str, Any]:
    keys = raw or {}
    if not isinstance(keys, dict) or not all(isinstance(key, str) for key in keys):
        raise ValueError(f'{name} must be keys and values, not {raw!r:.60}')
    return dict(keys)


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
    :raises ValueError: a data set to measure on is missing, or a run in `out` was trained on other
        data or from another teacher, or by another recipe.
    :raises Interrupted: by SIGINT or SIGTERM; the same call goes on.
    """
    for root in roots.values():
        if not root.is_dir():
            raise ValueError(f'{root}: there is no such data set to measure on')
    results: dict[str, dict[int, dict[str, Any]]] = {}
    for seed in seeds:
        for variant in study.variants:
            run = out / f'{variant.replace(" ", "_")}-{seed}'
            for is_infinite in (False, True) if variant in study.infinite else (False,):
                name = f'{variant}, infinite memory' if is_infinite else variant
                recipe = study.recipe(variant, seed)
                scores_file = run / ('infinite.json' if is_infinite else 'finite.json')
                origin = _origin_of(recipe, data)
                by = {
                    'recipe': asdict(recipe), 'origin': origin, 'short_side': short_side,
                    'settings': settings,
                }  # fmt: skip
                scores = _Scores.read(scores_file, json.loads(json.dumps(by)))
                _check_origin(run, origin)
                missing = scores.missing(roots)
                if missing:
                    student = isolated(train, recipe, data, run)
                    new = isolated(
                        _measure, student, missing, is_infinite, short_side, threads, settings
                    )
                    scores.add(new, missing)
                    scores.write(scores_file)
                results.setdefault(name, {})[seed] = scores.of(roots)
                if on_run is not None:
                    on_run(name, seed, results[name][seed])
    return results


@dataclass
class _Scores:
    """
    What is known of one run, with everything that it depends on.

    :param by: how it was trained and measured, as JSON gives it back.
    :param roots: path of each data set, by its name.
    :param scores: J&F for each of them, and `steps` and `seconds`.
    """

    by: dict[str, Any]
    roots: dict[str, str]
    scores: dict[str, Any]

    @classmethod
    def read(cls, path: Path, by: dict[str, Any]) -> '_Scores':
        """Read what is there if it was got in the same way; else nothing is known."""
        if not path.is_file():
            return cls(by, {}, {})
        try:
            stored = cls(**json.loads(path.read_text()))
        except (ValueError, TypeError):
            log.warning('%s: damaged, or of an earlier version; measured again', path)
            return cls(by, {}, {})
        if stored.by != by:
            log.info('%s: of another recipe or setting; measured again', path)
            return cls(by, {}, {})
        return stored

    def missing(self, roots: Mapping[str, Path]) -> dict[str, Path]:
        """Give the data sets that are still to be measured on."""
        return {n: root for n, root in roots.items() if self.roots.get(n) != str(root.resolve())}

    def add(self, scores: Mapping[str, Any], roots: Mapping[str, Path]) -> None:
        """Take in what was measured on some data sets."""
        self.scores.update(scores)
        self.roots.update({name: str(root.resolve()) for name, root in roots.items()})

    def of(self, roots: Mapping[str, Path]) -> dict[str, Any]:
        """Give the scores on some data sets."""
        return {name: self.scores[name] for name in ('steps', 'seconds', *roots)}

    def write(self, path: Path) -> None:
        """Write all of it at once."""
        _write_json(path, asdict(self))


def _write_json(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix('.partial')  # what is killed in between leaves no half file
    partial.write_text(json.dumps(content, indent=1))
    os.replace(partial, path)


def _origin_of(recipe: Recipe, data: Path) -> dict[str, str]:
    """Name what a run is made from, beside its recipe."""
    teacher = recipe.teacher if recipe.teacher in ('', TRUTH) else _hash(Path(recipe.teacher))
    return {'data': str(data.resolve()), 'teacher': teacher}


def _check_origin(run: Path, origin: Mapping[str, str]) -> None:
    """Note what a run is made from, or refuse one that was made from something else."""
    path = run / 'made_from.json'
    if not (run / 'last.pt').exists():
        _write_json(path, origin)
        return
    try:
        stored = json.loads(path.read_text())
        differing = [name for name in origin if stored[name] != origin[name]]
    except (OSError, ValueError, KeyError, TypeError):
        differing = list(origin)
    if differing:
        raise ValueError(
            f'{run} was made from another {" and ".join(differing)} than is given now, or that is '
            f'not known ({path}); take another --out, or delete {run}'
        )


def _hash(weights: Path) -> str:
    """Give the SHA-256 of a file, or of the files of a model folder."""
    files = sorted(p for p in weights.iterdir() if p.is_file()) if weights.is_dir() else [weights]
    digest = hashlib.sha256()
    for file in files:
        try:
            digest.update(file.read_bytes())
        except OSError as error:
            raise ValueError(f'{file}: cannot be read ({error.strerror})') from error
    return digest.hexdigest()


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
