# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Follow the objects of a clip in one direction: track, segment, agree, remember."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from vos_distill.data.files import Image
from vos_distill.labelling.follow import Tracker
from vos_distill.labelling.salient import Map, Salient

Box = tuple[int, int, int, int]  # x, y, width, height
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Rules:
    """
    When tracker and segmenter are believed.

    :param grown: by how much of its side the box of a track is grown to the crop.
    :param agrees: intersection over union of both masks from which their mean is taken.
    :param keeps: the same of the segmenter and the first mask, below which the segmenter has
        another opinion of where this object ends and is not asked again. Half of a thing that goes
        on in the crop gives 0.74.
    :param least_px: side of the smallest box that is looked at; smaller things are not drawn well.
    """

    grown: float = 0.35
    agrees: float = 0.6
    keeps: float = 0.75
    least_px: int = 12


@dataclass
class Pass:
    """
    One direction.

    :param trusts: per object, whether the segmenter draws it as the first mask does.
    :param prob: per frame, (K + 1, H, W) float16, sums to 1.
    :param agreement: per frame, (K,) intersection over union of tracker and segmenter; nan where
        the segmenter was not asked.
    """

    trusts: Sequence[bool]
    prob: list[Map] = field(default_factory=list)
    agreement: list[Map] = field(default_factory=list)


class SalientMaps:
    """What the segmenter said of each frame, kept so that the way back need not ask again."""

    def __init__(self, salient: Salient) -> None:
        self._salient = salient
        self._known: dict[int, list[tuple[Box, Map]]] = {}
        self.calls = 0

    def at(self, index: int, image: Image, box: Box) -> Map:
        """
        Give the segmenter's map of a crop on a frame, (H, W), 0 outside of it.

        A crop that hardly differs from one that was looked at before is not looked at again.
        """
        for before, found in self._known.get(index, []):
            if _overlap(before, box) > 0.8:
                return found
        x, y, w, h = box
        whole = np.zeros(image.shape[:2], np.float32)
        crop = np.ascontiguousarray(image[y : y + h, x : x + w])
        whole[y : y + h, x : x + w] = self._salient(crop)
        self.calls += 1
        self._known.setdefault(index, []).append((box, whole))
        return whole


def _overlap(a: Box, b: Box) -> float:
    w = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    h = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    shared = max(w, 0) * max(h, 0)
    return shared / (a[2] * a[3] + b[2] * b[3] - shared)


def crop_around(mask: Image, grown: float) -> Box:
    """Give the box of a mask, grown on every side by a share of its own, inside the picture."""
    x, y, w, h = cv2.boundingRect(mask)
    dx, dy = round(grown * w), round(grown * h)
    left, top = max(x - dx, 0), max(y - dy, 0)
    right, bottom = min(x + w + dx, mask.shape[1]), min(y + h + dy, mask.shape[0])
    return left, top, right - left, bottom - top


def iou(a: Mask, b: Mask) -> float:
    """Give intersection over union of two masks; 1 where both are empty."""
    union = int(np.count_nonzero(a | b))
    return int(np.count_nonzero(a & b)) / union if union else 1.0


def parts_of(found: Map, track: Image) -> Map:
    """Keep of a segmenter's map the connected parts that the track touches."""
    count, parts = cv2.connectedComponents((found > 0.5).astype(np.uint8))
    touched = np.zeros(count, np.bool_)
    touched[np.unique(parts[track > 0])] = True
    touched[0] = True  # what is below one half belongs to no part and stays as it is
    return np.where(touched[parts], found, np.float32(0))


def run_pass(
    images: Sequence[Image],
    label: Image,
    order: Sequence[int],
    tracker: Tracker,
    maps: SalientMaps,
    rules: Rules = Rules(),
    trusts: Sequence[bool] | None = None,
) -> Pass:
    """
    Follow objects through a clip.

    :param images: (H, W, 3) RGB, all of the clip.
    :param label: (H, W) ids on the first frame of `order`, 1..K without gaps.
    :param order: indices of the frames, forwards or backwards.
    :param trusts: of an earlier pass; None = asked on the first frame.
    :return: one entry for each of `order`.
    """
    count = int(label.max())
    first = np.stack([label == k for k in range(count + 1)]).astype(np.float32)
    tracker.start(images[order[0]], label)
    if trusts is None:
        trusts = [
            draws_again(
                images[order[0]], order[0], label == k, maps, rules, (label > 0) & (label != k)
            )
            for k in range(1, count + 1)
        ]
    done = Pass(trusts, [first.astype(np.float16)], [np.ones(count, np.float32)])
    for index in order[1:]:
        track = tracker.look(images[index])
        prob, agreement = _agreed(images[index], index, track, trusts, maps, rules)
        tracker.remember(prob)
        done.prob.append(prob.astype(np.float16))
        done.agreement.append(agreement)
    return done


def draws_again(
    image: Image,
    index: int,
    mask: Mask,
    maps: SalientMaps,
    rules: Rules,
    others: Mask | None = None,
) -> bool:
    """
    Ask whether the segmenter, shown the first mask's surroundings, draws that very mask.

    :param index: of the frame.
    :param others: pixels of neighbours that are followed, too.
    """
    solid = mask.astype(np.uint8)
    box = crop_around(solid, rules.grown)
    if min(box[2:]) < rules.least_px:
        return False
    found = maps.at(index, image, box).copy()
    if others is not None:
        found[others] = 0
    return iou(parts_of(found, solid) > 0.5, mask) >= rules.keeps


def _agreed(
    image: Image, index: int, track: Map, trusts: Sequence[bool], maps: SalientMaps, rules: Rules
) -> tuple[Map, Map]:
    """
    Let the segmenter put right what the tracker found, object by object.

    :param track: (K + 1, H, W).
    :return: (K + 1, H, W), and (K,) how well the two agree.
    """
    winner = track.argmax(0)
    probs = track[1:].copy()
    agreement = np.full(len(probs), np.nan, np.float32)
    for k, is_trusted in enumerate(trusts):
        mask = (winner == k + 1).astype(np.uint8)
        if not is_trusted or not mask.any():
            continue
        box = crop_around(mask, rules.grown)
        if min(box[2:]) < rules.least_px:
            continue
        found = maps.at(index, image, box).copy()
        found[(winner > 0) & (winner != k + 1)] = 0  # a neighbour that is followed, too
        found = parts_of(found, mask)
        agreement[k] = iou(found > 0.5, mask > 0)
        if agreement[k] > rules.agrees:
            probs[k] = (probs[k] + found) / 2
    total = probs.sum(0)
    probs /= np.maximum(total, 1)
    return np.concatenate([1 - np.minimum(total, 1)[None], probs]).astype(np.float32), agreement
