# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which objects were forgotten, and when: results of images from before are still to come."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import numpy as np

from vos_ros.datatypes import LabelMap

_ALL = 0  # no object has this id


class Objects(NamedTuple):
    """Some objects, or all."""

    ids: frozenset[int]
    are_all: bool

    def among(self, known: Collection[int]) -> list[int]:
        """Return those of some ids that are meant."""
        return [i for i in known if self.are_all or i in self.ids]

    def left_out(self, label_map: LabelMap) -> LabelMap:
        """Return labels without them: the very same array where nothing is meant."""
        if not self.ids and not self.are_all:
            return label_map
        left: LabelMap = label_map.copy()
        left[np.isin(left, list(self.ids)) | self.are_all] = 0
        return left


class Forgotten:
    """
    What was forgotten since an image came is on its result all the same; not locked.

    Under the same ids there may be other objects on the images after that.
    """

    def __init__(self) -> None:
        """Begin with nothing forgotten."""
        self._since_s: dict[int, float] = {}  # when, by id; _ALL = all

    def note(self, object_ids: Collection[int] | None, now: float) -> None:
        """
        Note that objects are forgotten.

        :param object_ids: of these; None = all.
        :param now: s of `time.perf_counter`.
        """
        ids = (_ALL,) if object_ids is None else object_ids
        self._since_s |= dict.fromkeys(ids, now)

    def take_before(self, arrived: float) -> Objects:
        """
        Return what was forgotten before an image came, and drop it.

        :param arrived: when it came, s of `time.perf_counter`; no image that came before it may
            be asked for any more.
        """
        before = [i for i, since in self._since_s.items() if since < arrived]
        for object_id in before:
            del self._since_s[object_id]
        return _objects(before)

    @property
    def rest(self) -> Objects:
        """What was forgotten and is not taken: since the image came that was asked for last."""
        return _objects(self._since_s)


def _objects(ids: Collection[int]) -> Objects:
    return Objects(frozenset(ids) - {_ALL}, _ALL in ids)
