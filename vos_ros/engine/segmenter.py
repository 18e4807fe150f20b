# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""VideoSegmenter: from frame to label map; THE HOT PATH."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
import copy
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import cast

import numpy as np

from vos_ros.backends import load_manifest, open_backend
from vos_ros.backends.base import Backend, Features, Manifest, Size, Window
from vos_ros.config import LostConfig, RuntimeConfig, SegmenterConfig
from vos_ros.datatypes import (
    check_frame,
    check_prompt,
    Float,
    Frame,
    LabelMap,
    ObjectState,
    Prompt,
    Segmentation,
    StepTiming,
)
from vos_ros.engine.keyframes import KeyFrame, resize_prob
from vos_ros.engine.labels import aggregate, Labeler, masks_at_stride, MAX_LOGIT, paint
from vos_ros.engine.memory import MemoryBank
from vos_ros.engine.motion import LEAST_S, Reach
from vos_ros.engine.outlines import Outlines
from vos_ros.engine.prompting import accept, Accepted, merge
from vos_ros.engine.redetect import put_in, Redetector
from vos_ros.engine.sizes import carry_over, Sizes
from vos_ros.engine.tracking import Doubt, look, Sight, Track
from vos_ros.engine.verdict import judge, Later, Memorized, Segmented, Verdict
from vos_ros.engine.windows import whole, window_around
from vos_ros.engine.workspace import mask_size, Workspace
from vos_ros.errors import VosError
from vos_ros.latency import Stopwatch

#: After so long out of sight an object can be anywhere, and must look like itself to be believed.
_AWAY_S = 0.5
#: What sums of probabilities may be off by.
_ROUNDING = 1e-3
#: Mean probability from which an object is so well seen that its look is kept.
_WELL_SEEN = 0.8


@dataclass(frozen=True, eq=False)
class _Found:
    """The objects known, on a new frame; `timing` up to here, `seconds` since the frame before."""

    features: Features
    prob: Float
    label_map: LabelMap
    seconds: float
    timing: StepTiming
    likeness: Mapping[int, float]  # of objects that were away


