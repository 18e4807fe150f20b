# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Transitions, broken models, latched masks, several nodes, the end: signals in every state."""

from pathlib import Path
import shutil
import signal
import subprocess
import sys
import threading
from typing import Any
import weakref

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs rclpy')

import cv2
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import GetState
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from robot import image_msg, PATIENCE_S, ROOT, to_array
from sensor_msgs.msg import CompressedImage, Image

from vos_ros.errors import VosError
from vos_ros.ros.qos import QosWatch
from vos_ros.ros.vos_node import VosNode

TINY = ROOT / 'test' / 'data' / 'tiny'
SCENE = np.random.default_rng(5).integers(0, 256, (96, 128, 3), dtype=np.uint8)
MASK = np.zeros((96, 128), np.uint8)
MASK[20:60, 30:80] = 2


def next_labels(client, labels: list, images) -> Image:
    """
    Publish images until one is answered.

    It may take several: DDS tells the node that somebody listens to its labels in its own time.
    """
    before = len(labels)

    def send() -> bool:
        images.publish(image_msg(SCENE, 'rgb8', client.next_stamp()))
        return len(labels) > before

    client.wait(send, 'labels')
    return labels[before]


def is_followed(client, node: str, object_id: int) -> bool:
    """Tell whether the node offers the topic of an object, which it does while it knows it."""
    return client.node.count_publishers(f'{node}/object_{object_id}/mask') == 1


def test_what_needs_more_memory_than_the_budget_is_refused_and_can_be_mended(
    client, start_node
) -> None:
    budget = {'memory.budget_mib': 1000.0, 'input_size': 2160}
    node = start_node('-r', '__node:=large', model=TINY, **budget)
    client.wait(lambda: 'cannot configure' in node.log, 'the failure')
    assert '(1000 MiB by memory.budget_mib): take input_size' in node.log
    assert 'Traceback' not in node.log
    assert client.set_parameter('input_size', 64, '/large').successful
    assert client.change_state(Transition.TRANSITION_CONFIGURE, '/large')


def test_a_corrupt_model_fails_to_configure_and_can_be_mended(
    client, start_node, tmp_path: Path
) -> None:
    corrupt = tmp_path / 'corrupt'
    shutil.copytree(TINY, corrupt)
    graph = corrupt / 'segment.onnx'
    graph.write_bytes(graph.read_bytes()[:-1] + b'x')
    node = start_node('-r', '__node:=mended', model=corrupt)
    client.wait(lambda: 'cannot configure' in node.log, 'the failure')
    assert 'sha256' in node.log
    assert 'Traceback' not in node.log
    assert client.state('/mended') == 'unconfigured'
    assert client.set_parameter('model', '/no/such/folder', '/mended').successful
    assert not client.change_state(Transition.TRANSITION_CONFIGURE, '/mended')
    assert 'unknown model' in node.log

    # A latched mask, sent long before anyone listens.
    latched = QoSProfile(
        depth=1,
        durability=DurabilityPolicy.TRANSIENT_LOCAL,
        reliability=ReliabilityPolicy.RELIABLE,
    )
    client.node.create_publisher(Image, 'init_mask', latched).publish(image_msg(MASK, 'mono8'))

    # Now with a model that works, through all transitions and back.
    assert client.set_parameter('model', str(TINY), '/mended').successful
    labels = client.listen(Image, 'mended/labels')
    for round_trip in range(2):
        assert client.change_state(Transition.TRANSITION_CONFIGURE, '/mended')
        assert client.state('/mended') == 'inactive'
        assert not client.set_parameter('model', 'other', '/mended').successful
        held = round_trip + 1
        client.wait(
            lambda held=held: node.log.count('init mask is held') == held, 'the latched mask'
        )
        assert client.change_state(Transition.TRANSITION_ACTIVATE, '/mended')
        assert client.state('/mended') == 'active'
        images = client.publisher(Image, 'image')
        assert set(np.unique(to_array(next_labels(client, labels, images)))) <= {0, 2}
        client.wait(lambda: is_followed(client, '/mended', 2), 'the object')
        assert client.change_state(Transition.TRANSITION_DEACTIVATE, '/mended')
        client.node.destroy_publisher(images)
        assert client.change_state(Transition.TRANSITION_CLEANUP, '/mended')
        assert client.state('/mended') == 'unconfigured'
    assert client.change_state(Transition.TRANSITION_UNCONFIGURED_SHUTDOWN, '/mended')
    assert client.state('/mended') == 'finalized'
    assert node.interrupt() == 0, node.log


