# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Measure a run while it trains, on data sets that it does not learn from.

The averaged weights are exported and run through the robot's engine, in a process of its own with
as many threads as the trainer, which waits: nothing that is learnt depends on it, and no worker is
forked after the threads of onnxruntime have started (it could hang).

In the run directory are then `val.csv` (J&F of every set), `val/STEP.jpg` (masks drawn over a few
frames of every set), `student-STEP.pt` of the last few validations, and `best.pt`, the one with
the highest mean over the sets.
"""

from collections.abc import Sequence
import csv
from dataclasses import dataclass, field
import logging
import os
from pathlib import Path
import shutil
from time import monotonic
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from vos_distill.evaluation.evaluate import opened_stepper
from vos_distill.processes.isolation import isolated
from vos_ros.errors import VosError
from vos_ros.evaluation.evaluate import evaluate_sequences, Observation
from vos_ros.formats.drawing import draw_overlay, to_rgb, write_image
from vos_ros.sequences import LabelledSequence, open_labelled

Image = npt.NDArray[np.uint8]
_TILE_PX = 288  # width
_CAPTION_PX = 20
_SHEET_SEQUENCES = 3  # sequences of a set on the sheet
_WHEN = (0.5, 0.95)  # of each of them, share of its frames
_FIXED_COLUMNS = ('step', 'short_side', 'nth', 'mean')
log = logging.getLogger(__name__)


def parse_sets(entries: Sequence[str]) -> dict[str, Path]:
    """
    Read what `--val` gives: ROOT, which is named by its last folder, or NAME=ROOT.

    :raises ValueError: two sets of one name, or a name that a column of `val.csv` has.
    """
    sets: dict[str, Path] = {}
    for entry in entries:
        name, is_named, root = entry.partition('=')
        if not is_named or Path(entry).exists():
            name, root = Path(entry).resolve().name, entry
        if not name or not root or name in _FIXED_COLUMNS:
            raise ValueError(f"--val {entry}: give ROOT, or NAME=ROOT with a name like 'davis'")
        if name in sets:
            raise ValueError(f'--val {entry}: another set is named {name}; give NAME=ROOT')
        sets[name] = Path(root)
    return sets


@dataclass(frozen=True)
class Validation:
    """
    What is measured, and how often.

    :param sets: data sets by name.
    :param every: steps between two validations; the last step is validated too.
    :param short_side: of the network's input, px.
    :param nth: measure every n-th sequence of each set.
    :param keep: of the numbered checkpoints, so many; `best.pt` stays beside them.
    """

    sets: dict[str, Path] = field(default_factory=dict)
    every: int = 1000
    short_side: int = 480
    nth: int = 1
    keep: int = 3

    def is_due(self, step: int, last: int) -> bool:
        """Tell whether a step is to be validated; `last` is that of the whole run."""
        return bool(self.sets) and step > 0 and (step % self.every == 0 or step == last)

    def check(self) -> None:
        """
        Open every set before the hours are spent.

        :raises ValueError: one cannot be measured; names it.
        """
        for name, root in self.sets.items():
            try:
                self.sequences(root)
            except VosError as error:
                raise ValueError(f'--val {name}: {error}') from error

    def sequences(self, root: Path) -> Sequence[LabelledSequence]:
        """Open what is measured of a set."""
        return open_labelled(root)[:: self.nth]


def measure(weights: Path, sets: Validation, threads: int, sheet: Path) -> dict[str, float]:
    """
    Give J&F of every set, through the engine (in torch for an infinite memory); draw the sheet.

    :param threads: of the processor.
    :param sheet: picture to write.
    :raises VosError: a bad file, or nothing to score in a set; names it.
    """
    scores = {}
    rows = []
    with opened_stepper(weights, short_side=sets.short_side, threads=threads) as stepper:
        for name, root in sets.sets.items():
            sequences = sets.sequences(root)
            tiles = SheetRow(name, [sequence.name for sequence in sequences])
            report = evaluate_sequences(sequences, lambda: stepper, observers=[tiles])
            if report.overall is None:
                raise VosError(f'{root}: nothing to score; masks are needed after the first frame')
            scores[name] = report.overall.jf
            rows.append(tiles.draw())
    width = max(row.shape[1] for row in rows)
    wide = [_padded(row, row.shape[0], width) for row in rows]
    write_image(sheet, np.vstack(wide))
    return scores


class SheetRow:
    """Observer that keeps a few frames of a set, with the predicted masks drawn over."""

    def __init__(self, title: str, names: Sequence[str]) -> None:
        chosen = (
            np.linspace(0, len(names) - 1, min(_SHEET_SEQUENCES, len(names))).round().astype(int)
        )
        self._title, self._names = title, {names[i] for i in chosen}
        self._tiles: list[Image] = []

    def __call__(self, seen: Observation) -> None:
        """Draw a frame, if it is one of those that are shown."""
        last = len(seen.sequence) - 1
        if seen.sequence.name not in self._names:
            return
        if seen.index not in {round(when * last) for when in _WHEN}:
            return
        image = draw_overlay(to_rgb(seen.frame), seen.label_map)
        height = max(1, round(image.shape[0] * _TILE_PX / image.shape[1]))
        small = cv2.resize(image, (_TILE_PX, height), interpolation=cv2.INTER_AREA)
        caption = np.full((_CAPTION_PX, _TILE_PX, 3), 32, np.uint8)
        j = [score[0] for score in seen.scores.values()]
        score = f' J {sum(j) / len(j):.2f}' if j else ''
        text = f'{self._title}: {seen.sequence.name}/{seen.name}{score}'
        at = (4, _CAPTION_PX - 6)
        cv2.putText(
            caption, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.36, (255, 255, 255), 1, cv2.LINE_AA
        )
        self._tiles.append(np.vstack([caption, small.astype(np.uint8)]))

    def draw(self) -> Image:
        """Give the frames side by side."""
        height = max(tile.shape[0] for tile in self._tiles)
        return np.hstack([_padded(tile, height, tile.shape[1]) for tile in self._tiles])


def _padded(image: Image, height: int, width: int) -> Image:
    missing = (height - image.shape[0], width - image.shape[1])
    padded = cv2.copyMakeBorder(image, 0, missing[0], 0, missing[1], cv2.BORDER_CONSTANT)
    return padded.astype(np.uint8)


class Validator:
    """
    Validates a run and keeps its files.

    :param step: of the checkpoint that the run goes on from; later rows are written again.
    """

    def __init__(self, run: Path, validation: Validation, step: int) -> None:
        self.run, self.validation = run, validation
        self.path = run / 'val.csv'
        rows = _read_rows(self.path)
        self.rows = [row for row in rows if int(row['step']) <= step]
        if len(self.rows) < len(rows):
            self._write()

    def is_due(self, step: int, last: int) -> bool:
        """As `Validation.is_due`, but not where there is a row of the step already."""
        is_done = any(row['step'] == str(step) and self._is_alike(row) for row in self.rows)
        return self.validation.is_due(step, last) and not is_done

    def validate(self, step: int, threads: int) -> dict[str, float]:
        """
        Measure `student.pt`, which must be that of the step.

        What goes wrong is said, and the run goes on: its steps are worth more than a row.

        :return: J&F of every set, and their `mean`; {} where it could not be measured.
        :raises Interrupted: a signal came; a resumed run validates the step again.
        """
        began = monotonic()
        numbered = self.run / f'student-{step:06d}.pt'
        try:
            _copy(self.run / 'student.pt', numbered)
            scores = isolated(measure, numbered, self.validation, threads, self.sheet(step))
        except (ValueError, RuntimeError, OSError, VosError) as error:
            log.warning('step %d: not validated, the training goes on: %s', step, error)
            return {}
        scores['mean'] = sum(scores.values()) / len(scores)
        best = max((float(r['mean']) for r in self.rows if self._is_alike(r)), default=-1.0)
        fixed = {
            'step': step,
            'short_side': self.validation.short_side,
            'nth': self.validation.nth,
        }
        row = {name: str(value) for name, value in fixed.items()}
        row |= {name: f'{value:.4f}' for name, value in scores.items()}
        self.rows = [r for r in self.rows if r['step'] != row['step']] + [row]
        is_best = float(row['mean']) > best
        try:
            self._write()
            if is_best:
                _copy(numbered, self.run / 'best.pt')
            self._leave_out_old(step)
        except OSError as error:
            log.warning('step %d: %s: %s', step, self.run, error.strerror)
        listed = '  '.join(f'{name} {value:.4f}' for name, value in scores.items())
        mark = ', the best so far' if is_best else ''
        log.info('step %d: J&F %s (%.0f s)%s', step, listed, monotonic() - began, mark)
        return scores

    def sheet(self, step: int) -> Path:
        """Name the picture of a step."""
        return self.run / 'val' / f'{step:06d}.jpg'

    def _is_alike(self, row: dict[str, str]) -> bool:
        """Tell whether a row was measured on the same sets in the same way."""
        sets = {name for name, value in row.items() if value and name not in _FIXED_COLUMNS}
        way = (row['short_side'], row['nth'])
        wanted = (str(self.validation.short_side), str(self.validation.nth))
        return sets == set(self.validation.sets) and way == wanted

    def _write(self) -> None:
        names = dict.fromkeys(n for row in self.rows for n in row if n not in _FIXED_COLUMNS)
        partial = self.path.with_suffix('.partial')
        with partial.open('w', newline='') as file:
            writer = csv.DictWriter(file, [*_FIXED_COLUMNS[:3], *names, 'mean'])
            writer.writeheader()
            writer.writerows(self.rows)
        os.replace(partial, self.path)

    def _leave_out_old(self, step: int) -> None:
        numbered = sorted(self.run.glob('student-*.pt'))
        late = [path for path in numbered if int(path.stem.partition('-')[2]) > step]
        old = [path for path in numbered if path not in late][: -self.validation.keep]
        for path in (*late, *old):  # late: of a run that went on from before them
            path.unlink()


def _copy(path: Path, to: Path) -> None:
    partial = to.with_suffix('.partial')
    shutil.copyfile(path, partial)
    os.replace(partial, to)


def _read_rows(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with path.open(newline='') as file:
        rows: list[dict[str, Any]] = list(csv.DictReader(file))
    return [row for row in rows if (row.get('step') or '').isdigit() and row.get('mean')]
