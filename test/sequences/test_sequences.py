# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path
import subprocess

import cv2
from davis_factory import label_map, moving, textured, write_image, write_sequence
import numpy as np
import pytest

from vos_ros.errors import VosError
from vos_ros.formats.label_png import write_label_png
from vos_ros.sequences import (
    DavisSequence,
    FolderSequence,
    open_davis,
    open_labelled,
    open_sequence,
    VideoSequence,
)

OPENCV = tuple(int(part) for part in cv2.__version__.split('.')[:2])
RED = np.zeros((48, 64, 3), np.uint8)
RED[..., 0] = 200


def write_video(path: Path, frames: int, size: tuple[int, int] = (64, 48)) -> None:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*'mp4v'), 20.0, size)
    for index in range(frames):
        image = np.full((size[1], size[0], 3), 10 * index, np.uint8)
        image[..., 2] = 200
        writer.write(image)
    writer.release()


def test_images_come_in_natural_order_as_rgb(tmp_path: Path) -> None:
    for name in ('10.png', '9.png', '1.png', 'a2.png', '.hidden.png'):
        write_image(tmp_path / name, RED)
    (tmp_path / 'notes.txt').write_text('no image')
    sequence = FolderSequence(tmp_path)
    assert sequence.frame_names == ('1', '9', '10', 'a2')
    frames = list(sequence)
    assert len(frames) == len(sequence) == 4
    assert frames[0].encoding == 'rgb8'
    assert frames[0].image.dtype == np.uint8
    assert frames[0].image[0, 0].tolist() == [200, 0, 0]
    assert (frames[0].stamp_ns, frames[2].stamp_ns) == (33_333_333, 100_000_000)


def test_names_of_seconds_are_in_their_order(tmp_path: Path) -> None:
    names = ['0.9', '1', '1.0', '1.25', '1.5', '1.75', '2.5', '10.25', 'a1.25', 'a1.5']
    for name in names[::-1]:
        write_image(tmp_path / f'{name}.png', textured(label_map()))
    assert list(FolderSequence(tmp_path).frame_names) == names


def test_two_images_of_one_name_are_refused(tmp_path: Path) -> None:
    for suffix in ('.jpg', '.png'):
        write_image(tmp_path / f'0{suffix}', textured(label_map()))
    with pytest.raises(VosError, match=r'0\.jpg and 0\.png .*two images of one name'):
        FolderSequence(tmp_path)
    assert len(FolderSequence(tmp_path, without=[tmp_path / '0.png'])) == 1


def test_grey_images_become_rgb(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / '0.png'), np.full((4, 6), 7, np.uint8))
    assert next(iter(FolderSequence(tmp_path))).image.tolist() == [[[7, 7, 7]] * 6] * 4


@pytest.mark.parametrize('suffix', ['.jpg', '.png'])
@pytest.mark.parametrize('share', [0.0, 0.5, 0.99])
def test_damaged_image_is_named(tmp_path: Path, suffix: str, share: float) -> None:
    path = tmp_path / f'0{suffix}'
    write_image(path, textured(label_map((1, 2, 3, 40, 40))))
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(VosError, match=rf'0{suffix} is (empty|cut off or damaged)'):
        list(FolderSequence(tmp_path))


@pytest.mark.parametrize('name', ['nothing', 'empty'])
def test_folder_without_images_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / 'empty').mkdir()
    with pytest.raises(VosError, match=name):
        open_sequence(tmp_path / name)
    with pytest.raises(VosError, match=name):
        FolderSequence(tmp_path / name)


def test_video_gives_its_frames_as_rgb(tmp_path: Path) -> None:
    write_video(tmp_path / 'clip.mp4', 7)
    sequence = open_sequence(tmp_path / 'clip.mp4')
    assert isinstance(sequence, VideoSequence)
    for _ in range(2):  # a second pass starts at the first frame again
        frames = list(sequence)
        assert len(frames) == len(sequence) == 7
        assert abs(int(frames[0].image[20, 20, 0]) - 200) < 10
        assert abs(int(frames[6].image[20, 20, 2]) - 60) < 10
    assert (sequence.name, sequence.rate_hz) == ('clip', 20.0)
    assert sequence.frame_names[:2] == ('00000', '00001')
    assert (frames[0].stamp_ns, frames[1].stamp_ns) == (50_000_000, 100_000_000)


