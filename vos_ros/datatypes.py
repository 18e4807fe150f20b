# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The values that travel through the package: frozen dataclasses over numpy arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import get_args, Literal

import numpy as np
import numpy.typing as npt

from vos_ros.errors import VosError

Encoding = Literal['rgb8', 'bgr8']
Image = npt.NDArray[np.uint8]
LabelMap = npt.NDArray[np.uint8 | np.uint16]
Float = npt.NDArray[np.float32]


# eq=False: comparing arrays by == is ambiguous, so two values are equal only when identical.
@dataclass(frozen=True, eq=False)
class Frame:
    """
    One camera image; a view on the sender's memory, which nobody here writes to.

    :param image: (H, W, 3) uint8; rows may be padded, so it need not be contiguous.
    :param encoding: channel order, 'rgb8' or 'bgr8'.
    :param stamp_ns: time of capture in ns; 0 = unknown.
    :param frame_id: the camera's coordinate frame, passed through.
    """

    image: Image
    encoding: Encoding = 'rgb8'
    stamp_ns: int = 0
    frame_id: str = ''

    def __post_init__(self) -> None:
        """Refuse what cannot be a colour image, with the reason."""
        _check_array('image', self.image)
        if self.image.dtype != np.uint8 or self.image.ndim != 3 or self.image.shape[2] != 3:
            raise VosError(
                f'a frame must be (H, W, 3) uint8, not {self.image.shape} {self.image.dtype}; '
                'convert the image to 8 bit colour first'
            )
        if 0 in self.image.shape:
            raise VosError('a frame must not be empty; check the camera or the file')
        if self.encoding not in get_args(Encoding):
            raise VosError(f'encoding must be rgb8 or bgr8, not {self.encoding!r}')

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.image.shape[0], self.image.shape[1]


@dataclass(frozen=True, eq=False)
class Prompt:
    """
    A mask that says which pixels are which object on one frame.

    :param label_map: (H, W) uint8 or uint16; 0 = untouched, k = (re)initialise object k.
    :param stamp_ns: stamp of the frame that it was drawn on; 0 = the next frame.
    :param unsure_ids: ids that nobody gave: whose mask it is was not known.
    :param made_ids: ids whose mask was made here, of a box, clicks or strokes: where exactly it
        ends is nobody's wish.
    """

    label_map: LabelMap
    stamp_ns: int = 0
    unsure_ids: frozenset[int] = frozenset()
    made_ids: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        """Refuse what cannot be a label map, with the reason."""
        _check_array('mask', self.label_map)
        if self.label_map.ndim != 2 or self.label_map.dtype not in (np.uint8, np.uint16):
            raise VosError(
                f'a mask must be (H, W) uint8 or uint16, not {self.label_map.shape} '
                f'{self.label_map.dtype}; save it as a single channel image of object ids'
            )
        if 0 in self.label_map.shape:
            raise VosError('a mask must have at least one pixel; check the file or the sender')

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.label_map.shape[0], self.label_map.shape[1]


def _check_array(what: str, given: object) -> None:
    if not isinstance(given, np.ndarray):
        raise VosError(
            f'the {what} must be a numpy array, not {type(given).__name__}; np.asarray makes one '
            'of a picture in memory, cv2.imread or read_label_png of a file'
        )


def check_frame(given: object) -> None:
    """
    Refuse what is no Frame; a picture alone does not tell whether red or blue comes first.

    :raises VosError: says what to pass.
    """
    if not isinstance(given, Frame):
        raise VosError(
            f'a frame must be a Frame, not {type(given).__name__}: pass Frame(image, "rgb8"), or '
            '"bgr8" where the image is from OpenCV'
        )


def check_prompt(given: object) -> None:
    """
    Refuse what is no Prompt.

    :raises VosError: says what to pass.
    """
    if not isinstance(given, Prompt):
        raise VosError(
            f'a prompt must be a Prompt, not {type(given).__name__}: pass Prompt(mask), the mask '
            'an array (H, W) of object ids, uint8 or uint16'
        )


@dataclass(frozen=True)
class StepTiming:
    """Where the time of one frame went, in ms; a stage that did not run is 0."""

    preprocess_ms: float = 0.0
    encode_ms: float = 0.0
    segment_ms: float = 0.0
    labels_ms: float = 0.0
    memorize_ms: float = 0.0

    @property
    def latency_ms(self) -> float:
        """From frame to label map; memorising comes after publishing, so it is left out."""
        return self.preprocess_ms + self.encode_ms + self.segment_ms + self.labels_ms


class ObjectState(str, Enum):
    """
    What is known of an object by now.

    TRACKED: seen where it was expected. OCCLUDED: not seen for some frames. LOST: not seen for
    so long that its place is unknown; it is still looked for, everywhere.
    """

    TRACKED = 'tracked'
    OCCLUDED = 'occluded'
    LOST = 'lost'


@dataclass(frozen=True, eq=False)
class Segmentation:
    """
    What was found on one frame.

    :param label_map: (H, W) of the frame, uint8 (uint16 if an id is above 254); 0 = background.
    :param object_ids: ids of all objects known, ascending; row k + 1 of prob is object_ids[k].
    :param scores: per id, mean probability over the object's pixels, 0..1; 0 = not seen. Like the
        states worked out when first looked into, so that labels need not wait: dict() it to keep.
    :param stamp_ns: the frame's, unchanged.
    :param frame_id: the frame's, unchanged.
    :param timing: ms per stage.
    :param prob: (K + 1, h4, w4) float32, sums to 1 over axis 0, row 0 = background. The segmenter
        keeps this very array until the next frame: copy it before you write into it.
    :param warnings: one line per part of a prompt that was refused or merged.
    :param states: per id, tracked, occluded or lost; empty where nobody keeps states.
    :param likeness: of objects that were away and had to prove themselves on this frame (see
        `redetect`): how much what was found looks like them, 1 = just so; below 0.5 = refused.
    """

    label_map: LabelMap
    object_ids: tuple[int, ...]
    scores: Mapping[int, float]
    stamp_ns: int
    frame_id: str
    timing: StepTiming
    prob: Float = field(repr=False)
    warnings: tuple[str, ...] = ()
    states: Mapping[int, ObjectState] = field(default_factory=dict)
    likeness: Mapping[int, float] = field(default_factory=dict)
