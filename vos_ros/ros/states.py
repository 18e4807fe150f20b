# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
~/object_states: what is known of each object, the lost ones too.

Apart from ~/objects, whose consumers take the best hypothesis for an object that is there. In a
message that every installation has: no package for vision is needed to learn that an object is
lost.
"""

from collections.abc import Mapping

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
import numpy as np
from std_msgs.msg import Header

from vos_ros.datatypes import ObjectState, Segmentation
from vos_ros.ros.detections import name_of

_LEVELS = {
    ObjectState.TRACKED: DiagnosticStatus.OK,
    ObjectState.OCCLUDED: DiagnosticStatus.WARN,
    ObjectState.LOST: DiagnosticStatus.ERROR,
}


def to_states_msg(
    segmentation: Segmentation, names: Mapping[int, str], header: Header
) -> DiagnosticArray:
    """
    Write one status per known object.

    `name` is the id, `message` the state (tracked, occluded, lost), `level` OK, WARN or ERROR for
    these; the values are name, score (0..1) and area in pixels.

    :param segmentation: what was found.
    :param names: of the objects.
    :param header: the source image's.
    """
    msg = DiagnosticArray()
    msg.header = header
    for object_id in segmentation.object_ids:
        state = segmentation.states.get(object_id, ObjectState.TRACKED)
        values = {
            'name': name_of(object_id, names),
            'score': f'{segmentation.scores.get(object_id, 0.0):.3f}',
            'area': str(np.count_nonzero(segmentation.label_map == object_id)),
        }
        status = DiagnosticStatus(level=_LEVELS[state], name=str(object_id), message=state.value)
        status.values = [KeyValue(key=key, value=value) for key, value in values.items()]
        msg.status.append(status)
    return msg
