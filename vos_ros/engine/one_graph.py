# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
OneGraphSegmenter: the hot path as one call of a graph, for devices with a memory of their own.

The seam: the graph does all that is arithmetic on pixels, cells and features. Here stays what
decides, on the few bytes that come back: how far an object can have moved, whether a mask is
believed, who reads which frames. What happens now and then (prompts, other sizes, corrections,
late masks) goes by the three graphs, as always; the memory is fetched for it and sent back after.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import cast

import cv2
import numpy as np

from vos_ros.backends import load_manifest, open_backend
from vos_ros.backends.base import Backend, Manifest, Size
from vos_ros.backends.frame_graph import (
    FrameGraph,
    FrameLayout,
    from_whole,
    MOST_ID,
    open_frame_graph,
    PROMPTED,
    RECENT,
    to_whole,
    WHOLE,
)
from vos_ros.config import RuntimeConfig, SegmenterConfig
from vos_ros.datatypes import (
    check_frame,
    Encoding,
    Float,
    Frame,
    Image,
    LabelMap,
    Prompt,
    Segmentation,
    StepTiming,
)
from vos_ros.engine.memory import Place
from vos_ros.engine.prompting import Accepted
from vos_ros.engine.segmenter import VideoSegmenter
from vos_ros.engine.tracking import sight_of
from vos_ros.engine.verdict import Later, Memorized, Segmented, Verdict
from vos_ros.errors import VosError
from vos_ros.latency import Stopwatch

#: Share of the labels that may differ from those of the three graphs on the clip of the probe.
#: fp32 differs at ties only.
TOLERANCE = {'fp32': 1e-4, 'fp16': 2e-2}
_DRAWN_FRAMES = 5


@dataclass(frozen=True, eq=False)
class FrameSegmentation(Segmentation):
    """
    A Segmentation whose `prob` is fetched from the device when it is first asked for.

    That is one more copy, and only possible until the next frame.

    :param confidence: (H, W) uint8, probability of each pixel's label, 255 = certain.
    """

    confidence: Image | None = None

    @property  # type: ignore[misc]
    def prob(self) -> Float:
        """See Segmentation."""
        made: Float | Callable[[], Float] = self.__dict__['_prob']
        if callable(made):
            made = made()
            self.__dict__['_prob'] = made
        return made

    @prob.setter
    def prob(self, value: Float | Callable[[], Float]) -> None:
        self.__dict__['_prob'] = value


@dataclass(frozen=True, eq=False)
class _Seen:
    """What memorize() needs of the last frame that went through the graph."""

    places: dict[int, Place]
    verdict: Callable[[], Verdict]
    frame: Frame  # its image is a view on what was sent
    seconds: float


