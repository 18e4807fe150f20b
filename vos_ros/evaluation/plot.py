# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Lines over a number as an SVG file, which a page may hold as it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
import math

from vos_ros.formats.drawing import colour_of

#: For lines that stand for no object.
COLOURS = ('#3b82f6', '#e5484d', '#8b5cf6', '#30a46c', '#f5a623', '#8c564b')
# No object's colour: those of ids 1 to 6 are red, green, yellow, blue, magenta and cyan.
DROPPED = '#7d8590'
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 900, 232, 46, 12, 30, 26
_LETTER_PX = 6.3
# Attributes, which the style sheet of a page that holds the plot overrides.
_TEXT = 'fill="#555" font-family="system-ui,sans-serif" font-size="11"'


@dataclass(frozen=True)
class Line:
    """
    One line of a plot.

    :param name: for the legend.
    :param color: CSS colour.
    :param points: (x, y); a None in y interrupts the line.
    :param labels: text above each point, which is then a dot; empty = none.
    """

    name: str
    color: str
    points: Sequence[tuple[float, float | None]]
    labels: Sequence[str] = ()


def object_line(object_id: int, points: Sequence[tuple[float, float | None]]) -> Line:
    """
    Return an object's line, in its colour of DAVIS's palette, lightened where that is too dark.

    :param object_id: 1 or more.
    :param points: see Line.
    """
    colour = colour_of(object_id)
    peak = max(colour)
    bright = [round(c * 210 / peak) if peak else 128 for c in colour]
    return Line(f'object {object_id}', 'rgb({}, {}, {})'.format(*bright), points)


def plot(
    lines: Sequence[Line],
    *,
    y_max: float,
    y_label: str,
    x_max: float,
    y_min: float = 0.0,
    x_label: str = 'frame',
    levels: Sequence[tuple[str, float]] = (),
    marks: Sequence[float] = (),
) -> str:
    """
    Draw lines over the frame number (or something else), with a legend above.

    :param y_max: the axis ends here.
    :param x_max: likewise; it begins at 0.
    :param y_min: the axis begins here.
    :param x_label: what the horizontal axis counts.
    :param levels: (name, y) drawn as dashed horizontal lines.
    :param marks: x of grey ticks at the bottom: dropped frames.
    :return: an SVG document.
    """
    span_x, span_y = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM

    def at(x: float, y: float) -> tuple[float, float]:
        share = (y - y_min) / (y_max - y_min) if y_max > y_min else 0.0
        clipped = min(max(share, 0.0), 1.0)
        return _LEFT + span_x * x / max(x_max, 1), _TOP + span_y * (1 - clipped)

    parts = _legend(y_label, lines, bool(marks))
    for value in ticks(y_max, y_min, most=5):
        _, y = at(0, value)
        parts.append(
            f'<line class="grid" stroke="#ddd" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" '
            f'y2="{y:.1f}"/>{_text(_LEFT - 6, y + 4, f"{value:g}", "end")}'
        )
    for value in ticks(x_max, most=12):
        name = f'{x_label} 0' if value == 0 else f'{value:g}'
        parts.append(_text(at(value, 0)[0], _HEIGHT - 8, name, 'middle'))
    bottom = _HEIGHT - _BOTTOM
    for mark in marks:
        x, _ = at(mark, 0)
        parts.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{bottom - 9}" y2="{bottom}" '
            f'stroke="{DROPPED}" stroke-width="2"/>'
        )
    for line in lines:
        for run in _runs(line.points):
            path = ' '.join('{:.1f},{:.1f}'.format(*at(x, y)) for x, y in run)
            parts.append(
                f'<polyline fill="none" stroke="{line.color}" stroke-width="1.8" points="{path}"/>'
            )
            if len(run) == 1 or line.labels:
                parts += [_dot(*at(x, y), line.color) for x, y in run]
        for point, label in zip(line.points, line.labels):
            if point[1] is not None:
                left, top = at(point[0], point[1])
                parts.append(_text(left, top - 7, label, 'middle'))
    for name, value in levels:
        x, y = at(x_max, value)
        parts.append(
            f'<line x1="{_LEFT}" x2="{x:.1f}" y1="{y:.1f}" y2="{y:.1f}" stroke="currentColor" '
            f'stroke-opacity=".45" stroke-dasharray="5 4"/>'
            + _text(x, y - 4, name, 'end', 'class="level" ')
        )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{escape(y_label)}"><rect class="ground" width="100%" height="100%" '
        f'fill="#fff"/>{"".join(parts)}</svg>\n'
    )


def _legend(y_label: str, lines: Sequence[Line], has_marks: bool) -> list[str]:
    parts = [_text(4, 14, y_label)]
    x = 4 + _LETTER_PX * len(y_label)
    names = [(line.color, line.name) for line in lines]
    for color, name in [*names, (DROPPED, 'dropped')] if has_marks else names:
        parts.append(f'<rect x="{x + 14:.1f}" y="5" width="10" height="10" fill="{color}"/>')
        parts.append(_text(x + 28, 14, name))
        x += 30 + _LETTER_PX * len(name)
    return parts


def _text(x: float, y: float, words: str, anchor: str = 'start', more: str = '') -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text {more}{place} {_TEXT}>{escape(words)}</text>'


def _dot(x: float, y: float, color: str) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2" fill="{color}"/>'


def ticks(maximum: float, minimum: float = 0.0, *, most: int) -> list[float]:
    """
    Return round numbers within a range, no more than `most` of them.

    :param maximum: above `minimum`.
    """
    span = maximum - minimum
    magnitude = 10.0 ** math.floor(math.log10(max(span, 1e-9)) - 1)
    steps = (magnitude * factor for factor in (1, 2, 2.5, 5, 10, 20, 25, 50, 100))
    step = next(step for step in steps if span / step < most)
    first, last = math.ceil(minimum / step - 1e-9), math.floor(maximum / step + 1e-9)
    return [round(step * k, 9) for k in range(first, last + 1)]


def _runs(
    points: Sequence[tuple[float, float | None]],
) -> list[list[tuple[float, float]]]:
    runs: list[list[tuple[float, float]]] = [[]]
    for x, y in points:
        if y is None:
            runs.append([])
        else:
            runs[-1].append((x, y))
    return [run for run in runs if run]
