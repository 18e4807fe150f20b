# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Clip number i of a run is always the same clip.

It is made from the seed (seed, i), whichever process or worker makes it and whatever was made
before. So a run that was killed goes on with the clips that it would have seen, and several
processes share one stream.
"""

from collections.abc import Iterator, Sequence
import os
import signal
import threading
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from vos_distill.data import Clip, ClipComposer, Stills, Video, VOID
from vos_distill.recipe import Recipe

Image = npt.NDArray[np.uint8]
Frames = tuple[Image, Image]

MIN_SEEN = 64  # px of an object on the first frame; fewer cannot be told from a speck
ATTEMPTS = 100  # a usable draw takes about one; without any, the data are at fault


class Clips(NamedTuple):
    """
    A batch of clips (a single one has no B).

    :param images: (B, T, 3, S, S) uint8 RGB.
    :param labels: (B, T, S, S) uint8 with ids from 0 to 2, or more (`merge`), 255 = void.
    :param jumped: (B,) bool, clips with a long pause between frames 0 and 1.
    :param revealed: (B,) bool, clips that show more of an object than their first frame does.
    :param number: (B,) int64, of the clip in its run.
    :param confidence: (B, T, S, S) uint8, how sure the labels are, 255 = sure; None = all sure.
    """

    images: Tensor
    labels: Tensor
    jumped: Tensor
    revealed: Tensor
    number: Tensor
    confidence: Tensor | None = None

    def to(self, device: torch.device) -> 'Clips':
        """Give the same batch on another device; the numbers stay where they are."""
        images, labels, jumped, revealed = (x.to(device, non_blocking=True) for x in self[:4])
        confidence = self.confidence
        if confidence is not None:
            confidence = confidence.to(device, non_blocking=True)
        return Clips(images, labels, jumped, revealed, self.number, confidence)


def torch_generator(seed: int, number: int) -> torch.Generator:
    """Give what decides the random choices of a training step on one clip."""
    sequence = np.random.SeedSequence([seed, number], spawn_key=(1,))
    return torch.Generator().manual_seed(int(sequence.generate_state(1, np.uint64)[0]))


class ClipDataset(Dataset[Clips]):
    """
    The clips of a run by number.

    Each comes out of a generator of its own.
    """

    def __init__(self, composer: ClipComposer, recipe: Recipe) -> None:
        self.composer, self.recipe = composer, recipe

    def __getitem__(self, number: int) -> Clips:
        """
        Compose a clip.

        :raises ValueError: no usable one in 100 draws.
        """
        progress = number // self.recipe.batch / self.recipe.steps
        for attempt in range(ATTEMPTS):
            rng = np.random.default_rng([self.recipe.seed, number, attempt])
            clip = self.composer.compose(rng, progress)
            if clip is not None:
                images, labels, confidence = (
                    torch.from_numpy(x) for x in self._merge(clip, number, progress)
                )
                images = images.permute(0, 3, 1, 2)
                jumped, revealed = torch.tensor(clip.jumped), torch.tensor(clip.revealed)
                return Clips(images, labels, jumped, revealed, torch.tensor(number), confidence)
        sets = [self.recipe.stills, *(self.recipe.videos if self.recipe.clip.real > 0 else [])]
        raise ValueError(
            f'no usable clip in {ATTEMPTS} draws from {", ".join(sets)}: the objects in the label '
            'maps are too small, too large or missing'
        )

    def _merge(self, clip: Clip, number: int, progress: float) -> tuple[Image, Image, Image]:
        """
        Lay the objects of other clips over this one, with the probability of the recipe.

        :return: images, labels and how sure these are.
        """
        frames, sure = (clip.images, clip.labels), _all_sure(clip)
        if self.recipe.merge == 0.0:
            return *frames, sure
        rng = np.random.default_rng([self.recipe.seed, number, ATTEMPTS])
        for _ in range(self.recipe.merges):
            if rng.random() >= self.recipe.merge:
                break
            other = self.composer.compose(rng, progress)
            if other is not None:
                frames = merge_clips(frames, (other.images, other.labels))
                is_front = (other.labels > 0) & (other.labels != VOID)
                sure = np.where(is_front, _all_sure(other), sure)
        return *frames, sure


def _all_sure(clip: Clip) -> Image:
    return np.full_like(clip.labels, 255) if clip.confidence is None else clip.confidence


def merge_clips(under: Frames, over: Frames) -> Frames:
    """
    Lay the objects of one clip over another one, with ids of their own (AOT's merge).

    :param under: images (T, S, S, 3) and labels (T, S, S) uint8.
    :param over: the same; its background is not seen.
    :return: images and labels; an object that is hardly seen on the first frame is not tracked.
    """
    images, labels = under
    front = (over[1] > 0) & (over[1] != VOID)
    images = np.where(front[..., None], over[0], images)
    known = np.where(labels == VOID, 0, labels)
    merged = np.where(front, over[1] + known.max(), labels)
    ids = [k for k in np.unique(merged[0]) if k not in (0, VOID)]
    table = np.zeros(256, np.uint8)
    table[VOID] = VOID
    seen = [k for k in ids if np.count_nonzero(merged[0] == k) >= MIN_SEEN]
    table[seen] = np.arange(1, len(seen) + 1)
    return images, table[merged]


class _ErrorsAsValues(Dataset[Clips | Exception]):
    """
    Clips, or what is wrong with the data.

    An error that a worker raises arrives as many lines, its traceback among them.
    """

    def __init__(self, clips: ClipDataset) -> None:
        self.clips = clips

    def __getitem__(self, number: int) -> Clips | Exception:
        try:
            return self.clips[number]
        except (ValueError, OSError) as error:
            return error


def _collate(found: list[Clips | Exception]) -> Clips | Exception:
    errors = (one for one in found if isinstance(one, Exception))
    batch: Clips | Exception = next(errors, None) or default_collate(found)
    return batch


def _leave_signals_to_the_trainer(_worker: int) -> None:
    """
    Let a worker end when the trainer tells it to or is gone, and by no other signal.

    Ctrl-C and `kill` on a process group reach the workers too, but the trainer still needs them
    until its step is done. At its own exit it sends SIGTERM and waits for them without limit.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])  # left for sigtimedwait
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()


