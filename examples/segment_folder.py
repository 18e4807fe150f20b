# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Follow the objects of one mask through a folder of images (or a video), without ROS.

python examples/segment_folder.py FOLDER first_mask.png OUT

first_mask.png belongs to the first image: 0 = background, k = object k (or one object in white).
OUT gets one mask per image, of the image's size, with the same ids.
"""

import argparse
from pathlib import Path

from vos_ros.datatypes import Prompt
from vos_ros.engine.segmenter import VideoSegmenter
from vos_ros.errors import VosError
from vos_ros.formats.label_png import read_prompt_png, write_label_png
from vos_ros.sequences import open_sequence


def main() -> None:
    """Segment every frame, in order, and say what it cost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('source', type=Path, help='folder of images, or a video')
    parser.add_argument('mask', type=Path, help='PNG with the objects of the first image')
    parser.add_argument('out', type=Path, help='folder for the masks')
    parser.add_argument('--model', help='name of a model, or its folder')
    args = parser.parse_args()

    segmenter = VideoSegmenter.open(args.model)
    sequence = open_sequence(args.source, without=[args.mask])
    prompt: Prompt | None = Prompt(read_prompt_png(args.mask))
    names = sequence.frame_names
    for index, frame in enumerate(sequence):
        name = names[index] if index < len(names) else f'{index:05d}'  # a stream has no count
        result = segmenter.step(frame, prompt)
        prompt = None  # from now on the segmenter remembers
        write_label_png(args.out / f'{name}.png', result.label_map)
        print(f'{name}: objects {result.object_ids}, {result.timing.latency_ms:.1f} ms')


if __name__ == '__main__':
    try:
        main()
    except VosError as error:  # whatever a user can cause, and what to do about it
        raise SystemExit(str(error)) from None
