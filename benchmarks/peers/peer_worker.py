# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
One peer as a process that steps through frames when told to; started by peers.py.

It runs in a Python of its own, with torch and what the peer needs, and imports nothing of this
project but peer_export.py, which has AOT-T as a graph. The peer's sources are used as they are;
what stands in for things that a processor or random weights do not need is below. Commands come
as lines on stdin, answers are JSON lines: `check K` compares the graph's labels with those of the
sources, `start K` begins with K objects and counts parameters, `run N` steps through N frames and
gives their ms. From a float image in memory (of the size that the peer sees, where that is one for
all pictures) to a label map at full resolution, with the peer's own memory update.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
import importlib
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
Begun = tuple[Step, nn.Module]  # the module has the parameters
CHECKED = 10  # frames of which labels are compared
TIE = 1e-3  # of the logits' standard deviation: rounding may decide what is nearer
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
#: SAM 2 and what grew from it: module, function that builds, configuration.
SAMS = {
    'sam2.1-tiny': (
        *('sam2.build_sam', 'build_sam2_video_predictor'),
        'configs/sam2.1/sam2.1_hiera_t.yaml',
    ),
    'edgetam': ('sam2.build_sam', 'build_sam2_video_predictor', 'configs/edgetam.yaml'),
    'efficienttam-ti-512': (
        *('efficient_track_anything.build_efficienttam', 'build_efficienttam_video_predictor'),
        'configs/efficienttam/efficienttam_ti_512x512.yaml',
    ),
}
NAMES = ('cutie-small', 'aott', 'aott-onnx', 'deaott', 'livos', *SAMS)


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


def no_pretrained_trunk() -> None:
    """Keep Cutie and LiVOS from loading a ResNet: weights are random."""
    from torch.utils import model_zoo

    model_zoo.load_url = lambda *args, **kwargs: {}


def cutie(folder: Path, frames: torch.Tensor, labels: torch.Tensor) -> Begun:
    """Begin with Cutie-small, random weights, as its eval_config has it for DAVIS 2017."""
    from omegaconf import OmegaConf

    sys.path.insert(0, str(folder))
    no_pretrained_trunk()
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
    return lambda number: core.output_prob_to_mask(core.step(frames[number])), network


def livos(folder: Path, frames: torch.Tensor, labels: torch.Tensor) -> Begun:
    """Begin with LiVOS (base, all that there is), random weights, as its eval.py runs it."""
    sys.path.insert(0, str(folder))
    no_pretrained_trunk()
    # eval.py, which has the stepping, also reads data sets and writes results; nothing here does.
    for name, unused in {
        'data.vos_test_dataset': ('VOSTestDataset',),
        'data.burst_test_dataset': ('BURSTTestDataset',),
        'utils.results_utils': ('ResultSaver', 'make_zip'),
        'utils.burst_utils': ('BURSTResultHandler',),
        'utils.args_utils': ('get_dataset_cfg',),
    }.items():
        stand_in(f'livos.inference.{name}', **dict.fromkeys(unused))
    from livos.model.utils import resnet

    resnet.load_weights_add_extra_dim = lambda *args: None
    from livos.eval import InferenceCore
    from livos.model.livos_wrapper import LIVOS

    network = LIVOS(model_type='base').to(frames.device).eval()
    core = InferenceCore(network)
    core.step(frames[0], labels, [int(k) for k in labels.unique() if k])
    return lambda number: core.step(frames[number]).argmax(dim=0), network


class Film:
    """
    Stands in for the pictures, all of which a SAM reads and resizes before it tracks.

    It gives them from memory, and without an end: its own count of frames only grows, while the
    clip goes to and fro.
    """

    def __init__(self, frames: torch.Tensor, size: int) -> None:
        fitted = F.interpolate(frames, (size, size), mode='bilinear', antialias=True)
        self._images = fitted.sub_(torch.tensor(MEAN).view(3, 1, 1))
        self._images.div_(torch.tensor(STD).view(3, 1, 1))
        self.shown = 0

    def __len__(self) -> int:
        return 1_000_000

    def __getitem__(self, index: int) -> torch.Tensor:
        return self._images[self.shown]


def import_timm_without_weights() -> None:
    """Keep EdgeTAM from loading a pretrained trunk: weights are random."""
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        # timm imports it, and as built for CUDA it fails beside a torch for the processor: these
        # operators, which nobody here calls, are not there to be described.
        for name in ('nms', 'qnms'):
            torch.library.define(f'torchvision::{name}', '(Tensor a, Tensor b, float c) -> Tensor')
    import timm.models

    create = timm.models.create_model
    timm.models.create_model = lambda name, pretrained=False, **given: create(name, **given)


