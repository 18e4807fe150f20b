# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Train a student by a recipe. Reads in time order: recipe, data, optimiser, loop.

A run directory holds `recipe.yaml`, `metrics.csv`, `last.pt` (everything that a resume needs)
and `student.pt` (the averaged weights alone, for export).
"""

from collections.abc import Iterator
import csv
from dataclasses import asdict, dataclass, field, fields
import logging
import math
from pathlib import Path
import time
from typing import Any

import numpy as np
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
import torch
from torch import Tensor
import torch.nn.functional as F
from torch.utils.data import DataLoader, IterableDataset
import yaml

from vos_distill.backbones import load_imagenet
from vos_distill.checkpoint import load_checkpoint, save_checkpoint
from vos_distill.data import (
    ClipComposer,
    ClipConfig,
    load_stills,
    load_videos,
    Still,
    Video,
    VOID,
)
from vos_distill.distillation import (
    boundary_band,
    logit_distillation,
    representation_loss,
    sample_pixels,
)
from vos_distill.export import student_from_model
from vos_distill.losses import bootstrapped_cross_entropy, dice, propagated_mask
from vos_distill.rollout import corrupt, one_hot, rollout, StepOutput
from vos_distill.student import build_student, MobileVosStudent, Student
from vos_distill.teacher import build_teacher, infinite_rollout, TEACHERS

log = logging.getLogger(__name__)


@dataclass
class Recipe:
    """
    Everything that decides a run; unknown keys in the YAML are refused.

    :param init: weights to start from: `student.pt` of an earlier stage, an exported model's
        folder, or ''.
    :param memory: `finite` is the robot's, {first, most recent}; `infinite` keeps every frame
        and is for teachers of the paper's shape.
    :param teacher: `student.pt` of a trained teacher (or student), or ''.
    :param segmentation_weight: of the loss on true masks when there is a teacher; 0 leaves the
        teacher alone to show how.
    :param logit_weight: of the distilled class distributions, at `temperature`.
    :param representation_weight: of the pixel-pair loss, with `omega` between labels (0) and
        teacher (1), over `pixels` of each object and frame.
    :param boundary: both on the boundary band first; False draws from everywhere.
    :param imagenet: weights of the backbone, .npz or .pth, relative to the data or absolute; ''.
    :param clip: what the clips look like.
    :param batch: clips a step.
    :param rate: AdamW's learning rate at its height, for the heads.
    :param warmup: steps up to it; a cosine then leads down to `final_rate` of it.
    :param ema: share of the averaged weights that a step keeps.
    :param drop_recent: see `rollout`.
    :param save_every: steps between checkpoints.
    :param frozen_stages: stages of the backbone, from the front, that never change.
    :param backbone_rate: factor on the learning rate for the rest of the backbone.
    :param hard_from: share of the run after which the hardest pixels start to count alone.
    :param hard_share: share of the pixels that count at the end.
    """

    preset: str = 'fast_r18'
    stills: str = 'static'
    videos: list[str] = field(default_factory=lambda: ['davis2016', 'davis2017'])
    init: str = ''
    memory: str = 'finite'
    teacher: str = ''
    segmentation_weight: float = 1.0
    logit_weight: float = 1.0
    representation_weight: float = 1.0
    omega: float = 0.95
    temperature: float = 0.1
    pixels: int = 1024
    boundary: bool = True
    imagenet: str = ''
    clip: ClipConfig = field(default_factory=ClipConfig)
    steps: int = 6000
    batch: int = 4
    rate: float = 6e-4
    backbone_rate: float = 0.1
    frozen_stages: int = 3
    warmup: int = 40
    final_rate: float = 0.02
    weight_decay: float = 1e-3
    clip_gradient: float = 3.0
    ema: float = 0.998
    hard_from: float = 0.4
    hard_share: float = 0.25
    dice_weight: float = 0.5
    propagated_weight: float = 0.5
    drop_recent: float = 0.1
    amp: bool = True
    seed: int = 0
    workers: int = 1
    save_every: int = 100

    @classmethod
    def read(cls, path: Path) -> 'Recipe':
        """
        Read a YAML recipe.

        :raises ValueError: unknown key; lists the known ones.
        """
        raw: dict[str, Any] = yaml.safe_load(path.read_text()) or {}
        known = {f.name for f in fields(cls)}
        clip_known = {f.name for f in fields(ClipConfig)}
        clip = raw.pop('clip', {})
        wrong = sorted(set(raw) - known) + sorted(f'clip.{k}' for k in set(clip) - clip_known)
        if wrong:
            raise ValueError(
                f'{path}: unknown {", ".join(wrong)}; known are {", ".join(sorted(known))} '
                f'and clip.{{{", ".join(sorted(clip_known))}}}'
            )
        if raw.get('memory', 'finite') not in ('finite', 'infinite'):
            raise ValueError(f"{path}: memory must be finite or infinite, not '{raw['memory']}'")
        return cls(clip=ClipConfig(**clip), **raw)


class ClipDataset(IterableDataset[tuple[Tensor, Tensor, bool]]):
    """
    Clips from a `ClipComposer`, without end; each worker draws from its own stream.

    :param start: clips that an interrupted run has seen; a resumed one goes on with a fresh
        stream derived from it, so that it does not see the same clips again.
    """

    def __init__(
        self, stills: list[Still], videos: list[Video], config: ClipConfig, seed: int, start: int
    ) -> None:
        self.stills, self.videos, self.config = stills, videos, config
        self.seed, self.start = seed, start

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, bool]]:
        import cv2

        cv2.setNumThreads(1)
        info = torch.utils.data.get_worker_info()
        worker = 0 if info is None else info.id
        stream = int(np.random.SeedSequence([self.seed, worker, self.start]).generate_state(1)[0])
        composer = ClipComposer(self.stills, self.videos, self.config, stream)
        for images, labels in composer:
            pixels = torch.from_numpy(images).permute(0, 3, 1, 2)
            yield pixels, torch.from_numpy(labels), composer.jumped


@dataclass
class Teacher:
    """
    A frozen network that shows how it is done.

    :param is_infinite: it keeps every frame, with the true masks.
    """

    network: Student
    is_infinite: bool

    @classmethod
    def load(cls, path: Path) -> 'Teacher':
        """Read `student.pt` of the run that trained it."""
        state = load_checkpoint(path)
        network = build_network(state['preset'])
        network.load_state_dict(state['student'])
        network.eval().requires_grad_(False)
        return cls(network, state['recipe'].get('memory') == 'infinite')

    def outputs(self, images: Tensor, masks: Tensor, exists: Tensor) -> list[StepOutput]:
        """
        Segment a batch of clips.

        :param images: (B, T, 3, S, S) uint8.
        :param masks: (B, T, K, S, S), true on every frame.
        """
        normalised = self.network.normalise(images)
        if self.is_infinite:
            assert isinstance(self.network, MobileVosStudent)
            known = torch.ones(images.shape[:2], dtype=torch.bool, device=images.device)
            return infinite_rollout(self.network, normalised, masks, known, exists)
        always = torch.ones(len(images), dtype=torch.bool, device=images.device)
        return rollout(self.network, normalised, masks[:, 0], exists, 0.0, (always, masks[:, 1]))


def distillation_loss(
    outputs: list[StepOutput], taught: list[StepOutput], labels: Tensor, recipe: Recipe
) -> Tensor:
    """
    Give the weighted sum of boundary logit distillation and representation distillation.

    :param labels: (B, T, S, S); read at the stride of the features.
    """
    logit = representation = torch.zeros((), device=labels.device)
    pairs = 0
    for own, shown in zip(outputs, taught, strict=True):
        grid = labels[:, own.frame, 2::4, 2::4]
        grid = torch.where(grid == VOID, 0, grid)
        where = boundary_band(grid) if recipe.boundary else None
        logit = logit + logit_distillation(own.prob, shown.prob, where, recipe.temperature)
        b, k = own.logits.shape[:2]
        z_s = own.extras['decoder'].unflatten(0, (b, k)).flatten(3)
        z_t = shown.extras['decoder'].unflatten(0, (b, k)).flatten(3)
        for clip in range(b):
            for slot in range(k):
                mask = grid[clip] == slot + 1
                chosen = sample_pixels(mask, recipe.pixels, boundary=recipe.boundary)
                if chosen is None:
                    continue
                pairs += 1
                representation = representation + representation_loss(
                    z_s[clip, slot][:, chosen].T,
                    z_t[clip, slot][:, chosen].T,
                    mask.flatten()[chosen].long(),
                    omega=recipe.omega,
                    normalizer='none',
                )
    return recipe.logit_weight * logit / len(
        outputs
    ) + recipe.representation_weight * representation / max(pairs, 1)


def build_network(preset: str) -> Student:
    """Build a student or a teacher by name."""
    return build_teacher(preset) if preset in TEACHERS else build_student(preset)


def clip_loss(
    student: Student,
    images: Tensor,
    labels: Tensor,
    jumped: Tensor,
    recipe: Recipe,
    progress: float,
    teacher: Teacher | None = None,
) -> tuple[Tensor, dict[str, float]]:
    """
    Roll the student out over a batch of clips and judge every predicted frame.

    :param images: (B, T, 3, S, S) uint8.
    :param labels: (B, T, S, S) uint8 with ids 0, 1, 2, 255 = void.
    :param jumped: (B,) bool, clips with a long pause between frames 0 and 1.
    :param progress: 0..1, the share of the run that is done.
    :param teacher: adds the distillation terms.
    """
    objects = 2 if bool((labels[:, 0] == 2).any()) else 1
    labels = labels.long()
    if objects == 1:
        labels = torch.where(labels == 2, 0, labels)
    masks = one_hot(labels, objects)  # (B, T, K, S, S)
    exists = (masks[:, 0].flatten(2).sum(2) > 0).float()
    if recipe.memory == 'infinite':
        assert isinstance(student, MobileVosStudent)
        outputs = infinite_rollout(student, student.normalise(images), masks, None, exists)
    else:
        outputs = rollout(
            student,
            student.normalise(images),
            masks[:, 0],
            exists,
            recipe.drop_recent,
            (jumped, corrupt(masks[:, 1])),
        )
    ramp = (progress - recipe.hard_from) / max(0.75 - recipe.hard_from, 1e-6)
    share = 1.0 - (1.0 - recipe.hard_share) * min(max(ramp, 0.0), 1.0)
    entropy = overlap = carried = torch.zeros((), device=images.device)
    hits = 0.0
    for out in outputs:
        target = labels[:, out.frame]
        prob = F.interpolate(out.prob, scale_factor=4, mode='bilinear', align_corners=False)
        entropy = entropy + bootstrapped_cross_entropy(prob, target, share, VOID)
        overlap = overlap + dice(prob[:, 1:], masks[:, out.frame])
        if 'propagated' in out.extras:
            coarse = F.avg_pool2d(masks[:, out.frame], 4)  # (B, K, h4, w4)
            rows = out.extras['propagated']  # (B, K, 2, h4, w4)
            carried = carried + 0.5 * sum(
                propagated_mask(rows[:, :, r].flatten(0, 1), coarse.flatten(0, 1))
                for r in range(2)
            )
        with torch.no_grad():
            predicted = prob.argmax(1) == 1
            truth = target == 1
            union = (predicted | truth).flatten(1).sum(1)
            hits += float(((predicted & truth).flatten(1).sum(1) / union.clamp(min=1)).mean())
    n = len(outputs)
    loss = (entropy + recipe.dice_weight * overlap + recipe.propagated_weight * carried) / n
    distilled = torch.zeros((), device=images.device)
    if teacher is not None:
        with torch.no_grad():
            taught = teacher.outputs(images, masks, exists)
        distilled = distillation_loss(outputs, taught, labels, recipe)
        loss = recipe.segmentation_weight * loss + distilled
    return loss, {
        'distil': float(distilled.detach()),
        'ce': float(entropy.detach()) / n,
        'dice': float(overlap.detach()) / n,
        'carried': float(carried.detach()) / n,
        'iou': hits / n,
    }


def rate_at(step: int, recipe: Recipe) -> float:
    """Warm-up, then a cosine down to `final_rate`; a factor on the learning rate."""
    if step < recipe.warmup:
        return (step + 1) / recipe.warmup
    done = (step - recipe.warmup) / max(recipe.steps - recipe.warmup, 1)
    return recipe.final_rate + (1 - recipe.final_rate) * 0.5 * (1 + math.cos(math.pi * done))


def build_optimiser(student: Student, recipe: Recipe) -> torch.optim.AdamW:
    """Freeze the first stages, give the rest of the backbone a smaller rate, the heads all."""
    backbone = student.backbone
    for modules in backbone.stages()[: recipe.frozen_stages]:  # type: ignore[union-attr, operator]
        for module in modules:
            module.requires_grad_(False)
    trunk = [p for p in backbone.parameters() if p.requires_grad]  # type: ignore[union-attr]
    inside = {id(p) for p in backbone.parameters()}  # type: ignore[union-attr]
    heads = [p for p in student.parameters() if id(p) not in inside]
    decay = [p for p in heads if p.ndim > 1]
    plain = [p for p in heads if p.ndim <= 1]
    groups = [
        {'params': decay, 'factor': 1.0, 'weight_decay': recipe.weight_decay},
        {'params': plain, 'factor': 1.0, 'weight_decay': 0.0},
        {'params': trunk, 'factor': recipe.backbone_rate, 'weight_decay': recipe.weight_decay},
    ]
    return torch.optim.AdamW([g for g in groups if g['params']], lr=recipe.rate)


def _weights_of(init: Path) -> dict[str, Tensor]:
    if init.is_dir():
        return student_from_model(init).state_dict()
    weights: dict[str, Tensor] = load_checkpoint(init)['student']
    return weights


def train(
    recipe: Recipe,
    data: Path,
    run: Path,
    *,
    stop_at: int | None = None,
    minutes: float | None = None,
) -> Path:
    """
    Train, or go on where the run directory says an earlier call stopped.

    :param data: folder that `recipe.stills` and `recipe.videos` are relative to.
    :param run: run directory; made if missing.
    :param stop_at: stop after this step (the schedule is that of `recipe.steps`).
    :param minutes: stop after this time; a checkpoint is written.
    :return: path of the averaged weights.
    """
    run.mkdir(parents=True, exist_ok=True)
    device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    torch.manual_seed(recipe.seed)
    student = build_network(recipe.preset).to(device)
    if recipe.imagenet:
        for name in ('backbone', 'value_backbone'):  # the paper's students have both
            if hasattr(student, name):
                load_imagenet(getattr(student, name), data / recipe.imagenet)
    if recipe.init:
        student.load_state_dict(_weights_of(Path(recipe.init)))
    student.eval()  # BatchNorm, where there is any, stays frozen (STCN)
    student = student.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = build_optimiser(student, recipe)
    teacher = Teacher.load(Path(recipe.teacher)) if recipe.teacher else None
    if teacher is not None:
        teacher.network.to(device)
    average = {k: v.detach().clone().float() for k, v in student.state_dict().items()}
    step, seconds = 0, 0.0
    last = run / 'last.pt'
    if last.exists():
        state = load_checkpoint(last)
        student.load_state_dict(state['student_live'])
        optimiser.load_state_dict(state['optimiser'])
        average = {k: v.to(device) for k, v in state['student'].items()}
        step, seconds = int(state['step']), float(state['seconds'])
        torch.manual_seed(recipe.seed + step)
        log.info('resumed %s at step %d', run, step)
    else:
        (run / 'recipe.yaml').write_text(yaml.safe_dump(asdict(recipe), sort_keys=False))

    stills = load_stills(data / recipe.stills) if recipe.stills else []
    videos = load_videos([data / v for v in recipe.videos]) if recipe.clip.real > 0 else []
    if not stills:
        raise ValueError(f'{data / recipe.stills}: no usable photographs (images/ and labels/)')
    dataset = ClipDataset(stills, videos, recipe.clip, recipe.seed, step * recipe.batch)
    loader = DataLoader(
        dataset,
        batch_size=recipe.batch,
        num_workers=recipe.workers,
        prefetch_factor=8 if recipe.workers else None,
        pin_memory=device.type == 'cuda',
    )
    log.info('%d stills, %d videos; %s on %s', len(stills), len(videos), recipe.preset, device)

    def save() -> None:
        save_checkpoint(
            last,
            {
                'student': average,
                'student_live': student.state_dict(),
                'optimiser': optimiser.state_dict(),
                'step': step,
                'seconds': seconds,
                'preset': recipe.preset,
            },
        )
        save_checkpoint(
            run / 'student.pt',
            {
                'student': average,
                'preset': recipe.preset,
                'step': step,
                'seconds': seconds,
                'recipe': asdict(recipe),
            },
        )

    metrics = run / 'metrics.csv'
    fresh = not metrics.exists()
    goal = min(recipe.steps, stop_at or recipe.steps)
    began = tick = time.monotonic()
    totals: dict[str, float] = {}
    with (
        metrics.open('a', newline='') as file,
        Progress(
            TextColumn('{task.description}'),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        ) as bar,
    ):
        writer = csv.writer(file)
        names = ['ce', 'dice', 'carried', 'distil', 'iou']
        if fresh:
            writer.writerow(['step', 'seconds', 'rate', 'gradient', *names])
        task = bar.add_task(run.name, total=goal, completed=step)
        for images, labels, jumped in loader:
            if step >= goal or (minutes and time.monotonic() - began > 60 * minutes):
                break
            factor = rate_at(step, recipe)
            for group in optimiser.param_groups:
                group['lr'] = recipe.rate * factor * group['factor']
            images, labels, jumped = (x.to(device) for x in (images, labels, jumped))
            with torch.autocast(device.type, torch.bfloat16, enabled=recipe.amp):
                loss, parts = clip_loss(
                    student, images, labels, jumped, recipe, step / recipe.steps, teacher
                )
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            gradient = torch.nn.utils.clip_grad_norm_(
                [p for g in optimiser.param_groups for p in g['params']], recipe.clip_gradient
            )
            if bool(torch.isfinite(gradient)):
                optimiser.step()
            else:
                log.warning('step %d: the gradient is not finite, step left out', step)
            step += 1
            keep = min(recipe.ema, (1 + step) / (10 + step))
            with torch.no_grad():
                for name, value in student.state_dict().items():
                    average[name].lerp_(value.float(), 1 - keep)
            now = time.monotonic()
            seconds, tick = seconds + now - tick, now
            for name in names:
                totals[name] = totals.get(name, 0.0) + parts[name]
            bar.update(task, completed=step)
            if step % 50 == 0:
                means = [f'{totals[n] / 50:.4f}' for n in names]
                writer.writerow(
                    [step, f'{seconds:.0f}', f'{factor:.4f}', f'{float(gradient):.3f}', *means]
                )
                file.flush()
                bar.update(task, description=f'{run.name} iou {means[-1]}')
                totals = {}
            if step % recipe.save_every == 0:
                save()
    save()
    return run / 'student.pt'
