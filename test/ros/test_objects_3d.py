# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The node objects_3d over DDS: places that are known, depth that is late, and junk."""

from collections.abc import Callable, Iterator
import re
import time
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs rclpy')

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import PoseStamped
from rclpy.qos import DurabilityPolicy, qos_profile_sensor_data, QoSProfile, ReliabilityPolicy
from robot import Client, image_msg, NodeProcess, ROOT
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from std_msgs.msg import Header

from vos_ros.harness import scene
from vos_ros.ros import space_messages
from vos_ros.space.camera import Camera

FRAME = 'camera_color_optical_frame'
CAMERA = scene.CAMERA.scaled(320, 240)
VIEWS = [scene.look(t, camera=CAMERA) for t in (0.0, 0.25, 0.75)]
PERIOD_NS = 33_333_333
MS = 1_000_000


class Objects3dProcess(NodeProcess):
    """One process of the node under test."""

    module = 'vos_ros.ros.objects_3d'


def stamp_of(ns: int) -> tuple[int, int]:
    return divmod(ns, 1_000_000_000)


def info_msg(camera: Camera = CAMERA, frame_id: str = FRAME, **more: Any) -> CameraInfo:
    msg = CameraInfo(width=camera.width, height=camera.height, distortion_model='plumb_bob')
    msg.header.frame_id = frame_id
    msg.k = [camera.fx, 0.0, camera.cx, 0.0, camera.fy, camera.cy, 0.0, 0.0, 1.0]
    msg.p = [camera.fx, 0.0, camera.cx, 0.0, 0.0, camera.fy, camera.cy, 0.0, 0.0, 0.0, 1.0, 0.0]
    msg.d = [0.0] * 5
    for name, value in more.items():
        setattr(msg, name, value)
    return msg


class Space:
    """The node under test, and a depth camera and a segmenter before it."""

    def __init__(self, client: Client, node: NodeProcess, namespace: str) -> None:
        self.client, self.process = client, node
        self.ns, self.name = namespace, f'{namespace}/objects_3d'
        self.now_ns = 5_000 * 1_000_000_000
        self.centers = client.listen(PointCloud2, f'{self.name}/centers')
        self.reports = client.listen(DiagnosticArray, '/diagnostics')
        self.labels = client.node.create_publisher(Image, f'{namespace}/vos/labels', 10)
        client.wait(
            lambda: self.labels.get_subscription_count() or node.process.poll() is not None,
            'the node',
        )
        assert node.process.poll() is None, node.log
        # Where a topic is remapped, the test has a publisher of its own.
        make, sensor = client.node.create_publisher, qos_profile_sensor_data
        self.depth = make(Image, f'{namespace}/depth', sensor)
        self.infos = make(CameraInfo, f'{namespace}/camera_info', 10)

    def send_info(self, camera: Camera = CAMERA, **more: Any) -> None:
        """Publish camera_info until the node says that it has it."""
        expected = f'{camera.width}x{camera.height}', f'{camera.fx:.1f}'

        def is_there() -> bool:
            self.infos.publish(info_msg(camera, **more))
            status = self.status('input')
            return (status['camera_size'], status['focal_length_px']) == expected

        self.client.wait(is_there, 'camera_info')

    def send(
        self,
        depth: np.ndarray,
        labels: np.ndarray,
        encoding: str = '16UC1',
        late_ms: float = 0.0,
        frame_id: str = FRAME,
        **more: Any,
    ) -> tuple[int, int]:
        """Publish depth and labels of one image; give the stamp of the depth image."""
        self.now_ns += PERIOD_NS
        depth_ns = self.now_ns + round(late_ms * MS)
        self.labels.publish(
            image_msg(
                labels,
                'mono8' if labels.dtype == np.uint8 else 'mono16',
                stamp_of(self.now_ns),
                frame_id=FRAME,
            )
        )
        self.depth.publish(image_msg(depth, encoding, stamp_of(depth_ns), frame_id, **more))
        return stamp_of(depth_ns)

    def locate(self, depth: np.ndarray, labels: np.ndarray, *args, **more) -> dict[int, np.void]:
        """Publish depth and labels until the answer to one of them comes; give it by id."""
        sent: set[tuple[int, int]] = set()

        def answer() -> Any:
            sent.add(self.send(depth, labels, *args, **more))
            self.client.spin(0.05)
            return next((m for m in self.centers if at(m) in sent), None)

        msg = self.client.wait(answer, 'centres')
        assert msg.header.frame_id == more.get('frame_id', FRAME)
        return {int(row['id']): row for row in space_messages.read_centers(msg)}

    def own_reports(self) -> list:
        return [r for r in self.reports if r.status[0].name.startswith(f'{self.name[1:]}: ')]

    def status(self, part: str) -> dict[str, Any]:
        """Give a report that was made after this call."""
        asked_s, known = time.time(), len(self.own_reports()) + 1

        def fresh() -> Any:
            own = self.own_reports()[known:]
            # By its stamp, for others may have waited to be read; a simulated clock gives 0.
            new = [r for r in own if not r.header.stamp.sec or at_s(r) > asked_s]
            return new[-1:]

        (report,) = self.client.wait(fresh, 'a report')
        found = next(s for s in report.status if s.name.endswith(f': {part}'))
        values = {value.key: value.value for value in found.values}
        return values | {'level': found.level, 'message': found.message}


