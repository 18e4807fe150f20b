# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
A whole frame in one graph: camera image in, labels out, the memory stays on the device.

All that the host gives for a frame travels in one buffer of bytes, and all that it needs back in
another: two copies. What is remembered is an argument and a result of the graph, in buffers that
take turns, so nothing of it moves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
import hashlib
import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vos_ros.backends.base import first_line, Job, Manifest, Size
from vos_ros.backends.cuda_backend import CUDA, cuda_provider, HINT
from vos_ros.backends.machine import gpu_names
from vos_ros.backends.onnx_backend import CPU, Provider, Registry, session_options
from vos_ros.backends.tensorrt_backend import engine_folder, TENSORRT, tensorrt_provider
from vos_ros.config import RuntimeConfig
from vos_ros.datatypes import Float
from vos_ros.errors import VosError

Bytes = npt.NDArray[np.uint8]
Shape = tuple[int, ...]

#: Key of the manifest that describes the graph, and the name of its file.
FRAME = 'frame'
#: Whole numbers are sent as so many bytes each, the highest first.
WHOLE = 3
#: The highest id that fits in a byte and is not void (255).
MOST_ID = 254
#: State that only a prompt changes, and state that every frame makes anew.
PROMPTED = ('prompted_key', 'prompted_value')
RECENT = ('recent_key', 'recent_value')


