# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The network on an NVIDIA GPU, by onnxruntime's CUDA provider, in float32."""

from __future__ import annotations

from vos_ros.backends.base import GRAPHS, Job, Verify
from vos_ros.backends.onnx_backend import CPU, OnnxBackend, Provider, Registry

CUDA = 'CUDAExecutionProvider'
HINT = (
    'install the build for your device (onnxruntime-gpu; JetPack has its own wheels) or take '
    'backend auto'
)


def cuda_provider(device_id: int) -> Provider:
    """Return the CUDA provider with its options, whose names and values are onnxruntime's."""
    return CUDA, {
        'device_id': str(device_id),
        'use_tf32': '0',  # float32 as on the CPU; what wants less asks for TensorRT in fp16
        # An exhaustive search would run again, mid-stream, for every new number of objects.
        'cudnn_conv_algo_search': 'HEURISTIC',
        'arena_extend_strategy': 'kSameAsRequested',  # not the next power of two
    }


def open_cuda(job: Job, verify: Verify, registry: Registry | None = None) -> OnnxBackend:
    """Open the CUDA provider and compare it with the processor."""
    registry = registry or Registry()
    registry.require(CUDA, HINT)
    providers = [cuda_provider(job.runtime.device_id), (CPU, {})]
    backend = OnnxBackend(
        job, name='cuda', providers=dict.fromkeys(GRAPHS, providers), registry=registry
    )
    verify(backend)
    return backend
