# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Signals before a node is there and after it: the process just ends, with 0.

Before it nothing has begun, and after it nothing is left to be stopped.
"""

import os
import signal
from typing import Any

_is_starting = False


def leave_on_interrupt() -> None:
    """
    End the process at once when it is interrupted or told to end, until the node is there.

    Python would leave a traceback wherever an import stood, and numpy makes an ImportError of it.
    Who ignores SIGINT, as shells have it for what runs in the background, goes on to. An
    interrupt does so until `raise_on_interrupt`, SIGTERM until `leave_no_more`.
    """
    global _is_starting
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, lambda *_: os._exit(0))
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        _is_starting = True
        signal.signal(signal.SIGTERM, _leave)


def _leave(*_: Any) -> None:
    if _is_starting:
        os._exit(0)


def raise_on_interrupt() -> None:
    """Let an interrupt raise KeyboardInterrupt again, as Python has it."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def leave_no_more() -> None:
    """Leave SIGTERM to rclpy, whose handler is there now and calls the one before it."""
    global _is_starting
    _is_starting = False


def ignore_further() -> None:
    """
    Let nothing interrupt the end of the process, whose node is gone.

    Python puts back what the system does with a signal before it is done. A second Ctrl-C, or one
    that came from the terminal and by ros2 launch, would make a death of it (-2).
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
