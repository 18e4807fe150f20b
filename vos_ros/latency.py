# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Monotonic stopwatch, percentiles over a window, deadline misses."""

from __future__ import annotations

import time

import numpy as np


class Stopwatch:
    """Times the stages of one step; each `lap_ms` starts the next stage."""

    def __init__(self) -> None:
        self._last_ns = time.perf_counter_ns()

    def lap_ms(self) -> float:
        """Return the ms since the last lap (or the start)."""
        now_ns = time.perf_counter_ns()
        lap_ms = (now_ns - self._last_ns) * 1e-6
        self._last_ns = now_ns
        return lap_ms


class LatencyWindow:
    """
    The newest `capacity` latencies; what they say about the tail, which a mean hides.

    The ring is allocated once, so a node that runs for weeks reports at a fixed cost.

    :param capacity: number of values kept.
    :param deadline_ms: a value above it counts as a miss; 0 = no deadline.
    """

    def __init__(self, capacity: int = 512, deadline_ms: float = 0.0) -> None:
        self.deadline_ms = deadline_ms
        self.count = 0
        self.misses = 0
        self._ring = np.zeros(capacity, np.float64)

    def add(self, latency_ms: float) -> None:
        """Take one value, forgetting the oldest when the window is full."""
        self._ring[self.count % len(self._ring)] = latency_ms
        self.count += 1
        self.misses += bool(0 < self.deadline_ms < latency_ms)

    def summary(self) -> dict[str, float]:
        """Return p50, p95, p99 and max in ms of the values kept; all 0 before the first."""
        kept = self._ring[: min(self.count, len(self._ring))]
        if not len(kept):
            return {'p50': 0.0, 'p95': 0.0, 'p99': 0.0, 'max': 0.0}
        p50, p95, p99, worst = np.percentile(kept, (50, 95, 99, 100))
        return {'p50': float(p50), 'p95': float(p95), 'p99': float(p99), 'max': float(worst)}
