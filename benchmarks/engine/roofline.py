# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
How near the three graphs come to what this machine can do.

python benchmarks roofline [--model M ...] [--size H W] [--objects K] [--threads N ...]

Two roofs, both measured here through onnxruntime with the settings of the runtime:

* the best rate of a large convolution or matrix product (two operations per multiply-add), and
* per operator the larger of operations / that rate and bytes / the bandwidth of a large addition:
  a depthwise convolution or an addition can never reach the first roof.

Operations are counted from the shapes of the unoptimised graph, so that no padding of channels
counts as work; bytes are inputs, weights and outputs once each. Times per operator are from
onnxruntime's profiler, which costs a little itself; the totals are measured without it. Needs the
package onnx (`make test` installs it).
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
import json
import math
from pathlib import Path
import sys
import tempfile
from time import perf_counter
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper, TensorProto
import onnxruntime as ort
from record import parse_args, save, table

from vos_ros.backends import load_manifest
from vos_ros.backends.base import GRAPHS, Manifest, object_shapes
from vos_ros.backends.onnx_backend import CPU, session_options
from vos_ros.config import RuntimeConfig
from vos_ros.datatypes import Float

SIZE = (480, 848)
#: Only other names for the same bytes, or the optimiser's own copies.
MOVES_NOTHING = ('Reshape', 'Unsqueeze', 'Squeeze', 'Shape', 'ReorderInput', 'ReorderOutput')
Feeds = Mapping[str, Float]


@dataclass
class Operator:
    """
    One node of the optimised graph.

    :param ms: the fastest of all runs; what else the machine does only adds.
    :param macs: multiply-adds that the exported graph asks for here.
    :param moved: bytes of inputs, weights and outputs; 0 where nothing has to move.
    """

    name: str
    kind: str
    ms: float
    macs: int
    moved: int


def shapes_of(entries: list[dict[str, list[int]]]) -> list[list[int]]:
    """Read the shapes in one event of the profiler."""
    return [next(iter(entry.values())) for entry in entries]


