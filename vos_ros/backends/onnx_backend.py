# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The network through onnxruntime: three sessions, each made static for one input size."""

from __future__ import annotations

import os

import numpy as np
import onnxruntime as ort

from vos_ros.backends.base import Features, GRAPHS, Manifest, Size
from vos_ros.datatypes import Float
from vos_ros.errors import VosError

# Spinning threads of three sessions take the cores from each other: measured 2.1x slower
# than waiting ones at 480p on two quiet cores, and worse beside a camera driver.
NO_SPINNING = {
    'session.intra_op.allow_spinning': '0',
    'session.inter_op.allow_spinning': '0',
}
_MAX_AUTO_THREADS = 4


def processors() -> int:
    """Return the number of processors this process may use (containers restrict them)."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        return os.cpu_count() or 1


def session_options(size: Size, threads: int) -> ort.SessionOptions:
    """
    Return the settings that every session gets.

    :param size: network input (H, W), multiples of 16; makes all shapes but `objects` static.
    :param threads: 0 = the processors there are, at most 4.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads or min(processors(), _MAX_AUTO_THREADS)
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3  # errors; they come as exceptions, with our own line
    for key, setting in NO_SPINNING.items():
        options.add_session_config_entry(key, setting)
    height, width = size
    dims = {'height': height, 'width': width, 'tokens': (height // 16) * (width // 16)}
    for stride in (4, 8, 16):
        dims |= {f'h{stride}': height // stride, f'w{stride}': width // stride}
    for name, value in dims.items():
        options.add_free_dimension_override_by_name(name, value)
    return options


class OnnxBackend:
    """
    A Backend over onnxruntime; the graphs say themselves which features they read.

    :param manifest: its files must have been checked.
    :param size: network input (H, W).
    :param provider: onnxruntime execution provider.
    :param threads: 0 = the processors there are, at most 4.
    """

    name = 'cpu'

    def __init__(self, manifest: Manifest, size: Size, *, provider: str, threads: int) -> None:
        available = ort.get_available_providers()
        if provider not in available:
            raise VosError(
                f'this onnxruntime has no {provider}; it has {", ".join(available)}: '
                'install the build for your device or take backend auto'
            )
        options = session_options(size, threads)
        self.sessions: dict[str, ort.InferenceSession] = {}
        for graph in GRAPHS:
            path = manifest.graphs[graph].path
            try:
                self.sessions[graph] = ort.InferenceSession(
                    str(path), options, providers=[provider]
                )
            except Exception as error:  # onnxruntime has no common class for its errors
                reason = str(error).strip().splitlines()[0]
                raise VosError(
                    f'model {manifest.name}: onnxruntime cannot load {path} ({reason}); '
                    'export the model again'
                ) from None
        self._inputs = {
            graph: tuple(node.name for node in session.get_inputs())
            for graph, session in self.sessions.items()
        }
        self._features = tuple(node.name for node in self.sessions['encode_image'].get_outputs())
        self._check(manifest)

    def _check(self, manifest: Manifest) -> None:
        """Refuse graphs that cannot work together before the first frame needs them."""
        features = {'image', *self._features}
        offered = {
            'encode_image': {'image'},
            'segment': features | {'memory_key', 'memory_value'},
            'encode_mask': features | {'masks', 'others'},
        }
        outputs = {'encode_image': 'key', 'segment': 'logits', 'encode_mask': 'value'}
        for graph in GRAPHS:
            unknown = set(self._inputs[graph]) - offered[graph]
            made = {node.name for node in self.sessions[graph].get_outputs()}
            if unknown or outputs[graph] not in made:
                problem = (
                    f'wants {", ".join(sorted(unknown))}, which nothing makes'
                    if unknown
                    else f'does not make {outputs[graph]}'
                )
                raise VosError(
                    f'model {manifest.name}: {manifest.graphs[graph].path} {problem}; '
                    'export the model again'
                )

    def encode_image(self, image: Float) -> Features:
        """Encode one frame; see Backend."""
        arrays = self.sessions['encode_image'].run(self._features, {'image': image})
        return {'image': image, **dict(zip(self._features, arrays))}

    def segment(self, features: Features, memory_key: Float, memory_value: Float) -> Float:
        """Read the memory and decode; see Backend."""
        offered = {**features, 'memory_key': memory_key, 'memory_value': memory_value}
        return self._run('segment', 'logits', offered)

    def encode_mask(self, features: Features, masks: Float, others: Float) -> Float:
        """Encode the objects for the memory; see Backend."""
        return self._run('encode_mask', 'value', {**features, 'masks': masks, 'others': others})

    def _run(self, graph: str, output: str, offered: Features) -> Float:
        feeds = {name: np.ascontiguousarray(offered[name]) for name in self._inputs[graph]}
        made: Float = self.sessions[graph].run([output], feeds)[0]
        return made
