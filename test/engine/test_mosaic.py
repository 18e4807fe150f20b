# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Only where objects can be a frame is encoded, and what is remembered fits together."""

from collections.abc import Sequence

import numpy as np
import pytest

from vos_ros.backends import load_manifest, open_backend
from vos_ros.backends.base import Backend, Features, Size, Window
from vos_ros.config import MemoryConfig, RuntimeConfig, SegmenterConfig
from vos_ros.datatypes import Float, Frame, Image, LabelMap, Prompt
from vos_ros.engine import mosaic
from vos_ros.engine.mosaic import Mosaic
from vos_ros.engine.segmenter import VideoSegmenter
from vos_ros.engine.windows import whole

GRID: Size = (30, 54)


class Echo:
    """A backend whose features are the image itself, at strides 16 and 4."""

    def __init__(self) -> None:
        self.sizes: list[tuple[int, ...]] = []

    def encode_image(self, image: Float) -> Features:
        self.sizes.append(image.shape[2:])
        return {
            'image': image,
            'key': image[..., ::16, ::16].copy(),
            's4': image[..., ::4, ::4].copy(),
        }


def mosaic_of(backend: Echo) -> Mosaic:
    return Mosaic(backend, GRID)  # type: ignore[arg-type]


def after_a_whole_frame(backend: Echo) -> Mosaic:
    """Return one that has seen all of frame 1, at the beginning of the next."""
    mosaic = mosaic_of(backend)
    mosaic.begin()
    mosaic.see(picture(1), [whole(GRID)])
    mosaic.begin()
    return mosaic


def picture(value: float) -> Float:
    return np.full((1, 3, 16 * GRID[0], 16 * GRID[1]), value, np.float32)


def ages(features: Features, window: Window, newest: float) -> tuple[bool, bool]:
    """Return whether all in the window is of the newest frame, and whether all outside is not."""
    inside, outside = [], []
    for name in ('key', 's4'):
        is_new = features[name][0, 0] == newest
        part = window.cut(is_new, GRID)
        inside.append(part.all())
        outside.append(np.count_nonzero(is_new) == part.size)
    return all(inside), all(outside)


def test_the_first_frame_is_seen_as_a_whole() -> None:
    backend = Echo()
    mosaic = mosaic_of(backend)
    mosaic.begin()
    mosaic.see(picture(1), [Window(4, 4, 8, 8)])
    assert backend.sizes == [(480, 864)]
    assert mosaic.newest == whole(GRID)


def test_then_only_what_is_asked_for_is_new() -> None:
    backend = Echo()
    mosaic = mosaic_of(backend)
    for number, windows in enumerate(
        ([], [Window(4, 4, 8, 8)], [Window(10, 20, 14, 24), Window(12, 22, 18, 30)]), 1
    ):
        mosaic.begin()
        features = mosaic.see(picture(number), windows or [whole(GRID)])
    # a token around, and an even number of them
    assert mosaic.newest == Window(9, 19, 19, 31)
    assert backend.sizes == [(480, 864), (96, 96), (160, 192)]
    assert ages(features, mosaic.newest, 3) == (True, True)
    assert ages(features, Window(3, 3, 9, 9), 2) == (True, True)
    assert features['image'][0, 0, 0, 0] == 3


def test_what_is_known_is_not_encoded_again_and_more_comes_with_what_was_known() -> None:
    backend = Echo()
    mosaic = after_a_whole_frame(backend)
    image = picture(2)
    mosaic.see(image, [Window(4, 4, 8, 8)])
    mosaic.see(image, [Window(3, 3, 9, 9)])  # with its margin it was seen
    assert len(backend.sizes) == 2
    features = mosaic.see(image, [Window(4, 20, 8, 24)])
    assert ages(features, Window(3, 3, 9, 25), 2)[0]
    assert len(backend.sizes) == 3
    mosaic.see(image, [whole(GRID)])
    assert mosaic.newest == whole(GRID)
    mosaic.see(image, [Window(0, 0, 30, 4)])
    assert backend.sizes[3:] == [(480, 864)]


