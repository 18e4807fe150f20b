# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Gated propagation: plain attention is the special case, objects share a pass, ids are free."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='the training package needs torch')

from vos_distill.data import Clip  # noqa: E402
from vos_distill.data.clips import ClipDataset, merge_clips, torch_generator  # noqa: E402
from vos_distill.export.onnx_export import compare, export_graphs, export_model, FixedShape  # noqa: E402
from vos_distill.losses.distillation import (  # noqa: E402
    attention_loss,
    inter_object_loss,
    intra_object_loss,
)
from vos_distill.losses.objective import pseudo_labels  # noqa: E402
from vos_distill.networks.aggregation import others_of, soft_aggregate  # noqa: E402
from vos_distill.networks.gated import GatedAttention, GatedStudent, MemoryRows, OffsetNetwork  # noqa: E402
from vos_distill.networks.presets import build_student  # noqa: E402
from vos_distill.networks.rollout import rollout, StepOutput  # noqa: E402
from vos_distill.networks.teacher import infinite_rollout  # noqa: E402
from vos_distill.recipe import Recipe  # noqa: E402
from vos_ros.config import MemoryConfig, RuntimeConfig, SegmenterConfig  # noqa: E402
from vos_ros.datatypes import Frame, Prompt  # noqa: E402
from vos_ros.engine.segmenter import VideoSegmenter  # noqa: E402
from vos_ros.errors import VosError  # noqa: E402

SMALL = {
    'backbone': 'plain',
    'width': 24,
    'key_dim': 16,
    'value_width': 24,
    'decoder': (16, 12, 8),
}


def small(**changes: object) -> GatedStudent:
    torch.manual_seed(0)
    return GatedStudent(**{**SMALL, **changes}).eval()  # type: ignore[arg-type]


