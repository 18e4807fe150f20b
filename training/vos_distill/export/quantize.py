# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Make an int8 model folder out of a float one: static quantisation in QDQ format, without torch.

The engine of the robot runs the float model over calibration clips, and what each graph is fed
on the way is kept: real images, real features, a memory that came out of a closed loop.
onnxruntime finds the range of every activation on that. Then the biases are corrected (Nagel et
al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction", section 4.2):
the activations behind a ReLU are never below zero, so an error in a weight shifts the whole
channel, and the shifts of a deep backbone add up.
"""

from collections.abc import Iterator, Sequence
import hashlib
from itertools import islice
import json
from pathlib import Path
import tempfile
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper
import onnxruntime as ort
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    quant_pre_process,
    QuantFormat,
    quantize_static,
    QuantType,
)

from vos_ros.backends import Backend, Features, load_manifest, Manifest, open_backend
from vos_ros.backends.base import GRAPHS, Size, token_places, Window
from vos_ros.config import RuntimeConfig, SegmenterConfig
from vos_ros.datatypes import Float, Prompt
from vos_ros.engine.segmenter import VideoSegmenter
from vos_ros.sequences import DavisSequence, open_davis

METHODS = {
    'minmax': CalibrationMethod.MinMax,
    'percentile': CalibrationMethod.Percentile,
    'entropy': CalibrationMethod.Entropy,
}
# Convolutions and the activations that are fused into them. Sums and upsampling stay float: in
# 8 bits they cost four times the error of `segment` and win 3 % of its time. The affinity stays
# float too: a distance in 8 bits cannot tell neighbouring tokens from each other.
OPERATORS = ('Conv', 'Relu', 'Clip')
FLOAT_NODES = ('/predict/Conv',)  # makes the logits
KEEP_EVERY = 4  # neighbouring frames are alike

Feeds = dict[str, npt.NDArray[Any]]


class Samples(CalibrationDataReader):  # type: ignore[misc]
    """
    What one graph was fed on some frames, on disk; onnxruntime reads it one by one.

    :param folder: of numbered npz files; is made.
    :param names: inputs of the graph.
    """

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        folder.mkdir()
        self._folder, self._names = folder, tuple(names)
        self._files: list[Path] = []
        self._rest: Iterator[Path] = iter(())

    def add(self, offered: Features) -> None:
        """Keep those of the tensors that the graph reads."""
        path = self._folder / f'{len(self._files)}.npz'
        np.savez(path, **{name: offered[name] for name in self._names})  # type: ignore[arg-type]
        self._files.append(path)

    def __len__(self) -> int:
        """Count the samples."""
        return len(self._files)

    def feeds(self) -> Iterator[Feeds]:
        """Read all samples."""
        return map(_load, self._files)

    def set_range(self, start_index: int, end_index: int) -> None:
        """Let `get_next` give these; onnxruntime asks for them in parts to save memory."""
        self._rest = iter(self._files[start_index:end_index])

    def get_next(self) -> Feeds | None:
        """Read the next sample; None = there is no further one."""
        path = next(self._rest, None)
        return None if path is None else _load(path)


class _Tape:
    """What all graphs are fed while `is_on`; the backends of all sizes share it."""

    def __init__(self, samples: dict[str, Samples]) -> None:
        self.samples = samples
        self.is_on = False

    def keep(self, graph: str, offered: Features) -> None:
        if self.is_on:
            self.samples[graph].add(offered)


class _Recorder:
    """A Backend that puts on tape what its graphs are fed."""

    def __init__(self, backend: Backend, tape: _Tape) -> None:
        self._backend, self._keep = backend, tape.keep
        self.name, self.precision = backend.name, backend.precision
        self.fallbacks = backend.fallbacks
        self.takes_windows = False  # whole frames say more of the range of an activation

    def encode_image(self, image: Float) -> Features:
        self._keep('encode_image', {'image': image})
        return self._backend.encode_image(image)

    def segment(
        self,
        features: Features,
        memory_key: Float,
        memory_value: Float,
        window: Window | None = None,
    ) -> Float:
        places = token_places(*features['key'].shape[2:])
        offered = {
            **features,
            'place': places,
            'memory_place': places.reshape(2, -1),
            'memory_key': memory_key,
            'memory_value': memory_value,
        }
        self._keep('segment', offered)
        return self._backend.segment(features, memory_key, memory_value, window)

    def encode_mask(
        self, features: Features, masks: Float, others: Float, window: Window | None = None
    ) -> Float:
        self._keep('encode_mask', {**features, 'masks': masks, 'others': others})
        return self._backend.encode_mask(features, masks, others, window)


def record(
    manifest: Manifest, sequences: Sequence[DavisSequence], folder: Path, *, frames: int
) -> dict[str, Samples]:
    """
    Run the engine over the first frames of every sequence and keep what the graphs are fed.

    :param manifest: of a float model.
    :param folder: to write to; must exist and be empty.
    :param frames: per sequence; every fourth of them is kept.
    :return: per graph.
    """
    samples = {
        name: Samples(folder / name, _input_names(graph.path))
        for name, graph in manifest.graphs.items()
    }
    tape = _Tape(samples)

    def open_for(size: Size) -> Backend:
        return _Recorder(open_backend(manifest, RuntimeConfig(backend='cpu'), size), tape)

    segmenter = VideoSegmenter(manifest, open_for, SegmenterConfig())
    for sequence in sequences:
        segmenter.reset()
        for index, frame in enumerate(islice(sequence, frames)):
            tape.is_on = index % KEEP_EVERY == 0
            labels = None if segmenter.object_ids else sequence.label_map(index)
            has_object = labels is not None and bool(labels.any())
            segmenter.step(frame, Prompt(labels) if labels is not None and has_object else None)
    return samples


def quantize_graph(source: Path, out: Path, samples: Samples, *, method: str) -> None:
    """
    Quantise one graph: per-channel int8 weights, uint8 activations, corrected biases.

    :param samples: what it was fed; at least one.
    :param method: a key of `METHODS`.
    """
    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / 'prepared.onnx'  # constants folded, so that weights are found
        quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        samples.set_range(0, len(samples))
        quantize_static(
            str(prepared),
            str(out),
            samples,
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(OPERATORS),
            nodes_to_exclude=list(FLOAT_NODES),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=METHODS[method],
            extra_options={'CalibStridedMinMax': 1},  # one sample at a time: memory stays small
        )
        original = onnx.load(str(prepared))
    model = onnx.load(str(out))
    _correct_biases(model, original, _mean_inputs(original, samples))
    onnx.checker.check_model(model)
    onnx.save(model, str(out))


def quantize_model(
    model: str | Path,
    root: Path,
    out: Path,
    *,
    graphs: Sequence[str] = GRAPHS,
    method: str = 'minmax',
    frames: int = 32,
) -> dict[str, float]:
    """
    Write a model folder in which some graphs compute in int8.

    :param model: name or folder of a float model.
    :param root: calibration clips in DAVIS layout; no frame that is measured on later.
    :param out: model folder to write.
    :param graphs: those to quantise; the others are copied.
    :param method: a key of `METHODS`.
    :param frames: of each sequence that the engine runs over.
    :return: per output of each quantised graph the mean absolute error in units of the mean
        absolute value, on the calibration data; the manifest has it too.
    :raises ValueError: a wrong argument; VosError: a bad model or data set.
    """
    manifest = load_manifest(model)
    unknown = sorted(set(graphs) - set(GRAPHS))
    if unknown or not graphs:
        raise ValueError(f'unknown graphs {", ".join(unknown)}: choose from {", ".join(GRAPHS)}')
    if method not in METHODS:
        raise ValueError(f"unknown method '{method}': choose from {', '.join(METHODS)}")
    if frames < 2:
        raise ValueError(f'frames must be at least 2, not {frames}: the memory is empty before')
    if 'quantization' in manifest.content:
        raise ValueError(f'{manifest.folder} is quantised already; start from the float model')
    if out.resolve() == manifest.folder.resolve():
        raise ValueError(f'{out} is the float model itself; write to another folder')
    sequences = open_davis(root)
    out.mkdir(parents=True, exist_ok=True)
    (out / 'manifest.json').unlink(missing_ok=True)
    errors: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        samples = record(manifest, sequences, Path(folder), frames=frames)
        for name, graph in manifest.graphs.items():
            target = out / graph.path.name
            if name in graphs:
                quantize_graph(graph.path, target, samples[name], method=method)
                found = _errors(graph.path, target, samples[name])
                errors.update({f'{name}.{output}': error for output, error in found.items()})
            else:
                target.write_bytes(graph.path.read_bytes())
    quantization = {
        'graphs': [name for name in GRAPHS if name in graphs],
        'operators': list(OPERATORS),
        'float_nodes': list(FLOAT_NODES),
        'method': method,
        'bias_correction': True,
        'data': '/'.join(root.resolve().parts[-2:]),
        'sequences': [sequence.name for sequence in sequences],
        'samples': len(samples['encode_image']),
        'error': errors,
        'from': {'name': manifest.name, 'sha256': manifest.sha256},
    }
    _write_manifest(manifest, out, quantization)
    return errors


def _write_manifest(manifest: Manifest, out: Path, quantization: dict[str, Any]) -> None:
    """Write the float model's manifest with what is different; scores must be measured anew."""
    content = {k: v for k, v in manifest.content.items() if k not in ('parity', 'scores')}
    content['name'] = out.resolve().name
    content['graphs'] = {
        name: {
            'file': graph.path.name,
            'sha256': hashlib.sha256((out / graph.path.name).read_bytes()).hexdigest(),
        }
        for name, graph in manifest.graphs.items()
    }
    content |= {'precision': 'int8', 'quantization': quantization, 'scores': {}}
    (out / 'manifest.json').write_text(json.dumps(content, indent=2) + '\n')


def _correct_biases(
    model: onnx.ModelProto, original: onnx.ModelProto, means: dict[str, npt.NDArray[Any]]
) -> None:
    """
    Add to every quantised bias what the rounding of the weights takes from the channel's mean.

    :param model: quantised, QDQ; changed in place.
    :param original: the float model with nodes of the same names.
    :param means: per input of a convolution, the mean of each channel.
    """
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    floats = {t.name: numpy_helper.to_array(t) for t in original.graph.initializer}
    makers = {node.output[0]: node for node in model.graph.node}
    quantized = {node.name: node for node in model.graph.node if node.op_type == 'Conv'}
    for conv in _convolutions(original):
        makes_weight, makes_bias = (
            makers.get(name) for name in quantized[conv.name].input[1:3]
        )  # DequantizeLinear(values, scale, zero point), or None where the node stayed float
        if makes_weight is None or makes_bias is None:
            continue
        weight, bias = floats[conv.input[1]], floats[conv.input[2]]
        values, scale = (numpy_helper.to_array(constants[n]) for n in makes_weight.input[:2])
        lost = (weight - values * scale.reshape(-1, 1, 1, 1)).sum(axis=(2, 3))
        # each group of output channels sees its own input channels
        groups = means[conv.input[0]].size // weight.shape[1]
        seen = means[conv.input[0]].reshape(groups, 1, -1)
        shift = (lost.reshape(groups, -1, weight.shape[1]) * seen).sum(axis=-1).ravel()
        unit = numpy_helper.to_array(constants[makes_bias.input[1]]).astype(np.float64)
        limits = np.iinfo(np.int32)
        corrected = np.clip(np.rint((bias + shift) / unit), limits.min, limits.max)
        name = makes_bias.input[0]
        constants[name].CopyFrom(numpy_helper.from_array(corrected.astype(np.int32), name))


def _mean_inputs(model: onnx.ModelProto, samples: Samples) -> dict[str, npt.NDArray[Any]]:
    """Give the mean of every channel of what each convolution reads, over all samples."""
    names = sorted({conv.input[0] for conv in _convolutions(model)})
    probed = onnx.ModelProto()
    probed.CopyFrom(model)
    for name in names:
        probed.graph.node.append(helper.make_node('GlobalAveragePool', [name], [f'{name}_mean']))
        probed.graph.output.append(
            helper.make_tensor_value_info(f'{name}_mean', onnx.TensorProto.FLOAT, None)
        )
    session = _session(probed.SerializeToString())
    outputs = [f'{name}_mean' for name in names]
    runs = [
        [mean.mean(axis=0).ravel() for mean in session.run(outputs, feeds)]
        for feeds in samples.feeds()
    ]
    return {name: np.mean([run[i] for run in runs], axis=0) for i, name in enumerate(names)}


def _errors(original: Path, quantized: Path, samples: Samples) -> dict[str, float]:
    """Give, per output, the mean absolute error over the mean absolute value."""
    exact, rounded = _session(str(original)), _session(str(quantized))
    names = [output.name for output in exact.get_outputs()]
    sums = np.zeros((2, len(names)))
    for feeds in samples.feeds():
        pairs = zip(exact.run(names, feeds), rounded.run(names, feeds), strict=True)
        sums += np.array([[np.abs(a - b).mean(), np.abs(a).mean()] for a, b in pairs]).T
    return {name: round(float(e / m), 4) for name, e, m in zip(names, *sums, strict=True)}


def _convolutions(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """List the 2D convolutions with a constant weight and a bias."""
    ranks = {tensor.name: len(tensor.dims) for tensor in model.graph.initializer}
    return [
        node
        for node in model.graph.node
        if node.op_type == 'Conv'
        and len(node.input) == 3
        and ranks.get(node.input[1]) == 4
        and node.input[2] in ranks
    ]


def _session(model: str | bytes) -> ort.InferenceSession:
    return ort.InferenceSession(model, providers=['CPUExecutionProvider'])


def _input_names(path: Path) -> list[str]:
    return [value.name for value in onnx.load(str(path), load_external_data=False).graph.input]


def _load(path: Path) -> Feeds:
    with np.load(path) as archive:
        return dict(archive)