def test_where_more_is_asked_for_only_that_is_encoded_and_the_seam() -> None:
    backend = Echo()
    mosaic = after_a_whole_frame(backend)
    mosaic.see(picture(2), [Window(5, 5, 19, 39)])
    assert mosaic.newest == Window(4, 4, 20, 40)
    backend.sizes.clear()
    # Below and to the right; the seam is three tokens made anew and three more shown.
    features = mosaic.see(picture(3), [Window(5, 5, 25, 47)])
    assert mosaic.newest == Window(4, 4, 26, 48)
    below, right = (26 - 17 + 3, 48 - 4), (17 - 4 + 3, 48 - 37 + 3)
    assert backend.sizes == [(16 * rows, 16 * columns) for rows, columns in (below, right)]
    assert ages(features, Window(4, 4, 17, 37), 2) == (True, True)
    assert ages(features, Window(17, 4, 26, 48), 3)[0]
    assert ages(features, Window(4, 37, 26, 48), 3)[0]
    new = np.count_nonzero(features['key'][0, 0] == 3)
    assert new == 22 * 44 - 13 * 33


def test_where_that_is_hardly_less_it_is_encoded_at_once() -> None:
    backend = Echo()
    mosaic = after_a_whole_frame(backend)
    mosaic.see(picture(2), [Window(9, 9, 15, 15)])
    backend.sizes.clear()
    features = mosaic.see(picture(3), [Window(1, 1, 23, 23)])
    assert backend.sizes == [(16 * 24, 16 * 24)]
    assert ages(features, Window(0, 0, 24, 24), 3) == (True, True)


def test_nearly_all_is_all() -> None:
    backend = Echo()
    mosaic = after_a_whole_frame(backend)
    mosaic.see(picture(2), [Window(0, 0, 30, 48)])
    assert backend.sizes == [(480, 864)] * 2


def test_what_is_forgotten_is_seen_as_a_whole_again() -> None:
    backend = Echo()
    mosaic = mosaic_of(backend)
    mosaic.begin()
    mosaic.see(picture(1), [whole(GRID)])
    mosaic.forget()
    mosaic.begin()
    mosaic.see(picture(2), [Window(4, 4, 8, 8)])
    assert backend.sizes == [(480, 864)] * 2


# With a real network


