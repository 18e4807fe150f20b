# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The page in a real browser: a clip, and cameras in a menu; mouse, keys and fingers.

Skipped without a chromium of the system.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import Future
import os
from pathlib import Path
import shutil
from typing import Any

import cv2
import numpy as np
import pytest

playwright = pytest.importorskip('playwright.sync_api', reason='needs playwright')

from vos_ros.datatypes import Frame, LabelMap  # noqa: E402
from vos_ros.engine.prompter import Prompter  # noqa: E402
from vos_ros.engine.segmenter import VideoSegmenter  # noqa: E402
from vos_ros.formats.label_png import read_label_png  # noqa: E402
from vos_ros.page.clip import Clip  # noqa: E402
from vos_ros.page.feed import Shot  # noqa: E402
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


def test_not_corrects_what_is_found_in_a_box(browser: Any, clip: tuple[str, Path]) -> None:
    url, _ = clip
    page, problems = open_page(browser, url, 1280, 800)
    page.keyboard.press('g')
    drag(page, (125, 100), (125, 140))
    expect(page.locator('#toasts')).to_contain_text('draw with one of them first')
    page.keyboard.press('x')
    drag(page, (105, 65), (215, 175))
    expect(page.locator('#track')).to_be_enabled(timeout=30_000)
    page.keyboard.press('g')
    drag(page, (125, 85), (125, 155))
    page.wait_for_function('() => marks !== null && finding === null')
    assert page.evaluate(f'() => mask[120 * {WIDTH} + 125]') == 0
    assert page.evaluate(f'() => mask[120 * {WIDTH} + 180]') == 1
    page.keyboard.press('Control+z')
    assert page.evaluate(f'() => mask[120 * {WIDTH} + 125]') == 1
    page.keyboard.press('Escape')
    assert problems == []
    page.close()


def test_the_pencil_takes_the_mask_of_an_object_to_correct_it(
    browser: Any, clip: tuple[str, Path]
) -> None:
    url, path = clip
    page, problems = open_page(browser, url, 1280, 800)
    page.keyboard.press('x')
    drag(page, (105, 65), (215, 175))
    expect(page.locator('#track')).to_be_enabled(timeout=30_000)
    page.locator('#name').fill('square')
    page.keyboard.press('Enter')
    expect(page.locator('#objects')).to_contain_text('square', timeout=30_000)
    expect(page.locator('#id')).to_have_value('2', timeout=30_000)
    before = read_label_png(path)
    page.locator('#objects button').first.click()
    expect(page.locator('#name')).to_have_value('square')
    page.keyboard.press('e')
    drag(page, (140, 120), (180, 120))
    page.keyboard.press('Enter')
    expect(page.locator('#track')).to_be_disabled(timeout=30_000)
    after = read_label_png(path)
    assert before[120, 140:180].all()
    assert not after[120, 142:178].any()
    assert (after[:110] == before[:110]).all()
    assert (after[130:] == before[130:]).all()
    assert problems == []
    page.close()


def test_what_is_painted_is_kept_by_run_and_a_result_is_not_painted_on(
    browser: Any, clip: tuple[str, Path]
) -> None:
    url, path = clip
    page, problems = open_page(browser, url, 1280, 800)
    drag(page, (130, 90), (190, 90), (190, 150), (130, 150), (160, 120))
    page.locator('#run').click()
    expect(page.locator('#state')).to_contain_text('result', timeout=60_000)
    assert read_label_png(path).any()
    drag(page, (20, 20), (60, 20))
    expect(page.locator('#toasts')).to_contain_text('press First frame')
    expect(page.locator('#mode')).to_contain_text('RESULT')
    page.locator('#first').click()
    expect(page.locator('#mode')).to_contain_text('FIRST', timeout=30_000)
    drag(page, (20, 20), (60, 20))
    expect(page.locator('#mode')).to_contain_text('FROZEN')
    assert problems == []
    page.close()


def test_keys_in_a_field_remove_nothing(browser: Any, clip: tuple[str, Path]) -> None:
    url, _ = clip
    page, problems = open_page(browser, url, 1280, 800)
    drag(page, (130, 90), (190, 90))
    page.keyboard.press('Enter')
    page.wait_for_selector('#objects tr', timeout=30_000)
    page.locator('#id').fill('1')
    page.keyboard.press('Delete')
    page.keyboard.press('Escape')  # and out of the field
    page.keyboard.press('5')
    page.keyboard.press('Delete')
    expect(page.locator('#toasts')).to_contain_text('there is no object 5')
    expect(page.locator('#objects tr')).to_have_count(1)
    page.keyboard.press('1')
    page.keyboard.press('Delete')
    expect(page.locator('#objects tr')).to_have_count(0, timeout=30_000)
    assert problems == []
    page.close()


class StillCamera:
    """A camera that shows one colour, follows some objects, and notes what it is asked for."""

    def __init__(self, name: str, colour: tuple[int, int, int], ids: tuple[int, ...]) -> None:
        self.name, self.ids = name, ids
        self._image = np.full((HEIGHT, WIDTH, 3), colour, np.uint8)
        self._labels: LabelMap = np.zeros((HEIGHT, WIDTH), np.uint8)
        for row, object_id in enumerate(ids):
            self._labels[20 * row : 20 * row + 15, :40] = object_id
        self.masks: list[tuple[LabelMap, Mapping[int, str]]] = []
        self.actions: list[str] = []

    def current(self) -> Shot:
        return Shot(STAMP, lambda: Frame(self._image), lambda: self._labels)

    def status(self) -> dict[str, Any]:
        rows = [{'id': i, 'state': 'tracked', 'score': 0.9, 'name': ''} for i in self.ids]
        return {'camera': self.name, 'notices': [], 'objects': rows, 'state': 'active'}

    def prompt(self, shot: Shot, label_map: LabelMap, names: Mapping[int, str]) -> Future[str]:
        self.masks.append((label_map, names))
        return self._done('sent')

    def act(self, what: str, values: Mapping[str, Any]) -> Future[str]:
        self.actions.append(what)
        return self._done(what)

    def watch(self, viewers: int) -> None:
        """Go on whoever looks."""

    @staticmethod
    def _done(text: str) -> Future[str]:
        future: Future[str] = Future()
        future.set_result(text)
        return future


