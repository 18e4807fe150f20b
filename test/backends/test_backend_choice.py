# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Which backend runs, and what is said when it is not the best one.

There is no GPU where these tests run: its providers are fakes that compute on the processor, so
what is tested is the decision, not the provider.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
import logging
from pathlib import Path
from time import sleep
from typing import Any

from fake_onnxruntime import fail, FakeRuntime, nan, noise, Spoil
import pytest

from vos_ros.backends import AUTO, BACKENDS, load_manifest, open_backend
from vos_ros.backends.base import Backend, Features, Job, NotInstalledError, Verify
from vos_ros.backends.choice import choose, Kind
from vos_ros.backends.cuda_backend import CUDA, open_cuda
from vos_ros.backends.onnx_backend import CPU, open_cpu, Registry
from vos_ros.backends.probe import time_against
from vos_ros.backends.tensorrt_backend import open_tensorrt, TENSORRT
from vos_ros.config import RuntimeConfig
from vos_ros.datatypes import Float
from vos_ros.errors import VosError

_BOTH = (TENSORRT, CUDA)


@pytest.fixture
def job(tiny_model: Path, tmp_path: Path) -> Job:
    runtime = RuntimeConfig(threads=1, engine_cache_dir=str(tmp_path / 'engines'))
    return Job(load_manifest(tiny_model), runtime, (64, 96), max_objects=4)


def _absent(job: Job, verify: Verify) -> Backend:
    raise NotInstalledError('OpenVINO is not installed')


def _fp32_only(job: Job, verify: Verify) -> Backend:
    if job.precision != 'fp32':
        raise NotInstalledError('this processor has no bfloat16')
    return open_cpu(job)


def _choose(
    job: Job,
    fake: FakeRuntime,
    installed: Sequence[str] = _BOTH,
    gpus: Sequence[str] = (),
    openvino: Callable[[Job, Verify], Backend] | None = None,
    **settings: Any,
) -> Backend:
    runtime = replace(job.runtime, **settings)
    registry = fake.registry(*installed)
    kinds = dict(BACKENDS)
    for name, opener in (
        ('tensorrt', partial(open_tensorrt, registry=registry, gpus=gpus)),
        ('cuda', partial(open_cuda, registry=registry)),
    ):
        kinds[name] = Kind(opener, BACKENDS[name].precisions, is_gpu=True)
    kinds['openvino'] = Kind(_absent if openvino is None else openvino, ('bf16', 'fp32'))
    return choose(Job(job.manifest, runtime, job.size, job.max_objects), kinds, AUTO, lambda: gpus)


def test_auto_takes_the_best_that_works_and_complains_of_nothing(job: Job) -> None:
    backend = _choose(job, FakeRuntime())
    assert (backend.name, backend.precision, backend.fallbacks) == ('tensorrt', 'fp16', ())
    backend = _choose(job, FakeRuntime(), [CUDA], ['GPU'])
    assert (backend.name, backend.precision, backend.fallbacks) == ('cuda', 'fp32', ())


def test_provider_that_does_not_start_is_passed_over_with_the_reason(job: Job) -> None:
    backend = _choose(job, FakeRuntime(starts=[CUDA]))
    assert backend.name == 'cuda'
    (reason,) = backend.fallbacks
    assert 'tensorrt is not used' in reason
    assert 'driver or libraries' in reason


def test_defect_of_a_backend_is_passed_over_and_named(job: Job) -> None:
    def broken(job: Job, verify: Verify) -> Backend:
        raise RuntimeError('no such device')

    backend = _choose(job, FakeRuntime(), installed=[], openvino=broken)
    assert backend.name == 'cpu'
    assert backend.fallbacks == ('openvino is not used: RuntimeError: no such device',)