class OneGraphSegmenter(VideoSegmenter):
    """
    A VideoSegmenter that sends a frame through one graph whenever that can take it.

    It can not: at the frame of a prompt, at another size of camera or network, with another order
    of channels, with ids above 254, and while objects read more different pairs of frames than
    the graph has groups. Such frames cost what they cost with three graphs, and moving the memory.
    `whole_frames` counts the others. There is no `redetect`: it looks at pixels between reading
    and labelling, which never leave the device here.
    """

    def __init__(
        self,
        manifest: Manifest,
        open_for: Callable[[Size], Backend],
        config: SegmenterConfig = SegmenterConfig(),
        graph: FrameGraph | None = None,
    ) -> None:
        off = replace(config.redetect, enabled=False)
        whole = replace(config.memory, windowed=False)  # shapes in a graph do not change
        super().__init__(manifest, open_for, replace(config, redetect=off, memory=whole))
        self.graph = graph
        self.whole_frames = 0
        self._seen: _Seen | None = None
        self._is_on_device = False  # the recent frame is on the device, not in the bank
        self._kept: tuple[_Seen, tuple[int, ...]] | None = None  # the newest one, and who believes

    @classmethod
    def open(
        cls,
        model: str | Path | None = None,
        *,
        config: SegmenterConfig = SegmenterConfig(),
        runtime: RuntimeConfig = RuntimeConfig(),
    ) -> OneGraphSegmenter:
        """
        Load both forms of a model; the one graph is trusted once it labels as the three do.

        :raises VosError: as VideoSegmenter.open; also where the graph is missing or differs, or
            has fewer slots than `config` asks for.
        """
        manifest = load_manifest(runtime.model if model is None else model)
        segmenter = cls(
            manifest,
            lambda size: open_backend(manifest, runtime, size, config.max_objects),
            config,
        )
        segmenter._probe()
        graph = open_frame_graph(manifest, runtime, segmenter.backend_name, segmenter.precision)
        layout = graph.layout
        for name, asked, there in (
            ('max_objects', config.max_objects, layout.objects),
            ('max_prompted_frames', config.memory.max_prompted_frames, layout.prompted_frames),
        ):
            if asked > there:
                raise VosError(
                    f'{name} is {asked}, but the graph of model {manifest.name} has room for '
                    f'{there}: lower it, or make the graph for more'
                )
        segmenter._verify(graph)
        segmenter.graph = graph
        return segmenter

    def segment(self, frame: Frame) -> Segmentation:
        """See VideoSegmenter."""
        check_frame(frame)
        watch = Stopwatch()
        graph = self.graph
        if graph is None or not self._takes(frame, graph):
            self._fetch()
            return super().segment(frame)
        warnings = self._meet(frame.size)
        places = self.memory.placed()
        seconds = self._seconds_since(frame)
        if not self._send(graph, places):
            return super().segment(frame)
        self._give(graph, frame, places, seconds)
        preprocess_ms = watch.lap_ms()

        # Image -> labels, and what would be remembered; nothing of that is kept yet.
        graph.run()
        segment_ms = watch.lap_ms()

        made, object_ids = graph.made, tuple(places)
        rows = [place.slot for place in places.values()]
        scores = from_whole(made['scores'][rows]) / 256.0**WHOLE
        masks, decide = made['masks'][rows], self._judge(seconds)
        sights = cache(lambda: map(sight_of, masks, scores.tolist()))
        verdict = cache(lambda: decide(dict(zip(object_ids, sights()))))
        sent = Frame(graph.given['image'], frame.encoding, frame.stamp_ns, frame.frame_id)
        self._latest, self._newest, self._kept = None, None, None
        self._seen = seen = _Seen(places, verdict, sent, seconds)
        self._frame_number += 1
        self.whole_frames += 1

        def fetch_prob() -> Float:
            newest = self._seen or (self._kept and self._kept[0])
            if newest is not seen:
                raise VosError('the probabilities of a frame are gone once the next one came')
            return graph.prob()[[0, *(1 + row for row in rows)]]

        return FrameSegmentation(
            self._outlines.draw(made['labels']),
            object_ids,
            Later(object_ids, lambda: verdict().scores),
            frame.stamp_ns,
            frame.frame_id,
            StepTiming(preprocess_ms, 0.0, segment_ms, watch.lap_ms()),
            fetch_prob,  # type: ignore[arg-type]
            warnings,
            states=Later(object_ids, lambda: verdict().states),
            confidence=made['confidence'],
        )

    def memorize(
        self, instead: LabelMap | Float | None = None, *, may_search: bool = True
    ) -> None:
        """See VideoSegmenter."""
        seen, graph = self._seen, self.graph
        if seen is None or graph is None:
            super().memorize(instead, may_search=may_search)
            return
        if instead is not None:
            self._fetch()
            super().memorize(instead)
            return
        watch = Stopwatch()
        self._seen = None
        verdict, known = seen.verdict(), self.object_ids
        object_ids = tuple(seen.places)
        slots = [place.slot for place in seen.places.values()]
        gate = self._work.gate
        masks = [graph.made['masks'][slot].view(np.bool_) for slot in slots]
        gate.update_masks(masks, object_ids, (), seen.seconds)
        gate.remove(set(object_ids) - set(known))
        self._stamp_ns = seen.frame.stamp_ns
        self._tracks = {k: track for k, track in verdict.tracks.items() if k in known}
        self._doubts.update(verdict.doubts.values())
        believed = tuple(k for k in known if k in verdict.tracks and k not in verdict.doubts)
        self._kept = seen, believed
        if self._frame_number % self.config.memory.mem_every == 0 and known:
            self.memory.mark_recent(believed)
            graph.keep()
        self.last_memorize_ms = watch.lap_ms()

    def _verify(self, graph: FrameGraph) -> None:
        """Follow two objects over a drawn clip both ways; raise VosError where labels differ."""
        frames, prompt = _drawn(graph.layout)
        by_three = [self.step(frames[0], prompt), *map(self.step, frames[1:])]
        self.reset()
        self.graph = graph
        by_one = [self.step(frames[0], prompt), *map(self.step, frames[1:])]
        self.graph = None
        self.reset()
        self._doubts.clear()
        self.whole_frames = 0
        differing = [float((a.label_map != b.label_map).mean()) for a, b in zip(by_three, by_one)]
        if max(differing) > TOLERANCE[self.precision]:
            raise VosError(
                f'model {self.manifest.name}: its one graph labels {max(differing):.2%} of the '
                f'pixels otherwise than the three on {graph.name}; make it again, or take those'
            )

    # What goes by the three graphs

    def _prompt(self, frame: Frame, accepted: Accepted, warnings: Sequence[str]) -> Segmentation:
        self._fetch()
        return super()._prompt(frame, accepted, warnings)

    def set_level(self, level: int) -> bool:
        """See VideoSegmenter."""
        self._fetch()
        return super().set_level(level)

    def fork(self) -> VideoSegmenter:
        """See VideoSegmenter; a fork goes by the three graphs."""
        other = super().fork()
        assert isinstance(other, OneGraphSegmenter)
        other.graph = None
        return other

    def adopt(self, other: VideoSegmenter) -> None:
        """See VideoSegmenter."""
        self._fetch()
        super().adopt(other)

    def reset(self) -> None:
        """See VideoSegmenter."""
        super().reset()
        self._seen, self._kept, self._is_on_device = None, None, False

    def _takes(self, frame: Frame, graph: FrameGraph) -> bool:
        layout, known = graph.layout, self.object_ids
        return (
            bool(known)
            and frame.size == layout.camera
            and self.input_size == layout.input_size
            and frame.encoding == layout.encoding
            and max(known) <= MOST_ID
            and len(_pairs(self.memory.placed())) <= layout.groups
        )

    def _send(self, graph: FrameGraph, places: dict[int, Place]) -> bool:
        """Bring the memory onto the device, unless it is there; False = it has no such form."""
        if self._is_on_device:
            return True
        recent = self.memory.recent_state()
        if recent is None:
            return False
        for names, values in ((PROMPTED, self.memory.prompted_state()), (RECENT, recent)):
            for name, value in zip(names, values):
                padded = np.zeros(graph.shapes[name], np.float32)  # it may have room for more
                padded[tuple(slice(length) for length in value.shape)] = value
                graph.write(name, padded)
        self._is_on_device = True
        return True

    def _give(
        self, graph: FrameGraph, frame: Frame, places: dict[int, Place], seconds: float
    ) -> None:
        """Fill in all that the graph is given with a frame."""
        given, objects = graph.given, graph.layout.objects
        np.copyto(given['image'], frame.image)
        given['reach'].fill(1)
        hidden_below, moved_from = [0.0] * objects, [0.0] * objects
        for object_id, place in places.items():
            reach = self._work.gate.reach(object_id, seconds)
            if reach is not None:
                given['reach'][place.slot] = reach.cells
                hidden_below[place.slot] = reach.hidden_below
                moved_from[place.slot] = reach.moved_from
        given['hidden_below'][:] = to_whole(hidden_below)
        given['moved_from'][:] = to_whole(moved_from)
        for name in ('ids', 'member', 'group_prompted', 'group_recent'):
            given[name].fill(0)
        pairs = _pairs(places)
        for group, (prompted, is_recent) in enumerate(pairs):
            given['group_prompted'][group], given['group_recent'][group] = prompted, is_recent
        for object_id, place in places.items():
            given['ids'][1 + place.slot] = object_id
            given['member'][pairs.index((place.prompted, place.is_recent)), place.slot] = 1
        given['guided'][:] = self.config.guided

    def _fetch(self) -> None:
        """Bring the memory back from the device, and what is known of the newest frame."""
        graph, is_on_device = self.graph, self._is_on_device
        self._is_on_device = False
        if graph is None or not is_on_device:
            return
        self.memory.take_recent(graph.read('recent_key'), graph.read('recent_value'))
        self._see_by_three_graphs()
        if self._kept is not None:
            seen, believed = self._kept
            self._work.prepare(seen.frame)
            self._latest = Memorized(self._prob_of(graph, seen), tuple(seen.places), believed)
            self._kept = None

    def _see_by_three_graphs(self) -> None:
        """Make of a frame that is not memorised yet what it would be without the one graph."""
        seen, self._seen = self._seen, None
        if seen is None or self.graph is None:
            return
        self._work.prepare(seen.frame)
        self._newest = Segmented(
            self._work.see(),
            seen.frame.size,
            self._prob_of(self.graph, seen),
            tuple(seen.places),
            seen.verdict,
            seen.frame.stamp_ns,
            seen.seconds,
        )

    def _prob_of(self, graph: FrameGraph, seen: _Seen) -> Float:
        return graph.prob()[[0, *(1 + place.slot for place in seen.places.values())]]


