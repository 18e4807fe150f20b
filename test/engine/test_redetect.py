# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""An object that was away: found again as itself, and nothing else taken for it."""

from dataclasses import replace

from colour_backend import ColourBackend, MakeSegmenter
import numpy as np
import pytest

from vos_ros.config import RedetectConfig, SegmenterConfig
from vos_ros.datatypes import Frame, Image, LabelMap, ObjectState, Prompt, Segmentation
from vos_ros.engine.footprint import footprint, views_nbytes
from vos_ros.engine.redetect import put_in
from vos_ros.engine.segmenter import VideoSegmenter

_SIZE = (64, 96)
_RED, _ROSE, _BLUE = (220, 30, 30), (225, 45, 35), (30, 40, 220)
_HERE, _THERE = (8, 8), (40, 64)
_PERIOD_NS = 100_000_000
Things = dict[tuple[int, int], tuple[int, int, int]]


def _image(things: Things) -> Image:
    image: Image = np.full((*_SIZE, 3), 128, np.uint8)
    for (row, column), colour in things.items():
        image[row : row + 16, column : column + 16] = colour
    return image


def _mask(row: int, column: int, object_id: int = 1) -> LabelMap:
    label_map = np.zeros(_SIZE, np.uint8)
    label_map[row : row + 16, column : column + 16] = object_id
    return label_map


class _Film:
    """A segmenter at 10 Hz that begins with a red square."""

    def __init__(self, make: MakeSegmenter, *, enabled: bool = True, **redetect: float) -> None:
        made = make()
        config = replace(
            made.config,
            redetect=RedetectConfig(enabled=enabled, **redetect),  # type: ignore[arg-type]
        )
        self.segmenter = VideoSegmenter(made.manifest, ColourBackend, config)
        self.frames = 0
        self.show({_HERE: _RED}, Prompt(_mask(*_HERE)))

    def show(self, things: Things, prompt: Prompt | None = None, frames: int = 1) -> Segmentation:
        for _ in range(frames):
            self.frames += 1
            frame = Frame(_image(things), 'rgb8', self.frames * _PERIOD_NS)
            result = self.segmenter.step(frame, prompt)
        return result

    @property
    def calls(self) -> list[str]:
        backend = self.segmenter._work.backend
        assert isinstance(backend, ColourBackend)
        calls, backend.calls = backend.calls, []
        return calls


@pytest.mark.parametrize('enabled', [False, True])
def test_a_look_alike_that_comes_while_the_object_is_away_is_not_taken(
    make_segmenter: MakeSegmenter, enabled: bool
) -> None:
    film = _Film(make_segmenter, enabled=enabled)
    film.show({_HERE: _RED}, frames=5)
    assert film.show({}, frames=25).states == {1: ObjectState.LOST}
    result = film.show({_THERE: _ROSE}, frames=10)
    assert (result.likeness.get(1, 1.0) < 0.5) == enabled
    assert result.states == {1: ObjectState.LOST if enabled else ObjectState.TRACKED}
    assert result.label_map.any() != enabled


def test_the_object_is_found_elsewhere_although_a_look_alike_is_there(
    make_segmenter: MakeSegmenter,
) -> None:
    film = _Film(make_segmenter)
    film.show({_HERE: _RED}, frames=5)
    film.show({}, frames=25)
    film.show({(40, 8): _ROSE}, frames=5)
    result = film.show({(40, 8): _ROSE, _THERE: _RED}, frames=4)
    assert result.states == {1: ObjectState.TRACKED}
    np.testing.assert_array_equal(result.label_map, _mask(*_THERE))
    assert result.object_ids == (1,)


def test_an_object_that_jumps_to_a_look_alike_is_not_believed(
    make_segmenter: MakeSegmenter,
) -> None:
    film = _Film(make_segmenter)
    film.show({_HERE: _RED, _THERE: _ROSE}, frames=5)
    assert not film.show({_THERE: _ROSE}, frames=2).label_map.any()


def test_what_is_refused_of_one_object_leaves_the_others(make_segmenter: MakeSegmenter) -> None:
    film = _Film(make_segmenter)
    film.show({_HERE: _RED, (8, 64): _BLUE}, Prompt(_mask(8, 64, 2)))
    film.show({(8, 64): _BLUE}, frames=25)
    result = film.show({(8, 64): _BLUE, _THERE: _ROSE}, frames=5)
    np.testing.assert_array_equal(result.label_map, _mask(8, 64, 2))
    np.testing.assert_allclose(result.prob.sum(axis=0), 1, atol=1e-5)


