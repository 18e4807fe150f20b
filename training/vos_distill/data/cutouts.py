# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What is laid over each other in a clip: photographs, and objects cut out of them."""

from collections.abc import Sequence

import cv2
import numpy as np

from vos_distill.data.layers import affine, Array, Box, Image, Layer, Matrix
from vos_distill.data.motion import bends, camera_path, Draw, gains, object_path, way_in
from vos_distill.data.objects import object_ids, one_of, pick_object
from vos_distill.data.real_clip import RealClip
from vos_distill.data.turning import in_the_colours_of, seen_from
from vos_ros.formats.masks import VOID


def cutout(draw: Draw, object_id: int, speed: float | None = None) -> Layer | None:
    """
    Cut a random object out of a random photograph and give it a path.

    :param object_id: 0 = none that is tracked; only tracked ones turn or come in.
    :param speed: as `ClipConfig.speed`, in its place.
    """
    c, rng = draw.config, draw.rng
    for _ in range(6):
        still = draw.still()
        mask = pick_object(still, rng)
        if mask is None:
            continue
        x, y, w, h = cv2.boundingRect(mask.astype(np.uint8))
        pad = 3
        y0, x0 = max(y - pad, 0), max(x - pad, 0)
        region = np.s_[y0 : y + h + pad, x0 : x + w + pad]
        alpha = mask[region].astype(np.uint8) * 255
        if rng.random() < 0.5:
            alpha = cv2.GaussianBlur(alpha, (3, 3), 0.8).astype(np.uint8)
        rgba = np.dstack([still.image[region], alpha])
        start: Array = rng.uniform(0.15, 0.85, 2).astype(np.float32) * c.size
        extent = np.exp(rng.uniform(np.log(0.12), np.log(0.65))) * c.size
        quick = c.speed if speed is None else speed
        if rng.random() < 0.2:
            quick *= 2.0
        box: Box = (x - x0, y - y0, w, h)
        velocity, views = None, []
        if object_id and c.turn > 0 and rng.random() < c.turn:
            views = _turning(draw, rgba)
        if views:
            rgba = views[0]
            box = cv2.boundingRect(rgba[..., 3])  # type: ignore[assignment]  # four integers
        if object_id and c.enter > 0 and rng.random() < c.enter:
            start, velocity = way_in(draw, float(extent))
        path = object_path(draw, box, float(extent), start, quick, velocity)
        reveals = bool(views) or velocity is not None
        layer = Layer(rgba, path, object_id, views=views, reveals=reveals)
        if rng.random() < 0.6:
            layer.bend = bends(draw, c.bend)
        layer.gain = gains(draw, 0.05)
        return layer
    return None


def _turning(draw: Draw, front: Image) -> list[Image]:
    """
    Give a cut-out another side, from another photograph, and turn it.

    What comes in is unknown to the first frame, and its own. Without such clips a student
    learns that what the first frame does not know is background.

    :param front: (h, w, 4).
    :return: per frame, (h, w', 4); none where no other side was found.
    """
    c, rng = draw.config, draw.rng
    still = draw.still()
    mask = pick_object(still, rng)
    if mask is None:
        return []
    x, y, w, h = cv2.boundingRect(mask.astype(np.uint8))
    alpha = mask[y : y + h, x : x + w].astype(np.uint8) * 255
    side = np.dstack([still.image[y : y + h, x : x + w], alpha])
    height, width = front.shape[:2]
    wide = max(round(width * float(np.exp(rng.normal(0, 0.35)))), 2)
    side = cv2.resize(side, (wide, height), interpolation=cv2.INTER_AREA).astype(np.uint8)
    if (side[..., 3] > 127).any() and (front[..., 3] > 127).any():
        side = in_the_colours_of(side, front, rng.uniform(0, 1))
    angle = rng.uniform(0, 0.25)
    whole = rng.uniform(0.5, np.pi / 2) - angle  # how far it turns in the clip
    steps = rng.dirichlet(np.full(c.frames - 1, 2.0)) * whole
    if draw.jumped:
        steps[0] = max(steps[0], 0.5 * whole)
    angles = np.clip(angle + np.concatenate([[0], np.cumsum(steps)]), 0, np.pi / 2)
    leftwards = bool(rng.random() < 0.5)
    return [seen_from(front, side, float(a), width + wide, leftwards) for a in angles]


