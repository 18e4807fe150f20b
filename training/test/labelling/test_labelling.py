# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Raw videos become a data set: on drawn clips, with a segmenter that finds what is red."""

from hashlib import sha256
import json
import os
from pathlib import Path
import signal
import subprocess
import sys

import cv2
import numpy as np
import pytest

onnx = pytest.importorskip('onnx', reason='the segmenter of a test is written with onnx')

from onnx import helper, TensorProto  # noqa: E402

from vos_distill.data.videos import load_videos  # noqa: E402
from vos_distill.labelling.agreement import (  # noqa: E402
    areas_of,
    label_clip,
    propose,
    propose_near,
    runs_of,
)
from vos_distill.labelling.follow import StudentTracker  # noqa: E402
from vos_distill.labelling.measure import mean_jf, measure  # noqa: E402
from vos_distill.labelling.package import join_chunks  # noqa: E402
from vos_distill.labelling.process import crop_around, iou, parts_of, Rules, SalientMaps  # noqa: E402
from vos_distill.labelling.run import find_videos, label_videos, Options  # noqa: E402
from vos_distill.labelling.salient import OnnxSalient  # noqa: E402
from vos_ros.evaluation.metrics import ObjectScore, Statistics  # noqa: E402
from vos_ros.formats.label_png import read_label_png  # noqa: E402

SIZE = 160


