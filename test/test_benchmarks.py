# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the benchmarks count and cut; that they run is seen by `python benchmarks --quick`."""

import argparse
import importlib
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

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
    roofline = importlib.import_module('bench_roofline')
    assert roofline.macs_of(event(kind, ins, out)) == macs


def test_a_probe_computes_what_its_name_says() -> None:
    pytest.importorskip('onnx')
    ort = pytest.importorskip('onnxruntime')
    roofline = importlib.import_module('bench_roofline')
    model = roofline.one_node('Conv', [(1, 4, 6, 7), (5, 4, 3, 3)], {1}, 1)
    session = ort.InferenceSession(model, providers=['CPUExecutionProvider'])
    (found,) = session.run(None, {'x0': np.ones((1, 4, 6, 7), np.float32)})
    assert found.shape == (1, 5, 6, 7)


def test_the_parts_of_a_frame_add_up_to_the_whole() -> None:
    pytest.importorskip('rclpy')
    bench_node = importlib.import_module('bench_node')
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
    ladder = importlib.import_module('bench_ladder')
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
        **{'peers_python': 'python3', 'only': [], 'quick': True},
    }
    names = list(driver.plan(argparse.Namespace(**usual)))
    assert names == ['step', 'objects', 'memory', 'length', 'labels', 'roofline', 'node']
    more = usual | {'davis': 'd', 'aot': 'a', 'int8': ['q']}
    plan = driver.plan(argparse.Namespace(**more))
    assert {'ladder', 'peers'} == set(plan) - set(names)
    assert 'q' in plan['ladder']
    assert all((FOLDER / line[0]).is_file() for line in plan.values())


def _driver() -> Any:
    spec = importlib.util.spec_from_file_location('driver', FOLDER / '__main__.py')
    if spec is None or spec.loader is None:
        raise AssertionError('benchmarks/__main__.py is missing')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
