# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""`python benchmarks soak`, a short one: whether it runs, and what it checks besides memory."""

import json
import os
from pathlib import Path
import subprocess
import sys

import pytest

pytest.importorskip('rclpy', reason='needs rclpy')
pytest.importorskip('skimage', reason='needs scikit-image: the clip is made of its photographs')

from robot import ROOT


def test_every_frame_of_a_short_soak_is_accounted_for(tmp_path: Path) -> None:
    model = ROOT / 'test' / 'data' / 'tiny'
    # It fails by itself where a stamp is answered twice, or a frame is nowhere counted.
    done = subprocess.run(
        [
            *(sys.executable, 'benchmarks', 'soak', '--draft'),
            *('--frames=120', '--changes=12', f'--model={model}'),
        ],
        env=os.environ | {'VOS_BENCH_RESULTS': str(tmp_path)},
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (raw,) = tmp_path.glob('*/raw.json')
    found = json.loads(raw.read_text())['soak']
    assert found['counts']['frames_in'] == 120
    (plot,) = tmp_path.glob('*/soak.svg')
    assert 'polyline' in plot.read_text()
