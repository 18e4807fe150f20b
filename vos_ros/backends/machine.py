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
