# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Labels of an image carried to a newer one by optical flow, which takes a few milliseconds.

While the network works, the camera goes on: its labels are two or three images old when they come.
Flow from each image to the one before it is found as images arrive (DIS, Kroeger et al., ECCV
2016), so what is left to do for new labels is to follow it back through the images since theirs.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from vos_ros.datatypes import Float, Frame, LabelMap
from vos_ros.engine.preprocess import MAX_ASPECT

#: Of the reduced images, px. On nine real clips at 24 Hz, J&F after two frames: 0.594 without
#: flow, 0.696 with 180 px, 0.710 with 240.
_SHORT_SIDE = 240
#: Shortest side of the reduced images, px. OpenCV chooses how often it halves lower images by
#: their width alone and then reads beyond them: 24x160 ends the process.
_LEAST_SIDE = 32
#: Images that flow is kept of at most, 0.6 to 0.8 MB each.
_MOST = 32
#: Around what is carried, px of the reduced images: what the reduction has rounded away.
_MARGIN = 2
_REPLICATE = cv2.BORDER_REPLICATE

Grey = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class _Seen:
    """
    One image.

    :param flow: (h, w, 2) where each of its pixels was on the image before, as a displacement in
        px of the reduced image; None = there is none before.
    """

    stamp_ns: int
    flow: Float | None


class Carrier:
    """
    Carries the newest labels to the newest image.

    :param max_age_ns: older labels are not carried: too much has changed.
    """

    def __init__(self, max_age_ns: int) -> None:
        self._max_age_ns = max_age_ns
        self.forget()

    def forget(self) -> None:
        """Begin anew: another camera, or another time."""
        # A new one: for small images it changes its own settings, and keeps them for larger ones.
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        self._grey: Grey | None = None
        self._size = (0, 0)
        self._seen: deque[_Seen] = deque(maxlen=_MOST)
        self._labels: LabelMap | None = None
        self._labels_ns = 0
        self._since: Float | None = None  # (h, w, 2) from the newest image to that of the labels
        self._twice_ns = 0  # a stamp of several images: whose its labels are cannot be told

    def see(self, frame: Frame) -> None:
        """
        Take in the next image.

        After one of another size, or a stamp that is not newer, nothing of before is known. One
        without a stamp, or so long that it is not segmented either, is not taken in.
        """
        last_ns = self._seen[-1].stamp_ns if self._seen else 0
        is_usable = frame.stamp_ns > 0 and max(frame.size) <= MAX_ASPECT * min(frame.size)
        if not is_usable or frame.size != self._size or frame.stamp_ns <= last_ns:
            self.forget()
        if not is_usable:
            return
        if frame.stamp_ns == last_ns:
            self._twice_ns = last_ns
        self._size = frame.size
        grey = _reduced(frame)
        flow: Float | None = None
        if self._grey is not None:
            found = self._flow.calc(grey, self._grey, None)  # type: ignore[call-overload]  # no hint
            flow = np.asarray(found, np.float32)
            if self._since is not None:
                self._since = _through(flow, self._since)
        self._grey = grey
        self._seen.append(_Seen(frame.stamp_ns, flow))
        while frame.stamp_ns - self._seen[0].stamp_ns > self._max_age_ns:
            self._seen.popleft()

    def know(self, label_map: LabelMap, stamp_ns: int) -> None:
        """
        Take in the newest labels.

        :param label_map: (H, W) of the size of the images; not to be changed afterwards.
        :param stamp_ns: of their image. If that was not seen, the last one before it counts.
        """
        later: list[Float] = []
        self._labels, self._since = None, None
        if stamp_ns == self._twice_ns:
            return
        for seen in reversed(self._seen):
            if seen.stamp_ns <= stamp_ns:
                break
            if seen.flow is None:
                return
            later.append(seen.flow)
        else:
            return
        if label_map.shape != self._size:
            return
        since: Float = np.zeros((*_reduced_size(self._size), 2), np.float32)
        for flow in reversed(later):
            since = _through(flow, since)
        self._labels, self._labels_ns, self._since = label_map, stamp_ns, since

    def carried(self) -> LabelMap | None:
        """
        Return the labels of the newest image, (H, W) of the dtype of those that are known.

        None = no labels are known, or only such that are too old.
        """
        if self._labels is None or self._since is None or not self._seen:
            return None
        age_ns = self._seen[-1].stamp_ns - self._labels_ns
        if age_ns > self._max_age_ns:
            return None
        return self._labels if age_ns <= 0 else _warped(self._labels, self._since)


def _reduced_size(size: tuple[int, int]) -> tuple[int, int]:
    scale = min(_SHORT_SIDE / min(size), 1.0)
    height, width = (max(round(side * scale), _LEAST_SIDE) for side in size)
    return height, width


def _reduced(frame: Frame) -> Grey:
    height, width = _reduced_size(frame.size)
    code = cv2.COLOR_RGB2GRAY if frame.encoding == 'rgb8' else cv2.COLOR_BGR2GRAY
    grey = cv2.cvtColor(np.ascontiguousarray(frame.image), code)
    return np.asarray(cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _places(height: int, width: int, top: int = 0, left: int = 0) -> tuple[Float, Float]:
    """Return y as a column and x as a row: whoever adds them makes the plane."""
    y = np.arange(top, top + height, dtype=np.float32)[:, None]
    x = np.arange(left, left + width, dtype=np.float32)[None]
    return y, x


def _through(flow: Float, since: Float) -> Float:
    """Follow `flow` one image back, and from there `since`."""
    y, x = _places(*flow.shape[:2])
    beyond = cv2.remap(
        since, flow[..., 0] + x, flow[..., 1] + y, cv2.INTER_LINEAR, borderMode=_REPLICATE
    )
    return np.asarray(flow + beyond, np.float32)


def _warped(labels: LabelMap, since: Float) -> LabelMap:
    """Fetch each pixel's label from where it was; only where anything is to be fetched."""
    found = np.zeros_like(labels)
    (rows, columns), (height, width) = labels.shape, since.shape[:2]
    y, x = _places(height, width)
    # Any pixel of an object marks its cell.
    objects = (labels > 0).view(np.uint8) * np.uint8(255)
    coarse = cv2.resize(objects, (width, height), interpolation=cv2.INTER_AREA)
    there = cv2.remap(coarse, since[..., 0] + x, since[..., 1] + y, cv2.INTER_NEAREST)
    left, top, wide, high = cv2.boundingRect(there)
    if not wide:
        return found
    right, bottom = min(left + wide + _MARGIN, width), min(top + high + _MARGIN, height)
    left, top = max(left - _MARGIN, 0), max(top - _MARGIN, 0)
    across, down = columns / width, rows / height
    first, last = (round(side * down) for side in (top, bottom))
    begin, end = (round(side * across) for side in (left, right))
    moved = cv2.resize(
        since[top:bottom, left:right],
        (end - begin, last - first),
        interpolation=cv2.INTER_LINEAR,
    )
    y, x = _places(last - first, end - begin, first, begin)
    from_x = np.asarray(moved[..., 0] * np.float32(across) + x, np.float32)
    from_y = np.asarray(moved[..., 1] * np.float32(down) + y, np.float32)
    found[first:last, begin:end] = cv2.remap(labels, from_x, from_y, cv2.INTER_NEAREST)
    return found