def at_s(msg: Any) -> float:
    return msg.header.stamp.sec + msg.header.stamp.nanosec * 1e-9


def at(msg: Any) -> tuple[int, int]:
    return msg.header.stamp.sec, msg.header.stamp.nanosec


@pytest.fixture(scope='module')
def start_space(client, dds, tmp_path_factory) -> Iterator[Callable[..., Space]]:
    """Start nodes, each in a namespace of its own."""
    nodes: list[NodeProcess] = []

    def start(*ros_args: str, **parameters: object) -> Space:
        namespace = f'/space_{len(nodes)}'
        given = {'report.period_s': 0.2} | parameters
        log = tmp_path_factory.mktemp('space') / 'log.txt'
        node = Objects3dProcess(log, '-r', f'__ns:={namespace}', *ros_args, **given)
        nodes.append(node)
        return Space(client, node, namespace)

    start.nodes = nodes
    yield start
    for node in nodes:
        node.end()


@pytest.fixture(scope='module')
def running(start_space) -> Space:
    space = start_space(**{'mapping.dilate_px': 0})
    space.send_info()
    return space


@pytest.fixture
def space(running, start_space) -> Iterator[Space]:
    yield running
    assert running.process.process.poll() is None, running.process.log


@pytest.mark.parametrize('late_ms', [0.0, 8.0, -8.0])
@pytest.mark.parametrize('view', VIEWS, ids=['beside', 'nearer', 'behind'])
def test_centres_are_right_with_depth_of_another_stamp_noise_and_holes(
    space: Space, view: scene.View, late_ms: float
) -> None:
    stored = scene.sensed(view.depth, np.random.default_rng(2), holes=0.05)
    found = space.locate(stored, view.labels, late_ms=late_ms)
    assert set(found) == {scene.BALL, scene.BOX}
    for object_id, truth in view.centers.items():
        row = found[object_id]
        error = np.linalg.norm([row['x'] - truth[0], row['y'] - truth[1], row['z'] - truth[2]])
        distance = np.linalg.norm(truth)
        assert error < 0.01 * max(distance, 1.0)
        assert row['pixels'] == np.count_nonzero(view.labels == object_id)
        assert 0.7 < row['used'] / row['pixels'] < 1.0
    assert abs(found[scene.BALL]['size_x'] - 2 * scene.BALL_RADIUS_M) < 0.04


def test_the_offset_of_the_stamps_is_reported_and_nothing_is_missing(space: Space) -> None:
    space.locate(VIEWS[0].depth, VIEWS[0].labels, '32FC1', late_ms=8.0)
    before = space.status('input')
    for _ in range(20):
        space.send(VIEWS[0].depth, VIEWS[0].labels, '32FC1', late_ms=8.0)
        space.client.spin(0.03)
    after = space.status('input')
    assert float(after['offset_ms']) == pytest.approx(8.0, abs=0.1)
    assert int(after['matched']) > int(before['matched'])
    assert float(after['tolerance_ms']) == pytest.approx(16.7, abs=0.2)


