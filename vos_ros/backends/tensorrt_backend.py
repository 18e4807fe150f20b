# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The network on an NVIDIA GPU, by onnxruntime's TensorRT provider; engines are kept on disk.

An engine belongs to one model, size, precision, GPU and version of the libraries. It takes
minutes to build, so it is built once, and trusted only if the network then gives what the
processor gives.
"""

from __future__ import annotations

from collections.abc import Sequence
import hashlib
import json
import logging
from pathlib import Path
import shutil
import tempfile

from vos_ros.backends.base import GRAPHS, Job, object_shapes, Verify
from vos_ros.backends.cuda_backend import cuda_provider, HINT
from vos_ros.backends.machine import cache_folder, gpu_names
from vos_ros.backends.onnx_backend import CPU, OnnxBackend, Provider, Registry
from vos_ros.errors import VosError

TENSORRT = 'TensorrtExecutionProvider'
_LOG = logging.getLogger(__name__)


def engine_folder(job: Job, version: str, gpus: Sequence[str]) -> Path:
    """
    Return where the engines of a job belong; another of anything is another folder.

    :param version: of onnxruntime.
    :param gpus: their names; they do not say which one CUDA counts as `device_id`.
    """
    key = {
        'model': job.manifest.sha256,
        'onnxruntime': version,
        'provider': TENSORRT,
        'gpus': list(gpus),
        'device_id': job.runtime.device_id,
        'max_objects': job.max_objects,
    }
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    height, width = job.size
    root = Path(job.runtime.engine_cache_dir or cache_folder() / 'engines').expanduser()
    return root / f'{job.manifest.name}-{width}x{height}-{job.precision}-{digest}'


def tensorrt_provider(job: Job, graph: str, folder: Path) -> Provider:
    """
    Return the TensorRT provider with its options, whose names and values are onnxruntime's.

    :param folder: where it keeps its engines and what it learned about their layers' times.
    """
    options = {
        'device_id': str(job.runtime.device_id),
        'trt_fp16_enable': str(int(job.precision == 'fp16')),
        'trt_engine_cache_enable': '1',
        'trt_engine_cache_path': str(folder),
        'trt_timing_cache_enable': '1',
        'trt_timing_cache_path': str(folder),
    }
    # Without a range the engine would be built again, mid-stream, for each new number of objects.
    for end, objects in (('min', 1), ('opt', min(2, job.max_objects)), ('max', job.max_objects)):
        shapes = object_shapes(job.manifest, job.size, objects)[graph]
        if shapes:
            options[f'trt_profile_{end}_shapes'] = ','.join(
                f'{name}:{"x".join(map(str, shape))}' for name, shape in shapes.items()
            )
    return TENSORRT, options


def open_tensorrt(
    job: Job,
    verify: Verify,
    registry: Registry | None = None,
    gpus: Sequence[str] | None = None,
) -> OnnxBackend:
    """
    Load the engines of a job, or build them; compare with the processor either way.

    Engines are built in a draft folder and put in place in one step once they are verified, so a
    build that was interrupted leaves nothing that could be taken for an engine. Engines that are
    there but fail are thrown away and built once more.
    """
    registry = registry or Registry()
    registry.require(TENSORRT, HINT)
    folder = engine_folder(job, registry.version, gpu_names() if gpus is None else gpus)

    def opened(place: Path) -> OnnxBackend:
        backend = OnnxBackend(
            job,
            name='tensorrt',
            providers={
                graph: [
                    tensorrt_provider(job, graph, place),
                    cuda_provider(job.runtime.device_id),
                    (CPU, {}),
                ]
                for graph in GRAPHS
            },
            registry=registry,
        )
        verify(backend)
        return backend

    try:
        if folder.is_dir():
            try:
                return opened(folder)
            except VosError as error:
                _LOG.warning('stale TensorRT engines in %s are built again: %s', folder, error)
                shutil.rmtree(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix='.building-', dir=folder.parent))
    except OSError as error:
        raise VosError(
            f'TensorRT engines cannot be kept in {folder.parent} ({error.strerror or error}); '
            'set engine_cache_dir to a folder that can be written'
        ) from None
    try:
        _LOG.warning('building TensorRT engines in %s: minutes, but only once', folder)
        backend = opened(draft)
        try:
            draft.rename(folder)
        except OSError:
            _LOG.info('%s was built by another process meanwhile', folder)
        return backend
    finally:
        shutil.rmtree(draft, ignore_errors=True)