def curtain(draw: Draw, label: Image) -> Layer | None:
    """
    Hide a part of an object on the first frame by something that then goes away.

    :param label: (S, S) ids of the first frame, without it.
    """
    c, rng = draw.config, draw.rng
    ids = object_ids(label)
    if not ids:
        return None
    x, y, w, h = cv2.boundingRect(one_of(rng.choice(ids, 1))[label].astype(np.uint8))
    layer = cutout(draw, 0)
    if layer is None:
        return None
    angle = rng.uniform(0, 2 * np.pi)
    side = np.array([np.cos(angle), np.sin(angle)])
    body = float(np.sqrt(w * h))
    high, wide = layer.rgba.shape[:2]
    start = np.array([x + w / 2, y + h / 2]) + side * (w, h) * rng.uniform(0.2, 0.5)
    gone = float(rng.uniform(0.3, 1.0)) * body
    scale = float(np.exp(rng.normal(0.1, 0.3))) * body / np.sqrt(high * wide)
    turn = rng.normal(0, 8)
    layer.maps = [
        affine(
            (wide / 2, high / 2), scale, turn, 0.0, False,
            (start + side * gone * (t + (1.5 if t and draw.jumped else 0))).astype(np.float32),
        )
        for t in range(c.frames)
    ]  # fmt: skip
    layer.reveals = True
    return layer


def _object_one(label: Image) -> Image:
    return np.where(label == 1, np.uint8(255), np.uint8(0))


def _centroids(labels: Sequence[Image]) -> list[Matrix]:
    """Give (x, y) of object 1 on every frame; where it is hidden, where it was last."""
    found: list[Matrix] = []
    for label in labels:
        ys, xs = np.nonzero(label == 1)
        last = found[-1] if found else np.array(label.shape[::-1]) / 2
        found.append(np.array([xs.mean(), ys.mean()]) if len(xs) else last)
    return found


def _twin(draw: Draw, rgb: Image, mask: Image, scale: float) -> Layer | None:
    """
    Copy an object as an untracked distractor with a path of its own.

    :param rgb: (h, w, 3), where the object is.
    :param mask: (h, w), above 127 where it is.
    :param scale: crop pixels for one of `rgb`.
    """
    c, rng = draw.config, draw.rng
    x, y, w, h = cv2.boundingRect((mask > 127).astype(np.uint8))
    if w < 4 or h < 4:
        return None
    region = np.s_[y : y + h, x : x + w]
    colour = rgb[region]
    if rng.random() < 0.5:
        tint = rng.normal(1, 0.12, 3).astype(np.float32)
        colour = np.clip(colour * tint, 0, 255).astype(np.uint8)
    extent = float(np.sqrt(w * h) * scale * np.exp(rng.normal(0, 0.2)))
    start = rng.uniform(0.0, 1.0, 2).astype(np.float32) * c.size
    path = object_path(draw, (0, 0, w, h), extent, start, c.speed)
    layer = Layer(np.dstack([colour, mask[region]]), path)
    layer.gain = gains(draw, 0.05)
    return layer


def twin_of_a_tracked_one(draw: Draw, layers: list[Layer], real: RealClip | None) -> Layer | None:
    """
    Copy one of the tracked objects; the copy may be tracked too, and cross its way.

    :param real: the background, where it is a real video.
    """
    c, rng = draw.config, draw.rng
    if real is not None:
        mask = _object_one(real.labels[0])
        picture, scale = real.images[0], 1.0
        way = _centroids(real.labels)
        is_alone = not any((label == 2).any() for label in real.labels)
    else:
        tracked = [one for one in layers if one.object_id or one.label is not None]
        if not tracked:
            return None
        source = tracked[int(rng.integers(len(tracked)))]
        picture = source.rgba[..., :3]
        mask = source.rgba[..., 3] if source.label is None else _object_one(source.label)
        scale = float(np.sqrt(abs(np.linalg.det(source.maps[0][:2, :2]))))
        x, y, w, h = cv2.boundingRect((mask > 127).astype(np.uint8))
        way = [(m @ np.array([x + w / 2, y + h / 2, 1.0]))[:2] for m in source.maps]
        is_alone = True
    is_alone = is_alone and not any(one.object_id == 2 for one in layers)
    twin = _twin(draw, picture, mask, scale)
    if twin is not None and is_alone and rng.random() < c.crossing:
        twin.object_id = 2
        _lead_across(draw, twin, way)
    return twin


