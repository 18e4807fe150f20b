# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
J, F and J&F as davis2017-evaluation defines them.

J is the overlap of a mask with the truth, F the agreement of their contours.
One deliberate difference: the official bins for the decay are cast to uint8
and so are wrong for sequences of more than 255 frames; ours are not.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
import math
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from vos_ros.datatypes import LabelMap
from vos_ros.errors import VosError
from vos_ros.evaluation.occlusion import OcclusionScorer
from vos_ros.formats.masks import ids_in

Mask = npt.NDArray[Any]
_DECAY_BINS = 4
_RECALL_ABOVE = 0.5


def region_similarity(pred: Mask, gt: Mask) -> float:
    """
    Measure J: intersection over union of two masks; 1 where both are empty.

    :param pred: (H, W), non-zero = object.
    :param gt: (H, W), non-zero = object.
    :raises VosError: the sizes differ.
    """
    found, true = _as_masks(pred, gt)
    union = int(np.count_nonzero(found | true))
    return int(np.count_nonzero(found & true)) / union if union else 1.0


def contour_accuracy(pred: Mask, gt: Mask, bound_th: float = 0.008) -> float:
    """
    Measure F: harmonic mean of precision and recall of the contour pixels.

    A contour pixel counts as matched within a disk around one of the other
    contour. Two masks without contour agree (1); one alone without gives 0.

    :param pred: (H, W), non-zero = object.
    :param gt: (H, W), non-zero = object.
    :param bound_th: tolerance as a share of the image's diagonal, rounded up to whole
        pixels; 1 or more = tolerance in pixels.
    :raises VosError: the sizes differ.
    """
    found, true = _as_masks(pred, gt)
    contour, true_contour = mask_to_boundary(found), mask_to_boundary(true)
    total, true_total = cv2.countNonZero(contour), cv2.countNonZero(true_contour)
    if not total or not true_total:
        return 1.0 if total == true_total else 0.0
    # Nothing can match where no contour is: cropping changes no number, and saves most time.
    box = cv2.boundingRect(contour | true_contour)
    crop = np.s_[box[1] : box[1] + box[3], box[0] : box[0] + box[2]]
    disk = _disk(tolerance_px(found.shape, bound_th))
    matched = cv2.bitwise_and(contour[crop], cv2.dilate(true_contour[crop], disk))
    true_matched = cv2.bitwise_and(true_contour[crop], cv2.dilate(contour[crop], disk))
    precision = cv2.countNonZero(matched) / total
    recall = cv2.countNonZero(true_matched) / true_total
    if precision + recall == 0:
        return 0.0
    return 2 * precision * recall / (precision + recall)


def mask_to_boundary(mask: Mask) -> npt.NDArray[np.uint8]:
    """
    Find the contour, one pixel wide: where a mask differs from its right or lower neighbours.

    :param mask: (H, W), non-zero = object.
    :return: (H, W) uint8, 0 or 1.
    """
    seg = (mask != 0).astype(np.uint8)
    edge: npt.NDArray[np.uint8] = np.zeros_like(seg)
    edge[:, :-1] = seg[:, :-1] ^ seg[:, 1:]
    edge[:-1, :] |= seg[:-1, :] ^ seg[1:, :]
    edge[:-1, :-1] |= seg[:-1, :-1] ^ seg[1:, 1:]
    return edge


def tolerance_px(shape: tuple[int, ...], bound_th: float = 0.008) -> int:
    """
    Give the distance in px up to which contours match: 8 px at 854x480.

    :param shape: (H, W).
    :param bound_th: share of the diagonal, or px if 1 or more.
    """
    if bound_th >= 1:
        return int(bound_th)
    return math.ceil(bound_th * math.hypot(shape[0], shape[1]))


@dataclass(frozen=True)
class Statistics:
    """
    What is reported of one measure over one object's frames.

    :param mean: over the frames.
    :param recall: share of frames above 0.5.
    :param decay: mean of the first quarter of the frames less that of the last.
    """

    mean: float
    recall: float
    decay: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Statistics:
        """
        Sum up the values of at least one frame.

        :param values: one per scored frame, in order of time.
        """
        series = np.asarray(values, np.float64)
        # Rounds halves up, as the official code does; the ends of a bin belong to it.
        edges = np.round(np.linspace(1, len(series), _DECAY_BINS + 1) + 1e-10).astype(int) - 1
        first, last = series[edges[0] : edges[1] + 1], series[edges[-2] : edges[-1] + 1]
        return cls(
            mean=float(series.mean()),
            recall=float((series > _RECALL_ABOVE).mean()),
            decay=float(first.mean() - last.mean()),
        )


