# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The generated data set is one that the loaders take without a complaint."""

import hashlib
import logging
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('skimage', reason='the generated data needs scikit-image')

from vos_distill.data import load_stills, load_videos
from vos_distill.data.generate import CLIPS, FRAMES, generate, STILLS
from vos_ros.sequences import open_davis


def digests(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob('*.*'))
    }


@pytest.fixture(scope='module')
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp('generated')
    generate(root)
    return root


def test_loaders_take_all_of_it(generated: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        stills = load_stills(generated / 'train' / 'static')
        videos = load_videos([generated / 'train' / 'davis2016'])
    assert not caplog.text
    assert len(stills) == STILLS
    assert sum(still.label.max() == 2 for still in stills) > 15
    assert all((still.label > 0).mean() > 0.01 for still in stills)
    assert sorted(video.name for video in videos) == sorted(CLIPS)
    assert all(len(video) == FRAMES for video in videos)


def test_val_clip_is_one_that_the_engine_measures_on(generated: Path) -> None:
    (clip,) = open_davis(generated / 'val' / 'davis2016')
    assert len(clip) == FRAMES
    assert clip.is_binary
    sizes = [float(np.mean(clip.label_map(t) == 1)) for t in (0, FRAMES // 2, FRAMES - 1)]
    assert all(0.05 < size < 0.5 for size in sizes)


def test_same_seed_gives_the_same_files(generated: Path, tmp_path: Path) -> None:
    generate(tmp_path / 'again')
    assert digests(tmp_path / 'again') == digests(generated)
    generate(tmp_path / 'other', seed=1)
    assert digests(tmp_path / 'other') != digests(generated)
