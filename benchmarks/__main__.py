# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
All benchmarks of speed, one after another, each a process of its own; what `make bench` runs.

python benchmarks [--model M] [--davis ROOT] [--int8 DIR] [--cutie DIR --aot DIR --peers-python P]
python benchmarks NAME [its own arguments]: one of them, or one that is not among these

About 15 minutes on a quiet machine with two cores; with a data set and peers about 20. --quick
takes a few frames of each, to see that all of them run, as drafts. Reports go to
benchmarks/results/<date>-<machine>/ (drafts: ...-draft/); close everything else first.
"""

from __future__ import annotations

import argparse
import importlib
import os
from pathlib import Path
import subprocess
import sys
import time

from record import check_tree, DRAFT

from vos_ros.config import RuntimeConfig
from vos_ros.errors import VosError

FOLDER = Path(__file__).resolve().parent
#: In the rooms, but no benchmarks: what these are made of, or run in other processes.
_PARTS = {'rig', 'timed_node', 'page_viewer', 'peer_export', 'peer_worker', 'since_worker', 'bare'}


def scripts() -> dict[str, str]:
    """Return name -> module of every benchmark."""
    found = sorted(FOLDER.glob('[a-z]*/*.py'))
    return {p.stem: f'{p.parent.name}.{p.stem}' for p in found if p.stem not in _PARTS}


def run_one(name: str, arguments: list[str]) -> None:
    """Run one benchmark, in this process, by its own arguments."""
    known = scripts()
    if name not in known:
        sys.exit(f'benchmarks: {name!r} is none of them; there are {", ".join(known)}')
    sys.argv = [f'benchmarks {name}', *arguments]
    sys.exit(importlib.import_module(known[name]).main())


def plan(args: argparse.Namespace) -> dict[str, list[str]]:
    """Return name -> name again, with arguments."""
    model = ['--model', args.model]
    models = [*model, *args.int8]

    def either(usual: str, quick: str) -> list[str]:
        return (quick if args.quick else usual).split()

    found = {
        'step': ['step', *model, *either('--rounds 8', '--rounds 1')],
        'objects': ['objects', *model, *either('--rounds 10', '--rounds 1')],
        'memory': ['memory', *model, *either('--frames 40', '--frames 4')],
        'length': [
            *('length', *model, '--size', '128'),
            *either('--frames 10000', '--frames 400'),
        ],
        'labels': ['labels', *either('--rounds 30', '--rounds 1')],
        'roofline': ['roofline', *model, *either('--rounds 20', '--rounds 2')],
        'node': ['node', *model, *either('--frames 2000', '--frames 20')],
    }
    if args.davis:
        found['ladder'] = [
            *('ladder', *models, '--davis', args.davis),
            *either('--rounds 8', '--rounds 1 --sizes 256'),
        ]
    if args.cutie or args.aot:
        found['peers'] = [
            *('peers', *models, '--python', args.peers_python),
            *(['--cutie', args.cutie] if args.cutie else []),
            *(['--aot', args.aot] if args.aot else []),
            *either('--rounds 5', '--rounds 1 --warm-up 2'),
        ]
    draft = [DRAFT] if args.draft else []
    wanted = {name for name in found if not args.only or name in args.only}
    return {name: [*line, *draft] for name, line in found.items() if name in wanted}


def main() -> int:
    """Run what was asked for; exit code 1 if any of it failed."""
    if sys.argv[1:] and not sys.argv[1].startswith('-'):
        run_one(sys.argv[1], sys.argv[2:])
    parser = argparse.ArgumentParser(
        prog='benchmarks',
        description=__doc__.splitlines()[1],
        epilog=f'benchmarks NAME runs one alone: {", ".join(scripts())}',
    )
    parser.add_argument('--model', default=RuntimeConfig().model, help='name or folder')
    parser.add_argument('--int8', nargs='+', default=[], help='quantised models, to compare')
    parser.add_argument('--davis', default='', help='data set in DAVIS layout: adds the ladder')
    parser.add_argument('--cutie', default='', help='sources of Cutie: adds the peers')
    parser.add_argument('--aot', default='', help='sources of aot-benchmark: adds the peers')
    parser.add_argument('--peers-python', default=sys.executable, help='has torch for the peers')
    parser.add_argument('--only', nargs='+', default=[], help='names: step, objects, memory, ...')
    parser.add_argument('--quick', action='store_true', help='a few frames of each, as drafts')
    parser.add_argument(DRAFT, action='store_true', help='although changes are not committed')
    args = parser.parse_args()
    args.draft |= args.quick
    try:
        check_tree(draft=args.draft)
    except VosError as error:
        parser.error(str(error))

    spent, failed = {}, []
    for name, line in plan(args).items():
        print(f'\n=== {" ".join(line)}; load {os.getloadavg()[0]:.1f}', flush=True)
        began = time.monotonic()
        if subprocess.run([sys.executable, str(FOLDER), *line]).returncode:
            failed.append(name)
        spent[name] = time.monotonic() - began
    print('\n' + ', '.join(f'{name} {seconds:.0f} s' for name, seconds in spent.items()))
    print(f'{sum(spent.values()) / 60:.1f} min')
    if failed:
        print(f'failed: {", ".join(failed)}', file=sys.stderr)
    return bool(failed)


if __name__ == '__main__':
    sys.exit(main())
