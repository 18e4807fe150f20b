# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which topic images come from, and what is said where none can come."""

import array

import cv2
import pytest

pytest.importorskip('rclpy', reason='needs rclpy')

from diagnostic_msgs.msg import DiagnosticArray
from robot import image_msg, ROOT, SCENE
from sensor_msgs.msg import CompressedImage, Image

TINY = ROOT / 'test' / 'data' / 'tiny'


def jpeg(stamp: tuple[int, int]) -> CompressedImage:
    msg = CompressedImage(format='jpeg')
    msg.header.stamp.sec, msg.header.stamp.nanosec = stamp
    msg.data = array.array('B', cv2.imencode('.jpg', SCENE)[1].tobytes())
    return msg


@pytest.mark.parametrize('given', ['/front/image_raw', '/front/image_raw/compressed'])
def test_compressed_images_come_beside_the_base_topic_as_image_transport_has_it(
    client, start_node, given: str
) -> None:
    namespace = f'/base{len(given)}'
    node = start_node(
        '-r',
        f'__ns:={namespace}',
        '-r',
        f'image:={given}',
        model=TINY,
        image_transport='compressed',
    )
    labels = client.listen(Image, f'{namespace}/vos/labels')
    images = client.publisher(CompressedImage, '/front/image_raw/compressed')
    client.wait(lambda: images.publish(jpeg(client.next_stamp())) or labels, 'labels')
    assert node.interrupt() == 0, node.log


@pytest.mark.parametrize(
    ('transport', 'remap', 'kind', 'words'),
    [
        ('raw', 'image:=/a/compressed', CompressedImage, 'set image_transport to compressed'),
        ('compressed', 'image/compressed:=/b', Image, 'set image_transport to raw'),
        ('raw', 'image:=/c', CompressedImage, 'somebody publishes /c/compressed'),
        ('compressed', 'image:=/d', Image, 'somebody publishes /d: set'),
    ],
)
def test_a_camera_that_sends_the_other_form_is_named(
    client, start_node, transport: str, remap: str, kind: type, words: str
) -> None:
    settings = {'diagnostics.period_s': 0.1, 'diagnostics.no_image_s': 0.2}
    start_node(
        '-r', f'__ns:=/other_{words[-4:].strip()}', '-r', remap, model=TINY,
        image_transport=transport, **settings,
    )  # fmt: skip
    topic = remap.split(':=')[1]
    if words.startswith('somebody'):
        topic = '/c/compressed' if kind is CompressedImage else topic
    msg = jpeg((1, 0)) if kind is CompressedImage else image_msg(SCENE, 'rgb8', (1, 0))
    images = client.node.create_publisher(kind, topic, 10)
    reports = client.listen(DiagnosticArray, '/diagnostics')

    def is_said() -> bool:
        images.publish(msg)
        return any(words in status.message for report in reports for status in report.status)

    client.wait(is_said, words)
    client.node.destroy_publisher(images)
