# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""`vos-distill data`: prepare training data."""

from pathlib import Path
from typing import Annotated

import typer

from vos_distill.data import check_data
from vos_distill.data.generate import generate
from vos_distill.data.pack import pack
from vos_distill.evaluation.pseudo import SURE, write_pseudo_labels

app = typer.Typer(help='Prepare training data.', no_args_is_help=True)


@app.command(name='pack')
def pack_data(
    root: Annotated[Path, typer.Argument(help='folder with stills and videos')],
    out: Annotated[Path, typer.Option(help='tar file to write')],
    short_side: Annotated[int, typer.Option(min=16, help='reduce larger images to it, px')] = 288,
    quality: Annotated[int, typer.Option(min=1, max=100, help='JPEG quality')] = 90,
) -> None:
    """
    Reduce a data set to one small tar file; `train --data FILE.tar` takes it as it is.

    Example: vos-distill data pack train --out train.tar --short-side 288
    """
    counts = pack(root, out, short_side=short_side, quality=quality)
    typer.echo(
        f'{out}: {counts["images"]} images, {counts["labels"]} label maps, '
        f'{counts["bytes"] / 2**20:.1f} MiB'
    )


@app.command(name='check')
def check(
    root: Annotated[Path, typer.Argument(help='folder with stills and videos')],
    stills: Annotated[str, typer.Option(help='folder of photographs below it')] = 'static',
    videos: Annotated[list[str] | None, typer.Option(help='data sets; default: all')] = None,
) -> None:
    """
    Read a whole data set and list what training would leave out; exit code 2 if there is any.

    Example: vos-distill data check train --videos davis2016
    """
    problems = check_data(root, stills, videos or ())
    for problem in problems:
        typer.echo(problem)
    typer.echo(f'{root}: {len(problems)} problem(s)')
    if problems:
        raise typer.Exit(2)


@app.command(name='make')
def make_data(
    out: Annotated[Path, typer.Argument(help='folder to write to; made if missing')],
    seed: Annotated[int, typer.Option(min=0, help='another one draws other objects')] = 0,
) -> None:
    """
    Draw a small data set, to try everything on a machine without data.

    Example: vos-distill data make generated
    """
    generate(out, seed)
    typer.echo(f'{out}: train on {out / "train"}, measure on {out / "val" / "davis2016"}')


@app.command(name='label')
def label(
    teacher: Annotated[Path, typer.Argument(help='student.pt of a run, or a model folder')],
    root: Annotated[Path, typer.Argument(help='clips with the mask of their first frame')],
    out: Annotated[Path, typer.Option(help='folder to write to; clips that are there stay')],
    short_side: Annotated[int, typer.Option(min=16, help='of the input, px')] = 480,
    sure: Annotated[
        float, typer.Option(min=0.0, max=1.0, help='void below this probability')
    ] = SURE,
) -> None:
    """
    Let a teacher label clips from their first mask, to train students on.

    Example: vos-distill data label runs/teacher/student.pt clips --out labelled
    """
    frames = write_pseudo_labels(teacher, root, out, short_side=short_side, sure=sure)
    typer.echo(f'{out}: {frames} frames labelled; name {out.name} in videos: of a recipe')
