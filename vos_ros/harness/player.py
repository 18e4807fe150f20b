# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Play a recorded camera to a segmenter, with init masks: a bag, a video or a folder of images.

Waits until a segmenter is active and listening, so that no frame is lost to discovery. Then it is
a camera: images leave as they were recorded, byte for byte, but with the time of now in their
stamp, at the times between their old stamps, whether anybody keeps up or not. Writes one JSON line
per frame, with the stamp it was sent with.
"""

import argparse
from collections.abc import Callable, Iterator
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
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from vos_ros.bag.messages import COMPRESSED
from vos_ros.bag.reader import BagReader
from vos_ros.bag.sequence import FRAME_ID, SequenceBag
from vos_ros.bag.truth import BagFrame, read_frames
from vos_ros.datatypes import LabelMap
from vos_ros.errors import VosError
from vos_ros.formats.label_png import read_label_png
from vos_ros.ros.conversions import to_label_msg
from vos_ros.ros.guard import shut_down
from vos_ros.sequences import DavisSequence, open_sequence

# After both sides say that they see each other, the first packets may still be lost for a moment.
SETTLE_S = 0.5
#: When to ask again where no answer came.
_RETRY_S = 2.0


class Player(Node):
    """
    Publishes recorded images and `init_mask`.

    :param segmenter: name of the node to wait for.
    :param compressed: images are CompressedImage.
    :param namespace: of this node and of relative names.
    """

    def __init__(self, segmenter: str, compressed: bool, namespace: str = '') -> None:
        super().__init__('player', namespace=namespace)
        kind, topic = (CompressedImage, 'image/compressed') if compressed else (Image, 'image')
        self._segmenter = segmenter
        self._images = self.create_publisher(kind, topic, qos_profile_sensor_data)
        latched = QoSProfile(
            depth=1,
            reliability=ReliabilityPolicy.RELIABLE,
            durability=DurabilityPolicy.TRANSIENT_LOCAL,
        )
        self._masks = self.create_publisher(Image, 'init_mask', latched)
        self._state = self.create_client(GetState, f'{segmenter}/get_state')
        self._reset = self.create_client(Trigger, f'{segmenter}/reset')

    def wait_until_ready(self, marker: Path | None, timeout_s: float) -> None:
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
        sec, nanosec = divmod(stamp_ns, 1_000_000_000)
        header = Header(stamp=Time(sec=sec, nanosec=nanosec), frame_id=FRAME_ID)
        self._masks.publish(to_label_msg(labels, header))

    def send_recorded(self, frame: BagFrame, stamp_ns: int) -> None:
        """Publish one image with a new stamp."""
        self._images.publish(frame.message.restamped(stamp_ns))

    def forget(self, timeout_s: float) -> None:
        """
        Let the segmenter forget all objects, so that a loop starts as the first one did.

        :param timeout_s: VosError after this time.
        """
        # DDS loses an answer where the segmenter has not yet found its asker; a reset may be
        # repeated, so that is what helps.
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            answer = self._reset.call_async(Trigger.Request())
            rclpy.spin_until_future_complete(self, answer, timeout_sec=min(_RETRY_S, timeout_s))
            if answer.done():
                return
            self._reset.remove_pending_request(answer)
        raise VosError(f'{self._reset.srv_name} did not answer within {timeout_s:.0f} s')


def play(
    player: Player, frames: Iterator[BagFrame], prompts: Path, rate: float, sent: int, lines
) -> int:
    """
    Send all frames once; return how many were sent in all.

    :param prompts: folder of INDEX.png, sent just before their frame, with its stamp.
    :param rate: how many times faster than recorded.
    :param sent: so many frames were sent before.
    :param lines: gets a line {frame, stamp_ns} as each frame leaves.
    """
    start = None
    for frame in frames:
        mask = prompts / f'{frame.index}.png'
        labels = read_label_png(mask) if mask.exists() else None
        start = start or time.monotonic()  # reading the first ones may take a while
        due = start + frame.time_ns * 1e-9 / rate
        time.sleep(max(0.0, due - time.monotonic()))
        stamp_ns = time.time_ns()
        if labels is not None:
            player.send_mask(labels, stamp_ns)
        player.send_recorded(frame, stamp_ns)
        lines.write(json.dumps({'frame': sent, 'stamp_ns': stamp_ns}) + '\n')
        lines.flush()
        sent += 1
    return sent


def _open(args: argparse.Namespace) -> BagReader:
    if not args.hz:
        return BagReader(args.bag)
    if args.davis_sequence:
        sequence = DavisSequence(args.bag, args.davis_sequence)
    else:
        sequence = open_sequence(args.bag, without=args.without)
    return SequenceBag(sequence, args.bag, rate_hz=args.hz, limit=args.frames)


def main() -> int:
    """Run the process; exit code 0, or 2 with one line on stderr."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('bag', type=Path, help='folder or file; with --hz, what is no bag')
    parser.add_argument(
        '--hz', type=float, default=0.0, help='rate of a video or folder of images'
    )
    parser.add_argument(
        '--davis-sequence', help='with --hz: bag is a DAVIS root with this sequence'
    )
    parser.add_argument(
        '--without',
        type=Path,
        action='append',
        default=[],
        help='with --hz: not a frame',
    )
    parser.add_argument('--frames', type=int, default=None, help='with --hz: only the first N')
    parser.add_argument('--image', required=True, help='topic of the camera in the bag')
    parser.add_argument('--prompts', type=Path, required=True, help='folder of INDEX.png')
    parser.add_argument('--log', type=Path, required=True, help='JSON lines: frame, stamp_ns')
    parser.add_argument('--rate', type=float, default=1.0, help='times faster than recorded')
    parser.add_argument('--loops', type=int, default=1, help='play it so often')
    parser.add_argument('--segmenter', default='vos', help='name of the node to wait for')
    parser.add_argument('--namespace', default='', help='of all topics')
    parser.add_argument('--marker', type=Path, default=None, help='file to wait for')
    parser.add_argument('--timeout', type=float, default=60.0, help='longest wait in s')
    args = parser.parse_args()
    return run_player(lambda: _play_bag(args))


def _play_bag(args: argparse.Namespace) -> None:
    bag = _open(args)
    compressed = bag.require(args.image, 'the camera', '--image').kind == COMPRESSED
    player = Player(args.segmenter, compressed, args.namespace)
    player.wait_until_ready(args.marker, args.timeout)
    sent = 0
    with args.log.open('w') as lines:
        for loop in range(args.loops):
            if loop:
                time.sleep(SETTLE_S)  # the last masks belong to the loop before
                player.forget(args.timeout)
            frames = read_frames(bag, args.image)
            sent = play(player, frames, args.prompts, args.rate, sent, lines)
    print(f'{sent} frames sent')


def run_player(play_all: Callable[[], None]) -> int:
    """
    Play, as a process: ROS is started before and ended after.

    :param play_all: publishes everything.
    :return: exit code: 0, 1 if it was interrupted, 2 with one line on stderr.
    """
    rclpy.init()
    try:
        play_all()
        time.sleep(SETTLE_S)  # a publisher that goes takes its last messages with it
    except VosError as error:
        print(f'player: {error}', file=sys.stderr)
        return 2
    except (KeyboardInterrupt, ExternalShutdownException):
        return 1
    finally:
        shut_down()
    return 0


if __name__ == '__main__':
    sys.exit(main())
