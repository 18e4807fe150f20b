# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A thread that carries labels to the images that come while the network works."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection
import threading
from typing import Generic, NamedTuple, TypeVar

from vos_ros.datatypes import Frame, LabelMap
from vos_ros.engine.carry import Carrier
from vos_ros.stream.forgotten import Forgotten

T = TypeVar('T')

#: Images that may wait; beyond it the oldest go. More than one, as each step of the flow is surer
#: the shorter it is.
_CAPACITY = 3


class _Labels(NamedTuple):
    label_map: LabelMap
    stamp_ns: int
    arrived: float


class Carrying(Generic[T]):
    """
    Answers each image at once with the newest labels, carried to it.

    :param to_frame: converts what was put in, in this thread; may raise VosError.
    :param on_carried: called from this thread with labels (H, W) and the image that they are of
        now.
    :param max_age_ms: older labels are not carried.
    """

    def __init__(
        self,
        to_frame: Callable[[T], Frame],
        on_carried: Callable[[LabelMap, Frame], None],
        on_error: Callable[[Exception], None],
        max_age_ms: float,
    ) -> None:
        self._to_frame = to_frame
        self._on_carried = on_carried
        self._on_error = on_error
        self._carrier = Carrier(int(max_age_ms * 1e6))
        self._changed = threading.Condition()
        self._images: deque[T] = deque(maxlen=_CAPACITY)
        self._labels: _Labels | None = None  # that wait
        self._in_use: _Labels | None = None
        self._forgotten = Forgotten()
        self._is_stopping = False
        self._thread = threading.Thread(target=self._run, name='vos_carry', daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def put_image(self, item: T) -> None:
        """Hand over the newest image."""
        with self._changed:
            self._images.append(item)
            self._changed.notify_all()

    def put_labels(self, label_map: LabelMap, stamp_ns: int, arrived: float = 0.0) -> None:
        """
        Hand over what the network found; it counts from the next answer on.

        :param label_map: (H, W), not to be changed afterwards.
        :param stamp_ns: of its image.
        :param arrived: when that came, s of `time.perf_counter`.
        """
        with self._changed:
            self._labels = _Labels(label_map, stamp_ns, arrived)

    def forget(self, object_ids: Collection[int] | None, now: float) -> None:
        """
        Leave out objects of labels whose image came before, also of such that are still to come.

        :param object_ids: of these; None = all.
        :param now: s of `time.perf_counter`.
        """
        with self._changed:
            self._forgotten.note(object_ids, now)

    def stop(self, timeout_s: float) -> bool:
        """
        End the thread after the image in progress.

        :return: it has ended.
        """
        with self._changed:
            self._is_stopping = True
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._images or self._is_stopping)
                if self._is_stopping:
                    return
                item = self._images.popleft()
            try:
                self._answer(item)
            except Exception as error:  # the next image must be answered
                self._on_error(error)

    def _answer(self, item: T) -> None:
        frame = self._to_frame(item)
        self._carrier.see(frame)
        labels = self._labels_until(frame.stamp_ns)
        if labels is not None:
            self._in_use = labels
            self._carrier.know(labels.label_map, labels.stamp_ns)
        carried = self._carrier.carried()
        if carried is not None:
            self._on_carried(self._without_forgotten(carried), frame)

    def _labels_until(self, stamp_ns: int) -> _Labels | None:
        """Take the newest labels, unless their image still waits here: a network may be faster."""
        with self._changed:
            if self._labels is None or self._labels.stamp_ns > stamp_ns:
                return None
            labels, self._labels = self._labels, None
        return labels

    def _without_forgotten(self, label_map: LabelMap) -> LabelMap:
        """Leave out what was forgotten since the image of the labels came."""
        arrived = self._in_use.arrived if self._in_use is not None else 0.0
        with self._changed:
            self._forgotten.take_before(arrived)
            later = self._forgotten.rest
        return later.left_out(label_map)
