# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""From hints to masks; a network that knows colours stands for a trained one."""

from typing import Any, Literal

import numpy as np
import pytest

from vos_ros.datatypes import Float, Frame
from vos_ros.engine.prompter import Hint, Prompter
from vos_ros.engine.window import BEFORE, OFF, ON, OUTSIDE, SIDE
from vos_ros.errors import VosError
from vos_ros.formats.boxes import Box, draw_box, Points
from vos_ros.formats.marks import Marks

_RED, _GREEN = (200, 30, 30), (30, 200, 30)


def _scene(encoding: Literal['rgb8', 'bgr8'] = 'rgb8') -> tuple[Frame, Any]:
    """Two red squares and a green one on grey; the ids of their pixels are 1, 2, 3."""
    labels = np.zeros((240, 320), np.uint8)
    labels[40:80, 60:120], labels[150:220, 200:300], labels[100:112, 20:32] = 1, 2, 3
    image = np.full((240, 320, 3), 90, np.uint8)
    image[labels > 0], image[labels == 3] = _RED, _GREEN
    return Frame(image if encoding == 'rgb8' else image[..., ::-1], encoding), labels


class _Colours:
    """What is red or green and not out of the box or struck off; small objects are seen well."""

    def __init__(self) -> None:
        self.looks: list[int] = []
        self.before = False

    def __call__(self, image: Float, maps: Float) -> tuple[Float, Float]:
        assert image.shape[1:] == (3, SIDE, SIDE)
        assert image.dtype == maps.dtype == np.float32
        self.looks.append(len(image))
        self.before |= bool(maps[:, BEFORE].any())
        wanted = np.abs(image - image.mean(1, keepdims=True)).max(1) > 40
        is_green = image[:, 1] > image[:, 0]
        for k, one in enumerate(maps):
            under = one[ON] > 0
            if under.any():
                wanted[k] &= is_green[k] == (is_green[k][under].mean() > 0.5)
            wanted[k] &= one[OUTSIDE] == 0
            wanted[k] &= one[OFF] == 0
        half = wanted.reshape(-1, SIDE // 2, 2, SIDE // 2, 2).mean((2, 4))
        return (10 * half - 5).astype(np.float32), half.mean((1, 2)).astype(np.float32)


def _overlap(mask: Any, truth: Any) -> float:
    return float((mask.astype(bool) & truth).sum() / (mask.astype(bool) | truth).sum())


@pytest.mark.parametrize('encoding', ['rgb8', 'bgr8'])
def test_a_box_finds_what_is_in_it_in_either_order_of_colours(
    encoding: Literal['rgb8', 'bgr8'],
) -> None:
    frame, labels = _scene(encoding)
    mask = Prompter(_Colours()).find(frame, Box(90, 60, 64, 44))
    assert _overlap(mask, labels == 1) > 0.9


def test_a_small_object_is_looked_at_again_from_near() -> None:
    frame, labels = _scene()
    network = _Colours()
    mask = Prompter(network).find(frame, Points(((26.0, 106.0),)))
    assert network.looks == [3, 1]
    assert network.before
    assert _overlap(mask, labels == 3) > 0.8


def test_what_a_box_found_is_shown_to_the_network_to_correct() -> None:
    frame, labels = _scene()

    class Corrects(_Colours):
        """Finds the left half; the whole once it is shown that."""

        def __call__(self, image: Float, maps: Float) -> tuple[Float, Float]:
            logits, quality = super().__call__(image, maps)
            if not maps[:, BEFORE].any():
                logits[..., logits.shape[-1] // 2 :] = -5
            return logits, quality

    network = Corrects()
    mask = Prompter(network).find(frame, Box(90, 60, 64, 44))
    assert network.looks == [1, 1]
    assert _overlap(mask, labels == 1) > 0.9


def test_crumbs_go_and_what_is_under_a_click_stays() -> None:
    frame, labels = _scene()
    frame.image[5:9, 5:9] = _RED
    # In one window that holds all, the three red parts are one mask.
    places = ((90.0, 60.0), (250.0, 180.0))
    mask = Prompter(_Colours()).find(frame, Points(places))
    assert not mask[:20, :20].any()
    assert _overlap(mask, (labels == 1) | (labels == 2)) > 0.9


@pytest.mark.parametrize('at', [(319.9, 120.0), (319.5, 239.5), (10.0, 239.9), (-0.5, -0.5)])
def test_a_click_on_the_border_finds_an_object_of_several_parts(at: tuple[float, float]) -> None:
    image = np.full((240, 320, 3), _RED, np.uint8)
    image[100:110] = 90
    mask = Prompter(_Colours()).find(Frame(image), Points((at,)))
    assert mask[min(round(at[1]), 239), min(round(at[0]), 319)]


def test_what_a_hand_has_painted_is_certain() -> None:
    frame, _ = _scene()
    on, off = np.zeros((2, 240, 320), np.uint8)
    on[60, 60:130], off[40:50, 60:120] = 1, 1
    mask = Prompter(_Colours()).find(frame, Marks(on, off))
    assert mask[60, 60:130].all()
    assert not mask[40:50, 60:120].any()
    assert mask[70, 90]


def test_strokes_correct_what_a_box_found() -> None:
    frame, labels = _scene()
    network = _Colours()
    nothing, off = np.zeros((2, 240, 320), np.uint8)
    off[200:220, 260:300] = 1
    # Around the large square, and so loose that it takes the green one in, too.
    box = Box(160, 160, 310, 150)
    assert Prompter(_Colours()).find(frame, box)[202:218, 262:296].all()
    mask = Prompter(network).find(frame, Marks(nothing, off, box))
    assert network.before  # it is shown what it found
    assert _overlap(mask, (labels == 2) & (off == 0)) > 0.9
    assert not mask[off > 0].any()
    assert not mask[:80].any()


def test_strokes_without_a_box_must_be_on_the_object() -> None:
    nothing, off = np.zeros((2, 240, 320), np.uint8)
    off[200:220, 260:300] = 1
    with pytest.raises(VosError, match='no stroke is on the object'):
        Marks(nothing, off)


def test_several_objects_become_one_label_map() -> None:
    frame, labels = _scene()
    hints: dict[int, Hint] = {7: Box(90, 60, 64, 44), 300: Points(((26.0, 106.0),))}
    prompt = Prompter(_Colours()).prompt_of(frame, hints)
    assert prompt.label_map.dtype == np.uint16
    assert set(np.unique(prompt.label_map)) == {0, 7, 300}
    assert _overlap(prompt.label_map == 7, labels == 1) > 0.9
    assert prompt.made_ids == {7, 300}


@pytest.mark.parametrize(
    ('hint', 'part'),
    [
        pytest.param(Box(500, 60, 40, 40), 'outside of the image of 320x240', id='box'),
        pytest.param(Points(((320.0, 5.0),)), 'outside of the image', id='click'),
        pytest.param(Points(((5.0, 5.0),), beside=((5.0, 999.0),)), 'outside', id='beside'),
        pytest.param(Marks(np.ones((24, 32), np.uint8)), '32x24', id='strokes'),
        pytest.param(
            Marks(np.zeros((240, 320), np.uint8), None, Box(500, 60, 40, 40)), 'box', id='boxed'
        ),
        pytest.param(Box(200, 30, 40, 40), 'nothing was found', id='nothing there'),
    ],
)
def test_a_hint_that_cannot_be_used_is_refused_with_the_reason(hint: object, part: str) -> None:
    frame, _ = _scene()
    with pytest.raises(VosError, match=part):
        Prompter(_Colours()).find(frame, hint)  # type: ignore[arg-type]


def test_without_a_network_grabcut_answers_and_strokes_are_what_was_painted() -> None:
    frame, labels = _scene()
    prompter = Prompter.open('')
    box = Box(90, 60, 64, 44)
    on = np.zeros((240, 320), np.uint8)
    on[50:60, 70:90] = 1

    assert not prompter.has_network
    assert (prompter.find(frame, box) == draw_box(frame, box)).all()
    assert (prompter.find(frame, Marks(on)) == on).all()
    boxed = prompter.find(frame, Marks(np.zeros_like(on), on, box))
    assert (boxed == draw_box(frame, box) * (on == 0)).all()
    assert _overlap(prompter.from_points(frame, [(90, 60)]).label_map, labels == 1) > 0.7


def test_a_model_that_is_not_there_is_named() -> None:
    with pytest.raises(VosError, match="unknown prompt model 'nonsense'"):
        Prompter.open('nonsense')


def test_an_array_in_place_of_a_frame_is_refused_with_what_to_pass() -> None:
    frame, _ = _scene()
    prompter = Prompter(_Colours())
    for call in (prompter.find, prompter.draw):
        with pytest.raises(VosError, match='must be a Frame, not ndarray'):
            call(frame.image, {})  # type: ignore[arg-type]
