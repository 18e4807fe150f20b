# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""VideoSegmenter: from frame to label map; THE HOT PATH."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
import copy
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import cast, TypeVar

import numpy as np

from vos_ros.backends import load_manifest, open_backend
from vos_ros.backends.base import Backend, Features, Manifest, Size
from vos_ros.config import LostConfig, RuntimeConfig, SegmenterConfig
from vos_ros.datatypes import (
    Float,
    Frame,
    LabelMap,
    ObjectState,
    Prompt,
    Segmentation,
    StepTiming,
)
from vos_ros.engine.keyframes import KeyFrame, resize_prob
from vos_ros.engine.labels import (
    aggregate,
    ids_in,
    keep_ids,
    Labeler,
    masks_at_stride,
    override,
    paint,
)
from vos_ros.engine.memory import MemoryBank
from vos_ros.engine.motion import LEAST_S
from vos_ros.engine.preprocess import fit_label_map, ladder, network_size
from vos_ros.engine.tracking import advance, begin, Doubt, look, Sight, Track
from vos_ros.engine.workspace import mask_size, Workspace
from vos_ros.errors import VosError
from vos_ros.latency import Stopwatch

# The backend is opened for this camera, so that a broken model is found before the first frame.
_USUAL_CAMERA: Size = (480, 640)
_MAX_STRETCH = 1.1  # rounding to multiples of 16 alone stretches by up to 1.07

V = TypeVar('V')


@dataclass(frozen=True, eq=False)
class _Verdict:
    """
    What the frames before make of one.

    :param scores: per id, mean probability.
    :param tracks: with this frame in them.
    :param doubts: of the objects whose mask is not to be believed.
    """

    scores: dict[int, float]
    tracks: dict[int, Track]
    doubts: dict[int, Doubt]


class _Later(Mapping[int, V]):
    """A dict per object id, made when it is first looked into."""

    def __init__(self, object_ids: Sequence[int], make: Callable[[], dict[int, V]]) -> None:
        self._object_ids = object_ids
        self._make = make

    @cached_property
    def _made(self) -> dict[int, V]:
        return self._make()

    def __getitem__(self, object_id: int) -> V:
        return self._made[object_id]

    def __iter__(self) -> Iterator[int]:
        return iter(self._object_ids)

    def __len__(self) -> int:
        return len(self._object_ids)

    def __repr__(self) -> str:
        return repr(self._made)


@dataclass(frozen=True, eq=False)
class _Newest:
    """What memorize() needs of the last frame."""

    features: Features
    prob: Float
    object_ids: tuple[int, ...]
    verdict: Callable[[], _Verdict]  # worked out when first asked for
    stamp_ns: int
    seconds: float  # since the frame before
    prompted: tuple[int, ...] = ()  # their memory was written with the prompt
    drawn: tuple[int, ...] = ()  # their mask is the prompt's own


@dataclass(frozen=True, eq=False)
class _Latest:
    """What is kept of the frame whose image is in the workspace, once it was memorised."""

    prob: Float
    object_ids: tuple[int, ...]
    believed: tuple[int, ...]


