# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What such labels are worth: their J&F where true masks are known, beside the tracker's."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vos_distill.data import VOID
from vos_distill.data.files import Image
from vos_distill.labelling.agreement import (
    areas_of,
    close_gaps,
    Judgement,
    label_clip,
    runs_of,
)
from vos_distill.labelling.follow import Tracker
from vos_distill.labelling.process import Rules
from vos_distill.labelling.salient import Salient
from vos_ros.evaluation.metrics import ObjectScore, SequenceScorer, summarize
from vos_ros.sequences.davis import DavisSequence, open_davis

Scores = dict[int, ObjectScore]


@dataclass(frozen=True)
class Compared:
    """
    One sequence with true masks.

    :param tracker: scores per object of the tracker alone, on all frames.
    :param process: of the tracker with the segmenter, on all frames, void as what it would be.
    :param written: of the files that would be written: frames that are kept, void as background.
    :param kept: share of the frames that are kept.
    :param void: share of their pixels that is void.
    :param agreement: mean of all frames.
    """

    name: str
    frames: int
    tracker: Scores
    process: Scores
    written: Scores
    kept: float
    void: float
    agreement: float


def measure(
    root: Path,
    tracker: Tracker,
    salient: Salient,
    *,
    names: Sequence[str] = (),
    every: int = 1,
    split: str = 'all',
    rules: Rules = Rules(),
    judgement: Judgement = Judgement(),
    backwards: bool = True,
    on_line: Callable[[str], None] = print,
) -> list[Compared]:
    """
    Compare labels with true masks, from the true mask of the first frame with an object.

    Objects that come later are background to all: nobody has given a mask of them.

    :param root: data set in DAVIS layout.
    :param every: n-th frame that has a mask, to save time.
    :param on_line: gets a line for each sequence, and one for the mean over all objects.
    :raises VosError: no such data set.
    """
    done = []
    for sequence in open_davis(root, split=split, names=names):
        images, truths = _read(sequence, every)
        if len(images) < 3:
            on_line(f'{sequence.name:24s} {len(images)} frames with masks: too few to be measured')
            continue
        one = _compared(
            sequence.name, images, truths, tracker, salient, rules, judgement, backwards
        )
        done.append(one)
        on_line(
            f'{_line(one.name, one.frames, [one])}  kept {one.kept:.0%}  void {one.void:.1%}'
            f'  agreement {one.agreement:.2f}'
        )
    if done:
        on_line(_line('mean over objects', sum(one.frames for one in done), done))
    return done


def mean_jf(scores: Iterable[Scores]) -> float:
    """Give the mean J&F over all objects, as `vos eval` does; nan where nothing counts."""
    summary = summarize([score for one in scores for score in one.values()])
    return summary.jf if summary is not None else float('nan')


def _line(name: str, frames: int, done: Sequence[Compared]) -> str:
    tracker = mean_jf(one.tracker for one in done)
    process = mean_jf(one.process for one in done)
    written = mean_jf(one.written for one in done)
    return (
        f'{name:24s} {frames:4d} frames  tracker {tracker:.3f}  with segmenter {process:.3f}  '
        f'written {written:.3f}'
    )


def _read(sequence: DavisSequence, every: int) -> tuple[list[Image], list[Image]]:
    """Give the n-th frames with a mask (H, W, 3), and the masks (H, W) with ids 1..K."""
    images: list[Image] = []
    truths: list[Image] = []
    seen = -1
    for index, frame in enumerate(sequence):
        truth = sequence.label_map(index)
        if truth is None or (not truths and not (truth % VOID).any()):
            continue
        seen += 1
        if seen % every == 0:
            images.append(frame.image.copy())
            truths.append(truth.astype(np.uint8))
    if not truths:
        return images, truths
    ids = [k for k in np.unique(truths[0]) if k not in (0, VOID)]
    table = np.zeros(256, np.uint8)
    table[ids] = np.arange(1, len(ids) + 1)
    return images, [close_gaps(truths[0]), *(table[truth] for truth in truths[1:])]


def _compared(
    name: str,
    images: list[Image],
    truths: list[Image],
    tracker: Tracker,
    salient: Salient,
    rules: Rules,
    judgement: Judgement,
    backwards: bool,
) -> Compared:
    alone = SequenceScorer()
    tracker.start(images[0], truths[0])
    alone.feed(truths[0], truths[0])
    for image, truth in zip(images[1:], truths[1:], strict=True):
        prob = tracker.look(image)
        tracker.remember()
        alone.feed(prob.argmax(0).astype(np.uint8), truth)
    found = label_clip(
        images, truths[0], tracker, salient, rules=rules, judgement=judgement, backwards=backwards
    )
    both, files = SequenceScorer(), SequenceScorer()
    for label, truth in zip(found.best, truths, strict=True):
        both.feed(label, truth)
    runs = runs_of(found.agreement, judgement, areas_of(found.labels))
    kept = [int(i) for run in runs for i in run]
    files.feed(truths[0], truths[0])
    for i in kept:
        if i:
            label = found.labels[i]
            files.feed(np.where(label == VOID, 0, label).astype(np.uint8), truths[i])
    void = [np.mean(found.labels[i] == VOID) for i in kept]
    return Compared(
        name, len(images), alone.conclude(), both.conclude(), files.conclude(),
        len(kept) / len(images), float(np.mean(void)) if void else 0.0,
        float(np.mean(found.agreement)),
    )  # fmt: skip
