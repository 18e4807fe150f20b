# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""OpenVINO gives what onnxruntime gives, with any number of objects, and says what is wrong."""

from pathlib import Path
import shutil

import numpy as np
import pytest

from vos_ros.backends import load_manifest, open_backend
from vos_ros.backends.base import Backend, Manifest
from vos_ros.config import RuntimeConfig, SegmenterConfig
from vos_ros.datatypes import Frame, Prompt
from vos_ros.engine.segmenter import VideoSegmenter
from vos_ros.errors import VosError

ov = pytest.importorskip(
    'openvino', reason='OpenVINO is optional (pip install -r requirements/openvino.txt)'
)
_SIZE = (64, 96)


def _open(manifest: Manifest, backend: str, precision: str = 'fp32') -> Backend:
    runtime = RuntimeConfig(backend=backend, precision=precision, threads=1)
    return open_backend(manifest, runtime, _SIZE, 4)


@pytest.mark.parametrize('objects', [1, 3, 4])
def test_every_graph_gives_what_onnxruntime_gives(tiny_model: Path, objects: int) -> None:
    manifest = load_manifest(tiny_model)
    expected, found = _open(manifest, 'cpu'), _open(manifest, 'openvino')
    assert (found.name, found.precision, found.fallbacks) == ('openvino', 'fp32', ())
    rng = np.random.default_rng(objects)
    image = rng.standard_normal((1, 3, *_SIZE)).astype(np.float32)
    features = expected.encode_image(image)
    for name, array in found.encode_image(image).items():
        np.testing.assert_allclose(array, features[name], atol=1e-4, err_msg=name)
    masks = rng.random((objects, 16, 24)).astype(np.float32)
    value = expected.encode_mask(features, masks, masks)
    np.testing.assert_allclose(found.encode_mask(features, masks, masks), value, atol=1e-4)
    key = features['key'].reshape(manifest.key_dim, -1)
    memory = np.stack([key, key]), np.stack([value, value], axis=1)
    np.testing.assert_allclose(
        found.segment(features, *memory), expected.segment(features, *memory), atol=1e-3
    )


# not int8, which is rounded elsewhere
@pytest.mark.parametrize('model', ['fast_mb', 'fast_mb_slim', 'deformable_mb'])
def test_every_shipped_model_answers_for_several_objects(model: str) -> None:
    manifest = load_manifest(model)
    expected, found = _open(manifest, 'cpu'), _open(manifest, 'openvino')
    assert found.fallbacks == ()
    rng = np.random.default_rng(0)
    features = expected.encode_image(rng.standard_normal((1, 3, *_SIZE)).astype(np.float32))
    key = features['key'].reshape(manifest.key_dim, -1)
    masks = rng.random((4, 16, 24)).astype(np.float32)
    value = expected.encode_mask(features, masks, masks)
    for objects in (1, 2, 4):
        memory = np.stack([key, key]), np.stack([value[:objects]] * 2, axis=1)
        answer = found.segment(features, *memory)
        assert answer.shape == (objects, 16, 24)
        np.testing.assert_allclose(answer, expected.segment(features, *memory), atol=2e-3)


def test_result_of_one_call_survives_the_next(tiny_model: Path) -> None:
    backend = _open(load_manifest(tiny_model), 'openvino')
    features = backend.encode_image(np.zeros((1, 3, *_SIZE), np.float32))
    masks = np.zeros((1, 16, 24), np.float32)
    first = backend.encode_mask(features, masks, masks)
    kept = first.copy()
    backend.encode_mask(features, masks + 1, masks)
    np.testing.assert_array_equal(first, kept)


def test_bf16_passes_the_probe_or_is_refused_with_the_reason(tiny_model: Path) -> None:
    manifest = load_manifest(tiny_model)
    if 'BF16' in ov.Core().get_property('CPU', 'OPTIMIZATION_CAPABILITIES'):
        assert _open(manifest, 'openvino', 'bf16').precision == 'bf16'
        assert _open(manifest, 'openvino', 'auto').precision == 'bf16'
        best = _open(manifest, 'auto', 'auto')
        assert (best.name, best.precision, best.fallbacks) == ('openvino', 'bf16', ())
    else:
        with pytest.raises(VosError, match='no bfloat16'):
            _open(manifest, 'openvino', 'bf16')
        assert _open(manifest, 'openvino', 'auto').precision == 'fp32'
        assert _open(manifest, 'auto', 'auto').name == 'cpu'


def test_broken_graph_is_named_in_one_line(tiny_model: Path, tmp_path: Path) -> None:
    from vos_ros.backends.base import Job
    from vos_ros.backends.openvino_backend import OpenVinoBackend

    model = Path(shutil.copytree(tiny_model, tmp_path / 'model'))
    (model / 'segment.onnx').write_bytes(b'this is not a graph')
    with pytest.raises(VosError, match=r'segment\.onnx') as caught:
        OpenVinoBackend(Job(load_manifest(model), RuntimeConfig(threads=1), _SIZE, 4))
    assert '\n' not in str(caught.value)


def test_a_video_is_followed_to_the_same_labels(tiny_model: Path) -> None:
    rng = np.random.default_rng(0)
    frames = [Frame(rng.integers(0, 256, (64, 96, 3), np.uint8)) for _ in range(6)]
    labels = np.zeros((64, 96), np.uint8)
    labels[16:48, 16:48] = 1
    config = SegmenterConfig(input_size=64, max_objects=4)
    one, other = (
        VideoSegmenter.open(
            tiny_model,
            config=config,
            runtime=RuntimeConfig(backend=name, precision='fp32', threads=1),
        )
        for name in ('cpu', 'openvino')
    )
    for number, frame in enumerate(frames):
        results = [s.step(frame, None if number else Prompt(labels)) for s in (one, other)]
        np.testing.assert_allclose(results[0].prob, results[1].prob, atol=1e-4)
