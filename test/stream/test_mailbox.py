# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
from vos_ros.stream.mailbox import FrameRing, Mailbox


def test_latest_frame_wins_and_the_replaced_one_is_counted() -> None:
    box: Mailbox[str] = Mailbox()
    assert [box.put('a'), box.put('b'), box.put('c')] == [None, 'a', 'b']
    assert (len(box), box.dropped) == (1, 2)
    assert box.peek() == 'c'
    assert box.take() == 'c'
    assert box.take() is None
    assert box.peek() is None


def test_taken_frame_does_not_count_as_dropped() -> None:
    box: Mailbox[int] = Mailbox()
    for item in range(5):
        box.put(item)
        box.take()
    assert box.dropped == 0


def _ring(capacity: int, max_nbytes: int) -> FrameRing[bytes]:
    return FrameRing(capacity, max_nbytes, len)


def test_ring_forgets_the_oldest_beyond_its_number() -> None:
    ring = _ring(3, 10**6)
    for stamp in range(1, 6):
        ring.put(stamp, b'x' * stamp)
    assert len(ring) == 3
    assert ring.find(2) is None
    assert ring.find(3) == b'xxx'
    assert ring.newest() == (5, b'xxxxx')
    assert ring.nbytes == 3 + 4 + 5


def test_ring_forgets_the_oldest_beyond_its_bytes_but_never_the_newest() -> None:
    ring = _ring(8, 10)
    ring.put(1, b'x' * 6)
    ring.put(2, b'x' * 4)
    assert len(ring) == 2
    ring.put(3, b'x' * 50)
    assert len(ring) == 1
    assert ring.newest() == (3, b'x' * 50)
    ring.clear()
    assert (len(ring), ring.nbytes, ring.newest()) == (0, 0, None)


def test_of_two_frames_with_one_stamp_the_newer_is_found() -> None:
    ring = _ring(8, 100)
    ring.put(1, b'old')
    ring.put(1, b'new')
    assert ring.find(1) == b'new'


def test_frames_after_one_are_given_oldest_first() -> None:
    ring: FrameRing[bytes] = FrameRing(3, 100, len)
    first, *rest = frames = [bytes([mark]) for mark in range(5)]
    for stamp, frame in enumerate(frames[:3]):
        ring.put(stamp, frame)
    assert ring.after(first) == rest[:2]
    assert ring.after(frames[2]) == []
    for stamp, frame in enumerate(frames[3:], 3):
        ring.put(stamp, frame)
    assert ring.after(first) == frames[2:]  # it is gone, so all that is kept is newer
