# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a hand drew on an image, to say where an object is: strokes on it, strokes beside it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vos_ros.errors import VosError
from vos_ros.formats.boxes import Box

Mask = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Marks:
    """
    Strokes on one object, as pixels of the image, and a box around it.

    :param on: (H, W) uint8, 1 = drawn on the object.
    :param off: (H, W) uint8, 1 = drawn on what is not the object; None = nothing.
    :param box: around the object, which strokes then correct: none has to be on it; None = no box.
    """

    on: Mask
    off: Mask | None = None
    box: Box | None = None

    def __post_init__(self) -> None:
        """Refuse what is no stroke, with the reason."""
        for drawn in (self.on, self.off):
            if drawn is not None and (drawn.ndim != 2 or drawn.shape != self.on.shape):
                raise VosError('strokes are (H, W) masks of the size of the image')
        if self.box is None and not self.on.any():
            raise VosError('no stroke is on the object; draw over it')

    def extent(self) -> tuple[float, float, float, float]:
        """
        Return the box around the strokes on the object: left, top, right, bottom, px.

        There must be one.
        """
        rows, columns = np.flatnonzero(self.on.any(axis=1)), np.flatnonzero(self.on.any(axis=0))
        return float(columns[0]), float(rows[0]), float(columns[-1]), float(rows[-1])
