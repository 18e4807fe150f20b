# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Bags with damaged messages, and with stamps that are a little off: all is counted."""

from __future__ import annotations

from collections.abc import Callable
import logging
import os
from pathlib import Path
from typing import Any

from colour_backend import MakeSegmenter
import cv2
import numpy as np
import pytest

pytest.importorskip('rosbags', reason='rosbags is not installed: pip install rosbags')

from vos_ros.bag.messages import COMPRESSED, compressed_bytes, IMAGE, image_bytes, label_bytes
from vos_ros.bag.replay import Observers, Outcome
from vos_ros.bag.run import open_input, simulate
from vos_ros.bag.sequence import CAMERA, INIT, TRUTH
from vos_ros.bag.writer import BagWriter
from vos_ros.datatypes import Image, LabelMap
from vos_ros.errors import VosError
from vos_ros.formats.label_png import write_label_png

START_NS = 1_700_000_000_000_000_000
PERIOD_NS = 50_000_000
FRAMES = 8
Damage = Callable[[bytes], bytes]
# Of another kind, cut to any length, with lengths inside that lie, big-endian by its mark alone.
DAMAGES: dict[str, Damage] = {
    'empty': lambda data: b'',
    '3 bytes': lambda data: data[:3],
    '4 bytes': lambda data: data[:4],
    '11 bytes': lambda data: data[:11],
    'cut': lambda data: data[:200],
    'of another kind': lambda data: b'\x00\x07' + data[2:],
    'of no kind': lambda data: b'\xff\xff' + data[2:],
    'a long text': lambda data: data[:12] + b'\xff\xff\xff\x7f' + data[16:],
    'big-endian by its mark': lambda data: b'\x00\x00' + data[2:],
}
CASES = [pytest.param(damage, id=name) for name, damage in DAMAGES.items()]


def stamp(index: int) -> int:
    return START_NS + index * PERIOD_NS


def picture(index: int) -> tuple[Image, LabelMap]:
    image = np.full((96, 160, 3), 40, np.uint8)
    labels: LabelMap = np.zeros((96, 160), np.uint8)
    labels[30:62, 10 + 4 * index : 42 + 4 * index] = 1
    image[labels == 1] = (240, 200, 40)
    return image, labels


def write(
    path: Path,
    *,
    damage: dict[tuple[str, int], Damage] | None = None,
    off_ns: dict[str, int] | None = None,
    compressed: bool = False,
) -> Path:
    """
    Write a drive of images and true masks, with one init mask on the first image.

    :param damage: what is done to the message of a topic with this number.
    :param off_ns: added to the stamps of a topic.
    """
    with BagWriter(path) as bag:
        for index in range(FRAMES):
            image, labels = picture(index)
            for topic, kind in ((CAMERA, IMAGE), (TRUTH, IMAGE), (INIT, IMAGE)):
                if topic == INIT and index not in (0, 4):
                    continue
                stamp_ns = stamp(index) + (off_ns or {}).get(topic, 0)
                data = label_bytes(labels, stamp_ns, 'camera')
                if topic == CAMERA and compressed:
                    topic, kind = f'{CAMERA}/compressed', COMPRESSED
                    data = compressed_bytes(image, 'jpeg', stamp_ns, 'camera')
                elif topic == CAMERA:
                    data = image_bytes(image, 'rgb8', stamp_ns, 'camera')
                data = (damage or {}).get((topic, index), bytes)(data)
                bag.write(topic, kind, stamp(index), data)
    return path


def play(path: Path, make_segmenter: MakeSegmenter, **options: Any) -> Outcome:
    given = open_input(path, **options)
    truths: list[int] = []
    observers = Observers([lambda seen: truths.append(seen.gt is not None)])
    outcome = simulate(given, make_segmenter(), mode='offline', cost_ms=None, observers=observers)
    # The first frame has a true mask, and is not scored: it is given.
    assert sum(bool(record.scores) for record in outcome.records) == sum(truths[1:])
    return outcome


def scored(outcome: Outcome) -> int:
    return sum(bool(record.scores) for record in outcome.records)


@pytest.mark.parametrize('damage', CASES)
def test_damaged_images_are_left_out_and_counted(
    tmp_path: Path,
    make_segmenter: MakeSegmenter,
    caplog: pytest.LogCaptureFixture,
    damage: Damage,
) -> None:
    path = write(tmp_path / 'bag', damage={(CAMERA, 3): damage, (CAMERA, 5): damage})
    outcome = play(path, make_segmenter)
    assert (len(outcome.records), scored(outcome)) == (FRAMES - 2, FRAMES - 3)
    assert outcome.loops[0][1].jf > 0.95
    (line,) = [r.message for r in caplog.records if 'damaged' in r.message]
    assert line.startswith(f'{CAMERA}: 2 of 8 images are damaged and were left out; the first one')


@pytest.mark.parametrize('damage', CASES)
def test_damaged_true_masks_are_not_scored_and_counted(
    tmp_path: Path,
    make_segmenter: MakeSegmenter,
    caplog: pytest.LogCaptureFixture,
    damage: Damage,
) -> None:
    path = write(tmp_path / 'bag', damage={(TRUTH, 3): damage})
    outcome = play(path, make_segmenter)
    assert (len(outcome.records), scored(outcome)) == (FRAMES, FRAMES - 2)
    (line,) = [r.message for r in caplog.records]
    assert line.startswith(f'{TRUTH}: 1 of 8 true masks are damaged')


