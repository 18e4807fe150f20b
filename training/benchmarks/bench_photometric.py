# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Compare the composer's changes of light, colour and sharpness with albumentations.

pip install albumentations==2.0.8
python training/benchmarks/bench_photometric.py
"""

from collections.abc import Callable
import os
import time

os.environ['OMP_NUM_THREADS'] = '1'
os.environ['NO_ALBUMENTATIONS_UPDATE'] = '1'  # or it asks the network for its version on import

import albumentations as A
import cv2
import numpy as np

from vos_distill.data import ClipConfig
from vos_distill.data.photometric import photometric

FRAMES = 5
ROUNDS = 200


def transforms() -> list[A.BasicTransform]:
    """Give what comes nearest to the composer's own changes, as often as it makes them."""
    return [
        A.RandomGamma((70, 140), p=1),
        A.RandomBrightnessContrast(0.15, 0.15, p=1),
        A.HueSaturationValue(4, 40, 0, p=1),
        A.ToGray(p=0.06),
        A.Downscale((0.45, 0.9), p=0.2),
        A.MotionBlur((3, 11), p=0.15),
        A.GaussNoise((0.004, 0.027), p=0.25),
    ]


def cpu_ms(work: Callable[[], object]) -> float:
    """Give the processor time of one call, ms."""
    work()
    began = time.process_time()
    for _ in range(ROUNDS):
        work()
    return 1e3 * (time.process_time() - began) / ROUNDS


def main() -> None:
    """Print processor time a clip of five frames, for three sizes."""
    cv2.setNumThreads(1)
    rng = np.random.default_rng(0)
    together, replayed = A.Compose(transforms()), A.ReplayCompose(transforms())
    print(f'{"size":>6s}{"own":>10s}{"images=":>10s}{"Replay":>10s}   ms of processor time a clip')
    for size in (224, 256, 320):
        picture = cv2.resize(rng.integers(0, 255, (40, 40, 3), np.uint8), (size, size))
        clip = np.stack([np.roll(picture, 3 * t, axis=1) for t in range(FRAMES)])
        config = ClipConfig(size=size, frames=FRAMES)

        def replay(clip: np.ndarray = clip) -> list[np.ndarray]:
            first = replayed(image=clip[0])
            rest = (A.ReplayCompose.replay(first['replay'], image=frame) for frame in clip[1:])
            return [first['image'], *(one['image'] for one in rest)]

        times = (
            cpu_ms(lambda c=clip, own=config: photometric(c.copy(), own, rng)),
            cpu_ms(lambda c=clip: together(images=c)),
            cpu_ms(replay),
        )
        print(f'{size:6d}' + ''.join(f'{t:10.1f}' for t in times))


if __name__ == '__main__':
    main()
