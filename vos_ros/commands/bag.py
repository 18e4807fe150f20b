# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""vos bag make | eval | compare: recorded drives as a measure of accuracy and latency together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table
import typer

from vos_ros.commands.shared import (
    BACKEND,
    BUDGET_MIB,
    describe_model,
    engine_line,
    FAILED,
    guard,
    IMAGE_RANGE,
    JSON,
    make_folder,
    MAX_OBJECTS,
    MODEL,
    occlusion_line,
    open_segmenter,
    PRECISION,
    print_deleted,
    print_json,
    print_warnings,
    progress_bars,
    SIZE,
    spend,
    THREADS,
    wide_console,
)
from vos_ros.config import parse_range, RuntimeConfig, SegmenterConfig
from vos_ros.errors import VosError

if TYPE_CHECKING:
    from vos_ros.backends import Manifest
    from vos_ros.bag.compare import Row
    from vos_ros.bag.replay import Observers, Outcome
    from vos_ros.bag.run import Input
    from vos_ros.datatypes import LabelMap
    from vos_ros.harness.play import Engine
    from vos_ros.sequences import DavisSequence, FolderSequence, VideoSequence

app = typer.Typer(
    help='Make, evaluate and compare recorded drives (rosbag2: mcap or sqlite3).',
    no_args_is_help=True,
    context_settings={'help_option_names': ['-h', '--help']},
)


@app.callback()
@guard
def _bag() -> None:
    check_rosbags('vos bag')


def check_rosbags(command: str) -> None:
    """Raise VosError where the package that a command reads bags with is missing."""
    if not find_spec('rosbags'):
        raise VosError(f'`{command}` reads bags with the package rosbags: pip install rosbags')


@app.command('make', epilog='Example: vos bag make DAVIS --sequence dog --out dog_bag')
@guard
def make_command(
    source: Path = typer.Argument(
        ...,
        metavar='DAVIS|VIDEO|FOLDER',
        help='Data set in DAVIS layout, video, or folder of images.',
    ),
    out: Path = typer.Option(..., '--out', help='Folder that is made for the bag.'),
    sequence: str = typer.Option('', '--sequence', help='Of the data set; empty = its only one.'),
    mask: str = typer.Option(
        '', '--mask', help='PNG with the objects on the first frame of a video or folder.'
    ),
    rate_hz: float = typer.Option(0.0, '--rate', help="Camera rate in Hz; 0 = the source's own."),
    compressed: str = typer.Option(
        '', '--compressed', help='jpeg or png: CompressedImage instead of Image.'
    ),
    storage: str = typer.Option('mcap', '--storage', help='mcap or sqlite3.'),
    image_range: str = IMAGE_RANGE,
    as_json: bool = JSON,
) -> None:
    """Make a bag from a sequence: camera, ground truth and init masks, with one header each."""
    from vos_ros.bag.sequence import INIT, TRUTH
    from vos_ros.bag.writer import make_bag
    from vos_ros.formats.label_png import read_prompt_png
    from vos_ros.sequences import DavisSequence

    opened = _open_source(source, sequence, mask, parse_range(image_range))
    if mask and isinstance(opened, DavisSequence):
        raise VosError('a data set has masks of its own; --mask is for a video or a folder')
    first_mask: LabelMap | None = read_prompt_png(Path(mask)) if mask else None
    make_folder(out.resolve().parent)
    with progress_bars() as progress:
        task = progress.add_task(opened.name, total=len(opened))
        made = make_bag(
            opened,
            out,
            rate_hz=rate_hz,
            compressed=compressed,
            storage=storage,
            first_mask=first_mask,
            on_frame=lambda: progress.advance(task),
        )
    if as_json:
        print_json({'bag': str(out), 'rate_hz': made.rate_hz, 'messages': made.counts})
        return
    print(f'{out}: {made.rate_hz:g} Hz')
    for topic, count in made.counts.items():
        print(f'{count:6d} {topic}')
    if TRUTH not in made.counts:
        start = '--init topic' if INIT in made.counts else '--init FILE.png'
        print(f'no true masks, so nothing to score: vos bag eval {out} --gt none {start}')


