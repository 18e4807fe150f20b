# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Is everything here that segmenting needs? One line per check, with what to do.

Nothing heavy is imported with this module: a broken installation is what it is
for, so every check looks for itself and fails alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
import importlib
from importlib import metadata
from importlib.util import find_spec
import os
from pathlib import Path
import platform
import re
import shutil
import subprocess
import sys
from time import perf_counter
from typing import Any
from xml.etree import ElementTree

from vos_ros.config import RuntimeConfig, SegmenterConfig
from vos_ros.errors import VosError

OK, WARN, FAIL = 'ok', 'warn', 'fail'
_OLDEST_PYTHON, _NEWEST_PYTHON = (3, 10), (3, 12)
_MESSAGES = ('sensor_msgs', 'std_msgs', 'std_srvs', 'diagnostic_msgs')
#: Free shared memory under which 16 MiB segments of several processes do not fit.
_LEAST_SHM_BYTES = 64 << 20
#: Domains whose ports Linux does not give to anybody (docs.ros.org, "The ROS_DOMAIN_ID").
_SAFE_DOMAINS = (*range(102), *range(215, 233))
_ORT_PACKAGES = ('onnxruntime', 'onnxruntime-gpu', 'onnxruntime-openvino', 'onnxruntime-directml')
_PROFILE = 'config/fastdds_large_images.xml'
_LOOPBACK_PROFILE = 'config/fastdds_loopback.xml'
_CYCLONE_CONFIG = 'config/cyclonedds_large_images.xml'
#: For Cyclone DDS: what a camera of 1280x720 was seen to need, and what to ask for.
_LEAST_RECEIVE_BUFFER = 4 << 20
_RECEIVE_BUFFER = 16 << 20
_RMEM_MAX = Path('/proc/sys/net/core/rmem_max')
#: Each version of Fast DDS reads one of them and not the other: library -> variable.
_PROFILE_VARIABLES = {
    'libfastrtps.so': 'FASTRTPS_DEFAULT_PROFILES_FILE',  # 2.x: Humble, Jazzy
    'libfastdds.so': 'FASTDDS_DEFAULT_PROFILES_FILE',  # 3.x: Kilted and later
}
# A 1280x720 colour image is 2.6 MiB; the default segment of 512 KiB loses nearly all of them.
_ENOUGH_BYTES = 3 << 20
_UNITS = {'': 1, 'B': 1, 'KB': 1000, 'MB': 1000**2, 'GB': 1000**3}
_PROBE_STEPS = 12
# Importing takes under a second; this is for a middleware that hangs.
_IMPORT_TIMEOUT_S = 30
_SLOW_MS = 200.0


@dataclass(frozen=True)
class Check:
    """
    One line of the report.

    :param status: 'ok', 'warn' (something will not work, or badly) or 'fail'.
    :param detail: what was found.
    :param hint: what to do; empty when nothing is to be done.
    """

    name: str
    status: str
    detail: str
    hint: str = ''


def examine(model: str = '', size: int = 0) -> Iterator[Check]:
    """
    Check this machine, yielding each result as soon as it is there.

    :param model: name or path; empty = the default one.
    :param size: short side of the network input for the probe; 0 = the model's own.
    """
    model = model or RuntimeConfig().model
    checks: dict[str, Callable[[], Check]] = {
        'python': check_python,
        'numpy': lambda: _check_import('numpy', 'numpy'),
        'opencv': check_opencv,
        'onnxruntime': check_onnxruntime,
        'gpu': check_gpu,
        'jetson': check_jetson,
        'model': lambda: check_model(model),
        'inference': lambda: check_inference(model, size),
        'video': check_h264,
        'rclpy': check_rclpy,
        'messages': check_messages,
        'node': check_node,
        'vision_msgs': check_vision_msgs,
        'rmw': check_rmw,
        'domain': lambda: check_domain(dict(os.environ)),
        'sockets': lambda: check_sockets(dict(os.environ)),
        'large images': lambda: check_large_images(dict(os.environ)),
        'shm': check_shared_memory,
        'ament index': lambda: check_ament_index(os.environ.get('AMENT_PREFIX_PATH', '')),
    }
    if not _is_jetson():
        del checks['jetson']
    for name, check in checks.items():
        yield _guarded(name, check)


