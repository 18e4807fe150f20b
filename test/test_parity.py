# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the robot runs equals what was trained: engine against torch, in a closed loop."""

from collections.abc import Iterator
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

torch = pytest.importorskip('torch', reason='parity compares with torch (make test installs it)')
pytest.importorskip('onnx', reason='the weights are read out of the graphs with onnx')
pytest.importorskip('vos_distill', reason='the torch student is in training/')
pytest.importorskip('skimage', reason='the clip is composed from photographs of scikit-image')

from vos_distill.networks.aggregation import others_of, soft_aggregate  # noqa: E402
from vos_distill.networks.student import Student  # noqa: E402
from vos_distill.networks.weights import student_from_model  # noqa: E402
from vos_ros.backends import load_manifest, open_backend  # noqa: E402
from vos_ros.config import MemoryConfig, RuntimeConfig, SegmenterConfig  # noqa: E402
from vos_ros.datatypes import Frame, Prompt  # noqa: E402
from vos_ros.engine.labels import Labeler, masks_at_stride  # noqa: E402
from vos_ros.engine.preprocess import network_size, Normalizer, prepare  # noqa: E402
from vos_ros.engine.segmenter import VideoSegmenter  # noqa: E402
from vos_ros.harness.clip import render  # noqa: E402

_SHIPPED = sorted(p.parent for p in (Path(__file__).parents[1] / 'models').glob('*/segment.onnx'))
FRAMES = 16
SHORT_SIDE = 240
# Below this difference of the two best probabilities rounding may decide either way.
TIE = 1e-4


def torch_rollout(
    student: Student, frames: list[Frame], label_map: npt.NDArray[np.uint8], ids: tuple[int, ...]
) -> Iterator[npt.NDArray[np.float32]]:
    """Yield the probabilities (K + 1, h4, w4) of every frame after the first."""
    size = network_size(frames[0].size, SHORT_SIDE)
    normalizer = Normalizer(student.mean, student.std)
    buffer = np.empty((1, 3, *size), np.float32)
    masks = torch.from_numpy(masks_at_stride(label_map, ids, (size[0] // 4, size[1] // 4)))[None]
    first_key = first_value = recent_key = recent_value = None
    for frame in frames:
        image = torch.from_numpy(prepare(frame, normalizer, buffer).copy())
        features = student.encode_image(image)
        if first_key is not None:
            logits, _ = student.segment(
                features,
                torch.stack([first_key, recent_key], 1),
                torch.stack([first_value, recent_value], 2),
            )
            prob = soft_aggregate(logits)
            masks = prob[:, 1:]
            yield prob[0].numpy()
        recent_key = features['key'].flatten(2)
        recent_value = student.encode_mask(features, masks, others_of(masks))
        if first_key is None:
            first_key, first_value = recent_key, recent_value


@pytest.mark.slow
@pytest.mark.parametrize('backend', ['cpu', 'openvino'])
def test_engine_and_torch_agree_over_a_closed_loop(backend: str) -> None:
    if backend == 'openvino' and find_spec('openvino') is None:
        pytest.skip('OpenVINO is optional (pip install -r requirements/openvino.txt)')
    clip = list(islice(render(120), FRAMES))
    frames = [Frame(image, stamp_ns=i) for i, (image, _) in enumerate(clip)]
    label_map = clip[0][1]
    # no gates, no guide: the torch side has none, and this is about arithmetic, not about policy
    memory = MemoryConfig(max_speed=0.0, min_score=0.0)
    config = SegmenterConfig(input_size=SHORT_SIDE, memory=memory, guided=False)
    runtime = RuntimeConfig(backend=backend, precision='fp32')
    segmenter = VideoSegmenter.open(config=config, runtime=runtime)
    student = student_from_model(segmenter.manifest.folder).requires_grad_(False)
    segmenter.step(frames[0], Prompt(label_map))
    ids = segmenter.object_ids
    assert len(ids) == 2
    worst, compared, ties = 0.0, 0, 0
    labeler = Labeler()
    for frame, expected in zip(frames[1:], torch_rollout(student, frames, label_map, ids)):
        result = segmenter.step(frame)
        worst = max(worst, float(np.abs(result.prob - expected).max()))
        labels = labeler(expected, ids, frame.size)
        upsampled = np.stack([_up(plane, frame.size) for plane in expected])
        best = np.sort(upsampled, axis=0)
        decided = best[-1] - best[-2] > TIE
        ties += int((~decided).sum())
        np.testing.assert_array_equal(result.label_map[decided], labels[decided])
        compared += 1
    assert compared == FRAMES - 1
    assert worst < 1e-3
    assert ties < 100


def _up(plane: npt.NDArray[np.float32], size: tuple[int, int]) -> npt.NDArray[Any]:
    return cv2.resize(plane, size[::-1], interpolation=cv2.INTER_LINEAR)


def test_weights_survive_the_way_to_onnx_and_back(tiny_model: Path) -> None:
    """The test model was exported with seed 0, its large weights rounded to float16."""
    from vos_distill.networks.presets import build_student

    torch.manual_seed(0)
    expected = build_student('tiny').state_dict()
    for name, weight in student_from_model(tiny_model).state_dict().items():
        torch.testing.assert_close(weight, expected[name], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize('folder', _SHIPPED, ids=lambda folder: folder.name)
def test_every_shipped_model_can_be_trained_further(folder: Path) -> None:
    """`--init FOLDER`: the weights are all in its graphs, BatchNorm's that are alike, too."""
    if folder.name.endswith('_int8'):
        with pytest.raises(ValueError, match='do not hold'):
            student_from_model(folder)
        return
    student = student_from_model(folder)
    generator = np.random.default_rng(0)
    image = generator.normal(size=(1, 3, 64, 96)).astype(np.float32)
    masks = generator.uniform(size=(2, 1, 16, 24)).astype(np.float32)
    with torch.no_grad():
        features = student.encode_image(torch.from_numpy(image))
        value = student.encode_mask(features, *torch.from_numpy(masks)[:, None])
    backend = open_backend(load_manifest(folder), RuntimeConfig(), (64, 96), 1)
    seen = backend.encode_image(image)
    np.testing.assert_allclose(seen['key'], features['key'].numpy(), rtol=1e-3, atol=1e-3)
    stored = backend.encode_mask(seen, *masks)
    np.testing.assert_allclose(stored, value[0].numpy(), rtol=1e-3, atol=1e-3)
