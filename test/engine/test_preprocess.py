# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
import cv2
import numpy as np
import pytest

from vos_ros.datatypes import Frame
from vos_ros.engine.preprocess import (
    fit_label_map,
    ladder,
    network_size,
    Normalizer,
    prepare,
    resize_image,
)
from vos_ros.errors import VosError

_MEAN, _STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


@pytest.mark.parametrize(
    ('camera', 'short_side', 'expected'),
    [
        pytest.param((480, 640), 480, (480, 640), id='VGA as it is'),
        pytest.param((480, 854), 480, (480, 848), id='DAVIS'),
        pytest.param((1080, 1920), 480, (480, 848), id='full HD'),
        pytest.param((854, 480), 480, (848, 480), id='upright'),
        pytest.param((720, 1280), 250, (256, 448), id='short side is rounded too'),
        pytest.param((6, 6), 4, (16, 16), id='never below one cell'),
        pytest.param((600, 1200), 480, (432, 864), id='2:1'),
        pytest.param((375, 1242), 480, (304, 1008), id='KITTI'),
        pytest.param((8, 64), 480, (192, 1568), id='a strip'),
        pytest.param((64, 8), 480, (1568, 192), id='a strip upright'),
    ],
)
def test_network_size_is_the_nearest_multiple(
    camera: tuple[int, int], short_side: int, expected: tuple[int, int]
) -> None:
    assert network_size(camera, short_side) == expected


def test_no_shape_of_a_camera_makes_the_network_s_input_larger_than_16_9() -> None:
    for long_side in range(100, 801):
        for size in ((100, long_side), (long_side, 100)):
            height, width = network_size(size, 480)
            assert height * width <= 480 * 880  # rounded to multiples of 16


def test_strip_is_refused_before_it_takes_all_memory() -> None:
    with pytest.raises(VosError, match='10000x100'):
        network_size((100, 10000), 480)


@pytest.mark.parametrize('encoding', ['rgb8', 'bgr8'])
def test_input_is_the_normalised_rgb_planes(encoding: str) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (32, 48, 3), np.uint8)
    image = rgb if encoding == 'rgb8' else rgb[..., ::-1]
    out = np.empty((1, 3, 32, 48), np.float32)
    frame = Frame(image, encoding)  # type: ignore[arg-type]
    assert prepare(frame, Normalizer(_MEAN, _STD), out) is out
    expected = ((rgb.astype(np.float64) - _MEAN) / _STD).transpose(2, 0, 1)
    np.testing.assert_allclose(out[0], expected, atol=2e-6)


def test_padded_rows_of_a_message_are_read_without_a_copy_of_ours() -> None:
    buffer = np.random.default_rng(1).integers(0, 256, (32, 50, 3), np.uint8)
    view = buffer[:, :48]
    out, expected = (np.empty((1, 3, 32, 48), np.float32) for _ in range(2))
    normalizer = Normalizer(_MEAN, _STD)
    prepare(Frame(view), normalizer, out)
    prepare(Frame(view.copy()), normalizer, expected)
    np.testing.assert_array_equal(out, expected)


def test_images_of_several_sizes_and_orders_do_not_meet_in_one_normalizer() -> None:
    rng, normalizer = np.random.default_rng(2), Normalizer(_MEAN, _STD)
    for size in ((32, 48), (16, 32), (32, 48)):
        for encoding in ('rgb8', 'bgr8'):
            frame = Frame(rng.integers(0, 256, (*size, 3), np.uint8), encoding)
            out, expected = (np.empty((1, 3, *size), np.float32) for _ in range(2))
            prepare(frame, normalizer, out)
            prepare(frame, Normalizer(_MEAN, _STD), expected)
            np.testing.assert_array_equal(out, expected)


def test_shrinking_averages_and_growing_interpolates() -> None:
    checker = np.zeros((64, 64, 3), np.uint8)
    checker[::2, ::2] = checker[1::2, 1::2] = 200
    assert set(np.unique(resize_image(checker, (16, 16)))) == {100}
    ramp = np.repeat(np.array([[[0], [90]]], np.uint8), 3, axis=2)
    grown = resize_image(ramp, (1, 8))[0, :, 0].astype(int)
    assert (np.diff(grown) >= 0).all()
    assert len(np.unique(grown)) > 2


@pytest.mark.parametrize('size', [(34, 34), (24, 24), (11, 11)])
def test_fine_texture_does_not_alias(size: tuple[int, int]) -> None:
    texture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    by_area = cv2.resize(texture, size[::-1], interpolation=cv2.INTER_AREA).astype(float)
    left_out = cv2.resize(texture, size[::-1], interpolation=cv2.INTER_LINEAR) - by_area
    error = resize_image(texture, size) - by_area
    assert np.sqrt(np.square(error).mean()) < 0.5 * np.sqrt(np.square(left_out).mean())


def test_image_of_the_right_size_is_not_copied() -> None:
    image = np.zeros((16, 32, 3), np.uint8)
    assert resize_image(image, (16, 32)) is image


def test_mask_of_the_same_aspect_is_resized_without_new_ids() -> None:
    label_map = np.zeros((240, 427), np.uint16)
    label_map[100:200, 100:200] = 300
    label_map[10:50, 10:50] = 7
    fitted = fit_label_map(label_map, (480, 854))
    assert fitted.shape == (480, 854)
    assert fitted.dtype == np.uint16
    assert set(np.unique(fitted)) == {0, 7, 300}
    assert fitted[250, 250] == 300


def test_mask_of_another_aspect_is_refused_with_both_sizes() -> None:
    with pytest.raises(VosError, match=r'640x480.*854x480'):
        fit_label_map(np.zeros((480, 640), np.uint8), (480, 854))


@pytest.mark.parametrize(
    ('short_side', 'steps'),
    [
        (480, (480, 384, 320, 256)),
        (400, (400, 384, 320, 256)),
        (384, (384, 320, 256)),
        (256, (256,)),
        (64, (64,)),
        (720, (720, 384, 320, 256)),
    ],
)
def test_ladder_goes_down_from_the_model_s_size_and_never_under_256(
    short_side: int, steps: tuple[int, ...]
) -> None:
    assert ladder(short_side) == steps
