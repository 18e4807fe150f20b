# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""MobileVOS's losses: the invariants which need no weights and no data."""

import pytest

torch = pytest.importorskip('torch', reason='the training package needs torch')

from vos_distill.losses.distillation import (  # noqa: E402
    attention_loss,
    boundary_band,
    gram,
    inter_object_loss,
    intra_object_loss,
    logit_distillation,
    pearson_distance,
    Reduction,
    representation_loss,
    same_class,
    sample_pixels,
)


def renyi_entropy(matrix: torch.Tensor) -> torch.Tensor:
    """Give H2 = -log2 tr(A^2) of the trace-normalised Gram matrix, as in equation 1's reading."""
    a = matrix / matrix.trace()
    return -torch.log2(a.square().sum())


def features(seed: int, n: int = 40, d: int = 8) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize('d', [4, 16, 64])
def test_loss_is_entropy_of_the_teacher_minus_mutual_information(d: int) -> None:
    """Both sides computed on their own: H2(T) - I2(S; T), I2 = H2(S) + H2(T) - H2(S, T)."""
    s, t = features(0, 60, d).double(), features(1, 60, 12).double()
    c_s, c_t = gram(s).double(), gram(t).double()
    information = renyi_entropy(c_s) + renyi_entropy(c_t) - renyi_entropy(c_s * c_t)
    expected = renyi_entropy(c_t) - information
    loss = representation_loss(s, t, normalizer='none')
    assert float(loss) == pytest.approx(float(expected), abs=1e-5)


def test_loss_is_never_negative() -> None:
    for seed in range(20):
        labels = torch.arange(40) % 2
        for omega in (0.0, 0.5, 0.95, 1.0):
            loss = representation_loss(features(seed), features(seed + 99), labels, omega=omega)
            assert float(loss) >= 0


def test_rotating_either_side_or_permuting_both_changes_nothing() -> None:
    s, t = features(0), features(1, d=6)
    plain = representation_loss(s, t)
    rotation, _ = torch.linalg.qr(features(2, 8, 8))
    torch.testing.assert_close(representation_loss(s @ rotation, t), plain)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(representation_loss(s[order], t[order]), plain)


def test_orthonormal_student_has_loss_zero_for_every_teacher() -> None:
    """The trap that forbids N <= d_s."""
    assert float(representation_loss(torch.eye(10), features(1, 10))) == pytest.approx(0, abs=1e-6)


def test_contrastive_end_is_zero_for_features_that_are_the_class() -> None:
    labels = torch.arange(30) % 3
    one_hot = torch.nn.functional.one_hot(labels).float()
    loss = representation_loss(one_hot, None, labels, omega=0.0)
    assert float(loss) == pytest.approx(0, abs=1e-6)


def test_order_of_good_and_bad_students_is_right() -> None:
    """A copy of the teacher beats noise, and noise beats a collapsed student."""
    labels = torch.arange(400) % 2
    g = torch.Generator().manual_seed(0)
    teacher = torch.randn(2, 64, generator=g)[labels] + 0.5 * torch.randn(400, 64, generator=g)
    copy, noise = teacher, torch.randn(400, 64, generator=g)
    collapsed = torch.ones(400, 64)
    values = [
        float(representation_loss(z, teacher, normalizer='none')) for z in (copy, noise, collapsed)
    ]
    assert values[0] < values[1] < values[2]


def test_teacher_gets_no_gradient_and_the_student_does() -> None:
    s, t = features(0).requires_grad_(), features(1).requires_grad_()
    representation_loss(s, t, torch.arange(40) % 2, omega=0.5).backward()
    assert t.grad is None
    assert s.grad is not None
    assert float(s.grad.abs().sum()) > 0


@pytest.mark.parametrize('z', [features(0, 2, 3), torch.ones(5, 3), torch.zeros(5, 3)])
def test_loss_is_finite_at_the_edges(z: torch.Tensor) -> None:
    z = z.clone().requires_grad_()
    for reduction in ('global', 'anchor'):
        loss = representation_loss(z, z.detach(), reduction=reduction)  # type: ignore[arg-type]
        loss.backward()
        assert bool(torch.isfinite(loss))
        assert bool(torch.isfinite(z.grad).all())


def test_target_is_linear_in_omega() -> None:
    """omega = 1 ignores labels, omega = 0 ignores the teacher."""
    s, t, labels = features(0), features(1), torch.arange(40) % 2
    shuffled = labels.flip(0) * 3 + 1
    torch.testing.assert_close(
        representation_loss(s, t, labels, omega=1.0),
        representation_loss(s, t, shuffled, omega=1.0),
    )
    torch.testing.assert_close(
        representation_loss(s, t, labels, omega=0.0),
        representation_loss(s, features(7), labels, omega=0.0),
    )
    c_s, target = gram(s), 0.3 * gram(t) + 0.7 * same_class(labels)
    expected = torch.log2(c_s.square().sum()) - torch.log2((c_s * target).square().sum())
    torch.testing.assert_close(
        representation_loss(s, t, labels, omega=0.3, normalizer='none'), expected
    )


