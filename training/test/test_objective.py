# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a clip becomes before the student sees it."""

import pytest

torch = pytest.importorskip('torch', reason='the training package needs torch')
pytest.importorskip('lightning_fabric', reason='training needs lightning-fabric')

from tiny_run import tiny_recipe  # noqa: E402

from vos_distill import objective  # noqa: E402
from vos_distill.clips import Clips  # noqa: E402
from vos_distill.presets import build_student  # noqa: E402


def two_clips() -> Clips:
    """Give one clip of two objects and one of a single object, three frames."""
    labels = torch.zeros(2, 3, 64, 64, dtype=torch.uint8)
    labels[:, :, 4:28, 4:28] = 1
    labels[0, :, 36:60, 36:60] = 2
    images = torch.zeros(2, 3, 3, 64, 64, dtype=torch.uint8)
    return Clips(images, labels, torch.zeros(2, dtype=torch.bool), torch.arange(2))


@pytest.mark.parametrize('stray', [0.0, 1.0])
def test_a_stray_is_no_object_but_the_recent_mask_has_a_part_of_it(
    stray: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = {}

    def noted(student, images, first, exists, drop, given):
        seen.update(first=first, exists=exists, given=given)
        return rollout(student, images, first, exists, drop, given)

    rollout = objective.rollout
    monkeypatch.setattr(objective, 'rollout', noted)
    torch.manual_seed(0)
    clips = two_clips()
    loss, _ = objective.clip_loss(build_student('tiny'), clips, tiny_recipe(stray=stray), 0.0)
    loss.backward()
    is_given, masks = seen['given']
    assert seen['exists'].tolist() == [[1, 1 - stray], [1, 0]]
    assert bool(seen['first'][0, 1].any()) is (stray == 0)
    assert is_given.tolist() == [stray == 1, False]
    if stray:
        assert 0 < float(masks[0, 0, 36:60, 36:60].mean()) < 1
        assert float(masks[0, 0, 4:28, 4:28].mean()) == 1
    assert clips.labels[0].unique().tolist() == [0, 1, 2], 'the batch itself stays as it was'
    assert not clips.jumped.any()
