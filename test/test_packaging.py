# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What ROS and pip need to find the package; and one version everywhere."""

import os
from pathlib import Path
import re
import shutil
import subprocess
import sys
from xml.etree import ElementTree

import pytest

import vos_ros

ROOT = Path(__file__).resolve().parents[1]
MANIFEST = ElementTree.parse(ROOT / 'package.xml').getroot()
SHIPPED = ('package.xml', 'setup.py', 'setup.cfg', 'resource', 'scripts', 'launch', 'config')


def test_manifest_has_an_address_that_colcon_accepts() -> None:
    # colcon takes a package with a bad one for plain Python, with exit code 0: no ROS then.
    maintainers = MANIFEST.findall('maintainer')
    assert maintainers
    for maintainer in maintainers:
        assert re.fullmatch(r'[-\w.+]+@[-\w]+(\.[-\w]+)+', maintainer.get('email', ''))
    assert MANIFEST.findtext('export/build_type') == 'ament_python'
    assert (ROOT / 'resource' / str(MANIFEST.findtext('name'))).is_file()


def test_manifest_names_what_the_package_uses() -> None:
    named = {element.text for element in MANIFEST if element.tag.endswith('depend')}
    assert named >= {
        'rclpy',
        'sensor_msgs',
        'std_msgs',
        'std_srvs',
        'diagnostic_msgs',
        'lifecycle_msgs',
        'launch',
        'launch_ros',
        'python3-rosbags-pip',
        'ros2launch',
        'ros2bag',
        'python3-numpy',
        'python3-opencv',
        'python3-onnxruntime-pip',
    }


def test_version_is_the_same_everywhere() -> None:
    version = MANIFEST.findtext('version')
    assert vos_ros.__version__ == version
    training = (ROOT / 'training' / 'vos_distill' / '__init__.py').read_text()
    assert f"__version__ = '{version}'" in training
    assert f'version = "{version}"' in (ROOT / 'training' / 'pyproject.toml').read_text()
    assert re.search(rf'^version: {version}$', (ROOT / 'CITATION.cff').read_text(), re.M)
    # Changes since then stand above, under Forthcoming.
    heads = re.findall(r'^(\S.*)\n-+$', (ROOT / 'CHANGELOG.rst').read_text(), re.M)
    assert heads[0] == 'Forthcoming'
    assert heads[1].split()[0] == version


def test_ruff_before_a_commit_is_the_one_of_the_tests() -> None:
    pinned = re.search(r'^ruff==(\S+)', (ROOT / 'requirements' / 'test.txt').read_text(), re.M)
    hooks = (ROOT / '.pre-commit-config.yaml').read_text()
    hook = re.search(r'ruff-pre-commit\s+rev: v(\S+)', hooks)
    assert pinned is not None
    assert hook is not None
    assert pinned[1] == hook[1]


@pytest.mark.parametrize('name', ['package.xml', 'mkdocs.yml', 'CITATION.cff'])
def test_addresses_that_lead_nowhere_yet_are_marked_as_placeholders(name: str) -> None:
    text = (ROOT / name).read_text()
    assert 'example.org' not in text or 'PLACEHOLDER' in text


def test_training_is_hidden_from_colcon() -> None:
    assert (ROOT / 'training' / 'COLCON_IGNORE').is_file()


def test_fast_dds_profile_gives_both_transports_and_16_mib() -> None:
    tree = ElementTree.parse(ROOT / 'config' / 'fastdds_large_images.xml').getroot()
    space = {'p': 'http://www.eprosima.com/XMLSchemas/fastRTPS_Profiles'}
    assert tree.findtext('.//p:segment_size', namespaces=space) == str(16 * 2**20)
    used = {e.text for e in tree.findall('.//p:userTransports/p:transport_id', space)}
    made = {e.text for e in tree.findall('.//p:transport_descriptor/p:transport_id', space)}
    assert used == made
    participant = tree.find('p:participant', space)
    assert participant is not None
    assert participant.get('is_default_profile') == 'true'


def test_the_loopback_profile_is_the_one_for_images_with_loopback_alone() -> None:
    space = {'p': 'http://www.eprosima.com/XMLSchemas/fastRTPS_Profiles'}
    tree = ElementTree.parse(ROOT / 'config' / 'fastdds_loopback.xml').getroot()
    assert tree.findtext('.//p:segment_size', namespaces=space) == str(16 * 2**20)
    descriptors = tree.findall('.//p:transport_descriptor', space)
    for each in descriptors:
        listed = [e.text for e in each.findall('p:interfaceWhiteList/p:address', space)]
        is_udp = each.findtext('p:type', namespaces=space) == 'UDPv4'
        assert listed == (['127.0.0.1'] if is_udp else [])
    used = [e.text for e in tree.findall('.//p:userTransports/p:transport_id', space)]
    assert used == [e.findtext('p:transport_id', namespaces=space) for e in descriptors]
    assert tree.findtext('.//p:useBuiltinTransports', namespaces=space) == 'false'


