# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What objects_3d says about itself: plain numbers in, DiagnosticStatus out."""

from collections import Counter, deque
from collections.abc import Mapping, Sequence
import time

from diagnostic_msgs.msg import DiagnosticStatus

from vos_ros.latency import LatencyWindow
from vos_ros.ros.diagnostics import ERROR, Findings, WARN
from vos_ros.ros.guard import tidy
from vos_ros.space.camera import Camera
from vos_ros.space.matching import Matcher
from vos_ros.space.objects import ObjectInSpace

#: Arrivals that rates are taken over.
_RATE_WINDOW = 60
#: How long what went wrong colours the status; the counts stay.
_RECENT_S = 10.0
#: The inputs, as they are called in messages.
DEPTH, LABELS, CAMERA_INFO = 'depth', 'labels', 'camera_info'


class SpaceHealth:
    """Counts and recent figures, from the start of the node to its end; one thread."""

    def __init__(self) -> None:
        """Begin with nothing seen."""
        self._since = time.perf_counter()
        self._arrivals: dict[str, deque[float]] = {
            name: deque(maxlen=_RATE_WINDOW) for name in (DEPTH, LABELS, CAMERA_INFO)
        }
        self._unusable: Counter[str] = Counter()
        self._when: dict[str, float] = {}
        self._why = ''
        self._latency = LatencyWindow()
        self._objects: Sequence[ObjectInSpace] = ()
        self._totals: Counter[str] = Counter()
        self._errors = 0
        self._offset_ms = 0.0

    def arrived(self, name: str) -> None:
        """
        Note a message.

        :param name: of the input.
        """
        self._arrivals[name].append(time.perf_counter())

    def error(self) -> None:
        """Note anything that went wrong, beside what is counted by `unusable`."""
        self._errors += 1

    def unusable(self, name: str, reason: str) -> None:
        """
        Note a message that nothing can be made of.

        :param name: of the input.
        :param reason: one line.
        """
        self._unusable[name] += 1
        self._why = tidy(reason)
        self._when['unusable'] = time.perf_counter()

    def missing(self, name: str) -> None:
        """
        Note labels that had no depth image or no camera_info.

        :param name: of the input that was missing.
        """
        self._totals[f'{name}_missing'] += 1
        self._when[name] = time.perf_counter()

    def located(
        self, objects: Sequence[ObjectInSpace], offset_ms: float, latency_ms: float
    ) -> None:
        """
        Note objects that were published.

        :param objects: of one depth image.
        :param offset_ms: of its stamp to that of the labels.
        :param latency_ms: from when both were there to the end of publishing.
        """
        self._objects = objects
        self._offset_ms = offset_ms
        self._latency.add(latency_ms)
        self._totals['frames_out'] += 1
        for each in objects:
            self._totals['without_centre'] += each.center is None
            self._totals['pixels'] += each.pixels
            self._totals['holes'] += each.holes
            self._totals['edges'] += each.edges
            self._totals['outliers'] += each.outliers

    def silent(
        self, silence_s: float, hints: Mapping[str, str], *, has_camera: bool
    ) -> dict[str, str]:
        """
        Say which inputs are silent: name -> one line.

        :param silence_s: that is too long.
        :param hints: input -> what may be the reason.
        :param has_camera: camera_info came once, which is enough.
        """
        now, lines = time.perf_counter(), {}
        for name in (DEPTH, LABELS):
            arrivals = self._arrivals[name]
            silent_s = now - (arrivals[-1] if arrivals else self._since)
            if silent_s > silence_s:
                lines[name] = f'no {name} for {silent_s:.1f} s'
        if not has_camera and now - self._since > silence_s:
            lines[CAMERA_INFO] = f'no {CAMERA_INFO}'
        return {k: f'{v}: {hints[k]}' if hints.get(k) else v for k, v in lines.items()}

    def input_status(
        self,
        matcher: Matcher,
        camera: Camera | None,
        *,
        early: int,
        silent: Mapping[str, str],
        mismatches: Sequence[str],
        notes: Sequence[str],
    ) -> DiagnosticStatus:
        """
        Report on what comes in.

        :param matcher: with its counts.
        :param camera: None = no camera_info yet.
        :param early: labels with depth that wait for camera_info.
        :param silent: see `silent`.
        :param mismatches: topics on which somebody's QoS does not match.
        :param notes: what else is odd, each one line.
        """
        now = time.perf_counter()
        findings = Findings(f'{self._rate(LABELS, now):.1f} Hz')
        for line in mismatches:
            findings.add(ERROR, f'incompatible QoS on {line}')
        for line in silent.values():
            findings.add(ERROR, line)
        if self._is_recent('unusable', now):
            findings.add(WARN, self._why)
        if self._is_recent(DEPTH, now):
            findings.add(
                WARN,
                f'{matcher.depth_missing} labels had no depth image with a stamp within '
                f'{matcher.tolerance_ms:.0f} ms (sync.tolerance_ms) that came within '
                f'{matcher.config.wait_ms:.0f} ms (sync.wait_ms); where depth has the same stamps '
                'but comes late, raise sync.wait_ms, not the tolerance',
            )
        for line in notes:
            findings.add(WARN, line)
        size = '' if camera is None else f'{camera.width}x{camera.height}'
        return findings.status(
            depth_hz=f'{self._rate(DEPTH, now):.2f}',
            labels_hz=f'{self._rate(LABELS, now):.2f}',
            matched=matcher.matched,
            depth_missing=matcher.depth_missing,
            depth_dropped=matcher.depth_dropped,
            waiting_for_camera_info=early,
            camera_info_missing=self._totals[f'{CAMERA_INFO}_missing'],
            **{f'{name}_unusable': self._unusable[name] for name in self._arrivals},
            offset_ms=f'{self._offset_ms:.1f}',
            tolerance_ms=f'{matcher.tolerance_ms:.1f}',
            waiting_bytes=matcher.nbytes,
            time_jumps=matcher.jumps,
            camera_size=size,
            focal_length_px='' if camera is None else f'{camera.fx:.1f}',
            errors=self._errors,
        )

    def objects_status(self) -> DiagnosticStatus:
        """Report on the objects of the newest depth image, and on all so far."""
        count = len(self._objects)
        findings = Findings(f'{count} object{"" if count == 1 else "s"}')
        blind = [each.object_id for each in self._objects if each.center is None]
        if blind:
            findings.add(
                WARN,
                f'objects {blind} have too little depth: too near, too far, shiny or transparent',
            )
        return findings.status(
            frames_out=self._totals['frames_out'],
            without_centre=self._totals['without_centre'],
            **{name: self._totals[name] for name in ('pixels', 'holes', 'edges', 'outliers')},
            **{f'latency_{name}_ms': f'{v:.2f}' for name, v in self._latency.summary().items()},
            **{f'object_{each.object_id}': _in_words(each) for each in self._objects},
        )

    def _rate(self, name: str, now: float) -> float:
        times = [t for t in self._arrivals[name] if now - t < _RECENT_S]
        return (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else 0.0

    def _is_recent(self, name: str, now: float) -> bool:
        return now - self._when.get(name, float('-inf')) < _RECENT_S


def _in_words(each: ObjectInSpace) -> str:
    used = f'{len(each.points)} of {each.pixels} px ({each.holes} holes)'
    if each.center is None:
        return f'no centre, {used}'
    x, y, z = each.center
    return f'{x:.3f} {y:.3f} {z:.3f} m, {used}'
