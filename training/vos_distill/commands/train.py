# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""`vos-distill train`: a student by a recipe."""

import os
from pathlib import Path
import tempfile
from typing import Annotated

import torch
import typer

from vos_distill.data.pack import unpack
from vos_distill.loop.train import train as run_training
from vos_distill.loop.validation import parse_sets, Validation
from vos_distill.processes.distributed import is_first_process
from vos_distill.recipe import Recipe


def train(
    recipe: Annotated[Path, typer.Argument(help='YAML file, see training/recipes')],
    data: Annotated[Path, typer.Option(help='folder with stills and videos, or its tar')],
    # torchrun takes --run for a short form of its own --run-path, wherever it stands
    run: Annotated[
        Path,
        typer.Option('--run', '--run-dir', help='run directory; an existing one is resumed'),
    ],
    init: Annotated[str, typer.Option(help='student.pt of a run, or a model folder')] = '',
    imagenet: Annotated[str, typer.Option(help='backbone weights, beats the recipe')] = '',
    teacher: Annotated[str, typer.Option(help='student.pt of a teacher, beats the recipe')] = '',
    minutes: Annotated[float, typer.Option(min=0.0, help='stop after this time; 0 = never')] = 0.0,
    threads: Annotated[int, typer.Option(min=0, help='CPU threads; 0 = as torch finds best')] = 0,
    device: Annotated[
        str, typer.Option(help='auto (a GPU where there is one), cpu, cuda, or cuda:N')
    ] = 'auto',
    precision: Annotated[
        str,
        typer.Option(help='auto (by the recipe and the device), bf16, fp16, tf32 or fp32'),
    ] = 'auto',
    val: Annotated[
        list[str] | None,
        typer.Option(help='ROOT or NAME=ROOT to measure on meanwhile; may be repeated'),
    ] = None,
    val_every: Annotated[int, typer.Option(min=1, help='steps from one measuring on')] = 1000,
    val_side: Annotated[int, typer.Option(min=16, help='short side when measured, px')] = 480,
    val_nth: Annotated[int, typer.Option(min=1, help='measure every n-th sequence')] = 1,
    val_keep: Annotated[int, typer.Option(min=1, help='numbered checkpoints to keep')] = 3,
) -> None:
    """
    Train a student by a recipe, or go on where the run directory stopped.

    Several processes, which share a batch, with --run-dir instead of --run:
    torchrun --nproc-per-node 2 -m vos_distill.cli train RECIPE --data DATA --run-dir RUN

    Example: vos-distill train training/recipes/fast_mb_1_static.yaml --data train --run runs/mb
    """
    if threads:
        torch.set_num_threads(threads)
    settings = Recipe.read(recipe)
    validation = Validation(parse_sets(val or []), val_every, val_side, val_nth, val_keep)
    if init:
        settings.init = init
    if teacher:
        settings.teacher = teacher
    if imagenet:
        settings.imagenet = str(Path(imagenet).resolve())
    with tempfile.TemporaryDirectory() as folder:
        if data.is_file():
            if settings.imagenet:  # a tar holds no weights: beside it, as beside a folder
                settings.imagenet = os.path.abspath(data / settings.imagenet)
            data = unpack(data, Path(folder))
        path = run_training(
            settings, data, run, minutes=minutes or None, validation=validation, device=device,
            precision=precision,
        )  # fmt: skip
    if is_first_process():
        typer.echo(f'weights: {path}')