@dataclass(frozen=True)
class ObjectScore:
    """
    How well one object was followed.

    :param j: J over the scored frames.
    :param f: F over the scored frames.
    :param frames: how many were scored.
    """

    j: Statistics
    f: Statistics
    frames: int

    @property
    def jf(self) -> float:
        """J&F: the mean of both means."""
        return (self.j.mean + self.f.mean) / 2


@dataclass(frozen=True)
class Summary:
    """J, F and J&F over several objects."""

    j: float
    f: float
    objects: int

    @property
    def jf(self) -> float:
        """J&F: the mean of both."""
        return (self.j + self.f) / 2


def summarize(objects: Iterable[ObjectScore]) -> Summary | None:
    """
    Average over objects: all of all sequences, as DAVIS does, not per sequence.

    :param objects: of one or many sequences; None is returned where there are none.
    """
    scores = list(objects)
    if not scores:
        return None
    j = sum(score.j.mean for score in scores) / len(scores)
    return Summary(j, sum(score.f.mean for score in scores) / len(scores), len(scores))


class SequenceScorer:
    """
    Scores one sequence, frame by frame, without keeping a picture.

    By the semi-supervised protocol the first and the last frame do not count: the
    first is given, the last is left out by tradition. An object that appears later is
    given on the frame where it appears, and counts from the next one on. Objects that
    the prediction lacks count as empty; ids that the truth never had are not looked at.
    """

    def __init__(self, bound_th: float = 0.008) -> None:
        """
        Start a sequence.

        :param bound_th: tolerance of F, see :func:`contour_accuracy`.
        """
        self.occlusion = OcclusionScorer()  # of the same frames
        self._bound_th = bound_th
        self._scores: dict[int, list[tuple[float, float]]] = {}
        self._scored_last: tuple[int, ...] = ()

    def feed(
        self, label_map: LabelMap, gt: LabelMap, stamp_ns: int = 0
    ) -> dict[int, tuple[float, float]]:
        """
        Score the next annotated frame.

        :param label_map: (H, W) predicted ids.
        :param gt: (H, W) true ids, 0 = background.
        :param stamp_ns: of the frame; 0 = unknown.
        :return: J and F per object seen before this frame.
        :raises VosError: the sizes differ.
        """
        _check_sizes(label_map, gt)
        self.occlusion.feed(label_map, gt, stamp_ns)
        scored = {}
        for object_id in self._scores:
            pred, true = label_map == object_id, gt == object_id
            scored[object_id] = (
                region_similarity(pred, true),
                contour_accuracy(pred, true, self._bound_th),
            )
            self._scores[object_id].append(scored[object_id])
        self._scored_last = tuple(scored)
        for object_id in ids_in(gt):
            self._scores.setdefault(object_id, [])
        return scored

    def conclude(self) -> dict[int, ObjectScore]:
        """Give the score of every object with at least one frame that counts, by id."""
        result = {}
        for object_id, values in sorted(self._scores.items()):
            counted = values[:-1] if object_id in self._scored_last else values
            if counted:
                j, f = zip(*counted)
                result[object_id] = ObjectScore(
                    Statistics.of(j), Statistics.of(f), frames=len(counted)
                )
        return result


def _as_masks(pred: Mask, gt: Mask) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    _check_sizes(pred, gt)
    return pred.astype(np.bool_, copy=False), gt.astype(np.bool_, copy=False)


def _check_sizes(pred: Mask, gt: Mask) -> None:
    if pred.shape != gt.shape:
        raise VosError(
            f'a predicted mask of {pred.shape} cannot be compared with one of {gt.shape}; '
            'both must have the size of the image'
        )


def _disk(radius: int) -> npt.NDArray[np.uint8]:
    """All pixels whose centre lies within `radius` (as skimage.morphology.disk)."""
    squares = np.arange(-radius, radius + 1) ** 2
    return (squares[:, None] + squares[None, :] <= radius**2).astype(np.uint8)
