# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Overload: a camera at twice the rate that this machine can follow, over DDS.

python benchmarks overload [--seconds 60] [--calm 15] [--model M] [--input-size S]

For each policy: the capacity is measured (the camera waits for each answer), then the camera runs
at half of it, at twice, and at half again, whether anybody keeps up or not. Age is from the
image's stamp to the arrival of its labels. A service is called once a second. Recovered is when
the ages are again what they were before, five frames in a row, with no frame left out.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
import itertools
from pathlib import Path
import sys
import tempfile
import time
from typing import Any

from over_dds.rig import add_network, network_of, plot_frames, Rig
from record import frames_of_clip, parse_args, percentiles, save, table

from vos_ros.evaluation.plot import Line

CLIP = 60
#: Frames by which the capacity is measured, after the same number to warm up.
PROBE = 30
#: So many good frames in a row are called recovered.
IN_A_ROW = 5
COLORS = {'no limits': '#8b8d98', 'skip': '#0b68cb', 'shrink': '#d9480f'}


@dataclass(frozen=True)
class Played:
    """
    One policy.

    :param capacity_hz: frames per second, measured before.
    :param uncounted: frames sent that the node neither saw nor heard of.
    :param service_ms: times to answer a service.
    """

    capacity_hz: float
    phases: list[Phase]
    uncounted: int
    service_ms: list[float]


@dataclass(frozen=True)
class Phase:
    """
    One stretch of time at one rate.

    :param name: for the table.
    :param rate_hz: of the camera.
    :param ages_ms: of each frame sent, None = not answered.
    :param sent_s: when each was sent, from the start of the phase.
    :param level: of the policy, the highest and that at the end.
    """

    name: str
    rate_hz: float
    ages_ms: list[float | None]
    sent_s: list[float]
    level: tuple[int, int]

    @property
    def answered(self) -> list[float]:
        """Ages of the frames that were answered."""
        return [age for age in self.ages_ms if age is not None]


def limits_for(policy: str, capacity_hz: float) -> dict[str, Any]:
    """
    Return the node's limits, as who knows the capacity would set them.

    no limits: the defaults; only the queue of one bounds the age. skip: results should be no
    older than 1.2 times the cost of a frame, which leaves little time to wait. shrink: a frame
    should cost no more than the period of the fast camera.
    """
    if policy == 'skip':
        return {'overload.policy': 'skip', 'max_age_ms': 1.2e3 / capacity_hz}
    if policy == 'shrink':
        return {'overload.policy': 'shrink', 'deadline_ms': 1e3 / (2 * capacity_hz)}
    return {}


def measure_capacity(rig: Rig, clip: Sequence[tuple[Any, Any]]) -> float:
    """Start the clip's objects and return the frames per second that the node follows."""
    stamp_ns = time.time_ns()
    rig.send_mask(clip[0][1], stamp_ns)
    rig.segment(clip[0][0], stamp_ns)
    for image, _ in clip[1:PROBE]:
        rig.segment(image)
    start = time.monotonic()
    for image, _ in clip[PROBE : 2 * PROBE]:
        rig.segment(image)
    return PROBE / (time.monotonic() - start)


def play(
    rig: Rig, clip: Sequence[tuple[Any, Any]], name: str, rate_hz: float, seconds: float
) -> Phase:
    """Send frames at their rate, whatever becomes of them."""
    there_and_back = itertools.cycle([*range(len(clip)), *range(len(clip) - 2, 0, -1)])
    start, stamps, sent_s, highest = time.monotonic(), [], [], 0
    for number, at in zip(range(max(IN_A_ROW, int(seconds * rate_hz))), there_and_back):
        time.sleep(max(0.0, start + number / rate_hz - time.monotonic()))
        sent_s.append(time.monotonic() - start)
        stamps.append(rig.send(clip[at][0]))
        if number % max(1, round(rate_hz)) == 0:
            rig.ask()
        highest = max(highest, int(rig.newest_report['inference']['overload_level']))
    time.sleep(1.0)  # what is on its way arrives; and a report from the end of it
    level = int(rig.newest_report['inference']['overload_level'])
    ages = {a.stamp_ns: a.age_ms for a in rig.answers}
    found = [ages.get(stamp) for stamp in stamps]
    print(f'  {name}: {len(stamps)} frames at {rate_hz:.1f} Hz', file=sys.stderr, flush=True)
    return Phase(name, rate_hz, found, sent_s, (max(highest, level), level))


def recovery_s(before: Phase, after: Phase) -> float | None:
    """Return when the ages of `after` are those of `before` again; None = not within the phase."""
    limit = max(before.answered)
    good = [age is not None and age <= limit for age in after.ages_ms]
    for number in range(len(good) - IN_A_ROW + 1):
        if all(good[number : number + IN_A_ROW]):
            return after.sent_s[number]
    return None


