# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Masks that end where the given one did, beside the edge that the network sees."""

from collections.abc import Callable
import math

from colour_backend import ColourBackend, MakeSegmenter
import cv2
import numpy as np
import numpy.typing as npt
import pytest

from vos_ros.backends.base import Manifest
from vos_ros.config import MemoryConfig, SegmenterConfig
from vos_ros.datatypes import Frame, LabelMap, Prompt
from vos_ros.engine.outlines import offset, Outlines
from vos_ros.engine.segmenter import VideoSegmenter
from vos_ros.stream.catch_up import CatchUp

_SIZE = (480, 640)
_MOST = 6.0


def disc(radius: int, x: int = 320) -> npt.NDArray[np.bool_]:
    drawn = np.zeros(_SIZE, np.uint8)
    cv2.circle(drawn, (x, 240), radius, 1, cv2.FILLED)
    return drawn.view(np.bool_)


def radius_of(mask: npt.NDArray[np.bool_]) -> float:
    return math.sqrt(np.count_nonzero(mask) / math.pi)


@pytest.mark.parametrize('pixels', [-5, -3, -2, 0, 2, 3, 5])
def test_the_distance_is_that_between_the_outlines(pixels: int) -> None:
    assert offset(disc(60), disc(60 + pixels), _MOST) == pytest.approx(pixels, abs=0.5)


def test_what_is_not_another_way_of_drawing_moves_nothing() -> None:
    assert offset(disc(60), disc(60, 325), _MOST) == 0  # elsewhere
    assert offset(disc(60), disc(40), _MOST) == 0  # farther than anybody draws beside an edge
    assert offset(disc(200), disc(199), _MOST) == 0  # next to nothing gained
    assert offset(np.zeros(_SIZE, np.bool_), disc(60), _MOST) == 0
    assert offset(disc(60), np.zeros(_SIZE, np.bool_), _MOST) == 0
    half = disc(60)
    half[:, 320:] = False  # a part was left out: no even distance
    assert abs(offset(disc(60), half, _MOST)) < 4


def of(*radii: int, ids: tuple[int, ...] = (1, 2)) -> LabelMap:
    labels = np.zeros(_SIZE, np.uint8)
    for object_id, radius, x in zip(ids, radii, (200, 440)):
        labels[disc(radius, x)] = object_id
    return labels


def test_each_object_is_drawn_by_its_own_distance() -> None:
    outlines = Outlines('given')
    outlines.measure(1, disc(60), disc(56))
    outlines.measure(2, disc(60), disc(63))
    labels = of(50, 50)
    drawn = outlines.draw(labels.copy())
    assert radius_of(drawn == 1) == pytest.approx(46, abs=0.6)
    assert radius_of(drawn == 2) == pytest.approx(53, abs=0.6)
    wide = outlines.draw(labels.astype(np.uint16))  # with ids above 254
    np.testing.assert_array_equal(wide, drawn)
    half_size = outlines.draw(np.ascontiguousarray(labels[::2, ::2]))  # of another camera
    assert radius_of(half_size == 1) == pytest.approx(23, abs=0.6)


def test_tighter_never_grows_and_edge_asks_nothing() -> None:
    outlines = Outlines('tighter')
    outlines.measure(1, disc(60), disc(63))
    labels = of(50, 50)
    np.testing.assert_array_equal(outlines.draw(labels.copy()), labels)
    assert outlines.is_asked
    assert not Outlines('edge').is_asked


def test_an_object_grows_over_background_alone() -> None:
    outlines = Outlines('given')
    outlines.measure(1, disc(60), disc(64))
    labels = np.zeros(_SIZE, np.uint8)
    labels[100:200, :320], labels[100:200, 320:] = 1, 2
    drawn = outlines.draw(labels.copy())
    np.testing.assert_array_equal(drawn[100:200], labels[100:200])
    assert (drawn[97, :320] == 1).all()
    assert (drawn[:, 324:] != 1).all()


def test_what_the_border_cuts_off_is_no_outline() -> None:
    outlines = Outlines('tighter')
    outlines.measure(1, disc(60), disc(56))
    labels = np.zeros(_SIZE, np.uint8)
    labels[:, :100] = 1
    drawn = outlines.draw(labels)
    assert (drawn[:, :96] == 1).all()
    assert (drawn[:, 96:] == 0).all()


@pytest.mark.parametrize('side', [1, 2, 4, 6, 9, 30])
def test_an_object_that_is_small_by_now_is_not_wiped_out(side: int) -> None:
    outlines = Outlines('tighter')
    outlines.measure(1, disc(60), disc(56))
    labels = np.zeros(_SIZE, np.uint8)
    labels[100 : 100 + side, 200 : 200 + side] = 1
    left = np.count_nonzero(outlines.draw(labels))
    assert side * side / 2 <= left <= side * side


def test_objects_come_and_go() -> None:
    one, other = Outlines('given'), Outlines('given')
    one.measure(1, disc(60), disc(56))
    one.measure(2, disc(60), disc(57))
    other.measure(2, disc(60), disc(63))
    one.adopt(other, [1, 2])
    assert list(one.shares) == [2]
    assert one.shares[2] > 0
    one.remove([2, 7])
    assert not one.shares
    one.measure(1, disc(60), disc(56))
    one.measure(1, disc(60), disc(60))  # prompted again, at the edge
    assert not one.shares


