# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
What the node says about itself once a second: plain numbers in, DiagnosticStatus out.

`Health` is written from two threads (callbacks and the worker) and read by a third place, the
diagnostics timer; each method takes the lock for a few assignments only.
"""

from collections import deque
import threading
import time

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from vos_ros.config import NodeConfig
from vos_ros.datatypes import Segmentation, StepTiming
from vos_ros.latency import LatencyWindow

#: Latencies that the percentiles are taken over.
WINDOW = 512
#: Arrivals that the rate is taken over; 2 s at 30 Hz.
_RATE_WINDOW = 60
#: How long a rejection or an error colours the status; the counts stay.
_RECENT_S = 10.0


class Health:
    """Counts and recent figures of one node, from its start to its end."""

    def __init__(self) -> None:
        """Begin with nothing seen; the silence of the camera counts from `restart`."""
        self._lock = threading.Lock()
        self._arrivals: deque[float] = deque(maxlen=_RATE_WINDOW)
        self._latency = LatencyWindow(WINDOW)
        self._since = time.perf_counter()
        self._frames_in = 0
        self._frames_out = 0
        self._dropped = 0
        self._errors = 0
        self._duplicates = 0
        self._masks_in = 0
        self._rejected = 0
        self._rejected_why = ''
        self._rejected_at = self._failed_at = float('-inf')
        self._encoding = ''
        self._size = (0, 0)
        self._age_ms = 0.0
        self._scores: dict[int, float] = {}
        self._timing = StepTiming()

    def restart(self) -> None:
        """Count the silence of the camera from now on."""
        with self._lock:
            self._since = time.perf_counter()
            self._arrivals.clear()

    def image_arrived(self, encoding: str, *, dropped: bool) -> None:
        """
        Note an image at its arrival.

        :param encoding: as the camera says.
        :param dropped: it took the place of one that nobody had looked at.
        """
        with self._lock:
            self._arrivals.append(time.perf_counter())
            self._frames_in += 1
            self._dropped += dropped
            self._encoding = encoding

    def published(
        self, segmentation: Segmentation, latency_ms: float, age_ms: float, deadline_ms: float
    ) -> None:
        """
        Note a published result.

        :param segmentation: what was published.
        :param latency_ms: from the image's arrival to its labels' publishing.
        :param age_ms: from the image's stamp to its labels' publishing.
        :param deadline_ms: what the latency is held against; 0 = nothing.
        """
        with self._lock:
            self._latency.deadline_ms = deadline_ms
            self._latency.add(latency_ms)
            self._frames_out += 1
            self._age_ms = age_ms
            self._size = segmentation.label_map.shape
            self._scores, self._timing = segmentation.scores, segmentation.timing

    def mask_arrived(self) -> None:
        """Note an init mask, whatever becomes of it."""
        with self._lock:
            self._masks_in += 1

    def mask_rejected(self, reason: str) -> None:
        """
        Note that a mask, or a part of it, is not followed.

        :param reason: one line.
        """
        with self._lock:
            self._rejected += 1
            self._rejected_why = reason
            self._rejected_at = time.perf_counter()

    def mask_repeated(self) -> None:
        """Note an init mask that came a second time."""
        with self._lock:
            self._duplicates += 1

    def error(self) -> None:
        """Note anything else that went wrong."""
        with self._lock:
            self._errors += 1
            self._failed_at = time.perf_counter()

    def input_status(
        self, config: NodeConfig, *, is_expected: bool, hint: str = ''
    ) -> DiagnosticStatus:
        """
        Report on the camera.

        :param config: with the limits.
        :param is_expected: the node is active and not paused, so that silence is an error.
        :param hint: what may be the reason for silence.
        """
        with self._lock:
            now = time.perf_counter()
            silence = now - (self._arrivals[-1] if self._arrivals else self._since)
            rate = 0.0
            if len(self._arrivals) > 1 and silence < config.diagnostics.no_image_s:
                rate = (len(self._arrivals) - 1) / (self._arrivals[-1] - self._arrivals[0])
            level, message = DiagnosticStatus.OK, f'{rate:.1f} Hz'
            if is_expected and silence > config.diagnostics.no_image_s:
                level = DiagnosticStatus.ERROR
                message = f'no image for {silence:.1f} s' + (f': {hint}' if hint else '')
            elif 0 < config.max_age_ms < self._age_ms:
                level = DiagnosticStatus.WARN
                message = f'results are {self._age_ms:.0f} ms old, limit {config.max_age_ms:.0f}'
            elif not is_expected:
                message = 'not listening'
            return _status(
                level,
                message,
                rate_hz=f'{rate:.2f}',
                age_ms=f'{self._age_ms:.1f}',
                encoding=self._encoding,
                width=self._size[1],
                height=self._size[0],
                frames_in=self._frames_in,
                frames_out=self._frames_out,
                dropped=self._dropped,
            )

    def inference_status(self, backend: str, model: str, sha256: str) -> DiagnosticStatus:
        """
        Report on time.

        :param backend: what runs the network.
        :param model: its name.
        :param sha256: of the model.
        """
        with self._lock:
            figures = self._latency.summary()
            timing = self._timing
            is_sick = time.perf_counter() - self._failed_at < _RECENT_S
            return _status(
                DiagnosticStatus.WARN if is_sick else DiagnosticStatus.OK,
                f'{model} on {backend}' + (f', {self._errors} errors' if is_sick else ''),
                backend=backend,
                model=model,
                model_sha256=sha256,
                **{f'latency_{name}_ms': f'{value:.1f}' for name, value in figures.items()},
                preprocess_ms=f'{timing.preprocess_ms:.1f}',
                encode_ms=f'{timing.encode_ms:.1f}',
                segment_ms=f'{timing.segment_ms:.1f}',
                labels_ms=f'{timing.labels_ms:.1f}',
                deadline_misses=self._latency.misses,
                errors=self._errors,
            )

    def objects_status(
        self, object_ids: tuple[int, ...], max_objects: int, memory_bytes: int
    ) -> DiagnosticStatus:
        """
        Report on what is followed.

        :param object_ids: known at present.
        :param max_objects: the most there may be.
        :param memory_bytes: held by the memory bank.
        """
        with self._lock:
            level, message = DiagnosticStatus.OK, f'{len(object_ids)} of {max_objects} objects'
            if time.perf_counter() - self._rejected_at < _RECENT_S:
                level = DiagnosticStatus.WARN
                message += f'; last init mask rejected: {self._rejected_why}'
            return _status(
                level,
                message,
                count=len(object_ids),
                max=max_objects,
                **{f'object_{i}_score': f'{self._scores.get(i, 0.0):.3f}' for i in object_ids},
                memory_bytes=memory_bytes,
                masks_in=self._masks_in,
                masks_rejected=self._rejected,
                masks_duplicate=self._duplicates,
                last_rejection=self._rejected_why,
            )


def node_status(state: str, complaint: str) -> DiagnosticStatus:
    """
    Report on the lifecycle.

    :param state: label of the lifecycle state, 'paused' where ~/enable says so.
    :param complaint: why the node could not be configured; '' = it could, or has not tried.
    """
    level = DiagnosticStatus.ERROR if complaint else DiagnosticStatus.OK
    return _status(level, complaint or state, state=state)


def _status(level: bytes, message: str, **values: object) -> DiagnosticStatus:
    return DiagnosticStatus(
        level=level,
        message=message,
        values=[KeyValue(key=key, value=str(value)) for key, value in values.items()],
    )
