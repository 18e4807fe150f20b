# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The command `vos-distill`: train a student, measure it, export it."""

import logging
import os
from pathlib import Path
import sys

import typer

from vos_distill.commands import data, export, measure, prompts, studies, train, weights
from vos_distill.labelling.command import join, label
from vos_distill.loop.train import DivergedError
from vos_distill.processes.distributed import Interrupted, is_first_process, others_named
from vos_ros.errors import VosError

app = typer.Typer(
    help='Train, measure and export finite-memory students for vos_ros.',
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command('presets')(weights.presets)
app.add_typer(data.app, name='data')
app.command('label')(label)
app.command('segmenter')(join)
app.command('average')(weights.average_weights)
app.command('narrow')(weights.narrow_weights)
app.command('widen')(weights.widen_weights)
app.command('import-stcn')(weights.import_weights)
app.command('train')(train.train)
app.add_typer(prompts.app, name='prompts')
app.command('export')(export.export)
app.command('one-graph')(export.one_graph)
app.command('quantize')(export.quantize)
app.command('submit')(measure.submit)
app.command('eval')(measure.evaluate)
app.command('ablate')(studies.run_ablation)
app.command('chain')(studies.chain)


def main() -> None:
    """Run the command; errors that a user can mend are one line and exit code 2."""
    level = logging.INFO if is_first_process() else logging.WARNING
    logging.basicConfig(level=level, format='%(message)s')
    rank = '' if is_first_process() else f' (process {os.environ["RANK"]})'
    try:
        with others_named():  # here too: torch tells of a dead worker wherever it is just then
            app()
    except Interrupted as end:
        typer.echo(f'vos-distill{rank}: {end}', err=True)
        sys.exit(128 + end.number)  # as a shell reports a signal, so that no script goes on
    except DivergedError as error:
        typer.echo(f'vos-distill{rank}: {error}', err=True)
        sys.exit(1)
    except (FileExistsError, NotADirectoryError) as error:
        path = Path(error.filename or '')
        file = next((p for p in (path, *path.parents) if p.is_file()), path)
        there = f'{file} is a file, and a folder is needed there; choose another'
        typer.echo(f'vos-distill{rank}: {there}', err=True)
        sys.exit(2)
    except (ValueError, OSError, VosError) as error:
        typer.echo(f'vos-distill{rank}: {error}', err=True)
        sys.exit(2)


if __name__ == '__main__':
    main()
