# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Training data as one small file, for machines to which only little can be copied."""

from concurrent.futures import ThreadPoolExecutor
import io
from pathlib import Path
import tarfile

import cv2

from vos_distill.datasets import read_label, read_photo, reduce_to
from vos_ros.label_png import encode_label_png

_PICTURES = ('.jpg', '.jpeg', '.png')
_LISTS = ('.txt', '.json')
_LABEL_FOLDERS = {'labels', 'masks', 'Annotations'}


def pack(root: Path, out: Path, *, short_side: int = 288, quality: int = 90) -> dict[str, int]:
    """
    Write the images (reduced, JPEG) and the label maps (reduced, PNG) of a folder to one tar.

    The layout inside is that of `root`, so what is unpacked can be trained on as it is. Files
    that are neither images nor lists are left out.

    :param root: the folder that a recipe's `stills` and `videos` are relative to.
    :param short_side: larger images are reduced to it, px.
    :param quality: of JPEG, 1..100.
    :return: number of files of each kind, and `bytes` of the tar.
    :raises ValueError: nothing to pack, or a file that cannot be read; names the path.
    """
    files = sorted(p for p in root.rglob('*') if p.suffix.lower() in (*_PICTURES, *_LISTS))
    if not files:
        raise ValueError(f'{root}: no images, label maps or lists to pack')

    def shrink(path: Path) -> tuple[str, Path, bytes]:
        if path.suffix.lower() in _LISTS:
            return 'lists', path, path.read_bytes()
        if not _LABEL_FOLDERS.isdisjoint(path.relative_to(root).parts):
            label = reduce_to(read_label(path), short_side, cv2.INTER_NEAREST)
            return 'labels', path, encode_label_png(label)
        image = reduce_to(read_photo(path), short_side, cv2.INTER_AREA)
        bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        data = cv2.imencode('.jpg', bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        return 'images', path.with_suffix('.jpg'), data.tobytes()

    counts = {'images': 0, 'labels': 0, 'lists': 0}
    with tarfile.open(out, 'w') as tar, ThreadPoolExecutor() as pool:
        for kind, path, data in pool.map(shrink, files):
            counts[kind] += 1
            info = tarfile.TarInfo(path.relative_to(root).as_posix())
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return {**counts, 'bytes': out.stat().st_size}


def unpack(path: Path, folder: Path) -> Path:
    """
    Unpack what `pack` wrote.

    :raises ValueError: not a readable tar; names the path.
    """
    try:
        with tarfile.open(path) as tar:
            tar.extractall(folder, filter='data')
    except (OSError, tarfile.TarError) as error:
        raise ValueError(f'{path}: not a packed data set ({error})') from error
    return folder