def test_a_failed_configure_leaves_nothing_behind(client, start_node, tmp_path: Path) -> None:
    path = tmp_path / 'mask.png'
    node = start_node(
        '-r', '__ns:=/failed', model=TINY, autostart=False, **{'init.mask_file': path}
    )
    for _ in range(2):
        assert not client.change_state(Transition.TRANSITION_CONFIGURE, '/failed/vos')
    assert str(path) in node.log
    client.wait(
        lambda: not client.node.count_subscribers('/failed/init_mask'), 'the end of its topics'
    )
    cv2.imwrite(str(path), MASK)
    assert client.change_state(Transition.TRANSITION_CONFIGURE, '/failed/vos')
    masks = client.publisher(Image, '/failed/init_mask')
    assert masks.get_subscription_count() == 1  # two would apply each mask twice
    assert node.interrupt() == 0, node.log


def test_cleanup_frees_the_model_and_its_memory(client) -> None:
    node = VosNode('freed', parameter_overrides=[Parameter('model', value=str(TINY))])
    node.destroy_timer(node._start_timer)
    for _ in range(2):
        assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
        model = weakref.ref(node._loaded.segmenter)
        memory = weakref.ref(node._loaded.segmenter.memory)
        assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
        assert node.trigger_deactivate() == TransitionCallbackReturn.SUCCESS
        assert node.trigger_cleanup() == TransitionCallbackReturn.SUCCESS
        assert model() is None  # at once, without the garbage collector
        assert memory() is None
    assert node.close()
    node.destroy_node()


@pytest.mark.parametrize('missing', ['vos_worker', 'vos_boxes', 'vos_intake', 'subscription'])
def test_an_activate_that_fails_half_way_closes_what_it_opened(
    client, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    node = VosNode('half', parameter_overrides=[Parameter('model', value=str(TINY))])
    node.destroy_timer(node._start_timer)
    if node._vision is None and missing == 'vos_boxes':
        pytest.skip('boxes need vision_msgs')
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    start = threading.Thread.start

    def start_others(thread: threading.Thread) -> None:
        if thread.name == missing:
            raise RuntimeError("can't start new thread")
        start(thread)

    def subscribe_to_nothing(*args: Any, **more: Any) -> None:
        raise VosError('cannot be subscribed to')

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, 'start', start_others)
        if missing == 'subscription':
            patch.setattr(QosWatch, 'subscribe', subscribe_to_nothing)
        assert node.trigger_activate() == TransitionCallbackReturn.FAILURE
    assert [t.name for t in threading.enumerate() if t.name.startswith('vos_')] == []
    assert '/image' not in [each.topic_name for each in node.subscriptions]
    assert not node._input_group.is_taken  # what is left is the executor's
    assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
    assert '/image' in [each.topic_name for each in node.subscriptions]
    assert node.close()
    assert [t.name for t in threading.enumerate() if t.name.startswith('vos_')] == []
    node.destroy_node()


def test_objects_survive_deactivate_and_activate(client, start_node) -> None:
    node = start_node('-r', '__ns:=/pausing', model=TINY)
    labels = client.listen(Image, '/pausing/vos/labels')
    masks = client.publisher(Image, '/pausing/init_mask')
    masks.publish(image_msg(MASK, 'mono8'))
    images = client.publisher(Image, '/pausing/image')
    client.wait(
        lambda: next_labels(client, labels, images) and is_followed(client, '/pausing/vos', 2),
        'the object',
    )
    for transition in (Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_ACTIVATE):
        assert client.change_state(transition, '/pausing/vos')
    client.wait(images.get_subscription_count, 'the node to listen again')
    heard = client.listen(Image, '/pausing/vos/object_2/mask')
    client.wait(lambda: next_labels(client, labels, images) and heard, 'the object')
    assert node.interrupt() == 0, node.log


def test_nodes_in_two_namespaces_do_not_hear_each_other(client, start_node) -> None:
    names = ('/left', '/right')
    nodes = [start_node('-r', f'__ns:={name}', model=TINY) for name in names]
    labels = {name: client.listen(Image, f'{name}/vos/labels') for name in names}
    images = {name: client.publisher(Image, f'{name}/image') for name in names}
    assert not to_array(next_labels(client, labels['/left'], images['/left'])).any()
    client.spin(0.5)
    assert not labels['/right']
    next_labels(client, labels['/right'], images['/right'])
    assert [node.interrupt() for node in nodes] == [0, 0]


