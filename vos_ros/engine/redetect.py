# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Redetector: an object that went away comes back as itself, and nothing else is taken for it.

Reading the memory finds whatever looks most like an object, wherever it is: a look-alike that
comes while the object is away is taken, memorised, and then followed for good. So while an object
is not tracked, or is found where it cannot have got to, its mask must prove itself by colours
(`appearance.py`) against the views kept while it was well seen. What fails belongs to the
background. An object that is not found by the prompted frame is searched for with the views, one
extra pass every few frames, after the labels are out.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from vos_ros.backends.base import Manifest
from vos_ros.config import RedetectConfig
from vos_ros.datatypes import Float
from vos_ros.engine.appearance import (
    closest_pair,
    distance,
    Look,
    look_at,
    Mask,
)

#: Looks kept of each object; 12 numbers each.
_LOOKS = 8
#: Share of `max_distance` from which a look is a new one.
_NEW = 0.5
#: Checks in a row with the same look before it is kept: what is there for a moment is a mistake,
#: or something that passes in front.
_STEADY = 3
#: Times its usual distance to the views that an object may be away from them.
_USUAL = 2.0
#: Weight of the newest check in the usual distance.
_NEWEST = 0.1
#: A part with less than this share of the cells of the largest is no candidate of its own.
_PART = 0.2
#: Share of the candidate's tokens whose best match on the view is the object, and back.
_FORTH, _BACK = 0.5, 0.25
#: Mean probability below which what a search finds is nothing.
_LEAST_SCORE = 0.6


@dataclass(eq=False)
class _View:
    """One frame on which an object was well seen, as the memory keeps it."""

    look: Look
    key: Float  # (key_dim, tokens)
    value: Float  # (value_dim, tokens)
    tokens: Mask  # (tokens,) those of the object


@dataclass(eq=False)
class _Known:
    """What is kept of one object."""

    looks: list[Look]
    views: list[_View] = field(default_factory=list)
    usual: float = 0.0  # distance to the looks
    last: Look | None = None
    steady: int = 0  # checks in a row with the same look
    turn: int = 0  # searches so far
    wanted: Look | None = None  # a view that is to be kept once its values are known