@pytest.mark.parametrize(
    ('encoding', 'more'),
    [
        ('16UC1', {}),
        ('16UC1', {'padding': 6}),
        ('16UC1', {'big_endian': True}),
        ('mono16', {}),
        ('32FC1', {}),
        ('32FC1', {'padding': 3, 'big_endian': True}),
    ],
)
def test_every_form_of_depth_gives_the_same_place(
    space: Space, encoding: str, more: dict[str, Any]
) -> None:
    view = VIEWS[0]
    depth = view.depth if encoding == '32FC1' else (view.depth * 1000).round().astype(np.uint16)
    row = space.locate(depth, view.labels, encoding, **more)[scene.BALL]
    truth = view.centers[scene.BALL]
    assert [row['x'], row['y'], row['z']] == pytest.approx(truth, abs=0.005)


def test_points_and_pose_of_an_object_are_published_where_someone_subscribes(
    space: Space,
) -> None:
    view = VIEWS[0]
    space.locate(view.depth, view.labels, '32FC1')  # now the topics are there
    points = space.client.listen(PointCloud2, f'{space.name}/object_1/points')
    poses = space.client.listen(PoseStamped, f'{space.name}/object_1/pose')
    space.client.wait(
        lambda: space.locate(view.depth, view.labels, '32FC1') and points and poses, 'both'
    )
    cloud = points[-1]
    assert [(f.name, f.offset, f.datatype) for f in cloud.fields] == [
        ('x', 0, 7),
        ('y', 4, 7),
        ('z', 8, 7),
    ]
    xyz = np.frombuffer(bytes(cloud.data), np.float32).reshape(-1, 3)
    assert (cloud.width, cloud.height, cloud.row_step) == (len(xyz), 1, 12 * len(xyz))
    # Every point lies on the ball.
    distance = np.linalg.norm(xyz - view.middles[scene.BALL], axis=1)
    assert np.abs(distance - scene.BALL_RADIUS_M).max() < 0.002
    position, truth = poses[-1].pose.position, view.centers[scene.BALL]
    assert [position.x, position.y, position.z] == pytest.approx(truth, abs=0.005)
    assert poses[-1].pose.orientation.w == 1.0
    assert poses[-1].header.frame_id == FRAME


@pytest.mark.parametrize('encoding', ['16UC1', '32FC1'])
def test_depth_without_objects_has_none_of_them_and_all_the_rest(
    space: Space, encoding: str
) -> None:
    view = VIEWS[0]
    depth = view.depth if encoding == '32FC1' else (view.depth * 1000).round().astype(np.uint16)
    heard = space.client.listen(Image, f'{space.name}/depth_without_objects')
    space.client.wait(
        lambda: (
            space.locate(depth, view.labels, encoding)
            and [m for m in heard if m.encoding == encoding]
        ),
        'it',
    )
    msg = next(m for m in heard if m.encoding == encoding)
    assert (msg.height, msg.width, msg.header.frame_id) == (*depth.shape, FRAME)
    found = np.frombuffer(bytes(msg.data), depth.dtype).reshape(depth.shape)
    is_object = view.labels > 0
    gone = np.isnan(found) if encoding == '32FC1' else found == 0
    assert gone[is_object].all()
    assert (found[~is_object] == depth[~is_object]).all()


def test_camera_info_comes_beside_it_with_the_same_stamp(space: Space) -> None:
    infos = space.client.listen(CameraInfo, f'{space.name}/camera_info')
    cut = space.client.listen(Image, f'{space.name}/depth_without_objects')

    def both() -> set:
        space.locate(VIEWS[0].depth, VIEWS[0].labels, '32FC1')
        return {at(m) for m in infos} & {at(m) for m in cut}

    space.client.wait(both, 'both of one stamp')
    assert infos[-1].k[0] == pytest.approx(CAMERA.fx)
    assert infos[-1].header.frame_id == FRAME


def test_a_simulated_clock_that_stands_still_stops_nothing(start_space) -> None:
    space = start_space(use_sim_time=True)
    space.send_info()
    found = space.locate(VIEWS[0].depth, VIEWS[0].labels, '32FC1', late_ms=8.0)
    assert set(found) == {scene.BALL, scene.BOX}
    before = int(space.status('input')['depth_missing'])
    stamp = stamp_of(space.now_ns + 10_000 * MS)
    space.labels.publish(image_msg(VIEWS[0].labels, 'mono8', stamp, FRAME))
    space.client.wait(
        lambda: int(space.status('input')['depth_missing']) > before, 'the end of the wait'
    )


