# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import pytest


@pytest.fixture(scope='module')
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with a few drawn photographs to train on."""
    from tiny_run import write_stills  # needs torch, which not every run has

    root = tmp_path_factory.mktemp('data')
    write_stills(root)
    return root