@pytest.mark.parametrize('model', ['fast_mb_slim_reveal', 'fast_mb_slim_reveal_int8', 'fast_mb'])
def test_a_part_is_encoded_as_in_the_whole(model: str) -> None:
    """But for its border, where convolutions see zeros."""
    size = (256, 448)
    backend = open_backend(load_manifest(model), RuntimeConfig(threads=1), size, 2)
    assert backend.takes_windows
    grid = (size[0] // 16, size[1] // 16)
    image = _smooth(size)
    everywhere = backend.encode_image(image)
    window = Window(0, 4, 14, 28)
    part = backend.encode_image(np.ascontiguousarray(window.cut(image, grid)))
    # Tokens from the border: at the first less is right than from the fourth on.
    for name, tokens, largest in (
        ('key', 0, 0.25), ('frame_value', 0, 0.25), ('d16', 0, 0.25), ('s8', 0, 0.1),
        ('key', 4, 0.03), ('frame_value', 4, 0.03), ('d16', 4, 0.03), ('s8', 2, 1e-3),
    ):  # fmt: skip
        expected = window.cut(everywhere[name], grid)
        assert part[name].shape == expected.shape
        border = tokens * expected.shape[-1] // 24
        inner = np.s_[..., : expected.shape[-2] - border, border:]
        difference = np.abs(part[name][inner] - expected[inner]).mean()
        if 'int8' not in model or tokens == 0:
            assert difference < largest * np.abs(expected).mean()
    masks = np.zeros((2, size[0] // 4, size[1] // 4), np.float32)
    masks[0, 20:40, 40:60] = 0.9
    values = backend.encode_mask(everywhere, masks, masks[::-1])
    seen = backend.encode_mask(everywhere, masks, masks[::-1], window)
    expected = window.cut(values.reshape(*values.shape[:2], *grid), grid)
    found = seen.reshape(expected.shape)
    difference = np.abs(found - expected)[..., :-5, 5:]
    assert difference.max() < (1e-3 if 'int8' not in model else 0.2)


def test_a_seam_hardly_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    size = (256, 448)
    backend = open_backend(load_manifest('fast_mb_slim_reveal'), RuntimeConfig(threads=1), size, 2)
    grid = (size[0] // 16, size[1] // 16)
    image = _smooth(size)
    expected = {name: plane.copy() for name, plane in backend.encode_image(image).items()}

    def off() -> dict[str, float]:
        found = Mosaic(backend, grid)
        found.begin()
        found.see(np.zeros_like(image), [whole(grid)])
        found.begin()
        found.see(image, [Window(1, 1, 15, 15)])
        features = found.see(image, [Window(1, 1, 15, 23)])
        assert found.newest == Window(0, 0, 16, 24)
        near = Window(0, 12, 16, 20)  # the first window ended at 16
        return {
            name: float(
                np.abs(near.cut(features[name], grid) - near.cut(plane, grid)).mean()
                / np.abs(plane).mean()
            )
            for name, plane in expected.items()
            if name != 'image'
        }

    narrow = off()
    assert max(narrow.values()) < 0.1
    monkeypatch.setattr(mosaic, '_SEAM', 0)
    without = off()
    assert all(narrow[name] < without[name] / 3 for name in narrow)


def _smooth(size: Size) -> Float:
    rng = np.random.default_rng(0)
    coarse = rng.normal(size=(1, 3, size[0] // 64, size[1] // 64)).astype(np.float32)
    return np.repeat(np.repeat(coarse, 64, 2), 64, 3)


# In the engine: what is remembered is of one kind, keys and values alike


class Watched:
    """A real backend that counts how much of the frame it was asked to encode."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.images: list[tuple[int, ...]] = []
        self.masks: list[Window | None] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self._backend, name)

    def encode_image(self, image: Float) -> Features:
        self.images.append(image.shape[2:])
        return self._backend.encode_image(image)

    def encode_mask(
        self, features: Features, masks: Float, others: Float, window: Window | None = None
    ) -> Float:
        self.masks.append(window)
        return self._backend.encode_mask(features, masks, others, window)


SIZE: Size = (256, 448)


def followed(**memory: object) -> tuple[VideoSegmenter, Watched]:
    manifest = load_manifest('fast_mb_slim_reveal')
    watched = Watched(open_backend(manifest, RuntimeConfig(threads=1), SIZE, 4))
    config = SegmenterConfig(
        input_size=SIZE[0],
        max_objects=4,
        memory=MemoryConfig(**memory),  # type: ignore[arg-type]
    )
    return VideoSegmenter(manifest, lambda size: watched, config), watched  # type: ignore


_NOISE = np.random.default_rng(1).integers(90, 130, (*SIZE, 3), np.uint8)


def frame(places: Sequence[tuple[int, int]], number: int) -> Frame:
    image: Image = _NOISE.copy()
    for (row, column), colour in zip(places, ((230, 40, 40), (40, 60, 230))):
        image[row : row + 48, column : column + 48] = colour
    return Frame(image, stamp_ns=(number + 1) * 33_000_000)


def drawn(places: Sequence[tuple[int, int]]) -> LabelMap:
    labels = np.zeros(SIZE, np.uint8)
    for object_id, (row, column) in enumerate(places, 1):
        labels[row : row + 48, column : column + 48] = object_id
    return labels


def iou(found: LabelMap, expected: LabelMap, object_id: int) -> float:
    one, other = found == object_id, expected == object_id
    return np.count_nonzero(one & other) / max(np.count_nonzero(one | other), 1)


def test_a_small_object_costs_a_small_part() -> None:
    segmenter, watched = followed()
    segmenter.step(frame([(100, 40)], 0), Prompt(drawn([(100, 40)])))
    segmenter.step(frame([(100, 44)], 1))
    watched.images.clear()
    watched.masks.clear()
    for number in range(2, 40):
        places = [(100, 40 + 4 * number)]
        result = segmenter.step(frame(places, number))
        assert iou(result.label_map, drawn(places), 1) > 0.85
    areas = [height * width / (SIZE[0] * SIZE[1]) for height, width in watched.images]
    assert len(areas) == 38
    assert np.median(areas) < 0.6
    assert sum(window is not None for window in watched.masks) > 30


def test_where_an_object_was_is_background_in_what_is_remembered() -> None:
    """Its old place leaves the window only after it was seen without it."""
    segmenter, _ = followed()
    places = [(100, 20)]
    segmenter.step(frame(places, 0), Prompt(drawn(places)))
    for number in range(1, 80):
        places = [(100, 20 + 4 * number)]
        segmenter.step(frame(places, number))
    value = segmenter.memory.value(1)[1].reshape(-1, SIZE[0] // 16, SIZE[1] // 16)
    mask = value[-16:].mean(axis=0)  # the mask itself is part of a value
    assert mask[7:9, 22:24].min() > 0.5
    assert mask[:, :18].max() < 0.1


def test_a_mask_in_place_of_what_was_found_may_be_anywhere() -> None:
    segmenter, watched = followed()
    segmenter.step(frame([(100, 40)], 0), Prompt(drawn([(100, 40)])))
    for number in range(1, 4):
        segmenter.step(frame([(100, 40)], number))
    segmenter.segment(frame([(100, 40)], 4))
    assert watched.images[-1] != SIZE
    segmenter.memorize(drawn([(180, 380)]))
    assert watched.images[-1] == SIZE
    assert watched.masks[-1] is None
    value = segmenter.memory.value(1)[1].reshape(-1, SIZE[0] // 16, SIZE[1] // 16)
    mask = value[-16:].mean(axis=0)
    assert mask[12:14, 24:26].min() > 0.9
    assert mask[6:9, 2:6].max() < 0.1


@pytest.mark.parametrize('mem_every', [1, 2])
def test_values_are_of_the_whole_frame_where_the_last_ones_are_not_of_the_frame_before(
    mem_every: int,
) -> None:
    segmenter, watched = followed(mem_every=mem_every)
    segmenter.step(frame([(100, 40)], 0), Prompt(drawn([(100, 40)])))
    for number in range(1, 8):
        segmenter.step(frame([(100, 40 + 2 * number)], number))
    parts = [window is not None for window in watched.masks]
    assert any(parts) is (mem_every == 1)
    # a second object comes: its prompted row must not be mixed with what is remembered later
    places = [(100, 58), (20, 300)]
    segmenter.step(frame(places, 8), Prompt(drawn(places) * (drawn(places) == 2)))
    assert watched.images[-1] == SIZE
    watched.masks.clear()
    for number in range(9, 14):
        result = segmenter.step(frame(places, number))
    assert watched.masks[0] is None
    for object_id in (1, 2):
        assert iou(result.label_map, drawn(places), object_id) > 0.85


def test_it_is_as_if_all_was_encoded() -> None:
    """Two objects that cross the picture, one of them hidden for a while and elsewhere then."""
    here, everywhere = followed()[0], followed(windowed=False)[0]
    for number in range(50):
        places = [(20 + number, 20 + 5 * number), (180, 380 - 6 * number)]
        image = frame(places if not 20 <= number < 24 else places[:1], number)
        prompt = Prompt(drawn(places)) if number == 0 else None
        one, other = (s.step(image, prompt) for s in (here, everywhere))
        for object_id in (1, 2) if not 20 <= number < 30 else (1,):
            assert iou(one.label_map, drawn(places), object_id) > 0.8, number
            assert iou(one.label_map, other.label_map, object_id) > 0.9, number
