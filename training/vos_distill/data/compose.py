# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Training clips: composed from stills, cut from videos, and both together.

A clip is a stack of layers (a background that moves as a whole, cut-out objects on paths of
their own, occluders in front), rendered frame by frame with OpenCV. Composition is our own
code because it is what the student learns from: augmentation libraries warp one image, they
do not move objects behind each other.

Every choice is drawn from one generator. What is drawn, and in which order, is part of every
published recipe.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from vos_distill.clip_config import ClipConfig
from vos_distill.data.cutouts import bars, curtain, cutout, still_background, twin_of_a_tracked_one
from vos_distill.data.layers import Array, draw_layer, Image, Layer
from vos_distill.data.motion import camera_path, Draw
from vos_distill.data.outlines import redraw_clip
from vos_distill.data.photometric import photometric
from vos_distill.data.real_clip import cut_from_video, RealClip, video_shares
from vos_distill.data.stills import Stills
from vos_distill.data.videos import Video
from vos_ros.formats.masks import VOID

_BARE = 254  # marks where no layer covers a real video; never an id of a clip


class Clip(NamedTuple):
    """
    What `ClipComposer` makes.

    :param images: (T, S, S, 3) uint8 RGB.
    :param labels: (T, S, S) uint8 with ids 0, 1, 2 and 255 for void.
    :param jumped: it has a long pause between frames 0 and 1.
    :param revealed: it shows more of an object than its first frame does.
    :param confidence: (T, S, S) uint8, how sure the labels are, 255 = sure; None = all of them.
    """

    images: Image
    labels: Image
    jumped: bool = False
    revealed: bool = False
    confidence: Image | None = None


class ClipComposer:
    """
    A source of clips; it keeps nothing from one to the next.

    :param stills: photographs with objects; where there are none, all clips are real ones.
    :param videos: real clips; may be empty.
    :param families: see `video_shares`.
    """

    def __init__(
        self,
        stills: Stills,
        videos: Sequence[Video],
        config: ClipConfig,
        families: Mapping[str, float] | None = None,
    ) -> None:
        if not len(stills):  # nothing to cut objects and posts out of
            config = replace(
                config, real=1.0, paste_on_real=0.0, occluder=0.0, bars=0.0, reveal=0.0
            )
        self.stills = stills
        self.videos = videos
        self.config = config
        self._video_shares = video_shares(videos, families or {})

    def clips(self, seed: int, progress: float = 0.0) -> Iterator[Clip]:
        """Make clips without end, all out of one generator."""
        rng = np.random.default_rng(seed)
        while True:
            clip = self.compose(rng, progress)
            if clip is not None:
                yield clip

    def compose(self, rng: np.random.Generator, progress: float = 0.0) -> Clip | None:
        """
        Make one clip.

        :param progress: share of the run that is done, 0..1, for `gap_schedule`.
        :return: None where the draw did not give a usable clip.
        """
        jumped = bool(rng.random() < self.config.jump)
        draw = Draw(rng, self.config, self.stills, jumped, progress)
        layers: list[Layer] = []
        real = None
        camera = [np.eye(3, dtype=np.float32)] * self.config.frames
        if len(self.videos) and rng.random() < self.config.real:
            real = cut_from_video(draw, self.videos, self._video_shares)
            if real is None:
                return None
            next_id = 1 + int(max(label[label != VOID].max(initial=0) for label in real.labels))
            pasted = int(rng.random() < self.config.paste_on_real)
        else:
            is_tracked = bool(rng.random() < 0.45)
            background = still_background(draw, is_tracked)
            layers.append(background)
            seen = is_tracked and background.label is not None and background.label.any()
            next_id = 2 if seen else 1
            pasted = int(rng.integers(0, 3)) if seen else int(rng.integers(1, 4))
            camera = camera_path(draw, 0.7)
        _lay_objects(draw, layers, pasted, next_id, camera)
        _lay_distractors(draw, layers, real, camera)
        images, labels, confidence = _render(draw, layers, real)
        if self.config.redrawn > 0 and rng.random() < self.config.redrawn:
            widest = self.config.redrawn_by * self.config.size
            labels = redraw_clip(labels, float(rng.uniform(-widest, widest)))
        if not _settle_ids(labels):
            return None
        images = photometric(images, self.config, rng)
        revealed = any(layer.reveals for layer in layers)
        return Clip(images, labels, jumped, revealed, confidence)


