# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from importlib.machinery import ModuleSpec
from importlib.metadata import PackageNotFoundError
import os
from pathlib import Path
import random
import re
import shutil
import sys
from types import SimpleNamespace

import pytest

from vos_ros.commands import doctor
from vos_ros.commands.doctor import Check

PROFILE = Path(__file__).resolve().parents[2] / 'config' / 'fastdds_large_images.xml'


CYCLONE = PROFILE.parent / 'cyclonedds_large_images.xml'


def profile(path: Path, size: int) -> str:
    path.write_text(
        '<profiles xmlns="http://www.eprosima.com/XMLSchemas/fastRTPS_Profiles">'
        f'<transport_descriptor><segment_size>{size}</segment_size></transport_descriptor>'
        '</profiles>'
    )
    return str(path)


@pytest.mark.parametrize(
    ('environment', 'status'),
    [
        ({}, 'warn'),
        ({'FASTRTPS_DEFAULT_PROFILES_FILE': str(PROFILE)}, 'ok'),
        ({'FASTDDS_DEFAULT_PROFILES_FILE': str(PROFILE)}, 'warn'),
        ({'FASTRTPS_DEFAULT_PROFILES_FILE': '/no/such/file.xml'}, 'warn'),
        ({'FASTDDS_BUILTIN_TRANSPORTS': 'LARGE_DATA'}, 'warn'),
        ({'FASTDDS_BUILTIN_TRANSPORTS': 'LARGE_DATA?max_msg_size=4MB&sockets_size=8MB'}, 'ok'),
        ({'FASTDDS_BUILTIN_TRANSPORTS': 'LARGE_DATA?max_msg_size=64KB&sockets_size=8MB'}, 'warn'),
        ({'FASTDDS_BUILTIN_TRANSPORTS': 'UDPv4'}, 'warn'),
        ({'RMW_IMPLEMENTATION': 'rmw_zenoh_cpp'}, 'ok'),
    ],
    ids=[
        'default',
        'profile',
        'profile, for Fast DDS 3 alone',
        'no such profile',
        'plain LARGE_DATA',
        'LARGE_DATA with sizes',
        'small messages',
        'UDP',
        'another middleware',
    ],
)
def test_large_images_are_checked(
    environment: dict[str, str], status: str, tmp_path: Path
) -> None:
    environment |= fast_dds(tmp_path, 'libfastrtps.so.2.14')
    check = doctor.check_large_images(environment)
    assert check.status == status
    assert ('export FASTRTPS_DEFAULT_PROFILES_FILE=' in check.hint) is (status == 'warn')


@pytest.mark.parametrize(
    'reach', [{'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST'}, {'ROS_LOCALHOST_ONLY': '1'}]
)
def test_large_data_does_nothing_on_this_host_only_but_a_profile_does(
    reach: dict[str, str],
) -> None:
    large = {'FASTDDS_BUILTIN_TRANSPORTS': 'LARGE_DATA?max_msg_size=4MB&sockets_size=8MB'}
    check = doctor.check_large_images({**large, **reach})
    assert check.status == 'warn'
    assert 'this host only' in check.detail
    assert 'PROFILES_FILE' in check.hint
    with_profile = {**large, **reach, 'FASTRTPS_DEFAULT_PROFILES_FILE': str(PROFILE)}
    assert doctor.check_large_images(with_profile).status == 'ok'


def fast_dds(folder: Path, *libraries: str) -> dict[str, str]:
    """Make an installation that has these libraries, and the variables of who has sourced it."""
    for library in libraries:
        (folder / library).touch()
    return {'LD_LIBRARY_PATH': str(folder)}


def test_each_fast_dds_reads_one_variable_and_doctor_knows_which(tmp_path: Path) -> None:
    old, new = 'FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE'
    for library, read, unread in (
        ('libfastrtps.so.2.6', old, new),
        ('libfastdds.so.3.2', new, old),
    ):
        folder = tmp_path / library
        folder.mkdir()
        installed = fast_dds(folder, library)
        assert doctor.profile_variable(installed) == read
        assert doctor.check_large_images({**installed, read: str(PROFILE)}).status == 'ok'
        check = doctor.check_large_images({**installed, unread: str(PROFILE)})
        assert check.status == 'warn'
        assert f'{unread} is set' in check.detail
        assert f'{read}=' in check.hint
        both = {read: str(PROFILE), unread: '/no/such/file.xml'}
        assert doctor.check_large_images({**installed, **both}).status == 'ok'


def test_the_installed_fast_dds_is_found() -> None:
    pytest.importorskip('rclpy')
    assert doctor.profile_variable({}).endswith('_PROFILES_FILE')


