# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The network's size: which one for which camera, and what moving to another one takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
import copy
from dataclasses import replace

from vos_ros.backends.base import Backend, Manifest, Size
from vos_ros.budget import Budget
from vos_ros.config import SegmenterConfig
from vos_ros.engine.footprint import check_fits, footprint, RUNTIME
from vos_ros.engine.keyframes import KeyFrame, resize_prob
from vos_ros.engine.preprocess import ladder, network_size
from vos_ros.engine.verdict import Memorized
from vos_ros.engine.workspace import Workspace
from vos_ros.errors import VosError

# The backend is opened for this camera, so that a broken model is found before the first frame.
_USUAL_CAMERA: Size = (480, 640)
_MAX_STRETCH = 1.1  # rounding to multiples of 16 alone stretches by up to 1.07


class Sizes:
    """
    The network inputs (H, W) for the camera's shape, one for each step of the ladder.

    Not for several threads at once.

    :param manifest: of the model.
    :param open_for: makes the backend for one network input; kept for each size in use.
    :param config: sizes and caps, and the budget of memory.
    :raises VosError: the model takes one size, and `input_size` is another one.
    """

    def __init__(
        self, manifest: Manifest, open_for: Callable[[Size], Backend], config: SegmenterConfig
    ) -> None:
        fixed = manifest.fixed
        if fixed is not None and config.input_size not in (0, min(fixed[:2])):
            raise VosError(
                f'model {manifest.name} takes {fixed[1]}x{fixed[0]} only, so that input_size '
                f'(--size) cannot be {config.input_size}; leave it out, or export the model '
                'without --fixed'
            )
        self.short_sides = (
            ladder(config.input_size or manifest.short_side)
            if fixed is None
            else (min(fixed[:2]),)
        )
        self.level = 0  # steps down `short_sides`; to be set
        self.camera: Size = _USUAL_CAMERA if fixed is None else fixed[:2]
        self.has_camera = False  # `camera` is of an image; to be set where that is known
        #: Network input for the last image, which was of no camera.
        self._unconfirmed: Size | None = None
        self._past: list[Size] = []  # of the camera before
        self._manifest = manifest
        self._config = config
        self._budget = Budget.of(config.memory)
        self._open_for = open_for
        self._backends: dict[Size, Backend] = {}

    def fork(self) -> Sizes:
        """Return sizes that share the backends, for a segmenter that goes its own way."""
        return copy.copy(self)

    def of(self, camera: Size) -> list[Size]:
        """
        Return the network input (H, W) of every step of `short_sides`.

        :param camera: (H, W) of its images.
        :raises VosError: the model takes one size, and that is of another shape.
        """
        if self._manifest.fixed is not None:
            height, width = self._manifest.fixed[:2]
            stretch = camera[1] * height / (camera[0] * width)
            if not 1 / _MAX_STRETCH < stretch < _MAX_STRETCH:
                raise VosError(
                    f'model {self._manifest.name} takes {width}x{height} only, and images of '
                    f'{camera[1]}x{camera[0]} are of another shape; export it with --fixed for '
                    'this camera, or without'
                )
            return [(height, width)]
        return [network_size(camera, side, self._manifest.multiple) for side in self.short_sides]

    def at_level(self, camera: Size) -> Size:
        """
        Return the network input (H, W) for a camera at the present level.

        :param camera: (H, W) of its images.
        :raises VosError: as `of`.
        """
        return self.of(camera)[self.level]

    def backend_for(self, size: Size, in_use: Size | None = None) -> Backend:
        """
        Return the backend for a network input; the model is loaded the first time.

        :param size: (H, W).
        :param in_use: another one that must stay, too.
        :raises VosError: the memory that it would take is more than the budget.
        """
        if size not in self._backends:
            self._make_room(size, in_use)
            self._backends[size] = self._open_for(size)
        return self._backends[size]

    def _make_room(self, size: Size, in_use: Size | None) -> None:
        """Drop sizes that are not in use, the oldest first, until another one fits."""
        taken = {other: footprint(self._manifest, self._config, other) for other in self._backends}
        beside = 0 if in_use is None else footprint(self._manifest, self._config, in_use)
        if in_use is not None:
            taken.pop(in_use, None)
        check_fits(self._manifest, self._config, self._budget, size, beside)
        needed = RUNTIME + beside + footprint(self._manifest, self._config, size)
        while taken and needed + sum(taken.values()) > self._budget.network:
            oldest = next(iter(taken))
            del taken[oldest], self._backends[oldest]

    def open_all(self, in_use: Size) -> None:
        """
        Load the model for every step at the present camera's shape.

        :param in_use: network input (H, W).
        """
        for size in self.of(self.camera):
            self.backend_for(size, in_use)

    def forget_camera(self) -> None:
        """Take whatever shape comes next for the camera's."""
        self.has_camera, self._unconfirmed = False, None

    def meet(self, camera: Size, in_use: Size) -> tuple[bool, tuple[str, ...]]:
        """
        Take note of an image's size: another shape counts when it comes twice.

        One image of another shape is stretched: were each of them followed, two cameras on one
        topic would have everything encoded again with every image.

        :param camera: (H, W) of the image.
        :param in_use: network input (H, W).
        :return: whether its size is to be adopted, and a line for what the camera may not expect.
        :raises VosError: as `of`.
        """
        size = self.at_level(camera)
        if size == in_use:
            self._unconfirmed, self.camera, self.has_camera = None, camera, True
            return False, ()
        if not self.has_camera or size == self._unconfirmed:
            return True, ()
        self._unconfirmed = size
        return False, (
            f'an image of {camera[1]}x{camera[0]} after others of '
            f'{self.camera[1]}x{self.camera[0]} is stretched to their shape; a second in a row '
            'would be taken as it is: are there two cameras on one topic?',
        )

    def adopt(self, camera: Size) -> tuple[str, ...]:
        """
        Take a camera for the present one, once its size is in use.

        :param camera: (H, W) of its images.
        :return: a line for what it may not expect.
        """
        sizes, before = self.of(camera), self.of(self.camera)
        is_new = sizes != before or not self.has_camera
        if sizes != before:
            # Kept, as two cameras that take turns would else have the model loaded each time.
            self._past = before if self.has_camera else []
        self.camera, self.has_camera, self._unconfirmed = camera, True, None
        wanted = {*sizes, *self._past}
        if any(size not in wanted for size in self._backends):  # of a camera that is gone
            self._backends = {k: v for k, v in self._backends.items() if k in wanted}
        if not is_new or min(sizes[0]) + self._manifest.multiple > self.short_sides[0]:
            return ()
        return (
            f'images of {camera[1]}x{camera[0]} are so long that the network sees them at '
            f'{sizes[0][1]}x{sizes[0][0]}, not with a short side of {self.short_sides[0]}: crop '
            'them where thin things matter',
        )