@dataclass(frozen=True)
class FrameLayout:
    """
    The one shape that a whole-frame graph takes, and where everything lies in its two buffers.

    :param height: of the camera, px.
    :param width: likewise.
    :param input_height: of the network's input, px, a multiple of 16.
    :param input_width: likewise.
    :param objects: slots; those that nobody uses cost as much.
    :param prompted_frames: rows for prompted frames.
    :param groups: pairs of frames that objects may read at once; each costs an affinity.
    :param encoding: order of the image's channels, 'rgb8' or 'bgr8'.
    """

    height: int
    width: int
    input_height: int
    input_width: int
    objects: int
    prompted_frames: int = 4
    groups: int = 2
    encoding: str = 'rgb8'

    def __post_init__(self) -> None:
        """Refuse what cannot be such a shape."""
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == 'encoding':
                continue
            if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 1 << 16:
                raise VosError(f'{field.name} must be a whole number above 0, not {value!r}')
        if self.input_height % 16 or self.input_width % 16:
            raise VosError(
                'the network input must be multiples of 16, not '
                f'{self.input_width}x{self.input_height}'
            )
        if max(self.objects, self.prompted_frames) > MOST_ID:
            raise VosError(f'at most {MOST_ID} objects and prompted frames fit in one graph')
        if self.encoding not in ('rgb8', 'bgr8'):
            raise VosError(f'encoding must be rgb8 or bgr8, not {self.encoding!r}')

    @property
    def camera(self) -> Size:
        """Height and width of the camera's images."""
        return self.height, self.width

    @property
    def input_size(self) -> Size:
        """Height and width of the network's input."""
        return self.input_height, self.input_width

    @property
    def cells(self) -> Size:
        """Height and width of the grid of masks."""
        return self.input_height // 4, self.input_width // 4

    @property
    def tokens(self) -> int:
        """Positions of the grid that the memory is kept at."""
        return (self.input_height // 16) * (self.input_width // 16)

    @property
    def given(self) -> dict[str, Shape]:
        """
        Shapes of what the host gives, uint8, in their order in the buffer.

        `reach`: 1 where an object can be. `hidden_below`, `moved_from`: cells, whole numbers of
        `WHOLE` bytes; see `motion.Reach`. `ids`: per row of the probabilities. `member`: 1 where
        an object is in a group; no group = the slot is empty. `group_prompted`: row of the
        prompted frame; `group_recent`: 1 = with the recent frame, 0 = the prompted one twice.
        `guided`: 0 or 1.
        """
        return {
            'image': (*self.camera, 3),
            'reach': (self.objects, *self.cells),
            'hidden_below': (self.objects, WHOLE),
            'moved_from': (self.objects, WHOLE),
            'ids': (self.objects + 1,),
            'member': (self.groups, self.objects),
            'group_prompted': (self.groups,),
            'group_recent': (self.groups,),
            'guided': (1,),
        }

    @property
    def made(self) -> dict[str, Shape]:
        """
        Shapes of what the host gets, uint8, in their order in the buffer.

        `confidence`: probability of the winning label, 255 = 1. `masks`: 1 where an object wins
        a cell. `scores`: mean probability there, in 2**-24.
        """
        return {
            'labels': self.camera,
            'confidence': self.camera,
            'masks': (self.objects, *self.cells),
            'scores': (self.objects, WHOLE),
        }

    def state(self, key_dim: int, value_dim: int) -> dict[str, Shape]:
        """Return the shapes of what is remembered, float32."""
        return {
            'prompted_key': (self.prompted_frames, key_dim, self.tokens),
            'prompted_value': (self.objects, value_dim, self.tokens),
            'recent_key': (key_dim, self.tokens),
            'recent_value': (self.objects, value_dim, self.tokens),
        }


def places_in(parts: Mapping[str, Shape]) -> Iterator[tuple[str, slice, Shape]]:
    """Go through the parts of a buffer: name, place, shape."""
    start = 0
    for name, shape in parts.items():
        stop = start + math.prod(shape)
        yield name, slice(start, stop), shape
        start = stop


def size_of(parts: Mapping[str, Shape]) -> int:
    """Return the bytes that a buffer has."""
    return sum(math.prod(shape) for shape in parts.values())


def to_whole(values: Sequence[float]) -> Bytes:
    """
    Return whole numbers as bytes, (N, WHOLE); what is too large or infinite is the largest.

    :param values: N numbers, at least 0; rounded up, so that `x < value` and `x >= value` mean
        the same of a whole x.
    """
    most = (1 << 8 * WHOLE) - 1
    whole = [most if value >= most else math.ceil(value) for value in values]
    bytes_ = b''.join(value.to_bytes(WHOLE, 'big') for value in whole)
    return np.frombuffer(bytes_, np.uint8).reshape(-1, WHOLE)


def from_whole(values: Bytes) -> npt.NDArray[np.int64]:
    """Return the whole numbers (N,) in (N, WHOLE) bytes."""
    weights = 256 ** np.arange(WHOLE - 1, -1, -1, dtype=np.int64)
    found: npt.NDArray[np.int64] = values.astype(np.int64) @ weights
    return found


def layout_of(manifest: Manifest) -> FrameLayout:
    """
    Read the layout of a model's whole-frame graph.

    :raises VosError: it has none, or one that this version does not read.
    """
    try:
        told = dict(manifest.content[FRAME])
        file, sha256 = str(told.pop('file')), str(told.pop('sha256'))
        layout = FrameLayout(**told)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise VosError(
            f'model {manifest.name} has no graph of a whole frame ({error!r:.80}); make one with '
            'vos-distill one-graph'
        ) from None
    path = manifest.folder / file
    if Path(file).name != file or not path.is_file():
        raise VosError(f'model {manifest.name}: {path} is missing; make it again')
    if hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
        raise VosError(f'model {manifest.name}: {path} is corrupt or was replaced; make it again')
    return layout


def describe(layout: FrameLayout, path: Path) -> dict[str, Any]:
    """Return the manifest's entry for a graph."""
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return {'file': path.name, 'sha256': sha256, **asdict(layout)}


@dataclass
class Copies:
    """Copies between host and device, counted since it was made."""

    to_device: int = 0
    to_host: int = 0
    bytes_to_device: int = 0
    bytes_to_host: int = 0


class FrameGraph:
    """
    The graph with its buffers on the device; runs a frame, keeps or drops what it would remember.

    :param manifest: of a model with such a graph.
    :param providers: the best first; that one must really start.
    :param device: where the buffers live, 'cpu' or 'cuda'.
    """

    def __init__(
        self,
        manifest: Manifest,
        runtime: RuntimeConfig,
        *,
        name: str,
        providers: Sequence[Provider],
        device: str,
        registry: Registry | None = None,
    ) -> None:
        registry = registry or Registry()
        self.layout = layout_of(manifest)
        self.name = name
        self.copies = Copies()
        path = manifest.folder / str(manifest.content[FRAME]['file'])
        wanted = providers[0][0]
        try:
            self.session = registry.open_session(
                str(path),
                session_options(self.layout.input_size, runtime.threads),
                providers=list(providers),
                enable_fallback=0,
            )
        except Exception as error:  # onnxruntime has no common class for its errors
            raise VosError(
                f'model {manifest.name}: onnxruntime cannot load {path} on {wanted} '
                f'({first_line(error)}); make it again, or take the three graphs'
            ) from None
        if self.session.get_providers()[0] != wanted:
            raise VosError(f'{wanted} does not start: its driver or libraries are missing')

        place = (device, runtime.device_id if device != 'cpu' else 0)
        state = self.shapes = self.layout.state(manifest.key_dim, manifest.value_dim)

        def buffer(shape: Shape, dtype: type) -> Any:
            made = registry.make_value(shape, dtype, *place)
            made.update_inplace(np.zeros(shape, dtype))
            return made

        self._given = np.zeros(size_of(self.layout.given), np.uint8)
        #: Views on the buffer that the next `run` sends.
        self.given = _views(self._given, self.layout.given)
        self._values = {name: buffer(state[name], np.float32) for name in PROMPTED}
        self._values['given'] = buffer(self._given.shape, np.uint8)
        self._made = buffer((size_of(self.layout.made),), np.uint8)
        self._prob = buffer((self.layout.objects + 1, *self.layout.cells), np.float32)
        # What is remembered of the recent frame, and what will be: they take turns.
        self._recent = [{name: buffer(state[name], np.float32) for name in RECENT} for _ in '12']
        self._bindings = [self._bound(*pair) for pair in (self._recent, self._recent[::-1])]
        self._turn = 0
        #: Views on what the last `run` brought back.
        self.made: dict[str, Bytes] = {}

    def _bound(self, before: Mapping[str, Any], after: Mapping[str, Any]) -> Any:
        binding = self.session.io_binding()
        for name, value in {**self._values, **before}.items():
            binding.bind_ortvalue_input(name, value)
        outputs = {'made': self._made, 'prob': self._prob}
        for name, value in {**outputs, **{f'new_{k}': v for k, v in after.items()}}.items():
            binding.bind_ortvalue_output(name, value)
        return binding

    def run(self) -> None:
        """Send `given`, compute, fetch `made`; what is remembered stays as it was until `keep`."""
        self._send(self._values['given'], self._given)
        self.session.run_with_iobinding(self._bindings[self._turn])
        self.made = _views(self._fetch(self._made), self.layout.made)

    def keep(self) -> None:
        """Let what the last `run` made of its frame be what is remembered of the recent one."""
        self._turn = 1 - self._turn

    def write(self, name: str, value: Float) -> None:
        """Write a part of the state; a copy beyond those of a frame."""
        self._send(self._state(name), np.ascontiguousarray(value, np.float32))

    def read(self, name: str) -> Float:
        """Read a part of the state; a copy beyond those of a frame."""
        found: Float = self._fetch(self._state(name))
        return found

    def prob(self) -> Float:
        """
        Return the probabilities (objects + 1, h4, w4) of the last frame, row 0 = background.

        Row k + 1 is slot k; that of an empty slot is 0. A copy beyond those of a frame.
        """
        found: Float = self._fetch(self._prob)
        return found

    def _state(self, name: str) -> Any:
        return self._values[name] if name in PROMPTED else self._recent[self._turn][name]

    def _send(self, value: Any, array: npt.NDArray[Any]) -> None:
        value.update_inplace(array)
        self.copies.to_device += 1
        self.copies.bytes_to_device += array.nbytes

    def _fetch(self, value: Any) -> Any:
        array = np.array(value.numpy())  # on the processor numpy() may be a view
        self.copies.to_host += 1
        self.copies.bytes_to_host += array.nbytes
        return array


def _views(buffer: Bytes, parts: Mapping[str, Shape]) -> dict[str, Bytes]:
    return {name: buffer[place].reshape(shape) for name, place, shape in places_in(parts)}


def open_frame_graph(
    manifest: Manifest,
    runtime: RuntimeConfig,
    backend: str,
    precision: str = 'fp32',
    registry: Registry | None = None,
) -> FrameGraph:
    """
    Open a model's whole-frame graph on what its three graphs run on.

    :param backend: 'cpu', 'cuda' or 'tensorrt'; nothing else has buffers that can be bound here.
    :param precision: 'fp32', or 'fp16' with tensorrt.
    :raises VosError: it does not start there.
    """
    registry = registry or Registry()
    providers: list[Provider] = [(CPU, {})]
    if backend in ('cuda', 'tensorrt'):
        providers.insert(0, cuda_provider(runtime.device_id))
        registry.require(CUDA, HINT)
    elif backend != 'cpu':
        raise VosError(f'a whole frame in one graph runs on cpu, cuda or tensorrt, not {backend}')
    if backend == 'tensorrt':
        registry.require(TENSORRT, HINT)
        layout = layout_of(manifest)
        job = Job(manifest, runtime, layout.input_size, layout.objects, precision)
        folder = engine_folder(job, registry.version, gpu_names()).with_suffix('.frame')
        folder.mkdir(parents=True, exist_ok=True)
        # All shapes are fixed, so there are no ranges of them, as for encode_image.
        providers.insert(0, tensorrt_provider(job, 'encode_image', folder))
    return FrameGraph(
        manifest,
        runtime,
        name=backend,
        providers=providers,
        device='cpu' if backend == 'cpu' else 'cuda',
        registry=registry,
    )
