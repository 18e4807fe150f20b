# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the page shows and steers: cameras, whatever is behind them. No web and no ROS here."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
import threading
import time
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from vos_ros.datatypes import Frame, LabelMap
from vos_ros.errors import VosError
from vos_ros.stream.mailbox import FrameRing

#: Labels that are older than this, s, belong to the past: the picture is shown without them.
_STALE_S = 1.0


@dataclass(frozen=True, eq=False)
class Shot:
    """
    One picture to show.

    :param stamp_ns: of its image.
    :param read_frame: decodes the image; VosError where it cannot.
    :param read_labels: gives its labels (H, W); None where there are none.
    :param source: the image as it came.
    """

    stamp_ns: int
    read_frame: Callable[[], Frame]
    read_labels: Callable[[], LabelMap] | None
    source: Any = None


class Camera(Protocol):
    """A camera and what follows its objects. Called from the thread of the web server."""

    name: str

    def current(self) -> Shot | None:
        """Return the picture to show now."""

    def status(self) -> dict[str, Any]:
        """Say how it is, as JSON: notices, objects, latency."""

    def prompt(self, shot: Shot, label_map: LabelMap, names: Mapping[int, str]) -> Future[str]:
        """Start objects on a picture; the future says in words what was done."""

    def act(self, what: str, values: Mapping[str, Any]) -> Future[str]:
        """Do something else that a button asks for: remove, reset, enable, run, ..."""

    def watch(self, viewers: int) -> None:
        """Tell how many look at it."""


class Source(Protocol):
    """Where cameras come from."""

    mode: str

    def cameras(self) -> Mapping[str, Camera]:
        """Return the cameras there are by now."""


class Feed:
    """
    Pairs images with their labels: newest pair wins. For any thread.

    :param max_nbytes: of images that wait for their labels.
    """

    def __init__(self, max_nbytes: int = 128 << 20) -> None:
        self._lock = threading.Lock()
        self._images: FrameRing[tuple[Any, int]] = FrameRing(256, max_nbytes, lambda i: i[1])
        self._pair: tuple[int, Any, Any, float] | None = None
        self._image_at = self._labels_at = float('-inf')

    def put_image(self, stamp_ns: int, image: Any, nbytes: int) -> None:
        """
        Keep an image.

        :param image: as it came.
        :param nbytes: that it keeps in memory.
        """
        with self._lock:
            self._images.put(stamp_ns, (image, nbytes))
            self._image_at = time.monotonic()

    def put_labels(self, stamp_ns: int, labels: Any) -> None:
        """
        Keep labels with the image of exactly this stamp.

        :param labels: as they came.
        """
        with self._lock:
            self._labels_at = time.monotonic()
            found = self._images.find(stamp_ns)
            if found is not None:
                self._pair = stamp_ns, found[0], labels, self._labels_at

    def newest(self) -> tuple[int, Any, Any] | None:
        """Return stamp_ns, image and labels (None = without); None while there is no image."""
        with self._lock:
            pair, newest = self._pair, self._images.newest()
            if pair is not None and time.monotonic() - pair[3] < _STALE_S:
                return pair[:3]
            return None if newest is None else (newest[0], newest[1][0], None)

    def ages_s(self) -> tuple[float, float]:
        """Return how long ago the last image and the last labels came, s; inf = never."""
        now = time.monotonic()
        return now - self._image_at, now - self._labels_at

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._images.clear()
            self._pair = None
            self._image_at = self._labels_at = float('-inf')


def runs_of(numbers: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """
    Return runs of equal numbers, row by row.

    :param numbers: (H, W).
    :return: (N,) the number of each run, and (N,) its length.
    """
    flat = numbers.ravel()
    starts = np.concatenate(([0], np.flatnonzero(np.diff(flat)) + 1))
    return flat[starts], np.diff(np.append(starts, flat.size))


def to_runs(numbers: npt.NDArray[Any]) -> npt.NDArray[np.uint32]:
    """
    Write a map as runs of equal numbers in four bytes each.

    :param numbers: (H, W), 0..255, fewer than 2^24 pixels.
    :return: (N,) number in the upper 8 bits, length in the lower 24.
    """
    values, lengths = runs_of(numbers)
    runs: npt.NDArray[np.uint32] = (values.astype('<u4') << 24) | lengths.astype('<u4')
    return runs


def from_runs(runs: Any, size: tuple[int, int]) -> LabelMap:
    """
    Read ids from runs as the page sends them.

    :param runs: [id, length, id, length, ...], row by row; ids 0 to 65535.
    :param size: height and width that they must fill.
    :return: (H, W) uint8, or uint16 where an id is above 254.
    :raises VosError: they do not.
    """
    try:
        numbers = np.array(runs, np.int64).reshape(-1, 2)
    except (ValueError, TypeError, OverflowError):
        raise VosError('a painted mask is a list of id, length, id, length') from None
    ids, lengths = numbers[:, 0], numbers[:, 1]
    total = size[0] * size[1]
    bad = not len(numbers) or ids.min() < 0 or ids.max() > 65535 or lengths.min() < 1
    if bad or lengths.max() > total or int(lengths.sum()) != total:
        raise VosError(f'a painted mask must fill the image of {size[1]}x{size[0]} with ids')
    dtype = np.uint8 if ids.max() < 255 else np.uint16
    labels: LabelMap = np.repeat(ids.astype(dtype), lengths).reshape(size)
    return labels


def to_ids(values: Any) -> Collection[int]:
    """
    Read object ids that the page sends.

    :raises VosError: something else.
    """
    if not isinstance(values, list) or not 0 < len(values) <= 254:
        raise VosError('name 1 to 254 objects')
    if not all(isinstance(v, int) and not isinstance(v, bool) and 0 < v < 65536 for v in values):
        raise VosError('objects have ids from 1 to 65535')
    return values
