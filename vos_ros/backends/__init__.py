# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Models and what runs them: ``load_manifest`` finds one, ``open_backend`` makes it run."""

from __future__ import annotations

import hashlib
import importlib
import json
import math
import os
from pathlib import Path
import re
import sys
from typing import Any

from vos_ros.backends.base import (
    Backend,
    Features,
    Graph,
    GRAPHS,
    Job,
    Manifest,
    NotInstalledError,
    Size,
    Verify,
)
from vos_ros.backends.choice import choose, Kind
from vos_ros.backends.per_call import ObjectsPerCall
from vos_ros.config import RuntimeConfig, SegmenterConfig
from vos_ros.errors import VosError

__all__ = ['Backend', 'Features', 'Manifest', 'BACKENDS', 'load_manifest', 'open_backend']

_FORMAT = 1
#: Of the grids of tokens and of masks, px; see docs/model_contract.md.
_STRIDE, _MASK_STRIDE = 16, 4
_MANIFEST = 'manifest.json'
#: How a tensor of ONNX names the file that holds its data: an entry of the key `location`.
_EXTERNAL = b'\x0a\x08location\x12'
#: Sizes above this are mistakes, not networks.
_MOST = 1 << 16
#: What to do where there is no onnxruntime.
ONNXRUNTIME_HINT = (
    'pip install onnxruntime (rosdep: python3-onnxruntime-pip); from Ubuntu 26.04 on also apt '
    'install python3-onnxruntime'
)
_NAME = re.compile(r'[\w.+-][\w .+-]{0,99}')


def model_folders() -> list[Path]:
    """Return the folders that hold models by name: a checkout's, then the installed ones."""
    here = Path(__file__).resolve()
    found = [here.parents[2] / 'models']
    prefixes = [Path(p) for p in os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep) if p]
    prefixes += [*here.parents, Path(sys.prefix)]
    found += [prefix / 'share' / 'vos_ros' / 'models' for prefix in prefixes]
    return [folder for folder in dict.fromkeys(found) if folder.is_dir()]


def known_models() -> dict[str, Path]:
    """Return name -> folder of every model found; where a name occurs twice, the first wins."""
    found: dict[str, Path] = {}
    for folder in model_folders():
        for manifest in sorted(folder.glob(f'*/{_MANIFEST}')):
            found.setdefault(manifest.parent.name, manifest.parent)
    return found


def is_file(path: Path) -> bool:
    """
    Tell whether a file is there.

    :raises VosError: it cannot be told: no permission, or a name that is too long.
    """
    try:
        return path.is_file()
    except OSError as error:
        raise VosError(f'cannot use {path}: {error.strerror}') from None


def load_manifest(model: str | Path) -> Manifest:
    """
    Read a model's manifest.

    :param model: a name among the known models, or the path of a model folder.
    """
    given, known = Path(model), known_models()
    is_name = len(given.parts) == 1 and str(model) in known
    folder = known[str(model)] if is_name else given
    if folder.name == _MANIFEST:
        folder = folder.parent
    path = folder / _MANIFEST
    if not is_file(path):
        names = ', '.join(known) or 'none'
        raise VosError(
            f'unknown model {str(model)!r}: neither a known name ({names}) nor a folder with a '
            f'{_MANIFEST}'
        )
    try:
        raw = path.read_bytes()
        return _parse(json.loads(raw), folder, hashlib.sha256(raw).hexdigest())
    except (
        *(ValueError, KeyError, TypeError, AttributeError),
        *(OverflowError, RecursionError, OSError),
    ) as error:
        reason = f'{error} is missing' if isinstance(error, KeyError) else str(error)
        raise VosError(
            f'{path} is not a model manifest: {reason}; export the model again'
        ) from None


def _parse(content: dict[str, Any], folder: Path, sha256: str) -> Manifest:
    if content['format'] != _FORMAT:
        raise ValueError(
            f'format {content["format"]!r} is not {_FORMAT}, which this version reads'
        )
    model_input = content['input']
    if model_input['color'] != 'rgb':
        raise ValueError(f'color {model_input["color"]!r} is not rgb')
    mean, std = (tuple(float(v) for v in model_input[k]) for k in ('mean', 'std'))
    if len(mean) != 3 or len(std) != 3 or not all(map(math.isfinite, mean + std)) or min(std) <= 0:
        raise ValueError('mean and std must be three numbers each, std above 0')
    graphs = {
        name: Graph(
            folder / _inside(content['graphs'][name]['file']), content['graphs'][name]['sha256']
        )
        for name in GRAPHS
    }
    if not _NAME.fullmatch(str(content['name'])):
        raise ValueError('its name must be letters, digits, and . + - _, at most 100')
    whole = {
        name: _whole(part[name], name)
        for part, names in (
            (content, ('stride', 'mask_stride', 'key_dim', 'value_dim')),
            (model_input, ('short_side', 'multiple')),
        )
        for name in names
    }
    if max(whole.values()) > _MOST:
        raise ValueError(f'sizes must be at most {_MOST}')
    if min(whole.values()) <= 0 or whole['multiple'] % whole['stride']:
        raise ValueError('sizes must be above 0, and multiple a multiple of stride')
    if (whole['stride'], whole['mask_stride']) != (_STRIDE, _MASK_STRIDE):
        raise ValueError(f'stride must be {_STRIDE} and mask_stride {_MASK_STRIDE}')
    objects_per_call = _whole(content.get('objects_per_call', 0), 'objects_per_call')
    if objects_per_call < 0:
        raise ValueError('objects_per_call must be 0 (any number) or above')
    fixed: tuple[int, int, int] | None = None
    if 'fixed' in content:
        height, width, objects = (
            _whole(content['fixed'][name], name) for name in ('height', 'width', 'objects')
        )
        fixed = height, width, objects
        if min(fixed) <= 0 or max(fixed) > _MOST:
            raise ValueError(f'height, width and objects of fixed must lie in 1 .. {_MOST}')
    return Manifest(
        name=str(content['name']),
        folder=folder,
        sha256=sha256,
        mean=mean,
        std=std,
        graphs=graphs,
        content=content,
        objects_per_call=objects_per_call,
        fixed=fixed,
        **whole,
    )


