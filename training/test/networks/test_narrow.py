# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A narrower network out of a wide one: what is kept, what is refused."""

from collections.abc import Callable
from pathlib import Path

import pytest

torch = pytest.importorskip('torch', reason='the training package needs torch')

from two_frames import logits  # noqa: E402

from vos_distill.networks.narrow import narrow, narrow_checkpoint  # noqa: E402
from vos_distill.networks.student import FastStudent  # noqa: E402
from vos_distill.networks.weights import load_network  # noqa: E402


def small(
    decoder: tuple[int, int, int] = (16, 12, 8),
    stored_width: int = 0,
    fuse_width: int = 0,
    readout_kernel: int = 3,
    separable: bool = False,
    finest: int = 4,
) -> FastStudent:
    return FastStudent(
        'plain', 16, value_width=24, decoder=decoder, mask_width=(8, 8),
        stored_width=stored_width, fuse_width=fuse_width, readout_kernel=readout_kernel,
        separable=separable, finest=finest,
    ).eval()  # fmt: skip


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(3)


@pytest.mark.parametrize('stored_width', [0, 9])
def test_network_of_the_same_widths_is_the_same_network(stored_width: int) -> None:
    wide, slim = small(stored_width=stored_width), small(stored_width=stored_width)
    narrow(wide, slim)
    for one, other in zip(wide.parameters(), slim.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def silence_stride_4(wide: FastStudent) -> None:
    """Let three channels neither be written nor read."""
    dead = [1, 4, 6]
    for layer in (wide.up4, wide.skip4, wide.propagated_conv, wide.block4.conv2):
        layer.weight[dead] = 0
        layer.bias[dead] = 0
    wide.block4.conv1.weight[:, dead] = 0
    wide.block4.conv1.weight[dead] = 0  # of the hidden channels
    wide.block4.conv1.bias[dead] = 0
    wide.predict.weight[:, dead] = 0


def silence_stride_8(wide: FastStudent) -> None:
    dead = [0, 3, 11]
    for layer in (wide.up8, wide.skip8, wide.block8.conv2):
        layer.weight[dead] = 0
        layer.bias[dead] = 0
    wide.block8.conv1.weight[:, dead] = 0
    wide.up4.weight[:, dead] = 0
    wide.block8.conv1.weight[dead] = 0  # of the hidden channels
    wide.block8.conv1.bias[dead] = 0


def silence_fusing(wide: FastStudent) -> None:
    wide.value_fuse.conv1.weight[5:] = 0
    wide.value_fuse.conv1.bias[5:] = 0


def read_few_directions(wide: FastStudent) -> None:
    """Give the reader of the values rank 9."""
    basis = torch.linalg.qr(torch.randn(24, 9)).Q
    rows = wide.readout_conv.weight[:, :80].unflatten(1, (2, 40))
    rows[:, :, :24] = torch.einsum('orvhw,vd,ud->oruhw', rows[:, :, :24], basis, basis)


def read_one_cell(wide: FastStudent) -> None:
    wide.readout_conv.weight[:, :, [0, 2]] = 0
    wide.readout_conv.weight[:, :, :, [0, 2]] = 0


@pytest.mark.parametrize(
    ('silence', 'slim'),
    [
        (silence_stride_4, lambda: small(decoder=(16, 12, 5))),
        (silence_stride_8, lambda: small(decoder=(16, 9, 8))),
        (silence_fusing, lambda: small(fuse_width=5)),
        (read_few_directions, lambda: small(stored_width=9)),
        (read_one_cell, lambda: small(readout_kernel=1)),
    ],
)
def test_what_is_not_used_is_left_out_without_a_change(
    silence: Callable[[FastStudent], None], slim: Callable[[], FastStudent]
) -> None:
    wide, narrower = small(), slim()
    with torch.no_grad():
        silence(wide)
        narrow(wide, narrower)
        torch.testing.assert_close(logits(narrower), logits(wide), rtol=1e-4, atol=1e-4)


def test_what_was_narrowed_can_be_narrowed_again() -> None:
    wide, slim, slimmer = small(), small(stored_width=12), small(stored_width=9)
    with torch.no_grad():
        read_few_directions(wide)
        narrow(wide, slim)
        narrow(slim, slimmer)
        torch.testing.assert_close(logits(slimmer), logits(wide), rtol=1e-4, atol=1e-4)


def test_strong_channels_stay() -> None:
    wide, slim = small(), small(decoder=(16, 12, 4))
    with torch.no_grad():
        wide.predict.weight[:, [0, 2, 5, 7]] *= 100
        narrow(wide, slim)
    torch.testing.assert_close(slim.predict.weight, wide.predict.weight[:, [0, 2, 5, 7]])


def test_wider_network_is_refused() -> None:
    with pytest.raises(ValueError, match=r'wider than what is there'):
        narrow(small(), small(decoder=(16, 12, 10)))
    with pytest.raises(ValueError, match=r'frame_proj'):
        narrow(small(), small(decoder=(12, 12, 8)))


def test_exported_model_becomes_a_checkpoint_of_the_narrower_preset(tmp_path: Path) -> None:
    model = Path(__file__).parents[3] / 'models' / 'fast_mb'
    before, after = narrow_checkpoint(model, 'fast_mb_slim', tmp_path / 'slim.pt')
    assert (before, after) == (1_392_930, 1_104_434)
    student, state = load_network(tmp_path / 'slim.pt')
    assert state['preset'] == 'fast_mb_slim'
    assert isinstance(student, FastStudent)
    assert student.value_dim == 80


def test_other_families_are_refused(tmp_path: Path) -> None:
    model = Path(__file__).parents[3] / 'models' / 'fast_mb'
    with pytest.raises(ValueError, match='only the fast family'):
        narrow_checkpoint(model, 'deformable_mb', tmp_path / 'slim.pt')


@pytest.mark.parametrize('option', ['separable', 'finest'])
def test_parts_of_another_kind_stay_as_they_were_drawn(option: str) -> None:
    wide = small()
    slim = small(separable=True) if option == 'separable' else small(finest=8)
    drawn = {k: v.clone() for k, v in slim.state_dict().items()}
    narrow(wide, slim)
    new = {'separable': ('block8', 'block4'), 'finest': ('propagated_conv', 'predict')}[option]
    theirs = wide.state_dict()
    for name, value in slim.state_dict().items():
        expected = drawn[name] if name.split('.')[0] in new else theirs[name]
        torch.testing.assert_close(value, expected, rtol=0, atol=0)
