# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Read all that training would read, and list what it would leave out."""

from collections.abc import Sequence
from pathlib import Path

from vos_distill.data.findings import Findings
from vos_distill.data.layouts import find_clips, name_no_clips, subfolders
from vos_distill.data.stills import name_stray_labels, read_stills, still_findings, still_pairs
from vos_distill.data.videos import read_video, start_of

_CHECK_PX = 32  # nothing is kept of what a check reads


def check_data(root: Path, stills: str = 'static', videos: Sequence[str] = ()) -> list[str]:
    """
    Read everything that training would read and collect what it would leave out.

    :param root: the folder that a recipe's `stills` and `videos` are relative to.
    :param stills: folder of photographs; not looked at where it is missing.
    :param videos: data sets; empty = every other folder of `root`.
    :return: one message for every problem, none where all is well.
    :raises ValueError: there is nothing to check.
    """
    pairs = still_pairs(root / stills)
    roots = [root / v for v in videos] or [f for f in subfolders(root) if f.name != stills]
    if not pairs and not roots:
        raise ValueError(f'{root}: nothing to check, neither {stills}/ nor videos')
    messages: list[str] = []
    of_stills = still_findings(root / stills, pairs, on_message=messages.append)
    name_stray_labels(root / stills, pairs, of_stills)
    for _ in read_stills(root / stills, pairs, _CHECK_PX, of_stills):
        pass
    for of_videos in roots:
        try:
            clips = find_clips(of_videos)
        except ValueError as error:
            messages.append(str(error))
            continue
        findings = Findings(of_videos, len(clips), on_message=messages.append)
        name_no_clips(of_videos, findings)
        for clip in clips:
            usable, binary = start_of(clip, findings)
            if len(usable.pairs) >= 2:
                read_video(usable, binary, _CHECK_PX, findings)
    return messages