def run_policy(
    policy: str, args: argparse.Namespace, clip: Sequence[tuple[Any, Any]], folder: Path
) -> Played:
    """Measure one policy."""
    base = network_of(args)
    with Rig(folder / 'probe', base) as rig:
        capacity_hz = measure_capacity(rig, clip)
    print(f'{policy}: {capacity_hz:.1f} frames/s', file=sys.stderr, flush=True)
    with Rig(folder / policy, base | limits_for(policy, capacity_hz)) as rig:
        stamp_ns = time.time_ns()
        rig.send_mask(clip[0][1], stamp_ns)
        rig.segment(clip[0][0], stamp_ns)
        phases = [
            play(rig, clip, name, factor * capacity_hz, seconds)
            for name, factor, seconds in (
                ('before', 0.5, args.calm),
                ('overload', 2.0, args.seconds),
                ('after', 0.5, args.calm),
            )
        ]
        came = rig.report()['input']
        sent = 1 + sum(len(phase.ages_ms) for phase in phases)
        uncounted = sent - int(came['frames_in']) - int(came['lost'])
    return Played(capacity_hz, phases, uncounted, rig.service_ms)


def main() -> int:
    """Measure, print and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('--seconds', type=float, default=60.0, help='of overload, s')
    parser.add_argument('--calm', type=float, default=15.0, help='before and after it, s')
    add_network(parser, input_size=0)
    args = parse_args(parser)

    clip = frames_of_clip(CLIP)
    rows, lines, raw, services, uncounted = [], [], {}, [], 0
    with tempfile.TemporaryDirectory() as folder:
        for policy in COLORS:
            played = run_policy(policy, args, clip, Path(folder))
            phases = played.phases
            recovered = recovery_s(phases[0], phases[2])
            for phase in phases:
                ages = percentiles(phase.answered)
                rows.append(
                    [
                        policy,
                        phase.name,
                        f'{phase.rate_hz:.1f}',
                        len(phase.ages_ms),
                        len(phase.answered),
                        *(f'{ages[key]:.0f}' for key in ('p50', 'p95', 'p99', 'max')),
                        '{}, {}'.format(*phase.level),
                        _seconds(recovered) if phase.name == 'after' else '',
                    ]
                )
            services += played.service_ms
            uncounted += played.uncounted
            everything = [age for phase in phases for age in phase.ages_ms]
            points = [(n, age) for n, age in enumerate(everything) if age is not None]
            lines.append(Line(policy, COLORS[policy], points))
            raw[policy] = {
                'capacity_hz': played.capacity_hz,
                'service_ms': played.service_ms,
                'uncounted': played.uncounted,
                'recovered_s': recovered,
                'phases': {
                    p.name: {'rate_hz': p.rate_hz, 'ages_ms': p.ages_ms, 'level': p.level}
                    for p in phases
                },
            }
    asked = percentiles(services)
    head = ['policy', 'phase', 'Hz', 'sent', 'answered', 'p50', 'p95', 'p99', 'max']
    head += ['level: highest, last', 'recovered after']
    text = (
        f'Model {args.model}, input_size {args.input_size}, 1 thread, two objects, camera '
        f'640x480 over DDS. Age in ms. A queue without a bound would be {args.seconds / 2:.0f} s '
        'behind at the end of the overload. *no limits*: the defaults. *skip*: max_age_ms = 1.2 '
        'times the cost of a frame. *shrink*: deadline_ms = the period of the fast camera, so '
        'that the smaller network stays when the camera is slow again. Level: of overload.policy. '
        f'{len(services)} service calls meanwhile: p50 {asked["p50"]:.0f}, '
        f'p99 {asked["p99"]:.0f}, max {asked["max"]:.0f} ms. {uncounted} frames were replaced '
        "in the middleware's queue of one before the node took them, which it cannot count.\n\n"
        + table(head, rows)
        + '\n\n'
        + '\n\n'.join(f'![age of each answer, {name}](overload-{_file(name)})' for name in COLORS)
    )
    print(text)
    figures = {f'overload-{_file(line.name)}': plot_frames(line, 'age, ms') for line in lines}
    command = f'python benchmarks overload --seconds {args.seconds:g}'
    print(save('overload', command, text, raw, figures))
    return 0


def _seconds(value: float | None) -> str:
    return 'not within it' if value is None else f'{value:.1f} s'


def _file(policy: str) -> str:
    return f'{policy.replace(" ", "-")}.svg'


if __name__ == '__main__':
    sys.exit(main())
