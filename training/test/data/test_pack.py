# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A packed data set trains like the folder it came from."""

from pathlib import Path
import tarfile

import cv2
import numpy as np
import pytest

from vos_distill.data import load_stills, load_videos
from vos_distill.data.pack import pack, unpack


def make_data(root: Path, name: str = 'a') -> None:
    for kind in ('images', 'labels'):
        (root / 'static' / 'set' / kind).mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    image = cv2.resize(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8), (400, 320))
    label = np.zeros((320, 400), np.uint8)
    label[100:200, 150:250] = 3
    cv2.imwrite(str(root / 'static' / 'set' / 'images' / f'{name}.jpg'), image)
    cv2.imwrite(str(root / 'static' / 'set' / 'labels' / f'{name}.png'), label)


def test_pack_and_unpack_keep_layout_and_ids(tmp_path: Path) -> None:
    make_data(tmp_path / 'data')
    told = pack(tmp_path / 'data', tmp_path / 'data.tar', short_side=160)
    assert told['images'] == told['labels'] == 1
    assert told['bytes'] == (tmp_path / 'data.tar').stat().st_size
    (still,) = load_stills(unpack(tmp_path / 'data.tar', tmp_path / 'again') / 'static')
    assert still.image.shape == (160, 200, 3)
    assert set(np.unique(still.label)) == {0, 3}
    assert (still.label == 3).mean() == pytest.approx(100 * 100 / (320 * 400), rel=0.02)


def test_own_clips_with_png_images_are_packed_as_they_are_read(tmp_path: Path) -> None:
    images, masks = tmp_path / 'data/own/a/images', tmp_path / 'data/own/a/masks'
    for folder, value in ((images, 90), (masks, 2)):
        folder.mkdir(parents=True)
        for name in ('1', '2'):
            shape = (40, 60, 3) if folder is images else (40, 60)
            cv2.imwrite(str(folder / f'{name}.png'), np.full(shape, value, np.uint8))
    (tmp_path / 'data/own/meta.json').write_text('{}')
    told = pack(tmp_path / 'data', tmp_path / 'data.tar', short_side=20)
    assert (told['images'], told['labels'], told['lists']) == (2, 2, 1)
    again = unpack(tmp_path / 'data.tar', tmp_path / 'again')
    assert sorted(p.name for p in (again / 'own/a/images').iterdir()) == ['1.jpg', '2.jpg']
    (video,) = load_videos([again / 'own'])
    image, label = video.frame(1)
    assert image.shape == (20, 30, 3)
    assert abs(int(image[0, 0, 0]) - 90) < 3
    assert set(np.unique(label)) == {2}


@pytest.mark.parametrize('suffix', ['jpg', 'JPG'])
@pytest.mark.parametrize('folder', ['DUTS-TR', 'fss/cup'])
def test_masks_beside_their_photographs_are_packed_as_they_are_read(
    folder: str, suffix: str, tmp_path: Path
) -> None:
    place = tmp_path / 'data/static' / folder
    place.mkdir(parents=True)
    shades = np.zeros((60, 80), np.uint8)
    shades[20:40, 20:60] = 255
    cv2.imwrite(str(place / f'a.{suffix}'), np.full((60, 80, 3), 90, np.uint8))
    cv2.imwrite(str(place / 'a.png'), cv2.GaussianBlur(shades, (9, 9), 0))
    told = pack(tmp_path / 'data', tmp_path / 'data.tar', short_side=30)
    assert (told['images'], told['labels']) == (1, 1)
    (before,) = load_stills(tmp_path / 'data/static', 30)
    (still,) = load_stills(unpack(tmp_path / 'data.tar', tmp_path / 'again') / 'static')
    np.testing.assert_array_equal(still.label, before.label)
    assert still.label.shape == (30, 40)
    assert int(still.label.sum()) == pytest.approx(10 * 20, abs=30)


@pytest.mark.parametrize('folder', ['Confidences/480p/a', 'a/confidence'])
def test_confidences_are_packed_as_they_are_read(folder: str, tmp_path: Path) -> None:
    data = tmp_path / 'data/own'
    is_own = folder.startswith('a/')
    images, masks = (
        ('a/images', 'a/masks') if is_own else ('JPEGImages/480p/a', 'Annotations/480p/a')
    )
    ramp = np.tile(np.arange(60, dtype=np.uint8), (40, 1))
    for part, picture in (
        (images, np.full((40, 60, 3), 90, np.uint8)),
        (masks, np.full((40, 60), 2, np.uint8)),
        (folder, ramp),
    ):
        (data / part).mkdir(parents=True)
        for name in ('1', '2'):
            cv2.imwrite(str(data / part / f'{name}.png'), picture)
    pack(tmp_path / 'data', tmp_path / 'data.tar', short_side=20)
    (video,) = load_videos([unpack(tmp_path / 'data.tar', tmp_path / 'again') / 'own'])
    confidence = video.confidence(1)
    assert confidence is not None
    assert confidence.shape == (20, 30)
    assert abs(int(confidence[3, 20]) - 40) <= 1


