# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Points on an image: whose they are, and which belong together."""

import pytest

pytest.importorskip('rclpy', reason='needs rclpy')

from vos_ros.errors import VosError
from vos_ros.formats.boxes import Points
from vos_ros.ros.points import Clicks


def test_points_without_an_id_are_new_objects_though_none_is_known_yet() -> None:
    clicks = Clicks()
    first, second = (clicks.take(x, 5, 0, 0, (1, 3)) for x in (1, 2))
    assert first is not None
    assert second is not None
    assert set(first.boxes) == {2}
    assert set(second.boxes) == {4}
    assert first.boxes[2] == Points(((1, 5),))


def test_points_of_one_object_and_stamp_are_one_prompt() -> None:
    clicks = Clicks()
    clicks.take(1, 2, 7, 1000, ())
    clicks.take(8, 8, -7, 1000, ())
    found = clicks.take(3, 4, 7, 1000, ())
    assert found is not None
    assert found.boxes == {7: Points(((1, 2), (3, 4)), beside=((8, 8),))}
    assert found.stamp_ns == 1000
    later = clicks.take(3, 4, 7, 2000, ())
    assert later is not None
    assert later.boxes == {7: Points(((3, 4),))}


def test_points_with_stamp_0_are_not_put_together() -> None:
    clicks = Clicks()
    clicks.take(1, 2, 7, 0, ())
    found = clicks.take(3, 4, 7, 0, ())
    assert found is not None
    assert found.boxes == {7: Points(((3, 4),))}


def test_a_place_beside_an_object_alone_starts_nothing() -> None:
    assert Clicks().take(1, 2, -7, 1000, ()) is None


@pytest.mark.parametrize(
    ('x', 'z', 'part'),
    [(float('nan'), 0, 'finite'), (1, 0.5, 'z of a point'), (1, 70000, 'z of a point')],
)
def test_a_point_that_is_none_is_refused_with_the_reason(x: float, z: float, part: str) -> None:
    with pytest.raises(VosError, match=part):
        Clicks().take(x, 1, z, 0, ())
