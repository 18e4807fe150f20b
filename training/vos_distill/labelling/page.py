# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One HTML page with a strip of frames for each clip, the least agreed first: to look at."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import cv2
import numpy as np

from vos_distill.data import VOID
from vos_distill.data.files import Image
from vos_ros.formats.label_png import davis_palette, read_label_png
from vos_ros.sequences.folder import read_image

_WIDTH = 168
_STYLE = """
body { margin: 1.5rem; font: 15px/1.4 system-ui, sans-serif; color: #1c1e21; background: #fbfbfa; }
h1 { font-size: 1.4rem; } h2 { font-size: 1rem; margin: 1.2rem 0 .3rem; }
.bad { color: #b3261e; } .strip { display: flex; flex-wrap: wrap; gap: 3px; }
.strip img { width: 168px; display: block; border-radius: 3px; }
p { max-width: 46rem; }
"""


@dataclass(frozen=True)
class Strip:
    """
    What is shown of one clip.

    :param frames: that were kept; 0 = nothing of this video agreed.
    :param pictures: image and mask files.
    """

    name: str
    frames: int
    agreement: float
    pictures: Sequence[tuple[Path, Path]]


def write_page(out: Path, strips: Sequence[Strip]) -> Path:
    """Write `out/index.html`; it needs no other file and no network."""
    total = sum(strip.frames for strip in strips)
    rows = '\n'.join(_row(strip) for strip in strips)
    path = out / 'index.html'
    partial = path.with_suffix('.partial')
    partial.write_text(
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Labels</title>'
        f'<style>{_STYLE}</style><h1>{len(strips)} clips, {total} frames</h1>'
        '<p>The clips on which the networks agree least come first. Delete the folder of a clip '
        'that is wrong from JPEGImages/480p: it is not trained on then. White is void: '
        'nobody is sure there.</p>'
        f'{rows}</html>',
        encoding='utf-8',
    )
    partial.rename(path)
    return path


def _row(strip: Strip) -> str:
    doubt = ' class="bad"' if strip.agreement < 0.7 else ''
    found = f'{strip.frames} frames, agreement {strip.agreement:.2f}'
    head = f'<h2{doubt}>{escape(strip.name)}: {found}</h2>'
    pictures = ''.join(
        f'<img alt="" src="{_picture(*pair)}">' for pair in strip.pictures if pair[0].is_file()
    )
    return f'{head}<div class="strip">{pictures}</div>'


def _picture(image: Path, label: Path) -> str:
    drawn = drawn_over(read_image(image), read_label_png(label).astype(np.uint8))
    height = round(drawn.shape[0] * _WIDTH / drawn.shape[1])
    small = cv2.resize(drawn, (_WIDTH, height), interpolation=cv2.INTER_AREA)
    data = cv2.imencode('.jpg', cv2.cvtColor(small, cv2.COLOR_RGB2BGR))[1]
    return 'data:image/jpeg;base64,' + base64.b64encode(data.tobytes()).decode()


def drawn_over(image: Image, label: Image) -> Image:
    """Draw ids over a picture in DAVIS's colours, void in white."""
    colours = davis_palette().copy()
    colours[VOID] = 255
    out = image.copy()
    where = label > 0
    out[where] = (0.5 * image[where] + 0.5 * colours[label[where]]).astype(np.uint8)
    return out
