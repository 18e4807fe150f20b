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
import os
from typing import Any, TypeVar

import torch

R = TypeVar('R')

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


def isolated(function: Callable[..., R], *args: Any, **kwargs: Any) -> R:
    """
    Call a function of a module in a new process, with as many torch threads as this one has.

    It gets `ENVIRONMENT`, except for what the user has set.

    :return: what it returned; what it raised is raised here.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    context = multiprocessing.get_context('spawn')
    threads = torch.get_num_threads()
    with ProcessPoolExecutor(
        1, mp_context=context, initializer=torch.set_num_threads, initargs=(threads,)
    ) as pool:
        return pool.submit(function, *args, **kwargs).result()
