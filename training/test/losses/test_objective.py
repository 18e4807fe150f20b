# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The loss over a batch of clips: what it must not depend on."""

from dataclasses import replace

import pytest

torch = pytest.importorskip('torch', reason='the training package needs torch')
pytest.importorskip('lightning_fabric', reason='training needs lightning-fabric')
pytest.importorskip('onnx', reason='the export needs onnx')

from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

from vos_distill.data.clips import Clips  # noqa: E402
from vos_distill.losses import objective  # noqa: E402
from vos_distill.losses.distillation import representation_loss, sample_pixels  # noqa: E402
from vos_distill.losses.objective import clip_loss, distillation_loss, Teacher  # noqa: E402
from vos_distill.networks.presets import build_network, build_student  # noqa: E402
from vos_distill.networks.rollout import StepOutput  # noqa: E402
from vos_distill.networks.student import Student  # noqa: E402
from vos_distill.recipe import Recipe  # noqa: E402


def student(seed: int = 0) -> Student:
    torch.manual_seed(seed)
    return build_student('tiny').eval()


def recipe(**changes: object) -> Recipe:
    return Recipe(preset='tiny', amp=False, drop_recent=0.0, **changes)  # type: ignore[arg-type]


def two_clips() -> Clips:
    """Give a clip with two objects and one with one."""
    draw = torch.Generator().manual_seed(0)
    images = torch.randint(0, 255, (2, 4, 3, 64, 64), dtype=torch.uint8, generator=draw)
    labels = torch.zeros(2, 4, 64, 64, dtype=torch.uint8)
    for t in range(4):
        labels[:, t, 10 + 2 * t : 34 + 2 * t, 10:34] = 1
    labels[0, :, 40:60, 30:56] = 2
    no = torch.zeros(2, dtype=torch.bool)
    sure = torch.full_like(labels, 255)
    return Clips(images, labels, no, no, torch.arange(2), sure)


def test_prompted_rows_become_ignorant_from_some_frame_on() -> None:
    draws = [torch.Generator().manual_seed(i) for i in range(400)]
    rows = objective.ignorant_from(draws, torch.zeros(400, 6, 1), 0.3)
    assert rows is not None
    assert not rows[:, :2].any()  # on frame 1 both rows are the prompted frame anyway
    assert (rows[:, 1:] >= rows[:, :-1]).all()
    assert 0.22 < float(rows[:, -1].float().mean()) < 0.38
    assert len(set(rows.sum(1).tolist())) == 5  # none, and each of four starts
    assert objective.ignorant_from(draws, torch.zeros(400, 6, 1), 0.0) is None


def test_the_recent_mask_of_a_clip_that_reveals_may_be_spoilt() -> None:
    clips = two_clips()
    reveals = clips._replace(revealed=torch.ones(2, dtype=torch.bool))

    def loss(clips: Clips, share: float) -> float:
        return float(
            clip_loss(student(), clips, recipe(spoil_revealed=share), 0.0, None)[0].detach()
        )

    assert loss(reveals, 1.0) != loss(clips, 1.0) == loss(clips, 0.0)


@pytest.mark.parametrize('is_taught', [False, True], ids=['alone', 'taught'])
def test_a_clip_with_one_object_counts_as_much_beside_one_with_two(is_taught: bool) -> None:
    teacher = Teacher(student(1), is_infinite=False) if is_taught else None
    # without representation_weight, which is a mean over objects
    settings = recipe(representation_weight=0.0, intra_weight=1.0, inter_weight=1.0)
    both = two_clips()

    def parts(clips: Clips) -> dict[str, float]:
        return clip_loss(student(), clips, settings, 0.5, teacher)[1]

    one, two = (parts(Clips(*(x[i : i + 1] for x in both))) for i in (0, 1))
    means = {name: (one[name] + two[name]) / 2 for name in one}
    assert means['dice'] > 0.1
    assert means['carried'] > 0.1
    assert parts(both) == pytest.approx(means, rel=1e-4)


