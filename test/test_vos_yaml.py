# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""config/vos.yaml says what the dataclasses say: its keys, values, types and marks."""

from pathlib import Path
import re

import pytest
import yaml

from vos_ros.config import NodeConfig, RuntimeConfig, SegmenterConfig, settings

FILE = Path(__file__).resolve().parents[1] / 'config' / 'vos.yaml'
DEFAULTS = {
    name: item
    for group in (RuntimeConfig, SegmenterConfig, NodeConfig)
    for name, item in settings(group)
}


def flat(tree: dict[str, object], prefix: str = '') -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            found |= flat(value, f'{prefix}{name}.')
        else:
            found[prefix + name] = value
    return found


def comments() -> dict[str, str]:
    """Return the comment above each key, by the key's dotted name."""
    found: dict[str, str] = {}
    path: list[str] = []
    above: list[str] = []
    for line in FILE.read_text(encoding='utf-8').splitlines():
        text = line.strip()
        if text.startswith('#'):
            above.append(text.lstrip('# '))
        elif key := re.match(r'( *)([a-z_0-9]+):', line):
            path = [*path[: max(0, len(key[1]) // 2 - 2)], key[2]]
            found['.'.join(path)] = ' '.join(above)
            above = []
        else:
            above = []
    return found


def test_file_holds_every_setting_with_its_default_and_type() -> None:
    loaded = yaml.safe_load(FILE.read_text(encoding='utf-8'))
    assert list(loaded) == ['/**']
    values = flat(loaded['/**']['ros__parameters'])
    assert values == {name: item.default for name, item in DEFAULTS.items()}
    # 1 == 1.0 == True in Python, but a ROS parameter of another type is refused.
    types = {name: type(value) for name, value in values.items()}
    assert types == {name: type(item.default) for name, item in DEFAULTS.items()}


@pytest.mark.parametrize('name', DEFAULTS)
def test_comment_explains_the_setting_with_its_unit_and_choices(name: str) -> None:
    comment = comments()[name]
    meta = DEFAULTS[name].metadata
    assert len(comment) > 20
    assert ('[live]' in comment) == meta['live']
    if meta['unit']:
        assert f'[{meta["unit"]}]' in comment
    for choice in meta['choices']:
        assert choice in comment


def test_twelve_basic_settings_come_first_and_the_rest_is_expert() -> None:
    basic, _, expert = FILE.read_text(encoding='utf-8').partition('== Expert')
    assert '== Basic' in basic
    names = yaml.safe_load(basic.rsplit('\n', 1)[0])['/**']['ros__parameters']
    assert len(names) == 12
    assert set(names) == {name for name in DEFAULTS if '.' not in name} - {
        'precision',
        'device_id',
        'engine_cache_dir',
        'image_range',
    }
    assert expert
