# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
from collections.abc import Iterator
import hashlib
import json
import os
from pathlib import Path
import shutil
import struct
import sys
from typing import Any

import numpy as np
import pytest

from vos_ros import backends
from vos_ros.backends import load_manifest, open_backend
from vos_ros.backends.base import GRAPHS, Job, processors
from vos_ros.backends.onnx_backend import OnnxBackend, open_cpu, Registry, session_options
from vos_ros.config import RuntimeConfig, SegmenterConfig
from vos_ros.engine.segmenter import VideoSegmenter
from vos_ros.errors import VosError

_SIZE = (64, 96)
_ONE_THREAD = RuntimeConfig(backend='cpu', threads=1)


@pytest.fixture
def model(tiny_model: Path, tmp_path: Path) -> Path:
    """Return a copy of the tiny model that a test may damage."""
    return Path(shutil.copytree(tiny_model, tmp_path / 'model'))


def _open(model: Path, runtime: RuntimeConfig = _ONE_THREAD) -> OnnxBackend:
    backend = open_backend(load_manifest(model), runtime, _SIZE)
    assert isinstance(backend, OnnxBackend)
    return backend


def _edit(model: Path, **changes: Any) -> None:
    path = model / 'manifest.json'
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_shapes_are_those_of_the_contract(tiny_model: Path) -> None:
    manifest = load_manifest(tiny_model)
    backend = _open(tiny_model)
    h4, w4, tokens = 16, 24, 4 * 6
    features = backend.encode_image(np.zeros((1, 3, *_SIZE), np.float32))
    assert features['key'].shape == (1, manifest.key_dim, 4, 6)
    assert features['image'].shape == (1, 3, *_SIZE)
    for objects in (1, 3):
        masks = np.zeros((objects, h4, w4), np.float32)
        value = backend.encode_mask(features, masks, masks)
        assert value.shape == (objects, manifest.value_dim, tokens)
        key = features['key'].reshape(manifest.key_dim, tokens)
        logits = backend.segment(features, np.stack([key, key]), np.stack([value, value], axis=1))
        assert logits.shape == (objects, h4, w4)
        assert logits.dtype == np.float32
        assert np.isfinite(logits).all()


def test_objects_of_one_call_do_not_touch_each_other(tiny_model: Path) -> None:
    backend = _open(tiny_model)
    rng = np.random.default_rng(1)
    features = backend.encode_image(rng.standard_normal((1, 3, *_SIZE)).astype(np.float32))
    masks = rng.random((3, 16, 24)).astype(np.float32)
    together = backend.encode_mask(features, masks, masks)
    alone = np.concatenate([backend.encode_mask(features, m[None], m[None]) for m in masks])
    np.testing.assert_allclose(together, alone, atol=1e-5)


@pytest.mark.parametrize('graph', ['encode_image', 'segment', 'encode_mask'])
def test_no_session_spins(tiny_model: Path, graph: str) -> None:
    options = _open(tiny_model).sessions[graph].get_session_options()
    for pool in ('intra_op', 'inter_op'):
        key = f'session.{pool}.allow_spinning'
        assert options.get_session_config_entry(key) == '0'  # raises when it was never set
    assert options.inter_op_num_threads == 1
    assert options.intra_op_num_threads == 1


def test_thread_count_is_what_the_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    assert session_options(_SIZE, 3).intra_op_num_threads == 3
    monkeypatch.setattr('vos_ros.backends.base.cpu_quota', lambda root: None)
    monkeypatch.setattr(os, 'sched_getaffinity', lambda pid: set(range(2)), raising=False)
    assert processors() == 2
    assert session_options(_SIZE, 0).intra_op_num_threads == 2
    monkeypatch.setattr(os, 'sched_getaffinity', lambda pid: set(range(64)), raising=False)
    assert session_options(_SIZE, 0).intra_op_num_threads == 4


def test_input_is_static_per_session_but_where_parts_of_it_can_be_seen(tiny_model: Path) -> None:
    (image,) = _open(tiny_model).sessions['encode_image'].get_inputs()
    assert image.shape == [1, 3, *_SIZE]
    (image,) = _open(load_manifest('fast_mb').folder).sessions['encode_image'].get_inputs()
    assert image.shape == [1, 3, 'height', 'width']


