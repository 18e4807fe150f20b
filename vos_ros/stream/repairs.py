# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Repairs: which masks of a detector that publishes for ever are of use.

A mask starts its object anew, so a detector that sends one with every image undoes the tracking:
its errors become the object. With `init.when: lost` or `disagrees` it may only repair.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from vos_ros.config import InitConfig
from vos_ros.datatypes import Frame, LabelMap, ObjectState, Prompt, Segmentation
from vos_ros.engine.appearance import Array, distance, LEAST_CELLS, Look, look_of, Mask
from vos_ros.engine.labels import label_dtype
from vos_ros.formats.masks import ids_in

#: Cells of the short side on which masks are compared.
_CELLS = 120
#: Looks kept of each object, and how far apart they are.
_LOOKS, _NEW = 8, 0.03
#: Within this distance of its looks a mask is of the object; a lost one may have changed.
_ALIKE, _ALIKE_LOST = 0.06, 0.25
#: Overlap from which two detections in a row are of the same thing.
_SAME = 0.3


@dataclass(eq=False)
class _Object:
    """What is known of one object."""

    looks: list[Look] = field(default_factory=list)
    disagreements: int = 0  # in a row, on the same thing
    last: Mask | None = None  # where the detector saw it when it disagreed

    def learn(self, look: Look | None) -> None:
        if look is not None and (not self.looks or self.apart(look) > _NEW):
            self.looks.append(look)
            del self.looks[1:-_LOOKS]  # the first one stays

    def apart(self, look: Look | None) -> float:
        """Return how far a mask is from all looks; 0 where nothing can be said."""
        if look is None or not self.looks:
            return 0.0
        return min(distance(look, other) for other in self.looks)


class Repairs:
    """
    Takes of each mask what is needed; memory is bounded by the objects and `init.buffer_frames`.

    :param init: with `when` and what a disagreement is.
    """

    def __init__(self, init: InitConfig) -> None:
        self._init = init
        self._objects: dict[int, _Object] = {}
        self._seen: deque[tuple[int, LabelMap]] = deque(maxlen=init.buffer_frames)
        self._states: dict[int, ObjectState] = {}

    @property
    def is_on(self) -> bool:
        """Whether masks are chosen at all."""
        return self._init.when != 'always'

    def note(self, result: Segmentation) -> None:
        """Take note of what was found on a frame."""
        if not self.is_on:
            return
        self._seen.append((result.stamp_ns, _on_cells(result.label_map)))
        self._states = dict(result.states)

    def clear(self) -> None:
        """Forget all: the objects were forgotten."""
        self._objects.clear()
        self._seen.clear()
        self._states.clear()

    def choose(self, frame: Frame, prompt: Prompt, known: Sequence[int]) -> Prompt | None:
        """
        Leave out of a mask what is not needed.

        :param frame: that it was drawn on.
        :param prompt: of the frame's size.
        :param known: ids that are followed, all of them: none catches up meanwhile.
        :return: what is left; None = nothing is.
        """
        if not self.is_on:
            return prompt
        # Those of which a mask was refused go, too, or each new id would be remembered for good.
        self._objects = {k: each for k, each in self._objects.items() if k in known}
        masks, cells = prompt.label_map, _colours(frame)
        drawn = _on_cells(masks)
        ours = self._at(prompt.stamp_ns or frame.stamp_ns)
        taken: dict[int, int] = {}  # id in the mask -> object
        for object_id in ids_in(masks):
            mask = drawn == object_id
            look = _look(cells, mask)
            whose = self._whose(object_id, mask, look, ours, cells, prompt, known)
            if whose and whose not in taken.values():
                taken[object_id] = whose
                self._objects.setdefault(whose, _Object()).learn(look)
        if not taken:
            return None
        chosen = np.zeros(masks.shape, label_dtype(tuple(taken.values())))
        for object_id, whose in taken.items():
            chosen[masks == object_id] = whose
        made = frozenset(whose for k, whose in taken.items() if k in prompt.made_ids)
        return replace(prompt, label_map=chosen, unsure_ids=frozenset(), made_ids=made)

    def _whose(
        self,
        object_id: int,
        mask: Mask,
        look: Look | None,
        ours: LabelMap | None,
        cells: Array,
        prompt: Prompt,
        known: Sequence[int],
    ) -> int:
        """Return the object that a mask is for; 0 = it is not needed."""
        if object_id not in known:
            is_new = not known or object_id not in prompt.unsure_ids
            return object_id if is_new else self._lost_one(look, known)
        each = self._objects.setdefault(object_id, _Object())
        if self._is_lost(object_id):
            return object_id if each.apart(look) <= _ALIKE_LOST else 0
        found = (
            np.zeros_like(mask)
            if ours is None or ours.shape != mask.shape
            else (ours == object_id)
        )
        if _overlap(mask, found) >= self._init.disagree_overlap:
            each.disagreements, each.last = 0, None
            each.learn(look)
            return 0
        if self._init.when == 'lost':
            return 0
        is_same = each.last is not None and _overlap(mask, each.last) >= _SAME
        each.disagreements = each.disagreements + 1 if is_same else 1
        each.last = mask
        if each.disagreements < self._init.disagree_frames:
            return 0
        # Who is right? The one whose mask looks like the object; of two alike, ours.
        apart, ours_apart = each.apart(look), each.apart(_look(cells, found))
        is_gone = np.count_nonzero(found) < LEAST_CELLS
        if not each.looks or apart > _ALIKE or not (is_gone or apart < ours_apart / 2):
            return 0
        each.disagreements, each.last = 0, None
        return object_id

    def _lost_one(self, look: Look | None, known: Sequence[int]) -> int:
        """Return which of the lost objects looks like a mask that nobody gave an id; 0 = none."""
        if look is None:
            return 0
        lost = [
            (each.apart(look), k)
            for k, each in self._objects.items()
            if k in known and each.looks and self._is_lost(k)
        ]
        apart, object_id = min(lost, default=(np.inf, 0))
        return object_id if apart <= _ALIKE else 0

    def _is_lost(self, object_id: int) -> bool:
        return self._states.get(object_id) is ObjectState.LOST

    def _at(self, stamp_ns: int) -> LabelMap | None:
        """Return what was found on the frame nearest to a time."""
        if not self._seen:
            return None
        return min(self._seen, key=lambda seen: abs(seen[0] - stamp_ns))[1]


def _step(size: Iterable[int]) -> int:
    return max(1, min(size) // _CELLS)


def _on_cells(label_map: LabelMap) -> LabelMap:
    """Sample a label map (H, W): a copy, as small as will do."""
    step = _step(label_map.shape)
    return np.ascontiguousarray(label_map[step // 2 :: step, step // 2 :: step])


def _colours(frame: Frame) -> Array:
    """Return colours (h, w, 3) 0..1, RGB, of the cells of `_on_cells`."""
    step = _step(frame.size)
    smooth = cv2.blur(frame.image, (step, step)) if step > 1 else frame.image
    cells = smooth[step // 2 :: step, step // 2 :: step].astype(np.float64) / 255
    return cells if frame.encoding == 'rgb8' else cells[..., ::-1]


def _look(cells: Array, mask: Mask) -> Look | None:
    inside = cells[mask]
    return look_of(inside.T) if len(inside) >= LEAST_CELLS else None


def _overlap(one: Mask, other: Mask) -> float:
    """Return intersection over union; 0 where both are empty, or of images of other sizes."""
    if one.shape != other.shape:
        return 0.0
    union = int(np.count_nonzero(one | other))
    return int(np.count_nonzero(one & other)) / union if union else 0.0
