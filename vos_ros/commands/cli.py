# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The command line: vos run | eval | bag | demo | doctor.

Exit code 0 = done, 1 = failed, 2 = wrong use or bad input, 130 = Ctrl-C. With
--json exactly one JSON value goes to stdout; everything for people goes to stderr
then. Options are constants with a default, not Annotated, because Ubuntu 22.04's
typer is too old for that; and each command imports what it needs, so that
--help is quick and `vos doctor` starts where an import is broken.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict
import io
from pathlib import Path
import sys
from typing import Any, TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table
import typer

from vos_ros import __version__
from vos_ros.commands import bag as bag_cli
from vos_ros.commands.shared import (
    BACKEND,
    BOX,
    BUDGET_MIB,
    describe_model,
    engine_line,
    FAILED,
    guard,
    IMAGE_RANGE,
    JSON,
    log_on_stderr,
    make_folder,
    MAX_OBJECTS,
    milliseconds,
    MODEL,
    occlusion_line,
    open_segmenter,
    POINT,
    PRECISION,
    print_deleted,
    print_json,
    print_warnings,
    progress_bars,
    PROMPT_MODEL,
    read_hints,
    scores,
    SET,
    SIZE,
    spend,
    THREADS,
    wide_console,
)
from vos_ros.config import parse_range, RuntimeConfig
from vos_ros.errors import VosError

if TYPE_CHECKING:
    from vos_ros.commands.doctor import Check
    from vos_ros.evaluation.evaluate import EvalReport, Latency, Observation, SequenceReport
    from vos_ros.evaluation.metrics import Summary

app = typer.Typer(
    name='vos',
    help='Follow objects through video: give a mask on the first frame, get one on every frame.',
    epilog='Example: vos run clip.mp4 --mask first.png --out result',
    add_completion=False,
    no_args_is_help=True,
    context_settings={'help_option_names': ['-h', '--help']},
)

app.add_typer(bag_cli.app, name='bag')


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f'vos_ros {__version__}')
        raise typer.Exit()


@app.callback()
def _vos(
    version: bool = typer.Option(
        False, '--version', help='Print the version.', callback=_print_version, is_eager=True
    ),
) -> None:
    pass


