# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The files that a run writes about itself."""

import logging
from pathlib import Path
import sys

import pytest

torch = pytest.importorskip('torch', reason='the training package needs torch')

from vos_distill.loop.logger import line_of, MetricsLog  # noqa: E402

PARTS = {'ce': 1.0, 'dice': 2.0, 'carried': 0.0, 'distil': 0.0, 'iou': 0.5}


def log_steps(run: Path, steps: range, window: dict[str, float], every: int = 2) -> None:
    metrics = MetricsLog(run, every, steps.start - 1, window)
    for step in steps:
        metrics.add({**PARTS, 'ce': float(step), 'waited': 0.1, 'took': 0.4})
        metrics.row(step, 10.0 * step, 1.0, 0.5)
    metrics.close()


def rows(run: Path) -> list[list[str]]:
    return [line.split(',') for line in (run / 'metrics.csv').read_text().splitlines()]


def test_a_row_is_the_mean_of_its_steps(tmp_path: Path) -> None:
    log_steps(tmp_path, range(1, 5), {})
    header, one, two = rows(tmp_path)
    values = dict(zip(header, two, strict=True))
    assert one[0] == '2'
    assert values['step'] == '4'
    assert float(values['ce']) == 3.5
    assert float(values['data_wait']) == 0.25


def test_a_resumed_log_repeats_no_row_and_continues_its_window(tmp_path: Path) -> None:
    log_steps(tmp_path, range(1, 8), {})
    whole = rows(tmp_path)
    with (tmp_path / 'metrics.csv').open('a') as file:
        file.write('8,80,1.0')  # cut short by a kill
    # the checkpoint of step 3 holds what step 3 has added
    window = {**PARTS, 'ce': 3.0, 'waited': 0.1, 'took': 0.4, 'count': 1.0}
    log_steps(tmp_path, range(4, 8), window)
    assert rows(tmp_path) == whole


def test_the_board_has_the_curves(tmp_path: Path) -> None:
    pytest.importorskip('tensorboard', reason='TensorBoard files need tensorboard')
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log_steps(tmp_path, range(1, 5), {})
    board = EventAccumulator(str(tmp_path / 'tensorboard'))
    board.Reload()
    assert {'ce', 'iou', 'rate', 'data_wait'} <= set(board.Tags()['scalars'])
    assert [(e.step, e.value) for e in board.Scalars('ce')] == [(2, 1.5), (4, 3.5)]


def test_without_tensorboard_one_line_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, 'torch.utils.tensorboard', None)
    caplog.set_level(logging.INFO)
    log_steps(tmp_path, range(1, 5), {})
    assert len(rows(tmp_path)) == 3
    assert [r.message for r in caplog.records] == [
        'no TensorBoard files: the package tensorboard is not installed'
    ]


def test_a_line_says_how_it_goes_and_how_long_it_takes() -> None:
    metrics = {**PARTS, 'data_wait': 0.031, 'took': 2.5}
    assert line_of(100, 1540, metrics) == (
        'step 100/1540  ce 1.0000  dice 2.0000  carried 0.0000  distil 0.0000  iou 0.5000  '
        '0.4 steps/s  data wait 3 %  1:00:00 left'
    )
