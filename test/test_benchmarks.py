# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the benchmarks count and cut; that they run is seen by `python benchmarks --quick`."""

import argparse
import importlib
import importlib.util
from pathlib import Path
import re
import shutil
import subprocess
from typing import Any

import numpy as np
import pytest

from vos_ros.datatypes import Frame, Prompt
from vos_ros.engine.segmenter import VideoSegmenter
from vos_ros.errors import VosError

FOLDER = Path(__file__).resolve().parents[1] / 'benchmarks'


@pytest.fixture(autouse=True)
def _on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))


def event(kind: str, ins: list[list[int]], out: list[int]) -> dict[str, Any]:
    shapes = [{'float': shape} for shape in ins]
    return {
        'args': {
            'op_name': kind,
            'input_type_shape': shapes,
            'output_type_shape': [{'float': out}],
        }
    }


@pytest.mark.parametrize('objects', [1, 3, 5, 10])
def test_a_mask_is_cut_into_so_many_objects_of_about_equal_area(objects: int) -> None:
    workload = importlib.import_module('workload')
    labels = np.zeros((40, 100), np.uint8)
    labels[5:20, 60:90] = 2
    labels[10:30, 3:40] = 1

    parts = workload.prompt_for(labels, objects).label_map

    assert ((parts > 0) == (labels > 0)).all()
    areas = np.bincount(parts.ravel())[1:]
    assert len(areas) == objects
    assert areas.max() <= areas.mean() + 40


def test_a_mask_that_is_too_narrow_to_be_cut_is_refused() -> None:
    workload = importlib.import_module('workload')
    labels = np.zeros((40, 100), np.uint8)
    labels[:, 7] = 1
    with pytest.raises(VosError, match='too narrow'):
        workload.prompt_for(labels, 3)


def test_variants_take_turns_there_and_back() -> None:
    workload = importlib.import_module('workload')
    assert workload.turns('ab', 1) == ['a', 'b']
    assert workload.turns('ab', 2) == ['b', 'a']


@pytest.mark.parametrize(
    ('kind', 'ins', 'out', 'macs'),
    [
        ('Conv', [[1, 8, 10, 12], [16, 8, 3, 3], [16]], [1, 16, 10, 12], 10 * 12 * 16 * 8 * 9),
        ('Conv', [[2, 8, 10, 12], [8, 1, 3, 3]], [2, 8, 5, 6], 2 * 5 * 6 * 8 * 9),
        ('MatMul', [[2, 5, 7], [2, 7, 11]], [2, 5, 11], 2 * 5 * 7 * 11),
        ('FusedMatMul', [[2, 5, 7], [2, 11, 7]], [2, 5, 11], 2 * 5 * 7 * 11),
        ('FusedMatMul', [[2, 7, 5], [2, 7, 11]], [2, 5, 11], 2 * 5 * 7 * 11),
        ('Add', [[2, 5], [2, 5]], [2, 5], 0),
    ],
)
def test_multiply_adds_are_counted_from_shapes(
    kind: str, ins: list[list[int]], out: list[int], macs: int
) -> None:
    pytest.importorskip('onnx')
    roofline = importlib.import_module('engine.roofline')
    assert roofline.macs_of(event(kind, ins, out)) == macs


def test_a_probe_computes_what_its_name_says() -> None:
    pytest.importorskip('onnx')
    ort = pytest.importorskip('onnxruntime')
    roofline = importlib.import_module('engine.roofline')
    model = roofline.one_node('Conv', [(1, 4, 6, 7), (5, 4, 3, 3)], {1}, 1)
    session = ort.InferenceSession(model, providers=['CPUExecutionProvider'])
    (found,) = session.run(None, {'x0': np.ones((1, 4, 6, 7), np.float32)})
    assert found.shape == (1, 5, 6, 7)


def test_the_parts_of_a_frame_add_up_to_the_whole() -> None:
    pytest.importorskip('rclpy')
    bench_node = importlib.import_module('over_dds.node')
    line = {
        **{'stamp_ns': 0, 'arrived_ns': 2_000_000, 'publish_ns': 60_000_000},
        **{'published_ns': 61_000_000, 'preprocess_ms': 1.0, 'encode_ms': 25.0},
        **{'segment_ms': 20.0, 'labels_ms': 2.0},
    }
    *parts, whole, published, heard = bench_node.parts_of(line, 64_000_000)
    assert sum(parts) == pytest.approx(whole) == pytest.approx(64.0)
    assert published == pytest.approx(61.0 - 45.0)
    assert heard == pytest.approx(64.0 - 45.0)
    assert len(parts) + 3 == len(bench_node.PARTS)


