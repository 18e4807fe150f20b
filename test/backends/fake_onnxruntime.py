# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""An onnxruntime with GPU providers, for machines without a GPU: sessions run on the processor."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from vos_ros.backends.cuda_backend import CUDA
from vos_ros.backends.onnx_backend import CPU, Registry
from vos_ros.backends.tensorrt_backend import TENSORRT

Spoil = Callable[[Any], Any]
ENGINE = 'segment.engine'


class _Session:
    def __init__(self, real: Any, providers: list[str], spoil: Spoil | None) -> None:
        self._real, self._providers, self._spoil = real, providers, spoil
        self.get_inputs, self.get_outputs = real.get_inputs, real.get_outputs

    def get_providers(self) -> list[str]:
        return self._providers

    def run(self, names: Sequence[str], feeds: Mapping[str, Any]) -> list[Any]:
        arrays = self._real.run(list(names), dict(feeds))
        return [self._spoil(a) for a in arrays] if self._spoil else arrays


class FakeRuntime:
    """
    Stands for ``onnxruntime.InferenceSession``.

    Like the real one, it goes on without a provider that does not start, and it writes TensorRT
    engines into the cache folder; a damaged one is an error.

    :param starts: the GPU providers that start.
    :param spoil: what a provider does to each output.
    """

    def __init__(
        self, *, starts: Sequence[str] = (TENSORRT, CUDA), spoil: Mapping[str, Spoil] | None = None
    ) -> None:
        self.starts = starts
        self.spoil = dict(spoil or {})
        self.opened: list[list[tuple[str, dict[str, str]]]] = []
        self.built = 0

    def registry(self, *providers: str, version: str = '1.0') -> Registry:
        """Return a registry whose build has these providers, besides the processor."""
        return Registry(version=version, providers=[*providers, CPU], open_session=self)

    def __call__(
        self,
        path: str,
        options: Any,
        *,
        providers: list[tuple[str, dict[str, str]]],
        enable_fallback: int,
    ) -> _Session:
        assert enable_fallback == 0
        self.opened.append(providers)
        started = [name for name, _ in providers if name == CPU or name in self.starts]
        if started[0] == TENSORRT:
            self._load_engine(Path(providers[0][1]['trt_engine_cache_path']))
        real = ort.InferenceSession(path, options, providers=[CPU])
        return _Session(real, started, self.spoil.get(started[0]))

    def _load_engine(self, folder: Path) -> None:
        engine = folder / ENGINE
        if not engine.exists():
            engine.write_text('engine')
            self.built += 1
        elif engine.read_text() != 'engine':
            raise RuntimeError('cannot deserialise the engine')


def noise(share: float) -> Spoil:
    """Return what adds so much noise, as a share of the size of the array."""
    rng = np.random.default_rng(1)

    def add(array: Any) -> Any:
        made = rng.standard_normal(array.shape).astype(np.float32)
        return array + made * (share * np.linalg.norm(array) / np.linalg.norm(made))

    return add


def fail(array: Any) -> Any:
    """Fail as a kernel does that was not built for this GPU."""
    raise RuntimeError('no kernel image is available for execution on the device')


def nan(array: Any) -> Any:
    """Return no numbers."""
    return np.full_like(array, np.nan)
