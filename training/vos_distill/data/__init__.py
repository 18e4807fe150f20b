# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Training data: what is read from the disk (`datasets`), and the clips made of it (`compose`)."""

from vos_distill.clip_config import ClipConfig
from vos_distill.data.compose import Clip, ClipComposer
from vos_distill.data.datasets import (
    check_data,
    load_stills,
    load_videos,
    MemoryVideo,
    read_label,
    read_pair,
    read_photo,
    Still,
    Stills,
    UnusableError,
    Video,
)
from vos_distill.data.objects import pick_object
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
