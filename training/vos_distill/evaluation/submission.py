# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Masks for the server of YouTube-VOS, made by the engine of the robot, without torch.

Only prompts are known there: an object's mask stands in the file of the frame on which it first
appears, and objects may join late. Videos in DAVIS layout of which only the first frame has a
mask (test-dev) work in the same way.
"""

from collections.abc import Iterator
import json
from pathlib import Path
import shutil

from vos_ros.datatypes import Frame, LabelMap
from vos_ros.evaluation.evaluate import evaluate_sequence, MaskWriter, Observation, Stepper
from vos_ros.sequences import DavisSequence, open_davis

MAX_OBJECTS = 32  # more than any video there has; the engine's own default may be too few
META = 'meta.json'
_NS = 1_000_000_000
# File names are frame numbers at this rate, even where only every fifth frame is there.
_YOUTUBE_HZ = 30.0


class Video:
    """
    A video whose stamps follow from its frames' numbers: frames that were left out are time too.

    Without that everything would seem to move five times as fast, and the engine would not
    believe its own masks.
    """

    def __init__(self, sequence: DavisSequence, rate_hz: float) -> None:
        self._sequence, self._rate_hz = sequence, rate_hz
        names = sequence.frame_names
        numbers = [int(name) for name in names] if all(map(str.isdecimal, names)) else []
        self._numbers = numbers or list(range(len(names)))
        self.name, self.frame_names = sequence.name, names

    def __len__(self) -> int:
        """Count the frames."""
        return len(self._sequence)

    def __iter__(self) -> Iterator[Frame]:
        """Read the frames, as rgb8."""
        for number, frame in zip(self._numbers, self._sequence, strict=True):
            yield Frame(frame.image, stamp_ns=round(number * _NS / self._rate_hz))

    def label_map(self, index: int) -> LabelMap | None:
        """Read the mask of a frame; None where there is none."""
        return self._sequence.label_map(index)


class _WantedWriter(MaskWriter):
    """Writes the masks of those frames that the server asks for."""

    def __init__(self, folder: Path, wanted: dict[str, set[str]]) -> None:
        super().__init__(folder)
        self._wanted = wanted
        self.written = 0

    def __call__(self, seen: Observation) -> None:
        wanted = self._wanted.get(seen.sequence.name)
        if wanted is None or seen.name in wanted:
            super().__call__(seen)
            self.written += 1


def open_videos(root: Path, split: str = 'all') -> tuple[list[Video], dict[str, set[str]]]:
    """
    Open the videos of a split and find out which frames are asked for.

    :param root: folder with `JPEGImages`, `Annotations` and maybe `meta.json`, or the one above
        its `valid`.
    :param split: list in ImageSets, for DAVIS; 'all' = every video found.
    :return: the videos; per video the names of the frames that `meta.json` lists. A video that is
        not in there is wanted whole.
    :raises ValueError: a broken `meta.json`; VosError: no such layout.
    """
    if not (root / 'JPEGImages').is_dir() and (root / 'valid').is_dir():
        root = root / 'valid'
    wanted = _wanted_frames(root / META)
    sequences = open_davis(root, split=split)
    is_youtube = (root / META).is_file()
    videos = [Video(s, _YOUTUBE_HZ if is_youtube else s.rate_hz) for s in sequences]
    return videos, wanted


def write_submission(
    segmenter: Stepper, root: Path, out: Path, *, split: str = 'all', archive: bool = False
) -> tuple[int, int, list[str]]:
    """
    Segment all videos and write `out/Annotations/<video>/<frame>.png`.

    The files are indexed with DAVIS's palette, at the size of the frame; ids are the given ones.

    :param segmenter: of the engine.
    :param root: see `open_videos`.
    :param archive: write `out/submission.zip` too.
    :return: videos, files written, and warnings of the engine.
    :raises ValueError: `out` has masks already, or `meta.json` names frames that are not there.
    """
    videos, wanted = open_videos(root, split)
    folder = out / 'Annotations'
    if folder.exists():
        raise ValueError(f'{folder} exists: old masks would be sent too; choose another folder')
    for video in videos:
        missing = sorted(wanted.get(video.name, set()) - set(video.frame_names))
        if missing:
            raise ValueError(
                f'{root}: {META} asks for frame {missing[0]} of {video.name}, which has no image'
            )
    writer = _WantedWriter(folder, wanted)
    warnings = []
    for video in videos:
        report = evaluate_sequence(segmenter, video, observers=[writer])
        warnings += [f'{video.name}: {warning}' for warning in report.warnings]
    if archive:
        shutil.make_archive(str(out / 'submission'), 'zip', out, 'Annotations')
    return len(videos), writer.written, warnings


def _wanted_frames(path: Path) -> dict[str, set[str]]:
    """Read which frames of each video any object is asked for on; none without the file."""
    if not path.is_file():
        return {}
    try:
        videos = json.loads(path.read_text())['videos']
        listed = {
            name: [
                object_['frames'] for object_ in video['objects'].values() if 'frames' in object_
            ]
            for name, video in videos.items()
        }
        return {name: set().union(*frames) for name, frames in listed.items() if frames}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f'{path} is not the meta.json of YouTube-VOS: {error!r}') from error