def test_missing_inputs_are_named() -> None:
    with pytest.raises(ValueError, match='teacher'):
        representation_loss(features(0), None)
    with pytest.raises(ValueError, match='labels'):
        representation_loss(features(0), features(1), omega=0.5)


def square() -> torch.Tensor:
    mask = torch.zeros(32, 32, dtype=torch.bool)
    mask[8:20, 10:24] = True
    return mask


def test_samples_lie_in_the_band_when_it_is_large_enough() -> None:
    mask = square()
    band = boundary_band(mask)
    chosen = sample_pixels(mask, 64, generator=torch.Generator().manual_seed(0))
    assert chosen is not None
    assert bool(band.flatten()[chosen].all())
    assert len(set(chosen.tolist())) == 64


def test_a_small_band_is_topped_up_from_elsewhere() -> None:
    mask = square()
    band = boundary_band(mask).flatten()
    chosen = sample_pixels(mask, 400, generator=torch.Generator().manual_seed(0))
    assert chosen is not None
    assert len(chosen) == 400
    assert bool(band[chosen].sum() == band.sum())


@pytest.mark.parametrize('count', [2, 3, 64])
@pytest.mark.parametrize('boundary', [True, False])
def test_both_classes_are_always_drawn(count: int, boundary: bool) -> None:
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        mask = torch.zeros(32, 32, dtype=torch.bool)
        mask[3, 4] = True
        chosen = sample_pixels(mask, count, boundary=boundary, generator=generator)
        assert chosen is not None
        assert set(mask.flatten()[chosen].tolist()) == {True, False}


def test_sampling_is_repeatable_and_skips_absent_and_full_objects() -> None:
    a, b = (
        sample_pixels(square(), 50, generator=torch.Generator().manual_seed(5)) for _ in range(2)
    )
    assert a is not None
    assert b is not None
    assert a.tolist() == b.tolist()
    assert sample_pixels(torch.zeros(8, 8, dtype=torch.bool), 10) is None
    assert sample_pixels(torch.ones(8, 8, dtype=torch.bool), 10) is None


def test_logit_distillation_is_zero_for_equal_and_grows_with_the_difference() -> None:
    torch.manual_seed(0)
    teacher = torch.rand(1, 3, 4, 4).softmax(1)
    assert float(logit_distillation(teacher, teacher)) == pytest.approx(0, abs=1e-6)
    near = (teacher.log() + 0.1 * torch.randn(1, 3, 4, 4)).softmax(1)
    far = (teacher.log() + 1.0 * torch.randn(1, 3, 4, 4)).softmax(1)
    assert 0 < float(logit_distillation(near, teacher)) < float(logit_distillation(far, teacher))


def test_logit_distillation_counts_the_chosen_pixels_only() -> None:
    teacher = torch.tensor([0.9, 0.1]).view(1, 2, 1, 1).expand(1, 2, 2, 2)
    student = teacher.clone()
    student[0, :, 0, 0] = torch.tensor([0.1, 0.9])
    where = torch.ones(1, 2, 2, dtype=torch.bool)
    where[0, 0, 0] = False
    assert float(logit_distillation(student, teacher, where)) == pytest.approx(0, abs=1e-6)
    assert float(logit_distillation(student, teacher, ~where)) > 1


def test_the_logit_loss_of_a_batch_is_the_mean_of_its_clips() -> None:
    """Bands of any length count the same, so that two processes learn what one learns."""
    draw = torch.Generator().manual_seed(0)
    student = torch.rand(2, 2, 6, 6, generator=draw).softmax(1)
    teacher = torch.rand(2, 2, 6, 6, generator=draw).softmax(1)
    where = torch.zeros(2, 6, 6, dtype=torch.bool)
    where[0, 0, 0] = True
    where[1, 2:] = True
    whole = logit_distillation(student, teacher, where)
    parts = [logit_distillation(student[[i]], teacher[[i]], where[[i]]) for i in (0, 1)]
    torch.testing.assert_close(whole, (parts[0] + parts[1]) / 2)


def test_void_is_never_drawn() -> None:
    mask, void = square(), torch.zeros(32, 32, dtype=torch.bool)
    void[:, 16:] = True
    chosen = sample_pixels(mask, 2000, void=void, generator=torch.Generator().manual_seed(0))
    assert chosen is not None
    assert len(chosen) == 32 * 16
    assert not bool(void.flatten()[chosen].any())
    two = sample_pixels(mask, 2, void=void, generator=torch.Generator().manual_seed(0))
    assert two is not None
    assert not bool(void.flatten()[two].any())
    assert sorted(mask.flatten()[two].tolist()) == [False, True]
    assert sample_pixels(mask, 10, void=mask) is None  # all that is left is background


