# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Several trainings on one GPU from the same clips, for so many seconds.

Clips cost processors and networks cost the GPU. One training alone leaves the GPU idle between
its many small kernels, and several ones with workers of their own share the processors. Here every
clip is made once, by `make`, and goes through a ring of files in memory; each `train` takes those
that it has not had yet, or some that it has had ("data echoing", Choi et al. 2019) where it is
faster.
The schedule is by time ("budgeted training", Li, Yumer and Ramanan, ICLR 2020), since nobody
knows how many steps of how many networks such a machine makes in half an hour.

Example: python training/benchmarks/shared_clips.py make RECIPE DATA &
python training/benchmarks/shared_clips.py train RECIPE runs/a --init models/fast_mb_slim_reveal &
python training/benchmarks/shared_clips.py train RECIPE runs/b --init other.pt --seed 1
"""

from collections.abc import Iterator
from dataclasses import replace
import itertools
import math
import os
from pathlib import Path
import queue
import threading
import time
from typing import Annotated

import cv2
import numpy as np
import torch
import typer

from vos_distill.data import ClipComposer
from vos_distill.data.clips import ClipDataset, Clips
from vos_distill.loop.train import (
    build_optimiser,
    load_data,
    prepare_network,
    Progressed,
    set_batch_norm,
    train_step,
)
from vos_distill.losses.objective import Objective, Teacher
from vos_distill.processes.distributed import start_fabric
from vos_distill.recipe import Recipe, TRUTH

SLOTS = 5000  # clips in the ring; 3 MB each at 320 px and 6 frames
STEPS = 10_000  # of the schedule, whatever time they take
TAIL = np.dtype([('jumped', np.int64), ('revealed', np.int64), ('number', np.int64)])
RING = Path('/dev/shm/vos_clips')

app = typer.Typer(add_completion=False)


@app.command()
def make(
    recipe: Annotated[Path, typer.Argument(help='its `clip`, `videos` and `families` count')],
    data: Annotated[Path, typer.Argument(help='as of vos-distill train')],
    ring: Annotated[Path, typer.Option(help='folder in memory')] = RING,
    workers: Annotated[int, typer.Option(help='processes')] = 12,
) -> None:
    """Make clips until it is killed."""
    (ring / 'counts').unlink(missing_ok=True)  # of an earlier call: no training may begin with it
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    read = Recipe.read(recipe)
    stills, videos = load_data(read, data)
    composer = ClipComposer(stills, videos, read.clip, families=read.families)
    dataset = ClipDataset(composer, read)
    ring.mkdir(parents=True, exist_ok=True)
    counts = np.memmap(ring / 'counts', np.int64, 'w+', shape=(workers,))
    parent = os.getpid()
    for worker in range(workers):
        if os.fork() == 0:  # the data are shared
            os.nice(5)
            for turn in itertools.count():
                if os.getppid() != parent:  # it was killed
                    os._exit(0)
                number = worker + turn * workers
                _write(dataset[number], ring / f'making_{worker}', ring / str(number % SLOTS))
                counts[worker] = turn + 1
    os.wait()


def _write(clip: Clips, unfinished: Path, slot: Path) -> None:
    labels = clip.labels.numpy()[:, None]
    sure = np.full_like(labels, 255) if clip.confidence is None else clip.confidence[:, None]
    tail = np.array([(clip.jumped, clip.revealed, clip.number)], TAIL)
    pixels = np.concatenate([clip.images.numpy(), labels, sure], axis=1)
    unfinished.write_bytes(pixels.tobytes() + tail.tobytes())
    unfinished.replace(slot)


class Batches:
    """
    Batches of clips from the ring, read ahead by a thread.

    :param patience_s: how long the first clips may take.
    """

    def __init__(
        self, ring: Path, recipe: Recipe, device: torch.device, patience_s: float
    ) -> None:
        """
        Wait for the first clips.

        :raises SystemExit: none came; says what to start.
        """
        deadline = time.monotonic() + patience_s
        while _made(ring) < 20 * recipe.batch:
            if time.monotonic() > deadline:
                raise SystemExit(f'{ring}: too few clips in {patience_s:g} s; is `make` running?')
            time.sleep(0.2)
        self._ring, self._device, self._batch = ring, device, recipe.batch
        self._shape = (recipe.clip.frames, 5, recipe.clip.size, recipe.clip.size)
        self._rng = np.random.default_rng(recipe.seed)
        self._counts = np.memmap(ring / 'counts', np.int64, 'r')
        self._had = np.zeros(len(self._counts), np.int64)
        self._fresh: list[int] = []
        self._old: list[int] = []
        self.echoed = 0
        self._ready: queue.Queue[Clips | Exception] = queue.Queue(3)
        threading.Thread(target=self._read, daemon=True).start()

    def __iter__(self) -> Iterator[Clips]:
        """
        Give batches without end.

        :raises ValueError: the clips are of another size than the recipe's.
        :raises OSError: one cannot be read.
        """
        while True:
            batch = self._ready.get()
            if isinstance(batch, Exception):
                raise batch
            yield batch

    def _numbers(self) -> list[int]:
        now, workers = np.array(self._counts), len(self._counts)
        for worker, (had, has) in enumerate(zip(self._had, now, strict=True)):
            self._fresh += [worker + turn * workers for turn in range(had, has)]
        self._had = now
        self._fresh = self._fresh[300 - SLOTS :]  # the oldest ones are being written over
        chosen = []
        for _ in range(self._batch):
            source = self._fresh or self._old
            self.echoed += source is self._old
            at = int(self._rng.integers(len(source)))
            chosen.append(source[at])
            if source is self._fresh:
                source[at] = source[-1]
                source.pop()
        self._old = (self._old + chosen)[-SLOTS // 2 :]
        return chosen

    def _read(self) -> None:
        try:
            self._read_on()
        except (OSError, ValueError) as error:
            self._ready.put(error)  # else the training would wait without end

    def _read_on(self) -> None:
        size = math.prod(self._shape)
        for turn in itertools.count(1):
            files = [self._ring / str(number % SLOTS) for number in self._numbers()]
            raw = np.stack([np.fromfile(file, np.uint8) for file in files])
            if raw.shape[1] != size + TAIL.itemsize:
                raise ValueError(f'{self._ring}: made by a recipe with other clips (size, frames)')
            tail = raw[:, size:].copy().view(TAIL)[:, 0]
            pixels = torch.from_numpy(raw[:, :size].reshape(-1, *self._shape)).to(self._device)
            jumped, revealed = (
                torch.from_numpy(tail[name] > 0).to(self._device) for name in TAIL.names[:2]
            )
            self._ready.put(
                Clips(
                    pixels[:, :, :3].contiguous(),
                    pixels[:, :, 3].contiguous(),
                    jumped,
                    revealed,
                    torch.from_numpy(tail['number'] + (turn << 24)),  # an echo is spoilt anew
                    pixels[:, :, 4].contiguous(),
                )
            )


def _made(ring: Path) -> int:
    """Count the clips that were made so far."""
    counts = ring / 'counts'
    return int(np.fromfile(counts, np.int64).sum()) if counts.exists() else 0


@app.command()
def train(
    recipe: Annotated[Path, typer.Argument(help='its `steps` do not count')],
    run: Annotated[Path, typer.Argument(help='folder of the run')],
    seconds: Annotated[float, typer.Option(help='from now on, all the preparations included')],
    init: Annotated[str, typer.Option(help='as of vos-distill train')] = '',
    teacher: Annotated[str, typer.Option(help='student.pt, a model, or truth')] = '',
    preset: Annotated[str, typer.Option(help='in the place of the one of the recipe')] = '',
    seed: Annotated[int, typer.Option(help='likewise')] = 0,
    ring: Annotated[Path, typer.Option(help='folder in memory')] = RING,
    device: Annotated[str, typer.Option(help='as of vos-distill train')] = 'auto',
    precision: Annotated[str, typer.Option(help='likewise')] = 'fp32',
) -> None:
    """Train for so many seconds, and write RUN/student.pt as `vos-distill train` does."""
    began = time.monotonic()
    read = Recipe.read(recipe)
    read = replace(read, seed=seed, teacher=teacher, preset=preset or read.preset)
    read = replace(read, init=init) if init else read
    torch.set_num_threads(1)
    fabric = start_fabric(False, device, precision)
    # cudnn.benchmark stays off: the number of objects changes, and it would measure for minutes
    student = prepare_network(read, Path()).to(fabric.device)
    student = student.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    set_batch_norm(student, read)
    state = Progressed.at_start(student, build_optimiser(student, read))
    shows = None if teacher in ('', TRUTH) else Teacher.load(Path(teacher))
    if shows is not None:
        shows.network.to(fabric.device)
    objective, optimiser = fabric.setup(Objective(student, read, shows), state.optimiser)
    run.mkdir(parents=True, exist_ok=True)
    batches = Batches(ring, read, fabric.device, max(seconds, 60.0))
    read = replace(read, steps=STEPS)
    said = time.monotonic()
    for clips in batches:
        now = time.monotonic()
        if now - began >= seconds and state.step:
            break
        step = min(int(STEPS * (now - began) / seconds), STEPS - 1)
        gradient, parts = train_step(fabric, objective, optimiser, clips, read, step)
        state.step, state.seconds = state.step + 1, now - began
        state.follow(read.ema)
        if now - said > 15:
            said = now
            values = ' '.join(f'{name} {value:.4f}' for name, value in parts.items())
            print(
                f'{now - began:.0f} s, step {state.step}, {batches.echoed} clips again; '
                f'{values} gradient {gradient:.2f}',
                flush=True,
            )
            state.save(run, read)
    state.save(run, read)


if __name__ == '__main__':
    app()
