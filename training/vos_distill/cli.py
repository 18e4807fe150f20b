# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The command `vos-distill`: train a student, measure it, export it."""

import logging
from pathlib import Path
import sys
import tempfile
from typing import Annotated, Any

import torch
import typer
import yaml

from vos_distill.checkpoint import load_checkpoint
from vos_distill.export import export_model
from vos_distill.pack import pack, unpack
from vos_distill.student import build_student, count_parameters, PRESETS, Student
from vos_distill.train import Recipe
from vos_distill.train import train as run_training

app = typer.Typer(
    help='Train, measure and export finite-memory students for vos_ros.',
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
Checkpoint = Annotated[Path, typer.Argument(help='student.pt of a run directory')]


def load_student(path: Path) -> tuple[Student, dict[str, Any]]:
    """
    Build the student that a checkpoint holds, in eval mode.

    :param path: `student.pt` of a run directory.
    :return: the student, and the checkpoint's other entries (preset, step, seconds, recipe).
    :raises ValueError: not a readable checkpoint, or of another architecture.
    """
    state = load_checkpoint(path)
    student = build_student(state['preset'])
    try:
        student.load_state_dict(state.pop('student'))
    except RuntimeError as error:
        raise ValueError(f'{path}: does not fit preset {state["preset"]}: {error}') from error
    return student.eval(), state


@app.command()
def presets() -> None:
    """
    List the students and their parameter counts.

    Example: vos-distill presets
    """
    for name in PRESETS:
        typer.echo(f'{name:24s}{count_parameters(build_student(name)) / 1e6:8.3f} M')


data_app = typer.Typer(help='Prepare training data.', no_args_is_help=True)
app.add_typer(data_app, name='data')


@data_app.command(name='pack')
def pack_data(
    root: Annotated[Path, typer.Argument(help='folder with stills and videos')],
    out: Annotated[Path, typer.Option(help='tar file to write')],
    short_side: Annotated[int, typer.Option(help='reduce larger images to it, px')] = 288,
    quality: Annotated[int, typer.Option(help='JPEG quality')] = 90,
) -> None:
    """
    Reduce a data set to one small tar file; `train --data FILE.tar` takes it as it is.

    Example: vos-distill data pack train --out train.tar --short-side 288
    """
    told = pack(root, out, short_side=short_side, quality=quality)
    typer.echo(
        f'{out}: {told["images"]} images, {told["labels"]} label maps, '
        f'{told["bytes"] / 2**20:.1f} MiB'
    )


@app.command()
def train(
    recipe: Annotated[Path, typer.Argument(help='YAML file, see training/recipes')],
    data: Annotated[Path, typer.Option(help='folder with stills and videos, or its tar')],
    run: Annotated[Path, typer.Option(help='run directory; an existing one is resumed')],
    init: Annotated[str, typer.Option(help='student.pt of a run, or a model folder')] = '',
    imagenet: Annotated[str, typer.Option(help='backbone weights, beats the recipe')] = '',
    minutes: Annotated[float, typer.Option(help='stop after this time; 0 = never')] = 0.0,
    threads: Annotated[int, typer.Option(help='CPU threads; 0 = as torch finds best')] = 0,
) -> None:
    """
    Train a student by a recipe, or go on where the run directory stopped.

    Example: vos-distill train training/recipes/fast_mb_1_static.yaml --data train --run runs/mb
    """
    if threads:
        torch.set_num_threads(threads)
    settings = Recipe.read(recipe)
    if init:
        settings.init = init
    if imagenet:
        settings.imagenet = str(Path(imagenet).resolve())
    with tempfile.TemporaryDirectory() as folder:
        if data.is_file():
            data = unpack(data, Path(folder))
        path = run_training(settings, data, run, minutes=minutes or None)
    typer.echo(f'weights: {path}')


@app.command()
def export(
    checkpoint: Checkpoint,
    out: Annotated[Path, typer.Option(help='model directory, such as models/fast_mb')],
    short_side: Annotated[int, typer.Option(help='short side of the input, px')] = 480,
    card: Annotated[Path | None, typer.Option(help='YAML: data, recipe, scores, license')] = None,
    fp32: Annotated[bool, typer.Option(help='store weights as float32, not float16')] = False,
) -> None:
    """
    Export to ONNX, compare with torch over a closed loop, write the manifest.

    Example: vos-distill export runs/mb/student.pt --out models/fast_mb --card card.yaml
    """
    student, state = load_student(checkpoint)
    told: dict[str, Any] = yaml.safe_load(card.read_text()) if card else {}
    told.setdefault('license', 'unspecified')
    told.setdefault('data', [])
    told.setdefault('scores', {})
    told.setdefault('recipe', state.get('recipe', ''))
    told['training'] = {
        **told.get('training', {}),
        'steps': state.get('step'),
        'hours': round(float(state.get('seconds', 0)) / 3600, 2),
    }
    parity = export_model(
        student,
        out,
        name=out.name,
        preset=state['preset'],
        short_side=short_side,
        card=told,
        fp16_weights=not fp32,
    )
    typer.echo(
        f'{out}: {parity.frames} frames in a closed loop, largest probability difference '
        f'{parity.max_prob_difference:.1e}, labels that differ {parity.label_differences}'
    )


@app.command(name='eval')
def evaluate(
    checkpoint: Checkpoint,
    root: Annotated[Path, typer.Argument(help='data set in DAVIS layout')],
    short_side: Annotated[int, typer.Option(help='short side of the input, px')] = 480,
    threads: Annotated[int, typer.Option(help='CPU threads; 0 = the processors here')] = 0,
) -> None:
    """
    Measure a checkpoint through the very engine that the robot runs.

    Example: vos-distill eval runs/mb/student.pt DAVIS --short-side 480
    """
    from vos_ros.config import RuntimeConfig
    from vos_ros.evaluate import evaluate_root
    from vos_ros.segmenter import VideoSegmenter

    student, state = load_student(checkpoint)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / 'student'
        export_model(
            student, out, name=checkpoint.stem, preset=state['preset'], short_side=short_side,
            card={'license': 'unspecified', 'data': [], 'scores': {}, 'recipe': ''},
        )  # fmt: skip
        runtime = RuntimeConfig(model=str(out), threads=threads)
        report = evaluate_root(root, lambda: VideoSegmenter.open(str(out), runtime=runtime))
    for name, sequence in report.sequences.items():
        part = sequence.summary
        if part is not None:
            typer.echo(f'{name:24s} J {part.j:.3f}  F {part.f:.3f}  J&F {part.jf:.3f}')
    if report.overall is not None:
        typer.echo(
            f'{"all":24s} J {report.overall.j:.3f}  F {report.overall.f:.3f}  '
            f'J&F {report.overall.jf:.3f}  p50 {report.speed.latency.p50:.1f} ms'
        )


def main() -> None:
    """Run the command; errors that a user can mend are one line and exit code 2."""
    logging.basicConfig(level=logging.INFO, format='%(message)s')
    try:
        app()
    except (ValueError, OSError) as error:
        typer.echo(f'vos-distill: {error}', err=True)
        sys.exit(2)


if __name__ == '__main__':
    main()
