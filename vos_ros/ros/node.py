# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
`segmenter`: start the node, spin it, stop it; and the same for any other node of this package.

rclpy is imported only once the command line is understood, so `--help` works anywhere.
"""

from collections.abc import Callable, Sequence
import contextlib
from importlib.util import find_spec
import os
import sys
import threading
import time
from typing import Any

from vos_ros.config import NodeConfig, RuntimeConfig, SegmenterConfig, settings
from vos_ros.errors import VosError
from vos_ros.interrupts import (
    ignore_further,
    leave_no_more,
    leave_on_interrupt,
    raise_on_interrupt,
)
from vos_ros.ros.guard import in_words, shut_down, THREADS, unless_stopped

#: After a failure of ROS itself, so that one that lasts does not keep a core busy.
_PAUSE_S = 0.1

_LOG_HINT = '; set ROS_LOG_DIR to a folder that can be written to'

_USAGE = """\
usage: segmenter [--help] [--ros-args ...]

Follow the objects of an init mask through a camera stream (ROS 2 lifecycle node 'vos').

example:
  ros2 run vos_ros segmenter --ros-args -r image:=/camera/image_raw -r init_mask:=/detector/mask \\
      -p max_objects:=4

in:   image (sensor_msgs/Image), or image/compressed;  init_mask (sensor_msgs/Image: ids per
      pixel), init_mask/compressed (png), init_boxes (vision_msgs/Detection2DArray);
      init_points (geometry_msgs/PointStamped), init_click (geometry_msgs/Point);
      remove_objects (std_msgs/UInt16MultiArray)
out:  ~/labels, ~/carried_labels, ~/object_<id>/mask, ~/confidence, ~/overlay
      (sensor_msgs/Image), ~/overlay/compressed;  ~/object_states, /diagnostics
      (diagnostic_msgs/DiagnosticArray);
      ~/objects, ~/label_info (vision_msgs, where installed)
do:   ~/reset (std_srvs/Trigger), ~/enable (std_srvs/SetBool), the lifecycle services

parameters (-p NAME:=VALUE, or --params-file; * = may change while it runs):
"""


def usage() -> str:
    """Write the help text, with every parameter as the config dataclasses define it."""
    return _USAGE + describe_settings(RuntimeConfig, SegmenterConfig, NodeConfig)


def describe_settings(*groups: type) -> str:
    """
    Write a help text's part about parameters.

    :param groups: config dataclasses.
    """
    lines = []
    for group in groups:
        for name, item in settings(group):
            meta = item.metadata
            star = '*' if meta['live'] else ''
            extra = f' ({", ".join(meta["choices"])})' if meta['choices'] else ''
            unit = f' [{meta["unit"]}]' if meta['unit'] else ''
            lines.append(f'  {name + star} = {item.default!r}{unit}{extra}')
            lines.append(f'      {meta["description"]}')
    return '\n'.join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run the node until it is interrupted.

    :param argv: arguments without the program's name; None = the process's own.
    :return: exit code: 0 = stopped as asked, 1 = ROS is missing, 2 = wrong use.
    """
    return run_program('segmenter', usage, _make_node, argv)


def _make_node() -> Callable[[], Any]:
    from vos_ros.ros.vos_node import VosNode

    return VosNode


