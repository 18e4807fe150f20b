# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""KeyFrame: a prompted frame as it was, so that it can be encoded again at another size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from vos_ros.datatypes import Float, Frame, LabelMap
from vos_ros.engine.labels import masks_at_stride
from vos_ros.engine.preprocess import resize_image, Size
from vos_ros.formats.masks import ids_in


@dataclass(frozen=True, eq=False)
class KeyFrame:
    """
    One prompted frame, independent of the network's size in use and of the sender's memory.

    :param frame: a copy, at the largest network input in use.
    :param object_ids: ids of the objects on it, ascending.
    :param prob: (K + 1, h4, w4) what every object covers; sums to 1, row 0 = background.
    """

    frame: Frame
    object_ids: tuple[int, ...]
    prob: Float

    @classmethod
    def of(
        cls,
        frame: Frame,
        label_map: LabelMap,
        object_ids: Sequence[int],
        size: Size,
        mask_size: Size,
    ) -> KeyFrame:
        """
        Keep a frame and its labels.

        :param label_map: (H, W) of the frame; an id that is not on it gets no share.
        :param object_ids: ids to keep, ascending.
        :param size: the largest network input (H, W) in use for this camera.
        :param mask_size: (h4, w4) that belongs to it.
        """
        image = resize_image(frame.image, size)
        if image is frame.image:
            image = image.copy()
        found = set(ids_in(label_map))
        present = [k for k in object_ids if k in found]
        prob = np.zeros((len(object_ids) + 1, *mask_size), np.float32)
        rows = [1 + list(object_ids).index(k) for k in present]
        prob[rows] = masks_at_stride(label_map, present, mask_size)
        prob[0] = np.maximum(0.0, 1.0 - prob[1:].sum(axis=0))
        prob /= prob.sum(axis=0)
        # Not replace(): a frame of the node holds its message, as long as it lives itself.
        kept = Frame(image, frame.encoding, frame.stamp_ns, frame.frame_id)
        return cls(kept, tuple(object_ids), prob)


def resize_prob(prob: Float, size: Size) -> Float:
    """
    Resize probabilities; what is smaller than a cell keeps one full cell.

    :param prob: (K + 1, h, w), sums to 1 over axis 0, row 0 = background.
    :param size: (h, w) of the result.
    :return: (K + 1, h, w) float32, sums to 1 over axis 0.
    """
    if prob.shape[1:] == size:
        return prob
    shrinks = prob.shape[1] * prob.shape[2] >= size[0] * size[1]
    mode = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    resized = np.empty((prob.shape[0], *size), np.float32)
    for plane, out in zip(prob, resized):
        cv2.resize(plane, size[::-1], dst=out, interpolation=mode)
    for before, after in zip(prob[1:], resized[1:]):
        if before.max() < 0.5:
            continue
        if after.max() == 0:  # it lay between the samples
            row, column = np.unravel_index(int(before.argmax()), before.shape)
            after[row * size[0] // before.shape[0], column * size[1] // before.shape[1]] = 1
        elif after.max() < 0.5:
            after /= after.max()
    resized[0] = np.maximum(0.0, 1.0 - resized[1:].sum(axis=0))
    resized /= resized.sum(axis=0)
    return resized
