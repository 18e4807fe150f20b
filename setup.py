# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Install vos_ros, with pip or with colcon (ament_python).

`package.xml` is the one home of name, version, description, maintainer and licence.
"""

from pathlib import Path
from xml.etree import ElementTree

from setuptools import find_packages
from setuptools import setup

# setup() takes data files relative to the current directory, which pip and colcon both set to
# this one.
HERE = Path(__file__).resolve().parent
MANIFEST = ElementTree.parse(HERE / 'package.xml').getroot()
NAME = MANIFEST.findtext('name')


def tree(folder: str, destination: str) -> list:
    """
    List every file under `folder` as setup() wants it: (destination folder, [files]).

    :param folder: relative to the repository's root.
    :param destination: relative to the installation's prefix.
    """
    found: dict = {}
    for path in sorted((HERE / folder).rglob('*')):
        relative = path.relative_to(HERE)
        hidden = any(part.startswith('.') or part == '__pycache__' for part in relative.parts)
        if path.is_file() and not hidden:
            target = Path(destination) / path.parent.relative_to(HERE / folder)
            found.setdefault(target.as_posix(), []).append(relative.as_posix())
    return list(found.items())


setup(
    name=NAME,
    version=MANIFEST.findtext('version'),
    description=' '.join(MANIFEST.findtext('description').split()),
    maintainer=MANIFEST.findtext('maintainer'),
    maintainer_email=MANIFEST.find('maintainer').get('email'),
    license=MANIFEST.findtext('license'),
    packages=find_packages(include=[NAME, f'{NAME}.*']),
    package_data={NAME: ['py.typed', 'page/static/*']},
    data_files=[
        ('share/ament_index/resource_index/packages', [f'resource/{NAME}']),
        (f'share/{NAME}', ['package.xml']),
        *tree('launch', f'share/{NAME}/launch'),
        *tree('config', f'share/{NAME}/config'),
        *tree('models', f'share/{NAME}/models'),
        # pip ignores install_scripts, so what `ros2 run` starts is shipped as data: wrappers which
        # keep their executable bit and work under pip and colcon alike.
        *tree('scripts', f'lib/{NAME}'),
    ],
    # rclpy and the messages come with ROS 2 (package.xml), or from wheels on a machine without it.
    install_requires=[
        'setuptools',
        'numpy>=1.21',
        'opencv-python-headless>=4.5',
        'onnxruntime>=1.16',
        'typer>=0.4',
        'rich>=10',
        'rosbags>=0.11',
        'aiohttp>=3.9',
    ],
    # colcon test runs pytest where this names it, and only finds out by it.
    extras_require={'test': ['pytest', 'pytest-timeout']},
    python_requires='>=3.10',
    entry_points={
        'console_scripts': [
            'vos = vos_ros.commands.cli:main',
            'segmenter = vos_ros.ros.node:main',
        ],
    },
    zip_safe=False,
)
