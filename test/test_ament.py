# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The linters of ROS, where they are installed (`nox -s ament`); ruff is the judge everywhere else.

ament_copyright is left out: it knows whole licence texts only, and not the two SPDX lines.
"""

from pathlib import Path
import subprocess
import sys

import pytest

ROOT = Path(__file__).resolve().parents[1]
CODE = [str(ROOT / 'vos_ros'), str(ROOT / 'launch'), str(ROOT / 'setup.py')]


@pytest.mark.parametrize(
    ('package', 'arguments'),
    [
        ('ament_flake8', ['--config', str(ROOT / 'test' / 'ament_flake8.ini'), *CODE]),
        # D401: a property is a noun.
        ('ament_pep257', [*CODE, '--add-ignore', 'D401']),
    ],
    ids=['flake8', 'pep257'],
)
def test_linters_of_ros_have_nothing_to_say(package: str, arguments: list[str]) -> None:
    pytest.importorskip(f'{package}.main', reason=f'needs {package}: nox -s ament')
    program = f'import sys; from {package}.main import main; sys.exit(main(sys.argv[1:]))'
    done = subprocess.run(
        [sys.executable, '-c', program, *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT / 'test',
        timeout=600,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
