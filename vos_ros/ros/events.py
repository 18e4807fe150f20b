# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
~/events: an object was lost, was found again, or something was refused as not being it.

Once each, where ~/object_states repeats what is with every image: a mission waits for "found", and
must neither count nor compare. In the same message as the states, which every installation has,
and which rqt, Foxglove and `ros2 topic echo` show by fields; JSON in a String they would not.
"""

from collections.abc import Collection, Mapping
import math
import threading

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from std_msgs.msg import Header

from vos_ros.datatypes import ObjectState, Segmentation
from vos_ros.ros.detections import name_of
from vos_ros.stream.forgotten import Forgotten

LOST, FOUND, IN_DOUBT = 'lost', 'found', 'in doubt'
_LEVELS = {
    LOST: DiagnosticStatus.ERROR,
    FOUND: DiagnosticStatus.OK,
    IN_DOUBT: DiagnosticStatus.WARN,
}
#: Below this likeness something was refused.
_REFUSED = 0.5


class Events:
    """Compares each result with those before; not for several threads."""

    def __init__(self) -> None:
        """Begin with nothing seen."""
        self._states: dict[int, ObjectState] = {}
        self._tracked_ns: dict[int, int] = {}  # when each was tracked last
        self._doubted: set[int] = set()  # since they were tracked last
        self._likeness: dict[int, float] = {}  # newest
        self._lock = threading.Lock()
        self._forgotten = Forgotten()

    def forget(self, object_ids: Collection[int] | None, now: float) -> None:
        """
        Take what has these ids on images from now on for other objects; from any thread.

        :param object_ids: that were removed; None = all.
        :param now: s of `time.perf_counter`.
        """
        with self._lock:
            self._forgotten.note(object_ids, now)

    def note(
        self,
        segmentation: Segmentation,
        names: Mapping[int, str],
        header: Header,
        arrived: float = math.inf,
    ) -> DiagnosticArray | None:
        """
        Write one status per event: `name` is the id, `message` lost, found or in doubt.

        The values are name, away_s (since it was tracked last), confidence (0..1) and score.

        :param segmentation: the newest result.
        :param names: of the objects.
        :param header: the source image's.
        :param arrived: when that came, s of `time.perf_counter`.
        :return: None where nothing has happened.
        """
        self._drop_forgotten(arrived)
        states = dict(segmentation.states)
        known = states.keys()
        self._doubted &= known
        self._tracked_ns = {i: ns for i, ns in self._tracked_ns.items() if i in known}
        self._likeness = {
            i: share
            for i, share in {**self._likeness, **segmentation.likeness}.items()
            if i in known
        }
        msg = DiagnosticArray(header=header)
        for object_id, state in states.items():
            what = self._event(object_id, state, segmentation)
            if what:
                msg.status.append(self._status(object_id, what, segmentation, names))
            if state is ObjectState.TRACKED:
                self._tracked_ns[object_id] = segmentation.stamp_ns
                self._doubted.discard(object_id)
                self._likeness.pop(object_id, None)
        self._states = states
        return msg if msg.status else None

    def _drop_forgotten(self, arrived: float) -> None:
        with self._lock:
            gone = self._forgotten.take_before(arrived)
        for object_id in gone.among(list(self._states)):
            self._states.pop(object_id, None)
            self._tracked_ns.pop(object_id, None)
            self._likeness.pop(object_id, None)
            self._doubted.discard(object_id)

    def _event(self, object_id: int, state: ObjectState, segmentation: Segmentation) -> str:
        before = self._states.get(object_id)
        if state is ObjectState.LOST and before is not ObjectState.LOST:
            return LOST
        if state is ObjectState.TRACKED and before is ObjectState.LOST:
            return FOUND
        is_refused = segmentation.likeness.get(object_id, 1.0) < _REFUSED
        if is_refused and object_id not in self._doubted:
            self._doubted.add(object_id)
            return IN_DOUBT
        return ''

    def _status(
        self, object_id: int, what: str, segmentation: Segmentation, names: Mapping[int, str]
    ) -> DiagnosticStatus:
        score = segmentation.scores.get(object_id, 0.0)
        confidence = 0.0 if what == LOST else self._likeness.get(object_id, score)
        since_ns = self._tracked_ns.get(object_id, segmentation.stamp_ns)
        values = {
            'name': name_of(object_id, names),
            'away_s': f'{max(0, segmentation.stamp_ns - since_ns) / 1e9:.3f}',
            'confidence': f'{confidence:.3f}',
            'score': f'{score:.3f}',
        }
        status = DiagnosticStatus(level=_LEVELS[what], name=str(object_id), message=what)
        status.values = [KeyValue(key=key, value=value) for key, value in values.items()]
        return status
