# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The page's server without ROS: what it shows, what it takes, and what it refuses."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
import json
import math
import socket
import struct
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import numpy as np
import pytest

from vos_ros.datatypes import Frame, LabelMap
from vos_ros.errors import VosError
from vos_ros.page.feed import Feed, from_runs, Shot, to_runs
from vos_ros.page.server import (
    _as_runs,
    MAX_CONNECTIONS,
    MAX_MESSAGE,
    MAX_VIEWERS,
    PageServer,
)

SIZE = 60, 80
#: Not to be held by a double: its last digits would be others.
STAMP = 1_700_000_000_123_456_789


class FakeCamera:
    """A camera with one picture, which notes what it is asked for."""

    def __init__(self) -> None:
        image = np.zeros((*SIZE, 3), np.uint8)
        image[20:40, 20:50] = (200, 40, 30)
        self.frame = Frame(image, stamp_ns=STAMP)
        self.labels: LabelMap = np.zeros(SIZE, np.uint8)
        self.labels[5:10, 5:15] = 3
        self.name = 'left'
        self.prompts: list[tuple[int, LabelMap, Mapping[int, str]]] = []
        self.actions: list[tuple[str, Mapping[str, Any]]] = []
        self.viewers = 0
        self.shown = STAMP

    def current(self) -> Shot:
        return Shot(self.shown, lambda: self.frame, lambda: self.labels)

    def status(self) -> dict[str, Any]:
        return {'notices': [], 'objects': []}

    def prompt(self, shot: Shot, label_map: LabelMap, names: Mapping[int, str]) -> Future[str]:
        self.prompts.append((shot.stamp_ns, label_map, names))
        return done('sent')

    def act(self, what: str, values: Mapping[str, Any]) -> Future[str]:
        self.actions.append((what, values))
        return done(what)

    def watch(self, viewers: int) -> None:
        self.viewers = viewers


class FakeSource:
    mode = 'live'

    def __init__(self) -> None:
        self.camera = FakeCamera()

    def cameras(self) -> dict[str, FakeCamera]:
        return {'left': self.camera}


def done(text: str) -> Future[str]:
    future: Future[str] = Future()
    future.set_result(text)
    return future


class Page:
    """A client as the page is one."""

    def __init__(self, session: Any, ws: Any) -> None:
        self.session, self.ws = session, ws
        self.picture: dict[str, Any] = {}
        self.body = b''
        self.requests = 0

    async def shown(self) -> dict[str, Any]:
        while True:
            message = await self.ws.receive(timeout=20)
            if message.type == aiohttp.WSMsgType.BINARY:
                (length,) = struct.unpack_from('<I', message.data)
                self.picture = json.loads(message.data[4 : 4 + length])
                self.body = message.data[4 + length :]
                return self.picture
            assert message.type == aiohttp.WSMsgType.TEXT, message

    async def ask(self, **values: Any) -> dict[str, Any]:
        self.requests += 1
        await self.ws.send_str(json.dumps({**values, 'request': self.requests}))
        while True:
            message = await self.ws.receive(timeout=20)
            if message.type == aiohttp.WSMsgType.TEXT:
                reply: dict[str, Any] = json.loads(message.data)
                if reply['type'] == 'reply' and reply['request'] == self.requests:
                    return reply
            else:
                assert message.type == aiohttp.WSMsgType.BINARY, message


@pytest.fixture
def source() -> FakeSource:
    return FakeSource()


@pytest.fixture
def server(source: FakeSource) -> Iterator[PageServer]:
    made = PageServer(source)
    made.start()
    yield made
    made.stop()


async def look(server: PageServer, camera: str = 'left', width: int = 640, **headers: str) -> Page:
    session = aiohttp.ClientSession()
    ws = await session.ws_connect(f'{server.url}ws', headers=headers)
    page = Page(session, ws)
    await page.ws.send_str(json.dumps({'type': 'watch', 'camera': camera, 'width': width}))
    return page


async def get(url: str, **headers: str) -> tuple[int, Any, str]:
    jar = aiohttp.CookieJar(unsafe=True)
    async with (
        aiohttp.ClientSession(cookie_jar=jar) as session,
        session.get(url, headers=headers) as response,
    ):
        return response.status, response.headers, await response.text()


def mask_runs() -> list[int]:
    labels = np.zeros(SIZE, np.uint8)
    labels[20:40, 20:50] = 7
    runs = to_runs(labels)
    return [int(v) for pair in zip(runs >> 24, runs & 0xFFFFFF) for v in pair]


def test_the_page_is_served_with_its_own_content_only(server: PageServer) -> None:
    status, headers, text = asyncio.run(get(server.url))
    assert status == 200
    assert 'page.js' in text
    assert "default-src 'self'" in headers['Content-Security-Policy']
    assert asyncio.run(get(f'{server.url}static/page.js'))[0] == 200
    assert asyncio.run(get(f'{server.url}static/../server.py'))[0] == 404


