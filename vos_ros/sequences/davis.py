# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Data sets in the layout of DAVIS, 2016 (binary masks) and 2017 (object ids).

``JPEGImages/<res>/SEQ/*.jpg``, ``Annotations/<res>/SEQ/*.png`` and, if there, lists
of sequences in ``ImageSets/<year>/<split>.txt``. The folder <res> may have any
name or be left out. Binary masks or ids is told from the masks, not from names.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from vos_ros.datatypes import LabelMap
from vos_ros.errors import VosError
from vos_ros.formats.files import read_bytes
from vos_ros.formats.label_png import read_label_png
from vos_ros.formats.masks import Reading, reading_of, to_ids, warn_soft
from vos_ros.sequences.base import OverFrames
from vos_ros.sequences.folder import FolderSequence, list_images, natural_key

_IMAGES, _ANNOTATIONS, _SETS = 'JPEGImages', 'Annotations', 'ImageSets'
_PREFERRED_RESOLUTION = '480p'
_DEFAULT_SPLIT = 'val'
_RATE_HZ = 24.0  # of all DAVIS videos


class MaskedSequence(OverFrames):
    """The images of a folder with masks in another, on some of the frames or on all."""

    def __init__(self, frames: FolderSequence, masks: Path) -> None:
        """
        List the masks; none is read yet.

        :param frames: the images.
        :param masks: folder with masks of the images' names.
        :raises VosError: no mask is there.
        """
        super().__init__(frames)
        self.rate_hz = frames.rate_hz
        self.annotations = masks
        files = {file.stem: file for file in list_images(masks)}
        self._label_files = [files.get(stem) for stem in self.frame_names]
        if not any(self._label_files):
            raise VosError(
                f'no file in {masks} is named like an image of {frames.path}; '
                'at least one frame needs a mask of the same name'
            )

    @cached_property
    def reading(self) -> Reading:
        """
        What the numbers of all its masks mean: the first one with an object tells.

        Where ids are used (2017), 255 is void; where masks are of one object (2016), it is that.
        """
        for file in self._label_files:
            found = reading_of(read_label_png(file)) if file else Reading.EMPTY
            if found is not Reading.EMPTY:
                if found is Reading.SOFT:
                    warn_soft(f'the ground truth of {self.name}')
                return found
        return Reading.EMPTY

    @property
    def is_binary(self) -> bool:
        """Whether masks are of one object (2016) and not ids (2017)."""
        return self.reading in (Reading.ONE, Reading.SOFT)

    def label_map(self, index: int) -> LabelMap | None:
        """
        Read the true ids of one frame, without void; None where it is not annotated.

        :param index: of the frame, from 0.
        :return: (H, W) uint8 or uint16.
        :raises VosError: the file cannot be read.
        """
        file = self._label_files[index]
        return to_ids(read_label_png(file), self.reading) if file else None


class DavisSequence(MaskedSequence):
    """One sequence of a data set in DAVIS's layout."""

    def __init__(
        self, root: Path | str, name: str, *, image_range: tuple[int, int] | None = None
    ) -> None:
        """
        List the frames; none is read yet.

        :param root: of the data set.
        :param name: of the sequence.
        :param image_range: counts of 16 bit images that become black and white; None = by the
            first image.
        :raises VosError: images or annotations are missing.
        """
        self.root = Path(root)
        frames = FolderSequence(
            _folder(self.root, _IMAGES, name),
            name=name,
            rate_hz=_RATE_HZ,
            image_range=image_range,
        )
        super().__init__(frames, _folder(self.root, _ANNOTATIONS, name))


def open_davis(
    root: Path | str,
    *,
    split: str = '',
    names: Sequence[str] = (),
    image_range: tuple[int, int] | None = None,
) -> list[DavisSequence]:
    """
    Open the sequences of a data set: those named, or of a split, or all that are there.

    :param root: of the data set.
    :param split: a list in ImageSets, for instance val or train; empty = val where there is one,
        else every sequence found; 'all' = every sequence found.
    :param names: only these, in this order.
    :param image_range: see DavisSequence.
    :raises VosError: no such data set, split or sequence.
    """
    root = Path(root)
    for part in (_IMAGES, _ANNOTATIONS):
        if not (root / part).is_dir():
            if any(root.glob(f'{_IMAGES}_*fps')) or any(root.glob('sav_*')):
                raise VosError(
                    f'{root} is in the layout of SA-V, with a mask file per object; write one PNG '
                    f'with ids per pixel for each frame, as {_ANNOTATIONS}/SEQUENCE/*.png beside '
                    f'{_IMAGES}/SEQUENCE/*.jpg'
                )
            raise VosError(
                f'{root} has no folder {part}; give the root of a data set in DAVIS layout: '
                f'{_IMAGES}/480p/SEQUENCE/*.jpg and {_ANNOTATIONS}/480p/SEQUENCE/*.png'
            )
    chosen = list(names) or _listed(root, split) or _found(root)
    if not chosen:
        raise VosError(f'no folder in {root / _IMAGES} holds images; is it in DAVIS layout?')
    return [DavisSequence(root, name, image_range=image_range) for name in dict.fromkeys(chosen)]


def _folder(root: Path, part: str, name: str) -> Path:
    base = _base(root, part)
    if not name or not (base / name).is_dir():
        known = ', '.join(_found(root)) or 'none'
        raise VosError(f'there is no sequence {name!r} in {base}; found are: {known}')
    return base / name


def _base(root: Path, part: str) -> Path:
    """Find the folder that holds the sequences: JPEGImages/480p, or JPEGImages itself."""
    folders = [entry for entry in _subfolders(root / part) if any(_subfolders(entry))]
    if not folders:
        return root / part
    preferred = root / part / _PREFERRED_RESOLUTION
    return preferred if preferred in folders else folders[0]


def _subfolders(path: Path) -> list[Path]:
    if not path.is_dir():
        return []
    entries = [entry for entry in path.iterdir() if entry.is_dir() and entry.name[0] != '.']
    return sorted(entries, key=natural_key)


def _found(root: Path) -> list[str]:
    annotated = {entry.name for entry in _subfolders(_base(root, _ANNOTATIONS))}
    sequences = _subfolders(_base(root, _IMAGES))
    return [entry.name for entry in sequences if entry.name in annotated]


def _listed(root: Path, split: str) -> list[str]:
    """Read the names of a split; none = take what is found."""
    matching = split_lists(root, split)
    if not matching:
        return []
    return read_list(matching[0] if len(matching) == 1 else _of_year(root, matching))


def split_lists(root: Path, split: str) -> list[Path]:
    """
    Find the lists of a split in `root/ImageSets`.

    :param split: see `open_davis`; none is found for 'all', nor for '' where there is no val.
    :raises VosError: no such split.
    """
    if split == 'all':
        return []
    lists = sorted((root / _SETS).rglob('*.txt'))
    matching = [file for file in lists if file.stem == (split or _DEFAULT_SPLIT)]
    if split and not matching:
        known = ', '.join(sorted({file.stem for file in lists} | {'all'}))
        raise VosError(f'there is no split {split!r} in {root / _SETS}; known are: {known}')
    return matching


def _of_year(root: Path, lists: list[Path]) -> Path:
    """Choose between the lists of 2016 and 2017, which DAVIS-2017 both brings, by the masks."""
    probe = next((name for file in lists for name in read_list(file)), '')
    year = '2016' if DavisSequence(root, probe).is_binary else '2017'
    return next((file for file in lists if file.parent.name == year), lists[0])


def read_list(file: Path) -> list[str]:
    """
    Read sequence names, or the frame paths that the lists of 2016's own release hold.

    :raises VosError: the file cannot be read.
    """
    try:
        text = read_bytes(file, 'list').decode('utf-8-sig')
    except UnicodeDecodeError as error:
        raise VosError(f'cannot read the list {file}: {error}') from error
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    # a name may have spaces; a line of 2016 is the path of an image and that of its mask
    names = [line.split()[0].split('/')[-2] if '/' in line else line for line in lines]
    return list(dict.fromkeys(names))
