# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
One budget of memory, and what each part of the program may spend of it.

Whoever needs memory in proportion to what a user or a peer asks for looks here before it is
taken: a machine that runs out of it kills the process, or a neighbour, without a word.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
import os
from pathlib import Path

from vos_ros.config import InitConfig, MemoryConfig

MIB = 1 << 20
#: What the process may use is no more than this share of the machine by itself: camera drivers,
#: a detector and the system live there, too.
_SHARE = 0.5
#: Decoding holds a picture up to three times, in colour and, of 16 bits, once more at full depth.
_BYTES_A_PIXEL = 12
#: However large the budget is. Twice an 8K camera's image; decoded it takes 200 MB.
_MOST_PIXELS = 1 << 26
#: 16 masks of 3840x2160 with one byte a pixel are 127 MiB.
_MOST_PROMPTS = 128 * MIB
#: No container has a limit of so much; it stands for none.
_UNLIMITED = 1 << 50


@dataclass(frozen=True)
class Budget:
    """
    Bytes, divided: the network five eighths, and decoding, masks and frames one eighth each.

    :param total: bytes.
    :param reason: where the total is from, in words.
    """

    total: int
    reason: str

    @classmethod
    def of(cls, config: MemoryConfig) -> Budget:
        """
        Take the budget that is set, else half of what this process may use.

        :param config: with `budget_mib`.
        """
        if config.budget_mib > 0:
            return cls(int(config.budget_mib * MIB), 'memory.budget_mib')
        usable = usable_memory()
        return cls(int(_SHARE * usable), f'half of the {usable // MIB} MiB that may be used here')

    @property
    def network(self) -> int:
        """Bytes for the network at all its sizes, and for what is remembered of objects."""
        return 5 * self.total // 8

    @staticmethod
    def total_for(network: int) -> int:
        """
        Return the least total that leaves so much for the network.

        :param network: bytes.
        """
        return -(-8 * network // 5)

    @property
    def pixels(self) -> int:
        """Pixels of the largest image or mask that is decoded."""
        return min(_MOST_PIXELS, self.total // 8 // _BYTES_A_PIXEL)

    @property
    def prompts(self) -> int:
        """Bytes of masks that wait for their image; as many may be held by an inactive node."""
        return min(_MOST_PROMPTS, self.total // 16)

    def bound(self, init: InitConfig) -> InitConfig:
        """
        Lower what frames may take that are kept for late masks, where it is too much.

        Those of another time, kept aside, may take as much again.

        :param init: as it was set.
        """
        return replace(init, buffer_mib=max(1.0, min(init.buffer_mib, self.total / 16 / MIB)))


def usable_memory(root: Path = Path('/')) -> int:
    """
    Return the bytes that this process may use: of the machine, or of its container.

    :param root: of the file system, where Linux tells the limits of a container.
    """
    limits = [os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')]
    for file in ('sys/fs/cgroup/memory.max', 'sys/fs/cgroup/memory/memory.limit_in_bytes'):
        try:
            text = (root / file).read_text().strip()
        except OSError:
            continue
        if text.isdecimal() and int(text) < _UNLIMITED:
            limits.append(int(text))
    return min(limits)
