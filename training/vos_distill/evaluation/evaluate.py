# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Measure a checkpoint on labelled sequences.

A student is exported first and runs through the engine of the robot, so that its figure is the
figure of the product. A network with infinite memory has no engine and runs in torch.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
import tempfile
from time import perf_counter

import numpy as np
import torch

from vos_distill.export.onnx_export import export_model
from vos_distill.networks.aggregation import others_of, soft_aggregate
from vos_distill.networks.student import Student
from vos_distill.networks.weights import is_infinite, load_network
from vos_ros.config import from_settings, RuntimeConfig, SegmenterConfig
from vos_ros.datatypes import Frame, Prompt, Segmentation, StepTiming
from vos_ros.engine.labels import Labeler, masks_at_stride
from vos_ros.engine.preprocess import network_size, resize_image
from vos_ros.engine.segmenter import VideoSegmenter
from vos_ros.engine.tracking import look
from vos_ros.evaluation.evaluate import (
    EvalReport,
    evaluate_root,
    evaluate_sequence,
    evaluate_sequences,
    Stepper,
)
from vos_ros.formats.masks import ids_in
from vos_ros.sequences import MaskedSequence, open_labelled


def evaluate_finite(
    checkpoint: Path,
    root: Path,
    *,
    short_side: int = 480,
    threads: int = 0,
    settings: dict[str, object] | None = None,
    split: str = '',
) -> EvalReport:
    """
    Export a student and run it through the engine, memory {first, most recent}.

    :param checkpoint: as `load_network` takes it.
    :param root: data set in DAVIS layout, or one's own clips.
    :param split: see `vos_ros.sequences.open_labelled`.
    :param settings: of the engine, such as {'memory.max_speed': 0.0} for no motion gate.
    """
    student, state = load_network(checkpoint)
    with exported_stepper(
        student, state['preset'], short_side=short_side, threads=threads, settings=settings
    ) as stepper:
        return evaluate_root(root, lambda: stepper, split=split)


def evaluate_infinite(
    checkpoint: Path, root: Path, *, short_side: int = 480, every: int = 5, split: str = ''
) -> EvalReport:
    """
    Run a network with infinite memory in torch: first, every n-th and the last frame (STCN).

    :param root: data set in DAVIS layout, or one's own clips.
    :param split: see `vos_ros.sequences.open_labelled`.
    """
    network, _ = load_network(checkpoint)
    return evaluate_root(root, lambda: InfiniteStepper(network, short_side, every), split=split)


