# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The page's web server: one static page and a WebSocket, in a thread of its own.

It trusts nobody: where it listens on more than this host, a token is needed; a page of another
origin gets nothing; messages, their rate and connections are bounded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
import contextlib
from dataclasses import dataclass, field
import hmac
import ipaddress
import json
import logging
from pathlib import Path
import secrets
import socket
import struct
import threading
import time
from typing import Any, cast, NamedTuple
from urllib.parse import urlsplit

from aiohttp import web, WSMsgType
import cv2
import numpy as np
import numpy.typing as npt

from vos_ros.datatypes import Frame, LabelMap
from vos_ros.engine.prompter import Prompter
from vos_ros.errors import VosError
from vos_ros.formats.boxes import Box
from vos_ros.formats.marks import Marks
from vos_ros.formats.masks import ids_in, Reading, reading_of
from vos_ros.page.feed import Camera, from_runs, runs_of, Shot, Source, to_ids, to_runs

_LOGGER = logging.getLogger(__name__)

STATIC = Path(__file__).resolve().parent / 'static'
#: Longest message of a viewer, bytes; a mask of 1080 rows painted by hand takes some 50 KB.
MAX_MESSAGE = 1 << 20
#: Connections of all kinds, and viewers among them.
MAX_CONNECTIONS, MAX_VIEWERS = 64, 8
#: A connection that has not asked for anything by then, s, is closed.
_PATIENCE_S = 10.0
#: Until a connection is in aiohttp's own list, s.
_SETTLE_S = 0.5
#: Messages of one viewer: so many per second, and at once.
_MESSAGES_PER_S, _BURST = 60.0, 120.0
_STATUS_S = 0.5
#: Widest picture that is sent, px, and its quality.
_MAX_WIDTH, _QUALITY = 1280, 80
#: Without an answer for so long, a picture is taken as lost and the next one sent, s.
_ACK_S = 5.0
_LONGEST_NAME = 64
_HEADERS = {
    'Content-Security-Policy': "default-src 'self'; img-src 'self' blob: data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    'X-Content-Type-Options': 'nosniff',
    'Referrer-Policy': 'no-referrer',
    'Cache-Control': 'no-store',
}


@dataclass(eq=False)
class _Viewer:
    """One open page."""

    socket: web.WebSocketResponse
    camera: Camera | None = None
    width: int = _MAX_WIDTH
    sequence: int = 0
    acked: int = 0
    sent_at: float = 0.0
    shots: list[Shot] = field(default_factory=list)  # the last two that were sent
    frozen: Shot | None = None
    tokens: float = _BURST
    counted_at: float = field(default_factory=time.monotonic)

    def may_speak(self) -> bool:
        """Count a message; False = there are too many."""
        now = time.monotonic()
        gained = (now - self.counted_at) * _MESSAGES_PER_S
        self.tokens = min(_BURST, self.tokens + gained) - 1
        self.counted_at = now
        return self.tokens > 0

    def shot(self, stamp: Any) -> Shot:
        """Find a picture that this page was shown, by its stamp as text."""
        known = [*self.shots, *([self.frozen] if self.frozen is not None else [])]
        for shot in known:
            if str(shot.stamp_ns) == stamp:
                return shot
        raise VosError('that picture is gone; take a new one')


class _Key(NamedTuple):
    """What makes a picture another one than that before."""

    camera: str
    stamp_ns: int
    is_labelled: bool
    width: int

    @classmethod
    def of(cls, camera: Camera, shot: Shot, width: int) -> _Key:
        """Return that of a shot as it is drawn for a viewer."""
        return cls(camera.name, shot.stamp_ns, shot.read_labels is not None, width)


