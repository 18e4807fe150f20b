# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A packed data set trains like the folder it came from."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from vos_distill.data import load_stills, load_videos
from vos_distill.pack import pack, unpack


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
