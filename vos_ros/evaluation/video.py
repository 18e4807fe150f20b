# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Overlay videos that browsers play."""

from __future__ import annotations

from contextlib import nullcontext, suppress
import importlib
from pathlib import Path
import shutil
import subprocess
from types import TracebackType
from typing import Any

import cv2

from vos_ros.datatypes import Frame, Image, LabelMap
from vos_ros.errors import VosError
from vos_ros.formats.drawing import draw_ids, draw_overlay, to_rgb

_MP4V_NOTE = 'MPEG-4 (plays in VLC and mpv, not in browsers; pip install imageio-ffmpeg for H.264)'


class OverlayVideo:
    """
    An mp4 of overlays: H.264 through ffmpeg where there is one, so that browsers play it.

    ffmpeg is taken from the package imageio-ffmpeg or from the PATH; without it
    OpenCV writes MPEG-4. `codec` says which it was. The pipe is our own and not
    `imageio_ffmpeg.write_frames`, since that package is optional: where only the
    system's ffmpeg is there, it would still be needed.
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
        with suppress(VosError) if error is not None else nullcontext():
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
                raise self._cut_off(error.strerror or 'ffmpeg has ended') from error
        else:
            self._cv2.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        self.frames += 1

    def close(self) -> None:
        """
        Finish the file; harmless if done twice.

        :raises VosError: it is not whole, for instance because the disk is full.
        """
        ffmpeg, writer = self._ffmpeg, self._cv2
        self._ffmpeg = self._cv2 = None
        if ffmpeg is not None and ffmpeg.stdin is not None:
            with suppress(OSError):
                ffmpeg.stdin.close()
            if ffmpeg.wait():
                raise self._cut_off(f'ffmpeg ended with exit code {ffmpeg.returncode}')
        if writer is not None:
            writer.release()
            if not self.path.stat().st_size:
                raise self._cut_off('nothing was written')

    def _cut_off(self, reason: str) -> VosError:
        return VosError(
            f'the video {self.path} is not whole ({reason}): is the disk full? Free some space, '
            'or go without the overlay'
        )

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
