# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Where figures go: benchmarks/results/<date>-<machine>/, with all that they need to mean something.

Every benchmark is one section of REPORT.md and one entry of raw.json; running one again on the
same day replaces its own part only. The variable VOS_BENCH_RESULTS names another folder than
benchmarks/results.

A figure that nobody can repeat is none: without a commit, or with changes that are not committed,
nothing is measured. `--draft` measures all the same, into a folder of drafts that git ignores.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
import json
import os
from pathlib import Path
import re
import resource
import subprocess
import sys
from typing import Any

import numpy as np

from vos_ros.errors import VosError
from vos_ros.evaluation.evaluate import describe_run, write_json
from vos_ros.harness import clip

#: `python FOLDER NAME` runs a benchmark.
FOLDER = Path(__file__).resolve().parent
RESULTS = Path(os.environ.get('VOS_BENCH_RESULTS') or FOLDER / 'results')

ROOT = FOLDER.parent
DRAFT = '--draft'
_DRAFT_HELP = 'measure although changes are not committed; into <date>-<machine>-draft/'


def parse_args(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """
    Parse a benchmark's arguments, `--draft` among them; end here if the tree is not committed.

    :param parser: with the benchmark's own arguments; gets `--draft`.
    :return: its namespace, with `draft`.
    """
    parser.add_argument(DRAFT, action='store_true', help=_DRAFT_HELP)
    args = parser.parse_args()
    try:
        check_tree(draft=args.draft)
    except VosError as error:
        parser.error(str(error))
    return args


def check_tree(root: Path = ROOT, *, draft: bool) -> str | None:
    """
    Return the commit that figures belong to, with '-draft' if the files are not those of it.

    Results of earlier benchmarks do not count as changes, nor do files that git does not track.

    :param root: of the checkout.
    :param draft: go on although there are changes, or no commit.
    :return: None without a commit.
    :raises VosError: there are changes, or no commit, and `draft` is not set.
    """
    if not (root / '.git').exists():
        if not draft:
            raise VosError(f'{root} is no git checkout, so figures have no commit: add {DRAFT}')
        return None
    commit = _git(root, 'rev-parse', 'HEAD').strip()
    status = ('status', '--porcelain', '--untracked-files=no')
    changed = _git(root, *status, '--', '.', ':(exclude)benchmarks/results').splitlines()
    if changed and not draft:
        names = ', '.join(line[3:] for line in changed[:3]) + (' ...' if changed[3:] else '')
        raise VosError(f'changes are not committed ({names}): commit them, or add {DRAFT}')
    return f'{commit}-draft' if changed else commit


def _git(root: Path, *arguments: str) -> str:
    command = ['git', '-C', str(root), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise VosError(f'{" ".join(command)} failed: {error}') from error
    return done.stdout


def percentiles(values_ms: Sequence[float]) -> dict[str, float]:
    """Return median, p95, p99, max and the number of values."""
    p50, p95, p99, most = np.percentile(values_ms, (50, 95, 99, 100)).round(3).tolist()
    return {'p50': p50, 'p95': p95, 'p99': p99, 'max': most, 'n': len(values_ms)}


def frames_of_clip(count: int) -> list[tuple[clip.Image, clip.Image]]:
    """Return images and label maps of the demo's clip, 640x480: real pixels, real motion."""
    return list(clip.render(count))


def resident_mib() -> float:
    """Return what the process holds in memory now."""
    for line in Path('/proc/self/status').read_text().splitlines():
        if line.startswith('VmRSS'):
            return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a Markdown table."""
    lines = [head, ['---'] * len(head), *rows]
    return '\n'.join('| ' + ' | '.join(str(cell) for cell in line) + ' |' for line in lines)


def save(
    section: str,
    command: str,
    text: str,
    raw: Mapping[str, Any],
    figures: Mapping[str, str] | None = None,
) -> Path:
    """
    Write one benchmark's result and return its folder.

    :param section: name of the benchmark.
    :param command: by which it can be repeated.
    :param text: its part of REPORT.md, Markdown.
    :param raw: its part of raw.json.
    :param figures: file name -> SVG, to be written beside.
    :raises VosError: the tree has changes that are not committed, and this is no draft.
    """
    draft = DRAFT in sys.argv
    run = describe_run() | {'commit': check_tree(draft=draft)}
    machine = re.sub('[^a-z0-9]+', '-', f'{run["host"]["cpu"]} {run["host"]["cores"]}c'.lower())
    folder = RESULTS / f'{run["date"][:10]}-{machine.strip("-")}{"-draft" if draft else ""}'
    path = folder / 'raw.json'
    everything: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    everything[section] = {'command': command, 'text': text, **run, **raw}
    write_json(path, everything)
    parts = [f'# {folder.name}']
    for name, part in sorted(everything.items()):
        host = ', '.join(f'{key} {value}' for key, value in part['host'].items())
        parts.append(f'## {name}\n\n`{part["command"]}`, {part["date"]}, commit {part["commit"]}')
        parts.append(f'Host: {host}')
        parts.append(part['text'])
    (folder / 'REPORT.md').write_text('\n\n'.join(parts) + '\n')
    for name, svg in (figures or {}).items():
        (folder / name).write_text(svg)
    return folder
