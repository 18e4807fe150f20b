# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
from collections.abc import Sequence

import numpy as np
import pytest

from vos_ros.datatypes import Float
from vos_ros.engine.memory import Group, MemoryBank

_CK, _CV, _TOKENS = 3, 5, 8


def _bank(max_objects: int = 6, max_prompted_frames: int = 3) -> MemoryBank:
    return MemoryBank(
        max_objects=max_objects,
        max_prompted_frames=max_prompted_frames,
        key_dim=_CK,
        value_dim=_CV,
        tokens=_TOKENS,
    )


def _key(mark: float) -> Float:
    return np.full((_CK, _TOKENS), mark, np.float32)


def _values(marks: Sequence[float]) -> Float:
    return np.stack([np.full((_CV, _TOKENS), mark, np.float32) for mark in marks])


def _prompt(bank: MemoryBank, object_ids: Sequence[int], key: float) -> None:
    bank.write_prompted(object_ids, _key(key), _values([key * 100 + k for k in object_ids]))


def _group_of(bank: MemoryBank, object_id: int) -> tuple[Group, int]:
    group = next(g for g in bank.groups() if object_id in g.object_ids)
    return group, group.object_ids.index(object_id)


def _marks(bank: MemoryBank, object_id: int) -> tuple[list[float], list[float]]:
    group, row = _group_of(bank, object_id)
    return group.keys[:, 0, 0].tolist(), group.values[row, :, 0, 0].tolist()


def test_both_rows_hold_the_prompted_frame_after_a_prompt() -> None:
    bank = _bank()
    _prompt(bank, [4, 7], key=1)
    assert _marks(bank, 4) == ([1, 1], [104, 104])
    assert _marks(bank, 7) == ([1, 1], [107, 107])


def test_prompted_frame_survives_any_number_of_writes() -> None:
    bank = _bank()
    _prompt(bank, [1], key=1)
    for frame in range(2, 200):
        bank.write_recent([1], _key(frame), _values([frame * 100]))
    assert _marks(bank, 1) == ([1, 199], [101, 19900])


def test_refused_object_falls_back_to_its_prompted_frame_and_can_return() -> None:
    bank = _bank()
    _prompt(bank, [1, 2], key=1)
    bank.write_recent([1], _key(2), _values([201]))
    assert _marks(bank, 1) == ([1, 2], [101, 201])
    assert _marks(bank, 2) == ([1, 1], [102, 102])
    bank.write_recent([1, 2], _key(3), _values([301, 302]))
    assert _marks(bank, 2) == ([1, 3], [102, 302])
    assert len(bank.groups()) == 1


def test_objects_with_the_same_frames_are_one_group_and_a_view() -> None:
    bank = _bank()
    _prompt(bank, [3, 1, 2], key=1)
    (group,) = bank.groups()
    assert sorted(group.object_ids) == [1, 2, 3]
    for array in group[1:]:
        assert isinstance(array, np.ndarray)
        assert array.flags.c_contiguous
        assert array.base is not None
    assert np.shares_memory(group.values, bank.value(1))


def test_scattered_slots_are_gathered_each_into_its_own_rows() -> None:
    bank = _bank()
    _prompt(bank, [1, 2, 3, 4], key=1)
    bank.write_recent([1, 3], _key(2), _values([201, 203]))
    groups = bank.groups()
    assert [sorted(g.object_ids) for g in groups] == [[2, 4], [1, 3]]
    assert not np.shares_memory(groups[0].values, groups[1].values)
    for object_id, rows in ((1, [101, 201]), (2, [102, 102]), (3, [103, 203]), (4, [104, 104])):
        assert _marks(bank, object_id)[1] == rows


def test_adding_and_removing_leaves_the_bits_of_the_others() -> None:
    bank = _bank()
    rng = np.random.default_rng(0)

    def noise(count: int) -> Float:
        return rng.standard_normal((count, _CV, _TOKENS)).astype(np.float32)

    bank.write_prompted([1, 2, 3], _key(1), noise(3))
    bank.write_recent([1, 2, 3], _key(2), noise(3))
    before = {k: bank.value(k).tobytes() for k in (1, 3)}
    bank.remove([2])
    bank.write_prompted([5, 6], _key(3), noise(2))
    bank.remove([5])
    bank.write_prompted([6, 7], _key(4), noise(2))
    assert {k: bank.value(k).tobytes() for k in (1, 3)} == before
    assert bank.object_ids == (1, 3, 6, 7)
    assert _group_of(bank, 1)[0].keys[:, 0, 0].tolist() == [1, 2]


