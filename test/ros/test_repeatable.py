# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The shipped model through the node: the same masks every time, and no worse than they were."""

import hashlib
import json
from pathlib import Path

import pytest

pytest.importorskip('rclpy', reason='needs rclpy')
pytest.importorskip('skimage', reason='needs scikit-image: the clip is made of its photographs')

from robot import Robot, to_array

from vos_ros.evaluation.metrics import SequenceScorer, summarize
from vos_ros.harness import clip

#: What a change must not lose; raise it when a model is better.
BASELINE = Path(__file__).with_name('baseline.json')
FRAMES, EVERY = 12, 4


def test_two_nodes_give_the_same_masks_and_they_are_as_good_as_ever(client, start_node) -> None:
    pictures = list(clip.render(FRAMES * EVERY))[::EVERY]
    digests, scorer = [], SequenceScorer()
    for name in ('/once', '/again'):
        settings = {'backend': 'cpu', 'threads': 1, 'input_size': 256, 'diagnostics.period_s': 0.1}
        robot = Robot(client, start_node('-r', f'__ns:={name}', **settings), name)
        digest = hashlib.sha256()
        for number, (image, truth) in enumerate(pictures):
            stamp = 2000 + number * EVERY // 10, number * EVERY % 10 * 100_000_000
            if number == 0:
                robot.offer(truth, stamp=stamp)
            found = to_array(robot.segment(stamp=stamp, image=image))
            digest.update(found.tobytes())
            if name == '/once':
                scorer.feed(found, truth)
        digests.append(digest.hexdigest())
        assert robot.process.interrupt() == 0, robot.process.log
    assert digests[0] == digests[1]
    summary = summarize(scorer.conclude().values())
    assert summary is not None
    floor = json.loads(BASELINE.read_text())
    assert summary.jf >= floor['jf'] - floor['slack'], f'J&F {summary.jf:.4f}'
