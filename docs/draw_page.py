# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Take docs/images/prompt_page.webp: the page on the clip of `vos demo`, in the system's chromium.

.venv/bin/python docs/draw_page.py
"""

from pathlib import Path
import shutil
import sys
import tempfile

import cv2
import numpy as np
from playwright.sync_api import expect, Page, sync_playwright

from vos_ros.engine.segmenter import VideoSegmenter
from vos_ros.formats.label_png import read_label_png
from vos_ros.harness.clip import ASTRONAUT, CUP, write_clip
from vos_ros.page.clip import Clip
from vos_ros.page.server import PageServer
from vos_ros.sequences import FolderSequence

SIZE = {'width': 1180, 'height': 664}
NAMES = {CUP: 'cup', ASTRONAUT: 'astronaut'}
#: How many frames of the clip are used.
FRAMES = 60


def mark(page: Page, name: str, box: tuple[int, ...], size: tuple[int, int]) -> None:
    """
    Draw a box around an object with the mouse and keep what is found in it.

    :param box: x, y, width, height on the image, px.
    :param size: height and width of the image, px.
    """
    canvas = page.locator('#view').bounding_box()
    assert canvas is not None
    scale = canvas['width'] / size[1]
    x, y, width, height = box
    page.keyboard.press('x')
    page.mouse.move(canvas['x'] + scale * (x - 4), canvas['y'] + scale * (y - 4))
    page.mouse.down()
    end = canvas['x'] + scale * (x + width + 4), canvas['y'] + scale * (y + height + 4)
    page.mouse.move(*end, steps=4)
    page.mouse.up()
    expect(page.locator('#track')).to_be_enabled(timeout=30_000)
    page.locator('#name').fill(name)
    page.locator('#track').click()
    expect(page.locator('#objects')).to_contain_text(name, timeout=30_000)


def main() -> None:
    """Mark both objects by boxes around their true outlines, run, and take the picture."""
    out = Path(sys.argv[1] if len(sys.argv) > 1 else 'docs/images/prompt_page.webp')
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip_name = write_clip(folder, FRAMES)
        truth = read_label_png(folder / 'Annotations/480p' / clip_name / '00000.png')
        frames = FolderSequence(folder / 'JPEGImages/480p' / clip_name)
        clip = Clip(frames, folder / 'first.png', lambda _: VideoSegmenter.open())
        server = PageServer(clip)
        server.start()
        with sync_playwright() as started:
            browser = started.chromium.launch(
                executable_path=shutil.which('chromium'), args=['--no-sandbox']
            )
            page = browser.new_page(viewport=SIZE)
            page.goto(server.url)
            page.wait_for_selector('#view:not([hidden])')
            for object_id, known in NAMES.items():
                box = cv2.boundingRect((truth == object_id).astype(np.uint8))
                mark(page, known, tuple(box), truth.shape)
            page.keyboard.press('b')
            page.locator('#run').click()
            expect(page.locator('#state')).to_contain_text('result', timeout=120_000)
            page.wait_for_timeout(4000)  # the messages of before have gone
            page.screenshot(path=str(folder / 'page.png'))
            browser.close()
        clip.stop()
        server.stop()
        picture = cv2.imread(str(folder / 'page.png'))
        cv2.imwrite(str(out), picture, [cv2.IMWRITE_WEBP_QUALITY, 82])
    print(f'{out}: {out.stat().st_size // 1024} KB')


if __name__ == '__main__':
    main()