def test_compressed_images_and_a_mask_from_a_file(client, start_node, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / 'mask.png'), MASK)
    node = start_node(
        '-r',
        '__ns:=/thin',
        model=TINY,
        image_transport='compressed',
        **{'init.mask_file': tmp_path / 'mask.png'},
    )
    labels = client.listen(Image, '/thin/vos/labels')
    images = client.publisher(CompressedImage, '/thin/image/compressed')
    msg = CompressedImage(format='jpeg')
    msg.data.frombytes(cv2.imencode('.jpg', SCENE)[1].tobytes())
    msg.header.stamp.sec, msg.header.frame_id = 12, 'thin'
    client.wait(lambda: images.publish(msg) or labels, 'labels')
    assert labels[0].header == msg.header
    assert set(np.unique(to_array(labels[0]))) <= {0, 2}
    client.wait(lambda: is_followed(client, '/thin/vos', 2), 'the object of the file')
    assert node.interrupt() == 0, node.log


@pytest.mark.parametrize(
    ('number', 'exit_code'),
    [(signal.SIGINT, 0), (signal.SIGTERM, 0), (signal.SIGKILL, -signal.SIGKILL)],
    ids=['SIGINT', 'SIGTERM', 'SIGKILL'],
)
def test_signals_end_every_state(
    client, start_node, number: signal.Signals, exit_code: int
) -> None:
    space = f'/{number.name.lower()}'
    states = ('unconfigured', 'inactive', 'active', 'finalized')
    nodes = {
        state: start_node('-r', f'__ns:={space}/{state}', model=TINY, autostart=state == 'active')
        for state in states
    }
    assert client.change_state(Transition.TRANSITION_CONFIGURE, f'{space}/inactive/vos')
    shutdown = Transition.TRANSITION_UNCONFIGURED_SHUTDOWN
    assert client.change_state(shutdown, f'{space}/finalized/vos')
    images = client.publisher(Image, f'{space}/active/image')
    client.publisher(Image, f'{space}/active/init_mask').publish(image_msg(MASK, 'mono8'))
    labels = client.listen(Image, f'{space}/active/vos/labels')
    next_labels(client, labels, images)
    for state in states:
        assert client.state(f'{space}/{state}/vos') == state
    # While images pour in, so that the worker is at work when it ends.
    camera = client.node.create_timer(
        0.005, lambda: images.publish(image_msg(SCENE, 'rgb8', client.next_stamp()))
    )
    client.spin(0.5)
    for node in nodes.values():
        node.process.send_signal(number)
        assert node.process.wait(PATIENCE_S) == exit_code, node.log
        assert 'Traceback' not in node.log
    client.node.destroy_timer(camera)


def test_a_killed_node_that_is_started_again_takes_the_latched_mask(client, start_node) -> None:
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    # Sent once, before anything runs: what a detector that is asked once has done.
    client.node.create_publisher(Image, '/respawned/init_mask', latched).publish(
        image_msg(MASK, 'mono8')
    )
    images = client.node.create_publisher(Image, '/respawned/image', 10)
    labels = client.listen(Image, '/respawned/vos/labels')
    reports = client.listen(DiagnosticArray, '/diagnostics')

    def follows_it() -> bool:
        # Not by the object's topic: the graph remembers that of a killed process for a while.
        next_labels(client, labels, images)
        values = {
            status.name: {value.key: value.value for value in status.values}
            for report in reports
            for status in report.status
        }
        return values.get('respawned/vos: objects', {}).get('object_2_state') is not None

    for _ in range(2):
        client.spin(0.5)  # what the one before may have left on its way
        labels.clear()
        reports.clear()
        node = start_node('-r', '__ns:=/respawned', model=TINY, **{'diagnostics.period_s': 0.1})
        client.wait(follows_it, 'the object')
        node.process.kill()  # no goodbye: no clean-up of topics, memory or locks
        assert node.process.wait(PATIENCE_S) == -signal.SIGKILL


#: A node in which a method never returns from native code, which no signal interrupts. Its first
#: argument says which: load or segment.
ENDLESS = """
import ctypes, sys
from vos_ros.ros import node, vos_node
from vos_ros.engine.segmenter import VideoSegmenter

def endless(self, *args):
    libc, mutex = ctypes.CDLL(None), ctypes.create_string_buffer(64)
    libc.pthread_mutex_lock(mutex)
    print('inside', flush=True)
    libc.pthread_mutex_lock(mutex)

vos_node.VosNode._activate, activate = (
    lambda self: (activate(self), setattr(VideoSegmenter, 'segment', endless)),
    vos_node.VosNode._activate,
)
if 'load' in sys.argv:
    vos_node.VosNode._load = endless
sys.exit(node.main(sys.argv[2:]))
"""