def macs_of(event: dict[str, Any]) -> int:
    """Count the multiply-adds of a convolution or matrix product; 0 = something else."""
    args = event['args']
    ins, outs = shapes_of(args['input_type_shape']), shapes_of(args['output_type_shape'])
    if args['op_name'] in ('Conv', 'FusedConv', 'QLinearConv'):
        weight = ins[3] if args['op_name'] == 'QLinearConv' else ins[1]
        return math.prod(outs[0]) * math.prod(weight[1:])
    if args['op_name'] in ('MatMul', 'FusedMatMul', 'Gemm'):
        # What is summed over is in both inputs and not in the output.
        pairs = math.prod(ins[0][-2:]) * math.prod(ins[1][-2:])
        inner = math.isqrt(pairs // math.prod(outs[0][-2:]))
        return math.prod(outs[0]) * inner
    return 0


def kind_of(event: dict[str, Any]) -> str:
    """Name the kind of an operator as the table shows it."""
    args = event['args']
    name: str = args['op_name']
    if name not in ('Conv', 'FusedConv'):
        return name.removeprefix('Fused')
    ins = shapes_of(args['input_type_shape'])
    _, inner, *kernel = ins[1]
    if inner == 1 and ins[0][1] > 1:
        return 'Conv depthwise'
    return f'Conv {kernel[0]}x{kernel[1]}'


def open_graph(path: Path, options: ort.SessionOptions) -> ort.InferenceSession:
    """Open one graph on the processor."""
    return ort.InferenceSession(str(path), options, providers=[CPU])


def run_profiled(
    path: Path, size: tuple[int, int], threads: int, feeds: Feeds, *, runs: int, optimise: bool
) -> list[list[dict[str, Any]]]:
    """Run a graph and return the profiler's events, one list per node."""
    with tempfile.TemporaryDirectory() as folder:
        options = session_options(size, threads)
        options.enable_profiling = True
        options.profile_file_prefix = f'{folder}/profile'
        if not optimise:
            level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
            options.graph_optimization_level = level
        session = open_graph(path, options)
        names = [node.name for node in session.get_inputs()]
        for _ in range(runs):
            session.run(None, {name: feeds[name] for name in names})
        events = json.loads(Path(session.end_profiling()).read_text())
    nodes: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for event in events:
        if event.get('cat') == 'Node' and event['name'].endswith('_kernel_time'):
            nodes[event['args']['node_index']].append(event)
    return list(nodes.values())


def exported_convolutions(
    path: Path, size: tuple[int, int], feeds: Feeds
) -> tuple[dict[str, dict[str, Any]], int]:
    """
    Run a graph as it was exported.

    :return: the events of its convolutions by every name that the optimised node may have, for
        that one may work on padded channels; the multiply-adds of the whole graph.
    """
    nodes = run_profiled(path, size, 1, feeds, runs=1, optimise=False)
    events = {e[0]['name'].removesuffix('_kernel_time'): e[0] for e in nodes}
    graph = onnx.load(str(path)).graph
    readers: dict[str, list[Any]] = defaultdict(list)
    for node in graph.node:
        for name in node.input:
            readers[name].append(node)
    found = {}
    for node in graph.node:
        if node.op_type != 'Conv':
            continue
        found[node.name] = events[node.name]
        # It takes the name of its output, or that of the activation it was fused with.
        output = node.output[0]
        found[f'{output}_nchwc'] = events[node.name]
        while len(readers[output]) == 1:
            output = readers[output][0].output[0]
            found.setdefault(f'{output}_nchwc', events[node.name])
            if readers[output] and readers[output][0].op_type == 'Conv':
                break
    return found, sum(macs_of(event) for event in events.values())


def operators_of(
    path: Path,
    size: tuple[int, int],
    threads: int,
    feeds: Feeds,
    runs: int,
    exported: Mapping[str, dict[str, Any]],
) -> list[Operator]:
    """Measure every operator of the optimised graph."""
    found = []
    for events in run_profiled(path, size, threads, feeds, runs=runs, optimise=True):
        name = events[0]['name'].removesuffix('_kernel_time')
        event = exported.get(name, events[0])
        args, kind = event['args'], kind_of(event)
        moved = sum(int(args[f'{what}_size']) for what in ('activation', 'parameter', 'output'))
        fastest = min(event['dur'] for event in events) / 1e3
        found.append(
            Operator(name, kind, fastest, macs_of(event), 0 if kind in MOVES_NOTHING else moved)
        )
    return found


def make_feeds(manifest: Manifest, size: tuple[int, int], objects: int) -> Feeds:
    """Make inputs of the right shapes for all three graphs."""
    rng = np.random.default_rng(0)

    def noise(shape: tuple[int, ...]) -> Float:
        return rng.random(shape, dtype=np.float32)

    image = noise((1, 3, *size))
    session = open_graph(manifest.graphs['encode_image'].path, session_options(size, 1))
    names = [node.name for node in session.get_outputs()]
    made = dict(zip(names, session.run(names, {'image': image})))
    key = made['key'].reshape(manifest.key_dim, -1)
    feeds = {'image': image, **made, 'memory_key': np.stack([key, key])}
    for shapes in object_shapes(manifest, size, objects).values():
        feeds |= {name: noise(shape) for name, shape in shapes.items()}
    return feeds


def times_ms(runs: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Run each in turn and return all times."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            began = perf_counter()
            run()
            times[name].append(1e3 * (perf_counter() - began))
    return times


def one_node(operator: str, shapes: list[tuple[int, ...]], weights: set[int], pads: int) -> bytes:
    """
    Return an ONNX model of one operator with float inputs of fixed shapes.

    :param weights: which inputs are constants in the model.
    :param pads: of a convolution; 0 = none.
    """
    rng = np.random.default_rng(0)
    names = [f'x{i}' for i in range(len(shapes))]
    options = {'pads': [pads] * 4} if pads else {}
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in zip(names, shapes)
    ]
    constants = [
        numpy_helper.from_array(rng.standard_normal(shapes[i], dtype=np.float32), names[i])
        for i in sorted(weights)
    ]
    graph = helper.make_graph(
        [helper.make_node(operator, names, ['y'], **options)],
        operator,
        [value for i, value in enumerate(values) if i not in weights],
        [helper.make_tensor_value_info('y', TensorProto.FLOAT, None)],
        constants,
    )
    opset = [helper.make_opsetid('', 17)]
    made: bytes = helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()
    return made


#: name -> operator, shapes, which are weights, padding, operations, bytes
PROBES: dict[str, tuple[str, list[tuple[int, ...]], set[int], int, float, float]] = {
    'product 1024': ('MatMul', [(1024, 1024)] * 2, {1}, 0, 2 * 1024**3, 0),
    'product 2048': ('MatMul', [(2048, 2048)] * 2, {1}, 0, 2 * 2048**3, 0),
    'conv 3x3 256ch 60x106': (
        *('Conv', [(1, 256, 60, 106), (256, 256, 3, 3)], {1}, 1),
        *(2 * 60 * 106 * 256 * 256 * 9, 0),
    ),
    'conv 3x3 64ch 120x212': (
        *('Conv', [(1, 64, 120, 212), (64, 64, 3, 3)], {1}, 1),
        *(2 * 120 * 212 * 64 * 64 * 9, 0),
    ),
    'conv 1x1 256ch 60x106': (
        *('Conv', [(1, 256, 60, 106), (256, 256, 1, 1)], {1}, 0),
        *(2 * 60 * 106 * 256 * 256, 0),
    ),
    'addition of 2 x 64 MiB': ('Add', [(16, 1024, 1024)] * 2, set(), 0, 0, 3 * 4 * 2**24),
    'addition of 2 x 2 MiB': ('Add', [(512, 1024)] * 2, set(), 0, 0, 3 * 4 * 2**19),
}


def probe_runs(threads: int) -> dict[str, Callable[[], object]]:
    """Open what measures the machine."""
    runs: dict[str, Callable[[], object]] = {}
    for name, (operator, shapes, weights, pads, _, _) in PROBES.items():
        session = ort.InferenceSession(
            one_node(operator, shapes, weights, pads), session_options(SIZE, threads),
            providers=[CPU],
        )  # fmt: skip
        feeds = {
            f'x{i}': np.ones(shape, np.float32)
            for i, shape in enumerate(shapes)
            if i not in weights
        }
        # An output that exists already: a new one costs page faults, which are not bandwidth.
        binding = session.io_binding()
        for key, value in feeds.items():
            binding.bind_cpu_input(key, value)
        out = session.run(None, feeds)[0]
        binding.bind_output('y', 'cpu', 0, np.float32, out.shape, out.ctypes.data)
        runs[name] = lambda s=session, b=binding, keep=(out, feeds): s.run_with_iobinding(b)
    return runs


def main() -> int:
    """Measure, print and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('--model', nargs='+', default=[RuntimeConfig().model])
    parser.add_argument('--size', type=int, nargs=2, default=SIZE, metavar=('H', 'W'))
    parser.add_argument('--objects', type=int, nargs='+', default=[1, 3])
    parser.add_argument('--threads', type=int, nargs='+', default=[1, 2])
    parser.add_argument('--rounds', type=int, default=20)
    args = parse_args(parser)
    size = (args.size[0], args.size[1])
    texts, raw = [], {}
    for threads in args.threads:
        for model in args.model:
            for objects in args.objects:
                text, part = measure(load_manifest(model), size, objects, threads, args.rounds)
                print(text, flush=True)
                texts.append(text)
                raw[f'{Path(model).name}, threads={threads}, objects={objects}'] = part
    command = f'python benchmarks roofline --model {" ".join(Path(m).name for m in args.model)}'
    print(save('roofline', command, '\n\n'.join(texts), {'size': size, 'variants': raw}))
    return 0


def measure(
    manifest: Manifest, size: tuple[int, int], objects: int, threads: int, rounds: int
) -> tuple[str, dict[str, Any]]:
    """Measure one model with one number of objects and threads, beside the machine itself."""
    feeds = make_feeds(manifest, size, objects)
    runs = probe_runs(threads)
    for graph in GRAPHS:
        session = open_graph(manifest.graphs[graph].path, session_options(size, threads))
        given = {node.name: feeds[node.name] for node in session.get_inputs()}
        runs[graph] = lambda s=session, g=given: s.run(None, g)
    times_ms(runs, 2)
    times = times_ms(runs, rounds)
    best = {name: min(values) for name, values in times.items()}
    rates = {name: probe[4] / best[name] / 1e6 for name, probe in PROBES.items() if probe[4]}
    bands = {name: probe[5] / best[name] / 1e6 for name, probe in PROBES.items() if probe[5]}
    peak, band = max(rates.values()), max(bands.values())  # G operations/s, GB/s

    rows, kinds, left, parts = [], defaultdict(lambda: [0.0, 0.0, 0.0]), [], {}
    for graph in GRAPHS:
        path = manifest.graphs[graph].path
        exported, macs = exported_convolutions(path, size, feeds)
        operators = operators_of(path, size, threads, feeds, rounds, exported)
        # Bytes of what the caches hold move faster than this roof says; the first roof is safe.
        floors = [max(2 * op.macs / peak, op.moved / band) / 1e6 for op in operators]
        parts[graph] = (macs, best[graph], sum(floors), float(np.median(times[graph])))
        for op, floor in zip(operators, floors):
            entry = kinds[op.kind]
            for position, value in enumerate((op.ms, 2 * op.macs / peak / 1e6, floor)):
                entry[position] += value
            left.append((op.ms - floor, op.ms, floor, f'{graph} {op.name}', op.kind))
    parts['all'] = tuple(sum(part[i] for part in parts.values()) for i in range(4))
    for graph, (macs, fastest, floor, median) in parts.items():
        ideal = 2 * macs / peak / 1e6
        rows.append([graph, f'{macs / 1e9:.2f}', f'{ideal:.1f}', f'{floor:.1f}',
                     f'{fastest:.1f}', f'{median:.1f}', f'{100 * ideal / fastest:.0f} %',
                     f'{100 * floor / fastest:.0f} %'])  # fmt: skip
    by_kind = [
        [kind, f'{ms:.2f}', f'{ideal:.2f}', f'{floor:.2f}', f'{100 * floor / ms:.0f} %']
        for kind, (ms, ideal, floor) in sorted(kinds.items(), key=lambda item: -item[1][0])
        if ms > 0.05
    ]
    worst = [
        [name, kind, f'{ms:.2f}', f'{floor:.2f}', f'{lost:.2f}']
        for lost, ms, floor, name, kind in sorted(left, reverse=True)[:12]
    ]
    machine = [
        *([name, f'{rate:.0f} G operations/s'] for name, rate in rates.items()),
        *([name, f'{rate:.1f} GB/s'] for name, rate in bands.items()),
    ]
    text = '\n\n'.join(
        (
            f'### {manifest.name} ({manifest.sha256[:12]}), {size[1]}x{size[0]}, {objects} '
            f'object(s), {threads} thread(s)',
            table(['the machine', 'best'], machine),
            table(
                [
                    *('graph', 'GMAC', 'at the first roof, ms', 'at the second roof, ms'),
                    *('fastest, ms', 'median, ms', 'of the first roof', 'of the second'),
                ],
                rows,
            ),
            'By kind of operator, with the profiler:',
            table(['kind', 'ms', 'first roof', 'second roof', 'of the second'], by_kind),
            'Where most is lost against the second roof:',
            table(['operator', 'kind', 'ms', 'second roof', 'lost, ms'], worst),
        )
    )
    part = {'machine': rates | bands, 'graphs': {k: list(v) for k, v in parts.items()}}
    return text, part


if __name__ == '__main__':
    sys.exit(main())