def red_finder(path: Path, side: int = 128) -> Path:
    """Write a network that finds red: sigmoid(40 (R - G) - 8), through a Resize of baked size."""
    weight = np.zeros((1, 3, 1, 1), np.float32)
    weight[0, :2, 0, 0] = 40, -40
    half = np.array([1, 1, side // 2, side // 2], np.int64)
    whole = np.array([1, 1, side, side], np.int64)
    nodes = [
        helper.make_node('Conv', ['input', 'weight', 'bias'], ['red']),
        *(
            helper.make_node('Constant', [], [name], value=onnx.numpy_helper.from_array(value))
            for name, value in (('half', half), ('whole', whole))
        ),
        helper.make_node('Resize', ['red', '', '', 'half'], ['small'], mode='linear'),
        helper.make_node('Resize', ['small', '', '', 'whole'], ['large'], mode='linear'),
        helper.make_node('Sigmoid', ['large'], ['output']),
    ]
    graph = helper.make_graph(
        nodes,
        'red',
        [helper.make_tensor_value_info('input', TensorProto.FLOAT, [1, 3, side, side])],
        [helper.make_tensor_value_info('output', TensorProto.FLOAT, [1, 1, side, side])],
        [
            onnx.numpy_helper.from_array(weight, 'weight'),
            onnx.numpy_helper.from_array(np.array([-8], np.float32), 'bias'),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 15)], ir_version=8)
    onnx.save(model, path)
    return path


def scene(count: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Draw a red thing that moves and grows a second red part, and its true masks."""
    rng = np.random.default_rng(1)
    ground = cv2.resize(rng.integers(40, 160, (12, 16, 1), np.uint8), (SIZE * 4 // 3, SIZE))
    images, masks = [], []
    for t in range(count):
        image = np.repeat(ground[..., None], 3, axis=2)
        mask = np.zeros(ground.shape, np.uint8)
        cv2.circle(mask, (50 + 4 * t, 80), 22, 1, -1)
        body = mask > 0
        cv2.rectangle(mask, (50 + 4 * t, 60), (72 + 4 * t + 3 * t, 100), 1, -1)
        image[mask > 0] = (200, 40, 90)  # what comes in is of another red
        image[body] = (230, 30, 30)
        images.append(image)
        masks.append(mask)
    return images, masks


@pytest.fixture(scope='module')
def salient(tmp_path_factory: pytest.TempPathFactory) -> OnnxSalient:
    return OnnxSalient(red_finder(tmp_path_factory.mktemp('onnx') / 'red.onnx'), threads=1)


@pytest.fixture(scope='module')
def tracker() -> StudentTracker:
    return StudentTracker('fast_mb_slim', 160, threads=1)


def write_video(folder: Path, images: list[np.ndarray]) -> None:
    folder.mkdir(parents=True)
    for t, image in enumerate(images):
        cv2.imwrite(str(folder / f'{t:05d}.png'), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))


def test_a_segmenter_runs_at_another_size_and_finds_the_same(tmp_path: Path) -> None:
    path = red_finder(tmp_path / 'red.onnx')
    image, mask = (x[3] for x in scene(4))
    whole, small = OnnxSalient(path, threads=1), OnnxSalient(path, 64, threads=1)
    assert (whole.side, small.side) == (128, 64)
    for one in (whole, small):
        assert iou(one(image) > 0.5, mask > 0) > 0.85


@pytest.mark.parametrize(
    ('side', 'said'), [(100, 'multiple of 32'), (0, 'cannot be read as an ONNX')]
)
def test_a_segmenter_that_cannot_be_used_is_one_message(
    tmp_path: Path, side: int, said: str
) -> None:
    path = tmp_path / 'red.onnx'
    if side:
        red_finder(path)
    else:
        path.write_bytes(b'not a network')
    with pytest.raises(ValueError, match=said):
        OnnxSalient(path, side)


def test_the_segmenter_takes_in_what_the_tracker_has_never_seen(
    salient: OnnxSalient, tracker: StudentTracker
) -> None:
    images, masks = scene(8)
    found = label_clip(images, masks[0], tracker, salient)
    assert len(found.labels) == 8
    assert (found.labels[0] == masks[0]).all()
    assert iou(found.best[-1] == 1, masks[-1] > 0) > 0.9
    assert min(found.agreement) > 0.5
    assert found.confidence[-1][:20].min() > 200  # far from the object all is sure


def test_a_segmenter_that_draws_something_else_around_the_first_mask_is_not_asked_again(
    salient: OnnxSalient, tracker: StudentTracker
) -> None:
    images, masks = scene(4)
    half = masks[0].copy()
    half[:80] = 0  # the prompt is the lower half only
    found = label_clip(images, half, tracker, salient)
    assert found.calls == 1


def test_a_crop_that_hardly_moves_is_looked_at_once(salient: OnnxSalient) -> None:
    image = scene(1)[0][0]
    maps = SalientMaps(salient)
    maps.at(0, image, (20, 30, 100, 90))
    maps.at(0, image, (22, 31, 100, 90))
    assert maps.calls == 1
    maps.at(0, image, (60, 60, 80, 60))
    maps.at(1, image, (60, 60, 80, 60))
    assert maps.calls == 3


def test_of_the_segmenter_only_parts_count_that_the_track_touches() -> None:
    found = np.zeros((20, 20), np.float32)
    found[2:8, 2:8] = found[12:18, 12:18] = 0.9
    track = np.zeros((20, 20), np.uint8)
    track[5, 5] = 1
    kept = parts_of(found, track)
    assert kept[3, 3] > 0.5
    assert kept[15, 15] == 0


def test_a_crop_stays_inside_of_the_picture() -> None:
    mask = np.zeros((50, 60), np.uint8)
    mask[0:20, 40:60] = 1
    assert crop_around(mask, 0.5) == (30, 0, 30, 30)


def test_a_clip_is_cut_where_nothing_agrees() -> None:
    agreement = [1, 1, 1, 1, 0.2, 1, 1, 0.1, 0.9, 0.9, 0.9, 0.9, 0.9]
    assert [run.tolist() for run in runs_of(agreement)] == [[0, 1, 2, 3], [8, 9, 10, 11, 12]]
    assert runs_of([0.1, 0.2]) == []


def test_the_ends_of_a_clip_are_left_out_where_the_area_jumps() -> None:
    sizes = [900, 200, 210, 220, 230, 700, 240, 250, 260, 40]
    labels = [np.zeros((40, 40), np.uint8) for _ in sizes]
    for label, size in zip(labels, sizes, strict=True):
        label.ravel()[:size] = 1
    (run,) = runs_of([1.0] * 10, areas=areas_of(labels))
    assert run.tolist() == [1, 2, 3, 4, 5, 6, 7, 8]  # a jump in the middle cuts nothing


def test_an_object_that_the_segmenter_was_not_asked_for_is_never_wholly_agreed(
    salient: OnnxSalient, tracker: StudentTracker
) -> None:
    images, masks = scene(8)
    half = masks[0].copy()
    half[:80] = 0  # the segmenter draws the whole and is not trusted
    ground = np.full_like(images[0], 100)
    images = images[:4] + [ground] * 4
    found = label_clip(images, half, tracker, salient, backwards=False)
    assert all(one > 0.3 for one in found.agreement[:3])
    gone = [i for i in range(4, 8) if not (found.best[i] == 1).any()]
    assert gone
    assert [found.agreement[i] for i in gone] == [0.0] * len(gone)
    none = label_clip(images, half, tracker, salient, alone=0.0, backwards=False)
    assert none.agreement[1:] == [0.0] * 7


def test_a_piece_of_a_thing_is_not_proposed_and_a_later_frame_is_tried(
    salient: OnnxSalient,
) -> None:
    images, masks = scene(12)

    def upper_half(image: np.ndarray) -> np.ndarray:
        found = salient(image)
        found[80:] = 0
        return found

    assert propose_near(images, upper_half, salient, 1) == (0, None)
    empty = [np.full_like(images[0], 100)] * 10
    start, label = propose_near(empty + images, salient, salient, 1)
    assert start == 10
    assert label is not None
    assert iou(label == 1, masks[0] > 0) > 0.85


def test_things_that_are_apart_are_proposed_as_objects_of_their_own(salient: OnnxSalient) -> None:
    image = np.full((120, 160, 3), 90, np.uint8)
    image[20:60, 20:60] = image[70:100, 100:140] = (230, 20, 20)
    image[5:9, 150:154] = (230, 20, 20)  # too small to be asked for
    label = propose(image, salient)
    assert label[40, 40] == 1
    assert label[85, 120] == 2
    assert set(np.unique(label)) == {0, 1, 2}
    assert not propose(np.full((64, 64, 3), 90, np.uint8), salient).any()


def test_raw_videos_become_a_data_set_that_the_trainer_reads(
    tmp_path: Path, salient: OnnxSalient, tracker: StudentTracker
) -> None:
    images, masks = scene(8)
    for name in ('one', 'two'):
        write_video(tmp_path / 'raw' / name, images)
    (tmp_path / 'raw' / 'broken.mp4').write_bytes(b'no video')
    told: list[str] = []
    frames = label_videos(
        tmp_path / 'raw', tmp_path / 'set', tracker, salient, on_line=told.append
    )
    assert frames == 16
    assert any('broken' in line and 'left out' in line for line in told)
    videos = load_videos([tmp_path / 'set'])
    assert sorted(video.name for video in videos) == ['one_00000', 'two_00000']
    assert len(videos[0]) == 8
    stored = read_label_png(tmp_path / 'set/Annotations/480p/one_00000/00007.png')
    assert iou(stored == 1, masks[7] > 0) > 0.85
    confidence = cv2.imread(
        str(tmp_path / 'set/Confidences/480p/one_00000/00007.png'), cv2.IMREAD_UNCHANGED
    )
    assert confidence.shape == stored.shape
    page = (tmp_path / 'set' / 'index.html').read_text()
    assert page.count('data:image/jpeg') == 16
    assert 'two_00000: 8 frames' in page


def test_a_video_that_is_done_is_not_done_again_and_a_half_one_is(
    tmp_path: Path, salient: OnnxSalient, tracker: StudentTracker
) -> None:
    images, _ = scene(5)
    for name in ('one', 'two'):
        write_video(tmp_path / 'raw' / name, images)
    out = tmp_path / 'set'
    label_videos(tmp_path / 'raw', out, tracker, salient, on_line=lambda line: None)
    first = out / 'JPEGImages/480p/one_00000/00000.jpg'
    kept = first.stat().st_mtime_ns
    (out / 'labels' / 'two.json').unlink()  # as a call leaves it that was killed in the middle
    (out / 'JPEGImages/480p/two_00000/00003.jpg').unlink()
    assert label_videos(tmp_path / 'raw', out, tracker, salient, on_line=lambda line: None) == 5
    assert first.stat().st_mtime_ns == kept
    assert (out / 'JPEGImages/480p/two_00000/00003.jpg').is_file()


def test_a_given_mask_a_box_and_windows_are_taken(
    tmp_path: Path, salient: OnnxSalient, tracker: StudentTracker
) -> None:
    images, masks = scene(9)
    write_video(tmp_path / 'raw' / 'masked', images)
    write_video(tmp_path / 'raw' / 'boxed', images)
    (tmp_path / 'masks').mkdir()
    cv2.imwrite(str(tmp_path / 'masks' / 'masked.png'), masks[0] * 255)
    label_videos(
        tmp_path / 'raw', tmp_path / 'set', tracker, salient, masks=tmp_path / 'masks',
        boxes={'boxed': [(26, 56, 76, 104)]}, options=Options(every=2, most=8),
        on_line=lambda line: None,
    )  # fmt: skip
    for name in ('masked', 'boxed'):
        told = json.loads((tmp_path / 'set' / 'labels' / f'{name}.json').read_text())
        assert told['clips'][0]['frames'] == [0, 2, 4, 6, 8]
        stored = read_label_png(tmp_path / f'set/Annotations/480p/{name}_00000/00000.png')
        assert iou(stored == 1, masks[0] > 0) > 0.9


def test_a_video_is_done_anew_from_a_mask_that_is_given_later(
    tmp_path: Path, salient: OnnxSalient, tracker: StudentTracker
) -> None:
    images, masks = scene(6)
    write_video(tmp_path / 'raw' / 'thing', images)
    out, told = tmp_path / 'set', list[str]()

    def label(**given) -> int:
        told.clear()
        return label_videos(
            tmp_path / 'raw', out, tracker, salient, on_line=told.append, **given
        )  # fmt: skip

    assert label() == 6
    assert told[0].startswith('1/1 thing, from what stands out: 6 of 6 frames in 1 clips,')
    stale = out / 'labels' / 'thing.json'
    found = json.loads(stale.read_text())
    found['clips'].append({'name': 'thing_00099', 'frames': [99], 'agreement': [0.9]})
    stale.write_text(json.dumps(found))
    (out / 'JPEGImages' / '480p' / 'thing_00099').mkdir()
    (tmp_path / 'masks').mkdir()
    cv2.imwrite(str(tmp_path / 'masks' / 'thing.PNG'), masks[0] * 255)
    assert label(masks=tmp_path / 'masks') == 6
    assert told[0].startswith('1/1 thing, from its mask: 6 of 6 frames')
    assert not (out / 'JPEGImages' / '480p' / 'thing_00099').exists()
    assert label(masks=tmp_path / 'masks') == 0
    assert told == ['1 videos are done already']
    assert label(options=Options(every=2)) == 0
    assert told[1].startswith('thing: done with other options, which stay')
    assert label(boxes={'thing': [(26, 56, 76, 104)]}) == 6
    assert told[0].startswith('1/1 thing, from its box:')


def test_masks_are_found_whatever_the_case_and_what_is_none_is_told(
    tmp_path: Path, salient: OnnxSalient, tracker: StudentTracker
) -> None:
    images, masks = scene(4)
    write_video(tmp_path / 'raw' / 'thing', images)
    folder = tmp_path / 'masks'
    folder.mkdir()
    (folder / '._thing.png').write_bytes(b'left by another system')
    (folder / 'notes.txt').write_text('')

    def label() -> None:
        label_videos(
            tmp_path / 'raw', tmp_path / 'set', tracker, salient, masks=folder, on_line=print
        )

    label()
    cv2.imwrite(str(folder / 'thing.jpg'), masks[0] * 255)
    with pytest.raises(ValueError, match=r'thing\.jpg: masks are PNG files'):
        label()
    cv2.imwrite(str(folder / 'thing.png'), masks[0] * 255)
    label()  # a picture beside the mask is nobody's business
    (folder / 'thing.png').unlink()
    (folder / 'thing.jpg').rename(folder / 'thing.Png')
    (folder / 'thing.png').write_bytes(b'')
    with pytest.raises(ValueError, match='is for the same video'):
        label()


def test_why_nothing_is_kept_is_told_and_frames_are_counted_once(
    tmp_path: Path, salient: OnnxSalient, tracker: StudentTracker
) -> None:
    images, _ = scene(9)
    write_video(tmp_path / 'raw' / 'long', images)
    write_video(tmp_path / 'raw' / 'one', images[:1])
    write_video(tmp_path / 'raw' / 'two', images[:2])
    write_video(tmp_path / 'raw' / 'void', [np.full_like(images[0], 90)] * 5)
    told: list[str] = []
    frames = label_videos(
        tmp_path / 'raw', tmp_path / 'set', tracker, salient, options=Options(most=5),
        on_line=told.append,
    )  # fmt: skip
    assert frames == 9
    assert ': 9 of 9 frames in 2 clips,' in told[0]
    assert told[1] == '2/4 one: left out: one frame only; nothing can be followed'
    assert ': 0 of 2 frames in 0 clips (no 4 frames in a row with an agreement' in told[2]
    assert ': 0 of 5 frames in 0 clips (nothing stands out; give a mask' in told[3]


def test_what_was_asked_for_is_never_replaced_by_something_else(
    tmp_path: Path, salient: OnnxSalient, tracker: StudentTracker
) -> None:
    images, _ = scene(5)
    write_video(tmp_path / 'raw' / 'thing', images)
    told: list[str] = []
    with pytest.raises(ValueError, match='none of 1 videos'):
        label_videos(
            tmp_path / 'raw', tmp_path / 'set', tracker, salient,
            boxes={'thing': [(150, 100, 200, 150)]}, on_line=told.append,
        )  # fmt: skip
    assert 'finds nothing in the box (150, 100, 200, 150)' in told[0]
    (tmp_path / 'masks').mkdir()
    cv2.imwrite(str(tmp_path / 'masks' / 'thing.png'), np.full((100, 300), 255, np.uint8))
    with pytest.raises(ValueError, match='none of 1 videos'):
        label_videos(
            tmp_path / 'raw', tmp_path / 'set', tracker, salient, masks=tmp_path / 'masks',
            on_line=told.append,
        )  # fmt: skip
    assert 'another aspect ratio' in told[1]


@pytest.mark.parametrize(
    ('boxes', 'said'),
    [
        ({'thing': [(500, 0, 600, 90)]}, 'is outside of the video, 213x160 px'),
        ({'think': [(0, 0, 60, 90)]}, 'there is no video think'),
    ],
)
def test_a_box_for_nothing_is_one_message(
    tmp_path: Path, salient: OnnxSalient, tracker: StudentTracker, boxes: dict, said: str
) -> None:
    write_video(tmp_path / 'raw' / 'thing', scene(3)[0])
    told: list[str] = []
    with pytest.raises(ValueError, match=r'none of 1|no video think') as caught:
        label_videos(
            tmp_path / 'raw', tmp_path / 'set', tracker, salient, boxes=boxes, on_line=told.append
        )
    assert said in ' '.join([*told, str(caught.value)])


@pytest.mark.parametrize(('top', 'said'), [(300, 'ids are 1..254'), (0, 'empty')])
def test_a_mask_without_usable_ids_is_one_message(
    tmp_path: Path, salient: OnnxSalient, tracker: StudentTracker, top: int, said: str
) -> None:
    images, masks = scene(3)
    write_video(tmp_path / 'raw' / 'thing', images)
    (tmp_path / 'masks').mkdir()
    stored = np.where(masks[0] > 0, top, 0).astype(np.uint16)
    stored[:5, :5] = min(top, 2)  # two ids, so that it is no binary mask
    cv2.imwrite(str(tmp_path / 'masks' / 'thing.png'), stored)
    told: list[str] = []
    with pytest.raises(ValueError, match='none of 1 videos'):
        label_videos(
            tmp_path / 'raw', tmp_path / 'set', tracker, salient, masks=tmp_path / 'masks',
            on_line=told.append,
        )  # fmt: skip
    assert said in told[0]


@pytest.mark.parametrize('is_given', [True, False])
def test_once_a_given_object_is_lost_nothing_else_takes_its_place(
    tmp_path: Path, salient: OnnxSalient, tracker: StudentTracker, is_given: bool
) -> None:
    images, masks = scene(4)
    other = np.full_like(images[0], 100)
    cv2.circle(other, (180, 30), 20, (230, 30, 30), -1)
    write_video(tmp_path / 'raw' / 'thing', images + [np.full_like(other, 100)] * 3 + [other] * 9)
    (tmp_path / 'masks').mkdir()
    if is_given:
        cv2.imwrite(str(tmp_path / 'masks' / 'thing.png'), masks[0] * 255)
    label_videos(
        tmp_path / 'raw', tmp_path / 'set', tracker, salient, masks=tmp_path / 'masks',
        options=Options(most=8), on_line=lambda line: None,
    )  # fmt: skip
    told = json.loads((tmp_path / 'set' / 'labels' / 'thing.json').read_text())
    later = [frame for clip in told['clips'] for frame in clip['frames'] if frame >= 8]
    assert bool(later) != is_given


def test_lists_name_the_clips_that_are_there_and_blanks_in_names_do_no_harm(
    tmp_path: Path, salient: OnnxSalient, tracker: StudentTracker
) -> None:
    images, _ = scene(5)
    for name in ('my cup', 'v1.2', 'v1.3'):
        write_video(tmp_path / 'raw' / name, images)
    out = tmp_path / 'set'
    label_videos(tmp_path / 'raw', out, tracker, salient, on_line=lambda line: None)
    names = out / 'ImageSets/2017/train.txt'
    assert names.read_text().split('\n') == ['my_cup_00000', 'v1.2_00000', 'v1.3_00000', '']
    (out / 'JPEGImages/480p/v1.2_00000').rename(tmp_path / 'looked at and thrown away')
    label_videos(tmp_path / 'raw', out, tracker, salient, on_line=lambda line: None)
    assert names.read_text().split() == ['my_cup_00000', 'v1.3_00000']
    assert [video.name for video in load_videos([out])] == ['my_cup_00000', 'v1.3_00000']


def command(raw: Path, out: Path, network: Path) -> list[str]:
    code = 'from vos_distill.cli import main; main()'
    options = ['--segmenter', network, '--out', out, '--short-side', SIZE, '--threads', 1]
    return [sys.executable, '-c', code, 'label', str(raw), *map(str, options)]


@pytest.mark.parametrize(
    ('number', 'code'), [(signal.SIGTERM, 128 + signal.SIGTERM), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_a_call_that_is_stopped_in_the_middle_leaves_whole_clips_and_is_gone_on_with(
    tmp_path: Path, salient: OnnxSalient, tracker: StudentTracker, number: int, code: int
) -> None:
    for name, count in (('a', 5), ('b', 5), ('c', 30)):
        write_video(tmp_path / 'raw' / name, scene(5)[0] * (count // 5))
    out = tmp_path / 'set'
    line = command(tmp_path / 'raw', out, red_finder(tmp_path / 'red.onnx'))
    environment = os.environ | {'PYTHONUNBUFFERED': '1'}
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        for said in process.stdout:
            if said.startswith('2/3 b'):
                process.send_signal(number)
                break
        assert process.wait(timeout=120) == code
    assert (out / 'ImageSets/2017/train.txt').read_text().split() == ['a_00000', 'b_00000']
    for part in ('JPEGImages', 'Annotations', 'Confidences'):
        assert {
            clip.name: len(list(clip.iterdir())) for clip in (out / part / '480p').iterdir()
        } == {'a_00000': 5, 'b_00000': 5}
    label_videos(tmp_path / 'raw', out, tracker, salient, on_line=lambda line: None)
    assert sorted(file.name for file in (out / 'labels').iterdir()) == [
        'a.json',
        'b.json',
        'c.json',
    ]
    assert not (out / '.partial').exists()


def test_a_call_in_which_every_video_fails_exits_with_2(tmp_path: Path) -> None:
    (tmp_path / 'raw').mkdir()
    (tmp_path / 'raw' / 'broken.mp4').write_bytes(b'no video')
    line = command(tmp_path / 'raw', tmp_path / 'set', red_finder(tmp_path / 'red.onnx'))
    done = subprocess.run(line, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert 'none of 1 videos could be labelled' in done.stderr


def test_a_call_that_gives_no_clip_exits_with_2(tmp_path: Path) -> None:
    (tmp_path / 'raw' / 'grey').mkdir(parents=True)
    for index in range(5):  # nothing stands out
        cv2.imwrite(str(tmp_path / f'raw/grey/{index}.jpg'), np.full((64, 96, 3), 90, np.uint8))
    line = command(tmp_path / 'raw', tmp_path / 'set', red_finder(tmp_path / 'red.onnx'))
    for _ in range(2):  # and again, when the video is done
        done = subprocess.run(line, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 2
        assert 'holds no clip, as nothing could be labelled' in done.stderr
        assert 'Traceback' not in done.stderr
    assert (tmp_path / 'set/index.html').exists()


def test_boxes_are_in_pixels_of_the_video_not_of_what_it_was_reduced_to(
    tmp_path: Path, salient: OnnxSalient, tracker: StudentTracker
) -> None:
    images, masks = scene(5)
    doubled = [cv2.resize(image, None, fx=2, fy=2) for image in images]
    write_video(tmp_path / 'raw' / 'thing', doubled)
    label_videos(
        tmp_path / 'raw', tmp_path / 'set', tracker, salient,
        boxes={'thing': [(52, 112, 152, 208)]}, options=Options(short_side=SIZE),
        on_line=lambda line: None,
    )  # fmt: skip
    stored = read_label_png(tmp_path / 'set/Annotations/480p/thing_00000/00000.png')
    assert iou(stored == 1, masks[0] > 0) > 0.85


def test_two_videos_of_one_name_are_refused(
    tmp_path: Path, salient: OnnxSalient, tracker: StudentTracker
) -> None:
    write_video(tmp_path / 'raw' / 'thing', scene(3)[0])
    (tmp_path / 'raw' / 'thing.mp4').write_bytes(b'-')
    with pytest.raises(ValueError, match='several videos are called thing'):
        label_videos(tmp_path / 'raw', tmp_path / 'set', tracker, salient)


def test_a_network_in_chunks_is_joined_and_a_damaged_chunk_is_named(tmp_path: Path) -> None:
    parts = [b'one', b'two!', b'3']
    names = [sha256(part).hexdigest() for part in parts]
    for name, part in zip(names, parts, strict=True):
        (tmp_path / name).write_bytes(part)
    chunks = [{'hash': names[i], 'offsets': [offset, 0]} for i, offset in ((2, 7), (0, 0), (1, 3))]
    (tmp_path / 'resources.json').write_text(json.dumps({'/models/medium': {'chunks': chunks}}))
    assert join_chunks(tmp_path, tmp_path / 'out.onnx') == 8
    assert (tmp_path / 'out.onnx').read_bytes() == b'onetwo!3'
    with pytest.raises(ValueError, match='has no /models/small; there are /models/medium'):
        join_chunks(tmp_path, tmp_path / 'out.onnx', '/models/small')
    (tmp_path / names[1]).write_bytes(b'tw')
    with pytest.raises(ValueError, match='is missing or damaged'):
        join_chunks(tmp_path, tmp_path / 'out.onnx')


def test_raw_videos_become_a_student_that_the_engine_runs(
    tmp_path: Path, salient: OnnxSalient, tracker: StudentTracker
) -> None:
    pytest.importorskip('lightning_fabric', reason='training needs lightning-fabric')
    from vos_distill.evaluation.evaluate import export_model, load_network
    from vos_distill.loop.train import train
    from vos_distill.recipe import Recipe

    images, masks = scene(6)
    write_video(tmp_path / 'raw' / 'thing', images)
    label_videos(tmp_path / 'raw', tmp_path / 'data/labelled', tracker, salient, on_line=print)
    recipe = Recipe.of(
        {
            'preset': 'fast_mb_slim', 'init': 'models/fast_mb_slim', 'videos': ['labelled'],
            'steps': 2, 'batch': 1, 'workers': 0,
            'clip': {'size': 64, 'frames': 3, 'real': 1.0, 'paste_on_real': 0.0, 'occluder': 0.0,
                     'bars': 0.0},
        },
        'test',
    )  # fmt: skip
    weights = train(recipe, tmp_path / 'data', tmp_path / 'run')
    student, _ = load_network(weights)
    export_model(
        student, tmp_path / 'model', name='mine', preset='fast_mb_slim', short_side=160,
        card={'license': 'unspecified', 'data': [], 'scores': {}, 'recipe': ''},
    )  # fmt: skip
    mine = StudentTracker(tmp_path / 'model', threads=1)
    mine.start(images[0], masks[0])
    assert iou(mine.look(images[1]).argmax(0) == 1, masks[1] > 0) > 0.7


def test_no_videos_is_one_message(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='no videos'):
        find_videos(tmp_path)


def test_the_process_is_measured_beside_the_tracker(
    tmp_path: Path, salient: OnnxSalient, tracker: StudentTracker
) -> None:
    images, masks = scene(8)
    for t, (image, mask) in enumerate(zip(images, masks, strict=True)):
        for part, data in (('JPEGImages', image), ('Annotations', mask * 255)):
            folder = tmp_path / part / '480p' / 'thing'
            folder.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(folder / f'{t:05d}.png'), data)
    (one,) = measure(tmp_path, tracker, salient, rules=Rules(), on_line=lambda line: None)
    assert one.frames == 8
    tracker_jf, process_jf = mean_jf([one.tracker]), mean_jf([one.process])
    assert process_jf > 0.9
    assert process_jf > tracker_jf - 0.01
    assert one.kept == 1
    # the files hold void where nobody is sure, and that counts against them
    assert process_jf - 0.1 < mean_jf([one.written]) < process_jf


def test_the_mean_of_a_set_is_over_objects_as_in_vos_eval() -> None:
    good, bad = (ObjectScore(*[Statistics.of([x, x])] * 2, frames=2) for x in (1.0, 0.4))
    assert mean_jf([{1: good, 2: good, 3: good}, {1: bad}]) == pytest.approx(0.85)
