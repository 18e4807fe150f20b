# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Play the drawn scene as a colour and a depth camera do, with the mask of the first frame.

Depth has stamps of its own, a little later than those of the images, and is sent as late. Waits
until both nodes and the recorders listen. Writes one JSON line per frame, with its stamp.
"""

import argparse
import json
from pathlib import Path
import sys
import time

from builtin_interfaces.msg import Time
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from vos_ros.bag.sequence import FRAME_ID
from vos_ros.errors import VosError
from vos_ros.harness import scene
from vos_ros.harness.player import Player, run_player
from vos_ros.ros.conversions import to_color_msg, to_depth_msg
from vos_ros.space.camera import Camera

#: Mask and camera_info of the first image go so long before it.
AHEAD_S = 0.3


class DepthPlayer(Player):
    """
    Publishes images, depth, camera_info and `init_mask`.

    :param segmenter: name of the node to wait for.
    :param namespace: of this node and of relative names.
    """

    def __init__(self, segmenter: str, namespace: str) -> None:
        super().__init__(segmenter, False, namespace)
        self._depth = self.create_publisher(Image, 'depth', qos_profile_sensor_data)
        self._infos = self.create_publisher(CameraInfo, 'camera_info', 10)

    def wait_for_depth_reader(self, timeout_s: float) -> None:
        """
        Return once somebody takes depth and camera_info.

        :param timeout_s: VosError after this time.
        """
        end = time.monotonic() + timeout_s
        while not (self._depth.get_subscription_count() and self._infos.get_subscription_count()):
            if time.monotonic() > end:
                raise VosError(f'waited {timeout_s:.0f} s in vain for a reader of depth')
            time.sleep(0.05)

    def send_image(self, image: scene.Array, stamp_ns: int) -> None:
        """
        Publish one colour image.

        :param image: (H, W, 3) uint8 rgb.
        """
        self._images.publish(to_color_msg(image, 'rgb8', header(stamp_ns)))

    def send_info(self, camera: Camera, head: Header) -> None:
        """Publish camera_info."""
        info = CameraInfo(header=head, width=camera.width, height=camera.height)
        info.distortion_model = camera.model
        info.k = [camera.fx, 0.0, camera.cx, 0.0, camera.fy, camera.cy, 0.0, 0.0, 1.0]
        info.p = [*info.k[:3], 0.0, *info.k[3:6], 0.0, *info.k[6:], 0.0]
        info.d = [0.0] * 5
        self._infos.publish(info)

    def send_depth(self, stored: scene.Array, camera: Camera, stamp_ns: int) -> None:
        """
        Publish one depth image with its camera_info.

        :param stored: (H, W) uint16 in mm.
        """
        head = header(stamp_ns)
        self.send_info(camera, head)
        self._depth.publish(to_depth_msg(stored, '16UC1', head))


def header(stamp_ns: int) -> Header:
    """Make a header of the camera's frame."""
    sec, nanosec = divmod(stamp_ns, 1_000_000_000)
    return Header(stamp=Time(sec=sec, nanosec=nanosec), frame_id=FRAME_ID)


def play(player: DepthPlayer, clip: scene.Clip, rate_hz: float, late_s: float, lines) -> None:
    """
    Send all frames once.

    :param rate_hz: of both cameras.
    :param late_s: by how much depth is later.
    :param lines: gets a line {frame, stamp_ns} as each frame leaves.
    """
    start = time.monotonic()
    for number in range(len(clip)):
        image, depth = clip.image(number), clip.depth(number)
        time.sleep(max(0.0, start + number / rate_hz - time.monotonic()))
        stamp_ns = time.time_ns()
        if number == 0:
            # A camera has run for a while when somebody draws on it: its camera_info is known.
            # And the segmenter waits for the image of a mask, so the mask cannot be late.
            stamp_ns += round(AHEAD_S * 1e9)
            player.send_info(scene.CAMERA, header(stamp_ns))
            player.send_mask(clip.labels(0), stamp_ns)
            time.sleep(AHEAD_S)
        player.send_image(image, stamp_ns)
        lines.write(json.dumps({'frame': number, 'stamp_ns': stamp_ns}) + '\n')
        lines.flush()
        time.sleep(late_s)
        player.send_depth(depth, scene.CAMERA, stamp_ns + round(late_s * 1e9))


def main() -> int:
    """Run the process; exit code 0, or 2 with one line on stderr."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('clip', type=Path, help='folder of the clip')
    parser.add_argument('--hz', type=float, default=scene.RATE_HZ, help='rate of the cameras')
    parser.add_argument('--late-ms', type=float, default=8.0, help='how late depth is')
    parser.add_argument('--log', type=Path, required=True, help='JSON lines: frame, stamp_ns')
    parser.add_argument('--segmenter', default='vos', help='name of the node to wait for')
    parser.add_argument('--namespace', default='', help='of all topics')
    parser.add_argument('--marker', type=Path, action='append', default=[], help='to wait for')
    parser.add_argument('--timeout', type=float, default=60.0, help='longest wait in s')
    args = parser.parse_args()
    return run_player(lambda: _play_clip(args))


def _play_clip(args: argparse.Namespace) -> None:
    clip = scene.read_clip(args.clip)
    player = DepthPlayer(args.segmenter, args.namespace)
    player.wait_for_depth_reader(args.timeout)
    for marker in args.marker or [None]:
        player.wait_until_ready(marker, args.timeout)
    with args.log.open('w') as lines:
        play(player, clip, args.hz, args.late_ms / 1e3, lines)


if __name__ == '__main__':
    sys.exit(main())
