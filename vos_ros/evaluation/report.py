# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Pictures for people: overlays, overlay videos and the sheet of the worst frames."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
import importlib
from pathlib import Path
import shutil
import subprocess
from types import TracebackType
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from vos_ros.datatypes import Frame, Image, LabelMap
from vos_ros.errors import VosError
from vos_ros.evaluation.metrics import present_ids
from vos_ros.formats.label_png import davis_palette

_PALETTE = davis_palette()
_CONTOUR = (255, 255, 255)
_TRUTH = (0, 255, 0)
_TILE_WIDTH_PX = 426
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_CAPTION_PX = 22
#: An id is placed on one of so many rows or columns; every pixel of a large image would cost ms.
_PLACES = 240
_MP4V_NOTE = 'MPEG-4 (plays in VLC and mpv, not in browsers; pip install imageio-ffmpeg for H.264)'


def draw_overlay(
    image: Image, label_map: LabelMap, *, alpha: float = 0.5, contour: bool = True
) -> Image:
    """
    Colour the objects of an image by DAVIS's palette, with a line around each.

    :param image: (H, W, 3) uint8 rgb8; not changed.
    :param label_map: (H, W) uint8 or uint16; ids above 255 share the colours of id % 255.
    :param alpha: opacity of the colours, 0..1.
    :param contour: draw the outlines.
    :return: (H, W, 3) uint8 rgb8.
    """
    ids = present_ids(label_map)
    result: Image = np.array(image, np.uint8, order='C')
    if not ids:
        return result
    top, bottom, left, right = _bounds(label_map)
    # Only where objects are, and the line may lie around them.
    rows, cols = slice(max(top - 2, 0), bottom + 3), slice(max(left - 2, 0), right + 3)
    labels, part = label_map[rows, cols], result[rows, cols]
    inside = labels != 0
    colours = _PALETTE[_palette_rows(labels)]
    blended = cv2.addWeighted(part, 1 - alpha, colours, alpha, 0)
    np.copyto(part, blended, where=inside[..., None])
    if contour:
        for object_id in ids:
            # Lighter than the object's colour, which is dark for most ids.
            light = tuple(255 - (255 - c) // 2 for c in colour_of(object_id))
            _draw_contour(part, labels == object_id, light)
    return result


def draw_ids(image: Image, label_map: LabelMap) -> Image:
    """
    Write the id of each object onto it, for colours alone do not say which one is which.

    :param image: (H, W, 3) uint8; not changed.
    :param label_map: (H, W) uint8 or uint16.
    :return: (H, W, 3) uint8, white on black in any order of channels.
    """
    result: Image = np.array(image, np.uint8, order='C')
    scale = max(0.4, label_map.shape[0] / 800)
    step = max(1, min(label_map.shape) // _PLACES)
    coarse = label_map[::step, ::step]
    for object_id in present_ids(label_map):
        rows, cols = (step * at for at in np.nonzero(coarse == object_id))
        if not len(rows):  # it lies between those
            rows, cols = np.nonzero(label_map == object_id)
        # The pixel nearest the centre: the centre itself may lie outside, as a ring's does.
        nearest = np.argmin((rows - rows.mean()) ** 2 + (cols - cols.mean()) ** 2)
        text = str(object_id)
        (width, height), _ = cv2.getTextSize(text, _FONT, scale, 1)
        at = (int(cols[nearest]) - width // 2, int(rows[nearest]) + height // 2)
        for ink, thickness in (((0, 0, 0), 3), ((255, 255, 255), 1)):
            cv2.putText(result, text, at, _FONT, scale, ink, thickness, cv2.LINE_AA)
    return result


def colour_of(object_id: int) -> tuple[int, int, int]:
    """
    Give an object's colour, RGB 0..255.

    :param object_id: 1 or more.
    """
    row = int(_palette_rows(np.array(object_id)))
    red, green, blue = (int(c) for c in _PALETTE[row])
    return red, green, blue


def draw_truth(image: Image, pred: LabelMap, gt: LabelMap) -> Image:
    """
    Draw the true objects, tinted and with a green outline, where the prediction's is white.

    :param image: (H, W, 3) uint8 rgb8; not changed.
    :param pred: (H, W) predicted ids.
    :param gt: (H, W) true ids.
    """
    result = draw_overlay(image, gt, alpha=0.35, contour=False)
    for object_id in present_ids(gt):
        _draw_contour(result, gt == object_id, _TRUTH)
    for object_id in present_ids(pred):
        _draw_contour(result, pred == object_id, _CONTOUR)
    return result


def to_rgb(frame: Frame) -> Image:
    """
    Give a frame's image as rgb8, as a view.

    :param frame: rgb8 or bgr8.
    """
    return frame.image if frame.encoding == 'rgb8' else frame.image[..., ::-1]


def write_image(path: Path, image: Image) -> None:
    """
    Write a picture, and the folders above it where they are missing.

    :param path: its suffix chooses the format.
    :param image: (H, W, 3) uint8 rgb8.
    :raises VosError: the file cannot be written.
    """
    _, data = cv2.imencode(path.suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.tobytes())
    except OSError as error:
        raise VosError(f'cannot write {path}: {error.strerror}; choose another folder') from error


class OverlayVideo:
    """
    An mp4 of overlays: H.264 through ffmpeg where there is one, so that browsers play it.

    ffmpeg is taken from the package imageio-ffmpeg or from the PATH; without it
    OpenCV writes MPEG-4. `codec` says which it was.
    """

    def __init__(self, path: Path, *, rate_hz: float = 25.0, alpha: float = 0.5) -> None:
        """
        Prepare the file; it is opened by the first frame, whose size it takes.

        :param path: of the mp4 file.
        :param rate_hz: frames per second.
        :param alpha: opacity of the colours.
        """
        self.path = path
        self.codec = ''
        self.frames = 0
        self._rate_hz = rate_hz
        self._alpha = alpha
        self._size = (0, 0)
        self._ffmpeg: subprocess.Popen[bytes] | None = None
        self._cv2: Any = None

    def __enter__(self) -> OverlayVideo:
        """Begin; nothing is opened yet."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Finish the file, so that it plays also after an error or Ctrl-C."""
        self.close()

    def write(self, frame: Frame, label_map: LabelMap) -> None:
        """
        Append one frame with its objects and their ids drawn over it.

        :param frame: any size; later ones are fitted to the first one's.
        :param label_map: (H, W) of the frame.
        :raises VosError: the file cannot be written.
        """
        painted = draw_overlay(to_rgb(frame), label_map, alpha=self._alpha)
        self.write_image(draw_ids(painted, label_map))

    def write_image(self, image: Image) -> None:
        """
        Append a picture as it is.

        :param image: (H, W, 3) uint8 rgb8.
        :raises VosError: the file cannot be written.
        """
        if not self.frames:
            self._open(image.shape[0], image.shape[1])
        picture = self._fit(image)
        if self._ffmpeg is not None and self._ffmpeg.stdin is not None:
            try:
                self._ffmpeg.stdin.write(picture.tobytes())
            except OSError as error:
                raise VosError(f'cannot write the video {self.path}: is the disk full?') from error
        else:
            self._cv2.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        self.frames += 1

    def close(self) -> None:
        """Finish the file; harmless if done twice."""
        if self._ffmpeg is not None and self._ffmpeg.stdin is not None:
            with suppress(OSError):
                self._ffmpeg.stdin.close()
            self._ffmpeg.wait()
        if self._cv2 is not None:
            self._cv2.release()
        self._ffmpeg = self._cv2 = None

    def _open(self, height: int, width: int) -> None:
        # H.264 in its usual form stores colour at half size: sides must be even.
        self._size = (width + width % 2, height + height % 2)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_bytes(b'')
        except OSError as error:
            raise VosError(
                f'cannot write {self.path}: {error.strerror}; choose another folder'
            ) from error
        executable = find_h264_encoder()
        if executable:
            self.codec = 'H.264'
            self._ffmpeg = self._start(executable)
            return
        self.codec = _MP4V_NOTE
        fourcc = cv2.VideoWriter.fourcc(*'mp4v')
        self._cv2 = cv2.VideoWriter(str(self.path), fourcc, self._rate_hz, self._size)
        if not self._cv2.isOpened():
            raise VosError(
                f'OpenCV cannot write the video {self.path}; pip install imageio-ffmpeg, '
                'or go without the overlay (--no-overlay)'
            )

    def _start(self, executable: str) -> subprocess.Popen[bytes]:
        width, height = self._size
        source = f'-f rawvideo -pix_fmt rgb24 -s {width}x{height} -r {self._rate_hz:g} -i -'
        target = '-c:v libx264 -preset veryfast -crf 20 -pix_fmt yuv420p -movflags +faststart'
        return subprocess.Popen(
            [
                *(executable, '-y', '-loglevel', 'error'),
                *source.split(),
                *target.split(),
                str(self.path.resolve()),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # Ctrl-C must reach us alone: the encoder still has to finish the file.
            start_new_session=True,
        )

    def _fit(self, image: Image) -> Image:
        width, height = self._size
        down, right = height - image.shape[0], width - image.shape[1]
        if down == right == 0:
            return image
        fitted: Any
        if 0 <= down <= 1 and 0 <= right <= 1:
            fitted = cv2.copyMakeBorder(image, 0, down, 0, right, cv2.BORDER_REPLICATE)
        else:
            fitted = cv2.resize(image, self._size, interpolation=cv2.INTER_AREA)
        picture: Image = fitted
        return picture


def find_h264_encoder() -> str:
    """Find an ffmpeg with H.264: imageio-ffmpeg's or the system's; empty if there is none."""
    executable = ''
    with suppress(ImportError, RuntimeError):
        executable = importlib.import_module('imageio_ffmpeg').get_ffmpeg_exe()
    executable = executable or shutil.which('ffmpeg') or ''
    if not executable:
        return ''
    with suppress(OSError, subprocess.SubprocessError):
        listed = subprocess.run(
            [executable, '-hide_banner', '-encoders'], capture_output=True, timeout=20, check=True
        )
        return executable if b'libx264' in listed.stdout else ''
    return ''


@dataclass(frozen=True, eq=False)
class ScoredFrame:
    """
    One frame with its prediction and the truth, to be looked at.

    :param title: what to print above it.
    :param j: mean J of its objects.
    :param image: (H, W, 3) uint8 rgb8.
    :param pred: (H, W) predicted ids.
    :param gt: (H, W) true ids.
    """

    title: str
    j: float
    image: Image
    pred: LabelMap
    gt: LabelMap


class WorstFrames:
    """
    Keeps the frames with the lowest J, and draws them on one sheet.

    Neighbouring frames fail alike, so of each quarter of a sequence only its
    worst frame is kept: the sheet then shows different failures. At most four
    pictures per sequence are held, and `count` in all.
    """

    def __init__(self, count: int = 12) -> None:
        """
        Keep nothing yet.

        :param count: pictures on the sheet.
        """
        self._count = count
        self._kept: dict[tuple[str, int], ScoredFrame] = {}

    def offer(self, name: str, progress: float, shown: ScoredFrame) -> None:
        """
        Look at one scored frame.

        :param name: of the sequence.
        :param progress: where in the sequence the frame lies, 0..1.
        :param shown: the frame; its arrays are copied if it is kept.
        """
        key = (name, min(int(progress * 4), 3))
        if key in self._kept and self._kept[key].j <= shown.j:
            return
        self._kept[key] = replace(
            shown, image=shown.image.copy(), pred=shown.pred.copy(), gt=shown.gt.copy()
        )
        if len(self._kept) > self._count + 4:  # the running sequence may still replace its own
            del self._kept[max(self._kept, key=lambda k: self._kept[k].j)]

    def worst(self) -> list[ScoredFrame]:
        """List what was kept, worst first."""
        return sorted(self._kept.values(), key=lambda shown: shown.j)[: self._count]

    def draw(self) -> Image | None:
        """Draw the sheet, two frames a row: prediction beside truth; None if nothing was kept."""
        tiles = [_tile(shown) for shown in self.worst()]
        if not tiles:
            return None
        height = max(tile.shape[0] for tile in tiles)
        padded = [
            cv2.copyMakeBorder(t, 0, height - t.shape[0], 4, 4, cv2.BORDER_CONSTANT) for t in tiles
        ]
        if len(padded) % 2 and len(padded) > 1:
            padded.append(np.zeros_like(padded[0]))
        step = min(2, len(padded))
        rows = [np.hstack(padded[i : i + step]) for i in range(0, len(padded), step)]
        sheet: Image = np.vstack(rows)
        return sheet


def _tile(shown: ScoredFrame) -> Image:
    """Prediction | truth, with a caption above."""
    width = _TILE_WIDTH_PX
    height = max(1, round(shown.image.shape[0] * width / shown.image.shape[1]))
    shrink = width < shown.image.shape[1]
    image: Any = cv2.resize(
        shown.image, (width, height), interpolation=cv2.INTER_AREA if shrink else cv2.INTER_LINEAR
    )
    pred: Any = cv2.resize(shown.pred, (width, height), interpolation=cv2.INTER_NEAREST)
    gt: Any = cv2.resize(shown.gt, (width, height), interpolation=cv2.INTER_NEAREST)
    pair = np.hstack([draw_overlay(image, pred), draw_truth(image, pred, gt)])
    caption = np.full((_CAPTION_PX, pair.shape[1], 3), 32, np.uint8)
    text = f'{shown.title}   J {shown.j:.3f}'
    _put_text(caption, text, 6)
    _put_text(caption, 'truth (green), prediction (white)', width + 6)
    tile: Image = np.vstack([caption, pair])
    return tile


def _put_text(image: npt.NDArray[np.uint8], text: str, x_px: int) -> None:
    white = (255, 255, 255)
    cv2.putText(image, text, (x_px, _CAPTION_PX - 7), _FONT, 0.45, white, 1, cv2.LINE_AA)


def _palette_rows(labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Colour row of each id; ids beyond the palette go round, and never become black."""
    return labels if labels.dtype == np.uint8 else np.where(labels > 255, labels % 255 + 1, labels)


def _bounds(label_map: LabelMap) -> tuple[int, int, int, int]:
    rows = np.flatnonzero(label_map.any(axis=1))
    cols = np.flatnonzero(label_map.any(axis=0))
    return int(rows[0]), int(rows[-1]), int(cols[0]), int(cols[-1])


def _draw_contour(
    image: npt.NDArray[np.uint8], mask: npt.NDArray[np.bool_], colour: tuple[int, ...]
) -> None:
    """Paint the mask's inner rim, one pixel (two on large pictures), in place."""
    binary = mask.astype(np.uint8)
    thick = 5 if image.shape[1] > 1000 else 3
    inner = cv2.erode(binary, np.ones((thick, thick), np.uint8))
    image[cv2.bitwise_xor(binary, inner).astype(bool)] = colour