def test_a_bag_that_begins_again_is_matched_again(start_space) -> None:
    space = start_space()
    space.send_info()
    for _ in range(2):
        space.now_ns = 5_000 * 1_000_000_000
        space.centers.clear()
        for _ in range(3):
            assert space.locate(VIEWS[0].depth, VIEWS[0].labels, '32FC1')
    assert int(space.status('input')['time_jumps']) == 0
    space.now_ns = 4_000 * 1_000_000_000
    assert space.locate(VIEWS[0].depth, VIEWS[0].labels, '32FC1')
    assert int(space.status('input')['time_jumps']) == 1


def test_it_is_cut_out_wider_when_asked_to_and_at_once(space: Space) -> None:
    view = VIEWS[0]
    heard = space.client.listen(Image, f'{space.name}/depth_without_objects')
    assert space.client.set_parameter('mapping.dilate_px', 4, space.name).successful

    def cut() -> Any:
        space.locate(view.depth, view.labels, '32FC1')
        return [m for m in heard if m.encoding == '32FC1']

    space.client.wait(cut, 'it')
    found = np.frombuffer(bytes(heard[-1].data), np.float32).reshape(view.depth.shape)
    assert np.isnan(found).sum() > 1.05 * np.count_nonzero(view.labels)
    assert space.client.set_parameter('mapping.dilate_px', 0, space.name).successful


def test_ids_above_255_and_labels_of_twice_the_size(space: Space) -> None:
    view = VIEWS[0]
    labels = view.labels.astype(np.uint16) * 300
    found = space.locate(view.depth, np.kron(labels, np.ones((2, 2), np.uint16)), '32FC1')
    assert set(found) == {300, 600}
    for object_id, truth in view.centers.items():
        row = found[300 * object_id]
        assert [row['x'], row['y'], row['z']] == pytest.approx(truth, abs=0.005)


def test_an_object_without_depth_is_said_to_be_there_without_a_place(space: Space) -> None:
    view = VIEWS[0]
    depth = view.depth.copy()
    depth[view.labels == scene.BALL] = np.nan
    poses = space.client.listen(PoseStamped, f'{space.name}/object_1/pose')
    space.locate(view.depth, view.labels, '32FC1')
    before = int(space.status('objects')['without_centre'])
    space.client.spin(0.3)
    poses.clear()
    found = space.locate(depth, view.labels, '32FC1')
    assert np.isnan(found[scene.BALL]['x'])
    assert found[scene.BALL]['used'] == 0
    assert found[scene.BALL]['pixels'] > 0
    assert np.isfinite(found[scene.BOX]['x'])
    stamps = {at(m) for m in space.centers[-1:]}
    assert not [p for p in poses if at(p) in stamps]
    status = space.status('objects')
    assert int(status['without_centre']) > before
    assert 'objects [1] have too little depth' in status['message']
    assert status['level'] == DiagnosticStatus.WARN


def test_one_pixel_is_an_object_and_no_object_is_an_answer(space: Space) -> None:
    labels = np.zeros_like(VIEWS[0].labels)
    assert space.locate(VIEWS[0].depth, labels, '32FC1') == {}
    labels[239, 319] = 9
    found = space.locate(VIEWS[0].depth, labels, '32FC1')
    assert (found[9]['pixels'], found[9]['used']) == (1, 1)
    assert np.isnan(found[9]['x'])
    assert space.client.set_parameter('geometry.min_pixels', 1, space.name).successful
    found = space.client.wait(
        lambda: (
            (f := space.locate(VIEWS[0].depth, labels, '32FC1')) and np.isfinite(f[9]['x']) and f
        ),
        'a centre',
    )
    z = VIEWS[0].depth[239, 319]
    ray = CAMERA.rays(np.array([239]), np.array([319]))[0]
    assert [found[9]['x'], found[9]['y']] == pytest.approx(ray * z, abs=1e-3)
    assert space.client.set_parameter('geometry.min_pixels', 20, space.name).successful


