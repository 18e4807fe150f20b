# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Pseudo labels: written for every frame, void where not sure, read back by the trainer."""

from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='the training package needs torch')

from vos_distill.data import load_videos  # noqa: E402
from vos_distill.evaluation.pseudo import write_pseudo_labels  # noqa: E402
from vos_distill.networks.checkpoint import save_checkpoint  # noqa: E402
from vos_distill.networks.presets import build_student  # noqa: E402
from vos_ros.errors import VosError  # noqa: E402
from vos_ros.formats.label_png import read_label_png, write_label_png  # noqa: E402


def write_clip(folder: Path, frames: int = 4) -> np.ndarray:
    (folder / 'images').mkdir(parents=True)
    (folder / 'masks').mkdir()
    rng = np.random.default_rng(0)
    for index in range(frames):
        image = rng.integers(0, 256, (64, 96, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / 'images' / f'{index:05d}.png'), image)
    label_map = np.zeros((64, 96), np.uint8)
    label_map[16:48, 8:40], label_map[16:48, 56:88] = 3, 7
    write_label_png(folder / 'masks' / '00000.png', label_map)
    return label_map


def teacher(path: Path) -> Path:
    torch.manual_seed(0)
    student = build_student('tiny')
    told = {'preset': 'tiny', 'step': 0, 'seconds': 0.0, 'recipe': {}}
    save_checkpoint(path, {'student': student.state_dict(), **told})
    return path


def test_every_frame_is_labelled_and_the_trainer_reads_it(tmp_path: Path) -> None:
    label_map = write_clip(tmp_path / 'clips' / 'one')
    out = tmp_path / 'data' / 'labelled'
    weights = teacher(tmp_path / 'student.pt')
    assert write_pseudo_labels(weights, tmp_path / 'clips', out, short_side=64) == 4
    masks = [read_label_png(path) for path in sorted((out / 'one' / 'masks').glob('*.png'))]
    confidence = [
        cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        for path in sorted((out / 'one' / 'confidence').glob('*.png'))
    ]
    assert len(masks) == len(confidence) == 4
    np.testing.assert_array_equal(masks[0], label_map)
    assert (confidence[0] == 255).all()
    for mask, sure in zip(masks[1:], confidence[1:], strict=True):
        assert set(np.unique(mask)) <= {0, 3, 7, 255}
        np.testing.assert_array_equal(mask == 255, sure < 0.7 * 255)
    assert any((mask == 255).any() for mask in masks[1:])
    (video,) = load_videos([out])
    assert len(video) == 4
    assert write_pseudo_labels(weights, tmp_path / 'clips', out) == 0  # there already


def test_a_clip_without_its_first_mask_is_named(tmp_path: Path) -> None:
    write_clip(tmp_path / 'clips' / 'one')
    (tmp_path / 'clips' / 'one' / 'masks' / '00000.png').unlink()
    weights = teacher(tmp_path / 'student.pt')
    with pytest.raises(ValueError, match=r'one/masks/00000\.png is missing'):
        write_pseudo_labels(weights, tmp_path / 'clips', tmp_path / 'out')


def spoil(folder: Path, what: str) -> None:
    """Make a clip one that cannot be labelled."""
    first = folder / 'masks' / '00000.png'
    label_map = read_label_png(first).astype(np.uint16)
    if what == 'id':
        write_label_png(first, np.where(label_map == 7, np.uint16(300), label_map))
    elif what == 'size':
        write_label_png(first, label_map[:32])
    elif what == 'object':
        write_label_png(first, 0 * label_map)
    else:
        for image in (folder / 'images').iterdir():
            image.unlink()


@pytest.mark.parametrize(
    ('what', 'said'),
    [
        ('id', r'b/masks/00000\.png: id 300 is out of range'),
        ('size', r'b/masks/00000\.png: is 96x32 but its image is 96x64'),
        ('object', r'b/masks/00000\.png is empty'),
        ('images', 'b/images: there are no images'),
    ],
)
def test_every_clip_is_checked_before_one_is_labelled(
    tmp_path: Path, what: str, said: str
) -> None:
    for name in ('a', 'b'):
        write_clip(tmp_path / 'clips' / name)
    spoil(tmp_path / 'clips' / 'b', what)
    weights = teacher(tmp_path / 'student.pt')
    with pytest.raises((ValueError, VosError), match=said):
        write_pseudo_labels(weights, tmp_path / 'clips', tmp_path / 'out')
    assert not (tmp_path / 'out').exists()


def test_a_frame_of_another_size_is_named(tmp_path: Path) -> None:
    write_clip(tmp_path / 'clips' / 'one')
    image = tmp_path / 'clips' / 'one' / 'images' / '00002.png'
    cv2.imwrite(str(image), np.zeros((32, 96, 3), np.uint8))
    weights = teacher(tmp_path / 'student.pt')
    with pytest.raises(ValueError, match=r'00002\.png: is 96x32 but the first frame'):
        write_pseudo_labels(weights, tmp_path / 'clips', tmp_path / 'out', short_side=64)
    assert not (tmp_path / 'out' / 'one').exists()


def test_a_share_that_is_no_probability_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='from 0 to 1, not 7'):
        write_pseudo_labels(tmp_path, tmp_path, tmp_path, sure=7)


def test_a_folder_that_is_no_clip_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_clip(tmp_path / 'clips' / 'one')
    (tmp_path / 'clips' / 'two' / 'images').mkdir(parents=True)
    weights = teacher(tmp_path / 'student.pt')
    assert write_pseudo_labels(weights, tmp_path / 'clips', tmp_path / 'o', short_side=64) == 4
    assert 'clips/two: is no clip, it has no masks/' in caplog.text