def test_what_cannot_be_packed_is_named(tmp_path: Path) -> None:
    (tmp_path / 'empty').mkdir()
    with pytest.raises(ValueError, match='empty'):
        pack(tmp_path / 'empty', tmp_path / 'x.tar')
    make_data(tmp_path / 'data')
    bad = tmp_path / 'data' / 'static' / 'set' / 'images' / 'bad.jpg'
    bad.write_bytes(b'no')
    with pytest.raises(ValueError, match=r'bad\.jpg'):
        pack(tmp_path / 'data', tmp_path / 'x.tar')
    with pytest.raises(ValueError, match=r'bad\.jpg'):
        unpack(bad, tmp_path / 'out')
    with pytest.raises(ValueError, match='short side must be at least 1 px, not 0'):
        pack(tmp_path / 'data', tmp_path / 'x.tar', short_side=0)


def test_a_failed_pack_leaves_what_was_there_and_nothing_else(tmp_path: Path) -> None:
    make_data(tmp_path / 'data')
    pack(tmp_path / 'data', tmp_path / 'whole.tar')
    before = (tmp_path / 'whole.tar').read_bytes()
    # the last file, so that most of the tar is written when it is found
    (tmp_path / 'data' / 'static' / 'set' / 'labels' / 'z.png').write_bytes(b'no')
    for name in ('whole.tar', 'new.tar'):
        with pytest.raises(ValueError, match=r'z\.png'):
            pack(tmp_path / 'data', tmp_path / name)
    assert sorted(p.name for p in tmp_path.iterdir()) == ['data', 'whole.tar']
    assert (tmp_path / 'whole.tar').read_bytes() == before


@pytest.mark.parametrize('cut', ['between two files', 'inside a header', 'inside a file'])
def test_a_tar_that_was_cut_off_is_refused(tmp_path: Path, cut: str) -> None:
    make_data(tmp_path / 'data')
    pack(tmp_path / 'data', tmp_path / 'data.tar')
    with tarfile.open(tmp_path / 'data.tar') as tar:
        second = tar.getmembers()[1]
    size = {
        'between two files': second.offset,
        'inside a header': second.offset + 100,
        'inside a file': second.offset_data + 10,
    }[cut]
    with (tmp_path / 'data.tar').open('r+b') as file:
        file.truncate(size)
    with pytest.raises(ValueError, match=r'data\.tar: not a packed data set'):
        unpack(tmp_path / 'data.tar', tmp_path / 'again')


@pytest.mark.parametrize('suffix', ['.bmp', '.tif', '.webp', '.JPG'])
def test_every_kind_of_image_that_training_reads_is_packed(tmp_path: Path, suffix: str) -> None:
    make_data(tmp_path / 'data')
    images = tmp_path / 'data' / 'static' / 'set' / 'images'
    image = cv2.imread(str(images / 'a.jpg'))
    (images / 'a.jpg').unlink()
    cv2.imwrite(str(images / f'a{suffix}'), image)
    assert len(load_stills(tmp_path / 'data' / 'static')) == 1
    assert pack(tmp_path / 'data', tmp_path / 'data.tar')['images'] == 1
    assert len(load_stills(unpack(tmp_path / 'data.tar', tmp_path / 'again') / 'static')) == 1


def test_what_training_does_not_read_is_left_out(tmp_path: Path) -> None:
    make_data(tmp_path / 'data')
    for kind in ('images', 'labels'):
        folder = tmp_path / 'data' / 'static' / 'set' / kind
        for name in ('._a.jpg', '._a.png', '.notes.txt'):
            (folder / name).write_bytes(b'no image')
        (folder / '.thumbnails').mkdir()
        (folder / '.thumbnails' / 'a.png').write_bytes(b'no image')
    (tmp_path / 'data' / 'static' / 'set' / 'labels' / 'preview.jpg').write_bytes(b'no image')
    told = pack(tmp_path / 'data', tmp_path / 'data.tar')
    assert (told['images'], told['labels'], told['lists']) == (1, 1, 0)


def test_a_file_that_is_no_tar_is_named_in_one_line(tmp_path: Path) -> None:
    (tmp_path / 'data.yaml').write_text('steps: 4\n')
    with pytest.raises(ValueError, match=r'data\.yaml: not a packed data set') as told:
        unpack(tmp_path / 'data.yaml', tmp_path / 'folder')
    assert '\n' not in str(told.value)
