# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One budget of memory: where it is from, how it is divided."""

from pathlib import Path

import pytest

from vos_ros.budget import Budget, MIB, usable_memory
from vos_ros.config import InitConfig, MemoryConfig


def test_a_budget_that_is_set_is_taken_as_it_is() -> None:
    budget = Budget.of(MemoryConfig(budget_mib=1000.0))
    assert (budget.total, budget.reason) == (1000 * MIB, 'memory.budget_mib')


def test_the_default_is_half_of_what_may_be_used() -> None:
    budget = Budget.of(MemoryConfig())
    assert budget.total == usable_memory() // 2
    assert f'{usable_memory() // MIB} MiB' in budget.reason


@pytest.mark.parametrize(
    ('file', 'text', 'expected'),
    [
        ('sys/fs/cgroup/memory.max', '67108864\n', 64 * MIB),
        ('sys/fs/cgroup/memory.max', 'max\n', None),
        ('sys/fs/cgroup/memory/memory.limit_in_bytes', '67108864\n', 64 * MIB),
        ('sys/fs/cgroup/memory/memory.limit_in_bytes', '9223372036854771712\n', None),
    ],
)
def test_the_limit_of_a_container_counts(
    tmp_path: Path, file: str, text: str, expected: int | None
) -> None:
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).write_text(text)
    machine = usable_memory(tmp_path / 'nowhere')
    assert usable_memory(tmp_path) == (expected or machine)


@pytest.mark.parametrize('total_mib', [64, 512, 2048, 65536])
def test_the_parts_are_never_more_than_the_whole(total_mib: int) -> None:
    budget = Budget(total_mib * MIB, '')
    frames = 2 * budget.bound(InitConfig(buffer_mib=4096)).buffer_mib * MIB
    spent = budget.network + 12 * budget.pixels + 2 * budget.prompts + frames
    assert spent <= budget.total
    assert budget.pixels <= 1 << 26


def test_what_a_user_allows_for_frames_is_only_ever_lowered() -> None:
    init = InitConfig(buffer_mib=64.0)
    assert Budget(8192 * MIB, '').bound(init) == init
    assert Budget(512 * MIB, '').bound(init).buffer_mib == 32.0
