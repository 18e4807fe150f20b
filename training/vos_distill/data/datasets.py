# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Photographs and videos with masks, read from the layouts in which data sets are published.

A mask is a PNG with an object id for every pixel: 0 background, 1..254 objects in any order and
with gaps, 255 void (never an object, not judged). A mask of 0 and 255 alone is one object, which
gets id 1. 16 bit is accepted as long as no id is above 255, and so is a colour picture in DAVIS's
own palette. A grey picture (a mask with soft edges, a photograph) is refused.

Beside its mask a frame may have a confidence: a grey PNG, 255 = sure, 0 = void.

What cannot be used is named once with its path and left out. Where that is more than a share of a
set, or nothing is left, loading stops: it would train on something else than was asked for. Small
sets are read at once and checked in full. A set above the byte budget is read from the disk frame
by frame, and its frames are checked when they are first read.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
import json
import logging
from pathlib import Path
import re
from typing import NoReturn, Protocol, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from vos_distill.recipe import MAX_BAD_SHARE
from vos_ros.datatypes import LabelMap
from vos_ros.errors import VosError
from vos_ros.formats.label_png import read_label_png
from vos_ros.formats.masks import Reading, reading_of, VOID
from vos_ros.sequences.folder import list_images, natural_key, read_image

Image = npt.NDArray[np.uint8]
MEMORY_BYTES = 2 << 30
Pair = tuple[Path, Path]  # of an image and its mask
_MOST_IDS = 100  # in one map; the regions of BSDS500 come to less than 60
_THREADS = 2
_T = TypeVar('_T')
_CHECK_PX = 32  # nothing is kept of what a check reads
_SPARSE = 0.4  # share of a clip's frames without a mask from which that is its way, no fault
_LARGEST_STRIDE = 100  # file names that are further apart are times, not numbers of frames
_STRAY = '{}: there is no image of this name for the mask'
log = logging.getLogger(__name__)


class UnusableError(ValueError):
    """A file that cannot be used; the message names it and says why."""


# -- one file ---------------------------------------------------------------------------------


def read_pair(image_path: Path, label_path: Path) -> tuple[Image, Image]:
    """
    Read an image (RGB) and its label map (ids).

    :raises UnusableError: a file is missing or corrupt, or the sizes differ; names the path.
    """
    image = read_photo(image_path)
    label = read_label(label_path)
    if label.shape != image.shape[:2]:
        raise UnusableError(
            f'{label_path}: is {label.shape[1]}x{label.shape[0]} but its image is '
            f'{image.shape[1]}x{image.shape[0]}'
        )
    return image, label


def read_photo(path: Path) -> Image:
    """
    Read an image, (H, W, 3) RGB.

    :raises UnusableError: missing, cut off or no image; names the path.
    """
    try:
        return read_image(path)
    except VosError as error:
        raise UnusableError(str(error)) from error


def is_binary(stored: LabelMap) -> bool:
    """
    Tell a mask of 0 and 255 alone from ids.

    :param stored: (H, W) uint8 or uint16.
    """
    return reading_of(stored) is Reading.ONE


def read_label(path: Path) -> Image:
    """
    Read a label map as it is stored, (H, W): see the head of this module.

    :raises UnusableError: missing, damaged, not ids, or an id that 8 bits do not hold; a grey
        picture.
    """
    if not path.exists():
        raise UnusableError(f'{path}: there is no such mask')
    try:
        stored = read_label_png(path)
    except VosError as error:
        raise UnusableError(str(error)) from error
    if stored.dtype != np.uint8:
        if is_binary(stored):
            return (stored > 0) * np.uint8(VOID)
        if int(stored.max(initial=0)) > VOID:
            raise UnusableError(
                f'{path}: id {int(stored.max())} is out of range; ids are 1..254, 255 is void'
            )
    label = stored.astype(np.uint8)
    _refuse_grey(label, path)
    return label


