# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Replay on a simulated clock: what a robot would have had at every moment of the drive.

Images arrive at their stamps. One worker segments them, each at a cost in time; while it is busy,
one image waits, and a newer one replaces it, as in the node. A true label map is scored with the
newest mask published by its stamp: *streaming* J&F (after Li et al., Towards Streaming Perception,
ECCV 2020). *offline*, no time passes: every frame is processed and scored with its own mask.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
import hashlib
import struct

import numpy as np

from vos_ros.bag.truth import BagFrame, Damaged, Prompts, Truth
from vos_ros.datatypes import LabelMap, ObjectState, Prompt, Segmentation, StepTiming
from vos_ros.errors import VosError
from vos_ros.evaluation.evaluate import fit_mask, Speed, Stepper
from vos_ros.evaluation.metrics import ObjectScore, SequenceScorer
from vos_ros.evaluation.occlusion import OcclusionFigures
from vos_ros.latency import Stopwatch
from vos_ros.stream.mailbox import Mailbox

_NS_PER_MS = 1_000_000
#: J and F per object.
Scores = Mapping[int, tuple[float, float]]


@dataclass(eq=False, slots=True)
class FrameRecord:
    """
    What became of one camera image; this alone is kept of every frame.

    :param index: from 0.
    :param sent_ns: when it left the camera, since the first one did.
    :param age_ms: of the newest mask published by then; None = none was there yet.
    :param scores: J and F per object of that mask, where this frame is annotated.
    :param latency_ms: until its own mask was published; None = it was dropped. Offline: what
        its mask cost, for nobody waits there.
    :param loop: how many times the bag has been played before.
    :param has_objects: some pixel of that mask is an object's.
    :param per_frame: J and F per object of the frame's own mask, however late it came.
    """

    index: int
    sent_ns: int
    age_ms: float | None
    scores: Scores
    latency_ms: float | None = None
    loop: int = 0
    has_objects: bool = True
    per_frame: Scores = field(default_factory=dict)

    @property
    def j(self) -> float | None:
        """Mean J of its objects; None where it was not scored."""
        return _mean_j(self.scores)

    @property
    def per_frame_j(self) -> float | None:
        """Mean J of its own mask; None where it was dropped or not scored."""
        return _mean_j(self.per_frame)


def _mean_j(scores: Scores) -> float | None:
    return sum(j for j, _ in scores.values()) / len(scores) if scores else None


@dataclass(eq=False)
class Published:
    """
    A label map on its way to whoever uses it.

    :param frame: that it was found on.
    :param label_map: (H, W) ids.
    :param at_ns: when it is published, counted from the first image.
    :param latency_ms: see FrameRecord.
    """

    frame: BagFrame
    label_map: LabelMap
    at_ns: int
    latency_ms: float


@dataclass(eq=False)
class Scored:
    """
    A frame at its turn, for whoever wants to draw or store it.

    :param frame: the camera's image.
    :param mask: the newest one published by now; zero before the first. None = unknown size.
    :param gt: (H, W) true ids; None where the frame is not annotated.
    :param record: its figures; the latency comes later.
    """

    frame: BagFrame
    mask: LabelMap | None
    gt: LabelMap | None
    record: FrameRecord


@dataclass(frozen=True)
class Outcome:
    """
    All that a replay measured.

    :param records: one per camera image, in order.
    :param loops: score per object, for each time that the bag was played.
    :param per_frame: likewise, of each mask against the truth of its own image.
    :param mask_hash: BLAKE2b-128 over stamps and label maps published; empty where they are not
        the same every time.
    :param speed: of the network alone; without frames where another process ran it.
    :param lost: how often an object went lost.
    :param recovered: how often a lost one was tracked again.
    :param warnings: what the segmenter complained about.
    :param unknown: masks whose stamp no image had.
    :param occlusion: for each time that the bag was played, by the masks that `loops` scores.
    """

    records: tuple[FrameRecord, ...]
    loops: tuple[dict[int, ObjectScore], ...]
    mask_hash: str
    speed: Speed = field(default_factory=Speed)
    lost: int | None = None
    recovered: int | None = None
    warnings: tuple[str, ...] = ()
    per_frame: tuple[dict[int, ObjectScore], ...] = ()
    unknown: int = 0
    occlusion: tuple[OcclusionFigures, ...] = ()


class MaskHash:
    """BLAKE2b-128 over label maps and their stamps, in order; the same on every machine."""

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=16)

    def add(self, stamp_ns: int, label_map: LabelMap) -> None:
        """
        Take the next one.

        :param stamp_ns: of its header.
        :param label_map: (H, W) uint8 or uint16; which of both does not matter.
        """
        self._hash.update(struct.pack('<qII', stamp_ns, *label_map.shape))
        self._hash.update(np.ascontiguousarray(label_map, '<u2').tobytes())

    def hexdigest(self) -> str:
        """Return the hash of all so far."""
        return self._hash.hexdigest()


