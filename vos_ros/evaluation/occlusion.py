# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
What J and F do not tell: whether an object that was away is found again, and as itself.

On a clip where an object is hidden for long, an empty mask is right for most of the time, and J&F
hides what happens after. All here is by frames that have a truth. HOTA is that of Luiten et al.
(IJCV 2021) over masks, with one difference: masks of one frame do not overlap, so pairs are
matched greedily, the best first, and not by the Hungarian method, for which numpy has nothing.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt

from vos_ros.datatypes import LabelMap
from vos_ros.formats.masks import ids_in

#: Frames in a row without a pixel of it after which an object counts as away.
AWAY_FRAMES = 5
#: Frames in a row for which a mask must be right, or wrong, to count.
STEADY_FRAMES = 3
#: J from which a mask is on the object, and below which it is on something else.
ON, OFF = 0.5, 0.1
#: Frames in a row below OFF, the object in sight, that are a failure.
FAILURE_FRAMES = 10
#: A mask below this share of the object's largest true area is a crumb, not a claim.
_CRUMB = 0.1
_ALPHAS = np.arange(1, 20) / 20


@dataclass(frozen=True)
class OcclusionFigures:
    """
    Figures of one or many sequences.

    :param returns: how often an object came back into sight after it was away.
    :param recovery_frames: of the returns after which it was found, frames until then.
    :param recovery_s: likewise, in s; empty where stamps tell nothing.
    :param false_recoveries: how often a mask went to something else while the object was away or
        not yet found again.
    :param searched_frames: frames on which an object was away or not yet found again.
    :param false_frames: those of them with a mask on something else.
    :param id_swaps: how often another id's mask was on an object than before.
    :param until_failure: of each object, the share of its frames in sight before it was lost for
        good; 1 = never.
    :param hota: of each sequence, HOTA, DetA and AssA.
    """

    returns: int = 0
    recovery_frames: tuple[int, ...] = ()
    recovery_s: tuple[float, ...] = ()
    false_recoveries: int = 0
    searched_frames: int = 0
    false_frames: int = 0
    id_swaps: int = 0
    until_failure: tuple[float, ...] = ()
    hota: tuple[tuple[float, float, float], ...] = ()

    @classmethod
    def of(cls, parts: Iterable[OcclusionFigures]) -> OcclusionFigures:
        """
        Put sequences together.

        :param parts: figures of each.
        """
        parts = list(parts)
        return cls(
            sum(part.returns for part in parts),
            tuple(n for part in parts for n in part.recovery_frames),
            tuple(s for part in parts for s in part.recovery_s),
            sum(part.false_recoveries for part in parts),
            sum(part.searched_frames for part in parts),
            sum(part.false_frames for part in parts),
            sum(part.id_swaps for part in parts),
            tuple(share for part in parts for share in part.until_failure),
            tuple(one for part in parts for one in part.hota),
        )

    @property
    def recovered_share(self) -> float | None:
        """Share of the returns after which the object was found; None without any."""
        return len(self.recovery_frames) / self.returns if self.returns else None

    def to_dict(self) -> dict[str, Any]:
        """Give what report.json has under `occlusion`; None for what cannot be said."""
        hota, det_a, ass_a = np.mean(self.hota, axis=0).tolist() if self.hota else [None] * 3
        searched, failure = self.searched_frames, self.until_failure
        return {
            'returns': self.returns,
            'recovered': len(self.recovery_frames),
            'recovered_share': self.recovered_share,
            'recovery_frames': median(self.recovery_frames) if self.recovery_frames else None,
            'recovery_s': median(self.recovery_s) if self.recovery_s else None,
            'false_recoveries': self.false_recoveries,
            'false_share': self.false_frames / searched if searched else None,
            'id_swaps': self.id_swaps,
            'time_to_failure': sum(failure) / len(failure) if failure else None,
            'hota': hota,
            'det_a': det_a,
            'ass_a': ass_a,
        }


