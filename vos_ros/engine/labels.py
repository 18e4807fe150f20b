# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Logits -> probabilities -> label map, and label map -> masks at the network's stride."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from vos_ros.datatypes import Float, LabelMap
from vos_ros.engine.guided import Guide

if TYPE_CHECKING:
    from collections.abc import Sequence

EPSILON = 1e-7
MAX_LOGIT = float(np.log((1 - EPSILON) / EPSILON))
#: A cell whose best probability is lower is decided pixel by pixel where there is a guide.
SURE = 0.6
#: What a pixel on an outline costs, in pixels that are decided everywhere.
OUTLINE_COST = 5
#: Probabilities on outlines that are upsampled at once, 2 MiB: with 4K and many objects there are
#: millions of them.
_SCRATCH = 2**19
#: Pixels up to which one object alone is quicker decided everywhere.
_SMALL = 500_000

Index = npt.NDArray[np.intp]


def label_dtype(object_ids: Sequence[int]) -> type[np.uint8] | type[np.uint16]:
    """Return uint8 unless an id is above 254; 255 stays free, as many tools read it as void."""
    return np.uint16 if max(object_ids, default=0) > 254 else np.uint8


def aggregate(logits: Float) -> Float:
    """
    Soft aggregation: let the objects compete with each other and with the background.

    With p = sigmoid(logit) per object and p_0 = prod(1 - p_k), all clamped to
    [1e-7, 1 - 1e-7], the result is the softmax of log(p / (1 - p)) over background and
    objects (STCN, model/aggregate.py). exp(log(p / (1 - p))) is the odds, so neither the
    sigmoid nor a logarithm is ever computed.

    :param logits: (K, h, w) float32, each object against its own background; not changed. What is
        not a number is taken for background, or it would spread to all objects and stay.
    :return: (K + 1, h, w) float32, sums to 1 over axis 0; row 0 = background.
    """
    prob = np.empty((logits.shape[0] + 1, *logits.shape[1:]), np.float32)
    odds = prob[1:]
    if not np.isfinite(logits.sum()):
        logits = np.nan_to_num(logits, nan=-MAX_LOGIT)
    np.clip(logits, -MAX_LOGIT, MAX_LOGIT, out=odds)
    np.exp(odds, out=odds)
    nobody = np.ones(logits.shape[1:], np.float32)
    for plane in odds:
        nobody /= 1.0 + plane
    np.clip(nobody, np.float32(EPSILON), np.float32(1.0 - EPSILON), out=nobody)
    np.divide(nobody, 1.0 - nobody, out=prob[0])
    prob /= prob.sum(axis=0)
    return prob


