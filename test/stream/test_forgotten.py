# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What was forgotten since an image came, and what before."""

import numpy as np

from vos_ros.stream.forgotten import Forgotten

_LABELS = np.array([[0, 1, 2], [3, 3, 0]], np.uint8)


def test_what_is_forgotten_counts_for_the_images_before_and_is_dropped_with_one_after() -> None:
    forgotten = Forgotten()
    forgotten.note([1, 2], now=10.0)
    forgotten.note([2], now=12.0)
    assert forgotten.take_before(9.0).among([1, 2, 3]) == []
    assert forgotten.rest.among([1, 2, 3]) == [1, 2]
    assert forgotten.take_before(11.0).among([1, 2, 3]) == [1]
    assert forgotten.rest.left_out(_LABELS).tolist() == [[0, 1, 0], [3, 3, 0]]
    assert forgotten.take_before(13.0).among([1, 2, 3]) == [2]
    assert forgotten.take_before(13.0).among([1, 2, 3]) == []
    assert forgotten.rest.left_out(_LABELS) is _LABELS


def test_all_may_be_forgotten_and_what_was_before_that_still_counts() -> None:
    forgotten = Forgotten()
    forgotten.note([1], now=10.0)
    forgotten.note(None, now=12.0)
    assert forgotten.take_before(11.0).among([1, 2]) == [1]
    assert not forgotten.rest.left_out(_LABELS).any()
    assert _LABELS.any()
    assert forgotten.take_before(13.0).among([1, 2]) == [1, 2]
    assert forgotten.rest.left_out(_LABELS) is _LABELS


def test_nobody_is_forgotten_by_no_ids() -> None:
    forgotten = Forgotten()
    forgotten.note((), now=1.0)
    assert forgotten.rest.among([1]) == []
    assert forgotten.take_before(2.0).among([1]) == []
