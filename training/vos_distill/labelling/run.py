# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Label a folder of raw videos and write a data set in DAVIS's layout, clip by clip.

`JPEGImages/480p/CLIP/*.jpg`, `Annotations/480p/CLIP/*.png` (ids, 255 = void), and beside them
`Confidences/480p/CLIP/*.png` (255 = sure), `ImageSets/2017/train.txt` (the clips),
`labels/VIDEO.json` (what was found and how well it agrees; a video that has one is done) and
`index.html` (strips to look at).
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
import json
from pathlib import Path
import shutil
import time
from typing import Any

import cv2
import numpy as np

from vos_distill.data import VOID
from vos_distill.data.files import Image, reduce_to
from vos_distill.labelling.agreement import (
    areas_of,
    close_gaps,
    Judgement,
    label_clip,
    propose_near,
    runs_of,
)
from vos_distill.labelling.follow import Tracker
from vos_distill.labelling.page import Strip, write_page
from vos_distill.labelling.process import Rules
from vos_distill.labelling.salient import Salient
from vos_ros.engine.preprocess import fit_label_map
from vos_ros.errors import VosError
from vos_ros.formats.label_png import read_prompt_png, write_label_png
from vos_ros.sequences import open_sequence
from vos_ros.sequences.folder import list_images

_NO_MASKS = ('.jpg', '.jpeg', '.bmp', '.gif', '.tif', '.tiff', '.webp', '.npy')
_VIDEOS = ('.mp4', '.avi', '.mov', '.mkv', '.webm', '.m4v')
_QUALITY = 92
_STRIP_FRAMES = 8  # frames in a strip
_PROPOSED = 0.7  # agreement that a frame needs where no person has said what the object is
_UNSEEN = 0.0  # agreement where the segmenter does not draw again what it has proposed itself

Box = tuple[int, int, int, int]  # x0, y0, x1, y1


@dataclass(frozen=True)
class Options:
    """
    How videos are read and cut.

    :param every: of their frames, every n-th is labelled.
    :param most: frames of one video; longer ones are cut into windows of so many.
    :param short_side: larger frames are reduced to it, px.
    :param backwards: check by following back.
    :param objects: proposed at most, where neither mask nor box is given. The second and third
        thing that stands out is often a picture on a wall.
    """

    every: int = 1
    most: int = 120
    short_side: int = 480
    backwards: bool = True
    objects: int = 1


def find_videos(root: Path) -> list[Path]:
    """
    List video files and folders of frames in a folder, or the one that it is.

    :raises ValueError: there are none.
    """
    if root.is_file():
        return [root]
    if root.is_dir() and list_images(root):
        return [root]
    found = [
        path
        for path in sorted(root.iterdir() if root.is_dir() else ())
        if not path.name.startswith('.')
        and (path.suffix.lower() in _VIDEOS if path.is_file() else bool(list_images(path)))
    ]
    if not found:
        raise ValueError(
            f'{root}: no videos; expected files such as clip.mp4, or folders of frames'
        )
    return found


def name_of(video: Path) -> str:
    """Give the name that the clips of a video begin with: no blanks, which end a name in lists."""
    return '_'.join((video.name if video.is_dir() else video.stem).split())