@app.command('run', epilog='Example: vos run clip.mp4 --mask first.png --out result')
@guard
def run_command(
    source: Path = typer.Argument(..., metavar='VIDEO|FOLDER', help='Video, or folder of images.'),
    mask: str = typer.Option(
        '',
        '--mask',
        help='PNG for the first frame, of its size: an id per pixel (8 or 16 bit, 0 = background, '
        '255 = void), or 0 and 255 only for one object.',
    ),
    box: list[str] = BOX,
    point: list[str] = POINT,
    prompt_model: str = PROMPT_MODEL,
    out: Path = typer.Option(
        Path('run_out'), '--out', help='Folder for masks/NAME.png and overlay.mp4.'
    ),
    model: str = MODEL,
    size: int = SIZE,
    max_objects: int = MAX_OBJECTS,
    budget_mib: float = BUDGET_MIB,
    image_range: str = IMAGE_RANGE,
    threads: int = THREADS,
    backend: str = BACKEND,
    precision: str = PRECISION,
    overlay: bool = typer.Option(
        True, '--overlay/--no-overlay', help='Write OUT/overlay.mp4 beside the masks.'
    ),
    as_json: bool = JSON,
) -> None:
    """Segment a video or a folder of images, given a mask (or boxes) for the first frame."""
    from vos_ros.engine.prompter import Prompter
    from vos_ros.evaluation.evaluate import (
        evaluate_sequence,
        fit_mask,
        MaskWriter,
        objects_for,
        PromptedSequence,
    )
    from vos_ros.evaluation.results import writing
    from vos_ros.evaluation.video import OverlayVideo
    from vos_ros.formats.label_png import read_prompt_png
    from vos_ros.formats.masks import ids_in
    from vos_ros.sequences import open_sequence

    memory = spend(budget_mib)
    hints = read_hints(mask, box, point)
    masks = [Path(mask)] if mask else []
    frames = open_sequence(source, without=masks, image_range=parse_range(image_range))
    first = next(iter(frames))
    made = frozenset[int]()
    if masks:
        labels = fit_mask(read_prompt_png(masks[0]), first.size, f'{mask} for {source}')
    else:
        prompt = Prompter.open(prompt_model, threads).prompt_of(first, hints)
        labels, made = prompt.label_map, prompt.made_ids
    make_folder(out)
    held = max_objects or objects_for(len(ids_in(labels)))
    segmenter = open_segmenter(model, size, threads, backend, precision, held, memory)
    codec = ''
    with ExitStack() as stack:
        inputs = [source, *masks, segmenter.manifest.folder]
        deleted = stack.enter_context(writing(out, ('masks', 'overlay.mp4'), inputs=inputs))
        print_deleted(out, deleted)
        observers: list[Callable[[Observation], None]] = [MaskWriter(out / 'masks', flat=True)]
        if overlay:
            video = OverlayVideo(out / 'overlay.mp4', rate_hz=frames.rate_hz)
            stack.enter_context(video)
            observers.append(lambda seen: video.write(seen.frame, seen.label_map))
        progress = stack.enter_context(progress_bars())
        task = progress.add_task(frames.name, total=len(frames))
        observers.append(lambda _: progress.advance(task))
        report = evaluate_sequence(
            segmenter, PromptedSequence(frames, labels, made), observers=observers
        )
        codec = video.codec if overlay else ''
    result = {
        'frames': report.frames,
        'objects': list(segmenter.object_ids),
        'masks': str(out / 'masks'),
        'overlay': str(out / 'overlay.mp4') if overlay else None,
        'overlay_codec': codec or None,
        **report.speed.to_dict(),
        **describe_model(segmenter),
        'warnings': list(report.warnings),
    }
    print_warnings(report.name, report.warnings)
    if as_json:
        print_json(result)
    else:
        _print_run(result, report.speed.latency)


@app.command('page', epilog='Example: vos page clip.mp4 --mask first.png')
@guard
def page_command(
    source: Path = typer.Argument(..., metavar='VIDEO|FOLDER', help='Video, or folder of images.'),
    mask: Path = typer.Option(
        Path('first.png'), '--mask', help='PNG to write: what vos run --mask takes.'
    ),
    host: str = typer.Option(
        '127.0.0.1', '--host', help='Address to listen on; beyond loopback a token is needed.'
    ),
    port: int = typer.Option(8420, '--port', min=0, max=65535, help='0 = any that is free.'),
    prompt_model: str = PROMPT_MODEL,
    model: str = MODEL,
    size: int = SIZE,
    budget_mib: float = BUDGET_MIB,
    image_range: str = IMAGE_RANGE,
    threads: int = THREADS,
    backend: str = BACKEND,
    precision: str = PRECISION,
) -> None:
    """Paint the first mask of a video in the browser, run it, and look at the result."""
    try:
        from vos_ros.page.server import PageServer
    except ImportError as error:
        raise VosError(f'vos page needs aiohttp ({error}): pip install aiohttp') from error
    from vos_ros.engine.prompter import Prompter
    from vos_ros.evaluation.evaluate import objects_for
    from vos_ros.page.clip import Clip
    from vos_ros.sequences import open_sequence

    memory = spend(budget_mib)
    if mask.exists():
        raise VosError(f'{mask} exists already; move it away, or choose another --mask')
    clip = Clip(
        open_sequence(source, without=[mask], image_range=parse_range(image_range)),
        mask,
        lambda n: open_segmenter(model, size, threads, backend, precision, objects_for(n), memory),
    )
    server = PageServer(clip, host, port, prompter=Prompter.open(prompt_model))
    server.start()
    print(f'open {server.url}  (Ctrl-C ends it)', flush=True)
    try:
        server.wait()
    except KeyboardInterrupt:  # that is how it is meant to end
        pass
    finally:
        clip.stop()
        server.stop()


