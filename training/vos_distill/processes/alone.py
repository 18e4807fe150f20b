# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One process at a time writes to a run directory."""

import fcntl
from pathlib import Path
from typing import TextIO

_NAME = '.in_use'


def hold(run: Path) -> TextIO:
    """
    Hold a run directory, which is made if missing, until the file that is returned is closed.

    The lock is of the process: its workers do not have it, and it ends with the process, by
    SIGKILL too, so that the run can go on at once.

    :raises ValueError: another process holds it.
    """
    run.mkdir(parents=True, exist_ok=True)
    file = (run / _NAME).open('a')
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError) as error:
        file.close()
        raise ValueError(
            f'{run}: another process is training here; wait for its end, or take another --run'
        ) from error
    except OSError:
        pass  # a file system that has no locks
    return file
