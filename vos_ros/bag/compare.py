# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Two reports side by side, and whether the second one is worse."""

from __future__ import annotations

from dataclasses import dataclass
import json
from pathlib import Path
from typing import Any

from vos_ros.bag.report import OFFLINE
from vos_ros.errors import VosError
from vos_ros.formats.files import read_bytes

#: Of two settings that differ, figures do not say which code is better.
_SETTINGS = ('mode', 'cost_ms', 'rate', 'loops', 'input_size', 'backend', 'precision')


@dataclass(frozen=True)
class Row:
    """
    One figure of both reports.

    :param name: of it.
    :param before: in the first one; None = it has none.
    :param after: in the second one.
    :param is_worse: beyond what is tolerated.
    """

    name: str
    before: float | str | None
    after: float | str | None
    is_worse: bool = False


def load_report(path: Path) -> dict[str, Any]:
    """
    Read the report.json of an evaluation.

    :raises VosError: it cannot be read or is none.
    """
    try:
        content = json.loads(read_bytes(path, 'report'))
    except (ValueError, RecursionError) as error:
        raise VosError(f'{path} is no JSON: {error}') from error
    needed = {'overall', 'sequences', 'latency_ms', 'age_ms', 'hashes', 'dropped', 'mode'}
    if not isinstance(content, dict) or not needed <= content.keys():
        raise VosError(f'{path} is no report of a bag; give a report.json of `vos bag eval`')
    return content


def compare(
    before: dict[str, Any], after: dict[str, Any], *, jf_drop: float, p99_growth: float
) -> list[Row]:
    """
    Put two reports of the same bag side by side.

    :param before: what is compared with.
    :param after: what may have become worse.
    :param jf_drop: J&F may be lower by so much.
    :param p99_growth: the p99 of the latency may be higher by this share.
    :raises VosError: they are of different bags, or one of them only is offline.
    """
    bags = [part['hashes']['bag'] for part in (before, after)]
    if bags[0] != bags[1]:
        raise VosError(
            'the reports are of different bags, or of one bag with another --image, --gt or '
            f'--init ({bags[0]}, {bags[1]}), so they cannot be compared'
        )
    modes = [part['mode'] for part in (before, after)]
    if modes[0] != modes[1] and OFFLINE in modes:
        raise VosError(
            f'the reports are of different modes ({modes[0]}, {modes[1]}): offline scores each '
            'frame with its own mask, the others with the newest one; compare reports of one mode'
        )
    rows = [
        Row(name, _text(before.get(name)), _text(after.get(name)))
        for name in _SETTINGS
        if before.get(name) != after.get(name)
    ]
    for name in ('jf', 'j', 'f'):
        pair = before['overall'][name], after['overall'][name]
        worse = name == 'jf' and _fell(*pair, jf_drop)
        rows.append(Row({'jf': 'J&F', 'j': 'J', 'f': 'F'}[name], *pair, worse))
    for name in before['sequences']:
        if name not in after['sequences']:
            continue
        ids = before['sequences'][name]['objects']
        others = after['sequences'][name]['objects']
        rows += [
            Row(f'J&F of {name}, object {k}', part['jf'], others[k]['jf'])
            for k, part in ids.items()
            if k in others
        ]
    for key in ('p50', 'p95', 'p99', 'max'):
        pair = _part(before, 'latency_ms', key), _part(after, 'latency_ms', key)
        worse = key == 'p99' and _grew(*pair, p99_growth)
        rows.append(Row(f'latency {key}, ms', *pair, worse))
    rows.append(Row('age p99, ms', _part(before, 'age_ms', 'p99'), _part(after, 'age_ms', 'p99')))
    rows += [Row(name, before[name], after[name]) for name in ('dropped', 'deadline_misses')]
    hashes = [part['hashes']['masks'] for part in (before, after)]
    rows.append(Row('hash of the masks', *hashes))
    return rows


def _fell(before: float | None, after: float | None, drop: float) -> bool:
    return before is not None and (after is None or after < before - drop)


def _grew(before: float | None, after: float | None, share: float) -> bool:
    return before is not None and (after is None or after > before * (1 + share))


def _part(report: dict[str, Any], name: str, key: str) -> float | None:
    return None if report[name] is None else report[name][key]


def _text(value: object) -> str:
    return '-' if value is None else str(value)
