# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
How many camera images get through Cyclone DDS between two processes, without ROS.

    pip install cyclonedds==0.10.5    # in an environment of its own; wheels up to Python 3.10
    sudo sysctl -w net.core.rmem_max=212992
    export CYCLONEDDS_URI=file://$PWD/config/cyclonedds_large_images.xml    # or not
    python benchmarks/over_dds/cyclone_images.py

40 images of 1280x720 at 10 Hz, best effort. docs/troubleshooting.md has the figures.
"""

# No postponed annotations: the binding reads the types of a message.

from dataclasses import dataclass
import subprocess
import sys
import time

from cyclonedds.core import Policy, Qos
from cyclonedds.domain import DomainParticipant
from cyclonedds.idl import IdlStruct
from cyclonedds.idl.types import sequence, uint8
from cyclonedds.pub import DataWriter
from cyclonedds.sub import DataReader
from cyclonedds.topic import Topic

DOMAIN = 77
IMAGES = 40
RATE_HZ = 10.0
SIZE = 1280 * 720 * 3  # bytes
# Deep, so that a reader that is slow to decode is not what loses them.
QOS = Qos(Policy.Reliability.BestEffort, Policy.History.KeepLast(60))


@dataclass
class Picture(IdlStruct, typename='Picture'):
    """A number and the bytes of an image."""

    number: uint8
    data: sequence[uint8]


def publish() -> None:
    """Send all images."""
    participant = DomainParticipant(DOMAIN)
    writer = DataWriter(participant, Topic(participant, 'image', Picture, qos=QOS), qos=QOS)
    time.sleep(2.0)  # until both sides know each other
    data = bytes(SIZE)
    for number in range(IMAGES):
        writer.write(Picture(number, data))
        time.sleep(1.0 / RATE_HZ)
    time.sleep(1.0)


def main() -> None:
    """Listen while another process sends; print how many came."""
    participant = DomainParticipant(DOMAIN)
    reader = DataReader(participant, Topic(participant, 'image', Picture, qos=QOS), qos=QOS)
    sender = subprocess.Popen([sys.executable, __file__, 'publish'])
    got: set[int] = set()
    is_over = False
    while not is_over:
        is_over = sender.poll() is not None  # and once more, for what still waits
        time.sleep(0.002)
        # A sender that goes is told of by a sample without data.
        got.update(each.number for each in reader.take(IMAGES) if isinstance(each, Picture))
    print(f'{len(got)} of {IMAGES} images of 1280x720 arrived')


if __name__ == '__main__':
    publish() if sys.argv[1:] == ['publish'] else main()
