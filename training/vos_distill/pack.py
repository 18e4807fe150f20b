# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Training data as one small file, for machines to which only little can be copied."""

from concurrent.futures import ThreadPoolExecutor
import io
from pathlib import Path
import tarfile

import cv2

from vos_distill.data import read_label

SUFFIXES = ('.jpg', '.jpeg', '.png')


def pack(root: Path, out: Path, *, short_side: int = 288, quality: int = 90) -> dict[str, int]:
    """
    Write the images (reduced, JPEG) and the label maps (reduced, PNG) of a folder to one tar.

    The layout inside is that of `root`, so what is unpacked can be trained on as it is. Files
    that are neither images nor text lists are left out.

    :param root: the folder that a recipe's `stills` and `videos` are relative to.
    :param short_side: larger images are reduced to it, px.
    :param quality: of JPEG, 1..100.
    :return: number of files of each kind, and `bytes` of the tar.
    :raises ValueError: nothing to pack, or a file that cannot be read; names the path.
    """
    files = sorted(p for p in root.rglob('*') if p.suffix.lower() in (*SUFFIXES, '.txt'))
    if not files:
        raise ValueError(f'{root}: no images, label maps or lists to pack')

    def shrink(path: Path) -> tuple[Path, bytes]:
        if path.suffix == '.txt':
            return path, path.read_bytes()
        is_label = path.suffix.lower() == '.png'
        image = read_label(path) if is_label else cv2.imread(str(path))
        if image is None:
            raise ValueError(f'{path}: not a readable image')
        scale = short_side / min(image.shape[:2])
        if scale < 1:
            size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
            how = cv2.INTER_NEAREST if is_label else cv2.INTER_AREA
            image = cv2.resize(image, size, interpolation=how)
        options = [] if is_label else [cv2.IMWRITE_JPEG_QUALITY, quality]
        suffix = '.png' if is_label else '.jpg'
        return path, cv2.imencode(suffix, image, options)[1].tobytes()

    counts = {'images': 0, 'labels': 0, 'lists': 0}
    kinds = {'.png': 'labels', '.txt': 'lists'}
    with tarfile.open(out, 'w') as tar, ThreadPoolExecutor() as pool:
        for path, data in pool.map(shrink, files):
            counts[kinds.get(path.suffix.lower(), 'images')] += 1
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
