# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Models that take only so many objects at once are called as often as needed."""

import numpy as np
import pytest

from vos_ros.backends.base import Features, Window
from vos_ros.backends.per_call import ObjectsPerCall
from vos_ros.datatypes import Float


class Counting:
    """Answers with what it was given, and remembers how much that was."""

    name, precision = 'cpu', 'fp32'
    takes_windows = True
    fallbacks: tuple[str, ...] = ('reason',)

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.window: Window | None = None

    def encode_image(self, image: Float) -> Features:
        return {'image': image, 'key': image}

    def segment(
        self,
        features: Features,
        memory_key: Float,
        memory_value: Float,
        window: Window | None = None,
    ) -> Float:
        self.sizes.append(len(memory_value))
        self.window = window
        return memory_value[:, 0] * 10

    def encode_mask(
        self, features: Features, masks: Float, others: Float, window: Window | None = None
    ) -> Float:
        self.sizes.append(len(masks))
        self.window = window
        return masks + others


@pytest.mark.parametrize(
    ('objects', 'is_fixed', 'sizes'),
    [(2, False, [2]), (7, False, [3, 3, 1]), (7, True, [3, 3, 3]), (1, True, [3])],
)
def test_every_object_is_answered_in_order(objects: int, is_fixed: bool, sizes: list[int]) -> None:
    inner = Counting()
    backend = ObjectsPerCall(inner, 3, is_fixed=is_fixed)
    value = np.arange(objects * 2 * 4, dtype=np.float32).reshape(objects, 2, 2, 2)
    np.testing.assert_array_equal(backend.segment({}, value, value), value[:, 0] * 10)
    masks = value[:, 0]
    np.testing.assert_array_equal(backend.encode_mask({}, masks, 2 * masks), 3 * masks)
    assert inner.sizes == sizes * 2


def test_a_window_is_asked_for_in_every_call() -> None:
    inner = Counting()
    backend = ObjectsPerCall(inner, 1, is_fixed=False)
    value = np.zeros((2, 2, 2, 2), np.float32)
    backend.segment({}, value, value, Window(0, 1, 1, 2))
    assert inner.window == Window(0, 1, 1, 2)
    backend.encode_mask({}, value[:, 0], value[:, 0], Window(0, 0, 1, 1))
    assert (inner.sizes, inner.window) == ([1, 1, 1, 1], Window(0, 0, 1, 1))


def test_it_tells_what_runs() -> None:
    backend = ObjectsPerCall(Counting(), 3, is_fixed=False)
    assert backend.takes_windows
    assert (backend.name, backend.precision, backend.fallbacks) == ('cpu', 'fp32', ('reason',))
    assert set(backend.encode_image(np.zeros((1, 3, 16, 16), np.float32))) == {'image', 'key'}
