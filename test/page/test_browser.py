# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The page in a real browser, on a clip: paint, keep, run, undo, box; skipped without chromium."""

from __future__ import annotations

from collections.abc import Iterator
import os
from pathlib import Path
import shutil
from typing import Any

import cv2
import numpy as np
import pytest

playwright = pytest.importorskip('playwright.sync_api', reason='needs playwright')

from vos_ros.engine.prompter import Prompter  # noqa: E402
from vos_ros.engine.segmenter import VideoSegmenter  # noqa: E402
from vos_ros.formats.label_png import read_label_png  # noqa: E402
from vos_ros.page.clip import Clip  # noqa: E402
from vos_ros.page.server import PageServer  # noqa: E402
from vos_ros.sequences import FolderSequence  # noqa: E402

TINY = Path(__file__).parents[1] / 'data' / 'tiny'
expect = playwright.expect
CHROMIUM = shutil.which('chromium') or shutil.which('chromium-browser')
HEIGHT, WIDTH = 240, 320

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(CHROMIUM is None, reason='needs a chromium of the system'),
]


@pytest.fixture(scope='module')
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        made = started.chromium.launch(executable_path=CHROMIUM, args=['--no-sandbox'])
        yield made
        made.close()


@pytest.fixture
def clip(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Serve a clip of a red square on green; give the address and the mask's path."""
    folder = tmp_path / 'frames'
    folder.mkdir()
    for number in range(4):
        picture = np.full((HEIGHT, WIDTH, 3), (60, 150, 60), np.uint8)
        picture += np.random.default_rng(number).integers(0, 20, picture.shape, np.uint8)
        picture[80:160, 120 + number : 200 + number] = (40, 40, 210)
        cv2.imwrite(str(folder / f'{number}.png'), picture)
    path = tmp_path / 'first.png'
    made = Clip(FolderSequence(folder), path, lambda _: VideoSegmenter.open(TINY))
    server = PageServer(made, prompter=Prompter.open())
    server.start()
    yield server.url, path
    made.stop()
    server.stop()


def open_page(browser: Any, url: str, width: int, height: int) -> tuple[Any, list[str]]:
    page = browser.new_page(viewport={'width': width, 'height': height})
    problems: list[str] = []
    page.on('pageerror', lambda error: problems.append(str(error)))
    page.on('console', lambda m: problems.append(m.text) if m.type == 'error' else None)
    page.goto(url)
    page.wait_for_selector('#view:not([hidden])', timeout=30_000)
    return page, problems


def drag(page: Any, *places: tuple[float, float]) -> None:
    """Draw through places of the camera's image, px."""
    box = page.locator('#view').bounding_box()
    assert box is not None
    at = [(box['x'] + x / WIDTH * box['width'], box['y'] + y / HEIGHT * box['height'])
          for x, y in places]  # fmt: skip
    page.mouse.move(*at[0])
    page.mouse.down()
    for one in at:
        page.mouse.move(*one, steps=5)
    page.mouse.up()


def shoot(page: Any, name: str) -> None:
    """Keep a picture of the page, for people, where they ask for it."""
    folder = os.environ.get('VOS_SCREENSHOTS')
    if folder:
        page.screenshot(path=f'{folder}/{name}.png')


@pytest.mark.parametrize('size', [(640, 480), (1920, 1080), (390, 844)], ids=str)
def test_a_stroke_becomes_the_mask_that_was_painted(
    browser: Any, clip: tuple[str, Path], size: tuple[int, int]
) -> None:
    url, path = clip
    page, problems = open_page(browser, url, *size)
    drag(page, (130, 90), (190, 90), (190, 150), (130, 150), (130, 110), (180, 110), (160, 130))
    shoot(page, f'painted_{size[0]}')
    assert page.locator('#mode').inner_text().startswith('FROZEN')
    page.keyboard.press('Enter')
    page.wait_for_selector('#objects tr', timeout=30_000)
    painted = read_label_png(path)
    assert painted.shape == (HEIGHT, WIDTH)
    assert set(np.unique(painted)) == {0, 1}
    assert painted[90, 130:190].all()
    assert not painted[:70].any()
    assert not painted[:, 215:].any()
    page.locator('#run').click()
    expect(page.locator('#state')).to_contain_text('result', timeout=60_000)
    visible = page.evaluate('() => document.documentElement.scrollWidth <= window.innerWidth')
    assert visible
    assert problems == []
    page.close()


def test_a_box_is_filled_by_its_colours_and_can_be_undone(
    browser: Any, clip: tuple[str, Path]
) -> None:
    url, path = clip
    page, problems = open_page(browser, url, 1280, 800)
    page.keyboard.press('x')
    drag(page, (105, 65), (215, 175))
    expect(page.locator('#track')).to_be_enabled(timeout=30_000)
    page.keyboard.press('Control+z')
    expect(page.locator('#track')).to_be_disabled(timeout=30_000)
    drag(page, (105, 65), (215, 175))
    expect(page.locator('#track')).to_be_enabled(timeout=30_000)
    page.keyboard.press('Enter')
    page.wait_for_selector('#objects tr', timeout=30_000)
    truth = np.zeros((HEIGHT, WIDTH), bool)
    truth[80:160, 120:200] = True
    found = read_label_png(path) > 0
    assert np.count_nonzero(found & truth) / np.count_nonzero(found | truth) > 0.95
    page.locator('#objects button').nth(1).click()
    expect(page.locator('#objects tr')).to_have_count(0, timeout=30_000)
    assert problems == []
    page.close()


def test_a_stroke_of_find_shows_the_object_before_it_is_sent(
    browser: Any, clip: tuple[str, Path]
) -> None:
    url, path = clip
    page, problems = open_page(browser, url, 1280, 800)
    page.keyboard.press('f')
    drag(page, (140, 100), (180, 140))
    expect(page.locator('#track')).to_be_enabled(timeout=30_000)
    shoot(page, 'found')
    page.keyboard.press('g')
    drag(page, (60, 40), (60, 60))
    page.keyboard.press('Enter')
    page.wait_for_selector('#objects tr', timeout=30_000)
    truth = np.zeros((HEIGHT, WIDTH), bool)
    truth[80:160, 120:200] = True
    found = read_label_png(path) > 0
    assert np.count_nonzero(found & truth) / np.count_nonzero(found | truth) > 0.85
    assert not found[40:60, 60].any()
    assert problems == []
    page.close()
