# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A video file as a sequence."""

from __future__ import annotations

from collections.abc import Iterator
import logging
import os
from pathlib import Path

import cv2

from vos_ros.datatypes import Frame
from vos_ros.errors import VosError
from vos_ros.sequences.folder import printable

_NS = 1_000_000_000
_DEFAULT_RATE_HZ = 30.0
# Less than this share of the promised frames means a damaged file and not a rounded header.
_COMPLETE = 0.9
# One clear line from us is better than ten from ffmpeg, which reads this once, at its first use.
os.environ.setdefault('OPENCV_FFMPEG_LOGLEVEL', '-8')
_log = logging.getLogger(__name__)


class VideoSequence:
    """The frames of a video, upright: OpenCV applies the rotation that phones write."""

    def __init__(self, path: Path | str) -> None:
        """
        Open the video and read its header and first frame.

        :param path: of the file.
        :raises VosError: no such file, or nothing in it can be decoded.
        """
        self.path = Path(path)
        self.name = printable(self.path.stem)
        capture = self._open()
        try:
            if not capture.read()[0]:
                raise VosError(self._unreadable())
            count = capture.get(cv2.CAP_PROP_FRAME_COUNT)
            rate_hz = capture.get(cv2.CAP_PROP_FPS)
        finally:
            capture.release()
        #: frames per second; 30 where the header gives nothing sensible.
        self.rate_hz = rate_hz if 0 < rate_hz < 1000 else _DEFAULT_RATE_HZ
        self._length = int(count) if 0 < count < 1e9 else 1

    @property
    def frame_names(self) -> tuple[str, ...]:
        """The frame's number in five digits."""
        return tuple(f'{index:05d}' for index in range(self._length))

    def __len__(self) -> int:
        """Count the frames as the header claims, corrected once all have been read."""
        return self._length

    def __iter__(self) -> Iterator[Frame]:
        """Decode frame after frame, as rgb8, with the times that the file gives them."""
        capture = self._open()
        promised, read = self._length, 0
        period_ns = round(_NS / self.rate_hz)
        first_ns = stamp_ns = 0
        try:
            while True:
                done, pixels = capture.read()
                if not done:
                    break
                image = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
                # The decoder's own time, for a phone's rate varies; one period later, for 0 means
                # unknown.
                time_ns = round(1e6 * capture.get(cv2.CAP_PROP_POS_MSEC))
                if read == 0:
                    first_ns, stamp_ns = time_ns, period_ns
                elif time_ns - first_ns + period_ns > stamp_ns:
                    stamp_ns = time_ns - first_ns + period_ns
                else:  # a file without times, or with broken ones
                    stamp_ns += period_ns
                read += 1
                yield Frame(image, stamp_ns=stamp_ns)  # type: ignore[arg-type]
        finally:
            capture.release()
        if read < _COMPLETE * promised:
            _log.warning(
                '%s ended after %d of %d frames; the file may be damaged, or was cut with -c copy '
                'before its first key frame: cut it again with -c:v libx264',
                self.path,
                read,
                promised,
            )
        self._length = max(read, 1)

    def _open(self) -> cv2.VideoCapture:
        if not self.path.is_file():
            raise VosError(f'there is no video {self.path}; check the path')
        level = cv2.getLogLevel() if hasattr(cv2, 'getLogLevel') else None
        if level is not None:
            cv2.setLogLevel(0)
        try:
            capture = cv2.VideoCapture(str(self.path))
        finally:
            if level is not None:
                cv2.setLogLevel(level)
        if not capture.isOpened():
            raise VosError(self._unreadable())
        return capture

    def _unreadable(self) -> str:
        return (
            f'the video {self.path} cannot be opened; it is damaged or in a format that OpenCV '
            'does not read, or was cut with -c copy and holds no key frame: convert it, or cut it '
            'again, for instance with ffmpeg -i IN -c:v libx264 OUT.mp4'
        )
