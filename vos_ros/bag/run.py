# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""From a bag to a report, a page and a bag of masks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vos_ros.bag import page, report
from vos_ros.bag.observe import MaskBag, MASKS, open_mask_bag, PageFrames
from vos_ros.bag.reader import BagReader
from vos_ros.bag.replay import Cost, Observers, Outcome, replay
from vos_ros.bag.report import OFFLINE, Setting
from vos_ros.bag.sequence import CAMERA, INIT, TRUTH
from vos_ros.bag.truth import (
    BagFrame,
    NoTruth,
    open_prompts,
    open_truth,
    Prompts,
    read_frames,
    Truth,
)
from vos_ros.config import parse_range
from vos_ros.errors import VosError
from vos_ros.evaluation.evaluate import objects_for, Stepper, write_json
from vos_ros.evaluation.page import Figure
from vos_ros.evaluation.results import writing
from vos_ros.formats.masks import ids_in

REPORT, PAGE, LOGS = 'report.json', 'index.html', 'logs'
_CAMERAS = (CAMERA, f'{CAMERA}/compressed')


@dataclass(frozen=True)
class Input:
    """
    What of a bag is used.

    :param bag: that is replayed.
    :param image: topic of the camera.
    :param frames: messages on it.
    :param gt: topic, folder or 'none'; see `open_truth`.
    :param init: 'first', 'topic' or a file; see `open_prompts`.
    :param init_topic: of the init masks.
    :param image_range: counts of 16 bit images that become black and white, or 'auto'.
    """

    bag: BagReader
    image: str
    frames: int
    gt: str
    init: str
    init_topic: str
    image_range: str = 'auto'

    def images(self) -> Iterator[BagFrame]:
        """Read the camera's images in order."""
        return read_frames(self.bag, self.image, parse_range(self.image_range))

    def digest(self) -> str:
        """Hash what of the bag is used, so that a report says what it is about."""
        topics = [self.image, self.gt, *([self.init_topic] if self.init == 'topic' else [])]
        return self.bag.digest([topic for topic in topics if topic in self.bag.topics])

    def truth(self) -> Truth:
        """Open the ground truth at its beginning."""
        return open_truth(self.bag, self.gt)

    def prompts(self) -> Prompts:
        """Open the init masks at their beginning."""
        return open_prompts(self.bag, self.init, self.init_topic)


def open_input(
    bag: BagReader | Path,
    *,
    image: str = '',
    gt: str = TRUTH,
    init: str = 'first',
    init_topic: str = INIT,
    image_range: str = 'auto',
) -> Input:
    """
    Open a bag and find what is needed in it, so that nothing is wrong later.

    :param bag: opened, or its path.
    :param image: topic of the camera; empty = as `make_bag` calls it.
    :param gt: topic, folder of PNG files, or 'none'.
    :param init: 'first', 'topic' or the path of a PNG file.
    :param init_topic: of the init masks.
    :param image_range: counts of 16 bit images that become black and white, as LOW,HIGH, or auto.
    :raises VosError: something is missing or damaged; says what to do.
    """
    parse_range(image_range)
    bag = BagReader(bag) if isinstance(bag, Path) else bag
    image = image or next((name for name in _CAMERAS if name in bag.topics), CAMERA)
    topic = bag.require(image, 'the camera', '--image')
    found = Input(bag, image, topic.count, gt, init, init_topic, image_range)
    has_truth = not isinstance(found.truth(), NoTruth)
    if init == 'first' and not has_truth:
        raise VosError(
            'with --gt none there is no true mask to start from; give --init topic or '
            '--init FILE.png'
        )
    found.prompts()
    return found


def most_objects(given: Input) -> int:
    """
    Count the objects that a segmenter must hold at once.

    :param given: whose true and init masks are all read; of the images only their headers.
    :return: at least the default of `max_objects`, at most what can be set.
    :raises VosError: a mask cannot be read.
    """
    found: set[int] = set()
    truth, prompts = given.truth(), given.prompts()
    for frame in given.images():
        label_map = truth.at(frame)
        prompt = prompts.at(frame, label_map)
        for part in (label_map, None if prompt is None else prompt.label_map):
            found.update(() if part is None else ids_in(part))
    return objects_for(len(found))


def simulate(
    given: Input, segmenter: Stepper, *, mode: str, cost_ms: float | None, observers: Observers
) -> Outcome:
    """
    Replay on the simulated clock.

    :param given: what of which bag.
    :param segmenter: what is measured.
    :param mode: 'offline' or 'realtime'.
    :param cost_ms: of a frame, with 'realtime'; None = as measured.
    :param observers: who looks on.
    :raises VosError: bad input.
    """
    cost = None if mode == OFFLINE else Cost(cost_ms)
    return replay(given.images(), segmenter, given.truth(), given.prompts(), cost, observers)


def evaluate(
    given: Input,
    setting: Setting,
    play: Callable[[Observers], tuple[Outcome, Mapping[str, Any]]],
    out: Path,
    *,
    masks: bool,
    on_deleted: Callable[[int], None] = lambda _: None,
    on_frame: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """
    Replay a bag and write report.json, index.html and masks/masks.mcap.

    :param given: what of which bag.
    :param setting: for the report.
    :param play: replays, and says what ran: `model` with its sha256, and what else is known.
    :param out: folder for the results; must exist.
    :param masks: write the bag of masks.
    :param on_deleted: called with the number of files of an earlier run that had to go.
    :param on_frame: called after every frame.
    :return: content of report.json.
    :raises VosError: bad input, or the results cannot be written.
    """
    page_frames = PageFrames(given.frames)
    observers = Observers([page_frames.on_frame, lambda _: on_frame()], [])
    inputs = [given.bag.path, *map(Path, (given.gt, given.init))]
    with writing(out, (REPORT, PAGE, str(MASKS), LOGS), inputs=inputs) as deleted:
        on_deleted(deleted)
        with ExitStack() as stack:
            if masks:
                writer = MaskBag(stack.enter_context(open_mask_bag(out)))
                observers.on_frame.append(writer.on_frame)
                observers.on_mask.append(writer.on_mask)
            outcome, run = play(observers)
        return write_results(given, setting, outcome, run, page_frames.figures(), out)


def write_results(
    given: Input,
    setting: Setting,
    outcome: Outcome,
    run: Mapping[str, Any],
    figures: Sequence[Figure],
    out: Path,
    *,
    per_frame: bool = False,
    video: str = '',
) -> dict[str, Any]:
    """
    Write report.json and index.html.

    :param outcome: what came out.
    :param run: see `evaluate`.
    :param figures: frames for the page.
    :param per_frame: the page shows each mask on its own image, not at each stamp the newest one.
    :param video: for the page; see `page.build`.
    :return: content of report.json.
    :raises VosError: the results cannot be written.
    """
    hashes = {'bag': given.digest(), 'model': run['model']['sha256']}
    content = report.build(setting, outcome, hashes, run)
    write_json(out / REPORT, content)
    text = page.build(content, outcome, figures, per_frame=per_frame, video=video)
    try:
        (out / PAGE).write_text(text)
    except OSError as error:
        raise VosError(f'cannot write {out / PAGE}: {error.strerror}') from error
    return content


def first_image(given: Input) -> BagFrame:
    """Return the first camera image, decoded, so that a wrong encoding shows at once."""
    frame = next(given.images())
    _ = frame.image
    return frame