@pytest.mark.parametrize(
    ('spoil', 'part'),
    [
        pytest.param(noise(0.1), 'differs by', id='other numbers'),
        pytest.param(lambda array: array[:, :1], 'differs by inf', id='other shape'),
        pytest.param(nan, 'differs by nan', id='no numbers'),
        pytest.param(fail, 'no kernel image', id='fails'),
    ],
)
def test_provider_that_fails_the_probe_is_never_used(job: Job, spoil: Spoil, part: str) -> None:
    fake = FakeRuntime(spoil=dict.fromkeys(_BOTH, spoil))
    backend = _choose(job, fake)
    assert (backend.name, backend.precision) == ('cpu', 'fp32')
    assert len(backend.fallbacks) == 2
    for name, reason in zip(('tensorrt', 'cuda'), backend.fallbacks):
        assert f'{name} is not used' in reason
        assert part in reason
    for name in ('tensorrt', 'cuda'):
        with pytest.raises(VosError, match=part):
            _choose(job, fake, backend=name)


def test_rounding_of_the_precision_is_allowed_and_no_more(job: Job) -> None:
    spoil = noise(0.01)
    fake = FakeRuntime(spoil={TENSORRT: spoil, CUDA: spoil})
    assert _choose(job, fake, backend='tensorrt').precision == 'fp16'
    with pytest.raises(VosError, match=r'0\.001 is allowed in fp32'):
        _choose(job, fake, backend='tensorrt', precision='fp32')
    with pytest.raises(VosError, match=r'0\.001 is allowed in fp32'):
        _choose(job, fake, backend='cuda')


def test_int8_may_be_rounded_in_another_way(job: Job) -> None:
    content = {**job.manifest.content, 'precision': 'int8'}
    job = replace(job, manifest=replace(job.manifest, content=content))
    assert _choose(job, FakeRuntime(spoil={CUDA: noise(0.03)}), backend='cuda').name == 'cuda'
    with pytest.raises(VosError, match='computes something else'):
        _choose(job, FakeRuntime(spoil={CUDA: noise(0.5)}), backend='cuda')


def test_a_plain_machine_gets_the_processor_without_a_word(
    job: Job, caplog: pytest.LogCaptureFixture
) -> None:
    backend = _choose(job, FakeRuntime(), installed=[])
    assert (backend.name, backend.fallbacks, caplog.records) == ('cpu', (), [])


def test_a_gpu_that_nothing_can_use_is_named_loudly(
    job: Job, caplog: pytest.LogCaptureFixture
) -> None:
    backend = _choose(job, FakeRuntime(), installed=[], gpus=['Orin'])
    assert backend.name == 'cpu'
    (reason,) = backend.fallbacks
    assert 'Orin is not used' in reason
    assert 'onnxruntime-gpu' in reason
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert reason in record.getMessage()


@pytest.mark.parametrize('name', ['tensorrt', 'cuda'])
def test_asked_for_by_name_but_not_installed_is_an_error_with_the_remedy(
    job: Job, name: str
) -> None:
    with pytest.raises(VosError, match=r'onnxruntime-gpu.*backend auto'):
        _choose(job, FakeRuntime(), installed=[], backend=name)


def test_asked_for_by_name_and_not_starting_is_an_error(job: Job) -> None:
    with pytest.raises(VosError, match='does not start'):
        _choose(job, FakeRuntime(starts=[]), backend='cuda')


def test_this_machine_refuses_what_it_has_not(tiny_model: Path) -> None:
    """The real way in, with the onnxruntime that is installed."""
    if CUDA in Registry().providers:
        pytest.skip('this onnxruntime has CUDA')
    for name in ('tensorrt', 'cuda'):
        with pytest.raises(VosError, match=r'has no .*ExecutionProvider; it has .*CPU'):
            open_backend(load_manifest(tiny_model), RuntimeConfig(backend=name), (64, 96))


def test_precision_that_a_backend_has_not_is_refused_with_those_it_has(job: Job) -> None:
    with pytest.raises(VosError, match='cpu does not run in fp16, only in fp32'):
        _choose(job, FakeRuntime(), backend='cpu', precision='fp16')
    with pytest.raises(VosError, match='tensorrt does not run in bf16, only in fp16, fp32'):
        _choose(job, FakeRuntime(), backend='tensorrt', precision='bf16')


