# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C before a node is there: nothing has begun, so that the process just ends, with 0."""

import os
import signal


def leave_on_interrupt() -> None:
    """
    End the process at once when it is interrupted, until `raise_on_interrupt`.

    Python would leave a traceback wherever an import stood, and numpy makes an ImportError of it.
    Who ignores SIGINT, as shells have it for what runs in the background, goes on to.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, lambda *_: os._exit(0))


def raise_on_interrupt() -> None:
    """Let an interrupt raise KeyboardInterrupt again, as Python has it."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
