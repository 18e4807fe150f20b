# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a machine tells of itself: the quota of a container."""

import os
from pathlib import Path

import pytest

from vos_ros.backends.base import processors
from vos_ros.backends.machine import cpu_quota

GROUPS = 'proc/self/cgroup'
V1 = 'sys/fs/cgroup/cpu,cpuacct'


def _write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


@pytest.mark.parametrize(
    ('files', 'expected'),
    [
        pytest.param({}, None, id='no control groups'),
        pytest.param({'sys/fs/cgroup/cpu.max': 'max 100000\n'}, None, id='no limit'),
        pytest.param({'sys/fs/cgroup/cpu.max': '150000 100000\n'}, 1.5, id='docker --cpus 1.5'),
        pytest.param(
            {
                GROUPS: '0::/system.slice/robot.service\n',
                'sys/fs/cgroup/system.slice/cpu.max': '200000 100000\n',
                'sys/fs/cgroup/system.slice/robot.service/cpu.max': '300000 100000\n',
            },
            2.0,
            id='a parent has less',
        ),
        pytest.param(
            {
                GROUPS: '5:cpu,cpuacct:/docker/a1\n1:name=systemd:/docker/a1\n',
                f'{V1}/cpu.cfs_quota_us': '50000\n',
                f'{V1}/cpu.cfs_period_us': '100000\n',
            },
            0.5,
            id='version 1, seen from inside',
        ),
        pytest.param(
            {
                GROUPS: '5:cpu,cpuacct:/docker/a1\n',
                f'{V1}/cpu.cfs_quota_us': '-1\n',
                f'{V1}/cpu.cfs_period_us': '100000\n',
                f'{V1}/docker/a1/cpu.cfs_quota_us': '400000\n',
                f'{V1}/docker/a1/cpu.cfs_period_us': '100000\n',
            },
            4.0,
            id='version 1, seen from outside',
        ),
        pytest.param({'sys/fs/cgroup/cpu.max': '100000 0\n'}, None, id='no sense'),
    ],
)
def test_the_quota_of_a_container_is_read(
    tmp_path: Path, files: dict[str, str], expected: float | None
) -> None:
    _write(tmp_path, files)
    assert cpu_quota(tmp_path) == expected


@pytest.mark.parametrize(
    ('quota', 'expected'),
    [('max', 8), ('50000', 1), ('150000', 1), ('300000', 3), ('1600000', 8)],
)
def test_threads_are_whole_processors_within_the_quota(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quota: str, expected: int
) -> None:
    monkeypatch.setattr(os, 'sched_getaffinity', lambda pid: set(range(8)), raising=False)
    _write(tmp_path, {'sys/fs/cgroup/cpu.max': f'{quota} 100000\n'})
    assert processors(tmp_path) == expected