def test_a_point_is_best_where_nothing_faster_is_as_accurate() -> None:
    ladder = importlib.import_module('engine.ladder')
    points = [
        ladder.Point('a', 480, 50.0, 90.0, jf=0.80),
        ladder.Point('a', 256, 15.0, 25.0, jf=0.70),
        ladder.Point('b', 480, 40.0, 70.0, jf=0.80),
        ladder.Point('b', 256, 20.0, 30.0, jf=0.70),
    ]
    ladder.mark_best(points)
    assert [p.is_best for p in points] == [False, True, True, False]
    assert ladder.figure(points).count('<circle') == 4


def test_the_driver_adds_what_needs_data_only_where_it_is_given() -> None:
    driver = _driver()
    usual = {
        **{'model': 'm', 'int8': [], 'davis': '', 'cutie': '', 'aot': ''},
        **{'peers_python': 'python3', 'only': [], 'quick': True, 'draft': True},
    }
    names = list(driver.plan(argparse.Namespace(**usual)))
    assert names == ['step', 'objects', 'memory', 'length', 'labels', 'roofline', 'node']
    more = usual | {'davis': 'd', 'aot': 'a', 'int8': ['q']}
    plan = driver.plan(argparse.Namespace(**more))
    assert {'ladder', 'peers'} == set(plan) - set(names)
    assert 'q' in plan['ladder']
    assert plan.keys() <= driver.scripts().keys()
    assert all(line[-1] == '--draft' for line in plan.values())


@pytest.mark.parametrize(('size', 'tile'), [((7, 9), (4, 6)), ((5, 4), (2, 2)), ((4, 6), (4, 6))])
def test_a_peers_window_attention_in_tiles_is_the_one_by_its_correlation(
    size: tuple[int, int], tile: tuple[int, int]
) -> None:
    torch = pytest.importorskip('torch')
    pytest.importorskip('onnxruntime')
    correlation = importlib.import_module('peers.peer_worker').Correlation(patch_size=5)
    tiled = importlib.import_module('peers.peer_export').WindowAttention
    random = torch.Generator().manual_seed(0)
    heads, channels, (h, w) = 2, 3, size
    query, key, value = torch.randn(3, heads, h * w, channels, generator=random)
    weight, added = torch.randn(2, heads, channels, 5, 5, generator=random)
    bias = torch.randn(heads, 5, 5, generator=random)

    found = tiled(weight, bias, added, size, tile)(query, key, value)

    def grid(tokens: Any) -> Any:
        return tokens.transpose(1, 2).reshape(heads, -1, h, w)

    def window(tokens: Any) -> Any:
        unfolded = torch.nn.functional.unfold(grid(tokens), 5, padding=2)
        return unfolded.reshape(heads, -1, 25, h * w)

    scores = correlation(grid(query) / channels**0.5, grid(key)).reshape(heads, 25, h * w)
    scores += torch.einsum('hnc,hcp->hpn', query, weight.flatten(2)) + bias.flatten(1)[:, :, None]
    scores[window(torch.ones(heads, h * w, 1))[:, 0] == 0] = -torch.inf
    values = window(value) + added.flatten(2)[..., None]
    want = torch.einsum('hpn,hcpn->hnc', scores.softmax(dim=1), values)
    torch.testing.assert_close(found, want)


def test_labels_for_a_peers_memory_are_resized_as_torch_resizes_them() -> None:
    torch = pytest.importorskip('torch')
    pytest.importorskip('onnxruntime')
    export = importlib.import_module('peers.peer_export')
    labels = torch.arange(8 * 14).reshape(8, 14)
    want = torch.nn.functional.interpolate(labels[None, None].float(), (9, 13), mode='nearest')
    found = labels[export.nearest(8, 9)][:, export.nearest(14, 13)]
    assert (found == want[0, 0]).all()


def test_a_peers_export_that_labels_otherwise_is_not_timed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = importlib.import_module('peers.peers')
    asked: list[str] = []
    agreement = {'differ': 0.002, 'clearly': 0.0, 'largest': 0.5}

    def ask(self: Any, command: str) -> dict[str, Any]:
        asked.append(command)
        began = {'size': list(bench.CAMERA), 'parameters': 5_700_000}
        return agreement if command.startswith('check') else began

    monkeypatch.setattr(bench.ExportedPeer, 'ask', ask)
    peer = object.__new__(bench.ExportedPeer)
    peer.name, peer.notes = 'aott-onnx', []
    peer.begin(3, 2)
    assert asked == ['check 3', 'start 3', 'run 2']
    assert peer.notes[1:] == ['aott-onnx: 5.7 million parameters']
    agreement['clearly'] = 0.001
    with pytest.raises(VosError, match='not timed'):
        peer.begin(3, 2)
    assert asked[3:] == ['check 3']


