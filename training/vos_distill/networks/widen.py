# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
A larger network that begins as a trained one: it gives the same masks until it is trained.

After "Net2Net" (Chen, Goodfellow and Shlens, ICLR 2016), the simplest way: what is new may write
what it likes, but nothing that was there reads it yet (its weights are 0). So training goes on
from where it was, and finds by itself what more channels are good for.
"""

from pathlib import Path

import torch

from vos_distill.networks.narrow import remade_checkpoint
from vos_distill.networks.student import FastStudent

# A layer of the larger network alone; its result is added to what was there.
_ADDED = 'edge_proj'
# Reads several parts side by side, so that the place of each moves when one grows.
_JOINS = 'readout_conv.weight'


@torch.no_grad()
def widen(slim: FastStudent, wide: FastStudent) -> None:
    """
    Overwrite the weights of `wide` so that it does what `slim` does.

    :param wide: as wide or wider everywhere, with the same values in the memory; its other weights
        stay as random as they are.
    :raises ValueError: a part is narrower, of another kind, or stores other values.
    """
    trained, grown = slim.state_dict(), wide.state_dict()
    for name in trained.keys() - grown.keys():
        raise ValueError(f'{name} has no place in the larger network')
    for name, new in grown.items():
        if name.startswith(_ADDED) and name not in trained:
            new.zero_()
            continue
        old = trained.get(name)
        if old is None:
            raise ValueError(f'{name} is not in the trained network')
        is_smaller = any(o > n for o, n in zip(old.shape, new.shape, strict=True))
        if is_smaller or (name == _JOINS and old.shape[1] != new.shape[1]):
            raise ValueError(
                f'{name} is {tuple(old.shape)} in the trained network and {tuple(new.shape)} in '
                'the larger one: this part cannot grow'
            )
        if new.ndim == 4:
            new[: old.shape[0], old.shape[1] :] = 0
        new[tuple(slice(n) for n in old.shape)] = old
    wide.load_state_dict(grown)


def widen_checkpoint(source: Path, preset: str, out: Path) -> tuple[int, int]:
    """
    Write a `student.pt` of a larger preset, for `train --init`.

    :param source: `student.pt` of a run, or the folder of an exported model.
    :return: parameters before and after.
    :raises ValueError: not of the same family, or narrower.
    """
    return remade_checkpoint(source, preset, out, widen, 'widened')
