# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a run says about itself: `metrics.csv`, and TensorBoard's event files beside it."""

import csv
from datetime import timedelta
import logging
import os
from pathlib import Path
from typing import Any

import cv2

log = logging.getLogger(__name__)

# `data_wait` is the share of the time in which the step waited for clips.
COLUMNS = (
    'step', 'seconds', 'rate', 'gradient', 'ce', 'dice', 'carried', 'distil', 'iou', 'data_wait'
)  # fmt: skip
MEANS = COLUMNS[4:]


class MetricsLog:
    """
    One row every `every` steps, the mean of those steps.

    Rows that an interrupted run wrote after its last checkpoint are taken out, as the resumed
    run writes them again.

    :param step: of the checkpoint that the run goes on from, 0 for a new run.
    :param window: sums over the steps since the last row, kept up to date here, as they are part
        of a checkpoint; {} for a new run.
    """

    def __init__(self, run: Path, every: int, step: int, window: dict[str, float]) -> None:
        self.every, self.window = every, window
        path = run / 'metrics.csv'
        _keep_rows_up_to(path, step)
        self._file = path.open('a', newline='')
        self._writer = csv.DictWriter(self._file, COLUMNS)
        self._board = _open_board(run / 'tensorboard', step)

    def add(self, values: dict[str, float]) -> None:
        """
        Take a step into the mean.

        :param values: every name of `MEANS` but `data_wait`; `waited`, the seconds that the step
            waited for clips; `took`, its seconds with that.
        """
        for name, value in {**values, 'count': 1.0}.items():
            self.window[name] = self.window.get(name, 0.0) + value

    def row(self, step: int, seconds: float, rate: float, gradient: float) -> dict[str, float]:
        """
        Write the row, where one is due.

        :return: the means, and `took`, seconds a step; {} where no row was due.
        """
        if step % self.every:
            return {}
        means = {n: self.window[n] / self.window['count'] for n in MEANS if n != 'data_wait'}
        means['data_wait'] = self.window['waited'] / max(self.window['took'], 1e-9)
        took = self.window['took'] / self.window['count']
        self.window.clear()
        now = {'step': step, 'seconds': f'{seconds:.0f}', 'rate': f'{rate:.4f}'}
        now['gradient'] = f'{gradient:.3f}'
        try:
            self._writer.writerow({**now, **{n: f'{v:.4f}' for n, v in means.items()}})
            self._file.flush()
        except OSError as error:
            raise OSError(
                f'{self._file.name}: cannot be written ({error.strerror}). Make room; the same '
                'command goes on from the last checkpoint'
            ) from error
        self._draw({'rate': rate, 'gradient': gradient, **means}, step)
        return {**means, 'took': took}

    def validated(self, step: int, scores: dict[str, float], sheet: Path) -> None:
        """
        Show a validation in TensorBoard.

        :param scores: J&F by the name of the set.
        :param sheet: picture; need not be there.
        """
        self._draw({f'val/{name}': value for name, value in scores.items()}, step)
        picture = cv2.imread(str(sheet)) if sheet.exists() else None
        if picture is not None and self._board is not None:
            picture = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
            self._board.add_image('val/sheet', picture, step, dataformats='HWC')

    def _draw(self, values: dict[str, float], step: int) -> None:
        try:
            for name, value in values.items():
                if self._board is not None:
                    self._board.add_scalar(name, value, step)
        except OSError as error:  # of a thread that writes it; the numbers are in metrics.csv
            log.warning('no more TensorBoard files: %s', error)
            self._board = None

    def close(self) -> None:
        """Write out what is buffered."""
        self._file.close()
        if self._board is not None:
            self._board.close()


def line_of(step: int, last: int, means: dict[str, float]) -> str:
    """
    Write a row of the metrics for people.

    :param last: step at which this call ends.
    :param means: of `MetricsLog.row`.
    """
    parts = '  '.join(f'{name} {means[name]:.4f}' for name in MEANS if name != 'data_wait')
    left = timedelta(seconds=round((last - step) * means['took']))
    speed = f'{1 / max(means["took"], 1e-9):.3g} steps/s'
    waited = f'data wait {100 * means["data_wait"]:.0f} %'
    return f'step {step}/{last}  {parts}  {speed}  {waited}  {left} left'


def _keep_rows_up_to(path: Path, step: int) -> None:
    rows = []
    if path.exists():
        with path.open(newline='') as file:
            # a line that a kill cut short has no number or too few cells
            rows = [
                r for r in csv.DictReader(file) if (r['step'] or '').isdigit() and all(r.values())
            ]
    partial = path.with_suffix('.partial')
    with partial.open('w', newline='') as file:
        writer = csv.DictWriter(file, COLUMNS, extrasaction='ignore')
        writer.writeheader()
        writer.writerows(r for r in rows if int(r['step']) <= step)
    os.replace(partial, path)


def _open_board(folder: Path, step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        log.info('no TensorBoard files: the package tensorboard is not installed')
        return None
    return SummaryWriter(str(folder), purge_step=step + 1)
