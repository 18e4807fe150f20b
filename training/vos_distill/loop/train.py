# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Train a student by a recipe. Reads in time order: network, optimiser, what resumes, loop.

A run directory holds `recipe.yaml`, `metrics.csv`, `tensorboard/`, `last.pt` (everything that a
resume needs) and `student.pt` (the averaged weights alone, for export).
"""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
import logging
import math
from pathlib import Path
import signal
import time
from typing import Any, TypeVar

from lightning_fabric import Fabric
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
import torch
from torch import nn, Tensor

from vos_distill.data import load_stills, load_videos, Stills, Video
from vos_distill.data.clips import clip_loader, Clips
from vos_distill.loop.logger import line_of, MetricsLog
from vos_distill.loop.validation import Validation, Validator
from vos_distill.losses.objective import Objective, Teacher
from vos_distill.networks.backbones import load_imagenet
from vos_distill.networks.checkpoint import load_checkpoint, save_checkpoint
from vos_distill.networks.presets import build_network
from vos_distill.networks.student import Student
from vos_distill.networks.weights import student_from_model
from vos_distill.processes.alone import hold
from vos_distill.processes.distributed import (
    Interrupted,
    mean,
    of_the_first,
    others_named,
    same_everywhere,
    start_fabric,
    StopRequest,
    together,
)
from vos_distill.recipe import FREE_TO_CHANGE, GIVEN, Recipe, TRUTH

log = logging.getLogger(__name__)
MOST_BAD_STEPS = 20  # one after the other, whose gradient is not finite
# What processes on several machines may be given each for itself.
_LOCAL = ('workers', 'init', 'imagenet', 'teacher')
T = TypeVar('T')


# -- network ----------------------------------------------------------------------------------


def prepare_network(recipe: Recipe, data: Path) -> Student:
    """
    Build the network that a run starts from.

    :param data: folder that `recipe.imagenet` is relative to.
    :raises ValueError: weights that cannot be read or do not fit; BatchNorm is to be trained
        where there is none.
    """
    torch.manual_seed(recipe.seed)
    student = build_network(recipe.preset)
    if not recipe.frozen_bn and not any(isinstance(m, nn.BatchNorm2d) for m in student.modules()):
        raise ValueError(f'preset {recipe.preset} has no BatchNorm: leave frozen_bn out')
    if recipe.imagenet:
        for name in ('backbone', 'value_backbone'):  # the paper's students have both
            if hasattr(student, name):
                backbone = getattr(student, name)
                load_imagenet(backbone, data / recipe.imagenet, keep_norm=not recipe.frozen_bn)
    if recipe.init:
        weights = _weights_of(Path(recipe.init))
        try:
            student.load_state_dict(weights)
        except RuntimeError as error:
            raise ValueError(f'{recipe.init}: does not fit preset {recipe.preset}') from error
    for module in _frozen(student, recipe):
        module.requires_grad_(False)
    return student


def _weights_of(init: Path) -> dict[str, Tensor]:
    if init.is_dir():
        return student_from_model(init).state_dict()
    weights: dict[str, Tensor] = load_checkpoint(init, 'student')['student']
    return weights


def _frozen(student: Student, recipe: Recipe) -> Iterator[nn.Module]:
    """Give the first stages of the backbone, which never change."""
    stages = student.backbone.stages()
    for modules in stages[: recipe.frozen_stages]:
        yield from modules


def _load_teacher(recipe: Recipe) -> Teacher | None:
    if recipe.teacher == GIVEN:
        raise ValueError(f'the recipe has teacher: {GIVEN}; give one: --teacher student.pt')
    return None if recipe.teacher in ('', TRUTH) else Teacher.load(Path(recipe.teacher))


def set_batch_norm(student: Student, recipe: Recipe) -> None:
    """Choose whether BatchNorm keeps its statistics; nothing else here has two modes."""
    student.train(not recipe.frozen_bn)
    for module in _frozen(student, recipe):
        module.eval()


# -- optimiser --------------------------------------------------------------------------------


def rate_at(step: int, recipe: Recipe) -> float:
    """
    Give the factor on the learning rate of a step.

    After the warm-up it is a cosine down to `final_rate`, or, where there are `step_at`,
    `step_factor` once more from each of them on.
    """
    if step < recipe.warmup:
        return (step + 1) / recipe.warmup
    if recipe.step_at:
        # 125000 of 150000 steps is 0.8333 in a recipe, and means the whole step next to it
        passed = sum(step >= round(share * recipe.steps) for share in recipe.step_at)
        return recipe.step_factor**passed
    done = (step - recipe.warmup) / max(recipe.steps - recipe.warmup, 1)
    return recipe.final_rate + (1 - recipe.final_rate) * 0.5 * (1 + math.cos(math.pi * done))


def build_optimiser(
    student: Student, recipe: Recipe, *, fused: bool = True
) -> torch.optim.Optimizer:
    """
    Give what is not frozen of the backbone a smaller rate, the heads all of it.

    :param fused: False for fp16, where a fused one would undo the scale of the gradients by
        itself, after they were clipped.
    """
    backbone = student.backbone
    trunk = [p for p in backbone.parameters() if p.requires_grad]
    inside = {id(p) for p in backbone.parameters()}
    heads = [p for p in student.parameters() if id(p) not in inside]
    decay = [p for p in heads if p.ndim > 1]
    plain = [p for p in heads if p.ndim <= 1]
    is_adam = recipe.optimiser == 'adam'
    plain_decay = recipe.weight_decay if is_adam else 0.0  # STCN's Adam spares nothing
    groups = [
        {'params': decay, 'factor': 1.0, 'weight_decay': recipe.weight_decay},
        {'params': plain, 'factor': 1.0, 'weight_decay': plain_decay},
        {'params': trunk, 'factor': recipe.backbone_rate, 'weight_decay': recipe.weight_decay},
    ]
    # fused is one pass over all weights: a fifth of the time on a processor
    build = torch.optim.Adam if is_adam else torch.optim.AdamW
    return build([g for g in groups if g['params']], lr=recipe.rate, fused=fused)


# -- what resumes -----------------------------------------------------------------------------


@dataclass
class Progressed:
    """
    Everything that a step changes.

    :param average: exponential moving average of the student's weights, float32.
    :param seconds: spent on training, over all calls.
    :param window: of the `MetricsLog`.
    :param scaler: of the gradients, with fp16.
    """

    student: Student
    optimiser: torch.optim.Optimizer
    average: dict[str, Tensor]
    window: dict[str, float]
    step: int = 0
    seconds: float = 0.0
    scaler: torch.amp.GradScaler | None = None

    @classmethod
    def at_start(
        cls,
        student: Student,
        optimiser: torch.optim.Optimizer,
        scaler: torch.amp.GradScaler | None = None,
    ) -> 'Progressed':
        """Give the state before the first step."""
        average = {k: v.detach().clone().float() for k, v in student.state_dict().items()}
        return cls(student, optimiser, average, {}, scaler=scaler)

    def follow(self, ema: float) -> None:
        """Take the student's new weights into the average; early on, the average is short."""
        keep = min(ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            values = {n: v.float() for n, v in self.student.state_dict().items()}
            torch._foreach_lerp_([self.average[n] for n in values], [*values.values()], 1 - keep)

    def save(self, run: Path, recipe: Recipe) -> None:
        """
        Write `last.pt` and `student.pt`.

        :raises OSError: one cannot be written; what was there before is whole.
        """
        shared = {
            'student': self.average,
            'preset': recipe.preset,
            'step': self.step,
            'seconds': self.seconds,
            'recipe': asdict(recipe),
        }
        live = {
            'student_live': self.student.state_dict(),
            'optimiser': self.optimiser.state_dict(),
            'window': self.window,
            'scaler': self.scaler.state_dict() if self.scaler is not None else {},
        }
        save_checkpoint(run / 'last.pt', {**shared, **live})
        save_checkpoint(run / 'student.pt', shared)

    def restore(self, saved: dict[str, Any]) -> None:
        """Go back to where `save` was called, with what `read_progress` gives."""
        self.student.load_state_dict(saved['student_live'])
        self.optimiser.load_state_dict(saved['optimiser'])
        for name, value in saved['student'].items():
            self.average[name].copy_(value)
        self.window.update(saved['window'])
        if self.scaler is not None and saved.get('scaler'):
            self.scaler.load_state_dict(saved['scaler'])
        self.step, self.seconds = int(saved['step']), float(saved['seconds'])


def read_progress(run: Path, recipe: Recipe) -> dict[str, Any] | None:
    """
    Read what `Progressed.save` has written; None for a run that has not begun.

    :raises ValueError: the file is damaged, or the recipe is another one; says what to do.
    """
    path = run / 'last.pt'
    if not path.exists():
        return None
    needed = ('student', 'student_live', 'optimiser', 'window', 'step', 'seconds', 'recipe')
    try:
        saved = load_checkpoint(path, *needed)
    except ValueError as error:
        raise ValueError(
            f'{error}; put back a copy of it, or delete it to start the run from step 0'
        ) from error
    differing = recipe.differences(Recipe.of(saved['recipe'], str(path)))
    if differing:
        raise ValueError(
            f'{run} was started with another recipe, not the same: {", ".join(differing)}. '
            f'Take {run / "recipe.yaml"}, or another --run; '
            f'only {", ".join(FREE_TO_CHANGE)} may change'
        )
    return saved


# -- data -------------------------------------------------------------------------------------


def load_data(recipe: Recipe, data: Path) -> tuple[Stills, list[Video]]:
    """
    Open the photographs, where there are any, and the videos.

    :raises ValueError: no such folder; as `load_stills` and `load_videos`; neither is there.
    """
    if not data.is_dir():
        raise ValueError(f'{data}: no such folder with data')
    bad = recipe.max_bad_share
    stills: Stills = []
    # only the folder that every recipe names by itself may be missing, so that none is mistyped
    is_optional = recipe.stills in ('', Recipe.stills)
    has_stills = recipe.stills != '' and (data / recipe.stills).is_dir()
    if has_stills or not is_optional:
        stills = load_stills(
            data / recipe.stills,
            recipe.still_side,
            max_bad_share=bad,
            repeats=recipe.still_repeats,
        )
    else:
        log.info('%s: no photographs, so all clips are cut from videos', data)
    is_real = recipe.clip.real > 0 or not has_stills
    roots = [data / v for v in recipe.videos] if is_real else []
    if not has_stills and not roots:
        raise ValueError(
            f'{data}: neither photographs ({recipe.stills or Recipe.stills}/SET/images) nor '
            'videos (videos: in the recipe) to train on'
        )
    subsets = {data / v: data / path for v, path in recipe.subsets.items()}
    videos = load_videos(roots, recipe.video_side, max_bad_share=bad, subsets=subsets)
    return stills, videos


# -- loop -------------------------------------------------------------------------------------


def timed(batches: Iterable[T]) -> Iterator[tuple[T, float]]:
    """Give every batch with the seconds that were spent waiting for it."""
    source = iter(batches)
    while True:
        since = time.monotonic()
        try:
            batch = next(source)
        except StopIteration:
            return
        yield batch, time.monotonic() - since


def progress_bar(is_shown: bool) -> Progress:
    """Make a bar with the steps, the time taken and the time left."""
    return Progress(
        TextColumn('{task.description}'),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        disable=not is_shown,
    )


def train_step(
    fabric: Fabric,
    objective: Any,
    optimiser: Any,
    clips: Clips,
    recipe: Recipe,
    step: int,
) -> tuple[float, dict[str, float]]:
    """
    Change the weights by one batch; a gradient that is not finite is left out.

    :param objective: as `fabric.setup` gave it, and so `optimiser`.
    :return: the gradient's norm before clipping, and the parts of the loss in this process.
    """
    for group in optimiser.param_groups:
        group['lr'] = recipe.rate * rate_at(step, recipe) * group['factor']
    loss, parts = objective(clips.to(fabric.device), step / recipe.steps)
    optimiser.zero_grad(set_to_none=True)
    fabric.backward(loss)
    gradient = fabric.clip_gradients(
        objective, optimiser, max_norm=recipe.clip_gradient, error_if_nonfinite=False
    )
    assert gradient is not None
    is_finite = bool(torch.isfinite(gradient))
    # the scaler of fp16 leaves the step out itself, and must know of it to scale by less
    if is_finite or scaler_of(fabric) is not None:
        optimiser.step()
    if not is_finite:
        log.warning('step %d: the gradient is not finite, step left out', step)
    return float(gradient), parts


def scaler_of(fabric: Fabric) -> torch.amp.GradScaler | None:
    """Give what scales the gradients of fp16, which would underflow; None for what needs none."""
    scaler: torch.amp.GradScaler | None = getattr(fabric.strategy.precision, 'scaler', None)
    return scaler


class DivergedError(Exception):
    """The gradient has not been finite for so many steps that no further one would be."""


def train(
    recipe: Recipe,
    data: Path,
    run: Path,
    *,
    stop_at: int | None = None,
    minutes: float | None = None,
    validation: Validation | None = None,
    device: str = 'auto',
    precision: str = 'auto',
) -> Path:
    """
    Train, or go on where the run directory says an earlier call stopped.

    Started by torchrun, every process takes its share of each batch and the first one writes.

    :param data: folder that `recipe.stills` and `recipe.videos` are relative to.
    :param run: run directory; made if missing.
    :param stop_at: stop after this step (the schedule is that of `recipe.steps`).
    :param minutes: stop after this time; a checkpoint is written.
    :param validation: what to measure between steps; by the first process, the others wait.
    :param device: see `start_fabric`, and so `precision`.
    :return: path of the averaged weights.
    :raises ValueError: data or weights that cannot be used, a damaged checkpoint, another recipe
        than the run was started with; another process is training there.
    :raises OSError: a file cannot be written, or a process that is needed has died.
    :raises DivergedError: no finite gradient in `MOST_BAD_STEPS` steps.
    :raises Interrupted: by SIGINT or SIGTERM; a checkpoint is written.
    """
    fabric = start_fabric(recipe.amp, device, precision)
    world = fabric.world_size
    if recipe.batch % world:
        raise ValueError(f'batch {recipe.batch} cannot be shared equally by {world} processes')
    same_everywhere('the recipes', {k: v for k, v in asdict(recipe).items() if k not in _LOCAL})

    def begun() -> dict[str, Any] | None:
        """Let the first process decide, as the others may have other folders."""
        if not fabric.is_global_zero:
            return None
        if validation is not None:
            validation.check()
        return read_progress(run, recipe)

    # before its checkpoint is read: another process may still write one
    lock = together(lambda: hold(run) if fabric.is_global_zero and run.is_dir() else None)
    saved = of_the_first(together(begun))
    # what a run goes on from is in its checkpoint: the weights that it began with may be gone
    start = recipe if saved is None else replace(recipe, init='', imagenet='')
    student = together(lambda: prepare_network(start, data)).to(fabric.device)
    student = student.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    set_batch_norm(student, recipe)
    scaler = scaler_of(fabric)
    optimiser = build_optimiser(student, recipe, fused=scaler is None)
    state = Progressed.at_start(student, optimiser, scaler)
    if saved is not None:
        state.restore(saved)
        log.info('resumed %s at step %d', run, state.step)
    teacher = together(lambda: _load_teacher(recipe))
    if teacher is not None:
        teacher.network.to(fabric.device)
    objective, optimiser = fabric.setup(Objective(student, recipe, teacher), state.optimiser)

    stills, videos = together(lambda: load_data(recipe, data))
    frames = sum(len(video) for video in videos)
    same_everywhere('the data', {'stills': len(stills), 'videos': len(videos), 'frames': frames})
    goal = recipe.steps if stop_at is None else min(recipe.steps, stop_at)
    loader = clip_loader(
        stills,
        videos,
        recipe,
        range(state.step, goal),
        rank=fabric.global_rank,
        processes=fabric.world_size,
        pin=fabric.device.type == 'cuda',
    )
    log.info(
        '%d stills, %d videos; %s on %s', len(stills), len(videos), recipe.preset, fabric.device
    )
    metrics = None
    # a new one is made only now, so that nothing is left of a run that could not begin
    lock = together(lambda: hold(run) if fabric.is_global_zero and lock is None else lock)
    if fabric.is_global_zero:
        recipe.write(run / 'recipe.yaml')
        metrics = MetricsLog(run, recipe.log_every, state.step, state.window)
        validator = Validator(run, validation or Validation(), state.step)

    def validate_if_due() -> int:
        """Give the number of the signal that came meanwhile, or 0."""
        if metrics is None or not validator.is_due(state.step, recipe.steps):
            return 0
        state.save(run, recipe)  # so that a run which is killed meanwhile goes on from here
        try:
            scores = validator.validate(state.step, torch.get_num_threads())
        except Interrupted as end:
            return end.number
        if scores:
            metrics.validated(state.step, scores, validator.sheet(state.step))
        return 0

    began = time.monotonic()
    signalled, bad_steps = False, 0
    bar = progress_bar(fabric.is_global_zero)
    is_plain = not bar.console.is_terminal
    bar.disable = bar.disable or is_plain
    with StopRequest() as stop, others_named(), bar:
        task = bar.add_task(run.name, total=goal, completed=state.step)
        stop.number = validate_if_due()  # where a stop came before it was done
        tick = time.monotonic()
        for clips, waited in timed(loader):
            gradient, parts = train_step(fabric, objective, optimiser, clips, recipe, state.step)
            bad_steps = 0 if math.isfinite(gradient) else bad_steps + 1
            if bad_steps == MOST_BAD_STEPS:
                raise DivergedError(
                    f'{run}: the gradient has not been finite for {bad_steps} steps, up to step '
                    f'{state.step + 1}; the weights are those from before them. Start another run '
                    f'from them (--init {run / "student.pt"}) with a lower `rate`, or try '
                    '--precision fp32'
                )
            state.step += 1
            state.follow(recipe.ema)
            now = time.monotonic()
            took, tick = now - tick, now
            state.seconds += took
            is_late = minutes is not None and now - began > 60 * minutes
            stops = {'signal': float(stop.number), 'late': float(is_late)}
            # all stop after the same step, or one would wait for the others without end
            averaged = mean({**parts, 'waited': waited, 'took': took, **stops}, fabric.device)
            signalled, is_late = averaged.pop('signal') > 0, averaged.pop('late') > 0
            bar.update(task, completed=state.step)
            if metrics is not None:
                metrics.add(averaged)
                means = metrics.row(
                    state.step, state.seconds, rate_at(state.step - 1, recipe), gradient
                )
                if means:
                    bar.update(task, description=f'{run.name} iou {means["iou"]:.4f}')
                    if is_plain:
                        log.info('%s', line_of(state.step, goal, means))
                if state.step % recipe.save_every == 0:
                    state.save(run, recipe)
            if signalled or is_late:
                break
            paused = time.monotonic()
            stop.number = validate_if_due() or stop.number
            tick += time.monotonic() - paused  # is no time of a step
    signalled = signalled or stop.number > 0
    if metrics is not None:
        metrics.close()
        state.save(run, recipe)
    if lock is not None:
        lock.close()
    fabric.barrier()  # nobody reads what is not written yet
    if signalled:
        raise Interrupted(
            f'{run}: stopped after step {state.step} of {recipe.steps}, checkpoint written; '
            'the same command goes on from there',
            stop.number or signal.SIGTERM,
        )
    return run / 'student.pt'
