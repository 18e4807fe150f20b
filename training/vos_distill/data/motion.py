# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How camera and objects of a clip move, bend and change their colour."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from scipy.interpolate import RBFInterpolator

from vos_distill.clip_config import ClipConfig
from vos_distill.data.files import UnusableError
from vos_distill.data.layers import affine, Array, Box, Matrix
from vos_distill.data.stills import Still, Stills

_SPLINE_GRID = 16
_CORNERS = np.array([[0, 0], [1, 0], [0, 1], [1, 1]], np.float64)  # so that none is far outside


@dataclass(frozen=True)
class Draw:
    """
    What decides one clip.

    :param rng: every choice comes out of it, in an order that published recipes depend on.
    :param stills: what objects and backgrounds are cut out of.
    :param jumped: there is a long pause between frames 0 and 1.
    :param progress: share of the run that is done, 0..1.
    """

    rng: np.random.Generator
    config: ClipConfig
    stills: Stills
    jumped: bool
    progress: float

    def still(self) -> Still:
        """Choose a photograph."""
        while True:  # ends: too many unusable ones are an error
            try:
                return self.stills[int(self.rng.integers(len(self.stills)))]
            except UnusableError:
                continue


def camera_path(draw: Draw, factor: float = 1.0) -> list[Array]:
    """Give a smooth camera path as (3, 3) matrices in crop coordinates, first = identity."""
    c, rng = draw.config, draw.rng
    size = c.size
    quiet = rng.random() < 0.3
    factor = 0.15 * factor if quiet else factor
    velocity = rng.normal(0, c.camera_speed * size * factor, 2)
    turn, zoom = rng.normal(0, 2.0 * factor), rng.normal(0, 0.025 * factor)
    angle, scale = 0.0, 1.0
    position: npt.NDArray[np.float64] = np.full(2, size / 2)
    path = []
    for index in range(c.frames):
        if index == 1 and draw.jumped:
            position = position + rng.normal(0, 0.15 * size, 2)
            angle += rng.normal(0, 8)
            scale *= np.exp(rng.normal(0, 0.15))
        path.append(
            affine((size / 2, size / 2), scale, angle, 0.0, False, position.astype(np.float32))
        )
        position = position + velocity + rng.normal(0, 0.004 * size * factor, 2)
        velocity = velocity + rng.normal(0, 0.3 * c.camera_speed * size * factor, 2)
        angle += turn
        scale *= np.exp(zoom)
    return path


def object_path(
    draw: Draw,
    box: Box,
    extent: float,
    start: Array,
    speed: float,
    velocity: Matrix | None = None,
) -> list[Array]:
    """
    Give the path of a cut-out as (3, 3) matrices.

    :param box: x, y, width, height of the object in its source.
    :param extent: side of the object in the crop, px (root of its box's area).
    :param velocity: (x, y) at first, px a frame; None = drawn by `speed`.
    """
    c, rng = draw.config, draw.rng
    x, y, w, h = box
    centre = (x + w / 2, y + h / 2)
    scale = extent / np.sqrt(w * h)
    flip = bool(rng.random() < 0.5)
    drawn = rng.normal(0, speed * c.size, 2)
    velocity = drawn if velocity is None else velocity.copy()
    turn, zoom, skew = (
        rng.normal(0, c.rotation_deg),
        rng.normal(0, c.zoom),
        rng.normal(0, c.shear),
    )
    angle, shear = rng.normal(0, 8), rng.normal(0, 0.08)
    position = start.astype(np.float64)
    path = []
    for index in range(c.frames):
        if index == 1 and draw.jumped:
            position = rng.uniform(0.1, 0.9, 2) * c.size
            angle += rng.normal(0, 20)
            shear += rng.normal(0, 0.15)
            scale *= np.exp(rng.normal(0, 0.3))
        path.append(affine(centre, scale, angle, shear, flip, position.astype(np.float32)))
        position = position + velocity
        # turn round at the border more often than leave: a lost object teaches little
        for axis in range(2):
            outside = position[axis] < 0.05 * c.size or position[axis] > 0.95 * c.size
            if outside and rng.random() < 0.7:
                velocity[axis] = -velocity[axis]
        velocity = velocity + rng.normal(0, 0.35 * speed * c.size, 2)
        angle += turn + rng.normal(0, 2)
        shear += skew
        scale *= np.exp(zoom + rng.normal(0, 0.01))
    return path


def _thin_plate_basis(points: Matrix) -> Matrix:
    """
    Give what moving each point by one does to a coarse grid, by a thin-plate spline.

    :param points: (N, 2), x and y as shares of the crop.
    :return: (16, 16, N).
    """
    middles = (np.arange(_SPLINE_GRID) + 0.5) / _SPLINE_GRID
    grid = np.stack(np.meshgrid(middles, middles), axis=-1)
    spline = RBFInterpolator(points, np.eye(len(points)), kernel='thin_plate_spline')
    moved: Matrix = spline(grid.reshape(-1, 2))
    return moved.reshape(_SPLINE_GRID, _SPLINE_GRID, len(points))


def bends(draw: Draw, strength: float) -> list[Array | None]:
    """Give a random smooth deformation that grows and changes over the clip, px."""
    c, rng = draw.config, draw.rng
    if strength <= 0:
        return [None] * c.frames
    side = int(rng.integers(3, 6))
    shape: tuple[int, ...] = (side, side, 2)
    basis = None
    if c.spline > 0 and rng.random() < c.spline:
        points = np.concatenate([_CORNERS, rng.uniform(0.1, 0.9, (side, 2))])
        shape, basis = points.shape, _thin_plate_basis(points)
    state: Matrix = np.zeros(shape, np.float32)
    step = rng.normal(0, strength * c.size, shape)
    fields: list[Array | None] = []
    for index in range(c.frames):
        if index == 1 and draw.jumped:
            state = state + 1.2 * step
        coarse = state if basis is None else basis @ state
        fields.append(
            cv2.resize(
                coarse.astype(np.float32), (c.size, c.size), interpolation=cv2.INTER_CUBIC
            ).astype(np.float32)
        )
        state = state + step
        step = 0.7 * step + rng.normal(0, 0.6 * strength * c.size, shape)
    return fields


def gains(draw: Draw, strength: float) -> list[Array]:
    """Give a colour gain per frame, (3,), a random walk."""
    rng = draw.rng
    gain: npt.NDArray[np.float64] = np.ones(3)
    drift = rng.normal(0, strength, 1) + rng.normal(0, 0.3 * strength, 3)
    gains: list[Array] = []
    for index in range(draw.config.frames):
        if index == 1 and draw.jumped:
            gain = np.clip(gain + rng.normal(0, 0.12) + rng.normal(0, 0.04, 3), 0.4, 1.8)
        gains.append(gain.astype(np.float32))
        gain = np.clip(gain + drift + rng.normal(0, 0.3 * strength, 3), 0.4, 1.8)
    return gains


def way_in(draw: Draw, extent: float) -> tuple[Array, Matrix]:
    """
    Start at the border and move in.

    :param extent: side of the object, px.
    :return: (x, y) of its centre on the first frame and its velocity, px a frame.
    """
    c, rng = draw.config, draw.rng
    angle = rng.uniform(0, 2 * np.pi)
    inwards = np.array([np.cos(angle), np.sin(angle)])
    middle, half = np.full(2, c.size / 2), c.size / 2 + rng.uniform(-0.15, 0.15) * extent
    start = middle - inwards / np.abs(inwards).max() * half
    return start.astype(np.float32), inwards * extent * rng.uniform(0.15, 0.5)