class OcclusionScorer:
    """
    Looks at one sequence, frame by frame; a few numbers of each frame are kept.

    The frame on which an object appears is given, so it counts from the next one on. Ids that the
    truth never had are not looked at.
    """

    def __init__(self) -> None:
        self._objects: dict[int, _Object] = {}
        self._pairs: list[list[tuple[int, int, float]]] = []  # true id, found id, J; by frame
        self._true: Counter[int] = Counter()  # frames with the id
        self._found: Counter[int] = Counter()

    def feed(self, label_map: LabelMap, gt: LabelMap, stamp_ns: int = 0) -> None:
        """
        Look at the next annotated frame.

        :param label_map: (H, W) predicted ids.
        :param gt: (H, W) true ids, 0 = background.
        :param stamp_ns: of the frame; 0 = unknown.
        """
        overlaps, true, found = _overlaps(label_map, gt)
        known = self._objects
        pairs = []
        for (one, two), shared in overlaps.items():
            if one in known and two in known:
                pairs.append((one, two, shared / (true[one] + found[two] - shared)))
        j = {(one, two): overlap for one, two, overlap in pairs}
        for object_id, each in known.items():
            on_it = [(k, overlap) for one, k, overlap in pairs if one == object_id]
            holder = max(on_it, key=lambda pair: pair[1], default=(0, 0.0))
            own = j.get((object_id, object_id), 0.0)
            each.feed(true.get(object_id, 0), found.get(object_id, 0), own, holder, stamp_ns)
        self._pairs.append(pairs)
        self._true.update(k for k in true if k in known)
        self._found.update(k for k in found if k in known)
        for object_id, area in true.items():
            known.setdefault(object_id, _Object(object_id, area))

    def conclude(self) -> OcclusionFigures:
        """Give the figures of the sequence so far."""
        objects = [each for each in self._objects.values() if each.frames]
        return OcclusionFigures(
            sum(each.all_returns for each in objects),
            tuple(n for each in objects for n in each.recovery_frames),
            tuple(s for each in objects for s in each.recovery_s),
            sum(each.false_recoveries for each in objects),
            sum(each.searched_frames for each in objects),
            sum(each.false_frames for each in objects),
            sum(each.id_swaps for each in objects),
            tuple(each.until_failure for each in objects if each.seen_frames),
            (self._hota(),) if objects else (),
        )

    def _hota(self) -> tuple[float, float, float]:
        """Return HOTA, DetA and AssA, means over 19 thresholds of J."""
        together: defaultdict[tuple[int, int], float] = defaultdict(float)
        for pairs in self._pairs:
            rows: defaultdict[int, float] = defaultdict(float)
            columns: defaultdict[int, float] = defaultdict(float)
            for one, two, overlap in pairs:
                rows[one] += overlap
                columns[two] += overlap
            for one, two, overlap in pairs:
                together[one, two] += overlap / (rows[one] + columns[two] - overlap)
        alignment = {
            (one, two): weight / (self._true[one] + self._found[two] - weight)
            for (one, two), weight in together.items()
        }
        matches: list[Counter[tuple[int, int]]] = [Counter() for _ in _ALPHAS]
        for pairs in self._pairs:
            for one, two, overlap in _matched(pairs, alignment):
                for alpha, count in zip(_ALPHAS, matches):
                    if overlap >= alpha - 1e-9:
                        count[one, two] += 1
        all_true, all_found = sum(self._true.values()), sum(self._found.values())
        det, ass = [], []
        for count in matches:
            hits = sum(count.values())
            det.append(hits / max(1, all_true + all_found - hits))
            shares = (
                n * n / (self._true[one] + self._found[two] - n) for (one, two), n in count.items()
            )
            ass.append(sum(shares) / max(1, hits))
        hota = float(np.mean(np.sqrt(np.multiply(det, ass))))
        return hota, float(np.mean(det)), float(np.mean(ass))