def label_videos(
    root: Path,
    out: Path,
    tracker: Tracker,
    salient: Salient,
    *,
    masks: Path | None = None,
    boxes: Mapping[str, Sequence[Box]] | None = None,
    options: Options = Options(),
    rules: Rules = Rules(),
    judgement: Judgement = Judgement(),
    proposer: Salient | None = None,
    on_line: Callable[[str], None] = print,
) -> int:
    """
    Label every video that is not done yet, or was done from another mask or box.

    :param root: as `find_videos` takes it.
    :param out: data set to write, or to go on with.
    :param masks: folder with VIDEO.png, the mask of a video's first frame; one that has none is
        prompted by its boxes, or by what the segmenter finds on the whole first frame.
    :param boxes: per video, a box for each object on its first frame, px.
    :param proposer: segmenter for whole first frames; None = `salient`. On whole frames a smaller
        input finds nothing in many of them.
    :param on_line: gets one line for each video.
    :return: frames labelled in this call.
    :raises ValueError: no videos, two of one name, masks or boxes of a video that is not there, or
        no clip that could be labelled. One that cannot be read stops nothing: it is told.
    :raises Exception: what the tracker raises, to stop; what is written is whole.
    """
    videos = find_videos(root)
    done = out / 'labels'
    began, frames = time.monotonic(), 0
    twice = [name for name, n in Counter(map(name_of, videos)).items() if n > 1]
    if twice:
        raise ValueError(
            f'{root}: several videos are called {", ".join(sorted(twice))}; rename one of them'
        )
    starts = _starts_of(videos, masks, boxes or {})
    done.mkdir(parents=True, exist_ok=True)
    settings = {
        'rules': asdict(rules), 'judgement': asdict(judgement), 'options': asdict(options),
    }  # fmt: skip
    before = {v: _read_json(done / f'{name_of(v)}.json') for v in videos}
    todo = [v for v in videos if not _is_done(before[v], starts[v])]
    _tell_what_is_done({name_of(v): before[v] for v in videos if v not in todo}, settings, on_line)
    failed = 0
    for number, video in enumerate(todo, 1):
        try:
            found = _label_video(
                video, out, tracker, salient, proposer or salient, starts[video], options, rules,
                judgement,
            )  # fmt: skip
        except (VosError, OSError) as error:
            on_line(f'{number}/{len(todo)} {name_of(video)}: left out: {error}')
            failed += 1
            continue
        kept = len({frame for clip in found['clips'] for frame in clip['frames']})
        frames += kept
        _write_json(done / f'{name_of(video)}.json', {**found, **settings})
        _remove_clips(out, before[video], found)
        _write_list(out)
        write_page(out, _strips(out))
        left = (time.monotonic() - began) / number * (len(todo) - number)
        why = f' ({found["why"]})' if found['why'] else ''
        on_line(
            f'{number}/{len(todo)} {name_of(video)}, {starts[video]}: {kept} of {found["read"]} '
            f'frames in {len(found["clips"])} clips{why}, agreement {found["agreement"]:.2f}; '
            f'about {left / 60:.0f} min left'
        )
    if failed and failed == len(videos):
        raise ValueError(f'{root}: none of {failed} videos could be labelled, see above')
    names = _write_list(out)
    write_page(out, _strips(out))
    if not names:
        raise ValueError(
            f'{out}: holds no clip, as nothing could be labelled; {done}/*.json say why'
        )
    return frames


def _given_name(video: Path) -> str:
    """Give the name by which a person calls a video when giving its mask or box."""
    return video.name if video.is_dir() else video.stem


@dataclass(frozen=True)
class Start:
    """
    What a video begins with.

    :param mask: of its first frame, beats the boxes.
    :param boxes: one for each object, px. Without both the segmenter proposes.
    """

    mask: Path | None = None
    boxes: tuple[Box, ...] = ()

    def __str__(self) -> str:
        """Say what it is."""
        if self.mask is not None:
            return 'from its mask'
        return 'from its box' if self.boxes else 'from what stands out'

    def as_json(self) -> dict[str, Any]:
        """Give what tells it from another one."""
        if self.mask is not None:
            return {'mask': sha256(self.mask.read_bytes()).hexdigest()}
        return {'boxes': [list(box) for box in self.boxes]} if self.boxes else {}


def _starts_of(
    videos: Sequence[Path], masks: Path | None, boxes: Mapping[str, Sequence[Box]]
) -> dict[Path, Start]:
    """
    Find what is given for each video.

    :raises ValueError: something is given that is of no video, or no PNG.
    """
    names = {_given_name(video) for video in videos}
    if masks is not None and not masks.is_dir():
        raise ValueError(f'{masks}: there is no such folder; give one with VIDEO.png')
    by_name: dict[str, Path] = {}
    others: list[Path] = []
    for path in sorted(masks.iterdir()) if masks is not None else ():
        if path.name.startswith('.'):
            continue
        if path.suffix.lower() != '.png':
            others.append(path)
        elif path.stem in by_name:
            raise ValueError(f'{path}: {by_name[path.stem].name} is for the same video')
        else:
            by_name[path.stem] = path
    for path in others:
        if path.stem in names - by_name.keys() and path.suffix.lower() in _NO_MASKS:
            raise ValueError(f'{path}: masks are PNG files; store it as {path.stem}.png')
    strays = by_name.keys() | boxes.keys()
    if strays - names:
        raise ValueError(
            f'there is no video {", ".join(sorted(strays - names))} for the mask or box given; '
            f'there are {", ".join(sorted(names)[:10])}'
        )
    return {
        video: Start(by_name.get(_given_name(video)), tuple(boxes.get(_given_name(video), ())))
        for video in videos
    }


def _is_done(before: dict[str, Any] | None, start: Start) -> bool:
    """Tell whether a video need not be done: what is given now is what it was done from."""
    if before is None:
        return False
    given = start.as_json()
    return not given or before.get('start', given) == given


