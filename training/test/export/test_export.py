# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Exported graphs: which operators they use, and the model with fixed shapes."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='the training package needs torch')
onnx = pytest.importorskip('onnx', reason='the graphs are read with onnx')

from vos_distill.export.onnx_export import (  # noqa: E402
    compare,
    export_graphs,
    export_model,
    FixedShape,
    OnnxStudent,
    OPSET,
)
from vos_distill.networks.presets import build_student, PRESETS  # noqa: E402
from vos_distill.networks.weights import load_network  # noqa: E402
from vos_ros.backends.base import GRAPHS  # noqa: E402
from vos_ros.commands.doctor import check_inference, FAIL  # noqa: E402
from vos_ros.config import SegmenterConfig  # noqa: E402
from vos_ros.datatypes import Frame, Prompt  # noqa: E402
from vos_ros.engine.segmenter import VideoSegmenter  # noqa: E402

# Marked Y in docs/operators.md of onnx-tensorrt, branch 8.6-GA (and in 10.0-GA too), of those
# that a network like ours might use. Not in there: Einsum, whose restrictions are many.
TENSORRT = frozenset(
    [
        'Add',
        'And',
        'AveragePool',
        'BatchNormalization',
        'Cast',
        'Clip',
        'Concat',
        'Constant',
        'ConstantOfShape',
        'Conv',
        'ConvTranspose',
        'DepthToSpace',
        'Div',
        'Equal',
        'Erf',
        'Exp',
        'Expand',
        'Flatten',
        'Floor',
        'Gather',
        'Gemm',
        'GlobalAveragePool',
        'Greater',
        'GridSample',
        'Identity',
        'LayerNormalization',
        'Less',
        'Log',
        'MatMul',
        'Max',
        'MaxPool',
        'Min',
        'Mod',
        'Mul',
        'Neg',
        'Not',
        'Or',
        'Pad',
        'Pow',
        'Range',
        'ReduceMax',
        'ReduceMean',
        'ReduceMin',
        'ReduceSum',
        'Relu',
        'Reshape',
        'Resize',
        'Shape',
        'Sigmoid',
        'Slice',
        'Softmax',
        'SpaceToDepth',
        'Split',
        'Sqrt',
        'Squeeze',
        'Sub',
        'Sum',
        'Tanh',
        'Tile',
        'Transpose',
        'Unsqueeze',
        'Where',
    ]
)
# Arithmetic on shapes; none of it may be left where the shapes are fixed.
SHAPE_ARITHMETIC = {'Shape', 'ConstantOfShape', 'Range', 'Mod', 'Where', 'Equal'}


@pytest.mark.parametrize('preset', PRESETS)
def test_graphs_use_operators_and_opset_of_tensorrt_only(preset: str, tmp_path: Path) -> None:
    export_graphs(build_student(preset).eval(), tmp_path)
    for name in GRAPHS:
        model = onnx.load(str(tmp_path / f'{name}.onnx'))
        assert {node.op_type for node in model.graph.node} <= TENSORRT
        assert [(opset.domain, opset.version) for opset in model.opset_import] == [('', OPSET)]
    assert 9 <= OPSET <= 17  # what the parsers of 8.6 and of 10.0 both take


@pytest.fixture(scope='module')
def fixed_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    out = tmp_path_factory.mktemp('models') / 'fixed'
    export_model(
        build_student('tiny').eval(), out, name='fixed', preset='tiny', short_side=480,
        card={'license': 'unspecified'}, fixed=FixedShape(64, 96),
    )  # fmt: skip
    return out


def test_a_fixed_model_has_static_shapes_only(fixed_model: Path) -> None:
    for name in GRAPHS:
        model = onnx.load(str(fixed_model / f'{name}.onnx'))
        for value in (*model.graph.input, *model.graph.output):
            assert all(dim.dim_value > 0 for dim in value.type.tensor_type.shape.dim), value.name
        assert not {node.op_type for node in model.graph.node} & SHAPE_ARITHMETIC
        domains = {opset.domain for opset in model.opset_import if opset.version}
        assert {node.domain for node in model.graph.node} <= {''} <= domains


def test_a_fixed_model_computes_what_the_free_one_does(fixed_model: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    export_graphs(build_student('tiny').eval(), tmp_path)
    free, fixed = OnnxStudent(tmp_path), OnnxStudent(fixed_model)
    rng = np.random.default_rng(0)
    feeds = {
        'image': rng.standard_normal((1, 3, 64, 96)).astype(np.float32),
        'memory_key': rng.standard_normal((2, 16, 24)).astype(np.float32),
        'memory_value': rng.standard_normal((1, 2, 40, 24)).astype(np.float32),
        'masks': rng.random((1, 16, 24)).astype(np.float32),
        'others': rng.random((1, 16, 24)).astype(np.float32),
    }
    for name in GRAPHS:
        expected, found = free.run(name, feeds), fixed.run(name, feeds)
        assert expected.keys() == found.keys()
        for output, value in expected.items():
            np.testing.assert_allclose(found[output], value, rtol=1e-4, atol=1e-5)
        feeds.update(expected)


def test_the_engine_runs_a_fixed_model_at_its_size(fixed_model: Path) -> None:
    rng = np.random.default_rng(0)
    frames = [Frame(rng.integers(0, 255, (128, 192, 3), np.uint8), stamp_ns=i) for i in range(3)]
    labels = np.zeros((128, 192), np.uint8)
    labels[20:80, 30:90] = 5
    segmenter = VideoSegmenter.open(fixed_model, config=SegmenterConfig(max_objects=1))
    segmenter.step(frames[0], Prompt(labels))
    assert segmenter.input_size == (64, 96)
    result = segmenter.step(frames[1])
    assert result.label_map.shape == (128, 192)
    assert set(np.unique(result.label_map)) <= {0, 5}


def test_the_doctor_tries_a_fixed_model_at_its_size(fixed_model: Path) -> None:
    found = check_inference(str(fixed_model))
    assert found.status != FAIL
    assert 'at 96x64' in found.detail


def test_what_a_fixed_model_lacks_is_told(fixed_model: Path) -> None:
    with pytest.raises(ValueError, match='exported with --fixed'):
        load_network(fixed_model)


@pytest.mark.parametrize(
    ('height', 'width', 'objects', 'message'),
    [(480, 854, 1, '848x480'), (0, 640, 1, 'multiples of 16'), (480, 640, 0, 'at least 1')],
)
def test_a_wrong_fixed_shape_is_refused(
    height: int, width: int, objects: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        FixedShape(height, width, objects)


def test_a_network_of_nan_is_refused_and_gets_no_manifest(tmp_path: Path) -> None:
    torch.manual_seed(0)
    student = build_student('tiny')
    list(student.parameters())[-1].data.fill_(float('nan'))
    with pytest.raises(ValueError, match='in torch the network gives numbers that are not finite'):
        export_model(student, tmp_path, name='nan', preset='tiny', short_side=96, card={})
    assert not (tmp_path / 'manifest.json').exists()


def test_graphs_of_nan_are_refused_though_torch_is_well(tmp_path: Path) -> None:
    torch.manual_seed(0)
    student = build_student('tiny').eval()
    broken = build_student('tiny').eval()
    list(broken.parameters())[-1].data.fill_(float('nan'))
    export_graphs(broken, tmp_path)
    images, masks = torch.randn(3, 3, 64, 96), torch.ones(1, 64, 96)
    with pytest.raises(ValueError, match='in onnxruntime the network gives numbers'):
        compare(student, tmp_path, images, masks)
