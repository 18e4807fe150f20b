# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""VideoSegmenter: from frame to label map; THE HOT PATH."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vos_ros.backends import load_manifest, open_backend
from vos_ros.backends.base import Backend, Features, Manifest, Size
from vos_ros.config import RuntimeConfig, SegmenterConfig
from vos_ros.datatypes import Float, Frame, LabelMap, Prompt, Segmentation, StepTiming
from vos_ros.errors import VosError
from vos_ros.labels import (
    aggregate,
    ids_in,
    keep_ids,
    Labeler,
    masks_at_stride,
    object_scores,
    override,
    paint,
    sum_of_others,
)
from vos_ros.latency import Stopwatch
from vos_ros.memory import MemoryBank
from vos_ros.motion import LEAST_S, MotionGate
from vos_ros.preprocess import fit_label_map, network_size, Normalizer, prepare

# The backend is opened for this camera, so that a broken model is found before the first frame.
_USUAL_CAMERA: Size = (480, 640)


@dataclass(frozen=True, eq=False)
class _Newest:
    """What memorize() needs of the last frame."""

    features: Features
    prob: Float
    object_ids: tuple[int, ...]
    scores: dict[int, float]
    stamp_ns: int
    seconds: float  # since the frame before
    prompted: tuple[int, ...] = ()  # their memory was written with the prompt
    drawn: tuple[int, ...] = ()  # their mask is the prompt's own


