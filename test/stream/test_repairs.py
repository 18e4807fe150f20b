# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A detector that publishes for ever: what of it is taken, by init.when."""

from collections.abc import Callable, Sequence

from colour_backend import MakeSegmenter
import numpy as np
import pytest

from vos_ros.config import InitConfig
from vos_ros.datatypes import Frame, Image, LabelMap, ObjectState, Prompt, Segmentation, StepTiming
from vos_ros.stream.backlog import Backlog
from vos_ros.stream.overload import OverloadLimits
from vos_ros.stream.pipeline import Pipeline
from vos_ros.stream.repairs import Repairs

_SIZE = (64, 96)
_RED, _GREEN, _ROSE, _GREY = (220, 30, 30), (30, 200, 40), (225, 40, 35), (128, 128, 128)
_PERIOD_NS = 100_000_000
Place = tuple[int, int]
Colour = tuple[int, int, int]


def _image(things: dict[Place, Colour]) -> Image:
    image: Image = np.full((*_SIZE, 3), _GREY, np.uint8)
    for (row, column), colour in things.items():
        image[row : row + 16, column : column + 16] = colour
    return image


def _mask(places: dict[int, Place]) -> LabelMap:
    label_map = np.zeros(_SIZE, np.uint8)
    for object_id, (row, column) in places.items():
        label_map[row : row + 16, column : column + 16] = object_id
    return label_map


class _Bench:
    """Repairs with what was found on frames that a test makes up."""

    def __init__(self, when: str, things: dict[Place, Colour]) -> None:
        self.repairs = Repairs(InitConfig(when=when, disagree_frames=3))
        self.things = things
        self.now_ns = 0

    def tick(self, found: dict[int, Place], states: dict[int, ObjectState] | None = None) -> None:
        self.now_ns += _PERIOD_NS
        ids = tuple(sorted({*found, *(states or {})}))
        result = Segmentation(
            _mask(found), ids, dict.fromkeys(ids, 1.0), self.now_ns, 'c', StepTiming(),
            np.zeros((1, 1, 1), np.float32),
            states={**dict.fromkeys(ids, ObjectState.TRACKED), **(states or {})},
        )  # fmt: skip
        self.repairs.note(result)

    def detect(
        self, places: dict[int, Place], known: Sequence[int] = (1,), unsure: Sequence[int] = ()
    ) -> list[int]:
        """Return the ids that are taken of a mask."""
        prompt = Prompt(_mask(places), self.now_ns, frozenset(unsure))
        chosen = self.repairs.choose(Frame(_image(self.things)), prompt, known)
        return [] if chosen is None else np.unique(chosen.label_map)[1:].tolist()


_HERE, _THERE = (8, 8), (40, 64)


def test_always_takes_every_mask() -> None:
    bench = _Bench('always', {_HERE: _RED})
    assert not bench.repairs.is_on
    assert bench.detect({1: _THERE}) == [1]


@pytest.mark.parametrize('when', ['lost', 'disagrees'])
def test_the_first_masks_start_objects(when: str) -> None:
    bench = _Bench(when, {_HERE: _RED, _THERE: _GREEN})
    assert bench.detect({1: _HERE, 2: _THERE}, known=(), unsure=(1, 2)) == [1, 2]


@pytest.mark.parametrize(('unsure', 'taken'), [((), [2]), ((2,), [])])
def test_a_new_object_needs_an_id_once_others_are_known(
    unsure: tuple[int, ...], taken: list[int]
) -> None:
    bench = _Bench('lost', {_HERE: _RED, _THERE: _GREEN})
    bench.detect({1: _HERE}, known=())
    bench.tick({1: _HERE})
    assert bench.detect({2: _THERE}, unsure=unsure) == taken


@pytest.mark.parametrize('when', ['lost', 'disagrees'])
def test_what_agrees_is_not_taken(when: str) -> None:
    bench = _Bench(when, {_HERE: _RED})
    bench.detect({1: _HERE}, known=())
    for _ in range(6):
        bench.tick({1: _HERE})
        assert bench.detect({1: _HERE}) == []


@pytest.mark.parametrize(('colour', 'taken'), [(_RED, [1]), (_GREEN, [])])
def test_a_lost_object_is_repaired_where_something_looks_like_it(
    colour: Colour, taken: list[int]
) -> None:
    bench = _Bench('lost', {_HERE: _RED})
    bench.detect({1: _HERE}, known=())
    bench.tick({1: _HERE})
    bench.tick({}, {1: ObjectState.LOST})
    bench.things = {_THERE: colour}
    assert bench.detect({1: _THERE}) == taken