def read_confidence(path: Path, size: tuple[int, ...] | None = None) -> Image:
    """
    Read how sure a mask is of each pixel, (H, W), 255 = sure, 0 = void.

    :param size: (H, W) of the mask; None = any.
    :raises UnusableError: damaged, not grey with 8 bits, or of another size; names the path.
    """
    stored = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if stored is None:
        raise UnusableError(f'{path}: damaged or no image')
    if stored.dtype != np.uint8 or stored.ndim != 2:
        raise UnusableError(f'{path}: a confidence must be a grey picture with 8 bits')
    if size is not None and stored.shape != size:
        raise UnusableError(
            f'{path}: is {stored.shape[1]}x{stored.shape[0]} but its mask is {size[1]}x{size[0]}'
        )
    return stored.astype(np.uint8)


def _refuse_grey(label: Image, path: Path) -> None:
    """
    Refuse what is no map of ids: far too many of them, or most without any inside.

    An object has a pixel whose neighbours are all its own; a shade in a soft edge has none. In the
    label maps of DAVIS, BSDS500, CCP and PASCAL-S at most two thirds of the ids had none.
    """
    ids = _ids_of(label)
    if len(ids) < 3:
        return
    square = np.ones((3, 3), np.uint8)
    inside = label[cv2.erode(label, square) == cv2.dilate(label, square)]
    thin = len(ids - _ids_of(inside))
    if len(ids) > _MOST_IDS or (thin >= 3 and thin >= 0.75 * len(ids)):
        raise UnusableError(
            f'{path}: looks like a grey picture or a mask with soft edges ({len(ids)} ids, {thin} '
            'of them only thin lines or dots); threshold it to 0 and 255, or save ids'
        )


def _ids_of(label: Image) -> set[int]:
    present = np.flatnonzero(np.bincount(label.ravel(), minlength=VOID)[:VOID])
    return set(present.tolist()) - {0}


def reduce_to(image: Image, short_side: int, interpolation: int) -> Image:
    """Reduce an image or a label map until its short side is so long; never enlarge, px."""
    scale = short_side / min(image.shape[:2])
    if scale >= 1:
        return image
    size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    return cv2.resize(image, size, interpolation=interpolation).astype(np.uint8)


def _reduced_pair(image_path: Path, label_path: Path, short_side: int) -> tuple[Image, Image]:
    image, label = read_pair(image_path, label_path)
    return (
        reduce_to(image, short_side, cv2.INTER_AREA),
        reduce_to(label, short_side, cv2.INTER_NEAREST),
    )


class Findings:
    """
    What is wrong with one set: told when found, counted, refused when it is too much.

    :param root: of the set, for the message.
    :param files: images in it.
    :param max_bad_share: of them that may be unusable.
    :param tell: gets each message once; None = the log.
    """

    def __init__(
        self,
        root: Path,
        files: int,
        max_bad_share: float = 1.0,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        self.root = root
        self.files = files
        self.max_bad_share = max_bad_share
        self._tell = tell
        self._messages: dict[Path, str] = {}
        self._bad = 0

    def add(self, path: Path, message: str, bad: int = 1) -> None:
        """
        Note a file (or a clip) that is left out; a second time changes nothing.

        :param bad: images that count as unusable by it; 0 = it is named only.
        """
        if path in self._messages:
            return
        self._messages[path] = message
        self._bad += bad
        if self._tell is None:
            log.warning('left out: %s', message)
        else:
            self._tell(message)

    def check(self) -> None:
        """
        Refuse a set that is too bad to train on.

        :raises ValueError: with the count, the limit and the first message.
        """
        if self._bad > self.max_bad_share * self.files:
            raise ValueError(
                f'{self.root}: {self._bad} of {self.files} images cannot be used, at most '
                f'{self.max_bad_share:.0%} may be (max_bad_share in the recipe); {self.first()}'
                f'`vos-distill data check` lists all of them'
            )

    def first(self) -> str:
        """Quote the first message, if there is any."""
        return next((f'the first: {one}. ' for one in self._messages.values()), '')


def _read_ahead(
    read: Callable[[Pair], _T], pairs: Sequence[Pair]
) -> Iterator[tuple[Pair, _T | UnusableError]]:
    """Read with a few threads; in order, errors as values."""

    def attempt(pair: Pair) -> _T | UnusableError:
        try:
            return read(pair)
        except UnusableError as error:
            return error

    with ThreadPoolExecutor(_THREADS) as pool:
        yield from zip(pairs, pool.map(attempt, pairs), strict=True)


# -- stills -----------------------------------------------------------------------------------


@dataclass
class Still:
    """One annotated photograph: image (H, W, 3) RGB, label (H, W) ids, source folder."""

    image: Image
    label: Image
    source: str


class Stills(Protocol):
    """Photographs: a list of them, or files that are read when they are asked for."""

    def __len__(self) -> int:
        """Count the photographs."""

    def __getitem__(self, index: int, /) -> Still:
        """
        Give one photograph.

        :raises UnusableError: read from the disk, and it cannot be used.
        """


class _StillFiles:
    def __init__(
        self, pairs: Sequence[Pair], short_side: int, findings: dict[str, Findings]
    ) -> None:
        self._pairs = pairs
        self._short_side = short_side
        self._findings = findings

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, index: int, /) -> Still:
        pair = self._pairs[index]
        try:
            return _read_still(pair, self._short_side)
        except UnusableError as error:
            findings = self._findings[_set_of(pair)]
            findings.add(pair[0], str(error))
            findings.check()
            raise


