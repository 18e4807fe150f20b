# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
What a command leaves in its --out folder, and the next one takes away: that and nothing else.

Files of an earlier run that stay would be taken for the new one's. Files of anybody else must
never be deleted, whatever they are called; so a list of what was written lies beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
import os
from pathlib import Path, PurePosixPath
import re

from vos_ros.errors import VosError
from vos_ros.formats.files import real

LIST = '.written_by_vos'
# A name may hold a line break: it must stay one line.
_WRITTEN = {'\\': '\\\\', '\n': '\\n', '\r': '\\r'}
_MEANT = {written: meant for meant, written in _WRITTEN.items()}
_SPECIAL, _ESCAPED = re.compile(r'[\\\n\r]'), re.compile(r'\\[\\nr]')
_HEAD = '# Files that vos wrote here. Its next run with this --out deletes them, and no others.'


@contextmanager
def writing(folder: Path, names: Sequence[str], *, inputs: Iterable[Path] = ()) -> Iterator[int]:
    """
    Own some names in a folder for a while: what an earlier run wrote there is deleted first.

    Nothing is deleted where something under these names is not on the list of an earlier run. A
    run that was killed could not write its list, so its files are refused, too.

    :param folder: of the results; made if it is missing.
    :param names: files and folders in it that will be written; all others are left alone.
    :param inputs: what the command reads, which must not be among them.
    :return: how many files were deleted.
    :raises VosError: an input or somebody else's file has such a name, or nothing can be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _refuse_foreign_list(folder / LIST)
        listed = _read_list(folder)
        old = _files(folder, names)
    except OSError as error:
        raise _cannot_write(folder, error) from error
    for file in old:
        if file not in listed:
            raise VosError(
                f'{folder / file} is in the way, and no finished run of vos wrote it; remove it '
                'or choose an empty --out'
            )
    for given in inputs:
        if any(real(given).is_relative_to(real(folder / name)) for name in names):
            raise VosError(
                f'{given} is among the files that --out {folder} replaces; choose another'
            )
    others = [file for file in listed if file.parts[0] not in names]
    try:
        _delete(folder, old, names)
        _write_list(folder, others)
    except OSError as error:
        raise _cannot_write(folder, error) from error
    try:
        yield len(old)
    finally:
        with suppress(OSError):  # a full disk has been said by then; the next run will refuse
            _write_list(folder, [*others, *_files(folder, names)])


def _files(folder: Path, names: Iterable[str]) -> list[PurePosixPath]:
    """Give all files under these names, relative to the folder; links are files."""
    found = []
    for name in names:
        top = folder / name
        if top.is_symlink() or top.is_file():
            found.append(top)
        for root, folders, files in os.walk(top):
            links = [inner for inner in folders if (Path(root) / inner).is_symlink()]
            found += [Path(root) / file for file in (*files, *links)]
    return sorted({PurePosixPath(path.relative_to(folder).as_posix()) for path in found})


def _delete(folder: Path, files: Iterable[PurePosixPath], names: Iterable[str]) -> None:
    for file in files:
        (folder / file).unlink()
    for name in names:
        for root, _, _ in os.walk(folder / name, topdown=False):
            Path(root).rmdir()


def _read_list(folder: Path) -> set[PurePosixPath]:
    path = folder / LIST
    if not path.is_file():
        return set()
    lines = path.read_text('utf-8', 'surrogateescape').split('\n')
    return {
        PurePosixPath(_ESCAPED.sub(lambda found: _MEANT[found[0]], line))
        for line in lines
        if line and not line.startswith('#')
    }


def _write_list(folder: Path, files: Iterable[PurePosixPath]) -> None:
    names = sorted(_SPECIAL.sub(lambda found: _WRITTEN[found[0]], str(file)) for file in files)
    text = '\n'.join([_HEAD, *names]) + '\n'
    # A new file in its place: whatever a link of this name points to is not ours.
    draft = folder / f'{LIST}.{os.getpid()}'
    draft.write_text(text, 'utf-8', 'surrogateescape')
    draft.replace(folder / LIST)


def _refuse_foreign_list(path: Path) -> None:
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise VosError(
            f'{path} is a link or no file, so vos did not write it; remove it or choose an empty '
            '--out'
        )


def _cannot_write(folder: Path, error: OSError) -> VosError:
    return VosError(f'cannot write to {folder}: {error.strerror}; choose another --out')
