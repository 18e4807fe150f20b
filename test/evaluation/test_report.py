# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import cv2
from davis_factory import label_map, textured
import numpy as np
import numpy.typing as npt
import pytest

from vos_ros.datatypes import Frame
from vos_ros.errors import VosError
from vos_ros.evaluation import report
from vos_ros.evaluation.report import (
    colour_of,
    draw_ids,
    draw_overlay,
    draw_truth,
    find_h264_encoder,
    OverlayVideo,
    ScoredFrame,
    WorstFrames,
    write_image,
)
from vos_ros.formats.label_png import davis_palette

LABELS = label_map((1, 10, 10, 30, 30), (2, 5, 60, 20, 20))
IMAGE = textured(LABELS)


def test_overlay_changes_objects_only_and_not_its_input() -> None:
    before = IMAGE.copy()
    drawn = draw_overlay(IMAGE, LABELS)
    assert (before == IMAGE).all()
    assert (drawn[LABELS == 0] == IMAGE[LABELS == 0]).all()
    assert (drawn[LABELS != 0] != IMAGE[LABELS != 0]).any(axis=1).mean() > 0.99


def test_inside_is_a_blend_with_the_palette() -> None:
    drawn = draw_overlay(IMAGE, LABELS, alpha=0.25, contour=False)
    expected = 0.75 * IMAGE[25, 25] + 0.25 * davis_palette()[1]
    assert np.abs(drawn[25, 25] - expected).max() <= 1
    assert colour_of(2) == (0, 128, 0)


def test_contour_is_the_rim_of_each_object() -> None:
    black = np.zeros_like(IMAGE)
    plain, lined = (draw_overlay(black, LABELS, contour=c) for c in (False, True))
    changed = (plain != lined).any(axis=2)
    rim = np.zeros_like(changed)
    for object_id in (1, 2):
        mask = np.where(object_id == LABELS, 1, 0).astype(np.uint8)
        inner = np.asarray(cv2.erode(mask, np.ones((3, 3), np.uint8)))
        rim |= mask != inner
    assert np.array_equal(changed, rim)


def test_empty_map_and_wide_ids_are_drawn() -> None:
    assert (draw_overlay(IMAGE, label_map()) == IMAGE).all()
    wide = LABELS.astype(np.uint16) * 510  # a multiple of 255 must not turn black
    assert colour_of(510) != (0, 0, 0)
    drawn = draw_overlay(np.zeros_like(IMAGE), wide, contour=False)
    assert (drawn[wide != 0].sum(axis=1) > 0).all()


def test_an_id_is_written_on_its_object_even_on_a_ring() -> None:
    ring = np.zeros((120, 160), np.uint8)
    cv2.circle(ring, (80, 60), 40, 7, 16)
    for labels, count in ((LABELS, 2), (ring, 1)):
        image = np.full((*labels.shape, 3), 128, np.uint8)
        drawn = draw_ids(image, labels)
        assert (image == 128).all()
        white = np.asarray((drawn > 170).all(axis=2), np.uint8)
        parts, _ = cv2.connectedComponents(np.asarray(cv2.dilate(white, np.ones((5, 5)))))
        assert parts - 1 == count
        assert (labels[white != 0] != 0).mean() > 0.6
    assert (draw_ids(IMAGE, label_map()) == IMAGE).all()


def test_truth_is_green_and_prediction_white() -> None:
    drawn = draw_truth(IMAGE, label_map((1, 40, 70, 20, 20)), LABELS)
    assert drawn[10, 20].tolist() == [0, 255, 0]
    assert drawn[40, 80].tolist() == [255, 255, 255]


def frames_of(path: Path) -> list[npt.NDArray[np.uint8]]:
    capture = cv2.VideoCapture(str(path))
    frames: list[npt.NDArray[np.uint8]] = []
    while True:
        done, image = capture.read()
        if not done:
            return frames
        frames.append(np.asarray(image, np.uint8)[..., ::-1])


@pytest.mark.parametrize('encoder', ['found', 'none'])
@pytest.mark.parametrize('size', [(64, 96), (63, 95)], ids=['even', 'odd'])
def test_overlay_video_plays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoder: str, size: tuple[int, int]
) -> None:
    if encoder == 'none':
        monkeypatch.setattr(report, 'find_h264_encoder', lambda: '')
    elif not find_h264_encoder():
        pytest.skip('no ffmpeg with H.264 on this machine')
    labels = np.zeros(size, np.uint8)
    labels[10:40, 10:40] = 2
    with OverlayVideo(tmp_path / 'new' / 'o.mp4', rate_hz=12.5) as video:
        for _ in range(7):
            video.write(Frame(np.full((*size, 3), 128, np.uint8)), labels)
    frames = frames_of(tmp_path / 'new' / 'o.mp4')
    assert len(frames) == video.frames == 7
    assert frames[0].shape[:2] == (64, 96)
    assert np.abs(frames[6][14, 14].astype(int) - (64, 128, 64)).max() < 30
    assert frames[6][20:30, 20:30].max() > 180  # the id, in white
    assert ('H.264' if encoder == 'found' else 'MPEG-4') in video.codec.split('(')[0]


def test_frames_of_another_size_are_fitted(tmp_path: Path) -> None:
    with OverlayVideo(tmp_path / 'o.mp4') as video:
        video.write_image(IMAGE)
        video.write_image(np.zeros((20, 20, 3), np.uint8))
    assert [frame.shape for frame in frames_of(tmp_path / 'o.mp4')] == [IMAGE.shape] * 2


def test_unused_video_leaves_no_file(tmp_path: Path) -> None:
    with OverlayVideo(tmp_path / 'o.mp4'):
        pass
    assert list(tmp_path.iterdir()) == []


def test_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / 'file').write_text('')
    with pytest.raises(VosError, match='choose another folder'):
        OverlayVideo(tmp_path / 'file' / 'o.mp4').write_image(IMAGE)
    with pytest.raises(VosError, match='choose another folder'):
        write_image(tmp_path / 'file' / 'o.png', IMAGE)


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
