# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Numbers that make no sense are refused with one line, whatever the command and the option."""

from collections.abc import Iterator
import inspect
import re
from typing import Any, get_type_hints

import pytest
import typer

from vos_ros.commands import cli

pytest.importorskip('rosbags', reason='needs rosbags')

#: Of these a number below 0 says something.
_SIGNED = ('--cost-ms', '--jf-drop', '--p99-growth')


def _commands(app: typer.Typer, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for command in app.registered_commands:
        assert command.name
        assert command.callback
        yield (*path, command.name), inspect.unwrap(command.callback)
    for group in app.registered_groups:
        assert group.name
        assert group.typer_instance
        yield from _commands(group.typer_instance, (*path, group.name))


def _options() -> Iterator[tuple[tuple[str, ...], str, type]]:
    """Give each option that takes a number: command, what it is called, int or float."""
    for path, command in _commands(cli.app, ()):
        hints = get_type_hints(command)
        for name, parameter in inspect.signature(command).parameters.items():
            if hints[name] in (int, float):
                yield path, parameter.default.param_decls[0], hints[name]


def _arguments(path: tuple[str, ...]) -> list[str]:
    """Give a command what it needs."""
    needed: dict[str, list[str]] = {
        'make': ['clip', '--out', 'bag'],
        'compare': ['a.json', 'b.json'],
        'demo': [],
        'demo3d': [],
        'doctor': ['--tune'],
    }
    return [*path, *needed.get(path[-1], ['nothing'])]


def _refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert cli.main([*arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ''
    assert 'Traceback' not in captured.err
    return captured.err


@pytest.fixture(autouse=True)
def nothing_is_made(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    yield
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ('path', 'option', 'value'),
    [
        (path, option, value)
        for path, option, kind in _options()
        for value in ('nan', 'inf', '-5')
        if value == '-5' or kind is float
        if value != '-5' or option not in _SIGNED
    ],
)
def test_a_number_that_makes_no_sense_is_refused(
    capsys: pytest.CaptureFixture[str], path: tuple[str, ...], option: str, value: str
) -> None:
    said = _refusal(capsys, *_arguments(path), option, value)
    assert option in said
    # What has bounds of its own is refused by typer, in a frame.
    assert re.fullmatch(rf'vos: {option} must be .*, not {value}\n', said) or 'Invalid' in said


@pytest.mark.parametrize(
    ('arguments', 'reason'),
    [
        (
            ['bag', 'eval', 'x', '--fail-under-jf', 'nan'],
            '--fail-under-jf must be a finite number, not nan',
        ),
        (
            ['bag', 'eval', 'x', '--fail-under-jf', '75'],
            '--fail-under-jf must lie in 0 .. 1, not 75',
        ),
        (
            ['bag', 'eval', 'x', '--fail-over-p99-ms', '-1'],
            '--fail-over-p99-ms must be 0 or more, not -1',
        ),
        (['bag', 'eval', 'x', '--deadline-ms', '-5'], '--deadline-ms must be 0 or more, not -5'),
        (['bag', 'eval', 'x', '--cost-ms', 'nan'], '--cost-ms must be a finite number, not nan'),
        (['bag', 'eval', 'x', '--cost-ms', '-3'], 'there is no bag x; check the path'),
        (
            ['bag', 'compare', 'a', 'b', '--jf-drop', '-0.1'],
            'cannot read the report a: No such file or directory',
        ),
        (['demo3d', '--holes', '2'], '--holes must lie in 0 .. 1, not 2: nothing would be left'),
    ],
)
def test_it_is_one_line_that_says_what_is_asked_for(
    capsys: pytest.CaptureFixture[str], arguments: list[str], reason: str
) -> None:
    assert _refusal(capsys, *arguments) == f'vos: {reason}\n'
