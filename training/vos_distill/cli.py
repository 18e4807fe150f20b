# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The command `vos-distill`: train a student, measure it, export it."""

import json
import logging
import os
from pathlib import Path
import sys
import tempfile
from typing import Annotated, Any

import torch
import typer

from vos_distill.data import check_data
from vos_distill.data.generate import generate
from vos_distill.data.pack import pack, unpack
from vos_distill.evaluation.evaluate import (
    evaluate_finite,
    evaluate_infinite,
    evaluate_true_recent,
)
from vos_distill.evaluation.pseudo import SURE, write_pseudo_labels
from vos_distill.evaluation.submission import MAX_OBJECTS, write_submission
from vos_distill.export.one_graph import export_one_graph
from vos_distill.export.onnx_export import export_model, FixedShape
from vos_distill.export.prompt_export import export_prompt_network, load_prompt_network
from vos_distill.export.quantize import METHODS, quantize_model
from vos_distill.labelling.command import join as join_segmenter
from vos_distill.labelling.command import label as label_raw_videos
from vos_distill.loop.prompts import PromptRecipe, train_prompts
from vos_distill.loop.train import DivergedError
from vos_distill.loop.train import train as run_training
from vos_distill.loop.validation import parse_sets, Validation
from vos_distill.networks.averaging import average
from vos_distill.networks.narrow import narrow_checkpoint
from vos_distill.networks.presets import build_student, count_parameters, PRESETS
from vos_distill.networks.weights import load_network
from vos_distill.processes.distributed import Interrupted, others_named
from vos_distill.recipe import read_yaml, Recipe
from vos_distill.studies.ablation import ablate, Study, table
from vos_distill.studies.chain import read_chain, run_chain
from vos_distill.studies.chain import table as table_of_stages
from vos_distill.studies.study_plot import study_svg
from vos_ros.backends.base import GRAPHS
from vos_ros.config import RuntimeConfig, SegmenterConfig
from vos_ros.engine.segmenter import VideoSegmenter
from vos_ros.errors import VosError
from vos_ros.evaluation.evaluate import EvalReport
from vos_ros.evaluation.metrics import Summary