@contextmanager
def exported_stepper(
    student: Student,
    preset: str,
    *,
    short_side: int,
    threads: int = 0,
    settings: dict[str, object] | None = None,
) -> Iterator[VideoSegmenter]:
    """Export a student and open it in the engine; see `evaluate_finite`."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / 'student'
        export_model(
            student, out, name='student', preset=preset, short_side=short_side,
            card={'license': 'unspecified', 'data': [], 'scores': {}, 'recipe': ''},
        )  # fmt: skip
        runtime = RuntimeConfig(model=str(out), threads=threads)
        config = from_settings(SegmenterConfig, settings or {})
        yield VideoSegmenter.open(str(out), config=config, runtime=runtime)


@contextmanager
def opened_stepper(
    checkpoint: Path, *, short_side: int = 480, threads: int = 0
) -> Iterator[Stepper]:
    """Open a checkpoint in the engine, or in torch if its memory is infinite, to be measured."""
    network, state = load_network(checkpoint)
    if is_infinite(state):
        yield InfiniteStepper(network, short_side, every=5)
        return
    with exported_stepper(
        network, state['preset'], short_side=short_side, threads=threads
    ) as segmenter:
        yield segmenter


def evaluate_true_recent(
    checkpoint: Path,
    root: Path,
    *,
    short_side: int = 480,
    threads: int = 0,
    split: str = '',
) -> tuple[EvalReport, EvalReport]:
    """
    Measure a student as it is, and with the true mask in its recent memory after every frame.

    What the second is better by is lost through errors that accumulate: the accumulation gap.
    Frames without a true mask are remembered as they were found.

    :param checkpoint: as `load_network` takes it, and so on: see `evaluate_finite`.
    """
    student, state = load_network(checkpoint)
    with exported_stepper(
        student, state['preset'], short_side=short_side, threads=threads
    ) as segmenter:
        sequences = open_labelled(root, split=split)
        plain = evaluate_sequences(sequences, lambda: segmenter)
        with_truth = {
            sequence.name: evaluate_sequence(TrueRecent(segmenter, sequence), sequence)
            for sequence in sequences
        }
    return plain, EvalReport(with_truth)


class TrueRecent:
    """
    What `evaluate_sequence` measures: a segmenter that is told the truth once it has answered.

    :param sequence: the one that is measured; tells the frames apart by their stamps.
    """

    def __init__(self, segmenter: VideoSegmenter, sequence: MaskedSequence) -> None:
        self._segmenter, self._sequence = segmenter, sequence

    def reset(self) -> None:
        """Forget all objects."""
        self._segmenter.reset()

    def step(self, frame: Frame, prompt: Prompt | None = None) -> Segmentation:
        """Segment one frame, then remember its true masks."""
        if prompt is None:
            answer = self._segmenter.segment(frame)
        elif self._segmenter.object_ids:
            answer = self._segmenter.add_objects(frame, prompt)
        else:
            answer = self._segmenter.start(frame, prompt)
        # the first stamp is one period
        index = round(frame.stamp_ns * 1e-9 * self._sequence.rate_hz) - 1
        self._segmenter.memorize(self._sequence.label_map(index))
        return answer


class InfiniteStepper:
    """
    What `evaluate_root` measures; the memory grows by a frame every n-th step.

    :param short_side: of the network's input, px.
    """

    def __init__(self, network: Student, short_side: int, every: int) -> None:
        self._network, self._short_side, self._every = network, short_side, every
        self._labeler = Labeler()
        self.reset()

    def reset(self) -> None:
        """Forget all objects."""
        self._ids: Sequence[int] = ()
        self._kept: list[tuple[torch.Tensor, torch.Tensor]] = []
        self._last: tuple[torch.Tensor, torch.Tensor] | None = None
        self._count = 0

    @torch.inference_mode()
    def step(self, frame: Frame, prompt: Prompt | None = None) -> Segmentation:
        """
        Segment one frame and remember it.

        :raises ValueError: a prompt after the first one; objects all start together here.
        """
        began = perf_counter()
        size = network_size(frame.size, self._short_side)
        image = resize_image(frame.image, size)
        if frame.encoding == 'bgr8':
            image = image[..., ::-1]
        pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None]
        features = self._network.encode_image(self._network.normalise(pixels))
        if prompt is not None:
            if self._kept:
                raise ValueError('a network with infinite memory takes one prompt, on frame 0')
            self._ids = ids_in(prompt.label_map)
            masks = masks_at_stride(prompt.label_map, self._ids, (size[0] // 4, size[1] // 4))
            background = np.clip(1 - masks.sum(0, keepdims=True), 0, 1)
            prob = np.concatenate([background, masks])
            label_map = prompt.label_map
        else:
            memory = [*self._kept, *([self._last] if self._last is not None else [])]
            rows = [*memory, memory[0]] if len(memory) == 1 else memory
            logits, _ = self._network.segment(
                features,
                torch.stack([key for key, _ in rows], dim=1),
                torch.stack([value for _, value in rows], dim=2),
            )
            prob = soft_aggregate(logits)[0].numpy()
            label_map = self._labeler(prob, tuple(self._ids), frame.size)
        mask = torch.from_numpy(prob[1:])[None]
        newest = (
            features['key'].flatten(2),
            self._network.encode_mask(features, mask, others_of(mask)),
        )
        if self._count % self._every == 0:
            self._kept.append(newest)
            self._last = None
        else:
            self._last = newest
        self._count += 1
        timing = StepTiming(segment_ms=(perf_counter() - began) * 1e3)
        scores = {k: sight.score for k, sight in zip(self._ids, look(prob))}
        return Segmentation(
            label_map, tuple(self._ids), scores, frame.stamp_ns, frame.frame_id, timing, prob
        )
