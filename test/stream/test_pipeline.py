# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What is done with frames and prompts, job by job, in the test's own thread."""

from collections.abc import Callable, Sequence
from dataclasses import replace
import functools
import threading

from colour_backend import MakeSegmenter
import numpy as np
import pytest
from worker_rig import Message, places, prompt

from vos_ros.config import InitConfig
from vos_ros.datatypes import Frame, Prompt, Segmentation
from vos_ros.errors import VosError
from vos_ros.stream.backlog import Backlog
from vos_ros.stream.overload import OverloadLimits
from vos_ros.stream.pipeline import Failed, Pipeline


class Line:
    """A backlog and a pipeline that a test works off, and what came out."""

    def __init__(self, make_segmenter: MakeSegmenter, **init: float) -> None:
        config = InitConfig(**init)  # type: ignore[arg-type]
        self.converted: list[int] = []
        self.results: list[Segmentation] = []
        self.errors: list[tuple[Failed, str]] = []
        self.on_result: Callable[[Segmentation], None] = self.results.append
        self.segmenter = make_segmenter()
        self.backlog: Backlog[Message] = Backlog(
            lambda message: message.stamp_ns, config, lambda message: 0, 'reset'
        )
        self.pipeline = Pipeline(
            self.segmenter,
            self.backlog,
            to_frame=self._to_frame,
            on_result=lambda result, frame: self.on_result(result),
            on_error=lambda error, what: self.errors.append((what, str(error))),
            init=config,
            limits=OverloadLimits(),
            age_ms_of=lambda message: 0.0,
            on_time_jump=lambda jump: None,
        )

    def _to_frame(self, message: Message) -> Frame:
        self.converted.append(message.stamp_ns)
        if message.is_broken:
            raise VosError('the image is broken; check the camera')
        return Frame(np.full((64, 96, 3), 200, np.uint8), 'rgb8', message.stamp_ns)

    def started(self, monkeypatch: pytest.MonkeyPatch) -> list[set[int]]:
        """Return the ids of each prompt that is begun with from now on."""
        begun: list[set[int]] = []
        combine = self.pipeline._combine

        def note(fitting: Sequence[Prompt]) -> Prompt:
            combined = combine(fitting)
            begun.append(set(np.unique(combined.label_map).tolist()) - {0})
            return combined

        monkeypatch.setattr(self.pipeline, '_combine', note)
        return begun

    def send(self, *stamps: int) -> None:
        for stamp_ns in stamps:
            self.backlog.put_frame(Message(stamp_ns))

    def ask(self, given: Prompt) -> None:
        self.backlog.add_prompt(
            given, np.unique(given.label_map[given.label_map > 0]).tolist(), ''
        )

    def step(self) -> bool:
        job = self.pipeline.next_job()
        if job is not None:
            self.pipeline.do(job)
        return job is not None

    def work_off(self) -> None:
        while self.step():
            pass
        assert self.backlog.stats.frames_in == places(self.backlog.stats)

    def tracked(self) -> list[tuple[int, tuple[int, ...]]]:
        return [(r.stamp_ns, r.object_ids) for r in self.results]


@pytest.fixture
def line(make_segmenter: MakeSegmenter) -> Line:
    return Line(make_segmenter, catch_up_ms=10_000.0)


def test_a_frame_and_its_mask_are_one_job(line: Line) -> None:
    before = threading.active_count()
    line.send(1)
    line.ask(prompt(1, stamp_ns=1))
    assert line.step()
    assert not line.step()
    assert line.tracked() == [(1, (1,))]
    assert line.segmenter._newest is None, 'it is memorised'
    assert line.backlog.stats.frames_done == 1
    assert threading.active_count() == before


@pytest.mark.parametrize(
    ('mode', 'given', 'made'),
    [
        ('merge', [(1, True), (2, False)], {1}),
        ('merge', [(1, False), (2, True)], {2}),
        ('merge', [(1, True), (1, False)], set()),  # its newest mask counts
        ('merge', [(1, False), (1, True)], {1}),
        ('replace', [(1, True), (2, False)], set()),
        ('replace', [(1, False), (1, True)], {1}),
    ],
)
def test_of_two_prompts_for_a_frame_it_stays_known_what_was_made_and_unsure(
    make_segmenter: MakeSegmenter,
    monkeypatch: pytest.MonkeyPatch,
    mode: str,
    given: list[tuple[int, bool]],
    made: set[int],
) -> None:
    line = Line(make_segmenter, mode=mode)  # type: ignore[arg-type]
    taken: list[Prompt] = []
    start = line.segmenter.start

    def note(frame: Frame, given: Prompt, beside: Sequence[int] = ()) -> Segmentation:
        taken.append(given)
        return start(frame, given, beside)

    monkeypatch.setattr(line.segmenter, 'start', note)
    line.send(1)
    for object_id, is_made in given:
        those = frozenset({object_id} if is_made else ())
        line.ask(replace(prompt(object_id, stamp_ns=1), made_ids=those, unsure_ids=those))
    line.work_off()
    assert [(set(one.made_ids), set(one.unsure_ids)) for one in taken] == [(made, made)]


