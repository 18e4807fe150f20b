# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
This project beside other segmenters on one machine, in one run, taking turns.

python benchmarks peers --python PEERS_PYTHON [--cutie DIR] [--aot DIR] [--livos DIR]
    [--efficienttam DIR] [--edgetam DIR] [--sam2 DIR] [--only PEER ...] [--objects K ...]
    [--model M ...] [--davis ROOT --sequence NAME]

The peers' sources are yours, clones from github.com:

    --cutie         hkchengrex/Cutie          Cutie-small; needs omegaconf
    --aot           yoxu515/aot-benchmark     AOT-T, DeAOT-T
    --livos         uncbiag/LiVOS             LiVOS; needs hydra-core
    --efficienttam  yformer/EfficientTAM      EfficientTAM-Ti for 512x512; needs hydra-core, iopath
    --edgetam       facebookresearch/EdgeTAM  EdgeTAM; needs hydra-core, iopath, timm, torchvision
    --sam2          facebookresearch/sam2     SAM 2.1-tiny; needs hydra-core, iopath

and a Python that has torch, einops, pillow, tqdm and those. Nothing of them is part of this
project. Weights are random, so this is about time only: 480x854, from the image in memory to
labels of every pixel, memory update included. The peers run eagerly in torch, as they are
published, and are helped where it costs nothing: images are floats already, resized for those that
see a size of their own (AOT-T, DeAOT-T, EfficientTAM, EdgeTAM, SAM 2.1), and malloc is set to keep
its pages (it halves their time). Ours start from bytes.

SAM 2.1 takes seconds a frame, a third of a run: --only and --objects leave out. It, EdgeTAM,
EfficientTAM and LiVOS step fewer frames a turn: once their memory is full, each costs the same.

The object of the demo's clip covers a fifth of the picture. Ours is quicker where objects are
smaller (`memory.windowed`), the peers are not: --davis takes a sequence of a data set instead.

That compares model and runtime together. AOT-T, the nearest of them, also runs as a graph on
onnxruntime (`aott-onnx`, see peer_export.py), as ours do, where the peers' Python has onnx and
onnxruntime too. Its labels are compared with those of its sources before it is timed.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
import subprocess
import sys
import tempfile
from typing import Any

import numpy as np
from record import parse_args, percentiles, save, table
from workload import ask, block, Clip, costs_of, fit_clip, prompt_for, read_clip, start, turns

from vos_ros.config import RuntimeConfig, SegmenterConfig
from vos_ros.engine.segmenter import VideoSegmenter
from vos_ros.errors import VosError

CAMERA = (480, 854)
OBJECTS = (1, 3, 5)
BLOCK = 5  # frames in a row: Cutie memorises every 5th
STEADY_BLOCK = 2  # where each frame costs the same
CLIP = 40
MOST_DIFFERING = 1e-4  # share of a frame's pixels, ties apart, that an export may label otherwise
#: Keeps freed memory in the process; without it, torch asks the system for every tensor.
TUNED = {
    'MALLOC_MMAP_THRESHOLD_': '1073741824',
    'MALLOC_TRIM_THRESHOLD_': '1073741824',
    'MALLOC_TOP_PAD_': '268435456',
}