def test_unknown_model_lists_the_known_ones(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backends, 'model_folders', lambda: [tiny_model.parent])
    with pytest.raises(VosError, match=r"'no_such_model'.*\(tiny\)"):
        load_manifest('no_such_model')
    assert load_manifest('tiny').name == 'tiny'


def test_model_is_found_under_an_ament_prefix(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tiny_model, tmp_path / 'share' / 'vos_ros' / 'models' / 'from_ament')
    monkeypatch.setenv('AMENT_PREFIX_PATH', f'/nonexistent{os.pathsep}{tmp_path}')
    assert load_manifest('from_ament').folder.is_relative_to(tmp_path)


def test_folder_and_manifest_path_name_the_same_model(tiny_model: Path) -> None:
    assert load_manifest(tiny_model / 'manifest.json').sha256 == load_manifest(tiny_model).sha256


def test_corrupt_graph_is_named_with_both_hashes(model: Path) -> None:
    path = model / 'segment.onnx'
    expected = hashlib.sha256(path.read_bytes()).hexdigest()
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(VosError) as caught:
        _open(model)
    for part in ('segment.onnx', expected, hashlib.sha256(damaged).hexdigest()):
        assert part in str(caught.value)


def test_missing_graph_is_named(model: Path) -> None:
    (model / 'encode_mask.onnx').unlink()
    with pytest.raises(VosError, match=r'encode_mask\.onnx'):
        _open(model)


def _replace_graph(model: Path, graph: str, content: bytes) -> None:
    (model / f'{graph}.onnx').write_bytes(content)
    graphs = json.loads((model / 'manifest.json').read_text())['graphs']
    graphs[graph]['sha256'] = hashlib.sha256(content).hexdigest()
    _edit(model, graphs=graphs)


def test_file_that_is_no_graph_is_refused_in_one_line(model: Path) -> None:
    _replace_graph(model, 'segment', b'this is not a graph')
    with pytest.raises(VosError, match=r'segment\.onnx') as caught:
        _open(model)
    assert '\n' not in str(caught.value)


def test_graph_of_another_role_is_refused(model: Path) -> None:
    _replace_graph(model, 'encode_mask', (model / 'segment.onnx').read_bytes())
    with pytest.raises(VosError, match=r'encode_mask\.onnx wants memory_key'):
        _open(model)


def test_weights_in_another_file_are_refused(model: Path) -> None:
    # An entry of external_data, as the format has it; where it stands does not matter here.
    entry = b'\x0a\x08location\x12\x0b../w.bin'
    _replace_graph(model, 'segment', (model / 'segment.onnx').read_bytes() + entry)
    with pytest.raises(VosError, match=r'segment\.onnx keeps weights in another file'):
        _open(model)


