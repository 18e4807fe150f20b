# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
A drawn scene for a depth camera: a ball and a box before a wall, every place known in metres.

Each pixel's ray is met with each thing, so that image, depth and labels are exact. Nothing is
downloaded: the textures are photographs inside scikit-image. What a real sensor does to depth
(noise, mixed pixels at edges, holes) is added by `sensed`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
import json
import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from vos_ros.datatypes import LabelMap
from vos_ros.errors import VosError
from vos_ros.formats.label_png import read_label_png, write_label_png
from vos_ros.harness.clip import load_photographs
from vos_ros.space.camera import Camera

NAME = 'ball-and-box'
RATE_HZ = 10.0
FRAMES = 60
#: Ids on the labels.
BALL, BOX = 1, 2
BALL_RADIUS_M = 0.11
BOX_HALF_M = (0.13, 0.10, 0.07)
#: Of a common depth camera at 640x480.
CAMERA = Camera(640, 480, 610.0, 610.0, 319.5, 239.5)
_WALL_M, _FLOOR_M = 2.6, 0.55
_LIGHT = np.array([-0.4, -0.8, -0.45]) / np.linalg.norm([-0.4, -0.8, -0.45])
#: Noise of depth, as a share of its square in m: 2 mm at 1 m, as of a stereo camera.
_NOISE = 0.002

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class View:
    """
    What the camera sees at one time.

    :param image: (H, W, 3) uint8 rgb.
    :param depth: (H, W) float32, exact, m.
    :param labels: (H, W) uint8: BALL, BOX, 0.
    :param centers: id -> (3,) mean of the visible surface in the camera's frame, m.
    :param middles: id -> (3,) middle of the thing itself, likewise.
    """

    image: Array
    depth: Array
    labels: Array
    centers: Mapping[int, Array]
    middles: Mapping[int, Array]


def render(frames: int = FRAMES) -> Iterator[View]:
    """
    Yield the clip: camera and things move, the box passes behind the ball.

    :param frames: the same motion, in so many frames.
    """
    coffee, astronaut, motorcycle = load_photographs()
    # A photograph in green, so that the box stands out before the wall.
    box = 0.45 * astronaut[0:340, 60:400] + 0.55 * np.array([40, 190, 110])
    floor = coffee[0:110, 0:150]
    textures = {'wall': motorcycle, 'box': box.astype(np.uint8), 'floor': floor}
    for number in range(frames):
        yield look(number / frames, textures)


def look(t: float, textures: Mapping[str, Array] | None = None, camera: Camera = CAMERA) -> View:
    """
    Draw one view.

    :param t: 0..1 over the clip.
    :param textures: name -> (h, w, 3) uint8 rgb; None = the image stays black.
    :param camera: without distortion.
    """
    rows, columns = np.mgrid[: camera.height, : camera.width]
    rays = np.ones((camera.height, camera.width, 3), np.float32)
    rays[..., :2] = camera.rays(rows.ravel(), columns.ravel()).reshape(*rows.shape, 2)
    turn, origin = _camera_pose(t)
    world = rays @ turn.T.astype(np.float32)  # z of `rays` is 1, so a ray's length is depth
    ball, box, box_turn = _ball_at(t), _box_at(t), _box_turn(t)

    hits = [
        _meet_plane(world, origin, np.array([0, 0, 1.0]), _WALL_M),
        _meet_plane(world, origin, np.array([0, 1.0, 0]), _FLOOR_M),
        _meet_ball(world, origin, ball, BALL_RADIUS_M),
        _meet_box(world, origin, box, box_turn, BOX_HALF_M),
    ]
    all_depths = np.stack(hits).astype(np.float32)
    nearest = all_depths.argmin(0)
    depth = all_depths.min(0)
    labels = np.array([0, 0, BALL, BOX], np.uint8)[nearest]
    centers = {i: (rays * depth[..., None])[labels == i].mean(0, np.float64) for i in (BALL, BOX)}
    middles = {i: (place - origin) @ turn for i, place in ((BALL, ball), (BOX, box))}
    image = np.zeros((*labels.shape, 3), np.uint8)
    if textures is not None:
        points = world * depth[..., None] + origin.astype(np.float32)
        image = _paint(points, nearest, textures, t, ball, box, box_turn)
    return View(image, depth, labels, centers, middles)


