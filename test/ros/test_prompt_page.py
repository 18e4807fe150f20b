# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The page's node beside a camera and a segmenter, as processes over DDS."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
import json
import os
import re
import signal
import struct
import subprocess
import sys
import threading
import time
from typing import Any

import aiohttp
import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs rclpy')

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from lifecycle_msgs.msg import Transition
from robot import image_msg, PATIENCE_S, ROOT, SCENE, to_array
from sensor_msgs.msg import Image
from std_msgs.msg import UInt16MultiArray

SHAPE = SCENE.shape[:2]


class Browser:
    """A page's WebSocket in a thread of its own: the newest picture, replies and statuses."""

    def __init__(self, url: str, pid: int) -> None:
        self.url, self.pid = url, pid
        self.pictures: list[dict[str, Any]] = []
        self.status: dict[str, Any] = {}
        self.replies: dict[int, dict[str, Any]] = {}
        self._loop = asyncio.new_event_loop()
        self._ws: Any = None
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._run(),))
        self._thread.start()
        self._requests = 0

    async def _run(self) -> None:
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f'{self.url}ws') as self._ws,
        ):
            async for message in self._ws:
                await self._hear(message)

    async def _hear(self, message: Any) -> None:
        if message.type == aiohttp.WSMsgType.BINARY:
            (length,) = struct.unpack_from('<I', message.data)
            self.pictures.append(json.loads(message.data[4 : 4 + length]))
            ack = {'type': 'ack', 'sequence': self.pictures[-1]['sequence']}
            await self._ws.send_str(json.dumps(ack))
            return
        values = json.loads(message.data)
        if values['type'] == 'status':
            self.status = values
        else:
            self.replies[values['request']] = values

    def say(self, **values: Any) -> Callable[[], Any]:
        self._requests += 1
        request = self._requests
        text = json.dumps({**values, 'request': request})
        asyncio.run_coroutine_threadsafe(self._ws.send_str(text), self._loop).result(10)
        return lambda: self.replies.get(request)

    def is_open(self) -> bool:
        return self._ws is not None

    def close(self) -> None:
        if self._ws is not None:
            asyncio.run_coroutine_threadsafe(self._ws.close(), self._loop).result(10)
        self._thread.join(10)


@pytest.fixture
def page(dds: None, tmp_path: Any) -> Iterator[Browser]:
    with started(tmp_path) as browser:
        yield browser


@contextmanager
def started(tmp_path: Any, *ros_args: str) -> Iterator[Browser]:
    log = tmp_path / 'page.txt'
    with log.open('wb') as sink:
        process = subprocess.Popen(
            [
                sys.executable,
                '-m',
                'vos_ros.page.program',
                '--ros-args',
                '-p',
                'port:=0',
                *ros_args,
            ],
            stdout=sink,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
        )
    end = time.monotonic() + PATIENCE_S
    found = None
    while found is None and process.poll() is None and time.monotonic() < end:
        found = re.search(r'open (http\S+)', log.read_text())
        time.sleep(0.05)
    assert found is not None, log.read_text()
    browser = Browser(found[1], process.pid)
    yield browser
    browser.close()
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0, log.read_text()
    assert 'Traceback' not in log.read_text()


