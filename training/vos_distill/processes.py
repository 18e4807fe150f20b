# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
One run in several processes (torchrun), and how it is stopped.

Every process has an equal share of each batch; `DistributedDataParallel` averages the gradients.
The result is that of one process if every loss is a mean over clips, or is divided by numbers
that all processes agree on: `largest` and `mean`.
"""

from collections.abc import Sequence
import os
import signal
from types import FrameType, TracebackType
from typing import Any

from lightning_fabric import Fabric
import torch
from torch import distributed


def start_fabric(amp: bool) -> Fabric:
    """
    Join the processes that torchrun has started, or be the only one; GPUs where there are any.

    :param amp: bfloat16 where autocast allows it.
    """
    here = int(os.environ.get('LOCAL_WORLD_SIZE', 1))
    everywhere = int(os.environ.get('WORLD_SIZE', 1))
    fabric = Fabric(
        accelerator='cuda' if torch.cuda.is_available() else 'cpu',
        devices=here,
        num_nodes=everywhere // here,
        strategy='ddp' if everywhere > 1 else 'auto',
        precision='bf16-mixed' if amp else '32-true',
    )
    fabric.launch()
    return fabric


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