def test_a_mask_without_an_id_is_the_lost_object_that_it_looks_like() -> None:
    bench = _Bench('lost', {_HERE: _RED, (40, 8): _GREEN})
    bench.detect({1: _HERE, 2: (40, 8)}, known=())
    bench.tick({1: _HERE, 2: (40, 8)})
    bench.tick({}, {1: ObjectState.LOST, 2: ObjectState.LOST})
    bench.things = {_THERE: _GREEN}
    assert bench.detect({7: _THERE}, known=(1, 2), unsure=(7,)) == [2]


def test_an_occluded_object_is_no_lost_one() -> None:
    bench = _Bench('lost', {_THERE: _RED})
    bench.detect({1: _THERE}, known=())
    bench.tick({}, {1: ObjectState.OCCLUDED})
    assert bench.detect({1: _THERE}) == []


def test_a_steady_disagreement_that_looks_like_the_object_is_taken() -> None:
    bench = _Bench('disagrees', {_HERE: _RED})
    bench.detect({1: _HERE}, known=())
    bench.things = {_THERE: _RED, _HERE: _GREEN}  # it was taken for another
    taken = []
    for _ in range(3):
        bench.tick({1: _HERE})
        taken.append(bench.detect({1: _THERE}))
    assert taken == [[], [], [1]]


@pytest.mark.parametrize(
    'colour', [pytest.param(_GREEN, id='another'), pytest.param(_ROSE, id='a look-alike')]
)
def test_a_steady_disagreement_on_something_else_is_refused(colour: Colour) -> None:
    bench = _Bench('disagrees', {_HERE: _RED})
    bench.detect({1: _HERE}, known=())
    bench.things = {_HERE: _RED, _THERE: colour}
    for _ in range(12):
        bench.tick({1: _HERE})
        assert bench.detect({1: _THERE}) == []


def test_disagreements_that_jump_about_count_as_none() -> None:
    bench = _Bench('disagrees', {_HERE: _RED})
    bench.detect({1: _HERE}, known=())
    bench.things = {_HERE: _GREEN, _THERE: _RED, (40, 8): _RED}
    for number in range(12):
        bench.tick({1: _HERE})
        assert bench.detect({1: _THERE if number % 2 else (40, 8)}) == []


def test_a_disagreement_goes_on_after_the_images_have_another_size() -> None:
    bench = _Bench('disagrees', {_HERE: _RED})
    bench.detect({1: _HERE}, known=())
    for _ in range(2):
        bench.tick({1: _HERE})
        bench.detect({1: _THERE})
    half = np.ascontiguousarray(_mask({1: _THERE})[::2, ::2])
    prompt = Prompt(half, bench.now_ns)
    frame = Frame(np.ascontiguousarray(_image({_THERE: _RED})[::2, ::2]))
    taken = [bench.repairs.choose(frame, prompt, (1,)) is not None for _ in range(3)]
    assert taken == [False, False, True]


def test_a_late_mask_is_compared_with_what_was_found_on_its_frame() -> None:
    bench = _Bench('disagrees', {_HERE: _RED})
    bench.detect({1: _HERE}, known=())
    bench.tick({1: _HERE})
    early_ns = bench.now_ns
    for _ in range(3):
        bench.tick({1: _THERE})
    prompt = Prompt(_mask({1: _HERE}), early_ns)
    for _ in range(6):
        assert bench.repairs.choose(Frame(_image({_HERE: _RED})), prompt, (1,)) is None
    assert bench.repairs._objects[1].disagreements == 0


def test_what_is_removed_is_forgotten_and_what_catches_up_is_not() -> None:
    bench = _Bench('lost', {_HERE: _RED, _THERE: _GREEN})
    bench.detect({1: _HERE}, known=())
    bench.tick({2: _THERE})
    assert 1 in bench.repairs._objects
    bench.tick({1: _HERE, 2: _THERE})
    red = bench.repairs._objects[1].looks
    # It is removed, and prompted anew before the next image.
    assert bench.detect({1: _THERE}, known=(2,)) == [1]
    assert len(red) == len(bench.repairs._objects[1].looks) == 1
    assert bench.repairs._objects[1].looks != red


