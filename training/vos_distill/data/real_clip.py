# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Clips cut out of real videos."""

from collections.abc import Mapping, Sequence
import logging
from typing import NamedTuple

import cv2
import numpy as np

from vos_distill.data.files import UnusableError
from vos_distill.data.layers import affine, Image, Matrix
from vos_distill.data.motion import Draw
from vos_distill.data.objects import object_ids, one_of
from vos_distill.data.videos import Video
from vos_ros.formats.masks import VOID

log = logging.getLogger(__name__)
_STARTS = 8  # draws of a start frame that shows an object, before another video is taken


def video_shares(videos: Sequence[Video], families: Mapping[str, float]) -> Matrix:
    """
    Give how often each clip is taken, (N,), with sum 1.

    Clips of one family are alike (one scene cut into windows, say), so that many of them say
    little more than a few: a family's share does not depend on how many there are. In a family
    a clip counts by its length, up to 60 frames.

    :param families: weight of each family; its name is the begin of SET/CLIP, the longest one that
        fits counts. Clips in none are a family of their set, of weight 1. Empty = all clips
        are one family. A name that fits none may be mistyped, and is told.
    """
    lengths = np.array([min(len(v), 60) for v in videos], np.float64)
    if not videos:
        return lengths
    if not families:
        return lengths / lengths.sum()
    names = [
        max((f for f in families if f'{v.source}/{v.name}'.startswith(f)), key=len, default='')
        or v.source
        for v in videos
    ]
    if strangers := sorted(set(families) - set(names)):
        log.info('families: no clip is of %s, as SET/CLIP begins', ', '.join(strangers))
    of_family = {n: sum(x for x, m in zip(lengths, names, strict=True) if m == n) for n in names}
    weights = np.array([families.get(n, 1.0) / of_family[n] for n in names]) * lengths
    if weights.sum() <= 0:
        raise ValueError('families: every clip has the weight 0')
    return weights / weights.sum()


def _indices(draw: Draw, video: Video) -> Matrix:
    """Choose the frames of a real clip: forwards or backwards, with uneven gaps."""
    c, rng = draw.config, draw.rng
    count = len(video)
    widest = max(c.gap_at(draw.progress) // video.stride, 1)
    gap = min(widest, max((count - 1) // (c.frames - 1), 1))
    steps = rng.integers(1, gap + 1, c.frames - 1)
    if draw.jumped:
        longest = max(c.max_jump // video.stride, 1)
        rest = int(steps[1:].sum())
        steps[0] = rng.integers(1, max(min(longest, count - 1 - rest), 1) + 1)
    start = int(rng.integers(0, max(count - int(steps.sum()), 1)))
    indices = np.minimum(start + np.concatenate([[0], np.cumsum(steps)]), count - 1)
    return indices[::-1] if rng.random() < 0.5 else indices


class _Chosen(NamedTuple):
    """Frames of a video, (H, W, 3) and (H, W), and the ids of at most two objects on the first."""

    frames: list[tuple[Image, Image]]
    confidences: list[Image | None]
    ids: list[int]


def _choose(draw: Draw, video: Video) -> _Chosen | None:
    """
    Choose frames of a real video on whose first one an object is seen.

    :return: None where no object was found, or a frame cannot be used.
    """
    rng = draw.rng
    try:
        for _ in range(_STARTS):
            indices = _indices(draw, video)
            ids = object_ids(video.label(int(indices[0])))
            if ids:
                chosen = rng.choice(ids, min(2, len(ids)), replace=False)
                confidences = [video.confidence(int(i)) for i in indices]
                frames = [video.frame(int(i)) for i in indices]
                return _Chosen(frames, confidences, [int(i) for i in chosen])
    except UnusableError:  # named when it was found
        pass
    return None


class RealClip(NamedTuple):
    """
    A clip cut out of a real video.

    :param images: (S, S, 3) of each frame.
    :param labels: (S, S) with ids 1 (and 2), 255 = void.
    :param confidence: (T, S, S) uint8, how sure the labels are, 255 = sure; None = all of them.
    """

    images: list[Image]
    labels: list[Image]
    confidence: Image | None


def cut_from_video(draw: Draw, videos: Sequence[Video], shares: Matrix) -> RealClip | None:
    """
    Cut a clip out of a real video.

    As STCN does, only what the first frame shows is tracked: objects that come later, and a
    third one, are background.

    :param shares: of the videos, see `video_shares`.
    :return: None where the draw did not give a usable one.
    """
    c, rng = draw.config, draw.rng
    found = _choose(draw, videos[int(rng.choice(len(videos), p=shares))])
    if found is None:
        return None
    frames, confidences, ids = found
    first = frames[0][1]
    x, y, w, h = cv2.boundingRect(one_of(ids)[first].astype(np.uint8))
    short = min(first.shape)
    crop = short * max(rng.uniform(0.45, 1.15), min(1.1 * np.sqrt(w * h) / short, 1.0))
    scale = c.size / crop
    target = (np.full(2, 0.5) + rng.uniform(-0.15, 0.15, 2)) * c.size
    base = affine(
        (x + w / 2, y + h / 2), float(scale), rng.normal(0, 3), 0.0,
        bool(rng.random() < 0.5), target.astype(np.float32),
    )[:2]  # fmt: skip
    lut = np.zeros(256, np.uint8)
    lut[VOID] = VOID
    for slot, object_id in enumerate(ids):
        lut[object_id] = slot + 1

    def cropped(source: Image, how: int) -> Image:
        side = (c.size, c.size)
        out = cv2.warpAffine(source, base, side, flags=how, borderMode=cv2.BORDER_REFLECT)
        return out.astype(np.uint8, copy=False)

    images = [cropped(image, cv2.INTER_LINEAR) for image, _ in frames]
    labels = [cropped(lut[label], cv2.INTER_NEAREST) for _, label in frames]
    if all(sure is None for sure in confidences):
        return RealClip(images, labels, None)
    confidence = np.full((c.frames, c.size, c.size), 255, np.uint8)
    for t, sure in enumerate(confidences):
        if sure is not None:
            confidence[t] = cropped(sure, cv2.INTER_LINEAR)
    return RealClip(images, labels, confidence)