class _Object:
    """One true object so far."""

    def __init__(self, object_id: int, area: int) -> None:
        self.returns = self.false_recoveries = self.searched_frames = self.false_frames = 0
        self.id_swaps = self.frames = self.seen_frames = 0
        self.recovery_frames: list[int] = []
        self.recovery_s: list[float] = []
        self._largest = area
        self._absent = 0  # frames in a row without it
        self._is_searched = False  # away, or back and not yet found
        self._back: tuple[int, int] | None = None  # frame and stamp of its return
        self._right = self._wrong = 0  # frames in a row
        self._first_right = (0, 0)
        self._holder = self._candidate = object_id
        self._held = 0  # frames in a row by the candidate
        self._missed = 0  # frames in sight in a row without a mask on it
        self._failed: int | None = None  # frames in sight before it was lost for good

    def feed(
        self, true: int, found: int, j: float, holder: tuple[int, float], stamp_ns: int
    ) -> None:
        """
        Look at one frame.

        :param true: pixels of the truth.
        :param found: pixels of its mask.
        :param j: of both.
        :param holder: the id whose mask is most on it, and its J.
        """
        self.frames += 1
        self._largest = max(self._largest, true)
        if true:
            self.seen_frames += 1
            if self._is_searched and self._back is None:
                self._back = self.frames, stamp_ns
            self._absent = 0
            self._note_failure(j)
            self._note_holder(*holder)
        else:
            self._absent += 1
            self._right = 0
            if self._absent == AWAY_FRAMES:
                self._leave()
        if self._is_searched or self._absent:
            self._search(true, found, j, stamp_ns)

    @property
    def all_returns(self) -> int:
        """Returns, one that is open among them: one too short for a mask to be steady is none."""
        is_open = self._back is not None and self.frames - self._back[0] + 1 >= STEADY_FRAMES
        return self.returns + is_open

    @property
    def until_failure(self) -> float:
        """Share of its frames in sight before it was lost for good."""
        return 1.0 if self._failed is None else self._failed / self.seen_frames

    def _leave(self) -> None:
        if self._back is not None:  # back and gone again, and never found
            self.returns += self.frames - self._back[0] + 1 - AWAY_FRAMES >= STEADY_FRAMES
        self._is_searched, self._back = True, None

    def _search(self, true: int, found: int, j: float, stamp_ns: int) -> None:
        self.searched_frames += 1
        is_false = found > _CRUMB * self._largest and j < OFF
        self.false_frames += is_false
        self._wrong = self._wrong + 1 if is_false else 0
        self.false_recoveries += self._wrong == STEADY_FRAMES
        if not true or self._back is None:
            return
        self._right = self._right + 1 if j >= ON else 0
        if self._right == 1:
            self._first_right = self.frames, stamp_ns
        if self._right == STEADY_FRAMES:
            began, began_ns = self._back
            found_at, found_ns = self._first_right
            self.returns += 1
            self.recovery_frames.append(found_at - began)
            if began_ns and found_ns:
                self.recovery_s.append((found_ns - began_ns) / 1e9)
            self._is_searched, self._back, self._right, self._wrong = False, None, 0, 0

    def _note_failure(self, j: float) -> None:
        self._missed = self._missed + 1 if j < OFF else 0
        if self._missed == FAILURE_FRAMES and self._failed is None:
            self._failed = self.seen_frames - FAILURE_FRAMES

    def _note_holder(self, object_id: int, j: float) -> None:
        if j < ON:
            self._held = 0
            return
        self._held = self._held + 1 if object_id == self._candidate else 1
        self._candidate = object_id
        if self._held == STEADY_FRAMES and object_id != self._holder:
            self._holder = object_id
            self.id_swaps += 1


def _overlaps(
    label_map: LabelMap, gt: LabelMap
) -> tuple[dict[tuple[int, int], int], dict[int, int], dict[int, int]]:
    """
    Count pixels.

    :return: of each pair (true id, found id) that shares some; of each true id; of each found id.
    """
    true_ids, found_ids = (0, *ids_in(gt)), (0, *ids_in(label_map))
    code = _numbered(gt, true_ids) * len(found_ids) + _numbered(label_map, found_ids)
    counts = np.bincount(code.ravel(), minlength=len(true_ids) * len(found_ids))
    table = counts.reshape(len(true_ids), len(found_ids))
    shared = {
        (true_ids[row], found_ids[column]): int(table[row, column])
        for row, column in zip(*np.nonzero(table))
        if row and column
    }
    true = {k: int(n) for k, n in zip(true_ids[1:], table.sum(axis=1)[1:])}
    found = {k: int(n) for k, n in zip(found_ids[1:], table.sum(axis=0)[1:])}
    return shared, true, found


def _numbered(label_map: LabelMap, ids: tuple[int, ...]) -> npt.NDArray[np.int32]:
    """Replace ids by their place among `ids`; others, of which there are none, by 0."""
    table = np.zeros(int(np.iinfo(label_map.dtype).max) + 1, np.int32)
    table[list(ids)] = np.arange(len(ids))
    return table[label_map]


def _matched(
    pairs: list[tuple[int, int, float]], alignment: dict[tuple[int, int], float]
) -> list[tuple[int, int, float]]:
    """Match each true id with one found id at most, those that belong together all along first."""
    taken_true: set[int] = set()
    taken_found: set[int] = set()
    chosen = []
    for one, two, overlap in sorted(pairs, key=lambda p: -alignment[p[0], p[1]] * p[2]):
        if one not in taken_true and two not in taken_found:
            taken_true.add(one)
            taken_found.add(two)
            chosen.append((one, two, overlap))
    return chosen
