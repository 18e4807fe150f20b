# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Where the frames and masks of a published data set, or of one's own clips, lie on the disk."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
import json
import logging
from pathlib import Path
import re

import numpy as np

from vos_distill.data.files import Pair
from vos_distill.data.findings import Findings, stray_masks
from vos_ros.errors import VosError
from vos_ros.sequences.davis import read_list
from vos_ros.sequences.folder import list_images, natural_key

log = logging.getLogger(__name__)
_SPARSE = 0.4  # share of a clip's frames without a mask from which that is its way, no fault
_LARGEST_STRIDE = 100  # file names that are further apart are times, not numbers of frames


@dataclass(frozen=True)
class ClipFiles:
    """
    The files of one clip, in time order.

    :param folder: that has its images; stands for the clip in messages.
    :param pairs: image and mask; the mask need not be there.
    :param stride: see `Video`.
    :param stray: masks that have no image.
    :param unmasked: frames that are left out, as only some of the clip are to have a mask.
    :param confidences: folder with the confidences of the masks, where there is one.
    """

    name: str
    folder: Path
    pairs: tuple[Pair, ...]
    stride: int = 1
    stray: tuple[Path, ...] = ()
    unmasked: int = 0
    confidences: Path | None = None

    def confidence_of(self, image: Path) -> Path | None:
        """Name the file with the confidence of an image's mask, where there is one."""
        if self.confidences is None:
            return None
        path = self.confidences / f'{image.stem}.png'
        return path if path.exists() else None


def find_clips(root: Path) -> list[ClipFiles]:
    """
    List the clips of a data set; its layout is told from its folders.

    - DAVIS 2016/2017: `JPEGImages/480p/CLIP/*.jpg`, `Annotations/480p/CLIP/*.png`. Where there
      are lists `ImageSets/*/train.txt`, only the clips in them; where there are lists
      `val.txt` alone, all others.
    - YouTube-VOS 2018/2019: `train/JPEGImages/CLIP/*.jpg`, `train/Annotations/CLIP/*.png`,
      `train/meta.json`, which says which frames have a mask.
    - BL30K: `BL30K/JPEGImages/CLIP/*`, `BL30K/Annotations/CLIP/*.png`.
    - one's own: `CLIP/images/*`, `CLIP/masks/*.png`; lists as above, also `ImageSets/train.txt`.

    Beside the masks may be confidences: `Confidences/480p/CLIP/*.png` in the layout of DAVIS,
    `Confidences/CLIP/*.png` in those of YouTube-VOS and BL30K, `CLIP/confidence/*.png` in one's
    own. A clip that has masks on some frames only consists of those.

    :param root: of the data set; for YouTube-VOS and BL30K also the folder below it.
    :raises ValueError: no such folder, or none of these layouts; the lists cannot be read, or
        leave no clip.
    """
    base = _published(root)
    if base is not None:
        return _davis_clips(base) or _flat_clips(base)
    folders = [folder for folder in (root, *subfolders(root)) if _is_own_clip(folder)]
    if not folders:
        raise ValueError(
            f'{root}: no videos with masks; expected JPEGImages/ and Annotations/ as in DAVIS, '
            'YouTube-VOS or BL30K, or own clips as CLIP/images/ and CLIP/masks/'
        )
    return [
        _clip(folder / 'images', folder / 'masks', folder.name, folder / 'confidence')
        for folder in _for_training(folders, root / 'ImageSets')
    ]


def clips_in_list(clips: Sequence[ClipFiles], path: Path) -> list[ClipFiles]:
    """
    Keep the clips that a list names.

    :param path: text file with the name of a clip on each line.
    :raises ValueError: it cannot be read, or names none of the clips.
    """
    try:
        names = {line.strip() for line in path.read_text('utf-8-sig').splitlines()} - {''}
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else 'it is no text'
        raise ValueError(
            f'{path}: the list of clips (subsets: in the recipe) cannot be read: {reason}'
        ) from error
    kept = [clip for clip in clips if clip.name in names]
    if not kept:
        raise ValueError(
            f'{path}: names none of the {len(clips)} clips of its set (such as '
            f'{clips[0].name}); the list has the name of a clip on each line'
        )
    if missing := sorted(names - {clip.name for clip in kept}):
        log.info('%s: %d clips are not there, such as %s', path, len(missing), missing[0])
    return kept


def _published(root: Path) -> Path | None:
    """Find the folder that has the layout of a published data set."""
    bases = (root, root / 'train', root / 'BL30K')
    return next((base for base in bases if (base / 'JPEGImages').is_dir()), None)


def _is_own_clip(folder: Path) -> bool:
    return (folder / 'images').is_dir() and (folder / 'masks').is_dir()


def name_no_clips(root: Path, findings: Findings) -> None:
    """Name the folders among one's own clips that are none; their images count as unusable."""
    if _published(root) is not None or _is_own_clip(root):
        return
    for folder in subfolders(root):
        if _is_own_clip(folder) or folder.name == 'ImageSets':
            continue
        lacking = [part for part in ('images', 'masks') if not (folder / part).is_dir()]
        lost = len(list_images(folder / 'images')) if 'images' not in lacking else 0
        message = f'{folder}: is no clip, it has no {"/ and no ".join(lacking)}/'
        findings.files += lost
        findings.add(folder, message, bad=lost)


