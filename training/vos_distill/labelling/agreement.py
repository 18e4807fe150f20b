# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Both directions of time together: labels, how sure each pixel is, and which frames to keep."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from vos_distill.data import VOID
from vos_distill.data.files import Image
from vos_distill.labelling.follow import Tracker
from vos_distill.labelling.process import draws_again, iou, Pass, Rules, run_pass, SalientMaps
from vos_distill.labelling.salient import Map, Salient

_ENDS = 3  # frames at either end of a clip in which a jump of the area cuts it
_SMALL_PX = 64  # added to areas, so that a few pixels are no jump


@dataclass(frozen=True)
class Judgement:
    """
    What is kept.

    :param sure: confidence 0..1 below which a pixel is void.
    :param frame: agreement 0..1 below which a frame is left out.
    :param shortest: frames in a row that make a clip.
    :param whole: agreement of segmenter and tracker that counts as whole; less counts in
        proportion.
    :param jump: by how much an object may grow or shrink from one frame to the next near the
        ends of a clip; there a track begins or ends wrong.
    """

    sure: float = 0.25
    frame: float = 0.5
    shortest: int = 4
    whole: float = 0.8
    jump: float = 2.0


@dataclass(frozen=True)
class ClipLabels:
    """
    The labels of one clip.

    :param labels: per frame, (H, W) ids, VOID where nothing is sure.
    :param best: the same without VOID, to be measured.
    :param confidence: per frame, (H, W) uint8, 255 = sure.
    :param agreement: per frame, 0..1: both directions, and tracker and segmenter.
    :param calls: how often the segmenter was asked.
    """

    labels: list[Image]
    best: list[Image]
    confidence: list[Image]
    agreement: list[float]
    calls: int


def label_clip(
    images: Sequence[Image],
    first: Image,
    tracker: Tracker,
    salient: Salient,
    *,
    start: int = 0,
    rules: Rules = Rules(),
    judgement: Judgement = Judgement(),
    backwards: bool = True,
    alone: float = 1.0,
) -> ClipLabels:
    """
    Label a clip from one mask.

    :param images: (H, W, 3) RGB.
    :param first: (H, W) ids 1..K on frame `start`; what is VOID there stays so.
    :param backwards: check by following back from the end what was found; without it the clip is
        labelled by one direction in half the time.
    :param alone: what an object's agreement is at most where the segmenter was not asked: 1 for a
        mask that a person gave, less for one that nobody has seen. There the tracker's own
        probability counts; an object that is gone, and does not come back, counts as 0.
    """
    maps = SalientMaps(salient)
    known = np.where(first == VOID, 0, first).astype(np.uint8)
    count = len(images)
    ahead = run_pass(images, known, range(start, count), tracker, maps, rules)
    there = dict(
        zip(range(start, count), zip(ahead.prob, ahead.agreement, strict=True), strict=True)
    )
    if start:
        before = run_pass(images, known, range(start, -1, -1), tracker, maps, rules, ahead.trusts)
        order = range(start, -1, -1)
        there |= dict(zip(order, zip(before.prob, before.agreement, strict=True), strict=True))
    back: dict[int, Map] = {}
    if backwards:
        back = _followed_back(images, there, start, ahead.trusts, tracker, maps, rules, judgement)
    labels, given, confidence, agreement = [], [], [], []
    for index in range(count):
        prob, seen = there[index]
        label, sure, both = _together(prob, back.get(index))
        if index == start:
            label, sure = first.copy(), np.full(first.shape, 255, np.uint8)
        given.append(label)
        label = np.where(sure < 255 * judgement.sure, np.uint8(VOID), label)
        near = _seen_or_tracked(seen, prob, index in back, alone)
        near = float(np.clip(near / judgement.whole, 0, 1))
        labels.append(label)
        confidence.append(sure)
        agreement.append(min(both, near))
    return ClipLabels(labels, given, confidence, agreement, maps.calls)


def _seen_or_tracked(seen: Map, prob: Map, is_followed_back: bool, alone: float) -> float:
    """Give the mean agreement of all objects; of those not asked for, how sure the tracker is."""
    winner = prob.argmax(0)
    values = []
    for k, agreed in enumerate(seen, 1):
        mine = winner == k
        if np.isfinite(agreed):
            values.append(float(agreed))
        elif mine.any():
            values.append(alone * float(prob[k][mine].astype(np.float32).mean()))
        else:  # behind something, if the way back has seen it further on
            values.append(alone * is_followed_back)
    return float(np.mean(values))


def _followed_back(
    images: Sequence[Image],
    there: dict[int, tuple[Map, Map]],
    start: int,
    trusts: Sequence[bool],
    tracker: Tracker,
    maps: SalientMaps,
    rules: Rules,
    judgement: Judgement,
) -> dict[int, Map]:
    """Follow what was found at both ends of the clip back to the frame with the mask."""
    back: dict[int, Map] = {}
    for end, step in ((len(images) - 1, -1), (0, 1)):
        if end == start:
            continue
        # from the last frame on which segmenter and tracker saw the same thing
        good = [
            i
            for i in range(end, start, step)
            if np.nan_to_num(there[i][1], nan=1.0).min() >= judgement.frame
            and _all_seen(there[i][0])
        ]
        if not good:
            continue
        order = range(good[0], start + step, step)
        label = there[good[0]][0].argmax(0).astype(np.uint8)
        found: Pass = run_pass(images, label, order, tracker, maps, rules, trusts)
        back |= dict(zip(order, found.prob, strict=True))
    return back