@pytest.mark.parametrize(
    ('depth', 'complaint'),
    [
        (image_msg(np.zeros((4, 4, 3), np.uint8), 'rgb8'), "encoding 'rgb8'.*16UC1"),
        (Image(encoding='16UC1', height=4, width=4, step=8), r'needs 32 bytes, has 0'),
        (Image(encoding='16UC1', height=4, width=4, step=2, data=[0] * 32), 'step 2, needs'),
        (Image(encoding='16UC1'), 'is empty'),
        (Image(encoding='16UC1; compressedDepth', height=1, width=1), 'republish'),
    ],
    ids=['colour', 'cut off', 'step', 'empty', 'compressedDepth'],
)
def test_junk_for_depth_is_one_line_and_the_node_goes_on(
    space: Space, depth: Image, complaint: str
) -> None:
    before = int(space.status('input')['depth_unusable'])
    for _ in range(5):
        space.depth.publish(depth)
    space.client.wait(lambda: re.search(complaint, space.process.log), 'the complaint')
    status = space.status('input')
    assert int(status['depth_unusable']) > before
    assert status['level'] == DiagnosticStatus.WARN
    lines = [line for line in space.process.log.splitlines() if re.search(complaint, line)]
    assert len(lines) == 1
    assert 'Traceback' not in space.process.log
    assert space.locate(VIEWS[0].depth, VIEWS[0].labels, '32FC1')


def test_junk_for_labels_and_camera_info_is_counted_too(space: Space) -> None:
    before = space.status('input')
    stamp = stamp_of(space.now_ns)
    space.labels.publish(image_msg(np.zeros((240, 320, 3), np.uint8), 'rgb8', stamp))
    space.infos.publish(CameraInfo())
    space.client.wait(
        lambda: (
            "labels encoding 'rgb8'" in space.process.log and 'not calibrated' in space.process.log
        ),
        'both complaints',
    )
    after = space.status('input')
    for name in ('labels_unusable', 'camera_info_unusable'):
        assert int(after[name]) > int(before[name])
    assert space.locate(VIEWS[0].depth, VIEWS[0].labels, '32FC1')


def test_labels_of_another_aspect_are_refused(space: Space) -> None:
    labels = np.ones((90, 160), np.uint8)
    space.client.wait(
        lambda: (
            space.send(VIEWS[0].depth, labels, '32FC1')
            and 'labels of 160x90 do not fit a depth image of 320x240' in space.process.log
        ),
        'the complaint',
    )


def test_depth_of_another_frame_is_warned_of(space: Space) -> None:
    space.locate(VIEWS[0].depth, VIEWS[0].labels, '32FC1', frame_id='camera_depth_frame')
    status = space.client.wait(
        lambda: (s := space.status('input')) and 'frames differ' in s['message'] and s, 'a warning'
    )
    assert status['level'] == DiagnosticStatus.WARN
    assert "depth 'camera_depth_frame'" in space.process.log
    space.locate(VIEWS[0].depth, VIEWS[0].labels, '32FC1')
    space.client.wait(
        lambda: 'frames differ' not in space.status('input')['message'], 'the warning to go'
    )


def test_labels_without_depth_are_counted_and_forgotten(space: Space) -> None:
    before = int(space.status('input')['depth_missing'])
    for n in range(3):
        stamp = stamp_of(space.now_ns + (n + 1) * 10_000 * MS)
        space.labels.publish(image_msg(VIEWS[0].labels, 'mono8', stamp, FRAME))
    space.client.wait(
        lambda: int(space.status('input')['depth_missing']) >= before + 3, 'the count'
    )


def test_camera_info_of_another_image_is_named_and_counted_as_that(space: Space) -> None:
    before = space.status('input')
    space.send_info(Camera(640, 360, 500.0, 500.0, 320.0, 180.0))
    space.client.wait(
        lambda: (
            space.send(VIEWS[0].depth, VIEWS[0].labels, '32FC1')
            and 'camera_info is for 640x360, the depth image has 320x240' in space.process.log
        ),
        'the complaint',
    )
    after = space.status('input')
    assert int(after['camera_info_unusable']) > int(before['camera_info_unusable'])
    assert after['labels_unusable'] == before['labels_unusable']
    space.send_info()


