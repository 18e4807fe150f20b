# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Engines on disk: complete or not there, never stale, never anybody else's. (Fake TensorRT.)"""

from dataclasses import replace
from pathlib import Path

from fake_onnxruntime import ENGINE, FakeRuntime
import pytest

from vos_ros.backends import load_manifest
from vos_ros.backends.base import Backend, Job
from vos_ros.backends.machine import cache_folder, gpu_names
from vos_ros.backends.onnx_backend import OnnxBackend
from vos_ros.backends.tensorrt_backend import engine_folder, open_tensorrt, TENSORRT
from vos_ros.config import RuntimeConfig
from vos_ros.errors import VosError

_GPU = ('NVIDIA Orin',)


def _trust(backend: Backend) -> None:
    pass


def _distrust(backend: Backend) -> None:
    raise VosError('computes something else')


@pytest.fixture
def job(tiny_model: Path, tmp_path: Path) -> Job:
    runtime = RuntimeConfig(threads=1, engine_cache_dir=str(tmp_path / 'engines'))
    return Job(load_manifest(tiny_model), runtime, (64, 96), 4, 'fp16')


def _open(job: Job, fake: FakeRuntime, verify: object = _trust) -> OnnxBackend:
    return open_tensorrt(job, verify, fake.registry(TENSORRT), _GPU)  # type: ignore[arg-type]


def _folders(job: Job) -> list[Path]:
    return sorted(Path(job.runtime.engine_cache_dir).iterdir())


def test_engines_are_built_once_and_then_loaded(job: Job) -> None:
    fake = FakeRuntime()
    _open(job, fake)
    assert fake.built == 1
    assert _folders(job) == [engine_folder(job, '1.0', _GPU)]
    _open(job, fake)
    assert fake.built == 1


def test_engines_that_fail_the_probe_are_not_kept(job: Job) -> None:
    with pytest.raises(VosError, match='something else'):
        _open(job, FakeRuntime(), _distrust)
    assert _folders(job) == []


def test_build_that_is_interrupted_leaves_nothing(job: Job) -> None:
    def interrupt(backend: Backend) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _open(job, FakeRuntime(), interrupt)
    assert _folders(job) == []


def test_damaged_engines_are_built_again(job: Job, caplog: pytest.LogCaptureFixture) -> None:
    fake = FakeRuntime()
    _open(job, fake)
    engine = engine_folder(job, '1.0', _GPU) / ENGINE
    engine.write_text('cut o')
    _open(job, fake)
    assert fake.built == 2
    assert engine.read_text() == 'engine'
    assert 'cannot deserialise' in caplog.text


def test_engines_that_compute_something_else_now_are_built_again(job: Job) -> None:
    fake = FakeRuntime()
    _open(job, fake)
    tried = []

    def verify(backend: Backend) -> None:
        tried.append(backend)
        if len(tried) == 1:
            raise VosError('computes something else')

    _open(job, fake, verify)
    assert (fake.built, len(tried)) == (2, 2)


def test_two_processes_that_build_at_once_both_run(job: Job) -> None:
    first = FakeRuntime()

    def meanwhile(backend: Backend) -> None:
        _open(job, FakeRuntime())

    assert _open(job, first, meanwhile).name == 'tensorrt'
    assert _folders(job) == [engine_folder(job, '1.0', _GPU)]


def test_another_of_anything_is_another_folder(job: Job, tiny_model: Path) -> None:
    runtime = job.runtime
    jobs = [
        job,
        replace(job, size=(96, 96)),
        replace(job, max_objects=5),
        replace(job, precision='fp32'),
        replace(job, manifest=replace(job.manifest, sha256='0' * 64)),
        replace(job, runtime=replace(runtime, device_id=1)),
    ]
    folders = [engine_folder(other, '1.0', _GPU) for other in jobs]
    folders += [engine_folder(job, '1.1', _GPU), engine_folder(job, '1.0', ('NVIDIA Thor',))]
    assert len(set(folders)) == len(folders)


def test_folder_that_cannot_be_written_is_named_with_the_setting(job: Job, tmp_path: Path) -> None:
    (tmp_path / 'file').write_text('')
    stuck = replace(job.runtime, engine_cache_dir=str(tmp_path / 'file' / 'engines'))
    with pytest.raises(VosError, match=r'file.*engine_cache_dir'):
        _open(replace(job, runtime=stuck), FakeRuntime())


def test_default_folder_follows_xdg(
    job: Job, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    assert cache_folder() == tmp_path / 'vos_ros'
    default = replace(job, runtime=RuntimeConfig())
    assert engine_folder(default, '1.0', _GPU).parent == tmp_path / 'vos_ros' / 'engines'
    monkeypatch.setenv('XDG_CACHE_HOME', 'not/absolute')
    monkeypatch.setenv('HOME', str(tmp_path))
    assert cache_folder() == tmp_path / '.cache' / 'vos_ros'


def test_gpu_is_found_as_desktop_drivers_and_jetsons_tell_it(tmp_path: Path) -> None:
    assert gpu_names(tmp_path) == ()
    board = tmp_path / 'proc/device-tree/model'
    board.parent.mkdir(parents=True)
    board.write_text('Raspberry Pi 5\0')
    assert gpu_names(tmp_path) == ()
    board.write_text('NVIDIA Jetson Orin Nano Developer Kit\0')
    assert gpu_names(tmp_path) == ('NVIDIA Jetson Orin Nano Developer Kit',)
    for number in (0, 1):
        card = tmp_path / f'proc/driver/nvidia/gpus/0000:0{number}:00.0/information'
        card.parent.mkdir(parents=True)
        card.write_text(f'Model: \t\t NVIDIA RTX {number}\nIRQ:   \t\t 1{number}\n')
    assert gpu_names(tmp_path) == ('NVIDIA RTX 0', 'NVIDIA RTX 1')
