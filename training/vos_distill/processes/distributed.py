# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
One run in several processes (torchrun), and how it is stopped.

Every process has an equal share of each batch; `DistributedDataParallel` averages the gradients.
The result is that of one process if every loss is a mean over clips, or is divided by numbers
that all processes agree on: `largest` and `mean`.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
import os
import re
import signal
from types import FrameType, TracebackType
from typing import Any, cast, NoReturn, TypeVar

from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy
import torch
from torch import distributed

from vos_ros.errors import VosError

T = TypeVar('T')
# Fabric's names by ours; tf32 is float32 with products of 19 bits where the GPU has them.
PRECISIONS: dict[str, Any] = {
    'bf16': 'bf16-mixed', 'fp16': '16-mixed', 'tf32': '32-true', 'fp32': '32-true'
}  # fmt: skip
PATIENCE = timedelta(hours=2)  # of processes that wait while the first one validates
_DEAD_WORKER = re.compile(r'killed by signal|exited unexpectedly')
_LOST = re.compile(r'gloo|NCCL|Connection (closed|reset|refused)|[Tt]imed out|[Bb]roken pipe')


def start_fabric(amp: bool, device: str = 'auto', precision: str = 'auto') -> Fabric:
    """
    Join the processes that torchrun has started, or be the only one.

    :param amp: 16 bits where autocast allows it; asked where `precision` is auto.
    :param device: auto (GPUs where there are any), cpu, cuda or cuda:N.
    :param precision: auto, or one of `PRECISIONS`.
    :raises ValueError: there is no such device, or it cannot compute so.
    """
    here = int(os.environ.get('LOCAL_WORLD_SIZE', 1))
    everywhere = int(os.environ.get('WORLD_SIZE', 1))
    kind, numbers = _chosen(device, here)
    if precision == 'auto':
        precision = 'fp32' if not amp else 'bf16' if _has_bf16(kind) else 'fp16'
    if precision not in PRECISIONS:
        raise ValueError(f"precision '{precision}': choose from auto, {', '.join(PRECISIONS)}")
    if precision in ('fp16', 'tf32') and kind == 'cpu':
        raise ValueError(f'precision {precision} is for GPUs; a processor has bf16 and fp32')
    if precision == 'tf32':
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    fabric = Fabric(
        accelerator=kind,
        devices=numbers,
        num_nodes=everywhere // here,
        strategy=DDPStrategy(timeout=PATIENCE) if everywhere > 1 else 'auto',
        precision=PRECISIONS[precision],
    )
    fabric.launch()
    return fabric


def _chosen(device: str, processes: int) -> tuple[str, int | list[int]]:
    """Read `--device`; gives the accelerator, and how many or which of them."""
    kind, is_numbered, number = device.partition(':')
    if kind == 'auto' and not is_numbered:
        kind = 'cuda' if torch.cuda.is_available() else 'cpu'
    if kind not in ('cpu', 'cuda') or (is_numbered and (kind == 'cpu' or not number.isdecimal())):
        raise ValueError(f"device '{device}': choose from auto, cpu, cuda, cuda:0, cuda:1, ...")
    if kind == 'cuda':
        there = torch.cuda.device_count() if torch.cuda.is_available() else 0
        needed = int(number) + 1 if is_numbered else processes
        if needed > there:
            raise ValueError(f'device {device}: torch finds {there} GPU(s), {needed} are needed')
        if is_numbered and processes > 1:
            raise ValueError(f'device {device}: each process takes a GPU of its own; give cuda')
    return kind, [int(number)] if is_numbered else processes


def _has_bf16(kind: str) -> bool:
    return kind == 'cpu' or torch.cuda.is_bf16_supported(including_emulation=False)


def together(function: Callable[[], T]) -> T:
    """
    Call a function in every process; where it fails in one, it fails in all of them.

    Otherwise the others would wait for that one. Only the first process says why.

    :raises ValueError: it failed elsewhere; in the first process.
    :raises SystemExit: it failed somewhere; in all other processes.
    """
    if not distributed.is_initialized():
        return function()
    result, error = None, None
    try:
        result = function()
    except (ValueError, OSError, VosError) as failure:
        error = failure
    gathered = _gathered(None if error is None else str(error))
    failed = [(rank, text) for rank, text in enumerate(gathered) if text is not None]
    if failed:
        _give_up(error or ValueError(f'process {failed[0][0]}: {failed[0][1]}'))
    return cast(T, result)


