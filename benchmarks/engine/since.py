# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
This checkout beside an older one: ms of a frame, each with its own code and model, in turns.

git worktree add ../older efced64
python benchmarks since --older ../older --older-model fast_mb_slim --davis ROOT

Every sequence is followed with its first mask as it is, and cut into five objects. Both
processes hold the same frames and step four of them in turn. Read the ratios; what was found
says whether both did the same work.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
import subprocess
import sys
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from record import parse_args, percentiles, ROOT, save, table
from workload import ask, prompt_for, turns

from vos_ros.config import RuntimeConfig
from vos_ros.sequences import open_davis

BLOCK = 4  # frames of a turn; the first turn, with the prompt in it, is not counted


class Checkout:
    """One checkout at work in a process of its own."""

    def __init__(self, folder: Path, model: str, clip: Path, threads: int) -> None:
        command = [sys.executable, str(Path(__file__).with_name('since_worker.py'))]
        command += [str(folder.resolve()), model, str(clip), str(threads)]
        self._folder = folder
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {'PYTHONDONTWRITEBYTECODE': '1'},
        )

    def step(self, frames: int) -> dict[str, list[float]]:
        """Return ms and the share of the picture that was found, of each of the next frames."""
        return ask(self._process, str(self._folder), str(frames))

    def close(self) -> None:
        """End the process."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()


def measure(
    ways: list[tuple[Path, str]], clip: Path, frames: int, threads: int
) -> list[dict[str, list[float]]]:
    """Let two checkouts follow a clip in turns; return what each said of all counted frames."""
    both = [Checkout(folder, model, clip, threads) for folder, model in ways]
    found: list[dict[str, list[float]]] = [{'ms': [], 'found': []} for _ in both]
    try:
        for number in range(frames // BLOCK):
            for index in turns(range(len(both)), number):
                answer = both[index].step(BLOCK)
                if number:
                    for name, values in found[index].items():
                        values += answer[name]
    finally:
        for one in both:
            one.close()
    return found


def main() -> int:
    """Measure, print and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('--older', required=True, type=Path, metavar='DIR', help='its checkout')
    parser.add_argument('--older-model', required=True, help='one of the models that it holds')
    parser.add_argument('--model', default=RuntimeConfig().model)
    parser.add_argument('--davis', required=True, action='append', help='root; may be repeated')
    parser.add_argument('--frames', type=int, default=44, help='most of each sequence')
    parser.add_argument('--objects', type=int, nargs='+', default=[1, 5])
    parser.add_argument('--threads', type=int, default=2)
    args = parse_args(parser)

    ways = [(args.older, args.older_model), (ROOT, args.model)]
    command = ['git', '-C', str(args.older), 'rev-parse', '--short', 'HEAD']
    commit = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    rows: list[list[object]] = []
    raw: dict[str, Any] = {}
    for root in args.davis:
        for sequence in open_davis(root, split='all'):
            frames = list(sequence)[: args.frames // BLOCK * BLOCK]
            truth = sequence.label_map(0)
            assert truth is not None
            for objects in args.objects:
                prompt = prompt_for(truth, objects)
                with TemporaryDirectory() as folder:
                    clip = Path(folder) / 'clip.npz'
                    np.savez(
                        clip,
                        images=np.stack([frame.image for frame in frames]),
                        stamps=np.array([frame.stamp_ns for frame in frames]),
                        labels=prompt.label_map,
                    )
                    old, new = measure(ways, clip, len(frames), args.threads)
                ms = [percentiles(one['ms']) for one in (old, new)]
                shares = [round(float(np.mean(one['found'])), 3) for one in (old, new)]
                ratios = [f'{ms[1][name] / ms[0][name]:.2f}' for name in ('p50', 'p95', 'p99')]
                name = f'{Path(root).name}/{sequence.name}'
                p50 = [f'{one["p50"]:.1f}' for one in ms]
                rows.append([name, objects, *p50, *ratios, *(f'{share:.3f}' for share in shares)])
                raw[f'{name}, objects={objects}'] = {
                    which: {'ms': one, 'found': share}
                    for which, one, share in zip(('older', 'this'), ms, shares)
                }
                print(*rows[-1], flush=True)
    head = ['sequence', 'objects', 'older, p50 ms', 'this, p50 ms', 'ratio of p50', 'of p95']
    head += ['of p99', 'older found', 'this found']
    text = (
        f'Commit {commit} with {args.older_model} beside this one with {args.model}, first '
        f'{args.frames} frames, {args.threads} threads, memorising included, blocks of {BLOCK} '
        'frames in turns; found: mean share of the picture.\n\n' + table(head, rows)
    )
    data = ' '.join(f'--davis DATA/{Path(root).name}' for root in args.davis)
    line = f'python benchmarks since --older DIR --older-model {args.older_model} {data}'
    print(save('since', line, text, {'older': commit, 'rows': raw}))
    return 0
