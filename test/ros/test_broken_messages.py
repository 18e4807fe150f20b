# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Broken messages of every kind between good ones: the good ones must not notice.

Two nodes get the same images and the same mask over DDS; one of them gets, seeded, some thirty
broken messages on all its topics after each image as well. Its labels must be the same bit by bit,
everything that was sent must be in a counter, and memory, threads, files and log must not grow.
"""

from __future__ import annotations

import array
from collections.abc import Callable, Iterator
import os
from pathlib import Path
import random
import struct
import time
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs rclpy')

from rclpy.qos import QoSProfile
from rclpy.serialization import serialize_message
from robot import Client, HEIGHT, image_msg, MASK, Robot, to_array, WIDTH
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import UInt16MultiArray

SEED, FRAMES, PERIOD_NS = 1, 24, 33_000_000
QUEUE = 400
#: After so many images all pools and caches have been filled.
WARM = 6
#: What a run may leave behind: pages of an allocator, no more.
MOST_GROWTH_MIB = 16.0
#: A complaint is repeated once in 5 s, and of 20 kinds at most; see ros/guard.py.
LINES_IN_5_S = 20
LONGEST_LINE = 800

Stamp = tuple[int, int]
GROUND = np.random.default_rng(3).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
GROUND = cv2.GaussianBlur(GROUND, (0, 0), 2)
ODD_ENCODINGS = (
    *('', 'rgb', 'RGB8', 'rgb8 ', '32FC1', '64FC3', 'jpeg', '8UC5', '\x00', 'x' * 900),
    *('x' * 5000, '%s%n{}', '\x1b[31mred\x1b[0m', 'a\nb', 'ü' * 40, 'nv12', 'rgb16'),
)
ODD_STAMPS = ((0, 0), (-5, 0), (2**31 - 1, 2**32 - 1), (9000, 0), (999, 0))


def picture(index: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw two discs that pass each other, and their mask."""
    image, mask = GROUND.copy(), np.zeros((HEIGHT, WIDTH), np.uint8)
    discs = ((30 + 2 * index, 34, (230, 60, 40)), (100 - 2 * index, 68, (40, 90, 230)))
    for number, (x, y, colour) in enumerate(discs):
        cv2.circle(image, (x, y), 15, colour, -1)
        cv2.circle(mask, (x, y), 15, number + 1, -1)
    return image, mask


def broken_images(rng: random.Random, stamp: Stamp) -> Iterator[Any]:
    """Yield one message, or its bytes, for each way in which an image can be wrong."""
    good, _ = picture(rng.randrange(FRAMES))
    most = 2**32 - 1
    for fields in (
        {'height': 0},
        {'width': 0},
        {'height': most, 'width': most},
        {'height': 2**20},
        {'height': 1, 'width': 2**31, 'step': 0},
        {'height': 1, 'width': 1, 'step': 0},
        {'step': most},
        {'step': rng.randrange(3 * WIDTH)},
        {'encoding': 'mono16', 'step': 10, 'is_bigendian': rng.randrange(2, 256)},
        {'encoding': 'yuv422', 'width': WIDTH - 1},
        {'data': array.array('B')},
        {'data': array.array('B', bytes(rng.randrange(3 * WIDTH * (HEIGHT - 1))))},
        {'encoding': rng.choice(ODD_ENCODINGS)},
        {'encoding': rng.choice(ODD_ENCODINGS)},
    ):
        msg = image_msg(good, 'rgb8', stamp)
        for name, value in fields.items():
            setattr(msg, name, value)
        yield msg
    yield image_msg(np.zeros((1, 10_000, 3), np.uint8), 'rgb8', stamp)  # a strip
    yield image_msg(np.full((HEIGHT, WIDTH), np.nan, np.float32), '32FC1', stamp)
    yield image_msg(good, 'no encoding', rng.choice(ODD_STAMPS))
    yield image_msg(good, 'rgb8', stamp, frame_id='f' * rng.randrange(1025, 9000))
    yield from broken_bytes(rng, image_msg(good, 'rgb8', stamp))
    lying = bytearray(serialize_message(image_msg(good, 'rgb8', stamp)))
    at = len(lying) - 3 * WIDTH * HEIGHT - 4
    struct.pack_into('<I', lying, at, rng.choice((most, 2**31, 3 * WIDTH * HEIGHT + 1)))
    yield bytes(lying)