class VideoSegmenter:
    """
    Follows prompted objects through a video, with finite memory and a constant cost per frame.

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
        fixed = manifest.fixed
        self.short_sides = (
            ladder(config.input_size or manifest.short_side)
            if fixed is None
            else (min(fixed[:2]),)
        )
        self.last_memorize_ms = 0.0  # of the newest memorize(), which comes after publishing
        self._open_for = open_for
        self._backends: dict[Size, Backend] = {}
        self._level = 0
        self._camera: Size = _USUAL_CAMERA if fixed is None else fixed[:2]
        self._has_camera = False  # `_camera` is of an image
        self._odd: Size | None = None  # network input for the last image, which was of no camera
        self._past_sizes: list[Size] = []  # of the camera before
        self._labeler = Labeler()
        self._work = self._workspace(self._sizes(self._camera)[0])
        self._doubts: Counter[Doubt] = Counter()
        self._newest: _Newest | None = None
        self._latest: _Latest | None = None
        self._tracks: dict[int, Track] = {}
        self._key_frames: dict[int, KeyFrame] = {}  # per object; objects share them
        self._frame_number = 0  # since start()
        self._stamp_ns = 0  # of the last frame memorised

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
        frame = Frame(np.full((*self._camera, 3), 128, np.uint8))
        label_map = np.zeros(frame.size, np.uint8)
        height, width = frame.size
        label_map[height // 3 : 2 * height // 3, width // 3 : 2 * width // 3] = 1
        work, prompt = self._work, Prompt(label_map)
        prob = self.step(frame, prompt).prob
        # What the engine makes of them is always finite: it takes no number for nothing seen.
        features = work.backend.encode_image(work.prepare(frame))
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
    def level(self) -> int:
        """Steps down `short_sides`, 0 = full size."""
        return self._level

    @property
    def object_ids(self) -> tuple[int, ...]:
        """Ids of all objects known, ascending."""
        return self.memory.object_ids

    @property
    def backend_name(self) -> str:
        """Name of what runs the network, for reports."""
        return self._work.backend.name

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

    def set_level(self, level: int) -> bool:
        """
        Go to another step of `short_sides` and stay there; what is remembered is encoded again.

        Costs one encoding per prompted frame and one for the newest frame, and loads the model
        the first time that a size is used. To be called after memorize(). If it fails, by
        VosError, all stays as it was.

        :return: the network's size has changed.
        """
        before, self._level = self._level, max(0, min(level, len(self.short_sides) - 1))
        size = self.input_size
        try:
            self.set_size(self._sizes(self._camera)[self._level])
        except Exception:
            self._level = before
            raise
        return self.input_size != size

    def open_sizes(self) -> None:
        """
        Load the model for every step of `short_sides` at the present camera's aspect ratio.

        Where loading takes long (an engine that is built), better now than at the first overload.
        """
        for size in self._sizes(self._camera):
            self._backend_for(size)

    def segment(self, frame: Frame) -> Segmentation:
        """
        Find all known objects on a frame; the memory is not touched.

        :return: an empty label map at no cost while no object is known.
        """
        watch = Stopwatch()
        warnings = self._meet(frame.size)
        object_ids = self.object_ids
        if not object_ids:
            return self._nothing(frame, warnings)
        work = self._work

        # Camera image -> network input, at the network's size.
        self._latest = None
        image = work.prepare(frame)
        preprocess_ms = watch.lap_ms()

        # Encode the frame, once for all objects.
        features = work.backend.encode_image(image)
        encode_ms = watch.lap_ms()

        # Read the memory, decode each object, let them compete for the pixels.
        prob = aggregate(work.read_and_decode(features))
        seconds = self._seconds_since(frame)
        work.gate.apply(prob, object_ids, seconds)
        guide = work.guide(prob, frame) if self.config.guided else None
        segment_ms = watch.lap_ms()

        # Probabilities -> ids, at the camera's size.
        label_map = self._labeler(prob, object_ids, frame.size, guide)
        timing = StepTiming(preprocess_ms, encode_ms, segment_ms, watch.lap_ms())

        # Labels are published before anybody asks for this.
        tracks, lost, least = dict(self._tracks), self.lost, self.config.memory.min_score
        verdict = cache(
            lambda: _judge(dict(zip(object_ids, look(prob))), tracks, seconds, lost, least)
        )
        self._newest = _Newest(features, prob, object_ids, verdict, frame.stamp_ns, seconds)
        self._frame_number += 1
        return Segmentation(
            label_map,
            object_ids,
            _Later(object_ids, lambda: verdict().scores),
            frame.stamp_ns,
            frame.frame_id,
            timing,
            prob,
            warnings,
            states=_Later(object_ids, lambda: _states_of(verdict().tracks)),
        )

    def memorize(self, instead: LabelMap | Float | None = None) -> None:
        """
        Make the last segmented frame the recent one, every `mem_every` frames; else do nothing.

        An object whose mask is not to be believed (see `tracking.Doubt`) falls back to its
        prompted frame: memorising a wrong mask is how drift starts, and so it can be found
        again.

        :param instead: to be remembered and believed in place of what was found: (H, W) ids at the
            camera's size, or probabilities (K + 1, h, w) of any size, rows as in the
            Segmentation's. Of an object without a pixel there, its prompted frame stays.
        :raises VosError: another number of objects.
        """
        watch = Stopwatch()
        newest, self._newest = self._newest, None
        if newest is not None:
            if instead is not None:
                newest = self._corrected(newest, instead)
            self._remember(newest)
        self.last_memorize_ms = watch.lap_ms()

    def _corrected(self, newest: _Newest, instead: LabelMap | Float) -> _Newest:
        """Put known masks in the place of those that were found."""
        if instead.ndim == 3:
            if len(instead) != len(newest.prob):
                raise VosError(
                    f'{len(instead)} rows of probabilities were given to memorise; background and '
                    f'{len(newest.object_ids)} objects are {len(newest.prob)}'
                )
            prob = resize_prob(np.asarray(instead, np.float32), self._work.mask_size)
        else:
            prob = np.zeros_like(newest.prob)
            there = [k for k in newest.object_ids if (instead == k).any()]
            rows = [1 + newest.object_ids.index(k) for k in there]
            prob[rows] = masks_at_stride(cast(LabelMap, instead), there, self._work.mask_size)
            prob[0] = np.clip(1 - prob.sum(axis=0), 0, 1)
        sights = dict(zip(newest.object_ids, look(prob)))
        least = self.config.memory.min_score
        verdict = _judge(sights, self._tracks, newest.seconds, self.lost, least)
        doubts = {k: doubt for k, doubt in verdict.doubts.items() if not sights[k].area}
        verdict = replace(verdict, doubts=doubts)
        return replace(newest, prob=prob, verdict=lambda: verdict)

    def _remember(self, newest: _Newest) -> None:
        work, known = self._work, self.object_ids  # some may have been removed since
        verdict = newest.verdict()
        work.gate.update(newest.prob, newest.object_ids, newest.drawn, newest.seconds)
        work.gate.remove(set(newest.object_ids) - set(known))
        self._stamp_ns = newest.stamp_ns
        self._tracks = {k: track for k, track in verdict.tracks.items() if k in known}
        self._doubts.update(verdict.doubts.values())
        believed = [k for k in known if k in verdict.tracks and k not in verdict.doubts]
        self._latest = _Latest(newest.prob, newest.object_ids, tuple(believed))
        due = self._frame_number % self.config.memory.mem_every == 0
        if due and set(known) - set(newest.prompted):
            trusted = [k for k in believed if k not in newest.prompted]
            values = work.encode(newest.features, newest.prob, newest.object_ids, trusted)
            work.memory.write_recent(trusted, work.key(newest.features), values)

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

    def start(self, frame: Frame, prompt: Prompt, beside: Sequence[int] = ()) -> Segmentation:
        """
        Forget everything and follow the objects of `prompt` from this frame on.

        The label map is the prompt itself. What is refused of it stands in `warnings`; a prompt
        that cannot be used at all raises VosError and leaves everything as it was.

        :param beside: ids that count towards `max_objects` although they are followed elsewhere.
        """
        label_map, prompted, warnings = self._accept(prompt, frame.size, beside)
        if not prompted:
            empty = 'empty mask: it has no object; draw at least one pixel with an id above 0'
            raise VosError('; '.join(warnings) or empty)
        shape = self._adopt_camera(frame.size, keeps_objects=False)
        self.reset()
        self._has_camera = True
        return self._prompt(frame, label_map, prompted, (*warnings, *shape))

    def add_objects(self, frame: Frame, prompt: Prompt) -> Segmentation:
        """
        Add the new ids of `prompt`, and prompt the known ones again, on this frame.

        The other objects are segmented; where the prompt has a pixel, it wins. Their memory
        is not touched, unless there are more distinct prompted frames than
        `max_prompted_frames` (said in `warnings`). An empty prompt just segments.
        """
        label_map, prompted, warnings = self._accept(prompt, frame.size, self.object_ids)
        if not prompted:
            result = self.segment(frame)
            return replace(result, warnings=(*warnings, *result.warnings))
        shape = self._meet(frame.size)
        return self._prompt(frame, label_map, prompted, (*warnings, *shape))

    def remove_objects(self, ids: Iterable[int]) -> tuple[int, ...]:
        """Forget these objects; return those that were known. Ids of the others never change."""
        removed = self.memory.remove(ids)
        self._work.gate.remove(removed)
        for object_id in removed:
            self._tracks.pop(object_id, None)
            self._key_frames.pop(object_id, None)
        return removed

    def reset(self) -> None:
        """Forget all objects; the model stays loaded and the memory allocated."""
        self.memory.clear()
        self._work.gate.clear()
        self._newest = self._latest = None
        self._tracks, self._key_frames = {}, {}  # new ones: a fork may hold the old
        self._frame_number = 0
        self._stamp_ns = 0
        self._has_camera, self._odd = False, None  # whatever shape comes next is the camera's

    def forget_time(self) -> None:
        """Treat the next frame as if it came at once: its stamp is of another clock."""
        self._stamp_ns = 0

    def fork(self) -> VideoSegmenter:
        """
        Return a segmenter without objects that shares the loaded model, for the same thread.

        What it follows can be taken over by adopt(); until then this one is not touched.
        """
        other = copy.copy(self)
        other._labeler = Labeler()
        other._work = self._workspace(self.input_size)
        other._doubts = Counter()
        other.reset()
        return other

    def adopt(self, other: VideoSegmenter) -> None:
        """
        Take over the objects of a fork, prompted on one frame, as they were last memorised.

        Objects known under the same ids are replaced; the memory of the others does not change.
        They must fit, see `fits`.
        """
        if not self.object_ids:
            self._adopt_camera(other._camera)
        other.set_size(self.input_size)
        new = other.object_ids
        self.memory.adopt(other.memory)
        self._tracks |= other._tracks
        self._key_frames |= other._key_frames
        if self._latest is not None:  # what it says of these is of the mask before
            believed = tuple(k for k in self._latest.believed if k not in new)
            self._latest = replace(self._latest, believed=believed)
        if other._latest is not None:
            rows = [0, *(1 + other._latest.object_ids.index(k) for k in new)]
            self._work.gate.update(other._latest.prob[rows], new, new)
        self._doubts.update(other._doubts)
        self._stamp_ns = max(self._stamp_ns, other._stamp_ns)

    def fits(self, prompted: Sequence[int]) -> bool:
        """Return whether these can be prompted on a frame of their own, without moving others."""
        return self.memory.ids_to_write(prompted, self.object_ids) == tuple(sorted(prompted))

    def _prompt(
        self, frame: Frame, label_map: LabelMap, prompted: Sequence[int], warnings: Sequence[str]
    ) -> Segmentation:
        watch = Stopwatch()
        work = self._work
        self._latest = None
        image = work.prepare(frame)
        preprocess_ms = watch.lap_ms()
        features = work.backend.encode_image(image)
        encode_ms = watch.lap_ms()

        # The objects that were known before, as on any frame.
        known = self.object_ids
        found = aggregate(work.read_and_decode(features))
        seconds = self._seconds_since(frame)
        work.gate.apply(found, known, seconds)
        guide = work.guide(found, frame) if known and self.config.guided else None
        predicted = self._labeler(found, known, frame.size, guide)

        # The prompt wins, in the label map and in what is memorised.
        masks = masks_at_stride(label_map, prompted, work.mask_size)
        prob, object_ids = override(found, known, masks, prompted)
        sights = dict(zip(object_ids, look(prob)))
        drawn = {k: begin(sights[k]) for k in prompted}
        found_again = {k: sights[k] for k in known if k not in drawn}
        least = self.config.memory.min_score
        verdict = _judge(found_again, self._tracks, seconds, self.lost, least)
        believed = [k for k in verdict.tracks if k not in verdict.doubts]
        written = self.memory.ids_to_write(prompted, believed)
        forgotten = [k for k in written if k in found_again and not sights[k].area]
        if forgotten:
            prob, object_ids = _without(prob, object_ids, forgotten)
            written = tuple(k for k in written if k not in forgotten)
        values = work.encode(features, prob, object_ids, written)
        self.remove_objects(forgotten)  # once nothing can fail any more
        work.memory.write_prompted(written, work.key(features), values)
        segment_ms = watch.lap_ms()

        labels = paint(predicted, label_map, prompted)
        self._key_frames |= dict.fromkeys(written, self._key_frame(frame, labels, object_ids))
        timing = StepTiming(preprocess_ms, encode_ms, segment_ms, watch.lap_ms())
        moved = sorted(set(written) - set(prompted))
        cap = f'more than max_prompted_frames = {self.config.memory.max_prompted_frames}'
        if moved:
            warnings = (
                *warnings,
                f'{cap} prompted frames: objects {moved} now start from this frame, as they were '
                'found on it',
            )
        if forgotten:
            warnings = (
                *warnings,
                f'{cap} prompted frames: objects {forgotten}, out of sight, are forgotten; prompt '
                'them again once they are seen',
            )
        verdict = _Verdict(
            {k: verdict.scores.get(k, 1.0) for k in object_ids},
            {k: verdict.tracks.get(k) or drawn[k] for k in object_ids},
            {k: doubt for k, doubt in verdict.doubts.items() if k not in forgotten},
        )
        self._newest = _Newest(
            features,
            prob,
            object_ids,
            lambda: verdict,
            frame.stamp_ns,
            seconds,
            written,
            tuple(prompted),
        )
        self._frame_number += 1
        return Segmentation(
            labels,
            object_ids,
            verdict.scores,
            frame.stamp_ns,
            frame.frame_id,
            timing,
            prob,
            tuple(warnings),
            _states_of(verdict.tracks),
        )

    def _key_frame(self, frame: Frame, label_map: LabelMap, object_ids: Sequence[int]) -> KeyFrame:
        size = self._sizes(frame.size)[0]
        return KeyFrame.of(frame, label_map, object_ids, size, mask_size(self.manifest, size))

    def _seconds_since(self, frame: Frame) -> float:
        """Return the time since the last frame memorised; stamps that tell nothing are no time."""
        elapsed_ns = frame.stamp_ns - self._stamp_ns
        # Microseconds: what a rate leaves over in nanoseconds must not decide anything.
        return round(elapsed_ns / 1e9, 6) if self._stamp_ns and elapsed_ns > 0 else LEAST_S

    def _accept(
        self, prompt: Prompt, size: Size, known: Sequence[int]
    ) -> tuple[LabelMap, list[int], tuple[str, ...]]:
        """Return the prompt at the frame's size with the ids that can be taken, and warnings."""
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
        refused = new[max(0, self.config.max_objects - len(known)) :]
        if refused:
            warnings.append(
                f'objects {refused} are refused, as max_objects = {self.config.max_objects}; '
                'remove others or raise it'
            )
        accepted = [k for k in found if k not in refused]
        return keep_ids(label_map, accepted), accepted, tuple(warnings)

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

    # The network's size

    def _sizes(self, camera: Size) -> list[Size]:
        """
        Return the network input (H, W) of every step of `short_sides`.

        :raises VosError: the model takes one size, and that is of another shape.
        """
        if self.manifest.fixed is not None:
            height, width = self.manifest.fixed[:2]
            stretch = camera[1] * height / (camera[0] * width)
            if not 1 / _MAX_STRETCH < stretch < _MAX_STRETCH:
                raise VosError(
                    f'model {self.manifest.name} takes {width}x{height} only, and images of '
                    f'{camera[1]}x{camera[0]} are of another shape; export it with --fixed for '
                    'this camera, or without'
                )
            return [(height, width)]
        return [network_size(camera, side, self.manifest.multiple) for side in self.short_sides]

    def _meet(self, camera: Size) -> tuple[str, ...]:
        """
        Take note of an image's size (H, W): another shape counts when it comes twice.

        One image of another shape is stretched: were each of them followed, two cameras on one
        topic would have everything encoded again with every image.

        :return: one line for each thing that is not as the camera may expect.
        """
        size = self._sizes(camera)[self._level]
        if size == self.input_size:
            self._odd, self._camera, self._has_camera = None, camera, True
            return ()
        if not self._has_camera or size == self._odd:
            return self._adopt_camera(camera)
        self._odd = size
        return (
            f'an image of {camera[1]}x{camera[0]} after others of '
            f'{self._camera[1]}x{self._camera[0]} is stretched to their shape; a second in a row '
            'would be taken as it is: are there two cameras on one topic?',
        )

    def _adopt_camera(self, camera: Size, *, keeps_objects: bool = True) -> tuple[str, ...]:
        """Adopt the network's size for a camera (H, W) at the present level; return warnings."""
        sizes, before = self._sizes(camera), self._sizes(self._camera)
        is_new = sizes != before or not self._has_camera
        self.set_size(sizes[self._level], keeps_objects=keeps_objects)
        if sizes != before:
            # Kept, as two cameras that take turns would else have the model loaded each time.
            self._past_sizes = before if self._has_camera else []
        self._camera, self._has_camera, self._odd = camera, True, None
        wanted = {*sizes, *self._past_sizes}
        if any(size not in wanted for size in self._backends):  # of a camera that is gone
            self._backends = {k: v for k, v in self._backends.items() if k in wanted}
        if not is_new or min(sizes[0]) + self.manifest.multiple > self.short_sides[0]:
            return ()
        return (
            f'images of {camera[1]}x{camera[0]} are so long that the network sees them at '
            f'{sizes[0][1]}x{sizes[0][0]}, not with a short side of {self.short_sides[0]}: crop '
            'them where thin things matter',
        )

    def set_size(self, size: Size, *, keeps_objects: bool = True) -> None:
        """
        Adopt a network input (H, W); all stays as it was if this fails.

        :param keeps_objects: encode again what is remembered.
        """
        if size == self.input_size:
            return
        work = self._workspace(size)
        latest = None
        if keeps_objects and self.object_ids:
            latest = self._carry_over(work)
        self._work, self._latest = work, latest

    def _carry_over(self, work: Workspace) -> _Latest | None:
        """
        Encode what is remembered for another size: the prompted frames, then the newest.

        :return: the newest frame at that size, if it was memorised.
        """
        for key_frame in dict.fromkeys(self._key_frames[k] for k in self.object_ids):
            ids = [k for k in self.object_ids if self._key_frames[k] is key_frame]
            features = work.backend.encode_image(work.prepare(key_frame.frame))
            prob = resize_prob(key_frame.prob, work.mask_size)
            values = work.encode(features, prob, key_frame.object_ids, ids)
            work.memory.write_prompted(ids, work.key(features), values)
        latest = self._latest
        if latest is None:
            return None
        known = set(self.object_ids)
        features = work.backend.encode_image(work.prepare_from(self._work))
        prob = resize_prob(latest.prob, work.mask_size)
        believed = [k for k in latest.believed if k in known]
        values = work.encode(features, prob, latest.object_ids, believed)
        work.memory.write_recent(believed, work.key(features), values)
        work.gate.update(prob, latest.object_ids, latest.object_ids)
        work.gate.remove(set(latest.object_ids) - known)
        return replace(latest, prob=prob)

    def _workspace(self, size: Size) -> Workspace:
        return Workspace(self.manifest, self._backend_for(size), size, self.config)

    def _backend_for(self, size: Size) -> Backend:
        if size not in self._backends:
            self._backends[size] = self._open_for(size)
        return self._backends[size]


