# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Start with one object, take up a second one later, let go of the first: ids stay what they are.

python examples/add_object_midway.py FOLDER first_mask.png later_mask.png --at 20

Both masks are PNGs. later_mask.png is drawn on image number --at, and holds only what is new
(another id); the objects that are followed already are segmented on that image as on any other.
"""

import argparse
from pathlib import Path

from vos_ros.datatypes import Prompt
from vos_ros.engine.segmenter import VideoSegmenter
from vos_ros.errors import VosError
from vos_ros.formats.label_png import read_prompt_png
from vos_ros.sequences import open_sequence


def main() -> None:
    """Run through the frames as a robot does that finds a new object on its way."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('source', type=Path, help='folder of images, or a video')
    parser.add_argument('first', type=Path, help='objects of the first image')
    parser.add_argument('later', type=Path, help='new objects, drawn on image --at')
    parser.add_argument('--at', type=int, default=20, help='number of that image, from 0')
    parser.add_argument('--model', help='name of a model, or its folder')
    args = parser.parse_args()

    segmenter = VideoSegmenter.open(args.model)
    first_ids: tuple[int, ...] = ()
    for number, frame in enumerate(open_sequence(args.source)):
        if number == 0:
            result = segmenter.start(frame, Prompt(read_prompt_png(args.first)))
            first_ids = result.object_ids
        elif number == args.at:
            result = segmenter.add_objects(frame, Prompt(read_prompt_png(args.later)))
        else:
            result = segmenter.segment(frame)
        # A robot uses result.label_map here; remembering the frame can wait until it is idle.
        segmenter.memorize()
        pixels = {k: int((result.label_map == k).sum()) for k in result.object_ids}
        print(f'frame {number}: pixels per object {pixels}')
    removed = segmenter.remove_objects(first_ids)
    print(f'removed {removed}; still followed: {segmenter.object_ids}')


if __name__ == '__main__':
    try:
        main()
    except VosError as error:  # whatever a user can cause, and what to do about it
        raise SystemExit(str(error)) from None
