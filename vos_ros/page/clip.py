# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""`vos page`: a video or a folder instead of a camera, without ROS."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from itertools import count
import logging
from pathlib import Path
import threading
import time
from typing import Any

import numpy as np

from vos_ros.datatypes import Frame, LabelMap, Prompt
from vos_ros.engine.segmenter import VideoSegmenter
from vos_ros.errors import VosError
from vos_ros.formats.label_png import decode_label_png, encode_label_png, write_label_png
from vos_ros.formats.masks import ids_in
from vos_ros.page.feed import Shot, to_ids
from vos_ros.sequences import FolderSequence, VideoSequence

_LOGGER = logging.getLogger(__name__)

_RATE_HZ = 15.0


class Clip:
    """
    One clip as camera and source: its first frame is painted on, then it runs, then it repeats.

    :param sequence: the clip.
    :param mask_path: where the mask of the first frame is written with each change.
    :param open_segmenter: opens the model for so many objects, when it is first run.
    """

    mode = 'clip'

    def __init__(
        self,
        sequence: FolderSequence | VideoSequence,
        mask_path: Path,
        open_segmenter: Callable[[int], VideoSegmenter],
    ) -> None:
        self.name = sequence.name
        self._sequence, self._mask_path, self._open = sequence, mask_path, open_segmenter
        self._first = next(iter(sequence))
        self._mask: LabelMap = np.zeros(self._first.size, np.uint8)
        self._names: dict[int, str] = {}
        self._stamps = count(1)  # several pictures of one frame must differ
        self._lock = threading.Lock()
        self._job: threading.Thread | None = None
        self._wanted: object | None = None  # a job goes on while this is its own
        self._state, self._problem = 'first frame', ''
        self._scores: dict[int, tuple[str, float]] = {}
        self._has_written = False
        self._show(self._first, self._mask)

    def cameras(self) -> Mapping[str, Clip]:
        """Return itself."""
        return {self.name: self}

    def current(self) -> Shot:
        """Return what is shown."""
        return self._shot

    def watch(self, viewers: int) -> None:
        """Go on whoever looks."""

    def status(self) -> dict[str, Any]:
        """Say what it does, and which objects there are."""
        ids = ids_in(self._mask)
        notices = [{'level': 'error', 'text': self._problem}] if self._problem else []
        rows = []
        for i in ids:
            state, score = self._scores.get(i, ('painted', 1.0))
            rows.append({'id': i, 'state': state, 'score': score, 'name': self._names.get(i, '')})
        return {'camera': self.name, 'notices': notices, 'objects': rows, 'state': self._state}

    def prompt(self, shot: Shot, label_map: LabelMap, names: Mapping[int, str]) -> Future[str]:
        """Keep objects of the first frame and write its mask."""

        def keep() -> str:
            if shot.source != 0:
                raise VosError('the mask is for the first frame: press First frame, then paint')
            wide = max(int(label_map.max()), int(self._mask.max())) > 254
            mask: LabelMap = self._mask.astype(np.uint16 if wide else np.uint8)
            mask[np.isin(mask, ids_in(label_map))] = 0
            mask[label_map > 0] = label_map[label_map > 0]
            self._names.update(names)
            return self._keep(mask)

        return _done(keep)

    def act(self, what: str, values: Mapping[str, Any]) -> Future[str]:
        """Run, go back to the first frame, remove objects, forget all."""

        def act() -> str:
            if what == 'run':
                if not self._mask.any():
                    raise VosError('paint an object first')
                self._start()
                return 'running'
            if what == 'remove':
                left = self._mask.copy()
                left[np.isin(left, list(to_ids(values['ids'])))] = 0
                return self._keep(left)
            if what == 'reset':
                return self._keep(np.zeros_like(self._mask))
            if what == 'first':
                self._back()
                return ''
            raise VosError(f'a clip has no {what}')

        return _done(act)

    def stop(self) -> None:
        """End what runs."""
        with self._lock:
            job, self._job, self._wanted = self._job, None, None
        if job is not None:
            job.join(10.0)

    def _keep(self, mask: LabelMap) -> str:
        self._back()
        self._mask = mask
        self._show(self._first, mask)
        if not mask.any():
            if self._has_written:  # else it would bring back what was removed
                self._mask_path.unlink(missing_ok=True)
                self._has_written = False
                return f'no object is left; {self._mask_path} is removed'
            return 'no object is left'
        write_label_png(self._mask_path, mask)
        self._has_written = True
        return f'written to {self._mask_path}'

    def _back(self) -> None:
        self.stop()
        self._state, self._problem, self._scores = 'first frame', '', {}
        self._show(self._first, self._mask)

    def _start(self) -> None:
        self.stop()
        wanted = object()
        job = threading.Thread(target=self._run, args=(wanted,), name='vos_page_run', daemon=True)
        with self._lock:
            self._wanted, self._job = wanted, job
        job.start()

    def _run(self, wanted: object) -> None:
        try:
            self._problem, self._state = '', 'loading'
            segmenter = self._open(len(ids_in(self._mask)))
            prompt: Prompt | None = Prompt(self._mask)
            found: list[bytes] = []
            for number, frame in enumerate(self._sequence):
                if self._wanted is not wanted:
                    return
                result = segmenter.step(frame, prompt)
                prompt = None
                found.append(encode_label_png(result.label_map))
                self._scores = {
                    i: (result.states[i].value if i in result.states else 'tracked', score)
                    for i, score in dict(result.scores).items()
                }
                self._state = f'running, frame {number + 1} of {len(self._sequence)}'
                self._show(frame, result.label_map, number)
            self._state = f'result, {len(found)} frames'
            self._replay(found, wanted)
        except Exception as error:  # whatever it is, the page must not say 'running' for good
            if not isinstance(error, VosError):
                _LOGGER.exception('the clip stands still')
            if self._wanted is wanted:
                self._problem, self._state = str(error) or type(error).__name__, 'failed'

    def _replay(self, found: list[bytes], wanted: object) -> None:
        period_s = 1.0 / min(_RATE_HZ, self._sequence.rate_hz or _RATE_HZ)
        while True:
            for number, (frame, png) in enumerate(zip(self._sequence, found)):
                if self._wanted is not wanted:
                    return
                self._show(frame, decode_label_png(png, 'a result'), number)
                time.sleep(period_s)

    def _show(self, frame: Frame, labels: LabelMap, number: int = 0) -> None:
        self._shot = Shot(next(self._stamps), lambda: frame, lambda: labels, number)


def _done(job: Callable[[], str]) -> Future[str]:
    future: Future[str] = Future()
    try:
        future.set_result(job())
    except VosError as error:
        future.set_exception(error)
    return future
