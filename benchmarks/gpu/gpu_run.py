# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Everything that waits for a GPU, in one run: is it right, how fast is it, how far from the floor.

python benchmarks gpu_run [--backends cuda tensorrt] [--objects 1 3 5 10] [--cameras WxH ...]

For every camera, number of objects, backend and precision: labels beside those of the processor in
fp32, and only where they agree p50, p95 and p99 of a frame, as three graphs and as one, taking
turns. Beside it the floor: multiply-adds at the best rate that a product or convolution reaches on
that backend through onnxruntime, and bytes at the bandwidth of an addition, operator by operator
(as `benchmarks roofline`). Then the peers whose sources are given, and the trainer for two minutes
with the share of the time in which it waited for clips. On a bare machine: benchmarks/gpu/bare.py.
"""

from __future__ import annotations

import argparse
from contextlib import suppress
import csv
import importlib
from pathlib import Path
import subprocess
import sys
import tempfile
from time import perf_counter
from typing import Any, NamedTuple

from engine.roofline import exported_convolutions, make_feeds, one_node, operators_of, PROBES
import numpy as np
import onnxruntime as ort
from record import DRAFT, parse_args, percentiles, save, table
from workload import block, Clip, costs_of, fit_clip, prompt_for, read_clip, start, turns

from vos_ros.backends import BACKENDS, load_manifest
from vos_ros.backends.base import GRAPHS
from vos_ros.backends.cuda_backend import cuda_provider
from vos_ros.backends.frame_graph import layout_of
from vos_ros.backends.onnx_backend import CPU, Provider, session_options
from vos_ros.backends.tensorrt_backend import TENSORRT
from vos_ros.config import MemoryConfig, RedetectConfig, RuntimeConfig, SegmenterConfig
from vos_ros.engine.one_graph import OneGraphSegmenter, TOLERANCE
from vos_ros.engine.segmenter import VideoSegmenter
from vos_ros.errors import VosError

ROOT = Path(__file__).resolve().parents[2]
BLOCK = 10  # frames in a row of one form, after one that is not counted
CLIP = 60
RECIPE = 'training/recipes/fast_mb_slim_undistilled.yaml'
HEAD = (
    *('camera', 'objects', 'backend', 'labels that differ', 'form'),
    *('p50 ms', 'p95 ms', 'p99 ms', 'floor: products', 'floor: all', 'copies a frame'),
)


class Case(NamedTuple):
    """One model folder, made for a camera and a number of objects."""

    folder: Path
    camera: tuple[int, int]
    objects: int


def make_cases(args: argparse.Namespace, scratch: Path) -> list[Case]:
    """Return the models with one graph; make those that are not there yet."""
    found = []
    for camera in args.cameras:
        width, height = (int(part) for part in camera.split('x'))
        for objects in args.objects:
            name = f'{Path(args.model).name}-{camera}-{objects}'
            folder = (args.models or scratch) / name
            if not (folder / 'manifest.json').is_file():
                print(f'making {folder}', flush=True)
                made = [sys.executable, '-m', 'vos_distill.cli', 'one-graph', args.model]
                made += ['--camera', camera, '--objects', str(objects), '--out', str(folder)]
                subprocess.run(made, check=True)
            found.append(Case(folder, (height, width), objects))
    return found


def runtimes(names: list[str]) -> list[RuntimeConfig]:
    """Return every backend in every precision that it has."""
    return [
        RuntimeConfig(backend=name, precision=precision)
        for name in names
        for precision in reversed(BACKENDS[name].precisions)
    ]


def labels_of(segmenter: VideoSegmenter, clip: Clip, objects: int, frames: int) -> list[Any]:
    """Follow the first frames of a clip."""
    first, *rest = clip[0][:frames]
    segmenter.step(first, prompt_for(clip[1], objects))
    return [segmenter.step(frame).label_map for frame in rest]


def differing(found: list[Any], expected: list[Any]) -> float:
    """Return the share of the pixels whose labels differ, over all frames."""
    return float(np.mean([(a != b).mean() for a, b in zip(found, expected)]))


def provider_list(runtime: RuntimeConfig) -> list[Provider]:
    """Return what a probe of this machine runs on."""
    providers: list[Provider] = [(CPU, {})]
    if runtime.backend in ('cuda', 'tensorrt'):
        providers.insert(0, cuda_provider(runtime.device_id))
    if runtime.backend == 'tensorrt':
        fp16 = str(int(runtime.precision == 'fp16'))
        providers.insert(0, (TENSORRT, {'trt_fp16_enable': fp16}))
    return providers


def rates_of(runtime: RuntimeConfig, rounds: int) -> tuple[float, float]:
    """Measure the best rate, G operations/s, and the bandwidth, GB/s; buffers on the device."""
    device = 'cpu' if runtime.backend == 'cpu' else 'cuda'
    rates, bands = [0.0], [0.0]
    for operator, shapes, weights, pads, operations, moved in PROBES.values():
        session = ort.InferenceSession(
            one_node(operator, shapes, weights, pads),
            session_options((480, 848), runtime.threads),
            providers=provider_list(runtime),
        )
        binding = session.io_binding()
        for i, shape in enumerate(shapes):
            if i not in weights:
                ones = np.ones(shape, np.float32)
                value = ort.OrtValue.ortvalue_from_numpy(ones, device, runtime.device_id)
                binding.bind_ortvalue_input(f'x{i}', value)
        binding.bind_output('y', device, runtime.device_id)
        best = np.inf
        for _ in range(rounds):
            began = perf_counter()
            session.run_with_iobinding(binding)  # ends when the device has finished
            best = min(best, perf_counter() - began)
        rates.append(operations / best / 1e9)
        bands.append(moved / best / 1e9)
    return max(rates), max(bands)


def work_of(case: Case) -> list[tuple[int, int]]:
    """Return multiply-adds and bytes of every operator of a frame, by the three graphs."""
    manifest = load_manifest(case.folder)
    size = layout_of(manifest).input_size
    feeds = make_feeds(manifest, size, case.objects)
    found = []
    for graph in GRAPHS:
        path = manifest.graphs[graph].path
        exported, _ = exported_convolutions(path, size, feeds)
        operators = operators_of(path, size, 1, feeds, 1, exported)
        found += [(operator.macs, operator.moved) for operator in operators]
    return found


def floors_of(
    work: list[tuple[int, int]], peak: float, band: float, precision: str
) -> list[float]:
    """Return ms: of the products alone, and of the slower of products and bytes of each part."""
    share = 0.5 if precision == 'fp16' else 1.0  # of the bytes
    products = sum(2 * macs / peak for macs, _ in work)
    both = sum(max(2 * macs / peak, share * moved / band) for macs, moved in work)
    return [products / 1e6, both / 1e6]


def config_of(case: Case) -> SegmenterConfig:
    """Return how all forms segment: one graph has no redetect nor windows; all do the same."""
    return SegmenterConfig(
        max_objects=case.objects,
        memory=MemoryConfig(windowed=False),
        redetect=RedetectConfig(enabled=False),
    )


def measure(
    case: Case,
    runtime: RuntimeConfig,
    expected: list[Any],
    clip: Clip,
    floors: list[float],
    args: argparse.Namespace,
) -> tuple[list[list[object]], dict[str, Any]]:
    """Compare, then time both forms; rows of the table and figures."""
    config = config_of(case)
    size = f'{case.camera[1]}x{case.camera[0]}'
    head = [size, case.objects, f'{runtime.backend} {runtime.precision}']
    forms: dict[str, VideoSegmenter] = {}
    for name, kind in (('three graphs', VideoSegmenter), ('one graph', OneGraphSegmenter)):
        forms[name] = kind.open(case.folder, config=config, runtime=runtime)
    raw: dict[str, Any] = {'floor_ms': floors}
    for name, segmenter in forms.items():
        found = labels_of(segmenter, clip, case.objects, args.parity_frames)
        raw[name] = {'differ': differing(found, expected)}
        if raw[name]['differ'] > TOLERANCE[runtime.precision]:
            raise VosError(
                f'{" ".join(map(str, head))}, {name}: {raw[name]["differ"]:.2%} of the labels are '
                'not those of the processor; not timed'
            )
    times: dict[str, list[float]] = {name: [] for name in forms}
    for segmenter in forms.values():
        start(segmenter, clip, case.objects)
        costs_of(segmenter, clip[0][:BLOCK])  # the first frames build what is built once
    for number in range(max(1, args.frames // BLOCK)):
        for name in turns(list(forms), number):
            start(forms[name], clip, case.objects)
            costs = costs_of(forms[name], block(clip, number, BLOCK))
            times[name] += [cost.step for cost in costs]
    rows = []
    for name, segmenter in forms.items():
        raw[name]['step_ms'] = found_ms = percentiles(times[name])
        copies = '-'
        if isinstance(segmenter, OneGraphSegmenter) and segmenter.graph is not None:
            counted = segmenter.graph.copies
            before = counted.to_device + counted.to_host
            segmenter.segment(clip[0][2])
            segmenter.memorize()
            copies = str(counted.to_device + counted.to_host - before)
            raw[name] |= {'whole_frames': segmenter.whole_frames, 'copies': int(copies)}
        ms = [f'{found_ms[key]:.2f}' for key in ('p50', 'p95', 'p99')]
        share = f'{raw[name]["differ"]:.1e}'
        ms += [f'{floor:.2f}' for floor in floors]
        rows.append([*head, share, name, *ms, copies])
    return rows, raw


def train(args: argparse.Namespace, scratch: Path) -> str:
    """Run the trainer on drawn data; say how much of the time it waited for clips."""
    command = [sys.executable, '-m', 'vos_distill.cli']
    subprocess.run([*command, 'data', 'make', str(scratch / 'drawn')], check=True)
    run = scratch / 'run'
    subprocess.run(
        [
            *(*command, 'train', str(args.recipe), '--data', str(scratch / 'drawn' / 'train')),
            *('--run', str(run), '--minutes', str(args.train_minutes)),
            *('--init', str(load_manifest(args.model).folder)),
        ],
        check=True,
    )
    with (run / 'metrics.csv').open(newline='') as file:
        rows = list(csv.DictReader(file))
    if not rows:
        return f'`vos-distill train`: no step was logged within {args.train_minutes:g} minutes'
    return (
        f'`vos-distill train {args.recipe.name}`, {args.train_minutes:g} minutes on drawn data: '
        f'{float(rows[-1]["rate"]):.2f} steps/s, waited for clips in '
        f'{float(rows[-1]["data_wait"]):.0%} of the time'
    )


def peers(args: argparse.Namespace) -> str:
    """Run the peers whose sources were given, on the device; its own section has the table."""
    sources = [(f'--{n}', getattr(args, n)) for n in ('cutie', 'aot') if getattr(args, n)]
    if not sources:
        return 'Peers: not run, as no sources were given (`--cutie DIR`, `--aot DIR`).'
    device = 'cpu' if args.backends == ['cpu'] else 'cuda'
    line = ['peers', '--device', device, '--python', args.peers_python]
    for name, folder in sources:
        line += [name, str(folder)]
    line += [DRAFT] if args.draft else []
    done = subprocess.run([sys.executable, str(ROOT / 'benchmarks'), *line])
    return 'Peers: section peers.' if not done.returncode else 'Peers: failed, see above.'


def load_libraries() -> None:
    """Load CUDA, cuDNN and TensorRT from wheels, where they were installed so."""
    if hasattr(ort, 'preload_dlls'):
        ort.preload_dlls()
    with suppress(ImportError):
        importlib.import_module('tensorrt_libs')  # loads them


def main() -> int:
    """Measure, print and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('--model', default=RuntimeConfig().model)
    parser.add_argument('--models', type=Path, help='folder with those made before, or to keep')
    parser.add_argument('--backends', nargs='+', choices=('cpu', 'cuda', 'tensorrt'))
    parser.add_argument('--cameras', nargs='+', default=['854x480', '1280x720'], metavar='WxH')
    parser.add_argument('--objects', type=int, nargs='+', default=[1, 3, 5, 10])
    parser.add_argument('--frames', type=int, default=300, help='timed, of each form')
    parser.add_argument('--parity-frames', type=int, default=30)
    parser.add_argument('--train-minutes', type=float, default=2.0, help='0 = leave it out')
    parser.add_argument('--recipe', type=Path, default=ROOT / RECIPE, help='to train by')
    parser.add_argument('--cutie', type=Path, help='sources of Cutie')
    parser.add_argument('--aot', type=Path, help='sources of aot-benchmark')
    parser.add_argument('--peers-python', default=sys.executable)
    args = parse_args(parser)
    if args.backends != ['cpu']:
        load_libraries()
    here = {'tensorrt': TENSORRT, 'cuda': 'CUDAExecutionProvider', 'cpu': CPU}
    if not args.backends:
        args.backends = [
            name for name in ('cuda', 'tensorrt') if here[name] in ort.get_available_providers()
        ]
    if not args.backends:
        print('this onnxruntime has no provider for a GPU; --backends cpu tries the script')
        return 1

    rows: list[list[object]] = []
    raw: dict[str, Any] = {}
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        cases = make_cases(args, Path(folder))
        wanted = runtimes(args.backends)
        rates = {runtime: rates_of(runtime, 2 + args.frames // 10) for runtime in wanted}
        for case in cases:
            clip = fit_clip(read_clip('', '', CLIP), case.camera)
            reference = VideoSegmenter.open(
                case.folder,
                config=config_of(case),
                runtime=RuntimeConfig(backend='cpu', precision='fp32'),
            )
            expected = labels_of(reference, clip, case.objects, args.parity_frames)
            work = work_of(case)
            for runtime in wanted:
                floors = floors_of(work, *rates[runtime], runtime.precision)
                try:
                    made, figures = measure(case, runtime, expected, clip, floors, args)
                except VosError as error:
                    failed.append(str(error))
                    print(f'failed: {error}', flush=True)
                    continue
                rows += made
                raw[f'{case.folder.name} {runtime.backend} {runtime.precision}'] = figures
                print(table(HEAD, made), flush=True)
        machine = [
            [f'{r.backend} {r.precision}', f'{peak:.0f}', f'{band:.0f}']
            for r, (peak, band) in rates.items()
        ]
        lines = [peers(args)]
        if args.train_minutes > 0:
            lines.append(train(args, Path(folder)))
    left_out = [name for name in ('cuda', 'tensorrt') if name not in args.backends]
    lines += [f'{name}: not run.' for name in left_out] + [f'Failed: {line}' for line in failed]
    text = '\n\n'.join(
        (
            f'Model {Path(args.model).name}. A frame with memorising, from the image in memory to '
            f'labels at its size; both forms take turns, {args.frames} frames each. Labels are '
            f'compared over {args.parity_frames} frames with the processor in fp32.',
            table(HEAD, rows),
            table(['on', 'best rate, G operations/s', 'bandwidth, GB/s'], machine),
            *lines,
        )
    )
    print(text)
    command = f'python benchmarks gpu_run --backends {" ".join(args.backends)}'
    print(save('gpu', command, text, {'variants': raw, 'failed': failed}))
    return 1 if failed or not rows else 0


if __name__ == '__main__':
    sys.exit(main())
