# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Train the prompt network. Reads in time order: settings, network, loss, loop.

A run directory holds `metrics.csv`, `last.pt` (everything that a resume needs) and `prompt.pt`
(the averaged weights alone, for export).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
import logging
import math
from pathlib import Path
import time
from typing import Any

import numpy as np
import torch
from torch import Tensor
import torch.nn.functional as F

from vos_distill.data import load_stills, load_videos
from vos_distill.data.windows import next_click, PROMPTS, WindowBatch, WindowMaker
from vos_distill.networks.backbones import load_imagenet
from vos_distill.networks.checkpoint import load_checkpoint, save_checkpoint
from vos_distill.networks.prompter import PromptNetwork
from vos_distill.networks.weights import load_network
from vos_distill.processes.alone import hold
from vos_ros.engine.window import BEFORE, draw_clicks, SIDE

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PromptRecipe:
    """
    How a prompt network is trained.

    :param steps: of the optimiser.
    :param windows: in each step; every one has PROMPTS prompts.
    :param rate: of the optimiser, for all that is new.
    :param backbone_rate: a share of it, for what is not frozen of the backbone.
    :param frozen_stages: of the backbone, from the front.
    :param corrected: share of the steps in which each prompt is followed by a click on the largest
        mistake.
    :param rough, quality: weights of these losses.
    :param averaging: of the weights, per step.
    """

    steps: int = 3000
    windows: int = 8
    rate: float = 1e-3
    backbone_rate: float = 0.1
    frozen_stages: int = 4
    warmup: int = 150
    weight_decay: float = 0.01
    corrected: float = 0.4
    rough: float = 0.3
    quality: float = 0.5
    averaging: float = 0.997
    seed: int = 0


def prepare(init: str, imagenet: str, recipe: PromptRecipe) -> PromptNetwork:
    """
    Build the network with the backbone of a student, or with ImageNet's.

    :param init: student.pt, or the folder of a model; '' = none.
    :param imagenet: weights of the backbone; '' = none.
    :raises ValueError: weights that cannot be read or do not fit.
    """
    torch.manual_seed(recipe.seed)
    network = PromptNetwork()
    if init:
        student, _ = load_network(Path(init))
        try:
            network.backbone.load_state_dict(student.backbone.state_dict())
        except RuntimeError as error:
            raise ValueError(f'{init}: has another backbone than the prompt network') from error
    elif imagenet:
        load_imagenet(network.backbone, Path(imagenet))
    for stage in network.backbone.stages()[: recipe.frozen_stages]:
        for module in stage:
            module.requires_grad_(False)
    # A third faster on a processor.
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def losses(
    found: tuple[Tensor, Tensor, Tensor], masks: Tensor, seen: Tensor, recipe: PromptRecipe
) -> tuple[Tensor, Tensor]:
    """
    Compare with the truth.

    :param found: what `PromptNetwork.decode` gives for N prompts.
    :param masks: (N, SIDE, SIDE) 0 or 1.
    :param seen: (N,) share of the object in the window.
    :return: the loss, and IoU (N,) with the whole object.
    """
    logits, rough, quality = (part.float() for part in found)
    truth = F.avg_pool2d(masks[:, None], 2)[:, 0]
    prob = logits.sigmoid()
    cross = F.binary_cross_entropy_with_logits(logits, truth, reduction='none').mean((1, 2))
    # The pixels of small objects would vanish in the mean.
    weight = (0.25 / truth.mean((1, 2)).clamp(0.02, 0.25)).sqrt()
    both = (prob * truth).sum((1, 2))
    dice = 1 - (2 * both + 1) / (prob.sum((1, 2)) + truth.sum((1, 2)) + 1)
    coarse = F.avg_pool2d(masks[:, None], 16)[:, 0]
    rough_loss = F.binary_cross_entropy_with_logits(rough, coarse, reduction='none').mean((1, 2))
    with torch.no_grad():
        hit, real = logits > 0, truth > 0.5
        inter = (hit & real).sum((1, 2)).float()
        unseen = real.sum((1, 2)) * (1 / seen - 1)
        iou = inter / ((hit | real).sum((1, 2)) + unseen).clamp(min=1)
    judged = F.binary_cross_entropy_with_logits(quality, iou)
    total = (2 * weight * cross + dice + recipe.rough * weight * rough_loss).mean()
    return total + recipe.quality * judged, iou