class _Full(asyncio.Protocol):
    """Answers a connection that is one too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(
            b'HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n'
        )
        transport.close()


class PageServer:
    """
    Serves the page of a source until it is stopped.

    :param source: what is shown.
    :param host: to listen on; beyond loopback, a token is needed.
    :param port: 0 = any that is free.
    :param token: '' = a random one.
    :param max_rate_hz: most pictures per second and viewer.
    :param prompter: finds what boxes and strokes mean; None = GrabCut.
    """

    def __init__(
        self,
        source: Source,
        host: str = '127.0.0.1',
        port: int = 0,
        token: str = '',
        max_rate_hz: float = 10.0,
        prompter: Prompter | None = None,
    ) -> None:
        self._source, self._host, self._port = source, host, port
        self._is_local = is_loopback(host)
        self._token = token or secrets.token_urlsafe(16)
        self._period_s = 1.0 / max_rate_hz
        self._viewers: set[_Viewer] = set()
        self._silent: set[Any] = set()  # connections that have not asked for anything yet
        self._prompter = prompter or Prompter(None)
        self._drawer = ThreadPoolExecutor(1, 'vos_page_draw')
        self._finder = ThreadPoolExecutor(1, 'vos_page_find')  # pictures do not wait for it
        self._drawn: tuple[_Key, bytes, dict[str, Any]] | None = None
        self._loop = asyncio.new_event_loop()
        self._thread: threading.Thread | None = None
        self._server: asyncio.AbstractServer | None = None
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """Where the page is, with the token where one is needed."""
        host = _reachable(self._host)
        host = f'[{host}]' if ':' in host else host
        query = '' if self._is_local else f'?token={self._token}'
        return f'http://{host}:{self._port}/{query}'

    def start(self) -> None:
        """
        Listen, and serve from a thread of its own.

        :raises VosError: the address cannot be had.
        """
        self._thread = threading.Thread(target=self._loop.run_forever, name='vos_page')
        self._thread.daemon = True
        self._thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()
        except OSError as error:
            self.stop()
            is_name = isinstance(error, socket.gaierror)
            raise VosError(
                f'cannot listen on {self._host}:{self._port}: {error.strerror or error}; choose '
                f'{"an address of this machine as the host" if is_name else "another port"}'
            ) from error

    def wait(self) -> None:
        """Serve until interrupted."""
        threading.Event().wait()

    def stop(self) -> None:
        """Close all connections and end the thread."""
        if self._thread is None:
            return
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(5.0)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5.0)
        self._thread = None
        self._drawer.shutdown(wait=False, cancel_futures=True)
        self._finder.shutdown(wait=False, cancel_futures=True)

    def make_app(self) -> web.Application:
        """Make the application; tests serve it themselves."""
        app = web.Application(client_max_size=1 << 16, middlewares=[self._check])
        app.router.add_get('/', self._index)
        app.router.add_get('/ws', self._socket)
        app.router.add_static('/static', STATIC)
        return app

    async def _listen(self) -> None:
        self._runner = web.AppRunner(self.make_app(), access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        web_server = self._runner.server
        assert web_server is not None

        # A burst is accepted before aiohttp has counted any of it.
        recent: set[Any] = set()

        def protocol() -> asyncio.Protocol:
            if len(recent.union(web_server.connections)) >= MAX_CONNECTIONS:
                return _Full()
            made = web_server()
            self._silent.add(made)
            recent.add(made)
            self._loop.call_later(_SETTLE_S, recent.discard, made)
            self._loop.call_later(_PATIENCE_S, self._drop_silent, made)
            return made

        self._server = await self._loop.create_server(protocol, self._host, self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    def _drop_silent(self, made: Any) -> None:
        if made in self._silent and made.transport is not None:
            made.transport.abort()
        self._silent.discard(made)

    async def _close(self) -> None:
        for viewer in list(self._viewers):
            with contextlib.suppress(Exception):
                await asyncio.wait_for(viewer.socket.close(code=1001), 1.0)
        if self._server is not None:
            self._server.close()
        if self._runner is not None:
            await self._runner.cleanup()

    @web.middleware
    async def _check(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Refuse who may not see the page; nothing else is looked at before."""
        self._silent.discard(request.protocol)
        refusal = self._refusal(request)
        if refusal is not None:
            refusal.headers.update(_HEADERS)
            return refusal
        given = request.query.get('token')
        if given is not None:  # out of the address line, where others may read it
            response: web.StreamResponse = web.HTTPFound('/')
            response.set_cookie(self._cookie, given, httponly=True, samesite='Strict')
        else:
            try:
                response = await handler(request)
            except web.HTTPException as error:
                response = error
        if not response.prepared:
            response.headers.update(_HEADERS)
        return response

    @property
    def _cookie(self) -> str:
        return f'vos_page_{self._port}'

    def _refusal(self, request: web.Request) -> web.Response | None:
        host = urlsplit(f'//{request.host}').hostname or ''
        # A name of somebody else's that leads here (DNS rebinding) is no name of this host.
        if self._is_local and not is_loopback(host):
            return web.Response(status=403, text='this page is for 127.0.0.1 and localhost only')
        origin = request.headers.get('Origin')
        if origin is not None and urlsplit(origin).netloc != request.host:
            return web.Response(status=403, text='a page of another origin may not use this one')
        if not self._is_local:
            given = request.query.get('token') or request.cookies.get(self._cookie, '')
            if not hmac.compare_digest(given.encode(), self._token.encode()):
                return web.Response(
                    status=401, text='open the address with ?token=..., as the program printed it'
                )
        return None

    async def _index(self, _request: web.Request) -> web.StreamResponse:
        return web.FileResponse(STATIC / 'index.html')

    # Viewers

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        if len(self._viewers) >= MAX_VIEWERS:
            return web.Response(status=503, text=f'{MAX_VIEWERS} pages are open; close one')
        socket = web.WebSocketResponse(max_msg_size=MAX_MESSAGE, heartbeat=20.0, compress=False)
        viewer = _Viewer(socket)
        self._viewers.add(viewer)
        tasks: list[asyncio.Task[None]] = []
        try:
            await socket.prepare(request)
            tasks += [
                asyncio.ensure_future(job(viewer))
                for job in (self._send_shots, self._send_statuses)
            ]
            async for message in socket:
                if message.type != WSMsgType.TEXT or not viewer.may_speak():
                    reason = b'too many messages' if viewer.tokens <= 0 else b'text is expected'
                    await socket.close(code=1008, message=reason)
                    break
                await self._receive(viewer, message.data)
        finally:
            self._viewers.discard(viewer)
            for task in tasks:
                task.cancel()
            self._report_watched(viewer.camera)
        return socket

    async def _receive(self, viewer: _Viewer, text: str) -> None:
        request: Any = None
        try:
            values = json.loads(text)
            if not isinstance(values, dict):
                raise VosError('a message is a JSON object')
            request = values.get('request')
            reply = await self._do(viewer, values)
        except Exception as error:  # of one message: the page goes on
            line = str(error) if isinstance(error, VosError) else 'this message is not understood'
            await self._send(viewer, type='reply', request=request, ok=False, text=line)
            return
        if request is not None:
            await self._send(viewer, type='reply', request=request, ok=True, **reply)

    async def _do(self, viewer: _Viewer, values: dict[str, Any]) -> dict[str, Any]:
        what = values.get('type')
        if what == 'ack':
            viewer.acked = int(values['sequence'])
            return {}
        if what == 'watch':
            self._watch(viewer, str(values['camera']), int(values.get('width', _MAX_WIDTH)))
            await self._send_status(viewer)
            return {}
        camera = viewer.camera
        if camera is None:
            raise VosError('no camera is chosen')
        if what == 'freeze':
            viewer.frozen = viewer.shot(values['stamp'])
            return {}
        if what == 'live':
            viewer.frozen = None
            return {}
        if what in ('box', 'find'):
            shot = viewer.shot(values['stamp'])
            find = self._find_in_box if what == 'box' else self._find_under_strokes
            return dict(await self._loop_of().run_in_executor(self._finder, find, shot, values))
        if what == 'prompt':
            shot = viewer.shot(values['stamp'])
            labels, names = await self._in_drawer(_read_prompt, shot, values)
            return {'text': await _answer(camera.prompt(shot, labels, names))}
        if what == 'remove':
            to_ids(values['ids'])
        if what not in ('remove', 'reset', 'enable', 'run', 'first'):
            raise VosError('this message is not understood')
        return {'text': await _answer(camera.act(what, values))}

    async def _in_drawer(self, job: Callable[..., Any], *args: Any) -> Any:
        return await self._loop_of().run_in_executor(self._drawer, job, *args)

    @staticmethod
    def _loop_of() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    def _find_in_box(self, shot: Shot, values: dict[str, Any]) -> dict[str, Any]:
        return _as_runs(self._prompter.find(shot.read_frame(), _read_box(values['box'])))

    def _find_under_strokes(self, shot: Shot, values: dict[str, Any]) -> dict[str, Any]:
        """
        Find what strokes mean: in the runs, 1 is on the object and 2 is beside it.

        Where the object was boxed, they correct what is in the box.
        """
        frame = shot.read_frame()
        drawn = from_runs(values['runs'], frame.size)
        box = None if values.get('box') is None else _read_box(values['box'])
        marks = Marks((drawn == 1).astype(np.uint8), (drawn == 2).astype(np.uint8), box)
        return _as_runs(self._prompter.find(frame, marks))

    def _watch(self, viewer: _Viewer, name: str, width: int) -> None:
        before, viewer.camera = viewer.camera, self._source.cameras().get(name)
        viewer.width = min(max(width, 160), _MAX_WIDTH)
        viewer.frozen = None
        viewer.shots.clear()
        self._report_watched(before)
        self._report_watched(viewer.camera)
        if viewer.camera is None:
            raise VosError(f'there is no camera {name[:_LONGEST_NAME]!r} (any more)')

    def _report_watched(self, camera: Camera | None) -> None:
        if camera is not None:
            camera.watch(sum(viewer.camera is camera for viewer in self._viewers))

    async def _send(self, viewer: _Viewer, **values: Any) -> None:
        with contextlib.suppress(ConnectionError, RuntimeError):
            await viewer.socket.send_str(json.dumps(values))

    async def _send_statuses(self, viewer: _Viewer) -> None:
        said = ''
        while not viewer.socket.closed:
            try:
                await self._send_status(viewer)
            except Exception as error:  # the next one may be in order
                if str(error) != said:
                    _LOGGER.warning('the page has no status to show: %s', error)
                said = str(error)
            await asyncio.sleep(_STATUS_S)

    async def _send_status(self, viewer: _Viewer) -> None:
        status = viewer.camera.status() if viewer.camera is not None else {}
        await self._send(
            viewer,
            type='status',
            mode=self._source.mode,
            cameras=sorted(self._source.cameras()),
            finds=self._prompter.has_network,
            **status,
        )

    async def _send_shots(self, viewer: _Viewer) -> None:
        """Send the newest picture whenever the one before has been seen."""
        last: _Key | None = None
        due = time.monotonic()
        while not viewer.socket.closed:
            camera = viewer.camera
            is_free = viewer.acked >= viewer.sequence or (
                time.monotonic() - viewer.sent_at > _ACK_S
            )
            shot = camera.current() if camera is not None and is_free else None
            # Cameras that are triggered together have the same stamps.
            key = None if camera is None or shot is None else _Key.of(camera, shot, viewer.width)
            if shot is None or key is None or key == last:
                await asyncio.sleep(0.01)
                continue
            last = key
            # A picture that came late does not delay the next: so many a second is the mean.
            due = max(due, time.monotonic() - self._period_s) + self._period_s
            try:
                body, head = await self._in_drawer(self._draw, shot, key)
            except VosError:  # the diagnostics of the node say what is wrong with its images
                await asyncio.sleep(self._period_s)
                continue
            if viewer.camera is not camera:
                continue
            viewer.sequence += 1
            viewer.sent_at = time.monotonic()
            viewer.shots = [*viewer.shots[-1:], shot]
            text = json.dumps({**head, 'sequence': viewer.sequence}).encode()
            with contextlib.suppress(ConnectionError, RuntimeError):
                await viewer.socket.send_bytes(struct.pack('<I', len(text)) + text + body)
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    def _draw(self, shot: Shot, key: _Key) -> tuple[bytes, dict[str, Any]]:
        """Make the bytes of a picture: jpeg, then runs of its labels; once for all viewers."""
        drawn = self._drawn
        if drawn is not None and drawn[0] == key:
            return drawn[1], drawn[2]
        frame = shot.read_frame()
        rows, columns = frame.size
        scale = min(1.0, key.width / columns, 2.0 * key.width / rows)
        size = max(1, round(columns * scale)), max(1, round(rows * scale))
        jpeg = _jpeg_of(frame, size)
        ids: tuple[int, ...] = ()
        areas: list[int] = []
        runs = b''
        if shot.read_labels is not None:
            labels = shot.read_labels()
            # float32 counts exactly up to 2^24; numpy's own count takes twice as long.
            most = 1 << 8 * labels.itemsize
            counts = cv2.calcHist([labels], [0], None, [most], [0, most]).ravel()
            ids = tuple(int(i) for i in np.flatnonzero(counts) if i)[:255]
            areas = [int(counts[i]) for i in ids]
            index = np.zeros(most, np.uint8)
            index[list(ids)] = np.arange(1, len(ids) + 1)
            small = cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST)
            runs = to_runs(index[small]).tobytes()
        head = {
            'type': 'picture',
            'stamp': str(shot.stamp_ns),
            'width': columns,
            'height': rows,
            'shown': size,
            'jpeg': len(jpeg),
            'labelled': shot.read_labels is not None,
            'ids': ids,
            'areas': areas,
        }
        body = jpeg.tobytes() + runs
        self._drawn = key, body, head
        return body, head