def test_late_objects_and_live_frames_take_turns(line: Line) -> None:
    line.send(1)
    line.ask(prompt(1, stamp_ns=1))
    line.work_off()
    for stamp_ns in (2, 3, 4):
        line.send(stamp_ns)
        line.work_off()
    line.converted.clear()
    line.ask(prompt(2, stamp_ns=2))
    assert line.step()  # its own frame
    line.send(5)
    assert line.step()  # the first one replayed
    assert line.step()  # the live one
    line.work_off()
    assert line.converted == [2, 3, 5, 4, 5]
    assert line.tracked()[-1] == (5, (1,))
    line.send(6)
    line.work_off()
    assert line.tracked()[-1] == (6, (1, 2))
    assert line.backlog.stats.catch_up_frames == 4


def _sent_and_prompted(line: Line) -> None:
    """Six frames, object 1 on the first one, then once more on frame 5."""
    line.send(1)
    line.ask(prompt(1, stamp_ns=1))
    line.work_off()
    for stamp_ns in (2, 3, 4, 5, 6):
        line.send(stamp_ns)
        line.work_off()
    line.ask(prompt(1, stamp_ns=5))
    line.work_off()


@pytest.mark.parametrize(('stamp_ns', 'is_taken'), [(3, False), (5, True), (6, True), (0, True)])
def test_a_mask_of_an_older_frame_that_comes_later_takes_the_place_of_no_newer_one(
    line: Line, monkeypatch: pytest.MonkeyPatch, stamp_ns: int, is_taken: bool
) -> None:
    _sent_and_prompted(line)
    taken = line.started(monkeypatch)
    line.ask(prompt(1, stamp_ns=stamp_ns))
    line.send(7)
    line.work_off()
    assert taken == ([{1}] if is_taken else [])
    assert line.backlog.stats.prompts_rejected == int(not is_taken)
    assert all('keep the mask of a newer image' in str(error) for error in line.errors)
    assert line.tracked()[-1] == (7, (1,))


