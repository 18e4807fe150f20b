# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Training data: what is read (`files`, `stills`, `videos`), clips made of it (`compose`)."""

from vos_distill.clip_config import ClipConfig
from vos_distill.data.check import check_data
from vos_distill.data.compose import Clip, ClipComposer
from vos_distill.data.files import read_label, read_pair, read_photo, UnusableError
from vos_distill.data.objects import pick_object
from vos_distill.data.stills import load_stills, Still, Stills
from vos_distill.data.videos import load_videos, MemoryVideo, Video
from vos_ros.formats.masks import VOID

__all__ = [
    'Clip',
    'ClipComposer',
    'ClipConfig',
    'MemoryVideo',
    'Still',
    'Stills',
    'UnusableError',
    'VOID',
    'Video',
    'check_data',
    'load_stills',
    'load_videos',
    'pick_object',
    'read_label',
    'read_pair',
    'read_photo',
]
