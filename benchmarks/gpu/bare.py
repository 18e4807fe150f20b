# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Measure on a machine with a GPU, Python, and nothing else, not even a network: one command.

where there is a network: python3 benchmarks/gpu/bare.py --gather WHEELS [--for-python 3.12]
on the machine: python3 benchmarks/gpu/bare.py --wheels WHEELS [-- arguments of gpu_run]

It makes an environment, installs the wheels, builds this checkout in it, and runs
`benchmarks gpu_run` with what follows `--`. Nothing but the standard library is imported here.
"""

import argparse
from pathlib import Path
import subprocess
import sys
import tempfile
import venv

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = ('runtime', 'test', 'training')
#: In the place of the processor's: both own the same files. CUDA and cuDNN come as wheels.
SWAPPED = {'onnxruntime': 'onnxruntime-gpu[cuda,cudnn]'}
TENSORRT = 'tensorrt'


def requirements() -> list[str]:
    """Return the pins, with the GPU's onnxruntime in the place of the processor's."""
    found = []
    for name in REQUIREMENTS:
        for line in (ROOT / 'requirements' / f'{name}.txt').read_text().splitlines():
            pin = line.partition('#')[0].strip()
            name_of = pin.partition('=')[0].partition('[')[0].partition(';')[0].strip()
            if pin.startswith('-') or not pin:
                continue
            found.append(SWAPPED.get(name_of, pin))
    return [*dict.fromkeys(found), TENSORRT]


def gather(folder: Path, version: str) -> None:
    """Download all wheels with pip, for another machine's Python where that is named."""
    command = [sys.executable, '-m', 'pip', 'download', '--dest', str(folder)]
    if version:
        command += ['--python-version', version, '--only-binary', ':all:']
        command += ['--platform', 'manylinux_2_28_x86_64', '--platform', 'manylinux2014_x86_64']
    with tempfile.TemporaryDirectory() as scratch:
        pins = Path(scratch) / 'requirements.txt'
        pins.write_text('\n'.join([*requirements(), 'setuptools', 'wheel']) + '\n')
        subprocess.run([*command, '-r', str(pins)], check=True)


def install(wheels: Path, place: Path) -> Path:
    """Make an environment of the wheels and this checkout; return its Python."""
    venv.create(place, with_pip=True, clear=True)
    python = place / 'bin' / 'python'
    pip = [str(python), '-m', 'pip', '--disable-pip-version-check', 'install', '--quiet']
    offline = ['--no-index', '--find-links', str(wheels)]
    subprocess.run([*pip, *offline, *requirements(), 'setuptools', 'wheel'], check=True)
    for project in ('.', 'training'):
        built = [*pip, '--no-deps', '--no-build-isolation', '--editable', project]
        subprocess.run(built, check=True, cwd=ROOT)
    return python


def main() -> int:
    """Install, build, measure; the exit code is that of what is measured."""
    arguments = sys.argv[1:]
    at = arguments.index('--') if '--' in arguments else len(arguments)
    arguments, passed = arguments[:at], arguments[at + 1 :]
    parser = argparse.ArgumentParser(description=(__doc__ or '').splitlines()[1])
    parser.add_argument('--gather', type=Path, metavar='WHEELS', help='download wheels, no more')
    parser.add_argument('--for-python', default='', help='with --gather: of the other machine')
    parser.add_argument('--wheels', type=Path, help='folder that was gathered')
    parser.add_argument('--place', type=Path, default=ROOT / 'build' / 'gpu', help='environment')
    parser.add_argument('--python', default='', help='one that has all: nothing is installed')
    args = parser.parse_args(arguments)
    if args.gather:
        gather(args.gather, args.for_python)
        return 0
    if not args.python and not args.wheels:
        parser.error('give --wheels DIR (see --gather), or --python of an environment')
    python = args.python or str(install(args.wheels, args.place))
    return subprocess.run([python, str(ROOT / 'benchmarks'), 'gpu_run', *passed]).returncode


if __name__ == '__main__':
    sys.exit(main())
