# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
From what a hand or a detector gives (boxes, clicks, strokes) to a mask, by the prompt network.

Where there is no such model, GrabCut answers for boxes and clicks (`formats/boxes.py`), and what
is painted is the mask.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from vos_ros.backends.base import Size
from vos_ros.backends.prompt_model import (
    DEFAULT,
    known_prompt_models,
    Network,
    open_prompt_network,
)
from vos_ros.datatypes import check_frame, Float, Frame, LabelMap, Prompt
from vos_ros.engine.window import (
    BOX_WINDOW,
    cut,
    extent_of,
    Hint,
    maps_of,
    put_back,
    Window,
    window_at,
    windows_of,
)
from vos_ros.errors import VosError
from vos_ros.formats.boxes import Box, draw_box, draw_points, Points
from vos_ros.formats.marks import Marks

Mask = npt.NDArray[np.uint8]

#: Looked at once more where the object fills less than this share of its window's side.
_SMALL = 0.6
#: The second look counts unless it is thought to be this much worse.
_WORSE = 0.1
#: A part without a stroke that is smaller than this share of the largest is a crumb.
_CRUMB = 0.1
#: A box may be drawn a little too tight, by this share of its sides.
_BOX_SLACK = 0.04


class Prompter:
    """
    Finds the object that boxes, clicks or strokes mean.

    :param network: image (N, 3, SIDE, SIDE) RGB 0..255 and maps (N, MAPS, SIDE, SIDE) -> logits
        (N, h, w) and how much of the whole object each mask is thought to be (N,), 0..1. None =
        GrabCut for boxes and clicks, and strokes as they are.
    :param name: of what answers, for reports.
    """

    def __init__(self, network: Network | None, name: str = 'GrabCut') -> None:
        self._network = network
        self.name = name

    @classmethod
    def open(cls, model: str = DEFAULT, threads: int = 1) -> Prompter:
        """
        Open a prompt model by name or folder.

        :param model: '' = GrabCut. So is the default one where no model folder has it.
        :param threads: for it alone; 0 = the processors there are, at most 4.
        :raises VosError: there is no such model, or it is damaged.
        """
        if not model or (model == DEFAULT and DEFAULT not in known_prompt_models()):
            return cls(None)
        return cls(open_prompt_network(model, threads), model)

    @property
    def has_network(self) -> bool:
        """Whether a network answers, so that strokes are more than the pixels painted."""
        return self._network is not None

    def prompt_of(self, frame: Frame, hints: Mapping[int, Hint]) -> Prompt:
        """
        Make the prompt of boxes, clicks and strokes.

        :param frame: the image on which they were drawn.
        :param hints: object id (1 to 65535) -> what says where it is.
        :raises VosError: one of them lies outside of the image, or is hidden behind the others.
        """
        wrong = [object_id for object_id in hints if not 0 < object_id < 2**16]
        if wrong or not hints:
            raise VosError(f'objects have ids from 1 to 65535, not {wrong}; give at least one')
        label_map, problems = self.draw(frame, hints)
        if problems:
            raise VosError('; '.join(problems))
        hidden = sorted(set(hints).difference(np.unique(label_map).tolist()))
        if hidden:
            raise VosError(f'objects {hidden} lie behind the others; draw them elsewhere')
        return Prompt(label_map, frame.stamp_ns, made_ids=frozenset(hints))

    def from_box(self, frame: Frame, box: Box, object_id: int = 1) -> Prompt:
        """
        Make a prompt of one box.

        :param box: around the object, on `frame`.
        :raises VosError: it lies outside of the image.
        """
        return self.prompt_of(frame, {object_id: box})

    def from_points(
        self,
        frame: Frame,
        places: Sequence[tuple[float, float]],
        object_id: int = 1,
        beside: Sequence[tuple[float, float]] = (),
    ) -> Prompt:
        """
        Make a prompt of clicks.

        :param places: x, y of each click on the object, px.
        :param beside: x, y of clicks on what is not the object.
        :raises VosError: one lies outside of the image.
        """
        return self.prompt_of(frame, {object_id: Points(tuple(places), beside=tuple(beside))})

    def draw(self, frame: Frame, hints: Mapping[int, Hint]) -> tuple[LabelMap, tuple[str, ...]]:
        """
        Draw a mask for each object; smaller ones go on top of larger ones.

        :param hints: object id -> box, clicks or strokes.
        :return: (H, W) uint8 or uint16 ids, and one line for each that could not be drawn.
        """
        check_frame(frame)  # once: what is wrong with one hint is said of that alone
        dtype = np.uint8 if max(hints, default=0) < 255 else np.uint16
        label_map: LabelMap = np.zeros(frame.size, dtype)
        problems: list[str] = []
        found: dict[int, Mask] = {}
        for object_id, hint in hints.items():
            try:
                found[object_id] = self.find(frame, hint)
            except VosError as error:
                problems.append(f'object {object_id}: {error}')
        for object_id in sorted(found, key=lambda k: -int(np.count_nonzero(found[k]))):
            label_map[found[object_id] > 0] = object_id
        return label_map, tuple(problems)

    def find(self, frame: Frame, hint: Hint) -> Mask:
        """
        Return the mask of one object, (H, W) uint8, 1 = object.

        :raises VosError: what says where it is lies outside of the image.
        """
        check_frame(frame)
        _check(hint, frame.size)
        if self._network is None:
            return _without_network(frame, hint)
        if isinstance(hint, Marks) and hint.box is not None:
            # As in training: what is found in the box is shown again with the strokes.
            before = _sigmoid(self._find_by(self._network, frame, hint.box))
            windows = windows_of(hint, frame.size)
            logits, _ = self._look(self._network, frame, hint, windows, before)
            found = put_back(logits[0], windows[0], frame.size)
        else:
            found = self._find_by(self._network, frame, hint)
        return _tidied((found > 0).astype(np.uint8), hint)

    def _find_by(self, network: Network, frame: Frame, hint: Hint) -> Float:
        """Return logits (H, W) of what a hint means."""
        windows = windows_of(hint, frame.size)
        logits, quality = self._look(network, frame, hint, windows)
        best = int(np.argmax(quality))
        found = put_back(logits[best], windows[best], frame.size)
        if isinstance(hint, Box):
            # Shown what it found, the network corrects it. Not so with clicks: no gain was seen.
            logits, quality = self._look(network, frame, hint, windows, _sigmoid(found))
            found = put_back(logits[best], windows[best], frame.size)
        again = _closer(found > 0, windows[best], frame.size)
        if again is not None:
            before = _sigmoid(found)
            closer, of_closer = self._look(network, frame, hint, [again], before)
            if of_closer[0] > quality[best] - _WORSE:
                found = put_back(closer[0], again, frame.size)
        return found

    @staticmethod
    def _look(
        network: Network,
        frame: Frame,
        hint: Hint,
        windows: Sequence[Window],
        before: Float | None = None,
    ) -> tuple[Float, Float]:
        shown = np.stack([cut(frame.image, window) for window in windows])
        if frame.encoding == 'bgr8':
            shown = shown[..., ::-1]
        images = np.ascontiguousarray(shown.transpose(0, 3, 1, 2), np.float32)
        return network(images, np.stack([maps_of(hint, window, before) for window in windows]))