@app.command(
    'eval',
    epilog='Example: vos eval DAVIS --split val --out eval_out --save-masks',
)
@guard
def eval_command(
    root: Path = typer.Argument(
        ...,
        metavar='ROOT',
        help='Data set in DAVIS layout, 2016 (binary) or 2017 (ids), or own clips: '
        'CLIP/images, CLIP/masks.',
    ),
    model: str = MODEL,
    size: int = SIZE,
    split: str = typer.Option(
        '', '--split', help='List in ImageSets; empty = val if there, else all; or: all.'
    ),
    sequences: str = typer.Option(
        '', '--sequences', help='Only these, separated by commas: bmx-trees,cows'
    ),
    out: Path = typer.Option(
        Path('eval_out'), '--out', help='Folder for report.json, worst_frames.png and the rest.'
    ),
    max_objects: int = MAX_OBJECTS,
    budget_mib: float = BUDGET_MIB,
    image_range: str = IMAGE_RANGE,
    save_masks: bool = typer.Option(
        False, '--save-masks', help='Write OUT/masks/SEQ/NAME.png, indexed, palette of DAVIS.'
    ),
    overlay: bool = typer.Option(False, '--overlay', help='Write OUT/overlays/SEQ.mp4.'),
    baselines: bool = typer.Option(
        True,
        '--baselines/--no-baselines',
        help='Beside it: the first mask copied, and the first mask carried by optical flow.',
    ),
    threads: int = THREADS,
    backend: str = BACKEND,
    precision: str = PRECISION,
    given: list[str] = SET,
    as_json: bool = JSON,
) -> None:
    """Score a model by J, F and J&F as DAVIS defines them, beside two baselines."""
    from vos_ros.evaluation.baselines import CopyFirstMask, FlowWarp
    from vos_ros.evaluation.evaluate import (
        describe_run,
        evaluate_sequences,
        MaskWriter,
        most_objects,
        OverlayWriter,
        Stepper,
        WorstFramesObserver,
        write_json,
    )
    from vos_ros.evaluation.results import writing
    from vos_ros.formats.drawing import write_image
    from vos_ros.sequences import open_labelled

    memory = spend(budget_mib)
    names = [name.strip() for name in sequences.split(',') if name.strip()]
    opened = open_labelled(root, split=split, names=names, image_range=parse_range(image_range))
    make_folder(out)
    held = max_objects or most_objects(opened)
    segmenter = open_segmenter(model, size, threads, backend, precision, held, memory, given)
    methods: dict[str, Callable[[], Stepper]] = {segmenter.manifest.name: lambda: segmenter}
    if baselines:
        methods |= {CopyFirstMask.name: CopyFirstMask, FlowWarp.name: FlowWarp}
    reports: dict[str, EvalReport] = {}
    worst = WorstFramesObserver()
    results = ('report.json', 'worst_frames.png', 'masks', 'overlays')
    with ExitStack() as stack:
        inputs = [root, segmenter.manifest.folder]
        print_deleted(out, stack.enter_context(writing(out, results, inputs=inputs)))
        extras: list[Callable[[Observation], None]] = [worst]
        if save_masks:
            extras.append(MaskWriter(out / 'masks'))
        if overlay:
            videos = OverlayWriter(out / 'overlays')
            stack.callback(videos.close)
            extras.append(videos)
        progress = stack.enter_context(progress_bars())
        total = sum(len(sequence) for sequence in opened)
        for method, factory in methods.items():
            observe = _advance(progress, method, total)
            observers = [observe, *(extras if not reports else [])]
            reports[method] = evaluate_sequences(opened, factory, observers=observers)
        main_report, *baseline_reports = reports.values()
        result = {
            **main_report.to_dict(),
            'baselines': {
                name: {**part['overall'], 'fps': part['fps'], 'latency_ms': part['latency_ms']}
                for name, part in zip([*methods][1:], (r.to_dict() for r in baseline_reports))
            },
            **describe_model(segmenter),
            'settings': given,
            **describe_run(),
        }
        write_json(out / 'report.json', result)
        sheet = worst.frames.draw()
        if sheet is not None:
            write_image(out / 'worst_frames.png', sheet)
    for name, sequence in main_report.sequences.items():
        print_warnings(name, sequence.warnings)
    if as_json:
        print_json(result)
        return
    wide_console().print(_eval_table(reports))
    print(f'away and back: {occlusion_line(result["occlusion"])}')
    print(engine_line(result))
    written = ', '.join(
        ['report.json']
        + ['worst_frames.png'] * (sheet is not None)
        + ['masks/'] * save_masks
        + ['overlays/'] * overlay
    )
    print(f'{out}: {written}')


