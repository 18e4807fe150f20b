# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import numpy as np
import pytest

from vos_ros.config import LostConfig
from vos_ros.errors import VosError
from vos_ros.harness.occlusions import FRAMES, KINDS, RATE_HZ, render, write_clips
from vos_ros.sequences import open_labelled

pytest.importorskip('skimage', reason='the photographs are inside scikit-image')


def _areas(kind: str, frames: int) -> list[int]:
    return [int((labels == 1).sum()) for _, labels in render(kind, 0, frames)]


@pytest.mark.parametrize('kind', KINDS)
def test_every_kind_hides_an_object_for_long_and_shows_it_again(kind: str) -> None:
    frames = FRAMES // 3
    areas = _areas(kind, frames)
    assert len(areas) == frames
    assert min(areas[: frames // 9]) > 300
    gone = [t for t, area in enumerate(areas) if area == 0]
    assert len(gone) * 3 / RATE_HZ > LostConfig().lost_after_s
    back = [area for area in areas[gone[8] :] if area > 300]
    assert (len(back) > 5) == (kind != 'alike_instead')


def test_a_seed_gives_the_same_clip_and_another_seed_another() -> None:
    first, again, other = (
        next(iter(render('alike_stays', seed)))[0].tobytes() for seed in (3, 3, 4)
    )
    assert first == again != other


def test_a_look_alike_that_nobody_asks_for_is_on_no_label() -> None:
    assert {int(k) for _, labels in render('alike_stays', 0) for k in np.unique(labels)} == {0, 1}


def test_clips_are_written_as_a_data_set(tmp_path: Path) -> None:
    assert write_clips(tmp_path, [0], ['alike_stays']) == 1
    (sequence,) = open_labelled(tmp_path)
    assert (sequence.name, len(sequence)) == ('alike_stays-0', FRAMES)
    _, labels = next(iter(render('alike_stays', 0)))
    np.testing.assert_array_equal(sequence.label_map(0), labels)


def test_an_unknown_kind_is_refused_by_name() -> None:
    with pytest.raises(VosError, match='no kind of clip'):
        next(iter(render('vanishes', 0)))