def clip(objects: int = 3, frames: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(1, frames, 3, 64, 96, generator=generator)
    masks = torch.zeros(1, objects, 64, 96)
    for k in range(objects):
        left = 4 + k * (88 // objects)
        masks[:, k, 10 + 2 * k : 30 + 2 * k, left : left + 80 // objects - 4] = 1
    return images, masks


def read(
    attention: GatedAttention, points: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, MemoryRows]:
    """Read a random memory of two rows."""
    query = torch.randn(2, 16, 6, 8)
    memory = MemoryRows(torch.randn(2, 2, 16, 6, 8), torch.randn(2, 2, 5, 6, 8))
    if attention.offsets is not None:
        attention.offsets.point.weight.data.copy_(points)
    readout, maps = attention.read(query, memory)
    return readout, maps, memory


def branch(offsets: OffsetNetwork | None) -> GatedAttention:
    return GatedAttention(24, 16, 24, offsets, is_near=True)


def test_zero_offsets_on_every_cell_are_plain_attention() -> None:
    deformable, plain = small(strides=(1, 1)), small(deformable=False)
    plain.load_state_dict(
        {n: w for n, w in deformable.state_dict().items() if n in plain.state_dict()}
    )
    images, masks = clip()
    ours = rollout(deformable, images, masks)[-1].logits
    torch.testing.assert_close(ours, rollout(plain, images, masks)[-1].logits)


def test_points_stay_within_reach_and_attention_sums_to_one() -> None:
    torch.manual_seed(0)
    network = OffsetNetwork(16, 2, reach=4.0)
    query = 50 * torch.randn(2, 16, 6, 8)
    own = network(query).detach()  # the weights that tell the offsets start at zero
    torch.nn.init.normal_(network.point.weight, std=10.0)
    moved = (network(query) - own).abs()
    assert 3.0 < float(moved.detach().max()) <= 4.0
    _, maps, _ = read(branch(network), network.point.weight)
    assert maps.shape == (2, 48, 2 * 12)
    torch.testing.assert_close(maps.sum(-1), torch.ones(2, 48))


def test_own_points_of_a_stride_are_the_centres_of_its_blocks() -> None:
    network = OffsetNetwork(16, 2, reach=4.0)
    x, y = network(torch.randn(1, 16, 6, 8))[0]
    # cells of 6 x 8: centre-relative x from -3.5 to 3.5, so blocks of two centre at -3, -1, 1, 3
    assert x[0].tolist() == [-3, -1, 1, 3]
    assert y[:, 0].tolist() == [-2, 0, 2]
    odd = network(torch.randn(1, 16, 5, 7))[0]
    assert odd[0, 0].tolist() == [-2.5, -0.5, 1.5, 3.5]


def test_a_shifted_point_reads_the_neighbour() -> None:
    class Shift(OffsetNetwork):
        def forward(self, query: torch.Tensor) -> torch.Tensor:
            at = super().forward(query)
            return at + torch.tensor([1.0, 0.0]).view(2, 1, 1)

    attention = GatedAttention(24, 16, 24, Shift(16, 1, 1.0), is_near=False)
    # a query that matches one cell only; the value of the cell left of it tells where it was read
    key = torch.zeros(1, 1, 16, 4, 6)
    key[0, 0, 0, 2, 3] = 40.0
    value = torch.arange(24.0).view(1, 1, 1, 4, 6)
    query = torch.zeros(1, 16, 4, 6)
    query[0, 0] = 40.0
    readout, maps = attention.read(query, MemoryRows(key, value))
    assert int(maps[0, 0].argmax()) == 2 * 6 + 2  # sampled one to the right of cell 2
    torch.testing.assert_close(readout[0, 0, 0, 0], torch.tensor(15.0))


def test_gradients_reach_the_offsets() -> None:
    student = small().train()
    images, masks = clip()
    sum(out.logits.mean() for out in rollout(student, images, masks)).backward()  # type: ignore[union-attr]
    for branch_ in (student.propagation[0].long, student.propagation[0].short):
        assert branch_.offsets is not None
        assert float(branch_.offsets.point.weight.grad.abs().sum()) > 0  # type: ignore[union-attr]


def test_ten_objects_are_one_pass_and_an_eleventh_is_refused() -> None:
    student = small()
    images, masks = clip(10)
    assert rollout(student, images, masks)[-1].logits.shape == (1, 10, 16, 24)
    with pytest.raises(RuntimeError):
        rollout(student, *clip(11))


def test_stored_values_carry_no_number() -> None:
    """Removing an object moves the others up; what was stored of them stays as it is."""
    student = small()
    images, masks = clip(3)
    coarse = torch.nn.functional.avg_pool2d(masks, 4)
    features = student.encode_image(images[:, 0])
    every = student.encode_mask(features, coarse, others_of(coarse))
    alone = student.encode_mask(features, coarse[:, 2:], others_of(coarse[:, 2:]))
    torch.testing.assert_close(every[:, 2:], alone)


def test_training_draws_other_embeddings_for_each_clip_and_always_the_same() -> None:
    student = small()  # in eval mode, as the trainer leaves a network whose BatchNorm is frozen
    images, masks = clip(2)
    images, masks = images.repeat(2, 1, 1, 1, 1), masks.repeat(2, 1, 1, 1)

    def logits(first: int) -> torch.Tensor:
        student.draw([torch_generator(0, first), torch_generator(0, first + 1)])
        return rollout(student, images, masks)[-1].logits.detach()

    again = logits(0)
    torch.testing.assert_close(logits(0), again)
    assert not torch.allclose(again[0], again[1])
    with torch.no_grad():
        same = rollout(student, images, masks)[-1].logits
    torch.testing.assert_close(same[0], same[1])


def test_teacher_reads_every_frame_it_is_given() -> None:
    teacher = small(layers=3, deformable=False)
    images, masks = clip(2, frames=5)
    known = torch.ones(1, 5, dtype=torch.bool)
    outputs = infinite_rollout(teacher, images, masks[:, None].expand(-1, 5, -1, -1, -1), known)
    tokens = 4 * 6
    assert outputs[0].extras['attention_long'].shape == (1, tokens, tokens)
    assert outputs[-1].extras['attention_long'].shape == (1, tokens, 3 * tokens)
    assert outputs[-1].extras['attention_short'].shape == (1, tokens, tokens)


@pytest.mark.parametrize('preset', ['deformable_tiny', 'gated_mb'])
def test_exported_graphs_agree_with_torch_at_sizes_they_were_not_traced_with(
    preset: str, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    student = build_student(preset).eval()
    for layer in student.propagation:  # type: ignore[attr-defined]
        if layer.long.offsets is not None:
            torch.nn.init.normal_(layer.long.offsets.point.weight, std=0.5)
    export_graphs(student, tmp_path)
    for height, width, objects in ((96, 160, 2), (112, 208, 3)):
        generator = torch.Generator().manual_seed(0)
        images = torch.randn(5, 3, height, width, generator=generator)
        masks = torch.zeros(objects, height, width)
        for k in range(objects):
            masks[k, 16:64, 16 + 48 * k : 56 + 48 * k] = 1
        parity = compare(student, tmp_path, images, masks)
        assert parity.holds, parity


def test_attention_loss_compares_queries_not_places() -> None:
    torch.manual_seed(0)
    a = torch.rand(2, 64, 20).softmax(-1)
    b = torch.rand(2, 64, 50).softmax(-1)
    assert float(attention_loss(a, a)) == pytest.approx(0, abs=1e-5)
    shuffled = a[:, :, torch.randperm(20)]
    assert float(attention_loss(a, shuffled)) == pytest.approx(0, abs=1e-5)
    distance = float(attention_loss(a, b))
    assert 0 < distance < 1
    kernel = torch.einsum('bnm,bkm->bnk', a, a), torch.einsum('bnm,bkm->bnk', b, b)
    centre = torch.eye(64) - 1 / 64
    s, t = (centre @ k @ centre for k in kernel)
    cka = (s * t).sum((1, 2)) / (s.square().sum((1, 2)) * t.square().sum((1, 2))).sqrt()
    assert distance == pytest.approx(float((1 - cka).mean()), abs=1e-5)
    with pytest.raises(ValueError, match='64 and 32 queries'):
        attention_loss(a, b[:, :32])


def test_relation_losses_see_relations_only() -> None:
    torch.manual_seed(0)
    prob = torch.rand(2, 4, 6, 8).softmax(1)
    other = torch.rand(2, 4, 6, 8).softmax(1)
    exists = torch.ones(2, 3)

    def between_objects(student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
        return inter_object_loss(student, teacher, exists)

    for loss in (intra_object_loss, between_objects):
        assert float(loss(prob, prob)) == pytest.approx(0, abs=1e-5)
        assert float(loss(0.5 * prob + 0.1, prob)) == pytest.approx(0, abs=1e-4)
        assert float(loss(prob, other)) > 0.1
    two = torch.rand(2, 2, 6, 8).softmax(1)
    assert float(inter_object_loss(two, two.flip(1), exists[:, :1])) == 0
    absent = prob.clone()
    absent[:, 3] = 0  # nothing to correlate with: it must not count
    torch.testing.assert_close(
        intra_object_loss(other, absent), intra_object_loss(other[:, :3], absent[:, :3])
    )


def test_pseudo_labels_are_the_teacher_s_where_it_is_sure() -> None:
    labels = torch.zeros(2, 2, 16, 16, dtype=torch.long)
    labels[:, :, :8] = 1
    logits = torch.full((2, 1, 4, 4), -5.0)
    logits[:, :, :, :2] = 5.0
    logits[:, :, :, 3] = 0.1  # not sure
    told = [StepOutput(1, logits, soft_aggregate(logits), {})]
    made = pseudo_labels(labels, told, torch.tensor([True, False]))
    assert torch.equal(made[:, 0], labels[:, 0])
    assert torch.equal(made[1], labels[1])
    assert set(made[0, 1, :, 0].tolist()) == {1}
    assert set(made[0, 1, :, 15].tolist()) == {255}


def test_merged_clip_has_the_objects_of_both() -> None:
    under, over = np.zeros((2, 2, 32, 32), np.uint8)
    under[:, :20, :20], over[:, 8:24, 8:24] = 1, 2
    over[:, 28:, 28:] = 1  # too small to be tracked
    images = np.zeros((2, 32, 32, 3), np.uint8), np.full((2, 32, 32, 3), 9, np.uint8)
    image, label = merge_clips((images[0], under), (images[1], over))
    assert sorted(np.unique(label)) == [0, 1, 2]
    assert (label[:, 8:24, 8:24] == 2).all()
    assert (label[:, :8, :8] == 1).all()
    assert (image[label == 2] == 9).all()
    assert (image[label == 1] == 0).all()


class Corners:
    """A composer whose clips have one object each, in the next corner."""

    def __init__(self) -> None:
        self.made = 0

    def compose(self, _rng: np.random.Generator, _progress: float) -> Clip:
        top, left = divmod(self.made, 2)
        self.made += 1
        labels = np.zeros((2, 64, 64), np.uint8)
        labels[:, 32 * top :, 32 * left :][:, :20, :20] = 1
        return Clip(np.zeros((2, 64, 64, 3), np.uint8), labels)


@pytest.mark.parametrize(
    ('merge', 'merges', 'objects'), [(0.0, 3, 1), (1.0, 1, 2), (1.0, 2, 3), (1.0, 3, 4)]
)
def test_clips_are_laid_over_each_other_as_often_as_the_recipe_says(
    merge: float, merges: int, objects: int
) -> None:
    recipe = Recipe(merge=merge, merges=merges)
    clips = ClipDataset(Corners(), recipe)  # type: ignore[arg-type]
    assert clips[0].labels.unique().tolist() == list(range(objects + 1))


def test_exported_student_follows_twelve_objects_in_the_engine(tmp_path: Path) -> None:
    torch.manual_seed(0)
    student = build_student('deformable_tiny')
    export_model(
        student, tmp_path, name='deformable', preset='deformable_tiny', short_side=96, card={}
    )
    config = SegmenterConfig(max_objects=12, memory=MemoryConfig(max_speed=0.0))
    runtime = RuntimeConfig(threads=1)
    segmenter = VideoSegmenter.open(str(tmp_path), config=config, runtime=runtime)
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (96, 160, 3), dtype=np.uint8)
    label_map = np.zeros((96, 160), np.uint8)
    for k in range(12):
        label_map[10 + 40 * (k // 6) :, :][:30, 4 + 26 * (k % 6) : 24 + 26 * (k % 6)] = k + 1
    segmenter.step(Frame(image), Prompt(label_map))
    answer = segmenter.step(Frame(image, stamp_ns=1))
    assert answer.object_ids == tuple(range(1, 13))
    segmenter.remove_objects([3])
    assert 3 not in segmenter.step(Frame(image, stamp_ns=2)).object_ids


def test_fixed_model_refuses_a_camera_of_another_shape_with_what_to_do(tmp_path: Path) -> None:
    torch.manual_seed(0)
    student = build_student('deformable_tiny')
    export_model(
        student, tmp_path, name='fixed', preset='deformable_tiny', short_side=96, card={},
        fixed=FixedShape(96, 160, 4),
    )  # fmt: skip
    segmenter = VideoSegmenter.open(str(tmp_path), runtime=RuntimeConfig(threads=1))
    label_map = np.zeros((96, 160), np.uint8)
    label_map[20:60, 20:60] = 1
    image = np.zeros((96, 160, 3), np.uint8)
    segmenter.step(Frame(image), Prompt(label_map))
    assert segmenter.step(Frame(image, stamp_ns=1)).object_ids == (1,)
    other = VideoSegmenter.open(str(tmp_path), runtime=RuntimeConfig(threads=1))
    with pytest.raises(VosError, match='takes 160x96 only, and images of 96x96'):
        other.step(Frame(np.zeros((96, 96, 3), np.uint8)), Prompt(label_map[:, :96]))
