# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A cut-out that turns: two sides of one thing, of which the first frame shows one."""

import cv2
import numpy as np

from vos_distill.data.layers import Image


def in_the_colours_of(side: Image, front: Image, share: float) -> Image:
    """
    Bring the mean colour of one cut-out nearer to that of another, as sides of one thing are.

    :param side: (h, w, 4); changed in a copy.
    :param share: 0 leaves it, 1 gives it the mean of `front`.
    """
    means = [one[one[..., 3] > 127][:, :3].mean(0) for one in (side, front)]
    moved = side.copy()
    shifted = side[..., :3] + np.float32(share) * (means[1] - means[0]).astype(np.float32)
    moved[..., :3] = np.clip(shifted, 0, 255).astype(np.uint8)
    return moved


def _squeezed(face: Image, width: int, light: float) -> Image:
    """Give a side of something as it is seen at an angle: narrower and darker, (h, width, 4)."""
    out = cv2.resize(face, (width, face.shape[0]), interpolation=cv2.INTER_AREA)
    out[..., :3] = (out[..., :3] * np.float32(light)).astype(np.uint8)
    return out.astype(np.uint8, copy=False)


def _over(canvas: Image, face: Image, left: int) -> None:
    """Draw a cut-out over a canvas of the same height, in place."""
    part = canvas[:, left : left + face.shape[1]]
    alpha = face[..., 3:] * np.float32(1 / 255)
    part[..., :3] = (face[..., :3] * alpha + part[..., :3] * (1 - alpha)).astype(np.uint8)
    part[..., 3] = np.maximum(part[..., 3], face[..., 3])


def seen_from(front: Image, side: Image, angle: float, width: int, leftwards: bool) -> Image:
    """
    Draw two sides of a thing that turns about its upright axis, as those of a box.

    They lie over each other by a quarter of the narrower one, so that they are one silhouette.

    :param front: (h, w, 4), all that is seen at angle 0.
    :param side: (h, w', 4), all that is seen at a right angle.
    :param angle: radians, 0 to pi / 2.
    :param width: of what is returned, px.
    :param leftwards: the side comes in from the right.
    :return: (h, width, 4), not premultiplied.
    """
    seen = [
        (face, max(round(face.shape[1] * share), 1), 0.7 + 0.3 * share)
        for face, share in ((front, np.cos(angle)), (side, np.sin(angle)))
    ]
    (_, w1, _), (_, w2, _) = seen
    lap = min(w1, w2) // 4
    canvas = np.zeros((front.shape[0], width, 4), np.uint8)
    start = (width - (w1 + w2 - lap)) // 2
    lefts = (start, start + w1 - lap) if leftwards else (start + w2 - lap, start)
    for (face, w, light), left in sorted(zip(seen, lefts, strict=True), key=lambda p: p[0][1]):
        _over(canvas, _squeezed(face, w, float(light)), left)
    return canvas