def sensed(
    depth: Array, random: np.random.Generator, *, holes: float = 0.05, noise: float = _NOISE
) -> npt.NDArray[np.uint16]:
    """
    Give what a depth camera makes of a scene.

    :param depth: (H, W) float32, exact, m.
    :param random: where noise and holes come from.
    :param holes: share of the pixels without depth; half of them alone, half in patches.
    :param noise: standard deviation at 1 m, in m; grows with the square.
    :return: (H, W) uint16, mm, 0 = hole; pixels at edges are a mixture of both sides.
    """
    mixed = cv2.blur(depth, (3, 3))
    near, far = cv2.erode(depth, np.ones((3, 3))), cv2.dilate(depth, np.ones((3, 3)))
    made = np.where(far > near * 1.05, mixed, depth)
    made = made + noise * made**2 * random.standard_normal(depth.shape, np.float32)
    is_hole = random.random(depth.shape) < holes / 2
    coarse = random.random((depth.shape[0] // 8 + 1, depth.shape[1] // 8 + 1)) < holes / 2
    patches = np.kron(coarse, np.ones((8, 8), bool))[: depth.shape[0], : depth.shape[1]]
    stored = np.clip(np.round(made * 1000), 0, 65535).astype(np.uint16)
    stored[is_hole | patches] = 0
    return stored


def _wave(t: float, period: float, phase: float = 0.0) -> float:
    return math.sin(2 * math.pi * (t / period + phase))


def _about_y(angle: float) -> Array:
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


def _about_x(angle: float) -> Array:
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]])


def _camera_pose(t: float) -> tuple[Array, Array]:
    """Rotation from the camera's frame to the world's, and where it stands."""
    turn = _about_y(0.06 * _wave(t, 1.1)) @ _about_x(0.05 + 0.03 * _wave(t, 0.8))
    return turn, np.array([0.10 * _wave(t, 1.3), 0.04 * _wave(t, 0.9), 0.05 * _wave(t, 0.7)])


def _ball_at(t: float) -> Array:
    x = 0.28 - 0.50 * t + 0.02 * _wave(t, 0.3)
    return np.array([x, 0.12 - 0.10 * abs(_wave(t, 1.0)), 1.05 + 0.12 * _wave(t, 0.9)])


def _box_at(t: float) -> Array:
    return np.array([-0.25 + 0.42 * t, 0.10 + 0.05 * _wave(t, 0.8), 1.45 + 0.15 * _wave(t, 1.2)])


def _box_turn(t: float) -> Array:
    return _about_y(0.5 + 0.7 * _wave(t, 1.4)) @ _about_x(0.3 * _wave(t, 0.9))


def _meet_plane(rays: Array, origin: Array, normal: Array, offset: float) -> Array:
    along = rays @ normal.astype(np.float32)
    with np.errstate(divide='ignore'):
        depth = np.float32(offset - origin @ normal) / along
    return np.where(along > 1e-6, depth, np.inf)


def _meet_ball(rays: Array, origin: Array, center: Array, radius: float) -> Array:
    to = center - origin
    a, b = np.einsum('hwc,hwc->hw', rays, rays), rays @ to.astype(np.float32)
    root = b**2 - a * np.float32(to @ to - radius**2)
    return np.where(root > 0, (b - np.sqrt(np.maximum(root, 0))) / a, np.inf)


def _meet_box(
    rays: Array, origin: Array, center: Array, turn: Array, half: tuple[float, float, float]
) -> Array:
    inside, start = rays @ turn.astype(np.float32), (origin - center) @ turn
    enters, leaves = np.float32(-np.inf), np.float32(np.inf)
    with np.errstate(divide='ignore'):
        for axis in range(3):
            low = np.float32(-half[axis] - start[axis]) / inside[..., axis]
            high = np.float32(half[axis] - start[axis]) / inside[..., axis]
            enters = np.maximum(enters, np.minimum(low, high))
            leaves = np.minimum(leaves, np.maximum(low, high))
    return np.where((enters < leaves) & (enters > 0), enters, np.inf)


def _paint(
    points: Array,
    nearest: Array,
    textures: Mapping[str, Array],
    t: float,
    ball: Array,
    box: Array,
    box_turn: Array,
) -> Array:
    """Colour each pixel by what is there; points in the world's frame."""
    image: Array = np.zeros(points.shape, np.float32)
    x, y, z = points[..., 0], points[..., 1], points[..., 2]
    for number, name, u, v, scale in (
        (0, 'wall', x + 1.6, y + 1.2, 260.0),
        (1, 'floor', x + 1.6, z + 0.4, 240.0),
    ):
        image[nearest == number] = _sample(textures[name], u, v, scale)[nearest == number]
    image[nearest == 1] *= 0.75

    on = nearest == 2
    normal = (points[on] - ball) / BALL_RADIUS_M
    local = normal @ _about_y(2.0 * t) @ _about_x(0.4)
    stripe = ((np.arctan2(local[:, 2], local[:, 0]) / (2 * np.pi) * 8) % 8).astype(int) % 4
    colours = np.array([[214, 40, 40], [247, 247, 240], [29, 99, 184], [245, 190, 30]], float)
    colours = np.where(np.abs(local[:, 1:2]) > 0.93, [235.0, 235.0, 235.0], colours[stripe])
    image[on] = colours * _shade(normal)[:, None]

    on = nearest == 3
    local = (points[on] - box) @ box_turn
    scaled = local / np.array(BOX_HALF_M)
    face = np.abs(scaled).argmax(1)
    sides = np.array([[2, 1], [0, 2], [0, 1]])[face]
    uv = np.take_along_axis(scaled, sides, 1) / 2 + 0.5
    outward = np.zeros_like(local)
    np.put_along_axis(
        outward, face[:, None], np.sign(np.take_along_axis(scaled, face[:, None], 1)), 1
    )
    height, width = textures['box'].shape[:2]
    columns = np.clip(uv[:, 0] * width, 0, width - 1).astype(int)
    rows = np.clip(uv[:, 1] * height, 0, height - 1).astype(int)
    image[on] = textures['box'][rows, columns] * _shade(outward @ box_turn.T)[:, None]
    image = cv2.GaussianBlur(image, (0, 0), 0.7)
    random = np.random.default_rng(round(t * 1e6))
    noise = np.float32(2) * random.standard_normal(image.shape, np.float32)
    painted: Array = np.clip(image + noise, 0, 255).astype(np.uint8)
    return painted