@app.command('eval', epilog='Example: vos bag eval drive --gt /gt/labels --mode realtime')
@guard
def eval_command(
    path: Path = typer.Argument(..., metavar='BAG', help='Folder of a bag, or .mcap or .db3.'),
    image: str = typer.Option(
        '', '--image', help='Topic of the camera; empty = as `vos bag make` calls it.'
    ),
    gt: str = typer.Option(
        '/gt/labels', '--gt', help='Topic of true label images, folder of PNG files, or: none.'
    ),
    init: str = typer.Option(
        'first',
        '--init',
        help='first = the true mask of each object where it first appears; topic = the init masks '
        'in the bag; or a PNG file for the first image.',
    ),
    init_topic: str = typer.Option('/init_mask', '--init-topic', help='Of --init topic.'),
    mode: str = typer.Option(
        'offline',
        '--mode',
        help='offline = every frame; realtime = on a simulated clock, late masks count as they '
        'would; ros = through the node, over ROS 2.',
    ),
    cost_ms: float = typer.Option(
        -1.0, '--cost-ms', help='Cost of a frame with --mode realtime; below 0 = as measured.'
    ),
    rate: float = typer.Option(
        1.0, '--rate', help='With --mode ros: play so many times faster than recorded.'
    ),
    loops: int = typer.Option(1, '--loops', help='With --mode ros: play it so often.'),
    deadline_ms: float = typer.Option(
        0.0, '--deadline-ms', help="A later mask is a deadline miss; 0 = the camera's period."
    ),
    out: Path = typer.Option(
        Path('bag_out'), '--out', help='Folder for report.json, index.html and masks/.'
    ),
    masks: bool = typer.Option(
        True, '--masks/--no-masks', help='Write OUT/masks/masks.mcap: images with their masks.'
    ),
    fail_under_jf: float = typer.Option(
        0.0, '--fail-under-jf', help='Exit code 1 where J&F is lower.'
    ),
    fail_over_p99_ms: float = typer.Option(
        0.0, '--fail-over-p99-ms', help='Exit code 1 where p99 of the latency is higher; 0 = off.'
    ),
    model: str = MODEL,
    size: int = SIZE,
    max_objects: int = MAX_OBJECTS,
    budget_mib: float = BUDGET_MIB,
    image_range: str = IMAGE_RANGE,
    threads: int = THREADS,
    backend: str = BACKEND,
    precision: str = PRECISION,
    as_json: bool = JSON,
) -> None:
    """Score a recorded drive: accuracy and latency together, with gates for a CI."""
    from vos_ros.backends import check_files, load_manifest
    from vos_ros.bag.report import MODES, Setting
    from vos_ros.bag.run import evaluate, most_objects, open_input, simulate
    from vos_ros.harness.play import Engine

    if mode not in MODES:
        raise VosError(f'--mode must be one of {", ".join(MODES)}, not {mode!r}')
    _check_options(mode, cost_ms, rate, loops)
    if fail_under_jf > 1:
        raise VosError(f'--fail-under-jf must lie in 0 .. 1, not {fail_under_jf:g}')
    if gt == 'none' and fail_under_jf > 0:
        raise VosError('--fail-under-jf needs ground truth, so not --gt none')
    memory = spend(budget_mib)
    given = open_input(
        path,
        image=image,
        gt=gt,
        init=init,
        init_topic=init_topic,
        image_range=image_range,
    )
    cost = cost_ms if mode == 'realtime' and cost_ms >= 0 else None
    setting = Setting(given.bag.name, given.image, gt, init, mode, cost, rate, loops, deadline_ms)
    make_folder(out)
    runtime = RuntimeConfig(model=model, threads=threads, backend=backend, precision=precision)
    held = max_objects or most_objects(given)
    config = SegmenterConfig(input_size=size, max_objects=held, memory=memory)

    # opened here, so that a model which cannot be used costs no results of an earlier run
    if mode == 'ros':
        manifest = load_manifest(model)
        check_files(manifest)  # a corrupt one shows here as one line, not in the node's log
    else:
        segmenter = open_segmenter(model, size, threads, backend, precision, held, memory)

    def play_simulated(observers: Observers) -> tuple[Outcome, Mapping[str, Any]]:
        outcome = simulate(given, segmenter, mode=mode, cost_ms=cost, observers=observers)
        return outcome, {**describe_model(segmenter), 'threads': threads}

    def play_through_node(observers: Observers) -> tuple[Outcome, Mapping[str, Any]]:
        engine = Engine(config, runtime)
        return _play_through_node(given, manifest, engine, out, observers, rate, loops)

    with ExitStack() as stack:
        report = evaluate(
            given,
            setting,
            play_through_node if mode == 'ros' else play_simulated,
            out,
            masks=masks,
            on_deleted=partial(print_deleted, out),
            on_frame=_late_bar(stack, f'{given.bag.name}: {mode}', given.frames * loops),
        )
    print_warnings(given.bag.name, tuple(report['warnings']))
    if as_json:
        print_json(report)
    else:
        wide_console().print(report_table(report))
        print(engine_line(report))
        print(f'{out}: report.json, index.html' + (', masks/masks.mcap' if masks else ''))
    if _has_failed(report, fail_under_jf, fail_over_p99_ms):
        raise typer.Exit(FAILED)


