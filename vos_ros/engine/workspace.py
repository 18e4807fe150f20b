# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Workspace: all that depends on the network's size, and the network's verbs over it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType

import cv2
import numpy as np

from vos_ros.backends.base import Backend, Features, Manifest, Size, Window
from vos_ros.config import SegmenterConfig
from vos_ros.datatypes import Float, Frame
from vos_ros.engine.guided import Guide
from vos_ros.engine.labels import MAX_LOGIT, sum_of_others
from vos_ros.engine.memory import Group, MemoryBank
from vos_ros.engine.mosaic import Mosaic
from vos_ros.engine.motion import MotionGate
from vos_ros.engine.preprocess import halved, Normalizer, prepare
from vos_ros.engine.windows import Call, Lookout, plan, whole

NOWHERE: Mapping[int, Window] = MappingProxyType({})


def mask_size(manifest: Manifest, size: Size) -> Size:
    """Return (h4, w4), the grid of masks that belongs to a network input (H, W)."""
    return size[0] // manifest.mask_stride, size[1] // manifest.mask_stride


class Workspace:
    """
    The network at one size with its input buffer, memory and motion gate; allocated once.

    :param backend: opened for `size`.
    :param size: network input (H, W).
    """

    def __init__(
        self, manifest: Manifest, backend: Backend, size: Size, config: SegmenterConfig
    ) -> None:
        self.backend = backend
        self.size = size
        self.mask_size = mask_size(manifest, size)
        self.grid: Size = (size[0] // manifest.stride, size[1] // manifest.stride)
        self.image: Float = np.empty((1, 3, *size), np.float32)
        self.memory = MemoryBank(
            max_objects=config.max_objects,
            max_prompted_frames=config.memory.max_prompted_frames,
            key_dim=manifest.key_dim,
            value_dim=manifest.value_dim,
            tokens=self.grid[0] * self.grid[1],
        )
        self.gate = MotionGate(config.memory.max_speed * min(self.mask_size))
        self.lookout = Lookout(self.grid)
        self._mosaic = Mosaic(backend, self.grid)
        # The frame memorised last, by its number in the mosaic, and whom it was memorised for.
        self._memorized: tuple[int, frozenset[int]] = (0, frozenset())
        self._manifest = manifest
        self._normalizer = Normalizer(manifest.mean, manifest.std)

    def prepare(self, frame: Frame) -> Float:
        """Resize and normalise a frame into the network's input (1, 3, H, W), and return it."""
        self._mosaic.begin()
        return prepare(frame, self._normalizer, self.image)

    def see(self, windows: Collection[Window] | None = None) -> Features:
        """
        Encode the frame that was prepared last, once for all objects.

        What is known of it already is not encoded again.

        :param windows: what has to be known of it, the rest may be older; None = all of it.
        :return: features of the whole frame, valid until the next call.
        """
        return self._mosaic.see(self.image, [whole(self.grid)] if windows is None else windows)

    def forget(self) -> None:
        """Forget the objects, and what the frames so far looked like."""
        self.memory.clear()
        self.gate.clear()
        self.forget_frames()

    def forget_frames(self) -> None:
        """Treat the next frame as if it were the first: the memory is not as it was left."""
        self._mosaic.forget()
        self._memorized = (0, frozenset())

    def guide(self, prob: Float, frame: Frame) -> Guide:
        """
        Fit probabilities to the frame that was prepared last.

        :param prob: (K + 1, h4, w4), row 0 = background.
        """
        green = self._normalizer.green
        image = green if frame.size == self.size else frame.image
        return Guide.of(prob, image, halved(green, self.mask_size))

    def prepare_from(self, other: Workspace) -> Float:
        """Resize the network's input of another workspace into this one's, and return it."""
        self._mosaic.begin()
        shrinks = other.size[0] * other.size[1] >= self.size[0] * self.size[1]
        mode = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        for plane, out in zip(other.image[0], self.image[0]):
            cv2.resize(plane, self.size[::-1], dst=out, interpolation=mode)
        return self.image

    def read_and_decode(
        self, features: Features, windows: Mapping[int, Window] = NOWHERE
    ) -> Float:
        """
        Return the logits (K, h4, w4) of all objects, in the order of their ids.

        :param windows: of objects that need not be looked for elsewhere; only where the backend
            `takes_windows`. Outside of it an object is as unlikely as it can be.
        """
        logits = np.full((len(self.memory.object_ids), *self.mask_size), -MAX_LOGIT, np.float32)
        everywhere = dict.fromkeys(self.memory.object_ids, whole(self.grid))
        self.look(features, {**everywhere, **windows}, logits)
        return logits

    def look(self, features: Features, windows: Mapping[int, Window], logits: Float) -> None:
        """
        Look for some of the objects.

        :param windows: where, by id.
        :param logits: as from `read_and_decode`; changed there, in the rows of these objects.
        """
        row_of = {object_id: row for row, object_id in enumerate(self.memory.object_ids)}
        for group in self.memory.groups():
            wanted = {k: windows[k] for k in group.object_ids if k in windows}
            for call in plan(wanted, self.grid):
                found = self._segment(features, group, call)
                for object_id, plane in zip(call.object_ids, found):
                    whole_plane = logits[row_of[object_id]]
                    if call.window is None:
                        whole_plane[:] = plane
                    else:
                        call.window.cut(whole_plane, self.grid)[:] = plane

    def _segment(self, features: Features, group: Group, call: Call) -> Float:
        values = group.values
        if len(call.object_ids) < len(group.object_ids):
            rows = [group.object_ids.index(k) for k in call.object_ids]
            values = values[rows[0] : rows[0] + 1] if len(rows) == 1 else values[rows]
        if call.window is None:
            return self.backend.segment(features, group.keys, values)
        return self.backend.segment(features, group.keys, values, call.window)

    def encode(
        self,
        features: Features,
        prob: Float,
        object_ids: Sequence[int],
        chosen: Sequence[int],
        window: Window | None = None,
    ) -> Float:
        """
        Return the values (chosen, value_dim, tokens) of some of the objects in `prob`.

        :param prob: (K + 1, h4, w4), row 0 = background.
        :param object_ids: ids of its other rows.
        :param window: of these tokens only; None = all.
        """
        if not chosen:
            return np.empty((0, self._manifest.value_dim, 0), np.float32)
        rows = [object_ids.index(object_id) + 1 for object_id in chosen]
        return self.backend.encode_mask(features, prob[rows], sum_of_others(prob, rows), window)

    def memorize(
        self,
        features: Features,
        prob: Float,
        object_ids: Sequence[int],
        trusted: Sequence[int],
    ) -> tuple[Float, Float]:
        """
        Make the frame that was seen last the recent one of some of the objects.

        The others fall back to their prompted frame.

        :param features: as from `see`.
        :param prob: (K + 1, h4, w4), row 0 = background.
        :param object_ids: ids of its other rows.
        :param trusted: of them, objects whose mask is believed.
        :return: its key (key_dim, tokens), and their values (trusted, value_dim, tokens).
        """
        newest, (number, before) = self._mosaic.newest, self._memorized
        goes_on = number == self._mosaic.number - 1 and before.issuperset(trusted)
        if goes_on and trusted and newest != whole(self.grid):
            values = self._encode_part(features, prob, object_ids, trusted, newest)
        else:
            values = self.encode(features, prob, object_ids, trusted)
        key = self.key(features)
        self.memory.write_recent(trusted, key, values)
        self._memorized = self._mosaic.number, frozenset(trusted)
        return key, values

    def _encode_part(
        self,
        features: Features,
        prob: Float,
        object_ids: Sequence[int],
        chosen: Sequence[int],
        window: Window,
    ) -> Float:
        """
        Encode what is new; elsewhere no object is now, and values are those of their keys.

        :return: values (chosen, value_dim, tokens) of the whole frame.
        """
        part = self.encode(features, prob, object_ids, chosen, window)
        values = np.stack([self.memory.value(object_id)[1] for object_id in chosen])
        seen = window.cut(values.reshape(*values.shape[:2], *self.grid), self.grid)
        seen[:] = part.reshape(seen.shape)
        return values

    def key(self, features: Features) -> Float:
        """Return the key of a frame as the memory keeps it, (key_dim, tokens)."""
        return features['key'].reshape(self._manifest.key_dim, -1)