def start_script(log: Path, script: str, *args: str, namespace: str) -> subprocess.Popen:
    """Start a node that is spoilt by a script around it."""
    ros_args = ['--ros-args', '-r', f'__ns:={namespace}', '-p', f'model:={TINY}']
    with log.open('wb') as sink:
        return subprocess.Popen(
            [sys.executable, '-c', script, *args, *ros_args],
            stdout=sink,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
        )


#: A node whose first three answers cannot be sent: in Humble, a client that left has that effect.
MUTE = """
import sys
from rclpy.service import Service
from vos_ros.ros import node

send, failures = Service.send_response, [None] * 3

def fail(self, *args):
    if failures:
        failures.pop()
        raise RuntimeError('failed to send response')
    send(self, *args)

Service.send_response = fail
sys.exit(node.main(sys.argv[1:]))
"""


def test_an_answer_that_cannot_be_sent_does_not_end_the_node(client, tmp_path: Path) -> None:
    log = tmp_path / 'log.txt'
    process = start_script(log, MUTE, namespace='/mute')
    try:
        asker = client.node.create_client(GetState, '/mute/vos/get_state')
        client.wait(asker.service_is_ready, 'the node')
        answers = []

        def is_answered() -> bool:
            answers.append(asker.call_async(GetState.Request()))
            client.spin(0.2)
            return any(answer.done() for answer in answers)

        client.wait(is_answered, 'an answer')
        assert process.poll() is None
        assert 'the node goes on: RuntimeError: failed to send response' in log.read_text()
        images = client.publisher(Image, '/mute/image')
        next_labels(client, client.listen(Image, '/mute/vos/labels'), images)
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 0, log.read_text()
    finally:
        process.kill()


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM], ids=['SIGINT', 'SIGTERM'])
def test_a_signal_while_the_model_loads_ends_it(client, tmp_path: Path, number) -> None:
    log = tmp_path / 'log.txt'
    process = start_script(log, ENDLESS, 'load', namespace='/loading')
    try:
        client.wait(lambda: 'inside' in log.read_text(), 'the model to be loaded')
        client.spin(0.5)  # until it is inside; too early, and the test would only show less
        process.send_signal(number)
        assert process.wait(PATIENCE_S) == 0, log.read_text()
    finally:
        process.kill()
    assert 'Traceback' not in log.read_text()


#: A node that is told to end once more when it has ended, by the terminal and by ros2 launch.
TOLD_TWICE = """
import os, signal, sys
from vos_ros.ros import node

code = node.main(sys.argv[1:])
for number in (signal.SIGINT, signal.SIGTERM):
    os.kill(os.getpid(), number)
sys.exit(code)
"""


def test_a_second_interrupt_at_its_end_is_no_death(client, tmp_path: Path) -> None:
    log = tmp_path / 'log.txt'
    process = start_script(log, TOLD_TWICE, namespace='/twice')
    try:
        client.wait(lambda: 'active' in log.read_text(), 'the node')
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 0, log.read_text()
    finally:
        process.kill()
    assert 'Traceback' not in log.read_text()


#: A program that is told to end at some point of its start, and goes on once ROS has ended.
TOLD_EARLY = """
import os, signal, sys, time

def end():
    import rclpy
    os.kill(os.getpid(), signal.SIGTERM)
    until = time.monotonic() + 20
    while rclpy.ok() and time.monotonic() < until:
        time.sleep(0.01)

program, where = sys.argv[1:3]
if program == 'page':
    from vos_ros.page.program import main
    sys.argv[1:] = sys.argv[3:]
else:
    from vos_ros.ros import node
    main = lambda: node.main(sys.argv[3:])
import rclpy
from rclpy import executors, node as nodes

if where == 'import':
    import importlib.abc
    class Finder(importlib.abc.MetaPathFinder):
        def find_spec(self, name, path, target=None):
            if name.startswith('cv2') or name == 'vos_ros.page.node':
                end()
    sys.modules.pop('cv2', None)
    sys.meta_path.insert(0, Finder())
elif where == 'init':
    init = rclpy.init
    rclpy.init = lambda *args, **more: (end(), init(*args, **more))
elif where == 'node':
    make = nodes.Node.__init__
    nodes.Node.__init__ = lambda self, *args, **more: (end(), make(self, *args, **more))[1]
else:
    make = executors.SingleThreadedExecutor.__init__
    executors.SingleThreadedExecutor.__init__ = lambda self, *args, **more: (
        end(), make(self, *args, **more)
    )[1]
sys.exit(main())
"""


