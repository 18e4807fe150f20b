# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Submission folders: late objects, ids with gaps, only the frames that are asked for."""

import json
from pathlib import Path
import zipfile

import cv2
import numpy as np
import pytest

from vos_distill.evaluation.submission import open_videos, write_submission
from vos_ros.config import SegmenterConfig
from vos_ros.datatypes import LabelMap
from vos_ros.engine.segmenter import VideoSegmenter
from vos_ros.formats.label_png import davis_palette, read_label_png, write_label_png

TINY = Path(__file__).resolve().parents[3] / 'test' / 'data' / 'tiny'
SIZE = (90, 150)
FRAMES = ('00000', '00005', '00010', '00015', '00020')


def box(object_id: int, left: int) -> LabelMap:
    labels: LabelMap = np.zeros(SIZE, np.uint8)
    labels[25:65, left : left + 30] = object_id
    return labels


def write_video(root: Path, name: str, masks: dict[str, LabelMap]) -> None:
    rng = np.random.default_rng(0)
    for frame in FRAMES:
        path = root / 'JPEGImages' / name / f'{frame}.jpg'
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), rng.integers(0, 255, (*SIZE, 3), np.uint8))
    for frame, labels in masks.items():
        write_label_png(root / 'Annotations' / name / f'{frame}.png', labels)


@pytest.fixture
def youtube(tmp_path: Path) -> Path:
    """Object 2 from the start, object 7 from the third frame on; the other video has no list."""
    root = tmp_path / 'data' / 'valid'
    write_video(root, 'late', {'00000': box(2, 10), '00010': box(7, 90)})
    write_video(root, 'whole', {'00005': box(1, 40)})
    objects = {
        '2': {'category': 'cat', 'frames': ['00000', '00010', '00020']},
        '7': {'category': 'dog', 'frames': ['00010', '00015', '00020']},
    }
    videos = {'late': {'objects': objects}, 'whole': {'objects': {'1': {'category': 'ape'}}}}
    (root / 'meta.json').write_text(json.dumps({'videos': videos}))
    return root


@pytest.fixture
def segmenter() -> VideoSegmenter:
    return VideoSegmenter.open(TINY, config=SegmenterConfig(input_size=64))


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def test_the_files_are_those_the_server_asks_for(
    youtube: Path, tmp_path: Path, segmenter: VideoSegmenter
) -> None:
    out = tmp_path / 'out'
    assert write_submission(segmenter, youtube, out, archive=True) == (2, 9, [])
    folder = out / 'Annotations'
    listed = ['00000.png', '00010.png', '00015.png', '00020.png']
    assert names(folder / 'late') == listed
    assert names(folder / 'whole') == [f'{frame}.png' for frame in FRAMES]
    with zipfile.ZipFile(out / 'submission.zip') as archive:
        files = {name for name in archive.namelist() if name.endswith('.png')}
    assert {f'Annotations/late/{name}' for name in listed} < files
    assert len(files) == 9


def test_objects_keep_their_ids_and_join_on_their_frame(
    youtube: Path, tmp_path: Path, segmenter: VideoSegmenter
) -> None:
    write_submission(segmenter, youtube, tmp_path / 'out')
    folder = tmp_path / 'out' / 'Annotations'
    np.testing.assert_array_equal(read_label_png(folder / 'late' / '00000.png'), box(2, 10))
    joined = read_label_png(folder / 'late' / '00010.png')
    np.testing.assert_array_equal(joined == 7, box(7, 90) == 7)
    for file in (folder / 'late').iterdir():
        labels = read_label_png(file)
        assert labels.shape == SIZE
        assert set(np.unique(labels)) <= {0, 2, 7}
    assert not read_label_png(folder / 'whole' / '00000.png').any()  # before its only object
    np.testing.assert_array_equal(read_label_png(folder / 'whole' / '00005.png'), box(1, 40))


def test_the_files_are_indexed_with_the_palette(
    youtube: Path, tmp_path: Path, segmenter: VideoSegmenter
) -> None:
    image = pytest.importorskip('PIL.Image', reason='an independent reader of indexed files')
    write_submission(segmenter, youtube, tmp_path / 'out')
    with image.open(tmp_path / 'out' / 'Annotations' / 'late' / '00000.png') as png:
        assert png.mode == 'P'
        assert png.size == SIZE[::-1]
        palette = np.array(png.getpalette()).reshape(-1, 3)
        np.testing.assert_array_equal(palette, davis_palette()[: len(palette)])
        np.testing.assert_array_equal(np.array(png), box(2, 10))


def test_frames_that_were_left_out_are_time_too(youtube: Path) -> None:
    videos, wanted = open_videos(youtube.parent)  # the folder above valid
    stamps = [frame.stamp_ns for frame in videos[0]]
    assert stamps == [round(number * 1e9 / 30) for number in (0, 5, 10, 15, 20)]
    assert wanted == {'late': {'00000', '00010', '00015', '00020'}}


def test_a_davis_root_with_one_mask_per_video(tmp_path: Path, segmenter: VideoSegmenter) -> None:
    root = tmp_path / 'davis'
    write_video(root, 'first', {'00000': box(3, 10)})
    write_video(root, 'second', {'00000': box(1, 10)})
    (root / 'ImageSets').mkdir()
    (root / 'ImageSets' / 'test-dev.txt').write_text('second\n')
    assert write_submission(segmenter, root, tmp_path / 'out', split='test-dev') == (1, 5, [])
    assert names(tmp_path / 'out' / 'Annotations') == ['second']


def test_what_is_wrong_is_said_before_anything_is_written(
    youtube: Path, tmp_path: Path, segmenter: VideoSegmenter
) -> None:
    out = tmp_path / 'out'
    (out / 'Annotations').mkdir(parents=True)
    with pytest.raises(ValueError, match='another folder'):
        write_submission(segmenter, youtube, out)
    videos = {'late': {'objects': {'2': {'frames': ['00001']}}}}
    (youtube / 'meta.json').write_text(json.dumps({'videos': videos}))
    with pytest.raises(ValueError, match='frame 00001 of late'):
        write_submission(segmenter, youtube, tmp_path / 'other')
    for broken in ('{"videos": 3}', '{}', '[', '{"videos": {"late": {"objects": []}}}'):
        (youtube / 'meta.json').write_text(broken)
        with pytest.raises(ValueError, match=r'not the meta\.json'):
            write_submission(segmenter, youtube, tmp_path / 'other')
    assert not (tmp_path / 'other').exists()
