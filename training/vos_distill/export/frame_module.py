# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
A whole frame as one torch module: what the engine does with numpy and OpenCV, by the same sums.

It is the hot path of `vos_ros.engine.segmenter` for one camera and so many slots, from the bytes
of an image to those of a label map; what each step is for stands there. Where OpenCV computes
with whole numbers (resizing, halving, smoothing), whole numbers are taken here, too, so that no
rounding differs. What stays on the host: which masks are believed, how far an object can have
moved, and prompts.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn, Tensor
import torch.nn.functional as F

from vos_distill.networks.student import Student
from vos_ros.backends.frame_graph import FrameLayout, places_in, WHOLE
from vos_ros.engine import guided, labels, motion
from vos_ros.engine.preprocess import halvings_of, Normalizer

Index = npt.NDArray[Any]
#: Fractions of OpenCV's bilinear interpolation of bytes: 11 bits.
_FRACTION = 2048


def _whole(x: Tensor) -> Tensor:
    """To 32 bit integers; they stay exact where an engine computes in float16."""
    return x.to(torch.int32)


def _divided(x: Tensor, divisor: int) -> Tensor:
    """Divide whole numbers of at least 0, rounding down."""
    return torch.div(x, torch.tensor(divisor, dtype=torch.int32), rounding_mode='trunc').int()


class _Taps(nn.Module):
    """
    Two neighbours and their weights for each pixel of an axis that is resized, as OpenCV does it.

    :param before: cells there are.
    :param after: pixels wanted.
    :param clamps: beyond the outermost centres, the outermost cell has all the weight. OpenCV
        clamps so across; down, it takes the same row twice.
    """

    def __init__(self, before: int, after: int, *, clamps: bool) -> None:
        super().__init__()
        scale = before / after
        at = ((np.arange(after) + 0.5) * scale - 0.5).astype(np.float32)
        first = np.floor(at)
        part = (at - first).astype(np.float32)
        if clamps:
            part[(first < 0) | (first >= before - 1)] = 0
        weight = np.rint(np.stack([1 - part, part]).astype(np.float32) * _FRACTION)
        indices = np.clip(np.stack([first, first + 1]), 0, before - 1)
        self.first: Tensor
        self.second: Tensor
        self.weights: Tensor
        self.register_buffer('first', torch.from_numpy(indices[0].astype(np.int64)))
        self.register_buffer('second', torch.from_numpy(indices[1].astype(np.int64)))
        self.register_buffer('weights', torch.from_numpy(weight.astype(np.int32)))


class ResizeBytes(nn.Module):
    """`preprocess.resize_image` on planes of whole numbers (C, H, W), int32, 0..255."""

    def __init__(self, camera: tuple[int, int], size: tuple[int, int]) -> None:
        super().__init__()
        self.steps = nn.ModuleList()
        here = camera
        for power in range(halvings_of(camera, size), -1, -1):
            there = size[0] << power, size[1] << power
            if there == here:
                continue
            if here == (2 * there[0], 2 * there[1]):
                self.steps.append(Halve())
            else:
                self.steps.append(_Bilinear(here, there))
            here = there

    def forward(self, planes: Tensor) -> Tensor:
        for step in self.steps:
            planes = step(planes)
        return planes


class Halve(nn.Module):
    """The mean of 2x2 pixels, rounded half up, as OpenCV halves bytes."""

    def forward(self, planes: Tensor) -> Tensor:
        rows = planes[..., 0::2, :] + planes[..., 1::2, :]
        return _divided(rows[..., 0::2] + rows[..., 1::2] + 2, 4)


