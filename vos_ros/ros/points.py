# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Points on an image to prompts: geometry_msgs/PointStamped, and the Point of a click in rqt.

x and y are px of the image. z says which object is meant: 0 = a new one, k = object k (on it),
-k = a place that is not on object k. Points of one object with one stamp are one prompt.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
import math
import time

from vos_ros.errors import VosError
from vos_ros.formats.boxes import Points
from vos_ros.ros.detections import BoxPrompt

_MAX_ID = 65535
#: For so long an id that was given to a point is taken, although its object is not known yet, s.
_ON_ITS_WAY_S = 5.0
#: Points of one object that are remembered.
_MOST = 32

Place = tuple[float, float]


class Clicks:
    """Collects the points of each object; not for several threads."""

    def __init__(self) -> None:
        """Begin without any."""
        self._given: deque[tuple[float, int]] = deque(maxlen=256)  # when, object id
        self._stamp_ns = 0
        self._on: dict[int, list[Place]] = {}  # of the newest stamp
        self._beside: dict[int, list[Place]] = {}

    def take(
        self, x: float, y: float, z: float, stamp_ns: int, known: Collection[int]
    ) -> BoxPrompt | None:
        """
        Take a point.

        :param x, y: px of the image.
        :param z: see the module.
        :param stamp_ns: of the image; 0 = the newest one.
        :param known: ids in use.
        :return: what to look for; None while nothing but places beside the object are known.
        :raises VosError: no numbers, or no such id.
        """
        if not all(math.isfinite(value) for value in (x, y, z)):
            raise VosError(f'a point must hold finite numbers, not ({x}, {y}, {z})')
        if abs(z) > _MAX_ID or z != round(z):
            raise VosError(
                f'z of a point is the id of its object (0 = a new one, -k = not on object k), '
                f'not {z:g}'
            )
        object_id = abs(int(z)) or self._free_id(known)
        self._given.append((time.monotonic(), object_id))
        if not stamp_ns or stamp_ns != self._stamp_ns:
            self._stamp_ns = stamp_ns
            self._on, self._beside = {}, {}
        places = (self._beside if z < 0 else self._on).setdefault(object_id, [])
        if len(places) < _MOST:
            places.append((x, y))
        on = self._on.get(object_id)
        if not on:
            return None
        hint = Points(tuple(on), beside=tuple(self._beside.get(object_id, ())))
        return BoxPrompt({object_id: hint}, {}, stamp_ns)

    def clear(self) -> None:
        """Forget all."""
        self._given.clear()
        self._stamp_ns = 0
        self._on, self._beside = {}, {}

    def _free_id(self, known: Collection[int]) -> int:
        since = time.monotonic() - _ON_ITS_WAY_S
        taken = {*known, *(i for given_at, i in self._given if given_at > since)}
        return next(i for i in range(1, _MAX_ID + 1) if i not in taken)
