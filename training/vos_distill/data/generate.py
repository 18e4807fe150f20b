# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
A small data set for a machine that has none: drawn objects with the surfaces of photographs.

It is there to run the whole way from data to a model folder, in tests and as a first try, not to
train anything good. Nothing is downloaded: the photographs lie inside the scikit-image package.
The clip under `val` is the demo's; its photographs are not among those trained on.
"""

from collections.abc import Iterator
import math
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from vos_ros.formats.label_png import write_label_png
from vos_ros.harness.clip import ASTRONAUT, Pose, render
from vos_ros.harness.clip import NAME as VAL_CLIP

Image = npt.NDArray[np.uint8]
STILLS = 60
CLIPS = ('drift', 'circle', 'cross')
FRAMES = 30
WIDTH_PX, HEIGHT_PX = 240, 160
_OBJECT_PX = 160  # side of the square that an object is drawn in
_MIDDLE = (_OBJECT_PX / 2, _OBJECT_PX / 2)


def generate(out: Path, seed: int = 0) -> None:
    """
    Write `out/train/static/drawn`, `out/train/davis2016` and `out/val/davis2016`.

    Sixty stills (240x160 px, one or two objects with ids 1 and 2), three clips and one clip to
    measure on (30 frames, binary masks), a few MB together. The same seed gives the same files.

    :raises ValueError: scikit-image is not installed.
    :raises OSError: a file cannot be written.
    """
    rng = np.random.default_rng(seed)
    photos = _photographs()
    static = out / 'train' / 'static' / 'drawn'
    for number in range(STILLS):
        image, label = _still(photos, rng)
        _write(image, label, static / 'images', static / 'labels', f'{number:05d}')
    for name in CLIPS:
        _write_clip(out / 'train' / 'davis2016', 'train', name, _clip(name, photos, rng))
    _write_clip(out / 'val' / 'davis2016', 'val', VAL_CLIP, _val_clip())


def _photographs() -> list[Image]:
    """Read pictures for backgrounds and surfaces: (h, w, 3) uint8 RGB."""
    try:
        from skimage import data
    except ImportError as error:
        raise ValueError(
            'the data set is made from photographs inside scikit-image: pip install scikit-image'
        ) from error
    colour = [
        data.chelsea(), data.rocket(), data.immunohistochemistry(), data.retina(),
        data.hubble_deep_field(),
    ]  # fmt: skip
    grey = [data.brick(), data.grass(), data.gravel(), data.camera(), data.coins()]
    return [_reduced(np.asarray(p)) for p in colour] + [
        _reduced(np.dstack([np.asarray(p)] * 3)) for p in grey
    ]


def _reduced(photo: Image) -> Image:
    scale = 320 / min(photo.shape[:2])
    size = (round(photo.shape[1] * scale), round(photo.shape[0] * scale))
    return cv2.resize(photo, size, interpolation=cv2.INTER_AREA).astype(np.uint8)


def _surface(photos: list[Image], width: int, height: int, rng: np.random.Generator) -> Image:
    """Cut a piece out of some photograph and tint it: (height, width, 3)."""
    photo = photos[int(rng.integers(len(photos)))]
    zoom = rng.uniform(0.55, 1.0)
    h = round(zoom * min(photo.shape[0], photo.shape[1] * height / width))
    w = round(h * width / height)
    y = int(rng.integers(0, photo.shape[0] - h + 1))
    x = int(rng.integers(0, photo.shape[1] - w + 1))
    piece = cv2.resize(photo[y : y + h, x : x + w], (width, height)).astype(np.float32)
    tinted = piece * rng.uniform(0.55, 1.25, 3).astype(np.float32) + rng.normal(0, 15)
    return np.clip(tinted, 0, 255).astype(np.uint8)


def _outline(rng: np.random.Generator) -> Image:
    """Draw a lumpy body, often with a head and limbs: (160, 160) uint8, 0 or 255."""
    mask = np.zeros((_OBJECT_PX, _OBJECT_PX), np.uint8)
    angles = np.linspace(0, 2 * math.pi, 72, endpoint=False)
    waves = [
        rng.normal(0, 0.22 / k) * np.cos(k * angles + rng.uniform(0, 2 * math.pi))
        for k in (2, 3, 4, 5)
    ]
    radius = 0.28 * _OBJECT_PX * np.clip(1 + np.sum(waves, axis=0), 0.35, 1.6)
    body = np.stack([np.cos(angles) * radius, np.sin(angles) * radius], 1) + _MIDDLE
    cv2.fillPoly(mask, [body.astype(np.int32)], 255)
    for _ in range(int(rng.integers(0, 5))):
        turn, length = rng.uniform(0, 2 * math.pi), rng.uniform(0.3, 0.46) * _OBJECT_PX
        tip = (
            round(_MIDDLE[0] + length * math.cos(turn)),
            round(_MIDDLE[1] + length * math.sin(turn)),
        )
        cv2.line(mask, (_OBJECT_PX // 2,) * 2, tip, 255, int(rng.integers(8, 20)))
        cv2.circle(mask, tip, int(rng.integers(6, 16)), 255, -1)
    return mask


def _object(photos: list[Image], rng: np.random.Generator) -> Image:
    """Make an object, lit from one side and darker at its rim: (160, 160, 4) RGBA."""
    mask = _outline(rng)
    colour = _surface(photos, _OBJECT_PX, _OBJECT_PX, rng).astype(np.float32)
    depth = cv2.distanceTransform(mask, cv2.DIST_L2, 3)
    round_off = 0.55 + 0.45 * np.minimum(depth / 14, 1)
    left, right = rng.permutation([0.8, 1.2])
    side = np.linspace(left, right, _OBJECT_PX, dtype=np.float32)
    lit = np.clip(colour * (round_off * side)[..., None], 0, 255).astype(np.uint8)
    return np.dstack([lit, cv2.GaussianBlur(mask, (0, 0), 0.8).astype(np.uint8)])


def _paste(image: Image, label: Image, rgba: Image, pose: Pose, object_id: int) -> None:
    """Draw an object over a picture and its label map, in place."""
    warped = cv2.warpAffine(rgba, pose.matrix(_MIDDLE), (image.shape[1], image.shape[0]))
    alpha = warped[..., 3:].astype(np.float32) / 255
    image[:] = image + alpha * (warped[..., :3].astype(np.float32) - image)
    label[warped[..., 3] > 127] = object_id


def _still(photos: list[Image], rng: np.random.Generator) -> tuple[Image, Image]:
    """Draw one or two objects (ids 1, 2) over a piece of a photograph."""
    image = _surface(photos, WIDTH_PX, HEIGHT_PX, rng)
    label = np.zeros(image.shape[:2], np.uint8)
    for object_id in range(1, int(rng.integers(2, 4))):
        pose = Pose(
            x=rng.uniform(0.25, 0.75) * WIDTH_PX,
            y=rng.uniform(0.3, 0.7) * HEIGHT_PX,
            scale=rng.uniform(0.4, 0.9),
            turn_deg=rng.uniform(0, 360),
        )
        _paste(image, label, _object(photos, rng), pose, object_id)
    return image, label


def _clip(
    name: str, photos: list[Image], rng: np.random.Generator
) -> Iterator[tuple[Image, Image]]:
    """Move an object through a scene, behind a smaller one for a while; its mask is 0/255."""
    scene = _surface(photos, WIDTH_PX + 60, HEIGHT_PX + 40, rng)
    tracked, other = _object(photos, rng), _object(photos, rng)
    for t in np.linspace(0, 1, FRAMES):
        wave = math.sin(2 * math.pi * t)
        x, y = {
            'drift': (60 + 120 * t, 80 + 15 * wave),
            'circle': (120 + 50 * math.cos(2 * math.pi * t), 80 + 25 * wave),
            'cross': (185 - 130 * t, 55 + 50 * t),
        }[name]
        left, top = round(30 + 25 * wave), round(20 + 15 * math.cos(5 * t))
        image = scene[top : top + HEIGHT_PX, left : left + WIDTH_PX].copy()
        label = np.zeros(image.shape[:2], np.uint8)
        _paste(image, label, tracked, Pose(x, y, 0.5 + 0.1 * wave, 40 * wave), 255)
        _paste(image, label, other, Pose(20 + 200 * t, 120 - 10 * wave, 0.28, 90 * t), 0)
        yield image, label


def _val_clip() -> Iterator[tuple[Image, Image]]:
    """Give the demo's clip at a smaller size: the astronaut, who passes a cup of coffee."""
    size = (WIDTH_PX, WIDTH_PX * 3 // 4)
    for image, label in render(FRAMES):
        mask = np.where(label == ASTRONAUT, np.uint8(255), np.uint8(0))
        yield (
            cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.uint8),
            cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST).astype(np.uint8),
        )


def _write(image: Image, label: Image, images: Path, labels: Path, stem: str) -> None:
    images.mkdir(parents=True, exist_ok=True)
    path = images / f'{stem}.jpg'
    done, data = cv2.imencode(
        '.jpg', cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 92]
    )
    assert done
    path.write_bytes(bytes(data))
    write_label_png(labels / f'{stem}.png', label)


def _write_clip(root: Path, split: str, name: str, frames: Iterator[tuple[Image, Image]]) -> None:
    images, masks = (root / kind / '480p' / name for kind in ('JPEGImages', 'Annotations'))
    for number, (image, label) in enumerate(frames):
        _write(image, label, images, masks, f'{number:05d}')
    listed = root / 'ImageSets' / '2016' / f'{split}.txt'
    listed.parent.mkdir(parents=True, exist_ok=True)
    names = {*(listed.read_text().split() if listed.exists() else ()), name}
    listed.write_text('\n'.join(sorted(names)) + '\n')
