# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Two trainings from one ring of clips, as on a GPU, but small and on a processor."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='the training package needs torch')
pytest.importorskip('lightning_fabric', reason='training needs lightning-fabric')

from tiny_run import start, tiny_recipe  # noqa: E402

SCRIPT = str(Path(__file__).parents[2] / 'benchmarks' / 'shared_clips.py')


def test_two_trainings_share_clips_that_are_made_once(data: Path, tmp_path: Path) -> None:
    recipe, ring = tmp_path / 'recipe.yaml', tmp_path / 'ring'
    tiny_recipe().write(recipe)
    where = [str(recipe), '--ring', str(ring)]
    maker = start([SCRIPT, 'make', *where, str(data), '--workers', '2'])
    try:
        runs = [tmp_path / 'a', tmp_path / 'b']
        options = ['--seconds', '5', '--device', 'cpu', '--seed']
        trainings = [
            start([SCRIPT, 'train', *where, str(run), *options, str(seed)])
            for seed, run in enumerate(runs)
        ]
        said = [training.communicate(timeout=120)[0] for training in trainings]
        assert [training.returncode for training in trainings] == [0, 0], said
    finally:
        maker.kill()
    saved = [torch.load(run / 'student.pt', weights_only=True) for run in runs]
    assert all(one['step'] > 0 and one['preset'] == 'tiny' for one in saved)
    assert [one['recipe']['seed'] for one in saved] == [0, 1]
    assert (np.fromfile(ring / 'counts', np.int64) > 0).all()
    maker.communicate(timeout=60)  # its output ends when the last of its processes has ended