def _check(hint: Hint, size: Size) -> None:
    height, width = size
    if isinstance(hint, Points):
        hint.check_inside(size)
    if isinstance(hint, Marks) and hint.on.shape != size:
        raise VosError(
            f'strokes are of {hint.on.shape[1]}x{hint.on.shape[0]}, the image is of '
            f'{width}x{height}; draw them on the image itself'
        )
    box = hint.box if isinstance(hint, Marks) else hint
    if isinstance(box, Box):
        corners = box.corners()
        (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
        if right < 0 or bottom < 0 or left > width - 1 or top > height - 1:
            raise VosError(
                f'the box around ({box.x:g}, {box.y:g}) lies outside of the image of '
                f'{width}x{height}; was it drawn on another one?'
            )


def _without_network(frame: Frame, hint: Hint) -> Mask:
    if isinstance(hint, Box):
        return draw_box(frame, hint)
    if isinstance(hint, Points):
        return draw_points(frame, hint)
    mask: Mask = (hint.on > 0).astype(np.uint8)
    if hint.box is not None:
        mask |= draw_box(frame, hint.box)
    if hint.off is not None:
        mask[hint.off > 0] = 0
    return mask


def _closer(found: npt.NDArray[np.bool_], window: Window, size: Size) -> Window | None:
    """Return a window that the object fills, None where it does already or was not found."""
    x, y, width, height = cv2.boundingRect(found.astype(np.uint8))
    if not width or max(width, height) >= _SMALL * window.side:
        return None
    return window_at(x + width / 2, y + height / 2, BOX_WINDOW * max(width, height), size)


def _tidied(mask: Mask, hint: Hint) -> Mask:
    """Leave out crumbs and what cannot be meant; what a hand has painted is certain."""
    box = hint.box if isinstance(hint, Marks) else hint
    if isinstance(box, Box):
        grown = Box(
            box.x,
            box.y,
            box.width * (1 + 2 * _BOX_SLACK),
            box.height * (1 + 2 * _BOX_SLACK),
            box.theta,
        )
        inside = np.zeros_like(mask)
        corners = np.round(grown.corners()).clip(-(2**14), 2**14)
        cv2.fillConvexPoly(inside, corners.astype(np.int32), 1)
        mask &= inside
    if isinstance(hint, Marks):
        mask |= (hint.on > 0).astype(np.uint8)
        if hint.off is not None:
            mask[hint.off > 0] = 0
    count, parts, stats, _ = cv2.connectedComponentsWithStats(mask)
    if count > 2:
        areas = stats[:, cv2.CC_STAT_AREA]
        kept = areas >= _CRUMB * areas[1:].max()
        for part in _parts_under(parts, hint):
            kept[part] = True
        kept[0] = False
        mask = kept[parts].astype(np.uint8)
    if not mask.any():
        raise VosError('nothing was found there; draw a box, or paint the object')
    return mask


def _parts_under(parts: npt.NDArray[Any], hint: Hint) -> set[int]:
    if isinstance(hint, Box):
        return set()
    if isinstance(hint, Marks):
        return set(np.unique(parts[hint.on > 0]).tolist())
    bottom, right = parts.shape[0] - 1, parts.shape[1] - 1
    # A click on the image's far border rounds to a pixel beyond it.
    return {int(parts[min(round(y), bottom), min(round(x), right)]) for x, y in hint.places}


def _sigmoid(logits: Float) -> Float:
    prob: Float = (1 / (1 + np.exp(-logits))).astype(np.float32)
    return prob


__all__ = ['Hint', 'Network', 'Prompter', 'extent_of']