def _is_jetson() -> bool:
    from vos_ros.backends.machine import read_jetson

    return read_jetson() is not None


def to_dict(checks: list[Check]) -> dict[str, Any]:
    """
    Give the result for a program to read.

    :param checks: all of them.
    """
    return {'ok': not has_failed(checks), 'checks': [asdict(check) for check in checks]}


def has_failed(checks: list[Check]) -> bool:
    """
    Tell whether something is so wrong that nothing will run; a warning is not.

    :param checks: all of them.
    """
    return any(check.status == FAIL for check in checks)


def check_python() -> Check:
    """Check the version of Python."""
    version, here = platform.python_version(), sys.version_info[:2]
    if here < _OLDEST_PYTHON:
        return Check('python', FAIL, version, 'Python 3.10 or later is needed')
    if here > _NEWEST_PYTHON:
        return Check('python', WARN, version, 'tested with 3.10 to 3.12 only')
    return Check('python', OK, f'{version} ({sys.executable})')


def check_opencv() -> Check:
    """Check that OpenCV loads; one built for NumPy 1 does not, beside NumPy 2."""
    try:
        return _check_import('opencv', 'cv2')
    except ImportError as error:
        return Check(
            'opencv',
            FAIL,
            str(error).strip().splitlines()[-1],
            "pip install 'opencv-python-headless>=4.10' for NumPy 2, or pip install 'numpy<2' "
            "for the distribution's python3-opencv",
        )


def check_onnxruntime() -> Check:
    """Check that onnxruntime loads, is there once, and list what it can run on."""
    from vos_ros.backends import ONNXRUNTIME_HINT

    try:
        runtime = importlib.import_module('onnxruntime')
    except ImportError as error:
        return Check('onnxruntime', FAIL, str(error), ONNXRUNTIME_HINT)
    detail = f'{runtime.__version__}, providers: {", ".join(runtime.get_available_providers())}'
    several = [name for name in _ORT_PACKAGES if _is_distribution(name)]
    if len(several) > 1:
        hint = f'uninstall all of them, then install the one you want: {", ".join(several)}'
        return Check('onnxruntime', WARN, f'{detail}; packages overwrite each other', hint)
    return Check('onnxruntime', OK, detail)


def check_gpu() -> Check:
    """Check that a GPU which is there can be used."""
    from vos_ros.backends.machine import gpu_names

    names = ', '.join(gpu_names())
    if not names:
        return Check('gpu', OK, 'no NVIDIA GPU found: the processor runs the network')
    if not _exists('onnxruntime'):
        return Check('gpu', WARN, f'{names}, but there is no onnxruntime')
    providers = importlib.import_module('onnxruntime').get_available_providers()
    usable = [p for p in ('TensorrtExecutionProvider', 'CUDAExecutionProvider') if p in providers]
    if usable:
        return Check('gpu', OK, f'{names}, for {", ".join(usable)}')
    hint = (
        'pip uninstall onnxruntime, then pip install onnxruntime-gpu (on a Jetson: the wheel that '
        'NVIDIA builds for your JetPack)'
    )
    return Check('gpu', WARN, f'{names}, but this onnxruntime has no provider for it', hint)


def check_jetson(root: Path = Path('/')) -> Check:
    """
    Say what a Jetson is set to; the power mode alone changes times by a factor of three.

    :param root: of the file system.
    """
    from vos_ros.backends.machine import read_jetson

    name = 'jetson'
    found = read_jetson(root)
    if found is None:
        return Check(name, OK, 'this is none')
    parts = [found.board]
    if found.release:
        jetpack = f' (JetPack {found.jetpack})' if found.jetpack else ''
        parts.append(f'Jetson Linux {found.release}{jetpack}')
    parts += [f'{library} {version}' for library, version in found.libraries.items()]
    parts.append(f'power mode {found.mode or "not told"}')
    hints = []
    if found.cpu_hz is not None:
        low, high = (hz / 1e9 for hz in found.cpu_hz)
        parts.append(
            f'CPU at {low:.2f} to {high:.2f} GHz' if low < high else f'CPU {high:.2f} GHz'
        )
        if low < high:
            hints.append('sudo jetson_clocks fixes the clocks, so that times mean something')
    fastest = [number for number, mode in found.modes.items() if mode.startswith('MAXN')]
    is_slow = bool(fastest and found.mode) and not found.mode.startswith('MAXN')
    if is_slow:
        mode = found.modes[fastest[0]]
        hints.insert(0, f'the fastest mode is {mode}: sudo nvpmodel -m {fastest[0]}')
    if 'TensorRT' not in found.libraries:
        hints.append('TensorRT is not here: sudo apt install nvidia-jetpack')
    elif not found.has_dla_compiler and not found.jetpack.startswith('7'):
        hints.append(
            'TensorRT of JetPack 6 does not load without libnvdla_compiler.so: sudo apt install '
            'nvidia-l4t-dla-compiler (on the host, too, for containers)'
        )
    is_wrong = is_slow or any('libnvdla' in hint for hint in hints)
    return Check(name, WARN if is_wrong else OK, ', '.join(parts), '; '.join(hints))