class Film:
    """A red square that moves; its masks are given tighter or looser than it is."""

    def __init__(self, manifest: Manifest, outline: str, **memory: int) -> None:
        config = SegmenterConfig(
            input_size=480,
            outline=outline,
            memory=MemoryConfig(**memory),  # type: ignore[arg-type]
        )
        self.segmenter = VideoSegmenter(manifest, ColourBackend, config)
        self.frames = 0

    def frame(self) -> Frame:
        image = np.full((*_SIZE, 3), 128, np.uint8)
        left = 160 + 4 * self.frames
        image[160:320, left : left + 160] = (250, 20, 20)
        self.frames += 1
        return Frame(image, 'rgb8', self.frames * 33_000_000)

    @staticmethod
    def mask(by: int, object_id: int = 1) -> LabelMap:
        labels = np.zeros(_SIZE, np.uint8)
        labels[160 - by : 320 + by, 160 - by : 320 + by] = object_id
        return labels

    def side(self, frames: int = 4, object_id: int = 1) -> float:
        """Give the side of the square on the last of some more frames."""
        for _ in range(frames):
            labels = self.segmenter.step(self.frame()).label_map
        return math.sqrt(np.count_nonzero(labels == object_id))


@pytest.fixture
def film(make_segmenter: MakeSegmenter) -> Callable[..., Film]:
    manifest = make_segmenter().manifest
    return lambda outline, **memory: Film(manifest, outline, **memory)


@pytest.mark.parametrize(
    ('outline', 'given', 'side'),
    [
        ('tighter', -4, 152), ('tighter', 0, 160), ('tighter', 4, 160), ('given', -4, 152),
        ('given', 4, 168), ('edge', -4, 160), ('edge', 4, 160),
    ],
)  # fmt: skip
def test_labels_end_where_the_given_mask_did(
    film: Callable[..., Film], outline: str, given: int, side: float
) -> None:
    shown = film(outline)
    shown.segmenter.step(shown.frame(), Prompt(shown.mask(given)))
    assert shown.side() == pytest.approx(side, abs=1.5)


def test_what_is_remembered_ends_at_the_edge(film: Callable[..., Film]) -> None:
    shown = film('tighter')
    shown.segmenter.step(shown.frame(), Prompt(shown.mask(-4)))
    result = shown.segmenter.step(shown.frame())
    assert np.count_nonzero(result.prob[1] > 0.5) == 40 * 40


def test_a_mask_that_was_made_of_a_box_is_not_followed(film: Callable[..., Film]) -> None:
    shown = film('given')
    prompt = Prompt(shown.mask(-4), made_ids=frozenset({1}))
    shown.segmenter.step(shown.frame(), prompt)
    assert shown.side() == pytest.approx(160, abs=1.5)


def test_a_new_mask_of_an_object_is_what_counts(film: Callable[..., Film]) -> None:
    shown = film('tighter')
    shown.segmenter.step(shown.frame(), Prompt(shown.mask(-4)))
    shown.frames = 0
    shown.segmenter.step(shown.frame(), Prompt(shown.mask(0)))
    assert shown.side() == pytest.approx(160, abs=1.5)
    shown.segmenter.remove_objects([1])
    assert not shown.segmenter._outlines.shares


def test_a_fork_brings_the_outlines_of_its_objects(film: Callable[..., Film]) -> None:
    shown = film('tighter')
    fork = shown.segmenter.fork()
    fork.step(shown.frame(), Prompt(shown.mask(-4)))
    assert not shown.segmenter._outlines.shares
    shown.segmenter.adopt(fork)
    assert shown.side() == pytest.approx(152, abs=1.5)
    shown.segmenter.reset()
    assert not shown.segmenter._outlines.shares
    assert fork._outlines.shares


def _key_frame_side(segmenter: VideoSegmenter, object_id: int) -> float:
    """Give the side of the square as it is kept for other sizes of the network, px."""
    key_frame = segmenter._key_frames[object_id]
    plane = key_frame.prob[1 + key_frame.object_ids.index(object_id)]
    return 4 * math.sqrt(float(plane.sum()))


@pytest.mark.parametrize('outline', ['tighter', 'edge'])
def test_a_frame_that_objects_move_to_has_them_as_far_as_the_edge(
    film: Callable[..., Film], outline: str
) -> None:
    shown = film(outline, max_prompted_frames=1)
    segmenter = shown.segmenter
    segmenter.step(shown.frame(), Prompt(shown.mask(-4)))
    assert _key_frame_side(segmenter, 1) == pytest.approx(152, abs=2)  # as it was given
    other = np.zeros(_SIZE, np.uint8)
    other[400:440, 20:60] = 2
    result = segmenter.step(shown.frame(), Prompt(other))
    assert any('max_prompted_frames' in line for line in result.warnings)
    side = math.sqrt(np.count_nonzero(result.label_map == 1))
    assert side == pytest.approx(152 if outline == 'tighter' else 160, abs=1.5)
    assert _key_frame_side(segmenter, 1) == pytest.approx(160, abs=1)


def test_late_objects_that_start_from_the_newest_frame_keep_edge_and_outline(
    film: Callable[..., Film],
) -> None:
    shown = film('tighter', max_prompted_frames=1)
    segmenter = shown.segmenter
    other = np.zeros(_SIZE, np.uint8)
    other[400:440, 20:60] = 2
    segmenter.step(shown.frame(), Prompt(other))
    catch_up = CatchUp(segmenter, shown.frame(), Prompt(shown.mask(-4)), replaces=False)
    shown.frames = 0
    for _ in range(3):
        catch_up.replay(shown.frame())
    assert catch_up.finish() != ()
    assert _key_frame_side(segmenter, 1) == pytest.approx(160, abs=1)
    assert shown.side() == pytest.approx(152, abs=1.5)