@app.command('demo', epilog='Example: vos demo --out demo_out')
@guard
def demo_command(
    out: Path = typer.Option(Path('demo_out'), '--out', help='Folder for report, video and page.'),
    video: str = typer.Option('', '--video', help='Your own video, or folder of images.'),
    mask: str = typer.Option('', '--mask', help='PNG with the objects on its first frame.'),
    davis: str = typer.Option('', '--davis', help='Data set in DAVIS layout: ROOT or ROOT/SEQ.'),
    model: str = typer.Option('', '--model', help='Name or folder of a model; empty = default.'),
    frames: int = typer.Option(0, '--frames', help='Only so many frames; 0 = all.'),
    rate_hz: float = typer.Option(0.0, '--rate', help="Camera rate in Hz; 0 = the clip's own."),
    size: int = SIZE,
    max_objects: int = MAX_OBJECTS,
    threads: int = THREADS,
    backend: str = BACKEND,
    precision: str = PRECISION,
) -> None:
    """Start the node, play a clip to it over ROS 2, and score what it publishes."""
    bag_cli.check_rosbags('vos demo')
    from vos_ros import demo

    report = demo.run(
        out=out,
        video=Path(video) if video else None,
        mask=Path(mask) if mask else None,
        davis=Path(davis) if davis else None,
        model=model or None,
        frames=frames or None,
        rate_hz=rate_hz or None,
        size=size,
        max_objects=max_objects,
        runtime=RuntimeConfig(threads=threads, backend=backend, precision=precision),
    )
    if report is None:
        raise typer.Exit(FAILED)
    wide_console().print(bag_cli.report_table(report))
    print(engine_line(report))
    print(f'look at  {out / "index.html"}   {out / "overlay.mp4"}   {out / "report.json"}')


@app.command('demo3d', epilog='Example: vos demo3d --out demo3d_out')
@guard
def demo3d_command(
    out: Path = typer.Option(Path('demo3d_out'), '--out', help='Folder for report and page.'),
    model: str = typer.Option('', '--model', help='Name or folder of a model; empty = default.'),
    frames: int = typer.Option(0, '--frames', help='Only so many frames; 0 = all.'),
    rate_hz: float = typer.Option(0.0, '--rate', help="Camera rate in Hz; 0 = the clip's own."),
    late_ms: float = typer.Option(8.0, '--late', help='How much later depth is, in ms.'),
    holes: float = typer.Option(0.05, '--holes', help='Share of the pixels without depth.'),
    threads: int = THREADS,
    backend: str = BACKEND,
    precision: str = PRECISION,
) -> None:
    """Start segmenter and objects_3d, play a drawn scene, and measure where things are."""
    bag_cli.check_rosbags('vos demo3d')
    from vos_ros.demo import in_space

    report = in_space.run(
        out=out,
        model=model or None,
        frames=frames or None,
        rate_hz=rate_hz or None,
        late_ms=late_ms,
        holes=holes,
        runtime=RuntimeConfig(threads=threads, backend=backend, precision=precision),
    )
    if report is None:
        raise typer.Exit(FAILED)
    for name, part in report['objects'].items():
        if part['error_mm'] is None:
            print(f'{name}: no centre came')
            continue
        error, share = part['error_mm'], part['error_percent_of_range']
        print(
            f'{name}: {part["centres"]} centres, error {error["median"]:.1f} mm (median), '
            f'{error["max"]:.1f} mm (max), {share["max"]:.2f} % of the distance at most'
        )
    print(f'look at  {out / "index.html"}   {out / "clouds.png"}   {out / "report.json"}')