def _end_with(trainer: int) -> None:
    while os.getppid() == trainer:
        received = signal.sigtimedwait([signal.SIGTERM], 1.0)
        if received is not None and received.si_pid == trainer:
            break
    os._exit(0)  # the main thread may wait for a disk or a full queue


def worker_count(workers: int | str, *, on_gpu: bool) -> int:
    """
    Tell how many processes make clips for this one.

    :param workers: `auto` shares out the processors that torch's threads leave free, at least 1
        and at most 8 for each training process.
    :param on_gpu: of the training: then one thread is enough for torch.
    """
    if isinstance(workers, int):
        return workers
    here = int(os.environ.get('LOCAL_WORLD_SIZE', 1))
    processors = len(os.sched_getaffinity(0)) // here
    return min(max(processors - (1 if on_gpu else torch.get_num_threads()), 1), 8)


def clip_loader(
    stills: Stills,
    videos: Sequence[Video],
    recipe: Recipe,
    steps: range,
    *,
    rank: int = 0,
    processes: int = 1,
    pin: bool = False,
) -> Iterator[Clips]:
    """
    Make the batches of some steps of a run.

    :param steps: step s has the clips s * batch up to (s + 1) * batch.
    :param rank: which part of each batch: the first, second, ... of `processes` equal ones.
    :param pin: put them where a GPU can fetch them from.
    :raises ValueError: the data cannot be used; in this process, whichever one found it.
    :raises OSError: likewise.
    """
    cv2.setNumThreads(1)  # the workers are what runs side by side
    share = recipe.batch // processes
    workers = worker_count(recipe.workers, on_gpu=pin)
    firsts = (s * recipe.batch + rank * share for s in steps)
    composer = ClipComposer(stills, videos, recipe.clip, families=recipe.families)
    batches = DataLoader(
        _ErrorsAsValues(ClipDataset(composer, recipe)),
        # one by one: the numbers of all clips of a long run would fill the memory
        batch_sampler=(list(range(first, first + share)) for first in firsts),
        num_workers=workers,
        prefetch_factor=8 if workers else None,
        pin_memory=pin,
        collate_fn=_collate,
        worker_init_fn=_leave_signals_to_the_trainer,
    )
    for batch in batches:
        if isinstance(batch, Exception):
            raise batch
        yield batch