def test_a_picture_has_its_stamp_as_text_and_its_labels(server: PageServer) -> None:
    async def run() -> Page:
        page = await look(server)
        await page.shown()
        await page.session.close()
        return page

    page = asyncio.run(run())
    assert page.picture['stamp'] == str(STAMP)
    assert (page.picture['ids'], page.picture['areas']) == ([3], [50])
    runs = np.frombuffer(page.body[page.picture['jpeg'] :], '<u4')
    assert int((runs & 0xFFFFFF).sum()) == SIZE[0] * SIZE[1]
    assert int((runs & 0xFFFFFF)[runs >> 24 == 1].sum()) == 50


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
def test_areas_are_counted_in_pixels_of_the_camera(
    server: PageServer, source: FakeSource, dtype: type[Any]
) -> None:
    labels: LabelMap = np.zeros((480, 640), dtype)
    labels[100:300, 200:401] = 5
    labels[0, 0] = 249 if dtype is np.uint8 else 300
    source.camera.frame = Frame(np.zeros((480, 640, 3), np.uint8))
    source.camera.labels = labels

    async def run() -> dict[str, Any]:
        page = await look(server, width=200)
        shown = await page.shown()
        await page.session.close()
        return shown

    shown = asyncio.run(run())
    assert (shown['width'], shown['shown'][0]) == (640, 200)
    assert dict(zip(shown['ids'], shown['areas'])) == {5: 200 * 201, int(labels[0, 0]): 1}


def test_cameras_that_are_triggered_together_are_not_mixed_up() -> None:
    both = {name: FakeCamera() for name in ('left', 'right')}
    for name, camera in both.items():
        camera.name = name
    both['right'].labels = both['left'].labels + 1

    class Two:
        mode = 'live'

        def cameras(self) -> dict[str, FakeCamera]:
            return both

    server = PageServer(Two())
    server.start()

    async def run() -> list[list[int]]:
        left, right = await look(server, 'left'), await look(server, 'right')
        found = [await left.shown(), await right.shown()]
        await left.ask(type='ack', sequence=1)
        await left.ask(type='watch', camera='right')
        found.append(await left.shown())
        await left.session.close()
        await right.session.close()
        return [shown['ids'] for shown in found]

    assert asyncio.run(run()) == [[3], [1, 4], [1, 4]]
    server.stop()


def test_no_picture_is_sent_before_the_last_one_is_acknowledged(
    server: PageServer, source: FakeSource
) -> None:
    async def run() -> list[int]:
        page = await look(server)
        first = await page.shown()
        for _ in range(20):  # they come meanwhile, and only the newest of them is sent
            source.camera.shown += 1
            await page.ask(type='live')
        await page.ws.send_str(json.dumps({'type': 'ack', 'sequence': first['sequence']}))
        second = await page.shown()
        await page.session.close()
        return [first['sequence'], second['sequence'], int(second['stamp']) - STAMP]

    assert asyncio.run(run()) == [1, 2, 20]


def test_a_painted_mask_arrives_pixel_by_pixel_with_its_stamp(
    server: PageServer, source: FakeSource
) -> None:
    async def run() -> list[dict[str, Any]]:
        page = await look(server)
        stamp = (await page.shown())['stamp']
        source.camera.shown += 10_000  # the camera goes on
        await page.ask(type='freeze', stamp=stamp)
        replies = [
            await page.ask(type='prompt', stamp=stamp, runs=mask_runs(), names={'7': 'cup'}),
            await page.ask(type='remove', ids=[3]),
            await page.ask(type='reset'),
        ]
        await page.session.close()
        return replies

    assert all(reply['ok'] for reply in asyncio.run(run()))
    ((stamp, labels, names),) = source.camera.prompts
    expected = np.zeros(SIZE, np.uint8)
    expected[20:40, 20:50] = 7
    assert stamp == STAMP
    assert np.array_equal(labels, expected)
    assert names == {7: 'cup'}
    assert [what for what, _ in source.camera.actions] == ['remove', 'reset']


def test_a_box_gives_the_mask_that_the_product_draws(server: PageServer) -> None:
    async def run() -> dict[str, Any]:
        page = await look(server)
        stamp = (await page.shown())['stamp']
        reply = await page.ask(type='box', stamp=stamp, box=[15, 15, 45, 32])
        await page.session.close()
        return reply

    found = from_runs(asyncio.run(run())['runs'], SIZE)
    truth = np.zeros(SIZE, bool)
    truth[20:40, 20:50] = True
    assert np.count_nonzero((found > 0) & truth) / np.count_nonzero((found > 0) | truth) > 0.9


