# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
import pytest

from vos_ros.latency import LatencyWindow, Stopwatch


def test_window_keeps_the_newest_values_only() -> None:
    window = LatencyWindow(capacity=100)
    for value in [1000.0] * 50 + list(range(1, 101)):
        window.add(value)
    summary = window.summary()
    assert window.count == 150
    assert summary == pytest.approx({'p50': 50.5, 'p95': 95.05, 'p99': 99.01, 'max': 100.0})


def test_empty_window_reports_zeros() -> None:
    assert set(LatencyWindow().summary().values()) == {0.0}


def test_only_values_above_the_deadline_are_misses() -> None:
    window = LatencyWindow(deadline_ms=10.0)
    for value in (9.0, 10.0, 10.1, 50.0):
        window.add(value)
    assert window.misses == 2


def test_no_deadline_means_no_misses() -> None:
    window = LatencyWindow()
    window.add(1e9)
    assert window.misses == 0


def test_laps_add_up_to_the_time_since_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    now_ns = iter([0, 2_000_000, 5_500_000])
    monkeypatch.setattr('vos_ros.latency.time.perf_counter_ns', lambda: next(now_ns))
    watch = Stopwatch()
    assert [watch.lap_ms(), watch.lap_ms()] == pytest.approx([2.0, 3.5])
