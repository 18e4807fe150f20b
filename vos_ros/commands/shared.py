# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the commands of `vos` have in common: options, exit codes, bars and how figures look."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
import errno
import functools
import inspect
import json
import logging
import math
import os
from pathlib import Path
import sys
from typing import Any, TYPE_CHECKING, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
import typer

from vos_ros.budget import Budget
from vos_ros.config import (
    from_settings,
    InitConfig,
    MemoryConfig,
    read_settings,
    RuntimeConfig,
    SegmenterConfig,
    to_settings,
)
from vos_ros.errors import VosError

if TYPE_CHECKING:
    from vos_ros.engine.segmenter import VideoSegmenter
    from vos_ros.evaluation.evaluate import Latency
    from vos_ros.evaluation.metrics import Summary
    from vos_ros.formats.boxes import Box, Points

F = TypeVar('F', bound=Callable[..., Any])
FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130
_PIPED_COLUMNS = 120
#: What a disk says that is full, read only, over its quota or broken.
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO)

MODEL = typer.Option(
    RuntimeConfig().model, '--model', help='Name of a shipped model, or path of a model folder.'
)
SIZE = typer.Option(
    0, '--size', help='Short side of the network input in px; 0 = what the model was trained for.'
)
MAX_OBJECTS = typer.Option(
    0,
    '--max-objects',
    help='Objects followed at once, at most 254; 0 = as many as the masks hold, at least 10.',
)
BUDGET_MIB = typer.Option(
    0.0,
    '--budget-mib',
    help='Memory that may be used, MiB; what needs more is refused. 0 = half of what there is.',
)
IMAGE_RANGE = typer.Option(
    'auto',
    '--image-range',
    help='Counts of 16 bit images that become black and white, as 3000,3600; auto = by the first.',
)
THREADS = typer.Option(0, '--threads', help='Threads of the network; 0 = chosen by itself.')
BACKEND = typer.Option(
    RuntimeConfig().backend,
    '--backend',
    help='What runs the network: auto, tensorrt, cuda, openvino or cpu.',
)
PRECISION = typer.Option(
    RuntimeConfig().precision,
    '--precision',
    help='What it computes with: auto, fp32, fp16 or bf16.',
)
SET = typer.Option(
    [],
    '--set',
    metavar='NAME=VALUE',
    help='A setting of the segmenter as in config/vos.yaml: redetect.enabled=true. Repeatable.',
)
BOX = typer.Option(
    [],
    '--box',
    help='X,Y,W,H in px instead of a mask: a box around an object of the first frame. Once for '
    'each object: ids 1, 2, ...',
)
POINT = typer.Option(
    [],
    '--point',
    help='X,Y (or X,Y,X,Y,...) in px instead of a mask: on an object. Several places '
    'say more than one, a box says most. Ids go on after those of the boxes.',
)
PROMPT_MODEL = typer.Option(
    InitConfig().prompt_model,
    '--prompt-model',
    help="Network that makes masks of boxes and points, name or folder; '' = GrabCut.",
)
JSON = typer.Option(False, '--json', help='Print the result as JSON on stdout, and nothing else.')


def guard(command: F) -> F:
    """
    Give every command the same exit codes, and one line instead of a traceback.

    :param command: function behind a command; of its options numbers are finite, and none is
        below 0 that has no `min` of its own and is not so by default.
    """
    options = {name: p.default for name, p in inspect.signature(command).parameters.items()}

    @functools.wraps(command)
    def guarded(*args: Any, **kwargs: Any) -> None:
        try:
            for name, value in kwargs.items():
                _check_number(options[name], value)
            command(*args, **kwargs)
        except VosError as error:
            print(f'vos: {error}', file=sys.stderr)
            raise typer.Exit(BAD_INPUT) from None
        except OSError as error:
            if error.errno not in _DISK:  # no permission, a name that is too long, ...
                if error.filename is None:
                    raise
                print(f'vos: cannot use {error.filename}: {error.strerror}', file=sys.stderr)
                raise typer.Exit(BAD_INPUT) from None
            where = f' {error.filename}' if error.filename else ''
            reason = error.strerror or type(error).__name__
            print(
                f'vos: cannot write{where}: {reason}; free some space or choose another --out',
                file=sys.stderr,
            )
            raise typer.Exit(FAILED) from None
        except KeyboardInterrupt:
            print('vos: interrupted', file=sys.stderr)
            raise typer.Exit(INTERRUPTED) from None

    return guarded  # type: ignore[return-value]


