# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Checkpoints that survive a kill at any moment and resume to the step."""

from contextlib import suppress
import os
from pathlib import Path
from typing import Any

import torch


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """
    Write beside, then rename: a reader sees the old file or the new one, never half.

    :raises OSError: it cannot be written, as where the disk is full; names the path.
    """
    partial = path.with_suffix('.partial')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open('wb') as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())  # or a power cut could leave the new name without its content
        os.replace(partial, path)
    except (OSError, RuntimeError) as error:
        # torch closes its archive on the way out, and what it then says hides the reason
        reason = error if isinstance(error, OSError) else error.__context__
        if not isinstance(reason, OSError):
            raise
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise OSError(
            f'{path}: cannot be written ({reason.strerror}); what was there before is whole. Make '
            'room; the same command goes on from there'
        ) from error


def load_checkpoint(path: Path, *needed: str) -> dict[str, Any]:
    """
    Read what `save_checkpoint` wrote.

    :param needed: entries that must be there.
    :raises ValueError: the file is missing or damaged, or lacks an entry; names the path.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location='cpu', weights_only=True)
    except FileNotFoundError as error:
        raise ValueError(f'{path}: there is no such checkpoint') from error
    except Exception as error:  # torch raises many kinds, with advice of its own
        reason = 'it is damaged, or no file that torch has written'
        raise ValueError(f'{path}: not a readable checkpoint ({reason})') from error
    if not isinstance(state, dict):
        raise ValueError(f'{path}: not a readable checkpoint (holds a {type(state).__name__})')
    missing = [name for name in needed if name not in state]
    if missing:
        raise ValueError(f'{path}: not a readable checkpoint (lacks {", ".join(missing)})')
    return state
