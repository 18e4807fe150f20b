# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Who takes messages: the intake's thread while it runs, an executor before, after and instead."""

from collections.abc import Callable, Iterator
import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip('rclpy', reason='needs rclpy')

import rclpy
from rclpy.executors import SingleThreadedExecutor
from robot import PATIENCE_S
from std_msgs.msg import UInt16

from vos_ros.ros import compat
from vos_ros.ros.intake import Intake, IntakeGroup

EXECUTOR, INTAKE = 'executor', 'vos_intake'


class Listener:
    """Two topics of one group in a node that an executor spins, and what came, by whom."""

    def __init__(self) -> None:
        self.group = IntakeGroup()
        self.node = rclpy.create_node('listener')
        self.came: list[tuple[str, int, str]] = []
        self.subscriptions = {name: self.listen(name) for name in ('first', 'second')}
        self.publishers = {
            n: self.node.create_publisher(UInt16, n, 10) for n in ('first', 'second')
        }
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.node)
        self._thread = threading.Thread(target=self.executor.spin, name=EXECUTOR)
        self._thread.start()
        self.intakes: list[Intake] = []
        for name in ('first', 'second'):
            self.wait(lambda name=name: self.publishers[name].get_subscription_count())

    def listen(self, name: str) -> Any:
        def note(msg: UInt16) -> None:
            self.came.append((name, msg.data, threading.current_thread().name))

        return self.node.create_subscription(UInt16, name, note, 10, callback_group=self.group)

    def intake(self) -> Intake:
        self.intakes.append(Intake(self.node.context, self.group))
        self.intakes[-1].follow(tuple(self.subscriptions.values()))
        self.intakes[-1].start()
        return self.intakes[-1]

    def send(self, name: str, value: int) -> None:
        self.publishers[name].publish(UInt16(data=value))

    def wait(self, condition: Callable[[], Any]) -> None:
        end = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < end, f'waited in vain; came: {self.came}'
            time.sleep(0.01)

    def round(self, values: range) -> list[tuple[str, int, str]]:
        """Send on both topics and return what came, in order."""
        self.came.clear()
        for value in values:
            self.send('first', value)
            self.send('second', value)
        self.wait(lambda: len(self.came) >= 2 * len(values))
        time.sleep(0.05)  # for what comes twice
        return sorted(self.came)

    def close(self) -> None:
        for each in self.intakes:
            assert each.stop(PATIENCE_S)
        self.executor.shutdown()
        self._thread.join(PATIENCE_S)
        self.node.destroy_node()


@pytest.fixture
def listener(dds: None) -> Iterator[Listener]:
    made = Listener()
    yield made
    made.close()


def _all_by(thread: str, values: range) -> list[tuple[str, int, str]]:
    return [(name, value, thread) for name in ('first', 'second') for value in values]


def test_intake_takes_every_message_once_and_gives_them_back_when_it_ends(
    listener: Listener,
) -> None:
    assert listener.round(range(5)) == _all_by(EXECUTOR, range(5))
    intake = listener.intake()
    listener.executor.wake()
    assert listener.round(range(5, 10)) == _all_by(INTAKE, range(5, 10))
    assert intake.stop(PATIENCE_S)
    listener.executor.wake()
    assert listener.round(range(10, 15)) == _all_by(EXECUTOR, range(10, 15))


def test_of_messages_that_wait_all_of_the_first_topic_come_first(listener: Listener) -> None:
    listener.intake()
    gate, held = threading.Event(), threading.Event()

    def hold(msg: UInt16) -> None:
        listener.came.append(('second', msg.data, threading.current_thread().name))
        held.set()
        assert gate.wait(PATIENCE_S)

    listener.subscriptions['second'].callback = hold
    listener.send('second', 0)
    assert held.wait(PATIENCE_S)
    listener.send('second', 1)
    time.sleep(0.2)  # it has arrived
    listener.send('first', 2)
    listener.send('first', 3)
    time.sleep(0.2)
    gate.set()
    listener.wait(lambda: len(listener.came) == 4)
    assert [value for _, value, _ in listener.came] == [0, 2, 3, 1]


def test_topics_may_change_while_it_runs(listener: Listener) -> None:
    intake = listener.intake()
    old = listener.subscriptions['second']
    listener.subscriptions['second'] = listener.listen('second')
    listener.node.destroy_subscription(old)
    intake.follow(tuple(listener.subscriptions.values()))
    listener.wait(lambda: listener.publishers['second'].get_subscription_count() == 1)
    assert listener.round(range(3)) == _all_by(INTAKE, range(3))


def test_the_executor_takes_over_where_there_is_no_such_wait_set(
    listener: Listener, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*sizes: object) -> None:
        raise TypeError('another signature')

    monkeypatch.setattr(compat, '_rclpy', SimpleNamespace(WaitSet=refuse))
    listener.intake()
    listener.wait(lambda: not listener.group.is_taken)
    listener.executor.wake()
    assert listener.round(range(3)) == _all_by(EXECUTOR, range(3))
    assert 'the executor takes images and masks from now on' in caplog.text
    assert 'another signature' in caplog.text