@pytest.mark.parametrize(
    ('most', 'uri', 'status', 'said'),
    [
        (212_992, 'file://' + str(CYCLONE), 'warn', '208 KiB'),
        (4 << 20, '', 'warn', 'CYCLONEDDS_URI'),
        (4 << 20, 'file://' + str(CYCLONE), 'ok', '4096 KiB'),
        (16 << 20, '<Internal><SocketReceiveBufferSize max="8MB"/></Internal>', 'ok', ''),
        (16 << 20, 'file:///no/such.xml', 'warn', 'CYCLONEDDS_URI'),
    ],
)
def test_the_buffers_of_cyclone_dds_are_checked(
    most: int, uri: str, status: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / 'rmem_max').write_text(f'{most}\n')
    monkeypatch.setattr(doctor, '_RMEM_MAX', tmp_path / 'rmem_max')
    environment = {'RMW_IMPLEMENTATION': 'rmw_cyclonedds_cpp', 'CYCLONEDDS_URI': uri}
    check = doctor.check_large_images(environment)
    assert check.status == status
    assert said in check.detail
    assert status == 'ok' or 'net.core.rmem_max=16777216' in check.hint


def fake_rclpy(folder: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    (folder / 'rclpy.py').write_text(f'import os, sys\n{code}')
    monkeypatch.setenv('PYTHONPATH', str(folder))  # for the process that imports it
    monkeypatch.setattr(doctor, '_exists', lambda package: True)


def test_a_middleware_that_ends_the_process_is_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_rclpy(
        tmp_path,
        monkeypatch,
        "__path__ = ['here']\n"
        "if os.environ.get('RMW_IMPLEMENTATION'):\n"
        "    sys.stderr.write('[ERROR] [17.0] [rcl]: no such middleware\\n')\n"
        '    os._exit(102)\n',
    )
    monkeypatch.setenv('RMW_IMPLEMENTATION', 'rmw_zenoh_cpp')
    monkeypatch.setenv('ROS_DISTRO', 'jazzy')
    assert doctor.check_rclpy().status == 'ok'
    check = doctor.check_rmw()
    assert check.status == 'fail'
    assert 'rmw_zenoh_cpp cannot be loaded: no such middleware (exit code 102)' in check.detail
    assert 'ros-jazzy-rmw-zenoh-cpp' in check.hint


def test_an_rclpy_that_cannot_be_imported_is_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_rclpy(tmp_path, monkeypatch, "raise ImportError('librcl.so: cannot open')\n")
    monkeypatch.delenv('RMW_IMPLEMENTATION', raising=False)
    for check in (doctor.check_rclpy(), doctor.check_rmw()):
        assert check.status == 'fail'
        assert 'ImportError: librcl.so: cannot open' in check.detail


def test_a_node_that_cannot_be_imported_fails_with_the_true_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_rclpy(tmp_path, monkeypatch, '')
    check = doctor.check_node()
    assert check.status == 'fail'
    assert 'ModuleNotFoundError: No module named' in check.detail


def test_the_node_can_be_imported() -> None:
    pytest.importorskip('rclpy')
    assert doctor.check_node().status == 'ok'


def test_a_middleware_that_is_not_installed_fails_in_the_real_rclpy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip('rclpy')
    monkeypatch.delenv('RMW_IMPLEMENTATION', raising=False)
    assert doctor.check_rmw().status == 'ok'
    monkeypatch.setenv('RMW_IMPLEMENTATION', 'rmw_that_is_not_there_cpp')
    check = doctor.check_rmw()
    assert check.status == 'fail'
    assert 'unset RMW_IMPLEMENTATION' in check.hint


def test_profile_is_read_and_not_only_found(tmp_path: Path) -> None:
    variable = 'FASTRTPS_DEFAULT_PROFILES_FILE'
    small = doctor.check_large_images({variable: profile(tmp_path / 'a.xml', 512 * 1024)})
    large = doctor.check_large_images({variable: profile(tmp_path / 'b.xml', 16 << 20)})
    assert (small.status, large.status) == ('warn', 'ok')
    (tmp_path / 'c.xml').write_text('no xml')
    assert doctor.check_large_images({variable: str(tmp_path / 'c.xml')}).status == 'warn'


def test_hint_names_the_profile_that_is_shipped() -> None:
    """The path is the repository's, or the installed one where the package is installed."""
    named = re.search(r'PROFILES_FILE=(\S+)', doctor.check_large_images({}).hint)
    assert named is not None
    assert Path(named[1]).read_bytes() == PROFILE.read_bytes()


def test_ament_index_is_searched(tmp_path: Path) -> None:
    marker = tmp_path / 'share/ament_index/resource_index/packages/vos_ros'
    marker.parent.mkdir(parents=True)
    prefixes = os.pathsep.join(['/nowhere', str(tmp_path)])
    assert doctor.check_ament_index(prefixes).status == 'warn'
    marker.touch()
    assert doctor.check_ament_index(prefixes) == Check(
        'ament index', 'ok', f'vos_ros is in {tmp_path}'
    )


def test_broken_package_is_a_line_and_not_a_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / 'onnxruntime.py').write_text("raise OSError('libfoo.so: cannot open')")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, 'onnxruntime', raising=False)
    checks = {check.name: check for check in doctor.examine('no_such_model')}
    monkeypatch.delitem(sys.modules, 'onnxruntime', raising=False)
    assert checks['onnxruntime'].status == 'fail'
    assert 'libfoo.so' in checks['onnxruntime'].detail
    assert checks['python'].status != 'fail'
    assert doctor.has_failed(list(checks.values()))