app = typer.Typer(
    help='Train, measure and export finite-memory students for vos_ros.',
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
Checkpoint = Annotated[Path, typer.Argument(help='student.pt of a run, or a model folder')]


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
    short_side: Annotated[int, typer.Option(min=16, help='reduce larger images to it, px')] = 288,
    quality: Annotated[int, typer.Option(min=1, max=100, help='JPEG quality')] = 90,
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


@data_app.command(name='check')
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


@data_app.command(name='make')
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


@data_app.command(name='label')
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


app.command(name='label')(label_raw_videos)
app.command(name='segmenter')(join_segmenter)


@app.command(name='average')
def average_weights(
    checkpoints: Annotated[list[Path], typer.Argument(help='student.pt of two runs or more')],
    out: Annotated[Path, typer.Option(help='student.pt to write')],
) -> None:
    """
    Average networks that were fine-tuned from one ancestor; often better than each of them.

    Example: vos-distill average runs/a/student.pt runs/b/student.pt --out runs/ab/student.pt
    """
    average(checkpoints, out)
    typer.echo(f'{out}: mean of {len(checkpoints)} networks')


@app.command(name='narrow')
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


@app.command()
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


prompts_app = typer.Typer(
    help='The network that makes masks of boxes, clicks, strokes.', no_args_is_help=True
)
app.add_typer(prompts_app, name='prompts')


@prompts_app.command(name='train')
def train_prompt_network(
    data: Annotated[Path, typer.Option(help='folder with stills and videos')],
    run: Annotated[Path, typer.Option(help='run directory; an existing one is resumed')],
    init: Annotated[
        str, typer.Option(help='student.pt or model folder whose backbone is taken')
    ] = '',
    imagenet: Annotated[str, typer.Option(help='backbone weights instead')] = '',
    stills: Annotated[str, typer.Option(help='folder of photographs below DATA')] = 'static',
    videos: Annotated[list[str] | None, typer.Option(help='data sets below DATA')] = None,
    steps: Annotated[
        int, typer.Option(min=1, help='of the optimiser; may change when a run is resumed')
    ] = PromptRecipe().steps,
    windows: Annotated[int, typer.Option(min=1, help='per step')] = PromptRecipe().windows,
    frozen_stages: Annotated[
        int, typer.Option(min=0, max=4, help='of the backbone')
    ] = PromptRecipe().frozen_stages,
    rate: Annotated[float, typer.Option(min=0.0, help='learning rate')] = PromptRecipe().rate,
    seed: Annotated[int, typer.Option(min=0, help='another one draws other windows')] = 0,
    minutes: Annotated[float, typer.Option(min=0.0, help='stop after this time; 0 = never')] = 0.0,
    threads: Annotated[int, typer.Option(min=0, help='CPU threads; 0 = as torch finds best')] = 0,
) -> None:
    """
    Train the prompt network, or go on where the run directory stopped.

    Example: vos-distill prompts train --data train --init models/fast_mb_slim --run runs/prompt
    """
    if threads:
        torch.set_num_threads(threads)
    recipe = PromptRecipe(
        steps=steps, windows=windows, frozen_stages=frozen_stages, rate=rate, seed=seed
    )
    path = train_prompts(
        data, run, recipe, init=init, imagenet=imagenet, stills=stills, videos=videos or (),
        minutes=minutes,
    )  # fmt: skip
    typer.echo(f'weights: {path}')


@prompts_app.command(name='export')
def export_prompts(
    checkpoint: Annotated[Path, typer.Argument(help='prompt.pt of a run directory')],
    out: Annotated[Path, typer.Option(help='model directory, such as models/prompt_mb')],
    card: Annotated[Path | None, typer.Option(help='YAML: data, scores, license')] = None,
    fp32: Annotated[bool, typer.Option(help='store weights as float32, not float16')] = False,
) -> None:
    """
    Export the prompt network to ONNX, compare with torch, write its card.

    Example: vos-distill prompts export runs/prompt/prompt.pt --out models/prompt_mb
    """
    network, state = load_prompt_network(checkpoint)
    told = _read_card(card) if card else {}
    told.setdefault('license', 'unspecified')
    told['training'] = {
        **told.get('training', {}),
        'recipe': state.get('recipe', {}),
        'steps': state.get('step'),
        'hours': round(float(state.get('seconds', 0)) / 3600, 2),
    }
    difference = export_prompt_network(network, out, card=told, fp16_weights=not fp32)
    typer.echo(f'{out}: largest probability difference {difference:.1e}')


@app.command()
def export(
    checkpoint: Checkpoint,
    out: Annotated[Path, typer.Option(help='model directory, such as models/fast_mb')],
    short_side: Annotated[int, typer.Option(min=16, help='short side of the input, px')] = 480,
    card: Annotated[Path | None, typer.Option(help='YAML: data, recipe, scores, license')] = None,
    fp32: Annotated[bool, typer.Option(help='store weights as float32, not float16')] = False,
    fixed: Annotated[
        str, typer.Option(metavar='WxH', help='all shapes static, for this network input, px')
    ] = '',
    objects: Annotated[
        int | None, typer.Option(min=1, help='with --fixed: objects in every call; default 1')
    ] = None,
) -> None:
    """
    Export to ONNX, compare with torch over a closed loop, write the manifest.

    Example: vos-distill export runs/mb/student.pt --out models/fast_mb --card card.yaml
    """
    shape = _fixed_shape(fixed, objects)
    student, state = load_network(checkpoint)
    told = _read_card(card) if card else {}
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
        fixed=shape,
    )
    typer.echo(
        f'{out}: {parity.frames} frames in a closed loop, largest probability difference '
        f'{parity.max_prob_difference:.1e}, labels that differ {parity.label_differences}'
    )


def _read_card(path: Path) -> dict[str, Any]:
    """Read what a manifest tells of a model; refuse what JSON or its readers cannot take."""
    card = read_yaml(path)
    kinds = {'data': list, 'scores': dict, 'training': dict, 'license': str}
    for name, value in card.items():
        kind = kinds.get(name, object)
        if not isinstance(value, kind):
            raise ValueError(f'{path}: {name} must be a {kind.__name__}, not {value!r}')
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f'{path}: {name} cannot be written as JSON ({error}); put dates in quotes'
            ) from error
    return card


def _fixed_shape(size: str, objects: int | None) -> FixedShape | None:
    """Read WxH; '' = shapes stay free."""
    if not size:
        if objects is not None:
            raise ValueError('--objects is for --fixed WxH; else their number stays free')
        return None
    width, height = _size(size, '--fixed')
    return FixedShape(height, width, objects or 1)


def _size(text: str, option: str) -> tuple[int, int]:
    """Read WxH, px."""
    width, _, height = text.lower().partition('x')
    if not (width.isdecimal() and height.isdecimal()):
        raise ValueError(f"{option} must be WIDTHxHEIGHT such as 640x480, not '{text}'")
    return int(width), int(height)


