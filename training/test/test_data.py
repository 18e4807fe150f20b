# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Clips: what the composer promises, on photographs and a video drawn here."""

import logging
from pathlib import Path

import cv2
import numpy as np
import pytest

from vos_distill.data import (
    ClipComposer,
    ClipConfig,
    load_stills,
    load_videos,
    pick_object,
    read_pair,
    Still,
    Video,
)


def disc(size: int, x: int, y: int, radius: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(x + y)
    image = cv2.resize(rng.integers(0, 255, (9, 9, 3), dtype=np.uint8), (size, size))
    label = np.zeros((size, size), np.uint8)
    cv2.circle(label, (x, y), radius, 1, -1)
    image[label > 0] = (250, 20, 20)
    return image, label


@pytest.fixture(scope='module')
def stills() -> list[Still]:
    return [Still(*disc(96, 30 + 5 * i, 50, 18), 'ecssd') for i in range(6)]


@pytest.fixture(scope='module')
def videos() -> list[Video]:
    video = Video('disc')
    for t in range(12):
        image, label = disc(96, 30 + 2 * t, 50, 16)
        video.images.append(image)
        video.labels.append(label)
    return [video]


@pytest.mark.parametrize('real', [0.0, 1.0], ids=['composed', 'real'])
def test_clips_have_their_shape_and_show_object_one(
    stills: list[Still], videos: list[Video], real: float
) -> None:
    config = ClipConfig(size=64, frames=4, real=real)
    composer = iter(ClipComposer(stills, videos, config, seed=1))
    for _ in range(20):
        images, labels = next(composer)
        assert images.shape == (4, 64, 64, 3)
        assert images.dtype == np.uint8
        assert labels.shape == (4, 64, 64)
        assert set(np.unique(labels)) <= {0, 1, 2, 255}
        assert (labels[0] == 1).mean() > 0.003
        assert (labels[1:] == 1).any()


def test_same_seed_gives_the_same_clips(stills: list[Still], videos: list[Video]) -> None:
    config = ClipConfig(size=64, frames=3)
    a, b = (iter(ClipComposer(stills, videos, config, seed=3)) for _ in range(2))
    for _ in range(5):
        for x, y in zip(next(a), next(b), strict=True):
            np.testing.assert_array_equal(x, y)


def test_objects_move_and_keep_their_look(stills: list[Still]) -> None:
    """The label follows the object: its pixels stay redder than the rest of the picture."""
    config = ClipConfig(size=64, frames=4, real=0.0, occluder=0.0, bars=0.0, blur=0.0)
    composer = iter(ClipComposer(stills, [], config, seed=2))
    moved = reddish = total = 0
    for _ in range(20):
        images, labels = next(composer)
        moved += int((labels[0] != labels[3]).any())
        for image, label in zip(images.astype(int), labels, strict=True):
            inside = label == 1
            if inside.sum() < 20:
                continue
            total += 1
            reddish += int(
                (image[..., 0] - image[..., 1])[inside].mean()
                >= (image[..., 0] - image[..., 1])[label == 0].mean() - 5
            )
    assert moved == 20
    assert reddish > 0.9 * total


def test_pick_object_leaves_out_what_fills_the_picture() -> None:
    everything = Still(np.zeros((20, 20, 3), np.uint8), np.ones((20, 20), np.uint8), 'ecssd')
    assert pick_object(everything, np.random.default_rng(0)) is None


def write_pair(root: Path, name: str, label: np.ndarray, image: np.ndarray) -> None:
    for folder in ('images', 'labels'):
        (root / 'set' / folder).mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(root / 'set' / 'images' / f'{name}.jpg'), image)
    cv2.imwrite(str(root / 'set' / 'labels' / f'{name}.png'), label)


def test_bad_pairs_are_named_and_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    image, label = disc(48, 20, 20, 9)
    write_pair(tmp_path, 'good', label, image)
    write_pair(tmp_path, 'small', label[:20, :20], image)
    write_pair(tmp_path, 'corrupt', label, image)
    (tmp_path / 'set' / 'labels' / 'corrupt.png').write_bytes(b'not a png')
    write_pair(tmp_path, 'alone', label, image)
    (tmp_path / 'set' / 'labels' / 'alone.png').unlink()
    with caplog.at_level(logging.WARNING):
        stills = load_stills(tmp_path)
    assert len(stills) == 1
    for name in ('small', 'corrupt', 'alone'):
        assert f'{name}.png' in caplog.text
    with pytest.raises(ValueError, match='20x20 but its image is 48x48'):
        read_pair(
            tmp_path / 'set' / 'images' / 'small.jpg', tmp_path / 'set' / 'labels' / 'small.png'
        )


def test_a_one_frame_video_is_named_and_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    image, label = disc(48, 20, 20, 9)
    for kind, suffix, what in (('JPEGImages', 'jpg', image), ('Annotations', 'png', label * 255)):
        folder = tmp_path / kind / '480p' / 'short'
        folder.mkdir(parents=True)
        cv2.imwrite(str(folder / f'00000.{suffix}'), what)
    with caplog.at_level(logging.WARNING):
        assert load_videos([tmp_path]) == []
    assert 'short' in caplog.text