def carry_over(
    old: Workspace,
    new: Workspace,
    key_frames: Mapping[int, KeyFrame],
    latest: Memorized | None,
) -> Memorized | None:
    """
    Encode what is remembered for another size: the prompted frames, then the newest.

    :param old: workspace whose memory and newest image are carried over; not changed.
    :param new: one without objects.
    :param key_frames: per object.
    :param latest: the newest frame, if it was memorised.
    :return: the newest frame at the new size.
    """
    object_ids = old.memory.object_ids
    for key_frame in dict.fromkeys(key_frames[k] for k in object_ids):
        ids = [k for k in object_ids if key_frames[k] is key_frame]
        new.prepare(key_frame.frame)
        features = new.see()
        prob = resize_prob(key_frame.prob, new.mask_size)
        values = new.encode(features, prob, key_frame.object_ids, ids)
        new.memory.write_prompted(ids, new.key(features), values)
    if latest is None:
        return None
    known = set(object_ids)
    new.prepare_from(old)
    features = new.see()
    prob = resize_prob(latest.prob, new.mask_size)
    believed = [k for k in latest.believed if k in known]
    new.memorize(features, prob, latest.object_ids, believed)
    new.gate.update(prob, latest.object_ids, latest.object_ids)
    new.gate.remove(set(latest.object_ids) - known)
    return replace(latest, prob=prob)
