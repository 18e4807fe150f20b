# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The example that sends a first mask, against a real node; and what a detector sends."""

import importlib.util
import os
from pathlib import Path
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs rclpy')

from robot import image_msg, MASK, ROOT, SCENE, to_array
from sensor_msgs.msg import Image
from test_detections import stand_ins

from vos_ros.formats.label_png import write_label_png
from vos_ros.ros import detections
from vos_ros.ros.conversions import to_stamp_ns

TINY = ROOT / 'test' / 'data' / 'tiny'


@pytest.mark.parametrize('given', ['png', 'box', 'point'])
def test_a_mask_is_sent_with_the_stamp_of_an_image(
    client, start_node, tmp_path: Path, given: str
) -> None:
    # Images come as fast as they can here, a second apart by their stamps, while a mask is found.
    node = start_node('-r', f'__ns:=/{given}', '-p', 'init.max_late_s:=0.0', model=TINY)
    write_label_png(tmp_path / 'first.png', MASK)
    what = {
        'png': [str(tmp_path / 'first.png')],
        'box': ['--box', '20,10,40,30'],
        'point': ['--point', '60,40'],
    }[given]
    labels = client.listen(Image, f'/{given}/vos/labels')
    images = client.publisher(Image, f'/{given}/image')
    script = str(ROOT / 'examples' / 'publish_mask.py')
    sending = subprocess.Popen(
        [sys.executable, script, *what, '--ros-args', '-r', f'__ns:=/{given}'],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, 'PYTHONPATH': f'{ROOT}:{os.environ.get("PYTHONPATH", "")}'},
    )

    def is_sent() -> bool:
        images.publish(image_msg(SCENE, 'rgb8', client.next_stamp()))
        return sending.poll() is not None

    client.wait(is_sent, 'the mask to be sent')
    said, _ = sending.communicate()
    assert sending.returncode == 0, said
    sec, nanosec = map(int, said.split()[-1].split('.'))

    def followed() -> list:
        images.publish(image_msg(SCENE, 'rgb8', client.next_stamp()))
        return [found for found in labels if to_array(found).any()]

    first = client.wait(followed, 'the object')[0]
    assert (first.header.stamp.sec, first.header.stamp.nanosec) >= (sec, nanosec)
    expected = set(np.unique(MASK)) - {0} if given == 'png' else {1}
    assert set(np.unique(to_array(first))) - {0} <= expected
    assert 'refused' not in node.log


def test_what_the_example_of_a_detector_sends_is_a_box_without_an_id(monkeypatch) -> None:
    installed = detections.find_vision_msgs()
    kinds = stand_ins() if installed is None else installed
    monkeypatch.setitem(sys.modules, 'vision_msgs', SimpleNamespace(msg=kinds))
    monkeypatch.setitem(sys.modules, 'vision_msgs.msg', kinds)
    spec = importlib.util.spec_from_file_location('example', ROOT / 'examples/detector_boxes.py')
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    image = image_msg(np.zeros((160, 200, 3), np.uint8), 'rgb8', (5, 0))
    assert example.to_boxes(image).detections == []  # by the real detector: nothing is there

    monkeypatch.setattr(example, 'detect', lambda picture: [(20, 10, 41, 31, 'cup', 0.8)])
    boxes, problems = detections.to_boxes(example.to_boxes(image))
    assert not problems
    assert boxes.stamp_ns == to_stamp_ns(image.header.stamp) == 5_000_000_000
    assert (boxes.names, boxes.unsure_ids) == ({1: 'cup'}, {1})
    box = boxes.boxes[1]
    assert (box.x, box.y, box.width, box.height) == (40, 25, 41, 31)
