# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The tests beside other versions: what the ROS 2 distributions that are alive bring along.

    make matrix                          # all that this machine has a Python for
    make matrix MATRIX='-s kilted'       # one of them
    make matrix MATRIX='-s noble -- test/formats -x'

Nothing of a distribution is installed but its versions, from wheels; docs/distros.md says what
was run where. A Python that is not here is skipped, by name.
"""

from pathlib import Path

import nox

nox.options.default_venv_backend = 'venv'
nox.options.reuse_existing_virtualenvs = True
nox.options.error_on_missing_interpreters = False

#: Versions as apt installs them; where there is no wheel of one, the nearest.
JAMMY = [  # Ubuntu 22.04: Humble
    'numpy==1.21.6',  # apt has 1.21.5; onnxruntime's wheels want this one
    'opencv-python-headless==4.5.5.64',
    'onnxruntime==1.16.3',
    'typer==0.4.0',
    'click==8.0.3',
    'rich==11.2.0',
    'scikit-image==0.19.3',
    'aiohttp==3.8.1',
    'PyYAML==6.0.1',
]
NOBLE = [  # Ubuntu 24.04: Jazzy and Kilted
    'numpy==1.26.4',
    'opencv-python-headless==4.6.0.66',
    'onnxruntime==1.23.2',
    'typer==0.9.0',
    'click==8.1.6',
    'rich==13.7.1',
    'scikit-image==0.22.0',
    'aiohttp==3.9.1',
    'PyYAML==6.0.1',
]
RESOLUTE = [  # Ubuntu 26.04: Lyrical, by what is known of it
    'numpy==2.3.5',
    'opencv-python-headless==4.13.0.92',
    'onnxruntime==1.23.2',
    'typer==0.20.0',
    'rich==14.2.0',
    'scikit-image==0.25.2',
    'aiohttp==3.14.5',
    'PyYAML==6.0.3',
]
#: For all of them.
WITH = ['rosbags==0.11.9', 'imageio-ffmpeg==0.8.1', 'setuptools==80.9.0']
TESTS = ['pytest==9.2.0', 'pytest-timeout==2.4.0', 'hypothesis==6.168.0']
QUICK = ['test', '-q', '-m', 'not ros and not integration and not slow']


def _install(session: nox.Session, versions: list[str]) -> None:
    session.install(*versions, *WITH, *TESTS)
    session.install('--no-deps', '--no-build-isolation', '--editable', '.')


def _pytest(session: nox.Session, usual: list[str]) -> None:
    session.run('python', '-m', 'pytest', *(session.posargs or usual))


@nox.session(python='3.10')
def jammy(session: nox.Session) -> None:
    """NumPy, OpenCV, typer and rich of Ubuntu 22.04 (Humble)."""
    _install(session, JAMMY)
    # The benchmarks are for a checkout and its pins; the page needs aiohttp 3.9 (docs/distros.md).
    without = ['--ignore=test/test_benchmarks.py', '--ignore=test/page/test_server.py']
    _pytest(session, [*QUICK, *without])


@nox.session(python='3.12')
def noble(session: nox.Session) -> None:
    """NumPy, OpenCV, typer and rich of Ubuntu 24.04 (Jazzy, Kilted)."""
    _install(session, NOBLE)
    _pytest(session, QUICK)


@nox.session(python=['3.13', '3.14'])
def resolute(session: nox.Session) -> None:
    """Versions near Ubuntu 26.04's (Lyrical)."""
    _install(session, RESOLUTE)
    _pytest(session, QUICK)


@nox.session(python='3.12')
def ament(session: nox.Session) -> None:
    """Lint as ROS does: ament_flake8 and ament_pep257."""
    session.install('-r', 'requirements/ament.txt')
    # Without the fixtures, which need the package.
    _pytest(session, ['--noconftest', '-q', '-rs', 'test/test_ament.py'])


@nox.session(python=['3.12', '3.11'], tags=['dds'])  # NumPy 2.3 has no 3.10
def kilted(session: nox.Session) -> None:
    """Rclpy and Fast DDS of Kilted: everything that runs over DDS."""
    pins = ['-r', 'requirements/kilted.txt', '-c', 'requirements/constraints_kilted.txt']
    session.install(*pins, *RESOLUTE, *WITH, *TESTS)
    session.install('--no-deps', '--no-build-isolation', '--editable', '.')
    session.env['AMENT_PREFIX_PATH'] = session.virtualenv.location
    _pytest(session, ['test', '-q', '-m', 'ros'])


@nox.session(python=['3.11', '3.12', '3.10'], tags=['dds'])
def colcon(session: nox.Session) -> None:
    """
    Build and test as in a ROS 2 workspace, beside the wheels of Jazzy.

    The number of tests is that of `make test TRAINING=0` in the same folder.
    """
    pins = ['-c', 'requirements/constraints.txt']
    session.install('-r', 'requirements/runtime.txt', '-r', 'requirements/test.txt', *pins)
    session.install('-r', 'requirements/colcon.txt')
    work = Path('build/colcon').resolve()
    bases = [f'--{name}-base={work / name}' for name in ('build', 'install')]
    log = f'--log-base={work / "log"}'
    packages = ['--base-paths', '.', '--packages-select', 'vos_ros']
    listed = session.run('colcon', log, 'list', *packages, silent=True)
    if '(ros.ament_python)' not in str(listed):
        session.error(f'colcon does not take it for a ROS package: {listed}')
    session.run('colcon', log, 'build', *packages, *bases)
    # What install/setup.bash would do.
    prefix = work / 'install' / 'vos_ros'
    (library,) = prefix.glob('lib/python*/site-packages')
    session.env['AMENT_PREFIX_PATH'] = f'{prefix}:{session.virtualenv.location}'
    session.env['PYTHONPATH'] = str(library)
    tests = ['--pytest-args', *session.posargs] if session.posargs else []
    shown = ['--event-handlers', 'console_direct+']
    session.run('colcon', log, 'test', *packages, *bases, *shown, *tests)
    results = ['--test-result-base', str(work / 'build'), '--verbose']
    session.run('colcon', log, 'test-result', *results)