def _tell_what_is_done(
    done: Mapping[str, dict[str, Any] | None],
    settings: Mapping[str, Any],
    on_line: Callable[[str], None],
) -> None:
    if done:
        on_line(f'{len(done)} videos are done already')
    others = [
        name
        for name, found in done.items()
        if found is not None
        and any(found.get(key, settings[key]) != settings[key] for key in settings)
    ]
    if others:
        more = f' and {len(others) - 5} more' if len(others) > 5 else ''
        on_line(
            f'{", ".join(others[:5])}{more}: done with other options, which stay; to do one anew, '
            f'delete labels/{others[0]}.json'
        )


def _remove_clips(out: Path, before: dict[str, Any] | None, found: dict[str, Any]) -> None:
    """Remove the clips that a video had and has no more."""
    here = {clip['name'] for clip in found['clips']}
    for clip in (before or {}).get('clips', ()):
        if clip['name'] not in here:
            for part in ('JPEGImages', 'Annotations', 'Confidences'):
                shutil.rmtree(out / part / '480p' / clip['name'], ignore_errors=True)


def _write_list(out: Path) -> list[str]:
    """Name the clips that are there for the trainer and for `vos eval`; give their names."""
    names = [
        clip['name']
        for file in sorted((out / 'labels').glob('*.json'))
        for clip in json.loads(file.read_text())['clips']
        if (out / 'JPEGImages' / '480p' / clip['name']).is_dir()
    ]
    path = out / 'ImageSets' / '2017' / 'train.txt'
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix('.partial')
    partial.write_text(''.join(f'{name}\n' for name in names))
    partial.rename(path)
    return names


def _label_video(
    video: Path,
    out: Path,
    tracker: Tracker,
    salient: Salient,
    proposer: Salient,
    given: Start,
    options: Options,
    rules: Rules,
    judgement: Judgement,
) -> dict[str, Any]:
    read, seen = 0, frozenset[int]()  # windows share a frame
    clips: list[dict[str, Any]] = []
    agreements: list[float] = []
    label: Image | None = None
    is_given = False
    for window, numbers, full in _windows(video, options):
        if not read:
            label = _first(video, window[0], full, salient, given)
            is_given = label is not None
        read = len(seen := seen.union(numbers))
        if label is None or not label.any():
            if is_given:
                break  # another object must not take the place of the one that was meant
            start, label = propose_near(window, proposer, salient, options.objects, rules)
        else:
            start = 0
        if label is None or len(window) < 2:
            continue
        found = label_clip(
            window, label, tracker, salient, start=start, rules=rules, judgement=judgement,
            backwards=options.backwards, alone=1.0 if is_given else _UNSEEN,
        )  # fmt: skip
        agreements += found.agreement
        cut = judgement if is_given else replace(judgement, frame=max(judgement.frame, _PROPOSED))
        runs = runs_of(found.agreement, cut, areas_of(found.labels))
        for run in runs:
            name = f'{name_of(video)}_{numbers[run[0]]:05d}'
            kept = run.tolist()
            _write_clip(out, name, window, found.labels, found.confidence, numbers, kept)
            clips.append(
                {
                    'name': name,
                    'frames': [int(numbers[i]) for i in run],
                    'agreement': [round(found.agreement[i], 3) for i in run],
                }
            )
        # the next window goes on with the objects of this one, or what stands out by then
        is_kept = bool(runs) and runs[-1][-1] == len(window) - 1
        label = close_gaps(found.best[-1]) if is_kept else None
    if read < 2:
        raise VosError('one frame only; nothing can be followed')
    why = ''
    if not agreements:
        why = 'nothing stands out; give a mask or a box of its first frame'
    elif not clips:
        least = judgement.frame if is_given else max(judgement.frame, _PROPOSED)
        why = f'no {judgement.shortest} frames in a row with an agreement of {least:g}'
    return {
        'video': video.name,
        'start': given.as_json(),
        'read': read,
        'agreement': round(float(np.mean(agreements)), 3) if agreements else 0.0,
        'why': why,
        'clips': clips,
    }


def _windows(video: Path, options: Options) -> Any:
    """Give the frames of a video in windows that overlap by one frame, with their numbers."""
    images: list[Image] = []
    numbers: list[int] = []
    full = (0, 0)
    for number, frame in enumerate(open_sequence(video)):
        if number % options.every:
            continue
        full = frame.size
        images.append(reduce_to(frame.image, options.short_side, cv2.INTER_AREA).copy())
        numbers.append(number)
        if len(images) == options.most:
            yield images, numbers, full
            images, numbers = images[-1:], numbers[-1:]
    if len(images) > 1 or numbers == [0]:
        yield images, numbers, full