def test_a_python_without_onnx_leaves_the_exported_peer_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench = importlib.import_module('peers.peers')
    python = tmp_path / 'python'
    python.write_text('#!/bin/sh\necho "ModuleNotFoundError: no onnx" >&2\nexit 1\n')
    python.chmod(0o755)
    assert not bench.can_export(argparse.Namespace(aot=tmp_path, python=str(python)))
    assert 'left out: aott-onnx' in capsys.readouterr().out


def test_peers_are_those_whose_sources_were_given(tmp_path: Path) -> None:
    bench = importlib.import_module('peers.peers')
    given = dict.fromkeys(bench.SOURCES) | {'device': 'cuda', 'only': []}

    def wanted(**more: Any) -> list[str]:
        names: list[str] = bench.wanted_peers(argparse.Namespace(**(given | more)))
        return names

    with pytest.raises(VosError, match='no peer'):
        wanted()
    assert wanted(aot=tmp_path, sam2=tmp_path) == ['aott', 'deaott', 'sam2.1-tiny']
    assert wanted(aot=tmp_path, sam2=tmp_path, only=['sam2.1-tiny']) == ['sam2.1-tiny']
    with pytest.raises(VosError, match='give --edgetam DIR'):
        wanted(aot=tmp_path, only=['edgetam'])


def test_every_peer_is_known_to_its_process() -> None:
    pytest.importorskip('torch')
    bench = importlib.import_module('peers.peers')
    worker = importlib.import_module('peers.peer_worker')
    assert {*bench.PEERS} == {*worker.NAMES}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    if shutil.which('git') is None:
        pytest.skip('git is not installed')
    (tmp_path / 'benchmarks' / 'results').mkdir(parents=True)
    for name in ('code.py', 'benchmarks/results/raw.json'):
        (tmp_path / name).write_text('1')
    who = ['-c', 'user.name=n', '-c', 'user.email=n@example.org']
    for line in (['init', '-q'], ['add', '.'], [*who, 'commit', '-q', '-m', 'first']):
        subprocess.run(['git', '-C', str(tmp_path), *line], check=True, timeout=60)
    return tmp_path


def test_figures_of_a_changed_tree_are_refused_unless_they_are_a_draft(checkout: Path) -> None:
    record = importlib.import_module('record')
    clean = record.check_tree(checkout, draft=False)
    assert len(clean) == 40
    (checkout / 'code.py').write_text('2')
    with pytest.raises(VosError, match=r'not committed \(code.py\).*--draft'):
        record.check_tree(checkout, draft=False)
    assert record.check_tree(checkout, draft=True) == f'{clean}-draft'


def test_results_that_a_benchmark_has_just_written_are_no_changes(checkout: Path) -> None:
    record = importlib.import_module('record')
    (checkout / 'benchmarks' / 'results' / 'raw.json').write_text('2')
    assert len(record.check_tree(checkout, draft=False)) == 40


def test_figures_without_a_commit_are_refused_unless_they_are_a_draft(tmp_path: Path) -> None:
    record = importlib.import_module('record')
    with pytest.raises(VosError, match='no git checkout'):
        record.check_tree(tmp_path, draft=False)
    assert record.check_tree(tmp_path, draft=True) is None


