# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Objects are looked for where they can be, and found as if they were looked for everywhere."""

from colour_backend import ColourBackend, MakeSegmenter
import numpy as np
import numpy.typing as npt
import pytest

from vos_ros.backends.base import Size, Window
from vos_ros.config import RuntimeConfig, SegmenterConfig
from vos_ros.datatypes import Frame, Image, LabelMap, Prompt
from vos_ros.engine.segmenter import VideoSegmenter
from vos_ros.engine.windows import MARGIN, plan, reaches_border, whole, window_around

GRID = (30, 54)
CELLS = (120, 216)
_COLOURS = {1: (250, 20, 20), 2: (20, 250, 20), 3: (20, 20, 250)}
_PERIOD_NS = 33_000_000


def cells(top: int, left: int, bottom: int, right: int) -> npt.NDArray[np.bool_]:
    mask = np.zeros(CELLS, np.bool_)
    mask[top:bottom, left:right] = True
    return mask


# Where


@pytest.mark.parametrize(
    'box',
    [(50, 60, 70, 90), (0, 0, 4, 4), (119, 215, 120, 216), (0, 100, 120, 104), (3, 5, 9, 200)],
)
def test_a_window_holds_the_cells_and_a_margin_where_the_frame_goes_on(
    box: tuple[int, int, int, int],
) -> None:
    window = window_around(cells(*box), GRID)
    assert 0 <= window.top < window.bottom <= GRID[0]
    assert 0 <= window.left < window.right <= GRID[1]
    assert window.top <= max(box[0] // 4 - MARGIN, 0)
    assert window.left <= max(box[1] // 4 - MARGIN, 0)
    assert window.bottom >= min((box[2] - 1) // 4 + 1 + MARGIN, GRID[0])
    assert window.right >= min((box[3] - 1) // 4 + 1 + MARGIN, GRID[1])
    assert not reaches_border(cells(*box), window, GRID)


def test_few_shapes_are_asked_for() -> None:
    rng = np.random.default_rng(0)
    shapes = set()
    for _ in range(500):
        (top, bottom), (left, right) = (np.sort(rng.choice(n, 2, replace=False)) for n in CELLS)
        window = window_around(cells(top, left, bottom, right), GRID)
        shapes.add((window.bottom - window.top, window.right - window.left))
    assert all(h % 2 == 0 or h == GRID[0] for h, _ in shapes)
    assert all(w % 2 == 0 or w == GRID[1] for _, w in shapes)


def test_no_cell_is_anywhere() -> None:
    assert window_around(np.zeros(CELLS, np.bool_), GRID) == whole(GRID)


@pytest.mark.parametrize(
    ('box', 'expected'),
    [
        ((60, 100, 70, 110), False),
        ((41, 100, 70, 110), True),  # in the two tokens at the window's top
        ((60, 100, 79, 110), True),
        ((60, 81, 70, 110), True),
        ((60, 100, 70, 159), True),
    ],
)
def test_a_mask_near_a_border_of_its_window_may_go_on(
    box: tuple[int, int, int, int], expected: bool
) -> None:
    assert reaches_border(cells(*box), Window(10, 20, 20, 40), GRID) is expected


def test_the_border_of_the_frame_is_none() -> None:
    assert not reaches_border(cells(0, 0, 20, 20), Window(0, 0, 8, 8), GRID)
    assert reaches_border(cells(0, 0, 30, 20), Window(0, 0, 8, 8), GRID)


# Together or alone


def test_far_ones_are_alone_and_near_ones_together() -> None:
    near = {5: Window(2, 2, 10, 10), 3: Window(3, 3, 11, 11)}
    far = {9: Window(20, 40, 28, 48)}
    calls = plan(near | far, GRID)
    assert {call.object_ids: call.window for call in calls} == {
        (5, 3): Window(2, 2, 12, 12),  # of an even number of tokens: few shapes
        (9,): Window(20, 40, 28, 48),
    }


def test_who_must_be_looked_for_everywhere_takes_large_ones_along() -> None:
    large = {1: Window(0, 0, 28, 52), 2: whole(GRID), 4: Window(4, 4, 12, 12)}
    calls = {call.object_ids: call.window for call in plan(large, GRID)}
    assert calls == {(1, 2): None, (4,): Window(4, 4, 12, 12)}


def test_without_windows_it_is_one_call() -> None:
    (call,) = plan(dict.fromkeys((7, 2, 9), whole(GRID)), GRID)
    assert (call.window, call.object_ids) == (None, (7, 2, 9))
    assert plan({}, GRID) == []


@pytest.mark.parametrize('seed', range(20))
def test_each_object_is_in_one_call_that_holds_its_window(seed: int) -> None:
    rng = np.random.default_rng(seed)
    windows = {}
    for object_id in rng.permutation(200)[: rng.integers(1, 33)]:
        (top, bottom), (left, right) = (np.sort(rng.choice(n + 1, 2, replace=False)) for n in GRID)
        windows[int(object_id)] = Window(int(top), int(left), int(bottom), int(right))
    calls = plan(windows, GRID)
    assert sorted(k for call in calls for k in call.object_ids) == sorted(windows)
    for call in calls:
        # the rows of the memory are taken in the order that they have
        assert list(call.object_ids) == [k for k in windows if k in call.object_ids]
        window = call.window or whole(GRID)
        for object_id in call.object_ids:
            inner = windows[object_id]
            assert window.top <= inner.top
            assert window.left <= inner.left
            assert window.bottom >= inner.bottom
            assert window.right >= inner.right


def test_many_large_ones_are_together_though_no_two_of_them_gain_by_it() -> None:
    large = {1: Window(0, 0, 30, 38), 2: Window(0, 16, 30, 54), 3: Window(4, 0, 25, 54)}
    (call,) = plan(large, GRID)
    assert (call.window, call.object_ids) == (None, (1, 2, 3))
    for pair in ((1, 2), (1, 3), (2, 3)):
        assert len(plan({k: large[k] for k in pair}, GRID)) == 2


# In the network


@pytest.mark.parametrize('model', ['fast_mb_slim_reveal', 'fast_mb'])
def test_inside_of_a_window_it_is_as_on_the_whole_frame(model: str) -> None:
    segmenter = VideoSegmenter.open(
        model, config=SegmenterConfig(input_size=256), runtime=RuntimeConfig(threads=1)
    )
    backend, grid = segmenter._work.backend, segmenter._work.grid
    assert backend.takes_windows
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 255, (6, 9, 3), dtype=np.uint8)
    image = np.repeat(np.repeat(coarse, 44, 0), 52, 1)[:256, :448]
    features = backend.encode_image(segmenter._work.prepare(Frame(image)))
    masks = np.zeros((2, *segmenter._work.mask_size), np.float32)
    masks[0, 20:40, 20:50], masks[1, 30:50, 60:90] = 0.9, 0.9
    values = backend.encode_mask(features, masks, masks[::-1])
    key = features['key'].reshape(64, -1)
    memory = np.stack([key, key]), np.stack([values, values], axis=1)
    everywhere = backend.segment(features, *memory)
    at_once = backend.segment(features, *memory, whole(grid))
    np.testing.assert_allclose(at_once, everywhere, atol=1e-4)
    window = Window(0, 4, 14, 28)  # its border is not the frame's at the left and below
    found = backend.segment(features, *memory, window)
    expected = window.cut(everywhere, grid)
    assert found.shape == expected.shape
    inner = np.s_[:, :-24, 24:]  # six tokens: as far as convolutions see
    np.testing.assert_allclose(found[inner], expected[inner], atol=1e-3)
    edge = np.abs(found - expected)[:, :-8, 8:]  # inside of the margin little is left of it
    assert edge.mean() < 0.05 * np.abs(expected).mean()


def test_a_model_without_places_is_looked_at_as_a_whole(make_segmenter: MakeSegmenter) -> None:
    segmenter = VideoSegmenter.open('deformable_mb', runtime=RuntimeConfig(threads=1))
    assert not segmenter._work.backend.takes_windows


# In the engine: squares of 16 px on 64 x 160, three times as fine inside

_SIZE: Size = (64, 160)
Places = dict[int, tuple[int, int]]


def picture(places: Places, number: int = 0) -> Frame:
    image: Image = np.full((*_SIZE, 3), 128, np.uint8)
    for object_id, (row, column) in places.items():
        image[row : row + 16, column : column + 16] = _COLOURS[object_id]
    return Frame(image, 'rgb8', (number + 1) * _PERIOD_NS, 'camera')


def labels(places: Places) -> LabelMap:
    label_map = np.zeros(_SIZE, np.uint8)
    for object_id, (row, column) in places.items():
        label_map[row : row + 16, column : column + 16] = object_id
    return label_map


def begin(segmenter: VideoSegmenter, places: Places) -> ColourBackend:
    segmenter.step(picture(places), Prompt(labels(places)))  # the size follows the camera
    backend = segmenter._work.backend
    assert isinstance(backend, ColourBackend)
    backend.takes_windows = True
    segmenter.step(picture(places, 1))
    backend.calls.clear()
    return backend


def segments(backend: ColourBackend) -> list[str]:
    calls = [call for call in backend.calls if call.startswith('segment')]
    backend.calls.clear()
    return calls


def assert_seen(segmenter: VideoSegmenter, places: Places, number: int) -> None:
    found, expected = segmenter.step(picture(places, number)).label_map, labels(places)
    for object_id in places:
        one, other = found == object_id, expected == object_id
        assert np.count_nonzero(one & other) > 0.8 * np.count_nonzero(one | other)


def test_each_is_looked_for_where_it_was(make_segmenter: MakeSegmenter) -> None:
    segmenter = make_segmenter(input_size=256)
    places: Places = {1: (8, 4), 2: (40, 130)}
    backend = begin(segmenter, places)
    for number in range(2, 6):
        places = {k: (row, column + 1) for k, (row, column) in places.items()}
        assert_seen(segmenter, places, number)
        assert segments(backend) == ['segment 1 in a window'] * 2


def test_neighbours_share_a_call(make_segmenter: MakeSegmenter) -> None:
    segmenter = make_segmenter(input_size=256)
    places: Places = {3: (8, 4), 1: (8, 24), 2: (40, 110)}
    backend = begin(segmenter, places)
    assert_seen(segmenter, places, 2)
    assert sorted(segments(backend)) == ['segment 1 in a window', 'segment 2 in a window']


def test_one_that_comes_to_the_border_is_looked_for_again(make_segmenter: MakeSegmenter) -> None:
    segmenter = make_segmenter(input_size=256)
    backend = begin(segmenter, {1: (8, 60)})
    assert_seen(segmenter, {1: (8, 42)}, 4)  # two frames are missing
    assert len(segments(backend)) == 2
    assert_seen(segmenter, {1: (8, 36)}, 5)  # and in its reach, then
    assert len(segments(backend)) == 1


def test_one_that_jumps_is_found_on_the_same_frame(make_segmenter: MakeSegmenter) -> None:
    """As without windows: what is gone from its reach and seen elsewhere has moved."""
    for windowed in (True, False):
        segmenter = make_segmenter(input_size=256, windowed=windowed)
        backend = begin(segmenter, {1: (8, 4), 2: (40, 60)})
        assert_seen(segmenter, {1: (40, 140), 2: (40, 60)}, 2)
        calls = segments(backend)
        assert calls == (
            ['segment 1 in a window'] * 2 + ['segment 1'] if windowed else ['segment 2']
        )


def test_one_that_is_hidden_is_looked_for_everywhere(make_segmenter: MakeSegmenter) -> None:
    segmenter = make_segmenter(input_size=256)
    backend = begin(segmenter, {1: (8, 4)})
    segmenter.step(picture({}, 2))
    assert segments(backend) == ['segment 1 in a window', 'segment 1']
    segmenter.step(picture({}, 3))
    assert segments(backend) == ['segment 1']
    assert_seen(segmenter, {1: (40, 140)}, 4)


def test_one_that_comes_out_from_behind_something_is_looked_for_in_its_reach(
    make_segmenter: MakeSegmenter,
) -> None:
    """A part of it may come into view farther away than it moves."""
    segmenter = make_segmenter(input_size=256)
    backend = begin(segmenter, {1: (8, 60)})
    half = picture({1: (8, 60)}, 2)
    half.image[8:24, 60:70] = 128
    segmenter.step(half)
    segments(backend)
    reach = segmenter._work.gate.reach(1)
    assert reach is not None
    assert reach.near is None
    assert_seen(segmenter, {1: (8, 60)}, 3)
    assert segments(backend) == ['segment 1 in a window']


def test_the_masks_are_those_of_the_whole_frame(make_segmenter: MakeSegmenter) -> None:
    here, everywhere = (make_segmenter(input_size=256, windowed=on) for on in (True, False))
    film: list[Places] = [{1: (8, 4), 2: (40, 130), 3: (24, 60)}]
    film += [{1: (8, 4 + 3 * t), 2: (40, 130 - 2 * t), 3: (24, 60 + t)} for t in range(1, 9)]
    film += [{1: (8, 28), 3: (24, 68)}] * 3  # one is away
    film += [{1: (8, 28), 2: (8, 100), 3: (40, 20)}] * 2  # one is back, one has jumped
    backends = [begin(segmenter, film[0]) for segmenter in (here, everywhere)]
    for number, places in enumerate(film[1:], 2):
        one, other = (s.step(picture(places, number)) for s in (here, everywhere))
        np.testing.assert_array_equal(one.label_map, other.label_map)
        assert one.states == other.states
    calls = [segments(backend) for backend in backends]
    assert 'segment 1 in a window' in calls[0]
    assert not any('window' in call for call in calls[1])


def test_windows_can_be_turned_off(make_segmenter: MakeSegmenter) -> None:
    segmenter = make_segmenter(input_size=256, windowed=False)
    backend = begin(segmenter, {1: (8, 4), 2: (40, 130)})
    segmenter.step(picture({1: (8, 4), 2: (40, 130)}, 2))
    assert segments(backend) == ['segment 2']
