# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Play a video or a folder of images as a camera, and send its first mask. A process of the demo.

Waits until a segmenter is active and listening, so that no frame is lost to discovery. Then it is
a camera: frames leave at their rate, whether anybody keeps up or not. Writes one JSON line per
frame, with the stamp it was sent with.
"""

import argparse
from collections.abc import Iterator
import itertools
import json
from pathlib import Path
import sys
import time

from builtin_interfaces.msg import Time
from lifecycle_msgs.msg import State
from lifecycle_msgs.srv import GetState
import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, qos_profile_sensor_data, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from vos_ros.datatypes import Frame, LabelMap
from vos_ros.errors import VosError
from vos_ros.formats.label_png import read_prompt_png
from vos_ros.ros.conversions import to_color_msg, to_label_msg
from vos_ros.sequences import DavisSequence, open_sequence

FRAME_ID = 'demo_camera'
# After both sides say that they see each other, the first packets may still be lost for a moment.
SETTLE_S = 0.5


class Player(Node):
    """
    Publishes images and `init_mask`.

    :param segmenter: name of the node to wait for.
    :param kind: type of the images.
    :param topic: of the images.
    """

    def __init__(self, segmenter: str, kind: type = Image, topic: str = 'image') -> None:
        super().__init__('demo_player')
        self._segmenter = segmenter
        self._images = self.create_publisher(kind, topic, qos_profile_sensor_data)
        latched = QoSProfile(
            depth=1,
            reliability=ReliabilityPolicy.RELIABLE,
            durability=DurabilityPolicy.TRANSIENT_LOCAL,
        )
        self._masks = self.create_publisher(Image, 'init_mask', latched)
        self._state = self.create_client(GetState, f'{segmenter}/get_state')

    def wait_until_heard(self, marker: Path | None, timeout_s: float) -> None:
        """
        Return once the segmenter is active and subscribed, and the recorder is ready.

        :param marker: a file that the recorder makes when it listens.
        :param timeout_s: VosError after this time.
        """
        missing = 'the node'
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            if not self._is_active():
                missing = f"node '{self._segmenter}' to be active"
            elif not self._images.get_subscription_count():
                missing = f'a subscription to topic {self._images.topic}'
            elif not self._masks.get_subscription_count():
                missing = 'a subscription to topic init_mask'
            elif marker is not None and not marker.exists():
                missing = 'the recorder'
            else:
                time.sleep(SETTLE_S)
                return
            time.sleep(0.05)
        raise VosError(f'waited {timeout_s:.0f} s in vain for {missing}; see the logs beside')

    def _is_active(self) -> bool:
        if not self._state.service_is_ready():
            return False
        answer = self._state.call_async(GetState.Request())
        rclpy.spin_until_future_complete(self, answer, timeout_sec=1.0)
        if not answer.done():
            self._state.remove_pending_request(answer)
            return False
        reply = answer.result()
        return reply is not None and reply.current_state.id == State.PRIMARY_STATE_ACTIVE

    def send_mask(self, labels: LabelMap, stamp_ns: int) -> None:
        """
        Publish an init mask, with the stamp of the frame that it was drawn on.

        :param labels: (H, W) object ids.
        """
        self._masks.publish(to_label_msg(labels, _header(stamp_ns)))

    def send_frame(self, frame: Frame, stamp_ns: int) -> None:
        """Publish one image."""
        header = _header(stamp_ns)
        self._images.publish(to_color_msg(frame.image, frame.encoding, header))


def _header(stamp_ns: int) -> Header:
    sec, nanosec = divmod(stamp_ns, 1_000_000_000)
    return Header(stamp=Time(sec=sec, nanosec=nanosec), frame_id=FRAME_ID)


def play(player: Player, frames: Iterator[Frame], mask: Path, rate_hz: float, log: Path) -> int:
    """
    Send the mask and all frames at their rate; return how many were sent.

    :param frames: decoded in the time between two frames.
    :param log: gets a line {frame, stamp_ns} as each frame leaves.
    """
    sent = 0
    labels = read_prompt_png(mask)
    start = time.monotonic()
    with log.open('w') as lines:
        for sent, frame in enumerate(frames, start=1):
            due = start + (sent - 1) / rate_hz
            time.sleep(max(0.0, due - time.monotonic()))
            stamp_ns = time.time_ns()
            if sent == 1:
                player.send_mask(labels, stamp_ns)
            player.send_frame(frame, stamp_ns)
            lines.write(json.dumps({'frame': sent - 1, 'stamp_ns': stamp_ns}) + '\n')
            lines.flush()
    return sent


def main() -> int:
    """Run the process; exit code 0, or 2 with one line on stderr."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('source', type=Path, help='video file or folder of images')
    parser.add_argument('--mask', type=Path, required=True, help='PNG for the first frame')
    parser.add_argument('--davis-sequence', help='source is a DAVIS root: play this sequence')
    parser.add_argument('--log', type=Path, required=True, help='JSON lines: frame, stamp_ns')
    parser.add_argument('--rate', type=float, default=10.0, help='frames per second')
    parser.add_argument('--frames', type=int, default=None, help='play only the first N')
    parser.add_argument('--segmenter', default='vos', help='name of the node to wait for')
    parser.add_argument('--marker', type=Path, default=None, help='file to wait for')
    parser.add_argument('--timeout', type=float, default=40.0, help='longest wait in s')
    args = parser.parse_args()
    rclpy.init()
    try:
        player = Player(args.segmenter)
        if args.davis_sequence:
            sequence = DavisSequence(args.source, args.davis_sequence)
        else:
            sequence = open_sequence(args.source)
        frames = itertools.islice(iter(sequence), args.frames)
        player.wait_until_heard(args.marker, args.timeout)
        sent = play(player, frames, args.mask, args.rate, args.log)
        print(f'{sent} frames sent')
        # A publisher that goes takes its last messages with it.
        time.sleep(SETTLE_S)
    except VosError as error:
        print(f'demo_player: {error}', file=sys.stderr)
        return 2
    except (KeyboardInterrupt, ExternalShutdownException):
        return 1
    finally:
        rclpy.try_shutdown()
    return 0


if __name__ == '__main__':
    sys.exit(main())