def test_ids_that_are_refused_are_not_remembered() -> None:
    bench = _Bench('disagrees', {_HERE: _RED, _THERE: _GREEN})
    bench.detect({1: _HERE}, known=())
    for number in range(2, 100):
        bench.tick({1: _HERE})
        assert bench.detect({number: _THERE}) == [number]  # and refused: too many objects
    assert len(bench.repairs._objects) == 2


def test_a_lost_object_of_whatever_id_is_repaired_by_a_mask_that_was_made_here() -> None:
    bench = _Bench('lost', {_HERE: _RED})
    frame, mask = Frame(_image(bench.things)), _mask({2: _HERE})
    bench.repairs.choose(frame, Prompt(150 * mask.astype(np.uint16)), ())
    bench.tick({}, {300: ObjectState.LOST})
    boxed = Prompt(mask, bench.now_ns, frozenset([2]), frozenset([2]))
    chosen = bench.repairs.choose(frame, boxed, (300,))
    assert chosen is not None
    assert np.unique(chosen.label_map).tolist() == [0, 300]
    assert chosen.made_ids == {300}


def _play(
    make_segmenter: MakeSegmenter,
    when: str,
    wrong: Callable[[int], Prompt | None],
    frames: int = 600,
) -> list[tuple[tuple[int, ...], bytes]]:
    """Play a minute at 10 Hz: a red and a green square that move, and a detector beside."""
    init = InitConfig(when=when)
    results: list[tuple[tuple[int, ...], bytes]] = []
    shown: dict[int, Image] = {}
    backlog: Backlog[int] = Backlog(lambda stamp: stamp, init, lambda stamp: 0, 'reset')
    pipeline = Pipeline(
        make_segmenter(),
        backlog,
        to_frame=lambda stamp: Frame(shown[stamp], 'rgb8', stamp),
        on_result=lambda result, frame: results.append(
            (result.object_ids, result.label_map.tobytes())
        ),
        on_error=lambda error, what: pytest.fail(f'{what}: {error}'),
        init=init,
        limits=OverloadLimits(),
        age_ms_of=lambda stamp: 0.0,
        on_time_jump=lambda jump: None,
    )
    for number in range(frames):
        stamp_ns = (number + 1) * _PERIOD_NS
        red, green = (8, 8 + number % 48), (40, 60 - number % 48)
        shown[stamp_ns] = _image({red: _RED, green: _GREEN})
        given = Prompt(_mask({1: red, 2: green}), stamp_ns) if number == 0 else wrong(number)
        backlog.put_frame(stamp_ns)
        if given is not None:
            ids = np.unique(given.label_map)[1:].tolist()
            backlog.add_prompt(Prompt(given.label_map, stamp_ns, given.unsure_ids), ids, '')
        while (job := pipeline.next_job()) is not None:
            pipeline.do(job)
    return results


@pytest.mark.parametrize('when', ['lost', 'disagrees'])
@pytest.mark.parametrize(
    'wrong',
    [
        pytest.param(lambda n: {1: (24, 72)}, id='always the same place'),
        pytest.param(lambda n: {1: (40, 60 - n % 48)}, id='the other object'),
        pytest.param(lambda n: {1 + n // 2 % 2: (n * 7 % 48, n * 13 % 80)}, id='anywhere'),
        pytest.param(lambda n: {3 + n % 5: (n * 7 % 48, n * 13 % 80)}, id='new objects'),
    ],
)
def test_a_detector_with_wrong_boxes_for_a_minute_changes_nothing(
    make_segmenter: MakeSegmenter, when: str, wrong: Callable[[int], dict[int, Place]]
) -> None:
    def at_5_hz(number: int) -> Prompt | None:
        if number % 2:
            return None
        places = wrong(number)
        return Prompt(_mask(places), 0, frozenset(places) - {1, 2})

    assert _play(make_segmenter, when, at_5_hz) == _play(make_segmenter, when, lambda n: None)


def test_the_same_detector_undoes_the_tracking_where_every_mask_is_taken(
    make_segmenter: MakeSegmenter,
) -> None:
    def at_5_hz(number: int) -> Prompt | None:
        return None if number % 2 else Prompt(_mask({1: (24, 72)}))

    quiet = _play(make_segmenter, 'always', lambda n: None, 20)
    assert _play(make_segmenter, 'always', at_5_hz, 20) != quiet
