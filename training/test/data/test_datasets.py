# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Loaders: every layout, every rule about bad data, on files written here."""

from collections.abc import Callable
import json
import logging
from pathlib import Path

import cv2
import numpy as np
import pytest

from vos_distill.data import (
    check_data,
    ClipComposer,
    ClipConfig,
    load_stills,
    load_videos,
    read_label,
    read_pair,
    Still,
    UnusableError,
)
from vos_ros.formats.label_png import write_label_png

SIZE = 48
IN_MEMORY, FROM_DISK = 1 << 30, 0
anywhere = pytest.mark.parametrize('memory', [IN_MEMORY, FROM_DISK], ids=['memory', 'disk'])


def picture(number: int) -> np.ndarray:
    image = np.full((SIZE, SIZE, 3), 90, np.uint8)
    image[..., 0] = 4 * number  # tells which frame it is
    return image


def mask(*ids: int) -> np.ndarray:
    """Draw each object as a column of its own."""
    label = np.zeros((SIZE, SIZE), np.uint8)
    for place, object_id in enumerate(ids):
        label[8:40, 6 + 14 * place : 18 + 14 * place] = object_id
    return label


def write(image_path: Path, label_path: Path, number: int, label: np.ndarray | None) -> None:
    image_path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(image_path), picture(number)[..., ::-1])
    if label is not None:
        write_label_png(label_path, label)


def write_clip(images: Path, masks: Path, labels: list[np.ndarray | None], step: int = 1) -> None:
    for number, label in enumerate(labels):
        stem = f'{number * step:05d}'
        write(images / f'{stem}.jpg', masks / f'{stem}.png', number, label)


def davis(root: Path, name: str, labels: list[np.ndarray | None]) -> Path:
    write_clip(root / 'JPEGImages/480p' / name, root / 'Annotations/480p' / name, labels)
    return root


def stills(root: Path, count: int) -> Path:
    for number in range(count):
        folder = root / 'some'
        write(folder / f'images/{number}.jpg', folder / f'labels/{number}.png', number, mask(1))
    return root


def soft(label: np.ndarray) -> np.ndarray:
    """Draw a mask as an image editor saves it: smooth edges between 0 and 255."""
    return cv2.GaussianBlur((label > 0) * np.uint8(255), (0, 0), 1.5)


def stcn_static(root: Path) -> Path:
    """Photographs as STCN's zip has them: masks beside them, FSS in a folder for each class."""
    for number, folder in enumerate(('BIG_small', 'ecssd', 'fss/bird', 'fss/cup', 'fss/cup')):
        image = root / folder / f'{number}.jpg'
        write(image, image, number, None)
        cv2.imwrite(str(image.with_suffix('.png')), soft(mask(1)))
    # a grey mask may be stored as a colour picture, which STCN turns grey
    grey = cv2.imread(str(root / 'fss/bird/2.png'), cv2.IMREAD_GRAYSCALE)
    cv2.imwrite(str(root / 'fss/bird/2.png'), cv2.merge([grey] * 3))
    return root


# -- layouts ----------------------------------------------------------------------------------


@anywhere
def test_davis_layout_takes_the_train_list_and_480p_alone(tmp_path: Path, memory: int) -> None:
    for name in ('bear', 'camel', 'dog'):
        davis(tmp_path, name, [mask(1)] * 3)
    write_clip(
        tmp_path / 'JPEGImages/Full-Resolution/bear', tmp_path / 'Annotations/x', [None] * 3
    )
    assert len(load_videos([tmp_path], memory=memory)) == 3
    (tmp_path / 'ImageSets/2017').mkdir(parents=True)
    (tmp_path / 'ImageSets/2017/train.txt').write_text('bear\n')
    assert [v.name for v in load_videos([tmp_path], memory=memory)] == ['bear']
    (tmp_path / 'ImageSets/480p').mkdir()
    (tmp_path / 'ImageSets/480p/train.txt').write_text(
        '/JPEGImages/480p/dog/00000.jpg /Annotations/480p/dog/00000.png\n'
    )
    assert [v.name for v in load_videos([tmp_path], memory=memory)] == ['bear', 'dog']