@pytest.mark.parametrize(
    ('environment', 'status', 'says'),
    [
        ({}, 'ok', 'ROS_DOMAIN_ID=0'),
        ({'ROS_DOMAIN_ID': '42', 'ROS_LOCALHOST_ONLY': '1'}, 'ok', 'this host only'),
        ({'ROS_AUTOMATIC_DISCOVERY_RANGE': 'SUBNET'}, 'ok', 'SUBNET'),
        ({'ROS_DOMAIN_ID': '150'}, 'warn', '150'),
        ({'ROS_DOMAIN_ID': '300'}, 'fail', '300'),
        ({'ROS_DOMAIN_ID': 'lab'}, 'fail', 'lab'),
    ],
)
def test_domain_is_checked(environment: dict[str, str], status: str, says: str) -> None:
    check = doctor.check_domain(environment)
    assert check.status == status
    assert says in check.detail
    assert check.hint


@pytest.mark.parametrize(
    ('profile_name', 'reach', 'status', 'says'),
    [
        ('fastdds_large_images.xml', 'LOCALHOST', 'warn', '0.0.0.0, although the reach is this'),
        ('fastdds_large_images.xml', 'SUBNET', 'ok', '0.0.0.0'),
        ('fastdds_loopback.xml', 'LOCALHOST', 'ok', '127.0.0.1'),
    ],
)
def test_addresses_that_a_node_listens_on_are_named(
    tmp_path: Path, profile_name: str, reach: str, status: str, says: str
) -> None:
    pytest.importorskip('rclpy')
    environment = os.environ | {
        'ROS_DOMAIN_ID': str(random.SystemRandom().randint(1, 100)),
        'ROS_AUTOMATIC_DISCOVERY_RANGE': reach,
        'ROS_LOG_DIR': str(tmp_path),
        'FASTRTPS_DEFAULT_PROFILES_FILE': str(PROFILE.parent / profile_name),
    }
    check = doctor.check_sockets(environment)
    assert (check.status, says in check.detail) == (status, True), check
    assert ('fastdds_loopback.xml' in check.hint) is (status == 'warn')


def test_shared_memory_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    for free_mib, status in ((32, 'warn'), (1024, 'ok')):
        usage = SimpleNamespace(total=2048 << 20, free=free_mib << 20)
        monkeypatch.setattr('shutil.disk_usage', lambda path, usage=usage: usage)
        check = doctor.check_shared_memory()
        assert check.status == status
        assert check.detail.startswith(f'{free_mib} of 2048 MiB')
        assert ('--ipc=host' in check.hint) == (status == 'warn')


def test_no_shared_memory_at_all_is_said(tmp_path: Path) -> None:
    assert doctor.check_shared_memory(str(tmp_path / 'nothing')).status == 'ok'


@pytest.mark.parametrize(
    ('gpus', 'providers', 'status'),
    [
        ((), ['CPUExecutionProvider'], 'ok'),
        (('RTX',), ['CPUExecutionProvider'], 'warn'),
        (('RTX',), ['CUDAExecutionProvider', 'CPUExecutionProvider'], 'ok'),
    ],
    ids=['none', 'not usable', 'usable'],
)
def test_a_gpu_that_cannot_be_used_is_said(
    monkeypatch: pytest.MonkeyPatch, gpus: tuple[str, ...], providers: list[str], status: str
) -> None:
    monkeypatch.setattr('vos_ros.backends.machine.gpu_names', lambda: gpus)
    runtime = SimpleNamespace(
        get_available_providers=lambda: providers, __spec__=ModuleSpec('onnxruntime', None)
    )
    monkeypatch.setitem(sys.modules, 'onnxruntime', runtime)
    check = doctor.check_gpu()
    assert check.status == status
    assert bool(check.hint) is (status == 'warn')


def test_two_packages_of_onnxruntime_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = SimpleNamespace(__version__='1', get_available_providers=lambda: ['CPU'])
    monkeypatch.setitem(sys.modules, 'onnxruntime', runtime)
    installed = {'onnxruntime'}

    def version(name: str) -> str:
        if name not in installed:
            raise PackageNotFoundError(name)
        return '1'

    monkeypatch.setattr('importlib.metadata.version', version)
    assert doctor.check_onnxruntime().status == 'ok'
    installed.add('onnxruntime-gpu')
    check = doctor.check_onnxruntime()
    assert check.status == 'warn'
    assert 'onnxruntime, onnxruntime-gpu' in check.hint