def _whole(value: object, name: str) -> int:
    """Return a whole number, and no other kind of value that could be made one."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f'{name} must be a whole number, not {value!r:.40}')
    return value


def _inside(file: str) -> str:
    """Refuse the path of a graph that leads out of the model's folder."""
    if not file.isprintable() or Path(file).is_absolute() or '..' in Path(file).parts:
        raise ValueError(f'the graph {file!r} is no file in the folder of the model')
    return file


def check_files(manifest: Manifest) -> None:
    """Raise VosError when a graph is missing, not the one that was exported, or not all of it."""
    for name, graph in manifest.graphs.items():
        try:
            if graph.path.exists() and not graph.path.is_file():
                raise OSError('it is no file')
            content = graph.path.read_bytes()
        except OSError as error:
            raise VosError(
                f'model {manifest.name}: cannot read {name} at {graph.path} '
                f'({error.strerror or error}); fetch or export the model again'
            ) from None
        found = hashlib.sha256(content).hexdigest()
        if _EXTERNAL in content:
            raise VosError(
                f'model {manifest.name}: {graph.path} keeps weights in another file, which no '
                'sha256 vouches for; export the model with all weights inside'
            )
        if found != graph.sha256:
            raise VosError(
                f'model {manifest.name}: {graph.path} is corrupt or was replaced: sha256 expected '
                f'{graph.sha256}, found {found}; fetch or export the model again'
            )


def _open_cpu(job: Job, verify: Verify) -> Backend:
    _check_onnxruntime('cpu')
    from vos_ros.backends.onnx_backend import open_cpu

    return open_cpu(job)


def _open_cuda(job: Job, verify: Verify) -> Backend:
    _check_onnxruntime('cuda')
    from vos_ros.backends.cuda_backend import open_cuda

    return open_cuda(job, verify)


def _open_tensorrt(job: Job, verify: Verify) -> Backend:
    _check_onnxruntime('tensorrt')
    from vos_ros.backends.tensorrt_backend import open_tensorrt

    return open_tensorrt(job, verify)


def _check_onnxruntime(backend: str) -> None:
    try:
        importlib.import_module('onnxruntime')
    except ImportError as error:
        raise NotInstalledError(
            f'backend {backend} needs onnxruntime ({error}): {ONNXRUNTIME_HINT}'
        ) from None


def _open_openvino(job: Job, verify: Verify) -> Backend:
    try:
        from vos_ros.backends.openvino_backend import open_openvino
    except ImportError as error:
        raise NotInstalledError(
            f'backend openvino needs OpenVINO ({error}); pip install openvino'
        ) from None
    return open_openvino(job, verify)


# Heavy imports happen inside the factory that needs them.
BACKENDS: dict[str, Kind] = {
    'tensorrt': Kind(_open_tensorrt, ('fp16', 'fp32'), is_gpu=True),
    'cuda': Kind(_open_cuda, is_gpu=True),
    'openvino': Kind(_open_openvino, ('bf16', 'fp32')),
    'cpu': Kind(_open_cpu),
}
# What auto tries, best first. OpenVINO is timed: a frame in bf16 takes 0.6 of the processor's time
# on one machine and more than 1 on another, in fp32 0.9 to 1.1 (docs/backends.md).
AUTO = ('tensorrt', 'cuda', 'openvino', 'cpu')


def open_backend(
    manifest: Manifest,
    runtime: RuntimeConfig,
    size: Size,
    max_objects: int = SegmenterConfig().max_objects,
) -> Backend:
    """
    Check the model's files and make them run on what `runtime` asks for.

    :param size: network input (H, W), multiples of `manifest.multiple`.
    :param max_objects: most objects in one call.
    :raises VosError: no such backend, a damaged file, or what was asked for does not start.
    """
    if runtime.backend not in ('auto', *BACKENDS):
        raise VosError(
            f'unknown backend {runtime.backend!r}; known are auto, {", ".join(BACKENDS)}'
        )
    check_files(manifest)
    per_call = manifest.objects_per_call if manifest.fixed is None else manifest.fixed[2]
    job = Job(manifest, runtime, size, min(max_objects, per_call or max_objects))
    backend = choose(job, BACKENDS, AUTO)
    if not per_call:
        return backend
    return ObjectsPerCall(backend, per_call, is_fixed=manifest.fixed is not None)
