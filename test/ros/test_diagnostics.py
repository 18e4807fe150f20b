# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Reports that no machine of ours can bring about over topics."""

from dataclasses import asdict
import logging
from types import SimpleNamespace

import pytest

pytest.importorskip('rclpy', reason='needs rclpy')

from diagnostic_msgs.msg import DiagnosticStatus
from std_srvs.srv import Trigger

from vos_ros.config import NodeConfig
from vos_ros.errors import VosError
from vos_ros.ros import diagnostics
from vos_ros.ros.guard import Complaints, guarded, LogBridge
from vos_ros.worker import WorkerStats


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


def test_images_that_the_middleware_lost_are_a_warning() -> None:
    health = diagnostics.Health()
    counts = dict.fromkeys(asdict(WorkerStats()), 0)

    def report() -> DiagnosticStatus:
        return health.input_status(NodeConfig(), counts, is_expected=False)

    assert report().level == DiagnosticStatus.OK
    health.images_lost(2)
    health.images_lost(1)
    assert report().level == DiagnosticStatus.WARN
    assert report().message.startswith('3 images were lost')
    assert 'segment_size' in report().message


def test_a_service_whose_callback_fails_says_why() -> None:
    class Owner:
        complain = staticmethod(lambda error: None)

        @guarded
        def on_reset(self, request: object, response: Trigger.Response) -> Trigger.Response:
            raise RuntimeError('a defect')

    answer = Owner().on_reset(None, Trigger.Response(success=True))
    assert (answer.success, answer.message) == (False, 'RuntimeError: a defect')


def test_a_complaint_that_repeats_is_counted_and_logged_once() -> None:
    log, noted = Log(), []
    complain = Complaints(log, lambda: noted.append(1), lambda: True)
    for _ in range(3):
        complain(VosError('bad mask'))
    assert (log.lines, len(noted)) == ([('error', 'bad mask')], 3)
    # A defect of ours comes with its traceback, a user's error without.
    complain(KeyError('x'))
    assert [line.startswith('Traceback') or line for _, line in log.lines[1:]] == [
        "KeyError: 'x'",
        "KeyError: 'x'\n",
    ]


def test_nothing_is_an_error_once_ros_has_ended() -> None:
    log, noted = Log(), []
    Complaints(log, lambda: noted.append(1), lambda: False)(KeyError('x'))
    assert (log.lines, noted) == ([], [])