def test_a_stroke_in_the_browser_becomes_a_tracked_object(
    client, start_node, page: Browser, tiny_model
) -> None:
    # Remapped, so that the page has to find the topics in the graph.
    start_node('-r', '__ns:=/left', '-r', 'image:=camera/raw', model=tiny_model)
    masks = client.listen(Image, '/left/init_mask')
    labels = client.listen(Image, '/left/vos/labels')
    images = client.publisher(Image, '/left/camera/raw')

    def sending(condition: Callable[[], Any], what: str) -> Any:
        def step() -> Any:
            images.publish(image_msg(SCENE, 'rgb8', client.next_stamp(), frame_id='lens'))
            client.executor.spin_once(0.02)
            return condition()

        return client.wait(step, what)

    def ask(**values: Any) -> dict[str, Any]:
        return sending(page.say(**values), f'an answer to {values["type"]}')

    def objects() -> dict[int, str]:
        return {row['id']: row['state'] for row in page.status.get('objects', ())}

    def painted(rows: slice, columns: slice, object_id: int) -> np.ndarray:
        mask = np.zeros(SHAPE, np.uint8)
        mask[rows, columns] = object_id
        return mask

    def named() -> dict[int, str]:
        return {row['id']: row['name'] for row in page.status.get('objects', ())}

    def stroke(mask: np.ndarray, name: str = '') -> tuple[int, int]:
        shown = page.pictures[-1]
        stamp = shown['stamp']
        assert ask(type='freeze', stamp=stamp)['ok']
        flat = mask.ravel()
        starts = np.concatenate(([0], np.flatnonzero(np.diff(flat)) + 1))
        lengths = np.diff(np.append(starts, flat.size))
        runs = np.stack((flat[starts].astype(int), lengths), 1).ravel().tolist()
        names = {str(mask.max()): name} if name else {}
        reply = ask(type='prompt', stamp=stamp, runs=runs, names=names)
        assert reply['ok'], reply
        return divmod(int(stamp), 1_000_000_000)

    sending(lambda: '/left/vos' in page.status.get('cameras', ()), 'the camera in the list')
    assert ask(type='watch', camera='/left/vos', width=320)['ok']
    sending(lambda: page.pictures and page.pictures[-1]['labelled'], 'a picture with labels')

    mask = painted(slice(20, 60), slice(10, 50), 3)
    stamp = stroke(mask)
    sending(lambda: masks, 'the mask')
    header = masks[-1].header
    assert (header.stamp.sec, header.stamp.nanosec) == stamp
    assert header.frame_id == 'lens'
    assert np.array_equal(to_array(masks[-1]), mask)
    sending(lambda: (to_array(labels[-1]) == 3).any(), 'the object in the labels')
    sending(lambda: 3 in page.pictures[-1]['ids'], 'the object on the page')
    sending(lambda: objects().keys() == {3}, 'the object in the list')

    odd = DiagnosticStatus(name='left/vos: objects', level=bytes([7]))
    odd.values = [
        KeyValue(key='object_3_state', value='odd'), KeyValue(key='object_3_score', value='abc'),
    ]  # fmt: skip
    reports = client.publisher(DiagnosticArray, '/diagnostics')
    sending(
        lambda: reports.publish(DiagnosticArray(status=[odd])) or objects() == {3: 'odd'},
        'what another node says of it',
    )
    sending(lambda: objects() == {3: 'tracked'}, 'what it says itself')

    again = painted(slice(50, 80), slice(70, 110), 3)
    assert stroke(again) != stamp
    sending(lambda: len(masks) == 2, 'the mask of the same object')

    assert ask(type='remove', ids=[3])['ok']
    sending(lambda: objects() == {}, 'the object to go')
    stroke(painted(slice(20, 60), slice(10, 50), 5), 'cup')
    sending(lambda: named() == {5: 'cup'}, 'another object')
    stroke(painted(slice(24, 60), slice(10, 50), 5))  # corrected; it is still the cup
    sending(lambda: len(masks) == 4, 'the correction')
    assert named() == {5: 'cup'}
    reply = ask(type='reset')
    assert reply['ok']
    assert 'forgotten' in reply['text']
    sending(lambda: objects() == {}, 'all objects to go')

    assert ask(type='enable', on=False)['ok']
    sending(lambda: page.status.get('state') == 'paused', 'the pause to be shown')
    assert any('paused' in notice['text'] for notice in page.status['notices'])
    assert ask(type='enable', on=True)['ok']

    stroke(painted(slice(20, 60), slice(10, 50), 5))  # no cup
    sending(lambda: named() == {5: ''}, 'the object without a name')
    stroke(painted(slice(24, 60), slice(10, 50), 5), 'box')
    sending(lambda: named() == {5: 'box'}, 'its name')
    remove = client.publisher(UInt16MultiArray, '/left/remove_objects')
    remove.publish(UInt16MultiArray(data=[5]))
    sending(lambda: objects() == {}, 'the object to go')
    stroke(painted(slice(20, 60), slice(10, 50), 5))
    sending(lambda: named() == {5: ''}, 'another object without its name')

    client.change_state(Transition.TRANSITION_DEACTIVATE, '/left/vos')
    client.change_state(Transition.TRANSITION_CLEANUP, '/left/vos')
    sending(lambda: page.status.get('state') == 'unconfigured', 'the clean-up')
    assert objects() == {}