@app.command(name='one-graph')
def one_graph(
    model: Annotated[str, typer.Argument(help='name or folder of a float model')],
    out: Annotated[Path, typer.Option(help='model directory to write')],
    camera: Annotated[str, typer.Option(metavar='WxH', help="of the camera's images, px")],
    objects: Annotated[int, typer.Option(min=1, help='slots; empty ones cost as much')] = 5,
    input_size: Annotated[
        int, typer.Option(min=0, help='short side of the input, px; 0 = the model says')
    ] = 0,
    groups: Annotated[
        int, typer.Option(min=1, help='pairs of frames that objects may read at once')
    ] = 2,
    bgr: Annotated[bool, typer.Option('--bgr', help='the camera sends bgr8, not rgb8')] = False,
) -> None:
    """
    Add one graph of a whole frame, for GPUs: image in, labels out, the memory stays on the device.

    Example: vos-distill one-graph fast_mb_slim --camera 640x480 --out models/slim_640
    """
    width, height = _size(camera, '--camera')
    layout = export_one_graph(
        model,
        out,
        camera=(height, width),
        objects=objects,
        input_size=input_size,
        groups=groups,
        encoding='bgr8' if bgr else 'rgb8',
    )
    typer.echo(
        f'{out}: images of {layout.width}x{layout.height}, network input '
        f'{layout.input_width}x{layout.input_height}, {objects} objects; labels as by three graphs'
    )


@app.command()
def quantize(
    model: Annotated[str, typer.Argument(help='name or folder of a float model')],
    calibration: Annotated[Path, typer.Argument(help='clips in DAVIS layout to calibrate on')],
    out: Annotated[Path, typer.Option(help='model directory to write')],
    graphs: Annotated[str, typer.Option(help='those to quantise, by commas')] = ','.join(GRAPHS),
    method: Annotated[str, typer.Option(help=', '.join(METHODS))] = 'minmax',
    frames: Annotated[
        int, typer.Option(min=1, help='of each clip; every 4th is calibrated on')
    ] = 32,
) -> None:
    """
    Make an int8 model: calibrated in the engine of the robot, biases corrected.

    Example: vos-distill quantize fast_mb train/davis2016 --out models/fast_mb_int8
    """
    errors = quantize_model(
        model, calibration, out, graphs=graphs.split(','), method=method, frames=frames
    )
    for name, error in errors.items():
        typer.echo(f'{name:28s} mean error {100 * error:5.1f} % of the mean value')
    typer.echo(f'{out}: measure it, for instance: vos eval DAVIS --model {out}')


@app.command()
def submit(
    model: Annotated[Path, typer.Argument(help='model folder, or student.pt of a run directory')],
    root: Annotated[Path, typer.Argument(help='YouTube-VOS valid, or DAVIS test-dev')],
    out: Annotated[Path, typer.Option(help='folder to write Annotations/ to')],
    short_side: Annotated[
        int, typer.Option(min=0, help='of the input, px; 0 = the model says')
    ] = 0,
    split: Annotated[str, typer.Option(help='list in ImageSets; all = every video')] = 'all',
    archive: Annotated[bool, typer.Option('--zip', help='write submission.zip too')] = False,
    threads: Annotated[int, typer.Option(min=0, help='CPU threads; 0 = the processors here')] = 0,
) -> None:
    """
    Write the masks that the server of YouTube-VOS wants, through the engine of the robot.

    Example: vos-distill submit models/fast_mb YTVOS/valid --out submission --zip
    """
    with tempfile.TemporaryDirectory() as scratch:
        if model.is_file():
            student, state = load_network(model)
            model = Path(scratch) / 'student'
            export_model(
                student, model, name=model.stem, preset=state['preset'],
                short_side=short_side or 480, card={'license': 'unspecified'},
            )  # fmt: skip
        segmenter = VideoSegmenter.open(
            model,
            config=SegmenterConfig(input_size=short_side, max_objects=MAX_OBJECTS),
            runtime=RuntimeConfig(threads=threads),
        )
        videos, files, warnings = write_submission(
            segmenter, root, out, split=split, archive=archive
        )
    for warning in warnings:
        typer.echo(f'warning: {warning}', err=True)
    typer.echo(f'{out}: {videos} videos, {files} masks')


