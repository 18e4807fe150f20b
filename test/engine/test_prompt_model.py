# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The prompt network that is shipped hits what is pointed at, on drawn scenes."""

import json
from typing import Any

import cv2
import numpy as np
import pytest

from vos_ros.backends.prompt_model import known_prompt_models, open_prompt_network
from vos_ros.datatypes import Frame
from vos_ros.engine.prompter import Hint, Prompter
from vos_ros.errors import VosError
from vos_ros.evaluation.hands import HANDS
from vos_ros.formats.boxes import Points

_SIZE = (240, 320)


@pytest.fixture(scope='module')
def prompter() -> Prompter:
    made = Prompter.open()
    assert made.has_network
    return made


def _scene() -> tuple[Frame, Any]:
    """A red disc and a blue bar on a noisy green ground."""
    labels = np.zeros(_SIZE, np.uint8)
    cv2.circle(labels, (90, 120), 45, 1, cv2.FILLED)
    cv2.rectangle(labels, (200, 60), (240, 200), 2, cv2.FILLED)
    rng = np.random.default_rng(0)
    image = rng.integers(0, 40, (*_SIZE, 3)) + np.array([40, 110, 50])
    for k, colour in ((1, (190, 40, 30)), (2, (40, 50, 190))):
        image[labels == k] = colour + rng.integers(0, 30, (int((labels == k).sum()), 3))
    return Frame(image.astype(np.uint8)), labels


def _overlap(found: Any, truth: Any) -> float:
    return float((found & truth).sum() / (found | truth).sum())


@pytest.mark.parametrize('kind', HANDS)
@pytest.mark.parametrize('object_id', [1, 2])
def test_each_hand_gets_the_object_that_it_points_at(
    prompter: Prompter, kind: str, object_id: int
) -> None:
    frame, labels = _scene()
    truth = labels == object_id
    hint: Hint = HANDS[kind](truth.astype(np.uint8), np.random.default_rng(3))
    found = prompter.find(frame, hint) > 0
    assert _overlap(found, truth) > 0.85


def test_the_same_hint_gives_the_same_mask(prompter: Prompter) -> None:
    frame, _ = _scene()
    hint = Points(((90.0, 120.0),))
    assert (prompter.find(frame, hint) == prompter.find(frame, hint)).all()


def test_a_card_that_is_no_card_is_refused_by_its_path(tmp_path: Any) -> None:
    (tmp_path / 'prompt.json').write_text('{"format": 2}')
    with pytest.raises(VosError, match='format 2 is not 1'):
        open_prompt_network(tmp_path)
    card = {'format': 1, 'graph': {'file': '../x.onnx', 'sha256': ''}}
    (tmp_path / 'prompt.json').write_text(json.dumps(card))
    with pytest.raises(VosError, match='no file in the folder'):
        open_prompt_network(tmp_path)


def test_the_default_is_among_the_models() -> None:
    assert 'prompt_mb' in known_prompt_models()