def test_a_new_camera_info_holds_from_then_on(space: Space) -> None:
    view = VIEWS[0]
    wide = Camera(320, 240, CAMERA.fx / 2, CAMERA.fy / 2, CAMERA.cx, CAMERA.cy)
    space.send_info(wide)
    found = space.locate(view.depth, view.labels, '32FC1')[scene.BALL]
    x, _, z = view.centers[scene.BALL]
    assert [found['x'], found['z']] == pytest.approx([2 * x, z], abs=0.01)
    space.send_info(CAMERA.scaled(640, 480))  # of the larger image: the depth one is half of it
    found = space.locate(view.depth, view.labels, '32FC1')[scene.BALL]
    assert found['x'] == pytest.approx(x, abs=0.005)
    space.send_info()


def test_before_any_camera_info_only_the_cut_out_depth_is_published(start_space) -> None:
    space = start_space(**{'report.silence_s': 0.3})
    view = VIEWS[0]
    heard = space.client.listen(Image, f'{space.name}/depth_without_objects')

    def cut() -> list:
        space.send(view.depth, view.labels, '32FC1')
        space.client.spin(0.05)
        return heard

    space.client.wait(cut, 'depth without objects')
    assert not space.centers
    assert 'no camera_info on' in space.process.log
    status = space.status('input')
    assert 'no camera_info' in status['message']
    assert status['level'] == DiagnosticStatus.ERROR
    waiting, missing = (
        int(status[name]) for name in ('waiting_for_camera_info', 'camera_info_missing')
    )
    assert waiting + missing == int(status['matched']) > 0
    space.send_info()
    assert set(space.locate(view.depth, view.labels, '32FC1')) == {scene.BALL, scene.BOX}
    assert space.process.interrupt() == 0


def test_what_came_just_before_camera_info_is_placed_once_it_is_there(start_space) -> None:
    space = start_space(**{'report.period_s': 0.1})
    view, sent = VIEWS[0], []

    def of(name: str) -> int:
        return int(space.status('input').get(name, 0))

    def fill() -> bool:
        sent.append(space.send(view.depth, view.labels, '32FC1'))
        space.client.spin(0.1)
        return of('waiting_for_camera_info') == 4 and of('camera_info_missing') >= 2

    space.client.wait(fill, 'pairs that wait')
    assert not space.centers
    # Depth is best effort: what the middleware lost of it has a counter of its own.
    space.client.wait(lambda: of('matched') + of('depth_missing') == len(sent), 'the last pair')
    lost = of('depth_missing')
    space.send_info()
    space.client.wait(lambda: len(space.centers) >= 4, 'what had waited')
    stamps = [(c.header.stamp.sec, c.header.stamp.nanosec) for c in space.centers]
    assert len(stamps) == 4
    assert stamps == sorted(set(stamps) & set(sent[-4 - lost :]))
    assert of('waiting_for_camera_info') == 0
    assert of('camera_info_missing') == len(sent) - lost - 4
    assert space.process.interrupt() == 0


def test_a_camera_info_that_was_published_once_before_is_taken(start_space, client) -> None:
    latched = QoSProfile(
        depth=1,
        reliability=ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.TRANSIENT_LOCAL,
    )
    client.node.create_publisher(CameraInfo, '/latched_info', latched).publish(info_msg())
    space = start_space('-r', 'camera_info:=/latched_info')
    assert set(space.locate(VIEWS[0].depth, VIEWS[0].labels, '32FC1')) == {scene.BALL, scene.BOX}


def test_a_topic_of_another_type_is_named_with_the_remedy(start_space, client) -> None:
    space = start_space('-r', 'depth:=packed/compressedDepth', **{'report.silence_s': 0.3})
    client.node.create_publisher(CompressedImage, f'{space.ns}/packed/compressedDepth', 1)
    client.wait(
        lambda: 'image_transport republish' in space.status('input')['message'], 'the remedy'
    )
    assert 'carries sensor_msgs/msg/CompressedImage' in space.process.log
    for name in ('depth', 'labels', 'camera_info'):
        space.client.wait(lambda n=name: f'no {n}' in space.process.log, f'{name} in the log')


