# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Give a running segmenter its first mask, with the stamp of the camera image that it belongs to.

python examples/publish_mask.py first.png --ros-args -r image:=/camera/image_raw
python examples/publish_mask.py --box 120,80,180,160 --ros-args -r image:=/camera/image_raw

The mask is sent for the next image that comes, so first.png must have been drawn on this view,
with nothing moved since: 0 = background, k = object k (or one object in white). In a box X,Y,W,H,
or at points X,Y,..., the prompt network finds object 1. A detector of yours does the same with
what it has found.
"""

import argparse
from pathlib import Path
import sys
import time

import numpy as np
import rclpy
from rclpy.duration import Duration
from rclpy.qos import qos_profile_sensor_data
from rclpy.utilities import remove_ros_args
from sensor_msgs.msg import Image

from vos_ros.engine.prompter import Prompter
from vos_ros.errors import VosError
from vos_ros.formats.boxes import parse_box, parse_points
from vos_ros.formats.label_png import read_prompt_png
from vos_ros.ros.conversions import to_frame

PATIENCE_S = 10


def main() -> None:
    """Wait for the segmenter and for an image, and send the mask of that image."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    given = parser.add_mutually_exclusive_group(required=True)
    given.add_argument('mask', type=Path, nargs='?', help='PNG of the ids')
    given.add_argument('--box', metavar='X,Y,W,H', help='left, top, width and height in px')
    given.add_argument('--point', metavar='X,Y', help='in px; several of one object: X,Y,X,Y')
    args = parser.parse_args(remove_ros_args(sys.argv)[1:])
    try:
        labels = None if args.mask is None else read_prompt_png(args.mask)
        hint = parse_box(args.box) if args.box else parse_points(args.point or '0,0')
        prompter = Prompter.open() if labels is None else None
    except VosError as error:
        sys.exit(str(error))

    rclpy.init()
    node = rclpy.create_node('publish_mask')
    masks = node.create_publisher(Image, 'init_mask', 1)
    images: list[Image] = []

    def on_image(image: Image) -> None:
        # Before the segmenter has been found, nobody would get the mask.
        if masks.get_subscription_count():
            images.append(image)

    node.create_subscription(Image, 'image', on_image, qos_profile_sensor_data)
    end = time.monotonic() + PATIENCE_S  # simulated time may stand still
    while not images:
        rclpy.spin_once(node, timeout_sec=0.1)
        if time.monotonic() > end:
            missing = 'image' if masks.get_subscription_count() else 'segmenter'
            sys.exit(f'no {missing} after 10 s: are the topics right (-r image:=/camera/...)?')
    if prompter is not None:
        try:
            labels = prompter.prompt_of(to_frame(images[0]), {1: hint}).label_map
        except VosError as error:
            sys.exit(str(error))
    mask = Image(header=images[0].header, height=labels.shape[0], width=labels.shape[1])
    mask.encoding = 'mono8' if labels.dtype == np.uint8 else 'mono16'
    mask.step = labels.shape[1] * labels.itemsize
    mask.data = labels.tobytes()
    masks.publish(mask)
    masks.wait_for_all_acked(Duration(seconds=PATIENCE_S))
    ids = ', '.join(str(k) for k in np.unique(labels) if k)
    stamp = mask.header.stamp
    print(f'sent objects {ids} for the image of {stamp.sec}.{stamp.nanosec:09d}')


if __name__ == '__main__':
    main()
