# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Reports that no machine of ours can bring about over topics."""

from dataclasses import asdict
import logging
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs rclpy')

from diagnostic_msgs.msg import DiagnosticStatus
from std_srvs.srv import Trigger

from vos_ros.config import NodeConfig
from vos_ros.datatypes import Segmentation, StepTiming
from vos_ros.errors import VosError
from vos_ros.ros import diagnostics, guard
from vos_ros.ros.guard import ErrorLog, guarded, LogBridge, shortened, SilenceLog
from vos_ros.stream.backlog import WorkerStats


class Log:
    """What a node's logger was given."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []
        for level in ('info', 'warning', 'error'):
            setattr(self, level, lambda line, level=level: self.lines.append((level, line)))


def test_a_backend_that_fell_back_is_an_error_with_the_reason() -> None:
    segmenter = SimpleNamespace(
        backend_name='cpu', precision='fp32', fallbacks=('cuda is not used: no driver',)
    )
    status = diagnostics.engine_status(segmenter, 'auto', 1.25)
    assert status.level == DiagnosticStatus.ERROR
    assert status.message == 'fell back to cpu: cuda is not used: no driver'
    values = {value.key: value.value for value in status.values}
    assert (values['asked'], values['backend'], values['load_s']) == ('auto', 'cpu', '1.25')
    segmenter.fallbacks = ()
    assert diagnostics.engine_status(segmenter, 'auto', 1.25).level == DiagnosticStatus.OK


def test_the_worst_finding_comes_first_and_gives_the_level() -> None:
    findings = diagnostics.Findings('calm')
    assert findings.status().message == 'calm'
    findings.add(DiagnosticStatus.WARN, 'late')
    findings.add(DiagnosticStatus.ERROR, 'silent')
    status = findings.status(rate=3)
    assert (status.level, status.message) == (DiagnosticStatus.ERROR, 'silent; late')
    assert [(v.key, v.value) for v in status.values] == [('rate', '3')]


def test_what_the_engine_logs_stands_in_the_log_of_the_node() -> None:
    log, engine = Log(), logging.getLogger('vos_ros.backends.some')
    bridge = LogBridge(log)
    logging.getLogger('vos_ros').addHandler(bridge)
    try:
        engine.warning('building engines in %s', '/tmp')
        engine.error('no')
    finally:
        logging.getLogger('vos_ros').removeHandler(bridge)
    engine.warning('not any more')
    assert log.lines == [('warning', 'building engines in /tmp'), ('error', 'no')]


def input_of(health: diagnostics.Health, **more) -> DiagnosticStatus:
    counts = dict.fromkeys(asdict(WorkerStats()), 0)
    return health.input_status(NodeConfig(), counts, **{'is_expected': True} | more)


def publish(health: diagnostics.Health, age_ms: float = 0.0) -> None:
    labels = np.zeros((4, 6), np.uint8)
    health.image_arrived('rgb8', 7)
    prob = np.ones((1, 1, 1), np.float32)
    result = Segmentation(labels, (), {}, 7, 'camera', StepTiming(), prob)
    health.published(result, 1.0, age_ms)


def values_of(status: DiagnosticStatus) -> dict[str, str]:
    return {value.key: value.value for value in status.values}


def test_images_that_the_middleware_lost_are_a_warning() -> None:
    health = diagnostics.Health()
    assert input_of(health).level == DiagnosticStatus.OK
    health.images_lost(2)
    health.images_lost(1)
    assert input_of(health).level == DiagnosticStatus.WARN
    assert input_of(health).message.startswith('3 images were lost')
    assert 'segment_size' in input_of(health).message


def test_images_that_cannot_be_used_are_an_error_until_one_can() -> None:
    health = diagnostics.Health()
    health.image_arrived('nv12', 7)
    health.image_failed('no nv12')
    status = input_of(health)
    assert status.level == DiagnosticStatus.ERROR
    assert status.message == 'images cannot be used: no nv12'
    publish(health)
    status = input_of(health)
    assert status.level == DiagnosticStatus.WARN
    assert status.message == 'some images cannot be used: no nv12'
    health.image_failed('no nv12')
    assert input_of(health, is_expected=False).level == DiagnosticStatus.WARN
    health.restart()
    assert input_of(health).level == DiagnosticStatus.WARN


def test_a_message_that_cannot_be_read_has_arrived_and_failed() -> None:
    health = diagnostics.Health()
    health.image_unreadable('cut off')
    status = input_of(health)
    assert status.message == 'images cannot be used: cut off'
    assert (values_of(status)['frames_in'], values_of(status)['failed']) == ('1', '1')


@pytest.mark.parametrize(
    ('age_ms', 'words'),
    [
        (-900.0, ''),
        (-17_200.0, 'stamps lie 17.2 s in the future'),
        (9_000.0, ''),
        (17_200.0, 'stamps lie 17.2 s in the past'),
        (1.8e12, 'the clocks differ'),
    ],
)
def test_stamps_of_another_clock_are_a_warning(age_ms: float, words: str) -> None:
    health = diagnostics.Health()
    publish(health, age_ms)
    status = input_of(health)
    assert status.level == (DiagnosticStatus.WARN if words else DiagnosticStatus.OK)
    assert words in status.message
    assert words not in (quiet := input_of(health, is_expected=False)).message or not words
    assert quiet.level == DiagnosticStatus.OK


def test_the_rate_is_that_of_now_after_a_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(diagnostics, 'time', SimpleNamespace(perf_counter=lambda: now[0]))
    health = diagnostics.Health()

    def rate_after(images: int, period_s: float) -> float:
        for _ in range(images):
            now[0] += period_s
            health.image_arrived('rgb8', 7)
        return float(values_of(input_of(health))['rate_hz'])

    assert rate_after(80, 0.05) == pytest.approx(20)
    now[0] += 6.0
    assert rate_after(3, 0.05) == pytest.approx(20)
    assert rate_after(3, 4.0) == pytest.approx(0.25)  # a slow camera has a rate, too


def test_a_simulated_clock_that_nobody_tells_is_a_warning() -> None:
    status = input_of(diagnostics.Health(), is_clock_missing=True)
    assert status.level == DiagnosticStatus.WARN
    assert status.message.startswith('no /clock')


def test_a_notice_is_no_rejection() -> None:
    health = diagnostics.Health()
    health.noticed('objects [2] now start from this frame')
    status = health.objects_status((2,), 4, {})
    assert status.level == DiagnosticStatus.WARN
    assert status.message == 'objects [2] now start from this frame'
    values = values_of(status)
    assert (values['masks_rejected'], values['last_rejection']) == ('0', '')
    assert values['last_notice'] == status.message


def test_a_service_whose_callback_fails_says_why() -> None:
    class Owner:
        error_log = ErrorLog(Log(), lambda: None, lambda: True)

        @guarded
        def on_reset(self, request: object, response: Trigger.Response) -> Trigger.Response:
            raise RuntimeError('a defect')

    answer = Owner().on_reset(None, Trigger.Response(success=True))
    assert (answer.success, answer.message) == (False, 'RuntimeError: a defect')


def test_a_complaint_that_repeats_is_counted_and_logged_once() -> None:
    log, noted = Log(), []
    error_log = ErrorLog(log, lambda: noted.append(1), lambda: True)
    for _ in range(3):
        error_log.report(VosError('bad mask'))
    assert (log.lines, len(noted)) == ([('error', 'bad mask')], 3)
    # A defect of ours comes with its traceback, a user's error without.
    error_log.report(KeyError('x'))
    assert [line.startswith('Traceback') or line for _, line in log.lines[1:]] == [
        "KeyError: 'x'",
        "KeyError: 'x'\n",
    ]


def test_complaints_that_differ_in_numbers_only_are_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [100.0]
    monkeypatch.setattr(guard, 'time', SimpleNamespace(perf_counter=lambda: now[0]))
    log, noted = Log(), []
    error_log = ErrorLog(log, lambda: noted.append(1), lambda: True)
    for size in range(900, 1100):
        error_log.log(VosError(f'an image of {size} bytes cannot be decoded'))
        error_log.warn(f'objects {list(range(1, size % 7 + 2))} moved by {size / 7:.3f} s')
    assert [level for level, _ in log.lines] == ['error', 'warning']
    assert not noted  # counted by whoever refused it
    error_log.warn('objects [1] are refused')
    assert len(log.lines) == 3
    now[0] += 5.0
    error_log.log(VosError('an image of 7 bytes cannot be decoded'))
    assert log.lines[3:] == [('error', 'an image of 7 bytes cannot be decoded')]


def test_what_happens_twice_is_two_lines_where_numbers_count() -> None:
    log = Log()
    error_log = ErrorLog(log, lambda: None, lambda: True)
    for seconds in (7200, -3600, -3600):
        error_log.warn(f'the stamps jumped by {seconds} s', numbers_count=True)
    assert [line for _, line in log.lines] == [
        'the stamps jumped by 7200 s',
        'the stamps jumped by -3600 s',
    ]


def test_complaints_of_what_a_peer_wrote_are_one_line_whatever_it_was() -> None:
    log = Log()
    error_log = ErrorLog(log, lambda: None, lambda: True)
    for text in ('abc', 'x' * 10**6, "it's", 'a"b', '\x1b[31mred\x1b[0m', 'two\nlines', '\u202e'):
        error_log.log(VosError(f"image encoding '{text}' is not supported"))
    assert len(log.lines) == 1
    error_log.log(VosError(f'\x1b]0;title\x07 {"y" * 10**6}'))
    assert len(log.lines) == 2
    assert log.lines[1][1].isprintable()
    assert len(log.lines[1][1]) < 1000


def test_a_flood_of_different_complaints_is_bounded() -> None:
    log = Log()
    error_log = ErrorLog(log, lambda: None, lambda: True)
    for number in range(500):
        letters = ''.join(chr(97 + number // 26**k % 26) for k in range(3))
        error_log.warn(f'{letters} is wrong')
    assert len(log.lines) == 20


def test_long_lists_of_ids_are_cut_short() -> None:
    assert shortened(f'objects {[*range(1, 11)]} moved') == f'objects {[*range(1, 11)]} moved'
    line = shortened(f'objects {[*range(1, 255)]} are refused, as max_objects = 4')
    assert line == (
        'objects [1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 244 more] are refused, as max_objects = 4'
    )


def test_nothing_is_an_error_once_ros_has_ended() -> None:
    log, noted = Log(), []
    error_log = ErrorLog(log, lambda: noted.append(1), lambda: False)
    error_log.report(KeyError('x'))
    error_log.warn('x')
    assert (log.lines, noted) == ([], [])


def test_each_silence_is_one_line_and_another_reason_another() -> None:
    lines: list[str] = []
    silence_log = SilenceLog(SimpleNamespace(warn=lines.append))
    found: list[dict[str, str]] = [
        {'/image': 'no image for 2.1 s: nobody publishes'},
        {'/image': 'no image for 3.1 s: nobody publishes'},
        {'/image': 'no image for 4.1 s: another type'},
        {},
        {'/image': 'no image for 2.0 s: another type', '/depth': 'no depth for 2.0 s'},
        {'/depth': 'no depth for 3.0 s'},
    ]
    for silent in found:
        silence_log.tell(silent)
    assert lines == [found[0]['/image'], found[2]['/image'], *found[4].values()]
