# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The network through OpenVINO on an x86 processor, in float32 or bfloat16."""

from __future__ import annotations

from typing import Any

import openvino as ov

from vos_ros.backends.base import (
    check_roles,
    Features,
    first_line,
    GRAPHS,
    Job,
    NamedInputs,
    NotInstalledError,
    object_shapes,
    OUTPUTS,
    thread_count,
    Verify,
)
from vos_ros.datatypes import Float
from vos_ros.errors import VosError

_HINTS = {'fp32': 'f32', 'bf16': 'bf16'}
#: Kernels kept for shapes that were seen before. With OpenVINO's own 5000, every size of window
#: stays: 1.4 GB after 3000 random ones. With so many it is 0.16 GB and no slower on real clips.
_KEPT = 100


class OpenVinoBackend(NamedInputs):
    """
    A Backend over OpenVINO: three graphs, static but for the number of objects and for windows.

    The number of objects is a range (1 .. max_objects), so a new one compiles nothing
    mid-stream; measured 0 to 5 % slower than a graph compiled for just that number. So are the
    sides of what `segment` sees, where it is told the places of its tokens: no slower than with
    static ones (measured, fp32 and bf16), but a size that was not seen lately costs some ms more.
    `engine/windows.py` rounds the sides, so they are few.
    """

    name = 'openvino'

    def __init__(self, job: Job) -> None:
        self.precision = job.precision
        self.fallbacks: tuple[str, ...] = ()
        core = ov.Core()
        capabilities = core.get_property('CPU', 'OPTIMIZATION_CAPABILITIES')
        if job.precision == 'bf16' and 'BF16' not in capabilities:
            raise NotInstalledError(
                'this processor has no bfloat16 (AVX512-BF16 or AMX); take precision fp32'
            )
        models = {graph: _read(core, job, graph) for graph in GRAPHS}
        inputs = {graph: _names(model.inputs) for graph, model in models.items()}
        outputs = {graph: _names(model.outputs) for graph, model in models.items()}
        check_roles(job.manifest, inputs, outputs)
        settings = {
            'PERFORMANCE_HINT': 'LATENCY',
            'NUM_STREAMS': '1',
            'INFERENCE_NUM_THREADS': thread_count(job.runtime.threads),
            'INFERENCE_PRECISION_HINT': _HINTS[job.precision],
            'CPU_RUNTIME_CACHE_CAPACITY': _KEPT,
        }
        try:
            _fix_shapes(job, models)
            self._requests = {
                graph: core.compile_model(model, 'CPU', settings).create_infer_request()
                for graph, model in models.items()
            }
        except Exception as error:  # OpenVINO raises RuntimeError for nearly everything
            raise VosError(
                f'model {job.manifest.name}: OpenVINO cannot compile it ({first_line(error)}); '
                'take another backend'
            ) from None
        self._inputs, self._features = inputs, outputs['encode_image']
        self.takes_windows = _is_free(job, models['segment'])

    def encode_image(self, image: Float) -> Features:
        """Encode one frame; see Backend."""
        made = self._requests['encode_image'].infer(
            {'image': image}, share_inputs=True, share_outputs=not self.takes_windows
        )
        return {'image': image, **{name: made[name] for name in self._features}}

    def _run(self, graph: str, feeds: Features) -> Float:
        made: Float = self._requests[graph].infer(feeds, share_inputs=True)[OUTPUTS[graph]]
        return made


def _read(core: Any, job: Job, graph: str) -> Any:
    path = job.manifest.graphs[graph].path
    try:
        return core.read_model(str(path))
    except Exception as error:  # OpenVINO raises RuntimeError for nearly everything
        raise VosError(
            f'model {job.manifest.name}: OpenVINO cannot read {path} ({first_line(error)}); '
            'export the model again'
        ) from None


def _names(ports: Any) -> tuple[str, ...]:
    return tuple(port.get_any_name() for port in ports)


def _is_free(job: Job, segment: Any) -> bool:
    """Return whether the graph can be asked for a part of the frame."""
    return job.manifest.fixed is None and 'place' in _names(segment.inputs)


def _up_to(shape: Any, grid: tuple[int, int]) -> Any:
    """Return a shape (..., h, w) whose sides may be those of any part of the grid of tokens."""
    *leading, tall, wide = shape
    rows, columns = grid
    height, width = tall.get_length(), wide.get_length()
    sides = (ov.Dimension(height // rows, height), ov.Dimension(width // columns, width))
    return ov.PartialShape([*leading, *sides])


def _fix_shapes(job: Job, models: dict[str, Any]) -> None:
    """Give every input its shape, or the range of it; the features' follow from the image's."""
    models['encode_image'].reshape({'image': ov.PartialShape([1, 3, *job.size])})
    whole = {
        port.get_any_name(): port.get_partial_shape() for port in models['encode_image'].outputs
    }
    whole['image'] = models['encode_image'].input('image').get_partial_shape()
    stride = job.manifest.stride
    rows, columns = grid = (job.size[0] // stride, job.size[1] // stride)
    tokens = rows * columns
    whole['place'] = ov.PartialShape([2, rows, columns])
    objects = ov.Dimension(1, job.max_objects)
    growing = object_shapes(job.manifest, job.size, 1)
    for name in ('masks', 'others'):
        whole[name] = ov.PartialShape([objects, *growing['encode_mask'][name][1:]])
    seen = whole
    if _is_free(job, models['segment']):
        seen = {name: _up_to(shape, grid) for name, shape in whole.items()}
    memory = {
        'memory_place': ov.PartialShape([2, tokens]),
        'memory_key': ov.PartialShape([2, job.manifest.key_dim, tokens]),
        'memory_value': ov.PartialShape([objects, *growing['segment']['memory_value'][1:]]),
    }
    for model in models.values():
        model.reshape({name: (seen | memory)[name] for name in _names(model.inputs)})


def open_openvino(job: Job, verify: Verify) -> OpenVinoBackend:
    """Open OpenVINO and compare it with the processor by onnxruntime."""
    backend = OpenVinoBackend(job)
    verify(backend)
    return backend