@app.command('doctor', epilog='Example: vos doctor --json')
@guard
def doctor_command(
    model: str = MODEL,
    size: int = SIZE,
    tune: bool = typer.Option(
        False, '--tune', help='Measure settings instead (a minute or two), and say which to take.'
    ),
    camera: str = typer.Option('640x480', '--camera', metavar='WxH', help='With --tune.'),
    rate: float = typer.Option(
        0.0, '--rate', min=0.0, help='With --tune: images a second to keep up with; 0 = none.'
    ),
    objects: int = typer.Option(1, '--objects', min=1, max=20, help='With --tune: followed.'),
    out: Path | None = typer.Option(
        None, '--out', help='With --tune: parameters file of the node to write.'
    ),
    as_json: bool = JSON,
) -> None:
    """Check this machine: Python, libraries, model, speed, ROS 2, image transport."""
    from vos_ros.commands import doctor

    if tune:
        _tune(model, size, camera, rate, objects, out, as_json)
        return
    checks = []
    for check in doctor.examine(model, size):
        checks.append(check)
        if not as_json:
            _print_check(check)
    if as_json:
        print_json(doctor.to_dict(checks))
    raise typer.Exit(FAILED if doctor.has_failed(checks) else 0)


def _tune(
    model: str,
    size: int,
    camera: str,
    rate_hz: float,
    objects: int,
    out: Path | None,
    as_json: bool,
) -> None:
    from vos_ros.commands import tune

    width, _, height = camera.lower().partition('x')
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise VosError(f"--camera must be WIDTHxHEIGHT such as 640x480, not '{camera}'")
    if out is not None:
        tune.check_new(out)  # before minutes of measuring, not after
    advice = tune.tune(
        model or RuntimeConfig().model,
        camera=(int(height), int(width)),
        objects=objects,
        rate_hz=rate_hz,
        input_size=size,
        note=(lambda line: None) if as_json else print,
    )
    if out is not None:
        tune.write_parameters(out, advice.setting)
    if as_json:
        print_json(
            {
                'take': asdict(advice.setting),
                'ms': advice.ms,
                'keeps_up': advice.keeps_up,
                'measured': [{**asdict(s), 'ms': tune.median(v)} for s, v in advice.times.items()],
            }
        )
        return
    for line in tune.lines(advice, rate_hz):
        print(line)
    if out is not None:
        print(f'{out}: ros2 run vos_ros segmenter --ros-args --params-file {out}')


