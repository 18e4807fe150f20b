# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What this machine is, found without any driver library."""

from __future__ import annotations

import os
from pathlib import Path


def gpu_names(root: Path = Path('/')) -> tuple[str, ...]:
    """
    Return the names of the NVIDIA GPUs; empty where there is none, or no driver.

    :param root: of the file system. Desktop drivers list GPUs under /proc/driver/nvidia; a Jetson
        tells its own name in the device tree.
    """
    found = []
    for path in sorted(root.glob('proc/driver/nvidia/gpus/*/information')):
        for line in _read(path).splitlines():
            key, _, value = line.partition(':')
            if key.strip() == 'Model':
                found.append(value.strip())
    if not found:
        board = _read(root / 'proc/device-tree/model').strip('\0 \n')
        if 'nvidia' in board.lower():
            found.append(board)
    return tuple(found)


def cpu_quota(root: Path = Path('/')) -> float | None:
    """
    Return how many processors' time a container may use; None = no limit.

    Docker's `--cpus` and Kubernetes' limits are such quotas: all processors are there, but the
    process is stopped for the rest of each period (0.1 s) once its share is spent.

    :param root: of the file system, where Linux tells the limits of groups, version 1 or 2.
    """
    places = {'': [''], 'cpu': ['']}  # from inside, a container's own group is often the root
    for line in _read(root / 'proc/self/cgroup').splitlines():
        _, controllers, path = [*line.split(':', 2), '', ''][:3]
        parents = [path.strip('/'), *(str(p) for p in Path(path.strip('/')).parents)]
        for name in controllers.split(','):
            if name in places:
                places[name] += [p for p in parents if p != '.']
    limits = []
    for folder in ('sys/fs/cgroup', 'sys/fs/cgroup/unified'):
        for path in places['']:
            quota, _, period = _read(root / folder / path / 'cpu.max').strip().partition(' ')
            limits.append((quota, period))
    for folder in ('sys/fs/cgroup/cpu', 'sys/fs/cgroup/cpu,cpuacct'):
        for path in places['cpu']:
            group = root / folder / path
            files = ('cpu.cfs_quota_us', 'cpu.cfs_period_us')
            quota, period = (_read(group / file).strip() for file in files)
            limits.append((quota, period))
    shares = [int(q) / int(p) for q, p in limits if q.isdecimal() and p.isdecimal() and int(p)]
    return min(shares, default=None)


def cache_folder() -> Path:
    """Return the user's cache folder for this package, by the XDG rules."""
    given = os.environ.get('XDG_CACHE_HOME', '')
    home = Path(given) if os.path.isabs(given) else Path.home() / '.cache'
    return home / 'vos_ros'


def _read(path: Path) -> str:
    try:
        return path.read_text(errors='replace')
    except OSError:
        return ''
