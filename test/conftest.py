# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Fixtures for all tests: the tiny model, and a network whose answers can be foreseen."""

from collections.abc import Iterator
from pathlib import Path
import signal
from typing import Any

from colour_backend import ColourBackend, MakeSegmenter
import pytest
from worker_rig import MakeRig, PATIENCE_S, places, Rig

from vos_ros.backends.base import Manifest
from vos_ros.config import InitConfig, MemoryConfig, SegmenterConfig
from vos_ros.engine.segmenter import VideoSegmenter

_TEST = Path(__file__).resolve().parent


def pytest_configure() -> None:
    """
    Let the processes that tests start be interrupted.

    What a shell starts with `&` has SIGINT ignored, and so has whatever that starts.
    """
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


if hasattr(pytest, 'version_tuple'):  # before pytest 7 the hook's arguments are others

    @pytest.hookimpl(tryfirst=True)
    def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module:
        """
        Collect as without plugins.

        That of launch_testing imports each module while it looks for launch tests, of which there
        are none here, and a module that skips itself there (importorskip) ends the whole run.
        """
        return pytest.Module.from_parent(parent, path=module_path)


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


@pytest.fixture
def make_rig(make_segmenter: MakeSegmenter) -> Iterator[MakeRig]:
    """
    Make a Worker over ColourBackend and stop it at the end; keywords go to InitConfig.

    `segmenter`, `picture` and `options` go to Rig; start=False leaves the thread to the test.
    """
    rigs: list[Rig] = []

    def make(start: bool = True, **given: Any) -> Rig:
        more = {k: given.pop(k) for k in ('options', 'picture') if k in given}
        segmenter = given.pop('segmenter', None) or make_segmenter()
        rig = Rig(segmenter, InitConfig(**given), **more)
        rigs.append(rig)
        if start:
            rig.worker.start()
        return rig

    yield make
    for rig in rigs:
        rig.gate.set()
        assert rig.worker.stop(PATIENCE_S)
        stats = rig.worker.stats
        assert stats.frames_in == places(stats)
        assert stats.frames_waiting == 0