def _pairs(places: dict[int, Place]) -> list[tuple[int, bool]]:
    """Return the different pairs of frames that objects read."""
    return sorted({(place.prompted, place.is_recent) for place in places.values()})


def _drawn(layout: FrameLayout) -> tuple[list[Frame], Prompt]:
    """Draw a few frames of discs that move over smooth noise, with their masks on the first."""
    height, width = layout.camera
    coarse = np.random.default_rng(0).integers(0, 256, (9, 12, 3), np.uint8)
    size = (width + 32, height + 32)
    canvas = np.asarray(cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC), np.uint8)
    labels, frames = np.zeros(layout.camera, np.uint8), []
    radius = min(height, width) // 6
    for step in range(_DRAWN_FRAMES):
        image = canvas[step : step + height, 2 * step : 2 * step + width].copy()
        for k in range(min(2, layout.objects)):
            centre = (width * (2 * k + 1) // 4 + 3 * step, height // 2 + 2 * step)
            cv2.circle(image, centre, radius, (40 + 150 * k, 200 - 150 * k, 90), cv2.FILLED)
            if not step:
                cv2.circle(labels, centre, radius, k + 1, cv2.FILLED)
        stamp_ns = (step + 1) * 33_000_000
        frames.append(Frame(image, cast(Encoding, layout.encoding), stamp_ns))
    return frames, Prompt(labels)