class VideoSegmenter:
    """
    Follows prompted objects through a video, with finite memory and a bounded cost per frame.

    segment() and memorize() are two verbs, so that a label map can be published before the
    frame is memorised; step() does both. Not for several threads at once.

    The network's size follows the camera's aspect ratio and `level`; when it changes, what is
    remembered is encoded again, and the objects stay.

    :param manifest: of the model.
    :param open_for: makes the backend for one network input (H, W); kept for each size in use.
    :param config: sizes and caps.
    """

    def __init__(
        self,
        manifest: Manifest,
        open_for: Callable[[Size], Backend],
        config: SegmenterConfig = SegmenterConfig(),
    ) -> None:
        self.manifest = manifest
        self.config = config
        self.lost: LostConfig = config.lost  # live: may be replaced between frames
        self.last_memorize_ms = 0.0  # of the newest memorize(), which comes after publishing
        self.last_search_ms = 0.0  # of the extra pass in it, when there was one last
        self.draws_outlines = True  # in label maps; False where those will be remembered
        self._sizes = Sizes(manifest, open_for, config)
        self._labeler = Labeler()
        self._outlines = Outlines(config.outline)
        self._work = self._workspace(self._sizes.of(self._sizes.camera)[0])
        self._doubts: Counter[Doubt] = Counter()
        self._newest: Segmented | None = None
        self._latest: Memorized | None = None
        self._tracks: dict[int, Track] = {}
        self._key_frames: dict[int, KeyFrame] = {}  # per object; objects share them
        self._redetector = self._make_redetector()
        self._frame_number = 0  # since start()
        self._stamp_ns = 0  # of the last frame memorised

    def segment(self, frame: Frame) -> Segmentation:
        """
        Find all known objects on a frame; the memory is not touched.

        :return: an empty label map at no cost while no object is known.
        """
        check_frame(frame)
        watch = Stopwatch()
        warnings = self._meet(frame.size)
        object_ids = self.object_ids
        if not object_ids:
            return self._nothing(frame, warnings)
        found = self._find(frame, watch)

        # Labels are published before anybody asks for this.
        prob, decide = found.prob, self._judge(found.seconds)
        verdict = cache(lambda: decide(dict(zip(object_ids, look(prob)))))
        self._newest = Segmented(
            found.features,
            frame.size,
            prob,
            object_ids,
            verdict,
            frame.stamp_ns,
            found.seconds,
        )
        self._frame_number += 1
        return Segmentation(
            found.label_map,
            object_ids,
            Later(object_ids, lambda: verdict().scores),
            frame.stamp_ns,
            frame.frame_id,
            found.timing,
            prob,
            warnings,
            states=Later(object_ids, lambda: verdict().states),
            likeness=found.likeness,
        )

    def _find(self, frame: Frame, watch: Stopwatch, *, prompts: bool = False) -> _Found:
        """
        Find the objects known.

        :param prompts: of which there may be none yet; all of the frame will be remembered, so
            outlines stay at the edge.
        """
        work, object_ids = self._work, self.object_ids

        # Camera image -> network input, at the network's size. A frame before that was not
        # memorised cannot be any more, even if this one fails: its features go now.
        self._newest = self._latest = None
        work.prepare(frame)
        preprocess_ms = watch.lap_ms()

        # Encode it once for all objects, where they can be.
        seconds = self._seconds_since(frame)
        reaches = work.gate.reaches(object_ids, seconds)
        windows = work.lookout.where(reaches) if self.takes_windows else {}
        is_all = prompts or len(windows) < len(object_ids)
        features = work.see(None if is_all else windows.values())
        encode_ms = watch.lap_ms()

        # Read the memory, decode each object there, let them compete for the pixels.
        prob, features = self._decide(features, object_ids, reaches, windows)
        moved = work.gate.apply(prob, object_ids, seconds, reaches)
        likeness = self._prove(prob, object_ids, moved)
        guide = work.guide(prob, frame) if object_ids and self.config.guided else None
        segment_ms = watch.lap_ms()

        # Probabilities -> ids, at the camera's size.
        label_map = self._labeler(prob, object_ids, frame.size, guide)
        if self.draws_outlines and not prompts:
            label_map = self._outlines.draw(label_map)
        timing = StepTiming(preprocess_ms, encode_ms, segment_ms, watch.lap_ms())
        return _Found(features, prob, label_map, seconds, timing, likeness)

    def _decide(
        self,
        features: Features,
        object_ids: Sequence[int],
        reaches: Mapping[int, Reach],
        windows: Mapping[int, Window],
    ) -> tuple[Float, Features]:
        """
        Look for the objects, and once more for those that may be elsewhere.

        :param windows: of objects that need not be looked for elsewhere.
        :return: probabilities (K + 1, h4, w4); an object has 0 where it was not looked for. The
            features, of more of the frame where that was needed.
        """
        work = self._work
        logits = work.read_and_decode(features, windows)
        prob = aggregate(logits)
        again = work.lookout.again(prob, object_ids, reaches, windows) if windows else {}
        if again:
            features = work.see(again.values())
            work.look(features, again, logits)
            prob = aggregate(logits)
        return prob, features

    def _prove(
        self, prob: Float, object_ids: Sequence[int], moved: Sequence[int]
    ) -> dict[int, float]:
        """Refuse what was found of objects that were away, or elsewhere, and is not like them."""
        if self._redetector is None:
            return {}
        away = {k for k, track in self._tracks.items() if track.unseen_s > _AWAY_S}
        asked = away.union(moved)
        if not asked:
            return {}
        return self._redetector.prove(prob, object_ids, asked, self._work.image[0])

    def memorize(
        self, instead: LabelMap | Float | None = None, *, may_search: bool = True
    ) -> None:
        """
        Make the last segmented frame the recent one, every `mem_every` frames; else do nothing.

        An object whose mask is not to be believed (see `tracking.Doubt`) falls back to its
        prompted frame: memorising a wrong mask is how drift starts, and so it can be found
        again.

        :param instead: to be remembered and believed in place of what was found: (H, W) ids at the
            camera's size, or probabilities (K + 1, h, w) of any size, rows as in the
            Segmentation's. Of an object without a pixel there, its prompted frame stays; ids that
            are not known count for nothing.
        :param may_search: there is time for the extra pass of `redetect`.
        :raises VosError: `instead` has another shape, is no map of ids or probabilities, or there
            is no frame that it could be of. The frame may still be memorised then.
        """
        watch = Stopwatch()
        newest = self._newest
        if instead is not None and newest is None and self.object_ids:
            raise VosError(
                'there is no frame to be corrected: segment() one, then memorize(instead=...), '
                'once; step() has memorised its frame already'
            )
        if newest is not None:
            if instead is not None:
                newest = self._corrected(newest, cast(Float, np.asarray(instead)))
            self._newest = None
            if instead is None and may_search:
                newest = self._searched(newest)
            self._remember(newest)
        self.last_memorize_ms = watch.lap_ms()

    def _corrected(self, newest: Segmented, instead: LabelMap | Float) -> Segmented:
        """Put known masks in the place of those that were found."""
        _check_correction(instead, newest.size)
        if instead.ndim == 3:
            if len(instead) != len(newest.prob):
                raise VosError(
                    f'{len(instead)} rows of probabilities were given to memorise; background and '
                    f'{len(newest.object_ids)} objects are {len(newest.prob)}'
                )
            # A copy, as it is kept until the next frame: the caller may use the array again.
            prob = resize_prob(np.array(instead, np.float32), self._work.mask_size)
        else:
            prob = np.zeros_like(newest.prob)
            there = [k for k in newest.object_ids if (instead == k).any()]
            rows = [1 + newest.object_ids.index(k) for k in there]
            prob[rows] = masks_at_stride(cast(LabelMap, instead), there, self._work.mask_size)
            prob[0] = np.clip(1 - prob.sum(axis=0), 0, 1)
        sights = dict(zip(newest.object_ids, look(prob)))
        verdict = self._judge(newest.seconds)(sights)
        doubts = {k: doubt for k, doubt in verdict.doubts.items() if not sights[k].area}
        verdict = replace(verdict, doubts=doubts)
        # What is known better can be anywhere.
        features = self._work.see()
        return replace(newest, features=features, prob=prob, verdict=lambda: verdict)

    def _remember(self, newest: Segmented) -> None:
        work, known = self._work, self.object_ids  # some may have been removed since
        verdict = newest.verdict()
        work.gate.update(newest.prob, newest.object_ids, newest.drawn, newest.seconds)
        work.gate.remove(set(newest.object_ids) - set(known))
        self._stamp_ns = newest.stamp_ns
        self._tracks = {k: track for k, track in verdict.tracks.items() if k in known}
        self._doubts.update(verdict.doubts.values())
        believed = [k for k in known if k in verdict.tracks and k not in verdict.doubts]
        self._latest = Memorized(newest.prob, newest.object_ids, tuple(believed))
        due = self._frame_number % self.config.memory.mem_every == 0
        if due and set(known) - set(newest.written):
            trusted = [k for k in believed if k not in newest.written]
            key, values = work.memorize(newest.features, newest.prob, newest.object_ids, trusted)
            self._study(newest, trusted, key, values)

    def _study(self, newest: Segmented, trusted: Sequence[int], key: Float, values: Float) -> None:
        """Keep what one of the objects that are well seen looks like."""
        if self._redetector is None:
            return
        tracks, scores = self._tracks, newest.verdict().scores
        seen = [
            k
            for k in trusted
            if tracks[k].state is ObjectState.TRACKED
            and not tracks[k].unseen_frames
            and scores[k] >= _WELL_SEEN
        ]
        rows = [1 + newest.object_ids.index(k) for k in seen]
        chosen = self._redetector.study(seen, newest.prob[rows], self._work.image[0])
        if chosen is not None:
            plane = newest.prob[1 + newest.object_ids.index(chosen)]
            self._redetector.keep(chosen, plane, key, values[list(trusted).index(chosen)])

    def _searched(self, newest: Segmented) -> Segmented:
        """Look for an object that is away with its views; what is found is on this frame, then."""
        redetector, work = self._redetector, self._work
        if redetector is None:
            return newest
        tracks, known = newest.verdict().tracks, self.object_ids
        missing = [
            k
            for row, k in enumerate(newest.object_ids, 1)
            if k in known
            and k in tracks
            and tracks[k].state is not ObjectState.TRACKED
            and not tracks[k].seen_frames
        ]
        if not missing or not redetector.is_due():
            return newest
        watch = Stopwatch()
        features = work.see()
        found = redetector.search(
            missing,
            lambda keys, values: work.backend.segment(features, keys, values),
            work.key(features),
            newest.prob[1:].max(axis=0),
            work.image[0],
        )
        self.last_search_ms = watch.lap_ms()
        if found is None:
            return newest
        object_id, plane = found
        row = 1 + newest.object_ids.index(object_id)
        prob = put_in(newest.prob, row, plane)
        sights = dict(zip(newest.object_ids, look(prob)))
        verdict = self._judge(newest.seconds)(sights)
        doubts = {k: doubt for k, doubt in verdict.doubts.items() if k != object_id}
        verdict = replace(verdict, doubts=doubts)
        # Its way until here is unknown: the motion gate begins anew, as with a prompt.
        drawn = (*newest.drawn, object_id)
        return replace(newest, features=features, prob=prob, verdict=lambda: verdict, drawn=drawn)

    def _judge(self, seconds: float) -> Callable[[Mapping[int, Sight]], Verdict]:
        """Return what gives the verdict on a frame by what is known now, whenever it is asked."""
        tracks, lost, least = dict(self._tracks), self.lost, self.config.memory.min_score
        return lambda sights: judge(sights, tracks, seconds, lost, least)

    def _seconds_since(self, frame: Frame) -> float:
        """Return the time since the last frame memorised; stamps that tell nothing are no time."""
        elapsed_ns = frame.stamp_ns - self._stamp_ns
        # Microseconds: what a rate leaves over in nanoseconds must not decide anything.
        return round(elapsed_ns / 1e9, 6) if self._stamp_ns and elapsed_ns > 0 else LEAST_S

    def _nothing(self, frame: Frame, warnings: tuple[str, ...]) -> Segmentation:
        return Segmentation(
            label_map=np.zeros(frame.size, np.uint8),
            object_ids=(),
            scores={},
            stamp_ns=frame.stamp_ns,
            frame_id=frame.frame_id,
            timing=StepTiming(),
            prob=np.ones((1, *self._work.mask_size), np.float32),
            warnings=warnings,
        )

    # From where objects are followed

    def start(self, frame: Frame, prompt: Prompt, beside: Sequence[int] = ()) -> Segmentation:
        """
        Forget everything and follow the objects of `prompt` from this frame on.

        The label map is the prompt itself. What is refused of it stands in `warnings`; a prompt
        that cannot be used at all raises VosError and leaves everything as it was.

        :param beside: ids that count towards `max_objects` although they are followed elsewhere.
        """
        check_frame(frame)
        check_prompt(prompt)
        accepted = accept(prompt, frame.size, beside, self.config.max_objects)
        if not accepted.object_ids:
            empty = 'empty mask: it has no object; draw at least one pixel with an id above 0'
            raise VosError('; '.join(accepted.warnings) or empty)
        shape = self._adopt_camera(frame.size, keeps_objects=False)
        self.reset()
        self._sizes.has_camera = True
        return self._prompt(frame, accepted, shape)

    def add_objects(self, frame: Frame, prompt: Prompt) -> Segmentation:
        """
        Add the new ids of `prompt`, and prompt the known ones again, on this frame.

        The other objects are segmented; where the prompt has a pixel, it wins. Their memory
        is not touched, unless there are more distinct prompted frames than
        `max_prompted_frames` (said in `warnings`). An empty prompt just segments.
        """
        check_frame(frame)
        check_prompt(prompt)
        accepted = accept(prompt, frame.size, self.object_ids, self.config.max_objects)
        if not accepted.object_ids:
            result = self.segment(frame)
            return replace(result, warnings=(*accepted.warnings, *result.warnings))
        return self._prompt(frame, accepted, self._meet(frame.size))

    def _prompt(self, frame: Frame, accepted: Accepted, warnings: Sequence[str]) -> Segmentation:
        watch = Stopwatch()
        work, known = self._work, self.object_ids

        # The objects that were known before, as on any frame.
        found = self._find(frame, watch, prompts=True)
        before = found.label_map
        if self._outlines.shares:
            before = self._outlines.draw(before.copy())

        # The prompt wins; this frame becomes the prompted one of its objects.
        judge_known = self._judge(found.seconds)
        merged = merge(found.prob, known, accepted, self.memory, judge_known)
        written = merged.written
        values = work.encode(found.features, merged.prob, merged.object_ids, written)
        segment_ms = found.timing.segment_ms + found.timing.labels_ms + watch.lap_ms()

        # Its pixels are the labels; the frame is kept, for other sizes of the network.
        at_edge = paint(found.label_map, accepted.label_map, accepted.object_ids)
        labels = at_edge
        if before is not found.label_map:
            labels = paint(before, accepted.label_map, accepted.object_ids)
        size = self._sizes.of(frame.size)[0]
        key_frame = KeyFrame.of(
            frame, at_edge, merged.object_ids, size, mask_size(self.manifest, size)
        )
        labels_ms = watch.lap_ms()

        # All that may fail has been done: what is known changes as a whole.
        self.remove_objects(merged.forgotten)
        work.memory.write_prompted(written, work.key(found.features), values)
        self._key_frames |= dict.fromkeys(written, key_frame)
        if self._redetector is not None:
            drawn = [1 + merged.object_ids.index(k) for k in accepted.object_ids]
            self._redetector.begin(accepted.object_ids, merged.prob[drawn], work.image[0])
        verdict = merged.verdict
        self._newest = Segmented(
            found.features,
            frame.size,
            merged.prob,
            merged.object_ids,
            lambda: verdict,
            frame.stamp_ns,
            found.seconds,
            written,
            drawn=accepted.object_ids,
        )
        self._frame_number += 1

        # One more call of the network, which needs the memory: without it, outlines stay.
        self._compare_outlines(frame, accepted, found.features, merged.prob, merged.object_ids)
        segment_ms += watch.lap_ms()
        cap = self.config.memory.max_prompted_frames
        return Segmentation(
            labels,
            merged.object_ids,
            verdict.scores,
            frame.stamp_ns,
            frame.frame_id,
            replace(found.timing, segment_ms=segment_ms, labels_ms=labels_ms),
            merged.prob,
            (*accepted.warnings, *warnings, *merged.warnings(cap)),
            verdict.states,
        )

    def _compare_outlines(
        self,
        frame: Frame,
        accepted: Accepted,
        features: Features,
        prob: Float,
        object_ids: Sequence[int],
    ) -> None:
        """
        Find out where the given masks end beside what the network draws on the same frame.

        :param features: of the frame, which is in the memory by now.
        :param prob: (K + 1, h4, w4) with the given masks.
        :param object_ids: ids of its other rows.
        """
        outlines, work = self._outlines, self._work
        outlines.remove(accepted.object_ids)
        if not outlines.is_asked or not accepted.given:
            return
        windows = dict.fromkeys(accepted.given, whole(work.grid))
        if self.takes_windows:
            for k in accepted.given:
                windows[k] = window_around(prob[1 + object_ids.index(k)] > 0, work.grid)
        logits = np.full((len(self.object_ids), *work.mask_size), -MAX_LOGIT, np.float32)
        work.look(features, windows, logits)
        again = aggregate(logits[[self.object_ids.index(k) for k in accepted.given]])
        guide = work.guide(again, frame) if self.config.guided else None
        labels = Labeler()(again, accepted.given, frame.size, guide)
        for k in accepted.given:
            outlines.measure(k, labels == k, accepted.label_map == k)

    def remove_objects(self, ids: Iterable[int]) -> tuple[int, ...]:
        """Forget these objects; return those that were known. Ids of the others never change."""
        removed = self.memory.remove(ids)
        self._work.gate.remove(removed)
        self._outlines.remove(removed)
        if self._redetector is not None:
            self._redetector.remove(removed)
        for object_id in removed:
            self._tracks.pop(object_id, None)
            self._key_frames.pop(object_id, None)
        return removed

    def reset(self) -> None:
        """Forget all objects; the model stays loaded and the memory allocated."""
        self._work.forget()
        self._newest = self._latest = None
        self._tracks, self._key_frames = {}, {}  # new ones: a fork may hold the old
        self._outlines = Outlines(self.config.outline)
        self._redetector = self._make_redetector()
        self._frame_number = 0
        self._stamp_ns = 0
        self._sizes.forget_camera()

    def forget_time(self) -> None:
        """Treat the next frame as if it came at once: its stamp is of another clock."""
        self._stamp_ns = 0

    def step(self, frame: Frame, prompt: Prompt | None = None) -> Segmentation:
        """Process one frame of a recording: prompt or segment, then memorise."""
        if prompt is None:
            result = self.segment(frame)
        elif self.object_ids:
            result = self.add_objects(frame, prompt)
        else:
            result = self.start(frame, prompt)
        self.memorize()
        return replace(result, timing=replace(result.timing, memorize_ms=self.last_memorize_ms))

    # A second memory, for late prompts

    def fork(self) -> VideoSegmenter:
        """
        Return a segmenter without objects that shares the loaded model, for the same thread.

        What it follows can be taken over by adopt(); until then this one is not touched.
        """
        other = copy.copy(self)
        other._sizes = self._sizes.fork()
        other._labeler = Labeler()
        other._work = other._workspace(self.input_size)
        other._doubts = Counter()
        other.reset()
        return other

    def adopt(self, other: VideoSegmenter) -> None:
        """
        Take over the objects of a fork, prompted on one frame, as they were last memorised.

        Objects known under the same ids are replaced; the memory of the others does not change.
        A frame that was segmented and not memorised is left out.

        :raises VosError: they do not fit, see `fits`; nothing has changed.
        """
        new = other.object_ids
        if len({*self.object_ids, *new}) > self.config.max_objects or not self.fits(new):
            raise VosError(
                f'objects {list(new)} do not fit beside {list(self.object_ids)}: max_objects = '
                f'{self.config.max_objects}, memory.max_prompted_frames = '
                f'{self.config.memory.max_prompted_frames}'
            )
        if not self.object_ids:
            self._adopt_camera(other._sizes.camera)
        other._set_size(self.input_size)
        self._newest = None
        self.memory.adopt(other.memory)
        self._work.forget_frames()
        self._tracks |= other._tracks
        self._key_frames |= other._key_frames
        self._outlines.adopt(other._outlines, new)
        if self._redetector is not None and other._redetector is not None:
            self._redetector.adopt(other._redetector)
        if self._latest is not None:  # what it says of these is of the mask before
            believed = tuple(k for k in self._latest.believed if k not in new)
            self._latest = replace(self._latest, believed=believed)
        if other._latest is not None:
            rows = [0, *(1 + other._latest.object_ids.index(k) for k in new)]
            self._work.gate.update(other._latest.prob[rows], new, new)
        self._doubts.update(other._doubts)
        self._stamp_ns = max(self._stamp_ns, other._stamp_ns)

    def adopt_outlines(self, other: VideoSegmenter) -> None:
        """Draw the objects of a fork as it would, whatever was given of them here."""
        self._outlines.adopt(other._outlines, other.object_ids)

    def fits(self, prompted: Sequence[int]) -> bool:
        """Return whether these can be prompted on a frame of their own, without moving others."""
        return self.memory.ids_to_write(prompted, self.object_ids) == tuple(sorted(prompted))

    # The network and its size

    @classmethod
    def open(
        cls,
        model: str | Path | None = None,
        *,
        config: SegmenterConfig = SegmenterConfig(),
        runtime: RuntimeConfig = RuntimeConfig(),
    ) -> VideoSegmenter:
        """
        Load a model and make it run; whatever is wrong with it is said here, by VosError.

        :param model: name or folder; None = the one in `runtime`.
        """
        manifest = load_manifest(runtime.model if model is None else model)
        segmenter = cls(
            manifest,
            lambda size: open_backend(manifest, runtime, size, config.max_objects),
            config,
        )
        segmenter._probe()
        return segmenter

    def _probe(self) -> None:
        """Run the model once: one that loads may still not run, or give no numbers."""
        frame = Frame(np.full((*self._sizes.camera, 3), 128, np.uint8))
        label_map = np.zeros(frame.size, np.uint8)
        height, width = frame.size
        label_map[height // 3 : 2 * height // 3, width // 3 : 2 * width // 3] = 1
        work, prompt = self._work, Prompt(label_map)
        features = work.backend.encode_image(work.prepare(frame))
        self._check_channels(work, features)
        prob = self.step(frame, prompt).prob
        # What the engine makes of them is always finite: it takes no number for nothing seen.
        made = [*features.values(), work.encode(features, prob, self.object_ids, self.object_ids)]
        made.append(work.read_and_decode(features))
        is_finite = all(np.isfinite(part).all() for part in made)
        self.reset()
        self._doubts.clear()
        if not is_finite:
            raise VosError(
                f'model {self.manifest.name} gives no finite numbers on {self.backend_name}; '
                'export it again or take another backend'
            )

    def _check_channels(self, work: Workspace, features: Features) -> None:
        """Refuse a model whose graphs give something else than its manifest says."""
        prob = np.full((2, *work.mask_size), 0.5, np.float32)
        value = work.encode(features, prob, (1,), (1,))
        for name, stated, made in (
            ('key_dim', self.manifest.key_dim, features['key'].shape[1]),
            ('value_dim', self.manifest.value_dim, value.shape[1]),
        ):
            if stated != made:
                raise VosError(
                    f'model {self.manifest.name}: its manifest says {name} {stated}, its graphs '
                    f'give {made}; export it again'
                )

    @property
    def memory(self) -> MemoryBank:
        """What is remembered; another one after a change of the network's size."""
        return self._work.memory

    @property
    def doubts(self) -> dict[str, int]:
        """
        Masks that were not memorised, counted by reason since the segmenter was made.

        Keys are the values of `tracking.Doubt`; may be asked from another thread.
        """
        return {doubt.value: self._doubts[doubt] for doubt in Doubt}

    @property
    def object_ids(self) -> tuple[int, ...]:
        """Ids of all objects known, ascending."""
        return self.memory.object_ids

    @property
    def backend_name(self) -> str:
        """Name of what runs the network, for reports."""
        return self._work.backend.name

    @property
    def takes_windows(self) -> bool:
        """Objects are looked for near to where they were only (`memory.windowed`)."""
        return self.config.memory.windowed and self._work.backend.takes_windows

    @property
    def precision(self) -> str:
        """What the network computes with, for reports: 'fp32', 'fp16' or 'bf16'."""
        return self._work.backend.precision

    @property
    def fallbacks(self) -> tuple[str, ...]:
        """Why nothing better than `backend_name` runs, where something better was expected."""
        return self._work.backend.fallbacks

    @property
    def input_size(self) -> Size:
        """Network input (H, W) in use."""
        return self._work.size

    @property
    def short_sides(self) -> tuple[int, ...]:
        """Short sides of the network's input to step down, px; the full size first."""
        return self._sizes.short_sides

    @property
    def level(self) -> int:
        """Steps down `short_sides`, 0 = full size."""
        return self._sizes.level

    def set_level(self, level: int) -> bool:
        """
        Go to another step of `short_sides` and stay there; what is remembered is encoded again.

        Costs one encoding per prompted frame and one for the newest frame, and loads the model
        the first time that a size is used. To be called after memorize(). If it fails, by
        VosError, all stays as it was.

        :return: the network's size has changed.
        """
        sizes, size, before = self._sizes, self.input_size, self._sizes.level
        sizes.level = max(0, min(level, len(sizes.short_sides) - 1))
        try:
            self._set_size(sizes.at_level(sizes.camera))
        except Exception:
            sizes.level = before
            raise
        return self.input_size != size

    def open_sizes(self) -> None:
        """
        Load the model for every step of `short_sides` at the present camera's aspect ratio.

        Where loading takes long (an engine that is built), better now than at the first overload.
        """
        self._sizes.open_all(self.input_size)

    def _meet(self, camera: Size) -> tuple[str, ...]:
        """Take note of an image's size (H, W); return a line for what is not as expected."""
        is_new, warnings = self._sizes.meet(camera, self.input_size)
        return self._adopt_camera(camera) if is_new else warnings

    def _adopt_camera(self, camera: Size, *, keeps_objects: bool = True) -> tuple[str, ...]:
        """Adopt the network's size for a camera (H, W) at the present level; return warnings."""
        self._set_size(self._sizes.at_level(camera), keeps_objects=keeps_objects)
        return self._sizes.adopt(camera)

    def _set_size(self, size: Size, *, keeps_objects: bool = True) -> None:
        """
        Adopt a network input (H, W); all stays as it was if this fails.

        :param keeps_objects: encode again what is remembered.
        """
        if size == self.input_size:
            return
        work, latest = self._workspace(size, self.input_size), None
        if keeps_objects and self.object_ids:
            latest = carry_over(self._work, work, self._key_frames, self._latest)
        self._work, self._latest = work, latest
        if self._redetector is not None:
            self._redetector.forget_views()

    def _make_redetector(self) -> Redetector | None:
        config = self.config.redetect
        return Redetector(self.manifest, config) if config.enabled else None

    def _workspace(self, size: Size, in_use: Size | None = None) -> Workspace:
        backend = self._sizes.backend_for(size, in_use)
        return Workspace(self.manifest, backend, size, self.config)


def _check_correction(instead: LabelMap | Float, size: Size) -> None:
    """
    Refuse what is neither a label map of an image nor probabilities.

    :param instead: see `VideoSegmenter.memorize`.
    :param size: (H, W) of the image, px.
    :raises VosError: it is neither.
    """
    if instead.ndim == 2 and instead.dtype.kind in 'ui':
        if instead.shape != size:
            raise VosError(
                f'a label map of {instead.shape[1]}x{instead.shape[0]} was given to memorise; the '
                f'image has {size[1]}x{size[0]}'
            )
    elif instead.ndim != 3 or instead.dtype.kind not in 'fui' or not instead.size:
        raise VosError(
            'memorize takes a label map (H, W) of whole numbers, or probabilities '
            f'(objects + 1, h, w), not {instead.dtype} of shape {instead.shape}'
        )
    elif not (instead.min() >= 0 and instead.max() <= 1 + _ROUNDING):
        raise VosError('probabilities to be memorised must be 0 to 1; are these logits?')
