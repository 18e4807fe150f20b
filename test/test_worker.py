# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
import threading
import time
from typing import NamedTuple

from colour_backend import MakeSegmenter
import numpy as np
import pytest

from vos_ros.config import InitConfig
from vos_ros.datatypes import Frame, Prompt, Segmentation
from vos_ros.errors import VosError
from vos_ros.segmenter import VideoSegmenter
from vos_ros.worker import QUEUE_CAPACITY, Worker

_PATIENCE_S = 20.0  # fails instead of hanging; nothing here is a measurement


class _Message(NamedTuple):
    """What a camera sends: converted in the worker's thread only."""

    stamp_ns: int
    is_broken: bool = False


@dataclass
class _Rig:
    """A worker whose conversions can be held, so that a test knows what happens when."""

    make: MakeSegmenter
    init: InitConfig = field(default_factory=InitConfig)
    results: list[Segmentation] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)
    converted: list[int] = field(default_factory=list)
    threads: set[int] = field(default_factory=set)
    gate: threading.Event = field(default_factory=threading.Event)
    entered: threading.Event = field(default_factory=threading.Event)
    on_result: Callable[[Segmentation, Frame], None] | None = None

    def __post_init__(self) -> None:
        self.gate.set()
        self.segmenter: VideoSegmenter = self.make()
        self.worker: Worker[_Message] = Worker(
            self.segmenter,
            to_frame=self._to_frame,
            stamp_of=lambda message: message.stamp_ns,
            on_result=self._take,
            on_error=self.errors.append,
            init=self.init,
        )

    def _to_frame(self, message: _Message) -> Frame:
        self.entered.set()
        self.gate.wait(_PATIENCE_S)
        self.threads.add(threading.get_ident())
        self.converted.append(message.stamp_ns)
        if message.is_broken:
            raise VosError('the image is broken; check the camera')
        return Frame(np.full((64, 96, 3), 200, np.uint8), 'rgb8', message.stamp_ns, 'camera')

    def _take(self, result: Segmentation, frame: Frame) -> None:
        assert frame.stamp_ns == result.stamp_ns
        self.results.append(result)
        if self.on_result is not None:
            self.on_result(result, frame)

    def send(self, *stamps: int) -> None:
        for stamp_ns in stamps:
            self.worker.submit_frame(_Message(stamp_ns))

    def hold(self, stamp_ns: int) -> None:
        """Send a frame and return when the worker is in the middle of it."""
        self.gate.clear()
        self.entered.clear()
        self.send(stamp_ns)
        assert self.entered.wait(_PATIENCE_S)

    def tracked(self) -> list[tuple[int, tuple[int, ...]]]:
        return [(r.stamp_ns, r.object_ids) for r in self.results]


def _until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + _PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s, 'waited in vain'
        time.sleep(0.002)


def _prompt(object_id: int, stamp_ns: int = 0, size: tuple[int, int] = (64, 96)) -> Prompt:
    label_map = np.zeros(size, np.uint8)
    label_map[8 * object_id : 8 * object_id + 8, 8:40] = object_id
    return Prompt(label_map, stamp_ns)


MakeRig = Callable[..., _Rig]


@pytest.fixture
def make_rig(make_segmenter: MakeSegmenter) -> Iterator[MakeRig]:
    rigs: list[_Rig] = []

    def make(start: bool = True, **init: object) -> _Rig:
        rig = _Rig(make_segmenter, InitConfig(**init))  # type: ignore[arg-type]
        rigs.append(rig)
        if start:
            rig.worker.start()
        return rig

    yield make
    for rig in rigs:
        rig.gate.set()
        assert rig.worker.stop(_PATIENCE_S)