def broken_bytes(rng: random.Random, msg: Any) -> Iterator[bytes]:
    """Yield what is left of a message: cut, of another kind, with a text that is too long."""
    whole = bytes(serialize_message(msg))
    yield whole[: rng.randrange(1, 12)]
    yield whole[: rng.randrange(12, len(whole) - 4)]
    yield bytes([rng.randrange(1, 256), rng.randrange(2, 256)]) + whole[2:]
    yield whole[:12] + struct.pack('<I', rng.choice((2**32 - 1, 2**31, 10**6))) + whole[16:]
    yield bytes(rng.randrange(256) for _ in range(rng.randrange(1, 400)))


def broken_masks(rng: random.Random, stamp: Stamp) -> Iterator[Any]:
    """Yield masks that cannot be used."""
    yield image_msg(MASK, rng.choice(('rgb8', '32FC1', 'bogus\x1b[2J')), stamp)
    yield image_msg(np.full((HEIGHT, WIDTH), rng.choice((-1, 70_000)), np.int32), '32SC1', stamp)
    yield image_msg(np.ones((WIDTH, HEIGHT), np.uint8) * 7, 'mono8', stamp)  # another aspect
    yield image_msg(np.zeros_like(MASK), 'mono8', stamp)
    yield image_msg(MASK * 2, 'mono8', (stamp[0] - rng.randrange(20, 90), 0))  # of long ago
    yield rng.choice(list(broken_bytes(rng, image_msg(MASK, 'mono8', stamp))))


def broken_compressed(rng: random.Random, stamp: Stamp) -> Iterator[Any]:
    """Yield compressed masks that cannot be used."""
    png = cv2.imencode('.png', MASK)[1].tobytes()
    bomb = png[:16] + struct.pack('>II', 2**31 - 1, 2**31 - 1) + png[24:]
    jpeg = cv2.imencode('.jpg', MASK)[1].tobytes()
    for data in (b'', png[: rng.randrange(1, len(png) - 1)], bomb, jpeg, bytes(500)):
        msg = CompressedImage(format=rng.choice(('png', 'jpeg', '', '\x1b]0;x\x07')))
        msg.header.stamp.sec, msg.header.stamp.nanosec = stamp
        msg.data.frombytes(data + rng.randbytes(rng.randrange(3)))
        yield msg
    yield rng.choice(list(broken_bytes(rng, msg)))


class Process:
    """What the system says of a node's process."""

    def __init__(self, pid: int) -> None:
        self._folder = Path('/proc') / str(pid)

    def figures(self) -> tuple[float, int, int]:
        """Return resident MiB, threads and open files."""
        status = dict(
            line.split(':', 1)
            for line in (self._folder / 'status').read_text().splitlines()
            if ':' in line
        )
        resident = int(status['VmRSS'].split()[0]) / 1024
        return resident, int(status['Threads']), len(os.listdir(self._folder / 'fd'))


