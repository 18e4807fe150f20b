# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Outlines that follow the camera image between the cells of the network."""

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from vos_ros.datatypes import Float, Image, LabelMap
from vos_ros.engine import labels
from vos_ros.engine.guided import Guide
from vos_ros.engine.labels import Labeler
from vos_ros.engine.preprocess import halved, Normalizer

CELLS = (24, 32)
SIZE = (96, 128)


def picture(size: tuple[int, int] = SIZE, seed: int = 0) -> Image:
    """Give blobs of colour with noise."""
    rng = np.random.default_rng(seed)
    blobs = rng.integers(0, 256, (size[0] // 12, size[1] // 12, 3), np.uint8)
    image = cv2.resize(blobs, size[::-1], interpolation=cv2.INTER_CUBIC).astype(np.int16)
    return np.clip(image + rng.integers(-4, 5, image.shape), 0, 255).astype(np.uint8)


def cells_of(image: Image, cells: tuple[int, int] = CELLS) -> Float:
    green = image[..., 1].astype(np.float32)
    return np.asarray(cv2.resize(green, cells[::-1], interpolation=cv2.INTER_AREA), np.float32)


def soft(objects: int, cells: tuple[int, int] = CELLS, seed: int = 1) -> Float:
    """Give probabilities with smooth outlines, (K + 1, h4, w4)."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 8, (objects + 1, 5, 6)).astype(np.float32)
    logits = np.stack([cv2.resize(k, cells[::-1], interpolation=cv2.INTER_CUBIC) for k in logits])
    odds = np.exp(logits - logits.max(axis=0))
    return np.asarray(odds / odds.sum(axis=0), np.float32)


def upsampled(planes: Float, size: tuple[int, int]) -> Float:
    return np.stack([cv2.resize(plane, size[::-1], interpolation=1) for plane in planes])


def everywhere(prob: Float, image: Image, coarse: Float) -> tuple[LabelMap, Float]:
    """Guide every pixel, by the formula; return rows and how far the best is ahead."""
    mean, square = cv2.blur(coarse, (3, 3)), cv2.blur(coarse * coarse, (3, 3))
    slopes = np.stack(
        [
            (cv2.blur(coarse * p, (3, 3)) - mean * cv2.blur(p, (3, 3)))
            / (square - mean * mean + 25.0)
            for p in prob
        ]
    )
    size = image.shape[0], image.shape[1]
    smooth = cv2.GaussianBlur(image, (3, 3), 0)
    brighter = smooth[..., 1] - upsampled(coarse[None], size)[0]
    score = upsampled(prob, size) + upsampled(slopes, size) * brighter
    ahead = np.sort(score, axis=0)
    return score.argmax(axis=0), ahead[-1] - ahead[-2]


def corners(pixels: int, cells: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Give the cells before and after every pixel of an axis."""
    before = np.floor((np.arange(pixels) + 0.5) * cells / pixels - 0.5).astype(np.intp)
    return np.maximum(before, 0), np.minimum(before + 1, cells - 1)


def is_open(prob: Float, size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Tell which pixels lie between four cells that differ, or of which one is not sure."""
    winner = np.where(prob.max(axis=0) < 0.6, -1, prob.argmax(axis=0))
    across = [corners(n, c) for n, c in zip(size, winner.shape)]
    around = np.stack([winner[np.ix_(y, x)] for y in across[0] for x in across[1]])
    differs: npt.NDArray[np.bool_] = (around != around[0]).any(axis=0) | (around[0] < 0)
    return differs


@pytest.mark.parametrize('objects', [1, 2, 5])
@pytest.mark.parametrize('size', [SIZE, (131, 177), (240, 320), (61, 83)])
def test_outlines_are_those_of_the_formula_and_all_else_is_as_it_was(
    objects: int, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(labels, 'OUTLINE_COST', 0)  # so many outlines would not be guided
    image, prob = picture(size), soft(objects)
    coarse, ids = cells_of(image), tuple(range(1, objects + 1))
    found = Labeler()(prob, ids, size, Guide.of(prob, image, coarse))
    plain = Labeler()(prob, ids, size)
    expected, ahead = everywhere(prob, image, coarse)
    decided, looked_at = ahead > 1e-4, is_open(prob, size)
    assert (found == plain)[~looked_at].all()
    assert (found == expected)[looked_at & decided].all()
    assert (plain != expected)[looked_at & decided].sum() > 5, 'it does something'


def test_an_edge_of_the_image_is_found_to_the_pixel() -> None:
    """The network's cells say that the outline is somewhere near; the image says where."""
    image = np.full((*SIZE, 3), 60, np.uint8)
    truth = np.zeros(SIZE, bool)
    truth[:, 50:] = True  # half-way through a cell
    image[truth] = 180
    prob = np.empty((2, *CELLS), np.float32)
    prob[1] = np.clip((np.arange(CELLS[1]) - 10.5) / 4, 0, 1)  # its middle lies at pixel 52
    prob[0] = 1 - prob[1]
    plain = Labeler()(prob, (1,), SIZE) == 1
    guided = Labeler()(prob, (1,), SIZE, Guide.of(prob, image, cells_of(image))) == 1
    assert (plain != truth).any()
    assert (guided == truth).all()


def test_an_image_without_contrast_changes_nothing() -> None:
    image = np.full((*SIZE, 3), 99, np.uint8)
    for objects in (1, 3):
        prob, ids = soft(objects), tuple(range(1, objects + 1))
        guided = Labeler()(prob, ids, SIZE, Guide.of(prob, image, cells_of(image)))
        np.testing.assert_array_equal(guided, Labeler()(prob, ids, SIZE))


def test_rows_may_be_padded_and_colours_in_either_order() -> None:
    image, prob = picture(), soft(2)
    padded = np.zeros((SIZE[0], SIZE[1] + 3, 3), np.uint8)[:, : SIZE[1]]
    padded[:] = image
    expected = Labeler()(prob, (1, 2), SIZE, Guide.of(prob, image, cells_of(image)))
    for other in (padded, image[..., ::-1], image[..., 1]):
        found = Labeler()(prob, (1, 2), SIZE, Guide.of(prob, other, cells_of(image)))
        np.testing.assert_array_equal(found, expected)


def test_more_objects_than_a_byte_can_mark() -> None:
    objects = 130
    prob = soft(objects)
    image, ids = picture((480, 640)), tuple(range(1, objects + 1))
    found = Labeler()(prob, ids, (480, 640), Guide.of(prob, image, cells_of(image)))
    assert set(np.unique(found)) <= {0, *ids}
    assert (found == Labeler()(prob, ids, (480, 640))).mean() > 0.9


def test_masks_that_are_all_outline_take_no_longer_than_without() -> None:
    rng = np.random.default_rng(3)
    prob = rng.dirichlet([0.2] * 3, CELLS).astype(np.float32).transpose(2, 0, 1)
    prob = np.ascontiguousarray(prob)
    image = picture()
    guided = Labeler()(prob, (1, 2), SIZE, Guide.of(prob, image, cells_of(image)))
    np.testing.assert_array_equal(guided, Labeler()(prob, (1, 2), SIZE))


def test_nobody_in_sight_has_no_slope() -> None:
    prob = np.zeros((3, *CELLS), np.float32)
    prob[0] = 1.0
    guide = Guide.of(prob, picture(), cells_of(picture()))
    assert not guide.planes[2:4].any()
    assert not Labeler()(prob, (1, 2), SIZE, guide).any()


@pytest.mark.parametrize('encoding', ['rgb8', 'bgr8'])
def test_green_in_cells_is_the_mean_of_its_pixels(encoding: str) -> None:
    image = picture()
    normalizer = Normalizer((1, 2, 3), (4, 5, 6))
    normalizer(image, encoding, np.empty((1, 3, *SIZE), np.float32))
    np.testing.assert_array_equal(normalizer.green, image[..., 1])
    np.testing.assert_allclose(halved(normalizer.green, CELLS), cells_of(image), atol=1.0)
