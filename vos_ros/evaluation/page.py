# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The demo's result as one HTML page: no script, no network; only the video lies beside it."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
import math

import cv2

from vos_ros.datatypes import Image
from vos_ros.formats.drawing import colour_of

_STYLE = """
:root { --bg: #fbfbfa; --fg: #1c1e21; --dim: #666c75; --line: #dcdfe3; --card: #ffffff; }
@media (prefers-color-scheme: dark) {
  :root { --bg: #16181b; --fg: #e8e9ea; --dim: #9aa1ab; --line: #33373d; --card: #1e2125; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.2rem 4rem; max-width: 66rem; background: var(--bg);
  color: var(--fg); font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: 0 0 .2rem; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; }
p { margin: .4rem 0; } .dim { color: var(--dim); font-size: .9rem; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .7rem;
  margin: 1.2rem 0; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: .5rem;
  padding: .7rem .9rem; }
.card b { display: block; font-size: 1.55rem; line-height: 1.25;
  font-variant-numeric: tabular-nums; }
video, img, svg { max-width: 100%; display: block; border-radius: .4rem; }
video { width: 100%; background: #000; }
.plot { background: var(--card); border: 1px solid var(--line); border-radius: .5rem;
  padding: .6rem .4rem .2rem; margin-bottom: .8rem; }
.plot text { fill: var(--dim); font: 11px system-ui, sans-serif; }
.plot text.level { paint-order: stroke; stroke: var(--card); stroke-width: 4px; }
.plot .grid { stroke: var(--line); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
td, th { text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top; overflow-wrap: anywhere; }
th { color: var(--dim); font-weight: 500; }
figure { margin: 0 0 1.1rem; }
figcaption { color: var(--dim); font-size: .9rem; margin-bottom: .25rem; }
.row { display: grid; grid-template-columns: repeat(auto-fit, minmax(13rem, 1fr)); gap: .4rem; }
img { width: 100%; }
.key { display: inline-block; width: .75rem; height: .75rem; border-radius: .15rem;
  margin: 0 .3rem 0 .9rem; }
"""

# No object's colour: those of ids 1 to 6 are red, green, yellow, blue, magenta and cyan.
_DROPPED = '#7d8590'
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 900, 210, 46, 12, 8, 26


@dataclass(frozen=True)
class Line:
    """
    One line of a plot.

    :param name: for the legend.
    :param color: CSS colour.
    :param points: (x, y); a None in y interrupts the line.
    """

    name: str
    color: str
    points: Sequence[tuple[float, float | None]]


@dataclass(frozen=True)
class Figure:
    """
    Pictures side by side.

    :param caption: plain text.
    :param images: (H, W, 3) uint8 rgb.
    """

    caption: str
    images: Sequence[Image]


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
    x_label: str = 'frame',
    levels: Sequence[tuple[str, float]] = (),
    marks: Sequence[float] = (),
) -> str:
    """
    Draw lines over the frame number (or something else), as inline SVG with a legend above.

    :param y_max: the axis runs from 0 to here.
    :param x_max: likewise.
    :param x_label: what the horizontal axis counts.
    :param levels: (name, y) drawn as dashed horizontal lines.
    :param marks: x of grey ticks at the bottom: dropped frames.
    """
    span_x, span_y = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM

    def at(x: float, y: float) -> tuple[float, float]:
        clipped = min(max(y / y_max, 0.0), 1.0) if y_max > 0 else 0.0
        return _LEFT + span_x * x / max(x_max, 1), _TOP + span_y * (1 - clipped)

    parts = []
    for value in _ticks(y_max, most=5):
        _, y = at(0, value)
        parts.append(
            f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>'
        )
    for value in _ticks(x_max, most=12):
        x, _ = at(value, 0)
        name = f'{x_label} 0' if value == 0 else f'{value:g}'
        parts.append(f'<text x="{x:.1f}" y="{_HEIGHT - 8}" text-anchor="middle">{name}</text>')
    for mark in marks:
        x, y = at(mark, 0)
        parts.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{y - 9:.1f}" y2="{y:.1f}" '
            f'stroke="{_DROPPED}" stroke-width="2"/>'
        )
    for line in lines:
        for run in _runs(line.points):
            path = ' '.join('{:.1f},{:.1f}'.format(*at(x, y)) for x, y in run)
            parts.append(
                f'<polyline fill="none" stroke="{line.color}" stroke-width="1.8" points="{path}"/>'
            )
            if len(run) == 1:
                x, y = at(*run[0])
                parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2" fill="{line.color}"/>')
    for name, value in levels:
        x, y = at(x_max, value)
        parts.append(
            f'<line x1="{_LEFT}" x2="{x:.1f}" y1="{y:.1f}" y2="{y:.1f}" stroke="currentColor" '
            f'stroke-opacity=".45" stroke-dasharray="5 4"/><text class="level" x="{x:.1f}" '
            f'y="{y - 4:.1f}" text-anchor="end">{escape(name)}</text>'
        )
    keys = ''.join(
        f'<span class="key" style="background:{line.color}"></span>{escape(line.name)}'
        for line in lines
    )
    if marks:
        keys += '<span class="key" style="background:' + _DROPPED + '"></span>dropped'
    return (
        f'<div class="plot"><div class="dim">&nbsp;{escape(y_label)}{keys}</div>'
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(y_label)}">'
        f'{"".join(parts)}</svg></div>'
    )