class Peer:
    """Another segmenter in a process of its own."""

    #: Frames of a turn, and the most before the first.
    block, most_before = BLOCK, CLIP

    def __init__(self, name: str, source: Path, clip: Path, args: argparse.Namespace) -> None:
        command = [args.python, str(Path(__file__).with_name('peer_worker.py')), name]
        command += [str(source), str(clip), '--threads', str(args.threads)]
        command += ['--device', args.device]
        self.name = name
        self.notes: list[str] = []
        self._process = subprocess.Popen(
            command,
            env=os.environ | TUNED | {'OMP_NUM_THREADS': str(args.threads)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, command: str) -> dict[str, Any]:
        """Send one command and return the answer; VosError when the process has died."""
        return ask(self._process, self.name, command)

    def begin(self, objects: int, warm_up: int) -> None:
        """Prompt it, and step until its memory is full."""
        size = self.ask(f'start {objects}')['parameters']
        note = f'{self.name}: {size / 1e6:.1f} million parameters'
        if note not in self.notes:
            self.notes.append(note)
        made = self.ask(f'run {min(warm_up, self.most_before)}')
        if tuple(made['size']) != CAMERA:
            raise VosError(f'{self.name} gives masks of {made["size"]}, not {list(CAMERA)}')

    def run(self, clip: Clip, number: int) -> list[float]:
        """Return ms of one block."""
        times: list[float] = self.ask(f'run {self.block}')['ms']
        return times

    def close(self) -> None:
        """End the process."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()


class SteadyPeer(Peer):
    """SAM 2 or what grew from it: full after 16 frames, 7 of which it remembers as maps."""

    block, most_before = STEADY_BLOCK, 16


class ConstantPeer(SteadyPeer):
    """LiVOS, whose memory has one size from the first frame on."""

    most_before = 4


class SlowPeer(SteadyPeer):
    """Takes seconds, so it begins with half of its pointers: 32 of 28 736 cells are missing."""

    block, most_before = 1, 8


class ExportedPeer(Peer):
    """A peer as a graph, which is not timed unless it does what its sources do."""

    def begin(self, objects: int, warm_up: int) -> None:
        """Compare labels, then begin as the others do."""
        found = self.ask(f'check {objects}')
        note = (
            f'{self.name} objects={objects}: {found["differ"]:.4%} of the pixels get another '
            f'label than from the sources, {found["clearly"]:.4%} where those see no tie (worst '
            f'frame; the commonest label covers {found["largest"]:.0%})'
        )
        if found['clearly'] > MOST_DIFFERING:
            raise VosError(f'not timed, as it is not what it stands for: {note}')
        print(note, flush=True)
        self.notes.append(note)
        super().begin(objects, warm_up)


class Ours:
    """A model of this project on one backend."""

    def __init__(self, model: str, runtime: RuntimeConfig) -> None:
        self._segmenter = VideoSegmenter.open(model, config=SegmenterConfig(), runtime=runtime)
        made = self._segmenter
        self.name = f'{made.manifest.name} {made.backend_name} {made.precision}'
        self._clip: Clip | None = None

    def begin(self, clip: Clip, objects: int) -> None:
        """Prompt it."""
        start(self._segmenter, clip, objects)

    def run(self, clip: Clip, number: int) -> list[float]:
        """Return ms of one block, memorising included."""
        return [cost.step for cost in costs_of(self._segmenter, block(clip, number, BLOCK))]

    def close(self) -> None:
        """Nothing to end."""


def open_ours(args: argparse.Namespace) -> list[Ours]:
    """Open the models on the processor, and on OpenVINO where it is there."""
    kinds = [('cpu', 'auto'), ('openvino', 'fp32'), ('openvino', 'bf16')]
    if args.device == 'cuda':
        kinds = [('cuda', 'auto'), ('tensorrt', 'auto')]
    wanted = [(model, *kind) for kind in kinds for model in args.model]
    found = []
    for model, backend, precision in wanted:
        runtime = RuntimeConfig(backend=backend, precision=precision, threads=args.threads)
        try:
            found.append(Ours(model, runtime))
        except VosError as error:
            print(f'left out: {error}')
    return found


#: Name -> kind, and the option that has its sources.
PEERS: dict[str, tuple[type[Peer], str]] = {
    'cutie-small': (Peer, 'cutie'),
    'aott': (Peer, 'aot'),
    'aott-onnx': (ExportedPeer, 'aot'),
    'deaott': (Peer, 'aot'),
    'livos': (ConstantPeer, 'livos'),
    'efficienttam-ti-512': (SteadyPeer, 'efficienttam'),
    'edgetam': (SteadyPeer, 'edgetam'),
    'sam2.1-tiny': (SlowPeer, 'sam2'),
}
SOURCES = {option: None for _, option in PEERS.values()}  # each once, in their order


def wanted_peers(args: argparse.Namespace) -> list[str]:
    """Return those whose sources were given, or those of them that --only names."""
    found = [name for name, (_, option) in PEERS.items() if getattr(args, option) is not None]
    if args.only:
        without = [name for name in args.only if name not in found]
        if without:
            raise VosError(f'--only {" ".join(without)}: give --{PEERS[without[0]][1]} DIR, too')
        found = [name for name in found if name in args.only]
    if 'aott-onnx' in found and not (args.device == 'cpu' and can_export(args)):
        found.remove('aott-onnx')
    if not found:
        options = ', '.join(f'--{option} DIR' for option in SOURCES)
        raise VosError(f'no peer: give the sources of one ({options})')
    return found


def open_peers(args: argparse.Namespace, names: list[str], clip: Path) -> list[Peer]:
    """Start them."""
    wanted = [(name, *PEERS[name]) for name in names]
    return [kind(name, getattr(args, option), clip, args) for name, kind, option in wanted]


def can_export(args: argparse.Namespace) -> bool:
    """Return whether the peers' Python can make and run a graph; say so where it is wanted."""
    command = [args.python, '-c', 'import onnx, onnxruntime']
    tried = subprocess.run(command, capture_output=True, text=True)
    if tried.returncode:
        reason = (tried.stderr.strip() or 'nothing').splitlines()[-1]
        print(f'left out: aott-onnx, as {args.python} says {reason!r}; install onnx, onnxruntime')
    return not tried.returncode


def write_clip(path: Path, clip: Clip) -> None:
    """Write what peer_worker.py reads."""
    labels = {f'labels_{k}': prompt_for(clip[1], k).label_map for k in OBJECTS}
    np.savez(path, frames=np.stack([frame.image for frame in clip[0]]), **labels)


def main() -> int:
    """Measure, print and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('--model', nargs='+', default=[RuntimeConfig().model])
    parser.add_argument('--python', default=sys.executable, help='interpreter for the peers')
    for option in SOURCES:
        of = ', '.join(name for name, (_, its) in PEERS.items() if its == option)
        parser.add_argument(f'--{option}', type=Path, metavar='DIR', help=f'sources of {of}')
    parser.add_argument('--only', nargs='+', default=[], choices=PEERS, help='of the peers')
    parser.add_argument('--objects', nargs='+', type=int, default=[*OBJECTS], choices=OBJECTS)
    parser.add_argument('--davis', default='', help='data set; else the clip of the demo')
    parser.add_argument('--sequence', default='', help='of the data set; else its first')
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--device', default='cpu', choices=('cpu', 'cuda'), help='of all of them')
    parser.add_argument('--rounds', type=int, default=5, help='blocks of each')
    parser.add_argument('--warm-up', type=int, default=26, help='frames before, of the peers')
    args = parse_args(parser)
    try:
        names = wanted_peers(args)
    except VosError as error:
        parser.error(str(error))

    clip = fit_clip(read_clip(args.davis, args.sequence, CLIP), CAMERA)
    share = float(np.count_nonzero(clip[1])) / clip[1].size
    seen = (args.sequence or Path(args.davis).name) if args.davis else 'demo'
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'clip.npz'
        write_clip(path, clip)
        ours, peers = open_ours(args), open_peers(args, names, path)
        try:
            rows, raw = measure(ours, peers, clip, args)
        except VosError as error:
            print(error, file=sys.stderr)
            return 1
        finally:
            for runner in (*ours, *peers):
                runner.close()
    text = (
        f'Clip: {seen}, objects cover {share:.0%} of its first picture. '
        f'480x854, {args.threads} threads, labels of every pixel, memory update included; blocks '
        f'of {BLOCK} frames in turns, {args.rounds} rounds, peers after {args.warm_up} frames'
        + ''.join(
            f'; {peer.name} {peer.block} a turn, after {min(args.warm_up, peer.most_before)}'
            for peer in peers
            if isinstance(peer, SteadyPeer)
        )
        + '. Random weights for the peers, torch eager but for aott-onnx, malloc tuned in their '
        'favour. The last columns: how many times as fast as that peer, median over rounds.\n\n'
        + table(['objects', 'what', 'p50 ms', 'p95 ms', *(f'x {p.name}' for p in peers)], rows)
    )
    notes = [note for peer in peers for note in peer.notes]
    text += '\n' + ''.join(f'\n- {note}' for note in notes)
    print(text)
    sources = [f'--{option} DIR' for option in SOURCES if getattr(args, option)]
    command = ['python benchmarks peers --model', *args.model, *sources]
    if args.only:
        command += ['--only', *args.only]
    if args.objects != [*OBJECTS]:
        command += ['--objects', *map(str, args.objects)]
    if args.davis:
        command += [f'--davis DATA/{Path(args.davis).name}', f'--sequence {args.sequence}']
    command += ['--rounds', str(args.rounds)]
    name = f'peers-{seen}' if args.davis else 'peers'
    print(save(name, ' '.join(command), text, {'variants': raw}))
    return 0


def measure(
    ours: list[Ours], peers: list[Peer], clip: Clip, args: argparse.Namespace
) -> tuple[list[list[object]], dict[str, Any]]:
    """Return rows of the table and all times."""
    rows: list[list[object]] = []
    raw: dict[str, Any] = {}
    for objects in args.objects:
        for own in ours:
            own.begin(clip, objects)
        for peer in peers:
            peer.begin(objects, args.warm_up)
        times: dict[str, list[list[float]]] = {runner.name: [] for runner in (*ours, *peers)}
        for number in range(args.rounds):
            for runner in turns([*ours, *peers], number):
                times[runner.name].append(runner.run(clip, number))
        # Means of blocks: Cutie pays for its memory on every 5th frame.
        blocks = {name: np.array(seen).mean(axis=1) for name, seen in times.items()}
        for name, seen in times.items():
            summary = percentiles(np.ravel(seen).tolist())
            ratios = {p.name: float(np.median(blocks[p.name] / blocks[name])) for p in peers}
            cells = [f'{summary["p50"]:.1f}', f'{summary["p95"]:.1f}']
            rows.append([objects, name, *cells, *(f'{ratio:.2f}' for ratio in ratios.values())])
            raw[f'{name} objects={objects}'] = {
                **summary,
                'mean_of_blocks': round(float(np.median(blocks[name])), 2),
                'times_as_fast': {peer: round(ratio, 3) for peer, ratio in ratios.items()},
            }
            print(*rows[-1], flush=True)
    return rows, raw


if __name__ == '__main__':
    sys.exit(main())
