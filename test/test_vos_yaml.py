# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The files of config/ say what the dataclasses say: their keys, values, types and marks."""

from pathlib import Path
import re

import pytest
import yaml

from vos_ros.config import NodeConfig, Objects3dConfig, RuntimeConfig, SegmenterConfig, settings

CONFIG = Path(__file__).resolve().parents[1] / 'config'
FILE = CONFIG / 'vos.yaml'
GROUPS: dict[str, tuple[type, ...]] = {
    'vos.yaml': (RuntimeConfig, SegmenterConfig, NodeConfig),
    'objects_3d.yaml': (Objects3dConfig,),
}
ALL = {
    file: {name: item for group in groups for name, item in settings(group)}
    for file, groups in GROUPS.items()
}
DEFAULTS = ALL['vos.yaml']


def flat(tree: dict[str, object], prefix: str = '') -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            found |= flat(value, f'{prefix}{name}.')
        else:
            found[prefix + name] = value
    return found


def comments(file: str) -> dict[str, str]:
    """Return the comment above each key, by the key's dotted name."""
    found: dict[str, str] = {}
    path: list[str] = []
    above: list[str] = []
    for line in (CONFIG / file).read_text(encoding='utf-8').splitlines():
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


@pytest.mark.parametrize('file', GROUPS)
def test_file_holds_every_setting_with_its_default_and_type(file: str) -> None:
    loaded = yaml.safe_load((CONFIG / file).read_text(encoding='utf-8'))
    assert list(loaded) == ['/**']
    values = flat(loaded['/**']['ros__parameters'])
    assert values == {name: item.default for name, item in ALL[file].items()}
    # 1 == 1.0 == True in Python, but a ROS parameter of another type is refused.
    types = {name: type(value) for name, value in values.items()}
    assert types == {name: type(item.default) for name, item in ALL[file].items()}


@pytest.mark.parametrize(
    ('file', 'name'), [(f, name) for f, found in ALL.items() for name in found]
)
def test_comment_explains_the_setting_with_its_unit_and_choices(file: str, name: str) -> None:
    comment = comments(file)[name]
    meta = ALL[file][name].metadata
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
        'outline',
    }
    assert expert