def _jpeg_of(frame: Frame, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """
    Encode a frame.

    :param size: width and height of the picture, px.
    """
    image: Any = np.ascontiguousarray(frame.image)
    if size != frame.size[::-1]:  # first: what comes after is of fewer pixels
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    if frame.encoding == 'rgb8':
        image = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    _, jpeg = cv2.imencode('.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return cast('npt.NDArray[np.uint8]', jpeg)


def _as_runs(mask: LabelMap) -> dict[str, Any]:
    """Write a mask as the page reads it: [0 or 1, length, ...]."""
    # Of the camera's size: a run may be longer than 24 bits can say.
    return {'runs': np.stack(runs_of(mask), axis=1).ravel().tolist()}


def _read_box(values: Any) -> Box:
    x, y, width, height = (float(v) for v in values)
    return Box(x + (width - 1) / 2, y + (height - 1) / 2, width, height)


def _read_prompt(shot: Shot, values: dict[str, Any]) -> tuple[Any, dict[int, str]]:
    labels = from_runs(values['runs'], shot.read_frame().size)
    reading = reading_of(labels)
    if reading is Reading.EMPTY:
        raise VosError('nothing is painted yet')
    if reading is not Reading.IDS:
        raise VosError('these ids would be taken for shades of one object; use ids below 250')
    given = values.get('names') or {}
    names = {int(i): str(name)[:_LONGEST_NAME] for i, name in given.items()}
    return labels, {i: name for i, name in names.items() if i in ids_in(labels)}


async def _answer(future: Any) -> str:
    try:
        return str(await asyncio.wait_for(asyncio.wrap_future(future), 5.0))
    except asyncio.TimeoutError:
        raise VosError('no answer within 5 s') from None


def _reachable(host: str) -> str:
    """Return the address that others can open, where it listens on all that there are."""
    if host not in ('0.0.0.0', '::'):
        return host
    family, far = (
        (socket.AF_INET6, '2001:db8::1') if ':' in host else (socket.AF_INET, '192.0.2.1')
    )
    # Which interface leads outside; a datagram socket that is connected sends nothing.
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((far, 9))
        return str(probe.getsockname()[0])
    return socket.gethostname()


def is_loopback(host: str) -> bool:
    """
    Return whether an address reaches no further than this host.

    :param host: a name or an address.
    """
    if host == 'localhost':
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
