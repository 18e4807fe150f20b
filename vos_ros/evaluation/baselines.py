# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
What a learned segmenter must beat: the first mask copied, and the first mask carried by flow.

Both have the `step` and `reset` of VideoSegmenter, so that one evaluation runs all.
"""

from __future__ import annotations

from time import perf_counter
from typing import Any

import cv2
import numpy as np

from vos_ros.datatypes import Float, Frame, Image, LabelMap, Prompt, Segmentation, StepTiming
from vos_ros.errors import VosError
from vos_ros.formats.masks import ids_in

_PROB_STRIDE = 4
_MAX_BYTE_ID = 254
# The type stubs of OpenCV lack this class in some versions and know no union of dtypes.
_cv2: Any = cv2


class CopyFirstMask:
    """Answers every frame with the prompted masks, as if nothing ever moved."""

    name = 'copy_first'

    def __init__(self) -> None:
        """Start without objects."""
        self._labels: LabelMap | None = None
        self._object_ids: tuple[int, ...] = ()

    def reset(self) -> None:
        """Forget all objects."""
        self._labels = None
        self._object_ids = ()

    def step(self, frame: Frame, prompt: Prompt | None = None) -> Segmentation:
        """
        Answer one frame.

        :param frame: all of one size until reset.
        :param prompt: masks on this frame; they win over what was there.
        :raises VosError: no prompt yet, or its size is not the frame's.
        """
        start = perf_counter()
        if self._labels is not None and self._labels.shape != frame.size:
            raise VosError(
                f'frames changed from {self._labels.shape} to {frame.size} (height, width); '
                'reset before frames of a new size'
            )
        self._labels = self._propagate(frame, self._labels)
        if prompt is not None:
            self._labels = self._merge(frame, self._labels, prompt)
        if self._labels is None:
            raise VosError('there is no object yet; give a prompt with the first frame')
        segment_ms = 1e3 * (perf_counter() - start)
        labels = self._labels.copy()
        return Segmentation(
            label_map=labels,
            object_ids=self._object_ids,
            scores={k: float((labels == k).any()) for k in self._object_ids},
            stamp_ns=frame.stamp_ns,
            frame_id=frame.frame_id,
            timing=StepTiming(segment_ms=segment_ms),
            prob=_one_hot(labels, self._object_ids),
        )

    def _propagate(self, frame: Frame, labels: LabelMap | None) -> LabelMap | None:
        return labels

    def _merge(self, frame: Frame, labels: LabelMap | None, prompt: Prompt) -> LabelMap:
        if prompt.size != frame.size:
            raise VosError(
                f'the mask is {prompt.size} but the frame {frame.size} (height, width); '
                'draw the mask on the frame itself'
            )
        new_ids = ids_in(prompt.label_map)
        self._object_ids = tuple(sorted({*self._object_ids, *new_ids}))
        if labels is None:
            return prompt.label_map.copy()
        kept = np.where(np.isin(labels, new_ids), 0, labels)
        merged = np.where(prompt.label_map != 0, prompt.label_map, kept)
        if max(self._object_ids, default=0) > _MAX_BYTE_ID:
            return merged.astype(np.uint16)
        return merged.astype(np.uint8)


class FlowWarp(CopyFirstMask):
    """Carries the masks from frame to frame along dense optical flow (DIS, medium, half size)."""

    name = 'flow_warp'

    def __init__(self) -> None:
        """Start without objects."""
        super().__init__()
        self._flow = _cv2.DISOpticalFlow_create(_cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        self._grey: Image | None = None

    def reset(self) -> None:
        """Forget all objects and the last frame."""
        super().reset()
        self._grey = None

    def _propagate(self, frame: Frame, labels: LabelMap | None) -> LabelMap | None:
        before, self._grey = self._grey, _half_grey(frame)
        if before is None or labels is None:
            return labels
        # From here to the frame before: each pixel then asks where it came from, which leaves
        # no holes.
        flow = self._flow.calc(self._grey, before, None)
        height, width = frame.size
        scale = np.array([width / flow.shape[1], height / flow.shape[0]], np.float32)
        source = cv2.resize(flow, (width, height), interpolation=cv2.INTER_LINEAR) * scale
        source[..., 0] += np.arange(width, dtype=np.float32)
        source[..., 1] += np.arange(height, dtype=np.float32)[:, None]
        warped: LabelMap = _cv2.remap(
            labels, source, None, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT
        )
        return warped


def _half_grey(frame: Frame) -> Image:
    code = cv2.COLOR_RGB2GRAY if frame.encoding == 'rgb8' else cv2.COLOR_BGR2GRAY
    grey = cv2.cvtColor(frame.image, code)
    height, width = frame.size
    # DIS needs some pixels for its coarsest level.
    size = (max(width // 2, 16), max(height // 2, 16))
    half: Image = _cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    return half


def _one_hot(labels: LabelMap, object_ids: tuple[int, ...]) -> Float:
    small = labels[::_PROB_STRIDE, ::_PROB_STRIDE]
    return np.stack([small == k for k in (0, *object_ids)]).astype(np.float32)