def _shade(normals: Array) -> Array:
    shade: Array = 0.55 + 0.5 * np.maximum(normals @ _LIGHT, 0)
    return shade


def _sample(texture: Array, u: Array, v: Array, px_per_m: float) -> Array:
    return np.asarray(
        cv2.remap(
            texture,
            (u * px_per_m).astype(np.float32),
            (v * px_per_m).astype(np.float32),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REFLECT,
        ),
        np.float32,
    )


@dataclass(frozen=True)
class Clip:
    """
    The clip on disk, in DAVIS layout with depth beside it.

    :param root: of the data set.
    :param truth: for each frame: id -> `center` and `middle`, (3,) in m.
    :param rate_hz: of the camera.
    """

    root: Path
    truth: tuple[Mapping[int, Mapping[str, Array]], ...]
    rate_hz: float

    def __len__(self) -> int:
        """Count the frames."""
        return len(self.truth)

    def path(self, folder: str, number: int, kind: str = 'png') -> Path:
        """
        Name a file of a frame.

        :param folder: JPEGImages, Annotations or Depth.
        """
        return self.root / folder / '480p' / NAME / f'{number:05d}.{kind}'

    def image(self, number: int) -> Array:
        """Read an image, (H, W, 3) uint8 rgb."""
        bgr = cv2.imread(str(self.path('JPEGImages', number, 'jpg')))
        if bgr is None:
            raise VosError(f'{self.path("JPEGImages", number, "jpg")} cannot be read')
        return np.ascontiguousarray(bgr[..., ::-1])

    def depth(self, number: int) -> Array:
        """Read what the depth camera gave, (H, W) uint16 in mm."""
        stored = cv2.imread(str(self.path('Depth', number)), cv2.IMREAD_UNCHANGED)
        if stored is None:
            raise VosError(f'{self.path("Depth", number)} cannot be read')
        return np.asarray(stored)

    def labels(self, number: int) -> LabelMap:
        """Read the exact labels, (H, W) uint8."""
        return read_label_png(self.path('Annotations', number))


def write_clip(root: Path, frames: int = FRAMES, holes: float = 0.05) -> Clip:
    """
    Write the clip: JPEGImages, Annotations, Depth (16 bit PNG, mm, as sensed) and scene.json.

    :param root: folder of the data set; made if it is missing.
    :param frames: as in `render`.
    :param holes: as in `sensed`.
    :raises VosError: it cannot be written.
    """
    random = np.random.default_rng(11)
    truth: list[dict[str, Any]] = []
    clip = Clip(root, (), RATE_HZ)
    for folder in ('JPEGImages', 'Annotations', 'Depth'):
        clip.path(folder, 0).parent.mkdir(parents=True, exist_ok=True)
    for number, view in enumerate(render(frames)):
        path = clip.path('JPEGImages', number, 'jpg')
        is_written = cv2.imwrite(str(path), view.image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
        depth = sensed(view.depth, random, holes=holes)
        if not (is_written and cv2.imwrite(str(clip.path('Depth', number)), depth)):
            raise VosError(f'cannot write to {root}; choose another folder')
        write_label_png(clip.path('Annotations', number), view.labels)
        places = {'center': view.centers, 'middle': view.middles}
        truth.append({str(i): {n: p[i].tolist() for n, p in places.items()} for i in view.centers})
    content = {'rate_hz': RATE_HZ, 'camera': asdict(CAMERA), 'frames': truth}
    (root / 'scene.json').write_text(json.dumps(content, indent=1) + '\n')
    return read_clip(root)


def read_clip(root: Path) -> Clip:
    """
    Open what `write_clip` wrote.

    :param root: folder of the data set.
    """
    content = json.loads((root / 'scene.json').read_text())
    truth = tuple(
        {int(i): {n: np.array(p) for n, p in places.items()} for i, places in frame.items()}
        for frame in content['frames']
    )
    return Clip(root, truth, float(content['rate_hz']))
