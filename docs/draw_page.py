# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Take docs/images/prompt_page.webp: the page on the clip of `vos demo`, in the system's chromium.

.venv/bin/python docs/draw_page.py
"""

from collections.abc import Sequence
from pathlib import Path
import shutil
import sys
import tempfile

import cv2
import numpy as np
from playwright.sync_api import expect, Page, sync_playwright

from vos_ros.engine.prompter import Prompter
from vos_ros.engine.segmenter import VideoSegmenter
from vos_ros.formats.label_png import read_label_png
from vos_ros.harness.clip import CUP, write_clip
from vos_ros.page.clip import Clip
from vos_ros.page.server import PageServer
from vos_ros.sequences import FolderSequence

SIZE = {'width': 1180, 'height': 664}
#: How many frames of the clip are used.
FRAMES = 60
#: Over the astronaut and over the helmet in her arm, px of the image.
STROKES = (
    ((490, 230), (495, 290), (490, 350), (430, 380), (400, 450), (480, 440), (545, 400)),
    ((545, 400), (560, 460), (560, 440), (590, 420), (610, 460)),
)


def drag(page: Page, places: Sequence[tuple[float, float]], size: tuple[int, int]) -> None:
    """
    Draw with the mouse.

    :param places: on the image, px.
    :param size: height and width of the image, px.
    """
    canvas = page.locator('#view').bounding_box()
    assert canvas is not None
    scale = canvas['width'] / size[1]
    at = [(canvas['x'] + scale * x, canvas['y'] + scale * y) for x, y in places]
    page.mouse.move(*at[0])
    page.mouse.down()
    for place in at[1:]:
        page.mouse.move(*place, steps=4)
    page.mouse.up()


def keep(page: Page, name: str) -> None:
    """Name what was found and keep it."""
    expect(page.locator('#track')).to_be_enabled(timeout=30_000)
    page.locator('#name').fill(name)
    page.locator('#track').click()
    expect(page.locator('#objects')).to_contain_text(name, timeout=30_000)


def main() -> None:
    """Mark the cup by a box and the astronaut by two strokes, run, and take the picture."""
    out = Path(sys.argv[1] if len(sys.argv) > 1 else 'docs/images/prompt_page.webp')
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip_name = write_clip(folder, FRAMES)
        truth = read_label_png(folder / 'Annotations/480p' / clip_name / '00000.png')
        frames = FolderSequence(folder / 'JPEGImages/480p' / clip_name)
        clip = Clip(frames, folder / 'first.png', lambda _: VideoSegmenter.open())
        server = PageServer(clip, prompter=Prompter.open())
        server.start()
        with sync_playwright() as started:
            browser = started.chromium.launch(
                executable_path=shutil.which('chromium'), args=['--no-sandbox']
            )
            page = browser.new_page(viewport=SIZE)
            page.goto(server.url)
            page.wait_for_selector('#view:not([hidden])')
            x, y, width, height = cv2.boundingRect((truth == CUP).astype(np.uint8))
            page.keyboard.press('x')
            drag(page, [(x - 4, y - 4), (x + width + 4, y + height + 4)], truth.shape)
            keep(page, 'cup')
            page.keyboard.press('f')
            for stroke in STROKES:
                drag(page, stroke, truth.shape)
            keep(page, 'astronaut')
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
