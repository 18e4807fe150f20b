# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
from pathlib import Path
import re
import sys

import pytest

from vos_ros import doctor
from vos_ros.doctor import Check

PROFILE = Path(__file__).resolve().parents[1] / 'config' / 'fastdds_large_images.xml'


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
        ({'FASTDDS_DEFAULT_PROFILES_FILE': str(PROFILE)}, 'ok'),
        ({'FASTRTPS_DEFAULT_PROFILES_FILE': '/no/such/file.xml'}, 'warn'),
        ({'FASTDDS_BUILTIN_TRANSPORTS': 'LARGE_DATA'}, 'warn'),
        ({'FASTDDS_BUILTIN_TRANSPORTS': 'LARGE_DATA?max_msg_size=4MB&sockets_size=8MB'}, 'ok'),
        ({'FASTDDS_BUILTIN_TRANSPORTS': 'LARGE_DATA?max_msg_size=64KB&sockets_size=8MB'}, 'warn'),
        ({'FASTDDS_BUILTIN_TRANSPORTS': 'UDPv4'}, 'warn'),
        ({'RMW_IMPLEMENTATION': 'rmw_cyclonedds_cpp'}, 'ok'),
    ],
    ids=[
        'default',
        'profile',
        'profile, new name',
        'no such profile',
        'plain LARGE_DATA',
        'LARGE_DATA with sizes',
        'small messages',
        'UDP',
        'another middleware',
    ],
)
def test_large_images_are_checked(environment: dict[str, str], status: str) -> None:
    check = doctor.check_large_images(environment)
    assert check.status == status
    assert bool(check.hint) is (status == 'warn')


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


def test_warnings_do_not_fail() -> None:
    assert not doctor.has_failed([Check('a', 'ok', ''), Check('b', 'warn', '')])
    assert doctor.to_dict([Check('b', 'warn', 'x', 'y')]) == {
        'ok': True,
        'checks': [{'name': 'b', 'status': 'warn', 'detail': 'x', 'hint': 'y'}],
    }