def test_latest_frame_wins_while_the_worker_is_busy(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.hold(1)
    dropped = [rig.worker.submit_frame(_Message(stamp)) for stamp in (2, 3, 4)]
    rig.gate.set()
    _until(lambda: len(rig.results) == 2)
    assert dropped == [None, _Message(2), _Message(3)]
    assert rig.converted == [1, 4]
    stats = rig.worker.stats
    assert (stats.frames_in, stats.frames_dropped, stats.frames_done) == (4, 2, 2)
    assert rig.threads.isdisjoint({threading.get_ident()})


def test_prompt_is_applied_to_the_frame_that_it_names(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.hold(1)
    rig.send(2, 3, 4)  # 2 and 3 are dropped from the mailbox, but still buffered
    rig.worker.submit_prompt(_prompt(1, stamp_ns=2))
    rig.gate.set()
    _until(lambda: len(rig.results) == 3)
    assert rig.tracked() == [(1, ()), (2, (1,)), (4, (1,))]
    np.testing.assert_array_equal(rig.results[1].label_map, _prompt(1).label_map)


def test_prompt_for_the_frame_in_the_mailbox_processes_it_once(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.hold(1)
    rig.send(2)
    rig.worker.submit_prompt(_prompt(1, stamp_ns=2))
    rig.gate.set()
    _until(lambda: len(rig.results) == 2)
    rig.send(3)
    _until(lambda: len(rig.results) == 3)
    assert rig.converted == [1, 2, 3]
    assert rig.tracked() == [(1, ()), (2, (1,)), (3, (1,))]


def test_newest_frame_goes_on_after_a_late_prompt(make_rig: MakeRig) -> None:
    rig = make_rig()
    for stamp in (1, 2, 3):
        rig.send(stamp)
        _until(lambda count=stamp: len(rig.results) == count)  # type: ignore[misc]
    rig.worker.submit_prompt(_prompt(1, stamp_ns=2))
    _until(lambda: len(rig.results) == 5)
    assert rig.tracked()[3:] == [(2, (1,)), (3, (1,))]


def test_late_prompt_does_not_publish_a_tracked_frame_again(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.worker.submit_prompt(_prompt(1))
    for stamp in (1, 2, 3):
        rig.send(stamp)
        _until(lambda count=stamp: len(rig.results) == count)  # type: ignore[misc]
    rig.worker.submit_prompt(_prompt(2, stamp_ns=2))
    _until(lambda: rig.segmenter.object_ids == (1, 2))
    rig.send(4)
    _until(lambda: len(rig.results) == 4)
    assert rig.tracked() == [(1, (1,)), (2, (1,)), (3, (1,)), (4, (1, 2))]


def test_prompt_that_is_early_waits_for_its_frame(make_rig: MakeRig) -> None:
    rig = make_rig(wait_s=_PATIENCE_S)
    rig.worker.submit_prompt(_prompt(1, stamp_ns=3))
    for stamp in (1, 2, 3, 4):
        rig.send(stamp)
        _until(lambda count=stamp: len(rig.results) == count)  # type: ignore[misc]
    assert rig.tracked() == [(1, ()), (2, ()), (3, (1,)), (4, (1,))]


def test_early_prompt_keeps_its_frame_however_long_the_worker_is_busy(make_rig: MakeRig) -> None:
    rig = make_rig(wait_s=_PATIENCE_S, buffer_frames=2)
    rig.hold(1)
    rig.worker.submit_prompt(_prompt(1, stamp_ns=3))
    rig.send(*range(2, 20))
    rig.gate.set()
    _until(lambda: len(rig.results) == 3)
    assert rig.tracked() == [(1, ()), (3, (1,)), (19, (1,))]


def test_prompt_whose_frame_never_comes_is_rejected_with_the_reason(make_rig: MakeRig) -> None:
    rig = make_rig(wait_s=0.01)
    rig.send(1)
    rig.worker.submit_prompt(_prompt(1, stamp_ns=99))
    _until(lambda: len(rig.errors) == 1)
    assert isinstance(rig.errors[0], VosError)
    assert 'within 0.01 s' in str(rig.errors[0])
    assert rig.worker.stats.prompts_rejected == 1


@pytest.mark.parametrize('is_early', [True, False], ids=['skipped by the camera', 'too old'])
def test_late_prompt_is_rejected_where_that_is_the_policy(
    make_rig: MakeRig, is_early: bool
) -> None:
    rig = make_rig(late_policy='reject', wait_s=_PATIENCE_S)
    rig.send(10)
    _until(lambda: len(rig.results) == 1)
    rig.worker.submit_prompt(_prompt(1, stamp_ns=15 if is_early else 5))
    rig.send(20)
    _until(lambda: len(rig.errors) == 1 and len(rig.results) == 2)
    assert 'init.late_policy' in str(rig.errors[0])
    assert rig.segmenter.object_ids == ()


@pytest.mark.parametrize('is_early', [True, False], ids=['skipped by the camera', 'too old'])
def test_late_prompt_is_applied_to_the_latest_frame(make_rig: MakeRig, is_early: bool) -> None:
    rig = make_rig(wait_s=_PATIENCE_S)
    rig.hold(10)
    rig.worker.submit_prompt(_prompt(1, stamp_ns=15 if is_early else 5))
    rig.send(20)
    rig.gate.set()
    _until(lambda: (20, (1,)) in rig.tracked())
    assert rig.errors == []


def test_prompt_without_a_stamp_waits_for_the_next_frame(make_rig: MakeRig) -> None:
    rig = make_rig(start=False)
    rig.worker.submit_prompt(_prompt(1))
    rig.worker.start()
    rig.send(7)
    _until(lambda: len(rig.results) == 1)
    assert rig.tracked() == [(7, (1,))]


def test_prompts_for_one_frame_share_it(make_rig: MakeRig) -> None:
    rig = make_rig(start=False)
    rig.send(1)
    rig.worker.submit_prompt(_prompt(1, stamp_ns=1))
    rig.worker.submit_prompt(_prompt(2, stamp_ns=1, size=(64, 64)))  # another aspect
    rig.worker.submit_prompt(_prompt(3, stamp_ns=1, size=(128, 192)))
    rig.worker.start()
    _until(lambda: len(rig.results) == 1)
    assert rig.results[0].object_ids == (1, 3)
    assert rig.segmenter.memory.prompted_frames == 1
    assert [('64x64' in str(error)) for error in rig.errors] == [True]


@pytest.mark.parametrize(('mode', 'ids'), [('merge', (1, 2)), ('replace', (2,))])
def test_second_prompt_merges_or_replaces(
    make_rig: MakeRig, mode: str, ids: tuple[int, ...]
) -> None:
    rig = make_rig(mode=mode)
    for stamp in (1, 2):
        rig.worker.submit_prompt(_prompt(stamp))
        rig.send(stamp)
        _until(lambda count=stamp: len(rig.results) == count)  # type: ignore[misc]
    assert rig.tracked() == [(1, (1,)), (2, ids)]


def test_bad_prompt_is_refused_and_its_frame_still_segmented(make_rig: MakeRig) -> None:
    rig = make_rig(start=False)
    rig.worker.submit_prompt(Prompt(np.zeros((64, 96), np.uint8)))
    rig.send(1)
    rig.worker.start()
    _until(lambda: len(rig.results) == 1)
    assert 'empty mask' in str(rig.errors[0])
    stats = rig.worker.stats
    assert (stats.prompts_in, stats.prompts_rejected, stats.errors) == (1, 1, 0)


def test_remove_and_reset_wait_for_nobody_and_keep_their_order(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.worker.submit_prompt(_prompt(1))
    rig.hold(1)
    rig.worker.submit_prompt(_prompt(2, stamp_ns=1))
    rig.worker.submit_remove([1])
    assert rig.results == []  # both calls came back in the middle of a frame
    rig.gate.set()
    _until(lambda: rig.segmenter.object_ids == (2,))
    rig.worker.submit_reset()
    _until(lambda: rig.segmenter.object_ids == ())
    rig.send(2)
    _until(lambda: rig.tracked()[-1] == (2, ()))


def test_reset_cancels_prompts_that_wait_and_says_so(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.worker.submit_prompt(_prompt(1))
    rig.worker.submit_reset()
    _until(lambda: len(rig.errors) == 1)
    assert 'cancelled by a reset' in str(rig.errors[0])
    rig.send(1)
    _until(lambda: len(rig.results) == 1)
    assert rig.tracked() == [(1, ())]


def test_queue_is_bounded_and_never_drops_silently(make_rig: MakeRig) -> None:
    rig = make_rig(start=False)
    for _ in range(QUEUE_CAPACITY):
        rig.worker.submit_prompt(_prompt(1))
    with pytest.raises(VosError, match='wait already'):
        rig.worker.submit_prompt(_prompt(1))
    stats = rig.worker.stats
    assert (stats.prompts_in, stats.prompts_rejected) == (QUEUE_CAPACITY + 1, 1)


def test_broken_frame_does_not_end_the_thread(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.worker.submit_frame(_Message(1, is_broken=True))
    _until(lambda: len(rig.errors) == 1)
    assert 'check the camera' in str(rig.errors[0])
    rig.send(2)
    _until(lambda: len(rig.results) == 1)
    assert rig.worker.stats.errors == 1


def test_defect_in_inference_does_not_end_the_thread(
    make_rig: MakeRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = make_rig()
    monkeypatch.setattr(rig.segmenter, 'segment', lambda frame: 1 / 0)
    rig.send(1)
    _until(lambda: len(rig.errors) == 1)
    assert isinstance(rig.errors[0], ZeroDivisionError)
    monkeypatch.undo()
    rig.send(2)
    _until(lambda: len(rig.results) == 1)


def test_callbacks_that_fail_do_not_end_the_thread(make_rig: MakeRig) -> None:
    rig = make_rig()

    def fail(*_: object) -> None:
        raise RuntimeError('publisher is gone')

    rig.on_result = fail
    rig.worker._on_error = fail
    rig.worker.submit_prompt(_prompt(1))
    for stamp in (1, 2):
        rig.send(stamp)
        _until(lambda count=stamp: len(rig.results) == count)  # type: ignore[misc]
    assert rig.worker.stats.errors == 2


def test_frame_is_memorised_after_it_was_given_away(make_rig: MakeRig) -> None:
    rig = make_rig()
    seen: list[bool] = []
    rig.on_result = lambda result, frame: seen.append(rig.segmenter._newest is not None)
    rig.worker.submit_prompt(_prompt(1))
    rig.send(1)
    rig.worker.submit_remove([])
    _until(lambda: len(seen) == 1 and rig.segmenter._newest is None)
    assert seen == [True]


def test_stop_waits_for_the_frame_in_progress_and_publishes_no_more(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.hold(1)
    rig.send(2)
    assert rig.worker.stop(timeout_s=0.01) is False
    rig.gate.set()
    assert rig.worker.stop(_PATIENCE_S) is True
    assert rig.worker.stop(_PATIENCE_S) is True
    assert rig.results == []
    assert rig.converted == [1]
    assert rig.worker.submit_frame(_Message(3)) is None
    with pytest.raises(VosError, match='stopped'):
        rig.worker.submit_prompt(_prompt(1))


def test_stopped_worker_starts_again_and_a_running_one_does_not(make_rig: MakeRig) -> None:
    rig = make_rig()
    with pytest.raises(VosError, match='runs already'):
        rig.worker.start()
    assert rig.worker.stop(_PATIENCE_S)
    rig.worker.start()
    rig.send(5)
    _until(lambda: len(rig.results) == 1)


def test_worker_that_never_started_stops(make_rig: MakeRig) -> None:
    assert make_rig(start=False).worker.stop() is True


def test_idle_worker_sleeps(make_rig: MakeRig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig = make_rig(start=False)
    asked: list[int] = []
    next_job = rig.worker._next_job

    def ask() -> Callable[[], object] | None:
        asked.append(1)
        return next_job()

    monkeypatch.setattr(rig.worker, '_next_job', ask)
    rig.worker.start()
    rig.send(1)
    _until(lambda: len(rig.results) == 1)
    time.sleep(0.2)
    assert len(asked) <= 4  # start, the frame, and empty after it
