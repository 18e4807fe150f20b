# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The network through onnxruntime: three sessions, made static for one input size."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import onnxruntime as ort

from vos_ros.backends.base import (
    check_roles,
    Features,
    first_line,
    GRAPHS,
    Job,
    NamedInputs,
    NotInstalledError,
    OUTPUTS,
    Size,
    thread_count,
)
from vos_ros.datatypes import Float
from vos_ros.errors import VosError

CPU = 'CPUExecutionProvider'
Provider = tuple[str, Mapping[str, str]]  # its name in onnxruntime, and its options

# Spinning threads of three sessions take the cores from each other: measured 2.1x slower
# than waiting ones at 480p on two quiet cores, and worse beside a camera driver.
NO_SPINNING = {
    'session.intra_op.allow_spinning': '0',
    'session.inter_op.allow_spinning': '0',
}


#: What changes from window to window, in each graph: all sides, but not those of the memory read.
_SIDES = tuple(f'{side}{stride}' for side in 'hw' for stride in (4, 8, 16))
_FREE = {
    'encode_image': ('height', 'width', *_SIDES),
    'segment': _SIDES,
    'encode_mask': ('height', 'width', 'tokens', *_SIDES),
}


@dataclass(frozen=True)
class Registry:
    """The onnxruntime that is installed: what it was built for, and how a session is opened."""

    version: str = ort.__version__
    providers: Sequence[str] = field(default_factory=ort.get_available_providers)
    open_session: Callable[..., Any] = ort.InferenceSession
    make_value: Callable[..., Any] = ort.OrtValue.ortvalue_from_shape_and_type

    def require(self, provider: str, hint: str) -> None:
        """Raise NotInstalledError where this build has no such provider."""
        if provider not in self.providers:
            raise NotInstalledError(
                f'this onnxruntime ({self.version}) has no {provider}; it has '
                f'{", ".join(self.providers)}: {hint}'
            )


def session_options(size: Size, threads: int, free: Collection[str] = ()) -> ort.SessionOptions:
    """
    Return the settings that every session gets.

    :param size: network input (H, W), multiples of 16; makes all shapes but `objects` static.
    :param threads: 0 = the processors there are, at most 4.
    :param free: names of dimensions that stay free, too.
    """
    options = _plain_options(threads)
    height, width = size
    dims = {'height': height, 'width': width, 'tokens': (height // 16) * (width // 16)}
    for stride in (4, 8, 16):
        dims |= {f'h{stride}': height // stride, f'w{stride}': width // stride}
    for name in dims.keys() - set(free):
        options.add_free_dimension_override_by_name(name, dims[name])
    return options


def _plain_options(threads: int) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = thread_count(threads)
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3  # errors; they come as exceptions, with our own line
    for key, setting in NO_SPINNING.items():
        options.add_session_config_entry(key, setting)
    return options


def open_graph(
    content: bytes, name: str, threads: int
) -> Callable[[Float, Float], tuple[Float, Float]]:
    """
    Open a graph with inputs `image` and `maps` and outputs `logits` and `quality`.

    :param content: of its file.
    :param name: for messages.
    :param threads: 0 = the processors there are, at most 4.
    :raises VosError: it is not such a graph.
    """
    try:
        session = ort.InferenceSession(content, _plain_options(threads), providers=[CPU])
    except Exception as error:  # onnxruntime has no common class for its errors
        raise VosError(f'{name}: onnxruntime cannot load it ({first_line(error)})') from None
    names = {node.name for node in (*session.get_inputs(), *session.get_outputs())}
    if names != {'image', 'maps', 'logits', 'quality'}:
        raise VosError(f'{name}: its graph is none of a prompt network; export it again')

    def run(image: Float, maps: Float) -> tuple[Float, Float]:
        logits, quality = session.run(['logits', 'quality'], {'image': image, 'maps': maps})
        return logits, quality

    return run


class OnnxBackend(NamedInputs):
    """
    A Backend over onnxruntime; the graphs say themselves which features they read.

    :param name: for reports.
    :param providers: per graph, the best provider first. That one must really start:
        onnxruntime itself would go on without it and say nothing.
    :param windowed: shapes may change from frame to frame at no cost (measured: no graph is
        slower than with static ones), so that a part of a frame can be asked for where `segment`
        is told where its tokens lie.
    """

    def __init__(
        self,
        job: Job,
        *,
        name: str,
        providers: Mapping[str, Sequence[Provider]],
        registry: Registry,
        windowed: bool = False,
    ) -> None:
        self.name = name
        self.precision = job.precision
        self.fallbacks: tuple[str, ...] = ()

        def opened(graph: str, free: Collection[str] = ()) -> Any:
            options = session_options(job.size, job.runtime.threads, free)
            return _open(job, graph, providers[graph], options, registry)

        sessions = {'segment': opened('segment', _FREE['segment'])} if windowed else {}
        self.takes_windows = (
            windowed
            and job.manifest.fixed is None
            and 'place' in _names(sessions['segment'].get_inputs())
        )
        free: Mapping[str, Collection[str]] = _FREE if self.takes_windows else {}
        self.sessions = {
            graph: sessions.get(graph) or opened(graph, free.get(graph, ())) for graph in GRAPHS
        }
        self._inputs = {g: _names(session.get_inputs()) for g, session in self.sessions.items()}
        outputs = {g: _names(session.get_outputs()) for g, session in self.sessions.items()}
        self._features = outputs['encode_image']
        check_roles(job.manifest, self._inputs, outputs)

    def encode_image(self, image: Float) -> Features:
        """Encode one frame; see Backend."""
        arrays = self.sessions['encode_image'].run(self._features, {'image': image})
        return {'image': image, **dict(zip(self._features, arrays))}

    def _run(self, graph: str, feeds: Features) -> Float:
        made: Float = self.sessions[graph].run([OUTPUTS[graph]], feeds)[0]
        return made


def _names(nodes: Sequence[Any]) -> tuple[str, ...]:
    return tuple(node.name for node in nodes)


def _open(
    job: Job,
    graph: str,
    providers: Sequence[Provider],
    options: ort.SessionOptions,
    registry: Registry,
) -> Any:
    path = job.manifest.graphs[graph].path
    wanted = providers[0][0]
    try:
        session = registry.open_session(
            str(path), options, providers=list(providers), enable_fallback=0
        )
    except Exception as error:  # onnxruntime has no common class for its errors
        remedy = 'export the model again' if wanted == CPU else 'or take backend auto'
        raise VosError(
            f'model {job.manifest.name}: onnxruntime cannot load {path} on {wanted} '
            f'({first_line(error)}); {remedy}'
        ) from None
    if session.get_providers()[0] != wanted:
        raise VosError(
            f'{wanted} does not start: its driver or libraries are missing or of another version '
            '(onnxruntime names them above); install them or take backend auto'
        )
    return session


def open_cpu(job: Job, registry: Registry | None = None) -> OnnxBackend:
    """Open the processor itself: what every other backend is compared with."""
    registry = registry or Registry()
    registry.require(CPU, 'pip install onnxruntime')
    providers: Sequence[Provider] = ((CPU, {}),)
    return OnnxBackend(
        job,
        name='cpu',
        providers=dict.fromkeys(GRAPHS, providers),
        registry=registry,
        windowed=True,
    )