def test_distortion_is_undone_and_told_once_unless_the_image_is_rectified(start_space) -> None:
    bent = {'d': [-0.2, 0.05, 0.0, 0.0, 0.0]}
    space = start_space()
    for _ in range(3):
        space.send_info(**bent)
    labels = np.zeros((240, 320), np.uint8)
    labels[:40, :50] = 1
    flat = np.ones((240, 320), np.float32)
    corner = space.locate(flat, labels, '32FC1')[1]
    assert space.process.log.count('camera_info of') == 1
    camera = Camera(
        320, 240, CAMERA.fx, CAMERA.fy, CAMERA.cx, CAMERA.cy, 'plumb_bob', (*bent['d'],)
    )
    rows, columns = np.nonzero(labels)
    assert corner['x'] == pytest.approx(camera.rays(rows, columns)[:, 0].mean(), abs=1e-3)
    assert space.client.set_parameter('distortion', 'none', space.name).successful
    straight = CAMERA.rays(rows, columns)[:, 0].mean()
    assert abs(straight - corner['x']) > 0.005
    assert space.locate(flat, labels, '32FC1')[1]['x'] == pytest.approx(straight, abs=1e-3)


def test_a_setting_that_the_camera_cannot_have_is_refused_and_nothing_changes(start_space) -> None:
    space = start_space(distortion='none')
    odd = {'d': [0.1] * 12, 'distortion_model': 'thin_prism_fisheye'}
    space.send_info(**odd)
    flat, labels = np.ones((240, 320), np.float32), np.ones((240, 320), np.uint8)
    assert space.locate(flat, labels, '32FC1')
    result = space.client.set_parameter('distortion', 'undo', space.name)
    assert not result.successful
    assert 'thin_prism_fisheye' in result.reason
    space.send_info(**odd)
    assert space.locate(flat, labels, '32FC1')
    assert 'ROS failed' not in space.process.log


def test_parameters_are_described_and_what_is_wrong_is_refused(space: Space) -> None:
    from rcl_interfaces.srv import DescribeParameters

    from vos_ros.config import Objects3dConfig, settings

    names = [name for name, _ in settings(Objects3dConfig)]
    request = DescribeParameters.Request(names=names)
    found = space.client.call(DescribeParameters, f'{space.name}/describe_parameters', request)
    assert [d.name for d in found.descriptors] == names
    for each in found.descriptors:
        assert len(each.description) > 20
        assert each.read_only == (each.name in ('depth_qos', 'report.period_s'))
    result = space.client.set_parameter('distortion', 'perhaps', space.name)
    assert not result.successful
    assert 'auto, none, undo' in result.reason


def test_more_objects_than_may_be_are_named_and_the_largest_are_placed(start_space) -> None:
    space = start_space(max_objects=2, keep_topics_s=0.0)
    space.send_info()
    labels = np.zeros((240, 320), np.uint8)
    for n in range(5):
        labels[: 10 * (n + 1), 20 * n : 20 * n + 20] = n + 1
    found = space.locate(VIEWS[0].depth, labels, '32FC1')
    assert set(found) == {4, 5}
    assert '5 objects on the labels, the largest 2 are placed' in space.process.log
    # Noise has every id: topics may not pile up.
    rng = np.random.default_rng(0)
    for _ in range(5):
        noise = rng.integers(0, 256, labels.shape, np.uint8)
        space.locate(VIEWS[0].depth, noise, '32FC1')

    def topics() -> set[str]:
        known = space.client.node.get_topic_names_and_types()
        return {n for n, _ in known if re.match(rf'{space.name}/object_\d+/pose', n)}

    space.client.wait(lambda: len(topics()) == 2, 'two objects to have topics')


def test_a_frame_is_broadcast_for_each_object_where_tf2_msgs_is_installed(start_space) -> None:
    tf2 = space_messages.find_messages('tf2_msgs')
    space = start_space(**{'tf.enabled': True, 'tf.prefix': 'seen_'})
    space.send_info()
    if tf2 is None:
        space.client.wait(lambda: 'tf2_msgs is not installed' in space.process.log, 'the reason')
        pytest.skip('needs tf2_msgs, which has no wheel')
    heard = space.client.listen(tf2.TFMessage, '/tf')
    space.client.wait(
        lambda: space.locate(VIEWS[0].depth, VIEWS[0].labels, '32FC1') and heard, 'frames'
    )
    frames = {t.child_frame_id: t for t in heard[-1].transforms}
    assert set(frames) == {'seen_object_1', 'seen_object_2'}
    x = frames['seen_object_1'].transform.translation.x
    assert x == pytest.approx(VIEWS[0].centers[scene.BALL][0], abs=0.005)


