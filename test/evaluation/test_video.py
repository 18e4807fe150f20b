# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path
import subprocess
import sys

import cv2
from davis_factory import label_map, textured
import numpy as np
import numpy.typing as npt
import pytest

from vos_ros.datatypes import Frame
from vos_ros.errors import VosError
from vos_ros.evaluation import video as video_module
from vos_ros.evaluation.video import find_h264_encoder, OverlayVideo

IMAGE = textured(label_map((1, 10, 10, 30, 30), (2, 5, 60, 20, 20)))


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
        monkeypatch.setattr(video_module, 'find_h264_encoder', lambda: '')
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


def test_a_video_that_the_disk_did_not_take_is_said(tmp_path: Path) -> None:
    code = (
        'import resource, sys\n'
        'import numpy as np\n'
        'from vos_ros.evaluation.video import OverlayVideo\n'
        'from vos_ros.errors import VosError\n'
        'resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n'
        'rng = np.random.default_rng(0)\n'
        'try:\n'
        '    with OverlayVideo(sys.argv[1]) as video:\n'
        '        for _ in range(20):\n'
        '            video.write_image(rng.integers(0, 255, (64, 96, 3), np.uint8))\n'
        'except VosError as error:\n'
        '    sys.exit(str(error))\n'
    ).replace('OverlayVideo(sys.argv[1])', "OverlayVideo(__import__('pathlib').Path(sys.argv[1]))")
    done = subprocess.run(
        [sys.executable, '-c', code, str(tmp_path / 'o.mp4')], capture_output=True, text=True
    )
    assert done.returncode == 1, done
    assert 'is not whole' in done.stderr
