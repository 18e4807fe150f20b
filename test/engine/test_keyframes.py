# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
from dataclasses import dataclass

import numpy as np
import pytest

from vos_ros.datatypes import Float, Frame
from vos_ros.engine.keyframes import KeyFrame, resize_prob


@dataclass(frozen=True, eq=False)
class WithMessage(Frame):
    """A frame as the node has it."""

    message: bytes = b''


def _prob(rows: slice, columns: slice, size: tuple[int, int] = (24, 32)) -> Float:
    prob = np.zeros((2, *size), np.float32)
    prob[1, rows, columns] = 1.0
    prob[0] = 1.0 - prob[1]
    return prob


@pytest.mark.parametrize('size', [(12, 16), (13, 17), (24, 32), (30, 40)])
def test_resized_probabilities_sum_to_one_and_keep_their_place(size: tuple[int, int]) -> None:
    resized = resize_prob(_prob(slice(6, 18), slice(8, 24)), size)
    assert resized.shape == (2, *size)
    np.testing.assert_allclose(resized.sum(axis=0), 1.0, atol=1e-6)
    assert resized[1].mean() == pytest.approx(0.25, abs=0.03)
    assert resized[1, size[0] // 2, size[1] // 2] > 0.99
    assert resized[1, 0, 0] < 0.01


def test_what_is_smaller_than_a_cell_keeps_one() -> None:
    resized = resize_prob(_prob(slice(7, 8), slice(9, 10)), (8, 11))
    assert resized[1].max() > 0.99
    np.testing.assert_allclose(resized.sum(axis=0), 1.0, atol=1e-6)


def test_what_was_uncertain_stays_so() -> None:
    faint = _prob(slice(7, 8), slice(9, 10))
    faint[1] *= 0.3
    faint[0] = 1 - faint[1]
    assert resize_prob(faint, (8, 11))[1].max() < 0.1


@pytest.mark.parametrize('scale', [1, 3])
def test_key_frame_is_independent_of_the_sender_s_memory(scale: int) -> None:
    image = np.full((48 * scale, 64 * scale, 3), 7, np.uint8)
    labels = np.zeros(image.shape[:2], np.uint8)
    labels[: 24 * scale] = 5
    frame = WithMessage(image, 'bgr8', 9, 'c', message=bytes(10**6))
    key_frame = KeyFrame.of(frame, labels, (2, 5), (48, 64), (12, 16))
    assert type(key_frame.frame) is Frame, 'the message must not live as long as the object'
    image[:] = 0
    labels[:] = 0
    assert key_frame.frame.image.shape == (48, 64, 3)
    assert (key_frame.frame.image == 7).all()
    kept = key_frame.frame
    assert (kept.encoding, kept.stamp_ns, kept.frame_id) == ('bgr8', 9, 'c')
    np.testing.assert_allclose(key_frame.prob[2, :6], 1.0)  # object 5
    assert not key_frame.prob[1].any()  # object 2 is not on the frame
    np.testing.assert_allclose(key_frame.prob.sum(axis=0), 1.0)