def subfolders(path: Path) -> list[Path]:
    if not path.is_dir():
        return []
    return sorted((p for p in path.iterdir() if p.is_dir() and p.name[0] != '.'), key=natural_key)


def _clip(
    images: Path, masks: Path, name: str, confidences: Path, *, may_be_sparse: bool = True
) -> ClipFiles:
    every = tuple((image, masks / f'{image.stem}.png') for image in list_images(images))
    there = {path.name for path in list_images(masks)} if masks.is_dir() else set()
    masked = tuple(pair for pair in every if pair[1].name in there)
    is_sparse = len(masked) >= 2 and len(every) - len(masked) >= _SPARSE * len(every)
    pairs = masked if may_be_sparse and is_sparse else every
    return ClipFiles(
        name,
        images,
        pairs,
        stride=_stride(pairs, every),
        stray=stray_masks(masks, {image.stem for image, _ in every}),
        unmasked=len(every) - len(pairs),
        confidences=confidences if confidences.is_dir() else None,
    )


def _stride(pairs: Sequence[Pair], every: Sequence[Pair]) -> int:
    """
    Tell how many frames of the camera lie between two, from the numbers in the files' names.

    Where those are no numbers of frames, the places among all frames tell it.
    """
    if len(pairs) < 2:
        return 1
    ends = [re.search(r'(\d+)$', image.stem) for image, _ in pairs]
    numbers = [int(end[1]) for end in ends if end is not None]
    if len(numbers) == len(pairs):
        gaps = np.diff(numbers)
        stride = int(np.median(gaps))
        if gaps.min() > 0 and stride <= _LARGEST_STRIDE:
            return stride
    place = {pair: index for index, pair in enumerate(every)}
    return max(int(np.median(np.diff([place[pair] for pair in pairs]))), 1)


def _davis_clips(base: Path) -> list[ClipFiles]:
    sizes = [size for size in subfolders(base / 'JPEGImages') if subfolders(size)]
    if not sizes:
        return []
    # the full data set holds the same clips twice, the other time at several times the size
    size = next((one for one in sizes if one.name == '480p'), sizes[0])
    return [
        _clip(
            folder,
            base / 'Annotations' / size.name / folder.name,
            folder.name,
            base / 'Confidences' / size.name / folder.name,
        )
        for folder in _for_training(subfolders(size), base / 'ImageSets')
    ]


def _for_training(clips: Sequence[Path], lists: Path) -> list[Path]:
    """
    Choose the clips to train on: those of the train lists, else all but those of the val lists.

    :param lists: folder with the lists.
    :raises ValueError: a list cannot be read, or no clip is left.
    """
    train, val = (_names_in(lists, split) for split in ('train', 'val'))
    split, listed = ('val', val or set()) if train is None else ('train', train)
    # a name that is not there may be mistyped, and then its clip is on the wrong side
    if missing := sorted(listed - {clip.name for clip in clips}):
        log.info(
            '%s: %s.txt names %d clips that are not there, such as %s',
            lists,
            split,
            len(missing),
            missing[0],
        )
    chosen = [clip for clip in clips if (clip.name in listed) == (train is not None)]
    if not chosen:
        named = 'none' if train is not None else 'all'
        raise ValueError(
            f'{lists}: no clip is left to train on, as {split}.txt names {named} of the '
            f'{len(clips)} clips that are there (such as {clips[0].name})'
        )
    return chosen


def _names_in(lists: Path, split: str) -> set[str] | None:
    """
    Read the names in the lists of a split; None where there is no list.

    :raises ValueError: a list cannot be read.
    """
    files = sorted(lists.rglob(f'{split}.txt'))
    try:
        return {name for file in files for name in read_list(file)} if files else None
    except VosError as error:
        raise ValueError(str(error)) from error


def _flat_clips(base: Path) -> list[ClipFiles]:
    """List the clips of YouTube-VOS or BL30K."""
    meta = base / 'meta.json'
    clips = [
        _clip(
            folder,
            base / 'Annotations' / folder.name,
            folder.name,
            base / 'Confidences' / folder.name,
            may_be_sparse=not meta.exists(),
        )
        for folder in subfolders(base / 'JPEGImages')
    ]
    if not meta.exists():
        return clips
    try:
        videos = json.loads(meta.read_text())['videos']
        annotated = {
            name: {stem for one in video['objects'].values() for stem in one['frames']}
            for name, video in videos.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f'{meta}: not the list of YouTube-VOS ({error!r})') from error
    return [_annotated_alone(clip, annotated.get(clip.name, set())) for clip in clips]


def _annotated_alone(clip: ClipFiles, stems: set[str]) -> ClipFiles:
    """Leave out frames that need no mask: neither is one there nor does the list name one."""
    pairs = tuple((i, m) for i, m in clip.pairs if i.stem in stems or m.exists())
    return replace(clip, pairs=pairs, stride=_stride(pairs, clip.pairs))
