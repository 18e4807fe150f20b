# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Light, colour and sharpness of a clip.

Light, colour and sharpness are a few lines here and not albumentations 2.0.8 (the last release
under the MIT licence): with one call for all frames (`images=`) it took 15 to 21 % more processor
time and gives every frame the same state, even the same grain, where a video has light that drifts
and grain that changes; its ReplayCompose took two to three times as long
(benchmarks/bench_photometric.py; 4.6, 6.1 and 8.9 ms a clip of five frames at 224, 256 and 320 px
for what is here).
"""

import cv2
import numpy as np

from vos_distill.clip_config import ClipConfig
from vos_distill.data.layers import Image, Matrix


def photometric(images: Image, config: ClipConfig, rng: np.random.Generator) -> Image:
    """Change light, colour and sharpness: one state a clip, a little more a frame."""
    gamma = np.exp(rng.normal(0, 0.18))
    gain, offset = rng.normal(1, 0.12), rng.normal(0, 10)
    drift = rng.normal(0, 0.02, 2)
    saturation = 0.0 if rng.random() < 0.06 else float(np.clip(rng.normal(1, 0.25), 0, 2))
    hue = int(rng.normal(0, 4))
    low = rng.uniform(0.45, 0.9) if rng.random() < 0.2 else 1.0
    noise = rng.uniform(1, 7) if rng.random() < 0.25 else 0.0
    is_compressed = config.jpeg > 0 and rng.random() < config.jpeg
    quality = int(rng.integers(15, 70)) if is_compressed else 0
    ramp = np.arange(256, dtype=np.float32)
    hsv_table = np.stack(
        [(ramp + hue) % 180, np.clip(ramp * saturation, 0, 255), ramp], axis=1
    ).astype(np.uint8)[:, None]
    for t, image in enumerate(images):
        table = 255 * (ramp / 255) ** gamma * (gain + drift[0] * t) + offset + 40 * drift[1] * t
        out = cv2.LUT(image, np.clip(table, 0, 255).astype(np.uint8))
        hsv = cv2.LUT(cv2.cvtColor(out, cv2.COLOR_RGB2HSV), hsv_table)
        out = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
        if low < 1:
            small = cv2.resize(out, None, fx=low, fy=low, interpolation=cv2.INTER_AREA)
            out = cv2.resize(small, (config.size, config.size), interpolation=cv2.INTER_LINEAR)
        if rng.random() < config.blur:
            out = _motion_blur(out, rng)
        if noise:
            grain = rng.standard_normal(out.shape, np.float32)
            grain *= noise
            grain += out
            out = np.clip(grain, 0, 255).astype(np.uint8)
        if quality:
            data = cv2.imencode('.jpg', out, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
            out = cv2.imdecode(data, cv2.IMREAD_COLOR)
        images[t] = out
    return images


def _motion_blur(image: Matrix, rng: np.random.Generator) -> Image:
    length = int(rng.integers(3, 12))
    kernel = np.zeros((length, length), np.float32)
    kernel[length // 2] = 1.0 / length
    turn = cv2.getRotationMatrix2D(((length - 1) / 2, (length - 1) / 2), rng.uniform(0, 180), 1)
    kernel = cv2.warpAffine(kernel, turn, (length, length)).astype(np.float32)
    kernel /= max(float(kernel.sum()), 1e-6)
    return cv2.filter2D(image, -1, kernel).astype(np.uint8)
