# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Clips: what the composer promises, on photographs and a video drawn here."""

from dataclasses import replace
import logging

import cv2
import numpy as np
import pytest

from vos_distill.data import (
    ClipComposer,
    ClipConfig,
    MemoryVideo,
    pick_object,
    Still,
    Video,
)
from vos_distill.data.motion import _thin_plate_basis
from vos_distill.data.real_clip import video_shares
from vos_distill.data.turning import seen_from


def disc(size: int, x: int, y: int, radius: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(x + y)
    image = cv2.resize(rng.integers(0, 255, (9, 9, 3), dtype=np.uint8), (size, size))
    label = np.zeros((size, size), np.uint8)
    cv2.circle(label, (x, y), radius, 1, -1)
    image[label > 0] = (250, 20, 20)
    return image, label


@pytest.fixture(scope='module')
def stills() -> list[Still]:
    return [Still(*disc(96, 30 + 5 * i, 50, 18), 'ecssd') for i in range(6)]


@pytest.fixture(scope='module')
def videos() -> list[Video]:
    video = MemoryVideo('disc')
    for t in range(12):
        image, label = disc(96, 30 + 2 * t, 50, 16)
        video.images.append(image)
        video.labels.append(label)
    return [video]


@pytest.mark.parametrize('real', [0.0, 1.0], ids=['composed', 'real'])
def test_clips_have_their_shape_and_show_object_one(
    stills: list[Still], videos: list[Video], real: float
) -> None:
    config = ClipConfig(size=64, frames=4, real=real)
    composer = ClipComposer(stills, videos, config).clips(1)
    for _ in range(20):
        images, labels, *_ = next(composer)
        assert images.shape == (4, 64, 64, 3)
        assert images.dtype == np.uint8
        assert labels.shape == (4, 64, 64)
        assert set(np.unique(labels)) <= {0, 1, 2, 255}
        assert (labels[0] == 1).mean() > 0.003
        assert (labels[1:] == 1).any()


def test_same_seed_gives_the_same_clips(stills: list[Still], videos: list[Video]) -> None:
    config = ClipConfig(size=64, frames=3)
    a, b = (ClipComposer(stills, videos, config).clips(3) for _ in range(2))
    for _ in range(5):
        for x, y in zip(next(a)[:2], next(b)[:2], strict=True):
            np.testing.assert_array_equal(x, y)


def test_objects_move_and_keep_their_look(stills: list[Still]) -> None:
    """The label follows the object: its pixels stay redder than the rest of the picture."""
    config = ClipConfig(size=64, frames=4, real=0.0, occluder=0.0, bars=0.0, blur=0.0)
    composer = ClipComposer(stills, [], config).clips(2)
    moved = reddish = total = 0
    for _ in range(20):
        images, labels, *_ = next(composer)
        moved += int((labels[0] != labels[3]).any())
        for image, label in zip(images.astype(int), labels, strict=True):
            inside = label == 1
            if inside.sum() < 20:
                continue
            total += 1
            reddish += int(
                (image[..., 0] - image[..., 1])[inside].mean()
                >= (image[..., 0] - image[..., 1])[label == 0].mean() - 5
            )
    assert moved == 20
    assert reddish > 0.9 * total


def distances(stills: list[Still], beside: float) -> list[list[float]]:
    """Give, for clips with a crossing twin, how far apart the two are, per frame, px."""
    config = ClipConfig(
        size=96, frames=6, real=0.0, occluder=0.0, bars=0.0, twin=1.0, crossing=1.0,
        beside=beside,
    )  # fmt: skip
    composer = ClipComposer(stills, [], config).clips(4)
    found = []
    for _ in range(60):
        labels = next(composer).labels
        ids_seen = [{1, 2} <= set(np.unique(label)) for label in labels]
        if all(ids_seen):
            centres = [[np.argwhere(label == k).mean(0) for k in (1, 2)] for label in labels]
            found.append([float(np.linalg.norm(a - b)) for a, b in centres])
    return found


def test_a_twin_crosses_or_stays_beside(stills: list[Still]) -> None:
    crossing, beside = (np.array(distances(stills, share)) for share in (0.0, 1.0))
    assert min(len(crossing), len(beside)) > 8
    change = [np.median(np.ptp(d, axis=1)) for d in (crossing, beside)]
    assert change[1] < 0.6 * change[0]
    assert np.median(beside.max(1)) < np.median(crossing.max(1))


def test_a_thing_that_turns_shows_its_side_and_loses_its_front() -> None:
    front = np.full((20, 40, 4), (200, 0, 0, 255), np.uint8)
    side = np.full((20, 30, 4), (0, 200, 0, 255), np.uint8)

    def widths(angle: float) -> tuple[int, int, int]:
        seen = seen_from(front, side, angle, 70, leftwards=True)
        row = seen[10]
        solid = row[:, 3] > 127
        red, green = row[:, 0] > row[:, 1], row[:, 1] > row[:, 0]
        assert np.count_nonzero(np.diff(np.flatnonzero(solid)) > 1) == 0  # one silhouette
        return int((solid & red).sum()), int((solid & green).sum()), int(solid.sum())

    assert widths(0.0) == (40, 0, 40) or widths(0.0)[1] <= 1
    red, green, whole = widths(np.pi / 4)
    assert red + green == whole
    assert 20 <= red <= 28
    assert 15 <= green <= 21
    assert widths(np.pi / 2)[1] >= 29


def shown_later(stills: list[Still], **shares: float) -> float:
    """Give how much larger objects are on the last frame than on the first, a median."""
    config = ClipConfig(
        size=96, frames=3, real=0.0, occluder=0.0, bars=0.0, zoom=0.0, bend=0.0, blur=0.0,
        speed=0.0, camera_speed=0.0, shear=0.0, **shares,
    )  # fmt: skip
    composer = ClipComposer(stills, [], config)
    rng = np.random.default_rng(5)
    grown = []
    while len(grown) < 60:
        clip = composer.compose(rng)
        if clip is not None and (clip.revealed or not shares):
            labels = clip.labels
            grown.append((labels[-1] == 1).sum() / (labels[0] == 1).sum())
    return float(np.median(grown))


@pytest.mark.parametrize('name', ['reveal', 'enter'])
def test_a_clip_that_reveals_shows_more_of_an_object_than_its_first_frame(
    stills: list[Still], name: str
) -> None:
    assert shown_later(stills, **{name: 1.0}) > shown_later(stills) + 0.1


def test_clips_are_what_they_were_where_nothing_is_revealed(stills: list[Still]) -> None:
    config = ClipConfig(size=64, frames=3, real=0.0)
    clips = ClipComposer(stills, [], config).clips(3)
    for _ in range(10):
        assert not next(clips).revealed


def test_a_family_has_its_share_whatever_the_number_of_its_clips(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def clip(source: str, name: str, frames: int) -> MemoryVideo:
        return MemoryVideo(name, [np.zeros((4, 4, 3), np.uint8)] * frames, source=source)

    videos: list[Video] = [
        clip('mixed', 'sbi_1', 10), clip('mixed', 'sbi_2', 30), clip('mixed', 'vsb_1', 5),
        clip('davis', 'goat', 100),
    ]  # fmt: skip
    shares = video_shares(videos, {'mixed/sbi': 1.0, 'mixed': 2.0})
    np.testing.assert_allclose(shares, [1 / 16, 3 / 16, 2 / 4, 1 / 4])
    np.testing.assert_allclose(video_shares(videos, {}), np.array([10, 30, 5, 60]) / 105)
    with pytest.raises(ValueError, match='every clip has the weight 0'):
        video_shares(videos, {'mixed': 0.0, 'davis': 0.0})
    assert not caplog.text
    with caplog.at_level(logging.INFO):
        video_shares(videos, {'mixed/sbi': 1.0, 'mixde': 2.0})
    assert 'families: no clip is of mixde' in caplog.text


def test_pick_object_leaves_out_what_fills_the_picture() -> None:
    everything = Still(np.zeros((20, 20, 3), np.uint8), np.ones((20, 20), np.uint8), 'ecssd')
    assert pick_object(everything, np.random.default_rng(0)) is None


def filmed(labels: list[np.ndarray], stride: int = 1) -> MemoryVideo:
    """Give a video whose red tells the number of the frame: 4 for each."""
    video = MemoryVideo('film', stride=stride)
    for number, label in enumerate(labels):
        image = np.full((*label.shape, 3), 60, np.uint8)
        image[..., 0] = 4 * number
        video.images.append(image)
        video.labels.append(label)
    return video


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> ClipConfig:
    """Real clips with nothing drawn over them and their own colours."""
    monkeypatch.setattr('vos_distill.data.compose.photometric', lambda images, *_: images)
    return ClipConfig(
        size=64, frames=3, real=1.0, paste_on_real=0.0, occluder=0.0, bars=0.0, max_gap=6
    )


def gaps(composer: ClipComposer, progress: float = 0.0, clips: int = 150) -> set[int]:
    """Collect the gaps between neighbours of real clips, frames."""
    found: set[int] = set()
    source = composer.clips(1, progress)
    for _ in range(clips):
        numbers = np.median(next(source)[0][..., 0], axis=(1, 2)) / 4
        found |= set(np.abs(np.diff(np.round(numbers))).astype(int).tolist())
    return found


def test_gap_follows_its_schedule(stills: list[Still], plain: ClipConfig) -> None:
    video = filmed([disc(64, 32, 32, 14)[1]] * 60)
    assert gaps(ClipComposer(stills, [video], plain), 0.5) == {1, 2, 3, 4, 5, 6}
    config = replace(plain, gap_schedule=[[0.0, 2], [0.5, 10], [1.0, 3]])
    composer = ClipComposer(stills, [video], config)
    for progress, widest in ((0.0, 2), (0.25, 6), (0.5, 10), (1.0, 3)):
        assert gaps(composer, progress) == set(range(1, widest + 1))


def test_gap_counts_frames_of_the_camera(stills: list[Still], plain: ClipConfig) -> None:
    video = filmed([disc(64, 32, 32, 14)[1]] * 60, stride=3)
    assert gaps(ClipComposer(stills, [video], plain)) == {1, 2}


@pytest.mark.parametrize(
    'schedule', [[[0.5, 5], [0.1, 9]], [[0.0, 0]], [[2.0, 5]], [[0.1, 2, 3]]], ids=str
)
def test_schedule_that_makes_no_sense_is_refused(schedule: list[list[float]]) -> None:
    with pytest.raises(ValueError, match=r'clip\.gap_schedule is'):
        ClipConfig(gap_schedule=schedule)


def test_what_the_first_frame_does_not_show_is_background(
    stills: list[Still], plain: ClipConfig
) -> None:
    """Object 9 is there all the time, object 4 from frame 10 on."""
    early, late = (np.zeros((64, 64), np.uint8) for _ in range(2))
    early[20:44, 8:28] = late[20:44, 8:28] = 9
    late[20:44, 36:56] = 4
    video = filmed([early] * 10 + [late] * 10)
    composer = ClipComposer(stills, [video], plain).clips(3)
    alone = both = 0
    for _ in range(60):
        images, labels, *_ = next(composer)
        starts_late = np.median(images[0, ..., 0]) >= 38
        assert ((labels[0] == 2).any()) == starts_late
        if not starts_late:
            assert not (labels == 2).any()
        alone, both = alone + (not starts_late), both + starts_late
    assert min(alone, both) > 5


def test_a_clip_starts_where_an_object_is_seen(stills: list[Still], plain: ClipConfig) -> None:
    """The object is seen on a third of the frames; a draw without it is made again."""
    empty, seen = np.zeros((64, 64), np.uint8), disc(64, 32, 32, 14)[1]
    video = filmed([seen if 8 <= t < 16 else empty for t in range(24)])
    composer = ClipComposer(stills, [video], replace(plain, max_gap=1))
    rng = np.random.default_rng(3)
    found = [composer.compose(rng) for _ in range(60)]
    assert sum(clip is not None for clip in found) > 45
    assert all((clip[1][0] == 1).any() for clip in found if clip is not None)


def test_thin_plate_spline_moves_its_points_as_told() -> None:
    places = (np.array([3, 10, 12, 5]) + 0.5) / 16  # middles of cells of the coarse grid
    points = np.stack([places, places[::-1]], axis=1)
    basis = _thin_plate_basis(points)
    assert basis.shape == (16, 16, 4)
    moved = basis @ np.array([[2.0, 0.0], [0.0, -3.0], [1.0, 1.0], [0.0, 0.0]])
    for (x, y), expected in zip(
        (points * 16).astype(int), ([2, 0], [0, -3], [1, 1], [0, 0]), strict=True
    ):
        np.testing.assert_allclose(moved[y, x], expected, atol=1e-8)
    together = basis @ np.tile([5.0, -1.0], (4, 1))  # all of them alike: everything goes along
    np.testing.assert_allclose(together, np.broadcast_to([5.0, -1.0], (16, 16, 2)), atol=1e-8)


@pytest.mark.parametrize('what', ['spline', 'jpeg'])
def test_more_augmentation_changes_clips_and_keeps_their_shape(
    stills: list[Still], what: str
) -> None:
    plain = ClipConfig(size=64, frames=3, real=0.0, bend=0.03)
    more = replace(plain, **{what: 1.0})
    a, b = (next(ClipComposer(stills, [], c).clips(5)) for c in (plain, more))
    assert a[0].shape == b[0].shape
    assert (a[0] != b[0]).mean() > 0.1
    assert set(np.unique(b[1])) <= {0, 1, 2, 255}


def test_void_of_a_photograph_stays_void_around_the_object_that_is_tracked() -> None:
    image, label = disc(96, 48, 48, 22)
    cv2.circle(label, (48, 48), 24, 255, 4)
    stills = [Still(image, label, 'mine')]
    plain = ClipConfig(size=64, frames=3, real=0.0, occluder=0.0, bars=0.0)
    composer = ClipComposer(stills, [], plain).clips(0)
    ringed = whole = 0
    for _ in range(12):
        labels = next(composer).labels
        assert set(np.unique(labels)) <= {0, 1, 2, 255}
        ringed += bool((labels[0] == 255).any())
        whole += not (labels == 255).any()
    assert ringed, 'photographs whose object is tracked as background'
    assert whole, 'and others, of which only the object is seen'


def test_ids_of_a_set_of_one_s_own_are_objects_of_their_own() -> None:
    label = np.zeros((96, 96), np.uint8)
    label[10:40, 10:40], label[50:90, 50:90] = 3, 7
    image = np.zeros((96, 96, 3), np.uint8)
    rng = np.random.default_rng(0)
    sizes = set()
    for _ in range(20):
        mask = pick_object(Still(image, label, 'mine'), rng)
        assert mask is not None
        sizes.add(int(mask.sum()))
    assert sizes == {30 * 30, 40 * 40}
    person = pick_object(Still(image, label, 'ccp'), np.random.default_rng(0))
    assert person is not None  # parts: all of them, or some, whatever they are called
    group = [pick_object(Still(image, label, 'pascal_s'), rng) for _ in range(40)]
    assert {int(mask.sum()) for mask in group if mask is not None} == {900, 1600, 2500}


def doubtful(videos: list[Video]) -> list[Video]:
    """Give the same videos with labels that are not sure where the object is."""
    changed = []
    for video in videos:
        assert isinstance(video, MemoryVideo)
        sure = [np.where(label == 1, 100, 255).astype(np.uint8) for label in video.labels]
        changed.append(replace(video, confidences=sure))
    return changed


def test_confidence_goes_where_the_labels_go(stills: list[Still], videos: list[Video]) -> None:
    config = ClipConfig(size=64, frames=4, real=1.0, paste_on_real=0.0, occluder=0.0, bars=0.0)
    composer = ClipComposer(stills, doubtful(videos), replace(config, twin=0.0))
    rng = np.random.default_rng(1)
    for _ in range(10):
        clip = composer.compose(rng)
        assert clip is not None
        assert clip.confidence is not None
        assert clip.confidence.shape == clip.labels.shape
        low, objects = clip.confidence < 178, clip.labels == 1
        assert (low & objects).sum() > 0.9 * (low | objects).sum()
    composer.videos = []
    clip = composer.compose(rng)
    assert clip is not None
    assert clip.confidence is None, 'that of the clip before'


def test_confidence_changes_no_clip_and_what_is_laid_over_it_is_sure(
    stills: list[Still], videos: list[Video]
) -> None:
    config = ClipConfig(size=64, frames=4, real=1.0, paste_on_real=1.0, occluder=1.0, twin=0.7)
    composers = [ClipComposer(stills, given, config) for given in (doubtful(videos), videos)]
    rngs = [np.random.default_rng(3) for _ in composers]
    hidden = 0
    for _ in range(20):
        one, other = (c.compose(rng) for c, rng in zip(composers, rngs, strict=True))
        assert (one is None) == (other is None)
        if one is None or other is None:
            continue
        assert other.confidence is None
        for mine, its in zip(one[:2], other[:2], strict=True):
            np.testing.assert_array_equal(mine, its)
        assert one.confidence is not None
        # a second object was laid over the video
        hidden += int((one.confidence[one.labels == 2] == 255).sum())
        assert (one.confidence[one.labels == 2] == 255).all()
    assert hidden > 0