class _Bilinear(nn.Module):
    """OpenCV's bilinear interpolation of bytes, in fixed point."""

    def __init__(self, before: tuple[int, int], after: tuple[int, int]) -> None:
        super().__init__()
        self.down = _Taps(before[0], after[0], clamps=False)
        self.across = _Taps(before[1], after[1], clamps=True)

    def forward(self, planes: Tensor) -> Tensor:
        across = planes.index_select(2, self.across.first) * self.across.weights[0]
        across = across + planes.index_select(2, self.across.second) * self.across.weights[1]
        across = _divided(across, 16)
        upper, lower = (
            _divided(across.index_select(1, rows) * weight[:, None], 1 << 16)
            for rows, weight in zip((self.down.first, self.down.second), self.down.weights)
        )
        return _divided(upper + lower + 2, 4)


def _framed(x: Tensor) -> Tensor:
    """Add a border of one cell to (..., h, w), mirrored at the centre of the outermost cell."""
    x = torch.cat([x[..., 1:2, :], x, x[..., -2:-1, :]], dim=-2)
    return torch.cat([x[..., 1:2], x, x[..., -2:-1]], dim=-1)


class _Upsample(nn.Module):
    """Where the pixels of both axes lie among the cells, as `labels.Labeler` has it."""

    def __init__(self, cells: tuple[int, int], camera: tuple[int, int]) -> None:
        super().__init__()
        self.rows, self.columns = (labels.Axis(*pair) for pair in zip(cells, camera))
        for name, axis in (('row', self.rows), ('column', self.columns)):
            count = axis.lengths[0]
            places = np.arange(count + 1)
            for what, values in (
                ('place', axis.place),
                ('before', np.maximum(axis.place - 1, 0)),
                ('after', np.minimum(axis.place, count - 1)),
                ('weight', axis.weight),
                ('rest', 1 - axis.weight),
                ('cell_before', np.maximum(places - 1, 0)),
                ('cell_after', np.minimum(places, count - 1)),
            ):
                self.register_buffer(f'{name}_{what}', torch.from_numpy(values))

    def forward(self, planes: Tensor) -> Tensor:
        """(P, h4, w4) -> (P, H, W), across first."""
        get = self.get_buffer
        x = planes.index_select(2, get('column_before')) * get('column_rest')
        x = x + planes.index_select(2, get('column_after')) * get('column_weight')
        upper = x.index_select(1, get('row_before')) * get('row_rest')[:, None]
        return upper + x.index_select(1, get('row_after')) * get('row_weight')[:, None]

    def corners(self, cells: Tensor) -> list[Tensor]:
        """(h4, w4) -> the four cells around each place, (h4 + 1, w4 + 1) each."""
        get = self.get_buffer
        return [
            cells.index_select(0, get(f'row_cell_{down}')).index_select(
                1, get(f'column_cell_{across}')
            )
            for down in ('before', 'after')
            for across in ('before', 'after')
        ]

    def nearest(self, places: Tensor) -> Tensor:
        """(h4 + 1, w4 + 1) -> (H, W), each pixel what its place has."""
        rows = places.index_select(0, self.get_buffer('row_place'))
        return rows.index_select(1, self.get_buffer('column_place'))