class Run:
    """One node, and what is sent to it."""

    def __init__(self, client: Client, start_node: Callable[..., Any], name: str) -> None:
        image = f'qos_overrides./{name}/image.subscription'
        self.node = start_node(
            *('-r', f'__ns:=/{name}'),
            **{
                # A real one: its labels show if anything has changed.
                'model': 'fast_mb_slim',
                'input_size': HEIGHT,
                'backend': 'cpu',
                'threads': 1,
                'diagnostics.period_s': 0.2,
                'init.wait_s': 60.0,
                f'{image}.depth': QUEUE,
                f'{image}.reliability': 'reliable',
            },
        )
        self.client, self.robot = client, Robot(client, self.node, f'/{name}')
        kinds = {
            'image': Image,
            'init_mask': Image,
            'init_mask/compressed': CompressedImage,
            'remove_objects': UInt16MultiArray,
        }
        self.publishers = {
            topic: client.publisher(kind, f'/{name}/{topic}', QoSProfile(depth=QUEUE))
            for topic, kind in kinds.items()
        }
        self.robot.segment()  # those that found out whether it hears are counted by then
        self.before = self.counts()
        self.sent = dict.fromkeys(kinds, 0)

    def counts(self) -> dict[str, int]:
        found = self.robot.fresh('input') | self.robot.status('objects')
        return {k: int(v) for k, v in found.items() if str(v).isdecimal()}

    def counted(self, name: str) -> int:
        return self.counts()[name] - self.before[name]

    def publish(self, topic: str, msg: Any) -> None:
        self.publishers[topic].publish(msg)
        self.sent[topic] += 1

    def play(self, rng: random.Random | None) -> list[np.ndarray]:
        """Send the images, with broken messages after each where `rng` is given."""
        found = []
        start_s, _ = self.client.next_stamp()
        for index in range(FRAMES):
            sec, nanosec = divmod(start_s * 10**9 + index * PERIOD_NS, 10**9)
            image, mask = picture(index)
            if index == 0:
                self.publish('init_mask', image_msg(mask, 'mono8', (sec, nanosec)))
                self.client.wait(lambda: self.counted('masks_in') == 1, 'the mask')
            self.publish('image', image_msg(image, 'rgb8', (sec, nanosec)))
            answer = self.client.wait(
                lambda stamp=(sec, nanosec): self.robot.answers(stamp), f'labels of image {index}'
            )
            found.append(to_array(answer[0]).copy())
            if rng is not None:
                self.send_broken(rng, (sec, nanosec + 1))
            if index == WARM:
                self.settle()
                self.warm = Process(self.node.process.pid).figures()
                self.lines, self.since = self.node.log.count('\n'), time.monotonic()
        self.settle()
        return found

    def send_broken(self, rng: random.Random, stamp: Stamp) -> None:
        """Send one message of each kind, in any order."""
        pool = [('image', msg) for msg in broken_images(rng, stamp)]
        pool += [('init_mask', msg) for msg in broken_masks(rng, stamp)]
        pool += [('init_mask/compressed', msg) for msg in broken_compressed(rng, stamp)]
        unknown = UInt16MultiArray(data=[rng.randrange(1000, 65536) for _ in range(50)])
        pool += [('remove_objects', msg) for msg in (unknown, next(broken_bytes(rng, unknown)))]
        rng.shuffle(pool)
        for topic, msg in pool:
            self.publish(topic, msg)
            self.client.executor.spin_once(0.0)

    def settle(self) -> None:
        """Return once all that was sent is in a counter: nothing is lost without a word."""
        masks = self.sent['init_mask'] + self.sent['init_mask/compressed']
        self.client.wait(
            lambda: self.counted('frames_in') == self.sent['image'],
            f'{self.sent["image"]} images to be counted',
        )
        self.client.wait(
            lambda: self.counted('masks_in') + self.counted('masks_duplicate') == masks,
            f'{masks} masks to be counted',
        )


def test_good_images_do_not_notice_broken_messages_between_them(client, start_node) -> None:
    quiet, loud = Run(client, start_node, 'quiet'), Run(client, start_node, 'loud')
    expected = quiet.play(None)
    found = loud.play(random.Random(SEED))
    assert loud.sent['image'] > 20 * FRAMES
    for index, (one, other) in enumerate(zip(expected, found)):
        assert np.array_equal(one, other), f'image {index}'
    last, truth = expected[-1], picture(FRAMES - 1)[1]
    assert np.count_nonzero(last == truth) > 0.95 * truth.size
    assert set(np.unique(last)) == {0, 1, 2}

    # Every broken one is refused, and nothing but the good ones is answered.
    assert loud.counted('frames_out') == FRAMES
    assert loud.counted('failed') + loud.counted('dropped') == loud.sent['image'] - FRAMES
    assert loud.counted('time_jumps') == 0

    resident, threads, files = Process(loud.node.process.pid).figures()
    assert resident - loud.warm[0] < MOST_GROWTH_MIB
    assert (threads, files) == loud.warm[1:]

    log = loud.node.log
    lines = log.splitlines()
    seconds = time.monotonic() - loud.since
    assert len(lines) - loud.lines < LINES_IN_5_S * (seconds / 5 + 2)
    assert max(map(len, lines)) < LONGEST_LINE
    assert 'Traceback' not in log
    assert all(line.isprintable() for line in lines)
    assert loud.node.interrupt() == 0
