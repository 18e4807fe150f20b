# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
What goes wrong in a callback stays inside of it: one log line, and the node lives.

An exception that escapes a callback would end spin(), and with it the node.
"""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, wait
import contextlib
import functools
import logging
import re
import sys
import threading
import time
import traceback
from typing import Any, TypeVar

from vos_ros.errors import VosError

T = TypeVar('T')

#: A complaint that repeats with every frame is logged once in this time.
_REPEAT_S = 5.0
#: How often to look whether somebody still waits.
_POLL_S = 0.1
#: What the names of all our threads begin with.
THREADS = 'vos_'
#: Different complaints that are logged in this time; whoever sends junk knows more.
_MOST = 20
#: Longest line, in characters: a peer may write a megabyte where an encoding should stand.
_LONGEST = 600
#: What a peer wrote stands in quotes; complaints that differ in nothing else are the same.
_QUOTED = re.compile(r"""['"].*['"]""", re.DOTALL)
#: Numbers, alone and in a row: complaints that differ in nothing else are the same.
_NUMBERS = re.compile(r'\d+(?:, \d+)*')
#: Ids that are named; of a mask full of noise there are hundreds.
_MOST_IDS = 10
_LONG_LIST = re.compile(rf'\[(\d+(?:, \d+){{{_MOST_IDS},}})\]')


def shut_down() -> None:
    """
    End ROS in this process, unless a signal has, or is about to.

    rclpy's try_shutdown looks whether ROS still runs and then ends it; the signal's own thread can
    be first in between, and that is no error.
    """
    import rclpy  # not before the command line is understood

    with contextlib.suppress(RuntimeError):
        rclpy.try_shutdown()


@contextlib.contextmanager
def unless_stopped() -> Iterator[None]:
    """
    Turn what fails because a signal has ended ROS meanwhile into a KeyboardInterrupt.

    rclpy ends its context in a thread of its own; a node that is being made then fails in many
    ways, none of which is an error. ROS must have begun.
    """
    import rclpy

    try:
        yield
    except Exception:
        if rclpy.ok():
            raise
        sys.unraisablehook = lambda *_: None  # an executor that is half made complains at its end
        raise KeyboardInterrupt from None


class ErrorLog:
    """
    Logs errors and warnings, each once in a while. For any thread.

    Those that differ in numbers or in what a peer wrote count as the same: a stream of broken
    images would otherwise give one line per length. Beyond 20 kinds in 5 s none is logged.

    :param logger: rclpy's, of the node.
    :param note: called for every error, logged or not, that is not counted elsewhere.
    :param is_wanted: False once ROS has ended: whatever a thread was about then fails, as a
        signal ends ROS at any moment, and that is no error.
    """

    def __init__(
        self, logger: Any, note: Callable[[], None], is_wanted: Callable[[], bool]
    ) -> None:
        self._logger = logger
        self._note = note
        self._is_wanted = is_wanted
        self._logged: dict[str, float] = {}
        self._lock = threading.Lock()

    def report(self, error: Exception, line: str = '') -> None:
        """
        Log one line; a defect of ours with its traceback.

        :param error: a VosError is the user's, all else ours.
        :param line: instead of the error's own words.
        """
        if self._is_wanted():
            self._note()
            self.log(error, line)

    def log(self, error: Exception, line: str = '') -> None:
        """
        Do the same for what is counted elsewhere: a mask that is refused, an unusable image.

        :param error: as above.
        :param line: as above.
        """
        line = tidy(line) or in_words(error)
        if not self._is_due(line):
            return
        self._logger.error(line)
        if not isinstance(error, VosError):
            self._logger.error(''.join(traceback.format_exception(error)))

    def warn(self, line: str, *, numbers_count: bool = False) -> None:
        """
        Log a warning.

        :param line: what it is.
        :param numbers_count: with other numbers it is about another thing.
        """
        line = tidy(line)
        if self._is_due(line, numbers_count=numbers_count):
            self._logger.warning(line)

    def _is_due(self, line: str, *, numbers_count: bool = False) -> bool:
        if not self._is_wanted():
            return False
        kind, now = _QUOTED.sub("''", line), time.perf_counter()
        kind = kind if numbers_count else _NUMBERS.sub('#', kind)
        with self._lock:
            recent = {k: at for k, at in self._logged.items() if now - at < _REPEAT_S}
            is_due = kind not in recent and len(recent) < _MOST
            self._logged = recent | ({kind: now} if is_due else {})
        return is_due