def _set_of(pair: Pair) -> str:
    return pair[0].parent.parent.name


def _still_pairs(root: Path) -> list[Pair]:
    return [
        (image, folder.parent / 'labels' / f'{image.stem}.png')
        for folder in sorted(root.glob('*/images'))
        for image in list_images(folder)
    ]


def _still_findings(
    root: Path,
    pairs: Sequence[Pair],
    max_bad_share: float = 1.0,
    tell: Callable[[str], None] | None = None,
) -> dict[str, Findings]:
    sets = Counter(_set_of(pair) for pair in pairs)
    return {name: Findings(root / name, n, max_bad_share, tell) for name, n in sets.items()}


def _name_stray_labels(pairs: Sequence[Pair], findings: dict[str, Findings]) -> None:
    images: dict[Path, set[str]] = {}
    for image, label in pairs:
        images.setdefault(label.parent, set()).add(image.stem)
    for folder, stems in images.items():
        for stray in _stray_masks(folder, stems):
            findings[folder.parent.name].add(stray, _STRAY.format(stray), bad=0)


def _stray_masks(folder: Path, stems: set[str]) -> tuple[Path, ...]:
    """List masks that have no image."""
    if not folder.is_dir():
        return ()
    return tuple(p for p in list_images(folder) if p.suffix == '.png' and p.stem not in stems)


def _read_still(pair: Pair, short_side: int) -> Still:
    image, label = _reduced_pair(*pair, short_side)
    if is_binary(label):
        label = (label > 0).astype(np.uint8)
    return Still(image, label, _set_of(pair))


def _read_stills(
    pairs: Sequence[Pair], short_side: int, findings: dict[str, Findings]
) -> Iterator[Still]:
    def read(pair: Pair) -> Still:
        return _read_still(pair, short_side)

    for pair, found in _read_ahead(read, pairs):
        if isinstance(found, UnusableError):
            findings[_set_of(pair)].add(pair[0], str(found))
        else:
            yield found


def load_stills(
    root: Path,
    short_side: int = 288,
    *,
    memory: int = MEMORY_BYTES,
    max_bad_share: float = MAX_BAD_SHARE,
) -> Stills:
    """
    Open the photographs `root/<set>/images/*` with `root/<set>/labels/*.png`.

    :param short_side: larger photographs are reduced to it, px.
    :param memory: bytes; what would take more is read from the disk each time.
    :param max_bad_share: of each set's photographs that may be unusable.
    :return: the photographs; where they are read from the disk, one that cannot be used raises
        UnusableError when it is asked for.
    :raises ValueError: nothing there, or too much of it unusable.
    """
    pairs = _still_pairs(root)
    findings = _still_findings(root, pairs, max_bad_share)
    _name_stray_labels(pairs, findings)
    if _bytes_of(pairs, short_side) > memory:
        log.info('%s: %d photographs are read from the disk as needed', root, len(pairs))
        return _StillFiles(pairs, short_side, findings)
    stills = list(_read_stills(pairs, short_side, findings))
    for of_set in findings.values():
        of_set.check()
    if not stills:
        raise ValueError(
            f'{root}: no photographs; expected SET/images/*.jpg and SET/labels/*.png in it'
        )
    return stills