@app.command('compare', epilog='Example: vos bag compare before/report.json after/report.json')
@guard
def compare_command(
    before: Path = typer.Argument(..., metavar='A.json', help='Report to compare with.'),
    after: Path = typer.Argument(..., metavar='B.json', help='Report of the same bag.'),
    jf_drop: float = typer.Option(
        0.005,
        '--jf-drop',
        min=-1.0,
        max=1.0,
        help='J&F of B may be lower by so much; else exit code 1. Below 0 = must be higher.',
    ),
    p99_growth: float = typer.Option(
        0.2,
        '--p99-growth',
        min=-1.0,
        help='p99 of the latency may be higher by this share of it; below 0 = must be lower.',
    ),
) -> None:
    """Put two reports of one bag side by side; exit code 1 where B is worse."""
    from vos_ros.bag.compare import compare, load_report

    rows = compare(load_report(before), load_report(after), jf_drop=jf_drop, p99_growth=p99_growth)
    wide_console().print(_compare_table(rows))
    if any(row.is_worse for row in rows):
        raise typer.Exit(FAILED)


def _open_source(
    source: Path, sequence: str, mask: str, image_range: tuple[int, int] | None
) -> DavisSequence | FolderSequence | VideoSequence:
    from vos_ros.sequences import open_davis, open_sequence

    if not (source / 'JPEGImages').is_dir():
        if sequence:
            raise VosError(f'{source} is no data set in DAVIS layout, so it has no {sequence}')
        without = [Path(mask)] if mask else []
        return open_sequence(source, without=without, image_range=image_range)
    chosen = [sequence] if sequence else []
    found = open_davis(source, names=chosen, split='all', image_range=image_range)
    if len(found) > 1:
        names = ', '.join(part.name for part in found)
        raise VosError(f'a bag holds one sequence; name one of {source} with --sequence: {names}')
    return found[0]


def _late_bar(stack: ExitStack, title: str, total: int) -> Callable[[], None]:
    """Return what advances a bar that appears with the first step: others may come before it."""
    started: list[Callable[[], None]] = []

    def advance() -> None:
        if not started:
            progress = stack.enter_context(progress_bars())
            started.append(partial(progress.advance, progress.add_task(title, total=total)))
        started[0]()

    return advance


def _check_options(mode: str, cost_ms: float, rate: float, loops: int) -> None:
    if cost_ms >= 0 and mode != 'realtime':
        raise VosError(f'--cost-ms is for --mode realtime, not {mode}')
    if (rate != 1 or loops != 1) and mode != 'ros':
        raise VosError(f'--rate and --loops are for --mode ros, not {mode}')
    if not 0.01 <= rate <= 100:
        raise VosError(f'--rate must lie in 0.01 .. 100, not {rate}')
    if loops < 1:
        raise VosError(f'--loops must be 1 or more, not {loops}')


