# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Run one job after the other, each in a process of its own.

A data loader forks its workers. Forked after an evaluation has started the threads of onnxruntime,
a worker can hang for ever; so what trains and measures in turn does every part in a new process.
"""

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
import multiprocessing
from typing import Any, TypeVar

import torch

R = TypeVar('R')


def isolated(function: Callable[..., R], *args: Any, **kwargs: Any) -> R:
    """
    Call a function of a module in a new process, with as many torch threads as this one has.

    :return: what it returned; what it raised is raised here.
    """
    context = multiprocessing.get_context('spawn')
    threads = torch.get_num_threads()
    with ProcessPoolExecutor(
        1, mp_context=context, initializer=torch.set_num_threads, initargs=(threads,)
    ) as pool:
        return pool.submit(function, *args, **kwargs).result()