def test_a_mask_of_an_image_without_a_stamp_is_newer_than_all_before(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    _sent_and_prompted(line)
    taken = line.started(monkeypatch)
    for _ in range(2):
        line.ask(prompt(1, stamp_ns=0))
        line.send(0)
        line.work_off()
    assert taken == [{1}, {1}]
    assert not line.errors


def test_what_else_is_in_an_older_mask_is_taken_all_the_same(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    _sent_and_prompted(line)
    taken = line.started(monkeypatch)
    both = prompt(1).label_map + prompt(2).label_map
    line.ask(Prompt(both, 3))
    line.work_off()
    assert taken == [{2}]
    line.send(7)
    line.work_off()
    assert line.tracked()[-1] == (7, (1, 2))
    assert 'objects [1] keep the mask of a newer image' in line.results[-1].warnings[0]


@pytest.mark.parametrize('mode', ['merge', 'replace'])
@pytest.mark.parametrize('stamps', [(5, 4), (4, 5)], ids=['newer first', 'older first'])
@pytest.mark.parametrize('has_images', [True, False], ids=['late', 'before the first image'])
def test_of_two_masks_at_once_the_one_of_the_newer_image_counts(
    make_segmenter: MakeSegmenter,
    monkeypatch: pytest.MonkeyPatch,
    mode: str,
    stamps: tuple[int, int],
    has_images: bool,
) -> None:
    line = Line(make_segmenter, buffer_frames=1, mode=mode)  # type: ignore[arg-type]
    choose, used = line.pipeline._repairs.choose, list[Prompt]()

    def note(frame: Frame, given: Prompt, known: Sequence[int]) -> Prompt | None:
        used.append(given)
        return choose(frame, given, known)

    monkeypatch.setattr(line.pipeline._repairs, 'choose', note)
    for stamp_ns in range(1, 9) if has_images else ():
        line.send(stamp_ns)
        line.work_off()
    places = {5: prompt(3).label_map // 3, 4: prompt(1).label_map}
    for stamp_ns in stamps:
        line.ask(Prompt(places[stamp_ns], stamp_ns))
    line.send(9)
    line.work_off()
    np.testing.assert_array_equal(used[-1].label_map, places[5])
    assert line.tracked()[-1] == (9, (1,))
    assert not line.errors


def test_a_mask_that_was_refused_keeps_no_older_one_out(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    line.send(1)
    both = prompt(1).label_map + prompt(2).label_map
    line.ask(Prompt(both, 1))
    line.work_off()
    for stamp_ns in (2, 3, 4):
        line.send(stamp_ns)
        line.work_off()
    line.ask(prompt(1, stamp_ns=4, size=(20, 96)))
    line.ask(prompt(2, stamp_ns=4))
    line.work_off()
    assert len(line.errors) == 1
    taken = line.started(monkeypatch)
    line.ask(prompt(1, stamp_ns=3))
    line.work_off()
    assert taken == [{1}]
    line.ask(Prompt(both, 3))
    line.work_off()
    assert taken == [{1}, {1}]


@pytest.mark.parametrize('forget', ['remove', 'forget'])
def test_what_was_forgotten_may_come_back_with_an_older_mask(
    line: Line, monkeypatch: pytest.MonkeyPatch, forget: str
) -> None:
    _sent_and_prompted(line)
    acts: dict[str, Callable[[], object]] = {
        'remove': functools.partial(line.pipeline.remove, frozenset({1})),
        'forget': line.pipeline.forget,
    }
    line.backlog.add_command(acts[forget])
    line.work_off()
    taken = line.started(monkeypatch)
    line.ask(prompt(1, stamp_ns=3))
    line.work_off()
    assert taken == [{1}]


def test_a_detector_that_is_slower_than_the_buffer_is_followed(
    make_segmenter: MakeSegmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = Line(make_segmenter, buffer_frames=1)
    taken = line.started(monkeypatch)
    for stamp_ns in range(1, 9):
        line.send(stamp_ns)
        line.work_off()
        if stamp_ns > 4:
            line.ask(prompt(1, stamp_ns=stamp_ns - 4))  # it is given to a newer frame
            line.work_off()
    line.send(9)
    line.work_off()
    assert taken == [{1}] * 4
    assert not line.errors


def test_a_removal_ends_the_way_of_late_objects(line: Line) -> None:
    for stamp_ns in (1, 2, 3):
        line.send(stamp_ns)
        line.work_off()
    line.ask(prompt(2, stamp_ns=1))
    assert line.step()
    line.backlog.add_command(functools.partial(line.pipeline.remove, frozenset({2})))
    line.work_off()
    line.send(4)
    line.work_off()
    assert line.tracked()[-1] == (4, ())
    assert line.converted == [1, 2, 3, 1, 4]


def test_what_fails_is_reported_and_the_next_frame_is_served(line: Line) -> None:
    line.backlog.put_frame(Message(1, is_broken=True))
    line.ask(prompt(1))  # with stamp 0 it waits for the next frame
    line.work_off()
    line.send(2)
    line.work_off()
    assert line.tracked() == [(2, (1,))]

    def fail(result: Segmentation) -> None:
        raise RuntimeError('publisher is gone')

    line.on_result = fail
    line.send(3)
    line.work_off()
    assert line.errors == [
        ('frame', 'the image is broken; check the camera'),
        ('other', 'publisher is gone'),
    ]
    stats = line.backlog.stats
    assert (stats.frames_done, stats.frames_failed, stats.errors) == (2, 1, 2)


def test_of_masks_for_one_frame_the_useless_one_is_refused_alone(line: Line) -> None:
    line.send(1)
    line.ask(prompt(1, stamp_ns=1))
    line.ask(prompt(2, stamp_ns=1, size=(64, 64)))
    line.work_off()
    assert line.tracked() == [(1, (1,))]
    ((what, reason),) = line.errors
    assert what == 'prompt'
    assert 'aspect' in reason
    assert line.backlog.stats.prompts_rejected == 1


def test_what_was_granted_is_done_at_the_end(line: Line) -> None:
    line.send(1)
    line.ask(prompt(1, stamp_ns=1))
    line.work_off()
    line.send(2)
    line.backlog.add_command(line.pipeline.forget)
    line.backlog.close()
    line.pipeline.finish()
    assert line.segmenter.object_ids == ()
    assert [r.stamp_ns for r in line.results] == [1]
    stats = line.backlog.stats
    assert (stats.frames_in, stats.frames_dropped) == (2, 1)
