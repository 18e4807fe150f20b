# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
What the network will take at a size, before it is opened there.

Upper estimates, from what processes were seen to take with the shipped models on the processor,
from 256 to 1440 px (`python benchmarks footprint`).
"""

from __future__ import annotations

import math

from vos_ros.backends.base import Manifest, Size
from vos_ros.budget import Budget, MIB
from vos_ros.config import SegmenterConfig
from vos_ros.engine.preprocess import network_size
from vos_ros.errors import VosError

#: Libraries and graphs, whatever the size.
RUNTIME = 64 * MIB
_SESSIONS = 16 * MIB
#: Bytes for each token (16x16 pixels): the feature maps of one image.
_A_TOKEN = 104_000
#: Bytes for each pair of tokens: reading the memory compares each with each of two frames, in some
#: five matrices of four bytes.
_A_PAIR = 42
#: Bytes for each token, object and channel of a value: the decoder's maps.
_AN_OBJECT = 210
_FLOAT = 4
_LEAST_SIDE = 32


def bank_nbytes(manifest: Manifest, config: SegmenterConfig, size: Size) -> int:
    """
    Return the bytes of a MemoryBank.

    :param manifest: of the model.
    :param config: with `max_objects` and `memory.max_prompted_frames`.
    :param size: network input (H, W).
    """
    keys = 3 * config.memory.max_prompted_frames * manifest.key_dim
    values = 2 * 2 * config.max_objects * manifest.value_dim
    return _FLOAT * _tokens(manifest, size) * (keys + values)


def views_nbytes(manifest: Manifest, config: SegmenterConfig, size: Size) -> int:
    """
    Return the most bytes that the views of all objects take, see `redetect.py`.

    :param manifest: of the model.
    :param config: with `max_objects` and `redetect`.
    :param size: network input (H, W).
    """
    views = config.redetect.views * config.max_objects if config.redetect.enabled else 0
    return views * _tokens(manifest, size) * (_FLOAT * (manifest.key_dim + manifest.value_dim) + 1)


def footprint(manifest: Manifest, config: SegmenterConfig, size: Size) -> int:
    """
    Return the bytes that one more size of the network takes once it runs.

    :param manifest: of the model.
    :param config: sizes and caps.
    :param size: network input (H, W).
    """
    tokens = _tokens(manifest, size)
    at_once = min(config.max_objects, manifest.objects_per_call or config.max_objects)
    network = _SESSIONS + tokens * (
        _A_TOKEN + _A_PAIR * tokens + _AN_OBJECT * at_once * manifest.value_dim
    )
    # Twice, for a late mask is caught up in a memory of its own; and the prompted frames.
    masks = _FLOAT * (config.max_objects + 1) * size[0] * size[1] // manifest.mask_stride**2
    frames = config.memory.max_prompted_frames * (3 * size[0] * size[1] + masks)
    kept = bank_nbytes(manifest, config, size) + views_nbytes(manifest, config, size)
    return network + 2 * kept + frames


def check_fits(
    manifest: Manifest, config: SegmenterConfig, budget: Budget, size: Size, beside: int
) -> None:
    """
    Refuse a size of the network that would take more than there is for it.

    :param manifest: of the model.
    :param config: sizes and caps.
    :param budget: what may be spent.
    :param size: network input (H, W).
    :param beside: bytes of other sizes that are needed at the same time.
    :raises VosError: with the figures, and what to do.
    """
    needed, room = footprint(manifest, config, size), budget.network - RUNTIME - beside
    if needed <= room:
        return
    side = min(size)
    while side > _LEAST_SIDE and footprint(manifest, config, _scaled(size, side, manifest)) > room:
        side -= manifest.multiple
    fits = footprint(manifest, config, _scaled(size, side, manifest)) <= room
    other = f'take input_size (--size) {side}, ' if fits and side >= _LEAST_SIDE else 'take '
    enough = budget.total_for(RUNTIME + beside + needed)
    raise VosError(
        f'a network input of {size[1]}x{size[0]} with max_objects = {config.max_objects} needs '
        f'about {needed // MIB} MiB of memory, and {max(0, room) // MIB} MiB are left for it '
        f'({budget.total // MIB} MiB by {budget.reason}'
        + (f', {beside // MIB} MiB for the size in use' if beside else '')
        + f'): {other}fewer objects, or raise memory.budget_mib (--budget-mib) to '
        f'{math.ceil(enough / MIB)}'
    )


def _scaled(size: Size, side: int, manifest: Manifest) -> Size:
    return network_size(size, side, manifest.multiple)


def _tokens(manifest: Manifest, size: Size) -> int:
    return (size[0] // manifest.stride) * (size[1] // manifest.stride)
