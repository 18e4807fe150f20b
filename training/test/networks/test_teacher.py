# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The teacher: STCN's size, its public layout, and a memory that grows."""

from pathlib import Path

import pytest

torch = pytest.importorskip('torch', reason='the training package needs torch')
pytest.importorskip('lightning_fabric', reason='training needs lightning-fabric')
pytest.importorskip('onnx', reason='the export needs onnx')

from public_stcn import key_of, logits_of, public_stcn, value_of  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from typer.testing import CliRunner  # noqa: E402

from vos_distill.cli import app  # noqa: E402
from vos_distill.losses.objective import Teacher  # noqa: E402
from vos_distill.networks.presets import build_teacher, count_parameters, TEACHERS  # noqa: E402
from vos_distill.networks.rollout import rollout  # noqa: E402
from vos_distill.networks.student import MobileVosStudent  # noqa: E402
from vos_distill.networks.teacher import (  # noqa: E402
    from_stcn,
    infinite_rollout,
    load_stcn,
)


@pytest.mark.parametrize('name', TEACHERS)
def test_teacher_has_exactly_the_parameters_it_states(name: str) -> None:
    assert count_parameters(build_teacher(name)) == TEACHERS[name][1]


def test_stcn_has_the_published_size() -> None:
    assert round(TEACHERS['stcn'][1] / 1e6, 1) == 54.4


# Names as the public checkpoint has them, one of each kind, with the shapes of the paper.
STCN_SAMPLES = {
    'key_encoder.conv1.weight': (64, 3, 7, 7),
    'key_encoder.res2.0.downsample.1.running_var': (256,),
    'key_encoder.layer3.5.conv3.weight': (1024, 256, 1, 1),
    'value_encoder.conv1.weight': (64, 5, 7, 7),
    'value_encoder.layer2.0.downsample.0.weight': (128, 64, 1, 1),
    'value_encoder.fuser.block1.downsample.weight': (512, 1280, 3, 3),
    'value_encoder.fuser.attention.ChannelGate.mlp.1.weight': (32, 512),
    'value_encoder.fuser.attention.ChannelGate.mlp.3.bias': (512,),
    'value_encoder.fuser.attention.SpatialGate.spatial.conv.weight': (1, 2, 7, 7),
    'key_proj.key_proj.weight': (64, 1024, 3, 3),
    'key_comp.bias': (512,),
    'decoder.compress.downsample.weight': (512, 1024, 3, 3),
    'decoder.up_16_8.skip_conv.weight': (512, 512, 3, 3),
    'decoder.up_16_8.out_conv.downsample.weight': (256, 512, 3, 3),
    'decoder.up_8_4.out_conv.conv1.weight': (256, 256, 3, 3),
    'decoder.pred.weight': (1, 256, 3, 3),
}


def test_names_of_the_public_checkpoint_find_their_place() -> None:
    renamed = from_stcn({name: torch.empty(shape) for name, shape in STCN_SAMPLES.items()})
    ours = build_teacher('stcn').state_dict()
    assert len(renamed) == len(STCN_SAMPLES)
    for name, tensor in renamed.items():
        assert ours[name].shape == tensor.shape, name


@pytest.fixture(scope='module')
def public() -> dict[str, torch.Tensor]:
    return public_stcn()