@pytest.mark.parametrize('origin', ['http://evil.example', 'http://127.0.0.1:1', 'null'])
def test_another_origin_is_refused(server: PageServer, origin: str) -> None:
    assert asyncio.run(get(server.url, Origin=origin))[0] == 403

    async def run() -> int:
        with pytest.raises(aiohttp.WSServerHandshakeError) as failed:
            await look(server, Origin=origin)
        return int(failed.value.status)

    assert asyncio.run(run()) == 403


def test_a_foreign_name_that_leads_here_is_refused(server: PageServer) -> None:
    assert asyncio.run(get(server.url, Host='evil.example'))[0] == 403


def test_beyond_this_host_a_token_is_needed(source: FakeSource) -> None:
    server = PageServer(source, host='0.0.0.0')
    server.start()
    try:
        shown = urlsplit(server.url)
        assert shown.hostname != '0.0.0.0'  # nobody can open that on a phone
        url = server.url.replace(str(shown.hostname), '127.0.0.1')
        bare = url.partition('?')[0]
        assert '?token=' in url
        for wrong in (bare, f'{bare}?token=x', f'{bare}ws', f'{bare}static/page.js'):
            assert asyncio.run(get(wrong))[0] == 401
        status, _, text = asyncio.run(get(url))  # a redirection, which keeps it as a cookie
        assert (status, 'page.js' in text) == (200, True)
    finally:
        server.stop()


def test_what_is_no_message_is_refused_and_the_next_one_answered(
    server: PageServer, source: FakeSource
) -> None:
    junk: list[dict[str, Any]] = [
        {'type': 'prompt'},
        {'type': 'prompt', 'stamp': str(STAMP), 'runs': [1, 2]},
        {'type': 'prompt', 'stamp': str(STAMP), 'runs': [1, 10**30]},
        {'type': 'prompt', 'stamp': str(STAMP), 'runs': [0, SIZE[0] * SIZE[1]]},
        {'type': 'prompt', 'stamp': '1', 'runs': mask_runs()},
        {'type': 'prompt', 'stamp': STAMP, 'runs': mask_runs()},
        {'type': 'box', 'stamp': str(STAMP), 'box': ['a', 0, 0, 0]},
        {'type': 'box', 'stamp': str(STAMP), 'box': [1e300, 0, 1e300, 5]},
        {'type': 'find', 'stamp': str(STAMP), 'runs': [1, 5]},
        {'type': 'find', 'stamp': str(STAMP)},
        {'type': 'find', 'stamp': str(STAMP), 'runs': mask_runs(), 'box': [0, 0, 'a', 0]},
        {'type': 'find', 'stamp': str(STAMP), 'runs': mask_runs(), 'box': 7},
        {'type': 'remove', 'ids': 'all'},
        {'type': 'remove', 'ids': [-1]},
        {'type': 'shutdown'},
        {'type': 'watch', 'camera': 'none'},
        {'type': 'watch', 'camera': 'left', 'width': math.inf},
        {'type': 'ack', 'sequence': math.inf},
        {'type': 'prompt', 'stamp': str(STAMP), 'runs': mask_runs(), 'names': [1]},
        {'type': 'prompt', 'stamp': str(STAMP), 'runs': mask_runs(), 'names': 'cup'},
    ]

    async def run() -> list[bool]:
        page = await look(server)
        await page.shown()
        replies = [(await page.ask(**values))['ok'] for values in junk]
        await page.ws.send_str('{')
        await page.ws.send_str('[' * 100_000)
        await page.ask(type='watch', camera='left')
        replies.append((await page.ask(type='reset'))['ok'])
        await page.session.close()
        return replies

    *refused, answered = asyncio.run(run())
    assert refused == [False] * len(junk)
    assert answered
    assert source.camera.prompts == []


@pytest.mark.parametrize('kind', ['binary', 'huge', 'many'])
def test_a_viewer_that_floods_is_closed_and_the_others_are_served(
    server: PageServer, kind: str
) -> None:
    async def run() -> Any:
        page = await look(server)
        await page.shown()
        try:
            if kind == 'binary':
                await page.ws.send_bytes(b'\0' * 100)
            elif kind == 'huge':
                await page.ws.send_str('x' * (MAX_MESSAGE + 1))
            else:
                for _ in range(2000):
                    await page.ws.send_str('{}')
        except ConnectionError:
            pass
        while not page.ws.closed:
            message = await page.ws.receive(timeout=20)
            if message.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSE):
                break
        code = page.ws.close_code
        await page.session.close()
        other = await look(server)
        picture = await other.shown()
        await other.session.close()
        return code, picture['stamp']

    code, stamp = asyncio.run(run())
    assert code in (1008, 1009, 1006)
    assert stamp == str(STAMP)


