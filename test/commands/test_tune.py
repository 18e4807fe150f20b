# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What `vos doctor --tune` recommends, and the file that it writes."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from vos_ros.commands import tune
from vos_ros.commands.cli import main
from vos_ros.commands.tune import Advice, Setting
from vos_ros.config import RuntimeConfig, SegmenterConfig
from vos_ros.errors import VosError

ONE = Setting('m', 'cpu', 'fp32', 1, 480)
TWO = Setting('m', 'cpu', 'fp32', 2, 480)
INT8 = Setting('m_int8', 'cpu', 'fp32', 2, 480)


@pytest.mark.parametrize(
    ('ms', 'expected'),
    [
        ({ONE: [80.0], TWO: [50.0], INT8: [40.0]}, INT8),
        ({ONE: [80.0], TWO: [40.9], INT8: [40.0]}, TWO),
        ({ONE: [80.0], TWO: [41.9], INT8: [40.0]}, INT8),
        ({ONE: [40.9], TWO: [40.5], INT8: [40.0]}, ONE),
        ({ONE: [1.0, 80.0, 81.0], TWO: [60.0, 61.0, 500.0]}, TWO),
    ],
    ids=[
        'the fastest',
        'as fast as far as one can tell, and simpler',
        'a little slower, and a measurement may be off by as much again',
        'one thread is enough',
        'medians count',
    ],
)
def test_the_simplest_of_the_fastest_is_taken(
    ms: dict[Setting, list[float]], expected: Setting
) -> None:
    found = tune.best_of(ms)
    assert found == expected
    fastest = min(tune.median(v) for v in ms.values())
    assert tune.median(ms[found]) <= 1.05 * fastest


def test_where_nothing_runs_it_says_so() -> None:
    with pytest.raises(VosError, match='no setting runs'):
        tune.best_of({})


def _tune_with(
    monkeypatch: pytest.MonkeyPatch, tiny_model: Path, ms_at: dict[int, float], rate_hz: float
) -> Advice:
    def measure(wanted: Any, *args: Any) -> dict[Setting, list[float]]:
        return {s: [ms_at[s.input_size] / s.threads] for s in wanted}

    monkeypatch.setattr(tune, 'measure', measure)
    monkeypatch.setattr(tune, 'thread_count', lambda threads: 2)
    return tune.tune(str(tiny_model), rate_hz=rate_hz, input_size=480, backends=('cpu',), note=str)


def test_the_largest_size_that_keeps_up_with_the_camera_is_taken(
    monkeypatch: pytest.MonkeyPatch, tiny_model: Path
) -> None:
    ms_at = {480: 100.0, 384: 60.0, 320: 40.0, 256: 20.0}
    advice = _tune_with(monkeypatch, tiny_model, ms_at, 25.0)
    assert (advice.setting.input_size, advice.setting.threads) == (384, 2)  # 30 of 32 ms
    assert advice.keeps_up
    assert {s.input_size for s in advice.times} == {480, 384}
    assert 'keeps up with 25 images' in ' '.join(tune.lines(advice, 25.0))


def test_those_that_may_be_the_fastest_are_measured_again(
    monkeypatch: pytest.MonkeyPatch, tiny_model: Path
) -> None:
    asked: list[tuple[list[int], int]] = []

    def measure(wanted: Any, camera: Any, objects: int, rounds: int, note: Any) -> Any:
        asked.append(([s.threads for s in wanted], rounds))
        first = {1: 200.0, 2: 100.0, 3: 108.0, 4: 109.0}
        exact = {2: 104.0, 3: 100.0, 4: 103.0}
        return {s: [first[s.threads] if len(asked) == 1 else exact[s.threads]] for s in wanted}

    monkeypatch.setattr(tune, 'measure', measure)
    monkeypatch.setattr(tune, 'thread_count', lambda threads: 4)
    advice = tune.tune(str(tiny_model), backends=('cpu',), rounds=2, note=str)
    assert [threads for threads, _ in asked] == [[1, 2, 3, 4], [2, 3, 4]]
    assert asked[1][1] > asked[0][1] == 2
    assert (advice.setting.threads, advice.ms) == (3, 100.0)
    assert len(advice.times) == 4  # what was slow is told, too


def test_without_a_rate_the_models_size_stays(
    monkeypatch: pytest.MonkeyPatch, tiny_model: Path
) -> None:
    advice = _tune_with(monkeypatch, tiny_model, {480: 100.0}, 0.0)
    assert advice.setting.input_size == 480


def test_a_camera_that_is_too_fast_is_said(
    monkeypatch: pytest.MonkeyPatch, tiny_model: Path
) -> None:
    ms_at = {480: 400.0, 384: 300.0, 320: 200.0, 256: 150.0}
    advice = _tune_with(monkeypatch, tiny_model, ms_at, 60.0)
    assert advice.setting.input_size == 256
    assert not advice.keeps_up
    assert 'nothing measured keeps up' in ' '.join(tune.lines(advice, 60.0))


def test_the_file_sets_what_was_advised_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / 'vos.yaml'
    tune.write_parameters(path, INT8)
    values = yaml.safe_load(path.read_text())['/**']['ros__parameters']
    runtime = {k: values.pop(k) for k in ('model', 'backend', 'precision', 'threads')}
    assert RuntimeConfig(**runtime) == INT8.runtime()
    assert SegmenterConfig(**values).input_size == 480
    with pytest.raises(VosError, match='is there already'):
        tune.write_parameters(path, ONE)


def test_a_file_that_cannot_be_written_is_told_before_minutes_of_measuring(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tune, 'tune', lambda *_, **__: pytest.fail('it has measured'))
    there = tmp_path / 'there.yaml'
    there.write_text('mine')
    for out, why in ((there, 'is there already'), (tmp_path / 'no/x.yaml', 'cannot write')):
        assert main(['doctor', '--tune', '--out', str(out)]) == 2
        assert why in capsys.readouterr().err
    assert there.read_text() == 'mine'
    tune.check_new(tmp_path / 'new.yaml')
    assert not (tmp_path / 'new.yaml').exists()


def test_a_machine_is_measured(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / 'vos.yaml'
    line = ['doctor', '--tune', '--model', str(tiny_model), '--size', '64', '--camera', '96x64']
    assert main([*line, '--objects', '2', '--json', '--out', str(out)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told['take'] in [
        {k: v for k, v in entry.items() if k != 'ms'} for entry in told['measured']
    ]
    assert all(entry['ms'] > 0 for entry in told['measured'])
    (taken,) = (
        entry['ms']
        for entry in told['measured']
        if {k: v for k, v in entry.items() if k != 'ms'} == told['take']
    )
    assert told['ms'] == taken
    assert yaml.safe_load(out.read_text())['/**']['ros__parameters'] == told['take']


def test_a_camera_that_is_no_size_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['doctor', '--tune', '--camera', 'wide']) != 0
    assert 'must be WIDTHxHEIGHT' in capsys.readouterr().err