def test_frames_of_a_video_have_the_times_that_the_file_gives(tmp_path: Path) -> None:
    times = "setpts='if(lt(N,6),N/30,0.2+(N-6)/5)/TB'"
    source = f'-f lavfi -i testsrc=size=160x120:rate=30:duration=0.4 -vf {times} -fps_mode vfr'
    executable = pytest.importorskip('imageio_ffmpeg').get_ffmpeg_exe()
    command = [executable, '-loglevel', 'error', *source.split(), '-pix_fmt', 'yuv420p']
    subprocess.run([*command, str(tmp_path / 'v.mp4')], check=True)
    stamps = [frame.stamp_ns for frame in VideoSequence(tmp_path / 'v.mp4')]
    expected = [k / 30 if k < 6 else 0.2 + (k - 6) / 5 for k in range(12)]
    found = [(stamp - stamps[0]) / 1e9 for stamp in stamps]
    # OpenCV before 4.7 does not tell the times of the frames that the decoder had held back.
    told = 12 if OPENCV >= (4, 7) else 10
    assert len(found) == 12
    assert found[:told] == pytest.approx(expected[:told], abs=1e-3)
    assert stamps[0] > 0


def test_a_turned_image_is_said_once_a_folder(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    exif = b'Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x03\0\0\0\0\0\0\0'
    for name in '01':
        write_image(tmp_path / f'{name}.jpg', textured(label_map()))
        data = (tmp_path / f'{name}.jpg').read_bytes()
        app = b'\xff\xe1' + (len(exif) + 2).to_bytes(2, 'big') + exif
        (tmp_path / f'{name}.jpg').write_bytes(data[:2] + app + data[2:])
    list(FolderSequence(tmp_path))
    assert ['Exif orientation (3)' in line for line in caplog.messages] == [True]


def test_the_layout_of_sa_v_is_named(tmp_path: Path) -> None:
    (tmp_path / 'JPEGImages_24fps').mkdir()
    (tmp_path / 'Annotations_6fps').mkdir()
    with pytest.raises(VosError, match='layout of SA-V'):
        open_davis(tmp_path)


@pytest.mark.parametrize('content', [b'', b'no video at all ' * 100], ids=['empty', 'text'])
def test_unreadable_video_is_one_clear_line(
    tmp_path: Path, content: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / 'bad.mp4').write_bytes(content)
    with pytest.raises(VosError, match=r'bad\.mp4 cannot be opened'):
        VideoSequence(tmp_path / 'bad.mp4')
    assert capfd.readouterr().err == ''


def test_video_cut_in_the_middle_is_refused_or_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    writer = cv2.VideoWriter(
        str(tmp_path / 'a.avi'), cv2.VideoWriter.fourcc(*'MJPG'), 20.0, (64, 48)
    )
    for index in range(20):
        writer.write(np.random.default_rng(index).integers(0, 255, (48, 64, 3), np.uint8))
    writer.release()
    data = (tmp_path / 'a.avi').read_bytes()
    (tmp_path / 'a.avi').write_bytes(data[: len(data) // 2])
    sequence = VideoSequence(tmp_path / 'a.avi')
    promised, read = len(sequence), len(list(sequence))
    assert 0 < read < 20
    assert len(sequence) == read
    assert ('may be damaged' in caplog.text) is (read < 0.9 * promised)


@pytest.mark.parametrize('resolution', ['480p', 'Full', ''], ids=['480p', 'other', 'none'])
def test_resolution_folder_may_have_any_name(tmp_path: Path, resolution: str) -> None:
    write_sequence(tmp_path, 'car', moving(1, 3), resolution)
    write_sequence(tmp_path, 'dog', moving(1, 4), resolution)
    found = open_davis(tmp_path)
    assert [(s.name, len(s)) for s in found] == [('car', 3), ('dog', 4)]
    assert np.array_equal(found[1].label_map(2), moving(1, 4)[2])  # type: ignore[arg-type]


def test_480p_is_taken_of_several_resolutions(tmp_path: Path) -> None:
    write_sequence(tmp_path, 'car', moving(1, 3), '480p')
    write_sequence(tmp_path, 'car', moving(1, 5), '1080p')
    assert len(open_davis(tmp_path)[0]) == 3


def test_binary_masks_are_object_1(tmp_path: Path) -> None:
    write_sequence(tmp_path, 'car', moving(255, 3))
    sequence = DavisSequence(tmp_path, 'car')
    assert sequence.is_binary
    assert np.array_equal(sequence.label_map(1), moving(1, 3)[1])  # type: ignore[arg-type]


def test_255_among_ids_is_void(tmp_path: Path) -> None:
    labels = label_map((2, 5, 5, 20, 20), (255, 30, 30, 9, 9))
    write_sequence(tmp_path, 'car', [labels, labels])
    sequence = DavisSequence(tmp_path, 'car')
    assert not sequence.is_binary
    assert np.array_equal(sequence.label_map(0), label_map((2, 5, 5, 20, 20)))  # type: ignore[arg-type]


def test_kind_is_told_by_the_first_mask_with_an_object(tmp_path: Path) -> None:
    void_only = label_map((255, 5, 5, 20, 20))
    write_sequence(tmp_path, 'a', [label_map(), label_map((3, 1, 1, 9, 9)), void_only])
    sequence = DavisSequence(tmp_path, 'a')
    maps = [sequence.label_map(i) for i in range(3)]
    assert [int(m.max()) for m in maps if m is not None] == [0, 3, 0]


def test_frames_without_mask_are_allowed(tmp_path: Path) -> None:
    write_sequence(tmp_path, 'car', [label_map((1, 5, 5, 20, 20)), None, None])
    sequence = DavisSequence(tmp_path, 'car')
    assert [sequence.label_map(i) is None for i in range(3)] == [False, True, True]


def test_sequence_without_any_mask_is_refused(tmp_path: Path) -> None:
    write_sequence(tmp_path, 'car', moving(1, 2))
    for file in (tmp_path / 'Annotations/480p/car').iterdir():
        file.rename(file.with_name(f'x{file.name}'))
    with pytest.raises(VosError, match='at least one frame needs a mask'):
        open_davis(tmp_path)


def listed(root: Path, **lists: str) -> None:
    for key, names in lists.items():
        year, split = key.rsplit('_', 1)
        path = root / 'ImageSets' / year.strip('y') / f'{split}.txt'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(names)


def test_val_is_taken_by_itself_and_other_splits_by_name(tmp_path: Path) -> None:
    for name in 'abc':
        write_sequence(tmp_path, name, moving(1, 2))
    listed(tmp_path, y2017_val='b\n\n', y2017_train='c\na\n')
    assert [s.name for s in open_davis(tmp_path)] == ['b']
    assert [s.name for s in open_davis(tmp_path, split='train')] == ['c', 'a']
    assert [s.name for s in open_davis(tmp_path, split='all')] == ['a', 'b', 'c']
    assert [s.name for s in open_davis(tmp_path, names=['c', 'b'])] == ['c', 'b']
    with pytest.raises(VosError, match=r"no split 'test'.*all, train, val"):
        open_davis(tmp_path, split='test')


@pytest.mark.parametrize(('value', 'expected'), [(255, 'a'), (1, 'b')], ids=['2016', '2017'])
def test_list_of_the_year_is_chosen_by_the_masks(
    tmp_path: Path, value: int, expected: str
) -> None:
    for name in 'ab':
        write_sequence(tmp_path, name, moving(value, 2))
    listed(tmp_path, y2016_val='a\n', y2017_val='b\n')
    assert [s.name for s in open_davis(tmp_path)] == [expected]


def test_lists_of_frames_are_read_too(tmp_path: Path) -> None:
    write_sequence(tmp_path, 'car', moving(1, 2))
    write_sequence(tmp_path, 'dog', moving(1, 2))
    lines = [f'/JPEGImages/480p/dog/0000{i}.jpg /Annotations/480p/dog/0000{i}.png' for i in (0, 1)]
    listed(tmp_path, y480p_val='\n'.join(lines))
    assert [s.name for s in open_davis(tmp_path)] == ['dog']


@pytest.mark.parametrize('missing', ['JPEGImages', 'Annotations'])
def test_other_layouts_are_refused_with_the_expected_one(tmp_path: Path, missing: str) -> None:
    write_sequence(tmp_path, 'car', moving(1, 2))
    (tmp_path / missing).rename(tmp_path / 'elsewhere')
    with pytest.raises(VosError, match=rf'no folder {missing}.*DAVIS layout'):
        open_davis(tmp_path)


def test_unknown_sequence_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    write_sequence(tmp_path, 'car', moving(1, 2))
    write_sequence(tmp_path, 'dog', moving(1, 2))
    with pytest.raises(VosError, match=r"'cat'.*car, dog"):
        open_davis(tmp_path, names=['cat'])


def own_clip(folder: Path, frames: int = 3) -> None:
    """Write a clip of one's own; the last frame has no mask."""
    for index, labels in enumerate(moving(255, frames)):
        assert labels is not None
        write_image(folder / 'images' / f'{index}.jpg', textured(labels, shift=2 * index))
        (folder / 'masks').mkdir(exist_ok=True)
        if index < frames - 1:
            write_label_png(folder / 'masks' / f'{index}.png', labels)


def test_own_clips_are_read_like_a_published_data_set(tmp_path: Path) -> None:
    for name in ('a', 'b'):
        own_clip(tmp_path / name)
    first, second = open_labelled(tmp_path)
    assert (first.name, second.name) == ('a', 'b')
    assert first.frame_names == ('0', '1', '2')
    assert np.array_equal(first.label_map(1), moving(1, 3)[1])  # type: ignore[arg-type]
    assert first.label_map(2) is None
    (alone,) = open_labelled(tmp_path / 'b')
    assert alone.name == 'b'


def test_own_clips_may_have_lists(tmp_path: Path) -> None:
    for name in ('a', 'b', 'c'):
        own_clip(tmp_path / name)
    (tmp_path / 'ImageSets').mkdir()
    (tmp_path / 'ImageSets/val.txt').write_text('c\n')
    (tmp_path / 'ImageSets/test.txt').write_text('b\na\n')

    def names(split: str = '', only: tuple[str, ...] = ()) -> list[str]:
        return [clip.name for clip in open_labelled(tmp_path, split=split, names=only)]

    assert names() == ['c']
    assert names('test') == ['b', 'a']
    assert names('all') == ['a', 'b', 'c']
    assert names(only=('b',)) == ['b']
    with pytest.raises(VosError, match=r"no split 'train'.*all, test, val"):
        names('train')
    with pytest.raises(VosError, match=r"no clip 'x'.*found are: a, b, c"):
        names(only=('x',))
    own_clip(tmp_path / 'kitchen 1')
    (tmp_path / 'ImageSets/val.txt').write_bytes('\ufeffc\r\n \r\nkitchen 1 \r\n'.encode())
    assert names() == ['c', 'kitchen 1'], 'as Windows writes a list, and a name with a space'


def test_a_folder_without_masks_says_which_layouts_there_are(tmp_path: Path) -> None:
    (tmp_path / 'a/images').mkdir(parents=True)
    with pytest.raises(VosError, match=r'JPEGImages/480p/.*CLIP/images/\*\.jpg'):
        open_labelled(tmp_path)
    write_sequence(tmp_path / 'davis', 'car', moving(1, 2))
    assert isinstance(open_labelled(tmp_path / 'davis')[0], DavisSequence)
