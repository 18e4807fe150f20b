# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a data set: named once, counted, refused when it is too much."""

from collections.abc import Callable
import logging
from pathlib import Path

from vos_ros.sequences.folder import list_images

STRAY = '{}: there is no image of this name for the mask'
log = logging.getLogger(__name__)


class Findings:
    """
    What is wrong with one set: told when found, counted, refused when it is too much.

    :param root: of the set, for the message.
    :param files: images in it.
    :param max_bad_share: of them that may be unusable.
    :param on_message: gets each message once; None = the log.
    """

    def __init__(
        self,
        root: Path,
        files: int,
        max_bad_share: float = 1.0,
        on_message: Callable[[str], None] | None = None,
    ) -> None:
        self.root = root
        self.files = files
        self.max_bad_share = max_bad_share
        self._on_message = on_message
        self._messages: dict[Path, str] = {}
        self._bad = 0

    def add(self, path: Path, message: str, bad: int = 1) -> None:
        """
        Note a file (or a clip) that is left out; a second time changes nothing.

        :param bad: images that count as unusable by it; 0 = it is named only.
        """
        if path in self._messages:
            return
        self._messages[path] = message
        self._bad += bad
        if self._on_message is None:
            log.warning('left out: %s', message)
        else:
            self._on_message(message)

    def check(self) -> None:
        """
        Refuse a set that is too bad to train on.

        :raises ValueError: with the count, the limit and the first message.
        """
        if self._bad > self.max_bad_share * self.files:
            raise ValueError(
                f'{self.root}: {self._bad} of {self.files} images cannot be used, at most '
                f'{self.max_bad_share:.0%} may be (max_bad_share in the recipe); {self.first()}'
                f'`vos-distill data check` lists all of them'
            )

    def first(self) -> str:
        """Quote the first message, if there is any."""
        return next((f'the first: {one}. ' for one in self._messages.values()), '')


def stray_masks(folder: Path, stems: set[str]) -> tuple[Path, ...]:
    """List masks that have no image."""
    if not folder.is_dir():
        return ()
    return tuple(p for p in list_images(folder) if p.suffix == '.png' and p.stem not in stems)
