# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
One's own clips with masks: ``CLIP/images/*.jpg`` and ``CLIP/masks/*.png`` of the same names.

Lists of clips, ``ImageSets/<split>.txt``, may lie beside the clips, as in DAVIS's layout.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vos_ros.errors import VosError
from vos_ros.sequences.davis import MaskedSequence, open_davis, read_list, split_lists
from vos_ros.sequences.folder import FolderSequence, natural_key

_IMAGES, _MASKS = 'images', 'masks'


def open_labelled(
    root: Path | str,
    *,
    split: str = '',
    names: Sequence[str] = (),
    image_range: tuple[int, int] | None = None,
) -> Sequence[MaskedSequence]:
    """
    Open a data set in DAVIS's layout, or one's own clips, whichever `root` holds.

    :param root: of the data set; also a single clip of one's own.
    :param split: a list in ImageSets, for instance val or train; empty = val where there is one,
        else everything found; 'all' = everything found.
    :param names: only these, in this order.
    :param image_range: counts of 16 bit images that become black and white; None = by the first.
    :raises VosError: neither is there, or no such split or sequence.
    """
    root = Path(root)
    if any((root / part).is_dir() for part in ('JPEGImages', 'Annotations')):
        return open_davis(root, split=split, names=names, image_range=image_range)
    clips = _own_clips(root)
    if not clips:
        raise VosError(
            f'{root} holds no sequences with masks; give a data set in DAVIS layout '
            '(JPEGImages/480p/SEQUENCE/*.jpg, Annotations/480p/SEQUENCE/*.png) or your own clips '
            '(CLIP/images/*.jpg, CLIP/masks/*.png)'
        )
    lists = [] if names else split_lists(root, split)
    chosen = list(names) or [name for file in lists for name in read_list(file)] or list(clips)
    for name in chosen:
        if name not in clips:
            raise VosError(f'there is no clip {name!r} in {root}; found are: {", ".join(clips)}')
    return [
        MaskedSequence(
            FolderSequence(clips[name] / _IMAGES, name=name, image_range=image_range),
            clips[name] / _MASKS,
        )
        for name in dict.fromkeys(chosen)
    ]


def _own_clips(root: Path) -> dict[str, Path]:
    """Find the clips, which are the root itself or the folders in it, by name."""
    folders = [root]
    if root.is_dir():
        inside = [entry for entry in root.iterdir() if entry.is_dir() and entry.name[0] != '.']
        folders += sorted(inside, key=natural_key)
    return {
        folder.resolve().name: folder
        for folder in folders
        if (folder / _IMAGES).is_dir() and (folder / _MASKS).is_dir()
    }
