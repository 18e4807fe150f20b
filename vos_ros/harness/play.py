# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Node, recorder and player as processes of their own, over real ROS 2 topics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import contextlib
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
import os
from pathlib import Path
import random
import secrets
import sys
import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from vos_ros.config import RuntimeConfig, SegmenterConfig
from vos_ros.errors import VosError
from vos_ros.evaluation.evaluate import describe_run
from vos_ros.harness.processes import Child, Children, ProcessError
from vos_ros.harness.recording import read_recording, Recording

NODE = 'vos'
PLAYBACK, RECORDING = 'playback.jsonl', 'recording.jsonl'
#: UDP on the loopback interface alone: LOCALHOST limits who is looked for, not who may send.
PROFILE = Path('config') / 'fastdds_loopback.xml'
_QUIET_S = 1.5


@dataclass(frozen=True)
class Engine:
    """What the network runs with, in this process and in the node's."""

    config: SegmenterConfig
    runtime: RuntimeConfig

    @property
    def parameters(self) -> dict[str, object]:
        """Give them as the node's parameters."""
        return {
            'input_size': self.config.input_size,
            'max_objects': self.config.max_objects,
            'memory.budget_mib': self.config.memory.budget_mib,
            'threads': self.runtime.threads,
            'backend': self.runtime.backend,
            'precision': self.runtime.precision,
        }


def print_failure(console: Console, what: str, error: ProcessError, logs: Path) -> None:
    """
    Say which process failed and how, with the end of the node's log.

    :param what: was to be done.
    :param logs: folder that was given to `play_through_node`.
    """
    console.print(f'[red]{what} failed:[/red]', end=' ')
    # Never wrapped or coloured: these are lines of logs, to be searched for.
    console.print(str(error), markup=False, highlight=False, soft_wrap=True)
    _print_node_log(console, logs / 'node.log')


def _print_node_log(console: Console, log: Path, lines: int = 8) -> None:
    text = log.read_text(errors='replace').strip() if log.exists() else ''
    if text:
        console.print(f'the last lines of the node ({log}):')
        tail = '\n'.join(text.splitlines()[-lines:])
        console.print(tail, markup=False, highlight=False, soft_wrap=True)


def check_ros() -> None:
    """Raise VosError where there is no ROS 2 for the processes."""
    missing = [name for name in ('rclpy', 'sensor_msgs', 'lifecycle_msgs') if not find_spec(name)]
    if missing:
        raise VosError(
            f'this runs over ROS 2, and {sys.executable} has no {", ".join(missing)}: '
            'run `make demo` (it installs ROS 2 wheels into .venv), or source your ROS 2 first'
        )


def play_through_node(
    logs: Path,
    *,
    node: Mapping[str, object],
    player: Sequence[str],
    total: int,
    console: Console,
) -> None:
    """
    Run node, recorder and a player until everything played has been answered.

    :param logs: folder for what they write; see `read_logs`.
    :param node: its parameters.
    :param player: its arguments.
    :param total: frames that will be sent.
    :param console: for the bars.
    :raises ProcessError: a process failed.
    """
    namespace = own_namespace()
    handshake = ['--segmenter', NODE, '--marker', str(logs / 'recorder.ready')]
    handshake += ['--namespace', namespace]
    env = environment(logs)
    python = [sys.executable, '-m']
    arguments = ['-r', f'__ns:={namespace}', '-r', '/diagnostics:=diagnostics']
    arguments += ['-p', 'autostart:=true']
    arguments += [part for key, value in node.items() for part in ('-p', f'{key}:={value}')]
    with Children() as children:
        children.start(
            'node',
            [*python, 'vos_ros.ros.node', '--ros-args', *arguments],
            env=env,
            log=logs / 'node.log',
        )
        recorder = children.start(
            'recorder',
            [*python, 'vos_ros.harness.recorder', str(logs), *handshake],
            env=env,
            log=logs / 'recorder.log',
        )
        playing = children.start(
            'player',
            [
                *python,
                'vos_ros.harness.player',
                *player,
                *handshake,
                '--log',
                str(logs / PLAYBACK),
            ],
            env=env,
            log=logs / 'player.log',
        )
        watch(children, playing, logs / PLAYBACK, logs / RECORDING, total, console)
        recorder.stop()  # it writes what it still holds