class Redetector:
    """
    What is kept of all objects, to recognise them; bounded by `views` and the number of objects.

    :param manifest: of the model.
    :param config: how strict it is, and how much is kept.
    """

    def __init__(self, manifest: Manifest, config: RedetectConfig) -> None:
        self._config = config
        self._mean = np.asarray(manifest.mean, np.float64)
        self._std = np.asarray(manifest.std, np.float64)
        self._known: dict[int, _Known] = {}
        self._checked = 0
        self._since = 0  # frames since the last search
        self._searched = 0

    @property
    def nbytes(self) -> int:
        """Bytes of the views kept."""
        views = [view for known in self._known.values() for view in known.views]
        return sum(view.key.nbytes + view.value.nbytes + view.tokens.nbytes for view in views)

    # What is known

    def begin(self, object_ids: Sequence[int], prob: Float, image: Float) -> None:
        """
        Take note of objects that were just prompted; what was known of them is forgotten.

        :param object_ids: of the rows of `prob`.
        :param prob: (K, h, w) their masks.
        :param image: (3, H, W) the network's input.
        """
        for object_id, plane in zip(object_ids, prob):
            look = self._look(image, plane > 0.5)
            self._known[object_id] = _Known([look] if look is not None else [])

    def remove(self, object_ids: Iterable[int]) -> None:
        """Forget these objects."""
        for object_id in object_ids:
            self._known.pop(object_id, None)

    def clear(self) -> None:
        """Forget all objects."""
        self._known.clear()

    def adopt(self, other: Redetector) -> None:
        """Take over what another one knows."""
        self._known |= other._known

    def forget_views(self) -> None:
        """Drop what belongs to the network's size; colours stay."""
        for known in self._known.values():
            known.views.clear()

    def study(self, object_ids: Sequence[int], prob: Float, image: Float) -> int | None:
        """
        Look at one of the objects that are well seen, in turn.

        :param object_ids: of those.
        :param prob: (K, h, w) their masks.
        :param image: (3, H, W) the network's input.
        :return: an object of which this frame is worth a view, see `keep`.
        """
        if not object_ids:
            return None
        self._checked += 1
        row = self._checked % len(object_ids)
        known = self._known.setdefault(object_ids[row], _Known([]))
        look = self._look(image, prob[row] > 0.5)
        if look is None:
            return None
        is_same = known.last is not None and distance(look, known.last) < self._config.max_distance
        known.steady = known.steady + 1 if is_same else 1
        known.last = look
        away = _nearest(look, known.looks)
        if known.steady < _STEADY:
            return None
        known.usual += _NEWEST * (min(away, self._config.max_distance) - known.usual)
        if away > _NEW * self._config.max_distance:
            known.looks.append(look)
            if len(known.looks) > _LOOKS:
                del known.looks[closest_pair(known.looks)]
        elif known.views:
            return None
        known.wanted = look
        return object_ids[row]

    def keep(self, object_id: int, prob: Float, key: Float, value: Float) -> None:
        """
        Keep a frame as a view of an object, as `study` said; the least different one gives way.

        :param prob: (h, w) its mask.
        :param key: (key_dim, tokens) of the frame.
        :param value: (value_dim, tokens) of the object on it.
        """
        known = self._known.get(object_id)
        if known is None or known.wanted is None or not self._config.views:
            return
        size = prob.shape[0] // 4, prob.shape[1] // 4
        tokens = _at_tokens(prob > 0.5, size)
        known.views.append(_View(known.wanted, key.copy(), value.copy(), tokens))
        known.wanted = None
        if len(known.views) > self._config.views:
            looks = [known.looks[0], *(view.look for view in known.views)]
            del known.views[closest_pair(looks) - 1]

    # Whether it is the object

    def prove(
        self, prob: Float, object_ids: Sequence[int], asked: Collection[int], image: Float
    ) -> dict[int, float]:
        """
        Give to the background what does not look like the object, in place.

        :param prob: (K + 1, h, w), row 0 = background; still sums to 1 afterwards.
        :param object_ids: of its other rows.
        :param asked: objects that have to prove themselves.
        :param image: (3, H, W) the network's input.
        :return: of those that were found: how much what is most like it looks like it, 1 = just
            so; below 0.5 all was refused.
        """
        best, likeness = prob.max(axis=0), {}
        for object_id, plane in zip(object_ids, prob[1:]):
            known = self._known.get(object_id)
            if object_id not in asked or known is None or not known.looks:
                continue
            mask = (plane >= best) & (plane > 0)
            if not mask.any():
                continue
            accepted, likeness[object_id] = self._accepted(known, mask, image)
            is_wrong = mask & ~accepted
            if is_wrong.any():
                # What is left of it beside the mask goes, too, or outlines would show it.
                is_wrong = cv2.dilate(is_wrong.view(np.uint8), np.ones((5, 5), np.uint8)) > 0
                is_wrong &= ~accepted
                prob[0][is_wrong] += plane[is_wrong]
                plane[is_wrong] = 0
        return likeness

    def _accepted(self, known: _Known, mask: Mask, image: Float) -> tuple[Mask, float]:
        """Return the parts of a mask (h, w) that look like the object, and how much."""
        parts, apart = _parts(mask), []
        for part in parts:
            look = self._look(image, part)
            apart.append(np.inf if look is None else _nearest(look, known.looks))
        nearest, limit = min(apart, default=np.inf), self._limit(known)
        accepted = np.zeros_like(mask)
        for part, away in zip(parts, apart):
            # Of two that could be it, the one that is more alike.
            if away <= limit and away <= 2 * nearest + limit / 4:
                accepted |= part
        return accepted, float(0.5 ** (nearest / limit))

    def _limit(self, known: _Known) -> float:
        return max(self._config.max_distance, _USUAL * known.usual)

    def _look(self, image: Float, mask: Mask) -> Look | None:
        return look_at(image, mask, self._mean, self._std)

    # Where it is

    def is_due(self) -> bool:
        """Return whether the next search may be made; to be asked once a frame."""
        self._since += 1
        return self._since >= self._config.every_frames

    def search(
        self,
        missing: Sequence[int],
        read: Callable[[Float, Float], Float],
        key: Float,
        taken: Float,
        image: Float,
    ) -> tuple[int, Float] | None:
        """
        Look for one of the objects that are missing, in turn, by two of its views.

        :param missing: object ids.
        :param read: memory keys (2, key_dim, tokens), values (1, 2, value_dim, tokens) -> logits
            (1, h, w); one pass of the network.
        :param key: (key_dim, tokens) of this frame.
        :param taken: (h, w) probability of all other objects.
        :param image: (3, H, W) the network's input.
        :return: its id and where it is, (h, w) probabilities; None = not found.
        """
        known_of = {k: self._known[k] for k in missing if k in self._known}
        able = [k for k, known in known_of.items() if known.views and known.looks]
        if not able:
            return None
        self._since = 0
        self._searched += 1
        object_id = able[self._searched % len(able)]
        known = known_of[object_id]
        pair = [known.views[(known.turn + k) % len(known.views)] for k in (0, 1)]
        known.turn += 1
        keys, values = np.stack([v.key for v in pair]), np.stack([v.value for v in pair])
        odds = np.exp(np.clip(read(keys, values[None])[0], -16, 16))
        prob = odds / (1 + odds)
        mask = (prob > 0.5) & (prob > taken)
        for part in _parts(self._accepted(known, mask, image)[0]):
            if prob[part].mean() >= _LEAST_SCORE and self._closes(part, key, pair):
                return object_id, np.where(part, prob, np.float32(0))
        return None

    def _closes(self, part: Mask, key: Float, views: Sequence[_View]) -> bool:
        """Return whether the way from a candidate to a view, and back, ends where it began."""
        here = _at_tokens(part, (part.shape[0] // 4, part.shape[1] // 4))
        if not here.any():
            return False
        for view in views:
            if not view.tokens.any():
                continue
            forth = view.tokens[_matches(key[:, here], view.key)].mean()
            back = here[_matches(view.key[:, view.tokens], key)].mean()
            if forth >= _FORTH and back >= _BACK:
                return True
        return False


def put_in(prob: Float, row: int, plane: Float) -> Float:
    """
    Put an object where it was found, and nowhere else.

    :param prob: (K + 1, h, w), row 0 = background; sums to 1 over axis 0; not changed.
    :param row: of the object.
    :param plane: (h, w) its probability.
    :return: the same with it; what it had elsewhere is background. Sums to 1, also where it had
        all.
    """
    placed = prob * (1 - plane)
    placed[row] = plane
    placed[0] += np.maximum(1 - placed.sum(axis=0), 0)
    return placed


def _nearest(look: Look, looks: Sequence[Look]) -> float:
    return min((distance(look, other) for other in looks), default=np.inf)


def _parts(mask: Mask) -> list[Mask]:
    """Return the connected parts of a mask (h, w), the largest first, without crumbs."""
    count, numbers, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8))
    areas = stats[1:count, cv2.CC_STAT_AREA]
    order = np.argsort(-areas, kind='stable')
    return [numbers == 1 + k for k in order if areas[k] >= _PART * areas.max()]


def _at_tokens(mask: Mask, size: tuple[int, int]) -> Mask:
    """Return the tokens (h * w,) that a mask covers by half, of a small one those it touches."""
    share = cv2.resize(mask.astype(np.float32), size[::-1], interpolation=cv2.INTER_AREA)
    return np.asarray(share >= min(0.5, float(share.max()) * 0.9)).ravel() & (share.ravel() > 0)


def _matches(queries: Float, keys: Float) -> np.ndarray[tuple[int, ...], np.dtype[np.intp]]:
    """Return which key (C, m) each query (C, n) is nearest to, (n,)."""
    affinity = 2 * (keys.T @ queries) - (keys**2).sum(axis=0)[:, None]
    return np.asarray(affinity.argmax(axis=0))
