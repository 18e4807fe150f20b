# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A thread that turns boxes and points into masks: neither a callback nor a frame waits."""

from collections import deque
from collections.abc import Callable, Collection
from dataclasses import replace
import threading
import time

import numpy as np

from vos_ros.config import InitConfig
from vos_ros.datatypes import Prompt
from vos_ros.engine.prompter import Prompter
from vos_ros.errors import VosError
from vos_ros.ros.conversions import Arrival, CameraFrame, to_any_frame
from vos_ros.ros.detections import BoxPrompt
from vos_ros.ros.raw_image import nbytes_of
from vos_ros.stream.mailbox import FrameRing
from vos_ros.stream.matching import Match, named, passed

#: Requests that may wait; beyond it the oldest go.
_CAPACITY = 8


class BoxDrawer:
    """
    Finds the image that boxes belong to, draws their masks and hands them on as a prompt.

    The images are those that the worker keeps as well, so they take no memory of their own.

    :param init: how long to wait for an image, and what to do when it has passed.
    :param prompter: finds the masks.
    :param on_prompt: called from this thread with the masks, stamped like their image. Removals
        and clearings wait for it, so it must not call back.
    :param on_error: called with what went wrong, from this thread or that of `put_boxes`.
    :param on_note: called from this thread with what the sender should know all the same.
    """

    def __init__(
        self,
        init: InitConfig,
        prompter: Prompter,
        on_prompt: Callable[[Prompt], None],
        on_error: Callable[[Exception], None],
        on_note: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._init = init
        self._prompter = prompter
        self._on_prompt = on_prompt
        self._on_error = on_error
        self._on_note = on_note
        self._changed = threading.Condition()
        self._images: FrameRing[Arrival] = FrameRing(
            init.buffer_frames, int(init.buffer_mib * 2**20), lambda item: nbytes_of(item.msg)
        )
        self._requests: deque[BoxPrompt] = deque(maxlen=_CAPACITY)
        self._is_stopping = False
        self._clearings = 0
        self._removed: set[int] = set()  # since the boxes in progress were taken
        self._thread = threading.Thread(target=self._run, name='vos_boxes', daemon=True)
        self._thread.start()

    def put_image(self, item: Arrival) -> None:
        """
        Remember an image.

        :param item: as it arrived.
        """
        with self._changed:
            self._images.put(item.stamp_ns, item)
            self._changed.notify_all()

    def put_boxes(self, boxes: BoxPrompt) -> None:
        """
        Queue boxes.

        :param boxes: with the stamp of their image.
        """
        with self._changed:
            is_full = len(self._requests) == _CAPACITY
            self._requests.append(boxes)
            self._changed.notify_all()
        if is_full:
            self._on_error(
                VosError(
                    f'more than {_CAPACITY} init boxes or points wait, the oldest are dropped; '
                    'send them more slowly'
                )
            )

    def remove(self, object_ids: Collection[int]) -> None:
        """
        Leave objects out of what waits or is being drawn, for they were removed.

        :param object_ids: of the objects.
        """
        object_ids = frozenset(object_ids)
        with self._changed:
            self._removed.update(object_ids)
            for _ in range(len(self._requests)):
                request = self._requests.popleft()
                kept = {i: box for i, box in request.boxes.items() if i not in object_ids}
                if kept:
                    self._requests.append(replace(request, boxes=kept))

    def clear(self, begin_ns: int | None = None) -> None:
        """
        Forget what waits or is being drawn, and the images.

        :param begin_ns: stamp of the first image that is kept; None = none is.
        """
        with self._changed:
            self._clearings += 1
            self._requests.clear()
            if begin_ns is None:
                self._images.clear()
            else:
                self._images.begin_at(begin_ns)
            self._changed.notify_all()

    def stop(self, timeout_s: float) -> bool:
        """
        End the thread after the boxes in progress.

        :param timeout_s: how long to wait for them.
        :return: it has ended.
        """
        with self._changed:
            self._is_stopping = True
            self._requests.clear()
            self._changed.notify_all()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._requests or self._is_stopping)
                if self._is_stopping:
                    return
                request, clearings = self._requests.popleft(), self._clearings
                self._removed.clear()
            try:
                self._draw(request, clearings)
            except Exception as error:  # the next boxes must be served
                self._on_error(error)

    def _draw(self, request: BoxPrompt, clearings: int) -> None:
        item = self._await_image(request, clearings)
        if item is None:
            return
        frame: CameraFrame = to_any_frame(item)
        label_map, problems = self._prompter.draw(frame, request.boxes)
        for problem in problems:
            self._on_error(VosError(problem))
        made = frozenset(request.boxes)
        # Locked until it is handed on: whoever removes or clears after that finds it there.
        with self._changed:
            label_map[np.isin(label_map, list(self._removed))] = 0
            if label_map.any() and not self._is_over(clearings):
                self._on_prompt(Prompt(label_map, frame.stamp_ns, request.unsure_ids, made))

    def _is_over(self, clearings: int) -> bool:
        return self._is_stopping or self._clearings != clearings

    def _await_image(self, request: BoxPrompt, clearings: int) -> Arrival | None:
        """Return the image that the boxes are for; None = nobody waits for it any more."""
        with self._changed:
            match = self._await_match(request, clearings)
        if match is None:
            return None
        if match.refusal:
            raise VosError(f'{request.what}: {match.refusal}')
        if match.note:
            self._on_note(f'{request.what}: {match.note}')
        return match.item

    def _await_match(self, request: BoxPrompt, clearings: int) -> Match[Arrival] | None:
        stamp_ns = request.stamp_ns
        end = float('inf')
        while not self._is_over(clearings):
            newest = self._images.newest()
            if newest is not None:
                # From the first image on: a camera may start long after the detector.
                end = min(end, time.monotonic() + self._init.wait_s)
                if stamp_ns == 0:
                    return Match(newest[1])
                if newest[0] >= stamp_ns:
                    return passed(self._images, stamp_ns, self._init)
                is_over = time.monotonic() >= end
                match = named(self._images, stamp_ns, is_over=is_over)
                if match is not None:
                    return match
                if is_over:
                    raise VosError(
                        f'no image with the stamp of the {request.what} came within '
                        f'{self._init.wait_s} s; stamp them like the image they were found on'
                    )
            is_timed = stamp_ns and end < float('inf')
            self._changed.wait(max(0.0, end - time.monotonic()) if is_timed else None)
        return None
