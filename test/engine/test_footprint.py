# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the network will take is known, and refused, before it is taken."""

from dataclasses import replace
from pathlib import Path
import re

from colour_backend import ColourBackend, MakeSegmenter
import numpy as np
import pytest

from vos_ros.backends import load_manifest
from vos_ros.backends.base import Backend, Manifest, Size
from vos_ros.budget import Budget, MIB
from vos_ros.config import MemoryConfig, RedetectConfig, SegmenterConfig
from vos_ros.datatypes import Frame, Prompt
from vos_ros.engine.footprint import bank_nbytes, check_fits, footprint, RUNTIME
from vos_ros.engine.segmenter import VideoSegmenter
from vos_ros.errors import VosError

# What processes took for the network: MiB, by python benchmarks footprint on 2026-11-28.
TAKEN = [
    ('fast_mb_slim', (256, 336), 1, 82),
    ('fast_mb_slim', (480, 640), 10, 309),
    ('fast_mb_slim', (720, 960), 1, 534),
    ('fast_mb_slim', (1088, 1440), 10, 2355),
    ('fast_mb_slim', (1440, 1920), 1, 4859),
    ('fast_mb', (480, 640), 10, 424),
    ('fast_mb', (1088, 1440), 1, 1706),
    ('deformable_mb', (480, 640), 10, 221),
    ('deformable_mb', (1088, 1440), 1, 1116),
]


@pytest.mark.parametrize(('model', 'size', 'objects', 'taken_mib'), TAKEN)
def test_the_estimate_is_above_what_was_seen_and_not_by_much(
    model: str, size: Size, objects: int, taken_mib: int
) -> None:
    off = RedetectConfig(enabled=False)  # as when it was seen
    config = SegmenterConfig(max_objects=objects, redetect=off)
    estimate = (RUNTIME + footprint(load_manifest(model), config, size)) / MIB
    assert 1.1 * taken_mib < estimate < 2.1 * taken_mib


def test_the_bytes_of_the_memory_bank_are_known_before(make_segmenter: MakeSegmenter) -> None:
    for objects, frames in ((1, 1), (3, 4), (10, 2)):
        made = make_segmenter(max_objects=objects, max_prompted_frames=frames)
        known = bank_nbytes(made.manifest, made.config, made.input_size)
        assert known == made.memory.nbytes


def test_the_top_of_the_documented_range_is_refused_with_a_size_that_fits() -> None:
    manifest, config = load_manifest('fast_mb_slim'), SegmenterConfig(max_objects=10)
    budget = Budget(8192 * MIB, 'memory.budget_mib')
    with pytest.raises(VosError) as caught:
        check_fits(manifest, config, budget, (2160, 2880), 0)
    told = re.fullmatch(
        r'a network input of 2880x2160 with max_objects = 10 needs about (\d+) MiB of memory, and '
        r'(\d+) MiB are left for it \(8192 MiB by memory.budget_mib\): take input_size '
        r'\(--size\) (\d+), fewer objects, or raise memory.budget_mib \(--budget-mib\) to (\d+)',
        str(caught.value),
    )
    assert told is not None
    needed, room, side, enough_mib = map(int, told.groups())
    assert needed > 20_000 > room
    check_fits(manifest, config, budget, (side, side * 4 // 3 // 16 * 16), 0)
    with pytest.raises(VosError):
        check_fits(manifest, config, budget, (side + 16, (side + 32) * 4 // 3), 0)
    check_fits(manifest, config, Budget(enough_mib * MIB, ''), (2160, 2880), 0)
    with pytest.raises(VosError):
        check_fits(manifest, config, Budget((enough_mib - 1) * MIB, ''), (2160, 2880), 0)


def test_no_size_is_named_where_none_fits() -> None:
    manifest, config = load_manifest('fast_mb_slim'), SegmenterConfig()
    for budget_mib in (50, 110):
        with pytest.raises(
            VosError, match=r': take fewer objects, or raise .* to (\d+)$'
        ) as caught:
            check_fits(manifest, config, Budget(budget_mib * MIB, 'x'), (96, 128), 0)
        enough_mib = int(str(caught.value).rsplit(' ', 1)[1])
        check_fits(manifest, config, Budget(enough_mib * MIB, 'x'), (96, 128), 0)


def opened(budget_mib: float, calls: list[Size]) -> VideoSegmenter:
    manifest = replace(load_manifest('fast_mb_slim'), key_dim=3, value_dim=3)
    config = SegmenterConfig(
        input_size=64, max_objects=2, memory=MemoryConfig(budget_mib=budget_mib)
    )

    def open_for(size: Size) -> Backend:
        calls.append(size)
        return ColourBackend(size)

    return VideoSegmenter(manifest, open_for, config)


def budget_for(*sizes: Size) -> float:
    """Return the budget of which the network may use just so much, MiB."""
    manifest = replace(load_manifest('fast_mb_slim'), key_dim=3, value_dim=3)
    config = SegmenterConfig(input_size=64, max_objects=2)
    return (RUNTIME + sum(footprint(manifest, config, size) for size in sizes) + 99) * 8 / 5 / MIB


def frame(height: int, width: int) -> Frame:
    return Frame(np.zeros((height, width, 3), np.uint8))


def test_nothing_is_opened_that_does_not_fit() -> None:
    calls: list[Size] = []
    with pytest.raises(VosError, match=r'a network input of 80x64 .* needs about'):
        opened(budget_for(), calls)
    assert calls == []


def test_a_camera_of_another_shape_that_does_not_fit_is_refused_and_the_first_goes_on() -> None:
    calls: list[Size] = []
    segmenter = opened(budget_for((64, 80)), calls)
    start = frame(480, 640)
    segmenter.step(start, Prompt(np.ones((480, 640), np.uint8)))
    segmenter.segment(frame(360, 640))  # once is stretched
    for _ in range(2):
        with pytest.raises(VosError, match='MiB for the size in use'):
            segmenter.segment(frame(360, 640))
    assert calls == [(64, 80)]
    assert segmenter.step(start).object_ids == (1,)


def test_sizes_that_are_not_in_use_make_room() -> None:
    calls: list[Size] = []
    segmenter = opened(budget_for((64, 80), (64, 112)), calls)
    for shape in ((480, 640), (360, 640), (640, 640), (480, 640)):
        segmenter.reset()
        segmenter.segment(frame(*shape))
    assert calls == [(64, 80), (64, 112), (64, 64), (64, 80)]
    roomy = opened(0.0, [])
    assert roomy.input_size == (64, 80)


def test_a_manifest_of_another_kind_has_a_footprint_too() -> None:
    manifest: Manifest = load_manifest(Path(__file__).resolve().parents[1] / 'data' / 'tiny')

    def made(size: Size) -> int:
        return footprint(manifest, SegmenterConfig(), size)

    assert 0 < made((64, 96)) < made((128, 96)) < made((480, 640))


def test_a_size_that_a_model_of_one_size_does_not_take_is_refused() -> None:
    manifest = replace(load_manifest('fast_mb_slim'), key_dim=3, value_dim=3, fixed=(480, 640, 2))
    for size in (0, 480):
        made = VideoSegmenter(manifest, ColourBackend, SegmenterConfig(input_size=size))
        assert made.short_sides == (480,)
    with pytest.raises(VosError, match=r'takes 640x480 only, so that input_size \(--size\)'):
        VideoSegmenter(manifest, ColourBackend, SegmenterConfig(input_size=96))