@anywhere
def test_binary_masks_become_object_one(tmp_path: Path, memory: int) -> None:
    (video,) = load_videos([davis(tmp_path, 'bear', [mask(255)] * 3)], memory=memory)
    image, label = video.frame(1)
    assert image.shape == (SIZE, SIZE, 3)
    assert abs(int(image[0, 0, 0]) - 4) < 3  # red, of frame 1
    assert set(np.unique(label)) == {0, 1}
    np.testing.assert_array_equal(video.label(1), label)


@anywhere
def test_void_among_ids_stays_void(tmp_path: Path, memory: int) -> None:
    (video,) = load_videos([davis(tmp_path, 'bear', [mask(3, 255), mask(255)])], memory=memory)
    assert set(np.unique(video.label(0))) == {0, 3, 255}
    assert set(np.unique(video.label(1))) == {0, 255}


def youtube_vos(root: Path) -> Path:
    """Every frame has an image, every fifth one a mask; object 7 comes at the third mask."""
    base = root / 'train'
    labels: list[np.ndarray | None] = [None] * 21
    for frame in range(0, 21, 5):
        labels[frame] = mask(2, 7) if frame >= 10 else mask(2)
    write_clip(base / 'JPEGImages/0a1b', base / 'Annotations/0a1b', labels)
    every = [f'{n:05d}' for n in range(0, 21, 5)]
    objects = {'2': {'category': 'cat', 'frames': every}, '7': {'frames': every[2:]}}
    (base / 'meta.json').write_text(json.dumps({'videos': {'0a1b': {'objects': objects}}}))
    return root


@anywhere
def test_youtube_vos_uses_the_annotated_frames(tmp_path: Path, memory: int) -> None:
    root = youtube_vos(tmp_path)
    assert check_data(tmp_path.parent, videos=[tmp_path.name]) == []
    for given in (root, root / 'train'):
        (video,) = load_videos([given], memory=memory)
        assert (video.name, len(video), video.stride) == ('0a1b', 5, 5)
        assert [set(np.unique(video.label(i))) - {0} for i in (0, 2)] == [{2}, {2, 7}]
        assert abs(int(video.frame(2)[0][0, 0, 0]) - 40) < 3  # the image of frame 10


def test_youtube_vos_misses_a_mask_that_its_list_names(tmp_path: Path) -> None:
    root = youtube_vos(tmp_path)
    (root / 'train/Annotations/0a1b/00015.png').unlink()
    (problem,) = check_data(tmp_path.parent, videos=[tmp_path.name])
    assert '00015.png: there is no such mask' in problem
    (root / 'train/meta.json').write_text('{"videos": 3}')
    with pytest.raises(ValueError, match=r'meta\.json: not the list of YouTube-VOS'):
        load_videos([root])


@anywhere
def test_bl30k_layout(tmp_path: Path, memory: int) -> None:
    base = tmp_path / 'BL30K'
    for name in ('00000', '00001'):
        write_clip(base / 'JPEGImages' / name, base / 'Annotations' / name, [mask(4, 9)] * 4)
    for given in (tmp_path, base):
        videos = load_videos([given], memory=memory)
        assert [(v.name, len(v), v.stride) for v in videos] == [('00000', 4, 1), ('00001', 4, 1)]


@anywhere
def test_own_clips_jpeg_or_png_in_natural_order(tmp_path: Path, memory: int) -> None:
    for number in (2, 10):
        folder = tmp_path / 'mine'
        write(folder / f'images/{number}.png', folder / f'masks/{number}.png', number, mask(1))
    for given in (tmp_path, tmp_path / 'mine'):
        (video,) = load_videos([given], memory=memory)
        assert [int(video.frame(i)[0][0, 0, 0]) for i in range(2)] == [8, 40]


def test_folder_without_a_known_layout_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='no videos with masks; expected JPEGImages/'):
        load_videos([tmp_path / 'nothing'])
    with pytest.raises(ValueError, match='no photographs; expected SET/images'):
        load_stills(tmp_path / 'nothing')


