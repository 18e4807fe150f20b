# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import cv2
from davis_factory import label_map, textured
import pytest

from vos_ros.evaluation.worst import ScoredFrame, WorstFrames
from vos_ros.formats.drawing import write_image

LABELS = label_map((1, 10, 10, 30, 30), (2, 5, 60, 20, 20))
IMAGE = textured(LABELS)


def shown(j: float) -> ScoredFrame:
    return ScoredFrame(f'{j}', j, IMAGE, LABELS, LABELS)


def test_worst_frame_of_each_quarter_is_kept() -> None:
    worst = WorstFrames(count=3)
    for index in range(40):
        worst.offer('a', index / 40, shown(index / 100))
    assert [frame.j for frame in worst.worst()] == [0.0, 0.1, 0.2]


def test_pictures_held_do_not_grow_with_the_number_of_sequences() -> None:
    worst = WorstFrames(count=5)
    for index in range(400):
        worst.offer(f'{index // 4}', (index % 4) / 4, shown((index * 7919 % 400) / 400))
        assert len(worst._kept) <= 9
    assert [frame.j for frame in worst.worst()] == [0.0, 1 / 400, 2 / 400, 3 / 400, 4 / 400]


@pytest.mark.parametrize(('count', 'rows'), [(1, 1), (3, 2), (4, 2)])
def test_sheet_has_two_frames_a_row(tmp_path: Path, count: int, rows: int) -> None:
    worst = WorstFrames(count=12)
    assert worst.draw() is None
    for index in range(count):
        worst.offer('a', index / 4, shown(index / 10))
    sheet = worst.draw()
    assert sheet is not None
    height = 22 + round(64 * 426 / 96)
    width = 2 * 426 + 8
    assert sheet.shape == (rows * height, min(count, 2) * width, 3)
    write_image(tmp_path / 'sheet.png', sheet)
    read = cv2.imread(str(tmp_path / 'sheet.png'))
    assert read is not None
    assert (read[..., ::-1] == sheet).all()


@pytest.mark.parametrize('title', ['a\udcff', 'straße', 'car'])
def test_a_title_that_is_no_ascii_does_no_harm(title: str) -> None:
    frames = WorstFrames(1)
    frames.offer('x', 0.5, ScoredFrame(title, 0.1, IMAGE, LABELS, LABELS))
    assert frames.draw() is not None