@torch.no_grad()
def test_an_imported_checkpoint_computes_what_stcn_computes(
    public: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    torch.save(public, tmp_path / 'stcn.pth')
    out = tmp_path / 'teacher.pt'
    told = CliRunner().invoke(app, ['import-stcn', str(tmp_path / 'stcn.pth'), '--out', str(out)])
    assert told.exit_code == 0, told.output
    assert '54.432 M parameters' in told.output
    teacher = Teacher.load(out)
    assert teacher.is_infinite
    torch.manual_seed(1)
    images = torch.randn(3, 3, 64, 80)
    # as our value encoder gets masks: at stride 4, and brought to full size
    coarse = torch.rand(2, 1, 2, 16, 20)
    full = F.interpolate(coarse.flatten(0, 1), scale_factor=4, mode='bilinear').view(2, 2, 64, 80)
    theirs = [key_of(public, image[None]) for image in images]
    values = [
        value_of(public, image[None], seen['f16'], mask[None, :1], mask[None, 1:])
        for image, seen, mask in zip(images, theirs, full, strict=False)
    ]
    expected = logits_of(public, theirs[2], [t['key'] for t in theirs[:2]], values)
    network = teacher.network
    ours = [network.encode_image(image[None]) for image in images]
    for one, other in zip(ours, theirs, strict=True):
        for name, feature in other.items():
            torch.testing.assert_close(one[name], feature, rtol=1e-3, atol=1e-3, msg=name)
    read = [
        network.encode_mask(one, mask, mask.flip(1))[:, :1]
        for one, mask in zip(ours, coarse, strict=False)
    ]
    for one, value in zip(read, values, strict=True):
        torch.testing.assert_close(one[:, 0], value.flatten(2), rtol=1e-3, atol=1e-3)
    logits, _ = network.segment(
        ours[2],
        torch.stack([one['key'].flatten(2) for one in ours[:2]], 1),
        torch.stack(read, 2),
    )
    torch.testing.assert_close(logits, expected, rtol=1e-3, atol=1e-3)
    out.unlink()  # it is large, and pytest keeps what tests leave
    (tmp_path / 'stcn.pth').unlink()


def test_the_network_is_taken_out_of_a_checkpoint_to_resume_from(
    public: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    path = tmp_path / 'stcn_checkpoint.pth'
    torch.save({'it': 5, 'network': public, 'optimizer': {}, 'scheduler': {}}, path)
    teacher = build_teacher('stcn')
    load_stcn(teacher, path)
    path.unlink()
    expected = public['decoder.pred.weight']
    assert torch.equal(teacher.state_dict()['predict.weight'], expected)


def test_a_network_that_is_not_whole_or_of_one_object_is_one_message(
    public: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    path = tmp_path / 'stcn.pth'
    teacher = build_teacher('stcn')
    first = 'value_encoder.conv1.weight'
    for changed, said in (
        ({first: public[first][:, :4]}, "one object: a network of STCN's stage 0"),
        ({'key_comp.bias': None}, 'key_comp.bias is not part of an STCN checkpoint'),
        ({'key_comp.bias': torch.zeros(3)}, r'query_value.bias is \(3,\), expected \(512,\)'),
        ({'key_comp.more': torch.zeros(3)}, r'it has query_value\.more besides'),
    ):
        torch.save({**public, **changed}, path)
        with pytest.raises(ValueError, match=said) as told:
            load_stcn(teacher, path)
        assert str(told.value).startswith(f'{path}: not an STCN checkpoint: ')
        assert '\n' not in str(told.value)
    torch.save({n: w for n, w in public.items() if n != 'key_comp.bias'}, path)
    with pytest.raises(ValueError, match=r'it lacks query_value\.bias'):
        load_stcn(teacher, path)
    path.write_bytes(b'no')
    with pytest.raises(ValueError, match=r'stcn\.pth: not a readable checkpoint'):
        load_stcn(teacher, path)


def test_the_list_of_networks_ends_with_the_teachers() -> None:
    lines = CliRunner().invoke(app, ['presets']).output.splitlines()
    assert lines[0].split() == ['resnet18', '7.990', 'M']
    found = {line.split()[0]: line for line in lines}
    assert 'teacher' not in found['fast_mb']
    assert found['stcn'].split()[1:4] == ['54.432', 'M', 'teacher:']
    assert found['stcn_r18'].split()[1:4] == ['14.801', 'M', 'teacher:']


def test_another_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / 'other.pth'
    torch.save({'encoder.weight': torch.zeros(1)}, path)
    with pytest.raises(ValueError, match='not part of an STCN checkpoint'):
        load_stcn(build_teacher('stcn_r18'), path)


class Recorder(MobileVosStudent):
    """A paper student that writes down the memory it is given."""

    def __init__(self) -> None:
        super().__init__('mobilenet_v2')
        self.memories: list[torch.Tensor] = []

    def segment(self, features, memory_key, memory_value):  # type: ignore[no-untyped-def]
        self.memories.append(memory_value)
        return super().segment(features, memory_key, memory_value)


@torch.no_grad()
def test_infinite_memory_holds_every_frame_and_the_finite_one_two() -> None:
    torch.manual_seed(0)
    network = Recorder().eval()
    images = torch.randn(1, 5, 3, 64, 64)
    masks = (torch.rand(1, 5, 1, 64, 64) > 0.5).float()
    infinite = infinite_rollout(network, images, masks)
    # while there is only the first frame, it stands in for the most recent one too
    assert [m.shape[2] for m in network.memories] == [2, 2, 3, 4]
    network.memories.clear()
    finite = rollout(network, images, masks[:, 0])
    assert [m.shape[2] for m in network.memories] == [2, 2, 2, 2]
    # Up to frame 2 both know the same: {0}, which twice is the same to a softmax, and {0, 1}.
    for index in (0, 1):
        torch.testing.assert_close(infinite[index].prob, finite[index].prob, rtol=1e-3, atol=1e-5)


@torch.no_grad()
def test_known_masks_enter_the_memory_instead_of_predictions() -> None:
    torch.manual_seed(0)
    network = Recorder().eval()
    images = torch.randn(1, 3, 3, 64, 64)
    masks = (torch.rand(1, 3, 1, 64, 64) > 0.5).float()
    infinite_rollout(network, images, masks, torch.ones(1, 3, dtype=torch.bool))
    remembered = network.memories[-1][0, 0, 1]
    coarse = torch.nn.functional.avg_pool2d(masks[:, 1], 4)
    expected = network.encode_mask(
        network.encode_image(images[:, 1]), coarse, torch.zeros_like(coarse)
    )
    torch.testing.assert_close(remembered, expected[0, 0], rtol=1e-3, atol=1e-5)