def check_model(model: str) -> Check:
    """
    Check that a model is there and undamaged.

    :param model: name or path.
    """
    from vos_ros.backends import check_files, load_manifest

    manifest = load_manifest(model)
    check_files(manifest)
    detail = f'{manifest.name}, sha256 {manifest.sha256[:12]} and its graphs agree'
    return Check('model', OK, f'{detail} ({manifest.folder})')


def check_inference(model: str, size: int = 0) -> Check:
    """
    Segment some made-up frames and say how long one takes.

    :param model: name or path.
    :param size: short side of the network input; 0 = the model's own.
    """
    import numpy as np

    from vos_ros.datatypes import Frame, Prompt
    from vos_ros.engine.segmenter import VideoSegmenter

    config = replace(SegmenterConfig(), input_size=size)
    segmenter = VideoSegmenter.open(model, config=config)
    short, fixed = segmenter.short_sides[0], segmenter.manifest.fixed
    height, width = (short, round(short * 16 / 9)) if fixed is None else fixed[:2]
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    mask = np.zeros((height, width), np.uint8)
    mask[height // 4 : height // 2, width // 4 : width // 2] = 1
    segmenter.step(Frame(image), Prompt(mask))
    times_ms = []
    for _ in range(_PROBE_STEPS):
        start = perf_counter()
        segmenter.step(Frame(image))
        times_ms.append(1e3 * (perf_counter() - start))
    p50 = float(np.median(times_ms[2:]))
    backend = f'{segmenter.backend_name} {segmenter.precision}'
    fps = f'{1e3 / p50:.1f} fps'
    detail = f'{p50:.0f} ms per frame (p50) at {width}x{height}, 1 object: {fps} on {backend}'
    if segmenter.fallbacks:
        return Check('inference', WARN, detail, '; '.join(segmenter.fallbacks))
    if p50 > _SLOW_MS:
        return Check(
            'inference', WARN, detail, 'take a smaller --size (input_size), or free the CPU'
        )
    return Check('inference', OK, detail)


def check_h264() -> Check:
    """Check that overlay videos will play in a browser."""
    from vos_ros.evaluation.video import find_h264_encoder

    encoder = find_h264_encoder()
    if encoder:
        return Check('video', OK, f'H.264 by {encoder}')
    hint = 'pip install imageio-ffmpeg, or install ffmpeg'
    return Check('video', WARN, 'no H.264: overlay videos will not play in browsers', hint)


def check_rclpy() -> Check:
    """Check that ROS 2 for Python loads, whatever middleware is asked for."""
    if not _exists('rclpy'):
        return Check('rclpy', WARN, 'not found: the node cannot run, vos run and eval can', _ROS)
    environment = {k: v for k, v in os.environ.items() if k != 'RMW_IMPLEMENTATION'}
    folder, reason = _query_rclpy('__path__[0]', environment)
    if not folder:
        return Check('rclpy', FAIL, f'cannot be imported: {reason}', _ROS)
    distro = os.environ.get('ROS_DISTRO', 'from wheels or not sourced')
    return Check('rclpy', OK, f'{folder} (distribution: {distro})')


def check_node() -> Check:
    """Check that the node itself loads with this rclpy, whatever middleware is asked for."""
    if not _exists('rclpy'):
        return Check('node', WARN, 'not looked at: there is no rclpy', _ROS)
    environment = {k: v for k, v in os.environ.items() if k != 'RMW_IMPLEMENTATION'}
    _, reason = _last_line_of('import vos_ros.ros.vos_node', environment)
    if reason:
        hint = 'install what is named; docs/distros.md lists what each distribution has'
        return Check('node', FAIL, f'cannot be imported: {reason}', hint)
    return Check('node', OK, 'segmenter can be imported')


def check_messages() -> Check:
    """Check the packages of messages that the node uses."""
    missing = [package for package in _MESSAGES if not _exists(package)]
    if missing:
        return Check('messages', WARN, f'missing: {", ".join(missing)}', _ROS)
    return Check('messages', OK, ', '.join(_MESSAGES))


def check_vision_msgs() -> Check:
    """Say whether boxes and names of objects can be exchanged; the rest works without."""
    if _exists('vision_msgs'):
        return Check('vision_msgs', OK, 'found: init_boxes, ~/objects and ~/label_info are on')
    distro = os.environ.get('ROS_DISTRO', '<distribution>')
    return Check(
        'vision_msgs',
        OK,
        'not installed (optional): init_boxes, ~/objects and ~/label_info are off',
        f'if you want them: apt install ros-{distro}-vision-msgs',
    )


def check_rmw() -> Check:
    """Say which middleware carries the messages."""
    if not _exists('rclpy'):
        return Check('rmw', WARN, 'unknown, for there is no rclpy', _ROS)
    requested = os.environ.get('RMW_IMPLEMENTATION', '')
    name, reason = _query_rclpy('get_rmw_implementation_identifier()', dict(os.environ))
    if name:
        return Check('rmw', OK, f'{name} ({"RMW_IMPLEMENTATION" if requested else "the default"})')
    if not requested:
        return Check('rmw', FAIL, f'none can be loaded: {reason}', _ROS)
    package = f'ros-{os.environ.get("ROS_DISTRO", "<distribution>")}-{requested.replace("_", "-")}'
    return Check(
        'rmw',
        FAIL,
        f'RMW_IMPLEMENTATION={requested} cannot be loaded: {reason}',
        f'install it (apt install {package}), or unset RMW_IMPLEMENTATION',
    )


def check_domain(environment: dict[str, str]) -> Check:
    """
    Say with whom messages are exchanged; camera and node must agree.

    :param environment: the variables that the node will see.
    """
    name = 'domain'
    given = environment.get('ROS_DOMAIN_ID', '') or '0'
    if not given.isdigit() or int(given) > 232:
        hint = 'set a number from 0 to 101, the same for all nodes'
        return Check(name, FAIL, f'ROS_DOMAIN_ID={given} is no domain', hint)
    reach = 'this network'
    if environment.get('ROS_LOCALHOST_ONLY', '') == '1':
        reach = 'this host only (ROS_LOCALHOST_ONLY)'
    elif found := environment.get('ROS_AUTOMATIC_DISCOVERY_RANGE', ''):
        reach = f'{found} (ROS_AUTOMATIC_DISCOVERY_RANGE)'
    detail = f'ROS_DOMAIN_ID={given}, reach: {reach}'
    if int(given) not in _SAFE_DOMAINS:
        hint = 'take one from 0 to 101: the ports of this one may be taken by any program'
        return Check(name, WARN, detail, hint)
    return Check(name, OK, detail, 'the camera driver needs the same')


def check_sockets(environment: dict[str, str]) -> Check:
    """
    Say on which addresses a node would listen: who reaches them may prompt, reset and stop it.

    A node is made in a process of its own and its sockets are looked at; nothing is guessed.

    :param environment: the variables that the node will see.
    """
    name = 'sockets'
    given = environment.get('ROS_DOMAIN_ID', '') or '0'
    if not Path('/proc/net/udp').exists() or not given.isdigit():
        return Check(name, OK, 'this system does not tell which ports are bound')
    code = (
        'import os; import rclpy; rclpy.init(); node = rclpy.create_node("vos_doctor"); '
        'from vos_ros.commands.doctor import bound_udp_ports; '
        f'print(*(a for a, _ in bound_udp_ports(os.getpid(), {int(given)})))'
    )
    line, reason = _last_line_of(code, environment)
    if reason:
        return Check(name, OK, f'not looked at: {reason}')
    addresses = sorted(set(line.split()))
    detail = f'UDP ports of the domain are bound to {", ".join(addresses)}'
    if not addresses:
        return Check(name, OK, 'no UDP port of the domain is bound')
    if all(address.startswith('127.') for address in addresses):
        return Check(name, OK, detail)
    if _is_local(environment):
        variable = profile_variable(environment) or 'FASTDDS_DEFAULT_PROFILES_FILE'
        hint = (
            f'{variable}={_shipped(_LOOPBACK_PROFILE)} for all nodes binds them to 127.0.0.1; '
            'docs/security.md'
        )
        return Check(name, WARN, f'{detail}, although the reach is this host only', hint)
    return Check(name, OK, detail, 'whoever reaches them may steer the node: docs/security.md')


def bound_udp_ports(pid: int, domain: int) -> list[tuple[str, int]]:
    """
    Find the ports of a DDS domain that a process listens on.

    Fast DDS also has sockets at other ports, which it only sends from; those are left out.

    :param pid: of the process, one of this user's.
    :param domain: ROS_DOMAIN_ID.
    :return: IPv4 address and port of each, sorted.
    :raises OSError: this system has no /proc, or the process is gone.
    """
    first = 7400 + 250 * domain  # DDSI-RTPS 9.6.1.1
    sockets = set()
    for descriptor in Path(f'/proc/{pid}/fd').iterdir():
        with suppress(OSError):  # it was closed meanwhile
            sockets.add(os.readlink(descriptor))
    found = []
    for line in Path('/proc/net/udp').read_text().splitlines()[1:]:
        fields = line.split()
        address, port = fields[1].split(':')
        if f'socket:[{fields[9]}]' in sockets and first <= int(port, 16) < first + 250:
            octets = int(address, 16).to_bytes(4, sys.byteorder)
            found.append(('.'.join(map(str, octets)), int(port, 16)))
    return sorted(found)


def check_large_images(environment: dict[str, str]) -> Check:
    """
    Check whether camera images get through Fast DDS, whose default loses them silently.

    :param environment: the variables that publisher and subscriber will see.
    """
    name = 'large images'
    rmw = environment.get('RMW_IMPLEMENTATION', 'rmw_fastrtps_cpp')
    if 'cyclonedds' in rmw:
        return _check_receive_buffer(name, rmw, environment)
    if 'fastrtps' not in rmw:
        return Check(name, OK, f'{rmw} has no limit of 512 KiB; not measured with it')
    read = profile_variable(environment)
    for variable in [read] if read else _PROFILE_VARIABLES.values():
        path = environment.get(variable, '')
        if path:
            return _check_profile(name, variable, Path(path))
    unread = [v for v in _PROFILE_VARIABLES.values() if environment.get(v)]
    if unread:
        detail = f'{unread[0]} is set, but the Fast DDS that is installed reads only {read}'
        return Check(name, WARN, detail, _profile_hint())
    transports = environment.get('FASTDDS_BUILTIN_TRANSPORTS', '')
    if _has_large_data(transports) and not _is_local(environment):
        detail = f'FASTDDS_BUILTIN_TRANSPORTS={transports}'
        return Check(name, OK, detail, 'the camera driver needs exactly the same')
    if _has_large_data(transports):
        # Images are lost as with the default then; those of a profile are not.
        detail = 'FASTDDS_BUILTIN_TRANSPORTS does nothing where the reach is this host only'
        return Check(name, WARN, detail, _profile_hint())
    found = 'Fast DDS has its default of 512 KiB: larger images are mostly lost'
    if transports:
        found = f'FASTDDS_BUILTIN_TRANSPORTS={transports} is not enough: images will be lost'
    return Check(name, WARN, found, _profile_hint())


def profile_variable(environment: dict[str, str]) -> str:
    """
    Tell which variable the installed Fast DDS reads its profile from.

    :param environment: with LD_LIBRARY_PATH and AMENT_PREFIX_PATH of ROS.
    :return: its name; empty where no Fast DDS is found.
    """
    folders = environment.get('LD_LIBRARY_PATH', '').split(os.pathsep)
    folders += [
        f'{p}/lib' for p in environment.get('AMENT_PREFIX_PATH', '').split(os.pathsep) if p
    ]
    folders.append(f'{sys.prefix}/lib')  # of the wheels
    for folder in filter(None, folders):
        for library, variable in _PROFILE_VARIABLES.items():
            if next(Path(folder).glob(f'{library}*'), None):
                return variable
    return ''


def _check_receive_buffer(name: str, rmw: str, environment: dict[str, str]) -> Check:
    """Check what Cyclone DDS needs for images: the kernel's buffer, and to ask for it."""
    given = environment.get('CYCLONEDDS_URI', '')
    hint = (
        f'sudo sysctl -w net.core.rmem_max={_RECEIVE_BUFFER}, and export '
        f'CYCLONEDDS_URI=file://{_shipped(_CYCLONE_CONFIG)} where the camera and where the node '
        'are started'
    )
    try:
        most = int(_RMEM_MAX.read_text())
    except (OSError, ValueError):
        return Check(name, OK, f'{rmw}: this system does not tell its receive buffer', hint)
    if most < _LEAST_RECEIVE_BUFFER:
        detail = f'{rmw}: net.core.rmem_max is {most >> 10} KiB, large images will be lost'
        return Check(name, WARN, detail, hint)
    if 'ReceiveBufferSize' not in _text_of_uri(given):
        detail = f'{rmw}: nothing asks for a larger receive buffer (CYCLONEDDS_URI)'
        return Check(name, WARN, detail, hint)
    return Check(name, OK, f'{rmw}: receive buffer up to {most >> 10} KiB, CYCLONEDDS_URI is set')


def _text_of_uri(uri: str) -> str:
    """Read a CYCLONEDDS_URI: XML itself, or a comma-separated list with files."""
    text = uri
    for part in uri.split(','):
        with suppress(OSError, ValueError):
            text += Path(part.strip().removeprefix('file://')).read_text(errors='replace')
    return text


def check_shared_memory(path: str = '/dev/shm') -> Check:
    """
    Check that the segments through which images go on one host fit.

    :param path: where the system keeps shared memory.
    """
    name = 'shm'
    try:
        usage = shutil.disk_usage(path)
    except OSError:
        return Check(name, OK, f'there is no {path}: images go over the network stack')
    detail = f'{usage.free >> 20} of {usage.total >> 20} MiB free in {path}'
    if usage.free < _LEAST_SHM_BYTES:
        hint = (
            'docker run --ipc=host, or --shm-size=512m; on a host, remove what programs that '
            'crashed have left there (fastdds shm clean)'
        )
        return Check(name, WARN, f'{detail}: a process needs 16 MiB or more', hint)
    return Check(name, OK, detail)


def check_ament_index(prefixes: str) -> Check:
    """
    Check that `ros2 run` and `ros2 launch` will find this package.

    :param prefixes: AMENT_PREFIX_PATH.
    """
    marker = Path('share/ament_index/resource_index/packages/vos_ros')
    for prefix in filter(None, prefixes.split(os.pathsep)):
        if (Path(prefix) / marker).is_file():
            return Check('ament index', OK, f'vos_ros is in {prefix}')
    if (Path(sys.prefix) / marker).is_file():
        hint = f'export AMENT_PREFIX_PATH={sys.prefix}:$AMENT_PREFIX_PATH'
    else:
        hint = 'build with colcon and source install/setup.bash, or pip install this package'
    detail = 'ros2 run and ros2 launch do not find vos_ros (vos itself does not need it)'
    return Check('ament index', WARN, detail, hint)


_ROS = (
    'source /opt/ros/<distribution>/setup.bash, or pip install ros-jazzy-rclpy[fastrtps] and '
    'messages as in requirements/runtime.txt'
)


def _guarded(name: str, check: Callable[[], Check]) -> Check:
    """Turn whatever goes wrong into a line of the report."""
    try:
        return check()
    except VosError as error:
        return Check(name, FAIL, str(error))
    except Exception as error:  # a broken installation raises anything
        hint = 'install it again; make venv does so in a checkout'
        return Check(name, FAIL, f'{type(error).__name__}: {error}', hint)


def _query_rclpy(what: str, environment: dict[str, str]) -> tuple[str, str]:
    """
    Give an attribute of rclpy as text, or nothing and the reason.

    :param what: its name.
    :param environment: of the process.
    """
    text, reason = _last_line_of(f'import rclpy; print(rclpy.{what})', environment)
    return text, reason or ('' if text else 'it said nothing (exit code 0)')


def _last_line_of(code: str, environment: dict[str, str]) -> tuple[str, str]:
    """
    Run Python code that uses rclpy and give its last line, or nothing and the reason.

    In a process of its own: where the middleware is missing, rcl ends the one that imports it.
    """
    try:
        done = subprocess.run(
            [sys.executable, '-c', code],
            capture_output=True,
            text=True,
            errors='replace',
            timeout=_IMPORT_TIMEOUT_S,
            env=environment,
        )
    except subprocess.TimeoutExpired:
        return '', f'importing rclpy took more than {_IMPORT_TIMEOUT_S} s'
    if done.returncode == 0:
        return ''.join(done.stdout.strip().splitlines()[-1:]), ''
    output = done.stderr.strip().splitlines() or ['it said nothing']
    # rcl puts the reason first, Python last.
    line = output[-1] if 'Traceback' in done.stderr else output[0]
    line = re.sub(r'^(\[[^]]*\][ :]*)+', '', line)  # severity, time, logger
    return '', f'{line} (exit code {done.returncode})'


def _check_import(name: str, module: str) -> Check:
    return Check(name, OK, str(importlib.import_module(module).__version__))


def _is_distribution(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def _exists(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except (ImportError, ValueError):
        return False


def _check_profile(name: str, variable: str, path: Path) -> Check:
    """Look into an XML profile of Fast DDS for a shared-memory segment that is large enough."""
    try:
        tree = ElementTree.parse(path)
    except (OSError, ElementTree.ParseError) as error:
        detail = f'{variable}={path} cannot be read ({error}), so Fast DDS has its defaults'
        return Check(name, WARN, detail, _profile_hint())
    texts = [e.text or '' for e in tree.iter() if e.tag.rpartition('}')[2] == 'segment_size']
    segments = [int(text) for text in texts if text.strip().isdigit()]
    if max(segments, default=0) >= _ENOUGH_BYTES:
        return Check(name, OK, f'{variable}={path}: segment of {max(segments) >> 20} MiB')
    detail = f'{variable}={path} sets no shared-memory segment of at least 3 MiB'
    return Check(name, WARN, detail, _profile_hint())


def _is_local(environment: dict[str, str]) -> bool:
    return (
        environment.get('ROS_LOCALHOST_ONLY', '') == '1'
        or environment.get('ROS_AUTOMATIC_DISCOVERY_RANGE', '').upper() == 'LOCALHOST'
    )


def _has_large_data(transports: str) -> bool:
    """Plain LARGE_DATA is not enough: message and socket sizes must be given too."""
    mode, _, options = transports.partition('?')
    given = dict(re.findall(r'(\w+)=(\w+)', options))
    sizes = [_to_bytes(given.get(key, '')) for key in ('max_msg_size', 'sockets_size')]
    return mode == 'LARGE_DATA' and min(sizes) >= _ENOUGH_BYTES


def _to_bytes(text: str) -> int:
    match = re.fullmatch(r'(\d+)([A-Za-z]*)', text)
    return int(match[1]) * _UNITS.get(match[2].upper(), 0) if match else 0


def _shipped(file: str) -> Path:
    """Find a file of config/, the repository's or an installed one."""
    here = Path(__file__).resolve()
    prefixes = [*here.parents, Path(sys.prefix)]
    folders = [here.parents[2], *(prefix / 'share' / 'vos_ros' for prefix in prefixes)]
    found = next((f / file for f in folders if (f / file).is_file()), None)
    return Path(file) if found is None else found.resolve()  # of a link Fast DDS 3 complains


def _profile_hint() -> str:
    file = _shipped(_PROFILE)
    both = ' '.join(f'{variable}={file}' for variable in _PROFILE_VARIABLES.values())
    return (
        f'export {both} where the camera and where the node are started (each Fast DDS reads one '
        'of the two); segment.launch.py sets it for the node'
    )