class SilenceLog:
    """
    Logs that an input is silent, once each time: who starts a node looks at its log first.

    :param error_log: of the node.
    """

    def __init__(self, error_log: ErrorLog) -> None:
        self._error_log = error_log
        self._told: Mapping[str, str] = {}

    def tell(self, silent: Mapping[str, str]) -> None:
        """
        Log what has become silent since the last call, or is so for another reason.

        :param silent: input -> one line, of all that are silent now.
        """
        kinds = {name: _NUMBERS.sub('#', line) for name, line in silent.items()}
        for name, line in silent.items():
            if self._told.get(name) != kinds[name]:
                self._error_log.warn(line)
        self._told = kinds


class LogBridge(logging.Handler):
    """
    Passes on what the engine logs, so that it stands in /rosout and `ros2 launch` shows it.

    :param logger: rclpy's, of the node.
    """

    def __init__(self, logger: Any) -> None:
        super().__init__(logging.INFO)
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        """
        Log one record.

        :param record: of Python's logging.
        """
        # One call per level: rclpy wants each line of source to keep its own.
        if record.levelno >= logging.ERROR:
            self._logger.error(record.getMessage())
        elif record.levelno >= logging.WARNING:
            self._logger.warning(record.getMessage())
        else:
            self._logger.info(record.getMessage())


def guarded(callback: Callable) -> Callable:
    """Decorate a callback of an object that has its `ErrorLog` as `error_log`."""

    @functools.wraps(callback)
    def run(self: Any, *args: Any, **more: Any) -> Any:
        try:
            return callback(self, *args, **more)
        except Exception as error:
            self.error_log.report(error)
            if len(args) < 2:
                return None
            # Services must answer: the second argument is the response they were given.
            _, response = args
            response.success, response.message = False, in_words(error)
            return response

    return run


def wait_for(job: Callable[[], T], is_wanted: Callable[[], bool]) -> T:
    """
    Run what may spend minutes in native code, so that Ctrl-C ends the wait for it at once.

    Python looks at signals between its own instructions only, and in the main thread.

    :param job: runs in a thread of its own.
    :param is_wanted: asked again and again; False ends the wait.
    :return: what `job` returns; what it raises is raised.
    :raises KeyboardInterrupt: nobody waits for it any more.
    """
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(job())
        except BaseException as error:  # for whoever waits
            future.set_exception(error)

    thread = threading.Thread(target=run, name=f'{THREADS}load', daemon=True)
    thread.start()
    while not wait([future], _POLL_S).done:
        if not is_wanted():
            raise KeyboardInterrupt
    thread.join()
    return future.result()


def in_words(error: Exception) -> str:
    """
    Say what happened in one line.

    :param error: a VosError speaks for itself.
    """
    if isinstance(error, VosError):
        return shortened(tidy(str(error)))
    return tidy(f'{type(error).__name__}: {error}')


def tidy(text: str, longest: int = _LONGEST) -> str:
    r"""
    Make one line of bounded length of what may hold anything, such as a peer's text.

    :param text: control characters are written as Python does (\x1b): a terminal would obey them.
    :param longest: characters that are kept.
    """
    kept = text
    if len(text) > longest:  # its end says what to do
        head, tail = text[: longest * 2 // 3], text[-longest // 3 :]
        kept = f'{head} ... ({len(text)} characters) ... {tail}'
    if kept.isprintable():
        return kept
    return ''.join(c if c.isprintable() else ascii(c)[1:-1] for c in kept)


def shortened(line: str) -> str:
    """
    Cut lists of ids in a line short.

    :param line: with lists as Python writes them, such as '[1, 2]'.
    """

    def cut(found: re.Match[str]) -> str:
        ids = found[1].split(', ')
        return f'[{", ".join(ids[:_MOST_IDS])} and {len(ids) - _MOST_IDS} more]'

    return _LONG_LIST.sub(cut, line)