def test_slots_are_used_again_and_never_run_out() -> None:
    bank = _bank(max_objects=2)
    for round_number in range(50):
        _prompt(bank, [round_number], key=round_number)
        _prompt(bank, [round_number + 100], key=round_number)
        assert bank.free_slots == 0
        assert bank.remove([round_number, round_number + 100, 9999]) == (
            round_number,
            round_number + 100,
        )
    assert bank.free_slots == 2


def test_prompting_a_known_object_again_frees_its_old_frame() -> None:
    bank = _bank(max_prompted_frames=2)
    _prompt(bank, [1], key=1)
    _prompt(bank, [2], key=2)
    assert bank.ids_to_write([2], [1]) == (2,)
    for key in range(3, 9):
        _prompt(bank, [2], key=key)
    assert bank.prompted_frames == 2
    assert _marks(bank, 2) == ([8, 8], [802, 802])
    assert _marks(bank, 1) == ([1, 1], [101, 101])


def test_beyond_the_cap_visible_objects_move_and_lost_ones_stay() -> None:
    bank = _bank(max_prompted_frames=2)
    _prompt(bank, [1], key=1)
    _prompt(bank, [2], key=2)
    assert bank.ids_to_write([3], visible=[2]) == (2, 3)


def test_beyond_the_cap_lost_objects_of_one_frame_move_when_nothing_else_helps() -> None:
    bank = _bank(max_prompted_frames=2)
    _prompt(bank, [1, 4], key=1)
    _prompt(bank, [2], key=2)
    written = bank.ids_to_write([3], visible=[])
    assert written == (2, 3)
    _prompt(bank, written, key=3)
    assert bank.prompted_frames == 2
    assert len(bank.groups()) == 2


@pytest.mark.parametrize('cap', [1, 2, 4])
def test_number_of_prompted_frames_never_exceeds_the_cap(cap: int) -> None:
    bank = _bank(max_objects=20, max_prompted_frames=cap)
    for object_id in range(20):
        written = bank.ids_to_write([object_id], visible=bank.object_ids[::2])
        _prompt(bank, written, key=object_id)
        assert bank.prompted_frames <= cap
        assert len(bank.groups()) <= cap


def test_clear_forgets_all_and_keeps_the_buffers() -> None:
    bank = _bank()
    _prompt(bank, [1, 2], key=1)
    before = bank.nbytes
    bank.clear()
    assert (bank.object_ids, bank.groups(), bank.nbytes) == ((), [], before)


def test_objects_of_another_bank_are_taken_over_with_their_frames() -> None:
    bank, other = _bank(), _bank()
    _prompt(bank, [1, 2], key=1)
    bank.write_recent([1, 2], _key(5), _values([501, 502]))
    before = {k: bank.value(k).tobytes() for k in (1, 2)}
    _prompt(other, [4, 7], key=2)
    other.write_recent([7], _key(6), _values([607]))
    bank.adopt(other)
    assert bank.object_ids == (1, 2, 4, 7)
    assert _marks(bank, 4) == ([2, 2], [204, 204])
    assert _marks(bank, 7) == ([2, 6], [207, 607])
    assert _marks(bank, 1) == ([1, 5], [101, 501])
    assert {k: bank.value(k).tobytes() for k in (1, 2)} == before
    other.clear()
    assert _marks(bank, 7) == ([2, 6], [207, 607])


def test_object_known_by_its_id_is_replaced_by_the_one_taken_over() -> None:
    bank, other = _bank(max_prompted_frames=2), _bank()
    _prompt(bank, [1, 2], key=1)
    _prompt(other, [2], key=3)
    bank.adopt(other)
    bank.adopt(_bank())
    assert bank.object_ids == (1, 2)
    assert _marks(bank, 1) == ([1, 1], [101, 101])
    assert _marks(bank, 2) == ([3, 3], [302, 302])
