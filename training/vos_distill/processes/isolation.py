# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Run one job after the other, each in a process of its own.

A data loader forks its workers. Forked after an evaluation has started the threads of onnxruntime,
a worker can hang for ever; so what trains and measures in turn does every part in a new process.

The child is in a process group of its own, so that a signal to the group of the parent (Ctrl-C in
a terminal) reaches it once: from the parent, which passes it on and waits. Twice would mean
"at once" to `StopRequest`, without a checkpoint. A child whose parent has died stops by itself.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
import multiprocessing
from multiprocessing import connection, resource_tracker
from multiprocessing.context import SpawnProcess
import os
import pickle
import signal
import threading
import traceback
from types import FrameType
from typing import Any, cast, TypeVar

import torch

from vos_distill.processes.distributed import Interrupted

R = TypeVar('R')
_Outcome = tuple[bool, Any, str]  # is it a result, the result or an error, its traceback

# What the libraries of a new process read when they are loaded. Threads that wait must not spin:
# on processors that others use too a step takes several times as long. And glibc is to keep large
# blocks, for torch on the processor asks for the same ones in every step.
ENVIRONMENT = {
    'OMP_WAIT_POLICY': 'passive',
    'GOMP_SPINCOUNT': '0',
    'MALLOC_MMAP_THRESHOLD_': '1073741824',
    'MALLOC_TRIM_THRESHOLD_': '1073741824',
    'MALLOC_TOP_PAD_': '268435456',
}
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def isolated(function: Callable[..., R], *args: Any, **kwargs: Any) -> R:
    """
    Call a function of a module in a new process, with as many torch threads as this one has.

    It gets `ENVIRONMENT`, except for what the user has set. To be called from the main thread.

    :return: what it returned; what it raised is raised here.
    :raises Interrupted: SIGINT or SIGTERM came; the process has got it too, and has ended.
    :raises ChildProcessError: the process died without an answer.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    context = multiprocessing.get_context('spawn')
    ours, theirs = context.Pipe(duplex=False)
    job = (function, args, kwargs)
    child = context.Process(target=_answer, args=(theirs, torch.get_num_threads(), job))
    with _passed_on(child) as came:
        _start(child)
        theirs.close()
        connection.wait([ours, child.sentinel])
        outcome: _Outcome | None = None
        with suppress(EOFError):
            outcome = ours.recv() if ours.poll() else None
        child.join()
    ours.close()
    has_result, answer, trace = outcome or (False, RuntimeError(), '')
    if came and not isinstance(answer, Interrupted):
        raise Interrupted('stopped; the same command goes on from there', came[0])
    if outcome is None:
        raise ChildProcessError(
            f'the process of {function.__name__} died without an answer (exit {child.exitcode}; '
            '-9 is often a lack of memory)'
        )
    if isinstance(answer, Interrupted):
        raise answer
    if not has_result:
        raise answer from RuntimeError(f'in the process of {function.__name__}:\n{trace}')
    return cast(R, answer)


@contextmanager
def _passed_on(child: SpawnProcess) -> Iterator[list[int]]:
    """Pass signals on to the child instead of dying of them; gives those that came."""
    came: list[int] = []

    def pass_on(number: int, _frame: FrameType | None) -> None:
        came.append(number)
        if child.is_alive() and child.pid is not None:
            os.kill(child.pid, number)

    before = {number: signal.signal(number, pass_on) for number in _SIGNALS}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _start(child: SpawnProcess) -> None:
    """Start with signals blocked: they wait until the child can answer, or the parent knows it."""
    resource_tracker.ensure_running()  # its own start would unblock them in between
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        child.start()
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)


def _answer(
    to: 'connection.Connection[Any, Any]',
    threads: int,
    job: tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]],
) -> None:
    """Be the child: send a `_Outcome`."""
    os.setpgid(0, 0)
    function, args, kwargs = job
    try:
        for number in _SIGNALS:
            signal.signal(number, _interrupt)
        threading.Thread(target=_stop_without_parent, daemon=True).start()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        torch.set_num_threads(threads)
        outcome = (True, function(*args, **kwargs), '')
    except Exception as error:
        outcome = (False, _portable(error), traceback.format_exc())
    with suppress(BrokenPipeError):  # nobody is left to be told
        to.send(outcome)


def _interrupt(number: int, _frame: FrameType | None) -> None:
    raise Interrupted('stopped; the same command goes on from there', number)


def _stop_without_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)


def _portable(error: Exception) -> Exception:
    """Give the error as it is if it survives the way to the parent, else its text."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f'{type(error).__name__}: {error}')
    return error
