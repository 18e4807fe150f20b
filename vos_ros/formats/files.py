# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Reading what a user has named: a file that ends, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path
import stat

from vos_ros.errors import VosError

#: Largest file that is read at once: an 8K camera's image without compression, and more.
_MOST_BYTES = 1 << 29


def real(path: Path) -> Path:
    """
    Follow all links; where they lead round in a circle, the path stays as it is.

    :param path: of anything, or of nothing.
    """
    return Path(os.path.realpath(path))  # Path.resolve() raises RuntimeError there


def read_bytes(path: Path, what: str) -> bytes:
    """
    Read a whole file.

    A named pipe or a device would never end, so they are refused.

    :param path: of the file.
    :param what: it is, for errors.
    :raises VosError: missing, no file, too large, or it cannot be read; names the path.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            kind = 'a folder' if stat.S_ISDIR(status.st_mode) else 'no regular file'
            raise VosError(f'cannot read the {what} {path}: it is {kind}')
        if status.st_size > _MOST_BYTES:
            raise VosError(
                f'cannot read the {what} {path}: {status.st_size >> 20} MiB is too much'
            )
        return path.read_bytes()
    except OSError as error:
        raise VosError(f'cannot read the {what} {path}: {error.strerror}') from error
    except ValueError as error:  # a zero byte in its name
        raise VosError(f'cannot read the {what} {str(path)!r}: {error}') from error