class PromptTraining:
    """
    One run: made new or taken up where it stopped.

    :param run: its directory.
    """

    def __init__(
        self, network: PromptNetwork, maker: WindowMaker, recipe: PromptRecipe, run: Path
    ) -> None:
        self.network, self.maker, self.recipe, self.run = network, maker, recipe, run
        backbone = [p for p in network.backbone.parameters() if p.requires_grad]
        known = {id(p) for p in network.backbone.parameters()}
        new = [p for p in network.parameters() if id(p) not in known]
        self.optimiser = torch.optim.AdamW(
            [
                {'params': new, 'share': 1.0},
                {'params': backbone, 'share': recipe.backbone_rate},
            ],
            lr=recipe.rate,
            weight_decay=recipe.weight_decay,
        )
        self.step, self.seconds = 0, 0.0
        self.mean = {k: v.clone() for k, v in network.state_dict().items()}
        if (run / 'last.pt').exists():
            self._resume(load_checkpoint(run / 'last.pt', 'network', 'optimiser', 'step'))

    def _resume(self, state: dict[str, Any]) -> None:
        # The number of steps may change: only the rate of what is to come depends on it.
        if {**state['recipe'], 'steps': 0} != {**asdict(self.recipe), 'steps': 0}:
            raise ValueError(f'{self.run}: was begun with other settings; take another folder')
        self.network.load_state_dict(state['network'])
        self.optimiser.load_state_dict(state['optimiser'])
        self.mean, self.step, self.seconds = state['mean'], state['step'], state['seconds']
        log.info('%s: goes on at step %d', self.run, self.step)

    def save(self) -> None:
        """Write what a resume needs, and the averaged weights."""
        recipe = asdict(self.recipe)
        settings = self.network.settings
        common = {'recipe': recipe, 'settings': settings, 'step': self.step}
        common['seconds'] = self.seconds
        save_checkpoint(
            self.run / 'last.pt',
            {
                'network': self.network.state_dict(),
                'optimiser': self.optimiser.state_dict(),
                'mean': self.mean,
                **common,
            },
        )
        save_checkpoint(self.run / 'prompt.pt', {'network': self.mean, **common})

    def advance(self) -> dict[str, float]:
        """Take one step; each draws from a seed of its own, so that a resume changes nothing."""
        started = time.monotonic()
        rng = np.random.default_rng((self.recipe.seed, self.step))
        batch = self.maker.batch(self.recipe.windows, rng)
        rate = self.recipe.rate * self._rate()
        for group in self.optimiser.param_groups:
            group['lr'] = rate * group['share']
        self.network.train()
        self.optimiser.zero_grad(set_to_none=True)
        loss, iou = self._loss(batch, is_corrected=bool(rng.random() < self.recipe.corrected))
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), 2.0)
        if bool(torch.isfinite(norm)):
            self.optimiser.step()
        self.step += 1
        keep = min(self.recipe.averaging, (self.step + 1) / (self.step + 10))
        for name, value in self.network.state_dict().items():
            if value.is_floating_point():
                self.mean[name].lerp_(value, 1 - keep)
            else:
                self.mean[name].copy_(value)
        self.seconds += time.monotonic() - started
        return {'loss': float(loss.detach()), 'iou': float(iou.mean()), 'rate': rate}

    def _rate(self) -> float:
        if self.step < self.recipe.warmup:
            return (self.step + 1) / self.recipe.warmup
        done = (self.step - self.recipe.warmup) / max(1, self.recipe.steps - self.recipe.warmup)
        return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))

    def _loss(self, batch: WindowBatch, *, is_corrected: bool) -> tuple[Tensor, Tensor]:
        images = torch.from_numpy(batch.images).to(memory_format=torch.channels_last)
        # In bfloat16 the backbone is faster here, and all else no faster.
        with torch.autocast('cpu', torch.bfloat16):
            taps = self.network.see(images)
        many = images.repeat_interleave(PROMPTS, 0)
        f4, f8, f16 = (tap.float().repeat_interleave(PROMPTS, 0) for tap in taps)
        masks = np.repeat(batch.masks, PROMPTS, 0)
        maps = batch.maps.reshape(-1, *batch.maps.shape[2:])
        if is_corrected:
            with torch.no_grad():
                first = self.network.decode(many, (f4, f8, f16), torch.from_numpy(maps))[0]
            _correct(maps, masks, first)
        found = self.network.decode(many, (f4, f8, f16), torch.from_numpy(maps))
        seen = torch.from_numpy(np.repeat(batch.seen, PROMPTS))
        return losses(found, torch.from_numpy(masks).float(), seen, self.recipe)


def _correct(maps: Any, masks: Any, logits: Tensor) -> None:
    """Add to each prompt what was found, and a click on its largest mistake."""
    prob = F.interpolate(logits.float().sigmoid()[:, None], (SIDE, SIDE), mode='bilinear')
    for own, mask, found in zip(maps, masks, prob[:, 0].numpy(), strict=True):
        own[BEFORE] = found
        click = next_click(mask, found)
        if click is not None:
            draw_clicks(own[click[0]], [click[1]])


def train_prompts(
    data: Path,
    run: Path,
    recipe: PromptRecipe,
    *,
    init: str = '',
    imagenet: str = '',
    stills: str = 'static',
    videos: Sequence[str] = (),
    minutes: float = 0.0,
    save_every: int = 100,
) -> Path:
    """
    Train, or go on where the run directory stopped.

    :param data: folder with stills and videos.
    :param videos: data sets below it.
    :param minutes: stop after so long; 0 = never.
    :return: the averaged weights.
    :raises ValueError: data or weights that cannot be used; another process is training there.
    """
    lock = hold(run)
    network = prepare(init, imagenet, recipe)
    log.info('reading %s', data)
    maker = WindowMaker(
        load_stills(data / stills), load_videos([data / v for v in videos], 480) if videos else []
    )
    training = PromptTraining(network, maker, recipe, run)
    started, sums, counted = time.monotonic(), np.zeros(2), 0
    while training.step < recipe.steps:
        told = training.advance()
        sums += (told['loss'], told['iou'])
        counted += 1
        is_over = bool(minutes) and time.monotonic() - started > 60 * minutes
        if training.step % 50 == 0 or training.step == recipe.steps or is_over:
            loss, iou = sums / counted
            sums, counted = np.zeros(2), 0
            line = f'{training.step},{training.seconds:.0f},{loss:.4f},{iou:.4f}'
            with (run / 'metrics.csv').open('a') as file:
                file.write(f'{line}\n')
            log.info('step %s', line.replace(',', '  '))
        if training.step % save_every == 0 or is_over:
            training.save()
        if is_over:
            break
    training.save()
    lock.close()
    return run / 'prompt.pt'
