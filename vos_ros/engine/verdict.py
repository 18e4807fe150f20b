# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Verdict: what the frames before make of one, and what is kept of it until the next."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from vos_ros.backends.base import Features, Size
from vos_ros.config import LostConfig
from vos_ros.datatypes import Float, ObjectState
from vos_ros.engine.tracking import advance, begin, Doubt, Sight, Track

V = TypeVar('V')


@dataclass(frozen=True, eq=False)
class Verdict:
    """
    What the frames before make of one.

    :param scores: per id, mean probability.
    :param tracks: with this frame in them.
    :param doubts: of the objects whose mask is not to be believed.
    """

    scores: dict[int, float]
    tracks: dict[int, Track]
    doubts: dict[int, Doubt]

    @property
    def states(self) -> dict[int, ObjectState]:
        """Whether each object is tracked, occluded or lost."""
        return {object_id: track.state for object_id, track in self.tracks.items()}

    @property
    def believed(self) -> tuple[int, ...]:
        """Ids of the objects whose mask is to be believed."""
        return tuple(k for k in self.tracks if k not in self.doubts)


def judge(
    sights: Mapping[int, Sight],
    before: Mapping[int, Track],
    seconds: float,
    lost: LostConfig,
    min_score: float,
) -> Verdict:
    """
    Take one more frame into account.

    :param sights: of objects that were known.
    :param before: their tracks; one without begins here.
    :param seconds: since the frame before.
    :param lost: the limits.
    :param min_score: below it a mask is not memorised.
    """
    tracks: dict[int, Track] = {}
    doubts: dict[int, Doubt] = {}
    for object_id, sight in sights.items():
        track = before.get(object_id) or begin(sight)
        tracks[object_id], doubt = advance(track, sight, seconds, lost, min_score)
        if doubt is not None:
            doubts[object_id] = doubt
    return Verdict({k: sight.score for k, sight in sights.items()}, tracks, doubts)


class Later(Mapping[int, V]):
    """
    A dict per object id, made when it is first looked into.

    :param object_ids: its keys.
    :param make: called once, for the dict.
    """

    def __init__(self, object_ids: Sequence[int], make: Callable[[], dict[int, V]]) -> None:
        self._object_ids = object_ids
        self._make = make

    @cached_property
    def _made(self) -> dict[int, V]:
        return self._make()

    def __getitem__(self, object_id: int) -> V:
        """Return what belongs to an object."""
        return self._made[object_id]

    def __iter__(self) -> Iterator[int]:
        """Go through the ids."""
        return iter(self._object_ids)

    def __len__(self) -> int:
        """Return the number of objects."""
        return len(self._object_ids)

    def __reduce__(self) -> tuple[type, tuple[dict[int, V]]]:
        """Be pickled and copied as the dict: what makes it stays in its process."""
        return dict, (dict(self),)

    def __repr__(self) -> str:
        """Show it as a dict."""
        return repr(self._made)


@dataclass(frozen=True, eq=False)
class Segmented:
    """What memorize() needs of the last frame."""

    features: Features
    size: Size  # (H, W) of its image, px
    prob: Float
    object_ids: tuple[int, ...]
    verdict: Callable[[], Verdict]  # worked out when first asked for
    stamp_ns: int
    seconds: float  # since the frame before
    written: tuple[int, ...] = ()  # their memory was written with the prompt
    drawn: tuple[int, ...] = ()  # their mask is the prompt's own


@dataclass(frozen=True, eq=False)
class Memorized:
    """What is kept of the frame whose image is in the workspace, once it was memorised."""

    prob: Float
    object_ids: tuple[int, ...]
    believed: tuple[int, ...]
