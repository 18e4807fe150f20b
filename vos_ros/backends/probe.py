# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A backend is trusted only after it gave what the processor gives, on this machine."""

from __future__ import annotations

from time import perf_counter

import numpy as np

from vos_ros.backends.base import Backend, Features, first_line, Job, object_shapes
from vos_ros.datatypes import Float
from vos_ros.errors import VosError

# Largest |a - b| / |b| of a tensor. Measured for the shipped model on noise: OpenVINO 1e-5 in
# fp32 and 0.05 in bf16; fp16 has 8 times finer steps than bf16. A provider that computes
# something else is off by 1, or gives no number.
TOLERANCE = {'fp32': 1e-3, 'fp16': 3e-2, 'bf16': 1e-1}
#: Of int8 models, which every runtime rounds in its own way (onnxruntime and OpenVINO: 0.05; 0.13
#: on processors without VNNI, where onnxruntime's sums of two products saturate at 16 bits).
_INT8 = 2e-1

_TURNS = 5


def verify_against(reference: Backend, backend: Backend, job: Job) -> None:
    """Raise VosError when `backend` fails, or differs by more than its precision explains."""
    try:
        worst, tensor = _largest_difference(reference, backend, job)
    except Exception as error:  # each runtime has errors of its own
        raise VosError(
            f'{backend.name} fails at its first inference: {first_line(error)}'
        ) from error
    limit = TOLERANCE[backend.precision]
    if job.manifest.content.get('precision') == 'int8':
        limit = max(limit, _INT8)
    if not worst <= limit:  # a nan compares false
        raise VosError(
            f'{backend.name} computes something else than the processor: {tensor} differs by '
            f'{worst:.2g} of its size, {limit:g} is allowed in {backend.precision}; take another '
            'precision or backend'
        )


def time_against(reference: Backend, backend: Backend, job: Job) -> float:
    """
    Return how long a frame with two objects takes, as a share of what it takes the reference.

    Both take turns, so that whatever else the machine does meets them alike; medians. The first
    turn only warms up.
    """
    rng = np.random.default_rng(0)
    image = rng.standard_normal((1, 3, *job.size)).astype(np.float32)
    objects = min(2, job.max_objects) if job.manifest.fixed is None else job.manifest.fixed[2]
    shape = object_shapes(job.manifest, job.size, objects)['encode_mask']['masks']
    masks = rng.random(shape, dtype=np.float32) * np.float32(1 / objects)
    times: dict[Backend, list[float]] = {reference: [], backend: []}
    for number in range(_TURNS + 1):
        for one in (reference, backend) if number % 2 else (backend, reference):
            began = perf_counter()
            features = one.encode_image(image)
            value = one.encode_mask(features, masks, masks)
            key = features['key'].reshape(job.manifest.key_dim, -1)
            one.segment(features, np.stack([key, key]), np.stack([value, value], axis=1))
            times[one].append(perf_counter() - began)
    medians = {one: float(np.median(seen[1:])) for one, seen in times.items()}
    return medians[backend] / medians[reference]


def _largest_difference(reference: Backend, backend: Backend, job: Job) -> tuple[float, str]:
    """Compare graph by graph, each on what the reference made, with one object and with two."""
    rng = np.random.default_rng(0)
    image = rng.standard_normal((1, 3, *job.size)).astype(np.float32)
    features = {name: array.copy() for name, array in reference.encode_image(image).items()}
    found: dict[str, float] = {}
    made = backend.encode_image(image)
    for name, expected in features.items():
        found[name] = _difference(made[name], expected)
    key = features['key'].reshape(job.manifest.key_dim, -1)
    free = range(1, min(2, job.max_objects) + 1)
    for objects in free if job.manifest.fixed is None else (job.manifest.fixed[2],):
        value = _compare_values(reference, backend, features, job, objects, found)
        memory = np.stack([key, key]), np.stack([value, value], axis=1)
        found[f'logits of {objects}'] = _difference(
            backend.segment(features, *memory), reference.segment(features, *memory)
        )
    worst = max(found, key=lambda name: np.nan_to_num(found[name], nan=np.inf))
    return found[worst], worst


def _compare_values(
    reference: Backend,
    backend: Backend,
    features: Features,
    job: Job,
    objects: int,
    found: dict[str, float],
) -> Float:
    shape = object_shapes(job.manifest, job.size, objects)['encode_mask']['masks']
    masks = np.full(shape, 0.1, np.float32)
    for row, columns in enumerate(np.array_split(np.arange(shape[2]), objects + 1)[1:]):
        masks[row, :, columns] = 0.8
    others = masks.sum(axis=0, keepdims=True) - masks
    expected = reference.encode_mask(features, masks, others)
    found[f'value of {objects}'] = _difference(
        backend.encode_mask(features, masks, others), expected
    )
    return expected


def _difference(found: Float, expected: Float) -> float:
    if found.shape != expected.shape:
        return float('inf')
    size = float(np.linalg.norm(expected)) or 1.0
    return float(np.linalg.norm(found - expected)) / size