def _lay_objects(
    draw: Draw, layers: list[Layer], count: int, next_id: int, camera: list[Array]
) -> None:
    """
    Lay cut-outs over the background, and shuffle them; at most two objects are tracked.

    :param layers: changed in place.
    :param next_id: of the next object that is tracked.
    """
    rng = draw.rng
    for _ in range(count):
        tracked = next_id <= 2 and (next_id == 1 or rng.random() < 0.6)
        layer = cutout(draw, next_id if tracked else 0)
        if layer is None:
            continue
        if rng.random() < 0.5:
            layer.maps = [a @ b for a, b in zip(camera, layer.maps, strict=True)]
        next_id += int(tracked)
        layers.append(layer)
    if len(layers) > 2 and rng.random() < 0.5:
        tail = layers[1:]
        rng.shuffle(tail)  # type: ignore[arg-type]
        layers[1:] = tail


def _lay_distractors(
    draw: Draw, layers: list[Layer], real: RealClip | None, camera: list[Array]
) -> None:
    """Add a twin, an occluder and posts, each in its share of the clips, in place."""
    c, rng = draw.config, draw.rng
    if not draw.jumped and rng.random() < c.twin:
        twin = twin_of_a_tracked_one(draw, layers, real)
        if twin is not None:
            layers.insert(int(rng.integers(min(len(layers), 1), len(layers) + 1)), twin)
    if rng.random() < c.occluder:
        layer = cutout(draw, 0, speed=0.14)
        if layer is not None:
            layers.append(layer)
    if rng.random() < c.bars:
        layers.append(bars(draw, camera))


def _render(
    draw: Draw, layers: list[Layer], real: RealClip | None
) -> tuple[Image, Image, Image | None]:
    """
    Draw the layers over each other, frame by frame.

    :param layers: what hides an object on the first frame is appended.
    :return: images, labels and confidence as in `Clip`.
    """
    c, rng = draw.config, draw.rng
    size = c.size
    ys, xs = np.mgrid[0:size, 0:size].astype(np.float32)
    grid = np.dstack([xs, ys])
    images = np.empty((c.frames, size, size, 3), np.uint8)
    labels = np.empty((c.frames, size, size), np.uint8)
    confidence = None if real is None else real.confidence
    for t in range(c.frames):
        if real is not None:
            image, label = real.images[t], real.labels[t]
        else:
            image, label = np.zeros((size, size, 3), np.uint8), np.zeros((size,) * 2, np.uint8)
        under = label
        if confidence is not None:
            label = np.full_like(under, _BARE)
        for layer in layers:
            image, label = draw_layer(layer, t, image, label, grid)
        if t == 0 and c.reveal > 0 and rng.random() < c.reveal:
            hiding = curtain(draw, np.where(label == _BARE, under, label))
            if hiding is not None:
                layers.append(hiding)
                image, label = draw_layer(hiding, t, image, label, grid)
        if confidence is not None:  # what was put over the video is sure
            confidence[t][label != _BARE] = 255
            label = np.where(label == _BARE, under, label)
        images[t], labels[t] = image, label
    return images, labels, confidence


def _settle_ids(labels: Image) -> bool:
    """Drop objects that the first frame hardly shows; ids become 1 (and 2)."""
    counts = [int((labels[0] == k).sum()) for k in (1, 2)]
    least = 0.004 * labels[0].size
    if counts[1] < least:
        labels[labels == 2] = 0
    if counts[0] < least:
        labels[labels == 1] = 0
        if counts[1] < least:
            return False
        labels[labels == 2] = 1
    return bool((labels[1:] == 1).sum() > 0)
