# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A whole frame in one graph labels as the three graphs and the engine around them do."""

from collections.abc import Callable, Iterator
from dataclasses import replace
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

torch = pytest.importorskip('torch', reason='the training package needs torch')
onnx = pytest.importorskip('onnx', reason='the graph is read with onnx')

from vos_distill.export.frame_module import _smoothed, ResizeBytes  # noqa: E402
from vos_distill.export.one_graph import export_one_graph  # noqa: E402
from vos_distill.export.onnx_export import OPSET  # noqa: E402
from vos_distill.networks.presets import build_student  # noqa: E402
from vos_distill.networks.student import Student  # noqa: E402
from vos_ros.backends.frame_graph import FrameLayout, from_whole, to_whole  # noqa: E402
from vos_ros.config import MemoryConfig, RedetectConfig, RuntimeConfig, SegmenterConfig  # noqa: E402
from vos_ros.datatypes import Frame, Prompt  # noqa: E402
from vos_ros.engine.one_graph import OneGraphSegmenter  # noqa: E402
from vos_ros.engine.preprocess import network_size, resize_image  # noqa: E402
from vos_ros.engine.segmenter import VideoSegmenter  # noqa: E402
from vos_ros.errors import VosError  # noqa: E402
from vos_ros.harness import clip  # noqa: E402