def test_an_opencv_that_does_not_fit_numpy_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / 'cv2.py').write_text("raise ImportError('numpy.core.multiarray failed')")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, 'cv2')
    check = doctor.check_opencv()
    assert check.status == 'fail'
    assert 'numpy<2' in check.hint


def test_vision_msgs_is_optional_and_names_what_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('ROS_DISTRO', 'jazzy')
    for is_there in (True, False):
        monkeypatch.setattr(doctor, '_exists', lambda package, there=is_there: there)
        check = doctor.check_vision_msgs()
        assert check.status == 'ok'
        assert ('ros-jazzy-vision-msgs' in check.hint) != is_there
        assert 'init_boxes' in check.detail


def test_warnings_do_not_fail() -> None:
    assert not doctor.has_failed([Check('a', 'ok', ''), Check('b', 'warn', '')])
    assert doctor.to_dict([Check('b', 'warn', 'x', 'y')]) == {
        'ok': True,
        'checks': [{'name': 'b', 'status': 'warn', 'detail': 'x', 'hint': 'y'}],
    }


JETSON = Path(__file__).resolve().parents[1] / 'data' / 'jetson_orin_nano'


@pytest.fixture
def jetson(tmp_path: Path) -> Path:
    """Return a copy of the files of a Jetson Orin Nano, JetPack 6.2, as a root to change."""
    return Path(shutil.copytree(JETSON, tmp_path / 'root'))


def test_a_jetson_tells_what_it_is_set_to(jetson: Path) -> None:
    check = doctor.check_jetson(jetson)
    assert check.status == 'warn'
    for part in ('Orin Nano', 'Jetson Linux 36.4.3 (JetPack 6.2)', 'TensorRT 10.3.0'):
        assert part in check.detail
    assert 'power mode 15W' in check.detail
    assert 'CPU at 0.73 to 1.51 GHz' in check.detail
    assert 'sudo nvpmodel -m 2' in check.hint
    assert 'jetson_clocks' in check.hint


def test_a_jetson_at_its_fastest_is_well(jetson: Path) -> None:
    (jetson / 'var/lib/nvpmodel/status').write_text('pmode:0002 fmode:quiet\n')
    policy = jetson / 'sys/devices/system/cpu/cpufreq/policy0'
    (policy / 'scaling_min_freq').write_text('1728000\n')
    (policy / 'scaling_max_freq').write_text('1728000\n')
    check = doctor.check_jetson(jetson)
    assert check.status == 'ok'
    assert 'MAXN_SUPER' in check.detail
    assert 'CPU 1.73 GHz' in check.detail
    assert check.hint == ''


def test_a_jetson_in_a_container_without_its_files_is_no_error(jetson: Path) -> None:
    shutil.rmtree(jetson / 'etc')
    shutil.rmtree(jetson / 'var')
    shutil.rmtree(jetson / 'sys')
    shutil.rmtree(jetson / 'usr')
    check = doctor.check_jetson(jetson)
    assert check.status == 'ok'
    assert 'power mode not told' in check.detail
    assert 'nvidia-jetpack' in check.hint


def test_the_library_without_which_tensorrt_does_not_load_is_missed(jetson: Path) -> None:
    next(jetson.glob('usr/lib/*/nvidia/libnvdla_compiler.so')).unlink()
    (jetson / 'var/lib/nvpmodel/status').write_text('pmode:0002\n')
    check = doctor.check_jetson(jetson)
    assert check.status == 'warn'
    assert 'nvidia-l4t-dla-compiler' in check.hint
    release = jetson / 'etc/nv_tegra_release'
    release.write_text('# R39 (release), REVISION: 2.0, GCID: 1, BOARD: generic\n')
    check = doctor.check_jetson(jetson)  # that of JetPack 7.2 does
    assert check.status == 'ok'
    assert 'Jetson Linux 39.2.0 (JetPack 7.2)' in check.detail


def test_another_machine_is_no_jetson(tmp_path: Path) -> None:
    assert doctor.check_jetson(tmp_path).detail == 'this is none'
    model = tmp_path / 'proc/device-tree/model'
    model.parent.mkdir(parents=True)
    model.write_bytes(b'Raspberry Pi 5 Model B Rev 1.0\0')
    assert doctor.check_jetson(tmp_path).detail == 'this is none'


def test_a_missing_onnxruntime_is_named_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, 'onnxruntime', None)
    check = doctor.check_onnxruntime()
    assert check.status == 'fail'
    assert 'pip install onnxruntime' in check.hint