def _ticks(maximum: float, *, most: int) -> list[float]:
    """Return round numbers from 0 to at most `maximum`, no more than `most` of them."""
    magnitude = 10.0 ** math.floor(math.log10(max(maximum, 1e-9)) - 1)
    steps = (magnitude * factor for factor in (1, 2, 2.5, 5, 10, 20, 25, 50, 100))
    step = next(step for step in steps if maximum / step < most)
    return [round(step * k, 9) for k in range(int(maximum / step + 1e-9) + 1)]


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


def build(
    *,
    title: str,
    lead: str,
    cards: Sequence[tuple[str, str]],
    plots: Sequence[str],
    notes: Sequence[str],
    figures: Sequence[Figure],
    figures_title: str,
    facts: Sequence[tuple[str, str]],
    video: str = '',
) -> str:
    """
    Return the page.

    :param cards: (figure, what it is), the most important first.
    :param plots: from `plot`.
    :param notes: how the figures are meant, one sentence each.
    :param facts: (name, value) for the table at the end.
    :param video: file name of the overlay video, beside the page; empty = there is none.
    """
    card_html = ''.join(
        f'<div class="card"><b>{escape(value)}</b><span class="dim">{escape(name)}</span></div>'
        for value, name in cards
    )
    figure_html = ''.join(
        f'<figure><figcaption>{escape(figure.caption)}</figcaption><div class="row">'
        + ''.join(f'<img alt="" src="{_data_url(image)}">' for image in figure.images)
        + '</div></figure>'
        for figure in figures
    )
    fact_html = ''.join(
        f'<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>' for name, value in facts
    )
    note_html = ''.join(f'<p class="dim">{escape(note)}</p>' for note in notes)
    video_html = (
        f'<video src="{escape(video)}" controls autoplay muted loop playsinline></video>'
        if video
        else ''
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>{escape(title)}</h1>
<p>{escape(lead)}</p>
<div class="cards">{card_html}</div>
{video_html}
<h2>Frame by frame</h2>
{''.join(plots)}
{note_html}
<h2>{escape(figures_title)}</h2>
{figure_html}
<h2>What was measured, and on what</h2>
<div class="scroll"><table>{fact_html}</table></div>
</body>
</html>
"""


def _data_url(image: Image, width_px: int = 480) -> str:
    height = max(1, round(image.shape[0] * width_px / image.shape[1]))
    small = cv2.resize(image, (width_px, height), interpolation=cv2.INTER_AREA)
    bgr = cv2.cvtColor(small, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode('.jpg', bgr, [cv2.IMWRITE_JPEG_QUALITY, 85])
    return f'data:image/jpeg;base64,{base64.b64encode(data.tobytes()).decode()}'