def build_sam(name: str, folder: Path) -> Any:
    """Build SAM 2.1-tiny, EdgeTAM or EfficientTAM-Ti (512x512) by its own builder."""
    first = str(folder) not in sys.path
    if first:
        sys.path.insert(0, str(folder))
    if first and name == 'edgetam':
        import_timm_without_weights()
        from sam2.modeling.sam import transformer

        # Without a GPU it allows the slowest attention alone; this switch of its own, in its
        # favour, allows what SAM 2 has.
        transformer.ALLOW_ALL_KERNELS = True
    module, function, config = SAMS[name]
    build = getattr(importlib.import_module(module), function)
    # No filling of holes, as tools/vos_inference.py has it for evaluation.
    network = build(config, device=str(torch.get_default_device()), apply_postprocessing=False)
    if name == 'edgetam':
        # It fails for more than one object (its issue 15: `view` of what was expanded), so this
        # part of it, which is small, sees them one by one.
        whole = network.spatial_perceiver.forward_2d

        def forward_2d(objects: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return tuple(torch.cat(parts) for parts in zip(*map(whole, objects.split(1))))

        network.spatial_perceiver.forward_2d = forward_2d
    return network


def sam(name: str, folder: Path, frames: torch.Tensor, labels: torch.Tensor) -> Begun:
    """Begin with a SAM, random weights, as tools/vos_inference.py of SAM 2 runs it."""
    network = build_sam(name, folder)
    network.non_overlap_masks = True  # as there
    film = Film(frames, network.image_size)
    size = frames.shape[-2:]
    predictor = sys.modules[type(network).__module__]
    predictor.load_video_frames = lambda **given: (film, *size)
    predictor.tqdm = lambda frames, **given: frames  # no bar of a million frames
    state = network.init_state('')
    for k in labels.unique():
        if k:
            network.add_new_mask(state, 0, int(k), labels == k)

    read = 0

    def look(module: nn.Module, args: Any, given: dict[str, Any]) -> None:
        nonlocal read
        read = given['memory'].shape[0]

    network.memory_attention.register_forward_pre_hook(look, with_kwargs=True)
    tracking = network.propagate_in_video(state)
    next(tracking)  # the first frame, whose mask is given
    pointer = network.hidden_dim // network.mem_dim  # in cells
    frames_seen, cells = 0, 0

    def step(number: int) -> torch.Tensor:
        nonlocal frames_seen, cells
        film.shown = number
        _, ids, logits = next(tracking)
        found = torch.zeros(size, dtype=torch.uint8)
        for k, mask in zip(reversed(ids), logits[:, 0].flip(0)):
            found[mask > 0] = k
        frames_seen += 1
        cells = cells or read - pointer  # at first it remembers one frame and one pointer
        pointers = min(frames_seen, network.max_obj_ptrs_in_encoder)
        expected = cells * min(frames_seen, network.num_maskmem) + pointer * pointers
        if read != expected:
            raise RuntimeError(f'{read} cells of memory were read where {expected} were expected')
        return found

    return step, network


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

    def begin(self) -> Begun:
        """Prompt it, to be run as it is published."""
        engine = self._prompted()
        return lambda number: self._step(engine, number)[0], self._network

    def begin_exported(self, threads: int) -> Begun:
        """Prompt it, to be run as one graph on onnxruntime; AOT-T only."""
        return self.exported(threads), self._network

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
    parser.add_argument('peer', choices=NAMES)
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
                    step = None  # frees what it remembers before the next is built
                    step, network = prompt(args, frames, labels)
                    number, way = 0, 1
                    answer = {'parameters': sum(part.numel() for part in network.parameters())}
            print(json.dumps(answer), file=answers, flush=True)
    return 0


def prompt(args: argparse.Namespace, frames: torch.Tensor, labels: torch.Tensor) -> Begun:
    """Build the peer that was asked for and begin with the labels."""
    if args.peer == 'cutie-small':
        return cutie(args.source, frames, labels)
    if args.peer == 'livos':
        return livos(args.source, frames, labels)
    if args.peer in SAMS:
        return sam(args.peer, args.source, frames, labels)
    made = Aot(args.source, frames, labels, args.peer.removesuffix('-onnx'))
    return made.begin_exported(args.threads) if args.peer.endswith('-onnx') else made.begin()


if __name__ == '__main__':
    sys.exit(main())
