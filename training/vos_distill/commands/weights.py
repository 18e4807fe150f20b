# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""`vos-distill presets, average, narrow, widen, import-stcn`: networks and their weights."""

from pathlib import Path
from typing import Annotated

import typer

from vos_distill.networks.averaging import average
from vos_distill.networks.narrow import narrow_checkpoint
from vos_distill.networks.presets import build_student, count_parameters, PRESETS, TEACHERS
from vos_distill.networks.teacher import import_stcn
from vos_distill.networks.widen import widen_checkpoint


def presets() -> None:
    """
    List the students, then the teachers, and their parameter counts.

    Example: vos-distill presets
    """
    for name in PRESETS:
        typer.echo(f'{name:24s}{count_parameters(build_student(name)) / 1e6:8.3f} M')
    for name, (_, parameters) in TEACHERS.items():  # the counts are held by a test
        typer.echo(f'{name:24s}{parameters / 1e6:8.3f} M  teacher: cannot be exported')


def import_weights(
    checkpoint: Annotated[Path, typer.Argument(help='network saved by STCN, such as stcn.pth')],
    out: Annotated[Path, typer.Option(help='file to write, for teacher: in a recipe')],
) -> None:
    """
    Make a public STCN checkpoint a teacher: the network of `teacher: FILE` and `--teacher FILE`.

    Example: vos-distill import-stcn stcn.pth --out runs/paper/teacher.pt
    """
    parameters = import_stcn(checkpoint, out)
    typer.echo(f'{out}: stcn, {parameters / 1e6:.3f} M parameters; measure it: vos-distill eval')


def average_weights(
    checkpoints: Annotated[
        list[Path], typer.Argument(help='student.pt of a run, or a model folder; two or more')
    ],
    out: Annotated[Path, typer.Option(help='student.pt to write')],
) -> None:
    """
    Average networks that were fine-tuned from one ancestor; often better than each of them.

    Example: vos-distill average runs/a/student.pt runs/b/student.pt --out runs/ab/student.pt
    """
    average(checkpoints, out)
    typer.echo(f'{out}: mean of {len(checkpoints)} networks')


def narrow_weights(
    source: Annotated[Path, typer.Argument(help='student.pt of a run, or a model folder')],
    preset: Annotated[str, typer.Option(help='the narrower network, such as fast_mb_slim')],
    out: Annotated[Path, typer.Option(help='student.pt to write, for train --init')],
) -> None:
    """
    Start a narrower network from what it can hold of a trained one, by pruning its channels.

    Example: vos-distill narrow models/fast_mb --preset fast_mb_slim --out runs/slim_0.pt
    """
    before, after = narrow_checkpoint(source, preset, out)
    typer.echo(f'{out}: {before / 1e6:.3f} M parameters became {after / 1e6:.3f} M; train it')


def widen_weights(
    source: Annotated[Path, typer.Argument(help='student.pt of a run, or a model folder')],
    preset: Annotated[str, typer.Option(help='the larger network, such as fast_mb_fine')],
    out: Annotated[Path, typer.Option(help='student.pt to write, for train --init')],
) -> None:
    """
    Start a larger network from a trained one: it gives the same masks until it is trained.

    Example: vos-distill widen models/fast_mb_slim --preset fast_mb_fine --out runs/fine_0.pt
    """
    before, after = widen_checkpoint(source, preset, out)
    typer.echo(f'{out}: {before / 1e6:.3f} M parameters became {after / 1e6:.3f} M; train it')