@pytest.mark.parametrize('damage', CASES)
def test_damaged_init_masks_are_left_out_and_counted(
    tmp_path: Path,
    make_segmenter: MakeSegmenter,
    caplog: pytest.LogCaptureFixture,
    damage: Damage,
) -> None:
    path = write(tmp_path / 'bag', damage={(INIT, 4): damage})
    outcome = play(path, make_segmenter, init='topic')
    assert outcome.loops[0][1].jf > 0.95
    (line,) = [r.message for r in caplog.records]
    assert line.startswith(f'{INIT}: 1 of 2 init masks are damaged')


def test_where_nothing_can_be_read_the_reason_of_the_first_is_told(
    tmp_path: Path, make_segmenter: MakeSegmenter
) -> None:
    damage = {(CAMERA, index): DAMAGES['cut'] for index in range(FRAMES)}
    path = write(tmp_path / 'bag', damage=damage)
    with pytest.raises(VosError, match='not one of 8 images of /camera/image_raw can'):
        play(path, make_segmenter)
    masks = {(INIT, index): DAMAGES['4 bytes'] for index in (0, 4)}
    path = write(tmp_path / 'masks', damage=masks)
    with pytest.raises(VosError, match='not one of 2 init masks'):
        play(path, make_segmenter, init='topic')


def test_a_jpeg_with_a_hole_is_not_answered_and_counted(
    tmp_path: Path, make_segmenter: MakeSegmenter, caplog: pytest.LogCaptureFixture
) -> None:
    image, _ = picture(3)
    noise = np.random.default_rng(0).integers(0, 256, image.shape, np.uint8)

    def with_hole(_: bytes) -> bytes:
        data = bytearray(compressed_bytes(noise, 'jpeg', stamp(3), 'camera'))
        middle = len(data) // 2
        data[middle : middle + 600] = bytes(600)
        return bytes(data)

    camera = f'{CAMERA}/compressed'
    path = write(tmp_path / 'bag', damage={(camera, 3): with_hole}, compressed=True)
    outcome = play(path, make_segmenter)
    assert len(outcome.records) == FRAMES
    assert [r.index for r in outcome.records if r.latency_ms is None] == [3]
    (line,) = [r.message for r in caplog.records]
    assert line.startswith('the camera: 1 of ')
    assert 'data are missing inside' in line


@pytest.mark.parametrize(
    'off_ns', [238, -900, 3_000_000, -3_000_000, PERIOD_NS // 2 - 1, -PERIOD_NS // 2]
)
def test_masks_within_half_a_period_belong_to_their_image(
    tmp_path: Path,
    make_segmenter: MakeSegmenter,
    caplog: pytest.LogCaptureFixture,
    off_ns: int,
) -> None:
    path = write(tmp_path / 'bag', off_ns={TRUTH: off_ns, INIT: off_ns})
    outcome = play(path, make_segmenter, init='topic')
    assert scored(outcome) == FRAMES - 1  # the first is given
    assert outcome.records[0].has_objects
    assert outcome.loops[0][1].jf > 0.95
    assert caplog.records == []


def test_masks_that_are_nearest_to_no_image_are_counted(
    tmp_path: Path, make_segmenter: MakeSegmenter, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(tmp_path / 'bag', off_ns={TRUTH: -PERIOD_NS // 2 - 1, INIT: 0})
    outcome = play(path, make_segmenter, init='topic')
    assert scored(outcome) == FRAMES - 2  # each is of the image before
    (line,) = [r.message for r in caplog.records]
    assert line.startswith(f'{TRUTH}: 1 true masks were left out')
    caplog.clear()
    path = write(tmp_path / 'late', off_ns={INIT: 4 * PERIOD_NS + PERIOD_NS // 2})
    play(path, make_segmenter, init='topic')
    (line,) = [r.message for r in caplog.records]
    assert line.startswith(f'{INIT}: 1 init masks were left out')


def test_true_masks_in_files_belong_to_the_nearest_image_or_to_the_number_in_the_bag(
    tmp_path: Path, make_segmenter: MakeSegmenter, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    by_stamp, by_number = tmp_path / 'stamps', tmp_path / 'numbers'
    for index in range(FRAMES):
        _, labels = picture(index)
        write_label_png(by_stamp / f'{stamp(index) + 4_000_000}.png', labels)
        write_label_png(by_number / f'{index:05d}.png', labels)
    path = write(tmp_path / 'bag', damage={(CAMERA, 2): DAMAGES['cut']})
    for folder in (by_stamp, by_number):
        outcome = play(path, make_segmenter, gt=str(folder))
        assert scored(outcome) == FRAMES - 2
        assert outcome.loops[0][1].jf > 0.95


def test_a_named_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / 'bag.mcap')
    with pytest.raises(VosError, match=r'bag\.mcap is no regular file'):
        open_input(tmp_path / 'bag.mcap')
    path = write(tmp_path / 'bag')
    (file,) = path.glob('*.mcap')
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(VosError, match='is no regular file'):
        open_input(path)


def test_the_pictures_of_these_tests_can_be_told_apart() -> None:
    image, labels = picture(0)
    assert cv2.countNonZero(labels) == 32 * 32
    assert len(np.unique(image.reshape(-1, 3), axis=0)) == 2