def _without(
    prob: Float, object_ids: Sequence[int], gone: Sequence[int]
) -> tuple[Float, tuple[int, ...]]:
    """Return probabilities (K + 1, h, w) and ids without some objects, now background."""
    rows = [1 + object_ids.index(k) for k in gone]
    kept: Float = np.delete(prob, rows, axis=0)
    kept[0] += prob[rows].sum(axis=0)
    return kept, tuple(k for k in object_ids if k not in gone)


def _judge(
    sights: Mapping[int, Sight],
    before: Mapping[int, Track],
    seconds: float,
    lost: LostConfig,
    min_score: float,
) -> _Verdict:
    """
    Take one more frame into account.

    :param sights: of objects that were known.
    :param before: their tracks; one without begins here.
    """
    tracks: dict[int, Track] = {}
    doubts: dict[int, Doubt] = {}
    for object_id, sight in sights.items():
        track = before.get(object_id) or begin(sight)
        tracks[object_id], doubt = advance(track, sight, seconds, lost, min_score)
        if doubt is not None:
            doubts[object_id] = doubt
    return _Verdict({k: sight.score for k, sight in sights.items()}, tracks, doubts)


def _states_of(tracks: Mapping[int, Track]) -> dict[int, ObjectState]:
    return {object_id: track.state for object_id, track in tracks.items()}