class WholeFrame(nn.Module):
    """
    See the file. All that is remembered goes in and comes out.

    :param student: in eval mode.
    :param layout: of what is given and made.
    """

    def __init__(self, student: Student, layout: FrameLayout) -> None:
        super().__init__()
        self.student, self.layout = student, layout
        self.resize = ResizeBytes(layout.camera, layout.input_size)
        self.halve = Halve()
        self.upsample = _Upsample(layout.cells, layout.camera)
        # 256 levels each: what OpenCV makes of a byte, whatever it rounds on the way.
        levels = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
        table = np.empty((1, 3, 1, 256), np.float32)
        Normalizer(student.mean, student.std)(levels, 'rgb8', table)
        self.table: Tensor
        self.register_buffer('table', torch.from_numpy(table[0, :, 0].copy()))

    def forward(
        self,
        given: Tensor,
        prompted_key: Tensor,
        prompted_value: Tensor,
        recent_key: Tensor,
        recent_value: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """
        Follow the objects to one more frame.

        :param given: bytes, `FrameLayout.given`; the rest is `FrameLayout.state`.
        :return: bytes, `FrameLayout.made`; probabilities (K + 1, h4, w4); the new recent key and
            values.
        """
        parts = self._parts(given.float())
        planes = parts['image'].permute(2, 0, 1)
        if self.layout.encoding == 'bgr8':
            planes = torch.cat([planes[2:], planes[1:2], planes[:1]])
        camera = _whole(planes)
        small = self.resize(camera)
        image = torch.stack([t.index_select(0, p.flatten()) for t, p in zip(self.table, small)])
        features = self.student.encode_image(image.unflatten(1, small.shape[1:])[None])
        logits = self._read(
            parts, features, prompted_key, prompted_value, recent_key, recent_value
        )
        active = parts['member'].amax(0)
        prob = self._gated(_aggregate(logits, active), parts)
        label_map, confidence = self._label(prob, camera, small, parts)

        best = prob.amax(0)
        wins = (prob[1:] >= best).float()
        cells = wins.sum((1, 2))
        scores = (prob[1:] * wins).sum((1, 2)) / cells.clamp(min=1)
        made = torch.cat(
            [
                label_map.flatten(),
                torch.floor(confidence * 255 + 0.5).flatten(),
                wins.flatten(),
                _digits(scores).flatten(),
            ]
        )
        masks = prob[1:]
        others = (masks.sum(0) - masks).clamp(0, 1)
        value = self.student.encode_mask(features, masks[None], others[None])[0]
        key = features['key'].flatten(2)[0]
        return made.to(torch.uint8), prob, key, value

    def _parts(self, given: Tensor) -> dict[str, Tensor]:
        return {
            name: given[place].reshape(shape)
            for name, place, shape in places_in(self.layout.given)
        }

    def _read(
        self,
        parts: dict[str, Tensor],
        features: dict[str, Tensor],
        prompted_key: Tensor,
        prompted_value: Tensor,
        recent_key: Tensor,
        recent_value: Tensor,
    ) -> Tensor:
        member = parts['member']
        is_recent = (parts['group_recent'] > 0).float()
        first = prompted_key.index_select(0, _whole(parts['group_prompted']).flatten())
        second = torch.where(is_recent[:, None, None] > 0, recent_key, first)
        recent = (member * is_recent[:, None]).amax(0)[:, None, None] > 0
        value = torch.stack([prompted_value, torch.where(recent, recent_value, prompted_value)], 1)
        keys = torch.stack([first, second], 1)
        return self.student.segment_groups(features, keys, value, member)

    def _gated(self, prob: Tensor, parts: dict[str, Tensor]) -> Tensor:
        """`MotionGate.apply`."""
        reach = parts['reach']
        mask = (prob[1:] >= prob.amax(0)).float()
        inside = (mask * reach).sum((1, 2))
        elsewhere = mask.sum((1, 2)) - inside
        hidden_below, moved_from = (_number(parts[n]) for n in ('hidden_below', 'moved_from'))
        has_moved = (inside < hidden_below) & (elsewhere >= moved_from)
        reach = torch.maximum(reach, has_moved.float()[:, None, None])
        outside = prob[1:] * (1 - reach)
        taken = outside.sum(0)
        rest = 1 - taken
        is_known = rest > motion.LEAST_REST
        scale = torch.where(is_known, 1 / rest.clamp(min=motion.LEAST_REST), 1.0)
        background = prob[:1] * scale + torch.where(is_known, 0.0, taken)
        return torch.cat([background, (prob[1:] - outside) * scale])

    def _label(
        self, prob: Tensor, camera: Tensor, small: Tensor, parts: dict[str, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """`Guide.of` and `Labeler`; the label map and the probability of its labels, (H, W)."""
        count = self.layout.objects
        coarse = self.halve(self.halve(small[1])).float()
        slopes = _slopes(prob[1:], coarse)
        up = self.upsample(torch.cat([prob, slopes, coarse[None]]))
        plain, slope, base = up[: count + 1], up[count + 1 : -1], up[-1]
        is_same = self.layout.camera == self.layout.input_size
        brighter = _smoothed(small[1] if is_same else camera[1]) - base
        moved = slope * brighter + plain[1:]
        followed = torch.cat([1 - moved.sum(0, keepdim=True), moved]).argmax(0)

        # Along outlines, and where nothing is sure, pixel by pixel; else as the cells around.
        winner = prob.argmax(0).float()
        unsure = (prob.amax(0) < labels.SURE).float()
        around = self.upsample.corners(winner)
        differs = torch.stack(around).amax(0) > torch.stack(around).amin(0)
        differs = differs | (torch.stack(self.upsample.corners(unsure)).amax(0) > 0)
        differs = differs.float()
        at_outline = self.upsample.nearest(differs) > 0
        inside = self.upsample.nearest(around[0])
        row = torch.where(at_outline, followed.float(), inside)

        # Masks that are nearly all outline are decided without the image.
        most = self.upsample.rows.most * self.upsample.columns.most * labels.OUTLINE_COST
        is_crowded = differs.sum() * most > float(np.prod(self.layout.camera))
        is_plain = is_crowded | (parts['guided'][0] < 1)
        row = torch.where(is_plain, plain.argmax(0).float(), row)
        ids = parts['ids'].index_select(0, _whole(row).flatten())
        return ids.reshape(self.layout.camera), plain.amax(0)


def _number(digits: Tensor) -> Tensor:
    """(..., WHOLE) digits of base 256 -> numbers."""
    found = digits[..., 0]
    for place in range(1, WHOLE):
        found = found * 256 + digits[..., place]
    return found


def _digits(share: Tensor) -> Tensor:
    """Numbers in 0..1 -> (..., WHOLE) digits of base 256 after the point."""
    rest, digits = share.clamp(0, 1 - 256.0**-WHOLE), []
    for _ in range(WHOLE):
        rest = rest * 256
        digits.append(torch.floor(rest))
        rest = rest - digits[-1]
    return torch.stack(digits, dim=-1)


def _aggregate(logits: Tensor, active: Tensor) -> Tensor:
    """`labels.aggregate`; an empty slot has no share."""
    most, least = labels.MAX_LOGIT, np.float32(labels.EPSILON).item()
    logits = torch.where(logits == logits, logits, -most)
    odds = logits.clamp(-most, most).exp() * active[:, None, None]
    nobody = torch.ones_like(odds[0])
    for plane in odds.unbind(0):
        nobody = nobody / (1.0 + plane)
    nobody = nobody.clamp(least, 1.0 - labels.EPSILON)
    prob = torch.cat([(nobody / (1.0 - nobody))[None], odds])
    return prob / prob.sum(0)


def _mean9(x: Tensor) -> Tensor:
    """Mean over 3x3 cells of (K, h, w); divided last, as the sums of whole numbers are exact."""
    ones = torch.ones(1, 1, 3, 3)
    return F.conv2d(_framed(x)[:, None], ones)[:, 0] / 9


def _slopes(prob: Tensor, green: Tensor) -> Tensor:
    """Slopes of `Guide.of`, (K, h4, w4), everywhere."""
    mean = _mean9(green[None])
    spread = _mean9((green * green)[None]) - mean * mean + guided.NOISE
    return (_mean9(green * prob) - mean * _mean9(prob)) / spread


def _smoothed(green: Tensor) -> Tensor:
    """`Guide.smoothed` of whole numbers (H, W)."""
    x = _framed(green)
    x = x[:-2] + 2 * x[1:-1] + x[2:]
    x = x[:, :-2] + 2 * x[:, 1:-1] + x[:, 2:]
    return _divided(x + 8, 16).float()