def same_everywhere(what: str, values: dict[str, Any]) -> None:
    """
    Refuse what differs between the processes.

    :param what: it is, for the message.
    :raises ValueError: names the keys and a process; in the first process.
    :raises SystemExit: in all other processes.
    """
    if not distributed.is_initialized():
        return
    gathered = _gathered(values)
    for rank, other in enumerate(gathered):
        differing = [key for key, value in gathered[0].items() if other[key] != value]
        if differing:
            _give_up(
                ValueError(
                    f'{what} of process {rank} differ in {", ".join(differing)}; give all '
                    'processes the same'
                )
            )


def is_first_process() -> bool:
    """Tell whether this is the first of the processes that torchrun has started, or alone."""
    return os.environ.get('RANK', '0') == '0'


def of_the_first(value: T) -> T:
    """Give every process what the first one calls this with."""
    if not distributed.is_initialized():
        return value
    values = [value]
    distributed.broadcast_object_list(values, src=0)
    return values[0]


def _gathered(value: Any) -> list[Any]:
    values: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(values, value)
    return values


def _give_up(error: Exception) -> NoReturn:
    if distributed.get_rank() == 0:
        raise error
    raise SystemExit(2)


@contextmanager
def others_named() -> Iterator[None]:
    """
    Say in one line that a process which this one needs has died: a worker, or one of torchrun's.

    :raises ChildProcessError: a worker has.
    :raises ConnectionError: one of torchrun's has, or cannot be reached.
    """
    try:
        yield
    except RuntimeError as error:
        text = str(error).splitlines()[0] if str(error) else ''
        goes_on = 'the same command goes on from the last checkpoint'
        if text.startswith('DataLoader worker') and _DEAD_WORKER.search(text):
            # torch's handler would say it again, at any place on the way out
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            raise ChildProcessError(
                f'{text.partition(". ")[0]}, which makes clips: often a lack of memory, then less '
                f'`workers` helps; {goes_on}'
            ) from error
        if distributed.is_initialized() and _LOST.search(text):
            raise ConnectionError(
                f'another process of the run has ended or cannot be reached; {goes_on} ({text})'
            ) from error
        raise


def _reduce(values: Sequence[float], how: Any, device: torch.device) -> list[float]:
    tensor = torch.tensor(values, dtype=torch.float64, device=device)
    distributed.all_reduce(tensor, how)
    reduced: list[float] = tensor.tolist()
    return reduced


def largest(value: int, device: torch.device) -> int:
    """Give the largest of the values that the processes call this with."""
    if not distributed.is_initialized():
        return value
    return int(_reduce([value], distributed.ReduceOp.MAX, device)[0])


def mean(values: dict[str, float], device: torch.device) -> dict[str, float]:
    """Give the means of the values that the processes call this with, key by key."""
    if not distributed.is_initialized():
        return values
    sums = _reduce(list(values.values()), distributed.ReduceOp.SUM, device)
    return {k: total / distributed.get_world_size() for k, total in zip(values, sums)}


class Interrupted(Exception):  # noqa: N818  # nothing went wrong
    """
    A signal ended the training after a checkpoint was written.

    :param number: of the signal.
    """

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message, number)  # both, or it could not be pickled
        self.number = number

    def __str__(self) -> str:
        return str(self.args[0])


class StopRequest:
    """
    Note SIGINT and SIGTERM instead of dying of them, inside `with`.

    A second signal of the same kind acts as ever, so that nobody has to wait.
    """

    def __init__(self) -> None:
        self.number = 0  # of the signal that came, 0 = none
        self._before: dict[int, Any] = {}

    def __enter__(self) -> 'StopRequest':
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._note)
        return self

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.number = number
        signal.signal(number, self._before[number])

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