STAMP = 1_700_000_000_123_456_789


@pytest.fixture
def cameras() -> Iterator[tuple[str, dict[str, StillCamera]]]:
    """Serve two cameras; give the address and both."""
    made = {
        camera.name: camera
        for camera in (
            StillCamera('/front', (200, 60, 60), (1, 2)),
            StillCamera('/rear', (60, 60, 200), (1,)),
        )
    }

    class Both:
        mode = 'live'

        def cameras(self) -> dict[str, StillCamera]:
            return made

    server = PageServer(Both())
    server.start()
    yield server.url, made
    server.stop()


def colour_of(page: Any) -> list[int]:
    """Read the middle of the picture, which has no object."""
    found: list[int] = page.evaluate(
        '() => [...ink.getImageData(view.width / 2, view.height / 2, 1, 1).data].slice(0, 3)'
    )
    return found


def test_each_camera_of_the_menu_has_its_picture_its_objects_and_its_masks(
    browser: Any, cameras: tuple[str, dict[str, StillCamera]]
) -> None:
    url, known = cameras
    page, problems = open_page(browser, url, 1280, 800)
    assert page.locator('#camera option').all_inner_texts() == ['/front', '/rear']
    # The next free id: a first stroke must not start object 1 anew.
    expect(page.locator('#id')).to_have_value('3', timeout=30_000)
    np.testing.assert_allclose(colour_of(page), (200, 60, 60), atol=8)
    page.locator('#name').fill('cup')
    page.keyboard.press('Escape')
    drag(page, (200, 100), (260, 100))
    page.keyboard.press('Enter')
    expect(page.locator('#toasts')).to_contain_text('sent')

    page.locator('#camera').select_option('/rear')
    expect(page.locator('#objects tr')).to_have_count(1, timeout=30_000)
    expect(page.locator('#id')).to_have_value('2', timeout=30_000)
    page.wait_for_function('() => picture !== null')
    np.testing.assert_allclose(colour_of(page), (60, 60, 200), atol=8)
    drag(page, (200, 100), (260, 100))
    page.keyboard.press('Enter')
    expect(page.locator('#toasts')).to_contain_text('sent')
    expect(page.locator('#track')).to_be_disabled(timeout=30_000)

    (front, names), (rear, unnamed) = known['/front'].masks[0], known['/rear'].masks[0]
    assert (set(np.unique(front)), names) == ({0, 3}, {3: 'cup'})
    assert (set(np.unique(rear)), unnamed) == ({0, 2}, {})
    assert problems == []
    page.close()


def test_all_is_forgotten_at_the_second_press_only(
    browser: Any, cameras: tuple[str, dict[str, StillCamera]]
) -> None:
    url, known = cameras
    page, _ = open_page(browser, url, 1280, 800)
    page.locator('#reset').click()
    expect(page.locator('#reset')).to_contain_text('sure')
    assert known['/front'].actions == []
    page.locator('#reset').click()
    expect(page.locator('#toasts')).to_contain_text('reset')
    assert known['/front'].actions == ['reset']
    page.close()


@pytest.mark.parametrize('size', [(390, 844), (844, 390)], ids=['upright', 'on its side'])
def test_a_finger_paints_on_a_phone_and_finds_its_buttons(
    browser: Any, cameras: tuple[str, dict[str, StillCamera]], size: tuple[int, int]
) -> None:
    url, known = cameras
    context = browser.new_context(
        viewport={'width': size[0], 'height': size[1]}, has_touch=True, is_mobile=True
    )
    page = context.new_page()
    page.goto(url)
    page.wait_for_selector('#view:not([hidden])', timeout=30_000)
    expect(page.locator('#id')).to_have_value('3', timeout=30_000)
    box = page.locator('#view').bounding_box()
    touch = context.new_cdp_session(page)

    def finger(kind: str, *places: tuple[float, float]) -> None:
        at = [
            {'x': box['x'] + x / WIDTH * box['width'], 'y': box['y'] + y / HEIGHT * box['height']}
            for x, y in places
        ]
        touch.send('Input.dispatchTouchEvent', {'type': kind, 'touchPoints': at})

    finger('touchStart', (150, 100))
    for x in range(160, 260, 10):
        finger('touchMove', (x, 100))
    finger('touchEnd')
    shoot(page, f'finger_{size[0]}')
    # In reach without scrolling, and not too small for a finger.
    for name in ('#track', '#undo', '[data-tool=box]', '[data-tool=eraser]'):
        target = page.locator(name).bounding_box()
        assert target['height'] >= 40
        assert target['y'] + target['height'] <= size[1]
    # Chromium takes a tap at once after a stroke for a part of it, and clicks nothing. No person
    # is as quick.
    page.wait_for_timeout(700)
    page.locator('#track').tap()
    expect(page.locator('#toasts')).to_contain_text('sent')
    mask, _ = known['/front'].masks[0]
    assert (mask[100, 155:245] == 3).all()
    assert not mask[:80].any()
    assert not page.evaluate('() => document.documentElement.scrollWidth > window.innerWidth')
    context.close()