@anywhere
def test_large_frames_are_reduced(tmp_path: Path, memory: int) -> None:
    (video,) = load_videos([davis(tmp_path, 'bear', [mask(1)] * 2)], 24, memory=memory)
    image, label = video.frame(0)
    assert image.shape == (24, 24, 3)
    assert label.shape == video.label(0).shape == (24, 24)


# -- bad data: each of these spoils frame 2 of a clip, or photograph 2 --------------------------


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def garble(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[data.index(b'IDAT') + 12] ^= 0x5A
    path.write_bytes(bytes(data))


def paint(label: np.ndarray) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(cv2.imencode('.png', label)[1].tobytes())


COLOURS = np.random.default_rng(0).integers(0, 255, (SIZE, SIZE, 3), np.uint8)
SPOILT: dict[str, tuple[str, Callable[[Path], None], str]] = {
    'missing mask': ('png', Path.unlink, 'there is no such mask'),
    'wrong size': ('png', paint(mask(1)[:20, :30]), '30x20 but its image is 48x48'),
    'corrupt PNG': ('png', garble, 'damaged'),
    'cut off PNG': ('png', cut_off, 'damaged'),
    'no PNG at all': ('png', lambda p: p.write_text('hello'), 'is not a PNG file'),
    'cut off JPEG': ('jpg', cut_off, 'cut off or damaged'),
    'no JPEG at all': ('jpg', lambda p: p.write_text('hello'), 'no image of a known format'),
    'id out of range': ('png', paint(mask(1).astype(np.uint16) * 300), 'id 300 is out of range'),
    'colours, not ids': ('png', paint(COLOURS), 'colours stand for no object ids'),
}
spoilt = pytest.mark.parametrize('how', list(SPOILT))


@spoilt
@anywhere
def test_bad_frame_is_named_once_and_left_out(
    how: str, memory: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = davis(tmp_path / 'set', 'bear', [mask(1)] * 12)
    kind, spoil, why = SPOILT[how]
    folder = {'png': 'Annotations', 'jpg': 'JPEGImages'}[kind]
    bad = root / folder / '480p' / 'bear' / f'00002.{kind}'
    spoil(bad)
    with caplog.at_level(logging.WARNING):
        (video,) = load_videos([root], memory=memory)
        usable = 0
        for _ in range(2):  # where it is read from the disk, it is bad the second time too
            for index in range(len(video)):
                try:
                    video.frame(index)
                    usable += 1
                except UnusableError:
                    assert memory == FROM_DISK
    assert usable == 2 * 11
    assert caplog.text.count(str(bad)) == 1
    assert why in caplog.text
    (problem,) = check_data(tmp_path)
    assert str(bad) in problem
    assert why in problem


@spoilt
@anywhere
def test_bad_photograph_is_named_once_and_left_out(
    how: str, memory: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = stills(tmp_path / 'static', 12)
    kind, spoil, why = SPOILT[how]
    bad = root / 'some' / {'png': 'labels', 'jpg': 'images'}[kind] / f'2.{kind}'
    spoil(bad)
    with caplog.at_level(logging.WARNING):
        loaded = load_stills(root, memory=memory)
        composer = ClipComposer(loaded, [], ClipConfig(size=32, frames=2, real=0.0))
        clips = composer.clips(0)
        for _ in range(60 if memory == FROM_DISK else 1):  # until it has met every photograph
            next(clips)
    assert len(loaded) == (12 if memory == FROM_DISK else 11)
    assert caplog.text.count(str(bad)) == 1
    assert why in caplog.text
    (problem,) = check_data(tmp_path)
    assert str(bad) in problem


def test_sixteen_bits_are_fine_as_long_as_ids_are(tmp_path: Path) -> None:
    path = tmp_path / 'a.png'
    paint(mask(1, 254).astype(np.uint16))(path)
    np.testing.assert_array_equal(read_label(path), mask(1, 254))
    paint((mask(1) > 0).astype(np.uint16) * 65535)(path)
    np.testing.assert_array_equal(read_label(path), mask(255))


@anywhere
def test_clip_of_one_frame_is_named_and_left_out(
    memory: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = davis(tmp_path, 'long', [mask(1)] * 12)
    davis(tmp_path, 'short', [mask(1)])
    with caplog.at_level(logging.WARNING):
        (video,) = load_videos([root], memory=memory)
    assert video.name == 'long'
    assert 'short: fewer than two usable frames' in caplog.text


@anywhere
def test_empty_masks_before_the_first_object_are_named_and_left_out(
    memory: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    labels: list[np.ndarray | None] = [mask(), mask(), *[mask(255)] * 20, mask()]
    with caplog.at_level(logging.WARNING):
        (video,) = load_videos([davis(tmp_path, 'bear', labels)], memory=memory)
    assert len(video) == 21  # an empty one later on is an object that has gone
    assert [f'0000{i}.png: no object yet' in caplog.text for i in range(3)] == [True, True, False]
    assert set(np.unique(video.label(0))) == {0, 1}


@anywhere
def test_of_a_set_with_a_list_only_its_clips_are_taken(
    memory: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root, other = (tmp_path / name for name in ('set', 'other'))
    for name in ('bear', 'camel', 'dog'):
        davis(root, name, [mask(1)] * 3)
    davis(other, 'bear', [mask(1)] * 3)
    davis(other, 'cow', [mask(1)] * 3)
    listed = tmp_path / 'subset.txt'
    listed.write_text('bear\r\n\ndog\nzebra\n')
    with caplog.at_level(logging.INFO):
        found = load_videos([root, other], memory=memory, subsets={root: listed})
    assert [v.name for v in found] == ['bear', 'dog', 'bear', 'cow']
    assert 'subset.txt: 1 clips are not there, such as zebra' in caplog.text


@pytest.mark.parametrize(
    ('content', 'said'),
    [
        (
            None,
            r'subset\.txt: the list of clips \(subsets: in the recipe\) cannot be read: No such',
        ),
        (b'', r'subset\.txt: names none of the 1 clips of its set \(such as bear\)'),
        (b'bears\n', r'subset\.txt: names none of the 1 clips of its set \(such as bear\)'),
        (b'\xff\xfe\x80', r'subset\.txt: the list of clips .* cannot be read: it is no text'),
    ],
    ids=['missing', 'empty', 'strangers', 'no text'],
)
def test_a_list_of_clips_that_cannot_be_used_is_one_message(
    content: bytes | None, said: str, tmp_path: Path
) -> None:
    root = davis(tmp_path / 'set', 'bear', [mask(1)] * 3)
    if content is not None:
        (tmp_path / 'subset.txt').write_bytes(content)
    with pytest.raises(ValueError, match=said) as told:
        load_videos([root], subsets={root: tmp_path / 'subset.txt'})
    assert '\n' not in str(told.value)


@anywhere
def test_too_many_bad_files_stop_with_a_message(memory: int, tmp_path: Path) -> None:
    root = davis(tmp_path / 'set', 'bear', [mask(1)] * 12)
    for number in (3, 4):
        cut_off(root / f'JPEGImages/480p/bear/{number:05d}.jpg')

    def read_all(share: float) -> None:
        (video,) = load_videos([root], memory=memory, max_bad_share=share)
        for index in range(len(video)):
            try:
                video.frame(index)
            except UnusableError:
                continue

    read_all(share=0.2)
    with pytest.raises(
        ValueError, match=r'2 of 12 images cannot be used, at most 10% may be'
    ) as told:
        read_all(share=0.1)
    assert not isinstance(told.value, UnusableError)
    assert '00003.jpg' in str(told.value)


@anywhere
def test_composer_goes_on_after_a_bad_frame_and_stops_at_too_many(
    memory: int, tmp_path: Path
) -> None:
    root = davis(tmp_path / 'set', 'bear', [mask(1)] * 30)
    photographs = [Still(picture(1), mask(1), 'some')] * 2
    config = ClipConfig(size=32, frames=3, real=1.0)
    cut_off(root / 'JPEGImages/480p/bear/00007.jpg')
    videos = load_videos([root], memory=memory)
    clips = ClipComposer(photographs, videos, config).clips(0)
    for _ in range(30):
        next(clips)
    for number in range(8, 20):
        cut_off(root / f'JPEGImages/480p/bear/{number:05d}.jpg')

    def use() -> None:
        clips = ClipComposer(photographs, load_videos([root], memory=memory), config).clips(0)
        for _ in range(200):
            next(clips)

    with pytest.raises(ValueError, match='of 30 images cannot be used'):
        use()


@anywhere
def test_the_layout_of_stcn_s_photographs_is_read(memory: int, tmp_path: Path) -> None:
    stills(stcn_static(tmp_path), 2)  # beside a set of the other layout
    found = load_stills(tmp_path, memory=memory)
    every = [found[index] for index in range(len(found))]
    assert [one.source for one in every] == ['BIG_small', 'ecssd', *['fss'] * 3, *['some'] * 2]
    for number, one in enumerate(every[:5]):
        assert abs(int(one.image[0, 0, 0]) - 4 * number) < 3
        assert (one.label != mask(1)).sum() <= 4  # half of full scale is its edge, but for corners


@anywhere
def test_a_set_of_photographs_counts_as_often_as_asked(memory: int, tmp_path: Path) -> None:
    stcn_static(tmp_path)
    found = load_stills(tmp_path, memory=memory, repeats={'BIG_small': 5, 'fss': 2})
    sources = [found[index].source for index in range(len(found))]
    assert sources == ['BIG_small'] * 5 + ['ecssd'] + ['fss'] * 6
    with pytest.raises(ValueError, match='still_repeats names BIG, which is no set there; there'):
        load_stills(tmp_path, memory=memory, repeats={'BIG': 5})


def test_what_is_wrong_beside_photographs_is_named(tmp_path: Path) -> None:
    static = stcn_static(tmp_path / 'static')
    assert check_data(tmp_path) == []
    (static / 'fss/cup/3.png').unlink()
    cut_off(static / 'ecssd/1.jpg')
    cv2.imwrite(str(static / 'BIG_small/stray.png'), soft(mask(1)))
    said = '\n'.join(check_data(tmp_path))
    assert 'cup/3.png: there is no such mask' in said
    assert '1.jpg' in said
    assert 'stray.png: there is no image of this name' in said
    assert said.count('\n') == 2
    with pytest.raises(ValueError, match=r'ecssd: 1 of 1 images cannot be used'):
        load_stills(static)


def test_a_folder_of_photographs_without_masks_is_no_set(tmp_path: Path) -> None:
    write(tmp_path / 'more/a.jpg', tmp_path / 'more/a.png', 0, None)
    with pytest.raises(ValueError, match=r'no photographs; expected SET/images'):
        load_stills(tmp_path)


def test_bad_share_counts_for_each_set_of_photographs(tmp_path: Path) -> None:
    stills(tmp_path, 30)
    write(tmp_path / 'other/images/a.jpg', tmp_path / 'other/labels/a.png', 0, None)
    with pytest.raises(ValueError, match=r'other: 1 of 1 images cannot be used'):
        load_stills(tmp_path)


def test_nothing_left_stops_with_a_message(tmp_path: Path) -> None:
    root = davis(tmp_path / 'set', 'bear', [mask()] * 3)
    with pytest.raises(ValueError, match='no clip is left'):
        load_videos([root], max_bad_share=9.0)
    with pytest.raises(ValueError, match='nothing to check'):
        check_data(tmp_path / 'empty')


def test_read_pair_names_what_does_not_fit(tmp_path: Path) -> None:
    image, label = tmp_path / 'a.jpg', tmp_path / 'a.png'
    write(image, label, 0, mask(1)[:20])
    with pytest.raises(ValueError, match=r'a\.png: is 48x20 but its image is 48x48'):
        read_pair(image, label)


def test_check_command_lists_every_problem_and_ends_with_two(tmp_path: Path) -> None:
    pytest.importorskip('torch', reason='the command line needs torch')
    from typer.testing import CliRunner

    from vos_distill.cli import app

    stills(tmp_path / 'static', 2)
    davis(tmp_path / 'a', 'bear', [mask(1)] * 3)
    runner = CliRunner()
    good = runner.invoke(app, ['data', 'check', str(tmp_path)])
    assert good.exit_code == 0, good.output
    assert '0 problem(s)' in good.output
    cut_off(tmp_path / 'static/some/images/0.jpg')
    cut_off(tmp_path / 'a/Annotations/480p/bear/00001.png')
    (tmp_path / 'b').mkdir()
    bad = runner.invoke(app, ['data', 'check', str(tmp_path)])
    assert bad.exit_code == 2
    for part in ('0.jpg', '00001.png', 'b: no videos with masks', '3 problem(s)'):
        assert part in bad.output.replace('\n', '')
    chosen = runner.invoke(app, ['data', 'check', str(tmp_path), '--videos', 'a'])
    assert '2 problem(s)' in chosen.output


# -- what is no map of ids, no clip, no pair --------------------------------------------------


def test_a_mask_with_soft_edges_is_named(tmp_path: Path) -> None:
    path = tmp_path / 'a.png'
    write_label_png(path, soft(mask(1)))
    with pytest.raises(UnusableError, match=r'a\.png: looks like a grey picture') as told:
        read_label(path)
    assert 'threshold it' in str(told.value)


def test_a_photograph_for_a_mask_is_named(tmp_path: Path) -> None:
    path = tmp_path / 'a.png'
    ramp = np.add.outer(np.arange(200), np.arange(200)) // 2
    write_label_png(path, cv2.resize(ramp.astype(np.uint8), (800, 800)))
    with pytest.raises(UnusableError, match='looks like a grey picture'):
        read_label(path)


def test_many_objects_and_some_of_one_pixel_are_ids(tmp_path: Path) -> None:
    path = tmp_path / 'a.png'
    label = np.kron(np.arange(1, 65).reshape(8, 8), np.ones((6, 6))).astype(np.uint8)
    label[0, 0], label[0, 20], label[0, 40], label[0, 44] = 101, 102, 103, 104
    write_label_png(path, label)
    np.testing.assert_array_equal(read_label(path), label)


@anywhere
def test_folders_that_are_no_clips_are_named_and_count(
    tmp_path: Path, memory: int, caplog: pytest.LogCaptureFixture
) -> None:
    root = tmp_path / 'own'
    write_clip(root / 'good/images', root / 'good/masks', [mask(1)] * 6)
    write_clip(root / 'bad/images', root / 'bad/mask', [mask(1)] * 2)
    (root / 'notes').mkdir()
    assert len(load_videos([root], memory=memory, max_bad_share=0.25)) == 1
    assert f'{root}/bad: is no clip, it has no masks/' in caplog.text
    assert f'{root}/notes: is no clip, it has no images/ and no masks/' in caplog.text
    with pytest.raises(ValueError, match='own: 2 of 8 images cannot be used'):
        load_videos([root], memory=memory)
    assert len(check_data(tmp_path)) == 2


def test_masks_without_an_image_are_named(tmp_path: Path) -> None:
    stills(tmp_path / 'static', 2)
    davis(tmp_path / 'a', 'bear', [mask(1)] * 3)
    (tmp_path / 'static/some/images/0.jpg').unlink()
    (tmp_path / 'a/JPEGImages/480p/bear/00002.jpg').unlink()
    still, frame = check_data(tmp_path)
    assert still.endswith('static/some/labels/0.png: there is no image of this name for the mask')
    assert '/bear/00002.png: there is no image' in frame
    assert len(load_videos([tmp_path / 'a'])[0]) == 2


@anywhere
def test_empty_masks_before_the_first_object_are_no_fault(tmp_path: Path, memory: int) -> None:
    root = davis(tmp_path, 'bear', [mask()] * 3 + [mask(1)] * 5)
    (video,) = load_videos([root], memory=memory, max_bad_share=0.0)
    assert len(video) == 5


@anywhere
def test_a_clip_without_any_object_is_a_fault(tmp_path: Path, memory: int) -> None:
    davis(tmp_path, 'bear', [mask(1)] * 5)
    davis(tmp_path, 'empty', [mask()] * 5)
    with pytest.raises(ValueError, match='5 of 10 images cannot be used'):
        load_videos([tmp_path], memory=memory)


def test_an_empty_clip_is_named(tmp_path: Path) -> None:
    for part in ('images', 'masks'):
        (tmp_path / 'own/clip' / part).mkdir(parents=True)
    with pytest.raises(ValueError, match=r'no clip is left .* fewer than two usable frames'):
        load_videos([tmp_path / 'own'])


# -- some frames with masks, and masks that are not sure everywhere ---------------------------


@anywhere
@pytest.mark.parametrize(
    ('stems', 'stride'),
    [
        ([f'{20 * i:05d}' for i in range(4)], 20),
        (['00000', '00003', '00009', '00018', '00020'], 4),
        (['frame_1', 'frame_6', 'frame_11'], 5),
        (['1700000000000', '1700000000040', '1700000000500'], 1),  # times
        (['a', 'b', 'c'], 1),
    ],
    ids=['twenty', 'uneven', 'named', 'times', 'letters'],
)
def test_the_stride_of_a_clip_is_told_by_its_file_names(
    stems: list[str], stride: int, memory: int, tmp_path: Path
) -> None:
    for own, folders in (
        (False, ('JPEGImages/480p/bear', 'Annotations/480p/bear')),
        (True, ('bear/images', 'bear/masks')),
    ):
        root = tmp_path / f'own_{own}'
        for number, stem in enumerate(stems):
            images, masks = (root / folder for folder in folders)
            write(images / f'{stem}.jpg', masks / f'{stem}.png', number, mask(1))
        (video,) = load_videos([root], memory=memory)
        assert (len(video), video.stride) == (len(stems), stride)


@anywhere
def test_a_clip_with_masks_on_some_frames_consists_of_those(
    memory: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    labels = [mask(1) if number % 4 == 0 else None for number in range(13)]
    root = davis(tmp_path / 'set', 'bear', labels)
    for number in range(13):  # no numbers: the places of the frames tell the stride
        stem = 'abcdefghijklm'[number]
        write_clip_frame(root.parent / 'own' / 'mine', stem, number, labels[number])
    with caplog.at_level(logging.INFO):
        for name in ('set', 'own'):
            (video,) = load_videos([tmp_path / name], memory=memory)
            assert (len(video), video.stride) == (4, 4)
            assert abs(int(video.frame(2)[0][0, 0, 0]) - 32) < 3  # the image of frame 8
    assert 'left out' not in caplog.text
    assert caplog.text.count('9 frames have no mask and need none') == 2
    assert check_data(tmp_path) == []


def write_clip_frame(folder: Path, stem: str, number: int, label: np.ndarray | None) -> None:
    write(folder / f'images/{stem}.jpg', folder / f'masks/{stem}.png', number, label)


def write_confidence(path: Path, confidence: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), confidence)


@anywhere
@pytest.mark.parametrize('layout', ['davis', 'flat', 'own'])
def test_confidences_are_read_and_void_where_they_are_none(
    layout: str, memory: int, tmp_path: Path
) -> None:
    images, masks, confidences = {
        'davis': ('JPEGImages/480p/a', 'Annotations/480p/a', 'Confidences/480p/a'),
        'flat': ('JPEGImages/a', 'Annotations/a', 'Confidences/a'),
        'own': ('a/images', 'a/masks', 'a/confidence'),
    }[layout]
    write_clip(tmp_path / images, tmp_path / masks, [mask(255)] * 3)
    confidence = np.full((SIZE, SIZE), 255, np.uint8)
    confidence[:20], confidence[20:24] = 0, 100
    write_confidence(tmp_path / confidences / '00001.png', confidence)
    (video,) = load_videos([tmp_path], memory=memory)
    assert video.confidence(0) is None
    np.testing.assert_array_equal(video.confidence(1), confidence)
    assert set(np.unique(video.label(0))) == {0, 1}
    for label in (video.label(1), video.frame(1)[1]):
        assert set(np.unique(label[:20])) == {255}
        np.testing.assert_array_equal(label[20:], mask(1)[20:])


@anywhere
@pytest.mark.parametrize(
    ('confidence', 'why'),
    [
        (np.zeros((8, 8), np.uint8), 'is 8x8 but its mask is 48x48'),
        (np.zeros((SIZE, SIZE, 3), np.uint8), 'must be a grey picture with 8 bits'),
        (None, 'damaged or no image'),
    ],
    ids=['size', 'colours', 'damaged'],
)
def test_a_bad_confidence_is_named_and_its_frame_left_out(
    confidence: np.ndarray | None, why: str, memory: int, tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    root = davis(tmp_path, 'bear', [mask(1)] * 12)
    path = root / 'Confidences/480p/bear/00003.png'
    write_confidence(path, np.zeros((4, 4), np.uint8) if confidence is None else confidence)
    if confidence is None:
        path.write_text('hello')
    with caplog.at_level(logging.WARNING):
        (video,) = load_videos([root], memory=memory)
        if memory == FROM_DISK:
            with pytest.raises(UnusableError):
                video.frame(3)
    assert f'{path}: ' in caplog.text
    assert why in caplog.text


def test_own_clips_are_split_by_lists(tmp_path: Path) -> None:
    root = tmp_path / 'own'
    for name in 'abc':
        write_clip(root / name / 'images', root / name / 'masks', [mask(1)] * 3)
    lists = root / 'ImageSets'
    lists.mkdir()
    (lists / 'val.txt').write_text('b\n')
    assert [video.name for video in load_videos([root])] == ['a', 'c'], 'all but those of val'
    assert check_data(tmp_path) == []
    (lists / 'train.txt').write_text('c\n')
    assert [video.name for video in load_videos([root])] == ['c']


def test_lists_as_people_write_them(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = tmp_path / 'own'
    for name in ('kitchen 1', 'hall'):
        write_clip(root / name / 'images', root / name / 'masks', [mask(1)] * 3)
    lists = root / 'ImageSets'
    lists.mkdir()
    (lists / 'val.txt').write_bytes('\ufeffkitchen 1\r\n \r\n'.encode())
    assert [video.name for video in load_videos([root])] == ['hall'], 'a byte order mark, spaces'
    with caplog.at_level(logging.INFO):
        (lists / 'val.txt').write_text('kitchen_1\n')
        assert len(load_videos([root])) == 2
    assert 'val.txt names 1 clips that are not there, such as kitchen_1' in caplog.text


@pytest.mark.parametrize('layout', ['davis', 'own'])
def test_lists_that_leave_no_clip_are_named(tmp_path: Path, layout: str) -> None:
    for name in ('bear', 'dog'):
        if layout == 'davis':
            davis(tmp_path, name, [mask(1)] * 3)
        else:
            write_clip(tmp_path / name / 'images', tmp_path / name / 'masks', [mask(1)] * 3)
    (tmp_path / 'ImageSets').mkdir()
    path = tmp_path / 'ImageSets/val.txt'
    path.write_text('dog\nbear\n')
    with pytest.raises(ValueError, match=r'val.txt names all of the 2 clips'):
        load_videos([tmp_path])
    path.with_name('train.txt').write_text('cat\n')
    with pytest.raises(ValueError, match=r'train.txt names none of the 2 .*such as bear'):
        load_videos([tmp_path])
    path.with_name('train.txt').write_bytes(b'\xff\xfe')
    with pytest.raises(ValueError, match=r'cannot read the list .*train.txt'):
        load_videos([tmp_path])


def test_davis_layout_without_a_train_list_leaves_out_what_val_lists(tmp_path: Path) -> None:
    for name in ('bear', 'dog'):
        davis(tmp_path, name, [mask(1)] * 3)
    (tmp_path / 'ImageSets/2017').mkdir(parents=True)
    (tmp_path / 'ImageSets/2017/val.txt').write_text('dog\n')
    assert [video.name for video in load_videos([tmp_path])] == ['bear']
