# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""`vos-distill export, one-graph, quantize`: models for the robot."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from vos_distill.export.one_graph import export_one_graph
from vos_distill.export.onnx_export import export_model, FixedShape
from vos_distill.export.quantize import METHODS, quantize_model
from vos_distill.networks.weights import load_network
from vos_distill.recipe import read_yaml
from vos_ros.backends.base import GRAPHS

Checkpoint = Annotated[Path, typer.Argument(help='student.pt of a run, or a model folder')]


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
    content = read_card(card) if card else {}
    content.setdefault('license', 'unspecified')
    content.setdefault('data', [])
    content.setdefault('scores', {})
    content.setdefault('recipe', state.get('recipe', ''))
    content['training'] = {
        **content.get('training', {}),
        'steps': state.get('step'),
        'hours': round(float(state.get('seconds', 0)) / 3600, 2),
    }
    parity = export_model(
        student,
        out,
        name=out.name,
        preset=state['preset'],
        short_side=short_side,
        card=content,
        fp16_weights=not fp32,
        fixed=shape,
    )
    typer.echo(
        f'{out}: {parity.frames} frames in a closed loop, largest probability difference '
        f'{parity.max_prob_difference:.1e}, labels that differ {parity.label_differences}'
    )


def read_card(path: Path) -> dict[str, Any]:
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
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise ValueError(f"{option} must be WIDTHxHEIGHT such as 640x480, not '{text}'")
    return int(width), int(height)


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