def test_one_extra_pass_every_few_frames_and_only_while_it_is_away(
    make_segmenter: MakeSegmenter,
) -> None:
    film = _Film(make_segmenter, every_frames=4)
    film.show({_HERE: _RED}, frames=8)
    assert film.calls.count('segment 1') == 1 + 8  # one for the outline that was given
    film.show({}, frames=4)  # occluded by now
    assert film.calls
    film.show({}, frames=20)
    assert film.calls.count('segment 1') == 20 + 20 // 4


def test_there_is_no_search_where_it_does_not_fit_into_the_deadline(
    make_segmenter: MakeSegmenter,
) -> None:
    film = _Film(make_segmenter, every_frames=1)
    film.show({_HERE: _RED}, frames=8)
    film.show({}, frames=6)
    segmenter, _ = film.segmenter, film.calls
    for _ in range(5):
        film.frames += 1
        segmenter.segment(Frame(_image({}), 'rgb8', film.frames * _PERIOD_NS))
        segmenter.memorize(may_search=False)
    assert film.calls.count('segment 1') == 5


def test_without_it_there_is_no_extra_pass(make_segmenter: MakeSegmenter) -> None:
    film = _Film(make_segmenter, enabled=False)
    film.show({_HERE: _RED}, frames=8)
    film.show({}, frames=30)
    assert film.calls.count('segment 1') == 1 + 38
    assert film.segmenter._redetector is None


def test_views_are_bounded_and_counted_before(make_segmenter: MakeSegmenter) -> None:
    film = _Film(make_segmenter, views=2)
    segmenter = film.segmenter
    assert segmenter._redetector is not None
    sizes = []
    for step in range(60):  # it changes its colour slowly, so that there is always a new view
        colour = (220 - 2 * step, 30 + step, 30 + 2 * step)
        film.show({_HERE: colour}, frames=3)
        sizes.append(segmenter._redetector.nbytes)
    most = views_nbytes(segmenter.manifest, segmenter.config, segmenter.input_size)
    assert 0 < sizes[-1] <= most
    assert sizes[-1] == max(sizes)
    assert len(segmenter._redetector._known[1].views) == 2
    assert len(segmenter._redetector._known[1].looks) <= 8
    off = SegmenterConfig(redetect=RedetectConfig(enabled=False))
    assert views_nbytes(segmenter.manifest, off, segmenter.input_size) == 0
    assert footprint(segmenter.manifest, off, (480, 640)) < footprint(
        segmenter.manifest, replace(off, redetect=RedetectConfig(enabled=True)), (480, 640)
    )


def test_what_is_known_goes_with_its_object(make_segmenter: MakeSegmenter) -> None:
    film = _Film(make_segmenter)
    redetector = film.segmenter._redetector
    assert redetector is not None
    assert 1 in redetector._known
    film.segmenter.remove_objects([1])
    assert 1 not in redetector._known


def test_a_late_object_brings_what_is_known_of_it(make_segmenter: MakeSegmenter) -> None:
    film = _Film(make_segmenter)
    fork = film.segmenter.fork()
    image = Frame(_image({_HERE: _RED, _THERE: _BLUE}), 'rgb8', _PERIOD_NS)
    fork.step(image, Prompt(_mask(*_THERE, 2)))
    film.segmenter.adopt(fork)
    assert film.segmenter._redetector is not None
    assert sorted(film.segmenter._redetector._known) == [1, 2]


def test_an_object_that_is_put_in_leaves_its_old_cells_to_the_background() -> None:
    prob = np.zeros((3, 1, 3), np.float32)
    prob[:, 0] = [[0, 0.5, 0.2], [1, 0.25, 0.2], [0, 0.25, 0.6]]  # of the first cell it has all
    plane = np.array([[0, 0.8, 0]], np.float32)
    placed = put_in(prob, 1, plane)
    assert np.isfinite(placed).all()
    np.testing.assert_allclose(placed.sum(axis=0), 1, atol=1e-6)
    np.testing.assert_allclose(placed[1], plane)
    np.testing.assert_allclose(placed[0, 0], [1, 0.15, 0.4], atol=1e-6)
    np.testing.assert_allclose(placed[2, 0], [0, 0.05, 0.6], atol=1e-6)