class VideoSegmenter:
    """
    Follows prompted objects through a video, with finite memory and a constant cost per frame.

    segment() and memorize() are two verbs, so that a label map can be published before the
    frame is memorised; step() does both. Not for several threads at once.

    :param manifest: of the model.
    :param open_for: makes the backend for one network input (H, W).
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
        self.last_memorize_ms = 0.0  # of the newest memorize(), which comes after publishing
        self._open_for = open_for
        self._normalizer = Normalizer(manifest.mean, manifest.std)
        self._labeler = Labeler()
        self._newest: _Newest | None = None
        self._frame_number = 0  # since start()
        self._stamp_ns = 0  # of the last frame memorised
        self._allocate(self._network_size(_USUAL_CAMERA))

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
        return cls(manifest, lambda size: open_backend(manifest, runtime, size), config)

    @property
    def object_ids(self) -> tuple[int, ...]:
        """Ids of all objects known, ascending."""
        return self.memory.object_ids

    @property
    def backend_name(self) -> str:
        """Name of what runs the network, for reports."""
        return self._backend.name

    @property
    def input_size(self) -> Size:
        """Network input (H, W) in use."""
        return self._size

    def segment(self, frame: Frame) -> Segmentation:
        """
        Find all known objects on a frame; the memory is not touched.

        :return: an empty label map at no cost while no object is known.
        """
        watch = Stopwatch()
        self._fit_to(frame)
        object_ids = self.object_ids
        if not object_ids:
            return self._nothing(frame)

        # Camera image -> network input, at the network's size.
        image = prepare(frame, self._normalizer, self._image)
        preprocess_ms = watch.lap_ms()

        # Encode the frame, once for all objects.
        features = self._backend.encode_image(image)
        encode_ms = watch.lap_ms()

        # Read the memory, decode each object, let them compete for the pixels.
        prob = aggregate(self._read_and_decode(features))
        seconds = self._seconds_since(frame)
        self._gate.apply(prob, object_ids, seconds)
        segment_ms = watch.lap_ms()

        # Probabilities -> ids, at the camera's size.
        label_map = self._labeler(prob, object_ids, frame.size)
        scores = dict(zip(object_ids, object_scores(prob)))
        timing = StepTiming(preprocess_ms, encode_ms, segment_ms, watch.lap_ms())

        self._newest = _Newest(features, prob, object_ids, scores, frame.stamp_ns, seconds)
        self._frame_number += 1
        return Segmentation(
            label_map, object_ids, scores, frame.stamp_ns, frame.frame_id, timing, prob
        )

    def memorize(self) -> None:
        """
        Make the last segmented frame the recent one, every `mem_every` frames; else do nothing.

        An object that was not found, or found with a score below `min_score`, falls back to
        its prompted frame: memorising a wrong mask is how drift starts, and so it can be
        found again.
        """
        watch = Stopwatch()
        newest, self._newest = self._newest, None
        if newest is not None:
            self._gate.update(newest.prob, newest.object_ids, newest.drawn, newest.seconds)
            self._stamp_ns = newest.stamp_ns
            self._gate.remove(set(newest.object_ids) - set(self.object_ids))  # removed since
        due = self._frame_number % self.config.memory.mem_every == 0
        if newest is not None and due and set(self.object_ids) - set(newest.prompted):
            trusted = [k for k in self._visible(newest.scores) if k not in newest.prompted]
            values = self._encode(newest.features, newest.prob, newest.object_ids, trusted)
            self.memory.write_recent(trusted, self._key(newest.features), values)
        self.last_memorize_ms = watch.lap_ms()

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

    def start(self, frame: Frame, prompt: Prompt) -> Segmentation:
        """
        Forget everything and follow the objects of `prompt` from this frame on.

        The label map is the prompt itself. What is refused of it stands in `warnings`; a prompt
        that cannot be used at all raises VosError and leaves everything as it was.
        """
        label_map, prompted, warnings = self._accept(prompt, frame.size, ())
        if not prompted:
            raise VosError(
                'empty mask: it has no object; draw at least one pixel with an id above 0'
            )
        size = self._network_size(frame.size)
        if size != self._size:
            self._allocate(size)
        self.reset()
        return self._prompt(frame, label_map, prompted, warnings)

    def add_objects(self, frame: Frame, prompt: Prompt) -> Segmentation:
        """
        Add the new ids of `prompt`, and prompt the known ones again, on this frame.

        The other objects are segmented; where the prompt has a pixel, it wins. Their memory
        is not touched, unless there are more distinct prompted frames than
        `max_prompted_frames` (said in `warnings`). An empty prompt just segments.
        """
        self._fit_to(frame)
        label_map, prompted, warnings = self._accept(prompt, frame.size, self.object_ids)
        if not prompted:
            return replace(self.segment(frame), warnings=warnings)
        return self._prompt(frame, label_map, prompted, warnings)

    def remove_objects(self, ids: Iterable[int]) -> tuple[int, ...]:
        """Forget these objects; return those that were known. Ids of the others never change."""
        removed = self.memory.remove(ids)
        self._gate.remove(removed)
        return removed

    def reset(self) -> None:
        """Forget all objects; the model stays loaded and the memory allocated."""
        self.memory.clear()
        self._gate.clear()
        self._newest = None
        self._frame_number = 0
        self._stamp_ns = 0

    def _prompt(
        self, frame: Frame, label_map: LabelMap, prompted: Sequence[int], warnings: Sequence[str]
    ) -> Segmentation:
        watch = Stopwatch()
        image = prepare(frame, self._normalizer, self._image)
        preprocess_ms = watch.lap_ms()
        features = self._backend.encode_image(image)
        encode_ms = watch.lap_ms()

        # The objects that were known before, as on any frame.
        known = self.object_ids
        found = aggregate(self._read_and_decode(features))
        seconds = self._seconds_since(frame)
        self._gate.apply(found, known, seconds)
        predicted = self._labeler(found, known, frame.size)

        # The prompt wins, in the label map and in what is memorised.
        masks = masks_at_stride(label_map, prompted, self._mask_size)
        prob, object_ids = override(found, known, masks, prompted)
        scores = dict(zip(object_ids, object_scores(prob))) | dict.fromkeys(prompted, 1.0)
        visible = [k for k in known if k in self._visible(scores)]
        written = self.memory.ids_to_write(prompted, visible)
        values = self._encode(features, prob, object_ids, written)
        self.memory.write_prompted(written, self._key(features), values)
        segment_ms = watch.lap_ms()

        labels = paint(predicted, label_map, prompted)
        timing = StepTiming(preprocess_ms, encode_ms, segment_ms, watch.lap_ms())
        moved = sorted(set(written) - set(prompted))
        if moved:
            cap = self.config.memory.max_prompted_frames
            warnings = (
                *warnings,
                f'more than max_prompted_frames = {cap} prompted frames: objects {moved} now '
                'start from this frame, as they were found on it',
            )
        self._newest = _Newest(
            features,
            prob,
            object_ids,
            scores,
            frame.stamp_ns,
            seconds,
            written,
            tuple(prompted),
        )
        self._frame_number += 1
        return Segmentation(
            labels,
            object_ids,
            scores,
            frame.stamp_ns,
            frame.frame_id,
            timing,
            prob,
            tuple(warnings),
        )

    def _read_and_decode(self, features: Features) -> Float:
        """Return the logits (K, h4, w4) of all objects, in the order of their ids."""
        row_of = {object_id: row for row, object_id in enumerate(self.object_ids)}
        logits = np.empty((len(row_of), *self._mask_size), np.float32)
        for group in self.memory.groups():
            rows = [row_of[object_id] for object_id in group.object_ids]
            logits[rows] = self._backend.segment(features, group.keys, group.values)
        return logits

    def _encode(
        self, features: Features, prob: Float, object_ids: Sequence[int], chosen: Sequence[int]
    ) -> Float:
        """Return the values (chosen, value_dim, tokens) of some of the objects in `prob`."""
        if not chosen:
            return np.empty((0, self.manifest.value_dim, 0), np.float32)
        rows = [object_ids.index(object_id) + 1 for object_id in chosen]
        return self._backend.encode_mask(features, prob[rows], sum_of_others(prob, rows))

    def _seconds_since(self, frame: Frame) -> float:
        """Return the time since the last frame memorised; stamps that tell nothing are no time."""
        elapsed_ns = frame.stamp_ns - self._stamp_ns
        return elapsed_ns / 1e9 if self._stamp_ns and elapsed_ns > 0 else LEAST_S

    def _key(self, features: Features) -> Float:
        return features['key'].reshape(self.manifest.key_dim, -1)

    def _visible(self, scores: dict[int, float]) -> list[int]:
        """Return the objects still known whose mask on this frame is to be trusted."""
        least = self.config.memory.min_score
        return [k for k in self.object_ids if scores.get(k, 0.0) >= max(least, 1e-6)]

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

    def _nothing(self, frame: Frame) -> Segmentation:
        return Segmentation(
            label_map=np.zeros(frame.size, np.uint8),
            object_ids=(),
            scores={},
            stamp_ns=frame.stamp_ns,
            frame_id=frame.frame_id,
            timing=StepTiming(),
            prob=np.ones((1, *self._mask_size), np.float32),
        )

    def _network_size(self, camera_size: Size) -> Size:
        short_side = self.config.input_size or self.manifest.short_side
        return network_size(camera_size, short_side, self.manifest.multiple)

    def _fit_to(self, frame: Frame) -> None:
        """Adopt another aspect ratio while no object is known; refuse it while one is."""
        size = self._network_size(frame.size)
        if size == self._size:
            return
        if self.object_ids:
            raise VosError(
                f'the frame is {frame.size[1]}x{frame.size[0]}, another aspect ratio than before; '
                'reset and prompt the objects again'
            )
        self._allocate(size)

    def _allocate(self, size: Size) -> None:
        """Make all that depends on the network's size, once; the old one stays if this fails."""
        self._backend = self._open_for(size)
        stride, mask_stride = self.manifest.stride, self.manifest.mask_stride
        self.memory = MemoryBank(
            max_objects=self.config.max_objects,
            max_prompted_frames=self.config.memory.max_prompted_frames,
            key_dim=self.manifest.key_dim,
            value_dim=self.manifest.value_dim,
            tokens=(size[0] // stride) * (size[1] // stride),
        )
        self._image = np.empty((1, 3, *size), np.float32)
        self._mask_size = (size[0] // mask_stride, size[1] // mask_stride)
        self._gate = MotionGate(self.config.memory.max_speed * min(self._mask_size))
        self._size = size