class Labeler:
    """
    Probabilities at stride 4 -> label map at the camera's size.

    Upsampling, half-pixel centres, comes before the decision: that is the exact inverse
    of the resize of the image, and gives smooth outlines. But a pixel is a mean of the four cells
    around it, so an object that wins all four wins every pixel between them: only where two of
    them disagree, along the outlines, must anything be upsampled. Masks that are nearly all
    outline, and one object at a small size, are quicker decided everywhere. Scratch planes are
    kept between frames; the label map itself is new each time, for it is given away.

    With a guide, pixels along outlines and around cells that are not sure follow the camera image.
    """

    def __init__(self) -> None:
        self._plane = self._best = np.empty(0, np.float32)
        self._wins = np.empty(0, np.bool_)
        self._axes: tuple[Axis, Axis] | None = None

    def __call__(
        self,
        prob: Float,
        object_ids: Sequence[int],
        size: tuple[int, int],
        guide: Guide | None = None,
    ) -> LabelMap:
        """
        Return (H, W) uint8 or uint16, the id of the most probable object, 0 = background.

        :param prob: (K + 1, h4, w4) float32, row 0 = background, rows in the order of the ids.
        :param object_ids: K ids, strictly ascending.
        :param size: height and width of the label map.
        :param guide: for the same `prob` and `size`; left out where masks are nearly all outline,
            so that no frame takes much longer than others.
        """
        dtype = label_dtype(object_ids)
        if not object_ids:
            return np.zeros(size, dtype)
        if guide is not None:
            found = self._along_outlines(prob, object_ids, size, guide)
            if found is not None:
                return found
        if len(object_ids) > 1 or size[0] * size[1] > _SMALL:
            found = self._along_outlines(prob, object_ids, size)
            if found is not None:
                return found
        factor = size[0] // prob.shape[1]
        is_exact = size == (factor * prob.shape[1], factor * prob.shape[2])
        if not is_exact or factor & (factor - 1):  # else cells and pixels have no common borders
            return self._decide(prob, object_ids, size)
        label_map: LabelMap = np.zeros(size, dtype)
        rows, columns = _where_objects_win(prob)
        if rows.stop > rows.start:
            part = prob[:, rows, columns]
            label_map[
                factor * rows.start : factor * rows.stop,
                factor * columns.start : factor * columns.stop,
            ] = self._decide(part, object_ids, (factor * part.shape[1], factor * part.shape[2]))
        return label_map

    def _along_outlines(
        self,
        prob: Float,
        object_ids: Sequence[int],
        size: tuple[int, int],
        guide: Guide | None = None,
    ) -> LabelMap | None:
        """Upsample and decide where winners meet; None where that is most of the picture."""
        cells = prob.shape[1:]
        if self._axes is None or [axis.lengths for axis in self._axes] != list(zip(cells, size)):
            self._axes = Axis(cells[0], size[0]), Axis(cells[1], size[1])
        rows, columns = self._axes

        # A place is what lies between four cells; at the border some of them are the same. Places
        # are numbered by the cell after them, and only those around objects are looked at.
        winner, best = _winner(prob)
        mark = 0
        if guide is not None:
            winner, mark = _marked(winner, best < SURE, len(object_ids))
        tall, wide = _around(winner)
        framed = cv2.copyMakeBorder(winner, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
        framed = framed[tall.start : tall.stop + 1, wide.start : wide.stop + 1]
        first = framed[:-1, :-1]
        differs = first != framed[:-1, 1:]
        differs |= first != framed[1:, :-1]
        differs |= first != framed[1:, 1:]
        if mark:
            differs |= first >= mark
            first = np.bitwise_and(first, mark - 1)
        i, j = np.nonzero(differs)
        if len(i) * rows.most * columns.most * OUTLINE_COST > size[0] * size[1]:
            return None
        i, j = i + tall.start, j + wide.start
        ids = np.array((0, *object_ids), label_dtype(object_ids))
        label_map: LabelMap = np.zeros(size, ids.dtype)
        box = rows.pixels_in(tall), columns.pixels_in(wide)
        inside = ids[first].take(columns.place[box[1]] - wide.start, axis=1)
        label_map[box] = inside.take(rows.place[box[0]] - tall.start, axis=0)

        planes = (prob if guide is None else guide.planes).reshape(-1, cells[0] * cells[1])
        pixels = label_map.reshape(-1)
        if guide is not None:
            # A pixel more than can be asked for, and one for its neighbour.
            north, west = (max(0, part.start - 2) for part in box)
            fine = guide.smoothed(slice(north, box[0].stop + 2), slice(west, box[1].stop + 2))
        at_once = max(1, _SCRATCH // (len(planes) * rows.most * columns.most))
        for begin in range(0, len(i), at_once):
            part = slice(begin, begin + at_once)
            # Pixels down and across in each place; the places come last, for they are many.
            y, top, bottom, down = rows.of(i[part])
            x, left, right, across = columns.of(j[part])

            # Across first, as OpenCV does it.
            upper, lower = (
                planes.take(row + left, axis=1)[:, None] * (1 - across)
                + planes.take(row + right, axis=1)[:, None] * across
                for row in (top * cells[1], bottom * cells[1])
            )
            upsampled = upper[:, None] * (1 - down)[:, None]
            upsampled += lower[:, None] * down[:, None]
            if guide is not None:
                here = ((y - north) * fine.shape[1])[:, None] + (x - west)
                upsampled = _guided(upsampled, fine.take(here))
            pixels[(y * size[1])[:, None] + x] = ids.take(_winner(upsampled)[0])
        return label_map

    def _decide(self, prob: Float, object_ids: Sequence[int], size: tuple[int, int]) -> LabelMap:
        """Upsample all of `prob` to `size` and decide; arguments as in `__call__`, K >= 1."""
        dtype = label_dtype(object_ids)
        pixels = size[0] * size[1]
        if pixels > len(self._plane):
            self._plane, self._best = (np.empty(pixels, np.float32) for _ in range(2))
            self._wins = np.empty(pixels, np.bool_)
        plane, best = (flat[:pixels].reshape(size) for flat in (self._plane, self._best))
        wins = self._wins[:pixels].reshape(size)
        if len(object_ids) == 1:  # the two rows sum to 1, so one of them decides
            _upsample(prob[1], plane)
            np.greater(plane, 0.5, out=wins)
            only: LabelMap = np.multiply(wins, dtype(object_ids[0]), dtype=dtype)
            return only
        # A running maximum: 1.2 ms at 480p with three objects, argmax over a stack 10 ms.
        label_map: LabelMap = np.zeros(size, dtype)
        painted = np.empty(size, dtype)
        _upsample(prob[0], best)
        for object_id, of_object in zip(object_ids, prob[1:]):
            _upsample(of_object, plane)
            np.greater(plane, best, out=wins)
            np.multiply(wins, dtype(object_id), out=painted, dtype=dtype)
            np.maximum(label_map, painted, out=label_map)  # ids ascend: the later winner stays
            np.maximum(best, plane, out=best)
        return label_map


class Axis:
    """
    Where the pixels of one axis lie among the centres of its cells.

    :param cells: how many.
    :param pixels: how many, over the same length.
    """

    def __init__(self, cells: int, pixels: int) -> None:
        at = ((np.arange(pixels) + 0.5) * (cells / pixels) - 0.5).astype(np.float32)
        below = np.floor(at)
        self.lengths = cells, pixels
        #: Of each pixel: k = it lies after the centre of cell k - 1 and before that of cell k.
        self.place = below.astype(np.intp) + 1
        self.weight = at - below  # of the later cell
        self._first = np.searchsorted(self.place, np.arange(cells + 2))
        #: Pixels in the fullest place.
        self.most = int(np.diff(self._first).max())

    def pixels_in(self, places: slice) -> slice:
        """Return the pixels in consecutive places."""
        return slice(int(self._first[places.start]), int(self._first[places.stop]))

    def of(self, places: Index) -> tuple[Index, Index, Index, Float]:
        """
        Return the pixels in N places, the cells before and after them, and the latters' weight.

        A place with fewer than `most` pixels names its last one again. One without any, where
        pixels are larger than cells, names the pixel before it, with that one's own cells.

        :param places: (N,).
        :return: (most, N), (N,), (N,) and (most, N).
        """
        last = np.maximum(self._first[places + 1] - 1, 0)
        pixels = np.minimum(self._first[places] + np.arange(self.most)[:, None], last)
        places = self.place[last]
        before = np.maximum(places - 1, 0)
        after = np.minimum(places, self.lengths[0] - 1)
        return pixels, before, after, self.weight[pixels]


def _winner(prob: Float) -> tuple[npt.NDArray[np.unsignedinteger], Float]:
    """
    Return the row of the highest value, of equal ones the first, and that value.

    :param prob: (K + 1, ...) float32.
    :return: (...) uint8 or, with more rows than fit, uint16; and (...) float32.
    """
    # A running maximum: argmax over the first axis takes several times longer.
    best = prob[0]
    winner = np.zeros(best.shape, np.min_scalar_type(len(prob)))
    for row, plane in enumerate(prob[1:], 1):
        np.copyto(winner, row, where=plane > best)
        best = np.maximum(best, plane)
    return winner, best


def _marked(
    winner: npt.NDArray[np.unsignedinteger], unsure: npt.NDArray[np.bool_], most: int
) -> tuple[npt.NDArray[np.unsignedinteger], int]:
    """
    Add a mark to the winners of some cells, so that they differ from all others.

    :param most: the highest winner there can be.
    :return: the winners, and the mark.
    """
    mark = 1 << 7 if most < 1 << 7 else 1 << 15
    dtype = np.uint8 if most < 1 << 7 else np.uint16
    return winner + unsure * dtype(mark), mark


def _guided(upsampled: Float, green: npt.NDArray[np.uint8]) -> Float:
    """
    Move probabilities along their slopes.

    :param upsampled: (2 * K + 1, ...) pixels of `Guide.planes`; overwritten.
    :param green: (...) of the same pixels.
    :return: (K + 1, ...), row 0 = background.
    """
    count = len(upsampled) // 2
    moved = np.empty((count + 1, *green.shape), np.float32)
    brighter = np.subtract(green, upsampled[-1], out=upsampled[-1])
    np.multiply(upsampled[count:-1], brighter, out=moved[1:])
    moved[1:] += upsampled[:count]
    np.subtract(1.0, moved[1:].sum(axis=0), out=moved[0])
    return moved


def _around(winner: npt.NDArray[np.unsignedinteger]) -> tuple[slice, slice]:
    """Return the places, down and across, around all cells that are not plain background."""
    hit = winner if winner.dtype == np.uint8 else winner.astype(np.bool_).view(np.uint8)
    left, top, width, height = cv2.boundingRect(hit)
    tall, wide = (slice(k, k + n + 1 if n else k) for k, n in ((top, height), (left, width)))
    return tall, wide


def _where_objects_win(prob: Float) -> tuple[slice, slice]:
    """
    Return the rows and columns of cells beyond which every pixel is background.

    A pixel lies between four cells; an object can only win it if it wins one of them, so a
    margin of one cell holds all, and what lies on its outer border has no winner either way.

    :param prob: (K + 1, h4, w4), row 0 = background, K >= 1.
    :return: both slices are empty where no object wins a cell.
    """
    wins = prob[1:].max(axis=0) >= prob[0]
    tall, wide = _around(wins.view(np.uint8))
    rows = slice(max(tall.start - 1, 0), min(tall.stop, wins.shape[0]))
    columns = slice(max(wide.start - 1, 0), min(wide.stop, wins.shape[1]))
    return rows, columns


def _upsample(plane: Float, out: Float) -> None:
    cv2.resize(plane, out.shape[::-1], dst=out, interpolation=cv2.INTER_LINEAR)


def keep_ids(label_map: LabelMap, object_ids: Sequence[int]) -> LabelMap:
    """Return a copy of a label map in which every id but `object_ids` is background."""
    table = np.zeros(int(np.iinfo(label_map.dtype).max) + 1, label_dtype(object_ids))
    table[list(object_ids)] = object_ids
    if label_map.dtype != np.uint8:
        return table.take(label_map)
    kept: LabelMap = cv2.LUT(label_map, table)  # type: ignore[assignment]
    return kept


def masks_at_stride(
    label_map: LabelMap, object_ids: Sequence[int], size: tuple[int, int]
) -> Float:
    """
    Return the share of each object in every cell of the network's mask grid.

    An object far smaller than a cell would be as good as absent, so its share is
    raised until its strongest cell is full.

    :param label_map: (H, W), any size; every id must occur in it.
    :param object_ids: K ids.
    :param size: (h4, w4).
    :return: (K, h4, w4) float32 in 0..1.
    """
    masks = np.zeros((len(object_ids), *size), np.float32)
    shrinks = label_map.shape[0] >= size[0] and label_map.shape[1] >= size[1]
    for mask, object_id in zip(masks, object_ids):
        wins = (label_map == object_id).view(np.uint8)
        if shrinks:
            _shares(wins, mask)
        else:
            growing = wins.astype(np.float32)
            mask[:] = cv2.resize(growing, size[::-1], interpolation=cv2.INTER_AREA)
        peak = float(mask.max())
        if peak == 0.0:  # smaller than a sampling step of a growing resize
            row, column = np.argwhere(wins)[0]
            mask[row * size[0] // wins.shape[0], column * size[1] // wins.shape[1]] = 1.0
        elif peak < 0.5:
            mask /= peak
    return masks


def _shares(wins: npt.NDArray[np.uint8], out: Float) -> None:
    """
    Write the share of ones in every cell: what cv2.INTER_AREA gives, an order faster.

    The sum over any rectangle is a difference of four sums from the upper left corner. Within a
    pixel these grow bilinearly, so corners of cells between pixels are exact, too.

    :param wins: (H, W) 0 or 1, with a one.
    :param out: (h, w) zeros, h <= H and w <= W.
    """
    left, top, width, height = cv2.boundingRect(wins)
    sums = cv2.integral(wins[top : top + height, left : left + width])
    tall, rows, below, down = _corners(wins.shape[0], out.shape[0], top, height)
    wide, columns, right, across = _corners(wins.shape[1], out.shape[1], left, width)
    upper, lower = sums[rows], sums[below]
    sums_at = upper + (lower - upper) * down[:, None]
    before, after = sums_at[:, columns], sums_at[:, right]
    sums_at = before + (after - before) * across
    cell = (wins.shape[0] / out.shape[0]) * (wins.shape[1] / out.shape[1])
    out[tall, wide] = np.diff(np.diff(sums_at, axis=0), axis=1) / cell


def _corners(
    pixels: int, cells: int, first: int, length: int
) -> tuple[slice, Index, Index, npt.NDArray[np.float64]]:
    """
    Return which cells of an axis a run of pixels touches, and where in the run their corners are.

    :return: N cells; for their N + 1 corners the pixel before and after, counted from the first
        and within the run, and the place between both, 0..1.
    """
    step = pixels / cells
    begin, end = int(first / step), min(cells, math.ceil((first + length) / step))
    corners = np.clip(np.arange(begin, end + 1) * step - first, 0, length)
    before = corners.astype(np.intp)
    return slice(begin, end), before, np.minimum(before + 1, length), corners - before


def override(
    prob: Float, known: Sequence[int], masks: Float, prompted: Sequence[int]
) -> tuple[Float, tuple[int, ...]]:
    """
    Let prompted masks take their share of every cell, and scale what was predicted to the rest.

    What a prompted object had before goes to the background, so that the other objects'
    probabilities outside the new masks do not change.

    :param prob: (len(known) + 1, h, w) as predicted, row 0 = background.
    :param known: ids of its rows.
    :param masks: (len(prompted), h, w) in 0..1.
    :param prompted: ids of the masks, known or new.
    :return: (K + 1, h, w) float32 that sums to 1 over axis 0, and its K ids, ascending.
    """
    object_ids = tuple(sorted({*known, *prompted}))
    row_of = {object_id: row for row, object_id in enumerate(object_ids, 1)}
    total = masks.sum(axis=0)
    rest = 1.0 - np.minimum(total, 1.0)
    merged = np.zeros((len(object_ids) + 1, *masks.shape[1:]), np.float32)
    merged[0] = prob[0] * rest
    for object_id, plane in zip(known, prob[1:]):
        merged[0 if object_id in prompted else row_of[object_id]] += plane * rest
    for object_id, mask in zip(prompted, masks):
        np.divide(mask, np.maximum(total, 1.0), out=merged[row_of[object_id]])
    return merged, object_ids


def paint(predicted: LabelMap, prompt: LabelMap, prompted: Sequence[int]) -> LabelMap:
    """
    Return `predicted` with the prompted objects exactly as they were drawn.

    :param predicted: (H, W), not changed.
    :param prompt: (H, W), 0 = untouched, holding the ids `prompted` and no other.
    """
    dtype = np.promote_types(predicted.dtype, prompt.dtype)
    painted: LabelMap = predicted.astype(dtype)
    painted[np.isin(painted, prompted)] = 0
    np.copyto(painted, prompt, where=prompt > 0)
    return painted


def sum_of_others(prob: Float, rows: Sequence[int]) -> Float:
    """
    Return for each object the probability of all other objects together, at most 1.

    :param prob: (K + 1, h, w), row 0 = background.
    :param rows: rows of `prob` that are asked for, each at least 1.
    :return: (len(rows), h, w) float32.
    """
    anyone = prob[1:].sum(axis=0)
    others: Float = anyone - prob[list(rows)]
    np.clip(others, 0.0, 1.0, out=others)
    return others