def _all_seen(prob: Map) -> bool:
    return len(np.unique(prob.argmax(0))) >= len(prob) - int(prob[0].max() < 0.5)


def _together(prob: Map, back: Map | None) -> tuple[Image, Image, float]:
    """
    Give the label of a frame, how sure it is, and how well the two directions agree.

    The label is that of the direction that comes from the given mask: the way back starts from
    what has drifted already, and a mean of both was worse than the first alone. A pixel is as
    sure as it is far from even odds, and less where the directions differ.
    """
    ahead = prob.astype(np.float32)
    label = ahead.argmax(0).astype(np.uint8)
    ranked = np.partition(ahead, len(ahead) - 2, axis=0)
    sure = ranked[-1] - ranked[-2]
    same = 1.0
    if back is not None:
        sure = sure * (1 - np.abs(ahead - back.astype(np.float32)).max(0))
        first, second = ahead.argmax(0), back.argmax(0)
        ids = range(1, len(ahead))
        same = float(np.mean([iou(first == k, second == k) for k in ids]))
    return label, np.round(sure * 255).astype(np.uint8), same


def close_gaps(label: Image) -> Image:
    """Give the objects of a label map the ids 1..K in their order; void becomes background."""
    return _closed(label)[label]


def _closed(label: Image) -> Image:
    ids = [int(k) for k in np.unique(label) if k not in (0, VOID)]
    table = np.zeros(256, np.uint8)
    table[ids] = np.arange(1, len(ids) + 1)
    return table


def areas_of(labels: Sequence[Image]) -> npt.NDArray[np.intp]:
    """Count the pixels of every id but void in label maps, (T, 255)."""
    return np.stack([np.bincount(label.ravel(), minlength=256)[1:VOID] for label in labels])


def runs_of(
    agreement: Sequence[float],
    judgement: Judgement = Judgement(),
    areas: npt.NDArray[np.intp] | None = None,
) -> list[npt.NDArray[np.intp]]:
    """
    Give the runs of frames that are kept, as indices; a clip is cut where nothing agrees.

    :param areas: as `areas_of` gives them; where one jumps near an end, the end is left out.
    """
    kept = np.array([one >= judgement.frame for one in agreement])
    edges = np.flatnonzero(np.diff(np.concatenate([[0], kept.astype(np.int8), [0]])))
    runs = [np.arange(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True)]
    if areas is not None:
        runs = [_trimmed(run, areas[run], judgement.jump) for run in runs]
    return [run for run in runs if len(run) >= judgement.shortest]


def _trimmed(
    run: npt.NDArray[np.intp], areas: npt.NDArray[np.intp], jump: float
) -> npt.NDArray[np.intp]:
    """Cut off what lies beyond a jump within the outermost `_ENDS` frames of a run."""
    sizes = np.log(areas + _SMALL_PX)
    jumps = np.flatnonzero(np.abs(np.diff(sizes, axis=0)).max(axis=1) > np.log(jump)) + 1
    begin = max((int(j) for j in jumps if j <= _ENDS), default=0)
    end = min((int(j) for j in jumps if j >= len(run) - _ENDS), default=len(run))
    return run[begin:end]


def propose(image: Image, salient: Salient, most: int = 3, least: float = 0.004) -> Image:
    """
    Let the segmenter propose objects on a whole picture.

    :param most: objects; the largest part and those at least a fifth as large and apart from it.
    :param least: share of the picture that the largest part must cover.
    :return: (H, W) ids 1..K, all 0 where nothing stands out.
    """
    found = salient(image) > 0.5
    # two things that nearly touch are one: what is apart is apart by more than a hair
    radius = max(round(0.01 * min(image.shape[:2])), 1)
    grown = _dilated(found, radius)
    count, parts = _components(grown)
    parts[~found] = 0
    areas = np.bincount(parts.ravel(), minlength=count)
    areas[0] = 0
    order = np.argsort(areas)[::-1][:most]
    label = np.zeros(found.shape, np.uint8)
    if areas[order[0]] < least * found.size:
        return label
    kept = [k for k in order if areas[k] >= 0.2 * areas[order[0]]]
    for object_id, k in enumerate(kept, 1):
        label[parts == k] = object_id
    return label


def propose_near(
    images: Sequence[Image],
    proposer: Salient,
    salient: Salient,
    most: int,
    rules: Rules = Rules(),
    step: int = 10,
) -> tuple[int, Image | None]:
    """
    Look, in steps of some frames, for one on which something stands out, seen from near, too.

    :param proposer: looks at whole pictures.
    :param salient: looks at the crop around each thing proposed; what it does not draw again there
        is a piece of something, or several things, and is dropped.
    :return: the frame's index, and ids 1..K (H, W); None where there is no such frame.
    """
    for index in range(0, len(images) - 1, step):
        label = propose(images[index], proposer, most)
        maps = SalientMaps(salient)
        for k in range(1, int(label.max()) + 1):
            others = (label > 0) & (label != k)
            if not draws_again(images[index], index, label == k, maps, rules, others):
                label[label == k] = 0
        if label.any():
            return index, close_gaps(label)
    return 0, None


def _dilated(mask: npt.NDArray[np.bool_], radius: int) -> Image:
    kernel = np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)
    return cv2.dilate(mask.astype(np.uint8), kernel).astype(np.uint8)


def _components(mask: Image) -> tuple[int, npt.NDArray[np.int32]]:
    count, parts = cv2.connectedComponents(mask)
    return count, parts.astype(np.int32)
