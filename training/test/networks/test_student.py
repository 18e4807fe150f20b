# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Students: parameter counts, shapes, and the invariants of reading a two-frame memory."""

from pathlib import Path
import re

import pytest

torch = pytest.importorskip('torch', reason='the training package needs torch')

from vos_distill.networks.backbones import BACKBONES, load_imagenet  # noqa: E402
from vos_distill.networks.presets import (  # noqa: E402
    build_student,
    count_parameters,
    PRESETS,
    TEACHERS,
)
from vos_distill.networks.student import cell_grid, FastStudent, MobileVosStudent, Student  # noqa: E402

# The paper publishes 8.1, 2.5 and 1.9 M (CVPR 2023); widths are derived from those.
PUBLISHED = {'resnet18': 8.1e6, 'mobilenet_v2': 2.5e6, 'mobilenet_v2_no_aspp': 1.9e6}


@pytest.mark.parametrize('name', PRESETS)
def test_preset_has_exactly_the_parameters_it_states(name: str) -> None:
    assert count_parameters(build_student(name)) == PRESETS[name].parameters


@pytest.mark.parametrize('name', PUBLISHED)
def test_paper_presets_are_within_two_percent_of_the_published_size(name: str) -> None:
    assert PRESETS[name].parameters == pytest.approx(PUBLISHED[name], rel=0.02)


