# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which pixels of a label map are an object."""

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from vos_distill.data.layers import Image, Matrix
from vos_distill.data.stills import Still
from vos_ros.formats.masks import VOID

_CROWDS = ('pascal_s', 'pennfudan', 'feral_cats')  # where all together may be one object


def object_ids(label: Image) -> list[int]:
    counts = cv2.calcHist([label], [0], None, [256], [0, 256]).ravel()
    return [int(i) for i in np.flatnonzero(counts[:VOID]) if i]


def one_of(ids: Sequence[int] | Matrix) -> npt.NDArray[np.bool_]:
    """Give a table for labels: whether an id is one of these."""
    table = np.zeros(256, np.bool_)
    table[ids] = True
    return table


def pick_object(still: Still, rng: np.random.Generator) -> npt.NDArray[np.bool_] | None:
    """
    Choose an object of a photograph by what its ids mean in its data set.

    In a set that is not known by its name every id is an object.

    :return: (H, W) bool, or None where the choice is too small, too large or nothing.
    """
    ids = object_ids(still.label)
    if not ids:
        return None
    if still.source == 'bsds500' or (
        still.source == 'ccp' and rng.random() < 0.5
    ):  # regions: a seed and what may belong to it
        chosen = rng.choice(ids, min(len(ids), int(rng.integers(1, 4))), replace=False)
    elif still.source == 'ccp' or (
        still.source in _CROWDS and rng.random() >= 0.8
    ):  # parts of one person, or a group that moves together
        chosen = np.array(ids)
    else:
        chosen = rng.choice(ids, 1)
    mask = one_of(chosen)[still.label]
    return mask if 0.01 < float(mask.mean()) < 0.7 else None
