# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Training data as one small file, for machines to which only little can be copied."""

from concurrent.futures import ThreadPoolExecutor
import io
import os
from pathlib import Path
import tarfile

import cv2

from vos_distill.data.files import (
    JPEG,
    read_confidence,
    read_label,
    read_mask,
    read_photo,
    reduce_to,
)
from vos_ros.formats.label_png import encode_label_png
from vos_ros.sequences.folder import list_images

_LISTS = ('.txt', '.json')
_CONFIDENCE_FOLDERS = {'Confidences', 'confidence'}
_LABEL_FOLDERS = {'labels', 'masks', 'Annotations'}


def pack(root: Path, out: Path, *, short_side: int = 288, quality: int = 90) -> dict[str, int]:
    """
    Write the images (reduced, JPEG) and the label maps (reduced, PNG) of a folder to one tar.

    The layout inside is that of `root`, so what is unpacked can be trained on as it is. What
    training does not read is left out: hidden files and folders, label maps that are no PNG, and
    files that are neither images nor lists.

    :param root: the folder that a recipe's `stills` and `videos` are relative to.
    :param out: the tar; only a whole one gets this name.
    :param short_side: larger images are reduced to it, px, at least 1.
    :param quality: of JPEG, 1..100.
    :return: number of files of each kind, and `bytes` of the tar.
    :raises ValueError: nothing to pack, or a file that cannot be read; names the path.
    :raises OSError: the tar cannot be written.
    """
    if short_side < 1:
        raise ValueError(f'the short side must be at least 1 px, not {short_side}')
    files = _files_of(root)
    if not files:
        raise ValueError(f'{root}: no images, label maps or lists to pack')

    def shrink(path: Path) -> tuple[str, Path, bytes]:
        if path.suffix.lower() in _LISTS:
            return 'lists', path, path.read_bytes()
        if _is_confidence(path, root):
            small = reduce_to(read_confidence(path), short_side, cv2.INTER_AREA)
            return 'labels', path, cv2.imencode('.png', small)[1].tobytes()
        if _is_label(path, root):
            read = read_mask if _is_beside(path, root) else read_label
            label = reduce_to(read(path), short_side, cv2.INTER_NEAREST)
            return 'labels', path, encode_label_png(label)
        image = reduce_to(read_photo(path), short_side, cv2.INTER_AREA)
        bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        data = cv2.imencode('.jpg', bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        return 'images', path.with_suffix('.jpg'), data.tobytes()

    counts = {'images': 0, 'labels': 0, 'lists': 0}
    partial = out.with_name(f'{out.name}.partial')
    try:
        with partial.open('wb') as file:
            with tarfile.open(fileobj=file, mode='w') as tar, ThreadPoolExecutor() as pool:
                for kind, path, data in pool.map(shrink, files):
                    counts[kind] += 1
                    info = tarfile.TarInfo(path.relative_to(root).as_posix())
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)
    return {**counts, 'bytes': out.stat().st_size}


def _is_label(path: Path, root: Path) -> bool:
    return _is_among_labels(path, root) or _is_beside(path, root)


def _is_among_labels(path: Path, root: Path) -> bool:
    folders = _LABEL_FOLDERS | _CONFIDENCE_FOLDERS
    return not folders.isdisjoint(path.relative_to(root).parts)


def _is_beside(path: Path, root: Path) -> bool:
    """Tell the mask of a photograph that lies in the same folder, see `stills`."""
    if path.suffix.lower() != '.png' or _is_among_labels(path, root):
        return False
    suffixes = (*JPEG, *(one.upper() for one in JPEG))
    return any(path.with_suffix(suffix).exists() for suffix in suffixes)


def _is_confidence(path: Path, root: Path) -> bool:
    return not _CONFIDENCE_FOLDERS.isdisjoint(path.relative_to(root).parts)


def _files_of(root: Path) -> list[Path]:
    """List the images, label maps and lists that training would read."""
    files = []
    for folder in (root, *(p for p in root.rglob('*') if p.is_dir())):
        if any(part.startswith('.') for part in folder.relative_to(root).parts):
            continue
        images = list_images(folder)
        files += [p for p in images if p.suffix.lower() == '.png' or not _is_label(p, root)]
        files += [p for p in folder.iterdir() if p.suffix.lower() in _LISTS and p.name[0] != '.']
    return sorted(files)


def unpack(path: Path, folder: Path) -> Path:
    """
    Unpack what `pack` wrote.

    :raises ValueError: not a readable tar; names the path.
    """
    try:
        with tarfile.open(path) as tar:
            tar.extractall(folder, filter='data')
            assert tar.fileobj is not None  # says the stub, of a tar that is closed
            # tarfile takes a header that is cut off or damaged for the end
            tar.fileobj.seek(tar.offset)
            if tar.fileobj.read(tarfile.BLOCKSIZE) != tarfile.NUL * tarfile.BLOCKSIZE:
                raise tarfile.ReadError('it is cut off or damaged')
    except (OSError, EOFError, tarfile.TarError) as error:
        reason = '; '.join(str(error).splitlines())  # tarfile lists what it has tried
        raise ValueError(f'{path}: not a packed data set ({reason})') from error
    return folder
