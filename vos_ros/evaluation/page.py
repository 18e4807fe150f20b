# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The demo's result as one HTML page: no script, no network; only the video lies beside it."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import cv2

from vos_ros.datatypes import Image

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
.plot .grid { stroke: var(--line); } .plot .ground { fill: none; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
td, th { text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top; overflow-wrap: anywhere; }
th { color: var(--dim); font-weight: 500; }
figure { margin: 0 0 1.1rem; }
figcaption { color: var(--dim); font-size: .9rem; margin-bottom: .25rem; }
.row { display: grid; grid-template-columns: repeat(auto-fit, minmax(13rem, 1fr)); gap: .4rem; }
img { width: 100%; }
"""


@dataclass(frozen=True)
class Figure:
    """
    Pictures side by side.

    :param caption: plain text.
    :param images: (H, W, 3) uint8 rgb.
    """

    caption: str
    images: Sequence[Image]


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
    :param plots: SVG documents, see `plot`.
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
    plot_html = ''.join(f'<div class="plot">{svg}</div>' for svg in plots)
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
{plot_html}
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