def _first(
    video: Path, image: Image, full: tuple[int, int], salient: Salient, given: Start
) -> Image | None:
    """
    Find the first mask that was given for a video: a mask, or boxes; None where there is neither.

    :param image: the first frame, reduced.
    :param full: (H, W) of the video, in whose pixels boxes are.
    :raises VosError: the mask cannot be read, is of another shape, or a box shows nothing.
    """
    path, boxes = given.mask, given.boxes
    if path is not None:
        stored = read_prompt_png(path)
        if stored.max() >= VOID:
            raise VosError(f'{path}: id {stored.max()} is out of range; ids are 1..254')
        fitted = fit_label_map(stored, (image.shape[0], image.shape[1])).astype(np.uint8)
        if not fitted.any():
            raise VosError(f'{path}: the mask is empty; draw the object on the first frame')
        return close_gaps(fitted)
    if not boxes:
        return None
    label = np.zeros(image.shape[:2], np.uint8)
    scale = image.shape[0] / full[0]
    for object_id, box in enumerate(boxes, 1):
        if box[0] >= full[1] or box[1] >= full[0]:
            raise VosError(f'the box {box} is outside of the video, {full[1]}x{full[0]} px')
        x0, y0, x1, y1 = (round(v * scale) for v in box)
        inside = np.zeros(label.shape, np.bool_)
        inside[y0:y1, x0:x1] = True
        grown = np.s_[
            max(y0 - (y1 - y0) // 5, 0) : y1 + (y1 - y0) // 5,
            max(x0 - (x1 - x0) // 5, 0) : x1 + (x1 - x0) // 5,
        ]
        found = np.zeros(label.shape, np.float32)
        found[grown] = salient(np.ascontiguousarray(image[grown]))
        mask = (found > 0.5) & inside & (label == 0)
        if not mask.any():
            raise VosError(
                f'the segmenter finds nothing in the box {box}; draw a mask of the first frame '
                f'and give it as MASKS/{_given_name(video)}.png'
            )
        label[mask] = object_id
    return close_gaps(label)


def _write_clip(
    out: Path,
    name: str,
    images: Sequence[Image],
    labels: Sequence[Image],
    confidence: Sequence[Image],
    numbers: Sequence[int],
    run: Sequence[int],
) -> None:
    """Write the frames of one run; a clip that a killed call left half is written anew."""
    goals = [out / part / '480p' / name for part in ('Confidences', 'Annotations', 'JPEGImages')]
    folders = [out / '.partial' / goal.parent.parent.name for goal in reversed(goals)]
    shutil.rmtree(out / '.partial', ignore_errors=True)
    for folder in folders:
        folder.mkdir(parents=True)
    for i in run:
        stem = f'{numbers[i]:05d}'
        photo = cv2.cvtColor(images[i], cv2.COLOR_RGB2BGR)
        _checked(
            cv2.imwrite(
                str(folders[0] / f'{stem}.jpg'), photo, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
            ),
            folders[0],
        )
        write_label_png(folders[1] / f'{stem}.png', labels[i])
        _checked(cv2.imwrite(str(folders[2] / f'{stem}.png'), confidence[i]), folders[2])
    # images last: a trainer that starts now sees a whole clip or none
    for folder, goal in zip(reversed(folders), goals, strict=True):
        shutil.rmtree(goal, ignore_errors=True)
        goal.parent.mkdir(parents=True, exist_ok=True)
        folder.rename(goal)
    (out / '.partial').rmdir()


def _checked(is_written: bool, folder: Path) -> None:
    if not is_written:
        raise OSError(f'{folder}: cannot be written; is the disk full?')


def _write_json(path: Path, content: dict[str, Any]) -> None:
    partial = path.with_suffix('.partial')
    partial.write_text(json.dumps(content, indent=1))
    partial.rename(path)


def _read_json(path: Path) -> dict[str, Any] | None:
    return dict(json.loads(path.read_text())) if path.exists() else None


def _strips(out: Path) -> list[Strip]:
    """Collect what the page shows from what is written: a resumed call shows all of it."""
    strips = []
    for file in sorted((out / 'labels').glob('*.json')):
        content = json.loads(file.read_text())
        for clip in content['clips']:
            frames = clip['frames']
            step = max(len(frames) / _STRIP_FRAMES, 1)
            indices = [int(i * step) for i in range(min(len(frames), _STRIP_FRAMES))]
            strips.append(
                Strip(
                    clip['name'],
                    len(frames),
                    float(np.mean(clip['agreement'])),
                    [
                        (
                            out / 'JPEGImages' / '480p' / clip['name'] / f'{frames[i]:05d}.jpg',
                            out / 'Annotations' / '480p' / clip['name'] / f'{frames[i]:05d}.png',
                        )
                        for i in indices
                    ],
                )
            )
        if not content['clips']:
            strips.append(Strip(file.stem, 0, content['agreement'], []))
    return sorted(strips, key=lambda one: one.agreement)
