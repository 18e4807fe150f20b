# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
One peer as a process that steps through frames when told to; started by bench_peers.py.

It runs in a Python of its own, with torch and what the peer needs, and imports nothing of this
project. The peer's sources are used as they are; what stands in for things that a processor or
random weights do not need is below. Commands come as lines on stdin, answers are JSON lines:
`start K` begins with K objects, `run N` steps through N frames and gives their ms. From a float
image in memory to a label map at full resolution, with the peer's own memory update.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
import json
from pathlib import Path
import sys
import time
import types
from typing import Any

import numpy as np
import torch
from torch import nn
import torch.nn.functional as F

Step = Callable[[int], torch.Tensor]
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Correlation(nn.Module):
    """
    Stands in for the package spatial_correlation_sampler, which has to be compiled.

    Row by row one matrix product with all of a window's columns, of which the diagonals are
    taken. AOT's own way without the package unfolds the keys 225 times and crashes for AOT-T.
    """

    def __init__(self, patch_size: int, dilation_patch: int = 1, **others: int) -> None:
        super().__init__()
        if dilation_patch != 1 or others.get('kernel_size', 1) != 1:
            raise ValueError('this stand-in knows dilation 1 and kernel 1 only, as AOT asks for')
        self.patch = patch_size

    def forward(self, q: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
        """Return (B, patch, patch, H, W), q at x times k at x + shift, summed over channels."""
        b, _, h, w = q.shape
        margin = self.patch // 2
        padded = F.pad(k, (margin, margin, margin, margin)).permute(0, 2, 1, 3)  # B H C W
        rows = q.permute(0, 2, 3, 1)  # B H W C
        out = q.new_empty(b, self.patch, self.patch, h, w)
        wide = w + 2 * margin
        for shift in range(self.patch):
            product = torch.matmul(rows, padded[:, shift : shift + h])  # B H W wide
            diagonals = product.as_strided(
                (b, self.patch, h, w), (h * w * wide, 1, w * wide, wide + 1)
            )
            out[:, shift] = diagonals
        return out


def stand_in(name: str, **attributes: Any) -> None:
    """Make a module that holds only what is asked of it."""
    module = types.ModuleType(name)
    for attribute, value in attributes.items():
        setattr(module, attribute, value)
    sys.modules[name] = module


def cutie(folder: Path, frames: torch.Tensor, labels: torch.Tensor) -> Callable[[], Step]:
    """Build Cutie-small with random weights as its eval_config has it for DAVIS 2017."""
    from omegaconf import OmegaConf

    sys.path.insert(0, str(folder))
    from torch.utils import model_zoo

    model_zoo.load_url = lambda *args, **kwargs: {}  # no pretrained trunk: weights are random
    config = OmegaConf.load(folder / 'cutie/config/eval_config.yaml')
    model = OmegaConf.load(folder / 'cutie/config/model/base.yaml')
    small = OmegaConf.load(folder / 'cutie/config/model/small.yaml')
    config.model = OmegaConf.merge(model, small)
    for key, value in config.datasets['d17-val'].items():
        if key in config:
            config[key] = value
    config.size, config.use_long_term, config.mem_every = 480, False, 5
    import cutie.model.utils.resnet as resnet

    resnet.load_weights_add_extra_dim = lambda *args: None
    from cutie.inference.inference_core import InferenceCore
    from cutie.model.cutie import CUTIE

    network = CUTIE(config).eval()

    def begin() -> Step:
        core = InferenceCore(network, cfg=config)
        ids = [int(k) for k in labels.unique() if k]
        core.step(frames[0], labels, objects=ids)
        return lambda number: core.output_prob_to_mask(core.step(frames[number]))

    return begin


def aot(
    folder: Path, frames: torch.Tensor, labels: torch.Tensor, model: str
) -> Callable[[], Step]:
    """Build AOT-T or DeAOT-T with random weights; stepped as its evaluator does."""
    stand_in('spatial_correlation_sampler', SpatialCorrelationSampler=Correlation)
    sys.path.insert(0, str(folder))
    from configs.default import DefaultEngineConfig

    DefaultEngineConfig.init_dir = lambda self: None
    config = DefaultEngineConfig('default', model)
    from networks.engines import build_engine
    from networks.models import build_vos_model

    network = build_vos_model(config.MODEL_VOS, config).eval()
    size = frames.shape[-2:]
    # Its own transform: sides of 16 n + 1 where corners are aligned (481x849 of 480x854).
    height, width = ((side - 1 + 8) // 16 * 16 + 1 for side in size)
    normal = (frames - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    images = [
        F.interpolate(image[None], (height, width), mode='bilinear', align_corners=True)
        for image in normal
    ]

    def begin() -> Step:
        engine = build_engine(
            config.MODEL_ENGINE,
            phase='eval',
            aot_model=network,
            gpu_id=0,
            long_term_mem_gap=config.TEST_LONG_TERM_MEM_GAP,
            short_term_mem_skip=config.TEST_SHORT_TERM_MEM_SKIP,
        ).eval()
        mask = F.interpolate(labels[None, None].float(), (height, width), mode='nearest')
        engine.add_reference_frame(images[0], mask, obj_nums=[int(labels.max())], frame_step=0)

        def step(number: int) -> torch.Tensor:
            engine.match_propogate_one_frame(images[number])
            logits = engine.decode_current_logits(tuple(size))
            found = logits.softmax(dim=1).argmax(dim=1, keepdim=True).float()
            engine.update_memory(F.interpolate(found, engine.input_size_2d, mode='nearest'))
            return found

        return step

    return begin


def main() -> int:
    """Serve commands until stdin ends."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('peer', choices=('cutie-small', 'aott', 'deaott'))
    parser.add_argument('source', type=Path, help='folder of its sources')
    parser.add_argument('clip', type=Path, help='npz: frames (N, H, W, 3), labels_K (H, W)')
    parser.add_argument('--threads', type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    answers, sys.stdout = sys.stdout, sys.stderr  # peers print
    clip = np.load(args.clip)
    frames = torch.from_numpy(clip['frames']).permute(0, 3, 1, 2).float() / 255
    step: Step | None = None
    number, way = 0, 1
    with torch.inference_mode():
        for line in sys.stdin:
            command, count = line.split()
            if command == 'start':
                labels = torch.from_numpy(clip[f'labels_{count}']).long()
                if args.peer == 'cutie-small':
                    begin = cutie(args.source, frames, labels)
                else:
                    begin = aot(args.source, frames, labels, args.peer)
                step, number, way = begin(), 0, 1
                answer: dict[str, Any] = {'ready': args.peer}
            else:
                times = []
                for _ in range(int(count)):
                    if not 0 <= number + way < len(frames):
                        way = -way
                    number += way
                    began = time.perf_counter()
                    found = step(number)
                    times.append(1e3 * (time.perf_counter() - began))
                answer = {'ms': times, 'size': list(found.shape[-2:])}
            print(json.dumps(answer), file=answers, flush=True)
    return 0


if __name__ == '__main__':
    sys.exit(main())
