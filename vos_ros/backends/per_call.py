# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Models that take only so many objects in one call, or always the same number."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from vos_ros.backends.base import Backend, Features, Window
from vos_ros.datatypes import Float


class ObjectsPerCall:
    """
    A Backend that gives another one at most `count` objects at a time.

    :param is_fixed: the other one takes neither more nor less: missing ones are filled with zeros.
    """

    def __init__(self, backend: Backend, count: int, *, is_fixed: bool) -> None:
        self._backend, self._count, self._is_fixed = backend, count, is_fixed
        self.fallbacks = backend.fallbacks
        self.takes_windows = backend.takes_windows

    @property
    def name(self) -> str:
        """See Backend."""
        return self._backend.name

    @property
    def precision(self) -> str:
        """See Backend."""
        return self._backend.precision

    def encode_image(self, image: Float) -> Features:
        """See Backend."""
        return self._backend.encode_image(image)

    def segment(
        self,
        features: Features,
        memory_key: Float,
        memory_value: Float,
        window: Window | None = None,
    ) -> Float:
        """See Backend; objects of different calls do not know of each other."""

        def call(part: slice) -> Float:
            values = self._filled(memory_value[part])
            return self._backend.segment(features, memory_key, values, window)

        return self._gather(len(memory_value), call)

    def encode_mask(
        self, features: Features, masks: Float, others: Float, window: Window | None = None
    ) -> Float:
        """See Backend."""

        def call(part: slice) -> Float:
            masks_of, others_of = (self._filled(x[part]) for x in (masks, others))
            return self._backend.encode_mask(features, masks_of, others_of, window)

        return self._gather(len(masks), call)

    def _gather(self, objects: int, call: Callable[[slice], Float]) -> Float:
        found = [call(part)[: part.stop - part.start] for part in self._parts(objects)]
        return found[0] if len(found) == 1 else np.concatenate(found)

    def _parts(self, objects: int) -> Iterator[slice]:
        for start in range(0, objects, self._count):
            yield slice(start, min(start + self._count, objects))

    def _filled(self, rows: Float) -> Float:
        missing = self._count - len(rows)
        if not self._is_fixed or missing == 0:
            return rows
        return np.concatenate([rows, np.zeros((missing, *rows.shape[1:]), rows.dtype)])