CAMERA = (240, 320)
INPUT = 160  # short side, px: shrinks the camera, and not by a whole number
OBJECTS = 3
RUNTIME = RuntimeConfig(backend='cpu', threads=1)
OPERATORS = Path(__file__).parent / 'data' / 'tensorrt_10_operators.json'
#: How ONNX and NVIDIA's list call the same types.
TYPES = {
    onnx.TensorProto.FLOAT: 'FP32',
    onnx.TensorProto.INT32: 'INT32',
    onnx.TensorProto.INT64: 'INT64',
    onnx.TensorProto.BOOL: 'BOOL',
    onnx.TensorProto.UINT8: 'UINT8',
}
Pixels = npt.NDArray[np.uint8]


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model with one graph."""
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp('models') / 'one_graph'
    export_one_graph('fast_mb_slim', out, camera=CAMERA, objects=OBJECTS, input_size=INPUT)
    return out


@pytest.fixture(scope='module')
def frames() -> list[tuple[Pixels, Pixels]]:
    """Return 200 images and label maps of moving photographs, 240x320, ids 1 to 3."""
    there = [
        (cv2.resize(image, CAMERA[::-1], interpolation=cv2.INTER_AREA), _three(labels))
        for image, labels in clip.render(101)
    ]
    return [*there, *there[-2:0:-1]]


def _three(labels: Pixels) -> Pixels:
    """Cut the larger object in two."""
    small = cv2.resize(labels, CAMERA[::-1], interpolation=cv2.INTER_NEAREST)
    found = np.where(small == clip.CUP, 1, 0).astype(np.uint8)
    rows, _ = np.nonzero(small == clip.ASTRONAUT)
    middle = int(np.median(rows)) if len(rows) else 0
    upper = np.arange(CAMERA[0])[:, None] < middle
    found[(small == clip.ASTRONAUT) & upper] = 2
    found[(small == clip.ASTRONAUT) & ~upper] = 3
    return found


@pytest.fixture
def tiny() -> Path:
    """Return the folder of a model with random weights."""
    return Path(__file__).resolve().parents[3] / 'test' / 'data' / 'tiny'


def _config(**settings: Any) -> SegmenterConfig:
    off = RedetectConfig(enabled=False)  # there is none in one graph
    config = replace(
        SegmenterConfig(max_objects=OBJECTS, input_size=INPUT, redetect=off), **settings
    )
    # nor are there windows
    return replace(config, memory=replace(config.memory, windowed=False))


@pytest.fixture
def both(folder: Path) -> Callable[..., tuple[OneGraphSegmenter, VideoSegmenter]]:
    """Open the model both ways; keywords go to SegmenterConfig."""

    def make(**settings: Any) -> tuple[OneGraphSegmenter, VideoSegmenter]:
        config = _config(**settings)
        one = OneGraphSegmenter.open(folder, config=config, runtime=RUNTIME)
        return one, VideoSegmenter.open(folder, config=config, runtime=RUNTIME)

    return make


def _frame(image: Pixels, number: int) -> Frame:
    return Frame(image, stamp_ns=(number + 1) * 33_000_000)


def _hidden(image: Pixels, number: int) -> Pixels:
    """Cover the left half of the image for a second."""
    if not 60 <= number < 90:
        return image
    covered = image.copy()
    covered[:, : CAMERA[1] // 2] = 96
    return covered


def _pairs(
    one: OneGraphSegmenter,
    three: VideoSegmenter,
    frames: list[tuple[Pixels, Pixels]],
    prompts: dict[int, Prompt],
) -> Iterator[tuple[int, Any, Any]]:
    """Follow a clip both ways, each on its own masks; the results before memorising."""
    for number, (image, _) in enumerate(frames):
        frame, prompt = _frame(_hidden(image, number), number), prompts.get(number)
        results = []
        for segmenter in (three, one):
            if prompt is None:
                results.append(segmenter.segment(frame))
            elif segmenter.object_ids:
                results.append(segmenter.add_objects(frame, prompt))
            else:
                results.append(segmenter.start(frame, prompt))
        yield number, *results
        three.memorize()
        one.memorize()


@pytest.mark.slow
def test_labels_are_equal_over_200_frames(both: Any, frames: list[tuple[Pixels, Pixels]]) -> None:
    one, three = both()
    first = np.where(frames[0][1] == 3, 0, frames[0][1])
    later = np.where(frames[20][1] == 3, 3, 0).astype(np.uint8)
    prompts = {0: Prompt(first.astype(np.uint8)), 20: Prompt(later)}
    differing, worst = 0, 0.0
    for _, expected, found in _pairs(one, three, frames, prompts):
        differing += int((found.label_map != expected.label_map).sum())
        assert found.object_ids == expected.object_ids
        assert dict(found.states) == dict(expected.states)
        worst = max(abs(found.scores[k] - expected.scores[k]) for k in expected.object_ids)
        assert worst < 1e-4
    assert one.doubts == three.doubts
    assert sum(one.doubts.values()) > 0  # the covered object was not believed
    assert one.whole_frames >= 150  # of 198 without a prompt
    # Ties that rounding decides: one pixel in a million.
    assert differing <= 200 * CAMERA[0] * CAMERA[1] * 1e-6


@pytest.mark.slow
@pytest.mark.parametrize(
    'settings',
    [
        pytest.param({'guided': False}, id='outlines not guided'),
        pytest.param({'memory': MemoryConfig(mem_every=3)}, id='every third frame memorised'),
        pytest.param({'memory': MemoryConfig(max_speed=0.0)}, id='no motion gate'),
        pytest.param({'memory': MemoryConfig(max_prompted_frames=2)}, id='fewer frames than rows'),
    ],
)
def test_labels_are_equal_with_other_settings(
    both: Any, frames: list[tuple[Pixels, Pixels]], settings: dict[str, Any]
) -> None:
    one, three = both(**settings)
    prompts = {0: Prompt(frames[0][1])}
    for _, expected, found in _pairs(one, three, frames[:30], prompts):
        assert (found.label_map != expected.label_map).mean() < 1e-5
    assert one.whole_frames == 29


@pytest.mark.slow
def test_outlines_are_drawn_tighter_there_too(
    both: Any, frames: list[tuple[Pixels, Pixels]]
) -> None:
    one, three = both()
    moved = 0
    for number, expected, found in _pairs(one, three, frames[:8], {0: Prompt(frames[0][1])}):
        if number == 0:  # as if these masks had been given tighter
            found_ids = found.object_ids
            for segmenter in (one, three):
                outlines = segmenter._outlines
                outlines._shares = dict.fromkeys(found_ids, -2.0 / min(CAMERA))
            continue
        assert (found.label_map != expected.label_map).mean() < 1e-5
        sure = found.prob[1:].max(axis=0) > 0.5
        share = np.count_nonzero(found.label_map) / found.label_map.size
        moved += int(share < 0.95 * sure.mean())
    assert one.whole_frames == moved == 7


def test_two_copies_a_frame_and_the_memory_stays(
    both: Any, frames: list[tuple[Pixels, Pixels]]
) -> None:
    one, _ = both()
    one.step(_frame(frames[0][0], 0), Prompt(frames[0][1]))
    one.segment(_frame(frames[1][0], 1))
    one.memorize()
    copies = one.graph.copies
    before = replace(copies)
    for number in range(2, 12):
        one.segment(_frame(frames[number][0], number))
        one.memorize()
    assert (copies.to_device - before.to_device, copies.to_host - before.to_host) == (10, 10)
    layout = one.graph.layout
    height, width = CAMERA
    cells = OBJECTS * layout.cells[0] * layout.cells[1]
    control = OBJECTS * 6 + (OBJECTS + 1) + layout.groups * (OBJECTS + 2) + 1
    sent = (copies.bytes_to_device - before.bytes_to_device) // 10
    fetched = (copies.bytes_to_host - before.bytes_to_host) // 10
    assert sent == height * width * 3 + cells + control
    assert fetched == height * width * 2 + cells + OBJECTS * 3


def test_what_a_frame_gives_is_as_by_three_graphs(
    both: Any, frames: list[tuple[Pixels, Pixels]]
) -> None:
    from vos_ros.ros.conversions import to_confidence

    one, three = both()
    for _, expected, found in _pairs(one, three, frames[:4], {0: Prompt(frames[0][1])}):
        np.testing.assert_allclose(found.prob, expected.prob, atol=1e-4)
        if hasattr(found, 'confidence'):
            away = np.abs(found.confidence.astype(int) - to_confidence(expected))
            assert away.max() <= 1


def test_probabilities_are_gone_with_the_next_frame(
    both: Any, frames: list[tuple[Pixels, Pixels]]
) -> None:
    one, _ = both()
    one.step(_frame(frames[0][0], 0), Prompt(frames[0][1]))
    result = one.segment(_frame(frames[1][0], 1))
    one.memorize()
    one.segment(_frame(frames[2][0], 2))
    with pytest.raises(VosError, match='gone once the next one came'):
        _ = result.prob


def _remove(segmenter: VideoSegmenter, frame: Frame, labels: Pixels) -> None:
    segmenter.memorize()
    segmenter.remove_objects([2])


def _correct(segmenter: VideoSegmenter, frame: Frame, labels: Pixels) -> None:
    segmenter.memorize(labels)


def _shrink(segmenter: VideoSegmenter, frame: Frame, labels: Pixels) -> None:
    segmenter.memorize()
    config = segmenter.config
    assert config.input_size == INPUT  # too small for a step of the ladder
    assert not segmenter.set_level(1)


def _adopt(segmenter: VideoSegmenter, frame: Frame, labels: Pixels) -> None:
    segmenter.memorize()
    fork = segmenter.fork()
    fork.start(frame, Prompt(np.where(labels == 1, 1, 0).astype(np.uint8)))
    fork.memorize()
    segmenter.adopt(fork)


@pytest.mark.parametrize('act', [_remove, _correct, _shrink, _adopt])
def test_what_happens_now_and_then_is_as_by_three_graphs(
    both: Any, frames: list[tuple[Pixels, Pixels]], act: Any
) -> None:
    one, three = both()
    prompt = Prompt(frames[0][1])
    for segmenter in (one, three):
        segmenter.step(_frame(frames[0][0], 0), prompt)
        for number in range(1, 6):
            frame = _frame(frames[number][0], number)
            segmenter.segment(frame)
            if number == 3:
                act(segmenter, frame, frames[number][1])
            else:
                segmenter.memorize()
    frame = _frame(frames[6][0], 6)
    found, expected = one.segment(frame), three.segment(frame)
    assert found.object_ids == expected.object_ids
    assert (found.label_map != expected.label_map).mean() < 1e-5
    assert one.whole_frames >= 3


def test_more_pairs_of_frames_than_groups_go_by_three_graphs(
    both: Any, frames: list[tuple[Pixels, Pixels]]
) -> None:
    one, three = both()
    prompts = {
        n: Prompt(np.where(frames[n][1] == k, k, 0).astype(np.uint8))
        for n, k in ((0, 1), (2, 2), (4, 3))
    }
    for number, expected, found in _pairs(one, three, frames[:8], prompts):
        assert (found.label_map != expected.label_map).mean() < 1e-5
        if number == 3:
            assert one.whole_frames == 2
    assert one.whole_frames == 2  # then three objects read three prompted frames


def test_there_is_no_redetection_in_one_graph(
    both: Any, frames: list[tuple[Pixels, Pixels]]
) -> None:
    one, three = both(redetect=RedetectConfig(enabled=True))
    assert three.config.redetect.enabled
    assert not one.config.redetect.enabled
    assert not one.config.memory.windowed
    prompts = {0: Prompt(frames[0][1])}
    for _, expected, found in _pairs(one, three, frames[:4], prompts):
        np.testing.assert_array_equal(found.label_map, expected.label_map)
    assert one.whole_frames == 3


def test_another_size_of_camera_goes_by_three_graphs(
    both: Any, frames: list[tuple[Pixels, Pixels]]
) -> None:
    one, three = both()
    larger = [(np.repeat(np.repeat(i, 2, 0), 2, 1), np.repeat(np.repeat(m, 2, 0), 2, 1))
              for i, m in frames[:3]]  # fmt: skip
    for segmenter in (one, three):
        segmenter.step(_frame(larger[0][0], 0), Prompt(larger[0][1]))
    frame = _frame(larger[1][0], 1)
    np.testing.assert_array_equal(one.segment(frame).label_map, three.segment(frame).label_map)
    assert one.whole_frames == 0


def test_operators_and_types_are_those_of_tensorrt(folder: Path) -> None:
    known = json.loads(OPERATORS.read_text())['operators']
    model = onnx.shape_inference.infer_shapes(onnx.load(str(folder / 'frame.onnx')))
    graph = model.graph
    assert [(o.domain, o.version) for o in model.opset_import if not o.domain] == [('', OPSET)]
    type_of = {t.name: t.data_type for t in graph.initializer}
    for value in (*graph.value_info, *graph.input, *graph.output):
        type_of[value.name] = value.type.tensor_type.elem_type
    for value in (*graph.input, *graph.output):
        assert all(dim.dim_value > 0 for dim in value.type.tensor_type.shape.dim), value.name
    ends = {value.name for value in (*graph.input, *graph.output)}
    for node in graph.node:
        assert node.op_type in known, node.op_type
        for name in filter(None, (*node.input, *node.output)):
            kind = TYPES[type_of[name]]
            # Tables of whole numbers that say where, axes and shapes, may be of any kind.
            if kind in ('INT64', 'INT32') and name not in ends:
                continue
            if kind == 'UINT8':
                assert node.op_type == 'Cast'
                assert name in ends, node.name
            elif kind == 'BOOL' and node.op_type in ('Where', 'Cast', 'And', 'Or', 'Not'):
                continue
            elif kind == 'BOOL':
                assert name in node.output, node.name
            else:
                assert kind in known[node.op_type], (node.op_type, kind)


def test_a_camera_of_the_other_order_of_channels(tiny: Path, tmp_path: Path) -> None:
    out = tmp_path / 'bgr'
    export_one_graph(tiny, out, camera=(64, 96), objects=4, encoding='bgr8')
    config = SegmenterConfig(max_objects=2)  # fewer than slots
    one = OneGraphSegmenter.open(out, config=config, runtime=RUNTIME)
    three = VideoSegmenter.open(out, config=config, runtime=RUNTIME)
    rng = np.random.default_rng(0)
    labels = np.zeros((64, 96), np.uint8)
    labels[10:40, 20:60] = 7
    for number in range(4):
        frame = Frame(rng.integers(0, 256, (64, 96, 3), np.uint8), 'bgr8', number + 1)
        prompt = None if number else Prompt(labels)
        found, expected = one.step(frame, prompt), three.step(frame, prompt)
        assert (found.label_map != expected.label_map).mean() < 1e-3
    assert one.whole_frames == 3
    one.step(Frame(frame.image[..., ::-1].copy(), 'rgb8', 9))
    assert one.whole_frames == 3


def test_reading_by_groups_is_reading_each_by_itself() -> None:
    torch.manual_seed(0)
    student = build_student('tiny').eval()
    with torch.no_grad():
        features = student.encode_image(torch.randn(1, 3, 64, 96))
        keys = torch.randn(2, 2, student.key_dim, 24)
        value = torch.randn(3, 2, student.value_dim, 24)
        member = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
        found = student.segment_groups(features, keys, value, member)
        expected = Student.segment_groups(student, features, keys, value, member)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize('short', [480, 320, 256])
@pytest.mark.parametrize('camera', [(480, 640), (720, 1280), (1080, 1920), (480, 854), (240, 320)])
def test_resizing_is_opencvs_to_the_bit(camera: tuple[int, int], short: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*camera, 3), np.uint8)
    size = network_size(camera, short)
    planes = torch.from_numpy(image).permute(2, 0, 1).int()
    found = ResizeBytes(camera, size)(planes).permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(found, resize_image(image, size))


def test_smoothing_is_opencvs_to_the_bit() -> None:
    green = np.random.default_rng(0).integers(0, 256, (48, 64), np.uint8)
    found = _smoothed(torch.from_numpy(green).int()).numpy()
    np.testing.assert_array_equal(found, cv2.GaussianBlur(green, (3, 3), 0))


def test_whole_numbers_survive_their_bytes() -> None:
    values = [0.0, 0.2, 1.0, 255.5, 65536.0, 2.0**24, float('inf')]
    found = from_whole(to_whole(values)).tolist()
    assert found == [0, 1, 1, 256, 65536, 2**24 - 1, 2**24 - 1]


@pytest.mark.parametrize(
    ('model', 'message'),
    [('fast_mb_slim_int8', 'quantised'), ('deformable_mb', 'decodes its objects together')],
)
def test_a_model_that_has_no_such_form_is_refused(
    model: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        export_one_graph(model, tmp_path / 'out', camera=CAMERA, objects=1)
    assert not (tmp_path / 'out').exists()


def test_a_damaged_or_missing_graph_is_said(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(VosError, match='vos-distill one-graph'):
        OneGraphSegmenter.open('fast_mb_slim', runtime=RUNTIME)
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / 'frame.onnx').write_bytes(b'nothing')
    with pytest.raises(VosError, match='corrupt or was replaced'):
        OneGraphSegmenter.open(tmp_path, config=_config(), runtime=RUNTIME)


def test_fewer_slots_than_asked_for_are_said(folder: Path) -> None:
    with pytest.raises(VosError, match=r'max_objects is 10, but the graph .* room for 3'):
        OneGraphSegmenter.open(folder, config=SegmenterConfig(input_size=INPUT), runtime=RUNTIME)


def test_a_layout_that_cannot_be_is_refused() -> None:
    with pytest.raises(VosError, match='multiples of 16'):
        FrameLayout(480, 640, 480, 650, 1)
    with pytest.raises(VosError, match='objects must be a whole number'):
        FrameLayout(480, 640, 480, 640, 0)
