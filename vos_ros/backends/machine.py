# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What this machine is, found without any driver library."""

from __future__ import annotations

from dataclasses import dataclass, field
import os
from pathlib import Path
import re


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


@dataclass(frozen=True)
class Jetson:
    """
    What a Jetson tells of itself in files, which need neither root nor NVIDIA's tools.

    :param board: its name, from the device tree.
    :param release: of Jetson Linux, such as '36.4.3'; empty = not told (in a container).
    :param mode: of power that is set, such as '15W'; empty = not told.
    :param modes: all that the board has, id -> name.
    :param cpu_hz: lowest and highest clock of the first processor; equal = fixed (jetson_clocks).
    :param libraries: name -> version of what is installed of TensorRT and cuDNN.
    :param has_dla_compiler: the library is there that TensorRT of JetPack 6 asks for at load.
    """

    board: str
    release: str = ''
    mode: str = ''
    modes: dict[int, str] = field(default_factory=dict)
    cpu_hz: tuple[int, int] | None = None
    libraries: dict[str, str] = field(default_factory=dict)
    has_dla_compiler: bool = False

    @property
    def jetpack(self) -> str:
        """Major version and what is known of the minor, such as '6.2'; empty = unknown."""
        for release, jetpack in _JETPACKS.items():
            if f'{self.release}.'.startswith(f'{release}.'):
                return jetpack
        return ''


#: Jetson Linux -> JetPack; from NVIDIA's pages of releases, the more exact first.
_JETPACKS = {
    '36.4.3': '6.2',
    '36.4.4': '6.2.1',
    '36.4': '6.1 or 6.2',
    '36.5': '6.2.2',
    '36': '6',
    '38.2': '7.0',
    '38.4': '7.1',
    '39.2': '7.2',
    '38': '7',
    '39': '7',
    '35': '5',
}


def read_jetson(root: Path = Path('/')) -> Jetson | None:
    """
    Return what a Jetson tells of itself; None = this is none.

    :param root: of the file system.
    """
    board = _read(root / 'proc/device-tree/model').strip('\0 \n')
    if 'jetson' not in board.lower():
        return None
    found = re.search(
        r'# R(\d+) \(release\), REVISION: ([\d.]+)', _read(root / 'etc/nv_tegra_release')
    )
    names = dict(
        re.findall(
            r'^\s*<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=(\S+)',
            _read(root / 'etc/nvpmodel.conf'),
            re.MULTILINE,
        )
    )
    mode = re.search(r'pmode:\s*0*(\d+)', _read(root / 'var/lib/nvpmodel/status'))
    policy = root / 'sys/devices/system/cpu/cpufreq/policy0'
    clocks = [_read(policy / f'scaling_{end}_freq').strip() for end in ('min', 'max')]
    libraries: dict[str, str] = {}
    for folder in ('usr/lib/aarch64-linux-gnu', 'usr/local/cuda/lib64'):
        for name, library in (('TensorRT', 'libnvinfer'), ('cuDNN', 'libcudnn')):
            versions = [
                p.name.removeprefix(f'{library}.so.')
                for p in (root / folder).glob(f'{library}.so.*')
            ]
            if versions:
                libraries.setdefault(name, max(versions, key=len))
    return Jetson(
        board,
        release='.'.join(found.groups()) if found else '',
        mode=str(names.get(mode[1], mode[1])) if mode else '',
        modes={int(number): name for number, name in names.items()},
        cpu_hz=(1000 * int(clocks[0]), 1000 * int(clocks[1]))
        if all(clock.isdecimal() for clock in clocks)
        else None,
        libraries=libraries,
        has_dla_compiler=any((root / 'usr/lib/aarch64-linux-gnu').glob('**/libnvdla_compiler.so')),
    )