def probabilities(seed: int, clips: int, channels: int) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    return (3 * torch.randn(clips, channels, 6, 8, generator=draw)).softmax(1)


def test_relation_losses_of_a_batch_are_the_means_of_their_clips() -> None:
    """However many pixels and channels of each hardly vary, so that two processes equal one."""
    student, teacher = probabilities(0, 4, 3), probabilities(1, 4, 3)
    teacher[2:, 2] = 0  # varies in two of the clips only
    teacher[0, :, :5] = 1 / 3  # so that most pixels of one clip have no order of objects
    exists = torch.ones(4, 2)
    for loss in (
        lambda part: intra_object_loss(student[part], teacher[part]),
        lambda part: inter_object_loss(student[part], teacher[part], exists[part]),
    ):
        whole = loss(slice(None))
        halves = [loss(slice(0, 2)), loss(slice(2, 4))]
        torch.testing.assert_close(whole, (halves[0] + halves[1]) / 2)
        torch.testing.assert_close(whole, sum(loss(slice(i, i + 1)) for i in range(4)) / 4)


def test_a_clip_with_one_object_has_no_order_of_objects_whatever_its_neighbours_have() -> None:
    student, teacher = probabilities(0, 2, 3), probabilities(1, 2, 3)
    exists = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    assert float(inter_object_loss(student[:1], teacher[:1], exists[:1])) == 0.0
    second = inter_object_loss(student[1:], teacher[1:], exists[1:])
    torch.testing.assert_close(inter_object_loss(student, teacher, exists), second / 2)
    spare = torch.cat([student, 0.5 * student[:, :1]], 1), torch.cat([teacher, teacher[:, 2:]], 1)
    unused = torch.cat([exists, torch.zeros(2, 1)], 1)
    torch.testing.assert_close(inter_object_loss(*spare, unused), second / 2)


def test_similarities_keep_float32_under_autocast() -> None:
    z = features(0, 64, 24)
    maps = features(1, 200, 64).view(2, 100, 64).softmax(-1)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        assert (z @ z.T).dtype == torch.bfloat16, 'autocast is not at work'
        similar, distance = gram(z), attention_loss(maps, maps.flip(0))
    torch.testing.assert_close(similar, gram(z), rtol=0, atol=0)
    torch.testing.assert_close(distance, attention_loss(maps, maps.flip(0)), rtol=0, atol=0)


@pytest.mark.parametrize('sure', [1e-3, 1e-9, 1e-13])
def test_a_student_that_is_wrong_and_sure_of_it_is_pulled_back(sure: float) -> None:
    """In log space the gradient stays 1 / temperature, times the teacher's probability."""
    log_odds = torch.log(torch.tensor(sure)).requires_grad_()
    prob = torch.stack([torch.exp(log_odds), 1 - torch.exp(log_odds)]).view(1, 2, 1, 1)
    teacher = torch.tensor([0.999, 0.001]).view(1, 2, 1, 1)
    logit_distillation(prob, teacher, temperature=0.1).backward()
    assert log_odds.grad is not None
    assert float(log_odds.grad) == pytest.approx(-10.0, rel=0.01)


def test_inter_object_loss_is_that_of_each_clip_with_its_own_objects() -> None:
    student, teacher = probabilities(0, 3, 4), probabilities(1, 3, 4)
    teacher[1, :, :3] = 0.25
    exists = torch.tensor([[1.0, 0.0, 1.0], [1.0, 1.0, 1.0], [0.0, 1.0, 0.0]])
    clips = [torch.zeros(())]
    for s, t, used in zip(student.flatten(2), teacher.flatten(2), exists[:2] > 0):
        channels = torch.cat([torch.tensor([True]), used])
        distance, varies = pearson_distance(s[channels].T, t[channels].T)
        clips.append((distance * varies).sum() / varies.sum())
    loss = inter_object_loss(student, teacher, exists)
    torch.testing.assert_close(loss, torch.stack(clips).sum() / 3, rtol=0, atol=1e-6)


@pytest.mark.parametrize('reduction', ['global', 'anchor'])
def test_representation_loss_of_several_objects_is_that_of_each(reduction: Reduction) -> None:
    student, teacher = (torch.stack([features(s + i) for i in range(3)]) for s in (0, 10))
    labels = (student[..., 0] > 0).long()

    def loss(part: int | slice) -> torch.Tensor:
        return representation_loss(
            student[part], teacher[part], labels[part], omega=0.5, reduction=reduction
        )

    torch.testing.assert_close(loss(slice(None)), torch.stack([loss(i) for i in range(3)]))