@app.command(name='eval')
def evaluate(
    checkpoint: Checkpoint,
    root: Annotated[
        Path, typer.Argument(help='data set in DAVIS layout, or own clips (CLIP/{images,masks})')
    ],
    short_side: Annotated[int, typer.Option(min=16, help='short side of the input, px')] = 480,
    threads: Annotated[int, typer.Option(min=0, help='CPU threads; 0 = the processors here')] = 0,
    split: Annotated[
        str, typer.Option(help='list in ImageSets; default: val if there, else all; or: all')
    ] = '',
    infinite: Annotated[
        bool, typer.Option('--infinite', help='in torch, first and every 5th frame kept')
    ] = False,
    true_recent: Annotated[
        bool,
        typer.Option('--true-recent', help='also with the true mask remembered on every frame'),
    ] = False,
) -> None:
    """
    Measure a checkpoint through the very engine that the robot runs.

    Example: vos-distill eval runs/mb/student.pt DAVIS --short-side 480
    """
    told: EvalReport | None = None
    if true_recent:
        if infinite:
            raise ValueError('--true-recent is for the memory of the robot, not for --infinite')
        report, told = evaluate_true_recent(
            checkpoint, root, short_side=short_side, threads=threads, split=split
        )
    elif infinite:
        report = evaluate_infinite(checkpoint, root, short_side=short_side, split=split)
    else:
        report = evaluate_finite(
            checkpoint, root, short_side=short_side, threads=threads, split=split
        )
    for name, sequence in report.sequences.items():
        part = sequence.summary
        if part is not None:
            with_truth = told.sequences[name].summary if told is not None else None
            typer.echo(
                f'{name:24s} J {part.j:.3f}  F {part.f:.3f}  J&F {part.jf:.3f}'
                f'{_gap(part, with_truth)}'
            )
    if report.overall is not None:
        gap = _gap(report.overall, told.overall if told is not None else None)
        typer.echo(
            f'{"all":24s} J {report.overall.j:.3f}  F {report.overall.f:.3f}  '
            f'J&F {report.overall.jf:.3f}{gap}  p50 {report.speed.latency.p50:.1f} ms'
        )


def _gap(plain: Summary, told: Summary | None) -> str:
    """Write J&F with the true mask in the recent memory, and what it is better by."""
    return f'  true recent {told.jf:.3f}  gap {told.jf - plain.jf:+.3f}' if told else ''


@app.command(name='ablate')
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

    def tell(variant: str, seed: int, scores: dict[str, Any]) -> None:
        jf = '  '.join(f'{root} {scores[root]:.3f}' for root in roots)
        typer.echo(f'{variant}, seed {seed}: {jf}')

    results = ablate(
        Study.read(study, teacher), data, out, roots,
        seeds=range(seeds), short_side=short_side, threads=threads, on_run=tell,
    )  # fmt: skip
    text = table(results, list(roots))
    (out / 'table.md').write_text(text)
    (out / 'plot.svg').write_text(study_svg(results, list(roots)))
    typer.echo(f'\n{text}')


@app.command(name='chain')
def chain(
    recipes: Annotated[Path, typer.Argument(help='folder of recipes, run in order of name')],
    out: Annotated[Path, typer.Option(help='run directories and the model go there; resumed')],
    data: Annotated[Path | None, typer.Option(help='what to train on; default: generated')] = None,
    val: Annotated[Path | None, typer.Option(help='DAVIS layout, with --data')] = None,
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
    if threads:
        torch.set_num_threads(threads)
    if data is None or val is None:
        generate(out / 'generated')
        data, val = out / 'generated' / 'train', out / 'generated' / 'val' / 'davis2016'
    scores = run_chain(
        read_chain(recipes), data, val, out, short_side=short_side, threads=threads,
        on_score=lambda one: typer.echo(f'{one.name}: J&F {one.jf:.3f}'),
    )  # fmt: skip
    text = table_of_stages(scores)
    (out / 'table.md').write_text(text)
    typer.echo(f'\n{text}\nmodel: {out / "model"}')


def is_first_process() -> bool:
    """Tell whether this is the first of the processes that torchrun has started, or alone."""
    return os.environ.get('RANK', '0') == '0'


def main() -> None:
    """Run the command; errors that a user can mend are one line and exit code 2."""
    level = logging.INFO if is_first_process() else logging.WARNING
    logging.basicConfig(level=level, format='%(message)s')
    rank = '' if is_first_process() else f' (process {os.environ["RANK"]})'
    try:
        with others_named():  # here too: torch tells of a dead worker wherever it is just then
            app()
    except Interrupted as end:
        typer.echo(f'vos-distill{rank}: {end}', err=True)
        sys.exit(128 + end.number)  # as a shell reports a signal, so that no script goes on
    except DivergedError as error:
        typer.echo(f'vos-distill{rank}: {error}', err=True)
        sys.exit(1)
    except (ValueError, OSError, VosError) as error:
        typer.echo(f'vos-distill{rank}: {error}', err=True)
        sys.exit(2)


if __name__ == '__main__':
    main()
