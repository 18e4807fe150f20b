# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The promise: bytes and shapes are constant over 1000 frames, and at most one frame waits."""

import gc
from pathlib import Path
import tracemalloc

import numpy as np
import numpy.typing as npt
import pytest

from vos_ros.config import InitConfig, MemoryConfig, RuntimeConfig, SegmenterConfig
from vos_ros.datatypes import Frame, Prompt, Segmentation
from vos_ros.engine.segmenter import VideoSegmenter
from vos_ros.stream.worker import Worker

_FRAMES = 1000
_SIZE = (48, 80)


@pytest.fixture
def segmenter(tiny_model: Path) -> VideoSegmenter:
    config = SegmenterConfig(
        input_size=48, max_objects=4, memory=MemoryConfig(max_prompted_frames=2, min_score=0.0)
    )
    return VideoSegmenter.open(tiny_model, config=config, runtime=RuntimeConfig(threads=1))


def _frame(number: int) -> Frame:
    rng = np.random.default_rng(number % 17)
    return Frame(rng.integers(0, 256, (*_SIZE, 3), np.uint8), 'rgb8', number)


def _prompt(object_id: int) -> Prompt:
    label_map = np.zeros(_SIZE, np.uint8)
    label_map[4:30, 8 * object_id : 8 * object_id + 20] = object_id
    return Prompt(label_map)


def _resident_pages() -> int:
    statm = Path('/proc/self/statm')
    if not statm.exists():
        pytest.skip('this system does not tell the resident memory')
    return int(statm.read_text().split()[1])


def _buffers(segmenter: VideoSegmenter) -> list[tuple[str, int, tuple[int, ...]]]:
    """Return name, address and shape of every array that the memory owns."""
    return [
        (name, array.ctypes.data, array.shape)
        for name, array in vars(segmenter.memory).items()
        if isinstance(array, np.ndarray)
    ]


def _shapes(result: Segmentation) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return result.label_map.shape, result.prob.shape


@pytest.mark.slow
def test_bytes_and_shapes_are_constant_over_a_thousand_frames(segmenter: VideoSegmenter) -> None:
    first = segmenter.step(_frame(0), Prompt(_prompt(1).label_map | _prompt(3).label_map))
    before, nbytes = _buffers(segmenter), segmenter.memory.nbytes
    assert len(before) == 3
    expected = _shapes(first)
    for number in range(1, 50):  # pools of the runtime fill up
        segmenter.step(_frame(number))
    gc.collect()
    pages = _resident_pages()
    tracemalloc.start()
    start_bytes = tracemalloc.get_traced_memory()[0]
    for number in range(50, _FRAMES):
        assert _shapes(segmenter.step(_frame(number))) == expected
    gc.collect()
    grown_bytes = tracemalloc.get_traced_memory()[0] - start_bytes
    tracemalloc.stop()
    assert _buffers(segmenter) == before
    assert segmenter.memory.nbytes == nbytes
    # One label map a frame would be 3.6 MB by now; one memory frame a frame, far more.
    assert grown_bytes < 100_000
    assert (_resident_pages() - pages) * 4096 < 8_000_000


@pytest.mark.slow
def test_adding_and_removing_five_hundred_times_allocates_nothing(
    segmenter: VideoSegmenter,
) -> None:
    segmenter.step(_frame(0), _prompt(1))
    before = _buffers(segmenter)
    for number in range(500):
        object_id = 2 + number % 3
        segmenter.step(_frame(number), _prompt(object_id))
        assert segmenter.memory.prompted_frames <= 2
        assert object_id in segmenter.object_ids
        if number % 2:
            segmenter.remove_objects([object_id])
    assert _buffers(segmenter) == before


def test_frame_costs_the_same_work_at_any_time(
    segmenter: VideoSegmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Count what goes through the network, which is what the time is spent on."""
    shapes: list[tuple[tuple[int, ...], ...]] = []
    segmenter.step(_frame(0), _prompt(1))
    backend = segmenter._work.backend
    segment = backend.segment

    def spy(
        features: dict[str, npt.NDArray[np.float32]],
        memory_key: npt.NDArray[np.float32],
        memory_value: npt.NDArray[np.float32],
    ) -> npt.NDArray[np.float32]:
        shapes.append((memory_key.shape, memory_value.shape))
        return segment(features, memory_key, memory_value)

    monkeypatch.setattr(backend, 'segment', spy)
    for number in range(1, 300):
        segmenter.step(_frame(number))
    assert len(shapes) == 299
    assert len(set(shapes)) == 1


def test_mailbox_never_holds_more_than_one_frame(segmenter: VideoSegmenter) -> None:
    waiting: list[int] = []
    results: list[int] = []
    errors: list[Exception] = []
    worker: Worker[Frame] = Worker(
        segmenter,
        to_frame=lambda frame: frame,
        stamp_of=lambda frame: frame.stamp_ns,
        on_result=lambda result, frame: results.append(result.stamp_ns),
        on_error=lambda error, what: errors.append(error),
        nbytes_of=lambda frame: frame.image.nbytes,
    )
    worker.start()
    try:
        worker.submit_prompt(_prompt(1))
        for number in range(1, _FRAMES + 1):
            worker.submit_frame(_frame(number))
            waiting.append(len(worker._backlog._mailbox))
            assert len(worker._backlog._ring) <= InitConfig().buffer_frames
    finally:
        assert worker.stop(timeout_s=20.0)
    stats = worker.stats
    assert max(waiting) == 1
    assert results == sorted(set(results))
    assert stats.frames_in == _FRAMES
    assert stats.frames_done + stats.frames_dropped == _FRAMES
    assert errors == []