def test_a_body_of_100_mb_is_not_taken_in(server: PageServer) -> None:
    async def chunks() -> Any:
        for _ in range(100):
            yield b'\0' * (1 << 20)

    async def run() -> int:
        async with aiohttp.ClientSession() as session:
            try:
                async with session.post(server.url, data=chunks()) as response:
                    return response.status
            except aiohttp.ClientError:
                return 405  # it hung up while we were still sending

    assert asyncio.run(run()) == 405
    assert asyncio.run(get(server.url))[0] == 200


def test_a_thousand_connections_leave_it_usable(server: PageServer) -> None:
    port = int(server.url.rsplit(':', 1)[1].strip('/'))
    held = []
    for _ in range(1000):
        made = socket.create_connection(('127.0.0.1', port), timeout=20)
        held.append(made)
    refused = 0
    for made in held[MAX_CONNECTIONS:]:
        refused += made.recv(100).startswith(b'HTTP/1.1 503')
    assert refused == 1000 - MAX_CONNECTIONS
    for made in held:
        made.close()

    async def again() -> int:
        for _ in range(200):  # until it has noticed that they are gone
            status = (await asyncio.gather(get(server.url)))[0][0]
            if status == 200:
                return status
            await asyncio.sleep(0.05)
        return status

    assert asyncio.run(again()) == 200


def test_viewers_are_limited_and_counted_for_the_camera(
    server: PageServer, source: FakeSource
) -> None:
    async def run() -> int:
        pages = [await look(server) for _ in range(MAX_VIEWERS)]
        for page in pages:
            await page.shown()
        assert source.camera.viewers == MAX_VIEWERS
        with pytest.raises(aiohttp.WSServerHandshakeError) as failed:
            await look(server)
        for page in pages:
            await page.session.close()
        for _ in range(200):
            if source.camera.viewers == 0:
                break
            await asyncio.sleep(0.05)
        return int(failed.value.status)

    assert asyncio.run(run()) == 503
    assert source.camera.viewers == 0


def test_a_port_that_is_taken_is_one_line(server: PageServer, source: FakeSource) -> None:
    port = int(server.url.rsplit(':', 1)[1].strip('/'))
    with pytest.raises(VosError, match='another port'):
        PageServer(source, port=port).start()


def test_runs_give_the_map_back_and_wrong_ones_are_refused() -> None:
    labels = np.random.default_rng(0).integers(0, 4, SIZE).astype(np.uint8)
    runs = to_runs(labels)
    pairs = [int(v) for pair in zip(runs >> 24, runs & 0xFFFFFF) for v in pair]
    assert np.array_equal(from_runs(pairs, SIZE), labels)
    for wrong in ([], [1], [1, 0], [-1, 4800], [70000, 4800], 'x', None, [[1]], [1.5, 'x']):
        with pytest.raises(VosError):
            from_runs(wrong, SIZE)


def test_an_answer_on_a_large_picture_says_where_its_object_is() -> None:
    # A run of background of more than 2^24 pixels comes before the object.
    mask = np.zeros((4200, 4200), np.uint8)
    mask[-10:-5, -10:-5] = 1
    assert (from_runs(_as_runs(mask)['runs'], mask.shape) == mask).all()


def test_the_newest_labels_come_with_their_own_image() -> None:
    feed = Feed()
    assert feed.newest() is None
    for stamp in (10, 20, 30):
        feed.put_image(stamp, f'image {stamp}', 1)
    assert feed.newest() == (30, 'image 30', None)
    feed.put_labels(20, 'labels')
    assert feed.newest() == (20, 'image 20', 'labels')
    feed.put_labels(99, 'labels of no image')
    assert feed.newest() == (20, 'image 20', 'labels')


def test_strokes_give_the_mask_that_is_sent_when_they_are_painted(server: PageServer) -> None:
    strokes = np.zeros(SIZE, np.uint8)
    strokes[30, 25:45], strokes[30, 40:45], strokes[50, 5:9] = 1, 2, 1
    flat = strokes.ravel()
    starts = np.flatnonzero(np.diff(flat, prepend=-1))
    lengths = np.diff(starts, append=flat.size)
    runs = np.stack([flat[starts], lengths], 1).ravel().tolist()

    async def run() -> tuple[dict[str, Any], dict[str, Any]]:
        page = await look(server)
        stamp = (await page.shown())['stamp']
        found = await page.ask(type='find', stamp=stamp, runs=runs)
        nothing = await page.ask(type='find', stamp=stamp, runs=[0, SIZE[0] * SIZE[1]])
        await page.session.close()
        return found, nothing

    found, nothing = asyncio.run(run())
    mask = from_runs(found['runs'], SIZE)
    assert mask[30, 25:40].all()  # without a network, as here, it is what was painted
    assert not mask[30, 40:45].any()
    assert nothing['ok'] is False
    assert 'no stroke is on the object' in nothing['text']
