# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Fixtures for all tests: the tiny model, and a network whose answers can be foreseen."""

from pathlib import Path

from colour_backend import ColourBackend, MakeSegmenter
import pytest

from vos_ros.backends.base import Manifest
from vos_ros.config import MemoryConfig, SegmenterConfig
from vos_ros.segmenter import VideoSegmenter

_TEST = Path(__file__).resolve().parent


@pytest.fixture(scope='session')
def tiny_model() -> Path:
    """Folder of a model with random weights that honours the whole contract."""
    return _TEST / 'data' / 'tiny'


@pytest.fixture
def make_segmenter() -> MakeSegmenter:
    """Make a VideoSegmenter over ColourBackend; keywords go to SegmenterConfig, MemoryConfig."""

    def make(max_objects: int = 10, input_size: int = 0, **memory: float) -> VideoSegmenter:
        manifest = Manifest(
            name='colour',
            folder=Path(),
            sha256='0' * 64,
            stride=16,
            mask_stride=4,
            key_dim=3,
            value_dim=3,
            short_side=64,
            multiple=16,
            mean=(0.0, 0.0, 0.0),
            std=(255.0, 255.0, 255.0),
            graphs={},
            content={},
        )
        config = SegmenterConfig(
            input_size=input_size,
            max_objects=max_objects,
            memory=MemoryConfig(**memory),  # type: ignore[arg-type]
        )
        return VideoSegmenter(manifest, ColourBackend, config)

    return make
