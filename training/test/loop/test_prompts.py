# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The prompt network: a stopped run goes on exactly, and what is exported is the same."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='the training package needs torch')
pytest.importorskip('onnx', reason='the export needs onnx')

from vos_distill.data import load_stills  # noqa: E402
from vos_distill.data.windows import next_click, PROMPTS, WindowMaker  # noqa: E402
from vos_distill.export.prompt_export import (  # noqa: E402
    export_prompt_network,
    load_prompt_network,
)
from vos_distill.loop.prompts import (  # noqa: E402
    losses,
    prepare,
    PromptRecipe,
    PromptTraining,
    train_prompts,
)
from vos_distill.networks.checkpoint import load_checkpoint  # noqa: E402
from vos_distill.networks.prompter import PromptNetwork  # noqa: E402
from vos_ros.backends.prompt_model import open_prompt_network  # noqa: E402
from vos_ros.engine.window import MAPS, OFF, ON, SIDE  # noqa: E402
from vos_ros.errors import VosError  # noqa: E402

_RECIPE = PromptRecipe(steps=6, windows=2, warmup=2, frozen_stages=3)


def test_windows_hold_an_object_and_prompts_on_it(data: Path) -> None:
    maker = WindowMaker(load_stills(data / 'static'), [])
    batch = maker.batch(12, np.random.default_rng(0))

    assert batch.images.shape == (12, 3, SIDE, SIDE)
    assert batch.maps.shape == (12, PROMPTS, MAPS, SIDE, SIDE)
    assert batch.masks.any(axis=(1, 2)).all()
    assert ((batch.seen > 0) & (batch.seen <= 1)).all()
    assert (batch.seen < 1).any()
    on = batch.maps[:, :, ON] > 0.5
    drawn = on.any(axis=(2, 3))
    hits = (on & (batch.masks[:, None] > 0)).sum((2, 3)) / np.maximum(on.sum((2, 3)), 1)
    assert drawn.any()
    assert hits[drawn].mean() > 0.8
    again = maker.batch(12, np.random.default_rng(0))
    assert (again.maps == batch.maps).all()
    assert (again.images == batch.images).all()


def test_the_next_click_is_in_the_middle_of_the_largest_mistake() -> None:
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[40:80, 40:80] = 1
    found = np.zeros((SIDE, SIDE), np.float32)
    found[100:160, 100:160] = 0.9
    plane, (x, y) = next_click(mask, found) or pytest.fail('there is a mistake')
    assert plane == OFF
    assert abs(x - 129.5) < 3
    assert abs(y - 129.5) < 3
    plane, (x, y) = next_click(mask, np.zeros_like(found)) or pytest.fail('there is a mistake')
    assert plane == ON
    assert mask[int(y), int(x)]
    assert next_click(mask, mask.astype(np.float32)) is None


def test_what_lies_outside_of_the_window_counts_against_its_quality() -> None:
    masks = torch.zeros(2, SIDE, SIDE)
    masks[:, 20:60, 20:60] = 1
    logits = 20 * torch.nn.functional.avg_pool2d(masks[:, None], 2)[:, 0] - 10
    found = (logits, torch.zeros(2, SIDE // 16, SIDE // 16), torch.zeros(2))
    _, iou = losses(found, masks, torch.tensor([1.0, 0.5]), _RECIPE)
    assert iou.tolist() == pytest.approx([1.0, 0.5])


def test_a_training_that_was_stopped_goes_on_as_if_it_had_not(data: Path, tmp_path: Path) -> None:
    train_prompts(data, tmp_path / 'whole', _RECIPE)

    network = prepare('', '', _RECIPE)
    maker = WindowMaker(load_stills(data / 'static'), [])
    (tmp_path / 'parts').mkdir()
    training = PromptTraining(network, maker, _RECIPE, tmp_path / 'parts')
    for _ in range(3):
        training.advance()
    training.save()
    train_prompts(data, tmp_path / 'parts', _RECIPE)

    one, other = (
        load_checkpoint(tmp_path / run / 'prompt.pt', 'network')['network']
        for run in ('whole', 'parts')
    )
    assert all(torch.equal(one[name], other[name]) for name in one)
    frozen = 'backbone.features.0.0.weight'
    assert torch.equal(one[frozen], network.state_dict()[frozen])
    with pytest.raises(ValueError, match='other settings'):
        train_prompts(data, tmp_path / 'parts', PromptRecipe(steps=6, windows=3))


def test_onnxruntime_gives_what_torch_gives(tmp_path: Path) -> None:
    torch.manual_seed(1)
    network = PromptNetwork()
    for module in network.modules():  # as after a training: statistics that are not 0 and 1
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2.0)
    network.eval()

    difference = export_prompt_network(network, tmp_path / 'm', card={'license': 'none'})
    assert difference < 1e-4

    run = open_prompt_network(tmp_path / 'm')
    image = np.random.default_rng(2).uniform(0, 255, (1, 3, SIDE, SIDE)).astype(np.float32)
    maps = np.zeros((1, MAPS, SIDE, SIDE), np.float32)
    maps[0, ON, 90:100, 90:100] = 1
    logits, quality = run(image, maps)
    with torch.no_grad():
        # float16 weights are what is exported; the network here has the others
        wanted, judged = network(torch.from_numpy(image), torch.from_numpy(maps))
    assert np.abs(1 / (1 + np.exp(-logits)) - wanted.sigmoid().numpy()).max() < 0.02
    assert abs(float(judged) - float(quality[0])) < 0.02

    (tmp_path / 'm' / 'prompt.onnx').write_bytes(b'something else')
    with pytest.raises(VosError, match='corrupt or was replaced'):
        open_prompt_network(tmp_path / 'm')


def test_another_kind_of_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / 'prompt.pt'
    settings = {'backbone': 'mobilenet_v2', 'widths': [8, 8, 16, 16], 'blocks': 1}
    torch.save({'network': PromptNetwork().state_dict(), 'settings': settings}, path)
    with pytest.raises(ValueError, match='do not fit'):
        load_prompt_network(path)