def test_detections_come_where_vision_msgs_is_installed(space: Space) -> None:
    vision = space_messages.find_messages('vision_msgs')
    if vision is None:
        assert 'vision_msgs is not installed: ~/objects_3d is off' in space.process.log
        pytest.skip('needs vision_msgs, which has no wheel')
    heard = space.client.listen(vision.Detection3DArray, f'{space.name}/objects_3d')
    space.client.wait(
        lambda: space.locate(VIEWS[0].depth, VIEWS[0].labels, '32FC1') and heard, 'detections'
    )
    assert [d.id for d in heard[-1].detections] == ['1', '2']


def stand_ins() -> SimpleNamespace:
    """Make classes with the fields of vision_msgs 4, for a machine without it."""
    from geometry_msgs.msg import Pose, PoseWithCovariance, Vector3

    return SimpleNamespace(
        Detection3DArray=lambda: SimpleNamespace(header=Header(), detections=[]),
        Detection3D=lambda: SimpleNamespace(
            header=Header(),
            results=[],
            bbox=SimpleNamespace(center=Pose(), size=Vector3()),
            id='',
        ),
        ObjectHypothesisWithPose=lambda: SimpleNamespace(
            hypothesis=SimpleNamespace(class_id='', score=0.0), pose=PoseWithCovariance()
        ),
    )


def test_the_policy_allows_what_the_node_uses_and_no_more(space: Space) -> None:
    profile = ElementTree.parse(ROOT / 'config' / 'sros2_policy.xml').getroot()
    profile = profile.find(".//profile[@node='objects_3d']")
    here, view = space.client.node, VIEWS[0]
    space.locate(view.depth, view.labels, '32FC1')
    ask = {
        'publish': here.get_publisher_names_and_types_by_node,
        'subscribe': here.get_subscriber_names_and_types_by_node,
        'reply': here.get_service_names_and_types_by_node,
    }
    # With vision_msgs, tf.enabled or use_sim_time only; the last by version of ROS.
    sometimes = {'~/objects_3d', '/tf', '/clock', '/parameter_events'}

    def used(kind: str) -> set[str]:
        names = {name for name, _ in ask[kind]('objects_3d', space.ns)}
        names = {re.sub(r'/object_\d+/', '/object_*/', name) for name in names}
        return {n.replace(space.name, '~', 1).replace(f'{space.ns}/', '', 1) for n in names}

    for kind in ask:
        allowed = {e.text for group in profile if kind in group.attrib for e in group}
        least = allowed - sometimes
        space.client.wait(
            lambda kind=kind, least=least: used(kind) >= least, f'all of {kind}: {least}'
        )
        assert used(kind) <= allowed


INSTALLED = space_messages.find_messages('vision_msgs')


@pytest.mark.parametrize(
    'kinds', [stand_ins(), *([INSTALLED] if INSTALLED else [])], ids=lambda k: type(k).__name__
)
def test_a_detection_has_id_place_box_and_share_and_none_without_depth(kinds: Any) -> None:
    from vos_ros.config import GeometryConfig
    from vos_ros.space.objects import locate_all

    view = VIEWS[0]
    depth = view.depth.copy()
    depth[view.labels == scene.BOX] = np.nan
    objects = locate_all(view.labels, depth, CAMERA, GeometryConfig(), 10)
    msg = space_messages.to_detections_msg(kinds, objects, Header(frame_id=FRAME))
    ball, box = msg.detections
    assert (ball.id, box.id, msg.header.frame_id) == ('1', '2', FRAME)
    (result,) = ball.results
    position, truth = result.pose.pose.position, view.centers[scene.BALL]
    assert [position.x, position.y, position.z] == pytest.approx(truth, abs=0.005)
    assert 0.8 < result.hypothesis.score <= 1.0
    assert ball.bbox.size.x == pytest.approx(2 * scene.BALL_RADIUS_M, abs=0.03)
    assert abs(ball.bbox.center.position.x - truth[0]) < 0.03
    assert list(box.results) == []
    assert box.bbox.size.x == 0.0