def read_logs(logs: Path) -> Recording:
    """
    Join what was sent and what arrived.

    :param logs: folder that was given to `play_through_node`.
    :raises VosError: nothing was sent, or nothing came back.
    """
    return read_recording(logs / PLAYBACK, logs / RECORDING, logs / 'labels')


def own_namespace() -> str:
    """
    Draw a namespace for the topics of one run.

    There are 101 domains: of ten runs on one host (jobs of a CI), two draw the same one in a third
    of all cases, and would hear each other.
    """
    return f'/run_{secrets.token_hex(8)}'


def environment(logs: Path) -> dict[str, str]:
    """
    Return the environment of the processes: an own DDS domain on this host only.

    :param logs: folder for ROS's own logs.
    """
    env = dict(os.environ)
    env['ROS_DOMAIN_ID'] = str(random.SystemRandom().randint(1, 100))
    env['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
    if env.get('ROS_DISTRO') == 'humble':  # does not know the line above yet
        env['ROS_LOCALHOST_ONLY'] = '1'
    env['ROS_LOG_DIR'] = str((logs / 'ros').resolve())
    env['PYTHONUNBUFFERED'] = '1'
    # Without it, most camera images do not arrive: docs/troubleshooting.md. All sides are ours,
    # so what is set for cameras is replaced: LARGE_DATA alone loses images on this host only.
    env.pop('FASTDDS_BUILTIN_TRANSPORTS', None)
    profile = str(find_profile())
    env['FASTRTPS_DEFAULT_PROFILES_FILE'] = env['FASTDDS_DEFAULT_PROFILES_FILE'] = profile
    return env


def find_profile() -> Path:
    """Find the Fast DDS profile, a checkout's or an installed one; VosError if there is none."""
    here = Path(__file__).resolve()
    prefixes = [Path(p) for p in os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep) if p]
    shares = [p / 'share' / 'vos_ros' for p in (*prefixes, *here.parents, Path(sys.prefix))]
    for folder in (here.parents[2], *shares):
        if (folder / PROFILE).is_file():
            return (folder / PROFILE).resolve()  # of a link Fast DDS 3 complains
    raise VosError(f'{PROFILE} is not installed; install the package again: pip install .')


def watch(
    children: Children, player: Child, playback: Path, recorded: Path, total: int, console: Console
) -> None:
    """
    Show progress until the player has ended and nothing more arrives.

    :param children: all that must keep running.
    :param player: the one that may end.
    :param playback: its log, a line per frame sent.
    :param recorded: the recorder's, a line per mask.
    :param total: frames that will be sent.
    :raises ProcessError: a process failed.
    """
    columns = (
        TextColumn('{task.description}'),
        BarColumn(),
        TextColumn('{task.completed:.0f}/{task.total:.0f}'),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        sent = progress.add_task('frames sent', total=total)
        received = progress.add_task('masks received', total=total)
        last, since = -1, time.monotonic()
        while True:
            children.check(may_end=player)
            count, arrived = _count(playback), _count(recorded)
            progress.update(sent, completed=count)
            progress.update(received, completed=arrived)
            if arrived != last:
                last, since = arrived, time.monotonic()
            if player.exit_code == 0:
                if arrived >= count or time.monotonic() - since > _QUIET_S:
                    return
            else:
                since = time.monotonic()
            time.sleep(0.1)


def _count(path: Path) -> int:
    with contextlib.suppress(FileNotFoundError):
        return path.read_bytes().count(b'\n')
    return 0


def describe_ros_run() -> dict[str, Any]:
    """Say what `describe_run` does, and which ROS and middleware the processes talk with."""
    described = describe_run()
    distribution = os.environ.get('ROS_DISTRO', '')
    for name in ('jazzy', 'kilted'):
        with contextlib.suppress(metadata.PackageNotFoundError):
            wheels = metadata.version(f'ros-{name}-rclpy')
            distribution = distribution or f'{name}, wheels {wheels}'
    rmw = os.environ.get('RMW_IMPLEMENTATION', 'rmw_fastrtps_cpp')
    described['host'] |= {'ros': distribution or 'unknown', 'rmw': rmw}
    return described
