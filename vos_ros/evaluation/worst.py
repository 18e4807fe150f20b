# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The frames with the lowest J, to be looked at."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from vos_ros.datatypes import Image, LabelMap
from vos_ros.evaluation.page import Figure
from vos_ros.formats.drawing import draw_overlay, draw_truth, drawable

_TILE_WIDTH_PX = 426
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_CAPTION_PX = 22


@dataclass(frozen=True, eq=False)
class ScoredFrame:
    """
    One frame with its prediction and the truth, to be looked at.

    :param title: what to print above it.
    :param j: mean J of its objects; infinite where there is no truth.
    :param image: (H, W, 3) uint8 rgb8.
    :param pred: (H, W) predicted ids.
    :param gt: (H, W) true ids; None = there is no truth.
    """

    title: str
    j: float
    image: Image
    pred: LabelMap
    gt: LabelMap | None


class WorstFrames:
    """
    Keeps the frames with the lowest J, and draws them on one sheet.

    Neighbouring frames fail alike, so of each quarter of a sequence only its
    worst frame is kept: the sheet then shows different failures. At most four
    pictures per sequence are held, and `count` in all.
    """

    def __init__(self, count: int = 12) -> None:
        """
        Keep nothing yet.

        :param count: pictures on the sheet.
        """
        self._count = count
        self._kept: dict[tuple[str, int], ScoredFrame] = {}

    def offer(self, name: str, progress: float, scored: ScoredFrame) -> None:
        """
        Look at one scored frame.

        :param name: of the sequence.
        :param progress: where in the sequence the frame lies, 0..1.
        :param scored: the frame; its arrays are copied if it is kept.
        """
        key = (name, min(int(progress * 4), 3))
        if key in self._kept and self._kept[key].j <= scored.j:
            return
        self._kept[key] = replace(
            scored,
            image=scored.image.copy(),
            pred=scored.pred.copy(),
            gt=None if scored.gt is None else scored.gt.copy(),
        )
        if len(self._kept) > self._count + 4:  # the running sequence may still replace its own
            del self._kept[max(self._kept, key=lambda k: self._kept[k].j)]

    def worst(self) -> list[ScoredFrame]:
        """List what was kept, worst first."""
        return sorted(self._kept.values(), key=lambda scored: scored.j)[: self._count]

    def figures(self) -> list[Figure]:
        """Draw them one by one: camera, prediction, truth against prediction."""
        worst = self.worst()
        with_truth = [scored for scored in worst if scored.gt is not None]
        return [_figure(scored) for scored in with_truth or worst]

    def draw(self) -> Image | None:
        """Draw the sheet, two frames a row: prediction beside truth; None if nothing was kept."""
        tiles = [_tile(scored, scored.gt) for scored in self.worst() if scored.gt is not None]
        if not tiles:
            return None
        height = max(tile.shape[0] for tile in tiles)
        padded = [
            cv2.copyMakeBorder(t, 0, height - t.shape[0], 4, 4, cv2.BORDER_CONSTANT) for t in tiles
        ]
        if len(padded) % 2 and len(padded) > 1:
            padded.append(np.zeros_like(padded[0]))
        step = min(2, len(padded))
        rows = [np.hstack(padded[i : i + step]) for i in range(0, len(padded), step)]
        sheet: Image = np.vstack(rows)
        return sheet


def _figure(scored: ScoredFrame) -> Figure:
    pictures = [scored.image, draw_overlay(scored.image, scored.pred)]
    if scored.gt is None:
        return Figure(scored.title, pictures)
    pictures.append(draw_truth(scored.image, scored.pred, scored.gt))
    return Figure(f'{scored.title} - J {scored.j:.3f}', pictures)


def _tile(scored: ScoredFrame, true: LabelMap) -> Image:
    """Prediction | truth, with a caption above."""
    width = _TILE_WIDTH_PX
    height = max(1, round(scored.image.shape[0] * width / scored.image.shape[1]))
    shrink = width < scored.image.shape[1]
    image: Any = cv2.resize(
        scored.image, (width, height), interpolation=cv2.INTER_AREA if shrink else cv2.INTER_LINEAR
    )
    pred: Any = cv2.resize(scored.pred, (width, height), interpolation=cv2.INTER_NEAREST)
    gt: Any = cv2.resize(true, (width, height), interpolation=cv2.INTER_NEAREST)
    pair = np.hstack([draw_overlay(image, pred), draw_truth(image, pred, gt)])
    caption = np.full((_CAPTION_PX, pair.shape[1], 3), 32, np.uint8)
    text = f'{scored.title}   J {scored.j:.3f}'
    _put_text(caption, text, 6)
    _put_text(caption, 'truth (green), prediction (white)', width + 6)
    tile: Image = np.vstack([caption, pair])
    return tile


def _put_text(image: npt.NDArray[np.uint8], text: str, x_px: int) -> None:
    white = (255, 255, 255)
    text = drawable(text)
    cv2.putText(image, text, (x_px, _CAPTION_PX - 7), _FONT, 0.45, white, 1, cv2.LINE_AA)
