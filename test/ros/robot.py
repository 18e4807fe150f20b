# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The node as its own process, and a client beside it, over real DDS.

Nothing is mocked: what these tests see is what a robot sees. The only timeouts are those that end
a hang, so a loaded machine makes them slower and not red.
"""

import array
from collections.abc import Callable
from pathlib import Path
import signal
import subprocess
import sys
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor

ROOT = Path(__file__).resolve().parents[2]
HEIGHT, WIDTH = 96, 128
SCENE = np.random.default_rng(3).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
#: Two objects, 1 and 4, on it.
MASK = np.zeros((HEIGHT, WIDTH), np.uint8)
MASK[20:60, 10:50] = 1
MASK[40:90, 70:120] = 4
#: Ends a hang; nothing waits this long when it works, not even on a busy machine.
PATIENCE_S = 180.0
#: A clock that stands at less is a simulated one.
SIMULATED_BEFORE_S = 1e8
#: When to ask again where no answer came.
_ASK_AGAIN_S = 10.0


class NodeProcess:
    """One segmenter process."""

    module = 'vos_ros.ros.node'

    def __init__(self, log: Path, *ros_args: str, **parameters: object) -> None:
        """Start it."""
        self.log_path = log
        given = [part for name, value in parameters.items() for part in ('-p', f'{name}:={value}')]
        with log.open('wb') as sink:
            self.process = subprocess.Popen(
                [sys.executable, '-m', self.module, '--ros-args', *ros_args, *given],
                stdout=sink,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
            )

    @property
    def log(self) -> str:
        """All that it has printed so far."""
        return self.log_path.read_text(errors='replace')

    def interrupt(self) -> int:
        """Send SIGINT and return the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(PATIENCE_S)

    def end(self) -> None:
        """Stop it whatever happened before."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Client:
    """A node in the test's own process: camera, detector and listener."""

    def __init__(self, name: str) -> None:
        """Make the node; the test spins it by waiting."""
        self.node = rclpy.create_node(name)
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.node)
        self.stamp_s = 1000

    def close(self) -> None:
        """Leave the graph."""
        self.executor.shutdown()
        self.node.destroy_node()

    def wait(self, condition: Callable[[], Any], what: str, patience_s: float = PATIENCE_S) -> Any:
        """Spin until `condition` gives something true, and return it."""
        end = time.monotonic() + patience_s
        while time.monotonic() < end:
            found = condition()
            if found:
                return found
            self.executor.spin_once(0.05)
        pytest.fail(f'waited {patience_s:.0f} s in vain for {what}')

    def spin(self, seconds: float) -> None:
        """Let messages come in; used only where the test is that none comes."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.executor.spin_once(0.05)

    def listen(self, kind: type, topic: str, depth: int = 100) -> list:
        """Collect every message of a topic."""
        messages: list = []
        self.node.create_subscription(kind, topic, messages.append, depth)
        return messages

    def publisher(self, kind: type, topic: str, qos: Any = 10, readers: int = 1) -> Any:
        """Make a publisher and wait until the node under test listens to it."""
        publisher = self.node.create_publisher(kind, topic, qos)
        self.wait(lambda: publisher.get_subscription_count() >= readers, f'a reader of {topic}')
        return publisher

    def call(self, kind: type, name: str, request: Any) -> Any:
        """
        Call a service and return its response.

        The request is repeated where no answer comes: a service is ready as soon as one side has
        found the other, and an answer sent before the other side has, too, is lost
        (ros2/ros2#1253, ros2/rmw_fastrtps#842). So it must be one that may be repeated.
        """
        client = self.node.create_client(kind, name)
        self.wait(client.service_is_ready, f'service {name}')
        asked: dict[Any, float] = {}

        def answer() -> Any:
            if time.monotonic() > max(asked.values(), default=0.0) + _ASK_AGAIN_S:
                asked[client.call_async(request)] = time.monotonic()
            return next((future.result() for future in asked if future.done()), None)

        found = self.wait(answer, f'an answer of {name}')
        self.node.destroy_client(client)
        return found

    def state(self, node: str = '/vos') -> str:
        """Ask for the lifecycle state's label."""
        from lifecycle_msgs.srv import GetState

        return self.call(GetState, f'{node}/get_state', GetState.Request()).current_state.label

    def change_state(self, transition: int, node: str = '/vos', label: str = '') -> bool:
        """
        Ask for a transition.

        A second request would be refused where the first was granted and only its answer was lost,
        so that is not repeated before the state shows that nothing has happened.
        """
        from lifecycle_msgs.srv import ChangeState

        request = ChangeState.Request()
        request.transition.id = transition
        request.transition.label = label
        before = self.state(node)
        client = self.node.create_client(ChangeState, f'{node}/change_state')
        self.wait(client.service_is_ready, f'service {node}/change_state')
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            future = client.call_async(request)
            again = time.monotonic() + _ASK_AGAIN_S
            self.wait(
                lambda future=future, again=again: future.done() or time.monotonic() > again,
                f'an answer of {node}/change_state',
            )
            if future.done() or self.state(node) != before:
                self.node.destroy_client(client)
                return future.result().success if future.done() else True
        pytest.fail(f'waited {PATIENCE_S:.0f} s in vain for an answer of {node}/change_state')

    def set_parameter(self, name: str, value: object, node: str = '/vos') -> Any:
        """Set one parameter from outside and return the result with its reason."""
        from rcl_interfaces.srv import SetParameters
        from rclpy.parameter import Parameter

        request = SetParameters.Request()
        request.parameters = [Parameter(name, value=value).to_parameter_msg()]
        return self.call(SetParameters, f'{node}/set_parameters', request).results[0]

    def next_stamp(self) -> tuple[int, int]:
        """Give a stamp that was never used before, with odd nanoseconds."""
        self.stamp_s += 1
        return self.stamp_s, 123_456_789


class Robot:
    """A running node, and the client with its publishers and what it heard."""

    def __init__(self, client: Client, node: NodeProcess, namespace: str = '') -> None:
        """Wait until the node answers images of this namespace ('' or '/name')."""
        from diagnostic_msgs.msg import DiagnosticArray
        from sensor_msgs.msg import Image

        self.client, self.process, self.name = client, node, f'{namespace}/vos'
        self.labels = client.listen(Image, f'{self.name}/labels')
        self.overlays = client.listen(Image, f'{self.name}/overlay')
        self.reports = client.listen(DiagnosticArray, '/diagnostics')
        self.masks = client.publisher(Image, f'{namespace}/init_mask')
        self.images = client.publisher(Image, f'{namespace}/image')
        # Until images go there and labels come back: DDS introduces them in its own time.
        client.wait(lambda: self.send() and self.labels, 'the first labels')

    def send(self, stamp=None, image=SCENE, **more) -> tuple[int, int]:
        """Publish one camera image."""
        stamp = stamp or self.client.next_stamp()
        self.images.publish(image_msg(image, 'rgb8', stamp, **more))
        return stamp

    def answers(self, stamp: tuple[int, int]) -> list:
        """Give the labels that carry this stamp."""
        return [m for m in self.labels if (m.header.stamp.sec, m.header.stamp.nanosec) == stamp]

    def segment(self, stamp=None, **more) -> Any:
        """Publish one camera image and wait for its labels, even if its stamp was used before."""
        stamp = stamp or self.client.next_stamp()
        known = len(self.answers(stamp))
        self.send(stamp, **more)
        return self.client.wait(lambda: self.answers(stamp)[known:], f'labels of {stamp}')[0]

    def prompt(self, mask=MASK, encoding: str = 'mono8', **more) -> Any:
        """Publish a mask, then the image that it was drawn on, and wait for that one's labels."""
        stamp = self.client.next_stamp()
        self.offer(mask, encoding, stamp, **more)
        return self.segment(stamp=stamp)

    def offer(self, mask, encoding: str = 'mono8', stamp=(0, 0), **more) -> None:
        """Publish a mask and wait until the node has it: no image can overtake it then."""
        seen = self.fresh('objects')
        self.masks.publish(image_msg(mask, encoding, stamp, **more))
        for counter in ('masks_in', 'masks_duplicate'):
            seen[counter] = int(seen[counter])
        self.client.wait(
            lambda: any(
                int(self.status('objects')[counter]) > seen[counter]
                for counter in ('masks_in', 'masks_duplicate')
            ),
            'the mask to arrive',
        )

    def fresh(self, part: str) -> dict:
        """Give a report that was made after this call."""
        known, asked = len(self._own_reports()), time.time()

        def is_later(report: Any) -> bool:
            # Where this process is slower than the reports come, a hundred of them are on their
            # way. A simulated clock does not tell.
            stamp = report.header.stamp
            made = stamp.sec + stamp.nanosec * 1e-9
            return made > asked or made < SIMULATED_BEFORE_S

        # Two, because the first may have been begun before and stamped after.
        self.client.wait(
            lambda: sum(map(is_later, self._own_reports()[known:])) > 1, 'a new report'
        )
        return self.status(part)

    def status(self, part: str) -> dict[str, str]:
        """Give the newest report of one part of the node."""
        own = self.client.wait(self._own_reports, 'a report')
        for status in own[-1].status:
            if status.name == f'{self.name[1:]}: {part}':
                values = {value.key: value.value for value in status.values}
                return values | {'level': status.level, 'message': status.message}
        return {}

    def _own_reports(self) -> list:
        name = f'{self.name[1:]}: '
        return [r for r in self.reports if r.status[0].name.startswith(name)]

    def reset(self) -> Any:
        """Forget all objects."""
        from std_srvs.srv import Trigger

        return self.client.call(Trigger, f'{self.name}/reset', Trigger.Request())


def image_msg(
    pixels: np.ndarray,
    encoding: str,
    stamp: tuple[int, int] = (0, 0),
    frame_id: str = 'camera',
    padding: int = 0,
    big_endian: bool = False,
) -> Any:
    """
    Make an Image message, byte by byte.

    :param pixels: (H, W) or (H, W, C).
    :param padding: bytes behind every row.
    """
    from sensor_msgs.msg import Image

    order = '>' if big_endian else '<'
    rows = pixels.astype(pixels.dtype.newbyteorder(order)).reshape(len(pixels), -1)
    msg = Image(encoding=encoding, height=pixels.shape[0], width=pixels.shape[1])
    msg.header.stamp.sec, msg.header.stamp.nanosec = stamp
    msg.header.frame_id = frame_id
    msg.is_bigendian = int(big_endian)
    msg.data = array.array('B', b''.join(row.tobytes() + b'\xaa' * padding for row in rows))
    msg.step = len(msg.data) // len(rows)
    return msg


def stamp_of(msg: Any) -> tuple[int, int]:
    """Give the seconds and nanoseconds of a message's stamp."""
    return msg.header.stamp.sec, msg.header.stamp.nanosec


def to_array(msg: Any) -> np.ndarray:
    """Read labels or a mask back, byte by byte."""
    dtype = np.uint8 if msg.encoding == 'mono8' else np.dtype('<u2')
    return np.frombuffer(bytes(msg.data), dtype).reshape(msg.height, msg.width)


def label_info(names: dict[int, str]) -> Any:
    """Make what has the fields of a vision_msgs/LabelInfo."""
    return SimpleNamespace(
        class_map=[SimpleNamespace(class_id=i, class_name=name) for i, name in names.items()]
    )


def ground(height: int, width: int) -> np.ndarray:
    """
    Give the points of all pixels of a camera above the ground, in the costmap's frame.

    :return: (H, W, 3) m: forward, left, up; no two pixels that are 4 or more apart share a tile.
    """
    rows, columns = np.mgrid[:height, :width]
    cloud = np.empty((height, width, 3))
    cloud[..., 0] = 0.5 + (height - 1 - rows) * 0.02
    cloud[..., 1] = ((width - 1) / 2 - columns) * 0.02
    cloud[..., 2] = 0.0
    return cloud
