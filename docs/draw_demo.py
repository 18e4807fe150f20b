# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Draw docs/images/demo.webp: the demo's clip with the masks that the default model gives, moving.

.venv/bin/python docs/draw_demo.py [--out FILE] [--frames 120] [--model NAME]

The clip is that of `vos demo`, but for one photograph: the background of the demo is from a stereo
benchmark whose terms are not stated, so here it is the launch of a rocket. All three photographs
lie inside scikit-image and are free: astronaut (NASA) and rocket (SpaceX) are in the public
domain, coffee (Rachel Michetti) is CC0.
"""

from __future__ import annotations

import argparse
from pathlib import Path
import sys

import cv2
from PIL import Image
from skimage import data

from vos_ros.config import RuntimeConfig
from vos_ros.datatypes import Frame, Prompt
from vos_ros.engine.segmenter import VideoSegmenter
from vos_ros.evaluation.report import draw_overlay
from vos_ros.harness import clip

FILE = Path(__file__).resolve().parent / 'images' / 'demo.webp'
#: GitHub shows a README about 830 px wide; a phone less than 400.
WIDTH_PX, HEIGHT_PX = 560, 420
#: Every second frame of the demo's 10 Hz, shown at 11 Hz: the whole way in six seconds.
STEP, SHOWN_MS = 2, 90
PLAIN_MS, FIRST_MS = 900, 1500
BAR_PX = 34
MOST_BYTES = 3_000_000


def picture(image: clip.Image, text: str) -> Image.Image:
    """
    Make one picture with a line of text below it.

    :param image: (480, 640, 3) uint8 rgb.
    :param text: what it shows.
    """
    small = cv2.resize(image, (WIDTH_PX, HEIGHT_PX), interpolation=cv2.INTER_AREA)
    small = cv2.copyMakeBorder(small, 0, BAR_PX, 0, 0, cv2.BORDER_CONSTANT, value=(24, 24, 24))
    at, white = (12, HEIGHT_PX + 23), (255, 255, 255)
    cv2.putText(small, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.55, white, 1, cv2.LINE_AA)
    return Image.fromarray(small)


def main() -> int:
    """Follow the objects from the first true mask, draw every second frame, write the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('--out', type=Path, default=FILE)
    parser.add_argument('--frames', type=int, default=clip.FRAMES, help='of the clip')
    parser.add_argument('--model', default=RuntimeConfig().model)
    args = parser.parse_args()

    segmenter = VideoSegmenter.open(runtime=RuntimeConfig(model=args.model, backend='cpu'))
    pictures = []
    for number, (image, truth) in enumerate(clip.render(args.frames, background=data.rocket())):
        frame = Frame(image, stamp_ns=1 + int(number * 1e9 / clip.RATE_HZ))
        result = segmenter.step(frame, Prompt(truth)) if not number else segmenter.step(frame)
        drawn = draw_overlay(image, result.label_map, alpha=0.45)
        if not number:
            pictures.append(picture(image, 'in: a camera'))
            pictures.append(picture(drawn, 'in: one mask, for one frame'))
        elif number % STEP == 0:
            pictures.append(picture(drawn, 'out: the mask of every object, for every frame'))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    pictures[0].save(
        args.out,
        save_all=True,
        append_images=pictures[1:],
        duration=[PLAIN_MS, FIRST_MS, *[SHOWN_MS] * (len(pictures) - 2)],
        loop=0,
        quality=72,
        method=6,
    )
    size = args.out.stat().st_size
    print(f'{args.out}: {len(pictures)} pictures, {size / 1e6:.2f} MB')
    if size > MOST_BYTES:
        print(f'more than {MOST_BYTES / 1e6:g} MB: take fewer --frames', file=sys.stderr)
    return int(size > MOST_BYTES)


if __name__ == '__main__':
    sys.exit(main())