def test_each_camera_of_one_trigger_has_its_own_pictures_and_objects(
    client, start_node, page: Browser, tiny_model
) -> None:
    ids = {'/port': 2, '/starboard': 7}
    images, masks, labels = {}, {}, {}
    for side in ids:
        start_node('-r', f'__ns:={side}', model=tiny_model)
        images[side] = client.publisher(Image, f'{side}/image')
        masks[side] = client.publisher(Image, f'{side}/init_mask')
        labels[side] = client.listen(Image, f'{side}/vos/labels')

    def sending(condition: Callable[[], Any], what: str, draws: bool = False) -> Any:
        def step() -> Any:
            stamp = client.next_stamp()  # the same for both
            for side, object_id in ids.items():
                if draws:
                    mask = np.zeros(SHAPE, np.uint8)
                    mask[20:60, 10:50] = object_id
                    masks[side].publish(image_msg(mask, 'mono8', stamp))
                images[side].publish(image_msg(SCENE, 'rgb8', stamp))
            client.executor.spin_once(0.02)
            return condition()

        return client.wait(step, what)

    def follows(side: str) -> bool:
        return bool(labels[side]) and bool((to_array(labels[side][-1]) == ids[side]).any())

    sending(lambda: all(map(follows, ids)), 'an object of each camera', draws=True)
    names = {f'{side}/vos' for side in ids}
    sending(lambda: names <= set(page.status.get('cameras', ())), 'both in the menu')
    for side in ('/port', '/starboard', '/port'):
        sending(page.say(type='watch', camera=f'{side}/vos'), 'an answer')
        seen = len(page.pictures) + 1  # one of the camera before may still be on its way
        sending(lambda n=seen: len(page.pictures) > n + 5, 'pictures')

        def shown(since: int = seen) -> set[int]:
            return {i for picture in page.pictures[since:] for i in picture['ids']}

        sending(shown, 'an object on them')  # where labels come late, the first have none
        assert shown() == {ids[side]}
        assert page.status['camera'] == f'{side}/vos'


def test_the_page_goes_behind_the_segmenter_where_processors_are_short(page: Browser) -> None:
    assert os.getpriority(os.PRIO_PROCESS, page.pid) > os.getpriority(os.PRIO_PROCESS, 0)


def test_a_page_lists_only_the_segmenters_that_it_was_told_of(
    client, start_node, tmp_path, tiny_model
) -> None:
    for namespace in ('/told', '/untold'):
        start_node('-r', f'__ns:={namespace}', model=tiny_model)

    def both_are_in_the_graph() -> bool:
        names = {name for name, _ in client.node.get_service_names_and_types()}
        return {'/told/vos/change_state', '/untold/vos/change_state'} <= names

    with started(tmp_path, '-p', "segmenters:=['/told/vos', '/nowhere/vos']") as page:
        client.wait(lambda: page.status.get('cameras'), 'a camera')
        client.wait(both_are_in_the_graph, 'both segmenters in the graph')
        client.spin(2.5)  # the page looks every second
        assert list(page.status['cameras']) == ['/told/vos']


def test_a_silent_camera_is_named_with_the_reason(client, start_node, page: Browser, tiny_model):
    start_node('-r', '__ns:=/dark', model=tiny_model)
    client.wait(lambda: '/dark/vos' in page.status.get('cameras', ()), 'the camera in the list')
    page.say(type='watch', camera='/dark/vos')
    found = client.wait(
        # The newest status may still be of the camera of the test before, which is silent, too.
        lambda: [
            n
            for n in page.status.get('notices', ())
            if 'no image' in n['text'] and '/dark/' in n['text']
        ],
        'the silence to be said',
    )
    assert any('nobody publishes' in n['text'] or '/dark/image' in n['text'] for n in found)
    assert {n['level'] for n in found} == {'error'}