def test_a_precision_that_the_processor_lacks_is_passed_over_unless_asked_for(job: Job) -> None:
    backend = _choose(job, FakeRuntime(), installed=[], openvino=_fp32_only)
    assert (backend.name, backend.precision, backend.fallbacks) == ('cpu', 'fp32', ())
    named = _choose(job, FakeRuntime(), openvino=_fp32_only, backend='openvino')
    assert named.precision == 'fp32'
    with pytest.raises(VosError, match='no bfloat16'):
        _choose(job, FakeRuntime(), openvino=_fp32_only, backend='openvino', precision='bf16')


@pytest.mark.parametrize(('share', 'name'), [(0.6, 'openvino'), (1.2, 'cpu')])
def test_auto_takes_another_way_on_the_processor_only_where_it_is_quicker(
    share: float,
    name: str,
    job: Job,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def opened(job: Job, verify: Verify) -> Backend:
        backend = open_cpu(job)
        backend.name = 'openvino'
        return backend

    monkeypatch.setattr('vos_ros.backends.choice.time_against', lambda *backends: share)
    caplog.set_level(logging.INFO)
    backend = _choose(job, FakeRuntime(), installed=[], openvino=opened)
    assert (backend.name, backend.fallbacks) == (name, ())
    said = 'openvino in bf16 is not used: a frame takes 1.20 times as long as by cpu here'
    assert (said in caplog.messages) == (name == 'cpu')
    assert _choose(job, FakeRuntime(), openvino=opened, backend='openvino').name == 'openvino'


def test_what_takes_longer_is_found_to(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    slow, plain = open_cpu(job), open_cpu(job)
    encode = slow.encode_image

    def encode_image(image: Float) -> Features:
        sleep(0.1)
        return encode(image)

    monkeypatch.setattr(slow, 'encode_image', encode_image)
    assert time_against(plain, slow, job) > 1
    assert time_against(slow, plain, job) < 1


def test_auto_looks_for_what_has_the_precision(job: Job) -> None:
    assert _choose(job, FakeRuntime(), precision='fp32').precision == 'fp32'
    backend = _choose(job, FakeRuntime(), installed=[CUDA], precision='fp16')
    assert (backend.name, backend.precision) == ('cpu', 'fp32')
    assert 'nothing that runs in fp16' in backend.fallbacks[0]


def test_options_of_the_providers_are_those_asked_for(job: Job) -> None:
    fake = FakeRuntime()
    _choose(job, fake, backend='tensorrt', device_id=2)
    for providers in fake.opened:
        assert [name for name, _ in providers] == [TENSORRT, CUDA, CPU]
        tensorrt, cuda = providers[0][1], providers[1][1]
        assert tensorrt['device_id'] == cuda['device_id'] == '2'
        assert tensorrt['trt_fp16_enable'] == '1'
        assert all(isinstance(v, str) for v in (tensorrt | cuda).values())
    encode_image, segment, encode_mask = (providers[0][1] for providers in fake.opened)
    assert 'trt_profile_max_shapes' not in encode_image
    dim = job.manifest.value_dim
    assert segment['trt_profile_min_shapes'] == f'memory_value:1x2x{dim}x24'
    assert segment['trt_profile_max_shapes'] == f'memory_value:4x2x{dim}x24'
    assert encode_mask['trt_profile_max_shapes'] == 'masks:4x16x24,others:4x16x24'


def test_profiles_name_exactly_the_inputs_that_grow(tiny_model: Path) -> None:
    """TensorRT wants a range for every input with a free dimension; others must not have one."""
    from vos_ros.backends.base import GRAPHS, object_shapes
    from vos_ros.backends.onnx_backend import OnnxBackend, Registry

    manifest = load_manifest(tiny_model)
    job = Job(manifest, RuntimeConfig(threads=1), (64, 96), 3)
    providers: dict[str, Any] = dict.fromkeys(GRAPHS, ((CPU, {}),))
    backend = OnnxBackend(job, name='static', providers=providers, registry=Registry())
    assert not backend.takes_windows
    for graph, shapes in object_shapes(manifest, (64, 96), 3).items():
        free = {
            node.name: tuple(3 if dim == 'objects' else dim for dim in node.shape)
            for node in backend.sessions[graph].get_inputs()
            if not all(isinstance(dim, int) for dim in node.shape)
        }
        assert shapes == free
