# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A folder of results: an earlier run's files go, nobody else's ever do."""

from __future__ import annotations

from contextlib import suppress
import os
from pathlib import Path

import pytest

from vos_ros.errors import VosError
from vos_ros.evaluation.results import LIST, writing

NAMES = ('masks', 'report.json')


def write(path: Path, text: str = 'x') -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def content(folder: Path) -> set[str]:
    files = {path.relative_to(folder).as_posix() for path in folder.rglob('*') if path.is_file()}
    return files - {LIST}


def run(out: Path, *files: str) -> int:
    with writing(out, NAMES) as deleted:
        for file in files:
            write(out / file)
    return deleted


def test_what_an_earlier_run_wrote_is_replaced(tmp_path: Path) -> None:
    out = tmp_path / 'new' / 'out'
    assert run(out, 'masks/a/0.png', 'masks/a/1.png', 'report.json') == 0
    assert run(out, 'masks/b/0.png') == 3
    assert content(out) == {'masks/b/0.png'}
    assert not (out / 'masks' / 'a').exists()


def test_files_of_other_names_stay_whoever_wrote_them(tmp_path: Path) -> None:
    write(tmp_path / 'robot.log')
    with writing(tmp_path, ['overlay.mp4']):
        write(tmp_path / 'overlay.mp4')
    run(tmp_path, 'report.json')
    run(tmp_path)
    assert content(tmp_path) == {'robot.log', 'overlay.mp4'}
    with writing(tmp_path, ['overlay.mp4']) as deleted:  # still known after runs of another kind
        assert deleted == 1


@pytest.mark.parametrize('file', ['masks/drawn_by_hand.png', 'report.json', 'masks/a/b/c'])
def test_somebody_elses_file_stops_it_before_anything_is_deleted(
    tmp_path: Path, file: str
) -> None:
    run(tmp_path, 'masks/0.png')
    write(tmp_path / file, 'mine')
    with pytest.raises(VosError, match='choose an empty --out') as caught:
        run(tmp_path)
    assert str(tmp_path / file) in str(caught.value)
    assert content(tmp_path) == {'masks/0.png', file}


def test_an_interrupted_run_is_cleaned_up_after_and_a_killed_one_refused(tmp_path: Path) -> None:
    with suppress(KeyboardInterrupt), writing(tmp_path, NAMES):
        write(tmp_path / 'masks' / '0.png')
        raise KeyboardInterrupt
    assert run(tmp_path, 'masks/1.png') == 1
    (tmp_path / LIST).unlink()
    with pytest.raises(VosError, match='no finished run'):
        run(tmp_path)


def test_an_input_among_the_results_is_refused(tmp_path: Path) -> None:
    run(tmp_path, 'masks/0.png')
    with (
        pytest.raises(VosError, match='replaces'),
        writing(tmp_path, NAMES, inputs=[tmp_path / 'x' / '..' / 'masks']),
    ):
        pytest.fail('must not be entered')
    assert content(tmp_path) == {'masks/0.png'}


def test_links_are_removed_and_not_followed(tmp_path: Path) -> None:
    mine = write(tmp_path / 'mine' / 'a.png')
    out = tmp_path / 'out'
    with writing(out, NAMES):
        (out / 'masks').mkdir()
        (out / 'masks' / 'link').symlink_to(mine.parent)
        (out / 'report.json').symlink_to(mine)
    assert run(out) == 2
    assert mine.is_file()


def test_a_list_that_names_files_elsewhere_deletes_none(tmp_path: Path) -> None:
    mine = write(tmp_path / 'mine.png')
    out = tmp_path / 'out'
    write(out / LIST, 'masks/../../mine.png\n../mine.png\n')
    assert run(out) == 0
    assert mine.is_file()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    write(tmp_path / 'file')
    with pytest.raises(VosError, match='choose another --out'):
        run(tmp_path / 'file')


def test_a_link_in_place_of_the_list_is_refused_and_its_target_kept(tmp_path: Path) -> None:
    (tmp_path / 'mine.txt').write_text('mine')
    out = tmp_path / 'out'
    out.mkdir()
    (out / LIST).symlink_to(tmp_path / 'mine.txt')
    with pytest.raises(VosError, match='is a link'), writing(out, ['masks']):
        pass
    assert (tmp_path / 'mine.txt').read_text() == 'mine'


def test_a_named_pipe_in_place_of_the_list_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / LIST)
    with pytest.raises(VosError, match='no file'), writing(tmp_path, ['masks']):
        pass


@pytest.mark.parametrize('name', ['a\nb', 'a\\nb', 'a\rb', 'a\x85b', 'a\u2028b', 'a\udcffb'])
def test_any_name_stays_on_the_list(tmp_path: Path, name: str) -> None:
    for _ in range(2):  # what the first run wrote, the second one deletes
        with writing(tmp_path, ['masks']):
            (tmp_path / 'masks').mkdir(exist_ok=True)
            (tmp_path / 'masks' / name).write_text('x')