def _check_number(option: Any, value: object) -> None:
    """Raise VosError where a number makes no sense; typer itself lets nan through every bound."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return
    name = option.param_decls[0]
    if not math.isfinite(value):
        raise VosError(f'{name} must be a finite number, not {value}')
    if value < 0 <= option.default and option.min is None:
        raise VosError(f'{name} must be 0 or more, not {value:g}')


def read_hints(mask: str, boxes: Sequence[str], points: Sequence[str]) -> dict[int, Box | Points]:
    """
    Read the boxes and points that stand for a mask: object id -> what says where it is.

    :raises VosError: there is no mask and none of them, or both, or one cannot be read.
    """
    from vos_ros.formats.boxes import parse_box, parse_points

    if bool(mask) == bool(boxes or points):
        raise VosError(
            'say what to follow: --mask first.png, or --box X,Y,W,H or --point X,Y (not both); '
            'vos page paints one'
        )
    hints: list[Box | Points] = [*map(parse_box, boxes), *map(parse_points, points)]
    return dict(enumerate(hints, 1))


def open_segmenter(
    model: str,
    size: int,
    threads: int,
    backend: str,
    precision: str,
    max_objects: int,
    memory: MemoryConfig,
    given: Sequence[str] = (),
) -> VideoSegmenter:
    """
    Open a model; parameters as the options of the same name.

    :param max_objects: above 0.
    :param memory: see `spend`.
    :param given: further settings, NAME=VALUE each; they win.

    :raises VosError: the model or a setting is wrong.
    """
    from vos_ros.engine.segmenter import VideoSegmenter

    config = SegmenterConfig(input_size=size, max_objects=max_objects, memory=memory)
    values = to_settings(config) | read_settings(SegmenterConfig, given)
    return VideoSegmenter.open(
        model,
        config=from_settings(SegmenterConfig, values),
        runtime=RuntimeConfig(model=model, threads=threads, backend=backend, precision=precision),
    )


def spend(budget_mib: float) -> MemoryConfig:
    """
    Let this process use no more memory, from now on.

    :param budget_mib: 0 = half of what there is.
    :raises VosError: it is below 0.
    """
    from vos_ros.formats.encoded import limit_pixels

    memory = MemoryConfig(budget_mib=budget_mib)
    limit_pixels(Budget.of(memory).pixels)
    return memory


def make_folder(path: Path) -> None:
    """
    Find out before the work, not after it, that the results cannot be written.

    :raises VosError: it cannot be made or written into.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise VosError(f'cannot make the folder {path}: {error.strerror}; choose --out') from error
    if not os.access(path, os.W_OK):
        raise VosError(f'cannot write into the folder {path}; choose --out')


def describe_model(segmenter: VideoSegmenter) -> dict[str, Any]:
    """Give what a report says of the model."""
    manifest = segmenter.manifest
    return {
        'model': {
            'name': manifest.name,
            'sha256': manifest.sha256,
            'preset': manifest.content.get('preset'),
        },
        'input_size': segmenter.short_sides[0],
        'backend': segmenter.backend_name,
        'precision': segmenter.precision,
    }


def engine_line(result: Mapping[str, Any]) -> str:
    """
    Say in one line what ran; J&F and speed mean little without it.

    :param result: with the content of `describe_model`.
    """
    return '{name} on {backend} {precision}, short side {input_size} px'.format(
        **result, name=result['model']['name']
    )


def occlusion_line(figures: Mapping[str, Any]) -> str:
    """
    Say in one line whether objects were found again.

    :param figures: what a report has under `occlusion`.
    """
    if figures['hota'] is None:
        return 'not scored'
    parts = [f'{figures["recovered"]} of {figures["returns"]} found again']
    if figures['recovery_frames'] is not None:
        parts[0] += f' after {figures["recovery_frames"]:.0f} frames (median)'
    parts.append(f'{figures["false_recoveries"]} times taken for something else')
    parts.append(f'{figures["id_swaps"]} ids exchanged')
    if figures['time_to_failure'] is not None:
        parts.append(f'time to failure {figures["time_to_failure"]:.3f}')
    return ', '.join((*parts, f'HOTA {figures["hota"]:.3f}'))


class _Once(logging.Filter):
    """Lets a message through once: a backend is opened again for every size of the camera."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        is_new = message not in self._seen
        self._seen.add(message)
        return is_new


@contextmanager
def log_on_stderr() -> Iterator[None]:
    """Print warnings that the library logs, each of them once."""
    handler = logging.StreamHandler()
    handler.setLevel(logging.WARNING)
    handler.setFormatter(logging.Formatter('vos: %(message)s'))
    handler.addFilter(_Once())
    logger = logging.getLogger('vos_ros')
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


@contextmanager
def progress_bars() -> Iterator[Progress]:
    """Draw bars on stderr, where it is a terminal."""
    console = Console(stderr=True)
    bars = Progress(
        TextColumn('{task.description}', markup=False),  # it holds names of files
        BarColumn(),
        TextColumn('{task.completed:.0f}/{task.total:.0f}'),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )
    # rich before 12 prints an empty line at the end of bars that are disabled.
    with bars if console.is_terminal else nullcontext():
        yield bars


def wide_console() -> Console:
    """Give a console for tables: a file or a pipe need not be narrow."""
    console = Console()
    return console if console.is_terminal else Console(width=_PIPED_COLUMNS)


def print_json(result: Mapping[str, Any]) -> None:
    """Print one JSON value on stdout."""
    print(json.dumps(result, indent=2, allow_nan=False))


def print_deleted(out: Path, files: int) -> None:
    """
    Say that results of an earlier run had to go.

    :param out: folder of the results.
    :param files: how many were deleted.
    """
    if files:
        print(f'vos: {out}: deleted {files} files of an earlier run', file=sys.stderr)


def print_warnings(name: str, warnings: tuple[str, ...]) -> None:
    """Print what the segmenter complained about on one sequence."""
    for warning in warnings:
        print(f'vos: {name}: {warning}', file=sys.stderr)


def scores(summary: Summary | None) -> tuple[str, str, str]:
    """Format J, F and J&F."""
    if summary is None:
        return '-', '-', '-'
    return f'{summary.j:.3f}', f'{summary.f:.3f}', f'{summary.jf:.3f}'


def milliseconds(latency: Latency) -> tuple[str, str, str]:
    """Format p50, p95 and p99."""
    return f'{latency.p50:.1f}', f'{latency.p95:.1f}', f'{latency.p99:.1f}'
