# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Jobs in a process of their own: results, errors, and signals at any moment."""

import os
from pathlib import Path
import pickle
import signal

import pytest
import yaml

torch = pytest.importorskip('torch', reason='the training package needs torch')
pytest.importorskip('lightning_fabric', reason='training needs lightning-fabric')
pytest.importorskip('onnx', reason='the export needs onnx')

from tiny_run import start, wait_for_step, write_stills  # noqa: E402

from vos_distill.networks.checkpoint import load_checkpoint  # noqa: E402
from vos_distill.processes.distributed import Interrupted  # noqa: E402
from vos_distill.processes.isolation import isolated  # noqa: E402

pytestmark = pytest.mark.timeout(300)


def test_an_interruption_survives_the_way_to_another_process() -> None:
    error = pickle.loads(pickle.dumps(Interrupted('run: stopped', signal.SIGTERM)))
    assert str(error) == 'run: stopped'
    assert error.number == signal.SIGTERM


def test_results_and_errors_come_back_and_a_death_is_told() -> None:
    assert isolated(os.path.join, 'a', 'b') == os.path.join('a', 'b')
    with pytest.raises(FileNotFoundError, match='nowhere'):
        isolated(os.listdir, '/nowhere')
    with pytest.raises(ChildProcessError, match=r'_exit died without an answer \(exit 3'):
        isolated(os._exit, 3)


@pytest.mark.integration
@pytest.mark.slow
@pytest.mark.parametrize(
    ('number', 'to_group'),
    [(signal.SIGINT, True), (signal.SIGTERM, True), (signal.SIGTERM, False),
     (signal.SIGKILL, False)],
    ids=['Ctrl-C', 'SIGTERM to all', 'SIGTERM to the parent', 'the parent is killed'],
)  # fmt: skip
def test_a_study_that_is_stopped_leaves_a_checkpoint_and_no_process(
    tmp_path: Path, number: signal.Signals, to_group: bool
) -> None:
    write_stills(tmp_path / 'data')
    base = {
        'preset': 'tiny', 'videos': [], 'steps': 100_000, 'batch': 2, 'workers': 1,
        'log_every': 3, 'save_every': 100_000, 'amp': False,
        'clip': {'size': 64, 'frames': 3, 'real': 0.0},
    }  # fmt: skip
    study = tmp_path / 'study.yaml'
    study.write_text(yaml.safe_dump({'base': base, 'variants': {'ce': {}}}))
    command = ['-m', 'vos_distill.cli', 'ablate', str(study), '--data', str(tmp_path / 'data')]
    command += ['--out', str(tmp_path), '--val', f'val={tmp_path}', '--threads', '1']
    process = start(command, start_new_session=True)
    wait_for_step(tmp_path / 'ce-0', 3, process)
    if to_group:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    said = process.communicate(timeout=120)[0]  # ends when every process has closed its output
    assert 'Traceback' not in said
    assert load_checkpoint(tmp_path / 'ce-0' / 'last.pt')['step'] >= 3
    if number == signal.SIGKILL:
        return
    assert process.returncode == 128 + number, said
    assert 'the same command goes on from there' in said
