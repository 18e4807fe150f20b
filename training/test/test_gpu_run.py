# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What waits for a GPU, tried on the processor: the whole script, from the bare machine's on."""

import importlib
import json
import os
from pathlib import Path
import subprocess
import sys

import pytest

pytest.importorskip('torch', reason='the training package needs torch')
pytest.importorskip('onnx', reason='operators are counted with onnx')

ROOT = Path(__file__).resolve().parents[2]
RECIPE = """preset: tiny
videos: []
steps: 400
batch: 1
workers: 1
log_every: 2
frozen_stages: 0
clip: {size: 64, frames: 3, real: 0.0, occluder: 0.0, bars: 0.0}
"""


@pytest.fixture(autouse=True)
def _on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / 'benchmarks'))


@pytest.mark.slow
def test_the_whole_run_ends_well_on_the_processor(tmp_path: Path) -> None:
    recipe = tmp_path / 'recipe.yaml'
    recipe.write_text(RECIPE)
    command = [sys.executable, str(ROOT / 'benchmarks' / 'gpu' / 'bare.py')]
    command += ['--python', sys.executable, '--']
    command += ['--backends', 'cpu', '--model', str(ROOT / 'test' / 'data' / 'tiny')]
    command += ['--cameras', '96x64', '--objects', '1', '2', '--frames', '20']
    command += ['--parity-frames', '4', '--models', str(tmp_path / 'models'), '--draft']
    command += ['--train-minutes', '0.1', '--recipe', str(recipe)]
    environment = {**os.environ, 'VOS_BENCH_RESULTS': str(tmp_path), 'OMP_NUM_THREADS': '1'}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    (path,) = tmp_path.glob('*/raw.json')
    section = json.loads(path.read_text())['gpu']
    assert len(section['variants']) == 2
    for figures in section['variants'].values():
        assert figures['one graph']['differ'] < 1e-4
        assert figures['one graph']['copies'] == 2
        assert figures['one graph']['step_ms']['n'] == 20
        assert 0 < figures['floor_ms'][0] <= figures['floor_ms'][1]
    text = section['text']
    assert 'cuda: not run.' in text
    assert 'tensorrt: not run.' in text
    assert 'waited for clips in' in text
    assert 'Peers: not run' in text


def test_without_a_gpu_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    import onnxruntime

    if {'CUDAExecutionProvider', 'TensorrtExecutionProvider'} & set(
        onnxruntime.get_available_providers()
    ):
        pytest.skip('there is a provider for a GPU here')
    command = [sys.executable, str(ROOT / 'benchmarks'), 'gpu_run', '--draft']
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert 'no provider for a GPU' in done.stdout


def test_the_floor_is_the_slower_of_products_and_bytes() -> None:
    run = importlib.import_module('gpu.gpu_run')
    work = [(500_000_000, 1000), (0, 2_000_000)]  # multiply-adds, bytes
    assert run.floors_of(work, 1000.0, 100.0, 'fp32') == pytest.approx([1.0, 1.02])
    assert run.floors_of(work, 1000.0, 100.0, 'fp16') == pytest.approx([1.0, 1.01])


def test_a_bare_machine_gets_the_gpus_onnxruntime() -> None:
    pins = importlib.import_module('gpu.bare').requirements()
    assert pins.count('onnxruntime-gpu[cuda,cudnn]') == 1
    assert 'tensorrt' in pins
    assert not [pin for pin in pins if pin.startswith('onnxruntime=')]
    assert [pin for pin in pins if pin.startswith('torch')]
    assert [pin for pin in pins if pin.startswith('numpy')]