@pytest.fixture(scope='module')
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build a wheel's content from a copy and give the folder that it was installed to."""
    pytest.importorskip('setuptools')
    copy = tmp_path_factory.mktemp('source')
    for name in SHIPPED:
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, copy / name)
    shutil.copytree(
        ROOT / 'vos_ros', copy / 'vos_ros', ignore=shutil.ignore_patterns('__pycache__')
    )
    model = copy / 'models' / 'some_model'
    model.mkdir(parents=True)
    (model / 'manifest.json').write_text('{}')
    prefix = tmp_path_factory.mktemp('prefix')
    command = [sys.executable, 'setup.py', '-q', 'install', '--root', str(prefix), '--prefix', '/']
    done = subprocess.run(
        [*command, '--single-version-externally-managed'],
        cwd=copy,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return prefix


def test_ros_finds_the_package_its_launch_files_config_and_models(installed: Path) -> None:
    share = installed / 'share'
    assert (share / 'ament_index' / 'resource_index' / 'packages' / 'vos_ros').is_file()
    for name in (
        'package.xml',
        'launch/segment.launch.py',
        'launch/objects_3d.launch.py',
        'config/vos.yaml',
        'config/objects_3d.yaml',
        'config/fastdds_large_images.xml',
        'config/fastdds_loopback.xml',
        'config/sros2_policy.xml',
        'models/some_model/manifest.json',
    ):
        assert (share / 'vos_ros' / name).is_file(), name
    assert not list(share.rglob('*.pyc'))


@pytest.mark.parametrize(
    'name', ['segmenter', 'prompt_page', 'objects_3d', 'doctor', 'evaluate_bag', 'vos']
)
def test_ros2_run_finds_executables(installed: Path, name: str) -> None:
    wrapper = installed / 'lib' / 'vos_ros' / name
    assert os.access(wrapper, os.X_OK)
    done = subprocess.run(
        [wrapper, '--help'],
        capture_output=True,
        text=True,
        timeout=60,
        # `env python3` must be the Python that the package was installed for.
        env=os.environ
        | {
            'PATH': os.pathsep.join([str(Path(sys.executable).parent), os.environ['PATH']]),
            'PYTHONPATH': str(ROOT),
        },
    )
    assert done.returncode == 0, done.stderr
    assert 'usage' in done.stdout.lower()


def test_the_path_gets_no_command_of_a_common_name() -> None:
    # Others are for `ros2 run` only, which finds them under lib/vos_ros.
    commands = re.findall(r"'(\w+) = vos_ros\.", (ROOT / 'setup.py').read_text())
    assert sorted(commands) == ['segmenter', 'vos']


def test_colcon_takes_it_for_a_ros_package(tmp_path: Path) -> None:
    colcon = shutil.which('colcon')
    if colcon is None:
        pytest.skip('colcon is not installed')
    listed = subprocess.run(
        [colcon, '--log-base', str(tmp_path), 'list', '--paths', str(ROOT)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert '(ros.ament_python)' in listed.stdout, listed.stderr


def test_colcon_test_runs_pytest() -> None:
    # Else it runs `setup.py test`, or nothing.
    assert re.search(r"extras_require=\{'test': \['pytest'", (ROOT / 'setup.py').read_text())


@pytest.mark.skipif(not hasattr(pytest, 'version_tuple'), reason='pytest before 7: no such hook')
def test_a_module_that_skips_itself_is_one_skip_beside_the_plugin_of_launch_testing(
    tmp_path: Path,
) -> None:
    """It is loaded wherever ROS is installed, and imports modules while they are collected."""
    (tmp_path / 'like_launch_testing.py').write_text(
        'def pytest_pycollect_makemodule(module_path, parent):\n'
        '    exec(module_path.read_text(), {})\n'
    )
    (tmp_path / 'test_a.py').write_text("import pytest\npytest.importorskip('no_such_package')\n")
    (tmp_path / 'test_b.py').write_text('def test_it():\n    pass\n')
    command = [sys.executable, '-m', 'pytest', '-c', os.devnull, '-p', 'like_launch_testing']
    done = subprocess.run(
        [*command, '-p', 'conftest', '--rootdir', str(tmp_path), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=tmp_path,
        env={
            **os.environ,
            'PYTHONPATH': os.pathsep.join(map(str, (tmp_path, ROOT / 'test', ROOT))),
            'PYTEST_ADDOPTS': '',  # colcon's: they are for the run around this one
        },
    )
    assert '1 passed, 1 skipped' in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize('name', ['runtime', 'test'])
def test_hashes_are_of_the_versions_that_are_pinned(name: str) -> None:
    folder = ROOT / 'requirements'
    pin = re.compile(r'^([\w.-]+)(?:\[[^\]]*\])?==([^\s;\\]+)(.*)', re.M)

    def pins(file: str) -> set[tuple[str, str]]:
        found = pin.findall((folder / file).read_text())
        return {
            (re.sub(r'[-_.]+', '-', package).lower(), version)
            for package, version, rest in found
            if 'win32' not in rest
        }

    locked = pins(f'{name}.lock')
    assert pins(f'{name}.txt') <= locked
    assert locked <= pins('runtime.txt') | pins('test.txt') | pins('constraints.txt')
    entries = re.split(r'\n(?=\S)', (folder / f'{name}.lock').read_text().strip())
    assert all('--hash=sha256:' in entry for entry in entries)


def test_nothing_that_git_ignores_is_tracked() -> None:
    """What make writes would otherwise travel with every clone; it was 37 MB once."""
    command = ['git', 'ls-files', '--cached', '--ignored', '--exclude-standard']
    try:
        found = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip('needs git and a checkout')
    assert found.splitlines() == []