def run_once(student: Student, clips: int, objects: int) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    h, w = 64, 96
    features = student.encode_image(torch.randn(clips, 3, h, w))
    masks = torch.rand(clips, objects, h // 4, w // 4)
    value = student.encode_mask(features, masks, masks.flip(1))
    key = features['key'].flatten(2)
    memory_key, memory_value = torch.stack([key, key], 1), torch.stack([value, value], 2)
    logits, _ = student.segment(features, memory_key, memory_value)
    return value, logits


@torch.no_grad()
@pytest.mark.parametrize('name', PRESETS)
def test_shapes_are_those_of_the_contract(name: str) -> None:
    student = build_student(name).eval()
    value, logits = run_once(student, clips=2, objects=3)
    assert value.shape == (2, 3, student.value_dim, 4 * 6)
    assert logits.shape == (2, 3, 16, 24)
    assert bool(torch.isfinite(logits).all())


@torch.no_grad()
@pytest.mark.parametrize('name', ['fast_mb', 'mobilenet_v2_no_aspp'])
def test_objects_are_computed_independently(name: str) -> None:
    """A further object in the batch changes nothing for the first one."""
    student = build_student(name).eval()
    torch.manual_seed(0)
    features = student.encode_image(torch.randn(1, 3, 64, 96))
    key = features['key'].flatten(2)
    memory_key = torch.stack([key, key], 1)
    value = torch.randn(1, 3, 2, student.value_dim, key.shape[-1])
    three, _ = student.segment(features, memory_key, value)
    one, _ = student.segment(features, memory_key, value[:, :1])
    torch.testing.assert_close(three[:, :1], one, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_affinity_is_the_softmax_of_negative_squared_distances() -> None:
    student = build_student('mobilenet_v2_no_aspp')
    assert isinstance(student, MobileVosStudent)
    torch.manual_seed(0)
    query, memory = torch.randn(1, 64, 3, 4), torch.randn(1, 2, 64, 12)
    affinity = student.affinity(query, memory)
    tokens = memory.transpose(1, 2).flatten(2)[0].T
    distance = torch.cdist(query.flatten(2)[0].T, tokens).square() / 8
    torch.testing.assert_close(affinity[0], (-distance).softmax(-1), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(affinity.sum(-1), torch.ones(1, 12))


@torch.no_grad()
def test_affinity_of_the_fast_student_adds_the_distance_between_positions() -> None:
    student = build_student('tiny')
    assert isinstance(student, FastStudent)
    torch.manual_seed(0)
    query, memory = torch.randn(1, 16, 3, 4), torch.randn(1, 2, 16, 12)
    affinity, match = student.affinity(query, memory)
    y, x = torch.meshgrid(torch.arange(3.0), torch.arange(4.0), indexing='ij')
    cells = torch.stack([x, y]).flatten(1).T
    for row in range(2):
        keys = torch.cdist(query.flatten(2)[0].T, memory[0, row].T).square() / 4
        moves = row * (torch.cdist(cells, cells) * student.position_scale).square()
        expected = -(keys + moves)
        torch.testing.assert_close(affinity[0, row], expected.softmax(-1), rtol=1e-3, atol=1e-5)
        torch.testing.assert_close(match[0, row], expected.amax(-1).exp(), rtol=1e-3, atol=1e-5)


@torch.no_grad()
def test_memory_is_a_set_of_tokens_for_the_paper_student() -> None:
    student = build_student('mobilenet_v2_no_aspp').eval()
    torch.manual_seed(0)
    features = student.encode_image(torch.randn(1, 3, 64, 96))
    keys, values = torch.randn(1, 2, 64, 24), torch.randn(1, 1, 2, 64, 24)
    straight, _ = student.segment(features, keys, values)
    swapped, _ = student.segment(features, keys.flip(1), values.flip(2))
    torch.testing.assert_close(straight, swapped, rtol=1e-4, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize('name', ['resnet18', 'mobilenet_v2'])
def test_folding_batchnorm_away_changes_nothing(name: str) -> None:
    """Weights with BatchNorm, loaded into both kinds of backbone, give the same features."""
    torch.manual_seed(0)
    source = BACKBONES[name](folded=False).eval()
    for module in source.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, 0, 0.1)
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    folded = BACKBONES[name](folded=True).eval()
    load_imagenet(folded, source.state_dict())
    image = torch.randn(1, 3, 64, 64)
    for a, b in zip(source(image), folded(image), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


@torch.no_grad()
def test_the_documented_change_of_normalisation_keeps_the_features() -> None:
    """Run the lines of docs/training.md on random weights in the place of torchvision's."""
    torch.manual_seed(0)
    source = BACKBONES['mobilenet_v2']().eval()
    for name, value in source.state_dict().items():
        if name.endswith('running_mean'):
            value.normal_(0, 0.1)
    text = (Path(__file__).parents[3] / 'docs' / 'training.md').read_text()
    (code,) = re.findall(r'^(mean, std = .*?)^torch\.save', text, re.DOTALL | re.MULTILINE)
    scope = {'torch': torch, 'w': {k: v.clone() for k, v in source.state_dict().items()}}
    exec(code, scope)
    folded = BACKBONES['mobilenet_v2'](folded=True).eval()
    load_imagenet(folded, scope['w'])
    image = torch.rand(1, 3, 160, 160) * 255
    mean, std = (scope[name].view(3, 1, 1) for name in ('mean', 'std'))
    wanted, got = source((image - mean) / std)[0], folded(image / 127.5 - 1)[0]
    torch.testing.assert_close(
        got[..., 12:-12, 12:-12], wanted[..., 12:-12, 12:-12], rtol=1e-3, atol=1e-4
    )


def test_weights_of_another_backbone_are_refused_by_name() -> None:
    other = BACKBONES['mobilenet_v2'](folded=True)
    with pytest.raises(ValueError, match=r'conv1\.weight'):
        load_imagenet(BACKBONES['resnet18'](folded=True), other.state_dict())


def test_unknown_preset_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match='fast_mb'):
        build_student('resnet50')


def test_batch_norm_can_be_kept_for_training_unless_it_is_folded_already() -> None:
    torch.manual_seed(0)
    source = BACKBONES['resnet18']()
    for name, value in source.state_dict().items():
        if 'running' in name:
            value.copy_(torch.rand_like(value) + 0.5)
    kept = BACKBONES['resnet18']()
    load_imagenet(kept, source.state_dict(), keep_norm=True)
    image = torch.randn(2, 3, 64, 64)
    for mode in (False, True):  # the same network in training too, which folding changes
        outputs = zip(source.train(mode)(image), kept.train(mode)(image), strict=True)
        for a, b in outputs:
            torch.testing.assert_close(a, b)
    folded = BACKBONES['resnet18'](folded=True)
    with pytest.raises(ValueError, match='cannot be trained'):
        load_imagenet(kept, folded.state_dict(), keep_norm=True)


@torch.no_grad()
def test_later_frames_share_one_softmax_in_the_fast_family() -> None:
    torch.manual_seed(0)
    student = build_student('tiny').eval()
    assert isinstance(student, FastStudent)
    key = torch.randn(2, student.key_dim, 4, 5)
    memory = torch.randn(2, 4, student.key_dim, 20)
    affinity, match = student.affinity(key, memory)
    torch.testing.assert_close(affinity[:, 0].sum(-1), torch.ones(2, 20))
    torch.testing.assert_close(affinity[:, 1:].sum((1, 3)), torch.ones(2, 20))
    assert match.shape == (2, 2, 20)
    # a frame that is remembered twice counts twice in the softmax and changes no read-out
    once, match_once = student.affinity(key, memory[:, :2])
    twice, match_twice = student.affinity(key, memory[:, [0, 1, 1]])
    torch.testing.assert_close(twice[:, 1] + twice[:, 2], once[:, 1])
    torch.testing.assert_close(match_twice, match_once)


def fast(**options: str | int | bool) -> FastStudent:
    torch.manual_seed(0)
    return FastStudent(
        'plain', 16, value_width=24, decoder=(16, 12, 8), mask_width=(8, 8), **options
    ).eval()  # type: ignore[arg-type]


def read(student: FastStudent, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Read values (1, R, C, 15) of a memory of 3 x 5 tokens; the last keys are the query's."""
    torch.manual_seed(1)
    memory_key = torch.randn(1, values.shape[1], 16, 15)
    readout, match, *_ = student._read(memory_key[:, -1].unflatten(2, (3, 5)), memory_key, values)
    return readout, match


@torch.no_grad()
@pytest.mark.parametrize('frames', [2, 4])
def test_a_pooled_prompted_frame_leaves_the_later_ones_alone(frames: int) -> None:
    values = torch.randn(1, frames, 7, 15)
    plain, match = read(fast(), values)
    pooled, pooled_match = read(fast(pooled='prompted'), values)
    torch.testing.assert_close(pooled[:, 1], plain[:, 1])
    torch.testing.assert_close(pooled_match[:, 1], match[:, 1])
    assert not torch.allclose(pooled[:, 0], plain[:, 0])


@torch.no_grad()
def test_pooled_tokens_are_means_of_neighbours_of_what_is_there() -> None:
    student = fast(pooled='prompted')
    values = torch.arange(15.0).view(1, 1, 1, 15).expand(1, 2, 1, 15)
    # where all keys are alike, every token of the pooled frame counts the same
    key = torch.zeros(1, 16, 3, 5)
    readout, *_ = student._read(key, torch.zeros(1, 2, 16, 15), values)
    grid = torch.arange(15.0).view(3, 5)
    cells = [
        grid[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2].mean()
        for y in (0, 2)
        for x in (0, 2, 4)
    ]
    torch.testing.assert_close(readout[0, 0, 0], torch.stack(cells).mean().expand(15))


@torch.no_grad()
@pytest.mark.parametrize(
    'options', [{'pooled': 'prompted'}, {'pooled': 'both'}, {'separable': True}, {'finest': 8}]
)
def test_options_of_the_fast_family_keep_the_contract(options: dict[str, str | int]) -> None:
    student = fast(**options)
    value, logits = run_once(student, clips=2, objects=3)
    features = student.encode_image(torch.zeros(1, 3, 64, 96))
    _, extras = student.segment(features, torch.zeros(1, 2, 16, 24), torch.zeros(1, 3, 2, 40, 24))
    assert extras['decoder'].shape[::2] == (3, 16)
    assert extras['decoder'].shape[3] == 24
    assert value.shape == (2, 3, 40, 4 * 6)
    assert logits.shape == (2, 3, 16, 24)
    assert bool(torch.isfinite(logits).all())


@torch.no_grad()
@pytest.mark.parametrize('kernel', [1, 3])
def test_a_window_is_segmented_as_the_whole_frame_is(kernel: int) -> None:
    student = fast(readout_kernel=kernel)
    assert student.takes_places
    features = student.encode_image(torch.randn(1, 3, 256, 320))
    masks = torch.rand(1, 2, 64, 80)
    value = student.encode_mask(features, masks, masks.flip(1))
    memory = torch.stack([features['key'].flatten(2)] * 2, 1), torch.stack([value] * 2, 2)
    whole, _ = student.segment(features, *memory)
    grid = cell_grid(16, 20, whole)
    rows, columns = slice(0, 14), slice(3, 20)
    cut = {
        name: x[..., : 14 * (x.shape[2] // 16), 3 * (x.shape[3] // 20) :]
        for name, x in features.items()
    }
    here = grid.unflatten(1, (16, 20))[:, rows, columns].flatten(1)
    part, _ = student.segment(cut, *memory, (here, grid))
    expected = whole[..., :56, 12:]
    assert part.shape == expected.shape
    # as far from the new border as convolutions see
    torch.testing.assert_close(
        part[..., :-24, 24:], expected[..., :-24, 24:], rtol=1e-3, atol=1e-3
    )


def test_a_pooled_memory_takes_no_places() -> None:
    assert not fast(pooled='prompted').takes_places


@pytest.mark.parametrize('preset', ['resnet18', 'mobilenet_v2', 'fast_mb', 'stcn_r18'])
def test_keys_begin_at_unit_scale(preset: str) -> None:
    """Smaller, and all tokens look alike; larger, and the affinity is one-hot."""
    torch.manual_seed(0)
    student = build_student(preset) if preset in PRESETS else TEACHERS[preset][0]()
    std = student.backbone.feature_std[2]
    features = torch.randn(1, student.key_proj.in_channels, 24, 24) * std
    keys = student.key_proj(features * getattr(student, 'feature_scale', (1.0,))[-1])
    assert 0.8 < keys.std() < 1.2
