# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""int8 models: what is quantised, that the engine takes them, that biases are corrected."""

import json
from pathlib import Path
import subprocess
import sys
from typing import Any

import cv2
import numpy as np
import pytest

onnx = pytest.importorskip('onnx', reason='the graphs are read with onnx')

from onnx import helper, numpy_helper, TensorProto  # noqa: E402
import onnxruntime as ort  # noqa: E402

from vos_distill.export import quantize  # noqa: E402
from vos_distill.export.quantize import quantize_graph, quantize_model, Samples  # noqa: E402
from vos_ros.datatypes import Frame, Prompt  # noqa: E402
from vos_ros.engine.segmenter import VideoSegmenter  # noqa: E402
from vos_ros.formats.label_png import write_label_png  # noqa: E402

TINY = Path(__file__).resolve().parents[3] / 'test' / 'data' / 'tiny'


@pytest.fixture(scope='module')
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two clips of six frames with a textured box that moves."""
    root = tmp_path_factory.mktemp('train') / 'clips'
    rng = np.random.default_rng(0)
    for name in ('a', 'b'):
        scene = cv2.GaussianBlur(rng.integers(0, 255, (96, 160, 3), np.uint8), (0, 0), 2)
        for index in range(6):
            image, labels = scene.copy(), np.zeros((96, 160), np.uint8)
            left = 20 + 4 * index
            image[30:70, left : left + 40] = 255 - scene[20:60, 100:140]
            labels[30:70, left : left + 40] = 3
            path = root / 'JPEGImages' / '480p' / name / f'{index:05d}.jpg'
            path.parent.mkdir(parents=True, exist_ok=True)
            assert cv2.imwrite(str(path), image)
            write_label_png(root / 'Annotations' / '480p' / name / f'{index:05d}.png', labels)
    return root


@pytest.fixture(scope='module')
def int8_model(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp('models') / 'tiny_int8'
    quantize_model(TINY, clips, out, frames=6)
    return out


def quantized_convolutions(path: Path) -> dict[str, bool]:
    """Tell for every convolution whether its weight is int8."""
    graph = onnx.load(str(path)).graph
    makers = {output: node.op_type for node in graph.node for output in node.output}
    return {
        node.name: makers.get(node.input[1]) == 'DequantizeLinear'
        for node in graph.node
        if node.op_type == 'Conv'
    }


def test_all_convolutions_but_the_last_are_quantised(int8_model: Path) -> None:
    for name in ('encode_image', 'segment', 'encode_mask'):
        found = quantized_convolutions(int8_model / f'{name}.onnx')
        assert found
        assert {conv for conv, is_int8 in found.items() if not is_int8} <= {'/predict/Conv'}
    assert not quantized_convolutions(int8_model / 'segment.onnx')['/predict/Conv']


def test_the_engine_opens_an_int8_model_as_it_is(int8_model: Path) -> None:
    rng = np.random.default_rng(1)
    labels = np.zeros((96, 160), np.uint8)
    labels[30:70, 20:60] = 3
    segmenter = VideoSegmenter.open(int8_model)
    for index in range(3):
        frame = Frame(rng.integers(0, 255, (96, 160, 3), np.uint8), stamp_ns=index)
        result = segmenter.step(frame, None if index else Prompt(labels))
    assert np.isfinite(result.prob).all()
    assert result.label_map.shape == (96, 160)


def test_the_manifest_tells_what_was_done_and_with_what(int8_model: Path, clips: Path) -> None:
    source = json.loads((TINY / 'manifest.json').read_text())
    content = json.loads((int8_model / 'manifest.json').read_text())
    assert content['precision'] == 'int8'
    assert content['name'] == 'tiny_int8'
    assert content['scores'] == {}
    assert 'parity' not in content
    told = content['quantization']
    assert told['from']['name'] == source['name']
    assert told['data'] == f'{clips.parent.name}/clips'
    assert told['sequences'] == ['a', 'b']
    assert told['samples'] == 4  # frames 0 and 4 of each clip
    assert set(told['error']) >= {'encode_image.key', 'segment.logits', 'encode_mask.value'}
    assert 0 < told['error']['encode_image.key'] < 0.2


def test_graphs_that_are_not_named_are_copied(clips: Path, tmp_path: Path) -> None:
    out = tmp_path / 'part'
    errors = quantize_model(TINY, clips, out, graphs=['encode_mask'], frames=5)
    assert list(errors) == ['encode_mask.value']
    for name in ('encode_image', 'segment'):
        assert (out / f'{name}.onnx').read_bytes() == (TINY / f'{name}.onnx').read_bytes()
    assert all(quantized_convolutions(out / 'encode_mask.onnx').values())
    VideoSegmenter.open(out)


def one_convolution(groups: int) -> Any:
    """Make a graph of one convolution; each channel has one weight that makes the rest coarse."""
    rng = np.random.default_rng(groups)
    weight = rng.uniform(-0.02, 0.02, (8, 8 // groups, 3, 3)).astype(np.float32)
    weight[:, 0, 0, 0] = 4.0
    graph = helper.make_graph(
        [helper.make_node('Conv', ['x', 'w', 'b'], ['y'], 'conv', group=groups, pads=[1] * 4)],
        'one',
        [helper.make_tensor_value_info('x', TensorProto.FLOAT, [1, 8, 'h', 'w'])],
        [helper.make_tensor_value_info('y', TensorProto.FLOAT, [1, 8, 'h', 'w'])],
        [
            numpy_helper.from_array(weight, 'w'),
            numpy_helper.from_array(np.ones(8, np.float32), 'b'),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8)


@pytest.mark.parametrize('groups', [1, 4, 8])
def test_bias_correction_removes_the_shift_of_the_channels(
    groups: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / 'one.onnx'
    onnx.save(one_convolution(groups), str(source))
    samples = Samples(tmp_path / 'samples', ['x'])
    means = np.linspace(0.5, 4.0, 8).reshape(1, 8, 1, 1)
    rng = np.random.default_rng(0)
    for _ in range(3):
        samples.add({'x': (means + rng.uniform(0, 1, (1, 8, 40, 40))).astype(np.float32)})

    def shift(path: Path) -> float:
        sessions = [ort.InferenceSession(str(p)) for p in (source, path)]
        outputs = [[s.run(None, feeds)[0] for feeds in samples.feeds()] for s in sessions]
        exact, rounded = (np.mean(o, axis=(0, 1, 3, 4)) for o in outputs)
        return float(np.abs(exact - rounded).max())

    quantize_graph(source, tmp_path / 'corrected.onnx', samples, method='minmax')
    monkeypatch.setattr(quantize, '_correct_biases', lambda *_: None)
    quantize_graph(source, tmp_path / 'plain.onnx', samples, method='minmax')
    corrected, plain = shift(tmp_path / 'corrected.onnx'), shift(tmp_path / 'plain.onnx')
    assert plain > 0.05
    assert corrected < 0.25 * plain


def test_wrong_arguments_are_refused(int8_model: Path, clips: Path, tmp_path: Path) -> None:
    out = tmp_path / 'out'
    with pytest.raises(ValueError, match='choose from encode_image'):
        quantize_model(TINY, clips, out, graphs=['decode'])
    with pytest.raises(ValueError, match='minmax'):
        quantize_model(TINY, clips, out, method='max')
    with pytest.raises(ValueError, match='at least 2'):
        quantize_model(TINY, clips, out, frames=1)
    with pytest.raises(ValueError, match='quantised already'):
        quantize_model(int8_model, clips, out)
    with pytest.raises(ValueError, match='another folder'):
        quantize_model(TINY, clips, TINY)
    assert not out.exists()


@pytest.mark.parametrize('module', ['export.quantize', 'evaluation.submission'])
def test_no_torch_is_needed(module: str) -> None:
    code = f'import sys, vos_distill.{module}; sys.exit("torch" in sys.modules)'
    assert subprocess.run([sys.executable, '-c', code], timeout=120).returncode == 0
