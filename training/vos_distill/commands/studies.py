# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""`vos-distill ablate, chain`: many runs, and what they show."""

from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from vos_distill.data.generate import generate
from vos_distill.loop.validation import parse_sets
from vos_distill.recipe import GIVEN
from vos_distill.studies.ablation import ablate, Study, table
from vos_distill.studies.chain import read_chain, run_chain
from vos_distill.studies.chain import table as table_of_stages
from vos_distill.studies.study_plot import study_svg


def run_ablation(
    study: Annotated[Path, typer.Argument(help='YAML file, see training/recipes/ablation.yaml')],
    data: Annotated[Path, typer.Option(help='folder with stills and videos')],
    out: Annotated[Path, typer.Option(help='runs, table.md, plot.svg go there; resumed')],
    val: Annotated[
        list[str], typer.Option(help='ROOT or NAME=ROOT to measure on; may be repeated')
    ],
    teacher: Annotated[str, typer.Option(help="student.pt of the study's TEACHER")] = '',
    seeds: Annotated[int, typer.Option(min=1, help='number of seeds')] = 2,
    short_side: Annotated[int, typer.Option(min=16, help='short side when measured, px')] = 256,
    threads: Annotated[int, typer.Option(min=0, help='CPU threads; 0 = as torch finds best')] = 0,
) -> None:
    """
    Train and measure variants of a recipe over seeds; a table says what is more than noise.

    Example: vos-distill ablate STUDY --data train --out runs/ablation --val davis=val/davis2016
    """
    if threads:
        torch.set_num_threads(threads)
    roots = parse_sets(val)

    def print_scores(variant: str, seed: int, scores: dict[str, Any]) -> None:
        jf = '  '.join(f'{root} {scores[root]:.3f}' for root in roots)
        typer.echo(f'{variant}, seed {seed}: {jf}')

    results = ablate(
        Study.read(study, teacher), data, out, roots,
        seeds=range(seeds), short_side=short_side, threads=threads, on_run=print_scores,
    )  # fmt: skip
    text = table(results, list(roots))
    (out / 'table.md').write_text(text)
    (out / 'plot.svg').write_text(study_svg(results, list(roots)))
    typer.echo(f'\n{text}')


def chain(
    recipes: Annotated[Path, typer.Argument(help='folder of recipes, run in order of name')],
    out: Annotated[Path, typer.Option(help='run directories and the model go there; resumed')],
    data: Annotated[Path | None, typer.Option(help='what to train on; default: generated')] = None,
    val: Annotated[Path | None, typer.Option(help='DAVIS layout, with --data')] = None,
    teacher: Annotated[str, typer.Option(help="student.pt of the recipes' TEACHER")] = '',
    short_side: Annotated[int, typer.Option(min=16, help='short side when measured, px')] = 160,
    threads: Annotated[
        int, typer.Option(min=0, help='CPU threads; 0 = as torch finds best, if nothing else runs')
    ] = 1,
) -> None:
    """
    Train, measure and export a chain of stages: teacher, student, distilled student.

    Without --data a small data set is drawn, so that this runs anywhere. The exported student
    starts as it is: vos demo --model OUT/model, or model:=OUT/model in the launch file.

    Example: vos-distill chain training/recipes/chain --out runs/chain
    """
    if (data is None) != (val is None):
        raise ValueError('give --data and --val together, or neither')
    stages = read_chain(recipes)
    for recipe in stages.values():
        if recipe.teacher == GIVEN:
            if not teacher:  # found before the first hour is spent
                raise ValueError(f'{recipes}: has a stage with a teacher; give --teacher')
            recipe.teacher = teacher
    if threads:
        torch.set_num_threads(threads)
    if data is None or val is None:
        generate(out / 'generated')
        data, val = out / 'generated' / 'train', out / 'generated' / 'val' / 'davis2016'
    scores = run_chain(
        stages, data, val, out, short_side=short_side, threads=threads,
        on_score=lambda one: typer.echo(f'{one.name}: J&F {one.jf:.3f}'),
    )  # fmt: skip
    text = table_of_stages(scores)
    (out / 'table.md').write_text(text)
    typer.echo(f'\n{text}\nmodel: {out / "model"}')
