# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""`vos-distill prompts`: the network that makes masks of boxes, clicks, strokes."""

from pathlib import Path
from typing import Annotated

import torch
import typer

from vos_distill.commands.export import read_card
from vos_distill.export.prompt_export import export_prompt_network, load_prompt_network
from vos_distill.loop.prompts import PromptRecipe, train_prompts

app = typer.Typer(
    help='The network that makes masks of boxes, clicks, strokes.', no_args_is_help=True
)


@app.command(name='train')
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


@app.command(name='export')
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
    content = read_card(card) if card else {}
    content.setdefault('license', 'unspecified')
    content['training'] = {
        **content.get('training', {}),
        'recipe': state.get('recipe', {}),
        'steps': state.get('step'),
        'hours': round(float(state.get('seconds', 0)) / 3600, 2),
    }
    difference = export_prompt_network(network, out, card=content, fp16_weights=not fp32)
    typer.echo(f'{out}: largest probability difference {difference:.1e}')
