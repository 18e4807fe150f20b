# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
One peer as a process that steps through frames when told to; started by peers.py.

It runs in a Python of its own, with torch and what the peer needs, and imports nothing of this
project but peer_export.py, which has AOT-T as a graph. The peer's sources are used as they are;
what stands in for things that a processor or random weights do not need is below. Commands come
as lines on stdin, answers are JSON lines: `check K` compares the graph's labels with those of the
sources, `start K` begins with K objects, `run N` steps through N frames and gives their ms. From a
float image in memory to a label map at full resolution, with the peer's own memory update.
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
CHECKED = 10  # frames of which labels are compared
TIE = 1e-3  # of the logits' standard deviation: rounding may decide what is nearer
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


def cutie(folder: Path, frames: torch.Tensor, labels: torch.Tensor) -> Step:
    """Begin with Cutie-small, random weights, as its eval_config has it for DAVIS 2017."""
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

    core = InferenceCore(network, cfg=config)
    ids = [int(k) for k in labels.unique() if k]
    core.step(frames[0], labels, objects=ids)
    return lambda number: core.output_prob_to_mask(core.step(frames[number]))


class Aot:
    """
    AOT-T or DeAOT-T with random weights, stepped as its evaluator does.

    :param folder: its sources.
    :param frames: (N, 3, H, W), 0 to 1.
    :param labels: (H, W) of the first frame, ids 1, 2, ...
    :param model: 'aott' or 'deaott'.
    """

    def __init__(
        self, folder: Path, frames: torch.Tensor, labels: torch.Tensor, model: str
    ) -> None:
        stand_in('spatial_correlation_sampler', SpatialCorrelationSampler=Correlation)
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
        from configs.default import DefaultEngineConfig

        DefaultEngineConfig.init_dir = lambda self: None
        self._config = DefaultEngineConfig('default', model)
        from networks.models import build_vos_model

        self._network = build_vos_model(self._config.MODEL_VOS, self._config).eval()
        height, width = self._size = (frames.shape[-2], frames.shape[-1])
        # Its own transform: sides of 16 n + 1 where corners are aligned (481x849 of 480x854).
        self._fitted = ((height + 7) // 16 * 16 + 1, (width + 7) // 16 * 16 + 1)
        normal = (frames - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
        self._images = [
            F.interpolate(image[None], self._fitted, mode='bilinear', align_corners=True)
            for image in normal
        ]
        self._labels = labels
        self._objects = int(labels.max())

    def eager(self) -> Step:
        """Prompt it, to be run as it is published."""
        engine = self._prompted()
        return lambda number: self._step(engine, number)[0]

    def exported(self, threads: int) -> Step:
        """Prompt it, to be run as one graph on onnxruntime; AOT-T only."""
        import peer_export

        (of_layer,) = self._prompted().aot_engines[0].long_term_memories
        heads = self._config.MODEL_ATT_HEADS
        memory = [peer_export.split_heads(part[:, 0], heads).contiguous() for part in of_layer]
        frame = peer_export.Frame(self._network, self._fitted, self._size, self._objects)
        model = peer_export.export(frame, self._images[0], memory)
        runner = peer_export.Runner(model, memory, threads)
        return lambda number: runner.step(self._images[number])

    def check(self, threads: int, count: int) -> dict[str, float]:
        """
        Step through frames eagerly and exported, each with its own memory, and compare.

        :return: shares of pixels, of the frame where they are most: `differ`, whose labels do,
            and `clearly`, those of them where the sources' two best logits are no tie. `largest`
            is the share of the commonest label in all frames: near 1, the rest would mean little.
        """
        self._make_telling()
        engine, exported = self._prompted(), self.exported(threads)
        differ, clearly, seen = 0.0, 0.0, torch.zeros(self._objects + 1)
        for number in range(1, count + 1):
            want, logits = self._step(engine, number)
            unequal = (want.long() != exported(number))[:, 0]
            logits = logits[:, : len(seen)]
            best, second = logits.topk(2, dim=1).values.unbind(1)
            decided = best - second > TIE * logits.std()
            differ = max(differ, float(unequal.float().mean()))
            clearly = max(clearly, float((unequal & decided).float().mean()))
            seen += torch.bincount(want.long().flatten(), minlength=len(seen))
        return {'differ': differ, 'clearly': clearly, 'largest': float(seen.max() / seen.sum())}

    def _step(self, engine: Any, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        engine.match_propogate_one_frame(self._images[number])
        logits = engine.decode_current_logits(self._size)
        found = logits.softmax(dim=1).argmax(dim=1, keepdim=True).float()
        engine.update_memory(F.interpolate(found, engine.input_size_2d, mode='nearest'))
        return found, logits

    def _prompted(self) -> Any:
        from networks.engines import build_engine

        engine = build_engine(
            self._config.MODEL_ENGINE,
            phase='eval',
            aot_model=self._network,
            gpu_id=0,
            long_term_mem_gap=self._config.TEST_LONG_TERM_MEM_GAP,
            short_term_mem_skip=self._config.TEST_SHORT_TERM_MEM_SKIP,
        ).eval()
        mask = F.interpolate(self._labels[None, None].float(), self._fitted, mode='nearest')
        engine.add_reference_frame(self._images[0], mask, obj_nums=[self._objects], frame_step=0)
        return engine

    def _make_telling(self) -> None:
        """
        Change random weights so that a wrong memory changes labels.

        As they are made, one label has nearly all pixels, so ids' logits are levelled; and what is
        remembered of ids is weak. Much stronger, and rounding grows from frame to frame.
        """
        self._network.patch_wise_id_bank.weight *= 4
        engine = self._prompted()
        engine.match_propogate_one_frame(self._images[1])
        logits = engine.decode_current_logits()[0, : self._objects + 1]
        self._network.decoder.conv_out.bias[: len(logits)] -= logits.mean(dim=(1, 2))


def main() -> int:
    """Serve commands until stdin ends."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('peer', choices=('cutie-small', 'aott', 'aott-onnx', 'deaott'))
    parser.add_argument('source', type=Path, help='folder of its sources')
    parser.add_argument('clip', type=Path, help='npz: frames (N, H, W, 3), labels_K (H, W)')
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--device', default='cpu', choices=('cpu', 'cuda'))
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.set_default_device(args.device)  # what is built is built there
    torch.manual_seed(0)
    answers, sys.stdout = sys.stdout, sys.stderr  # peers print
    clip = np.load(args.clip)
    frames = torch.from_numpy(clip['frames']).to(args.device)
    frames = frames.permute(0, 3, 1, 2).float() / 255
    step: Step | None = None
    number, way = 0, 1
    with torch.inference_mode():
        for line in sys.stdin:
            command, count = line.split()
            if command == 'run':
                times = []
                for _ in range(int(count)):
                    if not 0 <= number + way < len(frames):
                        way = -way
                    number += way
                    began = time.perf_counter()
                    found = step(number)
                    if args.device == 'cuda':
                        torch.cuda.synchronize()
                    times.append(1e3 * (time.perf_counter() - began))
                answer: dict[str, Any] = {'ms': times, 'size': list(found.shape[-2:])}
            else:
                labels = torch.from_numpy(clip[f'labels_{count}']).to(args.device).long()
                if command == 'check':
                    made = Aot(args.source, frames, labels, args.peer.removesuffix('-onnx'))
                    answer = made.check(args.threads, CHECKED)
                else:
                    step, number, way = prompt(args, frames, labels), 0, 1
                    answer = {'ready': args.peer}
            print(json.dumps(answer), file=answers, flush=True)
    return 0


def prompt(args: argparse.Namespace, frames: torch.Tensor, labels: torch.Tensor) -> Step:
    """Build the peer that was asked for and begin with the labels."""
    if args.peer == 'cutie-small':
        return cutie(args.source, frames, labels)
    made = Aot(args.source, frames, labels, args.peer.removesuffix('-onnx'))
    return made.exported(args.threads) if args.peer.endswith('-onnx') else made.eager()


if __name__ == '__main__':
    sys.exit(main())