def _fields(data: bytes, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield (number, begin, end) of every field of a protobuf message that has a length."""

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            value |= (byte & 127) << shift
            at, shift = at + 1, shift + 7
            if byte < 128:
                return value

    while at < end:
        number, kind = divmod(varint(), 8)
        length = varint() if kind in (0, 2) else {1: 8, 5: 4}[kind]
        if kind == 0:
            continue
        if kind == 2:
            yield number, at, at + length
        at += length


def test_a_model_that_gives_no_numbers_is_refused_when_it_is_opened(model: Path) -> None:
    data = bytearray((model / 'segment.onnx').read_bytes())
    nan = struct.pack('<f', float('nan'))
    for number, begin, end in list(_fields(bytes(data), 0, len(data))):
        for part, first, last in list(_fields(bytes(data), begin, end)) if number == 7 else ():
            for field, low, high in _fields(bytes(data), first, last) if part == 5 else ():
                if field == 9 and (high - low) >= 256:  # raw data of a tensor of weights
                    data[low:high] = nan * ((high - low) // 4)
    _replace_graph(model, 'segment', bytes(data))
    with pytest.raises(VosError, match='gives no finite numbers'):
        VideoSegmenter.open(model, runtime=_ONE_THREAD, config=SegmenterConfig(input_size=64))


@pytest.mark.parametrize(
    ('changes', 'part'),
    [
        pytest.param({'format': 2}, 'format 2', id='newer format'),
        pytest.param({'graphs': {}}, 'encode_image', id='no graphs'),
        pytest.param({'key_dim': 'many'}, 'many', id='not a number'),
        pytest.param({'key_dim': 0}, 'above 0', id='zero'),
        pytest.param({'input': {}}, 'color', id='no input'),
        pytest.param({'key_dim': 10**400}, 'at most', id='huge'),
        pytest.param({'key_dim': 1e308}, 'a whole number, not 1e', id='huge, in floating point'),
        pytest.param({'key_dim': float('inf')}, 'a whole number', id='infinite'),
        pytest.param({'key_dim': 64.5}, 'a whole number', id='a fraction'),
        pytest.param({'value_dim': True}, 'a whole number, not True', id='a truth'),
        pytest.param({'value_dim': '16'}, "a whole number, not '16'", id='a number in a text'),
        pytest.param({'stride': 8}, 'stride must be 16', id='another stride'),
        pytest.param({'mask_stride': 8}, 'mask_stride 4', id='another stride of masks'),
        pytest.param(
            {'objects_per_call': 2.0}, 'objects_per_call must be', id='objects, floating'
        ),
        pytest.param(
            {'graphs': {name: {'file': 'a\0b', 'sha256': ''} for name in GRAPHS}},
            'no file in the folder',
            id='a zero byte in a name',
        ),
        pytest.param({'name': 'a/../b'}, 'name', id='name that is a path'),
        pytest.param({'input': []}, 'must be', id='a list for a group'),
        pytest.param(
            {'graphs': {name: {'file': '../x.onnx', 'sha256': ''} for name in GRAPHS}},
            'no file in the folder',
            id='graph elsewhere',
        ),
        pytest.param({'objects_per_call': -1}, 'objects_per_call', id='objects per call'),
        pytest.param(
            {'fixed': {'height': 0, 'width': 96, 'objects': 1}}, 'of fixed', id='fixed to nothing'
        ),
    ],
)
def test_broken_manifest_is_refused_with_the_reason(
    model: Path, changes: dict[str, object], part: str
) -> None:
    _edit(model, **changes)
    with pytest.raises(VosError, match=part) as caught:
        load_manifest(model)
    assert 'manifest.json' in str(caught.value)


@pytest.mark.parametrize('name', ['key_dim', 'value_dim'])
def test_a_manifest_that_says_something_else_than_the_graphs_is_refused(
    model: Path, name: str
) -> None:
    said = json.loads((model / 'manifest.json').read_text())[name]
    _edit(model, **{name: said + 1})
    with pytest.raises(VosError, match=f'says {name} {said + 1}, its graphs give {said}'):
        VideoSegmenter.open(model, runtime=_ONE_THREAD, config=SegmenterConfig(input_size=64))


@pytest.mark.parametrize('text', ['', '[]', '{"format": 1', '"text"', '\xff', '[' * 100_000])
def test_manifest_that_is_no_json_object_is_refused(model: Path, text: str) -> None:
    (model / 'manifest.json').write_bytes(text.encode('latin-1'))
    with pytest.raises(VosError, match=r'manifest\.json'):
        load_manifest(model)


def test_missing_provider_is_refused_with_those_there_are(tiny_model: Path) -> None:
    job = Job(load_manifest(tiny_model), _ONE_THREAD, _SIZE, 1)
    with pytest.raises(VosError, match=r'no CPUExecutionProvider; it has AbacusExecutionProvider'):
        open_cpu(job, Registry(providers=['AbacusExecutionProvider']))


def test_unknown_backend_is_refused_with_the_known_ones(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backends, 'BACKENDS', {'abacus': None})
    with pytest.raises(VosError, match=r"'cpu'.*auto, abacus"):
        _open(tiny_model, RuntimeConfig(backend='cpu'))


@pytest.mark.parametrize('backend', ['auto', 'cpu', 'cuda', 'tensorrt'])
def test_a_missing_onnxruntime_is_one_line_that_says_what_to_install(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    monkeypatch.setitem(sys.modules, 'onnxruntime', None)
    with pytest.raises(VosError, match=r'needs onnxruntime .*: pip install onnxruntime') as raised:
        open_backend(load_manifest(tiny_model), RuntimeConfig(backend=backend), _SIZE)
    assert len(str(raised.value).splitlines()) == 1
