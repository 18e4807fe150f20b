# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Prompts: what of one can be taken, and what becomes of the objects that were known before."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vos_ros.backends.base import Size
from vos_ros.datatypes import Float, LabelMap, Prompt
from vos_ros.engine.labels import keep_ids, masks_at_stride, override
from vos_ros.engine.memory import MemoryBank
from vos_ros.engine.preprocess import fit_label_map
from vos_ros.engine.tracking import begin, look, Sight
from vos_ros.engine.verdict import Verdict
from vos_ros.formats.masks import ids_in


@dataclass(frozen=True, eq=False)
class Accepted:
    """
    What of a prompt is taken.

    :param label_map: (H, W) of the frame, with these ids only.
    :param object_ids: ascending; empty = there is nothing to prompt.
    :param warnings: a line for each thing that is refused.
    :param given: of these ids, those whose mask somebody drew.
    """

    label_map: LabelMap
    object_ids: tuple[int, ...]
    warnings: tuple[str, ...]
    given: tuple[int, ...] = ()


def accept(prompt: Prompt, size: Size, known: Sequence[int], max_objects: int) -> Accepted:
    """
    Fit a prompt to a frame and decide which of its objects can be taken.

    :param prompt: as it was sent.
    :param size: (H, W) of the frame.
    :param known: ids that are followed already.
    :param max_objects: known and new ones together.
    :raises VosError: the prompt is of another aspect.
    """
    label_map = fit_label_map(prompt.label_map, size)
    found = ids_in(label_map)
    warnings = []
    vanished = sorted(set(ids_in(prompt.label_map)) - set(found))
    if vanished:
        warnings.append(
            f'objects {vanished} have no pixel left after resizing the mask to the frame; '
            'draw them larger or on the frame itself'
        )
    new = [k for k in found if k not in known]
    refused = new[max(0, max_objects - len(known)) :]
    if refused:
        warnings.append(
            f'objects {refused} are refused, as max_objects = {max_objects}; '
            'remove others or raise it'
        )
    accepted = tuple(k for k in found if k not in refused)
    given = tuple(k for k in accepted if k not in prompt.made_ids)
    return Accepted(keep_ids(label_map, accepted), accepted, tuple(warnings), given)


@dataclass(frozen=True, eq=False)
class Merged:
    """
    A prompt over what was found on its frame.

    :param prob: (K + 1, h, w), row 0 = background.
    :param object_ids: ids of its other rows.
    :param written: whose prompted frame this one becomes.
    :param moved: those of them that were not prompted.
    :param forgotten: objects out of sight that had to go; not in `object_ids`.
    :param verdict: on the rest.
    """

    prob: Float
    object_ids: tuple[int, ...]
    written: tuple[int, ...]
    moved: tuple[int, ...]
    forgotten: tuple[int, ...]
    verdict: Verdict

    def warnings(self, max_prompted_frames: int) -> tuple[str, ...]:
        """
        Say what became of objects that were not prompted.

        :param max_prompted_frames: the cap that is the reason.
        """
        cap = f'more than max_prompted_frames = {max_prompted_frames}'
        lines = []
        if self.moved:
            lines.append(
                f'{cap} prompted frames: objects {list(self.moved)} now start from this frame, as '
                'they were found on it'
            )
        if self.forgotten:
            lines.append(
                f'{cap} prompted frames: objects {list(self.forgotten)}, out of sight, are '
                'forgotten; prompt them again once they are seen'
            )
        return tuple(lines)


def merge(
    found: Float,
    known: Sequence[int],
    accepted: Accepted,
    memory: MemoryBank,
    judge: Callable[[Mapping[int, Sight]], Verdict],
) -> Merged:
    """
    Lay a prompt over what was found: it wins, in the label map and in what is memorised.

    :param found: (K + 1, h, w) probabilities of the objects known, row 0 = background.
    :param known: ids of its other rows.
    :param accepted: the prompt.
    :param memory: says whose prompted frame this one becomes; not changed.
    :param judge: gives the verdict on the objects that were not prompted.
    """
    prompted = accepted.object_ids
    masks = masks_at_stride(accepted.label_map, prompted, (found.shape[1], found.shape[2]))
    prob, object_ids = override(found, known, masks, prompted)
    sights = dict(zip(object_ids, look(prob)))
    drawn = {k: begin(sights[k]) for k in prompted}
    found_again = {k: sights[k] for k in known if k not in drawn}
    verdict = judge(found_again)
    written = memory.ids_to_write(prompted, verdict.believed)
    forgotten = tuple(k for k in written if k in found_again and not sights[k].area)
    if forgotten:
        prob, object_ids = _without(prob, object_ids, forgotten)
        written = tuple(k for k in written if k not in forgotten)
    return Merged(
        prob,
        object_ids,
        written,
        tuple(sorted(set(written) - set(prompted))),
        forgotten,
        Verdict(
            {k: verdict.scores.get(k, 1.0) for k in object_ids},
            {k: verdict.tracks.get(k) or drawn[k] for k in object_ids},
            {k: doubt for k, doubt in verdict.doubts.items() if k not in forgotten},
        ),
    )


def _without(
    prob: Float, object_ids: Sequence[int], gone: Sequence[int]
) -> tuple[Float, tuple[int, ...]]:
    """Return probabilities (K + 1, h, w) and ids without some objects, now background."""
    rows = [1 + object_ids.index(k) for k in gone]
    kept: Float = np.delete(prob, rows, axis=0)
    kept[0] += prob[rows].sum(axis=0)
    return kept, tuple(k for k in object_ids if k not in gone)
