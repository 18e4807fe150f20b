# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A clip on the page: what is left of the mask that it writes."""

from collections.abc import Callable
from pathlib import Path
import time

import cv2
import numpy as np
import pytest

pytest.importorskip('aiohttp', reason='the page needs aiohttp')

from vos_ros.engine.segmenter import VideoSegmenter
from vos_ros.formats.label_png import read_label_png
from vos_ros.page.clip import Clip
from vos_ros.sequences.folder import FolderSequence


def _clip(folder: Path, open_segmenter: Callable[[int], VideoSegmenter]) -> Clip:
    """Make one of a single frame, whose mask is written to first.png."""
    (folder / 'frames').mkdir()
    cv2.imwrite(str(folder / 'frames' / '0.png'), np.zeros((40, 60, 3), np.uint8))
    return Clip(FolderSequence(folder / 'frames'), folder / 'first.png', open_segmenter)


@pytest.mark.parametrize('last', ['remove', 'reset'])
def test_the_mask_goes_with_its_last_object_and_one_of_others_stays(
    tmp_path: Path, last: str
) -> None:
    clip, path = _clip(tmp_path, lambda _: VideoSegmenter.open()), tmp_path / 'first.png'
    path.write_bytes(b'of somebody else')
    assert clip.act(last, {'ids': [1]}).result() == 'no object is left'
    assert path.exists()
    mask = np.zeros((40, 60), np.uint8)
    mask[5:20, 5:20], mask[22:35, 5:20] = 1, 2
    clip.prompt(clip.current(), mask, {}).result()
    clip.act('remove', {'ids': [2]}).result()
    assert set(np.unique(read_label_png(path))) == {0, 1}
    assert clip.act(last, {'ids': [1]}).result() == f'no object is left; {path} is removed'
    assert not path.exists()


@pytest.mark.parametrize('error', [RuntimeError('the device is lost'), MemoryError()])
def test_whatever_ends_a_run_is_said(tmp_path: Path, error: Exception) -> None:
    def fail(_: int) -> VideoSegmenter:
        raise error

    clip = _clip(tmp_path, fail)
    clip.prompt(clip.current(), np.ones((40, 60), np.uint8), {}).result()
    assert clip.act('run', {}).result() == 'running'
    end = time.monotonic() + 30
    while clip.status()['state'] != 'failed' and time.monotonic() < end:
        time.sleep(0.01)
    (notice,) = clip.status()['notices']
    assert notice == {'level': 'error', 'text': str(error) or 'MemoryError'}