def main(arguments: list[str] | None = None) -> int:
    """
    Run the command line.

    :param arguments: without the program's name; None = those of this process.
    :return: exit code.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):  # a name of a file may be no UTF-8
        sys.stdout.reconfigure(errors='backslashreplace')
    try:
        with log_on_stderr():
            app(arguments, prog_name='vos')
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else FAILED if stop.code else 0
    return 0


def evaluate_bag_main() -> int:
    """Run `vos bag eval`: the executable that `ros2 run vos_ros evaluate_bag` finds."""
    return main(['bag', 'eval', *sys.argv[1:]])


def doctor_main() -> int:
    """Run `vos doctor`: the executable that `ros2 run vos_ros doctor` finds."""
    return main(['doctor', *sys.argv[1:]])


def _advance(progress: Progress, method: str, total: int) -> Callable[[Observation], None]:
    task = progress.add_task(method, total=total)

    def advance(seen: Observation) -> None:
        progress.update(task, advance=1, description=f'{method}: {seen.sequence.name}')

    return advance


def _print_run(result: Mapping[str, Any], latency: Latency) -> None:
    ids = ', '.join(str(k) for k in result['objects'])
    print(f'{result["frames"]} frames, objects: {ids}; {engine_line(result)}')
    print(
        f'latency p50 {latency.p50:.1f} ms, p95 {latency.p95:.1f}, p99 {latency.p99:.1f}, '
        f'max {latency.max:.1f}; {result["fps"]:.1f} fps with memorising'
    )
    print(f'masks: {result["masks"]}')
    if result['overlay']:
        print(f'overlay: {result["overlay"]}, {result["overlay_codec"]}')


def _print_check(check: Check) -> None:
    console = Console(highlight=False, soft_wrap=True)
    style = {'ok': 'green', 'warn': 'yellow', 'fail': 'bold red'}[check.status]
    console.print(f'{check.status:<5}', style=style, end='')
    console.print(f'{check.name:<13}{check.detail}', markup=False)
    if check.hint:
        console.print(f'{"":<18}-> {check.hint}', markup=False)


def _eval_table(reports: Mapping[str, EvalReport]) -> Table:
    """Lay out one row per object, the overall rows of every method below."""
    main_report, *_ = reports.values()
    others = list(reports.items())[1:]
    table = Table(box=None, header_style='bold', pad_edge=False)
    table.add_column('sequence', no_wrap=True)
    for title in ('object', 'J', 'F', 'J&F', *(name for name, _ in others)):
        table.add_column(title, justify='right', no_wrap=True)
    for title in ('p50', 'p95', 'p99', 'fps'):
        table.add_column(title, justify='right', no_wrap=True)
    for name, sequence in main_report.sequences.items():
        _add_sequence(table, name, sequence, [report.sequences[name] for _, report in others])
    blank = [''] * len(others)
    for position, (name, report) in enumerate(reports.items()):
        if position == 0:
            table.add_row('')
        speed = report.speed
        overall = report.overall
        objects = f'({overall.objects})' if overall else '-'
        beside = [_jf(r.overall) for _, r in others] if position == 0 else blank
        table.add_row(
            escape(f'overall, {name}'),
            objects,
            *scores(overall),
            *beside,
            *milliseconds(speed.latency),
            f'{speed.fps:.1f}',
            style='bold' if position == 0 else '',
        )
    table.caption = (
        'J&F of the baselines in their columns; ms per frame from image to label map, '
        'fps with memory encoding; 1st and last frame not scored'
        if others
        else 'ms per frame from image to label map, fps with memory encoding'
    )
    table.caption_justify = 'left'
    return table


def _add_sequence(
    table: Table, name: str, sequence: SequenceReport, others: list[SequenceReport]
) -> None:
    speed = [*milliseconds(sequence.speed.latency), f'{sequence.speed.fps:.1f}']
    if not sequence.objects:
        table.add_row(escape(name), '-', '-', '-', '-', *('-' for _ in others), *speed)
    for position, (object_id, score) in enumerate(sequence.objects.items()):
        scores = [score.j.mean, score.f.mean, score.jf]
        beside = [other.objects[object_id].jf for other in others]
        table.add_row(
            escape(name) if position == 0 else '',
            str(object_id),
            *(f'{value:.3f}' for value in (*scores, *beside)),
            *(speed if position == 0 else ['', '', '', '']),
        )


def _jf(summary: Summary | None) -> str:
    return scores(summary)[2]


if __name__ == '__main__':
    sys.exit(main())