def test_a_benchmark_stops_before_it_measures_anything(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    record = importlib.import_module('record')
    check = record.check_tree
    monkeypatch.setattr(record, 'check_tree', lambda *, draft: check(tmp_path, draft=draft))
    monkeypatch.setattr('sys.argv', ['bench'])
    with pytest.raises(SystemExit):
        record.parse_args(argparse.ArgumentParser())
    assert 'add --draft' in capsys.readouterr().err
    monkeypatch.setattr('sys.argv', ['bench', '--draft'])
    assert record.parse_args(argparse.ArgumentParser()).draft


def test_what_the_pages_run_by_name_is_a_benchmark() -> None:
    root = FOLDER.parent
    pages = [*root.glob('*.md'), *root.glob('docs/*.md'), *FOLDER.glob('*/*.py')]
    named = {n for p in pages for n in re.findall(r'python benchmarks ([a-z]\w*)', p.read_text())}
    assert named > {'soak', 'step', 'bag_memory'}
    assert named <= _driver().scripts().keys()


def test_a_name_that_is_no_benchmark_is_refused_with_those_there_are() -> None:
    with pytest.raises(SystemExit, match=r"'speed' is none of them; there are .*soak"):
        _driver().run_one('speed', [])


def _driver() -> Any:
    spec = importlib.util.spec_from_file_location('driver', FOLDER / '__main__.py')
    if spec is None or spec.loader is None:
        raise AssertionError('benchmarks/__main__.py is missing')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


TINY = Path(__file__).parent / 'data' / 'tiny'


def test_tracks_that_run_side_by_side_are_those_of_segmenters_of_their_own() -> None:
    prompts = importlib.import_module('engine.prompts')
    rng = np.random.default_rng(0)
    frames = [Frame(rng.integers(0, 255, (96, 128, 3), np.uint8)) for _ in range(4)]
    first = [np.zeros((96, 128), np.uint8) for _ in range(2)]
    first[0][10:40, 10:50] = 1
    first[1][50:90, 60:120] = 1

    taken = prompts.open_many(str(TINY), 1)
    together = [next(taken) for _ in first]
    side_by_side = [
        [s.step(f, None if t else Prompt(m)).label_map for s, m in zip(together, first)]
        for t, f in enumerate(frames)
    ]

    for k, mask in enumerate(first):
        alone = VideoSegmenter.open(TINY)
        for t, frame in enumerate(frames):
            labels = alone.step(frame, None if t else Prompt(mask)).label_map
            assert (labels == side_by_side[t][k]).all()


@pytest.mark.parametrize(
    ('length', 'most', 'numbers'),
    [(5, 0, [0, 1, 2, 3, 4]), (5, 4, [0, 1, 2, 3, 4]), (5, 3, [0, 2, 4]), (10, 3, [0, 3, 6, 9])],
)
def test_a_sample_takes_no_more_frames_than_asked_for_at_an_even_stride(
    length: int, most: int, numbers: list[int]
) -> None:
    prompts = importlib.import_module('engine.prompts')
    assert list(prompts.sampled(length, most)) == numbers


def test_the_table_of_prompts_is_of_all_parts() -> None:
    prompts = importlib.import_module('engine.prompts')

    def part(mask: float, **box: float) -> dict[str, Any]:
        hands = {seed: {'1': j} for seed, j in box.items()}
        return {
            'first': {'box, network': hands},
            'tracks': {'mask': {'0': {'1': mask}}, 'box, network': hands},
            'ms': {'box, network': [20.0, 30.0, 40.0]},
        }

    parts = {'a/x': part(0.8, s0=0.8, s1=0.6), 'b/y': part(0.4, s0=0.4, s1=0.2)}
    mask, box = prompts.report(['a', 'b'], parts)
    assert mask[3:8] == ['0.800', '0.400', '0.600', '1.00', '1.00']
    assert box == [
        *('box', 'network', '0.500', '0.700', '0.300', '0.500', '0.83', '0.83'),
        *('0.67 to 1.00', '30'),
    ]


def test_a_part_of_other_settings_is_refused(tmp_path: Path) -> None:
    prompts = importlib.import_module('engine.prompts')
    path = tmp_path / 'a_x.json'
    path.write_text('{"settings": {"hands": 3}}')
    assert prompts.read_part(path, {'hands': 3})
    with pytest.raises(VosError, match='other settings'):
        prompts.read_part(path, {'hands': 2})


def test_two_checkouts_step_the_same_frames_in_turns(tmp_path: Path) -> None:
    since = importlib.import_module('engine.since')
    images = np.random.default_rng(0).integers(0, 255, (10, 48, 64, 3), np.uint8)
    labels = np.zeros((48, 64), np.uint8)
    labels[10:30, 20:40] = 1
    clip = tmp_path / 'clip.npz'
    np.savez(clip, images=images, stamps=np.arange(10) * 40_000_000, labels=labels)
    way = (FOLDER.parent, 'fast_mb_slim_reveal_int8')

    older, this = since.measure([way, way], clip, 10, 1)

    assert len(this['ms']) == len(older['ms']) == 4  # of two blocks of four, the second
    assert this['found'] == older['found']


def test_a_checkout_that_does_not_start_is_named(tmp_path: Path) -> None:
    since = importlib.import_module('engine.since')
    with pytest.raises(VosError, match='has ended'):
        since.measure([(FOLDER.parent, 'no_such_model')], tmp_path / 'none.npz', 8, 1)