def _bytes_of(pairs: Sequence[Pair], short_side: int, planes: int = 4) -> int:
    """Estimate the size in memory, so many bytes a pixel, from the first readable image."""
    for image_path, _ in pairs:
        try:
            image = reduce_to(read_photo(image_path), short_side, cv2.INTER_NEAREST)
        except UnusableError:
            continue
        return len(pairs) * image.shape[0] * image.shape[1] * planes
    return 0


# -- videos -----------------------------------------------------------------------------------


class Video(Protocol):
    """
    An annotated clip, wherever its frames are.

    `stride` is how many frames of the camera lie between two of its frames, for data sets that
    have a mask on every fifth one. `source` is the folder of its data set.
    """

    name: str
    stride: int
    source: str

    def __len__(self) -> int:
        """Count the frames."""

    def label(self, index: int) -> Image:
        """
        Give the ids of one frame, (H, W), 255 = void.

        :raises UnusableError: read from the disk, and it cannot be used.
        """

    def frame(self, index: int) -> tuple[Image, Image]:
        """
        Give image (H, W, 3) RGB and ids (H, W) of one frame.

        :raises UnusableError: as `label`.
        """

    def confidence(self, index: int) -> Image | None:
        """
        Tell how sure the ids of one frame are, (H, W), 255 = sure; None = all of them.

        :raises UnusableError: as `label`.
        """


@dataclass
class MemoryVideo:
    """A clip whose frames (H, W, 3) RGB, labels and confidences (H, W) are in memory."""

    name: str
    images: list[Image] = field(default_factory=list)
    labels: list[Image] = field(default_factory=list)
    stride: int = 1
    source: str = ''
    confidences: list[Image | None] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.images)

    def label(self, index: int) -> Image:
        return self.labels[index]

    def frame(self, index: int) -> tuple[Image, Image]:
        return self.images[index], self.labels[index]

    def confidence(self, index: int) -> Image | None:
        return self.confidences[index] if self.confidences else None


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


class FileVideo:
    """A clip whose frames are read from the disk whenever they are asked for."""

    def __init__(self, clip: ClipFiles, binary: bool, short_side: int, findings: Findings) -> None:
        self.name, self.stride = clip.name, clip.stride
        self.source = findings.root.name
        self._clip = clip
        self._binary = binary
        self._short_side = short_side
        self._findings = findings

    def __len__(self) -> int:
        return len(self._clip.pairs)

    def label(self, index: int) -> Image:
        image, mask = self._clip.pairs[index]
        try:
            stored = read_label(mask)
            confidence = _confidence(self._clip, image, stored.shape, self._short_side)
        except UnusableError as error:
            self._refuse(index, error)
        label = reduce_to(stored, self._short_side, cv2.INTER_NEAREST)
        return _ids(label, self._binary, confidence)

    def frame(self, index: int) -> tuple[Image, Image]:
        try:
            image, label, _ = _read_frame(
                self._clip, self._clip.pairs[index], self._binary, self._short_side
            )
        except UnusableError as error:
            self._refuse(index, error)
        return image, label

    def confidence(self, index: int) -> Image | None:
        image, mask = self._clip.pairs[index]
        if self._clip.confidence_of(image) is None:
            return None
        try:
            size = read_label(mask).shape
            return _confidence(self._clip, image, size, self._short_side)
        except UnusableError as error:
            self._refuse(index, error)

    def _refuse(self, index: int, error: UnusableError) -> NoReturn:
        self._findings.add(self._clip.pairs[index][0], str(error))
        self._findings.check()
        raise error


def _read_frame(
    clip: ClipFiles, pair: Pair, binary: bool, short_side: int
) -> tuple[Image, Image, Image | None]:
    """Give image, ids and confidence of a frame, reduced."""
    image, label = read_pair(*pair)
    confidence = _confidence(clip, pair[0], label.shape, short_side)
    label = reduce_to(label, short_side, cv2.INTER_NEAREST)
    return (
        reduce_to(image, short_side, cv2.INTER_AREA),
        _ids(label, binary, confidence),
        confidence,
    )


def _confidence(
    clip: ClipFiles, image: Path, size: tuple[int, ...], short_side: int
) -> Image | None:
    path = clip.confidence_of(image)
    if path is None:
        return None
    return reduce_to(read_confidence(path, size), short_side, cv2.INTER_AREA)


