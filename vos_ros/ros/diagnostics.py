# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
What the node says about itself once a second: plain numbers in, DiagnosticStatus out.

`Health` is written from two threads (callbacks and the worker) and read by a third place, the
diagnostics timer; each method takes the lock for a few assignments only.
"""

from collections import deque
from collections.abc import Mapping, Sequence
import threading
import time

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from vos_ros.config import NodeConfig
from vos_ros.datatypes import ObjectState, Segmentation, StepTiming
from vos_ros.engine.segmenter import VideoSegmenter
from vos_ros.latency import LatencyWindow
from vos_ros.ros.guard import tidy
from vos_ros.stream.overload import OverloadStatus

#: Latencies that the percentiles are taken over.
WINDOW = 512
#: Characters of a name that a peer gives.
_LONGEST_NAME = 64
#: Arrivals that the rate is taken over; 2 s at 30 Hz.
_RATE_WINDOW = 60
#: Older ones say nothing about the rate now, where there are others.
_RATE_S = 3.0
#: How long a rejection, an error or a time jump colours the status; the counts stay.
_RECENT_S = 10.0
#: Stamps this far in the future are no rounding and no jitter: two clocks differ.
_FUTURE_MS = 1000.0
#: Stamps this far in the past are no slow link: one image waits at most. A camera may count since
#: its start, and a bag be played without its clock.
_PAST_MS = 10_000.0

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR


def is_clock_other(age_ms: float) -> bool:
    """
    Return whether an image's stamp is of another clock than ours, so that its age says nothing.

    :param age_ms: by our clock; below 0 = in the future.
    """
    return not -_FUTURE_MS <= age_ms <= _PAST_MS


class Health:
    """Counts and recent figures of one node, from its start to its end."""

    def __init__(self) -> None:
        """Begin with nothing seen; the silence of the camera counts from `restart`."""
        self._lock = threading.Lock()
        self._arrivals: deque[float] = deque(maxlen=_RATE_WINDOW)
        self._latency = LatencyWindow(WINDOW)
        self._age = LatencyWindow(WINDOW)
        self._since = time.perf_counter()
        self._lost = 0
        self._missed = 0
        self._ignored = 0
        self._masks_lost = 0
        self._errors = 0
        self._duplicates = 0
        self._masks_in = 0
        self._empty = 0
        self._rejected = 0
        self._rejected_why = ''
        self._notice = ''
        self._unreadable = 0
        self._image_failure = ''
        self._is_image_failing = False
        self._stamps_0 = 0
        self._when = dict.fromkeys(
            (
                'rejected',
                'noticed',
                'failed',
                'image_failed',
                'jumped',
                'stamp_0',
                'lost',
                'mask_lost',
            ),
            float('-inf'),
        )
        self._jump_s = 0.0
        self._encoding = ''
        self._size = (0, 0)
        self._age_ms = 0.0
        self._scores: dict[int, float] = {}
        self._states: Mapping[int, ObjectState] = {}
        self._timing = StepTiming()

    def restart(self) -> None:
        """Count the silence of the camera from now on."""
        with self._lock:
            self._since = time.perf_counter()
            self._arrivals.clear()
            self._is_image_failing = False

    def image_arrived(self, encoding: str, stamp_ns: int) -> None:
        """
        Note an image at its arrival.

        :param encoding: as the camera says.
        :param stamp_ns: of its header.
        """
        with self._lock:
            self._arrivals.append(time.perf_counter())
            self._encoding = tidy(encoding, _LONGEST_NAME)
        if stamp_ns == 0:
            self.stamp_0()

    def image_unreadable(self, reason: str) -> None:
        """
        Note an image that came, but as a message which cannot be read.

        :param reason: one line.
        """
        with self._lock:
            self._arrivals.append(time.perf_counter())
            self._unreadable += 1
        self.image_failed(reason)

    def image_failed(self, reason: str) -> None:
        """
        Note an image that nothing can be made of; the worker counts those that it was given.

        :param reason: one line.
        """
        with self._lock:
            self._image_failure = reason
            self._is_image_failing = True
            self._when['image_failed'] = time.perf_counter()

    def images_lost(self, count: int) -> None:
        """
        Note images that the middleware lost on their way to us.

        :param count: since it told us last.
        """
        with self._lock:
            self._lost += count
            self._when['lost'] = time.perf_counter()

    def images_missed(self, count: int) -> None:
        """
        Note images that were sent but never given to us, lost ones and those a newer one replaced.

        :param count: since the image before.
        """
        with self._lock:
            self._missed += count

    def image_ignored(self) -> None:
        """Note an image that came while nobody wanted any."""
        with self._lock:
            self._ignored += 1

    def masks_lost(self, count: int) -> None:
        """
        Note masks or boxes that were sent but never came.

        :param count: since the one before.
        """
        with self._lock:
            self._masks_lost += count
            self._when['mask_lost'] = time.perf_counter()

    def published(self, segmentation: Segmentation, latency_ms: float, age_ms: float) -> None:
        """
        Note a published result.

        :param segmentation: what was published.
        :param latency_ms: from the image's arrival to its labels' publishing.
        :param age_ms: from the image's stamp to its labels' publishing.
        """
        # Made here, in the thread of whoever segments, and not by whoever reads them.
        scores, states = dict(segmentation.scores), dict(segmentation.states)
        with self._lock:
            self._latency.add(latency_ms)
            self._age.add(age_ms)
            self._age_ms = age_ms
            self._is_image_failing = False
            self._size = segmentation.label_map.shape
            self._scores, self._states = scores, states
            self._timing = segmentation.timing

    def stamp_0(self) -> None:
        """Note an image or a mask with stamp 0."""
        with self._lock:
            self._stamps_0 += 1
            self._when['stamp_0'] = time.perf_counter()

    def time_jumped(self, seconds: float) -> None:
        """
        Note that the images' stamps have jumped.

        :param seconds: how far; below 0 = back.
        """
        with self._lock:
            self._jump_s = seconds
            self._when['jumped'] = time.perf_counter()

    def mask_arrived(self) -> None:
        """Note an init mask (or boxes), whatever becomes of it."""
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
            self._when['rejected'] = time.perf_counter()

    def noticed(self, line: str) -> None:
        """
        Note what became of a mask that was taken, where it is not all that was asked for.

        :param line: what it is.
        """
        with self._lock:
            self._notice = line
            self._when['noticed'] = time.perf_counter()

    def mask_repeated(self) -> None:
        """Note an init mask that came a second time."""
        with self._lock:
            self._duplicates += 1

    def mask_empty(self) -> None:
        """Note an init mask without any object: nothing was found."""
        with self._lock:
            self._empty += 1

    def error(self) -> None:
        """Note anything else that went wrong."""
        with self._lock:
            self._errors += 1
            self._when['failed'] = time.perf_counter()

    def silence(self, config: NodeConfig, hint: str) -> str:
        """
        Say that no image comes; '' = images come.

        :param config: with the limit.
        :param hint: what may be the reason, '' = unknown.
        """
        with self._lock:
            silence_s = self._silence_s()
        if silence_s <= config.diagnostics.no_image_s:
            return ''
        return f'no image for {silence_s:.1f} s' + (f': {hint}' if hint else '')

    def _silence_s(self) -> float:
        return time.perf_counter() - (self._arrivals[-1] if self._arrivals else self._since)

    def input_status(
        self,
        config: NodeConfig,
        counts: Mapping[str, int],
        *,
        is_expected: bool,
        is_clock_missing: bool = False,
        silence: str = '',
        offers: Sequence[str] = (),
        mismatches: Sequence[str] = (),
    ) -> DiagnosticStatus:
        """
        Report on the camera.

        :param config: with the limits.
        :param counts: of the worker, by name.
        :param is_expected: the node is active and not paused, so that silence is an error.
        :param is_clock_missing: the node waits for a simulated time that nobody tells.
        :param silence: that no image comes, and why; see `silence`.
        :param offers: QoS of each publisher of images.
        :param mismatches: topics on which somebody's QoS does not match.
        """
        with self._lock:
            is_silent = self._silence_s() > config.diagnostics.no_image_s
            rate = 0.0
            if len(self._arrivals) > 1 and not is_silent:
                times = [t for t in self._arrivals if t > self._arrivals[-1] - _RATE_S]
                times = times if len(times) > 1 else list(self._arrivals)[-2:]
                rate = (len(times) - 1) / (times[-1] - times[0])
            findings = Findings(f'{rate:.1f} Hz' if is_expected else 'not listening')
            for line in mismatches:
                findings.add(ERROR, f'incompatible QoS on {line}')
            if is_expected and silence:
                findings.add(ERROR, silence)
            elif is_expected and is_clock_other(self._age_ms):
                where = 'future' if self._age_ms < 0 else 'past'
                off = ', and max_age_ms is off while they do' if config.max_age_ms > 0 else ''
                findings.add(
                    WARN,
                    f'stamps lie {abs(self._age_ms) / 1e3:.1f} s in the {where}; the clocks '
                    f'differ{off}: synchronise the hosts, let the camera stamp with system time, '
                    'or set use_sim_time on both sides or on none',
                )
            elif is_expected and 0 < config.max_age_ms < self._age_ms:
                limit = f'limit {config.max_age_ms:.0f}'
                findings.add(WARN, f'results are {self._age_ms:.0f} ms old, {limit}')
            if is_expected and self._is_image_failing:
                findings.add(ERROR, f'images cannot be used: {self._image_failure}')
            elif self._is_recent('image_failed'):
                findings.add(WARN, f'some images cannot be used: {self._image_failure}')
            if is_clock_missing:
                findings.add(
                    WARN, 'no /clock: use_sim_time is set, and the time is 0; no age is known'
                )
            if len(offers) > 1:
                findings.add(
                    WARN,
                    f'{len(offers)} publishers of images ({"; ".join(offers)}), whose images are '
                    'taken for those of one camera; remap all but one',
                )
            if self._is_recent('jumped'):
                findings.add(WARN, f'the stamps jumped by {self._jump_s:+.3f} s')
            if self._is_recent('lost'):
                findings.add(
                    WARN,
                    f'{self._lost} images were lost on their way: a weak link, or they are larger '
                    'than the segment_size in config/fastdds_large_images.xml',
                )
            if self._is_recent('stamp_0'):
                findings.add(WARN, 'stamp 0 on an image or an init mask')
            return findings.status(
                rate_hz=f'{rate:.2f}',
                age_ms=f'{self._age_ms:.1f}',
                **{f'age_{name}_ms': f'{v:.1f}' for name, v in self._age.summary().items()},
                encoding=self._encoding,
                width=self._size[1],
                height=self._size[0],
                offered_qos='; '.join(offers),
                incompatible_qos='; '.join(mismatches),
                frames_in=counts['frames_in'] + self._unreadable,
                frames_out=counts['frames_done'],
                dropped=counts['frames_dropped'],
                overtaken=counts['overtaken'],
                failed=counts['frames_failed'] + self._unreadable,
                missed=self._missed,
                ignored=self._ignored,
                lost=self._lost,
                time_jumps=counts['time_jumps'],
                odd_stamps=counts['odd_stamps'],
                stamp_0=self._stamps_0,
            )

    def inference_status(
        self,
        segmenter: VideoSegmenter,
        config: NodeConfig,
        counts: Mapping[str, int],
        overload: OverloadStatus | None,
    ) -> DiagnosticStatus:
        """
        Report on time.

        :param segmenter: at work.
        :param config: with the limits.
        :param counts: of the worker, by name.
        :param overload: what its policy does; None while no worker runs.
        """
        model = segmenter.manifest.name
        with self._lock:
            figures, timing = self._latency.summary(), self._timing
            findings = Findings(f'{model} on {segmenter.backend_name}')
            if overload is not None and overload.level:
                is_error = overload.policy == 'error'
                findings.add(
                    ERROR if is_error else WARN,
                    f'overload: {overload.policy}, level {overload.level} of {overload.max_level}',
                )
            if overload is not None and overload.is_late_at_arrival:
                findings.add(WARN, 'images are older than max_age_ms when they arrive')
            if 0 < config.deadline_ms < figures['p99']:
                findings.add(
                    WARN, f'p99 is {figures["p99"]:.0f} ms, deadline {config.deadline_ms:.0f}'
                )
            if self._is_recent('failed'):
                findings.add(WARN, f'{self._errors} errors')
            height, width = segmenter.input_size
            return findings.status(
                backend=segmenter.backend_name,
                precision=segmenter.precision,
                model=model,
                model_sha256=segmenter.manifest.sha256,
                input_size=f'{width}x{height}',
                **{f'latency_{name}_ms': f'{value:.1f}' for name, value in figures.items()},
                preprocess_ms=f'{timing.preprocess_ms:.1f}',
                encode_ms=f'{timing.encode_ms:.1f}',
                segment_ms=f'{timing.segment_ms:.1f}',
                labels_ms=f'{timing.labels_ms:.1f}',
                deadline_misses=counts['deadline_misses'],
                skipped=counts['skipped_late'] + counts['skipped_paced'],
                overload_policy=config.overload.policy,
                overload_level=overload.level if overload is not None else 0,
                catch_up_frames=counts['catch_up_frames'],
                errors=self._errors,
            )

    def objects_status(
        self, object_ids: tuple[int, ...], max_objects: int, names: Mapping[int, str]
    ) -> DiagnosticStatus:
        """
        Report on what is followed.

        :param object_ids: known at present.
        :param max_objects: the most there may be.
        :param names: of those that were named.
        """
        with self._lock:
            findings = Findings(f'{len(object_ids)} of {max_objects} objects')
            values: dict[str, object] = {}
            for i in object_ids:
                state = self._states.get(i, ObjectState.TRACKED)
                values[f'object_{i}_state'] = state.value
                values[f'object_{i}_score'] = f'{self._scores.get(i, 0.0):.3f}'
                if i in names:
                    values[f'object_{i}_name'] = names[i]
                if state == ObjectState.LOST:
                    findings.add(WARN, f'object {i} is lost')
            if self._is_recent('mask_lost'):
                findings.add(
                    WARN, f'{self._masks_lost} init masks or boxes were lost on their way'
                )
            if self._is_recent('rejected'):
                findings.add(WARN, f'last init mask rejected: {self._rejected_why}')
            if self._is_recent('noticed'):
                findings.add(WARN, self._notice)
            return findings.status(
                count=len(object_ids),
                max=max_objects,
                **values,
                masks_in=self._masks_in,
                masks_rejected=self._rejected,
                masks_duplicate=self._duplicates,
                masks_lost=self._masks_lost,
                masks_empty=self._empty,
                last_rejection=self._rejected_why,
                last_notice=self._notice,
            )

    def _is_recent(self, what: str) -> bool:
        return time.perf_counter() - self._when[what] < _RECENT_S


class Findings:
    """
    What is wrong with one part of the node, the worst first.

    :param calm: the message when nothing is.
    """

    def __init__(self, calm: str) -> None:
        self._calm = calm
        self._found: list[tuple[bytes, str]] = []

    def add(self, level: bytes, line: str) -> None:
        """
        Add one thing that is wrong.

        :param level: WARN or ERROR.
        :param line: what it is.
        """
        self._found.append((level, line))

    def status(self, **values: object) -> DiagnosticStatus:
        """
        Write the status; name and hardware are added by the node.

        :param values: key and value of each line, in their order.
        """
        found = sorted(self._found, key=lambda f: f[0], reverse=True)
        return DiagnosticStatus(
            level=found[0][0] if found else OK,
            message='; '.join(line for _, line in found) or self._calm,
            values=[KeyValue(key=key, value=str(value)) for key, value in values.items()],
        )


def node_status(
    state: str, failure: str, other_publishers: Sequence[str] = ()
) -> DiagnosticStatus:
    """
    Report on the lifecycle.

    :param state: label of the lifecycle state, 'paused' where ~/enable says so.
    :param failure: why the node could not be configured; '' = it could, or has not tried.
    :param other_publishers: who else publishes labels on the topic of this node.
    """
    findings = Findings(state)
    if failure:
        findings.add(ERROR, failure)
    if other_publishers:
        findings.add(
            WARN,
            f'the labels are also published by {", ".join(other_publishers)}; end it, or give one '
            'of the nodes another name or namespace',
        )
    return findings.status(state=state)


def memory_status(segmenter: VideoSegmenter, prompted_frames: int) -> DiagnosticStatus:
    """
    Report on the memory bank, which never grows.

    :param segmenter: may be at work meanwhile.
    :param prompted_frames: distinct ones in use, as of the newest result.
    """
    memory, config = segmenter.memory, segmenter.config
    used = len(memory.object_ids)
    return Findings(f'{used} of {config.max_objects} slots').status(
        slots_used=used,
        slots_max=config.max_objects,
        prompted_frames=prompted_frames,
        prompted_frames_max=config.memory.max_prompted_frames,
        resident_bytes=memory.nbytes,
        **{f'not_memorised_{reason}': count for reason, count in segmenter.doubts.items()},
    )


def engine_status(segmenter: VideoSegmenter, requested: str, load_s: float) -> DiagnosticStatus:
    """
    Report on what runs the network, and why not something better.

    :param segmenter: at work.
    :param requested: the parameter `backend`.
    :param load_s: time that it took to load (or build) the model and to run it once.
    """
    findings = Findings(f'{segmenter.backend_name} {segmenter.precision}')
    for line in segmenter.fallbacks:
        findings.add(ERROR, f'fell back to {segmenter.backend_name}: {line}')
    return findings.status(
        asked=requested,
        backend=segmenter.backend_name,
        precision=segmenter.precision,
        load_s=f'{load_s:.2f}',
        fallbacks='; '.join(segmenter.fallbacks),
    )
