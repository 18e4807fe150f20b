# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A larger network that begins as a trained one."""

from pathlib import Path

import pytest

torch = pytest.importorskip('torch', reason='the training package needs torch')

from two_frames import logits  # noqa: E402

from vos_distill.networks.student import FastStudent  # noqa: E402
from vos_distill.networks.weights import load_network  # noqa: E402
from vos_distill.networks.widen import widen, widen_checkpoint  # noqa: E402

MODELS = Path(__file__).parents[3] / 'models'


def small(
    decoder: tuple[int, int, int] = (16, 12, 8),
    mask_width: tuple[int, int] = (8, 8),
    stored_width: int = 12,
    sees_edges: bool = False,
) -> FastStudent:
    return FastStudent(
        'plain', 16, value_width=24, decoder=decoder, mask_width=mask_width,
        stored_width=stored_width, sees_edges=sees_edges,
    ).eval()  # fmt: skip


LARGER = {
    'the same': {},
    'decoder': {'decoder': (20, 16, 12)},
    'masks': {'mask_width': (12, 16)},
    'edges': {'sees_edges': True},
    'all': {'decoder': (16, 24, 16), 'mask_width': (16, 8), 'sees_edges': True},
}


@pytest.mark.parametrize('name', LARGER)
def test_a_larger_network_begins_as_the_trained_one(name: str) -> None:
    trained, larger = small(), small(**LARGER[name])
    with torch.no_grad():
        before = logits(larger)
        widen(trained, larger)
        expected, found = logits(trained), logits(larger)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(before, expected, atol=1e-3)


@pytest.mark.parametrize('name', ['decoder', 'masks', 'edges'])
def test_what_is_new_is_learnt(name: str) -> None:
    larger = small(**LARGER[name])
    widen(small(), larger)
    logits(larger).square().mean().backward()
    new = {'decoder': 'block4.conv1', 'masks': 'mask_encoder.2', 'edges': 'edge_proj'}[name]
    gradient = larger.get_parameter(f'{new}.weight').grad
    assert gradient is not None
    assert (gradient[:, 8:] if name != 'edges' else gradient).abs().max() > 0


@pytest.mark.parametrize(
    ('trained', 'larger', 'why'),
    [
        ({}, {'decoder': (16, 12, 4)}, r'skip4\.weight|up4|predict|block4|propagated'),
        ({}, {'stored_width': 16}, r'readout_conv'),
        ({'sees_edges': True}, {}, r'edge_proj\.\w+ has no place'),
    ],
)
def test_what_cannot_grow_is_named(trained: dict, larger: dict, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        widen(small(**trained), small(**larger))


def test_a_shipped_model_becomes_a_checkpoint_of_the_larger_preset(tmp_path: Path) -> None:
    before, after = widen_checkpoint(
        MODELS / 'fast_mb_slim', 'fast_mb_edges', tmp_path / 'edges.pt'
    )
    assert (before, after) == (1_104_434, 1_107_906)
    student, state = load_network(tmp_path / 'edges.pt')
    assert state['preset'] == 'fast_mb_edges'
    assert isinstance(student, FastStudent)
    assert student.mask_features == ('frame_value', 'frame_edges')
    with pytest.raises(ValueError, match='only the fast family'):
        widen_checkpoint(MODELS / 'deformable_mb', 'fast_mb_edges', tmp_path / 'no.pt')
