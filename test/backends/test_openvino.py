# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""OpenVINO gives what onnxruntime gives, with any number of objects, and says what is wrong."""

import os
from pathlib import Path
import shutil
from typing import Any

import numpy as np
import pytest

from vos_ros.backends import load_manifest, open_backend
from vos_ros.backends.base import Backend, Job, Manifest, Window
from vos_ros.config import RuntimeConfig, SegmenterConfig
from vos_ros.datatypes import Float, Frame, Prompt
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


@pytest.mark.parametrize('model', ['fast_mb_slim_reveal', 'fast_mb'])
def test_in_any_window_it_answers_as_onnxruntime_does(model: str) -> None:
    """Also back on the whole frame, and with another number of objects, after a window."""
    manifest = load_manifest(model)
    expected, found = _open(manifest, 'cpu'), _open(manifest, 'openvino')
    assert found.takes_windows
    rng = np.random.default_rng(0)
    features = expected.encode_image(rng.standard_normal((1, 3, *_SIZE)).astype(np.float32))
    key = features['key'].reshape(manifest.key_dim, -1)
    masks = rng.random((4, 16, 24)).astype(np.float32)
    value = expected.encode_mask(features, masks, masks)
    whole, corner, strip = Window(0, 0, 4, 6), Window(2, 3, 4, 6), Window(0, 0, 1, 6)
    for objects, window in ((1, corner), (4, strip), (4, None), (2, whole), (2, corner)):
        memory = np.stack([key, key]), np.stack([value[:objects]] * 2, axis=1)
        answer = found.segment(features, *memory, window)
        seen = whole if window is None else window
        rows, columns = seen.bottom - seen.top, seen.right - seen.left
        assert answer.shape == (objects, 4 * rows, 4 * columns)
        np.testing.assert_allclose(answer, expected.segment(features, *memory, window), atol=2e-3)


@pytest.mark.parametrize('model', ['fast_mb_slim_reveal', 'fast_mb_slim_reveal_int8'])
def test_parts_of_a_frame_are_encoded_as_by_the_processor(model: str) -> None:
    """And what it gave stays as it was while other parts are encoded."""
    manifest = load_manifest(model)
    expected, found = _open(manifest, 'cpu'), _open(manifest, 'openvino')
    rng = np.random.default_rng(0)
    image = rng.standard_normal((1, 3, *_SIZE)).astype(np.float32)
    masks = rng.random((2, 16, 24)).astype(np.float32)
    whole = found.encode_image(image)
    kept = {name: seen.copy() for name, seen in whole.items()}
    limit = 0.2 if model.endswith('int8') else 1e-3
    for window in (Window(2, 2, 4, 6), Window(0, 0, 2, 2), Window(2, 2, 4, 6)):
        part = np.ascontiguousarray(window.cut(image, (4, 6)))
        by_both = [backend.encode_image(part) for backend in (expected, found)]
        for name in by_both[0]:
            _assert_near(by_both[1][name], by_both[0][name], limit)
        values = [backend.encode_mask(kept, masks, masks, window) for backend in (expected, found)]
        assert values[1].shape == (2, manifest.value_dim, window.area)
        _assert_near(values[1], values[0], limit)
    for name, seen in whole.items():
        np.testing.assert_array_equal(seen, kept[name])


def _assert_near(found: Float, expected: Float, limit: float) -> None:
    assert np.linalg.norm(found - expected) <= limit * np.linalg.norm(expected)


def test_a_model_without_places_is_looked_at_as_a_whole() -> None:
    assert not _open(load_manifest('deformable_mb'), 'openvino').takes_windows


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
    else:
        with pytest.raises(VosError, match='no bfloat16'):
            _open(manifest, 'openvino', 'bf16')
        assert _open(manifest, 'openvino', 'auto').precision == 'fp32'


def test_auto_takes_what_is_quickest_here(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = load_manifest(tiny_model)
    has_bf16 = 'BF16' in ov.Core().get_property('CPU', 'OPTIMIZATION_CAPABILITIES')
    for share, expected in (
        ({'bf16': 0.6, 'fp32': 0.7}, ('openvino', 'bf16' if has_bf16 else 'fp32')),
        ({'bf16': 1.2, 'fp32': 0.7}, ('openvino', 'fp32')),
        ({'bf16': 1.2, 'fp32': 1.0}, ('cpu', 'fp32')),
    ):

        def timed(reference: Backend, backend: Backend, job: Job, share: Any = share) -> Any:
            return share[backend.precision]

        monkeypatch.setattr('vos_ros.backends.choice.time_against', timed)
        best = _open(manifest, 'auto', 'auto')
        assert (best.name, best.precision, best.fallbacks) == (*expected, ())


def test_windows_of_many_sizes_do_not_fill_the_memory() -> None:
    """Kernels of all shapes that ever were would: 480 MiB for these."""
    manifest = load_manifest('fast_mb_slim_reveal')
    runtime = RuntimeConfig(backend='openvino', precision='fp32', threads=1)
    rows, columns = 16, 16
    backend = open_backend(manifest, runtime, (16 * rows, 16 * columns), 4)
    features = backend.encode_image(np.zeros((1, 3, 256, 256), np.float32))
    key = features['key'].reshape(manifest.key_dim, -1)
    memory = np.stack([key, key]), np.zeros((4, 2, manifest.value_dim, 256), np.float32)
    backend.segment(features, *memory)
    grown = []
    for objects in range(1, 5):
        began = _resident_mib()
        for bottom in range(2, rows + 1):
            for right in range(2, columns + 1, 2):
                window = Window(0, 0, bottom, right)
                backend.segment(features, memory[0], memory[1][:objects], window)
        grown.append(_resident_mib() - began)
    assert sum(grown[1:]) < 100


def _resident_mib() -> float:
    pages = int(Path('/proc/self/statm').read_text().split()[1])
    return pages * os.sysconf('SC_PAGE_SIZE') / 2**20


def test_int8_models_run_in_fp32() -> None:
    assert _open(load_manifest('fast_mb_slim_reveal_int8'), 'openvino').precision == 'fp32'


def test_broken_graph_is_named_in_one_line(tiny_model: Path, tmp_path: Path) -> None:
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
