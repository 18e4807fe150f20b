# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""An ablation as a picture: every seed a dot, the mean a bar, the reference a line."""

from collections.abc import Mapping, Sequence
from html import escape
from statistics import mean
from typing import Any

_ROW, _LETTER, _PANEL, _GAP, _TOP = 24, 7, 260, 44, 34
_STYLE = (
    'text{font:12px system-ui,sans-serif;fill:#333}.scale{fill:#777;font-size:11px}'
    '.grid{stroke:#e3e3e3}.reference{stroke:#999;stroke-dasharray:3 3}'
    '.mean{stroke:#d1495b;stroke-width:3}.seed{fill:#30638e;fill-opacity:.75}'
)


def study_svg(results: Mapping[str, Mapping[int, Mapping[str, Any]]], roots: Sequence[str]) -> str:
    """
    Draw J&F of every variant and seed, a panel for each data set, all on one scale.

    :param results: as `ablation.ablate` returns them; the first variant is the reference.
    :return: an SVG document.
    """
    values = [run[root] for runs in results.values() for run in runs.values() for root in roots]
    low, high = int(20 * min(values)) / 20, (int(20 * max(values)) + 1) / 20
    height = _TOP + _ROW * len(results) + 10
    names = 30 + _LETTER * max(map(len, results))
    width = names + len(roots) * (_PANEL + _GAP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'role="img" aria-label="J&amp;F of each variant and seed"><style>{_STYLE}</style>'
        f'<rect width="{width}" height="{height}" fill="#fff"/>'
    ]
    for row, name in enumerate(results):
        y = _TOP + _ROW * (row + 0.5)
        parts.append(f'<text x="8" y="{y + 4:.0f}">{escape(name)}</text>')
    for panel, root in enumerate(roots):
        left = names + panel * (_PANEL + _GAP)

        def x_of(value: float, left: float = left) -> float:
            return left + _PANEL * (value - low) / (high - low)

        parts.append(f'<text x="{left}" y="14">{escape(root)}, J&amp;F</text>')
        for tick in range(round(20 * low), round(20 * high) + 1):
            x = x_of(tick / 20)
            parts.append(
                f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{height - 6}"/>'
                f'<text class="scale" x="{x:.1f}" y="28" text-anchor="middle">{tick / 20:.2f}'
                '</text>'
            )
        reference = mean(run[root] for run in next(iter(results.values())).values())
        x = x_of(reference)
        parts.append(
            f'<line class="reference" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{height - 6}"/>'
        )
        for row, runs in enumerate(results.values()):
            y = _TOP + _ROW * (row + 0.5)
            x = x_of(mean(run[root] for run in runs.values()))
            parts.append(
                f'<line class="mean" x1="{x:.1f}" x2="{x:.1f}" y1="{y - 7}" y2="{y + 7}"/>'
            )
            parts += [
                f'<circle class="seed" cx="{x_of(run[root]):.1f}" cy="{y}" r="4">'
                f'<title>seed {seed}: {run[root]:.3f}</title></circle>'
                for seed, run in runs.items()
            ]
    return ''.join(parts) + '</svg>\n'
