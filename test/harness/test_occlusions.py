# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import numpy as np
import pytest

from vos_ros.config import LostConfig
from vos_ros.errors import VosError
from vos_ros.harness.occlusions import (
    FRAMES,
    KINDS,
    RATE_HZ,
    render,
    traits,
    WIDTH_PX,
    write_clips,
)
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


@pytest.mark.parametrize('kind', KINDS)
def test_what_makes_a_return_difficult_is_what_the_truth_shows(kind: str) -> None:
    frames, said = FRAMES // 3, traits(kind)
    areas = _areas(kind, frames)
    assert ('never returns' in said) == (areas[-1] == 0)
    if 'never returns' in said:
        return
    assert ('elsewhere' in said) != ('same place' in said)
    growth = areas[-1] / areas[0]
    assert (growth > 1.4, growth < 0.75) == ('larger' in said, 'smaller' in said)


def test_a_look_alike_of_the_same_colours_has_them() -> None:
    image, labels = next(iter(render('same_colours_stays', 0)))
    # It stands in the upper fifth of the picture, at a fifth of its width; or in a mirror.
    x = [int(WIDTH_PX * share) for share in (0.2, 0.8)]
    own = image[labels == 1].mean(axis=0)
    apart = [abs(image[55:70, c - 8 : c + 8].mean(axis=(0, 1)) - own).max() for c in x]
    assert min(apart) < 40


def test_clips_are_written_as_a_data_set(tmp_path: Path) -> None:
    assert write_clips(tmp_path, [0], ['alike_stays']) == 1
    (sequence,) = open_labelled(tmp_path)
    assert (sequence.name, len(sequence)) == ('alike_stays-0', FRAMES)
    _, labels = next(iter(render('alike_stays', 0)))
    np.testing.assert_array_equal(sequence.label_map(0), labels)


def test_an_unknown_kind_is_refused_by_name() -> None:
    with pytest.raises(VosError, match='no kind of clip'):
        next(iter(render('vanishes', 0)))
