# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which backend runs: the one that was asked for, or the best one that passes the probe."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
import logging

from vos_ros.backends.base import Backend, Job, NotInstalledError, Verify
from vos_ros.backends.machine import gpu_names
from vos_ros.backends.probe import time_against, verify_against
from vos_ros.errors import VosError

_LOG = logging.getLogger(__name__)
#: What 'auto' takes in place of the processor's reference must need less of its time than this:
#: OpenVINO on two threads suffers more from other work on their cores.
_WORTH = 0.8


@dataclass(frozen=True)
class Kind:
    """
    A way to run networks.

    :param open: opens it for a job and verifies it with what it is given.
    :param precisions: what it can compute with; the first is what 'auto' means.
    :param is_gpu: needs an NVIDIA GPU.
    """

    open: Callable[[Job, Verify], Backend]
    precisions: tuple[str, ...] = ('fp32',)
    is_gpu: bool = False

    def automatic(self, precision: str) -> tuple[str, ...]:
        """Return what to try for `precision`, best first, where no backend was asked for."""
        if precision != 'auto':
            return (precision,) if precision in self.precisions else ()
        # How much a processor gains by a precision differs so much that all are timed.
        return self.precisions[:1] if self.is_gpu else self.precisions


def choose(
    job: Job,
    kinds: Mapping[str, Kind],
    order: Sequence[str],
    find_gpus: Callable[[], Sequence[str]] = gpu_names,
) -> Backend:
    """
    Open the backend that `job.runtime` asks for.

    With 'auto', the first of `order` that opens and passes the probe, and that is quicker here
    than the last one if it is no GPU. The last one, the processor, is what the others are
    compared with. Whatever was there but failed is named in
    the backend's `fallbacks` and logged; so is a GPU that nothing installed can use.

    :param kinds: all backends by name.
    :param order: names, best first, the processor last.
    :raises VosError: what was asked for by name is not there or fails.
    """
    requested = job.runtime.backend
    last = order[-1]

    @lru_cache(maxsize=1)
    def open_reference() -> Backend:
        return kinds[last].open(replace(job, precision='fp32'), _trust)

    def verify(backend: Backend) -> None:
        verify_against(open_reference(), backend, job)

    if requested != 'auto':
        return _open_named(job, requested, kinds[requested], verify)

    failed: list[str] = []
    absent: list[str] = []
    for name in order[:-1]:
        kind = kinds[name]
        for precision in kind.automatic(job.runtime.precision):
            try:
                backend = kind.open(replace(job, precision=precision), verify)
            except NotInstalledError as error:
                if kind.is_gpu:
                    absent.append(str(error))
            except Exception as error:  # a broken driver must not keep the processor from it
                kind_of = '' if isinstance(error, VosError) else f'{type(error).__name__}: '
                failed.append(f'{name} is not used: {kind_of}{error}')
                break
            else:
                share = 0.0 if kind.is_gpu else time_against(open_reference(), backend, job)
                if share < _WORTH:
                    return _loud(backend, failed)
                _LOG.info(
                    '%s in %s is not used: a frame takes %.2f times as long as by %s here',
                    *(name, precision, share, last),
                )
    if job.runtime.precision not in ('auto', *kinds[last].precisions):
        failed.append(
            f'auto found nothing that runs in {job.runtime.precision}; {last} runs in fp32'
        )
    gpus = find_gpus()
    if gpus and absent:
        failed.append(f'{", ".join(gpus)} is not used: {absent[0]}')
    return _loud(open_reference(), failed)


def _open_named(job: Job, name: str, kind: Kind, verify: Verify) -> Backend:
    """Open what was asked for, in the first of its precisions that this machine has."""
    first = _with_precision(job, name, kind)
    if job.runtime.precision != 'auto':
        return kind.open(first, verify)
    for precision in kind.precisions[:-1]:
        try:
            return kind.open(replace(job, precision=precision), verify)
        except NotInstalledError as error:
            _LOG.info('%s does not run in %s here: %s', name, precision, error)
    return kind.open(replace(job, precision=kind.precisions[-1]), verify)


def _trust(backend: Backend) -> None:
    """Verify nothing: this backend is the reference."""


def _with_precision(job: Job, name: str, kind: Kind) -> Job:
    """Return the job with the precision that this backend will have."""
    requested = job.runtime.precision
    if requested == 'auto':
        return replace(job, precision=kind.precisions[0])
    if requested not in kind.precisions:
        raise VosError(
            f'backend {name} does not run in {requested}, only in {", ".join(kind.precisions)}; '
            'set precision to auto or one of these'
        )
    return replace(job, precision=requested)


def _loud(backend: Backend, reasons: Sequence[str]) -> Backend:
    backend.fallbacks = tuple(reasons)
    for reason in reasons:
        _LOG.warning('runs on %s: %s', backend.name, reason)
    return backend
