# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Who looks at the page, in a process of its own: commands on stdin, a number for each answer."""

from __future__ import annotations

import asyncio
import json
import shutil
import struct
import sys

#: Of the browser's window, px.
_SIZE = {'width': 1280, 'height': 800}
#: Width of the page that is no picture, px.
_PANEL = 300


def in_browser(url: str) -> None:
    """Open and close the page in the system's chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path=shutil.which('chromium') or shutil.which('chromium-browser'),
            args=['--no-sandbox'],
        )
        page = browser.new_page(viewport=_SIZE)
        for line in sys.stdin:
            what, count = line.strip(), 0
            if what == 'open':
                page.goto(url)
                page.wait_for_function('() => picture !== null', timeout=60_000)
            if what == 'closed':
                page.goto('about:blank')
            if what in ('open', 'count'):
                count = page.evaluate('() => picture.sequence')
            print(count, flush=True)


async def by_socket(url: str) -> None:
    """Take and acknowledge all pictures, and draw none."""
    import aiohttp

    loop, pictures = asyncio.get_running_loop(), 0
    job: asyncio.Task[None] | None = None

    async def look() -> None:
        nonlocal pictures
        async with aiohttp.ClientSession() as session, session.ws_connect(f'{url}ws') as ws:
            watch = {
                'type': 'watch',
                'camera': '/vos',
                'width': 980,
            }  # what is left of it for the picture
            await ws.send_str(json.dumps(watch))
            async for message in ws:
                if message.type == aiohttp.WSMsgType.BINARY:
                    (length,) = struct.unpack_from('<I', message.data)
                    head = json.loads(message.data[4 : 4 + length])
                    pictures += 1
                    await ws.send_str(json.dumps({'type': 'ack', 'sequence': head['sequence']}))

    while line := await loop.run_in_executor(None, sys.stdin.readline):
        what = line.strip()
        if what == 'open' and job is None:
            pictures, job = 0, asyncio.create_task(look())
            while not pictures:
                await asyncio.sleep(0.05)
        if what == 'closed' and job is not None:
            job.cancel()
            job = None
        print(pictures, flush=True)


if __name__ == '__main__':
    if sys.argv[1] == 'browser':
        in_browser(sys.argv[2])
    else:
        asyncio.run(by_socket(sys.argv[2]))
