# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Classes, for consumers that know no objects: one id per distinct name.

Nav2's semantic segmentation layer reads one byte per pixel, knows the names beforehand, by its
parameters, and keeps one id per name. On labels of objects it would see the last of two persons
only, and nothing of an object that has no name.
"""

from collections.abc import Collection, Mapping

import cv2
import numpy as np
import numpy.typing as npt

from vos_ros.datatypes import LabelMap

#: What id 0 is called, and an object without a name.
BACKGROUND, UNNAMED = 'background', 'object'
#: 255 means "unlabelled" in a vision_msgs/LabelInfo.
_MOST = 255


class ClassTable:
    """
    Gives each distinct name an id from 0 to 254.

    A name keeps its id after its last object has gone: Nav2 keeps what it saw by id, for seconds,
    and looks up again and again what the id costs. Only where more names came than there are ids
    does the oldest one that no object has make room; without such, a new one counts as unnamed.
    """

    def __init__(self) -> None:
        """Begin with the two names that are always there."""
        self._ids = {BACKGROUND: 0, UNNAMED: 1}
        self._of_object: dict[int, int] = {}

    @property
    def names(self) -> dict[int, str]:
        """Class id -> name."""
        return {class_id: name for name, class_id in self._ids.items()}

    def assign(self, names: Mapping[int, str]) -> bool:
        """
        Give the objects their classes.

        :param names: object id -> name, '' = it has none.
        :return: there are other classes than before.
        """
        # An object by the name of the background would vanish.
        named = {i: UNNAMED if name in ('', BACKGROUND) else name for i, name in names.items()}
        before = dict(self._ids)
        for name in dict.fromkeys(named.values()):
            if name not in self._ids:
                self._add(name, {BACKGROUND, UNNAMED, *named.values()})
        unnamed = self._ids[UNNAMED]
        self._of_object = {i: self._ids.get(name, unnamed) for i, name in named.items()}
        return self._ids != before

    def to_class_map(self, label_map: LabelMap) -> npt.NDArray[np.uint8]:
        """
        Bring ids of objects to ids of their classes.

        :param label_map: (H, W) uint8 or uint16.
        :return: (H, W) uint8; 0 = no object.
        """
        table = np.zeros(np.iinfo(label_map.dtype).max + 1, np.uint8)
        for object_id, class_id in self._of_object.items():
            table[object_id] = class_id
        if label_map.dtype == np.uint8:
            return np.asarray(cv2.LUT(label_map, table), np.uint8)
        return np.asarray(table[label_map])

    def _add(self, name: str, in_use: Collection[str]) -> None:
        if len(self._ids) < _MOST:
            self._ids[name] = len(self._ids)
            return
        oldest = next((known for known in self._ids if known not in in_use), None)
        if oldest is not None:
            self._ids[name] = self._ids.pop(oldest)