def _lead_across(draw: Draw, twin: Layer, way: Sequence[Matrix]) -> None:
    """
    Move a twin so that it starts beside what it was copied from and passes it, or stays there.

    :param way: per frame, (x, y) of the other.
    """
    c, rng = draw.config, draw.rng
    h, w = twin.rgba.shape[:2]
    here = np.array([w / 2, h / 2, 1.0])
    extent = float(np.sqrt(w * h * abs(np.linalg.det(twin.maps[0][:2, :2]))))
    angle = rng.uniform(0, 2 * np.pi)
    side = np.array([np.cos(angle), np.sin(angle)]) * extent
    meet = rng.uniform(1, c.frames - 1)  # the frame on which they meet
    apart = rng.uniform(1.0, 2.0)  # extents between them on the first frame
    miss = rng.normal(0, 0.25, 2) * extent
    stays = c.beside > 0 and rng.random() < c.beside
    shares = np.full(c.frames, 0.4) if stays else 1 - np.arange(c.frames) / meet
    if not stays and c.linger > 0 and rng.random() < c.linger:
        shares, miss = _lingering(draw), 0.4 * miss
    for index, (share, other) in enumerate(zip(shares, way, strict=True)):
        goal = other + side * apart * share + miss
        twin.maps[index] = twin.maps[index].copy()
        twin.maps[index][:2, 2] += (goal - (twin.maps[index] @ here)[:2]).astype(np.float32)


def _lingering(draw: Draw) -> Matrix:
    """
    Come up to another object, stay before or behind it, and come out on the other side.

    :return: (T,) distance from it on each frame, 1 = that on the first one.
    """
    count, rng = draw.config.frames, draw.rng
    arrives = rng.uniform(1.0, max(count / 2, 1.0))
    leaves = arrives + rng.uniform(1.0, max(count / 2, 1.0))
    speed = rng.uniform(0.2, 0.6)  # a frame, on the way out
    t = np.arange(count)
    shares: Matrix = np.maximum(1 - t / arrives, 0) - speed * np.maximum(t - leaves, 0)
    return shares


def still_background(draw: Draw, track: bool) -> Layer:
    """Use a whole photograph as background; its own object is tracked on request."""
    c, rng = draw.config, draw.rng
    still = draw.still()
    label = np.zeros(still.label.shape, np.uint8)
    focus = np.array([still.label.shape[1] / 2, still.label.shape[0] / 2])
    span = 1.0
    if track:
        for _ in range(8):
            mask = pick_object(still, rng)
            if mask is not None:
                label = np.where(still.label == VOID, np.uint8(VOID), mask.astype(np.uint8))
                x, y, w, h = cv2.boundingRect(mask.astype(np.uint8))
                focus = np.array([x + w / 2, y + h / 2])
                span = np.sqrt(w * h) / min(label.shape)
                break
            still = draw.still()
            label = np.zeros(still.label.shape, np.uint8)
    short = min(still.label.shape)
    # a crop of 0.5 to 1.1 of the short side, but never one which cuts most of the object
    crop = short * max(rng.uniform(0.5, 1.1), min(span * 1.1, 1.0))
    scale = c.size / crop
    target = np.full(2, c.size / 2) + rng.uniform(-0.2, 0.2, 2) * c.size
    base = affine(
        (float(focus[0]), float(focus[1])), float(scale), rng.normal(0, 4), 0.0,
        bool(rng.random() < 0.5), target.astype(np.float32),
    )  # fmt: skip
    camera = camera_path(draw, 1.5 if track else 1.0)
    layer = Layer(still.image, [m @ base for m in camera], 0, label)
    if track or rng.random() < 0.3:
        layer.bend = bends(draw, c.bend)
    return layer


def bars(draw: Draw, camera: list[Array]) -> Layer:
    """Make trunks, posts and fences: thin stripes of some photograph, fixed in the scene."""
    c, rng = draw.config, draw.rng
    still = draw.still()
    h, w = still.label.shape
    alpha = np.zeros((h, w), np.uint8)
    tilt = rng.normal(0, 0.25) + (np.pi / 2 if rng.random() < 0.8 else 0.0)
    width = max(int(rng.uniform(0.02, 0.14) * h), 2)
    for _ in range(int(rng.integers(1, 5))):
        p = rng.uniform(0.1, 0.9, 2) * (w, h)
        d = np.array([np.cos(tilt), np.sin(tilt)]) * (w + h)
        a, b = (p - d).astype(int), (p + d).astype(int)
        cv2.line(alpha, (int(a[0]), int(a[1])), (int(b[0]), int(b[1])), 255, width)
        tilt += rng.normal(0, 0.1)
    base = affine(
        (w / 2, h / 2), 1.4 * c.size / min(h, w), 0.0, 0.0, False,
        np.full(2, c.size / 2, np.float32),
    )  # fmt: skip
    drift = rng.normal(0, 0.05 * c.size, 2)
    maps = []
    for index, move in enumerate(camera):
        shift = np.eye(3, dtype=np.float32)
        shift[:2, 2] = drift * index
        maps.append((shift @ move @ base).astype(np.float32))
    return Layer(np.dstack([still.image, alpha]), maps)
