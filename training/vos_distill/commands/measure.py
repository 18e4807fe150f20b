# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""`vos-distill eval, submit`: how good a student is."""

from pathlib import Path
import tempfile
from typing import Annotated

import typer

from vos_distill.evaluation.evaluate import (
    evaluate_finite,
    evaluate_infinite,
    evaluate_true_recent,
)
from vos_distill.evaluation.submission import MAX_OBJECTS, write_submission
from vos_distill.export.onnx_export import export_model
from vos_distill.networks.weights import load_network
from vos_ros.config import RuntimeConfig, SegmenterConfig
from vos_ros.engine.segmenter import VideoSegmenter
from vos_ros.evaluation.evaluate import EvalReport
from vos_ros.evaluation.metrics import Summary

Checkpoint = Annotated[Path, typer.Argument(help='student.pt of a run, or a model folder')]


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
    given_truth: EvalReport | None = None
    if true_recent:
        if infinite:
            raise ValueError('--true-recent is for the memory of the robot, not for --infinite')
        report, given_truth = evaluate_true_recent(
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
            with_truth = given_truth.sequences[name].summary if given_truth is not None else None
            typer.echo(
                f'{name:24s} J {part.j:.3f}  F {part.f:.3f}  J&F {part.jf:.3f}'
                f'{_gap(part, with_truth)}'
            )
    if report.overall is not None:
        gap = _gap(report.overall, given_truth.overall if given_truth is not None else None)
        typer.echo(
            f'{"all":24s} J {report.overall.j:.3f}  F {report.overall.f:.3f}  '
            f'J&F {report.overall.jf:.3f}{gap}  p50 {report.speed.latency.p50:.1f} ms'
        )


def _gap(plain: Summary, with_truth: Summary | None) -> str:
    """Write J&F with the true mask in the recent memory, and what it is better by."""
    return (
        f'  true recent {with_truth.jf:.3f}  gap {with_truth.jf - plain.jf:+.3f}'
        if with_truth
        else ''
    )


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