@dataclass(frozen=True)
class Cost:
    """
    How long a frame keeps the worker.

    :param fixed_ms: always so long, until its mask is published; None = as measured here, with
        memorising after publishing.
    """

    fixed_ms: float | None

    def of(self, wall_ms: float, memorize_ms: float) -> tuple[float, float]:
        """
        Return ms until published, and ms until the next frame.

        :param wall_ms: measured, decoding included.
        :param memorize_ms: the part of it that comes after publishing.
        """
        if self.fixed_ms is not None:
            return self.fixed_ms, self.fixed_ms
        return wall_ms - memorize_ms, wall_ms


class SimulatedWorker:
    """
    The node's worker on a simulated clock; masks are computed for real.

    :param segmenter: is reset first.
    :param cost: of a frame; None = offline, where the clock stands still meanwhile.
    :param publish: called with every label map, in order.
    """

    def __init__(
        self, segmenter: Stepper, cost: Cost | None, publish: Callable[[Published], None]
    ) -> None:
        segmenter.reset()
        self.has_objects = False
        self.lost = self.recovered = 0
        self.damaged = Damaged('the camera', 'images')
        self.warnings: dict[str, None] = {}
        self._segmenter = segmenter
        self._cost = cost
        self._publish = publish
        self._waiting: Mailbox[BagFrame] = Mailbox()
        # A mask is never thrown away with its frame: the node keeps it, too, and catches up.
        self._prompted: deque[tuple[BagFrame, Prompt]] = deque()
        self._free_ns = 0
        self._published: deque[Published] = deque()
        self._states: dict[int, ObjectState] = {}
        self._frames = 0
        self._wall_ms = 0.0
        self._timings: list[StepTiming] = []

    @property
    def speed(self) -> Speed:
        """What the frames cost the network alone."""
        return Speed(self._frames, self._wall_ms / 1e3, tuple(self._timings))

    def arrive(self, frame: BagFrame, prompt: Prompt | None) -> None:
        """
        Let an image arrive, after doing what was begun before it came.

        :param frame: later than all before.
        :param prompt: drawn on it.
        """
        now_ns = frame.time_ns
        while self._has_work and self._free_ns < now_ns:
            self._work(self._free_ns)
        if prompt is None:
            self._waiting.put(frame)
        else:
            self._waiting.take()
            self._prompted.append((frame, prompt))
        if self._free_ns <= now_ns:
            self._work(now_ns)

    def newest(self, now_ns: int) -> tuple[LabelMap, float] | None:
        """
        Return the newest mask published by now, and how many ms old its image is.

        :param now_ns: not earlier than in the call before.
        """
        while len(self._published) > 1 and self._published[1].at_ns <= now_ns:
            self._published.popleft()
        if not self._published or self._published[0].at_ns > now_ns:
            return None
        newest = self._published[0]
        return newest.label_map, (now_ns - newest.frame.time_ns) / _NS_PER_MS

    def finish(self) -> None:
        """Do what still waits after the last image."""
        while self._has_work:
            self._work(self._free_ns)

    @property
    def _has_work(self) -> bool:
        return bool(self._prompted) or len(self._waiting) > 0

    def _work(self, start_ns: int) -> None:
        prompt: Prompt | None = None
        if self._prompted:
            frame, prompt = self._prompted.popleft()
            if not self.has_objects:
                self._warm_up(frame, prompt)
        else:
            taken = self._waiting.take()
            if taken is None:
                return
            frame = taken
        watch = Stopwatch()
        try:
            image = frame.image
        except VosError as error:
            if prompt is not None:
                raise
            self.damaged.note(error)  # as in the node: it is not answered
            return
        self.has_objects = self.has_objects or prompt is not None
        answer = self._segmenter.step(image, prompt)
        wall_ms = watch.lap_ms()
        until_ms = busy_ms = 0.0  # nothing is computed before the first object
        if self.has_objects:
            if self._cost is not None:
                until_ms, busy_ms = self._cost.of(wall_ms, answer.timing.memorize_ms)
            self._note(answer, wall_ms, is_prompted=prompt is not None)
        start_ns = max(start_ns, frame.time_ns)
        at_ns = start_ns + round(until_ms * _NS_PER_MS)
        self._free_ns = start_ns + round(busy_ms * _NS_PER_MS)
        latency_ms = (at_ns - frame.time_ns) / _NS_PER_MS
        if self._cost is None:
            latency_ms = answer.timing.latency_ms
        published = Published(frame, answer.label_map, at_ns, latency_ms)
        self._published.append(published)
        self._publish(published)

    def _warm_up(self, frame: BagFrame, prompt: Prompt) -> None:
        """Run once unmeasured: engines are built on their first frame, no cost of a frame."""
        self._segmenter.step(frame.image, prompt)
        self._segmenter.step(frame.image)
        self._segmenter.reset()

    def _note(self, answer: Segmentation, wall_ms: float, *, is_prompted: bool) -> None:
        self._frames += 1
        self._wall_ms += wall_ms
        if not is_prompted:
            self._timings.append(answer.timing)
        self.warnings.update(dict.fromkeys(answer.warnings))
        for object_id, state in answer.states.items():
            before = self._states.get(object_id)
            self.lost += state is ObjectState.LOST and before is not ObjectState.LOST
            self.recovered += before is ObjectState.LOST and state is ObjectState.TRACKED
        self._states = dict(answer.states)


