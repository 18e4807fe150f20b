# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Processes that never outlive us, and that say why when they fail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import contextlib
import ctypes
import os
from pathlib import Path
import signal
import subprocess
import sys
from types import FrameType, TracebackType
from typing import Any

_PR_SET_PDEATHSIG = 1
_GRACE_S = 4.0


class ProcessError(Exception):
    """A process of ours failed; the text says which one and how it ended."""


class Child:
    """
    One process, in a session of its own, with its output in a file.

    :param name: for messages.
    :param arguments: command line.
    :param env: its whole environment.
    :param log: gets stdout and stderr.
    """

    def __init__(
        self, name: str, arguments: Sequence[str], *, env: Mapping[str, str], log: Path
    ) -> None:
        self.name = name
        self.log = log
        libc: Any = ctypes.CDLL(None) if sys.platform == 'linux' else None

        def prepare() -> None:
            # Whoever starts us from a shell's `&` has SIGINT ignored, and children inherit that.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            if libc is not None:
                # Were we killed outright, nobody else would end the child.
                libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

        with log.open('wb') as output:
            # In a session of its own: Ctrl-C reaches us alone, and we end the children in order.
            self._process = subprocess.Popen(
                list(arguments),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(env),
                start_new_session=True,
                preexec_fn=prepare,
            )

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """Exit code, negative for a signal; None while it runs."""
        return self._process.poll()

    def stop(self) -> None:
        """End it: ask, then insist, then kill. Also what it has started itself."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            if self.exit_code is not None:
                return
            self._signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_GRACE_S)

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def tail(self, lines: int = 12) -> str:
        """Return the last lines of its output."""
        text = self.log.read_text(errors='replace')
        return '\n'.join(text.rstrip().splitlines()[-lines:])


class Children:
    """
    Context in which processes live; however it is left, none of them is left behind.

    SIGTERM and SIGHUP become KeyboardInterrupt inside, so that they clean up as Ctrl-C does.
    """

    def __init__(self) -> None:
        self._children: list[Child] = []
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> Children:
        """Take over the signals."""

        def interrupt(number: int, _frame: FrameType | None) -> None:
            raise KeyboardInterrupt(signal.Signals(number).name)

        for number in (signal.SIGTERM, signal.SIGHUP):
            # Only the main thread may; in another one the caller has to look after its signals.
            with contextlib.suppress(ValueError):
                self._handlers[number] = signal.signal(number, interrupt)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End every process, the newest first, and give the signals back."""
        for child in reversed(self._children):
            child.stop()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def start(
        self, name: str, arguments: Sequence[str], *, env: Mapping[str, str], log: Path
    ) -> Child:
        """Start a process; see Child."""
        child = Child(name, arguments, env=env, log=log)
        self._children.append(child)
        return child

    def check(self, *, may_end: Child | None = None) -> None:
        """
        Raise ProcessError if one has ended that should not have.

        :param may_end: this one may, with exit code 0.
        """
        for child in self._children:
            code = child.exit_code
            if code is None or (child is may_end and code == 0):
                continue
            how = f'was ended by {signal.Signals(-code).name}' if code < 0 else f'ended ({code})'
            raise ProcessError(f'the {child.name} {how}; the end of {child.log}:\n{child.tail()}')
