# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""MemoryBank: what is remembered of each object; policy and storage, no arithmetic."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from vos_ros.datatypes import Float


class Group(NamedTuple):
    """
    Objects that read the same two frames, hence share one affinity.

    :param object_ids: ids in the order of the rows of `values`.
    :param keys: (2, key_dim, tokens), row 0 = prompted frame, row 1 = recent frame.
    :param values: (objects, 2, value_dim, tokens), the same two rows.
    """

    object_ids: tuple[int, ...]
    keys: Float
    values: Float


class Place(NamedTuple):
    """
    Where an object lives in the memory.

    :param slot: its row of the values.
    :param prompted: the row of the keys of its prompted frame.
    :param is_recent: it reads the recent frame, too; else the prompted one twice.
    """

    slot: int
    prompted: int
    is_recent: bool


@dataclass
class _Entry:
    """Where one object lives."""

    slot: int  # row in the values
    prompted: int  # row in the keys: the frame it was prompted on
    is_recent: bool = False  # the recent frame counts for it; else the prompted one twice


class MemoryBank:
    """
    Two frames per object: the one it was prompted on, which is never evicted, and the recent one.

    Every buffer is allocated here, once, for all objects and prompted frames that can ever be,
    so a read costs the same on frame 10 and on frame 100 000. Writing or removing one object
    does not touch the rows of another.

    :param max_objects: slots for objects.
    :param max_prompted_frames: distinct prompted frames; each one costs an affinity per frame.
    :param key_dim: channels of a key.
    :param value_dim: channels of a value.
    :param tokens: positions of the stride-16 grid, H/16 * W/16.
    """

    def __init__(
        self,
        *,
        max_objects: int,
        max_prompted_frames: int,
        key_dim: int,
        value_dim: int,
        tokens: int,
    ) -> None:
        # Rows [prompted, prompted, recent]: rows 0:2 are read by an object without a recent
        # frame and 1:3 by one with it, both as a contiguous view.
        self._keys = np.zeros((max_prompted_frames, 3, key_dim, tokens), np.float32)
        self._values = np.zeros((max_objects, 2, value_dim, tokens), np.float32)
        # For groups whose slots do not lie side by side.
        self._gathered = np.zeros_like(self._values)
        self._entries: dict[int, _Entry] = {}
        self._object_ids: tuple[int, ...] = ()

    @property
    def nbytes(self) -> int:
        """Bytes resident; constant for the life of the bank."""
        return self._keys.nbytes + self._values.nbytes + self._gathered.nbytes

    @property
    def object_ids(self) -> tuple[int, ...]:
        """Ids of all objects, ascending; may be asked from another thread, for reports."""
        return self._object_ids

    @property
    def free_slots(self) -> int:
        """Number of objects that still fit."""
        return len(self._values) - len(self._entries)

    @property
    def prompted_frames(self) -> int:
        """Number of distinct prompted frames in use."""
        return len({entry.prompted for entry in self._entries.values()})

    def value(self, object_id: int) -> Float:
        """Return the rows [prompted, recent] of one object: a view (2, value_dim, tokens)."""
        rows: Float = self._values[self._entries[object_id].slot]
        return rows

    def ids_to_write(self, prompted: Sequence[int], visible: Sequence[int]) -> tuple[int, ...]:
        """
        Decide whose prompted frame the newest one becomes.

        Only `prompted`, while a row is free for it. Beyond the cap all objects that are
        `visible` move to the newest frame too; and where objects out of sight hold all other
        rows, those of the row with the fewest as well, for the cost of a frame must stay bounded.

        :param prompted: ids with a mask on the newest frame.
        :param visible: known ids found on the newest frame.
        """
        for plan in (set(prompted), {*prompted, *visible}):
            held: dict[int, list[int]] = {}
            for object_id, entry in self._entries.items():
                if object_id not in plan:
                    held.setdefault(entry.prompted, []).append(object_id)
            if len(held) < len(self._keys):
                return tuple(sorted(plan))
        return tuple(sorted({*plan, *min(held.values(), key=len)}))

    def write_prompted(self, object_ids: Sequence[int], key: Float, values: Float) -> None:
        """
        Make one frame the prompted (and, until the next write, also the recent) frame of objects.

        :param object_ids: as `ids_to_write` said; new ones must fit into the free slots.
        :param key: (key_dim, tokens).
        :param values: (len(object_ids), value_dim, tokens).
        """
        known = {k: self._entries.pop(k).slot for k in object_ids if k in self._entries}
        rows = {entry.prompted for entry in self._entries.values()}
        row = next(r for r in range(len(self._keys)) if r not in rows)
        taken = {entry.slot for entry in self._entries.values()} | set(known.values())
        free = (slot for slot in range(len(self._values)) if slot not in taken)
        self._keys[row, :2] = key
        for object_id, value in zip(object_ids, values):
            slot = known[object_id] if object_id in known else next(free)
            self._values[slot] = value
            self._entries[object_id] = _Entry(slot, row)
        self._object_ids = tuple(sorted(self._entries))

    def write_recent(self, object_ids: Sequence[int], key: Float, values: Float) -> None:
        """
        Replace the recent frame; objects not named fall back to their prompted frame.

        :param object_ids: objects whose mask on this frame is trusted.
        :param key: (key_dim, tokens).
        :param values: (len(object_ids), value_dim, tokens).
        """
        trusted = dict(zip(object_ids, values))
        for object_id, entry in self._entries.items():
            entry.is_recent = object_id in trusted
            rows = self._values[entry.slot]
            rows[1] = trusted[object_id] if entry.is_recent else rows[0]
        for row in {entry.prompted for entry in self._entries.values()}:
            self._keys[row, 2] = key

    def mark_recent(self, object_ids: Sequence[int]) -> None:
        """
        Note for whom a recent frame counts that is kept elsewhere; the rest is as `write_recent`.

        :param object_ids: objects whose mask on that frame is trusted.
        """
        for object_id, entry in self._entries.items():
            entry.is_recent = object_id in object_ids

    def take_recent(self, key: Float, values: Float) -> None:
        """
        Write the recent frame that was kept elsewhere, for those whom `mark_recent` named.

        :param key: (key_dim, tokens).
        :param values: (slots, value_dim, tokens), by slot.
        """
        trusted = [k for k, entry in self._entries.items() if entry.is_recent]
        self.write_recent(trusted, key, values[[self._entries[k].slot for k in trusted]])

    def placed(self) -> dict[int, Place]:
        """Return where each object lives, and which frames it reads."""
        return {
            k: Place(entry.slot, entry.prompted, entry.is_recent)
            for k, entry in sorted(self._entries.items())
        }

    def prompted_state(self) -> tuple[Float, Float]:
        """Return keys (rows, key_dim, tokens) and values (slots, ...) of the prompted frames."""
        return self._keys[:, 0], self._values[:, 0]

    def recent_state(self) -> tuple[Float, Float] | None:
        """
        Return key (key_dim, tokens) and values (slots, ...) of the recent frame.

        :return: None where objects read several recent frames, as after `adopt`.
        """
        rows = sorted({e.prompted for e in self._entries.values() if e.is_recent}) or [0]
        key = self._keys[rows[0], 2]
        if any(not np.array_equal(key, self._keys[row, 2]) for row in rows[1:]):
            return None
        return key, self._values[:, 1]

    def adopt(self, other: MemoryBank) -> None:
        """
        Take over all objects of another bank of the same shape, with the frames that they read.

        The rows of the objects that are here already, unless they are among them, stay as they
        are, bit by bit.

        :param other: all its objects read the same prompted frame; they must fit, as
            `ids_to_write` says.
        """
        if not other.object_ids:
            return
        (source,) = {entry.prompted for entry in other._entries.values()}
        values = np.stack([other.value(k)[0] for k in other.object_ids])
        self.write_prompted(other.object_ids, other._keys[source, 0], values)
        row = self._entries[other.object_ids[0]].prompted
        self._keys[row] = other._keys[source]
        for object_id, entry in other._entries.items():
            self._values[self._entries[object_id].slot] = other.value(object_id)
            self._entries[object_id].is_recent = entry.is_recent

    def remove(self, object_ids: Iterable[int]) -> tuple[int, ...]:
        """Forget these objects; return those that were known. The others keep slots and rows."""
        removed = tuple(k for k in object_ids if self._entries.pop(k, None) is not None)
        self._object_ids = tuple(sorted(self._entries))
        return removed

    def clear(self) -> None:
        """Forget all objects, keep the buffers."""
        self._entries.clear()
        self._object_ids = ()

    def groups(self) -> list[Group]:
        """
        Return all objects, by the pair of frames that they read.

        The arrays are views, valid until the next call or write.
        """
        members: dict[tuple[int, bool], list[tuple[int, int]]] = {}
        for object_id, entry in self._entries.items():
            pair = (entry.prompted, entry.is_recent)
            members.setdefault(pair, []).append((entry.slot, object_id))
        groups, used = [], 0
        for (prompted, is_recent), found in sorted(members.items()):
            slots, object_ids = zip(*sorted(found))
            if slots[-1] - slots[0] + 1 == len(slots):
                values = self._values[slots[0] : slots[-1] + 1]
            else:
                values = self._gathered[used : used + len(slots)]
                np.take(self._values, slots, axis=0, out=values, mode='clip')
                used += len(slots)
            first = 1 if is_recent else 0
            groups.append(Group(object_ids, self._keys[prompted, first : first + 2], values))
        return groups