@pytest.mark.parametrize(
    'weights',
    [
        {'dice_weight': 0.0, 'propagated_weight': 0.0},
        {'dice_weight': 1.0, 'propagated_weight': 0.0},
        {'dice_weight': 0.0, 'propagated_weight': 1.0},
    ],
    ids=['entropy', 'dice', 'carried'],
)
def test_void_is_not_judged(weights: dict[str, float], monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that the student says of a void pixel has a gradient."""
    seen: list[StepOutput] = []
    rollout = objective.rollout

    def watched(*arguments: object, **options: object) -> list[StepOutput]:
        outputs = rollout(*arguments, **options)  # type: ignore[arg-type]
        for output in outputs:
            output.prob.retain_grad()
            output.extras['propagated'].retain_grad()
        seen.extend(outputs)
        return outputs

    monkeypatch.setattr(objective, 'rollout', watched)
    clips = two_clips()
    clips.labels[:, 1:, 20:36, 20:36] = 255
    clip_loss(student(), clips, recipe(**weights), 0.9)[0].backward()
    void, beside = (..., slice(6, 8), slice(6, 8)), (..., slice(3, 5), slice(3, 5))
    of_prob = seen[-1].prob.grad  # the last frame is read by no later one
    of_carried = seen[-1].extras['propagated'].grad
    assert of_prob is not None
    assert of_carried is not None
    assert float(of_prob[void].abs().max()) == 0.0
    assert float(of_carried[void].abs().max()) == 0.0
    assert float(of_prob[beside].abs().max()) + float(of_carried[beside].abs().max()) > 0.0


def test_a_pixel_counts_as_much_as_its_label_is_sure() -> None:
    """All labels half as sure: half of every term; pixels without confidence: no term at all."""
    settings = recipe(hard_from=0.0)
    clips = two_clips()
    assert clips.confidence is not None

    def parts(confidence: torch.Tensor | None, progress: float = 0.3) -> dict[str, float]:
        of_clips = clips._replace(confidence=confidence)
        return clip_loss(student(), of_clips, settings, progress)[1]

    sure = parts(None)
    assert parts(clips.confidence) == sure
    half = parts(torch.full_like(clips.confidence, 51))
    for name in ('ce', 'dice', 'carried'):
        assert sure[name] > 0.1
        assert half[name] == pytest.approx(sure[name] / 5, rel=0.05 if name == 'dice' else 1e-4)
    doubtful = clips.confidence.clone()
    doubtful[:, :, 20:36, 20:36] = 0
    clips.labels[:, 1:, 20:36, 20:36] = 255
    void = parts(None)
    assert parts(doubtful) == pytest.approx(void, rel=1e-5)
    assert void != sure


def test_a_teacher_that_has_had_its_time_is_asked_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    teacher, asked = Teacher(student(1), is_infinite=False), []
    outputs = Teacher.outputs
    monkeypatch.setattr(
        Teacher, 'outputs', lambda *args, **more: asked.append(1) or outputs(*args, **more)
    )
    settings = recipe(teacher_until=0.4, segmentation_weight=0.5)

    def loss(progress: float, beside: Teacher | None, until: float) -> float:
        changed = replace(settings, teacher_until=until)
        return float(clip_loss(student(), two_clips(), changed, progress, beside)[0].detach())

    assert loss(0.39, teacher, 0.4) == loss(0.39, teacher, 1.0) != loss(0.39, None, 1.0)
    assert len(asked) == 2
    assert loss(0.4, teacher, 0.4) == loss(0.4, None, 1.0) != loss(0.4, teacher, 1.0)
    assert len(asked) == 3


def test_the_truth_in_a_teachers_place_is_the_same_loss_against_the_masks() -> None:
    settings = recipe(teacher='truth', representation_weight=0.0, boundary=False, logit_weight=0.5)
    clips = two_clips()
    found = clip_loss(student(), clips, settings, 0.5)[1]['distil']

    class Right(Teacher):
        def outputs(self, images: object, masks: object, exists: object, *, alone: bool = False):
            at = clips.labels.long()[:, 1:, 2::4, 2::4]
            sure = torch.nn.functional.one_hot(at, 3).movedim(-1, 2).float()
            return [StepOutput(t + 1, sure[:, t, 1:], sure[:, t], {}) for t in range(3)]

    always_right = Right(student(1), is_infinite=False)
    taught = replace(settings, teacher='student.pt')
    assert found == pytest.approx(
        clip_loss(student(), clips, taught, 0.5, always_right)[1]['distil'], rel=1e-5
    )
    assert found > 0.1
    until = replace(settings, teacher_until=0.4)
    assert clip_loss(student(), clips, until, 0.5)[1]['distil'] == 0.0


def test_the_truth_teaches_nothing_where_it_is_void() -> None:
    settings = recipe(teacher='truth', representation_weight=0.0, boundary=False)
    clips = two_clips()
    clips.labels[:, 1:] = 255
    assert clip_loss(student(), clips, settings, 0.5)[1]['distil'] == pytest.approx(0.0, abs=1e-6)


def test_a_representation_loss_without_weight_is_not_computed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    teacher = Teacher(student(1), is_infinite=False)

    def loss(weight: float) -> float:
        settings = recipe(representation_weight=weight)
        return float(clip_loss(student(), two_clips(), settings, 0.5, teacher)[0].detach())

    tiny = loss(1e-12)
    monkeypatch.delattr(objective, 'representation_loss')
    assert loss(0.0) == pytest.approx(tiny, abs=1e-6)
    with pytest.raises(NameError):
        loss(1.0)


def test_the_representation_loss_of_a_batch_is_the_mean_over_its_objects() -> None:
    """Also where voids leave different numbers of pixels to draw."""
    torch.manual_seed(0)
    b, k, side = 3, 2, 16
    labels = torch.zeros(b, 2, 4 * side, 4 * side, dtype=torch.int64)
    labels[:, :, 8:40, 8:40] = 1
    labels[1:, :, 44:60, 20:56] = 2
    labels[2, :, :, 48:] = 255
    own, shown = (
        StepOutput(
            1, torch.zeros(b, k, side, side), torch.rand(b, k + 1, side, side).softmax(1),
            {'decoder': torch.randn(b * k, 5, side, side)},
        )
        for _ in range(2)
    )  # fmt: skip
    settings = recipe(logit_weight=0.0, omega=0.5, pixels=250)

    def draws() -> list[torch.Generator]:
        return [torch.Generator().manual_seed(i) for i in range(b)]

    expected = []
    grid = labels[:, 1, 2::4, 2::4]
    for clip, draw in enumerate(draws()):
        for slot in range(k):
            mask = grid[clip] == slot + 1
            void = grid[clip] == 255
            chosen = sample_pixels(mask, settings.pixels, void=void, generator=draw)
            if chosen is None:
                continue
            z_s, z_t = (x.extras['decoder'][clip * k + slot].flatten(1) for x in (own, shown))
            expected.append(
                representation_loss(
                    z_s[:, chosen].T, z_t[:, chosen].T, mask.flatten()[chosen].long(),
                    omega=0.5, normalizer='none',
                )
            )  # fmt: skip
    assert len(expected) == 5
    loss = distillation_loss([own], [shown], labels, settings, draws())
    torch.testing.assert_close(loss, torch.stack(expected).mean())


class Operators(TorchDispatchMode):
    """Notes the name of every operator that runs inside it."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        self.names.add(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize('preset', ['tiny', 'deformable_tiny', 'mobilenet_v2_no_aspp'])
def test_a_step_runs_no_operator_that_autocast_refuses_on_a_gpu(preset: str) -> None:
    """It refuses exactly one: training with `amp` would stop at the first step."""
    torch.manual_seed(0)
    network = build_student(preset)
    teacher = Teacher(build_network(preset).eval().requires_grad_(False), is_infinite=False)
    attention = 0.0 if preset.startswith('mobilenet') else 1.0
    settings = recipe(
        intra_weight=1.0, inter_weight=1.0, attention_weight=attention, poly=1.0, leak=1.0
    )
    with Operators() as ran:
        loss, _ = clip_loss(network, two_clips(), settings, 0.9, teacher)
        loss.backward()
    assert 'convolution' in ran.names
    assert not {'binary_cross_entropy', 'binary_cross_entropy_backward'} & ran.names


def test_only_objects_that_exist_are_taken_for_each_other() -> None:
    draws = [torch.Generator().manual_seed(n) for n in range(3)]
    exists = torch.tensor([[1, 0, 1, 0], [1, 0, 0, 0], [1, 1, 1, 0]])
    images = torch.zeros(3, 6, 1)
    assert objective.confused_from(draws, images, exists, 0.0) is None
    confused = objective.confused_from(draws, images, exists, 1.0)
    assert confused is not None
    amount, partner = confused
    assert partner.tolist() == [[2, 1, 0, 3], [0, 1, 2, 3], [2, 0, 1, 3]]
    assert (amount[:, :2] == 0).all()
    assert (amount[:, -1] > 0).all()
    assert (amount.diff(dim=1) >= 0).all()
