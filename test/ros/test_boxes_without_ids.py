# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
A slow detector without a tracker: its boxes have no ids, and objects move on while it looks.

From its message to the results through all the node's own parts. DDS is left out, as vision_msgs
has no wheel.
"""

from collections.abc import Callable

import cv2
import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs rclpy')

from robot import image_msg
from test_detections import stand_ins
from worker_rig import MakeRig, until

from vos_ros.config import InitConfig
from vos_ros.datatypes import Image
from vos_ros.engine.prompter import Prompter
from vos_ros.ros import detections
from vos_ros.ros.box_drawer import BoxDrawer
from vos_ros.ros.conversions import Arrival

PERIOD_NS = 100_000_000
RADIUS = 8
#: The detector answers so many frames later; by then, a disc has moved by its own width.
DELAY = 4
COLOURS = ((250, 20, 20), (20, 20, 250))


def places(number: int, count: int) -> list[tuple[int, int]]:
    """Return where discs are on a frame: x, y."""
    return [(12 + 4 * number, 16 + 32 * k) for k in range(count)]


def picture(count: int) -> Callable[[int], Image]:
    def draw(stamp_ns: int) -> Image:
        image = np.full((64, 96, 3), (20, 140, 40), np.uint8)
        for centre, colour in zip(places(stamp_ns // PERIOD_NS, count), COLOURS):
            cv2.circle(image, centre, RADIUS, colour, -1)
        return image

    return draw


def message(number: int, count: int):
    """Make what the detector says of a frame, the last disc first."""
    msg = stand_ins().Detection2DArray()
    msg.header.stamp.sec, msg.header.stamp.nanosec = divmod(number * PERIOD_NS, 10**9)
    for x, y in reversed(places(number, count)):
        detection = stand_ins().Detection2D()
        detection.bbox.center.position.x, detection.bbox.center.position.y = float(x), float(y)
        detection.bbox.size_x = detection.bbox.size_y = 2.0 * RADIUS + 3
        msg.detections.append(detection)
    return msg


@pytest.mark.parametrize('count', [1, 2], ids=['one person', 'two persons'])
def test_eleven_messages_of_a_slow_detector_make_no_new_object(
    make_rig: MakeRig, count: int
) -> None:
    rig = make_rig(picture=picture(count), wait_s=60.0)
    sightings, errors = detections.Sightings(), []
    rig.on_result = lambda result, frame: sightings.note(result)
    drawer = BoxDrawer(
        InitConfig(wait_s=60.0), Prompter(None), rig.worker.submit_prompt, errors.append
    )
    for number in range(1, 16):
        stamp_ns = number * PERIOD_NS
        image = image_msg(rig.picture(stamp_ns), 'rgb8', divmod(stamp_ns, 10**9))
        drawer.put_image(Arrival(image, 0.0, stamp_ns))
        rig.send_each(stamp_ns)
        seen = number - DELAY
        if seen < 1:
            continue
        known = rig.segmenter.object_ids
        found = sightings.at(seen * PERIOD_NS, known)
        boxes, problems = detections.to_boxes(message(seen, count), known, found)
        assert not problems
        sightings.note_request(boxes)
        before = rig.worker.stats.prompts_in
        drawer.put_boxes(boxes)
        until(lambda: rig.worker.stats.prompts_in > before)  # noqa: B023
        until(
            lambda: (
                rig.worker._pipeline._catch_up is None
                and not rig.worker._backlog._requests._waiting
            )
        )
        rig.settle()
    assert drawer.stop(10.0)
    assert errors == rig.errors == []
    assert rig.worker.stats.prompts_in == 11
    assert rig.segmenter.object_ids == tuple(range(1, count + 1))
    assert np.count_nonzero(rig.results[-1].label_map) > 100 * count