def _play_through_node(
    given: Input,
    manifest: Manifest,
    engine: Engine,
    out: Path,
    observers: Observers,
    rate: float,
    loops: int,
) -> tuple[Outcome, Mapping[str, Any]]:
    from vos_ros.bag.run import LOGS
    from vos_ros.harness import through_node
    from vos_ros.harness.play import print_failure
    from vos_ros.harness.processes import ProcessError

    console = Console(stderr=True)
    try:
        return through_node.play(
            given, manifest, engine, out, observers, rate=rate, loops=loops, console=console
        )
    except ProcessError as error:
        print_failure(console, 'vos bag eval', error, out / LOGS)
        raise typer.Exit(FAILED) from None


def _has_failed(report: Mapping[str, Any], least_jf: float, most_p99_ms: float) -> bool:
    """Say on stderr which gate was not passed."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    failed = False
    jf, latency = report['overall']['jf'], report['latency_ms']
    if least_jf > 0 and (jf is None or jf < least_jf):
        found = 'none could be scored' if jf is None else f'it is {jf:.4f}'
        console.print(f'vos: J&F must be {least_jf:g} or more (--fail-under-jf); {found}')
        failed = True
    if most_p99_ms > 0 and (latency is None or latency['p99'] > most_p99_ms):
        found = 'no mask came' if latency is None else f'it is {latency["p99"]:.1f} ms'
        console.print(
            f'vos: p99 of the latency must be {most_p99_ms:g} ms or less '
            f'(--fail-over-p99-ms); {found}'
        )
        failed = True
    return failed


def report_table(report: Mapping[str, Any]) -> Table:
    """Lay out a report: accuracy, latency, and what was dropped."""
    table = Table(box=None, show_header=False, pad_edge=False)
    overall, hashes = report['overall'], report['hashes']
    if overall['jf'] is None:
        table.add_row('J&F', 'not scored: there is no true mask to compare with')
    else:
        rows = [('J&F', report), ('streaming J&F', overall)]
        for name, part in rows[: 1 if report['mode'] == 'offline' else 2]:
            if part['jf'] is not None:
                table.add_row(name, '{jf:.4f}   J {j:.4f}, F {f:.4f}'.format(**part))
        for name, part in report['sequences'].items():
            for object_id, score in part['objects'].items():
                found = 'J {j:.4f}, F {f:.4f}'.format(**score)
                table.add_row(escape(f'  {name}, object {object_id}'), found)
        table.add_row('away and back', occlusion_line(report['occlusion']))
    for name, key in (('latency, ms', 'latency_ms'), ('age of the newest mask, ms', 'age_ms')):
        part = report[key]
        figures = '-' if part is None else ', '.join(f'{k} {v:.1f}' for k, v in part.items())
        table.add_row(name, figures)
    table.add_row('frames', f'{report["frames"]}, dropped {report["dropped"]}')
    if report['without_mask']:
        early = f'{report["without_mask"]} of {report["frames"]} frames'
        table.add_row('before the first mask', f'{early}; an object on them scores 0')
    misses = f'{report["deadline_misses"]} later than {report["deadline_ms"]:.1f} ms'
    table.add_row('deadline misses', misses)
    if report['lost'] is not None:
        table.add_row('objects', f'lost {report["lost"]}, recovered {report["recovered"]}')
    table.add_row('hash of the masks', hashes['masks'] or '-')
    return table


def _compare_table(rows: list[Row]) -> Table:
    table = Table(box=None, header_style='bold', pad_edge=False)
    table.add_column('')
    for title in ('A', 'B', 'B - A'):
        table.add_column(title, justify='right')
    for row in rows:
        difference = ''
        if isinstance(row.before, (int, float)) and isinstance(row.after, (int, float)):
            difference = f'{row.after - row.before:+.4g}'
        elif row.before != row.after:
            difference = 'differs'
        difference += '  worse' if row.is_worse else ''
        cells = [_cell(row.before), _cell(row.after), difference]
        table.add_row(
            escape(row.name), *map(escape, cells), style='bold red' if row.is_worse else ''
        )
    return table


def _cell(value: float | str | None) -> str:
    if value is None:
        return '-'
    return f'{value:.4f}' if isinstance(value, float) else str(value)
