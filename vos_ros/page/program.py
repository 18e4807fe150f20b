# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""`prompt_page`: the program around the node; rclpy is imported once the command line is read."""

import contextlib
import os
import sys

from vos_ros.interrupts import leave_on_interrupt, raise_on_interrupt
from vos_ros.ros.node import describe_missing

#: Where processors are short, the segmenter goes first and the page shows fewer pictures.
_NICE = 10
_USAGE = """\
usage: prompt_page [--help] [--ros-args ...]

Show cameras and their objects in the browser, and paint masks there.

parameters (-p NAME:=VALUE):
  host = 127.0.0.1     address to listen on; beyond loopback a token is needed
  port = 8420          0 = any that is free
  token = ''           of the address; empty = a random one
  max_rate_hz = 10.0   most pictures per second and page
  prompt_model = prompt_mb   finds what boxes and strokes mean; '' = GrabCut
  segmenters = ['']    full names of segmenters to show; empty = all that there are"""


def _step_back() -> None:
    os.nice(_NICE)
    if sys.platform == 'linux':
        # What wakes up for each image does not interrupt the network in the middle of a frame.
        with contextlib.suppress(OSError):  # a sandbox may forbid it; the page works without
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def main() -> int:
    """Run until interrupted; exit code 0, 1 = ROS is missing, 2 with one line on stderr."""
    if {'-h', '--help'} & set(sys.argv[1:]):
        print(_USAGE)
        return 0
    leave_on_interrupt()
    _step_back()
    try:
        from vos_ros.page import node
    except ImportError as error:
        print(f'prompt_page: {describe_missing(error)}', file=sys.stderr)
        return 1
    raise_on_interrupt()
    return node.main()


if __name__ == '__main__':
    sys.exit(main())