def _ids(label: Image, binary: bool, confidence: Image | None = None) -> Image:
    ids = (label > 0).astype(np.uint8) if binary else label
    return ids if confidence is None else np.where(confidence == 0, VOID, ids).astype(np.uint8)


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
    :raises ValueError: no such folder, or none of these layouts.
    """
    base = _published(root)
    if base is not None:
        return _davis_clips(base) or _flat_clips(base)
    is_listed = _for_training(root / 'ImageSets')
    clips = [
        _clip(folder / 'images', folder / 'masks', folder.name, folder / 'confidence')
        for folder in (root, *_subfolders(root))
        if _is_own_clip(folder) and is_listed(folder.name)
    ]
    if not clips:
        raise ValueError(
            f'{root}: no videos with masks; expected JPEGImages/ and Annotations/ as in DAVIS, '
            'YouTube-VOS or BL30K, or own clips as CLIP/images/ and CLIP/masks/'
        )
    return clips


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
    for folder in _subfolders(root):
        if _is_own_clip(folder) or folder.name == 'ImageSets':
            continue
        lacking = [part for part in ('images', 'masks') if not (folder / part).is_dir()]
        lost = len(list_images(folder / 'images')) if 'images' not in lacking else 0
        message = f'{folder}: is no clip, it has no {"/ and no ".join(lacking)}/'
        findings.files += lost
        findings.add(folder, message, bad=lost)


def _subfolders(path: Path) -> list[Path]:
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
        stray=_stray_masks(masks, {image.stem for image, _ in every}),
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
    sizes = [size for size in _subfolders(base / 'JPEGImages') if _subfolders(size)]
    if not sizes:
        return []
    # the full data set holds the same clips twice, the other time at several times the size
    size = next((one for one in sizes if one.name == '480p'), sizes[0])
    is_listed = _for_training(base / 'ImageSets')
    return [
        _clip(
            folder,
            base / 'Annotations' / size.name / folder.name,
            folder.name,
            base / 'Confidences' / size.name / folder.name,
        )
        for folder in _subfolders(size)
        if is_listed(folder.name)
    ]


def _for_training(folder: Path) -> Callable[[str], bool]:
    """Tell clips to train on: those of the train lists, else all but those of the val lists."""
    train, val = (_names_in(folder, split) for split in ('train', 'val'))
    if train is not None:
        return lambda name: name in train
    return lambda name: name not in (val or ())


def _names_in(folder: Path, split: str) -> set[str] | None:
    """Read the names in the lists of a split; None where there is no list."""
    files = sorted(folder.rglob(f'{split}.txt'))
    first = [line.split()[0] for file in files for line in file.read_text().splitlines() if line]
    # 2016 lists the files of every frame, /JPEGImages/480p/bear/00000.jpg, 2017 names alone
    return {Path(one).parent.name if '/' in one else one for one in first} if files else None


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
        for folder in _subfolders(base / 'JPEGImages')
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


def _start_of(clip: ClipFiles, findings: Findings) -> tuple[ClipFiles, bool]:
    """
    Leave out frames without a mask, and those before the first object is seen.

    :return: what remains, and whether masks are binary, which the first one tells.
    """
    pairs = []
    for image, mask in clip.pairs:
        if mask.exists():
            pairs.append((image, mask))
        else:
            findings.add(image, f'{mask}: there is no such mask')
    binary = False
    empty: list[Pair] = []
    while pairs:
        image, mask = pairs[0]
        try:
            label = read_label(mask)
        except UnusableError as error:
            findings.add(image, str(error))
        else:
            if ((label > 0) & (label < VOID)).any() or is_binary(label):
                binary = is_binary(label)
                break
            empty.append(pairs[0])
        del pairs[0]
    for image, mask in empty:  # before an object comes they are no fault of the data
        message = f'{mask}: no object yet; a clip starts with its first object'
        findings.add(image, message, bad=0 if pairs else 1)
    for mask in clip.stray:
        findings.add(mask, _STRAY.format(mask), bad=0)
    if len(pairs) < 2:
        _name_short(clip, len(pairs), findings)
    return replace(clip, pairs=tuple(pairs)), binary


def _read_video(
    clip: ClipFiles, binary: bool, short_side: int, findings: Findings
) -> MemoryVideo | None:
    """Read every frame of a clip that `_start_of` has seen; None where too few can be used."""
    video = MemoryVideo(clip.name, stride=clip.stride, source=findings.root.name)

    def read(pair: Pair) -> tuple[Image, Image, Image | None]:
        return _read_frame(clip, pair, binary, short_side)

    for pair, found in _read_ahead(read, clip.pairs):
        if isinstance(found, UnusableError):
            findings.add(pair[0], str(found))
        else:
            video.images.append(found[0])
            video.labels.append(found[1])
            video.confidences.append(found[2])
    if len(video) < 2:
        _name_short(clip, len(video), findings)
        return None
    return video


def _name_short(clip: ClipFiles, left: int, findings: Findings) -> None:
    """Name a clip that is left out; the frames that are lost with it count as unusable."""
    findings.add(clip.folder, f'{clip.folder}: fewer than two usable frames', bad=left)


def load_videos(
    roots: Sequence[Path],
    short_side: int = 384,
    *,
    memory: int = MEMORY_BYTES,
    max_bad_share: float = MAX_BAD_SHARE,
) -> list[Video]:
    """
    Open the clips of data sets in the layouts of `find_clips`.

    :param short_side: larger frames are reduced to it, px.
    :param memory: bytes for all of them together; a set that does not fit into what earlier ones
        left of it is read from the disk.
    :param max_bad_share: of each set's frames that may be unusable.
    :raises ValueError: nothing there, or too much of it unusable.
    """
    videos: list[Video] = []
    for root in roots:
        clips = find_clips(root)
        findings = Findings(root, sum(len(clip.pairs) for clip in clips), max_bad_share)
        name_no_clips(root, findings)
        planes = 5 if any(clip.confidences is not None for clip in clips) else 4
        size = _bytes_of([pair for clip in clips for pair in clip.pairs], short_side, planes)
        unmasked = sum(clip.unmasked for clip in clips)
        if unmasked:
            log.info('%s: %d frames have no mask and need none', root, unmasked)
        is_small = size <= memory
        memory -= size if is_small else 0
        if not is_small:
            log.info('%s: %d clips are read from the disk as needed', root, len(clips))
        found: list[Video] = []
        for clip in clips:
            usable, binary = _start_of(clip, findings)
            if len(usable.pairs) < 2:
                continue
            if is_small:
                video = _read_video(usable, binary, short_side, findings)
                found += [video] if video is not None else []
            else:
                found.append(FileVideo(usable, binary, short_side, findings))
        findings.check()
        if not found:
            raise ValueError(f'{root}: no clip is left to train on; {findings.first()}')
        videos += found
    return videos


# -- all of it --------------------------------------------------------------------------------


def check_data(root: Path, stills: str = 'static', videos: Sequence[str] = ()) -> list[str]:
    """
    Read everything that training would read and collect what it would leave out.

    :param root: the folder that a recipe's `stills` and `videos` are relative to.
    :param stills: folder of photographs; not looked at where it is missing.
    :param videos: data sets; empty = every other folder of `root`.
    :return: one message for every problem, none where all is well.
    :raises ValueError: there is nothing to check.
    """
    pairs = _still_pairs(root / stills)
    roots = [root / v for v in videos] or [f for f in _subfolders(root) if f.name != stills]
    if not pairs and not roots:
        raise ValueError(f'{root}: nothing to check, neither {stills}/ nor videos')
    messages: list[str] = []
    of_stills = _still_findings(root / stills, pairs, tell=messages.append)
    _name_stray_labels(pairs, of_stills)
    for _ in _read_stills(pairs, _CHECK_PX, of_stills):
        pass
    for of_videos in roots:
        try:
            clips = find_clips(of_videos)
        except ValueError as error:
            messages.append(str(error))
            continue
        findings = Findings(of_videos, len(clips), tell=messages.append)
        name_no_clips(of_videos, findings)
        for clip in clips:
            usable, binary = _start_of(clip, findings)
            if len(usable.pairs) >= 2:
                _read_video(usable, binary, _CHECK_PX, findings)
    return messages
