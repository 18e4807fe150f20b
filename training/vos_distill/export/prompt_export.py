# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Export the prompt network to one ONNX graph and its card, `prompt.json`.

As for the students: export, prove that onnxruntime gives what torch gives, then write the card. A
folder with a card is a verified model.
"""

import copy
import hashlib
import json
from pathlib import Path
from typing import Any
import warnings

import numpy as np
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from vos_distill.export.onnx_export import OPSET, store_fp16
from vos_distill.networks.checkpoint import load_checkpoint
from vos_distill.networks.presets import count_parameters
from vos_distill.networks.prompter import PromptNetwork
from vos_ros.backends.prompt_model import CARD, open_prompt_network
from vos_ros.engine.window import MAPS, SIDE

_GRAPH = 'prompt.onnx'
_MOST_DIFFERENT = 1e-3  # of a probability


def load_prompt_network(checkpoint: Path) -> tuple[PromptNetwork, dict[str, Any]]:
    """
    Read `prompt.pt` of a run.

    :return: the network, in eval mode, and what is known of it: recipe, step, seconds.
    :raises ValueError: not such a file, or of another architecture.
    """
    state = load_checkpoint(checkpoint, 'network', 'settings')
    settings = state['settings']
    try:
        network = PromptNetwork(
            settings['backbone'], tuple(settings['widths']), settings['blocks']
        )
        network.load_state_dict(state['network'])
    except (RuntimeError, KeyError, TypeError) as error:
        raise ValueError(f'{checkpoint}: its weights do not fit the prompt network') from error
    return network.eval(), state


def folded(network: PromptNetwork) -> PromptNetwork:
    """Return a copy in which every BatchNorm is part of the convolution before it."""
    made = copy.deepcopy(network).eval()
    for module in list(made.modules()):
        if not isinstance(module, nn.Sequential):
            continue
        for at in range(1, len(module)):
            conv, norm = module[at - 1], module[at]
            if isinstance(norm, nn.BatchNorm2d):
                assert isinstance(conv, nn.Conv2d)
                module[at - 1], module[at] = fuse_conv_bn_eval(conv, norm), nn.Identity()
    return made


def export_prompt_network(
    network: PromptNetwork, out: Path, *, card: dict[str, Any], fp16_weights: bool = True
) -> float:
    """
    Export, verify, and write the card.

    :param card: `data`, `scores`, `license` and whatever else the card tells.
    :return: the largest difference of a probability between torch and onnxruntime.
    :raises ValueError: they differ; no card is written then.
    """
    out.mkdir(parents=True, exist_ok=True)
    (out / CARD).unlink(missing_ok=True)
    network = folded(network)
    if fp16_weights:
        for parameter in network.parameters():
            if parameter.numel() >= 256:
                parameter.data.copy_(parameter.data.half().float())
    path = out / _GRAPH
    generator = torch.Generator().manual_seed(0)
    image = 255 * torch.rand(2, 3, SIDE, SIDE, generator=generator)
    maps = (torch.rand(2, MAPS, SIDE, SIDE, generator=generator) > 0.9).float()
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        torch.onnx.export(
            network,
            (image, maps),
            str(path),
            input_names=['image', 'maps'],
            output_names=['logits', 'quality'],
            dynamic_axes={n: {0: 'windows'} for n in ('image', 'maps', 'logits', 'quality')},
            opset_version=OPSET,
            do_constant_folding=False,
            dynamo=False,
        )
    if fp16_weights:
        store_fp16(path)
    content = {
        **card,
        'format': 1,
        'name': out.name,
        'parameters': count_parameters(network),
        'side': SIDE,
        'graph': {'file': _GRAPH, 'sha256': hashlib.sha256(path.read_bytes()).hexdigest()},
        'opset': OPSET,
        'weights_dtype': 'float16' if fp16_weights else 'float32',
    }
    (out / CARD).write_text(json.dumps(content, indent=2) + '\n')
    difference = _difference(network, out, image, maps)
    if not difference < _MOST_DIFFERENT:
        (out / CARD).unlink()
        raise ValueError(f'{out}: onnxruntime differs from torch by {difference:.1e}')
    content['parity'] = {'max_prob_difference': difference}
    (out / CARD).write_text(json.dumps(content, indent=2) + '\n')
    return difference


@torch.no_grad()
def _difference(
    network: PromptNetwork, folder: Path, image: torch.Tensor, maps: torch.Tensor
) -> float:
    logits, quality = network(image, maps)
    run = open_prompt_network(folder)
    found, judged = run(image.numpy(), maps.numpy())
    of_masks = np.abs(logits.sigmoid().numpy() - 1 / (1 + np.exp(-found))).max()
    return float(max(of_masks, np.abs(quality.numpy() - judged).max()))