@pytest.mark.parametrize('where', ['import', 'init', 'node', 'executor'])
@pytest.mark.parametrize('program', ['segmenter', 'page'])
def test_sigterm_while_it_starts_ends_it_without_an_error(
    dds: None, tmp_path: Path, program: str, where: str
) -> None:
    log = tmp_path / 'log.txt'
    process = start_script(log, TOLD_EARLY, program, where, namespace='/early')
    try:
        assert process.wait(PATIENCE_S) == 0, log.read_text()
    finally:
        process.kill()
    assert 'rror' not in log.read_text()
    assert 'Traceback' not in log.read_text()


def test_a_network_that_never_returns_does_not_keep_the_node(client, tmp_path: Path) -> None:
    log = tmp_path / 'log.txt'
    process = start_script(log, ENDLESS, 'segment', namespace='/stuck')
    try:
        images = client.publisher(Image, '/stuck/image')
        client.wait(
            lambda: (
                images.publish(image_msg(SCENE, 'rgb8', client.next_stamp()))
                or 'inside' in log.read_text()
            ),
            'the network to be at work',
        )
        assert client.state('/stuck/vos') == 'active'
        client.change_state(Transition.TRANSITION_DEACTIVATE, '/stuck/vos')
        assert client.state('/stuck/vos') == 'unconfigured'
        assert 'did not return within a second' in log.read_text()
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 0, log.read_text()
    finally:
        process.kill()


@pytest.mark.parametrize(
    ('given', 'reason'),
    [
        (['-p', 'max_objects:=0'], 'max_objects must lie in 1 .. 254'),
        (['-p', 'max_objects:=many'], "max_objects must be int, not 'many'"),
        (['-p', 'backend:=abacus'], 'backend must be one of'),
        (['-p', 'use_sim_time:="yes"'], "'use_sim_time' to 'yes'"),
        (['-p', 'memory.max_speed:=fast'], "memory.max_speed must be float, not 'fast'"),
        (['--params-file', '/no/such/file.yaml'], '/no/such/file.yaml'),
    ],
)
def test_a_wrong_parameter_at_start_is_one_clear_line(dds: None, given: list, reason: str) -> None:
    done = _start_wrongly(given)
    assert done.returncode == 2
    assert reason in done.stderr
    assert 'Traceback' not in done.stderr


def test_a_log_folder_that_cannot_be_written_to_is_one_clear_line(
    dds: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('ROS_LOG_DIR', '/dev/null/log')
    done = _start_wrongly([])
    assert done.returncode == 2
    assert '/dev/null/log' in done.stderr
    assert 'set ROS_LOG_DIR to a folder that can be written to' in done.stderr
    assert 'Traceback' not in done.stderr


def _start_wrongly(given: list) -> 'subprocess.CompletedProcess[str]':
    return subprocess.run(
        [sys.executable, '-m', 'vos_ros.ros.node', '--ros-args', *given],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=PATIENCE_S,
    )


@pytest.mark.parametrize(
    ('policy', 'value', 'reason'),
    [('reliability', 'bogus', 'reliability`: `bogus`'), ('depth', 'lots', "'INTEGER'")],
)
def test_a_wrong_qos_override_is_one_clear_line(
    client, start_node, policy: str, value: str, reason: str
) -> None:
    name = f'qos_overrides./wrong_{policy}/image.subscription.{policy}'
    node = start_node('-r', f'__ns:=/wrong_{policy}', '-p', f'{name}:={value}', model=TINY)
    client.wait(lambda: 'cannot activate' in node.log, 'the error')
    (line,) = [line for line in node.log.splitlines() if 'cannot activate' in line]
    assert f"with {name} = '{value}': " in line
    assert reason in line
    assert client.state(f'/wrong_{policy}/vos') == 'inactive'
    assert 'Traceback' not in node.log


def test_a_whole_number_is_taken_for_a_float(client, start_node) -> None:
    start_node('-r', '__ns:=/whole', model=TINY, autostart=False, **{'memory.max_speed': 2})
    assert client.set_parameter('lost.min_score', 1, '/whole/vos').successful
    assert client.change_state(Transition.TRANSITION_CONFIGURE, '/whole/vos')
    refused = client.set_parameter('lost.min_score', 2, '/whole/vos')
    assert refused.reason == 'lost.min_score must lie in 0.0 .. 1.0, not 2'


def test_a_misspelt_parameter_is_named(client, start_node) -> None:
    node = start_node('-r', '__node:=misspelt', model=TINY, max_object=3, autostart=False)
    client.state('/misspelt')
    assert "'max_object' does not exist" in node.log
    assert "did you mean 'max_objects'?" in node.log