@dataclass
class Observers:
    """
    Who looks on.

    :param on_frame: called with every frame at its turn.
    :param on_mask: called with every label map published.
    """

    on_frame: list[Callable[[Scored], None]] = field(default_factory=list)
    on_mask: list[Callable[[Published], None]] = field(default_factory=list)


def replay(
    frames: Iterable[BagFrame],
    segmenter: Stepper,
    truth: Truth,
    prompts: Prompts,
    cost: Cost | None,
    observers: Observers,
) -> Outcome:
    """
    Replay a bag on the simulated clock.

    :param frames: of the camera, in order.
    :param segmenter: what is measured.
    :param truth: to score against.
    :param prompts: to start from.
    :param cost: of a frame; None = offline.
    :param observers: who looks on, outside the measured time.
    :raises VosError: bad input, or nothing to follow.
    """
    records: list[FrameRecord] = []
    mask_hash, scorer, per_frame = MaskHash(), SequenceScorer(), SequenceScorer()

    def publish(mask: Published) -> None:
        mask_hash.add(mask.frame.stamp_ns, mask.label_map)
        index = mask.frame.index
        # A mask may be there before the record of its frame, or long after it.
        latencies[index] = mask.latency_ms
        gt = waiting.get(index)
        if gt is not None:
            scores[index] = score(per_frame, mask.frame, mask.label_map, gt)
        for past in [k for k in waiting if k <= index]:
            del waiting[past]
        for look in observers.on_mask:
            look(mask)

    latencies: dict[int, float] = {}
    scores: dict[int, Scores] = {}
    waiting: dict[int, LabelMap] = {}  # true maps of frames whose own masks may still come
    worker = SimulatedWorker(segmenter, cost, publish)
    for frame in frames:
        gt = truth.at(frame)
        if gt is not None and cost is not None:
            waiting[frame.index] = gt
        worker.arrive(frame, prompts.at(frame, gt))
        record, mask = score_frame(frame, worker.newest(frame.time_ns), gt, scorer)
        records.append(record)
        for look_at in observers.on_frame:
            look_at(Scored(frame, mask, gt, record))
    worker.finish()
    truth.close()
    prompts.close()
    worker.damaged.conclude(len(records))
    if not worker.has_objects:
        raise VosError(prompts.missing())
    for record in records:
        record.latency_ms = latencies.get(record.index)
        # Offline, the newest mask is the frame's own.
        record.per_frame = record.scores if cost is None else scores.get(record.index, {})
    streaming = scorer.conclude()
    return Outcome(
        tuple(records),
        (streaming,),
        mask_hash.hexdigest(),
        worker.speed,
        worker.lost,
        worker.recovered,
        tuple(worker.warnings),
        (streaming if cost is None else per_frame.conclude(),),
        occlusion=(scorer.occlusion.conclude(),),
    )


def score_frame(
    frame: BagFrame,
    newest: tuple[LabelMap, float] | None,
    gt: LabelMap | None,
    scorer: SequenceScorer,
) -> tuple[FrameRecord, LabelMap | None]:
    """
    Score the newest mask at a frame's turn.

    :param frame: the camera's image.
    :param newest: mask that is there by now, (H, W) ids, and its age in ms; None = none yet.
    :param gt: (H, W) true ids.
    :param scorer: of this sequence.
    :return: the frame's record, without its latency; and the mask, zero before the first one.
    :raises VosError: truth and image are of different aspect.
    """
    mask, age_ms = newest or (None, None)
    scores: Scores = {}
    if gt is not None:
        if mask is None:
            mask = np.zeros(gt.shape, np.uint8)
        scores = score(scorer, frame, mask, gt)
    has_objects = mask is not None and bool(mask.any())
    record = FrameRecord(frame.index, frame.time_ns, age_ms, scores, has_objects=has_objects)
    return record, mask


def score(scorer: SequenceScorer, frame: BagFrame, mask: LabelMap, gt: LabelMap) -> Scores:
    """
    Score a mask against the truth; parameters as of `score_frame`.

    :raises VosError: truth and image are of different aspect.
    """
    if mask.shape != gt.shape:
        size = mask.shape[0], mask.shape[1]
        gt = fit_mask(gt, size, f'the true mask of image {frame.index}')
    return scorer.feed(mask, gt, frame.stamp_ns)
