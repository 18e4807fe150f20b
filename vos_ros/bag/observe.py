# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Who looks on while a bag is replayed: the bag of masks, and the frames for the page."""

from __future__ import annotations

import math
from pathlib import Path

from vos_ros.bag.messages import COMPRESSED, compressed_bytes, IMAGE, label_bytes
from vos_ros.bag.replay import Published, Scored
from vos_ros.bag.writer import BagWriter
from vos_ros.datatypes import LabelMap
from vos_ros.errors import VosError
from vos_ros.evaluation.page import Figure
from vos_ros.evaluation.worst import ScoredFrame, WorstFrames
from vos_ros.formats.drawing import draw_ids, draw_overlay, to_rgb

LABELS, OVERLAY = '/vos/labels', '/vos/overlay/compressed'
MASKS = Path('masks')
_NS_PER_MS = 1_000_000
_FIGURES = 6
# Neighbouring frames fail alike.
_APART = 6


class MaskBag:
    """
    Writes camera images, label maps and overlays beside each other; see `open_mask_bag`.

    A mask has the header of its image and is recorded when it was published, so that a player
    shows it as late as it was.

    :param bag: to write to.
    """

    def __init__(self, bag: BagWriter) -> None:
        self._bag = bag

    def on_frame(self, seen: Scored) -> None:
        """Write a camera image, as it was recorded."""
        if seen.record.loop == 0:
            message = seen.frame.message
            self._bag.write(message.topic, message.kind, message.log_ns, message.data)

    def on_mask(self, mask: Published) -> None:
        """Write a label map, and a picture for people."""
        frame, image = mask.frame, mask.frame.image
        log_ns = frame.message.log_ns + mask.at_ns - frame.time_ns
        header = (frame.stamp_ns, image.frame_id)
        self._bag.write(LABELS, IMAGE, log_ns, label_bytes(mask.label_map, *header))
        painted = draw_overlay(to_rgb(image), mask.label_map)
        picture = draw_ids(painted, mask.label_map)
        jpeg = compressed_bytes(picture, 'jpeg', *header)
        self._bag.write(OVERLAY, COMPRESSED, log_ns, jpeg)


def open_mask_bag(out: Path) -> BagWriter:
    """
    Prepare OUT/masks/masks.mcap.

    :param out: folder of the results.
    :raises VosError: something is there already.
    """
    return BagWriter(out / MASKS, packed=True)


class PageFrames:
    """
    Collects the frames with the lowest J, some way apart; without truth, frames of the whole bag.

    :param frames: in the bag.
    """

    def __init__(self, frames: int) -> None:
        self._total = frames
        self._worst = WorstFrames(_FIGURES)

    def on_frame(self, seen: Scored) -> None:
        """Look at a frame with the newest mask at its turn; before a mask is nothing to see."""
        if seen.mask is not None and seen.record.age_ms is not None:
            age = f', newest mask {seen.record.age_ms:.0f} ms old' if seen.record.age_ms else ''
            self.offer(seen, seen.mask, seen.record.j, age)

    def offer(self, seen: Scored, mask: LabelMap, j: float | None, note: str = '') -> None:
        """
        Look at a frame with any mask; the last frame does not count.

        :param j: of this mask; None = it was not scored.
        :param note: to be added to its title.
        """
        record = seen.record
        part = f'{record.loop}/{record.index // _APART}'
        if seen.gt is None:
            j, part = math.inf, str(record.index)
        is_chosen = seen.gt is not None or (
            not record.loop and record.index % max(1, self._total // _FIGURES) == 0
        )
        if j is None or not is_chosen or record.index == self._total - 1:
            return
        try:
            image = to_rgb(seen.frame.image)
        except VosError:
            return  # damaged inside: there is nothing to show
        loop = f', loop {record.loop + 1}' if record.loop else ''
        title = f'frame {record.index}{loop}{note}'
        scored = ScoredFrame(title, j, image, mask, seen.gt)
        self._worst.offer(part, 0.0, scored)

    def figures(self) -> list[Figure]:
        """Draw them: camera, mask, and truth against mask."""
        return self._worst.figures()