def run_program(
    program: str,
    write_usage: Callable[[], str],
    load: Callable[[], Callable[[], Any]],
    argv: Sequence[str] | None = None,
) -> int:
    """
    Run a node as a program of its own.

    :param program: its name.
    :param write_usage: gives the text for --help.
    :param load: imports what needs rclpy and gives what makes the node, which has `error_log` and
        `close`.
    :param argv: arguments without the program's name; None = the process's own.
    :return: exit code: 0 = stopped as asked, 1 = ROS is missing, 2 = wrong use.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    plain = arguments[: arguments.index('--ros-args')] if '--ros-args' in arguments else arguments
    if '-h' in plain or '--help' in plain:
        _show(write_usage())
        return 0
    if plain:
        print(f'{program}: unknown argument {plain[0]!r}; see {program} --help', file=sys.stderr)
        return 2
    leave_on_interrupt()
    try:
        return _run(program, load, arguments)
    except KeyboardInterrupt:  # before rclpy's own handler was there
        return 0
    finally:
        ignore_further()


def _show(text: str) -> None:
    try:
        print(text, flush=True)
    except BrokenPipeError:  # `| head` has read enough; Python would flush once more at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(program: str, load: Callable[[], Callable[[], Any]], arguments: Sequence[str]) -> int:
    try:
        import cv2
        import rclpy
        from rclpy.exceptions import ParameterException
        from rclpy.executors import SingleThreadedExecutor

        make_node = load()
    except ImportError as error:
        print(f'{program}: {describe_missing(error)}', file=sys.stderr)
        return 1
    # OpenCV's own threads gain half a millisecond on idle cores and cost thirty on busy ones,
    # where every resize waits for the last of them to be scheduled.
    cv2.setNumThreads(1)
    # Whoever waits for the interpreter gets it after half a millisecond, not five: an image does
    # not wait for a report in the making (the slowest hundredth of frames: 0.5 to 1.5 ms less).
    sys.setswitchinterval(0.0005)
    raise_on_interrupt()
    node = None
    try:
        try:
            rclpy.init(args=[program, *arguments])
            leave_no_more()
            with unless_stopped():
                node = make_node()
        # Most errors of rclpy are RuntimeErrors, those of its own parameters are not.
        except (VosError, RuntimeError, ParameterException) as error:
            hint = _LOG_HINT if 'logging' in str(error) else ''
            print(f'{program}: {error}{hint}', file=sys.stderr)
            return 2
        with unless_stopped():
            executor = SingleThreadedExecutor()
            executor.add_node(node)
        _spin(executor, node)
    except KeyboardInterrupt:
        pass
    finally:
        if node is not None:
            _stop(node)
        shut_down()
    if any(thread.name.startswith(THREADS) for thread in threading.enumerate()):
        # A daemon thread inside the network's native code would crash the interpreter's end.
        sys.stderr.flush()
        os._exit(0)
    return 0


def describe_missing(error: ImportError) -> str:
    """Say what cannot be imported, and what to do about it."""
    name = (error.name or '').split('.')[0]
    if isinstance(error, ModuleNotFoundError) and (name == 'rclpy' or not find_spec('rclpy')):
        # Without rclpy, the first message package that is missed is no better a name for it.
        return (
            f'ROS 2 is not found ({error}); source /opt/ros/<distro>/setup.bash, or install the '
            'rclpy wheels as the README says'
        )
    if name == 'rclpy':  # there, but without something that we want, or a library of its own
        return f'this rclpy cannot be used ({error}); `vos doctor` says more'
    if isinstance(error, ModuleNotFoundError):
        return (
            f'{error}; install it for {sys.executable}: by apt or rosdep where ROS is installed '
            '(rosdep install --from-paths src), else by pip'
        )
    return f'{in_words(error)}; `vos doctor` says more'


def _spin(executor, node) -> None:
    """
    Spin until ROS ends, whatever a callback of rclpy's own raises.

    Ours are guarded. What is left is, for example, an answer that cannot be sent: with Humble, a
    client that leaves too early would otherwise end the node (ros2/ros2#1253).
    """
    from rclpy.executors import ExternalShutdownException

    while node.context.ok():
        try:
            executor.spin()
        except ExternalShutdownException:
            return
        except Exception as error:
            node.error_log.report(error, f'ROS failed, the node goes on: {in_words(error)}')
            time.sleep(_PAUSE_S)


def _stop(node) -> None:
    # Asked twice: whoever asks means it.
    with contextlib.suppress(KeyboardInterrupt):
        node.close()
        node.destroy_node()


if __name__ == '__main__':
    sys.exit(main())
